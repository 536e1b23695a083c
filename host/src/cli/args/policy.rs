//! The arguments of `rolewright policy`: for those who write policies, and those who look at one.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Color;
use crate::policy::Stage;

/// `rolewright policy`.
#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The commands about policies.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Compare what a policy answers in each case of its fixtures with what is expected
    Test(TestArgs),
    /// Ask one stage of a module, and show what it answers
    Run(RunArgs),
    /// Name, version, stages, WIT version, imports, digest and size, without trusting the module
    Inspect {
        /// A WebAssembly component
        file: PathBuf,
    },
}

/// `rolewright policy test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = TEST_HELP)]
pub struct TestArgs {
    /// Projects, directories of fixtures or single cases; what is no directory picks cases by name
    #[arg(required = true, value_name = "DIR|CASE")]
    pub dirs: Vec<PathBuf>,
    /// The module to ask [default: what `policy build` made of the project]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Write what the module answers into expected.yaml
    #[arg(long)]
    pub bless: bool,
    /// Colours: auto, always or never
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
}

/// `rolewright policy run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// A WebAssembly component
    pub file: PathBuf,
    /// validate, transform, plan or review
    #[arg(value_enum, hide_possible_values = true)]
    pub stage: AskedStage,
    /// A case (a directory with users.yaml), or users.yaml alone
    #[arg(long, value_name = "DIR|FILE")]
    pub input: PathBuf,
    /// Its settings, in YAML or JSON [default: those of the case]
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// What the server holds [default: that of the case]
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// yaml or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "yaml", hide_possible_values = true)]
    pub format: AnswerFormat,
}

const TEST_HELP: &str = "\
A case is a directory with users.yaml, and settings.yaml, catalog.yaml, secrets.yaml and context.yaml where it
needs them; expected.yaml beside them is written by --bless and read by you. Of a project, the cases are in
fixtures/. Exit codes: 0, every case is as expected; 1, one is not.";

const RUN_HELP: &str = "\
What the module logs goes to standard error. Exit codes: 0, it answered; 1, it failed.";

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// For people.
    Yaml,
    /// For scripts.
    Json,
}

/// A stage that can be asked by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum AskedStage {
    Validate,
    Transform,
    Plan,
    Review,
}

impl From<AskedStage> for Stage {
    fn from(stage: AskedStage) -> Stage {
        match stage {
            AskedStage::Validate => Stage::Validate,
            AskedStage::Transform => Stage::Transform,
            AskedStage::Plan => Stage::Plan,
            AskedStage::Review => Stage::Review,
        }
    }
}
