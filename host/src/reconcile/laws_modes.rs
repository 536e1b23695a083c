//! The laws of modes, for random specs and catalogs: from who is additive or adopted nothing is taken, and all that is
//! declared is reached; who is only observed has no step; and then there is nothing left to do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use super::laws::{World, bounds, plan, settled, world};
use super::laws_inside::{self, DATABASE, carry_out, declared_on, everything};
use crate::guard::{self, Judgement};
use crate::model::{Mode, Object, Privileges, Role};
use crate::parameter;
use crate::plan::{Change, Plan, replay};
use crate::resolve::{self, wishes};

const MODES: [Mode; 4] = [Mode::Authoritative, Mode::Additive, Mode::Adopt, Mode::Observe];

/// Gives the declared roles these modes, in turn.
fn set_modes<'a>(roles: impl Iterator<Item = &'a mut Role>, modes: &[Mode]) {
    for (role, mode) in roles.filter(|role| role.mode != Mode::Present).zip(modes) {
        role.mode = *mode;
    }
}

fn takes(change: &Change) -> bool {
    match change {
        Change::DropRole { .. }
        | Change::RevokeRole { .. }
        | Change::RevokePrivilege { .. }
        | Change::ClearPassword(_)
        | Change::ResetSetting { .. } => true,
        Change::AlterRole(patch) => !patch.clear.is_empty(),
        _ => false,
    }
}

fn steps_of<'a>(plan: &'a Plan, role: &'a str) -> impl Iterator<Item = &'a Change> {
    plan.steps.iter().map(|step| &step.change).filter(move |change| change.role() == Some(role))
}

/// What of the declared a role does not have.
fn missing(declared: &Role, made: &Role, owned: &BTreeSet<&Object>, options: bool) -> Vec<String> {
    let mut missing = Vec::new();
    if !made.attributes.contains(declared.attributes) {
        missing.push("attributes".to_owned());
    }
    if declared.connection_limit.is_some() && made.connection_limit != declared.connection_limit {
        missing.push("connection limit".to_owned());
    }
    let held = replay::memberships(&made.memberships, options);
    for (role, wish) in replay::memberships(&declared.memberships, options) {
        let has = held.get(role).copied().unwrap_or_default();
        if !held.contains_key(role) || (wish.0 && !has.0) || (wish.1 && !has.1) || (wish.2 && !has.2) {
            missing.push(format!("membership in {role}"));
        }
    }
    for wish in declared.grants.iter().filter(|grant| !owned.contains(&grant.on)) {
        let mut has = (Privileges::empty(), Privileges::empty());
        for held in made.grants.iter().filter(|held| held.on == wish.on) {
            has = (has.0 | held.privileges, has.1 | held.grantable);
        }
        if !has.0.contains(wish.privileges) || !has.1.contains(wish.grantable) {
            missing.push(format!("grant on {:?}", wish.on));
        }
    }
    for wish in &declared.settings {
        let name = parameter::canonical_name(&wish.name);
        let value = parameter::canonical_value(&name, &wish.value);
        let wish = crate::model::Setting { name, value, database: wish.database.clone() };
        if !made.settings.iter().any(|held| parameter::same(held, &wish)) {
            missing.push(format!("setting {}", wish.name));
        }
    }
    missing
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_taken_from_who_keeps_what_is_there_and_all_that_is_declared_is_reached(
        world in world(),
        modes in prop::collection::vec(select(MODES.to_vec()), 7),
    ) {
        let World { mut spec, catalog, records, in_sync } = world;
        set_modes(spec.roles.values_mut(), &modes);
        let resolved = resolve::resolve(&spec, &catalog, &records, &in_sync);
        let first = plan(&resolved, &catalog);
        let judged = guard::judge(first.clone().into(), "standard", &resolved, &catalog, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");

        let outcome = replay::replay(&catalog.roles, &first.steps).unwrap();
        for declared in spec.roles.values() {
            let name = &declared.name;
            let is_there = catalog.roles.contains_key(name);
            prop_assert!(is_there || declared.mode != Mode::Adopt || !outcome.roles.contains_key(name));
            if declared.mode == Mode::Observe {
                prop_assert_eq!(steps_of(&first, name).count(), 0, "{:#?}", first.steps);
            }
            if !declared.mode.keeps() {
                continue;
            }
            prop_assert!(!steps_of(&first, name).any(takes), "{}\n{:#?}", name, first.steps);
            if resolved.skipped.contains(name) {
                prop_assert_eq!(steps_of(&first, name).count(), 0);
                continue;
            }
            let owned: BTreeSet<&Object> = declared.grants.iter().map(|grant| &grant.on).filter(|on| {
                matches!(on, Object::Database(database) if catalog.owner_of(database) == Some(name))
            }).collect();
            let options = catalog.server.has_membership_options();
            let missing = missing(declared, &outcome.roles[name], &owned, options);
            prop_assert!(missing.is_empty(), "{} lacks {:?}\n{:#?}", name, missing, first.steps);
        }

        let (after, records, in_sync) = settled(&catalog, &records, &first);
        let again = plan(&resolve::resolve(&spec, &after, &records, &in_sync), &after);
        prop_assert!(again.steps.is_empty(), "{:#?}", again.steps);
    }

    #[test]
    fn inside_of_databases_each_object_comes_to_what_was_there_and_what_is_declared(
        world in laws_inside::world(),
        modes in prop::collection::vec(select(MODES.to_vec()), 3),
    ) {
        let laws_inside::World { mut spec, catalog, records } = world;
        set_modes(spec.roles.values_mut(), &modes);
        let declared = spec.clone();
        let mut seen = catalog.clone();
        wishes::complete(&mut spec, &mut seen, &records);
        let resolved = resolve::resolve(&spec, &seen, &records, &BTreeMap::new());
        let first = plan(&resolved, &seen);
        let judged = guard::judge(first.clone().into(), "standard", &resolved, &seen, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");

        let mut after = catalog.clone();
        for step in &first.steps {
            if let Change::CreateRole(role) = &step.change {
                after.roles.insert(role.name.clone(), Role { grants: Vec::new(), ..role.clone() });
                after.oids.insert(role.name.clone(), 99);
            }
            carry_out(after.objects.get_mut(DATABASE).unwrap(), &step.change);
        }
        for role in declared.roles.values() {
            let name = &role.name;
            if role.mode == Mode::Observe {
                prop_assert_eq!(steps_of(&first, name).count(), 0, "{:#?}", first.steps);
            }
            if !role.mode.keeps() || resolved.skipped.contains(name) {
                continue;
            }
            prop_assert!(!steps_of(&first, name).any(takes), "{}\n{:#?}", name, first.steps);
            let (before, inside) = (&catalog.objects[DATABASE], &after.objects[DATABASE]);
            for object in everything().iter().filter(|object| inside.owner(object) != Some(name)) {
                let ((had, had_option), (due, due_option)) = (before.held(name, object), declared_on(role, object));
                prop_assert_eq!(
                    inside.held(name, object), (had | due, had_option | due_option), "{} on {:?}\n{:#?}",
                    name, object, first.steps
                );
            }
        }

        let mut spec = declared;
        wishes::complete(&mut spec, &mut after, &records);
        let managed = resolve::managed(&records, &after);
        after.assign_standing(&BTreeSet::new(), &managed);
        let again = plan(&resolve::resolve(&spec, &after, &records, &BTreeMap::new()), &after);
        prop_assert!(again.steps.is_empty(), "{:#?}", again.steps);
    }
}
