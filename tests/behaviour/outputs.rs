//! A plan in its forms: as text for people, as JSON for scripts, as SQL for psql, as markdown for a
//! review; and the exit codes.

use std::collections::BTreeSet;

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};
use serde_json::json;

const TEAM: &str = "users:
  - username: alice
    database: postgres
    roles: [read_only, analyst]
    privileges: null
  - username: bob
    roles: [read_only]
  - username: carol
    password: none
";

fn team() -> Manifests {
    let manifests = Manifests::new();
    manifests.users(TEAM).secret("alice", "outputs-alice").secret("bob", "outputs-bob");
    manifests
}

#[test]
fn json_has_every_field_that_scripts_rely_on() {
    let cluster = Cluster::start();
    let manifests = team();
    let plan = Rolewright::new(&cluster, &manifests).plan_json();

    assert!(plan.digest().len() >= 32, "{}", plan.digest());
    assert!(
        plan.0["summary"].as_object().is_some_and(|counts| counts.values().any(|count| count == 3)),
        "{:#}",
        plan.0
    );
    let mut actions = BTreeSet::new();
    for step in plan.steps() {
        for field in ["action", "role", "cause", "risk", "sql", "by"] {
            assert!(step[field].is_string(), "{field} of {step:#}");
        }
        assert_eq!(step["cause"], "spec");
        assert!(["safe", "disruptive", "destructive"].contains(&step["risk"].as_str().unwrap()), "{step:#}");
        actions.insert(step["action"].as_str().unwrap());
    }
    assert_eq!(actions, BTreeSet::from(["create-role", "grant-privilege"]));
    let sql = plan.step("create-role", "alice")["sql"].as_str().unwrap();
    assert!(sql.contains("user-alice-secret#password"), "where the password comes from is not said: {sql}");
}

#[test]
fn findings_have_severity_code_path_message_line_column_and_policy() {
    let cluster = Cluster::start();
    let manifests = team();
    manifests.remove_secret("bob");
    let output = Rolewright::new(&cluster, &manifests).command(&["plan", "--format", "json"]);
    let plan = output.json();
    let findings = plan["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["severity"] == "error").expect("bob has no Secret");
    assert!(finding["code"].is_string() && finding["message"].as_str().unwrap().contains("bob"), "{finding:#}");
    assert!(finding["path"].as_str().unwrap().starts_with("/users/1"), "{finding:#}");
    assert!(finding["line"].is_u64() && finding["column"].is_u64(), "{finding:#}");
    assert!(finding.get("policy").is_some(), "{finding:#}");
}

#[test]
fn text_reads_like_a_diff_grouped_by_user_and_ends_with_a_summary_of_one_line() {
    let cluster = Cluster::start();
    let manifests = team();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    let output = rolewright.plan();
    output.succeeds().says("+").says("alice").says("analyst");
    let last = output.lines().into_iter().rev().find(|line| !line.trim().is_empty()).unwrap().to_owned();
    assert!(last.contains('3') || last.contains('5'), "the last line counts nothing: {last}");
    assert!(!output.stdout.contains('\u{1b}'), "colours in a pipe");

    rolewright.apply().succeeds();
    manifests.users(&users(&[("alice", &["read_only", "board"])]));
    let output = rolewright.plan();
    output.succeeds();
    for mark in ["+", "~", "-"] {
        assert!(
            output.lines().iter().any(|line| line.trim_start().starts_with(mark)),
            "no {mark} in\n{}",
            output.stdout
        );
    }

    rolewright.apply().succeeds();
    let output = rolewright.plan();
    output.succeeds();
    assert!(output.lines().len() <= 2, "nothing to do takes one line:\n{}", output.stdout);
}

#[test]
fn colours_may_be_forced_and_forbidden() {
    let cluster = Cluster::start();
    let manifests = team();
    let rolewright = Rolewright::new(&cluster, &manifests);
    assert!(rolewright.command(&["plan", "--color", "always"]).stdout.contains('\u{1b}'));
    assert!(!rolewright.command(&["plan", "--color", "never"]).stdout.contains('\u{1b}'));
}

#[test]
fn the_exit_code_tells_whether_changes_are_pending_if_asked_for() {
    let cluster = Cluster::start();
    let manifests = team();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().exits_with(0);
    rolewright.command(&["plan", "--exit-code"]).exits_with(2);
    rolewright.apply().succeeds();
    rolewright.command(&["plan", "--exit-code"]).exits_with(0);
}

#[test]
fn sql_piped_into_psql_makes_the_same_roles() {
    let (one, twin) = (Cluster::start(), Cluster::start());
    let manifests = team();
    let rolewright = Rolewright::new(&one, &manifests);
    let sql = rolewright.command(&["plan", "--format", "sql"]);
    sql.succeeds();
    assert!(sql.stdout.contains("--"), "passwords are left as a comment");
    rolewright.apply().succeeds();

    let psql = twin.psql("postgres", &sql.stdout);

    assert!(psql.status.success(), "{}\n{}", String::from_utf8_lossy(&psql.stderr), sql.stdout);
    assert_eq!(twin.roles(), one.roles());
    // All that is left to do on the twin is to set the two passwords.
    let rest = Rolewright::new(&twin, &manifests).plan_json();
    assert_eq!(rest.actions(), ["set-password alice", "set-password bob"]);
}

#[test]
fn sql_of_changes_and_removals_piped_into_psql_gives_the_same_roles() {
    let (one, twin) = (Cluster::start(), Cluster::start());
    for cluster in [&one, &twin] {
        for statement in [
            "CREATE ROLE alice LOGIN CREATEDB CONNECTION LIMIT 5 VALID UNTIL '2001-01-01'",
            "CREATE ROLE \"Robert'); DROP\" LOGIN",
            "CREATE ROLE analyst; CREATE ROLE former; GRANT former TO alice WITH ADMIN OPTION",
            "CREATE DATABASE other",
            "GRANT CONNECT ON DATABASE other TO alice",
            "CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO \"Robert'); DROP\"",
        ] {
            cluster.sql(statement);
        }
        cluster.sql_in("other", "CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO \"Robert'); DROP\"");
    }
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    roles: [analyst]\n    password: none\n");
    let rolewright = Rolewright::new(&one, &manifests).env("MAX_DELETIONS", "10");
    let name = "Robert'); DROP";
    let managed = json!({ name: { "username": name, "database": "postgres", "roles": [], "privileges": null } });
    std::fs::write(rolewright.state_file(), managed.to_string()).unwrap();
    let sql = rolewright.command(&["plan", "--format", "sql"]);
    sql.succeeds();
    rolewright.apply().succeeds();

    let psql = twin.psql("postgres", &sql.stdout);

    assert!(psql.status.success(), "{}\n{}", String::from_utf8_lossy(&psql.stderr), sql.stdout);
    assert!(!one.has_role(name), "{:#?}", one.roles());
    assert_eq!(twin.roles(), one.roles(), "after\n{}", sql.stdout);
    for database in ["postgres", "other"] {
        let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'";
        assert_eq!(twin.sql_in(database, owner), [["postgres"]], "in {database}");
    }
}

#[test]
fn markdown_is_something_to_paste_into_a_review() {
    let cluster = Cluster::start();
    let manifests = team();
    let output = Rolewright::new(&cluster, &manifests).command(&["plan", "--format", "markdown"]);
    output.succeeds().says("alice").says("analyst");
    assert!(output.stdout.contains('#') || output.stdout.contains("**"), "{}", output.stdout);
}
