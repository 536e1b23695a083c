//! Each check on a module made to fail it, as far as that takes no compiler; the others are seen to
//! fail in `tests/behaviour/policy_kit.rs`.

use super::*;
use crate::policy::fixture::{Fixture, component_text};
use crate::policy::tests::Directory;
use crate::policy::{Limits, load};

static STANDARD: &[u8] = include_bytes!(env!("ROLEWRIGHT_STANDARD_POLICY"));

fn checked(bytes: impl AsRef<[u8]>) -> Vec<Check> {
    let directory = Directory::new();
    let file = directory.write("subject.wasm", bytes);
    let runtime = Runtime::new(Limits::default(), None).unwrap().with_builtin("standard", STANDARD);
    let standard = Chain::load(&runtime, None).unwrap();
    check(&runtime, &standard, &file, &Given::default(), Depth::Full).unwrap()
}

fn failures(checks: &[Check]) -> Vec<&'static str> {
    let failed = checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed { .. }));
    failed.map(|check| check.id).collect()
}

/// What is told of the one check that fails.
fn only_failure(bytes: impl AsRef<[u8]>, id: &str) -> String {
    let checks = checked(bytes);
    assert_eq!(failures(&checks), [id], "{checks:#?}");
    let told = checks.iter().find_map(|check| match &check.outcome {
        Outcome::Failed { seen, help } => Some(format!("{seen} / {help}")),
        _ => None,
    });
    told.unwrap()
}

/// A module with a custom section behind everything else.
fn with_section(mut bytes: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    bytes.extend([0, length(name.as_bytes()) + 1 + length(data), length(name.as_bytes())]);
    bytes.extend(name.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn the_built_in_policy_passes() {
    let checks = checked(STANDARD);
    assert_eq!(failures(&checks), [""; 0], "{checks:#?}");
    for id in ["replay", "nothing-to-do", "within-budget", "deterministic", "file-order", "every-object"] {
        let passed = |check: &Check| check.id == id && matches!(check.outcome, Outcome::Passed(_));
        assert!(checks.iter().any(passed), "{id}: {checks:#?}");
    }
}

#[test]
fn a_core_module_is_no_component() {
    let told = only_failure(Fixture::new("full").core_module(), "component");
    assert!(told.contains("wasm-tools component new"), "{told}");
}

#[test]
fn every_foreign_import_is_named() {
    let text = r#"(component
        (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func))))
        (import "other:thing/api" (instance (export "call" (func)))))"#;
    let checks = checked(component_text(text));
    assert_eq!(failures(&checks), ["imports", "world"]);
    let Outcome::Failed { seen, help } = &checks[1].outcome else { panic!("{checks:#?}") };
    assert_eq!(seen, "it imports wasi:clocks/wall-clock@0.2.0, other:thing/api");
    assert!(help.contains("wasi: stub"), "{help}");
}

#[test]
fn what_a_world_lacks_and_what_it_has_beyond_is_listed() {
    let text = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $own (export "plan" (func $f)) (export "more" (func $f)))
        (instance $other (export "describe" (func $f)))
        (export "rolewright:policy/plan@0.1.0" (instance $own))
        (export "rolewright:policy/describe@0.9.0" (instance $other))
        (export "init" (func $f)))"#;
    let told = only_failure(component_text(text), "world");
    for part in ["missing: describe, configure", "beyond it: plan#more, init", "of version 0.9.0", "0.1.0"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_name_that_is_none_is_told() {
    let told = only_failure(Fixture { name: "Not A Name", ..harmless() }.component(), "describe");
    assert!(told.contains("kebab-case"), "{told}");
}

#[test]
fn a_file_that_contradicts_what_the_module_says_is_told() {
    let agreeing = with_section(harmless().component(), "version", b"1.2.3");
    assert!(!failures(&checked(agreeing)).contains(&"identity"));
    let lying = with_section(harmless().component(), "version", b"9.9.9");
    let checks = checked(lying);
    let identity = checks.iter().find(|check| check.id == "identity").unwrap();
    let Outcome::Failed { seen, .. } = &identity.outcome else { panic!("{identity:?}") };
    assert_eq!(seen, r#"its version is "1.2.3" in `describe`, and "9.9.9" in the file"#);
}

#[test]
fn a_schema_must_be_a_schema() {
    let described = |schema: &str| load::Description {
        name: "a".to_owned(),
        version: "1.0.0".to_owned(),
        summary: String::new(),
        settings_schema: Some(schema.to_owned()),
        clock_step: None,
    };
    assert!(matches!(contract::schema(&described(r#"{"type": "object"}"#)), Outcome::Passed(_)));
    for wrong in ["{", "[]", "\"object\""] {
        assert!(matches!(contract::schema(&described(wrong)), Outcome::Failed { .. }), "{wrong}");
    }
}

/// A harmless module but for its taking any settings.
fn harmless() -> Fixture {
    Fixture::new("validator")
}

#[test]
fn settings_that_nobody_knows_are_to_be_noticed() {
    let told = only_failure(harmless().component(), "settings-nonsense");
    assert!(told.contains("an unknown key: taken without a word"), "{told}");
}

#[test]
fn a_module_that_crashes_over_settings_is_told() {
    let checks = checked(Fixture { configure: "unreachable", ..harmless() }.component());
    assert_eq!(failures(&checks), ["settings-null", "settings-nonsense", "settings"]);
}

#[test]
fn a_module_that_takes_no_settings_asks_for_some() {
    let checks = checked(Fixture { settings_error: "no-good", ..harmless() }.component());
    assert_eq!(failures(&checks), ["settings"]);
    let Outcome::Failed { help, .. } = &checks.last().unwrap().outcome else { panic!("{checks:#?}") };
    assert!(help.contains("--settings"), "{help}");
}

#[test]
fn a_reviewer_that_crashes_is_told_by_every_change() {
    let checks = checked(Fixture { review: "unreachable", ..Fixture::new("reviewer") }.component());
    let change = checks.iter().find(|check| check.id == "every-change").unwrap();
    let Outcome::Failed { seen, .. } = &change.outcome else { panic!("{change:?}") };
    assert!(seen.starts_with("create-role: it crashed") && seen.contains("and 15 more"), "{seen}");
}

#[test]
fn a_planner_that_does_nothing_is_told_by_the_guard() {
    let checks = checked(Fixture::new("planner").component());
    let failed = failures(&checks);
    assert!(failed.contains(&"replay") && !failed.contains(&"nothing-to-do"), "{failed:?}");
}
