//! One list-and-watch that is kept going: what is there now, by name. It survives whatever API servers
//! do (connections that end, `410 Gone`, being away): kube's watcher lists and watches anew, with
//! pauses, and meanwhile what was known last is still known.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Error as WatchError, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kubernetes::ErrorCount;
use crate::kubernetes::words::{self, Access};

/// Pauses between two tries; the first is short, since most interruptions are.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A right that is missing is asked for again, after some tries not as often as a server that is away:
/// one that has just started refuses for a moment, one without the rule for ever.
const DENIED_PAUSE: Duration = Duration::from_secs(10);
const SOON_AGAIN: u32 = 5;

/// A server that has just started refuses everything, since it does not know yet who may do what. So
/// after a watch was refused it is listed again, and one that is refused within this time after that
/// was allowed is taken at its word.
const CONFIRMED: Duration = Duration::from_secs(10);

/// What is followed.
#[derive(Debug, Clone)]
pub(super) struct What {
    /// Plural, as in a Role: `secrets`.
    pub(super) resource: &'static str,
    pub(super) namespace: String,
    /// One object; else all, or those with the labels.
    pub(super) name: Option<String>,
    pub(super) labels: Option<String>,
}

impl What {
    fn access(&self, verb: &'static str) -> Access<'_> {
        let name = self.name.as_deref();
        Access { verb, group: "", resource: self.resource, name, namespace: &self.namespace }
    }

    fn selection(&self) -> watcher::Config {
        let mut selection = watcher::Config::default();
        if let Some(name) = &self.name {
            // A right that is confined to names asks for just this selector.
            selection = selection.fields(&format!("metadata.name={name}"));
        }
        match &self.labels {
            Some(labels) => selection.labels(labels),
            None => selection,
        }
    }

    fn key(&self) -> String {
        format!("{} {}", self.resource, self.name.as_deref().unwrap_or("*"))
    }
}

/// How a first answer came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// What is there is known, now or from before.
    Known,
    /// It may be listed and not watched.
    Unwatchable,
    /// It may not be listed; the words name the missing right.
    Denied(String),
    /// There was no answer yet, and why.
    Away(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Starting(Option<String>),
    Denied(String),
    Known,
    Unwatchable,
}

/// Objects by name, each with the version in which it is known.
struct Known<V> {
    objects: BTreeMap<String, (String, V)>,
    /// Those of a listing that is not complete yet.
    listing: BTreeMap<String, (String, V)>,
}

/// A running list-and-watch. It ends when dropped.
pub(super) struct Follow<V> {
    known: Arc<Mutex<Known<V>>>,
    phase: watch::Receiver<Phase>,
    /// Whether somebody went away without an answer, and wants to hear of it.
    missed: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl<V> Drop for Follow<V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<V: Clone + Send + 'static> Follow<V> {
    /// Begins. `keep` makes what is kept of an object; `changed` is called with the name of every
    /// object that comes, goes or differs, and with none when an answer comes that somebody waited for
    /// in vain.
    pub(super) fn start<K>(
        api: Api<K>,
        what: What,
        link: Arc<Link>,
        keep: impl Fn(K) -> V + Send + 'static,
        changed: impl Fn(Option<&str>) + Send + 'static,
    ) -> Follow<V>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        K::DynamicType: Default + Eq + Hash + Clone,
    {
        let known = Arc::new(Mutex::new(Known { objects: BTreeMap::new(), listing: BTreeMap::new() }));
        let (phase, receiver) = watch::channel(Phase::Starting(None));
        let store = Arc::clone(&known);
        let missed = Arc::new(AtomicBool::new(false));
        let waited_for = Arc::clone(&missed);
        let task = tokio::spawn(async move {
            let key = what.key();
            let begin = || watcher(api.clone(), what.selection()).backoff(Pauses::default()).boxed();
            let (mut events, mut refused, mut allowed_again) = (begin(), false, None::<Instant>);
            let mut denials = 0;
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let listed = matches!(event, Event::InitDone);
                        let watched = matches!(event, Event::Apply(_) | Event::Delete(_));
                        let mut moved = lock(&store).take(event, &keep);
                        if listed {
                            denials = 0;
                            if std::mem::take(&mut refused) {
                                allowed_again = Some(Instant::now());
                            }
                            if phase.send_replace(Phase::Known) != Phase::Known {
                                // The first listing is what was waited for: no change.
                                moved.clear();
                            }
                            link.is_back(&key);
                            if waited_for.swap(false, Ordering::SeqCst) {
                                changed(None);
                            }
                        } else if watched {
                            link.is_back(&key);
                        }
                        moved.iter().for_each(|name| changed(Some(name)));
                    }
                    Err(error) => {
                        let confirmed = allowed_again.is_some_and(|at| at.elapsed() < CONFIRMED);
                        match tell(&error, confirmed, &what, &key, &link, &phase) {
                            Next::GoOn => {}
                            Next::Later => {
                                denials += 1;
                                if denials > SOON_AGAIN {
                                    tokio::time::sleep(DENIED_PAUSE.mul_f64(rand::random_range(0.5..1.0))).await;
                                }
                            }
                            Next::Anew => {
                                refused = true;
                                tokio::time::sleep(FIRST_PAUSE).await;
                                events = begin();
                            }
                            Next::End => return,
                        }
                    }
                }
            }
        });
        Follow { known, phase: receiver, missed, task }
    }

    /// Waits for a first answer, until the deadline.
    pub(super) async fn settled(&self, deadline: Instant) -> Settled {
        let mut phase = self.phase.clone();
        let answer = phase.wait_for(|phase| !matches!(phase, Phase::Starting(_)));
        let phase = match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(phase)) => phase.clone(),
            // The task ended; it does so only once nothing may be watched.
            Ok(Err(_)) => Phase::Unwatchable,
            Err(_) => self.phase.borrow().clone(),
        };
        let phase = if matches!(phase, Phase::Known | Phase::Unwatchable) {
            phase
        } else {
            self.missed.store(true, Ordering::SeqCst);
            // It may have come just now.
            self.phase.borrow().clone()
        };
        match phase {
            Phase::Known => Settled::Known,
            Phase::Unwatchable => Settled::Unwatchable,
            Phase::Denied(words) => Settled::Denied(words),
            Phase::Starting(trouble) => {
                Settled::Away(trouble.unwrap_or_else(|| "the API server has not answered yet".to_owned()))
            }
        }
    }

    /// What is known under this name.
    pub(super) fn get(&self, name: &str) -> Option<V> {
        lock(&self.known).objects.get(name).map(|(_, value)| value.clone())
    }
}

fn lock<V>(known: &Mutex<Known<V>>) -> MutexGuard<'_, Known<V>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<V> Known<V> {
    /// Takes one event in; gives the names of what differs from before.
    fn take<K: Resource>(&mut self, event: Event<K>, keep: &impl Fn(K) -> V) -> Vec<String> {
        match event {
            Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (name, version) = (object.name_any(), version(&object));
                self.listing.insert(name, (version, keep(object)));
                Vec::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.objects, std::mem::take(&mut self.listing));
                let versions = |objects: &BTreeMap<String, (String, V)>| -> BTreeSet<(String, String)> {
                    objects.iter().map(|(name, (version, _))| (name.clone(), version.clone())).collect()
                };
                let names: BTreeSet<String> = versions(&before)
                    .symmetric_difference(&versions(&self.objects))
                    .map(|(name, _)| name.clone())
                    .collect();
                names.into_iter().collect()
            }
            Event::Apply(object) => {
                let (name, version) = (object.name_any(), version(&object));
                if self.objects.get(&name).is_some_and(|(known, _)| *known == version) {
                    return Vec::new();
                }
                self.objects.insert(name.clone(), (version, keep(object)));
                vec![name]
            }
            Event::Delete(object) => {
                let name = object.name_any();
                self.objects.remove(&name).map(|_| name).into_iter().collect()
            }
        }
    }
}

/// Changes with every writing of the object, and when it is made anew under the same name.
pub(super) fn version<K: Resource>(object: &K) -> String {
    let metadata = object.meta();
    let (uid, version) = (metadata.uid.as_deref(), metadata.resource_version.as_deref());
    format!("{}/{}", uid.unwrap_or_default(), version.unwrap_or_default())
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The watcher tries again.
    GoOn,
    /// The same, and not soon.
    Later,
    /// Listed again first.
    Anew,
    /// There is no use in going on.
    End,
}

/// Says what went wrong, once.
fn tell(
    error: &WatchError,
    confirmed: bool,
    what: &What,
    key: &str,
    link: &Link,
    phase: &watch::Sender<Phase>,
) -> Next {
    let (verb, cause) = match error {
        WatchError::InitialListFailed(cause) => ("list", cause),
        WatchError::WatchStartFailed(cause) | WatchError::WatchFailed(cause) => ("watch", cause),
        WatchError::WatchError(status) if status.code == 410 => {
            tracing::debug!(what = key, "the watch has expired; listing anew");
            return Next::GoOn;
        }
        WatchError::WatchError(status) => {
            tracing::debug!(what = key, "the watch ended: {}", status.message);
            link.error("watch");
            return Next::GoOn;
        }
        WatchError::NoResourceVersion => {
            link.error("watch");
            return Next::GoOn;
        }
    };
    let message = words::explain(cause, &what.access(verb));
    let denied = words::is_forbidden(cause);
    // One that is refused again, as was to be expected, is no error.
    if !(denied && verb == "watch" && link.told_unwatchable()) {
        link.error(verb);
    }
    if denied && verb == "watch" {
        if !confirmed {
            tracing::debug!(what = key, "{message}; making sure of it");
            return Next::Anew;
        }
        link.may_not_watch(&message);
        phase.send_replace(Phase::Unwatchable);
        return Next::End;
    }
    if denied && *phase.borrow() != Phase::Known {
        phase.send_replace(Phase::Denied(message.clone()));
        // A missing right of one object says nothing of the way to the server.
        link.denied(key, &message);
        return Next::Later;
    } else {
        phase.send_if_modified(|phase| {
            let starting = matches!(phase, Phase::Starting(_) | Phase::Denied(_));
            if starting {
                *phase = Phase::Starting(Some(message.clone()));
            }
            starting
        });
    }
    link.is_away(key, &message);
    Next::GoOn
}

/// The way to the API server, as the watches see it: its loss is told once, and its return.
pub(super) struct Link {
    origin: String,
    away: Mutex<BTreeSet<String>>,
    denied: Mutex<BTreeSet<String>>,
    told_unwatchable: Mutex<bool>,
    errors: ErrorCount,
}

impl Link {
    pub(super) fn new(origin: String, errors: ErrorCount) -> Link {
        Link { origin, away: Mutex::default(), denied: Mutex::default(), told_unwatchable: Mutex::default(), errors }
    }

    pub(super) fn error(&self, operation: &'static str) {
        self.errors.count(operation);
    }

    pub(super) fn is_away(&self, key: &str, why: &str) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if away.is_empty() {
            tracing::warn!("{why}; until that works, what was last known of {} counts", self.origin);
        }
        away.insert(key.to_owned());
    }

    pub(super) fn denied(&self, key: &str, why: &str) {
        if self.denied.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned()) {
            tracing::warn!("{why}");
        }
    }

    pub(super) fn is_back(&self, key: &str) {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if away.remove(key) && away.is_empty() {
            tracing::info!("{} is being watched again", self.origin);
        }
    }

    /// What was followed is not wanted any more.
    pub(super) fn forget(&self, key: &str) {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn told_unwatchable(&self) -> bool {
        *self.told_unwatchable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn may_not_watch(&self, message: &str) {
        let mut told = self.told_unwatchable.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *told, true) {
            tracing::warn!("{message}; without it, changes are seen only every SYNC_INTERVAL");
        }
    }
}

/// Doubling pauses that begin anew after a success; which of two instances comes first is left to
/// chance.
struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses { next: FIRST_PAUSE }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }
}
