//! The life of an account beyond being made and removed: it gets another name, is disabled for a while, and may come
//! back before it is dropped.

use std::time::Duration;

use rolewright_tests::{Cluster, Manifests, Rolewright, eventually, session};

use super::crash::kill_at;

const PATIENCE: Duration = Duration::from_secs(30);

/// The OID of a role.
fn oid(cluster: &Cluster, role: &str) -> String {
    cluster.value(&format!("SELECT oid FROM pg_roles WHERE rolname = '{role}'"))
}

/// A database in which alice owns a table and may read another.
fn shop() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE shop");
    cluster.sql("CREATE ROLE app; REVOKE ALL ON DATABASE shop FROM PUBLIC");
    cluster.sql_in(
        "shop",
        "CREATE SCHEMA sales AUTHORIZATION app; SET ROLE app; CREATE TABLE sales.orders (id int);
         CREATE TABLE sales.items (id int)",
    );
    cluster
}

const ALICE: &str = "users:
  - username: alice
    databases: [shop]
    roles: [reader]
    settings: {work_mem: 64MB}
    grants:
      - {database: shop, schema: sales, privileges: [USAGE]}
      - {database: shop, schema: sales, tables: [orders], privileges: [SELECT]}
  - username: bob
    password: none
    roles: [alice]
";

/// The same under another name, and with something else besides: one privilege more, one less, another role.
const ALICIA: &str = "users:
  - username: alicia
    renamed_from: alice
    databases: [shop]
    roles: [writer]
    settings: {work_mem: 32MB}
    connection_limit: 5
    grants:
      - {database: shop, schema: sales, privileges: [USAGE]}
      - {database: shop, schema: sales, tables: [items], privileges: [SELECT]}
  - username: bob
    password: none
    roles: [alicia]
";

#[test]
fn a_user_who_is_renamed_stays_who_she_was_and_everything_else_changes_with_it() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(ALICE).secret("alice", "life-alice-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql_in("shop", "CREATE TABLE sales.hers (id int); ALTER TABLE sales.hers OWNER TO alice");
    let before = (oid(&cluster, "alice"), cluster.attribute("alice", "rolpassword"));

    manifests.users(ALICIA).secret("alicia", "life-alice-1");
    rolewright.plan().succeeds().mentions("renamed from alice");
    let plan = rolewright.plan_json();
    assert_eq!(plan.steps()[0]["action"], "rename-role");
    let unexpected = |action: &&String| {
        ["create-role alicia", "drop-role alice", "set-password alicia", "grant-role bob"].contains(&action.as_str())
    };
    assert!(!plan.actions().iter().any(|action| unexpected(&action)), "{:?}", plan.actions());
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    assert!(cluster.has_role("alice") && !cluster.has_role("alicia"));
    rolewright.apply().succeeds();

    assert!(!cluster.has_role("alice"));
    assert_eq!((oid(&cluster, "alicia"), cluster.attribute("alicia", "rolpassword")), before);
    cluster.login("alicia", "life-alice-1", "shop").simple_query("SELECT * FROM sales.items, sales.hers").unwrap();
    let may = |table: &str| {
        let sql = format!("SELECT has_table_privilege('alicia', 'sales.{table}', 'SELECT')::text");
        cluster.sql_in("shop", &sql)[0][0].clone()
    };
    assert_eq!([may("orders"), may("items"), may("hers")], ["false", "true", "true"]);
    assert_eq!(
        (cluster.memberships("alicia"), cluster.memberships("bob")),
        (vec!["writer".into()], vec!["alicia".into()])
    );
    assert_eq!(cluster.attribute("alicia", "rolconnlimit"), "5");
    assert_eq!(cluster.value("SELECT setconfig[1] FROM pg_db_role_setting WHERE setdatabase = 0"), "work_mem=32MB");
    let records = cluster.column("SELECT name || ' ' || oid || ' ' || origin FROM rolewright.roles ORDER BY 1");
    assert!(records.contains(&format!("alicia {} created", before.0)), "{records:?}");
    assert!(!records.iter().any(|record| record.starts_with("alice ")), "{records:?}");

    // It has done its work, and may stay where it is; what is changed by hand is still drift.
    rolewright.plan_json().is_empty();
    cluster.sql("REVOKE alicia FROM bob; ALTER ROLE alicia CREATEDB");
    let plan = rolewright.plan_json();
    assert_eq!((plan.steps().len(), plan.causes()), (2, vec!["drift".to_owned()]));
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
}

#[test]
fn a_rename_alone_is_a_plan_and_so_is_the_way_back() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let users = |name: &str, from: &str| {
        format!("users:\n  - username: {name}\n    {from}\n    secret: {{name: hers}}\n    roles: [reader]\n")
    };
    manifests.users(&users("alice", "comment: hello")).named_secret("hers", "password", "life-alice-2");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = oid(&cluster, "alice");
    for (name, from) in [("alicia", "alice"), ("alice", "alicia")] {
        manifests.users(&users(name, &format!("renamed_from: {from}")));
        assert_eq!(rolewright.plan_json().actions(), [format!("rename-role {name}")]);
        rolewright.apply().succeeds();
        assert_eq!(oid(&cluster, name), before);
        cluster.login(name, "life-alice-2", "postgres");
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn a_group_role_is_renamed_with_its_members_and_whoever_is_new_joins_it() {
    let (cluster, manifests) = (shop(), Manifests::new());
    let yaml = |name: &str, from: &str, users: &[&str]| {
        let users: String =
            users.iter().map(|user| format!("  - {{username: {user}, password: none, roles: [{name}]}}\n")).collect();
        format!(
            "users:\n{users}roles:\n  - name: {name}\n    {from}\n    grants:\n      - {{database: shop, schema: sales, \
             tables: all, privileges: [SELECT]}}\n"
        )
    };
    manifests.users(&yaml("readers", "comment: they read", &["alice", "bob"]));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = oid(&cluster, "readers");
    manifests.users(&yaml("'Read \"ers\"'", "renamed_from: readers", &["alice", "carol"]));
    rolewright.apply().succeeds();
    assert_eq!(oid(&cluster, "Read \"ers\""), before);
    assert_eq!(cluster.memberships("carol"), ["Read \"ers\""]);
    assert!(!cluster.has_role("bob") && !cluster.has_role("readers"));
    // What is made later is covered under the new name, too.
    cluster.sql_in("shop", "SET ROLE app; CREATE TABLE sales.later (id int)");
    let sql = "SELECT has_table_privilege('Read \"ers\"', 'sales.later', 'SELECT')::text";
    assert_eq!(cluster.sql_in("shop", sql), [["true"]]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_password_that_the_server_forgets_with_the_name_is_set_again() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("SET password_encryption = 'md5'; CREATE ROLE alice LOGIN PASSWORD 'life-alice-3'");
    let before = oid(&cluster, "alice");
    manifests.users("users:\n  - {username: alicia, renamed_from: alice}\n").secret("alicia", "life-alice-3");
    let rolewright = Rolewright::new(&cluster, &manifests);
    assert_eq!(rolewright.plan_json().actions(), ["rename-role alicia", "set-password alicia"]);
    rolewright.apply().succeeds().mentions("takes it over");
    assert_eq!(oid(&cluster, "alicia"), before);
    cluster.login("alicia", "life-alice-3", "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn where_both_are_there_or_the_secret_is_missing_both_stay_as_they_are() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests
        .users("users:\n  - username: alice\n  - {username: bob, password: none}\n")
        .secret("alice", "life-alice-4");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    let renamed =
        "users:\n  - {username: alicia, renamed_from: alice}\n  - {username: bob, password: none, comment: CC}\n";

    // The default Secret has another name, too.
    manifests.users(&renamed.replace("CC", "one"));
    rolewright.apply().exits_with(1).mentions("user-alicia-secret");
    assert!(cluster.has_role("alice") && !cluster.has_role("alicia"));
    cluster.login("alice", "life-alice-4", "postgres");

    cluster.sql("CREATE ROLE alicia");
    manifests.users(&renamed.replace("CC", "two")).secret("alicia", "life-alice-4");
    rolewright.apply().exits_with(1).mentions("both are there");
    assert_eq!(cluster.attribute("alicia", "rolcanlogin"), "f");
    cluster.login("alice", "life-alice-4", "postgres");
    // Others are served.
    assert_eq!(cluster.value("SELECT shobj_description('bob'::regrole, 'pg_authid')"), "two");

    cluster.sql("DROP ROLE alicia");
    rolewright.apply().succeeds();
    cluster.login("alicia", "life-alice-4", "postgres");
    // Somebody makes the old one anew: it is nobody's.
    cluster.sql("CREATE ROLE alice");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("alice") && cluster.has_role("alicia"));
    rolewright.plan_json().is_empty();
}

#[test]
fn who_was_never_there_is_made_and_a_protected_role_keeps_its_name() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users:\n  - {username: alicia, renamed_from: alice, password: none}\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    assert_eq!(rolewright.plan_json().actions(), ["create-role alicia"]);
    cluster.sql("CREATE ROLE alice LOGIN");
    let before = cluster.roles();
    let protecting = Rolewright::new(&cluster, &manifests).env("PROTECTED_ROLES", "alice");
    protecting.apply().exits_with(3).mentions("protected");
    manifests.users("users:\n  - {username: alicia, renamed_from: postgres, password: none}\n");
    rolewright.apply().exits_with(3).mentions("protected");
    assert_eq!(cluster.roles(), before);
}

#[test]
fn a_controller_that_is_no_superuser_renames_what_it_made() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'life-controller'; GRANT CREATE ON DATABASE postgres TO controller");
    let users = "users:\n  - {username: alice, roles: [reader]}\n";
    manifests.users(users).secret("alice", "life-alice-5").secret("alicia", "life-alice-5");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "life-controller");
    rolewright.apply().succeeds();
    let before = oid(&cluster, "alice");
    manifests.users(&users.replace("alice", "alicia, renamed_from: alice"));
    rolewright.apply().succeeds();
    assert_eq!(oid(&cluster, "alicia"), before);
    cluster.login("alicia", "life-alice-5", "postgres");
    rolewright.plan_json().is_empty();
    // One that somebody else made it may not rename on 16 and later, and says so; the others are served.
    cluster.sql("CREATE ROLE stranger");
    manifests.users(
        "users:\n  - {username: alicia, comment: served, password: none}\n  - {username: friend, renamed_from: stranger, password: none}\n",
    );
    let output = rolewright.apply();
    if session::postgres_major() >= 16 {
        output.exits_with(1).mentions("rename");
        assert!(cluster.has_role("stranger"));
    } else {
        output.succeeds();
    }
    assert_eq!(cluster.value("SELECT shobj_description('alicia'::regrole, 'pg_authid')"), "served");
}

#[test]
fn killed_at_any_moment_of_a_rename_the_next_one_finishes_it() {
    // Where it waits: for the rename itself, the ledger, what is revoked in the database, the memberships, what is granted.
    for (database, table) in [
        ("postgres", "pg_authid"),
        ("postgres", "rolewright.roles"),
        ("shop", "pg_class"),
        ("postgres", "pg_auth_members"),
    ] {
        let (cluster, manifests) = (shop(), Manifests::new());
        manifests.users(ALICE).secret("alice", "life-alice-6");
        let rolewright = Rolewright::new(&cluster, &manifests);
        rolewright.apply().succeeds();
        let before = oid(&cluster, "alice");
        manifests.users(ALICIA).secret("alicia", "life-alice-6");
        kill_at(&rolewright, &cluster, database, table);
        let named = if cluster.has_role("alice") { "alice" } else { "alicia" };
        let record = format!("SELECT name FROM rolewright.roles WHERE oid = {before}");
        assert_eq!(cluster.column(&record), [named], "{table}: the ledger knows her by another name");
        rolewright.apply().succeeds();
        assert_eq!(oid(&cluster, "alicia"), before, "{table}");
        assert_eq!(cluster.memberships("alicia"), ["writer"], "{table}");
        cluster.login("alicia", "life-alice-6", "shop");
        rolewright.plan_json().is_empty();
    }
}

/// A session of alice's that is open, and whether it still is.
fn is_open(session: &mut postgres::Client) -> bool {
    session.simple_query("SELECT 1").is_ok()
}

#[test]
fn a_disabled_user_is_out_at_once_and_keeps_everything_else() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(ALICE).secret("alice", "life-alice-7");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "1");
    rolewright.apply().succeeds();
    let before = (oid(&cluster, "alice"), cluster.attribute("alice", "rolpassword"), cluster.memberships("alice"));
    let mut session = cluster.login("alice", "life-alice-7", "shop");

    let disabled = ALICE.replace("username: alice\n", "username: alice\n    disabled: true\n");
    manifests.users(&disabled);
    rolewright.plan().succeeds().mentions("- LOGIN").mentions("its sessions");
    assert_eq!(rolewright.plan_json().actions(), ["alter-role alice"]);
    assert!(is_open(&mut session));
    rolewright.apply().succeeds();
    assert!(!is_open(&mut session));
    cluster.refuses_login("alice", "life-alice-7", "shop", "28000");
    let after = (oid(&cluster, "alice"), cluster.attribute("alice", "rolpassword"), cluster.memberships("alice"));
    assert_eq!(after, before);
    assert!(cluster.has_connect("alice", "shop"));
    let may = "SELECT has_table_privilege('alice', 'sales.orders', 'SELECT')::text";
    assert_eq!(cluster.sql_in("shop", may), [["true"]]);
    assert_eq!(cluster.value("SELECT kind FROM rolewright.roles WHERE name = 'alice'"), "user");
    rolewright.plan_json().is_empty();

    // She is a user still: other changes reach her, and who lets her in by hand has made a drift.
    manifests.users(&disabled.replace("roles: [reader]", "roles: [writer]")).secret("alice", "life-alice-8");
    rolewright.apply().succeeds().mentions("1 user updated");
    assert_eq!(cluster.memberships("alice"), ["writer"]);
    cluster.sql("ALTER ROLE alice LOGIN");
    let mut session = cluster.login("alice", "life-alice-8", "shop");
    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    rolewright.apply().succeeds();
    assert!(!is_open(&mut session));

    manifests.users(ALICE);
    rolewright.apply().succeeds();
    cluster.login("alice", "life-alice-8", "shop");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_user_is_disabled_also_where_the_secret_is_missing_and_made_without_login() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users:\n  - {username: alice}\n").secret("alice", "life-alice-9").secret("bob", "life-bob-9");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests
        .users("users:\n  - {username: alice, disabled: true, roles: [reader]}\n  - {username: bob, disabled: true}\n")
        .remove_secret("alice");
    rolewright.apply().exits_with(1).mentions("user-alice-secret");
    cluster.refuses_login("alice", "life-alice-9", "postgres", "28000");
    cluster.refuses_login("bob", "life-bob-9", "postgres", "28000");
    assert!(cluster.memberships("alice").is_empty(), "whatever else she is declared to be waits");
    assert!(cluster.attribute("alice", "rolpassword").starts_with("SCRAM"), "no password is taken away");
    // What is done already is not written down again.
    let record = "SELECT xmin FROM rolewright.roles WHERE name = 'alice'";
    let before = cluster.value(record);
    rolewright.apply().exits_with(1);
    assert_eq!(cluster.value(record), before);
    manifests.users("users:\n  - {username: alice}\n  - {username: bob}\n").secret("alice", "life-alice-9");
    rolewright.apply().succeeds();
    cluster.login("alice", "life-alice-9", "postgres");
    cluster.login("bob", "life-bob-9", "postgres");
}

#[test]
fn a_session_that_cannot_be_ended_is_told_in_each_cycle_until_it_is() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE operator LOGIN CREATEROLE PASSWORD 'operator-1'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO operator");
    let users = "users:\n  - {username: alice}\n  - {username: bob, password: none}\n";
    manifests.users(users).secret("alice", "life-alice-16");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("operator", "operator-1");
    rolewright.apply().succeeds();
    let mut session = cluster.login("alice", "life-alice-16", "postgres");
    manifests.users(&users.replace("alice", "alice, disabled: true"));
    for _ in 0..3 {
        rolewright.apply().exits_with(1).mentions("end its sessions");
        assert_eq!((cluster.attribute("alice", "rolcanlogin"), is_open(&mut session)), ("f".to_owned(), true));
    }
    cluster.sql("GRANT pg_signal_backend TO operator");
    rolewright.apply().succeeds();
    assert!(!is_open(&mut session));
    rolewright.plan_json().is_empty();
}

#[test]
fn disabling_many_at_once_is_held_as_removing_them_is_and_so_is_dropping_the_disabled() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let users = |fields: &str| {
        let entry = |name: &&str| format!("  - {{username: {name}, password: none{fields}}}\n");
        format!(
            "users:\n  - {{username: dora, password: none}}\n{}",
            ["a", "b", "c"].iter().map(entry).collect::<String>()
        )
    };
    manifests.users(&users(""));
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "2");
    rolewright.apply().succeeds();
    manifests.users(&users(", disabled: true"));
    rolewright.apply().exits_with(3).mentions("3 users would lose access");
    let plan = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    rolewright.command(&["apply", "--approve", plan["digest"].as_str().unwrap()]).succeeds();
    assert_eq!(cluster.attribute("b", "rolcanlogin"), "f");
    manifests.users("users:\n  - {username: dora, password: none}\n");
    rolewright.apply().exits_with(3).mentions("3 users would lose access");
    assert!(cluster.has_role("a") && cluster.has_role("b") && cluster.has_role("c"));
}

/// alice in a group that only she names, and bob.
const BOTH: &str = "users:
  - {username: alice, roles: [team], settings: {work_mem: 64MB}}
  - {username: bob, password: none}
";
const BOB: &str = "users:
  - {username: bob, password: none}
";

#[test]
fn a_user_who_goes_is_disabled_first_and_enabled_again_with_everything_if_she_comes_back() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(BOTH).secret("alice", "life-alice-10");
    let rolewright = Rolewright::new(&cluster, &manifests).env("REMOVAL_GRACE", "14d").env("MAX_DELETIONS", "1");
    rolewright.apply().succeeds();
    cluster.sql("CREATE TABLE hers (id int); ALTER TABLE hers OWNER TO alice");
    let state = || (oid(&cluster, "alice"), cluster.attribute("alice", "rolpassword"), cluster.memberships("alice"));
    let before = state();
    let mut session = cluster.login("alice", "life-alice-10", "postgres");

    manifests.users(BOB);
    let today = cluster.value("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '14 days', 'YYYY-MM-DD\"T\"HH24')");
    rolewright
        .plan()
        .succeeds()
        .mentions("\"alice\" has gone from users.yaml; disabled now, dropped after 20")
        .mentions(&today);
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["alter-role alice"]);
    assert!(plan.findings().iter().any(|finding| finding["code"] == "user-leaving"), "{:?}", plan.findings());
    rolewright.apply().succeeds();
    assert!(!is_open(&mut session));
    cluster.refuses_login("alice", "life-alice-10", "postgres", "28000");
    assert_eq!(state(), before);
    assert!(cluster.has_role("team"), "she may come back to it");
    assert_eq!(cluster.value("SELECT kind FROM rolewright.roles WHERE name = 'alice'"), "user");
    let since = "SELECT (applied ->> 'leaving_since')::bigint FROM rolewright.roles WHERE name = 'alice'";
    let since_when = cluster.value(since);
    rolewright.plan_json().is_empty();
    rolewright.command(&["apply", "--full"]).succeeds().mentions("disabled since");
    assert_eq!(cluster.value(since), since_when);
    // Nobody lets her in meanwhile.
    cluster.sql("ALTER ROLE alice LOGIN");
    rolewright.apply().succeeds();
    cluster.refuses_login("alice", "life-alice-10", "postgres", "28000");
    assert_eq!(cluster.value(since), since_when);

    manifests.users(BOTH);
    let plan = rolewright.plan_json();
    assert_eq!((plan.actions(), plan.causes()), (vec!["alter-role alice".to_owned()], vec!["spec".to_owned()]));
    rolewright.apply().succeeds();
    assert_eq!(state(), before);
    cluster.login("alice", "life-alice-10", "postgres");
    assert_eq!(cluster.value("SELECT tableowner FROM pg_tables WHERE tablename = 'hers'"), "alice");
    assert_eq!(cluster.column(since), [""]);
    rolewright.plan_json().is_empty();
}

#[test]
fn what_she_was_declared_to_have_is_taken_back_if_she_comes_back_without_it() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(ALICE).secret("alice", "life-alice-11");
    let rolewright = Rolewright::new(&cluster, &manifests).env("REMOVAL_GRACE", "1h").env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    manifests.users("users:\n  - {username: bob, password: none}\n");
    rolewright.apply().succeeds();
    let may = "SELECT has_table_privilege('alice', 'sales.orders', 'SELECT')::text";
    assert_eq!(cluster.sql_in("shop", may), [["true"]]);
    manifests.users("users:\n  - {username: bob, password: none}\n  - {username: alice}\n");
    rolewright.apply().succeeds();
    assert_eq!(cluster.sql_in("shop", may), [["false"]]);
    assert_eq!(cluster.value("SELECT count(*) FROM pg_db_role_setting"), "0");
    cluster.login("alice", "life-alice-11", "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn she_is_dropped_on_time_although_the_interval_is_long_and_the_controller_was_restarted() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(BOTH).secret("alice", "life-alice-12");
    let rolewright = Rolewright::new(&cluster, &manifests)
        .env("REMOVAL_GRACE", "8s")
        .env("SYNC_INTERVAL", "3600")
        .env("MAX_DELETIONS", "1");
    rolewright.apply().succeeds();
    manifests.users(BOB);
    let first = rolewright.run();
    first.wait_for_cycles(1);
    first.wait_for("disabled now, dropped after");
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "f");
    first.terminate().succeeds();
    let second = rolewright.run();
    second.wait_for_cycles(1);
    assert!(cluster.has_role("alice"), "the machine is too slow to tell");
    eventually("she is dropped", PATIENCE, || (!cluster.has_role("alice")).then_some(()));
    let waited = "SELECT extract(epoch FROM clock_timestamp())::bigint - extract(epoch FROM changed)::bigint
                  FROM rolewright.roles WHERE name = 'bob'";
    assert!(cluster.value(waited).parse::<i64>().unwrap() >= 7, "too early");
    second.terminate().succeeds();
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("team"));
    rolewright.plan_json().is_empty();
}

#[test]
fn whoever_made_the_role_anew_meanwhile_keeps_it() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(BOTH).secret("alice", "life-alice-13");
    let rolewright = Rolewright::new(&cluster, &manifests).env("REMOVAL_GRACE", "1s").env("MAX_DELETIONS", "1");
    rolewright.apply().succeeds();
    manifests.users(BOB);
    rolewright.apply().succeeds();
    cluster.sql("DROP ROLE alice; CREATE ROLE alice LOGIN");
    let anew = oid(&cluster, "alice");
    std::thread::sleep(Duration::from_secs(3));
    rolewright.apply().succeeds().mentions("made it anew");
    assert_eq!(oid(&cluster, "alice"), anew);
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "t");
}

#[test]
fn killed_before_the_ledger_knows_that_she_leaves_nothing_is_done() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(BOTH).secret("alice", "life-alice-14");
    let rolewright = Rolewright::new(&cluster, &manifests).env("REMOVAL_GRACE", "1h").env("MAX_DELETIONS", "1");
    rolewright.apply().succeeds();
    manifests.users(BOB);
    kill_at(&rolewright, &cluster, "postgres", "rolewright.roles");
    let login = cluster.attribute("alice", "rolcanlogin");
    let known = cluster.value("SELECT count(applied ->> 'leaving_since') FROM rolewright.roles WHERE name = 'alice'");
    assert_eq!(login == "f", known == "1", "the ledger and the server disagree");
    rolewright.apply().succeeds();
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "f");
    assert!(cluster.has_role("alice"));
}

#[test]
fn a_script_for_psql_does_the_same() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(ALICE).secret("alice", "life-alice-15");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = oid(&cluster, "alice");
    let mut session = cluster.login("alice", "life-alice-15", "shop");
    manifests
        .users(&ALICIA.replace("    renamed_from: alice\n", "    renamed_from: alice\n    disabled: true\n"))
        .secret("alicia", "life-alice-15");
    let script = rolewright.command(&["plan", "--format", "sql"]).succeeds().stdout.clone();
    let done = cluster.psql("postgres", &script);
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!((oid(&cluster, "alicia"), is_open(&mut session)), (before, false));
    // The ledger has not heard of it, and finds her by her OID no more than by her old name: she is taken over.
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!(cluster.column("SELECT name FROM rolewright.roles WHERE name LIKE 'alic%'"), ["alicia"]);
}

#[test]
fn what_a_removal_hands_over_and_what_blocks_it_is_told_before_anything_is_done() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(BOTH).secret("alice", "life-alice-16");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "1");
    rolewright.apply().succeeds();
    for database in ["open", "shut"] {
        cluster.sql(&format!("CREATE DATABASE {database}"));
        cluster.sql_in(
            database,
            "CREATE SCHEMA hers AUTHORIZATION alice; CREATE TABLE granted (); GRANT SELECT ON granted TO alice;
             SET ROLE alice; CREATE TABLE hers.a (id serial); CREATE VIEW hers.b AS SELECT 1;
             CREATE FUNCTION hers.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        );
    }
    cluster.sql("ALTER DATABASE shut ALLOW_CONNECTIONS false");
    manifests.users(BOB);
    let owns = "3 relations, 1 routine and 1 schema go to postgres";
    rolewright
        .plan()
        .succeeds()
        .mentions("in database open")
        .mentions(owns)
        .mentions("\"alice\" loses its login, and cannot be dropped yet")
        .mentions("\"shut\", and it allows no connections");
    let plan = rolewright.plan_json();
    let removal = &plan.step("drop-role", "alice")["removal"];
    assert_eq!(removal["owned"]["shut"], serde_json::json!({ "relation": 3, "routine": 1, "schema": 1 }));
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "t");

    rolewright.apply().exits_with(1);
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "f");
    let owners =
        "SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = 'hers'::regnamespace AND relname = 'b'";
    assert_eq!(cluster.sql_in("open", owners), [["postgres"]]);
    cluster.sql("ALTER DATABASE shut ALLOW_CONNECTIONS true");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice"));
    assert_eq!(cluster.sql_in("shut", owners), [["postgres"]]);
    rolewright.plan_json().is_empty();
}
