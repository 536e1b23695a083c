//! What a plan may do to row-level security: what is declared, on tables for which it is declared, and no more than the
//! operator allows. An expression of users.yaml runs as whoever queries the table, a policy that is too wide shows rows
//! that no grant would, and rows that are hidden may be what somebody else's query counts on: so all of it needs a word in
//! `ALLOWED_POWERS`, as BYPASSRLS does.

use std::collections::BTreeSet;

use super::{Violation, invalid_name};
use crate::catalog::Catalog;
use crate::model::{LEDGER_SCHEMA, PUBLIC, TableName};
use crate::plan::{Securing, Step, row_security};
use crate::resolve::Resolved;
use crate::resolve::row_security::found;
use crate::sql::expression;

/// The word in `ALLOWED_POWERS`.
pub const ROW_SECURITY: &str = "ROW_SECURITY";

/// Whether the operator allows it.
pub fn is_allowed(powers: &BTreeSet<String>) -> bool {
    powers.iter().any(|power| power.eq_ignore_ascii_case(ROW_SECURITY))
}

/// Tells `violate` which rules a step breaks, and how.
pub(super) fn check(
    table: &TableName,
    how: &Securing,
    resolved: &Resolved,
    allowed: &BTreeSet<String>,
    mut violate: impl FnMut(&'static str, String),
) {
    if !resolved.row_security.contains_key(table) {
        return violate("out-of-scope", format!("the row-level security of {table} is not declared"));
    }
    if table.schema == LEDGER_SCHEMA {
        violate("ledger", format!("{table} is the controller's own"));
    }
    if !is_allowed(allowed) {
        violate(
            "power-raised",
            format!(
                "{table} would show other rows, and {ROW_SECURITY} is not in ALLOWED_POWERS; add it there if whoever \
                 writes users.yaml may say which rows there are, in SQL that runs as whoever asks for them"
            ),
        );
    }
    let policy = how.made();
    let roles = policy.iter().flat_map(|policy| &policy.roles).filter(|role| *role != PUBLIC);
    let names = [&table.schema, &table.name].into_iter().map(String::as_str).chain(how.policy());
    for name in names.chain(roles.map(String::as_str)) {
        if let Some(why) = invalid_name(name) {
            violate("invalid-name", format!("the name {name:?} {why}"));
        }
    }
    for text in policy.iter().flat_map(|policy| policy.using.iter().chain(&policy.check)) {
        if let Some(why) = expression::problem(text) {
            violate("unsafe-expression", format!("an expression for {table} {why}"));
        }
    }
}

/// Tables that the plan does not leave as they are declared.
pub(super) fn differences(steps: &[Step], resolved: &Resolved, catalog: &Catalog, violations: &mut Vec<Violation>) {
    let after = match row_security::after(|table| found(catalog, table), steps) {
        Ok(after) => after,
        Err(message) => return violations.push(Violation { rule: "impossible-step", message }),
    };
    for (table, wanted) in &resolved.row_security {
        let Some(made) = after.get(table).or_else(|| found(catalog, table)) else {
            let message = format!("after the plan, {table} is missing");
            violations.push(Violation { rule: "not-as-desired", message });
            continue;
        };
        for (how, _) in row_security::differences(made, wanted) {
            let policy = how.policy().map(|policy| format!(" {policy:?}")).unwrap_or_default();
            let message = format!("after the plan, {table} still lacks {}{policy}", how.action());
            violations.push(Violation { rule: "not-as-desired", message });
        }
    }
}
