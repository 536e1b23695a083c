//! One policy, loaded: what it is, and the four questions that it can be asked. An answer is checked
//! before it is passed on, and remembered: asked the same again, the module is not called. What
//! becomes of several answers is the chain's business.

use std::sync::Arc;

use super::bindings::rolewright::policy::changes::StepParam;
use super::call::{self, Callee};
use super::convert::{self, Incoming, View};
use super::document::Mode;
use super::engine::Runtime;
use super::error::{Failure, LoadError, PolicyError};
use super::limits::{Budget, Limits};
use super::load::{self, Description, Linked, Wasi};
use super::memo::{Key, Memo};
use super::question::{Question, about_spec};
use super::recheck::{Difference, recheck};
use super::{Context, Observer, Stage, Verdict};
use crate::model::{Finding, Severity, Spec};
use crate::plan::Proposal;

/// Answers with more items than this are not remembered: a plan of thousands of steps is carried out
/// once, and would only take up room.
const MAX_REMEMBERED: usize = 1_000;

/// What is known of a module of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its name in the chain.
    pub name: String,
    /// The version that it gives itself.
    pub version: String,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// The stages that it takes part in, in the order in which they run.
    pub stages: Vec<Stage>,
    /// Whether it may stand in the way of a plan.
    pub mode: Mode,
    /// All that it says of itself.
    pub description: Description,
}

/// What a module is made from.
pub(super) struct Recipe<'a> {
    /// Its name in the chain.
    pub(super) name: &'a str,
    /// A component.
    pub(super) bytes: &'a [u8],
    /// The digest that it must have.
    pub(super) sha256: Option<&'a str>,
    /// JSON.
    pub(super) settings: String,
    pub(super) mode: Mode,
    pub(super) wasi: Wasi,
    pub(super) limits: Limits,
}

/// A module that has said who it is and has been asked about its settings.
pub(super) struct Module {
    pub(super) info: ModuleInfo,
    callee: Callee,
    linked: Linked,
    /// JSON.
    pub(super) settings: String,
    limits: Limits,
    observer: Arc<dyn Observer>,
    memories: Memories,
}

/// The last answers. A chain validates twice in a cycle, before and after the transforms.
#[derive(Default)]
struct Memories {
    validate: Memo<Vec<Finding>, 2>,
    transform: Memo<Option<Changed>, 2>,
    plan: Memo<Vec<Proposal>, 1>,
    review: Memo<(Verdict, Vec<Finding>), 1>,
}

/// A transform's answer, checked.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    /// `None`: it stays as it was.
    pub(super) spec: Option<Spec>,
    pub(super) findings: Vec<Finding>,
    pub(super) difference: Difference,
}

/// What a module returned, before it is believed.
struct Said<'a, R> {
    callee: &'a Callee,
    stage: Stage,
    value: R,
    budget: Budget,
}

impl<R> Said<'_, R> {
    fn accept<T>(self, convert: impl FnOnce(Incoming<'_>, R) -> Result<T, Failure>) -> Result<T, PolicyError> {
        let incoming = Incoming { module: &self.callee.name, items: self.budget.items };
        convert(incoming, self.value).map_err(|kind| self.callee.error(self.stage, kind))
    }
}

impl Module {
    /// Compiles a component, compares it with the contract, and asks it who it is and what it thinks
    /// of its settings.
    ///
    /// # Errors
    ///
    /// What keeps it from being taken into use, apart from its settings: those are in the findings.
    pub(super) fn load(runtime: &Runtime, recipe: Recipe<'_>) -> Result<(Module, Vec<Finding>), LoadError> {
        let Recipe { name, bytes, sha256, settings, mode, wasi, limits } = recipe;
        let found = load::sha256(bytes);
        if let Some(expected) = sha256.filter(|pinned| *pinned != found) {
            return Err(LoadError::Digest { expected: expected.to_owned(), found });
        }
        let component = load::compile(runtime, bytes, &found)?;
        let linked = load::link(&runtime.engine, &component, wasi)?;
        let mut callee = Callee { name: name.to_owned(), version: "unknown".to_owned(), sha256: found.clone() };
        let description = load::describe(&linked, &callee, &limits, runtime)?;
        callee.version.clone_from(&description.version);
        let findings = load::validate_settings(&linked, &callee, &settings, &limits, runtime)?;
        let stages = linked.stages();
        let info = ModuleInfo {
            name: name.to_owned(),
            version: description.version.clone(),
            sha256: found,
            stages,
            mode,
            description,
        };
        let observer = Arc::clone(&runtime.observer);
        Ok((Module { info, callee, linked, settings, limits, observer, memories: Memories::default() }, findings))
    }

    /// Whether it takes part in a stage.
    pub(super) fn has(&self, stage: Stage) -> bool {
        self.info.stages.contains(&stage)
    }

    /// Makes an instance, and asks it nothing: what every question costs at least.
    pub(super) fn instantiate(&self) -> Result<(), PolicyError> {
        self.ask(Stage::Describe, 0, |_, _| Ok(Ok(()))).map(drop)
    }

    /// Forgets its last answers: the next question is put to the module, whatever it is.
    pub(super) fn forget(&self) {
        let Memories { validate, transform, plan, review } = &self.memories;
        validate.clear();
        transform.clear();
        plan.clear();
        review.clear();
    }

    fn clock_step(&self) -> Option<u32> {
        self.info.description.clock_step
    }

    /// What it thinks of a spec. `None`: it does not validate.
    ///
    /// # Errors
    ///
    /// Where it fails.
    pub(super) fn validate(
        &self,
        context: &Context,
        question: &Question<'_, View<'_>>,
    ) -> Result<Option<Vec<Finding>>, PolicyError> {
        let Some(indices) = &self.linked.validate else { return Ok(None) };
        let ask = || {
            let said = self.ask(Stage::Validate, question.entries, |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, self.clock_step());
                let spec = question.view().as_spec();
                indices.load(&mut *store, instance)?.call_validate(store, context, &self.settings, spec)
            })?;
            said.accept(|incoming, findings| incoming.findings(findings))
        };
        let small = |findings: &Vec<Finding>| findings.len() <= MAX_REMEMBERED;
        self.memories.validate.recall(self.key(context, question), small, ask).map(Some)
    }

    /// What it makes of a spec, which is what `question` is about; `None` if that is the same. It is
    /// asked again about its own result, which must stay: one that moves on for ever would change
    /// PostgreSQL in every cycle.
    ///
    /// # Errors
    ///
    /// Where it fails, or changes what it may not change.
    pub(super) fn transform(
        &self,
        context: &Context,
        before: &Spec,
        question: &Question<'_, View<'_>>,
    ) -> Result<Option<Changed>, PolicyError> {
        if self.linked.transform.is_none() {
            return Ok(None);
        }
        let ask = || {
            let changed = self.transform_once(context, before, question)?;
            if let Some(spec) = &changed.spec {
                let again = about_spec(spec, |question| self.transform_once(context, spec, question))?;
                if again.spec.is_some() {
                    let why =
                        "it is not idempotent: it changes its own result again when asked a second time".to_owned();
                    return Err(self.callee.error(Stage::Transform, Failure::BadOutput(why)));
                }
            }
            Ok((changed.spec.is_some() || !changed.findings.is_empty()).then_some(changed))
        };
        let small = |changed: &Option<Changed>| {
            changed.as_ref().is_none_or(|changed| changed.difference.touched.len() <= MAX_REMEMBERED)
        };
        self.memories.transform.recall(self.key(context, question), small, ask)
    }

    /// One call, without the second one about its own result.
    ///
    /// # Errors
    ///
    /// Where it fails, or changes what it may not change.
    pub(super) fn transform_once(
        &self,
        context: &Context,
        before: &Spec,
        question: &Question<'_, View<'_>>,
    ) -> Result<Changed, PolicyError> {
        // Whoever asks has seen that it transforms.
        let Some(indices) = &self.linked.transform else {
            return Err(self.callee.error(Stage::Transform, Failure::BadOutput("it does not transform".to_owned())));
        };
        let said = self.ask(Stage::Transform, question.entries, |store, instance| {
            let labels: Vec<_> = convert::labels(&context.labels).collect();
            let context = convert::context(context, &labels, self.clock_step());
            let spec = question.view().as_spec();
            indices.load(&mut *store, instance)?.call_transform(store, context, &self.settings, spec)
        })?;
        said.accept(|incoming, outcome| {
            let mut spec = outcome.spec.map(|spec| incoming.spec(spec)).transpose()?;
            if let Some(spec) = &mut spec {
                spec.keep_own(before);
            }
            let spec = spec.filter(|spec| spec != before);
            let difference = spec.as_ref().map(|spec| recheck(&self.info.name, before, spec)).transpose();
            let difference = difference.map_err(Failure::BadOutput)?.unwrap_or_default();
            Ok(Changed { spec, findings: incoming.findings(outcome.findings)?, difference })
        })
    }

    /// Which changes lead from what is to what should be. `None`: it does not plan.
    ///
    /// # Errors
    ///
    /// Where it fails.
    pub(super) fn plan(
        &self,
        context: &Context,
        question: &Question<'_, (View<'_>, View<'_>)>,
    ) -> Result<Option<Vec<Proposal>>, PolicyError> {
        let Some(indices) = &self.linked.plan else { return Ok(None) };
        let ask = || {
            let said = self.ask(Stage::Plan, question.entries, |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, self.clock_step());
                let (wanted, found) = question.view();
                let guest = indices.load(&mut *store, instance)?;
                guest.call_plan(store, context, &self.settings, wanted.as_spec(), found.as_catalog())
            })?;
            said.accept(|incoming, steps| incoming.proposals(steps))
        };
        let small = |proposals: &Vec<Proposal>| proposals.len() <= MAX_REMEMBERED;
        self.memories.plan.recall(self.key(context, question), small, ask).map(Some)
    }

    /// Whether a plan may run. An error among the findings is a `Deny`, whatever the verdict says.
    /// `None`: it does not review.
    ///
    /// # Errors
    ///
    /// Where it fails.
    pub(super) fn review(
        &self,
        context: &Context,
        question: &Question<'_, (View<'_>, Vec<StepParam<'_>>)>,
    ) -> Result<Option<(Verdict, Vec<Finding>)>, PolicyError> {
        let Some(indices) = &self.linked.review else { return Ok(None) };
        let ask = || {
            let said = self.ask(Stage::Review, question.entries, |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, self.clock_step());
                let (found, steps) = question.view();
                let guest = indices.load(&mut *store, instance)?;
                guest.call_review(store, context, &self.settings, found.as_catalog(), steps)
            })?;
            said.accept(|incoming, outcome| {
                let findings = incoming.findings(outcome.findings)?;
                let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
                Ok((if refused { Verdict::Deny } else { convert::verdict(outcome.verdict) }, findings))
            })
        };
        let small = |(_, findings): &(Verdict, Vec<Finding>)| findings.len() <= MAX_REMEMBERED;
        self.memories.review.recall(self.key(context, question), small, ask).map(Some)
    }

    /// Everything that an answer depends on: the context as this module sees it, and the input.
    /// Settings and code are those of this module for as long as it lives.
    fn key<V>(&self, context: &Context, question: &Question<'_, V>) -> Key {
        let now = self.clock_step().map(|step| convert::rounded(context.now, step));
        let Context { now: _, target, server_version, dry_run, reassign_owned_to, labels } = context;
        Key::of((now, target, server_version, dry_run, reassign_owned_to, labels, question.key()))
    }

    fn ask<R>(
        &self,
        stage: Stage,
        entries: usize,
        run: impl FnOnce(
            &mut wasmtime::Store<call::Call>,
            &wasmtime::component::Instance,
        ) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<Said<'_, R>, PolicyError> {
        let scope = (&self.limits, entries);
        let (value, budget) = call::call(&self.callee, stage, &self.linked.instance, scope, &self.observer, run)?;
        Ok(Said { callee: &self.callee, stage, value, budget })
    }
}
