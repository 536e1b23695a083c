//! The rules of Roles under which Rolewright is tested.

use serde_json::{Value, json};

use crate::source::CONFIGMAP;

/// Which Secrets somebody may read.
#[derive(Debug, Clone, Copy)]
pub enum Secrets<'a> {
    /// These; each is listed and watched by its name.
    Named(&'a [&'a str]),
    /// All of the namespace, which `SECRET_SELECTOR` takes.
    All,
}

/// The least rights with which the controller does all that it does, as rules of a Role.
pub fn least_rights(secrets: Secrets<'_>) -> Value {
    let mut rules = vec![
        rule("", "configmaps", &[CONFIGMAP], &["list", "watch"]),
        rule("", "configmaps", &[&format!("{CONFIGMAP}-status")], &["get", "create", "patch"]),
        rule("coordination.k8s.io", "leases", &[CONFIGMAP], &["get", "create", "patch"]),
        rule("events.k8s.io", "events", &[], &["create", "patch"]),
    ];
    match secrets {
        Secrets::Named([]) => {} // without names a rule would be for all
        Secrets::Named(names) => rules.push(rule("", "secrets", names, &["list", "watch"])),
        Secrets::All => rules.push(rule("", "secrets", &[], &["list", "watch"])),
    }
    Value::Array(rules)
}

fn rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> Value {
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

/// The same rules with one verb less: each possibility once, with its verb and resource
/// (`("list", "secrets", …)`).
pub fn with_one_right_less(rules: &Value) -> Vec<(String, String, Value)> {
    let rules = rules.as_array().expect("rules are a list");
    let mut less = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let verbs = rule["verbs"].as_array().expect("verbs are a list");
        for verb in verbs {
            let mut remaining = rules.clone();
            let rest: Vec<&Value> = verbs.iter().filter(|other| *other != verb).collect();
            if rest.is_empty() {
                remaining.remove(index);
            } else {
                remaining[index]["verbs"] = json!(rest);
            }
            let text = |value: &Value| value.as_str().expect("a rule is made of strings").to_owned();
            less.push((text(verb), text(&rule["resources"][0]), Value::Array(remaining)));
        }
    }
    less
}
