//! Runs a plan inside PostgreSQL and rolls it back: all role DDL is transactional, so the server
//! itself says whether it would accept every statement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tokio_postgres::{Client, Error};

use super::apply::{self, Failed, Verifiers};
use super::connect::{SessionLimits, connect_with};
use super::explain::{Attempt, ServerError};
use super::removal::{self, Removals};
use super::target::Target;
use super::{fallback, retry, script};
use crate::guard::GuardedPlan;
use crate::guard::parts::{Inside, Part};
use crate::model::Script;
use crate::plan::Removal;
use crate::printable;
use crate::sql::statement::Renderer;

/// What the server said to a plan that it did not have to keep.
#[derive(Debug, Clone, Default)]
pub struct Rehearsal {
    /// Roles whose steps it would not accept.
    pub failed: Vec<Failed>,
    /// Removals that cannot be rehearsed to the end, since they take several databases: the role,
    /// and the databases.
    pub partly: BTreeMap<String, Vec<String>>,
    /// Databases that are yet to be made: no transaction can do that, so what needs them was not tried.
    pub untried: BTreeSet<String>,
}

/// One sentence for people, and one for each failure.
impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failed.is_empty() {
            f.write_str("the server accepted every statement; all of it was rolled back")?;
        } else {
            write!(f, "the server would not accept this; all of it was rolled back")?;
            for failed in &self.failed {
                write!(f, "\n  {}", failed.error)?;
            }
        }
        for database in &self.untried {
            let database = printable::name(database);
            write!(f, "\n  CREATE DATABASE {database} could not be tried, nor what needs that database")?;
        }
        for (role, databases) in &self.partly {
            let role = printable::name(role);
            let databases: Vec<_> = databases.iter().map(|database| printable::name(database)).collect();
            write!(f, "\n  DROP ROLE {role} itself could not be tried, since it takes {} too", databases.join(", "))?;
        }
        Ok(())
    }
}

/// Rehearses a plan. Takes the same lock as an apply, but for scripts, which may take their time: a controller that runs
/// must not wait for a rehearsal of those. Leaves nothing behind but what a script does outside of its transaction.
pub async fn rehearse(
    client: &Client,
    (target, limits): (&Target, &SessionLimits),
    plan: &GuardedPlan,
    renderer: &Renderer<'_>,
    verifiers: &Verifiers,
    scripts: &[&Script],
) -> Result<Rehearsal, Error> {
    apply::lock(client).await?;
    let rehearsal = in_lock(client, (target, limits), plan, renderer, verifiers).await;
    apply::unlock(client).await?;
    let mut rehearsal = rehearsal?;
    let scripts = scripts.iter().filter(|script| !rehearsal.untried.contains(&script.database)).copied();
    let scripts: Vec<&Script> = scripts.collect();
    rehearsal.failed.extend(script::rehearse((target, limits), plan, renderer, &scripts).await?);
    Ok(rehearsal)
}

async fn in_lock(
    client: &Client,
    (target, limits): (&Target, &SessionLimits),
    plan: &GuardedPlan,
    renderer: &Renderer<'_>,
    verifiers: &Verifiers,
) -> Result<Rehearsal, Error> {
    let untried: BTreeSet<String> = plan.plan().databases_created().map(str::to_owned).collect();
    let mut rehearsal = Rehearsal { untried, ..Rehearsal::default() };
    let today = plan.on_the_server_today();
    apply::begin(client).await?;
    if let Err(error) = apply::all(client, &today, renderer, verifiers).await {
        apply::roll_back(client).await;
        if error.as_db_error().is_none() || retry::is_transient(&error) {
            return Err(error);
        }
        apply::begin(client).await?;
        let failed = fallback::one_by_one(client, &today, renderer, verifiers).await;
        apply::roll_back(client).await;
        rehearsal.failed = failed?;
    }
    let removals = removal::of(plan.plan(), renderer, &Default::default());
    let server_version = renderer.catalog.server.version;
    let elsewhere = elsewhere(target, &removals, &plan.plan().removals);
    if rehearsal.failed.is_empty() {
        for (role, statements) in &removals {
            let mut sql = format!("{};{}", statements.reassign, statements.drop_owned);
            if !elsewhere.contains_key(role) {
                sql = format!("{sql};{}", statements.drop);
            }
            client.batch_execute("SAVEPOINT removal").await?;
            if let Err(error) = client.batch_execute(&sql).await {
                if error.as_db_error().is_none() {
                    return Err(error);
                }
                client.batch_execute("ROLLBACK TO removal").await?;
                rehearsal.failed.push(failure(role, "drop role", &error, server_version));
            }
        }
    }
    apply::roll_back(client).await;
    for (database, inside) in plan.inside() {
        if rehearsal.untried.contains(database) {
            continue;
        }
        let other;
        let there = if database == target.database {
            client
        } else {
            match connect_with(&target.with_database(database), limits).await {
                Ok(connected) => other = connected,
                Err(error) => {
                    let steps = inside.taken.steps().iter().chain(inside.given.steps());
                    for role in steps.filter_map(|step| step.change.role()).collect::<BTreeSet<_>>() {
                        let error = removal::unreachable(role, database, &error);
                        rehearsal.failed.push(Failed { role: role.to_owned(), steps: Vec::new(), error });
                    }
                    continue;
                }
            }
            &other
        };
        let failed = in_database(there, &plan.creations_for(database), &inside, renderer).await;
        apply::roll_back(there).await;
        rehearsal.failed.extend(failed?);
    }
    for (role, databases) in elsewhere {
        for database in &databases {
            if let Some(error) = hand_over((target, limits), database, &role, &removals, server_version).await {
                rehearsal.failed.push(Failed { role: role.clone(), steps: Vec::new(), error });
            }
        }
        rehearsal.partly.insert(role, databases);
    }
    Ok(rehearsal)
}

/// What a plan holds for one database, in a transaction there that makes the new roles first. What fails of that has
/// failed before, and was told then.
async fn in_database(
    client: &Client,
    creations: &Part<'_>,
    inside: &Inside,
    renderer: &Renderer<'_>,
) -> Result<Vec<Failed>, Error> {
    let verifiers = Verifiers::new();
    apply::begin(client).await?;
    let absent = fallback::one_by_one(client, creations, renderer, &verifiers).await?;
    let absent: BTreeSet<&str> = absent.iter().map(|failed| failed.role.as_str()).collect();
    let mut failed = Vec::new();
    for part in [&inside.taken, &inside.given] {
        failed.extend(fallback::one_by_one(client, &part.without(&absent), renderer, &verifiers).await?);
    }
    Ok(failed)
}

/// Databases other than ours in which something depends on a role.
fn elsewhere(
    target: &Target,
    removals: &Removals,
    dependencies: &BTreeMap<String, Removal>,
) -> BTreeMap<String, Vec<String>> {
    let mut elsewhere: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (database, roles) in removal::visits(target, removals, dependencies) {
        if database != target.database {
            for role in roles {
                elsewhere.entry(role.to_owned()).or_default().push(database.clone());
            }
        }
    }
    elsewhere
}

async fn hand_over(
    (target, limits): (&Target, &SessionLimits),
    database: &str,
    role: &str,
    removals: &Removals,
    server_version: u32,
) -> Option<ServerError> {
    let statements = removals.get(role)?;
    let action = format!("hand over what it owns in database {database}");
    let attempt = Attempt { action: &action, role: Some(role), server_version };
    match connect_with(&target.with_database(database), limits).await {
        Ok(client) => {
            let sql = format!("BEGIN;{};{};ROLLBACK", statements.reassign, statements.drop_owned);
            client.batch_execute(&sql).await.err().map(|error| ServerError::new(&error, &attempt))
        }
        Err(error) => Some(removal::unreachable(role, database, &error)),
    }
}

fn failure(role: &str, action: &str, error: &Error, server_version: u32) -> Failed {
    let attempt = Attempt { action, role: Some(role), server_version };
    Failed { role: role.to_owned(), steps: Vec::new(), error: ServerError::new(error, &attempt) }
}
