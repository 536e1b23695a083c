//! `rolewright policy test`: asks a policy about each case of its fixtures, and shows where the answer
//! is another than the expected one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use similar::TextDiff;

use super::super::args::TestArgs;
use super::super::{FAILED, print, told};
use super::{amount, document, mebibytes, milliseconds, project, wasi};
use crate::policy::kit::{self, Answers, Case, Cost, EXPECTED, Subject};
use crate::policy::{Chain, Failure, Runtime};
use crate::printable;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// What became of a case.
enum Outcome {
    Ok,
    Blessed,
    Unchanged,
    Differs(String),
    Failed(String),
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: usize,
    blessed: usize,
    fuel: u64,
    memory: usize,
    seconds: f64,
}

pub(super) fn test(arguments: &TestArgs) -> anyhow::Result<u8> {
    let runtime = super::runtime()?;
    let standard = super::standard(&runtime)?;
    let paint = arguments.color.wanted();
    let mut totals = Totals::default();
    let (directories, names): (Vec<&PathBuf>, Vec<&PathBuf>) = arguments.dirs.iter().partition(|path| path.is_dir());
    let names: Vec<String> = names.iter().map(|name| name.display().to_string()).collect();
    let here = PathBuf::from(".");
    let directories = if directories.is_empty() { vec![&here] } else { directories };
    let mut chosen = Vec::new();
    for directory in directories {
        let cases = kit::find(directory)?;
        chosen.push((directory, cases));
    }
    some(&mut chosen, &names)?;
    for (directory, cases) in chosen {
        let module = project::module(directory, arguments.module.as_deref())?;
        print(&format!("{}  {}\n", directory.display(), colour(paint, DIM, &module.display().to_string())))?;
        if arguments.module.is_none()
            && let Some(source) = project::newer_source(&module)
        {
            let paths = format!("{} is newer than {}", source.display(), module.display());
            eprintln!("warning: {}: run `rolewright policy build` to test what it says now", printable::line(&paths));
        }
        for path in cases {
            let (name, outcome, cost) = one(&runtime, &standard, &module, &path, arguments);
            totals.count(&outcome, cost);
            print(&line(paint, &name, &outcome, cost))?;
        }
    }
    print(&totals.sentence(paint))?;
    Ok(if totals.failed > 0 { FAILED } else { 0 })
}

/// Leaves only the cases of these names; all, if there are no names.
fn some(chosen: &mut Vec<(&PathBuf, Vec<PathBuf>)>, names: &[String]) -> anyhow::Result<()> {
    let known: Vec<String> = chosen.iter().flat_map(|(_, cases)| cases).map(|case| kit::name_of(case)).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        anyhow::bail!("{name:?} is neither a directory nor a case; the cases here are {}", known.join(", "));
    }
    if !names.is_empty() {
        chosen.iter_mut().for_each(|(_, cases)| cases.retain(|case| names.contains(&kit::name_of(case))));
        chosen.retain(|(_, cases)| !cases.is_empty());
    }
    Ok(())
}

fn one(
    runtime: &Runtime,
    standard: &Chain,
    module: &Path,
    path: &Path,
    arguments: &TestArgs,
) -> (String, Outcome, Cost) {
    let name = kit::name_of(path);
    let mut cost = Cost::default();
    let outcome = compare(runtime, standard, module, path, arguments, &mut cost);
    (name, outcome.unwrap_or_else(|error| Outcome::Failed(told(&error))), cost)
}

fn compare(
    runtime: &Runtime,
    standard: &Chain,
    module: &Path,
    path: &Path,
    arguments: &TestArgs,
    cost: &mut Cost,
) -> anyhow::Result<Outcome> {
    let case = Case::read(path)?;
    let subject = Subject::load(runtime, module, &case.settings, wasi(arguments.wasi_stub))?;
    let answers = kit::ask(&subject, standard, &case, None)?;
    *cost = total(&answers);
    let now = document::document(&answers, &case.spec).yaml()?;
    let file = path.join(EXPECTED);
    let expected = match fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{} can't be read", file.display())),
    };
    let comparable = expected.as_deref().map(without_comments);
    if comparable.as_deref().is_some_and(|expected| says_the_same(expected, &now)) {
        return Ok(if arguments.bless { Outcome::Unchanged } else { Outcome::Ok });
    }
    if arguments.bless {
        if let Some(crash) = crash(&answers) {
            anyhow::bail!("nothing is written: {crash}, and a crash is nothing to expect");
        }
        let text = heading(expected.as_deref()) + &now;
        fs::write(&file, text).with_context(|| format!("{} can't be written", file.display()))?;
        return Ok(Outcome::Blessed);
    }
    Ok(Outcome::Differs(match comparable {
        Some(expected) => difference(&expected, &now),
        None => format!("there is no {EXPECTED}; --bless writes what it answers now:\n{now}"),
    }))
}

/// The first stage that gave no answer for which the policy is to blame. That it refuses to do its work, in its own
/// words, may well be what is expected.
fn crash(answers: &Answers) -> Option<String> {
    let failed = [
        answers.validate.as_ref().and_then(|called| called.answer.as_ref().err()),
        answers.transform.as_ref().and_then(|called| called.answer.as_ref().err()),
        answers.validate_again.as_ref().and_then(|called| called.answer.as_ref().err()),
        answers.plan.as_ref().and_then(|called| called.answer.as_ref().err()),
        answers.review.as_ref().and_then(|called| called.answer.as_ref().err()),
    ];
    let crash = failed.into_iter().flatten().find(|error| !matches!(error.kind, Failure::Refused(_)))?;
    Some(format!("in {} {}", crash.stage, crash.kind))
}

/// However it is quoted and indented: an expectation may be written by hand.
fn says_the_same(expected: &str, now: &str) -> bool {
    let read = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).ok();
    expected == now || read(expected).is_some_and(|expected| Some(expected) == read(now))
}

/// Comments are the author's own: they may be anywhere, and stay at the beginning.
fn without_comments(text: &str) -> String {
    let kept = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'));
    kept.fold(String::new(), |text, line| text + line + "\n")
}

fn heading(text: Option<&str>) -> String {
    let lines = text.unwrap_or_default().lines().take_while(|line| line.starts_with('#'));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

fn difference(expected: &str, now: &str) -> String {
    TextDiff::from_lines(expected, now)
        .unified_diff()
        .context_radius(4)
        .header(EXPECTED, "what it answers now")
        .to_string()
}

fn total(answers: &Answers) -> Cost {
    let costs = [
        answers.validate.as_ref().map(|called| called.cost),
        answers.transform.as_ref().map(|called| called.cost),
        answers.validate_again.as_ref().map(|called| called.cost),
        answers.plan.as_ref().map(|called| called.cost),
        answers.review.as_ref().map(|called| called.cost),
    ];
    costs.into_iter().flatten().fold(Cost::default(), |sum, cost| Cost {
        fuel: sum.fuel + cost.fuel,
        seconds: sum.seconds + cost.seconds,
        memory: sum.memory.max(cost.memory),
    })
}

fn line(paint: bool, name: &str, outcome: &Outcome, cost: Cost) -> String {
    let (style, word) = match outcome {
        Outcome::Ok => (GREEN, "ok"),
        Outcome::Unchanged => (GREEN, "as before"),
        Outcome::Blessed => (GREEN, "blessed"),
        Outcome::Differs(_) => (RED, "differs"),
        Outcome::Failed(_) => (RED, "failed"),
    };
    let mut text = format!("  {} {:<32}", colour(paint, style, &format!("{word:<9}")), printable::line(name));
    if !matches!(outcome, Outcome::Failed(_)) {
        let _ = write!(text, " {}", colour(paint, DIM, &super::cost(cost)));
    }
    text = format!("{}\n", text.trim_end());
    if let Outcome::Differs(why) | Outcome::Failed(why) = outcome {
        for line in why.lines() {
            let style = match line.chars().next() {
                Some('+') => GREEN,
                Some('-') => RED,
                Some('@') => DIM,
                _ => "",
            };
            let _ = writeln!(text, "      {}", colour(paint, style, &printable::line(line)));
        }
    }
    text
}

fn colour(paint: bool, style: &str, text: &str) -> String {
    if paint && !style.is_empty() { format!("{style}{text}{RESET}") } else { text.to_owned() }
}

impl Totals {
    fn count(&mut self, outcome: &Outcome, cost: Cost) {
        match outcome {
            Outcome::Ok | Outcome::Unchanged => self.passed += 1,
            Outcome::Blessed => self.blessed += 1,
            Outcome::Differs(_) | Outcome::Failed(_) => self.failed += 1,
        }
        self.fuel += cost.fuel;
        self.seconds += cost.seconds;
        self.memory = self.memory.max(cost.memory);
    }

    fn sentence(&self, paint: bool) -> String {
        let all = self.passed + self.failed + self.blessed;
        let mut words = Vec::new();
        let mut word = |count: usize, style: &str, word: &str| {
            if count > 0 {
                words.push(colour(paint, style, &format!("{count} {word}")));
            }
        };
        word(self.passed, GREEN, "as expected");
        word(self.blessed, GREEN, "written");
        word(self.failed, RED, "not as expected");
        let cases = if all == 1 { "1 case".to_owned() } else { format!("{all} cases") };
        format!(
            "{cases}: {}; {} fuel, at most {}, {} in the module\n",
            words.join(", "),
            amount(self.fuel),
            mebibytes(self.memory),
            milliseconds(self.seconds)
        )
    }
}
