//! The policy `{{name}}`: user names must begin with one of the allowed prefixes.

use rolewright_policy::{Context, Finding, Info, Policy, Spec, Validate};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct Rule;

/// What stands under `settings:` in the chain.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// A name must begin with one of these; empty: with anything.
    pub prefixes: Vec<String>,
}

impl Policy for Rule {
    type Settings = Settings;

    fn info() -> Info {
        rolewright_policy::package_info!().settings_schema(include_str!("../settings.schema.json"))
    }
}

impl Validate for Rule {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let prefixes = &settings.prefixes;
        let fits = |name: &str| prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let wrong = spec.users().filter(|user| !fits(&user.name));
        let findings = wrong.map(|user| {
            let message = format!("\"{}\" begins with no allowed prefix", user.name);
            Finding::error("name-prefix", &user.path, message)
                .help(format!("begin the name with one of: {}", prefixes.join(", ")))
        });
        Ok(findings.collect())
    }
}

rolewright_policy::export!(Rule: validate);

#[cfg(test)]
mod tests {
    use rolewright_policy::Role;

    use super::*;

    fn refused(settings: &str, users: &[&str]) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let roles = users.iter().map(|name| Role::user(*name).at(format!("/users/{name}"))).collect();
        let spec = Spec { roles, ..Spec::default() };
        let findings = Rule::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn a_name_needs_one_of_the_prefixes() {
        assert_eq!(refused(r#"{"prefixes": ["app_", "team_"]}"#, &["app_shop", "alice"]), ["/users/alice"]);
    }

    #[test]
    fn without_settings_every_name_is_fine() {
        assert!(refused("{}", &["alice"]).is_empty());
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<Rule>();
    }
}
