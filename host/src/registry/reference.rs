//! `oci://registry/repository:tag@sha256:…`: how a chain names a module that lies in a registry.
//! Nothing is asked here.
//!
//! The grammar is that of the distribution specification
//! (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// What a reference begins with.
pub const SCHEME: &str = "oci://";

/// The sha256 of a manifest or of a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::finish(&Sha256::digest(bytes))
    }

    /// That of bytes which were hashed as they came.
    pub(super) fn finish(hash: &[u8]) -> Digest {
        Digest(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// 64 hexadecimal digits in lower case.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Digest, String> {
        match text.split_once(':') {
            Some(("sha256", hex)) => {
                let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
                if hex.len() == 64 && hex.bytes().all(digit) {
                    return Ok(Digest(hex.to_owned()));
                }
                Err(format!("{text:?} is no digest: `sha256:` is followed by 64 hexadecimal digits in lower case"))
            }
            _ => Err(format!("the digest {text:?} is not of the form sha256:…, which is the only one used here")),
        }
    }
}

/// Where a module lies. At least one of tag and digest is there; where both are, the digest counts,
/// and the tag is for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no reference to a module in a registry: {why}")]
pub struct InvalidReference {
    text: String,
    why: String,
}

impl Reference {
    /// The registry as it was written, with its port if there is one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Such as `team/naming`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// A name that may move.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The sha256 of the manifest, which says exactly what is meant.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same module by the digest of its manifest: what belongs into a chain.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), ..self.clone() }
    }

    /// What stands behind `manifests/` in a request for it.
    pub(super) fn name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.clone().unwrap_or_default(),
        }
    }

    /// Reads a reference whose tag and digest may both be left out: where to push to.
    ///
    /// # Errors
    /// Says what is wrong, and what would be right.
    pub fn target(text: &str) -> Result<Reference, InvalidReference> {
        let authority = text.strip_prefix(SCHEME).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if let Some((_, host)) = authority.rsplit_once('@') {
            // It may be a password.
            let text = format!("{SCHEME}…@{host}…");
            let why = "a user and a password do not belong into it; give them in REGISTRY_AUTH_FILE".to_owned();
            return Err(InvalidReference { text, why });
        }
        parse(text).map_err(|why| InvalidReference { text: text.to_owned(), why })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        let reference = Reference::target(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            let why =
                "it names neither a digest nor a tag: put @sha256:… behind it, which `rolewright policy push` prints";
            return Err(InvalidReference { text: text.to_owned(), why: why.to_owned() });
        }
        Ok(reference)
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    let example = "it looks like oci://registry.example/team/naming@sha256:…";
    let rest = text.strip_prefix(SCHEME).ok_or_else(|| format!("it does not begin with {SCHEME}; {example}"))?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (rest, None),
    };
    let (host, path) =
        rest.split_once('/').ok_or_else(|| format!("there is no repository behind the registry; {example}"))?;
    valid_host(host)?;
    // A colon behind the last slash; one before it belongs to nothing.
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
        _ => (path, None),
    };
    if let Some(tag) = &tag {
        let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let other = |byte: u8| first(byte) || matches!(byte, b'.' | b'-');
        if tag.len() > 128 || !tag.bytes().next().is_some_and(first) || !tag.bytes().all(other) {
            return Err(format!("the tag {tag:?} is not made of at most 128 letters, digits, `_`, `.` and `-`"));
        }
    }
    if repository.len() > 255 || !repository.split('/').all(valid_component) {
        return Err(format!(
            "the repository {repository:?} is not made of lower-case letters and digits, joined by `/`, `.`, `_` or `-`"
        ));
    }
    Ok(Reference { host: host.to_owned(), repository: repository.to_owned(), tag, digest })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn valid_component(component: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends = bytes.first().copied().is_some_and(word) && bytes.last().copied().is_some_and(word);
    let separators = component.split(|letter: char| letter.is_ascii() && word(letter as u8));
    let joined = |by: &str| matches!(by, "" | "." | "_" | "__") || by.bytes().all(|byte| byte == b'-');
    ends && { separators }.all(joined)
}

fn valid_host(host: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("the registry {host:?} {why}"));
    let name = hostname(host);
    if let Some(port) = host[name.len()..].strip_prefix(':')
        && port.parse::<u16>().ok().is_none_or(|port| port == 0)
    {
        return wrong("has no port from 1 to 65535 behind the colon");
    }
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let known = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            !name.is_empty() && name.bytes().all(letter)
        }
    };
    if known { Ok(()) } else { wrong("is no host name and no address") }
}

/// A host without its port. An IPv6 address stands in brackets.
pub(super) fn hostname(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reference_is_read_and_written_back() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for text in [
            "oci://registry.example/naming:1.2".to_owned(),
            format!("oci://registry.example:5000/team/my-naming_rules@{digest}"),
            format!("oci://localhost:5000/a/b.c/d__e:v1@{digest}"),
            format!("oci://[::1]:5000/a@{digest}"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let reference: Reference = format!("oci://[::1]:5000/a/b:1@{digest}").parse().unwrap();
        assert_eq!(
            (reference.host(), hostname(reference.host()), reference.repository()),
            ("[::1]:5000", "[::1]", "a/b")
        );
        assert_eq!((reference.tag(), reference.name()), (Some("1"), digest));
    }

    #[test]
    fn whatever_is_wrong_with_a_reference_is_said() {
        let said = |text: &str| text.parse::<Reference>().unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                "registry.example/naming:1",
                "oci://registry.example",
                "oci://registry.example/naming",
                "oci:///naming:1",
                "oci://user:word@registry.example/naming:1",
                "oci://registry.example:99999/naming:1",
                "oci://registry.example/Naming:1",
                "oci://registry.example/a//b:1",
                "oci://registry.example/../etc:1",
                "oci://registry.example/naming:",
                "oci://registry.example/naming:-x",
                "oci://registry.example/naming@sha256:abc",
                "oci://registry.example/naming@sha512:abc",
            ]
            .map(said)
            .join("\n")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_what_it_takes_comes_back(text in "(oci://)?[a-zA-Z0-9\\[\\]:/._@é-]{0,60}") {
            if let Ok(reference) = Reference::target(&text) {
                prop_assert!(reference.to_string() == text);
                prop_assert!(!reference.repository().contains(".."));
            }
        }
    }
}
