//! The law of an import, for random servers: what is written reads back, its first plan has nothing to do and nothing to
//! complain of, and no role is left out that could have been declared.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::{Imported, Unusual};
use crate::catalog::{Catalog, Held};
use crate::model::{Expiry, Limit, Object, Privileges, Role, SecretState, Setting, Severity, Spec, Standing};
use crate::plan::Plan;
use crate::reconcile::{laws, laws_inside};
use crate::resolve::{self, Records, databases, modes, shared, wishes};
use crate::spec::{self, Document};

/// Names that YAML, SQL and terminals would each read otherwise.
pub(super) const HOSTILE: [&str; 7] =
    ["it's \"odd\", [a]: {b}", "12.5", "true", "new\nline\t# x", "abc\u{202e}cba", "- dash: ", "größe 大小 \u{1f980}"];

pub(super) fn import(catalog: &Catalog) -> Imported {
    super::import(catalog, Some(&Unusual::default()))
}

pub(super) fn declared(imported: &Imported) -> Spec {
    let text = imported.users_yaml();
    let mut spec = match spec::parse(&Document::plain("users.yaml", text.as_str())) {
        Ok(parsed) => parsed.spec,
        Err(diagnostics) => panic!("{text}\n{diagnostics:#?}"),
    };
    // Somebody has created the Secrets.
    for credential in spec.roles.values_mut().filter_map(|role| role.credential.as_mut()) {
        credential.state = SecretState::Present;
    }
    spec
}

/// The plan that a controller would make first, and what it would be warned of.
pub(super) fn first_plan(imported: &Imported, catalog: &Catalog) -> (Plan, Vec<String>) {
    let (mut spec, mut catalog) = (declared(imported), catalog.clone());
    let mut questions = wishes::questions(&spec, &catalog, &Records::new());
    databases::ask(&spec, &mut questions);
    // Nobody looks where nothing is asked.
    catalog.objects.retain(|name, _| questions.contains_key(name));
    let mut findings = modes::set_aside(&mut spec, &catalog);
    findings.extend(databases::foresee(&mut spec, &mut catalog, &questions));
    findings.extend(wishes::complete(&mut spec, &mut catalog, &Records::new()));
    findings.extend(shared::complete(&mut spec, &mut catalog, &Records::new()));
    let in_sync: BTreeMap<String, bool> = spec.roles.keys().map(|name| (name.clone(), true)).collect();
    let resolved = resolve::resolve(&spec, &catalog, &Records::new(), &in_sync);
    assert!(!resolved.blocked && resolved.skipped.is_empty(), "{resolved:#?}");
    findings.extend(resolved.findings.iter().cloned());
    let warnings = findings.into_iter().filter(|finding| finding.severity != Severity::Info);
    (laws::plan(&resolved, &catalog), warnings.map(|finding| finding.message).collect())
}

/// The catalog of a server that nobody manages yet.
pub(super) fn untouched(mut catalog: Catalog) -> Catalog {
    catalog.assign_standing(&BTreeSet::new(), &BTreeSet::new());
    catalog
}

/// The same server, with other names and with comments.
fn renamed(catalog: &Catalog, comment: &str) -> Catalog {
    let mut renamed = Catalog { roles: BTreeMap::new(), oids: BTreeMap::new(), ..catalog.clone() };
    let new = |name: &str| {
        let position = name.bytes().next().filter(|_| name.len() == 1).map(|letter| usize::from(letter - b'a'));
        position.and_then(|position| HOSTILE.get(position)).map_or_else(|| name.to_owned(), |name| (*name).to_owned())
    };
    for role in catalog.roles.values() {
        let mut role = role.clone();
        renamed.oids.insert(new(&role.name), catalog.oids.get(&role.name).copied().unwrap_or_default());
        role.name = new(&role.name);
        role.memberships.iter_mut().for_each(|edge| edge.role = new(&edge.role));
        role.memberships.sort();
        role.comment = Some(comment.to_owned());
        renamed.roles.insert(role.name.clone(), role);
    }
    for database in renamed.databases.values_mut() {
        database.owner = database.owner.as_deref().map(new);
    }
    renamed
}

/// Whether users.yaml can say it, by an independent reading of the manual.
fn can_be_said(role: &Role, version: u32) -> bool {
    let group_fits =
        role.is_user() || (role.connection_limit == Some(Limit::Unlimited) && role.valid_until == Some(Expiry::Never));
    let edges_fit = role.memberships.iter().all(|edge| {
        let of_role = || role.memberships.iter().filter(|other| other.role == edge.role);
        version < 160_000 || of_role().any(|other| other.admin || other.inherit || other.set)
    });
    group_fits && edges_fit
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_first_plan_of_what_was_imported_has_nothing_to_do(
        world in laws::world(),
        comment in select(vec!["", "for reports", "two\nlines: # no", "\u{202e}"]),
    ) {
        let plain = untouched(world.catalog);
        for catalog in [&plain, &untouched(renamed(&plain, comment))] {
            let imported = import(catalog);
            let (plan, warnings) = first_plan(&imported, catalog);
            prop_assert!(plan.steps.is_empty(), "{}\n{:#?}", imported.users_yaml(), plan.steps);
            prop_assert_eq!(warnings, Vec::<String>::new(), "{}", imported.users_yaml());
            let declared: BTreeSet<String> =
                imported.of_roles().filter(|entry| entry.keys.is_some()).map(|entry| entry.name.clone()).collect();
            let sayable = catalog.roles.values().filter(|role| {
                role.standing != Standing::Protected && can_be_said(role, catalog.server.version)
            });
            prop_assert_eq!(declared, sayable.map(|role| role.name.clone()).collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn nor_has_it_inside_of_databases(world in laws_inside::world(), extend in any::<bool>()) {
        let mut catalog = untouched(world.catalog);
        if extend {
            // As an application's own migration would: what comes later is like what is there.
            carry_on(&mut catalog);
        }
        let imported = import(&catalog);
        let (plan, warnings) = first_plan(&imported, &catalog);
        prop_assert!(plan.steps.is_empty(), "{}\n{:#?}", imported.users_yaml(), plan.steps);
        prop_assert_eq!(warnings, Vec::<String>::new());
        let spec = declared(&imported);
        for (name, held) in &catalog.objects["shop"].held {
            let no_defaults = held.keys().all(|object| object.future_owner().is_none());
            let declares = spec.roles.get(name).is_some_and(|role| !role.grants.is_empty());
            prop_assert!(declares || held.is_empty() || !no_defaults, "{}", imported.users_yaml());
            let left_out = imported.warnings().iter().any(|line| line.contains(&format!("grants of role {name:?}")));
            prop_assert!(declares != left_out || held.is_empty());
            prop_assert!(!extend || declares || held.is_empty(), "{:#?}\n{}", held, imported.warnings().join("\n"));
        }
    }
}

/// Gives default privileges the form that a wish for all has: what every table of a schema has, its makers will give.
fn carry_on(catalog: &mut Catalog) {
    let names: Vec<String> = catalog.roles.keys().cloned().collect();
    let copy = catalog.clone();
    let Some(inside) = catalog.objects.get_mut("shop") else { return };
    for name in names {
        let Some(held) = inside.held.get_mut(&name) else { continue };
        held.retain(|object, _| object.future_owner().is_none());
        for (kind, schema) in copy.objects["shop"].members.keys() {
            let members: Vec<&Object> = copy.objects["shop"]
                .members(*kind, schema)
                .filter(|(_, owner)| **owner != name)
                .map(|it| it.0)
                .collect();
            let extent = |object: &&Object| held.get(*object).map(|held| (held.privileges, held.grantable));
            let first = members.first().map(extent).unwrap_or_default();
            let Some(same) = first.filter(|first| members.iter().all(|it| extent(it) == Some(*first))) else {
                continue;
            };
            for maker in wishes::makers_for(&name, schema, &copy, &copy.objects["shop"], "shop") {
                let later = held.entry(kind.future(maker, schema)).or_default();
                (later.privileges, later.grantable) = same;
            }
        }
    }
}

fn one(role: Role) -> Catalog {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.oids.insert(role.name.clone(), 16_401);
    catalog.roles.insert(role.name.clone(), role);
    untouched(catalog)
}

fn user(name: &str) -> Role {
    let mut role = Role::new(name, crate::model::Mode::Authoritative, crate::model::Attributes::USER);
    role.connection_limit = Some(Limit::Unlimited);
    role.valid_until = Some(Expiry::Never);
    role.has_password = Some(true);
    role
}

#[test]
fn a_secret_that_cannot_be_called_like_its_user_is_called_by_its_number() {
    let mut catalog = one(user("a_b"));
    catalog.roles.insert("16401".to_owned(), user("16401"));
    catalog.oids.insert("16401".to_owned(), 16_402);
    let imported = import(&catalog);
    let names: Vec<&str> = imported.secrets().iter().map(|wanted| wanted.secret.name.as_str()).collect();
    assert_eq!(names, ["user-16401-secret", "user-16401-secret-2"]);
    assert!(imported.users_yaml().contains("secret: {name: user-16401-secret-2, key: password}"));
    declared(&imported);
}

#[test]
fn settings_that_cannot_be_said_are_left_alone_and_told() {
    let setting = |name: &str, value: &str| Setting { database: None, name: name.to_owned(), value: value.to_owned() };
    for settings in [vec![setting("App.X", "1"), setting("app.x", "2")], vec![setting("a b.c", "1")]] {
        let catalog = one(Role { settings, ..user("alice") });
        let imported = import(&catalog);
        assert!(!imported.users_yaml().contains("settings:"));
        assert!(imported.warnings()[0].contains("settings of user \"alice\""), "{:?}", imported.warnings());
        assert!(first_plan(&imported, &catalog).0.steps.is_empty());
    }
}

#[test]
fn the_end_of_a_password_is_a_date_or_a_time_or_cannot_be_said() {
    let written = |seconds| {
        let imported = import(&one(Role { valid_until: Some(Expiry::At(seconds)), ..user("alice") }));
        imported.users_yaml().lines().find(|line| line.contains("valid_until")).map(str::to_owned)
    };
    assert_eq!(written(1_800_057_600).as_deref(), Some("    valid_until: \"2027-01-16\""));
    assert_eq!(written(1_800_057_601).as_deref(), Some("    valid_until: \"2027-01-16T00:00:01Z\""));
    assert_eq!(written(-1).as_deref(), Some("    valid_until: \"1969-12-31T23:59:59Z\""));
    for seconds in [i64::MIN, 253_402_300_800, -62_200_000_000_000] {
        assert_eq!(written(seconds), None);
    }
}

#[test]
fn what_is_held_on_parameters_and_tablespaces_is_written_down_where_it_can_be() {
    for (name, can_be_said) in [("log_min_messages", true), ("app.x", true), ("app.x-y", false)] {
        let mut catalog = one(user("alice"));
        let held = Held { privileges: Privileges::SET, grantable: Privileges::SET, ..Held::default() };
        let on_tablespace = Held { privileges: Privileges::CREATE, ..Held::default() };
        let both = [(Object::Parameter(name.into()), held), (Object::Tablespace("it's".into()), on_tablespace)];
        catalog.shared.held.insert("alice".into(), both.into());
        catalog.shared.others.insert(Object::Tablespace("it's".into()), "postgres".into());
        let imported = import(&catalog);
        assert_eq!(imported.users_yaml().contains("tablespaces: ["), can_be_said, "{}", imported.users_yaml());
        assert_eq!(imported.users_yaml().contains("grant_option: true"), can_be_said, "{}", imported.users_yaml());
        assert_eq!(imported.warnings().len(), usize::from(!can_be_said), "{:?}", imported.warnings());
        let (plan, warnings) = first_plan(&imported, &catalog);
        assert!(plan.steps.is_empty() && warnings.is_empty(), "{:#?}", plan.steps);
    }
}

#[test]
fn in_a_configmap_it_is_the_same_text() {
    let catalog = one(Role { comment: Some("a\n  b\r\u{85}".to_owned()), ..user("new\nline") });
    let imported = import(&catalog);
    let manifest = imported.configmap("users", Some("db"));
    let read: serde_json::Value = serde_saphyr::from_str(&manifest).unwrap();
    assert_eq!(read["data"]["users.yaml"], imported.users_yaml());
    assert_eq!(read["metadata"], serde_json::json!({ "name": "users", "namespace": "db" }));
}
