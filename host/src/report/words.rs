//! Sentences for operators: counted, listed, on one line, and no longer than their place allows.

use crate::plan::Counts;
use crate::printable::{self, counted};

/// So many names of a list are told.
const LISTED: usize = 10;

/// `a`, `a, b and c`, or the first ten `and 37 more`.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let names: Vec<_> = names.take(LISTED).map(printable::name).collect();
    match (names.as_slice(), count - names.len()) {
        ([], _) => String::new(),
        ([one], 0) => one.clone().into_owned(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// On one line: what stood on several is joined, hazards are spelled out.
pub(super) fn one_line(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !joined.is_empty() {
            joined.push_str(if joined.ends_with([':', ';']) { " " } else { "; " });
        }
        joined.push_str(&printable::line(line));
    }
    joined
}

/// At most so many bytes; what is cut off is an ellipsis.
pub(super) fn bounded(text: &str, bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub(ELLIPSIS.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", text[..end].trim_end())
}

/// What was done: `created 2 users, changed 1; created 1 role`.
pub(super) fn done(counts: &Counts) -> String {
    by_kind(counts, |what, verb| format!("{verb}d {what}"))
}

/// What is to be done: `2 users to create, 1 to change; 1 role to create`.
pub(super) fn pending(counts: &Counts) -> String {
    by_kind(counts, |what, verb| format!("{what} to {verb}"))
}

fn by_kind(counts: &Counts, phrase: impl Fn(&str, &str) -> String) -> String {
    let users = [counts.users_created, counts.users_updated, counts.users_deleted];
    let roles = [counts.roles_created, counts.roles_updated, counts.roles_deleted];
    let databases = [counts.databases_created, counts.databases_updated, 0];
    let mut parts = Vec::new();
    for (noun, counts) in [("user", users), ("role", roles), ("database", databases)] {
        let mut phrases: Vec<String> = Vec::new();
        for (verb, count) in ["create", "change", "remove"].into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            let what = if phrases.is_empty() { counted(count, noun) } else { count.to_string() };
            phrases.push(phrase(&what, verb));
        }
        if !phrases.is_empty() {
            parts.push(phrases.join(", "));
        }
    }
    parts.join("; ")
}

/// Enough of a digest to tell plans apart: the ledger's history has all of it.
pub(super) fn short(digest: &str) -> String {
    let shown: String = digest.chars().take("sha256:".len() + 12).collect();
    printable::line(&shown).into_owned()
}

/// With a capital letter, for the beginning of a sentence.
pub(super) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}

/// Ended by a full stop, unless it is by another.
pub(super) fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_like_one_and_a_long_one_says_how_long() {
        let list = |names: &[&str]| listed(names.iter().copied());
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c d"]), "a, b and \"c d\"");
        let names: Vec<String> = (0..47).map(|number| format!("u{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(list(&names), "u0, u1, u2, u3, u4, u5, u6, u7, u8, u9 and 37 more");
        assert_eq!(list(&names[..10]), "u0, u1, u2, u3, u4, u5, u6, u7, u8 and u9");
    }

    #[test]
    fn what_is_cut_is_cut_between_letters() {
        assert_eq!(bounded("größe", 7), "größe");
        assert_eq!(bounded("größe!", 7), "grö…");
        assert_eq!(bounded("abc", 0), "…");
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(one_line("refused:\n  one\n  two\x1b[2J\n"), "refused: one; two\\u{1b}[2J");
    }

    #[test]
    fn changes_are_told_by_kind() {
        let counts = Counts { steps: 9, users_created: 2, users_deleted: 1, roles_updated: 1, ..Counts::default() };
        assert_eq!(done(&counts), "created 2 users, removed 1; changed 1 role");
        assert_eq!(pending(&counts), "2 users to create, 1 to remove; 1 role to change");
        assert_eq!(done(&Counts::default()), "");
    }
}
