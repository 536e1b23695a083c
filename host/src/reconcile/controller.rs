//! The loop around the cycle: retries, the log, metrics and health, and a clean end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use time::OffsetDateTime;

use super::{About, CycleError, Look, Reconciler, Report, Verdict, act, observe};
use crate::kubernetes::lease::{Election, Standing};
use crate::model::Severity;
use crate::plan::Counts;
use crate::postgres::retry::{Backoff, RetryError, retry};
use crate::present::dry_run;
use crate::printable;
use crate::report::Reporter;
use crate::serve::Health;
use crate::shutdown::Shutdown;
use crate::telemetry::Metrics;
use crate::telemetry::summary::{Outcome, Summary};

/// Every so many cycles everything is read, whatever the fingerprint says.
const FULL_EVERY: u64 = 20;

/// How long a cycle in hand may go on after a signal. Shorter than the 30 seconds after which
/// Kubernetes kills a container.
const GRACE: Duration = Duration::from_secs(20);

/// Steps that are logged one by one; a plan with more of them is in the ledger's history.
const LOGGED_STEPS: usize = 100;

/// A reconciler with all that makes it a controller.
pub struct Controller {
    /// What does the work.
    pub reconciler: Reconciler,
    /// Pauses after transient errors.
    pub backoff: Backoff,
    /// When to stop.
    pub shutdown: Shutdown,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What `/livez` and `/readyz` say.
    pub health: Arc<Health>,
    /// Which of several instances acts, where there may be several.
    pub election: Option<Election>,
    /// Who writes down how things stand, besides log and metrics.
    pub reporter: Option<Arc<dyn Reporter>>,
    /// Who is reported on, and what.
    pub about: About,
}

/// What a cycle came to.
#[derive(Debug)]
pub struct Cycle {
    /// Counted.
    pub summary: Summary,
    /// Its plan and what became of it, or why there is none.
    pub result: Result<Report, CycleError>,
}

/// How a cycle of [`Controller::run`] ended.
enum Ended {
    /// By itself.
    Finished,
    /// Another instance leads.
    Deposed,
    /// It was given up after a signal.
    TimedOut,
}

impl Controller {
    /// Cycles at once, every `interval`, and whenever the source changes, until the shutdown; one of
    /// several instances does so as long as it leads.
    pub async fn run(&self, interval: Duration) {
        let mut number: u64 = 0;
        self.metrics.interval(interval);
        self.metrics.leads(self.election.is_none());
        let mut before = None;
        while !self.shutdown.is_triggered() {
            self.health.tick();
            // Asked once each turn: what has changed is told as against the last answer.
            let standing = self.election.as_ref().map(Election::standing);
            let news = standing != before;
            before.clone_from(&standing);
            if news && self.takes_its_place(standing.as_ref()) {
                // What another has left behind is looked at closely.
                number = 0;
            }
            if !matches!(standing, None | Some(Standing::Leader { .. })) {
                self.stand_by(interval, standing).await;
                continue;
            }
            let look = if number.is_multiple_of(FULL_EVERY) { Look::Full } else { Look::UnlessConverged };
            number += 1;
            let began = observe::now();
            match self.cycle_as_long_as_it_may(look).await {
                Ended::Finished => {}
                Ended::Deposed => continue,
                Ended::TimedOut => {
                    tracing::warn!("the cycle took too long to end after the signal; its transaction is rolled back");
                    break;
                }
            }
            tokio::select! {
                () = self.shutdown.wait() => {}
                () = tokio::time::sleep(self.reconciler.or_until_the_next_end(interval, began)) => {}
                () = self.reconciler.source.changed() => tracing::info!("the source changed"),
                () = self.reconciler.policies.changed() => tracing::info!("the policies changed"),
                () = self.standing_changed() => {}
            }
        }
        if let Some(election) = &self.election {
            election.resign().await;
        }
        self.reconciler.pool.close();
        tracing::info!("stopped");
    }

    /// Says where this instance stands among several; `true`: it leads from now on.
    fn takes_its_place(&self, standing: Option<&Standing>) -> bool {
        let leads = matches!(standing, None | Some(Standing::Leader { .. }));
        self.metrics.leads(leads);
        match standing {
            Some(Standing::Leader { transitions }) => {
                tracing::info!(transitions, "this instance leads");
                self.reconciler.begin_term(*transitions);
                if let Some(reporter) = &self.reporter {
                    reporter.forget();
                }
            }
            Some(Standing::Follower { leader: Some(leader) }) => {
                tracing::info!("standing by: {} leads", printable::name(leader));
            }
            _ => {}
        }
        leads
    }

    /// Follows the source, so as to act at once when it is this instance's turn.
    async fn stand_by(&self, interval: Duration, standing: Option<Standing>) {
        match (self.reconciler.source.document().await, standing) {
            (_, Some(Standing::Unknown(why))) => self.health.is_not_ready(why),
            (Err(error), _) => self.health.is_not_ready(format!("on standby, and the source cannot be read: {error}")),
            _ => self.health.is_ready(),
        }
        tokio::select! {
            () = self.shutdown.wait() => {}
            () = tokio::time::sleep(interval) => {}
            () = self.reconciler.source.changed() => {}
            () = self.standing_changed() => {}
        }
    }

    async fn standing_changed(&self) {
        match &self.election {
            Some(election) => election.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until this instance no longer leads.
    async fn deposed(&self) {
        loop {
            self.standing_changed().await;
            let Some(election) = &self.election else { continue };
            if !matches!(election.standing(), Standing::Leader { .. }) {
                return;
            }
        }
    }

    /// One cycle, which ends early if the process is to end or another instance leads.
    async fn cycle_as_long_as_it_may(&self, look: Look) -> Ended {
        let cycle = self.cycle(look, None);
        tokio::pin!(cycle);
        tokio::select! {
            cycle = &mut cycle => return self.report(&cycle).await,
            () = self.deposed() => {
                tracing::warn!("the cycle in hand is given up; its transaction is rolled back");
                return Ended::Deposed;
            }
            () = self.shutdown.wait() => tracing::info!("finishing the cycle in hand"),
        }
        match tokio::time::timeout(GRACE, cycle).await {
            Ok(cycle) => self.report(&cycle).await,
            Err(_) => Ended::TimedOut,
        }
    }

    /// Tells operators. A leader that the database does not know any more has nothing to tell.
    async fn report(&self, cycle: &Cycle) -> Ended {
        if let Err(CycleError::Superseded { term, .. }) = cycle.result {
            if let Some(election) = &self.election {
                tokio::select! {
                    () = election.demote(term) => {}
                    () = self.shutdown.wait() => {}
                }
            }
            return Ended::Deposed;
        }
        if let Some(reporter) = &self.reporter {
            reporter.report(self.reconciler.facts(&self.about, cycle, OffsetDateTime::now_utc())).await;
        }
        Ended::Finished
    }

    /// One cycle, with retries; logged, counted, and told to whoever watches.
    pub async fn cycle(&self, look: Look, approved: Option<&str>) -> Cycle {
        let started = Instant::now();
        let dry_run = self.reconciler.settings.dry_run;
        let pauses = self.backoff.pauses(rand::rng());
        let mut retries = 0;
        let attempt = |number| {
            retries = number as usize - 1;
            if number > 1 {
                self.metrics.retry();
            }
            self.health.tick();
            self.once(look, approved, dry_run)
        };
        let result = retry(pauses, self.shutdown.wait(), CycleError::is_transient, attempt).await;
        let (mut summary, result) = match result {
            Ok(report) => (report.summary(dry_run), Ok(report)),
            Err(error) => {
                let failed = Summary { errors: 1, ..Summary::new(Outcome::Failed, &Counts::default()) };
                let text = error.to_string();
                let error = RetryError::into_inner(error);
                // That one gives way to another is how it should be.
                if matches!(error, CycleError::Superseded { .. }) {
                    tracing::warn!("{text}");
                } else {
                    tracing::error!("{text}");
                }
                (failed, Err(error))
            }
        };
        summary.retries = retries;
        summary.duration = started.elapsed();
        self.tell(&summary, &result);
        Cycle { summary, result }
    }

    async fn once(&self, look: Look, approved: Option<&str>, dry_run: bool) -> Result<Report, CycleError> {
        if dry_run {
            self.reconciler.plan(look, approved).await.map(Report::dry_run)
        } else {
            self.reconciler.apply(look, approved).await
        }
    }

    fn tell(&self, summary: &Summary, result: &Result<Report, CycleError>) {
        match result {
            Ok(report) => {
                self.log(report, summary.outcome);
                self.health.is_ready();
                let planned = &report.planned;
                if !planned.converged && matches!(planned.verdict, Verdict::Pass(_)) {
                    let failed = report.failed.iter().map(|failed| failed.role.as_str()).collect();
                    let (users, roles) = act::managed(planned, &planned.observation.catalog, &failed);
                    self.metrics.managed(users, roles);
                }
                self.metrics.stands(report.state(summary.outcome));
            }
            Err(error) => {
                self.health.is_not_ready(format!("the last cycle failed: {error}"));
                self.metrics.fell_out_of_sync(self.reconciler.is_paused());
            }
        }
        let pool = &self.reconciler.pool;
        self.metrics.pool(pool.busy(), pool.idle());
        self.metrics.cycle(summary, SystemTime::now());
        summary.log();
    }

    fn log(&self, report: &Report, outcome: Outcome) {
        let planned = &report.planned;
        for finding in &planned.findings {
            let (place, message) = (finding.place(), printable::line(&finding.message));
            let (code, policy) = (finding.code.as_str(), finding.policy.as_deref());
            let help = finding.help.as_deref().map(printable::line);
            let help = help.as_deref();
            match finding.severity {
                Severity::Error => tracing::error!(code, place, policy, help, "{message}"),
                Severity::Warning => tracing::warn!(code, place, policy, help, "{message}"),
                Severity::Info => tracing::info!(code, place, policy, "{message}"),
            }
        }
        match &planned.verdict {
            Verdict::Pass(_) => {}
            Verdict::Held(held) => tracing::warn!(digest = held.digest, "{held}"),
            refused => tracing::error!("{refused}"),
        }
        if outcome == Outcome::DryRun {
            for line in dry_run::lines(&planned.plan, &planned.observation.catalog, &planned.observation.parsed) {
                tracing::info!("{line}");
            }
        } else if matches!(outcome, Outcome::Applied | Outcome::NothingToDo) {
            self.log_what_was_done(report);
        }
    }

    fn log_what_was_done(&self, report: &Report) {
        let failed: std::collections::BTreeSet<usize> =
            report.failed.iter().flat_map(|failed| failed.steps.iter().copied()).collect();
        let steps = &report.planned.plan.steps;
        for (_, step) in steps.iter().enumerate().filter(|(index, _)| !failed.contains(index)).take(LOGGED_STEPS) {
            let script = step.change.script().and_then(|name| report.planned.observation.parsed.scripts.get(name));
            let database = step.change.own_database().or(script.map(|script| script.database.as_str()));
            let role = step.change.role().filter(|_| database.is_none());
            let subject = step.change.script().or(database).or(role).unwrap_or_default();
            tracing::info!(
                role,
                database,
                cause = %step.cause,
                risk = %step.risk,
                by = step.by,
                "{} {}: {}",
                step.change.action(),
                printable::name(subject),
                printable::line(&step.reason)
            );
        }
        if steps.len() > LOGGED_STEPS {
            tracing::info!("and {} more steps; all of them are in the ledger's history", steps.len() - LOGGED_STEPS);
        }
        if report.sessions_ended > 0 {
            tracing::info!(
                sessions = report.sessions_ended,
                "ended the sessions of users that were removed or disabled"
            );
        }
        for failed in &report.failed {
            tracing::error!(role = failed.role, sqlstate = failed.error.sqlstate, "{}", failed.error);
        }
    }
}
