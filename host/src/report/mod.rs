//! What operators are told of a controller, beyond its log: a status that says how things stand, and
//! notices of what has changed. Pure code: what was told before is an argument, the clock too. Who
//! writes it down, and where, is the business of an edge.
//!
//! ```text
//! Facts (of one cycle) ──┬──► assess ──► Status ──► to_data ──► a ConfigMap
//! previous Status ───────┘                  └─────► notices ──► Events
//! ```

mod document;
mod facts;
#[cfg(test)]
pub(crate) mod fixture;
mod notices;
mod status;
mod words;
pub(crate) mod yaml;

use futures_util::future::BoxFuture;

pub use document::{CONDITIONS, MAX_USERS, OBSERVED, SUMMARY, USERS};
pub use facts::{Approval, Chain, Ended, Facts, FailureKind, Judged, Judgement, Lead, Revision, UserState};
pub use notices::{Kind, MAX_NOTE, Notice, notices};
pub use status::{Aspect, Condition, MAX_MESSAGE, Observed, Status, Truth, assess};

/// Whoever writes reports down.
pub trait Reporter: Send + Sync {
    /// Writes down what has changed. Never fails: a report that cannot be written is logged once and
    /// counted, and what it said is written with the next.
    fn report(&self, facts: Facts) -> BoxFuture<'_, ()>;

    /// Forgets what was written, since somebody else may have written meanwhile. To be called by a
    /// controller that has just become the leader; the next report reads what is there first.
    fn forget(&self) {}
}
