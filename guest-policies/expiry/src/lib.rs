//! The policy `expiry`: accounts of people end. An account without an end, or with one too far away, is refused
//! (`mode: check`), or is given the latest end that is allowed (`mode: set`).
//!
//! What `set` gives has to stay as it is from day to day, or each day would have a plan. The spec does not say when
//! an account began, so the end is a date that all accounts share: the last day of a period of so many days, counted
//! from 1970. It moves on when less than `renew-before` days are left; an account that is still declared then is
//! renewed, and one that was taken out of users.yaml is removed anyway. Whoever wants accounts to end unless somebody
//! renews them by hand uses `check`, and writes `valid_until` into users.yaml.

use rolewright_policy::calendar::{DAY, date};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{
    Context, Expiry, Finding, Info, Policy, Role, Selector, Spec, Transform, Transformed, Validate,
};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct ExpiryPolicy;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Who must have an end; none: every user.
    pub users: Vec<Selector>,
    /// Who need not have one.
    pub exceptions: Vec<Selector>,
    /// How far away the end may be, in days.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub within_days: u32,
    /// What to do about an account without an end, or with one too far away.
    pub mode: Mode,
    /// `set` only: how many days before its end a period gives way to the next.
    pub renew_before: u32,
}

/// What to do about an account without an end, or with one too far away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Refuse the spec.
    Check,
    /// Give it an end.
    Set,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { users: Vec::new(), exceptions: Vec::new(), within_days: 90, mode: Mode::Check, renew_before: 14 }
    }
}

impl Policy for ExpiryPolicy {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("expiry", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
            .clock_step_seconds(3_600)
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let mut findings = Selector::all_embracing(&settings.exceptions, "/exceptions");
        if settings.within_days == 0 {
            findings.push(Finding::error("no-time", "/within-days", "an end within 0 days is now"));
        }
        if settings.mode == Mode::Set && settings.renew_before.saturating_mul(2) > settings.within_days {
            let message = "more than half of each period would be spent renewing it";
            let finding = Finding::error("renewed-too-soon", "/renew-before", message);
            findings.push(finding.help("let `renew-before` be at most half of `within-days`"));
        }
        findings
    }
}

impl Settings {
    fn concerns(&self, user: &Role) -> bool {
        let chosen = self.users.is_empty() || self.users.iter().any(|it| it.fits(user));
        chosen && !self.exceptions.iter().any(|it| it.fits(user))
    }

    /// The latest end that is allowed.
    fn latest(&self, now: i64) -> i64 {
        now.saturating_add(i64::from(self.within_days) * DAY)
    }

    /// The end that accounts are given now. Periods are shorter than `within-days` by the time in which two
    /// overlap, so that the next one's end is still within.
    fn end(&self, now: i64) -> i64 {
        let (within, before) = (i64::from(self.within_days.max(1)), i64::from(self.renew_before));
        let period = (within - before).max(1) * DAY;
        let soonest = now.saturating_add(before * DAY);
        (soonest.div_euclid(period) + 1) * period
    }
}

/// Without its end.
fn too_long(user: &Role, latest: i64) -> bool {
    !matches!(user.valid_until, Some(Expiry::At(end)) if end <= latest)
}

fn clock(context: &Context) -> Result<i64, String> {
    context.now.ok_or_else(|| "the host gives no time, and without one no end can be judged".to_owned())
}

impl Validate for ExpiryPolicy {
    fn validate(context: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        if settings.mode == Mode::Set {
            return Ok(Vec::new());
        }
        let latest = settings.latest(clock(context)?);
        let long = spec.users().filter(|user| settings.concerns(user) && too_long(user, latest));
        Ok(long
            .map(|user| {
                let message = match user.valid_until {
                    Some(Expiry::At(end)) => format!("{:?} ends on {}, too far away", user.name, date(end)),
                    _ => format!("{:?} has no end", user.name),
                };
                Finding::error("no-expiry", &user.path, message)
                    .help(format!("write valid_until: {} or earlier", date(latest)))
            })
            .collect())
    }
}

impl Transform for ExpiryPolicy {
    fn transform(context: &Context, settings: &Settings, mut spec: Spec) -> Result<Transformed, String> {
        if settings.mode == Mode::Check {
            return Ok(Transformed::unchanged());
        }
        let now = clock(context)?;
        let (latest, end) = (settings.latest(now), settings.end(now));
        let mut changed = false;
        for user in spec.roles.iter_mut().filter(|role| role.is_user()) {
            if settings.concerns(user) && too_long(user, latest) {
                user.valid_until = Some(Expiry::At(end));
                changed = true;
            }
        }
        Ok(if changed { Transformed::quietly(spec) } else { Transformed::unchanged() })
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(ExpiryPolicy: validate, transform);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_801_353_600;

    fn settings(text: &str) -> Settings {
        serde_json::from_str(text).unwrap()
    }

    fn at(now: i64) -> Context {
        Context { now: Some(now), ..Context::new(180_000) }
    }

    fn user(end: Option<i64>) -> Role {
        let mut user = Role::user("alice").at("/users/0");
        user.valid_until = Some(end.map_or(Expiry::Never, Expiry::At));
        user
    }

    fn spec(user: Role) -> Spec {
        Spec { roles: vec![user], ..Spec::default() }
    }

    fn refused(text: &str, user: Role) -> bool {
        !ExpiryPolicy::validate(&at(NOW), &settings(text), &spec(user)).unwrap().is_empty()
    }

    fn set(text: &str, now: i64, user: Role) -> Option<Expiry> {
        let before = user.valid_until;
        let changed = ExpiryPolicy::transform(&at(now), &settings(text), spec(user)).unwrap().spec;
        changed.map_or(before, |mut spec| spec.roles.remove(0).valid_until)
    }

    #[test]
    fn an_account_without_an_end_or_with_a_far_one_is_refused() {
        assert!(refused("{}", user(None)));
        assert!(refused("{}", user(Some(NOW + 91 * DAY))));
        assert!(!refused("{}", user(Some(NOW + 90 * DAY))));
        assert!(!refused("{}", user(Some(NOW - DAY))));
        assert!(!refused(r#"{"exceptions": [{"names": ["al*"]}]}"#, user(None)));
        assert!(!refused(r#"{"users": [{"labels": {"kind": "human"}}]}"#, user(None)));
    }

    #[test]
    fn an_end_that_is_set_is_allowed_stays_for_weeks_and_moves_in_time() {
        let text = r#"{"mode": "set", "within-days": 30, "renew-before": 10}"#;
        let settings = settings(text);
        let mut moves = 0;
        let mut last = None;
        for hour in 0..24 * 400 {
            let now = NOW + hour * 3_600;
            let Some(Expiry::At(end)) = set(text, now, user(None)) else { panic!("no end") };
            assert!(end <= settings.latest(now) && end > now + 10 * DAY - 1, "{end} at {now}");
            moves += u32::from(last.is_some_and(|last| last != end));
            last = Some(end);
        }
        assert_eq!(moves, 20, "once in 20 days");
    }

    #[test]
    fn to_set_is_idempotent_and_leaves_what_is_near_enough() {
        let text = r#"{"mode": "set"}"#;
        let near = NOW + 5 * DAY;
        assert_eq!(set(text, NOW, user(Some(near))), Some(Expiry::At(near)));
        for now in (0..200).map(|days| NOW + days * DAY) {
            let once = set(text, now, user(None));
            let Some(Expiry::At(end)) = once else { panic!("no end") };
            assert_eq!(set(text, now, user(Some(end))), once);
        }
        assert_eq!(set("{}", NOW, user(None)), Some(Expiry::Never));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_with_their_place() {
        let text = r#"{"mode": "set", "within-days": 0, "renew-before": 9, "exceptions": [{}]}"#;
        let paths: Vec<String> =
            ExpiryPolicy::check_settings(&settings(text)).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["/exceptions/0", "/within-days", "/renew-before"]);
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<ExpiryPolicy>();
    }
}
