//! Manifests as `kubectl apply -f` takes them, in a directory: one ConfigMap, and a Secret for each
//! password.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;

use crate::leaks;
use crate::session::new_directory;

/// The ConfigMap's default name.
pub const CONFIGMAP: &str = "postgres-users-config";
/// The namespace by default.
pub const NAMESPACE: &str = "postgres";
/// The file that holds the ConfigMap.
pub const CONFIGMAP_FILE: &str = "configmap.yaml";

/// Where a complaint about a place in the users.yaml given to [`Manifests::users`] must point: the
/// file that a person opens, with its own lines and columns.
pub fn place(line: usize, column: usize) -> String {
    format!("{CONFIGMAP_FILE}:{}:{}", line + LINES_BEFORE, column + INDENT)
}

/// Lines of the manifest in front of the text, and columns in front of each of its lines.
const LINES_BEFORE: usize = 7;
const INDENT: usize = 4;

/// A directory of manifests.
pub struct Manifests {
    directory: PathBuf,
}

impl Default for Manifests {
    fn default() -> Self {
        Manifests::new()
    }
}

impl Manifests {
    /// An empty directory.
    pub fn new() -> Manifests {
        Manifests { directory: new_directory("manifests") }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The ConfigMap with this `users.yaml`, as a block of text. What is there already is replaced,
    /// as an editor would: a new file is moved over the old one.
    pub fn users(&self, users_yaml: &str) -> &Self {
        let mut block = String::new();
        for line in users_yaml.lines() {
            if !line.is_empty() {
                block.push_str("    ");
                block.push_str(line);
            }
            block.push('\n');
        }
        self.file(
            CONFIGMAP_FILE,
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {CONFIGMAP}\n  namespace: {NAMESPACE}\n\
                 data:\n  users.yaml: |2\n{block}"
            ),
        )
    }

    /// The ConfigMap with this `users.yaml`, byte for byte, whatever is in it: as one JSON string,
    /// which is YAML too.
    pub fn users_exactly(&self, users_yaml: &str) -> &Self {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": CONFIGMAP, "namespace": NAMESPACE },
            "data": { "users.yaml": users_yaml },
        });
        self.file(CONFIGMAP_FILE, manifest.to_string())
    }

    /// The ConfigMap with a policy chain beside its `users.yaml`, and modules in its `binaryData`.
    pub fn users_and_policies(&self, users_yaml: &str, policies_yaml: &str, modules: &[(&str, &Path)]) -> &Self {
        let module = |(key, path): &(&str, &Path)| {
            let bytes = fs::read(path).expect("the module is there");
            ((*key).to_owned(), json!(base64::engine::general_purpose::STANDARD.encode(bytes)))
        };
        let modules: serde_json::Map<String, serde_json::Value> = modules.iter().map(module).collect();
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": CONFIGMAP, "namespace": NAMESPACE },
            "data": { "users.yaml": users_yaml, "policies.yaml": policies_yaml },
            "binaryData": modules,
        });
        self.file(CONFIGMAP_FILE, manifest.to_string())
    }

    /// The Secret `user-<user>-secret` with this password, in `data`, as the API server gives it.
    pub fn secret(&self, user: &str, password: &str) -> &Self {
        self.named_secret(&format!("user-{user}-secret"), "password", password)
    }

    /// A Secret with one key.
    pub fn named_secret(&self, name: &str, key: &str, password: &str) -> &Self {
        leaks::register_password(password);
        let data = base64::engine::general_purpose::STANDARD.encode(password);
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "data": { key: data },
        });
        self.file(&format!("{name}.yaml"), manifest.to_string())
    }

    /// A Secret that is written by hand, with `stringData`.
    pub fn string_secret(&self, user: &str, password: &str) -> &Self {
        leaks::register_password(password);
        let name = format!("user-{user}-secret");
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "stringData": { "password": password },
        });
        self.file(&format!("{name}.yaml"), manifest.to_string())
    }

    /// Takes the Secret of a user away.
    pub fn remove_secret(&self, user: &str) -> &Self {
        fs::remove_file(self.directory.join(format!("user-{user}-secret.yaml"))).expect("there was such a Secret");
        self
    }

    /// Any file, written aside and moved into place.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let aside = self.directory.join(format!(".{name}.new"));
        fs::write(&aside, content).expect("our directory is writable");
        fs::rename(&aside, self.directory.join(name)).expect("our directory is writable");
        self
    }

    /// Takes a file away.
    pub fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.directory.join(name)).expect("there was such a file");
        self
    }
}

impl Drop for Manifests {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// An entry for `users:` with a Secret under its ordinary name.
pub fn user(name: &str, roles: &[&str]) -> String {
    format!("  - username: {name}\n    database: postgres\n    roles: [{}]\n    privileges: null\n", roles.join(", "))
}

/// A whole `users.yaml` of such entries.
pub fn users(entries: &[(&str, &[&str])]) -> String {
    let mut text = String::from("users:\n");
    for (name, roles) in entries {
        text.push_str(&user(name, roles));
    }
    text
}
