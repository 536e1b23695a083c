use proptest::prelude::*;

use super::*;

fn parts(text: &str) -> Vec<&str> {
    statements(text).unwrap_or_else(|unfit| panic!("{text}\n{unfit:?}")).into_iter().map(|at| &text[at]).collect()
}

fn refusal(text: &str) -> String {
    match statements(text) {
        Ok(found) => panic!("{text} is taken as {found:?}"),
        Err(unfit) => format!("line {} {}", unfit.line, unfit.message),
    }
}

#[test]
fn psql_finds_no_variable_and_the_server_the_same_tokens() {
    for (text, expected) in [
        (
            "SELECT a[1:PORT], a[x:'y'], a[1:\"b\"], a[1:2], a[:é]",
            "SELECT a[1: PORT], a[x: 'y'], a[1: \"b\"], a[1: 2], a[: é]",
        ),
        ("SELECT 1::text, 1 :: text, a::b[1::int:PORT::int]", "SELECT 1::text, 1 :: text, a::b[1::int: PORT::int]"),
        ("SELECT ':PORT', $$:PORT$$, E'\\':PORT', \":PORT\" -- :PORT\n/* :PORT */", ""),
        ("f(a := 1, b => :{?PORT})", "f(a := 1, b => : {?PORT})"),
        ("a[1 : 2]", ""),
    ] {
        assert_eq!(for_psql(text), if expected.is_empty() { text } else { expected });
    }
}

#[test]
fn statements_end_at_semicolons_of_their_own() {
    for (text, expected) in [
        ("", vec![]),
        (" ;; -- nothing\n ; /* at /* all; */ ; */", vec![]),
        ("SELECT 1", vec!["SELECT 1"]),
        ("-- a; b\nSELECT 1 -- c; d\n;\n/* ; */ SELECT 2; ", vec!["SELECT 1", "SELECT 2"]),
        ("SELECT 'a;b''; c'; SELECT 2", vec!["SELECT 'a;b''; c'", "SELECT 2"]),
        (r"SELECT 'a\'; SELECT 2", vec![r"SELECT 'a\'", "SELECT 2"]),
        (r"SELECT E'a\'; b'; SELECT 2", vec![r"SELECT E'a\'; b'", "SELECT 2"]),
        ("SELECT e'a'\n -- x\n '\\'; b'; SELECT 2", vec!["SELECT e'a'\n -- x\n '\\'; b'", "SELECT 2"]),
        (
            r"SELECT U&'\00e9;', N'n;', B'1', x'1f'; SELECT 2",
            vec![r"SELECT U&'\00e9;', N'n;', B'1', x'1f'", "SELECT 2"],
        ),
        (
            r#"SELECT 1 AS "a;""b;", 2 AS U&"c;\00e9"; SELECT 2"#,
            vec![r#"SELECT 1 AS "a;""b;", 2 AS U&"c;\00e9""#, "SELECT 2"],
        ),
        ("SELECT $$a;'b$$, $t$;$$;$t$; SELECT $1;", vec!["SELECT $$a;'b$$, $t$;$$;$t$", "SELECT $1"]),
        ("SELECT a$b$; SELECT 1$b$;$b$", vec!["SELECT a$b$", "SELECT 1$b$;$b$"]),
        ("SELECT $é$;$é$; SELECT 'é;', é$;", vec!["SELECT $é$;$é$", "SELECT 'é;', é$"]),
        (
            "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3",
            vec!["CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        ("SELECT 1 +--;\n 2; SELECT 2*/*;*/3", vec!["SELECT 1 +--;\n 2", "SELECT 2*/*;*/3"]),
        ("SELECT 1.5e10, 0x1F, 1_000; SELECT 1e5$$;$$", vec!["SELECT 1.5e10, 0x1F, 1_000", "SELECT 1e5$$;$$"]),
    ] {
        assert_eq!(parts(text), expected, "{text}");
    }
}

#[test]
fn a_body_in_sql_is_one_statement() {
    let function = "CREATE OR REPLACE FUNCTION s.f(i int) RETURNS int LANGUAGE sql BEGIN /* ; */ ATOMIC SELECT 1; \
                    SELECT CASE WHEN i > 0 THEN CASE i WHEN 1 THEN 2 END ELSE (CASE WHEN true THEN 0 END) END; END";
    assert_eq!(parts(&format!("{function}; SELECT 2;")), [function, "SELECT 2"]);
    let procedure = "create procedure p() begin atomic insert into t values (1); end";
    assert_eq!(parts(&format!("{procedure};{procedure}")), [procedure, procedure]);
    assert_eq!(parts("CREATE TABLE f (begin int, atomic int); SELECT 2").len(), 2);
}

#[test]
fn a_script_keeps_to_its_transaction() {
    for word in [
        "BEGIN",
        "begin work",
        "COMMIT",
        "COMMIT PREPARED 'a'",
        "END",
        "ROLLBACK",
        "ROLLBACK TO a",
        "ABORT",
        "START TRANSACTION",
        "SAVEPOINT a",
        "RELEASE a",
        "PREPARE TRANSACTION 'a'",
        "prepare /* x */ transaction 'a'",
        "/* a */ -- b\n commit",
    ] {
        let message = refusal(&format!("SELECT 1;\n{word}; SELECT 2"));
        assert!(message.starts_with("line 2 begins with") || message.starts_with("line 3 begins with"), "{message}");
    }
    for text in
        ["PREPARE a AS SELECT 1; EXECUTE a", "SELECT 1 AS commit", "SELECT 'x;COMMIT'", "DO $$ BEGIN NULL; END $$"]
    {
        assert!(statements(text).is_ok(), "{text}");
    }
}

#[test]
fn what_needs_somebody_at_the_other_end_is_refused() {
    assert!(refusal("COPY t FROM STDIN").contains("STDIN"));
    assert!(refusal("copy s.t (a, b) from -- x\n stdin csv;\n1\n\\.").starts_with("line 2 copies by STDIN"));
    assert!(refusal("COPY (SELECT 1) TO stdout").contains("STDOUT"));
    assert_eq!(parts("COPY t FROM '/tmp/stdin'; SELECT 'from stdin'").len(), 2);
    assert!(refusal("SELECT 1;\n\\d t").starts_with("line 2 holds a backslash"));
}

#[test]
fn a_password_or_what_nobody_sees_is_refused() {
    for text in ["CREATE ROLE a PASSWORD 'x'", "ALTER USER a ENCRYPTED password\n E'x'", "ALTER ROLE a PASSWORD $$x$$"]
    {
        assert!(refusal(text).contains("holds a password"), "{text}");
    }
    assert!(statements("ALTER ROLE a PASSWORD NULL; SELECT 1 WHERE password = 'x'").is_ok());
    for hidden in ['\u{202e}', '\u{200b}', '\u{feff}', '\u{1b}', '\0', '\r'] {
        let message = refusal(&format!("SELECT 1;\nSELECT '{hidden}'"));
        assert!(message.starts_with("line 2 holds the character U+"), "{message}");
    }
    assert_eq!(parts("SELECT 1;\r\n\tSELECT 2;\r\n").len(), 2);
}

fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "'",
        "''",
        "\"",
        "\\",
        "$",
        "$$",
        "$a$",
        ";",
        "--",
        "\n",
        "/*",
        "*/",
        "(",
        ")",
        "E'",
        "U&'",
        "U&\"",
        "e",
        "a",
        "1",
        " ",
        "begin atomic ",
        "end ",
        "case ",
        "create function ",
        "copy ",
        "é",
        "commit ",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever the text: no panic, and the statements are parts of it, in order, none of them empty.
    #[test]
    fn any_text_is_read_to_its_end(text in prop_oneof![piece(), any::<String>()]) {
        let Ok(found) = statements(&text) else { return Ok(()) };
        let mut last = 0;
        for at in found {
            prop_assert!(at.start >= last && at.end > at.start && text.get(at.clone()).is_some());
            last = at.end;
        }
    }

    /// A constant may hold anything, and two statements stay two.
    #[test]
    fn what_is_quoted_ends_nothing(inner in "[a-z;'\"$()/*-]{0,12}") {
        let quoted = format!("'{}'", inner.replace('\'', "''"));
        prop_assert_eq!(parts(&format!("SELECT {quoted};SELECT 2")).len(), 2);
        let name = format!("\"x{}\"", inner.replace('"', "\"\""));
        prop_assert_eq!(parts(&format!("SELECT 1 AS {name};SELECT 2")).len(), 2);
        prop_assert_eq!(parts(&format!("SELECT $Q${inner}$Q$;SELECT 2")).len(), 2);
    }

    /// No statement begins with what would end the transaction, however it is dressed.
    #[test]
    fn no_statement_ends_the_transaction(before in piece(), word in prop::sample::select(vec!["commit", "ROLLBACK", "Begin", "end"])) {
        if let Ok(found) = statements(&format!("{before};{word}")) {
            let text = format!("{before};{word}");
            for at in found {
                let first: String = text[at].chars().take_while(char::is_ascii_alphabetic).collect();
                prop_assert!(!TRANSACTION.contains(&first.to_lowercase().as_str()) || first.eq_ignore_ascii_case("prepare"));
            }
        }
    }
}
