//! Memberships with an `until`: there until then and not after it, however long the controller would sleep.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rolewright_tests::{Cluster, Manifests, Rolewright, eventually, guests};
use serde_json::json;

/// So many seconds from now, as users.yaml has it; and in Unix seconds.
fn moment(cluster: &Cluster, seconds: i64) -> (String, u64) {
    let at = cluster.column(&format!(
        "SELECT to_char(to_timestamp(t) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') || ' ' || t
         FROM (SELECT floor(extract(epoch FROM clock_timestamp()))::bigint + {seconds} AS t) AS s"
    ));
    let (text, seconds) = at[0].split_once(' ').unwrap();
    (text.to_owned(), seconds.parse().unwrap())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn declare(manifests: &Manifests, until: &str) {
    manifests.users(&format!(
        "users:\n  - username: alice\n    password: none\n    roles: [reader, {{role: oncall, until: {until}}}]\n"
    ));
}

#[test]
fn a_membership_ends_on_time_although_the_interval_is_long() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let (until, end) = moment(&cluster, 8);
    declare(&manifests, &until);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    assert_eq!(cluster.memberships("alice"), ["oncall", "reader"]);
    assert!(now() < end as f64, "the machine is too slow to tell");
    let gone = eventually("the membership ends", Duration::from_secs(60), || {
        (cluster.memberships("alice") == ["reader"]).then(now)
    });
    assert!(gone >= end as f64, "gone {} s too early", end as f64 - gone);
    controller.wait_for("ended");
    controller.terminate().succeeds();
}

#[test]
fn what_has_ended_is_not_given_and_what_is_prolonged_is() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    declare(&manifests, "2020-01-01");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("ended");
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("alice"), ["reader"]);
    rolewright.plan_json().is_empty();
    declare(&manifests, "2999-12-31");
    rolewright.plan().succeeds().mentions("member of oncall until 2999-12-31T00:00:00Z");
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("alice"), ["oncall", "reader"]);
    rolewright.plan_json().is_empty();
    // The role itself is still named.
    declare(&manifests, "2020-01-01");
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("alice"), ["reader"]);
    assert!(cluster.has_role("oncall"));
}

#[test]
fn what_was_seen_to_agree_before_the_end_is_looked_at_again_after_it() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let (until, end) = moment(&cluster, 3);
    declare(&manifests, &until);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    eventually("the time has come", Duration::from_secs(30), || (now() > end as f64 + 0.1).then_some(()));
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("alice"), ["reader"]);
}

#[test]
fn a_membership_ends_for_a_user_who_is_otherwise_left_as_it_is() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users:\n  - username: alice\n    roles: [reader, {role: oncall, until: 2999-12-31}]\n");
    manifests.secret("alice", "ending-alice-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users(
        "users:\n  - username: alice\n    secret: {name: not-there}\n    roles: [reader, {role: oncall, until: 2020-01-01}]\n",
    );
    rolewright.apply().exits_with(1).mentions("not-there").mentions("ended");
    assert_eq!(cluster.memberships("alice"), ["reader"]);
    cluster.login("alice", "ending-alice-1", "postgres");
    manifests.users("users:\n  - username: alice\n    roles: [reader]\n");
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
}

/// users.yaml does not know of this end, and the process that did is gone.
#[test]
fn a_membership_that_a_policy_gave_ends_too_whoever_looks_next() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE oncall");
    manifests.users("users:\n  - username: alice\n    password: none\n");
    let module = guests::build("tests/guests/transformer");
    let (_, end) = moment(&cluster, 6);
    let chain = json!({ "policies": [
        { "name": "adds", "module": module, "sha256": guests::sha256(&module), "settings": { "member-of": "oncall", "until": end } },
        { "name": "standard", "module": "builtin:standard" },
    ] });
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain.to_string());
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("alice"), ["oncall"]);
    // Seen to agree, and remembered so.
    rolewright.apply().succeeds();
    eventually("the time has come", Duration::from_secs(30), || (now() > end as f64 + 0.1).then_some(()));
    rolewright.apply().succeeds();
    assert!(cluster.memberships("alice").is_empty());
}
