//! The cycle, from what is declared to what PostgreSQL holds. Read this page first; each line of
//! [`Reconciler::plan`] and [`Reconciler::apply`] is a room of the house.
//!
//! ```text
//! observe ──► decide ──► plan, judged ──┬──► shown     (plan, dry run)
//!                                       ├──► rehearsed (run in PostgreSQL, rolled back)
//!                                       └──► act ──► ledger, state file ──► report
//! ```

mod act;
mod controller;
mod databases;
mod decide;
mod digest;
mod error;
mod facts;
mod generated;
mod hand_out;
#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod laws_databases;
#[cfg(test)]
pub(crate) mod laws_inside;
#[cfg(test)]
mod laws_life;
#[cfg(test)]
mod laws_modes;
#[cfg(test)]
mod laws_row_security;
mod observe;
mod parts;
mod policies;
mod records;
mod removals;
mod report;
mod rights;
mod row_security;
mod scripts;
mod strength;
mod term;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use controller::{Controller, Cycle};
pub use decide::{Planned, Verdict};
pub use error::CycleError;
pub use facts::About;
pub use generated::Generated;
pub use observe::{Observation, Seen};
pub use policies::Policies;
pub use report::Report;

use crate::config::MaxDeletions;
use crate::generated::contents::Address;
use crate::policy::ModuleInfo;
use crate::postgres::apply::{self, Verifiers};
use crate::postgres::pool::Pool;
use crate::postgres::rehearse::{self, Rehearsal};
use crate::postgres::{Target, password};
use crate::source::Source;
use crate::telemetry::Metrics;

/// How often a plan is made anew when the catalog moves under it, before the cycle gives up.
const REPLANS: usize = 3;

/// How long after the end of a membership a cycle begins: clocks are read in whole seconds.
const MARGIN: Duration = Duration::from_millis(200);

/// What the operator decides about every cycle.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server, and the database that holds the ledger.
    pub target: Target,
    /// The same as applications reach it, for the Secrets of generated passwords.
    pub applications: Address,
    /// Namespace of the Secrets.
    pub namespace: String,
    /// Who receives what removed roles owned.
    pub reassign_owned_to: String,
    /// How many users may lose access without approval.
    pub max_deletions: MaxDeletions,
    /// How long a user that has gone from users.yaml is only disabled, before it is dropped.
    pub removal_grace: Duration,
    /// Roles never to touch.
    pub protected_roles: BTreeSet<String>,
    /// What policies are told of the server, such as `environment: production`.
    pub labels: BTreeMap<String, String>,
    /// Attributes and predefined roles that may be given.
    pub allowed_powers: BTreeSet<String>,
    /// The state file.
    pub state_file: PathBuf,
    /// Whether nothing may be changed.
    pub dry_run: bool,
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Read everything.
    Full,
    /// Nothing more, if inputs and catalog are those that were last seen to agree.
    UnlessConverged,
}

/// Brings one server to what one source declares.
pub struct Reconciler {
    source: Arc<dyn Source>,
    pool: Pool,
    policies: Policies,
    settings: Settings,
    metrics: Arc<Metrics>,
    known: Mutex<observe::KnownPasswords>,
    /// Of the cycle in hand.
    unwritten: Mutex<generated::Unwritten>,
    strengths: Mutex<strength::Strengths>,
    told_of_ledger: AtomicBool,
    /// The last `sync-now` that was looked at.
    sync_now: Mutex<Option<String>>,
    /// When the next membership ends, or the grace of a user, or a password is to be rotated, in Unix seconds.
    next_end: Mutex<Option<i64>>,
    /// What was read last.
    declared: Mutex<facts::Declared>,
    term: Option<Term>,
}

/// One of several instances that may act, one at a time.
#[derive(Debug)]
struct Term {
    instance: String,
    /// Grows with every term, whosesoever.
    number: AtomicU32,
    /// Whether this term of leadership has been written into the ledger.
    claimed: AtomicBool,
}

impl Reconciler {
    /// Puts the parts together; nothing is read yet.
    pub fn new(
        source: Arc<dyn Source>,
        pool: Pool,
        policies: Policies,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Reconciler {
        Reconciler {
            source,
            pool,
            policies,
            settings,
            metrics,
            known: Mutex::default(),
            unwritten: Mutex::default(),
            strengths: Mutex::default(),
            told_of_ledger: AtomicBool::new(false),
            sync_now: Mutex::default(),
            next_end: Mutex::default(),
            declared: Mutex::default(),
            term: None,
        }
    }

    /// One of several instances: it acts only as long as no other has claimed the ledger.
    #[must_use]
    pub fn one_of_several(mut self, instance: &str) -> Reconciler {
        let instance = instance.to_owned();
        self.term = Some(Term { instance, number: AtomicU32::new(0), claimed: AtomicBool::new(false) });
        self
    }

    /// This instance has become the leader, for the term of this number: it claims the ledger before
    /// it acts.
    pub fn begin_term(&self, number: u32) {
        if let Some(term) = &self.term {
            term.number.store(number, Ordering::Relaxed);
            term.claimed.store(false, Ordering::Relaxed);
        }
    }

    /// Reads everything, lets the policies decide, and judges what they propose. Changes nothing.
    ///
    /// # Errors
    ///
    /// Whatever keeps a plan from being made. A plan that may not run is no error: see [`Verdict`].
    pub async fn plan(&self, look: Look, approved: Option<&str>) -> Result<Planned, CycleError> {
        let planned = self.plan_once(look, approved).await?;
        let withheld = self.withhold(&planned);
        if withheld.is_empty() {
            return Ok(planned);
        }
        let planned = self.plan_once(look, approved).await;
        self.unwritten().retain(|reference, _| !withheld.contains(reference));
        planned
    }

    async fn plan_once(&self, look: Look, approved: Option<&str>) -> Result<Planned, CycleError> {
        let started = Instant::now();
        let (observation, chain) = match self.observe(look).await? {
            Seen::Converged(converged) => return Ok(Planned::nothing_to_do(*converged)),
            Seen::Everything(observation, chain) => (observation, chain),
        };
        self.metrics.stage("observe", started.elapsed());
        let started = Instant::now();
        let planned = self.decide(*observation, &chain, approved).await;
        self.metrics.stage("decide", started.elapsed());
        planned
    }

    /// Makes a plan and carries it out.
    ///
    /// # Errors
    ///
    /// Whatever keeps the cycle from its end. Users that failed by themselves are in the report.
    pub async fn apply(&self, look: Look, approved: Option<&str>) -> Result<Report, CycleError> {
        self.claim().await?;
        self.unwritten().clear();
        for _ in 0..REPLANS {
            let mut planned = self.plan(look, approved).await?;
            // Each time there is more that is known not to be written, and so not tried again.
            while !self.hand_out(&mut planned).await? {
                planned = self.plan_without_unwritten(&planned, look, approved).await?;
            }
            match self.act(planned).await? {
                act::Outcome::Done(report) => return Ok(*report),
                act::Outcome::Stale => tracing::info!("the catalog moved since it was read; planning again"),
            }
        }
        Err(CycleError::Restless { times: REPLANS })
    }

    /// The plan anew, without what could not be written. If it was approved, so is what is left of it: other Secrets have
    /// been written, and what is in them has to come into force.
    async fn plan_without_unwritten(
        &self,
        before: &Planned,
        look: Look,
        approved: Option<&str>,
    ) -> Result<Planned, CycleError> {
        let planned = self.plan(look, approved).await?;
        let is_less = || {
            let [text, text_before] = [&planned, before].map(|it| &it.observation.parsed.locations.document().text);
            text == text_before
                && digest::is_part_of(&planned.plan.steps, &before.plan.steps, &before.observation.generated.wishes)
        };
        if !matches!(planned.verdict, Verdict::Held(_)) || !before.is_approved(approved) || !is_less() {
            return Ok(planned);
        }
        self.plan(look, Some(&planned.plan.digest)).await
    }

    /// Runs a plan in PostgreSQL and rolls it back. `None`: the plan may not run, or there is
    /// nothing in it.
    ///
    /// # Errors
    ///
    /// If the server can't be asked.
    pub async fn rehearse(&self, planned: &Planned) -> Result<Option<Rehearsal>, CycleError> {
        let Verdict::Pass(plan) = &planned.verdict else { return Ok(None) };
        if plan.plan().is_empty() {
            return Ok(None);
        }
        let verifiers = self.verifiers(planned)?;
        let client = self.pool.get().await?;
        let renderer = apply::exact(&planned.observation.catalog, &self.settings.reassign_owned_to);
        let rehearsal = rehearse::rehearse(
            &client,
            (&self.settings.target, &self.pool.limits()),
            plan,
            &renderer,
            &verifiers,
            &planned.scripts(),
        )
        .await
        .map_err(|error| CycleError::postgres(&error, "rehearse the plan", &planned.observation.catalog.server))?;
        Ok(Some(rehearsal))
    }

    /// The modules of the chain in force, in order.
    pub fn modules(&self) -> Vec<ModuleInfo> {
        self.policies.current().map(|chain| chain.modules().cloned().collect()).unwrap_or_default()
    }

    /// Verifiers for every password that the plan sets; the only place where passwords are used.
    fn verifiers(&self, planned: &Planned) -> Result<Verifiers, CycleError> {
        let wanted = planned.passwords();
        let made = tokio::task::block_in_place(|| password::verifiers(wanted));
        let mut verifiers = Verifiers::new();
        for (role, verifier) in made {
            let verifier = verifier.map_err(|why| CycleError::Password { role: role.clone(), why })?;
            verifiers.insert(role, verifier);
        }
        Ok(verifiers)
    }

    fn next_end(&self) -> Option<i64> {
        *self.next_end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends_at(&self, end: Option<i64>) {
        *self.next_end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// How long until a membership ends, if that is sooner than this. What had ended when the last cycle began
    /// (in Unix seconds) was that cycle's business: if it came to nothing, the next one is due as ever.
    fn or_until_the_next_end(&self, interval: Duration, began: i64) -> Duration {
        let next = self.next_end().filter(|end| *end > began);
        let left = next.map(|end| end.saturating_sub(observe::now()).max(0).unsigned_abs());
        // The second must have come, not only begun to come.
        left.map_or(interval, |left| interval.min(Duration::from_secs(left) + MARGIN))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, observe::KnownPasswords> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
