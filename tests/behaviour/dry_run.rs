//! `run` with `DRY_RUN=true`: says what it would do, in lines that scripts look for, and does
//! nothing.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};
use serde_json::Value;

fn messages(log: &[Value]) -> Vec<String> {
    let lines = log.iter().filter_map(|line| line["message"].as_str());
    lines.filter(|message| message.starts_with("[DRY-RUN]")).map(str::to_owned).collect()
}

#[test]
fn it_says_what_it_would_do_in_exactly_these_lines() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE myapp");
    cluster.sql("CREATE ROLE bob LOGIN; CREATE ROLE developer; CREATE ROLE read_only");
    let manifests = Manifests::new();
    manifests.users(
        "users:
  - username: alice
    database: myapp
    roles: [read_only, analyst]
    privileges: null
  - username: bob
    roles: [developer]
    password: none
",
    );
    manifests.secret("alice", "dry-run-alice");
    let rolewright = Rolewright::new(&cluster, &manifests).env("DRY_RUN", "true").env("SYNC_INTERVAL", "1");
    let before = cluster.fingerprint();
    let controller = rolewright.run();
    controller.wait_for("[DRY-RUN] Would grant roles to bob");
    controller.wait_for_cycles(1);

    let said = messages(&controller.log());
    for line in [
        "[DRY-RUN] Would create role: analyst",
        "[DRY-RUN] Would create user: alice with roles ['read_only', 'analyst']",
        "[DRY-RUN] Would grant roles to bob: {'developer'}",
    ] {
        assert!(said.iter().any(|message| message == line), "'{line}' is not among {said:#?}");
    }
    assert!(!said.iter().any(|message| message.contains("role: read_only")), "it is there already");
    controller.terminate().succeeds();
    assert_eq!(cluster.fingerprint(), before);
    assert!(!rolewright.state_file().exists(), "a dry run leaves no state");
    assert!(rolewright.ledger().is_empty(), "a dry run leaves no ledger");
}

#[test]
fn apply_with_dry_run_changes_nothing_either() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "dry-run-alice");
    let rolewright = Rolewright::new(&cluster, &manifests).env("DRY_RUN", "true");
    let before = cluster.fingerprint();

    rolewright.apply().succeeds().says("alice");

    assert_eq!(cluster.fingerprint(), before);
}

#[test]
fn when_there_is_nothing_to_do_it_says_nothing() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "dry-run-alice");
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    let rolewright = Rolewright::new(&cluster, &manifests).env("DRY_RUN", "true");

    let controller = rolewright.run();
    controller.wait_for_cycles(1);

    assert!(messages(&controller.log()).is_empty());
    controller.terminate().succeeds();
}
