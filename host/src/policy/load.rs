//! From bytes to a module that can be called: it is the file that was meant, a component, imports
//! nothing but `log`, exports what a policy exports, says who it is, and accepts its settings.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::PoisonError;

use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Precompiled};

use super::bindings::exports::rolewright::policy as exports;
use super::cache::Found;
use super::call::{self, Call, Callee};
use super::convert::{Incoming, is_kebab_case, printable};
use super::engine::Runtime;
use super::error::{Failure, LoadError, NotAComponent};
use super::limits::Limits;
use super::{Stage, WIT_VERSION, wasi};
use crate::model::Finding;

/// A policy in Python has 18 MB.
const MAX_BYTES: u64 = 128 << 20;
/// Bytes of one function. The compiler takes some 170 times that in memory: a function of 7 MB takes more than a pod has.
/// The largest in interpreters, their main loops, have a few hundred thousand.
const MAX_FUNCTION: u64 = 1 << 20;
/// Bytes of a version, as semantic versions go.
const MAX_VERSION: usize = 64;
/// Bytes of a one-sentence summary.
const MAX_SUMMARY: usize = 512;

/// The interfaces of the contract that carry types only, or `log`.
const IMPORTS: [&str; 3] = ["rolewright:policy/log", "rolewright:policy/types", "rolewright:policy/changes"];

/// Who a module says it is. All of it is printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Kebab-case.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its settings.
    pub settings_schema: Option<String>,
    /// It wants to know the time, rounded down to this many seconds.
    pub clock_step: Option<u32>,
}

/// What a module may import beside `log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wasi {
    /// Nothing.
    #[default]
    None,
    /// WASI, with nothing behind it.
    Stub,
}

/// A compiled component whose imports are satisfied; nothing of it has run yet.
pub(super) struct Linked {
    pub(super) instance: InstancePre<Call>,
    pub(super) describe: exports::describe::GuestIndices,
    pub(super) configure: exports::configure::GuestIndices,
    pub(super) validate: Option<exports::validate::GuestIndices>,
    pub(super) transform: Option<exports::transform::GuestIndices>,
    pub(super) plan: Option<exports::plan::GuestIndices>,
    pub(super) review: Option<exports::review::GuestIndices>,
}

impl Linked {
    /// The stages that the module takes part in, in the order in which they run.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let exported = |stage: &Stage| match stage {
            Stage::Validate => self.validate.is_some(),
            Stage::Transform => self.transform.is_some(),
            Stage::Plan => self.plan.is_some(),
            Stage::Review => self.review.is_some(),
            Stage::Describe | Stage::ValidateSettings => false,
        };
        Stage::CHAIN.into_iter().filter(exported).collect()
    }
}

/// Reads a module's file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let error = |reason| LoadError::Read { path: path.to_owned(), reason };
    let file = File::open(path).map_err(error)?;
    let size = file.metadata().map_err(error)?.len();
    if size > MAX_BYTES {
        return Err(LoadError::TooLarge { size, limit: MAX_BYTES });
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

/// The sha256 of a module, in hexadecimal. It is that of the file, not of the compiled code, so that
/// it can be compared with what a registry says.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compiles a component, or takes it from the cache.
pub(super) fn compile(runtime: &Runtime, bytes: &[u8], sha256: &str) -> Result<Component, LoadError> {
    if let Some(problem) = not_a_component(bytes) {
        return Err(LoadError::NotAComponent(problem));
    }
    // Whoever comes second for the same module waits for the first, and compiles nothing.
    let slot = runtime.compiled.slot(sha256);
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(component) = &*slot {
        return Ok(component.clone());
    }
    if let Some(size) = largest_function(bytes).filter(|size| *size > MAX_FUNCTION) {
        return Err(LoadError::FunctionTooLarge { size, limit: MAX_FUNCTION });
    }
    let compiled = match &runtime.cache {
        Some(cache) => cache.component(&runtime.engine, bytes, sha256),
        None => Component::from_binary(&runtime.engine, bytes).map(|component| (component, Found::Unused(None))),
    };
    let (component, found) = compiled.map_err(|error| LoadError::Compile(printable(&format!("{error:#}"), 1_024)))?;
    if let Found::Unused(Some(reason)) = found {
        tracing::warn!("a compiled policy of the cache is not used, and compiled anew: {reason}");
    }
    Ok(slot.insert(component).clone())
}

fn not_a_component(bytes: &[u8]) -> Option<NotAComponent> {
    // The preamble is a magic number, a version, and a layer: 0 for modules, 1 for components.
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => None,
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Some(NotAComponent::CoreModule),
        [] => Some(NotAComponent::Empty),
        _ if matches!(Engine::detect_precompiled(bytes), Some(Precompiled::Module | Precompiled::Component)) => {
            Some(NotAComponent::Precompiled)
        }
        _ if bytes.trim_ascii_start().starts_with(b"(") => Some(NotAComponent::Text),
        _ => Some(NotAComponent::Unknown),
    }
}

/// Bytes of the largest function in any of a component's modules; `None` where there is none, or where the rest cannot be
/// read, of which the compiler will complain.
fn largest_function(bytes: &[u8]) -> Option<u64> {
    let payloads = wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let sizes = payloads.filter_map(|payload| match payload {
        wasmparser::Payload::CodeSectionEntry(body) => Some(body.range().end - body.range().start),
        _ => None,
    });
    sizes.max()
}

/// What a component imports beside types: the names of interfaces and of functions by themselves.
pub(super) fn imports(engine: &Engine, component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let wants = |item: &ComponentItem| match item {
        ComponentItem::Type(_) => false,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).any(|(_, export)| !matches!(export.ty, ComponentItem::Type(_)))
        }
        _ => true,
    };
    ty.imports(engine).filter(|(_, import)| wants(&import.ty)).map(|(name, _)| name.to_owned()).collect()
}

/// The version of the contract that a component was built against, as its exports say.
pub(super) fn wit_version(engine: &Engine, component: &Component) -> Option<String> {
    let ty = component.component_type();
    let version = |name: &str| {
        let (_, version) = name.strip_prefix("rolewright:policy/")?.split_once('@')?;
        Some(version.to_owned())
    };
    ty.exports(engine).find_map(|(name, _)| version(name))
}

/// The first version of the contract that a component speaks and this host does not. Versions with the same first two
/// numbers understand each other, as long as the first is 0.
fn foreign_version(engine: &Engine, component: &Component) -> Option<String> {
    let ty = component.component_type();
    let names = ty.exports(engine).map(|(name, _)| name).chain(ty.imports(engine).map(|(name, _)| name));
    let mut versions = names.filter_map(|name| Some(name.strip_prefix("rolewright:policy/")?.split_once('@')?.1));
    versions.find(|version| !version.starts_with("0.1.")).map(|version| printable(version, MAX_VERSION))
}

/// Whether the host gives what a component imports under this name.
pub(super) fn is_given(name: &str, wasi: Wasi) -> bool {
    if wasi == Wasi::Stub && name.starts_with(wasi::NAMESPACE) {
        return true;
    }
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    IMPORTS.contains(&interface) && version.starts_with("0.1.")
}

/// Finds what a component exports, and gives it what it imports.
pub(super) fn link(engine: &Engine, component: &Component, wasi: Wasi) -> Result<Linked, LoadError> {
    // First: with another version of the contract, whatever else is odd follows from it.
    if let Some(module) = foreign_version(engine, component) {
        return Err(LoadError::Version { module });
    }
    if let Some(import) = imports(engine, component).into_iter().find(|name| !is_given(name, wasi)) {
        return Err(LoadError::Import { import: printable(&import, 200) });
    }
    let mut linker = call::linker(engine).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    if wasi == Wasi::Stub {
        wasi::add_to_linker(&mut linker, engine, component).map_err(|error| type_error("wasi", &error))?;
    }
    // What is left to fail is a function of `log` that this version does not have, or other types.
    let instance = linker.instantiate_pre(component).map_err(|error| type_error("log", &error))?;

    let exported =
        |interface: &str| component.get_export_index(None, format!("rolewright:policy/{interface}@{WIT_VERSION}"));
    for interface in ["describe", "configure"] {
        if exported(interface).is_none() {
            return Err(LoadError::Export { interface });
        }
    }
    macro_rules! stage {
        ($interface:ident) => {{
            let name = stringify!($interface);
            let indices =
                || exports::$interface::GuestIndices::new(&instance).map_err(|error| type_error(name, &error));
            exported(name).map(|_| indices()).transpose()?
        }};
    }
    let linked = Linked {
        describe: exports::describe::GuestIndices::new(&instance).map_err(|error| type_error("describe", &error))?,
        configure: exports::configure::GuestIndices::new(&instance).map_err(|error| type_error("configure", &error))?,
        validate: stage!(validate),
        transform: stage!(transform),
        plan: stage!(plan),
        review: stage!(review),
        instance,
    };
    if linked.stages().is_empty() {
        return Err(LoadError::NoStage);
    }
    Ok(linked)
}

fn type_error(interface: &str, error: &wasmtime::Error) -> LoadError {
    LoadError::Type { interface: interface.to_owned(), reason: printable(&format!("{error:#}"), 1_024) }
}

/// Asks a module who it is, and compares the types of all that it exports with the contract.
pub(super) fn describe(
    linked: &Linked,
    callee: &Callee,
    limits: &Limits,
    runtime: &Runtime,
) -> Result<Description, LoadError> {
    let mut mismatch = None;
    let called =
        call::call(callee, Stage::Describe, &linked.instance, (limits, 0), &runtime.observer, |store, instance| {
            let guest = match linked.describe.load(&mut *store, instance) {
                Ok(guest) => guest,
                Err(error) => {
                    mismatch = Some(type_error("describe", &error));
                    return Err(error);
                }
            };
            macro_rules! check {
                ($indices:expr, $name:literal) => {
                    if let Err(error) = $indices.load(&mut *store, instance) {
                        mismatch = Some(type_error($name, &error));
                        return Err(error);
                    }
                };
                (optional $indices:expr, $name:literal) => {
                    if let Some(indices) = &$indices {
                        check!(indices, $name);
                    }
                };
            }
            check!(linked.configure, "configure");
            check!(optional linked.validate, "validate");
            check!(optional linked.transform, "transform");
            check!(optional linked.plan, "plan");
            check!(optional linked.review, "review");
            guest.call_describe(store).map(Ok)
        });
    let info = match (mismatch, called) {
        (Some(mismatch), _) => return Err(mismatch),
        (None, called) => called?.0,
    };
    let wrong = |what: String| Err(LoadError::Description(what));
    if !is_kebab_case(&info.name) || info.name.len() > MAX_VERSION {
        return wrong(format!("its name is `{}`, which is not kebab-case", printable(&info.name, MAX_VERSION)));
    }
    if info.version.len() > MAX_VERSION || semver::Version::parse(&info.version).is_err() {
        return wrong(format!("its version is `{}`, which is not like 1.2.3", printable(&info.version, MAX_VERSION)));
    }
    if info.clock_step_seconds == Some(0) {
        return wrong("it asks for the time rounded to 0 seconds; 1 is the finest".to_owned());
    }
    Ok(Description {
        name: info.name,
        version: info.version,
        summary: printable(&info.summary, MAX_SUMMARY),
        settings_schema: info.settings_schema,
        clock_step: info.clock_step_seconds,
    })
}

/// Asks a module whether it accepts its settings, a JSON document.
pub(super) fn validate_settings(
    linked: &Linked,
    callee: &Callee,
    settings: &str,
    limits: &Limits,
    runtime: &Runtime,
) -> Result<Vec<Finding>, LoadError> {
    let stage = Stage::ValidateSettings;
    let run = |store: &mut wasmtime::Store<Call>, instance: &wasmtime::component::Instance| {
        linked.configure.load(&mut *store, instance)?.call_validate_settings(store, settings).map(Ok)
    };
    let (findings, budget) = call::call(callee, stage, &linked.instance, (limits, 0), &runtime.observer, run)?;
    let incoming = Incoming { module: &callee.name, items: budget.items };
    incoming.findings(findings).map_err(|kind: Failure| callee.error(stage, kind).into())
}
