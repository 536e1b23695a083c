//! Policy modules from OCI registries: a reference becomes bytes, and whoever answers for them is
//! checked here, by digest and signature. What the bytes mean is the business of `policy`, which
//! knows no network; how often to try again is the caller's.
//!
//! ```text
//! oci://… ──► reference ──► store ─ not there ─► session ──► http
//!                             ▲                     └ credentials
//!                             └── manifest, module, signatures, each with its digest
//! ```
//!
//! Why there is no client of others' making below this is said in `docs/decisions/registry.md`.

mod credentials;
mod error;
mod http;
mod manifest;
pub mod reference;
mod session;
mod signature;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, StatusCode};

pub use error::{Problem, RegistryError, SetupError};
pub use manifest::About;
pub use reference::{Digest, InvalidReference, Reference};
pub use signature::PublicKey;

use self::http::{Ask, Http, resolve};
use self::session::{Access, Session};
use self::signature::Signature;
use self::store::Store;
use crate::config::RegistryOptions;

/// Bytes of a module. One in Python has 18 MB.
const MAX_MODULE: u64 = 128 << 20;
/// Bytes of a manifest: what the distribution specification wants registries to take.
const MAX_MANIFEST: u64 = 4 << 20;
/// Bytes of what a signature signs, and how many are looked at.
const MAX_PAYLOAD: u64 = 64 << 10;
const MAX_SIGNATURES: usize = 32;

/// A way to registries.
pub struct Registry {
    http: Http,
    credentials: Option<PathBuf>,
    timeout: Duration,
    store: Option<Store>,
}

/// How sure the caller wants to be of what it gets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands<'a> {
    /// Whether a tag will do.
    pub allow_mutable_tags: bool,
    /// One of these must have signed it; none: no signature is asked for.
    pub public_keys: &'a [PublicKey],
}

/// A module that is what its digest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Not looked at yet.
    pub bytes: Vec<u8>,
    /// Of the manifest: what the tag points to, if it was a tag.
    pub digest: Digest,
    /// Whether it was on disk.
    pub kept: bool,
    /// The file of the key that a signature was made with, if one was asked for.
    pub signed_by: Option<PathBuf>,
}

impl Registry {
    /// A client; nobody is asked yet. `cache` keeps what was fetched.
    ///
    /// # Errors
    /// If the authorities to trust cannot be read.
    pub fn new(options: &RegistryOptions, cache: Option<&Path>) -> Result<Registry, SetupError> {
        Ok(Registry {
            http: Http::new(options.registry_ca_file.as_deref(), options.registry_plain_http.clone())?,
            credentials: options.registry_auth_file.clone(),
            timeout: options.registry_timeout,
            store: cache.map(Store::new),
        })
    }

    /// The module that a reference names, from disk if it was fetched before and the reference has
    /// its digest.
    ///
    /// # Errors
    /// Whatever stands between us and a module that fulfils the demands; see
    /// [`RegistryError::is_transient`].
    pub async fn fetch(&self, reference: &Reference, demands: Demands<'_>) -> Result<Fetched, RegistryError> {
        let fetched = async {
            if let Some(kept) = self.kept(reference, demands).await {
                return Ok(kept);
            }
            self.pull(reference, demands).await
        };
        self.within(reference, fetched).await
    }

    /// Puts a module into a registry, and gives its digest. A reference without a tag makes it
    /// known by its digest only.
    ///
    /// # Errors
    /// As for [`Registry::fetch`].
    pub async fn push(&self, reference: &Reference, module: &[u8], about: &About) -> Result<Digest, RegistryError> {
        self.within(reference, self.put(reference, module, about)).await
    }

    async fn within<T>(
        &self,
        reference: &Reference,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, RegistryError> {
        let late = |_| Err(Problem::TimedOut { host: reference.host().to_owned(), after: self.timeout });
        let result = tokio::time::timeout(self.timeout, work).await.unwrap_or_else(late);
        result.map_err(|problem| RegistryError { reference: Box::new(reference.clone()), problem })
    }

    /// What is on disk, if it is all that is demanded.
    async fn kept(&self, reference: &Reference, demands: Demands<'_>) -> Option<Fetched> {
        let (store, digest) = (self.store.clone()?, reference.digest()?.clone());
        let keys = demands.public_keys.to_vec();
        // Files and hashing: not on a thread that others wait for.
        let look = move || {
            let manifest = store.get(&digest, MAX_MANIFEST)?;
            let signed_by = match keys.as_slice() {
                [] => None,
                keys => Some(signature::verify(keys, &store.signatures(&digest), &digest).ok()?.to_owned()),
            };
            let (_, layer) = manifest::module(&manifest).ok()?;
            let bytes = store.get(&layer, MAX_MODULE)?;
            Some(Fetched { bytes, digest, kept: true, signed_by })
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }

    async fn pull(&self, reference: &Reference, demands: Demands<'_>) -> Result<Fetched, Problem> {
        if reference.digest().is_none() && !demands.allow_mutable_tags {
            return Err(Problem::MutableTag);
        }
        let found = credentials::read(self.credentials.as_deref(), reference)?;
        let mut session = Session::new(&self.http, reference, found, Access::Pull);
        let (manifest, digest) = self.manifest(&mut session, &reference.name()).await?;
        if let Some(expected) = reference.digest().filter(|expected| **expected != digest) {
            let (expected, host) = (expected.clone(), reference.host().to_owned());
            return Err(Problem::Digest { what: "manifest", host, expected, found: digest });
        }
        let (layer, expected) = manifest::module(&manifest).map_err(Problem::NotAModule)?;
        // Whoever may not be believed need not be listened to for 128 MiB.
        let (signatures, signed_by) = match demands.public_keys {
            [] => (Vec::new(), None),
            keys => {
                let signatures = self.signatures(&mut session, &digest).await?;
                let signed_by = signature::verify(keys, &signatures, &digest);
                let signed_by = signed_by.map_err(|why| Problem::Unsigned(why.to_owned()))?.to_owned();
                (signatures, Some(signed_by))
            }
        };
        if layer.size > MAX_MODULE {
            return Err(Problem::TooLarge { what: "layer", size: Some(layer.size), limit: MAX_MODULE });
        }
        let bytes = blob(&mut session, &expected, MAX_MODULE.min(layer.size)).await?;
        let fetched = Fetched { bytes, digest, kept: false, signed_by };
        Ok(self.keep(fetched, expected, manifest, signatures).await)
    }

    async fn manifest(&self, session: &mut Session<'_>, name: &str) -> Result<(Vec<u8>, Digest), Problem> {
        let uri = session.uri(&format!("manifests/{name}"))?;
        let ask = Ask::new(Method::GET, uri, "manifest").header(ACCEPT, manifest::ACCEPT);
        session.send(&ask).await?.bytes(MAX_MANIFEST).await
    }

    /// All signatures that lie beside a manifest.
    async fn signatures(&self, session: &mut Session<'_>, digest: &Digest) -> Result<Vec<Signature>, Problem> {
        let manifest = match self.manifest(session, &signature::tag(digest)).await {
            Ok((manifest, _)) => manifest,
            Err(Problem::NotFound { .. }) => return Ok(Vec::new()),
            Err(problem) => return Err(problem),
        };
        let wrong = |why: String| Problem::Unsigned(format!("what lies in the place of its signatures is none: {why}"));
        let layers = manifest::layers(&manifest).map_err(wrong)?;
        let mut signatures = Vec::new();
        for layer in layers.iter().take(MAX_SIGNATURES) {
            let Some(carried) = signature::carried(layer) else { continue };
            let digest: Digest = layer.digest.parse().map_err(wrong)?;
            let payload = blob(session, &digest, MAX_PAYLOAD).await?;
            if let Ok(payload) = String::from_utf8(payload) {
                signatures.push(Signature::new(payload, carried));
            }
        }
        Ok(signatures)
    }

    async fn keep(&self, fetched: Fetched, layer: Digest, manifest: Vec<u8>, signatures: Vec<Signature>) -> Fetched {
        let Some(store) = self.store.clone() else { return fetched };
        let copy = fetched.clone();
        let write = move || {
            store.put(&layer, &copy.bytes);
            if !signatures.is_empty() {
                store.put_signatures(&copy.digest, &signatures);
            }
            // Last: what it names is there.
            store.put(&copy.digest, &manifest);
        };
        // A panic there is a module that is not kept.
        let _ = tokio::task::spawn_blocking(write).await;
        fetched
    }

    async fn put(&self, reference: &Reference, module: &[u8], about: &About) -> Result<Digest, Problem> {
        if module.len() as u64 > MAX_MODULE {
            return Err(Problem::TooLarge { what: "module", size: Some(module.len() as u64), limit: MAX_MODULE });
        }
        let artifact = manifest::artifact(module, about).map_err(|error| Problem::NotAModule(error.to_string()))?;
        let digest = Digest::of(&artifact.manifest);
        let found = credentials::read(self.credentials.as_deref(), reference)?;
        let mut session = Session::new(&self.http, reference, found, Access::Push);
        upload(&mut session, &artifact.config).await?;
        upload(&mut session, module).await?;
        let name = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let uri = session.uri(&format!("manifests/{name}"))?;
        let ask = Ask::new(Method::PUT, uri, "manifest").header(CONTENT_TYPE, manifest::OCI_MANIFEST);
        session.send(&ask.body(artifact.manifest)).await?.succeeds().await?;
        Ok(digest)
    }
}

/// A blob that is what its digest says.
async fn blob(session: &mut Session<'_>, expected: &Digest, limit: u64) -> Result<Vec<u8>, Problem> {
    let uri = session.uri(&format!("blobs/{expected}"))?;
    let answer = session.send(&Ask::new(Method::GET, uri, "layer")).await?;
    let host = answer.host();
    let (bytes, found) = answer.bytes(limit).await?;
    if found != *expected {
        return Err(Problem::Digest { what: "layer", host, expected: expected.clone(), found });
    }
    Ok(bytes)
}

/// Puts a blob where it can be named by its digest, unless it is there.
async fn upload(session: &mut Session<'_>, bytes: &[u8]) -> Result<(), Problem> {
    let digest = Digest::of(bytes);
    let there = Ask::new(Method::HEAD, session.uri(&format!("blobs/{digest}"))?, "layer");
    if session.send(&there).await?.status() == StatusCode::OK {
        return Ok(());
    }
    let begin = Ask::new(Method::POST, session.uri("blobs/uploads/")?, "place for uploads");
    let answer = session.send(&begin).await?;
    let (from, host) = (answer.uri.clone(), answer.host());
    let headers = answer.succeeds().await?;
    let nowhere = || http::no_registry(&host, "it does not say where to put a layer");
    let place = resolve(&from, headers.get(hyper::header::LOCATION).ok_or_else(nowhere)?)?;
    let joint = if place.query().is_some() { '&' } else { '?' };
    let place = format!("{place}{joint}digest={digest}").parse().map_err(|_| nowhere())?;
    let ask = Ask::new(Method::PUT, place, "place for the layer").header(CONTENT_TYPE, "application/octet-stream");
    session.send(&ask.body(bytes.to_vec())).await?.succeeds().await?;
    Ok(())
}
