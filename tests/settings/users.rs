//! The JSON Schema of users.yaml as it ships: it takes every users.yaml that this repository shows, and judges the cases
//! in users-cases.yaml as the parser does.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed expectation is how a test fails

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema() -> Validator {
    let schema: Value = serde_json::from_str(&read("docs/users.schema.json")).unwrap();
    jsonschema::meta::validate(&schema).expect("a JSON Schema");
    jsonschema::validator_for(&schema).unwrap()
}

fn takes(schema: &Validator, place: &str, document: &Value) {
    schema.validate(document).unwrap_or_else(|error| panic!("{place}: {error}, at {}", error.instance_path()));
}

#[test]
fn it_judges_as_the_parser_does() {
    let schema = schema();
    let cases: Value = serde_saphyr::from_str(&read("tests/settings/users-cases.yaml")).unwrap();
    for case in cases["good"].as_array().unwrap() {
        takes(&schema, "a good case", case);
    }
    for case in cases["bad"].as_array().unwrap() {
        assert!(!schema.is_valid(case), "the schema takes {case}");
    }
}

#[test]
fn it_takes_every_users_yaml_that_is_shown() {
    let schema = schema();
    // The ConfigMap comes first; Secrets may follow.
    let manifest = |text: &str, place: &str| -> Value {
        let first = text.split("\n---\n").next().unwrap_or_default();
        let manifest: Value = serde_saphyr::from_str(first).unwrap_or_else(|error| panic!("{place}: {error}"));
        let text = manifest["data"]["users.yaml"].as_str().unwrap_or_else(|| panic!("{place}: no users.yaml"));
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{place}: {error}"))
    };
    for chain in ["homelab", "regulated", "startup"] {
        let place = format!("examples/chains/{chain}/users.yaml");
        takes(&schema, &place, &manifest(&read(&place), &place));
    }
    for place in ["examples/demo/users.yaml", "examples/demo-kubernetes/users.yaml"] {
        takes(&schema, place, &manifest(&read(place), place));
    }
    let readme = read("README.md");
    let shown: Vec<&str> = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let whole = shown.iter().find(|text| text.contains("kind: ConfigMap")).expect("a ConfigMap");
    takes(&schema, "README.md", &manifest(whole, "README.md"));
    let grants = shown.iter().find(|text| text.contains("grants:")).expect("grants");
    takes(&schema, "README.md", &serde_saphyr::from_str(&format!("users: []\n{}", dedented(grants))).unwrap());
    let reference = read("docs/users.md");
    let shown: Vec<&str> = reference.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(shown.len() > 1, "docs/users.md shows less than it did");
    for part in shown {
        let part = dedented(part);
        let whole = if part.contains("users:\n") { part } else { format!("users: []\n{part}") };
        takes(&schema, "docs/users.md", &serde_saphyr::from_str(&whole).unwrap());
    }
}

/// The lines without the indentation of the first.
fn dedented(text: &str) -> String {
    let indentation = text.len() - text.trim_start().len();
    text.lines().map(|line| format!("{}\n", line.get(indentation..).unwrap_or_default())).collect()
}
