//! The policy `ownership`: every user says whose it is, by labels in users.yaml.

#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Context, Finding, Info, Policy, Role, Selector, Spec, Validate, label, matches};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct Ownership;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The labels that users must have.
    pub required: Vec<Required>,
    /// Who need not have any.
    pub exceptions: Vec<Selector>,
}

/// A label that must be there.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// The key of the label, such as `team`.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub label: String,
    /// One of these must fit its value, `*` standing for any text; none: any value that is not empty.
    #[serde(default)]
    pub values: Vec<String>,
    /// Whom it concerns; none: every user.
    #[serde(default)]
    pub users: Vec<Selector>,
}

impl Policy for Ownership {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("ownership", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let mut findings = Selector::all_embracing(&settings.exceptions, "/exceptions");
        if settings.required.is_empty() {
            let message = "no label is required, so this policy never says anything";
            findings.push(Finding::warning("nothing-required", "/required", message));
        }
        let nameless = settings.required.iter().enumerate().filter(|(_, required)| required.label.is_empty());
        findings.extend(nameless.map(|(index, _)| {
            Finding::error(
                "empty-label",
                format!("/required/{index}/label"),
                "a label without a key cannot be required",
            )
        }));
        findings
    }
}

impl Validate for Ownership {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let users = spec.users().filter(|user| !settings.exceptions.iter().any(|it| it.fits(user)));
        Ok(users.flat_map(|user| settings.required.iter().filter_map(|required| required.judge(user))).collect())
    }
}

impl Required {
    fn judge(&self, user: &Role) -> Option<Finding> {
        if !self.users.is_empty() && !self.users.iter().any(|it| it.fits(user)) {
            return None;
        }
        let (name, key) = (&user.name, &self.label);
        let wanted = if self.values.is_empty() { "…".to_owned() } else { self.values.join(" or ") };
        match label(user, key).filter(|value| !value.is_empty()) {
            None => Some(
                Finding::error("missing-label", &user.path, format!("{name:?} has no label {key:?}"))
                    .help(format!("write labels: {{{key}: {wanted}}}")),
            ),
            Some(value) if self.values.is_empty() || self.values.iter().any(|it| matches(it, value)) => None,
            Some(value) => Some(
                Finding::error(
                    "label-value",
                    format!("{}/labels/{}", user.path, key.replace('~', "~0").replace('/', "~1")),
                    format!("the label {key:?} of {name:?} is {value:?}"),
                )
                .help(format!("its value must be {wanted}")),
            ),
        }
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(Ownership: validate);

#[cfg(test)]
mod tests {
    use rolewright_policy::Label;

    use super::*;

    const SETTINGS: &str = r#"{"required": [{"label": "team"}, {"label": "ticket", "values": ["OPS-*"],
        "users": [{"names": ["tmp_*"]}]}], "exceptions": [{"names": ["postgres_*"]}]}"#;

    fn codes(settings: &str, name: &str, labels: &[(&str, &str)]) -> Vec<String> {
        let mut user = Role::user(name).at("/users/0");
        user.labels = labels.iter().map(|(key, value)| Label { key: (*key).into(), value: (*value).into() }).collect();
        let spec = Spec { roles: vec![user, Role::group("reader")], ..Spec::default() };
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let findings = Ownership::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| format!("{} {}", finding.code, finding.path)).collect()
    }

    #[test]
    fn a_label_must_be_there_and_not_be_empty() {
        assert!(codes(SETTINGS, "alice", &[("team", "payments")]).is_empty());
        assert_eq!(codes(SETTINGS, "alice", &[]), ["missing-label /users/0"]);
        assert_eq!(codes(SETTINGS, "alice", &[("team", "")]), ["missing-label /users/0"]);
    }

    #[test]
    fn its_value_must_fit_where_values_are_given() {
        let labels = |ticket| [("team", "a"), ("ticket", ticket)];
        assert!(codes(SETTINGS, "tmp_1", &labels("OPS-7")).is_empty());
        assert_eq!(codes(SETTINGS, "tmp_1", &labels("soon")), ["label-value /users/0/labels/ticket"]);
        assert!(codes(SETTINGS, "alice", &labels("soon")).is_empty());
    }

    #[test]
    fn exceptions_need_none_and_group_roles_neither() {
        assert!(codes(SETTINGS, "postgres_exporter", &[]).is_empty());
    }

    #[test]
    fn settings_without_effect_are_told() {
        let settings: Settings = serde_json::from_str(r#"{"exceptions": [{}]}"#).unwrap();
        let codes: Vec<String> = Ownership::check_settings(&settings).into_iter().map(|it| it.code).collect();
        assert_eq!(codes, ["empty-exception", "nothing-required"]);
        let settings: Settings = serde_json::from_str(r#"{"required": [{"label": ""}]}"#).unwrap();
        assert_eq!(Ownership::check_settings(&settings)[0].path, "/required/0/label");
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<Ownership>();
    }
}
