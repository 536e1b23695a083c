//! The policy `role-catalog`: which roles there are, who may be a member of each, and which two nobody may have
//! together (separation of duties). What comes by a detour, through roles that are members of roles, counts too.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Context, Finding, Info, Policy, Role, Selector, Spec, Validate};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct RoleCatalog;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// The roles that there are, and who each is for. Empty: any role may be used, by anybody.
    pub roles: BTreeMap<String, Entry>,
    /// Pairs of roles that nobody may have together.
    pub exclusive: Vec<[String; 2]>,
}

/// One role of the catalog.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    /// Who may be a member: one of these must fit; none: everybody.
    pub members: Vec<Selector>,
}

impl Policy for RoleCatalog {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("role-catalog", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, [one, other]) in settings.exclusive.iter().enumerate() {
            let path = format!("/exclusive/{index}");
            if one == other {
                findings.push(Finding::error("exclusive-pair", path, format!("{one:?} would exclude itself")));
                continue;
            }
            for role in [one, other] {
                if !settings.roles.is_empty() && !settings.roles.contains_key(role) {
                    let message = format!("{role:?} is not in the catalog, so this pair never matters");
                    findings.push(Finding::warning("exclusive-pair", &path, message).help("add it to `roles`"));
                }
            }
        }
        findings
    }
}

impl Validate for RoleCatalog {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let roles: BTreeMap<&str, &Role> = spec.roles.iter().map(|role| (role.name.as_str(), role)).collect();
        let mut findings = Vec::new();
        for role in &spec.roles {
            for edge in &role.memberships {
                findings.extend(settings.judge_edge(role, &edge.role));
            }
            let all = reach(role, &roles);
            for [one, other] in &settings.exclusive {
                if all.contains(one.as_str()) && all.contains(other.as_str()) {
                    let message =
                        format!("{:?} would have both {one:?} and {other:?}, which exclude each other", role.name);
                    findings.push(
                        Finding::error("exclusive-roles", &role.path, message)
                            .help("give them to two people; a role may also come by way of another role"),
                    );
                }
            }
        }
        Ok(findings)
    }
}

impl Settings {
    fn judge_edge(&self, member: &Role, role: &str) -> Option<Finding> {
        if self.roles.is_empty() {
            return None;
        }
        let Some(entry) = self.roles.get(role) else {
            let message = format!("{:?} would be a member of {role:?}, which is not in the role catalog", member.name);
            let known: Vec<&str> = self.roles.keys().map(String::as_str).collect();
            return Some(
                Finding::error("unknown-role", &member.path, message)
                    .help(format!("the catalog has: {}", known.join(", "))),
            );
        };
        if entry.members.is_empty() || entry.members.iter().any(|selector| selector.fits(member)) {
            return None;
        }
        let message = format!("{:?} may not be a member of {role:?}: the role catalog has it for others", member.name);
        Some(
            Finding::error("role-not-for-member", &member.path, message)
                .help("see `members` of this role in the catalog: a name or a label may be missing"),
        )
    }
}

/// All roles that somebody is a member of, by whatever way.
fn reach<'a>(role: &'a Role, roles: &BTreeMap<&str, &'a Role>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![role];
    while let Some(role) = open.pop() {
        for edge in &role.memberships {
            if reached.insert(edge.role.as_str()) {
                open.extend(roles.get(edge.role.as_str()));
            }
        }
    }
    reached
}

#[cfg(feature = "component")]
rolewright_policy::export!(RoleCatalog: validate);

#[cfg(test)]
mod tests {
    use rolewright_policy::Label;

    use super::*;

    fn codes(settings: &str, roles: Vec<Role>) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let spec = Spec { roles, ..Spec::default() };
        let findings = RoleCatalog::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| format!("{} {}", finding.code, finding.path)).collect()
    }

    const CATALOG: &str = r#"{"roles": {"reader": {}, "payer": {"members": [{"labels": {"team": "finance"}}]}},
        "exclusive": [["payer", "approver"]]}"#;

    #[test]
    fn only_roles_of_the_catalog_may_be_used() {
        let alice = Role::user("alice").at("/users/0").member_of(["reader", "writer"]);
        assert_eq!(codes(CATALOG, vec![alice]), ["unknown-role /users/0"]);
    }

    #[test]
    fn a_role_is_for_those_whom_it_names() {
        let mut alice = Role::user("alice").at("/users/0").member_of(["payer"]);
        assert_eq!(codes(CATALOG, vec![alice.clone()]), ["role-not-for-member /users/0"]);
        alice.labels = vec![Label { key: "team".to_owned(), value: "finance".to_owned() }];
        assert!(codes(CATALOG, vec![alice]).is_empty());
    }

    #[test]
    fn two_roles_that_exclude_each_other_are_found_also_by_a_detour() {
        let settings = r#"{"exclusive": [["payer", "approver"]]}"#;
        let lead = Role::group("lead").member_of(["approver"]);
        let alice = Role::user("alice").at("/users/0").member_of(["lead", "payer"]);
        let bob = Role::user("bob").at("/users/1").member_of(["payer"]);
        assert_eq!(codes(settings, vec![alice, bob, lead]), ["exclusive-roles /users/0"]);
    }

    #[test]
    fn a_circle_has_an_end() {
        let one = Role::group("one").member_of(["two"]);
        let two = Role::group("two").member_of(["one"]);
        assert!(codes(r#"{"exclusive": [["a", "b"]]}"#, vec![one, two]).is_empty());
    }

    #[test]
    fn a_pair_that_never_matters_is_a_warning_and_one_with_itself_an_error() {
        let settings: Settings =
            serde_json::from_str(r#"{"roles": {"a": {}}, "exclusive": [["a", "b"], ["a", "a"]]}"#).unwrap();
        let paths: Vec<String> =
            RoleCatalog::check_settings(&settings).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["/exclusive/0", "/exclusive/1"]);
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<RoleCatalog>();
    }
}
