//! Scripts: a plan may run those that the host offered to the planner, each once, and no others. What they do nobody can
//! prove beforehand; that they may run at all is the operator's word, in the chain.

use crate::resolve::Resolved;

/// Judges a step that runs a script.
pub(super) fn check(name: &str, resolved: &Resolved, violate: impl FnOnce(&'static str, String)) {
    if !resolved.scripts.iter().any(|offered| offered == name) {
        violate("unknown-script", format!("no script {name:?} is declared, allowed by the chain, and due"));
    }
}
