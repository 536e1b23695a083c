//! What is worth a word when it happens: changes of how things stand, and what was done. Nothing that
//! was told before is told again, and never more than one notice for one matter, however many users it
//! concerns.

use super::facts::{Approval, Ended, Facts, FailureKind, Judged, Judgement, UserState};
use super::status::{Aspect, NOT_REACHED, Status, Truth, held_message};
use super::words::{bounded, done, listed, one_line, short};
use crate::printable::{self, counted};

/// Bytes of a message at most: as many as an Event takes.
pub const MAX_NOTE: usize = 1_000;

/// So many users are told of with all that is to be said about them.
const IN_FULL: usize = 10;

/// Whether somebody should have a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// All is well.
    Normal,
    /// Somebody should.
    Warning,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should have a look.
    pub kind: Kind,
    /// One word in CamelCase: `Applied`, `Held`, ….
    pub reason: &'static str,
    /// What happened, on one line of at most 1,000 bytes.
    pub message: String,
}

/// What has happened since `before`; `now` is what `assess` made of the same facts.
pub fn notices(facts: &Facts, before: Option<&Status>, now: &Status) -> Vec<Notice> {
    let mut notices = Notices(Vec::new());
    found_again(before, now, &mut notices);
    pause(before, now, &mut notices);
    chain(facts, before, &mut notices);
    stale_approval(facts, before, now, &mut notices);
    match &facts.ended {
        Ended::Planned(judged) => planned(facts, judged, before, now, &mut notices),
        Ended::Failed { kind, message } => failed(*kind, message, before, now, &mut notices),
        Ended::Paused => {}
    }
    notices.0
}

struct Notices(Vec<Notice>);

impl Notices {
    fn normal(&mut self, reason: &'static str, message: &str) {
        self.push(Kind::Normal, reason, message);
    }

    fn warning(&mut self, reason: &'static str, message: &str) {
        self.push(Kind::Warning, reason, message);
    }

    fn push(&mut self, kind: Kind, reason: &'static str, message: &str) {
        self.0.push(Notice { kind, reason, message: bounded(&one_line(message), MAX_NOTE) });
    }
}

/// Whether a condition has not been told before as it is now.
fn is_news(aspect: Aspect, before: Option<&Status>, now: &Status) -> bool {
    let told = |status: &Status| status.condition(aspect).map(|it| (it.status, it.reason.clone(), it.message.clone()));
    before.and_then(told) != told(now)
}

fn found_again(before: Option<&Status>, now: &Status, notices: &mut Notices) {
    let is = |status: &Status, kind: FailureKind| {
        status.condition(Aspect::Ready).is_some_and(|ready| ready.reason == kind.reason())
    };
    let was_missing = before.is_some_and(|status| is(status, FailureKind::ConfigMapNotFound));
    // A source that cannot be read does not tell.
    let is_there = !is(now, FailureKind::ConfigMapNotFound) && !is(now, FailureKind::SourceUnavailable);
    if was_missing && is_there {
        notices.normal("ConfigMapFound", &format!("{} is there again", now.observed.source));
    }
}

fn pause(before: Option<&Status>, now: &Status, notices: &mut Notices) {
    let was = before.is_some_and(|status| status.is(Aspect::Paused) == Truth::True);
    match (was, now.is(Aspect::Paused) == Truth::True) {
        (false, true) => {
            notices.normal("Paused", "nothing is applied until the annotation rolewright.dev/paused is removed");
        }
        (true, false) => notices.normal("Resumed", "the pause is over, and changes are applied again"),
        _ => {}
    }
}

/// A chain that was refused, or another that has taken the place of the one before.
fn chain(facts: &Facts, before: Option<&Status>, notices: &mut Notices) {
    let told = before.map(|status| &status.observed.chain);
    match (&facts.chain.problem, told) {
        // Where no chain is in force, the cycle fails for it and says so.
        (Some(_), _) if facts.chain.modules.is_empty() => {}
        (Some(problem), told) if told.and_then(|told| told.problem.as_ref()) != Some(problem) => {
            notices.warning("PoliciesRefused", &format!("the policies before it stay in force: {problem}"));
        }
        (None, Some(told)) if !told.digest.is_empty() && told.digest != facts.chain.digest => {
            let modules = listed(facts.chain.modules.iter().map(String::as_str));
            notices.normal("PoliciesLoaded", &format!("a new policy chain is in force: {modules}"));
        }
        _ => {}
    }
}

fn stale_approval(facts: &Facts, before: Option<&Status>, now: &Status, notices: &mut Notices) {
    let Some(stale) = &now.observed.stale_approval else { return };
    if before.and_then(|status| status.observed.stale_approval.as_ref()) == Some(stale) {
        return;
    }
    let waits = match &facts.ended {
        Ended::Planned(judged) if matches!(judged.judgement, Judgement::Held { .. }) => {
            format!("the one that waits is {}", judged.digest)
        }
        _ => "none waits for approval".to_owned(),
    };
    let stale = bounded(&one_line(stale), 100);
    notices.warning(
        "ApprovalStale",
        &format!("the approval of {stale} fits no plan, since the plan has changed or the digest is wrong; {waits}"),
    );
}

fn failed(kind: FailureKind, message: &str, before: Option<&Status>, now: &Status, notices: &mut Notices) {
    if !is_news(Aspect::Ready, before, now) {
        return;
    }
    match kind {
        FailureKind::ConfigMapNotFound => {
            notices.warning("ConfigMapNotFound", &format!("{message}; PostgreSQL is left as it is"));
        }
        FailureKind::InvalidSpec => notices.warning("InvalidSpec", message),
        _ => notices.warning("SyncFailed", message),
    }
}

fn planned(facts: &Facts, judged: &Judged, before: Option<&Status>, now: &Status, notices: &mut Notices) {
    if judged.acted && !judged.converged {
        applied(facts, judged, before, notices);
    }
    match &judged.judgement {
        Judgement::Pass => {}
        Judgement::Held { why } => {
            let told = before.filter(|status| status.is(Aspect::Held) == Truth::True);
            if told.and_then(|status| status.observed.plan.as_ref()) != Some(&judged.digest) {
                notices.warning("Held", &held_message(why, &judged.digest, facts, MAX_NOTE));
            }
        }
        Judgement::Refused { .. } | Judgement::Blocked | Judgement::Denied { .. } => {
            if is_news(Aspect::Synced, before, now)
                && let Some(synced) = now.condition(Aspect::Synced)
            {
                notices.warning("Refused", &synced.message);
            }
        }
    }
    without_secret(before, now, notices);
    failing(judged, before, now, notices);
}

fn applied(facts: &Facts, judged: &Judged, before: Option<&Status>, notices: &mut Notices) {
    if let Approval::Used(digest) = &facts.approval
        && before.and_then(|status| status.observed.approved.as_ref()) != Some(digest)
    {
        notices.normal("Approved", &format!("the plan {digest} was approved, and has run"));
    }
    let counts = &judged.counts;
    let what = match done(counts) {
        text if text.is_empty() => counted(counts.steps, "step"),
        text => text,
    };
    let plan = short(&judged.digest);
    if counts.drift > 0 {
        let repaired = if counts.drift == counts.steps { format!(": {what}") } else { String::new() };
        let steps = counted(counts.drift, "step");
        notices.warning(
            "DriftRepaired",
            &format!("somebody else had changed roles on the server; {steps} put them right{repaired} (plan {plan})"),
        );
    }
    if counts.steps > counts.drift {
        notices.normal("Applied", &format!("{what} in {:.2} s (plan {plan})", facts.duration.as_secs_f64()));
    }
}

/// Told when somebody joins those who wait; all of them are named.
fn without_secret(before: Option<&Status>, now: &Status, notices: &mut Notices) {
    let waits = |state: &UserState| matches!(state, UserState::SecretMissing(_));
    let waited = |name: &str| before.and_then(|status| status.users.get(name)).is_some_and(waits);
    let waiting: Vec<(&str, &UserState)> = now.not_synced().filter(|(_, state)| waits(state)).collect();
    if waiting.iter().all(|(name, _)| waited(name)) {
        return;
    }
    let message = match waiting.as_slice() {
        [(name, state)] if !state.message().is_empty() => {
            format!("user {} waits for its Secret: {}", printable::name(name), state.message())
        }
        [(name, _)] => format!("user {} waits for its Secret", printable::name(name)),
        many => {
            let names = listed(many.iter().map(|(name, _)| *name));
            format!("{} users wait for their Secrets: {names}", many.len())
        }
    };
    notices.warning("SecretMissing", &message);
}

/// Told when somebody fails who did not before, or for another reason; all who fail are named.
fn failing(judged: &Judged, before: Option<&Status>, now: &Status, notices: &mut Notices) {
    // Whoever is still there after a plan that was carried out could not be removed.
    let stays = |state: &UserState| judged.acted && matches!(state, UserState::Removing(_));
    let fails = |state: &UserState| matches!(state, UserState::Failed(_)) || stays(state);
    let told = |name: &str, state: &UserState| before.and_then(|status| status.users.get(name)) == Some(state);
    let failing: Vec<(&str, &UserState)> = now.not_synced().filter(|(_, state)| fails(state)).collect();
    let users_are_news = failing.iter().any(|(name, state)| !told(name, state));
    // Else they are what the plan was refused for.
    let findings = if judged.judgement == Judgement::Pass { judged.findings.as_slice() } else { &[] };
    let findings_are_news = !findings.is_empty() && is_news(Aspect::Synced, before, now);
    if judged.judgement == Judgement::Blocked || !(users_are_news || findings_are_news) {
        return;
    }
    let mut parts: Vec<String> = findings.to_vec();
    let room = MAX_NOTE / failing.len().clamp(1, IN_FULL);
    let each = failing.iter().take(IN_FULL).map(|(name, state)| {
        let said = format!("{}: {}", printable::name(name), state.message());
        bounded(&said, room)
    });
    parts.extend(each);
    let more = failing.len().saturating_sub(IN_FULL);
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    let message = match failing.as_slice() {
        [] => parts.join("; "),
        [(name, state)] if findings.is_empty() => {
            format!("user {} {NOT_REACHED}: {}", printable::name(name), state.message())
        }
        many => format!("{} {NOT_REACHED}: {}", counted(many.len(), "user"), parts.join("; ")),
    };
    notices.warning("SyncFailed", &message);
}

#[cfg(test)]
#[path = "notices_tests.rs"]
mod tests;
