//! An example policy: user names must follow the house's rules. Copy the directory and change what a rule is; README.md
//! tells how to build it and take it into use.

#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Context, Finding, Info, Policy, Spec, Validate};
use serde::Deserialize;

/// The policy `naming`.
#[derive(Debug)]
pub struct Naming;

/// The rules, as they stand under `settings:` in the chain. Without settings every name is fine.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// A name must begin with one of these; empty: with anything.
    #[cfg_attr(test, schemars(inner(length(min = 1))))]
    pub prefixes: Vec<String>,
    /// The characters that a name may be made of, such as `abcdefghijklmnopqrstuvwxyz_`; empty: any.
    pub allowed_characters: String,
    /// Names that the rules do not apply to.
    pub exceptions: Vec<String>,
}

impl Policy for Naming {
    type Settings = Settings;

    fn info() -> Info {
        rolewright_policy::package_info!().settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let empty = settings.prefixes.iter().enumerate().filter(|(_, prefix)| prefix.is_empty());
        empty
            .map(|(index, _)| {
                Finding::error("empty-prefix", format!("/prefixes/{index}"), "every name begins with an empty prefix")
                    .help("write a prefix, or leave `prefixes` out")
            })
            .collect()
    }
}

impl Validate for Naming {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let mut findings = Vec::new();
        for user in spec.users().filter(|user| !settings.exceptions.contains(&user.name)) {
            if !settings.prefixes.is_empty()
                && !settings.prefixes.iter().any(|prefix| user.name.starts_with(prefix.as_str()))
            {
                findings.push(
                    Finding::error(
                        "name-prefix",
                        &user.path,
                        format!("\"{}\" begins with no allowed prefix", user.name),
                    )
                    .help(format!("begin the name with one of: {}", settings.prefixes.join(", "))),
                );
            }
            let allowed = &settings.allowed_characters;
            if let Some(other) = user.name.chars().find(|c| !allowed.is_empty() && !allowed.contains(*c)) {
                findings.push(
                    Finding::error("name-characters", &user.path, format!("\"{}\" contains '{other}'", user.name))
                        .help(format!("use only these characters: {allowed}")),
                );
            }
        }
        Ok(findings)
    }
}

rolewright_policy::export!(Naming: validate);

#[cfg(test)]
mod tests {
    use rolewright_policy::Role;

    use super::*;

    fn codes(settings: &str, users: &[&str]) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let roles = users.iter().map(|name| Role::user(*name).at(format!("/users/{name}"))).collect();
        let spec = Spec { roles, ..Spec::default() };
        let findings = Naming::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| format!("{} at {}", finding.code, finding.path)).collect()
    }

    #[test]
    fn a_name_needs_one_of_the_prefixes() {
        let settings = r#"{"prefixes": ["app_", "team_"]}"#;
        assert_eq!(codes(settings, &["app_shop", "team_a", "alice"]), ["name-prefix at /users/alice"]);
    }

    #[test]
    fn a_name_is_made_of_the_allowed_characters() {
        let settings = r#"{"allowed-characters": "abcdefghijklmnopqrstuvwxyz_"}"#;
        assert_eq!(codes(settings, &["app_shop", "Alice"]), ["name-characters at /users/Alice"]);
    }

    #[test]
    fn exceptions_may_have_any_name() {
        assert!(codes(r#"{"prefixes": ["app_"], "exceptions": ["alice"]}"#, &["alice"]).is_empty());
    }

    #[test]
    fn group_roles_are_not_users() {
        let settings = Settings { prefixes: vec!["app_".to_owned()], ..Settings::default() };
        let spec = Spec { roles: vec![Role::group("analyst")], ..Spec::default() };
        assert_eq!(Naming::validate(&Context::new(180_000), &settings, &spec), Ok(Vec::new()));
    }

    #[test]
    fn an_empty_prefix_is_refused_with_its_place_in_the_settings() {
        let settings = Settings { prefixes: vec!["a".to_owned(), String::new()], ..Settings::default() };
        assert_eq!(Naming::check_settings(&settings)[0].path, "/prefixes/1");
    }

    #[test]
    fn without_settings_every_name_is_fine() {
        assert!(codes("{}", &["Alice", "app_shop", "名前"]).is_empty());
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<Naming>();
    }
}
