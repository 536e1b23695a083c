//! Which of several controllers leads: whoever holds the Lease. A lease alone is no fence, since a
//! process can sleep through its end; that two never change the same server is seen to by the
//! database. So a leader that cannot reach the API server goes on: another that takes the Lease over
//! claims the database first, and the old one is told there.
//!
//! What to do next is decided in [`candidate`]; here it is done.

mod candidate;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{Patch, PatchParams};
use rand::Rng as _;
use tokio::sync::watch;

use self::candidate::{Action, Candidate, Record, Write};
use super::words::{self, Access};
use crate::report::Lead;

/// Under this name the Lease is renewed and taken over.
const FIELD_MANAGER: &str = "rolewright";

/// A standby looks so many times while a Lease lasts: the later it sees the last renewal, the later
/// it takes over.
const LOOKS: u32 = 10;

/// After somebody else was faster.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);

/// How long giving up may take: the process is about to end.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long an answer for `rolewright status` may take.
const ASKING: Duration = Duration::from_secs(5);

/// Reads who leads; `None`: there is no such Lease.
///
/// # Errors
/// In words, where it cannot be read.
pub async fn read(client: &kube::Client, namespace: &str, name: &str) -> Result<Option<Lead>, String> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let found = match tokio::time::timeout(ASKING, api.get_opt(name)).await {
        Ok(answer) => answer,
        Err(_) => Err(words::timed_out(ASKING)),
    };
    let (group, resource) = ("coordination.k8s.io", "leases");
    let found = found.map_err(|error| {
        words::explain(&error, &Access { verb: "get", group, resource, name: Some(name), namespace })
    })?;
    Ok(found.and_then(|lease| lease.spec).map(|spec| Lead {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        renewed: spec
            .renew_time
            .and_then(|time| time::OffsetDateTime::from_unix_timestamp_nanos(time.0.as_nanosecond()).ok()),
        seconds: spec.lease_duration_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0),
    }))
}

/// Whether this process leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does. `transitions` of the Lease grows with every new term, whosesoever.
    Leader {
        /// How often the Lease has changed hands.
        transitions: u32,
    },
    /// It does not.
    Follower {
        /// Identity of the one that does, as far as known.
        leader: Option<String>,
    },
    /// Nobody knows: why, and what to do about it.
    Unknown(String),
}

/// What the owner of an election wants of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wish {
    demotions: u64,
    /// The latest term that another was found with.
    later: Option<u32>,
    resigned: bool,
}

/// Takes part in the election as long as a clone of this lives.
#[derive(Clone)]
pub struct Election(Arc<Shared>);

struct Shared {
    standing: watch::Receiver<Standing>,
    wish: watch::Sender<Wish>,
    /// What [`Election::standing`] last returned.
    told: Mutex<Option<Standing>>,
}

impl Election {
    /// Begins to campaign, in a task of its own. `identity` must be unlike that of every other process.
    /// The Lease lasts `duration`, rounded up to whole seconds, and is renewed every third of it.
    /// `on_error` is called for every request that fails.
    ///
    /// Must be called within a tokio runtime.
    pub fn start(
        client: kube::Client,
        namespace: String,
        name: String,
        identity: String,
        duration: Duration,
        on_error: impl Fn() + Send + Sync + 'static,
    ) -> Election {
        let unasked = Standing::Unknown(format!("the Lease {name:?} has not been asked for yet"));
        let (standing, told) = watch::channel(unasked);
        let (wish, wishes) = watch::channel(Wish::default());
        let candidate = Candidate::new(&identity, duration);
        // As asked for, also where the Lease itself lasts longer for being counted in whole seconds.
        let interval = (duration / 3).clamp(Duration::from_millis(50), candidate.duration() / 3);
        let campaign = Campaign {
            api: Api::namespaced(client, &namespace),
            namespace,
            name,
            identity,
            interval,
            candidate,
            standing,
            trouble: None,
            failures: 0,
            on_error: Box::new(on_error),
        };
        tokio::spawn(campaign.run(wishes));
        Election(Arc::new(Shared { standing: told, wish, told: Mutex::new(None) }))
    }

    /// Whether this process leads, as far as it knows.
    ///
    /// It stops leading when the Lease is seen with another holder, when [`Election::demote`] says so,
    /// and by [`Election::resign`]; not by being unable to reach the API server.
    pub fn standing(&self) -> Standing {
        let standing = self.0.standing.borrow().clone();
        *self.0.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing.clone());
        standing
    }

    /// Waits until the standing differs from what [`Election::standing`] last returned, to whichever
    /// clone of this. Safe to drop at any time.
    pub async fn changed(&self) {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let differs = |standing: &Standing| told.as_ref() != Some(standing);
        if self.0.standing.clone().wait_for(differs).await.is_err() {
            // The campaign is over: it stays as it is.
            std::future::pending::<()>().await;
        }
    }

    /// The database knows another leader, with a term of this number: this process no longer leads
    /// until it comes to the Lease anew. If the Lease says that it is still ours, that takes an answer of
    /// the API server, and is a new term, with a higher number.
    ///
    /// Comes back once that is so: until it is heard, the owner would take itself for the leader. Safe to
    /// drop at any time.
    pub async fn demote(&self, by: Option<u32>) {
        let before = self.0.standing.borrow().clone();
        self.0.wish.send_modify(|wish| {
            wish.demotions += 1;
            wish.later = wish.later.max(by);
        });
        if matches!(before, Standing::Leader { .. }) {
            // An error: the campaign is over, and nobody changes it any more.
            let _ = self.0.standing.clone().wait_for(|standing| *standing != before).await;
        }
    }

    /// Gives the Lease up, so that another can take it at once, and stops to campaign for good.
    /// Takes three seconds at most, also if the API server cannot be reached.
    pub async fn resign(&self) {
        self.0.wish.send_modify(|wish| wish.resigned = true);
        // The task ends with that; waiting for its end is waiting for the other side of this.
        let _ = tokio::time::timeout(GOODBYE, self.0.wish.closed()).await;
    }
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Election").field(&*self.0.standing.borrow()).finish()
    }
}

/// What keeps the Lease from being read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    /// A right is missing, which does not pass by itself.
    forbidden: bool,
    words: String,
}

/// The task behind an [`Election`].
struct Campaign {
    api: Api<Lease>,
    namespace: String,
    name: String,
    identity: String,
    interval: Duration,
    candidate: Candidate,
    standing: watch::Sender<Standing>,
    trouble: Option<Trouble>,
    /// In a row.
    failures: u32,
    on_error: Box<dyn Fn() + Send + Sync>,
}

impl Campaign {
    /// Ends when the last handle is gone, or by resigning.
    async fn run(mut self, mut wishes: watch::Receiver<Wish>) {
        let mut demotions = 0;
        loop {
            let pause = tokio::select! {
                pause = self.turn() => Some(pause),
                _ = wishes.changed() => None,
            };
            if pause.is_none() {
                // What was under way may have happened or not.
                self.candidate.doubts();
            }
            self.publish();
            tokio::select! {
                () = tokio::time::sleep(pause.unwrap_or_default()) => {}
                _ = wishes.changed() => {}
            }
            let wish = *wishes.borrow_and_update();
            if wish.resigned {
                return self.resign().await;
            }
            if wishes.has_changed().is_err() {
                return;
            }
            if wish.demotions > demotions {
                demotions = wish.demotions;
                self.candidate.demote(wish.later);
                self.publish();
            }
        }
    }

    /// Does what is next, and says how long to do nothing after it.
    async fn turn(&mut self) -> Duration {
        match self.candidate.next(Instant::now(), Timestamp::now()) {
            Action::Read => match self.read().await {
                Ok(record) => {
                    self.recovered();
                    self.candidate.saw(record, Instant::now());
                    Duration::ZERO
                }
                Err(error) => self.failed(&error, "get"),
            },
            Action::Write(write) => match self.apply(&write).await {
                Ok(record) => {
                    self.recovered();
                    self.candidate.wrote(record, Instant::now());
                    self.interval
                }
                Err(error) if is_outrun(&error) => {
                    self.candidate.doubts();
                    AFTER_CONFLICT
                }
                Err(error) => self.failed(&error, if write.creates() { "create" } else { "patch" }),
            },
            Action::Wait(left) => {
                self.candidate.doubts();
                left.min(self.candidate.duration() / LOOKS)
            }
        }
    }

    async fn resign(&mut self) {
        let Some(mut write) = self.candidate.give_up(Timestamp::now()) else { return self.publish() };
        self.publish();
        let mut given_up = self.apply(&write).await;
        if given_up.as_ref().is_err_and(is_outrun)
            && let Ok(Some(record)) = self.read().await
            && record.holder == self.identity
        {
            // A renewal was under way, and got there first.
            write.record.version = record.version;
            given_up = self.apply(&write).await;
        }
        match given_up {
            Ok(_) => tracing::info!(lease = self.name, "gave up the Lease"),
            Err(error) => {
                (self.on_error)();
                let why = words::explain(&error, &self.access("patch"));
                tracing::warn!("{why}; another takes over when the Lease has run out");
            }
        }
    }

    async fn read(&self) -> Result<Option<Record>, kube::Error> {
        let lease = self.in_time(self.api.get_opt(&self.name)).await?;
        Ok(lease.map(|lease| self.record(lease)))
    }

    /// Server-side apply, so that a right to this one name is enough to create it. The version of the
    /// record that is replaced is the precondition; `force`, since the fields are those of whoever made
    /// the Lease. Where there must be none yet, the fields are claimed under a name of our own and
    /// without force: of two that do so at once, the second meets the fields of the first.
    async fn apply(&self, write: &Write) -> Result<Record, kube::Error> {
        let parameters = match write.creates() {
            true => PatchParams::apply(&manager_of(&self.identity)),
            false => PatchParams::apply(FIELD_MANAGER).force(),
        };
        let lease = lease(&self.name, &write.record);
        let patch = Patch::Apply(&lease);
        let lease = self.in_time(self.api.patch(&self.name, &parameters, &patch)).await?;
        Ok(self.record(lease))
    }

    async fn in_time<T>(&self, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
        let limit = (self.candidate.duration() / 3).clamp(Duration::from_secs(1), Duration::from_secs(10));
        tokio::time::timeout(limit, request).await.unwrap_or_else(|_| Err(words::timed_out(limit)))
    }

    fn record(&self, lease: Lease) -> Record {
        let version = lease.metadata.resource_version.unwrap_or_default();
        let spec = lease.spec.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Record {
            holder: spec.holder_identity.unwrap_or_default(),
            // Who does not say how long is given as long as we would take.
            duration: seconds.filter(|seconds| *seconds > 0).map_or(self.candidate.duration(), Duration::from_secs),
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            version,
        }
    }

    fn access(&self, verb: &'static str) -> Access<'_> {
        let (name, namespace) = (Some(self.name.as_str()), self.namespace.as_str());
        Access { verb, group: "coordination.k8s.io", resource: "leases", name, namespace }
    }

    /// Says once what is wrong, and how long to wait before the next try.
    fn failed(&mut self, error: &kube::Error, verb: &'static str) -> Duration {
        (self.on_error)();
        self.candidate.doubts();
        let forbidden = words::is_forbidden(error);
        let words = words::explain(error, &self.access(verb));
        // Of a server that is away each error is put differently, of a missing right only another one is.
        let told = |trouble: &Trouble| trouble.forbidden == forbidden && (!forbidden || trouble.words == words);
        if !self.trouble.as_ref().is_some_and(told) {
            let so = match (self.candidate.leads(), forbidden) {
                (Some(_), _) => "this process goes on as the leader until another takes over",
                (None, true) => "until then nobody can lead",
                (None, false) => "this process stands by meanwhile",
            };
            tracing::warn!(lease = self.name, "{words}; {so}");
        }
        self.trouble = Some(Trouble { forbidden, words });
        self.failures = self.failures.saturating_add(1);
        let longest = if forbidden { self.candidate.duration() } else { self.interval };
        let pause = (self.interval / 8).saturating_mul(1 << self.failures.min(8)).min(longest);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn recovered(&mut self) {
        self.failures = 0;
        if self.trouble.take().is_some() {
            tracing::info!(lease = self.name, "the Lease can be read and written again");
        }
    }

    /// Lets the owner know where we stand, if that has changed.
    fn publish(&self) {
        let trouble = self.trouble.as_ref().filter(|trouble| trouble.forbidden || !self.candidate.knows());
        let standing = match (self.candidate.leads(), trouble) {
            (Some(transitions), _) => Standing::Leader { transitions },
            (None, Some(trouble)) => Standing::Unknown(trouble.words.clone()),
            (None, None) if !self.candidate.knows() => return,
            (None, None) => Standing::Follower { leader: self.candidate.leader().map(str::to_owned) },
        };
        self.standing.send_if_modified(|told| {
            let moved = *told != standing;
            if moved {
                *told = standing;
            }
            moved
        });
    }
}

/// Whether somebody else was faster: the Lease is not the one that was seen, or not there any more.
fn is_outrun(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// A field manager's name has 128 bytes at most, and what tells two pods apart is at the end.
fn manager_of(identity: &str) -> String {
    let mut from = identity.len().saturating_sub(128 - FIELD_MANAGER.len() - 1);
    while !identity.is_char_boundary(from) {
        from += 1;
    }
    format!("{FIELD_MANAGER}-{}", &identity[from..])
}

fn lease(name: &str, record: &Record) -> Lease {
    let version = (!record.version.is_empty()).then(|| record.version.clone());
    let labels = [("app.kubernetes.io/managed-by".to_owned(), "rolewright".to_owned())];
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: version,
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(record.holder.clone()),
            lease_duration_seconds: i32::try_from(record.duration.as_secs()).ok(),
            acquire_time: record.acquired.map(MicroTime),
            renew_time: record.renewed.map(MicroTime),
            lease_transitions: i32::try_from(record.transitions).ok(),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_manager_is_no_longer_than_allowed_and_keeps_what_tells_pods_apart() {
        assert_eq!(manager_of("pod-a_0123abcd"), "rolewright-pod-a_0123abcd");
        let long = format!("{}_0123abcd", "ü".repeat(100));
        let manager = manager_of(&long);
        assert!(manager.len() <= 128 && manager.ends_with("ü_0123abcd"), "{manager}");
    }
}

#[cfg(test)]
#[path = "lease/election_tests.rs"]
mod election_tests;
