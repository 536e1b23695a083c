//! No secret comes out: not in what is printed at the most talkative level, not in errors, not in
//! what is served, stored or left behind. (Every other test searches what it captured as well; see
//! `leaks` in the harness.)

use std::fs;
use std::path::Path;

use rolewright_tests::source::{CONFIGMAP_FILE, users};
use rolewright_tests::{Cluster, Manifests, Options, Rolewright, leaks};

/// Every file below a directory.
fn search(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path);
        } else if let Ok(bytes) = fs::read(&path) {
            leaks::assert_none(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn a_whole_life_at_the_most_talkative_level_tells_no_secret() {
    let cluster = Options::default().setting("log_statement", "all").setting("log_min_messages", "debug1").start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &["writer"])]));
    manifests.secret("alice", "secrets-alice-quiet-1").string_secret("bob", "secrets-bob-quiet-1");
    let rolewright = Rolewright::new(&cluster, &manifests)
        .env("LOG_LEVEL", "trace")
        .env("MAX_DELETIONS", "100%")
        .env("SYNC_INTERVAL", "1");

    for format in ["text", "json", "sql", "markdown"] {
        rolewright.command(&["plan", "--format", format]).succeeds();
        rolewright.command(&["plan", "--rehearse", "--format", format]).succeeds();
    }
    rolewright.apply().succeeds();
    cluster.sql("ALTER ROLE alice CREATEDB");
    manifests.secret("bob", "secrets-bob-quiet-2");
    let controller = rolewright.run();
    controller.wait_for_cycles(2);
    for path in ["/metrics", "/livez", "/readyz", "/"] {
        controller.get(path);
    }
    controller.terminate().succeeds();
    manifests.users(&users(&[("bob", &["writer"])]));
    rolewright.apply().succeeds();

    search(rolewright.directory());
    leaks::assert_none("the log of the server", &cluster.log());
}

#[test]
fn mistakes_in_the_manifests_are_told_without_the_secrets_in_them() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "secrets-alice-broken");
    let rolewright = Rolewright::new(&cluster, &manifests).env("LOG_LEVEL", "trace");
    leaks::register_password("secrets-in-a-broken-file");
    for (what, text) in [
        (
            "no base64",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: user-alice-secret}\ndata: {password: 'secrets-in-a-broken-file!'}\n",
        ),
        (
            "a list",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: user-alice-secret}\nstringData: {password: [secrets-in-a-broken-file]}\n",
        ),
        (
            "cut off",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: user-alice-secret}\nstringData: {password: 'secrets-in-a-broken-file\n",
        ),
        (
            "an unknown key",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: user-alice-secret}\npassword: secrets-in-a-broken-file\n",
        ),
        (
            "a key twice",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: user-alice-secret}\nstringData: {password: secrets-in-a-broken-file, password: secrets-in-a-broken-file}\n",
        ),
    ] {
        manifests.file("user-alice-secret.yaml", text);
        let output = rolewright.apply();
        assert_eq!(output.status, Some(1), "{what}\n{}", output.stderr);
    }
}

#[test]
fn a_password_in_users_yaml_is_refused_without_being_repeated() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    leaks::register_password("secrets-in-the-configmap");
    manifests.users("users:\n  - username: alice\n    password: secrets-in-the-configmap\n");
    Rolewright::new(&cluster, &manifests).env("LOG_LEVEL", "trace").apply().exits_with(1).says(CONFIGMAP_FILE);
}

#[test]
fn the_controllers_own_password_is_not_told_when_the_login_fails() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users: []\n");
    Rolewright::new(&cluster, &manifests)
        .connect_as("nobody_here", "secrets-of-the-controller")
        .env("LOG_LEVEL", "trace")
        .apply()
        .exits_with(1);
    Rolewright::new(&cluster, &manifests)
        .connect_as("postgres", "secrets-of-the-controller")
        .env("DB_PORT", "1")
        .env("MAX_RETRIES", "0")
        .env("LOG_LEVEL", "trace")
        .apply()
        .exits_with(1);
}

#[test]
fn the_state_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "secrets-alice-state");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let mode = fs::metadata(rolewright.state_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "others may write it: {mode:o}");
}
