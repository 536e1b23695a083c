//! What is remembered of the expressions of policies: one text for all of them, in the table `state` or in the file.

use serde::{Deserialize, Serialize};

use crate::model::TableName;
use crate::resolve::row_security::{Expressions, Printed};

/// The key in the table `state`.
pub(super) const KEY: &str = "policies";

#[derive(Serialize, Deserialize)]
struct Entry {
    database: String,
    schema: String,
    table: String,
    policy: String,
    declared: String,
    printed: String,
}

pub(super) fn to_json(expressions: &Expressions) -> String {
    let entries = expressions.iter().map(|((table, policy), Printed { declared, printed })| Entry {
        database: table.database.clone(),
        schema: table.schema.clone(),
        table: table.name.clone(),
        policy: policy.clone(),
        declared: declared.clone(),
        printed: printed.clone(),
    });
    // Text only: nothing in it can fail.
    serde_json::to_string(&entries.collect::<Vec<_>>()).unwrap_or_default()
}

/// What cannot be read is forgotten: then these policies are set once more, and no harm is done.
pub(super) fn from_json(json: &str) -> Expressions {
    let entries: Vec<Entry> = serde_json::from_str(json).unwrap_or_default();
    let expressions = entries.into_iter().map(|entry| {
        let table = TableName { database: entry.database, schema: entry.schema, name: entry.table };
        ((table, entry.policy), Printed { declared: entry.declared, printed: entry.printed })
    });
    expressions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_nonsense_is_forgotten() {
        let table = TableName { database: "sh\"op".into(), schema: "a.b".into(), name: "c\n".into() };
        let printed = Printed { declared: "1".into(), printed: "2".into() };
        let known = Expressions::from([((table, "own rows".to_owned()), printed)]);
        assert_eq!(from_json(&to_json(&known)), known);
        assert_eq!(from_json("nonsense"), Expressions::new());
    }
}
