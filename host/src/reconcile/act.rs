//! Carries a judged plan out: lock, compare the fingerprint, run, record, commit (once; once for each
//! part of a plan that the server's lock table is too small for), with a turn in each database before and after; then
//! finish the removals. Whatever happens, the ledger says what PostgreSQL holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use tokio_postgres::Client;

use super::databases::{self, Progress};
use super::parts::{Done, Work, left_undone};
use super::records::{history, is_clean, without_what_is_to_come};
use super::removals::{kept_out, locked_out};
use super::row_security;
use super::{CycleError, Planned, Reconciler, Report, Verdict};
use crate::catalog::Catalog;
use crate::guard::GuardedPlan;
use crate::guard::parts::Part;
use crate::ledger::{Ledger, Update, state_file};
use crate::model::PUBLIC;
use crate::postgres::apply::{self, Failed, Verifiers};
use crate::postgres::{removal, snapshot};
use crate::resolve::Kind;

/// How an attempt ended.
pub(super) enum Outcome {
    /// It is done, or nothing was to be done, or it may not be done.
    Done(Box<Report>),
    /// The catalog moved since it was read.
    Stale,
}

impl Reconciler {
    pub(super) async fn act(&self, planned: Planned) -> Result<Outcome, CycleError> {
        let started = Instant::now();
        let plan = match &planned.verdict {
            Verdict::Pass(_) if planned.observation.directives.paused => {
                return Ok(Outcome::Done(Box::new(Report::untouched(planned))));
            }
            Verdict::Pass(_) if planned.converged => {
                let report = Report::applied(planned, Vec::new(), 0);
                self.write_state_file(&report)?;
                return Ok(Outcome::Done(Box::new(report)));
            }
            Verdict::Pass(plan) => plan,
            _ => return Ok(Outcome::Done(Box::new(Report::untouched(planned)))),
        };
        self.may_act(&planned)?;
        let update = self.update(&planned);
        let mut failed = Vec::new();
        let mut sessions_ended = 0;
        if !plan.plan().is_empty() || self.is_news(&planned, &update) {
            let verifiers = self.verifiers(&planned)?;
            let client = self.pool.get().await?;
            self.attempt(apply::lock(&client).await, &planned, "take the lock that keeps instances apart")?;
            let acted = self.in_lock(&client, &planned, plan, &verifiers, &update).await;
            // The lock goes with the session at the latest; an error here must not hide one above.
            if let Err(error) = apply::unlock(&client).await {
                tracing::debug!(%error, "the lock went with its session");
            }
            match acted? {
                Some((roles, sessions)) => (failed, sessions_ended) = (roles, sessions),
                None => return Ok(Outcome::Stale),
            }
        }
        let report = Report::applied(planned, failed, sessions_ended);
        self.write_state_file(&report)?;
        self.metrics.stage("act", started.elapsed());
        Ok(Outcome::Done(Box::new(report)))
    }

    /// Says in words what would otherwise come as an error code half-way through.
    pub(super) fn may_act(&self, planned: &Planned) -> Result<(), CycleError> {
        let server = &planned.observation.catalog.server;
        if planned.observation.in_recovery {
            return Err(CycleError::Standby { target: server.target.clone() });
        }
        Ok(())
    }

    pub(super) fn attempt<T>(
        &self,
        result: Result<T, tokio_postgres::Error>,
        planned: &Planned,
        action: &str,
    ) -> Result<T, CycleError> {
        result.map_err(|error| CycleError::postgres(&error, action, &planned.observation.catalog.server))
    }

    /// `None`: stale. Else what failed, and how many sessions were ended.
    async fn in_lock(
        &self,
        client: &Client,
        planned: &Planned,
        plan: &GuardedPlan,
        verifiers: &Verifiers,
        update: &Update,
    ) -> Result<Option<(Vec<Failed>, usize)>, CycleError> {
        let mut ledger = planned.observation.ledger.clone();
        let mut progress = Progress::default();
        let carried_out =
            self.carry_out(client, planned, plan, (verifiers, update), (&mut progress, &mut ledger)).await?;
        if carried_out.is_none() && !progress.changed {
            self.make_due_no_more(client, planned, &mut ledger).await?;
        }
        Ok(carried_out)
    }

    async fn carry_out(
        &self,
        client: &Client,
        planned: &Planned,
        plan: &GuardedPlan,
        (verifiers, update): (&Verifiers, &Update),
        (progress, ledger): (&mut Progress, &mut Ledger),
    ) -> Result<Option<(Vec<Failed>, usize)>, CycleError> {
        let inside = plan.inside();
        let (taken, given): (BTreeMap<_, _>, BTreeMap<_, _>) = (
            inside.iter().map(|(database, inside)| (*database, inside.taken.clone())).collect(),
            inside.iter().map(|(database, inside)| (*database, inside.given.clone())).collect(),
        );
        self.check_claim(client, ledger).await?;
        if !self.may_switch(planned).await {
            return Ok(None);
        }
        let (unended, mut sessions) = self.end_sessions(client, planned, &kept_out(planned)).await?;
        // No transaction can hold these, so that it has been committed does not mean that all agrees.
        progress.unfinished = !unended.is_empty()
            || !locked_out(planned).is_empty()
            || !planned.observation.catalog.absent.is_empty()
            || plan.plan().scripts().next().is_some();
        self.make_due(client, planned, ledger).await?;
        let Some(fingerprint) = self.make_databases(client, planned, plan, ledger, progress).await? else {
            return Ok(None);
        };
        let on_the_server = without_what_is_to_come(update, planned);
        let failed = std::mem::take(&mut progress.failed);
        let mut done = Done { fingerprint, failed, unfinished: progress.unfinished, ..Done::default() };
        let renames = plan.renames();
        if !renames.steps().is_empty() {
            // Whatever comes after this goes by the new names, in every database.
            let positions = renames.positions();
            let rest = planned.resolved.in_scope.iter().map(String::as_str).collect();
            let work = Work { parts: VecDeque::from([renames]), rest: Some(rest), update: &on_the_server, done };
            let Some(renamed) = self.in_parts(client, planned, work, verifiers, (&mut *progress, &mut *ledger)).await?
            else {
                return Ok(None);
            };
            done = renamed;
            done.renames = positions;
        }
        progress.failed.clone_from(&done.failed);
        let renamed = done.failed.len();
        if self.visit(client, planned, &taken, databases::Turn::Taken, ledger, progress).await?.is_none() {
            return Ok(None);
        }
        done.before = &positions_of(taken.values()) - &left_undone(plan, &progress.failed);
        let room = self.room_for_locks(client, planned).await?;
        let catalog = &planned.observation.catalog;
        let parts = if done.failed.is_empty() {
            plan.parts(catalog, room)
        } else {
            let failed = done.failed.iter().map(|failed| failed.role.as_str()).collect();
            plan.after_renames().without(&failed).fitting(catalog, room)
        };
        let work = Work { parts: parts.into(), rest: None, update: &on_the_server, done };
        let done = self.in_parts(client, planned, work, verifiers, (&mut *progress, &mut *ledger)).await?;
        let Some(Done { mut failed, fingerprint, .. }) = done else { return Ok(None) };
        progress.failed.extend(failed.iter().skip(renamed).cloned());
        if self.visit(client, planned, &given, databases::Turn::Given, ledger, progress).await?.is_none() {
            return Ok(None);
        }
        if !inside.is_empty() {
            failed = std::mem::take(&mut progress.failed);
            let given = &positions_of(given.values()) - &left_undone(plan, &failed);
            let reached = (fingerprint.as_str(), &*progress);
            self.after_the_databases(client, planned, update, (&given, &failed), reached, ledger).await?;
        }
        let more = self.switch(client, planned, (update, &failed), ledger).await?;
        failed.extend(more);
        let names: BTreeSet<&str> = failed.iter().map(|failed| failed.role.as_str()).collect();
        let renderer = apply::exact(&planned.observation.catalog, &self.settings.reassign_owned_to);
        let removals = removal::of(plan.plan(), &renderer, &names);
        let locked_out: Vec<&str> = locked_out(planned).into_iter().filter(|name| !names.contains(name)).collect();
        let (more, ended) = self.end_sessions(client, planned, &locked_out).await?;
        sessions += ended;
        failed.extend(unended.into_iter().chain(more));
        if !removals.is_empty() {
            let (more, ended) = self.finish_removals(client, planned, removals, ledger).await?;
            failed.extend(more);
            sessions += ended;
        }
        let more = self.run_scripts(client, planned, plan, &failed, ledger).await?;
        failed.extend(more);
        Ok(Some((failed, sessions)))
    }

    /// Records what was done inside of databases, and that all agrees if so.
    async fn after_the_databases(
        &self,
        client: &Client,
        planned: &Planned,
        update: &Update,
        (given, failed): (&BTreeSet<usize>, &[Failed]),
        reached: (&str, &Progress),
        ledger: &mut Ledger,
    ) -> Result<(), CycleError> {
        let steps = planned.plan.steps.iter().filter(|step| step.change.database().is_some());
        let roles: BTreeSet<&str> = steps.filter_map(|step| step.change.role()).collect();
        let failed: BTreeSet<&str> = failed.iter().map(|failed| failed.role.as_str()).collect();
        let done =
            update.upserts.iter().filter(|(role, _)| roles.contains(role.as_str()) && !failed.contains(role.as_str()));
        let mut update = Update {
            upserts: done.map(|(role, record)| (role.clone(), record.clone())).collect(),
            history: history(planned, given),
            expressions: row_security::to_be_known(planned, &reached.1.expressions),
            claim: update.claim.clone(),
            ..Update::default()
        };
        let agrees =
            !reached.1.unfinished && failed.is_empty() && planned.plan.removals.is_empty() && is_clean(planned);
        let inputs = agrees.then(|| planned.observation.inputs.clone());
        self.record_inside(client, planned, &mut update, inputs, reached, ledger).await
    }

    pub(super) async fn fingerprint(&self, client: &Client, planned: &Planned) -> Result<String, CycleError> {
        let fingerprint = snapshot::fingerprint(client, &planned.observation.catalog.server).await;
        self.attempt(fingerprint, planned, "compare the catalog's fingerprint")
    }

    fn write_state_file(&self, report: &Report) -> Result<(), CycleError> {
        let path = &self.settings.state_file;
        let before = state_file::read(path).unwrap_or_else(|error| {
            // Only a copy of what the ledger knows: where there is no other, the cycle ended earlier.
            tracing::warn!("{error}; it is replaced");
            state_file::Entries::new()
        });
        state_file::write(path, &report.state_file(&before))?;
        Ok(())
    }
}

/// Where the steps of some parts stand in the plan.
fn positions_of<'a>(parts: impl Iterator<Item = &'a Part<'static>>) -> BTreeSet<usize> {
    parts.flat_map(Part::positions).collect()
}

/// Managed users and group roles after a cycle, for the metrics.
pub(super) fn managed(planned: &Planned, catalog: &Catalog, failed: &BTreeSet<&str>) -> (usize, usize) {
    let (mut users, mut groups) = (0, 0);
    for name in planned.resolved.in_scope.iter().filter(|name| *name != PUBLIC) {
        if failed.contains(name.as_str()) && !catalog.roles.contains_key(name) {
            continue;
        }
        match planned.resolved.kind(name) {
            Some(Kind::User) => users += 1,
            Some(Kind::Group) => groups += 1,
            None => {}
        }
    }
    (users, groups)
}
