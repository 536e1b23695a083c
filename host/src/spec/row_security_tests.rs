//! `row_security` of users.yaml: what is read, and what is said of what cannot be meant.

use crate::model::{Mode, PUBLIC, PolicyCommand, TableName};
use crate::spec::{Diagnostic, Document, Parsed, parse};

fn read(entries: &str) -> Result<Parsed, Vec<Diagnostic>> {
    parse(&Document::plain("users.yaml", format!("users: []\ndatabases:\n- name: shop\n  row_security: {entries}\n")))
}

fn codes(entries: &str) -> Vec<String> {
    read(entries).err().into_iter().flatten().map(|problem| problem.code.to_string()).collect()
}

#[test]
fn a_table_is_read_with_its_policies() {
    let parsed = read(
        "[{schema: app, table: \"or'd; --\", forced: true, policies: [{name: own, to: [reader], command: insert, check: \
         \"a = ')'\"}, {name: all, permissive: false, using: true}]}, {schema: app, table: open, enabled: false}]",
    )
    .unwrap();
    let table = |name: &str| TableName { database: "shop".into(), schema: "app".into(), name: name.into() };
    let orders = &parsed.spec.row_security[&table("or'd; --")];
    assert_eq!((orders.enabled, orders.forced), (true, Some(true)));
    let policies = orders.policies.as_ref().unwrap();
    let own = &policies["own"];
    assert_eq!((own.command, own.permissive), (PolicyCommand::Insert, true));
    assert_eq!((own.using.as_deref(), own.check.as_deref()), (None, Some("a = ')'")));
    assert_eq!(own.path, "/databases/0/row_security/0/policies/0");
    let all = &policies["all"];
    assert_eq!((all.command, all.permissive, all.using.as_deref()), (PolicyCommand::All, false, Some("true")));
    assert_eq!(all.roles.iter().collect::<Vec<_>>(), [PUBLIC]);
    let open = &parsed.spec.row_security[&table("open")];
    assert!(!open.enabled && open.forced.is_none() && open.policies.is_none());
    // Whom a policy is for is made like a role that is only named.
    let reader = &parsed.spec.roles["reader"];
    assert!(reader.mode == Mode::Present && !reader.is_user());
    assert!(!parsed.spec.roles.contains_key(PUBLIC));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let policy = |text: &str| format!("[{{schema: app, table: t, policies: [{{name: p, {text}}}]}}]");
    for (entries, code) in [
        ("{}".to_owned(), "wrong-type"),
        ("[app.orders]".to_owned(), "wrong-type"),
        ("[{table: t}]".to_owned(), "missing-key"),
        ("[{schema: app}]".to_owned(), "missing-key"),
        ("[{schema: app, table: t, owner: a}]".to_owned(), "unknown-key"),
        ("[{schema: app, table: t, enabled: on}]".to_owned(), "wrong-type"),
        ("[{schema: app, table: t}, {schema: app, table: t}]".to_owned(), "duplicate-table"),
        ("[{schema: pg_catalog, table: pg_authid}]".to_owned(), "system-schema"),
        ("[{schema: rolewright, table: roles}]".to_owned(), "system-schema"),
        ("[{schema: app, table: t, policies: own}]".to_owned(), "wrong-type"),
        ("[{schema: app, table: t, policies: [own]}]".to_owned(), "wrong-type"),
        ("[{schema: app, table: t, policies: [{using: true}]}]".to_owned(), "missing-key"),
        (policy("usign: true"), "unknown-key"),
        (policy("to: [a]"), "no-expression"),
        (policy("using: true, command: truncate"), "unknown-command"),
        (policy("using: true, command: insert"), "misplaced-expression"),
        (policy("using: true, check: true, command: select"), "misplaced-expression"),
        (policy("using: true, check: true, command: delete"), "misplaced-expression"),
        (policy("using: true, to: a"), "wrong-type"),
        (policy("using: true, to: []"), "no-roles"),
        (policy("using: true, to: [a, a]"), "duplicate-role"),
        (policy("using: true, to: [a, public]"), "public-and-others"),
        (policy("using: true, to: [none]"), "reserved-name"),
        (policy("using: \"true) TO public WITH CHECK (true\""), "unsafe-expression"),
        (policy("using: \"true --\""), "unsafe-expression"),
        (policy("check: \"a; DROP TABLE b\""), "unsafe-expression"),
        (policy("using: 5"), "unquoted-name"),
        (policy("using: true}, {name: p, using: true"), "duplicate-policy"),
    ] {
        let codes = codes(&entries);
        assert!(codes.iter().any(|found| found == code), "{entries}: {codes:?}, and not {code}");
    }
}
