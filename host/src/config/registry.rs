//! Settings about registries that policy modules come from.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::values;

/// How registries are spoken to. Commands that load no chain have these too.
#[derive(Debug, Clone, Args)]
#[allow(missing_docs)]
pub struct RegistryOptions {
    /// Credentials, as in ~/.docker/config.json
    #[arg(hide_short_help = true)]
    #[arg(long, env = "REGISTRY_AUTH_FILE", value_name = "REGISTRY_AUTH_FILE", help_heading = "Policies")]
    pub registry_auth_file: Option<PathBuf>,
    /// Authorities to trust besides the system's, PEM
    #[arg(hide_short_help = true)]
    #[arg(long, env = "REGISTRY_CA_FILE", value_name = "REGISTRY_CA_FILE", help_heading = "Policies")]
    pub registry_ca_file: Option<PathBuf>,
    /// Registries without TLS, or off
    #[arg(hide_short_help = true)]
    #[arg(long, env = "REGISTRY_PLAIN_HTTP", value_name = "REGISTRY_PLAIN_HTTP")]
    #[arg(default_value = "localhost,127.0.0.1,[::1]", help_heading = "Policies")]
    pub registry_plain_http: PlainHttp,
    /// Time for one module
    #[arg(hide_short_help = true)]
    #[arg(long, env = "REGISTRY_TIMEOUT", value_name = "REGISTRY_TIMEOUT", default_value = "30")]
    #[arg(value_parser = values::duration, help_heading = "Policies")]
    pub registry_timeout: Duration,
}

/// Hosts, with or without a port, that are spoken to without TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainHttp(BTreeSet<String>);

impl PlainHttp {
    /// Whether exactly this is one of them.
    pub fn contains(&self, host: &str) -> bool {
        self.0.contains(host)
    }
}

impl FromStr for PlainHttp {
    type Err = String;

    fn from_str(text: &str) -> Result<PlainHttp, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(PlainHttp::default());
        }
        let hosts = text.split(',').map(str::trim).filter(|host| !host.is_empty());
        match hosts.clone().find(|host| host.contains(['/', '@', '*']) || host.contains(char::is_whitespace)) {
            Some(_) => {
                Err("expected hosts separated by commas, such as registry.lan:5000,localhost, or off".to_owned())
            }
            None => Ok(PlainHttp(hosts.map(str::to_owned).collect())),
        }
    }
}
