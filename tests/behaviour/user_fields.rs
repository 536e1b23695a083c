//! What a user says of itself besides access: an end, a limit of sessions, a comment; and labels, which only policies
//! see.

use std::fs::File;
use std::time::{Duration, SystemTime};

use rolewright_tests::source::place;
use rolewright_tests::{Cluster, Manifests, Rolewright};
use serde_json::json;

const ALICE: &str = "users:
  - username: alice
    password: none
    labels: {team: payments, kind: human}
    valid_until: 2027-01-31T18:00:00+01:00
    connection_limit: 7
    comment: \"on loan, \\\"until\\\" January\"
";

/// End, limit and comment, asked for in another way than Rolewright does.
fn found(cluster: &Cluster) -> Vec<String> {
    let row = cluster.sql(
        "SELECT coalesce(to_char(u.valuntil AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), 'none'), r.rolconnlimit::text,
                coalesce(shobj_description(r.oid, 'pg_authid'), 'none')
         FROM pg_user AS u JOIN pg_roles AS r ON r.rolname = u.usename WHERE u.usename = 'alice'",
    );
    row.into_iter().next().expect("there is alice")
}

#[test]
fn an_end_a_limit_and_a_comment_are_as_declared_and_are_repaired() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(ALICE);
    let rolewright = Rolewright::new(&cluster, &manifests);
    let output = rolewright.plan();
    output.succeeds();
    assert!(output.stdout.contains("2027-01-31T17:00:00Z") && !output.stdout.contains("payments"), "{}", output.stdout);
    rolewright.apply().succeeds();
    let declared = ["2027-01-31 17:00:00", "7", "on loan, \"until\" January"];
    assert_eq!(found(&cluster), declared);
    rolewright.plan_json().is_empty();

    for by_hand in [
        "ALTER ROLE alice VALID UNTIL 'infinity'",
        "ALTER ROLE alice VALID UNTIL '2030-01-01'",
        "ALTER ROLE alice CONNECTION LIMIT -1",
        "COMMENT ON ROLE alice IS 'mine'",
        "COMMENT ON ROLE alice IS NULL",
    ] {
        cluster.sql(by_hand);
        let plan = rolewright.plan_json();
        assert_eq!(
            (plan.actions(), plan.causes()),
            (vec!["alter-role alice".to_owned()], vec!["drift".to_owned()]),
            "{by_hand}"
        );
        rolewright.apply().succeeds();
        assert_eq!(found(&cluster), declared, "{by_hand}");
    }
    // The same moment in other words is no change.
    manifests.users(&ALICE.replace("2027-01-31T18:00:00+01:00", "2027-01-31T17:00:00Z"));
    rolewright.plan_json().is_empty();
    manifests.users(&ALICE.replace("2027-01-31T18:00:00+01:00", "2027-02-01"));
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster)[0], "2027-02-01 00:00:00");
}

#[test]
fn what_is_not_written_means_what_it_always_meant() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE alice LOGIN CONNECTION LIMIT 3 VALID UNTIL '2030-01-01'; COMMENT ON ROLE alice IS 'mine'");
    manifests.users("users: [{username: alice, password: none}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster)[1..], ["-1", "mine"], "no limit, and a comment is left alone");
    assert!(["none", "infinity"].contains(&found(&cluster)[0].as_str()), "{:?}", found(&cluster));
    rolewright.plan_json().is_empty();
    let explicit = "users: [{username: alice, password: none, valid_until: never, connection_limit: unlimited}]\n";
    manifests.users(explicit);
    rolewright.plan_json().is_empty();
    manifests.users("users: [{username: alice, password: none, comment: \"\"}]\n");
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster)[2], "none");
}

#[test]
fn a_time_that_there_is_not_is_refused_with_its_place_and_nothing_is_changed() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests);
    for (key, value, code) in [
        ("valid_until", "2027-02-30", "invalid-time"),
        ("valid_until", "tomorrow", "invalid-time"),
        ("connection_limit", "-1", "invalid-limit"),
        ("connection_limit", "many", "invalid-limit"),
    ] {
        manifests.users(&format!("users:\n  - username: alice\n    password: none\n    {key}: {value}\n"));
        let output = rolewright.apply();
        output.exits_with(1).says(code).mentions(&place(4, 5 + key.len() + 2));
        assert!(!cluster.has_role("alice"), "{key}: {value}");
    }
}

#[test]
fn labels_and_the_age_of_a_password_reach_policies() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users: [{username: alice, labels: {kind: human}}, {username: robot}]\n");
    manifests.secret("alice", "user-fields-alice").secret("robot", "user-fields-robot");
    let chain = json!({ "policies": [
        { "name": "age", "module": "builtin:credential-age",
          "settings": { "warn-after": 30, "users": [{ "labels": { "kind": "human" } }] } },
        { "name": "standard", "module": "builtin:standard" },
    ] });
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain.to_string());
    let warned = || rolewright.plan().succeeds().stdout.matches("warning[password-old]").count();
    assert_eq!(warned(), 0);
    // Both are old; only one is a human's.
    for user in ["alice", "robot"] {
        let file =
            File::options().append(true).open(manifests.path().join(format!("user-{user}-secret.yaml"))).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(40 * 86_400)).unwrap();
    }
    assert_eq!(warned(), 1);
}
