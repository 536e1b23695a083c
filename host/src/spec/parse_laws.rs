//! What holds for any text: it is read, or refused at a place inside of it; and what it says is not lost.

use proptest::prelude::*;

use super::parse_tests::{good, user};
use super::{Document, parse};
use crate::model::{Expiry, Limit};

/// Whatever the text, a problem stands inside of it.
fn check_places(text: &str) {
    let Err(problems) = parse(&Document::plain("f", text)) else { return };
    assert!(!problems.is_empty());
    // Lines end with LF, CR LF, or CR alone, also at the end of the text.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in problems {
        assert!((1..=lines.len()).contains(&problem.line), "{problem:?}");
        assert!((1..=lines[problem.line - 1].chars().count() + 1).contains(&problem.column), "{problem:?}");
        let _ = problem.to_string();
    }
}

/// Text made of what users.yaml is made of, so that it gets past the first character.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "users:",
        "username:",
        "roles:",
        "databases:",
        "database:",
        "privileges:",
        "secret:",
        "password:",
        "labels:",
        "valid_until:",
        "connection_limit:",
        "comment:",
        "2027-02-30",
        "name:",
        "key:",
        "\n",
        "\n  ",
        "\n    ",
        "\r\n",
        "\r",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        " ",
        "alice",
        "none",
        "é",
        "&a ",
        "*a",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "---\n",
        "~",
        "1",
        "<<:",
        "? ",
        "!!str ",
        "\u{feff}",
        "\t",
        ": ",
        "%",
        "\\",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_read_or_refused_at_a_place_inside_of_it(text in any::<String>()) {
        check_places(&text);
    }

    #[test]
    fn almost_users_yaml_is_read_or_refused_at_a_place_inside_of_it(text in pieces()) {
        check_places(&text);
        check_places(&format!("users:\n{text}"));
        check_places(&format!("users: [{{username: alice, {text}}}]"));
    }

    #[test]
    fn every_end_is_the_second_that_it_names(
        seconds in -62_135_596_800_i64..253_402_300_800, minutes in -1_439_i64..1_440, limit in 0..=i32::MAX as u32,
    ) {
        // The clock of a place that is this far ahead.
        let there = jiff::Timestamp::from_second(seconds + minutes * 60);
        prop_assume!(there.as_ref().is_ok_and(|there| (-62_135_596_800..253_402_300_800).contains(&there.as_second())));
        let clock = there.unwrap().strftime("%Y-%m-%dT%H:%M:%S");
        let sign = if minutes < 0 { '-' } else { '+' };
        let offset = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        let role = good(&user(&format!("valid_until: {clock}{offset}, connection_limit: {limit}"))).spec.roles["alice"].clone();
        prop_assert_eq!(role.valid_until, Some(Expiry::At(seconds)));
        prop_assert_eq!(role.connection_limit, Some(Limit::AtMost(limit)));
    }

    #[test]
    fn every_name_of_up_to_63_bytes_survives(name in "[^\0]{1,21}", role in "[^\0]{1,15}", database in "[^\0]{1,15}") {
        prop_assume!(!name.starts_with("pg_") && !role.starts_with("pg_") && name != role);
        prop_assume!(![&name, &role].iter().any(|name| matches!(name.as_str(), "public" | "none")));
        prop_assume!([&name, &role, &database].iter().all(|name| name.len() <= 63));
        // JSON is YAML, but for the control characters that JSON leaves as they are.
        let quote = |name: &str| {
            let escaped = |letter: char| if letter.is_ascii_graphic() && letter != '"' && letter != '\\' { letter.to_string() } else { format!("\\U{:08x}", u32::from(letter)) };
            format!("\"{}\"", name.chars().map(escaped).collect::<String>())
        };
        let text = format!("users: [{{username: {}, roles: [{}], database: {}, password: none}}]", quote(&name), quote(&role), quote(&database));
        let parsed = good(&text);
        prop_assert_eq!(&parsed.users[&name].roles, std::slice::from_ref(&role));
        prop_assert_eq!(&parsed.users[&name].databases, &[database]);
        prop_assert!(parsed.spec.roles.contains_key(&role));
    }
}
