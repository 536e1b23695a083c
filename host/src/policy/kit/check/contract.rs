//! What can be said of a module from outside: that it is a component of a world of the contract, that
//! it imports nothing but `log`, and who it says it is.

use std::path::Path;

use wasmparser::{ComponentName, KnownCustom, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::super::super::call::Callee;
use super::super::super::engine::Runtime;
use super::super::super::error::LoadError;
use super::super::super::load::{self, Description, Wasi};
use super::{Outcome, Suite, failed, passed};
use crate::policy::WIT_VERSION;

/// The interfaces that a policy can export, with their functions; the first two are in every world.
const INTERFACES: [(&str, &str); 6] = [
    ("describe", "describe"),
    ("configure", "validate-settings"),
    ("validate", "validate"),
    ("transform", "transform"),
    ("plan", "plan"),
    ("review", "review"),
];
/// How many of them are in every world.
const IN_EVERY_WORLD: usize = 2;
/// How often a module is asked the same.
const TIMES: usize = 10;

/// Whether it can be called at all.
pub(super) fn contract(runtime: &Runtime, file: &Path, wasi: Wasi, suite: &mut Suite) -> Result<bool, LoadError> {
    let bytes = load::read(file)?;
    let sha256 = load::sha256(&bytes);
    let what = "the file is a WebAssembly component";
    let component = match load::compile(runtime, &bytes, &sha256) {
        Ok(component) => component,
        Err(error) => {
            suite.add("component", what, failed(error.to_string(), "build it again: `rolewright policy build`"));
            return Ok(false);
        }
    };
    suite.add("component", what, passed(format!("{} bytes, sha256 {}", bytes.len(), &sha256[..12])));
    let imports = imports(&runtime.engine, &component, wasi);
    let imported = matches!(imports, Outcome::Passed(_));
    suite.add("imports", "it imports nothing but `log`", imports);
    let mut world = world(&runtime.engine, &component);
    let linked = match load::link(&runtime.engine, &component, wasi) {
        Ok(linked) => Some(linked),
        Err(error @ LoadError::Type { .. }) => {
            world = failed(error.to_string(), "build it against the files in wit/ of this version");
            None
        }
        Err(_) => None,
    };
    let callee = Callee { name: "subject".to_owned(), version: "unknown".to_owned(), sha256 };
    let described = linked.filter(|_| imported).map(|linked| {
        let first = load::describe(&linked, &callee, &runtime.limits, runtime);
        let steady = first.as_ref().is_ok_and(|first| {
            (1..TIMES)
                .all(|_| load::describe(&linked, &callee, &runtime.limits, runtime).is_ok_and(|again| again == *first))
        });
        (first, steady)
    });
    if let Some((Err(error @ LoadError::Type { .. }), _)) = &described {
        world = failed(error.to_string(), "build it against the files in wit/ of this version");
    }
    suite.add("world", "it exports what a policy exports", world);
    let Some((described, steady)) = described else {
        let why = "it can't be called: see above";
        suite.add("describe", DESCRIBES, Outcome::Skipped(why.to_owned()));
        return Ok(false);
    };
    Ok(match described {
        Ok(description) => {
            suite.add("describe", DESCRIBES, describes(&description, steady));
            suite.add("identity", "what it says of itself is what its file says", identity(&bytes, &description));
            suite.add("settings-schema", "its settings schema can be read", schema(&description));
            true
        }
        Err(error) => {
            suite.add("describe", DESCRIBES, failed(error.to_string(), "correct what `describe` returns"));
            false
        }
    })
}

const DESCRIBES: &str = "it says who it is, the same every time";

fn describes(description: &Description, steady: bool) -> Outcome {
    let Description { name, version, clock_step, .. } = description;
    if !steady {
        return failed(
            "asked ten times, it did not always say the same",
            "let `describe` return constants: nothing else is known when it is called",
        );
    }
    if description.summary.is_empty() {
        return failed("its summary is empty", "say in a sentence what the policy is for");
    }
    let clock = clock_step.map(|step| format!(", wants the time in steps of {step} s")).unwrap_or_default();
    passed(format!("{name} {version}{clock}"))
}

/// Every import that no policy gets, not only the first.
fn imports(engine: &Engine, component: &Component, wasi: Wasi) -> Outcome {
    let all = load::imports(engine, component);
    let foreign: Vec<&str> = all.iter().map(String::as_str).filter(|name| !load::is_given(name, wasi)).collect();
    match foreign.as_slice() {
        [] if all.is_empty() => passed("nothing at all"),
        [] => passed(""),
        _ => {
            let wasi = foreign.iter().any(|name| name.starts_with("wasi:"));
            failed(
                format!("it imports {}", foreign.join(", ")),
                if wasi {
                    "a policy has no WASI: build it for wasm32-unknown-unknown, or stub WASI out (componentize-py -s, \
                     componentize-qjs --stub-wasi); else give it an empty one: `wasi: stub` in the chain, --wasi-stub here"
                } else {
                    "a policy may import nothing but the functions of `rolewright:policy/log`"
                },
            )
        }
    }
}

/// What is missing from a world of the contract, and what is beyond it.
fn world(engine: &Engine, component: &Component) -> Outcome {
    let ty = component.component_type();
    let mut stages = Vec::new();
    let mut missing = Vec::new();
    let mut beyond = Vec::new();
    let mut other_versions = Vec::new();
    let ours = |name: &str| {
        let (interface, version) = name.strip_prefix("rolewright:policy/")?.split_once('@')?;
        let (at, _) = INTERFACES.iter().enumerate().find(|(_, (known, _))| *known == interface)?;
        Some((at, version.to_owned()))
    };
    let mut found = [false; INTERFACES.len()];
    for (name, export) in ty.exports(engine) {
        match (ours(name), export.ty) {
            (Some((at, version)), _) if version != WIT_VERSION => other_versions.push((INTERFACES[at].0, version)),
            (Some((at, _)), ComponentItem::ComponentInstance(instance)) => {
                found[at] = true;
                let (interface, function) = INTERFACES[at];
                let functions: Vec<&str> = instance
                    .exports(engine)
                    .filter(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_)))
                    .map(|(name, _)| name)
                    .collect();
                if !functions.contains(&function) {
                    missing.push(format!("{interface}#{function}"));
                }
                beyond.extend(functions.iter().filter(|it| **it != function).map(|it| format!("{interface}#{it}")));
            }
            (Some((at, _)), _) => beyond.push(format!("{}, which is no interface", INTERFACES[at].0)),
            (None, _) => beyond.push(name.to_owned()),
        }
    }
    for (at, (interface, _)) in INTERFACES.iter().enumerate() {
        match (found[at], at < IN_EVERY_WORLD) {
            (true, false) => stages.push(*interface),
            (false, true) => missing.push((*interface).to_owned()),
            _ => {}
        }
    }
    if stages.is_empty() {
        missing.push("one of validate, transform, plan, review".to_owned());
    }
    let beyond = if beyond.is_empty() { String::new() } else { format!("beyond it: {}", beyond.join(", ")) };
    if missing.is_empty() {
        let more = if beyond.is_empty() { beyond } else { format!("; {beyond} (never called)") };
        return passed(format!("{}{more}", stages.join(", ")));
    }
    let mut seen = format!("missing: {}", missing.join(", "));
    if !beyond.is_empty() {
        seen = format!("{seen}\n{beyond}");
    }
    match other_versions.first() {
        Some((_, version)) => {
            let names: Vec<&str> = other_versions.iter().map(|(name, _)| *name).collect();
            failed(
                format!("{seen}\nof version {version} of the contract: {}", names.join(", ")),
                format!("this host speaks version {WIT_VERSION}: build the module against wit/ of that version"),
            )
        }
        None => failed(seen, "build it against one of the worlds in wit/worlds.wit"),
    }
}

/// A component can carry a name and a version for registries, as `wasm-tools metadata` shows them. If
/// it does, they must not contradict what it says when it is asked.
fn identity(bytes: &[u8], description: &Description) -> Outcome {
    let carried = match carried(bytes) {
        Ok(carried) => carried,
        Err(error) => {
            return failed(format!("its custom sections can't be read: {error}"), "build it again with current tools");
        }
    };
    let pairs = [("name", &carried.name, &description.name), ("version", &carried.version, &description.version)];
    let differ: Vec<String> = pairs
        .iter()
        .filter_map(|(what, carried, said)| {
            let carried = carried.as_ref().filter(|carried| carried != said)?;
            Some(format!("its {what} is {said:?} in `describe`, and {carried:?} in the file"))
        })
        .collect();
    if !differ.is_empty() {
        return failed(
            differ.join("\n"),
            "take both from one place; `wasm-tools metadata add --name … --version …` writes those of the file",
        );
    }
    match (carried.name, carried.version) {
        (None, None) => Outcome::Skipped("the file carries neither a name nor a version".to_owned()),
        _ => passed(""),
    }
}

#[derive(Debug, Default)]
struct Carried {
    name: Option<String>,
    version: Option<String>,
}

/// The name in the section `component-name`, and the text of the section `version`, of the component
/// itself; those of the modules inside are their compilers'.
fn carried(bytes: &[u8]) -> Result<Carried, wasmparser::BinaryReaderError> {
    let mut carried = Carried::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 => match section.as_known() {
                KnownCustom::ComponentName(names) => {
                    for name in names {
                        if let ComponentName::Component { name, .. } = name? {
                            carried.name = Some(name.to_owned());
                        }
                    }
                }
                _ if section.name() == "version" => {
                    carried.version = Some(String::from_utf8_lossy(section.data()).into_owned());
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(carried)
}

/// That the schema is JSON, and of the shape of a JSON Schema.
pub(super) fn schema(description: &Description) -> Outcome {
    let Some(text) = &description.settings_schema else {
        return Outcome::Skipped("it gives none".to_owned());
    };
    let help = "`settings-schema` is a JSON Schema: https://json-schema.org";
    let schema: serde_json::Value = match serde_json::from_str(text) {
        Ok(schema) => schema,
        Err(error) => return failed(format!("it is no JSON: {error}"), help),
    };
    match schema {
        serde_json::Value::Object(_) | serde_json::Value::Bool(_) => passed(""),
        _ => failed("it is JSON, and neither an object nor a boolean", help),
    }
}
