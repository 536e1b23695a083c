//! What the controller's role has no right to, known before the first statement. Pure code over the catalog and the
//! steps of a plan.
//!
//! ```text
//! catalog ──► held: what the controller is and holds ─┐
//! steps ──────────────────────────────────────────────┼─► rules, one for each change ──► reasons, with what mends them
//! version ────────────────────────────────────────────┤
//! spec: renames, databases ───────────────────────────┴─► ahead, of what comes before all steps
//! ```
//!
//! Said is only what is certain. A "cannot" that is wrong would keep the controller from its work, while what is not
//! foreseen is refused by the server, and reported then. So rights are taken for what they could at most become while
//! the plan runs, and these are left to the server: privileges on objects, schemas and row-level security inside of databases; parameters that an
//! extension has yet to define, or that are hidden from the controller; grant options that several roles have to
//! contribute to; and, where a provider has changed PostgreSQL's rules, what is known to differ.

mod ahead;
mod held;
mod mend;
mod rules;
#[cfg(test)]
mod tests;

pub use ahead::{Denied, databases, renames};

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::model::Role;
use crate::plan::{Change, Removal, Step};
use held::Held;

/// Why something cannot be done, and what would mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The end of a sentence that begins with the role in question.
    pub why: String,
    /// Statements for a superuser, in this order.
    pub mend: Vec<String>,
}

/// Reasons by role.
pub type Reasons = BTreeMap<String, Vec<Reason>>;

/// The steps that the controller has no right to, by role. `desired` tells what is to become of each.
pub fn denied(steps: &[Step], catalog: &Catalog, desired: &BTreeMap<String, Role>) -> Reasons {
    let mut denied = Reasons::new();
    let Some(held) = most(catalog, steps) else { return denied };
    for step in steps {
        let reasons = rules::of(&step.change, &held, desired);
        if let Some(role) = step.change.role().filter(|_| !reasons.is_empty()) {
            add(denied.entry(role.to_owned()).or_default(), reasons);
        }
    }
    denied
}

/// The removals that will end half-way: the role is kept from logging in, and stays.
pub fn unfinished(removals: &BTreeMap<String, Removal>, steps: &[Step], catalog: &Catalog) -> Reasons {
    let Some(held) = most(catalog, steps) else { return Reasons::new() };
    let going = steps.iter().filter_map(|step| match &step.change {
        Change::DropRole { name, .. } => Some((name, removals.get(name)?)),
        _ => None,
    });
    let reasons = going.map(|(name, removal)| (name.clone(), rules::of_removal(name, removal, &held)));
    reasons.filter(|(_, reasons)| !reasons.is_empty()).collect()
}

/// The most that the controller can have while the plan runs: what it has now, and then whatever steps give that can be
/// done with it, in whatever order.
fn most<'a>(catalog: &'a Catalog, steps: &'a [Step]) -> Option<Held<'a>> {
    let mut held = Held::new(catalog, steps, &[])?;
    let gains = held::gains(steps);
    let mut count = 0;
    loop {
        let gained: Vec<_> = gains.iter().filter(|gain| rules::is_open(gain, &held)).copied().collect();
        if gained.len() == count {
            return Some(held);
        }
        count = gained.len();
        held = Held::new(catalog, steps, &gained)?;
    }
}

/// Each statement once, in their order.
pub fn mends(reasons: &[Reason]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    reasons.iter().flat_map(|reason| &reason.mend).map(String::as_str).filter(|sql| seen.insert(*sql)).collect()
}

fn add(known: &mut Vec<Reason>, more: Vec<Reason>) {
    for reason in more {
        if !known.contains(&reason) {
            known.push(reason);
        }
    }
}
