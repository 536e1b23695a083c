//! `row_security` of a database in users.yaml: tables, whether row-level security is on for them, and its policies.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::databases::Databases;
use super::names::{is_reserved, list, nearest};
use super::parse::Reader;
use super::yaml::{Kind, Node, Problem};
use crate::model::{PUBLIC, PolicyCommand, RowPolicy, TableName, TableSecurity};
use crate::sql::expression;

pub(super) const TABLE_KEYS: [&str; 5] = ["schema", "table", "enabled", "forced", "policies"];
pub(super) const POLICY_KEYS: [&str; 6] = ["name", "command", "permissive", "to", "using", "check"];

impl Reader {
    /// Reads the list.
    pub(super) fn row_security(&mut self, node: &Node, path: &str, database: &str, databases: &mut Databases) {
        let Kind::Sequence(items) = &node.kind else {
            let what = format!("`row_security` of database {database:?}");
            self.wrong_type(node, path, &what, "a list such as `[{schema: app, table: orders, policies: [...]}]`");
            return;
        };
        let mut places: BTreeMap<TableName, Range<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Kind::Mapping(entries) = &item.kind else {
                self.wrong_type(item, &path, "row-level security", "a mapping with the keys `schema` and `table`");
                continue;
            };
            let who = "an entry of `row_security`";
            self.unknown_keys(entries, &path, who, &TABLE_KEYS);
            let schema = self.part_of_name(item, &path, "schema", who);
            let table = self.part_of_name(item, &path, "table", who);
            let enabled = self.flag(item, "enabled", &path, who).unwrap_or(true);
            let forced = self.flag(item, "forced", &path, who);
            let policies = item.get("policies").map(|node| self.policies(node, &format!("{path}/policies"), databases));
            let (Some((schema, at)), Some((name, _))) = (schema, table) else { continue };
            let table = TableName { database: database.to_owned(), schema, name };
            if table.schema.starts_with("pg_") || table.schema == "information_schema" {
                let message = format!("the schema {:?} is PostgreSQL's own, and is not managed", table.schema);
                self.report(Problem::new(at.clone(), "system-schema", format!("{path}/schema"), message));
            }
            self.not_the_ledger(&table.schema, at, &format!("{path}/schema"));
            if let Some(first) = places.get(&table) {
                let message = format!("the row-level security of {table} is declared twice");
                let problem = Problem::new(item.range(), "duplicate-table", path.clone(), message);
                self.report(problem.help("keep one of them").first(first.start));
                continue;
            }
            places.insert(table.clone(), item.range());
            databases.row_security.insert(table, TableSecurity { enabled, forced, policies, path });
        }
    }

    fn part_of_name(&mut self, node: &Node, path: &str, key: &str, who: &str) -> Option<(String, Range<usize>)> {
        let Some(value) = node.get(key) else {
            let message = format!("{who} without `{key}`");
            self.report(Problem::new(node.start..node.start, "missing-key", path.to_owned(), message));
            return None;
        };
        Some((self.name(value, &format!("{path}/{key}"), &format!("{key} name"))?, value.range()))
    }

    fn policies(&mut self, node: &Node, path: &str, databases: &mut Databases) -> BTreeMap<String, RowPolicy> {
        let mut policies: BTreeMap<String, RowPolicy> = BTreeMap::new();
        let Kind::Sequence(items) = &node.kind else {
            self.wrong_type(
                node,
                path,
                "`policies`",
                "a list such as `[{name: own_rows, using: \"owner = current_user\"}]`",
            );
            return policies;
        };
        let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Kind::Mapping(entries) = &item.kind else {
                self.wrong_type(item, &path, "a policy", "a mapping with the key `name`");
                continue;
            };
            let Some((name, at)) = self.part_of_name(item, &path, "name", "a policy") else { continue };
            let who = format!("policy {name:?}");
            self.unknown_keys(entries, &path, &who, &POLICY_KEYS);
            let command = item.get("command").and_then(|node| self.policy_command(node, &format!("{path}/command")));
            let command = command.unwrap_or(PolicyCommand::All);
            let permissive = self.flag(item, "permissive", &path, &who).unwrap_or(true);
            let roles = match item.get("to") {
                Some(node) => self.policy_roles(node, &format!("{path}/to"), &who, databases),
                None => BTreeSet::from([PUBLIC.to_owned()]),
            };
            let using = self.expression(item, "using", &path, &who);
            let check = self.expression(item, "check", &path, &who);
            let misplaced = [
                ("using", "check", command.takes_using(), "looks at no rows that are there"),
                ("check", "using", command.takes_check(), "writes no rows"),
            ];
            for (key, other, is_taken, why) in misplaced {
                let Some(value) = item.get(key).filter(|_| !is_taken) else { continue };
                let message = format!("{who} is for {}, which {why}: it takes no `{key}`", command.keyword());
                let problem = Problem::new(value.range(), "misplaced-expression", format!("{path}/{key}"), message);
                self.report(problem.help(format!("write `{other}`")));
            }
            if item.get("using").is_none() && item.get("check").is_none() {
                let message = format!("{who} has neither `using` nor `check`: it says nothing of any row");
                let problem = Problem::new(item.range(), "no-expression", path.clone(), message);
                self.report(problem.help("for all rows, write `true`"));
            }
            if let Some(first) = places.get(&name) {
                let problem =
                    Problem::new(at, "duplicate-policy", format!("{path}/name"), format!("{who} is declared twice"));
                self.report(problem.help("keep one of them").first(first.start));
                continue;
            }
            places.insert(name.clone(), at);
            policies.insert(name.clone(), RowPolicy { name, command, permissive, roles, using, check, path });
        }
        policies
    }

    fn policy_command(&mut self, node: &Node, path: &str) -> Option<PolicyCommand> {
        let word = self.words(node, path, "a command")?;
        let command = PolicyCommand::from_keyword(word);
        if command.is_none() {
            let known = PolicyCommand::WORDS.map(|(word, _, _)| word.to_ascii_lowercase());
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let help = match nearest(word, &known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are {}", list(&known)),
            };
            let message = format!("{word:?} is no command that a policy can be for");
            self.report(Problem::new(node.range(), "unknown-command", path.to_owned(), message).help(help));
        }
        command
    }

    /// Whom a policy is for: they are made, without LOGIN, where they are absent, as owners are.
    fn policy_roles(&mut self, node: &Node, path: &str, who: &str, databases: &mut Databases) -> BTreeSet<String> {
        let mut roles = BTreeSet::new();
        let Kind::Sequence(items) = &node.kind else {
            self.wrong_type(node, path, &format!("`to` of {who}"), "a list of roles, or left out for everybody");
            return roles;
        };
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Some(role) = self.name(item, &path, "role name") else { continue };
            if role != PUBLIC && is_reserved(&role) {
                let message = format!("{who} cannot be for {role:?}, which is no role");
                self.report(Problem::new(item.range(), "reserved-name", path, message));
                continue;
            }
            if role != PUBLIC {
                databases.owners.entry(role.clone()).or_insert_with(|| path.clone());
            }
            if !roles.insert(role.clone()) {
                let message = format!("{who} is for {role:?} twice");
                self.report(Problem::new(item.range(), "duplicate-role", path, message).help("keep one of them"));
            }
        }
        let mut report = |code, message: String, help| {
            self.report(Problem::new(node.range(), code, path.to_owned(), message).help(help));
        };
        if items.is_empty() {
            report("no-roles", format!("{who} is for nobody"), "leave `to` out for everybody, or take the policy out");
        } else if roles.len() > 1 && roles.contains(PUBLIC) {
            report("public-and-others", format!("{who} is for everybody, and for others"), "write `[public]` alone");
        }
        roles
    }

    fn expression(&mut self, node: &Node, key: &str, path: &str, who: &str) -> Option<String> {
        let value = node.get(key)?;
        let path = format!("{path}/{key}");
        // A constant is an expression, too.
        if let Some(constant) = value.boolean() {
            return Some(constant.to_string());
        }
        let text = self.words(value, &path, &format!("`{key}` of {who}"))?;
        if let Some(why) = expression::problem(text) {
            let message = format!("`{key}` of {who} {why}");
            let problem = Problem::new(value.range(), "unsafe-expression", path, message);
            self.report(
                problem.help("write one SQL expression, as it would stand between the parentheses of CREATE POLICY"),
            );
            return None;
        }
        Some(text.to_owned())
    }
}
