//! Whose a role is, and what becomes of it.

use super::*;
use crate::model::{Credential, Database, Membership, Privileges, SecretState};

pub(super) fn catalog(roles: &[Role]) -> Catalog {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.server.bootstrap_superuser = "postgres".into();
    for (number, role) in roles.iter().enumerate() {
        catalog.oids.insert(role.name.clone(), 100 + number as u32);
        catalog.roles.insert(role.name.clone(), role.clone());
    }
    catalog
}

pub(super) fn spec(roles: &[Role]) -> Spec {
    Spec { roles: roles.iter().map(|role| (role.name.clone(), role.clone())).collect(), ..Spec::default() }
}

pub(super) fn record(oid: u32, kind: Kind) -> Record {
    let origin = Origin::Created;
    Record { oid: Some(oid), kind, origin, secret_version: None, row_version: None, applied: None }
}

pub(super) fn user(name: &str) -> Role {
    Role::new(name, Mode::Authoritative, Attributes::USER)
}

pub(super) fn resolve_all(spec: &Spec, mut catalog: Catalog, records: &Records) -> Resolved {
    let managed = managed(records, &catalog);
    catalog.assign_standing(&BTreeSet::new(), &managed);
    resolve(spec, &catalog, records, &BTreeMap::new())
}

#[test]
fn what_is_recorded_and_no_longer_declared_goes() {
    let records = Records::from([("alice".into(), record(100, Kind::User))]);
    let resolved = resolve_all(&spec(&[]), catalog(&[user("alice"), user("mallory")]), &records);
    assert_eq!(resolved.removable, BTreeSet::from(["alice".to_owned()]));
}

#[test]
fn what_nobody_says_of_a_group_role_is_filled_in() {
    let declared = |name: &str| Role::new(name, Mode::Authoritative, Attributes::GROUP);
    let found = Role { has_password: Some(true), comment: Some("c".to_owned()), ..declared("there") };
    let resolved = resolve_all(&spec(&[declared("there"), declared("new")]), catalog(&[found]), &Records::new());
    let (there, new) = (&resolved.desired["there"], &resolved.desired["new"]);
    assert_eq!((there.has_password, there.comment.as_deref()), (Some(true), Some("c")));
    assert_eq!((new.has_password, new.connection_limit), (Some(false), Some(Limit::Unlimited)));
}

#[test]
fn a_group_role_that_was_declared_is_told_from_one_that_was_only_named() {
    let record =
        |oid, mode| Record { applied: Some(Role::new("", mode, Attributes::GROUP)), ..record(oid, Kind::Group) };
    let records =
        Records::from([("a".into(), record(100, Mode::Authoritative)), ("b".into(), record(101, Mode::Present))]);
    let group = |name: &str| Role::new(name, Mode::Present, Attributes::GROUP);
    let resolved = resolve_all(&spec(&[]), catalog(&[group("a"), group("b")]), &records);
    assert_eq!(resolved.removable, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    assert_eq!(resolved.removable_groups, BTreeSet::from(["a".to_owned()]));
}

#[test]
fn a_role_made_anew_by_somebody_else_is_released() {
    let records = Records::from([("alice".into(), record(7, Kind::User))]);
    let resolved = resolve_all(&spec(&[]), catalog(&[user("alice")]), &records);
    assert!(resolved.removable.is_empty());
    assert!(resolved.released.contains("alice"));
    assert_eq!(resolved.findings[0].code, "role-released");
}

#[test]
fn a_missing_secret_leaves_the_user_as_it_is() {
    let mut declared = user("alice");
    declared.memberships.push(Membership::plain("analyst"));
    declared.credential = Some(Credential {
        secret: "user-alice-secret".into(),
        key: "password".into(),
        state: SecretState::Missing,
        version: String::new(),
        changed_at: None,
        labels: BTreeMap::new(),
        strength: None,
        in_sync: None,
    });
    let analyst = Role::new("analyst", Mode::Present, Attributes::GROUP);
    let found = Role { has_password: Some(true), ..user("alice") };
    let resolved = resolve_all(&spec(&[declared, analyst]), catalog(std::slice::from_ref(&found)), &Records::new());
    assert_eq!(resolved.desired["alice"].memberships, found.memberships);
    assert!(!resolved.in_scope.contains("alice"));
    assert!(resolved.in_scope.contains("analyst"));
    assert_eq!(resolved.findings[0].code, "secret-missing");
    assert!(!resolved.blocked);
}

#[test]
fn the_superuser_cannot_be_declared() {
    let resolved = resolve_all(&spec(&[user("postgres")]), catalog(&[user("postgres")]), &Records::new());
    assert!(resolved.blocked);
    assert_eq!(resolved.findings[0].code, "protected-role");
}

#[test]
fn a_group_role_of_somebody_else_is_left_alone() {
    let found = Role::new("analyst", Mode::Present, Attributes::USER);
    let named = Role::new("analyst", Mode::Present, Attributes::GROUP);
    let resolved = resolve_all(&spec(&[named]), catalog(std::slice::from_ref(&found)), &Records::new());
    assert_eq!(resolved.desired["analyst"].attributes, Attributes::USER);
    assert!(resolved.in_scope.is_empty());
}

#[test]
fn a_group_role_of_ours_may_not_log_in() {
    let found = Role::new("analyst", Mode::Present, Attributes::USER);
    let named = Role::new("analyst", Mode::Present, Attributes::GROUP);
    let records = Records::from([("analyst".into(), record(100, Kind::Group))]);
    let resolved = resolve_all(&spec(&[named]), catalog(&[found]), &records);
    assert_eq!(resolved.desired["analyst"].attributes, Attributes::GROUP);
}

#[test]
fn a_group_role_that_others_use_stays() {
    let mut other = user("other");
    other.memberships.push(Membership { grantor: Some("postgres".into()), ..Membership::plain("analyst") });
    let analyst = Role::new("analyst", Mode::Present, Attributes::GROUP);
    let records = Records::from([("analyst".into(), record(100, Kind::Group))]);
    let resolved = resolve_all(&spec(&[]), catalog(&[analyst, other]), &records);
    assert!(resolved.removable.is_empty());
    assert_eq!(resolved.findings[0].code, "role-in-use");
}

#[test]
fn an_owner_needs_no_grant_on_its_database() {
    let mut declared = user("alice");
    declared.grants.push(Grant {
        database: None,
        on: Object::Database("shop".into()),
        privileges: Privileges::CONNECT,
        grantable: Privileges::empty(),
    });
    let mut catalog = catalog(&[user("alice")]);
    catalog.databases.insert(
        "shop".into(),
        Database {
            name: "shop".into(),
            owner: Some("alice".into()),
            connection_limit: None,
            comment: None,
            schemas: Vec::new(),
            labels: BTreeMap::new(),
            path: String::new(),
        },
    );
    let resolved = resolve_all(&spec(&[declared]), catalog, &Records::new());
    assert!(resolved.desired["alice"].grants.is_empty());
}
