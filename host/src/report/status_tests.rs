//! How things stand, scene by scene, as `kubectl describe` shows it.

use time::OffsetDateTime;

use super::super::fixture::{self, MORNING, NOON, facts};
use super::*;
use crate::plan::Counts;

fn after(now: OffsetDateTime, ended: Ended, previous: Option<&Status>) -> Status {
    assess(&facts(now, ended), previous)
}

#[test]
fn a_target_as_declared_reads_well() {
    let status = after(MORNING, fixture::synced(), None);
    insta::assert_snapshot!("as_declared", fixture::described(&status.to_data()));
}

#[test]
fn a_user_without_secret_reads_well() {
    let status = after(MORNING, fixture::one_waits(), None);
    insta::assert_snapshot!("secret_missing", fixture::described(&status.to_data()));
}

#[test]
fn a_held_plan_reads_well() {
    let status = after(NOON, fixture::held(), Some(&after(MORNING, fixture::one_waits(), None)));
    insta::assert_snapshot!("held", fixture::described(&status.to_data()));
}

#[test]
fn every_sentence_reads_well() {
    let failed = |kind, message: &str| fixture::failed(kind, message);
    let no_users = fixture::judged(Judgement::Pass, Counts::default(), &[]);
    let bad =
        UserState::Failed("cannot grant role \"dba\": the controller lacks ADMIN OPTION on it; give it that".into());
    let several = [("alice", bad.clone()), ("bob", fixture::no_secret()), ("carol", UserState::Synced)];
    let alone = [("alice", bad)];
    let refused = Judgement::Refused {
        why: "the guard refuses the plan of policy \"naming\"; nothing was changed:\n  power-raised: \"bob\" would come to SUPERUSER".into(),
    };
    let mut blocked = fixture::judged(Judgement::Blocked, Counts::default(), &[]);
    blocked.findings = vec!["users.yaml:4:5: \"postgres\" is a protected role and cannot be managed as a user".into()];
    let mut dry = fixture::judged(Judgement::Pass, fixture::created(2), &[("alice", UserState::Synced)]);
    dry.acted = false;
    let scenes = [
        fixture::planned(no_users),
        fixture::planned(fixture::judged(Judgement::Pass, fixture::created(1), &several)),
        fixture::planned(fixture::judged(Judgement::Pass, fixture::created(1), &alone)),
        fixture::planned(fixture::judged(refused, fixture::created(1), &alone)),
        fixture::planned(fixture::judged(Judgement::Denied { by: vec!["naming".into()] }, fixture::created(1), &alone)),
        fixture::planned(blocked),
        fixture::planned(dry),
        failed(
            FailureKind::ConfigMapNotFound,
            "there is no ConfigMap \"postgres-users-config\" in namespace \"postgres\"; create it, or set CONFIGMAP_NAME and NAMESPACE",
        ),
        failed(FailureKind::InvalidSpec, "2 errors in users.yaml:\n4:5: unknown key `rolse`\n7:9: `roles` is a list"),
        failed(
            FailureKind::DatabaseUnavailable,
            "db.example.com:5432/postgres: nothing answers there (connection refused)",
        ),
        failed(FailureKind::PolicyFailed, "policy `naming` ran out of fuel in `validate`; its limit is 10 million"),
        Ended::Paused,
    ];
    let mut text = String::new();
    for ended in scenes {
        let status = after(MORNING, ended, None);
        text.push_str(&format!("{}\n", status.summary));
        for aspect in [Aspect::Ready, Aspect::Synced] {
            let it = status.condition(aspect).unwrap();
            text.push_str(&format!("    {} {} {}: {}\n", aspect.word(), it.status, it.reason, it.message));
        }
    }
    insta::assert_snapshot!("sentences", text);
}

#[test]
fn a_condition_keeps_its_time_as_long_as_its_status_stays() {
    let first = after(MORNING, fixture::synced(), None);
    let second = after(NOON, fixture::one_waits(), Some(&first));
    let at = |status: &Status, aspect| status.condition(aspect).unwrap().last_transition;
    assert_eq!(at(&second, Aspect::Ready), MORNING);
    assert_eq!(at(&second, Aspect::Synced), NOON);
    let evening = NOON + Duration::from_secs(6 * 3_600);
    let third = after(evening, fixture::held(), Some(&second));
    assert_eq!(at(&third, Aspect::Synced), NOON, "another reason for the same");
    assert_eq!(at(&third, Aspect::Held), evening);
}

#[test]
fn a_failed_cycle_keeps_what_was_known() {
    let before = after(MORNING, fixture::held(), None);
    let ended = fixture::failed(FailureKind::DatabaseUnavailable, "nothing answers there");
    let failed = assess(&Facts { revision: None, ..facts(NOON, ended) }, Some(&before));
    assert_eq!(failed.is(Aspect::Ready), Truth::False);
    assert_eq!(failed.is(Aspect::Synced), Truth::Unknown);
    assert_eq!(failed.is(Aspect::Held), Truth::True);
    assert_eq!((failed.users, failed.observed.revision), (before.users, before.observed.revision));
}

#[test]
fn a_converged_cycle_is_never_told_as_no_users() {
    let mut more = fixture::judged(Judgement::Pass, Counts::default(), &[]);
    more.users = [("alice".to_owned(), UserState::Synced), ("added-by-policy".to_owned(), UserState::Synced)].into();
    let before = after(MORNING, fixture::planned(more), None);
    let mut converged = fixture::judged(Judgement::Pass, Counts::default(), &[("alice", UserState::Synced)]);
    (converged.converged, converged.roles) = (true, None);
    let now = after(NOON, fixture::planned(converged), Some(&before));
    assert_eq!(now.summary, "PostgreSQL is as declared: 2 users and 3 roles.");
    assert!(now.says_the_same(&before), "nothing is to be written");
}

#[test]
fn only_the_time_of_the_last_cycle_is_not_worth_a_report() {
    let before = after(MORNING, fixture::synced(), None);
    let same = after(NOON, fixture::synced(), Some(&before));
    assert!(same.says_the_same(&before) && same != before);
    let other = assess(&Facts { instance: "other".into(), ..facts(NOON, fixture::synced()) }, Some(&before));
    assert!(!other.says_the_same(&before));
}

#[test]
fn a_used_approval_is_not_called_stale_for_staying_where_it_is() {
    let digest = fixture::DIGEST.to_owned();
    let used = Facts { approval: Approval::Used(digest.clone()), ..facts(MORNING, fixture::one_waits()) };
    let used = assess(&used, None);
    let stays = Facts { approval: Approval::Stale(digest.clone()), ..facts(NOON, fixture::synced()) };
    let stays = assess(&stays, Some(&used));
    assert_eq!((stays.observed.approved, stays.observed.stale_approval), (Some(digest), None));
}

#[test]
fn no_message_is_longer_than_its_place() {
    let long = "größe ".repeat(1_000);
    for ended in [
        fixture::failed(FailureKind::Other, &long),
        fixture::planned(fixture::judged(Judgement::Held { why: long.clone() }, fixture::created(1), &[])),
        fixture::planned(fixture::judged(
            Judgement::Refused { why: long.clone() },
            fixture::created(1),
            &[("a", UserState::Failed(long.clone()))],
        )),
    ] {
        let status = after(MORNING, ended, None);
        assert!(status.summary.len() <= MAX_MESSAGE);
        assert!(status.conditions.iter().all(|condition| condition.message.len() <= MAX_MESSAGE));
        assert!(status.users.values().all(|state| state.message().len() <= MAX_MESSAGE));
        if status.is(Aspect::Held) == Truth::True {
            assert!(status.summary.ends_with(fixture::DIGEST), "{}", status.summary);
        }
    }
}
