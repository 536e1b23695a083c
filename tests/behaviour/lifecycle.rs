//! A user's way through the server: created with her roles, changed, and removed with all that she
//! leaves behind.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};

const ALICE: &str = "users:
  - username: alice
    database: myapp
    roles: [read_only, analyst]
    privileges: null
";

#[test]
fn a_declared_user_is_created_with_her_roles_her_database_and_her_password() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE myapp");
    cluster.sql("REVOKE CONNECT ON DATABASE myapp FROM PUBLIC");
    let manifests = Manifests::new();
    manifests.users(ALICE).secret("alice", "lifecycle-alice-1");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    assert_eq!(cluster.memberships("alice"), ["analyst", "read_only"]);
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "t");
    for attribute in ["rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"] {
        assert_eq!(cluster.attribute("alice", attribute), "f", "{attribute}");
    }
    assert!(cluster.has_connect("alice", "myapp"));
    cluster.login("alice", "lifecycle-alice-1", "myapp");
    cluster.refuses_login("alice", "lifecycle-alice-2", "myapp", "28P01");
}

#[test]
fn roles_that_are_only_named_are_made_without_login_and_roles_that_are_there_are_used_as_they_are() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE analyst CREATEDB CONNECTION LIMIT 3");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["analyst", "read_only"])])).secret("alice", "lifecycle-alice-3");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    assert_eq!(cluster.attribute("read_only", "rolcanlogin"), "f");
    assert_eq!(cluster.attribute("analyst", "rolcreatedb"), "t");
    assert_eq!(cluster.attribute("analyst", "rolconnlimit"), "3");
}

#[test]
fn a_group_role_that_can_log_in_is_taken_as_it_is() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE service LOGIN");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["service"])])).secret("alice", "lifecycle-alice-4");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    assert_eq!(cluster.attribute("service", "rolcanlogin"), "t");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_user_may_have_several_databases() {
    let cluster = Cluster::start();
    for database in ["first", "second", "third"] {
        cluster.sql(&format!("CREATE DATABASE {database}"));
    }
    let manifests = Manifests::new();
    manifests
        .users("users:\n  - username: alice\n    databases: [first, second]\n")
        .secret("alice", "lifecycle-alice-5");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let held = |database| cluster.has_connect("alice", database);
    assert!(held("first") && held("second") && !held("third"));

    manifests.users("users:\n  - username: alice\n    databases: [second, third]\n");
    rolewright.apply().succeeds();

    assert!(!held("first") && held("second") && held("third"));
}

#[test]
fn a_user_without_roles_or_database_is_a_bare_login() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n").secret("alice", "lifecycle-alice-6");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    assert!(cluster.memberships("alice").is_empty());
    cluster.login("alice", "lifecycle-alice-6", "postgres");
}

#[test]
fn changed_roles_are_granted_and_revoked() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["reader", "owner_of_all"])]));
    manifests.secret("alice", "lifecycle-alice-7").secret("bob", "lifecycle-bob-7");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();

    manifests.users(&users(&[("alice", &["reader", "auditor"]), ("bob", &["reader", "writer", "owner_of_all"])]));
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["create-role auditor", "grant-role alice", "grant-role bob", "revoke-role alice"]);
    assert_eq!(plan.causes(), ["spec"]);
    rolewright.apply().succeeds();

    assert_eq!(cluster.memberships("alice"), ["auditor", "reader"]);
    assert_eq!(cluster.memberships("bob"), ["owner_of_all", "reader", "writer"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn what_a_removed_user_owned_in_every_database_goes_to_the_receiver_and_her_sessions_end() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE estate");
    for database in ["one", "two"] {
        cluster.sql(&format!("CREATE DATABASE {database}"));
    }
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["staff"]), ("bob", &["staff"])]));
    manifests.secret("alice", "lifecycle-alice-8").secret("bob", "lifecycle-bob-8");
    let rolewright =
        Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%").env("REASSIGN_OWNED_TO", "estate");
    rolewright.apply().succeeds();
    for database in ["one", "two", "postgres"] {
        cluster.sql_in(
            database,
            "CREATE SCHEMA of_alice AUTHORIZATION alice;
             CREATE TABLE of_alice.treasure (gold int); ALTER TABLE of_alice.treasure OWNER TO alice;
             CREATE TABLE shared (); GRANT SELECT ON shared TO alice;
             ALTER DEFAULT PRIVILEGES FOR ROLE alice GRANT SELECT ON TABLES TO bob;",
        );
    }
    cluster.sql("ALTER DATABASE two OWNER TO alice");
    let mut session = cluster.login("alice", "lifecycle-alice-8", "one");

    manifests.users(&users(&[("bob", &["staff"])])).remove_secret("alice");
    rolewright.apply().succeeds();

    assert!(!cluster.has_role("alice"));
    assert!(session.simple_query("SELECT 1").is_err(), "alice's session is still open");
    for database in ["one", "two", "postgres"] {
        let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'";
        assert_eq!(cluster.sql_in(database, owner), [["estate"]], "in {database}");
    }
    assert_eq!(cluster.value("SELECT datdba::regrole::text FROM pg_database WHERE datname = 'two'"), "estate");
    assert!(cluster.has_role("bob"));
    rolewright.plan_json().is_empty();
}

#[test]
fn by_default_the_controller_itself_receives_what_a_removed_user_owned() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[]), ("bob", &[])]));
    manifests.secret("alice", "lifecycle-alice-9").secret("bob", "lifecycle-bob-9");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "5");
    rolewright.apply().succeeds();
    cluster.sql("CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");

    manifests.users(&users(&[("bob", &[])]));
    rolewright.apply().succeeds();

    assert_eq!(cluster.value("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'"), "postgres");
}

#[test]
fn a_group_role_goes_when_no_one_names_it_any_more_but_only_if_rolewright_made_it() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE found_here");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["made_here", "found_here", "kept"])])).secret("alice", "lifecycle-alice-10");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();

    manifests.users(&users(&[("alice", &["kept"])]));
    let plan = rolewright.plan_json();
    assert_eq!(plan.step("drop-role", "made_here")["risk"], "destructive");
    rolewright.apply().succeeds();

    assert!(!cluster.has_role("made_here"));
    assert!(cluster.has_role("found_here"));
    assert_eq!(cluster.memberships("alice"), ["kept"]);
}

#[test]
fn an_existing_login_that_is_declared_is_adopted_with_its_password_replaced() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE alice LOGIN CREATEDB PASSWORD 'lifecycle-by-hand-11'; CREATE ROLE stranger LOGIN");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["staff"])])).secret("alice", "lifecycle-alice-11");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    cluster.login("alice", "lifecycle-alice-11", "postgres");
    cluster.refuses_login("alice", "lifecycle-by-hand-11", "postgres", "28P01");
    assert_eq!(cluster.attribute("alice", "rolcreatedb"), "f", "a declared user ends exactly as declared");
    assert!(cluster.has_role("stranger"), "what is not declared is not touched");
}

#[test]
fn roles_of_others_are_never_touched() {
    let cluster = Cluster::start();
    cluster.sql(
        "CREATE ROLE stranger LOGIN CREATEDB PASSWORD 'lifecycle-stranger'; CREATE ROLE elsewhere;
         GRANT elsewhere TO stranger WITH ADMIN OPTION; GRANT CONNECT ON DATABASE postgres TO stranger",
    );
    let of_strangers = || {
        let mut rows = cluster.fingerprint();
        rows.retain(|row| row.contains("stranger") || row.contains("elsewhere"));
        rows.iter().filter(|row| row.starts_with("role")).cloned().collect::<Vec<_>>()
    };
    let before = of_strangers();
    assert_eq!(before.len(), 2);
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["staff"]), ("bob", &[])]));
    manifests.secret("alice", "lifecycle-alice-12").secret("bob", "lifecycle-bob-12");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("alice"));
    manifests.users(&users(&[("bob", &[])]));
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice"));

    assert_eq!(of_strangers(), before);
    assert_eq!(cluster.memberships("stranger"), ["elsewhere"]);
    assert!(cluster.has_connect("stranger", "postgres"));
}

#[test]
fn a_user_that_is_removed_and_declared_again_starts_anew() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let both = users(&[("alice", &["staff"]), ("bob", &["staff"])]);
    manifests.users(&both).secret("alice", "lifecycle-alice-13").secret("bob", "lifecycle-bob-13");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    manifests.users(&users(&[("bob", &["staff"])]));
    rolewright.apply().succeeds();

    manifests.users(&both);
    let plan = rolewright.plan_json();
    assert_eq!(plan.step("create-role", "alice")["cause"], "spec");
    rolewright.apply().succeeds();

    cluster.login("alice", "lifecycle-alice-13", "postgres");
}

#[test]
fn a_role_of_the_servers_own_may_be_granted_to_a_user() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["pg_monitor"])])).secret("alice", "lifecycle-alice-14");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    assert_eq!(cluster.memberships("alice"), ["pg_monitor"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn what_a_removed_user_owns_is_never_handed_to_the_user_itself() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE shop");
    let manifests = Manifests::new();
    let both = users(&[("carol", &[]), ("dan", &[])]);
    manifests.users(&both).secret("carol", "receiver-carol").secret("dan", "receiver-dan");
    let rolewright = Rolewright::new(&cluster, &manifests).env("REASSIGN_OWNED_TO", "carol");
    rolewright.apply().succeeds();
    cluster.sql_in("shop", "CREATE TABLE sales (amount int); ALTER TABLE sales OWNER TO carol");
    manifests.users(&users(&[("dan", &[])]));
    rolewright.apply().exits_with(3).says("REASSIGN_OWNED_TO");
    let owner = cluster.sql_in("shop", "SELECT tableowner FROM pg_tables WHERE tablename = 'sales'");
    assert_eq!(owner, [["carol"]]);
    assert_eq!(cluster.attribute("carol", "rolcanlogin"), "t");
}
