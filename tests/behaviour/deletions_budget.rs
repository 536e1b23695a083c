//! How much one plan may remove: beyond it the plan is held until somebody approves exactly this
//! plan by its digest.

use rolewright_tests::source::user;
use rolewright_tests::{Cluster, Manifests, Rolewright};

/// Declares `count` of ten users, all in `staff`.
fn declare(manifests: &Manifests, count: usize) {
    let mut text = String::from("users:\n");
    for number in 0..count {
        let name = format!("user{number}");
        text.push_str(&user(&name, &["staff"]));
        manifests.secret(&name, &format!("deletions-budget-{number}"));
    }
    manifests.users(if count == 0 { "users: []\n" } else { &text });
}

fn remaining(cluster: &Cluster) -> String {
    cluster.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'user%'")
}

#[test]
fn a_fifth_of_the_managed_users_may_go_by_default_and_not_one_more() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.fingerprint();

    declare(&manifests, 7);
    rolewright.apply().exits_with(3).mentions("MAX_DELETIONS").mentions("--approve");
    assert_eq!(cluster.fingerprint(), before, "a held plan changes nothing");

    declare(&manifests, 8);
    rolewright.apply().succeeds();
    assert_eq!(remaining(&cluster), "8");
}

#[test]
fn a_number_is_a_limit_too() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "3");
    rolewright.apply().succeeds();

    declare(&manifests, 6);
    rolewright.apply().exits_with(3);
    assert_eq!(remaining(&cluster), "10");

    declare(&manifests, 7);
    rolewright.apply().succeeds();
    assert_eq!(remaining(&cluster), "7");
}

#[test]
fn with_a_budget_of_zero_nothing_goes_unapproved() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "0");
    rolewright.apply().succeeds();

    declare(&manifests, 9);
    rolewright.apply().exits_with(3);

    assert_eq!(remaining(&cluster), "10");
}

#[test]
fn a_held_plan_runs_when_it_is_approved_by_its_digest_and_by_no_other() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    declare(&manifests, 4);
    let held = rolewright.command(&["plan", "--format", "json"]);
    let digest = held.json()["digest"].as_str().unwrap().to_owned();
    rolewright.apply().exits_with(3).says(&digest);

    let mut wrong = digest.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == '0' { '1' } else { '0' });
    rolewright.command(&["apply", "--approve", &wrong]).exits_with(3);
    assert_eq!(remaining(&cluster), "10");

    rolewright.command(&["apply", "--approve", &digest]).succeeds();
    assert_eq!(remaining(&cluster), "4");
}

#[test]
fn an_approval_does_not_fit_a_plan_that_has_moved_on() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    declare(&manifests, 5);
    let digest = rolewright.command(&["plan", "--format", "json"]).json()["digest"].as_str().unwrap().to_owned();

    declare(&manifests, 4);
    rolewright.command(&["apply", "--approve", &digest]).exits_with(3);

    assert_eq!(remaining(&cluster), "10");
}

#[test]
fn an_explicitly_empty_list_is_held_and_goes_through_when_approved() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.fingerprint();

    declare(&manifests, 0);
    rolewright.apply().exits_with(3);
    assert_eq!(cluster.fingerprint(), before);

    let digest = rolewright.command(&["plan", "--format", "json"]).json()["digest"].as_str().unwrap().to_owned();
    rolewright.command(&["apply", "--approve", &digest]).succeeds();
    assert_eq!(remaining(&cluster), "0");
    assert!(!cluster.has_role("staff"), "no one names the group any more");
}

#[test]
fn a_plan_of_what_would_be_held_is_shown_and_says_so() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    declare(&manifests, 2);

    let output = rolewright.plan();

    output.exits_with(3).mentions("held").mentions("user9");
}

#[test]
fn a_controller_holds_the_plan_says_so_and_goes_on_with_its_life() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, 10);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_cycles(1);

    declare(&manifests, 2);
    controller.wait_for("--approve");
    assert_eq!(remaining(&cluster), "10");
    assert!(controller.is_alive());

    declare(&manifests, 9);
    rolewright_tests::eventually("the smaller plan to run", std::time::Duration::from_secs(30), || {
        (remaining(&cluster) == "9").then_some(())
    });
    controller.terminate().succeeds();
}
