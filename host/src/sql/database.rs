//! CREATE and ALTER DATABASE, and the same for schemas.

use super::quote::literal;
use super::statement::{Renderer, Statement};
use crate::model::{Database, Limit};

impl Renderer<'_> {
    /// The database alone: what is said of it are steps of their own, since this one runs in no transaction.
    pub(super) fn create_database(&self, database: &Database) -> Vec<Statement> {
        vec![Statement::new(format!("CREATE DATABASE {}", self.name(&database.name)))]
    }

    pub(super) fn alter_database(&self, patch: &Database) -> Vec<Statement> {
        let name = self.name(&patch.name);
        let mut statements = Vec::new();
        let mut push = |sql: String| statements.push(Statement::new(sql));
        if let Some(owner) = &patch.owner {
            push(format!("ALTER DATABASE {name} OWNER TO {}", self.name(owner)));
        }
        if let Some(limit) = patch.connection_limit {
            let most = match limit {
                Limit::Unlimited => "-1".to_owned(),
                Limit::AtMost(most) => most.to_string(),
            };
            push(format!("ALTER DATABASE {name} CONNECTION LIMIT {most}"));
        }
        if let Some(comment) = &patch.comment {
            let text = if comment.is_empty() { "NULL".to_owned() } else { literal(comment) };
            push(format!("COMMENT ON DATABASE {name} IS {text}"));
        }
        let found = self.catalog.databases.get(&patch.name).map(|database| database.schemas.as_slice());
        for schema in &patch.schemas {
            let is_there = found.into_iter().flatten().any(|found| found.name == schema.name)
                || self.is_made_with_the_database(&patch.name, &schema.name);
            let name = self.name(&schema.name);
            match (&schema.owner, is_there) {
                (Some(owner), false) => push(format!("CREATE SCHEMA {name} AUTHORIZATION {}", self.name(owner))),
                (None, false) => push(format!("CREATE SCHEMA {name}")),
                (Some(owner), true) => push(format!("ALTER SCHEMA {name} OWNER TO {}", self.name(owner))),
                (None, true) => {}
            }
        }
        statements
    }

    /// The schema that every new database has.
    fn is_made_with_the_database(&self, database: &str, schema: &str) -> bool {
        schema == "public" && self.catalog.absent.contains(database)
    }
}
