//! Scripts that a planner orders: those that were offered, each once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Bounds, Judgement, judge};
use crate::catalog::Catalog;
use crate::plan::{Cause, Change, Plan, Proposal, Risk, assemble};
use crate::resolve::Resolved;

fn rules(ordered: &[&str]) -> Vec<&'static str> {
    let resolved = Resolved { scripts: vec!["audit".into(), "views".into()], ..Resolved::default() };
    let proposal = |name: &&str| Proposal {
        change: Change::RunScript((*name).to_owned()),
        risk: Risk::Safe,
        reason: String::new(),
        path: String::new(),
    };
    let steps = assemble(ordered.iter().map(proposal).collect(), "test", |_| Cause::Spec);
    assert!(steps.iter().all(|step| step.risk == Risk::Destructive));
    let bounds = Bounds {
        deletions: 0,
        allowed_powers: BTreeSet::new(),
        reassign_owned_to: "postgres".into(),
        users_declared: 1,
        roles_declared: 1,
        approved: None,
    };
    match judge(Arc::new(Plan { steps, ..Plan::default() }), "test", &resolved, &Catalog::default(), &bounds) {
        Judgement::Refused(refusal) => refusal.violations.iter().map(|violation| violation.rule).collect(),
        Judgement::Pass(_) => Vec::new(),
        Judgement::Held(held) => panic!("{held:?}"),
    }
}

#[test]
fn a_script_runs_once_and_only_if_it_was_offered() {
    assert!(rules(&[]).is_empty(), "a planner need not order any");
    assert!(rules(&["views"]).is_empty());
    assert!(rules(&["audit", "views"]).is_empty());
    assert_eq!(rules(&["audit", "audit"]), ["impossible-step"]);
    for name in ["other", "", "../../etc/passwd", "audit\0", "Audit", "audit@sha256:0", "DROP TABLE t"] {
        assert_eq!(rules(&[name]), ["unknown-script"], "{name:?}");
    }
}
