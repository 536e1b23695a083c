//! Compares the real binary with floors measured in the same run: plain `psql` doing the same work
//! on the same server; and policies with the same code outside of a sandbox. Writes the tables of ratios to
//! docs/benchmarks.md. Run it with `make bench`;
//! `make bench ARGS=2000` takes fewer users, `ARGS=policies` or `ARGS=objects` prints
//! one part alone.
//!
//! Every figure is the whole process, from start to exit, and the median of several runs that
//! alternate with the runs of its floor. Seconds depend on the machine; the ratios are the result.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod native;
mod objects;
mod policies;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rolewright_tests::cluster::SUPERUSER_PASSWORD;
use rolewright_tests::{Cluster, Options, session};
use serde_json::Value;

const USERS: usize = 10_000;
const ROLES: usize = 50;
const PASSWORDS: usize = 1_000;
const ROUNDS: usize = 5;

/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// One run of a process.
#[derive(Debug, Clone, Copy)]
struct Run {
    seconds: f64,
    /// Peak resident memory in MiB.
    memory: f64,
}

/// A line of the table.
struct Row {
    what: String,
    floor: String,
    floor_run: Run,
    run: Run,
    /// Seconds within policies.
    policy: f64,
}

fn main() {
    let users = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(USERS);
    if std::env::args().any(|argument| argument == "policies") {
        print!("{}", policies::report(users));
        return;
    }
    if std::env::args().any(|argument| argument == "objects") {
        print!("{}", report(&objects::rows(), users));
        return;
    }
    let passwords = PASSWORDS.min(users);
    let mut rows = Vec::new();
    rows.push(apply(users, 0));
    rows.extend(nothing_to_do(users));
    rows.push(apply(users, passwords));
    rows.extend(objects::rows());
    let text = report(&rows, users) + &policies::report(users);
    print!("{text}");
    if users == USERS {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        fs::write(path, text).expect("docs/benchmarks.md can be written");
    }
}

/// A server as it would be in production, but for fsync: the disk of a test machine is not what is
/// measured here.
fn cluster() -> Cluster {
    Options::default().setting("shared_buffers", "128MB").start()
}

fn roles_of(user: usize) -> [usize; 2] {
    [user % ROLES, (user + 7) % ROLES]
}

fn manifests(users: usize, passwords: usize) -> PathBuf {
    let directory = session::new_directory("manifests");
    let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: postgres-users-config\ndata:\n  users.yaml: |\n    users:\n".to_owned();
    let mut secrets = String::new();
    for user in 0..users {
        let [a, b] = roles_of(user);
        let _ = write!(text, "    - username: user{user:05}\n      roles: [group{a:02}, group{b:02}]\n");
        if user < passwords {
            let _ = write!(
                secrets,
                "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: user-user{user:05}-secret\nstringData:\n  password: pw-{user}-of-this-bench\n"
            );
        } else {
            text.push_str("      password: none\n");
        }
    }
    fs::write(directory.join("users.yaml"), text).unwrap();
    fs::write(directory.join("secrets.yaml"), secrets).unwrap();
    directory
}

fn binary() -> OsString {
    std::env::var_os("ROLEWRIGHT_BIN").expect("ROLEWRIGHT_BIN names the binary; `make bench` sets it")
}

fn rolewright(cluster: &Cluster, source: &PathBuf, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env("SOURCE_DIR", source).env("DB_HOST", "127.0.0.1").env("DB_SSLMODE", "disable");
    command.env("DB_PORT", cluster.port.to_string()).env("DB_PASS", SUPERUSER_PASSWORD);
    command.env("STATE_FILE", cluster.data().with_file_name("state.json"));
    command.env("CACHE_DIR", session::directory().join("cache")).envs(settings.iter().copied());
    command
}

/// psql as people call it, over TCP with a password as Rolewright connects.
fn psql(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres"]);
    command.args(["-p", &cluster.port.to_string()]).args(arguments).env("PGPASSWORD", SUPERUSER_PASSWORD);
    command.env("PGSSLMODE", "disable");
    command
}

/// Runs a process to its end, and watches its memory. A floor's memory is psql's alone.
fn run(mut command: Command) -> Run {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut peak = 0.0;
    let status = loop {
        if let Some(memory) = high_water_mark(&child) {
            peak = f64::max(peak, memory);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?} failed: {status}");
    Run { seconds, memory: peak }
}

/// The peak so far, in MiB, as Linux keeps it.
fn high_water_mark(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn medians(runs: &[Run]) -> Run {
    Run {
        seconds: median(runs.iter().map(|run| run.seconds).collect()),
        memory: runs.iter().map(|run| run.memory).fold(0.0, f64::max),
    }
}

/// `apply` on an empty server against psql with a script that makes the same roles.
fn apply(users: usize, passwords: usize) -> Row {
    let source = manifests(users, passwords);
    // The same verifiers for both: the server checks each of them, which is most of the work.
    let first = cluster();
    run(rolewright(&first, &source, &["apply"], &[]));
    let verifiers =
        first.sql("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname LIKE 'user%'");
    let verifiers: std::collections::BTreeMap<String, String> =
        verifiers.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(verifiers.len(), passwords);
    drop(first);
    let mut script = String::from("BEGIN;\n");
    for group in 0..ROLES {
        let _ = writeln!(script, "CREATE ROLE group{group:02};");
    }
    for user in 0..users {
        let [a, b] = roles_of(user);
        let name = format!("user{user:05}");
        let password = verifiers.get(&name).map(|verifier| format!(" PASSWORD '{verifier}'")).unwrap_or_default();
        let _ = writeln!(script, "CREATE ROLE {name} LOGIN IN ROLE group{a:02}, group{b:02}{password};");
    }
    script.push_str("COMMIT;\n");
    let file = source.join("floor.sql");
    fs::write(&file, script).unwrap();

    let (mut floors, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let server = cluster();
        floors.push(run(psql(&server, &["-f", file.to_str().unwrap()])));
        let server = cluster();
        runs.push(run(rolewright(&server, &source, &["apply"], &[])));
    }
    let server = cluster();
    let policy =
        policy_seconds(rolewright(&server, &source, &["apply"], &[("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json")]));
    let with = if passwords == 0 { "no passwords".to_owned() } else { format!("{passwords} passwords") };
    Row {
        what: format!("`apply` from empty, {users} users in 2 of {ROLES} roles, {with}"),
        floor: if passwords == 0 {
            "`psql -f`: `CREATE ROLE … IN ROLE`, one transaction".to_owned()
        } else {
            "the same with the same verifiers".to_owned()
        },
        floor_run: medians(&floors),
        run: medians(&runs),
        policy,
    }
}

/// `plan` where nothing is to be done, against one query of the catalog.
fn nothing_to_do(users: usize) -> Vec<Row> {
    let source = manifests(users, 0);
    let server = cluster();
    run(rolewright(&server, &source, &["apply"], &[]));
    let query = "SELECT * FROM pg_authid";
    let both = "SELECT r.rolname, m.roleid, m.grantor, m.admin_option FROM pg_authid r LEFT JOIN pg_auth_members m ON m.member = r.oid";
    let cases: [(&str, &str, &str, &[&str]); 2] = [
        ("`plan`, nothing to do", "`psql -c 'SELECT * FROM pg_authid'`", query, &["plan"]),
        (
            "`plan --rehearse`, nothing to do: reads and compares everything",
            "`psql -c`: every role with its memberships",
            both,
            &["plan", "--rehearse"],
        ),
    ];
    cases
        .into_iter()
        .map(|(what, floor, query, arguments)| {
            compare(what, floor, &|| psql(&server, &["-c", query]), &|settings| {
                rolewright(&server, &source, arguments, settings)
            })
        })
        .collect()
}

/// Environment variables by name.
type Settings<'a> = &'a [(&'a str, &'a str)];

/// Runs both in turn. What the policies' part is, a last run tells in its log.
fn compare(
    what: &str,
    floor: &str,
    floor_command: &dyn Fn() -> Command,
    command: &dyn Fn(Settings<'_>) -> Command,
) -> Row {
    let (mut floors, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 3 {
        floors.push(run(floor_command()));
        runs.push(run(command(&[])));
    }
    let policy = policy_seconds(command(&[("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json")]));
    Row { what: what.into(), floor: floor.into(), floor_run: medians(&floors), run: medians(&runs), policy }
}

/// What the log says about calls of policies.
fn policy_seconds(mut command: Command) -> f64 {
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "policy called")
        .filter_map(|line| line["seconds"].as_f64())
        .sum()
}

fn report(rows: &[Row], users: usize) -> String {
    let version = Command::new(session::postgres_bin().join("postgres")).arg("--version").output().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "# Benchmarks\n\nWritten by `make bench`. Whole processes; medians of {ROUNDS} runs (15 where nothing is to be done), each \
         alternating with its floor on the same server. {users} users; {}; {cores} cores; fsync off.\n\n\
         | what | floor | floor, s | rolewright, s | ratio | of it in policies, s | peak memory, MiB | psql's, MiB |\n\
         | --- | --- | --: | --: | --: | --: | --: | --: |\n",
        String::from_utf8_lossy(&version.stdout).trim().replace("postgres (PostgreSQL)", "PostgreSQL")
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} | {:.3} | **{:.2}** | {:.3} | {:.0} | {:.0} |",
            row.what,
            row.floor,
            row.floor_run.seconds,
            row.run.seconds,
            row.run.seconds / row.floor_run.seconds,
            row.policy,
            row.run.memory,
            row.floor_run.memory
        );
    }
    text
}
