//! Between the traits that an author implements and the exports that the host calls. Plain Rust, so it is tested without
//! WebAssembly; `export!` is the only user.

use std::marker::PhantomData;

use crate::bindings::configure::exports::rolewright::policy::configure;
use crate::bindings::describe::exports::rolewright::policy::describe;
use crate::bindings::plan::exports::rolewright::policy::plan;
use crate::bindings::review::exports::rolewright::policy::review;
use crate::bindings::transform::exports::rolewright::policy::transform;
use crate::bindings::validate::exports::rolewright::policy::validate;
use crate::{
    Catalog, Context, Finding, Info, Plan, Policy, Review, Reviewed, Spec, Step, Transform, Transformed, Validate,
    settings,
};

/// A policy as the host sees it.
#[derive(Debug)]
pub struct Exported<P>(PhantomData<P>);

/// Checked settings go into a stage, so this fails only if the host did not ask `configure` before.
fn read<P: Policy>(text: &str) -> Result<P::Settings, String> {
    settings::parse(text).map_err(|finding| finding.message)
}

/// What was handed over to be looked at. The instance is gone as soon as its answer is read, and with it all of its
/// memory: to give back a hundred thousand strings one by one before would take longer than most rules.
type Kept<T> = std::mem::ManuallyDrop<T>;

/// A panic ends the call with a trap, which has no words. What was said goes to the log before, where the host finds it.
fn speak_when_panicking() {
    #[cfg(target_arch = "wasm32")]
    {
        use std::sync::Once;
        static ONCE: Once = Once::new();
        ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| crate::log::error(panic.to_string()))));
    }
}

impl<P: Policy> describe::Guest for Exported<P> {
    fn describe() -> Info {
        speak_when_panicking();
        P::info()
    }
}

impl<P: Policy> configure::Guest for Exported<P> {
    fn validate_settings(text: String) -> Vec<Finding> {
        speak_when_panicking();
        match settings::parse(&text) {
            Ok(settings) => match settings::misplaced_list::<P::Settings>(&text) {
                Some(finding) => vec![finding],
                None => P::check_settings(&settings),
            },
            Err(finding) => vec![finding],
        }
    }
}

impl<P: Validate> validate::Guest for Exported<P> {
    fn validate(context: Context, text: String, spec: Spec) -> Result<Vec<Finding>, String> {
        speak_when_panicking();
        P::validate(&context, &read::<P>(&text)?, &Kept::new(spec))
    }
}

impl<P: Transform> transform::Guest for Exported<P> {
    fn transform(context: Context, text: String, spec: Spec) -> Result<Transformed, String> {
        speak_when_panicking();
        P::transform(&context, &read::<P>(&text)?, spec)
    }
}

impl<P: Plan> plan::Guest for Exported<P> {
    fn plan(context: Context, text: String, desired: Spec, actual: Catalog) -> Result<Vec<Step>, String> {
        speak_when_panicking();
        P::plan(&context, &read::<P>(&text)?, desired, actual)
    }
}

impl<P: Review> review::Guest for Exported<P> {
    fn review(context: Context, text: String, actual: Catalog, steps: Vec<Step>) -> Result<Reviewed, String> {
        speak_when_panicking();
        P::review(&context, &read::<P>(&text)?, &Kept::new(actual), &Kept::new(steps))
    }
}

/// One function for each stage: taking its address makes the compiler check, on every target, that the policy implements
/// the stage, and complain in the author's terms.
pub mod implements {
    /// The policy validates.
    pub fn validate<P: crate::Validate>() {}
    /// The policy transforms.
    pub fn transform<P: crate::Transform>() {}
    /// The policy plans.
    pub fn plan<P: crate::Plan>() {}
    /// The policy reviews.
    pub fn review<P: crate::Review>() {}
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    struct Limited;

    #[derive(Default, Deserialize)]
    struct Settings {
        most: usize,
    }

    impl Policy for Limited {
        type Settings = Settings;

        fn info() -> Info {
            crate::package_info!()
        }

        fn check_settings(settings: &Settings) -> Vec<Finding> {
            match settings.most {
                0 => vec![Finding::error("no-room", "/most", "most must be at least 1")],
                _ => Vec::new(),
            }
        }
    }

    impl Validate for Limited {
        fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
            let beyond = spec.roles.iter().skip(settings.most);
            Ok(beyond.map(|role| Finding::warning("crowded", &role.path, "one role too many")).collect())
        }
    }

    crate::export!(Limited: validate);

    #[test]
    fn settings_that_cannot_be_read_are_a_finding_when_configured_and_an_error_in_a_stage() {
        let findings = <Exported<Limited> as configure::Guest>::validate_settings(r#"{"most": "two"}"#.to_owned());
        assert_eq!(findings[0].code, "invalid-settings");
        let answer = <Exported<Limited> as validate::Guest>::validate(
            Context::new(180_000),
            r#"{"most": "two"}"#.to_owned(),
            Spec::default(),
        );
        assert!(answer.unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn readable_settings_are_checked_by_the_policy() {
        let findings = <Exported<Limited> as configure::Guest>::validate_settings(r#"{"most": 0}"#.to_owned());
        assert_eq!(findings[0].path, "/most");
    }

    #[test]
    fn a_stage_gets_its_settings() {
        let spec = Spec { roles: vec![crate::Role::group("a"), crate::Role::group("b")], ..Spec::default() };
        let answer =
            <Exported<Limited> as validate::Guest>::validate(Context::new(180_000), r#"{"most": 1}"#.to_owned(), spec);
        assert_eq!(answer.map(|findings| findings.len()), Ok(1));
    }

    #[test]
    fn a_package_introduces_itself() {
        let info = <Exported<Limited> as describe::Guest>::describe();
        assert_eq!((info.name.as_str(), info.version.as_str()), ("rolewright-policy", env!("CARGO_PKG_VERSION")));
    }
}
