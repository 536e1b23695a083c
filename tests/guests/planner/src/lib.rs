//! Another planner, as honest as the standard one: it shows that the planner can be replaced by configuration alone. It
//! says so in every reason that it gives, and judges every step to be at least disruptive.

use rolewright_policy::{Catalog, Context, Info, NoSettings, Plan, Policy, Risk, Spec, Step, log};

/// The policy `alternative`.
#[derive(Debug)]
pub struct Alternative;

impl Policy for Alternative {
    type Settings = NoSettings;

    fn info() -> Info {
        Info::new("alternative", "9.8.7", env!("CARGO_PKG_DESCRIPTION"))
    }
}

impl Plan for Alternative {
    fn plan(context: &Context, _: &NoSettings, desired: Spec, actual: Catalog) -> Result<Vec<Step>, String> {
        let mut steps = rolewright_standard::plan_steps(desired, actual, context.server_version);
        for step in &mut steps {
            step.reason.insert_str(0, "alternative: ");
            step.risk = step.risk.max(Risk::Disruptive);
        }
        // Order does not matter to the host, so this planner answers in another than the standard one.
        steps.reverse();
        log::info(format!("alternative planner: {} steps for {}", steps.len(), context.target));
        Ok(steps)
    }
}

rolewright_policy::export!(Alternative: plan);

#[cfg(test)]
mod tests {
    use rolewright_policy::Role;

    use super::*;

    #[test]
    fn it_plans_the_same_in_other_words() {
        let desired = Spec { roles: vec![Role::user("alice"), Role::user("bob")], ..Spec::default() };
        let actual = Catalog { roles: Vec::new(), databases: Vec::new() };
        let standard = rolewright_standard::plan_steps(desired.clone(), actual.clone(), 180_000);
        let mut steps = Alternative::plan(&Context::new(180_000), &NoSettings {}, desired, actual).unwrap();
        steps.reverse();
        assert_eq!(steps.len(), standard.len());
        for (ours, theirs) in steps.iter().zip(&standard) {
            assert_eq!(ours.change, theirs.change);
            assert_eq!(ours.reason, format!("alternative: {}", theirs.reason));
        }
    }
}
