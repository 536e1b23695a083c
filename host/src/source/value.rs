//! What a key of a Secret holds: a password, or what is wrong with it. The same for manifests and for
//! an API server. Nothing here shows a value.

use std::collections::BTreeMap;

use zeroize::{Zeroize, Zeroizing};

use crate::model::SecretState;
use crate::secret::{Password, Secret};

/// The text behind the bytes of `data`.
///
/// # Errors
/// If it is none.
pub(super) fn text(bytes: Vec<u8>) -> Result<Zeroizing<String>, &'static str> {
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        "is not UTF-8 text once decoded"
    })
}

/// What was found under `key` of the Secret that is `shown` to people in these words. Every
/// character counts: a line feed at the end is part of the password.
pub(super) fn secret(
    shown: &str,
    key: &str,
    version: String,
    found: Result<Option<Zeroizing<String>>, String>,
) -> Secret {
    let found = found.and_then(|text| match text {
        Some(text) if text.contains('\0') => Err(format!("key {key:?} contains a NUL byte, which no password can")),
        other => Ok(other),
    });
    match found {
        Ok(Some(mut text)) if !text.is_empty() => {
            let password = Password::new(std::mem::take(&mut *text));
            known(SecretState::Present, version, Ok(password))
        }
        Ok(_) => known(SecretState::Empty, version, Err(format!("{shown}: key {key:?} is empty"))),
        Err(why) => known(SecretState::Unreadable, version, Err(format!("{shown}: {why}"))),
    }
}

/// A Secret that is not there, or not to be read: no password, and why.
pub(super) fn absent(state: SecretState, problem: String) -> Secret {
    known(state, String::new(), Err(problem))
}

/// A Secret of which nothing is known beyond this: when it was written, and its labels, are added by
/// those who know them.
fn known(state: SecretState, version: String, found: Result<Password, String>) -> Secret {
    let (password, problem) = match found {
        Ok(password) => (Some(password), None),
        Err(problem) => (None, Some(problem)),
    };
    Secret { state, version, changed_at: None, labels: BTreeMap::new(), password, problem, held: None }
}
