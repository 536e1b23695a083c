//! The policy `blast-radius`: a plan that touches many users at once is more often a mistake than a wish. It is held
//! until somebody approves it. The host's own limit on removals is beside this one, not in its place.

use std::collections::BTreeSet;

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

/// The user that a step touches, if that is one that is managed and exists.
fn touched<'a>(change: &'a Change, users: &BTreeSet<&str>) -> Option<&'a str> {
    let role = match change {
        Change::AlterRole(patch) => patch.name.as_str(),
        Change::RenameRole(rename) => rename.from.as_str(),
        Change::SetPassword(role) | Change::ClearPassword(role) => role.as_str(),
        Change::GrantRole(edge) | Change::RevokeRole(edge) => edge.member.as_str(),
        Change::GrantPrivilege(grant) | Change::RevokePrivilege(grant) => grant.role.as_deref()?,
        Change::SetSetting(setting) | Change::ResetSetting(setting) => setting.role.as_str(),
        Change::DropRole(removal) => removal.name.as_str(),
        Change::CreateRole(_) | Change::CreateDatabase(_) | Change::AlterDatabase(_) | Change::RunScript(_) => {
            return None;
        }
    };
    users.contains(role).then_some(role)
}

impl Review for BlastRadius {
    fn review(_: &Context, settings: &Settings, actual: &Catalog, steps: &[Step]) -> Result<Reviewed, String> {
        let managed = actual.roles.iter().filter(|role| role.standing == Standing::Managed && role.is_user());
        let users: BTreeSet<&str> = managed.map(|role| role.name.as_str()).collect();
        let hit = |risks: &[Risk]| -> BTreeSet<&str> {
            let steps = steps.iter().filter(|step| risks.contains(&step.risk));
            steps.filter_map(|step| touched(&step.change, &users)).collect()
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
    use rolewright_policy::{Edge, Membership, Removal, Role, Verdict};

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

    #[test]
    fn the_schema_is_that_of_the_settings() {
        rolewright_policy::schema::assert_current::<BlastRadius>();
    }
}
