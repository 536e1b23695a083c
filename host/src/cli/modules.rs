//! The registries' side of a chain: an entry that names a module by `oci://` becomes the module's
//! bytes. `policy` knows no network, and `registry` no chain; here they meet.

use std::borrow::Cow;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::policy::{self, Bytes, Entry, LoadError};
use crate::registry::{Demands, PublicKey, Reference, Registry};

/// Fetches what chains name.
pub(super) struct Modules(pub(super) Registry);

impl Modules {
    async fn module(&self, entry: &Entry) -> Result<Bytes, LoadError> {
        let lasting = |message: String| LoadError::Registry { message, transient: false };
        let reference: Reference = entry.module.parse().map_err(|error| lasting(format!("{error}")))?;
        let keys = entry.public_keys.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|error| lasting(error.to_string()))?;
        let demands = Demands { allow_mutable_tags: entry.allow_mutable_tags, public_keys: &keys };
        let fetched = self.0.fetch(&reference, demands).await.map_err(|error| {
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
        self.module(entry).boxed()
    }
}
