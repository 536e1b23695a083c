//! What is logged: one JSON object a line for a controller, sentences for a person, a summary after
//! each cycle.

use rolewright_tests::rolewright::log_lines;
use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright};
use serde_json::Value;

fn world() -> (Cluster, Manifests) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
    manifests.secret("alice", "logs-alice-1").secret("bob", "logs-bob-1");
    (cluster, manifests)
}

/// The summaries in a log: lines with these fields.
fn summaries(log: &[Value]) -> Vec<Value> {
    log.iter().filter(|line| line.get("users_created").is_some()).cloned().collect()
}

#[test]
fn every_line_of_a_controller_is_a_json_object_with_time_level_module_and_message() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1").env("LOG_LEVEL", "trace");
    let controller = rolewright.run();
    controller.wait_for_cycles(2);
    manifests.users("users: nonsense\n");
    controller.wait_for_metric("postgres_controller_errors_total", 1.0);
    let output = controller.terminate();
    output.succeeds();

    assert!(output.stderr.is_empty(), "{}", output.stderr);
    for line in log_lines(&output.stdout) {
        let timestamp = line["timestamp"].as_str().unwrap_or_else(|| panic!("no timestamp: {line}"));
        assert!(timestamp.starts_with("20") && timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
        let level = line["level"].as_str().unwrap_or_else(|| panic!("no level: {line}"));
        assert!(
            ["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR"].contains(&level.to_uppercase().as_str()),
            "{level}"
        );
        assert!(line["module"].is_string(), "no module: {line}");
        assert!(line["message"].is_string(), "no message: {line}");
    }
}

#[test]
fn each_cycle_ends_with_a_summary_that_counts() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "1").env("MAX_DELETIONS", "100%");
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    let first = summaries(&controller.log()).remove(0);
    for (field, expected) in [
        ("users_created", 2),
        ("users_updated", 0),
        ("users_deleted", 0),
        ("roles_created", 1),
        ("roles_deleted", 0),
        ("drift_detected", 0),
        ("errors", 0),
    ] {
        assert_eq!(first[field], expected, "{field} in {first}");
    }
    assert!(first["duration_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{first}");

    cluster.sql("ALTER ROLE bob CREATEDB");
    manifests.users(&users(&[("bob", &["writer"])]));
    controller.wait_for_cycles(2);
    let log = summaries(&controller.log());
    let sum = |field: &str| log.iter().skip(1).map(|line| line[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("users_created"), sum("users_deleted"), sum("roles_created"), sum("roles_deleted")), (0, 1, 1, 1));
    assert!(sum("users_updated") >= 1 && sum("drift_detected") >= 1);
    controller.terminate().succeeds();
}

#[test]
fn a_person_reads_sentences_and_the_plan_stands_alone_on_standard_output() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    let plan = rolewright.command(&["plan", "--format", "json"]);
    plan.succeeds();
    plan.json();
    let apply = rolewright.apply();
    apply.succeeds();
    let first = apply.stderr.lines().next().unwrap_or_default();
    assert!(!first.starts_with('{'), "a person is shown JSON: {first}");
    assert!(!apply.stdout.contains('\u{1b}') && !apply.stderr.contains('\u{1b}'), "colours in a pipe");
}

#[test]
fn the_format_may_be_chosen_for_each_command() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests).env("LOG_FORMAT", "json");
    let apply = rolewright.apply();
    apply.succeeds();
    assert!(!log_lines(&apply.stderr).is_empty(), "nothing was logged");

    let rolewright = rolewright.env("LOG_FORMAT", "text");
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    let output = controller.terminate();
    output.succeeds();
    assert!(output.stdout.lines().all(|line| !line.starts_with('{')), "{}", output.stdout);
}

#[test]
fn the_level_may_be_chosen() {
    let (cluster, manifests) = world();
    let lines = |level: &str| {
        let output = Rolewright::new(&cluster, &manifests).env("LOG_LEVEL", level).plan();
        output.succeeds();
        output.stderr.lines().count()
    };
    assert_eq!(lines("error"), 0);
    assert!(lines("trace") > lines("error"));
}
