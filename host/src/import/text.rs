//! The text of a users.yaml: an entry of a few lines for each role, and whatever a name or a value is made of, text that
//! reads back as it was and does nothing to a terminal.

use std::fmt::Write as _;

use super::{Entry, Imported, Value};
use crate::printable;
use crate::report::yaml::{scalar, word};

/// The document: the sections in the order of the reference, those with nothing in them left out.
pub(super) fn users_yaml(imported: &Imported) -> String {
    let mut text = String::new();
    if !imported.protected.is_empty() {
        let names: Vec<String> = imported.protected.iter().map(|name| format!("{name:?}")).collect();
        comment(&mut text, "", &format!("left out, as protected: {}", names.join(", ")));
    }
    list(&mut text, "users", "username", &imported.users, &[]);
    if !imported.roles.is_empty() {
        list(&mut text, "roles", "name", &imported.roles, &[]);
    }
    if !imported.databases.entries.is_empty() {
        list(&mut text, "databases", "name", &imported.databases.entries, &imported.databases.remarks);
    }
    if !imported.profiles.is_empty() {
        text.push_str("profiles:\n");
        for (name, profile) in &imported.profiles {
            let _ = writeln!(text, "  {}: {}", word(name), on_one_line(profile));
        }
    }
    if !imported.external.is_empty() {
        text.push_str("external:\n");
        comment(&mut text, "  ", "own something above, and are not declared themselves");
        for name in &imported.external {
            let _ = writeln!(text, "  - {}", scalar(name));
        }
    }
    text
}

fn comment(text: &mut String, indent: &str, words: &str) {
    let _ = writeln!(text, "{indent}# {}", printable::line(words));
}

/// A list of entries, with what is not in it as comments where it would be.
fn list(text: &mut String, key: &str, name_key: &str, entries: &[Entry], remarks: &[String]) {
    // `users:` with nothing behind it would be null, which is no list.
    let is_empty = !entries.iter().any(|entry| entry.keys.is_some());
    let _ = writeln!(text, "{key}:{}", if is_empty { " []" } else { "" });
    remarks.iter().for_each(|remark| comment(text, "  ", remark));
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
