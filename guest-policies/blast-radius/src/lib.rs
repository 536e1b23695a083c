//! The policy `blast-radius`: a plan that touches many users at once is more often a mistake than a wish. It is held
//! until somebody approves it. The host's own limit on removals is beside this one, not in its place.
//!
//! What a role loses, all lose who are members of it. So a step that takes something from a group touches its members on
//! the server, by whatever way they are members.

use std::collections::BTreeSet;

use rolewright_policy::graph::{Graph, Members};
#[cfg(test)]
use rolewright_policy::schemars::JsonSchema;
use rolewright_policy::{Catalog, Change, Context, Finding, Info, Policy, Review, Reviewed, Risk, Standing, Step};
use serde::Deserialize;

/// The policy.
#[derive(Debug)]
pub struct BlastRadius;

/// What stands under `settings:` in the chain. Shares are in percent of the managed users on the server.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Percent of the managed users that a plan may touch in any way.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub touched: u8,
    /// Percent of the managed users that may lose something.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub disruptive: u8,
    /// Percent of the managed users to whom something may happen that cannot be undone.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub destructive: u8,
    /// So many users never hold a plan, whatever their share: a small server has large shares.
    pub at_least: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { touched: 50, disruptive: 20, destructive: 5, at_least: 3 }
    }
}

impl Policy for BlastRadius {
    type Settings = Settings;

    fn info() -> Info {
        Info::new("blast-radius", env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"))
            .settings_schema(include_str!("../settings.schema.json"))
    }

    fn check_settings(settings: &Settings) -> Vec<Finding> {
        let shares =
            [("touched", settings.touched), ("disruptive", settings.disruptive), ("destructive", settings.destructive)];
        let beyond = shares.into_iter().filter(|(_, share)| *share > 100);
        beyond
            .map(|(name, share)| {
                Finding::error("beyond-all", format!("/{name}"), format!("{share} percent are more than all"))
                    .help("write 0 to 100; 100 never holds a plan")
            })
            .collect()
    }
}

/// The role that a step is about, if it is one that may exist; a privilege may also be PUBLIC's.
fn named(change: &Change) -> Option<&str> {
    match change {
        Change::AlterRole(patch) => Some(&patch.name),
        Change::RenameRole(rename) => Some(&rename.from),
        Change::SetPassword(role) | Change::ClearPassword(role) => Some(role),
        Change::GrantRole(edge) | Change::RevokeRole(edge) => Some(&edge.member),
        Change::GrantPrivilege(grant) | Change::RevokePrivilege(grant) => grant.role.as_deref(),
        Change::SetSetting(setting) | Change::ResetSetting(setting) => Some(&setting.role),
        Change::DropRole(removal) => Some(&removal.name),
        Change::CreateRole(_) | Change::CreateDatabase(_) | Change::AlterDatabase(_) | Change::RunScript(_) => None,
    }
}

/// Whether members of the role lose something as well. A password, a setting or a limit is the role's alone, and its new
/// name nothing that they miss.
fn takes_from_members(change: &Change) -> bool {
    match change {
        Change::AlterRole(patch) => !patch.clear.is_empty(),
        Change::RevokeRole(_) | Change::RevokePrivilege(_) | Change::DropRole(_) => true,
        _ => false,
    }
}

/// All roles that these steps touch; members lose with a role that loses something.
fn touched<'a>(steps: &[&'a Step], members: &Members<'a>) -> BTreeSet<&'a str> {
    let losing = steps.iter().filter(|step| takes_from_members(&step.change));
    let mut touched = members.of(losing.filter_map(|step| named(&step.change)));
    touched.extend(steps.iter().filter_map(|step| named(&step.change)));
    touched
}

impl Review for BlastRadius {
    fn review(_: &Context, settings: &Settings, actual: &Catalog, steps: &[Step]) -> Result<Reviewed, String> {
        let managed = actual.roles.iter().filter(|role| role.standing == Standing::Managed && role.is_user());
        let users: BTreeSet<&str> = managed.map(|role| role.name.as_str()).collect();
        // Mostly nobody loses anything, and then it does not matter who is a member of what.
        let matters = steps.iter().any(|step| takes_from_members(&step.change));
        let members = if matters { Graph::new(&actual.roles).members() } else { Members::default() };
        let hit = |risks: &[Risk]| -> BTreeSet<&str> {
            let steps: Vec<&Step> = steps.iter().filter(|step| risks.contains(&step.risk)).collect();
            touched(&steps, &members).intersection(&users).copied().collect()
        };
        let limits = [
            ("touched", hit(&[Risk::Safe, Risk::Disruptive, Risk::Destructive]), settings.touched),
            ("disruptive", hit(&[Risk::Disruptive, Risk::Destructive]), settings.disruptive),
            ("destructive", hit(&[Risk::Destructive]), settings.destructive),
        ];
        let findings: Vec<Finding> = limits
            .into_iter()
            .filter(|(_, hit, share)| {
                hit.len() > settings.at_least && hit.len() * 100 > users.len() * usize::from(*share)
            })
            .map(|(kind, hit, share)| {
                let what = match kind {
                    "touched" => "touches",
                    "disruptive" => "takes something from",
                    _ => "does what cannot be undone to",
                };
                let message = format!(
                    "the plan {what} {} of {} managed users, and more than {share} percent are held",
                    hit.len(),
                    users.len()
                );
                Finding::warning("blast-radius", "", message).help("look through it, and approve it by its digest")
            })
            .collect();
        Ok(if findings.is_empty() { Reviewed::allow() } else { Reviewed::hold(findings) })
    }
}

#[cfg(feature = "component")]
rolewright_policy::export!(BlastRadius: review);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rolewright_policy::{
        Attributes, Edge, Grant, Membership, Removal, Rename, Role, RoleGrant, RolePatch, RoleSetting, Setting, Verdict,
    };

    use super::*;

    fn grant(member: &str) -> Change {
        Change::GrantRole(Edge { member: member.to_owned(), membership: Membership::plain("reader") })
    }

    fn verdict(settings: &Settings, users: usize, change: impl Fn(String) -> Change, hit: usize) -> Reviewed {
        let name = |number: usize| format!("u{number}");
        let roles = (0..users).map(|number| Role::user(name(number))).collect();
        let steps: Vec<Step> = (0..hit).map(|number| Step::new(change(name(number)), "because", "")).collect();
        let actual = Catalog { roles, databases: Vec::new() };
        BlastRadius::review(&Context::new(180_000), settings, &actual, &steps).unwrap()
    }

    #[test]
    fn a_plan_within_its_share_runs_and_one_more_is_held() {
        let settings = Settings::default();
        assert_eq!(verdict(&settings, 100, |name| grant(&name), 50).verdict, Verdict::Allow);
        let held = verdict(&settings, 100, |name| grant(&name), 51);
        assert_eq!(held.verdict, Verdict::Hold);
        assert!(held.findings[0].message.contains("51 of 100"), "{}", held.findings[0].message);
    }

    #[test]
    fn what_takes_away_and_what_cannot_be_undone_have_limits_of_their_own() {
        let settings = Settings::default();
        let drop = |name| Change::DropRole(Removal { name, reassign_to: None });
        assert_eq!(verdict(&settings, 100, drop, 5).verdict, Verdict::Allow);
        assert_eq!(verdict(&settings, 100, drop, 6).verdict, Verdict::Hold);
        assert_eq!(verdict(&settings, 100, Change::SetPassword, 20).verdict, Verdict::Allow);
        assert_eq!(verdict(&settings, 100, Change::SetPassword, 21).verdict, Verdict::Hold);
        assert_eq!(verdict(&settings, 100, drop, 60).findings.len(), 3);
    }

    #[test]
    fn a_few_users_never_hold_a_plan() {
        let drop = |name| Change::DropRole(Removal { name, reassign_to: None });
        assert_eq!(verdict(&Settings::default(), 3, drop, 3).verdict, Verdict::Allow);
        assert_eq!(verdict(&Settings { at_least: 2, ..Settings::default() }, 3, drop, 3).verdict, Verdict::Hold);
    }

    #[test]
    fn a_first_plan_on_an_empty_server_is_not_held() {
        let create = |name: String| Change::CreateRole(Role::user(name));
        assert_eq!(verdict(&Settings::default(), 0, create, 1_000).verdict, Verdict::Allow);
        assert_eq!(verdict(&Settings::default(), 0, |name| grant(&name), 1_000).verdict, Verdict::Allow);
    }

    #[test]
    fn one_user_with_many_steps_counts_once() {
        let settings = Settings { at_least: 0, touched: 10, ..Settings::default() };
        let steps: Vec<Step> = (0..20).map(|_| Step::new(grant("u0"), "because", "")).collect();
        let roles = (0..10).map(|number| Role::user(format!("u{number}"))).collect();
        let actual = Catalog { roles, databases: Vec::new() };
        let reviewed = BlastRadius::review(&Context::new(180_000), &settings, &actual, &steps).unwrap();
        assert_eq!(reviewed.verdict, Verdict::Allow);
    }

    #[test]
    fn more_than_all_is_refused() {
        let settings = Settings { destructive: 101, ..Settings::default() };
        assert_eq!(BlastRadius::check_settings(&settings)[0].path, "/destructive");
    }

    fn edge(member: &str, role: &str) -> Edge {
        Edge { member: member.to_owned(), membership: Membership::plain(role) }
    }

    fn drop(name: &str) -> Change {
        Change::DropRole(Removal { name: name.to_owned(), reassign_to: None })
    }

    fn connect(role: Option<&str>) -> RoleGrant {
        RoleGrant { role: role.map(str::to_owned), grant: Grant::connect("shop") }
    }

    fn patch(name: &str) -> RolePatch {
        let none = Attributes::empty();
        let name = name.to_owned();
        RolePatch { name, set: none, clear: none, connection_limit: None, valid_until: None, comment: None }
    }

    /// Ten users, of whom u0 to u3 are members of `staff`, which is a member of `reader`; u4 is one of `reader` itself,
    /// and u5 without any option. `reader` and `staff` are members of each other.
    fn company() -> Catalog {
        let mut roles: Vec<Role> = (0..10).map(|number| Role::user(format!("u{number}"))).collect();
        roles[..4].iter_mut().for_each(|user| user.memberships = vec![Membership::plain("staff")]);
        roles[4].memberships = vec![Membership::plain("reader")];
        roles[5].memberships = vec![Membership { inherit: false, set: false, ..Membership::plain("reader") }];
        roles.push(Role::group("staff").member_of(["reader"]));
        roles.push(Role::group("reader").member_of(["staff"]));
        Catalog { roles, databases: Vec::new() }
    }

    /// How many of the ten users these changes touch.
    fn count(changes: Vec<Change>) -> usize {
        let steps: Vec<Step> = changes.into_iter().map(|change| Step::new(change, "because", "")).collect();
        let never = Settings { touched: 0, disruptive: 100, destructive: 100, at_least: 0 };
        let told = BlastRadius::review(&Context::new(180_000), &never, &company(), &steps).unwrap();
        let count = |finding: &Finding| finding.message.split(' ').nth(3).unwrap().parse().unwrap();
        told.findings.first().map_or(0, count)
    }

    #[test]
    fn what_a_group_loses_its_members_lose_by_whatever_way_they_are_members() {
        for change in [
            drop("reader"),
            Change::RevokeRole(edge("reader", "pg_read_all_data")),
            Change::RevokePrivilege(connect(Some("reader"))),
            Change::AlterRole(RolePatch { clear: Attributes::CREATEDB, ..patch("reader") }),
            drop("staff"),
        ] {
            assert_eq!(count(vec![change.clone()]), 5, "{change:?}");
        }
        assert_eq!(count(vec![drop("reader"), grant("u0"), grant("u9")]), 6);
        assert_eq!(count(vec![drop("u0")]), 1);
    }

    #[test]
    fn what_a_group_is_given_and_what_is_its_own_touches_none_of_its_members() {
        let limit = RolePatch { valid_until: Some(rolewright_policy::Expiry::Never), ..patch("reader") };
        let set = RolePatch { set: Attributes::CREATEDB, ..patch("reader") };
        let rename = Rename { from: "reader".to_owned(), to: "readers".to_owned() };
        let changes = vec![
            Change::GrantRole(edge("reader", "pg_monitor")),
            Change::GrantPrivilege(connect(Some("reader"))),
            Change::AlterRole(limit),
            Change::AlterRole(set),
            Change::RenameRole(rename),
            Change::ClearPassword("reader".to_owned()),
        ];
        assert_eq!(count(changes), 0);
    }

    #[test]
    fn what_everybody_loses_and_what_nobody_has_yet_is_not_counted() {
        assert_eq!(count(vec![Change::RevokePrivilege(connect(None))]), 0);
        assert_eq!(count(vec![drop("writer"), Change::GrantRole(edge("u9", "writer"))]), 1);
    }

    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

    /// A role of the law: who it is, and whom it is a member of, with whether the edge is of use.
    type Known = (bool, Standing, Vec<(usize, bool)>);

    fn roles() -> impl Strategy<Value = Vec<Known>> {
        let standing =
            prop_oneof![4 => Just(Standing::Managed), 1 => Just(Standing::Foreign), 1 => Just(Standing::Protected)];
        let edges = proptest::collection::vec((0..NAMES.len(), proptest::bool::weighted(0.8)), 0..3);
        proptest::collection::vec((proptest::bool::weighted(0.7), standing, edges), NAMES.len())
    }

    /// Something that a step does to a role: whether it is about the role, and whether it takes something away.
    type Kind = (bool, bool, fn(&str) -> Change);

    const KINDS: [Kind; 13] = [
        (true, false, |name| Change::GrantRole(edge(name, "x"))),
        (true, true, |name| Change::RevokeRole(edge(name, "x"))),
        (true, false, |name| Change::GrantPrivilege(connect(Some(name)))),
        (true, true, |name| Change::RevokePrivilege(connect(Some(name)))),
        (true, false, |name| Change::AlterRole(RolePatch { set: Attributes::CREATEDB, ..patch(name) })),
        (true, true, |name| Change::AlterRole(RolePatch { clear: Attributes::CREATEDB, ..patch(name) })),
        (true, false, |name| Change::RenameRole(Rename { from: name.to_owned(), to: "x".to_owned() })),
        (true, false, |name| Change::SetPassword(name.to_owned())),
        (true, false, |name| {
            let setting = Setting { database: None, name: "search_path".to_owned(), value: String::new() };
            Change::ResetSetting(RoleSetting { role: name.to_owned(), setting })
        }),
        (true, true, drop),
        (false, false, |name| Change::CreateRole(Role::user(name))),
        (false, false, |_| Change::RevokePrivilege(connect(None))),
        (false, false, |name| Change::RunScript(name.to_owned())),
    ];

    const RISKS: [Risk; 3] = [Risk::Safe, Risk::Disruptive, Risk::Destructive];

    /// Whether a role is one of the others, or a member of one of them: walked upwards, along every path.
    fn comes_to(roles: &[Known], role: usize, others: &[usize], steps_left: usize) -> bool {
        let up = || roles[role].2.iter().filter(|(_, of_use)| *of_use);
        others.contains(&role)
            || (steps_left > 0 && up().any(|(above, _)| comes_to(roles, *above, others, steps_left - 1)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// The law: a plan is held exactly if the managed users that it touches, each asked for by itself, are more than
        /// `at-least`, and more than their share, for one of the three kinds of harm.
        #[test]
        fn a_plan_is_held_exactly_if_it_touches_too_many(
            roles in roles(),
            steps in proptest::collection::vec((0..NAMES.len(), 0..KINDS.len(), 0..3usize), 0..6),
            (touched, disruptive, destructive) in (0..=100u8, 0..=100u8, 0..=100u8),
            at_least in 0..4usize,
        ) {
            let known = |(index, (login, standing, edges)): (usize, &Known)| {
                let role = if *login { Role::user(NAMES[index]) } else { Role::group(NAMES[index]) };
                let edge = |(role, of_use): &(usize, bool)| {
                    Membership { inherit: *of_use, set: false, ..Membership::plain(NAMES[*role]) }
                };
                Role { standing: *standing, memberships: edges.iter().map(edge).collect(), ..role }
            };
            let actual = Catalog { roles: roles.iter().enumerate().map(known).collect(), databases: Vec::new() };
            let step = |(role, kind, risk): &(usize, usize, usize)| {
                let change = KINDS[*kind].2(NAMES[*role]);
                Step { change, risk: RISKS[*risk], reason: String::new(), path: String::new() }
            };
            let plan: Vec<Step> = steps.iter().map(step).collect();
            let settings = Settings { touched, disruptive, destructive, at_least };
            let told = BlastRadius::review(&Context::new(180_000), &settings, &actual, &plan).unwrap();

            let users = (0..NAMES.len()).filter(|it| roles[*it].0 && roles[*it].1 == Standing::Managed);
            let users: Vec<usize> = users.collect();
            let mut expected = Vec::new();
            for (least, share) in [touched, disruptive, destructive].into_iter().enumerate() {
                let hit = users.iter().filter(|user| {
                    steps.iter().filter(|(_, _, risk)| *risk >= least).any(|(role, kind, _)| {
                        let (names, takes, _) = KINDS[*kind];
                        (names && role == *user) || (takes && comes_to(&roles, **user, &[*role], NAMES.len()))
                    })
                });
                let hit = hit.count();
                if hit > at_least && hit as f64 / users.len() as f64 > f64::from(share) / 100.0 {
                    expected.push(format!("{hit} of {} managed users, and more than {share} percent", users.len()));
                }
            }
            let (held, allowed) = (Verdict::Hold, Verdict::Allow);
            prop_assert_eq!(told.verdict, if expected.is_empty() { allowed } else { held });
            prop_assert_eq!(told.findings.len(), expected.len(), "{:?} {:?}", told.findings, expected);
            for (finding, expected) in told.findings.iter().zip(&expected) {
                prop_assert!(finding.message.contains(expected), "{} {expected}", finding.message);
            }
        }
    }

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<BlastRadius>();
    }
}
