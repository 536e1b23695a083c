//! Databases and their schemas: whose they are, and what PUBLIC may there. What cannot be declared, or is PostgreSQL's own
//! or Rolewright's, is left out, and a comment says so.

use std::collections::BTreeSet;

use super::{Entry, Key, Note, Value, everybody};
use crate::catalog::{Catalog, Objects, is_predefined};
use crate::model::{Database, LEDGER_SCHEMA, Limit, Object, PUBLIC, Privileges};

/// Made by initdb to have something to connect to; whoever keeps data there names it.
pub(super) const MAINTENANCE: &str = "postgres";

/// Databases that are not like others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unusual {
    /// Those that others are made from.
    pub templates: BTreeSet<String>,
    /// What an interrupted DROP DATABASE has left: <https://www.postgresql.org/docs/release/15.4/>.
    pub invalid: BTreeSet<String>,
}

impl Unusual {
    /// Whether a database is one that people have made for their data, and can be looked into.
    pub fn is_usual(&self, name: &str) -> bool {
        name != MAINTENANCE && !self.templates.contains(name) && !self.invalid.contains(name)
    }
}

/// The section `databases`.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub(super) entries: Vec<Entry>,
    /// What to know of the section as a whole.
    pub(super) remarks: Vec<String>,
    /// Every owner of something in it, but PostgreSQL's own.
    pub(super) owners: BTreeSet<String>,
}

/// Every database that is not a template. `postgres` only if it was looked into: that is, if somebody asked for it.
pub(super) fn section(catalog: &Catalog, unusual: &Unusual) -> Section {
    let mut section = Section::default();
    let (mut left_out, mut not_seen, mut with_ledger) = (Vec::new(), Vec::new(), Vec::new());
    for (name, database) in &catalog.databases {
        let (inside, closed) = (catalog.objects.get(name), catalog.closed.get(name));
        if unusual.templates.contains(name) || (name == MAINTENANCE && inside.is_none()) {
            left_out.push(name.as_str());
            continue;
        }
        let mut entry = Entry { name: name.clone(), keys: None, notes: Vec::new(), secret: None };
        if unusual.invalid.contains(name) {
            let why = "it is what an interrupted DROP DATABASE has left; drop it".to_owned();
            entry.notes.push(Note { what: format!("database {name:?}"), why });
            section.entries.push(entry);
            continue;
        }
        entry.notes.extend(inside.into_iter().flat_map(|inside| everybody::notes(name, inside)));
        match (inside, closed) {
            (Some(inside), _) if inside.schemas.contains_key(LEDGER_SCHEMA) => with_ledger.push(name.as_str()),
            (Some(_), _) => {}
            (None, Some(why)) => {
                let what = format!("schemas of database {name:?}, and what is held in it");
                entry.notes.push(Note { what, why: format!("it cannot be looked into: {why}") });
            }
            (None, None) => not_seen.push(name.as_str()),
        }
        entry.keys = Some(keys(database, inside, catalog, &mut section.owners));
        section.entries.push(entry);
    }
    let listed = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let mut remark = |names: &[&str], what: &str| {
        if !names.is_empty() {
            section.remarks.push(format!("{what}: {}", listed(names)));
        }
    };
    remark(&left_out, "left out, as PostgreSQL's own or what others are made from");
    remark(&not_seen, "schemas, and what is held in there, are not imported without --database or --all-databases, of");
    remark(&with_ledger, "left out, as Rolewright's own, is the schema \"rolewright\" of");
    section
}

fn keys(database: &Database, inside: Option<&Objects>, catalog: &Catalog, owners: &mut BTreeSet<String>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut owner = |name: Option<&String>| {
        // One that was dropped or renamed between two queries is known by its number alone.
        let name = name.filter(|name| catalog.roles.contains_key(*name))?;
        owners.extend((!is_predefined(name)).then(|| name.clone()));
        Some(("owner", Value::text(name)))
    };
    keys.extend(owner(database.owner.as_ref()));
    let held = catalog.public.get(&database.name).copied().unwrap_or_default();
    keys.push(public(held));
    if let Some(Limit::AtMost(most)) = database.connection_limit {
        keys.push(("connection_limit", Value::Plain(most.to_string())));
    }
    if let Some(comment) = database.comment.as_ref().filter(|comment| !comment.is_empty()) {
        keys.push(("comment", Value::text(comment)));
    }
    let Some(inside) = inside else { return keys };
    let schemas = inside.schemas.iter().filter(|(name, _)| *name != LEDGER_SCHEMA).map(|(name, schema)| {
        let (held, _) = inside.held(PUBLIC, &Object::Schema(name.clone()));
        let pairs = [("name", Value::text(name))].into_iter().chain(owner(Some(&schema.owner))).chain([public(held)]);
        Value::Map(pairs.map(|(key, value)| (key.to_owned(), value)).collect())
    });
    let schemas: Vec<Value> = schemas.collect();
    if !schemas.is_empty() {
        keys.push(("schemas", Value::Lines(schemas)));
    }
    keys
}

fn public(held: Privileges) -> Key {
    ("public", Value::texts(held.keywords()))
}
