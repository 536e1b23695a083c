//! One directory for everything that a test process makes, and a guard that outlives the process:
//! a shell that waits for the end of its standard input. The pipe closes however the test process
//! ends (also by SIGKILL), and then the shell stops the servers that are left and removes the
//! directory.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::{env, fs};

/// PostgreSQL refuses to run as root: the servers of root's tests run as `nobody`.
pub(crate) const UNPRIVILEGED: u32 = 65534;

/// Whether the tests run as root, and servers must step down.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct Session {
    directory: PathBuf,
    // Its standard input stays open as long as this process lives.
    _guard: Child,
}

/// Servers are stopped at once, by the process id that each wrote for itself; nothing in them is
/// worth keeping. SIGKILL also ends one that a test has paused.
const GUARD: &str = r#"
trap '' INT TERM HUP
while read -r line; do :; done
for pidfile in "$1"/*/data/postmaster.pid; do
    if [ -f "$pidfile" ]; then kill -QUIT "$(head -n 1 "$pidfile")"; fi
done
for pidfile in "$1"/*/*.pid; do
    if [ -f "$pidfile" ]; then kill -KILL "$(cat "$pidfile")"; fi
done
sleep 0.3
rm -rf "$1" || { sleep 2; rm -rf "$1"; }
"#;

fn session() -> &'static Session {
    static SESSION: OnceLock<Session> = OnceLock::new();
    SESSION.get_or_init(|| {
        let directory = tempfile::Builder::new()
            .prefix("rolewright-tests-")
            .tempdir()
            .expect("a temporary directory can be made")
            .keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("our own directory can be opened");
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh runs");
        Session { directory, _guard: guard }
    })
}

/// The directory of this test process.
pub fn directory() -> &'static Path {
    &session().directory
}

/// A new, empty directory of that name and a number.
pub fn new_directory(name: &str) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let path = directory().join(format!("{name}{}", COUNTER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path).expect("a directory can be made in our own");
    path
}

/// A TCP port on loopback that nobody listens on. They are counted up from a place that depends on
/// the process, below the range from which the kernel takes the ports of outgoing connections, so
/// that nobody takes one between two starts of the same server.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_add(offset)) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// The bin directory of the PostgreSQL to test on: `ROLEWRIGHT_TEST_PG_BIN`, else what
/// `tests/postgres-binaries.sh any` finds.
pub fn postgres_bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| prepared("ROLEWRIGHT_TEST_PG_BIN", "tests/postgres-binaries.sh", &["any"]))
}

/// The major version of that PostgreSQL.
pub fn postgres_major() -> u32 {
    static MAJOR: OnceLock<u32> = OnceLock::new();
    *MAJOR.get_or_init(|| {
        let postgres = postgres_bin().join("postgres");
        let output = Command::new(&postgres).arg("--version").output();
        let output = output.unwrap_or_else(|error| panic!("{} does not run: {error}", postgres.display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        let digits: String = version.unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no version in '{text}'"))
    })
}

/// The directory of kube-apiserver and etcd: `ROLEWRIGHT_TEST_KUBERNETES`, else what
/// `tests/kubernetes-binaries.sh` finds or builds.
pub fn kubernetes_bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| prepared("ROLEWRIGHT_TEST_KUBERNETES", "tests/kubernetes-binaries.sh", &[]))
}

/// The program helm: `ROLEWRIGHT_TEST_HELM`, else what `tests/kubernetes-binaries.sh helm` finds or builds.
pub fn helm() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| prepared("ROLEWRIGHT_TEST_HELM", "tests/kubernetes-binaries.sh", &["helm"]))
}

/// The program docker-registry: `ROLEWRIGHT_TEST_REGISTRY`, else what `tests/registry-binaries.sh` finds or fetches.
pub fn registry_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| prepared("ROLEWRIGHT_TEST_REGISTRY", "tests/registry-binaries.sh", &[]))
}

/// A path from a variable, else the one that a script of the repository prints.
fn prepared(variable: &str, script: &str, arguments: &[&str]) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let script = repository().join(script);
    let output = Command::new(&script).args(arguments).stderr(Stdio::inherit()).output().expect("bash runs");
    assert!(output.status.success(), "{} failed; its words are above", script.display());
    String::from_utf8(output.stdout).expect("paths are UTF-8").trim().into()
}

/// The binary under test: `ROLEWRIGHT_BIN`, else `rolewright` beside the directory of the test
/// executable.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let path = env::var_os("ROLEWRIGHT_BIN").map(PathBuf::from).unwrap_or_else(|| {
            let test = env::current_exe().expect("a process knows its executable");
            test.ancestors().nth(2).expect("it lies in target/release/deps").join("rolewright")
        });
        assert!(path.is_file(), "{} is not there: run `make build`, or set ROLEWRIGHT_BIN", path.display());
        path
    })
}
