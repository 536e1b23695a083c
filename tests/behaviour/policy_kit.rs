//! The author's kit: `policy new`, `build`, `test`, `check`, `bench` and `run` on real modules, and
//! what each says when something is wrong. No server is needed for any of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolewright_tests::session::{binary, new_directory};
use rolewright_tests::{guests, leaks};
use serde_json::{Value, json};

const HOSTILE: &str = "tests/guests/hostile";
const NAMING: &str = "examples/policies/naming-rust";
const PLANNER: &str = "tests/guests/planner";
const TRANSFORMER: &str = "tests/guests/transformer";

struct Said {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn exits_with(self, status: i32) -> Said {
        assert_eq!(self.status, Some(status), "{}{}", self.stdout, self.stderr);
        self
    }

    fn says(self, text: &str) -> Said {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "no {text:?} in\n{}{}",
            self.stdout,
            self.stderr
        );
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}{}", self.stdout, self.stderr))
    }

    /// Both streams, without what differs from run to run and from machine to machine.
    fn masked(&self, directory: &Path) -> String {
        let text = format!("{}{}", self.stdout, self.stderr).replace(&directory.display().to_string(), "DIR");
        let words = |line: &str| {
            let line = without_amounts(line);
            match line.find("sha256 ") {
                Some(at) if line.ends_with(')') => format!("{}sha256 …)", &line[..at]),
                _ => line,
            }
        };
        text.lines().map(words).collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// Amounts of what differs from build to build and from run to run become `…`.
fn without_amounts(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let masked = words.iter().enumerate().map(|(at, word)| {
        let next: Vec<&str> =
            words.iter().skip(at + 1).take(2).map(|word| word.trim_end_matches([',', ';', ')'])).collect();
        let is_amount = matches!(next.as_slice(), ["fuel" | "ms" | "MiB" | "bytes", ..] | ["k" | "M" | "G", "fuel"]);
        let number = word.trim_start_matches('(');
        if is_amount && number.starts_with(|letter: char| letter.is_ascii_digit()) {
            word.replace(number, "…")
        } else {
            (*word).to_owned()
        }
    });
    masked.collect::<Vec<_>>().join(" ")
}

fn rolewright(directory: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(binary());
    command.arg("policy").args(arguments).current_dir(directory).env("NO_COLOR", "1");
    // What is built here must not depend on where this test was built.
    command.env_remove("CARGO_TARGET_DIR");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = Said { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    leaks::assert_none("the kit", &format!("{}{}", said.stdout, said.stderr));
    said
}

fn write(directory: &Path, file: &str, text: &str) -> PathBuf {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Fixtures of three cases: one that differs in many ways, one of nothing, one with a Secret missing.
fn fixtures() -> PathBuf {
    let directory = new_directory("fixtures");
    write(
        &directory,
        "many/users.yaml",
        "users:\n  - username: alice\n    database: shop\n    roles: [reader]\n  - username: app_bob\n    \
         roles: [pg_monitor]\n    password: none\n  - username: dora\n    databases: [shop, other]\n    privileges: [CREATE]\n",
    );
    write(
        &directory,
        "many/catalog.yaml",
        "roles:\n  - {name: alice, login: true, superuser: true, connect: [shop], member_of: [reader, {role: writer, admin: true}]}\n  \
         - {name: reader}\n  - {name: writer, managed: false}\n  - {name: carol, login: true, valid_until: 2027-01-01T00:00:00Z}\n\
         databases: [shop, {name: other, owner: dora}]\n",
    );
    write(&directory, "many/secrets.yaml", "user-dora-secret: {version: '7', strength: 1}\n");
    write(&directory, "none/users.yaml", "users: []\n");
    write(&directory, "secret/users.yaml", "users:\n  - username: alice\n");
    write(&directory, "secret/secrets.yaml", "user-alice-secret: {state: missing}\n");
    directory
}

#[test]
fn what_a_policy_answers_is_written_once_and_compared_from_then_on() {
    let directory = fixtures();
    let module = guests::build(NAMING);
    write(&directory, "many/settings.yaml", "prefixes: [app_]\n");
    let arguments = ["test", ".", "--module", path(&module)];
    rolewright(&directory, &arguments).exits_with(1).says("there is no expected.yaml").says("3 not as expected");
    rolewright(&directory, &[&arguments[..], &["--bless"]].concat()).exits_with(0).says("3 written");
    rolewright(&directory, &arguments).exits_with(0).says("3 as expected");

    let file = directory.join("many/expected.yaml");
    let expected = fs::read_to_string(&file).unwrap();
    assert!(expected.contains("name-prefix") && expected.contains("path: /users/0"), "{expected}");
    fs::write(&file, format!("# What alice is told.\n{}", expected.replace("name-prefix", "prefix"))).unwrap();
    let said = rolewright(&directory, &arguments).exits_with(1).says("2 as expected, 1 not as expected");
    insta::assert_snapshot!("test_differs", said.masked(module.parent().unwrap()));
    rolewright(&directory, &[&arguments[..], &["--bless", "many"]].concat()).exits_with(0).says("1 written");
    let blessed = fs::read_to_string(&file).unwrap();
    assert_eq!(blessed, format!("# What alice is told.\n{expected}"), "the author's comment stays");
    rolewright(&directory, &["test", "many", "--module", path(&module)]).exits_with(0).says("1 case:");
}

#[test]
fn each_stage_answers_what_the_cycle_would_hear() {
    let directory = fixtures();
    let run = |module: &Path, stage: &str, more: &[&str]| {
        rolewright(&directory, &[&["run", path(module), stage, "--input", "many"], more].concat()).exits_with(0)
    };
    let planner = guests::build(PLANNER);
    insta::assert_snapshot!("run_plan", run(&planner, "plan", &[]).masked(&directory));
    let settings = write(&directory, "staff.yaml", "member-of: staff\n");
    let transformer = guests::build(TRANSFORMER);
    let said = run(&transformer, "transform", &["--settings", path(&settings)]);
    insta::assert_snapshot!("run_transform", said.masked(&directory));
    let hostile = guests::build(HOSTILE);
    insta::assert_snapshot!("run_validate", run(&hostile, "validate", &[]).masked(&directory));
    let json = run(&hostile, "validate", &["--format", "json"]).json();
    assert_eq!(json["validate"]["findings"][0]["code"], "weak-password");
}

#[test]
fn the_host_says_why_a_user_is_not_in_the_plan() {
    let directory = fixtures();
    let module = guests::build(PLANNER);
    let said = rolewright(&directory, &["run", path(&module), "plan", "--input", "secret"]).exits_with(0);
    insta::assert_snapshot!("run_plan_without_secret", said.masked(&directory));
}

#[test]
fn a_plan_that_the_guard_refuses_is_shown_with_the_refusal() {
    let directory = fixtures();
    let module = guests::build(HOSTILE);
    let settings = write(&directory, "evil.yaml", "{do: grant-superuser, stage: plan}\n");
    let arguments =
        ["run", path(&module), "plan", "--input", "many", "--settings", path(&settings), "--format", "json"];
    let json = rolewright(&directory, &arguments).exits_with(0).json();
    let refused = json["plan"]["refused_by_guard"].to_string();
    assert!(refused.contains("not-as-desired") && refused.contains("SUPERUSER"), "{json:#}");
}

#[test]
fn a_crash_is_nothing_to_expect() {
    let directory = fixtures();
    let module = guests::build(HOSTILE);
    write(&directory, "none/settings.yaml", "{do: trap, stage: validate}\n");
    let bless = ["test", "none", "--module", path(&module), "--bless"];
    rolewright(&directory, &bless).exits_with(1).says("nothing is written: in validate it crashed");
    assert!(!directory.join("none/expected.yaml").exists());
}

#[test]
fn a_chain_is_checked_and_measured_as_a_whole() {
    let directory = new_directory("chain");
    let (naming, planner) = (guests::build(NAMING), guests::build(PLANNER));
    let document = |planner: &str| {
        json!({"policies": [
            {"name": "names", "module": naming, "mode": "warn", "settings": {"prefixes": ["user-"]}},
            {"name": "planner", "module": planner},
        ]})
        .to_string()
    };
    write(&directory, "chain.yaml", &document(path(&planner)));
    let json = rolewright(&directory, &["check", "chain.yaml", "--format", "json"]).exits_with(0).json();
    let policies: Vec<_> = json["policies"].as_array().unwrap().iter().collect();
    assert_eq!((&policies[0]["name"], &policies[0]["mode"]), (&json!("names"), &json!("warn")));
    assert_eq!((&policies[1]["stages"], &policies[1]["sha256"]), (&json!(["plan"]), &json!(guests::sha256(&planner))));
    rolewright(&directory, &["check", "chain.yaml"]).exits_with(0).says("planner").says("every module fits");

    let cache = directory.join("cache");
    let bench = ["bench", "chain.yaml", "--users", "50", "--cache-dir", path(&cache), "--format", "json"];
    let json = rolewright(&directory, &bench).exits_with(0).json();
    let stages: Vec<&str> =
        json["measurements"].as_array().unwrap().iter().map(|it| it["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["validate", "transform", "plan", "review", "all"]);
    assert!(fs::read_dir(&cache).unwrap().count() > 0, "nothing was kept");

    // What is meant for one module alone is not dropped in silence.
    for stray in [&["--wasi-stub"][..], &["--settings", "chain.yaml"]] {
        for command in ["check", "bench"] {
            let arguments = [&[command, "chain.yaml"], stray].concat();
            rolewright(&directory, &arguments).exits_with(1).says("leave --").says("out");
        }
    }

    write(&directory, "chain.yaml", &document("nowhere.wasm"));
    let refused = rolewright(&directory, &["check", "chain.yaml"]).exits_with(1);
    assert_eq!(refused.stderr.matches("can't be read").count(), 1, "said twice: {}", refused.stderr);
}

#[test]
fn a_stage_that_fails_says_how_and_its_log_is_heard() {
    let directory = fixtures();
    let module = guests::build(HOSTILE);
    let settings = write(&directory, "evil.yaml", "{do: trap, stage: validate}\n");
    let arguments = ["run", path(&module), "validate", "--input", "many", "--settings", path(&settings)];
    rolewright(&directory, &arguments).exits_with(1).says("failed: \"it crashed");
    // What an author says in a panic, and where, is not lost.
    let settings = write(&directory, "panic.yaml", "{do: panic, stage: validate}\n");
    let arguments = ["run", path(&module), "validate", "--input", "many", "--settings", path(&settings)];
    let said =
        rolewright(&directory, &arguments).exits_with(1).says("the list of lists is no list").says("src/evil.rs:");
    assert!(
        !said.stdout.contains("/src/evil.rs") || !said.stdout.contains(env!("CARGO_MANIFEST_DIR")),
        "{}",
        said.stdout
    );
    let settings = write(&directory, "loud.yaml", "{do: garbage-log, stage: validate}\n");
    let arguments = ["run", path(&module), "validate", "--input", "many", "--settings", path(&settings)];
    let said = rolewright(&directory, &arguments).exits_with(0);
    assert!(said.stderr.starts_with("error: \\u{1b}"), "{}", said.stderr);
    assert!(!said.stderr.contains('\u{1b}') && !said.stdout.contains("error:"));
}

#[test]
fn whatever_is_wrong_with_a_fixture_is_said_with_its_place() {
    let module = guests::build(NAMING);
    let cases = [
        ("users.yaml", "users:\n  - user: alice\n", "x/users.yaml:2:5"),
        ("catalog.yaml", "roles:\n  - {name: a, logn: true}\n", "catalog.yaml:2:15"),
        ("catalog.yaml", "roles:\n  - {name: a, valid_until: tomorrow}\n", "write it like 2026-11-24T12:00:00Z"),
        ("catalog.yaml", "roles:\n  - {name: a}\n  - {name: a}\n", "catalog.yaml:3:12: the role \"a\" is there twice"),
        ("context.yaml", "now: noon\n", "context.yaml:1:6"),
        ("secrets.yaml", "a: {state: lost}\n", "secrets.yaml:1:12"),
        ("settings.yaml", "prefixes: [a\n", "settings.yaml:"),
        ("settings.yaml", "prefix: [a]\n", "does not accept its settings"),
    ];
    let mut said = String::new();
    for (file, text, place) in cases {
        let directory = new_directory("wrong");
        write(&directory, "x/users.yaml", "users: []\n");
        write(&directory, &format!("x/{file}"), text);
        let output = rolewright(&directory, &["test", ".", "--module", path(&module)]).exits_with(1).says(place);
        said += &output.masked(module.parent().unwrap());
    }
    insta::assert_snapshot!("wrong_fixtures", said);
    let empty = new_directory("wrong");
    rolewright(&empty, &["test", ".", "--module", path(&module)])
        .exits_with(1)
        .says("a case is a directory with a users.yaml");
    write(&empty, "x/users.yaml", "users: []\n");
    rolewright(&empty, &["test", "."]).exits_with(1).says("rolewright policy build");
    rolewright(&empty, &["test", ".", "y", "--module", path(&module)]).exits_with(1).says("the cases here are x");
}

#[test]
fn honest_modules_keep_the_contract() {
    let directory = new_directory("check");
    for (package, settings) in [
        (NAMING, json!({ "prefixes": ["app_"], "exceptions": ["user-000001"] })),
        (PLANNER, json!(null)),
        (TRANSFORMER, json!({ "member-of": "group_00" })),
        (HOSTILE, json!(null)),
    ] {
        let module = guests::build(package);
        let settings = write(&directory, "settings.json", &settings.to_string());
        let said = rolewright(&directory, &["check", path(&module), "--settings", path(&settings)]).exits_with(0);
        if package == NAMING {
            insta::assert_snapshot!("check", said.masked(&directory));
        }
    }
}

#[test]
fn each_check_fails_for_a_module_made_to_fail_it() {
    let directory = new_directory("check");
    let hostile = guests::build(HOSTILE);
    let transformer = guests::build(TRANSFORMER);
    let evil = |evil: &str, stage: &str| json!({ "do": evil, "stage": stage });
    for (check, module, settings) in [
        ("empty-input", &hostile, evil("trap-on-nothing", "validate")),
        ("hostile-names", &hostile, evil("trap-on-quotes", "validate")),
        ("every-attribute", &hostile, evil("trap-on-powers", "validate")),
        ("every-object", &hostile, evil("trap-on-object", "validate")),
        ("every-value", &hostile, evil("trap-on-expiry", "validate")),
        ("odd-pointers", &hostile, evil("trap-on-pointer", "validate")),
        ("within-budget", &hostile, evil("quadratic", "validate")),
        ("file-order", &hostile, evil("first-in-file", "validate")),
        ("finding-paths", &hostile, evil("lost-path", "validate")),
        ("nothing-to-do", &hostile, evil("grant-extra", "plan")),
        ("replay", &hostile, evil("do-nothing", "plan")),
        ("idempotent", &transformer, json!({ "restless": true })),
    ] {
        let settings = write(&directory, "settings.json", &settings.to_string());
        let arguments = ["check", path(module), "--settings", path(&settings), "--format", "json"];
        let json = rolewright(&directory, &arguments).exits_with(1).json();
        let checks = json["checks"].as_array().unwrap();
        let entry =
            checks.iter().find(|entry| entry["id"] == check).unwrap_or_else(|| panic!("no {check} in {json:#}"));
        assert_eq!(entry["outcome"], "failed", "{check}: {json:#}");
        assert!(!entry["seen"].as_str().unwrap().is_empty() && !entry["help"].as_str().unwrap().is_empty());
        // Each evil shows in its own check; a crash on one input also shows where that input is part of another.
        let failed = checks.iter().filter(|entry| entry["outcome"] == "failed").count();
        assert!(failed <= 4, "{check}: {json:#}");
    }
    let settings = write(&directory, "settings.json", &evil("do-nothing", "plan").to_string());
    let said = rolewright(&directory, &["check", path(&hostile), "--settings", path(&settings)]).exits_with(1);
    insta::assert_snapshot!("check_fails", said.masked(&directory));
}

#[test]
fn what_is_no_module_is_told_in_one_line() {
    let directory = new_directory("check");
    for (bytes, word) in
        [(&b"not a module"[..], "not WebAssembly"), (b"\0asm\x01\0\0\0", "core WebAssembly module"), (b"", "empty")]
    {
        fs::write(directory.join("x.wasm"), bytes).unwrap();
        rolewright(&directory, &["check", "x.wasm"]).exits_with(1).says("FAILED component").says(word);
    }
    rolewright(&directory, &["check", "nowhere.wasm"]).exits_with(1).says("nowhere.wasm can't be read");
}

#[test]
fn a_bench_gives_every_stage_and_size() {
    let directory = new_directory("bench");
    let module = guests::build(HOSTILE);
    let json =
        rolewright(&directory, &["bench", path(&module), "--users", "1,100", "--format", "json"]).exits_with(0).json();
    let rows: Vec<(String, u64)> = json["measurements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert!(row["median"].as_f64().unwrap() >= row["least"].as_f64().unwrap(), "{row}");
            assert!(row["fuel"].as_u64().unwrap() > 0 && row["memory"].as_u64().unwrap() > 65_536, "{row}");
            (row["stage"].as_str().unwrap().to_owned(), row["users"].as_u64().unwrap())
        })
        .collect();
    let stages = ["validate", "transform", "plan", "review"];
    let expected = [1, 100].into_iter().flat_map(|users| stages.map(|stage| (stage, users)));
    let expected: Vec<(String, u64)> =
        [("instantiate", 0)].into_iter().chain(expected).map(|(stage, users)| (stage.to_owned(), users)).collect();
    assert_eq!(rows, expected);
    let table = rolewright(&directory, &["bench", path(&module), "--users", "10"]).exits_with(0);
    assert!(table.stdout.lines().any(|line| line.starts_with("plan") && line.contains(" ms ")), "{}", table.stdout);

    let settings = write(&directory, "evil.yaml", "{do: trap, stage: plan}\n");
    let arguments = ["bench", path(&module), "--users", "1", "--settings", path(&settings)];
    rolewright(&directory, &arguments).exits_with(1).says("failed: it crashed");
}

#[test]
fn a_new_policy_in_rust_is_built_tested_checked_and_run() {
    let directory = new_directory("author");
    rolewright(&directory, &["new", "team-naming", "--lang", "rust"]).exits_with(0).says("rolewright policy build");
    let project = directory.join("team-naming");
    for file in ["README.md", "Cargo.toml", "wit/worlds.wit", "src/lib.rs"] {
        assert!(project.join(file).is_file(), "{file}");
    }
    rolewright(&project, &["test", "."]).exits_with(1).says("rolewright policy build");
    rolewright(&project, &["build"]).exits_with(0).says("dist/team-naming.wasm").says("0 failed");
    rolewright(&project, &["test", "."]).exits_with(0).says("as expected");
    let checked = rolewright(&project, &["check", "dist/team-naming.wasm"]).exits_with(0).says("0 failed");
    // Its file carries the version that it was built with.
    assert!(checked.stdout.contains("ok     identity"), "{}", checked.stdout);
    // One of its own tests holds settings.schema.json to the type of the settings.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let own = Command::new(cargo).args(["test", "--lib"]).current_dir(&project).output().unwrap();
    let said = String::from_utf8_lossy(&own.stdout) + String::from_utf8_lossy(&own.stderr);
    assert!(own.status.success() && said.contains("the_schema_is_that_of_the_settings ... ok"), "{said}");
    let case = fs::read_dir(project.join("fixtures")).unwrap().next().unwrap().unwrap().path();
    let inspected = rolewright(&project, &["inspect", "dist/team-naming.wasm"]).exits_with(0);
    let stage =
        ["validate", "transform", "review", "plan"].into_iter().find(|stage| inspected.stdout.contains(stage)).unwrap();
    rolewright(&project, &["run", "dist/team-naming.wasm", stage, "--input", path(&case)]).exits_with(0).says(stage);

    rolewright(&directory, &["new", "team-naming", "--lang", "rust"]).exits_with(1).says("nothing is overwritten");
    write(&project, "src/lib.rs", "fn broken( {\n");
    rolewright(&project, &["build"]).exits_with(1).says("src/lib.rs:1");
    // What is tested then is what was built before, and that is said.
    let stale = rolewright(&project, &["test", "."]).exits_with(0).says("src/lib.rs is newer than");
    assert!(stale.stderr.starts_with("warning: "), "{}", stale.stderr);
}

#[test]
fn a_name_or_a_language_that_is_none_is_refused_before_anything_is_made() {
    let directory = new_directory("author");
    for name in ["Naming", "a_b", "-a", "a--b", "1a", "", "../x"] {
        rolewright(&directory, &["new", "--lang", "rust", "--", name])
            .exits_with(1)
            .says("lower-case words and digits");
    }
    rolewright(&directory, &["new", "naming", "--lang", "cobol"]).exits_with(1).says("there are").says("rust");
    rolewright(&directory, &["build"]).exits_with(1).says("Cargo.toml");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn each_help_page_fits_a_screen() {
    let directory = new_directory("help");
    let mut all = rolewright(&directory, &["--help"]).exits_with(0).stdout;
    for command in ["new", "build", "test", "check", "bench", "run", "inspect"] {
        let said = rolewright(&directory, &[command, "--help"]).exits_with(0);
        assert!(said.stdout.lines().count() <= 24, "{}", said.stdout);
        all += &format!("\n──── {command}\n{}", said.stdout);
    }
    insta::assert_snapshot!("help", all);
}
