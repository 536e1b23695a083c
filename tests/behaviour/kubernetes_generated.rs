//! Generated passwords in a cluster: with the right to write these Secrets and no other, seen again as soon as they are
//! written, and never in the way of others.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolewright_tests::kubernetes::{Namespace, Secrets, least_rights};
use rolewright_tests::{ApiServer, Cluster, Controller, Rolewright, eventually, leaks};
use serde_json::{Value, json};

use super::generated_passwords::{GENERATED_AT, Generated, moment};
use super::kubernetes_deploy::{object, rendered};

const SOON: Duration = Duration::from_secs(30);
const APP: &str = "users:\n  - {username: app, generate: {rotate_every: 1h}}\n";
const SECRET: &str = "user-app-secret";
const CYCLES: &str = "postgres_controller_reconciliations_total";

fn found(namespace: &Namespace<'_>, name: &str) -> Option<Generated> {
    let answer = namespace.admin().get(&namespace.path("api/v1", "secrets", name));
    (answer.status == 200).then(|| Generated::new(answer.json()))
}

/// Waits until the Secret holds a password that the server takes.
fn served(cluster: &Cluster, namespace: &Namespace<'_>, name: &str, user: &str, not: &str) -> Generated {
    eventually("a password that works", SOON, || {
        let secret = found(namespace, name).filter(|secret| secret.password() != not)?;
        cluster.try_login(user, &secret.password(), "postgres").is_ok().then_some(secret)
    })
}

fn edit(namespace: &Namespace<'_>, name: &str, patch: Value) {
    namespace.admin().merge(&namespace.path("api/v1", "secrets", name), &patch).succeeds();
}

/// Asserts that nothing more happens, and how many cycles there were until now.
fn is_quiet(controller: &Controller<'_>) -> f64 {
    std::thread::sleep(Duration::from_secs(3));
    let before = controller.metric(CYCLES);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(controller.metric(CYCLES), before, "there is a loop:\n{}", controller.printed());
    before
}

#[test]
fn under_exactly_the_role_of_the_chart_a_secret_appears_is_rotated_and_repaired_and_then_it_is_quiet() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap(APP);
    let objects = rendered(&[&format!("secrets.generated={{{SECRET}}}")]);
    let account = namespace.service_account(&object(&objects, "Role")["rules"]);
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    rolewright.command(&["plan"]).succeeds().mentions("a password is generated");
    assert!(found(&namespace, SECRET).is_none(), "a plan writes nothing");
    let controller = rolewright.run();
    let first = served(&cluster, &namespace, SECRET, "app", "");
    assert_eq!(first.login(), ("app".to_owned(), "postgres".to_owned()));
    namespace.wait_for_condition("Synced", "True");
    assert!(is_quiet(&controller) <= 4.0, "{}", controller.printed());

    // The time is put back to just before the end: it wakes up by itself.
    edit(&namespace, SECRET, json!({ "metadata": { "annotations": { GENERATED_AT: moment(6 - 3_600) } } }));
    let second = served(&cluster, &namespace, SECRET, "app", &first.password());
    controller.wait_for("is rotated");
    cluster.refuses_login("app", &first.password(), "postgres", "28P01");
    assert!(second.annotation(GENERATED_AT) > first.annotation(GENERATED_AT));
    let before = is_quiet(&controller);

    leaks::register_password("kubernetes-generated-by-hand");
    let data = json!({ "password": STANDARD.encode("kubernetes-generated-by-hand"), "host": null, "mine": "c3RheXM=" });
    edit(&namespace, SECRET, json!({ "data": data }));
    let third = served(&cluster, &namespace, SECRET, "app", &second.password());
    let repaired =
        eventually("a repair", SOON, || found(&namespace, SECRET).filter(|it| it.keys().contains_key("host")));
    assert_eq!(third.password(), "kubernetes-generated-by-hand");
    assert_eq!(repaired.value("mine"), "stays");
    repaired.login();
    assert!(is_quiet(&controller) - before <= 4.0, "{}", controller.printed());
    let output = controller.terminate();
    output.succeeds();
    // Now that its passwords are known.
    leaks::assert_none("the log", &output.stdout);
    namespace.check_for_leaks();
    let refused: Vec<_> =
        namespace.calls().into_iter().filter(|call| call.status >= 400 && call.status != 404).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let written =
        namespace.calls().into_iter().filter(|call| call.verb == "patch" && call.resource == "secrets").count();
    assert_eq!(written, 4, "new, its next rotation noted, rotated, repaired");
}

#[test]
fn two_logins_take_turns_and_each_secret_that_was_ever_there_logs_in_until_the_next() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap("users:\n  - {username: app, generate: {rotate_every: 1h, alternate: app_b}}\n");
    let objects = rendered(&[&format!("secrets.generated={{{SECRET}}}")]);
    let account = namespace.service_account(&object(&objects, "Role")["rules"]);
    let controller = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = controller.run();
    let mut before = served(&cluster, &namespace, SECRET, "app", "");
    namespace.wait_for_condition("Synced", "True");
    for turn in ["app_b", "app", "app_b"] {
        edit(&namespace, SECRET, json!({ "metadata": { "annotations": { GENERATED_AT: moment(4 - 3_600) } } }));
        // No waiting for what is in the Secret to come into force: it is.
        let now = eventually("a rotation", SOON, || {
            found(&namespace, SECRET).filter(|secret| secret.password() != before.password())
        });
        assert_eq!((now.value("username").as_str(), now.login().0.as_str()), (turn, "app"));
        before.login();
        is_quiet(&controller);
        now.login();
        before = now;
    }
    let output = controller.terminate();
    output.succeeds();
    leaks::assert_none("the log", &output.stdout);
    namespace.check_for_leaks();
    let refused: Vec<_> =
        namespace.calls().into_iter().filter(|call| call.status >= 400 && call.status != 404).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn a_rotation_that_may_not_be_written_sets_no_password() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap("users:\n  - {username: app, generate: {rotate_every: 1h, alternate: app_b}}\n");
    let objects = rendered(&[&format!("secrets.generated={{{SECRET}}}")]);
    let may = namespace.service_account(&object(&objects, "Role")["rules"]);
    Rolewright::in_cluster(&cluster, &namespace, &may).apply().succeeds();
    let first = found(&namespace, SECRET).expect("it was written");
    edit(&namespace, SECRET, json!({ "metadata": { "annotations": { GENERATED_AT: moment(-4_000) } } }));
    let may_not = namespace.service_account(&least_rights(Secrets::Named(&[SECRET])));
    let output = Rolewright::in_cluster(&cluster, &namespace, &may_not).apply();
    output.exits_with(1).mentions("is due for rotation, and stays").mentions("needs verb patch on resource secrets");
    assert_eq!(cluster.value("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'app_b'"), "t");
    first.login();
    Rolewright::in_cluster(&cluster, &namespace, &may).apply().succeeds();
    assert_eq!(found(&namespace, SECRET).unwrap().value("username"), "app_b");
    first.login();
}

#[test]
fn without_the_right_it_is_told_which_one_is_missing_and_the_others_are_served() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap(&format!("{APP}  - {{username: alice}}\n")).secret("alice", "kubernetes-generated-1");
    let account = namespace.service_account(&least_rights(Secrets::Named(&[SECRET, "user-alice-secret"])));
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    controller.wait_for("needs verb patch on resource secrets (resourceNames: user-app-secret)");
    eventually("alice", SOON, || {
        cluster.try_login("alice", "kubernetes-generated-1", "postgres").is_ok().then_some(())
    });
    assert!(!cluster.has_role("app"));
    assert!(found(&namespace, SECRET).is_none());
    assert!(is_quiet(&controller) <= 3.0, "{}", controller.printed());
    let status = eventually("the status", SOON, || namespace.status());
    assert!(format!("{status:?}").contains("SecretMissing"), "{status:?}");
    controller.terminate();
}

#[test]
fn a_secret_of_others_is_left_alone_also_where_it_cannot_be_seen() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    namespace.configmap("users:\n  - {username: app, generate: true}\n  - {username: other, generate: true}\n");
    // Without the labels of the selector it is not listed.
    namespace.secret("app", "kubernetes-generated-2");
    let mut rules = least_rights(Secrets::All);
    let write = json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"] });
    rules.as_array_mut().unwrap().push(write);
    let account = namespace.service_account(&rules);
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account);
    let narrow = rolewright.env("SECRET_SELECTOR", "team=x,rolewright.dev/user=true");
    narrow.apply().exits_with(1).mentions("is there without the labels of SECRET_SELECTOR");
    assert!(!cluster.has_role("app"));
    let other = found(&namespace, "user-other-secret").expect("the others are served");
    other.login();
    assert_eq!(other.0["metadata"]["labels"]["team"], "x", "it has to be found again");
    narrow.plan().mentions("app");
    let again = narrow.apply();
    again.exits_with(1);
    assert_eq!(found(&namespace, "user-other-secret").unwrap().0, other.0);
    let wide = narrow.env("SECRET_SELECTOR", "*");
    wide.apply().exits_with(1).mentions("was not written by Rolewright");
    let foreign = found(&namespace, SECRET).unwrap();
    assert_eq!(foreign.keys().len(), 1, "nothing was added");
    assert_eq!(foreign.password(), "kubernetes-generated-2");
    // A selector that is no list of labels finds nothing again that is written.
    namespace.configmap("users:\n  - {username: third, generate: true}\n");
    let wide = wide.env("SECRET_SELECTOR", "team in (x)").env("MAX_DELETIONS", "100%");
    wide.apply().exits_with(1).mentions("is not a list of labels");
    assert!(found(&namespace, "user-third-secret").is_none());
}
