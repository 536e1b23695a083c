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
    Generate { rotate_every, alternate: None, database: None }
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
    assert!(matches!(decided(&wish(None), &written(&due), NOW + 1_000 * HOUR), Decision::Kept { next: None, .. }));
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
        matches!(decided(&wish, &found, NOW + 24 * HOUR - 1), Decision::Kept { next: Some(next), .. } if next == NOW + 24 * HOUR)
    );
    let rotated = due(&wish, &found, NOW + 24 * HOUR);
    assert_eq!(rotated.reason, Reason::Rotation(24 * HOUR));
    assert_eq!(rotated.password.reveal(), "another");
    assert_eq!(rotated.over.as_deref(), Some("7"), "nobody else's change is lost");
    assert!(matches!(decided(&wish, &written(&rotated), NOW + 24 * HOUR), Decision::Kept { .. }));
}

/// With a second login.
fn taking_turns() -> Generate {
    Generate { alternate: Some("app_b".to_owned()), ..wish(Some(HOUR)) }
}

fn whose(due: &Due) -> (&str, Option<&str>, &[u8]) {
    (due.login.as_str(), due.instead_of.as_deref(), due.data["username"].as_slice())
}

#[test]
fn two_logins_take_turns_at_each_rotation_and_at_nothing_else() {
    let wish = taking_turns();
    let first = due(&wish, &nothing(), NOW);
    assert_eq!((first.reason, whose(&first)), (Reason::New, ("app", None, b"app".as_slice())));
    let found = written(&first);
    let second = due(&wish, &found, NOW + HOUR);
    assert_eq!((second.reason, whose(&second)), (Reason::Rotation(HOUR), ("app_b", Some("app"), b"app_b".as_slice())));
    let found = written(&second);
    let kept = decided(&wish, &found, NOW + 2 * HOUR - 1);
    assert!(matches!(kept, Decision::Kept { login, next: Some(_) } if login == "app_b"));
    let no_host = altered(&found, |held| {
        held.data.remove("host");
    });
    let repaired = due(&wish, &no_host, NOW + HOUR);
    assert_eq!((repaired.reason, whose(&repaired)), (Reason::Repair, ("app_b", None, b"app_b".as_slice())));
    let emptied = Secret { password: None, ..found.clone() };
    let again = due(&wish, &emptied, NOW + HOUR);
    assert_eq!((again.reason, whose(&again)), (Reason::New, ("app_b", None, b"app_b".as_slice())));
    let third = due(&wish, &found, NOW + 2 * HOUR);
    assert_eq!(whose(&third), ("app", Some("app_b"), b"app".as_slice()));
}

#[test]
fn a_secret_whose_login_is_declared_no_more_is_written_for_the_user() {
    let found = written(&due(&taking_turns(), &written(&due(&taking_turns(), &nothing(), NOW)), NOW + HOUR));
    let other = Generate { alternate: Some("app_c".to_owned()), ..taking_turns() };
    for wish in [wish(None), wish(Some(HOUR)), other] {
        let back = due(&wish, &found, NOW + HOUR);
        assert_eq!((back.reason, whose(&back)), (Reason::Gone, ("app", None, b"app".as_slice())), "{wish:?}");
        assert_eq!(back.annotations.contains_key(LOGIN), wish.alternate.is_some());
        assert!(matches!(decided(&wish, &written(&back), NOW + HOUR), Decision::Kept { .. }));
    }
    // The user itself has no turn to lose.
    let first = written(&due(&taking_turns(), &nothing(), NOW));
    assert_eq!(due(&wish(Some(HOUR)), &first, NOW).reason, Reason::Repair);
}

#[test]
fn with_another_name_of_the_user_the_turn_stays() {
    let wish = taking_turns();
    let first = written(&due(&wish, &nothing(), NOW));
    let second = written(&due(&wish, &first, NOW + HOUR));
    for (found, login) in [(first, "api"), (second, "app_b")] {
        let whose = For { role: "api", renamed_from: Some("app"), wish: &wish, secret: "user-app-secret" };
        let make = || -> Result<Password, Infallible> { panic!("the password stays") };
        let Decision::Due(due) = decide(whose, &found, &place(), NOW, make).unwrap() else { panic!("new name") };
        assert_eq!((due.login.as_str(), due.instead_of, due.annotations[ROLE].as_str()), (login, None, "api"));
    }
}

#[test]
fn a_time_that_cannot_be_right_is_put_right_and_rotates_nothing() {
    let wish = wish(Some(HOUR));
    let found = written(&due(&wish, &nothing(), NOW));
    for at in ["2999-01-01T00:00:00Z", "yesterday", ""] {
        let repaired = due(&wish, &generated_at(&found, at), NOW);
        assert_eq!((repaired.reason, repaired.next), (Reason::Repair, Some(NOW + HOUR)), "{at}");
        assert!(matches!(decided(&wish, &written(&repaired), NOW), Decision::Kept { .. }), "{at}");
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
            let kept = matches!(decided(&wish, &found, now), Decision::Kept { next: Some(next), .. } if next > now);
            prop_assert!(kept, "a second write, or none any more");
        }
    }

    /// Whoever is asked when, it is the other's turn at each rotation, and the one before is told.
    #[test]
    fn turns_are_taken_by_rotations_alone(clocks in proptest::collection::vec(NOW..NOW + 20 * HOUR, 1..30)) {
        let wish = taking_turns();
        let (mut found, mut turn) = (nothing(), "app".to_owned());
        for now in clocks {
            match decided(&wish, &found, now) {
                Decision::Kept { login, .. } => prop_assert_eq!(&login, &turn),
                Decision::Due(due) => {
                    let is_rotation = matches!(due.reason, Reason::Rotation(_));
                    prop_assert_eq!(due.login != turn, is_rotation);
                    prop_assert_eq!(due.instead_of.clone(), is_rotation.then(|| turn.clone()));
                    turn = due.login.clone();
                    found = written(&due);
                }
                Decision::Foreign(why) => prop_assert!(false, "{}", why),
            }
        }
    }
}
