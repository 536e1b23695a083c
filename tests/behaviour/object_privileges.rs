//! What roles hold inside of databases: schemas, tables, sequences, routines, and what will be made of
//! them; exactly as declared, whoever changes it, in every database that the spec speaks of. What is
//! held is asked of the server in its own words (`has_table_privilege` and the like), or tried.

use std::time::Duration;

use rolewright_tests::{Cluster, Manifests, Rolewright, eventually, session};

/// Database `shop`, as an application would leave it: what is in the schema `sales` belongs to `app`.
pub(super) fn shop() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE app");
    cluster.sql("CREATE DATABASE shop OWNER app");
    cluster.sql_in(
        "shop",
        "SET ROLE app; CREATE SCHEMA sales; CREATE TABLE sales.orders (id int); CREATE TABLE sales.items (id int);
         CREATE VIEW sales.totals AS SELECT count(*) FROM sales.orders; CREATE SEQUENCE sales.numbers;
         CREATE FUNCTION sales.refund(amount integer, reason text) RETURNS int LANGUAGE sql AS 'SELECT 1';
         REVOKE EXECUTE ON FUNCTION sales.refund FROM PUBLIC; CREATE SCHEMA stock; CREATE TABLE stock.bins (id int)",
    );
    cluster
}

/// What `role` can do with the object `o.oid`, one of these words each, as the server's own `function` says: in SQL, as
/// `SELECT` without a grant option, and `SELECT*` with one.
pub(super) fn can(role: &str, function: &str, words: &[&str]) -> String {
    let one = |word: &&str| {
        format!(
            "CASE WHEN {function}('{role}', o.oid, '{word} WITH GRANT OPTION') THEN '{word}*'
                  WHEN {function}('{role}', o.oid, '{word}') THEN '{word}' END"
        )
    };
    words.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Everything that `role` holds in `shop`, one line for each object, by the server's own functions.
pub(super) fn held(cluster: &Cluster, role: &str) -> Vec<String> {
    let list = |kind: &str, function: &str, words: &[&str], from: &str| {
        format!(
            "SELECT '{kind} ' || o.name || ': ' || concat_ws(' ', {}) AS line FROM ({from}) AS o",
            can(role, function, words)
        )
    };
    let relations = |kinds: &str| {
        format!(
            "SELECT c.oid, relnamespace::regnamespace || '.' || relname AS name FROM pg_class AS c
             WHERE relkind IN ({kinds}) AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
        )
    };
    let table = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
    let queries = [
        list(
            "schema",
            "has_schema_privilege",
            &["USAGE", "CREATE"],
            "SELECT oid, nspname AS name FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')",
        ),
        list("table", "has_table_privilege", &table, &relations("'r','v','m','p','f'")),
        list("sequence", "has_sequence_privilege", &["USAGE", "SELECT", "UPDATE"], &relations("'S'")),
        list(
            "routine",
            "has_function_privilege",
            &["EXECUTE"],
            "SELECT p.oid, pronamespace::regnamespace || '.' || proname AS name FROM pg_proc AS p
             WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema)'",
        ),
    ];
    let sql =
        format!("SELECT line FROM ({}) AS all_of_them WHERE line !~ ': $' ORDER BY line", queries.join(" UNION ALL "));
    cluster.sql_in("shop", &sql).into_iter().map(|row| row[0].clone()).collect()
}

pub(super) const READER: &str = "users:
  - username: alice
    password: none
    databases: [shop]
    roles: [reader]
roles:
  - name: reader
    grants:
      - {database: shop, schema: sales, profile: read_only}
";

pub(super) const READS: [&str; 5] = [
    "schema sales: USAGE",
    "sequence sales.numbers: SELECT",
    "table sales.items: SELECT",
    "table sales.orders: SELECT",
    "table sales.totals: SELECT",
];

#[test]
fn a_profile_gives_what_it_says_on_what_is_there_and_on_what_comes_later() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(READER);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("SELECT on all tables of schema sales in database shop");
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    assert!(!cluster.has_role("reader"));
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "reader"), READS);
    rolewright.plan_json().is_empty();

    // What the application makes is covered at once, what somebody else makes in the next cycle.
    cluster.sql_in("shop", "SET ROLE app; CREATE TABLE sales.later (id int)");
    assert!(held(&cluster, "reader").contains(&"table sales.later: SELECT".to_owned()));
    rolewright.plan_json().is_empty();
    cluster.sql_in("shop", "CREATE TABLE sales.strange (id int)");
    assert!(!held(&cluster, "reader").contains(&"table sales.strange: SELECT".to_owned()));
    let plan = rolewright.plan_json();
    assert!(plan.actions().iter().all(|action| action == "grant-privilege reader"), "{:?}", plan.actions());
    rolewright.apply().succeeds();
    assert!(held(&cluster, "reader").contains(&"table sales.strange: SELECT".to_owned()));
    rolewright.plan_json().is_empty();
    cluster.sql_in("shop", "CREATE TABLE sales.stranger (id int)");
    assert!(held(&cluster, "reader").contains(&"table sales.stranger: SELECT".to_owned()));
}

#[test]
fn a_login_can_do_what_it_was_given_and_nothing_else() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&READER.replace("    password: none\n", "")).secret("alice", "inside-alice-1");
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    let mut alice = cluster.login("alice", "inside-alice-1", "shop");
    alice.simple_query("SELECT * FROM sales.orders, sales.totals").unwrap();
    for refused in [
        "INSERT INTO sales.orders VALUES (1)",
        "SELECT * FROM stock.bins",
        "SELECT sales.refund(1, '')",
        "CREATE TABLE sales.x ()",
    ] {
        let error = alice.simple_query(refused).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{refused}");
    }
}

#[test]
fn drift_is_found_and_repaired_both_ways() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(
        "users: []
roles:
  - name: clerk
    grants:
      - {database: shop, schema: sales, privileges: [USAGE]}
      - {database: shop, schema: sales, tables: all, privileges: [SELECT, INSERT]}
      - {database: shop, schema: sales, tables: [orders], privileges: [UPDATE], grant_option: true}
      - {database: shop, schema: sales, routines: ['refund(integer, text)'], privileges: [EXECUTE]}
      - {database: shop, schema: sales, sequences: [numbers], privileges: [USAGE]}
",
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = held(&cluster, "clerk");
    assert_eq!(
        before,
        [
            "routine sales.refund: EXECUTE",
            "schema sales: USAGE",
            "sequence sales.numbers: USAGE",
            "table sales.items: SELECT INSERT",
            "table sales.orders: SELECT INSERT UPDATE*",
            "table sales.totals: SELECT INSERT",
        ]
    );
    rolewright.plan_json().is_empty();
    let defaults = |cluster: &Cluster| {
        cluster.sql_in("shop", "SELECT defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl FROM pg_default_acl ORDER BY 1, 2, 3")
    };
    let defaults_before = defaults(&cluster);
    assert!(!defaults_before.is_empty());
    cluster.sql("CREATE ROLE delegate");
    for by_hand in [
        "REVOKE USAGE ON SCHEMA sales FROM clerk",
        "GRANT CREATE ON SCHEMA sales TO clerk",
        "GRANT USAGE ON SCHEMA sales TO clerk WITH GRANT OPTION",
        "REVOKE SELECT ON sales.items FROM clerk",
        "REVOKE SELECT, INSERT ON ALL TABLES IN SCHEMA sales FROM clerk",
        "GRANT DELETE ON sales.items TO clerk",
        "GRANT DELETE ON ALL TABLES IN SCHEMA sales TO clerk",
        "GRANT SELECT ON sales.items TO clerk WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR UPDATE ON sales.orders FROM clerk",
        "REVOKE UPDATE ON sales.orders FROM clerk",
        "GRANT USAGE ON SCHEMA stock TO clerk",
        "GRANT SELECT ON stock.bins TO clerk",
        "REVOKE EXECUTE ON FUNCTION sales.refund FROM clerk",
        "GRANT UPDATE ON SEQUENCE sales.numbers TO clerk",
        "REVOKE ALL ON SEQUENCE sales.numbers FROM clerk",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA sales REVOKE INSERT ON TABLES FROM clerk",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO clerk",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA stock GRANT USAGE ON SEQUENCES TO clerk",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT USAGE ON SCHEMAS TO clerk",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT USAGE ON TYPES TO clerk",
        "GRANT USAGE ON SCHEMA sales TO delegate; GRANT DELETE ON sales.items TO delegate WITH GRANT OPTION; SET ROLE delegate; GRANT DELETE ON sales.items TO clerk",
    ] {
        cluster.sql_in("shop", by_hand);
        let plan = rolewright.plan_json();
        assert!(!plan.steps().is_empty(), "unseen: {by_hand}");
        assert_eq!(plan.causes(), ["drift"], "{by_hand}");
        rolewright.apply().succeeds();
        assert_eq!(held(&cluster, "clerk"), before, "{by_hand}");
        assert_eq!(defaults(&cluster), defaults_before, "{by_hand}");
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn what_is_no_longer_declared_is_taken_away() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(READER);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    // One entry less, and then none at all.
    manifests.users(&READER.replace("profile: read_only", "tables: [orders], privileges: [SELECT]"));
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "reader"), ["table sales.orders: SELECT"]);
    rolewright.plan_json().is_empty();
    manifests.users(READER.split("    grants:").next().unwrap());
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["revoke-privilege reader"]);
    rolewright.apply().succeeds();
    assert!(held(&cluster, "reader").is_empty());
    assert!(cluster.sql_in("shop", "SELECT 1 FROM pg_default_acl").is_empty());
    rolewright.plan_json().is_empty();

    // Now nobody looks, as nobody did before the first grant.
    cluster.sql_in("shop", "GRANT SELECT ON sales.items TO reader");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_role_with_privileges_and_default_privileges_can_be_removed() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(READER);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    manifests
        .users("users:\n  - username: alice\n    password: none\n    databases: [shop]\nroles:\n  - name: other\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("reader"));
    rolewright.plan_json().is_empty();
}

#[test]
fn what_is_not_there_is_told_and_given_as_soon_as_it_is() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&READER.replace(
        "profile: read_only}",
        "tables: [orders, coming], privileges: [SELECT]}\n      - {database: shop, schema: absent, profile: read_only}",
    ));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds().mentions("coming").mentions("absent");
    assert_eq!(held(&cluster, "reader"), ["table sales.orders: SELECT"]);
    cluster.sql_in("shop", "CREATE TABLE sales.coming (); CREATE SCHEMA absent");
    rolewright.apply().succeeds();
    assert_eq!(
        held(&cluster, "reader"),
        ["schema absent: USAGE", "table sales.coming: SELECT", "table sales.orders: SELECT"]
    );
    rolewright.plan_json().is_empty();
}

#[test]
fn a_database_that_is_missing_or_closed_holds_up_nobody_else() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE DATABASE closed");
    cluster.sql("ALTER DATABASE closed ALLOW_CONNECTIONS false");
    manifests.users(&format!(
        "{READER}  - name: lost\n    grants: [{{database: nowhere, schema: s, profile: read_only}}]
  - name: out\n    grants: [{{database: closed, schema: s, profile: read_only}}]\n"
    ));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("nowhere").mentions("closed");
    assert_eq!(held(&cluster, "reader"), READS);
    assert!(!cluster.has_role("lost") && !cluster.has_role("out"));
}

#[test]
fn any_name_of_a_schema_or_an_object_is_a_name() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let name = "x\"; DROP ROLE postgres; --'\\\u{202e}";
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    cluster.sql(&format!("CREATE DATABASE {quoted}"));
    cluster.sql_in(
        name,
        &format!(
            "CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} (); CREATE SEQUENCE {quoted}.\"Seq\";
             CREATE TYPE {quoted}.\"a type\" AS ENUM ('a');
             CREATE FUNCTION {quoted}.{quoted}({quoted} {quoted}.\"a type\") RETURNS int LANGUAGE sql AS 'SELECT 1'"
        ),
    );
    // JSON is YAML.
    let entry = |more: serde_json::Value| {
        let mut entry = serde_json::json!({ "database": name, "schema": name });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let document = serde_json::json!({ "users": [], "roles": [{ "name": name, "grants": [
        entry(serde_json::json!({ "tables": [name], "privileges": ["select"], "grant_option": true })),
        entry(serde_json::json!({ "sequences": "all", "privileges": ["USAGE"] })),
        entry(serde_json::json!({ "routines": "all", "privileges": ["EXECUTE"] })),
        entry(serde_json::json!({ "privileges": ["CREATE"] })),
    ] }] });
    manifests.users_exactly(&document.to_string());
    let rolewright = Rolewright::new(&cluster, &manifests);
    // The script that a person would run does the same.
    let script = rolewright.command(&["plan", "--format", "sql"]).succeeds().stdout.clone();
    let printed = cluster.psql("postgres", &script);
    assert!(printed.status.success(), "{}\n{script}", String::from_utf8_lossy(&printed.stderr));
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    let acls = format!(
        "SELECT nspacl::text FROM pg_namespace WHERE nspname = {0} UNION ALL
         SELECT relacl::text FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = {0}) UNION ALL
         SELECT proacl::text FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = {0})",
        format_args!("E'{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
    );
    let before = cluster.sql_in(name, &acls);
    assert!(before.len() >= 4 && before.iter().all(|row| row[0] != "NULL"), "{before:?}");
    manifests.users_exactly(&serde_json::json!({ "users": [], "roles": [{ "name": name }] }).to_string());
    rolewright.apply().succeeds();
    assert_ne!(cluster.sql_in(name, &acls), before);
    rolewright.plan_json().is_empty();
}

#[test]
fn an_aggregate_over_ordered_values_is_a_routine_like_any_other() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql_in(
        "shop",
        "CREATE AGGREGATE sales.middle(float8 ORDER BY float8)
         (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_cont_float8_final);
         ALTER AGGREGATE sales.middle(float8 ORDER BY float8) OWNER TO app;
         REVOKE EXECUTE ON ROUTINE sales.middle(float8, float8) FROM PUBLIC",
    );
    let all = "users: []\nroles:\n  - name: reader\n    grants:\n      - {database: shop, schema: sales, routines: all, privileges: [EXECUTE]}\n";
    manifests.users(all);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let routines = ["routine sales.middle: EXECUTE", "routine sales.refund: EXECUTE"];
    assert_eq!(held(&cluster, "reader"), routines);
    cluster.sql_in("shop", "REVOKE EXECUTE ON ROUTINE sales.middle(float8, float8) FROM reader");
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "reader"), routines);
    manifests.users(&all.replace("routines: all", "routines: ['middle(double precision, double precision)']"));
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "reader"), routines[..1]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_running_controller_sees_what_changes_in_another_database() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(READER);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1");
    let controller = rolewright.run();
    controller.wait_for_cycles(3);
    assert_eq!(held(&cluster, "reader"), READS);
    cluster.sql_in("shop", "REVOKE SELECT ON sales.items FROM reader");
    controller.wait_for_cycles(3);
    assert_eq!(held(&cluster, "reader"), READS);
    controller.terminate().succeeds();
}

#[test]
fn maintain_needs_a_server_that_knows_it() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users("users: []\nroles:\n  - name: janitor\n    grants:\n      - {database: shop, schema: sales, tables: all, privileges: [MAINTAIN]}\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    if session::postgres_major() < 17 {
        rolewright.apply().exits_with(1).mentions("MAINTAIN").mentions("PostgreSQL");
        assert!(!cluster.has_role("janitor"));
        return;
    }
    rolewright.apply().succeeds();
    let may = "SELECT has_table_privilege('janitor', 'sales.orders', 'MAINTAIN')";
    assert_eq!(cluster.sql_in("shop", may), [["t"]]);
    rolewright.plan_json().is_empty();
}

#[test]
fn in_its_own_database_everything_works_the_same() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int)");
    manifests.users("users: []\nroles:\n  - name: reader\n    grants:\n      - {database: postgres, schema: sales, profile: read_write}\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(cluster.value("SELECT has_table_privilege('reader', 'sales.orders', 'DELETE')"), "t");
    rolewright.plan_json().is_empty();
    cluster.sql("REVOKE DELETE ON sales.orders FROM reader");
    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
}

#[test]
fn what_somebody_else_changes_while_grants_are_made_is_not_taken_for_seen() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(READER);
    let rolewright = Rolewright::new(&cluster, &manifests);
    // An uncommitted GRANT on the same table holds up ours, after the roles are made and before all is recorded.
    let mut blocker = cluster.client("shop");
    blocker.batch_execute("BEGIN; GRANT SELECT ON sales.orders TO app").unwrap();
    let apply = rolewright.start(&["apply"]);
    eventually("our GRANT waits", Duration::from_secs(60), || {
        let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = 'shop' AND wait_event_type = 'Lock'";
        (!cluster.column(waiting).is_empty()).then_some(())
    });
    cluster.sql("ALTER ROLE alice CREATEDB");
    blocker.batch_execute("ROLLBACK").unwrap();
    apply.finish().succeeds();
    assert_eq!(held(&cluster, "reader"), READS);
    rolewright.apply().succeeds();
    assert_eq!(cluster.value("SELECT rolcreatedb FROM pg_roles WHERE rolname = 'alice'"), "f");
    rolewright.plan_json().is_empty();
}

#[test]
fn the_history_tells_of_every_turn() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(READER);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users(
        &READER
            .replace("profile: read_only", "tables: [orders], privileges: [INSERT]")
            .replace("password: none", "password: none\n    createdb: true"),
    );
    let plan = rolewright.plan_json();
    rolewright.apply().succeeds();
    let told = cluster.column(&format!(
        "SELECT step ->> 'action' || ' ' || (step ->> 'role') FROM rolewright.history, jsonb_array_elements(steps) AS step
         WHERE digest = '{}' ORDER BY 1",
        plan.digest()
    ));
    let mut planned = plan.actions();
    planned.sort();
    assert!(
        planned.iter().any(|step| step.starts_with("revoke")) && planned.iter().any(|step| step.starts_with("grant"))
    );
    assert_eq!(told, planned);
}

#[test]
fn the_history_tells_of_nothing_that_was_left_out() {
    let (cluster, manifests) = (shop(), Manifests::new());
    let grants = "grants: [{database: shop, schema: sales, tables: [orders], privileges: [SELECT]}]";
    manifests.users(&format!(
        "users: []\nroles:\n  - {{name: writer, {grants}}}\n  - {{name: reader, settings: {{work_mem: many}}, {grants}}}\n"
    ));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).says("work_mem");
    assert_eq!(held(&cluster, "writer"), ["table sales.orders: SELECT"]);
    let told = cluster.column(
        "SELECT DISTINCT step ->> 'role' FROM rolewright.history, jsonb_array_elements(steps) AS step
         WHERE step ->> 'action' = 'grant-privilege'",
    );
    assert_eq!(told, ["writer"]);
}
