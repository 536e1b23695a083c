//! One user's trouble is not everybody's: what concerns the others is done, what concerns that user
//! is undone as a whole and reported with the server's reason.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};

#[test]
fn when_one_users_steps_fail_the_others_land_and_the_failed_one_is_told_with_the_reason() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'fallback-controller'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("CREATE DATABASE open OWNER controller");
    let manifests = Manifests::new();
    manifests.users(
        "users:
  - username: alice
    database: open
    roles: [reader]
  - username: bob
    database: open
    roles: [reader]
    settings: {app.tenant: blue}  # nobody knows before whether that is a superuser's
  - username: carol
    database: open
    roles: [reader]
",
    );
    for user in ["alice", "bob", "carol"] {
        manifests.secret(user, &format!("fallback-{user}-1"));
    }
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "fallback-controller");

    let output = rolewright.apply();

    output.exits_with(1).says("bob").says("app.tenant").says("42501");
    for user in ["alice", "carol"] {
        assert_eq!(cluster.memberships(user), ["reader"]);
        cluster.login(user, &format!("fallback-{user}-1"), "open");
    }
    assert!(!cluster.has_role("bob"), "bob is half done");
    let managed = rolewright.state();
    assert!(managed.get("alice").is_some() && managed.get("bob").is_none(), "{managed:#}");

    cluster.sql("ALTER ROLE controller SUPERUSER");
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("bob"), ["reader"]);
    cluster.login("bob", "fallback-bob-1", "open");
}

#[test]
fn a_removal_that_cannot_be_finished_holds_up_nothing_else() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"]), ("carol", &["reader"])]));
    for user in ["alice", "bob", "carol"] {
        manifests.secret(user, &format!("fallback-{user}-2"));
    }
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    // Nobody can visit this database to reassign what alice owns there.
    cluster.sql("CREATE DATABASE sealed");
    cluster.sql_in("sealed", "CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");
    cluster.sql("UPDATE pg_database SET datallowconn = false WHERE datname = 'sealed'");
    manifests.users(&users(&[("carol", &["reader", "writer"])]));

    rolewright.apply().exits_with(1).says("alice").says("sealed");

    assert!(cluster.has_role("alice"));
    assert!(!cluster.has_role("bob"), "bob could have been removed");
    assert_eq!(cluster.memberships("carol"), ["reader", "writer"]);

    cluster.sql("UPDATE pg_database SET datallowconn = true WHERE datname = 'sealed'");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice"));
}

#[test]
fn a_database_that_is_not_there_concerns_its_users_only() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    database: nowhere\n  - username: bob\n    database: postgres\n");
    manifests.secret("alice", "fallback-alice-3").secret("bob", "fallback-bob-3");

    Rolewright::new(&cluster, &manifests).apply().exits_with(1).says("alice").says("nowhere");

    cluster.login("bob", "fallback-bob-3", "postgres");
}

#[test]
fn a_removal_whose_receiver_is_not_there_removes_nobody() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[]), ("bob", &[])]));
    manifests.secret("alice", "fallback-alice-4").secret("bob", "fallback-bob-4");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    cluster.sql("CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");
    manifests.users(&users(&[("bob", &[])]));

    let output = rolewright.env("REASSIGN_OWNED_TO", "nobody_here").apply();

    assert!(matches!(output.status, Some(1 | 3)), "{:?}\n{}", output.status, output.stderr);
    output.says("nobody_here");
    assert!(cluster.has_role("alice"));
    assert_eq!(cluster.value("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'"), "alice");
}
