//! What an API server's objects hold: from a ConfigMap to a declaration, from a Secret to passwords.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret as SecretObject};
use zeroize::Zeroizing;

use super::follow;
use crate::generated::{ANNOTATIONS, MANAGED_BY};
use crate::model::SecretState;
use crate::secret::{Held, Secret};
use crate::source::{Declaration, Directives, POLICIES_KEY, Revision, SCRIPT_SUFFIX, SourceError, USERS_KEY, value};
use crate::spec::Document;

/// What is kept of a Secret. Its values are wiped when it goes.
pub(super) struct Kept {
    version: String,
    labels: BTreeMap<String, String>,
    /// Ours only.
    annotations: BTreeMap<String, String>,
    /// When each key was last written, in Unix seconds.
    changed_at: BTreeMap<String, i64>,
    data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// What a ConfigMap declares.
pub(super) fn declaration(configmap: &ConfigMap, namespace: &str, name: &str) -> Result<Declaration, SourceError> {
    // Places in it read `configmap/NAME#users.yaml:3:7`.
    let file = format!("configmap/{name}#{USERS_KEY}");
    let text = match (
        configmap.data.as_ref().and_then(|data| data.get(USERS_KEY)),
        configmap.binary_data.as_ref().and_then(|data| data.get(USERS_KEY)),
    ) {
        (Some(text), _) => text.clone(),
        (None, Some(bytes)) => String::from_utf8(bytes.0.clone()).map_err(|error| SourceError::Malformed {
            place: file.clone(),
            message: format!(
                "the text in binaryData is not UTF-8: byte {} does not belong to any character",
                error.utf8_error().valid_up_to()
            ),
        })?,
        (None, None) => {
            let keys = configmap.data.iter().flat_map(BTreeMap::keys);
            let binary = configmap.binary_data.iter().flat_map(BTreeMap::keys);
            return Err(SourceError::NoUsers {
                name: name.to_owned(),
                place: format!("{namespace}/{name}"),
                keys: keys.chain(binary).cloned().collect(),
            });
        }
    };
    let annotations = configmap.metadata.annotations.as_ref();
    let metadata = &configmap.metadata;
    let policies = configmap.data.as_ref().and_then(|data| data.get(POLICIES_KEY));
    let files = configmap.data.iter().flatten().filter(|(key, _)| key.ends_with(SCRIPT_SUFFIX));
    let binary = configmap.binary_data.iter().flatten().filter(|(key, _)| *key != USERS_KEY);
    Ok(Declaration {
        document: Document::plain(file, text),
        policies: policies.map(|text| Document::plain(format!("configmap/{name}#{POLICIES_KEY}"), text.clone())),
        files: files.map(|(key, text)| (key.clone(), text.clone())).collect(),
        modules: binary.map(|(key, bytes)| (key.clone(), bytes.0.clone())).collect(),
        directives: Directives::read(|key| annotations?.get(key).map(String::as_str)),
        revision: Some(Revision {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }),
    })
}

impl Kept {
    pub(super) fn new(secret: SecretObject) -> Kept {
        let version = follow::version(&secret);
        let changed_at = changed_at(&secret);
        let labels = secret.metadata.labels.unwrap_or_default();
        let annotations = secret.metadata.annotations.unwrap_or_default();
        let annotations = annotations.into_iter().filter(|(key, _)| key.starts_with(ANNOTATIONS)).collect();
        let data = secret.data.into_iter().flatten().map(|(key, bytes)| (key, Zeroizing::new(bytes.0)));
        Kept { version, labels, annotations, changed_at, data: data.collect() }
    }

    /// What it holds under a key.
    pub(super) fn read(&self, name: &str, key: &str) -> Secret {
        let shown = format!("Secret {name:?}");
        let found = match self.data.get(key) {
            Some(bytes) => {
                let found = value::text(bytes.to_vec()).map(Some).map_err(|why| format!("key {key:?} {why}"));
                value::secret(&shown, key, self.version.clone(), found)
            }
            None => Secret {
                version: self.version.clone(),
                ..value::absent(SecretState::Missing, format!("{shown} has no key {key:?}"))
            },
        };
        let is_ours = self.labels.get(MANAGED_BY.0).is_some_and(|value| value == MANAGED_BY.1);
        let held = || Arc::new(Held { annotations: self.annotations.clone(), data: self.data.clone() });
        Secret {
            changed_at: self.changed_at.get(key).copied(),
            labels: self.labels.clone(),
            held: is_ours.then(held),
            ..found
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

/// When each key was last written. The server notes which field was last written by whom, and when
/// (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>). A writer's
/// time moves with whatever it writes, so a key may be older than this, never younger. Where nobody is
/// noted, it is as old as the object.
fn changed_at(secret: &SecretObject) -> BTreeMap<String, i64> {
    let created = secret.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    let mut written: BTreeMap<String, i64> = BTreeMap::new();
    for entry in secret.metadata.managed_fields.iter().flatten() {
        let (Some(time), Some(fields)) = (&entry.time, &entry.fields_v1) else { continue };
        let Some(data) = fields.0.get("f:data").and_then(|data| data.as_object()) else { continue };
        for key in data.keys().filter_map(|field| field.strip_prefix("f:")) {
            let newest = written.entry(key.to_owned()).or_insert(i64::MIN);
            *newest = (*newest).max(time.0.as_second());
        }
    }
    let keys = secret.data.iter().flat_map(BTreeMap::keys);
    keys.filter_map(|key| Some((key.clone(), written.get(key).copied().or(created)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configmap(value: serde_json::Value) -> ConfigMap {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_configmap_is_read_with_its_annotations_and_its_version() {
        let found = declaration(
            &configmap(json!({
                "metadata": {
                    "name": "users", "uid": "u", "resourceVersion": "7",
                    "annotations": {"rolewright.dev/paused": "true", "rolewright.dev/approve": "sha256:ab"},
                },
                "data": {"users.yaml": "users: []\n", "views.sql": "SELECT 1", "notes.txt": "n"},
                "immutable": true,
            })),
            "postgres",
            "users",
        )
        .unwrap();
        assert_eq!(found.files, BTreeMap::from([("views.sql".to_owned(), "SELECT 1".to_owned())]));
        assert_eq!(found.document.text, "users: []\n");
        assert_eq!(found.document.file, "configmap/users#users.yaml");
        assert_eq!(found.revision.unwrap().resource_version, "7");
        assert!(found.directives.paused);
        assert_eq!(found.directives.approve.as_deref(), Some("sha256:ab"));
    }

    #[test]
    fn binary_data_does_as_well_unless_it_is_no_text() {
        let text = |base64: &str| {
            declaration(&configmap(json!({"metadata": {}, "binaryData": {"users.yaml": base64}})), "n", "users")
        };
        assert_eq!(text("dXNlcnM6IFtdCg==").unwrap().document.text, "users: []\n");
        let error = text("/w==").unwrap_err().to_string();
        assert!(error.contains("configmap/users#users.yaml") && error.contains("byte 0"), "{error}");
    }

    #[test]
    fn a_configmap_without_the_key_says_which_it_has() {
        let error = declaration(
            &configmap(json!({"metadata": {}, "data": {"user.yaml": "x"}, "binaryData": {"logo": "AA=="}})),
            "n",
            "users",
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("`users.yaml`") && error.contains("user.yaml, logo"), "{error}");
    }

    #[test]
    fn a_key_is_as_old_as_the_last_writing_of_its_writers() {
        let entry = |time: &str, fields: serde_json::Value| json!({"manager": "m", "operation": "Update", "time": time, "fieldsV1": fields});
        let secret: SecretObject = serde_json::from_value(json!({
            "metadata": {
                "name": "s", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"team": "data"},
                "managedFields": [
                    entry("2026-02-01T00:00:01Z", json!({"f:data": {".": {}, "f:password": {}, "f:other": {}}})),
                    entry("2026-03-01T00:00:00Z", json!({"f:data": {"f:password": {}}})),
                    entry("2026-02-02T00:00:00Z", json!({"f:data": {"f:password": {}}})),
                    // Who writes labels leaves the passwords as they are.
                    entry("2026-09-01T00:00:00Z", json!({"f:metadata": {"f:labels": {"f:team": {}}}})),
                    // Who gave no time says nothing of the age.
                    {"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {"f:unowned": {}}}},
                ],
            },
            "data": {"password": "aHVudGVyMg==", "other": "eA==", "unowned": "eA==", "f:odd": "eA=="},
        }))
        .unwrap();
        let kept = Kept::new(secret);
        let at = |key: &str| kept.read("s", key).changed_at;
        assert_eq!(at("password"), Some(1_772_323_200), "2026-03-01T00:00:00Z");
        assert_eq!(at("other"), Some(1_769_904_001), "2026-02-01T00:00:01Z");
        assert_eq!(at("unowned"), Some(1_767_225_600), "as old as the Secret");
        assert_eq!(at("gone"), None);
        assert_eq!(kept.read("s", "password").labels, BTreeMap::from([("team".to_owned(), "data".to_owned())]));
        assert_eq!(kept.changed_at.len(), 4, "of who wrote what, nothing more is kept");
    }

    #[test]
    fn a_secret_that_tells_nothing_of_its_writing_has_no_age() {
        let secret: SecretObject =
            serde_json::from_value(json!({"metadata": {"name": "s"}, "data": {"password": "aHVudGVyMg=="}})).unwrap();
        let found = Kept::new(secret).read("s", "password");
        assert_eq!((found.state, found.changed_at, found.labels.len()), (SecretState::Present, None, 0));
    }

    #[test]
    fn a_secret_is_read_by_key_and_no_trouble_shows_a_value() {
        let secret: SecretObject = serde_json::from_value(json!({
            "metadata": {"name": "s", "uid": "u", "resourceVersion": "3"},
            "data": {"password": "aHVudGVyMg==", "empty": "", "binary": "/w==", "nul": "YQBi"},
        }))
        .unwrap();
        let kept = Kept::new(secret);
        let good = kept.read("s", "password");
        assert_eq!((good.state, good.version.as_str()), (SecretState::Present, "u/3"));
        assert_eq!(good.password.unwrap().reveal(), "hunter2");
        for (key, state) in [
            ("empty", SecretState::Empty),
            ("binary", SecretState::Unreadable),
            ("nul", SecretState::Unreadable),
            ("other", SecretState::Missing),
        ] {
            let found = kept.read("s", key);
            assert_eq!((found.state, found.version.as_str()), (state, "u/3"), "{key}");
            let problem = found.problem.unwrap();
            assert!(problem.contains("Secret \"s\"") && problem.contains(key), "{problem}");
        }
    }
}
