//! The chain document: which modules run, in which order, with which settings, and how much each may
//! do. `POLICIES` names its file, or it is the key `policies.yaml` of the ConfigMap. It is read and
//! checked here, with a place for every complaint; nothing of it is fetched or loaded yet.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::convert::is_kebab_case;
use super::error::ChainError;
use super::limits::Limits;
use super::load::Wasi;
use super::scripts::AllowedScript;

/// More than any chain needs.
const MAX_BYTES: u64 = 1 << 20;
/// What a module that is part of this program is called by.
const BUILTIN: &str = "builtin:";
/// What a module in the ConfigMap is called by.
const CONFIGMAP: &str = "configmap:";
/// What a module in a registry is called by.
const REGISTRY: &str = "oci://";
/// The module of the chain where no document is given.
pub(super) const STANDARD: &str = "standard";

/// Where a module comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Part of this program.
    Builtin(String),
    /// A file.
    File(PathBuf),
    /// A key in the `binaryData` of the ConfigMap that declares the users.
    ConfigMap(String),
    /// `registry/repository@sha256:…` or `registry/repository:tag`, as it stands behind `oci://`.
    Registry(String),
}

/// Whether a module may stand in the way of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It may.
    #[default]
    Enforce,
    /// It is on trial: what it says is shown as a warning, and stops nothing; nor does its failure.
    Warn,
}

impl Mode {
    /// As a chain document writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Warn => "warn",
        }
    }
}

/// Which servers a module is for. All that is given must fit; nothing given: every server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// `host:port/database`, where `*` stands for any text; one of them must fit.
    #[serde(default)]
    names: Vec<String>,
    /// Labels that the server must have, as `TARGET_LABELS` gives them.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Targets {
    fn fit(&self, target: &str, labels: &BTreeMap<String, String>) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|pattern| matches(pattern, target));
        named && self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// Whether a text is what the pattern says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves the most for what follows.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// One policy of a chain, before it is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Kebab-case, unique in the chain.
    pub name: String,
    /// Where its module comes from.
    pub origin: Origin,
    /// As the document calls the module.
    pub module: String,
    /// 64 hexadecimal digits in lower case: of the module's bytes.
    pub sha256: Option<String>,
    /// JSON; `null` where there are none.
    pub settings: serde_json::Value,
    /// Whether it may stand in the way of a plan.
    pub mode: Mode,
    /// What it may import beside `log`.
    pub wasi: Wasi,
    /// Whether a tag without a digest is good enough.
    pub allow_mutable_tags: bool,
    /// PEM files: one of these keys must have signed what the registry holds. None: no signature is
    /// asked for.
    pub public_keys: Vec<PathBuf>,
    /// Which servers it is for.
    pub targets: Targets,
    /// Scripts of users.yaml that its plans may run; only a planner has any.
    pub allow_scripts: Vec<AllowedScript>,
    /// What replaces the limits of every chain.
    pub(super) limits: OwnLimits,
    /// `file:line:column: `; empty for the built-in chain.
    pub(super) place: String,
}

/// Limits of one module; what is not given is as for every module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OwnLimits {
    fuel: Option<u64>,
    memory: Option<usize>,
    deadline: Option<Duration>,
}

impl OwnLimits {
    /// These limits in the place of the common ones.
    pub(super) fn over(&self, common: &Limits) -> Limits {
        Limits {
            fuel: self.fuel.unwrap_or(common.fuel),
            memory: self.memory.unwrap_or(common.memory),
            deadline: self.deadline.unwrap_or(common.deadline),
            ..common.clone()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    policies: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawEntry {
    name: Spanned<String>,
    module: Spanned<String>,
    sha256: Option<Spanned<String>>,
    #[serde(default)]
    settings: serde_json::Value,
    #[serde(default)]
    mode: Mode,
    limits: Option<RawLimits>,
    wasi: Option<Spanned<String>>,
    #[serde(default)]
    targets: Targets,
    #[serde(default)]
    allow_mutable_tags: bool,
    #[serde(default)]
    public_keys: Vec<PathBuf>,
    #[serde(default)]
    allow_scripts: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    fuel: Option<Spanned<u64>>,
    memory: Option<Spanned<String>>,
    time: Option<Spanned<String>>,
}

/// A chain as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// In their order.
    pub entries: Vec<Entry>,
    /// `file: `; empty for the built-in chain.
    pub(super) place: String,
}

impl Document {
    /// The chain where none is configured: the built-in policy by itself.
    pub fn builtin() -> Document {
        let entry = Entry {
            name: STANDARD.to_owned(),
            origin: Origin::Builtin(STANDARD.to_owned()),
            module: format!("{BUILTIN}{STANDARD}"),
            sha256: None,
            settings: serde_json::Value::Null,
            mode: Mode::Enforce,
            wasi: Wasi::None,
            allow_mutable_tags: false,
            public_keys: Vec::new(),
            targets: Targets::default(),
            allow_scripts: Vec::new(),
            limits: OwnLimits::default(),
            place: String::new(),
        };
        Document { entries: vec![entry], place: String::new() }
    }

    /// Reads a chain document.
    ///
    /// # Errors
    ///
    /// [`ChainError::Read`] and [`ChainError::Document`].
    pub fn read(path: &Path) -> Result<Document, ChainError> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|reason| ChainError::Read { path: path.to_owned(), reason })?;
        if text.len() as u64 > MAX_BYTES {
            let message = format!("the chain has more than {MAX_BYTES} bytes; is this the right file?");
            return Err(ChainError::Document { path: path.to_owned(), line: 0, column: 0, message });
        }
        Document::parse(path, &text, Some(path.parent().unwrap_or(Path::new(""))))
    }

    /// Checks the text of a chain document, which people know as `path`. Relative paths in it start
    /// from `directory`; without one they are refused.
    ///
    /// # Errors
    ///
    /// [`ChainError::Document`].
    pub fn parse(path: &Path, text: &str, directory: Option<&Path>) -> Result<Document, ChainError> {
        Parser { path, directory }.document(text)
    }

    /// What of it is for a server.
    #[must_use]
    pub fn for_target(mut self, target: &str, labels: &BTreeMap<String, String>) -> Document {
        self.entries.retain(|entry| entry.targets.fit(target, labels));
        self
    }
}

struct Parser<'a> {
    path: &'a Path,
    directory: Option<&'a Path>,
}

impl Parser<'_> {
    fn error(&self, location: Location, message: impl Into<String>) -> ChainError {
        let (line, column) = (location.line(), location.column());
        ChainError::Document { path: self.path.to_owned(), line, column, message: message.into() }
    }

    fn document(&self, text: &str) -> Result<Document, ChainError> {
        let document: RawDocument = serde_saphyr::from_str(text).map_err(|problem| {
            let location = problem.location().unwrap_or(Location::UNKNOWN);
            self.error(location, sentence(&problem, location))
        })?;
        if document.policies.is_empty() {
            let message = "`policies` is empty, so nobody would decide anything: leave POLICIES unset for the built-in \
                           chain, or list at least a planner";
            return Err(self.error(Location::UNKNOWN, message));
        }
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let mut entries = Vec::new();
        for raw in document.policies {
            let (location, line) = (raw.name.referenced, raw.name.referenced.line());
            let entry = self.entry(raw)?;
            if let Some(line) = seen.insert(entry.name.clone(), line) {
                let name = &entry.name;
                let message = format!("the name `{name}` is taken by the policy in line {line}: give each its own");
                return Err(self.error(location, message));
            }
            entries.push(entry);
        }
        Ok(Document { entries, place: format!("{}: ", self.path.display()) })
    }

    fn entry(&self, raw: RawEntry) -> Result<Entry, ChainError> {
        let location = raw.name.referenced;
        let name = raw.name.value;
        if !is_kebab_case(&name) || name.len() > 63 {
            let message = format!(
                "a policy's name is lower-case words and digits joined by hyphens, of at most 63 bytes, and {name:?} is not"
            );
            return Err(self.error(location, message));
        }
        let origin = self.origin(&name, &raw.module)?;
        if let Origin::Registry(reference) = &origin
            && !reference.contains("@sha256:")
            && !raw.allow_mutable_tags
        {
            let message = format!(
                "the policy `{name}` is named by a tag, which may be another module tomorrow: name it by digest, \
                 `{REGISTRY}registry/repository@sha256:…`, or write `allowMutableTags: true`"
            );
            return Err(self.error(raw.module.referenced, message));
        }
        if !raw.public_keys.is_empty() && !matches!(origin, Origin::Registry(_)) {
            let message = format!(
                "`publicKeys` of the policy `{name}` are for modules from a registry, where the signature lies beside \
                 the module: pin this one by `sha256`"
            );
            return Err(self.error(location, message));
        }
        let wasi = match raw.wasi {
            None => Wasi::None,
            Some(word) if word.value == "stub" => Wasi::Stub,
            Some(word) => {
                let message = format!(
                    "`wasi` of the policy `{name}` is `stub` (a WASI with nothing behind it) or left out, and not {:?}",
                    word.value
                );
                return Err(self.error(word.referenced, message));
            }
        };
        Ok(Entry {
            sha256: raw.sha256.map(|digest| self.sha256(&name, &digest)).transpose()?,
            allow_scripts: self.allow_scripts(&name, &raw.allow_scripts)?,
            limits: raw.limits.map(|limits| self.limits(&name, limits)).transpose()?.unwrap_or_default(),
            public_keys: raw.public_keys.iter().map(|key| self.directory.unwrap_or(Path::new("")).join(key)).collect(),
            place: format!("{}:{}:{}: ", self.path.display(), location.line(), location.column()),
            origin,
            wasi,
            module: raw.module.value,
            settings: raw.settings,
            mode: raw.mode,
            allow_mutable_tags: raw.allow_mutable_tags,
            targets: raw.targets,
            name,
        })
    }

    /// Who writes users.yaml must not be who says which SQL of it may run.
    fn allow_scripts(&self, name: &str, raw: &[Spanned<String>]) -> Result<Vec<AllowedScript>, ChainError> {
        if let (Some(first), None) = (raw.first(), self.directory) {
            let message = format!(
                "the policy `{name}` has `allowScripts`, and a chain in the ConfigMap cannot allow what the ConfigMap \
                 holds: put the chain into a file of the operator's, and name that by POLICIES"
            );
            return Err(self.error(first.referenced, message));
        }
        let one = |text: &Spanned<String>| {
            AllowedScript::parse(&text.value).ok_or_else(|| {
                let message = format!(
                    "`allowScripts` of the policy `{name}` lists names of scripts, or `name@sha256:…` for one text only, \
                     and {:?} is neither",
                    text.value
                );
                self.error(text.referenced, message)
            })
        };
        raw.iter().map(one).collect()
    }

    fn origin(&self, name: &str, module: &Spanned<String>) -> Result<Origin, ChainError> {
        let text = module.value.as_str();
        if let Some(builtin) = text.strip_prefix(BUILTIN) {
            return Ok(Origin::Builtin(builtin.to_owned()));
        }
        if let Some(key) = text.strip_prefix(CONFIGMAP) {
            return Ok(Origin::ConfigMap(key.to_owned()));
        }
        if let Some(reference) = text.strip_prefix(REGISTRY) {
            return Ok(Origin::Registry(reference.to_owned()));
        }
        let file = match (text, self.directory) {
            (STANDARD, _) => return Ok(Origin::Builtin(STANDARD.to_owned())),
            ("", _) => {
                let message = format!("the policy `{name}` names no module: give a file, or `{BUILTIN}{STANDARD}`");
                return Err(self.error(module.referenced, message));
            }
            (text, Some(directory)) => directory.join(text),
            (text, None) if Path::new(text).is_absolute() => PathBuf::from(text),
            (text, None) => {
                let message = format!(
                    "the policy `{name}` names the file {text:?}, and a chain in a ConfigMap has no directory to start \
                     from: give an absolute path, `{CONFIGMAP}KEY`, `{BUILTIN}NAME` or `{REGISTRY}…`"
                );
                return Err(self.error(module.referenced, message));
            }
        };
        Ok(Origin::File(file))
    }

    fn sha256(&self, name: &str, digest: &Spanned<String>) -> Result<String, ChainError> {
        let hex = digest.value.strip_prefix("sha256:").unwrap_or(&digest.value).to_ascii_lowercase();
        if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(hex);
        }
        let message =
            format!("`sha256` of the policy `{name}` is not 64 hexadecimal digits: `sha256sum FILE` prints them");
        Err(self.error(digest.referenced, message))
    }

    fn limits(&self, name: &str, raw: RawLimits) -> Result<OwnLimits, ChainError> {
        let wrong = |location: Location, limit: &str, wanted: &str| {
            self.error(location, format!("the limit `{limit}` of the policy `{name}` must be {wanted}"))
        };
        let fuel = raw.fuel.map(|fuel| match fuel.value {
            1_000_000..=100_000_000_000 => Ok(fuel.value),
            _ => Err(wrong(fuel.referenced, "fuel", "a number of instructions, from 1000000 to 100000000000")),
        });
        let memory = raw.memory.map(|memory| match bytes(&memory.value) {
            Some(bytes) if (1 << 20..=1 << 30).contains(&bytes) => Ok(bytes),
            _ => Err(wrong(memory.referenced, "memory", "from 1Mi to 1Gi, such as 128Mi")),
        });
        let deadline = raw.time.map(|time| match crate::config::duration(&time.value) {
            Ok(limit) if (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&limit) => Ok(limit),
            _ => Err(wrong(time.referenced, "time", "from 100ms to 60s, such as 2s")),
        });
        Ok(OwnLimits { fuel: fuel.transpose()?, memory: memory.transpose()?, deadline: deadline.transpose()? })
    }
}

/// Bytes, as Kubernetes writes them: `64Mi`.
fn bytes(text: &str) -> Option<usize> {
    let unit = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
    let (number, shift) =
        unit.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
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

    fn parse(path: &str, text: &str) -> Result<Document, ChainError> {
        let path = Path::new(path);
        Document::parse(path, text, path.parent())
    }

    fn message(text: &str) -> String {
        parse("chain/policies.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_chain_document_gives_its_policies_in_order() {
        let digest = "AB".repeat(32);
        let text = format!(
            "policies:\n  - {{name: naming, module: wasm/naming.wasm, sha256: \"sha256:{digest}\"}}\n  \
             - name: standard\n    module: builtin:standard\n    settings: {{b: [1, two], a: true}}\n"
        );
        let entries = parse("chain/policies.yaml", &text).unwrap().entries;
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
        let entries = parse("chain/p.yaml", "policies: [{name: a, module: /srv/a.wasm}]").unwrap().entries;
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
            ("an unknown mode", "policies:\n  - {name: a, module: a.wasm, mode: shout}\n"),
            ("an unknown WASI", "policies:\n  - {name: a, module: a.wasm, wasi: all}\n"),
            ("too little memory", "policies:\n  - {name: a, module: a.wasm, limits: {memory: 64}}\n"),
            ("too much time", "policies:\n  - {name: a, module: a.wasm, limits: {time: 5m}}\n"),
            ("hardly any fuel", "policies:\n  - {name: a, module: a.wasm, limits: {fuel: 7}}\n"),
            ("an unknown limit", "policies:\n  - {name: a, module: a.wasm, limits: {cpu: 7}}\n"),
            ("a tag", "policies:\n  - {name: a, module: 'oci://example.org/a:latest'}\n"),
            ("keys for a file", "policies:\n  - {name: a, module: a.wasm, publicKeys: [k.pem]}\n"),
            ("a short digest", "policies:\n  - {name: a, module: a.wasm, sha256: abc}\n"),
            ("no script", "policies:\n  - {name: a, module: a.wasm, allowScripts: ['audit@sha256:abc']}\n"),
        ];
        let said: Vec<_> = cases.iter().map(|(case, text)| format!("{case}:\n    {}\n", message(text))).collect();
        insta::assert_snapshot!(said.concat());
    }

    #[test]
    fn an_entry_says_where_its_module_lies_and_how_much_it_may_do() {
        let text = "policies:\n\
            - {name: a, module: 'oci://example.org/team/a@sha256:0011', publicKeys: [keys/a.pem], mode: warn}\n\
            - {name: b, module: 'configmap:b.wasm', wasi: stub, limits: {fuel: 2000000, memory: 128Mi, time: 2s}}\n\
            - {name: c, module: 'oci://example.org/c:1', allowMutableTags: true}\n";
        let entries = parse("chain/p.yaml", text).unwrap().entries;
        assert_eq!(entries[0].origin, Origin::Registry("example.org/team/a@sha256:0011".to_owned()));
        assert_eq!((entries[0].mode, entries[1].mode), (Mode::Warn, Mode::Enforce));
        assert_eq!(entries[0].public_keys, [PathBuf::from("chain/keys/a.pem")]);
        assert_eq!(entries[1].origin, Origin::ConfigMap("b.wasm".to_owned()));
        assert_eq!((entries[1].wasi, entries[2].wasi), (Wasi::Stub, Wasi::None));
        let limits = entries[1].limits.over(&Limits::default());
        assert_eq!((limits.fuel, limits.memory, limits.deadline), (2_000_000, 128 << 20, Duration::from_secs(2)));
        assert_eq!(limits.fuel_per_entry, Limits::default().fuel_per_entry);
        assert_eq!(entries[0].limits.over(&Limits::default()), Limits::default());
    }

    #[test]
    fn a_chain_in_a_configmap_has_no_directory_for_files() {
        let parse = |module: &str| {
            let text = format!("policies: [{{name: a, module: {module}}}]");
            Document::parse(Path::new("configmap/users#policies.yaml"), &text, None)
        };
        assert!(parse("/srv/a.wasm").is_ok() && parse("standard").is_ok() && parse("'configmap:a'").is_ok());
        let error = parse("standard, allowScripts: [audit]").unwrap_err().to_string();
        assert!(error.contains("allowScripts") && error.contains("POLICIES"), "{error}");
        let error = parse("a.wasm").unwrap_err().to_string();
        assert!(error.contains("configmap/users#policies.yaml:1:") && error.contains("absolute path"), "{error}");
    }

    #[test]
    fn a_policy_is_for_the_servers_that_it_names() {
        let text = "policies:\n\
            - {name: all, module: a.wasm}\n\
            - {name: named, module: a.wasm, targets: {names: ['db-*.prod:5432/*', 'x:1/y']}}\n\
            - {name: labelled, module: a.wasm, targets: {labels: {environment: production}}}\n";
        let names = |target: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let document = parse("p.yaml", text).unwrap().for_target(target, &labels);
            document.entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        assert_eq!(names("db-7.prod:5432/shop", &[]), ["all", "named"]);
        assert_eq!(names("x:1/y", &[("environment", "production")]), ["all", "named", "labelled"]);
        assert_eq!(names("db-7.test:5432/shop", &[("environment", "test")]), ["all"]);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [("a*b*c", "abc"), ("*", ""), ("a*", "ab"), ("*b*", "abc"), ("a*ab", "aabab"), ("", "")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*b*c", "acb"), ("a", "ab"), ("a*a", "a"), ("", "a"), ("*ab*ab", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
