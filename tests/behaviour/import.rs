//! A server that nobody manages yet, read into a users.yaml: its first plan has nothing to do, its first cycle changes
//! nothing, and what it cannot say is said. What the server holds is compared row by row, versions included.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rolewright_tests::snapshot::identifier;
use rolewright_tests::source::{CONFIGMAP, CONFIGMAP_FILE};
use rolewright_tests::{Cluster, Manifests, Output, Rolewright, session};

/// Database `shop` with routines and tables of names that need a thought, and an empty database `reports`.
fn shop() -> Cluster {
    let cluster = super::object_privileges::shop();
    cluster.sql("CREATE DATABASE reports");
    cluster.sql_in(
        "shop",
        "SET ROLE app; CREATE TABLE stock.\"all\" (id int);
         CREATE FUNCTION sales.refund(VARIADIC \"the ids, all\" int[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    cluster
}

/// Every row of `shop` that has to do with privileges, with its version.
fn inside(cluster: &Cluster) -> Vec<Vec<String>> {
    cluster.sql_in(
        "shop",
        "SELECT 'schema', xmin::text, nspname::text, nspacl::text FROM pg_namespace
         UNION ALL SELECT 'relation', xmin::text, oid::regclass::text, relacl::text FROM pg_class
         UNION ALL SELECT 'routine', xmin::text, oid::regprocedure::text, proacl::text FROM pg_proc WHERE oid >= 16384
         UNION ALL SELECT 'default', xmin::text, concat_ws(' ', defaclrole, defaclnamespace, defaclobjtype), defaclacl::text
             FROM pg_default_acl
         ORDER BY 1, 3",
    )
}

/// `rolewright import`, without anything to read but the server.
pub(super) fn import(cluster: &Cluster, arguments: &[&str]) -> Output {
    let rolewright = Rolewright::new(cluster, &Manifests::new()).without_env("SOURCE_DIR");
    rolewright.command(&[&["import"], arguments].concat())
}

/// Imports what is there, inside of `shop` too, into a ConfigMap among these manifests.
pub(super) fn imported(cluster: &Cluster, manifests: &Manifests) -> Output {
    let output = import(cluster, &["--database", "shop", "--configmap", CONFIGMAP, "--namespace", "postgres"]);
    output.succeeds();
    manifests.file(CONFIGMAP_FILE, &output.stdout);
    output
}

fn default_secret(name: &str) -> String {
    format!("user-{name}-secret")
}

/// By its number: for a name that is not one of a Secret.
fn numbered_secret(cluster: &Cluster, name: &str) -> String {
    default_secret(&cluster.value(&format!("SELECT {}::regrole::oid", literal(&identifier(name)))))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

const HOSTILE: [&str; 5] =
    ["x\"; DROP ROLE postgres; --", "true", "0x1F", "new\nline: # [\t]", "abc\u{202e}cba {\u{1f980}}"];

#[test]
fn a_server_made_by_hand_is_written_down_and_nothing_is_changed_on_it() {
    let (cluster, manifests) = (shop(), Manifests::new());
    for statement in [
        "CREATE ROLE reader; CREATE ROLE writer; CREATE ROLE clerk NOINHERIT CREATEDB; CREATE ROLE \"Silent\"",
        "COMMENT ON ROLE reader IS 'reads: all, of \"sales\"\n# and more'",
        "CREATE ROLE alice LOGIN PASSWORD 'import-alice' VALID UNTIL '2030-01-31 18:00:00.7Z' CONNECTION LIMIT 5",
        "CREATE ROLE bob LOGIN VALID UNTIL '2031-01-31 00:00Z' NOINHERIT",
        "CREATE ROLE root LOGIN SUPERUSER CREATEROLE CREATEDB REPLICATION BYPASSRLS PASSWORD 'import-root-1'",
        "CREATE ROLE a_b LOGIN PASSWORD 'import-a-b-1' CREATEROLE",
        "CREATE ROLE standby LOGIN REPLICATION",
        "CREATE ROLE keeper LOGIN; ALTER DATABASE reports OWNER TO keeper; GRANT CREATE ON DATABASE reports TO keeper",
        "GRANT reader, pg_monitor TO alice; GRANT writer TO alice WITH ADMIN OPTION; GRANT clerk, reader TO writer",
        "GRANT reader TO bob GRANTED BY postgres; GRANT postgres TO root",
        "GRANT CONNECT, TEMPORARY ON DATABASE shop, reports TO alice; GRANT CONNECT ON DATABASE postgres TO bob",
        "ALTER ROLE bob SET search_path = '$user', App, \"My, App\"; ALTER ROLE bob SET statement_timeout = '30s'",
        "ALTER ROLE bob IN DATABASE shop SET app.tenant = 'x, \"y\"\n'; ALTER ROLE bob SET work_mem = 4096",
        "ALTER ROLE reader SET session_preload_libraries = 'auto_explain'; ALTER ROLE standby SET row_security = off",
    ] {
        cluster.sql(statement);
    }
    if session::postgres_major() >= 16 {
        cluster.sql("GRANT clerk TO bob WITH INHERIT TRUE, SET FALSE; GRANT writer TO bob WITH INHERIT FALSE");
        // The same edge by two grantors counts once.
        cluster
            .sql("GRANT reader TO clerk WITH ADMIN OPTION; SET ROLE clerk; GRANT reader TO alice WITH INHERIT FALSE");
    }
    for name in HOSTILE {
        let quoted = identifier(name);
        cluster.sql(&format!("CREATE ROLE {quoted} LOGIN PASSWORD 'import-hostile-1'; GRANT {quoted} TO \"Silent\""));
        cluster.sql(&format!("CREATE DATABASE {quoted}"));
        cluster.sql(&format!("ALTER ROLE {quoted} IN DATABASE {quoted} SET jit = off"));
        cluster.sql(&format!(
            "GRANT CONNECT ON DATABASE {quoted} TO {quoted}; COMMENT ON ROLE {quoted} IS {}",
            literal(name)
        ));
        cluster.sql_in(
            "shop",
            &format!(
                "SET ROLE app; CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} (); CREATE SEQUENCE {quoted}.\"Seq\";
                 CREATE TYPE {quoted}.\"a, type\" AS ENUM ('a');
                 CREATE FUNCTION {quoted}.f({quoted} {quoted}.\"a, type\") RETURNS int LANGUAGE sql AS 'SELECT 1';
                 GRANT USAGE ON SCHEMA {quoted} TO {quoted}; GRANT ALL ON {quoted}.{quoted} TO {quoted}; GRANT ALL ON SEQUENCE {quoted}.\"Seq\" TO {quoted};
                 GRANT EXECUTE ON FUNCTION {quoted}.f TO {quoted}"
            ),
        );
    }
    cluster.sql_in(
        "shop",
        "SET ROLE app;
         GRANT USAGE ON SCHEMA sales TO reader, writer;
         GRANT SELECT ON ALL TABLES IN SCHEMA sales TO reader;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA sales TO reader;
         ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO reader;
         ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON SEQUENCES TO reader;
         GRANT UPDATE ON sales.orders TO reader WITH GRANT OPTION;
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA sales TO writer;
         ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT, INSERT ON TABLES TO writer;
         GRANT SELECT ON ALL TABLES IN SCHEMA stock TO clerk;
         GRANT CREATE ON SCHEMA stock TO clerk WITH GRANT OPTION; GRANT USAGE ON SCHEMA stock TO clerk;
         GRANT EXECUTE ON FUNCTION sales.refund(integer, text), sales.refund(int[]) TO clerk;
         GRANT USAGE ON SEQUENCE sales.numbers TO bob;
         SET ROLE reader; GRANT UPDATE ON sales.orders TO bob",
    );
    // Who owns something needs no grant on it.
    cluster.sql_in(
        "shop",
        "CREATE TABLE stock.mine (id int); ALTER TABLE stock.mine OWNER TO alice; GRANT SELECT ON stock.mine TO bob",
    );

    let before = (cluster.fingerprint(), inside(&cluster));
    let output = imported(&cluster, &manifests);
    // Of what roles hold there is nothing that cannot be said; of PUBLIC there is.
    let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.contains("warning")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("what PUBLIC may in database \"shop\""), "{}", output.stderr);
    manifests.secret("alice", "import-alice").secret("root", "import-root-1");
    output.says("  user-alice-secret, key password: alice\n").says("profile: read_only");
    for (name, password) in HOSTILE.iter().map(|name| (*name, "import-hostile-1")).chain([("a_b", "import-a-b-1")]) {
        let secret = if name == "true" { default_secret(name) } else { numbered_secret(&cluster, name) };
        output.says(&format!("  {secret}, key password: "));
        manifests.named_secret(&secret, "password", password);
    }
    assert_eq!((cluster.fingerprint(), inside(&cluster)), before, "reading wrote something");

    let rolewright = Rolewright::new(&cluster, &manifests);
    let plan = rolewright.plan_json();
    plan.is_empty();
    for finding in plan.findings() {
        let expected = ["odd-name", "member-of-user"].contains(&finding["code"].as_str().unwrap());
        assert!(expected || finding["severity"] == "info", "{finding:#}");
    }
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    assert_eq!((cluster.fingerprint(), inside(&cluster)), before, "the first cycle wrote something");

    // From now on they are held to it.
    cluster.sql("ALTER ROLE bob CREATEDB; REVOKE reader FROM bob");
    cluster.sql_in("shop", "GRANT DELETE ON sales.items TO reader; REVOKE SELECT ON stock.bins FROM clerk");
    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    assert_eq!(cluster.attribute("bob", "rolcreatedb"), "f");
    assert_eq!(cluster.sql_in("shop", "SELECT has_table_privilege('clerk', 'stock.bins', 'SELECT')"), [["t"]]);
}

#[test]
fn a_small_server_reads_like_a_file_that_somebody_wrote() {
    let cluster = shop();
    for statement in [
        "CREATE ROLE reader; COMMENT ON ROLE reader IS 'reads sales'; CREATE ROLE team CONNECTION LIMIT 3",
        "CREATE ROLE alice LOGIN PASSWORD 'import-small-1' CREATEDB CONNECTION LIMIT 5 VALID UNTIL '2030-01-31 18:00Z'",
        "GRANT reader, pg_monitor TO alice; GRANT team TO alice WITH ADMIN OPTION",
        "GRANT CONNECT, CREATE ON DATABASE shop, reports TO alice; CREATE ROLE \"it's\" LOGIN",
        "ALTER ROLE alice SET search_path = sales, public; ALTER ROLE alice IN DATABASE shop SET work_mem = '64MB'",
        "CREATE ROLE loader LOGIN; GRANT CREATE ON DATABASE reports TO loader",
    ] {
        cluster.sql(statement);
    }
    cluster.sql_in(
        "shop",
        "SET ROLE app; GRANT USAGE ON SCHEMA sales TO reader, alice; GRANT SELECT ON ALL TABLES IN SCHEMA sales TO reader;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA sales TO reader;
         ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO reader;
         ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON SEQUENCES TO reader;
         GRANT INSERT, SELECT ON sales.orders, sales.items TO alice; GRANT DELETE ON sales.items TO alice WITH GRANT OPTION;
         GRANT EXECUTE ON FUNCTION sales.refund(integer, text) TO alice;
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO \"it's\"",
    );
    // It has another owner before 15.
    cluster.sql_in("shop", "DROP SCHEMA public");
    let output = import(&cluster, &["--database", "shop"]);
    output.succeeds();
    insta::assert_snapshot!("small_server", format!("{}--- stderr\n{}", output.stdout, output.stderr));
    // Without a database, nothing is said of what lies inside of any.
    let output = import(&cluster, &[]);
    assert!(!output.succeeds().stdout.contains("schema:"), "{}", output.stdout);
}

#[test]
fn what_cannot_be_said_is_told_and_left_as_it_is() {
    let (cluster, manifests) = (shop(), Manifests::new());
    for statement in [
        "CREATE ROLE limited CONNECTION LIMIT 3; CREATE ROLE ending VALID UNTIL '2030-01-01'",
        "CREATE ROLE never LOGIN VALID UNTIL '-infinity'; CREATE ROLE fine LOGIN; GRANT limited TO fine",
        "CREATE ROLE inside LOGIN; CREATE ROLE partly LOGIN",
    ] {
        cluster.sql(statement);
    }
    let mut expected = vec!["limited", "ending", "never"];
    if session::postgres_major() >= 16 {
        cluster.sql("CREATE ROLE useless LOGIN; GRANT ending TO useless WITH INHERIT FALSE, SET FALSE");
        expected.push("useless");
    }
    cluster.sql_in(
        "shop",
        "SET ROLE app; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO inside; GRANT SELECT ON sales.orders TO inside, partly;
         ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO partly",
    );
    let before = (cluster.fingerprint(), inside(&cluster));
    let output = imported(&cluster, &manifests);
    for role in &expected {
        let told = format!("{role:?}: it");
        let comment =
            output.stdout.lines().any(|line| line.trim().starts_with("# not imported: ") && line.contains(&told));
        let warning =
            output.stderr.lines().any(|line| line.starts_with("warning: not imported: ") && line.contains(&told));
        let told_also = format!("{role:?}: its");
        let other = output.stderr.contains(&told_also) && output.stdout.contains(&told_also);
        assert!((comment && warning) || other, "{role}\n{}{}", output.stdout, output.stderr);
        assert!(!output.stdout.contains(&format!("name: {role}\n")), "{}", output.stdout);
    }
    for role in ["inside", "partly"] {
        output.says(&format!("grants of user {role:?} in database \"shop\""));
        assert!(output.stdout.contains(&format!("- username: {role}\n")), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("grants:"), "{}", output.stdout);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!((cluster.fingerprint(), inside(&cluster)), before);
}

#[test]
fn who_has_a_password_is_left_as_it_is_until_its_secret_is_there() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE alice LOGIN PASSWORD 'import-later-1' CREATEDB; CREATE ROLE bob LOGIN");
    let output = import(&cluster, &["--configmap", CONFIGMAP]);
    output.succeeds().says("user-alice-secret").says("password: none");
    manifests.file(CONFIGMAP_FILE, &output.stdout);
    let before = cluster.fingerprint();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).says("secret-missing").says("alice");
    assert_eq!(cluster.fingerprint(), before);
    manifests.secret("alice", "import-later-1");
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!(cluster.fingerprint(), before);
}

#[test]
fn who_may_not_see_passwords_is_told_so_and_protected_roles_are_left_out() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'import-controller'");
    cluster.sql("CREATE ROLE alice LOGIN; CREATE ROLE hidden LOGIN; CREATE ROLE team");
    let manifests = Manifests::new();
    let rolewright = Rolewright::new(&cluster, &manifests)
        .without_env("SOURCE_DIR")
        .connect_as("controller", "import-controller")
        .env("PROTECTED_ROLES", "hidden");
    let output = rolewright.command(&["import"]);
    output.succeeds().says("controller may not read pg_authid").says("user-alice-secret");
    assert_eq!(
        output.stdout,
        "# left out, as protected: \"controller\", \"hidden\", \"postgres\"\nusers:\n  - username: alice\nroles:\n  - name: team\n"
    );
    // An empty server is no reason for an empty file.
    let output = rolewright.env("PROTECTED_ROLES", "hidden,alice,team").command(&["import"]);
    assert_eq!(output.succeeds().stdout.lines().skip(1).collect::<Vec<_>>(), ["users: []"]);
}

#[test]
fn a_database_that_is_not_there_or_closed_is_an_error_that_says_so() {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE closed");
    cluster.sql("ALTER DATABASE closed ALLOW_CONNECTIONS false");
    for database in ["nowhere", "closed"] {
        let output = import(&cluster, &["--database", database]);
        output.exits_with(1).says(database);
        assert_eq!(output.stdout, "");
    }
    import(&cluster, &["--namespace", "x"]).exits_with(1).says("--configmap");
    import(&cluster, &["--configmap", "Under_Score"]).exits_with(1).says("a-z");
}

/// What can be done to a role by hand; `$r` is its name.
const BY_HAND: [&str; 25] = [
    "GRANT CONNECT ON DATABASE shop TO $r",
    "GRANT CONNECT, TEMPORARY ON DATABASE shop TO $r",
    "GRANT CREATE ON DATABASE reports TO $r",
    "GRANT CONNECT, TEMPORARY ON DATABASE reports TO $r WITH GRANT OPTION",
    "ALTER ROLE $r SET work_mem = '5MB'",
    "ALTER ROLE $r IN DATABASE reports SET search_path = a, \"B c\"",
    "COMMENT ON ROLE $r IS 'it''s: #1'",
    "GRANT grp TO $r",
    "GRANT grp TO $r WITH ADMIN OPTION",
    "GRANT pg_read_all_stats TO $r",
    "GRANT USAGE ON SCHEMA sales TO $r",
    "GRANT CREATE ON SCHEMA sales TO $r WITH GRANT OPTION",
    "GRANT SELECT ON sales.orders TO $r",
    "GRANT INSERT, DELETE ON sales.items TO $r WITH GRANT OPTION",
    "GRANT SELECT ON ALL TABLES IN SCHEMA sales TO $r",
    "GRANT SELECT ON ALL TABLES IN SCHEMA stock TO $r",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA sales TO $r",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sales TO $r",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA sales GRANT SELECT ON TABLES TO $r",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA stock GRANT SELECT ON TABLES TO $r",
    "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT USAGE ON SCHEMAS TO $r",
    "CREATE TABLE stock.$r (); ALTER TABLE stock.$r OWNER TO $r",
    "ALTER DEFAULT PRIVILEGES FOR ROLE $r IN SCHEMA stock GRANT SELECT ON TABLES TO one, two",
    "GRANT SELECT ON ALL TABLES IN SCHEMA stock TO $r; ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA stock GRANT SELECT ON TABLES TO $r",
    "GRANT USAGE ON SCHEMA stock TO $r; GRANT SELECT ON ALL TABLES IN SCHEMA stock TO $r; GRANT SELECT ON ALL SEQUENCES IN SCHEMA stock TO $r;
     ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA stock GRANT SELECT ON TABLES TO $r; ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA stock GRANT SELECT ON SEQUENCES TO $r",
];

const ROLES: [&str; 3] = ["one", "two", "grp"];

#[test]
fn whatever_was_done_by_hand_the_first_plan_has_nothing_to_do() {
    let (cluster, manifests) = (shop(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests);
    let words = ["CREATEDB", "CREATEROLE", "NOINHERIT", "REPLICATION", "BYPASSRLS", "SUPERUSER"];
    let end = select(vec!["", "CONNECTION LIMIT 7", "VALID UNTIL '2040-05-06 07:08:09.5'", "VALID UNTIL 'infinity'"]);
    let role = (subsequence(words.to_vec(), 0..3), any::<bool>(), end, subsequence(BY_HAND.to_vec(), 0..9));
    let strategy = prop::collection::vec(role, ROLES.len());
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 15, failure_persistence: None, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&strategy, |roles| {
        for role in ROLES {
            if cluster.has_role(role) {
                cluster.sql_in("shop", &format!("DROP OWNED BY {role}"));
                cluster.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
            }
        }
        for (role, (words, login, end, _)) in ROLES.iter().zip(&roles) {
            let login = if *login && *role != "grp" { "LOGIN" } else { "" };
            cluster.sql(&format!("CREATE ROLE {role} {login} {end} {}", words.join(" ")));
        }
        for (role, (_, _, _, by_hand)) in ROLES.iter().zip(&roles) {
            for statement in by_hand.iter().filter(|it| *role != "grp" || !it.contains("GRANT grp")) {
                cluster.sql_in("shop", &statement.replace("$r", role));
            }
        }
        let output = imported(&cluster, &manifests);
        let plan = rolewright.plan_json();
        prop_assert!(plan.steps().is_empty(), "{:#}\n{}", plan.0, output.stdout);
        let errors = plan.findings().iter().filter(|finding| finding["severity"] == "error").count();
        prop_assert_eq!(errors, 0, "{:#}", plan.0);
        for role in ROLES {
            let declared = output.stdout.contains(&format!("name: {role}\n"));
            prop_assert!(
                declared || output.stderr.contains(&format!(" {role:?}: it")),
                "{}{}",
                output.stdout,
                output.stderr
            );
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
