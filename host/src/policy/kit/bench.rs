//! How long a module, or a whole chain, takes, stage by stage, as the number of users grows. Time is
//! measured; fuel and memory are counted, and the same on every machine.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::answers::standard_plan;
use super::case::Case;
use super::check::CheckError;
use super::inputs;
use super::subject::{Cost, Meter, Subject};
use crate::policy::{Chain, ChainError, Observer, PolicyError, Runtime, Stage};

/// How often a question is asked at most.
const TIMES: usize = 25;
/// For so long, unless it was asked three times by then.
const PATIENCE: Duration = Duration::from_millis(500);
const LEAST: usize = 3;
/// The same for a whole chain.
const PATIENCE_FOR_CHAINS: Duration = Duration::from_secs(3);

/// What one stage took for one number of users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// The stage; `instantiate` where nothing was asked, `all` for a chain from its first question to its last.
    pub stage: &'static str,
    /// Declared users.
    pub users: usize,
    /// What came of it.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Numbers, or why there are none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Measured {
    /// It answered.
    Answered {
        /// How often it was asked.
        times: usize,
        /// In seconds.
        median: f64,
        /// In seconds.
        least: f64,
        /// Of each call.
        fuel: u64,
        /// Bytes, at the peak of a call.
        memory: usize,
    },
    /// It did not.
    Failed {
        /// Why.
        failed: String,
    },
}

/// Measures every stage that the module takes part in.
///
/// # Errors
///
/// Where an input can't be made; a module that fails is among the measurements.
pub fn bench(subject: &Subject, standard: &Chain, users: &[usize]) -> Result<Vec<Measurement>, CheckError> {
    let mut all = vec![Measurement {
        stage: "instantiate",
        users: 0,
        measured: measure(|| {
            let called = subject.instantiate();
            called.answer.map(|()| called.cost).map_err(|error| error.kind.to_string())
        }),
    }];
    for &count in users {
        let case = inputs::many(count)?;
        let desired = case.resolve(&case.spec).lend();
        let (context, catalog) = (&case.context, &case.catalog);
        let steps = if subject.has(Stage::Review) {
            standard_plan(standard, &case, &desired).map_err(CheckError::Standard)?
        } else {
            Vec::new()
        };
        for stage in Stage::CHAIN.into_iter().filter(|stage| subject.has(*stage)) {
            macro_rules! ask {
                ($called:expr) => {{
                    let called = $called;
                    called.answer.map(|_| called.cost).map_err(|error| error.kind.to_string())
                }};
            }
            let measured = measure(|| match stage {
                Stage::Transform => ask!(subject.transform(context, &case.spec)),
                Stage::Plan => ask!(subject.plan(context, &desired, &catalog.roles, &catalog.databases)),
                Stage::Review => ask!(subject.review(context, &catalog.roles, &catalog.databases, &steps)),
                _ => ask!(subject.validate(context, &case.spec)),
            });
            all.push(Measurement { stage: stage.as_str(), users: count, measured });
        }
    }
    Ok(all)
}

/// A chain that is measured, and who listens.
pub struct Metered {
    /// As a document describes it.
    pub chain: Chain,
    meter: Arc<Meter>,
}

impl Metered {
    /// Loads the chain of a document on this machine.
    ///
    /// # Errors
    ///
    /// As [`Chain::load`].
    pub fn load(runtime: &Runtime, document: &Path) -> Result<Metered, ChainError> {
        let meter = Arc::new(Meter::default());
        let runtime = runtime.clone().with_observer(Arc::clone(&meter) as Arc<dyn Observer>);
        Ok(Metered { chain: Chain::load(&runtime, Some(document))?, meter })
    }

    /// Lets the chain decide as in a cycle that knows nothing from before, and measures each stage: all
    /// modules of it together, as long as one waits for them.
    ///
    /// # Errors
    ///
    /// Where an input can't be made; a chain that fails is among the measurements.
    pub fn bench(&self, users: &[usize]) -> Result<Vec<Measurement>, CheckError> {
        let mut all = Vec::new();
        for &count in users {
            let case = inputs::many(count)?;
            let begin = Instant::now();
            let mut runs = Vec::new();
            let failed = loop {
                match self.cycle(&case) {
                    Ok(run) => runs.push(run),
                    Err(error) => break Some(error.to_string()),
                }
                if runs.len() >= TIMES || (runs.len() >= LEAST && begin.elapsed() >= PATIENCE_FOR_CHAINS) {
                    break None;
                }
            };
            if let Some(failed) = failed {
                all.push(Measurement { stage: "all", users: count, measured: Measured::Failed { failed } });
                continue;
            }
            let stages = runs.first().map_or(0, Vec::len);
            for at in 0..stages {
                let costs = runs.iter().map(|run| run[at].1).collect();
                all.push(Measurement { stage: runs[0][at].0, users: count, measured: summary(costs) });
            }
        }
        Ok(all)
    }

    /// The cost of each stage, and of all together.
    fn cycle(&self, case: &Case) -> Result<Vec<(&'static str, Cost)>, PolicyError> {
        let Metered { chain, .. } = self;
        let (context, catalog) = (&case.context, &case.catalog);
        chain.forget();
        let spec = case.spec.clone();
        let mut stages = Vec::new();
        let (_, cost) = self.metered(|| chain.validate(context, &spec))?;
        stages.push((Stage::Validate.as_str(), cost));
        let (transformed, cost) = self.metered(|| chain.transform(context, spec))?;
        stages.push((Stage::Transform.as_str(), cost));
        if !transformed.touches.is_empty() {
            // The cycle asks again about what the transforms made of the spec.
            let (_, cost) = self.metered(|| chain.validate(context, &transformed.spec))?;
            stages.push(("validate again", cost));
        }
        let desired = case.resolve(&transformed.spec).lend();
        let (planned, cost) = self.metered(|| chain.plan(context, &desired, &catalog.roles, &catalog.databases))?;
        stages.push((Stage::Plan.as_str(), cost));
        let steps = super::answers::assemble(planned);
        let (_, cost) = self.metered(|| chain.review(context, &catalog.roles, &catalog.databases, &steps))?;
        stages.push((Stage::Review.as_str(), cost));
        let sum = stages.iter().fold(Cost::default(), |sum, (_, cost)| Cost {
            fuel: sum.fuel + cost.fuel,
            seconds: sum.seconds + cost.seconds,
            memory: sum.memory.max(cost.memory),
        });
        stages.push(("all", sum));
        Ok(stages)
    }

    /// Time as one waits for it; fuel of all modules, and memory of the one that took most.
    fn metered<T>(&self, ask: impl FnOnce() -> Result<T, PolicyError>) -> Result<(T, Cost), PolicyError> {
        self.meter.take();
        let begin = Instant::now();
        let answer = ask()?;
        let seconds = begin.elapsed().as_secs_f64();
        let costs = self.meter.take().costs;
        let memory = costs.iter().map(|cost| cost.memory).max().unwrap_or(0);
        Ok((answer, Cost { fuel: costs.iter().map(|cost| cost.fuel).sum(), seconds, memory }))
    }
}

fn measure(mut ask: impl FnMut() -> Result<Cost, String>) -> Measured {
    let begin = Instant::now();
    let mut costs: Vec<Cost> = Vec::new();
    while costs.len() < TIMES && (costs.len() < LEAST || begin.elapsed() < PATIENCE) {
        match ask() {
            Ok(cost) => costs.push(cost),
            Err(failed) => return Measured::Failed { failed },
        }
    }
    summary(costs)
}

fn summary(mut costs: Vec<Cost>) -> Measured {
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Measured::Answered {
        times: costs.len(),
        median: costs.get(costs.len() / 2).map_or(0.0, |cost| cost.seconds),
        least: costs.first().map_or(0.0, |cost| cost.seconds),
        fuel: costs.first().map_or(0, |cost| cost.fuel),
        memory: costs.iter().map(|cost| cost.memory).max().unwrap_or(0),
    }
}
