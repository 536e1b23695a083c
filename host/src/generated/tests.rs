//! When a Secret is written, with what, and when it is left alone.

use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

fn place() -> Address {
    Address { server: "db:5432".to_owned(), host: "db".to_owned(), port: 5432, database: "postgres".to_owned() }
}

fn nothing() -> Secret {
    Secret {
        state: SecretState::Missing,
        version: String::new(),
        changed_at: None,
        labels: BTreeMap::new(),
        password: None,
        problem: Some("not found".to_owned()),
        held: None,
    }
}

fn wish(rotate_every: Option<i64>) -> Generate {
    Generate { rotate_every, database: None }
}

fn decided(wish: &Generate, found: &Secret, now: i64) -> Decision {
    let whose = For { role: "app", renamed_from: None, wish, secret: "user-app-secret" };
    decide(whose, found, &place(), now, || Ok::<_, Infallible>(Password::new("another".to_owned()))).unwrap()
}

fn due(wish: &Generate, found: &Secret, now: i64) -> Due {
    match decided(wish, found, now) {
        Decision::Due(due) => *due,
        other => panic!("{other:?}"),
    }
}

/// The Secret after it was written.
fn written(due: &Due) -> Secret {
    let held = Held { annotations: due.annotations.clone(), data: due.data.clone() };
    Secret {
        state: SecretState::Present,
        version: "7".to_owned(),
        labels: [(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())].into(),
        password: Some(due.password.clone()),
        problem: None,
        held: Some(Arc::new(held)),
        ..nothing()
    }
}

fn altered(secret: &Secret, alter: impl FnOnce(&mut Held)) -> Secret {
    let mut held = Held::clone(secret.held.as_deref().unwrap());
    alter(&mut held);
    Secret { held: Some(Arc::new(held)), ..secret.clone() }
}

fn generated_at(secret: &Secret, at: &str) -> Secret {
    altered(secret, |held| {
        held.annotations.insert(GENERATED_AT.to_owned(), at.to_owned());
    })
}

#[test]
fn what_is_absent_is_made_once() {
    let due = due(&wish(None), &nothing(), NOW);
    assert_eq!((due.reason, due.next, due.over.clone()), (Reason::New, None, None));
    assert!(matches!(decided(&wish(None), &written(&due), NOW + 1_000 * HOUR), Decision::Kept(None)));
}

#[test]
fn a_secret_without_a_password_in_it_gets_one_over_that_very_version() {
    let made = due(&wish(None), &nothing(), NOW);
    let emptied = Secret { state: SecretState::Empty, password: None, ..written(&made) };
    let again = due(&wish(None), &emptied, NOW);
    assert_eq!((again.reason, again.over.as_deref()), (Reason::New, Some("7")));
}

#[test]
fn what_others_wrote_is_left_alone() {
    let foreign = Secret { held: None, ..written(&due(&wish(None), &nothing(), NOW)) };
    let without_the_key = Secret { version: "3".to_owned(), ..nothing() };
    for found in [foreign, without_the_key] {
        assert!(matches!(decided(&wish(Some(HOUR)), &found, NOW), Decision::Foreign(why) if why.contains("delete it")));
    }
    let made = written(&due(&wish(None), &nothing(), NOW));
    for (key, value) in [(SERVER, "other:5432"), (ROLE, "bob")] {
        let found = altered(&made, |held| {
            held.annotations.insert(key.to_owned(), value.to_owned());
        });
        assert!(matches!(decided(&wish(None), &found, NOW), Decision::Foreign(why) if why.contains(value)), "{key}");
    }
}

#[test]
fn whoever_is_renamed_keeps_the_secret() {
    let made = written(&due(&wish(None), &nothing(), NOW));
    let (wish, secret) = (wish(None), "user-app-secret");
    let whose = For { role: "app2", renamed_from: Some("app"), wish: &wish, secret };
    let make = || -> Result<Password, Infallible> { panic!("the password stays") };
    let Decision::Due(due) = decide(whose, &made, &place(), NOW, make).unwrap() else { panic!("the name is new") };
    assert_eq!((due.reason, due.annotations[ROLE].as_str()), (Reason::Repair, "app2"));
    assert_eq!(due.data["username"].as_slice(), b"app2");
}

#[test]
fn it_is_rotated_when_its_time_has_come_and_at_no_other() {
    let wish = wish(Some(24 * HOUR));
    let made = due(&wish, &nothing(), NOW);
    assert_eq!(made.next, Some(NOW + 24 * HOUR));
    let found = written(&made);
    assert!(
        matches!(decided(&wish, &found, NOW + 24 * HOUR - 1), Decision::Kept(Some(next)) if next == NOW + 24 * HOUR)
    );
    let rotated = due(&wish, &found, NOW + 24 * HOUR);
    assert_eq!(rotated.reason, Reason::Rotation(24 * HOUR));
    assert_eq!(rotated.password.reveal(), "another");
    assert_eq!(rotated.over.as_deref(), Some("7"), "nobody else's change is lost");
    assert!(matches!(decided(&wish, &written(&rotated), NOW + 24 * HOUR), Decision::Kept(_)));
}

#[test]
fn a_time_that_cannot_be_right_is_put_right_and_rotates_nothing() {
    let wish = wish(Some(HOUR));
    let found = written(&due(&wish, &nothing(), NOW));
    for at in ["2999-01-01T00:00:00Z", "yesterday", ""] {
        let repaired = due(&wish, &generated_at(&found, at), NOW);
        assert_eq!((repaired.reason, repaired.next), (Reason::Repair, Some(NOW + HOUR)), "{at}");
        assert!(matches!(decided(&wish, &written(&repaired), NOW), Decision::Kept(_)), "{at}");
    }
}

#[test]
fn what_was_edited_by_hand_is_repaired_but_for_the_password_which_is_used() {
    let found = written(&due(&wish(None), &nothing(), NOW));
    let no_host = altered(&found, |held| {
        held.data.remove("host");
    });
    let repaired = due(&wish(None), &no_host, NOW);
    assert_eq!((repaired.reason, repaired.data["host"].as_slice()), (Reason::Repair, b"db".as_slice()));
    let by_hand = Secret { password: Some(Password::new("by hand".to_owned())), ..found };
    let repaired = due(&wish(None), &by_hand, NOW);
    assert_eq!((repaired.reason, repaired.password.reveal()), (Reason::Repair, "by hand"));
    assert!(repaired.data["uri"].windows(9).any(|part| part == b"by%20hand"));
}

#[test]
fn what_is_foreseen_is_always_the_same_but_for_the_password() {
    let new = |now| due(&wish(None), &nothing(), now).foreseen(&nothing());
    assert_eq!((new(NOW).version, new(NOW).changed_at), (new(NOW + 5).version, new(NOW + 5).changed_at));
    let found = written(&due(&wish(Some(HOUR)), &nothing(), NOW));
    let rotated = due(&wish(Some(HOUR)), &found, NOW + HOUR).foreseen(&found);
    assert!(rotated.version != found.version && rotated.version != new(NOW).version);
}

#[test]
fn nothing_secret_is_shown() {
    let due = due(&wish(None), &nothing(), NOW);
    let shown = format!("{due:?} {:?} {:?}", due.foreseen(&nothing()), written(&due));
    assert!(!shown.contains("another"), "{shown}");
}

proptest! {
    /// However clocks go, back and forth: after each write all is well until a rotation is really due.
    #[test]
    fn no_clock_makes_it_write_twice(clocks in proptest::collection::vec(NOW - 5_000_000..NOW + 5_000_000, 1..20)) {
        let wish = wish(Some(48 * HOUR));
        let mut found = nothing();
        for now in clocks {
            if let Decision::Due(due) = decided(&wish, &found, now) {
                found = written(&due);
            }
            let kept = matches!(decided(&wish, &found, now), Decision::Kept(Some(next)) if next > now);
            prop_assert!(kept, "a second write, or none any more");
        }
    }
}
