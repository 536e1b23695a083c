//! etcd and kube-apiserver on loopback, with RBAC, a certificate of our own and an administrator's
//! token. A server takes three seconds to start and 340 MiB, so tests share one and have namespaces
//! of their own; a test that stops or slows a server starts its own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rcgen::KeyPair;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{ApiClient, Kubeconfig, Namespace};
use crate::session::{free_port, kubernetes_bin, new_directory};
use crate::tls::Certificates;
use crate::{Response, eventually, http, leaks};

/// The token of a member of `system:masters`, who may do everything.
const ADMIN_TOKEN: &str = "granite-heron-administrator";

/// Requests of ServiceAccounts, without their bodies: what [`Namespace::calls`] reads.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ['system:serviceaccounts']
  - level: None
";

/// A running API server with its etcd.
pub struct ApiServer {
    directory: PathBuf,
    port: u16,
    etcd_port: u16,
    etcd_peer_port: u16,
    authority: String,
    admin: ApiClient,
    etcd: Mutex<Option<Child>>,
    api: Mutex<Option<Child>>,
    answers: AtomicBool,
    namespaces: AtomicU32,
}

impl ApiServer {
    /// The one that all tests of this process share. Never stop it: the guard does, after the last test.
    pub fn shared() -> &'static ApiServer {
        static SHARED: OnceLock<ApiServer> = OnceLock::new();
        SHARED.get_or_init(ApiServer::start)
    }

    /// Starts a server of a test's own.
    pub fn start() -> ApiServer {
        leaks::register_token(ADMIN_TOKEN);
        let directory = new_directory("k");
        let certificates = Certificates::for_names(&["127.0.0.1", "localhost", "kubernetes.default.svc"]);
        let signing_key = KeyPair::generate().expect("a key can be made");
        for (name, content) in [
            ("ca.crt", certificates.authority.as_str()),
            ("server.crt", &certificates.certificate),
            ("server.key", &certificates.key),
            ("service-account.key", &signing_key.serialize_pem()),
            ("service-account.pub", &signing_key.public_key_pem()),
            ("tokens.csv", &format!("{ADMIN_TOKEN},admin,admin,system:masters\n")),
            ("audit-policy.yaml", AUDIT_POLICY),
        ] {
            fs::write(directory.join(name), content).expect("our directory is writable");
        }
        let port = free_port();
        let server = ApiServer {
            admin: ApiClient::new(&format!("https://127.0.0.1:{port}"), &certificates.authority, ADMIN_TOKEN),
            authority: certificates.authority,
            directory,
            port,
            etcd_port: free_port(),
            etcd_peer_port: free_port(),
            etcd: Mutex::new(None),
            api: Mutex::new(None),
            answers: AtomicBool::new(false),
            namespaces: AtomicU32::new(0),
        };
        server.start_etcd();
        server.start_api();
        server
    }

    /// A fresh namespace, which stays: its number is new for each.
    pub fn namespace(&self) -> Namespace<'_> {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.admin.create("/api/v1/namespaces", &object).has_status(201);
        Namespace::new(self, name)
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The certificate authority, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The administrator's client.
    pub fn admin(&self) -> &ApiClient {
        &self.admin
    }

    /// A kubeconfig of the administrator, with `namespace` as the context's.
    pub fn admin_kubeconfig(&self, namespace: &str) -> Kubeconfig {
        Kubeconfig::with_token(self, namespace, ADMIN_TOKEN)
    }

    /// Its own metrics. `apiserver_request_total` counts calls by verb and resource, those of all
    /// tests together on the shared server: [`Namespace::calls`] tells them apart.
    pub fn metrics(&self) -> Response {
        let metrics = self.admin.get("/metrics");
        metrics.has_status(200);
        metrics
    }

    /// Whether it runs, and neither it nor its etcd is paused.
    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Starts kube-apiserver, again on the same port and the same data, and waits until it is ready.
    pub fn start_api(&self) {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let arguments = [
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            "--advertise-address=127.0.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--authorization-mode=RBAC".into(),
            format!("--client-ca-file={}", file("ca.crt")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--cert-dir={}", file("certificates")),
            format!("--tls-cert-file={}", file("server.crt")),
            format!("--tls-private-key-file={}", file("server.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("service-account.pub")),
            format!("--service-account-signing-key-file={}", file("service-account.key")),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
            "--profiling=false".into(),
            format!("--audit-policy-file={}", file("audit-policy.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
            // Its name changes when it is full: so large that it never is.
            "--audit-log-maxsize=2000".into(),
        ];
        spawn(&self.api, &self.directory, "kube-apiserver", &arguments);
        eventually("the API server to be ready", Duration::from_secs(90), || {
            self.check(&self.api, "kube-apiserver");
            self.admin.try_send("GET", "/readyz", "", "").ok().filter(|answer| answer.status == 200)
        });
        self.answers.store(true, Ordering::Relaxed);
    }

    /// Kills kube-apiserver: connections are cut, and nobody listens on its port.
    pub fn stop_api(&self) {
        self.answers.store(false, Ordering::Relaxed);
        stop(&self.api, &self.directory, "kube-apiserver");
    }

    /// Stops kube-apiserver without ending it: connections stay open, and nobody answers on them.
    pub fn pause_api(&self) {
        self.answers.store(false, Ordering::Relaxed);
        signal(&self.api, Signal::STOP);
    }

    /// Ends that.
    pub fn resume_api(&self) {
        signal(&self.api, Signal::CONT);
        self.answers.store(true, Ordering::Relaxed);
    }

    /// Starts etcd, again on the same data.
    pub fn start_etcd(&self) {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        let arguments = [
            format!("--data-dir={}", self.directory.join("etcd").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // Nothing here must survive a power failure.
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ];
        spawn(&self.etcd, &self.directory, "etcd", &arguments);
        eventually("etcd to be healthy", Duration::from_secs(60), || {
            self.check(&self.etcd, "etcd");
            http::get(self.etcd_port, "/health").filter(|answer| answer.status == 200)
        });
    }

    /// Kills etcd.
    pub fn stop_etcd(&self) {
        self.answers.store(false, Ordering::Relaxed);
        stop(&self.etcd, &self.directory, "etcd");
    }

    /// Stops etcd without ending it, as a disk that hangs: the API server accepts requests and
    /// does not answer those that need etcd.
    pub fn pause_etcd(&self) {
        self.answers.store(false, Ordering::Relaxed);
        signal(&self.etcd, Signal::STOP);
    }

    /// Ends that.
    pub fn resume_etcd(&self) {
        signal(&self.etcd, Signal::CONT);
        self.answers.store(true, Ordering::Relaxed);
    }

    /// Forgets every revision but the last, as etcd is told every five minutes in a real cluster.
    pub fn compact_etcd(&self) {
        let post = |path: &str, body: Value| {
            let url = format!("http://127.0.0.1:{}", self.etcd_port);
            let client = ApiClient::new(&url, &self.authority, "");
            let answer = client.create(path, &body);
            answer.succeeds();
            answer.json()
        };
        // One key that is not there ("\0"): the answer's head has the revision, a number in a string.
        let answer = post("/v3/kv/range", json!({ "key": "AA==" }));
        let revision = &answer["header"]["revision"];
        post("/v3/kv/compaction", json!({ "revision": revision, "physical": true }));
    }

    /// Makes every resourceVersion from before useless: a watch that goes on from one is told
    /// `410 Gone`. (A server that starts anew knows no earlier event, and etcd has forgotten it too.)
    pub fn expire_watches(&self) {
        self.stop_api();
        self.compact_etcd();
        self.start_api();
    }

    /// The audit log so far: a JSON object a line.
    pub(super) fn audit_log(&self) -> String {
        fs::read_to_string(self.directory.join("audit.log")).unwrap_or_default()
    }

    /// What kube-apiserver logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("kube-apiserver.log")).unwrap_or_default()
    }

    fn check(&self, slot: &Mutex<Option<Child>>, program: &str) {
        let ended = lock(slot).as_mut().and_then(|child| child.try_wait().expect("our child"));
        if let Some(status) = ended {
            let log = fs::read_to_string(self.directory.join(format!("{program}.log"))).unwrap_or_default();
            panic!("{program} ended with {status}:\n{log}");
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop_api();
        self.stop_etcd();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn lock(slot: &Mutex<Option<Child>>) -> std::sync::MutexGuard<'_, Option<Child>> {
    slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Starts a program whose process id lies in `<program>.pid` before it runs, for the guard of the
/// session.
fn spawn(slot: &Mutex<Option<Child>>, directory: &Path, program: &str, arguments: &[String]) {
    let mut child = lock(slot);
    assert!(child.is_none(), "{program} runs already");
    let log = directory.join(format!("{program}.log"));
    let log = File::options().create(true).append(true).open(log).expect("our directory is writable");
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(directory.join(format!("{program}.pid")));
    command.arg(kubernetes_bin().join(program)).args(arguments).current_dir(directory).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a file can be opened twice")).stderr(log);
    // A Ctrl-C for the tests is not meant for the server: the session's guard stops it.
    *child = Some(command.process_group(0).spawn().expect("sh runs"));
}

fn stop(slot: &Mutex<Option<Child>>, directory: &Path, program: &str) {
    if let Some(mut child) = lock(slot).take() {
        // It may have ended by itself; then there is nobody to kill.
        let _ = child.kill();
        child.wait().expect("our child");
        // The number may soon be somebody else's.
        let _ = fs::remove_file(directory.join(format!("{program}.pid")));
    }
}

fn signal(slot: &Mutex<Option<Child>>, signal: Signal) {
    let child = lock(slot);
    let child = child.as_ref().expect("it runs");
    kill_process(Pid::from_child(child), signal).expect("it runs");
}
