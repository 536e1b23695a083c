//! The chain in the operator's hands: where it comes from, how another takes its place while the
//! controller runs, what a module on trial may do, and what an unchanged target costs.

use std::fs;
use std::time::Duration;

use rolewright_tests::kubernetes::{Secrets, least_rights};
use rolewright_tests::source::users;
use rolewright_tests::{ApiServer, Cluster, Controller, Manifests, Rolewright, eventually, guests};
use serde_json::{Value, json};

const HOSTILE: &str = "tests/guests/hostile";
const NAMING: &str = "examples/policies/naming-rust";
const TRANSFORMER: &str = "tests/guests/transformer";
const SOON: Duration = Duration::from_secs(20);

/// The built-in policy behind others.
fn chain(before: &[Value]) -> String {
    let mut policies = before.to_vec();
    policies.push(json!({ "name": "standard", "module": "builtin:standard" }));
    json!({ "policies": policies }).to_string()
}

/// Refuses users whose name begins otherwise.
fn naming(prefix: &str) -> Value {
    json!({ "name": "naming", "module": guests::build(NAMING), "settings": { "prefixes": [prefix] } })
}

fn world() -> (Cluster, Manifests) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(&users(&[("app_alice", &["reader"])]));
    manifests.users_exactly("users: [{username: app_alice, password: none, roles: [reader]}]\n");
    (cluster, manifests)
}

fn metric(controller: &Controller<'_>, name: &str, labels: &str) -> f64 {
    controller.get("/metrics").metric(name, Some(labels)).unwrap_or(0.0)
}

/// Moves the file into its place, as an editor does.
fn replace(rolewright: &Rolewright<'_>, chain: &str) {
    let (aside, path) = (rolewright.directory().join("new.yaml"), rolewright.directory().join("policies.yaml"));
    fs::write(&aside, chain).unwrap();
    fs::rename(&aside, &path).unwrap();
}

#[test]
fn another_chain_takes_the_place_of_the_one_in_force_and_a_bad_one_changes_nothing() {
    let (cluster, manifests) = world();
    let rolewright =
        Rolewright::new(&cluster, &manifests).policies(&chain(&[naming("app_")])).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    controller.wait_for("the policy chain is in force: naming");
    eventually("app_alice is made", SOON, || cluster.has_role("app_alice").then_some(()));
    let loads = |outcome: &str| {
        let labels = format!("outcome=\"{outcome}\"");
        metric(&controller, "postgres_controller_policy_chain_loads_total", &labels)
    };
    assert_eq!((loads("taken"), loads("refused")), (1.0, 0.0));

    // A bad one: its settings are refused, and the one before stays in force.
    replace(&rolewright, &chain(&[naming("")]));
    controller.wait_for("the one before stays in force");
    assert_eq!((loads("taken"), loads("refused")), (1.0, 1.0));
    assert_eq!(controller.metric("postgres_controller_policy_chain_outdated"), 1.0);
    manifests.users_exactly("users: [{username: app_alice, password: none}, {username: bob, password: none}]\n");
    controller.wait_for("\\\"bob\\\" begins with no allowed prefix");
    assert!(!cluster.has_role("bob"), "the chain before the bad one is still in force");
    assert!(controller.is_alive());

    // A good one is in force within a moment, though the next cycle is an hour away.
    replace(&rolewright, &chain(&[naming("b")]));
    controller.wait_for("a new policy chain is in force: naming");
    assert_eq!((loads("taken"), loads("refused")), (2.0, 1.0));
    assert_eq!(controller.metric("postgres_controller_policy_chain_outdated"), 0.0);
    replace(&rolewright, &chain(&[]));
    eventually("bob is made", SOON, || cluster.has_role("bob").then_some(()));
    controller.terminate().succeeds();
}

#[test]
fn a_module_that_is_rebuilt_under_a_running_controller_is_noticed() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "3600");
    let module = rolewright.directory().join("naming.wasm");
    fs::copy(guests::build(NAMING), &module).unwrap();
    let entry = json!({ "name": "mine", "module": "naming.wasm" });
    let rolewright = rolewright.policies(&chain(&[entry]));
    let controller = rolewright.run();
    controller.wait_for("in force: mine");
    fs::write(&module, b"half of a new module").unwrap();
    controller.wait_for("it is not WebAssembly");
    fs::copy(guests::build(TRANSFORMER), &module).unwrap();
    controller.wait_for("a new policy chain is in force: mine");
    controller.terminate().succeeds();
}

#[test]
fn a_chain_and_its_modules_may_lie_in_the_configmap() {
    let (cluster, manifests) = world();
    let naming = guests::build(NAMING);
    let module = |digest: &str| {
        json!({ "policies": [
            { "name": "naming", "module": "configmap:naming.wasm", "sha256": digest, "settings": { "prefixes": ["app_"] } },
            { "name": "standard", "module": "builtin:standard" },
        ] })
        .to_string()
    };
    let spec = "users: [{username: app_alice, password: none}, {username: bob, password: none}]\n";
    let digest = guests::sha256(&naming);
    let rolewright = Rolewright::new(&cluster, &manifests);
    manifests.users_and_policies(spec, &module(&digest), &[("naming.wasm", &naming)]);
    rolewright.apply().exits_with(3).says("name-prefix").mentions("bob");
    assert!(!cluster.has_role("app_alice"));

    manifests.users_and_policies(spec, &module(&digest), &[("other.wasm", &naming)]);
    rolewright.apply().exits_with(1).says("no key `naming.wasm`").mentions("other.wasm");
    manifests.users_and_policies(spec, &module(&"0".repeat(64)), &[("naming.wasm", &naming)]);
    rolewright.apply().exits_with(1).says(&digest);
    manifests.users_and_policies(spec, "policies: [{name: a, module: a.wasm}]\n", &[]);
    rolewright.apply().exits_with(1).says("#policies.yaml:1:").mentions("absolute path");
    assert!(!cluster.has_role("app_alice"));

    // A file that the operator names wins over what the ConfigMap says.
    let rolewright = rolewright.policies(&chain(&[]));
    rolewright.apply().succeeds().mentions("keep one of them");
    assert!(cluster.has_role("bob"));
}

#[test]
fn in_a_cluster_a_bad_chain_shows_in_status_and_events_and_the_one_before_goes_on() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::Named(&[])));
    let configmap = |spec: &str, policies: &str| {
        namespace.configmap_with(&json!({ "data": { "users.yaml": spec, "policies.yaml": policies } }));
    };
    let one = "users: [{username: alice, password: none}]\n";
    configmap(one, &chain(&[]));
    let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    namespace.wait_for_condition("PolicyChainLoaded", "True");
    eventually("alice is made", SOON, || cluster.has_role("alice").then_some(()));

    let two = "users: [{username: alice, password: none}, {username: bob, password: none}]\n";
    configmap(two, &chain(&[json!({ "name": "gone", "module": "/nowhere/gone.wasm" })]));
    let condition = namespace.wait_for_condition("PolicyChainLoaded", "False");
    assert!(condition.message.contains("/nowhere/gone.wasm"), "{condition:?}");
    assert!(condition.message.contains("standard"), "{condition:?}");
    let event = namespace.wait_for_event("PoliciesRefused");
    assert_eq!(event.kind, "Warning");
    eventually("bob is made", SOON, || cluster.has_role("bob").then_some(()));

    configmap(
        two,
        &chain(&[json!({ "name": "again", "module": "builtin:standard", "targets": { "names": ["no*"] } })]),
    );
    namespace.wait_for_condition("PolicyChainLoaded", "True");
    controller.terminate().succeeds();
}

#[test]
fn a_policy_on_trial_warns_and_stops_nothing_whatever_it_does() {
    let (cluster, manifests) = world();
    let mut trial = naming("team_");
    trial["mode"] = json!("warn");
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain(&[trial.clone()]));
    let output = rolewright.plan();
    output.succeeds();
    assert!(output.stdout.contains("warning[name-prefix]"), "{}", output.stdout);
    assert!(output.stdout.contains("policy: naming"), "{}", output.stdout);
    rolewright.apply().succeeds();
    assert!(cluster.has_role("app_alice"));

    // What is done cannot be done on trial.
    let hostile = guests::build(HOSTILE);
    let hostile = json!({ "name": "evil", "module": hostile, "mode": "warn" });
    let output = Rolewright::new(&cluster, &manifests).policies(&json!({ "policies": [hostile] }).to_string()).apply();
    output.exits_with(1).says("evil").mentions("exports `").mentions("mode: warn");
}

#[test]
fn a_policy_counts_for_the_servers_that_it_is_for() {
    let (cluster, manifests) = world();
    let mut production = naming("team_");
    production["targets"] = json!({ "labels": { "environment": "production" } });
    let chain = chain(&[production]);
    let rolewright = |labels: &str| Rolewright::new(&cluster, &manifests).policies(&chain).env("TARGET_LABELS", labels);
    rolewright("environment=test").plan().succeeds();
    rolewright("environment=production").plan().exits_with(3);
    rolewright("production").plan().exits_with(1).says("TARGET_LABELS");
}

#[test]
fn the_plan_names_who_changed_what() {
    let (cluster, manifests) = world();
    let chain = chain(&[json!({
        "name": "everybody-reads",
        "module": guests::build(TRANSFORMER),
        "settings": { "member-of": "pg_monitor" },
    })]);
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain);
    let output = rolewright.plan();
    output.succeeds();
    let told = "app_alice: member of pg_monitor, reader instead of reader (policy everybody-reads)";
    assert!(output.stdout.contains(told), "{}", output.stdout);
    let wish = &rolewright.command(&["plan", "--format", "json"]).json()["changed_by_policies"][0];
    assert_eq!((&wish["role"], &wish["policy"]), (&json!("app_alice"), &json!("everybody-reads")));
    assert_eq!((&wish["before"], &wish["after"]), (&json!("reader"), &json!("pg_monitor, reader")));
}

#[test]
fn an_unchanged_target_runs_no_module_and_drift_only_those_that_look_at_the_server() {
    let (cluster, manifests) = world();
    let rolewright =
        Rolewright::new(&cluster, &manifests).policies(&chain(&[naming("app_")])).env("SYNC_INTERVAL", "200ms");
    let controller = rolewright.run();
    let calls = |module: &str, stage: &str| {
        let labels = format!("module=\"{module}\",outcome=\"ok\",stage=\"{stage}\"");
        metric(&controller, "postgres_controller_policy_call_duration_seconds_count", &labels)
    };
    let all = || [calls("naming", "validate"), calls("standard", "validate"), calls("standard", "plan")];
    // Every twentieth cycle reads everything. The first that finds all as declared asks the planner about
    // just that; from then on nothing is news.
    controller.wait_for_cycles(25);
    let before = all();
    assert!(before.iter().all(|calls| *calls >= 1.0), "{before:?}");
    controller.wait_for_cycles(25);
    assert_eq!(all(), before);

    cluster.sql("REVOKE reader FROM app_alice");
    controller.wait_for_metric("postgres_controller_drift_total", 1.0);
    controller.wait_for_cycles(2);
    let after = all();
    assert_eq!(after[..2], before[..2], "the spec is the same, and so is what the validators say of it");
    assert!(after[2] > before[2], "{before:?} {after:?}");
    controller.terminate().succeeds();
}
