//! The model's types as the contract's, and back. Only this file and the two below it know both;
//! what they mean is written in `wit/`. Going out, nothing is cloned. Coming in, text that people
//! will read is made safe to print, and what can't be a value of the model is an error.

mod incoming;
mod outgoing;

use std::fmt::Write;

pub(super) use incoming::{Incoming, is_kebab_case, level, verdict};
pub(super) use outgoing::{Lists, View, context, labels, rounded};

use super::bindings::rolewright::policy::types as wit;
use crate::model;

/// Bytes of a finding's message, of a reason, or of any other text for people.
pub(super) const MAX_TEXT: usize = 4_096;

/// Text of a module, fit for a terminal and a log: line breaks become spaces, other control
/// characters and those that turn the direction of writing are spelled out, and the whole is cut to
/// `limit` bytes.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut piece = String::new();
    let room = limit.saturating_sub('…'.len_utf8());
    for character in text.trim().chars() {
        piece.clear();
        match character {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => piece.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // Writing to a String does not fail.
                let _ = write!(piece, "{}", character.escape_unicode());
            }
            character if character.is_control() => {
                let _ = write!(piece, "{}", character.escape_unicode());
            }
            character => piece.push(character),
        }
        if out.len() + piece.len() > room {
            out.push('…');
            break;
        }
        out.push_str(&piece);
    }
    out
}

/// Each flag of the model beside its twin of the contract, so that no order of bits is relied on.
const ATTRIBUTES: [(model::Attributes, wit::Attributes); 7] = [
    (model::Attributes::LOGIN, wit::Attributes::LOGIN),
    (model::Attributes::SUPERUSER, wit::Attributes::SUPERUSER),
    (model::Attributes::CREATEDB, wit::Attributes::CREATEDB),
    (model::Attributes::CREATEROLE, wit::Attributes::CREATEROLE),
    (model::Attributes::INHERIT, wit::Attributes::INHERIT),
    (model::Attributes::REPLICATION, wit::Attributes::REPLICATION),
    (model::Attributes::BYPASSRLS, wit::Attributes::BYPASSRLS),
];

/// As [`ATTRIBUTES`].
const PRIVILEGES: [(model::Privileges, wit::Privileges); 15] = [
    (model::Privileges::SELECT, wit::Privileges::SELECT),
    (model::Privileges::INSERT, wit::Privileges::INSERT),
    (model::Privileges::UPDATE, wit::Privileges::UPDATE),
    (model::Privileges::DELETE, wit::Privileges::DELETE),
    (model::Privileges::TRUNCATE, wit::Privileges::TRUNCATE),
    (model::Privileges::REFERENCES, wit::Privileges::REFERENCES),
    (model::Privileges::TRIGGER, wit::Privileges::TRIGGER),
    (model::Privileges::MAINTAIN, wit::Privileges::MAINTAIN),
    (model::Privileges::USAGE, wit::Privileges::USAGE),
    (model::Privileges::CREATE, wit::Privileges::CREATE),
    (model::Privileges::CONNECT, wit::Privileges::CONNECT),
    (model::Privileges::TEMPORARY, wit::Privileges::TEMPORARY),
    (model::Privileges::EXECUTE, wit::Privileges::EXECUTE),
    (model::Privileges::SET, wit::Privileges::SET),
    (model::Privileges::ALTER_SYSTEM, wit::Privileges::ALTER_SYSTEM),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_says_cannot_steer_a_terminal_or_a_log() {
        assert_eq!(printable("a\nb\tc\r\n", 100), "a b c");
        assert_eq!(printable("\u{1b}[2Jgone\0", 100), "\\u{1b}[2Jgone\\u{0}");
        assert_eq!(printable("user\u{202e}drowssap", 100), "user\\u{202e}drowssap");
        assert_eq!(printable("größe", 100), "größe");
    }

    #[test]
    fn long_text_is_cut_between_characters_and_shows_it() {
        assert_eq!(printable("aaaaaa", 9), "aaaaaa");
        assert_eq!(printable("aaaaaaa", 9), "aaaaaa…");
        assert_eq!(printable("äääää", 8), "ää…");
        assert!(printable(&"x".repeat(10_000), 1_024).len() <= 1_024);
    }
}
