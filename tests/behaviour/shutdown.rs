//! SIGTERM and SIGINT end a controller soon and cleanly: the transaction in hand is finished or
//! rolled back.

use std::time::{Duration, Instant};

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, Signal, eventually};

fn world() -> (Cluster, Manifests) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "shutdown-alice");
    (cluster, manifests)
}

#[test]
fn an_idle_controller_ends_at_once_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (cluster, manifests) = world();
        let rolewright = Rolewright::new(&cluster, &manifests);
        let controller = rolewright.run();
        controller.wait_for_cycles(1);
        let start = Instant::now();
        controller.signal(signal);
        controller.finish().succeeds();
        assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'test'";
        eventually("its sessions to end", Duration::from_secs(5), || (cluster.value(sessions) == "0").then_some(()));
    }
}

#[test]
fn a_controller_in_the_middle_of_a_transaction_leaves_no_half_state() {
    let (cluster, manifests) = world();
    let before = cluster.roles();
    let mut holder = cluster.client("postgres");
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("LOCK TABLE pg_auth_members IN SHARE MODE").unwrap();
    let rolewright = Rolewright::new(&cluster, &manifests);
    let controller = rolewright.run();
    let blocked = "SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name <> 'test' AND wait_event_type = 'Lock'";
    eventually("the controller to wait", Duration::from_secs(30), || (cluster.value(blocked) != "0").then_some(()));

    let start = Instant::now();
    controller.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    lock.rollback().unwrap();
    controller.finish().succeeds();

    assert!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());
    let after = cluster.roles();
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    assert!(after == before || after == cluster.roles(), "half done: {after:#?}");
}

#[test]
fn a_controller_that_waits_for_its_server_ends_at_once_too() {
    let (cluster, manifests) = world();
    cluster.stop(rolewright_tests::cluster::Stop::Fast);
    let rolewright = Rolewright::new(&cluster, &manifests).env("RETRY_BACKOFF_BASE", "60").env("MAX_RETRIES", "100");
    let controller = rolewright.run();
    assert_eq!(controller.get("/livez").status, 200);
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    controller.terminate().succeeds();
    assert!(start.elapsed() < Duration::from_secs(3), "it took {:?}", start.elapsed());
}
