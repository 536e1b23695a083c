//! What no real API server does on request: to fall silent in the middle of a watch, and to fail for
//! one Secret of many. A few answers over HTTP stand in for one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::kubernetes::stub::{Answer, serve};
use crate::model::SecretState;

/// Nothing here takes so long by itself.
const LONG: Duration = Duration::from_secs(60);

fn source(connection: Connection, following: bool) -> Kubernetes {
    let source = Kubernetes::new(connection, "db", "users", SecretScope::ByName, following);
    Kubernetes { patience: Duration::from_secs(2), ..source }
}

fn secret(name: &str, version: u32) -> String {
    format!(
        r#"{{"kind":"Secret","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"db","uid":"u","resourceVersion":"{version}"}},"data":{{"password":"c2lsZW50LWxhbXA="}}}}"#
    )
}

/// Says that all is well so far.
fn bookmark() -> String {
    let object = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"resourceVersion":"1"}}"#;
    format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n")
}

fn list(items: &str) -> Answer {
    let metadata = r#""metadata":{"resourceVersion":"1"}"#;
    Answer::Whole(200, format!(r#"{{"kind":"SecretList","apiVersion":"v1",{metadata},"items":[{items}]}}"#))
}

fn reference(name: &str) -> SecretRef {
    SecretRef { name: name.to_owned(), key: "password".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_silent_is_begun_again() {
    let watches = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&watches);
    let connection = serve(Duration::from_millis(300), move |request| {
        if !request.path.contains("watch=true") {
            return list("");
        }
        match seen.fetch_add(1, Ordering::SeqCst) {
            // As over a connection whose other side is gone.
            0 => Answer::Begun(bookmark()),
            _ => Answer::Begun(format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", secret("alice", 2))),
        }
    });
    let source = source(connection, true);
    let wanted = BTreeSet::from([reference("alice")]);
    let found = source.read_secrets(&wanted).await.unwrap();
    assert_eq!(found[&reference("alice")].state, SecretState::Missing);

    tokio::time::timeout(LONG, source.changed()).await.expect("it noticed that nobody was there any more");

    let found = source.read_secrets(&wanted).await.unwrap();
    assert_eq!(found[&reference("alice")].state, SecretState::Present);
    assert!(watches.load(Ordering::SeqCst) > 1);
}

/// Fails for bob only.
fn fails_for_bob() -> Connection {
    serve(LONG, |request| {
        let path = &request.path;
        if path.contains("watch=true") {
            return Answer::Begun(bookmark());
        }
        match ["alice", "bob", "carol"].into_iter().find(|name| path.contains(&format!("metadata.name%3D{name}"))) {
            Some("bob") => Answer::Whole(
                500,
                r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"the object cannot be decrypted","reason":"InternalError","code":500}"#.into(),
            ),
            Some(name) => list(&secret(name, 1)),
            None => list(""),
        }
    })
}

async fn one_user_only(following: bool) {
    let source = source(fails_for_bob(), following);
    let wanted: BTreeSet<SecretRef> = ["alice", "bob", "carol"].map(reference).into();
    let found = source.read_secrets(&wanted).await.expect("the others can be read");
    for name in ["alice", "carol"] {
        assert_eq!(found[&reference(name)].state, SecretState::Present, "{name}");
    }
    let bob = &found[&reference("bob")];
    assert_eq!(bob.state, SecretState::Unreadable);
    assert!(bob.problem.as_ref().unwrap().contains("cannot be decrypted"), "{:?}", bob.problem);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_watched_secret_that_the_server_fails_on_concerns_one_user() {
    one_user_only(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_secret_asked_for_that_the_server_fails_on_concerns_one_user() {
    one_user_only(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_secret_can_be_read_there_is_no_source() {
    for following in [true, false] {
        let source = source(fails_for_bob(), following);
        let error = source.read_secrets(&BTreeSet::from([reference("bob")])).await.unwrap_err();
        assert!(error.to_string().contains("cannot be decrypted"), "{error}");
    }
}
