//! The nouns that every room shares: roles, memberships, grants, and what may be known of a
//! password. Plain data, ordered and comparable; no I/O, no policy and no SQL lives here.
//!
//! The same [`Role`] describes a role as declared and as found. The types mirror `wit/types.wit`,
//! which is their documentation for policy authors; `policy/convert.rs` is the only place that
//! knows both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use crate::generated::Generate;

mod object;
pub mod row_security;
mod script;

pub use object::ObjectKind;
pub use row_security::{PolicyCommand, RowPolicy, TableName, TableSecurity};
pub use script::{Run, Script, is_script_name};

bitflags! {
    /// Role attributes: <https://www.postgresql.org/docs/current/role-attributes.html>.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct Attributes: u8 {
        /// May open a session.
        const LOGIN = 1;
        /// Bypasses every permission check.
        const SUPERUSER = 1 << 1;
        /// May create databases.
        const CREATEDB = 1 << 2;
        /// May create roles.
        const CREATEROLE = 1 << 3;
        /// Uses the privileges of the roles it is a member of without SET ROLE.
        const INHERIT = 1 << 4;
        /// May stream the write-ahead log.
        const REPLICATION = 1 << 5;
        /// Is not subject to row-level security.
        const BYPASSRLS = 1 << 6;
    }
}

bitflags! {
    /// Privileges: <https://www.postgresql.org/docs/current/ddl-priv.html>.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
    pub struct Privileges: u16 {
        /// SELECT
        const SELECT = 1;
        /// INSERT
        const INSERT = 1 << 1;
        /// UPDATE
        const UPDATE = 1 << 2;
        /// DELETE
        const DELETE = 1 << 3;
        /// TRUNCATE
        const TRUNCATE = 1 << 4;
        /// REFERENCES
        const REFERENCES = 1 << 5;
        /// TRIGGER
        const TRIGGER = 1 << 6;
        /// MAINTAIN (17 and later)
        const MAINTAIN = 1 << 7;
        /// USAGE
        const USAGE = 1 << 8;
        /// CREATE
        const CREATE = 1 << 9;
        /// CONNECT
        const CONNECT = 1 << 10;
        /// TEMPORARY
        const TEMPORARY = 1 << 11;
        /// EXECUTE
        const EXECUTE = 1 << 12;
        /// SET (15 and later)
        const SET = 1 << 13;
        /// ALTER SYSTEM (15 and later)
        const ALTER_SYSTEM = 1 << 14;
    }
}

impl Attributes {
    /// What `CREATE ROLE name LOGIN` gives: the attributes of a declared user.
    pub const USER: Attributes = Attributes::LOGIN.union(Attributes::INHERIT);
    /// What `CREATE ROLE name` gives: the attributes of a group role.
    pub const GROUP: Attributes = Attributes::INHERIT;

    /// The keywords of the set flags, in the order of the manual: `LOGIN`, `CREATEDB`, ….
    pub fn keywords(self) -> impl Iterator<Item = &'static str> {
        self.iter_names().map(|(name, _)| name)
    }
}

impl Privileges {
    /// The keywords of the set flags as GRANT takes them: `SELECT`, `ALTER SYSTEM`, ….
    pub fn keywords(self) -> impl Iterator<Item = &'static str> {
        self.iter_names().map(|(name, flag)| if flag == Privileges::ALTER_SYSTEM { "ALTER SYSTEM" } else { name })
    }

    /// The privilege that GRANT takes by this keyword, in capitals.
    pub fn from_keyword(keyword: &str) -> Option<Privileges> {
        Privileges::all().iter().find(|privilege| privilege.keywords().eq([keyword]))
    }
}

/// `CONNECTION LIMIT`: how many sessions a role may have at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// `-1`, PostgreSQL's default.
    Unlimited,
    /// At most this many sessions.
    AtMost(u32),
}

/// `VALID UNTIL`: when a role's password stops working.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// NULL and `infinity` alike: PostgreSQL cannot go back to NULL.
    Never,
    /// Unix seconds, rounded down; `i64::MIN` is `-infinity`.
    At(i64),
}

/// The edge from a member to a role that it is a member of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership {
    /// The role that the member belongs to.
    pub role: String,
    /// ADMIN OPTION.
    pub admin: bool,
    /// INHERIT OPTION (kept by PostgreSQL 16 and later).
    pub inherit: bool,
    /// SET OPTION (kept by PostgreSQL 16 and later).
    pub set: bool,
    /// Unix seconds at which the membership ends.
    pub until: Option<i64>,
    /// Who granted it: `None` as declared, given as found.
    pub grantor: Option<String>,
}

impl Membership {
    /// What `GRANT role TO member` gives: INHERIT and SET, no ADMIN.
    pub fn plain(role: impl Into<String>) -> Self {
        Membership { role: role.into(), admin: false, inherit: true, set: true, until: None, grantor: None }
    }
}

/// What the host knows of the Secret that a password comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretState {
    /// There, with a password in it.
    Present,
    /// No such Secret, or no such key in it.
    Missing,
    /// The key holds nothing.
    Empty,
    /// The Secret could not be read.
    Unreadable,
}

/// What may be known of a password: never the password, a verifier, or a hash of either.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credential {
    /// Name of the Secret, in the namespace of the ConfigMap.
    pub secret: String,
    /// Key in the Secret.
    pub key: String,
    /// Whether it can be used.
    pub state: SecretState,
    /// Opaque; changes whenever the Secret is written.
    pub version: String,
    /// When the key was last written, in Unix seconds, as far as the source knows.
    pub changed_at: Option<i64>,
    /// The labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// Estimated strength, 0 to 4.
    pub strength: Option<u8>,
    /// Does the server hold this password? `None`: the role does not exist yet.
    pub in_sync: Option<bool>,
}

impl Credential {
    /// A password of which nothing is known but where it is to be.
    pub fn new(secret: impl Into<String>, key: impl Into<String>) -> Self {
        Credential {
            secret: secret.into(),
            key: key.into(),
            state: SecretState::Missing,
            version: String::new(),
            changed_at: None,
            labels: BTreeMap::new(),
            strength: None,
            in_sync: None,
        }
    }
}

/// `ALTER ROLE … [IN DATABASE …] SET name = value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Setting {
    /// `None`: in every database.
    pub database: Option<String>,
    /// Name of the configuration parameter.
    pub name: String,
    /// Its value as PostgreSQL stores it.
    pub value: String,
}

/// What a privilege is held on; see `wit/types.wit` for each case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Object {
    Database(String),
    Parameter(String),
    Tablespace(String),
    Schema(String),
    Table { schema: String, name: String },
    Column { schema: String, table: String, column: String },
    Sequence { schema: String, name: String },
    Routine { schema: String, name: String, arguments: String },
    Type { schema: String, name: String },
    Language(String),
    ForeignDataWrapper(String),
    ForeignServer(String),
    LargeObject(u32),
    AllTables(String),
    AllSequences(String),
    AllRoutines(String),
    AllTypes(String),
    FutureTables { owner: String, schema: Option<String> },
    FutureSequences { owner: String, schema: Option<String> },
    FutureRoutines { owner: String, schema: Option<String> },
    FutureTypes { owner: String, schema: Option<String> },
    FutureSchemas { owner: String, schema: Option<String> },
}

/// Privileges of one role on one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// The database that the object lives in; `None` for objects of the whole server.
    pub database: Option<String>,
    /// The object.
    pub on: Object,
    /// What is held.
    pub privileges: Privileges,
    /// The part of it held WITH GRANT OPTION.
    pub grantable: Privileges,
}

/// Whose a role is; decided by the host, never by a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Declared, or recorded in the ledger as made or adopted by Rolewright.
    Managed,
    /// Never touched.
    Protected,
    /// Somebody else's.
    Foreign,
}

/// How much of a declared role the spec speaks for; see `wit/types.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mode {
    /// The role ends exactly as declared.
    #[default]
    Authoritative,
    /// What is declared is granted; what is there beyond it stays.
    Additive,
    /// As additive, for a role that is there already: it is never made. The contract has no word for it, so policies
    /// see an additive role.
    Adopt,
    /// The role must exist; found, it is left as it is.
    Present,
    /// Differences are reported only.
    Observe,
}

impl Mode {
    /// The modes that users.yaml has a word for.
    pub const WORDS: [(&'static str, Mode); 4] = [
        ("authoritative", Mode::Authoritative),
        ("additive", Mode::Additive),
        ("adopt", Mode::Adopt),
        ("observe", Mode::Observe),
    ];

    /// Whether what a role has beyond the declared stays with it.
    pub fn keeps(self) -> bool {
        matches!(self, Mode::Additive | Mode::Adopt)
    }
}

/// A role, as declared or as found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Name as the catalog stores it: unquoted, at most 63 bytes.
    pub name: String,
    /// How much of it the spec speaks for.
    pub mode: Mode,
    /// Whose it is.
    pub standing: Standing,
    /// Its attributes.
    pub attributes: Attributes,
    /// As declared: `None` leaves the default for the mode.
    pub connection_limit: Option<Limit>,
    /// As declared: `None` leaves the default for the mode.
    pub valid_until: Option<Expiry>,
    /// As declared: `None` leaves it as it is.
    pub comment: Option<String>,
    /// Sorted by role, then grantor.
    pub memberships: Vec<Membership>,
    /// Sorted.
    pub settings: Vec<Setting>,
    /// Sorted by database, then object.
    pub grants: Vec<Grant>,
    /// Declared: `Some(false)` is `password: none`. Found: `None` where it can't be seen.
    pub has_password: Option<bool>,
    /// As declared only.
    pub credential: Option<Credential>,
    /// As declared only.
    pub labels: BTreeMap<String, String>,
    /// JSON pointer to the declaration, or to the first naming; empty as found.
    pub path: String,
}

impl Role {
    /// A role with nothing but a name and attributes.
    pub fn new(name: impl Into<String>, mode: Mode, attributes: Attributes) -> Self {
        Role {
            name: name.into(),
            mode,
            standing: Standing::Managed,
            attributes,
            connection_limit: None,
            valid_until: None,
            comment: None,
            memberships: Vec::new(),
            settings: Vec::new(),
            grants: Vec::new(),
            has_password: None,
            credential: None,
            labels: BTreeMap::new(),
            path: String::new(),
        }
    }

    /// A role that may log in is a user; the others are group roles.
    pub fn is_user(&self) -> bool {
        self.attributes.contains(Attributes::LOGIN)
    }

    /// The databases that the role holds a CONNECT grant on, in order.
    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.grants.iter().filter_map(|grant| match &grant.on {
            Object::Database(name) if grant.privileges.contains(Privileges::CONNECT) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// A schema of a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its owner; as declared, `None` leaves it as it is.
    pub owner: Option<String>,
    /// JSON pointer to the declaration.
    pub path: String,
}

/// A database, as declared or as found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its owner; as declared, `None` leaves it as it is.
    pub owner: Option<String>,
    /// As declared, `None` leaves it as it is.
    pub connection_limit: Option<Limit>,
    /// As declared, `None` leaves it as it is.
    pub comment: Option<String>,
    /// Its schemas, sorted.
    pub schemas: Vec<Schema>,
    /// As declared only.
    pub labels: BTreeMap<String, String>,
    /// JSON pointer to the declaration; empty as found.
    pub path: String,
}

/// The grantee that stands for everybody. PostgreSQL lets no role have this name, so among roles it means nobody else.
pub const PUBLIC: &str = "public";

/// The schema of DB_NAME that the ledger lies in: who could write there could make Rolewright believe anything.
pub const LEDGER_SCHEMA: &str = "rolewright";

impl Database {
    /// One of which nothing is known but its name.
    pub fn new(name: impl Into<String>) -> Self {
        Database {
            name: name.into(),
            owner: None,
            connection_limit: None,
            comment: None,
            schemas: Vec::new(),
            labels: BTreeMap::new(),
            path: String::new(),
        }
    }
}

/// What users.yaml declares, group roles that are only named included. Keys are names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct Spec {
    /// Declared and named roles.
    pub roles: BTreeMap<String, Role>,
    /// Declared databases.
    pub databases: BTreeMap<String, Database>,
    /// Names of scripts that may be run.
    pub scripts: Vec<String>,
    /// Roles of which users.yaml says what settings they have, be it none. The host's own: no policy sees it.
    pub exact_settings: BTreeSet<String>,
    /// What PUBLIC holds on those databases and schemas that say so, be it nothing; one entry for each of them. The
    /// host's own until a plan is made: then PUBLIC is a role like the others.
    pub public: Vec<Grant>,
    /// Tables whose row-level security is declared. The host's own: no policy sees it.
    pub row_security: BTreeMap<TableName, TableSecurity>,
    /// What roles were called before, by the names that they are to have. The host's own: no policy sees it.
    pub renamed_from: BTreeMap<String, String>,
    /// Users that must not log in for now, and are users all the same. The host's own: no policy sees it.
    pub disabled: BTreeSet<String>,
    /// The mode of the whole file: of the roles that have none of their own, and of what PUBLIC holds. Of databases it
    /// says no more than whether they are only observed. The host's own.
    pub mode: Mode,
    /// Roles that are not Rolewright's and may be named, whatever becomes of them. The host's own.
    pub external: BTreeSet<String>,
    /// Roles that nobody declares, and only what is observed names: neither made nor dropped. The host's own.
    pub spared: BTreeSet<String>,
    /// Users whose passwords the host makes. The host's own: no policy sees it.
    pub generated: BTreeMap<String, Generate>,
}

impl Spec {
    /// Takes over from the spec that a policy was given what no policy sees.
    pub fn keep_own(&mut self, before: &Spec) {
        self.exact_settings.clone_from(&before.exact_settings);
        self.public.clone_from(&before.public);
        self.row_security.clone_from(&before.row_security);
        self.renamed_from.clone_from(&before.renamed_from);
        self.disabled.clone_from(&before.disabled);
        self.mode = before.mode;
        self.external.clone_from(&before.external);
        self.spared.clone_from(&before.spared);
        self.generated.clone_from(&before.generated);
        let was_adopted = |name: &String| before.roles.get(name).is_some_and(|role| role.mode == Mode::Adopt);
        for (_, role) in self.roles.iter_mut().filter(|(name, role)| role.mode == Mode::Additive && was_adopted(name)) {
            role.mode = Mode::Adopt;
        }
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Worth a look; blocks nothing.
    Warning,
    /// Blocks the plan, or the one user that it is about.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// Something that the host or a policy has to say about the spec, before it has a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// A stable kebab-case word for the rule.
    pub code: String,
    /// How much it matters.
    pub severity: Severity,
    /// RFC 6901 pointer into users.yaml.
    pub path: String,
    /// One sentence: what is wrong, and why.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The policy that said so; `None`: the host.
    pub policy: Option<String>,
}

impl Finding {
    /// A finding of the host.
    pub fn new(severity: Severity, code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding {
            code: code.to_owned(),
            severity,
            path: path.into(),
            message: message.into(),
            help: None,
            policy: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
