//! Steps in words, grouped by whom they are about: what the text and the Markdown of a plan share.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use crate::model::{
    Attributes, Database, Expiry, Grant, Limit, Membership, Object, PUBLIC, Privileges, Role, RowPolicy, SecretState,
    TableName,
};
use crate::plan::{Cause, Change, Risk, RolePatch, Securing, Step};
use crate::printable::{counted, line, name};

/// What happens to a subject, or to one thing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Create,
    Change,
    Remove,
}

impl Mark {
    pub(crate) fn symbol(self) -> char {
        match self {
            Mark::Create => '+',
            Mark::Change => '~',
            Mark::Remove => '-',
        }
    }
}

/// Whom a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject<'a> {
    /// A role without LOGIN on either side.
    Group(&'a str),
    /// A role with LOGIN: its place in the file (or none), and its name.
    User(usize, &'a str),
    /// A database with its schemas, and what PUBLIC may there.
    Database(&'a str),
    /// Scripts.
    Server,
}

impl Subject<'_> {
    pub(super) fn title(self) -> String {
        match self {
            Subject::Group(role) => format!("role {}", name(role)),
            Subject::User(_, user) => format!("user {}", name(user)),
            Subject::Database(database) => format!("database {}", name(database)),
            Subject::Server => "the server".to_owned(),
        }
    }
}

/// One line about a subject.
#[derive(Debug)]
pub(super) struct Detail<'a> {
    pub(super) mark: Mark,
    pub(super) text: String,
    /// The step that it is (a part of).
    pub(super) step: &'a Step,
    /// Whether it tells the step's reason, cause and risk: one line of a step does.
    pub(super) first: bool,
}

/// All that happens to one subject.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) mark: Mark,
    pub(super) details: Vec<Detail<'a>>,
}

/// What is worth saying of a step besides what it does: drift, a risk that is not small, a reason.
pub(super) fn notes(step: &Step) -> Vec<String> {
    let mut notes = Vec::new();
    if step.cause == Cause::Drift {
        notes.push("(drift)".to_owned());
    }
    if step.risk != Risk::Safe {
        notes.push(format!("[{}]", step.risk));
    }
    notes
}

/// The steps by subject: group roles by name, then users in the order of the file, then those that
/// the file no longer names, then the server.
pub(super) fn groups<'a>(view: &View<'a>) -> Vec<Group<'a>> {
    let users: BTreeSet<&str> = view.plan.users(view.catalog);
    let order: BTreeMap<&str, usize> =
        view.declared.users.values().map(|user| (user.username.as_str(), user.order)).collect();
    let mut groups: BTreeMap<Subject<'a>, Group<'a>> = BTreeMap::new();
    for step in &view.plan.steps {
        let subject = match step.change.role() {
            _ if step.change.own_database().is_some() => {
                Subject::Database(step.change.own_database().unwrap_or_default())
            }
            None => Subject::Server,
            Some(role) if users.contains(role) || order.contains_key(role) => {
                Subject::User(order.get(role).copied().unwrap_or(usize::MAX), role)
            }
            Some(role) => Subject::Group(role),
        };
        let mark = match step.change {
            Change::CreateRole(_) | Change::CreateDatabase(_) => Mark::Create,
            Change::DropRole { .. } => Mark::Remove,
            _ => Mark::Change,
        };
        let group = groups.entry(subject).or_insert_with(|| Group { subject, mark, details: Vec::new() });
        if mark != Mark::Change {
            group.mark = mark;
        }
        for (index, (mark, text)) in details(view, &step.change).into_iter().enumerate() {
            group.details.push(Detail { mark, text, step, first: index == 0 });
        }
    }
    groups.into_values().collect()
}

fn details(view: &View<'_>, change: &Change) -> Vec<(Mark, String)> {
    let one = |mark, text: String| vec![(mark, text)];
    match change {
        Change::CreateRole(role) => create(view, role).into_iter().map(|text| (Mark::Create, text)).collect(),
        Change::AlterRole(patch) => {
            let mut lines = alter(patch);
            if locks_out(view, patch) {
                lines.push((Mark::Remove, "its sessions, which are ended".to_owned()));
            }
            lines
        }
        Change::RenameRole { from, .. } => one(Mark::Change, format!("renamed from {}", name(from))),
        Change::SetPassword(role) => one(Mark::Change, format!("password {}", view.secret_of(role))),
        Change::ClearPassword(_) => one(Mark::Remove, "password".to_owned()),
        Change::GrantRole { membership, .. } => one(Mark::Create, member_of(membership)),
        Change::RevokeRole { membership, .. } => {
            let by = membership.grantor.as_deref().map(|by| format!(" granted by {}", name(by))).unwrap_or_default();
            one(Mark::Remove, format!("member of {}{by}", name(&membership.role)))
        }
        Change::GrantPrivilege { role, grant } => {
            let option = if grant.grantable.is_empty() { "" } else { ", WITH GRANT OPTION" };
            one(
                Mark::Create,
                format!("{}{option}", privilege(role.as_deref(), grant, grant.privileges | grant.grantable)),
            )
        }
        Change::RevokePrivilege { role, grant } if grant.privileges.is_empty() => {
            one(Mark::Remove, format!("grant option for {}", privilege(role.as_deref(), grant, grant.grantable)))
        }
        Change::RevokePrivilege { role, grant } => {
            one(Mark::Remove, privilege(role.as_deref(), grant, grant.privileges))
        }
        Change::SetSetting { setting, .. } => one(
            Mark::Change,
            format!("set {} = {}{}", name(&setting.name), name(&setting.value), inside(&setting.database)),
        ),
        Change::ResetSetting { setting, .. } => {
            one(Mark::Remove, format!("set {}{}", name(&setting.name), inside(&setting.database)))
        }
        Change::DropRole { name: role, reassign_to } => {
            removal(view, role, reassign_to.as_deref()).into_iter().map(|text| (Mark::Remove, text)).collect()
        }
        Change::CreateDatabase(_) => one(Mark::Create, "create the database".to_owned()),
        Change::AlterDatabase(patch) => alter_database(view, patch),
        Change::SecureTable { table, how } => {
            let (mark, text) = secure_table(table, how);
            one(mark, text)
        }
        Change::RunScript(script) => {
            let told = view.script(script).map(super::script::in_words);
            one(Mark::Change, told.unwrap_or_else(|| format!("run script {}", name(script))))
        }
    }
}

/// Whether a user is disabled.
pub(super) fn locks_out(view: &View<'_>, patch: &RolePatch) -> bool {
    patch.clear.contains(Attributes::LOGIN) && view.plan.disabled.contains(&patch.name)
}

fn create(view: &View<'_>, role: &Role) -> Vec<String> {
    let mut lines = vec![attributes(role.attributes)];
    if let Some(credential) = role.credential.as_ref().filter(|found| found.state == SecretState::Present) {
        lines.push(format!("password {}", view.secret(credential)));
    } else if role.is_user() {
        lines.push("no password".to_owned());
    }
    lines.extend(role.memberships.iter().map(member_of));
    if let Some(Limit::AtMost(most)) = role.connection_limit {
        lines.push(format!("at most {} at once", counted(most as usize, "session")));
    }
    if let Some(expiry @ Expiry::At(_)) = role.valid_until {
        lines.push(valid_until(expiry));
    }
    if let Some(comment) = role.comment.as_deref().filter(|comment| !comment.is_empty()) {
        lines.push(format!("comment {}", name(comment)));
    }
    lines
}

/// `LOGIN`, `NOLOGIN, CREATEDB`: INHERIT is only worth a word where it is missing.
pub(crate) fn attributes(attributes: Attributes) -> String {
    let mut words = vec![if attributes.contains(Attributes::LOGIN) { "LOGIN" } else { "NOLOGIN" }];
    words.extend((attributes - Attributes::USER).keywords());
    if !attributes.contains(Attributes::INHERIT) {
        words.push("NOINHERIT");
    }
    words.join(", ")
}

pub(crate) fn alter(patch: &RolePatch) -> Vec<(Mark, String)> {
    let mut lines = Vec::new();
    lines.extend(patch.set.keywords().map(|word| (Mark::Create, word.to_owned())));
    lines.extend(patch.clear.keywords().map(|word| (Mark::Remove, word.to_owned())));
    match patch.connection_limit {
        Some(Limit::Unlimited) => lines.push((Mark::Remove, "connection limit".to_owned())),
        Some(Limit::AtMost(most)) => {
            lines.push((Mark::Change, format!("at most {} at once", counted(most as usize, "session"))));
        }
        None => {}
    }
    if let Some(expiry) = patch.valid_until {
        lines.push((Mark::Change, valid_until(expiry)));
    }
    match patch.comment.as_deref() {
        Some("") => lines.push((Mark::Remove, "comment".to_owned())),
        Some(comment) => lines.push((Mark::Change, format!("comment {}", name(comment)))),
        None => {}
    }
    lines
}

pub(crate) fn valid_until(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "password valid for ever".to_owned(),
        Expiry::At(i64::MIN) => "password never valid".to_owned(),
        Expiry::At(_) => format!("password valid until {}", moment(expiry)),
    }
}

/// When a password ends, by itself.
pub(super) fn moment(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "for ever".to_owned(),
        Expiry::At(i64::MIN) => "always past".to_owned(),
        Expiry::At(seconds) => match time::OffsetDateTime::from_unix_timestamp(seconds)
            .ok()
            .and_then(|moment| moment.format(&time::format_description::well_known::Rfc3339).ok())
        {
            Some(moment) => moment,
            None => "after the year 9999".to_owned(),
        },
    }
}

pub(crate) fn member_of(edge: &Membership) -> String {
    format!("member of {}", self::edge(edge))
}

/// A role, and what is unusual about being a member of it.
pub(super) fn edge(edge: &Membership) -> String {
    let mut text = name(&edge.role).to_string();
    let options = [(edge.admin, "ADMIN"), (!edge.inherit, "no INHERIT"), (!edge.set, "no SET")];
    let words: Vec<&str> = options.iter().filter(|(said, _)| *said).map(|(_, word)| *word).collect();
    if !words.is_empty() {
        text.push_str(&format!(" with {}", words.join(", ")));
    }
    if let Some(until) = edge.until {
        text.push_str(&format!(" until {}", moment(Expiry::At(until))));
    }
    text
}

pub(crate) fn privilege(role: Option<&str>, grant: &Grant, privileges: Privileges) -> String {
    let words: Vec<&str> = privileges.keywords().collect();
    let public = if role.is_none_or(|role| role == PUBLIC) { " for PUBLIC" } else { "" };
    format!("{} on {}{}{public}", words.join(", "), object(&grant.on), inside(&grant.database))
}

pub(crate) fn inside(database: &Option<String>) -> String {
    database.as_deref().map(|database| format!(" in database {}", name(database))).unwrap_or_default()
}

pub(crate) fn object(object: &Object) -> String {
    let dotted = |kind: &str, schema: &str, of: &str| format!("{kind} {}.{}", name(schema), name(of));
    let future = |kind: &str, owner: &str, schema: &Option<String>| {
        let place = schema.as_deref().map(|schema| format!(" in schema {}", name(schema))).unwrap_or_default();
        format!("future {kind} of {}{place}", name(owner))
    };
    match object {
        Object::Database(it) => format!("database {}", name(it)),
        Object::Parameter(it) => format!("parameter {}", name(it)),
        Object::Tablespace(it) => format!("tablespace {}", name(it)),
        Object::Schema(it) => format!("schema {}", name(it)),
        Object::Table { schema, name: it } => dotted("table", schema, it),
        Object::Column { schema, table, column } => format!("{}.{}", dotted("column", schema, table), name(column)),
        Object::Sequence { schema, name: it } => dotted("sequence", schema, it),
        Object::Routine { schema, name: it, arguments } => {
            format!("{}({})", dotted("routine", schema, it), crate::printable::line(arguments))
        }
        Object::Type { schema, name: it } => dotted("type", schema, it),
        Object::Language(it) => format!("language {}", name(it)),
        Object::ForeignDataWrapper(it) => format!("foreign-data wrapper {}", name(it)),
        Object::ForeignServer(it) => format!("foreign server {}", name(it)),
        Object::LargeObject(oid) => format!("large object {oid}"),
        Object::AllTables(schema) => format!("all tables of schema {}", name(schema)),
        Object::AllSequences(schema) => format!("all sequences of schema {}", name(schema)),
        Object::AllRoutines(schema) => format!("all routines of schema {}", name(schema)),
        Object::AllTypes(schema) => format!("all types of schema {}", name(schema)),
        Object::FutureTables { owner, schema } => future("tables", owner, schema),
        Object::FutureSequences { owner, schema } => future("sequences", owner, schema),
        Object::FutureRoutines { owner, schema } => future("routines", owner, schema),
        Object::FutureTypes { owner, schema } => future("types", owner, schema),
        Object::FutureSchemas { owner, schema } => future("schemas", owner, schema),
    }
}

fn alter_database(view: &View<'_>, patch: &Database) -> Vec<(Mark, String)> {
    let mut lines = Vec::new();
    if let Some(owner) = &patch.owner {
        lines.push((Mark::Change, format!("owned by {}", name(owner))));
    }
    match patch.connection_limit {
        Some(Limit::Unlimited) => lines.push((Mark::Remove, "connection limit".to_owned())),
        Some(Limit::AtMost(most)) => {
            lines.push((Mark::Change, format!("at most {} at once", counted(most as usize, "session"))));
        }
        None => {}
    }
    match patch.comment.as_deref() {
        Some("") => lines.push((Mark::Remove, "comment".to_owned())),
        Some(comment) => lines.push((Mark::Change, format!("comment {}", name(comment)))),
        None => {}
    }
    let found = view.catalog.databases.get(&patch.name);
    for schema in &patch.schemas {
        let is_there = found.is_some_and(|found| found.schemas.iter().any(|there| there.name == schema.name));
        let mark = if is_there { Mark::Change } else { Mark::Create };
        let owner = schema.owner.as_deref().map(|owner| format!(" owned by {}", name(owner))).unwrap_or_default();
        lines.push((mark, format!("schema {}{owner}", name(&schema.name))));
    }
    lines
}

/// What is done to the row-level security of a table.
pub(crate) fn secure_table(table: &TableName, how: &Securing) -> (Mark, String) {
    let on = format!("{}.{}", name(&table.schema), name(&table.name));
    let policy = |policy: &RowPolicy| {
        let kind = if policy.permissive { "" } else { "restrictive " };
        let roles: Vec<_> =
            policy.roles.iter().map(|role| if role == PUBLIC { "PUBLIC".into() } else { name(role) }).collect();
        let expression = |word: &str, text: &Option<String>| {
            text.as_deref().map(|text| format!(" {word} ({})", line(text))).unwrap_or_default()
        };
        format!(
            "{kind}policy {} on {on} for {} to {}{}{}",
            name(&policy.name),
            policy.command.keyword(),
            roles.join(", "),
            expression("using", &policy.using),
            expression("with check", &policy.check)
        )
    };
    match how {
        Securing::Enable => (Mark::Create, format!("row-level security of {on}")),
        Securing::Disable => (Mark::Remove, format!("row-level security of {on}")),
        Securing::Force => (Mark::Create, format!("row-level security of {on} for its owner, too")),
        Securing::NoForce => (Mark::Remove, format!("row-level security of {on} for its owner")),
        Securing::CreatePolicy(made) => (Mark::Create, policy(made)),
        Securing::AlterPolicy(made) | Securing::ReplacePolicy(made) => (Mark::Change, policy(made)),
        Securing::DropPolicy(dropped) => (Mark::Remove, format!("policy {} on {on}", name(dropped))),
    }
}

pub(crate) fn database_words(database: &Database) -> String {
    let owner = database.owner.as_deref().map(|owner| format!(" owned by {}", name(owner))).unwrap_or_default();
    format!("database {}{owner}", name(&database.name))
}

/// What goes with a role: its sessions, and in each database what it owns or may.
fn removal(view: &View<'_>, role: &str, reassign_to: Option<&str>) -> Vec<String> {
    let known = view.plan.removals.get(role);
    let receiver =
        known.map(|removal| removal.reassign_to.as_str()).filter(|receiver| !receiver.is_empty()).or(reassign_to);
    let receiver = name(receiver.unwrap_or(view.reassign_owned_to));
    let mut lines = vec!["drop the role".to_owned()];
    let Some(known) = known else { return lines };
    if known.sessions > 0 {
        lines.push(format!("end {}", counted(known.sessions as usize, "open session")));
    }
    for (database, count) in known.dependencies.iter().filter(|(_, count)| **count > 0) {
        let place = match database.as_str() {
            "" => "of the whole server".to_owned(),
            database => format!("in database {}", name(database)),
        };
        let objects = counted(*count as usize, "object");
        let owned = known.owned.get(database).into_iter().flatten();
        let owned: Vec<String> = owned.map(|(kind, count)| counted(*count as usize, kind)).collect();
        let handed_over = match owned.as_slice() {
            [] => String::new(),
            [one] if one.starts_with("1 ") => format!("{one} goes to {receiver}, "),
            [one] => format!("{one} go to {receiver}, "),
            [most @ .., last] => format!("{} and {last} go to {receiver}, ", most.join(", ")),
        };
        lines.push(format!("{objects} {place}: {handed_over}its privileges go"));
    }
    for (database, count) in &known.policies {
        let (count, place) = (*count as usize, name(database));
        let counted = if count == 1 { "1 policy".to_owned() } else { format!("{count} policies") };
        lines.push(format!(
            "{counted} in database {place} for rows: for others only then; one for nobody else is dropped"
        ));
    }
    lines
}
