//! Two of them on one server get in each other's way at no point: one waits for the other.

use rolewright_tests::source::{user, users};
use rolewright_tests::{Cluster, Manifests, Rolewright};

fn declare_fifty(manifests: &Manifests) {
    let mut text = String::from("users:\n");
    for number in 0..50 {
        let name = format!("user{number}");
        text.push_str(&user(&name, &["reader", "writer"]));
        manifests.secret(&name, &format!("two-instances-{number}"));
    }
    manifests.users(&text);
}

fn nothing_collided(cluster: &Cluster, printed: &str) {
    for complaint in ["concurrently updated", "already exists", "duplicate key", "deadlock detected"] {
        assert!(!cluster.log().contains(complaint), "the server's log has '{complaint}'");
        assert!(!printed.contains(complaint), "'{complaint}' in\n{printed}");
    }
}

#[test]
fn two_applies_at_once_both_succeed() {
    for _ in 0..3 {
        let cluster = Cluster::start();
        let manifests = Manifests::new();
        declare_fifty(&manifests);
        let one = Rolewright::new(&cluster, &manifests);
        let other = Rolewright::new(&cluster, &manifests);
        let (first, second) = (one.start(&["apply"]), other.start(&["apply"]));
        let (first, second) = (first.finish(), second.finish());

        first.succeeds();
        second.succeeds();
        nothing_collided(&cluster, &format!("{}{}{}{}", first.stdout, first.stderr, second.stdout, second.stderr));
        assert_eq!(cluster.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'user%'"), "50");
        one.plan_json().is_empty();
        assert_eq!(one.state(), other.state());
    }
}

#[test]
fn two_controllers_work_side_by_side_while_the_source_and_the_server_move() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "two-instances-alice");
    let one = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let other = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let (first, second) = (one.run(), other.run());
    first.wait_for_cycles(1);
    second.wait_for_cycles(1);

    for round in 0..3 {
        cluster.sql("ALTER ROLE alice CREATEDB");
        let role = if round % 2 == 0 { "writer" } else { "auditor" };
        manifests.users(&users(&[("alice", &["reader", role])]));
        first.wait_for_cycles(2);
        second.wait_for_cycles(2);
        assert_eq!(cluster.attribute("alice", "rolcreatedb"), "f");
        assert_eq!(cluster.memberships("alice").len(), 2);
    }

    assert_eq!(first.metric("postgres_controller_errors_total"), 0.0);
    assert_eq!(second.metric("postgres_controller_errors_total"), 0.0);
    let (first, second) = (first.terminate(), second.terminate());
    first.succeeds();
    second.succeeds();
    nothing_collided(&cluster, &(first.stdout + &second.stdout));
}

#[test]
fn a_plan_made_on_knowledge_that_has_gone_stale_is_made_again() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &[])]));
    manifests.secret("alice", "two-instances-alice").secret("bob", "two-instances-bob");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &[])]));

    // Somebody else alters roles all the while.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = cluster.client("postgres");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for statement in ["CREATE ROLE passer_by", "DROP ROLE passer_by"] {
                    client.batch_execute(statement).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
        });
        let output = rolewright.apply();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        output.succeeds();
    });

    assert_eq!(cluster.memberships("alice"), ["reader", "writer"]);
}
