//! What is remembered of a script: the digests of what has run under its name.

use serde::{Deserialize, Serialize};

/// Digests that are remembered of one name; older ones go.
const LONGEST: usize = 100;

/// Digests of what has run under a name, what ran last at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ran(Vec<String>);

impl Ran {
    /// Whether this has run, whatever has since then.
    pub fn has(&self, digest: &str) -> bool {
        self.0.iter().any(|ran| ran == digest)
    }

    /// What ran last.
    pub fn last(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Each of them.
    pub fn digests(&self) -> &[String] {
        &self.0
    }

    /// As it is when this has run.
    #[must_use]
    pub fn with(&self, digest: &str) -> Ran {
        let mut digests = self.without(digest).0;
        digests.push(digest.to_owned());
        digests.drain(..digests.len().saturating_sub(LONGEST));
        Ran(digests)
    }

    /// As it is if this is to run again.
    #[must_use]
    pub fn without(&self, digest: &str) -> Ran {
        Ran(self.0.iter().filter(|ran| *ran != digest).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_last_is_at_the_end_and_the_oldest_goes() {
        let ran = Ran::default().with("a").with("b").with("a");
        assert_eq!(ran.digests(), ["b", "a"]);
        assert!(ran.has("b") && !ran.has("c") && ran.last() == Some("a"));
        assert_eq!(ran.without("a").last(), Some("b"));
        let ran = (0..LONGEST + 1).fold(Ran::default(), |ran, number| ran.with(&number.to_string()));
        assert!(!ran.has("0") && ran.has("1") && ran.digests().len() == LONGEST);
    }
}
