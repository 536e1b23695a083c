//! The status ConfigMap, and with it the Events: writes down what `report` makes of a cycle. What was
//! told before is read once, so that a new process neither repeats it nor moves the times of
//! conditions; then it is remembered.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::events::Events;
use super::words::{self, Access};
use crate::report::{self, Facts, Notice, Reporter, Status};

/// Owner of the fields of the status.
const FIELD_MANAGER: &str = "rolewright";

/// An unchanged status is written this often all the same: so that somebody who looks at it sees that
/// it is alive, and what was deleted or altered by hand comes back.
const REWRITE: time::Duration = time::Duration::minutes(10);

/// A request is given up after this long.
const LIMIT: Duration = Duration::from_secs(5);

/// So many Events are kept for later while they cannot be written; older ones are dropped.
const KEPT: usize = 20;

/// The name of the status of a ConfigMap.
pub fn status_name(configmap: &str) -> String {
    format!("{configmap}-status")
}

/// Reads what a controller wrote about this ConfigMap; `None`: nothing.
///
/// # Errors
/// In words, where it cannot be read.
pub async fn read(client: &kube::Client, namespace: &str, configmap: &str) -> Result<Option<Status>, String> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = status_name(configmap);
    match in_time(api.get_opt(&name)).await {
        Ok(found) => Ok(found.and_then(|found| found.data).map(|data| Status::from_data(&data))),
        Err(error) => {
            let access = Access { verb: "get", group: "", resource: "configmaps", name: Some(&name), namespace };
            Err(words::explain(&error, &access))
        }
    }
}

/// Keeps a status ConfigMap and writes Events, both beside the ConfigMap that they are about.
pub struct ClusterReporter {
    api: Api<ConfigMap>,
    namespace: String,
    /// Of the status.
    name: String,
    events: Events,
    memory: Mutex<Memory>,
    forgotten: AtomicBool,
    on_error: Box<dyn Fn(&'static str) + Send + Sync>,
}

/// What was told.
#[derive(Default)]
struct Memory {
    /// How things stood when last told; `None`: that has to be read.
    previous: Option<Status>,
    /// The resourceVersion of that; `None`: there was nothing.
    version: Option<String>,
    /// When that was written; `None`: it still has to be.
    written: Option<OffsetDateTime>,
    /// Events that still have to be written, and when they happened.
    waiting: VecDeque<(Notice, Timestamp)>,
    status_trouble: Trouble,
    event_trouble: Trouble,
}

/// What became of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is written, or cannot be for a reason that the log has.
    Done,
    /// The API server cannot be reached.
    Away,
    /// What was to be replaced is not there any more.
    Refused,
    /// Somebody has told who came to lead later.
    Outrun,
}

/// Whether what is there was written by somebody who came to lead after us, and still reports: a Lease
/// that was made anew may count its terms anew.
fn is_later(found: Option<&Status>, ours: &Status) -> bool {
    let (Some(found), ours) = (found.map(|status| &status.observed), &ours.observed) else { return false };
    let reports = ours.last_cycle - found.last_cycle < REWRITE + found.interval * 2;
    found.instance != ours.instance && ours.term.is_some_and(|ours| found.term > Some(ours)) && reports
}

/// What was complained of last: a missing right, in words, or anything else.
#[derive(Default)]
struct Trouble(Option<String>);

impl ClusterReporter {
    /// Reports about this ConfigMap as the process of this identity. `on_error` is called with
    /// `status` or `event` for every request that fails. Nothing is read or written yet.
    pub fn new(
        client: kube::Client,
        namespace: &str,
        configmap: &str,
        identity: &str,
        on_error: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> ClusterReporter {
        ClusterReporter {
            api: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            name: status_name(configmap),
            events: Events::new(client, namespace, configmap, identity),
            memory: Mutex::default(),
            forgotten: AtomicBool::new(false),
            on_error: Box::new(on_error),
        }
    }

    async fn write_down(&self, facts: Facts) {
        let mut memory = self.memory.lock().await;
        if self.forgotten.swap(false, Ordering::Relaxed) {
            (memory.previous, memory.written) = (None, None);
        }
        // A server that does not answer is not asked three times.
        let reachable = memory.previous.is_some() || self.recall(&mut memory).await;
        let status = report::assess(&facts, memory.previous.as_ref());
        self.take_note(&facts, &status, &mut memory);
        let same = memory.previous.as_ref().is_some_and(|previous| status.says_the_same(previous));
        let fresh = memory.written.is_some_and(|written| (facts.now - written).abs() < REWRITE);
        if !(same && fresh) {
            memory.written = None;
        }
        let told = match memory.written {
            Some(_) => Told::Done,
            None if reachable => self.write(&status, &mut memory).await,
            None => Told::Away,
        };
        if told == Told::Outrun {
            // What it says is of the past, and so are the Events.
            *memory = Memory::default();
            return;
        }
        let reachable = reachable && told == Told::Done;
        memory.previous = Some(status);
        if reachable {
            self.write_events(&mut memory).await;
        }
    }

    fn take_note(&self, facts: &Facts, status: &Status, memory: &mut Memory) {
        let now = Timestamp::from_nanosecond(facts.now.unix_timestamp_nanos()).unwrap_or_default();
        for (number, notice) in report::notices(facts, memory.previous.as_ref(), status).into_iter().enumerate() {
            // Events are named by their time: no two of them have the same.
            let later = now.checked_add(Duration::from_micros(number as u64)).unwrap_or(now);
            memory.waiting.push_back((notice, later));
        }
        let excess = memory.waiting.len().saturating_sub(KEPT);
        memory.waiting.drain(..excess);
    }

    /// Reads what was told before. Whether the API server can be reached.
    async fn recall(&self, memory: &mut Memory) -> bool {
        match in_time(self.api.get_opt(&self.name)).await {
            Ok(found) => {
                memory.version = found.as_ref().and_then(|found| found.metadata.resource_version.clone());
                memory.previous = found.and_then(|found| found.data).map(|data| Status::from_data(&data));
                true
            }
            Err(error) => self.failed(&error, "get", &mut memory.status_trouble),
        }
    }

    /// Writes the status over the one that was seen last. If that is not there any more: over the one that
    /// is, unless somebody wrote it who came to lead after us.
    async fn write(&self, status: &Status, memory: &mut Memory) -> Told {
        if is_later(memory.previous.as_ref(), status) {
            return Told::Outrun;
        }
        let seen = memory.version.clone();
        let told = self.write_over(status, memory).await;
        let Told::Refused = told else { return told };
        let mut now = Memory::default();
        if !self.recall(&mut now).await || now.version == seen {
            return Told::Done;
        }
        if is_later(now.previous.as_ref(), status) {
            return Told::Outrun;
        }
        memory.version = now.version;
        match self.write_over(status, memory).await {
            // The next cycle tries again.
            Told::Refused => Told::Done,
            told => told,
        }
    }

    async fn write_over(&self, status: &Status, memory: &mut Memory) -> Told {
        let configmap = ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(status.labels()),
                resource_version: memory.version.clone(),
                ..ObjectMeta::default()
            },
            data: Some(status.to_data()),
            ..ConfigMap::default()
        };
        let (parameters, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&configmap));
        match in_time(self.api.patch(&self.name, &parameters, &patch)).await {
            Ok(written) => {
                memory.version = written.metadata.resource_version;
                memory.written = Some(status.observed.last_cycle);
                memory.status_trouble.is_over("the status can be written again");
                Told::Done
            }
            // Somebody wrote it since, or it was deleted.
            Err(kube::Error::Api(answer)) if memory.version.is_some() && [404, 409].contains(&answer.code) => {
                Told::Refused
            }
            Err(error) if self.failed(&error, "patch", &mut memory.status_trouble) => Told::Done,
            Err(_) => Told::Away,
        }
    }

    /// Whether the API server can be reached all the same.
    fn failed(&self, error: &kube::Error, verb: &'static str, trouble: &mut Trouble) -> bool {
        (self.on_error)("status");
        let (name, namespace) = (Some(self.name.as_str()), self.namespace.as_str());
        let access = Access { verb, group: "", resource: "configmaps", name, namespace };
        trouble.complain(error, &access, "the status is not up to date");
        matches!(error, kube::Error::Api(_))
    }

    async fn write_events(&self, memory: &mut Memory) {
        let uid = memory.previous.as_ref().and_then(|status| status.observed.revision.as_ref());
        let uid = uid.map(|revision| revision.uid.clone());
        while let Some((notice, at)) = memory.waiting.front() {
            let Err(error) = in_time(self.events.write(notice, uid.as_deref(), *at)).await else {
                memory.waiting.pop_front();
                memory.event_trouble.is_over("Events can be written again");
                continue;
            };
            (self.on_error)("event");
            let (group, namespace) = ("events.k8s.io", self.namespace.as_str());
            let access = Access { verb: "create", group, resource: "events", name: None, namespace };
            memory.event_trouble.complain(&error, &access, "what they would say is in the log");
            if words::is_transient(&error) {
                return;
            }
            // It would be refused the next time as well.
            memory.waiting.pop_front();
        }
    }
}

impl Reporter for ClusterReporter {
    fn report(&self, facts: Facts) -> BoxFuture<'_, ()> {
        self.write_down(facts).boxed()
    }

    fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }
}

impl Trouble {
    fn complain(&mut self, error: &kube::Error, access: &Access<'_>, so: &str) {
        let words = words::explain(error, access);
        // Of a server that is away, each error is put differently.
        let what = if words::is_forbidden(error) { words.clone() } else { String::new() };
        if self.0.as_ref() != Some(&what) {
            tracing::warn!("{words}; {so}");
        }
        self.0 = Some(what);
    }

    fn is_over(&mut self, so: &str) {
        if self.0.take().is_some() {
            tracing::info!("{so}");
        }
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    tokio::time::timeout(LIMIT, request).await.unwrap_or_else(|_| Err(words::timed_out(LIMIT)))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
