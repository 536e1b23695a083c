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
        let wanted = || if self.values.is_empty() { "…".to_owned() } else { self.values.join(" or ") };
        match label(user, key).filter(|value| !value.is_empty()) {
            None => Some(
                Finding::error("missing-label", &user.path, format!("{name:?} has no label {key:?}"))
                    .help(format!("write labels: {{{key}: {}}}", wanted())),
            ),
            Some(value) if self.values.is_empty() || self.values.iter().any(|it| matches(it, value)) => None,
            Some(value) => Some(
                Finding::error(
                    "label-value",
                    format!("{}/labels/{}", user.path, key.replace('~', "~0").replace('/', "~1")),
                    format!("the label {key:?} of {name:?} is {value:?}"),
                )
                .help(format!("its value must be {}", wanted())),
            ),
        }
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(Ownership: validate);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
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

    /// Whether a text is what a pattern says: another way than the SDK's, which looks for the parts between the stars.
    fn naively_matches(pattern: &str, text: &str) -> bool {
        let (mut wanted, mut given) = (pattern.chars(), text.chars());
        match wanted.next() {
            None => text.is_empty(),
            Some('*') => {
                let rest = wanted.as_str();
                (0..=text.len()).any(|at| text.is_char_boundary(at) && naively_matches(rest, &text[at..]))
            }
            Some(letter) => given.next() == Some(letter) && naively_matches(wanted.as_str(), given.as_str()),
        }
    }

    fn naively_fits(selector: &Selector, user: &Role) -> bool {
        let named = selector.names.iter().filter(|pattern| naively_matches(pattern, &user.name)).count();
        let labelled = |(key, pattern): (&String, &String)| {
            user.labels.iter().any(|label| label.key == *key && naively_matches(pattern, &label.value))
        };
        (named > 0 || selector.names.is_empty())
            && selector.labels.iter().filter(|it| labelled(*it)).count() == selector.labels.len()
    }

    const KEYS: [&str; 3] = ["team", "a/b", "c~d"];

    fn key() -> impl Strategy<Value = String> {
        proptest::sample::select(KEYS.to_vec()).prop_map(str::to_owned)
    }

    fn labels(value: &'static str) -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map(key(), value, 0..3)
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let names = proptest::collection::vec("[ab*]{1,3}", 0..2);
        (names, labels("[ab*]{0,2}")).prop_map(|(names, labels)| Selector { names, labels })
    }

    fn required() -> impl Strategy<Value = Required> {
        let values = proptest::collection::vec("[ab*]{0,2}", 0..2);
        let users = proptest::collection::vec(selector(), 0..2);
        (key(), values, users).prop_map(|(label, values, users)| Required { label, values, users })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// The law: there is a finding for each user and each label that is required of the user and is missing, empty or
        /// of another value; none for exceptions, and none for group roles.
        #[test]
        fn whoever_lacks_a_label_is_told_and_nobody_else(
            roles in proptest::collection::vec(("[ab]{1,3}", proptest::bool::ANY, labels("[ab]{0,2}")), 0..5),
            required in proptest::collection::vec(required(), 0..3),
            exceptions in proptest::collection::vec(selector(), 0..2),
        ) {
            let role = |(index, (name, login, labels)): (usize, &(String, bool, BTreeMap<String, String>))| {
                let role = if *login { Role::user(name) } else { Role::group(name) };
                let labels = labels.iter().map(|(key, value)| Label { key: key.clone(), value: value.clone() });
                Role { labels: labels.collect(), ..role.at(format!("/users/{index}")) }
            };
            let spec = Spec { roles: roles.iter().enumerate().map(role).collect(), ..Spec::default() };
            let settings = Settings { required, exceptions };
            let told = Ownership::validate(&Context::new(180_000), &settings, &spec).unwrap();
            let told: Vec<(String, String)> = told.into_iter().map(|it| (it.code, it.path)).collect();

            let mut expected = Vec::new();
            for (user, (_, login, labels)) in spec.roles.iter().zip(&roles) {
                if !login || settings.exceptions.iter().any(|it| naively_fits(it, user)) {
                    continue;
                }
                for required in &settings.required {
                    if !required.users.is_empty() && !required.users.iter().any(|it| naively_fits(it, user)) {
                        continue;
                    }
                    let path = &user.path;
                    match labels.get(&required.label).map(String::as_str) {
                        None | Some("") => expected.push(("missing-label".to_owned(), path.clone())),
                        Some(value) => {
                            let fits = required.values.iter().any(|pattern| naively_matches(pattern, value));
                            if !required.values.is_empty() && !fits {
                                // A pointer's own characters are written otherwise in it.
                                let key = match required.label.as_str() {
                                    "a/b" => "a~1b",
                                    "c~d" => "c~0d",
                                    plain => plain,
                                };
                                expected.push(("label-value".to_owned(), format!("{path}/labels/{key}")));
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(told, expected);
        }
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<Ownership>();
    }
}
