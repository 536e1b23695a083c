//! Stories: cycle after cycle, and what is told of them.

use time::OffsetDateTime;

use super::super::fixture::{self, DIGEST, MORNING, NOON, facts};
use super::super::status::assess;
use super::*;
use crate::plan::Counts;

/// A controller's memory, and what it has told.
#[derive(Default)]
struct Story {
    status: Option<Status>,
    told: Vec<Notice>,
}

impl Story {
    /// What is told of a cycle with these facts.
    fn tell(&mut self, facts: Facts) -> Vec<String> {
        let status = assess(&facts, self.status.as_ref());
        let told = notices(&facts, self.status.as_ref(), &status);
        // As the next process would know it.
        self.status = Some(Status::from_data(&status.to_data()));
        self.told.extend(told.clone());
        told.iter().map(|notice| format!("{:?} {}: {}", notice.kind, notice.reason, notice.message)).collect()
    }

    fn cycle(&mut self, ended: Ended) -> Vec<String> {
        self.tell(facts(MORNING, ended))
    }

    fn reasons(&mut self, ended: Ended) -> Vec<&'static str> {
        let before = self.told.len();
        self.cycle(ended);
        self.told[before..].iter().map(|notice| notice.reason).collect()
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn the_notices_read_well() {
    let mut story = Story::default();
    let mut text = String::new();
    let mut scene = |facts: Facts| {
        for line in story.tell(facts) {
            text.push_str(&line);
            text.push('\n');
        }
    };
    let at = |ended| facts(NOON, ended);
    scene(at(fixture::one_waits()));
    let bad =
        UserState::Failed("cannot grant role \"dba\": the controller lacks ADMIN OPTION on it; give it that".into());
    scene(at(fixture::planned(fixture::judged(Judgement::Pass, Counts::default(), &[("alice", bad)]))));
    scene(at(fixture::held()));
    scene(Facts { approval: Approval::Stale("sha256:beef".into()), ..at(fixture::held()) });
    let counts = Counts { steps: 8, users_deleted: 4, drift: 1, ..Counts::default() };
    let ran = fixture::planned(fixture::judged(Judgement::Pass, counts, &[("alice", UserState::Synced)]));
    scene(Facts { approval: Approval::Used(DIGEST.into()), ..at(ran) });
    let counts = Counts { steps: 1, users_updated: 1, drift: 1, ..Counts::default() };
    scene(at(fixture::planned(fixture::judged(Judgement::Pass, counts, &[("alice", UserState::Synced)]))));
    let mut blocked = fixture::judged(Judgement::Blocked, Counts::default(), &[]);
    blocked.findings = vec!["users.yaml:4:5: \"postgres\" is a protected role and cannot be managed as a user".into()];
    scene(at(fixture::planned(blocked)));
    scene(at(fixture::failed(FailureKind::InvalidSpec, "1 error in users.yaml:\n4:5: unknown key `rolse`")));
    scene(at(fixture::failed(
        FailureKind::ConfigMapNotFound,
        "there is no ConfigMap \"postgres-users-config\" in namespace \"postgres\"",
    )));
    scene(Facts { paused: true, ..at(Ended::Paused) });
    scene(at(fixture::synced()));
    insta::assert_snapshot!("notices", text);
}

#[test]
fn what_stays_as_it_is_is_told_once() {
    let mut story = Story::default();
    assert_eq!(story.reasons(fixture::held()), ["Held"]);
    assert_eq!(story.reasons(fixture::held()), NOTHING);
    let unreachable = || fixture::failed(FailureKind::DatabaseUnavailable, "nothing answers there");
    assert_eq!(story.reasons(unreachable()), ["SyncFailed"]);
    assert_eq!(story.reasons(unreachable()), NOTHING);
    assert_eq!(story.reasons(fixture::held()), NOTHING, "it was held all the time");
    assert_eq!(story.reasons(unreachable()), ["SyncFailed"]);
}

#[test]
fn another_held_plan_is_told() {
    let mut story = Story::default();
    story.cycle(fixture::held());
    let Ended::Planned(mut other) = fixture::held() else { panic!("it is planned") };
    other.digest = "sha256:other".into();
    assert_eq!(story.reasons(Ended::Planned(other)), ["Held"]);
}

#[test]
fn every_applied_plan_is_told_and_a_converged_target_is_not() {
    let mut story = Story::default();
    let applied = || fixture::planned(fixture::judged(Judgement::Pass, fixture::created(1), &[]));
    assert_eq!(story.reasons(applied()), ["Applied"]);
    assert_eq!(story.reasons(applied()), ["Applied"]);
    assert_eq!(story.reasons(fixture::synced()), NOTHING);
    let mut converged = fixture::judged(Judgement::Pass, Counts::default(), &[]);
    converged.converged = true;
    assert_eq!(story.reasons(fixture::planned(converged)), NOTHING);
}

#[test]
fn a_plan_of_nothing_but_drift_is_told_as_that_alone() {
    let counts = |steps, drift| Counts { steps, drift, users_updated: 1, ..Counts::default() };
    let cycle = |counts| fixture::planned(fixture::judged(Judgement::Pass, counts, &[]));
    let mut story = Story::default();
    assert_eq!(story.reasons(cycle(counts(2, 2))), ["DriftRepaired"]);
    assert_eq!(story.reasons(cycle(counts(2, 2))), ["DriftRepaired"], "whenever it happens");
    assert_eq!(story.reasons(cycle(counts(2, 1))), ["DriftRepaired", "Applied"]);
}

#[test]
fn a_fleet_without_secrets_is_one_notice() {
    let users = |count: usize| {
        let mut judged = fixture::judged(Judgement::Pass, Counts::default(), &[]);
        judged.users = (0..count).map(|number| (format!("user-{number:05}"), fixture::no_secret())).collect();
        fixture::planned(judged)
    };
    let mut story = Story::default();
    let told = story.cycle(users(10_000));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("Warning SecretMissing: 10000 users wait for their Secrets: user-00000, "), "{told:?}");
    assert!(told[0].ends_with("user-00009 and 9990 more"), "{told:?}");
    assert_eq!(story.reasons(users(9_000)), NOTHING, "fewer is good news");
    assert_eq!(story.reasons(users(10_000)), ["SecretMissing"]);
}

#[test]
fn a_user_that_fails_for_another_reason_is_told_again() {
    let fails = |why: &str| {
        let users = [("alice", UserState::Failed(why.into()))];
        fixture::planned(fixture::judged(Judgement::Pass, Counts::default(), &users))
    };
    let mut story = Story::default();
    assert_eq!(story.reasons(fails("no right")), ["SyncFailed"]);
    assert_eq!(story.reasons(fails("no right")), NOTHING);
    assert_eq!(story.reasons(fails("no such role")), ["SyncFailed"]);
}

#[test]
fn a_user_that_cannot_be_removed_is_told_and_one_that_waits_is_not() {
    let removing = |judgement, why: &str| {
        let users = [("bob", UserState::Removing(why.into()))];
        fixture::planned(fixture::judged(judgement, Counts::default(), &users))
    };
    let mut story = Story::default();
    assert_eq!(story.reasons(removing(Judgement::Held { why: "1 user".into() }, "the plan waits")), ["Held"]);
    let told = story.cycle(removing(Judgement::Pass, "cannot drop role \"bob\": it owns a subscription"));
    let sentence =
        "user bob could not be brought to what is declared: cannot drop role \"bob\": it owns a subscription";
    assert_eq!(told, [format!("Warning SyncFailed: {sentence}")]);
}

#[test]
fn a_configmap_that_is_gone_and_back_is_told_both_times() {
    let mut story = Story::default();
    story.cycle(fixture::synced());
    let gone = || fixture::failed(FailureKind::ConfigMapNotFound, "there is none");
    assert_eq!(story.reasons(gone()), ["ConfigMapNotFound"]);
    assert_eq!(story.reasons(gone()), NOTHING);
    assert_eq!(story.reasons(fixture::failed(FailureKind::InvalidSpec, "bad")), ["ConfigMapFound", "InvalidSpec"]);
    assert_eq!(story.reasons(fixture::synced()), NOTHING);
}

#[test]
fn no_notice_is_longer_than_an_event_takes() {
    let long = "größe ".repeat(1_000);
    let mut users = std::collections::BTreeMap::new();
    for number in 0..30 {
        users.insert(format!("u{number}"), UserState::Failed(long.clone()));
    }
    let mut judged = fixture::judged(Judgement::Held { why: long.clone() }, fixture::created(1), &[]);
    judged.users = users;
    let mut story = Story::default();
    story.tell(Facts {
        approval: Approval::Stale(long.clone()),
        ..facts(OffsetDateTime::UNIX_EPOCH, fixture::planned(judged))
    });
    story.cycle(fixture::failed(FailureKind::Other, &long));
    assert_eq!(story.told.len(), 4);
    assert!(story.told.iter().all(|notice| notice.message.len() <= MAX_NOTE));
    assert!(story.told[1].message.ends_with(DIGEST), "the command to copy is whole");
}

#[test]
fn a_refused_chain_is_told_once_and_so_is_the_one_that_is_taken() {
    let mut story = Story::default();
    let mut with = |digest: &str, problem: Option<&str>| {
        let quiet = fixture::planned(fixture::judged(Judgement::Pass, Counts::default(), &[]));
        let mut facts = facts(NOON, quiet);
        facts.chain.digest = digest.to_owned();
        facts.chain.problem = problem.map(str::to_owned);
        story.tell(facts)
    };
    assert!(with("sha256:1", None).iter().all(|told| !told.contains("Policies")));
    let refused = "Warning PoliciesRefused: the policies before it stay in force: it is no component";
    assert_eq!(with("sha256:1", Some("it is no component")), [refused]);
    assert_eq!(with("sha256:1", Some("it is no component")), NOTHING);
    assert_eq!(with("sha256:2", None), ["Normal PoliciesLoaded: a new policy chain is in force: standard and naming"]);
    assert_eq!(with("sha256:2", None), NOTHING);
}
