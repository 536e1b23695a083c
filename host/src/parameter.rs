//! Configuration parameters as roles have them: which names there can be, and when two names or two
//! values mean the same to the server. What a parameter does to the power of a role is judged in
//! `guard`, what a value has to look like only by the server.
//!
//! `pg_db_role_setting` keeps a value as it was written (`30s` stays `30s`), with one exception: of a
//! parameter that is a list of names, each name is quoted where it has to be. Keywords differ between
//! versions, and so does what has to be: hence values are compared, never texts.

use crate::model::Setting;
use crate::sql::quote;

/// Parameters that the server keeps as a list of quoted names, `GUC_LIST_QUOTE` in its source. Extensions
/// can have none (`variable_is_guc_list_quote` in `src/bin/pg_dump/dumputils.c`).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The only ones of PostgreSQL itself that are not stored in lower case.
const MIXED_CASE: [&str; 3] = ["DateStyle", "IntervalStyle", "TimeZone"];

/// Names of old that the server replaces by those of today: `map_old_guc_names` in `guc.c`. The last one
/// has been one of them since version 16.
const RENAMED: [(&str, &str); 3] =
    [("sort_mem", "work_mem"), ("vacuum_mem", "maintenance_work_mem"), ("force_parallel_mode", "debug_parallel_query")];

/// More settings than any role needs: PostgreSQL itself has some 400 parameters.
pub const MOST: usize = 1_000;

/// Bytes of one part of a name, between dots: PostgreSQL reads it as an identifier.
const MAX_PART: usize = 63;

/// Why no parameter can be called so: the end of a sentence that begins with its name.
/// <https://www.postgresql.org/docs/current/runtime-config-custom.html>
pub fn name_problem(name: &str) -> Option<&'static str> {
    let is_part = |part: &str| {
        let mut letters = part.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '$'))
    };
    if name.is_empty() {
        Some("is empty")
    } else if !name.split('.').all(is_part) {
        Some("has to be made of letters, digits, `_` and `$`, with dots where it belongs to an extension")
    } else if name.split('.').any(|part| part.len() > MAX_PART) {
        Some("is longer than 63 bytes")
    } else {
        None
    }
}

/// The name as the server stores it, as far as that can be known without asking.
pub fn canonical_name(name: &str) -> String {
    match MIXED_CASE.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => (*known).to_owned(),
        None => name.to_ascii_lowercase(),
    }
}

/// What two names have in common that mean the same parameter.
pub fn key(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match RENAMED.iter().find(|(old, _)| *old == lower) {
        Some((_, new)) => (*new).to_owned(),
        None => lower,
    }
}

/// Whether the server keeps the value as a list of quoted names.
pub fn is_list(name: &str) -> bool {
    LISTS.iter().any(|list| list.eq_ignore_ascii_case(name))
}

/// The value as the server stores it, but for keywords that its version does not know.
pub fn canonical_value(name: &str, value: &str) -> String {
    let names = if is_list(name) { elements(value).ok() } else { None };
    names.map_or_else(|| value.to_owned(), |names| list(&names))
}

/// Names as the server stores them in a list; none is the list of one empty name, as in `SET x = ''`.
pub fn list(names: &[String]) -> String {
    match names {
        [] => "\"\"".to_owned(),
        names => names.iter().map(|name| quote::element(name)).collect::<Vec<_>>().join(", "),
    }
}

/// The names in the value of a list, read as in SQL: bare in lower case, or in either kind of quotes as
/// they are.
///
/// # Errors
/// What is wrong, as the end of a sentence that begins with the parameter's name.
pub fn elements(value: &str) -> Result<Vec<String>, &'static str> {
    let is_space = |letter: char| matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
    let mut rest = value.trim_start_matches(is_space);
    let mut names = Vec::new();
    if rest.is_empty() {
        return Ok(names);
    }
    loop {
        let (name, after) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(rest, quote).ok_or("has a quote that does not end")?,
            _ => {
                let end = rest.find(|letter| letter == ',' || is_space(letter)).unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                (name.to_ascii_lowercase(), after)
            }
        };
        if name.is_empty() && !rest.starts_with(['"', '\'']) {
            return Err("has a comma with no name before or behind it");
        }
        names.push(name);
        rest = after.trim_start_matches(is_space);
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start_matches(is_space),
            None if rest.is_empty() => return Ok(names),
            None => return Err("has two names without a comma between them"),
        }
    }
}

/// Why the value cannot be one of this parameter, as far as that can be known without asking the server.
pub fn problem(name: &str, value: &str) -> Option<&'static str> {
    if value.contains('\0') {
        Some("holds a NUL character, which PostgreSQL does not store")
    } else if is_list(name) {
        elements(value).err()
    } else {
        None
    }
}

/// What stands in quotes, and what follows; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.strip_prefix(quote)?;
    loop {
        let (part, after) = rest.split_once(quote)?;
        name.push_str(part);
        match after.strip_prefix(quote) {
            Some(more) => {
                name.push(quote);
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// Whether both set the same parameter in the same database, or in all.
pub fn same_place(a: &Setting, b: &Setting) -> bool {
    a.database == b.database && key(&a.name) == key(&b.name)
}

/// Whether they set it to the same value, too.
pub fn same(a: &Setting, b: &Setting) -> bool {
    a == b || meaning(a) == meaning(b)
}

/// Database, parameter and value, equal for settings that mean the same.
pub fn meaning(setting: &Setting) -> (Option<String>, String, String) {
    (setting.database.clone(), key(&setting.name), canonical_value(&setting.name, &setting.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { database: None, name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn names_are_those_that_the_server_takes() {
        for name in ["work_mem", "DateStyle", "_x", "a$1", "app.tenant", "a.b.c", &"x".repeat(63)] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        for name in ["", "1a", "$a", "a b", "a.", ".a", "a..b", "a;b", "a\"", "é", "a=b", "a\0", &"x".repeat(64)] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn names_are_stored_in_lower_case_but_for_three() {
        assert_eq!(["TIMEZONE", "datestyle", "Work_Mem"].map(canonical_name), ["TimeZone", "DateStyle", "work_mem"]);
        assert!(same_place(&setting("timezone", ""), &setting("TimeZone", "UTC")));
        assert!(same_place(&setting("sort_mem", ""), &setting("work_mem", "")));
        assert!(!same_place(
            &setting("work_mem", ""),
            &Setting { database: Some("a".into()), ..setting("work_mem", "") }
        ));
    }

    #[test]
    fn a_list_is_read_as_in_sql_and_written_as_the_server_stores_it() {
        for (written, stored) in [
            (r#""$user", public"#, r#""$user", public"#),
            ("$user,Public", r#""$user", public"#),
            (r#"'My App' , "a""b",'it''s'"#, r#""My App", "a""b", "it's""#),
            ("user, none", r#""user", "none""#),
            ("", r#""""#),
            ("\"\"", r#""""#),
            (" a ", "a"),
        ] {
            assert_eq!(canonical_value("search_path", written), stored, "{written}");
            assert_eq!(canonical_value("search_path", stored), stored);
        }
        for wrong in ["a,", ",a", "a,,b", "a b", "\"a", "'a''", "\"a\"b", ","] {
            assert!(elements(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_list_of_names_is_stored_as_written() {
        assert_eq!(canonical_value("datestyle", "ISO, DMY"), "ISO, DMY");
        assert!(!same(&setting("work_mem", "1MB"), &setting("work_mem", "1024kB")));
        // A keyword of another version.
        assert!(same(&setting("search_path", "json_table, a"), &setting("search_path", r#""json_table", a"#)));
    }

    proptest::proptest! {
        #[test]
        fn every_list_survives(names in proptest::collection::vec("[^\0]{0,8}", 1..5)) {
            proptest::prop_assert_eq!(elements(&list(&names)), Ok(names));
        }

        #[test]
        fn any_text_is_a_list_or_is_none(text in "[^\x00]*") {
            if let Ok(names) = elements(&text) {
                proptest::prop_assert_eq!(elements(&list(&names)).map(|again| list(&again)), Ok(list(&names)));
            }
        }
    }
}
