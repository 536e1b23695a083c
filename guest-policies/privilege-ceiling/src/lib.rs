//! The policy `privilege-ceiling`: powers that reach beyond a database are for those on a list. It looks at the spec,
//! and at the plan once more, so that nothing slips in by way of another policy. A membership counts also by a detour.

use std::collections::{BTreeMap, BTreeSet};

use rolewright_policy::{
    Attributes, Catalog, Change, Context, Finding, Info, Policy, Review, Reviewed, Role, Selector, Spec, Step, Validate,
};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct PrivilegeCeiling;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Attributes that nobody may have, in the words of CREATE ROLE.
    pub attributes: Vec<String>,
    /// Roles that nobody may be a member of.
    pub roles: Vec<String>,
    /// Who may have what all the same.
    pub allowed: Vec<Allowed>,
}

/// An exception.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Who.
    pub who: Selector,
    /// Attributes and roles of the two lists.
    pub powers: Vec<String>,
}

/// Attributes by their keywords.
const ATTRIBUTES: [(&str, Attributes); 5] = [
    ("SUPERUSER", Attributes::SUPERUSER),
    ("CREATEDB", Attributes::CREATEDB),
    ("CREATEROLE", Attributes::CREATEROLE),
    ("REPLICATION", Attributes::REPLICATION),
    ("BYPASSRLS", Attributes::BYPASSRLS),
];

impl Default for Settings {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Settings {
            attributes: words(&["SUPERUSER", "CREATEROLE", "REPLICATION", "BYPASSRLS"]),
            // What reaches the operating system, or is as good as a superuser.
            roles: words(&[
                "pg_execute_server_program",
                "pg_read_server_files",
                "pg_write_server_files",
                "pg_read_all_data",
                "pg_write_all_data",
            ]),
            allowed: Vec::new(),
        }
    }
}

impl Policy for PrivilegeCeiling {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("privilege-ceiling", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, word) in settings.attributes.iter().enumerate() {
            if !ATTRIBUTES.iter().any(|(known, _)| known.eq_ignore_ascii_case(word)) {
                let known: Vec<&str> = ATTRIBUTES.iter().map(|(known, _)| *known).collect();
                let message = format!("{word:?} is no attribute that gives power");
                let finding = Finding::error("unknown-attribute", format!("/attributes/{index}"), message);
                findings.push(finding.help(format!("there are {}", known.join(", "))));
            }
        }
        for (index, allowed) in settings.allowed.iter().enumerate() {
            if allowed.who.is_empty() {
                let message = "this allows everybody what the lists above forbid";
                let finding = Finding::error("empty-exception", format!("/allowed/{index}/who"), message);
                findings.push(finding.help("name them, or take the power off the list"));
            }
            for (at, power) in allowed.powers.iter().enumerate() {
                if !settings.attributes.iter().any(|it| it.eq_ignore_ascii_case(power))
                    && !settings.roles.contains(power)
                {
                    let message = format!("{power:?} is on neither list, so it needs no exception");
                    findings.push(Finding::warning(
                        "needless-exception",
                        format!("/allowed/{index}/powers/{at}"),
                        message,
                    ));
                }
            }
        }
        findings
    }
}

impl Settings {
    fn allows(&self, role: &Role, power: &str) -> bool {
        let granted = |allowed: &Allowed| allowed.powers.iter().any(|it| it.eq_ignore_ascii_case(power));
        self.allowed.iter().any(|allowed| granted(allowed) && allowed.who.fits(role))
    }

    /// The forbidden powers among these attributes and these roles.
    fn beyond<'a>(&'a self, role: &Role, attributes: Attributes, member_of: &BTreeSet<&str>) -> Vec<&'a str> {
        let attribute = |word: &&String| {
            ATTRIBUTES.iter().any(|(known, flag)| known.eq_ignore_ascii_case(word) && attributes.contains(*flag))
        };
        let attributes = self.attributes.iter().filter(attribute);
        let roles = self.roles.iter().filter(|role| member_of.contains(role.as_str()));
        attributes.chain(roles).map(String::as_str).filter(|power| !self.allows(role, power)).collect()
    }

    fn refuse(role: &Role, power: &str, path: &str) -> Finding {
        Finding::error(
            "beyond-ceiling",
            path,
            format!("{:?} would have {power}, which is beyond the ceiling", role.name),
        )
        .help("do without it; or let the security team add an exception to `allowed`")
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

impl Validate for PrivilegeCeiling {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let roles: BTreeMap<&str, &Role> = spec.roles.iter().map(|role| (role.name.as_str(), role)).collect();
        let judged = spec.roles.iter().filter(|role| !role.name.starts_with("pg_"));
        let findings = judged.flat_map(|role| {
            let beyond = settings.beyond(role, role.attributes, &reach(role, &roles));
            beyond.into_iter().map(|power| Settings::refuse(role, power, &role.path)).collect::<Vec<_>>()
        });
        Ok(findings.collect())
    }
}

impl Review for PrivilegeCeiling {
    /// What a plan adds: of a role that exists, its labels are not known here, so an exception must be by name.
    fn review(_: &Context, settings: &Settings, actual: &Catalog, steps: &[Step]) -> Result<Reviewed, String> {
        let found: BTreeMap<&str, &Role> = actual.roles.iter().map(|role| (role.name.as_str(), role)).collect();
        let created: BTreeMap<&str, &Role> = steps
            .iter()
            .filter_map(|step| match &step.change {
                Change::CreateRole(role) => Some((role.name.as_str(), role)),
                _ => None,
            })
            .collect();
        let known = |name: &str| {
            created.get(name).or_else(|| found.get(name)).map_or_else(|| Role::group(name), |role| (*role).clone())
        };
        let mut findings = Vec::new();
        for step in steps {
            let (role, attributes, member_of) = match &step.change {
                Change::CreateRole(role) => {
                    let direct = role.memberships.iter().map(|edge| edge.role.as_str()).collect();
                    (role.clone(), role.attributes, direct)
                }
                Change::AlterRole(patch) => (known(&patch.name), patch.set, BTreeSet::new()),
                Change::GrantRole(edge) => {
                    (known(&edge.member), Attributes::empty(), BTreeSet::from([edge.membership.role.as_str()]))
                }
                _ => continue,
            };
            let beyond = settings.beyond(&role, attributes, &member_of);
            findings.extend(beyond.into_iter().map(|power| Settings::refuse(&role, power, &step.path)));
        }
        Ok(if findings.is_empty() { Reviewed::allow() } else { Reviewed::deny(findings) })
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(PrivilegeCeiling: validate, review);

#[cfg(test)]
mod tests {
    use rolewright_policy::{Edge, Membership, RolePatch, Verdict};

    use super::*;

    fn refused(settings: &str, roles: Vec<Role>) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let spec = Spec { roles, ..Spec::default() };
        let findings = PrivilegeCeiling::validate(&Context::new(180_000), &settings, &spec).unwrap();
        findings.into_iter().map(|finding| finding.message).collect()
    }

    fn superuser(name: &str) -> Role {
        let mut role = Role::user(name);
        role.attributes |= Attributes::SUPERUSER;
        role
    }

    #[test]
    fn attributes_and_memberships_beyond_the_ceiling_are_refused_also_by_a_detour() {
        let ops = Role::group("ops").member_of(["pg_write_server_files"]);
        let alice = Role::user("alice").member_of(["ops"]);
        let told = refused("{}", vec![alice, ops, superuser("bob"), Role::user("carol").member_of(["pg_monitor"])]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("\"alice\" would have pg_write_server_files"), "{told:?}");
        assert!(told[2].contains("\"bob\" would have SUPERUSER"), "{told:?}");
    }

    #[test]
    fn an_exception_is_for_those_it_names_and_for_what_it_names() {
        let settings = r#"{"allowed": [{"who": {"names": ["dba_*"]}, "powers": ["superuser"]}]}"#;
        assert!(refused(settings, vec![superuser("dba_ann")]).is_empty());
        assert_eq!(refused(settings, vec![superuser("ann")]).len(), 1);
        let mut both = superuser("dba_ann");
        both.attributes |= Attributes::BYPASSRLS;
        assert_eq!(refused(settings, vec![both]).len(), 1);
    }

    #[test]
    fn a_plan_is_looked_at_once_more() {
        let review = |change: Change| {
            let steps = [Step::new(change, "because", "/users/0")];
            let actual = Catalog { roles: vec![Role::user("alice")], databases: Vec::new() };
            PrivilegeCeiling::review(&Context::new(180_000), &Settings::default(), &actual, &steps).unwrap().verdict
        };
        let patch = |set: Attributes| RolePatch {
            name: "alice".to_owned(),
            set,
            clear: Attributes::empty(),
            connection_limit: None,
            valid_until: None,
            comment: None,
        };
        let edge = |role: &str| Edge { member: "alice".to_owned(), membership: Membership::plain(role) };
        assert_eq!(review(Change::CreateRole(superuser("bob"))), Verdict::Deny);
        assert_eq!(review(Change::AlterRole(patch(Attributes::BYPASSRLS))), Verdict::Deny);
        assert_eq!(review(Change::GrantRole(edge("pg_read_server_files"))), Verdict::Deny);
        assert_eq!(review(Change::RevokeRole(edge("pg_read_server_files"))), Verdict::Allow);
        assert_eq!(review(Change::GrantRole(edge("pg_monitor"))), Verdict::Allow);
        assert_eq!(review(Change::AlterRole(patch(Attributes::LOGIN))), Verdict::Allow);
    }

    #[test]
    fn settings_that_make_no_sense_are_told() {
        let text = r#"{"attributes": ["ROOT"], "allowed": [{"who": {}, "powers": ["pg_monitor"]}]}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let codes: Vec<String> = PrivilegeCeiling::check_settings(&settings).into_iter().map(|it| it.code).collect();
        assert_eq!(codes, ["unknown-attribute", "empty-exception", "needless-exception"]);
    }
}
