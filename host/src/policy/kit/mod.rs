//! The author's kit: what `rolewright policy test`, `check`, `bench` and `run` find out about a
//! module. It asks exactly what the cycle asks, under the same limits. What it finds is data; the
//! command line puts it into words.

mod answers;
mod bench;
mod case;
mod check;
mod inputs;
mod server;
mod subject;

pub use answers::{Answers, ask};
pub use bench::{Measured, Measurement, Metered, bench};
pub use case::{Case, CaseError, EXPECTED, find, name_of, settings};
pub use check::{Check, CheckError, Depth, Given, Outcome, check};
pub use subject::{Called, Cost, Line, Subject};
