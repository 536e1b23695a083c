//! Databases and schemas that are declared: made where they are absent, given to their owners, and closed to everybody
//! where that is said; whoever changes it. What is so is asked of the server, or tried by logging in.

use rolewright_tests::{Cluster, Manifests, Rolewright};

const SHOP: &str = "users:
  - username: alice
    password: none
    databases: [shop]
    roles: [reader]
roles:
  - name: reader
    grants:
      - {database: shop, schema: sales, profile: read_only}
databases:
  - name: shop
    owner: shop_owner
    comment: what we sell
    connection_limit: 50
    public: []
    schemas:
      - {name: sales, owner: shop_owner}
      - {name: public, public: []}
";

/// What a database and its schemas are, by the catalog's own words.
fn state(cluster: &Cluster, database: &str) -> Vec<String> {
    let as_line = |row: Vec<String>| row.join(" ");
    let mut lines: Vec<String> = cluster
        .sql(&format!(
            "SELECT pg_get_userbyid(datdba), datconnlimit, coalesce(shobj_description(oid, 'pg_database'), '-'),
                    has_database_privilege('public', datname, 'CONNECT')
               FROM pg_database WHERE datname = '{database}'"
        ))
        .into_iter()
        .map(as_line)
        .collect();
    let schemas = cluster.sql_in(
        database,
        "SELECT nspname, pg_get_userbyid(nspowner), has_schema_privilege('public', nspname, 'USAGE')
           FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'rolewright') ORDER BY nspname",
    );
    lines.extend(schemas.into_iter().map(as_line));
    lines
}

fn owner_of_public(cluster: &Cluster) -> &'static str {
    let version: u32 = cluster.value("SHOW server_version_num").parse().unwrap();
    if version >= 150_000 { "pg_database_owner" } else { "postgres" }
}

#[test]
fn what_is_declared_and_absent_is_made_in_one_apply() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(SHOP);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("create the database").mentions("schema sales owned by shop_owner");
    rolewright
        .command(&["plan", "--rehearse"])
        .succeeds()
        .mentions("accepted")
        .mentions("CREATE DATABASE shop could not be tried");
    assert!(cluster.sql("SELECT 1 FROM pg_database WHERE datname = 'shop'").is_empty());
    assert!(!cluster.has_role("shop_owner"));

    rolewright.apply().succeeds().mentions("1 database created");
    let public = format!("public {} f", owner_of_public(&cluster));
    assert_eq!(state(&cluster, "shop"), ["shop_owner 50 what we sell f", &public, "sales shop_owner f"]);
    rolewright.plan_json().is_empty();
    // What the owner makes is covered at once, since the wish was there when the schema was made.
    cluster.sql_in("shop", "SET ROLE shop_owner; CREATE TABLE sales.orders (id int)");
    assert_eq!(cluster.sql_in("shop", "SELECT has_table_privilege('reader', 'sales.orders', 'SELECT')"), [["t"]]);
    assert_eq!(cluster.sql("SELECT has_database_privilege('alice', 'shop', 'CONNECT')"), [["t"]]);
    rolewright.plan_json().is_empty();
}

#[test]
fn what_somebody_changes_by_hand_is_drift_and_is_put_right() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(SHOP);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = state(&cluster, "shop");
    for (database, change) in [
        ("postgres", "ALTER DATABASE shop OWNER TO postgres"),
        ("postgres", "ALTER DATABASE shop CONNECTION LIMIT 3"),
        ("postgres", "COMMENT ON DATABASE shop IS NULL"),
        ("postgres", "GRANT CONNECT ON DATABASE shop TO PUBLIC"),
        ("shop", "ALTER SCHEMA sales OWNER TO postgres"),
        ("shop", "DROP SCHEMA sales"),
        ("shop", "GRANT USAGE ON SCHEMA public TO PUBLIC"),
    ] {
        // Of this cycle on, everything agrees.
        rolewright.apply().succeeds();
        cluster.sql_in(database, change);
        assert_ne!(state(&cluster, "shop"), before, "{change}");
        let plan = rolewright.plan();
        plan.succeeds().mentions("(drift)").mentions("database shop");
        rolewright.apply().succeeds();
        assert_eq!(state(&cluster, "shop"), before, "{change}");
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn a_new_owner_needs_no_grant_and_the_old_one_keeps_what_is_declared() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE before LOGIN");
    cluster.sql("CREATE ROLE after");
    cluster.sql("CREATE DATABASE shop OWNER before");
    cluster.sql_in("shop", "CREATE SCHEMA sales AUTHORIZATION before; GRANT USAGE, CREATE ON SCHEMA sales TO after");
    cluster.sql("GRANT CREATE ON DATABASE shop TO after");
    manifests.users(
        "users: [{username: before, password: none, databases: [shop]}]
roles:
  - {name: after, grants: [{database: shop, schema: sales, privileges: [USAGE]}]}
databases:
  - {name: shop, owner: after, schemas: [{name: sales, owner: after}]}
",
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    // What the new owner was granted becomes its own: there is nothing to take from it.
    let plan = rolewright.plan_json();
    assert!(!plan.steps().iter().any(|step| step["action"] == "revoke-privilege" && step["role"] == "after"));
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    rolewright.apply().succeeds();
    assert_eq!(state(&cluster, "shop")[0], "after -1 - t");
    // The old owner has CONNECT by a grant now, and nothing on the schema; the new one all of both.
    assert_eq!(
        cluster.sql(
            "SELECT datacl::text LIKE '%before=c/after%', has_database_privilege('before', 'shop', 'CREATE'),
                    has_database_privilege('after', 'shop', 'CREATE')
               FROM pg_database WHERE datname = 'shop'"
        ),
        [["t", "f", "t"]]
    );
    assert_eq!(
        cluster.sql_in(
            "shop",
            "SELECT has_schema_privilege('before', 'sales', 'USAGE'), has_schema_privilege('after', 'sales', 'CREATE')"
        ),
        [["f", "t"]]
    );
    rolewright.plan_json().is_empty();
}

#[test]
fn what_public_holds_elsewhere_is_nobodys_business_and_declared_no_more_nothing_is_dropped() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE DATABASE other");
    manifests.users("users: []\ndatabases: [{name: shop, schemas: [{name: sales}]}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(state(&cluster, "shop")[0], "postgres -1 - t");
    assert_eq!(cluster.sql("SELECT has_database_privilege('public', 'other', 'CONNECT')"), [["t"]]);

    manifests.users("users: []\n");
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!(state(&cluster, "shop").len(), 3);
}

#[test]
fn somebody_may_be_let_in_and_everybody_else_kept_out() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE stranger LOGIN PASSWORD 'stranger-1'");
    manifests
        .users("users: [{username: alice, databases: [shop]}]\ndatabases: [{name: shop, public: []}]\n")
        .secret("alice", "databases-alice-1");
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    cluster.login("alice", "databases-alice-1", "shop");
    assert!(cluster.try_login("stranger", "stranger-1", "shop").is_err());
    assert!(cluster.try_login("stranger", "stranger-1", "postgres").is_ok());
}

#[test]
fn names_may_be_anything() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(
        r#"users: []
databases:
  - name: 'a"b; DROP TABLE x'' --'
    owner: 'o"w'
    comment: 'it''s; --'
    public: [CONNECT]
    schemas: [{name: 's"; --', owner: 'o"w', public: [USAGE]}]
"#,
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let database = r#"a"b; DROP TABLE x' --"#;
    assert_eq!(
        cluster
            .sql_in(database, "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname LIKE 's\"%'"),
        [["s\"; --", "o\"w"]]
    );
    rolewright.plan_json().is_empty();
}

#[test]
fn a_database_that_cannot_be_made_holds_up_only_who_needs_it() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE operator LOGIN CREATEROLE PASSWORD 'operator-1'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO operator");
    manifests.users(
        "users:
  - {username: alice, password: none, databases: [shop]}
  - {username: bob, password: none}
databases: [{name: shop}]
",
    );
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("operator", "operator-1");
    rolewright.apply().exits_with(1).mentions("shop").mentions("CREATEDB");
    assert!(cluster.has_role("bob") && !cluster.has_role("alice"));
    cluster.sql("ALTER ROLE operator CREATEDB");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("alice"));
    rolewright.plan_json().is_empty();
}

#[test]
fn the_script_for_psql_does_the_same() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(SHOP);
    let rolewright = Rolewright::new(&cluster, &manifests);
    let script = rolewright.command(&["plan", "--format", "sql"]);
    let psql = cluster.psql("postgres", &script.succeeds().stdout);
    assert!(psql.status.success(), "{}\n{}", String::from_utf8_lossy(&psql.stderr), script.stdout);
    rolewright.plan_json().is_empty();
}
