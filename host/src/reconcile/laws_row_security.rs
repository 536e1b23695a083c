//! The law of row-level security, for random tables: the steps lead from what is there to what is declared, in any such
//! pair; what is not declared of a table stays; and then there is nothing left to do. What the server makes of each step
//! is told by a model of its own.

use std::collections::{BTreeMap, BTreeSet};

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::laws::bounds;
use crate::catalog::{Catalog, FoundPolicy, FoundTable, Objects};
use crate::guard::row_security::ROW_SECURITY;
use crate::guard::{self, Bounds, Judgement};
use crate::model::{PUBLIC, PolicyCommand, RowPolicy, TableName, TableSecurity};
use crate::plan::{Cause, Change, Plan, Securing, order, row_security as steps};
use crate::resolve::Resolved;
use crate::resolve::row_security::found;

const TABLES: [&str; 2] = ["orders", "items"];
const POLICIES: [&str; 3] = ["own", "all", "old"];

fn roles() -> impl Strategy<Value = BTreeSet<String>> {
    let some = subsequence(vec!["reader", "writer"], 1..=2);
    prop_oneof![Just(vec![PUBLIC]), some].prop_map(|roles| roles.into_iter().map(str::to_owned).collect())
}

fn policy(name: &'static str) -> impl Strategy<Value = RowPolicy> {
    let command = select(PolicyCommand::WORDS.map(|(_, _, command)| command).to_vec());
    let expression = || option::of(select(vec!["true", "false", "a = b"]).prop_map(str::to_owned));
    (command, any::<bool>(), roles(), expression(), expression()).prop_map(
        move |(command, permissive, roles, using, check)| RowPolicy {
            name: name.into(),
            command,
            permissive,
            roles,
            using: using.filter(|_| command.takes_using()),
            check: check.filter(|_| command.takes_check()),
            path: String::new(),
        },
    )
}

fn policies() -> impl Strategy<Value = BTreeMap<String, RowPolicy>> {
    let names = subsequence(POLICIES.to_vec(), 0..=POLICIES.len());
    names
        .prop_flat_map(|names| names.into_iter().map(policy).collect::<Vec<_>>())
        .prop_map(|policies| policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect())
}

/// As the server has it, each policy with its expressions; and for which of them that is known.
#[derive(Debug, Clone)]
struct There {
    enabled: bool,
    forced: bool,
    policies: BTreeMap<String, RowPolicy>,
    known: BTreeSet<String>,
}

fn there() -> impl Strategy<Value = There> {
    (any::<bool>(), any::<bool>(), policies(), subsequence(POLICIES.to_vec(), 0..=POLICIES.len())).prop_map(
        |(enabled, forced, policies, known)| {
            let known = known.into_iter().map(str::to_owned).collect();
            There { enabled, forced, policies, known }
        },
    )
}

fn wanted() -> impl Strategy<Value = TableSecurity> {
    (any::<bool>(), option::of(any::<bool>()), option::of(policies()))
        .prop_map(|(enabled, forced, policies)| TableSecurity { enabled, forced, policies, path: String::new() })
}

fn table(name: &str) -> TableName {
    TableName { database: "shop".into(), schema: "app".into(), name: name.into() }
}

fn seen(there: &BTreeMap<&str, There>) -> Catalog {
    let mut objects = Objects::default();
    for (name, there) in there {
        let policies = there.policies.values().map(|policy| {
            let found = FoundPolicy {
                command: policy.command,
                permissive: policy.permissive,
                roles: policy.roles.clone(),
                has: (policy.using.is_some(), policy.check.is_some()),
                printed: policy.digest(),
                declared: there.known.contains(&policy.name).then(|| policy.digest()),
            };
            (policy.name.clone(), found)
        });
        let found = FoundTable {
            enabled: there.enabled,
            forced: there.forced,
            policies: policies.collect(),
            ..FoundTable::default()
        };
        objects.secured.insert(("app".into(), (*name).into()), found);
    }
    Catalog { objects: BTreeMap::from([("shop".to_owned(), objects)]), ..Catalog::default() }
}

/// A server, read independently of the replay: `ALTER POLICY` leaves alone what it does not name.
fn carry_out(there: &mut BTreeMap<&str, There>, change: &Change) {
    let Change::SecureTable { table, how } = change else { panic!("nobody asked for {change:?}") };
    let there = there.get_mut(table.name.as_str()).unwrap();
    match how {
        Securing::Enable => there.enabled = true,
        Securing::Disable => there.enabled = false,
        Securing::Force => there.forced = true,
        Securing::NoForce => there.forced = false,
        Securing::CreatePolicy(policy) => {
            assert!(there.policies.insert(policy.name.clone(), policy.clone()).is_none());
        }
        Securing::AlterPolicy(policy) => {
            let found = there.policies.get_mut(&policy.name).unwrap();
            found.roles.clone_from(&policy.roles);
            found.using = policy.using.clone().or(found.using.take());
            found.check = policy.check.clone().or(found.check.take());
        }
        Securing::ReplacePolicy(policy) => {
            there.policies.remove(&policy.name).unwrap();
            there.policies.insert(policy.name.clone(), policy.clone());
        }
        Securing::DropPolicy(name) => drop(there.policies.remove(name).unwrap()),
    }
    there.known.extend(how.made().map(|policy| policy.name.clone()));
}

fn plan(resolved: &Resolved, catalog: &Catalog) -> Plan {
    let tables = resolved.row_security.iter();
    let tables = tables.filter_map(|(table, wanted)| Some((table, found(catalog, table)?, wanted)));
    let mut steps = steps::steps(tables, Cause::Spec, "rolewright");
    order::sort(&mut steps);
    Plan { steps, ..Plan::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn tables_come_to_be_secured_as_declared_and_nothing_else_moves(
        before in prop::collection::vec(there(), 2),
        declared in prop::collection::vec(option::of(wanted()), 2),
    ) {
        let before: BTreeMap<&str, There> = TABLES.into_iter().zip(before).collect();
        let declared = TABLES.into_iter().zip(declared).filter_map(|(name, wanted)| Some((table(name), wanted?)));
        let resolved = Resolved { row_security: declared.collect(), ..Resolved::default() };
        let catalog = seen(&before);
        let plan_ = plan(&resolved, &catalog);
        let allowed = Bounds { allowed_powers: BTreeSet::from([ROW_SECURITY.to_owned()]), ..bounds() };
        let judged = guard::judge(plan_.clone().into(), "standard", &resolved, &catalog, &allowed);
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}\n{:#?}", plan_.steps);

        let mut after = before.clone();
        plan_.steps.iter().for_each(|step| carry_out(&mut after, &step.change));
        for (name, there) in &after {
            let was = &before[name];
            let Some(wanted) = resolved.row_security.get(&table(name)) else {
                prop_assert_eq!((there.enabled, there.forced, &there.policies), (was.enabled, was.forced, &was.policies));
                continue;
            };
            prop_assert_eq!(there.enabled, wanted.enabled);
            prop_assert_eq!(there.forced, wanted.forced.unwrap_or(was.forced));
            prop_assert_eq!(&there.policies, wanted.policies.as_ref().unwrap_or(&was.policies));
        }
        prop_assert!(plan(&resolved, &seen(&after)).steps.is_empty(), "a second plan has something to do");
        // Nothing is done without the operator's word.
        if !plan_.steps.is_empty() {
            let judged = guard::judge(plan_.into(), "standard", &resolved, &catalog, &bounds());
            prop_assert!(matches!(judged, Judgement::Refused(_)), "{judged:#?}");
        }
    }
}
