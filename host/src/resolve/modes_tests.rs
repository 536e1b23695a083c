//! Modes: what a role keeps, what it is only compared with, and what becomes of it when it leaves.

use super::tests::{catalog, record, resolve_all, spec, user};
use super::*;
use crate::model::{Membership, Privileges};

fn in_mode(name: &str, mode: Mode) -> Role {
    Role { mode, ..user(name) }
}

fn on_shop(privileges: Privileges) -> Grant {
    let on = Object::Database("shop".into());
    Grant { database: None, on, privileges, grantable: Privileges::empty() }
}

fn codes(resolved: &Resolved) -> Vec<(&str, Severity)> {
    resolved.findings.iter().map(|finding| (finding.code.as_str(), finding.severity)).collect()
}

#[test]
fn what_is_there_beyond_the_declared_stays_and_what_is_declared_comes() {
    let mut declared = in_mode("alice", Mode::Additive);
    declared.connection_limit = Some(Limit::AtMost(3));
    declared.has_password = Some(false);
    declared.grants.push(on_shop(Privileges::CONNECT));
    declared.memberships.push(Membership::plain("reader"));
    let mut found = user("alice");
    found.attributes |= Attributes::CREATEDB;
    found.has_password = Some(true);
    found.valid_until = Some(Expiry::At(5));
    found.grants.push(on_shop(Privileges::CREATE));
    found.memberships.push(Membership { grantor: Some("postgres".into()), ..Membership::plain("writer") });
    let mut server = catalog(&[found, user("reader"), user("writer")]);
    server.databases.insert("shop".into(), database("shop"));
    let resolved = resolve_all(&spec(&[declared]), server, &Records::new());
    let alice = &resolved.desired["alice"];
    assert_eq!(alice.attributes, Attributes::USER | Attributes::CREATEDB);
    assert_eq!((alice.connection_limit, alice.valid_until), (Some(Limit::AtMost(3)), Some(Expiry::At(5))));
    assert_eq!(alice.has_password, Some(true));
    assert_eq!(alice.grants, [on_shop(Privileges::CONNECT | Privileges::CREATE)]);
    let roles: Vec<&str> = alice.memberships.iter().map(|edge| edge.role.as_str()).collect();
    assert_eq!(roles, ["reader", "writer"]);
    assert!(resolved.findings[0].message.contains("what it has beyond that stays"), "{:?}", resolved.findings);
}

fn database(name: &str) -> Database {
    Database::new(name)
}

#[test]
fn who_is_to_be_adopted_and_is_not_there_is_left_and_so_is_who_needs_it() {
    let mut bob = user("bob");
    bob.memberships.push(Membership::plain("alice"));
    let declared = spec(&[in_mode("alice", Mode::Adopt), bob, user("carol")]);
    let resolved = resolve_all(&declared, catalog(&[]), &Records::new());
    assert_eq!(codes(&resolved), [("role-absent", Severity::Error), ("role-missing", Severity::Error)]);
    assert_eq!(resolved.in_scope, BTreeSet::from(["carol".to_owned()]));
    assert!(!resolved.blocked);
}

#[test]
fn who_is_observed_is_as_found_and_what_differs_is_one_finding() {
    let mut alice = in_mode("alice", Mode::Observe);
    alice.memberships.push(Membership::plain("reader"));
    let found = Role { attributes: Attributes::USER | Attributes::CREATEDB, ..user("alice") };
    let declared = spec(&[alice, in_mode("bob", Mode::Observe), in_mode("carol", Mode::Observe)]);
    let there = catalog(&[found.clone(), complete(user("bob")), user("reader")]);
    let resolved = resolve_all(&declared, there, &Records::new());
    assert_eq!(codes(&resolved), [("observed", Severity::Warning), ("observed-absent", Severity::Warning)]);
    let message = &resolved.findings[0].message;
    assert!(message.contains("CREATEDB") && message.contains("not a member of \"reader\""), "{message}");
    assert!(resolved.in_scope.is_empty() && resolved.skipped.is_empty() && !resolved.desired.contains_key("carol"));
    assert_eq!(resolved.desired["alice"].attributes, found.attributes);
}

#[test]
fn what_becomes_of_a_role_that_leaves_is_as_it_was_declared_last() {
    for (mode, origin, goes) in [
        (Mode::Authoritative, Origin::Created, true),
        (Mode::Authoritative, Origin::Adopted, true),
        (Mode::Additive, Origin::Created, true),
        (Mode::Additive, Origin::Adopted, false),
        (Mode::Adopt, Origin::Created, false),
        (Mode::Adopt, Origin::Adopted, false),
        (Mode::Observe, Origin::Created, false),
        (Mode::Observe, Origin::Adopted, false),
    ] {
        let known = Record { origin, applied: Some(in_mode("alice", mode)), ..record(100, Kind::User) };
        let records = Records::from([("alice".into(), known)]);
        let resolved = resolve_all(&spec(&[]), catalog(&[user("alice")]), &records);
        assert_eq!(resolved.removable.contains("alice"), goes, "{mode:?} {origin:?}");
        assert_eq!(resolved.released.contains("alice"), !goes, "{mode:?} {origin:?}");
        assert_eq!(resolved.desired.contains_key("alice"), !goes, "the planner drops what it is not told to leave");
    }
}

#[test]
fn what_is_external_is_let_go_and_what_is_only_named_by_the_observed_stays_recorded() {
    let group = |name: &str| Role::new(name, Mode::Present, Attributes::GROUP);
    let known = |oid| Record { applied: Some(group("")), ..record(oid, Kind::Group) };
    let records = Records::from([("dba".into(), known(100)), ("seen".into(), known(101))]);
    let mut declared = spec(&[]);
    declared.external.insert("dba".into());
    declared.spared.insert("seen".into());
    let resolved = resolve_all(&declared, catalog(&[group("dba"), group("seen")]), &records);
    assert_eq!((resolved.released, resolved.removable), (BTreeSet::from(["dba".to_owned()]), BTreeSet::new()));
    assert!(resolved.in_scope.is_empty() && resolved.desired.len() == 2);
}

#[test]
fn who_needs_an_external_role_that_is_not_there_is_left() {
    let mut alice = user("alice");
    alice.memberships.push(Membership::plain("dba"));
    let mut declared = spec(&[alice, user("bob")]);
    declared.external.insert("dba".into());
    let resolved = resolve_all(&declared, catalog(&[]), &Records::new());
    assert_eq!(codes(&resolved), [("external-missing", Severity::Error)]);
    assert_eq!(resolved.in_scope, BTreeSet::from(["bob".to_owned()]));
}

#[test]
fn databases_that_wait_for_an_external_owner_or_are_observed_are_set_aside() {
    let schema = |owner: &str| crate::model::Schema {
        name: "sales".into(),
        owner: Some(owner.into()),
        path: "/databases/1/schemas/0".into(),
    };
    let shop = Database { owner: Some("dba".into()), ..database("shop") };
    let stock = Database { schemas: vec![schema("dba")], ..database("stock") };
    let mut declared = spec(&[]);
    declared.external.insert("dba".into());
    declared.databases = [("shop".into(), shop), ("stock".into(), stock)].into();
    declared.public = vec![on_shop(Privileges::empty())];
    let mut left = declared.clone();
    let findings = modes::set_aside(&mut left, &catalog(&[]));
    assert_eq!(findings.iter().filter(|finding| finding.code == "external-missing").count(), 2);
    assert_eq!((left.databases.len(), left.public.len()), (1, 0));
    assert!(left.databases["stock"].schemas.is_empty());
    let mut there = declared.clone();
    assert!(modes::set_aside(&mut there, &catalog(&[user("dba")])).is_empty());
    assert_eq!(there, declared);

    declared.mode = Mode::Observe;
    let mut server = catalog(&[]);
    server.databases.insert("shop".into(), Database { owner: Some("app".into()), ..database("shop") });
    server.public.insert("shop".into(), Privileges::CONNECT);
    let findings = modes::set_aside(&mut declared, &server);
    assert!(declared.databases.is_empty() && declared.public.is_empty());
    let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(messages[0].contains("another owner") && messages[0].contains("PUBLIC"), "{messages:?}");
    assert!(messages[1].contains("is not there"), "{messages:?}");
}
