//! Who says that a script may run: the operator, in a chain that users.yaml cannot touch, and the policies of that chain.
//! And whose name a script runs under, of which nothing is left behind.

use rolewright_tests::{Manifests, Rolewright, guests};
use serde_json::json;

use super::scripts::{allowing, note, runs, server, with_scripts};

#[test]
fn what_the_chain_does_not_allow_is_a_warning_with_the_line_that_would() {
    let (cluster, manifests) = (server(), Manifests::new());
    let declare = |what: &str| {
        let scripts = json!([{ "name": "audit", "database": "shop", "sql": note(what) }]);
        manifests.users_exactly(&with_scripts("alice", &scripts));
    };
    declare("one");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds().says("does not allow it").says("allowScripts");
    assert!(cluster.has_role("alice"), "everything else goes on");
    let plan = rolewright.plan_json();
    plan.is_empty();
    let [finding] = plan.findings() else { panic!("{:#?}", plan.findings()) };
    assert_eq!(
        (&finding["code"], &finding["severity"], &finding["path"]),
        (&json!("script-not-allowed"), &json!("warning"), &json!("/scripts/0"))
    );
    // The line, as it is given.
    let help = finding["help"].as_str().unwrap();
    let pinned = help.split('"').nth(1).unwrap();
    let rolewright = rolewright.policies(&allowing(&[pinned]));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop"), ["one"]);
    rolewright.plan_json().is_empty();
    assert!(rolewright.plan_json().findings().is_empty());
    // It allows that text, in that database.
    declare("two");
    rolewright.apply().succeeds().says("does not allow it");
    let elsewhere = json!([{ "name": "audit", "database": "postgres", "sql": note("one") }]);
    manifests.users_exactly(&with_scripts("alice", &elsewhere));
    rolewright.apply().succeeds().says("does not allow it");
    assert_eq!((runs(&cluster, "shop").len(), runs(&cluster, "postgres").len()), (1, 0));
}

#[test]
fn what_is_pinned_runs_once_whoever_writes_what_into_users_yaml() {
    let (cluster, manifests) = (server(), Manifests::new());
    let declare = |run: &str, what: &str| {
        let scripts = json!([{ "name": "audit", "database": "shop", "run": run, "sql": note(what) }]);
        manifests.users_exactly(&with_scripts("alice", &scripts));
    };
    let pin = |what: &str| {
        declare("once", what);
        let plan = Rolewright::new(&cluster, &manifests).plan_json();
        plan.findings()[0]["help"].as_str().unwrap().split('"').nth(1).unwrap().to_owned()
    };
    let (one, two) = (pin("one"), pin("two"));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&[&one, &two]));
    for what in ["one", "two", "one", "two"] {
        declare("once", what);
        rolewright.apply().succeeds();
        rolewright.plan_json().is_empty();
    }
    assert_eq!(runs(&cluster, "shop"), ["one", "two"], "each of them once");
    declare("on_change", "one");
    cluster.sql("ALTER ROLE alice NOLOGIN");
    rolewright.apply().succeeds().says("does not allow it");
    assert_eq!(runs(&cluster, "shop"), ["one", "two"]);
}

#[test]
fn a_configmap_cannot_allow_what_it_holds() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "audit", "database": "shop", "sql": note("own") }]);
    manifests.users_and_policies(&with_scripts("alice", &scripts), &allowing(&["audit"]), &[]);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).says("allowScripts").says("POLICIES");
    assert!(runs(&cluster, "shop").is_empty());
    // The operator's chain counts, and the other does not.
    Rolewright::new(&cluster, &manifests).policies(&allowing(&[])).apply().succeeds().says("does not allow it");
    assert!(runs(&cluster, "shop").is_empty());
}

#[test]
fn a_chain_that_changes_while_the_controller_runs_allows_and_forbids() {
    let (cluster, manifests) = (server(), Manifests::new());
    let declare = |what: &str| {
        let scripts = json!([{ "name": "audit", "database": "shop", "sql": note(what) }]);
        manifests.users_exactly(&with_scripts("alice", &scripts));
    };
    declare("one");
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&[]));
    let controller = rolewright.run();
    controller.wait_for("does not allow it");
    std::fs::write(rolewright.directory().join("policies.yaml"), allowing(&["audit"])).unwrap();
    rolewright_tests::eventually("the script to run", std::time::Duration::from_secs(30), || {
        (runs(&cluster, "shop") == ["one"]).then_some(())
    });
    controller.terminate().succeeds();
}

#[test]
fn a_planner_need_not_order_a_script_and_cannot_order_another() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "audit", "database": "shop", "sql": note("audit") }]);
    manifests.users_exactly(&with_scripts("alice", &json!([])));
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let hostile = |evil: &str| {
        let module = guests::build("tests/guests/hostile");
        let settings = json!({ "do": evil, "stage": "plan" });
        let entry = json!({ "name": "evil-one", "module": module, "settings": settings, "allowScripts": ["audit"] });
        json!({ "policies": [entry] }).to_string()
    };
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&hostile("do-nothing"));
    let plan = rolewright.plan_json();
    plan.is_empty();
    assert_eq!(plan.findings()[0]["code"], "script-not-ordered", "{:#?}", plan.findings());
    rolewright.apply().succeeds();
    assert!(runs(&cluster, "shop").is_empty());
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&hostile("run-script"));
    rolewright.apply().exits_with(3).says("unknown-script").says("../../etc/passwd");
    assert!(runs(&cluster, "shop").is_empty());
    // Another planner that does as it should.
    let module = guests::build("tests/guests/planner");
    let entry = json!({ "name": "ours", "module": module, "allowScripts": ["audit"] });
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&json!({ "policies": [entry] }).to_string());
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop"), ["audit"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_reviewer_sees_it_and_may_hold_it() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "audit", "database": "shop", "sql": note("audit") }]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let chain = json!({ "policies": [
        { "name": "standard", "module": "builtin:standard", "allowScripts": ["audit"] },
        { "name": "change-window", "module": "builtin:change-window",
          "settings": { "freezes": [{ "from": "2000-01-01", "to": "2999-12-31", "reason": "never" }],
                        "from-risk": "destructive" } },
    ] });
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain.to_string());
    rolewright.apply().exits_with(3).says("change-window");
    assert!(runs(&cluster, "shop").is_empty());
    // An approval is one of this text: another one has another digest.
    let digest = || {
        let plan = rolewright.command(&["plan", "--format", "json"]);
        plan.exits_with(3).json()["digest"].as_str().unwrap().to_owned()
    };
    let of_text = digest();
    let scripts = json!([{ "name": "audit", "database": "shop", "file": "audit.sql" }]);
    manifests.users_exactly(&with_scripts("alice", &scripts)).file("audit.sql", note("audit"));
    let of_file = digest();
    manifests.file("audit.sql", note("another"));
    let of_another = digest();
    assert!(of_text != of_file && of_file != of_another);
    rolewright.command(&["apply", "--approve", &of_file]).exits_with(3);
    assert!(runs(&cluster, "shop").is_empty());
    rolewright.command(&["apply", "--approve", &of_another]).succeeds();
    assert_eq!(runs(&cluster, "shop"), ["another"]);
}

#[test]
fn a_file_that_only_observes_runs_nothing() {
    let (cluster, manifests) = (server(), Manifests::new());
    let scripts = json!([{ "name": "audit", "database": "shop", "sql": note("audit") }]);
    manifests.users_exactly(&json!({ "users": [], "mode": "observe", "scripts": scripts }).to_string());
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["audit"]));
    rolewright.plan().says("only observes");
    rolewright.apply();
    assert!(runs(&cluster, "shop").is_empty());
}

#[test]
fn whose_name_a_script_takes_and_what_it_sets_ends_with_it() {
    let (cluster, manifests) = (server(), Manifests::new());
    cluster
        .sql("CREATE ROLE somebody; GRANT INSERT ON public.runs TO somebody; GRANT USAGE ON SCHEMA public TO somebody");
    let turns = "SET ROLE somebody; SET search_path = public; SET statement_timeout = 1; SELECT pg_advisory_lock(1); \
                 INSERT INTO runs (what) VALUES (current_user); CREATE TEMP TABLE pg_authid (x int)";
    let scripts = json!([
        { "name": "turns", "database": "postgres", "sql": turns.replace("SET statement_timeout = 1; ", "") },
        { "name": "session", "database": "postgres",
          "sql": format!("SET SESSION AUTHORIZATION somebody; {turns}").replace("SET statement_timeout = 1; ", "") },
        { "name": "after", "database": "postgres", "sql": "INSERT INTO public.runs (what)
            SELECT concat_ws(' ', current_user, current_setting('search_path'),
                (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1))" },
    ]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&allowing(&["turns", "session", "after"]));
    rolewright.apply().succeeds();
    let left = runs(&cluster, "postgres");
    assert_eq!(left[..2], ["somebody", "somebody"]);
    assert!(left[2].starts_with("postgres pg_catalog"), "{left:?}");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_script_has_no_rights_but_the_controllers() {
    let (cluster, manifests) = (server(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'scripts-controller'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    let scripts = json!([
        { "name": "too_much", "database": "shop", "sql": "CREATE TABLE public.runs_of_mine ()" .to_owned() + "; " + &note("x") },
        { "name": "enough", "database": "shop", "sql": "SELECT 1" },
    ]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let rolewright = Rolewright::new(&cluster, &manifests)
        .connect_as("controller", "scripts-controller")
        .policies(&allowing(&["too_much", "enough"]));
    rolewright.apply().exits_with(1).says("\"too_much\"").says("[42501]");
    assert!(runs(&cluster, "shop").is_empty());
    let left: Vec<_> = rolewright.plan_json().steps().iter().map(|step| step["script"]["name"].clone()).collect();
    assert_eq!(left, ["too_much"]);
}

#[test]
fn where_the_ledger_is_a_file_scripts_are_recorded_in_it() {
    let (cluster, manifests) = (server(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'scripts-file'");
    cluster.sql("GRANT INSERT ON public.runs TO controller");
    let scripts = json!([{ "name": "audit", "database": "postgres", "sql": note("audit") }]);
    manifests.users_exactly(&with_scripts("alice", &scripts));
    let rolewright =
        Rolewright::new(&cluster, &manifests).connect_as("controller", "scripts-file").policies(&allowing(&["audit"]));
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    rolewright.command(&["apply", "--full"]).succeeds();
    assert_eq!(runs(&cluster, "postgres"), ["audit"]);
    assert!(rolewright.ledger().is_empty());
    // It goes on where the schema may be made.
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    for _ in 0..2 {
        rolewright.command(&["apply", "--full"]).succeeds();
        assert_eq!(runs(&cluster, "postgres"), ["audit"]);
        assert!(rolewright.ledger().contains("script:audit"), "{}", rolewright.ledger());
    }
}

#[test]
fn what_a_ledger_in_a_file_knew_is_in_the_schema_from_its_first_moment() {
    let (cluster, manifests) = (server(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'scripts-file-2'");
    cluster.sql_in(
        "shop",
        "GRANT INSERT ON public.runs TO controller; CREATE TABLE public.orders (id int);
         ALTER TABLE public.orders OWNER TO controller",
    );
    let users = |who: &[&str]| {
        let user = |who: &&str| match *who {
            "dave" => json!({ "username": who }),
            _ => json!({ "username": who, "password": "none" }),
        };
        let users: Vec<_> = who.iter().map(user).collect();
        let policies = json!([{ "name": "some", "using": "id   >   5" }]);
        let tables = json!([{ "schema": "public", "table": "orders", "policies": policies }]);
        let scripts = json!([
            { "name": "audit", "database": "shop", "sql": note("audit") },
            { "name": "views", "database": "shop", "run": "on_change", "sql": note("views") },
        ]);
        let databases = json!([{ "name": "shop", "row_security": tables }]);
        manifests.users_exactly(&json!({ "users": users, "databases": databases, "scripts": scripts }).to_string());
    };
    users(&["alice", "bob", "dave"]);
    manifests.secret("dave", "scripts-file-3");
    let rolewright = Rolewright::new(&cluster, &manifests)
        .connect_as("controller", "scripts-file-2")
        .env("ALLOWED_POWERS", "row_security")
        .env("REASSIGN_OWNED_TO", "controller")
        .env("LOCK_TIMEOUT", "60")
        .env("MAX_DELETIONS", "2")
        .policies(&allowing(&["audit", "views"]));
    rolewright.apply().succeeds();
    assert_eq!(runs(&cluster, "shop"), ["audit", "views"]);
    assert!(rolewright.ledger().is_empty());
    // The schema is made, and that is all that the cycle comes to. Bob is to go, and dave to be left as he is.
    users(&["alice", "dave"]);
    manifests.remove_secret("dave");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller; ALTER ROLE alice NOLOGIN");
    let mut holder = cluster.client("postgres");
    let mut lock = holder.transaction().unwrap();
    lock.batch_execute("ALTER ROLE alice CONNECTION LIMIT 7").unwrap();
    let victim = rolewright.start(&["apply"]);
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'rolewright'";
    rolewright_tests::eventually("the schema", std::time::Duration::from_secs(30), || {
        (cluster.value(made) != "0").then_some(())
    });
    victim.kill();
    lock.rollback().unwrap();
    let known = cluster.sql("SELECT name FROM rolewright.roles ORDER BY name");
    assert_eq!(known, [["alice"], ["bob"], ["dave"]]);
    let known = cluster.sql("SELECT key FROM rolewright.state WHERE key ~ '^(script:|policies)' ORDER BY key");
    assert_eq!(known, [["policies"], ["script:audit"]], "one is due");
    // Whoever is not declared any more is dropped, and nothing is done twice.
    users(&["alice"]);
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("bob") && !cluster.has_role("dave"));
    assert_eq!(runs(&cluster, "shop"), ["audit", "views", "views"]);
    rolewright.plan_json().is_empty();
}
