//! Passwords on their way from a Secret to PostgreSQL. They are kept in memory that is wiped, show
//! up nowhere in `Debug`, and have no way into a plan, a module, the ledger or a log.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::model::SecretState;

/// A secret text that does not print itself.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the text over; it is wiped when the last clone is gone.
    pub fn new(text: String) -> Self {
        Password(Zeroizing::new(text))
    }

    /// The text itself, for the one who proves or sets it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Where a password comes from: one key of one Secret, in the namespace of the ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    pub key: String,
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.key)
    }
}

/// What the source found behind a [`SecretRef`].
#[derive(Debug, Clone)]
pub struct Secret {
    /// Whether there is a password to use.
    pub state: SecretState,
    /// Opaque; changes whenever the Secret is written. Derived from nothing in it.
    pub version: String,
    /// When the key was last written, in Unix seconds, as far as the source knows.
    pub changed_at: Option<i64>,
    /// The labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// There if and only if the state is `Present`.
    pub password: Option<Password>,
    /// What is wrong with it, for people, where the state is not `Present`; never its value.
    pub problem: Option<String>,
    /// All of it, if Rolewright is said to have written it.
    pub held: Option<Arc<Held>>,
}

/// A whole Secret with the label of those that Rolewright writes.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    /// Its annotations, as far as they are Rolewright's.
    pub annotations: BTreeMap<String, String>,
    /// Its values.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// Without its values.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("annotations", &self.annotations).finish_non_exhaustive()
    }
}

/// A Secret to be written.
pub struct NewSecret {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its values.
    pub data: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// The version of the one that it replaces; `None`: there must be none.
    pub over: Option<String>,
}

/// What was found behind each reference that was asked for.
pub type Secrets = BTreeMap<SecretRef, Secret>;
