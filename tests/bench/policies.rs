//! What policies cost: the chain of all that ship against the same code outside of a sandbox, one rule in four
//! languages, and a cold start.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolewright_tests::{guests, languages, session};
use serde_json::{Value, json};

use super::{binary, median, native};

/// How many users the languages are compared with.
const FEW: usize = 1_000;
const ROUNDS: usize = 5;

/// Three tables.
pub(crate) fn report(users: usize) -> String {
    let directory = session::new_directory("policies");
    let mut text = String::from("\n## Policies\n\n");
    text.push_str(&chain(&directory, users));
    text.push_str(&four_languages());
    text.push_str(&cold_start(&directory));
    text
}

/// Settings with which ten thousand users are found to be in order, so that rules are measured and not texts about
/// what is wrong; `expiry` gives most of them an end, so the chain validates twice.
fn settings(policy: &str) -> Value {
    let roles: serde_json::Map<String, Value> = (0..100)
        .map(|number| (format!("group_{number:02}"), json!({})))
        .chain([("pg_monitor".to_owned(), json!({}))])
        .collect();
    match policy {
        "naming" => json!({"users": {"patterns": ["user-*"]}, "roles": {"patterns": ["group_*", "pg_monitor"]}}),
        "role-catalog" => json!({"roles": roles, "exclusive": [["group_00", "group_01"]]}),
        "ownership" => json!({"required": [{"label": "team"}, {"label": "kind", "values": ["human", "service"]}]}),
        "password-strength" => json!({"minimum": 3}),
        "credential-age" => json!({"warn-after": 60, "refuse-after": 90}),
        "expiry" => json!({"mode": "set", "within-days": 90, "users": [{"labels": {"kind": "human"}}]}),
        "change-window" => json!({
            "windows": [{"days": ["mon", "tue", "wed", "thu"], "from": "08:00", "to": "16:00"}],
            "from-risk": "destructive"
        }),
        _ => Value::Null,
    }
}

const CHAIN: [&str; 10] = [
    "naming",
    "role-catalog",
    "ownership",
    "privilege-ceiling",
    "password-strength",
    "credential-age",
    "expiry",
    "standard",
    "blast-radius",
    "change-window",
];

fn document(directory: &Path, policies: &[&str]) -> PathBuf {
    let entry = |name: &&str| {
        let mut entry = json!({"name": name, "module": format!("builtin:{name}")});
        if settings(name) != Value::Null {
            entry["settings"] = settings(name);
        }
        entry
    };
    let document = json!({"policies": policies.iter().map(entry).collect::<Vec<_>>()});
    let path = directory.join(format!("chain-of-{}.yaml", policies.len()));
    fs::write(&path, document.to_string()).unwrap();
    path
}

/// `rolewright policy bench`, as a program reads it.
fn bench(file: &Path, users: usize, more: &[&str]) -> Value {
    let mut command = Command::new(binary());
    command.args(["policy", "bench", "--format", "json", "--users", &users.to_string()]).args(more).arg(file);
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

fn measured<'a>(report: &'a Value, stage: &str) -> &'a Value {
    let mut all = report["measurements"].as_array().into_iter().flatten();
    all.find(|it| it["stage"] == stage).unwrap_or_else(|| panic!("{stage} was not measured: {report}"))
}

fn chain(directory: &Path, users: usize) -> String {
    let report = bench(&document(directory, &CHAIN), users, &[]);
    let logic = native::measure(users, &settings, false);
    let copies = native::measure(users, &settings, true);
    let rows: [(&str, &str, f64, f64); 6] = [
        ("validate", "`validate`, eight policies", logic.validate, copies.validate),
        ("transform", "`transform`, one policy, asked twice", logic.transform, copies.transform),
        ("validate again", "`validate` again, what became of it", logic.validate_again, copies.validate_again),
        ("plan", "`plan`", logic.plan, copies.plan),
        ("review", "`review`, four policies", logic.review, copies.review),
        ("all", "all", logic.all(), copies.all()),
    ];
    let mut text = format!(
        "The chain of all policies that ship, {users} users, each in two roles, a tenth of them not as declared; a first \
         cycle, in which no answer is known from before. Native: the same crates called as functions on one thread, \
         without and with a copy of the input for each policy, which a sandbox always has.\n\n\
         | stage | in the sandbox, ms | native, ms | ratio | native with copies, ms | ratio | fuel, million |\n\
         | --- | --: | --: | --: | --: | --: | --: |\n"
    );
    for (stage, what, logic, copies) in rows {
        let sandboxed = measured(&report, stage);
        let seconds = sandboxed["median"].as_f64().unwrap();
        let _ = writeln!(
            text,
            "| {what} | {:.0} | {:.1} | **{:.1}** | {:.1} | **{:.1}** | {:.0} |",
            seconds * 1e3,
            logic * 1e3,
            seconds / logic,
            copies * 1e3,
            seconds / copies,
            sandboxed["fuel"].as_f64().unwrap() / 1e6
        );
    }
    text
}

/// The same rule, from examples/policies.
fn four_languages() -> String {
    let mut text = format!(
        "\nOne rule (names begin with an allowed prefix), {FEW} users:\n\n\
         | language | validate, ms | fuel, million | memory, MiB | instantiate, ms | compile and load, s | module, MB |\n\
         | --- | --: | --: | --: | --: | --: | --: |\n"
    );
    let out = session::new_directory("languages");
    let settings = out.join("settings.yaml");
    fs::write(&settings, "prefixes: [user-]\n").unwrap();
    for (language, name) in [("rust", "Rust"), ("go", "Go"), ("js", "JavaScript"), ("python", "Python")] {
        let module = match language {
            "rust" => guests::build("examples/policies/naming-rust"),
            other => languages::example(other),
        };
        let stub = if language == "rust" { &[][..] } else { &["--wasi-stub"][..] };
        let report = bench(&module, FEW, &[&["--settings", settings.to_str().unwrap()], stub].concat());
        let (validate, instantiate) = (measured(&report, "validate"), measured(&report, "instantiate"));
        let _ = writeln!(
            text,
            "| {name} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.1} |",
            validate["median"].as_f64().unwrap() * 1e3,
            validate["fuel"].as_f64().unwrap() / 1e6,
            validate["memory"].as_f64().unwrap() / f64::from(1 << 20),
            instantiate["median"].as_f64().unwrap() * 1e3,
            report["load_seconds"].as_f64().unwrap(),
            fs::metadata(&module).unwrap().len() as f64 / 1e6
        );
    }
    text
}

/// What a chain takes until it can be asked.
fn cold_start(directory: &Path) -> String {
    let mut text = String::from(
        "\nA cold start: compiled, or taken from the cache of compiled modules, linked, asked who they are and what they \
         think of their settings.\n\n| chain | without a cache, ms | with one, ms |\n| --- | --: | --: |\n",
    );
    for policies in [&["standard"][..], &CHAIN[..]] {
        let document = document(directory, policies);
        let load = |more: &[&str]| bench(&document, 1, more)["load_seconds"].as_f64().unwrap() * 1e3;
        let cold = median((0..ROUNDS).map(|_| load(&[])).collect());
        let cache = session::new_directory("compiled");
        let cache = ["--cache-dir", cache.to_str().unwrap()];
        load(&cache);
        let warm = median((0..ROUNDS).map(|_| load(&cache)).collect());
        let what = if policies.len() == 1 { "`standard` alone".to_owned() } else { format!("all {}", policies.len()) };
        let _ = writeln!(text, "| {what} | {cold:.0} | {warm:.1} |");
    }
    text
}
