//! What a controller knows after a cycle, or instead of one: plain data, filled in by `reconcile`.
//! Nothing in it comes out of a Secret.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use crate::plan::Counts;

/// What a controller knows after a cycle, for operators.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the cycle ended.
    pub now: OffsetDateTime,
    /// Who reports: the identity of the process.
    pub instance: String,
    /// What is followed: `ConfigMap postgres/postgres-users-config`.
    pub source: String,
    /// The command that approves, up to the digest, where the source has one: `kubectl annotate … =`.
    pub approve_hint: Option<String>,
    /// Which writing of the ConfigMap was read; `None` where it was not, or has none.
    pub revision: Option<Revision>,
    /// The server and the database of the ledger: `db.example.com:5432/postgres`.
    pub target: String,
    /// The policies in force.
    pub chain: Chain,
    /// Whether the operator asked that nothing be applied.
    pub paused: bool,
    /// Whether this controller never applies anything.
    pub dry_run: bool,
    /// What became of the operator's approval.
    pub approval: Approval,
    /// The value of the last wish for a full cycle that was fulfilled.
    pub sync_now: Option<String>,
    /// How the cycle ended.
    pub ended: Ended,
    /// How long it took.
    pub duration: Duration,
    /// Pause between two cycles.
    pub interval: Duration,
    /// The term of the one of several instances that reports; a later one has a higher number.
    pub term: Option<u32>,
}

/// One writing of an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// The policies in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Digest of modules and settings.
    pub digest: String,
    /// Names of the modules, in order.
    pub modules: Vec<String>,
    /// Why a newer chain was not taken into use, if one was offered.
    pub problem: Option<String>,
}

/// What became of the operator's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// There is none.
    None,
    /// The plan with this digest was held, and ran since it was approved.
    Used(String),
    /// The digest is that of no plan at hand: the plan has changed since, or the digest is wrong.
    Stale(String),
}

/// How a cycle ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// It came to a judged plan.
    Planned(Box<Judged>),
    /// It failed.
    Failed {
        /// Where.
        kind: FailureKind,
        /// Why, and what to do.
        message: String,
    },
    /// There was none, since the operator wants a pause.
    Paused,
}

/// A plan that was judged, and what became of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Whether it may run.
    pub judgement: Judgement,
    /// Its digest.
    pub digest: String,
    /// What was done of it or, if nothing was, what it would do.
    pub counts: Counts,
    /// Whether nothing was read, as inputs and catalog are those that agreed before.
    pub converged: bool,
    /// Whether it was carried out, as far as it could be.
    pub acted: bool,
    /// Every declared user, and those that go. Where `converged`, all of them are synced.
    pub users: BTreeMap<String, UserState>,
    /// Number of group roles that are managed; `None` where nobody counted, as in a converged cycle.
    pub roles: Option<usize>,
    /// Errors that concern no single user, in words, with their place.
    pub findings: Vec<String>,
}

/// Whether a plan may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may.
    Pass,
    /// It waits for approval.
    Held {
        /// What it would take away, and from how many.
        why: String,
    },
    /// The guard says no.
    Refused {
        /// The rules that it breaks.
        why: String,
    },
    /// Findings stand against the whole spec.
    Blocked,
    /// Reviewing policies say no.
    Denied {
        /// Their names.
        by: Vec<String>,
    },
}

/// Where a cycle failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// There is no ConfigMap by that name.
    ConfigMapNotFound,
    /// `users.yaml` is not as it should be.
    InvalidSpec,
    /// The ConfigMap or the Secrets cannot be read.
    SourceUnavailable,
    /// The server cannot be reached, or does not take changes.
    DatabaseUnavailable,
    /// A policy failed or returned nonsense.
    PolicyFailed,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// The reason in a condition.
    pub fn reason(self) -> &'static str {
        match self {
            FailureKind::ConfigMapNotFound => "ConfigMapNotFound",
            FailureKind::InvalidSpec => "InvalidSpec",
            FailureKind::SourceUnavailable => "SourceUnavailable",
            FailureKind::DatabaseUnavailable => "DatabaseUnavailable",
            FailureKind::PolicyFailed => "PolicyFailed",
            FailureKind::Other => "CycleFailed",
        }
    }
}

/// How it is with one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// As declared.
    Synced,
    /// Left as it is, since there is no password for it: which Secret, and what is wrong with it.
    SecretMissing(String),
    /// Left as it is, or as far as it came: why.
    Failed(String),
    /// To be created or changed, and that waits: for what.
    Pending(String),
    /// No longer declared and still there: what it waits for.
    Removing(String),
    /// No longer declared, and disabled for a while before it is dropped: until when.
    Leaving(String),
}

impl UserState {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            UserState::Synced => "Synced",
            UserState::SecretMissing(_) => "SecretMissing",
            UserState::Failed(_) => "Failed",
            UserState::Pending(_) => "Pending",
            UserState::Removing(_) => "Removing",
            UserState::Leaving(_) => "Leaving",
        }
    }

    /// What is to be said beyond the word; empty if nothing.
    pub fn message(&self) -> &str {
        match self {
            UserState::Synced => "",
            UserState::SecretMissing(message)
            | UserState::Failed(message)
            | UserState::Pending(message)
            | UserState::Removing(message)
            | UserState::Leaving(message) => message,
        }
    }
}

/// Who holds the Lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// Identity of the holder; `None`: it was given up.
    pub holder: Option<String>,
    /// When the Lease was last renewed.
    pub renewed: Option<OffsetDateTime>,
    /// How long it lasts after that, in seconds.
    pub seconds: u32,
}
