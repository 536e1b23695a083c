//! A status as the keys of a ConfigMap, YAML that reads well in `kubectl describe`, and back: for the
//! next process, which has to know what was told before, and for `rolewright status`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::facts::{Chain, Revision, UserState};
use super::status::{Aspect, Condition, Observed, Status, Truth};
use super::yaml::{Mapping, scalar};
use crate::printable::counted;

/// Bytes of the key `users` at most. A ConfigMap takes 1 MiB in all.
pub const MAX_USERS: usize = 512 * 1024;
/// Seconds of a year, longer than anybody waits between two cycles.
const LONGEST_INTERVAL: u64 = 366 * 86_400;

/// One sentence for people.
pub const SUMMARY: &str = "summary";
/// A list of conditions.
pub const CONDITIONS: &str = "conditions";
/// A mapping of what was seen.
pub const OBSERVED: &str = "observed";
/// A mapping from users to their states.
pub const USERS: &str = "users";

impl Status {
    /// The data of a ConfigMap.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        let keys = [
            (SUMMARY, format!("{}\n", self.summary)),
            (CONDITIONS, self.conditions.iter().map(condition_text).collect()),
            (OBSERVED, observed_text(&self.observed)),
            (USERS, users_text(&self.users, MAX_USERS)),
        ];
        keys.into_iter().map(|(key, text)| (key.to_owned(), text)).collect()
    }

    /// What the data of a ConfigMap says. Whatever cannot be read counts as absent.
    pub fn from_data(data: &BTreeMap<String, String>) -> Status {
        let text = |key| data.get(key).map(String::as_str).unwrap_or_default();
        let conditions: Vec<ConditionText> = serde_saphyr::from_str(text(CONDITIONS)).unwrap_or_default();
        let users: BTreeMap<String, String> = serde_saphyr::from_str(text(USERS)).unwrap_or_default();
        let observed: ObservedText = serde_saphyr::from_str(text(OBSERVED)).unwrap_or_default();
        Status {
            summary: text(SUMMARY).trim().to_owned(),
            conditions: conditions.into_iter().filter_map(read_condition).collect(),
            observed: read_observed(observed),
            users: users.into_iter().filter_map(|(name, state)| Some((name, read_state(&state)?))).collect(),
        }
    }

    /// Labels that make columns of `kubectl get configmap -L …`.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let managed = [("app.kubernetes.io/managed-by".to_owned(), "rolewright".to_owned())];
        let aspects = [("ready", Aspect::Ready), ("synced", Aspect::Synced), ("held", Aspect::Held)];
        let columns =
            aspects.map(|(name, aspect)| (format!("rolewright.dev/{name}"), self.is(aspect).word().to_owned()));
        managed.into_iter().chain(columns).collect()
    }
}

fn condition_text(condition: &Condition) -> String {
    let mut item = Mapping::item();
    item.text("type", condition.aspect.word());
    item.text("status", condition.status.word());
    item.text("reason", &condition.reason);
    item.text("message", &condition.message);
    item.text("lastTransitionTime", &timestamp(condition.last_transition));
    item.maybe("observedResourceVersion", condition.observed_resource_version.as_deref());
    item.into_text()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConditionText {
    r#type: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    last_transition_time: String,
    observed_resource_version: Option<String>,
}

fn read_condition(text: ConditionText) -> Option<Condition> {
    Some(Condition {
        aspect: Aspect::ALL.into_iter().find(|aspect| aspect.word() == text.r#type)?,
        status: [Truth::True, Truth::False, Truth::Unknown].into_iter().find(|truth| truth.word() == text.status)?,
        reason: text.reason,
        message: text.message,
        last_transition: read_timestamp(&text.last_transition_time)?,
        observed_resource_version: text.observed_resource_version,
    })
}

fn observed_text(observed: &Observed) -> String {
    let mut text = Mapping::new();
    text.text("source", &observed.source);
    text.maybe("uid", observed.revision.as_ref().map(|revision| revision.uid.as_str()));
    text.maybe("resourceVersion", observed.revision.as_ref().map(|revision| revision.resource_version.as_str()));
    text.text("target", &observed.target);
    text.list("policies", observed.chain.modules.iter().map(String::as_str));
    text.text("policyChain", &observed.chain.digest);
    text.maybe("policyProblem", observed.chain.problem.as_deref());
    text.number("users", observed.users);
    text.number("usersSynced", observed.users_synced);
    if let Some(roles) = observed.roles {
        text.number("roles", roles);
    }
    text.maybe("planDigest", observed.plan.as_deref());
    text.maybe("lastApplied", observed.last_applied.map(timestamp).as_deref());
    text.maybe("lastChanges", observed.last_changes.as_deref());
    text.maybe("approved", observed.approved.as_deref());
    text.maybe("approvalStale", observed.stale_approval.as_deref());
    text.maybe("syncNow", observed.sync_now.as_deref());
    if observed.dry_run {
        text.raw("dryRun", "true");
    }
    text.text("instance", &observed.instance);
    if let Some(term) = observed.term {
        text.raw("term", &term.to_string());
    }
    text.text("version", &observed.version);
    text.raw("syncIntervalSeconds", &observed.interval.as_secs().to_string());
    text.text("lastCycle", &timestamp(observed.last_cycle));
    text.raw("lastCycleSeconds", &format!("{:.3}", observed.duration.as_secs_f64()));
    text.into_text()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObservedText {
    source: String,
    uid: Option<String>,
    resource_version: Option<String>,
    target: String,
    policies: Vec<String>,
    policy_chain: String,
    policy_problem: Option<String>,
    users: usize,
    users_synced: usize,
    roles: Option<usize>,
    plan_digest: Option<String>,
    last_applied: Option<String>,
    last_changes: Option<String>,
    approved: Option<String>,
    approval_stale: Option<String>,
    sync_now: Option<String>,
    dry_run: bool,
    instance: String,
    term: Option<u32>,
    version: String,
    sync_interval_seconds: u64,
    last_cycle: String,
    last_cycle_seconds: f64,
}

fn read_observed(text: ObservedText) -> Observed {
    let revision = text.uid.zip(text.resource_version);
    Observed {
        source: text.source,
        revision: revision.map(|(uid, resource_version)| Revision { uid, resource_version }),
        target: text.target,
        chain: Chain { digest: text.policy_chain, modules: text.policies, problem: text.policy_problem },
        users: text.users,
        users_synced: text.users_synced,
        roles: text.roles,
        plan: text.plan_digest,
        last_applied: text.last_applied.as_deref().and_then(read_timestamp),
        last_changes: text.last_changes,
        approved: text.approved,
        stale_approval: text.approval_stale,
        sync_now: text.sync_now,
        dry_run: text.dry_run,
        instance: text.instance,
        term: text.term,
        version: text.version,
        // Anybody may have written it: what is reckoned with must not overflow.
        interval: Duration::from_secs(text.sync_interval_seconds.min(LONGEST_INTERVAL)),
        last_cycle: read_timestamp(&text.last_cycle).unwrap_or(OffsetDateTime::UNIX_EPOCH),
        duration: Duration::try_from_secs_f64(text.last_cycle_seconds).unwrap_or_default(),
    }
}

/// Whoever is not synced comes first, with all that is to be said; then the others by name. What
/// there is no room for is counted: first the words about users go, then synced users, then the rest.
fn users_text(users: &BTreeMap<String, UserState>, bytes: usize) -> String {
    let line = |name: &str, state: &str| format!("{}: {}\n", scalar(name), scalar(state));
    let brief = |(name, state): &(&String, &UserState)| line(name, state.word());
    let (synced, others): (Vec<_>, Vec<_>) = users.iter().partition(|(_, state)| **state == UserState::Synced);

    let room = bytes.saturating_sub(200);
    // What the others take at the least, so that a long message does not push somebody out.
    let mut least: usize = others.iter().map(|user| brief(user).len()).sum();
    let mut text = String::new();
    let (mut left_out, mut left_out_synced) = (0, 0);
    for user in &others {
        let (name, state) = user;
        let short = brief(user);
        least -= short.len();
        let full = match state.message() {
            "" => short.clone(),
            message => line(name, &format!("{}: {message}", state.word())),
        };
        if text.len() + full.len() + least <= room {
            text.push_str(&full);
        } else if text.len() + short.len() <= room {
            text.push_str(&short);
        } else {
            left_out += 1;
        }
    }
    for user in &synced {
        let short = brief(user);
        if left_out_synced == 0 && text.len() + short.len() <= room {
            text.push_str(&short);
        } else {
            left_out_synced += 1;
        }
    }
    if left_out + left_out_synced > 0 {
        let more = counted(left_out + left_out_synced, "more user");
        let others =
            if left_out > 0 { format!(", {left_out} of them not synced") } else { ", all of them synced".into() };
        text.push_str(&format!("# and {more}{others}\n"));
    }
    if users.is_empty() {
        text.push_str("{}\n");
    }
    text
}

fn read_state(text: &str) -> Option<UserState> {
    let (word, message) = text.split_once(": ").unwrap_or((text, ""));
    let message = message.to_owned();
    Some(match word {
        "Synced" => UserState::Synced,
        "SecretMissing" => UserState::SecretMissing(message),
        "Failed" => UserState::Failed(message),
        "Pending" => UserState::Pending(message),
        "Removing" => UserState::Removing(message),
        "Leaving" => UserState::Leaving(message),
        _ => return None,
    })
}

/// Whole seconds in UTC.
pub(crate) fn timestamp(moment: OffsetDateTime) -> String {
    let moment = moment.replace_nanosecond(0).unwrap_or(moment);
    moment.to_offset(time::UtcOffset::UTC).format(&Rfc3339).unwrap_or_default()
}

fn read_timestamp(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
