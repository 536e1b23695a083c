//! From a cycle to the plain facts that operators are told. No I/O, and nothing is decided here but
//! what to call things.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use time::OffsetDateTime;

use super::rights::MISSING_RIGHT;
use super::{Cycle, CycleError, Planned, Reconciler, Report, Verdict};
use crate::model::{Mode, Severity};
use crate::plan::Change;
use crate::printable;
use crate::report::{Approval, Chain, Ended, Facts, FailureKind, Judged, Judgement, Revision, UserState};
use crate::resolve::Kind;
use crate::resolve::leavers::moment;
use crate::source::{Directives, SourceError};
use crate::spec::Diagnostic;

/// So many errors in users.yaml are told; the log has all of them.
const LISTED: usize = 5;

/// Who reports, and on what: the same in every report.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Identity of this process.
    pub instance: String,
    /// What is followed, for people: `ConfigMap postgres/postgres-users-config`.
    pub source: String,
    /// The command that approves, up to the digest.
    pub approve_hint: Option<String>,
    /// Pause between two cycles.
    pub interval: std::time::Duration,
}

/// The declaration that was read last, good or bad.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    pub(super) directives: Directives,
    pub(super) revision: Option<crate::source::Revision>,
}

impl Reconciler {
    /// Whether the ConfigMap that was read last asks for a pause.
    pub(super) fn is_paused(&self) -> bool {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner).directives.paused
    }

    /// What operators are told of a cycle that has ended at `now`.
    pub fn facts(&self, about: &About, cycle: &Cycle, now: OffsetDateTime) -> Facts {
        let declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let gone = matches!(
            cycle.result,
            Err(CycleError::Source(SourceError::NotInCluster { .. } | SourceError::NoConfigMap { .. }))
        );
        let directives = declared.directives;
        let (ended, approval) = match &cycle.result {
            Ok(report) => (ended(report), approval(report, &directives)),
            Err(error) => (Ended::Failed { kind: kind(error), message: message(error) }, Approval::None),
        };
        Facts {
            now,
            instance: about.instance.clone(),
            source: about.source.clone(),
            approve_hint: about.approve_hint.clone(),
            revision: declared
                .revision
                .filter(|_| !gone)
                .map(|revision| Revision { uid: revision.uid, resource_version: revision.resource_version }),
            target: self.settings.target.to_string(),
            chain: Chain {
                digest: self.policies.current().map(|chain| chain.digest().to_owned()).unwrap_or_default(),
                modules: self.modules().into_iter().map(|module| module.name).collect(),
                problem: self.policies.problem(),
            },
            paused: directives.paused && !gone,
            dry_run: self.settings.dry_run,
            approval,
            sync_now: self.sync_now.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ended,
            duration: cycle.summary.duration,
            interval: about.interval,
            term: self.own_claim().and_then(|claim| claim.term),
        }
    }
}

fn kind(error: &CycleError) -> FailureKind {
    match error {
        CycleError::Source(SourceError::NotInCluster { .. } | SourceError::NoConfigMap { .. }) => {
            FailureKind::ConfigMapNotFound
        }
        CycleError::Source(SourceError::NoUsers { .. } | SourceError::Malformed { .. }) | CycleError::Spec(_) => {
            FailureKind::InvalidSpec
        }
        CycleError::Source(_) => FailureKind::SourceUnavailable,
        CycleError::Connect(_) | CycleError::Postgres(_) | CycleError::Ledger(_) | CycleError::Standby { .. } => {
            FailureKind::DatabaseUnavailable
        }
        CycleError::Chain(_) | CycleError::Policy(_) => FailureKind::PolicyFailed,
        CycleError::Password { .. }
        | CycleError::NoRandomness
        | CycleError::Superseded { .. }
        | CycleError::Restless { .. } => FailureKind::Other,
    }
}

/// On one line: what is wrong with users.yaml without the lines that it is wrong in.
fn message(error: &CycleError) -> String {
    let CycleError::Spec(diagnostics) = error else { return error.to_string() };
    let listed = diagnostics.iter().take(LISTED).map(|diagnostic| {
        let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}: {}{help}", diagnostic.place(), diagnostic.message)
    });
    let listed: Vec<String> = listed.collect();
    let more = match diagnostics.len() - listed.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let errors = if diagnostics.len() == 1 { "1 error" } else { &format!("{} errors", diagnostics.len()) };
    format!("{errors} in users.yaml: {}{more}", listed.join("; "))
}

/// An approval that has done its work may stay where it is.
fn approval(report: &Report, directives: &Directives) -> Approval {
    let Some(digest) = directives.approve.clone() else { return Approval::None };
    let planned = &report.planned;
    match &planned.verdict {
        Verdict::Held(_) => Approval::Stale(digest),
        Verdict::Pass(_) if planned.plan.digest == digest && report.acted() => Approval::Used(digest),
        _ => Approval::None,
    }
}

fn ended(report: &Report) -> Ended {
    let planned = &report.planned;
    let judgement = match &planned.verdict {
        Verdict::Paused => return Ended::Paused,
        Verdict::Pass(_) => Judgement::Pass,
        Verdict::Held(held) => Judgement::Held { why: held.why.clone() },
        Verdict::Refused(refusal) => Judgement::Refused { why: refusal.to_string() },
        Verdict::Blocked => Judgement::Blocked,
        Verdict::Denied { by } => Judgement::Denied { by: by.clone() },
    };
    let (troubles, findings) = errors(planned);
    let users = users(report, &troubles);
    let mut findings: Vec<String> =
        findings.into_iter().map(|finding| format!("{}: {}", finding.place(), told(finding))).collect();
    // Group roles have no state of their own.
    let groups = report.failed.iter().filter(|failed| !users.contains_key(&failed.role));
    findings.extend(groups.map(|failed| failed.error.to_string()));
    let counted = !planned.converged && !planned.verdict.is_blocked();
    Ended::Planned(Box::new(Judged {
        judgement,
        digest: planned.plan.digest.clone(),
        counts: report.counts(),
        converged: planned.converged,
        acted: report.acted(),
        users,
        roles: counted.then(|| {
            let kinds = planned.resolved.in_scope.iter().filter_map(|name| planned.resolved.kind(name));
            kinds.filter(|kind| *kind == Kind::Group).count()
        }),
        findings,
    }))
}

/// The first error about each user that is left as it is for it, and all errors about anything else.
fn errors(planned: &Planned) -> (BTreeMap<&str, &Diagnostic>, Vec<&Diagnostic>) {
    let users: BTreeMap<usize, &str> =
        planned.observation.parsed.users.values().map(|user| (user.order, user.username.as_str())).collect();
    let (mut troubles, mut others) = (BTreeMap::new(), Vec::new());
    for finding in planned.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        // A pointer into an entry of `users` has its number.
        let number = finding.path.strip_prefix("/users/").and_then(|rest| rest.split('/').next()?.parse().ok());
        let user = number.and_then(|number: usize| users.get(&number).copied());
        match user.filter(|user| planned.resolved.skipped.contains(*user)) {
            Some(user) => {
                troubles.entry(user).or_insert(finding);
            }
            None => others.push(finding),
        }
    }
    (troubles, others)
}

/// Who lacks a right needs to know which; the other findings say it in themselves.
fn told(finding: &Diagnostic) -> String {
    match finding.help.as_ref().filter(|_| finding.code == MISSING_RIGHT) {
        Some(help) => format!("{} ({help})", finding.message),
        None => finding.message.clone(),
    }
}

fn users(report: &Report, troubles: &BTreeMap<&str, &Diagnostic>) -> BTreeMap<String, UserState> {
    let planned = &report.planned;
    let failed: BTreeMap<&str, String> =
        report.failed.iter().map(|failed| (failed.role.as_str(), failed.error.to_string())).collect();
    let waits = match &planned.verdict {
        Verdict::Pass(_) if report.acted() => None,
        Verdict::Pass(_) => Some("DRY_RUN is set"),
        Verdict::Held(_) => Some("the plan waits for approval"),
        Verdict::Paused => Some("paused"),
        Verdict::Refused(_) | Verdict::Denied { .. } => Some("the plan is refused"),
        Verdict::Blocked => Some("findings stand against the whole spec"),
    };
    let touched: BTreeSet<&str> = planned.plan.steps.iter().filter_map(|step| step.change.role()).collect();
    let mut users = BTreeMap::new();
    // Of who is only observed nothing is brought about, and so nothing is said to be.
    let ours = planned.observation.parsed.users.values().filter(|user| user.mode != Mode::Observe);
    for name in ours.map(|user| &user.username) {
        let state = match (failed.get(name.as_str()), troubles.get(name.as_str()), waits) {
            (Some(why), _, _) => UserState::Failed(why.clone()),
            (None, Some(finding), _) => {
                let message = told(finding);
                let message = printable::line(&message);
                let known = format!("{name:?} is left as it is: ");
                let message = message.strip_prefix(&*known).unwrap_or(&message).to_owned();
                if finding.code.starts_with("secret-") {
                    UserState::SecretMissing(message)
                } else {
                    UserState::Failed(message)
                }
            }
            (None, _, Some(why)) if touched.contains(name.as_str()) || planned.verdict.is_blocked() => {
                UserState::Pending(why.to_owned())
            }
            _ => UserState::Synced,
        };
        users.insert(name.clone(), state);
    }
    for (name, leaving) in &planned.resolved.leaving {
        let until = format!("dropped after {}", moment(leaving.until));
        let state = match (failed.get(name.as_str()), waits) {
            (Some(why), _) => UserState::Removing(why.clone()),
            (None, Some(why)) if touched.contains(name.as_str()) => UserState::Removing(why.to_owned()),
            _ => UserState::Leaving(until),
        };
        users.insert(name.clone(), state);
    }
    for step in &planned.plan.steps {
        let Change::DropRole { name, .. } = &step.change else { continue };
        let record = planned.observation.state.records.get(name);
        if record.is_none_or(|record| record.kind != Kind::User) {
            continue;
        }
        match (failed.get(name.as_str()), waits) {
            (Some(why), _) => users.insert(name.clone(), UserState::Removing(why.clone())),
            (None, Some(why)) => users.insert(name.clone(), UserState::Removing(why.to_owned())),
            (None, None) => None,
        };
    }
    for (name, why) in &planned.resolved.kept {
        let record = planned.observation.state.records.get(name);
        if record.is_some_and(|record| record.kind == Kind::User) {
            users.insert(name.clone(), UserState::Removing(printable::line(why).into_owned()));
        }
    }
    users
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
