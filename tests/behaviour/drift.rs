//! Changes that somebody made by hand on the server: found, told apart from changes of the spec,
//! and undone.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, session};

const PASSWORD: &str = "drift-alice-password";

/// Applies alice in `reader` and bob in `reader`, both on `postgres`; makes the change by hand; and
/// looks for exactly these steps, all of them drift, after whose apply everything is as before.
fn is_repaired(by_hand: &[&str], expected: &[&str]) {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
    manifests.secret("alice", PASSWORD).secret("bob", "drift-bob-password");
    cluster.sql("CREATE ROLE bystander");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.roles();

    for statement in by_hand {
        cluster.sql(statement);
    }
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), expected, "after {by_hand:?}");
    assert_eq!(plan.causes(), ["drift"], "after {by_hand:?}");
    rolewright.apply().succeeds();

    assert_eq!(cluster.roles(), before, "after {by_hand:?}");
    cluster.login("alice", PASSWORD, "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn an_attribute_added_by_hand_is_taken_away() {
    is_repaired(&["ALTER ROLE alice CREATEDB"], &["alter-role alice"]);
    is_repaired(&["ALTER ROLE alice SUPERUSER REPLICATION BYPASSRLS CREATEROLE"], &["alter-role alice"]);
}

#[test]
fn a_login_taken_away_by_hand_comes_back() {
    is_repaired(&["ALTER ROLE alice NOLOGIN"], &["alter-role alice"]);
}

#[test]
fn an_inherit_switched_off_by_hand_is_switched_on() {
    is_repaired(&["ALTER ROLE alice NOINHERIT"], &["alter-role alice"]);
}

#[test]
fn a_connection_limit_set_by_hand_is_lifted() {
    is_repaired(&["ALTER ROLE alice CONNECTION LIMIT 0"], &["alter-role alice"]);
}

#[test]
fn an_expiry_set_by_hand_is_lifted() {
    is_repaired(&["ALTER ROLE alice VALID UNTIL '2001-01-01'"], &["alter-role alice"]);
    is_repaired(&["ALTER ROLE alice VALID UNTIL '-infinity'"], &["alter-role alice"]);
}

#[test]
fn an_infinite_expiry_is_the_same_as_none() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", PASSWORD);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("ALTER ROLE alice VALID UNTIL 'infinity'");

    rolewright.plan_json().is_empty();
}

#[test]
fn a_membership_revoked_by_hand_is_granted_again() {
    is_repaired(&["REVOKE reader FROM alice"], &["grant-role alice"]);
}

#[test]
fn a_membership_granted_by_hand_is_revoked() {
    is_repaired(&["GRANT bystander TO alice"], &["revoke-role alice"]);
    is_repaired(&["GRANT pg_read_all_data TO alice"], &["revoke-role alice"]);
}

#[test]
fn an_admin_option_given_by_hand_is_taken_away() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", PASSWORD);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.roles();
    cluster.sql("GRANT reader TO alice WITH ADMIN OPTION");

    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    rolewright.apply().succeeds();

    assert_eq!(cluster.roles(), before);
    rolewright.plan_json().is_empty();
}

#[test]
fn edges_of_other_grantors_are_revoked_one_by_one() {
    if session::postgres_major() < 16 {
        return; // one edge for each pair is all that there is
    }
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE chief LOGIN; CREATE ROLE bystander; GRANT bystander TO chief WITH ADMIN OPTION");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", PASSWORD);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("SET ROLE chief; GRANT bystander TO alice; RESET ROLE; GRANT bystander TO alice");
    assert_eq!(cluster.value("SELECT count(*) FROM pg_auth_members WHERE member = 'alice'::regrole"), "3");

    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["revoke-role alice", "revoke-role alice"]);
    rolewright.apply().succeeds();

    assert_eq!(cluster.memberships("alice"), ["reader"]);
    assert_eq!(cluster.memberships("chief"), ["bystander"], "somebody else's membership was touched");
    rolewright.plan_json().is_empty();
}

#[test]
fn options_of_an_edge_changed_by_hand_are_restored() {
    if session::postgres_major() < 16 {
        return; // edges have no such options
    }
    for option in ["INHERIT FALSE", "SET FALSE", "ADMIN TRUE, INHERIT FALSE, SET FALSE"] {
        let cluster = Cluster::start();
        let manifests = Manifests::new();
        manifests.users(&users(&[("alice", &["reader"])])).secret("alice", PASSWORD);
        let rolewright = Rolewright::new(&cluster, &manifests);
        rolewright.apply().succeeds();
        let options = || {
            cluster.sql(
                "SELECT admin_option, inherit_option, set_option FROM pg_auth_members WHERE member = 'alice'::regrole",
            )
        };
        let before = options();
        cluster.sql(&format!("GRANT reader TO alice WITH {option}"));
        assert_ne!(options(), before);

        assert_eq!(rolewright.plan_json().causes(), ["drift"], "{option}");
        rolewright.apply().succeeds();

        assert_eq!(options(), before, "{option}");
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn a_connect_privilege_revoked_by_hand_is_granted_again() {
    is_repaired(&["REVOKE CONNECT ON DATABASE postgres FROM alice"], &["grant-privilege alice"]);
}

#[test]
fn a_database_privilege_granted_by_hand_is_revoked() {
    is_repaired(&["GRANT CONNECT ON DATABASE template1 TO alice"], &["revoke-privilege alice"]);
    is_repaired(&["GRANT CREATE, TEMPORARY ON DATABASE postgres TO alice"], &["revoke-privilege alice"]);
    is_repaired(&["GRANT CONNECT ON DATABASE postgres TO alice WITH GRANT OPTION"], &["revoke-privilege alice"]);
}

#[test]
fn a_privilege_that_somebody_else_granted_is_revoked_too() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE delegated");
    cluster.sql("CREATE ROLE chief");
    cluster.sql("GRANT CONNECT ON DATABASE delegated TO chief WITH GRANT OPTION");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", PASSWORD);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("SET ROLE chief; GRANT CONNECT ON DATABASE delegated TO alice");
    assert!(cluster.has_connect("alice", "delegated"));

    rolewright.apply().succeeds();

    assert!(!cluster.has_connect("alice", "delegated"), "the delegate's grant survived");
    assert!(cluster.has_connect("chief", "delegated"));
    rolewright.plan_json().is_empty();
}

#[test]
fn a_password_changed_by_hand_is_set_again() {
    is_repaired(&["ALTER ROLE alice PASSWORD 'drift-set-by-hand'"], &["set-password alice"]);
}

#[test]
fn a_password_erased_by_hand_is_set_again() {
    is_repaired(&["ALTER ROLE alice PASSWORD NULL"], &["set-password alice"]);
}

#[test]
fn a_role_dropped_by_hand_is_made_again() {
    is_repaired(
        &["REVOKE CONNECT ON DATABASE postgres FROM alice; DROP ROLE alice"],
        &["create-role alice", "grant-privilege alice"],
    );
}

#[test]
fn a_group_role_dropped_by_hand_is_made_again_with_its_members() {
    is_repaired(&["DROP ROLE reader"], &["create-role reader", "grant-role alice", "grant-role bob"]);
}

#[test]
fn a_role_dropped_and_made_anew_under_the_same_name_is_noticed() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", PASSWORD);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.roles();
    cluster.sql(
        "DROP OWNED BY alice; DROP ROLE alice; CREATE ROLE alice SUPERUSER LOGIN PASSWORD 'drift-impostor-password'",
    );

    let plan = rolewright.plan_json();
    assert_eq!(plan.causes(), ["drift"]);
    plan.step("set-password", "alice");
    rolewright.apply().succeeds();

    assert_eq!(cluster.roles(), before);
    cluster.login("alice", PASSWORD, "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn drift_and_a_change_of_the_spec_are_told_apart_in_one_plan() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
    manifests.secret("alice", PASSWORD).secret("bob", "drift-bob-password");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();

    cluster.sql("ALTER ROLE alice CREATEDB");
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader", "writer"])]));

    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["alter-role alice", "create-role writer", "grant-role bob"]);
    assert_eq!(plan.step("alter-role", "alice")["cause"], "drift");
    assert_eq!(plan.step("create-role", "writer")["cause"], "spec");
    assert_eq!(plan.step("grant-role", "bob")["cause"], "spec");
}

#[test]
fn a_change_on_the_server_that_the_spec_now_wants_is_no_drift_and_needs_nothing() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["writer"])]));
    manifests.secret("alice", PASSWORD).secret("bob", "drift-bob-password");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();

    cluster.sql("GRANT writer TO alice");
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["writer"])]));

    rolewright.plan_json().is_empty();
}

#[test]
fn a_controller_repairs_drift_and_counts_it() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", PASSWORD);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    assert_eq!(controller.metric("postgres_controller_drift_total"), 0.0);

    cluster.sql("ALTER ROLE alice CREATEDB");
    controller.wait_for_metric("postgres_controller_drift_total", 1.0);

    assert_eq!(cluster.attribute("alice", "rolcreatedb"), "f");
    controller.terminate().succeeds();
}
