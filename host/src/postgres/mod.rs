//! Everything that talks to PostgreSQL.

pub mod target;

pub use target::{SslMode, Target};
