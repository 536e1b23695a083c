//! The API server of a cluster: the way to it, what is written to it (status, Events, the Lease), and
//! its answers in words. What is read from it is the business of `source`, which stands on this.

mod events;
pub mod lease;
pub mod status;
#[cfg(test)]
pub(crate) mod stub;
pub mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::config::ClusterOptions;

/// A connection that takes longer is not worth waiting for: the API server is a neighbour.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A watch hears something every minute and ends after five. One that is silent for longer hangs on a
/// connection whose other side is gone.
const READ_TIMEOUT: Duration = Duration::from_secs(330);

/// A client, with what is to be known of it.
#[derive(Clone)]
pub struct Connection {
    /// Shared by everything that speaks to this API server.
    pub client: kube::Client,
    /// Which it is, for people: "the cluster at https://10.0.0.1:443".
    pub origin: String,
    /// Where failed requests are counted.
    pub errors: ErrorCount,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Counts failed requests by operation: `list`, `watch`, `status`, `event`, `lease`, `secret`.
#[derive(Clone)]
pub struct ErrorCount(Arc<dyn Fn(&'static str) + Send + Sync>);

impl ErrorCount {
    /// Calls this for each failure.
    pub fn new(count: impl Fn(&'static str) + Send + Sync + 'static) -> ErrorCount {
        ErrorCount(Arc::new(count))
    }

    /// One more.
    pub fn count(&self, operation: &'static str) {
        (self.0)(operation);
    }
}

/// Why there is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum CannotConnect {
    /// A kubeconfig is not as it should be.
    #[error("the kubeconfig cannot be used: {0}. KUBECONFIG and --context name file and context")]
    Kubeconfig(Box<kube::config::KubeconfigError>),
    /// There is neither a kubeconfig nor a pod around us.
    #[error(
        "there is no cluster to read from: no kubeconfig was found ({0}), and this is no pod with a ServiceAccount. Set \
         KUBECONFIG, or read a directory with --source DIR"
    )]
    Nowhere(String),
    /// What was found there makes no client.
    #[error("no connection to {origin} can be made: {why}")]
    Client {
        /// Which cluster.
        origin: String,
        /// What the library said.
        why: String,
    },
}

/// Finds the cluster as kubectl does (the kubeconfig that is named, `KUBECONFIG`, `~/.kube/config`, and
/// in a pod its ServiceAccount) and makes a client for it. Nothing is asked yet. A token from a file
/// is read anew as it is rotated.
///
/// # Errors
/// If there is none, or its credentials cannot be used.
pub async fn connect(options: &ClusterOptions, errors: ErrorCount) -> Result<Connection, CannotConnect> {
    Connection::new(configuration(options).await?, READ_TIMEOUT, errors)
}

impl Connection {
    /// To the API server of this configuration; a connection on which nothing has come for that long is
    /// given up.
    pub(crate) fn new(
        mut config: kube::Config,
        silence: Duration,
        errors: ErrorCount,
    ) -> Result<Connection, CannotConnect> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(silence);
        // A connection that was idle in between has not been silent.
        config.reset_reader_on_write = true;
        let origin = format!("the cluster at {}", config.cluster_url.to_string().trim_end_matches('/'));
        match kube::Client::try_from(config) {
            Ok(client) => Ok(Connection { client, origin, errors }),
            Err(why) => Err(CannotConnect::Client { origin, why: words::cause(&why) }),
        }
    }
}

async fn configuration(options: &ClusterOptions) -> Result<kube::Config, CannotConnect> {
    let unusable = |error| CannotConnect::Kubeconfig(Box::new(error));
    let selection = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let named = options.kubeconfig.as_ref().map(|paths| {
        let files = std::env::split_paths(paths).filter(|path| !path.as_os_str().is_empty() && path.exists());
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let read = files.map(Kubeconfig::read_from).reduce(|all, next| all?.merge(next?));
        read.unwrap_or_else(|| Err(kube::config::KubeconfigError::ReadConfig(missing(), paths.into())))
    });
    match named {
        Some(kubeconfig) => {
            let kubeconfig = kubeconfig.map_err(unusable)?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &selection).await.map_err(unusable)
        }
        None => match kube::Config::from_kubeconfig(&selection).await {
            Ok(config) => Ok(config),
            Err(error) if options.context.is_some() => Err(unusable(error)),
            // As kubectl does it: the ServiceAccount is what is left.
            Err(error) => kube::Config::incluster().map_err(|_| CannotConnect::Nowhere(error.to_string())),
        },
    }
}
