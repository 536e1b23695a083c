//! Runs a part of a guarded plan role by role between savepoints, where the server has refused it as a whole for good: one
//! user's trouble does not hold up the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::apply::{Failed, LOUD, QUIET, Verifiers, run};
use super::explain::{Attempt, ServerError};
use super::retry;
use crate::guard::parts::Part;
use crate::model::TableName;
use crate::plan::row_security::gives_access;
use crate::plan::{Change, Step};
use crate::sql::statement::{Renderer, Statement};

/// How long a table that was busy before is waited for once more, at most, in milliseconds. Meanwhile all who come to that
/// table after us wait, and all who come to those that are secured already.
const BUSY_TABLE: i64 = 1_000;

/// What [`Change::action`] calls it.
const SET_PASSWORD: &str = "set-password";

/// Whether an error ends the attempt as a whole: a lost connection, or what is worth another try. Not so a table that
/// somebody keeps busy: whoever may read it could hold up everything else with that, his own removal included.
pub fn ends_all<'a>(error: &Error, steps: impl IntoIterator<Item = &'a Step>) -> bool {
    let is_busy_table = || error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && steps.into_iter().any(secures);
    error.as_db_error().is_none() || (retry::is_transient(error) && !is_busy_table())
}

fn secures(step: &Step) -> bool {
    matches!(step.change, Change::SecureTable { .. })
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
    if renderer.catalog.server.superuser {
        client.batch_execute(QUIET).await?;
    }
    let mut fallback = Fallback { client, part, renderer, verifiers, failed: Vec::new(), unsecured: Vec::new() };
    let (tables, others): (Vec<Unit<'_>>, Vec<Unit<'_>>) =
        by_role(part.steps()).into_iter().partition(|unit| unit.steps().any(secures));
    // What becomes of the tables is known before anybody is let at them: PUBLIC's grants go with the database, and that
    // may come early. What is made there holds none of these tables yet.
    if !tables.is_empty() {
        let before = wait_at_most(client, BUSY_TABLE).await?;
        for table in tables {
            fallback.attempt(&table).await?;
        }
        client.batch_execute(&before).await?;
    }
    for role in others {
        fallback.attempt(&role).await?;
    }
    if renderer.catalog.server.superuser {
        client.batch_execute(LOUD).await?;
    }
    Ok(fallback.failed)
}

/// What succeeds or fails together: the steps of one role, by their places in the part.
struct Unit<'a> {
    role: String,
    steps: Vec<(usize, &'a Step)>,
}

impl<'a> Unit<'a> {
    fn steps(&self) -> impl Iterator<Item = &'a Step> {
        self.steps.iter().map(|(_, step)| *step)
    }
}

/// Roles in the order in which the steps first speak of them, with their steps. Roles are created
/// before their members, so that order holds for whole roles too.
fn by_role(steps: &[Step]) -> Vec<Unit<'_>> {
    let mut positions: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    let mut roles: Vec<Unit<'_>> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let subject = step.change.subject();
        let position = *positions.entry(subject.clone()).or_insert_with(|| {
            roles.push(Unit { role: subject.into_owned(), steps: Vec::new() });
            roles.len() - 1
        });
        if let Some(unit) = roles.get_mut(position) {
            unit.steps.push((index, step));
        }
    }
    roles
}

struct Fallback<'a> {
    client: &'a Client,
    part: &'a Part<'a>,
    renderer: &'a Renderer<'a>,
    verifiers: &'a Verifiers,
    failed: Vec<Failed>,
    /// Tables that nobody is to be let at.
    unsecured: Vec<&'a TableName>,
}

impl<'a> Fallback<'a> {
    /// Tries one role. An `Err` is one that ends the transaction.
    async fn attempt(&mut self, unit: &Unit<'a>) -> Result<(), Error> {
        let open = |table: &&&TableName| unit.steps().any(|step| gives_access(&step.change, table));
        if let Some(table) = self.unsecured.iter().find(open) {
            let error = ServerError::without_row_security(&unit.role, table);
            self.fail(unit, None, error);
            return Ok(());
        }
        let Err((error, action)) = self.between_savepoints(&unit.steps).await? else { return Ok(()) };
        let server_version = self.renderer.catalog.server.version;
        let is_role = unit.steps().any(|step| step.change.own_database().is_none());
        let of_database = format!("{action}: {}", unit.role);
        let attempt = if is_role {
            Attempt { action, role: Some(&unit.role), server_version }
        } else {
            Attempt { action: &of_database, role: None, server_version }
        };
        let error = ServerError::new(&error, &attempt);
        let mut done = password_alone(unit).filter(|_| action != SET_PASSWORD);
        if let Some(password) = done
            && self.between_savepoints(&[password]).await?.is_err()
        {
            done = None;
        }
        self.fail(unit, done.map(|(index, _)| index), error);
        self.unsecured.extend(unit.steps().filter_map(|step| match &step.change {
            Change::SecureTable { table, .. } => Some(table),
            _ => None,
        }));
        Ok(())
    }

    /// Notes that a role failed, in all of its steps but the one that was done.
    fn fail(&mut self, unit: &Unit<'_>, done: Option<usize>, error: ServerError) {
        let undone = unit.steps.iter().map(|(index, _)| *index).filter(|index| Some(*index) != done);
        let steps = undone.filter_map(|index| self.part.position(index)).collect();
        self.failed.push(Failed { role: unit.role.clone(), steps, error });
    }

    /// All of the steps or none of them; in the latter case, why, and what was to be done.
    async fn between_savepoints(&self, steps: &[(usize, &Step)]) -> Result<Result<(), (Error, &'static str)>, Error> {
        self.client.batch_execute("SAVEPOINT role").await?;
        let Err((error, action)) = self.each(steps).await else {
            self.client.batch_execute("RELEASE role").await?;
            return Ok(Ok(()));
        };
        if ends_all(&error, steps.iter().map(|(_, step)| *step)) {
            return Err(error);
        }
        self.client.batch_execute("ROLLBACK TO role; RELEASE role").await?;
        Ok(Err((error, action)))
    }

    async fn each(&self, steps: &[(usize, &Step)]) -> Result<(), (Error, &'static str)> {
        for (_, step) in steps {
            let action = step.change.action();
            let statements = match &step.change {
                Change::DropRole { name, reassign_to } => {
                    vec![Statement::plain(self.renderer.removal(name, reassign_to.as_deref()).lock_out, 0)]
                }
                change => self.renderer.change(change),
            };
            for statement in &statements {
                run(self.client, statement, self.verifiers).await.map_err(|error| (error, action))?;
            }
        }
        Ok(())
    }
}

/// The step that sets a role's password, if it may be done without the others. The Secret holds that password already,
/// and if it was generated, nobody has the one in force any more. It may not where a step among the others takes
/// something away: the password of a role that kept a power would go to whoever writes the Secret.
fn password_alone<'a>(unit: &Unit<'a>) -> Option<(usize, &'a Step)> {
    let may_be_alone = unit.steps().all(|step| match &step.change {
        Change::AlterRole(patch) => patch.clear.is_empty(),
        Change::SetPassword(_)
        | Change::GrantRole { .. }
        | Change::GrantPrivilege { .. }
        | Change::SetSetting { .. }
        | Change::ResetSetting { .. } => true,
        _ => false,
    });
    let sets = |(_, step): &&(usize, &Step)| matches!(step.change, Change::SetPassword(_));
    unit.steps.iter().find(sets).copied().filter(|_| may_be_alone)
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
            let units = by_role(&steps);
            assert_eq!(units.len(), 1);
            password_alone(&units[0]).map(|(index, _)| index)
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
