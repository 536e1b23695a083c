//! `rolewright policy check`: the conformance suite, one line for each check, and what to do where one
//! fails; of a chain document, whether it can be taken into use.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::args::{CheckArgs, TextFormat};
use super::super::{FAILED, print};
use super::wasi;
use crate::policy::kit::{self, Check, Depth, Given, Outcome};
use crate::policy::{Chain, ModuleInfo};
use crate::printable;

pub(super) fn check(arguments: &CheckArgs) -> anyhow::Result<u8> {
    if super::is_chain(&arguments.file, arguments.settings.as_deref(), arguments.wasi_stub)? {
        return chain(arguments);
    }
    let settings = super::settings(arguments.settings.as_deref())?;
    let runtime = super::runtime()?;
    let standard = super::standard(&runtime)?;
    let given = Given { settings, wasi: wasi(arguments.wasi_stub) };
    let checks = kit::check(&runtime, &standard, &arguments.file, &given, Depth::Full)?;
    print(&match arguments.format {
        TextFormat::Text => text(&checks),
        TextFormat::Json => json_text(&checks)?,
    })?;
    Ok(if failures(&checks) > 0 { FAILED } else { 0 })
}

/// A chain document is good if it can be taken into use; what its modules are worth, each one's check says.
fn chain(arguments: &CheckArgs) -> anyhow::Result<u8> {
    let chain = Chain::load(&super::runtime()?, Some(&arguments.file))?;
    print(&match arguments.format {
        TextFormat::Text => {
            let mut text = format!("{:<20} {:<9} {:<8} {:<26} {}\n", "policy", "version", "mode", "stages", "sha256");
            for module in chain.modules() {
                // Writing to a String does not fail.
                let _ = writeln!(
                    text,
                    "{:<20} {:<9} {:<8} {:<26} {}",
                    printable::line(&module.name).to_string(),
                    printable::line(&module.version).to_string(),
                    module.mode.as_str(),
                    super::stages(&module.stages),
                    module.sha256
                );
            }
            text + "every module fits the contract and accepts its settings\n"
        }
        TextFormat::Json => {
            let module = |module: &ModuleInfo| {
                let stages: Vec<&str> = module.stages.iter().map(|stage| stage.as_str()).collect();
                json!({
                    "name": module.name,
                    "version": module.version,
                    "mode": module.mode.as_str(),
                    "stages": stages,
                    "sha256": module.sha256,
                })
            };
            let modules: Vec<Value> = chain.modules().map(module).collect();
            let document = json!({ "chain": chain.digest(), "policies": modules });
            printable::json(serde_json::to_string_pretty(&document)?) + "\n"
        }
    })?;
    Ok(0)
}

pub(super) fn failures(checks: &[Check]) -> usize {
    checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed { .. })).count()
}

pub(super) fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { id, what, outcome } in checks {
        let (mark, note) = match outcome {
            Outcome::Passed(note) => ("ok", note.as_str()),
            Outcome::Failed { .. } => ("FAILED", ""),
            Outcome::Skipped(why) => ("-", why.as_str()),
        };
        let note = if note.is_empty() { String::new() } else { format!("  ({})", printable::line(note)) };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{mark:<7}{id:<17} {what}{note}");
        if let Outcome::Failed { seen, help } = outcome {
            for line in seen.lines() {
                let _ = writeln!(text, "       {}", printable::line(line));
            }
            let _ = writeln!(text, "       help: {help}");
        }
    }
    let failed = failures(checks);
    let skipped = checks.iter().filter(|check| matches!(check.outcome, Outcome::Skipped(_))).count();
    let passed = checks.len() - failed - skipped;
    let _ =
        writeln!(text, "{} checks: {passed} passed, {failed} failed, {skipped} with nothing to look at", checks.len());
    text
}

fn json_text(checks: &[Check]) -> anyhow::Result<String> {
    let one = |check: &Check| -> Value {
        let mut entry = json!({ "id": check.id, "what": check.what });
        let (outcome, fields) = match &check.outcome {
            Outcome::Passed(note) => ("passed", json!({ "note": note })),
            Outcome::Failed { seen, help } => ("failed", json!({ "seen": seen, "help": help })),
            Outcome::Skipped(why) => ("skipped", json!({ "why": why })),
        };
        entry["outcome"] = outcome.into();
        if let (Value::Object(entry), Value::Object(fields)) = (&mut entry, fields) {
            entry.extend(fields);
        }
        entry
    };
    let checks: Vec<Value> = checks.iter().map(one).collect();
    Ok(printable::json(serde_json::to_string_pretty(&json!({ "checks": checks }))?) + "\n")
}
