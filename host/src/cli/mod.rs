//! The command line: arguments in, exit code out, no logic. One file for each command.
//!
//! Exit codes: 0, all is well; 1, something went wrong; 2, changes are pending (only `plan
//! --exit-code`); 3, a policy or the guard refuses or holds the plan.

mod access;
mod apply;
pub mod args;
mod import;
mod modules;
mod plan;
mod policy;
mod registry;
mod run;
mod setup;
mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use self::args::Command;
use crate::reconcile::Verdict;
use crate::spec;

/// Something went wrong.
const FAILED: u8 = 1;
/// `plan --exit-code`: there is something to do.
const PENDING: u8 = 2;
/// A policy or the guard says no, or not yet.
const REFUSED: u8 = 3;

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let environment = |name: &str| std::env::var_os(name);
    let command = match args::parse(&arguments, &environment) {
        Ok(cli) => cli.command,
        Err(error) => {
            // Nowhere to complain to, if even that fails.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    let result = match command {
        Command::Plan(arguments) => setup::runtime().and_then(|runtime| runtime.block_on(plan::plan(*arguments))),
        Command::Apply(arguments) => setup::runtime().and_then(|runtime| runtime.block_on(apply::apply(*arguments))),
        Command::Run(arguments) => setup::runtime().and_then(|runtime| runtime.block_on(run::run(*arguments))),
        Command::Import(arguments) => setup::runtime().and_then(|runtime| runtime.block_on(import::import(*arguments))),
        Command::WhoCan(arguments) => {
            setup::runtime().and_then(|runtime| runtime.block_on(access::who_can(*arguments)))
        }
        Command::Explain(arguments) => {
            setup::runtime().and_then(|runtime| runtime.block_on(access::explain(*arguments)))
        }
        Command::Status(arguments) => setup::runtime().and_then(|runtime| runtime.block_on(status::status(arguments))),
        Command::Policy(arguments) => policy::policy(arguments.command),
        Command::Schema => {
            print!("{}", spec::schema::text());
            Ok(0)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut args::command(), "rolewright", &mut std::io::stdout());
            Ok(0)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("rolewright: {}", told(&error));
            ExitCode::from(FAILED)
        }
    }
}

/// An error with its causes. Some tell their cause themselves; nothing is said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        so_far if so_far.contains(&cause) => told,
        so_far => format!("{so_far}: {cause}"),
    })
}

/// The exit code of a judged plan, as far as the judgement goes.
fn code_of(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Pass(_) => 0,
        _ => REFUSED,
    }
}

/// Prints to standard output. A reader that has gone away (`rolewright plan | head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
