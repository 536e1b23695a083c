//! Facts as they come from cycles, for the tests of this room.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::plan::Counts;

pub(crate) const MORNING: OffsetDateTime = datetime!(2026-11-24 08:00:00.5 UTC);
pub(crate) const NOON: OffsetDateTime = datetime!(2026-11-24 12:00:00 UTC);
pub(crate) const DIGEST: &str = "sha256:4f1c0a5be17d6ae8a2f5e0b35f6b4cdd7bd3d0a6c0f8c6ae2c9e4f83a1b7d920";

pub(crate) fn facts(now: OffsetDateTime, ended: Ended) -> Facts {
    let command = "kubectl annotate configmap -n postgres postgres-users-config --overwrite rolewright.dev/approve=";
    Facts {
        now,
        instance: "rolewright-7c9d_01234567".into(),
        source: "ConfigMap postgres/postgres-users-config".into(),
        approve_hint: Some(command.into()),
        revision: Some(Revision { uid: "6f9d3c1e-2a".into(), resource_version: "4711".into() }),
        target: "db.example.com:5432/postgres".into(),
        chain: Chain {
            digest: "sha256:9a8b7c".into(),
            modules: vec!["standard".into(), "naming".into()],
            problem: None,
        },
        paused: false,
        dry_run: false,
        approval: Approval::None,
        sync_now: None,
        ended,
        duration: Duration::from_millis(420),
        interval: Duration::from_secs(30),
        term: Some(3),
    }
}

pub(crate) fn judged(judgement: Judgement, counts: Counts, users: &[(&str, UserState)]) -> Judged {
    Judged {
        acted: judgement == Judgement::Pass,
        judgement,
        digest: DIGEST.into(),
        counts,
        converged: false,
        users: users.iter().map(|(name, state)| ((*name).to_owned(), state.clone())).collect(),
        roles: Some(3),
        findings: Vec::new(),
    }
}

pub(crate) fn planned(judged: Judged) -> Ended {
    Ended::Planned(Box::new(judged))
}

pub(crate) fn synced() -> Ended {
    let users = [("alice", UserState::Synced), ("bob", UserState::Synced)];
    planned(judged(Judgement::Pass, Counts::default(), &users))
}

pub(crate) fn created(count: usize) -> Counts {
    Counts { steps: 2 * count, users_created: count, ..Counts::default() }
}

pub(crate) fn no_secret() -> UserState {
    UserState::SecretMissing(
        "no password in Secret \"user-bob-secret\", key \"password\": there is no such Secret, or no such key in it"
            .into(),
    )
}

pub(crate) fn one_waits() -> Ended {
    let users = [("alice", UserState::Synced), ("bob", no_secret()), ("carol", UserState::Synced)];
    planned(judged(Judgement::Pass, created(2), &users))
}

pub(crate) fn held() -> Ended {
    let why = "4 users would lose access (bob, carol, dave, erin), and MAX_DELETIONS allows 2 in one plan";
    let going = UserState::Removing("the plan that removes it waits for approval".into());
    let users = [("alice", UserState::Synced), ("bob", going.clone()), ("carol", going)];
    let counts = Counts { steps: 4, users_deleted: 4, ..Counts::default() };
    planned(judged(Judgement::Held { why: why.into() }, counts, &users))
}

pub(crate) fn failed(kind: FailureKind, message: &str) -> Ended {
    Ended::Failed { kind, message: message.into() }
}

/// The data as `kubectl describe` shows it.
pub(crate) fn described(data: &BTreeMap<String, String>) -> String {
    data.iter().map(|(key, text)| format!("{key}:\n----\n{text}\n")).collect()
}
