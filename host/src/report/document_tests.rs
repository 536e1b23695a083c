use proptest::prelude::*;

use super::super::fixture::{self, MORNING, facts};
use super::super::status::assess;
use super::super::{Approval, Ended, Facts, FailureKind};
use super::*;
use crate::printable::is_hazard;

fn fleet(count: usize, state: &UserState) -> BTreeMap<String, UserState> {
    (0..count).map(|number| (format!("user-{number:05}"), state.clone())).collect()
}

#[test]
fn labels_make_columns() {
    let status = assess(&facts(MORNING, fixture::held()), None);
    let labels = status.labels();
    assert_eq!(labels["rolewright.dev/ready"], "True");
    assert_eq!(labels["rolewright.dev/synced"], "False");
    assert_eq!(labels["rolewright.dev/held"], "True");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "rolewright");
}

#[test]
fn what_cannot_be_read_counts_as_absent() {
    let empty = Status::from_data(&BTreeMap::new());
    assert!(empty.conditions.is_empty() && empty.users.is_empty() && empty.summary.is_empty());
    let mut data = assess(&facts(MORNING, fixture::one_waits()), None).to_data();
    data.insert(CONDITIONS.into(), "- type: Ready\n  status: Maybe\n  lastTransitionTime: x\n".into());
    data.insert(OBSERVED.into(), "users: many".into());
    let read = Status::from_data(&data);
    assert!(read.conditions.is_empty() && read.observed.plan.is_none());
    assert_eq!(read.users.len(), 3, "the rest is as it was");
}

#[test]
fn an_interval_that_nobody_waits_is_read_without_harm() {
    let mut data = assess(&facts(MORNING, fixture::one_waits()), None).to_data();
    let observed = data[OBSERVED].replace("syncIntervalSeconds: 30", &format!("syncIntervalSeconds: {}", u64::MAX));
    data.insert(OBSERVED.into(), observed);
    // It is reckoned with by whoever looks whether a report is late.
    assert!(Status::from_data(&data).observed.interval.checked_mul(1_000).is_some());
}

#[test]
fn a_fleet_has_room() {
    let text = users_text(&fleet(10_000, &UserState::Synced), MAX_USERS);
    assert_eq!(text.lines().count(), 10_000);
    // Everybody is named, and as many words as there is room for.
    let text = users_text(&fleet(10_000, &fixture::no_secret()), MAX_USERS);
    assert!(text.len() <= MAX_USERS, "{}", text.len());
    assert_eq!(text.lines().count(), 10_000);
    assert!(text.lines().next().is_some_and(|line| line.contains("there is no such Secret")), "{text:.200}");
    assert_eq!(text.lines().last(), Some("user-09999: SecretMissing"));
}

#[test]
fn whoever_has_no_room_is_counted_and_the_synced_go_first() {
    let mut users = fleet(100, &UserState::Synced);
    users.insert("zoe".into(), UserState::Failed("no right".into()));
    let text = users_text(&users, 400);
    insta::assert_snapshot!(text, @r#"
    zoe: "Failed: no right"
    user-00000: Synced
    user-00001: Synced
    user-00002: Synced
    user-00003: Synced
    user-00004: Synced
    user-00005: Synced
    user-00006: Synced
    user-00007: Synced
    user-00008: Synced
    # and 91 more users, all of them synced
    "#);
    let text = users_text(&fleet(100, &UserState::Failed("no right".into())), 240);
    insta::assert_snapshot!(text, @r#"
    user-00000: Failed
    user-00001: Failed
    # and 98 more users, 98 of them not synced
    "#);
}

fn state() -> impl Strategy<Value = UserState> {
    prop_oneof![
        Just(UserState::Synced),
        any::<String>().prop_map(UserState::SecretMissing),
        any::<String>().prop_map(UserState::Failed),
        any::<String>().prop_map(UserState::Pending),
        any::<String>().prop_map(UserState::Removing),
        any::<String>().prop_map(UserState::Leaving),
    ]
}

proptest! {
    /// The next process knows what this one has told.
    #[test]
    fn a_status_reads_back_as_it_was_written(
        users in prop::collection::btree_map(any::<String>(), state(), 0..6),
        texts in prop::collection::vec(any::<String>(), 6),
        fails in any::<bool>(),
    ) {
        let mut judged = fixture::judged(super::super::Judgement::Pass, fixture::created(1), &[]);
        judged.users = users;
        let ended = if fails {
            Ended::Failed { kind: FailureKind::Other, message: texts[0].clone() }
        } else {
            fixture::planned(judged)
        };
        let mut facts = facts(MORNING.replace_nanosecond(0).unwrap(), ended);
        facts.source.clone_from(&texts[1]);
        facts.chain.modules = vec![texts[2].clone(), "standard".into()];
        facts.approval = Approval::Stale(texts[3].clone());
        facts.sync_now = Some(texts[4].clone());
        facts.instance.clone_from(&texts[5]);
        let facts: Facts = facts;
        let status = assess(&facts, None);
        let data = status.to_data();
        for text in data.values() {
            prop_assert!(!text.replace('\n', "").contains(is_hazard), "{text}");
        }
        prop_assert_eq!(Status::from_data(&data), status);
    }
}
