//! A hostile hand in the host's own steps against the guard: what is declared of row-level security is what a plan does,
//! with the operator's word for it.

use std::collections::{BTreeMap, BTreeSet};

use super::row_security::ROW_SECURITY;
use super::trial::{bounds, plan_of, rules};
use super::*;
use crate::catalog::{FoundPolicy, FoundTable, Objects};
use crate::model::{PolicyCommand, RowPolicy, TableName};
use crate::plan::{Cause, Securing, row_security as steps};

fn table(name: &str) -> TableName {
    TableName { database: "shop".into(), schema: "app".into(), name: name.into() }
}

fn policy(name: &str, using: &str) -> RowPolicy {
    RowPolicy {
        name: name.into(),
        command: PolicyCommand::All,
        permissive: true,
        roles: BTreeSet::from(["reader".to_owned()]),
        using: Some(using.into()),
        check: None,
        path: String::new(),
    }
}

/// Declared: `orders` is to have `own` and nothing else, and to be on. There: it is off, and has `old`. Nobody speaks of
/// `other`.
fn world() -> (Catalog, Resolved) {
    let mut catalog = Catalog::default();
    let old = FoundPolicy {
        command: PolicyCommand::All,
        permissive: true,
        roles: BTreeSet::from(["reader".to_owned()]),
        has: (true, false),
        printed: String::new(),
        declared: None,
    };
    let orders = FoundTable { policies: BTreeMap::from([("old".to_owned(), old)]), ..FoundTable::default() };
    let other = FoundTable { enabled: true, ..orders.clone() };
    let mut objects = Objects::default();
    objects.secured.insert(("app".into(), "orders".into()), orders);
    objects.secured.insert(("app".into(), "other".into()), other);
    catalog.objects.insert("shop".into(), objects);
    let policies = Some(BTreeMap::from([("own".to_owned(), policy("own", "true"))]));
    let wanted = TableSecurity { enabled: true, forced: None, policies, path: String::new() };
    let resolved = Resolved { row_security: BTreeMap::from([(table("orders"), wanted)]), ..Resolved::default() };
    (catalog, resolved)
}

fn honest() -> Vec<Step> {
    let (catalog, resolved) = world();
    let tables = resolved.row_security.iter();
    let tables = tables.filter_map(|(table, wanted)| Some((table, resolve_found(&catalog, table)?, wanted)));
    steps::steps(tables, Cause::Spec, "rolewright")
}

fn resolve_found<'a>(catalog: &'a Catalog, table: &TableName) -> Option<&'a FoundTable> {
    crate::resolve::row_security::found(catalog, table)
}

fn step(table: TableName, how: Securing) -> Step {
    let change = Change::SecureTable { table, how };
    let (reason, path, by) = (String::new(), String::new(), "evil".to_owned());
    Step { risk: change.risk(), change, reason, path, cause: Cause::Spec, by }
}

fn judged(steps: Vec<Step>, powers: &[&str]) -> Vec<&'static str> {
    let (catalog, resolved) = world();
    let bounds = Bounds { allowed_powers: powers.iter().map(|power| (*power).to_owned()).collect(), ..bounds() };
    rules(judge(plan_of(steps), "evil", &resolved, &catalog, &bounds))
}

fn and(table: TableName, how: Securing) -> Vec<&'static str> {
    judged(honest().into_iter().chain([step(table, how)]).collect(), &[ROW_SECURITY])
}

#[test]
fn what_is_declared_passes_and_less_does_not() {
    assert_eq!(honest().len(), 3);
    assert!(judged(honest(), &[ROW_SECURITY]).is_empty());
    for left_out in 0..3 {
        let mut steps = honest();
        steps.remove(left_out);
        assert_eq!(judged(steps, &[ROW_SECURITY]), ["not-as-desired"], "without {left_out}");
    }
}

#[test]
fn without_the_operators_word_nothing_is_done() {
    assert_eq!(judged(honest(), &[]), ["power-raised"; 3], "a policy is dropped, one is made, and it is switched on");
    assert_eq!(judged(honest(), &["BYPASSRLS"]), ["power-raised"; 3]);
    assert!(judged(honest(), &["row_security"]).is_empty());
    let (_, mut resolved) = world();
    let wanted = resolved.row_security.get_mut(&table("orders")).unwrap();
    wanted.policies = None;
    let mut violations = Vec::new();
    let mut check = |how: Securing| {
        violations.clear();
        let violate = |rule, _| violations.push(rule);
        row_security::check(&table("orders"), &how, &resolved, &BTreeSet::new(), violate);
        violations.len()
    };
    let switches = [Securing::Enable, Securing::Force, Securing::Disable, Securing::NoForce];
    assert_eq!(switches.map(&mut check), [1; 4], "rows that are hidden may be what others count on");
}

#[test]
fn nothing_else_is_secured_or_opened() {
    assert!(and(table("other"), Securing::Disable).contains(&"out-of-scope"));
    assert!(and(table("missing"), Securing::Enable).contains(&"out-of-scope"));
    assert_eq!(and(table("orders"), Securing::Disable), ["not-as-desired"]);
    assert_eq!(and(table("orders"), Securing::DropPolicy("own".into())), ["not-as-desired"]);
    assert_eq!(and(table("orders"), Securing::CreatePolicy(policy("more", "true"))), ["not-as-desired"]);
    let wider = RowPolicy { roles: BTreeSet::from([PUBLIC.to_owned()]), ..policy("own", "true") };
    assert_eq!(and(table("orders"), Securing::AlterPolicy(wider)), ["not-as-desired"]);
    assert_eq!(and(table("orders"), Securing::AlterPolicy(policy("own", "1 = 1"))), ["not-as-desired"]);
    let open = RowPolicy { permissive: false, ..policy("own", "true") };
    assert_eq!(and(table("orders"), Securing::ReplacePolicy(open)), ["not-as-desired"]);
}

#[test]
fn what_the_server_would_refuse_is_impossible() {
    for how in [
        Securing::Enable,
        Securing::NoForce,
        Securing::DropPolicy("old".into()),
        Securing::CreatePolicy(policy("own", "true")),
        Securing::AlterPolicy(policy("old", "true")),
        Securing::ReplacePolicy(policy("old", "true")),
    ] {
        assert_eq!(and(table("orders"), how.clone()), ["impossible-step"], "{how:?}");
    }
}

#[test]
fn an_expression_that_could_leave_its_place_is_refused_here_too() {
    let (_, resolved) = world();
    let mut rules = Vec::new();
    let how = Securing::CreatePolicy(policy(&"x".repeat(64), "true) TO public USING (true"));
    let allowed = BTreeSet::from([ROW_SECURITY.to_owned()]);
    row_security::check(&table("orders"), &how, &resolved, &allowed, |rule, _| rules.push(rule));
    assert_eq!(rules, ["invalid-name", "unsafe-expression"]);
}
