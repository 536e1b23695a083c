//! What a cycle has to remember of the policies that it set: how the server prints their expressions.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::Planned;
use crate::catalog::Catalog;
use crate::guard::parts::Part;
use crate::plan::Change;
use crate::plan::row_security::gives_access;
use crate::postgres::apply::Failed;
use crate::postgres::explain::ServerError;
use crate::postgres::row_security;
use crate::resolve::row_security::{Expressions, Printed};

/// The expressions of the policies that this part has set in this database, as they are printed in its transaction.
pub(super) async fn printed(
    client: &Client,
    catalog: &Catalog,
    database: &str,
    part: &Part<'_>,
    failed: &[Failed],
) -> Result<Expressions, tokio_postgres::Error> {
    let failed: BTreeSet<&str> = failed.iter().map(|failed| failed.role.as_str()).collect();
    let steps = part.steps().iter().filter(|step| !failed.contains(step.change.subject().as_ref()));
    let made = steps.filter_map(|step| match &step.change {
        Change::SecureTable { table, how } if table.database == database => Some((table, how.made()?)),
        _ => None,
    });
    let made: Vec<_> = made.collect();
    let asked = made.iter().map(|(table, _)| (table.schema.clone(), table.name.clone())).collect();
    let tables = row_security::read(client, catalog, &asked).await?;
    let printed = made.into_iter().filter_map(|(table, policy)| {
        let found = tables.get(&(table.schema.clone(), table.name.clone()))?.policies.get(&policy.name)?;
        let printed = Printed { declared: policy.digest(), printed: found.printed.clone() };
        Some(((table.clone(), policy.name.clone()), printed))
    });
    Ok(printed.collect())
}

/// The part without those who would be let at a table that could not be secured in a part before, or that nothing can be
/// done with this time.
pub(super) fn without_those_who_wait(
    part: Part<'static>,
    planned: &Planned,
    failed: &mut Vec<Failed>,
) -> Part<'static> {
    let unsecured = planned.plan.steps.iter().filter_map(|step| match &step.change {
        Change::SecureTable { table, .. } if failed.iter().any(|it| it.role == step.change.subject()) => Some(table),
        _ => None,
    });
    let unsecured: Vec<_> = unsecured.chain(&planned.resolved.unsecured).collect();
    let mut waiting: BTreeMap<String, Failed> = BTreeMap::new();
    for step in part.steps() {
        let Some(table) = unsecured.iter().find(|table| gives_access(&step.change, table)) else { continue };
        let role = step.change.subject().into_owned();
        let steps = part.steps().iter().enumerate().filter(|(_, step)| step.change.subject() == role);
        let steps = steps.filter_map(|(index, _)| part.position(index)).collect();
        let error = ServerError::without_row_security(&role, table);
        waiting.entry(role.clone()).or_insert(Failed { role, steps, error });
    }
    if waiting.is_empty() {
        return part;
    }
    let rest = part.without(&waiting.keys().map(String::as_str).collect());
    failed.extend(waiting.into_values());
    rest
}

/// All that is to be known from now on: what was known before but for policies that are not declared any more, and what
/// was set. `None`: as before.
pub(super) fn to_be_known(planned: &Planned, set: &Expressions) -> Option<Expressions> {
    let known = &planned.observation.state.expressions;
    let declared = &planned.resolved.row_security;
    let mut after = known.clone();
    after.retain(|(table, policy), _| {
        let policies = declared.get(table).and_then(|wanted| wanted.policies.as_ref());
        policies.is_none_or(|policies| policies.contains_key(policy))
    });
    after.extend(set.clone());
    (after != *known).then_some(after)
}
