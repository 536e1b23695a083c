//! Runs a part of a guarded plan, which is nearly always all of it: first as a whole in the caller's
//! transaction; where that fails for good, role by role between savepoints, so that one user's trouble does not hold up the others.
//!
//! Removals are only begun here (the role may no longer log in); `removal` finishes them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};
use zeroize::Zeroizing;

use super::explain::{Attempt, ServerError};
use super::password::Verifier;
use super::retry;
use crate::guard::parts::Part;
use crate::model::{Object, TableName};
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
const QUIET: &str = "SET LOCAL log_statement = 'none'; SET LOCAL log_min_error_statement = 'panic'; \
    SET LOCAL log_min_duration_statement = -1; SET LOCAL log_min_duration_sample = -1; \
    SET LOCAL log_transaction_sample_rate = 0; SET LOCAL pg_stat_statements.track_utility = off";
const LOUD: &str = "SET LOCAL log_statement TO DEFAULT; SET LOCAL log_min_error_statement TO DEFAULT; \
    SET LOCAL log_min_duration_statement TO DEFAULT; SET LOCAL log_min_duration_sample TO DEFAULT; \
    SET LOCAL log_transaction_sample_rate TO DEFAULT; SET LOCAL pg_stat_statements.track_utility TO DEFAULT";

/// How long a table that was busy before is waited for once more, at most, in milliseconds. Meanwhile all who come to that
/// table after us wait, and all who come to those that are secured already.
const BUSY_TABLE: i64 = 1_000;

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
async fn run(client: &Client, statement: &Statement, verifiers: &Verifiers) -> Result<(), Error> {
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

/// Runs the part role by role. What one role needs that another lacks fails with it, but for a new password; everything
/// else lands. An `Err` is one that ends the transaction: a lost connection, or what is worth
/// another try as a whole.
pub async fn one_by_one(
    client: &Client,
    part: &Part<'_>,
    renderer: &Renderer<'_>,
    verifiers: &Verifiers,
) -> Result<Vec<Failed>, Error> {
    let mut failed = Vec::new();
    if renderer.catalog.server.superuser {
        client.batch_execute(QUIET).await?;
    }
    let mut unsecured: Vec<&TableName> = Vec::new();
    let mut roles = by_role(part.steps());
    // What becomes of the tables is known before anybody is let at them: PUBLIC's grants go with the database, and that
    // may come early. What is made there holds none of these tables yet.
    let secures = |step: &&Step| matches!(step.change, Change::SecureTable { .. });
    let (mut patience, is_table) = (None, |its: &[&Step]| its.iter().any(secures));
    let its = |steps: &[usize]| steps.iter().filter_map(|index| part.steps().get(*index)).collect::<Vec<_>>();
    roles.sort_by_key(|(_, steps)| !is_table(&its(steps)));
    for (role, steps) in roles {
        let its = its(&steps);
        match (is_table(&its), &patience) {
            (true, None) => patience = Some(wait_at_most(client, BUSY_TABLE).await?),
            (false, Some(before)) => {
                client.batch_execute(before).await?;
                patience = None;
            }
            _ => {}
        }
        if let Some(table) = unsecured.iter().find(|table| its.iter().any(|step| gives_access(&step.change, table))) {
            let steps = steps.iter().filter_map(|index| part.position(*index)).collect();
            failed.push(Failed { error: ServerError::without_row_security(&role, table), role, steps });
            continue;
        }
        client.batch_execute("SAVEPOINT role").await?;
        match one_role(client, part.steps(), &steps, renderer, verifiers).await {
            Ok(()) => client.batch_execute("RELEASE role").await?,
            Err((error, _)) if ends_all(&error, its.iter().copied()) => return Err(error),
            Err((error, action)) => {
                client.batch_execute("ROLLBACK TO role; RELEASE role").await?;
                let version = renderer.catalog.server.version;
                let is_role = its.iter().any(|it| it.change.own_database().is_none());
                let of_database = format!("{action}: {role}");
                let attempt = if is_role {
                    Attempt { action, role: Some(&role), server_version: version }
                } else {
                    Attempt { action: &of_database, role: None, server_version: version }
                };
                let done = match password_alone(part.steps(), &steps).filter(|_| action != SET_PASSWORD) {
                    Some(step) if succeeds_alone(client, part.steps(), step, renderer, verifiers).await? => Some(step),
                    _ => None,
                };
                let steps = steps.iter().filter(|step| Some(**step) != done);
                let steps = steps.filter_map(|index| part.position(*index)).collect();
                failed.push(Failed { error: ServerError::new(&error, &attempt), role, steps });
                unsecured.extend(its.iter().filter_map(|step| match &step.change {
                    Change::SecureTable { table, .. } => Some(table),
                    _ => None,
                }));
            }
        }
    }
    if renderer.catalog.server.superuser {
        client.batch_execute(LOUD).await?;
    }
    Ok(failed)
}

/// Whether an error ends the attempt as a whole: a lost connection, or what is worth another try. Not so a table that
/// somebody keeps busy: whoever may read it could hold up everything else with that, his own removal included.
pub fn ends_all<'a>(error: &Error, steps: impl IntoIterator<Item = &'a Step>) -> bool {
    let is_busy_table = || {
        error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
            && steps.into_iter().any(|step| matches!(step.change, Change::SecureTable { .. }))
    };
    error.as_db_error().is_none() || (retry::is_transient(error) && !is_busy_table())
}

/// Has the transaction wait for locks no longer than that; returns the statement that undoes it.
async fn wait_at_most(client: &Client, most: i64) -> Result<String, Error> {
    let sql = "SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'";
    let rows = client.query_typed(sql, &[]).await?;
    let before: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    // Zero is for ever.
    if before == 0 || before > most {
        client.batch_execute(&format!("SET LOCAL lock_timeout = {most}")).await?;
    }
    Ok(format!("SET LOCAL lock_timeout = {before}"))
}

/// Whether a grant lets somebody at a table.
pub fn gives_access(change: &Change, table: &TableName) -> bool {
    let Change::GrantPrivilege { grant, .. } = change else { return false };
    grant.database.as_ref() == Some(&table.database)
        && match &grant.on {
            Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                (schema, name) == (&table.schema, &table.name)
            }
            Object::AllTables(schema) => *schema == table.schema,
            _ => false,
        }
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

/// Roles in the order in which the steps first speak of them, with their steps. Roles are created
/// before their members, so that order holds for whole roles too.
fn by_role(steps: &[Step]) -> Vec<(String, Vec<usize>)> {
    let mut positions: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    let mut roles: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let subject = step.change.subject();
        let position = *positions.entry(subject.clone()).or_insert_with(|| {
            roles.push((subject.into_owned(), Vec::new()));
            roles.len() - 1
        });
        if let Some((_, steps)) = roles.get_mut(position) {
            steps.push(index);
        }
    }
    roles
}

/// What [`Change::action`] calls it.
const SET_PASSWORD: &str = "set-password";

/// The step that sets a role's password, if it may be done without the others. The Secret holds that password already,
/// and if it was generated, nobody has the one in force any more. It may not where a step among the others takes
/// something away: the password of a role that kept a power would go to whoever writes the Secret.
fn password_alone(all: &[Step], steps: &[usize]) -> Option<usize> {
    let its = || steps.iter().filter_map(|index| Some((*index, &all.get(*index)?.change)));
    let may_be_alone = its().all(|(_, change)| match change {
        Change::AlterRole(patch) => patch.clear.is_empty(),
        Change::SetPassword(_)
        | Change::GrantRole { .. }
        | Change::GrantPrivilege { .. }
        | Change::SetSetting { .. }
        | Change::ResetSetting { .. } => true,
        _ => false,
    });
    its().find(|(_, change)| matches!(change, Change::SetPassword(_))).map(|(index, _)| index).filter(|_| may_be_alone)
}

/// Tries one step between savepoints. An `Err` is one that ends the transaction.
async fn succeeds_alone(
    client: &Client,
    all: &[Step],
    step: usize,
    renderer: &Renderer<'_>,
    verifiers: &Verifiers,
) -> Result<bool, Error> {
    client.batch_execute("SAVEPOINT alone").await?;
    match one_role(client, all, &[step], renderer, verifiers).await {
        Ok(()) => client.batch_execute("RELEASE alone").await.map(|()| true),
        Err((error, _)) if error.as_db_error().is_none() || retry::is_transient(&error) => Err(error),
        Err(_) => client.batch_execute("ROLLBACK TO alone; RELEASE alone").await.map(|()| false),
    }
}

async fn one_role(
    client: &Client,
    all: &[Step],
    steps: &[usize],
    renderer: &Renderer<'_>,
    verifiers: &Verifiers,
) -> Result<(), (Error, &'static str)> {
    for step in steps.iter().filter_map(|index| all.get(*index)) {
        let action = step.change.action();
        let statements = match &step.change {
            Change::DropRole { name, reassign_to } => {
                vec![Statement::plain(renderer.removal(name, reassign_to.as_deref()).lock_out, 0)]
            }
            change => renderer.change(change),
        };
        for statement in &statements {
            run(client, statement, verifiers).await.map_err(|error| (error, action))?;
        }
    }
    Ok(())
}

/// The renderer for what is sent: every name quoted.
pub fn exact<'a>(catalog: &'a crate::catalog::Catalog, reassign_owned_to: &'a str) -> Renderer<'a> {
    Renderer { catalog, reassign_owned_to, style: Style::Exact }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Membership, Setting};
    use crate::plan::{Cause, Risk, RolePatch};

    #[test]
    fn a_password_is_set_without_the_rest_only_where_the_rest_takes_nothing_away() {
        let name = || "app".to_owned();
        let setting = Setting { database: None, name: "work_mem".into(), value: "x".into() };
        let membership = Membership::plain("team");
        let alone = |others: &[Change]| {
            let changes = others.iter().cloned().chain([Change::SetPassword(name())]);
            let steps = changes.map(|change| Step {
                risk: Risk::Safe,
                cause: Cause::Spec,
                change,
                reason: String::new(),
                path: String::new(),
                by: String::new(),
            });
            let steps: Vec<Step> = steps.collect();
            let all: Vec<usize> = (0..steps.len()).collect();
            password_alone(&steps, &all)
        };
        let patch = |clear| Change::AlterRole(RolePatch { name: name(), clear, ..RolePatch::default() });
        let harmless = [
            patch(Attributes::empty()),
            Change::GrantRole { member: name(), membership: membership.clone() },
            Change::SetSetting { role: name(), setting },
        ];
        assert_eq!(alone(&harmless), Some(3));
        for taken in [
            patch(Attributes::SUPERUSER),
            Change::RevokeRole { member: name(), membership },
            Change::RenameRole { from: "old".into(), to: name() },
        ] {
            assert_eq!(alone(std::slice::from_ref(&taken)), None, "{taken:?}");
        }
    }
}
