//! Who somebody is to an API server: a kubeconfig file, and the ServiceAccount whose token it holds.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::{ApiClient, ApiServer, Namespace};
use crate::session::{self, kubernetes_bin, new_directory};
use crate::{Output, eventually, leaks};

/// A kubeconfig file, and what can be done with it.
pub struct Kubeconfig {
    directory: PathBuf,
    administrator: ApiClient,
}

impl Kubeconfig {
    /// One with this token in it.
    pub(super) fn with_token(server: &ApiServer, namespace: &str, token: &str) -> Kubeconfig {
        Kubeconfig::write(server, namespace, token, &json!({ "token": token }))
    }

    /// One whose token lies in a file beside it.
    fn with_token_file(server: &ApiServer, namespace: &str, token: &str) -> Kubeconfig {
        Kubeconfig::write(server, namespace, token, &Value::Null)
    }

    fn write(server: &ApiServer, namespace: &str, token: &str, user: &Value) -> Kubeconfig {
        let directory = new_directory("kubeconfig");
        let this = Kubeconfig { directory, administrator: server.admin().clone() };
        let token_file = json!({ "tokenFile": this.token_file() });
        let user = if user.is_null() { &token_file } else { user };
        this.write_token(token);
        let authority = base64::engine::general_purpose::STANDARD.encode(server.authority());
        let cluster = json!({ "server": server.url(), "certificate-authority-data": authority });
        let context = json!({ "cluster": "test", "user": "test", "namespace": namespace });
        // JSON is YAML too.
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": "test", "user": user }],
            "contexts": [{ "name": "test", "context": context }],
            "current-context": "test",
        });
        fs::write(this.path(), format!("{text:#}\n")).expect("our directory is writable");
        this
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The file of the token.
    pub fn token_file(&self) -> PathBuf {
        self.directory.join("token")
    }

    /// A file with the same credentials for the same server, which is reached by another port of
    /// loopback: that of a [`Proxy`](crate::Proxy).
    pub fn by_port(&self, port: u16) -> PathBuf {
        let text = fs::read_to_string(self.path()).expect("our own file");
        let mut object: Value = serde_json::from_str(&text).expect("we wrote it");
        object["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
        let path = self.directory.join(format!("config-{port}"));
        fs::write(&path, object.to_string()).expect("our directory is writable");
        path
    }

    /// As kubelet does: a new file is moved over the old one.
    fn write_token(&self, token: &str) {
        leaks::register_token(token);
        let aside = self.directory.join("token.new");
        fs::write(&aside, token).expect("our directory is writable");
        fs::rename(&aside, self.token_file()).expect("our directory is writable");
    }

    /// A client with the token that lies in the file now.
    pub fn client(&self) -> ApiClient {
        let token = fs::read_to_string(self.token_file()).expect("our own file");
        self.administrator.with_token(&token)
    }

    /// Runs the real kubectl with it. What comes is searched for secrets.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        kubectl(&self.path(), arguments)
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let beside = kubernetes_bin().join("kubectl");
    let program = if beside.is_file() { beside } else { PathBuf::from("kubectl") };
    let mut command = Command::new(program);
    // Its cache and preferences are in its home, and those of whoever runs the tests mean nothing here.
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments).stdin(Stdio::null());
    command.env("HOME", session::directory()).env("TZ", "UTC");
    let output = command.output().expect("kubectl runs");
    let output = Output {
        program: "kubectl",
        arguments: arguments.join(" "),
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let place = format!("the output of `kubectl {}`", output.arguments);
    leaks::assert_none(&place, &output.stdout);
    leaks::assert_none(&place, &output.stderr);
    output
}

/// A ServiceAccount with a Role of its own, and a kubeconfig with a token for it, issued by the
/// TokenRequest API as for a pod.
pub struct ServiceAccount<'a> {
    namespace: &'a Namespace<'a>,
    name: String,
    kubeconfig: Kubeconfig,
}

impl<'a> ServiceAccount<'a> {
    /// Makes it, and waits until these rules are in force.
    pub(super) fn new(namespace: &'a Namespace<'a>, name: String, rules: &Value) -> ServiceAccount<'a> {
        create(namespace, &name);
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace.name() }],
        });
        let path = namespace.path("apis/rbac.authorization.k8s.io/v1", "rolebindings", &name);
        namespace.admin().apply(&path, &binding).succeeds();
        let kubeconfig = Kubeconfig::with_token_file(namespace.server(), namespace.name(), &token(namespace, &name));
        let this = ServiceAccount { namespace, name, kubeconfig };
        this.set_rules(rules);
        this
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the rules of its Role, and waits until they are in force.
    pub fn set_rules(&self, rules: &Value) {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": self.name },
            "rules": rules,
        });
        let path = self.namespace.path("apis/rbac.authorization.k8s.io/v1", "roles", &self.name);
        self.namespace.admin().apply(&path, &role).succeeds();
        let client = self.client();
        eventually("the rules to be in force", Duration::from_secs(30), || {
            (in_force(&client, self.namespace.name()) == *rules).then_some(())
        });
    }

    /// Puts a new token into the file; the one before it stays good.
    pub fn rotate_token(&self) {
        self.kubeconfig.write_token(&token(self.namespace, &self.name));
    }

    /// Makes all its tokens invalid; the file keeps the last one until [`Self::rotate_token`]. The API
    /// server goes on accepting a token that it has just seen for up to ten seconds.
    pub fn revoke_tokens(&self) {
        let path = self.namespace.path("api/v1", "serviceaccounts", &self.name);
        self.namespace.admin().delete(&path).succeeds();
        create(self.namespace, &self.name);
    }
}

/// A ServiceAccount is used like its kubeconfig.
impl Deref for ServiceAccount<'_> {
    type Target = Kubeconfig;

    fn deref(&self) -> &Kubeconfig {
        &self.kubeconfig
    }
}

fn create(namespace: &Namespace<'_>, name: &str) {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    namespace.admin().create(&namespace.path("api/v1", "serviceaccounts", ""), &account).has_status(201);
}

/// A new token, good for an hour.
fn token(namespace: &Namespace<'_>, name: &str) -> String {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600 },
    });
    let path = namespace.path("api/v1", "serviceaccounts", name) + "/token";
    let answer = namespace.admin().create(&path, &request);
    answer.has_status(201);
    let token = answer.json()["status"]["token"].as_str().expect("a token is a string").to_owned();
    leaks::register_token(&token);
    token
}

/// The rules that the API server's authorizer has for somebody, but for what everybody may: ask what he may.
fn in_force(client: &ApiClient, namespace: &str) -> Value {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": namespace },
    });
    let answer = client.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review);
    answer.has_status(201);
    let mut rules = answer.json()["status"]["resourceRules"].take();
    if let Some(rules) = rules.as_array_mut() {
        let of_everybody = [json!(["authorization.k8s.io"]), json!(["authentication.k8s.io"])];
        rules.retain(|rule| !of_everybody.contains(&rule["apiGroups"]));
    }
    rules
}
