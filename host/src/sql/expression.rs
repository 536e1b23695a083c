//! Whether a text from users.yaml stays where it is put: inside of parentheses, as one expression. PostgreSQL parses it
//! in the end; this only sees to it that no text ends its parentheses, its quotes or its statement before we do, for the
//! server and for psql, which people give plans to. What could be read in two ways is refused.

use crate::printable::is_hazard;

/// Why a text is no expression that can stand inside of parentheses; the end of a sentence.
pub fn problem(text: &str) -> Option<&'static str> {
    let mut letters = text.chars().peekable();
    let mut depth = 0_usize;
    let mut is_blank = true;
    while let Some(letter) = letters.next() {
        is_blank &= letter.is_whitespace();
        let next = letters.peek().copied();
        match letter {
            '\0' => return Some("contains a NUL character"),
            hazard if is_unseen(hazard) => return Some(UNSEEN),
            '(' => depth += 1,
            ')' => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return Some("closes a parenthesis that it has not opened"),
            },
            '\'' | '"' => {
                // Whether a backslash keeps a quote from ending a text depends on what stands before the text, and on
                // settings; so there is none before any.
                let mut before = letter;
                loop {
                    match letters.next() {
                        None => return Some("has a quote that does not end"),
                        Some('\0') => return Some("contains a NUL character"),
                        Some(hazard) if is_unseen(hazard) => return Some(UNSEEN),
                        Some(quote) if quote == letter && before == '\\' && letter == '\'' => {
                            return Some("has a backslash before a quote; chr(92) is a backslash");
                        }
                        Some(quote) if quote == letter => break,
                        Some(other) => before = other,
                    }
                }
            }
            '$' => return Some("has a `$` outside of quotes"),
            ';' => return Some("has a `;` outside of quotes"),
            '\\' => return Some("has a backslash outside of quotes"),
            '-' if next == Some('-') => return Some("has a comment"),
            '/' if next == Some('*') => return Some("has a comment"),
            ':' if next == Some(':') => {
                letters.next();
            }
            // psql would put a variable there.
            ':' if next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '_' | '\'' | '"' | '{')) => {
                return Some("has a `:` right before a word; put a space between");
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Some("opens a parenthesis that it does not close");
    }
    is_blank.then_some("is empty")
}

/// Who reviews an expression has to see what is in it.
const UNSEEN: &str =
    "has a character that cannot be seen, or turns the reading direction; in a text, chr() stands for it";

fn is_unseen(letter: char) -> bool {
    is_hazard(letter) && !matches!(letter, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn expressions_are_taken() {
        for text in [
            "true",
            "tenant = current_setting('app.tenant')",
            "owner = current_user AND (state <> 'it''s; -- (' OR \"a)b\" IS NULL)",
            "name ~ '^\\d+$'",
            "id::text = 'a'::text",
            "tags[1: 2] = ARRAY['a'] - '{b}'",
            "EXISTS (SELECT 1 FROM app.members AS m WHERE m.org = org_id)",
            "a /2 - -1 > 0\n \tAND b",
            "\"\\\" = 'ü'",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
    }

    #[test]
    fn what_could_leave_its_parentheses_is_refused() {
        for (text, why) in [
            ("", "empty"),
            (" \n", "empty"),
            ("true) TO public WITH CHECK (true", "not opened"),
            (")(", "not opened"),
            ("(true", "not close"),
            ("true); DROP TABLE t; --", "not opened"),
            ("true; DROP TABLE t", "`;`"),
            ("true -- )", "comment"),
            ("true /* */", "comment"),
            ("true /* ", "comment"),
            ("a = 'x", "does not end"),
            ("a = \"x", "does not end"),
            ("a = $$)$$", "`$`"),
            ("a = $1", "`$`"),
            ("a$b", "`$`"),
            ("a = E'\\') --'", "backslash before a quote"),
            ("a = 'x\\' OR b = ')'", "backslash before a quote"),
            ("true \\! id", "backslash outside"),
            ("a = :USER", "`:`"),
            ("a = :'x'", "`:`"),
            ("a = 'b\0'", "NUL"),
            ("a\0", "NUL"),
            ("a \u{202e}= b", "cannot be seen"),
            ("a = 'x\u{200b}'", "cannot be seen"),
            ("\"a\u{2066}\" = b", "cannot be seen"),
            ("a = b\r", "cannot be seen"),
        ] {
            assert!(problem(text).is_some_and(|found| found.contains(why)), "{text:?}: {:?}", problem(text));
        }
    }

    proptest! {
        /// A second reader, of nothing but the structure: with quotes taken out, what is taken has its parentheses in
        /// pairs and nothing that ends a statement.
        #[test]
        fn what_is_taken_is_closed(text in "[a'\"()\\\\;$:/*-]{0,12}") {
            if problem(&text).is_none() {
                let outside: String = text
                    .split('\'')
                    .step_by(2)
                    .collect::<Vec<_>>()
                    .join("");
                // Quotes of the other kind may hold any of these.
                if !text.contains('"') {
                    prop_assert!(!outside.contains([';', '$', '\\']), "{text}");
                    prop_assert_eq!(outside.matches('(').count(), outside.matches(')').count(), "{}", text);
                    prop_assert_eq!(text.matches('\'').count() % 2, 0);
                }
            }
        }
    }
}
