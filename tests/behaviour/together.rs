//! What users.yaml can say at once, and what then comes together: databases that are made, roles that get another name,
//! logins that are disabled, rights that are missing, and roles that are not wholly spoken for.

use rolewright_tests::{Cluster, Manifests, Rolewright};

fn operator(cluster: &Cluster, attributes: &str) {
    cluster.sql(&format!("CREATE ROLE operator LOGIN {attributes} PASSWORD 'operator-1'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO operator");
}

#[test]
fn a_role_is_renamed_and_its_new_database_is_made_in_one_apply() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users: [{username: old, password: none}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let oid = cluster.value("SELECT oid FROM pg_roles WHERE rolname = 'old'");

    manifests.users(
        "users: [{username: new, renamed_from: old, password: none, databases: [crm]}]
databases: [{name: crm, owner: crm_owner, public: [], connection_limit: 7, schemas: [{name: leads, owner: new}]}]
",
    );
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    rolewright.apply().succeeds();
    assert_eq!(cluster.value("SELECT oid FROM pg_roles WHERE rolname = 'new'"), oid);
    assert!(!cluster.has_role("old"));
    assert_eq!(
        cluster.sql(
            "SELECT pg_get_userbyid(datdba), datconnlimit, has_database_privilege('new', 'crm', 'CONNECT'),
                    has_database_privilege('public', 'crm', 'CONNECT') FROM pg_database WHERE datname = 'crm'"
        ),
        [["crm_owner", "7", "t", "f"]]
    );
    let owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'leads'";
    assert_eq!(cluster.sql_in("crm", owner), [["new"]]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_database_that_keeps_its_owner_holds_up_nobody_in_it() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    operator(&cluster, "CREATEROLE CREATEDB");
    cluster.sql("CREATE ROLE heir");
    cluster.sql("CREATE DATABASE shop OWNER operator");
    cluster.sql("GRANT CONNECT ON DATABASE shop TO heir; REVOKE ALL ON DATABASE shop FROM PUBLIC");
    cluster.sql_in("shop", "SET ROLE operator; CREATE SCHEMA sales; CREATE TABLE sales.orders (id int)");
    cluster.sql_in("shop", "SET ROLE operator; GRANT USAGE ON SCHEMA sales TO heir");
    // Nobody has made the controller a member of the heir, so it cannot give it anything.
    manifests.users(
        "users: [{username: alice, password: none, databases: [shop]}]
roles: [{name: reader, grants: [{database: shop, schema: sales, profile: read_only}]}]
external: [heir]
databases: [{name: shop, owner: heir, schemas: [{name: sales}, {name: stock}]}]
",
    );
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("operator", "operator-1");
    rolewright.apply().exits_with(1).mentions("database \"shop\"");
    let held = |question: &str| cluster.sql_in("shop", &format!("SELECT {question}"));
    assert_eq!(held("has_table_privilege('reader', 'sales.orders', 'SELECT')"), [["t"]]);
    assert_eq!(held("has_database_privilege('alice', 'shop', 'CONNECT')"), [["t"]]);
    // Who is to own it keeps what it has, as long as it does not.
    assert_eq!(held("has_database_privilege('heir', 'shop', 'CONNECT')"), [["t"]]);

    cluster.sql("ALTER ROLE operator SUPERUSER");
    rolewright.apply().succeeds();
    assert_eq!(cluster.value("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'"), "heir");
    rolewright.plan_json().is_empty();
}

#[test]
fn who_is_disabled_and_cannot_be_locked_out_is_an_error_and_nothing_hangs() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    operator(&cluster, "CREATEROLE");
    cluster.sql("CREATE ROLE boss LOGIN SUPERUSER");
    manifests.users(
        "users: [{username: boss, superuser: true, disabled: true, password: none}, {username: bob, password: none}]\n",
    );
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("operator", "operator-1");
    rolewright.plan().succeeds().mentions("boss");
    rolewright.apply().exits_with(1).mentions("boss");
    assert_eq!(cluster.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'boss'"), "t");
    assert!(cluster.has_role("bob"));
}

#[test]
fn who_was_adopted_is_let_go_although_it_was_disabled_and_had_no_secret_any_more() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE bob LOGIN");
    manifests.users("users: [{username: bob, mode: adopt}]\n").secret("bob", "together-bob-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users("users: [{username: bob, mode: adopt, disabled: true}]\n").remove_secret("bob");
    rolewright.apply();
    assert_eq!(cluster.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'bob'"), "f");
    manifests.users("users: []\n");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("bob"));
}

#[test]
fn what_everybody_may_on_one_database_waits_for_no_other() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    operator(&cluster, "CREATEROLE");
    cluster.sql("CREATE DATABASE ours OWNER operator");
    cluster.sql("CREATE DATABASE theirs");
    manifests.users("users: []\ndatabases: [{name: ours, public: []}, {name: theirs, public: []}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("operator", "operator-1");
    rolewright.apply().exits_with(1).mentions("theirs");
    let open = "SELECT datname FROM pg_database WHERE has_database_privilege('public', datname, 'CONNECT')
                   AND datname IN ('ours', 'theirs')";
    assert_eq!(cluster.sql(open), [["theirs"]]);
}

#[test]
fn many_who_own_a_schema_and_lose_their_database_are_many_all_the_same() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let names = ["ann", "ben", "cat", "dan", "eve", "fay"];
    let users = |databases: &str| {
        let users: Vec<String> =
            names.iter().map(|name| format!("{{username: {name}, password: none{databases}}}")).collect();
        let schemas: Vec<String> = names.iter().map(|name| format!("{{name: {name}, owner: {name}}}")).collect();
        format!("users: [{}]\ndatabases: [{{name: shop, schemas: [{}]}}]\n", users.join(", "), schemas.join(", "))
    };
    manifests.users(&users(", databases: [shop]"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users(&users(""));
    rolewright.apply().exits_with(3).mentions("lose access");
}
