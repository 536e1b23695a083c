//! STATE_FILE, in the form that the ancestor of this project wrote and others may read:
//!
//! ```json
//! {"alice": {"username": "alice", "database": "myapp", "roles": ["read_only", "analyst"], "privileges": null}}
//! ```
//!
//! A user of several databases has `databases` too, and the first of them as `database`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LedgerError;

/// One user as it was last applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the user.
    pub username: String,
    /// The database it connects to, the first if there are several.
    #[serde(default)]
    pub database: Option<String>,
    /// All of them, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// Its roles in the order in which they were declared.
    #[serde(default)]
    pub roles: Vec<String>,
    /// As declared.
    #[serde(default)]
    pub privileges: Value,
}

/// Users by name.
pub type Entries = BTreeMap<String, Entry>;

/// Larger than any spec can make it; what is larger was not written by us.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads it; an absent file lists nobody.
pub fn read(path: &Path) -> Result<Entries, LedgerError> {
    let failed = |why| LedgerError::File { path: path.to_owned(), what: "read", why };
    let unreadable = |why: String| LedgerError::Unreadable { name: path.display().to_string(), why };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Entries::new()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(unreadable("it is no state file: not a plain file of at most 16 MiB".into()));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    if text.trim().is_empty() {
        return Err(unreadable("it is empty; if nothing is managed yet, remove the file".into()));
    }
    serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
}

/// Writes it, if it differs from what is there.
pub fn write(path: &Path, entries: &Entries) -> Result<(), LedgerError> {
    if read(path).is_ok_and(|found| found == *entries) && path.exists() {
        return Ok(());
    }
    let text = serde_json::to_string(entries)
        .map_err(|error| LedgerError::Unreadable { name: path.display().to_string(), why: error.to_string() })?;
    replace(path, text.as_bytes())
}

/// Replaces a file atomically: whoever reads it sees the old content or the new, also after a
/// crash. The temporary file beside it is made anew, so that no link can lead the write elsewhere.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), LedgerError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let attempt = || -> std::io::Result<()> {
        if let Err(error) = fs::remove_file(&temporary)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    attempt().map_err(|why| {
        let _ = fs::remove_file(&temporary);
        LedgerError::File { path: path.to_owned(), what: "written", why }
    })
}
