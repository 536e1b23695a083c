//! What a module does with settings that nobody should give it: it answers with a finding. A module
//! that crashes, or takes a misspelt setting in silence, costs an operator an afternoon.

use std::path::Path;

use serde_json::{Value, json};

use super::super::super::engine::Runtime;
use super::super::super::error::ChainError;
use super::super::subject::Subject;
use super::{Given, Outcome, Suite, failed, passed};

pub(super) fn settings(runtime: &Runtime, file: &Path, given: &Given, suite: &mut Suite) {
    let ask = |settings: &Value| Subject::load(runtime, file, settings, given.wasi).map(drop);
    let none = match ask(&Value::Null) {
        Ok(()) => passed("accepted"),
        Err(ChainError::Settings { findings, .. }) => {
            passed(findings.first().map(|finding| format!("refused: {}", finding.message)).unwrap_or_default())
        }
        Err(error) => crashed(&error, "null"),
    };
    suite.add("settings-null", "without settings it works, or says what it needs", none);

    let nonsense = [
        ("{}", json!({}), false),
        ("an unknown key", json!({ "rolewright-no-such-setting": true }), true),
        ("a list", json!([1, 2, 3]), true),
        ("a text", json!("nonsense"), true),
        ("a number", json!(-1e300), true),
        ("values of other types", types(&given.settings), false),
        ("lists a hundred deep", deep(), true),
        ("a megabyte of text", json!({ "rolewright-no-such-setting": "x".repeat(1 << 20) }), true),
    ];
    let mut wrong = Vec::new();
    for (what, settings, must_be_noticed) in nonsense {
        match ask(&settings) {
            Ok(()) if must_be_noticed => wrong.push(format!("{what}: taken without a word")),
            Ok(()) | Err(ChainError::Settings { .. }) => {}
            Err(error) => wrong.push(format!("{what}: {error}")),
        }
    }
    let outcome = if wrong.is_empty() {
        passed("")
    } else {
        failed(
            wrong.join("\n"),
            "answer with a finding from `validate-settings`, also for a key that the policy does not know; in Rust: \
             #[serde(deny_unknown_fields)]",
        )
    };
    suite.add("settings-nonsense", "nonsense as settings is answered with findings", outcome);
}

/// The settings that are known to be good, each value of another type.
fn types(given: &Value) -> Value {
    match given {
        Value::Object(fields) => {
            let other = |value: &Value| match value {
                Value::String(_) => json!({ "no": "text" }),
                _ => json!("neither number nor list"),
            };
            fields.iter().map(|(key, value)| (key.clone(), other(value))).collect::<serde_json::Map<_, _>>().into()
        }
        _ => json!({}),
    }
}

fn deep() -> Value {
    (0..100).fold(json!([]), |inner, _| json!([inner]))
}

fn crashed(error: &ChainError, settings: &str) -> Outcome {
    failed(
        format!("with {settings}: {error}"),
        "`validate-settings` must answer whatever it is given: with a finding, never with a crash",
    )
}
