//! How a running controller stands, for `rolewright status`: from the status that it wrote and the
//! Lease that it holds to text or JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::printable;
use crate::report::{Aspect, Lead, Status, Truth};

/// Users that are listed unless all are asked for; of those that are as declared, none.
const LISTED: usize = 20;

/// A status is written every ten minutes at least, or with each cycle where these are rarer; one that is
/// much older is nobody's any more.
const STALE: Duration = Duration::minutes(30);
const MISSED_CYCLES: u32 = 3;

/// What is shown.
#[derive(Debug)]
pub struct View<'a> {
    /// What the controller wrote; `None`: nothing yet.
    pub status: Option<&'a Status>,
    /// The Lease, if there is one.
    pub lead: Option<&'a Lead>,
    /// The time on this machine.
    pub now: OffsetDateTime,
    /// What is followed, for where nothing was written: `ConfigMap postgres/postgres-users-config`.
    pub source: &'a str,
    /// Whether to list every user.
    pub all_users: bool,
}

/// Whether all is well, and if not, whether a plan waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// PostgreSQL is as declared.
    Synced,
    /// A plan waits for approval.
    Held,
    /// Anything else.
    NotSynced,
}

impl View<'_> {
    fn is_stale(&self, status: &Status) -> bool {
        let missed = Duration::try_from(status.observed.interval * MISSED_CYCLES).unwrap_or(Duration::MAX);
        self.now - status.observed.last_cycle > missed.max(STALE)
    }

    /// For the exit code.
    pub fn standing(&self) -> Standing {
        match self.status.filter(|status| !self.is_stale(status)) {
            Some(status) if status.is(Aspect::Ready) == Truth::False => Standing::NotSynced,
            Some(status) if status.is(Aspect::Held) == Truth::True => Standing::Held,
            Some(status) if status.is(Aspect::Synced) == Truth::True => Standing::Synced,
            _ => Standing::NotSynced,
        }
    }
}

/// For people: the sentence first, then the conditions, then the users that are not as declared.
pub fn text(view: &View<'_>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, view);
    out
}

fn write(out: &mut String, view: &View<'_>) -> std::fmt::Result {
    let Some(status) = view.status else {
        writeln!(out, "{}: no controller has reported on it yet", view.source)?;
        writeln!(out, "{}", lead(view))?;
        return writeln!(out, "Look at the logs of the Deployment, and at NAMESPACE and CONFIGMAP_NAME.");
    };
    let observed = &status.observed;
    writeln!(out, "{} -> PostgreSQL {}", view.source, printable::line(&observed.target))?;
    writeln!(out, "{}", lead(view))?;
    if view.is_stale(status) {
        let then = ago(view.now, observed.last_cycle);
        writeln!(out, "\nWhat follows is old: the last report was made {then}. Does the controller run?")?;
    }
    writeln!(out, "\n{}\n", printable::line(&status.summary))?;
    for condition in &status.conditions {
        // What the summary has said already is not said again.
        let message = printable::line(&condition.message);
        let message = if status.summary.contains(&*message) { "" } else { &message };
        let (word, truth) = (condition.aspect.word(), condition.status.word());
        let line = format!("  {word:<18} {truth:<8} {:<20} {message}", printable::line(&condition.reason));
        writeln!(out, "{}", line.trim_end())?;
    }
    users(out, status, view.all_users)?;
    let took = observed.duration.as_secs_f64();
    write!(out, "\nlast cycle {} ({took:.2} s)", ago(view.now, observed.last_cycle))?;
    if let (Some(at), Some(changes)) = (observed.last_applied, &observed.last_changes) {
        write!(out, "; last change {}: {}", ago(view.now, at), printable::line(changes))?;
    }
    writeln!(out)
}

fn users(out: &mut String, status: &Status, all: bool) -> std::fmt::Result {
    let (synced, users) = (status.observed.users_synced, status.observed.users);
    writeln!(out, "\n{synced} of {users} users are as declared")?;
    let shown: Vec<_> = if all {
        status.users.iter().map(|(name, state)| (name.as_str(), state)).collect()
    } else {
        status.not_synced().take(LISTED).collect()
    };
    let width = shown.iter().map(|(name, _)| printable::name(name).chars().count()).max().unwrap_or(0);
    for (name, state) in &shown {
        let line =
            format!("  {:<width$}  {:<13}  {}", printable::name(name), state.word(), printable::line(state.message()));
        writeln!(out, "{}", line.trim_end())?;
    }
    let rest = if all { 0 } else { status.not_synced().count().saturating_sub(shown.len()) };
    if rest > 0 {
        writeln!(out, "  and {rest} more; --users lists all")?;
    }
    Ok(())
}

fn lead(view: &View<'_>) -> String {
    match view.lead {
        None => "no Lease: one instance runs without leader election, or none".to_owned(),
        Some(Lead { holder: None, .. }) => "nobody leads: the last leader gave the Lease up".to_owned(),
        Some(Lead { holder: Some(holder), renewed, seconds }) => {
            let holder = printable::name(holder);
            match renewed {
                Some(renewed) if (view.now - *renewed).whole_seconds() > i64::from(*seconds) => {
                    format!("nobody leads: {holder} was the last, {}", ago(view.now, *renewed))
                }
                Some(renewed) => format!("led by {holder}, last heard of {}", ago(view.now, *renewed)),
                None => format!("led by {holder}"),
            }
        }
    }
}

fn ago(now: OffsetDateTime, then: OffsetDateTime) -> String {
    match (now - then).whole_seconds() {
        // Clocks of two machines need not agree to the second.
        ..=0 => "just now".to_owned(),
        seconds @ ..120 => format!("{seconds} s ago"),
        seconds @ ..7_200 => format!("{} min ago", seconds / 60),
        seconds @ ..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// For scripts.
pub fn json(view: &View<'_>) -> String {
    let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let lead = view.lead.map(
        |lead| json!({ "holder": lead.holder, "renewed": lead.renewed.map(time), "duration_seconds": lead.seconds }),
    );
    let status = view.status.map(|status| {
        let conditions: Vec<Value> = status
            .conditions
            .iter()
            .map(|condition| {
                json!({
                    "type": condition.aspect.word(),
                    "status": condition.status.word(),
                    "reason": condition.reason,
                    "message": condition.message,
                    "lastTransitionTime": time(condition.last_transition),
                })
            })
            .collect();
        let users: serde_json::Map<String, Value> = status
            .users
            .iter()
            .map(|(name, state)| (name.clone(), json!({ "state": state.word(), "message": state.message() })))
            .collect();
        let observed = &status.observed;
        json!({
            "summary": status.summary,
            "conditions": conditions,
            "target": observed.target,
            "instance": observed.instance,
            "resource_version": observed.revision.as_ref().map(|revision| &revision.resource_version),
            "plan_digest": observed.plan,
            "users_declared": observed.users,
            "users_synced": observed.users_synced,
            "last_cycle": time(observed.last_cycle),
            "users": users,
        })
    });
    let whole = json!({ "source": view.source, "lease": lead, "status": status });
    format!("{whole:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{assess, fixture};

    fn lead() -> Lead {
        Lead {
            holder: Some("rolewright-7c9d_01234567".into()),
            renewed: Some(fixture::NOON - Duration::seconds(2)),
            seconds: 15,
        }
    }

    fn view<'a>(status: Option<&'a Status>, lead: Option<&'a Lead>) -> View<'a> {
        let now = fixture::NOON + Duration::seconds(30);
        View { status, lead, now, source: "ConfigMap postgres/postgres-users-config", all_users: false }
    }

    #[test]
    fn it_begins_with_the_sentence_and_lists_who_waits() {
        let status = assess(&fixture::facts(fixture::NOON, fixture::one_waits()), None);
        let lead = Lead { renewed: Some(fixture::NOON + Duration::seconds(29)), ..lead() };
        insta::assert_snapshot!(text(&view(Some(&status), Some(&lead))));
        assert_eq!(view(Some(&status), None).standing(), Standing::NotSynced);
    }

    #[test]
    fn a_held_plan_shows_the_command_that_approves_it() {
        let status = assess(&fixture::facts(fixture::NOON, fixture::held()), None);
        insta::assert_snapshot!(text(&view(Some(&status), Some(&lead()))));
        assert_eq!(view(Some(&status), None).standing(), Standing::Held);
    }

    #[test]
    fn all_users_are_listed_where_that_is_asked_for() {
        let status = assess(&fixture::facts(fixture::NOON, fixture::synced()), None);
        let all = View { all_users: true, ..view(Some(&status), None) };
        assert!(text(&all).contains("  alice  Synced\n"), "{}", text(&all));
        assert!(!text(&view(Some(&status), None)).contains("alice"));
        assert_eq!(all.standing(), Standing::Synced);
    }

    #[test]
    fn an_old_report_is_no_good_news() {
        let status = assess(&fixture::facts(fixture::NOON, fixture::synced()), None);
        let late = View { now: fixture::NOON + Duration::hours(3), ..view(Some(&status), None) };
        assert_eq!(late.standing(), Standing::NotSynced);
        assert!(text(&late).contains("the last report was made 3 h ago"), "{}", text(&late));
    }

    #[test]
    fn whoever_reports_every_two_hours_is_not_late_after_three() {
        let mut facts = fixture::facts(fixture::NOON, fixture::synced());
        facts.interval = std::time::Duration::from_secs(2 * 3_600);
        let status = assess(&facts, None);
        let seen = |hours| View { now: fixture::NOON + Duration::hours(hours), ..view(Some(&status), None) };
        assert_eq!(seen(3).standing(), Standing::Synced);
        assert_eq!(seen(7).standing(), Standing::NotSynced);
    }

    #[test]
    fn where_nobody_has_reported_it_says_where_to_look() {
        let text = text(&view(None, None));
        assert!(text.contains("no controller has reported") && text.contains("NAMESPACE"), "{text}");
        assert_eq!(view(None, None).standing(), Standing::NotSynced);
    }

    #[test]
    fn scripts_find_the_same_in_json() {
        let status = assess(&fixture::facts(fixture::NOON, fixture::held()), None);
        let value: Value = serde_json::from_str(&json(&view(Some(&status), Some(&lead())))).unwrap();
        assert_eq!(value["lease"]["holder"], "rolewright-7c9d_01234567");
        assert_eq!(value["status"]["users"]["bob"]["state"], "Removing");
        assert_eq!(value["status"]["plan_digest"], fixture::DIGEST);
    }
}
