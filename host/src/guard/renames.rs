//! Rule 4: a plan renames what is declared to be renamed now, before everything else, and nobody else. The host puts
//! these steps there; whatever a module adds, leaves out or changes is found here.

use super::{Violation, invalid_name};
use crate::catalog::Catalog;
use crate::plan::{Change, Step};
use crate::resolve::Resolved;

/// Checks the renames at the head of the plan, and tells how many there are. The catalog is as it will be after them.
pub(super) fn check(steps: &[Step], resolved: &Resolved, catalog: &Catalog, violations: &mut Vec<Violation>) -> usize {
    let mut violate = |message: String| violations.push(Violation { rule: "undeclared-rename", message });
    for (index, wanted) in resolved.renames.iter().enumerate() {
        let (from, to) = (&wanted.from, &wanted.to);
        let found = steps.get(index).map(|step| &step.change);
        if !matches!(found, Some(Change::RenameRole { from: old, to: new }) if old == from && new == to) {
            violate(format!("{from:?} is to be renamed to {to:?} before everything else, and is not"));
        }
        for name in [from, to] {
            if let Some(why) = invalid_name(name) {
                violate(format!("the name {name:?} {why}"));
            }
            if catalog.is_protected(name) {
                violate(format!("{name:?} is protected, and cannot be renamed"));
            }
        }
        if catalog.roles.contains_key(from) || !catalog.roles.contains_key(to) {
            violate(format!("{from:?} cannot be renamed to {to:?}: it is not there, or both are"));
        }
        if !resolved.desired.contains_key(to) && !resolved.removable.contains(to) {
            violate(format!("{from:?} would be renamed to {to:?}, which is not declared"));
        }
    }
    resolved.renames.len().min(steps.len())
}
