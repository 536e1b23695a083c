//! A hostile planner against the guard: each of its tricks is one test.

use super::trial::plan;
use super::*;
use crate::model::{Credential, Membership, Mode, SecretState, Standing};
use crate::plan::{Cause, Risk, RolePatch};
use crate::resolve::{self, Kind, Origin, Record, Records};

/// alice is declared and there; carol was managed and is gone from the spec; mallory is a stranger.
struct World {
    catalog: Catalog,
    resolved: Resolved,
}

fn role(name: &str, attributes: Attributes) -> Role {
    let mut role = Role::new(name, Mode::Authoritative, attributes);
    role.connection_limit = Some(crate::model::Limit::Unlimited);
    role.valid_until = Some(crate::model::Expiry::Never);
    role.standing = Standing::Foreign;
    role.has_password = Some(true);
    role
}

fn world() -> World {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.server.bootstrap_superuser = "postgres".into();
    catalog.server.current_user = "controller".into();
    let all = Attributes::all();
    let found = [
        role("postgres", all),
        role("controller", Attributes::USER | Attributes::CREATEROLE),
        role("pg_execute_server_program", Attributes::INHERIT),
        role("alice", Attributes::USER),
        role("carol", Attributes::USER),
        role("mallory", Attributes::USER),
        role("boss", Attributes::SUPERUSER),
    ];
    for (number, role) in found.into_iter().enumerate() {
        catalog.oids.insert(role.name.clone(), number as u32 + 10);
        catalog.roles.insert(role.name.clone(), role);
    }
    let record = |name: &str| Record {
        oid: catalog.oids.get(name).copied(),
        kind: Kind::User,
        origin: Origin::Created,
        secret_version: None,
        row_version: None,
        applied: None,
        leaving_since: None,
    };
    let records: Records = ["alice", "carol"].map(|name| (name.to_owned(), record(name))).into();
    catalog.assign_standing(&BTreeSet::new(), &resolve::managed(&records, &catalog));
    let mut declared = role("alice", Attributes::USER);
    declared.credential = Some(Credential {
        state: SecretState::Present,
        version: "1".into(),
        ..Credential::new("user-alice-secret", "password")
    });
    let spec = crate::model::Spec { roles: [("alice".to_owned(), declared)].into(), ..Default::default() };
    let in_sync = [("alice".to_owned(), true)].into();
    let resolved = resolve::resolve(&spec, &catalog, &records, &in_sync);
    World { catalog, resolved }
}

fn bounds() -> Bounds {
    Bounds { deletions: 1, ..trial::bounds() }
}

fn drop_carol() -> Change {
    Change::DropRole { name: "carol".into(), reassign_to: None }
}

/// The rules that the honest plan breaks once these changes are added to it.
fn broken(changes: Vec<Change>) -> Vec<&'static str> {
    let World { catalog, resolved } = world();
    let mut all = vec![drop_carol()];
    all.extend(changes);
    let broken = trial::rules(judge(plan(all), "evil", &resolved, &catalog, &bounds()));
    assert!(!broken.is_empty(), "it passes");
    broken
}

fn alter(name: &str, set: Attributes, clear: Attributes) -> Change {
    Change::AlterRole(RolePatch { name: name.into(), set, clear, ..RolePatch::default() })
}

fn grant(member: &str, role: &str) -> Change {
    Change::GrantRole { member: member.into(), membership: Membership::plain(role) }
}

#[test]
fn the_honest_plan_passes() {
    let World { catalog, resolved } = world();
    let judged = judge(plan(vec![drop_carol()]), "honest", &resolved, &catalog, &bounds());
    assert!(matches!(judged, Judgement::Pass(_)), "{judged:?}");
}

#[test]
fn a_powerful_stranger_may_lose_a_role_that_goes() {
    let World { mut catalog, resolved } = world();
    let mallory = catalog.roles.get_mut("mallory").unwrap();
    mallory.attributes |= Attributes::BYPASSRLS;
    mallory.memberships.push(Membership { grantor: Some("postgres".into()), ..Membership::plain("carol") });
    let judged = judge(plan(vec![drop_carol()]), "honest", &resolved, &catalog, &bounds());
    assert!(matches!(judged, Judgement::Pass(_)), "{judged:?}");
}

#[test]
fn an_omission_is_refused() {
    let World { catalog, resolved } = world();
    let judged = judge(plan(vec![]), "lazy", &resolved, &catalog, &bounds());
    let Judgement::Refused(refusal) = judged else { panic!("{judged:?}") };
    assert_eq!(refusal.violations[0].message, r#"after the plan, role "carol" is no longer declared, and stays"#);
}

#[test]
fn protected_roles_are_out_of_reach() {
    for name in ["postgres", "controller", "pg_execute_server_program"] {
        let dropped = Change::DropRole { name: name.into(), reassign_to: None };
        assert!(broken(vec![dropped]).contains(&"protected-role"), "{name}");
        assert!(broken(vec![alter(name, Attributes::CREATEDB, Attributes::empty())]).contains(&"protected-role"));
        assert!(broken(vec![Change::ClearPassword(name.into())]).contains(&"protected-role"));
    }
}

#[test]
fn strangers_are_out_of_reach() {
    assert!(broken(vec![alter("mallory", Attributes::empty(), Attributes::LOGIN)]).contains(&"out-of-scope"));
    assert!(broken(vec![Change::ClearPassword("mallory".into())]).contains(&"out-of-scope"));
    assert!(broken(vec![Change::SetPassword("mallory".into())]).contains(&"out-of-scope"));
    let dropped = Change::DropRole { name: "mallory".into(), reassign_to: None };
    assert!(broken(vec![dropped]).contains(&"out-of-scope"));
}

#[test]
fn nobody_is_given_power() {
    for power in [Attributes::SUPERUSER, Attributes::REPLICATION, Attributes::BYPASSRLS, Attributes::CREATEROLE] {
        assert!(broken(vec![alter("alice", power, Attributes::empty())]).contains(&"power-raised"), "{power:?}");
    }
    assert!(broken(vec![grant("alice", "boss")]).contains(&"power-raised"));
    assert!(broken(vec![grant("alice", "pg_execute_server_program")]).contains(&"power-raised"));
    assert!(broken(vec![grant("alice", "controller")]).contains(&"power-raised"));
}

#[test]
fn power_by_a_detour_is_power_too() {
    let mut world = world();
    // mallory can become boss; whoever becomes mallory can too.
    world.catalog.roles.get_mut("mallory").unwrap().memberships.push(Membership::plain("boss"));
    let changes = vec![drop_carol(), grant("alice", "mallory")];
    let judged = judge(plan(changes), "evil", &world.resolved, &world.catalog, &bounds());
    let Judgement::Refused(refusal) = judged else { panic!("{judged:?}") };
    assert!(refusal.violations.iter().any(|violation| violation.rule == "power-raised"), "{refusal}");
}

#[test]
fn an_allowed_power_that_is_declared_passes() {
    let mut world = world();
    let desired = world.resolved.desired.get_mut("alice").unwrap();
    desired.memberships.push(Membership::plain("pg_execute_server_program"));
    let changes = vec![drop_carol(), grant("alice", "pg_execute_server_program")];
    let mut bounds = bounds();
    bounds.allowed_powers.insert("pg_execute_server_program".into());
    let judged = judge(plan(changes), "honest", &world.resolved, &world.catalog, &bounds);
    assert!(matches!(judged, Judgement::Pass(_)), "{judged:?}");
}

#[test]
fn no_secret_sets_the_password_of_one_that_is_strong_already() {
    let mut world = world();
    let credential = world.resolved.desired["alice"].credential.clone();
    let credential = credential.map(|credential| Credential { in_sync: Some(false), ..credential });
    let boss = Role { credential, ..world.catalog.roles["boss"].clone() };
    world.resolved.desired.insert("boss".into(), boss);
    world.resolved.in_scope.insert("boss".into());
    let judged = |bounds: &Bounds| {
        let changes = vec![drop_carol(), Change::SetPassword("boss".into())];
        judge(plan(changes), "honest", &world.resolved, &world.catalog, bounds)
    };
    let Judgement::Refused(refusal) = judged(&bounds()) else { panic!("it passes") };
    assert_eq!(refusal.violations.iter().map(|violation| violation.rule).collect::<Vec<_>>(), ["power-raised"]);
    let allowed = Bounds { allowed_powers: BTreeSet::from(["superuser".to_owned()]), ..bounds() };
    assert!(matches!(judged(&allowed), Judgement::Pass(_)));
}

#[test]
fn a_password_needs_its_own_secret() {
    let World { catalog, resolved } = world();
    let mut stolen = resolved.desired["alice"].clone();
    stolen.name = "backdoor".into();
    let rules = broken(vec![Change::CreateRole(stolen)]);
    assert!(rules.contains(&"out-of-scope"), "{rules:?}");
    // A password that is in force is not set again, and one that is declared is not taken away.
    assert!(broken(vec![Change::SetPassword("alice".into())]).contains(&"not-as-desired"));
    assert!(broken(vec![Change::ClearPassword("alice".into())]).contains(&"not-as-desired"));
    drop(catalog);
}

#[test]
fn dangling_references_and_impossible_names_are_refused() {
    assert!(broken(vec![grant("alice", "nobody")]).contains(&"impossible-step"));
    assert!(broken(vec![alter("nobody", Attributes::LOGIN, Attributes::empty())]).contains(&"out-of-scope"));
    for name in ["", "a\0b", &"x".repeat(64)] {
        assert!(broken(vec![grant("alice", name)]).contains(&"invalid-name"), "{name:?}");
    }
}

#[test]
fn belongings_go_to_the_configured_receiver_only() {
    let World { catalog, resolved } = world();
    let changes = vec![Change::DropRole { name: "carol".into(), reassign_to: Some("mallory".into()) }];
    let Judgement::Refused(refusal) = judge(plan(changes), "evil", &resolved, &catalog, &bounds()) else { panic!() };
    assert_eq!(refusal.violations[0].rule, "foreign-receiver");
}

#[test]
fn a_million_steps_are_too_many() {
    let changes = (0..1_000_000).map(|_| grant("alice", "mallory")).collect();
    assert_eq!(broken(changes), ["too-many-steps"]);
}

#[test]
fn a_plan_beyond_the_budget_is_held_until_its_very_digest_is_approved() {
    let World { catalog, resolved } = world();
    let judged = |approved: Option<&str>| {
        let bounds = Bounds { deletions: 0, approved: approved.map(str::to_owned), ..bounds() };
        judge(plan(vec![drop_carol()]), "honest", &resolved, &catalog, &bounds)
    };
    let Judgement::Held(held) = judged(None) else { panic!() };
    assert_eq!(held.why, "1 user would lose access (carol), and MAX_DELETIONS allows 0 in one plan");
    assert!(matches!(judged(Some("sha256:2")), Judgement::Held(_)));
    assert!(matches!(judged(Some("sha256:1")), Judgement::Pass(_)));
}

#[test]
fn a_spec_without_users_is_always_held() {
    let World { catalog, resolved } = world();
    let bounds = Bounds { deletions: 100, users_declared: 0, ..bounds() };
    assert!(matches!(judge(plan(vec![drop_carol()]), "honest", &resolved, &catalog, &bounds), Judgement::Held(_)));
}

#[test]
fn group_roles_that_were_declared_count_and_the_last_of_them_is_always_held() {
    let World { mut catalog, mut resolved } = world();
    catalog.roles.insert("analyst".into(), role("analyst", Attributes::GROUP));
    resolved.removable.insert("analyst".into());
    let drop_analyst = || Change::DropRole { name: "analyst".into(), reassign_to: None };
    let why = |resolved: &Resolved, bounds: Bounds| match judge(
        plan(vec![drop_carol(), drop_analyst()]),
        "honest",
        resolved,
        &catalog,
        &bounds,
    ) {
        Judgement::Held(held) => Some(held.why),
        Judgement::Pass(_) => None,
        Judgement::Refused(refusal) => panic!("{refusal}"),
    };
    assert_eq!(why(&resolved, bounds()), None, "one that was only named goes with its last member");
    resolved.removable_groups.insert("analyst".into());
    let told = "1 user would lose access and 1 group role would be dropped (carol, analyst)";
    assert_eq!(why(&resolved, bounds()), Some(format!("{told}, and MAX_DELETIONS allows 1 in one plan")));
    assert_eq!(why(&resolved, Bounds { deletions: 2, ..bounds() }), None);
    let last = Bounds { deletions: 2, roles_declared: 0, ..bounds() };
    assert_eq!(why(&resolved, last), Some(format!("the spec declares no group roles any more, and {told}")));
}

#[test]
fn approval_of_another_plan_approves_nothing() {
    let World { catalog, resolved } = world();
    let bounds = Bounds { approved: Some("sha256:2".into()), ..bounds() };
    assert!(matches!(judge(plan(vec![drop_carol()]), "honest", &resolved, &catalog, &bounds), Judgement::Held(_)));
}

#[test]
fn what_a_removed_role_owns_cannot_go_to_itself_or_to_nobody() {
    let World { catalog, resolved } = world();
    for receiver in ["carol", "nobody"] {
        let bounds = Bounds { reassign_owned_to: receiver.into(), ..bounds() };
        let judged = judge(plan(vec![drop_carol()]), "honest", &resolved, &catalog, &bounds);
        let Judgement::Refused(refusal) = judged else { panic!("{receiver}: {judged:?}") };
        assert_eq!(refusal.violations[0].rule, "no-receiver");
    }
}

#[test]
fn an_edge_is_revoked_by_its_grantor_and_granted_by_nobody_else() {
    let revoke = Change::RevokeRole { member: "alice".into(), membership: Membership::plain("mallory") };
    assert!(broken(vec![revoke]).contains(&"vague-edge"));
    let membership = Membership { grantor: Some("boss".into()), ..Membership::plain("mallory") };
    assert!(broken(vec![Change::GrantRole { member: "alice".into(), membership }]).contains(&"vague-edge"));
}

#[test]
fn locking_out_many_by_limit_or_expiry_is_held_too() {
    let mut world = world();
    let patch = RolePatch {
        name: "alice".into(),
        connection_limit: Some(crate::model::Limit::AtMost(0)),
        ..RolePatch::default()
    };
    world.resolved.desired.get_mut("alice").unwrap().connection_limit = Some(crate::model::Limit::AtMost(0));
    let bounds = Bounds { deletions: 1, ..bounds() };
    let judged =
        judge(plan(vec![drop_carol(), Change::AlterRole(patch)]), "honest", &world.resolved, &world.catalog, &bounds);
    assert!(matches!(judged, Judgement::Held(_)), "{judged:?}");
}

#[test]
fn a_protected_name_cannot_be_taken_while_it_is_free() {
    let World { mut catalog, resolved } = world();
    catalog.protected.insert("replicator".into());
    let changes = vec![drop_carol(), Change::CreateRole(role("replicator", Attributes::USER))];
    let Judgement::Refused(refusal) = judge(plan(changes), "evil", &resolved, &catalog, &bounds()) else { panic!() };
    assert!(refusal.violations.iter().any(|violation| violation.rule == "protected-role"));
}

fn set(name: &str, value: &str, database: Option<&str>) -> Change {
    let setting =
        crate::model::Setting { database: database.map(str::to_owned), name: name.to_owned(), value: value.to_owned() };
    Change::SetSetting { role: "alice".into(), setting }
}

#[test]
fn a_setting_that_gives_power_is_given_to_nobody() {
    for name in settings::STRONG_PARAMETERS {
        assert!(broken(vec![set(name, "boss", None)]).contains(&"power-raised"), "{name}");
        assert!(broken(vec![set(&name.to_uppercase(), "boss", None)]).contains(&"power-raised"), "{name}");
    }
    assert!(!broken(vec![set("work_mem", "64MB", None)]).contains(&"power-raised"));
}

#[test]
fn a_setting_that_is_allowed_by_name_and_declared_passes() {
    let mut world = world();
    let change = set("session_preload_libraries", "auto_explain", None);
    let Change::SetSetting { setting, .. } = &change else { panic!() };
    world.resolved.desired.get_mut("alice").unwrap().settings.push(setting.clone());
    let judged = |bounds: &Bounds| {
        judge(plan(vec![drop_carol(), change.clone()]), "honest", &world.resolved, &world.catalog, bounds)
    };
    let Judgement::Refused(refusal) = judged(&bounds()) else { panic!() };
    assert!(refusal.to_string().contains("ALLOWED_POWERS"), "{refusal}");
    let mut bounds = bounds();
    bounds.allowed_powers.insert("session_preload_libraries".into());
    assert!(matches!(judged(&bounds), Judgement::Pass(_)));
}

#[test]
fn a_second_login_acts_as_its_user_and_as_nobody_else() {
    let mut world = world();
    world.resolved.second_logins.insert("alice".into(), "app".into());
    let is_refused = |change: Change| {
        let Change::SetSetting { setting, .. } = &change else { panic!() };
        let mut resolved = world.resolved.clone();
        resolved.desired.get_mut("alice").unwrap().settings.push(setting.clone());
        match judge(plan(vec![drop_carol(), change]), "evil", &resolved, &world.catalog, &bounds()) {
            Judgement::Refused(refusal) => refusal.violations.iter().any(|violation| violation.rule == "power-raised"),
            _ => false,
        }
    };
    assert!(!is_refused(set("role", "app", None)));
    for other in [
        set("role", "boss", None),
        set("role", "App", None),
        set("role", "app", Some("shop")),
        set("session_authorization", "app", None),
    ] {
        assert!(is_refused(other.clone()), "{other:?}");
    }
}

#[test]
fn settings_that_nobody_declared_are_refused_and_those_of_others_are_out_of_reach() {
    assert!(broken(vec![set("work_mem", "64MB", None)]).contains(&"not-as-desired"));
    let setting = crate::model::Setting { database: None, name: "work_mem".into(), value: "64MB".into() };
    let other = Change::SetSetting { role: "mallory".into(), setting: setting.clone() };
    assert!(broken(vec![other]).contains(&"out-of-scope"));
    let other = Change::ResetSetting { role: "postgres".into(), setting: setting.clone() };
    assert!(broken(vec![other]).contains(&"protected-role"));
    let absent = Change::ResetSetting { role: "alice".into(), setting };
    assert!(broken(vec![absent]).contains(&"impossible-step"));
}

#[test]
fn a_setting_needs_a_name_a_value_and_a_database_that_there_can_be() {
    for name in ["", "work_mem; DROP ROLE alice", "work mem", "a..b", "\"role\"", "é"] {
        assert!(broken(vec![set(name, "1", None)]).contains(&"invalid-name"), "{name:?}");
    }
    assert!(broken(vec![set("work_mem", "a\0b", None)]).contains(&"invalid-value"));
    assert!(broken(vec![set("search_path", "\"a", None)]).contains(&"invalid-value"));
    assert!(broken(vec![set("work_mem", "1", Some("nowhere"))]).contains(&"unknown-database"));
}

/// bob, who was robert, as the cycle sees it: there under the new name, and the rename before everything else.
fn renamed() -> (World, Step) {
    let mut world = world();
    let bob = Role { standing: Standing::Managed, ..role("bob", Attributes::USER) };
    world.catalog.roles.insert("bob".into(), bob.clone());
    world.catalog.oids.insert("bob".into(), 99);
    world.resolved.desired.insert("bob".into(), bob);
    world.resolved.in_scope.insert("bob".into());
    world.resolved.renames = vec![crate::resolve::renames::Rename { from: "robert".into(), to: "bob".into() }];
    (world, rename("robert", "bob"))
}

fn rename(from: &str, to: &str) -> Step {
    let change = Change::RenameRole { from: from.into(), to: to.into() };
    Step {
        change,
        risk: Risk::Disruptive,
        reason: String::new(),
        path: String::new(),
        cause: Cause::Spec,
        by: String::new(),
    }
}

#[test]
fn a_rename_that_is_declared_passes_before_everything_else_and_no_other_does() {
    let judged = |steps: Vec<Step>| {
        let (World { catalog, resolved }, _) = renamed();
        let mut plan = (*plan(vec![drop_carol()])).clone();
        plan.steps.splice(0..0, steps);
        match judge(Arc::new(plan), "evil", &resolved, &catalog, &bounds()) {
            Judgement::Refused(refusal) => refusal.violations.iter().map(|violation| violation.rule).collect(),
            Judgement::Pass(_) => Vec::new(),
            other => panic!("{other:?}"),
        }
    };
    let (_, declared) = renamed();
    assert!(judged(vec![declared.clone()]).is_empty());
    for others in [
        vec![],
        vec![rename("robert", "mallory")],
        vec![rename("mallory", "bob")],
        vec![declared.clone(), declared.clone()],
        vec![declared.clone(), rename("mallory", "trudy")],
        vec![declared.clone(), rename("alice", "trudy")],
        vec![rename("alice", "trudy"), declared],
    ] {
        assert!(judged(others.clone()).contains(&"undeclared-rename"), "{others:?}");
    }
}

#[test]
fn a_rename_that_a_module_proposes_is_refused() {
    for (from, to) in [("alice", "alicia"), ("mallory", "malory"), ("postgres", "boss2"), ("alice", "postgres")] {
        let change = Change::RenameRole { from: from.into(), to: to.into() };
        let broken = broken(vec![change]);
        assert!(broken.contains(&"undeclared-rename") || broken.contains(&"protected-role"), "{broken:?}");
    }
}

#[test]
fn a_rename_of_a_protected_role_is_refused_whoever_declares_it() {
    let (World { mut catalog, mut resolved }, _) = renamed();
    resolved.renames[0].from = "postgres".into();
    catalog.protected.insert("postgres".into());
    let mut plan = (*plan(vec![drop_carol()])).clone();
    plan.steps.insert(0, rename("postgres", "bob"));
    let judged = judge(Arc::new(plan), "evil", &resolved, &catalog, &bounds());
    assert!(matches!(judged, Judgement::Refused(_)), "{judged:?}");
}

#[test]
fn to_drop_whom_nobody_lets_in_any_more_counts_as_well() {
    let World { mut catalog, mut resolved } = world();
    catalog.roles.get_mut("carol").unwrap().attributes -= Attributes::LOGIN;
    let held = |resolved: &Resolved| {
        let none = Bounds { deletions: 0, ..bounds() };
        matches!(judge(plan(vec![drop_carol()]), "standard", resolved, &catalog, &none), Judgement::Held(_))
    };
    // One whose removal was begun and did not come to its end goes on; that was counted when it began.
    assert!(!held(&resolved));
    resolved.removable_users.insert("carol".into());
    assert!(held(&resolved));
}
