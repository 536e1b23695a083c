//! The ledger in schema `rolewright`: what is managed and what was done, never what a secret is.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};

fn world() -> (Cluster, Manifests) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &[])]));
    manifests.secret("alice", "ledger-alice-1").secret("bob", "ledger-bob-1");
    (cluster, manifests)
}

#[test]
fn it_tells_who_is_managed_and_what_was_done() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    let first = rolewright.ledger();
    for word in ["alice", "bob", "reader"] {
        assert!(first.contains(word), "{word} is not in:\n{first}");
    }

    manifests.users(&users(&[("alice", &["reader", "writer"])]));
    rolewright.apply().succeeds();

    let second = rolewright.ledger();
    assert!(second.contains("writer") && second.contains("drop-role"), "no history of the removal in:\n{second}");
}

#[test]
fn nothing_derived_from_a_secrets_value_is_in_it() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    // Two Secrets with the same value: whatever is derived from the value would be the same, too.
    manifests.secret("alice", "ledger-both-the-same").secret("bob", "ledger-both-the-same");
    rolewright.apply().succeeds();
    assert!(rolewright.ledger().contains("alice"));

    let hashes = cluster.column(
        "SELECT encode(sha256('ledger-both-the-same'::bytea), 'hex')
         UNION ALL SELECT md5('ledger-both-the-same') UNION ALL SELECT md5('ledger-both-the-samealice')
         UNION ALL SELECT encode(sha512('ledger-both-the-same'::bytea), 'hex')
         UNION ALL SELECT encode(sha256('ledger-both-the-same'::bytea), 'base64')",
    );
    let ledger = rolewright.ledger();
    for hash in hashes {
        assert!(!ledger.contains(&hash[..32]), "a hash of the password is in the ledger");
    }
    rolewright.check_what_it_left();
}

#[test]
fn others_may_not_read_it() {
    let (cluster, manifests) = world();
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    let mut alice = cluster.login("alice", "ledger-alice-1", "postgres");
    for table in cluster.column(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'rolewright'::regnamespace AND relkind = 'r'",
    ) {
        assert!(alice.simple_query(&format!("SELECT * FROM {table}")).is_err(), "alice can read {table}");
    }
}

#[test]
fn a_ledger_made_by_somebody_else_is_not_trusted() {
    let (cluster, manifests) = world();
    cluster.sql("CREATE ROLE mallory LOGIN; CREATE SCHEMA rolewright AUTHORIZATION mallory");
    let before = cluster.fingerprint();

    let output = Rolewright::new(&cluster, &manifests).apply();

    // Refused or done without it, but nothing is written where mallory rules.
    output.says("rolewright");
    let tables = cluster.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'rolewright'::regnamespace");
    assert_eq!(tables, "0");
    if output.status != Some(0) {
        assert_eq!(cluster.fingerprint(), before);
    }
}

#[test]
fn a_state_file_taken_to_another_server_removes_nobody_there_unasked() {
    let (one, manifests) = world();
    let other = Cluster::start();
    other.sql("CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN");
    let rolewright = Rolewright::new(&one, &manifests);
    rolewright.apply().succeeds();
    assert!(rolewright.state().get("alice").is_some());

    manifests.users(&users(&[("carol", &[])])).secret("carol", "ledger-carol-1");
    let port = other.port.to_string();
    rolewright.env("DB_PORT", &port).apply();

    assert!(other.has_role("alice") && other.has_role("bob"), "roles of a stranger's server were dropped");
}

#[test]
fn a_view_in_a_strangers_schema_is_not_even_read() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE postgres TO mallory");
    // Whoever reads the view runs the function, and with their own rights.
    cluster.sql(
        "SET ROLE mallory; CREATE SCHEMA rolewright; \
         CREATE FUNCTION rolewright.evil() RETURNS text LANGUAGE plpgsql AS \
         $$BEGIN EXECUTE 'ALTER ROLE mallory SUPERUSER'; RETURN '1'; END$$; \
         CREATE VIEW rolewright.state AS SELECT 'format' AS key, rolewright.evil() AS value \
         UNION ALL SELECT 'inputs', rolewright.evil() UNION ALL SELECT 'fingerprint', rolewright.evil()",
    );
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "strangers-schema-alice");
    let rolewright = Rolewright::new(&cluster, &manifests);
    for arguments in [&["plan"][..], &["apply"], &["apply", "--full"]] {
        rolewright.command(arguments).exits_with(1).says("mallory");
        assert_eq!(cluster.attribute("mallory", "rolsuper"), "f", "{arguments:?}");
    }
}

#[test]
fn a_ledger_kept_in_a_file_goes_on_in_the_schema_once_it_may_be_made() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'ledger-controller'");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    roles: [analyst]\n").secret("alice", "changeover-alice");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "ledger-controller");
    rolewright.apply().succeeds();
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    // The group role is still known to be ours: it goes when no user names it any more.
    manifests.users("users:\n  - username: alice\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("analyst"));
    assert_eq!(cluster.value("SELECT string_agg(name, ' ') FROM rolewright.roles"), "alice");
}
