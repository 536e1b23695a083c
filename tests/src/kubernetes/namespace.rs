//! A namespace of a test's own: the ConfigMap and the Secrets that Rolewright reads there, and what it
//! writes. Everything that is read here is searched for secrets.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::{ApiClient, ApiServer, Condition, Event, Kubeconfig, Lease, ServiceAccount, Status};
use crate::source::CONFIGMAP;
use crate::{Output, eventually, leaks};

/// How long a report may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many at once create a fleet's Secrets.
const WRITERS: usize = 8;

/// What every password of a fleet starts with: found in any output with one search, where 10,000
/// passwords would take 10,000. Its length is a multiple of three, so that its base64 is the start
/// of theirs.
const FLEET_PASSWORD: &str = "cobalt-harbour-fleet-pw-";

/// A fresh namespace.
pub struct Namespace<'a> {
    server: &'a ApiServer,
    name: String,
    accounts: AtomicU32,
}

impl<'a> Namespace<'a> {
    pub(super) fn new(server: &'a ApiServer, name: String) -> Namespace<'a> {
        Namespace { server, name, accounts: AtomicU32::new(0) }
    }

    /// Its name, for `NAMESPACE`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    pub fn server(&self) -> &'a ApiServer {
        self.server
    }

    /// The administrator's client.
    pub fn admin(&self) -> &'a ApiClient {
        self.server.admin()
    }

    /// The path of an object in it, or without a name of all of that resource:
    /// `("api/v1", "secrets", …)`, `("apis/coordination.k8s.io/v1", "leases", …)`.
    pub fn path(&self, api: &str, resource: &str, name: &str) -> String {
        let path = format!("/{api}/namespaces/{}/{resource}/{name}", self.name);
        path.trim_end_matches('/').to_owned()
    }

    /// The ConfigMap with this `users.yaml`, new or in place of the one before. Annotations stay.
    pub fn configmap(&self, users_yaml: &str) -> &Self {
        self.configmap_with(&json!({ "data": { "users.yaml": users_yaml } }))
    }

    /// The ConfigMap with these fields besides its name: `data`, `binaryData`, `immutable`.
    pub fn configmap_with(&self, fields: &Value) -> &Self {
        let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": CONFIGMAP } });
        for (key, value) in fields.as_object().expect("fields are an object") {
            object[key] = value.clone();
        }
        self.admin().apply(&self.path("api/v1", "configmaps", CONFIGMAP), &object).succeeds();
        self
    }

    /// Deletes the ConfigMap.
    pub fn delete_configmap(&self) -> &Self {
        self.admin().delete(&self.path("api/v1", "configmaps", CONFIGMAP)).succeeds();
        self
    }

    /// Sets an annotation of the ConfigMap, as `kubectl annotate --overwrite` does.
    pub fn annotate(&self, key: &str, value: &str) -> &Self {
        self.merge_annotation(key, &json!(value))
    }

    /// Takes an annotation away.
    pub fn remove_annotation(&self, key: &str) -> &Self {
        self.merge_annotation(key, &Value::Null)
    }

    fn merge_annotation(&self, key: &str, value: &Value) -> &Self {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.admin().merge(&self.path("api/v1", "configmaps", CONFIGMAP), &patch).succeeds();
        self
    }

    /// The Secret `user-<user>-secret` with this password, new or in place of the one before.
    pub fn secret(&self, user: &str, password: &str) -> &Self {
        self.named_secret(&format!("user-{user}-secret"), "password", password)
    }

    /// A Secret with one key.
    pub fn named_secret(&self, name: &str, key: &str, password: &str) -> &Self {
        leaks::register_password(password);
        self.admin().apply(&self.path("api/v1", "secrets", name), &secret(name, key, password)).succeeds();
        self
    }

    /// Deletes a user's Secret.
    pub fn delete_secret(&self, user: &str) -> &Self {
        self.delete_named_secret(&format!("user-{user}-secret"))
    }

    /// Deletes a Secret.
    pub fn delete_named_secret(&self, name: &str) -> &Self {
        self.admin().delete(&self.path("api/v1", "secrets", name)).succeeds();
        self
    }

    /// The Secrets `user-<user>-secret` of many users, none of which may be there yet, written by
    /// several clients at once. The passwords are [`fleet_password`](Self::fleet_password).
    pub fn fleet_of_secrets(&self, users: &[String]) -> &Self {
        self.write_fleet(users, |client, user, password| {
            let name = format!("user-{user}-secret");
            client.create(&self.path("api/v1", "secrets", ""), &secret(&name, "password", password)).has_status(201);
        })
    }

    /// Gives many users new passwords in the same way: `generation` is a part of the password.
    pub fn change_fleet_of_secrets(&self, users: &[String], generation: u32) -> &Self {
        self.write_fleet(users, |client, user, password| {
            let name = format!("user-{user}-secret");
            let password = format!("{password}-{generation}");
            let object = secret(&name, "password", &password);
            client.replace(&self.path("api/v1", "secrets", &name), &object).has_status(200);
        })
    }

    fn write_fleet(&self, users: &[String], write: impl Fn(&ApiClient, &str, &str) + Sync) -> &Self {
        leaks::register_password(FLEET_PASSWORD);
        let write = &write;
        std::thread::scope(|scope| {
            for share in users.chunks(users.len().div_ceil(WRITERS).max(1)) {
                scope.spawn(move || {
                    for user in share {
                        write(self.admin(), user, &Self::fleet_password(user));
                    }
                });
            }
        });
        self
    }

    /// The password of a user of a fleet; after a change `-<generation>` follows.
    pub fn fleet_password(user: &str) -> String {
        format!("{FLEET_PASSWORD}{user}")
    }

    /// The status ConfigMap, as soon as there is one.
    pub fn status(&self) -> Option<Status> {
        let path = self.path("api/v1", "configmaps", &format!("{CONFIGMAP}-status"));
        self.read(&path).map(|object| Status::of(&object))
    }

    /// The conditions in the status; empty while there is none.
    pub fn conditions(&self) -> Vec<Condition> {
        self.status().map(|status| status.conditions()).unwrap_or_default()
    }

    /// Waits until a condition has this status, for at most 30 seconds.
    pub fn wait_for_condition(&self, kind: &str, status: &str) -> Condition {
        let start = Instant::now();
        loop {
            let now = self.status();
            let found = now.iter().flat_map(Status::conditions).find(|condition| condition.kind == kind);
            if let Some(found) = found.filter(|found| found.status == status) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "condition {kind} did not become {status}: {now:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All Events in the namespace, the oldest first.
    pub fn events(&self) -> Vec<Event> {
        let list = self.read(&self.path("apis/events.k8s.io/v1", "events", "")).expect("a list is always there");
        let mut events: Vec<Event> = list["items"].as_array().into_iter().flatten().map(Event::of).collect();
        events.sort_by_key(|event| event.object["metadata"]["creationTimestamp"].to_string());
        events
    }

    /// Waits for an Event of that reason, for at most 30 seconds.
    pub fn wait_for_event(&self, reason: &str) -> Event {
        eventually(&format!("an Event {reason}"), PATIENCE, || {
            self.events().into_iter().find(|event| event.reason == reason)
        })
    }

    /// The Lease, as soon as there is one.
    pub fn lease(&self) -> Option<Lease> {
        self.read(&self.path("apis/coordination.k8s.io/v1", "leases", CONFIGMAP)).map(|object| Lease::of(&object))
    }

    /// Reads an object or a list that holds no secret; `None` when it is not there.
    pub fn read(&self, path: &str) -> Option<Value> {
        let answer = self.admin().get(path);
        if answer.status == 404 {
            return None;
        }
        answer.has_status(200);
        leaks::assert_none(path, &answer.body);
        Some(answer.json())
    }

    /// Searches everything that Rolewright may have written here; nothing while nobody answers.
    pub fn check_for_leaks(&self) {
        if self.server.answers() {
            for (api, resource) in [
                ("api/v1", "configmaps"),
                ("apis/events.k8s.io/v1", "events"),
                ("apis/coordination.k8s.io/v1", "leases"),
            ] {
                self.read(&self.path(api, resource, ""));
            }
        }
    }

    /// Runs the real kubectl as administrator, with this namespace as the default.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.admin_kubeconfig().kubectl(arguments)
    }

    /// A kubeconfig of the administrator for this namespace.
    pub fn admin_kubeconfig(&self) -> Kubeconfig {
        self.server.admin_kubeconfig(&self.name)
    }

    /// A ServiceAccount that may do exactly this here, and nothing elsewhere.
    pub fn service_account(&'a self, rules: &Value) -> ServiceAccount<'a> {
        let number = self.accounts.fetch_add(1, Ordering::Relaxed);
        ServiceAccount::new(self, format!("rolewright-{number}"), rules)
    }

    /// What the ServiceAccounts of this namespace have asked of the API server so far, in the order of
    /// the answers. A watch is there as soon as it has begun.
    pub fn calls(&self) -> Vec<Call> {
        let log = self.server.audit_log();
        let prefix = format!("system:serviceaccount:{}:", self.name);
        let (mut calls, mut known) = (Vec::new(), BTreeSet::new());
        for line in log.lines().filter(|line| line.contains(&prefix)) {
            // The last line may be half written.
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let call = Call {
                verb: text(&entry["verb"]),
                resource: text(&entry["objectRef"]["resource"]),
                name: text(&entry["objectRef"]["name"]),
                uri: text(&entry["requestURI"]),
                status: entry["responseStatus"]["code"].as_u64().unwrap_or(0),
                user: text(&entry["user"]["username"]),
            };
            // The harness asks for its rules; a watch has an entry for its begin and one for its end.
            let ours = call.resource == "selfsubjectrulesreviews";
            if call.user.starts_with(&prefix) && !ours && known.insert(text(&entry["auditID"])) {
                leaks::assert_none("the audit log", line);
                calls.push(call);
            }
        }
        calls
    }
}

/// A request of a ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `list`, `watch`, `patch`, ….
    pub verb: String,
    /// `secrets`, `leases`, …; empty for what is no resource, such as `/version`.
    pub resource: String,
    /// Of the one object that it is about, also by field selector; else empty.
    pub name: String,
    /// The path and the query.
    pub uri: String,
    /// The answer's status.
    pub status: u64,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub user: String,
}

fn secret(name: &str, key: &str, password: &str) -> Value {
    let data = base64::engine::general_purpose::STANDARD.encode(password);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": { "name": name },
        "data": { key: data },
    })
}
