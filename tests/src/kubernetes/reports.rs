//! What Rolewright tells the cluster, taken apart: the status ConfigMap, Events, the Lease.

use std::collections::BTreeMap;

use serde_json::Value;

/// The status ConfigMap.
#[derive(Debug, Clone)]
pub struct Status {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its data, as text.
    pub data: BTreeMap<String, String>,
}

impl Status {
    pub(super) fn of(object: &Value) -> Status {
        Status { labels: texts(&object["metadata"]["labels"]), data: texts(&object["data"]) }
    }

    /// The sentence for people.
    pub fn summary(&self) -> &str {
        self.data.get("summary").map_or("", String::as_str)
    }

    /// The conditions.
    pub fn conditions(&self) -> Vec<Condition> {
        let list = self.yaml("conditions");
        list.as_array().map(|list| list.iter().map(Condition::of).collect()).unwrap_or_default()
    }

    /// One condition, which must be there.
    pub fn condition(&self, kind: &str) -> Condition {
        let found = self.conditions().into_iter().find(|condition| condition.kind == kind);
        found.unwrap_or_else(|| panic!("there is no condition {kind}: {self:#?}"))
    }

    /// Versions, digests and counts.
    pub fn observed(&self) -> Value {
        self.yaml("observed")
    }

    /// The state of each user.
    pub fn users(&self) -> BTreeMap<String, String> {
        texts(&self.yaml("users"))
    }

    /// A key's text, read as YAML; null where there is none.
    fn yaml(&self, key: &str) -> Value {
        let Some(text) = self.data.get(key) else { return Value::Null };
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{key} is no YAML: {error}\n{text}"))
    }
}

/// A condition, as the API convention has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`, `Synced`, …: the field `type`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// When the status changed.
    pub last_transition_time: String,
}

impl Condition {
    fn of(value: &Value) -> Condition {
        Condition {
            kind: text(&value["type"]),
            status: text(&value["status"]),
            reason: text(&value["reason"]),
            message: text(&value["message"]),
            last_transition_time: text(&value["lastTransitionTime"]),
        }
    }
}

/// An Event (events.k8s.io).
#[derive(Debug, Clone)]
pub struct Event {
    /// `Applied`, `Held`, ….
    pub reason: String,
    /// `Normal` or `Warning`: the field `type`.
    pub kind: String,
    /// The sentence.
    pub note: String,
    /// How often: of its series, else 1.
    pub count: u64,
    /// `kind/name` of what it is about.
    pub regarding: String,
    /// The whole object.
    pub object: Value,
}

impl Event {
    pub(super) fn of(object: &Value) -> Event {
        let count = [&object["series"]["count"], &object["deprecatedCount"]];
        Event {
            reason: text(&object["reason"]),
            kind: text(&object["type"]),
            note: text(&object["note"]),
            count: count.into_iter().find_map(Value::as_u64).unwrap_or(1),
            regarding: format!("{}/{}", text(&object["regarding"]["kind"]), text(&object["regarding"]["name"])),
            object: object.clone(),
        }
    }
}

/// A Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who leads; empty when it was given back.
    pub holder: String,
    /// How often the leader has changed.
    pub transitions: u64,
    /// For how long a silent leader keeps it.
    pub duration_seconds: u64,
    /// When it was renewed last.
    pub renew_time: String,
}

impl Lease {
    pub(super) fn of(object: &Value) -> Lease {
        let spec = &object["spec"];
        Lease {
            holder: text(&spec["holderIdentity"]),
            transitions: spec["leaseTransitions"].as_u64().unwrap_or(0),
            duration_seconds: spec["leaseDurationSeconds"].as_u64().unwrap_or(0),
            renew_time: text(&spec["renewTime"]),
        }
    }
}

/// Text as it is, nothing as an empty text, and anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.clone(), text(value))).collect()
}
