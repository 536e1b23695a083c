//! One call of a module: a fresh store and instance under the limits for its input, and a typed
//! answer when it fails. Nothing of a call is left for the next one.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasSelf, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store, Trap};

use super::bindings::rolewright::policy::log;
use super::convert::{self, printable};
use super::engine::TICK;
use super::error::{Failure, PolicyError};
use super::limits::{Budget, Limits, Memory};
use super::{Called, LogLevel, Observer, Stage};

/// Fuel that a store starts with is the budget of the call, never more than wasmtime can count.
const MAX_FUEL: u64 = i64::MAX as u64;

/// Who is called: what an error and a log line say about the module.
#[derive(Debug, Clone)]
pub(super) struct Callee {
    /// Its name in the chain.
    pub(super) name: String,
    /// The version that it gives itself; `unknown` before it could say.
    pub(super) version: String,
    /// Of its bytes, in hexadecimal.
    pub(super) sha256: String,
}

/// What a store holds for the host.
pub(super) struct Call {
    memory: Memory,
    log: Log,
}

struct Log {
    module: String,
    observer: Arc<dyn Observer>,
    lines_left: usize,
    line_limit: usize,
    last_error: Option<String>,
}

impl log::Host for Log {
    fn emit(&mut self, level: log::Level, message: String) {
        let level = convert::level(level);
        // Also beyond the last line: what a module says as it crashes is worth most.
        let message = printable(&message, self.line_limit);
        if level == LogLevel::Error {
            self.last_error = Some(message.clone());
        }
        match self.lines_left {
            0 => return,
            1 => self.observer.log(
                &self.module,
                LogLevel::Warn,
                "the module logs too much: the rest of this call is dropped",
            ),
            _ => self.observer.log(&self.module, level, &message),
        }
        self.lines_left -= 1;
    }
}

/// What a module may import: `log`, and nothing else.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<Call, HasSelf<Log>>(&mut linker, |call| &mut call.log)?;
    Ok(linker)
}

/// Instantiates the module and lets `run` call it. `entries` is the size of the input.
///
/// `run` gives what the module returned; an `Err` in it says that the module could not do its work.
pub(super) fn call<R>(
    callee: &Callee,
    stage: Stage,
    instance: &InstancePre<Call>,
    (limits, entries): (&Limits, usize),
    observer: &Arc<dyn Observer>,
    run: impl FnOnce(&mut Store<Call>, &Instance) -> wasmtime::Result<Result<R, String>>,
) -> Result<(R, Budget), PolicyError> {
    let budget = limits.budget(entries);
    let fuel = budget.fuel.min(MAX_FUEL);
    let log = Log {
        module: callee.name.clone(),
        observer: Arc::clone(observer),
        lines_left: limits.log_lines + 1,
        line_limit: limits.log_line,
        last_error: None,
    };
    let mut store = Store::new(instance.engine(), Call { memory: Memory::new(budget.memory), log });
    store.limiter(|call| &mut call.memory);
    store.set_hostcall_fuel(budget.output);
    let ticks = budget.deadline.as_nanos().div_ceil(TICK.as_nanos());
    // One more, since the first may be nearly over.
    store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(u64::MAX / 2).saturating_add(1));

    let start = Instant::now();
    let result = store
        .set_fuel(fuel)
        .and_then(|()| instance.instantiate(&mut store))
        .and_then(|instance| run(&mut store, &instance));
    let seconds = start.elapsed().as_secs_f64();

    let result = match result {
        Ok(Ok(value)) => Ok((value, budget)),
        Ok(Err(message)) => Err(Failure::Refused(printable(&message, convert::MAX_TEXT))),
        Err(error) => Err(failure(&error, store.data(), &budget)),
    };
    let outcome = result.as_ref().map_or_else(Failure::outcome, |_| "ok");
    let used = fuel - store.get_fuel().unwrap_or(fuel).min(fuel);
    let memory = store.data().memory.peak();
    observer.call(&Called { module: &callee.name, stage, seconds, fuel: used, memory, outcome });
    result.map_err(|kind| callee.error(stage, kind))
}

/// What an error of the engine means. Only types are looked at, and what the limiter remembers:
/// the texts are wasmtime's to change.
fn failure(error: &wasmtime::Error, call: &Call, budget: &Budget) -> Failure {
    if call.memory.denied() {
        return Failure::OutOfMemory { limit: budget.memory };
    }
    let trap = |reason: String| Failure::Trap { reason, last_words: call.log.last_error.clone() };
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::OutOfFuel { budget: budget.fuel },
        Some(Trap::Interrupt) => Failure::Timeout { deadline: budget.deadline },
        Some(Trap::UnreachableCodeReached) => trap("it panicked, or reached code that it calls unreachable".to_owned()),
        Some(Trap::StackOverflow) => trap("it calls itself too deep (stack overflow)".to_owned()),
        Some(other) => trap(other.to_string()),
        None if is_output_limit(error) => Failure::TooMuchOutput { what: "bytes", limit: budget.output },
        None => Failure::BadOutput(printable(&format!("{error:#}"), convert::MAX_TEXT)),
    }
}

/// Whether the module tried to hand over more than the store's `hostcall_fuel`. The type of that
/// error is wasmtime's own; all others that are no trap are texts, or complaints about UTF-8.
fn is_output_limit(error: &wasmtime::Error) -> bool {
    !(error.is::<&'static str>() || error.is::<String>() || error.is::<std::str::Utf8Error>())
}

impl Callee {
    pub(super) fn error(&self, stage: Stage, kind: Failure) -> PolicyError {
        PolicyError {
            module: self.name.clone(),
            version: self.version.as_str().into(),
            sha256: self.sha256.chars().take(12).collect::<String>().into(),
            stage,
            kind,
        }
    }
}
