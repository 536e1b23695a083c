//! An API server as the source: what is written there is in PostgreSQL within a second, with the least
//! rights that work, and whatever happens to the ConfigMap or a Secret.

use std::time::{Duration, Instant};

use rolewright_tests::kubernetes::{Secrets, least_rights, with_one_right_less};
use rolewright_tests::source::users;
use rolewright_tests::{ApiServer, Cluster, Rolewright, eventually};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

/// How long it takes until the condition holds, looking every 5 ms.
fn time_until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

#[test]
fn plan_and_apply_read_a_cluster_with_the_kubeconfig_at_hand() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-source-1");
    let kubeconfig = namespace.admin_kubeconfig();
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &kubeconfig);
    rolewright.without_kubernetes().command(&["plan"]).exits_with(1).mentions("--kubernetes");
    rolewright.command(&["plan", "--kubernetes"]).succeeds().mentions("alice");
    rolewright.apply().succeeds();
    cluster.login("alice", "kubernetes-source-1", "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_change_is_applied_within_a_second_of_being_written() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::Named(&["user-alice-secret", "user-bob-secret"])));
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-source-2a");
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    eventually("alice", SOON, || cluster.has_role("alice").then_some(()));

    let mut slowest = Duration::ZERO;
    for (round, role) in ["writer", "auditor", "reader", "writer", "auditor"].iter().enumerate() {
        namespace.configmap(&users(&[("alice", &[role])]));
        let took = time_until("the new role", || cluster.memberships("alice") == [*role]);
        println!("a change of the ConfigMap, round {round}: {} ms", took.as_millis());
        slowest = slowest.max(took);
    }
    namespace.secret("alice", "kubernetes-source-2b");
    let took =
        time_until("the new password", || cluster.try_login("alice", "kubernetes-source-2b", "postgres").is_ok());
    println!("a change of a Secret: {} ms", took.as_millis());
    slowest = slowest.max(took);
    // A Secret that comes late, of a user who was not there before.
    namespace.configmap(&users(&[("alice", &["reader"]), ("bob", &[])]));
    controller.wait_for("user-bob-secret");
    assert!(!cluster.has_role("bob"));
    namespace.secret("bob", "kubernetes-source-2c");
    let took = time_until("bob", || cluster.try_login("bob", "kubernetes-source-2c", "postgres").is_ok());
    println!("a Secret that appears: {} ms", took.as_millis());
    slowest = slowest.max(took);
    println!("the slowest: {} ms", slowest.as_millis());
    controller.terminate().succeeds();
}

#[test]
fn a_burst_of_changes_makes_few_cycles() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let names: Vec<String> = (0..1_000).map(|number| format!("user{number}")).collect();
    let entries: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["reader"] as &[&str])).collect();
    let account = namespace.service_account(&least_rights(Secrets::All));
    namespace.fleet_of_secrets(&names).configmap(&users(&entries));
    let rolewright =
        Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600").env("SECRET_SELECTOR", "*");
    let controller = rolewright.run();
    controller.wait_for_metric("postgres_controller_synced", 1.0);
    let before = controller.metric("postgres_controller_reconciliations_total");

    namespace.change_fleet_of_secrets(&names, 1);
    controller.wait_for_cycles(1);
    // The last of the changes are in force, and then it is quiet.
    let last = &names[names.len() - 1];
    let history = || cluster.value("SELECT count(*) FROM rolewright.history");
    eventually("every change to be applied", Duration::from_secs(60), || {
        let recorded = cluster.value("SELECT count(DISTINCT secret_version) FROM rolewright.roles WHERE kind = 'user'");
        let synced = controller.metric("postgres_controller_synced") > 0.0;
        (recorded == "1000" && synced && cluster.has_role(last)).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    let cycles = controller.metric("postgres_controller_reconciliations_total") - before;
    println!("1,000 changed Secrets: {cycles} cycles, {} lines of history", history());
    assert!(cycles <= 20.0, "{cycles} cycles for one burst");
    let output = controller.terminate();
    output.succeeds();
}

#[test]
fn with_exactly_the_rights_of_the_role_it_works_and_with_one_less_it_says_which() {
    let rules = least_rights(Secrets::Named(&["user-alice-secret"]));
    for (verb, resource, rules) in with_one_right_less(&rules) {
        let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
        namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-source-3");
        let account = namespace.service_account(&rules);
        let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "1");
        let controller = rolewright.run();
        let named = format!("needs verb {verb} on resource {resource}");
        if (verb.as_str(), resource.as_str()) == ("patch", "events") {
            // Only an Event that is told again is patched.
            eventually(&named, SOON, || {
                let _ = cluster.try_sql("postgres", "ALTER ROLE alice CREATEDB");
                std::thread::sleep(Duration::from_millis(500));
                controller.printed().contains(&named).then_some(())
            });
        }
        controller.wait_for(&named);
        // What can be done without the right is done: it polls, and it acts without telling.
        if verb == "watch" || resource.starts_with("events") || (resource == "configmaps" && verb != "list") {
            eventually(&format!("alice, without {verb} on {resource}"), SOON, || {
                cluster.has_role("alice").then_some(())
            });
        }
        let output = controller.terminate();
        output.succeeds();
        let times = output.stdout.matches(&named).count();
        assert!(times <= 12, "'{named}' was said {times} times:\n{}", output.stdout);
    }
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-source-3");
    let account = namespace.service_account(&rules);
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_cycles(3);
    cluster.login("alice", "kubernetes-source-3", "postgres");
    let output = controller.terminate();
    output.succeeds();
    assert!(!output.stdout.contains("may not"), "{}", output.stdout);
    let refused: Vec<_> = namespace.calls().into_iter().filter(|call| call.status == 403).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn a_right_that_is_given_later_is_used_at_once() {
    for secrets in [Secrets::Named(&["user-alice-secret"]), Secrets::All] {
        let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
        let (rules, mut less) = (least_rights(secrets), least_rights(secrets));
        less.as_array_mut().unwrap().retain(|rule| rule["resources"][0] != "secrets");
        let selector = if matches!(secrets, Secrets::All) { "*" } else { "" };
        namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-source-8");
        let account = namespace.service_account(&less);
        let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account)
            .env("SYNC_INTERVAL", "3600")
            .env("SECRET_SELECTOR", selector);
        let controller = rolewright.run();
        controller.wait_for("needs verb list on resource secrets");
        assert!(!cluster.has_role("alice"));
        account.set_rules(&rules);
        eventually("alice", SOON, || cluster.has_role("alice").then_some(()));
        controller.terminate().succeeds();
    }
}

#[test]
fn without_the_right_to_watch_it_polls_and_says_so_once() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let mut rules = least_rights(Secrets::Named(&["user-alice-secret", "user-bob-secret"]));
    for rule in rules.as_array_mut().unwrap() {
        rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "watch");
    }
    let account = namespace.service_account(&rules);
    namespace.configmap(&users(&[("alice", &[])])).secret("alice", "kubernetes-source-4");
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    eventually("alice", SOON, || cluster.has_role("alice").then_some(()));
    namespace.configmap(&users(&[("alice", &[]), ("bob", &[])])).secret("bob", "kubernetes-source-4b");
    eventually("bob", SOON, || cluster.has_role("bob").then_some(()));
    namespace.secret("alice", "kubernetes-source-4c");
    eventually("the password", SOON, || cluster.try_login("alice", "kubernetes-source-4c", "postgres").ok());
    let output = controller.terminate();
    output.succeeds();
    assert_eq!(output.stdout.matches("changes are seen only every SYNC_INTERVAL").count(), 1, "{}", output.stdout);
}

#[test]
fn a_secret_selector_follows_a_fleet_and_what_it_does_not_match_is_missing() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::All));
    namespace.configmap(&users(&[("alice", &[]), ("bob", &[])]));
    namespace.secret("alice", "kubernetes-source-5a").secret("bob", "kubernetes-source-5b");
    let path = namespace.path("api/v1", "secrets", "user-alice-secret");
    namespace.admin().merge(&path, &json!({"metadata": {"labels": {"team": "data"}}})).succeeds();
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account)
        .env("SYNC_INTERVAL", "3600")
        .env("SECRET_SELECTOR", "team=data");
    let controller = rolewright.run();
    controller.wait_for("Secret \\\"user-bob-secret\\\" not found");
    controller.wait_for("SECRET_SELECTOR (team=data)");
    eventually("alice", SOON, || cluster.has_role("alice").then_some(()));
    assert!(!cluster.has_role("bob"));
    let path = namespace.path("api/v1", "secrets", "user-bob-secret");
    namespace.admin().merge(&path, &json!({"metadata": {"labels": {"team": "data"}}})).succeeds();
    eventually("bob", SOON, || cluster.has_role("bob").then_some(()));
    controller.terminate().succeeds();
    let lists = namespace.calls().into_iter().filter(|call| call.resource == "secrets" && call.verb == "list").count();
    assert_eq!(lists, 1, "one list for all Secrets");
}

#[test]
fn an_immutable_configmap_and_one_with_binary_data_are_fine() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let kubeconfig = namespace.admin_kubeconfig();
    let rolewright = |name: &str| {
        namespace.secret(name, "kubernetes-source-6");
        Rolewright::in_cluster(&cluster, &namespace, &kubeconfig)
    };
    namespace.configmap_with(&json!({"data": {"users.yaml": users(&[("alice", &[])])}, "immutable": true}));
    rolewright("alice").apply().succeeds();
    assert!(cluster.has_role("alice"));
    namespace.delete_configmap();
    use base64::Engine as _;
    let binary = base64::engine::general_purpose::STANDARD.encode(users(&[("alice", &[]), ("bob", &[])]));
    namespace.configmap_with(&json!({"binaryData": {"users.yaml": binary}}));
    rolewright("bob").apply().succeeds();
    assert!(cluster.has_role("bob"));
}

#[test]
fn a_configmap_that_is_deleted_or_broken_changes_nothing_until_it_is_there_again() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::Named(&["user-alice-secret"])));
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-source-7");
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    controller.wait_for_metric("postgres_controller_synced", 1.0);
    let before = cluster.fingerprint();

    namespace.delete_configmap();
    controller.wait_for("not found in namespace");
    let missing = namespace.wait_for_condition("Synced", "False");
    assert_eq!(missing.reason, "ConfigMapNotFound");
    namespace.configmap("users:\n  - username: [broken\n");
    controller.wait_for("configmap/postgres-users-config#users.yaml:");
    eventually("the condition to name the broken spec", SOON, || {
        (namespace.wait_for_condition("Synced", "False").reason == "InvalidSpec").then_some(())
    });
    namespace.configmap("users:\n  - username: alice\n    rolls: [reader]\n");
    controller.wait_for("rolls");
    assert_eq!(cluster.fingerprint(), before, "something was changed");
    assert!(controller.get("/readyz").status == 503 && controller.get("/livez").status == 200);

    namespace.configmap(&users(&[("alice", &["writer"])]));
    eventually("the fixed spec", SOON, || (cluster.memberships("alice") == ["writer"]).then_some(()));
    namespace.wait_for_condition("Synced", "True");
    let reasons: Vec<String> = namespace.events().into_iter().map(|event| event.reason).collect();
    for reason in ["ConfigMapNotFound", "InvalidSpec", "Applied"] {
        assert!(reasons.iter().any(|found| found == reason), "no Event {reason} among {reasons:?}");
    }
    controller.terminate().succeeds();
}
