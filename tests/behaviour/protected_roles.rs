//! Roles that no plan may touch: the bootstrap superuser, `pg_*`, the controller's own role, and
//! those that the configuration lists.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};

fn is_refused(declared: &str, prepare: &str, configure: impl FnOnce(Rolewright) -> Rolewright) {
    let cluster = Cluster::start();
    cluster.sql(prepare);
    let manifests = Manifests::new();
    let takeover = format!("  - username: {declared}\n    secret: {{name: takeover, key: password}}\n");
    manifests.users(&(users(&[("alice", &["staff"])]) + &takeover));
    manifests.secret("alice", "protected-alice").named_secret("takeover", "password", "protected-takeover");
    let rolewright = configure(Rolewright::new(&cluster, &manifests));
    let before = cluster.fingerprint();

    let output = rolewright.apply();

    assert!(matches!(output.status, Some(1 | 3)), "{:?}\n{}", output.status, output.stderr);
    output.says(declared);
    assert_eq!(cluster.fingerprint(), before, "something was changed");
}

#[test]
fn the_bootstrap_superuser_cannot_be_declared() {
    is_refused("postgres", "", |rolewright| rolewright);
}

#[test]
fn a_predefined_role_cannot_be_declared() {
    is_refused("pg_monitor", "", |rolewright| rolewright);
    is_refused("pg_new", "", |rolewright| rolewright);
}

#[test]
fn the_controllers_own_role_cannot_be_declared() {
    is_refused("controller", "CREATE ROLE controller LOGIN SUPERUSER PASSWORD 'protected-controller'", |rolewright| {
        rolewright.connect_as("controller", "protected-controller")
    });
}

#[test]
fn a_listed_role_cannot_be_declared() {
    is_refused("replicator", "CREATE ROLE replicator LOGIN REPLICATION", |rolewright| {
        rolewright.env("PROTECTED_ROLES", "standby,replicator")
    });
}

#[test]
fn a_role_that_was_managed_and_is_protected_now_is_not_removed() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[]), ("bob", &[])]));
    manifests.secret("alice", "protected-alice").secret("bob", "protected-bob");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    manifests.users(&users(&[("bob", &[])]));

    let rolewright = rolewright.env("PROTECTED_ROLES", "alice");
    rolewright.apply();

    assert!(cluster.has_role("alice"));
}

#[test]
fn a_role_that_looks_predefined_but_is_not_may_be_declared() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("pgbouncer", &["pgreaders"])])).secret("pgbouncer", "protected-pgbouncer");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    assert_eq!(cluster.memberships("pgbouncer"), ["pgreaders"]);
}

#[test]
fn a_membership_that_reaches_the_operating_system_is_not_given_without_being_allowed() {
    for dangerous in ["pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"] {
        is_refused_as_role(dangerous, "");
    }
}

#[test]
fn a_membership_in_a_superuser_is_not_given() {
    is_refused_as_role("almighty", "CREATE ROLE almighty SUPERUSER");
    is_refused_as_role("postgres", "");
}

#[test]
fn power_through_a_group_in_between_is_power_too() {
    is_refused_as_role("harmless", "CREATE ROLE harmless; GRANT pg_execute_server_program TO harmless");
}

fn is_refused_as_role(role: &str, prepare: &str) {
    let cluster = Cluster::start();
    cluster.sql(prepare);
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[role])])).secret("alice", "protected-alice");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let before = cluster.fingerprint();

    rolewright.apply().exits_with(3).says(role);

    assert_eq!(cluster.fingerprint(), before, "{role}: something was changed");
}
