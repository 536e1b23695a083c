//! The ledger in a file, for a controller that may not create a schema. Written whole and
//! atomically after each commit; readable by its owner only.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{Converged, FORMAT, LedgerError, Ran, State, Update, expressions, record, state_file};
use crate::resolve::Record;

#[derive(Serialize, Deserialize)]
struct LedgerFile {
    format: String,
    roles: BTreeMap<String, FileRecord>,
    #[serde(default)]
    inputs: Option<String>,
    #[serde(default)]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policies: Option<String>,
    /// Digests by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    scripts: BTreeMap<String, Ran>,
}

#[derive(Serialize, Deserialize)]
struct FileRecord {
    oid: Option<u32>,
    kind: String,
    origin: String,
    #[serde(default)]
    secret_version: Option<String>,
    #[serde(default)]
    applied: Option<Box<RawValue>>,
}

/// Where the ledger of this state file is.
pub(super) fn beside(state_file: &Path) -> PathBuf {
    let mut name = state_file.as_os_str().to_owned();
    name.push(".ledger");
    PathBuf::from(name)
}

/// `None`: there is no such file yet.
pub(super) fn read(path: &Path) -> Result<Option<State>, LedgerError> {
    let Some(file) = load(path)? else { return Ok(None) };
    let mut state = State { scripts: file.scripts, ..State::default() };
    for (name, entry) in file.roles {
        let json = entry.applied.as_ref().map(|json| json.get());
        let (applied, leaving_since) = record::applied_of(&name, json)?;
        let record = Record {
            oid: entry.oid,
            kind: record::kind(&name, &entry.kind)?,
            origin: record::origin(&name, &entry.origin)?,
            secret_version: entry.secret_version,
            row_version: None,
            applied,
            leaving_since,
        };
        state.records.insert(name, record);
    }
    state.expressions = file.policies.map(|json| expressions::from_json(&json)).unwrap_or_default();
    if let (Some(inputs), Some(fingerprint)) = (file.inputs, file.fingerprint) {
        state.converged = Some(Converged { inputs, fingerprint });
    }
    Ok(Some(state))
}

/// Brings the file in line with what was committed.
pub(super) async fn settle(path: &Path, client: &Client, update: &Update) -> Result<(), LedgerError> {
    let mut file = load(path)?.unwrap_or_else(|| LedgerFile {
        format: FORMAT.to_owned(),
        roles: BTreeMap::new(),
        inputs: None,
        fingerprint: None,
        policies: None,
        scripts: BTreeMap::new(),
    });
    for rename in &update.renamed {
        file.roles.remove(&rename.to);
        if let Some(record) = file.roles.remove(&rename.from) {
            file.roles.insert(rename.to.clone(), record);
        }
    }
    let names: Vec<&str> = update.upserts.keys().map(String::as_str).collect();
    let sql = "SELECT rolname::text, oid FROM pg_roles WHERE rolname = ANY ($1)";
    let rows = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await?;
    for row in &rows {
        let name: String = row.try_get(0)?;
        let Some(record) = update.upserts.get(&name) else { continue };
        let applied = record
            .applied
            .as_ref()
            .and_then(|role| RawValue::from_string(record::to_json(role, record.leaving_since)).ok());
        let entry = FileRecord {
            oid: Some(row.try_get(1)?),
            kind: record::kind_word(record.kind).to_owned(),
            origin: record::origin_word(record.origin).to_owned(),
            secret_version: record.secret_version.clone(),
            applied,
        };
        file.roles.insert(name, entry);
    }
    for name in &update.removed {
        file.roles.remove(name);
    }
    if let Some(known) = &update.expressions {
        file.policies = Some(expressions::to_json(known));
    }
    for (name, ran) in &update.scripts {
        file.scripts.insert(name.clone(), ran.clone());
    }
    file.scripts.retain(|_, ran| !ran.digests().is_empty());
    file.inputs = update.converged.as_ref().map(|converged| converged.inputs.clone());
    file.fingerprint = update.converged.as_ref().map(|converged| converged.fingerprint.clone());
    let text = serde_json::to_string(&file)
        .map_err(|error| LedgerError::Unreadable { name: path.display().to_string(), why: error.to_string() })?;
    state_file::replace(path, text.as_bytes())
}

fn load(path: &Path) -> Result<Option<LedgerFile>, LedgerError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(LedgerError::File { path: path.to_owned(), what: "read", why }),
    };
    let file: LedgerFile = serde_json::from_str(&text)
        .map_err(|error| LedgerError::Unreadable { name: path.display().to_string(), why: error.to_string() })?;
    if file.format != FORMAT {
        return Err(LedgerError::UnknownFormat { found: file.format, known: FORMAT });
    }
    Ok(Some(file))
}
