//! The JSON form of a role as it was last left. Only what PostgreSQL keeps: no path, no credential.

use serde::{Deserialize, Serialize};

use super::{LedgerError, Ran};
use crate::model::{Attributes, Expiry, Grant, Limit, Membership, Mode, Object, Privileges, Role, Setting, Standing};
use crate::resolve::{Kind, Origin};

#[derive(Debug, Serialize, Deserialize)]
struct AppliedRole {
    attributes: Vec<String>,
    /// Of a role that cannot log in: whether it was declared itself, and not only named by others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    declared: bool,
    /// Absent: authoritative, or only named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connection_limit: Option<u32>,
    /// Unix seconds; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    memberships: Vec<AppliedMembership>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    databases: Vec<AppliedDatabase>,
    /// What it holds inside of databases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<AppliedGrant>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settings: Vec<AppliedSetting>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    has_password: Option<bool>,
    /// Of a user that has gone from users.yaml and is not dropped yet: when it was disabled, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaving_since: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AppliedMembership {
    role: String,
    #[serde(default)]
    admin: bool,
    inherit: bool,
    set: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct AppliedDatabase {
    database: String,
    privileges: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grantable: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AppliedGrant {
    /// Absent for what belongs to the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// Such as `table` or `future-tables`.
    on: String,
    /// Default privileges: whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
    /// Columns: which one of the table that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// Large objects have no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<u32>,
    privileges: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grantable: Vec<String>,
}

impl AppliedGrant {
    /// `None` for databases, which have a list of their own.
    fn of(grant: &Grant) -> Option<AppliedGrant> {
        let mut applied = AppliedGrant {
            database: grant.database.clone(),
            on: String::new(),
            owner: grant.on.future_owner().map(str::to_owned),
            schema: grant.on.schema().map(str::to_owned),
            name: None,
            arguments: None,
            column: None,
            oid: None,
            privileges: words(grant.privileges),
            grantable: words(grant.grantable),
        };
        let (on, name, arguments) = match &grant.on {
            Object::Database(_) => return None,
            Object::Schema(_) => ("schema", None, None),
            Object::Table { name, .. } => ("table", Some(name), None),
            Object::Sequence { name, .. } => ("sequence", Some(name), None),
            Object::Routine { name, arguments, .. } => ("routine", Some(name), Some(arguments)),
            Object::AllTables(_) => ("all-tables", None, None),
            Object::AllSequences(_) => ("all-sequences", None, None),
            Object::AllRoutines(_) => ("all-routines", None, None),
            Object::AllTypes(_) => ("all-types", None, None),
            Object::FutureTables { .. } => ("future-tables", None, None),
            Object::FutureSequences { .. } => ("future-sequences", None, None),
            Object::FutureRoutines { .. } => ("future-routines", None, None),
            Object::FutureTypes { .. } => ("future-types", None, None),
            Object::FutureSchemas { .. } => ("future-schemas", None, None),
            Object::Type { name, .. } => ("type", Some(name), None),
            Object::Language(name) => ("language", Some(name), None),
            Object::ForeignDataWrapper(name) => ("foreign-data-wrapper", Some(name), None),
            Object::ForeignServer(name) => ("foreign-server", Some(name), None),
            Object::Parameter(name) => ("parameter", Some(name), None),
            Object::Tablespace(name) => ("tablespace", Some(name), None),
            Object::Column { table, column, .. } => {
                applied.column = Some(column.clone());
                ("column", Some(table), None)
            }
            Object::LargeObject(oid) => {
                applied.oid = Some(*oid);
                ("large-object", None, None)
            }
        };
        applied.on = on.to_owned();
        applied.name = name.cloned();
        applied.arguments = arguments.cloned();
        Some(applied)
    }

    /// `None` where it does not say which object.
    fn grant(self) -> Option<Grant> {
        let (schema, owner) = (self.schema, self.owner);
        let on = match self.on.as_str() {
            "schema" => Object::Schema(schema?),
            "table" => Object::Table { schema: schema?, name: self.name? },
            "sequence" => Object::Sequence { schema: schema?, name: self.name? },
            "routine" => Object::Routine { schema: schema?, name: self.name?, arguments: self.arguments? },
            "all-tables" => Object::AllTables(schema?),
            "all-sequences" => Object::AllSequences(schema?),
            "all-routines" => Object::AllRoutines(schema?),
            "all-types" => Object::AllTypes(schema?),
            "future-tables" => Object::FutureTables { owner: owner?, schema },
            "future-sequences" => Object::FutureSequences { owner: owner?, schema },
            "future-routines" => Object::FutureRoutines { owner: owner?, schema },
            "future-types" => Object::FutureTypes { owner: owner?, schema },
            "future-schemas" => Object::FutureSchemas { owner: owner?, schema },
            "type" => Object::Type { schema: schema?, name: self.name? },
            "language" => Object::Language(self.name?),
            "foreign-data-wrapper" => Object::ForeignDataWrapper(self.name?),
            "foreign-server" => Object::ForeignServer(self.name?),
            "parameter" => Object::Parameter(self.name?),
            "tablespace" => Object::Tablespace(self.name?),
            "column" => Object::Column { schema: schema?, table: self.name?, column: self.column? },
            "large-object" => Object::LargeObject(self.oid?),
            _ => return None,
        };
        let (privileges, grantable) = (of_words(&self.privileges), of_words(&self.grantable));
        if on.is_of_server() != self.database.is_none() {
            return None;
        }
        Some(Grant { database: self.database, on, privileges, grantable })
    }
}

fn words(privileges: Privileges) -> Vec<String> {
    privileges.iter_names().map(|(name, _)| name.to_owned()).collect()
}

fn of_words(words: &[String]) -> Privileges {
    words.iter().filter_map(|word| Privileges::from_name(word)).fold(Privileges::empty(), |a, b| a | b)
}

#[derive(Debug, Serialize, Deserialize)]
struct AppliedSetting {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    name: String,
    value: String,
}

pub(super) fn to_json(role: &Role, leaving_since: Option<i64>) -> String {
    let applied = AppliedRole {
        attributes: role.attributes.keywords().map(str::to_owned).collect(),
        declared: role.mode != Mode::Present && !role.is_user(),
        mode: mode_word(role.mode).map(str::to_owned),
        connection_limit: match role.connection_limit {
            Some(Limit::AtMost(limit)) => Some(limit),
            _ => None,
        },
        valid_until: match role.valid_until {
            Some(Expiry::At(seconds)) => Some(seconds),
            _ => None,
        },
        comment: role.comment.clone(),
        memberships: role
            .memberships
            .iter()
            .map(|edge| AppliedMembership {
                role: edge.role.clone(),
                admin: edge.admin,
                inherit: edge.inherit,
                set: edge.set,
            })
            .collect(),
        databases: role
            .grants
            .iter()
            .filter_map(|grant| match &grant.on {
                Object::Database(database) => Some(AppliedDatabase {
                    database: database.clone(),
                    privileges: words(grant.privileges),
                    grantable: words(grant.grantable),
                }),
                _ => None,
            })
            .collect(),
        grants: role.grants.iter().filter_map(AppliedGrant::of).collect(),
        settings: role
            .settings
            .iter()
            .map(|setting| AppliedSetting {
                database: setting.database.clone(),
                name: setting.name.clone(),
                value: setting.value.clone(),
            })
            .collect(),
        has_password: role.has_password,
        leaving_since,
    };
    // Strings, numbers and lists of them: there is nothing in it that could fail.
    serde_json::to_string(&applied).unwrap_or_default()
}

pub(super) fn from_json(name: &str, json: &str) -> Result<(Role, Option<i64>), LedgerError> {
    let applied: AppliedRole = serde_json::from_str(json)
        .map_err(|error| LedgerError::Unreadable { name: name.to_owned(), why: error.to_string() })?;
    let attributes = applied
        .attributes
        .iter()
        .filter_map(|word| Attributes::from_name(word))
        .fold(Attributes::empty(), |a, b| a | b);
    let declared = applied.declared || attributes.contains(Attributes::LOGIN);
    let mode = match applied.mode.as_deref() {
        Some(word) => mode(name, word)?,
        None if declared => Mode::Authoritative,
        None => Mode::Present,
    };
    let mut role = Role::new(name, mode, attributes);
    role.standing = Standing::Managed;
    role.connection_limit = Some(applied.connection_limit.map_or(Limit::Unlimited, Limit::AtMost));
    role.valid_until = Some(applied.valid_until.map_or(Expiry::Never, Expiry::At));
    role.comment = applied.comment;
    role.memberships = applied
        .memberships
        .into_iter()
        .map(|edge| Membership {
            role: edge.role,
            admin: edge.admin,
            inherit: edge.inherit,
            set: edge.set,
            until: None,
            grantor: None,
        })
        .collect();
    let inside = applied
        .grants
        .into_iter()
        .map(|held| {
            let why = format!("an object of kind {:?}", held.on);
            held.grant().ok_or(LedgerError::Unreadable { name: name.to_owned(), why })
        })
        .collect::<Result<Vec<Grant>, LedgerError>>()?;
    role.grants = applied
        .databases
        .into_iter()
        .map(|held| Grant {
            database: None,
            privileges: of_words(&held.privileges),
            grantable: of_words(&held.grantable),
            on: Object::Database(held.database),
        })
        .chain(inside)
        .collect();
    role.settings = applied
        .settings
        .into_iter()
        .map(|setting| Setting { database: setting.database, name: setting.name, value: setting.value })
        .collect();
    role.has_password = applied.has_password;
    Ok((role, applied.leaving_since))
}

/// What is kept of a record beside its own columns: how the role was left, and since when it leaves.
pub(super) fn applied_of(name: &str, json: Option<&str>) -> Result<(Option<Role>, Option<i64>), LedgerError> {
    let Some(json) = json else { return Ok((None, None)) };
    from_json(name, json).map(|(role, leaving_since)| (Some(role), leaving_since))
}

#[derive(Deserialize)]
struct RanScript {
    digests: Ran,
}

/// The digests in the record of a script, beside which stands when it ran last.
pub(super) fn ran_script(name: &str, json: &str) -> Result<Ran, LedgerError> {
    let unreadable =
        |error: serde_json::Error| LedgerError::Unreadable { name: format!("script {name}"), why: error.to_string() };
    serde_json::from_str(json).map(|ran: RanScript| ran.digests).map_err(unreadable)
}

/// `None` for what older records say without it.
fn mode_word(mode: Mode) -> Option<&'static str> {
    let known = Mode::WORDS.iter().filter(|(_, known)| *known != Mode::Authoritative);
    known.into_iter().find(|(_, known)| *known == mode).map(|(word, _)| *word)
}

/// A mode that is not known may be one that drops nothing.
fn mode(name: &str, word: &str) -> Result<Mode, LedgerError> {
    let known = Mode::WORDS.iter().find(|(known, _)| *known == word).map(|(_, mode)| *mode);
    known.ok_or_else(|| LedgerError::Unreadable { name: name.to_owned(), why: format!("unknown mode {word:?}") })
}

pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Group => "group",
    }
}

pub(super) fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Created => "created",
        Origin::Adopted => "adopted",
    }
}

pub(super) fn kind(name: &str, word: &str) -> Result<Kind, LedgerError> {
    match word {
        "user" => Ok(Kind::User),
        "group" => Ok(Kind::Group),
        _ => Err(LedgerError::Unreadable { name: name.to_owned(), why: format!("unknown kind {word:?}") }),
    }
}

pub(super) fn origin(name: &str, word: &str) -> Result<Origin, LedgerError> {
    match word {
        "created" => Ok(Origin::Created),
        "adopted" => Ok(Origin::Adopted),
        _ => Err(LedgerError::Unreadable { name: name.to_owned(), why: format!("unknown origin {word:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_survives_the_ledger() {
        let mut role = Role::new("alice", Mode::Authoritative, Attributes::USER);
        role.connection_limit = Some(Limit::AtMost(3));
        role.valid_until = Some(Expiry::At(1_800_000_000));
        role.comment = Some("a \"comment\"".into());
        role.memberships = vec![Membership { admin: true, ..Membership::plain("analyst") }];
        role.grants = vec![Grant {
            database: None,
            on: Object::Database("shop".into()),
            privileges: Privileges::CONNECT | Privileges::TEMPORARY,
            grantable: Privileges::CONNECT,
        }];
        role.settings = vec![Setting { database: None, name: "work_mem".into(), value: "64MB".into() }];
        role.has_password = Some(true);
        assert_eq!(from_json("alice", &to_json(&role, None)).expect("readable"), (role.clone(), None));
        role.attributes -= Attributes::LOGIN;
        assert_eq!(from_json("alice", &to_json(&role, Some(7))).expect("readable"), (role, Some(7)), "one that leaves");
        for mode in [Mode::Authoritative, Mode::Additive, Mode::Adopt, Mode::Observe, Mode::Present] {
            let mut group = Role { mode, ..Role::new("analyst", mode, Attributes::GROUP) };
            group.connection_limit = Some(Limit::Unlimited);
            group.valid_until = Some(Expiry::Never);
            assert_eq!(from_json("analyst", &to_json(&group, None)).expect("readable"), (group, None));
        }
    }
}
