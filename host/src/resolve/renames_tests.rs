use super::*;
use crate::model::{Attributes, Credential, Grant, Membership, Privileges, Standing};
use crate::resolve::{Kind, Origin, Record, resolve};

fn found(name: &str, standing: Standing) -> Role {
    Role { standing, ..Role::new(name, Mode::Authoritative, Attributes::USER) }
}

fn record(oid: u32) -> Record {
    Record {
        oid: Some(oid),
        kind: Kind::User,
        origin: Origin::Created,
        secret_version: None,
        row_version: None,
        applied: None,
        leaving_since: None,
    }
}

/// A server with these roles, all of them recorded but for those after the slash.
fn world(ours: &[&str], others: &[&str]) -> (Catalog, Records) {
    let (mut catalog, mut records) = (Catalog::default(), Records::new());
    let ours = ours.iter().map(|name| (*name, Standing::Managed));
    let all = ours.chain(others.iter().map(|name| (*name, Standing::Foreign)));
    for (number, (name, standing)) in all.enumerate() {
        let oid = 100 + number as u32;
        catalog.roles.insert(name.into(), found(name, standing));
        catalog.oids.insert(name.into(), oid);
        if standing == Standing::Managed {
            records.insert(name.into(), record(oid));
        }
    }
    (catalog, records)
}

/// alicia, who was alice, in the group `staff`, who were `people`.
fn spec() -> Spec {
    let mut alicia = Role::new("alicia", Mode::Authoritative, Attributes::USER);
    alicia.memberships = vec![Membership::plain("staff")];
    let staff = Role::new("staff", Mode::Authoritative, Attributes::GROUP);
    Spec {
        roles: [("alicia".to_owned(), alicia), ("staff".to_owned(), staff)].into(),
        renamed_from: [("alicia", "alice"), ("staff", "people")].map(|(to, from)| (to.into(), from.into())).into(),
        ..Spec::default()
    }
}

fn names(renames: &[Rename]) -> Vec<(&str, &str)> {
    renames.iter().map(|rename| (rename.from.as_str(), rename.to.as_str())).collect()
}

/// What comes of it: the findings' codes, and which roles are left as they are.
fn outcome(catalog: &Catalog, records: &Records) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut catalog, mut records) = (catalog.clone(), records.clone());
    let renames = all_due(&spec(), &catalog);
    carry_out(&renames, &mut catalog);
    carry_over(&renames, &mut records);
    let resolved = resolve(&spec(), &catalog, &records, &BTreeMap::new());
    let codes = resolved.findings.iter().map(|finding| finding.code.clone()).collect();
    (codes, resolved.skipped.into_iter().collect(), resolved.removable.into_iter().collect())
}

/// Where nobody lacks a right.
fn all_due(spec: &Spec, catalog: &Catalog) -> Vec<Rename> {
    due(spec, catalog, &BTreeSet::new(), |_| false)
}

#[test]
fn the_old_one_is_there_and_the_new_one_is_not() {
    let (catalog, _) = world(&["alice", "people"], &[]);
    assert_eq!(names(&all_due(&spec(), &catalog)), [("alice", "alicia"), ("people", "staff")]);
    let (catalog, _) = world(&["alicia"], &["people", "nobody"]);
    assert_eq!(names(&all_due(&spec(), &catalog)), [("people", "staff")], "whoever is nobody's is taken over");
    assert!(all_due(&spec(), &world(&["alicia"], &["staff"]).0).is_empty());
    assert!(all_due(&spec(), &world(&["alice", "alicia"], &["staff", "people"]).0).is_empty());
    assert!(all_due(&spec(), &Catalog::default()).is_empty());
}

#[test]
fn the_protected_the_declared_and_those_left_as_they_are_keep_their_names() {
    let (mut catalog, _) = world(&["alice"], &[]);
    catalog.assign_standing(&["alice".to_owned()].into(), &BTreeSet::new());
    assert!(all_due(&spec(), &catalog).is_empty());
    let (catalog, _) = world(&["alice"], &[]);
    let mut declared = spec();
    declared.roles.insert("alice".into(), found("alice", Standing::Managed));
    assert!(all_due(&declared, &catalog).is_empty());
    let mut without_secret = spec();
    without_secret.roles.get_mut("alicia").unwrap().credential =
        Some(Credential::new("user-alicia-secret", "password"));
    assert!(all_due(&without_secret, &catalog).is_empty());
    let (_, records) = world(&["alice"], &[]);
    let resolved = resolve(&without_secret, &catalog, &records, &BTreeMap::new());
    assert!(resolved.removable.is_empty(), "whoever waits for a Secret is not removed under the old name");
    assert!(resolved.skipped.contains("alicia") && resolved.desired["alice"] == catalog.roles["alice"]);
}

#[test]
fn where_both_are_there_nobody_guesses() {
    let (catalog, records) = world(&["alice", "alicia", "people"], &[]);
    assert_eq!(outcome(&catalog, &records), (vec!["renamed-both-there".into()], vec!["alicia".into()], vec![]));
    let (catalog, records) = world(&["alice", "people"], &["alicia"]);
    assert_eq!(outcome(&catalog, &records), (vec!["renamed-both-there".into()], vec!["alicia".into()], vec![]));
    // The rename is done, and somebody has made the old one anew.
    let (catalog, records) = world(&["alicia", "staff"], &["alice"]);
    assert_eq!(outcome(&catalog, &records), (vec!["renamed-before".into()], vec![], vec![]));
}

#[test]
fn a_protected_role_stops_the_plan() {
    let (mut catalog, records) = world(&["alice"], &[]);
    catalog.assign_standing(&["alice".to_owned()].into(), &BTreeSet::new());
    let resolved = resolve(&spec(), &catalog, &records, &BTreeMap::new());
    assert!(resolved.blocked);
}

#[test]
fn everything_goes_by_the_new_names_and_back() {
    let (mut catalog, mut records) = world(&["alice", "people"], &["bob"]);
    let edge = |role: &str, grantor: &str| Membership { grantor: Some(grantor.into()), ..Membership::plain(role) };
    catalog.roles.get_mut("bob").unwrap().memberships = vec![edge("people", "alice"), edge("zoo", "bob")];
    catalog.row_versions.insert("alice".into(), "7".into());
    let by = BTreeMap::from([("alice".to_owned(), Privileges::CONNECT)]);
    catalog.foreign_grantors.insert(("people".into(), "shop".into()), by);
    let future = |owner: &str| Grant {
        database: Some("shop".into()),
        on: Object::FutureTables { owner: owner.into(), schema: None },
        privileges: Privileges::SELECT,
        grantable: Privileges::empty(),
    };
    let mut applied = found("alice", Standing::Managed);
    applied.memberships = vec![Membership::plain("people")];
    applied.grants = vec![future("alice")];
    records.get_mut("alice").unwrap().applied = Some(applied);
    let renames = all_due(&spec(), &catalog);
    let unchanged = catalog.roles.clone();
    carry_out(&renames, &mut catalog);
    carry_over(&renames, &mut records);

    assert_eq!(catalog.roles["alicia"].name, "alicia");
    assert_eq!((catalog.oids["alicia"], catalog.row_versions["alicia"].as_str()), (100, "7"));
    assert_eq!(catalog.roles["bob"].memberships, [edge("staff", "alicia"), edge("zoo", "bob")]);
    let by = &catalog.foreign_grantors[&("staff".to_owned(), "shop".to_owned())];
    assert_eq!(by.keys().collect::<Vec<_>>(), ["alicia"]);
    let applied = records["alicia"].applied.as_ref().unwrap();
    assert_eq!(
        (applied.name.as_str(), &applied.memberships, &applied.grants),
        ("alicia", &vec![Membership::plain("staff")], &vec![future("alicia")])
    );
    assert!(!catalog.roles.contains_key("alice") && !records.contains_key("people"));
    assert_eq!(*before(&renames, &catalog.roles), unchanged);
    let asked = as_called(&renames, &["alicia".to_owned(), "bob".to_owned()].into());
    assert_eq!(asked, ["alice".to_owned(), "bob".to_owned()].into());
}
