//! Passwords come from Secrets: set, changed, and otherwise left alone; prepared as RFC 4013 wants,
//! so that the login that follows works.

use rolewright_tests::source::{place, users};
use rolewright_tests::{Cluster, Manifests, Options, Rolewright};

fn declare_alice(manifests: &Manifests, password: &str) {
    manifests.users(&users(&[("alice", &["staff"])])).secret("alice", password);
}

#[test]
fn a_changed_secret_is_applied_and_the_old_password_no_longer_works() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-first");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.login("alice", "passwords-first", "postgres");

    manifests.secret("alice", "passwords-second");
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["set-password alice"]);
    assert_eq!(plan.causes(), ["spec"]);
    rolewright.apply().succeeds();

    cluster.login("alice", "passwords-second", "postgres");
    cluster.refuses_login("alice", "passwords-first", "postgres", "28P01");
}

#[test]
fn an_unchanged_password_is_not_sent_again() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-unchanged");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let row = || (cluster.attribute("alice", "xmin"), cluster.attribute("alice", "rolpassword"));
    let before = row();
    assert!(!before.1.is_empty(), "there is no password to begin with");

    // Written again with the same value: a new version, the same password.
    manifests.secret("alice", "passwords-unchanged");
    rolewright.apply().succeeds();
    rolewright.apply().succeeds();

    assert_eq!(row(), before, "the role was altered although its password is the same");
}

#[test]
fn other_changes_of_a_user_leave_her_password_alone() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-other-change");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.attribute("alice", "rolpassword");

    manifests.users(&users(&[("alice", &["staff", "board"])]));
    rolewright.apply().succeeds();
    assert_eq!(cluster.memberships("alice"), ["board", "staff"]);

    assert_eq!(cluster.attribute("alice", "rolpassword"), before);
}

#[test]
fn the_server_is_sent_a_verifier_and_stores_it() {
    let cluster = Options::default().setting("password_encryption", "md5").start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-as-verifier");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    let stored = cluster.attribute("alice", "rolpassword");
    assert!(stored.starts_with("SCRAM-SHA-256$4096:"), "not made in the host");
    cluster.login("alice", "passwords-as-verifier", "postgres");
}

#[test]
fn no_password_and_no_verifier_stands_in_the_servers_log() {
    let cluster = Options::default().setting("log_statement", "all").setting("log_min_duration_statement", "0").start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-server-log-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.secret("alice", "passwords-server-log-2");
    rolewright.apply().succeeds();
    cluster.login("alice", "passwords-server-log-2", "postgres");

    let log = cluster.log();
    assert!(log.contains("staff"), "the server logs statements");
    rolewright_tests::leaks::assert_none("the log of the server", &log);
}

/// RFC 4013: what a client sends that prepares the password must be what the server compares with.
#[test]
fn passwords_that_saslprep_changes_really_log_in() {
    let cases = [
        ("soft hyphen, which is mapped to nothing", "pass\u{ad}words-soft"),
        ("no-break space, which becomes a space", "passwords\u{a0}nbsp"),
        ("a ligature, which is taken apart", "passwords-\u{fb01}ve"),
        ("a letter and its accent, which are put together", "passwords-e\u{301}te"),
        ("right to left", "\u{627}\u{644}\u{633}\u{644}\u{627}\u{645}\u{627}\u{644}"),
        ("a control character, which makes it stay as it is", "passwords\u{7}bell"),
        ("mixed directions, which make it stay as it is", "\u{627}passwords-mixed"),
        ("an emoji", "passwords-\u{1f511}"),
        ("quotes and backslashes", "passwords-'\\\"$;--"),
        ("spaces at both ends", " passwords-spaces "),
    ];
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let rolewright = Rolewright::new(&cluster, &manifests);
    for (what, password) in cases {
        declare_alice(&manifests, password);
        rolewright.apply().succeeds();
        assert!(cluster.try_login("alice", password, "postgres").is_ok(), "{what}: the login fails");
        cluster.refuses_login("alice", "passwords-wrong", "postgres", "28P01");
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn two_spellings_that_saslprep_makes_one_are_no_change() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-spelling-\u{fb01}");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.login("alice", "passwords-spelling-fi", "postgres");

    manifests.secret("alice", "pass\u{ad}words-spelling-fi");

    rolewright.plan_json().is_empty();
}

#[test]
fn password_none_makes_a_login_without_a_password_and_needs_no_secret() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    password: none\n");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    assert_eq!(cluster.attribute("alice", "rolpassword IS NULL AND rolcanlogin"), "t");
    cluster.refuses_login("alice", "passwords-anything", "postgres", "28P01");
    rolewright.plan_json().is_empty();
}

#[test]
fn password_none_takes_a_password_away_that_was_there() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-to-go");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();

    manifests.users("users:\n  - username: alice\n    roles: [staff]\n    database: postgres\n    password: none\n");
    assert_eq!(rolewright.plan_json().actions(), ["clear-password alice"]);
    rolewright.apply().succeeds();

    assert_eq!(cluster.attribute("alice", "rolpassword IS NULL"), "t");
}

#[test]
fn a_missing_secret_erases_nothing_and_holds_up_nobody_else() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-stays");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();

    manifests.remove_secret("alice").secret("bob", "passwords-bob");
    manifests.users(&users(&[("alice", &["staff"]), ("bob", &["staff"]), ("carol", &["staff"])]));
    let output = rolewright.apply();

    output.exits_with(1).mentions("alice").mentions("user-alice-secret").mentions("user-carol-secret");
    cluster.login("alice", "passwords-stays", "postgres");
    cluster.login("bob", "passwords-bob", "postgres");
    assert!(!cluster.has_role("carol"), "a user without her Secret was made");
}

#[test]
fn a_user_whose_secret_comes_later_is_made_then() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["staff"])]));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("user-alice-secret");
    assert!(!cluster.has_role("alice"));

    manifests.secret("alice", "passwords-late");
    rolewright.apply().succeeds();

    cluster.login("alice", "passwords-late", "postgres");
}

#[test]
fn a_secret_without_the_key_or_with_nothing_in_it_is_as_good_as_missing() {
    for (what, key, value) in [("no such key", "token", "passwords-elsewhere"), ("empty", "password", "")] {
        let cluster = Cluster::start();
        let manifests = Manifests::new();
        declare_alice(&manifests, "passwords-there-before");
        let rolewright = Rolewright::new(&cluster, &manifests);
        rolewright.apply().succeeds();

        manifests.named_secret("user-alice-secret", key, value);
        rolewright.apply().exits_with(1).mentions("user-alice-secret");

        assert!(cluster.try_login("alice", "passwords-there-before", "postgres").is_ok(), "{what}");
    }
}

/// PostgreSQL takes such a password as it is (`pg_saslprep` in saslprep.c), on both sides. The client of these tests
/// does not, so libpq logs in.
#[test]
fn a_password_that_saslprep_would_make_empty_stays_as_it_is() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let password = "\u{ad}\u{ad}\u{ad}\u{ad}";
    declare_alice(&manifests, password);
    Rolewright::new(&cluster, &manifests).apply().succeeds();

    assert!(cluster.psql_login("alice", password, "postgres"), "the login fails");
    assert!(!cluster.psql_login("alice", "\u{ad}", "postgres"), "another password works");
}

#[test]
fn an_md5_verifier_is_replaced_by_scram() {
    let cluster = Cluster::start();
    cluster.sql("SET password_encryption = 'md5'; CREATE ROLE alice LOGIN PASSWORD 'passwords-upgrade'");
    assert!(cluster.attribute("alice", "rolpassword").starts_with("md5"));
    let manifests = Manifests::new();
    declare_alice(&manifests, "passwords-upgrade");
    let rolewright = Rolewright::new(&cluster, &manifests);

    rolewright.apply().succeeds();

    assert!(cluster.attribute("alice", "rolpassword").starts_with("SCRAM-SHA-256$"));
    cluster.login("alice", "passwords-upgrade", "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_verifier_of_the_same_password_that_somebody_else_made_is_kept() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE alice LOGIN PASSWORD 'passwords-same-by-hand'");
    let before = cluster.attribute("alice", "rolpassword");
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["staff"])])).secret("alice", "passwords-same-by-hand");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    assert_eq!(cluster.memberships("alice"), ["staff"]);

    assert_eq!(cluster.attribute("alice", "rolpassword"), before);
}

#[test]
fn an_explicit_secret_names_another_secret_and_another_key() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users("users:\n  - username: alice\n    secret: {name: team-logins, key: alice}\n");
    manifests.named_secret("team-logins", "alice", "passwords-explicit");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    cluster.login("alice", "passwords-explicit", "postgres");
}

#[test]
fn a_name_that_is_no_secret_name_needs_an_explicit_secret() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let both = "users:\n  - username: a_b\n  - username: a-b\n";
    manifests.users(both).secret("a-b", "passwords-collision");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let before = cluster.roles();

    rolewright.apply().exits_with(1).mentions("a_b").mentions("secret").says(&place(2, 15));
    assert_eq!(cluster.roles(), before, "two users must never map to one Secret silently");

    manifests
        .users("users:\n  - username: a_b\n    secret: {name: for-a-underscore-b, key: password}\n  - username: a-b\n");
    manifests.named_secret("for-a-underscore-b", "password", "passwords-underscore");
    rolewright.apply().succeeds();

    cluster.login("a_b", "passwords-underscore", "postgres");
    cluster.login("a-b", "passwords-collision", "postgres");
}
