//! One policy, loaded: what it is, and the four questions that it can be asked. An answer is checked
//! before it is passed on, and remembered: asked the same again, the module is not called. What
//! becomes of several answers is the chain's business.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use super::call::{self, Callee};
use super::convert::{self, Incoming, Lists};
use super::document::Mode;
use super::engine::Runtime;
use super::error::{Failure, LoadError, PolicyError};
use super::limits::{Budget, Limits, entries_of_databases, entries_of_roles, entries_of_spec};
use super::load::{self, Description, Linked, Wasi};
use super::memo::{Key, Memo};
use super::recheck::{Difference, recheck};
use super::{Context, Observer, Stage, Verdict};
use crate::model::{Database, Finding, Role, Severity, Spec};
use crate::plan::{Change, Proposal, Step};

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
    pub(super) spec: Spec,
    pub(super) findings: Vec<Finding>,
    pub(super) difference: Difference,
}

/// What a plan is made from, and what it is for.
pub(super) struct Bridge<'a> {
    pub(super) desired: &'a Spec,
    pub(super) actual: &'a BTreeMap<String, Role>,
    pub(super) databases: &'a BTreeMap<String, Database>,
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
    pub(super) fn validate(&self, context: &Context, spec: &Spec) -> Result<Option<Vec<Finding>>, PolicyError> {
        let Some(indices) = &self.linked.validate else { return Ok(None) };
        let ask = || {
            let said = self.ask(Stage::Validate, entries_of_spec(spec), |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, self.clock_step());
                let mut lists = Lists::default();
                lists.add_roles(&spec.roles);
                lists.add_databases(&spec.databases);
                let outgoing = lists.spec(spec);
                indices.load(&mut *store, instance)?.call_validate(store, context, &self.settings, outgoing.as_spec())
            })?;
            said.accept(|incoming, findings| incoming.findings(findings))
        };
        self.memories
            .validate
            .recall(self.key(context, spec), |findings| findings.len() <= MAX_REMEMBERED, ask)
            .map(Some)
    }

    /// What it makes of a spec; `None` if that is the same. It is asked again about its own result,
    /// which must stay: one that moves on for ever would change PostgreSQL in every cycle.
    ///
    /// # Errors
    ///
    /// Where it fails, or changes what it may not change.
    pub(super) fn transform(&self, context: &Context, before: &Spec) -> Result<Option<Changed>, PolicyError> {
        if self.linked.transform.is_none() {
            return Ok(None);
        }
        let ask = || {
            let changed = self.transform_once(context, before)?;
            if changed.spec != *before && self.transform_once(context, &changed.spec)?.spec != changed.spec {
                let why = "it is not idempotent: it changes its own result again when asked a second time".to_owned();
                return Err(self.callee.error(Stage::Transform, Failure::BadOutput(why)));
            }
            Ok((changed.spec != *before || !changed.findings.is_empty()).then_some(changed))
        };
        let small = |changed: &Option<Changed>| {
            changed.as_ref().is_none_or(|changed| changed.difference.touched.len() <= MAX_REMEMBERED)
        };
        self.memories.transform.recall(self.key(context, before), small, ask)
    }

    /// One call, without the second one about its own result.
    ///
    /// # Errors
    ///
    /// Where it fails, or changes what it may not change.
    pub(super) fn transform_once(&self, context: &Context, before: &Spec) -> Result<Changed, PolicyError> {
        // Whoever asks has seen that it transforms.
        let Some(indices) = &self.linked.transform else {
            return Err(self.callee.error(Stage::Transform, Failure::BadOutput("it does not transform".to_owned())));
        };
        let said = self.ask(Stage::Transform, entries_of_spec(before), |store, instance| {
            let labels: Vec<_> = convert::labels(&context.labels).collect();
            let context = convert::context(context, &labels, self.clock_step());
            let mut lists = Lists::default();
            lists.add_roles(&before.roles);
            lists.add_databases(&before.databases);
            let outgoing = lists.spec(before);
            indices.load(&mut *store, instance)?.call_transform(store, context, &self.settings, outgoing.as_spec())
        })?;
        said.accept(|incoming, outcome| {
            let spec = incoming.spec(outcome.spec)?;
            let difference = recheck(&self.info.name, before, &spec).map_err(Failure::BadOutput)?;
            Ok(Changed { spec, findings: incoming.findings(outcome.findings)?, difference })
        })
    }

    /// Which changes lead from what is to what should be. `None`: it does not plan.
    ///
    /// # Errors
    ///
    /// Where it fails.
    pub(super) fn plan(&self, context: &Context, bridge: &Bridge<'_>) -> Result<Option<Vec<Proposal>>, PolicyError> {
        let Some(indices) = &self.linked.plan else { return Ok(None) };
        let Bridge { desired, actual, databases } = bridge;
        let ask = || {
            let entries =
                entries_of_spec(desired) + entries_of_roles(actual.values()) + entries_of_databases(databases);
            let said = self.ask(Stage::Plan, entries, |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, self.clock_step());
                let (mut wanted, mut found) = (Lists::default(), Lists::default());
                wanted.add_roles(&desired.roles);
                wanted.add_databases(&desired.databases);
                found.add_roles(actual);
                found.add_databases(databases);
                let (wanted, found) = (wanted.spec(desired), found.catalog(actual, databases));
                let guest = indices.load(&mut *store, instance)?;
                guest.call_plan(store, context, &self.settings, wanted.as_spec(), found.as_catalog())
            })?;
            said.accept(|incoming, steps| incoming.proposals(steps))
        };
        let small = |proposals: &Vec<Proposal>| proposals.len() <= MAX_REMEMBERED;
        self.memories.plan.recall(self.key(context, (desired, actual, databases)), small, ask).map(Some)
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
        actual: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
        steps: &[Step],
    ) -> Result<Option<(Verdict, Vec<Finding>)>, PolicyError> {
        let Some(indices) = &self.linked.review else { return Ok(None) };
        let ask = || {
            let new_roles = steps.iter().filter_map(|step| match &step.change {
                Change::CreateRole(role) => Some(role),
                _ => None,
            });
            let entries = entries_of_roles(actual.values())
                + entries_of_databases(databases)
                + steps.len()
                + entries_of_roles(new_roles);
            let said = self.ask(Stage::Review, entries, |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, self.clock_step());
                let (mut found, mut changes) = (Lists::default(), Lists::default());
                found.add_roles(actual);
                found.add_databases(databases);
                changes.add_steps(steps);
                let (found, steps) = (found.catalog(actual, databases), changes.steps(steps));
                let guest = indices.load(&mut *store, instance)?;
                guest.call_review(store, context, &self.settings, found.as_catalog(), &steps)
            })?;
            said.accept(|incoming, outcome| {
                let findings = incoming.findings(outcome.findings)?;
                let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
                Ok((if refused { Verdict::Deny } else { convert::verdict(outcome.verdict) }, findings))
            })
        };
        let small = |(_, findings): &(Verdict, Vec<Finding>)| findings.len() <= MAX_REMEMBERED;
        self.memories.review.recall(self.key(context, (actual, databases, steps)), small, ask).map(Some)
    }

    /// Everything that an answer depends on: the context as this module sees it, and the input.
    /// Settings and code are those of this module for as long as it lives.
    fn key(&self, context: &Context, input: impl Hash) -> Key {
        let now = self.clock_step().map(|step| convert::rounded(context.now, step));
        let Context { now: _, target, server_version, dry_run, reassign_owned_to, labels } = context;
        Key::of((now, target, server_version, dry_run, reassign_owned_to, labels), input)
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
