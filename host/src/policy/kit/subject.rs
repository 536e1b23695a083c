//! The module that is asked, with a meter: what each question cost, and what the module logged while
//! it answered. Nothing is remembered between two questions, so that each costs what it costs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::document::{Entry, Origin};
use super::super::engine::Runtime;
use super::super::error::{ChainError, PolicyError};
use super::super::{Chain, Context, LogLevel, ModuleInfo, Observer, Reviewed, Stage, Transformed};
use crate::model::{Database, Finding, Role, Spec};
use crate::plan::{Proposal, Step};

/// A line that the module logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How loud.
    pub level: LogLevel,
    /// What.
    pub message: String,
}

/// What one call took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// WebAssembly instructions, roughly.
    pub fuel: u64,
    /// Wall-clock time, with what it takes to make an instance and to hand the input over.
    pub seconds: f64,
    /// Bytes of linear memory at its peak.
    pub memory: usize,
}

/// An answer, and what it took.
#[derive(Debug, Clone)]
pub struct Called<T> {
    /// What the module said; checked as in a chain.
    pub answer: Result<T, PolicyError>,
    /// Of the first call: a transform is asked a second time by the host about its own result.
    pub cost: Cost,
    /// What it logged, in order.
    pub log: Vec<Line>,
}

impl<T> Called<T> {
    /// The same cost for a part of the answer.
    pub fn map<U>(self, part: impl FnOnce(T) -> U) -> Called<U> {
        Called { answer: self.answer.map(part), cost: self.cost, log: self.log }
    }
}

/// Remembers what was heard since it was last asked.
#[derive(Default)]
struct Meter(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    costs: Vec<Cost>,
    log: Vec<Line>,
}

impl Meter {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard())
    }
}

impl Observer for Meter {
    fn call(&self, _module: &str, _stage: Stage, seconds: f64, fuel: u64, _outcome: &'static str) {
        self.heard().costs.push(Cost { fuel, seconds, memory: 0 });
    }

    fn log(&self, _module: &str, level: LogLevel, message: &str) {
        self.heard().log.push(Line { level, message: message.to_owned() });
    }
}

/// A module, ready to be asked.
pub struct Subject {
    chain: Chain,
    info: ModuleInfo,
    meter: Arc<Meter>,
}

impl Subject {
    /// Loads a module as a chain would.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being taken into use; that it does not accept its settings, too.
    pub fn load(runtime: &Runtime, path: &Path, settings: &serde_json::Value) -> Result<Subject, ChainError> {
        let meter = Arc::new(Meter::default());
        let runtime = runtime.clone().with_observer(Arc::clone(&meter) as Arc<dyn Observer>);
        let entry = |name: &str, origin: Origin, settings: serde_json::Value| Entry {
            name: name.to_owned(),
            origin,
            module: path.display().to_string(),
            sha256: None,
            settings,
            place: String::new(),
        };
        let own = || entry("subject", Origin::File(PathBuf::from(path)), settings.clone());
        let alone = Chain::of(&runtime, vec![own()], "");
        let chain = match alone {
            Err(ChainError::NoPlanner { .. }) => {
                let standard = entry("standard", Origin::Builtin("standard".to_owned()), serde_json::Value::Null);
                Chain::of(&runtime, vec![own(), standard], "")?
            }
            other => other?,
        };
        meter.take();
        let info = chain.modules().next().cloned();
        let info = info.ok_or_else(|| ChainError::NoPlanner { place: String::new() })?;
        Ok(Subject { chain, info, meter })
    }

    /// What is known of it.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// Whether it takes part in a stage.
    pub fn has(&self, stage: Stage) -> bool {
        self.info.stages.contains(&stage)
    }

    /// What it thinks of a spec.
    pub fn validate(&self, context: &Context, spec: &Spec) -> Called<Vec<Finding>> {
        self.metered(|| self.chain.validate(context, spec))
    }

    /// What it makes of a spec.
    pub fn transform(&self, context: &Context, spec: &Spec) -> Called<Transformed> {
        self.metered(|| self.chain.transform(context, spec.clone()))
    }

    /// Which steps lead to what is desired.
    pub fn plan(
        &self,
        context: &Context,
        desired: &Spec,
        roles: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
    ) -> Called<Vec<Proposal>> {
        self.metered(|| self.chain.plan(context, desired, roles, databases).map(|planned| planned.proposals))
    }

    /// What it thinks of a plan.
    pub fn review(
        &self,
        context: &Context,
        roles: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
        steps: &[Step],
    ) -> Called<Reviewed> {
        self.metered(|| self.chain.review(context, roles, databases, steps))
    }

    fn metered<T>(&self, ask: impl FnOnce() -> Result<T, PolicyError>) -> Called<T> {
        self.meter.take();
        let answer = ask();
        let Heard { costs, log } = self.meter.take();
        let cost = costs.first().copied().unwrap_or_default();
        Called { answer, cost, log }
    }
}
