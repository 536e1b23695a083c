//! The changes that a plan is made of, as `wit/changes.wit` defines them, and what the host adds
//! to each: the higher of two risks, the cause, and the name of the module that asked for it.

use std::borrow::Cow;
use std::fmt;

use super::row_security::Securing;
use crate::model::{Attributes, Database, Expiry, Grant, Limit, Membership, Object, PUBLIC, Role, Setting, TableName};

/// What to switch on, what to switch off, and what to set; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct RolePatch {
    /// The role to alter.
    pub name: String,
    /// Attributes to switch on.
    pub set: Attributes,
    /// Attributes to switch off.
    pub clear: Attributes,
    /// `CONNECTION LIMIT`.
    pub connection_limit: Option<Limit>,
    /// `VALID UNTIL`.
    pub valid_until: Option<Expiry>,
    /// An empty comment removes it.
    pub comment: Option<String>,
}

/// One change to the server. The host owns the SQL of each case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// The role with its attributes, memberships, and password if its credential is present.
    CreateRole(Role),
    /// `ALTER ROLE`.
    AlterRole(RolePatch),
    /// `ALTER ROLE … RENAME TO …`.
    RenameRole {
        /// The name it has.
        from: String,
        /// The name it gets.
        to: String,
    },
    /// The password from the role's Secret.
    SetPassword(String),
    /// `PASSWORD NULL`.
    ClearPassword(String),
    /// `GRANT role TO member`.
    GrantRole {
        /// Who becomes a member.
        member: String,
        /// Of what, and with which options.
        membership: Membership,
    },
    /// `REVOKE role FROM member`: the whole edge of the grantor named.
    RevokeRole {
        /// Who is a member.
        member: String,
        /// The edge as found.
        membership: Membership,
    },
    /// `GRANT privileges ON object`; `role` is `None` for PUBLIC.
    GrantPrivilege {
        /// The grantee.
        role: Option<String>,
        /// What is granted.
        grant: Grant,
    },
    /// `REVOKE`: `privileges` go wholly; of `grantable`, those not in `privileges` lose only their
    /// grant option.
    RevokePrivilege {
        /// The grantee.
        role: Option<String>,
        /// What is revoked.
        grant: Grant,
    },
    /// `ALTER ROLE … SET`.
    SetSetting {
        /// The role.
        role: String,
        /// The setting with its value.
        setting: Setting,
    },
    /// `ALTER ROLE … RESET`.
    ResetSetting {
        /// The role.
        role: String,
        /// The setting; its value does not matter.
        setting: Setting,
    },
    /// NOLOGIN, end sessions, reassign and drop what it owns in every database, DROP ROLE.
    DropRole {
        /// The role to remove.
        name: String,
        /// Who receives what it owned; `None`: the configured role.
        reassign_to: Option<String>,
    },
    /// `CREATE DATABASE`. In a plan, by its name alone.
    CreateDatabase(Database),
    /// `ALTER DATABASE`, or CREATE and ALTER SCHEMA in it. In a plan, never both.
    AlterDatabase(Database),
    /// Row-level security. The host's own: no module can ask for it.
    SecureTable {
        /// The table.
        table: TableName,
        /// What is done to it.
        how: Securing,
    },
    /// Run the custom script of this name.
    RunScript(String),
}

impl Change {
    /// The kebab-case name of the case in `wit/changes.wit`.
    pub fn action(&self) -> &'static str {
        match self {
            Change::CreateRole(_) => "create-role",
            Change::AlterRole(_) => "alter-role",
            Change::RenameRole { .. } => "rename-role",
            Change::SetPassword(_) => "set-password",
            Change::ClearPassword(_) => "clear-password",
            Change::GrantRole { .. } => "grant-role",
            Change::RevokeRole { .. } => "revoke-role",
            Change::GrantPrivilege { .. } => "grant-privilege",
            Change::RevokePrivilege { .. } => "revoke-privilege",
            Change::SetSetting { .. } => "set-setting",
            Change::ResetSetting { .. } => "reset-setting",
            Change::DropRole { .. } => "drop-role",
            Change::CreateDatabase(_) => "create-database",
            Change::AlterDatabase(_) => "alter-database",
            Change::SecureTable { how, .. } => how.action(),
            Change::RunScript(_) => "run-script",
        }
    }

    /// The role that the change is about: the member of an edge, the grantee of a privilege. One that is renamed goes
    /// by the name that it gets, as it does in all other changes of the plan.
    pub fn role(&self) -> Option<&str> {
        match self {
            Change::CreateRole(role) => Some(&role.name),
            Change::AlterRole(patch) => Some(&patch.name),
            Change::RenameRole { to, .. } => Some(to),
            Change::SetPassword(name) | Change::ClearPassword(name) => Some(name),
            Change::GrantRole { member, .. } | Change::RevokeRole { member, .. } => Some(member),
            Change::GrantPrivilege { role, .. } | Change::RevokePrivilege { role, .. } => role.as_deref(),
            Change::SetSetting { role, .. } | Change::ResetSetting { role, .. } => Some(role),
            Change::DropRole { name, .. } => Some(name),
            Change::CreateDatabase(_)
            | Change::AlterDatabase(_)
            | Change::SecureTable { .. }
            | Change::RunScript(_) => None,
        }
    }

    /// Whom the change succeeds or fails with: the role that it is about, or the database, or the table whose rows it is
    /// about, or the script, as these are called in a sentence. What everybody may there belongs to the database.
    pub fn subject(&self) -> Cow<'_, str> {
        if let Change::SecureTable { table, .. } = self {
            return table.to_string().into();
        }
        if let Some(script) = self.script() {
            return script_in_words(script).into();
        }
        match self.own_database() {
            Some(database) => in_words(database).into(),
            None => self.role().unwrap_or_default().into(),
        }
    }

    /// The database that it has to be run in; `None`: any will do.
    pub fn database(&self) -> Option<&str> {
        match self {
            Change::GrantPrivilege { grant, .. } | Change::RevokePrivilege { grant, .. } => grant.database.as_deref(),
            Change::AlterDatabase(database) if !database.schemas.is_empty() => Some(&database.name),
            Change::SecureTable { table, .. } => Some(&table.database),
            _ => None,
        }
    }

    /// The database that it changes as such, or by a schema or a table in it, or by what everybody may there.
    pub fn own_database(&self) -> Option<&str> {
        match self {
            Change::CreateDatabase(database) | Change::AlterDatabase(database) => Some(&database.name),
            Change::SecureTable { table, .. } => Some(&table.database),
            Change::GrantPrivilege { role, grant } | Change::RevokePrivilege { role, grant }
                if role.as_deref() == Some(PUBLIC) =>
            {
                match &grant.on {
                    Object::Database(name) => Some(name),
                    _ => grant.database.as_deref(),
                }
            }
            _ => None,
        }
    }

    /// The script that it runs.
    pub fn script(&self) -> Option<&str> {
        match self {
            Change::RunScript(name) => Some(name),
            _ => None,
        }
    }

    /// How bad the change is if it turns out to be a mistake, in the host's own judgement.
    pub fn risk(&self) -> Risk {
        match self {
            Change::CreateRole(_)
            | Change::GrantRole { .. }
            | Change::GrantPrivilege { .. }
            | Change::SetSetting { .. }
            | Change::CreateDatabase(_) => Risk::Safe,
            // A schema without an owner to be is made, not changed; a comment matters to people only.
            Change::AlterDatabase(database)
                if database.owner.is_none()
                    && !matches!(database.connection_limit, Some(Limit::AtMost(_)))
                    && database.schemas.iter().all(|schema| schema.owner.is_none()) =>
            {
                Risk::Safe
            }
            Change::AlterRole(patch) => {
                let takes_away = !(patch.clear - Attributes::INHERIT).is_empty()
                    || matches!(patch.connection_limit, Some(Limit::AtMost(_)))
                    || matches!(patch.valid_until, Some(Expiry::At(_)));
                if takes_away { Risk::Disruptive } else { Risk::Safe }
            }
            Change::RenameRole { .. }
            | Change::SetPassword(_)
            | Change::ClearPassword(_)
            | Change::RevokeRole { .. }
            | Change::RevokePrivilege { .. }
            | Change::ResetSetting { .. }
            | Change::AlterDatabase(_)
            // Somebody sees other rows than before: more, which is a leak if it is a mistake, or less.
            | Change::SecureTable { .. } => Risk::Disruptive,
            Change::DropRole { .. } | Change::RunScript(_) => Risk::Destructive,
        }
    }
}

/// What a database is called among roles that succeed or fail. PostgreSQL takes a role of that name, too; it would be
/// told the same as the database.
pub fn in_words(database: &str) -> String {
    format!("database {database:?}")
}

/// What a script is called among roles that succeed or fail.
pub fn script_in_words(script: &str) -> String {
    format!("script {script:?}")
}

/// How bad it is if the step turns out to be a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Adds something that can be taken away again.
    Safe,
    /// Takes access away, or changes how somebody logs in.
    Disruptive,
    /// Cannot be undone.
    Destructive,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Risk::Safe => "safe",
            Risk::Disruptive => "disruptive",
            Risk::Destructive => "destructive",
        })
    }
}

/// Why the server differs from the spec: somebody changed the spec, or somebody changed the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The spec moved on from what was last applied.
    Spec,
    /// The server moved away from what was last applied.
    Drift,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Spec => "spec",
            Cause::Drift => "drift",
        })
    }
}

/// A step as a module proposes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// What to do.
    pub change: Change,
    /// The module's view of the risk; the host takes the higher of its own and this.
    pub risk: Risk,
    /// Why, in a few words.
    pub reason: String,
    /// JSON pointer to the wish; empty for what is no longer declared.
    pub path: String,
}

/// A step of a plan: a proposal, judged and attributed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// What to do.
    pub change: Change,
    /// The higher of the host's and the module's risk.
    pub risk: Risk,
    /// Why, in a few words of the module.
    pub reason: String,
    /// JSON pointer to the wish; empty for what is no longer declared.
    pub path: String,
    /// Spec change or drift, as the ledger tells.
    pub cause: Cause,
    /// Name of the module in the chain that asked for it.
    pub by: String,
}

/// What a policy made of a role, before anything was planned: a wish that stands in no users.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The role.
    pub role: String,
    /// The policy's name in the chain.
    pub policy: String,
    /// What the role was; `None`: the policy added it.
    pub before: Option<Role>,
    /// What it became; `None`: the policy took it out.
    pub after: Option<Role>,
}
