//! What a cycle does inside of databases: looks into those that the spec grants something in, and
//! carries out there what a judged plan holds for them, each database in transactions of its own.
//!
//! No transaction spans two databases. So revocations come before the rest of a plan and grants after
//! it: at no moment does anybody hold more than he held before or will hold after. Each transaction
//! begins with a look at whether the database is still as it was read.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::{CycleError, Observation, Planned, Reconciler, row_security};
use crate::catalog::{Catalog, Question};
use crate::guard::GuardedPlan;
use crate::guard::parts::Part;
use crate::ledger::{Converged, Ledger, Update};
use crate::model::Grant;
use crate::plan::change;
use crate::plan::replay::compare;
use crate::postgres::apply::{self, Failed, Verifiers};
use crate::postgres::connect::{ConnectError, connect_with};
use crate::postgres::explain::ServerError;
use crate::postgres::{fallback, objects, snapshot};
use crate::resolve::renames::{self, Rename};
use crate::resolve::row_security::Expressions;
use crate::resolve::wishes;

/// What was done inside of databases so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Fingerprints of the databases that were changed, as they were left.
    pub(super) fingerprints: BTreeMap<String, String>,
    /// Roles that could not be brought to what they are to hold.
    pub(super) failed: Vec<Failed>,
    /// Whether something is done that no transaction holds: sessions that end, databases that are made, and then hold
    /// whatever template1 does. The next cycle looks at what became of it.
    pub(super) unfinished: bool,
    /// Whether anything was committed, or may have been.
    pub(super) changed: bool,
    /// Databases that could not be made.
    pub(super) missing: BTreeSet<String>,
    /// How the server prints the expressions of the policies that were set.
    pub(super) expressions: Expressions,
}

impl Progress {
    /// Nothing of a part was done, since its database could not be made.
    fn leave_out(&mut self, database: &str, part: &Part<'_>) {
        let mut subjects: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, step) in part.steps().iter().enumerate() {
            subjects.entry(step.change.subject().into_owned()).or_default().extend(part.position(index));
        }
        for (subject, steps) in subjects {
            match self.failed.iter_mut().find(|failed| failed.role == subject) {
                Some(failed) => failed.steps.extend(steps),
                None => {
                    let error = ServerError::without_database(&subject, database);
                    self.failed.push(Failed { role: subject, steps, error });
                }
            }
        }
    }
}

/// One of two turns in each database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// What is taken away.
    Taken,
    /// What is given; after it, everything there is as desired.
    Given,
}

impl Reconciler {
    /// A session in another database, with the same limits as those of the pool.
    async fn session_in(&self, database: &str) -> Result<Client, ConnectError> {
        connect_with(&self.settings.target.with_database(database), &self.pool.limits()).await
    }

    /// Reads what the roles of the spec hold inside of databases. One that cannot be entered is noted,
    /// and its roles are skipped later on.
    pub(super) async fn look_into(
        &self,
        catalog: &mut Catalog,
        questions: &BTreeMap<String, Question>,
        renames: &[Rename],
    ) -> Result<(), CycleError> {
        for (database, question) in questions.iter().filter(|(name, _)| catalog.databases.contains_key(*name)) {
            let roles = renames::as_called(renames, &question.roles);
            let question = &Question { roles, ..question.clone() };
            let read = |error| CycleError::postgres(&error, &format!("read database {database:?}"), &catalog.server);
            let mut found = if *database == self.settings.target.database {
                let client = self.pool.get().await?;
                objects::read(&client, catalog, question).await.map_err(read)?
            } else {
                match self.session_in(database).await {
                    Ok(client) => objects::read(&client, catalog, question).await.map_err(read)?,
                    Err(error) if error.is_transient() => return Err(error.into()),
                    Err(error) => {
                        catalog.closed.insert(database.clone(), error.to_string());
                        continue;
                    }
                }
            };
            renames::as_answered(renames, &mut found);
            catalog.objects.insert(database.clone(), found);
        }
        Ok(())
    }

    /// Whether each of these databases is as it was when it was last looked into.
    pub(super) async fn are_unchanged(
        &self,
        own: &Client,
        seen: &BTreeMap<String, String>,
    ) -> Result<bool, CycleError> {
        for (database, fingerprint) in seen {
            let now = if *database == self.settings.target.database {
                objects::fingerprint(own).await
            } else {
                match self.session_in(database).await {
                    Ok(client) => objects::fingerprint(&client).await,
                    Err(error) if error.is_transient() => return Err(error.into()),
                    Err(_) => return Ok(false),
                }
            };
            if now.ok().as_ref() != Some(fingerprint) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the databases that are declared and absent, before everything else: no transaction can hold that. Returns
    /// the server's fingerprint as it is then; `None`: it had moved since it was read.
    pub(super) async fn make_databases(
        &self,
        client: &Client,
        planned: &Planned,
        plan: &GuardedPlan,
        ledger: &Ledger,
        progress: &mut Progress,
    ) -> Result<Option<String>, CycleError> {
        let catalog = &planned.observation.catalog;
        let part = plan.creations();
        if part.steps().is_empty() {
            return Ok(Some(catalog.fingerprint.clone()));
        }
        self.check_claim(client, ledger).await?;
        if self.fingerprint(client, planned).await? != catalog.fingerprint {
            return Ok(None);
        }
        let renderer = apply::exact(catalog, &self.settings.reassign_owned_to);
        progress.changed = true;
        let made = apply::make_databases(client, &part, &renderer).await;
        let failed = self.attempt(made, planned, "create the databases")?;
        let is_missing = |name: &&str| failed.iter().any(|failed| failed.role == change::in_words(name));
        progress.missing.extend(plan.plan().databases_created().filter(is_missing).map(str::to_owned));
        progress.failed.extend(failed);
        let now = self.fingerprint(client, planned).await?;
        // That took a while: if anything else has moved meanwhile, the plan is one for another server.
        Ok(snapshot::agree_but_for_databases(&now, &catalog.fingerprint).then_some(now))
    }

    /// One turn in every database that the plan is about. `None`: one of them moved since it was read.
    pub(super) async fn visit(
        &self,
        own: &Client,
        planned: &Planned,
        parts: &BTreeMap<&str, Part<'static>>,
        turn: Turn,
        ledger: &Ledger,
        progress: &mut Progress,
    ) -> Result<Option<()>, CycleError> {
        for (database, part) in parts {
            let failed: BTreeSet<&str> = progress.failed.iter().map(|failed| failed.role.as_str()).collect();
            if progress.missing.contains(*database) {
                progress.leave_out(database, part);
                continue;
            }
            let part = part.without(&failed);
            if part.steps().is_empty() && turn == Turn::Taken {
                continue;
            }
            let other;
            let client = if *database == self.settings.target.database {
                own
            } else {
                other = self.session_in(database).await?;
                &other
            };
            // Who is granted something is locked until the transaction ends.
            for part in part.fitting(&planned.observation.catalog, self.room_for_locks(own, planned).await?) {
                let part = row_security::without_those_who_wait(part, planned, &mut progress.failed);
                self.check_claim(own, ledger).await?;
                let read = || planned.observation.catalog.objects.get(*database).map(|it| it.fingerprint.clone());
                let expected = progress.fingerprints.get(*database).cloned().or_else(read).unwrap_or_default();
                // What was just made was never read.
                let is_new = planned.observation.catalog.absent.contains(*database) && expected.is_empty();
                let expected = (!is_new).then_some(expected);
                match self.enter(client, planned, database, &part, turn, expected.as_deref()).await {
                    Ok(Some((failed, fingerprint, expressions))) => {
                        progress.changed |= !part.steps().is_empty();
                        progress.failed.extend(failed);
                        progress.expressions.extend(expressions);
                        progress.fingerprints.insert((*database).to_owned(), fingerprint);
                    }
                    Ok(None) => {
                        apply::roll_back(client).await;
                        return Ok(None);
                    }
                    Err(error) => {
                        apply::roll_back(client).await;
                        return Err(error);
                    }
                }
            }
        }
        Ok(Some(()))
    }

    /// One transaction in one database; `expected`: its fingerprint, unless it is new.
    async fn enter(
        &self,
        client: &Client,
        planned: &Planned,
        database: &str,
        part: &Part<'_>,
        turn: Turn,
        expected: Option<&str>,
    ) -> Result<Option<(Vec<Failed>, String, Expressions)>, CycleError> {
        let catalog = &planned.observation.catalog;
        let renderer = apply::exact(catalog, &self.settings.reassign_owned_to);
        let verifiers = Verifiers::new();
        let attempt = |error, action: &str| {
            CycleError::postgres(&error, &format!("{action} in database {database:?}"), &catalog.server)
        };
        let begin = async || -> Result<bool, CycleError> {
            apply::begin(client).await.map_err(|error| attempt(error, "begin the transaction"))?;
            let now = objects::fingerprint(client).await.map_err(|error| attempt(error, "compare the fingerprint"))?;
            Ok(expected.is_none_or(|expected| expected == now))
        };
        if !begin().await? {
            return Ok(None);
        }
        let mut failed = Vec::new();
        if let Err(error) = apply::all(client, part, &renderer, &verifiers).await {
            if fallback::ends_all(&error, part.steps()) {
                return Err(attempt(error, "apply the plan"));
            }
            tracing::debug!(database, "the plan as a whole was refused; trying role by role");
            apply::roll_back(client).await;
            if !begin().await? {
                return Ok(None);
            }
            let result = fallback::one_by_one(client, part, &renderer, &verifiers).await;
            failed = result.map_err(|error| attempt(error, "apply the plan role by role"))?;
        }
        if turn == Turn::Given {
            let more = self.without_effect(client, planned, database, part, &failed).await;
            failed.extend(more.map_err(|error| attempt(error, "compare the outcome with the plan"))?);
        }
        let expressions = row_security::printed(client, catalog, database, part, &failed).await;
        let expressions = expressions.map_err(|error| attempt(error, "read the policies that were set"))?;
        let fingerprint =
            objects::fingerprint(client).await.map_err(|error| attempt(error, "compare the fingerprint"))?;
        apply::commit(client).await.map_err(|error| attempt(error, "commit"))?;
        Ok(Some((failed, fingerprint, expressions)))
    }

    /// A GRANT or REVOKE that the controller has no right to only warns, so the outcome is read again.
    async fn without_effect(
        &self,
        client: &Client,
        planned: &Planned,
        database: &str,
        part: &Part<'_>,
        failed: &[Failed],
    ) -> Result<Vec<Failed>, tokio_postgres::Error> {
        let Planned { resolved, observation, plan, .. } = planned;
        let known: BTreeSet<&str> = failed.iter().map(|failed| failed.role.as_str()).collect();
        let touched = plan.steps.iter().filter(|step| step.change.database() == Some(database));
        let mut roles: BTreeSet<&str> = touched.filter_map(|step| step.change.role()).collect();
        // Of those that failed before, nothing was tried.
        let tried: BTreeSet<&str> = part.steps().iter().filter_map(|step| step.change.role()).collect();
        roles.retain(|role| !known.contains(role) && (tried.contains(role) || !has_grants(planned, role, database)));
        let wanted = roles.into_iter().filter_map(|role| resolved.desired.get(role));
        let wanted: Vec<_> = wanted.collect();
        let mut question =
            Question { roles: wanted.iter().map(|role| role.name.clone()).collect(), ..Question::default() };
        for role in &wanted {
            inside(&role.grants, database).for_each(|grant| question.add(&role.name, &grant.on));
        }
        let objects = objects::read_in_transaction(client, &observation.catalog, &question).await?;
        let mut more = Vec::new();
        for role in wanted {
            let mut wanted = role.clone();
            wanted.grants = inside(&role.grants, database).cloned().collect();
            let mut made = wanted.clone();
            made.grants = wishes::found_again(&wanted, &observation.catalog, &objects, database);
            let differences = compare(&made, &wanted, true);
            if !differences.is_empty() {
                let error =
                    ServerError::without_effect(&role.name, &differences, &observation.catalog.server.current_user);
                let steps = steps_in(planned, &role.name, database);
                more.push(Failed { role: role.name.clone(), steps, error });
            }
        }
        Ok(more)
    }

    /// After all turns: what the ledger is to say of the roles that had something to be done inside of
    /// databases, and whether everything agrees now. `left`: the server's fingerprint, as the turn on the server left it.
    pub(super) async fn record_inside(
        &self,
        client: &Client,
        planned: &Planned,
        update: &mut Update,
        inputs: Option<String>,
        (left, progress): (&str, &Progress),
        ledger: &mut Ledger,
    ) -> Result<(), CycleError> {
        let catalog = &planned.observation.catalog;
        let attempt = |error, action| CycleError::postgres(&error, action, &catalog.server);
        apply::begin(client).await.map_err(|error| attempt(error, "begin the transaction"))?;
        let recorded = async {
            self.check_claim(client, ledger).await?;
            let server = self.fingerprint(client, planned).await?;
            if server != left {
                // Somebody has changed roles meanwhile. What they are now has not been looked at, so nothing is said
                // of them; the next cycle does.
                update.upserts.clear();
            } else if let Some(inputs) = inputs {
                let fingerprint = self.seen(&server, &planned.observation, &progress.fingerprints);
                update.converged = Some(Converged { inputs, fingerprint });
            }
            planned.take_along(ledger, update);
            ledger.write(client, update).await?;
            apply::commit(client).await.map_err(|error| attempt(error, "commit"))
        };
        if let Err(error) = recorded.await {
            apply::roll_back(client).await;
            return Err(error);
        }
        ledger.settle(client, update).await?;
        Ok(())
    }
}

fn inside<'a>(grants: &'a [Grant], database: &str) -> impl Iterator<Item = &'a Grant> {
    grants.iter().filter(move |grant| grant.database.as_deref() == Some(database))
}

/// Where the steps of a role in a database stand in the plan.
fn steps_in(planned: &Planned, role: &str, database: &str) -> Vec<usize> {
    let steps = planned.plan.steps.iter().enumerate();
    let its = steps.filter(|(_, step)| step.change.role() == Some(role) && step.change.database() == Some(database));
    its.map(|(index, _)| index).collect()
}

fn has_grants(planned: &Planned, role: &str, database: &str) -> bool {
    planned.plan.steps.iter().any(|step| {
        step.change.role() == Some(role)
            && step.change.database() == Some(database)
            && matches!(step.change, crate::plan::Change::GrantPrivilege { .. })
    })
}

/// What is remembered of a target that was seen to agree.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Seen {
    /// The server's fingerprint.
    pub(super) server: String,
    /// Those of the databases that were looked into.
    #[serde(default)]
    pub(super) databases: BTreeMap<String, String>,
    /// When the next membership ends, in Unix seconds: then it does not agree any more.
    #[serde(default)]
    pub(super) next_end: Option<i64>,
}

impl Reconciler {
    /// The same as one text; `changed` are the databases that have another fingerprint by now.
    pub(super) fn seen(&self, server: &str, observation: &Observation, changed: &BTreeMap<String, String>) -> String {
        let objects = observation.catalog.objects.iter();
        let databases: BTreeMap<String, String> = objects
            .map(|(name, objects)| (name.clone(), changed.get(name).unwrap_or(&objects.fingerprint).clone()))
            .collect();
        let next_end = self.next_end();
        if databases.is_empty() && next_end.is_none() {
            return server.to_owned();
        }
        // Text and numbers: nothing in it can fail.
        serde_json::to_string(&Seen { server: server.to_owned(), databases, next_end }).unwrap_or_default()
    }
}

/// The other way round.
pub(super) fn taken_apart(fingerprint: &str) -> Option<Seen> {
    if fingerprint.starts_with('{') {
        return serde_json::from_str(fingerprint).ok();
    }
    Some(Seen { server: fingerprint.to_owned(), databases: BTreeMap::new(), next_end: None })
}
