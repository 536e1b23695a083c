//! How much of a role is spoken for: `authoritative`, `additive`, `adopt` and `observe`, what becomes of each when it is
//! declared no more, and `external` roles, which may be named and are nobody's to change. What was made by hand is asked
//! of the server in its own words.

use rolewright_tests::{Cluster, Manifests, Rolewright};

/// An application's database, and `alice`, who was given more than anybody declares: an attribute, a membership, a
/// setting, and privileges on the database, on a table, and on all that is made later.
fn by_hand() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE app; CREATE ROLE writer; CREATE ROLE stranger");
    cluster.sql("CREATE DATABASE shop OWNER app");
    cluster.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC");
    cluster.sql_in(
        "shop",
        "SET ROLE app; CREATE SCHEMA sales; CREATE TABLE sales.orders (id int); CREATE TABLE sales.items (id int)",
    );
    make(&cluster, "alice");
    cluster
}

fn make(cluster: &Cluster, name: &str) {
    cluster.sql(&format!(
        "CREATE ROLE {name} LOGIN CREATEDB; GRANT writer TO {name}; ALTER ROLE {name} SET jit = off;
         GRANT CREATE ON DATABASE shop TO {name}"
    ));
    cluster.sql_in(
        "shop",
        &format!(
            "SET ROLE app; GRANT DELETE ON sales.orders TO {name}; GRANT SELECT ON sales.items TO {name} WITH GRANT OPTION;
             ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT UPDATE ON TABLES TO {name}"
        ),
    );
}

/// What was given by hand, in the order of [`by_hand`]: `t` for what is still there.
fn extras(cluster: &Cluster, name: &str) -> String {
    let outside = cluster.value(&format!(
        "SELECT concat_ws('', (SELECT rolcreatedb FROM pg_roles WHERE rolname = '{name}'),
                pg_has_role('{name}', 'writer', 'MEMBER'),
                EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = '{name}'::regrole AND 'jit=off' = ANY (setconfig)),
                has_database_privilege('{name}', 'shop', 'CREATE'))"
    ));
    let inside = cluster.sql_in(
        "shop",
        &format!(
            "SELECT concat_ws('', has_table_privilege('{name}', 'sales.orders', 'DELETE'),
                    has_table_privilege('{name}', 'sales.items', 'SELECT WITH GRANT OPTION'),
                    EXISTS (SELECT FROM pg_default_acl, aclexplode(defaclacl)
                             WHERE grantee = '{name}'::regrole AND privilege_type = 'UPDATE'))"
        ),
    );
    format!("{outside}{}", inside[0][0])
}

/// What the file says of `name`: `t` for what is so.
fn declared(cluster: &Cluster, name: &str) -> String {
    let outside = cluster.value(&format!(
        "SELECT concat_ws('', (SELECT rolconnlimit = 3 FROM pg_roles WHERE rolname = '{name}'),
                pg_has_role('{name}', 'reader', 'MEMBER'),
                EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = '{name}'::regrole AND 'work_mem=8MB' = ANY (setconfig)),
                has_database_privilege('{name}', 'shop', 'CONNECT'))"
    ));
    let inside = cluster.sql_in(
        "shop",
        &format!(
            "SELECT concat_ws('', has_schema_privilege('{name}', 'sales', 'USAGE'),
                    has_table_privilege('{name}', 'sales.orders', 'SELECT'),
                    has_table_privilege('{name}', 'sales.items', 'SELECT'))"
        ),
    );
    format!("{outside}{}", inside[0][0])
}

const ALL: &str = "ttttttt";
const NONE: &str = "fffffff";

fn users(name: &str, mode: &str) -> String {
    format!(
        "users:
  - username: {name}
    mode: {mode}
    databases: [shop]
    roles: [reader]
    connection_limit: 3
    settings: {{work_mem: 8MB}}
    grants:
      - {{database: shop, schema: sales, profile: read_only}}
  - username: bystander
    password: none
"
    )
}

const WITHOUT: &str = "users: [{username: bystander, password: none}]\n";

/// No step is due for the role, whatever is for others.
fn plans_nothing_for(rolewright: &Rolewright<'_>, name: &str) {
    let plan = rolewright.plan_json();
    assert!(!plan.actions().iter().any(|action| action.ends_with(&format!(" {name}"))), "{:?}", plan.actions());
}

#[test]
fn additive_gives_what_is_declared_takes_nothing_and_is_repaired() {
    let (cluster, manifests) = (by_hand(), Manifests::new());
    manifests.users(&users("alice", "additive")).secret("alice", "additive-secret-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("what it has beyond that stays");
    rolewright.apply().succeeds();
    assert_eq!((declared(&cluster, "alice").as_str(), extras(&cluster, "alice").as_str()), (ALL, ALL));
    cluster.login("alice", "additive-secret-1", "shop");
    rolewright.plan_json().is_empty();

    // More by hand is nobody's business; less than declared is drift.
    cluster.sql("GRANT stranger TO alice; ALTER ROLE alice CREATEROLE; ALTER ROLE alice SET lock_timeout = 5");
    cluster.sql_in("shop", "SET ROLE app; GRANT TRUNCATE ON sales.items TO alice");
    rolewright.plan_json().is_empty();
    cluster.sql("REVOKE reader FROM alice; ALTER ROLE alice CONNECTION LIMIT 9; ALTER ROLE alice RESET work_mem");
    cluster.sql_in("shop", "SET ROLE app; REVOKE SELECT ON sales.orders FROM alice");
    assert_eq!(declared(&cluster, "alice"), "fffttft");
    let plan = rolewright.plan_json();
    assert!(plan.causes().iter().all(|cause| cause == "drift"), "{:?}", plan.causes());
    rolewright.apply().succeeds();
    assert_eq!((declared(&cluster, "alice").as_str(), extras(&cluster, "alice").as_str()), (ALL, ALL));
    rolewright.plan_json().is_empty();

    // It was there before it was declared, and so it stays.
    manifests.users(WITHOUT);
    let plan = rolewright.plan_json();
    assert!(!plan.actions().iter().any(|action| action.ends_with(" alice")), "{:?}", plan.actions());
    rolewright.apply().succeeds();
    assert_eq!((declared(&cluster, "alice").as_str(), extras(&cluster, "alice").as_str()), (ALL, ALL));
    rolewright.plan_json().is_empty();
    assert!(!rolewright.plan().succeeds().stdout.contains("lets go"), "it is forgotten");
}

#[test]
fn an_additive_role_that_rolewright_made_goes_when_it_leaves() {
    let (cluster, manifests) = (by_hand(), Manifests::new());
    manifests.users(&users("new", "additive")).secret("new", "additive-secret-2");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!((declared(&cluster, "new").as_str(), extras(&cluster, "new").as_str()), (ALL, NONE));
    cluster.sql("GRANT stranger TO new");
    rolewright.plan_json().is_empty();
    manifests.users(WITHOUT);
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("new"));
}

#[test]
fn adopt_never_makes_a_role_and_never_drops_one() {
    let (cluster, manifests) = (by_hand(), Manifests::new());
    let text = format!("{}  - {{username: ghost, password: none, mode: adopt}}\n", users("alice", "adopt"));
    manifests.users(&text).secret("alice", "adopt-secret-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("\"ghost\" is left as it is: it is to be adopted, and is not there");
    assert!(!cluster.has_role("ghost") && cluster.has_role("bystander"));
    assert_eq!((declared(&cluster, "alice").as_str(), extras(&cluster, "alice").as_str()), (ALL, ALL));

    manifests.users(&users("alice", "adopt"));
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    // Exactly as declared, from here on: what is beyond that goes, and nothing else is done.
    manifests.users(&users("alice", "authoritative"));
    let plan = rolewright.plan_json();
    // A privilege with a grant option on one table, and without on all, is said anew of all of them.
    let known = [
        "alter-role alice",
        "revoke-role alice",
        "revoke-privilege alice",
        "reset-setting alice",
        "grant-privilege alice",
    ];
    assert!(plan.actions().iter().all(|action| known.contains(&action.as_str())), "{:?}", plan.actions());
    rolewright.apply().succeeds();
    assert_eq!((declared(&cluster, "alice").as_str(), extras(&cluster, "alice").as_str()), (ALL, NONE));
    rolewright.plan_json().is_empty();

    // And back: nothing is due, and leaving the file does not drop it.
    manifests.users(&users("alice", "adopt"));
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    manifests.users(WITHOUT);
    rolewright.apply().succeeds();
    assert!(cluster.has_role("alice"));
    assert_eq!(declared(&cluster, "alice"), ALL);
    rolewright.plan_json().is_empty();
}

#[test]
fn observe_tells_what_differs_and_changes_nothing() {
    let (cluster, manifests) = (by_hand(), Manifests::new());
    let text = format!("{}  - {{username: ghost, password: none, mode: observe}}\n", users("alice", "observe"));
    manifests.users(&text).secret("alice", "observe-secret-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.fingerprint();
    let output = rolewright.command(&["plan", "--exit-code"]);
    output.exits_with(0).mentions("\"alice\" is only observed, and not as declared").mentions("CREATEDB");
    output.mentions("is a member of \"writer\"").mentions("does not hold its privileges on");
    output.mentions("\"ghost\" is only observed, and is not there");
    rolewright.apply().succeeds();
    assert_eq!((cluster.fingerprint(), extras(&cluster, "alice").as_str()), (before, ALL));
    assert!(!cluster.has_role("reader") && !cluster.has_role("ghost"));

    // What was kept as declared is left alone from now on, is not dropped, and is known when it is taken up again.
    manifests.users(&users("alice", "authoritative"));
    rolewright.apply().succeeds();
    assert_eq!((declared(&cluster, "alice").as_str(), extras(&cluster, "alice").as_str()), (ALL, NONE));
    manifests.users(&users("alice", "observe"));
    assert!(rolewright.plan_json().findings().is_empty());
    rolewright.apply().succeeds();
    cluster.sql("REVOKE reader FROM alice");
    plans_nothing_for(&rolewright, "alice");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("reader"), "only the observed name it");
    manifests.users(&users("alice", "authoritative"));
    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    manifests.users(WITHOUT);
    rolewright.apply().succeeds();
    assert!(cluster.has_role("alice"), "it was observed last");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_file_that_only_observes_changes_nothing_at_all() {
    let (cluster, manifests) = (by_hand(), Manifests::new());
    let text = users("alice", "observe").replace("    mode: observe\n", "");
    let databases =
        "databases:\n  - {name: shop, owner: owner, public: [CONNECT], schemas: [{name: stock}]}\n  - {name: stock}\n";
    manifests.users(&format!("mode: observe\nroles: [{{name: clerk}}]\n{text}{databases}"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    let before = cluster.fingerprint();
    let output = rolewright.command(&["plan", "--exit-code"]);
    output.exits_with(0).mentions("database \"shop\" is only observed").mentions("has no schema \"stock\"");
    output.mentions("gives PUBLIC other privileges").mentions("database \"stock\" is only observed");
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!(cluster.fingerprint(), before);
    assert_eq!(cluster.value("SELECT count(*) FROM pg_database WHERE datname = 'stock'"), "0");
    assert!(!["owner", "clerk", "reader", "bystander"].into_iter().any(|role| cluster.has_role(role)));
}

#[test]
fn what_everybody_holds_stays_where_the_file_is_additive() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE DATABASE shop");
    let held = || {
        cluster.value("SELECT concat_ws('', has_database_privilege('public', 'shop', 'CONNECT'), has_database_privilege('public', 'shop', 'CREATE'))")
    };
    manifests.users("mode: additive\nusers: []\ndatabases: [{name: shop, public: [CREATE]}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(held(), "tt");
    rolewright.plan_json().is_empty();
    manifests.users("users: []\ndatabases: [{name: shop, public: [CREATE]}]\n");
    rolewright.apply().succeeds();
    assert_eq!(held(), "ft");
}

#[test]
fn external_roles_are_named_and_never_touched() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let users = |external: &str| {
        format!(
            "external: {external}\nusers:\n  - {{username: alice, password: none, roles: [dba_team]}}\n  - {{username: bob, password: none}}\n\
             databases:\n  - {{name: shop, owner: dba_team, schemas: [{{name: sales, owner: dba_team}}]}}\n"
        )
    };
    manifests.users(&users("[dba_team]"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright
        .apply()
        .exits_with(1)
        .mentions("\"alice\" is left as it is: it is to be a member of \"dba_team\", which is external");
    rolewright.plan().succeeds().mentions("database \"shop\" is left as it is: its owner \"dba_team\" is external");
    assert!(cluster.has_role("bob") && !cluster.has_role("alice") && !cluster.has_role("dba_team"));
    let count = || cluster.value("SELECT count(*) FROM pg_database WHERE datname = 'shop'");
    assert_eq!(count(), "0");

    cluster.sql("CREATE ROLE dba_team CREATEDB LOGIN");
    rolewright.apply().succeeds();
    assert_eq!(cluster.value("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'"), "dba_team");
    assert_eq!(
        cluster.sql_in("shop", "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'sales'")[0][0],
        "dba_team"
    );
    assert_eq!(cluster.value("SELECT pg_has_role('alice', 'dba_team', 'MEMBER')"), "t");
    rolewright.plan_json().is_empty();
    assert_eq!(cluster.value("SELECT count(*) FROM rolewright.roles WHERE name = 'dba_team'"), "0");
    manifests.users("users: [{username: bob, password: none}]\n");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("dba_team") && !cluster.has_role("alice"));
}

#[test]
fn a_role_that_rolewright_made_and_that_is_external_now_is_let_go() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users: [{username: alice, password: none, roles: [dba_team]}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users("external: [dba_team]\nusers: [{username: alice, password: none}]\n");
    rolewright.plan().succeeds().mentions("\"dba_team\" is external from now on");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("dba_team"));
    assert_eq!(cluster.value("SELECT count(*) FROM rolewright.roles WHERE name = 'dba_team'"), "0");
    rolewright.plan_json().is_empty();
    manifests.users("users: [{username: alice, password: none}]\n");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("dba_team"));
}

#[test]
fn what_is_external_and_declared_is_a_mistake_in_the_file() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("external: [alice]\nusers: [{username: alice, password: none, mode: aditive}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let output = rolewright.apply();
    output.exits_with(1).mentions("external-role").mentions("did you mean `additive`?");
    assert!(!cluster.has_role("alice"));
}

#[test]
fn who_is_let_go_is_no_removal_however_many_there_are() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    for number in 0..10 {
        cluster.sql(&format!(r#"CREATE ROLE "it's ""{number}" LOGIN"#));
    }
    let users = (0..10).map(|number| format!("  - {{username: \"it's \\\"{number}\", password: none}}\n"));
    let users = format!("users:\n{}", users.collect::<String>());
    let count = || cluster.value("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'it''s %'");
    manifests.users(&format!("mode: adopt\n{users}"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users("users: []\n");
    rolewright.apply().succeeds();
    assert_eq!(count(), "10");
    rolewright.plan_json().is_empty();

    // Of those that would be dropped, as many are held.
    manifests.users(&users);
    rolewright.apply().succeeds();
    manifests.users("users: []\n");
    rolewright.apply().exits_with(3);
    assert_eq!(count(), "10");
}
