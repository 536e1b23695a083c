//! `rolewright policy inspect`: a look at a module, without trusting it.

use std::fmt::Write as _;
use std::path::Path;

use super::super::{FAILED, print};
use crate::policy::{Inspection, Limits, Runtime, inspect as look};
use crate::printable;

pub(super) fn inspect(file: &Path) -> anyhow::Result<u8> {
    let runtime = Runtime::new(Limits::inspection(), None)?;
    let inspection = look(&runtime, file)?;
    print(&text(file, &inspection))?;
    Ok(if inspection.problem.is_some() { FAILED } else { 0 })
}

fn text(file: &Path, inspection: &Inspection) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<13}{}", printable::line(value));
    };
    row("file", &file.display().to_string());
    if let Some(description) = &inspection.description {
        row("name", &description.name);
        row("version", &description.version);
        row("summary", &description.summary);
    }
    let listed = |words: &[&str]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let stages: Vec<&str> = inspection.stages.iter().map(|stage| stage.as_str()).collect();
    let imports: Vec<&str> = inspection.imports.iter().map(String::as_str).collect();
    row("stages", &listed(&stages));
    row("WIT version", inspection.wit_version.as_deref().unwrap_or("none"));
    row("imports", &listed(&imports));
    row("sha256", &inspection.sha256);
    row("size", &format!("{} bytes", inspection.size));
    if let Some(problem) = &inspection.problem {
        row("problem", &problem.to_string());
    }
    text
}
