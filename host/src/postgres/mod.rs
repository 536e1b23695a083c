//! Everything that talks to PostgreSQL: connecting, reading the catalog, and running plans. Which
//! changes a plan holds is decided elsewhere; the words of each statement come from `sql`.
//!
//! ```text
//! connect ──► pool ──► snapshot ──► Catalog
//!                 └──► apply ──► removal
//!                 └──► rehearse
//! ```

pub mod access;
pub mod apply;
pub mod connect;
pub mod explain;
pub mod fallback;
pub mod objects;
pub mod password;
pub mod pool;
pub mod rehearse;
pub mod removal;
pub mod retry;
pub mod row_security;
pub mod script;
mod shared;
pub mod snapshot;
pub mod target;
pub mod tls;
pub mod unusual;

pub use connect::{ConnectError, connect};
pub use target::{SslMode, Target};
