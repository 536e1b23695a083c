//! Custom SQL of users.yaml: when it runs, what it may hold, and what becomes of it if it fails. Who may run any is in
//! `scripts_trust.rs`. What has happened is asked of the server.

use std::time::Duration;

use postgres::SimpleQueryMessage;
use rolewright_tests::kubernetes::{Secrets, least_rights};
use rolewright_tests::{ApiServer, Cluster, Manifests, Rolewright, eventually};
use serde_json::{Value, json};

/// A chain whose planner allows these.
pub(super) fn allowing(scripts: &[&str]) -> String {
    json!({ "policies": [{ "name": "standard", "module": "builtin:standard", "allowScripts": scripts }] }).to_string()
}

/// users.yaml with one user and these scripts.
pub(super) fn with_scripts(user: &str, scripts: &Value) -> String {
    json!({ "users": [{ "username": user, "password": "none" }], "scripts": scripts }).to_string()
}

/// A server with a database `shop`, and a table in each of the two that scripts write to.
pub(super) fn server() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE shop");
    for database in ["postgres", "shop"] {
        cluster.sql_in(database, "CREATE TABLE public.runs (n int GENERATED ALWAYS AS IDENTITY, what text)");
    }
    cluster
}

/// What scripts have written, in its order.
pub(super) fn runs(cluster: &Cluster, database: &str) -> Vec<String> {
    let rows = cluster.sql_in(database, "SELECT what FROM public.runs ORDER BY n");
    rows.into_iter().map(|mut row| row.swap_remove(0)).collect()
}

pub(super) fn note(what: &str) -> String {
    format!("INSERT INTO public.runs (what) VALUES ('{what}');")
}

#[test]
fn a_script_runs_once_and_again_when_its_text_changes() {
    let (cluster, manifests) = (server(), Manifests::new());
    let declare = |first: &str, second: &str| {
        let scripts = json!([
            { "name": "b_first", "database": "shop", "sql": note(first) },
            { "name": "a_second", "database": "postgres", "sql": note(second) },
        ]);
        manifests.users_exactly(&with_scripts("alice", &scripts));
    };
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["a_second", "b_first"]));
    declare("one", "two");
    let plan = rolewright.plan_json();
    let told: Vec<_> = plan.steps().iter().filter_map(|step| step["script"]["name"].as_str()).collect();
    assert_eq!(told, ["b_first", "a_second"], "in the order of the file");
    rolewright
        .plan()
        .succeeds()
        .says("run script b_first in database shop (1 statement, sha256:")
        .says("[destructive]")
        .says("2 scripts to run");
    assert!(runs(&cluster, "shop").is_empty(), "a plan runs nothing");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("alice"));
    for _ in 0..2 {
        assert_eq!((runs(&cluster, "shop"), runs(&cluster, "postgres")), (vec!["one".into()], vec!["two".into()]));
        rolewright.plan_json().is_empty();
        rolewright.command(&["apply", "--full"]).succeeds();
    }
    declare("one", "three");
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    assert_eq!(runs(&cluster, "shop"), ["one"]);
    assert_eq!(runs(&cluster, "postgres"), ["two", "three"]);
    // The record of it: what, and when.
    let history =
        "SELECT step->>'script', step->>'database' FROM rolewright.history, jsonb_array_elements(steps) AS step
                    WHERE step->>'action' = 'run-script' ORDER BY id";
    assert_eq!(cluster.sql(history), [["b_first", "shop"], ["a_second", "postgres"], ["a_second", "postgres"]]);
    // Elsewhere it is another script.
    let moved = json!([{ "name": "b_first", "database": "postgres", "sql": note("one") }]);
    manifests.users_exactly(&with_scripts("alice", &moved));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "postgres"), ["two", "three", "one"]);
}

#[test]
fn one_that_follows_changes_runs_after_each_of_them_and_never_else() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "views", "database": "shop", "run": "on_change", "sql": note("views") }]);
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["views"]));
    manifests.users_exactly(&with_scripts("alice", &scripts));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop").len(), 1);
    rolewright.plan_json().is_empty();
    rolewright.command(&["apply", "--full"]).succeeds();
    assert_eq!(runs(&cluster, "shop").len(), 1, "nothing has changed");
    cluster.sql("ALTER ROLE alice NOLOGIN");
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop").len(), 2, "drift was repaired");
    rolewright.plan_json().is_empty();

    // It is owed what it could not do, though nothing else is left to change.
    cluster.sql("ALTER ROLE alice NOLOGIN");
    cluster.sql_in("shop", "ALTER TABLE public.runs RENAME TO away");
    rolewright.apply().exits_with(1).says("\"views\"").says("[42P01]");
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "t");
    cluster.sql_in("shop", "ALTER TABLE public.away RENAME TO runs");
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop").len(), 3);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_change_that_fails_is_none_to_follow() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "views", "database": "shop", "run": "on_change", "sql": note("views") }]);
    let users = |settings: Value| {
        let users = json!([{ "username": "alice", "password": "none", "settings": settings }]);
        json!({ "users": users, "scripts": scripts }).to_string()
    };
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["views"]));
    manifests.users_exactly(&users(json!({})));
    rolewright.apply().succeeds();
    manifests.users_exactly(&users(json!({ "work_mem": "not a size" })));
    for _ in 0..2 {
        rolewright.apply().exits_with(1);
        assert_eq!(runs(&cluster, "shop").len(), 1);
    }
    manifests.users_exactly(&users(json!({ "work_mem": "8MB" })));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop").len(), 2);
}

#[test]
fn what_changed_before_a_failure_is_one_to_follow() {
    let (cluster, manifests) = (server(), Manifests::new());
    cluster.sql_in(
        "shop",
        "CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
         CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('GRANT') EXECUTE FUNCTION public.refuse()",
    );
    let scripts = json!([{ "name": "views", "database": "postgres", "run": "on_change", "sql": note("views") }]);
    let declare = |grants: Value| {
        let users = json!([{ "username": "alice", "password": "none" }]);
        let bob = json!([{ "username": "bob", "password": "none", "grants": grants }]);
        let users = if grants.is_null() { users } else { json!([users[0], bob[0]]) };
        manifests.users_exactly(&json!({ "users": users, "scripts": scripts }).to_string());
    };
    declare(Value::Null);
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["views"]));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "postgres").len(), 1);
    declare(json!([{ "database": "shop", "schema": "public", "profile": "read_only" }]));
    rolewright.apply().exits_with(1).says("not today");
    assert!(cluster.has_role("bob"));
    assert_eq!(runs(&cluster, "postgres").len(), 2, "somebody was created");
    rolewright.apply().exits_with(1).says("not today");
    assert_eq!(runs(&cluster, "postgres").len(), 2, "nothing was changed");
}

/// The lock that keeps instances apart.
const LOCK: &str = "SELECT pg_advisory_lock(x'726f6c6577726967'::bigint)";

#[test]
fn a_plan_that_came_to_nothing_is_none_to_follow() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "views", "database": "shop", "run": "on_change", "sql": note("views") }]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["views"]));
    rolewright.apply().succeeds();
    cluster.sql("ALTER ROLE alice NOLOGIN");
    let mut holder = cluster.client("postgres");
    holder.batch_execute(LOCK).unwrap();
    let controller = rolewright.start(&["apply"]);
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    eventually("the plan to wait", Duration::from_secs(30), || (cluster.value(waiting) != "0").then_some(()));
    // Somebody else repairs it first.
    cluster.sql("ALTER ROLE alice LOGIN");
    drop(holder);
    controller.finish().succeeds();
    assert_eq!(runs(&cluster, "shop").len(), 1, "the controller has changed nothing");
    assert!(rolewright.ledger().contains("script:views"));
    rolewright.plan_json().is_empty();
}

#[test]
fn one_that_fails_is_told_with_its_line_and_takes_nothing_along() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = |divisor: u32| {
        let broken = format!("{}\n-- é\nSELECT 'é',\n  1/{divisor};\n{}", note("broken 1"), note("broken 2"));
        json!([
            { "name": "broken", "database": "shop", "sql": broken },
            { "name": "typo", "database": "postgres", "sql": format!("{}\n\nSELECT 'é',\n  nonsense;", note("typo")) },
            { "name": "good", "database": "shop", "sql": note("good") },
            { "name": "nowhere", "database": "no such database", "sql": note("nowhere") },
        ])
    };
    manifests.users_exactly(&with_scripts("alice", &scripts(0)));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["broken", "typo", "good", "nowhere"]));
    rolewright
        .apply()
        .exits_with(1)
        .says("cannot run script \"broken\" in database \"shop\", in its line 3")
        .says("[22012]")
        .says("cannot run script \"typo\" in database \"postgres\", in its line 4")
        .says("[42703]")
        .says("\"nowhere\"")
        .says("does not exist");
    assert!(cluster.has_role("alice"), "the others are served");
    assert_eq!(runs(&cluster, "shop"), ["good"], "nothing of what failed stays");
    assert!(runs(&cluster, "postgres").is_empty());
    let mut left: Vec<_> = rolewright.plan_json().steps().iter().map(|step| step["script"]["name"].clone()).collect();
    assert_eq!(left, ["broken", "typo", "nowhere"], "due again");
    manifests.users_exactly(&with_scripts("alice", &scripts(1)));
    rolewright.apply().exits_with(1);
    assert_eq!(runs(&cluster, "shop"), ["good", "broken 1", "broken 2"]);
    left = rolewright.plan_json().steps().iter().map(|step| step["script"]["name"].clone()).collect();
    assert_eq!(left, ["typo", "nowhere"]);
}

#[test]
fn what_would_leave_its_transaction_never_gets_there() {
    let (cluster, manifests) = (server(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["escape"]));
    for escape in [
        "COMMIT",
        "ROLLBACK; BEGIN",
        "/* */ -- x\n End",
        "START TRANSACTION",
        "SAVEPOINT a",
        "PREPARE TRANSACTION 'x'",
        "COPY public.runs FROM STDIN",
        "\\! true",
        "CREATE ROLE x PASSWORD 'scripts-x'",
        "SELECT '\u{202e}'",
    ] {
        let text = format!("{}\n{escape};\n{}", note("before"), note("after"));
        let scripts = json!([{ "name": "escape", "database": "shop", "sql": text }]);
        manifests.users_exactly(&with_scripts("alice", &scripts));
        rolewright.apply().exits_with(1).says("[unfit-script]").says("line ");
        assert!(!cluster.has_role("alice"), "{escape}: nothing was to be done at all");
    }
    // What only the server can tell.
    cluster.sql_in("shop", "CREATE PROCEDURE public.ends_it() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'");
    for (escape, state) in
        [("CALL public.ends_it()", "2D000"), ("VACUUM public.runs", "25001"), ("DISCARD ALL", "25001")]
    {
        let scripts = json!([{ "name": "escape", "database": "shop", "sql": format!("{}{escape}", note(escape)) }]);
        manifests.users_exactly(&with_scripts("alice", &scripts));
        rolewright.apply().exits_with(1).says("\"escape\"").says(&format!("[{state}]"));
        assert!(runs(&cluster, "shop").is_empty(), "{escape}");
    }
}

/// The reading of a text, held to the server's own: what it takes for statements, and how many.
#[test]
fn a_text_is_as_many_statements_as_the_server_takes_it_for() {
    let (cluster, manifests) = (server(), Manifests::new());
    let function = |name: &str| {
        format!(
            "CREATE FUNCTION public.{name}(i int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN i > 0 \
             THEN CASE i WHEN 1 THEN 2 END ELSE (CASE WHEN true THEN 0 END) END; END"
        )
    };
    let texts = [
        "SELECT 1; SELECT 2;; ; SELECT 3".to_owned(),
        "SELECT 'a;''b'; SELECT E'a\\';b'; SELECT 'a\\'".to_owned(),
        "SELECT E'a'\n -- ;\n 'b\\';c'; SELECT 1".to_owned(),
        "SELECT $$a;b$$, $a$;$$;$a$; SELECT 1 AS \"a;\"\"b\"; SELECT U&'\\00e9;', U&\"\\0061;\" FROM (SELECT 1 AS \"a;\") AS s"
            .to_owned(),
        "/* ; /* ; */ ; */ SELECT 1 -- ; SELECT 2\n; -- SELECT 3;\nSELECT 4 /* ; */".to_owned(),
        "SELECT B'1', X'1f', N'n;'; SELECT 1.5e3, 2 * 3 - -4; SELECT 1 +--;\n 2".to_owned(),
        "CREATE TABLE public.t (i int); CREATE RULE r AS ON INSERT TO public.t DO ALSO (SELECT 1; SELECT 2); DROP TABLE public.t"
            .to_owned(),
        format!("{}; SELECT public.f(1); DROP FUNCTION public.f;", function("f")),
        format!("{};\n{}", function("g"), function("h").replace("CREATE", "CREATE OR REPLACE")),
        "DO $do$ BEGIN PERFORM 1; END $do$; SELECT 'begin; end'".to_owned(),
        "PREPARE p AS SELECT 1; EXECUTE p; DEALLOCATE p".to_owned(),
        "SELECT é$ FROM (SELECT 1 AS é$) AS s; SELECT $é$;$é$".to_owned(),
    ];
    let names: Vec<String> = (0..texts.len()).map(|number| format!("text_{number}")).collect();
    let scripts: Vec<Value> =
        texts.iter().zip(&names).map(|(text, name)| json!({ "name": name, "database": "shop", "sql": text })).collect();
    manifests.users_exactly(&with_scripts("alice", &json!(scripts)));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&names));
    let plan = rolewright.plan_json();
    let counted: Vec<&Value> = plan.steps().iter().filter_map(|step| step.get("script")).collect();
    assert_eq!(counted.len(), texts.len());
    cluster.sql("CREATE DATABASE reference TEMPLATE shop");
    for (text, script) in texts.iter().zip(counted) {
        let answers =
            cluster.client("reference").simple_query(text).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
        let statements = answers.iter().filter(|it| matches!(it, SimpleQueryMessage::CommandComplete(_))).count();
        assert_eq!(script["statements"], statements, "{text}");
    }
    // One by one, each of them does.
    rolewright.apply().succeeds();
    assert_eq!(cluster.sql_in("shop", "SELECT public.g(1), public.h(2), public.g(0)"), [["2", "", "0"]]);
    rolewright.plan_json().is_empty();
}

#[test]
fn names_and_texts_are_nobodys_sql_but_their_own() {
    let (cluster, manifests) = (server(), Manifests::new());
    let odd = "it's = \"odd\"; DROP TABLE x; --";
    cluster.sql(&format!("CREATE DATABASE {} TEMPLATE shop", rolewright_tests::snapshot::identifier(odd)));
    let text = "SET LOCAL search_path = public;\r\n/* '; */ INSERT INTO runs (what) VALUES ($q$it's; \"--$q$), (E'\\'\\u00e9;');";
    let scripts = json!([{ "name": "odd", "database": odd, "sql": text, "run": "once" }]);
    manifests.users_exactly(&with_scripts("mallory\"; --", &scripts));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["odd"]));
    // What psql is given does the same.
    let printed = rolewright.command(&["plan", "--format", "sql"]).succeeds().stdout.clone();
    assert!(printed.contains("SET LOCAL search_path = pg_catalog;"), "{printed}");
    let done = cluster.psql("postgres", &printed);
    assert!(done.status.success(), "{printed}\n{}", String::from_utf8_lossy(&done.stderr));
    let expected = ["it's; \"--", "'é;"];
    assert_eq!(runs(&cluster, odd), expected);
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, odd), [expected, expected].concat());
    rolewright.plan_json().is_empty();
}

#[test]
fn psql_puts_no_variable_into_a_script() {
    let (cluster, manifests) = (server(), Manifests::new());
    let text = "INSERT INTO public.runs (what) SELECT (ARRAY['a', 'b', 'c'])[1:PORT]::text || ':PORT' FROM (SELECT 2 AS PORT) AS s";
    let scripts = json!([{ "name": "slice", "database": "shop", "sql": text }]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["slice"]));
    let printed = rolewright.command(&["plan", "--format", "sql"]).succeeds().stdout.clone();
    let done = cluster.psql("postgres", &printed);
    assert!(done.status.success(), "{printed}\n{}", String::from_utf8_lossy(&done.stderr));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop"), ["{a,b}:PORT", "{a,b}:PORT"]);
}

#[test]
fn the_text_may_lie_in_another_key_or_in_a_file_beside() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([
        { "name": "key", "database": "shop", "file": "key.sql" },
        { "name": "beside", "database": "shop", "file": "beside.sql" },
    ]);
    let configmap = |key: &str| {
        let data = json!({ "users.yaml": with_scripts("alice", &scripts), "key.sql": key });
        let metadata = json!({ "name": "postgres-users-config", "namespace": "postgres" });
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }).to_string()
    };
    manifests.file("configmap.yaml", configmap(&note("key")));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["key", "beside"]));
    rolewright.apply().exits_with(1).says("[unknown-file]").says("beside.sql");
    assert!(!cluster.has_role("alice"));
    manifests.file("beside.sql", note("beside")).file("unnamed.sql", [0xff]);
    let controller = rolewright.run();
    let wait = |expected: &[&str]| {
        eventually("the scripts to run", Duration::from_secs(30), || {
            (runs(&cluster, "shop") == expected).then_some(())
        });
    };
    wait(&["key", "beside"]);
    manifests.file("beside.sql", note("beside 2"));
    wait(&["key", "beside", "beside 2"]);
    manifests.file("configmap.yaml", configmap(&note("key 2")));
    wait(&["key", "beside", "beside 2", "key 2"]);
    controller.terminate().succeeds();
    rolewright.plan_json().is_empty();
}

#[test]
fn a_crash_between_a_script_and_its_record_runs_it_once_more() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "slow", "database": "shop", "sql": format!("{}SELECT pg_sleep(2)", note("slow")) }]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["slow", "own"]));
    let victim = rolewright.start(&["apply"]);
    let patience = Duration::from_secs(30);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    eventually("the script to run", patience, || (cluster.value(sleeping) != "0").then_some(()));
    let mut holder = cluster.client("postgres");
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("LOCK TABLE rolewright.state IN SHARE MODE").unwrap();
    eventually("the script's commit", patience, || (runs(&cluster, "shop") == ["slow"]).then_some(()));
    victim.kill();
    lock.rollback().unwrap();
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop"), ["slow", "slow"]);
    rolewright.plan_json().is_empty();

    // In DB_NAME the two are one.
    let scripts =
        json!([{ "name": "own", "database": "postgres", "sql": format!("{}SELECT pg_sleep(2)", note("own")) }]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let victim = rolewright.start(&["apply"]);
    eventually("the script to run", patience, || (cluster.value(sleeping) != "0").then_some(()));
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("LOCK TABLE rolewright.state IN SHARE MODE").unwrap();
    eventually("its record to wait", patience, || (cluster.value(sleeping) == "0").then_some(()));
    victim.kill();
    lock.rollback().unwrap();
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "postgres"), ["own"]);
}

#[test]
fn a_rehearsal_runs_scripts_and_keeps_nothing() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = |table: &str| {
        let own = format!("GRANT SELECT ON public.{table} TO alice; {}", note("rehearsed"));
        json!([
            { "name": "shop", "database": "shop", "sql": own },
            { "name": "own", "database": "postgres", "sql": note("rehearsed") },
            { "name": "later", "database": "made later", "sql": "SELECT 1" },
        ])
    };
    let declare = |table: &str| {
        let users = json!([{ "username": "alice", "password": "none" }]);
        let all = json!({ "users": users, "databases": [{ "name": "made later" }], "scripts": scripts(table) });
        manifests.users_exactly(&all.to_string());
    };
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["shop", "own", "later"]));
    declare("runs");
    let before = cluster.fingerprint();
    let output = rolewright.command(&["plan", "--rehearse"]);
    output.succeeds().mentions("accepted").says("CREATE DATABASE \"made later\" could not be tried");
    declare("absent");
    rolewright.command(&["plan", "--rehearse"]).exits_with(1).says("\"shop\"").says("in its line 1").says("[42P01]");
    assert_eq!(cluster.fingerprint(), before);
    assert!(runs(&cluster, "shop").is_empty() && runs(&cluster, "postgres").is_empty());
    assert!(rolewright.ledger().is_empty());
    // And a dry run runs nothing at all.
    declare("runs");
    rolewright.command(&["apply", "--dry-run"]).succeeds().says("run script: shop");
    assert!(runs(&cluster, "shop").is_empty());
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop"), ["rehearsed"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_rehearsed_script_keeps_no_controller_waiting() {
    let (cluster, manifests) = (server(), Manifests::new());
    let declare = |scripts: Value| manifests.users_exactly(&with_scripts("alice", &scripts));
    declare(json!([]));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["slow"]));
    rolewright.apply().succeeds();
    declare(json!([{ "name": "slow", "database": "shop", "sql": "SELECT pg_sleep(60)" }]));
    let rehearsal = rolewright.start(&["plan", "--rehearse"]);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    eventually("the script to run", Duration::from_secs(30), || (cluster.value(sleeping) != "0").then_some(()));
    assert_eq!(cluster.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    // Somebody else is served meanwhile.
    declare(json!([]));
    cluster.sql("ALTER ROLE alice NOLOGIN");
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    assert_eq!(cluster.attribute("alice", "rolcanlogin"), "t");
    assert_ne!(cluster.value(sleeping), "0");
    rehearsal.kill();
}

#[test]
fn a_leaders_script_may_lock_the_ledger_that_it_is_recorded_in() {
    let (cluster, namespace) = (server(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::Named(&[])));
    let lock = format!("LOCK TABLE rolewright.state IN ACCESS EXCLUSIVE MODE; {}", note("locked"));
    let scripts = json!([{ "name": "lock", "database": "postgres", "sql": lock }]);
    namespace.configmap(&with_scripts("alice", &scripts));
    let controller =
        Rolewright::in_cluster(&cluster, &namespace, &account).env("LOCK_TIMEOUT", "3").policies(&allowing(&["lock"]));
    let running = controller.run();
    eventually("the script to run", Duration::from_secs(20), || {
        (runs(&cluster, "postgres") == ["locked"]).then_some(())
    });
    assert_eq!(cluster.value("SELECT count(*) FROM rolewright.state WHERE key IN ('script:lock', 'term')"), "2");
    running.terminate().succeeds();
}
