//! Settings in users.yaml: as what they are read, and what is said of those that cannot be meant.

use proptest::prelude::*;

use crate::model::Setting;
use crate::spec::{Document, Parsed, parse};

fn good(text: &str) -> Parsed {
    let document = Document::plain("users.yaml", text);
    parse(&document).unwrap_or_else(|problems| panic!("{text}: {}", problems[0]))
}

fn user(fields: &str) -> String {
    format!("users: [ {{username: alice, {fields}}} ]")
}

/// `[database/]name=value` of each of alice's settings.
fn read(fields: &str) -> Vec<String> {
    let parsed = good(&user(fields));
    let shown = |setting: &Setting| {
        let place = setting.database.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
        format!("{place}{}={}", setting.name, setting.value)
    };
    parsed.spec.roles["alice"].settings.iter().map(shown).collect()
}

#[test]
fn settings_are_those_of_all_databases_and_those_of_one() {
    let fields = "settings: {statement_timeout: 30s, work_mem: 4096, jit: true, enable_seqscan: off, app.tenant: ''}, \
                  database_settings: {shop: {lock_timeout: 5s}, 1: {work_mem: 1MB}, none: {}}";
    assert_eq!(
        read(fields),
        [
            "app.tenant=",
            "enable_seqscan=off",
            "jit=true",
            "statement_timeout=30s",
            "work_mem=4096",
            "1/work_mem=1MB",
            "shop/lock_timeout=5s"
        ]
    );
    let roles = "users: []\nroles: [{name: analyst, settings: {work_mem: 1MB}}]";
    assert_eq!(good(roles).spec.roles["analyst"].settings.len(), 1);
}

#[test]
fn a_list_of_names_is_a_list_or_a_text_as_in_sql() {
    for (value, stored) in [
        (r#"["$user", App, "a b", "x\"y"]"#, r#""$user", "App", "a b", "x""y""#),
        (r#"'"$user", App, public'"#, r#""$user", app, public"#),
        ("[]", r#""""#),
        ("''", r#""""#),
        ("sales", "sales"),
    ] {
        assert_eq!(read(&format!("settings: {{search_path: {value}}}")), [format!("search_path={stored}")], "{value}");
    }
    assert_eq!(read("settings: {datestyle: [ISO, DMY]}"), ["DateStyle=ISO, DMY"]);
    assert_eq!(read("settings: {TIMEZONE: UTC}"), ["TimeZone=UTC"]);
}

#[test]
fn whoever_says_none_says_something_and_whoever_says_nothing_does_not() {
    for (fields, exact) in [
        ("password: none", false),
        ("settings: {}", true),
        ("database_settings: {}", true),
        ("database_settings: {shop: {}}", true),
        ("settings: {work_mem: 1MB}", true),
    ] {
        assert_eq!(good(&user(fields)).spec.exact_settings.contains("alice"), exact, "{fields}");
    }
}

#[test]
fn what_is_wrong_with_a_setting_is_told_with_its_place() {
    for (fields, code, path) in [
        ("settings: [work_mem]", "wrong-type", "/users/0/settings"),
        ("settings: ", "wrong-type", "/users/0/settings"),
        ("settings: {work_mem: }", "wrong-type", "/users/0/settings/work_mem"),
        ("settings: {work_mem: {a: 1}}", "wrong-type", "/users/0/settings/work_mem"),
        ("settings: {work_mem: []}", "invalid-setting", "/users/0/settings/work_mem"),
        ("settings: {work mem: 1}", "invalid-setting", "/users/0/settings/work mem"),
        ("settings: {a/b: 1}", "invalid-setting", "/users/0/settings/a~1b"),
        ("settings: {work_mem: 1, WORK_MEM: 2}", "duplicate-setting", "/users/0/settings/WORK_MEM"),
        ("settings: {work_mem: 1, sort_mem: 2}", "duplicate-setting", "/users/0/settings/sort_mem"),
        ("settings: {search_path: 'a b'}", "invalid-setting", "/users/0/settings/search_path"),
        ("settings: {search_path: [1]}", "unquoted-name", "/users/0/settings/search_path/0"),
        ("settings: {app.x: \"a\\0b\"}", "invalid-setting", "/users/0/settings/app.x"),
        ("database_settings: {shop: 5}", "wrong-type", "/users/0/database_settings/shop"),
        ("database_settings: {'': {a: 1}}", "empty-name", "/users/0/database_settings/"),
        ("database_settings: {shop: {a-b: 1}}", "invalid-setting", "/users/0/database_settings/shop/a-b"),
        ("setting: {a: 1}", "unknown-key", "/users/0/setting"),
    ] {
        let problems = parse(&Document::plain("users.yaml", user(fields))).unwrap_err();
        let told: Vec<_> = problems.iter().map(|it| (it.code.as_str(), it.path.as_str())).collect();
        assert_eq!(told, [(code, path)], "{fields}");
    }
}

#[test]
fn what_is_wrong_says_what_to_write_and_shows_no_password() {
    let text = "users:\n  - username: alice\n    settings:\n      work_mem:\n      Search_Path: 'a, \"b'\n      \
                password: geheim\n    database_settings: {shop: [a]}\n";
    let problems = parse(&Document::plain("users.yaml", text)).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let shown = shown.join("\n\n");
    assert!(!shown.contains("geheim"), "{shown}");
    insta::assert_snapshot!("settings", shown);
}

proptest! {
    #[test]
    fn every_value_survives(value in "[^\0]{0,20}", database in "[^\0]{1,15}") {
        let quote = |text: &str| {
            let letters = text.chars().map(|letter| format!("\\U{:08x}", u32::from(letter)));
            format!("\"{}\"", letters.collect::<String>())
        };
        let (text, place) = (quote(&value), quote(&database));
        let fields = format!("settings: {{app.x: {text}}}, database_settings: {{{place}: {{search_path: [{text}]}}}}");
        let settings = &good(&user(&fields)).spec.roles["alice"].settings;
        prop_assert_eq!(&settings[0].value, &value);
        prop_assert_eq!(settings[1].database.as_deref(), Some(database.as_str()));
        prop_assert_eq!(crate::parameter::elements(&settings[1].value), Ok(vec![value]));
    }
}
