//! `plan --rehearse`: the plan runs inside PostgreSQL and is rolled back; the server's own word on it
//! is what is reported.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};

#[test]
fn the_server_accepts_the_plan_and_nothing_of_it_stays() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
    manifests.secret("alice", "rehearse-alice").secret("bob", "rehearse-bob");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let before = cluster.fingerprint();

    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");

    assert_eq!(cluster.fingerprint(), before);
    assert!(!rolewright.state_file().exists());
    assert!(rolewright.ledger().is_empty());
}

#[test]
fn a_rehearsal_with_changes_pending_has_the_exit_code_of_a_plan() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "rehearse-alice");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.command(&["plan", "--rehearse", "--exit-code"]).exits_with(2);
    rolewright.apply().succeeds();
    rolewright.command(&["plan", "--rehearse", "--exit-code"]).exits_with(0);
}

#[test]
fn what_the_server_would_refuse_is_found_and_explained() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'rehearse-controller'");
    let manifests = Manifests::new();
    // Nobody knows before whether that is a superuser's.
    manifests.users("users:\n  - username: alice\n    settings: {app.tenant: blue}\n");
    manifests.secret("alice", "rehearse-alice");
    let before = cluster.fingerprint();

    Rolewright::new(&cluster, &manifests)
        .connect_as("controller", "rehearse-controller")
        .command(&["plan", "--rehearse"])
        .exits_with(1)
        .says("app.tenant");

    assert_eq!(cluster.fingerprint(), before);
}

#[test]
fn a_removal_is_rehearsed_without_ending_a_session_or_moving_an_object() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[]), ("bob", &[])]));
    manifests.secret("alice", "rehearse-alice").secret("bob", "rehearse-bob");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    cluster.sql("CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");
    let mut session = cluster.login("alice", "rehearse-alice", "postgres");
    let before = cluster.fingerprint();
    manifests.users(&users(&[("bob", &[])]));

    rolewright.command(&["plan", "--rehearse"]).succeeds();

    assert!(session.simple_query("SELECT 1").is_ok(), "a rehearsal ended a session");
    assert_eq!(cluster.value("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'"), "alice");
    assert_eq!(cluster.fingerprint(), before);
}
