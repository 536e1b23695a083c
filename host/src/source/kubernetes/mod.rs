//! An API server as a source: one ConfigMap, and the Secrets that its users name. `run` follows them
//! by watching; `plan` and `apply` ask once. No right beyond `list` and `watch` is needed, and none
//! beyond the one namespace.
//!
//! ```text
//! follow (list-and-watch) ──► what is known ──► document, secrets     as long as the API server is away: the last known
//!        └────────────────── wake ──► changed
//! ```

mod follow;
mod objects;
mod secrets;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Secret as SecretObject};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use self::follow::{Follow, Link, Settled};
use self::secrets::Followed;
use super::{Declaration, Source, SourceError};
use crate::kubernetes::Connection;
use crate::kubernetes::words::{self, Access};
use crate::secret::{NewSecret, SecretRef, Secrets};

/// How long a first answer of the API server is waited for, before the cycle fails and is tried
/// again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where nothing may be watched, every so many readings it is tried again.
const WATCH_AGAIN: u32 = 20;

/// A burst of changes makes one cycle: it begins when nothing has changed for so long …
const QUIET: Duration = Duration::from_millis(60);
/// … and at the latest after this. Both together leave a change well under a second on its way.
const LONGEST_BURST: Duration = Duration::from_millis(500);

/// Which Secrets are listed and watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretScope {
    /// Each one that is named, by its name: the right can be confined to these names. A watch for
    /// each, so this is for up to a few hundred.
    ByName,
    /// All of the namespace at once, or those with these labels: one list and one watch for any
    /// number of users.
    Namespace {
        /// A label selector.
        labels: Option<String>,
    },
}

/// The ConfigMap and the Secrets of one namespace.
pub struct Kubernetes {
    connection: Connection,
    namespace: String,
    configmap: String,
    scope: SecretScope,
    /// Whether to watch. Else everything is asked for when it is needed.
    following: bool,
    wake: Wake,
    link: Arc<Link>,
    /// How long a first answer is waited for.
    patience: Duration,
    followed: Mutex<Option<Arc<Follow<Arc<ConfigMap>>>>>,
    /// Readings since the ConfigMap may not be watched.
    unwatched: AtomicU32,
    secrets: Mutex<Followed>,
    /// What was read last where nothing may be watched, for when the API server is away.
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    declaration: Option<Declaration>,
    secrets: Option<BTreeMap<String, secrets::Found>>,
}

/// Counts what has changed, and what of it a cycle has begun with.
#[derive(Clone)]
pub(super) struct Wake {
    count: Arc<watch::Sender<u64>>,
    seen: Arc<Mutex<u64>>,
}

impl Wake {
    fn new() -> Wake {
        Wake { count: Arc::new(watch::Sender::new(0)), seen: Arc::default() }
    }

    fn up(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// Whatever has changed so far is being looked at.
    fn seen(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = *self.count.borrow();
    }

    async fn changed(&self) {
        let mut count = self.count.subscribe();
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The sender lives in `self`, so waiting can't fail.
        let _ = count.wait_for(|count| *count != seen).await;
        let begun = Instant::now();
        while begun.elapsed() < LONGEST_BURST {
            if tokio::time::timeout(QUIET, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Kubernetes {
    /// Asks when it is asked: for `plan` and `apply`.
    pub fn once(connection: Connection, namespace: &str, configmap: &str, scope: SecretScope) -> Kubernetes {
        Kubernetes::new(connection, namespace, configmap, scope, false)
    }

    /// Watches: for `run`. Nothing is asked for before the first reading.
    pub fn following(connection: Connection, namespace: &str, configmap: &str, scope: SecretScope) -> Kubernetes {
        Kubernetes::new(connection, namespace, configmap, scope, true)
    }

    fn new(
        connection: Connection,
        namespace: &str,
        configmap: &str,
        scope: SecretScope,
        following: bool,
    ) -> Kubernetes {
        let link = Arc::new(Link::new(connection.origin.clone(), connection.errors.clone()));
        Kubernetes {
            connection,
            namespace: namespace.to_owned(),
            configmap: configmap.to_owned(),
            scope,
            following,
            wake: Wake::new(),
            link,
            patience: PATIENCE,
            followed: Mutex::default(),
            unwatched: AtomicU32::new(0),
            secrets: Mutex::default(),
            last: Mutex::default(),
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list-and-watch of the one ConfigMap, begun at the first call.
    fn followed(&self) -> Arc<Follow<Arc<ConfigMap>>> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let follow = followed.get_or_insert_with(|| {
            let api = Api::namespaced(self.connection.client.clone(), &self.namespace);
            let wake = self.wake.clone();
            let what = follow::What {
                resource: "configmaps",
                namespace: self.namespace.clone(),
                name: Some(self.configmap.clone()),
                labels: None,
            };
            Arc::new(Follow::start(api, what, Arc::clone(&self.link), Arc::new, move |_| wake.up()))
        });
        Arc::clone(follow)
    }

    fn declare(&self, configmap: Option<&ConfigMap>) -> Result<Declaration, SourceError> {
        match configmap {
            Some(configmap) => objects::declaration(configmap, &self.namespace, &self.configmap),
            None => Err(SourceError::NotInCluster {
                origin: self.connection.origin.clone(),
                name: self.configmap.clone(),
                namespace: self.namespace.clone(),
            }),
        }
    }

    /// By a list, so that the right to list and watch is all that is needed.
    async fn ask_for_configmap(&self) -> Result<Declaration, SourceError> {
        let api: Api<ConfigMap> = Api::namespaced(self.connection.client.clone(), &self.namespace);
        let selection = ListParams::default().fields(&format!("metadata.name={}", self.configmap));
        let listed = answered(api.list(&selection)).await;
        let access = Access {
            verb: "list",
            group: "",
            resource: "configmaps",
            name: Some(&self.configmap),
            namespace: &self.namespace,
        };
        match listed {
            Ok(list) => {
                self.link.is_back("configmaps");
                // An answer that declares nothing, or nonsense, counts too: what was there before is of the past.
                self.last().declaration = None;
                let declaration = self.declare(list.items.first())?;
                self.last().declaration = Some(declaration.clone());
                Ok(declaration)
            }
            Err(error) => {
                self.link.error("list");
                let transient = words::is_transient(&error);
                let message = words::explain(&error, &access);
                let last = self.last().declaration.clone().filter(|_| transient && self.following);
                match last {
                    Some(declaration) => {
                        self.link.is_away("configmaps", &message);
                        Ok(declaration)
                    }
                    None => Err(SourceError::Cluster { message, transient }),
                }
            }
        }
    }
}

/// The answer to one request, which does not take forever.
async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(answer) => answer,
        Err(_) => Err(words::timed_out(PATIENCE)),
    }
}

impl Source for Kubernetes {
    fn describe(&self) -> String {
        format!("ConfigMap {}/{} in {}", self.namespace, self.configmap, self.connection.origin)
    }

    fn document(&self) -> BoxFuture<'_, Result<Declaration, SourceError>> {
        Box::pin(async {
            if !self.following {
                return self.ask_for_configmap().await;
            }
            let follow = self.followed();
            let settled = follow.settled(Instant::now() + self.patience).await;
            // Before anything is looked at: what changes from here on makes another cycle.
            self.wake.seen();
            match settled {
                Settled::Known => self.declare(follow.get(&self.configmap).as_deref()),
                Settled::Unwatchable => {
                    if (self.unwatched.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(WATCH_AGAIN) {
                        // The next reading begins anew: the right may have been given since.
                        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    }
                    self.ask_for_configmap().await
                }
                Settled::Denied(message) => Err(SourceError::Cluster { message, transient: false }),
                Settled::Away(message) => Err(SourceError::Cluster { message, transient: true }),
            }
        })
    }

    fn secrets<'a>(&'a self, wanted: &'a BTreeSet<SecretRef>) -> BoxFuture<'a, Result<Secrets, SourceError>> {
        Box::pin(self.read_secrets(wanted))
    }

    fn write(&self, secret: NewSecret) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let written = self.apply_secret(secret, false).await?;
            let version = follow::version(&written);
            self.hear_of(&written.name_any(), &version).await;
            Ok(version)
        })
    }

    fn may_write(&self, secret: NewSecret) -> BoxFuture<'_, Result<(), String>> {
        // The server judges it as it would the real one: the rights, the version, and whatever admits Secrets.
        Box::pin(async move { self.apply_secret(secret, true).await.map(drop) })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        if self.following { Box::pin(self.wake.changed()) } else { Box::pin(std::future::pending()) }
    }
}

fn secret_api(connection: &Connection, namespace: &str) -> Api<SecretObject> {
    Api::namespaced(connection.client.clone(), namespace)
}

#[cfg(test)]
#[path = "silent_server_tests.rs"]
mod tests;
