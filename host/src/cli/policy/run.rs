//! `rolewright policy run`: one question to one stage of a module, and its answer.

use super::super::args::{AnswerFormat, PolicyRunArgs};
use super::super::{FAILED, print};
use super::{document, wasi};
use crate::policy::kit::{self, Answers, Case, Line, Subject};
use crate::policy::{LogLevel, Stage};
use crate::printable;

pub(super) fn run(arguments: &PolicyRunArgs) -> anyhow::Result<u8> {
    let stage = Stage::from(arguments.stage);
    let mut case = if arguments.input.is_dir() {
        let case = Case::read(&arguments.input)?;
        match &arguments.catalog {
            Some(catalog) => case.with_catalog(catalog)?,
            None => case,
        }
    } else {
        Case::of_users(&arguments.input, arguments.catalog.as_deref())?
    };
    if let Some(settings) = &arguments.settings {
        case.settings = kit::settings(settings)?;
    }
    let runtime = super::runtime()?;
    let subject = Subject::load(&runtime, &arguments.file, &case.settings, wasi(arguments.wasi_stub))?;
    if !subject.has(stage) {
        let stages: Vec<&str> = subject.info().stages.iter().map(|stage| stage.as_str()).collect();
        anyhow::bail!("{} does not export {stage}; it exports {}", arguments.file.display(), stages.join(", "));
    }
    let answers = kit::ask(&subject, &super::standard(&runtime)?, &case, Some(stage))?;
    let (log, failed) = heard(&answers);
    for line in log {
        eprintln!("{}: {}", word(line.level), printable::line(&line.message));
    }
    let document = document::document(&answers, &case.spec);
    print(&match arguments.format {
        AnswerFormat::Yaml => document.yaml()?,
        AnswerFormat::Json => document.json()?,
    })?;
    Ok(if failed { FAILED } else { 0 })
}

/// What was logged, and whether a stage failed.
fn heard(answers: &Answers) -> (Vec<Line>, bool) {
    let mut log = Vec::new();
    let mut failed = false;
    macro_rules! hear {
        ($($called:expr),*) => {
            $(if let Some(called) = &$called {
                log.extend(called.log.iter().cloned());
                failed |= called.answer.is_err();
            })*
        };
    }
    hear!(answers.validate, answers.transform, answers.validate_again, answers.plan, answers.review);
    (log, failed)
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
