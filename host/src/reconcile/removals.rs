//! The end of removals, after the transaction that kept the roles from logging in: sessions, what is owned in every
//! database, the drop, and the ledger.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::records::steps_of;
use super::{CycleError, Planned, Reconciler};
use crate::ledger::{Ledger, Update};
use crate::model::{Attributes, Role};
use crate::plan::Change;
use crate::postgres::apply::{self, Failed};
use crate::postgres::explain::{Attempt, ServerError};
use crate::postgres::removal::{self, Removals};
use crate::postgres::snapshot;

/// Users that must not log in, and could not before the plan either: their sessions should be over by now.
pub(super) fn kept_out(planned: &Planned) -> Vec<&str> {
    let could = |name: &&str| planned.observation.catalog.roles.get(*name).is_some_and(Role::is_user);
    planned.resolved.disabled.iter().map(String::as_str).filter(|name| !could(name)).collect()
}

/// Users that the plan keeps from logging in: once it is committed, there are sessions to end.
pub(super) fn locked_out(planned: &Planned) -> Vec<&str> {
    let disabled = planned.plan.steps.iter().filter_map(|step| match &step.change {
        Change::AlterRole(patch) if patch.clear.contains(Attributes::LOGIN) => Some(patch.name.as_str()),
        _ => None,
    });
    disabled.filter(|name| planned.resolved.disabled.contains(*name)).collect()
}

impl Reconciler {
    /// Ends the sessions of users that were disabled. What failed, and how many there were.
    pub(super) async fn end_sessions(
        &self,
        client: &Client,
        planned: &Planned,
        roles: &[&str],
    ) -> Result<(Vec<Failed>, usize), CycleError> {
        let (errors, sessions) = self.ended_sessions(client, planned, roles).await?;
        let failed = errors.into_iter().map(|(role, error)| Failed { steps: steps_of(planned, &role), role, error });
        Ok((failed.collect(), sessions))
    }

    async fn ended_sessions(
        &self,
        client: &Client,
        planned: &Planned,
        roles: &[&str],
    ) -> Result<(BTreeMap<String, ServerError>, usize), CycleError> {
        let catalog = &planned.observation.catalog;
        let (mut errors, mut sessions) = (BTreeMap::new(), 0);
        for (role, oid) in roles.iter().filter_map(|role| Some((*role, *catalog.oids.get(*role)?))) {
            match removal::end_sessions(client, &[oid]).await {
                Ok(ended) => sessions += ended,
                Err(error) if error.as_db_error().is_some() => {
                    let attempt = Attempt {
                        action: "end its sessions",
                        role: Some(role),
                        server_version: catalog.server.version,
                    };
                    errors.insert(role.to_owned(), ServerError::new(&error, &attempt));
                }
                Err(error) => {
                    return self.attempt(Err(error), planned, "end the sessions of users that are locked out");
                }
            }
        }
        Ok((errors, sessions))
    }

    /// Ends sessions, hands over in every database, and drops; what is dropped leaves the ledger in
    /// the same transaction.
    pub(super) async fn finish_removals(
        &self,
        client: &Client,
        planned: &Planned,
        mut removals: Removals,
        ledger: &mut Ledger,
    ) -> Result<(Vec<Failed>, usize), CycleError> {
        let catalog = &planned.observation.catalog;
        let names: Vec<&str> = removals.keys().map(String::as_str).collect();
        let (mut errors, sessions) = self.ended_sessions(client, planned, &names).await?;
        removals.retain(|role, _| !errors.contains_key(role));

        // Asked again: until they were locked out, the roles could still make objects.
        let receivers = removals.keys().map(|name| (name.clone(), self.settings.reassign_owned_to.clone())).collect();
        let dependencies = snapshot::removals(client, catalog, &receivers).await;
        let dependencies = self.attempt(dependencies, planned, "ask what depends on roles that go")?;
        let place = (&self.settings.target, &self.pool.limits());
        errors.extend(removal::hand_over(place, &removals, &dependencies, catalog.server.version).await);
        removals.retain(|role, _| !errors.contains_key(role));

        // The drop of a role locks it, and its record in the ledger goes in the same transaction.
        let room = self.room_for_locks(client, planned).await?.max(1);
        let mut left = removals;
        while !left.is_empty() {
            let after = left.keys().nth(room).cloned();
            let later = after.map(|first| left.split_off(&first)).unwrap_or_default();
            let removals = std::mem::replace(&mut left, later);
            self.attempt(apply::begin(client).await, planned, "begin the transaction that drops roles")?;
            let dropped = removal::drop_roles(client, &removals, catalog.server.version).await;
            let dropped = match dropped {
                Ok(failed) => {
                    errors.extend(failed);
                    self.record_removals(client, planned, &removals, &errors, ledger).await
                }
                Err(error) => self.attempt(Err(error), planned, "drop roles"),
            };
            match dropped {
                Ok(update) => ledger.settle(client, &update).await?,
                Err(error) => {
                    apply::roll_back(client).await;
                    return Err(error);
                }
            }
        }
        let failed =
            errors.into_iter().map(|(role, error)| Failed { steps: steps_of(planned, &role), role, error }).collect();
        Ok((failed, sessions))
    }

    async fn record_removals(
        &self,
        client: &Client,
        planned: &Planned,
        removals: &Removals,
        errors: &BTreeMap<String, ServerError>,
        ledger: &mut Ledger,
    ) -> Result<Update, CycleError> {
        // Not taken for converged: DROP OWNED may have taken more along than the role's own (what it
        // had granted to others), and time has passed. The next cycle looks at everything.
        let mut update = Update {
            removed: removals.keys().filter(|role| !errors.contains_key(*role)).cloned().collect(),
            claim: self.own_claim(),
            ..Update::default()
        };
        planned.take_along(ledger, &mut update);
        ledger.write(client, &update).await?;
        self.attempt(apply::commit(client).await, planned, "commit")?;
        Ok(update)
    }
}
