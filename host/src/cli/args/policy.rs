//! The arguments of `rolewright policy`: for those who write policies, and those who look at one.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Color, PullArgs, PushArgs};
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
    /// Start a policy of your own: a project that builds at once
    New(NewArgs),
    /// Build the project into dist/NAME.wasm
    Build(BuildArgs),
    /// Compare what a policy answers in each case of its fixtures with what is expected
    Test(TestArgs),
    /// Does a module keep the contract? Everything that an author could have overlooked is tried
    Check(CheckArgs),
    /// Time, fuel and memory of each stage, by number of users
    Bench(BenchArgs),
    /// Ask one stage of a module, and show what it answers
    Run(RunArgs),
    /// Name, version, stages, WIT version, imports, digest and size, without trusting the module
    Inspect {
        /// A WebAssembly component
        file: PathBuf,
    },
    /// Put a module into a registry, and print the reference to name it by in a chain
    Push(PushArgs),
    /// Get a module out of a registry
    Pull(PullArgs),
}

/// `rolewright policy new`.
#[derive(Debug, Clone, Args)]
pub struct NewArgs {
    /// Name of the policy, in kebab-case
    pub name: String,
    /// Language to write it in: rust, js, python or go
    #[arg(long, value_name = "LANGUAGE")]
    pub lang: String,
    /// Directory to make [default: NAME]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `rolewright policy build`.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Directory of the project
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

/// `rolewright policy test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = TEST_HELP)]
pub struct TestArgs {
    /// Projects, directories of fixtures or single cases [default: .]; what is no directory picks by name
    #[arg(value_name = "DIR|CASE")]
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
    /// Give the module an empty WASI, as `wasi: stub` in a chain does
    #[arg(long)]
    pub wasi_stub: bool,
}

/// `rolewright policy check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// A WebAssembly component; or a chain document, of which every module is loaded
    pub file: PathBuf,
    /// Its settings, in YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// text or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: TextFormat,
    /// Give the module an empty WASI, as `wasi: stub` in a chain does
    #[arg(long)]
    pub wasi_stub: bool,
}

/// `rolewright policy bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// A WebAssembly component, or a chain document: then each stage is that of the whole chain
    pub file: PathBuf,
    /// Its settings, in YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Numbers of users
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,1000,10000,100000")]
    pub users: Vec<usize>,
    /// text or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: TextFormat,
    /// Give the module an empty WASI, as `wasi: stub` in a chain does
    #[arg(long)]
    pub wasi_stub: bool,
    /// Keep compiled modules there and take them from there, as the controller does [default: compile anew]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
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
    /// Give the module an empty WASI, as `wasi: stub` in a chain does
    #[arg(long)]
    pub wasi_stub: bool,
}

const TEST_HELP: &str = "\
A case is a directory with users.yaml, and settings.yaml, catalog.yaml, secrets.yaml and context.yaml where it
needs them; expected.yaml beside them is written by --bless and read by you. Of a project, the cases are in
fixtures/. Exit codes: 0, every case is as expected; 1, one is not.";

const RUN_HELP: &str = "\
What the module logs goes to standard error. Exit codes: 0, it answered; 1, it failed.";

/// How findings about a module are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

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
