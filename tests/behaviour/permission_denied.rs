//! A controller that may not do everything: what it may do is done, and what it may not is explained
//! in words, with what to do about it.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, session};

const PASSWORD: &str = "denied-controller";

/// A server on which `controller` may log in with these attributes.
fn cluster_with_controller(attributes: &str) -> Cluster {
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE controller LOGIN {attributes} PASSWORD '{PASSWORD}'"));
    cluster
}

#[test]
fn without_createrole_it_says_so_and_changes_nothing() {
    let cluster = cluster_with_controller("");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    roles: [reader]\n").secret("alice", "denied-alice-1");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD);
    let before = cluster.roles();

    rolewright.apply().exits_with(1).says("CREATEROLE").says("controller");

    assert_eq!(cluster.roles(), before);
}

#[test]
fn with_createrole_it_manages_roles_of_its_own_without_being_a_superuser() {
    let cluster = cluster_with_controller("CREATEROLE");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    roles: [reader]\n  - username: bob\n    roles: [reader]\n");
    manifests.secret("alice", "denied-alice-2").secret("bob", "denied-bob-2");
    let rolewright =
        Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    cluster.login("alice", "denied-alice-2", "postgres");
    assert_eq!(cluster.memberships("alice"), ["reader"]);
    // 16 and later gave the controller an edge to each role that it made. It is no drift.
    rolewright.plan_json().is_empty();

    cluster.sql("REVOKE reader FROM alice GRANTED BY controller");
    manifests.secret("bob", "denied-bob-3");
    rolewright.apply().succeeds();
    cluster.login("bob", "denied-bob-3", "postgres");
    assert_eq!(cluster.memberships("alice"), ["reader"]);

    manifests.users("users:\n  - username: bob\n    roles: [writer]\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice") && !cluster.has_role("reader"));
    assert_eq!(cluster.memberships("bob"), ["writer"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn where_it_cannot_see_verifiers_the_ledger_tells_which_secret_was_applied() {
    let cluster = cluster_with_controller("CREATEROLE");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n").secret("alice", "denied-alice-4");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD);
    rolewright.apply().succeeds();
    let before = cluster.attribute("alice", "rolpassword");

    rolewright.apply().succeeds();
    assert_eq!(cluster.attribute("alice", "rolpassword"), before, "sent again although nothing has changed");

    manifests.secret("alice", "denied-alice-5");
    assert_eq!(rolewright.plan_json().actions(), ["set-password alice"]);
    rolewright.apply().succeeds();
    cluster.login("alice", "denied-alice-5", "postgres");
}

#[test]
fn where_the_schema_may_not_be_created_the_state_file_serves_alone_and_the_log_says_so() {
    let cluster = cluster_with_controller("CREATEROLE");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n  - username: bob\n");
    manifests.secret("alice", "denied-alice-6").secret("bob", "denied-bob-6");
    let rolewright =
        Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD).env("MAX_DELETIONS", "100%");

    rolewright.apply().succeeds().mentions("state file").says("rolewright");
    assert_eq!(cluster.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'rolewright'"), "0");
    let before = cluster.fingerprint();
    rolewright.apply().succeeds();
    assert_eq!(cluster.fingerprint(), before, "the second apply wrote");

    manifests.users("users:\n  - username: bob\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice"), "the state file knew that she was managed");
    assert!(cluster.has_role("bob"));
}

#[test]
fn a_role_that_it_may_not_manage_is_explained_and_the_others_are_done() {
    let cluster = cluster_with_controller("CREATEROLE");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller; CREATE ROLE alice LOGIN SUPERUSER");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n  - username: bob\n");
    manifests.secret("alice", "denied-alice-7").secret("bob", "denied-bob-7");

    let output = Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD).apply();

    output.exits_with(1).says("alice").mentions("superuser");
    assert_eq!(cluster.attribute("alice", "rolsuper AND rolpassword IS NULL"), "t");
    cluster.login("bob", "denied-bob-7", "postgres");
}

#[test]
fn on_16_and_later_a_role_made_by_somebody_else_needs_admin_and_that_is_said_before() {
    if session::postgres_major() < 16 {
        return; // CREATEROLE reaches every role but superusers
    }
    let cluster = cluster_with_controller("CREATEROLE");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller; CREATE ROLE alice LOGIN");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n  - username: bob\n");
    manifests.secret("alice", "denied-alice-8").secret("bob", "denied-bob-8");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD);

    rolewright.apply().exits_with(1).says("alice").says("ADMIN");
    assert_eq!(cluster.attribute("alice", "rolpassword IS NULL"), "t");
    assert!(cluster.has_role("bob"));

    cluster.sql("GRANT alice TO controller WITH ADMIN OPTION");
    rolewright.apply().succeeds();
    cluster.login("alice", "denied-alice-8", "postgres");
}

#[test]
fn a_grant_that_the_server_only_warns_about_is_no_success() {
    // Each of two roles gives the controller half of the right: GRANT takes the one that has more, grants that half,
    // warns, and succeeds.
    let cluster = cluster_with_controller("CREATEROLE");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("CREATE DATABASE private");
    cluster.sql("CREATE ROLE one; CREATE ROLE two; GRANT one, two TO controller");
    cluster.sql("GRANT CONNECT ON DATABASE private TO one WITH GRANT OPTION");
    cluster.sql("GRANT CREATE ON DATABASE private TO two WITH GRANT OPTION");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    database: private\n    privileges: [CREATE]\n");
    manifests.secret("alice", "denied-alice-9");

    let output = Rolewright::new(&cluster, &manifests).connect_as("controller", PASSWORD).apply();

    let creates = cluster.value("SELECT has_database_privilege('alice', 'private', 'CREATE')") == "t";
    assert!(!(creates && cluster.has_connect("alice", "private")));
    output.exits_with(1).says("alice").says("private").says("every statement was accepted");
}

#[test]
fn a_password_that_is_wrong_for_the_controller_is_explained() {
    let cluster = cluster_with_controller("CREATEROLE");
    let manifests = Manifests::new();
    manifests.users(&users(&[]).replace("users:\n", "users: []\n"));
    Rolewright::new(&cluster, &manifests)
        .connect_as("controller", "denied-not-the-password")
        .apply()
        .exits_with(1)
        .says("controller")
        .says("DB_PASS");
}
