//! What the tests of the guard share: a planner's changes made into a plan, the bounds of an operator who allows
//! nothing, and the rules that were broken.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Bounds, Judgement};
use crate::plan::{Cause, Change, Plan, Proposal, Risk, Step, assemble};

/// A plan of these changes, in the host's order.
pub(super) fn plan(changes: impl IntoIterator<Item = Change>) -> Arc<Plan> {
    plan_of(assemble(changes.into_iter().map(proposal).collect(), "evil", |_| Cause::Spec))
}

/// A plan of these steps, as they stand.
pub(super) fn plan_of(steps: Vec<Step>) -> Arc<Plan> {
    Arc::new(Plan { digest: "sha256:1".into(), steps, ..Plan::default() })
}

fn proposal(change: Change) -> Proposal {
    Proposal { change, risk: Risk::Safe, reason: String::new(), path: String::new() }
}

pub(super) fn bounds() -> Bounds {
    Bounds {
        deletions: 0,
        allowed_powers: BTreeSet::new(),
        reassign_owned_to: "postgres".into(),
        users_declared: 1,
        roles_declared: 1,
        approved: None,
    }
}

/// The rules that a plan breaks; one that is held is none of these tests' business.
pub(super) fn rules(judgement: Judgement) -> Vec<&'static str> {
    match judgement {
        Judgement::Refused(refusal) => refusal.violations.iter().map(|violation| violation.rule).collect(),
        Judgement::Pass(_) => Vec::new(),
        Judgement::Held(held) => panic!("{held}"),
    }
}
