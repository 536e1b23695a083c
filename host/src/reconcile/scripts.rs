//! Custom SQL, from what is declared to what was run.
//!
//! ```text
//! users.yaml ─► allowed by the chain? ─► due? ─► policies see its name ─► a planner orders it ─► guard ─► run ─► ledger
//! ```
//!
//! A script runs after everything else of a plan, in a session and a transaction of its own, so that its failure takes
//! nothing else along. In DB_NAME its record is written in that transaction; elsewhere right after its commit, so that a
//! crash in between runs it once more.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::parts::left_undone;
use super::records::history;
use super::{CycleError, Observation, Planned, Reconciler};
use crate::guard::GuardedPlan;
use crate::ledger::{Ledger, LedgerError, Ran, Update};
use crate::model::{Finding, Mode, Run, Script, Severity, Spec};
use crate::plan::{Plan, Step};
use crate::policy::Chain;
use crate::postgres::apply::Failed;
use crate::postgres::explain::{Attempt, ServerError};
use crate::postgres::script;
use crate::spec::Scripts;

/// Scripts that have run.
type Records = BTreeMap<String, Ran>;

/// Whether it has never run as it is; of one that follows changes, whether something else has run in its place since:
/// that one is made to be repeated.
fn is_due(script: &Script, records: &Records) -> bool {
    let digest = script.digest();
    records.get(&script.name).is_none_or(|ran| match script.run {
        Run::Once => !ran.has(&digest),
        Run::OnChange => ran.last() != Some(&digest),
    })
}

/// Puts the names of those that may run into the spec, for the policies; and tells which may not. One that runs again with
/// every change is always among them: whether there is a change is seen when there is a plan.
pub(super) fn offer(spec: &mut Spec, scripts: &Scripts, records: &Records, chain: &Chain) -> Vec<Finding> {
    let mut findings = Vec::new();
    for script in scripts.values() {
        let wanted = script.run == Run::OnChange || is_due(script, records);
        if !wanted {
            continue;
        }
        let Script { name, path, .. } = script;
        if spec.mode == Mode::Observe {
            let message = format!("the script {name:?} is not run: users.yaml only observes (`mode: observe`)");
            findings.push(Finding::new(Severity::Info, "script-observed", path, message));
        } else if chain.allows_script(name, &script.digest()) {
            spec.scripts.push(name.clone());
        } else {
            findings.push(not_allowed(script, chain));
        }
    }
    findings
}

fn not_allowed(script: &Script, chain: &Chain) -> Finding {
    let Script { name, path, .. } = script;
    let message = format!("the script {name:?} is declared, and the policy chain does not allow it; it is not run");
    Finding::new(Severity::Warning, "script-not-allowed", path, message).help(format!(
        "if you trust this text with the controller's rights, add to policy `{}` in the file that POLICIES names: \
         `allowScripts: [\"{name}@{}\"]` (the name alone would allow whatever users.yaml holds under it)",
        chain.planner(),
        script.digest()
    ))
}

/// Makes what a planner says of scripts ready: in the order of users.yaml, after everything else, with their places; and
/// without those that only run again if something changes, where nothing does.
pub(super) fn settle(steps: &mut Vec<Step>, scripts: &Scripts, records: &Records) {
    let is_again = |step: &Step| {
        let script = step.change.script().and_then(|name| scripts.get(name));
        script.is_some_and(|script| script.run == Run::OnChange && !is_due(script, records))
    };
    if steps.iter().all(is_again) {
        steps.clear();
    }
    // Stable: everything else keeps its order, before all scripts.
    steps.sort_by_key(|step| step.change.script().map(|name| scripts.get(name).map(|script| script.order)));
    for step in steps {
        if let Some(script) = step.change.script().and_then(|name| scripts.get(name)) {
            step.path.clone_from(&script.path);
        }
    }
}

/// Scripts that may run, and that no policy lets run: its right, and worth a word.
pub(super) fn left_out(
    offered: &BTreeSet<String>,
    steps: &[Step],
    observation: &Observation,
    by: &str,
) -> Vec<Finding> {
    let ordered: BTreeSet<&str> = steps.iter().filter_map(|step| step.change.script()).collect();
    let scripts = offered.iter().filter(|name| !ordered.contains(name.as_str()));
    let scripts = scripts.filter_map(|name| observation.parsed.scripts.get(name));
    let due = scripts.filter(|script| is_due(script, &observation.state.scripts));
    let finding = |script: &Script| {
        let message = format!(
            "the script {:?} is allowed and due, and is not run: the planner {by} does not order it, or a policy before \
             it has taken it out",
            script.name
        );
        Finding::new(Severity::Info, "script-not-ordered", &script.path, message)
    };
    due.map(finding).collect()
}

/// The scripts of a plan, in their order, with their positions in it.
fn of_plan<'a>(plan: &Plan, scripts: &'a Scripts) -> Vec<(usize, &'a Script)> {
    let steps = plan.steps.iter().enumerate();
    steps.filter_map(|(position, step)| Some((position, scripts.get(step.change.script()?)?))).collect()
}

impl Planned {
    /// The scripts that the plan runs, in their order.
    pub(super) fn scripts(&self) -> Vec<&Script> {
        of_plan(&self.plan, &self.observation.parsed.scripts).into_iter().map(|(_, script)| script).collect()
    }

    /// What is remembered of a script.
    fn ran(&self, script: &Script) -> Ran {
        self.observation.state.scripts.get(&script.name).cloned().unwrap_or_default()
    }

    /// Whether a script runs only since something else changes.
    fn runs_again(&self, script: &Script) -> bool {
        script.run == Run::OnChange && !is_due(script, &self.observation.state.scripts)
    }
}

impl Reconciler {
    /// Before anything is changed: what is to run after it is due from now on, whatever becomes of this cycle.
    pub(super) async fn make_due(
        &self,
        client: &Client,
        planned: &Planned,
        ledger: &mut Ledger,
    ) -> Result<(), CycleError> {
        let due = |script: &Script| planned.ran(script).without(&script.digest());
        self.record_again(client, planned, due, ledger).await
    }

    /// Where nothing was changed after all: what was to run after it is due no more than before.
    pub(super) async fn make_due_no_more(
        &self,
        client: &Client,
        planned: &Planned,
        ledger: &mut Ledger,
    ) -> Result<(), CycleError> {
        self.record_again(client, planned, |script| planned.ran(script), ledger).await
    }

    /// Records something of those that run only since something else changes.
    async fn record_again(
        &self,
        client: &Client,
        planned: &Planned,
        what: impl Fn(&Script) -> Ran,
        ledger: &mut Ledger,
    ) -> Result<(), CycleError> {
        let again = planned.scripts().into_iter().filter(|script| planned.runs_again(script));
        let scripts: Records = again.map(|script| (script.name.clone(), what(script))).collect();
        if scripts.is_empty() {
            return Ok(());
        }
        self.record(client, planned, Update { scripts, claim: self.own_claim(), ..Update::default() }, ledger).await
    }

    /// Runs the scripts of a plan, and tells which failed. `failed`: what failed before them.
    pub(super) async fn run_scripts(
        &self,
        client: &Client,
        planned: &Planned,
        plan: &GuardedPlan,
        failed: &[Failed],
        ledger: &mut Ledger,
    ) -> Result<Vec<Failed>, CycleError> {
        let declared = &planned.observation.parsed.scripts;
        let mut undone = left_undone(plan, failed);
        let mut more = Vec::new();
        for (position, script) in of_plan(plan.plan(), declared) {
            let mut update = Update {
                scripts: BTreeMap::from([(script.name.clone(), planned.ran(script).with(&script.digest()))]),
                claim: self.own_claim(),
                ..Update::default()
            };
            let has_changed = plan.plan().steps.iter().enumerate().any(|(position, step)| {
                let runs_again = step.change.script().and_then(|name| declared.get(name));
                !runs_again.is_some_and(|script| planned.runs_again(script)) && !undone.contains(&position)
            });
            if planned.runs_again(script) && !has_changed {
                // All that it was to follow has failed.
                self.record(client, planned, update, ledger).await?;
                continue;
            }
            update.history = history(planned, &BTreeSet::from([position]));
            self.check_claim(client, ledger).await?;
            if let Err(error) = self.run_script(client, planned, script, update, ledger).await? {
                let role = crate::plan::change::script_in_words(&script.name);
                undone.insert(position);
                more.push(Failed { role, steps: vec![position], error });
            }
        }
        Ok(more)
    }

    async fn run_script(
        &self,
        client: &Client,
        planned: &Planned,
        script: &Script,
        mut update: Update,
        ledger: &mut Ledger,
    ) -> Result<Result<(), ServerError>, CycleError> {
        let target = &self.settings.target;
        let server = &planned.observation.catalog.server;
        let ran = match script::run(target, &self.pool.limits(), script).await {
            Ok(ran) => ran,
            Err(error) => return Ok(Err(error)),
        };
        let is_beside_ledger = script.database == target.database && matches!(ledger, Ledger::Database { .. });
        // It may have taken its time; whoever leads by now runs it himself. Asked where the script has locked the ledger,
        // if it has.
        self.check_claim(if is_beside_ledger { ran.client() } else { client }, ledger).await?;
        if !is_beside_ledger {
            if let Err(error) = ran.commit(script).await {
                return Ok(Err(error));
            }
            self.record(client, planned, update, ledger).await?;
            return Ok(Ok(()));
        }
        // Whether the ledger is there is decided in a transaction that may come to nothing.
        let mut written = ledger.clone();
        planned.take_along(&written, &mut update);
        match written.write(ran.client(), &update).await {
            Ok(()) => {}
            Err(LedgerError::Postgres(error)) => {
                let action = format!("record that script {:?} has run", script.name);
                let attempt = Attempt { action: &action, role: None, server_version: server.version };
                return Ok(Err(ServerError::new(&error, &attempt)));
            }
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = ran.commit(script).await {
            return Ok(Err(error));
        }
        *ledger = written;
        Ok(Ok(()))
    }
}

#[cfg(test)]
#[path = "scripts_tests.rs"]
mod tests;
