//! What the controller has no right to is known before the first statement, and told with what would mend it. Whether
//! that is so is asked of the server itself: each step's SQL is run under the controller's role, one by one.

use std::collections::BTreeSet;

use postgres::{Client, SimpleQueryMessage};
use rolewright_tests::rolewright::Plan;
use rolewright_tests::snapshot::identifier;
use rolewright_tests::{Cluster, Manifests, Rolewright, session};

const PASSWORD: &str = "least-rights-controller";
const POWERS: &str = "superuser,createrole,replication,bypassrls";

/// A wish for one role, of which the name is enough to tell what it is about.
struct Wish {
    role: &'static str,
    /// What is there before, made by a superuser.
    before: &'static str,
    /// What is declared of it, besides its name.
    declared: &'static str,
    /// What is true afterwards; empty: if nothing fails, all is well.
    holds: &'static str,
}

const fn wish(role: &'static str, before: &'static str, declared: &'static str, holds: &'static str) -> Wish {
    Wish { role, before, declared, holds }
}

/// Every kind of step that a right can be missing for.
const WISHES: [Wish; 29] = [
    wish("new", "", "", ""),
    wish("new_createdb", "", "createdb: true", ""),
    wish("new_createrole", "", "createrole: true", ""),
    wish("new_replication", "", "replication: true", ""),
    wish("new_bypassrls", "", "bypassrls: true", ""),
    wish("new_superuser", "", "superuser: true", ""),
    wish("new_in_crew", "", "roles: [crew]", ""),
    wish("new_in_pg_monitor", "", "roles: [pg_monitor]", ""),
    wish("new_in_bosses", "", "roles: [bosses]", ""),
    wish("new_admin", "", "roles: [{role: crew, admin: true}]", ""),
    wish(
        "new_in_shop",
        "",
        "databases: [shop], privileges: [CREATE]",
        "SELECT has_database_privilege('new_in_shop', 'shop', 'CONNECT') AND has_database_privilege('new_in_shop', 'shop', 'CREATE')",
    ),
    wish("new_logged", "", "settings: {log_statement: all}", ""),
    wish("new_quick", "", "settings: {work_mem: 1MB}", ""),
    wish("new_tenant", "", "settings: {app.tenant: blue}", ""),
    wish("old", "CREATE ROLE old LOGIN", "connection_limit: 3", ""),
    wish("we\"ird; user", "CREATE ROLE \"we\"\"ird; user\" LOGIN", "connection_limit: 3", ""),
    wish("tr\u{202e}ick", "CREATE ROLE \"tr\u{202e}ick\" LOGIN", "connection_limit: 3", ""),
    wish("old_comment", "CREATE ROLE old_comment LOGIN", "comment: hello", ""),
    wish("old_password", "CREATE ROLE old_password LOGIN PASSWORD 'least-rights-old'", "", ""),
    wish("old_in_crew", "CREATE ROLE old_in_crew LOGIN", "roles: [crew]", ""),
    wish(
        "old_leaves",
        "CREATE ROLE old_leaves LOGIN; GRANT crew TO old_leaves",
        "",
        "SELECT NOT pg_has_role('old_leaves', 'crew', 'MEMBER')",
    ),
    wish("old_createdb", "CREATE ROLE old_createdb LOGIN CREATEDB", "", ""),
    wish("old_bypassrls", "CREATE ROLE old_bypassrls LOGIN", "bypassrls: true", ""),
    wish("old_replication", "CREATE ROLE old_replication LOGIN REPLICATION", "", ""),
    wish("old_superuser", "CREATE ROLE old_superuser LOGIN SUPERUSER", "", ""),
    wish(
        "old_out_of_shop",
        "CREATE ROLE old_out_of_shop LOGIN; GRANT CONNECT ON DATABASE shop TO old_out_of_shop",
        "",
        "SELECT NOT has_database_privilege('old_out_of_shop', 'shop', 'CONNECT')",
    ),
    wish(
        "old_by_delegate",
        "CREATE ROLE old_by_delegate LOGIN; SET ROLE delegate; GRANT CONNECT ON DATABASE shop TO old_by_delegate; RESET ROLE",
        "",
        "SELECT NOT has_database_privilege('old_by_delegate', 'shop', 'CONNECT')",
    ),
    wish(
        "old_unlogged",
        "CREATE ROLE old_unlogged LOGIN; ALTER ROLE old_unlogged SET log_statement = 'all'",
        "settings: {}",
        "",
    ),
    wish(
        "old_reader",
        "CREATE ROLE old_reader LOGIN",
        "grants: [{database: shop, schema: sales, tables: [orders], privileges: [SELECT]}]",
        "SELECT has_table_privilege('old_reader', oid, 'SELECT') FROM pg_class WHERE relname = 'orders'",
    ),
];

/// A server on which all wishes are still to be fulfilled, with a controller like this.
fn world(attributes: &str, more: &str) -> (Cluster, Manifests) {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE app; CREATE ROLE delegate; CREATE ROLE crew; CREATE ROLE bosses SUPERUSER");
    cluster.sql("CREATE DATABASE shop OWNER app");
    cluster
        .sql("REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO delegate WITH GRANT OPTION");
    cluster.sql_in("shop", "CREATE SCHEMA sales AUTHORIZATION app; SET ROLE app; CREATE TABLE sales.orders ()");
    cluster.sql(&format!("CREATE ROLE controller LOGIN {attributes} PASSWORD '{PASSWORD}'"));
    // With which it sees what a superuser sees, so that their plans are the same; and has a ledger.
    cluster.sql("GRANT SELECT ON pg_authid TO controller; GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("GRANT CONNECT ON DATABASE shop TO controller");
    let mut declared = String::from("users:\n");
    for Wish { role, before, declared: keys, .. } in &WISHES {
        cluster.sql(before);
        let name = role.replace('"', "\\\"");
        let keys = if keys.is_empty() { String::new() } else { format!(", {keys}") };
        declared.push_str(&format!("  - {{username: \"{name}\", password: none{keys}}}\n"));
    }
    cluster.sql(more);
    let manifests = Manifests::new();
    manifests.users(&declared);
    (cluster, manifests)
}

fn controller<'a>(cluster: &'a Cluster, manifests: &Manifests) -> Rolewright<'a> {
    let rolewright = Rolewright::new(cluster, manifests).connect_as("controller", PASSWORD);
    rolewright.env("ALLOWED_POWERS", POWERS).env("MAX_DELETIONS", "10")
}

/// Users that are left out for want of a right, by the place that is named.
fn predicted(plan: &Plan) -> BTreeSet<&'static str> {
    let findings = plan.findings().iter().filter(|finding| finding["code"] == "missing-right");
    findings
        .map(|finding| {
            let number = finding["path"].as_str().unwrap().strip_prefix("/users/").unwrap().parse::<usize>().unwrap();
            assert!(
                finding["message"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("{:?} is left as it is", WISHES[number].role))
            );
            assert!(finding["line"].as_u64().unwrap() > 0);
            WISHES[number].role
        })
        .collect()
}

/// The statements that are said to mend it, by finding.
fn mends(plan: &Plan) -> Vec<Vec<String>> {
    let findings = plan.findings().iter().filter(|finding| finding["code"] == "missing-right");
    findings
        .map(|finding| {
            let help = finding["help"].as_str().unwrap();
            let (_, rest) = help.split_once("as a superuser, run: ").unwrap_or_else(|| panic!("{help}"));
            let (statements, _) = rest.rsplit_once("; or take it out").unwrap();
            // A name may hold a semicolon, and then it stands in quotes.
            let mut list = vec![String::new()];
            let mut quoted = false;
            for letter in statements.chars() {
                quoted ^= letter == '"';
                match letter {
                    ';' if !quoted => list.push(String::new()),
                    letter => list.last_mut().unwrap().push(letter),
                }
            }
            list
        })
        .collect()
}

fn is_true(client: &mut Client, query: &str) -> bool {
    let answer = client.simple_query(query).unwrap();
    answer.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
}

/// Runs all steps of each role under the controller, in the order of the plan, each role in a savepoint of its own; and
/// tells for whom that did not lead where it should. Nothing is left of it.
fn really_failing(cluster: &Cluster, plan: &Plan) -> BTreeSet<&'static str> {
    let mut failing = BTreeSet::new();
    let mut here = cluster.login("controller", PASSWORD, "postgres");
    let mut shop = cluster.login("controller", PASSWORD, "shop");
    for client in [&mut here, &mut shop] {
        client.batch_execute("BEGIN").unwrap();
    }
    for Wish { role, holds, .. } in &WISHES {
        let mut last = None;
        let mut failed = false;
        for step in plan.steps().iter().filter(|step| step["role"] == *role) {
            let is_inside = step["database"] == "shop";
            let client = if is_inside { &mut shop } else { &mut here };
            let savepoint = client.batch_execute("SAVEPOINT step");
            savepoint.unwrap();
            let sql = step["sql"].as_str().unwrap();
            if client.batch_execute(sql).is_err() {
                client.batch_execute("ROLLBACK TO step").unwrap();
                failed = true;
            }
            last = Some(is_inside);
        }
        let is_inside = last.unwrap_or_else(|| panic!("no step for {role} in {:#}", plan.0));
        let client = if is_inside { &mut shop } else { &mut here };
        if failed || (!holds.is_empty() && !is_true(client, holds)) {
            failing.insert(*role);
        }
    }
    failing
}

/// What is predicted fails, and what fails is predicted but for what is named; and what is said to mend it does.
fn agrees_with_the_server(attributes: &str, more: &str, missed: &[&str]) {
    let (cluster, manifests) = world(attributes, more);
    let everything = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", POWERS).env("MAX_DELETIONS", "10");
    let everything = everything.plan_json();
    assert!(predicted(&everything).is_empty(), "a superuser may do everything");
    let rolewright = controller(&cluster, &manifests);
    let plan = rolewright.plan_json();

    let (predicted_, really) = (predicted(&plan), really_failing(&cluster, &everything));
    let wrong: Vec<_> = predicted_.difference(&really).collect();
    assert!(wrong.is_empty(), "{attributes:?} is said not to be able to, and is: {wrong:?}");
    let late: Vec<_> = really.difference(&predicted_).copied().collect();
    assert_eq!(late, missed, "{attributes:?}: what is found only by trying, of {really:?}");
    let left: BTreeSet<_> = plan.steps().iter().filter_map(|step| step["role"].as_str()).collect();
    assert!(predicted_.iter().all(|role| !left.contains(role)), "of who is left out, no step is left: {left:?}");

    let before = cluster.roles();
    let applied = rolewright.apply();
    applied.exits_with(i32::from(!really.is_empty()));
    for Wish { role, .. } in WISHES.iter().filter(|wish| predicted_.contains(wish.role)) {
        applied.says(&format!("{role:?} is left as it is"));
        let of_it = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| line.split(' ').any(|word| word == *role)).cloned().collect()
        };
        assert_eq!(of_it(&before), of_it(&cluster.roles()), "{role} is half done");
    }

    // The least is given first. What only a superuser can do is left over.
    let of_superusers = |statements: &Vec<String>| statements.iter().any(|sql| sql.contains("controller SUPERUSER"));
    let (powerful, modest): (Vec<_>, Vec<_>) = mends(&plan).into_iter().partition(of_superusers);
    let count = |plan: &Plan| plan.findings().iter().filter(|finding| finding["code"] == "missing-right").count();
    for sql in modest.into_iter().flatten() {
        cluster.sql(&sql);
    }
    let plan = rolewright.plan_json();
    assert!(count(&plan) <= powerful.len() && mends(&plan).iter().all(of_superusers), "{:#}", plan.0["findings"]);
    rolewright.apply().exits_with(i32::from(!powerful.is_empty() || !missed.is_empty()));
    if !powerful.is_empty() || !missed.is_empty() {
        cluster.sql("ALTER ROLE controller SUPERUSER");
        rolewright.apply().succeeds();
    }
    rolewright.plan_json().is_empty();
}

/// That a placeholder stays one nobody can know; and what a role holds on objects is only read of those who are declared.
const LEFT_TO_THE_SERVER: [&str; 2] = ["new_tenant", "old_reader"];

#[test]
fn a_superuser_lacks_nothing() {
    agrees_with_the_server("SUPERUSER", "", &[]);
}

#[test]
fn with_createrole_only() {
    agrees_with_the_server("CREATEROLE", "", &LEFT_TO_THE_SERVER);
}

#[test]
fn with_createrole_and_createdb() {
    agrees_with_the_server("CREATEROLE CREATEDB", "", &LEFT_TO_THE_SERVER);
}

#[test]
fn with_createrole_and_admin_on_what_is_there() {
    agrees_with_the_server("CREATEROLE", &admin_on_all("controller"), &LEFT_TO_THE_SERVER);
}

#[test]
fn with_admin_through_a_role_that_it_is_a_member_of() {
    let team = format!("CREATE ROLE team; GRANT team TO controller; {}", admin_on_all("team"));
    agrees_with_the_server("CREATEROLE REPLICATION BYPASSRLS", &team, &LEFT_TO_THE_SERVER);
}

#[test]
fn with_the_owner_s_privileges_and_set_on_a_parameter() {
    let set = if session::postgres_major() >= 15 { "GRANT SET ON PARAMETER log_statement TO controller;" } else { "" };
    let more = format!("GRANT app, delegate TO controller; {set} {}", admin_on_all("controller"));
    agrees_with_the_server("CREATEROLE", &more, &["new_tenant"]);
}

#[test]
fn with_the_owner_s_privileges_only_by_set_role() {
    let more = format!("GRANT app, delegate TO controller; {}", admin_on_all("controller"));
    agrees_with_the_server("CREATEROLE NOINHERIT", &more, &LEFT_TO_THE_SERVER);
}

#[test]
fn with_no_right_at_all() {
    let missed: &[&str] = &["old_reader"];
    agrees_with_the_server("", "", missed);
}

#[test]
fn with_admin_and_no_createrole() {
    agrees_with_the_server("", &admin_on_all("controller"), &["old_reader"]);
}

/// ADMIN on all that is there but for superusers.
fn admin_on_all(to: &str) -> String {
    let names = WISHES.iter().filter(|wish| !wish.before.is_empty() && wish.role != "old_superuser");
    let names: Vec<String> = names.map(|wish| identifier(wish.role)).collect();
    format!("GRANT {}, crew, pg_monitor TO {to} WITH ADMIN OPTION", names.join(", "))
}

#[test]
fn the_plan_tells_it_in_every_format() {
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller; CREATE ROLE carol LOGIN SUPERUSER");
    cluster.sql("CREATE DATABASE shop");
    cluster.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC");
    let manifests = Manifests::new();
    manifests.users(
        "users:\n  - {username: alice, password: none}\n  - {username: bob, password: none, database: shop}\n  \
         - {username: carol, password: none}\n  - {username: \"d\\u202Eora\", password: none, database: shop}\n",
    );
    let rolewright = controller(&cluster, &manifests);
    let text = rolewright.plan().succeeds().stdout.replace(&format!("{}/", manifests.path().display()), "");
    let shown: String =
        text.lines().filter(|line| !line.starts_with("Digest: ")).map(|line| format!("{line}\n")).collect();
    let version = if session::postgres_major() >= 16 { "plan_since_16" } else { "plan_before_16" };
    insta::assert_snapshot!(version, shown);
    for format in ["json", "sql", "markdown"] {
        let output = rolewright.command(&["plan", "--format", format]);
        output.succeeds().says("ALTER ROLE carol NOSUPERUSER").says("configmap.yaml").says("may not grant CONNECT");
    }
    assert!(!cluster.has_role("alice"), "a plan changes nothing");
}

#[test]
fn who_cannot_be_locked_out_stays_as_it_is_and_is_not_forgotten() {
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    let manifests = Manifests::new();
    manifests.users("users:\n  - {username: alice, roles: [crew]}\n  - {username: bob, password: none}\n");
    manifests.secret("alice", "least-rights-alice");
    let rolewright = controller(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("ALTER ROLE alice SUPERUSER");

    manifests.users("users:\n  - {username: bob, password: none, connection_limit: 2}\n");
    let output = rolewright.apply();
    output
        .exits_with(1)
        .says("\"alice\" is no longer declared, and stays as it is")
        .says("ALTER ROLE alice NOSUPERUSER");
    cluster.login("alice", "least-rights-alice", "postgres");
    assert_eq!(cluster.memberships("alice"), ["crew"], "her group goes with her, not before");
    assert_eq!(cluster.attribute("bob", "rolconnlimit"), "2", "the others are served");
    assert!(rolewright.state().get("alice").is_some() || rolewright.state().to_string().contains("alice"));

    cluster.sql("ALTER ROLE alice NOSUPERUSER");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice") && !cluster.has_role("crew"));
    rolewright.plan_json().is_empty();
}

#[test]
fn a_removal_that_will_end_half_way_is_told_before_and_locks_out_all_the_same() {
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller; GRANT pg_signal_backend TO controller");
    let manifests = Manifests::new();
    manifests.users("users:\n  - {username: alice}\n  - {username: bob, password: none}\n");
    manifests.secret("alice", "least-rights-leaver");
    let rolewright = controller(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("CREATE TABLE hers (); ALTER TABLE hers OWNER TO alice");

    manifests.users("users:\n  - {username: bob, password: none}\n");
    let plan = rolewright.plan_json();
    let told: Vec<_> = plan.findings().iter().filter(|it| it["code"] == "removal-unfinished").collect();
    assert_eq!(told.len(), 1, "{:#}", plan.0);
    let inherit = if session::postgres_major() >= 16 { " WITH INHERIT TRUE" } else { "" };
    let mend = format!("GRANT alice TO controller{inherit}");
    assert!(told[0]["help"].as_str().unwrap().ends_with(&format!("run: {mend}")), "{:#}", plan.0);
    rolewright.apply().exits_with(1).says("alice");
    cluster.refuses_login("alice", "least-rights-leaver", "postgres", "28000");

    cluster.sql(&mend);
    let plan = rolewright.plan_json();
    assert!(plan.findings().iter().all(|it| it["code"] != "removal-unfinished"), "{:#}", plan.0);
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("alice"));
}

#[test]
fn who_needs_a_role_that_cannot_be_made_waits_with_it_and_what_has_ended_is_taken_all_the_same() {
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("CREATE DATABASE shop");
    cluster.sql("REVOKE ALL ON DATABASE shop FROM PUBLIC");
    let manifests = Manifests::new();
    manifests.users("users:\n  - {username: alice, password: none, roles: [crew]}\n");
    let rolewright = controller(&cluster, &manifests);
    rolewright.apply().succeeds();

    manifests.users(
        "users:\n  - {username: alice, password: none, connection_limit: 5, database: shop, \
         roles: [{role: crew, until: 2020-01-01T00:00:00Z}]}\n  \
         - {username: bob, password: none, roles: [keepers]}\n  - {username: carol, password: none}\n\
         roles:\n  - {name: keepers, superuser: true}\n",
    );
    let output = rolewright.apply();
    output.exits_with(1).says("\"keepers\" is left as it is").says("\"bob\" is left as it is");
    assert!(!cluster.has_role("keepers") && !cluster.has_role("bob"));
    assert!(cluster.has_role("carol"));
    assert!(cluster.memberships("alice").is_empty(), "what has ended is over");
    assert_eq!(cluster.attribute("alice", "rolconnlimit"), "-1", "and nothing else was begun");
}

#[test]
fn a_verifier_that_it_may_not_see_is_sent_once_and_again_when_the_secret_changes() {
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n  - {username: bob, superuser: true}\n");
    manifests.secret("alice", "least-rights-alice-1").secret("bob", "least-rights-bob-1");
    let rolewright = controller(&cluster, &manifests);
    // Somebody else is left out in each cycle, which must not make the controller forget.
    rolewright.apply().exits_with(1).says("\"bob\" is left as it is");
    let before = cluster.attribute("alice", "rolpassword");
    rolewright.apply().exits_with(1);
    assert_eq!(cluster.attribute("alice", "rolpassword"), before, "sent again although nothing has changed");
    manifests.secret("alice", "least-rights-alice-2");
    rolewright.apply().exits_with(1);
    cluster.login("alice", "least-rights-alice-2", "postgres");
    assert!(!cluster.has_role("bob"));
}

/// A controller that sees what a superuser sees.
fn modest<'a>(cluster: &'a Cluster, manifests: &Manifests) -> Rolewright<'a> {
    cluster.sql(&format!("CREATE ROLE controller LOGIN CREATEROLE PASSWORD '{PASSWORD}'"));
    cluster.sql("GRANT SELECT ON pg_authid TO controller; GRANT CREATE ON DATABASE postgres TO controller");
    controller(cluster, manifests)
}

/// What is missing, by path.
fn missing(plan: &Plan) -> Vec<&str> {
    let findings = plan.findings().iter().filter(|finding| finding["code"] == "missing-right");
    findings.map(|finding| finding["path"].as_str().unwrap()).collect()
}

/// Does what the plan says would mend it, until nothing is missing any more.
fn mend_all(cluster: &Cluster, rolewright: &Rolewright<'_>) {
    for _ in 0..6 {
        let plan = rolewright.plan_json();
        if missing(&plan).is_empty() {
            return;
        }
        for sql in mends(&plan).into_iter().flatten() {
            assert!(!sql.contains("controller SUPERUSER"), "{sql}");
            cluster.sql(&sql);
        }
    }
    panic!("something is missing for ever: {:#}", rolewright.plan_json().0["findings"]);
}

#[test]
fn databases_that_it_has_no_right_to_are_known_before_anything_is_done() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE app; CREATE ROLE crew");
    cluster.sql("CREATE DATABASE shop OWNER app");
    cluster.sql("CREATE DATABASE mine");
    manifests.users(
        "users:
  - {username: alice, password: none, databases: [fresh]}
  - {username: bob, password: none}
databases:
  - {name: fresh, public: [CONNECT]}
  - {name: shop, owner: crew, connection_limit: 7, comment: sells}
  - {name: mine, owner: crew}
  - {name: postgres, connection_limit: unlimited}
",
    );
    let rolewright = modest(&cluster, &manifests);
    cluster.sql("ALTER DATABASE mine OWNER TO controller");
    let plan = rolewright.plan_json();
    assert_eq!(missing(&plan), ["/databases/0", "/databases/1", "/databases/2"], "{:#}", plan.0["findings"]);
    assert_eq!(plan.actions(), ["create-role bob"]);
    let mut me = cluster.login("controller", PASSWORD, "postgres");
    for sql in [
        "CREATE DATABASE fresh",
        "ALTER DATABASE shop CONNECTION LIMIT 7",
        "COMMENT ON DATABASE shop IS 'sells'",
        "ALTER DATABASE mine OWNER TO crew",
    ] {
        assert!(me.batch_execute(sql).is_err(), "{sql}");
    }
    let said = rolewright.apply();
    said.exits_with(1).says("database \"fresh\" is not made").says("lacks CREATEDB").says("\"alice\" is left as it is");
    said.says("database \"shop\" keeps its owner").says("the privileges of its owner, \"app\"");
    assert!(cluster.has_role("bob") && !cluster.has_role("alice"));

    mend_all(&cluster, &rolewright);
    rolewright.apply().succeeds();
    let owners =
        "SELECT string_agg(datname || ' ' || pg_get_userbyid(datdba) || ' ' || datconnlimit, ', ' ORDER BY datname)
        FROM pg_database WHERE datname IN ('fresh', 'shop', 'mine')";
    assert_eq!(cluster.value(owners), "fresh controller -1, mine crew -1, shop crew 7");
    assert!(cluster.has_role("alice"));
    rolewright.plan_json().is_empty();
}

#[test]
fn renames_that_it_has_no_right_to_are_known_before_anything_is_done() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE old LOGIN; CREATE ROLE boss LOGIN SUPERUSER; CREATE ROLE copy LOGIN REPLICATION");
    manifests.users(
        "users:
  - {username: new, renamed_from: old, password: none}
  - {username: chief, renamed_from: boss, password: none}
  - {username: bob, password: none}
",
    );
    let rolewright = modest(&cluster, &manifests);
    let plan = rolewright.plan_json();
    let since_16 = session::postgres_major() >= 16;
    let expected: &[&str] = if since_16 { &["/users/0", "/users/1"] } else { &["/users/1"] };
    assert_eq!(missing(&plan), expected, "{:#}", plan.0["findings"]);
    let mut me = cluster.login("controller", PASSWORD, "postgres");
    assert!(me.batch_execute("ALTER ROLE boss RENAME TO chief").is_err());
    assert_eq!(me.batch_execute("BEGIN; ALTER ROLE old RENAME TO new").is_err(), since_16);
    me.batch_execute("ROLLBACK").unwrap();
    // Whoever has REPLICATION may be renamed, where it may not be altered.
    assert_eq!(me.batch_execute("BEGIN; ALTER ROLE copy RENAME TO other").is_err(), since_16);
    me.batch_execute("ROLLBACK").unwrap();
    let said = rolewright.apply();
    said.exits_with(1).says("\"chief\" is left as it is: it cannot be renamed from \"boss\": it is a superuser");
    assert!(cluster.has_role("boss") && !cluster.has_role("chief") && cluster.has_role("bob"));
    assert_eq!(cluster.has_role("old"), since_16);

    mend_all(&cluster, &rolewright);
    rolewright.apply().succeeds();
    assert!(["new", "chief", "bob"].iter().all(|name| cluster.has_role(name)));
    assert!(!cluster.has_role("boss") && !cluster.has_role("old"));
    rolewright.plan_json().is_empty();
}
