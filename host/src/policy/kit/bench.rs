//! How long a module takes, stage by stage, as the number of users grows. Time is measured; fuel and
//! memory are counted, and the same on every machine.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::answers::standard_plan;
use super::check::CheckError;
use super::inputs;
use super::subject::{Cost, Subject};
use crate::model::Spec;
use crate::policy::{Chain, Stage};

/// How often a question is asked at most.
const TIMES: usize = 25;
/// For so long, unless it was asked three times by then.
const PATIENCE: Duration = Duration::from_millis(500);
const LEAST: usize = 3;

/// What one stage took for one number of users.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// The stage; `instantiate` where nothing was asked.
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
        let desired = Spec { roles: case.resolve(&case.spec).desired, ..Spec::default() };
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

fn measure(mut ask: impl FnMut() -> Result<Cost, String>) -> Measured {
    let begin = Instant::now();
    let mut costs: Vec<Cost> = Vec::new();
    while costs.len() < TIMES && (costs.len() < LEAST || begin.elapsed() < PATIENCE) {
        match ask() {
            Ok(cost) => costs.push(cost),
            Err(failed) => return Measured::Failed { failed },
        }
    }
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Measured::Answered {
        times: costs.len(),
        median: costs.get(costs.len() / 2).map_or(0.0, |cost| cost.seconds),
        least: costs.first().map_or(0.0, |cost| cost.seconds),
        fuel: costs.first().map_or(0, |cost| cost.fuel),
        memory: costs.iter().map(|cost| cost.memory).max().unwrap_or(0),
    }
}
