//! The election as its owner sees it, with an API server that agrees to everything.

use serde_json::Value;

use super::*;
use crate::kubernetes::stub::{Answer, Request, serve};

/// Nothing here takes so long by itself.
const LONG: Duration = Duration::from_secs(60);

/// There is no Lease, and what is written is so.
fn agree(request: &Request) -> Answer {
    if request.method == "GET" {
        let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#;
        return Answer::Whole(404, status.to_owned());
    }
    let mut lease: Value = serde_json::from_str(&request.body).unwrap();
    lease["metadata"]["resourceVersion"] = "1".into();
    Answer::Whole(200, lease.to_string())
}

/// On one thread, so that the campaign goes on only while this waits.
#[tokio::test(flavor = "current_thread")]
async fn whoever_is_demoted_does_not_take_itself_for_the_leader_any_more() {
    let client = serve(LONG, agree).client;
    let election = Election::start(client, "db".into(), "rolewright".into(), "one".into(), LONG, || {});
    while !matches!(election.standing(), Standing::Leader { .. }) {
        tokio::time::timeout(LONG, election.changed()).await.expect("nobody else wants the Lease");
    }
    let Standing::Leader { transitions } = election.standing() else { panic!("it led just now") };

    tokio::time::timeout(LONG, election.demote(Some(transitions + 1))).await.expect("it is heard");

    assert_ne!(election.standing(), Standing::Leader { transitions });
}
