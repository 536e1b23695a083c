//! A real OCI registry on loopback, with a directory of its own, and with passwords and TLS if a
//! test asks for them. And one that is made of a function, for what no real one does.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::session::{free_port, new_directory, registry_program};
use crate::tls::Certificates;
use crate::{eventually, leaks};

/// Who may push and pull where a registry has passwords.
pub const USER: &str = "robot";
/// The password.
pub const PASSWORD: &str = "registry-marble-otter";
/// As `htpasswd -nB` writes them.
const HTPASSWD: &str = "robot:$2b$04$r.Q9g5q/2DznWfFM2bB32eeI27yULLHWLUhRLPkobzrcGub8wZzE.\n";

/// A running `docker-registry`.
pub struct Registry {
    directory: PathBuf,
    port: u16,
    child: Child,
}

/// What a registry shall have.
#[derive(Default)]
pub struct Wishes<'a> {
    passwords: bool,
    tls: Option<&'a Certificates>,
}

impl<'a> Wishes<'a> {
    /// Only [`USER`] may do anything.
    #[must_use]
    pub fn passwords(self) -> Self {
        Wishes { passwords: true, ..self }
    }

    /// It speaks TLS only.
    #[must_use]
    pub fn tls(self, certificates: &'a Certificates) -> Self {
        Wishes { tls: Some(certificates), ..self }
    }

    /// Starts it.
    pub fn start(self) -> Registry {
        let (directory, port) = (new_directory("registry"), free_port());
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": { "filesystem": { "rootdirectory": directory.join("data") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        let file = |name: &str, content: &str| {
            let path = directory.join(name);
            fs::write(&path, content).expect("our directory is writable");
            path
        };
        if self.passwords {
            register_credentials();
            config["auth"] = json!({ "htpasswd": { "realm": "tests", "path": file("htpasswd", HTPASSWD) } });
        }
        if let Some(tls) = self.tls {
            config["http"]["tls"] =
                json!({ "certificate": file("tls.crt", &tls.certificate), "key": file("tls.key", &tls.key) });
        }
        // Text of JSON is text of YAML.
        let config = file("config.yaml", &config.to_string());
        let log = File::create(directory.join("registry.log")).expect("our directory is writable");
        let mut command = Command::new("sh");
        // The guard of the session ends it, should the tests not come to it.
        command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(directory.join("registry.pid"));
        command.arg(registry_program()).arg("serve").arg(config).current_dir(&directory).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file can be opened twice")).stderr(log);
        let mut registry = Registry { child: command.process_group(0).spawn().expect("sh runs"), directory, port };
        eventually("the registry to listen", Duration::from_secs(30), || {
            if let Some(status) = registry.child.try_wait().expect("our child") {
                panic!("the registry ended with {status}:\n{}", registry.log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        registry
    }
}

impl Registry {
    /// One without passwords and without TLS.
    pub fn start() -> Registry {
        Wishes::default().start()
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `oci://localhost:<port>/<rest>`.
    pub fn reference(&self, rest: &str) -> String {
        format!("oci://localhost:{}/{rest}", self.port)
    }

    /// Writes other bytes into a blob's file, in the place of those that its digest promises.
    pub fn tamper(&self, digest: &str, bytes: &[u8]) {
        let hex = digest.trim_start_matches("sha256:");
        let file = self.directory.join(format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
        assert!(file.is_file(), "{} is not there", file.display());
        fs::write(file, bytes).expect("our directory is writable");
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("registry.log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn register_credentials() {
    leaks::register_password(PASSWORD);
    leaks::register_token(&base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}")));
}

/// A file as `docker login` writes it, with this password for this registry.
pub fn docker_config(directory: &Path, host: &str, password: &str) -> PathBuf {
    register_credentials();
    leaks::register_password(password);
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    leaks::register_token(&auth);
    let path = directory.join("config.json");
    fs::write(&path, json!({ "auths": { host: { "auth": auth } } }).to_string()).expect("our directory is writable");
    path
}

/// `sha256:…` of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A manifest of layers of these types and bytes.
pub fn manifest(layers: &[(&str, &[u8])]) -> Value {
    let descriptor = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() });
    let layers: Vec<Value> = layers.iter().map(|(media_type, bytes)| descriptor(media_type, bytes)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.wasm.config.v0+json", b"{}"),
        "layers": layers,
    })
}

/// A request, as [`Scripted`] hands it on.
#[derive(Debug)]
pub struct Request {
    /// Such as GET.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
}

/// What [`Scripted`] answers.
#[derive(Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Lines of the head, without their ends.
    pub headers: Vec<String>,
    /// The body; its length is told unless there is a `Transfer-Encoding`.
    pub body: Vec<u8>,
}

impl Reply {
    /// 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// A status without a body.
    pub fn status(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    /// With one more line in its head.
    #[must_use]
    pub fn header(mut self, line: impl Into<String>) -> Reply {
        self.headers.push(line.into());
        self
    }
}

/// A server on loopback that answers what a function says; `None` leaves the request without an
/// answer, and the connection open.
pub struct Scripted {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Scripted {
    /// Starts one. The function also gets the server's port.
    pub fn start(answer: impl Fn(u16, &Request) -> Option<Reply> + Send + Sync + 'static) -> Scripted {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a listener can wait without blocking");
        let over = Arc::new(AtomicBool::new(false));
        let (ended, answer) = (Arc::clone(&over), Arc::new(answer));
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let (answer, ended) = (Arc::clone(&answer), Arc::clone(&ended));
                        std::thread::spawn(move || serve(&stream, &ended, |request| answer(port, request)));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Scripted { port, over }
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `oci://localhost:<port>/<rest>`.
    pub fn reference(&self, rest: &str) -> String {
        format!("oci://localhost:{}/{rest}", self.port)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// One connection; each ends with its answer.
fn serve(stream: &TcpStream, ended: &AtomicBool, answer: impl Fn(&Request) -> Option<Reply>) {
    let _ = stream.set_nonblocking(false);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let (mut authorization, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let _ = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink());
    let Some(Reply { status, headers, body }) = answer(&Request { method, path, authorization }) else {
        while !ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
        return;
    };
    let mut head = format!("HTTP/1.1 {status} So\r\nConnection: close\r\n");
    if !headers.iter().any(|line| line.starts_with("Transfer-Encoding")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for line in headers {
        head += &line;
        head += "\r\n";
    }
    // The client may have heard enough.
    let _ = (&*stream).write_all(head.as_bytes()).and_then(|()| (&*stream).write_all(b"\r\n"));
    let _ = (&*stream).write_all(&body);
}
