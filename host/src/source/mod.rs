//! Where users.yaml and the Secrets come from. A source hands over what is written, whole or not
//! at all; what it means is the business of `spec`.

mod directory;
#[cfg(test)]
mod directory_tests;
mod manifest;

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;

pub use directory::Directory;

use crate::secret::{SecretRef, Secrets};
use crate::spec::Document;

/// A place that holds a ConfigMap and its Secrets.
pub trait Source: Send + Sync {
    /// What and where it is, for people: "directory examples/demo".
    fn describe(&self) -> String;

    /// Reads the text of `users.yaml`.
    ///
    /// # Errors
    /// Whenever there is any doubt that this is the whole of it: a half-read source must never
    /// look like one in which users are missing.
    fn document(&self) -> BoxFuture<'_, Result<Document, SourceError>>;

    /// Reads the Secrets that are wanted, and says of each what was found. What is wrong with one
    /// Secret is told in its place in the result, so that it concerns one user only.
    ///
    /// # Errors
    /// If the source as a whole cannot be read.
    fn secrets<'a>(&'a self, wanted: &'a BTreeSet<SecretRef>) -> BoxFuture<'a, Result<Secrets, SourceError>>;

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
