//! What became of a cycle: counted for the summary, listed for the log, and written down for those
//! who read the state file.

use std::collections::BTreeSet;

use super::{Planned, Verdict};
use crate::ledger::state_file::{Entries, Entry};
use crate::model::{Mode, Severity};
use crate::plan::{Counts, Plan};
use crate::postgres::apply::Failed;
use crate::telemetry::metrics::State;
use crate::telemetry::summary::{Outcome, Summary};

/// How a cycle ended that came to its end.
#[derive(Debug)]
pub struct Report {
    /// The plan, with what it stood on.
    pub planned: Planned,
    /// Roles that could not be brought to their desired state.
    pub failed: Vec<Failed>,
    /// Sessions of removed roles that were ended.
    pub sessions_ended: usize,
    /// Whether the plan was carried out, as far as it could be.
    acted: bool,
}

impl Report {
    pub(super) fn untouched(planned: Planned) -> Report {
        Report { planned, failed: Vec::new(), sessions_ended: 0, acted: false }
    }

    pub(super) fn applied(planned: Planned, failed: Vec<Failed>, sessions_ended: usize) -> Report {
        Report { planned, failed, sessions_ended, acted: true }
    }

    /// The report of a plan that is only shown.
    pub fn dry_run(planned: Planned) -> Report {
        Report::untouched(planned)
    }

    /// Whether the plan was carried out, as far as it could be.
    pub(super) fn acted(&self) -> bool {
        self.acted
    }

    /// The summary line; `dry_run` tells that nothing was meant to be changed.
    pub fn summary(&self, dry_run: bool) -> Summary {
        let outcome = match &self.planned.verdict {
            Verdict::Held(_) => Outcome::Held,
            Verdict::Paused => Outcome::Paused,
            Verdict::Refused(_) | Verdict::Denied { .. } | Verdict::Blocked => Outcome::Refused,
            Verdict::Pass(_) if dry_run => Outcome::DryRun,
            Verdict::Pass(_) if self.planned.plan.is_empty() => Outcome::NothingToDo,
            Verdict::Pass(_) => Outcome::Applied,
        };
        Summary { errors: self.errors(), ..Summary::new(outcome, &self.counts()) }
    }

    /// How things stand, for the metrics.
    pub(super) fn state(&self, outcome: Outcome) -> State {
        let left_out: BTreeSet<&str> =
            self.failed.iter().map(|failed| failed.role.as_str()).chain(self.left_out()).collect();
        State {
            synced: matches!(outcome, Outcome::Applied | Outcome::NothingToDo) && self.errors() == 0,
            held: outcome == Outcome::Held,
            paused: self.planned.observation.directives.paused,
            users_not_synced: left_out.len(),
        }
    }

    /// Users that keep what they have, for want of a Secret or the like.
    fn left_out(&self) -> impl Iterator<Item = &str> {
        self.planned.resolved.skipped.iter().map(String::as_str)
    }

    /// What was done, or, if nothing was, what would have been.
    pub(super) fn counts(&self) -> Counts {
        let failed: BTreeSet<&str> = self.failed.iter().map(|failed| failed.role.as_str()).collect();
        let plan = &self.planned.plan;
        let steps =
            plan.steps.iter().filter(|step| !failed.contains(step.change.subject().as_ref())).cloned().collect();
        let done = Plan { steps, ..Plan::default() };
        done.counts(&plan.users(&self.planned.observation.catalog))
    }

    /// Roles that failed or were left out, and whatever stands against the plan as a whole.
    fn errors(&self) -> usize {
        let findings = self.planned.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        let refused = usize::from(matches!(self.planned.verdict, Verdict::Refused(_) | Verdict::Denied { .. }));
        self.failed.len() + findings + refused
    }

    /// Users that are as declared; those that failed or were left out as they were before.
    pub(super) fn state_file(&self, before: &Entries) -> Entries {
        let failed: BTreeSet<&str> = self.failed.iter().map(|failed| failed.role.as_str()).collect();
        let mut entries = Entries::new();
        for user in self.planned.observation.parsed.users.values() {
            let name = &user.username;
            // Who is only observed is not ours, also where nothing had to be decided.
            let is_left = self.planned.resolved.skipped.contains(name) || user.mode == Mode::Observe;
            if failed.contains(name.as_str()) || is_left || !self.acted {
                if let Some(entry) = before.get(name) {
                    entries.insert(name.clone(), entry.clone());
                }
                continue;
            }
            let several = user.databases.len() > 1;
            let entry = Entry {
                username: name.clone(),
                database: user.databases.first().cloned(),
                databases: if several { user.databases.clone() } else { Vec::new() },
                roles: user.roles.clone(),
                privileges: user.privileges.clone(),
            };
            entries.insert(name.clone(), entry);
        }
        // Removals that failed, or could not begin, are still there.
        for name in failed.into_iter().chain(self.planned.resolved.kept.keys().map(String::as_str)) {
            if let Some(entry) = before.get(name) {
                entries.entry(name.to_owned()).or_insert_with(|| entry.clone());
            }
        }
        entries
    }
}
