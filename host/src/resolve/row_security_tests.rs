use std::collections::BTreeSet;

use super::*;
use crate::catalog::{FoundPolicy, Objects};
use crate::model::{Attributes, Membership, PolicyCommand, Role, RowPolicy};
use crate::plan::Securing;

fn table(name: &str) -> TableName {
    TableName { database: "shop".into(), schema: "app".into(), name: name.into() }
}

fn policy(to: &str, using: &str) -> RowPolicy {
    RowPolicy {
        name: "own".into(),
        command: PolicyCommand::All,
        permissive: true,
        roles: BTreeSet::from([to.to_owned()]),
        using: Some(using.into()),
        check: None,
        path: "/policy".into(),
    }
}

fn wanted(policy: RowPolicy) -> TableSecurity {
    let policies = Some(BTreeMap::from([(policy.name.clone(), policy)]));
    TableSecurity { enabled: true, forced: None, policies, path: "/table".into() }
}

/// `orders` belongs to app and has the policy; `list` is a view.
fn world(to: &str) -> (Spec, Catalog) {
    let mut catalog = Catalog::default();
    catalog.server.current_user = "controller".into();
    for name in ["controller", "app"] {
        catalog.roles.insert(name.into(), Role::new(name, Mode::Authoritative, Attributes::USER));
    }
    catalog.roles.get_mut("controller").unwrap().memberships.push(Membership::plain("app"));
    let there = FoundPolicy {
        command: PolicyCommand::All,
        permissive: true,
        roles: BTreeSet::from([to.to_owned()]),
        has: (true, false),
        printed: "printed".into(),
        declared: None,
    };
    let orders = FoundTable {
        owner: "app".into(),
        enabled: true,
        policies: BTreeMap::from([("own".to_owned(), there)]),
        ..FoundTable::default()
    };
    let list = FoundTable { instead: Some("a view"), ..orders.clone() };
    let mut objects = Objects::default();
    objects.secured.insert(("app".into(), "orders".into()), orders);
    objects.secured.insert(("app".into(), "list".into()), list);
    catalog.objects.insert("shop".into(), objects);
    let mut spec = Spec::default();
    spec.row_security.insert(table("orders"), wanted(policy(to, "true")));
    (spec, catalog)
}

fn known(declared: &RowPolicy, printed: &str) -> Expressions {
    let printed = Printed { declared: declared.digest(), printed: printed.into() };
    Expressions::from([((table("orders"), "own".to_owned()), printed)])
}

/// What has to be done to `orders`, and what is said.
fn outcome((mut spec, mut catalog): (Spec, Catalog), known: &Expressions) -> (Vec<&'static str>, Vec<String>) {
    let (mut findings, unsecured) = complete(&mut spec, &mut catalog, known, true);
    assert!(unsecured.is_empty());
    let will_be = |role: &str| catalog.roles.contains_key(role);
    let desired = desired(&spec, will_be, &mut findings);
    let steps = desired.iter().flat_map(|(table, wanted)| differences(found(&catalog, table).unwrap(), wanted));
    let actions = steps.map(|(how, _): (Securing, _)| how.action()).collect();
    (actions, findings.into_iter().map(|finding| finding.code.to_string()).collect())
}

#[test]
fn an_expression_is_as_declared_if_neither_text_has_moved() {
    let nothing: (Vec<&str>, Vec<String>) = (vec![], vec![]);
    let declared = policy("app", "true");
    assert_eq!(outcome(world("app"), &known(&declared, "printed")), nothing);
    let altered = (vec!["alter-policy"], vec![]);
    assert_eq!(outcome(world("app"), &Expressions::new()), altered, "nobody knows what it was");
    assert_eq!(outcome(world("app"), &known(&declared, "other")), altered, "somebody has changed it");
    assert_eq!(outcome(world("app"), &known(&policy("app", "false"), "printed")), altered, "users.yaml has changed");
}

#[test]
fn what_cannot_be_done_is_told_and_left_out() {
    let codes = |world| {
        let (actions, codes) = outcome(world, &Expressions::new());
        assert!(actions.is_empty(), "{actions:?}");
        codes
    };
    let (mut spec, catalog) = world("app");
    let orders = spec.row_security.remove(&table("orders")).unwrap();
    for (name, code) in [("list", "not-a-table"), ("missing", "table-missing")] {
        let row_security = BTreeMap::from([(table(name), orders.clone())]);
        assert_eq!(codes((Spec { row_security, ..Spec::default() }, catalog.clone())), [code]);
    }
    let (spec, mut catalog) = world("app");
    catalog.roles.get_mut("controller").unwrap().memberships.clear();
    assert_eq!(codes((spec, catalog)), ["missing-right"]);
    let (spec, mut catalog) = world("app");
    catalog.closed.insert("shop".into(), "no".into());
    assert_eq!(codes((spec, catalog)), ["database-closed"]);
    assert_eq!(outcome(world(PUBLIC), &Expressions::new()).1, [""; 0], "everybody is always there");
}

#[test]
fn a_policy_is_for_those_of_its_roles_that_are_there() {
    let told = vec!["role-missing".to_owned()];
    assert_eq!(outcome(world("nobody"), &Expressions::new()), (vec!["drop-policy"], told.clone()));
    let (mut spec, mut catalog) = world("app");
    let wanted = spec.row_security.get_mut(&table("orders")).unwrap();
    let policies = wanted.policies.as_mut().unwrap();
    policies.get_mut("own").unwrap().roles.insert("nobody".into());
    let later = RowPolicy { name: "later".into(), ..policy("nobody", "true") };
    policies.insert(later.name.clone(), later);
    catalog.objects.get_mut("shop").unwrap().secured.values_mut().for_each(|table| table.enabled = false);
    let (actions, codes) = outcome((spec.clone(), catalog.clone()), &Expressions::new());
    assert_eq!((actions, codes.len()), (vec!["alter-policy", "enable-row-security"], 2));
    // When it is there, all of it is as declared.
    catalog.roles.insert("nobody".into(), Role::new("nobody", Mode::Authoritative, Attributes::USER));
    let all = vec!["create-policy", "alter-policy", "enable-row-security"];
    assert_eq!(outcome((spec, catalog), &Expressions::new()), (all, vec![]));
}

#[test]
fn what_the_operator_does_not_allow_is_left_out_table_by_table() {
    let without_the_word = |(mut spec, mut catalog): (Spec, Catalog), known: &Expressions| {
        let (findings, unsecured) = complete(&mut spec, &mut catalog, known, false);
        assert_eq!(unsecured.contains(&table("orders")), !spec.row_security.contains_key(&table("orders")));
        (findings.iter().map(|finding| finding.code.to_string()).collect::<Vec<_>>(), unsecured.len())
    };
    let known = known(&policy("app", "true"), "printed");
    assert_eq!(without_the_word(world("app"), &known), (vec![], 0), "nothing has to be done");
    assert_eq!(without_the_word(world("app"), &Expressions::new()), (vec!["power-missing".to_owned()], 1));
    // Whoever owns the table makes a step necessary where there was none.
    let (spec, mut catalog) = world("app");
    catalog.objects.get_mut("shop").unwrap().secured.values_mut().for_each(|table| table.enabled = false);
    assert_eq!(without_the_word((spec, catalog), &known), (vec!["power-missing".to_owned()], 1));
}

#[test]
fn what_is_only_observed_is_compared_and_left_alone() {
    let observed = |using: &str, known: &Expressions| {
        let (mut spec, catalog) = world("app");
        spec.mode = Mode::Observe;
        let wanted = spec.row_security.get_mut(&table("orders")).unwrap();
        *wanted = self::wanted(policy("app", using));
        outcome((spec, catalog), known)
    };
    // What nobody has set may be anything.
    assert_eq!(observed("true", &Expressions::new()), (vec![], vec![]));
    let known = known(&policy("app", "true"), "printed");
    assert_eq!(observed("true", &known), (vec![], vec![]));
    assert_eq!(observed("false", &known), (vec![], vec!["observed".to_owned()]));
}
