//! `rolewright policy`: for those who write policies. One file for each command; what a module is
//! asked, and under which limits, is the business of `policy::kit`.

mod bench;
mod build;
mod check;
mod document;
mod inspect;
mod new;
mod project;
mod run;
mod template;
mod test;
mod words;

use std::path::{Path, PathBuf};

use super::args::PolicyCommand;
use super::registry;
use super::setup;
use crate::policy::kit::{self, Cost};
use crate::policy::{Chain, Limits, Runtime, Stage, Wasi};

pub(super) fn policy(command: PolicyCommand) -> anyhow::Result<u8> {
    match command {
        PolicyCommand::Test(arguments) => test::test(&arguments),
        PolicyCommand::Check(arguments) => check::check(&arguments),
        PolicyCommand::Bench(arguments) => bench::bench(&arguments),
        PolicyCommand::New(arguments) => new::new(&arguments),
        PolicyCommand::Build(arguments) => build::build(&arguments),
        PolicyCommand::Run(arguments) => run::run(&arguments),
        PolicyCommand::Inspect { file } => inspect::inspect(&file),
        PolicyCommand::Push(arguments) => setup::runtime()?.block_on(registry::push(arguments)),
        PolicyCommand::Pull(arguments) => setup::runtime()?.block_on(registry::pull(arguments)),
    }
}

/// What modules run on here: as in production, limits included.
fn runtime() -> anyhow::Result<Runtime> {
    runtime_with(None)
}

/// The same with a cache of compiled modules.
fn runtime_with(cache_directory: Option<PathBuf>) -> anyhow::Result<Runtime> {
    Ok(setup::with_builtins(Runtime::new(Limits::default(), cache_directory)?))
}

/// The chain of the built-in policy: who plans where the module does not.
fn standard(runtime: &Runtime) -> anyhow::Result<Chain> {
    Ok(Chain::load(runtime, None)?)
}

/// Settings from a file, or none.
fn settings(file: Option<&Path>) -> anyhow::Result<serde_json::Value> {
    Ok(file.map(kit::settings).transpose()?.unwrap_or_default())
}

/// Whether a file is a chain document, and not a module. What is meant for a module by itself has no place there.
fn is_chain(file: &Path, settings: Option<&Path>, wasi_stub: bool) -> anyhow::Result<bool> {
    let is_chain = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let stray = if settings.is_some() { "--settings" } else { "--wasi-stub" };
    anyhow::ensure!(
        !(is_chain && (settings.is_some() || wasi_stub)),
        "{} is a chain document, and has `settings` and `wasi` for each of its modules: leave {stray} out",
        file.display()
    );
    Ok(is_chain)
}

/// The stages of a module, for people.
fn stages(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>().join(", ")
}

fn wasi(stub: bool) -> Wasi {
    if stub { Wasi::Stub } else { Wasi::None }
}

/// `1.2 M fuel, 1.1 MiB, 0.4 ms`.
fn cost(cost: Cost) -> String {
    format!("{} fuel, {}, {}", amount(cost.fuel), mebibytes(cost.memory), milliseconds(cost.seconds))
}

/// 1,234 as `1.2 k`, and so on.
fn amount(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match UNITS.iter().find(|(unit, _)| number >= *unit) {
        Some((unit, letter)) => format!("{:.1} {letter}", number as f64 / *unit as f64),
        None => number.to_string(),
    }
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn milliseconds(seconds: f64) -> String {
    match seconds * 1_000.0 {
        small if small < 10.0 => format!("{small:.2} ms"),
        large => format!("{large:.0} ms"),
    }
}
