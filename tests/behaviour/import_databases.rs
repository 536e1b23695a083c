//! What an import says of databases and schemas, and the profiles that it proposes: the first plan has nothing to do, what
//! somebody changes by hand afterwards is found and put right, and what is left out is told. What is so is asked of the
//! server.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rolewright_tests::snapshot::identifier;
use rolewright_tests::source::{CONFIGMAP, CONFIGMAP_FILE};
use rolewright_tests::{Cluster, Manifests, Output, Rolewright};

use super::import::import;
use super::object_privileges::shop;

/// Those that nobody would warn of: what is warned of never counts as seen to agree.
const HOSTILE: [&str; 3] = ["x\"; DROP ROLE postgres; --", "- it's: # [a, {b}]", "größe 大小 \u{1f980}"];

/// Imports into a ConfigMap among these manifests.
fn imported(cluster: &Cluster, manifests: &Manifests, arguments: &[&str]) -> Output {
    let output = import(cluster, &[arguments, &["--configmap", CONFIGMAP, "--namespace", "postgres"]].concat());
    output.succeeds();
    manifests.file(CONFIGMAP_FILE, &output.stdout);
    output
}

/// Owners, limits, comments and ACLs of the databases, and of the schemas in those that let one in. An ACL that was never
/// written means what the server says it does.
fn state(cluster: &Cluster) -> Vec<Vec<String>> {
    let mut lines = cluster.sql(
        "SELECT 'database', datname, pg_get_userbyid(datdba), datconnlimit::text, shobj_description(oid, 'pg_database'),
                ARRAY(SELECT a::text FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a ORDER BY 1)::text
           FROM pg_database ORDER BY datname",
    );
    for database in cluster.column("SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname") {
        lines.extend(cluster.sql_in(
            &database,
            "SELECT 'schema', nspname, pg_get_userbyid(nspowner),
                    ARRAY(SELECT a::text FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS a ORDER BY 1)::text
               FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'rolewright')
              ORDER BY nspname",
        ));
    }
    lines
}

#[test]
fn the_first_plan_has_nothing_to_do_and_what_is_changed_by_hand_is_put_right() {
    let (cluster, manifests) = (shop(), Manifests::new());
    for statement in [
        "CREATE ROLE keeper LOGIN; CREATE ROLE team CONNECTION LIMIT 3; CREATE ROLE reader",
        "CREATE DATABASE reports OWNER keeper CONNECTION LIMIT 7",
        "COMMENT ON DATABASE reports IS 'it''s: #1\n- for the board'",
        "CREATE DATABASE teams OWNER team",
        "CREATE DATABASE closed ALLOW_CONNECTIONS false",
        "CREATE DATABASE mould IS_TEMPLATE true",
        "REVOKE ALL ON DATABASE shop FROM PUBLIC; REVOKE TEMPORARY ON DATABASE teams FROM PUBLIC",
        "GRANT CREATE ON DATABASE reports TO PUBLIC; GRANT CONNECT ON DATABASE shop TO reader",
    ] {
        cluster.sql(statement);
    }
    cluster.sql_in("reports", "GRANT ALL ON SCHEMA public TO PUBLIC; CREATE SCHEMA board; CREATE SCHEMA private");
    cluster.sql_in("reports", "GRANT USAGE ON SCHEMA board TO PUBLIC, reader; ALTER SCHEMA private OWNER TO team");
    cluster.sql_in("shop", "DROP SCHEMA public; CREATE SCHEMA open; GRANT CREATE ON SCHEMA open TO PUBLIC");
    for name in HOSTILE {
        let quoted = identifier(name);
        cluster.sql(&format!("CREATE ROLE {quoted}"));
        cluster.sql(&format!("CREATE DATABASE {quoted} OWNER {quoted}"));
        cluster.sql_in(
            name,
            &format!("CREATE SCHEMA {quoted} AUTHORIZATION {quoted}; GRANT USAGE ON SCHEMA {quoted} TO PUBLIC"),
        );
    }

    let before = (cluster.fingerprint(), state(&cluster));
    let output = imported(&cluster, &manifests, &["--all-databases"]);
    output.says("schemas of database \"closed\"").says("\"mould\", \"postgres\", \"template0\", \"template1\"");
    assert!(!output.stdout.contains("name: mould") && !output.stdout.contains("name: postgres\n"), "{}", output.stdout);
    assert_eq!(output.stdout, imported(&cluster, &manifests, &["--all-databases"]).stdout, "not the same bytes");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.command(&["plan", "--exit-code"]).succeeds();
    rolewright.apply().succeeds();
    rolewright.command(&["plan", "--exit-code"]).succeeds();
    assert_eq!((cluster.fingerprint(), state(&cluster)), before, "the first cycle wrote something");

    for (database, change) in [
        ("postgres", "ALTER DATABASE reports OWNER TO reader"),
        ("postgres", "ALTER DATABASE reports CONNECTION LIMIT 3"),
        ("postgres", "COMMENT ON DATABASE reports IS NULL"),
        ("postgres", "GRANT CONNECT ON DATABASE shop TO PUBLIC"),
        ("postgres", "REVOKE CONNECT ON DATABASE closed FROM PUBLIC"),
        ("reports", "REVOKE USAGE ON SCHEMA board FROM PUBLIC"),
        ("reports", "GRANT USAGE ON SCHEMA private TO PUBLIC"),
        ("reports", "ALTER SCHEMA board OWNER TO keeper"),
        ("shop", "REVOKE CREATE ON SCHEMA open FROM PUBLIC"),
        ("shop", "DROP SCHEMA open; CREATE SCHEMA open"),
        (HOSTILE[0], &format!("REVOKE USAGE ON SCHEMA {} FROM PUBLIC", identifier(HOSTILE[0]))),
    ] {
        rolewright.apply().succeeds();
        cluster.sql_in(database, change);
        assert_ne!(state(&cluster), before.1, "{change}");
        rolewright.command(&["plan", "--exit-code"]).exits_with(2).mentions("(drift)");
        rolewright.apply().succeeds();
        assert_eq!(state(&cluster), before.1, "{change}");
        rolewright.command(&["plan", "--exit-code"]).succeeds();
    }
}

#[test]
fn what_public_holds_on_objects_and_row_level_security_are_told_and_stay() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE DATABASE reports");
    cluster.sql_in(
        "reports",
        "CREATE FUNCTION open() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE mood AS ENUM ()",
    );
    cluster.sql_in(
        "shop",
        "SET ROLE app; GRANT SELECT ON sales.items TO PUBLIC; GRANT UPDATE (id) ON stock.bins TO PUBLIC;
         CREATE POLICY mine ON sales.orders USING (true); CREATE TYPE sales.state AS ENUM ('new');
         REVOKE USAGE ON TYPE sales.state FROM PUBLIC; ALTER TABLE stock.bins ENABLE ROW LEVEL SECURITY",
    );
    let output = imported(&cluster, &manifests, &["--all-databases"]);
    let public = "what PUBLIC may in database \"shop\" on table \"sales\".\"items\", routine \
                  \"sales\".\"refund\"(amount integer, reason text), type \"sales\".\"state\", 1 more: ";
    output.says(public);
    output.says("row-level security in database \"shop\" of table \"sales\".\"orders\", table \"stock\".\"bins\": ");
    assert!(output.stdout.contains(&format!("# not imported: {public}")), "{}", output.stdout);
    // What PostgreSQL gives everybody is not worth a word.
    let all = output.stdout.clone() + &output.stderr;
    assert!(!all.contains("may in database \"reports\""), "{all}");
    Rolewright::new(&cluster, &manifests).command(&["plan", "--exit-code"]).succeeds();
}

#[test]
fn shapes_that_are_met_again_are_proposed_as_profiles() {
    let cluster = shop();
    cluster
        .sql("CREATE ROLE owner; CREATE ROLE guest; CREATE ROLE visitor; CREATE ROLE clerk; CREATE ROLE robot LOGIN");
    cluster.sql("CREATE ROLE auditor; CREATE ROLE loner");
    cluster.sql("CREATE DATABASE reports OWNER owner");
    cluster.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO robot");
    cluster
        .sql_in("shop", "DROP SCHEMA public; ALTER SCHEMA stock OWNER TO owner; ALTER TABLE stock.bins OWNER TO owner");
    cluster.sql_in(
        "reports",
        "DROP SCHEMA public; SET ROLE owner; CREATE SCHEMA board; CREATE TABLE board.papers (id int)",
    );
    let hold = |database: &str, owner: &str, schema: &str, role: &str, on: &str, parts: &[(&str, &str)]| {
        let mut script = format!("SET ROLE {owner}; GRANT {on} ON SCHEMA {schema} TO {role};");
        for (kind, privileges) in parts {
            script += &format!(
                "GRANT {privileges} ON ALL {kind} IN SCHEMA {schema} TO {role};
                 ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {privileges} ON {kind} TO {role};"
            );
        }
        cluster.sql_in(database, &script);
    };
    let read = [("TABLES", "SELECT"), ("SEQUENCES", "SELECT")];
    let write = [("TABLES", "SELECT, INSERT, UPDATE, DELETE"), ("SEQUENCES", "ALL"), ("FUNCTIONS", "EXECUTE")];
    hold("shop", "app", "sales", "guest", "USAGE", &read);
    hold("shop", "owner", "stock", "guest", "USAGE", &read);
    hold("shop", "app", "sales", "clerk", "USAGE", &write);
    // Two roles, two databases: each of these is met twice.
    hold("shop", "app", "sales", "visitor", "USAGE", &read[..1]);
    hold("reports", "owner", "board", "auditor", "USAGE", &read[..1]);
    let load = [("TABLES", "SELECT, INSERT, TRUNCATE"), ("FUNCTIONS", "EXECUTE")];
    hold("shop", "owner", "stock", "robot", "USAGE, CREATE", &load);
    hold("reports", "owner", "board", "robot", "USAGE, CREATE", &load);
    // Who may make things there makes what `all` means another thing: so the others are given it by the robot, too.
    cluster.sql_in("shop", "ALTER DEFAULT PRIVILEGES FOR ROLE robot IN SCHEMA stock GRANT SELECT ON TABLES TO guest");
    cluster
        .sql_in("shop", "ALTER DEFAULT PRIVILEGES FOR ROLE robot IN SCHEMA stock GRANT SELECT ON SEQUENCES TO guest");
    cluster
        .sql_in("reports", "ALTER DEFAULT PRIVILEGES FOR ROLE robot IN SCHEMA board GRANT SELECT ON TABLES TO auditor");
    // Met once; and more than a profile says, on one table.
    hold("shop", "app", "sales", "loner", "USAGE", &[("TABLES", "SELECT, REFERENCES")]);
    cluster.sql_in("shop", "GRANT UPDATE ON sales.orders TO visitor");

    let output = import(&cluster, &["--all-databases"]);
    output.succeeds();
    insta::assert_snapshot!("profiles", format!("{}--- stderr\n{}", output.stdout, output.stderr));
    let manifests = Manifests::new();
    imported(&cluster, &manifests, &["--all-databases"]);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan_json().is_empty();
    // A profile lasts as the list would have: what is made later is covered, and what is taken away comes back.
    rolewright.apply().succeeds();
    cluster
        .sql_in("shop", "SET ROLE app; CREATE TABLE sales.later (id int); REVOKE SELECT ON sales.orders FROM visitor");
    rolewright.apply().succeeds();
    let may =
        |table: &str| cluster.sql_in("shop", &format!("SELECT has_table_privilege('visitor', '{table}', 'SELECT')"));
    assert_eq!((may("sales.later"), may("sales.orders")), (vec![vec!["t".to_owned()]], vec![vec!["t".to_owned()]]));
}

#[test]
fn how_far_it_looks_is_up_to_who_asks() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE DATABASE reports");
    let before = (cluster.fingerprint(), state(&cluster));
    let nothing_to_do = |output: &Output| {
        output.succeeds();
        let rolewright = Rolewright::new(&cluster, &manifests);
        rolewright.command(&["plan", "--exit-code"]).succeeds();
    };
    // Owners and PUBLIC of databases are on the server; for schemas one has to look into them.
    let output = imported(&cluster, &manifests, &[]);
    output.says("name: reports").says("without --database or --all-databases, of: \"reports\", \"shop\"");
    assert!(!output.stdout.contains("schemas:\n"), "{}", output.stdout);
    nothing_to_do(&output);
    let output = imported(&cluster, &manifests, &["--database", "shop"]);
    output.says("{name: sales, owner: app, public: []}").says("--all-databases, of: \"reports\"\n");
    nothing_to_do(&output);
    let output = imported(&cluster, &manifests, &["--all-databases", "--no-databases"]);
    assert!(!output.stdout.contains("databases:"), "{}", output.stdout);
    nothing_to_do(&output);
    assert!(!output.stderr.contains("ledger"), "{}", output.stderr);

    // Where the ledger lies, it is left alone; and `postgres` is spoken of if somebody asks for it.
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let output = imported(&cluster, &manifests, &["--database", "postgres"]);
    output.says("has a ledger here already").says("`until`").says("name: postgres");
    output.says("left out, as Rolewright's own, is the schema \"rolewright\" of: \"postgres\"");
    nothing_to_do(&output);
    rolewright.apply().succeeds();
    assert_eq!((cluster.fingerprint(), state(&cluster)), before);
}

#[test]
fn who_may_not_look_into_a_database_is_told_so_and_who_may_read_the_ledger_may_still() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'import-controller'; CREATE ROLE auditor");
    cluster.sql("REVOKE CONNECT ON DATABASE shop FROM PUBLIC; GRANT CREATE ON DATABASE postgres TO controller");
    manifests.users("users: []\n");
    let rolewright = || Rolewright::new(&cluster, &manifests).connect_as("controller", "import-controller");
    rolewright().apply().succeeds();
    cluster.sql("GRANT USAGE ON SCHEMA rolewright TO auditor; GRANT USAGE ON SCHEMA public TO auditor");
    let output =
        rolewright().without_env("SOURCE_DIR").command(&["import", "--all-databases", "--database", "postgres"]);
    output.succeeds().says("schemas of database \"shop\"").says("CONNECT");
    output.says("grants of role \"auditor\" in database \"postgres\"").says("Rolewright's ledger");
    assert!(output.stdout.contains("  - name: shop\n    owner: app\n    public: [TEMPORARY]\n"), "{}", output.stdout);
    manifests.users(&output.stdout);
    rolewright().plan_json().is_empty();
    rolewright().apply().succeeds();
    assert_eq!(cluster.value("SELECT has_schema_privilege('auditor', 'rolewright', 'USAGE')"), "t");
}

/// What can be done to a database by hand; `$d` is its name.
const ON_SERVER: [&str; 9] = [
    "ALTER DATABASE $d OWNER TO app",
    "ALTER DATABASE $d OWNER TO team",
    "ALTER DATABASE $d CONNECTION LIMIT 4",
    "COMMENT ON DATABASE $d IS '- it''s: #1'",
    "REVOKE ALL ON DATABASE $d FROM PUBLIC",
    "REVOKE TEMPORARY ON DATABASE $d FROM PUBLIC",
    "GRANT CREATE ON DATABASE $d TO PUBLIC",
    "GRANT CONNECT ON DATABASE $d TO reader, app",
    "ALTER DATABASE $d ALLOW_CONNECTIONS false",
];

/// And within.
const INSIDE: [&str; 9] = [
    "CREATE SCHEMA IF NOT EXISTS sales AUTHORIZATION app",
    "CREATE SCHEMA IF NOT EXISTS sales; GRANT USAGE ON SCHEMA sales TO PUBLIC",
    "CREATE SCHEMA IF NOT EXISTS \"S: 1\" AUTHORIZATION team; GRANT ALL ON SCHEMA \"S: 1\" TO PUBLIC, reader",
    "CREATE SCHEMA IF NOT EXISTS rolewright; GRANT USAGE ON SCHEMA rolewright TO PUBLIC",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT ALL ON SCHEMA public TO PUBLIC",
    "ALTER SCHEMA public OWNER TO reader",
    "CREATE SCHEMA IF NOT EXISTS sales; CREATE TABLE IF NOT EXISTS sales.t (); GRANT USAGE ON SCHEMA sales TO reader, writer; \
     GRANT SELECT ON ALL TABLES IN SCHEMA sales TO reader, writer; \
     ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO reader, writer",
    "DROP SCHEMA public",
];

#[test]
fn whatever_was_done_to_databases_by_hand_the_first_plan_has_nothing_to_do() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE app; CREATE ROLE team CONNECTION LIMIT 3; CREATE ROLE reader; CREATE ROLE writer");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let by_hand = (subsequence(ON_SERVER.to_vec(), 0..6), subsequence(INSIDE.to_vec(), 0..6));
    let flag = select(vec!["--all-databases", "--database=one"]);
    let strategy = (prop::collection::vec(by_hand, 2), flag);
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&strategy, |(databases, flag)| {
        for (name, (on_server, inside)) in ["one", "two"].into_iter().zip(&databases) {
            cluster.sql(&format!("DROP DATABASE IF EXISTS {name}"));
            cluster.sql(&format!("CREATE DATABASE {name}"));
            for statement in inside {
                // One may stand in another's way: then it was not done.
                let _ = cluster.try_sql(name, statement);
            }
            for statement in on_server.iter().filter(|it| name != "one" || !it.contains("ALLOW_CONNECTIONS")) {
                cluster.sql(&statement.replace("$d", name));
            }
        }
        let before = state(&cluster);
        let output = imported(&cluster, &manifests, &[flag]);
        let plan = rolewright.plan_json();
        prop_assert!(plan.steps().is_empty(), "{:#}\n{}", plan.0, output.stdout);
        let errors = plan.findings().iter().filter(|finding| finding["severity"] == "error").count();
        prop_assert_eq!(errors, 0, "{:#}", plan.0);
        prop_assert_eq!(state(&cluster), before.clone());
        // Each is spoken of, and what PUBLIC gets there later is found.
        cluster.sql("GRANT CREATE ON DATABASE one TO PUBLIC; REVOKE CONNECT ON DATABASE two FROM PUBLIC");
        let differs = state(&cluster) != before;
        prop_assert_eq!(rolewright.plan_json().steps().is_empty(), !differs, "{}", output.stdout);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
