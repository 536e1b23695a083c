//! What is said about users.yaml, and how it reads: like a compiler's message, with the file, the
//! line, a caret under the place, and the next step. Judging is done elsewhere.

use std::fmt;

use crate::model::Severity;

/// The longest part of a line that is shown, in characters.
const MAX_WIDTH: usize = 160;

/// Something to say about users.yaml, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// A stable kebab-case word for the rule.
    pub code: String,
    /// RFC 6901 pointer into users.yaml.
    pub path: String,
    /// One sentence: what is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The policy that said so; `None`: the host.
    pub policy: Option<String>,
    /// The manifest that holds users.yaml.
    pub file: String,
    /// Line, from 1: of the file, or of the text alone where `exact` is false.
    pub line: usize,
    /// Column in characters, from 1; likewise.
    pub column: usize,
    /// Whether line and column are those of the file.
    pub exact: bool,
    /// The line itself, where it can be shown.
    pub source: Option<SourceLine>,
}

/// A line as it is shown: on one line, without comments and without values that could be a
/// password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// The line.
    pub text: String,
    /// Number of characters in front of the caret.
    pub caret: usize,
    /// Number of characters that are underlined, at least one.
    pub width: usize,
}

impl SourceLine {
    /// Takes a line, cut around the caret where it is long.
    pub(crate) fn new(line: &str, caret: usize, width: usize) -> Self {
        let length = line.chars().count();
        if length <= MAX_WIDTH {
            return SourceLine { text: line.trim_end().to_owned(), caret, width };
        }
        let from = caret.saturating_sub(MAX_WIDTH / 2);
        let mut text = String::from(if from > 0 { "…" } else { "" });
        text.extend(line.chars().skip(from).take(MAX_WIDTH));
        if from + MAX_WIDTH < length {
            text.push('…');
        }
        let caret = caret - from + usize::from(from > 0);
        SourceLine { text, caret, width: width.min(MAX_WIDTH / 2) }
    }
}

impl Diagnostic {
    /// `file:line:column`, or the words for it where the position is that of the text alone.
    pub fn place(&self) -> String {
        if self.exact {
            format!("{}:{}:{}", self.file, self.line, self.column)
        } else {
            format!("line {}, column {} in users.yaml of {}", self.line, self.column, self.file)
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}[{}]: {}", self.place(), self.severity, self.code, self.message)?;
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        if let Some(source) = &self.source {
            let (indent, carets) = (" ".repeat(source.caret), "^".repeat(source.width));
            write!(f, "\n{gutter} |\n{number} | {}\n{gutter} | {indent}{carets}", source.text)?;
        }
        if let Some(policy) = &self.policy {
            write!(f, "\n{gutter} = policy: {policy}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let source = SourceLine::new(&line, 1000, 500);
        assert_eq!(source.text.chars().count(), MAX_WIDTH + 2);
        assert_eq!(source.text.chars().nth(source.caret), Some('X'));
        assert_eq!(source.width, MAX_WIDTH / 2);
    }
}
