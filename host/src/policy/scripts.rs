//! `allowScripts` of a chain's planner: which scripts of users.yaml may run at all. It stands in the operator's file, never
//! beside users.yaml: a script runs with the rights of the controller.

use std::fmt;

use crate::model::is_script_name;

/// What stands before a digest.
const DIGEST: &str = "sha256:";

/// A script that may run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AllowedScript {
    /// Its name.
    pub name: String,
    /// As [`Script::digest`](crate::model::Script::digest) gives it: this text in this database. `None`: whatever it
    /// holds.
    pub digest: Option<String>,
}

impl AllowedScript {
    /// `name`, or `name@sha256:…`; `None` where it is neither.
    pub(super) fn parse(text: &str) -> Option<AllowedScript> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_ascii_lowercase())),
            None => (text, None),
        };
        let is_digest = |digest: &String| {
            let hex = digest.strip_prefix(DIGEST).unwrap_or_default();
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        (is_script_name(name) && digest.as_ref().is_none_or(is_digest))
            .then(|| AllowedScript { name: name.to_owned(), digest })
    }

    /// Whether it allows this one.
    pub(super) fn allows(&self, name: &str, digest: &str) -> bool {
        self.name == name && self.digest.as_deref().is_none_or(|pinned| pinned == digest)
    }
}

/// As a chain document writes it.
impl fmt::Display for AllowedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_allowed_by_name_or_by_what_it_holds() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let named = AllowedScript::parse("audit").unwrap();
        assert!(named.allows("audit", &digest) && named.allows("audit", "sha256:") && !named.allows("audit2", &digest));
        let pinned = AllowedScript::parse(&format!("audit@{}", digest.to_uppercase().replace("SHA", "sha"))).unwrap();
        assert!(pinned.allows("audit", &digest));
        assert!(!pinned.allows("audit", &digest.replace('a', "b")) && !pinned.allows("other", &digest));
        assert_eq!((named.to_string(), pinned.to_string()), ("audit".to_owned(), format!("audit@{digest}")));
        for text in ["", "*", "Audit", "audit@", "audit@sha256:0a", "audit@md5:0a", "@sha256:0a", "a b"] {
            assert_eq!(AllowedScript::parse(text), None, "{text}");
        }
    }
}
