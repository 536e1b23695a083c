//! The record of what is managed and what was done: which roles are Rolewright's, as which OID,
//! how each was last left, and which version of its Secret is in force. Nothing in it is derived
//! from the value of a Secret.
//!
//! It lives in the schema `rolewright` of the controller's database and is written in the same
//! transaction as the changes, so that the two cannot disagree. Where that schema may not be
//! created, a file beside STATE_FILE takes its place. STATE_FILE itself, in the form that the
//! ancestor of this project wrote, is kept for those who read it, and adopted at first start.

mod database;
mod expressions;
mod file;
mod ran;
mod record;
pub mod state_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use ran::Ran;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;

use crate::resolve::renames::Rename;
use crate::resolve::row_security::Expressions;
use crate::resolve::{Kind, Origin, Record, Records};

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ledger {
    /// In the schema `rolewright`.
    Database {
        /// Whether the schema is there already; the first change makes it.
        exists: bool,
    },
    /// In a file, since the schema is not there and may not be made.
    File(PathBuf),
}

/// What the ledger says.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Managed roles.
    pub records: Records,
    /// What was found to need nothing, last time.
    pub converged: Option<Converged>,
    /// How the server prints the expressions of policies that were set.
    pub expressions: Expressions,
    /// Scripts that have run, by name.
    pub scripts: BTreeMap<String, Ran>,
    /// Whether the records were taken from a state file, since the ledger was never written.
    pub adopted: bool,
}

/// Inputs and catalog that were seen to agree: as long as neither moves, there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converged {
    /// Digest of the document, the Secrets' versions, the chain and the configuration.
    pub inputs: String,
    /// The catalog's fingerprint.
    pub fingerprint: String,
}

/// One line of the history: a cycle that changed something.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryEntry {
    /// The plan's digest.
    pub digest: String,
    /// Counts of what was done.
    pub summary: Value,
    /// Each step that was carried out: action, role, cause, by.
    pub steps: Value,
}

/// What a cycle wants to be remembered.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// Roles that got another name: their records go on under it.
    pub renamed: Vec<Rename>,
    /// Records that are new or differ. OIDs and row versions are filled in by the database.
    pub upserts: Records,
    /// Roles that are no longer managed.
    pub removed: Vec<String>,
    /// What is to be known of scripts from now on; nothing of a name: it has never run.
    pub scripts: BTreeMap<String, Ran>,
    /// A line for the history.
    pub history: Option<HistoryEntry>,
    /// What is to be known of the expressions of policies from now on; `None`: what was known before.
    pub expressions: Option<Expressions>,
    /// What was reached.
    pub converged: Option<Converged>,
    /// The instance that writes, where one of several leads.
    pub claim: Option<Claim>,
}

/// Which of several instances may act: the one that claimed the ledger last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its identity.
    pub instance: String,
    /// The number of its term; a later one has a higher number. Unknown where nobody wrote it.
    pub term: Option<u32>,
}

impl Claim {
    /// Whether somebody has claimed the ledger who does not come before this one.
    fn yields_to(&self, found: &Claim) -> bool {
        found.instance != self.instance && found.term.is_some_and(|found| self.term.is_none_or(|ours| found >= ours))
    }
}

impl Update {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.renamed.is_empty()
            && self.upserts.is_empty()
            && self.removed.is_empty()
            && self.scripts.is_empty()
            && self.history.is_none()
            && self.expressions.is_none()
            && self.converged.is_none()
    }
}

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// PostgreSQL refused.
    #[error("the ledger in schema \"rolewright\" could not be used")]
    Postgres(#[from] tokio_postgres::Error),
    /// Somebody else could run code in our name.
    #[error(
        "the schema \"rolewright\" belongs to role {owner:?}, not to the controller: its tables could hold anything. \
         Drop it, or hand it over with ALTER SCHEMA rolewright OWNER TO, and its tables alike"
    )]
    ForeignSchema {
        /// Who owns the schema or one of its tables.
        owner: String,
    },
    /// The ledger was written by a later version.
    #[error(
        "the ledger has format {found:?}, and this version of Rolewright knows format {known}; use the newer version"
    )]
    UnknownFormat {
        /// What stands in it.
        found: String,
        /// What this version writes.
        known: &'static str,
    },
    /// A row or a file does not hold what it should.
    #[error(
        "the ledger's record of {name:?} cannot be read ({why}); nothing is guessed from it. Restore it, or remove that record and let the role be adopted anew"
    )]
    Unreadable {
        /// The role, or the file.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The file could not be read or written.
    #[error("{} could not be {what}: {why}. STATE_FILE names the place", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: std::io::Error,
    },
}

/// The format that this version writes.
const FORMAT: &str = "1";

impl Ledger {
    /// Finds out where the ledger is, for the controller's role in this database.
    pub async fn locate(client: &Client, state_file: &Path) -> Result<Ledger, LedgerError> {
        database::locate(client, || file::beside(state_file)).await
    }

    /// Reads it. One that was never written takes over what an existing state file lists.
    pub async fn read(&self, client: &Client, state_file: &Path) -> Result<State, LedgerError> {
        let state = match self {
            Ledger::Database { exists: true } => database::read(client).await?,
            // A ledger that was kept in a file until the schema could be made goes on there.
            Ledger::Database { exists: false } => file::read(&file::beside(state_file))?,
            Ledger::File(path) => {
                // Both are kept together; one that cannot be read is never taken for an empty one.
                state_file::read(state_file)?;
                file::read(path)?
            }
        };
        match state {
            Some(state) => Ok(state),
            None => {
                let entries = state_file::read(state_file)?;
                let records: Records = entries.into_keys().map(|name| (name, adopted())).collect();
                Ok(State { adopted: !records.is_empty(), records, ..State::default() })
            }
        }
    }

    /// The fingerprint that was last seen to need nothing, with these inputs. Two small queries, and
    /// `None` where anything is unclear.
    pub async fn converged_fingerprint(
        client: &Client,
        state_file: &Path,
        inputs: &str,
    ) -> Result<Option<String>, LedgerError> {
        // Whose schema it is comes first: reading a stranger's view would run the stranger's code.
        let converged = match Ledger::locate(client, state_file).await? {
            Ledger::Database { exists: true } => database::converged(client).await?,
            Ledger::Database { exists: false } => None,
            Ledger::File(path) => {
                state_file::read(state_file)?;
                file::read(&path)?.and_then(|state| state.converged)
            }
        };
        Ok(converged.filter(|seen| seen.inputs == inputs).map(|seen| seen.fingerprint))
    }

    /// Who claimed the ledger last. One that is kept in a file knows of nobody.
    pub async fn holder(&self, client: &Client) -> Result<Option<Claim>, LedgerError> {
        match self {
            Ledger::Database { exists: true } => database::holder(client).await,
            Ledger::Database { exists: false } | Ledger::File(_) => Ok(None),
        }
    }

    /// Makes this instance the only one that may act, with the lock in hand: whoever claimed it before
    /// finds out in its next transaction. One whose term is over by now gets the claim that came after
    /// it, and nothing is written. A ledger that was never written is claimed with its first update.
    pub async fn claim(&self, client: &Client, claim: &Claim) -> Result<Option<Claim>, LedgerError> {
        if let Some(found) = self.holder(client).await?.filter(|found| claim.yields_to(found)) {
            return Ok(Some(found));
        }
        match self {
            Ledger::Database { exists: true } => database::claim(client, claim).await?,
            Ledger::Database { exists: false } | Ledger::File(_) => {}
        }
        Ok(None)
    }

    /// Writes an update, within the transaction that the client is in.
    pub async fn write(&mut self, client: &Client, update: &Update) -> Result<(), LedgerError> {
        match self {
            Ledger::Database { exists } => {
                if !*exists {
                    database::create(client).await?;
                }
                database::write(client, update).await?;
                *exists = true;
                Ok(())
            }
            // The file follows when the transaction has committed: see `settle`.
            Ledger::File(_) => Ok(()),
        }
    }

    /// After the commit: brings a ledger file in line. A crash in between loses no role: the next
    /// cycle finds what is declared and adopts it again.
    pub async fn settle(&self, client: &Client, update: &Update) -> Result<(), LedgerError> {
        match self {
            Ledger::Database { .. } => Ok(()),
            Ledger::File(path) => file::settle(path, client, update).await,
        }
    }
}

fn adopted() -> Record {
    Record {
        oid: None,
        kind: Kind::User,
        origin: Origin::Adopted,
        secret_version: None,
        row_version: None,
        applied: None,
        leaving_since: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_yields_to_one_of_another_that_is_not_older() {
        let claim = |instance: &str, term| Claim { instance: instance.to_owned(), term };
        let ours = claim("ours", Some(5));
        for (found, yields) in [
            (claim("other", Some(4)), false),
            (claim("other", Some(5)), true),
            (claim("other", Some(6)), true),
            (claim("other", None), false),
            (claim("ours", Some(6)), false),
        ] {
            assert_eq!(ours.yields_to(&found), yields, "{found:?}");
        }
    }
}
