//! How things stand, from the facts of a cycle and from how they stood before: conditions as the
//! conventions of Kubernetes want them, what was seen, and each user's state.
//! <https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties>

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;

use super::facts::{Approval, Chain, Ended, Facts, FailureKind, Judged, Judgement, Revision, UserState};
use super::words::{bounded, capitalized, done, ended, listed, one_line, pending};
use crate::printable::{self, counted};

/// Bytes of one message at most.
pub const MAX_MESSAGE: usize = 1_024;

/// What is said of a user that failed.
pub(super) const NOT_REACHED: &str = "could not be brought to what is declared";

/// How the summary of a held plan begins.
const HELD: &str = "Held: ";

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody has looked.
    Unknown,
}

impl Truth {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a condition is about. In the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Whether the last cycle came to its end.
    Ready,
    /// Whether PostgreSQL is as declared.
    Synced,
    /// Whether a plan waits for approval.
    Held,
    /// Whether the policies are those that are configured.
    PolicyChainLoaded,
    /// Whether the operator asked that nothing be applied.
    Paused,
}

impl Aspect {
    /// Every one.
    pub const ALL: [Aspect; 5] =
        [Aspect::Ready, Aspect::Synced, Aspect::Held, Aspect::PolicyChainLoaded, Aspect::Paused];

    /// The `type` of the condition.
    pub fn word(self) -> &'static str {
        match self {
            Aspect::Ready => "Ready",
            Aspect::Synced => "Synced",
            Aspect::Held => "Held",
            Aspect::PolicyChainLoaded => "PolicyChainLoaded",
            Aspect::Paused => "Paused",
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub aspect: Aspect,
    /// Whether it is so.
    pub status: Truth,
    /// One word in CamelCase: why.
    pub reason: String,
    /// The same as a sentence, on one line of at most 1 KiB.
    pub message: String,
    /// When `status` last changed.
    pub last_transition: OffsetDateTime,
    /// The writing of the ConfigMap that it speaks of.
    pub observed_resource_version: Option<String>,
}

/// What was seen, and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What is followed.
    pub source: String,
    /// The last writing of it that was read.
    pub revision: Option<Revision>,
    /// The server.
    pub target: String,
    /// The policies in force.
    pub chain: Chain,
    /// Number of declared users.
    pub users: usize,
    /// How many of them are as declared.
    pub users_synced: usize,
    /// Number of managed group roles, where it is known.
    pub roles: Option<usize>,
    /// Digest of the last plan that had something in it.
    pub plan: Option<String>,
    /// When a plan last changed something.
    pub last_applied: Option<OffsetDateTime>,
    /// What it changed, in words.
    pub last_changes: Option<String>,
    /// The approval that was last used.
    pub approved: Option<String>,
    /// The approval that fits no plan.
    pub stale_approval: Option<String>,
    /// The last wish for a full cycle that was fulfilled.
    pub sync_now: Option<String>,
    /// Whether this controller never applies anything.
    pub dry_run: bool,
    /// Who reports.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// When the last cycle ended. Not worth a report by itself.
    pub last_cycle: OffsetDateTime,
    /// How long it took. Not worth a report by itself.
    pub duration: Duration,
    /// Pause between two cycles; nothing where it is not known.
    pub interval: Duration,
    /// The term of whoever reports, where one of several does.
    pub term: Option<u32>,
}

/// How things stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// One sentence for people.
    pub summary: String,
    /// One for each aspect; fewer in what was read from elsewhere.
    pub conditions: Vec<Condition>,
    /// What was seen.
    pub observed: Observed,
    /// Each user's state.
    pub users: BTreeMap<String, UserState>,
}

impl Status {
    /// The condition about this, if there is one.
    pub fn condition(&self, aspect: Aspect) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.aspect == aspect)
    }

    /// Whether something is so, as far as it is known.
    pub fn is(&self, aspect: Aspect) -> Truth {
        self.condition(aspect).map_or(Truth::Unknown, |condition| condition.status)
    }

    /// Whether it says the same as another, apart from when the last cycle was.
    pub fn says_the_same(&self, other: &Status) -> bool {
        let Status { summary, conditions, observed, users } = self;
        // Compared piece by piece, so that ten thousand users are not copied for it.
        let (last_cycle, duration) = (other.observed.last_cycle, other.observed.duration);
        *summary == other.summary
            && *conditions == other.conditions
            && Observed { last_cycle, duration, ..observed.clone() } == other.observed
            && *users == other.users
    }

    /// Users that are not as declared.
    pub fn not_synced(&self) -> impl Iterator<Item = (&str, &UserState)> {
        let users = self.users.iter().map(|(name, state)| (name.as_str(), state));
        users.filter(|(_, state)| !is_settled(state))
    }

    /// Names of the users in a state, by its word.
    pub(super) fn users_in(&self, word: &str) -> Vec<&str> {
        self.users.iter().filter(|(_, state)| state.word() == word).map(|(name, _)| name.as_str()).collect()
    }
}

/// How things stand after a cycle; `previous` is how they stood before.
pub fn assess(facts: &Facts, previous: Option<&Status>) -> Status {
    let users = users(facts, previous);
    let observed = observed(facts, previous, &users);
    let mut status = Status { summary: String::new(), conditions: Vec::new(), observed, users };
    let verdicts = [
        (Aspect::Ready, ready(facts)),
        (Aspect::Synced, synced(facts, &status)),
        (Aspect::Held, held(facts, previous)),
        (Aspect::PolicyChainLoaded, chain_loaded(&facts.chain)),
        (Aspect::Paused, paused(facts)),
    ];
    let version = status.observed.revision.as_ref().map(|revision| revision.resource_version.clone());
    for (aspect, (truth, reason, message)) in verdicts {
        let before = previous.and_then(|status| status.condition(aspect)).filter(|before| before.status == truth);
        status.conditions.push(Condition {
            aspect,
            status: truth,
            reason,
            message: bounded(&one_line(&message), MAX_MESSAGE),
            last_transition: before.map_or(facts.now, |before| before.last_transition),
            observed_resource_version: version.clone(),
        });
    }
    status.summary = bounded(&one_line(&summary(facts, &status)), MAX_MESSAGE);
    status
}

/// Status, reason and message of a condition.
type Verdict = (Truth, String, String);

fn verdict(truth: Truth, reason: &str, message: impl Into<String>) -> Verdict {
    (truth, reason.to_owned(), message.into())
}

fn ready(facts: &Facts) -> Verdict {
    match &facts.ended {
        Ended::Planned(_) => verdict(Truth::True, "CycleFinished", "the last cycle came to its end"),
        Ended::Failed { kind, message } => verdict(Truth::False, kind.reason(), message),
        Ended::Paused => verdict(Truth::True, "CycleFinished", "the last cycle came to its end"),
    }
}

fn synced(facts: &Facts, status: &Status) -> Verdict {
    let judged = match &facts.ended {
        Ended::Planned(judged) => judged,
        Ended::Failed { kind, .. } => {
            // What is known to be wrong, and what could not be looked at.
            let known =
                matches!(kind, FailureKind::ConfigMapNotFound | FailureKind::InvalidSpec | FailureKind::PolicyFailed);
            let truth = if known { Truth::False } else { Truth::Unknown };
            return verdict(truth, kind.reason(), "the last cycle failed: see Ready");
        }
        Ended::Paused => return verdict(Truth::Unknown, "Paused", "changes wait until the pause is over"),
    };
    let findings = judged.findings.join("; ");
    match &judged.judgement {
        Judgement::Held { .. } => {
            verdict(Truth::False, "Held", format!("a plan waits for approval: {}", pending(&judged.counts)))
        }
        Judgement::Refused { why } => verdict(Truth::False, "Refused", why),
        Judgement::Blocked => {
            let message = format!("nothing was changed, as this stands against the whole spec: {findings}");
            verdict(Truth::False, "Blocked", message)
        }
        Judgement::Denied { by } => {
            let by = listed(by.iter().map(String::as_str));
            let message = match findings.as_str() {
                "" => format!("policy {by} denies the plan; nothing was changed"),
                findings => format!("policy {by} denies the plan; nothing was changed: {findings}"),
            };
            verdict(Truth::False, "Denied", message)
        }
        Judgement::Pass if !judged.acted && !judged.converged && judged.counts.steps > 0 => {
            let message = format!("{}; nothing is changed by a controller with DRY_RUN", pending(&judged.counts));
            verdict(Truth::False, "DryRun", message)
        }
        Judgement::Pass => {
            let behind = behind(status);
            let parts = [behind.as_str(), findings.as_str()];
            let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            if said.is_empty() {
                let message = format!("PostgreSQL is as declared: {}", inventory(status));
                return verdict(Truth::True, "AsDeclared", message);
            }
            let waits_only = findings.is_empty()
                && status.not_synced().all(|(_, state)| matches!(state, UserState::SecretMissing(_)));
            verdict(Truth::False, if waits_only { "SecretMissing" } else { "SyncFailed" }, said.join("; "))
        }
    }
}

/// `12 users and 3 roles`.
fn inventory(status: &Status) -> String {
    let users = match status.observed.users {
        0 => "no users".to_owned(),
        count => counted(count, "user"),
    };
    match status.observed.roles {
        None | Some(0) => users,
        Some(roles) => format!("{users} and {}", counted(roles, "role")),
    }
}

/// Who is not as declared: `user bob waits for its Secret: …`, `3 users wait for their Secrets: a, b and c`.
fn behind(status: &Status) -> String {
    let alone = status.not_synced().count() == 1;
    let phrase = |word: &str, one: &str, many: &str| match status.users_in(word).as_slice() {
        [] => None,
        [name] => {
            let state = status.users.get(*name).filter(|_| alone).map(UserState::message).unwrap_or_default();
            let why = if state.is_empty() { String::new() } else { format!(": {state}") };
            Some(format!("user {} {one}{why}", printable::name(name)))
        }
        names => Some(format!("{} users {many}: {}", names.len(), listed(names.iter().copied()))),
    };
    let phrases = [
        phrase("SecretMissing", "waits for its Secret", "wait for their Secrets"),
        phrase("Failed", NOT_REACHED, NOT_REACHED),
        phrase("Pending", "is still to be changed", "are still to be changed"),
        phrase("Removing", "is still to be removed", "are still to be removed"),
    ];
    phrases.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn held(facts: &Facts, previous: Option<&Status>) -> Verdict {
    match &facts.ended {
        Ended::Planned(judged) => match &judged.judgement {
            Judgement::Held { why } => verdict(
                Truth::True,
                "WaitsForApproval",
                held_message(why, &judged.digest, facts, MAX_MESSAGE - HELD.len()),
            ),
            _ => verdict(Truth::False, "NothingHeld", "no plan waits for approval"),
        },
        // As when it was last looked at.
        Ended::Failed { .. } | Ended::Paused => match previous.and_then(|status| status.condition(Aspect::Held)) {
            Some(before) => (before.status, before.reason.clone(), before.message.clone()),
            None => verdict(Truth::Unknown, "NotLooked", "no cycle has come to its end yet"),
        },
    }
}

/// Why a plan is held and how to approve it; what there is no room for is cut from the why.
pub(super) fn held_message(why: &str, digest: &str, facts: &Facts, bytes: usize) -> String {
    let digest = one_line(digest);
    let how = match &facts.approve_hint {
        Some(command) => format!(". To let exactly this plan run: {}{digest}", one_line(command)),
        None => format!(". To let exactly this plan run: rolewright apply --approve {digest}"),
    };
    bounded(&one_line(why), bytes.saturating_sub(how.len())) + &how
}

fn chain_loaded(chain: &Chain) -> Verdict {
    let modules = listed(chain.modules.iter().map(String::as_str));
    match &chain.problem {
        None if chain.modules.is_empty() => verdict(Truth::False, "NoPolicies", "no policies are loaded"),
        None => verdict(Truth::True, "Loaded", modules),
        Some(problem) if chain.modules.is_empty() => verdict(Truth::False, "NoPolicies", one_line(problem)),
        Some(problem) => {
            let message = format!("{}; the policies before it stay in force: {modules}", one_line(problem));
            verdict(Truth::False, "NotTakenIntoUse", message)
        }
    }
}

fn is_paused(facts: &Facts) -> bool {
    facts.paused || matches!(facts.ended, Ended::Paused)
}

fn paused(facts: &Facts) -> Verdict {
    if is_paused(facts) {
        verdict(Truth::True, "Annotation", "by the annotation rolewright.dev/paused; remove it to go on")
    } else {
        verdict(Truth::False, "NotPaused", "changes are applied as they come")
    }
}

fn users(facts: &Facts, previous: Option<&Status>) -> BTreeMap<String, UserState> {
    let Ended::Planned(judged) = &facts.ended else {
        return previous.map(|status| status.users.clone()).unwrap_or_default();
    };
    let mut users = judged.users.clone();
    for state in users.values_mut() {
        match state {
            UserState::Synced => {}
            UserState::SecretMissing(message)
            | UserState::Failed(message)
            | UserState::Pending(message)
            | UserState::Removing(message)
            | UserState::Leaving(message) => *message = bounded(&one_line(message), MAX_MESSAGE),
        }
    }
    if judged.converged {
        // A policy may have added users that the document does not name; whoever was synced still is, and
        // whoever leaves still does.
        let known = previous.into_iter().flat_map(|status| &status.users);
        for (name, state) in known.filter(|(_, state)| is_settled(state)) {
            users.entry(name.clone()).or_insert_with(|| state.clone());
        }
    }
    users
}

/// Whether all is with a user as it should be by now.
fn is_settled(state: &UserState) -> bool {
    matches!(state, UserState::Synced | UserState::Leaving(_))
}

fn observed(facts: &Facts, previous: Option<&Status>, users: &BTreeMap<String, UserState>) -> Observed {
    let before = previous.map(|status| &status.observed);
    let judged = match &facts.ended {
        Ended::Planned(judged) if !judged.converged => Some(judged.as_ref()),
        _ => None,
    };
    let has_steps = |judged: &&Judged| judged.counts.steps > 0;
    let changed = judged.filter(|judged| judged.acted).filter(has_steps);
    let (approved, stale) = approval(facts, before);
    let gone = |state: &UserState| matches!(state, UserState::Removing(_) | UserState::Leaving(_));
    let declared = users.values().filter(|state| !gone(state)).count();
    Observed {
        source: facts.source.clone(),
        revision: facts.revision.clone().or_else(|| before.and_then(|before| before.revision.clone())),
        target: facts.target.clone(),
        chain: facts.chain.clone(),
        users: declared,
        users_synced: users.values().filter(|state| **state == UserState::Synced).count(),
        roles: judged.and_then(|judged| judged.roles).or_else(|| before.and_then(|before| before.roles)),
        plan: judged
            .filter(|judged| has_steps(judged) || judged.judgement != Judgement::Pass)
            .map(|judged| judged.digest.clone())
            .filter(|digest| !digest.is_empty())
            .or_else(|| before.and_then(|before| before.plan.clone())),
        last_applied: changed.map(|_| facts.now).or_else(|| before.and_then(|before| before.last_applied)),
        last_changes: changed
            .map(|judged| done(&judged.counts))
            .or_else(|| before.and_then(|before| before.last_changes.clone())),
        approved,
        stale_approval: stale,
        sync_now: facts.sync_now.clone().or_else(|| before.and_then(|before| before.sync_now.clone())),
        dry_run: facts.dry_run,
        instance: facts.instance.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        last_cycle: facts.now,
        duration: facts.duration,
        interval: facts.interval,
        term: facts.term,
    }
}

/// The approval that was last used, and the one that fits nothing. A used one stays where it was
/// written, and is not taken for stale.
fn approval(facts: &Facts, before: Option<&Observed>) -> (Option<String>, Option<String>) {
    let used = before.and_then(|before| before.approved.clone());
    if !matches!(facts.ended, Ended::Planned(_)) {
        // There was no plan to compare it with.
        return (used, before.and_then(|before| before.stale_approval.clone()));
    }
    match &facts.approval {
        Approval::None => (used, None),
        Approval::Used(digest) => (Some(digest.clone()), None),
        Approval::Stale(digest) if used.as_ref() == Some(digest) => (used, None),
        Approval::Stale(digest) => (used, Some(digest.clone())),
    }
}

fn summary(facts: &Facts, status: &Status) -> String {
    let said = |aspect| status.condition(aspect).map(|condition| condition.message.as_str()).unwrap_or_default();
    let judged = match &facts.ended {
        Ended::Planned(judged) => judged,
        Ended::Failed { kind, .. } => {
            let so = match kind {
                FailureKind::ConfigMapNotFound => "PostgreSQL is left as it is",
                FailureKind::InvalidSpec => "Not accepted",
                _ => "The last cycle failed",
            };
            return ended(&format!("{so}: {}", said(Aspect::Ready)));
        }
        Ended::Paused => {
            return "Paused by the annotation rolewright.dev/paused: PostgreSQL is left as it is.".to_owned();
        }
    };
    match &judged.judgement {
        // Ends with a command to copy: no full stop.
        Judgement::Held { .. } => format!("{HELD}{}", said(Aspect::Held)),
        Judgement::Refused { .. } | Judgement::Blocked | Judgement::Denied { .. } => {
            ended(&format!("Refused: {}", said(Aspect::Synced)))
        }
        Judgement::Pass => match status.condition(Aspect::Synced) {
            Some(synced) if synced.reason == "DryRun" => ended(&format!("Dry run: {}", synced.message)),
            Some(synced) if synced.status != Truth::True && status.observed.users > 1 => {
                let (synced, users) = (status.observed.users_synced, counted(status.observed.users, "user"));
                let are = if synced == 1 { "is" } else { "are" };
                ended(&format!("{synced} of {users} {are} as declared; {}", said(Aspect::Synced)))
            }
            _ => ended(&capitalized(said(Aspect::Synced))),
        },
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
