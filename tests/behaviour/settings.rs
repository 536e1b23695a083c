//! Settings of users and roles: as declared, in all databases and in single ones, whoever changes them; and what a
//! server does not take, or nobody should be given, is told and changes nothing.

use rolewright_tests::{Cluster, Manifests, Rolewright, guests, session};
use serde_json::json;

/// `[database] name=value` of every setting of a role, asked for in another way than Rolewright does.
fn found(cluster: &Cluster, role: &str) -> Vec<String> {
    let mut found = cluster.column(&format!(
        "SELECT concat_ws(' ', d.datname, item.text)
         FROM pg_db_role_setting AS s LEFT JOIN pg_database AS d ON d.oid = s.setdatabase,
              LATERAL unnest(s.setconfig) AS item (text)
         WHERE s.setrole = '{role}'::regrole"
    ));
    found.sort();
    found
}

/// What the role sees once it has logged in.
fn shown(cluster: &Cluster, role: &str, password: &str, database: &str, parameter: &str) -> String {
    let mut client = cluster.login(role, password, database);
    client.query_one("SELECT current_setting($1)", &[&parameter]).unwrap().get(0)
}

fn user(fields: &str) -> String {
    format!("users: [{{username: alice, password: none, {fields}}}]\n")
}

/// A server with two databases, and no role but its own.
fn world() -> (Cluster, Manifests) {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE shop");
    cluster.sql("CREATE DATABASE \"it's \"\"odd\"\"\"");
    (cluster, Manifests::new())
}

const DECLARED: &str = "users:
  - username: alice
    database: shop
    settings:
      statement_timeout: 30s
      search_path: '\"$user\", App, public'
      WORK_MEM: 4096
      jit: false
      timezone: Europe/Berlin
    database_settings:
      shop: {search_path: [sales, \"My App\"], lock_timeout: 5s}
      it's \"odd\": {datestyle: [ISO, DMY]}
roles:
  - name: analyst
    settings: {work_mem: 64MB}
";

const ALICE: [&str; 8] = [
    "TimeZone=Europe/Berlin",
    "it's \"odd\" DateStyle=ISO, DMY",
    "jit=false",
    "search_path=\"$user\", app, public",
    "shop lock_timeout=5s",
    "shop search_path=sales, \"My App\"",
    "statement_timeout=30s",
    "work_mem=4096",
];

#[test]
fn settings_are_as_declared_for_whoever_logs_in_and_are_repaired_both_ways() {
    let (cluster, manifests) = world();
    manifests.users(DECLARED).secret("alice", "settings-alice-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().says("lock_timeout");
    rolewright.command(&["plan", "--rehearse"]).succeeds();
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ALICE);
    assert_eq!(found(&cluster, "analyst"), ["work_mem=64MB"]);
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();

    let sees = |database: &str, parameter: &str| shown(&cluster, "alice", "settings-alice-1", database, parameter);
    assert_eq!(
        (sees("postgres", "statement_timeout"), sees("postgres", "lock_timeout"), sees("shop", "lock_timeout")),
        ("30s".to_owned(), "0".to_owned(), "5s".to_owned())
    );
    assert_eq!(sees("shop", "search_path"), "sales, \"My App\"");
    assert_eq!((sees("postgres", "work_mem"), sees("postgres", "jit")), ("4MB".to_owned(), "off".to_owned()));
    assert_eq!(
        (sees("postgres", "timezone"), sees("it's \"odd\"", "datestyle")),
        ("Europe/Berlin".to_owned(), "ISO, DMY".to_owned())
    );

    for (by_hand, step) in [
        ("ALTER ROLE alice SET statement_timeout = '1h'", "set-setting alice"),
        ("ALTER ROLE alice RESET statement_timeout", "set-setting alice"),
        ("ALTER ROLE alice SET search_path = app, public", "set-setting alice"),
        ("ALTER ROLE alice SET search_path = '\"$user\", app, public'", "set-setting alice"),
        ("ALTER ROLE alice SET enable_seqscan = off", "reset-setting alice"),
        ("ALTER ROLE alice SET \"MyApp\".\"Tenant\" = '1'", "reset-setting alice"),
        ("ALTER ROLE alice IN DATABASE shop SET search_path = sales", "set-setting alice"),
        ("ALTER ROLE alice IN DATABASE shop RESET ALL", "set-setting alice"),
        ("ALTER ROLE alice IN DATABASE postgres SET lock_timeout = '5s'", "reset-setting alice"),
        ("ALTER ROLE alice SET session_preload_libraries = 'auto_explain'", "reset-setting alice"),
        ("ALTER ROLE alice SET role = 'analyst'", "reset-setting alice"),
        ("ALTER ROLE analyst RESET ALL", "set-setting analyst"),
    ] {
        cluster.sql(by_hand);
        let plan = rolewright.plan_json();
        let mut actions = plan.actions();
        actions.dedup();
        assert_eq!((actions, plan.causes()), (vec![step.to_owned()], vec!["drift".to_owned()]), "{by_hand}");
        rolewright.apply().succeeds();
        assert_eq!(
            (found(&cluster, "alice"), found(&cluster, "analyst")),
            (ALICE.map(str::to_owned).into(), vec!["work_mem=64MB".to_owned()]),
            "{by_hand}"
        );
        rolewright.plan_json().is_empty();
    }

    // Said in other words it is the same; and what is said of the spec is no drift.
    manifests
        .users(&DECLARED.replace("'\"$user\", App, public'", "[$user, app, public]").replace("WORK_MEM", "sort_mem"));
    rolewright.plan_json().is_empty();
    manifests.users(&DECLARED.replace("30s", "31s"));
    assert_eq!(rolewright.plan_json().causes(), ["spec"]);
}

#[test]
fn settings_of_whom_nobody_says_anything_are_left_alone_and_what_is_withdrawn_goes() {
    let (cluster, manifests) = world();
    cluster.sql("CREATE ROLE alice LOGIN; ALTER ROLE alice SET work_mem = '5MB'; ALTER ROLE alice SET role = 'alice'");
    cluster.sql("ALTER ROLE alice IN DATABASE shop SET jit = off");
    let by_hand = ["role=alice", "shop jit=off", "work_mem=5MB"];
    manifests.users(&user("database: shop"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    for _ in 0..2 {
        rolewright.apply().succeeds();
        assert_eq!(found(&cluster, "alice"), by_hand);
        rolewright.plan_json().is_empty();
    }

    // Whoever declares one has no other.
    manifests.users(&user("settings: {statement_timeout: 1min}, database_settings: {shop: {lock_timeout: 1s}}"));
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ["shop lock_timeout=1s", "statement_timeout=1min"]);
    rolewright.plan_json().is_empty();

    // What was declared goes with the declaration; from then on it is nobody's business again.
    manifests.users(&user("settings: {statement_timeout: 1min}"));
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ["statement_timeout=1min"]);
    cluster.sql("ALTER ROLE alice SET jit = on");
    manifests.users(&user("comment: c"));
    let plan = rolewright.plan_json();
    plan.step("reset-setting", "alice");
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ["jit=on"]);
    rolewright.plan_json().is_empty();
    cluster.sql("ALTER ROLE alice SET statement_timeout = '2min'");
    rolewright.plan_json().is_empty();

    // To say that there are none is to say something.
    manifests.users(&user("settings: {}"));
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), [""; 0]);
    cluster.sql("ALTER ROLE alice SET jit = off");
    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), [""; 0]);
}

#[test]
fn a_value_of_any_kind_is_a_value_and_nothing_else() {
    let (cluster, manifests) = world();
    let values = [
        "",
        "it's",
        "'; DROP ROLE alice; --",
        "back\\slash \\' \\\\",
        "two\nlines\r\n\t",
        "ünï 🐘 \u{202e}",
        "a, \"b\"",
        "x=y=z",
        "$1 $$ $q$",
        "DEFAULT",
        "{a,b}",
        "NULL",
        &"long ".repeat(2_000),
    ];
    let settings: serde_json::Map<_, _> =
        values.iter().enumerate().map(|(number, value)| (format!("app.v{number}"), json!(value))).collect();
    // As elements of a list, too; one of them is a name of PostgreSQL's grammar in some versions only.
    let path: Vec<&str> =
        values[..12].iter().copied().chain(["json_table", "merge_action", "select", "public"]).collect();
    let spec = json!({ "users": [{ "username": "alice", "settings": settings,
                       "database_settings": { "it's \"odd\"": { "search_path": path, "app.x": "it's" } } }] });
    manifests.users_exactly(&spec.to_string()).secret("alice", "settings-alice-2");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    for (number, value) in values.iter().enumerate() {
        assert_eq!(shown(&cluster, "alice", "settings-alice-2", "shop", &format!("app.v{number}")), *value);
    }
    let mut client = cluster.login("alice", "settings-alice-2", "it's \"odd\"");
    // The server reads its own text back: an identifier is cut at 63 bytes, and none of these is longer.
    let mut row = client.query_one("SELECT current_setting('search_path'), current_setting('app.x')", &[]).unwrap();
    assert_eq!(row.get::<_, &str>(1), "it's");
    for name in ["two\nlines\r\n\t", "a, \"b\"", "'; DROP ROLE alice; --", "My", "json_table"] {
        let quoted = name.replace('"', "\"\"");
        let _ = cluster.try_sql("it's \"odd\"", &format!("CREATE SCHEMA \"{quoted}\" AUTHORIZATION alice"));
        row = client.query_one("SELECT $1 = ANY (current_schemas(false)::text[])", &[&name]).unwrap();
        assert_eq!(row.get::<_, bool>(0), name != "My", "{name}");
    }
    rolewright.plan_json().is_empty();
    cluster.sql("ALTER ROLE alice SET app.v1 = 'it''s '");
    rolewright.apply().succeeds();
    assert_eq!(shown(&cluster, "alice", "settings-alice-2", "shop", "app.v1"), "it's");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_name_that_is_none_is_refused_with_its_place_and_nothing_is_changed() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    for name in ["work_mem = '1MB'; DROP ROLE postgres; --", "a b", "é", "a..b", "\\\"", "work-mem", ""] {
        manifests.users(&user(&format!("settings: {{\"{name}\": 1}}")));
        rolewright.apply().exits_with(1).says("invalid-setting");
        assert!(!cluster.has_role("alice"), "{name}");
    }
    manifests.users(&user("settings: {search_path: 'a b'}"));
    rolewright.apply().exits_with(1).says("invalid-setting").says("comma");
    manifests.users(&user("database_settings: {nowhere: {work_mem: 1MB}}"));
    rolewright.apply().exits_with(1).says("nowhere").says("alice");
    assert!(!cluster.has_role("alice"));
}

#[test]
fn what_only_the_server_knows_to_be_wrong_concerns_that_user_only() {
    let (cluster, manifests) = world();
    for (setting, told) in [
        ("no_such_parameter: 1", "no parameter of that name"),
        ("work_mem: plenty", "does not take this value"),
        ("work_mem: [1, 2]", ""),
        ("max_connections: 5", "whole server"),
        ("search_path: [a], statement_timeout: -5", "does not take this value"),
    ] {
        manifests.users(&format!(
            "users:\n  - {{username: alice, password: none, settings: {{jit: off, {setting}}}}}\n  \
             - {{username: bob, password: none, settings: {{jit: off}}}}\n"
        ));
        let rolewright = Rolewright::new(&cluster, &manifests);
        let output = rolewright.apply();
        output.exits_with(1);
        if told.is_empty() {
            // Numbers are no text.
            output.says("unquoted-name");
            continue;
        }
        output.says("alice").says(told).says("users.yaml");
        assert!(!cluster.has_role("alice"), "{setting}: alice is half done");
        assert_eq!(found(&cluster, "bob"), ["jit=off"]);
        let parameter = setting.rsplit(", ").next().unwrap().split(':').next().unwrap();
        output.says(parameter);
        rolewright.command(&["plan", "--rehearse"]).exits_with(1).says(parameter);
    }
}

#[test]
fn what_lets_a_role_run_code_or_act_as_another_has_to_be_allowed_by_name() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    let cases = [
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("session_preload_libraries", "auto_explain"),
        ("Local_Preload_Libraries", "x"),
        ("dynamic_library_path", "/tmp"),
        ("session_replication_role", "replica"),
        ("plperl.on_plperl_init", "system"),
        ("lo_compat_privileges", "on"),
    ];
    for (name, value) in cases {
        for place in ["settings: {X}", "database_settings: {shop: {X}}"] {
            manifests.users(&user(&place.replace('X', &format!("{name}: {value}"))));
            let refused = rolewright.apply();
            refused.exits_with(3).says("power-raised").says(&name.to_lowercase()).says("ALLOWED_POWERS");
            assert!(!cluster.has_role("alice"), "{name}");
        }
    }
    manifests.users(&user("settings: {session_preload_libraries: auto_explain, row_security: off}"));
    let allowing = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", "Session_Preload_Libraries");
    allowing.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ["row_security=off", "session_preload_libraries=auto_explain"]);
    allowing.plan_json().is_empty();
    rolewright.env("ALLOWED_POWERS", "work_mem").apply().exits_with(1).says("session_replication_role");
}

#[test]
fn a_policy_may_add_settings_within_the_same_bounds() {
    let (cluster, manifests) = world();
    manifests.users(&user("settings: {jit: off}"));
    let module = guests::build("tests/guests/transformer");
    let chain = |name: &str, value: &str| {
        let settings = json!({ "parameter": { "name": name, "value": value } });
        json!({ "policies": [
            { "name": "adds", "module": module, "sha256": guests::sha256(&module), "settings": settings },
            { "name": "standard", "module": "builtin:standard" },
        ] })
        .to_string()
    };
    let with = |name: &str, value: &str| Rolewright::new(&cluster, &manifests).policies(&chain(name, value));
    with("session_preload_libraries", "x").apply().exits_with(3).says("power-raised");
    with("work_mem; --", "x").apply().exits_with(1).says("adds").says("work_mem; --");
    with("search_path", "\"x").apply().exits_with(1).says("adds").says("quote");
    assert!(!cluster.has_role("alice"));
    let honest = with("SEARCH_PATH", "a,B");
    honest.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ["jit=off", "search_path=a, b"]);
    honest.plan_json().is_empty();

    // What users.yaml says is known to the host, whatever a policy makes of the spec.
    cluster.sql("ALTER ROLE alice SET work_mem = '1MB'");
    manifests.users(&user("settings: {}"));
    honest.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), ["search_path=a, b"]);
}

#[test]
fn a_controller_that_is_no_superuser_sets_what_it_may_and_is_told_what_it_may_not() {
    let (cluster, manifests) = world();
    let password = "settings-controller";
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{password}'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    manifests.users(
        "users:\n  - {username: alice, password: none, settings: {work_mem: 1MB}, database_settings: {shop: {jit: off}}}\n  \
         - {username: bob, password: none, settings: {log_statement: all}}\n",
    );
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", password);
    let output = rolewright.apply();
    output.exits_with(1).says("bob").says("log_statement").mentions("only a superuser may set this parameter");
    assert_eq!(found(&cluster, "alice"), ["shop jit=off", "work_mem=1MB"]);
    assert!(!cluster.has_role("bob"));
    if session::postgres_major() >= 15 {
        output.says("GRANT SET ON PARAMETER");
        cluster.sql("GRANT SET ON PARAMETER log_statement TO controller");
        rolewright.apply().succeeds();
        assert_eq!(found(&cluster, "bob"), ["log_statement=all"]);
        rolewright.plan_json().is_empty();
    }
}
