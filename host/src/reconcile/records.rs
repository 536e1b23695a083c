//! What the ledger is to say of a plan: the records of roles before and after it, and the line in the history. Writing
//! it is the business of `act` and `databases`, in the transactions that the words are about.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::decide::secret_version;
use super::{Planned, Reconciler};
use crate::ledger::{Converged, HistoryEntry, Ledger, Update};
use crate::model::{Attributes, Grant, Mode, PUBLIC, Privileges, Role, Setting, Severity, Standing};
use crate::plan::{Change, Plan};
use crate::resolve::{Kind, Origin, Record, Records, is_same};

impl Reconciler {
    /// What the ledger is to say if everything goes well.
    pub(super) fn update(&self, planned: &Planned) -> Update {
        let observation = &planned.observation;
        let touched: BTreeSet<&str> = planned.plan.steps.iter().filter_map(|step| step.change.role()).collect();
        let created: BTreeSet<&str> = planned
            .plan
            .steps
            .iter()
            .filter_map(|step| match &step.change {
                Change::CreateRole(role) => Some(role.name.as_str()),
                _ => None,
            })
            .collect();
        let mut upserts = Records::new();
        // What PUBLIC holds is compared anew in each cycle, where users.yaml says something of it.
        for name in planned.resolved.in_scope.iter().filter(|name| *name != PUBLIC) {
            let Some(desired) = planned.resolved.desired.get(name) else { continue };
            let known = observation.state.records.get(name);
            let same = known.filter(|record| is_same(name, record, &observation.catalog));
            let origin = match same {
                _ if created.contains(name.as_str()) => Origin::Created,
                Some(record) => record.origin,
                None => Origin::Adopted,
            };
            if let Some(known) = same.filter(|_| planned.resolved.skipped.contains(name)) {
                // Only what cannot wait is done with it; what it was declared to be is not forgotten for that.
                let record = with_less(known.clone(), desired);
                if *known != record {
                    upserts.insert(name.clone(), record);
                }
                continue;
            }
            let left = planned.resolved.leaving.get(name);
            // Who leaves may come back: what it was declared to be is not forgotten.
            let kept = known.filter(|_| left.is_some());
            let applied = match kept.and_then(|record| record.applied.clone()) {
                Some(applied) => Role { attributes: applied.attributes - Attributes::LOGIN, ..applied },
                None => as_applied(desired, planned.resolved.settings.get(name)),
            };
            let secret_version = match kept {
                Some(record) => record.secret_version.clone(),
                // Of a password that no Secret holds yet nothing is remembered: were it never to get there, another one is set.
                None if observation.generated.is_switched_to(name) => None,
                // Of the one that the Secret does not name: it has what it was given last.
                None if desired.credential.is_none() && desired.has_password != Some(false) => {
                    known.and_then(|record| record.secret_version.clone())
                }
                None => secret_version(desired),
            };
            let record = Record {
                oid: observation.catalog.oids.get(name).copied(),
                kind: planned.resolved.kind(name).unwrap_or(Kind::User),
                origin,
                secret_version,
                row_version: observation.catalog.row_versions.get(name).cloned(),
                applied: Some(applied),
                leaving_since: left.map(|leaving| leaving.since),
            };
            // Others may be recorded as members of one that is renamed, under its old name.
            let renamed = !observation.renames.is_empty();
            if renamed || touched.contains(name.as_str()) || known != Some(&record) {
                upserts.insert(name.clone(), record);
            }
        }
        for name in &planned.resolved.observed {
            let Some(known) = observation.state.records.get(name) else { continue };
            let record = as_observed(known, planned.resolved.desired.get(name));
            if *known != record {
                upserts.insert(name.clone(), record);
            }
        }
        let removed =
            planned.resolved.released.iter().filter(|name| observation.state.records.contains_key(*name)).cloned();
        let (removed, history) = (removed.collect(), history(planned, &plan_positions(planned)));
        Update { upserts, removed, history, claim: self.own_claim(), ..Update::default() }
    }

    /// Whether there is anything to write although there is nothing to change.
    pub(super) fn is_news(&self, planned: &Planned, update: &Update) -> bool {
        let observation = &planned.observation;
        let fingerprint = self.seen(&observation.catalog.fingerprint, observation, &BTreeMap::new());
        let reached = Converged { inputs: observation.inputs.clone(), fingerprint };
        !update.is_empty() || (is_clean(planned) && planned.observation.state.converged.as_ref() != Some(&reached))
    }
}

impl Planned {
    /// What a ledger in a file knew, or was adopted, goes along with what is written first into the schema that takes
    /// its place: from then on nobody looks there any more, wherever this cycle ends.
    pub(super) fn take_along(&self, ledger: &Ledger, update: &mut Update) {
        if *ledger != (Ledger::Database { exists: false }) {
            return;
        }
        let observation = &self.observation;
        let known = &observation.state;
        for (name, record) in &known.records {
            // Whoever is left as it is this time, or is to be dropped, is ours as well.
            let is_told = update.upserts.contains_key(name) || update.removed.contains(name);
            if is_told || !is_same(name, record, &observation.catalog) {
                continue;
            }
            // A rename that has not been carried out has been seen as if it had.
            let renamed = observation.renames.iter().find(|it| it.to == *name && !update.renamed.contains(it));
            let mut record = record.clone();
            if observation.catalog.row_versions.contains_key(name) {
                // Recorded with the row's version of now, it would say that this password is in force.
                record.secret_version = None;
            }
            update.upserts.insert(renamed.map_or(name, |it| &it.from).clone(), record);
        }
        for (name, ran) in &known.scripts {
            update.scripts.entry(name.clone()).or_insert_with(|| ran.clone());
        }
        if update.expressions.is_none() && !known.expressions.is_empty() {
            update.expressions = Some(known.expressions.clone());
        }
    }
}

/// The record of a role that was left as it is, but for a login or memberships that it had to lose.
fn with_less(mut record: Record, desired: &Role) -> Record {
    if let Some(applied) = &mut record.applied {
        applied.attributes -= Attributes::LOGIN - desired.attributes;
        applied.memberships.retain(|edge| desired.memberships.iter().any(|it| it.role == edge.role));
    }
    record
}

/// No finding that somebody should see again in the next cycle.
pub(super) fn is_clean(planned: &Planned) -> bool {
    planned.findings.iter().all(|finding| finding.severity < Severity::Warning)
}

/// The role as the ledger keeps it: what PostgreSQL knows, and nothing of where it was declared. Of its settings
/// only those that were: the others are nobody's business, also when these are declared no more.
fn as_applied(role: &Role, settings: Option<&Vec<Setting>>) -> Role {
    let mut memberships = role.memberships.clone();
    for edge in &mut memberships {
        edge.grantor = None;
        edge.until = None;
    }
    memberships.sort();
    memberships.dedup();
    Role {
        // What becomes of it when it is declared no more depends on its mode, which is in `role`.
        standing: Standing::Managed,
        memberships,
        settings: settings.cloned().unwrap_or_default(),
        credential: None,
        labels: BTreeMap::new(),
        path: String::new(),
        ..role.clone()
    }
}

/// What was last applied stays on record, to be gone by when the role is more than looked at again; and that it is not
/// dropped when it is declared no more.
fn as_observed(known: &Record, found: Option<&Role>) -> Record {
    let found = || found.map(|role| as_applied(role, None));
    let mode = Mode::Observe;
    Record { applied: known.applied.clone().or_else(found).map(|role| Role { mode, ..role }), ..known.clone() }
}

/// What the ledger may say before all is done inside of databases. It must not forget where a role holds something, or
/// may come to, whatever happens from here on; of what, it says what was there.
pub(super) fn without_what_is_to_come(update: &Update, planned: &Planned) -> Update {
    let mut update = update.clone();
    let inside_of_one = planned.plan.steps.iter().filter(|step| step.change.database().is_some());
    let roles: BTreeSet<&str> = inside_of_one.filter_map(|step| step.change.role()).collect();
    for role in roles {
        let Some(applied) = update.upserts.get_mut(role).and_then(|record| record.applied.as_mut()) else { continue };
        let known = planned.observation.state.records.get(role).and_then(|record| record.applied.as_ref());
        let known: Vec<Grant> = known.into_iter().flat_map(|known| inside(&known.grants)).cloned().collect();
        let is_new = |grant: &Grant| !known.iter().any(|it| it.database == grant.database && it.on == grant.on);
        let to_come: Vec<Grant> =
            inside(&applied.grants).filter(|grant| is_new(grant)).cloned().map(place_of).collect();
        applied.grants.retain(|grant| grant.database.is_none());
        applied.grants.extend(known.into_iter().chain(to_come));
        applied.grants.sort();
    }
    update
}

fn inside(grants: &[Grant]) -> impl Iterator<Item = &Grant> {
    grants.iter().filter(|grant| grant.database.is_some())
}

/// Where something may be held, without saying that it is.
fn place_of(grant: Grant) -> Grant {
    Grant { privileges: Privileges::empty(), grantable: Privileges::empty(), ..grant }
}

/// Of a role that is not as it was meant to be, where to look for what it holds; `None`: nowhere.
pub(super) fn only_inside(applied: Role) -> Option<Role> {
    let looked_at = |grant: &&Grant| grant.database.is_some() || grant.on.is_shared();
    let grants: Vec<Grant> = applied.grants.iter().filter(looked_at).cloned().map(place_of).collect();
    (!grants.is_empty()).then(|| Role { grants, ..Role::new(applied.name, applied.mode, applied.attributes) })
}

/// One line for the history: the steps at these places of the plan. `None` where nothing was changed.
pub(super) fn history(planned: &Planned, positions: &BTreeSet<usize>) -> Option<HistoryEntry> {
    let done: Vec<_> = positions.iter().filter_map(|position| planned.plan.steps.get(*position)).cloned().collect();
    if done.is_empty() {
        return None;
    }
    let steps: Vec<serde_json::Value> = done
        .iter()
        .map(|step| {
            let mut told = json!({
                "action": step.change.action(),
                "role": step.change.role(),
                "database": step.change.database().or(step.change.own_database()),
                "cause": step.cause.to_string(),
                "by": step.by,
            });
            if let Some(script) = step.change.script().and_then(|name| planned.observation.parsed.scripts.get(name)) {
                told["script"] = script.name.as_str().into();
                told["database"] = script.database.as_str().into();
                told["digest"] = script.digest().into();
            }
            told
        })
        .collect();
    let done = Plan { steps: done, ..Plan::default() };
    let counts = done.counts(&planned.plan.users(&planned.observation.catalog));
    let summary = serde_json::to_value(counts).unwrap_or_default();
    Some(HistoryEntry { digest: planned.plan.digest.clone(), summary, steps: steps.into() })
}

fn plan_positions(planned: &Planned) -> BTreeSet<usize> {
    (0..planned.plan.steps.len()).collect()
}

pub(super) fn steps_of(planned: &Planned, role: &str) -> Vec<usize> {
    let steps = planned.plan.steps.iter().enumerate();
    steps.filter(|(_, step)| step.change.role() == Some(role)).map(|(index, _)| index).collect()
}
