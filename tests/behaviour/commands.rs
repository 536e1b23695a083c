//! The command line: help that fits, settings that are checked at start and name themselves, and a
//! look at a policy without trusting it.

use std::fs;

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, guests};

const SETTINGS: &[&str] = &[
    "NAMESPACE",
    "CONFIGMAP_NAME",
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASS",
    "DB_SSLMODE",
    "DB_SSLROOTCERT",
    "APP_DB_HOST",
    "APP_DB_PORT",
    "SYNC_INTERVAL",
    "STATE_FILE",
    "DRY_RUN",
    "MAX_RETRIES",
    "RETRY_BACKOFF_BASE",
    "DB_POOL_MIN_CONN",
    "DB_POOL_MAX_CONN",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "HTTP_ADDR",
    "PROTECTED_ROLES",
    "REASSIGN_OWNED_TO",
    "MAX_DELETIONS",
    "REMOVAL_GRACE",
    "SOURCE_DIR",
    "POLICIES",
];

fn world() -> (Cluster, Manifests) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "commands-alice");
    (cluster, manifests)
}

#[test]
fn help_names_every_setting_as_a_variable_and_as_a_flag() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    for command in ["plan", "apply", "run"] {
        let help = rolewright.command(&[command, "--help"]);
        help.succeeds();
        for name in SETTINGS {
            let flag = match *name {
                "SOURCE_DIR" => "--source".to_owned(),
                name => format!("--{}", name.to_lowercase().replace('_', "-")),
            };
            // Which of them a command has no use for is its own business; which it has, it says.
            if command == "run" || help.stdout.contains(&flag) {
                assert!(help.stdout.contains(&flag), "{flag} is not in the help of {command}\n{}", help.stdout);
                assert!(help.stdout.contains(name), "{name} is not in the help of {command}");
            }
        }
    }
    for command in [&["--help"][..], &["policy", "--help"], &["policy", "inspect", "--help"], &["--version"]] {
        rolewright.command(command).succeeds();
    }
}

#[test]
fn help_shows_the_defaults_and_never_what_the_environment_holds() {
    let (cluster, manifests) = world();
    let help =
        Rolewright::new(&cluster, &manifests).env("DB_NAME", "commands_from_environment").command(&["run", "--help"]);
    for default in [
        "postgres-users-config",
        "acid-minimal-cluster.default.svc.cluster.local",
        "5432",
        "/tmp/users_state.json",
        "20%",
        "0.0.0.0:9090",
        "prefer",
    ] {
        help.says(default);
    }
    assert!(!help.stdout.contains("commands_from_environment"));
}

#[test]
fn a_flag_wins_over_the_environment() {
    let (cluster, manifests) = world();
    let port = cluster.port.to_string();
    let rolewright = Rolewright::new(&cluster, &manifests).env("DB_PORT", "1").env("SOURCE_DIR", "/nonexistent");
    let source = manifests.path().to_str().unwrap();
    rolewright.command(&["apply", "--db-port", &port, "--source", source]).succeeds();
    assert!(cluster.has_role("alice"));
}

#[test]
fn an_invalid_setting_is_refused_at_start_and_names_itself() {
    let (cluster, manifests) = world();
    for (name, values) in [
        ("DB_PORT", &["abc", "70000", "-1", "0"][..]),
        ("APP_DB_PORT", &["abc", "0"]),
        ("APP_DB_HOST", &["postgresql://db", "a b"]),
        ("DB_SSLMODE", &["sometimes"]),
        ("DB_SSLROOTCERT", &["/nonexistent/root.pem"]),
        ("SYNC_INTERVAL", &["soon", "-1", "0"]),
        ("DRY_RUN", &["maybe"]),
        ("MAX_RETRIES", &["-1", "many"]),
        ("RETRY_BACKOFF_BASE", &["x", "-2", "NaN"]),
        ("DB_POOL_MIN_CONN", &["x"]),
        ("DB_POOL_MAX_CONN", &["0"]),
        ("LOG_FORMAT", &["xml"]),
        ("LOG_LEVEL", &["loud"]),
        ("HTTP_ADDR", &["nowhere", "127.0.0.1:99999"]),
        ("MAX_DELETIONS", &["many", "-1", "120%"]),
        ("REMOVAL_GRACE", &["soon", "-1", "1w"]),
        ("POLICIES", &["/nonexistent/policies.yaml"]),
        ("SOURCE_DIR", &["/nonexistent/manifests"]),
    ] {
        for value in values {
            // `run` would go on for ever if it took the value.
            let command = if ["DB_SSLROOTCERT", "SOURCE_DIR"].contains(&name) { "plan" } else { "run" };
            let mode = if name == "DB_SSLROOTCERT" { "verify-full" } else { "disable" };
            let mode = if name == "DB_SSLMODE" { value } else { mode };
            let rolewright = Rolewright::new(&cluster, &manifests).env("DB_SSLMODE", mode).env(name, value);
            let output = rolewright.command(&[command]);
            assert_eq!(output.status, Some(1), "{name}={value}\n{}", output.stderr);
            let said = output.stdout.clone() + &output.stderr;
            assert!(said.contains(name) || said.contains(value), "{name}={value} is not named in\n{said}");
            if !["SOURCE_DIR", "POLICIES", "DB_SSLROOTCERT"].contains(&name) {
                assert!(said.contains(name), "{name} is not named in\n{said}");
            }
        }
    }
    assert!(!cluster.has_role("alice"));
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let (cluster, manifests) = world();
    Rolewright::new(&cluster, &manifests)
        .env("PROTECTED_ROLES", "")
        .env("POLICIES", "")
        .env("REASSIGN_OWNED_TO", "")
        .env("LOG_LEVEL", "")
        .apply()
        .succeeds();
    assert!(cluster.has_role("alice"));
}

#[test]
fn a_wrong_command_line_exits_with_1_and_says_what_is_wrong() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.command(&["plan", "--formt", "json"]).exits_with(1).says("--format");
    rolewright.command(&["plan", "--format", "xml"]).exits_with(1).says("markdown");
    rolewright.command(&["aply"]).exits_with(1);
    rolewright.command(&["apply", "--approve"]).exits_with(1);
}

#[test]
fn a_policy_is_inspected_without_being_trusted() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    for (package, name, version, stages) in [
        ("guest-policies/standard", "standard", "", &["validate", "plan"][..]),
        ("tests/guests/hostile", "hostile", "6.6.6", &["validate", "plan"]),
        ("tests/guests/planner", "alternative", "9.8.7", &["plan"]),
        ("tests/guests/transformer", "transformer", "", &["transform"]),
    ] {
        let module = guests::build(package);
        let output = rolewright.command(&["policy", "inspect", module.to_str().unwrap()]);
        output.succeeds().says(name).says(version).says("0.1.0").says(&guests::sha256(&module)).mentions("imports");
        for stage in stages {
            output.mentions(stage);
        }
        let size = fs::metadata(&module).unwrap().len();
        let digits: String = output.stdout.chars().filter(|letter| !matches!(letter, ',' | '_' | ' ' | '\'')).collect();
        assert!(digits.contains(&size.to_string()), "the size, {size}, is not told:\n{}", output.stdout);
    }
}

#[test]
fn a_policy_that_is_none_is_refused_with_the_reason() {
    let (cluster, manifests) = world();
    let rolewright = Rolewright::new(&cluster, &manifests);
    let file = rolewright.directory().join("garbage.wasm");
    let path = file.to_str().unwrap();
    for (what, bytes) in [
        ("nothing", b"".as_slice()),
        ("text", b"not a module"),
        ("a core module", b"\0asm\x01\0\0\0"),
        ("a component that exports nothing", b"\0asm\x0d\0\x01\0"),
    ] {
        fs::write(&file, bytes).unwrap();
        let output = rolewright.command(&["policy", "inspect", path]);
        assert_eq!(output.status, Some(1), "{what}\n{}{}", output.stdout, output.stderr);
        output.says("garbage.wasm");
    }
    rolewright.command(&["policy", "inspect", "/nonexistent.wasm"]).exits_with(1).says("/nonexistent.wasm");
}

#[test]
fn a_pipe_that_is_closed_early_is_no_crash() {
    let (cluster, manifests) = world();
    let mut text = String::from("users:\n");
    for number in 0..2_000 {
        text.push_str(&format!("  - username: user{number}\n    password: none\n"));
    }
    manifests.users(&text);
    let script = format!(
        "DB_HOST=127.0.0.1 DB_PORT={} DB_PASS={} DB_SSLMODE=disable {} plan --source {} | head -n 1",
        cluster.port,
        rolewright_tests::cluster::SUPERUSER_PASSWORD,
        rolewright_tests::session::binary().display(),
        manifests.path().display()
    );
    let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "head got no line\n{said}");
    assert!(!said.contains("panicked"), "{said}");
}
