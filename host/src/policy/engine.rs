//! The WebAssembly engine and its clock, set up once for all modules. What a module may use in a
//! call is set in `call`; what it may import, in `load`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use super::cache::Cache;
use super::error::RuntimeError;
use super::limits::Limits;
use super::{Observer, Silent};

/// How exact a deadline is.
pub const TICK: Duration = Duration::from_millis(10);

/// What every chain runs on: the engine, its clock, the cache of compiled modules, the built-in
/// modules, the limits, and who hears of calls. A clone is cheap and shares all of it.
#[derive(Clone)]
pub struct Runtime {
    pub(super) engine: Engine,
    pub(super) limits: Limits,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) builtins: BTreeMap<&'static str, &'static [u8]>,
    pub(super) observer: Arc<dyn Observer>,
}

impl Runtime {
    /// Sets up an engine and starts its clock, which runs for as long as the engine is in use.
    ///
    /// `cache_directory` keeps compiled modules. It must belong to this process's user, and nobody
    /// else may write to it; otherwise it is not used, and a log line says so. `None`: no cache.
    ///
    /// # Errors
    ///
    /// Where this machine can't run WebAssembly, or no thread can be started.
    pub fn new(limits: Limits, cache_directory: Option<PathBuf>) -> Result<Runtime, RuntimeError> {
        let engine = Engine::new(&config()).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        start_clock(&engine)?;
        let cache = cache_directory.and_then(|directory| open_cache(&directory, &engine)).map(Arc::new);
        Ok(Runtime {
            engine,
            limits,
            cache,
            compiled: Arc::default(),
            builtins: BTreeMap::new(),
            observer: Arc::new(Silent),
        })
    }

    /// Adds a module that a chain document calls `builtin:NAME`.
    #[must_use]
    pub fn with_builtin(mut self, name: &'static str, component: &'static [u8]) -> Self {
        self.builtins.insert(name, component);
        self
    }

    /// Tells this observer of every call and every log line of chains loaded from now on.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The component of a built-in module.
    pub fn builtin(&self, name: &str) -> Option<&'static [u8]> {
        self.builtins.get(name).copied()
    }

    /// Forgets compiled modules other than these, given by sha256. Chains that use them keep them.
    pub fn keep_only(&self, digests: &BTreeSet<String>) {
        self.compiled.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|digest, _| digests.contains(digest));
    }

    /// The limits that calls run under.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether compiled modules are kept on disk.
    pub fn has_cache(&self) -> bool {
        self.cache.is_some()
    }
}

/// Modules that were compiled, in memory, by the sha256 of their bytes: a chain that is loaded again
/// with other settings compiles nothing.
#[derive(Default)]
pub(super) struct Compiled(Mutex<BTreeMap<String, Slot>>);

/// One module; locked while somebody compiles it.
type Slot = Arc<Mutex<Option<Component>>>;

impl Compiled {
    pub(super) fn slot(&self, sha256: &str) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(sha256.to_owned()).or_default())
    }
}

fn open_cache(directory: &Path, engine: &Engine) -> Option<Cache> {
    match Cache::open(directory, engine) {
        Ok(cache) => Some(cache),
        Err(reason) => {
            tracing::warn!(
                directory = %directory.display(),
                "the cache of compiled policies is not used: {reason}; every start compiles them anew"
            );
            None
        }
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // The budget of a call: deterministic, so that a module fails on every machine or on none.
        .consume_fuel(true)
        // The deadline of a call: for a machine too slow for the budget.
        .epoch_interruption(true)
        // A component is made of several core modules; each compiles by itself.
        .parallel_compilation(true)
        .wasm_component_model(true)
        // The same inputs give the same bytes, on every processor: no NaN shows where it was made,
        // and "relaxed" vector instructions have one result.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // 4 GiB are a hard end for a module's memory, and let the engine leave bounds checks to the
        // processor. Address space is reserved for each memory, and only touched pages cost.
        .wasm_memory64(false)
        // A fresh instance maps the module's first memory image and copies only what it changes.
        .memory_init_cow(true)
        // Enough for deep recursion in an interpreter, and well below the 2 MiB of tokio's blocking
        // threads, where host frames need room as well.
        .max_wasm_stack(512 << 10)
        // Offsets into a module's code tell an operator nothing; the kind of trap does.
        .wasm_backtrace_max_frames(None);
    config
}

/// Moves the engine's epoch on, for ever, whatever the limits are: a deadline that depends on
/// whether somebody asked for one is a deadline that is forgotten.
fn start_clock(engine: &Engine) -> Result<(), RuntimeError> {
    let engine = engine.weak();
    let clock = move || {
        loop {
            thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    thread::Builder::new().name("policy-clock".to_owned()).spawn(clock).map_err(RuntimeError::Ticker)?;
    Ok(())
}
