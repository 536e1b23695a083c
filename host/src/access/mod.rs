//! Who can do what on a server now, and in which way: a graph of roles, and the privileges on objects. Pure; what is
//! read from a server comes in, answers go out to `present`.
//!
//! ```text
//! words ───► Request ─┐
//! graph (roles) ──────┼─► who ──────► Answer ──────┐
//! objects (ACLs) ─────┤                            ├─► present
//!                     └─► explain ──► Explanation ─┘
//! ```
//!
//! The rules are those of PostgreSQL's `acl.c` and `aclchk.c`. What is reached through something else (a view, a
//! function with SECURITY DEFINER, a parent table) is the business of that object's owner, and not followed.

pub mod explain;
pub mod graph;
pub mod lookup;
pub mod path;
pub mod who;
pub mod words;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod laws;

pub use graph::{Hop, How, Manner, Oid, Role, Roles, Way};
use serde::Serialize;

use crate::model::Privileges;
use crate::printable::name;
use crate::sql::quote::element;

/// Kinds of objects that have privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A database.
    Database,
    /// A schema.
    Schema,
    /// A table, view, materialized view or foreign table.
    Table,
    /// One column of a table.
    Column,
    /// A sequence.
    Sequence,
    /// A function, procedure or aggregate.
    Routine,
    /// A type or domain.
    Type,
    /// A procedural language.
    Language,
    /// A foreign server.
    ForeignServer,
    /// A foreign data wrapper.
    ForeignDataWrapper,
    /// A large object; its name is a number.
    LargeObject,
    /// A configuration parameter.
    Parameter,
    /// A tablespace.
    Tablespace,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 13] = [
        Kind::Database,
        Kind::Schema,
        Kind::Table,
        Kind::Column,
        Kind::Sequence,
        Kind::Routine,
        Kind::Type,
        Kind::Language,
        Kind::ForeignServer,
        Kind::ForeignDataWrapper,
        Kind::LargeObject,
        Kind::Parameter,
        Kind::Tablespace,
    ];

    /// What it is called; in capitals also the keyword of GRANT.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Database => "database",
            Kind::Schema => "schema",
            Kind::Table => "table",
            Kind::Column => "column",
            Kind::Sequence => "sequence",
            Kind::Routine => "routine",
            Kind::Type => "type",
            Kind::Language => "language",
            Kind::ForeignServer => "foreign server",
            Kind::ForeignDataWrapper => "foreign data wrapper",
            Kind::LargeObject => "large object",
            Kind::Parameter => "parameter",
            Kind::Tablespace => "tablespace",
        }
    }

    /// The privileges that a version of the server has for it:
    /// <https://www.postgresql.org/docs/current/ddl-priv.html#PRIVILEGES-SUMMARY-TABLE>.
    pub fn privileges(self, version: u32) -> Privileges {
        let read_and_write = Privileges::SELECT | Privileges::INSERT | Privileges::UPDATE | Privileges::REFERENCES;
        match self {
            Kind::Database => Privileges::CONNECT | Privileges::CREATE | Privileges::TEMPORARY,
            Kind::Schema => Privileges::USAGE | Privileges::CREATE,
            Kind::Table => {
                let all = read_and_write | Privileges::DELETE | Privileges::TRUNCATE | Privileges::TRIGGER;
                if version >= 170_000 { all | Privileges::MAINTAIN } else { all }
            }
            Kind::Column => read_and_write,
            Kind::Sequence => Privileges::USAGE | Privileges::SELECT | Privileges::UPDATE,
            Kind::Routine => Privileges::EXECUTE,
            Kind::Type | Kind::Language | Kind::ForeignServer | Kind::ForeignDataWrapper => Privileges::USAGE,
            Kind::LargeObject => Privileges::SELECT | Privileges::UPDATE,
            Kind::Parameter if version >= 150_000 => Privileges::SET | Privileges::ALTER_SYSTEM,
            Kind::Parameter => Privileges::empty(),
            Kind::Tablespace => Privileges::CREATE,
        }
    }

    /// Whether it belongs to the whole server, so that nobody needs to say in which database it lies.
    pub fn is_shared(self) -> bool {
        matches!(self, Kind::Database | Kind::Parameter | Kind::Tablespace)
    }
}

/// A privilege by its keyword, in any case: `SELECT`, `TEMP`, `ALTER SYSTEM`, ….
pub fn privilege(word: &str) -> Option<Privileges> {
    match word.to_ascii_uppercase().as_str() {
        "TEMP" => Some(Privileges::TEMPORARY),
        "ALTER SYSTEM" => Some(Privileges::ALTER_SYSTEM),
        word => Privileges::from_name(word),
    }
}

/// One privilege that somebody holds on an object, as `aclexplode` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclItem {
    /// Who holds it; `None` is PUBLIC.
    pub grantee: Option<Oid>,
    /// Who granted it.
    pub grantor: Oid,
    /// A single privilege.
    pub privilege: Privileges,
    /// WITH GRANT OPTION.
    pub grantable: bool,
}

/// An object, and who holds what on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Where it lies, if it lies in a schema.
    pub schema: Option<String>,
    /// Its name; of a column, that of its table.
    pub name: String,
    /// Of a routine the types of its arguments, of a column its name.
    pub part: Option<String>,
    /// Its owner.
    pub owner: Oid,
    /// Whether it is a catalog, which nobody but a superuser may write to.
    pub guarded: bool,
    /// Whether something besides privileges decides, see [`Object::caveat`].
    pub limited: bool,
    /// Its ACL, with PostgreSQL's defaults where nobody ever granted anything.
    pub acl: Vec<AclItem>,
}

impl Object {
    /// `table sales.orders`, `routine sales.refund(integer)`, `column total of sales.orders`; identifiers as in SQL.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.kind.word(), self.qualified())
    }

    /// The same without its kind.
    pub fn qualified(&self) -> String {
        let shown = |text: &str| crate::printable::line(text).into_owned();
        let mut text = self.schema.as_deref().map(|schema| element(schema) + ".").unwrap_or_default();
        match (self.kind, &self.part) {
            (Kind::Parameter | Kind::LargeObject, _) => text.push_str(&self.name),
            (Kind::Column, Some(column)) => {
                text = format!("{} of {text}{}", element(column), element(&self.name));
            }
            (Kind::Routine, Some(arguments)) => {
                text.push_str(&format!("{}({arguments})", element(&self.name)));
            }
            _ => text.push_str(&element(&self.name)),
        }
        shown(&text)
    }

    /// What decides besides privileges, if anything does.
    pub fn caveat(&self) -> Option<String> {
        if !self.limited {
            return None;
        }
        Some(match self.kind {
            Kind::Table | Kind::Column => {
                "row-level security is on: policies decide which rows, but for the owner, superusers and BYPASSRLS"
                    .to_owned()
            }
            Kind::Routine => "it is SECURITY DEFINER: whoever runs it acts with the rights of its owner".to_owned(),
            Kind::Database => format!("database {} takes no connections (ALLOW_CONNECTIONS false)", name(&self.name)),
            Kind::Language => {
                "it is not trusted: only a superuser writes functions in it, whoever has USAGE".to_owned()
            }
            Kind::Parameter => "every session may SET it for itself, without any privilege".to_owned(),
            _ => return None,
        })
    }
}

impl Object {
    /// Whether it is PostgreSQL's own.
    pub fn is_system(&self) -> bool {
        self.schema.as_deref().is_some_and(|schema| schema.starts_with("pg_") || schema == "information_schema")
    }
}
