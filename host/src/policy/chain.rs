//! The policies that are in force, and the four questions that they answer. A chain is loaded whole
//! or not at all, and never changes; every answer is checked and attributed before it is passed on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::call::{self, Callee};
use super::convert::{self, Incoming, Lists};
use super::document::{self, Entry, Origin};
use super::engine::Runtime;
use super::error::{ChainError, Failure, LoadError, PolicyError};
use super::limits::{Budget, Limits, entries_of_databases, entries_of_roles, entries_of_spec};
use super::load::{self, Description, Linked};
use super::recheck::{Difference, recheck};
use super::{Context, Observer, Stage, Verdict, WIT_VERSION};
use crate::model::{Database, Finding, Role, Severity, Spec};
use crate::plan::{Change, Proposal, Step};

/// Policies in order, ready to be called. Share it in an [`Arc`]; exchange it to change the chain.
pub struct Chain {
    modules: Vec<Module>,
    /// Index of the one module that plans.
    planner: usize,
    digest: String,
    limits: Limits,
    observer: Arc<dyn Observer>,
}

struct Module {
    info: ModuleInfo,
    callee: Callee,
    linked: Linked,
    /// JSON.
    settings: String,
}

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
    /// All that it says of itself.
    pub description: Description,
}

/// A spec after all transforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformed {
    /// What the spec became.
    pub spec: Spec,
    /// What the modules, and the host about them, have to say.
    pub findings: Vec<Finding>,
    /// For each role that was added, changed or taken out: by which modules, in order.
    pub touched: BTreeMap<String, Vec<String>>,
}

/// What the planner proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// In the planner's order, which means nothing.
    pub proposals: Vec<Proposal>,
    /// The planner's name in the chain.
    pub by: String,
}

/// What the reviewers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// The strictest of all verdicts; `Allow` where nobody reviews.
    pub verdict: Verdict,
    /// Names of those who gave it, unless it is `Allow`.
    pub by: Vec<String>,
    /// In the order of the chain.
    pub findings: Vec<Finding>,
}

impl Chain {
    /// Loads the chain that the document describes; `None`: the built-in `standard` by itself.
    ///
    /// When this returns, every module is compiled, fits the contract, has said who it is and has
    /// accepted its settings.
    ///
    /// # Errors
    ///
    /// The first thing that keeps the chain from being taken into use.
    pub fn load(runtime: &Runtime, document: Option<&Path>) -> Result<Chain, ChainError> {
        let entries = document.map_or_else(|| Ok(document::default_chain()), document::read)?;
        let place = document.map(|path| format!("{}: ", path.display())).unwrap_or_default();
        Chain::of(runtime, entries, &place)
    }

    pub(super) fn of(runtime: &Runtime, entries: Vec<Entry>, place: &str) -> Result<Chain, ChainError> {
        let place = place.to_owned();
        let mut modules = Vec::new();
        for entry in entries {
            modules.push(Module::load(runtime, entry)?);
        }
        let planners: Vec<usize> = (0..modules.len()).filter(|&at| modules[at].linked.plan.is_some()).collect();
        let planner = match planners.as_slice() {
            [] => return Err(ChainError::NoPlanner { place }),
            [planner] => *planner,
            several => {
                let names = several.iter().map(|&at| modules[at].info.name.clone()).collect();
                return Err(ChainError::SeveralPlanners { place, names });
            }
        };
        let digest = digest(&modules);
        Ok(Chain { modules, planner, digest, limits: runtime.limits.clone(), observer: Arc::clone(&runtime.observer) })
    }

    /// Changes with anything that could change an answer: names, modules, settings, their order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The modules, in order.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleInfo> {
        self.modules.iter().map(|module| &module.info)
    }

    /// The finest clock that a module asked for, in seconds: after this time an answer may differ.
    /// `None`: the time does not matter.
    pub fn clock_step(&self) -> Option<u32> {
        self.modules.iter().filter_map(|module| module.info.description.clock_step).min()
    }

    /// Whether any module reviews plans.
    pub fn reviews(&self) -> bool {
        self.modules.iter().any(|module| module.linked.review.is_some())
    }

    /// Asks all validators; an error among the findings blocks the plan.
    ///
    /// # Errors
    ///
    /// The first module that fails.
    pub fn validate(&self, context: &Context, spec: &Spec) -> Result<Vec<Finding>, PolicyError> {
        let mut lists = Lists::default();
        lists.add_roles(&spec.roles);
        lists.add_databases(&spec.databases);
        let mut findings = Vec::new();
        for module in &self.modules {
            let Some(indices) = &module.linked.validate else { continue };
            let said = module.ask(self, Stage::Validate, entries_of_spec(spec), |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, module.clock_step());
                let outgoing = lists.spec(spec);
                indices.load(&mut *store, instance)?.call_validate(store, context, &module.settings, outgoing.as_spec())
            })?;
            findings.extend(said.accept(|incoming, findings| incoming.findings(findings))?);
        }
        Ok(findings)
    }

    /// Lets all transforms change the spec, one after the other, each checked before the next.
    ///
    /// # Errors
    ///
    /// The first module that fails, or that changes what it may not change.
    pub fn transform(&self, context: &Context, spec: Spec) -> Result<Transformed, PolicyError> {
        let mut result = Transformed { spec, findings: Vec::new(), touched: BTreeMap::new() };
        for module in self.modules.iter().filter(|module| module.linked.transform.is_some()) {
            let Some((after, findings, difference)) = self.transform_once(module, context, &result.spec)? else {
                continue;
            };
            // One that moves on from its own result would change PostgreSQL in every cycle.
            if after != result.spec
                && let Some((again, ..)) = self.transform_once(module, context, &after)?
                && again != after
            {
                let why = "it is not idempotent: it changes its own result again when asked a second time".to_owned();
                return Err(module.callee.error(Stage::Transform, Failure::BadOutput(why)));
            }
            result.findings.extend(findings);
            result.findings.extend(difference.removed);
            for role in difference.touched {
                result.touched.entry(role).or_default().push(module.info.name.clone());
            }
            result.spec = after;
        }
        Ok(result)
    }

    /// One call of one transform, its result checked. `None`: the module does not transform.
    fn transform_once(
        &self,
        module: &Module,
        context: &Context,
        before: &Spec,
    ) -> Result<Option<(Spec, Vec<Finding>, Difference)>, PolicyError> {
        let Some(indices) = &module.linked.transform else { return Ok(None) };
        let said = module.ask(self, Stage::Transform, entries_of_spec(before), |store, instance| {
            let labels: Vec<_> = convert::labels(&context.labels).collect();
            let context = convert::context(context, &labels, module.clock_step());
            let mut lists = Lists::default();
            lists.add_roles(&before.roles);
            lists.add_databases(&before.databases);
            let outgoing = lists.spec(before);
            indices.load(&mut *store, instance)?.call_transform(store, context, &module.settings, outgoing.as_spec())
        })?;
        said.accept(|incoming, outcome| {
            let after = incoming.spec(outcome.spec)?;
            let difference = recheck(&module.info.name, before, &after).map_err(Failure::BadOutput)?;
            Ok(Some((after, incoming.findings(outcome.findings)?, difference)))
        })
    }

    /// Asks the planner which changes lead from `actual` to `desired`.
    ///
    /// # Errors
    ///
    /// Where the planner fails.
    pub fn plan(
        &self,
        context: &Context,
        desired: &Spec,
        actual: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
    ) -> Result<Planned, PolicyError> {
        let module = &self.modules[self.planner];
        // `load` chose a module that exports it.
        let Some(indices) = &module.linked.plan else {
            return Err(module.callee.error(Stage::Plan, Failure::BadOutput("it exports no planner".to_owned())));
        };
        let entries = entries_of_spec(desired) + entries_of_roles(actual.values()) + entries_of_databases(databases);
        let said = module.ask(self, Stage::Plan, entries, |store, instance| {
            let labels: Vec<_> = convert::labels(&context.labels).collect();
            let context = convert::context(context, &labels, module.clock_step());
            let (mut wanted, mut found) = (Lists::default(), Lists::default());
            wanted.add_roles(&desired.roles);
            wanted.add_databases(&desired.databases);
            found.add_roles(actual);
            found.add_databases(databases);
            let (wanted, found) = (wanted.spec(desired), found.catalog(actual, databases));
            let guest = indices.load(&mut *store, instance)?;
            guest.call_plan(store, context, &module.settings, wanted.as_spec(), found.as_catalog())
        })?;
        let proposals = said.accept(|incoming, steps| incoming.proposals(steps))?;
        Ok(Planned { proposals, by: module.info.name.clone() })
    }

    /// Asks all reviewers whether the steps may run. An error among a reviewer's findings is a `Deny`,
    /// whatever its verdict says.
    ///
    /// # Errors
    ///
    /// The first module that fails.
    pub fn review(
        &self,
        context: &Context,
        actual: &BTreeMap<String, Role>,
        databases: &BTreeMap<String, Database>,
        steps: &[Step],
    ) -> Result<Reviewed, PolicyError> {
        let mut result = Reviewed { verdict: Verdict::Allow, by: Vec::new(), findings: Vec::new() };
        let new_roles = steps.iter().filter_map(|step| match &step.change {
            Change::CreateRole(role) => Some(role),
            _ => None,
        });
        let entries = entries_of_roles(actual.values())
            + entries_of_databases(databases)
            + steps.len()
            + entries_of_roles(new_roles);
        for module in &self.modules {
            let Some(indices) = &module.linked.review else { continue };
            let said = module.ask(self, Stage::Review, entries, |store, instance| {
                let labels: Vec<_> = convert::labels(&context.labels).collect();
                let context = convert::context(context, &labels, module.clock_step());
                let (mut found, mut changes) = (Lists::default(), Lists::default());
                found.add_roles(actual);
                found.add_databases(databases);
                changes.add_steps(steps);
                let (found, steps) = (found.catalog(actual, databases), changes.steps(steps));
                let guest = indices.load(&mut *store, instance)?;
                guest.call_review(store, context, &module.settings, found.as_catalog(), &steps)
            })?;
            let (mut verdict, findings) = said.accept(|incoming, outcome| {
                Ok((convert::verdict(outcome.verdict), incoming.findings(outcome.findings)?))
            })?;
            if findings.iter().any(|finding| finding.severity == Severity::Error) {
                verdict = Verdict::Deny;
            }
            if verdict > result.verdict {
                result.verdict = verdict;
                result.by.clear();
            }
            if verdict == result.verdict && verdict != Verdict::Allow {
                result.by.push(module.info.name.clone());
            }
            result.findings.extend(findings);
        }
        Ok(result)
    }
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
    fn load(runtime: &Runtime, entry: Entry) -> Result<Module, ChainError> {
        let Entry { name, origin, module, sha256, settings, place } = entry;
        let settings = settings.to_string();
        let (module, findings) = load_module(runtime, &name, &origin, sha256, settings).map_err(|source| {
            ChainError::Module { place: place.clone(), name: name.clone(), module, source: Box::new(source) }
        })?;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(ChainError::Settings { place, name, findings });
        }
        for finding in findings {
            tracing::warn!(policy = name, code = finding.code, path = finding.path, "{}", finding.message);
        }
        Ok(module)
    }

    fn clock_step(&self) -> Option<u32> {
        self.info.description.clock_step
    }

    fn ask<R>(
        &self,
        chain: &Chain,
        stage: Stage,
        entries: usize,
        run: impl FnOnce(
            &mut wasmtime::Store<call::Call>,
            &wasmtime::component::Instance,
        ) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<Said<'_, R>, PolicyError> {
        let scope = (&chain.limits, entries);
        let (value, budget) = call::call(&self.callee, stage, &self.linked.instance, scope, &chain.observer, run)?;
        Ok(Said { callee: &self.callee, stage, value, budget })
    }
}

fn load_module(
    runtime: &Runtime,
    name: &str,
    origin: &Origin,
    pinned: Option<String>,
    settings: String,
) -> Result<(Module, Vec<Finding>), LoadError> {
    let read;
    let bytes: &[u8] = match origin {
        Origin::Builtin(builtin) => match runtime.builtins.get(builtin.as_str()) {
            Some(bytes) => bytes,
            None => {
                let available = runtime.builtins.keys().map(|&name| name.to_owned()).collect();
                return Err(LoadError::NoSuchBuiltin { name: builtin.clone(), available });
            }
        },
        Origin::File(path) => {
            read = load::read(path)?;
            &read
        }
    };
    let found = load::sha256(bytes);
    if let Some(expected) = pinned.filter(|pinned| *pinned != found) {
        return Err(LoadError::Digest { expected, found });
    }
    let component = load::compile(runtime, bytes, &found)?;
    let linked = load::link(&runtime.engine, &component)?;
    let mut callee = Callee { name: name.to_owned(), version: "unknown".to_owned(), sha256: found.clone() };
    let description = load::describe(&linked, &callee, &runtime.limits, runtime)?;
    callee.version.clone_from(&description.version);
    let findings = load::validate_settings(&linked, &callee, &settings, runtime)?;
    let info = ModuleInfo {
        name: name.to_owned(),
        version: description.version.clone(),
        sha256: found,
        stages: linked.stages(),
        description,
    };
    Ok((Module { info, callee, linked, settings }, findings))
}

/// Each part goes in with its length before it, so that no two chains give the same bytes.
fn digest(modules: &[Module]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(WIT_VERSION);
    for module in modules {
        add(&module.info.name);
        add(&module.info.sha256);
        add(&module.settings);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
