//! `scripts:` of users.yaml: custom SQL by name, in the file itself or in a key beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::diagnostics::Diagnostic;
use super::names::{list, secret_key_problem};
use super::parse::{Parsed, Reader};
use super::yaml::{Kind, Node, Problem};
use crate::model::{Finding, Run, Script, Severity, is_script_name};
use crate::sql::script::{self, MAX_BYTES, Unfit};

pub(super) const SCRIPT_KEYS: [&str; 5] = ["name", "database", "sql", "file", "run"];
/// What the name of a file ends in: no other key of the ConfigMap, and no other file, is ever read as SQL.
const SUFFIX: &str = ".sql";
/// As many as one file declares. Several may name the same file, so that the size of users.yaml bounds no sum of texts.
pub(super) const MAX_SCRIPTS: usize = 100;
const EXAMPLE: &str = "a mapping such as `{name: audit_trigger, database: shop, file: audit.sql}`";

/// Scripts by name.
pub type Scripts = BTreeMap<String, Script>;

impl Parsed {
    /// The files that hold the text of a script.
    pub fn files(&self) -> BTreeSet<String> {
        self.scripts.values().filter_map(|script| script.file.clone()).collect()
    }

    /// Puts in the texts of the files.
    ///
    /// # Errors
    /// What is wrong with them, at the place that names them.
    pub fn read_files(&mut self, files: &BTreeMap<String, String>) -> Result<(), Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        for script in self.scripts.values_mut() {
            let Some(file) = &script.file else { continue };
            let problem = match files.get(file) {
                None => Some((
                    "unknown-file",
                    format!("there is no {file:?} for script {:?}", script.name),
                    "put it beside users.yaml: as another key of the ConfigMap's `data`, or as a file in SOURCE_DIR"
                        .to_owned(),
                )),
                Some(text) => text_problem(text).map(|(code, message, help)| {
                    (code, format!("{file:?} of script {:?} {message}", script.name), help)
                }),
            };
            match problem {
                None => script.text = files.get(file).cloned().unwrap_or_default(),
                Some((code, message, help)) => {
                    wrong
                        .push(Finding::new(Severity::Error, code, format!("{}/file", script.path), message).help(help));
                }
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.iter().map(|finding| self.locations.locate(finding)).collect())
        }
    }
}

/// What keeps a text from being run: code, the end of a sentence, and what to do.
fn text_problem(text: &str) -> Option<(&'static str, String, String)> {
    if text.len() > MAX_BYTES {
        let message = format!("has {} bytes, and a script has {MAX_BYTES} at most", text.len());
        return Some(("script-too-long", message, "make several of it".to_owned()));
    }
    match script::statements(text) {
        Ok(found) if found.is_empty() => {
            Some(("empty-script", "holds no statement".to_owned(), "write one, or take the script out".to_owned()))
        }
        Ok(_) => None,
        Err(Unfit { line, message, help }) => {
            Some(("unfit-script", format!("cannot run: its line {line} {message}"), help.to_owned()))
        }
    }
}

impl Reader {
    /// Reads the list.
    pub(super) fn declared_scripts(&mut self, node: &Node) -> Scripts {
        let mut scripts = Scripts::new();
        let Kind::Sequence(items) = &node.kind else {
            self.hidden.push(node.range());
            self.wrong_type(node, "/scripts", "`scripts`", "a list of scripts, or left out");
            return scripts;
        };
        if items.len() > MAX_SCRIPTS {
            let message = format!("there are {} scripts, and {MAX_SCRIPTS} at most are run", items.len());
            let problem = Problem::new(node.start..node.start, "too-many-scripts", "/scripts".to_owned(), message);
            self.report(problem.help("put several into one; each of its statements still has its line"));
            return scripts;
        }
        let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
        for (order, item) in items.iter().enumerate() {
            let path = format!("/scripts/{order}");
            let Kind::Mapping(entries) = &item.kind else {
                self.hidden.push(item.range());
                self.wrong_type(item, &path, "a script", EXAMPLE);
                continue;
            };
            if let Some(text) = item.get("sql") {
                // Nobody knows what it holds, and it is long.
                self.hidden.push(text.range());
            }
            let Some((name, at)) = self.script_name(item, &path) else { continue };
            let who = format!("script {name:?}");
            self.unknown_keys(entries, &path, &who, &SCRIPT_KEYS);
            let database = match item.get("database") {
                Some(value) => self.name(value, &format!("{path}/database"), "database name"),
                None => {
                    self.missing(
                        item,
                        &path,
                        format!("{who} without `database`"),
                        "say where it runs: `database: shop`",
                    );
                    None
                }
            };
            let run = item.get("run").map_or(Run::Once, |value| self.run_word(value, &path, &who));
            let text = self.script_text(item, &path, &who);
            if let Some(first) = places.get(&name) {
                let message = format!("{who} is declared twice");
                let problem = Problem::new(at, "duplicate-script", format!("{path}/name"), message);
                self.report(problem.help("give each a name of its own").first(first.start));
                continue;
            }
            places.insert(name.clone(), at);
            let (Some(database), Some((file, text))) = (database, text) else { continue };
            scripts.insert(name.clone(), Script { name, database, run, file, text, order, path });
        }
        scripts
    }

    fn missing(&mut self, item: &Node, path: &str, message: String, help: &str) {
        let problem = Problem::new(item.start..item.start, "missing-key", path.to_owned(), message);
        self.report(problem.help(help));
    }

    fn script_name(&mut self, item: &Node, path: &str) -> Option<(String, Range<usize>)> {
        let Some(value) = item.get("name") else {
            self.missing(item, path, "a script without `name`".to_owned(), "name it, such as `name: audit_trigger`");
            return None;
        };
        let path = format!("{path}/name");
        let name = self.words(value, &path, "the name of a script")?;
        if !is_script_name(name) {
            let message = format!("{name:?} is no name for a script");
            let help = "a name is a lower-case letter, and up to 62 more, digits, `_` and `-`";
            self.report(Problem::new(value.range(), "script-name", path, message).help(help));
            return None;
        }
        Some((name.to_owned(), value.range()))
    }

    fn run_word(&mut self, value: &Node, path: &str, who: &str) -> Run {
        let known = Run::WORDS.iter().find(|(word, _)| value.text() == Some(word));
        if known.is_none() {
            let words: Vec<&str> = Run::WORDS.iter().map(|(word, _)| *word).collect();
            let message = format!("`run` of {who} is none of {}", list(&words));
            let help = "`once`: when its text changes; `on_change`: after every plan that changes something, too";
            self.report(Problem::new(value.range(), "unknown-run", format!("{path}/run"), message).help(help));
        }
        known.map(|(_, run)| *run).unwrap_or_default()
    }

    /// The file that holds the text, or the text.
    fn script_text(&mut self, item: &Node, path: &str, who: &str) -> Option<(Option<String>, String)> {
        match (item.get("sql"), item.get("file")) {
            (Some(_), Some(file)) => {
                let message = format!("{who} has both `sql` and `file`");
                let problem = Problem::new(file.range(), "sql-and-file", format!("{path}/file"), message);
                self.report(problem.help("keep one of them"));
                None
            }
            (None, None) => {
                let help = "write `sql: |` and the text below, or `file: audit.sql`";
                self.missing(item, path, format!("{who} without `sql` or `file`"), help);
                None
            }
            (Some(sql), None) => {
                let path = format!("{path}/sql");
                let Some(text) = sql.text() else {
                    self.wrong_type(sql, &path, &format!("`sql` of {who}"), "text: `sql: |`, and SQL below");
                    return None;
                };
                if let Some((code, message, help)) = text_problem(text) {
                    let problem = Problem::new(sql.start..sql.start, code, path, format!("`sql` of {who} {message}"));
                    self.report(problem.help(help));
                    return None;
                }
                Some((None, text.to_owned()))
            }
            (None, Some(file)) => {
                let path = format!("{path}/file");
                let name = self.words(file, &path, "the name of a file")?;
                if secret_key_problem(name).is_some() || name.starts_with('.') || !name.ends_with(SUFFIX) {
                    let message = format!("{name:?} is no file for {who}");
                    let help = "name a key of the same ConfigMap, or a file beside it: letters, digits, `-`, `_` and \
                                `.`, with `.sql` at the end";
                    self.report(Problem::new(file.range(), "script-file", path, message).help(help));
                    return None;
                }
                Some((Some(name.to_owned()), String::new()))
            }
        }
    }
}

#[cfg(test)]
#[path = "scripts_tests.rs"]
mod tests;
