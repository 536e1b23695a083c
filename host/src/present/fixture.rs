//! A plan with one of everything, hostile names included, for the tests of the renderings.

use std::collections::BTreeMap;

use super::View;
use crate::catalog::Catalog;
use crate::model::{
    Attributes, Credential, Database, Expiry, Grant, Limit, Membership, Mode, Object, PUBLIC, Privileges, Role, Schema,
    SecretState, Severity,
};
use crate::plan::Touch;
use crate::plan::{Cause, Change, Plan, Removal, Risk, RolePatch, Step, order};
use crate::spec::Diagnostic;
use crate::spec::Document;
use crate::spec::Parsed;
use crate::spec::parse;

/// A role name that would like to be much more.
pub(super) const HOSTILE: &str = "x\n\"; DROP ROLE postgres; --\u{202e}|`<b>";

pub(super) struct Fixture {
    pub(super) plan: Plan,
    pub(super) catalog: Catalog,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) parsed: Parsed,
    desired: BTreeMap<String, Role>,
    touches: Vec<Touch>,
    modules: Vec<String>,
}

impl Fixture {
    pub(super) fn view(&self) -> View<'_> {
        View {
            plan: &self.plan,
            catalog: &self.catalog,
            counts: self.plan.counts(&self.plan.users(&self.catalog)),
            findings: &self.findings,
            declared: &self.parsed,
            desired: &self.desired,
            reassign_owned_to: "postgres",
            namespace: "postgres",
            target: "db:5432/postgres",
            database: "postgres",
            held: None,
            refused: None,
            rehearsed: None,
            touches: &self.touches,
            modules: &self.modules,
        }
    }
}

const DOCUMENT: &str = "
users:
  - { username: bob, database: myapp, roles: [developer] }
  - { username: alice, database: myapp, roles: [read_only, analyst] }
";

pub(super) fn empty() -> Fixture {
    let parsed = parse(&Document::plain("users.yaml", DOCUMENT)).unwrap();
    let mut catalog = Catalog::default();
    catalog.server.version = 160_004;
    catalog.server.target = "db:5432/postgres".into();
    Fixture {
        plan: Plan { digest: "sha256:0123abcd".into(), ..Plan::default() },
        catalog,
        findings: Vec::new(),
        desired: BTreeMap::new(),
        parsed,
        touches: Vec::new(),
        modules: vec!["standard".into()],
    }
}

fn credential(user: &str) -> Option<Credential> {
    Some(Credential {
        state: SecretState::Present,
        version: "1".into(),
        ..Credential::new(format!("user-{user}-secret"), "password")
    })
}

fn connect(database: &str) -> Grant {
    Grant {
        database: None,
        on: Object::Database(database.into()),
        privileges: Privileges::CONNECT,
        grantable: Privileges::empty(),
    }
}

fn step(change: Change, cause: Cause, reason: &str) -> Step {
    let risk = change.risk().max(Risk::Safe);
    Step { change, risk, reason: reason.into(), path: String::new(), cause, by: "standard".into() }
}

/// What a policy made of a role.
pub(super) fn touch() -> Touch {
    let before = Role { valid_until: Some(Expiry::Never), ..Role::new("alice", Mode::Authoritative, Attributes::USER) };
    let after = Role { valid_until: Some(Expiry::At(1_801_353_600)), ..before.clone() };
    Touch { role: "alice".into(), policy: "expiry".into(), before: Some(before), after: Some(after) }
}

fn database(name: &str, schema: Option<&str>) -> Database {
    let schema = schema.map(|name| Schema { name: name.into(), owner: Some("developer".into()), path: String::new() });
    Database { schemas: schema.into_iter().collect(), ..Database::new(name) }
}

pub(super) fn rich() -> Fixture {
    let mut fixture = empty();
    fixture.touches.push(touch());
    let mut found = |name: &str, attributes| {
        let role = Role::new(name, Mode::Authoritative, attributes);
        fixture.catalog.roles.insert(name.into(), role);
    };
    found("bob", Attributes::USER | Attributes::CREATEDB);
    found("carol", Attributes::USER);
    found("old", Attributes::GROUP);
    found("developer", Attributes::GROUP);
    found("read_only", Attributes::GROUP);

    let mut alice = Role::new("alice", Mode::Authoritative, Attributes::USER);
    alice.memberships = vec![Membership::plain("analyst"), Membership::plain("read_only")];
    alice.credential = credential("alice");
    alice.connection_limit = Some(Limit::AtMost(3));
    alice.valid_until = Some(Expiry::At(1_800_000_000));
    let mut bob = Role::new("bob", Mode::Authoritative, Attributes::USER);
    bob.credential = credential("bob");
    let mut hostile = Role::new(HOSTILE, Mode::Authoritative, Attributes::USER);
    hostile.memberships = vec![Membership { admin: true, ..Membership::plain("user") }];
    hostile.comment = Some("it's\n\\! rm".into());
    fixture.desired = [&alice, &bob, &hostile].map(|role| (role.name.clone(), role.clone())).into();

    let edge = |role: &str, grantor: &str| Membership { grantor: Some(grantor.into()), ..Membership::plain(role) };
    let patch = RolePatch { name: "bob".into(), clear: Attributes::CREATEDB, ..RolePatch::default() };
    let group = |name: &str| Change::CreateRole(Role::new(name, Mode::Present, Attributes::GROUP));
    let drop = |name: &str| Change::DropRole { name: name.into(), reassign_to: None };
    let granted = |role: &str| Change::GrantPrivilege { role: Some(role.into()), grant: connect("myapp") };
    let member = || "bob".to_owned();
    let limited = Database {
        owner: Some("developer".into()),
        connection_limit: Some(Limit::AtMost(50)),
        comment: Some("what we sell".into()),
        ..database("shop", None)
    };
    let mut steps = vec![
        step(group("analyst"), Cause::Spec, "named by users"),
        step(group("user"), Cause::Spec, "named by users"),
        step(Change::CreateRole(alice), Cause::Spec, "declared, and not on the server"),
        step(Change::CreateRole(hostile), Cause::Spec, "because\nI say so <b>@all</b>"),
        step(Change::AlterRole(patch), Cause::Drift, "attributes differ"),
        step(Change::SetPassword("bob".into()), Cause::Spec, "its Secret has changed"),
        step(Change::GrantRole { member: member(), membership: Membership::plain("developer") }, Cause::Spec, ""),
        step(Change::RevokeRole { member: member(), membership: edge("old", "postgres") }, Cause::Drift, ""),
        step(granted("alice"), Cause::Spec, "its database"),
        step(granted(HOSTILE), Cause::Spec, "its database"),
        step(Change::CreateDatabase(database("shop", None)), Cause::Spec, "declared, absent from the server"),
        step(Change::AlterDatabase(limited), Cause::Spec, "declared, absent from the server"),
        step(Change::AlterDatabase(database("shop", Some("sales"))), Cause::Spec, "declared, absent from the server"),
        step(Change::RevokePrivilege { role: Some(PUBLIC.into()), grant: connect("shop") }, Cause::Spec, ""),
        step(drop("carol"), Cause::Spec, "no longer declared"),
        step(drop("old"), Cause::Spec, "nobody names it any more"),
    ];
    order::sort(&mut steps);
    fixture.plan.steps = steps;
    let dependencies =
        [("", 1), ("myapp", 3), ("it's = \"odd\"", 1)].map(|(name, count)| (name.to_owned(), count)).into();
    let owned = BTreeMap::from([
        ("myapp".to_owned(), BTreeMap::from([("relation", 2), ("schema", 1)])),
        (String::new(), BTreeMap::from([("database", 1)])),
    ]);
    let removal = Removal { reassign_to: "postgres".into(), dependencies, owned, sessions: 2, ..Removal::default() };
    fixture.plan.removals.insert("carol".into(), removal);
    fixture.findings.push(Diagnostic {
        severity: Severity::Error,
        code: "secret-missing".into(),
        path: "/users/2".into(),
        message: "there is no Secret \"user-dora-secret\"; dora is left as she is".into(),
        help: Some("create the Secret with a key \"password\"".into()),
        policy: None,
        file: "users.yaml".into(),
        line: 5,
        column: 5,
        exact: true,
        source: None,
    });
    fixture
}
