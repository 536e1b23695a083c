//! `/metrics`, `/livez` and `/readyz`: what they say is so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rolewright_tests::cluster::Stop;
use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn every_metric_is_there_from_the_start_and_tells_what_happened() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["reader"])]));
    manifests.secret("alice", "metrics-alice").secret("bob", "metrics-bob");
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_cycles(2);

    let metrics = controller.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.to_lowercase().contains("content-type: text/plain"), "{}", metrics.head);
    let value = |name: &str| {
        let found = metrics.metric(&format!("postgres_controller_{name}"), None);
        found.unwrap_or_else(|| panic!("there is no postgres_controller_{name} in\n{}", metrics.body))
    };
    assert!(value("reconciliations_total") >= 2.0);
    assert_eq!(value("users_managed"), 2.0);
    assert_eq!(value("roles_managed"), 2.0);
    assert_eq!(value("drift_total"), 0.0);
    assert_eq!(value("errors_total"), 0.0);
    assert_eq!(value("last_error_timestamp"), 0.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let last = value("last_reconciliation_timestamp");
    assert!((now - 60.0..=now + 1.0).contains(&last), "{last} is not now, {now}");
    for histogram in [
        "cycle_duration_seconds",
        "stage_duration_seconds",
        "policy_call_duration_seconds",
        "policy_call_fuel",
        "plan_steps",
    ] {
        assert!(value(&format!("{histogram}_count")) >= 1.0, "{histogram}");
        assert!(value(&format!("{histogram}_sum")) >= 0.0, "{histogram}");
    }
    assert_eq!(value("held_plans_total"), 0.0);
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let name: String = line.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let help = [format!("# HELP {family} "), format!("# HELP {name} ")];
        assert!(help.iter().any(|help| metrics.body.contains(help.as_str())), "{name} is not explained");
    }
    controller.terminate().succeeds();
}

#[test]
fn errors_are_counted_and_dated() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users: nonsense\n");
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_metric("postgres_controller_errors_total", 1.0);
    assert!(controller.metric("postgres_controller_last_error_timestamp") > 1.7e9);
    controller.terminate().succeeds();
}

#[test]
fn it_is_ready_after_the_first_good_cycle_and_not_before() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users: nonsense\n").secret("alice", "metrics-alice");
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_metric("postgres_controller_errors_total", 1.0);
    assert_eq!(controller.get("/livez").status, 200);
    let not_ready = controller.get("/readyz");
    assert_eq!(not_ready.status, 503);
    assert!(!not_ready.body.trim().is_empty(), "it does not say why");

    manifests.users(&users(&[("alice", &[])]));

    eventually("ready", PATIENCE, || (controller.get("/readyz").status == 200).then_some(()));
    assert!(cluster.has_role("alice"));
    controller.terminate().succeeds();
}

#[test]
fn a_page_that_is_not_there_is_not_found() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users: []\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let controller = rolewright.run();
    assert_eq!(controller.get("/nonsense").status, 404);
    controller.terminate().succeeds();
}

#[test]
fn a_cycle_that_fails_leaves_no_gauge_that_tells_of_the_one_before() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let everyone = users(&[("alice", &[]), ("bob", &[]), ("carol", &[])]);
    manifests.users(&everyone);
    for name in ["alice", "bob", "carol"] {
        manifests.secret(name, &format!("metrics-gauges-{name}"));
    }
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    let gauges = || ["synced", "held"].map(|name| controller.metric(&format!("postgres_controller_{name}")));
    eventually("the users to be there", PATIENCE, || (gauges() == [1.0, 0.0]).then_some(()));
    manifests.users(&users(&[("alice", &[])]));
    eventually("the plan to be held", PATIENCE, || (gauges() == [0.0, 1.0]).then_some(()));

    cluster.stop(Stop::Fast);

    eventually("nothing to be held", PATIENCE, || (gauges() == [0.0, 0.0]).then_some(()));
    assert_eq!(controller.get("/readyz").status, 503);
    cluster.restart();
    manifests.users(&everyone);
    eventually("everything to be as declared", PATIENCE, || (gauges() == [1.0, 0.0]).then_some(()));
    cluster.stop(Stop::Fast);
    eventually("nobody to say so", PATIENCE, || (gauges() == [0.0, 0.0]).then_some(()));
    controller.terminate().succeeds();
}
