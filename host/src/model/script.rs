//! Custom SQL of users.yaml, by name. Its text is the host's own: policies see names.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Bytes of a name.
const MAX_NAME: usize = 63;

/// When a script runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Run {
    /// When its text or its database changes.
    #[default]
    Once,
    /// Then, and after every plan that changes something.
    OnChange,
}

impl Run {
    /// As users.yaml writes them.
    pub const WORDS: [(&'static str, Run); 2] = [("once", Run::Once), ("on_change", Run::OnChange)];

    fn word(self) -> &'static str {
        Run::WORDS.iter().find(|(_, run)| *run == self).map_or("", |(word, _)| *word)
    }
}

/// A script as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Unique in users.yaml.
    pub name: String,
    /// Where it runs.
    pub database: String,
    /// When it runs again.
    pub run: Run,
    /// The key of the ConfigMap, or the file beside it, that holds its text; `None`: it stands in users.yaml.
    pub file: Option<String>,
    /// Its text; empty until the file is read.
    pub text: String,
    /// Position in `scripts`, from 0: the order in which they run.
    pub order: usize,
    /// JSON pointer to the declaration.
    pub path: String,
}

impl Script {
    /// SHA-256 of the database's name, the word of `run`, and the text, with a NUL after each of the first two: what
    /// runs, where, and when again.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.database);
        hasher.update([0]);
        hasher.update(self.run.word());
        hasher.update([0]);
        hasher.update(&self.text);
        hasher.finalize().iter().fold("sha256:".to_owned(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Lower-case letters, digits, `_` and `-`, a letter first: it stands in chains, logs and the ledger.
pub fn is_script_name(name: &str) -> bool {
    let known = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, b'_' | b'-');
    name.len() <= MAX_NAME && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_or_snake() {
        for name in ["a", "audit_trigger", "nightly-views-2", &"a".repeat(63)] {
            assert!(is_script_name(name), "{name}");
        }
        for name in ["", "A", "1a", "_a", "a b", "a@sha256:0", "../a", "é", "a\n", &"a".repeat(64)] {
            assert!(!is_script_name(name), "{name}");
        }
    }

    #[test]
    fn a_digest_tells_databases_runs_and_texts_apart() {
        let script = |database: &str, text: &str| Script {
            name: "a".into(),
            database: database.into(),
            run: Run::Once,
            file: None,
            text: text.into(),
            order: 0,
            path: String::new(),
        };
        let digest = script("shop", "SELECT 1").digest();
        // printf 'shop\0once\0SELECT 1' | sha256sum
        assert_eq!(digest, "sha256:3f8436b4f88796b266afd37f3885447a0befc3a8bb077970f2421a1ae17e65eb");
        assert_eq!(digest, script("shop", "SELECT 1").digest());
        let again = Script { run: Run::OnChange, ..script("shop", "SELECT 1") };
        for other in [again, script("stock", "SELECT 1"), script("shop", "SELECT 2"), script("shopS", "ELECT 1")] {
            assert_ne!(digest, other.digest(), "{other:?}");
        }
    }
}
