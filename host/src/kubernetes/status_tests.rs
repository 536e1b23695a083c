//! Two that write the same status, one after the other's time.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::*;
use crate::kubernetes::stub::{Answer, Request, serve};
use crate::report::fixture;

/// Nothing here takes so long by itself.
const LONG: Duration = Duration::from_secs(60);

/// One ConfigMap with a version, which a writer has to know. Events are taken and forgotten.
#[derive(Default)]
struct Store {
    found: Option<Value>,
    version: u64,
}

impl Store {
    fn put(&mut self, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.found = Some(object.clone());
        object
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let failure =
            |code: u16| Answer::Whole(code, json!({"kind": "Status", "apiVersion": "v1", "code": code}).to_string());
        if !request.path.contains("/configmaps/") {
            return Answer::Whole(201, request.body.clone());
        }
        let known = self.found.as_ref().map(|found| found["metadata"]["resourceVersion"].clone());
        if request.method == "GET" {
            return self.found.as_ref().map_or_else(|| failure(404), |found| Answer::Whole(200, found.to_string()));
        }
        let object: Value = serde_json::from_str(&request.body).unwrap();
        match object["metadata"].get("resourceVersion") {
            Some(version) if Some(version) != known.as_ref() => failure(409),
            _ => Answer::Whole(200, self.put(object).to_string()),
        }
    }

    fn term(&self) -> Option<u32> {
        let data = serde_json::from_value(self.found.as_ref()?["data"].clone()).unwrap();
        Status::from_data(&data).observed.term
    }
}

fn facts(instance: &str, term: u32, ended: report::Ended) -> Facts {
    Facts { instance: instance.to_owned(), term: Some(term), ..fixture::facts(fixture::NOON, ended) }
}

struct World(Arc<Mutex<Store>>);

impl World {
    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reporter(&self, instance: &str) -> ClusterReporter {
        let store = Arc::clone(&self.0);
        let answer = move |request: &Request| store.lock().unwrap_or_else(PoisonError::into_inner).answer(request);
        ClusterReporter::new(serve(LONG, answer).client, "db", "users", instance, |_| {})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_later_leader_stays() {
    let world = World(Arc::default());
    let (one, other) = (world.reporter("one"), world.reporter("other"));
    one.report(facts("one", 1, fixture::synced())).await;
    assert_eq!(world.store().term(), Some(1));
    other.report(facts("other", 2, fixture::one_waits())).await;
    assert_eq!(world.store().term(), Some(2));

    // It has not heard of the other yet.
    one.report(facts("one", 1, fixture::held())).await;
    assert_eq!(world.store().term(), Some(2));
    // Nor if it has to read first.
    world.reporter("one").report(facts("one", 1, fixture::held())).await;
    assert_eq!(world.store().term(), Some(2));

    one.report(facts("one", 3, fixture::held())).await;
    assert_eq!(world.store().term(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_an_earlier_leader_and_what_was_altered_by_hand_are_replaced() {
    let world = World(Arc::default());
    let (one, other) = (world.reporter("one"), world.reporter("other"));
    other.report(facts("other", 2, fixture::synced())).await;
    // As if that one had come too late, and had not known how to look first.
    let late = report::assess(&facts("one", 1, fixture::held()), None);
    world.store().put(json!({"metadata": {"name": "users-status"}, "data": late.to_data()}));
    other.report(facts("other", 2, fixture::one_waits())).await;
    assert_eq!(world.store().term(), Some(2));

    world.store().found = None;
    other.report(facts("other", 2, fixture::synced())).await;
    assert_eq!(world.store().term(), Some(2));
    drop(one);
}
