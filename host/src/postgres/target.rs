//! Which server, as whom, and how well protected the way there must be.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::secret::Password;

/// How much TLS a connection needs; libpq's modes, with libpq's meaning:
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Without first, with TLS if the server insists.
    Allow,
    /// With TLS if the server can, else without.
    Prefer,
    /// With TLS; the certificate is checked only if a root certificate is given.
    Require,
    /// With TLS and a certificate from a trusted authority.
    VerifyCa,
    /// And the certificate is for this very host.
    VerifyFull,
}

impl SslMode {
    const NAMES: [(&'static str, SslMode); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        SslMode::NAMES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode).ok_or_else(|| {
            let names: Vec<&str> = SslMode::NAMES.iter().map(|(name, _)| *name).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SslMode::NAMES.iter().find(|(_, mode)| mode == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// A server, a database on it, and the role to connect as.
#[derive(Debug, Clone)]
pub struct Target {
    /// Host name, address, or the directory of a unix socket.
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// The database that holds the ledger.
    pub database: String,
    /// The controller's own role.
    pub user: String,
    /// Its password; ignored where the server asks for none.
    pub password: Password,
    /// How much TLS.
    pub sslmode: SslMode,
    /// PEM file of the authorities to trust; `None`: those of the system.
    pub sslrootcert: Option<PathBuf>,
}

impl Target {
    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Target {
        Target { database: database.to_owned(), ..self.clone() }
    }
}

/// `host:port/database`, without any secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}
