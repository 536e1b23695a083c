//! Opening a session: the way there (socket, TLS, password), the settings that it begins with, and
//! what to say when it does not come about. Sessions are shared out by `pool`.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode as ClientSslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::explain::{self, scrub};
use super::retry;
use super::target::{SslMode, Target};
use super::tls::{self, TlsError};

/// For each address of the host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// For all addresses, TLS, the password and the first settings together.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Without keepalives, a session whose server vanished would be noticed after two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// The limits that a session imposes on itself. Zero is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long a statement waits for a lock that somebody else holds.
    pub lock_timeout: Duration,
    /// How long a statement may run.
    pub statement_timeout: Duration,
    /// How long a transaction may be left alone before the server rolls it back: locks on roles must
    /// not outlive a controller that hangs.
    pub idle_in_transaction_timeout: Duration,
}

impl Default for SessionLimits {
    /// 10 seconds for a lock, no limit for a statement, 5 minutes for an idle transaction.
    fn default() -> Self {
        SessionLimits {
            lock_timeout: Duration::from_secs(10),
            statement_timeout: Duration::ZERO,
            idle_in_transaction_timeout: Duration::from_secs(300),
        }
    }
}

impl SessionLimits {
    /// The settings of a session, as one text that costs one round trip. They are not sent as start-up
    /// options, since poolers such as PgBouncer refuse those.
    ///
    /// `search_path` keeps anybody who may create functions from slipping his own into our queries
    /// (CVE-2018-1058); the others make results not depend on how the server or role is configured.
    pub(super) fn settings(&self) -> String {
        format!(
            "SET search_path = pg_catalog; SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; \
             SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
             SET quote_all_identifiers = off; SET client_min_messages = warning; SET lock_timeout = {}; \
             SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            milliseconds(self.lock_timeout),
            milliseconds(self.statement_timeout),
            milliseconds(self.idle_in_transaction_timeout),
        )
    }
}

/// PostgreSQL's timeouts are 32-bit counts of milliseconds, and 0 switches them off: what is shorter
/// than one becomes one.
fn milliseconds(duration: Duration) -> i32 {
    if duration.is_zero() { 0 } else { i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1) }
}

/// No session came about.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to PostgreSQL at {server} as {user}: {failure}")]
pub struct ConnectError {
    /// `host:port/database`.
    pub server: String,
    /// The role.
    pub user: String,
    /// Why, and what to do.
    pub failure: Failure,
}

/// Why no session came about; each in one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host name has no address.
    #[error("the host name {host} does not resolve ({cause}); check DB_HOST and the DNS")]
    NotResolved {
        /// As configured.
        host: String,
        /// What the resolver says.
        cause: String,
    },
    /// Nobody listens there, or no packet gets there.
    #[error(
        "nothing answers there ({0}); check DB_HOST and DB_PORT, that the server runs, and that no firewall or NetworkPolicy is in the way"
    )]
    Unreachable(String),
    /// The socket's directory is closed to this process.
    #[error("the unix socket may not be opened ({0}); check its permissions and the user that this process runs as")]
    SocketDenied(String),
    /// No answer in time.
    #[error("no answer within {} seconds; check the network, and whether the server is overloaded", .0.as_secs())]
    Timeout(Duration),
    /// The connection broke off while it was being set up.
    #[error(
        "the connection broke off while it was being set up ({0}); check that PostgreSQL listens on this port, and its log"
    )]
    BrokenOff(String),
    /// TLS is needed and the server has it switched off.
    #[error("sslmode={0} needs TLS, and the server offers none; set ssl=on on the server, or a weaker DB_SSLMODE")]
    TlsNotOffered(SslMode),
    /// The handshake failed.
    #[error("{explanation}; {help}")]
    Tls {
        /// What went wrong.
        explanation: String,
        /// What to do.
        help: String,
    },
    /// The TLS settings are no good.
    #[error("{0}")]
    TlsSettings(#[from] TlsError),
    /// SQLSTATE 28P01.
    #[error(
        "the password is not accepted ({0}); correct DB_PASS (a password past its VALID UNTIL counts as wrong, too)"
    )]
    WrongPassword(String),
    /// SQLSTATE 28000: `pg_hba.conf`, or the role itself.
    #[error(
        "the server does not let it in ({0}); pg_hba.conf needs a line for this user, database and address (with TLS or without), and the role must exist and have LOGIN"
    )]
    NotAdmitted(String),
    /// The proof of identity went wrong on our side, or the server's did.
    #[error(
        "the two sides did not come to terms on a password exchange ({0}); the server must ask for scram-sha-256, md5 or password"
    )]
    Authentication(String),
    /// SQLSTATE 3D000.
    #[error("the database {0} does not exist; create it, or correct DB_NAME")]
    NoDatabase(String),
    /// SQLSTATE 42501: CONNECT is missing.
    #[error("the role may not connect to the database ({0}); GRANT CONNECT on it")]
    NoConnectPrivilege(String),
    /// SQLSTATE 53300.
    #[error("no connection is free ({0}); raise max_connections or the CONNECTION LIMIT, or lower DB_POOL_MAX_CONN")]
    TooManyConnections(String),
    /// SQLSTATE 57P03 and its kin.
    #[error("the server is starting up, recovering or shutting down ({0}); it is tried again")]
    NotReady(String),
    /// It is a standby, or may only read.
    #[error("{0}; changes need a session that may write")]
    ReadOnly(String),
    /// Any other answer of the server.
    #[error("{explanation} ({message} [{sqlstate}]); {help}")]
    Refused {
        /// PostgreSQL's code.
        sqlstate: String,
        /// What it says.
        message: String,
        /// Why.
        explanation: String,
        /// What to do.
        help: String,
    },
    /// The pool has been closed.
    #[error("this process is shutting down")]
    Closed,
    /// Anything else.
    #[error("{0}; check the DB_* settings")]
    Other(String),
}

impl ConnectError {
    pub(super) fn new(target: &Target, failure: Failure) -> ConnectError {
        ConnectError { server: target.to_string(), user: target.user.clone(), failure }
    }

    /// Whether it is worth trying again after a while without anybody correcting anything.
    pub fn is_transient(&self) -> bool {
        match &self.failure {
            Failure::NotResolved { .. }
            | Failure::Unreachable(_)
            | Failure::Timeout(_)
            | Failure::BrokenOff(_)
            | Failure::TooManyConnections(_)
            | Failure::NotReady(_) => true,
            Failure::Refused { sqlstate, .. } => retry::is_transient_state(&SqlState::from_code(sqlstate)),
            _ => false,
        }
    }
}

/// A session and the task that moves its bytes.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) task: AbortHandle,
}

/// Opens a session with the default [`SessionLimits`].
///
/// # Errors
///
/// See [`Failure`].
pub async fn connect(target: &Target) -> Result<Client, ConnectError> {
    connect_with(target, &SessionLimits::default()).await
}

/// Opens a session. It ends when the client is dropped.
///
/// # Errors
///
/// See [`Failure`].
pub async fn connect_with(target: &Target, limits: &SessionLimits) -> Result<Client, ConnectError> {
    open(target, limits).await.map(|session| session.client)
}

pub(super) async fn open(target: &Target, limits: &SessionLimits) -> Result<Session, ConnectError> {
    let opened = tokio::time::timeout(TOTAL_TIMEOUT, async {
        let session = negotiate(target).await?;
        session.client.batch_execute(&limits.settings()).await.map_err(|error| classify(&error, target))?;
        Ok(session)
    });
    opened.await.unwrap_or(Err(Failure::Timeout(TOTAL_TIMEOUT))).map_err(|failure| ConnectError::new(target, failure))
}

/// Makes sure that the session may write, so that a standby is named before the first change fails.
///
/// # Errors
///
/// [`Failure::ReadOnly`], or whatever broke the connection.
pub async fn ensure_writable(client: &Client, target: &Target) -> Result<(), ConnectError> {
    let fail = |failure| ConnectError::new(target, failure);
    let query = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'";
    let row = client.query_one(query, &[]).await.map_err(|error| fail(classify(&error, target)))?;
    let standby: bool = row.try_get(0).map_err(|error| fail(classify(&error, target)))?;
    let read_only: bool = row.try_get(1).map_err(|error| fail(classify(&error, target)))?;
    let reason = match (standby, read_only) {
        (true, _) => "the server is a standby; point DB_HOST at the primary",
        (false, true) => {
            "default_transaction_read_only is on for this server, database or role (some providers do so when the \
             storage is full); switch it off"
        }
        (false, false) => return Ok(()),
    };
    Err(fail(Failure::ReadOnly(reason.to_owned())))
}

/// The way to the server, with the turns that `allow` and `prefer` take. libpq turns after a wrong
/// password, too; here the second try is for a server that may have meant the encryption (28000, and
/// for `prefer` a failed handshake), so that a wrong password is neither sent nor counted twice.
async fn negotiate(target: &Target) -> Result<Session, Failure> {
    let config = client_config(target).await?;
    let mode = if target.host.starts_with('/') { SslMode::Disable } else { target.sslmode };
    match mode {
        SslMode::Disable => attempt(&config, ClientSslMode::Disable, target).await,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
            attempt(&config, ClientSslMode::Require, target).await
        }
        SslMode::Allow => match attempt(&config, ClientSslMode::Disable, target).await {
            Err(first @ Failure::NotAdmitted(_)) => {
                match attempt(&config, ClientSslMode::Require, target).await {
                    // Without TLS on the server, what it said first is what matters.
                    Err(Failure::TlsNotOffered(_) | Failure::NotAdmitted(_)) => Err(first),
                    second => second,
                }
            }
            first => first,
        },
        SslMode::Prefer => match attempt(&config, ClientSslMode::Prefer, target).await {
            Err(first @ (Failure::NotAdmitted(_) | Failure::Tls { .. })) => {
                if let Failure::Tls { explanation, .. } = &first {
                    tracing::warn!(server = %target, "{explanation}; going on without TLS, as sslmode=prefer allows");
                }
                match attempt(&config, ClientSslMode::Disable, target).await {
                    Err(Failure::NotAdmitted(_)) => Err(first),
                    second => second,
                }
            }
            first => first,
        },
    }
}

/// Everything but the use of TLS.
async fn client_config(target: &Target) -> Result<Config, Failure> {
    let mut config = Config::new();
    config
        .user(&target.user)
        .password(target.password.reveal())
        .dbname(&target.database)
        .port(target.port)
        .application_name("rolewright")
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
    if target.host.starts_with('/') {
        config.host(&target.host);
        return Ok(config);
    }
    // Resolved here and not in the client, so that a wrong name can be told from a server that is down.
    let not_resolved = |cause: String| Failure::NotResolved { host: target.host.clone(), cause };
    let addresses = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(|error| not_resolved(error.to_string()))?;
    for address in addresses {
        config.host(&target.host).hostaddr(address.ip());
    }
    if config.get_hosts().is_empty() {
        return Err(not_resolved("it has no address".to_owned()));
    }
    Ok(config)
}

async fn attempt(config: &Config, mode: ClientSslMode, target: &Target) -> Result<Session, Failure> {
    let mut config = config.clone();
    config.ssl_mode(mode);
    let opened = if mode == ClientSslMode::Disable {
        config.connect(tokio_postgres::NoTls).await.map(|(client, connection)| drive(client, connection))
    } else {
        let (sslmode, roots) = (target.sslmode, target.sslrootcert.clone());
        let tls = tokio::task::spawn_blocking(move || tls::client_config(sslmode, roots.as_deref()))
            .await
            .map_err(|error| Failure::Other(error.to_string()))??;
        config.connect(MakeRustlsConnect::new(tls)).await.map(|(client, connection)| drive(client, connection))
    };
    opened.map_err(|error| classify(&error, target))
}

/// Moves the bytes of a session until it ends. Notices go to the log, not to stderr, and cleaned.
fn drive<T>(client: Client, mut connection: Connection<Socket, T>) -> Session
where
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    let task = tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(severity = notice.severity(), notice = %scrub(notice.message()), "PostgreSQL notice");
                }
                Some(Ok(_)) => {}
                // Whoever uses the session hears of it from his statement.
                Some(Err(error)) => {
                    tracing::debug!(error = %scrub(&error.to_string()), "the connection to PostgreSQL ended");
                    return;
                }
                None => return,
            }
        }
    });
    Session { client, task: task.abort_handle() }
}

fn classify(error: &tokio_postgres::Error, target: &Target) -> Failure {
    if let Some(answer) = error.as_db_error() {
        let message = scrub(answer.message());
        return match answer.code().code() {
            "28P01" => Failure::WrongPassword(message),
            "28000" => Failure::NotAdmitted(message),
            "3D000" => Failure::NoDatabase(target.database.clone()),
            "42501" => Failure::NoConnectPrivilege(message),
            "53300" => Failure::TooManyConnections(message),
            "57P01" | "57P02" | "57P03" => Failure::NotReady(message),
            sqlstate => {
                let (explanation, help) = explain::explain(answer.code(), &message, false, 0);
                Failure::Refused { sqlstate: sqlstate.to_owned(), message, explanation, help }
            }
        };
    }
    if let Some(handshake) = tls::handshake_error(error) {
        let (explanation, help) = tls::explain_handshake(handshake, &target.host);
        return Failure::Tls { explanation, help };
    }
    let Some(cause) = error.source() else {
        return if error.is_closed() {
            Failure::BrokenOff("closed".to_owned())
        } else {
            Failure::Other(error.to_string())
        };
    };
    let Some(io) = cause.downcast_ref::<io::Error>() else {
        // The client has no typed errors here; its words are all there is.
        let cause = cause.to_string();
        return match (error.to_string().as_str(), cause.as_str()) {
            (_, "server does not support TLS") => Failure::TlsNotOffered(target.sslmode),
            ("error performing TLS handshake", _) => Failure::Tls {
                explanation: format!("TLS cannot be used: {cause}"),
                help: "check DB_HOST and DB_SSLMODE".to_owned(),
            },
            ("authentication error", _) => Failure::Authentication(cause),
            (what, _) => Failure::Other(format!("{what}: {cause}")),
        };
    };
    match io.kind() {
        io::ErrorKind::TimedOut => Failure::Timeout(CONNECT_TIMEOUT),
        io::ErrorKind::PermissionDenied => Failure::SocketDenied(io.to_string()),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::NotFound
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => Failure::Unreachable(io.to_string()),
        io::ErrorKind::InvalidInput => Failure::Other(format!("{error}: {io}")),
        _ => Failure::BrokenOff(io.to_string()),
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("closed", &self.client.is_closed()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::secret::Password;

    fn target(host: &str, port: u16, sslmode: SslMode) -> Target {
        Target {
            host: host.to_owned(),
            port,
            database: "app".to_owned(),
            user: "controller".to_owned(),
            password: Password::new("correct horse".to_owned()),
            sslmode,
            sslrootcert: None,
        }
    }

    fn error_of(target: &Target) -> ConnectError {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(connect(target)).unwrap_err()
    }

    /// A server that answers the first message of each connection with these bytes and hangs up.
    fn server(answer: Vec<u8>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut first = [0; 1024];
                let _ = stream.read(&mut first);
                let _ = stream.write_all(&answer);
            }
        });
        port
    }

    /// An ErrorResponse as a server sends it during start-up.
    fn refusal(code: &str) -> ConnectError {
        let fields = format!("SFATAL\0VFATAL\0C{code}\0Msorry\0\0");
        let mut answer = vec![b'E'];
        answer.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
        answer.extend(fields.as_bytes());
        error_of(&target("127.0.0.1", server(answer), SslMode::Disable))
    }

    #[test]
    fn a_server_without_tls_is_named_when_tls_is_required() {
        let error = error_of(&target("127.0.0.1", server(b"N".to_vec()), SslMode::Require));
        assert!(matches!(error.failure, Failure::TlsNotOffered(SslMode::Require)), "{error}");
        assert!(error.to_string().contains("sslmode=require") && !error.is_transient(), "{error}");
    }

    #[test]
    fn a_port_where_nobody_listens_is_transient_and_names_the_server() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = error_of(&target("127.0.0.1", port, SslMode::Prefer));
        assert!(matches!(error.failure, Failure::Unreachable(_)) && error.is_transient(), "{error}");
        let beginning = format!("cannot connect to PostgreSQL at 127.0.0.1:{port}/app as controller: ");
        assert!(error.to_string().starts_with(&beginning), "{error}");
    }

    #[test]
    fn a_host_name_that_does_not_exist_is_told_from_a_server_that_is_down() {
        let error = error_of(&target("no-such-host.invalid", 5432, SslMode::Disable));
        assert!(matches!(error.failure, Failure::NotResolved { .. }), "{error}");
    }

    #[test]
    fn a_socket_directory_without_a_server_is_unreachable() {
        let error = error_of(&target("/nonexistent", 5432, SslMode::VerifyFull));
        assert!(matches!(error.failure, Failure::Unreachable(_)), "{error}");
    }

    #[test]
    fn a_server_that_hangs_up_is_transient() {
        let error = error_of(&target("127.0.0.1", server(Vec::new()), SslMode::Disable));
        assert!(matches!(error.failure, Failure::BrokenOff(_)) && error.is_transient(), "{error}");
    }

    #[test]
    fn the_servers_refusals_are_told_apart_by_their_code() {
        let error = refusal("57P03");
        assert!(matches!(error.failure, Failure::NotReady(_)) && error.is_transient(), "{error}");
        let error = refusal("53300");
        assert!(matches!(error.failure, Failure::TooManyConnections(_)) && error.is_transient(), "{error}");
        let error = refusal("28P01");
        assert!(matches!(error.failure, Failure::WrongPassword(_)) && !error.is_transient(), "{error}");
        let error = refusal("3D000");
        assert!(error.to_string().contains("the database app does not exist"), "{error}");
        let error = refusal("58030");
        assert!(error.to_string().contains("sorry [58030]") && !error.is_transient(), "{error}");
    }

    #[test]
    fn no_error_holds_the_password() {
        let error = error_of(&target("127.0.0.1", server(b"N".to_vec()), SslMode::Require));
        assert!(!format!("{error} {error:?}").contains("correct horse"));
    }

    #[test]
    fn a_limit_shorter_than_a_millisecond_is_not_taken_for_none() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(3)), 1);
        assert_eq!(milliseconds(Duration::MAX), i32::MAX);
    }

    #[test]
    fn a_session_looks_for_functions_in_pg_catalog_only() {
        let settings = SessionLimits { lock_timeout: Duration::from_secs(3), ..SessionLimits::default() }.settings();
        assert!(settings.starts_with("SET search_path = pg_catalog;"), "{settings}");
        assert!(settings.contains("SET lock_timeout = 3000;"), "{settings}");
    }
}
