//! Throwaway PostgreSQL servers. `initdb` runs once for each test process; every [`Cluster`] is a
//! copy of its result with a port, a socket directory and settings of its own, and is gone when it
//! is dropped.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::session::{self, UNPRIVILEGED, free_port, is_root, new_directory, postgres_bin, postgres_major};
use crate::tls::Certificates;
use crate::{eventually, leaks};

/// The password of the bootstrap superuser `postgres`, for TCP.
pub const SUPERUSER_PASSWORD: &str = "quartz-lantern-superuser";

/// What a test wants of its server beyond the ordinary.
#[derive(Debug, Clone, Default)]
pub struct Options {
    settings: Vec<(String, String)>,
    hba: Option<String>,
    tls: Option<Certificates>,
    of_its_own: bool,
}

impl Options {
    /// Not a copy, which has the system identifier of every other: a server of its own kind.
    #[must_use]
    pub fn of_its_own(mut self) -> Self {
        self.of_its_own = true;
        self
    }

    /// A line of postgresql.conf.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// pg_hba.conf for TCP in place of `host all all all scram-sha-256`.
    #[must_use]
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba = Some(lines.to_owned());
        self
    }

    /// The server offers TLS with these certificates.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.tls = Some(certificates.clone());
        self
    }

    /// Starts a server like this.
    pub fn start(self) -> Cluster {
        Cluster::with(self)
    }
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// Sessions are ended, the rest is written: SIGINT.
    Fast,
    /// As a power failure would: SIGQUIT.
    Immediate,
}

/// A running PostgreSQL server of a test's own.
pub struct Cluster {
    directory: PathBuf,
    /// Its TCP port on 127.0.0.1, and the number in the socket's name.
    pub port: u16,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// Starts a server with nothing special.
    pub fn start() -> Cluster {
        Cluster::with(Options::default())
    }

    fn with(options: Options) -> Cluster {
        let directory = new_directory("c");
        leaks::register_password(SUPERUSER_PASSWORD);
        if options.of_its_own {
            initdb(&directory, "data");
        } else {
            let copied = Command::new("cp").arg("-a").arg(template()).arg(directory.join("data")).status();
            assert!(copied.expect("cp runs").success(), "the template cannot be copied");
        }
        give_away(&directory);
        let cluster = Cluster { directory, port: free_port(), server: Mutex::new(None) };
        cluster.configure(&options);
        cluster.restart();
        cluster
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn configure(&self, options: &Options) {
        let socket = self.directory.display();
        // Nothing here must survive a power failure, and nothing but a test's own doing shall write.
        let mut text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{socket}'\n\
             fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n\
             wal_level = minimal\nmax_wal_senders = 0\ncheckpoint_timeout = '1d'\nmax_connections = 40\n\
             shared_buffers = '16MB'\nmin_wal_size = '32MB'\njit = off\nlog_min_messages = warning\n\
             password_encryption = 'scram-sha-256'\ntimezone = 'UTC'\n",
            self.port
        );
        if let Some(tls) = &options.tls {
            for (name, content) in [("server.crt", &tls.certificate), ("server.key", &tls.key)] {
                let path = self.data().join(name);
                fs::write(&path, content).expect("the data directory is ours");
                close(&path);
            }
            text.push_str("ssl = on\n");
        }
        for (name, value) in &options.settings {
            writeln!(text, "{name} = '{}'", value.replace('\'', "''")).expect("a String takes all");
        }
        append(&self.data().join("postgresql.conf"), &text);
        let tcp = options.hba.as_deref().unwrap_or("host all all all scram-sha-256");
        fs::write(self.data().join("pg_hba.conf"), format!("local all all trust\n{tcp}\n"))
            .expect("the data directory is ours");
    }

    /// Starts the server again, on the same port.
    pub fn restart(&self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("our directory is writable");
        let mut command = unprivileged(&postgres_bin().join("postgres"));
        command.arg("-D").arg(self.data()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file can be opened twice")).stderr(log);
        // A Ctrl-C for the tests is not meant for the server: the session's guard stops it.
        let child = command.process_group(0).spawn().expect("postgres starts");
        *self.server.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(child);
        eventually("the PostgreSQL server to accept connections", Duration::from_secs(60), || {
            let mut server = self.server.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if let Some(status) = server.as_mut().and_then(|child| child.try_wait().expect("our child")) {
                panic!("the PostgreSQL server ended with {status}:\n{}", self.log());
            }
            drop(server);
            self.connect("postgres").ok()
        });
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(&self, how: Stop) {
        let child = self.server.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(mut child) = child {
            let signal = match how {
                Stop::Fast => rustix::process::Signal::INT,
                Stop::Immediate => rustix::process::Signal::QUIT,
            };
            // It may be gone already; then there is nobody to signal.
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal);
            child.wait().expect("our child");
        }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// How a superuser connects over the socket, where no password is asked for.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.directory).port(self.port).user("postgres").dbname(database);
        config.application_name("test").connect_timeout(Duration::from_secs(10));
        config
    }

    fn connect(&self, database: &str) -> Result<Client, postgres::Error> {
        self.config(database).connect(NoTls)
    }

    /// A superuser's session on a database, for tests that hold a lock or a transaction open.
    pub fn client(&self, database: &str) -> Client {
        self.connect(database).unwrap_or_else(|error| panic!("no session on {database}: {error:?}\n{}", self.log()))
    }

    /// Runs statements as superuser on `postgres`.
    pub fn sql(&self, statements: &str) -> Vec<Vec<String>> {
        self.sql_in("postgres", statements)
    }

    /// Runs statements as superuser on a database; gives the rows of all, NULL as an empty text.
    pub fn sql_in(&self, database: &str, statements: &str) -> Vec<Vec<String>> {
        self.try_sql(database, statements).unwrap_or_else(|error| panic!("{statements}\n{error:?}"))
    }

    /// The same, where an error is an answer too.
    pub fn try_sql(&self, database: &str, statements: &str) -> Result<Vec<Vec<String>>, postgres::Error> {
        let messages = self.connect(database)?.simple_query(statements)?;
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
                }
                _ => None,
            })
            .collect())
    }

    /// The first column of the first row.
    pub fn value(&self, query: &str) -> String {
        self.sql(query).first().and_then(|row| row.first()).cloned().unwrap_or_default()
    }

    /// The first column of every row.
    pub fn column(&self, query: &str) -> Vec<String> {
        self.sql(query).into_iter().map(|mut row| row.swap_remove(0)).collect()
    }

    /// Logs in over TCP with a password.
    pub fn try_login(&self, user: &str, password: &str, database: &str) -> Result<Client, postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(password).dbname(database);
        config.connect_timeout(Duration::from_secs(10)).connect(NoTls)
    }

    /// Logs in over TCP with a password, which must work.
    pub fn login(&self, user: &str, password: &str, database: &str) -> Client {
        let client = self.try_login(user, password, database);
        client.unwrap_or_else(|error| panic!("{user} cannot log in to {database}: {error:?}\n{}", self.log()))
    }

    /// Asserts that the server refuses this login, with this SQLSTATE.
    pub fn refuses_login(&self, user: &str, password: &str, database: &str, sqlstate: &str) {
        match self.try_login(user, password, database) {
            Ok(_) => panic!("{user} could log in to {database}"),
            Err(error) => {
                let code = error.code().map(postgres::error::SqlState::code);
                assert_eq!(code, Some(sqlstate), "{user} was refused for another reason: {error:?}");
            }
        }
    }

    /// Runs the real psql as superuser over the socket, with a script on standard input.
    pub fn psql(&self, database: &str, script: &str) -> Output {
        let mut child = Command::new(psql())
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-p"])
            .arg(self.port.to_string())
            .arg("-h")
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql is installed (package postgresql-client)");
        let mut stdin = child.stdin.take().expect("it is piped");
        std::io::Write::write_all(&mut stdin, script.as_bytes()).expect("psql reads its input");
        drop(stdin);
        child.wait_with_output().expect("psql ends")
    }

    /// Whether the real psql, and so libpq, can log in over TCP with a password.
    pub fn psql_login(&self, user: &str, password: &str, database: &str) -> bool {
        let port = self.port.to_string();
        let arguments = ["-X", "-w", "-h", "127.0.0.1", "-p", &port, "-U", user, "-d", database, "-c", "SELECT 1"];
        let output = Command::new(psql()).args(arguments).env("PGPASSWORD", password).output();
        output.expect("psql is installed (package postgresql-client)").status.success()
    }

    /// Whether a TCP connection is accepted at all.
    pub fn is_up(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop(Stop::Immediate);
        if std::thread::panicking() {
            // cargo shows this with the failed test only.
            eprintln!("--- log of the PostgreSQL server\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A data directory fresh from `initdb`, made once.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let directory = session::directory().join("template");
        fs::create_dir(&directory).expect("our directory is writable");
        initdb(&directory, "initial")
    })
}

/// Runs `initdb` for a data directory of this name.
fn initdb(directory: &Path, name: &str) -> PathBuf {
    let password_file = directory.join("password");
    fs::write(&password_file, SUPERUSER_PASSWORD).expect("our directory is writable");
    give_away(&password_file);
    give_away(directory);
    let data = directory.join(name);
    let mut initdb = unprivileged(&postgres_bin().join("initdb"));
    initdb.arg("-D").arg(&data).arg("--pwfile").arg(&password_file);
    initdb.args(["-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256"]);
    initdb.args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
    if postgres_major() >= 18 {
        // With checksums a mere read may write: hint bits are logged.
        initdb.arg("--no-data-checksums");
    }
    let output = initdb.stdin(Stdio::null()).output().expect("initdb runs");
    assert!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr));
    data
}

/// The server's own psql, or the one on PATH.
fn psql() -> PathBuf {
    let beside = postgres_bin().join("psql");
    if beside.is_file() { beside } else { PathBuf::from("psql") }
}

/// A command that runs as somebody whom PostgreSQL accepts.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command.current_dir("/").env_remove("PGDATA").env("LC_ALL", "C").env("TZ", "UTC");
    command
}

fn give_away(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("root may give away");
    }
}

/// Only the server may read it.
fn close(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
    give_away(path);
}

fn append(path: &Path, text: &str) {
    let mut file = File::options().append(true).open(path).expect("initdb made it");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("the disk has room");
}
