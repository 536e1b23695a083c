//! `STATE_FILE`: who is managed, in the form that the ancestor of this project wrote, replaced as a
//! whole after each cycle, and adopted where it is all that there is.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};
use serde_json::json;

const ALICE: &str = "users:
  - username: alice
    database: myapp
    roles: [read_only, analyst]
    privileges: null
";

#[test]
fn it_has_exactly_this_form() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE myapp");
    let manifests = Manifests::new();
    manifests.users(ALICE).secret("alice", "state-file-alice");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    let expected = json!({
        "alice": { "username": "alice", "database": "myapp", "roles": ["read_only", "analyst"], "privileges": null }
    });
    assert_eq!(rolewright.state(), expected);
}

#[test]
fn it_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "state-file-alice");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let inode = || fs::metadata(rolewright.state_file()).unwrap().ino();
    let before = inode();
    let held_open = fs::File::open(rolewright.state_file()).unwrap();

    manifests.users(&users(&[("alice", &["reader", "writer"])]));
    rolewright.apply().succeeds();

    assert_ne!(inode(), before, "it was written in place");
    let old: serde_json::Value = serde_json::from_reader(held_open).unwrap();
    assert_eq!(old["alice"]["roles"], json!(["reader"]), "who had it open saw a half-written file");
    assert_eq!(rolewright.state()["alice"]["roles"], json!(["reader", "writer"]));
    let beside: Vec<_> = fs::read_dir(rolewright.directory()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(beside, ["users_state.json"]);
}

#[test]
fn one_that_is_there_at_the_first_start_is_adopted_and_who_is_no_longer_declared_goes() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carol LOGIN");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "state-file-alice");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    let old = json!({
        "alice": { "username": "alice", "database": "postgres", "roles": [], "privileges": null },
        "bob": { "username": "bob", "database": "postgres", "roles": ["reader"], "privileges": null },
    });
    fs::write(rolewright.state_file(), old.to_string()).unwrap();

    rolewright.apply().succeeds();

    assert!(cluster.has_role("alice"));
    assert!(!cluster.has_role("bob"), "bob was managed and is no longer declared");
    assert!(cluster.has_role("carol"), "carol was never managed");
    assert_eq!(rolewright.state().as_object().unwrap().keys().collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn without_it_the_ledger_still_knows_who_is_managed() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[]), ("bob", &[])]));
    manifests.secret("alice", "state-file-alice").secret("bob", "state-file-bob");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    fs::remove_file(rolewright.state_file()).unwrap();
    manifests.users(&users(&[("bob", &[])]));

    rolewright.apply().succeeds();

    assert!(!cluster.has_role("alice"), "a lost state file made an orphan");
    assert!(rolewright.state_file().exists());
}

#[test]
fn one_that_cannot_be_read_is_never_taken_for_an_empty_one() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'state-file-controller'");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n").secret("alice", "state-file-alice");
    // Without a ledger the file is all that there is.
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "state-file-controller");
    rolewright.apply().succeeds();
    let before = cluster.roles();
    for broken in ["", "{\"alice\": {\"user", "[]", "\u{feff}nonsense"] {
        fs::write(rolewright.state_file(), broken).unwrap();
        rolewright.apply().exits_with(1).says("users_state.json");
        assert_eq!(cluster.roles(), before);
        assert_eq!(fs::read_to_string(rolewright.state_file()).unwrap(), broken, "the evidence was overwritten");
    }
}

#[test]
fn a_state_file_that_cannot_be_written_is_said_before_anything_is_changed_or_does_not_matter() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "state-file-alice");
    let rolewright = Rolewright::new(&cluster, &manifests).env("STATE_FILE", "/nonexistent/directory/state.json");

    rolewright.apply().says("/nonexistent/directory");
}
