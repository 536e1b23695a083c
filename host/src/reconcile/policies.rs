//! The policy chain that is in force, and how another takes its place: a new one is fetched, compiled
//! and asked about its settings beside the old one, and exchanged whole. One that is not as it should
//! be changes nothing; what is wrong with it is kept for the report.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::CycleError;
use crate::policy::{Bytes, Chain, ChainError, Document, Entry, LoadError, Origin, Registry, Runtime, read_local};
use crate::source::Declaration;
use crate::telemetry::Metrics;

/// How often files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Where the chain comes from, and the one in force.
pub struct Policies {
    runtime: Runtime,
    /// `POLICIES`. None: the ConfigMap has a chain, or else the built-in one is used.
    file: Option<PathBuf>,
    registry: Arc<dyn Registry>,
    /// The server, as `targets` of the chain names it, and its labels.
    target: String,
    labels: BTreeMap<String, String>,
    metrics: Arc<Metrics>,
    /// Held while a chain is loaded.
    loading: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    told_of_both: AtomicBool,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Chain>>,
    /// What the last attempt was made of.
    tried: Option<Offer>,
    /// Whether that may go better another time, though nothing has changed.
    again: bool,
    /// Why it was not taken into use.
    problem: Option<String>,
}

/// All that a chain is made of, so that a change is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Offer {
    /// The document; `None`: the built-in chain.
    text: Option<String>,
    /// The files of modules.
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// Modules in the ConfigMap.
    configmap: BTreeMap<String, Option<[u8; 32]>>,
}

/// Changes with every writing of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    size: u64,
    inode: u64,
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp { changed: (metadata.ctime(), metadata.ctime_nsec()), size: metadata.len(), inode: metadata.ino() })
}

impl Policies {
    /// Nothing is loaded yet.
    pub fn new(
        runtime: Runtime,
        file: Option<PathBuf>,
        registry: Arc<dyn Registry>,
        target: String,
        labels: BTreeMap<String, String>,
        metrics: Arc<Metrics>,
    ) -> Policies {
        Policies {
            runtime,
            file,
            registry,
            target,
            labels,
            metrics,
            loading: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
            told_of_both: AtomicBool::new(false),
        }
    }

    /// The chain for a declaration: the one in force, or a new one if anything of it has changed and
    /// the new one is good.
    ///
    /// # Errors
    ///
    /// If none is in force yet, and this one cannot be.
    pub(super) async fn in_force(&self, declaration: &Declaration) -> Result<Arc<Chain>, CycleError> {
        let _one_at_a_time = self.loading.lock().await;
        let (offer, document) = self.offer(declaration);
        if let State { current: Some(current), tried: Some(tried), again: false, .. } = &*self.state()
            && *tried == offer
        {
            return Ok(Arc::clone(current));
        }
        let loaded = match document {
            Ok(document) => self.load(&document, declaration).await,
            Err(error) => Err(error),
        };
        self.metrics.chain(loaded.is_ok());
        let mut state = self.state();
        state.tried = Some(offer);
        match loaded {
            Ok(chain) => {
                let chain = Arc::new(chain);
                self.runtime.keep_only(&chain.digests());
                tell(&chain, state.current.is_some());
                (state.again, state.problem) = (false, None);
                state.current = Some(Arc::clone(&chain));
                Ok(chain)
            }
            Err(error) => {
                state.again = error.is_transient();
                state.problem = Some(error.to_string());
                let Some(current) = &state.current else { return Err(CycleError::Chain(Box::new(error))) };
                tracing::error!(
                    "the new policy chain is not taken into use, and the one before stays in force: {error}"
                );
                Ok(Arc::clone(current))
            }
        }
    }

    /// The chain in force, if any is.
    pub fn current(&self) -> Option<Arc<Chain>> {
        self.state().current.clone()
    }

    /// Why the chain that is configured is not in force.
    pub(super) fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// Waits until one of the files differs from what was loaded last. For ever, if there are none: what
    /// a ConfigMap says changes with the source. Safe to drop at any time.
    pub(super) async fn changed(&self) {
        loop {
            tokio::time::sleep(POLL).await;
            let files = self.state().tried.as_ref().map(|tried| tried.files.clone()).unwrap_or_default();
            if files.iter().any(|(path, seen)| stamp(path) != *seen) {
                return;
            }
        }
    }

    /// What is to be in force, and its document.
    fn offer(&self, declaration: &Declaration) -> (Offer, Result<Document, ChainError>) {
        let mut offer = Offer::default();
        let document = match (&self.file, &declaration.policies) {
            (Some(file), in_configmap) => {
                if in_configmap.is_some() && !self.told_of_both.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "POLICIES names {}, so the chain in the ConfigMap (policies.yaml) is not used; keep one of them",
                        file.display()
                    );
                }
                offer.files.insert(file.clone(), stamp(file));
                Document::read(file)
            }
            (None, Some(policies)) => {
                offer.text = Some(policies.text.clone());
                Document::parse(Path::new(&policies.file), &policies.text, None)
            }
            (None, None) => Ok(Document::builtin()),
        };
        let document = document.map(|document| document.for_target(&self.target, &self.labels));
        for entry in document.iter().flat_map(|document| &document.entries) {
            match &entry.origin {
                Origin::File(path) => {
                    offer.files.insert(path.clone(), stamp(path));
                }
                Origin::ConfigMap(key) => {
                    let digest = declaration.modules.get(key).map(|bytes| Sha256::digest(bytes).into());
                    offer.configmap.insert(key.clone(), digest);
                }
                Origin::Builtin(_) | Origin::Registry(_) => {}
            }
            for key in &entry.public_keys {
                offer.files.insert(key.clone(), stamp(key));
            }
        }
        (offer, document)
    }

    async fn load(&self, document: &Document, declaration: &Declaration) -> Result<Chain, ChainError> {
        let mut modules = Vec::new();
        for entry in &document.entries {
            modules.push(self.fetch(entry, declaration).await.map_err(|error| entry.error(error))?);
        }
        tokio::task::block_in_place(|| Chain::assemble(&self.runtime, document, modules))
    }

    async fn fetch(&self, entry: &Entry, declaration: &Declaration) -> Result<Bytes, LoadError> {
        if let Some(bytes) = tokio::task::block_in_place(|| read_local(&self.runtime, &entry.origin)) {
            return bytes;
        }
        match &entry.origin {
            Origin::ConfigMap(key) => match declaration.modules.get(key) {
                Some(bytes) => Ok(Cow::Owned(bytes.clone())),
                None => Err(LoadError::NotInConfigMap {
                    key: key.clone(),
                    found: declaration.modules.keys().cloned().collect(),
                }),
            },
            _ => self.registry.pull(entry).await,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(chain: &Chain, another: bool) {
    let modules: Vec<String> =
        chain.modules().map(|module| format!("{} {} ({:.12})", module.name, module.version, module.sha256)).collect();
    let what = if another { "a new policy chain is in force" } else { "the policy chain is in force" };
    tracing::info!(chain = chain.digest(), "{what}: {}", modules.join(", "));
}
