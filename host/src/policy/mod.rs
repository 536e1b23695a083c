//! Policies: WebAssembly components that decide what a spec may say and which changes follow from
//! it. They are loaded, limited, called and checked here. What a plan may do is the guard's
//! business, and who runs it is `postgres`'s; no SQL, no secret and no network comes near a module.
//!
//! ```text
//! chain document ──► chain ──► load ──► engine, cache        once, before anything is called
//!                      │         └────► describe, validate-settings
//!                      ▼
//!  Spec, Catalog ──► question ──► module, memo ──► convert ──► call (fuel, time, memory) ──► convert ──► recheck ──► Proposals, …
//! ```
//!
//! The calls block until the module is done: async code runs them on a thread for blocking work.

mod bindings;
mod cache;
mod call;
mod chain;
mod convert;
mod document;
mod engine;
mod error;
#[cfg(test)]
mod fixture;
mod inspect;
pub mod kit;
mod limits;
mod load;
mod memo;
mod module;
mod question;
mod recheck;
mod scripts;
#[cfg(test)]
mod tests;
mod wasi;

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::BoxFuture;

pub use chain::{Bytes, Chain, Planned, Reviewed, Transformed, read_local};
pub use document::{Document, Entry, Mode, Origin};
pub use engine::{Runtime, TICK};
pub use error::{ChainError, Failure, LoadError, NotAComponent, PolicyError, RuntimeError};
pub use inspect::{Inspection, inspect};
pub use limits::Limits;
pub use load::{Description, Wasi};
pub use module::ModuleInfo;
pub use scripts::AllowedScript;

/// Version of the WIT package `rolewright:policy` that this host speaks.
pub const WIT_VERSION: &str = "0.1.0";

/// A function that a module exports to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Says who the module is.
    Describe,
    /// Checks the module's settings.
    ValidateSettings,
    /// Is this spec acceptable?
    Validate,
    /// What should the spec become?
    Transform,
    /// Which changes lead from what is to what should be?
    Plan,
    /// May this plan run?
    Review,
}

impl Stage {
    /// The four that a chain consists of, in the order in which they run.
    pub const CHAIN: [Stage; 4] = [Stage::Validate, Stage::Transform, Stage::Plan, Stage::Review];

    /// The name of the function in `wit/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Describe => "describe",
            Stage::ValidateSettings => "validate-settings",
            Stage::Validate => "validate",
            Stage::Transform => "transform",
            Stage::Plan => "plan",
            Stage::Review => "review",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How loud a module's log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For the module's author.
    Debug,
    /// For whoever reads along.
    Info,
    /// Something is odd.
    Warn,
    /// Something went wrong.
    Error,
}

/// A reviewer's word on a whole plan. The strictest of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The plan may run.
    Allow,
    /// The plan waits for somebody's approval.
    Hold,
    /// The plan does not run.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Allow => "allow",
            Verdict::Hold => "hold",
            Verdict::Deny => "deny",
        })
    }
}

/// All that a module may know of the world around it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Unix seconds. Each module sees it rounded down as it asked in `describe`, or not at all.
    pub now: i64,
    /// `host:port/database` of the server.
    pub target: String,
    /// As `server_version_num` prints it.
    pub server_version: u32,
    /// Whether nothing will be changed, whatever the plan says.
    pub dry_run: bool,
    /// Who receives what a removed role owned.
    pub reassign_owned_to: String,
    /// What the operator tells policies about this server, such as `environment: production`.
    pub labels: BTreeMap<String, String>,
}

/// One call of a module, and what it cost.
#[derive(Debug, Clone, Copy)]
pub struct Called<'a> {
    /// Its name in the chain.
    pub module: &'a str,
    /// What it was asked.
    pub stage: Stage,
    /// Wall-clock time.
    pub seconds: f64,
    /// WebAssembly instructions, roughly.
    pub fuel: u64,
    /// The most bytes that were in its linear memories.
    pub memory: usize,
    /// `ok`, or [`Failure::outcome`].
    pub outcome: &'static str,
}

/// Hears of every call and every log line; how metrics and logs learn of them.
pub trait Observer: Send + Sync {
    /// A call ended.
    fn call(&self, called: &Called<'_>);

    /// A module stood against a spec or a plan: with an error, or with a verdict other than `allow`.
    fn refused(&self, module: &str, stage: Stage);

    /// A module logged a line, already cut to length and free of control characters.
    fn log(&self, module: &str, level: LogLevel, message: &str);
}

/// Where modules come from that a chain names by `oci://`.
pub trait Registry: Send + Sync {
    /// The module's bytes. Who calls compares them with `sha256` of the entry; that they are what the
    /// reference names, and signed as the entry asks, is this one's business.
    ///
    /// # Errors
    ///
    /// [`LoadError::Registry`].
    fn pull<'a>(&'a self, entry: &'a Entry) -> BoxFuture<'a, Result<Bytes, LoadError>>;
}

/// Hears nothing.
struct Silent;

impl Observer for Silent {
    fn call(&self, _called: &Called<'_>) {}
    fn refused(&self, _module: &str, _stage: Stage) {}
    fn log(&self, _module: &str, _level: LogLevel, _message: &str) {}
}
