//! What ends a cycle before its end, and whether it is worth another try.

use tokio_postgres::error::SqlState;

use crate::catalog::Server;
use crate::ledger::LedgerError;
use crate::policy::{ChainError, PolicyError};
use crate::postgres::ConnectError;
use crate::postgres::explain::{Attempt, ServerError};
use crate::postgres::password::PasswordError;
use crate::source::SourceError;
use crate::spec::Diagnostic;

/// Why a cycle could not be finished. Nothing was changed, unless the message says so.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// users.yaml is not as it should be.
    #[error("{}", Listed(.0))]
    Spec(Vec<Diagnostic>),
    /// The server could not be reached.
    #[error(transparent)]
    Connect(Box<ConnectError>),
    /// The server refused.
    #[error("{0}")]
    Postgres(Box<ServerError>),
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(LedgerError),
    /// No policy chain is in force.
    #[error("no policies are in force, so nothing is decided: {0}")]
    Chain(Box<ChainError>),
    /// A policy module failed.
    #[error(transparent)]
    Policy(Box<PolicyError>),
    /// A password cannot be one.
    #[error("the Secret of {role:?} holds no usable password: {why}")]
    Password {
        /// The user.
        role: String,
        /// What is wrong with it.
        why: PasswordError,
    },
    /// No password can be made.
    #[error("this system gives no random numbers to make passwords of; nothing was changed")]
    NoRandomness,
    /// The server is a standby.
    #[error(
        "{target} is a standby, which takes no changes; point DB_HOST at the primary (a service that follows it, such \
         as the one that ends in -rw, is best)"
    )]
    Standby {
        /// The server.
        target: String,
    },
    /// Another instance leads.
    #[error("instance {by} has taken over, so nothing was changed; this one becomes a standby")]
    Superseded {
        /// Its identity.
        by: String,
        /// The number of its term.
        term: Option<u32>,
    },
    /// Somebody else keeps changing roles.
    #[error(
        "the catalog changed {times} times while a plan was made; somebody else is changing roles. The next cycle tries again"
    )]
    Restless {
        /// How often it was tried.
        times: usize,
    },
}

impl From<ConnectError> for CycleError {
    fn from(error: ConnectError) -> Self {
        CycleError::Connect(Box::new(error))
    }
}

impl From<LedgerError> for CycleError {
    fn from(error: LedgerError) -> Self {
        match error {
            // What the server said is explained as anywhere else.
            LedgerError::Postgres(error) => {
                CycleError::postgres(&error, "use the ledger in schema \"rolewright\"", &Server::default())
            }
            other => CycleError::Ledger(other),
        }
    }
}

impl From<PolicyError> for CycleError {
    fn from(error: PolicyError) -> Self {
        CycleError::Policy(Box::new(error))
    }
}

impl CycleError {
    /// Explains what PostgreSQL said.
    pub fn postgres(error: &tokio_postgres::Error, action: &str, server: &Server) -> CycleError {
        let attempt = Attempt { action, role: None, server_version: server.version };
        CycleError::Postgres(Box::new(ServerError::new(error, &attempt)))
    }

    /// Whether the transaction took more locks than the server had room for (or memory, which more room
    /// for locks would not mend, but smaller transactions may).
    pub(super) fn is_out_of_locks(&self) -> bool {
        let CycleError::Postgres(error) = self else { return false };
        error.sqlstate.as_deref() == Some(SqlState::OUT_OF_MEMORY.code())
    }

    /// The same, where a number of parts of the plan had been applied before.
    pub(super) fn after(mut self, parts: usize) -> CycleError {
        if let CycleError::Postgres(error) = &mut self
            && parts > 0
        {
            let are = if parts == 1 { "part of it is" } else { "parts of it are" };
            error.attempted = format!("{} ({parts} {are} applied and recorded)", error.attempted);
        }
        self
    }

    /// Whether a little later it may well go.
    pub fn is_transient(&self) -> bool {
        match self {
            CycleError::Connect(error) => error.is_transient(),
            CycleError::Postgres(error) => error.transient,
            CycleError::Chain(error) => error.is_transient(),
            CycleError::Restless { .. } | CycleError::Source(SourceError::Cluster { transient: true, .. }) => true,
            _ => false,
        }
    }
}

/// Diagnostics one below the other, with their number.
struct Listed<'a>(&'a [Diagnostic]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for diagnostic in self.0 {
            writeln!(f, "{diagnostic}")?;
        }
        let errors = if self.0.len() == 1 { "1 error" } else { &format!("{} errors", self.0.len()) };
        write!(f, "{errors} in users.yaml; nothing was changed")
    }
}
