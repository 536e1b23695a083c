//! A plan that takes more locks than the server has room for is applied in parts: each a transaction
//! with its record in the ledger, so that whatever happens in between, the next one goes on from there.

use std::fmt::Write as _;
use std::time::Duration;

use postgres::{Client, Transaction};
use rolewright_tests::{Cluster, Manifests, Options, Rolewright, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

const BLOCKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'test' AND wait_event_type = 'Lock'";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'test'";
const MADE: &str = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'u%'";
const RECORDED: &str = "SELECT count(*) FROM rolewright.roles WHERE name LIKE 'u%'";
/// Users that have only a part of what is declared.
const HALF_DONE: &str = "SELECT count(*) FROM pg_roles AS u WHERE u.rolname LIKE 'u%'
    AND NOT (pg_has_role(u.oid, 'r', 'MEMBER') AND EXISTS
        (SELECT FROM pg_database, aclexplode(datacl) AS acl WHERE datname = 'shop' AND acl.grantee = u.oid))";
const PARTS: &str = "SELECT count(*) FROM rolewright.history";

/// Each locks itself as it is created (from PostgreSQL 16 on) and as it is let into the database (on all).
fn fleet(users: usize) -> String {
    let mut text = String::from("users:\n");
    for number in 0..users {
        writeln!(text, "- {{username: u{number:05}, database: shop, roles: [r], password: none}}").unwrap();
    }
    text
}

/// The smallest lock table that there is.
fn narrow() -> Cluster {
    let cluster = Options::default().setting("max_locks_per_transaction", "10").start();
    cluster.sql("CREATE DATABASE shop");
    cluster
}

/// Somebody keeps the last user's name for himself, so that the last part has to wait for him.
fn keeps_the_last_name(client: &mut Client, users: usize) -> Transaction<'_> {
    let mut other = client.transaction().unwrap();
    other.batch_execute(&format!("CREATE ROLE u{:05}", users - 1)).unwrap();
    other
}

fn waits_for_it(cluster: &Cluster) {
    eventually("the last part", PATIENCE, || (cluster.value(BLOCKED) != "0").then_some(()));
}

fn number(cluster: &Cluster, query: &str) -> usize {
    cluster.value(query).parse().unwrap()
}

#[test]
fn ten_thousand_users_fit_a_server_as_it_comes() {
    let cluster = Cluster::start();
    assert_eq!(cluster.value("SHOW max_locks_per_transaction"), "64");
    cluster.sql("CREATE DATABASE shop");
    let manifests = Manifests::new();
    manifests.users(&fleet(10_000));
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    assert_eq!(number(&cluster, MADE), 10_000);
    assert_eq!(number(&cluster, RECORDED), 10_000);
    assert_eq!(cluster.value(HALF_DONE), "0");
    rolewright.plan_json().is_empty();
}

#[test]
fn users_that_go_are_dropped_in_parts_too() {
    let cluster = narrow();
    let manifests = Manifests::new();
    manifests.users(&fleet(1_200));
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    manifests.users("users:\n- {username: last, password: none}\n");

    rolewright.apply().succeeds();

    assert_eq!(cluster.value(MADE), "0");
    assert_eq!(cluster.value(RECORDED), "0");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_plan_that_the_lock_table_has_room_for_is_one_transaction() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE shop");
    let manifests = Manifests::new();
    manifests.users(&fleet(1_000));
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    assert_eq!(number(&cluster, MADE), 1_000);
    assert_eq!(cluster.value("SELECT count(DISTINCT xmin::text) FROM pg_authid WHERE rolname LIKE 'u%'"), "1");
    assert_eq!(cluster.value(PARTS), "1");
}

#[test]
fn killed_between_two_parts_each_user_is_made_and_recorded_or_neither() {
    const USERS: usize = 1_500;
    let cluster = narrow();
    let manifests = Manifests::new();
    manifests.users(&fleet(USERS));
    let rolewright = Rolewright::new(&cluster, &manifests);

    let mut holder = cluster.client("postgres");
    let other = keeps_the_last_name(&mut holder, USERS);
    let victim = rolewright.start(&["apply"]);
    waits_for_it(&cluster);
    victim.kill();
    other.rollback().unwrap();
    eventually("the victim's session to end", PATIENCE, || (cluster.value(SESSIONS) == "0").then_some(()));

    let (made, parts) = (number(&cluster, MADE), number(&cluster, PARTS));
    assert!(0 < made && made < USERS, "{made} of {USERS} users were made");
    assert!(parts > 1, "{made} users in {parts} parts");
    assert_eq!(number(&cluster, RECORDED), made, "what is recorded is not what is there");
    assert_eq!(cluster.value(HALF_DONE), "0");

    let plan = rolewright.plan_json();
    assert_eq!(plan.causes(), ["spec"], "what was not done yet is taken for drift");
    let created = plan.steps().iter().filter(|step| step["action"] == "create-role").count();
    assert_eq!(created, USERS - made);
    rolewright.apply().succeeds();
    assert_eq!(number(&cluster, MADE), USERS);
    assert_eq!(number(&cluster, RECORDED), USERS);
    assert_eq!(cluster.value(HALF_DONE), "0");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_change_by_another_between_two_parts_is_seen() {
    const USERS: usize = 1_500;
    let cluster = narrow();
    let manifests = Manifests::new();
    manifests.users(&fleet(USERS));
    let rolewright = Rolewright::new(&cluster, &manifests);
    let mut holder = cluster.client("postgres");
    let other = keeps_the_last_name(&mut holder, USERS);
    let apply = rolewright.start(&["apply"]);
    waits_for_it(&cluster);
    // A user of an earlier part is changed, and the name of one of the last part is taken.
    cluster.sql("ALTER ROLE u00000 NOLOGIN");
    other.commit().unwrap();

    apply.finish().succeeds();

    assert_eq!(cluster.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'u%' AND rolcanlogin"), "1500");
    assert_eq!(number(&cluster, RECORDED), USERS);
    assert_eq!(cluster.value(HALF_DONE), "0");
    rolewright.plan_json().is_empty();
}

#[test]
fn where_others_hold_the_locks_the_parts_get_smaller() {
    let cluster = narrow();
    let manifests = Manifests::new();
    manifests.users(&fleet(600));
    let rolewright = Rolewright::new(&cluster, &manifests);
    // As many as there are, less a few: what is asked of the server then is less than half of the table.
    let mut holder = cluster.client("postgres");
    let mut other = holder.transaction().unwrap();
    let mut held = 0;
    let taken = loop {
        let number = held + 1;
        other.batch_execute("SAVEPOINT one").unwrap();
        match other.batch_execute(&format!("SELECT pg_advisory_xact_lock_shared({number})")) {
            Ok(()) => held = number,
            Err(error) => {
                assert_eq!(error.code().map(postgres::error::SqlState::code), Some("53200"));
                other.batch_execute("ROLLBACK").unwrap();
                break held - 60;
            }
        }
    };
    drop(other);
    let mut other = holder.transaction().unwrap();
    other.batch_execute(&format!("SELECT pg_advisory_xact_lock_shared(n) FROM generate_series(1, {taken}) n")).unwrap();

    let output = rolewright.apply();

    output.succeeds().says("the server's lock table has no room for this in one transaction");
    other.rollback().unwrap();
    assert_eq!(number(&cluster, MADE), 600);
    assert_eq!(cluster.value(HALF_DONE), "0");
    rolewright.plan_json().is_empty();
}
