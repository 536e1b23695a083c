//! What can go wrong with a policy, as types: the engine, a module that can't be taken into use, a
//! chain document, and a call that fails. Each message says what was tried, on which module, why it
//! failed and what to do next; nothing here decides what becomes of the cycle.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Stage;
use crate::model::Finding;

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// wasmtime refuses its configuration on this machine.
    #[error("the WebAssembly engine could not be set up on this machine: {0}")]
    Engine(String),
    /// Without its clock no deadline would hold.
    #[error("the thread that keeps the policies' deadlines could not be started: {0}; raise the limit on threads")]
    Ticker(std::io::Error),
}

/// A module that can't be taken into use. The message names the module only where the caller's
/// sentence cannot; [`ChainError::Module`] does.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("{} can't be read: {reason}", path.display())]
    Read {
        /// The file, as the host looked for it.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// A file of this size is a mistake, or an attack.
    #[error("it has {size} bytes, more than the {limit} that a module may have")]
    TooLarge {
        /// Bytes of the file.
        size: u64,
        /// Bytes that are read at most.
        limit: u64,
    },
    /// No module of this name is built in.
    #[error("no policy named `{name}` is built in; there {}", match available.as_slice() {
        [] => "is none".to_owned(),
        [one] => format!("is `{one}`"),
        many => format!("are `{}`", many.join("`, `")),
    })]
    NoSuchBuiltin {
        /// The name asked for.
        name: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// The bytes are not those that the chain document pins.
    #[error(
        "its sha256 is {found}, not {expected} as the chain document says; \
         if the new module is meant, put its digest there, else restore the module"
    )]
    Digest {
        /// As pinned.
        expected: String,
        /// As computed.
        found: String,
    },
    /// The file is not on this machine, and whoever asked looks nowhere else.
    #[error("it does not lie on this machine, and is not fetched here")]
    Elsewhere,
    /// The ConfigMap does not hold the module.
    #[error(
        "the ConfigMap has no key `{key}` in `binaryData`; {}",
        if found.is_empty() { "it has none at all there".to_owned() } else { format!("it has: {}", found.join(", ")) }
    )]
    NotInConfigMap {
        /// The key.
        key: String,
        /// Those that there are.
        found: Vec<String>,
    },
    /// The registry could not be asked, or does not give the module.
    #[error("{message}")]
    Registry {
        /// What was tried, why it failed, and what to do.
        message: String,
        /// Whether a little later it may well go.
        transient: bool,
    },
    /// Not a component.
    #[error("{0}")]
    NotAComponent(NotAComponent),
    /// Neither valid nor supported.
    #[error("it is no valid WebAssembly component: {0}; build it again with current tools")]
    Compile(String),
    /// Its compilation would take more memory than there is.
    #[error(
        "one of its functions has {size} bytes, more than the {limit} that one may have: the compiler would take too much memory"
    )]
    FunctionTooLarge {
        /// Bytes of the function.
        size: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// It wants more of the world than `log`.
    #[error("{}", missing_import(import))]
    Import {
        /// The import, such as `wasi:cli/environment@0.2.0`.
        import: String,
    },
    /// It was built against another version of the contract.
    #[error("{}", another_version(module))]
    Version {
        /// The version that it speaks.
        module: String,
    },
    /// The contract asks for more than it exports.
    #[error(
        "it does not export `rolewright:policy/{interface}@{}`, which every policy does: \
         build it against one of the worlds in wit/worlds.wit",
        super::WIT_VERSION
    )]
    Export {
        /// `describe` or `configure`.
        interface: &'static str,
    },
    /// It exports no stage.
    #[error(
        "it exports none of the stages validate, transform, plan, review in version {} of the contract, so it has \
         nothing to do: build it against one of the worlds in wit/worlds.wit",
        super::WIT_VERSION
    )]
    NoStage,
    /// An interface by a name of the contract, with other types.
    #[error("its interface `{interface}` is not the one in wit/: {reason}; build it against the files in wit/")]
    Type {
        /// Such as `plan`.
        interface: String,
        /// What differs.
        reason: String,
    },
    /// It has no say on what it is.
    #[error("it describes itself wrongly: {0}")]
    Description(String),
    /// `describe` or `validate-settings` failed.
    #[error(transparent)]
    Call(#[from] PolicyError),
}

fn another_version(module: &str) -> String {
    let ours = super::WIT_VERSION;
    let parse = |version: &str| semver::Version::parse(version).ok();
    let newer = parse(module).zip(parse(ours)).is_some_and(|(module, ours)| module > ours);
    let advice = if newer {
        "update Rolewright, or build the module again against the files in wit/ of this release"
    } else {
        "build the module again against the files in wit/ of this release, or take a newer build of it"
    };
    format!(
        "it was built against version {module} of the contract rolewright:policy, and this host speaks {ours}: {advice}"
    )
}

fn missing_import(import: &str) -> String {
    let advice = if import.starts_with("wasi:") {
        "a policy has no WASI (no clock, no random numbers, no files, no network): build it for wasm32-unknown-unknown, \
         or stub WASI out (componentize-py -s, componentize-qjs --stub-wasi)"
    } else {
        "a policy may import nothing but the functions of `rolewright:policy/log`"
    };
    format!("it imports `{import}`, which the host does not give; {advice}")
}

/// What was found where a component should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAComponent {
    /// A core WebAssembly module.
    CoreModule,
    /// WebAssembly text.
    Text,
    /// Machine code made by wasmtime.
    Precompiled,
    /// Nothing at all.
    Empty,
    /// Something else.
    Unknown,
}

impl fmt::Display for NotAComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAComponent::CoreModule => {
                "it is a core WebAssembly module, not a component: make one from it with `wasm-tools component new`"
            }
            NotAComponent::Text => "it is WebAssembly text, not a component: assemble it with `wasm-tools parse`",
            NotAComponent::Precompiled => {
                "it is machine code made by wasmtime, which is never run from a file that others made: \
                 give the component that it was compiled from"
            }
            NotAComponent::Empty => "the file is empty, where a WebAssembly component should be",
            NotAComponent::Unknown => "it is not WebAssembly: give a component, which starts with the bytes 0061 736d",
        })
    }
}

impl ChainError {
    /// Whether a little later it may well go.
    pub fn is_transient(&self) -> bool {
        matches!(self, ChainError::Module { source, .. } if matches!(**source, LoadError::Registry { transient: true, .. }))
    }
}

/// A chain that can't be taken into use. The chain before it stays.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The chain document can't be read.
    #[error("the policy chain {} can't be read: {reason}; POLICIES names this file", path.display())]
    Read {
        /// The document.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The chain document says something that can't be.
    #[error("{}{}: {message}", path.display(), at(*line, *column))]
    Document {
        /// The document.
        path: PathBuf,
        /// Counted from 1; 0 where unknown.
        line: u64,
        /// Counted from 1; 0 where unknown.
        column: u64,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A module of the chain can't be taken into use.
    #[error("{place}policy `{name}` ({module}): {source}")]
    Module {
        /// `file:line:column: `, or empty for the built-in chain.
        place: String,
        /// Its name in the chain.
        name: String,
        /// What the document calls the module.
        module: String,
        /// Why.
        #[source]
        source: Box<LoadError>,
    },
    /// A module does not accept its settings.
    #[error("{place}policy `{name}` does not accept its settings: {}", sentences(findings))]
    Settings {
        /// `file:line:column: `, or empty for the built-in chain.
        place: String,
        /// Its name in the chain.
        name: String,
        /// What it says; at least one is an error.
        findings: Vec<Finding>,
    },
    /// Only what says yes or no can be tried out.
    #[error(
        "{place}policy `{name}` exports `{stage}`, and `mode: warn` is for modules that only validate or review: what it \
         does cannot be done on trial; leave `mode` out"
    )]
    NotOnTrial {
        /// `file:line:column: `.
        place: String,
        /// Its name in the chain.
        name: String,
        /// `transform` or `plan`.
        stage: Stage,
    },
    /// Only a planner orders scripts.
    #[error(
        "{place}policy `{name}` has `allowScripts`, and makes no plan: write it at the planner, the one that exports `plan`"
    )]
    ScriptsElsewhere {
        /// `file:line:column: `.
        place: String,
        /// Its name in the chain.
        name: String,
    },
    /// Nobody makes the plan.
    #[error(
        "{place}no policy of the chain exports `plan`, so nothing would ever be done: add `{{name: standard, module: \
         builtin:standard}}`, or another planner"
    )]
    NoPlanner {
        /// `file: `, or empty for the built-in chain.
        place: String,
    },
    /// More than one makes the plan.
    #[error(
        "{place}the policies `{}` all export `plan`, and a chain has exactly one planner: keep one of them",
        names.join("`, `")
    )]
    SeveralPlanners {
        /// `file: `.
        place: String,
        /// Their names, in the order of the chain.
        names: Vec<String>,
    },
}

fn at(line: u64, column: u64) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

fn sentences(findings: &[Finding]) -> String {
    let sentence = |finding: &Finding| {
        let path = if finding.path.is_empty() { String::new() } else { format!(" at {}", finding.path) };
        let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}{path}: {}{help}", finding.code, finding.message)
    };
    findings.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

/// A call of a module that failed. Nothing that the module said in it counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy `{module}` (version {version}, sha256 {sha256}) failed in {stage}: {kind}")]
pub struct PolicyError {
    /// The module's name in the chain.
    pub module: String,
    /// The version that it gives itself; `unknown` before it could say.
    pub version: Box<str>,
    /// The first twelve digits of the module's sha256.
    pub sha256: Box<str>,
    /// What it was asked to do.
    pub stage: Stage,
    /// What went wrong.
    pub kind: Failure,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It ran more instructions than its input allows.
    OutOfFuel {
        /// What it had.
        budget: u64,
    },
    /// It took more time than its input allows.
    Timeout {
        /// What it had.
        deadline: Duration,
    },
    /// It asked for more memory than its input allows.
    OutOfMemory {
        /// What it may have, in bytes.
        limit: usize,
    },
    /// It returned more than its input allows.
    TooMuchOutput {
        /// What there is too much of: `bytes`, `steps`, `findings`.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// It crashed.
    Trap {
        /// What the engine says.
        reason: String,
        /// The last thing that the module logged as an error in this call.
        last_words: Option<String>,
    },
    /// It says that it could not do its work.
    Refused(String),
    /// What it returned breaks the contract.
    BadOutput(String),
}

impl Failure {
    /// A word for metrics and logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Failure::OutOfFuel { .. } => "out-of-fuel",
            Failure::Timeout { .. } => "timeout",
            Failure::OutOfMemory { .. } => "out-of-memory",
            Failure::TooMuchOutput { .. } => "too-much-output",
            Failure::Trap { .. } => "trap",
            Failure::Refused(_) => "refused",
            Failure::BadOutput(_) => "bad-output",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::OutOfFuel { budget } => write!(
                f,
                "it used up its {budget} units of fuel, which is what an input of this size allows; \
                 it loops, or does far too much for each role: tell its author"
            ),
            Failure::Timeout { deadline } => write!(
                f,
                "it was stopped after {:.1} s, which is what an input of this size allows; is this machine overloaded? \
                 If not, tell its author",
                deadline.as_secs_f64()
            ),
            Failure::OutOfMemory { limit } => write!(
                f,
                "it asked for more than {} MiB of memory, which is what an input of this size allows; tell its author",
                limit >> 20
            ),
            Failure::TooMuchOutput { what, limit } => {
                write!(f, "it returned more than {limit} {what}, which is what an input of this size allows; ")?;
                f.write_str("tell its author")
            }
            Failure::Trap { reason, last_words } => {
                write!(f, "it crashed: {reason}")?;
                if let Some(words) = last_words {
                    write!(f, "; its last words: {words}")?;
                }
                f.write_str("; tell its author")
            }
            Failure::Refused(message) => write!(f, "it could not do its work: {message}"),
            Failure::BadOutput(what) => {
                write!(f, "what it returned breaks the contract: {what}; tell its author")
            }
        }
    }
}
