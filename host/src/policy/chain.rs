//! The policies that are in force, and the four questions that they answer. A chain is loaded whole
//! or not at all, and never changes; every answer is attributed before it is passed on.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::document::{Document, Entry, Mode, Origin};
use super::engine::Runtime;
use super::error::{ChainError, LoadError, PolicyError};
use super::load::{self, Wasi};
use super::module::{Module, ModuleInfo, Recipe};
use super::question::{self, Bridge, Draft, about_bridge, about_draft, about_spec};
use super::scripts::AllowedScript;
use super::{Context, Observer, Stage, Verdict, WIT_VERSION};
use crate::model::{Database, Finding, Role, Severity, Spec};
use crate::plan::{Proposal, Step, Touch};

/// Policies in order, ready to be called. Share it in an [`Arc`]; exchange it to change the chain.
pub struct Chain {
    modules: Vec<Module>,
    /// Index of the one module that plans.
    planner: usize,
    digest: String,
    allow_scripts: Vec<AllowedScript>,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// A spec after all transforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformed {
    /// What the spec became.
    pub spec: Spec,
    /// What the modules, and the host about them, have to say.
    pub findings: Vec<Finding>,
    /// Who changed what, in the order of the chain, and by role within it.
    pub touches: Vec<Touch>,
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

/// The bytes of a module.
pub type Bytes = Cow<'static, [u8]>;

/// Reads a module that lies on this machine; `None`: it lies elsewhere.
pub fn read_local(runtime: &Runtime, origin: &Origin) -> Option<Result<Bytes, LoadError>> {
    match origin {
        Origin::Builtin(name) => Some(runtime.builtin(name).map(Cow::Borrowed).ok_or_else(|| {
            let available = runtime.builtins.keys().map(|&name| name.to_owned()).collect();
            LoadError::NoSuchBuiltin { name: name.clone(), available }
        })),
        Origin::File(path) => Some(load::read(path).map(Cow::Owned)),
        Origin::ConfigMap(_) | Origin::Registry(_) => None,
    }
}

impl Chain {
    /// Loads the chain that a document on this machine describes; `None`: the built-in `standard` by
    /// itself.
    ///
    /// # Errors
    ///
    /// The first thing that keeps the chain from being taken into use.
    pub fn load(runtime: &Runtime, document: Option<&Path>) -> Result<Chain, ChainError> {
        let document = document.map_or_else(|| Ok(Document::builtin()), Document::read)?;
        let read = |entry: &Entry| {
            let bytes = read_local(runtime, &entry.origin).unwrap_or(Err(LoadError::Elsewhere));
            bytes.map_err(|source| entry.error(source))
        };
        let modules = document.entries.iter().map(read).collect::<Result<_, _>>()?;
        Chain::assemble(runtime, &document, modules)
    }

    /// Makes a chain of a document and the bytes of its modules, in the same order.
    ///
    /// When this returns, every module is compiled, fits the contract, has said who it is and has
    /// accepted its settings.
    ///
    /// # Errors
    ///
    /// The first thing that keeps the chain from being taken into use.
    pub fn assemble(runtime: &Runtime, document: &Document, bytes: Vec<Bytes>) -> Result<Chain, ChainError> {
        let mut modules = Vec::new();
        for (entry, bytes) in document.entries.iter().zip(bytes) {
            modules.push(load_module(runtime, entry, &bytes)?);
        }
        let place = document.place.clone();
        let planners: Vec<usize> = (0..modules.len()).filter(|&at| modules[at].has(Stage::Plan)).collect();
        let planner = match planners.as_slice() {
            [] => return Err(ChainError::NoPlanner { place }),
            [planner] => *planner,
            several => {
                let names = several.iter().map(|&at| modules[at].info.name.clone()).collect();
                return Err(ChainError::SeveralPlanners { place, names });
            }
        };
        let entries = || document.entries.iter().enumerate();
        if let Some((_, entry)) = entries().find(|(at, entry)| *at != planner && !entry.allow_scripts.is_empty()) {
            return Err(ChainError::ScriptsElsewhere { place: entry.place.clone(), name: entry.name.clone() });
        }
        let allow_scripts = document.entries.get(planner).map(|entry| entry.allow_scripts.clone()).unwrap_or_default();
        let digest = digest(document, &modules);
        Ok(Chain { modules, planner, digest, allow_scripts, observer: Arc::clone(&runtime.observer) })
    }

    /// Whether plans may run the script of this name and digest.
    pub fn allows_script(&self, name: &str, digest: &str) -> bool {
        self.allow_scripts.iter().any(|allowed| allowed.allows(name, digest))
    }

    /// The planner's name in the chain.
    pub fn planner(&self) -> &str {
        self.modules.get(self.planner).map_or("", |module| module.info.name.as_str())
    }

    /// Changes with anything that could change an answer: names, modules, settings, their order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The modules, in order.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleInfo> {
        self.modules.iter().map(|module| &module.info)
    }

    /// The sha256 of each module.
    pub fn digests(&self) -> BTreeSet<String> {
        self.modules().map(|module| module.sha256.clone()).collect()
    }

    /// The finest clock that a module asked for, in seconds: after this time an answer may differ.
    /// `None`: the time does not matter.
    pub fn clock_step(&self) -> Option<u32> {
        self.modules.iter().filter_map(|module| module.info.description.clock_step).min()
    }

    /// Whether any module reviews plans.
    pub fn reviews(&self) -> bool {
        self.modules.iter().any(|module| module.has(Stage::Review))
    }

    /// Forgets every answer: the next question is put to the modules, whatever it is.
    pub fn forget(&self) {
        self.modules.iter().for_each(Module::forget);
    }

    /// Asks all validators; an error among the findings blocks the plan.
    ///
    /// # Errors
    ///
    /// The first module that fails.
    pub fn validate(&self, context: &Context, spec: &Spec) -> Result<Vec<Finding>, PolicyError> {
        let mut findings = Vec::new();
        let answers = about_spec(spec, |question| {
            question::all(&self.modules, question.entries, |module| module.validate(context, question))
        });
        for (module, answer) in self.modules.iter().zip(answers) {
            let found = match answer {
                Ok(None) => continue,
                Ok(Some(found)) => found,
                Err(error) => vec![module.on_trial(error)?],
            };
            if found.iter().any(|finding| finding.severity == Severity::Error) {
                self.observer.refused(&module.info.name, Stage::Validate);
            }
            findings.extend(found.into_iter().map(|finding| module.tempered(finding)));
        }
        Ok(findings)
    }

    /// Lets all transforms change the spec, one after the other, each checked before the next.
    ///
    /// # Errors
    ///
    /// The first module that fails, or that changes what it may not change.
    pub fn transform(&self, context: &Context, spec: Spec) -> Result<Transformed, PolicyError> {
        let mut result = Transformed { spec, findings: Vec::new(), touches: Vec::new() };
        for module in &self.modules {
            let changed = about_spec(&result.spec, |question| module.transform(context, &result.spec, question))?;
            let Some(changed) = changed else { continue };
            result.findings.extend(changed.findings);
            if let Some(spec) = changed.spec {
                let before = std::mem::replace(&mut result.spec, spec);
                result.touches.extend(changed.difference.touches(&module.info.name, before, &result.spec));
            }
            result.findings.extend(changed.difference.removed);
        }
        Ok(result)
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
        // `assemble` chose a module that plans.
        let bridge = Bridge { desired, actual, databases };
        let proposals = about_bridge(bridge, |question| module.plan(context, question))?;
        Ok(Planned { proposals: proposals.unwrap_or_default(), by: module.info.name.clone() })
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
        let answers = about_draft(Draft { actual, databases, steps }, |question| {
            question::all(&self.modules, question.entries, |module| module.review(context, question))
        });
        for (module, answer) in self.modules.iter().zip(answers) {
            let (verdict, findings) = match answer {
                Ok(None) => continue,
                Ok(Some(said)) => said,
                Err(error) => (Verdict::Allow, vec![module.on_trial(error)?]),
            };
            let name = &module.info.name;
            if verdict != Verdict::Allow {
                self.observer.refused(name, Stage::Review);
            }
            result.findings.extend(findings.into_iter().map(|finding| module.tempered(finding)));
            if module.info.mode == Mode::Warn {
                if verdict != Verdict::Allow {
                    let message =
                        format!("the policy {name}, which is on trial (mode: warn), would {verdict} this plan");
                    let mut finding = Finding::new(Severity::Warning, "verdict-on-trial", "", message);
                    finding.policy = Some(name.clone());
                    result.findings.push(finding);
                }
                continue;
            }
            if verdict > result.verdict {
                result.verdict = verdict;
                result.by.clear();
            }
            if verdict == result.verdict && verdict != Verdict::Allow {
                result.by.push(name.clone());
            }
        }
        Ok(result)
    }
}

impl Module {
    /// The failure of a module on trial is something to be shown, and nothing to stop for.
    fn on_trial(&self, error: PolicyError) -> Result<Finding, PolicyError> {
        if self.info.mode != Mode::Warn {
            return Err(error);
        }
        let mut finding = Finding::new(Severity::Warning, "policy-failed", "", error.to_string())
            .help("it is on trial (mode: warn), so nothing is stopped for it");
        finding.policy = Some(self.info.name.clone());
        Ok(finding)
    }

    /// A finding as it counts: what a module on trial calls an error is a warning.
    fn tempered(&self, mut finding: Finding) -> Finding {
        if self.info.mode == Mode::Warn && finding.severity == Severity::Error {
            finding.severity = Severity::Warning;
        }
        finding
    }
}

fn load_module(runtime: &Runtime, entry: &Entry, bytes: &[u8]) -> Result<Module, ChainError> {
    let Entry { name, place, .. } = entry;
    let recipe = Recipe {
        name,
        bytes,
        sha256: entry.sha256.as_deref(),
        settings: entry.settings.to_string(),
        mode: entry.mode,
        wasi: entry.wasi,
        limits: entry.limits.over(&runtime.limits),
    };
    let (module, findings) = Module::load(runtime, recipe).map_err(|source| entry.error(source))?;
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(ChainError::Settings { place: place.clone(), name: name.clone(), findings });
    }
    let binding = module.info.stages.iter().find(|stage| matches!(stage, Stage::Transform | Stage::Plan));
    if let (Mode::Warn, Some(stage)) = (entry.mode, binding) {
        return Err(ChainError::NotOnTrial { place: place.clone(), name: name.clone(), stage: *stage });
    }
    for finding in findings {
        tracing::warn!(policy = name, code = finding.code, path = finding.path, "{}", finding.message);
    }
    Ok(module)
}

impl Entry {
    /// What keeps its module from being taken into use.
    pub fn error(&self, source: LoadError) -> ChainError {
        let (place, name, module) = (self.place.clone(), self.name.clone(), self.module.clone());
        ChainError::Module { place, name, module, source: Box::new(source) }
    }
}

/// Each part goes in with its length before it, so that no two chains give the same bytes.
fn digest(document: &Document, modules: &[Module]) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(WIT_VERSION);
    for (entry, module) in document.entries.iter().zip(modules) {
        add(&module.info.name);
        add(&module.info.sha256);
        add(&module.settings);
        // What most chains have is left out.
        if (entry.mode, entry.wasi) != (Mode::Enforce, Wasi::None) {
            add(&format!("{:?} {:?}", entry.mode, entry.wasi));
        }
        for script in &entry.allow_scripts {
            add(&format!("allow-script {script}"));
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
