//! The policy `credential-age`: passwords are changed now and then. It goes by the time at which the key of the Secret
//! was last written, and by the clock of the host, to the hour.

use rolewright_policy::calendar::{DAY, date};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Context, Finding, Info, Policy, Role, SecretState, Selector, Spec, Validate};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct CredentialAge;

/// What stands under `settings:` in the chain. Ages are in days.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Days after which an unchanged password is warned of.
    pub warn_after: u32,
    /// Days after which an unchanged password is refused; none: never.
    pub refuse_after: Option<u32>,
    /// Whom it concerns; none: every user with a password.
    pub users: Vec<Selector>,
    /// Whether a password whose age nobody knows is worth a warning.
    pub warn_of_unknown: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { warn_after: 90, refuse_after: None, users: Vec::new(), warn_of_unknown: true }
    }
}

impl Policy for CredentialAge {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("credential-age", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
            .clock_step_seconds(3_600)
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let sooner = settings.refuse_after.filter(|refuse| *refuse < settings.warn_after);
        let finding = sooner.map(|refuse| {
            let message = format!(
                "refused after {refuse} days, a password never gets to the warning after {}",
                settings.warn_after
            );
            Finding::error("no-warning", "/refuse-after", message).help("let `refuse-after` be the later of the two")
        });
        finding.into_iter().collect()
    }
}

impl Validate for CredentialAge {
    fn validate(context: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let now = context.now.ok_or("the host gives no time, and without one no age can be told")?;
        let concerned = |user: &&Role| settings.users.is_empty() || settings.users.iter().any(|it| it.fits(user));
        Ok(spec.users().filter(concerned).filter_map(|user| settings.judge(user, now)).collect())
    }
}

impl Settings {
    fn judge(&self, user: &Role, now: i64) -> Option<Finding> {
        let credential = user.credential.as_ref().filter(|it| it.state == SecretState::Present)?;
        let (name, secret) = (&user.name, &credential.secret);
        let help = || format!("write a new password into Secret {secret:?}, and wherever it is used");
        let Some(changed) = credential.changed_at else {
            let message = || format!("nobody knows how old the password of {name:?} is");
            return self.warn_of_unknown.then(|| Finding::warning("age-unknown", &user.path, message()).help(help()));
        };
        let days = now.saturating_sub(changed).div_euclid(DAY);
        let refused = self.refuse_after.is_some_and(|limit| days >= i64::from(limit));
        if !refused && days < i64::from(self.warn_after) {
            return None;
        }
        let message = format!("the password of {name:?} was last changed on {}, {days} days ago", date(changed));
        let finding = if refused {
            Finding::error("password-too-old", &user.path, message)
        } else {
            Finding::warning("password-old", &user.path, message)
        };
        Some(finding.help(help()))
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(CredentialAge: validate);

#[cfg(test)]
mod tests {
    use rolewright_policy::Credential;

    use super::*;

    const NOW: i64 = 1_801_353_600;

    fn user(days: Option<i64>) -> Role {
        let mut user = Role::user("alice").at("/users/0");
        user.credential = Some(Credential {
            secret: "user-alice-secret".to_owned(),
            key: "password".to_owned(),
            state: SecretState::Present,
            version: "1".to_owned(),
            changed_at: days.map(|days| NOW - days * DAY),
            labels: Vec::new(),
            strength: None,
            in_sync: None,
        });
        user
    }

    fn codes(settings: &str, user: Role) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let context = Context { now: Some(NOW), ..Context::new(180_000) };
        let spec = Spec { roles: vec![user], ..Spec::default() };
        let findings = CredentialAge::validate(&context, &settings, &spec).unwrap();
        findings.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_password_is_warned_of_and_later_refused() {
        let settings = r#"{"warn-after": 30, "refuse-after": 60}"#;
        let told: Vec<_> = [29, 30, 59, 60].map(|days| codes(settings, user(Some(days)))).into();
        assert_eq!(told, [vec![], vec!["password-old"], vec!["password-old"], vec!["password-too-old"]]);
        assert_eq!(codes("{}", user(Some(5_000))), ["password-old"]);
    }

    #[test]
    fn an_unknown_age_is_a_warning_if_asked_for_and_a_time_to_come_is_young() {
        assert_eq!(codes("{}", user(None)), ["age-unknown"]);
        assert!(codes(r#"{"warn-of-unknown": false}"#, user(None)).is_empty());
        assert!(codes("{}", user(Some(-400))).is_empty());
    }

    #[test]
    fn only_those_who_are_chosen_are_judged() {
        assert!(codes(r#"{"users": [{"names": ["bob"]}]}"#, user(Some(5_000))).is_empty());
    }

    #[test]
    fn without_a_clock_there_is_no_answer() {
        let spec = Spec { roles: vec![user(Some(1))], ..Spec::default() };
        assert!(CredentialAge::validate(&Context::new(180_000), &Settings::default(), &spec).is_err());
    }

    #[test]
    fn to_refuse_before_warning_makes_no_sense() {
        let settings: Settings = serde_json::from_str(r#"{"warn-after": 30, "refuse-after": 20}"#).unwrap();
        assert_eq!(CredentialAge::check_settings(&settings)[0].path, "/refuse-after");
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<CredentialAge>();
    }
}
