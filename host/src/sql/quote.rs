//! Quoting: the only place where a name or a value becomes part of an SQL text.
//!
//! The rules are those of <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>. A NUL
//! byte can be in neither; the parser refuses it in every name, and it is left out here so that a
//! slip elsewhere cannot cut a statement short.

/// A quoted identifier: always in double quotes, so that no keyword, capital or symbol matters.
pub fn identifier(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for letter in name.chars().filter(|letter| *letter != '\0') {
        if letter == '"' {
            quoted.push('"');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// An identifier as a person would write it: bare where that means the same, else quoted.
pub fn identifier_for_people(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { identifier(name) }
}

/// A name in the value of a list parameter, as the server's `quote_identifier` stores it.
pub fn element(name: &str) -> String {
    // For GRANT it is a keyword, and nowhere else.
    if name == "public" { name.to_owned() } else { identifier_for_people(name) }
}

/// A string literal that means the same whatever `standard_conforming_strings` says: one with a
/// backslash is written as `E'…'`.
pub fn literal(value: &str) -> String {
    let escaped = value.contains('\\');
    let mut quoted = String::with_capacity(value.len() + 3);
    quoted.push_str(if escaped { " E'" } else { "'" });
    for letter in value.chars().filter(|letter| *letter != '\0') {
        if letter == '\'' || letter == '\\' {
            quoted.push(letter);
        }
        quoted.push(letter);
    }
    quoted.push('\'');
    quoted
}

/// Lower-case ASCII letters, digits and underscores, no digit first, and no keyword: PostgreSQL
/// folds nothing and reads no syntax into it.
fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|letter| letter.is_ascii_lowercase() || letter == '_');
    first
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && KEYWORDS.binary_search(&name).is_err()
}

/// Keywords that cannot be a bare role or database name everywhere (every key word that is not
/// "unreserved", <https://www.postgresql.org/docs/current/sql-keywords-appendix.html>), and those
/// that a role specification reads as something else.
const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "public",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_is_doubled() {
        assert_eq!(identifier(r#""; DROP ROLE postgres; --"#), r#""""; DROP ROLE postgres; --""#);
    }

    #[test]
    fn plain_names_are_bare_for_people_and_keywords_are_not() {
        assert_eq!(identifier_for_people("read_only"), "read_only");
        for name in ["user", "public", "Alice", "1st", "a-b", "none", "", "é"] {
            assert_eq!(identifier_for_people(name), identifier(name), "{name}");
        }
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
    }

    #[test]
    fn the_keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted());
    }
}
