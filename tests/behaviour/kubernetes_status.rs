//! What operators see without a log: the status ConfigMap, Events, and `rolewright status`.

use std::time::Duration;

use rolewright_tests::kubernetes::{Secrets, least_rights};
use rolewright_tests::source::users;
use rolewright_tests::{ApiServer, Cluster, Rolewright, eventually};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn every_condition_and_every_user_is_told_and_reads_well() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::Named(&["user-alice-secret", "user-bob-secret"])));
    namespace.configmap(&users(&[("alice", &["reader"]), ("bob", &[])])).secret("alice", "kubernetes-status-1");
    let kubeconfig = namespace.admin_kubeconfig();
    let laptop = Rolewright::in_cluster(&cluster, &namespace, &kubeconfig);
    laptop.command(&["status"]).exits_with(1).mentions("no controller has reported");

    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    let synced = namespace.wait_for_condition("Synced", "False");
    assert_eq!(synced.reason, "SecretMissing");
    let status = namespace.status().expect("it is written");
    for (kind, wanted) in [("Ready", "True"), ("Held", "False"), ("PolicyChainLoaded", "True"), ("Paused", "False")] {
        assert_eq!(status.condition(kind).status, wanted, "{kind}");
    }
    assert!(!status.condition("PolicyChainLoaded").message.is_empty());
    assert_eq!(status.users()["alice"], "Synced");
    assert!(status.users()["bob"].contains("user-bob-secret"), "{:?}", status.users());
    let observed = status.observed();
    let configmap = namespace.read(&namespace.path("api/v1", "configmaps", "postgres-users-config")).unwrap();
    assert_eq!(observed["resourceVersion"], configmap["metadata"]["resourceVersion"]);
    assert!(observed["planDigest"].as_str().unwrap().starts_with("sha256:"), "{observed}");
    assert_eq!(namespace.wait_for_event("SecretMissing").kind, "Warning");
    laptop.command(&["status"]).exits_with(1).mentions("bob").mentions("user-bob-secret").mentions("led by");

    // As a person looks at it.
    let labels = ["-L", "rolewright.dev/synced", "-L", "rolewright.dev/held"];
    let mut get = vec!["get", "configmap", "-l", "app.kubernetes.io/managed-by=rolewright"];
    get.extend(labels);
    let output = namespace.kubectl(&get);
    output.succeeds();
    assert!(output.stdout.contains("SYNCED") && output.stdout.contains("False"), "{}", output.stdout);
    let output = namespace.kubectl(&["describe", "configmap", "postgres-users-config-status"]);
    assert!(output.stdout.contains("alice: Synced"), "{}", output.stdout);
    // Events are about the ConfigMap, where `kubectl describe` shows them.
    let output = namespace.kubectl(&["describe", "configmap", "postgres-users-config"]);
    assert!(output.stdout.contains("SecretMissing"), "{}", output.stdout);

    let before = synced.last_transition_time;
    // Times of the API have whole seconds.
    std::thread::sleep(Duration::from_millis(1_100));
    namespace.secret("bob", "kubernetes-status-2");
    let synced = namespace.wait_for_condition("Synced", "True");
    assert_ne!(synced.last_transition_time, before);
    laptop.command(&["status"]).succeeds().mentions("PostgreSQL is as declared");
    let json = laptop.command(&["status", "--format", "json"]).json();
    assert_eq!(json["status"]["users"]["bob"]["state"], "Synced");
    assert_eq!(json["lease"]["holder"], observed["instance"]);
    controller.terminate().succeeds();
    laptop.command(&["status"]).succeeds().mentions("nobody leads");
}

#[test]
fn nothing_is_written_while_nothing_happens_and_no_event_is_told_twice() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::Named(&["user-alice-secret"])));
    namespace.configmap(&users(&[("alice", &["reader"]), ("bob", &[])])).secret("alice", "kubernetes-status-3");
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "500ms");
    let controller = rolewright.run();
    controller.wait_for_cycles(3);
    namespace.wait_for_condition("Synced", "False");
    let writes = || {
        let calls = namespace.calls().into_iter();
        calls.filter(|call| call.verb == "patch" && call.resource != "leases").count()
            + namespace.calls().into_iter().filter(|call| call.resource == "events").count()
    };
    let (before, events) = (writes(), namespace.events().len());
    controller.wait_for_cycles(5);
    assert_eq!(writes(), before, "something is written in every cycle");
    assert_eq!(namespace.events().len(), events);
    controller.terminate().succeeds();
}

#[test]
fn a_fleet_without_secrets_makes_one_event_and_a_status_that_is_not_too_large() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::All));
    let names: Vec<String> = (0..3_000).map(|number| format!("user-without-a-secret-{number:05}")).collect();
    let entries: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[] as &[&str])).collect();
    namespace.configmap(&users(&entries));
    let rolewright =
        Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600").env("SECRET_SELECTOR", "*");
    let controller = rolewright.run();
    namespace.wait_for_condition("Synced", "False");
    let event = namespace.wait_for_event("SecretMissing");
    assert!(event.note.contains("3000 users") || event.note.contains("3,000 users"), "{}", event.note);
    assert!(event.note.len() <= 1_024);
    let told = namespace.events().into_iter().filter(|event| event.reason == "SecretMissing").count();
    assert_eq!(told, 1);
    let size: usize = namespace.status().unwrap().data.values().map(String::len).sum();
    println!("the status of 3,000 users that all wait for a Secret: {size} bytes");
    assert!(size < 900_000, "{size} bytes");
    eventually("the gauge", SOON, || {
        (controller.metric("postgres_controller_users_not_synced") == 3_000.0).then_some(())
    });
    controller.terminate().succeeds();
}
