//! The policy `privilege-ceiling`: powers that reach beyond a database are for those on a list. It looks at the spec,
//! and at the plan once more, so that nothing slips in by way of another policy, or of a group that is already on the
//! server and that no spec tells of. A power counts also by a detour; [`Graph`] knows the ways.

use std::collections::{BTreeMap, BTreeSet};

use rolewright_policy::graph::{Graph, is_of_use};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{
    Attributes, Catalog, Change, Context, Finding, Info, Membership, Policy, Review, Reviewed, Role, Selector, Spec,
    Step, Validate,
};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct PrivilegeCeiling;

/// What stands under `settings:` in the chain.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Attributes that nobody may have, in the words of CREATE ROLE.
    #[cfg_attr(test, schemars(extend("items" = tests::attribute())))]
    pub attributes: Vec<String>,
    /// Roles that nobody may be a member of.
    pub roles: Vec<String>,
    /// Who may have what all the same.
    pub allowed: Vec<Allowed>,
}

/// An exception.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize, JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Who it is.
    pub who: Selector,
    /// What they may have: attributes and roles of the two lists.
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

    /// The powers of both lists, by the words that the settings use for them.
    fn powers(&self) -> impl Iterator<Item = (&str, Power<'_>)> {
        let attributes = self.attributes.iter().filter_map(|word| {
            let (_, flag) = ATTRIBUTES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?;
            Some((word.as_str(), Power::Attribute(*flag)))
        });
        attributes.chain(self.roles.iter().map(|role| (role.as_str(), Power::Role(role))))
    }

    /// Those of the powers that somebody has among these, and so others may have through them. Mostly there are none,
    /// and nothing is left to do.
    fn powers_of(&self, sources: &[(Attributes, &[Membership])]) -> Vec<(&str, Power<'_>)> {
        let direct = |(_, power): &(&str, Power<'_>)| {
            sources.iter().any(|(attributes, memberships)| power.is_direct(*attributes, memberships))
        };
        self.powers().filter(direct).collect()
    }
}

/// What a role has by itself.
fn of_itself(role: &Role) -> (Attributes, &[Membership]) {
    (role.attributes, &role.memberships)
}

/// What a step gives to a role.
fn given(step: &Step) -> Option<(&str, Attributes, &[Membership])> {
    match &step.change {
        Change::CreateRole(role) => Some((&role.name, role.attributes, &role.memberships)),
        Change::AlterRole(patch) => Some((&patch.name, patch.set, &[])),
        Change::GrantRole(edge) => Some((&edge.member, Attributes::empty(), std::slice::from_ref(&edge.membership))),
        _ => None,
    }
}

/// Everyone who has one of the powers.
fn holders<'a>(powers: &[(&'a str, Power<'a>)], graph: &Graph<'a>) -> Vec<Held<'a>> {
    let members = graph.members();
    let held = |(word, power): &(&'a str, Power<'a>)| Held {
        word,
        power: *power,
        holders: match power {
            Power::Role(role) => members.of([*role]),
            Power::Attribute(flag) => {
                let direct: Vec<&str> = graph.with(*flag).collect();
                let mut all = members.of(direct.iter().copied());
                all.extend(direct);
                all
            }
        },
    };
    powers.iter().map(held).collect()
}

/// Something that the ceiling may be about.
#[derive(Debug, Clone, Copy)]
enum Power<'a> {
    /// The role itself has it, or it can become a role that has it.
    Attribute(Attributes),
    /// Membership in this role.
    Role(&'a str),
}

impl Power<'_> {
    /// Whether these bring it by themselves. A power that nobody has so, nobody has at all.
    fn is_direct(self, attributes: Attributes, memberships: &[Membership]) -> bool {
        match self {
            Power::Attribute(flag) => attributes.contains(flag),
            Power::Role(role) => memberships.iter().any(|membership| membership.role == role),
        }
    }
}

/// A power, and who has it.
struct Held<'a> {
    word: &'a str,
    power: Power<'a>,
    holders: BTreeSet<&'a str>,
}

impl Held<'_> {
    /// Whether the attributes themselves bring the power.
    fn is_among(&self, attributes: Attributes) -> bool {
        matches!(self.power, Power::Attribute(flag) if attributes.contains(flag))
    }

    /// Whether a membership in this role brings it.
    fn comes_with(&self, role: &str) -> bool {
        matches!(self.power, Power::Role(power) if power == role) || self.holders.contains(role)
    }

    /// The first of these memberships that brings it.
    fn way<'m>(&self, memberships: &'m [Membership]) -> Option<&'m str> {
        let mut useful = memberships.iter().filter(|membership| is_of_use(membership));
        useful.find(|membership| self.comes_with(&membership.role)).map(|membership| membership.role.as_str())
    }

    fn refuse(&self, name: &str, through: Option<&str>, path: &str) -> Finding {
        let word = self.word;
        let through = through.filter(|role| *role != word).map(|role| format!(" through {role:?}")).unwrap_or_default();
        let message = format!("{name:?} would have {word}{through}, which is beyond the ceiling");
        Finding::error("beyond-ceiling", path, message)
            .help("do without it; or let the security team add an exception to `allowed`")
    }
}

impl Validate for PrivilegeCeiling {
    fn validate(_: &Context, settings: &Settings, spec: &Spec) -> Result<Vec<Finding>, String> {
        let powers = settings.powers_of(&spec.roles.iter().map(of_itself).collect::<Vec<_>>());
        if powers.is_empty() {
            return Ok(Vec::new());
        }
        let held = holders(&powers, &Graph::new(&spec.roles));
        let judged = spec.roles.iter().filter(|role| !role.name.starts_with("pg_"));
        let findings = judged.flat_map(|role| {
            let beyond = held
                .iter()
                .filter(|held| held.holders.contains(role.name.as_str()) && !settings.allows(role, held.word));
            beyond.map(|held| {
                let through = if held.is_among(role.attributes) { None } else { held.way(&role.memberships) };
                held.refuse(&role.name, through, &role.path)
            })
        });
        Ok(findings.collect())
    }
}

impl Review for PrivilegeCeiling {
    /// What a plan adds: to the roles that its steps are about, and to all who are above them. Of a role that exists,
    /// its labels are not known here, so an exception must be by name.
    fn review(_: &Context, settings: &Settings, actual: &Catalog, steps: &[Step]) -> Result<Reviewed, String> {
        let found = actual.roles.iter().map(of_itself);
        let sources = found.chain(steps.iter().filter_map(given).map(|(_, attributes, of)| (attributes, of)));
        // A role may be renamed to what the list names.
        let renamed = steps.iter().any(|step| matches!(step.change, Change::RenameRole(_)));
        let powers =
            if renamed { settings.powers().collect() } else { settings.powers_of(&sources.collect::<Vec<_>>()) };
        if powers.is_empty() {
            return Ok(Reviewed::allow());
        }
        let created = steps.iter().filter_map(|step| match &step.change {
            Change::CreateRole(role) => Some(role),
            _ => None,
        });
        let known: BTreeMap<&str, &Role> =
            actual.roles.iter().chain(created).map(|role| (role.name.as_str(), role)).collect();
        let allows = |name: &str, power: &str| match known.get(name) {
            Some(role) => settings.allows(role, power),
            None => settings.allows(&Role::group(name), power),
        };
        let found = Graph::new(&actual.roles);
        let before = holders(&powers, &found);
        let after = holders(&powers, &found.clone().after(steps));

        let mut findings = Vec::new();
        let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
        for step in steps {
            let Some((name, attributes, memberships)) = given(step) else { continue };
            for held in &after {
                let through = if held.is_among(attributes) { None } else { held.way(memberships) };
                if (held.is_among(attributes) || through.is_some())
                    && !allows(name, held.word)
                    && told.insert((name, held.word))
                {
                    findings.push(held.refuse(name, through, &step.path));
                }
            }
        }
        // Whoever is a member of a role that rises rises with it, and has no step that says so.
        for (before, after) in before.iter().zip(&after) {
            for name in after.holders.difference(&before.holders).filter(|name| !name.starts_with("pg_")) {
                if !allows(name, after.word) && told.insert((name, after.word)) {
                    findings.push(after.refuse(name, None, ""));
                }
            }
        }
        Ok(if findings.is_empty() { Reviewed::allow() } else { Reviewed::deny(findings) })
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(PrivilegeCeiling: validate, review);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rolewright_policy::{Edge, Rename, RolePatch, Verdict};

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

    fn review(settings: &str, actual: Vec<Role>, changes: Vec<Change>) -> Vec<String> {
        let settings: Settings = serde_json::from_str(settings).unwrap();
        let actual = Catalog { roles: actual, databases: Vec::new() };
        let steps: Vec<Step> = changes.into_iter().map(|change| Step::new(change, "because", "/users/0")).collect();
        let reviewed = PrivilegeCeiling::review(&Context::new(180_000), &settings, &actual, &steps).unwrap();
        assert_eq!(reviewed.verdict == Verdict::Allow, reviewed.findings.is_empty());
        reviewed.findings.into_iter().map(|finding| format!("{} {}", finding.path, finding.message)).collect()
    }

    fn join(member: &str, role: &str) -> Change {
        Change::GrantRole(Edge { member: member.to_owned(), membership: Membership::plain(role) })
    }

    #[test]
    fn a_group_on_the_server_is_no_detour() {
        let ops = || Role::group("ops").member_of(["pg_write_server_files"]);
        let expected =
            "/users/0 \"alice\" would have pg_write_server_files through \"ops\", which is beyond the ceiling";
        let new = Change::CreateRole(Role::user("alice").member_of(["ops"]));
        assert_eq!(review("{}", vec![ops()], vec![new]), [expected]);
        assert_eq!(review("{}", vec![ops(), Role::user("alice")], vec![join("alice", "ops")]), [expected]);
    }

    #[test]
    fn a_member_of_a_superuser_can_become_one() {
        let dba = Role { attributes: Attributes::SUPERUSER, ..Role::group("dba") };
        let told = review("{}", vec![dba.clone(), Role::user("alice")], vec![join("alice", "dba")]);
        assert_eq!(told, ["/users/0 \"alice\" would have SUPERUSER through \"dba\", which is beyond the ceiling"]);
        assert_eq!(refused("{}", vec![Role::user("alice").member_of(["root"]), superuser("root")]).len(), 2);
    }

    #[test]
    fn who_is_above_a_role_rises_with_it() {
        let settings = r#"{"allowed": [{"who": {"names": ["ops"]}, "powers": ["pg_read_all_data"]}]}"#;
        let actual = || vec![Role::user("alice").member_of(["ops"]), Role::group("ops")];
        let told = review(settings, actual(), vec![join("ops", "pg_read_all_data")]);
        assert_eq!(told, [" \"alice\" would have pg_read_all_data, which is beyond the ceiling"]);
    }

    #[test]
    fn what_was_there_before_and_what_goes_are_no_additions() {
        let actual = || vec![superuser("bob"), Role::user("alice").member_of(["ops"]), Role::group("ops")];
        assert!(
            review("{}", actual(), vec![Change::SetPassword("bob".to_owned()), join("alice", "pg_monitor")]).is_empty()
        );
        let idle = Membership { inherit: false, set: false, ..Membership::plain("pg_read_all_data") };
        let edge = Edge { member: "alice".to_owned(), membership: idle };
        assert!(review("{}", actual(), vec![Change::GrantRole(edge)]).is_empty());
    }

    #[test]
    fn a_new_name_brings_no_exception_along() {
        let settings = r#"{"allowed": [{"who": {"names": ["dba_*"]}, "powers": ["SUPERUSER"]}]}"#;
        let rename = |to: &str| Change::RenameRole(Rename { from: "dba_ann".to_owned(), to: to.to_owned() });
        assert_eq!(review(settings, vec![superuser("dba_ann")], vec![rename("ann")]).len(), 1);
        assert!(review(settings, vec![superuser("dba_ann")], vec![rename("dba_eve")]).is_empty());
        let group = vec![Role::user("alice").member_of(["dba_ann"]), Role::group("dba_ann")];
        assert_eq!(review(r#"{"roles": ["root"]}"#, group, vec![rename("root")]).len(), 1);
    }

    #[test]
    fn circles_end() {
        let roles = vec![Role::user("a").member_of(["b"]), Role::user("b").member_of(["a"])];
        assert!(refused("{}", roles.clone()).is_empty());
        assert_eq!(review("{}", roles, vec![join("a", "pg_read_all_data")]).len(), 2);
    }

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "dba_e", "pg_read_all_data"];

    /// What a role comes to, walked from the role upwards: another way than the policy's.
    fn comes_to(roles: &[Role], name: &str) -> BTreeSet<String> {
        let (mut powers, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = open.pop() {
            let Some(role) = roles.iter().find(|role| role.name == name) else { continue };
            if role.attributes.contains(Attributes::SUPERUSER) {
                powers.insert("SUPERUSER".to_owned());
            }
            for edge in &role.memberships {
                if edge.role == "pg_read_all_data" {
                    powers.insert(edge.role.clone());
                }
                if seen.insert(edge.role.clone()) {
                    open.push(edge.role.clone());
                }
            }
        }
        powers
    }

    proptest! {
        /// The law: a plan is let through exactly if it gives a power to nobody but those on the list, and if none of
        /// its steps gives one once more.
        #[test]
        fn a_plan_that_is_let_through_raises_nobody(
            edges in proptest::collection::btree_set((0..5usize, 0..6usize), 0..8),
            supers in proptest::collection::btree_set(0..5usize, 0..2),
            added in proptest::collection::btree_set((0..5usize, 0..6usize), 1..4),
        ) {
            let roles = |edges: &BTreeSet<(usize, usize)>| -> Vec<Role> {
                let role = |(index, name): (usize, &&str)| {
                    let mut role = if supers.contains(&index) { superuser(name) } else { Role::user(*name) };
                    let of = edges.iter().filter(|(member, _)| *member == index);
                    role.memberships = of.map(|(_, role)| Membership::plain(NAMES[*role])).collect();
                    role
                };
                NAMES.iter().enumerate().map(role).collect()
            };
            let new: BTreeSet<_> = added.difference(&edges).copied().collect();
            let (before, after) = (roles(&edges), roles(&edges.union(&new).copied().collect()));
            let exception = r#"{"allowed": [{"who": {"names": ["dba_*"]}, "powers": ["SUPERUSER", "pg_read_all_data"]}]}"#;
            let steps = new.iter().map(|(member, role)| join(NAMES[*member], NAMES[*role])).collect();
            let told = review(exception, before.clone(), steps);

            let judged = ["a", "b", "c", "d"];
            let raised = judged.iter().any(|name| !comes_to(&after, name).is_subset(&comes_to(&before, name)));
            let once_more = new.iter().any(|(member, role)| {
                *member < 4 && (NAMES[*role] == "pg_read_all_data" || !comes_to(&after, NAMES[*role]).is_empty())
            });
            prop_assert_eq!(!told.is_empty(), raised || once_more, "{:?}", told);
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_told() {
        let text = r#"{"attributes": ["ROOT"], "allowed": [{"who": {}, "powers": ["pg_monitor"]}]}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        let codes: Vec<String> = PrivilegeCeiling::check_settings(&settings).into_iter().map(|it| it.code).collect();
        assert_eq!(codes, ["unknown-attribute", "empty-exception", "needless-exception"]);
    }

    /// What the schema says of an attribute: a word in either case. The policy takes `SuperUser` as well, and nobody
    /// writes it so.
    pub(super) fn attribute() -> serde_json::Value {
        let words = ATTRIBUTES.iter().map(|(word, _)| (*word).to_owned());
        let words: Vec<String> = words.clone().chain(words.map(|word| word.to_lowercase())).collect();
        serde_json::json!({"type": "string", "enum": words})
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<PrivilegeCeiling>();
    }
}
