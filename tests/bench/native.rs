//! The policies that ship, compiled like any other crate and called like any other function: what the sandbox is
//! compared with. The input is what `rolewright policy bench` hands to a chain, made of the contract's own types.

use std::time::Instant;

use rolewright_policy::calendar::DAY;
use rolewright_policy::{
    Attributes, Catalog, Context, Credential, Expiry, Finding, Grant, Label, Limit, Membership, Mode, Plan, Policy,
    Review, Role, SecretState, Severity, Spec, Standing, Step, Transform, Validate, Verdict,
};
use serde_json::Value;

use super::median;

const GROUPS: usize = 100;
const VERSION: u32 = 180_000;
const NOW: i64 = 1_801_353_600;
const ROUNDS: usize = 9;

/// What each stage takes, in seconds, in the order of a cycle.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seconds {
    pub(crate) validate: f64,
    pub(crate) transform: f64,
    pub(crate) validate_again: f64,
    pub(crate) plan: f64,
    pub(crate) review: f64,
}

impl Seconds {
    pub(crate) fn all(self) -> f64 {
        self.validate + self.transform + self.validate_again + self.plan + self.review
    }
}

/// Medians for so many users, with these settings by name of the policy. `copies`: each policy gets an input of its
/// own, as it does in a sandbox, and making it counts.
pub(crate) fn measure(users: usize, settings: &dyn Fn(&str) -> Value, copies: bool) -> Seconds {
    let (spec, catalog) = (spec(users), catalog(users));
    let context = Context { now: Some(NOW), ..Context::new(VERSION) };
    let rounds: Vec<Seconds> =
        (0..ROUNDS).map(|_| Round { context: &context, settings, copies }.run(&spec, &catalog)).collect();
    let of = |stage: fn(&Seconds) -> f64| median(rounds.iter().map(stage).collect());
    Seconds {
        validate: of(|it| it.validate),
        transform: of(|it| it.transform),
        validate_again: of(|it| it.validate_again),
        plan: of(|it| it.plan),
        review: of(|it| it.review),
    }
}

struct Round<'a> {
    context: &'a Context,
    settings: &'a dyn Fn(&str) -> Value,
    copies: bool,
}

impl Round<'_> {
    fn run(&self, spec: &Spec, catalog: &Catalog) -> Seconds {
        use rolewright_expiry::ExpiryPolicy;
        use rolewright_standard::Standard;

        let (validate, ()) = self.timed(|| self.validate_all(spec));
        let given = self.given(spec);
        let (transform, outcome) = self.timed(|| {
            let given = given.unwrap_or_else(|| spec.clone());
            ExpiryPolicy::transform(self.context, &self.settings_of::<ExpiryPolicy>("expiry"), given).unwrap()
        });
        let transformed = outcome.spec.expect("it sets ends");
        let (validate_again, ()) = self.timed(|| self.validate_all(&transformed));
        let given = (self.given(&transformed), self.given(catalog));
        let (plan, steps) = self.timed(|| {
            let desired = given.0.unwrap_or_else(|| transformed.clone());
            let actual = given.1.unwrap_or_else(|| catalog.clone());
            Standard::plan(self.context, &self.settings_of::<Standard>("standard"), desired, actual).unwrap()
        });
        assert!(steps.len() > spec.roles.len() / 5, "{} steps", steps.len());
        let (review, ()) = self.timed(|| self.review_all(catalog, &steps));
        Seconds { validate, transform, validate_again, plan, review }
    }

    /// A copy that is made before the clock starts; `None` where it is to count.
    fn given<T: Clone>(&self, input: &T) -> Option<T> {
        (!self.copies).then(|| input.clone())
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> (f64, T) {
        let begin = Instant::now();
        let value = std::hint::black_box(work());
        (begin.elapsed().as_secs_f64(), value)
    }

    fn settings_of<P: Policy>(&self, name: &str) -> P::Settings {
        match (self.settings)(name) {
            Value::Null => P::Settings::default(),
            settings => serde_json::from_value(settings).expect("settings that the chain accepts"),
        }
    }

    fn validate_all(&self, spec: &Spec) {
        self.validate::<rolewright_naming::Naming>("naming", spec);
        self.validate::<rolewright_role_catalog::RoleCatalog>("role-catalog", spec);
        self.validate::<rolewright_ownership::Ownership>("ownership", spec);
        self.validate::<rolewright_privilege_ceiling::PrivilegeCeiling>("privilege-ceiling", spec);
        self.validate::<rolewright_password_strength::PasswordStrength>("password-strength", spec);
        self.validate::<rolewright_credential_age::CredentialAge>("credential-age", spec);
        self.validate::<rolewright_expiry::ExpiryPolicy>("expiry", spec);
        self.validate::<rolewright_standard::Standard>("standard", spec);
    }

    fn validate<P: Validate>(&self, name: &str, spec: &Spec) {
        let settings = self.settings_of::<P>(name);
        let findings = if self.copies {
            P::validate(self.context, &settings, &spec.clone())
        } else {
            P::validate(self.context, &settings, spec)
        };
        none_is_an_error(name, &findings.unwrap());
    }

    fn review_all(&self, catalog: &Catalog, steps: &[Step]) {
        self.review::<rolewright_role_catalog::RoleCatalog>("role-catalog", catalog, steps);
        self.review::<rolewright_privilege_ceiling::PrivilegeCeiling>("privilege-ceiling", catalog, steps);
        self.review::<rolewright_blast_radius::BlastRadius>("blast-radius", catalog, steps);
        self.review::<rolewright_change_window::ChangeWindow>("change-window", catalog, steps);
    }

    fn review<P: Review>(&self, name: &str, catalog: &Catalog, steps: &[Step]) {
        let settings = self.settings_of::<P>(name);
        let reviewed = if self.copies {
            let (catalog, steps) = (catalog.clone(), steps.to_vec());
            P::review(self.context, &settings, &catalog, &steps)
        } else {
            P::review(self.context, &settings, catalog, steps)
        };
        assert_ne!(reviewed.unwrap().verdict, Verdict::Deny, "{name}");
    }
}

/// A chain that finds something is not what is compared: it would be measured how texts are put together.
fn none_is_an_error(name: &str, findings: &[Finding]) {
    let error = findings.iter().find(|finding| finding.severity == Severity::Error);
    assert!(error.is_none(), "{name}: {error:?}");
}

fn user(number: usize) -> Role {
    let name = format!("user-{number:06}");
    let group = format!("group_{:02}", number % GROUPS);
    let label = |key: &str, value: String| Label { key: key.to_owned(), value };
    let mut role = Role::user(&name).member_of([group.as_str(), "pg_monitor"]).at(format!("/users/{number}"));
    role.grants = vec![Grant::connect("shop")];
    role.has_password = Some(true);
    role.credential = Some(Credential {
        secret: format!("user-{name}-secret"),
        key: "password".to_owned(),
        state: SecretState::Present,
        version: "1".to_owned(),
        changed_at: Some(NOW - 30 * DAY),
        labels: Vec::new(),
        strength: Some(4),
        in_sync: Some(true),
    });
    let kind = if number.is_multiple_of(4) { "service" } else { "human" };
    role.labels = vec![label("kind", kind.to_owned()), label("team", format!("team_{:02}", number % GROUPS))];
    role
}

fn spec(users: usize) -> Spec {
    let groups = (0..GROUPS.min(users))
        .map(|number| Role::group(format!("group_{number:02}")).at(format!("/users/{number}/roles/0")));
    Spec { roles: groups.chain((0..users).map(user)).collect(), ..Spec::default() }
}

fn found(name: String, attributes: Attributes) -> Role {
    Role {
        mode: Mode::Authoritative,
        standing: Standing::Managed,
        attributes,
        connection_limit: Some(Limit::Unlimited),
        valid_until: Some(Expiry::Never),
        has_password: Some(true),
        ..Role::group(name)
    }
}

/// Every tenth user is missing, every tenth has CREATEDB, and some are there that are declared no more.
fn catalog(users: usize) -> Catalog {
    let group = |number: usize| found(format!("group_{number:02}"), Attributes::INHERIT);
    let plain = Attributes::LOGIN | Attributes::INHERIT;
    let gone = (0..users.div_ceil(100)).map(|number| found(format!("gone_{number:06}"), plain));
    let there = (0..users).filter(|number| number % 10 != 3).map(|number| {
        let attributes = if number % 10 == 7 { plain | Attributes::CREATEDB } else { plain };
        let mut role = found(format!("user-{number:06}"), attributes);
        role.memberships = ["pg_monitor", &format!("group_{:02}", number % GROUPS)]
            .map(|of| Membership { grantor: Some("postgres".to_owned()), ..Membership::plain(of) })
            .into();
        role.memberships.sort();
        role.grants = vec![Grant::connect("shop")];
        role
    });
    let mut roles: Vec<Role> = (0..GROUPS.min(users)).map(group).chain(there).chain(gone).collect();
    roles.sort_by(|a, b| a.name.cmp(&b.name));
    Catalog { roles, databases: Vec::new() }
}
