//! The module that is asked, with a meter: what each question cost, and what the module logged while
//! it answered. Nothing is remembered between two questions, so that each costs what it costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::document::Mode;
use super::super::engine::Runtime;
use super::super::error::{ChainError, PolicyError};
use super::super::load::{self, Wasi};
use super::super::module::{Changed, Module, ModuleInfo, Recipe};
use super::super::question::{Bridge, Draft, about_bridge, about_draft, about_spec};
use super::super::recheck::Difference;
use super::super::{self as policy, Context, LogLevel, Observer, Reviewed, Stage, Transformed, Verdict};
use crate::model::{Database, Finding, Role, Severity, Spec};
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
pub(super) struct Meter(Mutex<Heard>);

#[derive(Default)]
pub(super) struct Heard {
    pub(super) costs: Vec<Cost>,
    log: Vec<Line>,
}

impl Meter {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard())
    }
}

impl Observer for Meter {
    fn call(&self, called: &policy::Called<'_>) {
        self.heard().costs.push(Cost { fuel: called.fuel, seconds: called.seconds, memory: called.memory });
    }

    fn refused(&self, _module: &str, _stage: Stage) {}

    fn log(&self, _module: &str, level: LogLevel, message: &str) {
        self.heard().log.push(Line { level, message: message.to_owned() });
    }
}

/// A module, ready to be asked.
pub struct Subject {
    module: Module,
    meter: Arc<Meter>,
    /// What it said of its settings, without keeping from being used.
    pub remarks: Vec<Finding>,
}

impl Subject {
    /// Loads a module as a chain would.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being taken into use; that it does not accept its settings, too.
    pub fn load(
        runtime: &Runtime,
        file: &Path,
        settings: &serde_json::Value,
        wasi: Wasi,
    ) -> Result<Subject, ChainError> {
        let meter = Arc::new(Meter::default());
        let runtime = runtime.clone().with_observer(Arc::clone(&meter) as Arc<dyn Observer>);
        let name = file.file_stem().map_or_else(|| "subject".into(), |name| name.to_string_lossy());
        let loaded = load::read(file).and_then(|bytes| {
            let recipe = Recipe {
                name: &name,
                bytes: &bytes,
                sha256: None,
                settings: settings.to_string(),
                mode: Mode::Enforce,
                wasi,
                limits: runtime.limits.clone(),
            };
            Module::load(&runtime, recipe)
        });
        let place = String::new();
        let (module, remarks) = loaded.map_err(|source| ChainError::Module {
            place: place.clone(),
            name: name.to_string(),
            module: file.display().to_string(),
            source: Box::new(source),
        })?;
        if remarks.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(ChainError::Settings { place, name: name.to_string(), findings: remarks });
        }
        Ok(Subject { module, meter, remarks })
    }

    /// What is known of it.
    pub fn info(&self) -> &ModuleInfo {
        &self.module.info
    }

    /// Whether it takes part in a stage.
    pub fn has(&self, stage: Stage) -> bool {
        self.module.has(stage)
    }

    /// What it thinks of a spec.
    pub fn validate(&self, context: &Context, spec: &Spec) -> Called<Vec<Finding>> {
        self.metered(|| {
            let said = about_spec(spec, |question| self.module.validate(context, question))?;
            Ok(said.unwrap_or_default())
        })
    }

    /// What it makes of a spec. It is asked again about its own result, as in a chain.
    pub fn transform(&self, context: &Context, spec: &Spec) -> Called<Transformed> {
        self.metered(|| {
            let changed = about_spec(spec, |question| self.module.transform(context, spec, question))?;
            let nothing = || Changed { spec: None, findings: Vec::new(), difference: Difference::default() };
            Ok(self.transformed(spec, changed.unwrap_or_else(nothing)))
        })
    }

    /// The same without the second question.
    pub(super) fn transform_once(&self, context: &Context, spec: &Spec) -> Called<Transformed> {
        self.metered(|| {
            let changed = about_spec(spec, |question| self.module.transform_once(context, spec, question))?;
            Ok(self.transformed(spec, changed))
        })
    }

    fn transformed(&self, before: &Spec, changed: Changed) -> Transformed {
        let spec = changed.spec.unwrap_or_else(|| before.clone());
        let touches = changed.difference.touches(&self.module.info.name, before.clone(), &spec);
        let mut findings = changed.findings;
        findings.extend(changed.difference.removed);
        Transformed { spec, findings, touches }
    }

    /// Which steps lead to what is desired.
    pub fn plan(
        &self,
        context: &Context,
        desired: &Spec,
        actual: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
    ) -> Called<Vec<Proposal>> {
        let bridge = Bridge { desired, actual, databases };
        self.metered(|| {
            let proposals = about_bridge(bridge, |question| self.module.plan(context, question))?;
            Ok(proposals.unwrap_or_default())
        })
    }

    /// What it thinks of a plan.
    pub fn review(
        &self,
        context: &Context,
        actual: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
        steps: &[Step],
    ) -> Called<Reviewed> {
        self.metered(|| {
            let draft = Draft { actual, databases, steps };
            let said = about_draft(draft, |question| self.module.review(context, question))?;
            let (verdict, findings) = said.unwrap_or((Verdict::Allow, Vec::new()));
            Ok(Reviewed { verdict, by: Vec::new(), findings })
        })
    }

    /// Makes an instance, and asks it nothing.
    pub fn instantiate(&self) -> Called<()> {
        self.metered(|| self.module.instantiate())
    }

    fn metered<T>(&self, ask: impl FnOnce() -> Result<T, PolicyError>) -> Called<T> {
        self.module.forget();
        self.meter.take();
        let answer = ask();
        let Heard { costs, log } = self.meter.take();
        let cost = costs.first().copied().unwrap_or_default();
        Called { answer, cost, log }
    }
}
