//! A hostile planner and databases: it gets none that is not declared, no other owner, and nothing of the ledger.

use std::collections::BTreeMap;

use super::trial::{bounds, plan, rules};
use super::*;
use crate::catalog::{Objects, Schema};
use crate::model::{self, Database, Mode, Object, Spec};
use crate::resolve::{self, Records, wishes};

fn role(name: &str) -> Role {
    Role {
        has_password: Some(false),
        connection_limit: Some(Limit::Unlimited),
        valid_until: Some(Expiry::Never),
        ..Role::new(name, Mode::Authoritative, Attributes::GROUP)
    }
}

fn database(name: &str, owner: Option<&str>, schemas: &[(&str, Option<&str>)]) -> Database {
    let schema = |(name, owner): &(&str, Option<&str>)| model::Schema {
        name: (*name).into(),
        owner: owner.map(str::to_owned),
        path: String::new(),
    };
    Database { owner: owner.map(str::to_owned), schemas: schemas.iter().map(schema).collect(), ..Database::new(name) }
}

/// `shop` is there, its owner `app`; declared are its schema `sales`, that PUBLIC holds nothing on it, and `new`.
fn world() -> (Catalog, Resolved) {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.server.superuser = true;
    catalog.server.current_user = "postgres".into();
    for (number, name) in ["postgres", "app", "evil"].into_iter().enumerate() {
        catalog.roles.insert(name.into(), role(name));
        catalog.oids.insert(name.into(), number as u32 + 10);
    }
    for name in ["shop", "other"] {
        catalog.databases.insert(name.into(), database(name, Some("app"), &[]));
        catalog.public.insert(name.into(), Privileges::CONNECT);
        let mut objects = Objects::default();
        objects.schemas.insert("stock".into(), Schema { owner: "app".into(), ..Schema::default() });
        catalog.objects.insert(name.into(), objects);
    }
    catalog.assign_standing(&BTreeSet::new(), &BTreeSet::new());
    let mut spec = Spec::default();
    for declared in [database("shop", None, &[("sales", Some("app"))]), database("new", Some("app"), &[])] {
        spec.databases.insert(declared.name.clone(), declared);
    }
    let on = Object::Database("shop".into());
    let (privileges, grantable) = (Privileges::empty(), Privileges::empty());
    spec.public.push(Grant { database: None, on, privileges, grantable });
    resolve::databases::foresee(&mut spec, &mut catalog, &BTreeMap::new());
    wishes::complete(&mut spec, &mut catalog, &Records::new());
    let resolved = resolve::resolve(&spec, &catalog, &Records::new(), &BTreeMap::new());
    (catalog, resolved)
}

fn public(database: &str) -> Change {
    let on = Object::Database(database.into());
    let grant = Grant { database: None, on, privileges: Privileges::CONNECT, grantable: Privileges::empty() };
    Change::RevokePrivilege { role: Some(PUBLIC.into()), grant }
}

fn as_declared() -> Vec<Change> {
    vec![
        Change::CreateDatabase(database("new", Some("app"), &[])),
        Change::AlterDatabase(database("shop", None, &[("sales", Some("app"))])),
        public("shop"),
    ]
}

/// The rules that a plan breaks which does all that is declared, and this.
fn broken(changes: Vec<Change>) -> Vec<&'static str> {
    let (catalog, resolved) = world();
    rules(judge(plan(changes), "evil", &resolved, &catalog, &bounds()))
}

fn and(change: Change) -> Vec<&'static str> {
    broken(as_declared().into_iter().chain([change]).collect())
}

#[test]
fn what_is_declared_passes_and_less_does_not() {
    assert!(broken(as_declared()).is_empty());
    for left_out in 0..3 {
        let mut changes = as_declared();
        changes.remove(left_out);
        assert_eq!(broken(changes), ["not-as-desired"], "without {left_out}");
    }
}

#[test]
fn nothing_else_is_made_or_given_away() {
    let alter = |name, owner, schemas: &[_]| and(Change::AlterDatabase(database(name, owner, schemas)));
    assert_eq!(and(Change::CreateDatabase(database("more", None, &[]))), ["out-of-scope"]);
    assert_eq!(alter("other", Some("evil"), &[]), ["out-of-scope"]);
    // Also where it would be made good: in between, it would be so.
    assert_eq!(alter("new", Some("evil"), &[])[0], "not-as-desired");
    assert!(alter("shop", Some("evil"), &[]).contains(&"not-as-desired"));
    assert!(alter("shop", None, &[("sales", Some("evil"))]).contains(&"not-as-desired"));
    assert!(alter("shop", None, &[("stock", Some("evil"))]).contains(&"not-as-desired"));
    assert_eq!(alter("shop", None, &[("rolewright", Some("evil"))]), ["ledger", "not-as-desired"]);
    assert!(and(Change::CreateDatabase(database("shop", None, &[]))).contains(&"impossible-step"));
    let limit = Database { connection_limit: Some(Limit::AtMost(0)), ..database("shop", None, &[]) };
    assert!(and(Change::AlterDatabase(limit)).contains(&"not-as-desired"));
    let comment = Database { comment: Some("x".into()), ..database("shop", None, &[]) };
    assert!(and(Change::AlterDatabase(comment)).contains(&"not-as-desired"));
}

#[test]
fn what_public_holds_is_touched_only_where_it_is_declared() {
    assert!(!and(public("other")).is_empty());
    let on = Object::Database("shop".into());
    let grant = Grant { database: None, on, privileges: Privileges::CREATE, grantable: Privileges::empty() };
    assert!(!and(Change::GrantPrivilege { role: Some(PUBLIC.into()), grant }).is_empty());
    for change in [
        Change::DropRole { name: PUBLIC.into(), reassign_to: None },
        Change::SetPassword(PUBLIC.into()),
        Change::GrantRole { member: PUBLIC.into(), membership: model::Membership::plain("app") },
    ] {
        assert!(!and(change.clone()).is_empty(), "{change:?}");
    }
}

#[test]
fn nobody_is_granted_anything_on_the_ledger() {
    let (mut catalog, mut resolved) = world();
    let objects = catalog.objects.get_mut("shop").unwrap();
    objects.schemas.insert(LEDGER_SCHEMA.into(), Schema { owner: "postgres".into(), ..Schema::default() });
    let (database, on) = (Some("shop".to_owned()), Object::Schema(LEDGER_SCHEMA.into()));
    let grant = Grant { database, on, privileges: Privileges::CREATE, grantable: Privileges::empty() };
    resolved.in_scope.insert("evil".into());
    let plan = plan([Change::GrantPrivilege { role: Some("evil".into()), grant }]);
    let mut rules = Vec::new();
    scope(0, &plan.steps[0], &resolved, &catalog, &bounds(), &mut rules);
    assert_eq!(rules.iter().map(|violation| violation.rule).collect::<Vec<_>>(), ["ledger"]);
}

#[test]
fn all_that_is_about_a_database_waits_with_it_and_nothing_else() {
    let plan = GuardedPlan::unjudged(plan(as_declared()));
    let part = plan.on_the_server();
    let left = |subjects: &[&str]| {
        let part = part.without(&subjects.iter().copied().collect());
        part.steps().iter().map(|step| (step.change.action(), step.change.subject().into_owned())).collect::<Vec<_>>()
    };
    let all = left(&[]);
    let of = |name: &str| all.iter().filter(|(_, subject)| subject == name).cloned().collect::<Vec<_>>();
    let (new, shop) = (of("database \"new\""), of("database \"shop\""));
    assert!(!new.is_empty() && shop.iter().any(|(action, _)| *action == "revoke-privilege"), "{all:?}");
    assert_eq!(left(&["database \"shop\""]), new);
    assert_eq!(left(&["database \"new\""]), shop);
    assert_eq!(left(&["shop", "new", PUBLIC]), all);
}
