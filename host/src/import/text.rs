//! The text of a users.yaml: an entry of a few lines for each role, and whatever a name or a value is made of, text that
//! reads back as it was and does nothing to a terminal.

use std::fmt::Write as _;

use super::{Entry, Value};
use crate::report::yaml::{scalar, word};

/// The document.
pub(super) fn users_yaml(entries: &[Entry]) -> String {
    let mut text = String::new();
    list(&mut text, "users", "username", entries.iter().filter(|entry| entry.is_user));
    if entries.iter().any(|entry| !entry.is_user) {
        list(&mut text, "roles", "name", entries.iter().filter(|entry| !entry.is_user));
    }
    text
}

/// A list of entries, with what is not in it as comments where it would be.
fn list<'a>(text: &mut String, key: &str, name_key: &str, entries: impl Iterator<Item = &'a Entry> + Clone) {
    // `users:` with nothing behind it would be null, which is no list.
    let is_empty = !entries.clone().any(|entry| entry.keys.is_some());
    let _ = writeln!(text, "{key}:{}", if is_empty { " []" } else { "" });
    for entry in entries {
        for note in &entry.notes {
            let _ = writeln!(text, "  # {}", note.in_words());
        }
        let Some(keys) = &entry.keys else { continue };
        let _ = writeln!(text, "  - {name_key}: {}", scalar(&entry.name));
        for (key, value) in keys {
            match value {
                Value::Text(value) => {
                    let _ = writeln!(text, "    {key}: {}", scalar(value));
                }
                Value::Lines(items) => {
                    let _ = writeln!(text, "    {key}:");
                    for item in items {
                        let _ = writeln!(text, "      - {}", on_one_line(item));
                    }
                }
                value => {
                    let _ = writeln!(text, "    {key}: {}", on_one_line(value));
                }
            }
        }
    }
}

fn on_one_line(value: &Value) -> String {
    match value {
        Value::Text(text) => word(text),
        Value::Plain(text) => text.clone(),
        Value::List(items) | Value::Lines(items) => {
            format!("[{}]", items.iter().map(on_one_line).collect::<Vec<_>>().join(", "))
        }
        Value::Map(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}: {}", word(key), on_one_line(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// A manifest as `kubectl apply -f` takes it, with the document in it.
pub(super) fn configmap(users_yaml: &str, name: &str, namespace: Option<&str>) -> String {
    let mut text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n", scalar(name));
    if let Some(namespace) = namespace {
        let _ = writeln!(text, "  namespace: {}", scalar(namespace));
    }
    text.push_str("data:\n  users.yaml: |\n");
    for line in users_yaml.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}
