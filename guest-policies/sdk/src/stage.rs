//! What an author implements: who the policy is, and one trait for each stage. The order of the stages, and what the
//! host does with the answers, is told in `wit/worlds.wit`.

use serde::de::DeserializeOwned;

use crate::{Catalog, Context, Finding, Info, Reviewed, Spec, Step, Transformed};

/// Who a policy is, and how it can be set.
pub trait Policy: 'static {
    /// The policy's settings, read from the JSON that the chain gives it; the default where the chain gives none. Take
    /// [`NoSettings`](crate::NoSettings) if there is nothing to set, and `#[serde(deny_unknown_fields)]` on a type of
    /// your own, so that a misspelt setting is noticed.
    type Settings: DeserializeOwned + Default;

    /// Name, version and a sentence for people; see [`package_info!`](crate::package_info).
    fn info() -> Info;

    /// Checks settings that could be read. The `path` of a finding points into the settings; any error keeps the chain
    /// from being taken into use.
    fn check_settings(settings: &Self::Settings) -> Vec<Finding> {
        let _ = settings;
        Vec::new()
    }
}

/// First stage, and again after the transforms: is this spec acceptable?
pub trait Validate: Policy {
    /// Any finding that is an error blocks the plan. `Err` means that the policy could not do its work, and blocks it
    /// too.
    fn validate(context: &Context, settings: &Self::Settings, spec: &Spec) -> Result<Vec<Finding>, String>;
}

/// Second stage: what should the spec become?
pub trait Transform: Policy {
    /// Must be idempotent: a second call on its own result changes nothing.
    fn transform(context: &Context, settings: &Self::Settings, spec: Spec) -> Result<Transformed, String>;
}

/// Third stage, one policy only: which changes lead from what is to what should be?
pub trait Plan: Policy {
    /// Replayed over `actual`, the steps must give `desired`, nothing missing and nothing beyond. Their order does not
    /// matter.
    fn plan(context: &Context, settings: &Self::Settings, desired: Spec, actual: Catalog) -> Result<Vec<Step>, String>;
}

/// Last stage: may this plan run?
pub trait Review: Policy {
    /// Sees the ordered plan with the host's risks.
    fn review(
        context: &Context,
        settings: &Self::Settings,
        actual: &Catalog,
        steps: &[Step],
    ) -> Result<Reviewed, String>;
}
