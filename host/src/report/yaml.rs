//! YAML for people, as far as a status and an imported users.yaml need it: block style, no more quotes than it takes, and
//! nothing that could do harm to a terminal. Reading is left to a library.

use std::fmt::Write as _;

use crate::printable::is_hazard;

/// Words that are no text where they stand alone: <https://yaml.org/type/bool.html>, and null.
const NOT_TEXT: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"];

/// A scalar that reads back as this text: plain where that is safe, else in double quotes.
pub(crate) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// The same within brackets or braces, where commas and the like have a meaning, too; or as a key.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/' | '@');
    if text.chars().all(is_plain) { scalar(text) } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    // Numbers and dates begin with a digit, everything that YAML gives a meaning to with a sign.
    text.starts_with(char::is_alphabetic)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains(is_hazard)
        && text.chars().all(|letter| letter == ' ' || !letter.is_whitespace())
        && !NOT_TEXT.contains(&text.to_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        let code = u32::from(letter);
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if letter == ' ' || !(is_hazard(letter) || letter.is_whitespace() || is_nothing(code)) => {
                quoted.push(letter);
            }
            _ if code > 0xffff => {
                let _ = write!(quoted, "\\U{code:08x}");
            }
            _ => {
                let _ = write!(quoted, "\\u{code:04x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Code points that are no characters, which YAML does not take as they are.
fn is_nothing(code: u32) -> bool {
    code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
}

/// A mapping, line by line.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    text: String,
    /// What the first line begins with, and all others.
    indent: &'static str,
}

impl Mapping {
    pub(super) fn new() -> Mapping {
        Mapping::default()
    }

    /// One that is an item of a list.
    pub(super) fn item() -> Mapping {
        Mapping { text: String::new(), indent: "  " }
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.line(key, &scalar(value));
    }

    pub(super) fn maybe(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    pub(super) fn number(&mut self, key: &str, value: usize) {
        self.line(key, &value.to_string());
    }

    /// A value that is as it must be.
    pub(super) fn raw(&mut self, key: &str, value: &str) {
        self.line(key, value);
    }

    /// A list on one line.
    pub(super) fn list<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        let values: Vec<String> = values.map(word).collect();
        self.line(key, &format!("[{}]", values.join(", ")));
    }

    fn line(&mut self, key: &str, value: &str) {
        let begin = if self.text.is_empty() && !self.indent.is_empty() { "- " } else { self.indent };
        let _ = writeln!(self.text, "{begin}{}: {value}", scalar(key));
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_reads_as_text_stands_without_quotes() {
        for text in ["Synced", "db:5432/postgres", "größe", "it's", "a, b and c", "kubectl x=y"] {
            assert_eq!(scalar(text), text);
        }
        for text in ["", "True", "no", "123", "1e5", "2026-11-24", "- a", "a: b", "a #b", "a:", "a ", "#", "*x", "'"] {
            assert_eq!(scalar(text), format!("\"{text}\""), "{text}");
        }
        assert_eq!(scalar("a\u{202e}\u{e0001}\n\"\\"), r#""a\u202e\U000e0001\n\"\\""#);
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back_and_harms_no_terminal(
            pairs in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            list in prop::collection::vec("\\PC{0,8}|[a-z~:,\\[\\]{} #-]{0,6}", 0..4),
        ) {
            let mut mapping = Mapping::new();
            for (key, value) in &pairs {
                mapping.text(key, value);
            }
            let text = mapping.into_text();
            prop_assert!(!text.replace('\n', "").contains(is_hazard));
            let read: std::collections::BTreeMap<String, String> =
                if pairs.is_empty() { Default::default() } else { serde_saphyr::from_str(&text).unwrap() };
            prop_assert_eq!(read, pairs);

            let mut mapping = Mapping::new();
            mapping.list("modules", list.iter().map(String::as_str));
            let read: std::collections::BTreeMap<String, Vec<String>> = serde_saphyr::from_str(&mapping.into_text()).unwrap();
            prop_assert_eq!(&read["modules"], &list);
        }
    }
}
