//! Text from outside (names, comments, messages of policies) made safe to show: what could move the
//! cursor, change colours or turn the reading direction is shown as an escape. Quoting for SQL is
//! done elsewhere.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character does something to a terminal or a page instead of being seen: control
/// characters, invisible ones, and those that turn the reading direction
/// (<https://www.unicode.org/reports/tr9/>, <https://trojansource.codes>).
pub fn is_hazard(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `1 user`, `3 users`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The text on one line, hazards as `\n`, `\t` or `\u{202e}`.
pub fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hazard) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            hazard if is_hazard(hazard) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(hazard));
            }
            plain => shown.push(plain),
        }
    }
    Cow::Owned(shown)
}

/// A name among words: bare where it reads as one word, else in double quotes, on one line.
pub fn name(name: &str) -> Cow<'_, str> {
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '@' | '$' | '+');
    if !name.is_empty() && name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("\"{}\"", line(&name.replace('\\', "\\\\").replace('"', "\\\""))))
}

/// JSON text in which the hazards that JSON itself lets through are `\u` escapes. They can only
/// stand inside its strings, so the value stays the same.
pub fn json(text: String) -> String {
    let let_through = |letter: char| letter > '\u{7e}' && is_hazard(letter);
    if !text.contains(let_through) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if let_through(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_repaint_a_terminal_is_spelled_out() {
        assert_eq!(line("a\u{1b}[2Jb\nc\u{202e}d\u{9b}1m"), "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}1m");
        assert_eq!(line("größe 大小"), "größe 大小");
    }

    #[test]
    fn a_name_that_is_not_one_word_is_quoted() {
        assert_eq!(name("read_only"), "read_only");
        assert_eq!(name("bob, 2 users"), "\"bob, 2 users\"");
        assert_eq!(name("x\n+ user root"), "\"x\\n+ user root\"");
        assert_eq!(name(r#""; DROP ROLE postgres; --"#), r#""\"; DROP ROLE postgres; --""#);
        assert_eq!(name(""), "\"\"");
    }

    #[test]
    fn json_keeps_its_value() {
        for text in ["a\u{202e}b\u{7f}\u{9b}", "\u{e0001}", "plain"] {
            let shown = json(serde_json::to_string(text).unwrap());
            assert!(!shown.contains(is_hazard), "{shown}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
