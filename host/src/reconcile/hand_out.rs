//! Secrets with generated passwords are written: when the plan may run, right before it does. What a person or the guard
//! holds back leaves no Secret behind, and a crash in between leaves one that the next cycle reads.
//!
//! Where two logins take turns, it is the other way round. The one that the Secret does not name gets the new password,
//! and when that is in force the Secret is written: until then it names the other one, whose password stays. Whether it
//! can be written is found out before anything is done.

use futures_util::stream::{self, StreamExt as _};
use tokio_postgres::Client;

use super::generated::with_new_passwords;
use super::records::steps_of;
use super::{CycleError, Planned, Reconciler, Verdict};
use crate::generated::Due;
use crate::ledger::{Ledger, Update};
use crate::parameter;
use crate::plan::Change;
use crate::postgres::apply::Failed;
use crate::postgres::explain::ServerError;
use crate::resolve::Record;
use crate::secret::SecretRef;

/// How many Secrets are written at a time.
const AT_ONCE: usize = 16;

/// A Secret that the plan needs, and the role whose password is in it.
type Needed = (String, SecretRef, Due);

impl Planned {
    /// What is to be written before the plan runs, and what after it. A user that is left as it is has no step, and no
    /// Secret is written for it.
    fn needed(&self) -> (Vec<Needed>, Vec<Needed>) {
        let set = with_new_passwords(self.plan.steps.iter().map(|step| &step.change));
        let is_needed = |login: &String, due: &Due| {
            let user = self.resolved.second_logins.get(login).unwrap_or(login);
            [login, user].iter().all(|role| self.resolved.in_scope.contains(*role))
                && (!due.sets_password() || set.contains(login.as_str()))
        };
        let due = self.observation.generated.due.iter().filter(|(role, (_, due))| is_needed(role, due));
        let needed = due.map(|(role, (reference, due))| (role.clone(), reference.clone(), due.clone()));
        needed.partition(|(_, _, due)| due.instead_of.is_none())
    }

    /// Whether a login that failed in something can be used all the same: its password is in force, and it acts as the user.
    fn is_ready(&self, due: &Due, failed: &Failed) -> bool {
        !failed.steps.iter().filter_map(|position| self.plan.steps.get(*position)).any(|step| match &step.change {
            Change::CreateRole(_) | Change::SetPassword(_) => true,
            Change::GrantRole { membership, .. } => {
                Some(&membership.role) == self.resolved.second_logins.get(&due.login)
            }
            Change::SetSetting { setting, .. } => parameter::key(&setting.name) == "role",
            _ => false,
        })
    }
}

impl Reconciler {
    /// Writes what a plan that will run needs before it does. `false`: not everything could be, or could be afterwards,
    /// and the plan has to be made anew.
    pub(super) async fn hand_out(&self, planned: &mut Planned) -> Result<bool, CycleError> {
        let may_run = matches!(planned.verdict, Verdict::Pass(_)) && !planned.observation.directives.paused;
        if !may_run || planned.converged || planned.observation.generated.due.is_empty() {
            return Ok(true);
        }
        self.may_act(planned)?;
        let client = self.pool.get().await?;
        self.check_claim(&client, &planned.observation.ledger).await?;
        drop(client);
        let (before, after) = planned.needed();
        let unwritable = self.unwritable(after).await;
        let mut all = unwritable.is_empty();
        self.unwritten().extend(unwritable);
        for (role, reference, written) in self.write(before).await {
            match written {
                Ok(version) => {
                    let desired = planned.resolved.desired.get_mut(&role);
                    if let Some(credential) = desired.and_then(|role| role.credential.as_mut()) {
                        credential.version.clone_from(&version);
                    }
                    if let Some(found) = planned.observation.secrets.get_mut(&reference) {
                        found.version = version;
                    }
                }
                Err(why) => {
                    self.unwritten().insert(reference, why);
                    all = false;
                }
            }
        }
        Ok(all)
    }

    /// Whether the Secrets that are written after the plan are still those that were read, and may be written. Asked under
    /// the lock: another instance may have rotated them just now, and of passwords the catalog's fingerprint may know
    /// nothing.
    pub(super) async fn may_switch(&self, planned: &Planned) -> bool {
        let (_, after) = planned.needed();
        self.unwritable(after).await.is_empty()
    }

    /// Those of them that cannot be written, and why.
    async fn unwritable(&self, needed: Vec<Needed>) -> Vec<(SecretRef, String)> {
        let ask = |(_, reference, due): Needed| async move {
            let answer = self.source.may_write(due.into_secret(&reference.name)).await;
            answer.err().map(|why| (reference, why))
        };
        let answers = stream::iter(needed.into_iter().map(ask)).buffer_unordered(AT_ONCE);
        answers.filter_map(std::future::ready).collect().await
    }

    /// Writes the Secrets of logins whose passwords are in force by now, and tells which could not be written: those name
    /// the other login as before. `update`: what the ledger says of each of them but which Secret it has.
    pub(super) async fn switch(
        &self,
        client: &Client,
        planned: &Planned,
        (update, failed): (&Update, &[Failed]),
        ledger: &mut Ledger,
    ) -> Result<Vec<Failed>, CycleError> {
        let (_, mut needed) = planned.needed();
        needed.retain(|(login, _, due)| {
            !failed.iter().any(|failed| failed.role == *login && !planned.is_ready(due, failed))
        });
        if needed.is_empty() {
            return Ok(Vec::new());
        }
        // Whoever leads by now rotates it himself.
        self.check_claim(client, ledger).await?;
        let mut known = Update { claim: self.own_claim(), ..Update::default() };
        let mut more = Vec::new();
        for (login, reference, written) in self.write(needed).await {
            match written {
                Ok(version) => {
                    if let Some(record) = update.upserts.get(&login) {
                        let record = Record { secret_version: Some(version), ..record.clone() };
                        known.upserts.insert(login, record);
                    }
                }
                Err(why) => {
                    let error = ServerError::without_secret(&login, &reference.name, &why);
                    more.push(Failed { steps: steps_of(planned, &login), role: login, error });
                }
            }
        }
        if !known.upserts.is_empty() {
            self.record(client, planned, known, ledger).await?;
        }
        Ok(more)
    }

    /// Writes them, and says of each which version it has then.
    async fn write(&self, needed: Vec<Needed>) -> Vec<(String, SecretRef, Result<String, String>)> {
        let write = |(role, reference, due): Needed| async move {
            let written = self.source.write(due.into_secret(&reference.name)).await;
            if written.is_ok() {
                tracing::info!(role, "Secret {:?} is written", reference.name);
            }
            (role, reference, written)
        };
        stream::iter(needed.into_iter().map(write)).buffer_unordered(AT_ONCE).collect().await
    }
}
