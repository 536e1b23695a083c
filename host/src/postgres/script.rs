//! Runs custom SQL: in a session of its own, which ends with it, and in one transaction, which is the caller's to commit.
//!
//! What the text may hold was looked at where it was read (`sql::script`). Here each statement goes to the server by
//! itself, by the protocol that takes no two in one; and when all are done, the transaction must be the one that was
//! begun. What the script has set, or whose role it has taken, ends with the session.

use std::collections::BTreeSet;

use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::{Client, Error};

use super::apply::{self, Failed, Verifiers};
use super::connect::{ConnectError, SessionLimits, connect_with};
use super::explain::{ServerError, scrub};
use super::target::Target;
use super::{fallback, retry};
use crate::guard::GuardedPlan;
use crate::model::Script;
use crate::plan::change::script_in_words;
use crate::sql::script::{line_of, statements};
use crate::sql::statement::Renderer;

/// What a script's author expects: each statement sees what others have committed. The session has its `search_path`
/// and its timeouts already.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Which transaction this is; asking makes it one that has a number.
const TRANSACTION: &str = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text";

/// Back to who the controller is, for what it writes itself.
const BACK: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; SET LOCAL search_path = pg_catalog";

/// A script that has run to its end, in a transaction that is still open. Dropped, it is rolled back.
pub struct Ran {
    client: Client,
}

impl Ran {
    /// The session, for what is to be in the same transaction.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Keeps what the script did.
    ///
    /// # Errors
    /// Such as a constraint that was deferred to this moment.
    pub async fn commit(self, script: &Script) -> Result<(), ServerError> {
        apply::commit(&self.client).await.map_err(|error| refused(script, "at its commit", &error))
    }
}

/// Runs a script, and leaves its transaction open.
///
/// # Errors
/// Why nothing of it stays.
pub async fn run(target: &Target, limits: &SessionLimits, script: &Script) -> Result<Ran, ServerError> {
    let target = target.with_database(&script.database);
    let client = connect_with(&target, limits).await.map_err(|error| unreachable(script, &error))?;
    let whole = |error| refused(script, "as a whole", &error);
    client.batch_execute(BEGIN).await.map_err(whole)?;
    let begun = transaction(&client).await.map_err(whole)?;
    each(&client, script).await?;
    client.batch_execute(BACK).await.map_err(whole)?;
    if transaction(&client).await.map_err(whole)? != begun {
        return Err(astray(script));
    }
    Ok(Ran { client })
}

/// Runs scripts after what the plan holds for their databases, and rolls all of it back. Of the roles that it makes only
/// the names are there.
///
/// # Errors
/// Where the server cannot be asked.
pub async fn rehearse(
    (target, limits): (&Target, &SessionLimits),
    plan: &GuardedPlan,
    renderer: &Renderer<'_>,
    scripts: &[&Script],
) -> Result<Vec<Failed>, Error> {
    let mut failed = Vec::new();
    let mut databases: Vec<&str> = Vec::new();
    for script in scripts {
        if !databases.contains(&script.database.as_str()) {
            databases.push(&script.database);
        }
    }
    for database in databases {
        let scripts = || scripts.iter().filter(|script| script.database == database);
        let failure = |script: &Script, error| Failed { role: script_in_words(&script.name), steps: Vec::new(), error };
        let client = match connect_with(&target.with_database(database), limits).await {
            Ok(client) => client,
            Err(error) => {
                failed.extend(scripts().map(|script| failure(script, unreachable(script, &error))));
                continue;
            }
        };
        client.batch_execute(BEGIN).await?;
        prepare(&client, plan, renderer, database).await?;
        for script in scripts() {
            client.batch_execute("SAVEPOINT script").await?;
            let outcome = each(&client, script).await;
            client.batch_execute(if outcome.is_ok() { "RELEASE script" } else { "ROLLBACK TO script" }).await?;
            failed.extend(outcome.err().map(|error| failure(script, error)));
            client.batch_execute(BACK).await?;
        }
        apply::roll_back(&client).await;
    }
    Ok(failed)
}

/// What comes before the scripts, as far as one transaction in their database can hold it. What fails of it was told
/// before.
async fn prepare(client: &Client, plan: &GuardedPlan, renderer: &Renderer<'_>, database: &str) -> Result<(), Error> {
    let verifiers = Verifiers::new();
    let absent = fallback::one_by_one(client, &plan.role_creations(), renderer, &verifiers).await?;
    let absent: BTreeSet<&str> = absent.iter().map(|failed| failed.role.as_str()).collect();
    if let Some(inside) = plan.inside().get(database) {
        for part in [&inside.taken, &inside.given] {
            fallback::one_by_one(client, &part.without(&absent), renderer, &verifiers).await?;
        }
    }
    Ok(())
}

/// The statements, one after the other.
async fn each(client: &Client, script: &Script) -> Result<(), ServerError> {
    let text = script.text.as_str();
    // What it holds was judged when it was read.
    for at in statements(text).map_err(|unfit| astray_at(script, unfit.line))? {
        let statement = text.get(at.clone()).unwrap_or_default();
        if let Err(error) = client.execute_typed(statement, &[]).await {
            let line = line_of(text, at.start + offset(&error, statement));
            return Err(refused(script, &format!("in its line {line}"), &error));
        }
    }
    Ok(())
}

async fn transaction(client: &Client) -> Result<String, Error> {
    let rows = client.query_typed(TRANSACTION, &[]).await?;
    rows.first().map_or(Ok(String::new()), |row| row.try_get(0))
}

/// How many bytes into its statement the server saw what is wrong. It counts characters, from 1.
fn offset(error: &Error, statement: &str) -> usize {
    let position = error.as_db_error().and_then(|answer| answer.position());
    let Some(ErrorPosition::Original(position)) = position else { return 0 };
    let before = usize::try_from(*position).unwrap_or_default().saturating_sub(1);
    statement.char_indices().nth(before).map_or(0, |(at, _)| at)
}

fn attempted(script: &Script) -> String {
    format!("run script {:?} in database {:?}", script.name, script.database)
}

/// The server's DETAIL is left out: it may show rows.
fn refused(script: &Script, place: &str, error: &Error) -> ServerError {
    let transient = retry::is_transient(error);
    let answer = error.as_db_error();
    let state = answer.map(|answer| answer.code());
    let (explanation, help) = explain(state);
    ServerError {
        attempted: format!("{}, {place}", attempted(script)),
        sqlstate: state.map(|state| state.code().to_owned()),
        message: scrub(&answer.map_or_else(|| error.to_string(), |answer| answer.message().to_owned())),
        detail: None,
        hint: answer.and_then(|answer| answer.hint()).map(scrub),
        explanation: explanation.to_owned(),
        help: format!("{help}; the next cycle runs it again"),
        transient,
    }
}

fn explain(state: Option<&SqlState>) -> (&'static str, &'static str) {
    match state.map(SqlState::code) {
        None => ("the connection was lost, and what was not committed is rolled back", "look at the server's log"),
        Some("25001") => (
            "that cannot run in a transaction, and a script runs in one; nothing of it stays",
            "take it out of the script",
        ),
        Some("3F000" | "42P01" | "42883" | "42704") => (
            "the script names something that is not there; nothing of it stays",
            "name it with its schema, since search_path is pg_catalog alone, or make it first",
        ),
        Some("42501") => (
            "the controller's own role may not do that; nothing of the script stays",
            "give it the right, or take the statement out of the script",
        ),
        Some("55P03") => (
            "another session held a lock for longer than the lock timeout; nothing of the script stays",
            "see in pg_stat_activity who holds it",
        ),
        Some(_) => ("the server refused a statement; nothing of the script stays", "correct the script"),
    }
}

/// The last layer, after the reading and the protocol.
fn astray(script: &Script) -> ServerError {
    ServerError {
        attempted: attempted(script),
        sqlstate: None,
        message: "the script left the transaction that it was run in".to_owned(),
        detail: None,
        hint: None,
        explanation: "what it did up to then may have been committed, and it is not recorded as run".to_owned(),
        help: "look at what it did, and take out of it whatever begins or ends a transaction".to_owned(),
        transient: false,
    }
}

fn astray_at(script: &Script, line: usize) -> ServerError {
    let message = format!("its line {line} holds what no script can");
    ServerError { message, explanation: "nothing of it was run".to_owned(), ..astray(script) }
}

fn unreachable(script: &Script, error: &ConnectError) -> ServerError {
    ServerError {
        attempted: attempted(script),
        sqlstate: None,
        message: scrub(&error.to_string()),
        detail: None,
        hint: None,
        explanation: "the controller cannot connect to that database".to_owned(),
        help: "create it, correct `database`, or let the controller in; the next cycle tries again".to_owned(),
        transient: error.is_transient(),
    }
}
