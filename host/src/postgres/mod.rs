//! Everything that talks to PostgreSQL.

pub mod snapshot;
pub mod target;

pub use target::{SslMode, Target};
