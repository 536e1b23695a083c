//! Privileges on columns, types, languages, foreign-data wrappers, foreign servers and large objects of a database, and on
//! parameters and tablespaces of the server: exactly as declared, whoever changes them. What is held is asked of the
//! server in its own words (`has_column_privilege` and the like), or tried.

use rolewright_tests::{Cluster, Manifests, Rolewright};

use super::import::imported;

/// Database `shop` with one object of each kind. PUBLIC has nothing on any, so that whoever has something was given it.
fn market() -> Cluster {
    let cluster = super::object_privileges::shop();
    cluster.sql_in(
        "shop",
        "SET ROLE app; ALTER TABLE sales.orders ADD total numeric, ADD card text;
         CREATE DOMAIN sales.money_eur AS numeric; CREATE TYPE sales.state AS ENUM ('paid');
         REVOKE USAGE ON TYPE sales.money_eur, sales.state FROM PUBLIC; RESET ROLE;
         REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
         CREATE FOREIGN DATA WRAPPER wires; CREATE SERVER warehouse FOREIGN DATA WRAPPER wires;
         SELECT lo_create(70001)",
    );
    let directory = cluster.data().with_file_name("fast");
    cluster.sql(&format!("COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir {}'", directory.display()));
    cluster.sql(&format!("CREATE TABLESPACE fast LOCATION '{}'", directory.display()));
    cluster
}

fn has_parameter_privileges(cluster: &Cluster) -> bool {
    cluster.value("SHOW server_version_num").parse::<u32>().unwrap() >= 150_000
}

/// Everything of these kinds that `role` can use in `shop`, one line for each object, by the server's own functions.
fn held(cluster: &Cluster, role: &str) -> Vec<String> {
    let list = |kind: &str, test: &str, words: &[&str], from: &str| {
        let each: Vec<String> = words
            .iter()
            .map(|word| {
                let has = |word: &str| test.replace("$", &format!("'{word}'"));
                format!(
                    "CASE WHEN {} THEN '{word}*' WHEN {} THEN '{word}' END",
                    has(&format!("{word} WITH GRANT OPTION")),
                    has(word)
                )
            })
            .collect();
        format!("SELECT '{kind} ' || o.name || ': ' || concat_ws(' ', {}) AS line FROM ({from}) AS o", each.join(", "))
    };
    let function = |name: &str| format!("{name}('{role}', o.oid, $)");
    let mut queries = vec![
        list(
            "column",
            &format!("has_column_privilege('{role}', o.oid, o.attnum, $)"),
            &["SELECT", "INSERT", "UPDATE", "REFERENCES"],
            "SELECT attrelid AS oid, attnum, attrelid::regclass || '.' || attname AS name FROM pg_attribute
             JOIN pg_class AS c ON c.oid = attrelid WHERE relnamespace = 'sales'::regnamespace AND relkind IN ('r', 'v')
             AND attnum > 0",
        ),
        list(
            "type",
            &function("has_type_privilege"),
            &["USAGE"],
            "SELECT oid, typname AS name FROM pg_type WHERE typnamespace = 'sales'::regnamespace AND typtype IN ('d', 'e')",
        ),
        list("language", &function("has_language_privilege"), &["USAGE"], "SELECT oid, lanname AS name FROM pg_language WHERE lanname = 'plpgsql'"),
        list(
            "wrapper",
            &function("has_foreign_data_wrapper_privilege"),
            &["USAGE"],
            "SELECT oid, fdwname AS name FROM pg_foreign_data_wrapper",
        ),
        list("server", &function("has_server_privilege"), &["USAGE"], "SELECT oid, srvname AS name FROM pg_foreign_server"),
        list(
            "tablespace",
            &function("has_tablespace_privilege"),
            &["CREATE"],
            "SELECT oid, spcname AS name FROM pg_tablespace WHERE spcname = 'fast'",
        ),
        // has_largeobject_privilege came with version 18.
        format!(
            "SELECT 'large object ' || m.oid || ': ' || string_agg(privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, ' '
                    ORDER BY privilege_type) FROM pg_largeobject_metadata AS m, aclexplode(lomacl) AS a
             WHERE a.grantee = '{role}'::regrole GROUP BY m.oid"
        ),
    ];
    if has_parameter_privileges(cluster) {
        queries.push(list(
            "parameter",
            &format!("has_parameter_privilege('{role}', o.name, $)"),
            &["SET", "ALTER SYSTEM"],
            "SELECT name FROM pg_settings WHERE name IN ('log_min_duration_statement', 'log_statement', 'work_mem') AND context = 'superuser'",
        ));
    }
    let sql = format!(
        "SELECT line FROM ({}) AS all_of_them WHERE line !~ ': $' ORDER BY line COLLATE \"C\"",
        queries.join(" UNION ALL ")
    );
    cluster.sql_in("shop", &sql).into_iter().map(|row| row[0].clone()).collect()
}

const CLERK: &str = "users: []
roles:
  - name: clerk
    grants:
      - {database: shop, schema: sales, privileges: [USAGE]}
      - {database: shop, schema: sales, tables: [orders], columns: [id, total], privileges: [SELECT, UPDATE]}
      - {database: shop, schema: sales, tables: [items], columns: [id], privileges: [INSERT, REFERENCES], grant_option: true}
      - {database: shop, schema: sales, types: [money_eur, state], privileges: [USAGE]}
      - {database: shop, languages: [plpgsql], privileges: [USAGE]}
      - {database: shop, foreign_data_wrappers: [wires], privileges: [USAGE]}
      - {database: shop, foreign_servers: [warehouse], privileges: [USAGE], grant_option: true}
      - {database: shop, large_objects: [70001], privileges: [SELECT, UPDATE]}
      - {tablespaces: [fast], privileges: [CREATE]}
";

const ON_PARAMETERS: &str = "      - {parameters: [Log_Min_Duration_Statement], privileges: [SET]}
      - {parameters: [log_statement], privileges: [SET, alter system], grant_option: true}
";

/// What there is of it on this server.
fn clerk(cluster: &Cluster) -> String {
    if has_parameter_privileges(cluster) { format!("{CLERK}{ON_PARAMETERS}") } else { CLERK.to_owned() }
}

fn what_the_clerk_holds(cluster: &Cluster) -> Vec<&'static str> {
    let mut lines = vec![
        "column sales.items.id: INSERT* REFERENCES*",
        "column sales.orders.id: SELECT UPDATE",
        "column sales.orders.total: SELECT UPDATE",
        "language plpgsql: USAGE",
        "large object 70001: SELECT UPDATE",
        "server warehouse: USAGE*",
        "tablespace fast: CREATE",
        "type money_eur: USAGE",
        "type state: USAGE",
        "wrapper wires: USAGE",
    ];
    if has_parameter_privileges(cluster) {
        lines.extend(["parameter log_min_duration_statement: SET", "parameter log_statement: SET* ALTER SYSTEM*"]);
        lines.sort_unstable();
    }
    lines
}

const POWERS: &str = "foreign_data_wrapper, alter_system";

#[test]
fn what_is_declared_on_each_kind_is_held_and_what_is_declared_no_more_is_taken_away() {
    let (cluster, manifests) = (market(), Manifests::new());
    manifests.users(&clerk(&cluster));
    let rolewright = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", POWERS).env("MAX_DELETIONS", "100%");
    rolewright.plan().succeeds().mentions("foreign-data wrapper wires");
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    assert!(!cluster.has_role("clerk"));
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "clerk"), what_the_clerk_holds(&cluster));
    rolewright.plan_json().is_empty();

    manifests
        .users(&clerk(&cluster).replace("[id, total], privileges: [SELECT, UPDATE]", "[id], privileges: [SELECT]"));
    rolewright.apply().succeeds();
    assert!(held(&cluster, "clerk").contains(&"column sales.orders.id: SELECT".to_owned()));
    assert!(!held(&cluster, "clerk").iter().any(|line| line.contains("total")));
    rolewright.plan_json().is_empty();

    manifests.users(CLERK.split("    grants:").next().unwrap());
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "clerk"), [""; 0]);
    rolewright.plan_json().is_empty();
    // Now nobody looks, as nobody did before.
    cluster.sql_in("shop", "GRANT SELECT (id) ON sales.orders TO clerk; GRANT CREATE ON TABLESPACE fast TO clerk");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_login_can_do_what_it_was_given_and_nothing_else() {
    let (cluster, manifests) = (market(), Manifests::new());
    manifests
        .users(
            &clerk(&cluster)
                .replace("users: []\n", "users:\n  - {username: alice, databases: [shop], roles: [clerk]}\n"),
        )
        .secret("alice", "more-alice-1");
    Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", POWERS).apply().succeeds();
    let mut alice = cluster.login("alice", "more-alice-1", "shop");
    let mut may = vec![
        "SELECT id, total FROM sales.orders",
        "UPDATE sales.orders SET total = 1 WHERE id = 0",
        "INSERT INTO sales.items (id) VALUES (1)",
        "SELECT lo_get(70001), lo_put(70001, 0, 'x')",
        "CREATE TEMPORARY TABLE in_euros (price sales.money_eur) TABLESPACE fast",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
        "CREATE SERVER mine FOREIGN DATA WRAPPER wires",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER warehouse",
    ];
    let mut may_not = vec!["SELECT card FROM sales.orders", "SELECT * FROM sales.orders", "SELECT id FROM sales.items"];
    if has_parameter_privileges(&cluster) {
        may.extend(["SET log_min_duration_statement = 100", "ALTER SYSTEM SET log_statement = 'ddl'"]);
        may_not.extend(["SET log_min_messages = 'fatal'", "ALTER SYSTEM SET log_min_duration_statement = 1"]);
    }
    for allowed in may {
        alice.simple_query(allowed).unwrap_or_else(|error| panic!("{allowed}: {error:?}"));
    }
    for refused in may_not {
        assert_eq!(alice.simple_query(refused).unwrap_err().code().unwrap().code(), "42501", "{refused}");
    }
}

#[test]
fn drift_is_found_and_repaired_both_ways() {
    let (cluster, manifests) = (market(), Manifests::new());
    manifests.users(&clerk(&cluster));
    let rolewright = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", POWERS);
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    cluster.sql("CREATE ROLE delegate");
    let mut by_hand = vec![
        "GRANT SELECT (card) ON sales.orders TO clerk",
        "GRANT SELECT (count) ON sales.totals TO clerk",
        "REVOKE UPDATE (total) ON sales.orders FROM clerk",
        "GRANT SELECT (id) ON sales.orders TO clerk WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR INSERT (id) ON sales.items FROM clerk",
        // What is granted on the table as a whole goes, and takes along what was declared on its columns.
        "GRANT SELECT ON sales.orders TO clerk",
        "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA sales TO clerk",
        "GRANT INSERT ON sales.items TO clerk WITH GRANT OPTION",
        "REVOKE SELECT ON sales.orders FROM clerk",
        "REVOKE USAGE ON TYPE sales.state FROM clerk",
        "GRANT USAGE ON TYPE sales.state TO clerk WITH GRANT OPTION",
        "REVOKE USAGE ON LANGUAGE plpgsql FROM clerk",
        "REVOKE USAGE ON FOREIGN DATA WRAPPER wires FROM clerk",
        "GRANT USAGE ON FOREIGN DATA WRAPPER wires TO clerk WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR USAGE ON FOREIGN SERVER warehouse FROM clerk",
        "REVOKE UPDATE ON LARGE OBJECT 70001 FROM clerk",
        "SELECT lo_create(70002); GRANT SELECT ON LARGE OBJECT 70002 TO clerk",
        "REVOKE CREATE ON TABLESPACE fast FROM clerk",
        "GRANT CREATE ON TABLESPACE fast TO clerk WITH GRANT OPTION",
        "GRANT USAGE ON SCHEMA sales TO delegate; GRANT SELECT, UPDATE ON sales.orders TO delegate WITH GRANT OPTION;
         SET ROLE delegate; GRANT SELECT ON sales.orders TO clerk; GRANT SELECT (card, id) ON sales.orders TO clerk",
        "GRANT USAGE ON TYPE sales.money_eur TO delegate WITH GRANT OPTION; GRANT UPDATE ON LARGE OBJECT 70002 TO delegate WITH GRANT OPTION;
         GRANT CREATE ON TABLESPACE fast TO delegate WITH GRANT OPTION; SET ROLE delegate;
         GRANT USAGE ON TYPE sales.money_eur TO clerk WITH GRANT OPTION; GRANT UPDATE ON LARGE OBJECT 70002 TO clerk;
         GRANT CREATE ON TABLESPACE fast TO clerk WITH GRANT OPTION",
    ];
    if has_parameter_privileges(&cluster) {
        by_hand.extend([
            "REVOKE SET ON PARAMETER log_min_duration_statement FROM clerk",
            "GRANT ALTER SYSTEM ON PARAMETER log_min_duration_statement TO clerk",
            "REVOKE GRANT OPTION FOR ALTER SYSTEM ON PARAMETER log_statement FROM clerk",
            "GRANT SET ON PARAMETER log_min_duration_statement TO delegate WITH GRANT OPTION; SET ROLE delegate;
             GRANT SET ON PARAMETER log_min_duration_statement TO clerk WITH GRANT OPTION",
        ]);
    }
    for by_hand in by_hand {
        let before = held(&cluster, "clerk");
        cluster.sql_in("shop", by_hand);
        let plan = rolewright.plan_json();
        if by_hand == "REVOKE SELECT ON sales.orders FROM clerk" {
            // That took it from the columns only.
            assert_ne!(held(&cluster, "clerk"), before);
        }
        assert!(!plan.steps().is_empty(), "unseen: {by_hand}");
        assert_eq!(plan.causes(), ["drift"], "{by_hand}");
        rolewright.apply().succeeds();
        assert_eq!(held(&cluster, "clerk"), what_the_clerk_holds(&cluster), "{by_hand}");
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn from_tables_to_columns_and_back_takes_one_apply() {
    let (cluster, manifests) = (market(), Manifests::new());
    let users = |entries: &[&str]| {
        let entries: String =
            entries.iter().map(|entry| format!("      - {{database: shop, schema: sales, {entry}}}\n")).collect();
        format!("users: []\nroles:\n  - name: clerk\n    grants:\n{entries}")
    };
    let rolewright = Rolewright::new(&cluster, &manifests);
    let on_id = "tables: [orders], columns: [id], privileges: [SELECT]";
    let whole = "tables: [orders], privileges: [SELECT]";
    let all = "tables: all, privileges: [SELECT]";
    let with_option = "tables: [orders], columns: [id], privileges: [SELECT], grant_option: true";
    let whole_with_option = "tables: [orders], privileges: [SELECT], grant_option: true";
    let id = vec!["column sales.orders.id: SELECT"];
    let orders =
        vec!["column sales.orders.card: SELECT", "column sales.orders.id: SELECT", "column sales.orders.total: SELECT"];
    for (entries, expected, acl) in [
        (vec![on_id, whole], orders.clone(), "r"),
        (vec![on_id], id.clone(), "r"),
        (vec![on_id, all], Vec::new(), "r"),
        (vec![on_id], id.clone(), "r"),
        (vec![all], Vec::new(), ""),
        (vec![with_option, whole_with_option], Vec::new(), "r*"),
        (vec![with_option, whole], Vec::new(), "r*"),
        (vec![on_id], id, "r"),
        (vec![whole], orders, ""),
    ] {
        manifests.users(&users(&entries));
        rolewright.command(&["plan", "--rehearse"]).succeeds();
        let causes = rolewright.plan_json().causes();
        assert!(causes.iter().all(|cause| cause == "spec"), "{entries:?}: {causes:?}");
        rolewright.apply().succeeds();
        rolewright.plan_json().is_empty();
        // An empty list stands for: not told apart by what can be used, only by what is written down.
        if !expected.is_empty() {
            assert_eq!(held(&cluster, "clerk"), expected, "{entries:?}");
        }
        let written = cluster.sql_in(
            "shop",
            "SELECT concat(privilege_type, is_grantable) FROM pg_attribute, aclexplode(attacl)
             WHERE attrelid = 'sales.orders'::regclass AND attname = 'id'",
        );
        let wanted = match acl {
            "" => None,
            "r" => Some("SELECTf"),
            _ => Some("SELECTt"),
        };
        assert_eq!(written.first().map(|row| row[0].as_str()), wanted, "{entries:?}");
    }
}

#[test]
fn what_gives_power_over_the_server_has_to_be_allowed_by_name() {
    let (cluster, manifests) = (market(), Manifests::new());
    let users = |entry: &str| format!("users: []\nroles:\n  - name: clerk\n    grants:\n      - {entry}\n");
    let mut cases =
        vec![("{database: shop, foreign_data_wrappers: [wires], privileges: [USAGE]}", "FOREIGN_DATA_WRAPPER")];
    if has_parameter_privileges(&cluster) {
        cases.push(("{parameters: [work_mem], privileges: [ALTER SYSTEM]}", "ALTER_SYSTEM"));
        cases.push(("{parameters: [session_replication_role], privileges: [SET]}", "session_replication_role"));
    }
    for (entry, word) in cases {
        manifests.users(&users(entry));
        let refused = Rolewright::new(&cluster, &manifests).apply();
        refused.exits_with(3).mentions("power-raised").mentions(word);
        assert!(!cluster.has_role("clerk"), "{entry}");
        Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", word).apply().succeeds();
        Rolewright::new(&cluster, &manifests).plan_json().is_empty();
        // Nor do others come by it through a membership.
        manifests.users(&format!("{}  - {{name: heir, roles: [clerk]}}\n", users(entry)));
        Rolewright::new(&cluster, &manifests).apply().exits_with(3).mentions("power-raised").mentions("heir");
        assert!(!cluster.has_role("heir"), "{entry}");
        cluster.sql_in("shop", "DROP OWNED BY clerk");
        cluster.sql("DROP ROLE clerk");
    }
}

#[test]
fn what_is_not_there_or_cannot_be_granted_is_told_and_holds_up_nothing_else() {
    let (cluster, manifests) = (market(), Manifests::new());
    manifests.users(
        "users: []
roles:
  - name: clerk
    grants:
      - {database: shop, schema: sales, tables: [orders], columns: [id, absent], privileges: [SELECT]}
      - {database: shop, schema: sales, types: [coming], privileges: [USAGE]}
      - {database: shop, languages: [plfoo, c], privileges: [USAGE]}
      - {database: shop, foreign_servers: [nowhere], privileges: [USAGE]}
      - {database: shop, large_objects: [70002], privileges: [SELECT]}
      - {tablespaces: [slow], privileges: [CREATE]}
",
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    let told = rolewright.apply();
    told.succeeds().mentions("superusers");
    for missing in ["absent", "coming", "plfoo", "nowhere", "70002", "slow"] {
        told.mentions(missing);
    }
    assert_eq!(held(&cluster, "clerk"), ["column sales.orders.id: SELECT"]);
    rolewright.plan_json().is_empty();
    cluster.sql_in(
        "shop",
        "ALTER TABLE sales.orders ADD absent int; SET ROLE app; CREATE TYPE sales.coming AS ENUM ('soon'); RESET ROLE;
         REVOKE USAGE ON TYPE sales.coming FROM PUBLIC; SELECT lo_create(70002)",
    );
    rolewright.apply().succeeds();
    assert_eq!(
        held(&cluster, "clerk"),
        [
            "column sales.orders.absent: SELECT",
            "column sales.orders.id: SELECT",
            "large object 70002: SELECT",
            "type coming: USAGE",
        ]
    );
    rolewright.plan_json().is_empty();
}

#[test]
fn parameters_before_version_15_leave_their_role_as_it_is_and_nobody_else() {
    let (cluster, manifests) = (market(), Manifests::new());
    manifests.users(
        "users: []\nroles:\n  - {name: other}\n  - name: clerk\n    grants:\n      - {parameters: [work_mem], privileges: [SET]}\n",
    );
    let applied = Rolewright::new(&cluster, &manifests).apply();
    assert!(cluster.has_role("other"));
    if has_parameter_privileges(&cluster) {
        applied.succeeds();
    } else {
        applied.exits_with(1).mentions("no privileges on parameters");
    }
    assert_eq!(cluster.has_role("clerk"), has_parameter_privileges(&cluster));
}

#[test]
fn an_owner_needs_no_grant() {
    let (cluster, manifests) = (market(), Manifests::new());
    manifests.users(&clerk(&cluster));
    cluster.sql("CREATE ROLE clerk; ALTER TABLESPACE fast OWNER TO clerk");
    cluster.sql_in(
        "shop",
        "ALTER TABLE sales.orders OWNER TO clerk; ALTER TYPE sales.state OWNER TO clerk; ALTER SERVER warehouse OWNER TO clerk;
         ALTER LARGE OBJECT 70001 OWNER TO clerk",
    );
    let rolewright = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", POWERS);
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    let granted = cluster.sql_in(
        "shop",
        "SELECT 1 FROM pg_attribute WHERE attrelid = 'sales.orders'::regclass AND attacl IS NOT NULL
         UNION ALL SELECT 1 FROM pg_foreign_server WHERE srvacl IS NOT NULL
         UNION ALL SELECT 1 FROM pg_tablespace WHERE spcname = 'fast' AND spcacl IS NOT NULL",
    );
    assert!(granted.is_empty());
}

#[test]
fn any_name_is_a_name() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let name = "x\"; DROP ROLE postgres; --'\\\u{202e}";
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    cluster.sql(&format!("CREATE DATABASE {quoted}"));
    cluster.sql_in(
        name,
        &format!(
            "CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} int); CREATE TYPE {quoted}.\"A type\" AS ENUM ('a');
             CREATE FOREIGN DATA WRAPPER {quoted}; CREATE SERVER {quoted} FOREIGN DATA WRAPPER {quoted};
             CREATE TRUSTED LANGUAGE {quoted} HANDLER plpgsql_call_handler"
        ),
    );
    let directory = cluster.data().with_file_name("odd");
    cluster.sql(&format!("COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir {}'", directory.display()));
    cluster.sql(&format!("CREATE TABLESPACE {quoted} LOCATION '{}'", directory.display()));
    let mut grants = vec![
        serde_json::json!({ "database": name, "schema": name, "tables": [name], "columns": [name], "privileges": ["select"] }),
        serde_json::json!({ "database": name, "schema": name, "types": ["A type"], "privileges": ["USAGE"] }),
        serde_json::json!({ "database": name, "languages": [name], "privileges": ["USAGE"] }),
        serde_json::json!({ "database": name, "foreign_data_wrappers": [name], "privileges": ["USAGE"] }),
        serde_json::json!({ "database": name, "foreign_servers": [name], "privileges": ["USAGE"], "grant_option": true }),
        serde_json::json!({ "tablespaces": [name], "privileges": ["CREATE"] }),
    ];
    if has_parameter_privileges(&cluster) {
        grants.push(serde_json::json!({ "parameters": ["app.\u{74}enant", "Work_Mem"], "privileges": ["SET"] }));
    }
    let users = |grants: &[serde_json::Value]| {
        serde_json::json!({ "users": [], "roles": [{ "name": name, "grants": grants }] }).to_string()
    };
    manifests.users_exactly(&users(&grants));
    let rolewright = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", POWERS);
    // The script that a person would run does the same.
    let script = rolewright.command(&["plan", "--format", "sql"]).succeeds().stdout.clone();
    let printed = cluster.psql("postgres", &script);
    assert!(printed.status.success(), "{}\n{script}", String::from_utf8_lossy(&printed.stderr));
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    let acls = "SELECT count(*) FROM (SELECT attacl FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid >= 16384
         UNION ALL SELECT typacl FROM pg_type WHERE typacl::text ~ 'DROP ROLE'
         UNION ALL SELECT lanacl FROM pg_language WHERE lanacl::text ~ 'DROP ROLE'
         UNION ALL SELECT fdwacl FROM pg_foreign_data_wrapper WHERE fdwacl::text ~ 'DROP ROLE'
         UNION ALL SELECT srvacl FROM pg_foreign_server WHERE srvacl::text ~ 'DROP ROLE'
         UNION ALL SELECT spcacl FROM pg_tablespace WHERE spcacl::text ~ 'DROP ROLE') AS a (acl)
         WHERE acl::text ~ 'DROP ROLE'";
    assert_eq!(cluster.sql_in(name, acls)[0][0], "6");
    manifests.users_exactly(&users(&[]));
    rolewright.apply().succeeds();
    assert_eq!(cluster.sql_in(name, acls)[0][0], "0");
    rolewright.plan_json().is_empty();
}

#[test]
fn what_is_imported_has_nothing_to_do() {
    let (cluster, manifests) = (market(), Manifests::new());
    cluster.sql("CREATE ROLE clerk; GRANT CREATE ON TABLESPACE fast TO clerk");
    cluster.sql_in(
        "shop",
        "GRANT SELECT (id, total), UPDATE (id) ON sales.orders TO clerk; GRANT SELECT ON sales.orders TO clerk;
         GRANT INSERT (id) ON sales.items TO clerk WITH GRANT OPTION; GRANT USAGE ON TYPE sales.money_eur, sales.items TO clerk;
         GRANT USAGE ON LANGUAGE plpgsql TO clerk; GRANT USAGE ON FOREIGN DATA WRAPPER wires TO clerk WITH GRANT OPTION;
         GRANT USAGE ON FOREIGN SERVER warehouse TO clerk; GRANT SELECT ON LARGE OBJECT 70001 TO clerk",
    );
    if has_parameter_privileges(&cluster) {
        cluster.sql("GRANT SET, ALTER SYSTEM ON PARAMETER log_statement TO clerk; GRANT SET ON PARAMETER work_mem, app.x TO clerk");
    }
    let before = held(&cluster, "clerk");
    let output = imported(&cluster, &manifests);
    for key in
        ["columns", "types", "languages", "foreign_data_wrappers", "foreign_servers", "large_objects", "tablespaces"]
    {
        output.mentions(&format!("{key}: ["));
    }
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "clerk"), before);
    // Now it is exact.
    cluster
        .sql_in("shop", "GRANT UPDATE (card) ON sales.orders TO clerk; GRANT CREATE ON TABLESPACE pg_default TO clerk");
    assert_eq!(rolewright.plan_json().actions(), ["revoke-privilege clerk", "revoke-privilege clerk"]);
}
