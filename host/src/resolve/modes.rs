//! How much of a role is spoken for: what stays beyond the declared, what is only looked at, and what is not there and
//! is not to be made.

use std::collections::{BTreeMap, BTreeSet};

use super::{authoritative, databases, settings};
use crate::catalog::Catalog;
use crate::model::{Database, Finding, Grant, Mode, Object, PUBLIC, Privileges, Role, SecretState, Severity, Spec};
use crate::plan::replay;
use crate::resolve::Record;

/// What is declared is given; what is there beyond it stays.
pub(super) fn additive(
    declared: &Role,
    found: Option<&Role>,
    catalog: &Catalog,
    in_sync: &BTreeMap<String, bool>,
) -> Role {
    let mut role = authoritative(declared, found, catalog, in_sync);
    let Some(found) = found else { return role };
    role.attributes |= found.attributes;
    role.connection_limit = declared.connection_limit.or(found.connection_limit);
    role.valid_until = declared.valid_until.or(found.valid_until);
    if role.has_password == Some(false) {
        role.has_password = found.has_password;
    }
    role.memberships.extend(found.memberships.iter().cloned());
    role.memberships.sort();
    role.grants = union(role.grants.iter().chain(&found.grants));
    role
}

/// One grant for each object.
fn union<'a>(grants: impl Iterator<Item = &'a Grant>) -> Vec<Grant> {
    let mut all: BTreeMap<(Option<&str>, &Object), (Privileges, Privileges)> = BTreeMap::new();
    for grant in grants {
        let held = all.entry((grant.database.as_deref(), &grant.on)).or_default();
        held.0 |= grant.privileges;
        held.1 |= grant.grantable;
    }
    let grant = |((database, on), (privileges, grantable)): ((Option<&str>, &Object), _)| Grant {
        database: database.map(str::to_owned),
        on: on.clone(),
        privileges,
        grantable,
    };
    let mut grants: Vec<Grant> = all.into_iter().map(grant).collect();
    grants.sort();
    grants
}

/// How a role that is only looked at differs from what is declared; `None` where it does not.
pub(super) fn observed(
    declared: &Role,
    found: Option<&Role>,
    recorded: Option<&Record>,
    is_exact: bool,
    catalog: &Catalog,
    in_sync: &BTreeMap<String, bool>,
) -> Option<Finding> {
    let name = &declared.name;
    let Some(found) = found else {
        let message = format!("{name:?} is only observed, and is not there");
        return Some(Finding::new(Severity::Warning, "observed-absent", &declared.path, message).help(HELP));
    };
    let mut wanted = authoritative(declared, Some(found), catalog, in_sync);
    wanted.settings = settings::complete(declared, Some(found), recorded, is_exact).desired;
    // Where nobody could look, nobody knows; that is told by itself.
    let is_open = |grant: &Grant| grant.database.as_ref().is_none_or(|name| !catalog.closed.contains_key(name));
    wanted.grants.retain(is_open);
    let mut differences = replay::compare(found, &wanted, catalog.server.has_membership_options());
    let credential = wanted.credential.filter(|credential| credential.state == SecretState::Present);
    if credential.is_some_and(|credential| credential.in_sync == Some(false)) {
        differences.push("has not the password of its Secret".to_owned());
    }
    if differences.is_empty() {
        return None;
    }
    let message = format!("{name:?} is only observed, and not as declared: it {}", differences.join("; it "));
    Some(Finding::new(Severity::Warning, "observed", &declared.path, message).help(HELP))
}

const HELP: &str = "nothing is changed under `mode: observe`; `additive`, `adopt` and `authoritative` bring it about";

/// Takes out of the spec those databases that are only looked at, with what differs, and those that cannot be as
/// declared, since an external role that is to own them is not there. For the time after the server has been looked at,
/// and before anybody reckons with these databases.
pub fn set_aside(spec: &mut Spec, catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    if spec.mode == Mode::Observe {
        let public = std::mem::take(&mut spec.public);
        for database in std::mem::take(&mut spec.databases).into_values() {
            findings.extend(observed_database(&database, &public, catalog));
        }
        return findings;
    }
    let external = &spec.external;
    let is_missing = |owner: &Option<String>| {
        owner.as_ref().is_some_and(|owner| external.contains(owner) && !catalog.roles.contains_key(owner))
    };
    let mut left: BTreeSet<(Option<String>, Object)> = BTreeSet::new();
    let missing = |what: String, owner: &Option<String>, path: &str| {
        let owner = owner.as_deref().unwrap_or_default();
        let message = format!("{what} is left as it is: its owner {owner:?} is external, and not there");
        Finding::new(Severity::Error, "external-missing", path, message).help(EXTERNAL_HELP)
    };
    spec.databases.retain(|name, database| {
        if is_missing(&database.owner) {
            findings.push(missing(format!("database {name:?}"), &database.owner, &database.path));
            left.insert((None, Object::Database(name.clone())));
            left.extend(database.schemas.iter().map(|it| (Some(name.clone()), Object::Schema(it.name.clone()))));
            return false;
        }
        database.schemas.retain(|schema| {
            let is_there = !is_missing(&schema.owner);
            if !is_there {
                let what = format!("schema {:?} of database {name:?}", schema.name);
                findings.push(missing(what, &schema.owner, &schema.path));
                left.insert((Some(name.clone()), Object::Schema(schema.name.clone())));
            }
            is_there
        });
        true
    });
    spec.public.retain(|grant| {
        let schema = grant.on.schema().map(|schema| Object::Schema(schema.to_owned()));
        !left.contains(&(grant.database.clone(), schema.unwrap_or_else(|| grant.on.clone())))
    });
    findings
}

/// What to do about an external role that is missing.
pub(super) const EXTERNAL_HELP: &str =
    "create it, correct its name, or take it out of `external`: then it is made, without LOGIN, where it is absent";

fn observed_database(declared: &Database, public: &[Grant], catalog: &Catalog) -> Option<Finding> {
    let name = &declared.name;
    let mut differences = Vec::new();
    match catalog.databases.get(name) {
        None => differences.push("is not there".to_owned()),
        Some(found) => {
            // The schemas of one that cannot be looked into are nobody's to compare.
            let schemas = catalog.objects.get(name).map(databases::as_found);
            let wanted = Database {
                schemas: if schemas.is_some() { declared.schemas.clone() } else { Vec::new() },
                ..declared.clone()
            };
            let found = Database { schemas: schemas.unwrap_or_default(), ..found.clone() };
            differences.extend(replay::compare_databases(&found, &wanted));
            let held = catalog.public.get(name).copied().unwrap_or_default();
            if public.iter().any(|said| said.on == Object::Database(name.clone()) && said.privileges != held) {
                differences.push("gives PUBLIC other privileges".to_owned());
            }
        }
    }
    if let Some(objects) = catalog.objects.get(name) {
        for schema in &declared.schemas {
            let schema_name = &schema.name;
            if !objects.schemas.contains_key(schema_name) {
                continue;
            }
            let is_here =
                |said: &&Grant| said.database.as_ref() == Some(name) && said.on.schema() == Some(schema_name.as_str());
            for said in public.iter().filter(is_here) {
                let single: Vec<&Object> = match said.on.kind() {
                    Some(kind) => objects.members(kind, schema_name).map(|(object, _)| object).collect(),
                    None => vec![&said.on],
                };
                if single.into_iter().any(|object| objects.held(PUBLIC, object).0 != said.privileges) {
                    differences.push(format!("gives PUBLIC other privileges on {}", said.on.in_words()));
                }
            }
        }
    }
    if differences.is_empty() {
        return None;
    }
    let message = format!("database {name:?} is only observed, and not as declared: it {}", differences.join("; it "));
    Some(Finding::new(Severity::Warning, "observed", &declared.path, message).help(HELP))
}
