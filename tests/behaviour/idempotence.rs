//! A server that is as declared is left alone: not one row is written, neither by the next apply
//! nor by the cycles of a controller.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};

fn declare(manifests: &Manifests) {
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["reader"]), ("carol", &[])]));
    for user in ["alice", "bob", "carol"] {
        manifests.secret(user, &format!("idempotence-{user}"));
    }
}

#[test]
fn the_second_apply_writes_nothing() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    // Reads of the kind to come are done once, and what lazy maintenance they bring.
    rolewright.plan_json().is_empty();
    cluster.settle();
    let (log, roles, ledger) = (cluster.wal_position(), cluster.fingerprint(), rolewright.ledger());

    rolewright.apply().succeeds();

    assert_eq!(cluster.fingerprint(), roles);
    assert_eq!(rolewright.ledger(), ledger);
    assert_eq!(cluster.wal_position(), log, "something was written to the write-ahead log");
}

#[test]
fn the_cycles_of_a_controller_write_nothing_when_there_is_nothing_to_do() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    rolewright.apply().succeeds();
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    cluster.settle();
    let (log, roles) = (cluster.wal_position(), cluster.fingerprint());

    controller.wait_for_cycles(3);

    assert_eq!(cluster.fingerprint(), roles);
    assert_eq!(cluster.wal_position(), log, "something was written to the write-ahead log");
    controller.terminate().succeeds();
}

#[test]
fn a_plan_writes_nothing_even_when_there_is_much_to_do() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds();
    cluster.settle();
    let (log, roles) = (cluster.wal_position(), cluster.fingerprint());

    for format in ["text", "json", "sql", "markdown"] {
        rolewright.command(&["plan", "--format", format]).succeeds().says("alice");
    }

    assert_eq!(cluster.fingerprint(), roles);
    assert_eq!(cluster.wal_position(), log, "something was written to the write-ahead log");
    assert!(!rolewright.state_file().exists(), "a plan changes no state");
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests);
    let rolewright = Rolewright::new(&cluster, &manifests);
    for format in ["text", "json", "sql", "markdown"] {
        let first = rolewright.command(&["plan", "--format", format]);
        let second = rolewright.command(&["plan", "--format", format]);
        first.succeeds().says("alice");
        assert_eq!(first.stdout, second.stdout, "{format}");
    }
}

#[test]
fn the_order_of_users_and_roles_in_the_file_is_no_change() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();

    manifests.users(&users(&[("carol", &[]), ("bob", &["reader"]), ("alice", &["writer", "reader"])]));

    rolewright.plan_json().is_empty();
}
