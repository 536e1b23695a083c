//! From a cycle to the plain facts that operators are told. No I/O, and nothing is decided here but
//! what to call things.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use time::OffsetDateTime;

use super::{Cycle, CycleError, Planned, Reconciler, Report, Verdict};
use crate::model::Severity;
use crate::plan::Change;
use crate::printable;
use crate::report::{Approval, Chain, Ended, Facts, FailureKind, Judged, Judgement, Revision, UserState};
use crate::source::{Directives, SourceError};
use crate::spec::Diagnostic;

/// Who reports, and on what: the same in every report.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Identity of this process.
    pub instance: String,
    /// What is followed, for people: `ConfigMap postgres/postgres-users-config`.
    pub source: String,
    /// The command that approves, up to the digest.
    pub approve_hint: Option<String>,
}

/// The declaration that was read last, good or bad.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    pub(super) directives: Directives,
    pub(super) revision: Option<crate::source::Revision>,
}

impl Reconciler {
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
            Err(error) => (Ended::Failed { kind: kind(error), message: error.to_string() }, Approval::None),
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
                digest: self.chain.digest().to_owned(),
                modules: self.modules().map(|module| module.name.clone()).collect(),
                problem: None,
            },
            paused: directives.paused && !gone,
            dry_run: self.settings.dry_run,
            approval,
            sync_now: directives.sync_now,
            ended,
            duration: cycle.summary.duration,
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
        CycleError::Policy(_) => FailureKind::PolicyFailed,
        CycleError::Password { .. }
        | CycleError::NoCreateRole { .. }
        | CycleError::Superseded { .. }
        | CycleError::Restless { .. } => FailureKind::Other,
    }
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
    let skipped: BTreeSet<&str> = planned
        .observation
        .parsed
        .users
        .values()
        .filter(|user| planned.resolved.skipped.contains(&user.username))
        .map(|user| user.username.as_str())
        .collect();
    let findings = errors(planned).filter(|finding| {
        let user = user_at(planned, finding);
        !user.is_some_and(|user| skipped.contains(user))
    });
    Ended::Planned(Box::new(Judged {
        judgement,
        digest: planned.plan.digest.clone(),
        counts: report.counts(),
        converged: planned.converged,
        acted: report.acted(),
        users: users(report),
        roles: (!planned.converged).then(|| {
            let groups = planned.resolved.in_scope.iter().filter_map(|name| planned.resolved.desired.get(name));
            groups.filter(|role| super::decide::kind_of(role) == crate::resolve::Kind::Group).count()
        }),
        findings: findings.map(|finding| format!("{}: {}", finding.place(), finding.message)).collect(),
    }))
}

fn errors(planned: &Planned) -> impl Iterator<Item = &Diagnostic> {
    planned.findings.iter().filter(|finding| finding.severity == Severity::Error)
}

/// The user that a finding is about: its pointer leads into the entry with that number.
fn user_at<'a>(planned: &'a Planned, finding: &Diagnostic) -> Option<&'a str> {
    let number: usize = finding.path.strip_prefix("/users/")?.split('/').next()?.parse().ok()?;
    let users = planned.observation.parsed.users.values();
    users.into_iter().find(|user| user.order == number).map(|user| user.username.as_str())
}

fn users(report: &Report) -> BTreeMap<String, UserState> {
    let planned = &report.planned;
    let failed: BTreeMap<&str, String> =
        report.failed.iter().map(|failed| (failed.role.as_str(), failed.error.to_string())).collect();
    let mut troubles: BTreeMap<&str, &Diagnostic> = BTreeMap::new();
    let by_order: BTreeMap<usize, &str> =
        planned.observation.parsed.users.values().map(|user| (user.order, user.username.as_str())).collect();
    for finding in errors(planned) {
        let number = finding.path.strip_prefix("/users/").and_then(|rest| rest.split('/').next()?.parse().ok());
        if let Some(user) = number.and_then(|number: usize| by_order.get(&number)) {
            troubles.entry(user).or_insert(finding);
        }
    }
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
    for name in planned.observation.parsed.users.keys() {
        let state = match (failed.get(name.as_str()), troubles.get(name.as_str()), waits) {
            (Some(why), _, _) => UserState::Failed(why.clone()),
            (None, Some(finding), _) if planned.resolved.skipped.contains(name) => {
                let message = printable::line(&finding.message);
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
    for step in &planned.plan.steps {
        let Change::DropRole { name, .. } = &step.change else { continue };
        match (failed.get(name.as_str()), waits) {
            (Some(why), _) => users.insert(name.clone(), UserState::Removing(why.clone())),
            (None, Some(why)) => users.insert(name.clone(), UserState::Removing(why.to_owned())),
            (None, None) => None,
        };
    }
    users
}
