//! Scripts as people see them: what a step would run, where, and how the text reads in its transaction.

use std::fmt::Write as _;

use serde::Serialize;

use super::View;
use crate::model::Script;
use crate::printable::{counted, name};
use crate::sql::script::{for_psql, statements};

/// What the session that runs a script has set.
const SEARCH_PATH: &str = "SET LOCAL search_path = pg_catalog;";

/// A script in the JSON of its step.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    name: &'a str,
    digest: String,
    statements: usize,
}

impl<'a> View<'a> {
    /// The script that goes by this name; `None`: nobody declared one.
    pub(super) fn script(&self, name: &str) -> Option<&'a Script> {
        self.declared.scripts.get(name)
    }
}

/// For scripts that rely on it.
pub(super) fn shown(script: &Script) -> Shown<'_> {
    Shown { name: &script.name, digest: script.digest(), statements: parts(script).len() }
}

/// On one line.
pub(super) fn in_words(script: &Script) -> String {
    let statements = counted(parts(script).len(), "statement");
    format!(
        "run script {} in database {} ({statements}, {})",
        name(&script.name),
        name(&script.database),
        script.digest()
    )
}

/// The statements, as they are sent. Nothing in them hides: that was looked at when they were read.
pub(super) fn sql(script: &Script) -> String {
    parts(script).join(";\n")
}

/// Writes the script's transaction.
pub(super) fn write(text: &mut String, script: &Script) {
    let _ = writeln!(text, "\n-- script {}, {}\nBEGIN;\n{SEARCH_PATH}", script.name, script.digest());
    for statement in parts(script) {
        let _ = writeln!(text, "{};", for_psql(statement));
    }
    text.push_str("COMMIT;\n");
}

fn parts(script: &Script) -> Vec<&str> {
    // One that cannot be read so was refused when users.yaml was.
    let found = statements(&script.text).unwrap_or_default();
    found.into_iter().filter_map(|at| script.text.get(at)).collect()
}
