//! The loop around the cycle: retries, the log, metrics and health, and a clean end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::{CycleError, Look, Reconciler, Report, Verdict, act};
use crate::model::Severity;
use crate::plan::Counts;
use crate::postgres::retry::{Backoff, RetryError, retry};
use crate::present::dry_run;
use crate::printable;
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
}

/// What a cycle came to.
#[derive(Debug)]
pub struct Cycle {
    /// Counted.
    pub summary: Summary,
    /// Its plan and what became of it, or why there is none.
    pub result: Result<Report, CycleError>,
}

impl Controller {
    /// Cycles at once, every `interval`, and whenever the source changes, until the shutdown.
    pub async fn run(&self, interval: Duration) {
        let mut number: u64 = 0;
        while !self.shutdown.is_triggered() {
            self.health.tick();
            let look = if number.is_multiple_of(FULL_EVERY) { Look::Full } else { Look::UnlessConverged };
            number += 1;
            if self.cycle_with_grace(look).await.is_none() {
                tracing::warn!("the cycle took too long to end after the signal; its transaction is rolled back");
                break;
            }
            tokio::select! {
                () = self.shutdown.wait() => {}
                () = tokio::time::sleep(interval) => {}
                () = self.reconciler.source.changed() => tracing::info!("the source changed"),
            }
        }
        self.reconciler.pool.close();
        tracing::info!("stopped");
    }

    /// `None`: given up after a signal.
    async fn cycle_with_grace(&self, look: Look) -> Option<Cycle> {
        let cycle = self.cycle(look, None);
        tokio::pin!(cycle);
        tokio::select! {
            cycle = &mut cycle => return Some(cycle),
            () = self.shutdown.wait() => tracing::info!("finishing the cycle in hand"),
        }
        tokio::time::timeout(GRACE, cycle).await.ok()
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
                tracing::error!("{error}");
                (failed, Err(RetryError::into_inner(error)))
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
            }
            Err(error) => self.health.is_not_ready(format!("the last cycle failed: {error}")),
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
            match finding.severity {
                Severity::Error => tracing::error!(code, place, policy, "{message}"),
                Severity::Warning => tracing::warn!(code, place, policy, "{message}"),
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
        } else if outcome == Outcome::Applied {
            self.log_steps(report);
        }
    }

    fn log_steps(&self, report: &Report) {
        let failed: std::collections::BTreeSet<usize> =
            report.failed.iter().flat_map(|failed| failed.steps.iter().copied()).collect();
        let steps = &report.planned.plan.steps;
        for (_, step) in steps.iter().enumerate().filter(|(index, _)| !failed.contains(index)).take(LOGGED_STEPS) {
            tracing::info!(
                role = step.change.role(),
                cause = %step.cause,
                risk = %step.risk,
                by = step.by,
                "{} {}: {}",
                step.change.action(),
                printable::name(step.change.role().unwrap_or_default()),
                printable::line(&step.reason)
            );
        }
        if steps.len() > LOGGED_STEPS {
            tracing::info!("and {} more steps; all of them are in the ledger's history", steps.len() - LOGGED_STEPS);
        }
        if report.sessions_ended > 0 {
            tracing::info!(sessions = report.sessions_ended, "ended the sessions of removed users");
        }
        for failed in &report.failed {
            tracing::error!(role = failed.role, sqlstate = failed.error.sqlstate, "{}", failed.error);
        }
    }
}
