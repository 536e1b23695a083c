//! Whose a role is, and what becomes of it.

use super::*;
use crate::model::{Credential, Database, Membership, Privileges};

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
    Record { oid: Some(oid), kind, origin, secret_version: None, row_version: None, applied: None, leaving_since: None }
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
    declared.credential = Some(Credential::new("user-alice-secret", "password"));
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
    catalog.databases.insert("shop".into(), Database { owner: Some("alice".into()), ..Database::new("shop") });
    let resolved = resolve_all(&spec(&[declared]), catalog, &Records::new());
    assert!(resolved.desired["alice"].grants.is_empty());
}

/// What becomes of alice, who has gone, in a group that only she was in, a day before and a day after her grace.
#[test]
fn a_user_who_goes_stays_until_her_grace_is_over_and_so_do_her_groups() {
    const DAY: i64 = 86_400;
    let applied = Role { memberships: vec![Membership::plain("team")], ..user("alice") };
    let left = |since: Option<i64>| {
        let alice = Record { applied: Some(applied.clone()), leaving_since: since, ..record(100, Kind::User) };
        let records = Records::from([("alice".into(), alice), ("team".into(), record(101, Kind::Group))]);
        let team = Role::new("team", Mode::Present, Attributes::GROUP);
        let mut catalog = catalog(&[applied.clone(), team]);
        catalog.assign_standing(&BTreeSet::new(), &managed(&records, &catalog));
        let grace = Grace { now: 20 * DAY, seconds: 14 * DAY };
        resolve_with((&BTreeSet::new(), &BTreeSet::new()), grace, &spec(&[]), &catalog, &records, &BTreeMap::new())
    };
    let (now, before, after) = (left(None), left(Some(7 * DAY)), left(Some(6 * DAY)));
    assert_eq!(now.leaving["alice"], Leaving { since: 20 * DAY, until: 34 * DAY });
    assert_eq!(before.leaving["alice"], Leaving { since: 7 * DAY, until: 21 * DAY });
    // A clock that was a year ahead does not keep her for a year.
    assert_eq!(left(Some(400 * DAY)).leaving["alice"].since, 20 * DAY);
    for stays in [&now, &before] {
        assert!(stays.removable.is_empty() && stays.findings.iter().all(|finding| finding.severity == Severity::Info));
        let alice = &stays.desired["alice"];
        assert_eq!((alice.is_user(), &alice.memberships), (false, &applied.memberships));
        assert_eq!((stays.kind("alice"), stays.in_scope.contains("team")), (Some(Kind::User), false));
        assert!(stays.desired.contains_key("team"));
    }
    assert!(after.leaving.is_empty() && !after.desired.contains_key("alice"));
    assert_eq!(after.removable, BTreeSet::from(["alice".to_owned(), "team".to_owned()]));
}

#[test]
fn a_disabled_user_is_kept_out_although_it_is_left_as_it_is_otherwise() {
    let mut declared = user("alice");
    declared.attributes -= Attributes::LOGIN;
    declared.credential = Some(Credential::new("user-alice-secret", "password"));
    let found = Role { memberships: vec![Membership::plain("analyst")], ..user("alice") };
    let mut declared = spec(&[declared]);
    declared.disabled.insert("alice".into());
    let resolved = resolve_all(&declared, catalog(std::slice::from_ref(&found)), &Records::new());
    let expected = Role { attributes: found.attributes - Attributes::LOGIN, standing: Standing::Foreign, ..found };
    assert_eq!(resolved.desired["alice"], expected);
    assert!(resolved.in_scope.contains("alice") && resolved.skipped.contains("alice"));
    // Nobody is there to be kept out.
    assert!(!resolve_all(&declared, catalog(&[]), &Records::new()).desired.contains_key("alice"));
}

#[test]
fn who_is_left_out_stays_as_it_is_and_so_does_the_group_that_it_is_a_member_of() {
    let member = |name: &str| Role { memberships: vec![Membership::plain("crew")], ..user(name) };
    let found = [Role::new("crew", Mode::Present, Attributes::GROUP), member("alice"), member("bob")];
    let records = Records::from([
        ("crew".into(), record(100, Kind::Group)),
        ("alice".into(), record(101, Kind::User)),
        ("bob".into(), record(102, Kind::User)),
    ]);
    let mut catalog = catalog(&found);
    catalog.assign_standing(&BTreeSet::new(), &managed(&records, &catalog));
    let resolve = |left_out: &[&str]| {
        let left_out = left_out.iter().map(|name| (*name).to_owned()).collect();
        // Bob is declared to be in no group, Alice not at all.
        resolve_with(
            (&left_out, &BTreeSet::new()),
            Grace::default(),
            &spec(&[user("bob")]),
            &catalog,
            &records,
            &BTreeMap::new(),
        )
    };
    assert_eq!(resolve(&[]).removable, BTreeSet::from(["alice".to_owned(), "crew".to_owned()]));
    for name in ["alice", "bob"] {
        let resolved = resolve(&[name]);
        assert_eq!(resolved.desired[name], catalog.roles[name]);
        assert!(resolved.skipped.contains(name) && !resolved.in_scope.contains(name));
        assert!(!resolved.removable.contains(name) && !resolved.removable.contains("crew"));
    }
}
