//! Runs a part of a guarded plan, which is nearly always all of it, as a whole in the caller's transaction. What becomes
//! of it where that fails for good is said in `fallback`.
//!
//! Removals are only begun here (the role may no longer log in); `removal` finishes them.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};
use zeroize::Zeroizing;

use super::explain::{Attempt, ServerError};
use super::password::Verifier;
use crate::guard::parts::Part;
use crate::plan::{Change, Step};
use crate::sql::statement::{Renderer, Statement, Style};

/// Key of the advisory lock that every instance takes before it changes anything: "rolewrig" in
/// ASCII. Two instances that wrote the same role at once would get "tuple concurrently updated".
const LOCK: i64 = 0x726f_6c65_7772_6967;

/// Bytes of SQL that go to the server at once. Small enough that neither side holds much in memory,
/// large enough that round trips do not matter.
const BATCH: usize = 128 * 1024;

/// Keeps statements with a verifier out of the server's log and out of pg_stat_statements. Only a
/// superuser may set these; for anyone else the verifier itself is the protection.
pub(super) const QUIET: &str = "SET LOCAL log_statement = 'none'; SET LOCAL log_min_error_statement = 'panic'; \
    SET LOCAL log_min_duration_statement = -1; SET LOCAL log_min_duration_sample = -1; \
    SET LOCAL log_transaction_sample_rate = 0; SET LOCAL pg_stat_statements.track_utility = off";
pub(super) const LOUD: &str = "SET LOCAL log_statement TO DEFAULT; SET LOCAL log_min_error_statement TO DEFAULT; \
    SET LOCAL log_min_duration_statement TO DEFAULT; SET LOCAL log_min_duration_sample TO DEFAULT; \
    SET LOCAL log_transaction_sample_rate TO DEFAULT; SET LOCAL pg_stat_statements.track_utility TO DEFAULT";

/// Verifiers by role, made for this plan.
pub type Verifiers = BTreeMap<String, Verifier>;

/// One role, or one database, that could not be brought to its desired state.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The role; of a database, what it is called in a sentence.
    pub role: String,
    /// Positions in the plan of its steps that took no effect.
    pub steps: Vec<usize>,
    /// What the server said, explained.
    pub error: ServerError,
}

/// Takes the lock for this session; waits as long as the session's `lock_timeout` says.
pub async fn lock(client: &Client) -> Result<(), Error> {
    client.query_typed("SELECT pg_advisory_lock($1)", &[(&LOCK, Type::INT8)]).await.map(drop)
}

/// Gives the lock back.
pub async fn unlock(client: &Client) -> Result<(), Error> {
    client.query_typed("SELECT pg_advisory_unlock($1)", &[(&LOCK, Type::INT8)]).await.map(drop)
}

/// Begins the transaction. Its snapshot is that of the first statement, which reads the
/// fingerprint: what others commit after that is not taken for our own doing.
pub async fn begin(client: &Client) -> Result<(), Error> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await
}

/// Ends the transaction, keeping what it did.
pub async fn commit(client: &Client) -> Result<(), Error> {
    client.batch_execute("COMMIT").await
}

/// Ends the transaction as if it had never been. Where the connection is gone, so is the
/// transaction.
pub async fn roll_back(client: &Client) {
    if let Err(error) = client.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "nothing to roll back");
    }
}

/// How many locks one transaction may take: half of what the server has room for, since its other
/// sessions need theirs. It can be a little more than that, as the server counts its own processes too.
/// <https://www.postgresql.org/docs/current/runtime-config-locks.html>
pub async fn room_for_locks(client: &Client) -> Result<usize, Error> {
    let sql = "SELECT current_setting('max_locks_per_transaction')::int8 \
               * (current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8) / 2";
    let rows = client.query_typed(sql, &[]).await?;
    let room: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(usize::try_from(room).unwrap_or(usize::MAX))
}

/// Everything that runs in the transaction: the statements, then NOLOGIN for roles that go.
fn statements(steps: &[Step], renderer: &Renderer<'_>) -> Vec<Statement> {
    let mut statements = renderer.script(steps);
    for (index, step) in steps.iter().enumerate() {
        if let Change::DropRole { name, reassign_to } = &step.change {
            let sql = renderer.removal(name, reassign_to.as_deref()).lock_out;
            statements.push(Statement::plain(sql, index));
        }
    }
    statements
}

/// Runs the whole part. After an error the transaction is lost, and everything it did.
pub async fn all(
    client: &Client,
    part: &Part<'_>,
    renderer: &Renderer<'_>,
    verifiers: &Verifiers,
) -> Result<(), Error> {
    let superuser = renderer.catalog.server.superuser;
    let mut batch = Batch { client, superuser, quiet: false, sql: Zeroizing::new(String::with_capacity(BATCH)) };
    for statement in statements(part.steps(), renderer) {
        batch.push(&statement, verifiers).await?;
    }
    batch.finish().await
}

/// Statements on their way to the server, many at a time.
struct Batch<'a> {
    client: &'a Client,
    superuser: bool,
    quiet: bool,
    sql: Zeroizing<String>,
}

impl Batch<'_> {
    async fn push(&mut self, statement: &Statement, verifiers: &Verifiers) -> Result<(), Error> {
        let secret = statement.passwords().next().is_some();
        if secret != self.quiet {
            // Whether a text is logged is decided when it arrives, so what is to be kept quiet goes
            // in a text of its own, after the one that says so.
            self.send().await?;
            self.quiet = secret;
            if self.superuser {
                self.client.batch_execute(if secret { QUIET } else { LOUD }).await?;
            }
        }
        if statement.has_expression() {
            self.send().await?;
            return run(self.client, statement, verifiers).await;
        }
        self.sql.push_str(&with_verifiers(statement, verifiers));
        self.sql.push(';');
        if self.sql.len() >= BATCH { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), Error> {
        if !self.sql.is_empty() {
            self.client.batch_execute(&self.sql).await?;
            self.sql.clear();
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Error> {
        self.send().await?;
        if self.quiet && self.superuser {
            self.client.batch_execute(LOUD).await?;
        }
        Ok(())
    }
}

/// Sends a statement by itself. Where others wrote a part of it, the server prepares it first, and takes one statement for
/// that and no more.
pub(super) async fn run(client: &Client, statement: &Statement, verifiers: &Verifiers) -> Result<(), Error> {
    let sql = with_verifiers(statement, verifiers);
    match statement.has_expression() {
        true => client.execute_typed(&sql, &[]).await.map(drop),
        false => client.batch_execute(&sql).await,
    }
}

/// The statement as it is sent. A role without a verifier has none to set: `NULL` would take away
/// the password it has, so the text is left incomplete and the server refuses it.
fn with_verifiers(statement: &Statement, verifiers: &Verifiers) -> Zeroizing<String> {
    Zeroizing::new(statement.text(|role, text| {
        if let Some(verifier) = verifiers.get(role) {
            text.push_str(&verifier.as_sql_literal());
        }
    }))
}

/// Makes the databases, each by itself, and tells which could not be made.
pub async fn make_databases(client: &Client, part: &Part<'_>, renderer: &Renderer<'_>) -> Result<Vec<Failed>, Error> {
    let mut failed = Vec::new();
    for (index, step) in part.steps().iter().enumerate() {
        if !matches!(step.change, Change::CreateDatabase(_)) {
            continue;
        }
        for statement in renderer.change(&step.change) {
            match client.batch_execute(&statement.text(|_, _| ())).await {
                Ok(()) => {}
                Err(error) if error.as_db_error().is_none() => return Err(error),
                Err(error) => {
                    let role = step.change.subject().into_owned();
                    let server_version = renderer.catalog.server.version;
                    let action = format!("{}: {role}", step.change.action());
                    let attempt = Attempt { action: &action, role: None, server_version };
                    let steps = part.position(index).into_iter().collect();
                    failed.push(Failed { error: ServerError::new(&error, &attempt), role, steps });
                }
            }
        }
    }
    Ok(failed)
}

/// The renderer for what is sent: every name quoted.
pub fn exact<'a>(catalog: &'a crate::catalog::Catalog, reassign_owned_to: &'a str) -> Renderer<'a> {
    Renderer { catalog, reassign_owned_to, style: Style::Exact }
}
