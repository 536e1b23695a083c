//! The policy `password-strength`: a password must not be guessed too easily. It goes by the strength that the host has
//! estimated, 0 (guessed at once) to 4 (strong), and never sees a password.

#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Context, Finding, Info, Policy, Role, SecretState, Selector, Spec, Validate};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct PasswordStrength;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// The least strength of every password, from 0 (guessed at once) to 4 (strong).
    #[cfg_attr(test, schemars(range(max = 4)))]
    pub minimum: u8,
    /// Other minimums, for some users; the first that fits a user counts.
    pub classes: Vec<Class>,
    /// Whether users may be declared without a password, by `password: none`.
    pub allow_no_password: bool,
}

/// A minimum for some users.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Whom it is for.
    pub users: Selector,
    /// The least strength of their passwords, 0 to 4.
    #[cfg_attr(test, schemars(range(max = 4)))]
    pub minimum: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { minimum: 3, classes: Vec::new(), allow_no_password: true }
    }
}

impl Policy for PasswordStrength {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("password-strength", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let classes = settings.classes.iter().enumerate();
        let classes = classes.map(|(index, class)| (format!("/classes/{index}/minimum"), class.minimum));
        let minimums = std::iter::once(("/minimum".to_owned(), settings.minimum)).chain(classes);
        let beyond = minimums.filter(|(_, minimum)| *minimum > 4);
        beyond
            .map(|(path, minimum)| {
                Finding::error("beyond-strength", path, format!("no password has a strength of {minimum}"))
                    .help("strengths go from 0 (guessed at once) to 4 (strong)")
            })
            .collect()
    }
}

impl Validate for PasswordStrength {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        Ok(spec.users().filter_map(|user| settings.judge(user)).collect())
    }
}

impl Settings {
    fn judge(&self, user: &Role) -> Option<Finding> {
        let name = &user.name;
        let Some(credential) = &user.credential else {
            let declared = user.has_password == Some(false) && !self.allow_no_password;
            return declared.then(|| {
                Finding::error("no-password", &user.path, format!("{name:?} is declared without a password"))
                    .help("give it a Secret; or allow it with `allow-no-password: true`")
            });
        };
        // What is missing is told by the host, and has no strength.
        if credential.state != SecretState::Present {
            return None;
        }
        let class = self.classes.iter().find(|class| class.users.fits(user));
        let minimum = class.map_or(self.minimum, |class| class.minimum);
        let secret = || format!("Secret {:?}, key {:?}", credential.secret, credential.key);
        match credential.strength {
            Some(strength) if strength >= minimum => None,
            Some(strength) => Some(
                Finding::error(
                    "weak-password",
                    &user.path,
                    format!("the password of {name:?} has a strength of {strength} of 4, and {minimum} is asked for"),
                )
                .help(format!("write a longer, random one into {}", secret())),
            ),
            None => Some(
                Finding::warning(
                    "strength-unknown",
                    &user.path,
                    format!("nobody has estimated the password of {name:?}, so it is not judged"),
                )
                .help(format!("look at {} by other means", secret())),
            ),
        }
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(PasswordStrength: validate);

#[cfg(test)]
mod tests {
    use rolewright_policy::Credential;

    use super::*;

    fn user(name: &str, state: SecretState, strength: Option<u8>) -> Role {
        let mut user = Role::user(name).at(format!("/users/{name}"));
        user.has_password = Some(true);
        user.credential = Some(Credential {
            secret: format!("user-{name}-secret"),
            key: "password".to_owned(),
            state,
            version: "1".to_owned(),
            changed_at: None,
            labels: Vec::new(),
            strength,
            in_sync: None,
        });
        user
    }

    fn codes(settings: &str, roles: Vec<Role>) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let spec = Spec { roles, ..Spec::default() };
        let findings = PasswordStrength::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| format!("{} {}", finding.code, finding.path)).collect()
    }

    #[test]
    fn a_weak_password_is_refused_and_one_at_the_minimum_is_not() {
        let users = vec![user("a", SecretState::Present, Some(2)), user("b", SecretState::Present, Some(3))];
        assert_eq!(codes("{}", users), ["weak-password /users/a"]);
    }

    #[test]
    fn the_first_class_that_fits_counts() {
        let settings = r#"{"minimum": 1, "classes": [{"users": {"names": ["admin_*"]}, "minimum": 4},
            {"users": {}, "minimum": 2}]}"#;
        let users = vec![user("admin_a", SecretState::Present, Some(3)), user("b", SecretState::Present, Some(1))];
        assert_eq!(codes(settings, users), ["weak-password /users/admin_a", "weak-password /users/b"]);
    }

    #[test]
    fn what_is_not_known_is_a_warning_and_what_is_not_there_is_the_hosts_business() {
        let users = vec![user("a", SecretState::Present, None), user("b", SecretState::Missing, None)];
        assert_eq!(codes("{}", users), ["strength-unknown /users/a"]);
    }

    #[test]
    fn users_without_a_password_can_be_forbidden() {
        let mut robot = Role::user("robot").at("/users/0");
        robot.has_password = Some(false);
        assert!(codes("{}", vec![robot.clone()]).is_empty());
        assert_eq!(codes(r#"{"allow-no-password": false}"#, vec![robot]), ["no-password /users/0"]);
    }

    #[test]
    fn a_minimum_beyond_four_is_refused_with_its_place() {
        let settings: Settings =
            serde_json::from_str(r#"{"minimum": 5, "classes": [{"users": {}, "minimum": 9}]}"#).unwrap();
        let paths: Vec<String> =
            PasswordStrength::check_settings(&settings).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["/minimum", "/classes/0/minimum"]);
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<PasswordStrength>();
    }
}
