//! Scripts that a planner orders: those that were offered, each once.

use super::judge;
use super::trial::{bounds, plan, rules};
use crate::catalog::Catalog;
use crate::plan::{Change, Risk};
use crate::resolve::Resolved;

fn broken(ordered: &[&str]) -> Vec<&'static str> {
    let resolved = Resolved { scripts: vec!["audit".into(), "views".into()], ..Resolved::default() };
    let plan = plan(ordered.iter().map(|name| Change::RunScript((*name).to_owned())));
    assert!(plan.steps.iter().all(|step| step.risk == Risk::Destructive));
    rules(judge(plan, "test", &resolved, &Catalog::default(), &bounds()))
}

#[test]
fn a_script_runs_once_and_only_if_it_was_offered() {
    assert!(broken(&[]).is_empty(), "a planner need not order any");
    assert!(broken(&["views"]).is_empty());
    assert!(broken(&["audit", "views"]).is_empty());
    assert_eq!(broken(&["audit", "audit"]), ["impossible-step"]);
    for name in ["other", "", "../../etc/passwd", "audit\0", "Audit", "audit@sha256:0", "DROP TABLE t"] {
        assert_eq!(broken(&[name]), ["unknown-script"], "{name:?}");
    }
}
