//! Where users.yaml and the Secrets come from. A source hands over what is written, whole or not
//! at all; what it means is the business of `spec`.

pub mod directives;
mod directory;
#[cfg(test)]
mod directory_tests;
mod directory_write;
mod kubernetes;
mod manifest;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;

pub use directives::Directives;
pub use directory::Directory;
pub use kubernetes::{Kubernetes, SecretScope};

use crate::secret::{NewSecret, SecretRef, Secrets};
use crate::spec::Document;

/// The key of the ConfigMap.
const USERS_KEY: &str = "users.yaml";
/// The key of the policy chain in it.
const POLICIES_KEY: &str = "policies.yaml";

/// What the keys end in that hold the text of a script.
const SCRIPT_SUFFIX: &str = ".sql";

/// What a ConfigMap declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// `users.yaml`.
    pub document: Document,
    /// The policy chain, if the ConfigMap holds one.
    pub policies: Option<Document>,
    /// The texts of its other keys that end in `.sql`.
    pub files: BTreeMap<String, String>,
    /// Policy modules in its `binaryData`.
    pub modules: BTreeMap<String, Vec<u8>>,
    /// What its annotations ask for.
    pub directives: Directives,
    /// Which writing of the ConfigMap this is; only an API server knows.
    pub revision: Option<Revision>,
}

/// One writing of an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// A place that holds a ConfigMap and its Secrets.
pub trait Source: Send + Sync {
    /// What and where it is, for people: "directory examples/demo".
    fn describe(&self) -> String;

    /// Reads the ConfigMap.
    ///
    /// # Errors
    /// Whenever there is any doubt that this is the whole of it: a half-read source must never
    /// look like one in which users are missing.
    fn document(&self) -> BoxFuture<'_, Result<Declaration, SourceError>>;

    /// Reads the Secrets that are wanted, and says of each what was found. What is wrong with one
    /// Secret is told in its place in the result, so that it concerns one user only.
    ///
    /// # Errors
    /// If the source as a whole cannot be read.
    fn secrets<'a>(&'a self, wanted: &'a BTreeSet<SecretRef>) -> BoxFuture<'a, Result<Secrets, SourceError>>;

    /// Writes a whole Secret, and says which version it has then. What `secrets` finds from then on is the written one.
    ///
    /// # Errors
    /// In words, if that may not be, or if what is there is not what it was to replace: then nothing is written.
    fn write(&self, secret: NewSecret) -> BoxFuture<'_, Result<String, String>>;

    /// Whether it could be written now, as far as that can be known beforehand. Nothing is.
    ///
    /// # Errors
    /// In words, as those of `write`.
    fn may_write(&self, secret: NewSecret) -> BoxFuture<'_, Result<(), String>>;

    /// Reads files that users.yaml names and the ConfigMap has no key for, as far as they are there. Where there is
    /// nothing but the ConfigMap, that is none.
    ///
    /// # Errors
    /// If one is there and cannot be read whole.
    fn files<'a>(
        &'a self,
        wanted: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<BTreeMap<String, String>, SourceError>> {
        let _ = wanted;
        Box::pin(std::future::ready(Ok(BTreeMap::new())))
    }

    /// Waits until something differs from what the last `document` or `secrets` has read; before
    /// the first of them, until something differs from when this was called. A change of something
    /// else in the same place may count as well. Safe to drop at any time.
    fn changed(&self) -> BoxFuture<'_, ()>;
}

/// Why a source could not be read. Never holds anything out of a Secret.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Something could not be read at all.
    #[error("cannot read {what}: {cause}; check that it exists and may be read")]
    Io {
        /// A path or an object.
        what: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Something is there, but not as it should be.
    #[error("{place}: {message}")]
    Malformed {
        /// `file:line:column`, or what is known of it.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// No ConfigMap with the configured name.
    #[error("no ConfigMap {name:?} for namespace {namespace:?} in {origin}; {}", found_sentence(.found))]
    NoConfigMap {
        /// Where it was looked for.
        origin: String,
        /// `CONFIGMAP_NAME`.
        name: String,
        /// `NAMESPACE`.
        namespace: String,
        /// The ConfigMaps that were found instead.
        found: Vec<String>,
    },
    /// The API server has no such ConfigMap.
    #[error(
        "ConfigMap {name:?} not found in namespace {namespace:?} of {origin}; nothing was changed. Create it, or set \
         CONFIGMAP_NAME and NAMESPACE to what is there"
    )]
    NotInCluster {
        /// The API server.
        origin: String,
        /// `CONFIGMAP_NAME`.
        name: String,
        /// `NAMESPACE`.
        namespace: String,
    },
    /// The API server could not be asked, or said no.
    #[error("{message}")]
    Cluster {
        /// What was tried, why it failed, and what to do.
        message: String,
        /// Whether a little later it may well go.
        transient: bool,
    },
    /// More than one ConfigMap with the configured name.
    #[error("ConfigMap {name:?} is there {} times, at {}; keep one of them", .places.len(), .places.join(" and "))]
    SeveralConfigMaps {
        /// `CONFIGMAP_NAME`.
        name: String,
        /// Where each of them stands.
        places: Vec<String>,
    },
    /// The ConfigMap lacks the key.
    #[error("ConfigMap {name:?} at {place} has no key `users.yaml`; {}", keys_sentence(.keys))]
    NoUsers {
        /// `CONFIGMAP_NAME`.
        name: String,
        /// Where it stands.
        place: String,
        /// The keys that it has.
        keys: Vec<String>,
    },
    /// It changed each time it was read.
    #[error("{origin} kept changing while it was read; nothing was taken from it, the next cycle tries again")]
    Unstable {
        /// What changed.
        origin: String,
    },
    /// The reading itself was cut short.
    #[error("reading {origin} was interrupted; the next cycle tries again")]
    Interrupted {
        /// What was read.
        origin: String,
    },
}

fn found_sentence(found: &[String]) -> String {
    let next = "set CONFIGMAP_NAME and NAMESPACE to what is there";
    if found.is_empty() {
        format!("there is no ConfigMap at all; {next}")
    } else {
        format!("found: {}; {next}", found.join(", "))
    }
}

fn keys_sentence(keys: &[String]) -> String {
    if keys.is_empty() { "it holds no keys".to_owned() } else { format!("it holds: {}", keys.join(", ")) }
}
