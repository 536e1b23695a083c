//! The policy `role-catalog`: which roles there are, who may be a member of each, and which two nobody may have
//! together (separation of duties). What comes by a detour, through roles that are members of roles, counts too; also
//! where the detour is only on the server, so the spec is judged, and then the plan once more.

use std::collections::{BTreeMap, BTreeSet};

use rolewright_policy::graph::{Graph, Members};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{
    Catalog, Change, Context, Finding, Info, Policy, Review, Reviewed, Role, Selector, Spec, Step, Validate,
};
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
        let both = settings.both(&Graph::new(&spec.roles).members());
        let mut findings = Vec::new();
        for role in &spec.roles {
            for edge in &role.memberships {
                findings.extend(settings.judge_edge(role, &edge.role));
            }
            let held = both.iter().filter(|(_, holders)| holders.contains(role.name.as_str()));
            findings.extend(held.map(|(pair, _)| refuse(&role.name, pair, &role.path)));
        }
        Ok(findings)
    }
}

impl Review for RoleCatalog {
    /// Whoever would have both roles of a pair after the plan, and had not before. A pair that somebody has already
    /// is for the spec to end; no plan is kept from that.
    fn review(_: &Context, settings: &Settings, actual: &Catalog, steps: &[Step]) -> Result<Reviewed, String> {
        let gives =
            |step: &Step| matches!(step.change, Change::CreateRole(_) | Change::GrantRole(_) | Change::RenameRole(_));
        if settings.exclusive.is_empty() || !steps.iter().any(gives) {
            return Ok(Reviewed::allow());
        }
        let found = Graph::new(&actual.roles);
        let before = settings.both(&found.members());
        let after = settings.both(&found.after(steps).members());
        // The step that is about the role itself, if there is one, tells where the wish stands.
        let path_of = |name: &str| {
            let about = steps.iter().find(|step| match &step.change {
                Change::CreateRole(role) => role.name == name,
                Change::GrantRole(edge) => edge.member == name,
                _ => false,
            });
            about.map_or("", |step| step.path.as_str())
        };
        let risen = before.iter().zip(&after).flat_map(|((pair, before), (_, after))| {
            after.difference(before).filter(|name| !name.starts_with("pg_")).map(move |name| (*name, *pair))
        });
        let findings: Vec<Finding> = risen.map(|(name, pair)| refuse(name, pair, path_of(name))).collect();
        Ok(if findings.is_empty() { Reviewed::allow() } else { Reviewed::deny(findings) })
    }
}

/// Two roles that exclude each other.
type Pair = [String; 2];

fn refuse(name: &str, [one, other]: &Pair, path: &str) -> Finding {
    let message = format!("{name:?} would have both {one:?} and {other:?}, which exclude each other");
    Finding::error("exclusive-roles", path, message)
        .help("give them to two people; a role may also come by way of another role")
}

impl Settings {
    /// Who has both roles of each pair.
    fn both<'s, 'a>(&'s self, members: &Members<'a>) -> Vec<(&'s Pair, BTreeSet<&'a str>)> {
        let of = |role: &str| members.of([role]);
        self.exclusive.iter().map(|pair| (pair, &of(&pair[0]) & &of(&pair[1]))).collect()
    }

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

#[cfg(feature = "component")]
rolewright_policy::export!(RoleCatalog: validate, review);

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
    fn a_pair_that_arises_by_a_detour_on_the_server_only_is_found_in_the_plan() {
        let settings: Settings = serde_json::from_str(r#"{"exclusive": [["payer", "approver"]]}"#).unwrap();
        let actual = Catalog {
            roles: vec![
                Role::user("alice").member_of(["payer"]),
                Role::user("bob").member_of(["payer", "approver"]),
                Role::group("lead").member_of(["approver"]),
                Role::user("zoe").member_of(["payer"]),
            ],
            databases: Vec::new(),
        };
        let grant = |member: &str, role: &str| {
            let membership = rolewright_policy::Membership::plain(role);
            let change = Change::GrantRole(rolewright_policy::Edge { member: member.to_owned(), membership });
            Step::new(change, "declared", format!("/users/{member}"))
        };
        let told = |steps: &[Step]| {
            let reviewed = RoleCatalog::review(&Context::new(180_000), &settings, &actual, steps).unwrap();
            let paths: Vec<String> = reviewed.findings.into_iter().map(|finding| finding.path).collect();
            (reviewed.verdict == rolewright_policy::Verdict::Deny, paths)
        };
        assert_eq!(told(&[grant("alice", "lead")]), (true, vec!["/users/alice".to_owned()]));
        // She rises with a role that she is in, and no step is about her.
        assert_eq!(told(&[grant("payer", "lead")]), (true, vec![String::new(), String::new()]));
        // Bob has both already, and no plan is kept from going on.
        assert_eq!(told(&[grant("bob", "lead"), grant("alice", "reader")]), (false, vec![]));
        let created = Role::user("carol").member_of(["lead", "payer"]);
        assert_eq!(
            told(&[Step::new(Change::CreateRole(created), "", "/users/9")]),
            (true, vec!["/users/9".to_owned()])
        );
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
