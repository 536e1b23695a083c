//! users.yaml, good and bad: what becomes of it, and what is said about it.

use serde_json::json;

use super::{Diagnostic, Document, Parsed, parse};
use crate::model::{Attributes, Expiry, Finding, Limit, Membership, Mode, Object, Privileges, Severity};

pub(super) fn good(text: &str) -> Parsed {
    parse(&Document::plain("users.yaml", text)).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

fn bad(text: &str) -> Vec<Diagnostic> {
    parse(&Document::plain("users.yaml", text)).unwrap_err()
}

fn shown(problems: &[Diagnostic]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// One line for each problem: where, which, and what it is about.
fn brief(text: &str) -> String {
    let problems = bad(text);
    let lines = problems.iter().map(|it| format!("{}:{} {} {}", it.line, it.column, it.code, it.path));
    lines.collect::<Vec<_>>().join("\n")
}

/// A user as a flow mapping that begins at column 10 of the only line.
pub(super) fn user(fields: &str) -> String {
    format!("users: [ {{username: alice, {fields}}} ]")
}

#[test]
fn a_role_may_say_what_it_was_called_before() {
    let text = "users:
  - {username: alicia, renamed_from: alice, password: none, roles: [staff]}
  - {username: bob, renamed_from: 'Robert \"Bob\"', password: none}
roles: [{name: staff, renamed_from: people}]
";
    let renamed = good(text).spec.renamed_from;
    let renamed: Vec<_> = renamed.iter().map(|(to, from)| (to.as_str(), from.as_str())).collect();
    assert_eq!(renamed, [("alicia", "alice"), ("bob", "Robert \"Bob\""), ("staff", "people")]);
}

#[test]
fn who_was_who_is_never_a_guess() {
    let users = |fields: [&str; 2]| {
        let entry = |(name, fields): (&str, &str)| format!("  - {{username: {name}, password: none, {fields}}}\n");
        format!("users:\n{}", ["anna", "berta"].into_iter().zip(fields).map(entry).collect::<String>())
    };
    for (fields, problem) in [
        (["renamed_from: x", "renamed_from: x"], "3:53 renamed-twice /users/1/renamed_from"),
        (["renamed_from: berta", "roles: []"], "2:52 renamed-from-declared /users/0/renamed_from"),
        (["renamed_from: anna", "roles: []"], "2:52 renamed-to-itself /users/0/renamed_from"),
        (["renamed_from: pg_monitor", "roles: []"], "2:52 reserved-name /users/0/renamed_from"),
        (["renamed_from: 5", "roles: []"], "2:52 unquoted-name /users/0/renamed_from"),
        (["renamed_from: x", "roles: [x]"], "3:47 renamed-from-named /users/1/roles/0"),
    ] {
        assert_eq!(brief(&users(fields)), problem, "{fields:?}");
    }
    // A swap is two renames from what is declared.
    assert_eq!(brief(&users(["renamed_from: berta", "renamed_from: anna"])).lines().count(), 2);
}

#[test]
fn a_disabled_user_is_a_user_without_login() {
    let parsed = good(&user("disabled: true, createdb: true"));
    let alice = &parsed.spec.roles["alice"];
    assert_eq!(alice.attributes, (Attributes::USER | Attributes::CREATEDB) - Attributes::LOGIN);
    assert!(parsed.spec.disabled.contains("alice") && alice.credential.is_some());
    assert!(good(&user("disabled: false")).spec.disabled.is_empty());
    assert_eq!(brief(&user("disabled: 1")), "1:38 wrong-type /users/0/disabled");
    assert!(brief("users: []\nroles: [{name: r, disabled: true}]").contains("unknown-key"));
}

#[test]
fn a_user_becomes_a_role_with_memberships_grants_and_a_credential() {
    let parsed = good(
        "users:\n  - username: alice\n    databases: [z, a]\n    roles: [read_only, bob, pg_monitor]\n    privileges: [temp, CREATE]\n  \
         - username: bob\n    password: none\n    privileges: null\n",
    );
    assert_eq!(parsed.spec.roles.keys().collect::<Vec<_>>(), ["alice", "bob", "read_only"], "pg_monitor is not ours");

    let alice = &parsed.spec.roles["alice"];
    assert_eq!(
        (alice.mode, alice.attributes, alice.path.as_str()),
        (Mode::Authoritative, Attributes::USER, "/users/0")
    );
    assert_eq!(alice.memberships, ["bob", "pg_monitor", "read_only"].map(Membership::plain));
    let grants: Vec<_> = alice.grants.iter().map(|grant| (&grant.on, grant.privileges)).collect();
    let privileges = Privileges::CONNECT | Privileges::CREATE | Privileges::TEMPORARY;
    let on = ["a", "z"].map(|name| Object::Database(name.to_owned()));
    assert_eq!(grants, [(&on[0], privileges), (&on[1], privileges)]);
    let credential = alice.credential.as_ref().unwrap();
    assert_eq!((credential.secret.as_str(), credential.key.as_str()), ("user-alice-secret", "password"));
    assert_eq!(alice.has_password, Some(true));

    let bob = &parsed.spec.roles["bob"];
    assert_eq!((bob.mode, bob.has_password, &bob.credential), (Mode::Authoritative, Some(false), &None));
    let group = &parsed.spec.roles["read_only"];
    assert_eq!(
        (group.mode, group.attributes, group.path.as_str()),
        (Mode::Present, Attributes::GROUP, "/users/0/roles/0")
    );
    assert_eq!((group.has_password, group.connection_limit), (None, None));

    let declared = &parsed.users["alice"];
    assert_eq!(declared.databases, ["z", "a"]);
    assert_eq!(declared.roles, ["read_only", "bob", "pg_monitor"]);
    assert_eq!((&declared.privileges, declared.order), (&json!(["temp", "CREATE"]), 0));
    assert_eq!((&parsed.users["bob"].privileges, parsed.users["bob"].order), (&json!(null), 1));
    let secrets: Vec<String> = parsed.secrets().iter().map(ToString::to_string).collect();
    assert_eq!(secrets, ["user-alice-secret#password"]);
}

#[test]
fn one_database_gives_connect_and_none_gives_nothing() {
    let parsed = good("users: [{username: a, database: x, privileges: }, {username: b, databases: [], roles: []}]");
    assert_eq!(parsed.spec.roles["a"].databases().collect::<Vec<_>>(), ["x"]);
    assert_eq!(parsed.spec.roles["a"].grants[0].privileges, Privileges::CONNECT);
    assert!(parsed.spec.roles["b"].grants.is_empty());
}

#[test]
fn an_explicitly_empty_list_is_a_spec() {
    assert!(good("users: []\n").spec.roles.is_empty());
}

#[test]
fn words_that_other_yaml_versions_read_as_booleans_are_names() {
    let parsed = good("users: [{username: no}, {username: \"on\"}, {username: '123', roles: [off, y]}]");
    assert_eq!(parsed.users.keys().collect::<Vec<_>>(), ["123", "no", "on"]);
}

#[test]
fn a_group_role_is_declared_with_attributes_and_memberships_with_options() {
    let parsed = good(
        "users: [{username: alice, password: none, createdb: true, inherit: false, roles: [analyst]}]\n\
         roles:\n- name: analyst\n  databases: [a]\n  privileges: [TEMP]\n  bypassrls: true\n  comment: c\n  labels: {team: x}\n  \
         roles: [pg_monitor, {role: other, admin: true, inherit: false}, {role: third, set: false}]\n",
    );
    let analyst = &parsed.spec.roles["analyst"];
    assert_eq!((analyst.mode, analyst.path.as_str()), (Mode::Authoritative, "/roles/0"));
    assert_eq!(analyst.attributes, Attributes::INHERIT | Attributes::BYPASSRLS);
    assert_eq!((analyst.has_password, &analyst.credential, analyst.comment.as_deref()), (None, &None, Some("c")));
    let edges: Vec<_> =
        analyst.memberships.iter().map(|edge| (edge.role.as_str(), edge.admin, edge.inherit, edge.set)).collect();
    let expected = [("other", true, false, true), ("pg_monitor", false, true, true), ("third", false, true, false)];
    assert_eq!(edges, expected);
    assert_eq!(analyst.grants[0].privileges, Privileges::CONNECT | Privileges::TEMPORARY);
    // What it names is there; what is declared is not only named.
    assert_eq!(
        (parsed.spec.roles["other"].mode, parsed.spec.roles["other"].path.as_str()),
        (Mode::Present, "/roles/0/roles/1")
    );
    let alice = &parsed.spec.roles["alice"];
    assert_eq!(alice.attributes, Attributes::LOGIN | Attributes::CREATEDB);
    assert!(!alice.memberships[0].inherit, "who does not inherit does not by way of a membership");
    assert_eq!(parsed.users.keys().collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn what_is_wrong_with_a_group_role_is_told_with_its_place() {
    let wrong = |roles: &str| brief(&format!("users: [{{username: alice, password: none}}]\nroles: {roles}\n"));
    for (roles, problem) in [
        ("[{name: alice}]", "duplicate-role /roles/0/name"),
        ("[{name: a}, {name: a}]", "duplicate-role /roles/1/name"),
        ("[{username: a}]", "missing-key /roles/0"),
        ("[{name: pg_a}]", "reserved-name /roles/0/name"),
        ("[{name: a, password: geheim}]", "unknown-key /roles/0/password"),
        ("[{name: a, createdb: yes}]", "wrong-type /roles/0/createdb"),
        ("[{name: a, roles: [a]}]", "self-membership /roles/0/roles/0"),
        ("[{name: a, roles: [{admin: true}]}]", "missing-key /roles/0/roles/0"),
        ("[{name: a, roles: [b, {role: b}]}]", "duplicate-role /roles/0/roles/1"),
        ("[{name: a, roles: [{role: b, grant: true}]}]", "unknown-key /roles/0/roles/0/grant"),
        ("[{name: a, roles: [{role: b, inherit: false, set: false}]}]", "useless-membership /roles/0/roles/0"),
        ("[{name: a, roles: [b]}, {name: b, roles: [a]}]", "membership-circle /roles/1/roles/0"),
        ("{name: a}", "wrong-type /roles"),
    ] {
        let told = wrong(roles);
        assert!(told.lines().any(|line| line.ends_with(problem)), "{roles}: {told}");
    }
}

#[test]
fn a_secret_can_be_named() {
    let parsed = good("users: [{username: A_b, secret: {name: x}}, {username: B, secret: {name: x, key: P.w_2}}]");
    let secrets: Vec<String> = parsed.secrets().iter().map(ToString::to_string).collect();
    assert_eq!(secrets, ["x#P.w_2", "x#password"]);
}

#[test]
fn a_user_has_the_labels_the_end_the_limit_and_the_comment_that_it_declares() {
    let parsed = good(
        "users:\n- username: a\n  labels: {team: payments, ticket: '123', note: ''}\n  valid_until: 2027-01-31\n  \
         connection_limit: 0\n  comment: \"it's\"\n- {username: b}\n",
    );
    let a = &parsed.spec.roles["a"];
    let labels: Vec<_> = a.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("note", ""), ("team", "payments"), ("ticket", "123")]);
    assert_eq!((a.valid_until, a.connection_limit), (Some(Expiry::At(1_801_353_600)), Some(Limit::AtMost(0))));
    assert_eq!(a.comment.as_deref(), Some("it's"));

    let b = &parsed.spec.roles["b"];
    assert_eq!((b.valid_until, b.connection_limit), (None, None), "what is not declared is left to the host");
    assert_eq!((&b.comment, b.labels.len()), (&None, 0), "what is not said is as it always was");
}

#[test]
fn an_end_is_a_moment_wherever_it_is_written_down() {
    let end = |text: &str| good(&user(&format!("valid_until: {text}"))).spec.roles["alice"].valid_until;
    for (text, seconds) in [
        ("1970-01-01", 0),
        ("2028-02-29", 1_835_395_200),
        ("2027-01-31T00:00:00Z", 1_801_353_600),
        ("2027-01-31T01:30:00+01:30", 1_801_353_600),
        ("\"2027-01-30T19:00:00.999-05:00\"", 1_801_353_600),
        ("1969-12-31T23:59:59.5Z", -1),
    ] {
        assert_eq!(end(text), Some(Expiry::At(seconds)), "{text}");
    }
    assert_eq!(end("never"), Some(Expiry::Never));
    let limit = |text: &str| good(&user(&format!("connection_limit: {text}"))).spec.roles["alice"].connection_limit;
    assert_eq!(limit("unlimited"), Some(Limit::Unlimited));
    assert_eq!(limit("2147483647"), Some(Limit::AtMost(2_147_483_647)));
    let shared = good("users: [{username: a, connection_limit: &n 7}, {username: b, connection_limit: *n}]");
    assert_eq!(shared.spec.roles["b"].connection_limit, Some(Limit::AtMost(7)));
}

#[test]
fn what_is_wrong_with_labels_ends_limits_and_comments_says_what_to_write() {
    let long = "x".repeat(64);
    let text = format!(
        "users:\n  - username: alice\n    labels: {{team: 7, on: true, \"\": a, {long}: a, where: \"a\\nb\"}}\n    \
         valid_until: 2027-02-30\n    connection_limit: -1\n    comment: 5\n"
    );
    insta::assert_snapshot!("labels_ends_limits_and_comments", shown(&bad(&text)));
}

#[test]
fn an_anchor_can_be_shared() {
    let parsed = good("users: [{username: a, roles: &r [x, y]}, {username: b, roles: *r}]");
    assert_eq!(parsed.users["b"].roles, ["x", "y"]);
}

#[test]
fn nothing_is_ever_read_as_delete_everyone() {
    let help = "an empty spec is never read as \"delete everyone\"; write `users: []` if you mean that";
    for (text, expected) in [
        ("", "1:1 empty-spec "),
        ("\n# only a comment\n", "1:1 empty-spec "),
        ("---\n", "1:4 empty-spec "),
        ("null", "1:1 empty-spec "),
        ("users:\n", "1:1 empty-spec /users"),
        ("users: null\n", "1:8 empty-spec /users"),
        ("{}", "1:1 missing-users "),
    ] {
        assert_eq!(brief(text), expected, "{text:?}");
        assert_eq!(bad(text)[0].help.as_deref(), Some(help), "{text:?}");
    }
}

#[test]
fn every_mistake_is_located() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        // The document.
        ("[]", "1:1 wrong-type "),
        ("users: alice", "1:8 wrong-type /users"),
        ("users: {alice: {}}", "1:8 wrong-type /users"),
        ("users: []\n---\nusers: []\n", "3:1 several-documents "),
        ("users: []\ngroups: []\n", "2:1 unknown-key /groups"),
        ("users: []\nusers: []\n", "2:1 duplicate-key /users"),
        ("users: [\n", "1:8 yaml-syntax "),
        ("users:\n\t- a\n", "2:2 yaml-syntax "),
        ("users: [a\0]\n", "1:10 control-character "),
        // A user.
        ("users: [alice]", "1:9 wrong-type /users/0"),
        ("users: [null]", "1:9 wrong-type /users/0"),
        ("users: [{}]", "1:9 missing-key /users/0"),
        ("users: [{username: ''}]", "1:20 empty-name /users/0/username"),
        ("users: [{username: }]", "1:10 unquoted-name /users/0/username"),
        ("users: [{username: null}]", "1:20 unquoted-name /users/0/username"),
        ("users: [{username: true}]", "1:20 unquoted-name /users/0/username"),
        ("users: [{username: 123}]", "1:20 unquoted-name /users/0/username"),
        ("users: [{username: 1e5}]", "1:20 unquoted-name /users/0/username"),
        ("users: [{username: [a]}]", "1:20 wrong-type /users/0/username"),
        ("users: [{username: \"a\\0b\"}]", "1:20 name-with-nul /users/0/username"),
        ("users: [{username: pg_x, password: none}]", "1:20 reserved-name /users/0/username"),
        ("users: [{username: public}]", "1:20 reserved-name /users/0/username"),
        ("users: [{username: none}]", "1:20 reserved-name /users/0/username"),
        ("users: [{username: a_b}]", "1:20 invalid-secret-name /users/0/username"),
        ("users: [{username: Alice}]", "1:20 invalid-secret-name /users/0/username"),
        ("users:\n- username: a\n- username: a\n", "3:13 duplicate-user /users/1/username"),
        (&user("username: b"), "1:28 duplicate-key /users/0/username"),
        // Databases.
        (&user("database: [a]"), "1:38 wrong-type /users/0/database"),
        (&user("database: ''"), "1:38 empty-name /users/0/database"),
        (&user("database: "), "1:28 unquoted-name /users/0/database"),
        (&user("databases: a"), "1:39 wrong-type /users/0/databases"),
        (&user("databases: null"), "1:39 wrong-type /users/0/databases"),
        (&user("databases: [a, 1]"), "1:43 unquoted-name /users/0/databases/1"),
        (&user("databases: [a, a]"), "1:43 duplicate-database /users/0/databases/1"),
        (&user("database: a, databases: [b]"), "1:52 database-and-databases /users/0/databases"),
        // Roles.
        (&user("roles: a"), "1:35 wrong-type /users/0/roles"),
        (&user("roles: null"), "1:35 wrong-type /users/0/roles"),
        (&user("roles: [a, b, a]"), "1:42 duplicate-role /users/0/roles/2"),
        (&user("roles: [alice]"), "1:36 self-membership /users/0/roles/0"),
        (&user("roles: [public, none]"), "1:36 reserved-name /users/0/roles/0\n1:44 reserved-name /users/0/roles/1"),
        // Privileges.
        (&user("database: a, privileges: CREATE"), "1:53 wrong-type /users/0/privileges"),
        (&user("database: a, privileges: [SELECT]"), "1:54 unknown-privilege /users/0/privileges/0"),
        (&user("database: a, privileges: [TEMP, temporary]"), "1:60 duplicate-privilege /users/0/privileges/1"),
        (&user("privileges: [CREATE]"), "1:40 privileges-without-database /users/0/privileges"),
        // Secrets.
        (&user("secret: x"), "1:36 wrong-type /users/0/secret"),
        (&user("secret: {}"), "1:36 missing-key /users/0/secret"),
        (&user("secret: {name: a_b}"), "1:43 invalid-secret-name /users/0/secret/name"),
        (&user("secret: {name: a, key: 'a b'}"), "1:51 invalid-secret-key /users/0/secret/key"),
        (&user("secret: {name: a, field: b}"), "1:46 unknown-key /users/0/secret/field"),
        (&user("password: none, secret: {name: a}"), "1:52 password-and-secret /users/0/secret"),
        (&user("password: None"), "1:38 inline-password /users/0/password"),
        (&user("password: "), "1:28 wrong-type /users/0/password"),
        (
            "users:\n- username: a\n  secret: {name: s}\n- username: b\n  secret: {name: s, key: password}\n",
            "5:11 shared-secret /users/1/secret",
        ),
        (
            "users:\n- username: a\n- username: b\n  secret: {name: user-a-secret}\n",
            "4:11 shared-secret /users/1/secret",
        ),
        // What a user says of itself.
        (&user("labels: [a]"), "1:36 wrong-type /users/0/labels"),
        (&user("labels: "), "1:28 wrong-type /users/0/labels"),
        (&user("labels: {a: 1}"), "1:40 unquoted-name /users/0/labels/a"),
        (&user("labels: {a/b: no, c: yes, d: false}"), "1:57 unquoted-name /users/0/labels/d"),
        (&user("labels: {a: [b]}"), "1:40 wrong-type /users/0/labels/a"),
        (&user("labels: {'': b}"), "1:37 invalid-label /users/0/labels/"),
        (&user("labels: {a: \"b\\u0007\"}"), "1:40 invalid-label /users/0/labels/a"),
        (&user("labels: {a: b, a: c}"), "1:43 duplicate-key /users/0/labels/a"),
        (&user("valid_until: 2027"), "1:41 wrong-type /users/0/valid_until"),
        (&user("valid_until: "), "1:28 wrong-type /users/0/valid_until"),
        (&user("valid_until: 2027-02-29"), "1:41 invalid-time /users/0/valid_until"),
        (&user("valid_until: 2027-1-1"), "1:41 invalid-time /users/0/valid_until"),
        (&user("valid_until: tomorrow"), "1:41 invalid-time /users/0/valid_until"),
        (&user("valid_until: 2027-01-01T25:00:00Z"), "1:41 invalid-time /users/0/valid_until"),
        (&user("valid_until: 2027-01-01T00:00:00"), "1:41 invalid-time /users/0/valid_until"),
        (&user("connection_limit: -1"), "1:46 invalid-limit /users/0/connection_limit"),
        (&user("connection_limit: 1.5"), "1:46 invalid-limit /users/0/connection_limit"),
        (&user("connection_limit: 2147483648"), "1:46 invalid-limit /users/0/connection_limit"),
        (&user("connection_limit: '5'"), "1:46 invalid-limit /users/0/connection_limit"),
        (&user("comment: [a]"), "1:37 wrong-type /users/0/comment"),
        (&user("comment: 1"), "1:37 unquoted-name /users/0/comment"),
        (&user("comment: \"a\\0\""), "1:37 invalid-comment /users/0/comment"),
        // Circles.
        (
            "users:\n- {username: a, roles: [g, b]}\n- {username: b, roles: [c]}\n- {username: c, roles: [a]}\n",
            "4:25 membership-circle /users/2/roles/0",
        ),
    ] {
        let found = brief(text);
        if found != expected {
            wrong.push(format!("{text:?}: {found}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let long = format!("users: [{{username: {}, password: none}}]", "é".repeat(32));
    assert_eq!(brief(&long), "1:20 name-too-long /users/0/username");
    assert!(bad(&long)[0].message.contains("64 bytes"));
}

#[test]
fn memberships_between_users_without_a_circle_are_fine() {
    let parsed = good(
        "users: [{username: a, roles: [b, c]}, {username: b, roles: [d]}, {username: c, roles: [d]}, {username: d}]",
    );
    assert!(parsed.spec.roles.values().all(|role| role.mode == Mode::Authoritative));
}

#[test]
fn all_problems_are_told_in_the_order_of_the_file() {
    let text = "users:\n  - usrename: alice   # hunter2\n    rolse: [x]\n  - username: bob\n    roles: [a, 7]\n  \
                - username: bob\n    database: \"\"\n";
    insta::assert_snapshot!(shown(&bad(text)), @r#"
    users.yaml:2:5: error[missing-key]: a user without `username`
      |
    2 |   - usrename: …   #…
      |     ^

    users.yaml:2:5: error[unknown-key]: this user has an unknown key "usrename"
      |
    2 |   - usrename: …   #…
      |     ^^^^^^^^
      = help: did you mean `username`? The known keys are `username`, `renamed_from`, `database`, `databases`, `roles`, `privileges`, `grants`, `settings`, `database_settings`, `mode`, `disabled`, `secret`, `password`, `generate`, `labels`, `valid_until`, `connection_limit`, `comment`, `superuser`, `createdb`, `createrole`, `inherit`, `replication` and `bypassrls`

    users.yaml:3:5: error[unknown-key]: this user has an unknown key "rolse"
      |
    3 |     rolse: …
      |     ^^^^^
      = help: did you mean `roles`? The known keys are `username`, `renamed_from`, `database`, `databases`, `roles`, `privileges`, `grants`, `settings`, `database_settings`, `mode`, `disabled`, `secret`, `password`, `generate`, `labels`, `valid_until`, `connection_limit`, `comment`, `superuser`, `createdb`, `createrole`, `inherit`, `replication` and `bypassrls`

    users.yaml:5:16: error[unquoted-name]: role name must be text, but YAML reads a number here
      |
    5 |     roles: [a, 7]
      |                ^
      = help: write it in quotes if it is meant as a name, such as "123"

    users.yaml:6:15: error[duplicate-user]: user "bob" is declared twice; the first is at line 4, column 15
      |
    6 |   - username: bob
      |               ^^^
      = help: keep one of them

    users.yaml:7:15: error[empty-name]: database name is empty
      |
    7 |     database: ""
      |               ^^
    "#);
}

#[test]
fn a_message_reads_like_a_compilers() {
    insta::assert_snapshot!(shown(&bad("users:\n  - username: a_b\n  - username: \"x\u{202e}\"\n    password: none\n    role: []\n")), @r#"
    users.yaml:2:15: error[invalid-secret-name]: no Secret can be called "user-a_b-secret", where the password of user "a_b" would be: Kubernetes allows lower-case letters, digits, `-` and `.` only
      |
    2 |   - username: a_b
      |               ^^^
      = help: say where it is, with `secret: {name: …, key: password}`

    users.yaml:5:5: error[unknown-key]: user "x\u{202e}" has an unknown key "role"
      |
    5 |     role: …
      |     ^^^^
      = help: did you mean `roles`? The known keys are `username`, `renamed_from`, `database`, `databases`, `roles`, `privileges`, `grants`, `settings`, `database_settings`, `mode`, `disabled`, `secret`, `password`, `generate`, `labels`, `valid_until`, `connection_limit`, `comment`, `superuser`, `createdb`, `createrole`, `inherit`, `replication` and `bypassrls`
    "#);
}

#[test]
fn a_password_is_refused_and_never_echoed() {
    for text in [
        user("password: hunter2"),
        user("password: [hunter2]"),
        user("passwd: hunter2, roles: 1"),
        user("pw: {x: hunter2}, roles: 1"),
        user("roles: 1 }] # hunter2"),
        user("secret: hunter2"),
        "users: [{username: alice, password: 'hunter2]}\n".to_owned(),
        "users:\n- username: alice\n  password: >\n    hunter2\n  roles: 1\n".to_owned(),
        "users:\n- username: alice\n  password: |\n    hunter2\n roles: 1\n".to_owned(),
        "alice: hunter2\n".to_owned(),
        "alice=hunter2\n".to_owned(),
    ] {
        let problems = bad(&text);
        let told = format!("{}{problems:?}", shown(&problems));
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn findings_of_policies_get_their_place() {
    let parsed = good("users:\n  - username: alice # hunter2\n    roles: [a, b]\n");
    let mut finding =
        Finding::new(Severity::Warning, "too-many-roles", "/users/0/roles/1", "one is enough").help("drop it");
    finding.policy = Some("frugal".to_owned());
    insta::assert_snapshot!(parsed.locations.locate(&finding), @"
    users.yaml:3:16: warning[too-many-roles]: one is enough
      |
    3 |     roles: [a, b]
      |                ^
      = policy: frugal
      = help: drop it
    ");
    finding.path = "/users/0/username".to_owned();
    assert!(!parsed.locations.locate(&finding).to_string().contains("hunter2"));
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let problems = bad(&format!("users: [{}]", "1,".repeat(5_000)));
    assert_eq!(problems.len(), 1_001);
    assert_eq!(problems[1_000].message, "4000 further problems are not shown");
}

#[test]
fn ten_thousand_users_are_read() {
    let users: String =
        (0..10_000).map(|n| format!("- {{username: u{n}, roles: [r{}, r{}]}}\n", n % 50, (n + 1) % 50)).collect();
    assert_eq!(good(&format!("users:\n{users}")).spec.roles.len(), 10_050);
}
