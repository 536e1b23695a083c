//! Rules for names: what PostgreSQL accepts as a role or database, what Kubernetes accepts as a
//! Secret and a key, and which known word somebody may have meant.

use std::fmt::Display;

/// `NAMEDATALEN - 1`: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.
pub(super) const MAX_NAME: usize = 63;
/// RFC 1123 subdomain: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.
const MAX_SECRET_NAME: usize = 253;

/// Why PostgreSQL would not take a name as it is written: code, and the end of a sentence that
/// begins with what the name is for.
pub(super) fn name_problem(name: &str) -> Option<(&'static str, String)> {
    if name.is_empty() {
        Some(("empty-name", "is empty".to_owned()))
    } else if name.contains('\0') {
        Some(("name-with-nul", "contains a NUL character, which no name in PostgreSQL can hold".to_owned()))
    } else if name.len() > MAX_NAME {
        let message = format!("is {} bytes long; PostgreSQL keeps at most {MAX_NAME}", name.len());
        Some(("name-too-long", message))
    } else {
        None
    }
}

/// `CREATE ROLE` refuses these, quoted or not: `check_rolespec_name` and `RoleSpec` in gram.y.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(name, "public" | "none")
}

/// Why Kubernetes would refuse a Secret of this name.
pub(crate) fn secret_name_problem(name: &str) -> Option<&'static str> {
    let inner = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    let label =
        |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner);
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_SECRET_NAME {
        Some("it is longer than 253 characters")
    } else if !name.bytes().all(|letter| inner(letter) || letter == b'.') {
        Some("Kubernetes allows lower-case letters, digits, `-` and `.` only")
    } else if !name.split('.').all(label) {
        Some("each part between dots must begin and end with a letter or digit")
    } else {
        None
    }
}

/// Why Kubernetes would refuse this key in a Secret.
pub(super) fn secret_key_problem(key: &str) -> Option<&'static str> {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_' | b'.');
    if key.is_empty() {
        Some("it is empty")
    } else if key.len() > MAX_SECRET_NAME {
        Some("it is longer than 253 characters")
    } else if !key.bytes().all(allowed) {
        Some("Kubernetes allows letters, digits, `-`, `_` and `.` only")
    } else if key == "." || key == ".." || key.starts_with("..") {
        Some("it must not begin with `..`, nor be `.`")
    } else {
        None
    }
}

/// The known word that is nearest to one that is not known, if it is near at all.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // No known word is long: a long one is near to none, and not worth the quadratic search.
    if word.len() > 32 {
        return None;
    }
    let word = word.to_lowercase();
    if word.len() >= 3
        && let Some(longer) = known.iter().find(|other| other.starts_with(&word))
    {
        return Some(longer);
    }
    let (distance, best) = known.iter().map(|other| (distance(&word, other), *other)).min()?;
    (distance <= if best.len() <= 4 { 1 } else { 2 }).then_some(best)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// Words as a list for a sentence: "`a`, `b` and `c`".
pub(super) fn list(words: &[impl Display]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_postgresql_takes_is_taken() {
        for name in ["a", "A b", "\"; DROP ROLE postgres; --", "مستخدم", "a\nb", "\u{202e}x", "'", "\\"] {
            assert_eq!(name_problem(name), None, "{name:?}");
        }
        assert_eq!(name_problem(&"é".repeat(31)), None, "62 bytes");
        assert!(name_problem(&"é".repeat(32)).is_some_and(|(_, message)| message.contains("64 bytes")));
    }

    #[test]
    fn secret_names_are_those_of_kubernetes() {
        for name in ["user-alice-secret", "a.b-c.1", "1"] {
            assert_eq!(secret_name_problem(name), None, "{name}");
        }
        for name in ["", "a_b", "A", "a..b", "-a", "a-", "a.-b", "é", "a b", &"a".repeat(254)] {
            assert!(secret_name_problem(name).is_some(), "{name}");
        }
    }

    #[test]
    fn secret_keys_are_those_of_kubernetes() {
        for key in ["password", "PG_PASS.1", ".a"] {
            assert_eq!(secret_key_problem(key), None, "{key}");
        }
        for key in ["", "a b", "..", "..a", ".", "a/b", "é"] {
            assert!(secret_key_problem(key).is_some(), "{key}");
        }
    }

    #[test]
    fn the_word_that_was_meant_is_found() {
        let known = ["username", "database", "databases", "roles", "privileges", "secret", "password"];
        for (word, meant) in [
            ("usrename", Some("username")),
            ("Roles", Some("roles")),
            ("role", Some("roles")),
            ("rolse", Some("roles")),
            ("privs", None),
            ("priv", Some("privileges")),
            ("passwd", Some("password")),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }
}
