//! Row-level security that is declared: which rows roles really see, whoever changes what by hand, and what is refused.

use postgres::NoTls;
use rolewright_tests::{Cluster, Manifests, Rolewright};

/// Two tenants, each with rows of its own.
const SHOP: &str = "CREATE SCHEMA app;
    CREATE TABLE app.orders (id int, tenant text);
    INSERT INTO app.orders VALUES (1, 'blue'), (2, 'blue'), (3, 'red');
    CREATE TABLE app.other (id int); INSERT INTO app.other VALUES (1)";

const USERS: &str = "users:
  - {username: blue, password: none, roles: [tenants]}
  - {username: red, password: none, roles: [tenants]}
roles:
  - name: tenants
    databases: [shop]
    grants:
      - {database: shop, schema: app, profile: read_write}
";

const ORDERS: &str = "databases:
  - name: shop
    row_security:
      - schema: app
        table: orders
        policies:
          - {name: own_rows, to: [tenants], using: tenant = current_user}
          - {name: not_deleted, command: delete, permissive: false, to: [public], using: 'id > 1'}
";

fn shop() -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("CREATE DATABASE shop");
    cluster.sql_in("shop", SHOP);
    cluster
}

fn with(databases: &str) -> Manifests {
    let manifests = Manifests::new();
    manifests.users(&format!("{USERS}{databases}"));
    manifests
}

fn operator<'a>(cluster: &'a Cluster, manifests: &Manifests) -> Rolewright<'a> {
    Rolewright::new(cluster, manifests).env("ALLOWED_POWERS", "row_security")
}

/// The rows of a table that a role sees.
fn seen(cluster: &Cluster, role: &str, table: &str) -> String {
    let rows = cluster.sql_in("shop", &format!("SET ROLE \"{role}\"; SELECT id FROM app.\"{table}\" ORDER BY id"));
    rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>().join(" ")
}

/// What PostgreSQL has of row-level security, table by table and policy by policy.
fn state(cluster: &Cluster) -> Vec<String> {
    let rows = cluster.sql_in(
        "shop",
        "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, coalesce((
                  SELECT string_agg(concat_ws(' ', policyname, permissive, roles, cmd, qual, with_check), '; ' ORDER BY policyname)
                    FROM pg_policies AS p WHERE p.schemaname = 'app' AND p.tablename = c.relname), '-')
           FROM pg_class AS c WHERE relnamespace = 'app'::regnamespace AND relkind = 'r' ORDER BY 1",
    );
    rows.into_iter().map(|row| row.join(" ")).collect()
}

#[test]
fn each_role_sees_its_own_rows_once_it_is_declared_and_all_of_them_before() {
    let (cluster, manifests) = (shop(), with(""));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2 3");
    manifests.users(&format!("{USERS}{ORDERS}"));
    rolewright
        .plan()
        .succeeds()
        .mentions("policy own_rows on app.orders for ALL to tenants using (tenant = current_user)")
        .mentions("[disruptive]")
        .mentions("row-level security of app.orders");
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2 3", "a rehearsal leaves nothing behind");
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2");
    assert_eq!(seen(&cluster, "red", "orders"), "3");
    assert_eq!(seen(&cluster, "blue", "other"), "1", "nobody speaks of that");
    let write = "SET ROLE blue; INSERT INTO app.orders VALUES (4, 'red')";
    assert!(cluster.try_sql("shop", write).is_err(), "using stands for check, too");
    let deleted = cluster.sql_in("shop", "SET ROLE blue; DELETE FROM app.orders RETURNING id");
    assert_eq!(deleted, [["2"]], "one policy keeps rows back that the other lets through");
    rolewright.plan_json().is_empty();
    // A full look finds nothing either.
    rolewright.command(&["plan", "--format", "json"]).succeeds();
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
}

#[test]
fn what_somebody_changes_by_hand_is_drift_and_is_put_right() {
    let forced = ORDERS.replace("        policies:", "        forced: true\n        policies:");
    let (cluster, manifests) = (shop(), with(&forced));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = state(&cluster);
    assert!(before[0].starts_with("orders t t not_deleted RESTRICTIVE"), "{before:?}");
    for change in [
        "ALTER TABLE app.orders DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE app.orders NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY own_rows ON app.orders",
        "ALTER POLICY own_rows ON app.orders USING (true)",
        "ALTER POLICY own_rows ON app.orders WITH CHECK (true)",
        "ALTER POLICY own_rows ON app.orders TO PUBLIC",
        "ALTER POLICY own_rows ON app.orders RENAME TO theirs",
        "CREATE POLICY all_rows ON app.orders USING (true)",
        "DROP POLICY not_deleted ON app.orders;
         CREATE POLICY not_deleted ON app.orders AS PERMISSIVE FOR DELETE USING (id > 1)",
    ] {
        rolewright.apply().succeeds();
        rolewright.plan_json().is_empty();
        cluster.sql_in("shop", change);
        assert_ne!(state(&cluster), before, "{change}");
        let plan = rolewright.plan_json();
        assert!(!plan.steps().is_empty(), "{change}");
        assert!(plan.causes().iter().all(|cause| cause == "drift"), "{change}: {:?}", plan.causes());
        rolewright.apply().succeeds();
        assert_eq!(state(&cluster), before, "{change}");
        assert_eq!(seen(&cluster, "red", "orders"), "3", "{change}");
    }
}

#[test]
fn what_users_yaml_says_anew_is_changed_and_what_it_leaves_out_stays() {
    let (cluster, manifests) = (shop(), with(ORDERS));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    let say = |entry: &str, policies: &str| {
        let entry = format!("{{schema: app, table: orders{entry}{policies}}}");
        let databases = format!("databases: [{{name: shop, row_security: [{entry}]}}]\n");
        manifests.users(&format!("{USERS}{databases}"));
        rolewright.apply().succeeds();
        rolewright.plan_json().is_empty();
        state(&cluster)[0].clone()
    };
    assert_eq!(
        say("", ", policies: [{name: own_rows, to: [tenants], using: 'id = 1', check: 'id > 0'}]"),
        "orders t f own_rows PERMISSIVE {tenants} ALL (id = 1) (id > 0)"
    );
    assert_eq!(seen(&cluster, "red", "orders"), "1");
    // ALTER POLICY can take neither expression away.
    assert_eq!(
        say(", forced: true", ", policies: [{name: own_rows, to: [tenants, red], check: 'id > 0'}]"),
        "orders t t own_rows PERMISSIVE {red,tenants} ALL (id > 0)"
    );
    assert_eq!(
        say("", ", policies: [{name: own_rows, command: select, permissive: false, using: true}]"),
        "orders t t own_rows RESTRICTIVE {public} SELECT true"
    );
    assert_eq!(seen(&cluster, "red", "orders"), "", "nothing lets a row through");
    assert_eq!(say(", enabled: false", ""), "orders f t own_rows RESTRICTIVE {public} SELECT true");
    assert_eq!(seen(&cluster, "red", "orders"), "1 2 3");
    assert_eq!(say(", forced: false", ", policies: []"), "orders t f -");
    assert_eq!(seen(&cluster, "red", "orders"), "", "without a policy there is no row");
    // Declared no more, it stays as it is.
    manifests.users(USERS);
    cluster.sql_in("shop", "CREATE POLICY all_rows ON app.orders USING (true)");
    rolewright.apply().succeeds();
    assert!(state(&cluster)[0].contains("all_rows"));
}

#[test]
fn a_policy_that_was_there_before_is_set_once_and_then_known() {
    let (cluster, manifests) = (shop(), with(ORDERS));
    cluster.sql_in(
        "shop",
        "CREATE ROLE tenants; CREATE POLICY own_rows ON app.orders TO tenants USING (tenant = CURRENT_USER);
         ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY",
    );
    let rolewright = operator(&cluster, &manifests);
    let plan = rolewright.plan_json();
    let actions: Vec<String> = plan.steps().iter().map(|step| step["action"].as_str().unwrap().to_owned()).collect();
    assert!(actions.contains(&"alter-policy".to_owned()), "{actions:?}");
    assert!(!actions.contains(&"enable-row-security".to_owned()), "{actions:?}");
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    // What the ledger knows of a policy is what it knows of this one.
    cluster.sql_in("shop", "ALTER POLICY own_rows ON app.orders USING (true)");
    assert_eq!(rolewright.plan_json().steps()[0]["action"], "alter-policy");
}

#[test]
fn without_the_operators_word_the_table_is_left_and_nobody_is_let_at_it() {
    let (cluster, manifests) = (shop(), with(ORDERS));
    let rolewright = Rolewright::new(&cluster, &manifests);
    let may_read = "SELECT has_table_privilege('blue', 'app.orders', 'SELECT')";
    for entry in ["forced: true", "policies: []", "policies: [{name: p, using: true}]"] {
        let databases =
            format!("databases: [{{name: shop, row_security: [{{schema: app, table: orders, {entry}}}]}}]\n");
        manifests.users(&format!("{USERS}{databases}"));
        rolewright.apply().exits_with(1).mentions("ROW_SECURITY").mentions("ALLOWED_POWERS");
        assert_eq!(state(&cluster)[0], "orders f f -", "{entry}");
        assert_eq!(cluster.sql_in("shop", may_read), [["f"]], "{entry}");
    }
    assert!(cluster.has_role("blue"), "all others are served");
    manifests.users(&format!("{USERS}{ORDERS}"));
    operator(&cluster, &manifests).apply().succeeds();
    assert_eq!(cluster.sql_in("shop", may_read), [["t"]]);
}

#[test]
fn the_owner_of_a_table_cannot_hold_up_what_is_taken_from_him() {
    let none =
        "databases: [{name: shop, row_security: [{schema: app, table: orders, enabled: false, policies: []}]}]\n";
    let owner = "  - {username: owner, password: none}\nroles:";
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&format!("{}{none}", USERS.replace("roles:\n  - name", &format!("{owner}\n  - name"))));
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    cluster.sql_in(
        "shop",
        "ALTER TABLE app.orders OWNER TO owner; GRANT USAGE ON SCHEMA app TO owner; SET ROLE owner; CREATE POLICY p ON app.orders USING (true)",
    );
    manifests.users(&format!("{USERS}{none}"));
    rolewright.apply().exits_with(1).mentions("power-missing").mentions("drop-policy");
    assert!(!cluster.has_role("owner"));
    assert_eq!(state(&cluster)[0], "orders f f p PERMISSIVE {public} ALL true");
}

#[test]
fn a_table_that_somebody_keeps_busy_holds_up_nobody_but_those_who_are_to_get_at_it() {
    let reader = |name: &str, table: &str| {
        format!(
            "  - {{username: {name}, password: none, grants: [{{database: shop, schema: app, privileges: [USAGE]}}, \
             {{database: shop, schema: app, tables: [{table}], privileges: [SELECT]}}]}}\n"
        )
    };
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&format!("users:\n{}", reader("guest", "orders")));
    let rolewright = operator(&cluster, &manifests).env("MAX_DELETIONS", "100%").env("LOCK_TIMEOUT", "1");
    rolewright.apply().succeeds();
    let mut busy = cluster.config("shop").user("guest").connect(NoTls).unwrap();
    busy.batch_execute("BEGIN; SELECT * FROM app.orders").unwrap();
    let users = USERS.replace("users:\n", &format!("users:\n{}", reader("other", "other")));
    manifests.users(&format!("{users}{ORDERS}"));
    rolewright
        .apply()
        .exits_with(1)
        .mentions("\"orders\" of database")
        .mentions("lock timeout")
        .mentions("might see other rows");
    assert_eq!(seen(&cluster, "other", "other"), "1");
    assert_eq!(cluster.sql_in("shop", "SELECT has_table_privilege('blue', 'app.orders', 'SELECT')"), [["f"]]);
    assert!(!cluster.has_role("guest"), "who keeps it busy is removed all the same");
    assert!(busy.batch_execute("SELECT 1").is_err(), "its session was ended");
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2");
    rolewright.plan_json().is_empty();
}

#[test]
fn everybody_waits_for_a_table_too_where_a_schema_is_made_at_the_same_time() {
    let with_public = ORDERS.replace(
        "    row_security:",
        "    schemas: [{name: app, public: {tables: [SELECT]}}, {name: fresh}]\n    row_security:",
    );
    let (cluster, manifests) = (shop(), with(&with_public.replace("tenant = current_user", "no_such_column = 1")));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("no_such_column").mentions("might see other rows than it should");
    let may_read = "SELECT has_table_privilege('public', 'app.orders', 'SELECT')";
    assert_eq!(cluster.sql_in("shop", may_read), [["f"]]);
    manifests.users(&format!("{USERS}{with_public}"));
    rolewright.apply().succeeds();
    assert_eq!(cluster.sql_in("shop", may_read), [["t"]]);
    assert_eq!(cluster.sql_in("shop", "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'fresh'"), [["1"]]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_table_is_secured_for_those_who_are_there_when_somebody_is_missing() {
    let missing = "external: [stranger]
users:
  - {username: late, secret: {name: not-there}}
";
    let policies = ORDERS.replace("to: [tenants]", "to: [tenants, stranger]");
    let (cluster, manifests) = (shop(), Manifests::new());
    let with_late = policies.replace("stranger", "stranger, late");
    manifests.users(&format!("{}{with_late}", USERS.replace("users:\n", missing)));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("role-missing").mentions("stranger").mentions("not for \"late\"");
    assert!(state(&cluster)[0].contains("own_rows PERMISSIVE {tenants}"), "{:?}", state(&cluster));
    assert_eq!((seen(&cluster, "blue", "orders"), seen(&cluster, "red", "orders")), ("1 2".into(), "3".into()));
    cluster.sql("CREATE ROLE stranger");
    manifests.users(&format!("{}{policies}", USERS.replace("users:\n", "external: [stranger]\nusers:\n")));
    rolewright.apply().succeeds();
    assert!(state(&cluster)[0].contains("own_rows PERMISSIVE {stranger,tenants}"), "{:?}", state(&cluster));
    rolewright.plan_json().is_empty();
}

#[test]
fn an_expression_cannot_leave_its_place() {
    let (cluster, manifests) = (shop(), with(ORDERS));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = state(&cluster);
    for hostile in [
        "true) TO public WITH CHECK (true",
        "true --",
        "true; DROP TABLE app.other",
        "tenant = E'\\\\') ; DROP TABLE app.other; --'",
        "$$a$$ = $$b$$",
        "true /*",
        "tenant = \u{202e}current_user",
    ] {
        let hostile = serde_json::to_string(hostile).unwrap();
        manifests.users(&format!("{USERS}{}", ORDERS.replace("tenant = current_user", &hostile)));
        rolewright.apply().exits_with(1).mentions("unsafe-expression");
        assert_eq!(state(&cluster), before, "{hostile}");
    }
    // Text that is not SQL is refused by the server, and by a rehearsal before that.
    for wrong in ["SELECT true", "tenant =", "no_such_column = 1", "id", "a, b", "true WITH CHECK true"] {
        manifests.users(&format!("{USERS}{}", ORDERS.replace("tenant = current_user", &format!("'{wrong}'"))));
        rolewright.command(&["plan", "--rehearse"]).exits_with(1).mentions("would not accept");
        rolewright.apply().exits_with(1).mentions("app");
        assert_eq!(state(&cluster), before, "{wrong}");
    }
}

#[test]
fn who_is_to_get_at_a_table_waits_until_its_rows_are_secured() {
    let wrong = ORDERS.replace("tenant = current_user", "no_such_column = 1");
    let (cluster, manifests) = (shop(), with(&wrong));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("no_such_column").mentions("might see other rows than it should");
    assert_eq!(cluster.sql_in("shop", "SELECT has_table_privilege('blue', 'app.orders', 'SELECT')"), [["f"]]);
    manifests.users(&format!("{USERS}{ORDERS}"));
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_script_for_psql_does_the_same() {
    let (cluster, manifests) = (shop(), with(ORDERS));
    let rolewright = operator(&cluster, &manifests);
    let script = rolewright.command(&["plan", "--format", "sql"]);
    let script = script.succeeds().stdout.clone();
    let ran = cluster.psql("postgres", &script);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2");
    let by_hand = state(&cluster);
    rolewright.apply().succeeds();
    assert_eq!(state(&cluster), by_hand);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_reviewer_sees_what_is_done_and_can_keep_it_back() {
    let (cluster, manifests) = (shop(), with(""));
    let chain = "policies:
  - {name: standard, module: 'builtin:standard'}
  - name: change-window
    module: builtin:change-window
    settings: {from-risk: disruptive, freezes: [{from: '2000-01-01', to: '9999-12-31', reason: always}]}
";
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    let frozen = operator(&cluster, &manifests).policies(chain);
    manifests.users(&format!("{USERS}{ORDERS}"));
    frozen.apply().exits_with(3).mentions("change-window").mentions("always");
    assert_eq!(state(&cluster)[0], "orders f f -");
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "blue", "orders"), "1 2");
}

#[test]
fn hostile_names_are_names() {
    let cluster = shop();
    let (schema, table) = ("a.b\"; --", "or'd\"ers) --");
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    cluster.sql_in("shop", &format!("CREATE SCHEMA {0}; CREATE TABLE {0}.{1} (id int)", quoted(schema), quoted(table)));
    let text = |name: &str| serde_json::to_string(name).unwrap();
    let manifests = Manifests::new();
    manifests.users(&format!(
        "users: []\ndatabases: [{{name: shop, row_security: [{{schema: {}, table: {}, policies: [{{name: {}, to: [{}], using: \
         'id > 0 AND '';--'' <> ''a''''b'''}}]}}]}}]\n",
        text(schema),
        text(table),
        text("p\" ON x; --"),
        text("Pu\"blic; --")
    ));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    let found = cluster.sql_in(
        "shop",
        "SELECT polname, polroles::regrole[]::text, relname, nspname FROM pg_policy
           JOIN pg_class AS c ON c.oid = polrelid JOIN pg_namespace AS n ON n.oid = relnamespace",
    );
    assert_eq!(found.len(), 1);
    assert_eq!((found[0][0].as_str(), found[0][2].as_str(), found[0][3].as_str()), ("p\" ON x; --", table, schema));
    assert!(cluster.has_role("Pu\"blic; --"));
    rolewright.plan_json().is_empty();
}

#[test]
fn a_table_that_comes_later_is_secured_then_and_a_view_cannot_be() {
    let later = ORDERS.replace("table: orders", "table: later").replace("id > 1", "true");
    let (cluster, manifests) = (shop(), with(&later));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds().mentions("table-missing");
    cluster.sql_in("shop", "CREATE TABLE app.later AS SELECT * FROM app.orders");
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "red", "later"), "3");
    rolewright.plan_json().is_empty();
    cluster.sql_in("shop", "CREATE VIEW app.list AS SELECT * FROM app.orders");
    manifests.users(&format!("{USERS}{}", ORDERS.replace("table: orders", "table: list")));
    rolewright.apply().exits_with(1).mentions("it is a view, which can have none");
    assert!(state(&cluster).iter().any(|line| line.starts_with("later t f ")), "declared no more, it stays");
}

#[test]
fn a_partitioned_table_has_policies_of_its_own() {
    let cluster = shop();
    cluster.sql_in(
        "shop",
        "CREATE TABLE app.events (id int, tenant text) PARTITION BY LIST (tenant);
         CREATE TABLE app.events_red PARTITION OF app.events FOR VALUES IN ('red');
         INSERT INTO app.events VALUES (1, 'red')",
    );
    let manifests = with(&ORDERS.replace("table: orders", "table: events").replace("tenant = current_user", "false"));
    let rolewright = operator(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(seen(&cluster, "red", "events"), "");
    assert_eq!(seen(&cluster, "red", "events_red"), "1", "whoever may read a partition is not kept from it");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_role_that_goes_is_taken_out_of_the_policies_first() {
    let named = ORDERS.replace("to: [tenants]", "to: [tenants, guest]");
    let guest = "  - {username: guest, password: none}\nroles:";
    let users = USERS.replace("roles:\n  - name", &format!("{guest}\n  - name"));
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&format!("{users}{named}"));
    let rolewright = operator(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    assert!(state(&cluster)[0].contains("guest"), "{:?}", state(&cluster));
    // Of another table nobody speaks: there the server takes the role out, and the policy with it that is for nobody else.
    cluster.sql_in("shop", "CREATE POLICY p ON app.other TO guest USING (true)");
    manifests.users(&format!("{USERS}{ORDERS}"));
    rolewright.plan().succeeds().mentions("drop the role").mentions("2 policies in database shop for rows");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("guest"));
    assert!(state(&cluster)[0].contains("{tenants}"), "{:?}", state(&cluster));
    assert_eq!(state(&cluster)[1], "other f f -");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_controller_that_does_not_own_the_table_is_told_so_and_serves_the_rest() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql_in(
        "shop",
        "CREATE ROLE owner; CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'row-security-controller';
         GRANT CREATE ON DATABASE postgres TO controller;
         CREATE ROLE mine; GRANT mine TO controller;
         ALTER TABLE app.orders OWNER TO owner; ALTER TABLE app.other OWNER TO mine; GRANT USAGE ON SCHEMA app TO controller",
    );
    manifests.users(
        "users: [{username: alice, password: none}]
databases:
  - name: shop
    row_security:
      - {schema: app, table: orders}
      - {schema: app, table: other, policies: [{name: p, using: 'id > 5'}]}
",
    );
    let rolewright = operator(&cluster, &manifests)
        .connect_as("controller", "row-security-controller")
        .env("REASSIGN_OWNED_TO", "controller");
    rolewright.apply().exits_with(1).mentions("missing-right").mentions("it belongs to \"owner\"");
    assert!(cluster.has_role("alice"));
    assert_eq!(state(&cluster)[0], "orders f f -");
    assert!(state(&cluster)[1].starts_with("other t f p PERMISSIVE"));
    cluster.sql("GRANT owner TO controller");
    rolewright.apply().succeeds();
    assert_eq!(state(&cluster)[0], "orders t f -");
    rolewright.plan_json().is_empty();
}

#[test]
fn what_is_only_observed_is_told_and_left_alone() {
    let (cluster, manifests) = (shop(), Manifests::new());
    manifests.users(&format!("mode: observe\n{USERS}{ORDERS}"));
    operator(&cluster, &manifests).apply().succeeds().mentions("only observed").mentions("enable-row-security");
    assert_eq!(state(&cluster)[0], "orders f f -");
}
