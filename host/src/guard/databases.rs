//! What a plan may do to databases and schemas: exactly what is declared of them, step by step and in the end.

use std::collections::BTreeMap;

use super::Violation;
use crate::catalog::Catalog;
use crate::model::{Database, LEDGER_SCHEMA, Limit};
use crate::plan::{Change, Step, replay};

/// Tells `violate` which rules a step breaks, and how. Every name in it is one that is declared, so none needs a rule
/// of its own.
pub(super) fn check(
    change: &Change,
    desired: &BTreeMap<String, Database>,
    catalog: &Catalog,
    mut violate: impl FnMut(&'static str, String),
) {
    let (Change::CreateDatabase(made) | Change::AlterDatabase(made)) = change else { return };
    let Some(wanted) = desired.get(&made.name) else {
        return violate("out-of-scope", format!("the database {:?} is not declared", made.name));
    };
    if matches!(change, Change::CreateDatabase(_)) && catalog.databases.contains_key(&made.name) {
        violate("impossible-step", format!("the database {:?} exists already", made.name));
    }
    let differs = |is: bool, what: &str| is.then(|| format!("database {:?} would get {what}", made.name));
    let schemas = made.schemas.iter().map(|schema| {
        let declared = wanted.schemas.iter().find(|declared| declared.name == schema.name);
        let same = declared.is_some_and(|declared| declared.owner == schema.owner);
        (!same).then(|| format!("schema {:?} of database {:?} is not declared so", schema.name, made.name))
    });
    let fields = [
        differs(made.owner.is_some() && made.owner != wanted.owner, "another owner than declared"),
        differs(
            made.connection_limit.is_some() && made.connection_limit != wanted.connection_limit,
            "another connection limit than declared",
        ),
        differs(made.comment.is_some() && made.comment != wanted.comment, "another comment than declared"),
    ];
    if made.schemas.iter().any(|schema| schema.name == LEDGER_SCHEMA) {
        violate("ledger", format!("the schema {LEDGER_SCHEMA:?} is the controller's own"));
    }
    for message in fields.into_iter().chain(schemas).flatten() {
        violate("not-as-desired", message);
    }
}

/// Databases that the plan does not leave as they are declared.
pub(super) fn differences(
    steps: &[Step],
    desired: &BTreeMap<String, Database>,
    catalog: &Catalog,
    violations: &mut Vec<Violation>,
) {
    let mut made: BTreeMap<&str, Database> =
        catalog.databases.iter().map(|(name, database)| (name.as_str(), database.clone())).collect();
    for step in steps {
        match &step.change {
            Change::CreateDatabase(database) => {
                made.insert(&database.name, fresh(database, &catalog.server.current_user));
            }
            Change::AlterDatabase(patch) => {
                if let Some(database) = made.get_mut(patch.name.as_str()) {
                    apply(database, patch);
                }
            }
            _ => {}
        }
    }
    let mut violate = |message| violations.push(Violation { rule: "not-as-desired", message });
    for (name, wanted) in desired {
        let Some(made) = made.get(name.as_str()) else {
            violate(format!("after the plan, database {name:?} is missing"));
            continue;
        };
        for difference in replay::compare_databases(made, wanted) {
            violate(format!("after the plan, database {name:?} {difference}"));
        }
    }
}

/// What CREATE DATABASE gives where nothing is said.
fn fresh(database: &Database, creator: &str) -> Database {
    let mut made = database.clone();
    made.owner = made.owner.or_else(|| Some(creator.to_owned()));
    made.connection_limit = made.connection_limit.or(Some(Limit::Unlimited));
    made
}

fn apply(database: &mut Database, patch: &Database) {
    if patch.owner.is_some() {
        database.owner.clone_from(&patch.owner);
    }
    database.connection_limit = patch.connection_limit.or(database.connection_limit);
    if patch.comment.is_some() {
        database.comment.clone_from(&patch.comment);
    }
    for schema in &patch.schemas {
        match database.schemas.iter_mut().find(|found| found.name == schema.name) {
            Some(found) if schema.owner.is_some() => found.owner.clone_from(&schema.owner),
            Some(_) => {}
            None => database.schemas.push(schema.clone()),
        }
    }
}
