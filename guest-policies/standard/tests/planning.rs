//! What the standard planner makes of a difference, one sentence a test. That any plan leads exactly to the spec, for
//! random specs and catalogs, is proved on the host's side, which judges it.

use std::collections::BTreeMap;

use rolewright_policy::{
    Attributes, Catalog, Change, Credential, Expiry, Grant, Limit, Membership, Object, Privileges, Risk, Role,
    SecretState, Setting, Spec, Standing, Step,
};
use rolewright_standard::plan_steps;

const PG15: u32 = 150_018;
const PG18: u32 = 180_004;

fn steps(version: u32, desired: impl Into<Vec<Role>>, actual: impl Into<Vec<Role>>) -> Vec<Step> {
    let desired = Spec { roles: desired.into(), ..Spec::default() };
    plan_steps(desired, Catalog { roles: actual.into(), databases: Vec::new() }, version)
}

/// The steps in short: what is done, to whom, and with what.
fn plan(version: u32, desired: impl Into<Vec<Role>>, actual: impl Into<Vec<Role>>) -> Vec<String> {
    steps(version, desired, actual).iter().map(|step| short(&step.change)).collect()
}

fn short(change: &Change) -> String {
    let options = |edge: &Membership| {
        let flags = [(edge.admin, "admin"), (edge.inherit, "inherit"), (edge.set, "set")];
        let names: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        let by = edge.grantor.as_ref().map_or(String::new(), |grantor| format!(" by {grantor}"));
        format!("{} [{}]{by}", edge.role, names.join(" "))
    };
    let privileges = |grant: &Grant| {
        let Object::Database(name) = &grant.on else { panic!("{:?}", grant.on) };
        format!("{name} {:?} grantable {:?}", grant.privileges, grant.grantable)
    };
    match change {
        Change::CreateRole(role) => format!("create {}", role.name),
        Change::AlterRole(patch) => format!("alter {} +{:?} -{:?}", patch.name, patch.set, patch.clear),
        Change::SetPassword(role) => format!("set password of {role}"),
        Change::ClearPassword(role) => format!("clear password of {role}"),
        Change::GrantRole(edge) => format!("grant {} to {}", options(&edge.membership), edge.member),
        Change::RevokeRole(edge) => format!("revoke {} from {}", options(&edge.membership), edge.member),
        Change::GrantPrivilege(held) => format!("{:?} gains {}", held.role.as_deref(), privileges(&held.grant)),
        Change::RevokePrivilege(held) => format!("{:?} loses {}", held.role.as_deref(), privileges(&held.grant)),
        Change::SetSetting(set) => format!("set {}={} for {}", set.setting.name, set.setting.value, set.role),
        Change::ResetSetting(set) => format!("reset {} for {}", set.setting.name, set.role),
        Change::DropRole(removal) => format!("drop {}", removal.name),
        other => format!("{other:?}"),
    }
}

/// A role as found: everything known, nothing of a credential.
fn found(role: Role) -> Role {
    let mut role = Role { connection_limit: Some(Limit::Unlimited), valid_until: Some(Expiry::Never), ..role };
    for edge in &mut role.memberships {
        edge.grantor.get_or_insert_with(|| "postgres".to_owned());
    }
    role
}

fn edge(role: &str, (admin, inherit, set): (bool, bool, bool), grantor: &str) -> Membership {
    Membership { role: role.to_owned(), admin, inherit, set, until: None, grantor: Some(grantor.to_owned()) }
}

fn with_secret(role: Role, state: SecretState, in_sync: Option<bool>) -> Role {
    let credential = Credential {
        secret: format!("user-{}-secret", role.name),
        key: "password".to_owned(),
        state,
        version: "7".to_owned(),
        changed_at: None,
        labels: Vec::new(),
        strength: None,
        in_sync,
    };
    Role { credential: Some(credential), has_password: Some(true), ..role }
}

fn grant(database: &str, privileges: Privileges, grantable: Privileges) -> Grant {
    Grant { privileges, grantable, ..Grant::connect(database) }
}

#[test]
fn a_role_that_is_absent_is_created_with_its_memberships_and_password_and_then_gets_its_grants() {
    let mut alice = with_secret(Role::user("alice").member_of(["analyst"]).at("/users/0"), SecretState::Present, None);
    alice.grants.push(Grant::connect("myapp"));
    let steps = steps(PG18, [alice], []);
    assert_eq!(steps.len(), 2);
    let Change::CreateRole(made) = &steps[0].change else { panic!("{:?}", steps[0]) };
    assert_eq!(made.memberships, [Membership::plain("analyst")]);
    assert!(made.credential.is_some());
    assert_eq!(short(&steps[1].change), r#"Some("alice") gains myapp Privileges(CONNECT) grantable Privileges(0x0)"#);
    assert!(steps.iter().all(|step| step.path == "/users/0" && step.risk == Risk::Safe));
}

#[test]
fn a_server_that_is_as_desired_needs_nothing() {
    let desired = |name| {
        let mut role =
            with_secret(Role::user(name).member_of(["analyst", "read_only"]), SecretState::Present, Some(true));
        role.grants = vec![Grant::connect("a"), Grant::connect("b")];
        role
    };
    let actual = |name| found(Role { credential: None, ..desired(name) });
    for version in [PG15, PG18] {
        assert_eq!(plan(version, [desired("alice"), desired("bob")], [actual("alice"), actual("bob")]), [""; 0]);
    }
}

#[test]
fn only_what_differs_is_altered() {
    let mut actual = found(Role::user("alice"));
    actual.attributes |= Attributes::CREATEDB;
    actual.attributes -= Attributes::LOGIN;
    actual.comment = Some("by hand".to_owned());
    let mut desired = Role::user("alice");
    desired.connection_limit = Some(Limit::AtMost(3));
    let steps = steps(PG18, [desired], [actual]);
    let [Step { change: Change::AlterRole(patch), risk, reason, .. }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!((patch.set, patch.clear), (Attributes::LOGIN, Attributes::CREATEDB));
    assert_eq!((patch.connection_limit, patch.valid_until), (Some(Limit::AtMost(3)), None));
    // A comment that the spec does not speak of stays.
    assert_eq!(patch.comment, None);
    assert_eq!(*risk, Risk::Disruptive);
    assert_eq!(reason, "attributes and connection limit differ");
}

#[test]
fn no_comment_and_an_empty_one_are_the_same() {
    let desired = Role { comment: Some(String::new()), ..Role::user("alice") };
    assert_eq!(plan(PG18, [desired], [found(Role::user("alice"))]), [""; 0]);
}

#[test]
fn a_password_is_set_only_when_the_server_does_not_hold_it() {
    let outcomes = [(Some(true), 0), (Some(false), 1), (None, 1)];
    for (in_sync, count) in outcomes {
        let desired = with_secret(Role::user("alice"), SecretState::Present, in_sync);
        assert_eq!(plan(PG18, [desired], [found(Role::user("alice"))]).len(), count, "{in_sync:?}");
    }
}

#[test]
fn a_missing_secret_never_touches_a_password() {
    for state in [SecretState::Missing, SecretState::Empty, SecretState::Unreadable] {
        let desired = with_secret(Role::user("alice"), state, Some(false));
        let actual = Role { has_password: Some(true), ..found(Role::user("alice")) };
        assert_eq!(plan(PG18, [desired], [actual]), [""; 0]);
    }
}

#[test]
fn a_password_is_cleared_only_for_a_user_declared_without_one_and_found_with_one() {
    for (declared, actual, expected) in
        [(Some(false), Some(true), 1), (Some(false), None, 0), (Some(false), Some(false), 0), (None, Some(true), 0)]
    {
        let desired = Role { has_password: declared, ..Role::user("alice") };
        let actual = Role { has_password: actual, ..found(Role::user("alice")) };
        assert_eq!(plan(PG18, [desired], [actual]).len(), expected);
    }
}

#[test]
fn memberships_are_granted_and_revoked_by_name_and_grantor() {
    let desired = Role::user("bob").member_of(["analyst", "developer"]);
    let mut actual = found(Role::user("bob").member_of(["analyst"]));
    actual.memberships.push(edge("old", (false, true, true), "carol"));
    actual.memberships.push(edge("old", (true, false, false), "dave"));
    assert_eq!(
        plan(PG18, [desired], [actual]),
        [
            "revoke old [inherit set] by carol from bob",
            "revoke old [admin] by dave from bob",
            "grant developer [inherit set] to bob",
        ]
    );
}

#[test]
fn edges_of_several_grantors_count_together() {
    let desired = Role::user("bob").member_of(["analyst"]);
    let mut actual = found(Role::user("bob"));
    actual.memberships =
        vec![edge("analyst", (false, true, false), "carol"), edge("analyst", (false, false, true), "dave")];
    assert_eq!(plan(PG18, [desired], [actual]), [""; 0]);
}

#[test]
fn an_edge_with_more_than_is_declared_goes_and_what_then_lacks_is_granted() {
    let desired = Role::user("bob").member_of(["analyst"]);
    let mut actual = found(Role::user("bob"));
    actual.memberships =
        vec![edge("analyst", (true, true, true), "carol"), edge("analyst", (false, true, false), "dave")];
    assert_eq!(
        plan(PG18, [desired.clone()], [actual.clone()]),
        ["revoke analyst [admin inherit set] by carol from bob", "grant analyst [inherit set] to bob"]
    );
    // Another edge already gives all that is declared.
    actual.memberships[1].set = true;
    assert_eq!(plan(PG18, [desired], [actual]), ["revoke analyst [admin inherit set] by carol from bob"]);
}

#[test]
fn a_membership_without_any_option_is_one_all_the_same() {
    let bare = Membership { inherit: false, set: false, ..Membership::plain("analyst") };
    let desired = Role { memberships: vec![bare.clone()], ..Role::user("bob") };
    assert_eq!(plan(PG18, [desired.clone()], [found(Role::user("bob"))]), ["grant analyst [] to bob"]);
    assert_eq!(plan(PG18, [desired.clone()], [found(desired)]), [""; 0]);
}

#[test]
fn before_postgresql_16_only_admin_counts() {
    let desired = Role::user("bob").member_of(["analyst"]);
    let mut actual = found(Role::user("bob"));
    actual.memberships = vec![edge("analyst", (false, false, true), "carol")];
    assert_eq!(plan(PG15, [desired.clone()], [actual.clone()]), [""; 0]);
    assert_eq!(plan(PG18, [desired.clone()], [actual.clone()]), ["grant analyst [inherit set] to bob"]);
    actual.memberships[0].admin = true;
    assert_eq!(plan(PG15, [desired], [actual]).len(), 2);
}

#[test]
fn privileges_are_granted_and_revoked_one_by_one() {
    let (connect, create, temporary) = (Privileges::CONNECT, Privileges::CREATE, Privileges::TEMPORARY);
    let desired = Role { grants: vec![grant("app", connect | create, create)], ..Role::user("bob") };
    let actual = Role {
        grants: vec![
            grant("app", connect | temporary, connect | temporary),
            grant("old", connect, Privileges::empty()),
        ],
        ..found(Role::user("bob"))
    };
    assert_eq!(
        plan(PG18, [desired], [actual]),
        [
            r#"Some("bob") gains app Privileges(CREATE) grantable Privileges(CREATE)"#,
            // TEMPORARY goes wholly; of CONNECT only the grant option does.
            r#"Some("bob") loses app Privileges(TEMPORARY) grantable Privileges(CONNECT)"#,
            r#"Some("bob") loses old Privileges(CONNECT) grantable Privileges(0x0)"#,
        ]
    );
}

#[test]
fn a_missing_grant_option_is_granted_on_a_privilege_already_held() {
    let connect = Privileges::CONNECT;
    let desired = Role { grants: vec![grant("app", connect, connect)], ..Role::user("bob") };
    let actual = Role { grants: vec![Grant::connect("app")], ..found(Role::user("bob")) };
    assert_eq!(
        plan(PG18, [desired], [actual]),
        [r#"Some("bob") gains app Privileges(CONNECT) grantable Privileges(CONNECT)"#]
    );
}

#[test]
fn settings_are_set_and_reset() {
    let setting = |name: &str, value: &str| Setting { database: None, name: name.to_owned(), value: value.to_owned() };
    let desired = Role { settings: vec![setting("work_mem", "8MB")], ..Role::user("bob") };
    let actual =
        Role { settings: vec![setting("search_path", "app"), setting("work_mem", "4MB")], ..found(Role::user("bob")) };
    assert_eq!(plan(PG18, [desired], [actual]), ["set work_mem=8MB for bob", "reset search_path for bob"]);
}

#[test]
fn what_was_managed_and_is_no_longer_declared_goes_and_nothing_else_does() {
    let role = |name: &str, standing| Role { standing, ..found(Role::user(name)) };
    let actual = [
        role("gone", Standing::Managed),
        role("pg_monitor", Standing::Protected),
        role("postgres", Standing::Protected),
        role("somebody", Standing::Foreign),
    ];
    let steps = steps(PG18, [], actual);
    let [step] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(short(&step.change), "drop gone");
    assert_eq!((step.risk, step.path.as_str(), step.reason.as_str()), (Risk::Destructive, "", "no longer declared"));
}

#[test]
fn the_answer_does_not_depend_on_the_order_of_the_lists() {
    let desired = || (0..20).map(|n| Role::user(format!("u{n:02}")).member_of(["a", "b"])).collect::<Vec<_>>();
    let actual = || (10..30).map(|n| found(Role::user(format!("u{n:02}")).member_of(["b", "c"]))).collect::<Vec<_>>();
    let (mut other_desired, mut other_actual) = (desired(), actual());
    other_desired.reverse();
    other_actual.reverse();
    let count = |steps: Vec<String>| {
        steps.into_iter().fold(BTreeMap::new(), |mut all: BTreeMap<String, usize>, step| {
            *all.entry(step).or_default() += 1;
            all
        })
    };
    let one = count(plan(PG18, desired(), actual()));
    assert_eq!(one.len(), 10 + 10 * 2 + 10);
    assert_eq!(one, count(plan(PG18, other_desired, other_actual)));
}
