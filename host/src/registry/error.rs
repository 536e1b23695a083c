//! Why a module could not be had from a registry, in words. What a registry says freely is not
//! repeated: it has seen our credentials.

use std::path::PathBuf;
use std::time::Duration;

use super::reference::{Digest, Reference};

/// Nothing was fetched or pushed.
#[derive(Debug, thiserror::Error)]
#[error("{reference}: {problem}")]
pub struct RegistryError {
    /// What was asked for.
    pub reference: Box<Reference>,
    /// What went wrong.
    pub problem: Problem,
}

impl RegistryError {
    /// Whether the same may well go a little later.
    pub fn is_transient(&self) -> bool {
        match &self.problem {
            Problem::Unreachable { .. } | Problem::TimedOut { .. } | Problem::Broken { .. } => true,
            Problem::Status { code, .. } => matches!(code, 408 | 429) || *code >= 500,
            _ => false,
        }
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A tag where only digests are taken.
    #[error(
        "it names a tag, and what a tag points to can be exchanged at any time. Name the digest that `rolewright policy \
         push` or `rolewright policy pull` prints (@sha256:…), or say allowMutableTags: true"
    )]
    MutableTag,
    /// Nobody there, or no TLS with whoever is.
    #[error("{host} cannot be reached ({why}){}", tls_advice(why))]
    Unreachable {
        /// Of the registry, or where it sent us.
        host: String,
        /// What was found.
        why: String,
    },
    /// It took too long.
    #[error("{host} did not give it within {} s: is it overloaded, or is a firewall in the way? REGISTRY_TIMEOUT allows more", after.as_secs_f64())]
    TimedOut {
        /// Of the registry.
        host: String,
        /// What was allowed.
        after: Duration,
    },
    /// The connection ended in the middle.
    #[error("the connection to {host} broke off: {why}")]
    Broken {
        /// Where to.
        host: String,
        /// What was found.
        why: String,
    },
    /// Not without TLS.
    #[error(
        "{host} would have to be spoken to without TLS, which is done only with the hosts of REGISTRY_PLAIN_HTTP; \
         check why the registry sends us there"
    )]
    PlainHttp {
        /// Where it would go.
        host: String,
    },
    /// 401, or 403.
    #[error("{host} does not let us: {advice}")]
    Unauthorized {
        /// Who.
        host: String,
        /// What to do.
        advice: String,
    },
    /// 404.
    #[error(
        "{host} has no such {what}; check the name, and whether it was pushed (some registries also say so to whoever may not read it)"
    )]
    NotFound {
        /// Who.
        host: String,
        /// `manifest`, `layer`.
        what: &'static str,
    },
    /// Another answer than was hoped for.
    #[error("{host} answered {code}{} to {what}", codes(errors))]
    Status {
        /// Who.
        host: String,
        /// HTTP status.
        code: u16,
        /// The codes of the distribution specification, such as `TOOMANYREQUESTS`.
        errors: Vec<String>,
        /// What was tried.
        what: &'static str,
    },
    /// An answer that no registry gives.
    #[error("{host} answers not as a registry does: {why}; check that no proxy is in the way")]
    NoRegistry {
        /// Who.
        host: String,
        /// What is odd.
        why: String,
    },
    /// Not what the digest says.
    #[error(
        "the {what} that {host} gave has the digest {found}, and not {expected}: it was damaged or exchanged on its way, or \
         in the registry. It is not used"
    )]
    Digest {
        /// `manifest`, `layer`.
        what: &'static str,
        /// Who.
        host: String,
        /// As asked for.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// Larger than any module.
    #[error("the {what} has {}, and {limit} bytes are the limit", size.map_or("more bytes than it says".to_owned(), |size| format!("{size} bytes")))]
    TooLarge {
        /// `manifest`, `layer`.
        what: &'static str,
        /// As announced; `None`: found while reading.
        size: Option<u64>,
        /// What is allowed.
        limit: u64,
    },
    /// There, and no policy.
    #[error("what lies there is no policy module: {0}")]
    NotAModule(String),
    /// Nobody has signed it whom we trust.
    #[error("it is not signed by any of the keys in publicKeys ({0}), and so it is not used")]
    Unsigned(String),
    /// The file of `REGISTRY_AUTH_FILE`.
    #[error("REGISTRY_AUTH_FILE is {}, which {why}; it has to be of the form of ~/.docker/config.json", path.display())]
    Credentials {
        /// What was given.
        path: PathBuf,
        /// What is wrong; nothing of what is in it.
        why: String,
    },
}

fn tls_advice(why: &str) -> &'static str {
    if why.contains("UnknownIssuer") {
        ". Name the authority that signed its certificate in REGISTRY_CA_FILE"
    } else if why.contains("InvalidContentType") {
        ". It seems to speak no TLS: use a certificate, or name it in REGISTRY_PLAIN_HTTP"
    } else {
        ""
    }
}

fn codes(errors: &[String]) -> String {
    if errors.is_empty() { String::new() } else { format!(" ({})", errors.join(", ")) }
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of `REGISTRY_CA_FILE`.
    #[error("REGISTRY_CA_FILE is {}, which {why}; it has to hold certificates as PEM", path.display())]
    Authorities {
        /// What was given.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// rustls does not accept its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A key file of `publicKeys`.
    #[error("the public key {} {why}; `cosign generate-key-pair` makes such keys, and this is cosign.pub", path.display())]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}
