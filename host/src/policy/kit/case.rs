//! A case to ask a policy about, read from a directory of fixtures as an author writes them: what
//! is declared, with which settings, on which server. Only here the kit reads files; what a policy
//! makes of a case is found out in `answers`.
//!
//! ```text
//! CASE/users.yaml ────► spec::parse ──► Spec ◄── secrets.yaml
//!      settings.yaml ─► JSON
//!      catalog.yaml ──► Catalog, Records        (see `server`)
//!      context.yaml ──► Context
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::server;
use crate::catalog::Catalog;
use crate::model::{SecretState, Spec};
use crate::policy::Context;
use crate::resolve::renames;
use crate::resolve::{self, Records, Resolved};
use crate::spec::{self, Diagnostic, Document};

/// The file that makes a directory a case.
const USERS: &str = "users.yaml";
/// What a policy answered last time.
pub const EXPECTED: &str = "expected.yaml";
/// 2026-01-01T00:00:00Z, where a case does not say what time it is: a test that passes today passes
/// tomorrow.
const NOW: i64 = 1_767_225_600;
/// PostgreSQL 18.4, where a case does not say.
const SERVER_VERSION: u32 = 180_004;

/// Why there is no case to ask about.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file or directory.
    #[error("{} can't be read: {reason}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A fixture that says something that can't be.
    #[error("{place}: {message}")]
    Document {
        /// `file:line:column`, as far as known.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// users.yaml would be refused in production as well.
    #[error("{}", shown(.0))]
    Users(Vec<Diagnostic>),
    /// Neither fixtures nor a project with them.
    #[error(
        "there is no case in {}: a case is a directory with a {USERS}, such as {}", directory.display(),
        directory.join("fixtures/first").join(USERS).display()
    )]
    NoCase {
        /// Where they were looked for.
        directory: PathBuf,
    },
}

fn shown(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// Something to ask a policy about.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name of its directory.
    pub name: String,
    /// Where it lies; `None` for one that was made up.
    pub directory: Option<PathBuf>,
    /// What users.yaml declares, with what is known of each Secret.
    pub spec: Spec,
    /// The policy's settings; null where there are none.
    pub settings: serde_json::Value,
    /// What the server holds.
    pub catalog: Catalog,
    /// What the ledger knows of it.
    pub records: Records,
    /// Whose password is in force.
    pub in_sync: BTreeMap<String, bool>,
    /// The world around.
    pub context: Context,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawContext {
    now: Option<Spanned<String>>,
    server_version: u32,
    dry_run: bool,
    target: String,
    reassign_owned_to: String,
    labels: BTreeMap<String, String>,
}

impl Default for RawContext {
    fn default() -> Self {
        RawContext {
            now: None,
            server_version: SERVER_VERSION,
            dry_run: false,
            target: "postgres.example:5432/postgres".to_owned(),
            reassign_owned_to: server::OWNER.to_owned(),
            labels: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSecret {
    state: RawState,
    version: String,
    strength: Option<u8>,
    in_sync: Option<bool>,
    changed_at: Option<Spanned<String>>,
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawState {
    Present,
    Missing,
    Empty,
    Unreadable,
}

impl Default for RawSecret {
    fn default() -> Self {
        RawSecret {
            state: RawState::Present,
            version: "1".to_owned(),
            strength: None,
            in_sync: None,
            changed_at: None,
            labels: BTreeMap::new(),
        }
    }
}

/// The cases below a directory: that of a project, of fixtures, or of a single case.
///
/// # Errors
///
/// Where there are none.
pub fn find(directory: &Path) -> Result<Vec<PathBuf>, CaseError> {
    if directory.join(USERS).is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let inner = directory.join("fixtures");
    let home = if inner.is_dir() { inner } else { directory.to_owned() };
    let error = |reason| CaseError::Read { path: home.clone(), reason };
    let mut cases = Vec::new();
    for entry in fs::read_dir(&home).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.join(USERS).is_file() {
            cases.push(path);
        }
    }
    cases.sort();
    if cases.is_empty() {
        return Err(CaseError::NoCase { directory: directory.to_owned() });
    }
    Ok(cases)
}

/// The name of a case, which is that of its directory.
pub fn name_of(path: &Path) -> String {
    // `.` has no name of its own.
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

impl Case {
    /// Reads a case from its directory.
    ///
    /// # Errors
    ///
    /// The first file that is not as it must be, with the place in it.
    pub fn read(directory: &Path) -> Result<Case, CaseError> {
        let users = directory.join(USERS);
        let text = fs::read_to_string(&users).map_err(|reason| CaseError::Read { path: users.clone(), reason })?;
        let settings = document(&directory.join("settings.yaml"))?.unwrap_or(serde_json::Value::Null);
        let context_file = directory.join("context.yaml");
        let context = context(&context_file, document(&context_file)?.unwrap_or_default())?;
        let secrets_file = directory.join("secrets.yaml");
        let secrets = (secrets_file.as_path(), document(&secrets_file)?.unwrap_or_default());
        let catalog = directory.join("catalog.yaml");
        let mut case = Case::assemble(&users.display().to_string(), &text, context, secrets, &catalog)?;
        case.name = name_of(directory);
        case.directory = Some(directory.to_owned());
        case.settings = settings;
        Ok(case)
    }

    /// A case of nothing but users.yaml, and a catalog if there is one.
    ///
    /// # Errors
    ///
    /// As [`Case::read`].
    pub fn of_users(users: &Path, catalog: Option<&Path>) -> Result<Case, CaseError> {
        let text = fs::read_to_string(users).map_err(|reason| CaseError::Read { path: users.to_owned(), reason })?;
        let context = context(Path::new(""), RawContext::default())?;
        if let Some(path) = catalog {
            fs::metadata(path).map_err(|reason| CaseError::Read { path: path.to_owned(), reason })?;
        }
        let catalog = catalog.unwrap_or(Path::new(""));
        Case::assemble(&users.display().to_string(), &text, context, (Path::new(""), BTreeMap::new()), catalog)
    }

    /// A case from texts: users.yaml and catalog.yaml.
    ///
    /// # Errors
    ///
    /// As [`Case::read`].
    pub(super) fn of_texts(name: &str, users: &str, catalog: &str) -> Result<Case, CaseError> {
        Case::of_parts(name, users, parse(Path::new("catalog.yaml"), catalog)?)
    }

    /// A case from the text of users.yaml and a catalog that was made.
    ///
    /// # Errors
    ///
    /// As [`Case::read`].
    pub(super) fn of_parts(name: &str, users: &str, catalog: Option<server::Raw>) -> Result<Case, CaseError> {
        let context = context(Path::new(""), RawContext::default())?;
        let mut case = Case::assemble("users.yaml", users, context, (Path::new(""), BTreeMap::new()), Path::new(""))?;
        case.set_server(Path::new("catalog.yaml"), catalog)?;
        for role in case.spec.roles.values().filter(|role| role.credential.is_some()) {
            if let Some(found) = case.catalog.roles.get(&role.name) {
                case.in_sync.insert(role.name.clone(), found.has_password == Some(true));
            }
        }
        case.name = name.to_owned();
        Ok(case)
    }

    /// Puts another catalog in the place of the case's own.
    ///
    /// # Errors
    ///
    /// As [`Case::read`].
    pub fn with_catalog(mut self, path: &Path) -> Result<Case, CaseError> {
        fs::metadata(path).map_err(|reason| CaseError::Read { path: path.to_owned(), reason })?;
        self.look_at_server(path)?;
        self.rename();
        let roles = &self.catalog.roles;
        self.in_sync.retain(|name, _| roles.contains_key(name));
        Ok(self)
    }

    fn assemble(
        file: &str,
        text: &str,
        context: Context,
        (secrets_file, secrets): (&Path, BTreeMap<String, RawSecret>),
        catalog: &Path,
    ) -> Result<Case, CaseError> {
        let parsed = spec::parse(&Document::plain(file, text)).map_err(CaseError::Users)?;
        // As if the chain allowed all of them, and none had run yet.
        let spec = Spec { scripts: parsed.scripts.into_keys().collect(), ..parsed.spec };
        let mut case = Case {
            name: String::new(),
            directory: None,
            spec,
            settings: serde_json::Value::Null,
            catalog: Catalog::default(),
            records: Records::new(),
            in_sync: BTreeMap::new(),
            context,
        };
        case.look_at_server(catalog)?;
        for role in case.spec.roles.values_mut() {
            let Some(credential) = &mut role.credential else { continue };
            let secret = secrets.get(&credential.secret).cloned().unwrap_or_default();
            credential.state = match secret.state {
                RawState::Present => SecretState::Present,
                RawState::Missing => SecretState::Missing,
                RawState::Empty => SecretState::Empty,
                RawState::Unreadable => SecretState::Unreadable,
            };
            credential.strength = secret.strength;
            credential.version = secret.version;
            credential.labels = secret.labels;
            credential.changed_at = secret.changed_at.as_ref().map(|text| moment(secrets_file, text)).transpose()?;
            if let Some(found) = case.catalog.roles.get(&role.name) {
                // As a rule the server holds what the Secret says.
                let in_sync = secret.in_sync.unwrap_or(found.has_password == Some(true));
                case.in_sync.insert(role.name.clone(), in_sync);
            }
        }
        case.rename();
        Ok(case)
    }

    /// A policy sees the server as it will be after the renames, as in a cycle.
    fn rename(&mut self) {
        let renames = renames::due(&self.spec, &self.catalog, &BTreeSet::new(), |_| false);
        renames::carry_out(&renames, &mut self.catalog);
        renames::carry_over(&renames, &mut self.records);
        for rename in renames {
            let found = self.catalog.roles.get(&rename.to);
            let has_password = found.is_some_and(|role| role.has_password == Some(true));
            self.in_sync.entry(rename.to).or_insert(has_password);
        }
    }

    fn look_at_server(&mut self, file: &Path) -> Result<(), CaseError> {
        self.set_server(file, document(file)?)
    }

    fn set_server(&mut self, file: &Path, raw: Option<server::Raw>) -> Result<(), CaseError> {
        let wanted = self.spec.roles.values().flat_map(|role| role.databases()).map(str::to_owned).collect();
        let (catalog, records) = server::catalog(file, raw, wanted, &self.context)?;
        (self.catalog, self.records) = (catalog, records);
        Ok(())
    }

    /// The desired state for a spec, which may have been transformed, as the cycle finds it.
    pub fn resolve(&self, spec: &Spec) -> Resolved {
        resolve::resolve(spec, &self.catalog, &self.records, &self.in_sync)
    }
}

/// A YAML document; `None` if there is no such file.
fn document<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CaseError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(reason) => return Err(CaseError::Read { path: path.to_owned(), reason }),
    };
    parse(path, &text)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Option<T>, CaseError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(None);
    }
    serde_saphyr::from_str(text).map(Some).map_err(|problem| {
        let location = problem.location().unwrap_or(Location::UNKNOWN);
        let text = problem.without_snippet().to_string();
        // The place stands before it already, and the advice on duplicate keys is for programmers.
        let message = text
            .replace(&format!(" at line {}, column {}", location.line(), location.column()), "")
            .replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        wrong(path, location, message)
    })
}

/// Settings for a policy from a YAML or JSON file.
///
/// # Errors
///
/// If it can't be read.
pub fn settings(path: &Path) -> Result<serde_json::Value, CaseError> {
    fs::metadata(path).map_err(|reason| CaseError::Read { path: path.to_owned(), reason })?;
    Ok(document(path)?.unwrap_or(serde_json::Value::Null))
}

pub(super) fn wrong(path: &Path, location: Location, message: String) -> CaseError {
    let place = match location.line() {
        0 => path.display().to_string(),
        line => format!("{}:{line}:{}", path.display(), location.column()),
    };
    CaseError::Document { place, message }
}

/// Unix seconds.
pub(super) fn moment(path: &Path, text: &Spanned<String>) -> Result<i64, CaseError> {
    OffsetDateTime::parse(&text.value, &Rfc3339).map(OffsetDateTime::unix_timestamp).map_err(|_| {
        let message = format!("{:?} is no moment; write it like 2026-11-24T12:00:00Z", text.value);
        wrong(path, text.referenced, message)
    })
}

fn context(path: &Path, raw: RawContext) -> Result<Context, CaseError> {
    Ok(Context {
        now: raw.now.as_ref().map_or(Ok(NOW), |text| moment(path, text))?,
        target: raw.target,
        server_version: raw.server_version,
        dry_run: raw.dry_run,
        reassign_owned_to: raw.reassign_owned_to,
        labels: raw.labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_that_users_name_exist_unless_a_case_says_which() {
        let users = "users:\n  - {username: alice, database: shop, roles: [reader]}\n";
        let case = Case::of_texts("one", users, "").unwrap();
        assert!(case.catalog.databases.contains_key("shop"));
        let resolved = case.resolve(&case.spec);
        assert!(!resolved.blocked && resolved.findings.is_empty(), "{:?}", resolved.findings);
        assert_eq!(resolved.in_scope.into_iter().collect::<Vec<_>>(), ["alice", "reader"]);
    }
}
