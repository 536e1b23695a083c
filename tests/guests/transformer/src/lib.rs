//! A transformer. With `member-of` it makes every declared user a member of a role, with an end if `until` says so, and
//! with `parameter` it gives each a setting, as a real one might. The other settings ask for what the host must refuse:
//! another Secret for a user, another standing for a role, databases for somebody, or a result that moves on with every call.

use rolewright_policy::{
    Context, Finding, Info, Membership, Mode, Policy, Setting, Spec, Standing, Transform, Transformed,
};
use serde::Deserialize;

/// The policy `transformer`.
#[derive(Debug)]
pub struct Transformer;

/// What to do; nothing by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Honest: the role that every declared user becomes a member of. It must be declared, or exist on the server.
    pub member_of: Option<String>,
    /// Honest: when these memberships end, in Unix seconds.
    pub until: Option<i64>,
    /// Honest, if the parameter is: what every declared user has for a configuration parameter.
    pub parameter: Option<Parameter>,
    /// Dishonest: takes a user's password from another Secret.
    pub redirect: Option<Redirect>,
    /// Dishonest: declares this role to be nobody's business.
    pub disown: Option<String>,
    /// Dishonest: gives this role every database that is declared.
    pub grab: Option<String>,
    /// Dishonest: a comment that grows with every call, so the transform is not idempotent.
    pub restless: bool,
}

/// A configuration parameter of PostgreSQL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Whose password to take from where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The user.
    pub user: String,
    /// The Secret of somebody else.
    pub secret: String,
}

impl Policy for Transformer {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("transformer", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
    }
}

impl Transform for Transformer {
    fn transform(_: &Context, settings: &Settings, mut spec: Spec) -> Result<Transformed, String> {
        let mut findings = Vec::new();
        for role in &mut spec.roles {
            if let Some(group) = &settings.member_of
                && role.is_user()
                && role.mode == Mode::Authoritative
                && role.name != *group
                && !role.memberships.iter().any(|edge| edge.role == *group)
            {
                role.memberships.push(Membership { until: settings.until, ..Membership::plain(group.as_str()) });
                role.memberships.sort();
                let message = format!("{:?} becomes a member of {group:?}", role.name);
                findings.push(Finding::info("membership-added", &role.path, message));
            }
            if let Some(Parameter { name, value }) = settings.parameter.as_ref().filter(|_| role.is_user()) {
                let setting = Setting { database: None, name: name.clone(), value: value.clone() };
                role.settings.retain(|other| other.name != *name || other.database.is_some());
                role.settings.push(setting);
            }
            if let Some(redirect) = settings.redirect.as_ref().filter(|redirect| redirect.user == role.name)
                && let Some(credential) = &mut role.credential
            {
                credential.secret.clone_from(&redirect.secret);
            }
            if settings.disown.as_ref() == Some(&role.name) {
                role.standing = Standing::Foreign;
            }
            if settings.restless {
                role.comment.get_or_insert_default().push('!');
            }
        }
        if let Some(role) = &settings.grab {
            for database in &mut spec.databases {
                database.owner = Some(role.clone());
            }
        }
        Ok(Transformed { spec: Some(spec), findings })
    }
}

rolewright_policy::export!(Transformer: transform);

#[cfg(test)]
mod tests {
    use rolewright_policy::Role;

    use super::*;

    #[test]
    fn every_user_becomes_a_member_once() {
        let settings = Settings { member_of: Some("staff".to_owned()), ..Settings::default() };
        let spec = Spec { roles: vec![Role::user("alice"), Role::group("staff")], ..Spec::default() };
        let context = Context::new(180_000);
        let once = Transformer::transform(&context, &settings, spec).unwrap().spec.unwrap();
        assert_eq!(once.roles[0].memberships, [Membership::plain("staff")]);
        assert!(once.roles[1].memberships.is_empty());
        let twice = Transformer::transform(&context, &settings, once.clone()).unwrap();
        assert_eq!((twice.spec, twice.findings.len()), (Some(once), 0));
    }
}
