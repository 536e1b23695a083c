//! The tree: what it holds, where it says that things stand, and what it refuses.

use super::yaml::*;

fn one(text: &str) -> Node {
    read(text).unwrap().documents.remove(0)
}

fn code(text: &str) -> &'static str {
    read(text).unwrap_err().last().unwrap().code
}

#[test]
fn only_what_the_core_schema_calls_so_is_a_number_a_boolean_or_null() {
    for text in ["0", "-12", "+1", "0x1F", "0o17", "1.5", ".5", "1.", "1e3", "-.inf", ".NaN"] {
        assert!(matches!(one(text).kind, Kind::Number(_)), "{text}");
    }
    for text in ["no", "on", "yes", "off", "1_000", "1:30", "0x", "e3", ".", "1e", "0b1", "2026-01-01", "nan"] {
        assert_eq!(one(&format!("[{text}]")).what(), "a list", "{text}");
        let Kind::Sequence(items) = one(&format!("[{text} ]")).kind else { panic!("{text}") };
        assert_eq!(items[0].text(), Some(text), "{text}");
    }
    for text in ["true", "False", "TRUE"] {
        assert!(matches!(one(text).kind, Kind::Bool(_)), "{text}");
    }
    for text in ["null", "~", "Null"] {
        assert!(matches!(one(text).kind, Kind::Null), "{text}");
    }
    assert_eq!(one("'123'").text(), Some("123"));
    assert_eq!(one("!!str 123").text(), Some("123"));
}

#[test]
fn every_node_knows_its_bytes() {
    let text = "a:\n  - 'x'\n  - {b: \"é\", c: d}\ne:\n";
    let tree = one(text);
    let Kind::Sequence(items) = &tree.get("a").unwrap().kind else { panic!() };
    assert_eq!(&text[items[0].range()], "'x'");
    assert_eq!(&text[items[1].get("b").unwrap().range()], "\"é\"");
    assert_eq!(&text[items[1].range()], "{b: \"é\", c: d}");
    assert_eq!(&text[tree.get("e").unwrap().range()], "e", "a value that is not there is at its key");
}

#[test]
fn aliases_stand_for_what_they_name() {
    let tree = one("a: &x [r, s]\nb: *x\n");
    let Kind::Sequence(items) = &tree.get("b").unwrap().kind else { panic!() };
    assert_eq!(items[1].text(), Some("s"));
}

#[test]
fn anchors_that_explode_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    assert_eq!(code(&bomb), "alias-expansion");

    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 100_000].join(","));
    assert_eq!(code(&long), "alias-expansion");

    let chain: String = (1..100).map(|n| format!("- &a{n} [*a{}]\n", n - 1)).collect();
    assert_eq!(code(&format!("- &a0 x\n{chain}")), "too-deep");
}

#[test]
fn an_alias_to_what_it_stands_in_is_refused() {
    assert_eq!(code("&a [*a]"), "alias-recursion");
}

#[test]
fn limits_hold() {
    assert_eq!(code(&"[".repeat(100)), "too-deep");
    assert_eq!(code(&"- ".repeat(100)), "too-deep");
    assert_eq!(code(&format!("[{}]", "0,".repeat(510_000))), "too-many-nodes");
    assert_eq!(code(&" ".repeat(MAX_BYTES + 1)), "too-large");
    assert_eq!(code("a: b\n\0c: d"), "control-character");
}

#[test]
fn what_yaml_offers_beyond_plain_data_is_refused() {
    assert_eq!(code("a: &a {b: c}\nd: {<<: *a}\n"), "merge-key");
    assert_eq!(code("? [a]\n: b\n"), "complex-key");
    assert_eq!(code("a: !vault x\n"), "unsupported-tag");
    assert_eq!(code("a: *missing\n"), "yaml-syntax");
    assert!(read("\"<<\": a\n").is_ok());
}

#[test]
fn a_duplicate_key_names_the_first() {
    let problems = read("a: 1\nb: {c/d: 1, e: 2, c/d: 3}\na: 2\n").unwrap_err();
    let found: Vec<_> = problems.iter().map(|it| (it.path.as_str(), it.start, it.first)).collect();
    assert_eq!(found, [("/b/c~1d", 23, Some(9)), ("/a", 31, Some(0))]);
}

#[test]
fn wiping_leaves_no_text_behind() {
    let mut tree = one("a: [hunter2, {b: hunter2}]\n");
    tree.wipe();
    assert!(!format!("{tree:?}").contains("hunter2"));
}
