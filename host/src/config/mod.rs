//! Settings: environment variables and flags become one validated [`Config`]. Every setting is both
//! and the flag wins; an empty variable counts as not set. What a command does with them is
//! written elsewhere.

mod registry;
pub(crate) mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
pub use registry::{PlainHttp, RegistryOptions};
pub(crate) use values::duration;
pub use values::{Labels, Listen, MaxDeletions, Names, Powers, SecretSelector};

use crate::generated::contents::Address;
use crate::postgres::{SslMode, Target};
use crate::secret::Password;
use crate::telemetry::logs;

/// Reads a variable of the environment; tests hand in their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Where the ConfigMap is.
#[derive(Debug, Clone, Args)]
#[allow(missing_docs)]
pub struct Place {
    /// Cluster and credentials [default: as kubectl picks]
    #[arg(long, env = "KUBECONFIG", value_name = "KUBECONFIG", help_heading = "Source")]
    pub kubeconfig: Option<OsString>,
    /// Context in it
    #[arg(hide_short_help = true)]
    #[arg(long = "context", env = "KUBE_CONTEXT", value_name = "KUBE_CONTEXT", help_heading = "Source")]
    pub kube_context: Option<String>,
    /// Namespace of ConfigMap and Secrets
    #[arg(long, env = "NAMESPACE", value_name = "NAMESPACE", default_value = "postgres")]
    #[arg(value_parser = values::dns_label, help_heading = "Source")]
    pub namespace: String,
    /// ConfigMap with users.yaml
    #[arg(long, env = "CONFIGMAP_NAME", value_name = "CONFIGMAP_NAME", default_value = "postgres-users-config")]
    #[arg(value_parser = values::dns_subdomain, help_heading = "Source")]
    pub configmap_name: String,
}

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
#[allow(missing_docs)]
pub struct ServerOptions {
    /// Host
    #[arg(long, env = "DB_HOST", value_name = "DB_HOST")]
    #[arg(default_value = "acid-minimal-cluster.default.svc.cluster.local")]
    #[arg(value_parser = values::host, help_heading = "PostgreSQL")]
    pub db_host: String,
    /// Port
    #[arg(long, env = "DB_PORT", value_name = "DB_PORT", default_value = "5432")]
    #[arg(value_parser = values::port, help_heading = "PostgreSQL")]
    pub db_port: u16,
    /// Database that holds the ledger
    #[arg(long, env = "DB_NAME", value_name = "DB_NAME", default_value = "postgres")]
    #[arg(value_parser = values::role_name, help_heading = "PostgreSQL")]
    pub db_name: String,
    /// Role to connect as
    #[arg(long, env = "DB_USER", value_name = "DB_USER", default_value = "postgres")]
    #[arg(value_parser = values::role_name, help_heading = "PostgreSQL")]
    pub db_user: String,
    /// Its password, better not given here
    #[arg(long, env = "DB_PASS", value_name = "DB_PASS", default_value = "postgres")]
    #[arg(value_parser = ValueParser::new(password), help_heading = "PostgreSQL")]
    pub db_pass: Password,
    /// disable, prefer, require, verify-ca, verify-full
    #[arg(long, env = "DB_SSLMODE", value_name = "DB_SSLMODE", default_value = "prefer")]
    #[arg(value_parser = sslmode(), hide_possible_values = true, help_heading = "PostgreSQL")]
    pub db_sslmode: SslMode,
    /// Authorities to trust, PEM [default: the system's]
    #[arg(long, env = "DB_SSLROOTCERT", value_name = "DB_SSLROOTCERT", help_heading = "Connections")]
    pub db_sslrootcert: Option<PathBuf>,
}

impl ServerOptions {
    /// The server as applications reach it, where that is not as the controller does.
    fn address(&self, host: Option<String>, port: Option<u16>) -> Address {
        Address {
            server: format!("{}:{}", self.db_host, self.db_port),
            host: host.unwrap_or_else(|| self.db_host.clone()),
            port: port.unwrap_or(self.db_port),
            database: self.db_name.clone(),
        }
    }

    /// The server, with the database that is connected to first.
    pub fn target(self) -> Target {
        Target {
            host: self.db_host,
            port: self.db_port,
            database: self.db_name,
            user: self.db_user,
            password: self.db_pass,
            sslmode: self.db_sslmode,
            sslrootcert: self.db_sslrootcert,
        }
    }
}

/// The settings as given, one by one; [`Options::config`] makes a whole of them.
#[derive(Debug, Clone, Args)]
#[allow(missing_docs)]
pub struct Options {
    /// Read manifests in a directory
    #[arg(long = "source", alias = "source-dir", env = "SOURCE_DIR", value_name = "SOURCE_DIR")]
    #[arg(help_heading = "Source")]
    pub source_dir: Option<PathBuf>,
    /// Read from the API server, as in a pod
    #[arg(long, env = "KUBERNETES", value_name = "KUBERNETES", default_missing_value = "true")]
    #[arg(num_args = 0..=1, require_equals = true, value_parser = values::flag, action = clap::ArgAction::Set)]
    #[arg(help_heading = "Source")]
    pub kubernetes: Option<bool>,
    /// Where ConfigMap and Secrets are.
    #[command(flatten)]
    pub place: Place,
    /// Labels of the Secrets, or * [default: by name]
    #[arg(long, env = "SECRET_SELECTOR", value_name = "SECRET_SELECTOR", help_heading = "Source")]
    pub secret_selector: Option<SecretSelector>,

    /// Which server, and as whom.
    #[command(flatten)]
    pub server: ServerOptions,
    /// Connections kept open
    #[arg(hide_short_help = true)]
    #[arg(long, env = "DB_POOL_MIN_CONN", value_name = "DB_POOL_MIN_CONN", default_value = "1")]
    #[arg(value_parser = values::connections, help_heading = "Connections")]
    pub db_pool_min_conn: usize,
    /// Connections at most
    #[arg(hide_short_help = true)]
    #[arg(long, env = "DB_POOL_MAX_CONN", value_name = "DB_POOL_MAX_CONN", default_value = "5")]
    #[arg(value_parser = values::connections, help_heading = "Connections")]
    pub db_pool_max_conn: usize,
    /// How long to wait for a lock, in seconds
    #[arg(hide_short_help = true)]
    #[arg(long, env = "LOCK_TIMEOUT", value_name = "LOCK_TIMEOUT", default_value = "10")]
    #[arg(value_parser = values::duration, help_heading = "Connections")]
    pub lock_timeout: Duration,

    /// Only say what would be done
    #[arg(long, env = "DRY_RUN", value_name = "DRY_RUN", default_value = "false", default_missing_value = "true")]
    #[arg(num_args = 0..=1, require_equals = true, value_parser = values::flag, action = clap::ArgAction::Set)]
    #[arg(help_heading = "Safety")]
    pub dry_run: bool,
    /// Host in generated Secrets [default: DB_HOST]
    #[arg(hide_short_help = true)]
    #[arg(long, env = "APP_DB_HOST", value_name = "APP_DB_HOST")]
    #[arg(value_parser = values::host, help_heading = "Connections")]
    pub app_db_host: Option<String>,
    /// Port in them [default: DB_PORT]
    #[arg(hide_short_help = true)]
    #[arg(long, env = "APP_DB_PORT", value_name = "APP_DB_PORT")]
    #[arg(value_parser = values::port, help_heading = "Connections")]
    pub app_db_port: Option<u16>,

    /// Removals without approval
    #[arg(long, env = "MAX_DELETIONS", value_name = "MAX_DELETIONS", default_value = "20%")]
    #[arg(help_heading = "Safety")]
    pub max_deletions: MaxDeletions,
    /// How long removed users are only disabled
    #[arg(hide_short_help = true)]
    #[arg(long, env = "REMOVAL_GRACE", value_name = "REMOVAL_GRACE", default_value = "0")]
    #[arg(value_parser = values::grace, help_heading = "Safety")]
    pub removal_grace: Duration,
    /// Roles never to touch, separated by commas
    #[arg(long, env = "PROTECTED_ROLES", value_name = "PROTECTED_ROLES", help_heading = "Safety")]
    pub protected_roles: Option<Names>,
    /// Powers to allow, such as CREATEROLE
    #[arg(long, env = "ALLOWED_POWERS", value_name = "ALLOWED_POWERS", help_heading = "Safety")]
    pub allowed_powers: Option<Powers>,
    /// Who gets what the removed owned [default: DB_USER]
    #[arg(long, env = "REASSIGN_OWNED_TO", value_name = "REASSIGN_OWNED_TO")]
    #[arg(value_parser = values::role_name, help_heading = "Safety")]
    pub reassign_owned_to: Option<String>,

    /// Time between two cycles, in seconds
    #[arg(long, env = "SYNC_INTERVAL", value_name = "SYNC_INTERVAL", default_value = "30")]
    #[arg(value_parser = values::duration, help_heading = "Cycle")]
    pub sync_interval: Duration,
    /// Tries after a transient error
    #[arg(hide_short_help = true)]
    #[arg(long, env = "MAX_RETRIES", value_name = "MAX_RETRIES", default_value = "5")]
    #[arg(value_parser = values::retries, help_heading = "Cycle")]
    pub max_retries: u32,
    /// Growth of the pause between tries
    #[arg(hide_short_help = true)]
    #[arg(long, env = "RETRY_BACKOFF_BASE", value_name = "RETRY_BACKOFF_BASE", default_value = "2.0")]
    #[arg(value_parser = values::backoff, help_heading = "Cycle")]
    pub retry_backoff_base: f64,
    /// State file
    #[arg(long, env = "STATE_FILE", value_name = "STATE_FILE", default_value = "/tmp/users_state.json")]
    #[arg(help_heading = "Cycle")]
    pub state_file: PathBuf,

    /// Labels of the server for policies: environment=production,tier=gold
    #[arg(hide_short_help = true)]
    #[arg(long, env = "TARGET_LABELS", value_name = "TARGET_LABELS", help_heading = "Policies")]
    pub target_labels: Option<Labels>,
    /// YAML file with the policy chain [default: standard]
    #[arg(long, env = "POLICIES", value_name = "POLICIES", help_heading = "Policies")]
    pub policies: Option<PathBuf>,
    /// Compiled and fetched policies [default: ~/.cache/rolewright]
    #[arg(hide_short_help = true)]
    #[arg(long, env = "CACHE_DIR", value_name = "CACHE_DIR", help_heading = "Policies")]
    pub cache_dir: Option<PathBuf>,
    /// Where modules come from.
    #[command(flatten)]
    pub registry: RegistryOptions,

    /// json or text [default: json for run, else text]
    #[arg(long, env = "LOG_FORMAT", value_name = "LOG_FORMAT", hide_possible_values = true)]
    #[arg(value_parser = log_format(), help_heading = "Logs and HTTP")]
    pub log_format: Option<logs::Format>,
    /// error, warn, info, debug, trace
    #[arg(long, env = "LOG_LEVEL", value_name = "LOG_LEVEL", default_value = "info", hide_possible_values = true)]
    #[arg(value_parser = log_level(), help_heading = "Logs and HTTP")]
    pub log_level: logs::Level,
    /// Where run serves metrics and health, or off
    #[arg(long, env = "HTTP_ADDR", value_name = "HTTP_ADDR", default_value = "0.0.0.0:9090")]
    #[arg(help_heading = "Logs and HTTP")]
    pub http_addr: Listen,
}

fn password(text: &str) -> Result<Password, std::convert::Infallible> {
    Ok(Password::new(text.to_owned()))
}

fn sslmode() -> impl TypedValueParser<Value = SslMode> {
    let names = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    PossibleValuesParser::new(names).try_map(|name| name.parse::<SslMode>())
}

fn log_format() -> impl TypedValueParser<Value = logs::Format> {
    PossibleValuesParser::new(["json", "text"]).try_map(|name| name.parse::<logs::Format>())
}

fn log_level() -> impl TypedValueParser<Value = logs::Level> {
    let names = ["error", "warn", "info", "debug", "trace"];
    PossibleValuesParser::new(names).try_map(|name| name.to_ascii_lowercase().parse::<logs::Level>())
}

/// Settings that are each right and make no sense together.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// No source.
    #[error(
        "there is no source to read users.yaml from. Name a directory of manifests with --source DIR or SOURCE_DIR, or \
         read it from the cluster of your kubeconfig with --kubernetes (in a pod, that is the default)"
    )]
    NoSource,
    /// Two sources.
    #[error("--kubernetes and --source {} name two sources: leave one of them out, and unset SOURCE_DIR", path.display())]
    TwoSources {
        /// The directory.
        path: PathBuf,
    },
    /// The source is not a directory.
    #[error("SOURCE_DIR is {}, which is not a directory that can be read: {why}. Name a directory of manifests", path.display())]
    Source {
        /// What was given.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// A pool that can't hold what it must.
    #[error(
        "DB_POOL_MIN_CONN is {min} and DB_POOL_MAX_CONN is {max}: \
         the maximum has to be at least 1, and not below the minimum"
    )]
    Pool {
        /// `DB_POOL_MIN_CONN`.
        min: usize,
        /// `DB_POOL_MAX_CONN`.
        max: usize,
    },
    /// A cache directory that was asked for and can't be used.
    #[error("CACHE_DIR is {}, which cannot be written to: {why}. Name another directory, or leave it out", path.display())]
    Cache {
        /// What was given.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
}

/// Where users.yaml and the Secrets come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceChoice {
    /// A directory of manifests.
    Directory(PathBuf),
    /// An API server.
    Kubernetes(ClusterOptions),
}

/// Which API server, and as whom. What is left open is picked as kubectl does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Kubeconfig files, separated as in `PATH`.
    pub kubeconfig: Option<OsString>,
    /// Context in them.
    pub context: Option<String>,
    /// Which Secrets to list and watch; `None`: each by its name.
    pub secret_selector: Option<SecretSelector>,
}

/// Everything that can be set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where users.yaml comes from.
    pub source: SourceChoice,
    /// Namespace of the ConfigMap and the Secrets.
    pub namespace: String,
    /// Name of the ConfigMap.
    pub configmap_name: String,
    /// The server and how to reach it.
    target: Target,
    /// The server as applications reach it.
    pub applications: Address,
    /// What policies are told of the server.
    pub target_labels: BTreeMap<String, String>,
    /// Connections kept open; not above `pool_max`.
    pub pool_min: usize,
    /// Connections at most; at least one.
    pub pool_max: usize,
    /// How long a statement waits for a lock.
    pub lock_timeout: Duration,
    /// Whether to say what would be done instead of doing it.
    pub dry_run: bool,
    /// How much one plan may remove.
    pub max_deletions: MaxDeletions,
    /// How long a user that has gone from users.yaml is only disabled.
    pub removal_grace: Duration,
    /// Roles never to touch.
    pub protected_roles: BTreeSet<String>,
    /// Powers that may be given: attributes in upper case, predefined roles in lower case.
    pub allowed_powers: BTreeSet<String>,
    /// Who receives what a removed user owned.
    pub reassign_owned_to: String,
    /// Time between two cycles.
    pub sync_interval: Duration,
    /// How often a transient error is tried again.
    pub max_retries: u32,
    /// Factor by which the pause between tries grows.
    pub retry_backoff_base: f64,
    /// The state file.
    pub state_file: PathBuf,
    /// The policy chain; `None`: the built-in one.
    pub policies: Option<PathBuf>,
    /// A directory that can be written to and holds compiled modules; `None`: compile each time.
    pub cache_dir: Option<PathBuf>,
    /// How registries that modules come from are spoken to.
    pub registry: RegistryOptions,
    /// Where `run` serves HTTP; `None`: nowhere.
    pub http_addr: Option<SocketAddr>,
}

impl Options {
    /// Checks the settings against each other and completes what was left open. Creates the cache
    /// directory.
    ///
    /// # Errors
    /// Says which variables do not fit together, and what to do.
    pub fn config(self, environment: Environment<'_>) -> Result<Config, Invalid> {
        let source = self.source(environment)?;
        let (min, max) = (self.db_pool_min_conn, self.db_pool_max_conn);
        if max == 0 || min > max {
            return Err(Invalid::Pool { min, max });
        }
        let cache_dir = match self.cache_dir {
            Some(path) => Some(usable(&path).map(|()| path.clone()).map_err(|why| Invalid::Cache { path, why })?),
            None => default_cache_dir(environment).filter(|path| usable(path).is_ok()),
        };
        Ok(Config {
            source,
            namespace: self.place.namespace,
            configmap_name: self.place.configmap_name,
            reassign_owned_to: self.reassign_owned_to.unwrap_or_else(|| self.server.db_user.clone()),
            applications: self.server.address(self.app_db_host, self.app_db_port),
            target: self.server.target(),
            target_labels: self.target_labels.unwrap_or_default().0,
            pool_min: min,
            pool_max: max,
            lock_timeout: self.lock_timeout,
            dry_run: self.dry_run,
            max_deletions: self.max_deletions,
            removal_grace: self.removal_grace,
            protected_roles: self.protected_roles.unwrap_or_default().0,
            allowed_powers: self.allowed_powers.unwrap_or_default().0,
            sync_interval: self.sync_interval,
            max_retries: self.max_retries,
            retry_backoff_base: self.retry_backoff_base,
            state_file: self.state_file,
            policies: self.policies,
            cache_dir,
            registry: self.registry,
            http_addr: match self.http_addr {
                Listen::Off => None,
                Listen::At(address) => Some(address),
            },
        })
    }
}

impl Options {
    /// A directory where one is named; else the API server, if it is asked for or we are in a pod.
    fn source(&self, environment: Environment<'_>) -> Result<SourceChoice, Invalid> {
        // https://kubernetes.io/docs/concepts/containers/container-environment/
        let in_pod = || environment("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
        match (&self.source_dir, self.kubernetes) {
            (Some(path), Some(true)) => Err(Invalid::TwoSources { path: path.clone() }),
            (Some(path), _) => match std::fs::read_dir(path) {
                Ok(_) => Ok(SourceChoice::Directory(path.clone())),
                Err(why) => Err(Invalid::Source { path: path.clone(), why }),
            },
            (None, Some(true)) => Ok(SourceChoice::Kubernetes(self.cluster())),
            (None, None) if in_pod() => Ok(SourceChoice::Kubernetes(self.cluster())),
            (None, _) => Err(Invalid::NoSource),
        }
    }

    fn cluster(&self) -> ClusterOptions {
        ClusterOptions {
            kubeconfig: self.place.kubeconfig.clone(),
            context: self.place.kube_context.clone(),
            secret_selector: self.secret_selector.clone(),
        }
    }
}

impl Config {
    /// The server, with the database that holds the ledger.
    pub fn target(&self) -> Target {
        self.target.clone()
    }
}

/// `${XDG_CACHE_HOME:-$HOME/.cache}/rolewright`:
/// <https://specifications.freedesktop.org/basedir-spec/latest/>, which has relative paths ignored.
fn default_cache_dir(environment: Environment<'_>) -> Option<PathBuf> {
    let directory = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")))?;
    Some(base.join("rolewright"))
}

/// Makes the directory, for its owner alone, and tries to write in it: what lies there is run.
fn usable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let probe = path.join(format!(".probe-{}-{:016x}", std::process::id(), rand::random::<u64>()));
    std::fs::OpenOptions::new().write(true).create_new(true).open(&probe)?;
    std::fs::remove_file(&probe)
}
