//! The policy that ships with Rolewright. [`validate`] looks for mistakes in a spec, [`plan`] computes the changes that
//! lead from the server as found to the spec. What a spec may contain at all is checked by the host before, and what a
//! plan may do is checked by its guard after.
//!
//! A policy of one's own may build on it: depend on this crate without default features and call [`findings`] or
//! [`plan_steps`].

pub mod plan;
pub mod validate;

pub use plan::plan_steps;
use rolewright_policy::{Catalog, Context, Finding, Info, NoSettings, Plan, Policy, Spec, Step, Validate};
pub use validate::findings;

/// The policy `standard`. It has no settings.
#[derive(Debug)]
pub struct Standard;

impl Policy for Standard {
    type Settings = NoSettings;

    fn info() -> Info {
        Info::new("standard", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
    }
}

impl Validate for Standard {
    fn validate(_: &Context, _: &NoSettings, spec: &Spec) -> Result<Vec<Finding>, String> {
        Ok(findings(spec))
    }
}

impl Plan for Standard {
    fn plan(context: &Context, _: &NoSettings, desired: Spec, actual: Catalog) -> Result<Vec<Step>, String> {
        Ok(plan_steps(desired, actual, context.server_version))
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(Standard: validate, plan);
