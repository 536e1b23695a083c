//! The server goes away and comes back: the controller says so, stays alive, and goes on.

use std::time::{Duration, Instant};

use rolewright_tests::cluster::Stop;
use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_controller_survives_its_server_and_goes_on_when_it_is_back() {
    for how in [Stop::Fast, Stop::Immediate] {
        let cluster = Cluster::start();
        let manifests = Manifests::new();
        manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "away-alice-1");
        let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1").env("MAX_RETRIES", "1");
        let controller = rolewright.run();
        controller.wait_for_cycles(1);
        eventually("ready", PATIENCE, || (controller.get("/readyz").status == 200).then_some(()));

        cluster.stop(how);
        controller.wait_for_metric("postgres_controller_errors_total", 1.0);
        eventually("no longer ready", PATIENCE, || (controller.get("/readyz").status == 503).then_some(()));
        assert_eq!(controller.get("/livez").status, 200, "it is not its own fault");
        assert!(controller.is_alive());
        assert!(controller.metric("postgres_controller_last_error_timestamp") > 1.7e9);

        cluster.restart();
        manifests.users(&users(&[("alice", &["reader", "writer"])])).secret("alice", "away-alice-2");
        eventually("ready again", PATIENCE, || (controller.get("/readyz").status == 200).then_some(()));
        controller.wait_for_cycles(2);
        assert_eq!(cluster.memberships("alice"), ["reader", "writer"]);
        cluster.login("alice", "away-alice-2", "postgres");
        controller.terminate().succeeds();
    }
}

#[test]
fn a_controller_that_starts_before_its_server_waits_for_it() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "away-alice-3");
    cluster.stop(Stop::Fast);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1").env("MAX_RETRIES", "1");
    let controller = rolewright.run();
    controller.wait_for_metric("postgres_controller_errors_total", 1.0);
    assert_eq!(controller.get("/readyz").status, 503);

    cluster.restart();

    controller.wait_for_cycles(1);
    assert!(cluster.has_role("alice"));
    controller.terminate().succeeds();
}

#[test]
fn an_apply_tries_again_as_often_as_told_and_then_says_what_it_tried() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "away-alice-4");
    cluster.stop(Stop::Fast);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_RETRIES", "2");

    let output = rolewright.apply();

    output.exits_with(1).says(&format!("127.0.0.1:{}", cluster.port)).mentions("refused");
}

#[test]
fn an_apply_that_finds_its_server_on_the_second_try_succeeds() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "away-alice-5");
    cluster.stop(Stop::Fast);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_RETRIES", "30").env("RETRY_BACKOFF_BASE", "1.1");
    let apply = rolewright.start(&["apply"]);
    std::thread::sleep(Duration::from_millis(700));

    cluster.restart();

    apply.finish().succeeds();
    assert!(cluster.has_role("alice"));
}

#[test]
fn what_cannot_get_better_is_not_tried_again() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "away-alice-6");
    let start = Instant::now();

    Rolewright::new(&cluster, &manifests)
        .env("DB_PASS", "away-wrong-password")
        .env("RETRY_BACKOFF_BASE", "10")
        .apply()
        .exits_with(1)
        .mentions("password");
    Rolewright::new(&cluster, &manifests)
        .env("DB_NAME", "no_such_database")
        .env("RETRY_BACKOFF_BASE", "10")
        .apply()
        .exits_with(1)
        .says("no_such_database");

    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
}
