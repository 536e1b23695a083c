//! Laws of the life of a role: whoever is renamed ends as declared, whatever else differs, and what everybody holds is
//! held under the new name.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::laws::{NAMES, World, bounds, owned, plan, sorted, world};
use crate::guard::{self, GuardedPlan, Judgement};
use crate::model::Mode;
use crate::plan::{Cause, Change, Plan, Step, replay};
use crate::resolve;
use crate::resolve::renames::{self, Rename};

/// A world in which some of the roles that are declared and there go by another name yet.
fn before_renames(mut world: World, chosen: &[&str]) -> World {
    let declared = |name: &&&str| world.spec.roles.get(**name).is_some_and(|role| role.mode != Mode::Present);
    let there = |name: &&&str| world.catalog.roles.contains_key(**name);
    let back: Vec<Rename> = chosen
        .iter()
        .filter(declared)
        .filter(there)
        .map(|name| Rename { from: (*name).to_owned(), to: format!("old {name}") })
        .collect();
    renames::carry_out(&back, &mut world.catalog);
    renames::carry_over(&back, &mut world.records);
    world.spec.renamed_from = back.into_iter().map(|rename| (rename.from, rename.to)).collect();
    world
}

fn renaming(renames: &[Rename]) -> Vec<Step> {
    let step = |rename: &Rename| {
        let change = Change::RenameRole { from: rename.from.clone(), to: rename.to.clone() };
        let (reason, path, by) = (String::new(), String::new(), String::new());
        Step { risk: change.risk(), change, reason, path, cause: Cause::Spec, by }
    };
    renames.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whoever_is_renamed_ends_as_declared_and_nobody_is_lost(
        world in world(),
        chosen in subsequence(NAMES.to_vec(), 0..=NAMES.len()),
    ) {
        let World { spec, catalog, records, in_sync } = before_renames(world, &chosen);
        let due = renames::due(&spec, &catalog, &BTreeSet::new(), |_| false);
        let (mut seen, mut known) = (catalog.clone(), records.clone());
        renames::carry_out(&due, &mut seen);
        renames::carry_over(&due, &mut known);
        let mut resolved = resolve::resolve(&spec, &seen, &known, &in_sync);
        resolved.renames.clone_from(&due);
        let mut whole = plan(&resolved, &seen);
        let rest = whole.steps.clone();
        whole.steps = renaming(&due);
        whole.steps.extend(rest.iter().cloned());
        let judged = guard::judge(whole.clone().into(), "standard", &resolved, &seen, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");

        // On the server, which knows the old names, the same comes of it.
        let outcome = replay::replay(&catalog.roles, &whole.steps).unwrap();
        let options = catalog.server.has_membership_options();
        let differences = replay::differences(&outcome, &resolved.desired, &resolved.removable, options);
        prop_assert!(differences.is_empty(), "{differences:#?}\n{:#?}", whole.steps);
        let renamed = replay::replay(&seen.roles, &rest).unwrap();
        prop_assert_eq!(sorted(owned(outcome)), sorted(owned(renamed)));

        // Whoever was not renamed, for want of a Secret, is there under the old name.
        for (to, from) in spec.renamed_from.iter().filter(|(to, _)| !due.iter().any(|rename| rename.to == **to)) {
            prop_assert!(resolved.skipped.contains(to) && !resolved.removable.contains(from));
        }
        prop_assert_eq!(sorted(renames::before(&due, &seen.roles).into_owned()), sorted(catalog.roles));
    }

    #[test]
    fn the_renames_come_before_everything_else_and_nothing_is_left_out(
        world in world(),
        chosen in subsequence(NAMES.to_vec(), 0..=NAMES.len()),
        room in 0..6_usize,
    ) {
        let World { spec, mut catalog, mut records, in_sync } = before_renames(world, &chosen);
        let due = renames::due(&spec, &catalog, &BTreeSet::new(), |_| false);
        renames::carry_out(&due, &mut catalog);
        renames::carry_over(&due, &mut records);
        let resolved = resolve::resolve(&spec, &catalog, &records, &in_sync);
        let mut steps = renaming(&due);
        steps.extend(plan(&resolved, &catalog).steps);
        let guarded = GuardedPlan::unjudged(Plan { steps: steps.clone(), ..Plan::default() }.into());
        let first = guarded.renames();
        let parts = guarded.parts(&catalog, room);
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for position in parts.iter().flat_map(|part| part.positions()).chain(first.positions()) {
            *counts.entry(position).or_default() += 1;
        }
        prop_assert!(counts.keys().copied().eq(0..steps.len()), "{counts:?} of {}", steps.len());
        let is_rename = |step: &Step| matches!(step.change, Change::RenameRole { .. });
        prop_assert!(parts.iter().all(|part| !part.steps().iter().any(is_rename)));
        for step in first.steps().iter().filter(|step| !is_rename(step)) {
            prop_assert!(matches!(step.change, Change::SetPassword(_)), "{step:?}");
        }
    }
}
