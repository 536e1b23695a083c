//! The conformance suite: what a module must do beyond what its author thought of. Each check says
//! one thing; when it fails it tells what was seen and what to do. `contract` looks at the module
//! from outside, `settings` at what it accepts, `stages` at what it answers.

mod contract;
mod settings;
mod stages;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::case::CaseError;
use crate::policy::error::LoadError;
use crate::policy::{Chain, PolicyError, Runtime, Wasi};

/// How much to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only what a build can have broken: the contract, not the answers.
    Contract,
    /// Everything.
    Full,
}

/// What a module is given by whoever takes it into use.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Its settings.
    pub settings: serde_json::Value,
    /// What it may import beside `log`.
    pub wasi: Wasi,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Kebab-case; scripts rely on it.
    pub id: &'static str,
    /// What must hold, in a few words.
    pub what: &'static str,
    /// Whether it does.
    pub outcome: Outcome,
}

/// Whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It does; what is worth knowing, or nothing.
    Passed(String),
    /// It does not.
    Failed {
        /// What was seen, on one or more lines.
        seen: String,
        /// What to do.
        help: String,
    },
    /// It could not be looked at, or there is nothing to look at.
    Skipped(String),
}

/// Why there is nothing to say about a module at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] LoadError),
    /// An input of the suite's own.
    #[error("an input of the suite can't be made: {0}")]
    Input(#[from] CaseError),
    /// The built-in planner, which makes plans for reviewers.
    #[error("the built-in planner failed: {0}")]
    Standard(PolicyError),
}

/// Tries a module.
///
/// # Errors
///
/// Where it can't be read; whatever is wrong with it is in the checks.
pub fn check(
    runtime: &Runtime,
    standard: &Chain,
    file: &Path,
    given: &Given,
    depth: Depth,
) -> Result<Vec<Check>, CheckError> {
    let mut suite = Suite::default();
    let described = contract::contract(runtime, file, given.wasi, &mut suite)?;
    if depth == Depth::Contract {
        return Ok(suite.checks);
    }
    if described {
        settings::settings(runtime, file, given, &mut suite);
        stages::stages(runtime, standard, file, given, &mut suite)?;
    }
    Ok(suite.checks)
}

/// Collects checks.
#[derive(Debug, Default)]
struct Suite {
    checks: Vec<Check>,
}

impl Suite {
    fn add(&mut self, id: &'static str, what: &'static str, outcome: Outcome) {
        self.checks.push(Check { id, what, outcome });
    }
}

fn passed(note: impl Into<String>) -> Outcome {
    Outcome::Passed(note.into())
}

fn failed(seen: impl Into<String>, help: impl Into<String>) -> Outcome {
    Outcome::Failed { seen: seen.into(), help: help.into() }
}
