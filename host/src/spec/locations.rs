//! Where things stand: the text of users.yaml within the manifest that carries it, lines and
//! columns of its bytes, and the way from a JSON pointer to them. What is wrong there is said
//! elsewhere.

use std::ops::Range;
use std::sync::OnceLock;

use super::diagnostics::{Diagnostic, SourceLine};
use super::yaml::{self, Kind, Node, Problem};
use crate::model::{Finding, Severity};

/// The text of the key `users.yaml`, and where it sits in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The manifest, as people should see it: a path, or the name of an object in a cluster.
    pub file: String,
    /// The text itself.
    pub text: String,
    /// Number of lines of the file in front of the text's first.
    pub line_offset: usize,
    /// Number of characters of the file in front of each line of the text.
    pub column_offset: usize,
    /// Whether the two offsets lead to the right place. A folded or quoted text has other lines
    /// than the file; then positions are those within the text, and say so.
    pub exact: bool,
}

impl Document {
    /// A text that is the whole file.
    pub fn plain(file: impl Into<String>, text: impl Into<String>) -> Self {
        Document { file: file.into(), text: text.into(), line_offset: 0, column_offset: 0, exact: true }
    }
}

/// Line and column, both counted from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// Where each line of a text begins. Lines end as YAML has it: LF, CR LF, or CR alone.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(at + 1);
            }
        }
        Lines { starts }
    }

    pub(crate) fn position(&self, text: &str, offset: usize) -> Position {
        let index = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(index).copied().unwrap_or(0);
        let column = text.get(start..offset).map_or(0, |before| before.chars().count());
        Position { line: index + 1, column: column + 1 }
    }

    /// The bytes of the line that holds `offset`, without its end.
    pub(crate) fn line(&self, text: &str, offset: usize) -> Range<usize> {
        let index = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(index).copied().unwrap_or(0);
        let end = self.starts.get(index + 1).copied().unwrap_or(text.len());
        let kept = text.get(start..end).map_or(0, |line| line.trim_end_matches(['\n', '\r']).len());
        start..start + kept
    }
}

/// From JSON pointers into users.yaml to the place in the file: for findings, which know only the
/// pointer.
#[derive(Debug, Clone)]
pub struct Locations {
    document: Document,
    lines: Lines,
    /// Made when somebody asks for a place, which is seldom: it is ten times as large as the text.
    /// `None` where the text cannot be read as YAML.
    tree: OnceLock<Option<Node>>,
    /// What is never shown, in order and apart: comments, and values that could be a password.
    hidden: Vec<Range<usize>>,
    /// No line is shown at all: nobody knows what is what in it.
    opaque: bool,
}

impl Locations {
    pub(crate) fn new(document: Document) -> Self {
        let lines = Lines::new(&document.text);
        Locations { document, lines, tree: OnceLock::new(), hidden: Vec::new(), opaque: false }
    }

    /// Keeps these bytes out of every diagnostic.
    pub(crate) fn hide(&mut self, mut ranges: Vec<Range<usize>>) {
        ranges.append(&mut self.hidden);
        ranges.sort_by_key(|range| range.start);
        for range in ranges {
            match self.hidden.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => self.hidden.push(range),
            }
        }
    }

    pub(crate) fn hide_all(&mut self) {
        self.opaque = true;
    }

    /// The document that this is about.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The position of the value that an RFC 6901 pointer names, or of its nearest ancestor that
    /// exists: line and column of the file, or of the text where those are not known
    /// ([`Document::exact`]).
    pub fn position(&self, pointer: &str) -> Position {
        self.place(self.range(pointer).start)
    }

    /// Gives a finding its place in the file.
    pub fn locate(&self, finding: &Finding) -> Diagnostic {
        let mut diagnostic = self.diagnostic(self.range(&finding.path), finding.severity, &finding.code, &finding.path);
        diagnostic.message.clone_from(&finding.message);
        diagnostic.help.clone_from(&finding.help);
        diagnostic.policy.clone_from(&finding.policy);
        diagnostic
    }

    pub(crate) fn explain(&self, problem: Problem) -> Diagnostic {
        let mut diagnostic = self.diagnostic(problem.start..problem.end, Severity::Error, problem.code, &problem.path);
        diagnostic.message = match problem.first.map(|first| self.place(first)) {
            Some(first) => {
                format!("{}; the first is at line {}, column {}", problem.message, first.line, first.column)
            }
            None => problem.message,
        };
        diagnostic.help = problem.help;
        diagnostic
    }

    fn diagnostic(&self, at: Range<usize>, severity: Severity, code: &str, path: &str) -> Diagnostic {
        let Position { line, column } = self.place(at.start);
        Diagnostic {
            severity,
            code: code.to_owned(),
            path: path.to_owned(),
            message: String::new(),
            help: None,
            policy: None,
            file: self.document.file.clone(),
            line,
            column,
            exact: self.document.exact,
            source: self.source_line(at),
        }
    }

    fn place(&self, offset: usize) -> Position {
        let mut position = self.lines.position(&self.document.text, offset);
        if self.document.exact {
            position.line += self.document.line_offset;
            position.column += self.document.column_offset;
        }
        position
    }

    /// The bytes of what a pointer names, as far as it leads.
    pub(crate) fn range(&self, pointer: &str) -> Range<usize> {
        let tree = self.tree.get_or_init(|| yaml::read(&self.document.text).ok()?.documents.into_iter().next());
        let Some(mut node) = tree.as_ref() else { return 0..0 };
        let mut range = node.range();
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::Sequence(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
                Kind::Mapping(_) => node.get(&part),
                _ => None,
            };
            let Some(next) = next else { break };
            node = next;
            range = node.range();
        }
        range
    }

    /// The line that `at` begins in, with what is hidden replaced by an ellipsis.
    fn source_line(&self, at: Range<usize>) -> Option<SourceLine> {
        if self.opaque {
            return None;
        }
        let line = self.lines.line(&self.document.text, at.start);
        let text = self.document.text.get(line.clone())?;
        let indent = if self.document.exact { self.document.column_offset } else { 0 };
        let mut shown = " ".repeat(indent);
        let mut length = indent;
        let (mut caret, mut width) = (None, 0);
        let mut covered = false;
        for (offset, letter) in text.char_indices().map(|(offset, letter)| (line.start + offset, letter)) {
            let hides = self.is_hidden(offset);
            if offset >= at.start && caret.is_none() {
                caret = Some(length);
            }
            if !(hides && covered) {
                shown.push(if hides { '…' } else { printable(letter) });
                length += 1;
                width += usize::from(at.contains(&offset));
            }
            covered = hides;
        }
        Some(SourceLine::new(&shown, caret.unwrap_or(length), width.max(1)))
    }

    fn is_hidden(&self, offset: usize) -> bool {
        let after = self.hidden.partition_point(|range| range.start <= offset);
        after.checked_sub(1).is_some_and(|last| self.hidden[last].contains(&offset))
    }
}

/// Characters that move the cursor or turn the direction of the line would put the caret, or the
/// reader, in the wrong place.
fn printable(letter: char) -> char {
    match letter {
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_in_yaml() {
        let text = "a\nbb\r\nccc\rdéd";
        let lines = Lines::new(text);
        let at = |needle| {
            let position = lines.position(text, text.find(needle).unwrap());
            (position.line, position.column)
        };
        assert_eq!((at("a"), at("bb"), at("ccc"), at("dé")), ((1, 1), (2, 1), (3, 1), (4, 1)));
        assert_eq!(lines.position(text, text.len()), Position { line: 4, column: 4 });
        assert_eq!(&text[lines.line(text, 3)], "bb");
    }

    #[test]
    fn a_pointer_leads_to_its_value_or_to_the_nearest_ancestor() {
        let text = "users:\n  - username: alice\n    roles: [a, b]\n    x/y: 1\n";
        let locations =
            Locations::new(Document { line_offset: 10, column_offset: 4, ..Document::plain("m.yaml", text) });
        let at = |pointer| {
            let position = locations.position(pointer);
            (position.line, position.column)
        };
        assert_eq!(at("/users/0/roles/1"), (13, 20));
        assert_eq!(at("/users/0/roles/7"), (13, 16), "no such role: the list");
        assert_eq!(at("/users/0/secret/name"), (12, 9), "no secret: the user");
        assert_eq!(at("/users/0/x~1y"), (14, 14));
        assert_eq!(at(""), (11, 5));
    }
}
