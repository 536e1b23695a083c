//! Finishes removals, after the transaction that kept the roles from logging in: ends their
//! sessions, hands over what they own in every database, and drops them. A crash anywhere in
//! between leaves roles that cannot log in and are still recorded as managed; the next cycle takes
//! up where this one ended.
//!
//! REASSIGN OWNED and DROP OWNED act on the current database only, and DROP ROLE fails as long as
//! anything in any database depends on the role: <https://www.postgresql.org/docs/current/role-removal.html>.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::connect::{SessionLimits, connect_with};
use super::explain::{Attempt, ServerError};
use super::target::Target;
use crate::plan::{Change, Plan, Removal};
use crate::sql::statement::{RemovalStatements, Renderer};

/// How long a session has to end, in milliseconds.
const PATIENCE: i64 = 5_000;

/// Roles to remove, with the statements that do it.
pub type Removals = BTreeMap<String, RemovalStatements>;

/// The removals of a plan, without those roles that failed before.
pub fn of(plan: &Plan, renderer: &Renderer<'_>, failed: &BTreeSet<&str>) -> Removals {
    plan.steps
        .iter()
        .filter_map(|step| match &step.change {
            Change::DropRole { name, reassign_to } if !failed.contains(name.as_str()) => {
                Some((name.clone(), renderer.removal(name, reassign_to.as_deref())))
            }
            _ => None,
        })
        .collect()
}

/// Ends the sessions of the roles with these OIDs, and tells how many there were.
pub async fn end_sessions(client: &Client, oids: &[u32]) -> Result<usize, Error> {
    let sql = "SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity \
               WHERE usesysid = ANY ($1) AND pid <> pg_backend_pid()";
    Ok(client.query_typed(sql, &[(&oids, Type::OID_ARRAY), (&PATIENCE, Type::INT8)]).await?.len())
}

/// Visits every database in which something depends on the roles, each role in a transaction of
/// its own. Returns what failed, by role.
pub async fn hand_over(
    (target, limits): (&Target, &SessionLimits),
    removals: &Removals,
    dependencies: &BTreeMap<String, Removal>,
    server_version: u32,
) -> BTreeMap<String, ServerError> {
    let mut failed: BTreeMap<String, ServerError> = BTreeMap::new();
    for (database, roles) in visits(target, removals, dependencies) {
        let client = match connect_with(&target.with_database(&database), limits).await {
            Ok(client) => client,
            Err(error) => {
                for role in roles {
                    failed.insert(role.to_owned(), unreachable(role, &database, &error));
                }
                continue;
            }
        };
        for role in roles {
            let Some(statements) = removals.get(role) else { continue };
            let sql = format!("BEGIN;{};{};COMMIT", statements.reassign, statements.drop_owned);
            if let Err(error) = client.batch_execute(&sql).await {
                super::apply::roll_back(&client).await;
                let action = format!("hand over what it owns in database {database}");
                let attempt = Attempt { action: &action, role: Some(role), server_version };
                failed.insert(role.to_owned(), ServerError::new(&error, &attempt));
            }
        }
    }
    failed
}

/// Which databases to visit, for which roles. What belongs to the whole server can be handed over
/// from any database; ours is as good as any.
pub fn visits<'a>(
    target: &Target,
    removals: &'a Removals,
    dependencies: &'a BTreeMap<String, Removal>,
) -> BTreeMap<String, Vec<&'a str>> {
    let mut visits: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for role in removals.keys() {
        let Some(removal) = dependencies.get(role) else { continue };
        let mut databases: BTreeSet<&str> = removal.dependencies.keys().map(String::as_str).collect();
        if databases.remove("") {
            databases.insert(&target.database);
        }
        for database in databases {
            visits.entry(database.to_owned()).or_default().push(role);
        }
    }
    visits
}

pub(super) fn unreachable(role: &str, database: &str, error: &super::connect::ConnectError) -> ServerError {
    ServerError {
        attempted: format!("hand over what {role} owns in database {database}"),
        sqlstate: None,
        message: error.to_string(),
        detail: None,
        hint: None,
        explanation: format!("{role} owns objects or holds privileges in a database that cannot be entered"),
        help: format!("let the controller connect to {database}, or remove there by hand what depends on {role}"),
        transient: error.is_transient(),
    }
}

/// Drops the roles, within the caller's transaction: all at once, or, if that fails, one by one.
/// Returns what failed.
pub async fn drop_roles(
    client: &Client,
    removals: &Removals,
    server_version: u32,
) -> Result<BTreeMap<String, ServerError>, Error> {
    let all: String = removals.values().map(|statements| format!("{};", statements.drop)).collect();
    client.batch_execute("SAVEPOINT removal").await?;
    let error = match client.batch_execute(&all).await {
        Ok(()) => return Ok(BTreeMap::new()),
        Err(error) => error,
    };
    if error.as_db_error().is_none() {
        return Err(error);
    }
    client.batch_execute("ROLLBACK TO removal").await?;
    let mut failed = BTreeMap::new();
    for (role, statements) in removals {
        client.batch_execute("SAVEPOINT removal").await?;
        if let Err(error) = client.batch_execute(&statements.drop).await {
            if error.as_db_error().is_none() {
                return Err(error);
            }
            client.batch_execute("ROLLBACK TO removal").await?;
            let attempt = Attempt { action: "drop role", role: Some(role), server_version };
            failed.insert(role.clone(), ServerError::new(&error, &attempt));
        }
    }
    Ok(failed)
}
