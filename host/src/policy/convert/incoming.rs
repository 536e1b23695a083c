//! The contract's types as the model's: what a module returned. Names are taken as they are, for
//! the guard and `recheck` to judge; texts are made printable; a value that the model can't hold, or
//! that the contract forbids, is an error and not a guess.

use std::collections::BTreeMap;

use super::super::bindings::rolewright::policy::changes::*;
use super::super::bindings::rolewright::policy::log;
use super::super::bindings::rolewright::policy::types as wit;
use super::super::error::Failure;
use super::super::{LogLevel, Verdict};
use super::{ATTRIBUTES, MAX_TEXT, PRIVILEGES, printable};
use crate::model;
use crate::plan::change as plan;

/// Bytes of a finding's code.
const MAX_CODE: usize = 64;

/// Takes in what one module returned.
pub(in crate::policy) struct Incoming<'a> {
    /// Its name in the chain.
    pub(in crate::policy) module: &'a str,
    /// Steps or findings that it may return.
    pub(in crate::policy) items: usize,
}

impl Incoming<'_> {
    pub(in crate::policy) fn findings(&self, findings: Vec<wit::Finding>) -> Result<Vec<model::Finding>, Failure> {
        if findings.len() > self.items {
            return Err(Failure::TooMuchOutput { what: "findings", limit: self.items });
        }
        findings.into_iter().map(|finding| self.finding(finding)).collect()
    }

    fn finding(&self, finding: wit::Finding) -> Result<model::Finding, Failure> {
        if !is_kebab_case(&finding.code) || finding.code.len() > MAX_CODE {
            let code = printable(&finding.code, MAX_CODE);
            return Err(bad(format!("the code of a finding is `{code}`, which is not a short kebab-case word")));
        }
        if !(finding.path.is_empty() || finding.path.starts_with('/')) {
            let path = printable(&finding.path, MAX_TEXT);
            return Err(bad(format!(
                "the path of a finding is `{path}`, which is no JSON pointer: it starts with no `/`"
            )));
        }
        Ok(model::Finding {
            code: finding.code,
            severity: match finding.severity {
                wit::Severity::Info => model::Severity::Info,
                wit::Severity::Warning => model::Severity::Warning,
                wit::Severity::Error => model::Severity::Error,
            },
            path: printable(&finding.path, MAX_TEXT),
            message: printable(&finding.message, MAX_TEXT),
            help: finding.help.map(|help| printable(&help, MAX_TEXT)),
            policy: Some(self.module.to_owned()),
        })
    }

    pub(in crate::policy) fn proposals(&self, steps: Vec<StepResult>) -> Result<Vec<plan::Proposal>, Failure> {
        if steps.len() > self.items {
            return Err(Failure::TooMuchOutput { what: "steps", limit: self.items });
        }
        let proposal = |step: StepResult| {
            Ok(plan::Proposal {
                change: change(step.change)?,
                risk: match step.risk {
                    Risk::Safe => plan::Risk::Safe,
                    Risk::Disruptive => plan::Risk::Disruptive,
                    Risk::Destructive => plan::Risk::Destructive,
                },
                reason: printable(&step.reason, MAX_TEXT),
                path: printable(&step.path, MAX_TEXT),
            })
        };
        steps.into_iter().map(proposal).collect()
    }

    pub(in crate::policy) fn spec(&self, spec: wit::SpecResult) -> Result<model::Spec, Failure> {
        let mut scripts = spec.scripts;
        scripts.sort();
        Ok(model::Spec {
            roles: by_name("role", spec.roles, |found| Ok((found.name.clone(), role(found)?)))?,
            databases: by_name("database", spec.databases, |found| Ok((found.name.clone(), database(found)?)))?,
            scripts,
            // No policy knows of it: who takes the spec over keeps its own.
            ..model::Spec::default()
        })
    }
}

pub(in crate::policy) fn level(level: log::Level) -> LogLevel {
    match level {
        log::Level::Debug => LogLevel::Debug,
        log::Level::Info => LogLevel::Info,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Error => LogLevel::Error,
    }
}

pub(in crate::policy) fn verdict(verdict: crate::policy::bindings::rolewright::policy::changes::Verdict) -> Verdict {
    use crate::policy::bindings::rolewright::policy::changes::Verdict as Theirs;
    match verdict {
        Theirs::Allow => Verdict::Allow,
        Theirs::Hold => Verdict::Hold,
        Theirs::Deny => Verdict::Deny,
    }
}

/// Lower-case words and digits, joined by single hyphens.
pub(in crate::policy) fn is_kebab_case(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.split('-').all(word)
}

fn bad(what: String) -> Failure {
    Failure::BadOutput(what)
}

/// A map from a list that names everything once.
fn by_name<T, M>(
    what: &str,
    list: Vec<T>,
    convert: impl Fn(T) -> Result<(String, M), Failure>,
) -> Result<BTreeMap<String, M>, Failure> {
    let mut map = BTreeMap::new();
    for item in list {
        let (name, item) = convert(item)?;
        if map.contains_key(&name) {
            return Err(bad(format!("it names the {what} `{}` twice", printable(&name, MAX_TEXT))));
        }
        map.insert(name, item);
    }
    Ok(map)
}

fn labels(labels: Vec<wit::LabelResult>) -> Result<BTreeMap<String, String>, Failure> {
    by_name("label", labels, |label| Ok((label.key, label.value)))
}

fn role(role: wit::RoleResult) -> Result<model::Role, Failure> {
    // The model keeps its lists sorted, and a module has no reason to.
    let mut memberships: Vec<_> = role.memberships.into_iter().map(membership).collect();
    memberships.sort();
    let mut settings: Vec<_> = role.settings.into_iter().map(setting).collect();
    settings.sort();
    let mut grants: Vec<_> = role.grants.into_iter().map(grant).collect();
    grants.sort();
    Ok(model::Role {
        name: role.name,
        mode: match role.mode {
            wit::Mode::Authoritative => model::Mode::Authoritative,
            wit::Mode::Additive => model::Mode::Additive,
            wit::Mode::Present => model::Mode::Present,
            wit::Mode::Observe => model::Mode::Observe,
        },
        standing: match role.standing {
            wit::Standing::Managed => model::Standing::Managed,
            wit::Standing::Protected => model::Standing::Protected,
            wit::Standing::Foreign => model::Standing::Foreign,
        },
        attributes: attributes(role.attributes),
        connection_limit: role.connection_limit.map(limit),
        valid_until: role.valid_until.map(expiry),
        comment: role.comment,
        memberships,
        settings,
        grants,
        has_password: role.has_password,
        credential: role.credential.map(credential).transpose()?,
        labels: labels(role.labels)?,
        path: role.path,
    })
}

fn database(database: wit::DatabaseResult) -> Result<model::Database, Failure> {
    let schema =
        |schema: wit::SchemaResult| model::Schema { name: schema.name, owner: schema.owner, path: schema.path };
    let mut schemas: Vec<_> = database.schemas.into_iter().map(schema).collect();
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(model::Database {
        name: database.name,
        owner: database.owner,
        connection_limit: database.connection_limit.map(limit),
        comment: database.comment,
        schemas,
        labels: labels(database.labels)?,
        path: database.path,
    })
}

fn change(change: ChangeResult) -> Result<plan::Change, Failure> {
    Ok(match change {
        ChangeResult::CreateRole(found) => plan::Change::CreateRole(role(found)?),
        ChangeResult::AlterRole(patch) => plan::Change::AlterRole(plan::RolePatch {
            name: patch.name,
            set: attributes(patch.set),
            clear: attributes(patch.clear),
            connection_limit: patch.connection_limit.map(limit),
            valid_until: patch.valid_until.map(expiry),
            comment: patch.comment,
        }),
        ChangeResult::RenameRole(rename) => plan::Change::RenameRole { from: rename.from, to: rename.to },
        ChangeResult::SetPassword(name) => plan::Change::SetPassword(name),
        ChangeResult::ClearPassword(name) => plan::Change::ClearPassword(name),
        ChangeResult::GrantRole(edge) => {
            plan::Change::GrantRole { member: edge.member, membership: membership(edge.membership) }
        }
        ChangeResult::RevokeRole(edge) => {
            plan::Change::RevokeRole { member: edge.member, membership: membership(edge.membership) }
        }
        ChangeResult::GrantPrivilege(held) => {
            plan::Change::GrantPrivilege { role: grantee(held.role), grant: grant(held.grant) }
        }
        ChangeResult::RevokePrivilege(held) => {
            plan::Change::RevokePrivilege { role: grantee(held.role), grant: grant(held.grant) }
        }
        ChangeResult::SetSetting(value) => {
            plan::Change::SetSetting { role: value.role, setting: setting(value.setting) }
        }
        ChangeResult::ResetSetting(value) => {
            plan::Change::ResetSetting { role: value.role, setting: setting(value.setting) }
        }
        ChangeResult::DropRole(removal) => {
            plan::Change::DropRole { name: removal.name, reassign_to: removal.reassign_to }
        }
        ChangeResult::CreateDatabase(found) => plan::Change::CreateDatabase(database(found)?),
        ChangeResult::AlterDatabase(found) => plan::Change::AlterDatabase(database(found)?),
        ChangeResult::RunScript(name) => plan::Change::RunScript(name),
    })
}

/// Among roles, PUBLIC is one that goes by this name.
fn grantee(role: Option<String>) -> Option<String> {
    role.or_else(|| Some(model::PUBLIC.to_owned()))
}

fn membership(edge: wit::MembershipResult) -> model::Membership {
    model::Membership {
        role: edge.role,
        admin: edge.admin,
        inherit: edge.inherit,
        set: edge.set,
        until: edge.until,
        grantor: edge.grantor,
    }
}

fn setting(setting: wit::SettingResult) -> model::Setting {
    model::Setting { database: setting.database, name: setting.name, value: setting.value }
}

fn grant(grant: wit::GrantResult) -> model::Grant {
    model::Grant {
        database: grant.database,
        on: object(grant.on),
        privileges: privileges(grant.privileges),
        grantable: privileges(grant.grantable),
    }
}

fn credential(credential: wit::CredentialResult) -> Result<model::Credential, Failure> {
    Ok(model::Credential {
        secret: credential.secret,
        key: credential.key,
        state: match credential.state {
            wit::SecretState::Present => model::SecretState::Present,
            wit::SecretState::Missing => model::SecretState::Missing,
            wit::SecretState::Empty => model::SecretState::Empty,
            wit::SecretState::Unreadable => model::SecretState::Unreadable,
        },
        version: credential.version,
        changed_at: credential.changed_at,
        labels: labels(credential.labels)?,
        strength: credential.strength,
        in_sync: credential.in_sync,
    })
}

fn limit(limit: wit::Limit) -> model::Limit {
    match limit {
        wit::Limit::Unlimited => model::Limit::Unlimited,
        wit::Limit::AtMost(sessions) => model::Limit::AtMost(sessions),
    }
}

fn expiry(expiry: wit::Expiry) -> model::Expiry {
    match expiry {
        wit::Expiry::Never => model::Expiry::Never,
        wit::Expiry::At(seconds) => model::Expiry::At(seconds),
    }
}

fn object(object: wit::ObjectResult) -> model::Object {
    use model::Object as O;
    use wit::ObjectResult as R;
    match object {
        R::Database(name) => O::Database(name),
        R::Parameter(name) => O::Parameter(name),
        R::Tablespace(name) => O::Tablespace(name),
        R::Schema(name) => O::Schema(name),
        R::Table(wit::QualifiedNameResult { schema, name }) => O::Table { schema, name },
        R::Column(wit::ColumnNameResult { schema, table, column }) => O::Column { schema, table, column },
        R::Sequence(wit::QualifiedNameResult { schema, name }) => O::Sequence { schema, name },
        R::Routine(wit::RoutineNameResult { schema, name, arguments }) => O::Routine { schema, name, arguments },
        R::Type(wit::QualifiedNameResult { schema, name }) => O::Type { schema, name },
        R::Language(name) => O::Language(name),
        R::ForeignDataWrapper(name) => O::ForeignDataWrapper(name),
        R::ForeignServer(name) => O::ForeignServer(name),
        R::LargeObject(oid) => O::LargeObject(oid),
        R::AllTables(schema) => O::AllTables(schema),
        R::AllSequences(schema) => O::AllSequences(schema),
        R::AllRoutines(schema) => O::AllRoutines(schema),
        R::AllTypes(schema) => O::AllTypes(schema),
        R::FutureTables(wit::FutureObjectsResult { owner, schema }) => O::FutureTables { owner, schema },
        R::FutureSequences(wit::FutureObjectsResult { owner, schema }) => O::FutureSequences { owner, schema },
        R::FutureRoutines(wit::FutureObjectsResult { owner, schema }) => O::FutureRoutines { owner, schema },
        R::FutureTypes(wit::FutureObjectsResult { owner, schema }) => O::FutureTypes { owner, schema },
        R::FutureSchemas(wit::FutureObjectsResult { owner, schema }) => O::FutureSchemas { owner, schema },
    }
}

fn attributes(attributes: wit::Attributes) -> model::Attributes {
    ATTRIBUTES.iter().filter(|(_, theirs)| attributes.contains(*theirs)).map(|(ours, _)| *ours).collect()
}

fn privileges(privileges: wit::Privileges) -> model::Privileges {
    PRIVILEGES.iter().filter(|(_, theirs)| privileges.contains(*theirs)).map(|(ours, _)| *ours).collect()
}
