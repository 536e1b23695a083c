//! Policies in other languages than Rust: a new project of each builds, passes its own fixtures and keeps the contract;
//! one rule in four languages runs in one chain, where all four say the same; the packages pass their own tests; and a
//! module that cannot do without WASI gets one with nothing behind it, or none.

use std::path::{Path, PathBuf};

use rolewright_tests::languages::{example, path_with, runs};
use rolewright_tests::session::repository;
use rolewright_tests::{Cluster, Manifests, Rolewright, guests};
use serde_json::json;

fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

fn a_new_project_is_good_at_once(language: &str) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests).env("PATH", &path_with(language));
    // Where compilers and package managers keep what they fetch; every author has one.
    let home = rolewright.directory().join("home");
    std::fs::create_dir(&home).unwrap();
    let rolewright = rolewright.env("HOME", text(&home));
    let project = rolewright.directory().join("team-names");
    rolewright.command(&["policy", "new", "team-names", "--lang", language, "--dir", text(&project)]).succeeds();
    rolewright.command(&["policy", "build", text(&project)]).succeeds();
    rolewright.command(&["policy", "test", text(&project)]).succeeds().mentions("2 as expected");
    let module = project.join("dist/team-names.wasm");
    rolewright.command(&["policy", "check", text(&module)]).succeeds().mentions(" 0 failed");
}

#[test]
fn a_new_project_in_javascript_is_good_at_once() {
    a_new_project_is_good_at_once("js");
}

#[test]
fn a_new_project_in_python_is_good_at_once() {
    a_new_project_is_good_at_once("python");
}

#[test]
fn a_new_project_in_go_is_good_at_once() {
    a_new_project_is_good_at_once("go");
}

#[test]
fn the_packages_and_the_examples_pass_their_own_tests_and_their_types_are_those_of_the_contract() {
    let (guests, examples) = (repository().join("guest-policies"), repository().join("examples/policies"));
    runs("js", &guests, &["node", "types.mjs", "--check"]);
    runs("js", &guests.join("sdk-js"), &["node", "--test"]);
    runs("js", &examples.join("naming-js"), &["node", "--test"]);
    let python = ["python3", "-m", "unittest", "discover", "-s", "tests", "-t", "."];
    runs("python", &guests.join("sdk-py"), &python);
    runs("python", &examples.join("naming-python"), &python);
    runs("go", &guests.join("sdk-go"), &["go", "test", "./..."]);
    runs("go", &examples.join("naming-go"), &["go", "test", "./..."]);
}

/// A policy whose runtime imports WASI, and that says what time it is and what came up by chance.
fn curious(rolewright: &Rolewright<'_>) -> PathBuf {
    let project = rolewright.directory().join("curious");
    rolewright.command(&["policy", "new", "curious", "--lang", "js", "--dir", text(&project)]).succeeds();
    let replace = |file: &str, from: &str, to: &str| {
        let before = std::fs::read_to_string(project.join(file)).unwrap();
        assert!(before.contains(from), "{from:?} is not in {file}");
        std::fs::write(project.join(file), before.replace(from, to)).unwrap();
    };
    replace("package.json", "--stub-wasi ", "");
    // The package takes both away from policies, so they are kept before it does.
    std::fs::write(project.join("early.js"), "export const now = Date.now;\nexport const chance = Math.random;\n")
        .unwrap();
    replace("index.js", "import { definePolicy", "import { now, chance } from './early.js';\nimport { definePolicy");
    replace("index.js", "begins with no allowed prefix`", "came at ${now()}, by chance ${chance()}`");
    runs("js", &project, &["npm", "run", "build"]);
    project.join("dist/curious.wasm")
}

#[test]
fn a_module_that_wants_wasi_is_refused_or_gets_one_with_nothing_behind_it() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests);
    let module = curious(&rolewright);
    manifests.users_exactly("users: [{username: alice, password: none}]\n");
    let chain = |wasi: Option<&str>| {
        let mut entry = json!({ "name": "curious", "module": module, "settings": { "prefixes": ["app_"] } });
        if let Some(wasi) = wasi {
            entry["wasi"] = json!(wasi);
        }
        json!({ "policies": [entry, { "name": "standard", "module": "builtin:standard" }] }).to_string()
    };
    let refused = Rolewright::new(&cluster, &manifests).policies(&chain(None)).plan();
    refused.exits_with(1).says("curious").mentions("wasi:");

    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain(Some("stub")));
    let said = || {
        let document = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
        document["findings"][0]["message"].as_str().unwrap().to_owned()
    };
    let first = said();
    assert!(first.starts_with("\"alice\" came at 0, by chance 0."), "{first}");
    // Another process, at another time.
    assert_eq!(said(), first);
}

#[test]
fn one_rule_in_four_languages_says_the_same_in_one_chain() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let settings = json!({ "prefixes": ["app_", "team_"], "exceptions": ["postgres_exporter"] });
    let modules = [
        ("rust", guests::build("examples/policies/naming-rust")),
        ("js", example("js")),
        ("python", example("python")),
        ("go", example("go")),
    ];
    let mut policies: Vec<_> = modules
        .iter()
        .map(|(language, module)| json!({ "name": format!("naming-{language}"), "module": module, "settings": settings }))
        .collect();
    policies.push(json!({ "name": "standard", "module": "builtin:standard" }));
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&json!({ "policies": policies }).to_string());

    manifests.users_exactly("users: [{username: app_shop, password: none}, {username: alice, password: none}]\n");
    let document = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    let findings: Vec<&serde_json::Value> = document["findings"].as_array().unwrap().iter().collect();
    let named: Vec<&str> = findings.iter().filter_map(|finding| finding["policy"].as_str()).collect();
    for (language, _) in &modules {
        assert!(named.contains(&format!("naming-{language}").as_str()), "{language} says nothing: {document}");
    }
    for finding in findings.iter().filter(|finding| finding["policy"] != "standard") {
        assert_eq!((&finding["code"], &finding["path"]), (&json!("name-prefix"), &json!("/users/1")), "{finding}");
        assert_eq!(
            (&finding["message"], &finding["help"]),
            (&findings[0]["message"], &findings[0]["help"]),
            "{finding}"
        );
    }

    manifests.users_exactly("users: [{username: app_shop, password: none}, {username: team_a, password: none}]\n");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("app_shop") && cluster.has_role("team_a"));
}
