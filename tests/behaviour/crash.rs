//! A controller that is killed leaves the old state or the new one, and the next one goes on from
//! there. A lock that the test holds stops the victim in the middle of its work.

use std::time::Duration;

use rolewright_tests::source::{user, users};
use rolewright_tests::{Cluster, Manifests, Output, Rolewright, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sessions of the controller that wait for a lock.
const BLOCKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'test' AND wait_event_type = 'Lock'";

/// Sessions of the controller.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'test'";

fn wait_until_blocked(cluster: &Cluster) {
    eventually("the controller to wait for the lock", PATIENCE, || (cluster.value(BLOCKED) != "0").then_some(()));
}

fn wait_until_gone(cluster: &Cluster) {
    eventually("the victim's session to end", PATIENCE, || (cluster.value(SESSIONS) == "0").then_some(()));
}

/// Kills an apply that waits for these tables of a database.
pub(super) fn kill_at(rolewright: &Rolewright<'_>, cluster: &Cluster, database: &str, tables: &str) {
    kill_this_at(rolewright, &["apply"], cluster, database, tables);
}

/// The same of a command with arguments of its own.
pub(super) fn kill_this_at(
    rolewright: &Rolewright<'_>,
    arguments: &[&str],
    cluster: &Cluster,
    database: &str,
    tables: &str,
) {
    let mut holder = cluster.client(database);
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute(&format!("LOCK TABLE {tables} IN SHARE MODE")).unwrap();
    let victim = rolewright.start(arguments);
    wait_until_blocked(cluster);
    victim.kill();
    lock.rollback().unwrap();
    wait_until_gone(cluster);
}

/// What an apply comes to in the middle of which something happens: while it waits for these tables of a database.
pub(super) fn held_up_at(
    rolewright: &Rolewright<'_>,
    cluster: &Cluster,
    (database, tables): (&str, &str),
    meanwhile: impl FnOnce(),
) -> Output {
    let mut holder = cluster.client(database);
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute(&format!("LOCK TABLE {tables} IN SHARE MODE")).unwrap();
    let apply = rolewright.start(&["apply"]);
    wait_until_blocked(cluster);
    meanwhile();
    lock.rollback().unwrap();
    apply.finish()
}

/// Kills an apply that waits for these tables, and asserts that nothing is half done.
fn killed_at(tables: &str) {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE myapp");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
    manifests.secret("alice", "crash-alice-1").secret("bob", "crash-bob-1");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    let before = (cluster.roles(), rolewright.ledger());
    manifests.users(
        "users:
  - username: alice
    database: myapp
    roles: [writer]
  - username: carol
    database: myapp
    roles: [reader, writer]
  - username: bob
    database: postgres
    roles: [reader, writer]
",
    );
    manifests.secret("alice", "crash-alice-2").secret("carol", "crash-carol-1");

    kill_at(&rolewright, &cluster, "postgres", tables);
    let after_crash = (cluster.roles(), rolewright.ledger());

    rolewright.apply().succeeds();
    let after_repair = (cluster.roles(), rolewright.ledger());
    assert!(
        after_crash.0 == before.0 || after_crash.0 == after_repair.0,
        "half done at {tables}:\n{:#?}\nbefore:\n{:#?}",
        after_crash.0,
        before.0
    );
    if after_crash.0 == before.0 {
        assert_eq!(after_crash.1, before.1, "the ledger tells of something that was not done");
    }
    assert_eq!(cluster.memberships("carol"), ["reader", "writer"]);
    cluster.login("alice", "crash-alice-2", "myapp");
    rolewright.plan_json().is_empty();
}

#[test]
fn killed_before_the_first_write_it_has_done_nothing() {
    killed_at("pg_authid");
}

#[test]
fn killed_between_roles_and_memberships_it_has_done_nothing_or_all() {
    killed_at("pg_auth_members");
}

#[test]
fn killed_before_the_database_privileges_it_has_done_nothing_or_all() {
    killed_at("pg_database");
}

#[test]
fn killed_before_the_ledger_it_has_done_nothing_or_all() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "crash-alice-3");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.roles();
    let tables = cluster.column(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'rolewright'::regnamespace AND relkind = 'r'",
    );
    assert!(!tables.is_empty(), "the ledger has tables");

    manifests.users(&users(&[("alice", &["reader", "writer"])]));
    let mut holder = cluster.client("postgres");
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute(&format!("LOCK TABLE {} IN SHARE MODE", tables.join(", "))).unwrap();
    let victim = rolewright.start(&["apply"]);
    wait_until_blocked(&cluster);
    victim.kill();
    lock.rollback().unwrap();
    wait_until_gone(&cluster);

    let after_crash = cluster.roles();
    rolewright.apply().succeeds();
    assert!(after_crash == before || after_crash == cluster.roles(), "half done: {after_crash:#?}");
    rolewright.plan_json().is_empty();
}

#[test]
fn killed_at_any_moment_of_a_large_plan_it_has_made_nobody_or_everybody() {
    const USERS: usize = 300;
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let mut text = String::from("users:\n");
    for number in 0..USERS {
        text.push_str(&user(&format!("user{number}"), &["reader", "writer"]));
        text.push_str("    password: none\n");
    }
    manifests.users(&text);
    let count =
        || cluster.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'user%' OR rolname IN ('reader', 'writer')");
    let all = (USERS + 2).to_string();
    for milliseconds in [10, 20, 30, 45, 60, 80, 100, 130, 170, 220] {
        let rolewright = Rolewright::new(&cluster, &manifests);
        let victim = rolewright.start(&["apply"]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        victim.kill();
        wait_until_gone(&cluster);
        let found = count();
        assert!(found == "0" || found == all, "{found} of {all} roles after {milliseconds} ms");
    }
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(count(), all);
    rolewright.plan_json().is_empty();
}

#[test]
fn killed_in_the_middle_of_a_removal_the_next_one_finishes_it() {
    for database in ["first", "last"] {
        let cluster = Cluster::start();
        let manifests = Manifests::new();
        manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
        manifests.secret("alice", "crash-alice-4").secret("bob", "crash-bob-4");
        let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
        rolewright.apply().succeeds();
        for name in ["first", "last"] {
            cluster.sql(&format!("CREATE DATABASE {name}"));
            cluster.sql_in(name, "CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");
        }
        manifests.users(&users(&[("bob", &["reader"])]));

        // A new owner needs the table for himself.
        let mut holder = cluster.client(database);
        let mut lock = holder.transaction().unwrap();
        lock.batch_execute("LOCK TABLE treasure IN ACCESS SHARE MODE").unwrap();
        let victim = rolewright.start(&["apply"]);
        wait_until_blocked(&cluster);
        victim.kill();
        lock.rollback().unwrap();
        wait_until_gone(&cluster);
        assert!(
            cluster.has_role("alice") || rolewright.plan_json().steps().is_empty(),
            "alice is gone, but her removal is not done"
        );

        rolewright.apply().succeeds();

        assert!(!cluster.has_role("alice"));
        for name in ["first", "last"] {
            let owner = cluster.sql_in(name, "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'");
            assert_eq!(owner, [["postgres"]], "in {name}");
        }
        assert!(cluster.has_role("bob"));
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn a_session_ended_by_the_server_in_the_middle_is_tried_again() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "crash-alice-5");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let mut holder = cluster.client("postgres");
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("LOCK TABLE pg_auth_members IN SHARE MODE").unwrap();
    let apply = rolewright.start(&["apply"]);
    wait_until_blocked(&cluster);
    cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name <> 'test' AND wait_event_type = 'Lock'",
    );
    lock.rollback().unwrap();

    apply.finish().succeeds();

    assert_eq!(cluster.memberships("alice"), ["reader"]);
    cluster.login("alice", "crash-alice-5", "postgres");
}
