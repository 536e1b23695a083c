use std::collections::BTreeMap;

use super::*;
use crate::spec::{Document, parse};

fn read(scripts: &str) -> Result<Parsed, Vec<Diagnostic>> {
    parse(&Document::plain("users.yaml", format!("users: []\nscripts:\n{scripts}")))
}

fn good(scripts: &str) -> Parsed {
    read(scripts).unwrap_or_else(|problems| panic!("{scripts}: {}", problems[0]))
}

fn codes(scripts: &str) -> Vec<String> {
    read(scripts).err().into_iter().flatten().map(|problem| problem.code).collect()
}

#[test]
fn scripts_are_read_with_their_texts() {
    let mut parsed = good(
        "  - {name: views, database: shop, file: views.sql, run: on_change}\n  - name: audit\n    database: 'a \"b'\n    \
         sql: |\n      SELECT 1;\n      SELECT 2;\n",
    );
    let audit = &parsed.scripts["audit"];
    assert_eq!((audit.database.as_str(), audit.run, audit.order), ("a \"b", Run::Once, 1));
    assert_eq!((audit.text.as_str(), audit.path.as_str()), ("SELECT 1;\nSELECT 2;\n", "/scripts/1"));
    assert_eq!((parsed.scripts["views"].run, parsed.scripts["views"].text.as_str()), (Run::OnChange, ""));
    assert!(parsed.spec.scripts.is_empty(), "what may run is not the file's to say");
    assert_eq!(parsed.files().into_iter().collect::<Vec<_>>(), ["views.sql"]);
    let files = BTreeMap::from([("views.sql".to_owned(), "SELECT 3".to_owned())]);
    parsed.read_files(&files).unwrap();
    assert_eq!(parsed.scripts["views"].text, "SELECT 3");
    assert_eq!(parsed.scripts["audit"].text, "SELECT 1;\nSELECT 2;\n");
}

#[test]
fn what_is_wrong_with_a_script_has_a_code_of_its_own() {
    for (script, code) in [
        ("- {database: shop, sql: SELECT 1}", "missing-key"),
        ("- {name: a, sql: SELECT 1}", "missing-key"),
        ("- {name: a, database: shop}", "missing-key"),
        ("- {name: A b, database: shop, sql: SELECT 1}", "script-name"),
        ("- {name: 7, database: shop, sql: SELECT 1}", "unquoted-name"),
        ("- {name: a, database: '', sql: SELECT 1}", "empty-name"),
        ("- {name: a, database: shop, sql: ''}", "empty-script"),
        ("- {name: a, database: shop, sql: '-- SELECT 1'}", "empty-script"),
        ("- {name: a, database: shop, sql: [SELECT 1]}", "wrong-type"),
        ("- {name: a, database: shop, sql: 'SELECT 1; COMMIT'}", "unfit-script"),
        ("- {name: a, database: shop, sql: SELECT 1, file: a.sql}", "sql-and-file"),
        ("- {name: a, database: shop, file: ../a.sql}", "script-file"),
        ("- {name: a, database: shop, file: .a.sql}", "script-file"),
        ("- {name: a, database: shop, file: users.yaml}", "script-file"),
        ("- {name: a, database: shop, sql: SELECT 1, run: daily}", "unknown-run"),
        ("- {name: a, database: shop, sql: SELECT 1, when: daily}", "unknown-key"),
        ("- {name: a, database: b, sql: SELECT 1}\n- {name: a, database: c, sql: SELECT 1}", "duplicate-script"),
        ("- audit", "wrong-type"),
        ("  a: b", "wrong-type"),
    ] {
        assert_eq!(codes(script), [code], "{script}");
    }
    let many: String =
        (0..=MAX_SCRIPTS).map(|it| format!("- {{name: s{it}, database: shop, file: a.sql}}\n")).collect();
    assert_eq!(codes(&many), ["too-many-scripts"]);
    let long = format!("- {{name: a, database: shop, sql: SELECT {}}}", "1".repeat(MAX_BYTES));
    assert_eq!(codes(&long), ["script-too-long"]);
}

#[test]
fn a_file_that_is_missing_or_unfit_is_told_where_it_is_named() {
    let mut parsed = good("- {name: a, database: shop, file: a.sql}\n- {name: b, database: shop, file: b.sql}\n");
    let files = BTreeMap::from([("b.sql".to_owned(), "SELECT 1;\nCOMMIT;".to_owned())]);
    let wrong = parsed.read_files(&files).unwrap_err();
    let told: Vec<_> = wrong.iter().map(|it| (it.code.as_str(), it.line)).collect();
    assert_eq!(told, [("unknown-file", 3), ("unfit-script", 4)]);
    assert!(wrong[1].message.contains("its line 2 begins with COMMIT"), "{}", wrong[1].message);
}

#[test]
fn no_complaint_shows_what_a_script_holds() {
    for script in ["- {name: a, databas: shop, sql: SELECT hunter2}", "- {name: a, database: b, sql: COMMIT hunter2}"] {
        let told: Vec<String> = read(script).unwrap_err().iter().map(Diagnostic::to_string).collect();
        assert!(!told.is_empty() && !told.concat().contains("hunter2"), "{told:?}");
    }
}
