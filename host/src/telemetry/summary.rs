//! What one cycle did, in one line for people and in fields for a JSON log. Counting is done by the
//! plan and by those who carry it out.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::plan::Counts;
use crate::printable::counted;

/// How a cycle ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The plan was carried out, at least for some users.
    Applied,
    /// PostgreSQL is as declared.
    NothingToDo,
    /// The plan was shown, not carried out.
    DryRun,
    /// The plan waits for approval.
    Held,
    /// The plan waits for the end of a pause.
    Paused,
    /// A policy or the guard refused the plan.
    Refused,
    /// The cycle could not be finished.
    Failed,
}

impl Outcome {
    /// Every outcome, so that each has its time series from the start.
    pub const ALL: [Outcome; 7] = [
        Outcome::Applied,
        Outcome::NothingToDo,
        Outcome::DryRun,
        Outcome::Held,
        Outcome::Paused,
        Outcome::Refused,
        Outcome::Failed,
    ];

    /// The value of the label `outcome`.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::NothingToDo => "nothing-to-do",
            Outcome::DryRun => "dry-run",
            Outcome::Held => "held",
            Outcome::Paused => "paused",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// What one cycle did, or would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How it ended.
    pub outcome: Outcome,
    /// Roles with LOGIN that were created.
    pub users_created: usize,
    /// Roles with LOGIN that were changed in any way.
    pub users_updated: usize,
    /// Roles with LOGIN that were dropped.
    pub users_deleted: usize,
    /// Roles without LOGIN that were created.
    pub roles_created: usize,
    /// Roles without LOGIN that were changed in any way.
    pub roles_updated: usize,
    /// Roles without LOGIN that were dropped.
    pub roles_deleted: usize,
    /// Databases that were created.
    pub databases_created: usize,
    /// Databases that were changed in any way, or a schema in them, or what PUBLIC may there.
    pub databases_updated: usize,
    /// Steps that repair drift.
    pub drift_detected: usize,
    /// Users that failed or were left out, or the one reason why the cycle ended.
    pub errors: usize,
    /// Transient errors after which something was tried again.
    pub retries: usize,
    /// How long it took.
    #[serde(serialize_with = "seconds", rename = "duration_seconds")]
    pub duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Summary {
    /// The summary of a plan with these counts.
    pub fn new(outcome: Outcome, counts: &Counts) -> Self {
        Summary {
            outcome,
            users_created: counts.users_created,
            users_updated: counts.users_updated,
            users_deleted: counts.users_deleted,
            roles_created: counts.roles_created,
            roles_updated: counts.roles_updated,
            roles_deleted: counts.roles_deleted,
            databases_created: counts.databases_created,
            databases_updated: counts.databases_updated,
            drift_detected: counts.drift,
            errors: 0,
            retries: 0,
            duration: Duration::ZERO,
        }
    }

    /// Writes it to the log: as fields, with the line for people as the message.
    pub fn log(&self) {
        macro_rules! at {
            ($level:ident) => {
                tracing::$level!(
                    outcome = self.outcome.label(),
                    users_created = self.users_created,
                    users_updated = self.users_updated,
                    users_deleted = self.users_deleted,
                    roles_created = self.roles_created,
                    roles_updated = self.roles_updated,
                    roles_deleted = self.roles_deleted,
                    databases_created = self.databases_created,
                    databases_updated = self.databases_updated,
                    drift_detected = self.drift_detected,
                    errors = self.errors,
                    retries = self.retries,
                    duration_seconds = self.duration.as_secs_f64(),
                    "{self}"
                )
            };
        }
        match self.outcome {
            Outcome::Failed => at!(error),
            Outcome::Held | Outcome::Paused | Outcome::Refused => at!(warn),
            _ if self.errors > 0 => at!(warn),
            _ => at!(info),
        }
    }

    /// What was done, or is to be done, to one kind of role: `2 users created, 1 deleted`.
    fn part(&self, noun: &str, counts: [usize; 3]) -> Option<String> {
        let verbs = match self.outcome {
            Outcome::Applied => ["created", "updated", "deleted"],
            _ => ["to create", "to update", "to delete"],
        };
        let mut parts: Vec<String> = Vec::new();
        for (count, verb) in counts.into_iter().zip(verbs).filter(|(count, _)| *count > 0) {
            let what = if parts.is_empty() { counted(count, noun) } else { count.to_string() };
            parts.push(format!("{what} {verb}"));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = match self.outcome {
            Outcome::Applied | Outcome::NothingToDo => "cycle finished",
            Outcome::DryRun => "dry run finished",
            Outcome::Held => "plan held for approval",
            Outcome::Paused => "paused",
            Outcome::Refused => "plan refused",
            Outcome::Failed => "cycle failed",
        };
        write!(f, "{begin} in {:.2} s: ", self.duration.as_secs_f64())?;
        let mut parts = Vec::new();
        parts.extend(self.part("user", [self.users_created, self.users_updated, self.users_deleted]));
        parts.extend(self.part("role", [self.roles_created, self.roles_updated, self.roles_deleted]));
        parts.extend(self.part("database", [self.databases_created, self.databases_updated, 0]));
        // A cycle that failed may have committed before it did: nothing is claimed of it.
        if parts.is_empty() && !(self.outcome == Outcome::Failed && self.errors > 0) {
            let none = matches!(self.outcome, Outcome::NothingToDo | Outcome::DryRun) && self.errors == 0;
            parts.push(if none { "nothing to do" } else { "nothing changed" }.to_owned());
        }
        if self.drift_detected > 0 {
            parts.push(format!("{} of drift", counted(self.drift_detected, "step")));
        }
        if self.retries > 0 {
            parts.push(if self.retries == 1 { "1 retry".to_owned() } else { format!("{} retries", self.retries) });
        }
        if self.errors > 0 {
            parts.push(counted(self.errors, "error"));
        }
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcome: Outcome) -> Summary {
        Summary { duration: Duration::from_millis(123), ..Summary::new(outcome, &Counts::default()) }
    }

    #[test]
    fn a_line_says_only_what_happened() {
        assert_eq!(summary(Outcome::NothingToDo).to_string(), "cycle finished in 0.12 s: nothing to do");
        let applied = Summary {
            users_created: 2,
            users_deleted: 1,
            roles_created: 1,
            drift_detected: 1,
            errors: 2,
            retries: 1,
            ..summary(Outcome::Applied)
        };
        assert_eq!(
            applied.to_string(),
            "cycle finished in 0.12 s: 2 users created, 1 deleted; 1 role created; 1 step of drift; 1 retry; 2 errors"
        );
    }

    #[test]
    fn what_was_not_done_is_not_claimed() {
        let held = Summary { users_deleted: 9, ..summary(Outcome::Held) };
        assert_eq!(held.to_string(), "plan held for approval in 0.12 s: 9 users to delete");
        let failed = Summary { errors: 1, ..summary(Outcome::Failed) };
        assert_eq!(failed.to_string(), "cycle failed in 0.12 s: 1 error");
    }

    #[test]
    fn the_fields_have_the_names_that_dashboards_use() {
        let value = serde_json::to_value(summary(Outcome::DryRun)).unwrap();
        assert_eq!(value["outcome"], "dry-run");
        assert_eq!(value["duration_seconds"], 0.123);
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.label());
        }
    }
}
