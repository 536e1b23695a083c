//! The model's types as the contract's. Everything is borrowed: a catalog of many thousand roles
//! goes to a module without a clone.

use std::collections::BTreeMap;

use super::super::Context;
use super::super::bindings::rolewright::policy::changes::*;
use super::super::bindings::rolewright::policy::types as wit;
use super::{ATTRIBUTES, PRIVILEGES};
use crate::model;
use crate::plan::change as plan;

/// The lists inside of roles and databases, all roles' memberships behind one another and so on.
/// WIT lists are borrowed as slices, and these are what the slices point into.
#[derive(Default)]
pub(in crate::policy) struct Lists<'a> {
    memberships: Vec<wit::MembershipParam<'a>>,
    settings: Vec<wit::SettingParam<'a>>,
    grants: Vec<wit::GrantParam<'a>>,
    labels: Vec<wit::LabelParam<'a>>,
    schemas: Vec<wit::SchemaParam<'a>>,
}

impl<'a> Lists<'a> {
    fn add_role(&mut self, role: &'a model::Role) {
        self.memberships.extend(role.memberships.iter().map(membership));
        self.settings.extend(role.settings.iter().map(setting));
        self.grants.extend(role.grants.iter().map(grant));
        // In the order in which `Reader::role` hands them out.
        self.labels.extend(role.credential.iter().flat_map(|credential| labels(&credential.labels)));
        self.labels.extend(labels(&role.labels));
    }

    fn add_database(&mut self, database: &'a model::Database) {
        self.labels.extend(labels(&database.labels));
        self.schemas.extend(database.schemas.iter().map(|schema| wit::SchemaParam {
            name: &schema.name,
            owner: schema.owner.as_deref(),
            path: &schema.path,
        }));
    }

    pub(in crate::policy) fn of_roles(
        roles: &'a BTreeMap<String, model::Role>,
        databases: &'a BTreeMap<String, model::Database>,
    ) -> Lists<'a> {
        let mut lists = Lists::default();
        roles.values().for_each(|role| lists.add_role(role));
        databases.values().for_each(|database| lists.add_database(database));
        lists
    }

    pub(in crate::policy) fn of_steps(steps: &'a [plan::Step]) -> Lists<'a> {
        let mut lists = Lists::default();
        for step in steps {
            match &step.change {
                plan::Change::CreateRole(role) => lists.add_role(role),
                plan::Change::CreateDatabase(database) | plan::Change::AlterDatabase(database) => {
                    lists.add_database(database);
                }
                _ => {}
            }
        }
        lists
    }

    /// The spec whose roles and databases these are the lists of.
    pub(in crate::policy) fn spec<'b>(&'b self, spec: &'b model::Spec) -> View<'b> {
        let scripts = spec.scripts.iter().map(String::as_str).collect();
        View { scripts, ..self.catalog(&spec.roles, &spec.databases) }
    }

    /// The catalog whose roles and databases these are the lists of.
    pub(in crate::policy) fn catalog<'b>(
        &'b self,
        roles: &'b BTreeMap<String, model::Role>,
        databases: &'b BTreeMap<String, model::Database>,
    ) -> View<'b> {
        let mut reader = self.reader();
        let roles = roles.values().map(|role| reader.role(role)).collect();
        let databases = databases.values().map(|database| reader.database(database)).collect();
        View { roles, databases, scripts: Vec::new() }
    }

    /// The steps that these are the lists of.
    pub(in crate::policy) fn steps<'b>(&'b self, steps: &'b [plan::Step]) -> Vec<StepParam<'b>> {
        let mut reader = self.reader();
        let step = |step: &'b plan::Step| StepParam {
            change: reader.change(&step.change),
            risk: match step.risk {
                plan::Risk::Safe => Risk::Safe,
                plan::Risk::Disruptive => Risk::Disruptive,
                plan::Risk::Destructive => Risk::Destructive,
            },
            reason: &step.reason,
            path: &step.path,
        };
        steps.iter().map(step).collect()
    }

    /// Hands the lists out again: in the order, and in the lengths, in which they came in.
    fn reader(&self) -> Reader<'_> {
        Reader {
            memberships: &self.memberships,
            settings: &self.settings,
            grants: &self.grants,
            labels: &self.labels,
            schemas: &self.schemas,
        }
    }
}

/// A spec or a catalog whose parts are ready to be borrowed.
pub(in crate::policy) struct View<'a> {
    roles: Vec<wit::RoleParam<'a>>,
    databases: Vec<wit::DatabaseParam<'a>>,
    scripts: Vec<&'a str>,
}

impl View<'_> {
    pub(in crate::policy) fn as_spec(&self) -> wit::SpecParam<'_> {
        wit::SpecParam { roles: &self.roles, databases: &self.databases, scripts: &self.scripts }
    }

    pub(in crate::policy) fn as_catalog(&self) -> wit::Catalog<'_> {
        wit::Catalog { roles: &self.roles, databases: &self.databases }
    }
}

/// What of [`Lists`] is not handed out yet.
struct Reader<'a> {
    memberships: &'a [wit::MembershipParam<'a>],
    settings: &'a [wit::SettingParam<'a>],
    grants: &'a [wit::GrantParam<'a>],
    labels: &'a [wit::LabelParam<'a>],
    schemas: &'a [wit::SchemaParam<'a>],
}

fn next<'a, T>(list: &mut &'a [T], count: usize) -> &'a [T] {
    let (head, tail) = list.split_at(count);
    *list = tail;
    head
}

impl<'a> Reader<'a> {
    fn role(&mut self, role: &'a model::Role) -> wit::RoleParam<'a> {
        wit::RoleParam {
            name: &role.name,
            mode: match role.mode {
                model::Mode::Authoritative => wit::Mode::Authoritative,
                model::Mode::Additive | model::Mode::Adopt => wit::Mode::Additive,
                model::Mode::Present => wit::Mode::Present,
                model::Mode::Observe => wit::Mode::Observe,
            },
            standing: match role.standing {
                model::Standing::Managed => wit::Standing::Managed,
                model::Standing::Protected => wit::Standing::Protected,
                model::Standing::Foreign => wit::Standing::Foreign,
            },
            attributes: attributes(role.attributes),
            connection_limit: role.connection_limit.map(limit),
            valid_until: role.valid_until.map(expiry),
            comment: role.comment.as_deref(),
            memberships: next(&mut self.memberships, role.memberships.len()),
            settings: next(&mut self.settings, role.settings.len()),
            grants: next(&mut self.grants, role.grants.len()),
            has_password: role.has_password,
            credential: role.credential.as_ref().map(|credential| self.credential(credential)),
            labels: next(&mut self.labels, role.labels.len()),
            path: &role.path,
        }
    }

    fn credential(&mut self, credential: &'a model::Credential) -> wit::CredentialParam<'a> {
        wit::CredentialParam {
            secret: &credential.secret,
            key: &credential.key,
            state: match credential.state {
                model::SecretState::Present => wit::SecretState::Present,
                model::SecretState::Missing => wit::SecretState::Missing,
                model::SecretState::Empty => wit::SecretState::Empty,
                model::SecretState::Unreadable => wit::SecretState::Unreadable,
            },
            version: &credential.version,
            changed_at: credential.changed_at,
            labels: next(&mut self.labels, credential.labels.len()),
            strength: credential.strength,
            in_sync: credential.in_sync,
        }
    }

    fn database(&mut self, database: &'a model::Database) -> wit::DatabaseParam<'a> {
        wit::DatabaseParam {
            name: &database.name,
            owner: database.owner.as_deref(),
            connection_limit: database.connection_limit.map(limit),
            comment: database.comment.as_deref(),
            schemas: next(&mut self.schemas, database.schemas.len()),
            labels: next(&mut self.labels, database.labels.len()),
            path: &database.path,
        }
    }

    fn change(&mut self, change: &'a plan::Change) -> ChangeParam<'a> {
        match change {
            plan::Change::CreateRole(role) => ChangeParam::CreateRole(self.role(role)),
            plan::Change::AlterRole(patch) => ChangeParam::AlterRole(RolePatchParam {
                name: &patch.name,
                set: attributes(patch.set),
                clear: attributes(patch.clear),
                connection_limit: patch.connection_limit.map(limit),
                valid_until: patch.valid_until.map(expiry),
                comment: patch.comment.as_deref(),
            }),
            plan::Change::RenameRole { from, to } => ChangeParam::RenameRole(RenameParam { from, to }),
            plan::Change::SetPassword(name) => ChangeParam::SetPassword(name),
            plan::Change::ClearPassword(name) => ChangeParam::ClearPassword(name),
            plan::Change::GrantRole { member, membership } => ChangeParam::GrantRole(edge(member, membership)),
            plan::Change::RevokeRole { member, membership } => ChangeParam::RevokeRole(edge(member, membership)),
            plan::Change::GrantPrivilege { role, grant } => ChangeParam::GrantPrivilege(role_grant(role, grant)),
            plan::Change::RevokePrivilege { role, grant } => ChangeParam::RevokePrivilege(role_grant(role, grant)),
            plan::Change::SetSetting { role, setting } => ChangeParam::SetSetting(role_setting(role, setting)),
            plan::Change::ResetSetting { role, setting } => ChangeParam::ResetSetting(role_setting(role, setting)),
            plan::Change::DropRole { name, reassign_to } => {
                ChangeParam::DropRole(RemovalParam { name, reassign_to: reassign_to.as_deref() })
            }
            plan::Change::CreateDatabase(database) => ChangeParam::CreateDatabase(self.database(database)),
            plan::Change::AlterDatabase(database) => ChangeParam::AlterDatabase(self.database(database)),
            // The contract has no word for it: reviewers find what is done in the reason.
            plan::Change::SecureTable { table, .. } => ChangeParam::AlterDatabase(wit::DatabaseParam {
                name: &table.database,
                owner: None,
                connection_limit: None,
                comment: None,
                schemas: &[],
                labels: &[],
                path: "",
            }),
            plan::Change::RunScript(name) => ChangeParam::RunScript(name),
        }
    }
}

/// The time as a module sees it that asked for this step, in seconds.
pub(in crate::policy) fn rounded(now: i64, step: u32) -> i64 {
    now - now.rem_euclid(i64::from(step.max(1)))
}

/// What of the context a module sees: the time only as exactly as it asked for.
pub(in crate::policy) fn context<'a>(
    context: &'a Context,
    labels: &'a [wit::LabelParam<'a>],
    clock_step: Option<u32>,
) -> wit::Context<'a> {
    wit::Context {
        now: clock_step.map(|step| rounded(context.now, step)),
        target: &context.target,
        server_version: context.server_version,
        dry_run: context.dry_run,
        reassign_owned_to: &context.reassign_owned_to,
        labels,
    }
}

pub(in crate::policy) fn labels(labels: &BTreeMap<String, String>) -> impl Iterator<Item = wit::LabelParam<'_>> {
    labels.iter().map(|(key, value)| wit::LabelParam { key, value })
}

fn edge<'a>(member: &'a str, edge: &'a model::Membership) -> EdgeParam<'a> {
    EdgeParam { member, membership: membership(edge) }
}

fn role_grant<'a>(role: &'a Option<String>, held: &'a model::Grant) -> RoleGrantParam<'a> {
    RoleGrantParam { role: role.as_deref().filter(|role| *role != model::PUBLIC), grant: grant(held) }
}

fn role_setting<'a>(role: &'a str, value: &'a model::Setting) -> RoleSettingParam<'a> {
    RoleSettingParam { role, setting: setting(value) }
}

fn membership(edge: &model::Membership) -> wit::MembershipParam<'_> {
    wit::MembershipParam {
        role: &edge.role,
        admin: edge.admin,
        inherit: edge.inherit,
        set: edge.set,
        until: edge.until,
        grantor: edge.grantor.as_deref(),
    }
}

fn setting(setting: &model::Setting) -> wit::SettingParam<'_> {
    wit::SettingParam { database: setting.database.as_deref(), name: &setting.name, value: &setting.value }
}

fn grant(grant: &model::Grant) -> wit::GrantParam<'_> {
    wit::GrantParam {
        database: grant.database.as_deref(),
        on: object(&grant.on),
        privileges: privileges(grant.privileges),
        grantable: privileges(grant.grantable),
    }
}

fn limit(limit: model::Limit) -> wit::Limit {
    match limit {
        model::Limit::Unlimited => wit::Limit::Unlimited,
        model::Limit::AtMost(sessions) => wit::Limit::AtMost(sessions),
    }
}

fn expiry(expiry: model::Expiry) -> wit::Expiry {
    match expiry {
        model::Expiry::Never => wit::Expiry::Never,
        model::Expiry::At(seconds) => wit::Expiry::At(seconds),
    }
}

fn object(object: &model::Object) -> wit::ObjectParam<'_> {
    use model::Object as O;
    use wit::ObjectParam as P;
    match object {
        O::Database(name) => P::Database(name),
        O::Parameter(name) => P::Parameter(name),
        O::Tablespace(name) => P::Tablespace(name),
        O::Schema(name) => P::Schema(name),
        O::Table { schema, name } => P::Table(wit::QualifiedNameParam { schema, name }),
        O::Column { schema, table, column } => P::Column(wit::ColumnNameParam { schema, table, column }),
        O::Sequence { schema, name } => P::Sequence(wit::QualifiedNameParam { schema, name }),
        O::Routine { schema, name, arguments } => P::Routine(wit::RoutineNameParam { schema, name, arguments }),
        O::Type { schema, name } => P::Type(wit::QualifiedNameParam { schema, name }),
        O::Language(name) => P::Language(name),
        O::ForeignDataWrapper(name) => P::ForeignDataWrapper(name),
        O::ForeignServer(name) => P::ForeignServer(name),
        O::LargeObject(oid) => P::LargeObject(*oid),
        O::AllTables(schema) => P::AllTables(schema),
        O::AllSequences(schema) => P::AllSequences(schema),
        O::AllRoutines(schema) => P::AllRoutines(schema),
        O::AllTypes(schema) => P::AllTypes(schema),
        O::FutureTables { owner, schema } => P::FutureTables(future(owner, schema)),
        O::FutureSequences { owner, schema } => P::FutureSequences(future(owner, schema)),
        O::FutureRoutines { owner, schema } => P::FutureRoutines(future(owner, schema)),
        O::FutureTypes { owner, schema } => P::FutureTypes(future(owner, schema)),
        O::FutureSchemas { owner, schema } => P::FutureSchemas(future(owner, schema)),
    }
}

fn future<'a>(owner: &'a str, schema: &'a Option<String>) -> wit::FutureObjectsParam<'a> {
    wit::FutureObjectsParam { owner, schema: schema.as_deref() }
}

fn attributes(attributes: model::Attributes) -> wit::Attributes {
    let held = ATTRIBUTES.iter().filter(|(ours, _)| attributes.contains(*ours));
    held.fold(wit::Attributes::empty(), |all, (_, theirs)| all | *theirs)
}

fn privileges(privileges: model::Privileges) -> wit::Privileges {
    let held = PRIVILEGES.iter().filter(|(ours, _)| privileges.contains(*ours));
    held.fold(wit::Privileges::empty(), |all, (_, theirs)| all | *theirs)
}
