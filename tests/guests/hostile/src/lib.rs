//! A policy that misbehaves as its settings ask: `{"do": "loop", "stage": "plan"}`. In the other stage, and without
//! settings, it behaves as the standard policy does, so that a test shows that one evil and nothing else.

mod evil;

pub use evil::Evil;
use rolewright_policy::{
    Catalog, Context, Finding, Info, Plan, Policy, Review, Reviewed, Spec, Step, Transform, Transformed, Validate,
    Verdict,
};
use serde::Deserialize;

/// The policy `hostile`.
#[derive(Debug)]
pub struct Hostile;

/// What to do wrong, and when; nothing by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The evil.
    #[serde(rename = "do")]
    pub evil: Option<Evil>,
    /// The stage to do it in.
    #[serde(default)]
    pub stage: Stage,
}

/// A stage that this policy takes part in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// When its settings are checked.
    Configure,
    /// When a spec is judged.
    Validate,
    /// When a spec is changed.
    Transform,
    /// When the plan is made.
    #[default]
    Plan,
    /// When a plan is judged.
    Review,
}

impl Settings {
    fn in_stage(&self, stage: Stage) -> Option<Evil> {
        self.evil.filter(|_| self.stage == stage)
    }
}

impl Policy for Hostile {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("hostile", "6.6.6", env!("CARGO_PKG_DESCRIPTION"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        match settings.in_stage(Stage::Configure) {
            Some(evil) => evil.findings(&Spec::default()).unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

impl Validate for Hostile {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        match settings.in_stage(Stage::Validate) {
            Some(evil) => evil.findings(spec),
            None => Ok(rolewright_standard::findings(spec)),
        }
    }
}

impl Transform for Hostile {
    fn transform(_: &Context, settings: &Settings, spec: Spec) -> Result<Transformed, String> {
        let findings = match settings.in_stage(Stage::Transform) {
            Some(evil) => evil.findings(&spec)?,
            None => Vec::new(),
        };
        Ok(Transformed { spec: Some(spec), findings })
    }
}

impl Review for Hostile {
    fn review(_: &Context, settings: &Settings, _: &Catalog, _: &[Step]) -> Result<Reviewed, String> {
        let findings = match settings.in_stage(Stage::Review) {
            Some(evil) => evil.findings(&Spec::default())?,
            None => Vec::new(),
        };
        Ok(Reviewed { verdict: Verdict::Allow, findings })
    }
}

impl Plan for Hostile {
    fn plan(context: &Context, settings: &Settings, desired: Spec, actual: Catalog) -> Result<Vec<Step>, String> {
        let Some(evil) = settings.in_stage(Stage::Plan) else {
            return Ok(rolewright_standard::plan_steps(desired, actual, context.server_version));
        };
        let (roles, found) = (desired.clone(), actual.clone());
        evil.steps(rolewright_standard::plan_steps(desired, actual, context.server_version), &roles, &found)
    }
}

rolewright_policy::export!(Hostile: validate, transform, plan, review);
