//! What of a plan runs on the server as a whole, in one transaction or, if it takes more locks than there is room for, in
//! several: each compares the fingerprint, runs, reads what came of it, and records that in the ledger.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio_postgres::Client;

use super::databases::Progress;
use super::records::{history, is_clean, only_inside, steps_of};
use super::{CycleError, Planned, Reconciler};
use crate::guard::GuardedPlan;
use crate::guard::parts::Part;
use crate::ledger::{Converged, Ledger, Update};
use crate::model::PUBLIC;
use crate::plan::Change;
use crate::plan::replay::compare;
use crate::postgres::apply::{self, Failed, Verifiers};
use crate::postgres::explain::ServerError;
use crate::postgres::{fallback, retry, snapshot};
use crate::resolve::renames::Rename;
use crate::resolve::{self, shared};

/// Parts to be carried out one after the other.
pub(super) struct Work<'a> {
    pub(super) parts: VecDeque<Part<'a>>,
    /// Roles that something comes for after all of these parts; `None`: nothing comes.
    pub(super) rest: Option<BTreeSet<&'a str>>,
    /// What the ledger is to say after all of them.
    pub(super) update: &'a Update,
    pub(super) done: Done,
}

/// What the parts before have done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) parts: usize,
    /// Steps that were done inside of databases before all parts, and stand in no history yet.
    pub(super) before: BTreeSet<usize>,
    /// Where the renames stand in the plan, and what went with them.
    pub(super) renames: BTreeSet<usize>,
    pub(super) failed: Vec<Failed>,
    /// See [`Progress`].
    pub(super) unfinished: bool,
    /// The catalog's, as the last of them left it.
    pub(super) fingerprint: String,
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

/// Steps that were not carried out: those that failed, and what was left out after them. Who fails in one turn is left
/// out of those that come later; only of what is done on the server nobody is left out for what could not be taken
/// away before.
pub(super) fn left_undone(plan: &GuardedPlan, failed: &[Failed]) -> BTreeSet<usize> {
    let inside = plan.inside();
    let taken = inside.values().map(|inside| inside.taken.positions());
    let given = inside.values().map(|inside| inside.given.positions());
    let before = [plan.creations().positions(), plan.renames().positions()];
    let here = before.len() + inside.len();
    let turns: Vec<BTreeSet<usize>> = before.into_iter().chain(taken).chain([BTreeSet::new()]).chain(given).collect();
    let turn = |position: &usize| turns.iter().position(|turn| turn.contains(position)).unwrap_or(here);
    let is_undone = |position: usize, failed: &Failed| {
        let Some(first) = failed.steps.iter().map(turn).min() else { return true };
        let its = turn(&position);
        let goes_on = its == here && (2..here).contains(&first);
        failed.steps.contains(&position) || (its > first && !goes_on)
    };
    let steps = plan.plan().steps.iter().enumerate();
    let undone = steps.filter(|(position, step)| {
        let subject = step.change.subject();
        failed
            .iter()
            .any(|failed| failed.steps.contains(position) || (failed.role == subject && is_undone(*position, failed)))
    });
    undone.map(|(position, _)| position).collect()
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

impl Reconciler {
    /// The plan in as few transactions as the server has room for: one, but for very large plans. Each
    /// records what it did, so that the ledger agrees with PostgreSQL wherever this ends, and the next
    /// cycle plans what is left.
    pub(super) async fn in_parts(
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
            let result = fallback::one_by_one(client, part, &renderer, verifiers).await;
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
                // It is about what is granted: a password is in force.
                let mut steps = steps_of(planned, name);
                steps.retain(|position| !matches!(planned.plan.steps[*position].change, Change::SetPassword(_)));
                more.push(Failed { role: name.to_owned(), steps, error });
            }
        }
        Ok(more)
    }

    /// Writes to the ledger, in a transaction of its own.
    pub(super) async fn record(
        &self,
        client: &Client,
        planned: &Planned,
        mut update: Update,
        ledger: &mut Ledger,
    ) -> Result<(), CycleError> {
        let before = ledger.clone();
        planned.take_along(ledger, &mut update);
        let written = async {
            self.attempt(apply::begin(client).await, planned, "begin the transaction")?;
            self.check_claim(client, ledger).await?;
            ledger.write(client, &update).await?;
            self.attempt(apply::commit(client).await, planned, "write to the ledger")
        };
        if let Err(error) = written.await {
            apply::roll_back(client).await;
            *ledger = before;
            return Err(error);
        }
        ledger.settle(client, &update).await?;
        Ok(())
    }
}
