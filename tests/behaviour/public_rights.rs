//! What PUBLIC may on all routines, types, tables and sequences of a schema, and all types of a schema for a role: exactly as
//! declared, for the kinds and schemas that are spoken of and no others, whoever changes it. What is held is asked of the
//! server in its own words, for a role that holds nothing itself, or tried by a login.

use rolewright_tests::{Cluster, Manifests, Rolewright};

use super::import::imported;
use super::object_privileges::can;

/// Database `shop`: two schemas that belong to `app`, with an object of each kind, as PostgreSQL opens them; and somebody.
fn shop() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE app; CREATE ROLE nobody LOGIN PASSWORD 'public-rights-1'");
    cluster.sql("CREATE DATABASE shop OWNER app");
    cluster.sql_in("shop", "SET ROLE app; CREATE SCHEMA sales; CREATE SCHEMA \"open; it's\"");
    for schema in ["sales", "\"open; it's\""] {
        cluster.sql_in(
            "shop",
            &format!(
                "SET ROLE app; GRANT USAGE ON SCHEMA {schema} TO PUBLIC; SET search_path = {schema};
                 CREATE TABLE orders (id int, card text); CREATE SEQUENCE numbers; CREATE TYPE state AS ENUM ('paid');
                 CREATE DOMAIN \"Euro €\" AS numeric; CREATE TYPE pair AS (a int, b int); CREATE TYPE span AS RANGE (subtype = int);
                 CREATE FUNCTION \"it's\"(\"a b\" int) RETURNS int LANGUAGE sql AS 'SELECT 1';
                 CREATE PROCEDURE settle() LANGUAGE sql AS 'SELECT 1';
                 CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int)"
            ),
        );
    }
    cluster
}

/// What `role` can do there, but for the constructors that PostgreSQL made of the range: `sales routine total: EXECUTE`.
fn held(cluster: &Cluster, role: &str) -> Vec<String> {
    let one = |kind: &str, function: &str, words: &[&str], from: &str| {
        format!(
            "SELECT nspname || ' {kind} ' || o.name || ': ' || concat_ws(' ', {}) AS line
               FROM ({from}) AS o JOIN pg_namespace AS n ON n.oid = o.place WHERE nspname !~ '^(pg_|information|public)'",
            can(role, function, words)
        )
    };
    let relations = |kind: &str| {
        format!("SELECT oid, relname AS name, relnamespace AS place FROM pg_class WHERE relkind = '{kind}'")
    };
    let queries = [
        one("table", "has_table_privilege", &["SELECT", "INSERT"], &relations("r")),
        one("sequence", "has_sequence_privilege", &["USAGE"], &relations("S")),
        one("routine", "has_function_privilege", &["EXECUTE"], "SELECT oid, proname AS name, pronamespace AS place FROM pg_proc WHERE proname !~ '^span'"),
        one(
            "type",
            "has_type_privilege",
            &["USAGE"],
            "SELECT t.oid, typname AS name, typnamespace AS place FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = typrelid
              WHERE typcategory <> 'A' AND typtype <> 'm' AND (typtype <> 'c' OR relkind = 'c')",
        ),
    ];
    let sql = format!(
        "SELECT line FROM ({}) AS lines WHERE line !~ ': $' ORDER BY line COLLATE \"C\"",
        queries.join(" UNION ALL ")
    );
    cluster.sql_in("shop", &sql).into_iter().map(|row| row[0].clone()).collect()
}

fn of_schema(lines: &[String], schema: &str) -> Vec<String> {
    lines.iter().filter_map(|line| line.strip_prefix(schema).map(|line| line.trim().to_owned())).collect()
}

const OPEN: &str = "open; it's";
const AS_MADE: [&str; 7] = [
    "routine it's: EXECUTE",
    "routine settle: EXECUTE",
    "routine total: EXECUTE",
    "type Euro €: USAGE",
    "type pair: USAGE",
    "type span: USAGE",
    "type state: USAGE",
];

const CLOSED: &str = "users: []
databases:
  - name: shop
    schemas:
      - {name: sales, public: {schema: [USAGE], routines: [], types: [], tables: [SELECT]}}
";

#[test]
fn a_schema_is_closed_kind_by_kind_and_the_others_stay_as_they_are() {
    let (cluster, manifests) = (shop(), Manifests::new());
    assert_eq!(of_schema(&held(&cluster, "nobody"), "sales"), AS_MADE);
    manifests.users(CLOSED);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("all routines of schema sales").mentions("PUBLIC").mentions("disruptive");
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    rolewright.apply().succeeds();
    let now = held(&cluster, "nobody");
    assert_eq!(of_schema(&now, "sales"), ["table orders: SELECT"]);
    assert_eq!(of_schema(&now, OPEN), AS_MADE);
    rolewright.plan_json().is_empty();
    let mut nobody = cluster.login("nobody", "public-rights-1", "shop");
    nobody.simple_query("SELECT card FROM sales.orders").unwrap();
    for refused in
        ["SELECT sales.\"it's\"(1)", "CALL sales.settle()", "CREATE TEMPORARY TABLE t (price sales.\"Euro €\")"]
    {
        let error = nobody.simple_query(refused).unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{refused}");
    }
    nobody.simple_query("SELECT \"open; it's\".\"it's\"(1)").unwrap();

    // Sequences were left out, so what is done with them is nobody's business; nor is another schema.
    cluster.sql_in("shop", "GRANT USAGE ON SEQUENCE sales.numbers TO PUBLIC; REVOKE EXECUTE ON PROCEDURE \"open; it's\".settle FROM PUBLIC");
    rolewright.plan_json().is_empty();

    // Opened again, for what is there and for what comes.
    manifests.users(&CLOSED.replace("routines: [], types: []", "routines: [EXECUTE], types: [USAGE]"));
    rolewright.apply().succeeds();
    let mut as_made: Vec<String> = AS_MADE.map(str::to_owned).to_vec();
    as_made.insert(3, "sequence numbers: USAGE".to_owned());
    as_made.insert(4, "table orders: SELECT".to_owned());
    assert_eq!(of_schema(&held(&cluster, "nobody"), "sales"), as_made);
    rolewright.plan_json().is_empty();
}

#[test]
fn whoever_opens_or_closes_it_by_hand_it_comes_back() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&CLOSED.replace("types: []", "types: [USAGE]"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = held(&cluster, "nobody");
    cluster.sql("CREATE ROLE delegate");
    for by_hand in [
        "GRANT EXECUTE ON ROUTINE sales.\"it's\" TO PUBLIC",
        "GRANT EXECUTE ON ALL ROUTINES IN SCHEMA sales TO PUBLIC",
        "REVOKE USAGE ON TYPE sales.state FROM PUBLIC",
        "GRANT INSERT ON sales.orders TO PUBLIC",
        "REVOKE SELECT ON sales.orders FROM PUBLIC",
        "SET ROLE app; CREATE FUNCTION sales.later() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE sales.more (id int)",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA sales GRANT EXECUTE ON ROUTINES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA sales REVOKE SELECT ON TABLES FROM PUBLIC",
        "GRANT USAGE ON SCHEMA sales TO delegate; GRANT EXECUTE ON PROCEDURE sales.settle TO delegate WITH GRANT OPTION;
         SET ROLE delegate; GRANT EXECUTE ON PROCEDURE sales.settle TO PUBLIC",
        // Columns count with their tables; a change elsewhere has somebody look.
        "GRANT UPDATE (card) ON sales.orders TO PUBLIC; GRANT INSERT ON sales.orders TO PUBLIC",
    ] {
        // Of this cycle on, everything agrees.
        rolewright.apply().succeeds();
        cluster.sql_in("shop", by_hand);
        let plan = rolewright.plan();
        plan.succeeds().mentions("(drift)").mentions("PUBLIC");
        rolewright.apply().succeeds();
        let now: Vec<String> = held(&cluster, "nobody").into_iter().filter(|line| !line.contains("table more")).collect();
        assert_eq!(now, before, "{by_hand}");
        let on_columns = "SELECT 1 FROM pg_attribute, aclexplode(attacl) AS a WHERE a.grantee = 0 AND attrelid = 'sales.orders'::regclass";
        assert!(cluster.sql_in("shop", on_columns).is_empty(), "{by_hand}");
        rolewright.plan_json().is_empty();
    }
    assert!(held(&cluster, "nobody").contains(&"sales table more: SELECT".to_owned()));
}

#[test]
fn what_is_made_later_is_open_for_a_cycle_unless_its_owner_closes_it_everywhere_and_this_is_said() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&CLOSED.replace("types: [], tables: [SELECT]", "tables: [SELECT]"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    let said = |output: &rolewright_tests::Output| {
        output
            .says("routines that \"app\" will make in schema \"sales\"")
            .says("ALTER DEFAULT PRIVILEGES FOR ROLE app REVOKE EXECUTE ON ROUTINES FROM PUBLIC");
    };
    said(&rolewright.plan());
    rolewright.apply().succeeds();
    let make = |name: &str| {
        cluster.sql_in(
            "shop",
            &format!("SET ROLE app; CREATE FUNCTION sales.{name}() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        );
        cluster.sql_in("shop", &format!("SELECT has_function_privilege('nobody', 'sales.{name}()', 'EXECUTE')"))[0][0]
            == "t"
    };
    assert!(make("first"));
    rolewright.apply().succeeds();
    assert_eq!(of_schema(&held(&cluster, "nobody"), "sales routine"), [""; 0]);
    cluster.sql_in("shop", "ALTER DEFAULT PRIVILEGES FOR ROLE app REVOKE EXECUTE ON ROUTINES FROM PUBLIC");
    let output = rolewright.plan();
    output.succeeds();
    assert!(
        ![&output.stdout, &output.stderr].iter().any(|text| text.contains("\"app\" will make")),
        "{}",
        output.stderr
    );
    assert!(!make("second"));
    rolewright.plan_json().is_empty();
    // Whoever wants them open nevertheless gets that by default privileges of the schema.
    manifests.users(&CLOSED.replace("routines: [], types: []", "routines: [EXECUTE]"));
    rolewright.apply().succeeds();
    assert!(make("third"));
    rolewright.plan_json().is_empty();
}

#[test]
fn a_new_schema_is_closed_before_anything_lies_in_it_and_only_observed_nothing_changes() {
    let (cluster, manifests) = (shop(), Manifests::new());
    let users =
        "users: []\ndatabases:\n  - {name: stock, schemas: [{name: bins, public: {routines: [], tables: [SELECT]}}]}
  - {name: shop, schemas: [{name: sales, public: {routines: []}}]}\n";
    manifests.users(&format!("mode: observe\n{users}"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    let before = held(&cluster, "nobody");
    rolewright.plan().says("gives PUBLIC other privileges on all routines of schema \"sales\"");
    rolewright.apply();
    assert_eq!(held(&cluster, "nobody"), before);
    manifests.users(users);
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    cluster.sql_in("stock", "CREATE TABLE bins.t (id int)");
    assert_eq!(cluster.sql_in("stock", "SELECT has_table_privilege('nobody', 'bins.t', 'SELECT')"), [["t"]]);
    rolewright.plan_json().is_empty();
}

const CLERK: &str = "users: []
roles:
  - name: clerk
    grants:
      - {database: shop, schema: sales, types: all, privileges: [USAGE]}
      - {database: shop, schema: sales, types: [pair], privileges: [USAGE], grant_option: true}
databases:
  - {name: shop, schemas: [{name: sales, public: {types: []}}]}
";

#[test]
fn all_types_are_those_that_stand_for_themselves_and_those_made_later() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(CLERK);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("all types of schema sales");
    rolewright.apply().succeeds();
    let wanted = ["Euro €: USAGE", "pair: USAGE*", "span: USAGE", "state: USAGE"];
    let types = |role: &str| of_schema(&held(&cluster, role), "sales type");
    assert_eq!(types("clerk"), wanted);
    assert_eq!(types("nobody"), [""; 0]);
    rolewright.plan_json().is_empty();
    // Neither arrays nor rows of tables were touched.
    let touched =
        "SELECT typname FROM pg_type WHERE typnamespace = 'sales'::regnamespace AND typacl IS NOT NULL ORDER BY 1";
    assert_eq!(cluster.sql_in("shop", touched).concat(), ["Euro €", "pair", "span", "state"]);

    for by_hand in [
        "REVOKE USAGE ON TYPE sales.state FROM clerk",
        "REVOKE GRANT OPTION FOR USAGE ON TYPE sales.pair FROM clerk",
        "GRANT USAGE ON TYPE sales.span TO clerk WITH GRANT OPTION",
        "GRANT USAGE ON TYPE sales.orders TO clerk",
        "GRANT USAGE ON TYPE \"open; it's\".state TO clerk",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA sales REVOKE USAGE ON TYPES FROM clerk",
    ] {
        cluster.sql_in("shop", by_hand);
        let plan = rolewright.plan_json();
        assert!(!plan.steps().is_empty(), "unseen: {by_hand}");
        assert_eq!(plan.causes(), ["drift"], "{by_hand}");
        rolewright.apply().succeeds();
        assert_eq!(types("clerk"), wanted, "{by_hand}");
        rolewright.plan_json().is_empty();
    }
    cluster.sql_in("shop", "SET ROLE app; CREATE DOMAIN sales.weight AS numeric");
    let held_later =
        "SELECT 1 FROM pg_type, aclexplode(typacl) AS a WHERE typname = 'weight' AND a.grantee = 'clerk'::regrole";
    assert_eq!(cluster.sql_in("shop", held_later), [["1"]]);
    rolewright.apply().succeeds();

    // It reads back from the server.
    let elsewhere = Manifests::new();
    elsewhere.secret("nobody", "public-rights-1");
    let output = imported(&cluster, &elsewhere);
    output.says("types: all");
    assert!(!output.stderr.contains("clerk"), "{}", output.stderr);
    Rolewright::new(&cluster, &elsewhere).plan_json().is_empty();

    manifests.users("users: []\nroles:\n  - name: clerk\n");
    rolewright.env("MAX_DELETIONS", "100%").apply().succeeds();
    assert_eq!(types("clerk"), [""; 0]);
}
