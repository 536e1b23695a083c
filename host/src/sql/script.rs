//! A script in statements, as PostgreSQL's own scanner would end them
//! (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>, `scan.l`; for bodies in SQL, `psqlscan.l`), and
//! what cannot be part of one: anything that begins or ends its transaction, data for COPY, commands of psql, passwords.
//!
//! It is the first of three layers. Each statement is then sent by itself, and the server takes no two in one; and
//! before the commit the transaction must still be the one that was begun.

use std::ops::Range;

use crate::printable::is_hazard;

/// Bytes of one script.
pub const MAX_BYTES: usize = 256 * 1024;

/// Why a text cannot run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Line of the script, from 1.
    pub line: usize,
    /// What is there, as the end of a sentence that begins with "line 3 ".
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

/// Words that begin what begins or ends a transaction, or a part of one.
const TRANSACTION: [&str; 9] =
    ["begin", "commit", "end", "rollback", "abort", "start", "savepoint", "release", "prepare"];

/// The statements of a script, without the semicolons and the comments between them.
///
/// # Errors
/// What it holds that no script can.
pub fn statements(text: &str) -> Result<Vec<Range<usize>>, Unfit> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    if let Some((at, letter)) = hazard(text) {
        let message = format!(
            "holds the character U+{:04X}, which is not seen, or shows the line otherwise than it runs",
            u32::from(letter)
        );
        return Err(unfit(text, at, message, "write it as an escape, such as U&'\\200B' in a literal"));
    }
    let mut statements = Vec::new();
    let mut open: Option<Open> = None;
    while let Some(token) = scanner.next() {
        let statement = open.get_or_insert_with(|| Open::new(token.at.start));
        if token.kind == Kind::Semicolon {
            // One that stands alone is an empty statement.
            if statement.ends_here() {
                statements.extend(statement.end.map(|end| statement.start..end));
                open = None;
            }
            continue;
        }
        statement.take(text, &token)?;
    }
    statements.extend(open.and_then(|last| last.end.map(|end| last.start..end)));
    Ok(statements)
}

/// A statement of a script as psql is to be given it. Outside of quotes and comments it would put a variable for `:NAME`,
/// as in `a[1:PORT]`; a space behind the colon is nothing to the server.
pub fn for_psql(statement: &str) -> String {
    let mut scanner = Scanner { text: statement, bytes: statement.as_bytes(), at: 0 };
    let (mut safe, mut written) = (String::with_capacity(statement.len()), 0);
    while let Some(token) = scanner.next() {
        if statement.as_bytes().get(token.at.clone()) != Some(b":") {
            continue;
        }
        match scanner.peek(0) {
            // A cast.
            Some(b':') => scanner.at += 1,
            Some(next) if begins_a_word(next) || next.is_ascii_digit() || matches!(next, b'\'' | b'"' | b'{') => {
                safe.push_str(&statement[written..token.at.end]);
                safe.push(' ');
                written = token.at.end;
            }
            _ => {}
        }
    }
    safe.push_str(&statement[written..]);
    safe
}

/// Line of a place in the text, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

fn unfit(text: &str, at: usize, message: String, help: &'static str) -> Unfit {
    Unfit { line: line_of(text, at), message, help }
}

/// What a reader would not see. A carriage return is part of a line's end.
fn hazard(text: &str) -> Option<(usize, char)> {
    let is_plain = |at: usize, letter: char| match letter {
        '\n' | '\t' => true,
        '\r' => text[at + 1..].starts_with('\n'),
        other => !is_hazard(other),
    };
    text.char_indices().find(|(at, letter)| !is_plain(*at, *letter))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A constant in quotes or dollars.
    Text,
    Semicolon,
    OpenParenthesis,
    CloseParenthesis,
    /// Outside of quotes it means something to psql only.
    Backslash,
    Other,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

/// A statement that has begun.
struct Open {
    start: usize,
    /// Behind its last token.
    end: Option<usize>,
    /// Its first words, up to anything else, in lower case.
    first: Vec<String>,
    is_begun: bool,
    parentheses: usize,
    /// `BEGIN ATOMIC` and `CASE` that wait for their `END`.
    blocks: usize,
    /// The word before, if it was one.
    before: Option<String>,
}

/// As many words as tell what a statement is: `CREATE OR REPLACE FUNCTION`.
const FIRST: usize = 4;

impl Open {
    fn new(start: usize) -> Open {
        Open { start, end: None, first: Vec::new(), is_begun: false, parentheses: 0, blocks: 0, before: None }
    }

    fn ends_here(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn take(&mut self, text: &str, token: &Token) -> Result<(), Unfit> {
        let word =
            (token.kind == Kind::Word).then(|| text.get(token.at.clone()).unwrap_or_default().to_ascii_lowercase());
        if self.end.is_none() {
            self.start = token.at.start;
        }
        self.end = Some(token.at.end);
        match token.kind {
            Kind::OpenParenthesis => self.parentheses += 1,
            Kind::CloseParenthesis => self.parentheses = self.parentheses.saturating_sub(1),
            Kind::Backslash => {
                let message = "holds a backslash outside of quotes: a command of psql is no SQL".to_owned();
                return Err(unfit(
                    text,
                    token.at.start,
                    message,
                    "leave it out; the server reads the script, not psql",
                ));
            }
            Kind::Text if self.before.as_deref() == Some("password") => {
                let message = "holds a password".to_owned();
                let help = "a ConfigMap is no place for one: declare the user, and name its Secret";
                return Err(unfit(text, token.at.start, message, help));
            }
            _ => {}
        }
        if let Some(word) = &word {
            self.word(text, token.at.start, word)?;
        } else {
            self.is_begun = true;
        }
        self.before = word;
        Ok(())
    }

    fn word(&mut self, text: &str, at: usize, word: &str) -> Result<(), Unfit> {
        if self.first.is_empty() && !self.is_begun && TRANSACTION.contains(&word) {
            // PREPARE name AS is a statement like others.
            if word != "prepare" {
                return Err(transaction(text, at, word));
            }
        }
        if self.first.len() == 1 && !self.is_begun && self.first[0] == "prepare" && word == "transaction" {
            return Err(transaction(text, at, "prepare transaction"));
        }
        let before = self.before.as_deref();
        if self.first.first().is_some_and(|first| first == "copy") && self.parentheses == 0 {
            let no_data = match (before, word) {
                (Some("from"), "stdin") => Some("STDIN"),
                (Some("to"), "stdout") => Some("STDOUT"),
                _ => None,
            };
            if let Some(which) = no_data {
                let message = format!("copies by {which}, and nobody is at the other end");
                return Err(unfit(text, at, message, "write INSERT … VALUES, or COPY with a file of the server's"));
            }
        }
        if self.makes_a_routine() && self.parentheses == 0 {
            match word {
                "atomic" if before == Some("begin") => self.blocks += 1,
                "case" if self.blocks > 0 => self.blocks += 1,
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        if !self.is_begun && self.first.len() < FIRST {
            self.first.push(word.to_owned());
        } else {
            self.is_begun = true;
        }
        Ok(())
    }

    fn makes_a_routine(&self) -> bool {
        let words: Vec<&str> = self.first.iter().map(String::as_str).collect();
        let kind = match words.as_slice() {
            ["create", "or", "replace", kind, ..] | ["create", kind, ..] => *kind,
            _ => return false,
        };
        matches!(kind, "function" | "procedure")
    }
}

fn transaction(text: &str, at: usize, word: &str) -> Unfit {
    let message =
        format!("begins with {}: a script runs in one transaction, which is not its own", word.to_uppercase());
    unfit(
        text,
        at,
        message,
        "leave it out; what is to fail by itself goes into a script of its own, or a DO block with EXCEPTION",
    )
}

/// Tokens, as far as it takes to see where statements end. What is not closed goes on to the end of the text; the server
/// says so.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

fn begins_a_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn goes_on_in_a_word(byte: u8) -> bool {
    begins_a_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<Token> {
        self.skip();
        let start = self.at;
        let first = self.peek(0)?;
        let kind = match first {
            b';' => self.single(Kind::Semicolon),
            b'(' => self.single(Kind::OpenParenthesis),
            b')' => self.single(Kind::CloseParenthesis),
            b'\\' => self.single(Kind::Backslash),
            b'\'' => self.constant(1, false),
            b'e' | b'E' if self.peek(1) == Some(b'\'') => self.constant(2, true),
            b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if self.peek(1) == Some(b'\'') => self.constant(2, false),
            b'u' | b'U' if self.peek(1) == Some(b'&') && self.peek(2) == Some(b'\'') => self.constant(3, false),
            b'u' | b'U' if self.peek(1) == Some(b'&') && self.peek(2) == Some(b'"') => {
                self.at += 3;
                self.until(b'"');
                Kind::Other
            }
            b'"' => {
                self.at += 1;
                self.until(b'"');
                Kind::Other
            }
            b'$' => self.dollar(),
            byte if begins_a_word(byte) => {
                self.all(goes_on_in_a_word);
                Kind::Word
            }
            byte if byte.is_ascii_digit() => {
                // `1e5`, `0x1F`, `1_000`; but a dollar after a number begins another token.
                self.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                Kind::Other
            }
            _ => self.single(Kind::Other),
        };
        Some(Token { kind, at: start..self.at })
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    fn all(&mut self, belongs: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&belongs) {
            self.at += 1;
        }
    }

    /// White space and comments.
    fn skip(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.all(|byte| !matches!(byte, b'\n' | b'\r')),
                (Some(b'/'), Some(b'*')) => self.comment(),
                _ => return,
            }
        }
    }

    /// Comments of this kind are nested.
    fn comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// To behind the closing quote. One that is doubled belongs to the text; it reads as two texts side by side.
    fn until(&mut self, quote: u8) {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == quote {
                if self.peek(0) != Some(quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    /// A constant in single quotes, with those that continue it on later lines.
    fn constant(&mut self, opening: usize, escapes: bool) -> Kind {
        self.at += opening;
        loop {
            while let Some(byte) = self.peek(0) {
                self.at += 1;
                match byte {
                    b'\\' if escapes => self.at += 1,
                    b'\'' if self.peek(0) == Some(b'\'') => self.at += 1,
                    b'\'' => break,
                    _ => {}
                }
            }
            self.at = self.at.min(self.bytes.len());
            match self.continuation() {
                Some(at) => self.at = at,
                None => return Kind::Text,
            }
        }
    }

    /// Behind the quote that opens the next part, if one follows behind white space with a line's end in it. Only
    /// comments to the end of a line may stand between.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut is_new_line = false;
        loop {
            match (self.bytes.get(at)?, self.bytes.get(at + 1)) {
                (b'\n' | b'\r', _) => {
                    is_new_line = true;
                    at += 1;
                }
                (b' ' | b'\t' | 0x0b | 0x0c, _) => at += 1,
                (b'-', Some(b'-')) => {
                    at += self.bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
                }
                (b'\'', _) if is_new_line => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// `$tag$ … $tag$`, or a parameter, or a dollar.
    fn dollar(&mut self) -> Kind {
        let rest = &self.text[self.at + 1..];
        let length = rest.bytes().take_while(|byte| goes_on_in_a_word(*byte) && *byte != b'$').count();
        let is_tag = rest.bytes().next().is_some_and(|byte| begins_a_word(byte) || byte == b'$')
            && rest.as_bytes().get(length) == Some(&b'$');
        if !is_tag {
            self.at += 1;
            self.all(|byte| byte.is_ascii_digit());
            return Kind::Other;
        }
        let tag = &self.text[self.at..self.at + length + 2];
        let body = self.at + tag.len();
        self.at = self.text[body..].find(tag).map_or(self.bytes.len(), |end| body + end + tag.len());
        Kind::Text
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
