//! `databases:` of users.yaml: databases and their schemas, whose they are, and what PUBLIC may there.

use std::collections::BTreeMap;
use std::ops::Range;

use super::names::{is_reserved, list};
use super::parse::Reader;
use super::yaml::{Kind, Node, Problem};
use crate::model::{Database, Grant, LEDGER_SCHEMA, Object, Schema, TableName, TableSecurity};

pub(super) const DATABASE_KEYS: [&str; 8] =
    ["name", "owner", "public", "connection_limit", "comment", "labels", "schemas", "row_security"];
pub(super) const SCHEMA_KEYS: [&str; 3] = ["name", "owner", "public"];
/// What CREATE DATABASE copies; template0 takes no connections, and PostgreSQL relies on both.
const TEMPLATES: [&str; 2] = ["template0", "template1"];

/// What a document says of databases; good if no problem was reported.
#[derive(Debug, Default)]
pub(super) struct Databases {
    pub(super) declared: BTreeMap<String, Database>,
    /// What PUBLIC holds, where that is said, be it nothing.
    pub(super) public: Vec<Grant>,
    /// Tables whose row-level security is declared.
    pub(super) row_security: BTreeMap<TableName, TableSecurity>,
    /// Every owner, and whoever a policy is for, and the path to where it is named first.
    pub(super) owners: BTreeMap<String, String>,
}

impl Reader {
    /// Reads the list.
    pub(super) fn declared_databases(&mut self, node: &Node) -> Databases {
        let mut databases = Databases::default();
        let Kind::Sequence(items) = &node.kind else {
            self.hidden.push(node.range());
            self.wrong_type(node, "/databases", "`databases`", "a list of databases, or left out");
            return databases;
        };
        let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("/databases/{index}");
            let Kind::Mapping(entries) = &item.kind else {
                self.wrong_type(item, &path, "a database", "a mapping with the key `name`");
                continue;
            };
            let Some((name, at)) = self.name_of(item, &path, "database") else { continue };
            let who = format!("database {name:?}");
            self.unknown_keys(entries, &path, &who, &DATABASE_KEYS);
            if TEMPLATES.contains(&name.as_str()) {
                let message = format!("{who} is what PostgreSQL makes others from, and is not managed");
                let problem = Problem::new(at.clone(), "system-database", format!("{path}/name"), message);
                self.report(problem.help(format!("{} stay as they are", list(&TEMPLATES))));
            }
            let owner = self.owner(item, &path, &who, &mut databases);
            let on = Object::Database(name.clone());
            if let Some(value) = item.get("public") {
                let (path, of) = (format!("{path}/public"), format!("`public` of {who}"));
                databases.public.push(self.of_everybody(value, &path, "a database", &of, None, on));
            }
            let limit = item.get("connection_limit");
            let comment = item.get("comment");
            let labels = item.get("labels");
            if let Some(node) = item.get("row_security") {
                self.row_security(node, &format!("{path}/row_security"), &name, &mut databases);
            }
            let database = Database {
                owner,
                connection_limit: limit
                    .and_then(|node| self.connection_limit(node, &format!("{path}/connection_limit"), &who)),
                comment: comment.and_then(|node| self.comment(node, &format!("{path}/comment"), &who)),
                schemas: item
                    .get("schemas")
                    .map(|node| self.schemas(node, &format!("{path}/schemas"), &name, &mut databases))
                    .unwrap_or_default(),
                labels: labels.map(|node| self.labels(node, &format!("{path}/labels"), &who)).unwrap_or_default(),
                path,
                name,
            };
            if self.is_first(&database.name, at, &mut places, &database.path, &who) {
                databases.declared.insert(database.name.clone(), database);
            }
        }
        databases
    }

    fn schemas(&mut self, node: &Node, path: &str, database: &str, databases: &mut Databases) -> Vec<Schema> {
        let Kind::Sequence(items) = &node.kind else {
            let what = format!("`schemas` of database {database:?}");
            self.wrong_type(node, path, &what, "a list such as `[{name: sales, owner: sales_owner}]`");
            return Vec::new();
        };
        let mut schemas: BTreeMap<String, Schema> = BTreeMap::new();
        let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Kind::Mapping(entries) = &item.kind else {
                self.wrong_type(item, &path, "a schema", "a mapping with the key `name`");
                continue;
            };
            let Some((name, at)) = self.name_of(item, &path, "schema") else { continue };
            let who = format!("schema {name:?}");
            self.unknown_keys(entries, &path, &who, &SCHEMA_KEYS);
            if name.starts_with("pg_") || name == "information_schema" {
                let message = format!("{who} is PostgreSQL's own, and is not managed");
                let problem = Problem::new(at.clone(), "system-schema", format!("{path}/name"), message);
                self.report(problem.help("leave it out; no schema of yours can have a name that begins with `pg_`"));
            }
            self.not_the_ledger(&name, at.clone(), &format!("{path}/name"));
            let owner = self.owner(item, &path, &who, databases);
            databases.public.extend(self.public_in_schema(item, &path, &who, database, &name));
            if self.is_first(&name, at, &mut places, &path, &who) {
                schemas.insert(name.clone(), Schema { name, owner, path });
            }
        }
        schemas.into_values().collect()
    }

    /// Reports the schema that Rolewright keeps its own records in.
    pub(super) fn not_the_ledger(&mut self, schema: &str, at: Range<usize>, path: &str) {
        if schema == LEDGER_SCHEMA {
            let message = format!("the schema {schema:?} is where Rolewright keeps its ledger, and is not managed");
            let problem = Problem::new(at, "system-schema", path.to_owned(), message);
            self.report(problem.help("leave it out; whoever is to read it is granted that by hand"));
        }
    }

    fn name_of(&mut self, node: &Node, path: &str, word: &str) -> Option<(String, Range<usize>)> {
        let Some(value) = node.get("name") else {
            let message = format!("a {word} without `name`");
            self.report(Problem::new(node.start..node.start, "missing-key", path.to_owned(), message));
            return None;
        };
        Some((self.name(value, &format!("{path}/name"), &format!("{word} name"))?, value.range()))
    }

    fn is_first(
        &mut self,
        name: &str,
        at: Range<usize>,
        places: &mut BTreeMap<String, Range<usize>>,
        path: &str,
        who: &str,
    ) -> bool {
        if let Some(first) = places.get(name) {
            let code = if who.starts_with("schema") { "duplicate-schema" } else { "duplicate-database" };
            let problem = Problem::new(at, code, format!("{path}/name"), format!("{who} is declared twice"));
            self.report(problem.help("keep one of them").first(first.start));
            return false;
        }
        places.insert(name.to_owned(), at);
        true
    }

    fn owner(&mut self, node: &Node, path: &str, who: &str, databases: &mut Databases) -> Option<String> {
        let value = node.get("owner")?;
        let path = format!("{path}/owner");
        let owner = self.name(value, &path, &format!("the owner of {who}"))?;
        if is_reserved(&owner) {
            let message = format!("the owner of {who} cannot be {owner:?}, which is no role");
            self.report(Problem::new(value.range(), "reserved-name", path, message));
            return None;
        }
        databases.owners.entry(owner.clone()).or_insert(path);
        Some(owner)
    }
}
