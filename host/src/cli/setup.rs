//! Puts a controller together from the options of a command.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::modules::Modules;
use crate::config::{Config, Options, SecretSelector, SourceChoice};
use crate::kubernetes::{self, Connection, ErrorCount};
use crate::policy::{Called, Document, Limits, LogLevel, Observer, Runtime, Stage};
use crate::postgres::connect::SessionLimits;
use crate::postgres::pool::Pool;
use crate::postgres::retry::Backoff;
use crate::reconcile::{About, Controller, Policies, Reconciler, Settings};
use crate::registry::Registry;
use crate::serve::Health;
use crate::shutdown::Shutdown;
use crate::source::{Directory, Kubernetes, SecretScope, Source};
use crate::telemetry::Metrics;
use crate::telemetry::logs::{self, Format, Stream};

/// The policies that ship, by the names that chains call them by (`builtin:NAME`).
static BUILTINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// An engine that knows the policies that ship. None is compiled before a chain names it.
pub(super) fn with_builtins(runtime: Runtime) -> Runtime {
    BUILTINS.iter().fold(runtime, |runtime, (name, component)| runtime.with_builtin(name, component))
}

/// Two threads: one that waits for the server while another computes.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the system does not let this process start threads")
}

/// What differs between the commands.
pub(super) struct Manner {
    pub(super) format: Format,
    pub(super) stream: Stream,
    pub(super) dry_run: bool,
    /// Whether the source is watched, or asked once.
    pub(super) following: bool,
}

/// What a command works with.
pub(super) struct Parts {
    pub(super) controller: Controller,
    pub(super) config: Config,
    /// The way to the API server, if that is the source.
    pub(super) connection: Option<Connection>,
}

/// Sets up logs and reads the configuration.
pub(super) fn config(options: Options, format: Format, stream: Stream) -> anyhow::Result<Config> {
    logs::init(options.log_format.unwrap_or(format), options.log_level, stream);
    Ok(options.config(&|name| std::env::var_os(name))?)
}

/// A controller that is ready to begin. Nothing is read from source or server yet.
pub(super) async fn controller(options: Options, manner: Manner) -> anyhow::Result<Parts> {
    let mut config = config(options, manner.format, manner.stream)?;
    config.dry_run |= manner.dry_run;
    let metrics = Arc::new(Metrics::new().context("the metrics could not be set up")?);
    let runtime = policy_runtime(&config, Limits::default())?.with_observer(Arc::new(Told(Arc::clone(&metrics))));
    let limits = SessionLimits { lock_timeout: config.lock_timeout, ..SessionLimits::default() };
    let target = config.target();
    let pool = Pool::with_limits(target.clone(), config.pool_min, config.pool_max, limits);
    let (source, connection) = source(&config, manner.following, &metrics).await?;
    let settings = Settings {
        target,
        applications: config.applications.clone(),
        namespace: config.namespace.clone(),
        reassign_owned_to: config.reassign_owned_to.clone(),
        max_deletions: config.max_deletions,
        removal_grace: config.removal_grace,
        labels: config.target_labels.clone(),
        protected_roles: config.protected_roles.clone(),
        allowed_powers: config.allowed_powers.clone(),
        state_file: config.state_file.clone(),
        dry_run: config.dry_run,
    };
    if let Some(path) = &config.policies {
        // Said at once rather than in the first cycle. What it names is looked for then, and may come later.
        Document::read(path)?;
    }
    let policies = Policies::new(
        runtime,
        config.policies.clone(),
        Arc::new(Modules::new(Registry::new(&config.registry, config.cache_dir.as_deref())?)),
        settings.target.to_string(),
        settings.labels.clone(),
        Arc::clone(&metrics),
    );
    let health = Arc::new(Health::new(config.sync_interval.max(Duration::from_secs(1))));
    let controller = Controller {
        reconciler: Reconciler::new(source, pool, policies, settings, Arc::clone(&metrics)),
        backoff: Backoff { base: config.retry_backoff_base, max_retries: config.max_retries },
        shutdown: Shutdown::on_signals().context("the system does not let this process listen for signals")?,
        metrics,
        health,
        election: None,
        reporter: None,
        about: About::default(),
    };
    Ok(Parts { controller, config, connection })
}

async fn source(
    config: &Config,
    following: bool,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Arc<dyn Source>, Option<Connection>)> {
    let (namespace, configmap) = (&config.namespace, &config.configmap_name);
    match &config.source {
        SourceChoice::Directory(path) => Ok((Arc::new(Directory::new(path, namespace, configmap)), None)),
        SourceChoice::Kubernetes(options) => {
            let counted = Arc::clone(metrics);
            let errors = ErrorCount::new(move |operation| counted.kubernetes_error(operation));
            let connection = kubernetes::connect(options, errors).await?;
            let scope = match &options.secret_selector {
                None => SecretScope::ByName,
                Some(SecretSelector::All) => SecretScope::Namespace { labels: None },
                Some(SecretSelector::Labels(labels)) => SecretScope::Namespace { labels: Some(labels.clone()) },
            };
            let make = if following { Kubernetes::following } else { Kubernetes::once };
            Ok((Arc::new(make(connection.clone(), namespace, configmap, scope)), Some(connection)))
        }
    }
}

/// The engine with the built-in policy, and compiled modules kept where the configuration says.
pub(super) fn policy_runtime(config: &Config, limits: Limits) -> anyhow::Result<Runtime> {
    Ok(with_builtins(Runtime::new(limits, config.cache_dir.clone())?))
}

/// Passes on what happens in policies to metrics and log.
struct Told(Arc<Metrics>);

impl Observer for Told {
    fn call(&self, called: &Called<'_>) {
        let Called { module, stage, seconds, fuel, memory, outcome } = *called;
        self.0.policy_call([module, stage.as_str(), outcome], seconds, fuel, memory);
        tracing::debug!(policy = module, stage = stage.as_str(), seconds, fuel, memory, outcome, "policy called");
    }

    fn refused(&self, module: &str, stage: Stage) {
        self.0.policy_refused(module, stage.as_str());
    }

    fn log(&self, module: &str, level: LogLevel, message: &str) {
        match level {
            LogLevel::Debug => tracing::debug!(policy = module, "{message}"),
            LogLevel::Info => tracing::info!(policy = module, "{message}"),
            LogLevel::Warn => tracing::warn!(policy = module, "{message}"),
            LogLevel::Error => tracing::error!(policy = module, "{message}"),
        }
    }
}
