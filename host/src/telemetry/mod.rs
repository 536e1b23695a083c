//! What the controller tells about itself while it works: logs, metrics, and the summary of a
//! cycle. What is told is decided elsewhere; no secret ever comes here.

pub mod logs;
pub mod metrics;
pub mod summary;

pub use metrics::Metrics;
pub use summary::{Outcome, Summary};
