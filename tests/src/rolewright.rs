//! The binary under test, and everything that it prints. Each output, the state file and the ledger
//! are searched for secrets as soon as a command is over, and in a cluster its reports too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::SUPERUSER_PASSWORD;
use crate::kubernetes::{Kubeconfig, Namespace};
use crate::session::{self, binary, free_port, new_directory};
use crate::{Cluster, Manifests, Response, eventually, http, leaks};

pub use rustix::process::Signal;

/// No command takes this long, whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// An installation: an environment, a state file, a source and a target.
pub struct Rolewright<'a> {
    cluster: &'a Cluster,
    directory: PathBuf,
    environment: BTreeMap<String, String>,
    /// Where it reports to, if it does.
    namespace: Option<&'a Namespace<'a>>,
}

impl<'a> Rolewright<'a> {
    /// One that connects as the bootstrap superuser over TCP, and reads a directory.
    pub fn new(cluster: &'a Cluster, manifests: &Manifests) -> Rolewright<'a> {
        Rolewright::with_target(cluster).env("SOURCE_DIR", &manifests.path().display().to_string())
    }

    /// A replica of the controller that reads a namespace of an API server as a pod would, each with
    /// a name of its own.
    pub fn in_cluster(cluster: &'a Cluster, namespace: &'a Namespace<'a>, kubeconfig: &Kubeconfig) -> Rolewright<'a> {
        static REPLICAS: AtomicU32 = AtomicU32::new(0);
        let pod = format!("rolewright-{}", REPLICAS.fetch_add(1, Ordering::Relaxed));
        let mut this = Rolewright::with_target(cluster)
            .env("KUBERNETES", "true")
            .env("KUBECONFIG", &kubeconfig.path().display().to_string())
            .env("NAMESPACE", namespace.name())
            .env("POD_NAME", &pod);
        this.namespace = Some(namespace);
        this
    }

    fn with_target(cluster: &'a Cluster) -> Rolewright<'a> {
        let directory = new_directory("rolewright");
        let cache = session::directory().join("cache");
        fs::create_dir_all(&cache).expect("our directory is writable");
        let mut this = Rolewright { cluster, directory, environment: BTreeMap::new(), namespace: None };
        let state_file = this.state_file().display().to_string();
        for (name, value) in [
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", &cluster.port.to_string()),
            ("DB_NAME", "postgres"),
            ("DB_USER", "postgres"),
            ("DB_PASS", SUPERUSER_PASSWORD),
            ("DB_SSLMODE", "disable"),
            ("STATE_FILE", &state_file),
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("CACHE_DIR", &cache.display().to_string()),
            // Tests that count on retries shall not wait long for them.
            ("RETRY_BACKOFF_BASE", "1.2"),
        ] {
            this.environment.insert(name.to_owned(), value.to_owned());
        }
        this
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// The same without being told to read a cluster.
    #[must_use]
    pub fn without_kubernetes(&self) -> Rolewright<'a> {
        let mut environment = self.environment.clone();
        environment.remove("KUBERNETES");
        Rolewright {
            cluster: self.cluster,
            directory: new_directory("rolewright"),
            environment,
            namespace: self.namespace,
        }
    }

    /// Connects as somebody else.
    #[must_use]
    pub fn connect_as(self, user: &str, password: &str) -> Self {
        leaks::register_password(password);
        self.env("DB_USER", user).env("DB_PASS", password)
    }

    /// A chain of policies: the text of the file that `POLICIES` names.
    #[must_use]
    pub fn policies(self, chain: &str) -> Self {
        let path = self.directory.join("policies.yaml");
        fs::write(&path, chain).expect("our directory is writable");
        self.env("POLICIES", &path.display().to_string())
    }

    /// A directory of its own, for files that a test needs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `STATE_FILE`.
    pub fn state_file(&self) -> PathBuf {
        self.directory.join("users_state.json")
    }

    /// What is in it.
    pub fn state(&self) -> Value {
        let text = fs::read_to_string(self.state_file()).expect("there is a state file");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in the state file: {text}"))
    }

    /// `rolewright plan`.
    pub fn plan(&self) -> Output {
        self.command(&["plan"])
    }

    /// `rolewright plan --format json`, which must succeed.
    pub fn plan_json(&self) -> Plan {
        let output = self.command(&["plan", "--format", "json"]);
        output.succeeds();
        Plan(output.json())
    }

    /// `rolewright apply`.
    pub fn apply(&self) -> Output {
        self.command(&["apply"])
    }

    /// Any command, to its end.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.start(arguments).finish()
    }

    /// `rolewright run`, in the background, with its HTTP server on a port of its own.
    pub fn run(&self) -> Controller<'_> {
        self.run_with(&[])
    }

    /// The same with more arguments.
    pub fn run_with(&self, arguments: &[&str]) -> Controller<'_> {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut all = vec!["run", "--http-addr", &address];
        all.extend(arguments);
        let mut controller = self.start(&all);
        controller.http_port = port;
        controller
    }

    /// Any command, in the background.
    pub fn start(&self, arguments: &[&str]) -> Controller<'_> {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().envs(&self.environment);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let stdout = Capture::of(child.stdout.take().expect("it is piped"));
        let stderr = Capture::of(child.stderr.take().expect("it is piped"));
        let arguments = arguments.join(" ");
        Controller {
            rolewright: self,
            arguments,
            child: RefCell::new(child),
            stdout,
            stderr,
            http_port: 0,
            status: None,
        }
    }

    /// Searches what was left behind: the state file, every table of the ledger, and the reports in
    /// the cluster.
    pub fn check_what_it_left(&self) {
        if let Some(namespace) = self.namespace {
            namespace.check_for_leaks();
        }
        if let Ok(text) = fs::read_to_string(self.state_file()) {
            leaks::assert_none("the state file", &text);
        }
        leaks::assert_none("the ledger", &self.ledger());
    }

    /// Every row of every table of the ledger, as text; empty when the server is away.
    pub fn ledger(&self) -> String {
        let tables = self.cluster.try_sql(
            "postgres",
            "SELECT format('SELECT to_json(t)::text FROM %s t', c.oid::regclass) FROM pg_class c
             WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'rolewright') AND relkind IN ('r', 'p')",
        );
        let queries = tables.unwrap_or_default().into_iter().flatten();
        let rows = queries.filter_map(|query| self.cluster.try_sql("postgres", &query).ok()).flatten().flatten();
        rows.collect::<Vec<_>>().join("\n")
    }

    fn learn_verifiers(&self) {
        let query = "SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL";
        for verifier in self.cluster.try_sql("postgres", query).unwrap_or_default().into_iter().flatten() {
            leaks::register_verifier(&verifier);
        }
    }
}

impl Drop for Rolewright<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What comes out of one pipe, while it comes.
struct Capture {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(pipe: impl Read + Send + 'static) -> Capture {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                sink.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push_str(&text);
                line.clear();
            }
        });
        Capture { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.text()
    }
}

/// A command that runs.
pub struct Controller<'a> {
    rolewright: &'a Rolewright<'a>,
    arguments: String,
    child: RefCell<Child>,
    stdout: Capture,
    stderr: Capture,
    http_port: u16,
    status: Option<ExitStatus>,
}

impl Controller<'_> {
    /// All that it has printed so far.
    pub fn printed(&self) -> String {
        self.stdout.text() + &self.stderr.text()
    }

    /// The log lines of `run` so far, each of which must be a JSON object.
    pub fn log(&self) -> Vec<Value> {
        log_lines(&self.stdout.text())
    }

    /// Waits until it has printed this.
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.printed().contains(text) {
            let over = !self.is_alive();
            if over && !self.printed().contains(text) || Instant::now() > deadline {
                panic!("'{text}' did not come from `rolewright {}`:\n{}", self.arguments, self.printed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        self.child.borrow_mut().try_wait().expect("our child").is_none()
    }

    /// GET from its HTTP server, once that answers. What comes is searched for secrets.
    pub fn get(&self, path: &str) -> Response {
        let response = eventually(&format!("an answer to GET {path}"), Duration::from_secs(30), || {
            let response = http::get(self.http_port, path);
            assert!(response.is_some() || self.is_alive(), "it ended by itself:\n{}", self.printed());
            response
        });
        leaks::assert_none(path, &response.body);
        response
    }

    /// A metric now, 0 while there is none.
    pub fn metric(&self, name: &str) -> f64 {
        self.get("/metrics").metric(name, None).unwrap_or(0.0)
    }

    /// Waits until the metric has at least this value.
    pub fn wait_for_metric(&self, name: &str, at_least: f64) {
        eventually(&format!("{name} >= {at_least}\n{}", self.printed()), Duration::from_secs(60), || {
            (self.metric(name) >= at_least).then_some(())
        });
    }

    /// Waits for as many more successful cycles from now on as asked for.
    pub fn wait_for_cycles(&self, more: u32) {
        let name = "postgres_controller_reconciliations_total";
        let now = self.metric(name);
        self.wait_for_metric(name, now + f64::from(more));
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child.borrow()), signal).expect("it runs");
    }

    /// Kills it, as an out-of-memory killer would.
    pub fn kill(mut self) {
        let _ = self.child.get_mut().kill();
        self.end();
    }

    /// SIGTERM, then its end.
    pub fn terminate(self) -> Output {
        self.signal(Signal::TERM);
        self.finish()
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        while self.is_alive() {
            if Instant::now() > deadline {
                panic!("`rolewright {}` did not end:\n{}", self.arguments, self.printed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end()
    }

    fn end(&mut self) -> Output {
        let status = self.child.get_mut().wait().expect("our child");
        self.status = Some(status);
        let output = Output {
            program: "rolewright",
            arguments: self.arguments.clone(),
            status: status.code(),
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        };
        self.rolewright.learn_verifiers();
        leaks::assert_none(&format!("the standard output of `rolewright {}`", self.arguments), &output.stdout);
        leaks::assert_none(&format!("the standard error of `rolewright {}`", self.arguments), &output.stderr);
        self.rolewright.check_what_it_left();
        output
    }
}

impl Drop for Controller<'_> {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.get_mut().kill();
            let output = self.end();
            if std::thread::panicking() {
                eprintln!("--- output of `rolewright {}`\n{}{}", output.arguments, output.stdout, output.stderr);
            }
        }
    }
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The program: `rolewright` or `kubectl`.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: String,
    /// The exit code; `None`: ended by a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Asserts exit code 0.
    pub fn succeeds(&self) -> &Self {
        self.exits_with(0)
    }

    /// Asserts the exit code.
    pub fn exits_with(&self, code: i32) -> &Self {
        let Output { program, arguments, status, stdout, stderr } = self;
        assert_eq!(*status, Some(code), "`{program} {arguments}`\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Asserts that the text was printed, wherever.
    pub fn says(&self, text: &str) -> &Self {
        let Output { program, arguments, stdout, stderr, .. } = self;
        let said = stdout.contains(text) || stderr.contains(text);
        assert!(said, "`{program} {arguments}` did not say '{text}'\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Asserts that the text was printed, in whatever case.
    pub fn mentions(&self, text: &str) -> &Self {
        let printed = (self.stdout.clone() + &self.stderr).to_lowercase();
        assert!(
            printed.contains(&text.to_lowercase()),
            "'{text}' is not mentioned in:\n{}{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("{error} in the output of `{} {}`:\n{}", self.program, self.arguments, self.stdout)
        })
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// A plan as JSON.
#[derive(Debug, Clone)]
pub struct Plan(pub Value);

impl Plan {
    /// Its digest.
    pub fn digest(&self) -> &str {
        self.0["digest"].as_str().expect("a plan has a digest")
    }

    /// Its steps.
    pub fn steps(&self) -> &[Value] {
        self.0["steps"].as_array().expect("a plan has steps")
    }

    /// `action role` of every step, sorted.
    pub fn actions(&self) -> Vec<String> {
        let mut actions: Vec<String> =
            self.steps().iter().map(|step| format!("{} {}", text(&step["action"]), text(&step["role"]))).collect();
        actions.sort();
        actions
    }

    /// Asserts that there is nothing to do.
    pub fn is_empty(&self) -> &Self {
        assert!(self.steps().is_empty(), "there is something to do: {:#}", self.0);
        self
    }

    /// The only step of that action for that role.
    pub fn step(&self, action: &str, role: &str) -> &Value {
        let found: Vec<&Value> =
            self.steps().iter().filter(|step| step["action"] == action && step["role"] == role).collect();
        assert_eq!(found.len(), 1, "steps `{action} {role}` in {:#}", self.0);
        found[0]
    }

    /// The causes of all steps, each once.
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = self.steps().iter().map(|step| text(&step["cause"]).to_owned()).collect();
        causes.sort();
        causes.dedup();
        causes
    }

    /// The findings.
    pub fn findings(&self) -> &[Value] {
        self.0["findings"].as_array().expect("a plan has findings")
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Log lines, each of which must be a JSON object.
pub fn log_lines(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in log line: {line}"));
            assert!(value.is_object(), "a log line is no object: {line}");
            value
        })
        .collect()
}
