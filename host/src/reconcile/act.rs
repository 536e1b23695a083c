//! Carries a judged plan out: lock, compare the fingerprint, run, record, commit (once; once for each
//! part of a plan that the server's lock table is too small for), with a turn in each database before and after; then
//! finish the removals. Whatever happens, the ledger says what PostgreSQL holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use tokio_postgres::Client;

use super::databases::{self, Progress};
use super::records::{history, is_clean, only_inside, steps_of, without_what_is_to_come};
use super::removals::{kept_out, locked_out};
use super::row_security;
use super::{CycleError, Planned, Reconciler, Report, Verdict};
use crate::catalog::Catalog;
use crate::guard::GuardedPlan;
use crate::guard::parts::Part;
use crate::ledger::{Converged, Ledger, Update, state_file};
use crate::model::PUBLIC;
use crate::plan::Change;
use crate::plan::replay::compare;
use crate::postgres::apply::{self, Failed, Verifiers};
use crate::postgres::explain::ServerError;
use crate::postgres::removal;
use crate::postgres::{retry, snapshot};
use crate::resolve::renames::Rename;
use crate::resolve::{self, Kind, shared};

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
        done.before = positions_of(taken.values(), &progress.failed);
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
            let given = positions_of(given.values(), &failed);
            let reached = (fingerprint.as_str(), &*progress);
            self.after_the_databases(client, planned, update, (&given, &failed), reached, ledger).await?;
        }
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

    /// The plan in as few transactions as the server has room for: one, but for very large plans. Each
    /// records what it did, so that the ledger agrees with PostgreSQL wherever this ends, and the next
    /// cycle plans what is left.
    async fn in_parts(
        &self,
        client: &Client,
        planned: &Planned,
        work: Work<'_>,
        verifiers: &Verifiers,
        (progress, ledger): (&mut Progress, &mut Ledger),
    ) -> Result<Option<Done>, CycleError> {
        let catalog = &planned.observation.catalog;
        let Work { mut parts, rest, update, mut done } = work;
        while let Some(part) = parts.pop_front() {
            let later = parts.iter().flat_map(roles_of).chain(rest.iter().flatten().copied()).collect();
            let is_last = parts.is_empty() && rest.is_none();
            let turn = Turn { part: &part, later, is_last, done: &done };
            let mut update = turn.update(update, planned);
            // Whether it is there is decided in a transaction that may come to nothing.
            let before = ledger.clone();
            match self.transaction(client, planned, &turn, verifiers, &mut update, ledger).await {
                Ok(Some((failed, fingerprint))) => {
                    progress.changed |= !part.steps().is_empty();
                    ledger.settle(client, &update).await?;
                    done.parts += 1;
                    done.before.clear();
                    done.failed.extend(failed);
                    done.fingerprint = fingerprint;
                    if !parts.is_empty() {
                        tracing::info!(
                            part = done.parts,
                            left = parts.len(),
                            "a part of the plan is applied and recorded"
                        );
                    }
                }
                Ok(None) => {
                    apply::roll_back(client).await;
                    return Ok(None);
                }
                Err(error) => {
                    apply::roll_back(client).await;
                    *ledger = before;
                    let Some(smaller) = error.is_out_of_locks().then(|| part.halved(catalog)).flatten() else {
                        return Err(error.after(done.parts));
                    };
                    tracing::warn!(
                        steps = part.steps().len(),
                        "the server's lock table has no room for this in one transaction; trying it in smaller parts"
                    );
                    for part in smaller.into_iter().rev() {
                        parts.push_front(part);
                    }
                }
            }
        }
        Ok(Some(done))
    }

    pub(super) async fn room_for_locks(&self, client: &Client, planned: &Planned) -> Result<usize, CycleError> {
        let room = apply::room_for_locks(client).await;
        self.attempt(room, planned, "ask how many locks a transaction may take")
    }

    /// One transaction: nearly always the only one. Leaves it open on an error, for the caller to roll
    /// back. `None`: stale. Else what failed, and the catalog's fingerprint as it was left.
    async fn transaction(
        &self,
        client: &Client,
        planned: &Planned,
        turn: &Turn<'_>,
        verifiers: &Verifiers,
        update: &mut Update,
        ledger: &mut Ledger,
    ) -> Result<Option<(Vec<Failed>, String)>, CycleError> {
        let Turn { part, done, .. } = turn;
        let catalog = &planned.observation.catalog;
        let renderer = apply::exact(catalog, &self.settings.reassign_owned_to);
        self.attempt(apply::begin(client).await, planned, "begin the transaction")?;
        self.check_claim(client, ledger).await?;
        if self.fingerprint(client, planned).await? != done.fingerprint {
            return Ok(None);
        }
        let mut failed = Vec::new();
        if let Err(error) = apply::all(client, part, &renderer, verifiers).await {
            if error.as_db_error().is_none() || retry::is_transient(&error) {
                return self.attempt(Err(error), planned, "apply the plan");
            }
            tracing::debug!("the plan as a whole was refused; trying role by role");
            apply::roll_back(client).await;
            self.attempt(apply::begin(client).await, planned, "begin the transaction")?;
            self.check_claim(client, ledger).await?;
            if self.fingerprint(client, planned).await? != done.fingerprint {
                return Ok(None);
            }
            let result = apply::one_by_one(client, part, &renderer, verifiers).await;
            failed = self.attempt(result, planned, "apply the plan role by role")?;
        }
        let mut known: Vec<Failed> = done.failed.iter().chain(&failed).cloned().collect();
        turn.leave_out(update, planned, &known);
        let without_effect = self.verify(client, planned, turn, &known).await?;
        for failed in &without_effect {
            // It is ours, and not as it was meant to be.
            if let Some(record) = update.upserts.get_mut(&failed.role) {
                record.applied = record.applied.take().and_then(only_inside);
            }
        }
        known.extend(without_effect.iter().cloned());
        failed.extend(without_effect);
        let fingerprint = self.fingerprint(client, planned).await?;
        let is_all = !done.unfinished && planned.plan.steps.iter().all(|step| step.change.database().is_none());
        if turn.is_last && is_all && known.is_empty() && planned.plan.removals.is_empty() && is_clean(planned) {
            let inputs = planned.observation.inputs.clone();
            let fingerprint = self.seen(&fingerprint, &planned.observation, &BTreeMap::new());
            update.converged = Some(Converged { inputs, fingerprint });
        }
        planned.take_along(ledger, update);
        ledger.write(client, update).await?;
        self.attempt(apply::commit(client).await, planned, "commit")?;
        Ok(Some((failed, fingerprint)))
    }

    /// CREATE and ALTER ROLE do what they say. A GRANT or REVOKE may do less, or more, and only warn:
    /// for want of rights, or since an edge has another grantor. So after those the outcome is read
    /// and compared before it is recorded.
    async fn verify(
        &self,
        client: &Client,
        planned: &Planned,
        turn: &Turn<'_>,
        failed: &[Failed],
    ) -> Result<Vec<Failed>, CycleError> {
        let server = &planned.observation.catalog.server;
        let may_differ = |change: &Change| match change {
            Change::GrantRole { .. } | Change::RevokeRole { .. } | Change::RevokePrivilege { .. } => true,
            _ => !server.superuser,
        };
        if !turn.part.steps().iter().any(|step| may_differ(&step.change)) {
            return Ok(Vec::new());
        }
        let read = snapshot::read_in_transaction(client, &server.target).await;
        let mut now = self.attempt(read, planned, "compare the outcome with the plan")?.catalog;
        if let Some(wanted) = planned.resolved.desired.get(PUBLIC) {
            let everybody = resolve::databases::everybody_as_found(&now, &wanted.grants);
            now.roles.insert(PUBLIC.to_owned(), everybody);
        }
        let known: BTreeSet<&str> = failed.iter().map(|failed| failed.role.as_str()).collect();
        let finished = turn.finished(planned);
        let mut more = Vec::new();
        let names = planned.resolved.in_scope.iter().map(String::as_str);
        for name in names.filter(|name| finished.contains(name) && !known.contains(name)) {
            let (Some(made), Some(wanted)) = (now.roles.get(name), planned.resolved.desired.get(name)) else {
                continue;
            };
            let mut made = made.clone();
            let found = planned.observation.catalog.roles.get(name);
            if [found, Some(wanted)].into_iter().flatten().any(|role| role.grants.iter().any(|it| it.on.is_shared())) {
                made.grants.extend(shared::held(name, &now));
            }
            // Hidden from who may not read pg_authid.
            made.has_password = wanted.has_password;
            let mut wanted = wanted.clone();
            // What it holds inside of databases is compared there.
            wanted.grants.retain(|grant| grant.database.is_none());
            wanted.memberships.retain(|edge| !planned.resolved.removable.contains(&edge.role));
            made.memberships.retain(|edge| !planned.resolved.removable.contains(&edge.role));
            let differences = compare(&made, &wanted, server.has_membership_options());
            if !differences.is_empty() {
                let error = ServerError::without_effect(name, &differences, &server.current_user);
                more.push(Failed { role: name.to_owned(), steps: steps_of(planned, name), error });
            }
        }
        Ok(more)
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

/// Where the steps of some parts stand in the plan, but for those that failed.
fn positions_of<'a>(parts: impl Iterator<Item = &'a Part<'static>>, failed: &[Failed]) -> BTreeSet<usize> {
    let without: BTreeSet<usize> = failed.iter().flat_map(|failed| failed.steps.iter().copied()).collect();
    let all: BTreeSet<usize> = parts.flat_map(Part::positions).collect();
    &all - &without
}

/// Parts to be carried out one after the other.
struct Work<'a> {
    parts: VecDeque<Part<'a>>,
    /// Roles that something comes for after all of these parts; `None`: nothing comes.
    rest: Option<BTreeSet<&'a str>>,
    /// What the ledger is to say after all of them.
    update: &'a Update,
    done: Done,
}

/// What the parts before have done.
#[derive(Default)]
struct Done {
    parts: usize,
    /// Steps that were done inside of databases before all parts, and stand in no history yet.
    before: BTreeSet<usize>,
    /// Where the renames stand in the plan, and what went with them.
    renames: BTreeSet<usize>,
    failed: Vec<Failed>,
    /// See [`Progress`].
    unfinished: bool,
    /// The catalog's, as the last of them left it.
    fingerprint: String,
}

/// One transaction among those that a plan takes.
struct Turn<'a> {
    part: &'a Part<'a>,
    /// Roles that have steps in later parts.
    later: BTreeSet<&'a str>,
    is_last: bool,
    done: &'a Done,
}

impl Turn<'_> {
    /// Roles that are as declared once this part is done, and were not before; in the last part, also
    /// those that needed nothing, or are only looked at.
    fn finished<'p>(&'p self, planned: &'p Planned) -> BTreeSet<&'p str> {
        let mut finished: BTreeSet<&str> = roles_of(self.part).filter(|role| !self.later.contains(role)).collect();
        if self.is_last {
            let on_the_server = planned
                .plan
                .steps
                .iter()
                .enumerate()
                .filter(|(index, step)| step.change.database().is_none() && !self.done.renames.contains(index));
            let touched: BTreeSet<&str> = on_the_server.filter_map(|(_, step)| step.change.role()).collect();
            let resolved = &planned.resolved;
            let others = resolved.in_scope.iter().chain(&resolved.observed).map(String::as_str);
            finished.extend(others.filter(|role| !touched.contains(role)));
        }
        finished
    }

    /// What the ledger is to say after this part, out of what it is to say after all of them.
    fn update(&self, all: &Update, planned: &Planned) -> Update {
        let finished = self.finished(planned);
        let finished = all.upserts.iter().filter(|(role, _)| finished.contains(role.as_str()));
        Update {
            renamed: renames_of(self.part),
            upserts: finished.map(|(role, record)| (role.clone(), record.clone())).collect(),
            removed: if self.is_last { all.removed.clone() } else { Vec::new() },
            history: history(planned, &(&self.part.positions() | &self.done.before)),
            claim: all.claim.clone(),
            ..Update::default()
        }
    }

    /// Takes out what did not happen.
    fn leave_out(&self, update: &mut Update, planned: &Planned, failed: &[Failed]) {
        for failed in failed {
            // What was recorded before still holds.
            update.upserts.remove(&failed.role);
            update.renamed.retain(|rename| rename.to != failed.role);
        }
        // A role that others were to be created with may be missing: whoever is not there is not recorded.
        if !failed.is_empty() {
            let failed: BTreeSet<usize> = failed.iter().flat_map(|failed| failed.steps.iter().copied()).collect();
            update.history = history(planned, &(&(&self.part.positions() - &failed) | &self.done.before));
        }
    }
}

/// Renames that a part has steps for.
fn renames_of(part: &Part<'_>) -> Vec<Rename> {
    let renames = part.steps().iter().filter_map(|step| match &step.change {
        Change::RenameRole { from, to } => Some(Rename { from: from.clone(), to: to.clone() }),
        _ => None,
    });
    renames.collect()
}

/// Roles that a part has steps for.
fn roles_of<'a>(part: &'a Part<'_>) -> impl Iterator<Item = &'a str> {
    part.steps().iter().filter_map(|step| step.change.role())
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
