//! Row-level security of tables: whether it is on, for whom, and the policies that say which rows there are.
//! <https://www.postgresql.org/docs/current/ddl-rowsecurity.html>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

/// A table of a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The database that it lies in.
    pub database: String,
    /// The schema that it lies in.
    pub schema: String,
    /// Its name.
    pub name: String,
}

/// As it is called in a sentence.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {:?}.{:?} of database {:?}", self.schema, self.name, self.database)
    }
}

/// Which commands a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyCommand {
    /// `FOR ALL`.
    All,
    /// `FOR SELECT`.
    Select,
    /// `FOR INSERT`.
    Insert,
    /// `FOR UPDATE`.
    Update,
    /// `FOR DELETE`.
    Delete,
}

impl PolicyCommand {
    /// Each with its keyword, and what `pg_policy.polcmd` has for it.
    pub const WORDS: [(&'static str, &'static str, PolicyCommand); 5] = [
        ("ALL", "*", PolicyCommand::All),
        ("SELECT", "r", PolicyCommand::Select),
        ("INSERT", "a", PolicyCommand::Insert),
        ("UPDATE", "w", PolicyCommand::Update),
        ("DELETE", "d", PolicyCommand::Delete),
    ];

    /// What SQL calls it.
    pub fn keyword(self) -> &'static str {
        Self::WORDS.iter().find(|(_, _, known)| *known == self).map_or("ALL", |(word, _, _)| word)
    }

    /// The command of this keyword, in any case.
    pub fn from_keyword(word: &str) -> Option<PolicyCommand> {
        Self::WORDS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(word)).map(|(_, _, command)| *command)
    }

    /// The command that the catalog has this letter for.
    pub fn from_letter(letter: &str) -> Option<PolicyCommand> {
        Self::WORDS.iter().find(|(_, known, _)| *known == letter).map(|(_, _, command)| *command)
    }

    /// Whether there are rows that it looks at: an INSERT meets none.
    pub fn takes_using(self) -> bool {
        self != PolicyCommand::Insert
    }

    /// Whether there are rows that it writes.
    pub fn takes_check(self) -> bool {
        !matches!(self, PolicyCommand::Select | PolicyCommand::Delete)
    }
}

/// A policy as declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowPolicy {
    /// Its name, unique for its table.
    pub name: String,
    /// What it is for.
    pub command: PolicyCommand,
    /// Of the permissive ones one has to let a row through, of the restrictive ones all.
    pub permissive: bool,
    /// Whom it is for; [`super::PUBLIC`]: everybody.
    pub roles: BTreeSet<String>,
    /// SQL: which rows there are.
    pub using: Option<String>,
    /// SQL: which rows may be written.
    pub check: Option<String>,
    /// JSON pointer to the declaration.
    pub path: String,
}

impl RowPolicy {
    /// Digest of the expressions as they are written. PostgreSQL keeps a tree of them and prints that in its own way.
    pub fn digest(&self) -> String {
        digest_of(self.using.as_deref(), self.check.as_deref())
    }
}

/// Digest of two expressions; one that is absent is none that is empty.
pub fn digest_of(using: Option<&str>, check: Option<&str>) -> String {
    let mut digest = Sha256::new();
    for text in [using, check] {
        match text {
            Some(text) => {
                digest.update((text.len() as u64).to_le_bytes());
                digest.update(text);
            }
            None => digest.update(u64::MAX.to_le_bytes()),
        }
    }
    digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What is declared of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableSecurity {
    /// `ENABLE ROW LEVEL SECURITY`.
    pub enabled: bool,
    /// `FORCE ROW LEVEL SECURITY`: for its owner, too. `None` leaves it as it is.
    pub forced: Option<bool>,
    /// These and no others, by name; `None` leaves them as they are.
    pub policies: Option<BTreeMap<String, RowPolicy>>,
    /// JSON pointer to the declaration.
    pub path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_expressions_apart_and_where_they_stand() {
        let all = [
            digest_of(None, None),
            digest_of(Some(""), None),
            digest_of(Some("a"), None),
            digest_of(None, Some("a")),
            digest_of(Some("a"), Some("a")),
            digest_of(Some("aa"), None),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(digest_of(Some("a"), None), digest_of(Some("a"), None));
    }
}
