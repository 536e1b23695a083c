//! Reads all that a cycle is about: the document, the Secrets, the catalog and the ledger; and
//! finds out whose passwords are in force.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::facts::Declared;
use super::{CycleError, Generated, Look, Reconciler, databases, digest, strength};
use crate::catalog::{Catalog, Server};
use crate::ledger::{self, Ledger};
use crate::model::{Role, SecretState, Spec};
use crate::policy::Chain;
use crate::postgres::password::{self, Check};
use crate::postgres::pool::PooledClient;
use crate::postgres::snapshot::{self, StoredVerifiers};
use crate::printable;
use crate::resolve::renames::{self, Rename};
use crate::resolve::{self, Records, terms};
use crate::rights::{self, Denied, Reasons};
use crate::secret::{SecretRef, Secrets};
use crate::source::{Declaration, Directives, Revision};
use crate::spec::{self, Parsed};

/// What was seen.
#[derive(Debug)]
pub enum Seen {
    /// Inputs and catalog are those that were last seen to agree.
    Converged(Box<Observation>),
    /// Everything was read; and the policies that decide about it.
    Everything(Box<Observation>, Arc<Chain>),
}

/// Everything that a cycle knows when it begins to decide.
#[derive(Debug)]
pub struct Observation {
    /// users.yaml, with the way from pointers to places.
    pub parsed: Parsed,
    /// The declared spec, with the state of each Secret filled in; taken when the policies begin.
    pub spec: Spec,
    /// The Secrets that the spec names; those that are to be written, as they will be.
    pub secrets: Secrets,
    /// Those that are to be written.
    pub generated: Generated,
    /// What the server holds; whose each role is has been decided.
    pub catalog: Catalog,
    /// For each existing role with a Secret: whether the server holds that password.
    pub in_sync: BTreeMap<String, bool>,
    /// Where the ledger is.
    pub ledger: Ledger,
    /// What it says; of roles that are to be renamed, under the new names, as in the catalog.
    pub state: ledger::State,
    /// The renames that are due: what is seen is as it will be after them.
    pub renames: Vec<Rename>,
    /// Those that the controller has no right to, by the new names.
    pub unrenamed: Reasons,
    /// Digest of the inputs.
    pub inputs: String,
    /// Whether the server is a standby.
    pub in_recovery: bool,
    /// What the annotations of the ConfigMap ask for.
    pub directives: Directives,
    /// Which writing of the ConfigMap this is.
    pub revision: Option<Revision>,
}

/// Passwords that were compared with what the server stores, and found to be in force: for each
/// role, the version of the Secret and a digest of what is stored. In memory only.
pub(super) type KnownPasswords = HashMap<String, (String, [u8; 32])>;

impl Reconciler {
    pub(super) async fn observe(&self, look: Look) -> Result<Seen, CycleError> {
        // The server is asked while the source is read; its troubles come second.
        let (declaration, greeted) = tokio::join!(self.source.document(), self.greet(look));
        let declaration = declaration?;
        *self.declared.lock().unwrap_or_else(PoisonError::into_inner) =
            Declared { directives: declaration.directives.clone(), revision: declaration.revision.clone() };
        let chain = self.policies.in_force(&declaration).await?;
        let Declaration { document, directives, revision, mut files, .. } = declaration;
        let asked_for_all = self.asked_anew(&directives);
        let mut parsed = tokio::task::block_in_place(|| spec::parse(&document)).map_err(CycleError::Spec)?;
        let beside: BTreeSet<String> = parsed.files().into_iter().filter(|name| !files.contains_key(name)).collect();
        if !beside.is_empty() {
            files.extend(self.source.files(&beside).await?);
        }
        parsed.read_files(&files).map_err(CycleError::Spec)?;
        let mut secrets = self.source.secrets(&parsed.secrets()).await?;
        let generated = self.foresee(&mut parsed.spec, &mut secrets)?;
        let ended = terms::ended(&parsed.spec, now());
        let inputs = digest::of_inputs(
            (&document.text, &parsed.scripts),
            &secrets,
            chain.digest(),
            &self.settings,
            (clock(&chain), ended),
        );
        let (client, seen) = greeted?;

        if let Some((server, fingerprint)) = seen.filter(|_| !asked_for_all && !generated.is_due()) {
            let converged = Ledger::converged_fingerprint(&client, &self.settings.state_file, &inputs).await?;
            let same = match converged.as_deref().and_then(databases::taken_apart) {
                // A membership may have ended since, maybe one that only a policy knew of.
                Some(seen) if seen.server == fingerprint && seen.next_end.is_none_or(|end| end > now()) => {
                    self.ends_at(seen.next_end.into_iter().chain(generated.next).min());
                    self.are_unchanged(&client, &seen.databases).await?
                }
                _ => false,
            };
            if same {
                let catalog = Catalog { server, fingerprint, ..Catalog::default() };
                return Ok(Seen::Converged(Box::new(Observation {
                    spec: std::mem::take(&mut parsed.spec),
                    parsed,
                    secrets,
                    generated,
                    catalog,
                    in_sync: BTreeMap::new(),
                    ledger: Ledger::Database { exists: true },
                    state: ledger::State::default(),
                    renames: Vec::new(),
                    unrenamed: Reasons::new(),
                    inputs,
                    in_recovery: false,
                    directives,
                    revision,
                })));
            }
        }

        let snapshot = snapshot::read(&client, &self.settings.target.to_string())
            .await
            .map_err(|error| CycleError::postgres(&error, "read the catalog", &Server::default()))?;
        let ledger = Ledger::locate(&client, &self.settings.state_file).await?;
        self.tell_of_ledger(&ledger, &snapshot.catalog.server);
        let mut state = ledger.read(&client, &self.settings.state_file).await?;
        drop(client);
        // Everything was read: the wish is fulfilled.
        self.sync_now.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&directives.sync_now);

        let (mut catalog, mut verifiers) = (snapshot.catalog, snapshot.verifiers);
        let managed = resolve::managed(&state.records, &catalog);
        catalog.assign_standing(&self.settings.protected_roles, &managed);
        let mut spec = std::mem::take(&mut parsed.spec);
        fill_in(&mut spec, &secrets);
        let unrenamed = rights::renames(&spec, &catalog);
        let unmade = rights::databases(&spec, &catalog);
        let is_unmade = |name: &str| matches!(unmade.get(name), Some(Denied::Creation(_)));
        let renames = renames::due(&spec, &catalog, &unrenamed.keys().cloned().collect(), is_unmade);
        renames::carry_out(&renames, &mut catalog);
        renames::carry_over(&renames, &mut state.records);
        for Rename { from, to } in &renames {
            if verifiers.rename(from, to) {
                continue;
            }
            // The server has forgotten the password with the name; or may have, where nobody can see.
            if catalog.server.reads_verifiers {
                catalog.roles.entry(to.clone()).and_modify(|role| role.has_password = Some(false));
            }
            state.records.entry(to.clone()).and_modify(|record| record.secret_version = None);
        }
        if !catalog.server.reads_verifiers {
            assume_passwords(&mut catalog, &state.records);
        }
        tokio::task::block_in_place(|| {
            let mut known = self.strengths.lock().unwrap_or_else(PoisonError::into_inner);
            strength::estimate_all(&mut spec, &secrets, &mut known);
        });
        let in_sync = tokio::task::block_in_place(|| {
            in_sync(&spec, &secrets, &catalog, &verifiers, &state.records, &mut self.known())
        });
        let observation = Observation {
            parsed,
            spec,
            secrets,
            generated,
            catalog,
            in_sync,
            ledger,
            state,
            renames,
            unrenamed,
            inputs,
            in_recovery: snapshot.in_recovery,
            directives,
            revision,
        };
        Ok(Seen::Everything(Box::new(observation), chain))
    }

    /// Opens a session and, unless everything will be read anyway, asks for the fingerprint.
    async fn greet(&self, look: Look) -> Result<(PooledClient, Option<(Server, String)>), CycleError> {
        let client = self.pool.get().await?;
        if look == Look::Full {
            return Ok((client, None));
        }
        let (server, _) = snapshot::server(&client, &self.settings.target.to_string())
            .await
            .map_err(|error| CycleError::postgres(&error, "ask what the server is", &Server::default()))?;
        let fingerprint = snapshot::fingerprint(&client, &server)
            .await
            .map_err(|error| CycleError::postgres(&error, "read the catalog's fingerprint", &server))?;
        Ok((client, Some((server, fingerprint))))
    }

    /// Whether `sync-now` was written since it was last looked at.
    fn asked_anew(&self, directives: &Directives) -> bool {
        let handled = self.sync_now.lock().unwrap_or_else(PoisonError::into_inner);
        directives.sync_now.is_some() && *handled != directives.sync_now
    }

    /// Once, in words: what a controller without the right to make a schema has to live with.
    fn tell_of_ledger(&self, ledger: &Ledger, server: &Server) {
        if let Ledger::File(path) = ledger
            && !self.told_of_ledger.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "role {} may not create the schema \"rolewright\" in database {}: the state file {} serves alone, with {} \
                 beside it; keep both on a volume that outlives this process",
                printable::name(&server.current_user),
                printable::name(&self.settings.target.database),
                self.settings.state_file.display(),
                path.display()
            );
        }
    }
}

/// The time, rounded down to the step that the chain cares about.
fn clock(chain: &Chain) -> Option<i64> {
    let step = i64::from(chain.clock_step()?.max(1));
    Some(now() / step * step)
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or(0)
}

/// The state and version of each Secret, for the policies; of its value, nothing.
fn fill_in(spec: &mut Spec, secrets: &Secrets) {
    for credential in spec.roles.values_mut().filter_map(|role| role.credential.as_mut()) {
        let reference = SecretRef { name: credential.secret.clone(), key: credential.key.clone() };
        if let Some(secret) = secrets.get(&reference) {
            credential.state = secret.state;
            credential.version.clone_from(&secret.version);
            credential.changed_at = secret.changed_at;
            credential.labels.clone_from(&secret.labels);
        }
    }
}

/// Where `pg_authid` is hidden, the ledger is all there is to tell whether a role has a password.
/// A role that it does not know may have one.
fn assume_passwords(catalog: &mut Catalog, records: &Records) {
    for role in catalog.roles.values_mut() {
        let applied = records.get(&role.name).and_then(|record| record.applied.as_ref());
        role.has_password = Some(applied.and_then(|role| role.has_password) != Some(false));
    }
}

/// Whether the server holds the password of each Secret. The ledger answers where nothing moved
/// since; memory where this was computed before; else the verifier is derived again, which costs a
/// millisecond each.
fn in_sync(
    spec: &Spec,
    secrets: &Secrets,
    catalog: &Catalog,
    stored: &StoredVerifiers,
    records: &Records,
    known: &mut KnownPasswords,
) -> BTreeMap<String, bool> {
    let mut in_sync = BTreeMap::new();
    let mut unclear = Vec::new();
    for role in spec.roles.values().filter(|role| catalog.roles.contains_key(&role.name)) {
        let Some(credential) = role.credential.as_ref().filter(|found| found.state == SecretState::Present) else {
            continue;
        };
        let name = &role.name;
        let recorded = records.get(name).filter(|record| {
            record.secret_version.as_ref() == Some(&credential.version) && record.oid == catalog.oids.get(name).copied()
        });
        if !catalog.server.reads_verifiers {
            in_sync.insert(name.clone(), recorded.is_some());
            continue;
        }
        let row_version = catalog.row_versions.get(name);
        if recorded.is_some_and(|record| record.row_version.is_some() && record.row_version.as_ref() == row_version) {
            in_sync.insert(name.clone(), true);
            continue;
        }
        let Some(verifier) = stored.get(name) else {
            in_sync.insert(name.clone(), false);
            continue;
        };
        let seen = (credential.version.clone(), Sha256::digest(verifier).into());
        if known.get(name) == Some(&seen) {
            in_sync.insert(name.clone(), true);
            continue;
        }
        if let Some(password) = password_of(role, secrets) {
            unclear.push((name.clone(), password, Zeroizing::new(verifier.to_owned())));
        }
    }
    let versions: BTreeMap<String, [u8; 32]> =
        unclear.iter().map(|(name, _, verifier)| (name.clone(), Sha256::digest(verifier.as_bytes()).into())).collect();
    for (name, check) in password::check_all(unclear) {
        let same = check == Check::Same;
        if same
            && let Some(credential) = spec.roles.get(&name).and_then(|role| role.credential.as_ref())
            && let Some(digest) = versions.get(&name)
        {
            known.insert(name.clone(), (credential.version.clone(), *digest));
        }
        in_sync.insert(name, same);
    }
    in_sync
}

/// The password that a role's Secret holds.
pub(super) fn password_of(role: &Role, secrets: &Secrets) -> Option<crate::secret::Password> {
    let credential = role.credential.as_ref()?;
    let reference = SecretRef { name: credential.secret.clone(), key: credential.key.clone() };
    secrets.get(&reference)?.password.clone()
}
