//! `who-can` and `explain`: whatever they say of a role, the server's own functions say the same, asked for every role.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rolewright_tests::snapshot::{identifier, literal};
use rolewright_tests::{Cluster, Manifests, Output, Rolewright, session};
use serde_json::Value;

use super::object_privileges::shop;

fn rolewright(cluster: &Cluster) -> Rolewright<'_> {
    Rolewright::new(cluster, &Manifests::new()).without_env("SOURCE_DIR")
}

/// `rolewright who-can …`, inside of `shop`.
fn who_can(cluster: &Cluster, words: &str, format: &str) -> Output {
    rolewright(cluster).command(&["who-can", words, "--database", "shop", "--format", format])
}

fn explain(cluster: &Cluster, role: &str, format: &str) -> Output {
    rolewright(cluster).command(&["explain", role, "--database", "shop", "--format", format])
}

/// Before 16 every member may SET ROLE.
fn may_set_role() -> &'static str {
    if session::postgres_major() >= 16 { "SET" } else { "MEMBER" }
}

/// Compares the answer with the server's for every role. `holds` is an expression with `$r` for the number of a role.
fn compare(cluster: &Cluster, words: &str, holds: &str, in_schema: Option<&str>) {
    let holds = |role: &str| holds.replace("$r", role);
    let usage = |role: &str| match in_schema {
        Some(schema) => format!("has_schema_privilege({role}, {}, 'USAGE')", literal(schema)),
        None => "true".to_owned(),
    };
    let via = |what: String| {
        format!("EXISTS (SELECT FROM pg_roles AS x WHERE pg_has_role(r.oid, x.oid, '{}') AND {what})", may_set_role())
    };
    let rows = cluster.sql_in(
        "shop",
        &format!(
            "SELECT rolname, {}, {}, rolcanlogin AND has_database_privilege(r.oid, 'shop', 'CONNECT') AND (({} AND {}) OR {})
               FROM pg_roles AS r",
            holds("r.oid"),
            via(holds("x.oid")),
            holds("r.oid"),
            usage("r.oid"),
            via(format!("{} AND {}", holds("x.oid"), usage("x.oid"))),
        ),
    );
    let answer = who_can(cluster, words, "json");
    answer.succeeds();
    let answer = answer.json();
    let answers: BTreeMap<&str, &Value> =
        answer["roles"].as_array().unwrap().iter().map(|role| (role["role"].as_str().unwrap(), role)).collect();
    assert_eq!(answer["roles_in_all"], rows.len(), "{words}");
    for row in rows {
        let said = answers.get(row[0].as_str());
        let can = said.map_or("no", |role| role["can"].as_str().unwrap());
        let (now, after) = (row[1] == "t", row[2] == "t");
        let expected = match can {
            "now" => now,
            "after-set-role" => !now && after,
            // Before one is in, one cannot SET ROLE.
            _ => !now && (!after || words.starts_with("CONNECT")),
        };
        assert!(expected, "{words}: {can}, and {row:?}\n{said:#?}");
        if ["now", "after-set-role"].contains(&can) {
            assert_eq!(said.unwrap()["usable"], row[3] == "t", "{words}: {row:?}\n{said:#?}");
        }
        // Whom to SET ROLE to is somebody who holds it, and whom one may become.
        for path in said.into_iter().flat_map(|role| role["paths"].as_array().unwrap()) {
            if let (Some(other), "after-set-role", true) =
                (path["set_role"].as_str(), path["can"].as_str().unwrap(), path["columns"] == Value::Array(vec![]))
            {
                let other = format!("(SELECT oid FROM pg_roles WHERE rolname = {})", literal(other));
                let me = format!("(SELECT oid FROM pg_roles WHERE rolname = {})", literal(&row[0]));
                let query = format!("SELECT pg_has_role({me}, {other}, '{}') AND {}", may_set_role(), holds(&other));
                assert_eq!(cluster.sql_in("shop", &query), [["t"]], "{words}: {row:?} {path:#}");
            }
        }
    }
}

const HOSTILE: [&str; 4] = ["x\"; DROP ROLE postgres; --", "new\nline [\"]", "abc\u{202e}cba", "SELECT"];

/// Every kind of role, edge, grant and object, and names that need a thought.
fn by_hand() -> Cluster {
    let cluster = shop();
    for statement in [
        "CREATE ROLE reader; CREATE ROLE clerk; CREATE ROLE boss; CREATE ROLE keeper NOINHERIT",
        "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN NOINHERIT; CREATE ROLE carol LOGIN; CREATE ROLE dave LOGIN",
        "CREATE ROLE erin LOGIN; CREATE ROLE late LOGIN PASSWORD 'who-can-late' VALID UNTIL '2020-01-01'",
        "CREATE ROLE root LOGIN SUPERUSER; CREATE ROLE friend LOGIN; CREATE ROLE creator LOGIN CREATEROLE",
        "CREATE ROLE nobody LOGIN; CREATE ROLE stuck LOGIN CONNECTION LIMIT 5; CREATE ROLE writer LOGIN",
        "GRANT reader TO clerk; GRANT clerk TO alice, bob; GRANT app TO boss; GRANT boss TO carol; GRANT root TO friend",
        "GRANT pg_read_all_data TO dave; GRANT pg_write_all_data TO writer; GRANT keeper TO erin; GRANT reader TO keeper",
        "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
        "GRANT CONNECT ON DATABASE shop TO reader, boss, late, stuck, friend WITH GRANT OPTION",
        "CREATE FOREIGN DATA WRAPPER wrapper",
    ] {
        cluster.sql(statement);
    }
    if session::postgres_major() >= 16 {
        cluster.sql("CREATE ROLE setter LOGIN; GRANT reader TO setter WITH INHERIT FALSE, SET TRUE");
        cluster.sql("CREATE ROLE admin LOGIN; GRANT reader TO admin WITH INHERIT FALSE, SET FALSE, ADMIN TRUE");
        cluster.sql("CREATE ROLE heir LOGIN; GRANT reader TO heir WITH INHERIT TRUE, SET FALSE");
        cluster.sql("CREATE ROLE useless LOGIN; GRANT reader TO useless WITH INHERIT FALSE, SET FALSE");
        // One after the other they give what none of them gives alone.
        cluster.sql("CREATE ROLE mixed LOGIN; GRANT setter TO mixed WITH INHERIT TRUE, SET FALSE");
    }
    cluster.sql_in(
        "shop",
        "SET ROLE app; ALTER TABLE sales.orders ADD total int; ALTER TABLE sales.orders ADD \"No te\" text;
         GRANT USAGE ON SCHEMA sales TO reader, boss, erin; GRANT SELECT ON sales.orders TO reader, stuck;
         GRANT SELECT (id, \"No te\") ON sales.orders TO nobody; GRANT UPDATE (total) ON sales.orders TO reader;
         GRANT USAGE ON SEQUENCE sales.numbers TO clerk; GRANT SELECT ON sales.totals TO PUBLIC;
         GRANT EXECUTE ON FUNCTION sales.refund(integer, text) TO keeper; REVOKE INSERT ON sales.items FROM app;
         CREATE TYPE stock.size AS ENUM ('s'); REVOKE USAGE ON TYPE stock.size FROM PUBLIC; GRANT USAGE ON TYPE stock.size TO clerk;
         CREATE SCHEMA closed; CREATE TABLE closed.box (id int); GRANT ALL ON closed.box TO reader;
         SET ROLE reader; GRANT CONNECT ON DATABASE shop TO nobody; RESET ROLE;
         CREATE FOREIGN DATA WRAPPER wrapper; CREATE SERVER films FOREIGN DATA WRAPPER wrapper; GRANT USAGE ON FOREIGN SERVER films TO reader;
         GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO boss; REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC; GRANT USAGE ON LANGUAGE plpgsql TO clerk;
         GRANT CREATE ON TABLESPACE pg_default TO clerk; CREATE TABLE sales.owned (); ALTER TABLE sales.owned OWNER TO pg_database_owner;
         SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO reader",
    );
    if session::postgres_major() >= 15 {
        cluster.sql_in(
            "shop",
            "GRANT SET ON PARAMETER log_statement TO reader; GRANT ALTER SYSTEM ON PARAMETER work_mem TO keeper",
        );
    }
    for name in HOSTILE {
        let quoted = identifier(name);
        cluster.sql(&format!("CREATE ROLE {quoted} LOGIN; GRANT reader TO {quoted}"));
        cluster.sql_in(
            "shop",
            &format!(
                "CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} int); GRANT USAGE ON SCHEMA {quoted} TO {quoted};
                 GRANT INSERT ON {quoted}.{quoted} TO {quoted}; GRANT UPDATE ({quoted}) ON {quoted}.{quoted} TO reader"
            ),
        );
    }
    cluster
}

#[test]
fn every_answer_is_that_of_the_server_for_every_role() {
    let cluster = by_hand();
    let table = |name: &str, privilege: &str| format!("has_table_privilege($r, {}, '{privilege}')", literal(name));
    for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"] {
        for name in ["sales.orders", "sales.items", "sales.totals", "sales.owned", "closed.box"] {
            let schema = name.split('.').next();
            compare(&cluster, &format!("{privilege} ON {name}"), &table(name, privilege), schema);
        }
        // Catalogs are for nobody but superusers, views of them for their owner.
        for name in ["pg_catalog.pg_class", "pg_catalog.pg_authid", "pg_catalog.pg_roles", "information_schema.tables"]
        {
            let schema = name.split('.').next();
            compare(&cluster, &format!("{privilege} ON TABLE {name}"), &table(name, privilege), schema);
        }
    }
    if session::postgres_major() >= 17 {
        cluster.sql("GRANT pg_maintain TO erin");
        compare(&cluster, "MAINTAIN ON sales.orders", &table("sales.orders", "MAINTAIN"), Some("sales"));
    }
    for privilege in ["USAGE", "SELECT", "UPDATE"] {
        let holds = format!("has_sequence_privilege($r, 'sales.numbers', '{privilege}')");
        compare(&cluster, &format!("{privilege} ON SEQUENCE sales.numbers"), &holds, Some("sales"));
    }
    for (column, privilege) in [("id", "SELECT"), ("total", "SELECT"), ("\"No te\"", "SELECT"), ("total", "UPDATE")] {
        let name = column.trim_matches('"');
        let holds = format!("has_column_privilege($r, 'sales.orders', {}, '{privilege}')", literal(name));
        compare(&cluster, &format!("{privilege} ON sales.orders({column})"), &holds, Some("sales"));
    }
    let function = "has_function_privilege($r, 'sales.refund(integer, text)', 'EXECUTE')";
    for words in ["FUNCTION sales.refund(int4, text)", "ROUTINE sales.refund", "FUNCTION refund( integer,text )"] {
        compare(&cluster, &format!("EXECUTE ON {words}"), function, Some("sales"));
    }
    for (words, holds, schema) in [
        ("USAGE ON SCHEMA sales", "has_schema_privilege($r, 'sales', 'USAGE')", None),
        ("CREATE ON SCHEMA sales", "has_schema_privilege($r, 'sales', 'CREATE')", None),
        ("CREATE ON SCHEMA public", "has_schema_privilege($r, 'public', 'CREATE')", None),
        ("CREATE ON DATABASE shop", "has_database_privilege($r, 'shop', 'CREATE')", None),
        ("TEMP ON DATABASE shop", "has_database_privilege($r, 'shop', 'TEMP')", None),
        ("CONNECT ON DATABASE shop", "has_database_privilege($r, 'shop', 'CONNECT')", None),
        ("USAGE ON TYPE stock.size", "has_type_privilege($r, 'stock.size', 'USAGE')", Some("stock")),
        ("USAGE ON TYPE stock._size", "has_type_privilege($r, 'stock._size', 'USAGE')", Some("stock")),
        ("USAGE ON LANGUAGE plpgsql", "has_language_privilege($r, 'plpgsql', 'USAGE')", None),
        ("USAGE ON FOREIGN SERVER films", "has_server_privilege($r, 'films', 'USAGE')", None),
        ("USAGE ON FOREIGN DATA WRAPPER wrapper", "has_foreign_data_wrapper_privilege($r, 'wrapper', 'USAGE')", None),
    ] {
        compare(&cluster, words, holds, schema);
    }
    if session::postgres_major() >= 18 {
        for privilege in ["SELECT", "UPDATE"] {
            let holds = format!("has_largeobject_privilege($r, 4711, '{privilege}')");
            compare(&cluster, &format!("{privilege} ON LARGE OBJECT 4711"), &holds, None);
        }
    }
    for name in HOSTILE {
        let (quoted, this) = (identifier(name), literal(name));
        let oid = format!("(SELECT c.oid FROM pg_class AS c WHERE relname = {this})");
        let holds = format!("has_table_privilege($r, {oid}, 'INSERT')");
        compare(&cluster, &format!("INSERT ON {quoted}.{quoted}"), &holds, Some(name));
        let holds = format!("has_column_privilege($r, {oid}, {this}, 'UPDATE')");
        compare(&cluster, &format!("UPDATE ON {quoted}({quoted})"), &holds, Some(name));
    }
}

#[test]
fn what_belongs_to_the_whole_server_needs_no_database() {
    let cluster = by_hand();
    let ask = |words: &str| {
        let output = rolewright(&cluster).command(&["who-can", words, "--format", "json"]);
        let roles = output.succeeds().json()["roles"].clone();
        let now = |role: &&Value| role["can"] == "now";
        let names = roles.as_array().unwrap().iter().filter(now).map(|role| role["role"].as_str().unwrap().to_owned());
        names.collect::<BTreeSet<String>>()
    };
    let expected = |holds: &str| {
        cluster.column(&format!("SELECT rolname FROM pg_roles AS r WHERE {holds}")).into_iter().collect::<BTreeSet<_>>()
    };
    assert_eq!(ask("CONNECT ON DATABASE shop"), expected("has_database_privilege(r.oid, 'shop', 'CONNECT')"));
    assert_eq!(
        ask("CREATE ON TABLESPACE pg_default"),
        expected("has_tablespace_privilege(r.oid, 'pg_default', 'CREATE')")
    );
    let parameters =
        [("SET", "log_statement"), ("SET", "Work_Mem"), ("ALTER SYSTEM", "work_mem"), ("SET", "datestyle")];
    for (privilege, parameter) in parameters.iter().filter(|_| session::postgres_major() >= 15) {
        let holds = format!("has_parameter_privilege(r.oid, '{parameter}', '{privilege}')");
        assert_eq!(ask(&format!("{privilege} ON PARAMETER {parameter}")), expected(&holds), "{privilege} {parameter}");
    }
    if session::postgres_major() < 15 {
        let output = rolewright(&cluster).command(&["who-can", "SET ON PARAMETER work_mem"]);
        output.exits_with(1).says("they came with 15");
    }
}

#[test]
fn the_answer_reads_aloud() {
    let cluster = shop();
    for statement in [
        "CREATE ROLE reader; CREATE ROLE clerk; CREATE ROLE \"Odd, name\" LOGIN; CREATE ROLE root LOGIN SUPERUSER",
        "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN NOINHERIT; CREATE ROLE carol LOGIN VALID UNTIL '2020-01-01'",
        "CREATE ROLE dave LOGIN; CREATE ROLE friend LOGIN NOINHERIT; CREATE ROLE column_reader LOGIN; CREATE ROLE outside LOGIN",
        "GRANT reader TO clerk; GRANT clerk TO alice, bob; GRANT pg_read_all_data TO carol; GRANT root TO friend",
        "REVOKE CONNECT ON DATABASE shop FROM PUBLIC",
        "GRANT CONNECT ON DATABASE shop TO alice, bob, carol, dave, friend, column_reader",
    ] {
        cluster.sql(statement);
    }
    cluster.sql_in(
        "shop",
        "SET ROLE app; GRANT USAGE ON SCHEMA sales TO reader, dave, \"Odd, name\", column_reader; ALTER TABLE sales.orders ADD total int;
         GRANT SELECT ON sales.orders TO reader, outside; GRANT SELECT ON sales.orders TO dave WITH GRANT OPTION;
         SET ROLE dave; GRANT SELECT ON sales.orders TO \"Odd, name\"; SET ROLE app; ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY;
         GRANT SELECT (id, total) ON sales.orders TO column_reader",
    );
    let count = cluster.value("SELECT count(*) FROM pg_roles");
    let text = who_can(&cluster, "SELECT ON sales.orders", "text");
    let text = text.succeeds().stdout.replace(&format!(" of {count} can"), " of [all] can");
    insta::assert_snapshot!("who_can", text);
    insta::assert_snapshot!("who_can_mermaid", who_can(&cluster, "SELECT ON sales.orders", "mermaid").stdout);
    insta::assert_snapshot!("who_can_dot", who_can(&cluster, "SELECT ON sales.orders", "dot").stdout);
    let json = who_can(&cluster, "SELECT ON sales.orders(total)", "json").json();
    let bob = json["roles"].as_array().unwrap().iter().find(|role| role["role"] == "bob").unwrap();
    insta::assert_snapshot!("who_can_json", serde_json::to_string_pretty(bob).unwrap());
    // What everybody can is not told of each group role.
    cluster.sql_in("shop", "GRANT SELECT ON sales.items TO PUBLIC");
    let text = who_can(&cluster, "SELECT ON sales.items", "text");
    text.succeeds().says("roles: granted to PUBLIC by app\n");
    assert!(!text.stdout.contains("pg_monitor"), "{}", text.stdout);
}

#[test]
fn who_can_make_itself_a_member_is_told_and_really_can() {
    let cluster = by_hand();
    let answer = who_can(&cluster, "SELECT ON sales.orders", "json").json();
    let roles = answer["roles"].as_array().unwrap();
    let granting: Vec<&Value> = roles.iter().filter(|role| role["can"] == "after-grant").collect();
    let names: Vec<&str> = granting.iter().map(|role| role["role"].as_str().unwrap()).collect();
    assert_eq!(names, if session::postgres_major() >= 16 { ["admin"] } else { ["creator"] });
    for role in granting {
        let (name, steps) = (role["role"].as_str().unwrap(), role["paths"][0]["steps"].as_array().unwrap());
        let mut client = cluster.client("shop");
        client.batch_execute(&format!("SET SESSION AUTHORIZATION {name}")).unwrap();
        for step in steps.iter().filter(|step| step["by"] == "admin" || step["by"] == "createrole") {
            client.batch_execute(&format!("GRANT {} TO {name}", step["role"].as_str().unwrap())).unwrap();
        }
        client.batch_execute("SELECT FROM sales.orders").unwrap();
    }
    // An owner that has taken its own privilege away can put it back.
    let text = who_can(&cluster, "INSERT ON sales.items", "text");
    text.says("app   ").says("owner, without this privilege, but able to grant it to itself");
    text.says("carol").says("through boss, app: app is the owner, without this privilege, but able to grant it");
}

#[test]
fn what_makes_no_sense_is_told_with_what_to_do() {
    let cluster = by_hand();
    for (words, told) in [
        ("SELECT ON sales.ordres", "did you mean sales.orders?"),
        ("SELECT ON \"Sales\".orders", "did you mean sales.orders?"),
        ("SELECT ON nowhere.atall", "correct the name"),
        ("SELECT ON sales.orders(totl)", "did you mean total?"),
        ("USAGE ON SCHEMA sale", "did you mean sales?"),
        ("DELETE ON SEQUENCE sales.numbers", "it has SELECT, UPDATE, USAGE"),
        ("SELECT ON SEQUENCE sales.orders", "table sales.orders is no sequence"),
        ("DELETE ON sales.orders(total)", "a column has no privilege DELETE"),
        ("EXECUTE ON FUNCTION sales.refund(text)", "no routine sales.refund(text) in database shop"),
        ("EXECUTE ON FUNCTION sales.refund(no_type)", "no routine sales.refund(no_type)"),
        ("SELECT, INSERT ON sales.orders", "one at a time"),
        ("SELEC ON sales.orders", "SELEC is no privilege"),
        ("SELECT ON shop.sales.orders", "--database"),
    ] {
        who_can(&cluster, words, "text").exits_with(1).says(told);
    }
    let rolewright = rolewright(&cluster);
    rolewright.command(&["who-can", "SELECT", "ON", "sales.orders"]).exits_with(1).says("--database").says("shop");
    let nowhere = rolewright.command(&["who-can", "SELECT ON sales.orders", "--database", "shoop"]);
    nowhere.exits_with(1).says("no database shoop").says("Correct --database");
    rolewright.command(&["explain", "alise"]).exits_with(1).says("did you mean alice?");
    rolewright.command(&["explain", "alice", "--database", "shoop"]).exits_with(1).says("no database shoop");
}

#[test]
fn a_role_without_any_right_gets_the_same_answer() {
    let cluster = by_hand();
    cluster.sql("ALTER ROLE stuck PASSWORD 'who-can-stuck'");
    let ask = |rolewright: Rolewright<'_>| {
        let who = rolewright.command(&["who-can", "UPDATE", "ON", "sales.orders", "--database", "shop"]);
        let explained = rolewright.command(&["explain", "alice", "--database", "shop", "--format", "json"]);
        let no_password = format!("{}{}", who.succeeds().stdout, explained.succeeds().stdout);
        assert!(!no_password.contains("SCRAM"), "{no_password}");
        no_password
    };
    let rolewright = || rolewright(&cluster);
    assert_eq!(ask(rolewright()), ask(rolewright().connect_as("stuck", "who-can-stuck").env("DB_NAME", "shop")));
}

#[test]
fn an_explanation_is_what_the_server_says() {
    let cluster = by_hand();
    let tables = cluster.sql_in(
        "shop",
        "SELECT n.nspname, c.relname, c.oid::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
          WHERE relkind IN ('r', 'v') AND nspname IN ('sales', 'stock', 'closed')",
    );
    for role in ["alice", "bob", "carol", "erin", "nobody", "reader", "boss", "app", "keeper", "late", "creator"] {
        let explained = explain(&cluster, role, "json").succeeds().json();
        let inside = &explained["inside"][0];
        let mut said: BTreeSet<(String, String, String)> = BTreeSet::new();
        for holding in inside["holdings"].as_array().unwrap() {
            if holding["path"]["can"] != "now" || holding["kind"] != "table" {
                continue;
            }
            for (on, privilege) in
                holding["on"].as_array().unwrap().iter().flat_map(|on| {
                    holding["privileges"].as_array().unwrap().iter().map(move |privilege| (on, privilege))
                })
            {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                said.insert((text(&holding["schema"]), text(on), text(privilege)));
            }
        }
        let mut expected = BTreeSet::new();
        for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"] {
            let query = format!(
                "SELECT oid::text FROM pg_class WHERE has_table_privilege('{role}', oid, '{privilege}') AND relkind IN ('r', 'v')"
            );
            let held: BTreeSet<String> = cluster.sql_in("shop", &query).into_iter().flatten().collect();
            let held = tables.iter().filter(|table| held.contains(&table[2]));
            expected.extend(held.map(|table| (table[0].clone(), table[1].clone(), privilege.to_owned())));
        }
        said.retain(|(schema, _, privilege)| {
            ["sales", "stock", "closed"].contains(&schema.as_str()) && privilege != "MAINTAIN"
        });
        assert_eq!(said, expected, "{role}: {inside:#}");
        let connect = cluster.value(&format!("SELECT has_database_privilege('{role}', 'shop', 'CONNECT')"));
        assert_eq!(inside["connect"], connect == "t", "{role}");
        for format in ["text", "dot", "mermaid"] {
            explain(&cluster, role, format).succeeds();
        }
    }
}

#[test]
fn an_explanation_reads_aloud() {
    let cluster = shop();
    for statement in [
        "CREATE ROLE reader; CREATE ROLE clerk CREATEDB; CREATE ROLE ops NOINHERIT",
        "CREATE ROLE alice LOGIN CONNECTION LIMIT 3 VALID UNTIL '2020-01-01 00:00Z'",
        "GRANT reader, ops TO alice; GRANT clerk TO ops; GRANT pg_read_all_data TO clerk",
    ] {
        cluster.sql(statement);
    }
    cluster.sql_in(
        "shop",
        "SET ROLE app; CREATE TABLE sales.a (); CREATE TABLE sales.b (); CREATE TABLE sales.c (); CREATE TABLE sales.d (); CREATE TABLE sales.e ();
         GRANT USAGE ON SCHEMA sales TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA sales TO reader; REVOKE SELECT ON sales.b FROM reader;
         GRANT INSERT, UPDATE ON sales.orders, sales.items TO alice; GRANT DELETE ON ALL TABLES IN SCHEMA sales TO clerk;
         GRANT UPDATE (id) ON sales.orders TO reader WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO reader;
         RESET ROLE; CREATE TABLE stock.mine (id int); ALTER TABLE stock.mine OWNER TO alice",
    );
    let told = explain(&cluster, "alice", "text");
    // Until 14 everybody may CREATE in schema public.
    let told = told.succeeds().stdout.replace("USAGE, CREATE on schema public", "USAGE on schema public");
    insta::assert_snapshot!("explain", told);
    insta::assert_snapshot!(
        "explain_mermaid",
        explain(&cluster, "alice", "mermaid").stdout.replace("USAGE, CREATE", "USAGE")
    );
}

#[test]
fn a_plan_is_cut_down_to_a_role_and_explained() {
    let cluster = shop();
    let manifests = Manifests::new();
    cluster.sql("CREATE ROLE alice LOGIN; CREATE ROLE other LOGIN; CREATE ROLE analyst");
    manifests.users(
        "users:\n- {username: alice, roles: [analyst], database: shop, password: none}\n- {username: other, database: shop, password: none}\n\
         - {username: new, password: none}\n\
         roles:\n- {name: analyst, roles: [reader]}\n- name: reader\n  grants: [{database: shop, schema: sales, tables: all, privileges: [SELECT]}]\n",
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    let output = rolewright.command(&["plan", "--explain", "alice", "--format", "json"]);
    let both = output.succeeds().json();
    let roles: BTreeSet<&str> =
        both["plan"]["steps"].as_array().unwrap().iter().map(|step| step["role"].as_str().unwrap()).collect();
    assert_eq!(roles, BTreeSet::from(["alice", "analyst", "reader"]), "{both:#}");
    assert_eq!(both["plan"]["digest"], rolewright.plan_json().digest());
    assert_eq!(
        (&both["explanation"]["role"], &both["explanation"]["member_of"]),
        (&"alice".into(), &Value::Array(vec![]))
    );
    let text = rolewright.command(&["plan", "--explain", "alice", "--exit-code"]);
    text.exits_with(2).says("Steps about alice and the roles that it is a member of").says("As it is now:");
    assert!(!text.stdout.contains("other"), "{}", text.stdout);
    rolewright.command(&["plan", "--explain", "new"]).succeeds().says("new is yet to be made");
    rolewright.command(&["plan", "--explain", "nobody"]).exits_with(1).says("no role nobody");
    rolewright.command(&["plan", "--explain", "alice", "--format", "sql"]).exits_with(1).says("text or JSON only");
    rolewright.apply().succeeds();
    let after = rolewright.command(&["plan", "--explain", "alice"]);
    after.succeeds().says("Nothing to do").says("SELECT on all 3 tables of sales: through analyst, reader");
}

/// What can be done by hand; `$a` and `$b` are two of the roles, the first the one made earlier.
const BY_HAND: [&str; 12] = [
    "GRANT $a TO $b",
    "GRANT $a TO $b WITH ADMIN OPTION",
    "GRANT SELECT ON sales.orders TO $a",
    "GRANT SELECT ON sales.orders TO $b WITH GRANT OPTION",
    "GRANT SELECT (id) ON sales.orders TO $a",
    "GRANT USAGE ON SCHEMA sales TO $b",
    "GRANT CONNECT ON DATABASE shop TO $a",
    "GRANT pg_read_all_data TO $b",
    "ALTER TABLE sales.orders OWNER TO $a",
    "ALTER DATABASE shop OWNER TO $b",
    "REVOKE SELECT ON sales.orders FROM $a",
    "GRANT pg_database_owner TO $b",
];

/// The options that edges have since 16.
const OPTIONS: [&str; 5] = [
    "INHERIT TRUE, SET TRUE",
    "INHERIT FALSE, SET TRUE",
    "INHERIT TRUE, SET FALSE",
    "INHERIT FALSE, SET FALSE",
    "INHERIT FALSE, SET FALSE, ADMIN TRUE",
];

#[test]
fn whatever_was_granted_by_hand_the_answer_is_that_of_the_server() {
    let cluster = shop();
    cluster.sql("REVOKE CONNECT ON DATABASE shop FROM PUBLIC");
    const ROLES: usize = 6;
    let statement = (select(BY_HAND.to_vec()), 0..ROLES - 1, 1..ROLES, select(OPTIONS.to_vec()));
    let attributes = select(vec!["", "LOGIN", "LOGIN NOINHERIT", "NOINHERIT", "LOGIN CREATEROLE", "LOGIN SUPERUSER"]);
    let strategy = (prop::collection::vec(attributes, ROLES), prop::collection::vec(statement, 4..14));
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&strategy, |(attributes, statements)| {
        cluster.sql_in("shop", "ALTER TABLE sales.orders OWNER TO app; ALTER DATABASE shop OWNER TO app");
        for number in 0..ROLES {
            let role = format!("r{number}");
            if cluster.has_role(&role) {
                cluster.sql_in("shop", &format!("DROP OWNED BY {role}"));
                cluster.sql(&format!("DROP ROLE {role}"));
            }
        }
        for (number, attributes) in attributes.iter().enumerate() {
            cluster.sql(&format!("CREATE ROLE r{number} {attributes}"));
        }
        for (statement, a, more, options) in &statements {
            let b = a + 1 + more % (ROLES - 1 - a).max(1);
            let mut statement = statement.replace("$a", &format!("r{a}")).replace("$b", &format!("r{b}"));
            if session::postgres_major() >= 16 && statement == format!("GRANT r{a} TO r{b}") {
                statement = format!("{statement} WITH {options}");
            }
            // Some are refused, such as an explicit member of pg_database_owner.
            let _ = cluster.try_sql("shop", &statement);
        }
        let holds = "has_table_privilege($r, 'sales.orders', 'SELECT')";
        compare(&cluster, "SELECT ON sales.orders", holds, Some("sales"));
        let holds = "has_column_privilege($r, 'sales.orders', 'id', 'SELECT')";
        compare(&cluster, "SELECT ON sales.orders(id)", holds, Some("sales"));
        compare(&cluster, "CREATE ON SCHEMA public", "has_schema_privilege($r, 'public', 'CREATE')", None);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
