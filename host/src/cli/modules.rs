//! The registries' side of a chain: an entry that names a module by `oci://` becomes the module's
//! bytes. `policy` knows no network, and `registry` no chain; here they meet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::policy::{self, Bytes, Entry, LoadError};
use crate::registry::{Demands, PublicKey, Reference, Registry};

/// How much longer than a failure took nobody tries again. Cycles wait for a chain that is fetched anew, so a registry
/// that hangs may hold them up for a quarter of the time at most.
const REST: u32 = 3;

/// Fetches what chains name.
pub(super) struct Modules {
    registry: Registry,
    /// References that could not be had, until when they are left alone, and why.
    resting: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl Modules {
    pub(super) fn new(registry: Registry) -> Modules {
        Modules { registry, resting: Mutex::default() }
    }

    async fn rested(&self, entry: &Entry) -> Result<Bytes, LoadError> {
        let began = Instant::now();
        if let Some((until, why)) = self.resting().get(&entry.module).filter(|(until, _)| *until > began) {
            let seconds = (*until - began).as_secs() + 1;
            let message = format!("it is asked for again in {seconds} s; the last time, {why}");
            return Err(LoadError::Registry { message, transient: true });
        }
        let fetched = self.module(entry).await;
        let mut resting = self.resting();
        match &fetched {
            Err(LoadError::Registry { message, transient: true }) => {
                resting.insert(entry.module.clone(), (began + pause(began.elapsed()), message.clone()));
            }
            _ => drop(resting.remove(&entry.module)),
        }
        fetched
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Instant, String)>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn module(&self, entry: &Entry) -> Result<Bytes, LoadError> {
        let lasting = |message: String| LoadError::Registry { message, transient: false };
        let reference: Reference = entry.module.parse().map_err(|error| lasting(format!("{error}")))?;
        let keys = entry.public_keys.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|error| lasting(error.to_string()))?;
        let demands = Demands { allow_mutable_tags: entry.allow_mutable_tags, public_keys: &keys };
        let fetched = self.registry.fetch(&reference, demands).await.map_err(|error| {
            // The chain's own error names the module as it is written there.
            let (transient, message) = (error.is_transient(), error.problem.to_string());
            LoadError::Registry { message, transient }
        })?;
        tracing::info!(
            policy = entry.name, module = entry.module, digest = %fetched.digest, kept = fetched.kept,
            signed_by = fetched.signed_by.map(|path| path.display().to_string()), "policy module fetched"
        );
        Ok(Cow::Owned(fetched.bytes))
    }
}

impl policy::Registry for Modules {
    fn pull<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Bytes, LoadError>> {
        self.rested(entry).boxed()
    }
}

/// From the begin of a failure that took so long until the next try.
fn pause(took: Duration) -> Duration {
    took * (REST + 1)
}
