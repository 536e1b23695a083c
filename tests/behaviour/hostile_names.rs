//! Every name that PostgreSQL accepts is accepted, as a user, as a role and as a database, and none
//! of them is ever read as SQL.

use rolewright_tests::snapshot::identifier;
use rolewright_tests::source::place;
use rolewright_tests::{Cluster, Manifests, Rolewright};
use serde_json::json;

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "\"; DROP ROLE postgres; --",
        "'; DROP ROLE postgres; --",
        "Robert'); DROP TABLE students;--",
        "\"quoted\"",
        "it's",
        "back\\slash",
        "dollar$$quote$$",
        "semi;colon",
        "two words",
        " leading and trailing ",
        "CamelCase",
        "user",
        "SELECT",
        "all",
        "current_role",
        "1starts-with-a-digit",
        "new\nline",
        "tab\tulator",
        "carriage\rreturn",
        "escape\u{1b}[31mred",
        "größe",
        "用户",
        "\u{645}\u{633}\u{62a}\u{62e}\u{62f}\u{645}",
        "abc\u{202e}cba",
        "e\u{301}",
        "\u{e9}",
        "\u{1f980}",
        "%s%n{}",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "-",
        "*",
        "@host",
        "#comment",
        "pgbouncer",
        "pgx_not_predefined",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(63));
    names.push("ü".repeat(31));
    names
}

/// A document in JSON, which is YAML too.
fn declare(manifests: &Manifests, users: &[serde_json::Value]) {
    manifests.users_exactly(&json!({ "users": users }).to_string());
}

#[test]
fn as_users_they_are_made_log_in_and_go() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let mut users = Vec::new();
    for (index, name) in names().iter().enumerate() {
        let secret = format!("hostile-{index}");
        manifests.named_secret(&secret, "password", &format!("hostile-password-{index}"));
        users
            .push(json!({ "username": name, "database": "postgres", "secret": { "name": secret, "key": "password" } }));
    }
    declare(&manifests, &users);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    let before = cluster.roles();

    rolewright.apply().succeeds();

    for (index, name) in names().iter().enumerate() {
        assert!(cluster.has_role(name), "{name:?} was not made");
        assert!(cluster.has_connect(name, "postgres"), "{name:?} may not connect");
        let login = cluster.try_login(name, &format!("hostile-password-{index}"), "postgres");
        assert!(login.is_ok(), "{name:?} cannot log in");
    }
    assert!(cluster.has_role("postgres"));
    rolewright.plan_json().is_empty();

    declare(&manifests, &[json!({ "username": "survivor", "password": "none" })]);
    rolewright.apply().succeeds();

    let mut after = cluster.roles();
    after.retain(|row| !row.contains("survivor"));
    assert_eq!(after, before);
}

#[test]
fn as_roles_they_are_granted_and_revoked() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(&manifests, &[json!({ "username": "alice", "password": "none", "roles": names() })]);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");

    rolewright.apply().succeeds();

    let mut expected = names();
    expected.sort();
    let mut held = cluster.memberships("alice");
    held.sort();
    assert_eq!(held, expected);
    rolewright.plan_json().is_empty();

    declare(&manifests, &[json!({ "username": "alice", "password": "none" })]);
    rolewright.apply().succeeds();

    assert!(cluster.memberships("alice").is_empty());
    assert!(cluster.has_role("postgres"));
    for name in names() {
        assert!(!cluster.has_role(&name), "{name:?} is still there");
    }
}

#[test]
fn as_databases_they_may_be_connected_to_and_are_visited_when_a_user_goes() {
    let hostile = ["\"; DROP ROLE postgres; --", "it's", "two words", "back\\slash", "用户", "CamelCase", "new\nline"];
    let cluster = Cluster::start();
    for name in hostile {
        cluster.sql(&format!("CREATE DATABASE {}", identifier(name)));
    }
    let manifests = Manifests::new();
    manifests.named_secret("alice", "password", "hostile-databases");
    let alice = json!({ "username": "alice", "databases": hostile, "secret": { "name": "alice", "key": "password" } });
    let bob = json!({ "username": "bob", "password": "none" });
    declare(&manifests, &[alice, bob.clone()]);
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");

    rolewright.apply().succeeds();

    for name in hostile {
        assert!(cluster.has_connect("alice", name), "{name:?}");
        cluster.login("alice", "hostile-databases", name);
        cluster.sql_in(name, "CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");
    }
    declare(&manifests, &[bob]);
    rolewright.apply().succeeds();

    assert!(!cluster.has_role("alice"));
    for name in hostile {
        let owner = cluster.sql_in(name, "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'treasure'");
        assert_eq!(owner, [["postgres"]], "{name:?}");
    }
}

#[test]
fn a_receiver_with_a_hostile_name_receives() {
    let receiver = "\"; DROP ROLE postgres; --";
    let cluster = Cluster::start();
    cluster.sql(&format!("CREATE ROLE {}", identifier(receiver)));
    let manifests = Manifests::new();
    let entry = |name: &str| json!({ "username": name, "password": "none" });
    declare(&manifests, &[entry("alice"), entry("bob")]);
    let rolewright =
        Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%").env("REASSIGN_OWNED_TO", receiver);
    rolewright.apply().succeeds();
    cluster.sql("CREATE TABLE treasure (); ALTER TABLE treasure OWNER TO alice");

    declare(&manifests, &[entry("bob")]);
    rolewright.apply().succeeds();

    let owner = "SELECT rolname FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE relname = 'treasure'";
    assert_eq!(cluster.value(owner), receiver);
}

#[test]
fn what_is_printed_about_them_is_one_line_without_control_characters() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare(
        &manifests,
        &[
            json!({ "username": "new\nline", "password": "none", "roles": ["escape\u{1b}[31mred"] }),
            json!({ "username": "abc\u{202e}cba", "password": "none" }),
        ],
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    for arguments in [["plan", "--format", "text"], ["plan", "--format", "markdown"]] {
        let output = rolewright.command(&arguments);
        output.succeeds().says("cba");
        for forbidden in ['\u{1b}', '\u{202e}'] {
            assert!(!output.stdout.contains(forbidden), "{arguments:?} prints {forbidden:?} as it is");
        }
        assert!(!output.stdout.contains("new\nline"), "{arguments:?} breaks a name over two lines");
    }
}

#[test]
fn a_name_of_64_bytes_is_refused_with_its_place_and_not_cut() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let rolewright = Rolewright::new(&cluster, &manifests);
    let before = cluster.roles();
    for name in ["x".repeat(64), "ü".repeat(32)] {
        for (entry, place) in [
            (format!("users:\n  - username: {name}\n    password: none\n"), place(2, 15)),
            (format!("users:\n  - username: a\n    password: none\n    roles: [{name}]\n"), place(4, 13)),
            (format!("users:\n  - username: a\n    password: none\n    database: {name}\n"), place(4, 15)),
        ] {
            manifests.users(&entry);
            rolewright.apply().exits_with(1).says(&place).mentions("63");
            assert_eq!(cluster.roles(), before);
        }
    }
}
