//! The Secrets that users name: each followed by its name, or all of the namespace at once, or asked
//! for where they may not be watched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::ListParams;
use tokio::time::Instant;

use super::follow::{Follow, Settled, What};
use super::objects::Kept;
use super::{Kubernetes, SecretScope, WATCH_AGAIN, answered, secret_api};
use crate::kubernetes::words::{self, Access};
use crate::model::SecretState;
use crate::secret::{Secret, SecretRef, Secrets};
use crate::source::{SourceError, value};

/// Each watch is a connection of its own; beyond this, Secrets are asked for by name instead.
const MOST_WATCHES: usize = 250;

/// How many Secrets are asked for by name at a time.
const AT_ONCE: usize = 16;

/// How many Secrets a page of a list holds.
const PAGE: u32 = 500;

/// A list-and-watch of Secrets; clones share it.
type FollowedSecret = Arc<Follow<Arc<Kept>>>;

/// What is being followed.
#[derive(Default)]
pub(super) struct Followed {
    by_name: BTreeMap<String, FollowedSecret>,
    all: Option<FollowedSecret>,
    /// Names that users have: a change of any other Secret is of no interest.
    wanted: Arc<Mutex<BTreeSet<String>>>,
    /// Since how many readings they are asked for, as they may not be watched.
    asking: Option<u32>,
    told_of_many: bool,
}

impl Followed {
    /// What follows the Secret of this name, if anything does.
    pub(super) fn following(&self, name: &str) -> Option<FollowedSecret> {
        self.by_name.get(name).or(self.all.as_ref()).map(Arc::clone)
    }

    /// Whether they are asked for this time too. Now and then watching is tried again: the right may have
    /// been given since.
    fn asks(&mut self) -> bool {
        let Some(readings) = self.asking else { return false };
        self.asking = (readings + 1 < WATCH_AGAIN).then_some(readings + 1);
        self.asking.is_some()
    }
}

/// What was found under a name, or that it may not be read.
pub(super) type Found = Result<Option<Arc<Kept>>, String>;

impl Kubernetes {
    pub(super) async fn read_secrets(&self, wanted: &BTreeSet<SecretRef>) -> Result<Secrets, SourceError> {
        let names: BTreeSet<String> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
        let found = match &self.scope {
            SecretScope::ByName => self.by_name(&names).await?,
            SecretScope::Namespace { labels } if names.is_empty() => {
                tracing::trace!(labels, "no Secret is wanted");
                BTreeMap::new()
            }
            SecretScope::Namespace { labels } => self.of_namespace(&names, labels.as_deref()).await?,
        };
        let read = |wanted: &SecretRef| match found.get(&wanted.name) {
            Some(Ok(Some(kept))) => kept.read(&wanted.name, &wanted.key),
            Some(Err(denied)) => value::absent(SecretState::Unreadable, denied.clone()),
            Some(Ok(None)) | None => self.missing(&wanted.name),
        };
        Ok(wanted.iter().map(|wanted| (wanted.clone(), read(wanted))).collect())
    }

    fn missing(&self, name: &str) -> Secret {
        let narrowed = match &self.scope {
            SecretScope::Namespace { labels: Some(labels) } => {
                format!(" with the labels of SECRET_SELECTOR ({labels})")
            }
            _ => String::new(),
        };
        let problem = format!("Secret {name:?} not found in namespace {:?}{narrowed}", self.namespace);
        value::absent(SecretState::Missing, problem)
    }

    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, Followed> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without the right to watch.
    fn ask_from_now_on(&self) {
        let mut state = self.state();
        state.asking = Some(0);
        state.by_name.clear();
        state.all = None;
    }

    /// A watch for each name; those that are no longer wanted end.
    async fn by_name(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, SourceError> {
        let watched: Option<Vec<(String, FollowedSecret)>> = {
            let mut state = self.state();
            let too_many = names.len() > MOST_WATCHES;
            let asks = state.asks();
            if too_many && !std::mem::replace(&mut state.told_of_many, true) && self.following {
                tracing::warn!(
                    secrets = names.len(),
                    "users.yaml names more than {MOST_WATCHES} Secrets: they are asked for one by one in each cycle, and \
                     changes are seen only every SYNC_INTERVAL. Set SECRET_SELECTOR to list and watch them together"
                );
            }
            if !self.following || asks || too_many {
                for name in std::mem::take(&mut state.by_name).into_keys() {
                    self.link.forget(&format!("secrets {name}"));
                }
                None
            } else {
                state.by_name.retain(|name, _| {
                    let wanted = names.contains(name);
                    if !wanted {
                        self.link.forget(&format!("secrets {name}"));
                    }
                    wanted
                });
                for name in names {
                    if !state.by_name.contains_key(name) {
                        state.by_name.insert(name.clone(), Arc::new(self.follow(Some(name.clone()), None, None)));
                    }
                }
                Some(state.by_name.iter().map(|(name, follow)| (name.clone(), Arc::clone(follow))).collect())
            }
        };
        let Some(watched) = watched else { return self.ask_by_name(names).await };

        let deadline = Instant::now() + self.patience;
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let mut away = None;
        for (name, follow) in watched {
            match follow.settled(deadline).await {
                Settled::Known => {
                    let kept = follow.get(&name);
                    found.insert(name, Ok(kept));
                }
                Settled::Denied(words) => {
                    found.insert(name, Err(words));
                }
                Settled::Unwatchable => {
                    self.ask_from_now_on();
                    return self.ask_by_name(names).await;
                }
                Settled::Away(message) => {
                    found.insert(name, Err(message.clone()));
                    away = Some(message);
                }
            }
        }
        // One Secret that cannot be read concerns one user; all of them, that there is no source.
        match away {
            Some(message) if !found.values().any(Result::is_ok) => {
                Err(SourceError::Cluster { message, transient: true })
            }
            _ => Ok(found),
        }
    }

    /// One list-and-watch for all.
    async fn of_namespace(
        &self,
        names: &BTreeSet<String>,
        labels: Option<&str>,
    ) -> Result<BTreeMap<String, Found>, SourceError> {
        let follow = {
            let mut state = self.state();
            *state.wanted.lock().unwrap_or_else(PoisonError::into_inner) = names.clone();
            if !self.following || state.asks() {
                None
            } else if let Some(follow) = &state.all {
                Some(Arc::clone(follow))
            } else {
                let follow = Arc::new(self.follow(None, labels, Some(Arc::clone(&state.wanted))));
                state.all = Some(Arc::clone(&follow));
                Some(follow)
            }
        };
        let Some(follow) = follow else { return self.ask_for_all(names, labels).await };
        // A listing of many thousands takes its time.
        match follow.settled(Instant::now() + self.patience * 3).await {
            Settled::Known => Ok(names.iter().map(|name| (name.clone(), Ok(follow.get(name)))).collect()),
            Settled::Unwatchable => {
                self.ask_from_now_on();
                self.ask_for_all(names, labels).await
            }
            Settled::Denied(message) => Err(SourceError::Cluster { message, transient: false }),
            Settled::Away(message) => Err(SourceError::Cluster { message, transient: true }),
        }
    }

    fn follow(
        &self,
        name: Option<String>,
        labels: Option<&str>,
        wanted: Option<Arc<Mutex<BTreeSet<String>>>>,
    ) -> Follow<Arc<Kept>> {
        let api = secret_api(&self.connection, &self.namespace);
        let what =
            What { resource: "secrets", namespace: self.namespace.clone(), name, labels: labels.map(str::to_owned) };
        let wake = self.wake.clone();
        let changed = move |name: Option<&str>| {
            let matters = match (&wanted, name) {
                (Some(wanted), Some(name)) => wanted.lock().unwrap_or_else(PoisonError::into_inner).contains(name),
                (None, _) | (_, None) => true,
            };
            if matters {
                wake.up();
            }
        };
        Follow::start(api, what, Arc::clone(&self.link), |secret| Arc::new(Kept::new(secret)), changed)
    }

    /// One request for each name.
    async fn ask_by_name(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, Found>, SourceError> {
        let api = secret_api(&self.connection, &self.namespace);
        let ask = |name: String| {
            let api = api.clone();
            async move {
                let selection = ListParams::default().fields(&format!("metadata.name={name}"));
                let listed = answered(api.list(&selection)).await;
                (name, listed.map(|list| list.items.into_iter().next()))
            }
        };
        let answers: Vec<(String, Result<Option<SecretObject>, kube::Error>)> =
            stream::iter(names.iter().cloned().map(ask)).buffer_unordered(AT_ONCE).collect().await;
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let mut failed = None;
        let last = self.last().secrets.clone().filter(|_| self.following).unwrap_or_default();
        for (name, answer) in answers {
            let kept = match answer {
                Ok(secret) => Ok(secret.map(|secret| Arc::new(Kept::new(secret)))),
                Err(error) => {
                    self.link.error("list");
                    let message = words::explain(&error, &self.listing(Some(&name)));
                    if words::is_forbidden(&error) {
                        Err(message)
                    } else {
                        failed = Some((message.clone(), words::is_transient(&error)));
                        // What was read before counts, as long as that is all that is known.
                        last.get(&name).cloned().unwrap_or(Err(message))
                    }
                }
            };
            found.insert(name, kept);
        }
        match failed {
            Some((message, transient)) if !found.values().any(Result::is_ok) => {
                Err(SourceError::Cluster { message, transient })
            }
            Some((message, _)) => {
                self.link.is_away("secrets", &message);
                Ok(found)
            }
            None => {
                self.remember(&found);
                Ok(found)
            }
        }
    }

    /// Page by page.
    async fn ask_for_all(
        &self,
        names: &BTreeSet<String>,
        labels: Option<&str>,
    ) -> Result<BTreeMap<String, Found>, SourceError> {
        let api = secret_api(&self.connection, &self.namespace);
        let mut selection = ListParams::default().limit(PAGE);
        selection.label_selector = labels.map(str::to_owned);
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        loop {
            let page = match answered(api.list(&selection)).await {
                Ok(page) => page,
                Err(error) => {
                    self.link.error("list");
                    let message = words::explain(&error, &self.listing(None));
                    return self.remembered(names, message, words::is_transient(&error));
                }
            };
            for secret in page.items {
                let name = secret.metadata.name.clone().unwrap_or_default();
                if names.contains(&name) {
                    found.insert(name, Ok(Some(Arc::new(Kept::new(secret)))));
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => selection.continue_token = Some(token),
                None => break,
            }
        }
        for name in names {
            found.entry(name.clone()).or_insert(Ok(None));
        }
        self.remember(&found);
        Ok(found)
    }

    fn listing<'a>(&'a self, name: Option<&'a str>) -> Access<'a> {
        Access { verb: "list", group: "", resource: "secrets", name, namespace: &self.namespace }
    }

    fn remember(&self, found: &BTreeMap<String, Found>) {
        self.link.is_back("secrets");
        if self.following {
            self.last().secrets = Some(found.clone());
        }
    }

    /// Where the API server is away, what it said last counts, if that answers for every name.
    fn remembered(
        &self,
        names: &BTreeSet<String>,
        message: String,
        transient: bool,
    ) -> Result<BTreeMap<String, Found>, SourceError> {
        let last =
            self.last().secrets.clone().filter(|found| transient && names.iter().all(|name| found.contains_key(name)));
        match last {
            Some(found) => {
                self.link.is_away("secrets", &message);
                Ok(found)
            }
            None => Err(SourceError::Cluster { message, transient }),
        }
    }
}
