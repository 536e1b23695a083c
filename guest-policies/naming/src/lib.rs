//! The policy `naming`: names follow the house's patterns. Users and group roles have rules of their own; a name is
//! judged where it is declared, or where it is first used.

#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Context, Finding, Info, Policy, Role, Spec, Validate, matches};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct Naming;

/// What stands under `settings:` in the chain. Without settings every name is fine.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The rules for roles that may log in.
    pub users: Rules,
    /// The rules for group roles.
    pub roles: Rules,
}

/// The rules for one kind of role.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Rules {
    /// One of these must fit, `*` standing for any text; none: any name does.
    #[cfg_attr(test, schemars(inner(length(min = 1))))]
    pub patterns: Vec<String>,
    /// The characters that a name may be made of; empty: any.
    pub characters: String,
    /// Bytes of the longest name; none: the 63 that PostgreSQL stores.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub max_length: Option<usize>,
    /// Names that nobody may have, `*` standing for any text.
    #[cfg_attr(test, schemars(inner(length(min = 1))))]
    pub reserved: Vec<String>,
    /// Names that the rules do not apply to, `*` standing for any text.
    #[cfg_attr(test, schemars(inner(length(min = 1))))]
    pub exceptions: Vec<String>,
}

impl Policy for Naming {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("naming", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let rules = [("users", &settings.users), ("roles", &settings.roles)];
        let lists = rules.into_iter().flat_map(|(kind, rules)| {
            [("patterns", &rules.patterns), ("reserved", &rules.reserved), ("exceptions", &rules.exceptions)]
                .map(|(list, patterns)| (format!("/{kind}/{list}"), patterns))
        });
        let mut findings: Vec<Finding> = lists
            .flat_map(|(path, patterns)| {
                let empty = patterns.iter().enumerate().filter(|(_, pattern)| pattern.is_empty());
                empty.map(move |(index, _)| {
                    Finding::error("empty-pattern", format!("{path}/{index}"), "no name fits an empty pattern")
                        .help("write a pattern such as app_*, or leave it out")
                })
            })
            .collect();
        for (kind, rules) in rules {
            if rules.max_length == Some(0) {
                let finding = Finding::error("no-length", format!("/{kind}/max-length"), "no name is that short");
                findings.push(finding.help("write the bytes of the longest name, such as 32"));
            }
        }
        findings
    }
}

impl Validate for Naming {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let judged = spec.roles.iter().filter(|role| !role.name.starts_with("pg_"));
        Ok(judged
            .flat_map(|role| if role.is_user() { settings.users.judge(role) } else { settings.roles.judge(role) })
            .collect())
    }
}

impl Rules {
    fn judge(&self, role: &Role) -> Vec<Finding> {
        let name = role.name.as_str();
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        if fits(&self.exceptions) {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let mut refuse = |code: &str, message: String, help: String| {
            findings.push(Finding::error(code, &role.path, message).help(help));
        };
        if fits(&self.reserved) {
            refuse("name-reserved", format!("{name:?} is reserved"), "choose another name".to_owned());
        }
        if !self.patterns.is_empty() && !fits(&self.patterns) {
            let help = format!("a name fits one of: {}", self.patterns.join(", "));
            refuse("name-pattern", format!("{name:?} fits none of the patterns for names"), help);
        }
        if let Some(other) = name.chars().find(|c| !self.characters.is_empty() && !self.characters.contains(*c)) {
            let help = format!("use only these characters: {}", self.characters);
            refuse("name-characters", format!("{name:?} contains {other:?}"), help);
        }
        if let Some(most) = self.max_length.filter(|most| name.len() > *most) {
            let help = format!("shorten it to {most} bytes");
            refuse("name-length", format!("{name:?} has {} bytes", name.len()), help);
        }
        findings
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(Naming: validate);

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(settings: &str, roles: Vec<Role>) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let spec = Spec { roles, ..Spec::default() };
        let findings = Naming::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| format!("{} {}", finding.code, finding.path)).collect()
    }

    #[test]
    fn users_and_roles_have_rules_of_their_own() {
        let roles = || vec![Role::user("app_shop").at("/users/0"), Role::group("app_reader").at("/users/0/roles/0")];
        assert!(codes(r#"{"users": {"patterns": ["app_*"]}}"#, roles()).is_empty());
        assert_eq!(codes(r#"{"roles": {"patterns": ["role_*"]}}"#, roles()), ["name-pattern /users/0/roles/0"]);
    }

    #[test]
    fn each_rule_is_told_by_itself_and_exceptions_are_left_alone() {
        let settings = r#"{"users": {"patterns": ["a*"], "characters": "abc", "max-length": 3, "reserved": ["*x*"],
            "exceptions": ["postgres_*"]}}"#;
        let roles = vec![Role::user("bxxd").at("/users/0"), Role::user("postgres_exporter").at("/users/1")];
        let expected = ["name-reserved", "name-pattern", "name-characters", "name-length"];
        assert_eq!(codes(settings, roles), expected.map(|code| format!("{code} /users/0")));
    }

    #[test]
    fn predefined_roles_have_their_names_from_postgresql() {
        assert!(codes(r#"{"roles": {"patterns": ["role_*"]}}"#, vec![Role::group("pg_monitor")]).is_empty());
    }

    #[test]
    fn without_settings_every_name_is_fine_and_nonsense_is_refused_with_its_place() {
        assert!(codes("{}", vec![Role::user("Ä b")]).is_empty());
        let settings: Settings =
            serde_json::from_str(r#"{"users": {"patterns": ["a", ""], "max-length": 0}}"#).unwrap();
        let paths: Vec<String> = Naming::check_settings(&settings).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["/users/patterns/1", "/users/max-length"]);
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<Naming>();
    }
}
