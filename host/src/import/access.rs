//! What belongs to the whole server, in the words of users.yaml: databases, memberships, attributes, settings; and why
//! a role cannot be declared as it is.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::{Key, Note, Value, on_databases, who};
use crate::catalog::Catalog;
use crate::model::{Attributes, Expiry, Limit, Role, Setting};
use crate::parameter;
use crate::plan::replay;
use crate::spec::FLAGS;

/// Why users.yaml cannot declare the role as it is, each with a way out. Declared nonetheless, the first plan would
/// change it.
pub(super) fn unsayable(role: &Role, catalog: &Catalog) -> Vec<String> {
    let mut reasons = Vec::new();
    if !role.is_user() {
        if let Some(Limit::AtMost(most)) = role.connection_limit {
            reasons.push(format!(
                "it has CONNECTION LIMIT {most}, which no group role can declare; set it to -1, since without LOGIN it \
                 is of no use"
            ));
        }
        if let Some(Expiry::At(_)) = role.valid_until {
            reasons.push(
                "it has VALID UNTIL, which no group role can declare; set it to 'infinity', since without LOGIN it is \
                 of no use"
                    .to_owned(),
            );
        }
    } else if let Some(Expiry::At(seconds)) = role.valid_until
        && moment(seconds).is_none()
    {
        reasons.push(
            "its VALID UNTIL is before year 0, after year 9999, or '-infinity', which cannot be written; set another"
                .to_owned(),
        );
    }
    if catalog.server.has_membership_options() {
        for (group, _) in
            replay::memberships(&role.memberships, true).iter().filter(|(_, options)| is_useless(**options))
        {
            reasons.push(format!(
                "its membership in {group:?} has neither ADMIN nor INHERIT nor SET, which cannot be declared; revoke it, \
                 or give it one of them"
            ));
        }
    }
    reasons
}

fn is_useless((admin, inherit, set): (bool, bool, bool)) -> bool {
    !(admin || inherit || set)
}

/// Databases, memberships, and privileges on the databases. The role can be declared.
pub(super) fn keys(role: &Role, catalog: &Catalog) -> Vec<Key> {
    let mut keys = Vec::new();
    keys.extend(on_databases::names(role));
    let has_options = catalog.server.has_membership_options();
    let edges: Vec<Value> = replay::memberships(&role.memberships, has_options)
        .into_iter()
        .map(|(group, options)| membership(group, options, role, has_options))
        .collect();
    if !edges.is_empty() {
        keys.push(("roles", Value::List(edges)));
    }
    keys.extend(on_databases::privileges(role));
    keys
}

/// By its name alone, where its options are those that it has if nothing is said.
fn membership(group: &str, (admin, inherit, set): (bool, bool, bool), member: &Role, has_options: bool) -> Value {
    let mut options = Vec::new();
    if admin {
        options.push(("admin".to_owned(), Value::flag(true)));
    }
    if has_options && inherit != member.attributes.contains(Attributes::INHERIT) {
        options.push(("inherit".to_owned(), Value::flag(inherit)));
    }
    if has_options && !set {
        options.push(("set".to_owned(), Value::flag(false)));
    }
    if options.is_empty() {
        return Value::text(group);
    }
    options.insert(0, ("role".to_owned(), Value::text(group)));
    Value::Map(options)
}

/// What it is, where that is not what it would be if nothing were said.
pub(super) fn attributes(role: &Role) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Some(Expiry::At(seconds)) = role.valid_until
        && let Some(moment) = moment(seconds)
    {
        keys.push(("valid_until", Value::text(moment)));
    }
    if let Some(Limit::AtMost(most)) = role.connection_limit {
        keys.push(("connection_limit", Value::Plain(most.to_string())));
    }
    for (key, flag) in FLAGS {
        let usual = Attributes::USER.contains(flag);
        if role.attributes.contains(flag) != usual {
            keys.push((key, Value::flag(!usual)));
        }
    }
    if let Some(comment) = role.comment.as_ref().filter(|comment| !comment.is_empty()) {
        keys.push(("comment", Value::text(comment)));
    }
    keys
}

/// A date, if the day begins then in UTC, else a time. `None`: it has no such form.
fn moment(seconds: i64) -> Option<String> {
    let moment =
        OffsetDateTime::from_unix_timestamp(seconds).ok().filter(|moment| (0..=9999).contains(&moment.year()))?;
    if moment.time() == time::Time::MIDNIGHT {
        moment.date().format(format_description!("[year]-[month]-[day]")).ok()
    } else {
        moment.format(&Rfc3339).ok()
    }
}

/// The settings, if there are any: a role that says nothing of them keeps those that it has.
pub(super) fn settings(role: &Role, notes: &mut Vec<Note>) -> Vec<Key> {
    if let Some(why) = settings_unsayable(&role.settings) {
        notes.push(Note { what: format!("settings of {}", who(role)), why });
        return Vec::new();
    }
    let mut everywhere = Vec::new();
    let mut single: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
    for setting in &role.settings {
        let pair = (setting.name.clone(), value(setting));
        match &setting.database {
            None => everywhere.push(pair),
            Some(database) => single.entry(database).or_default().push(pair),
        }
    }
    let mut keys = Vec::new();
    if !everywhere.is_empty() {
        keys.push(("settings", Value::Map(everywhere)));
    }
    if !single.is_empty() {
        let single = single.into_iter().map(|(database, pairs)| (database.to_owned(), Value::Map(pairs)));
        keys.push(("database_settings", Value::Map(single.collect())));
    }
    keys
}

/// A list of names as such: then no comma and no quote in a name needs a thought.
fn value(setting: &Setting) -> Value {
    match parameter::elements(&setting.value) {
        Ok(names) if parameter::is_list(&setting.name) => Value::List(names.into_iter().map(Value::Text).collect()),
        _ => Value::text(&setting.value),
    }
}

fn settings_unsayable(settings: &[Setting]) -> Option<String> {
    let mut seen = BTreeSet::new();
    for setting in settings {
        let problem =
            parameter::name_problem(&setting.name).or_else(|| parameter::problem(&setting.name, &setting.value));
        if let Some(problem) = problem {
            return Some(format!(
                "{:?} {problem}; reset it, or leave these settings to whoever made them",
                setting.name
            ));
        }
        if !seen.insert((&setting.database, parameter::key(&setting.name))) {
            return Some(format!("{:?} is set twice, in other capitals; reset one of them", setting.name));
        }
    }
    let count = settings.len();
    (count > parameter::MOST).then(|| format!("there are {count}, and {} is the most", parameter::MOST))
}
