//! Metrics in the form that Prometheus reads. They live in a registry of their own, so that two
//! controllers in one process, as in tests, do not count together. Serving them is done elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use super::summary::{Outcome, Summary};

/// Seconds: from a converged target's few milliseconds to a cycle that sets thousands of passwords.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// What is asked of an API server.
const KUBERNETES_OPERATIONS: [&str; 5] = ["list", "watch", "status", "event", "lease"];

/// How things stand after a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// PostgreSQL is as declared.
    pub synced: bool,
    /// A plan waits for approval.
    pub held: bool,
    /// Nothing is applied for now.
    pub paused: bool,
    /// Users that are not as declared.
    pub users_not_synced: usize,
}

/// Everything that is counted and measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciliations: IntCounter,
    last_reconciliation: Gauge,
    drift: IntCounter,
    users_managed: IntGauge,
    roles_managed: IntGauge,
    errors: IntCounter,
    last_error: Gauge,
    cycles: HistogramVec,
    stages: HistogramVec,
    policy_calls: HistogramVec,
    policy_fuel: HistogramVec,
    policy_memory: HistogramVec,
    policy_refusals: IntCounterVec,
    chain_loads: IntCounterVec,
    chain_outdated: IntGauge,
    plan_steps: Histogram,
    changes: IntCounterVec,
    held_plans: IntCounter,
    retries: IntCounter,
    pool: IntGaugeVec,
    leader: IntGauge,
    interval: Gauge,
    synced: IntGauge,
    held: IntGauge,
    paused: IntGauge,
    users_not_synced: IntGauge,
    kubernetes_errors: IntCounterVec,
}

impl Metrics {
    /// Every metric, at zero.
    ///
    /// # Errors
    /// If two of them had one name; a test proves that they do not.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric?;
                registry.register(Box::new(metric.clone()))?;
                metric
            }};
        }
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| HistogramOpts::new(name, help).buckets(buckets);
        let seconds = || SECONDS.to_vec();
        // From a hundred thousand instructions to ten thousand million, and from one step to a million.
        let fuel: Vec<f64> = (5..=10).flat_map(|power| [1.0, 3.0].map(|lead| lead * 10_f64.powi(power))).collect();
        // From a Rust module's 2 MiB to the gibibyte that is the most.
        let memory: Vec<f64> = (20..=30).map(|power| 2_f64.powi(power)).collect();
        let steps: Vec<f64> = (0..=6).map(|power| 10_f64.powi(power)).collect();
        let metrics = Metrics {
            reconciliations: register!(IntCounter::new(
                "postgres_controller_reconciliations_total",
                "Cycles finished, whatever their outcome"
            )),
            last_reconciliation: register!(Gauge::new(
                "postgres_controller_last_reconciliation_timestamp",
                "When the last cycle finished, in Unix seconds"
            )),
            drift: register!(IntCounter::new(
                "postgres_controller_drift_total",
                "Planned steps that repair what somebody changed on the server"
            )),
            users_managed: register!(IntGauge::new(
                "postgres_controller_users_managed",
                "Roles with LOGIN that are managed"
            )),
            roles_managed: register!(IntGauge::new(
                "postgres_controller_roles_managed",
                "Roles without LOGIN that are managed"
            )),
            errors: register!(IntCounter::new(
                "postgres_controller_errors_total",
                "Errors: users that failed, and cycles that could not be finished"
            )),
            last_error: register!(Gauge::new(
                "postgres_controller_last_error_timestamp",
                "When the last cycle with an error finished, in Unix seconds; 0 if none"
            )),
            cycles: register!(HistogramVec::new(
                histogram("postgres_controller_cycle_duration_seconds", "Duration of a cycle by outcome", seconds()),
                &["outcome"]
            )),
            stages: register!(HistogramVec::new(
                histogram("postgres_controller_stage_duration_seconds", "Duration of each stage of a cycle", seconds()),
                &["stage"]
            )),
            policy_calls: register!(HistogramVec::new(
                histogram(
                    "postgres_controller_policy_call_duration_seconds",
                    "Duration of calls into policy modules",
                    seconds()
                ),
                &["module", "stage", "outcome"]
            )),
            policy_fuel: register!(HistogramVec::new(
                histogram(
                    "postgres_controller_policy_call_fuel",
                    "Fuel, about one a WebAssembly instruction, burnt by a call into a policy module",
                    fuel
                ),
                &["module", "stage", "outcome"]
            )),
            policy_memory: register!(HistogramVec::new(
                histogram(
                    "postgres_controller_policy_call_memory_bytes",
                    "The most linear memory that a policy module had in a call",
                    memory
                ),
                &["module", "stage", "outcome"]
            )),
            policy_refusals: register!(IntCounterVec::new(
                Opts::new(
                    "postgres_controller_policy_refusals_total",
                    "Specs and plans that a policy stood against, by module and stage; those on trial included"
                ),
                &["module", "stage"]
            )),
            chain_loads: register!(IntCounterVec::new(
                Opts::new("postgres_controller_policy_chain_loads_total", "Policy chains that were loaded, by outcome"),
                &["outcome"]
            )),
            chain_outdated: register!(IntGauge::new(
                "postgres_controller_policy_chain_outdated",
                "Whether the chain that is configured could not be taken into use: 1 or 0"
            )),
            plan_steps: register!(Histogram::with_opts(histogram(
                "postgres_controller_plan_steps",
                "Steps of a plan that had any",
                steps
            ))),
            changes: register!(IntCounterVec::new(
                Opts::new("postgres_controller_changes_total", "Users and roles that were changed, by kind and change"),
                &["kind", "change"]
            )),
            held_plans: register!(IntCounter::new(
                "postgres_controller_held_plans_total",
                "Cycles whose plan waited for approval"
            )),
            retries: register!(IntCounter::new(
                "postgres_controller_retries_total",
                "Transient errors after which something was tried again"
            )),
            pool: register!(IntGaugeVec::new(
                Opts::new("postgres_controller_pool_connections", "Connections to PostgreSQL by state"),
                &["state"]
            )),
            leader: register!(IntGauge::new(
                "postgres_controller_leader",
                "Whether this instance acts: 1, or 0 on a standby"
            )),
            interval: register!(Gauge::new(
                "postgres_controller_sync_interval_seconds",
                "Pause between two cycles if nothing changes: SYNC_INTERVAL"
            )),
            synced: register!(IntGauge::new(
                "postgres_controller_synced",
                "Whether the last cycle left PostgreSQL as declared: 1 or 0; 0 on a standby"
            )),
            held: register!(IntGauge::new("postgres_controller_held", "Whether a plan waits for approval: 1 or 0")),
            paused: register!(IntGauge::new(
                "postgres_controller_paused",
                "Whether the ConfigMap is annotated as paused: 1 or 0"
            )),
            users_not_synced: register!(IntGauge::new(
                "postgres_controller_users_not_synced",
                "Declared users that the last cycle could not bring to what is declared"
            )),
            kubernetes_errors: register!(IntCounterVec::new(
                Opts::new(
                    "postgres_controller_kubernetes_errors_total",
                    "Requests to the API server that failed, by operation"
                ),
                &["operation"]
            )),
            registry,
        };
        // A series that appears only with its first event hides that event from rate().
        for outcome in Outcome::ALL {
            metrics.cycles.with_label_values(&[outcome.label()]);
        }
        for outcome in ["taken", "refused"] {
            metrics.chain_loads.with_label_values(&[outcome]);
        }
        for operation in KUBERNETES_OPERATIONS {
            metrics.kubernetes_errors.with_label_values(&[operation]);
        }
        Ok(metrics)
    }

    /// Counts a finished cycle.
    pub fn cycle(&self, summary: &Summary, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.reconciliations.inc();
        self.last_reconciliation.set(now);
        self.drift.inc_by(summary.drift_detected as u64);
        self.cycles.with_label_values(&[summary.outcome.label()]).observe(summary.duration.as_secs_f64());
        // A cycle that failed as a whole is an error, also if it names none.
        let errors = summary.errors.max(usize::from(summary.outcome == Outcome::Failed));
        if errors > 0 {
            self.errors.inc_by(errors as u64);
            self.last_error.set(now);
        }
        match summary.outcome {
            Outcome::Held => self.held_plans.inc(),
            Outcome::Applied => {
                for (kind, change, count) in [
                    ("user", "created", summary.users_created),
                    ("user", "updated", summary.users_updated),
                    ("user", "deleted", summary.users_deleted),
                    ("role", "created", summary.roles_created),
                    ("role", "updated", summary.roles_updated),
                    ("role", "deleted", summary.roles_deleted),
                    ("database", "created", summary.databases_created),
                    ("database", "updated", summary.databases_updated),
                ] {
                    self.changes.with_label_values(&[kind, change]).inc_by(count as u64);
                }
            }
            _ => {}
        }
    }

    /// Measures one stage of a cycle, such as `catalog` or `apply`.
    pub fn stage(&self, stage: &str, duration: Duration) {
        self.stages.with_label_values(&[stage]).observe(duration.as_secs_f64());
    }

    /// Measures a call into a policy module. The names of modules come from the chain, so there
    /// are only a few.
    pub fn policy_call(&self, [module, stage, outcome]: [&str; 3], seconds: f64, fuel: u64, memory: usize) {
        let labels = [module, stage, outcome];
        self.policy_calls.with_label_values(&labels).observe(seconds);
        self.policy_fuel.with_label_values(&labels).observe(fuel as f64);
        self.policy_memory.with_label_values(&labels).observe(memory as f64);
    }

    /// Counts that a policy stood against a spec or a plan.
    pub fn policy_refused(&self, module: &str, stage: &str) {
        self.policy_refusals.with_label_values(&[module, stage]).inc();
    }

    /// Counts an attempt to take a chain into use, and says whether the one that is configured is in
    /// force.
    pub fn chain(&self, taken: bool) {
        self.chain_loads.with_label_values(&[if taken { "taken" } else { "refused" }]).inc();
        self.chain_outdated.set(i64::from(!taken));
    }

    /// Measures a plan that has steps.
    pub fn plan(&self, steps: usize) {
        self.plan_steps.observe(steps as f64);
    }

    /// Says how many are managed now.
    pub fn managed(&self, users: usize, roles: usize) {
        self.users_managed.set(i64::try_from(users).unwrap_or(i64::MAX));
        self.roles_managed.set(i64::try_from(roles).unwrap_or(i64::MAX));
    }

    /// Counts a transient error after which something is tried again.
    pub fn retry(&self) {
        self.retries.inc();
    }

    /// Says how many connections are open now, and how many of them wait for work.
    pub fn pool(&self, busy: usize, idle: usize) {
        for (state, count) in [("busy", busy), ("idle", idle)] {
            self.pool.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts a request to the API server that failed.
    pub fn kubernetes_error(&self, operation: &str) {
        self.kubernetes_errors.with_label_values(&[operation]).inc();
    }

    /// Says how long the pause between two cycles is.
    pub fn interval(&self, interval: Duration) {
        self.interval.set(interval.as_secs_f64());
    }

    /// Says whether this instance acts. Of what a standby cannot know, it claims nothing.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            [&self.synced, &self.held, &self.paused, &self.users_not_synced].iter().for_each(|gauge| gauge.set(0));
        }
    }

    /// A cycle failed as a whole. Whether a plan waits, nobody knows; that the cycle fails is what matters.
    pub fn fell_out_of_sync(&self, paused: bool) {
        self.synced.set(0);
        self.held.set(0);
        self.paused.set(i64::from(paused));
    }

    /// Says how things stand after a cycle of the one that acts.
    pub fn stands(&self, state: State) {
        self.synced.set(i64::from(state.synced));
        self.held.set(i64::from(state.held));
        self.paused.set(i64::from(state.paused));
        self.users_not_synced.set(i64::try_from(state.users_not_synced).unwrap_or(i64::MAX));
    }

    /// Everything in the text format:
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory cannot fail, and a metric without samples is left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The content type of [`Metrics::render`].
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Counts;

    #[test]
    fn the_ancestors_metrics_are_there_from_the_start() {
        let text = Metrics::new().unwrap().render();
        for name in [
            "reconciliations_total",
            "last_reconciliation_timestamp",
            "drift_total",
            "users_managed",
            "roles_managed",
            "errors_total",
            "last_error_timestamp",
        ] {
            assert!(text.contains(&format!("\npostgres_controller_{name} 0\n")), "{name} is not in\n{text}");
        }
    }

    #[test]
    fn a_cycle_is_counted_once_with_all_that_it_did() {
        let metrics = Metrics::new().unwrap();
        let counts = Counts { users_created: 3, drift: 2, ..Counts::default() };
        let summary =
            Summary { errors: 1, duration: Duration::from_millis(20), ..Summary::new(Outcome::Applied, &counts) };
        metrics.cycle(&summary, UNIX_EPOCH + Duration::from_millis(1_700_000_000_500));
        metrics.policy_call(["standard", "plan", "ok"], 0.003, 2_000_000, 2 << 20);
        metrics.managed(3, 1);
        let text = metrics.render();
        for line in [
            "postgres_controller_reconciliations_total 1",
            "postgres_controller_last_reconciliation_timestamp 1700000000.5",
            "postgres_controller_drift_total 2",
            "postgres_controller_errors_total 1",
            "postgres_controller_last_error_timestamp 1700000000.5",
            "postgres_controller_users_managed 3",
            "postgres_controller_roles_managed 1",
            "postgres_controller_changes_total{change=\"created\",kind=\"user\"} 3",
            "postgres_controller_cycle_duration_seconds_bucket{outcome=\"applied\",le=\"0.025\"} 1",
            "postgres_controller_policy_call_fuel_sum{module=\"standard\",outcome=\"ok\",stage=\"plan\"} 2000000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_held_plan_changes_nobody_and_a_failed_cycle_is_an_error() {
        let metrics = Metrics::new().unwrap();
        let counts = Counts { users_deleted: 3, ..Counts::default() };
        metrics.cycle(&Summary::new(Outcome::Held, &counts), UNIX_EPOCH);
        metrics.cycle(&Summary::new(Outcome::Failed, &Counts::default()), UNIX_EPOCH);
        let text = metrics.render();
        assert!(!text.contains("changes_total{"), "{text}");
        assert!(text.contains("\npostgres_controller_held_plans_total 1\n"));
        assert!(text.contains("\npostgres_controller_errors_total 1\n"));
    }
}
