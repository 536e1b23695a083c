//! Declared databases and their schemas: what is to be looked at for them, and what the server will be like when they
//! are made, so that privileges on what does not exist yet are planned together with it.
//!
//! PUBLIC becomes a role like any other here, on both sides, with what it holds on those databases and schemas that
//! say so. So a planner needs no word for it, and nobody else's business is touched.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, Held, Objects, Question, Schema};
use crate::model::{
    Attributes, Database, Expiry, Finding, Grant, Limit, Mode, Object, PUBLIC, Privileges, Role, Severity, Spec,
    Standing,
};

/// What everybody may in a database that was just made, and nobody has said anything else.
const FRESH: Privileges = Privileges::CONNECT.union(Privileges::TEMPORARY);

/// Adds what is to be looked at for the schemas that are declared.
pub fn ask(spec: &Spec, questions: &mut BTreeMap<String, Question>) {
    for database in spec.databases.values().filter(|database| !database.schemas.is_empty()) {
        questions.entry(database.name.clone()).or_default();
    }
    for grant in &spec.public {
        if let (Some(database), Some(schema)) = (&grant.database, grant.on.schema()) {
            let question = questions.entry(database.clone()).or_default();
            question.roles.insert(PUBLIC.to_owned());
            question.schemas.insert(schema.to_owned());
        }
    }
}

/// Completes the catalog with what is declared: databases and schemas that will be there, under those who will own
/// them. The databases themselves stay as they were found, for who plans.
pub fn foresee(spec: &mut Spec, catalog: &mut Catalog, questions: &BTreeMap<String, Question>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let absent = spec.databases.keys().filter(|name| !catalog.databases.contains_key(*name));
    catalog.absent.extend(absent.cloned().collect::<Vec<_>>());
    if !spec.databases.is_empty() {
        owners(spec, catalog);
    }
    for declared in spec.databases.values() {
        let name = &declared.name;
        if let Some(owner) = declared.owner.as_ref().filter(|owner| catalog.will_have(owner)) {
            catalog.future_owners.insert(name.clone(), owner.clone());
            // What an owner was granted becomes a part of what it has as the owner: there is nothing to take away.
            let on = Object::Database(name.clone());
            catalog.roles.get_mut(owner).into_iter().for_each(|owner| owner.grants.retain(|grant| grant.on != on));
        }
        if !catalog.databases.contains_key(name) {
            catalog.public.insert(name.clone(), FRESH);
            if questions.contains_key(name) {
                let fresh = fresh(&catalog.server.bootstrap_superuser, catalog.server.version);
                catalog.objects.insert(name.clone(), fresh);
            }
        }
        if let Some(why) = catalog.closed.get(name).filter(|_| !declared.schemas.is_empty()) {
            let message =
                format!("the schemas of database {name:?} are left as they are: it cannot be looked into: {why}");
            findings.push(
                Finding::new(Severity::Error, "database-closed", &declared.path, message)
                    .help("let the controller connect to it, or take its schemas out of users.yaml"),
            );
        }
        let owners = declared.schemas.iter().filter_map(|schema| schema.owner.clone());
        let expected: BTreeSet<String> = owners.filter(|owner| catalog.will_have(owner)).collect();
        let Some(objects) = catalog.objects.get_mut(name) else { continue };
        if let Some(found) = catalog.databases.get_mut(name) {
            found.schemas = as_found(objects);
        }
        for schema in &declared.schemas {
            let owner = schema.owner.clone().filter(|owner| expected.contains(owner));
            if let Some(held) = owner.as_ref().and_then(|owner| objects.held.get_mut(owner)) {
                held.remove(&Object::Schema(schema.name.clone()));
            }
            match objects.schemas.get_mut(&schema.name) {
                Some(found) => found.owner = owner.unwrap_or_else(|| found.owner.clone()),
                None => {
                    let owner = owner.unwrap_or_else(|| catalog.server.current_user.clone());
                    objects.schemas.insert(schema.name.clone(), Schema { owner, ..Schema::default() });
                }
            }
        }
    }
    everybody(spec, catalog);
    findings
}

/// Owners, and those whom policies are for, that are declared and absent, and will be made: not those that are left as they are this time.
fn owners(spec: &Spec, catalog: &mut Catalog) {
    let skipped = super::skipped::skipped(&BTreeSet::new(), spec, catalog, &mut Vec::new());
    let is_made = |owner: &&String| {
        let mode = spec.roles.get(*owner).map(|role| role.mode);
        mode.is_some_and(|mode| !matches!(mode, Mode::Observe | Mode::Adopt)) && !skipped.contains(*owner)
    };
    let databases = spec.databases.values();
    let owners = databases
        .flat_map(|database| database.schemas.iter().filter_map(|schema| schema.owner.as_ref()).chain(&database.owner));
    let policies = spec.row_security.values().flat_map(|table| table.policies.iter().flatten());
    let named = policies.flat_map(|(_, policy)| &policy.roles);
    let foreseen: Vec<String> = owners.chain(named).filter(is_made).cloned().collect();
    catalog.foreseen.extend(foreseen);
}

/// What is desired of databases; `None` of an owner that will not be there.
pub(super) fn desired(
    spec: &Spec,
    catalog: &Catalog,
    will_be: impl Fn(&str) -> bool,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, Database> {
    let mut owner_of = |owner: &Option<String>, path: &str, what: String| {
        let owner = owner.clone()?;
        if will_be(&owner) {
            return Some(owner);
        }
        let message = format!("{what} keeps its owner: {owner:?} cannot be created this time");
        findings.push(
            Finding::new(Severity::Error, "owner-missing", path, message).help("see what stands against that role"),
        );
        None
    };
    let of = |declared: &Database| {
        let mut database = declared.clone();
        database.owner = owner_of(&declared.owner, &declared.path, format!("database {:?}", declared.name));
        if catalog.closed.contains_key(&declared.name) {
            database.schemas.clear();
        }
        for schema in &mut database.schemas {
            let what = format!("schema {:?} of database {:?}", schema.name, declared.name);
            schema.owner = owner_of(&schema.owner, &schema.path, what);
        }
        (declared.name.clone(), database)
    };
    spec.databases.values().map(of).collect()
}

/// PUBLIC as the server has it, on those objects that these grants are on, but for what lies in a database.
pub fn everybody_as_found(catalog: &Catalog, spoken_for: &[Grant]) -> Role {
    let mut role = everybody_with(Vec::new());
    for grant in spoken_for {
        let Object::Database(name) = &grant.on else { continue };
        let privileges = catalog.public.get(name).copied().unwrap_or_default();
        if !privileges.is_empty() {
            role.grants.push(Grant { privileges, ..grant.clone() });
        }
    }
    role
}

/// PUBLIC as a role, on both sides: only where something is said of it.
fn everybody(spec: &mut Spec, catalog: &mut Catalog) {
    let mut grants = std::mem::take(&mut spec.public);
    grants.retain(|grant| grant.database.as_ref().is_none_or(|name| catalog.objects.contains_key(name)));
    if grants.is_empty() {
        return;
    }
    grants.sort();
    for (database, objects) in &mut catalog.objects {
        let here: Vec<&Grant> = grants.iter().filter(|grant| grant.database.as_ref() == Some(database)).collect();
        let said = |on: &Object| here.iter().any(|grant| on.is_among(&grant.on));
        if let Some(held) = objects.held.get_mut(PUBLIC) {
            held.retain(|object, _| said(object));
        }
    }
    catalog.roles.insert(PUBLIC.to_owned(), everybody_as_found(catalog, &grants));
    let path = spec.databases.values().next().map(|database| database.path.clone()).unwrap_or_default();
    let mode = spec.mode;
    spec.roles.insert(PUBLIC.to_owned(), Role { mode, path, ..everybody_with(grants) });
}

/// It has nothing of a role but privileges.
fn everybody_with(grants: Vec<Grant>) -> Role {
    Role {
        standing: Standing::Managed,
        connection_limit: Some(Limit::Unlimited),
        valid_until: Some(Expiry::Never),
        has_password: Some(false),
        grants,
        ..Role::new(PUBLIC, Mode::Authoritative, Attributes::empty())
    }
}

/// What lies in a database that was just made: the schema `public`, unless whoever runs the server has given
/// template1 something else. Then the next cycle sees that.
fn fresh(bootstrap_superuser: &str, version: u32) -> Objects {
    let mut objects = Objects::default();
    let (owner, privileges) = if version >= 150_000 {
        ("pg_database_owner", Privileges::USAGE)
    } else {
        (bootstrap_superuser, Privileges::USAGE | Privileges::CREATE)
    };
    let schema = "public".to_owned();
    let held = Held { privileges, ..Held::default() };
    objects.held.insert(PUBLIC.to_owned(), BTreeMap::from([(Object::Schema(schema.clone()), held)]));
    objects.schemas.insert(schema, Schema { owner: owner.to_owned(), ..Schema::default() });
    objects
}

pub(super) fn as_found(objects: &Objects) -> Vec<crate::model::Schema> {
    let found = objects.schemas.iter().map(|(name, schema)| crate::model::Schema {
        name: name.clone(),
        owner: Some(schema.owner.clone()),
        path: String::new(),
    });
    found.collect()
}
