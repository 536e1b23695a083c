//! The chain document that `POLICIES` names: which modules run, in which order, with which
//! settings. It is read and checked here, with a place in the file for every complaint; nothing of
//! it is loaded yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::convert::is_kebab_case;
use super::error::ChainError;

/// More than any chain needs.
const MAX_BYTES: u64 = 1 << 20;
/// What a module that is not a file is called by.
const BUILTIN: &str = "builtin:";
/// The module of the chain where no document is given.
pub(super) const STANDARD: &str = "standard";

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Part of this program.
    Builtin(String),
    /// A file.
    File(PathBuf),
}

/// One policy of a chain, before it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Kebab-case, unique in the chain.
    pub(super) name: String,
    pub(super) origin: Origin,
    /// As the document calls the module.
    pub(super) module: String,
    /// 64 hexadecimal digits in lower case.
    pub(super) sha256: Option<String>,
    /// JSON; `null` where there are none.
    pub(super) settings: serde_json::Value,
    /// `file:line:column: `; empty for the built-in chain.
    pub(super) place: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    policies: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: Spanned<String>,
    module: Spanned<String>,
    sha256: Option<Spanned<String>>,
    #[serde(default)]
    settings: serde_json::Value,
}

/// The chain where `POLICIES` is not set: the built-in policy by itself.
pub(super) fn default_chain() -> Vec<Entry> {
    vec![Entry {
        name: STANDARD.to_owned(),
        origin: Origin::Builtin(STANDARD.to_owned()),
        module: format!("{BUILTIN}{STANDARD}"),
        sha256: None,
        settings: serde_json::Value::Null,
        place: String::new(),
    }]
}

/// Reads a chain document.
///
/// # Errors
///
/// [`ChainError::Read`] and [`ChainError::Document`].
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, ChainError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|reason| ChainError::Read { path: path.to_owned(), reason })?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("the chain has more than {MAX_BYTES} bytes; is this the right file?");
        return Err(ChainError::Document { path: path.to_owned(), line: 0, column: 0, message });
    }
    parse(path, &text)
}

/// Checks the text of a chain document. Paths in it start from the document's own directory.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ChainError> {
    let error = |location: Location, message: String| ChainError::Document {
        path: path.to_owned(),
        line: location.line(),
        column: location.column(),
        message,
    };
    let document: RawDocument = serde_saphyr::from_str(text).map_err(|problem| {
        let location = problem.location().unwrap_or(Location::UNKNOWN);
        error(location, sentence(&problem, location))
    })?;
    if document.policies.is_empty() {
        let message = "`policies` is empty, so nobody would decide anything: leave POLICIES unset for the built-in \
                       chain, or list at least a planner";
        return Err(error(Location::UNKNOWN, message.to_owned()));
    }

    let directory = path.parent().unwrap_or(Path::new(""));
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut entries = Vec::new();
    for RawEntry { name, module, sha256, settings } in document.policies {
        let location = name.referenced;
        let (name, module_location, module) = (name.value, module.referenced, module.value);
        if !is_kebab_case(&name) || name.len() > 63 {
            let message = format!(
                "a policy's name is lower-case words and digits joined by hyphens, of at most 63 bytes, and {name:?} is not"
            );
            return Err(error(location, message));
        }
        if let Some(line) = seen.insert(name.clone(), location.line()) {
            let message = format!("the name `{name}` is taken by the policy in line {line}: give each its own");
            return Err(error(location, message));
        }
        let origin = match module.strip_prefix(BUILTIN) {
            Some(builtin) => Origin::Builtin(builtin.to_owned()),
            None if module == STANDARD => Origin::Builtin(module.clone()),
            None if module.is_empty() => {
                let message = format!("the policy `{name}` names no module: give a file, or `{BUILTIN}{STANDARD}`");
                return Err(error(module_location, message));
            }
            None => Origin::File(directory.join(&module)),
        };
        let sha256 = sha256
            .map(|digest| {
                let hex = digest.value.strip_prefix("sha256:").unwrap_or(&digest.value).to_ascii_lowercase();
                if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Ok(hex);
                }
                let message = format!(
                    "`sha256` of the policy `{name}` is not 64 hexadecimal digits: `sha256sum FILE` prints them"
                );
                Err(error(digest.referenced, message))
            })
            .transpose()?;
        let place = format!("{}:{}:{}: ", path.display(), location.line(), location.column());
        entries.push(Entry { name, origin, module, sha256, settings, place });
    }
    Ok(entries)
}

/// The parser's sentence without the place, which stands before it already.
fn sentence(problem: &serde_saphyr::Error, location: Location) -> String {
    let text = problem.without_snippet().to_string();
    let suffix = format!(" at line {}, column {}", location.line(), location.column());
    // The advice on duplicate keys is for programmers.
    text.replace(&suffix, "").replace(", set DuplicateKeyPolicy in Options if acceptable", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        parse(Path::new("chain/policies.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_chain_document_gives_its_policies_in_order() {
        let digest = "AB".repeat(32);
        let text = format!(
            "policies:\n  - {{name: naming, module: wasm/naming.wasm, sha256: \"sha256:{digest}\"}}\n  \
             - name: standard\n    module: builtin:standard\n    settings: {{b: [1, two], a: true}}\n"
        );
        let entries = parse(Path::new("chain/policies.yaml"), &text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].origin, Origin::File(PathBuf::from("chain/wasm/naming.wasm")));
        assert_eq!(entries[0].sha256.as_deref(), Some("ab".repeat(32).as_str()));
        assert_eq!(entries[0].settings, serde_json::Value::Null);
        assert_eq!(entries[1].origin, Origin::Builtin("standard".to_owned()));
        assert_eq!(entries[1].settings.to_string(), r#"{"a":true,"b":[1,"two"]}"#);
        assert_eq!(entries[1].place, "chain/policies.yaml:3:11: ");
    }

    #[test]
    fn an_absolute_path_stays_as_it_is() {
        let entries = parse(Path::new("chain/p.yaml"), "policies: [{name: a, module: /srv/a.wasm}]").unwrap();
        assert_eq!(entries[0].origin, Origin::File(PathBuf::from("/srv/a.wasm")));
    }

    #[test]
    fn whatever_is_wrong_in_a_chain_document_is_said_with_its_place() {
        let cases = [
            ("an unknown key", "policies:\n  - name: a\n    modul: a.wasm\n"),
            ("an unknown key at the top", "policy:\n  - name: a\n"),
            ("a missing module", "policies:\n  - name: a\n"),
            ("a duplicate key", "policies:\n  - name: a\n    name: b\n    module: a.wasm\n"),
            ("a wrong type", "policies:\n  - name: [a]\n    module: a.wasm\n"),
            ("broken YAML", "policies: [\n"),
            ("nothing at all", ""),
            ("no policies", "policies: []\n"),
            ("a name twice", "policies:\n  - {name: a, module: a.wasm}\n  - {name: a, module: b.wasm}\n"),
            ("a name with a space", "policies:\n  - {name: My Policy, module: a.wasm}\n"),
            ("an empty module", "policies:\n  - {name: a, module: \"\"}\n"),
            ("a short digest", "policies:\n  - {name: a, module: a.wasm, sha256: abc}\n"),
        ];
        let said: Vec<_> = cases.iter().map(|(case, text)| format!("{case}:\n    {}\n", message(text))).collect();
        insta::assert_snapshot!(said.concat());
    }
}
