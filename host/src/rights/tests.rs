//! Each rule, on each side of the version that changed it. That the rules are PostgreSQL's own is proved on servers:
//! `tests/behaviour/least_rights.rs`.

use std::collections::BTreeMap;

use super::*;
use crate::catalog::{Catalog, Objects};
use crate::model::{Attributes, Database, Grant, Limit, Membership, Mode, Object, Privileges, Setting, Standing};
use crate::plan::{Cause, Change, Removal, Risk, RolePatch};

const OLD: u32 = 150_000;
const NEW: u32 = 160_000;

/// A server with the controller `me`, the superuser `postgres`, and the database `shop` of `app`.
fn server(version: u32, own: Attributes) -> Catalog {
    let mut catalog = Catalog::default();
    catalog.server.version = version;
    catalog.server.current_user = "me".into();
    catalog.server.session_user = "me".into();
    catalog.server.bootstrap_superuser = "postgres".into();
    let shop = Database { owner: Some("app".into()), ..Database::new("shop") };
    catalog.databases.insert("shop".into(), shop);
    add(&mut catalog, "me", Attributes::USER | own, &[]);
    add(&mut catalog, "postgres", Attributes::all(), &[]);
    for name in ["alice", "group", "app"] {
        add(&mut catalog, name, Attributes::GROUP, &[]);
    }
    catalog
}

fn add(catalog: &mut Catalog, name: &str, attributes: Attributes, memberships: &[Membership]) {
    let mut role = Role::new(name, Mode::Authoritative, attributes);
    role.standing = Standing::Foreign;
    role.memberships = memberships.to_vec();
    catalog.roles.insert(name.into(), role);
}

fn join(catalog: &mut Catalog, member: &str, edge: Membership) {
    catalog.roles.get_mut(member).unwrap().memberships.push(edge);
}

fn member_of(role: &str) -> Membership {
    Membership { grantor: Some("postgres".into()), ..Membership::plain(role) }
}

fn admin_of(role: &str) -> Membership {
    Membership { admin: true, inherit: false, set: false, ..member_of(role) }
}

fn step(change: Change) -> Step {
    let (reason, path, by) = (String::new(), String::new(), String::new());
    Step { change, risk: Risk::Safe, reason, path, cause: Cause::Spec, by }
}

/// What mends the steps that cannot be done; `None`: all can.
fn mended(catalog: &Catalog, changes: &[Change]) -> Option<Vec<String>> {
    let steps: Vec<Step> = changes.iter().cloned().map(step).collect();
    let denied = denied(&steps, catalog, &BTreeMap::new());
    let reasons: Vec<Reason> = denied.into_values().flatten().collect();
    (!reasons.is_empty()).then(|| mends(&reasons).into_iter().map(str::to_owned).collect())
}

fn assert_mend(catalog: &Catalog, change: Change, statements: &[&str]) {
    let found = mended(catalog, std::slice::from_ref(&change));
    let wanted = (!statements.is_empty()).then(|| statements.iter().map(|it| (*it).to_owned()).collect());
    assert_eq!(found, wanted, "{change:?} on {}", catalog.server.version);
}

fn create(attributes: Attributes, of: &[&str]) -> Change {
    let mut role = Role::new("new", Mode::Authoritative, attributes);
    role.memberships = of.iter().map(|role| Membership::plain(*role)).collect();
    Change::CreateRole(role)
}

fn patch(name: &str, set: Attributes, clear: Attributes) -> Change {
    Change::AlterRole(RolePatch { name: name.into(), set, clear, ..RolePatch::default() })
}

fn limit(name: &str) -> Change {
    let connection_limit = Some(Limit::AtMost(1));
    Change::AlterRole(RolePatch { name: name.into(), connection_limit, ..RolePatch::default() })
}

fn setting(parameter: &str) -> Change {
    let setting = Setting { database: None, name: parameter.into(), value: "on".into() };
    Change::SetSetting { role: "alice".into(), setting }
}

fn on_shop(privileges: Privileges) -> Grant {
    Grant { database: None, on: Object::Database("shop".into()), privileges, grantable: Privileges::empty() }
}

fn grant(privileges: Privileges) -> Change {
    Change::GrantPrivilege { role: Some("alice".into()), grant: on_shop(privileges) }
}

fn revoke(privileges: Privileges) -> Change {
    Change::RevokePrivilege { role: Some("alice".into()), grant: on_shop(privileges) }
}

fn grant_role(role: &str) -> Change {
    Change::GrantRole { member: "alice".into(), membership: Membership::plain(role) }
}

fn revoke_role(role: &str, grantor: &str) -> Change {
    let membership = Membership { grantor: Some(grantor.into()), ..Membership::plain(role) };
    Change::RevokeRole { member: "alice".into(), membership }
}

const CREATEROLE: Attributes = Attributes::CREATEROLE;
const NONE: Attributes = Attributes::empty();

#[test]
fn a_superuser_may_everything_and_of_a_stranger_nothing_is_said() {
    for version in [OLD, NEW] {
        let root = server(version, Attributes::SUPERUSER);
        assert_eq!(mended(&root, &[limit("postgres"), create(Attributes::all(), &["postgres"])]), None);
        let mut unseen = server(version, NONE);
        unseen.roles.remove("me");
        assert_eq!(mended(&unseen, &[limit("alice")]), None);
    }
}

#[test]
fn to_make_and_to_change_roles_takes_createrole() {
    for version in [OLD, NEW] {
        let poor = server(version, NONE);
        assert_mend(&poor, create(Attributes::USER, &[]), &["ALTER ROLE me CREATEROLE"]);
        assert_mend(&server(version, CREATEROLE), create(Attributes::USER | CREATEROLE, &[]), &[]);
    }
    assert_mend(&server(OLD, NONE), limit("alice"), &["ALTER ROLE me CREATEROLE"]);
    let admin = "GRANT alice TO me WITH ADMIN TRUE, INHERIT FALSE, SET FALSE";
    assert_mend(&server(NEW, NONE), limit("alice"), &["ALTER ROLE me CREATEROLE", admin]);
}

#[test]
fn since_16_that_takes_admin_on_the_role_by_whatever_way() {
    assert_mend(&server(OLD, CREATEROLE), limit("alice"), &[]);
    let mut catalog = server(NEW, CREATEROLE);
    let change = || Change::DropRole { name: "alice".into(), reassign_to: None };
    assert_mend(&catalog, change(), &["GRANT alice TO me WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"]);
    join(&mut catalog, "me", member_of("alice"));
    assert_mend(&catalog, Change::SetPassword("alice".into()), &["GRANT alice TO me WITH ADMIN TRUE"]);
    // Not inherited, and it counts all the same.
    add(&mut catalog, "team", Attributes::GROUP, &[admin_of("alice")]);
    join(&mut catalog, "me", Membership { inherit: false, set: false, ..member_of("team") });
    for change in [change(), limit("alice"), setting("work_mem"), Change::ClearPassword("alice".into())] {
        assert_mend(&catalog, change, &[]);
    }
}

#[test]
fn what_is_made_by_the_plan_is_ones_own() {
    let catalog = server(NEW, CREATEROLE);
    let mut role = Role::new("new", Mode::Authoritative, Attributes::GROUP);
    role.memberships.clear();
    let member = Change::GrantRole { member: "new".into(), membership: Membership::plain("newer") };
    let newer = Change::CreateRole(Role { name: "newer".into(), ..role.clone() });
    let changes = [newer, Change::CreateRole(role), member, limit("new")];
    assert_eq!(mended(&catalog, &changes), None);
}

#[test]
fn a_plan_gives_the_controller_what_it_can_give_and_nothing_by_lifting_itself() {
    let mut admin = Role::new("new", Mode::Authoritative, Attributes::GROUP);
    admin.memberships = vec![Membership { admin: true, ..Membership::plain("group") }];
    let admin = || Change::CreateRole(admin.clone());
    // Who makes a role is a member of it, and so the admin of what that one is the admin of; if it can be made so.
    let mut catalog = server(NEW, CREATEROLE);
    let mend = "GRANT \"group\" TO me WITH ADMIN TRUE, INHERIT FALSE, SET FALSE".to_owned();
    assert_eq!(mended(&catalog, &[admin(), grant_role("group")]), Some(vec![mend]));
    // One step opens the way for another, wherever it stands.
    add(&mut catalog, "team", Attributes::GROUP, &[]);
    join(&mut catalog, "me", admin_of("app"));
    join(&mut catalog, "me", member_of("team"));
    assert!(mended(&catalog, &[grant(Privileges::CONNECT)]).is_some());
    let joins = Change::GrantRole { member: "team".into(), membership: Membership::plain("app") };
    assert_eq!(mended(&catalog, &[grant(Privileges::CONNECT), joins]), None);
    // A grant option does not give itself.
    let option = Grant { grantable: Privileges::CONNECT, ..on_shop(Privileges::CONNECT) };
    let option = |role: &str| Change::GrantPrivilege { role: Some(role.into()), grant: option.clone() };
    let mut catalog = server(OLD, CREATEROLE);
    join(&mut catalog, "me", member_of("group"));
    assert!(mended(&catalog, &[option("group"), grant(Privileges::CONNECT)]).is_some());
    let by_owner = Grant { grantable: Privileges::CONNECT, ..on_shop(Privileges::CONNECT) };
    catalog.roles.get_mut("group").unwrap().grants.push(by_owner);
    assert_eq!(mended(&catalog, &[option("alice"), grant(Privileges::CONNECT)]), None);
}

#[test]
fn attributes_are_given_by_superusers_and_since_16_by_those_who_have_them() {
    let [superuser, replication, bypassrls, createdb] =
        [Attributes::SUPERUSER, Attributes::REPLICATION, Attributes::BYPASSRLS, Attributes::CREATEDB];
    for attribute in [superuser, replication, bypassrls] {
        assert_mend(&server(OLD, CREATEROLE), create(attribute, &[]), &["ALTER ROLE me SUPERUSER"]);
    }
    assert_mend(&server(OLD, CREATEROLE), create(createdb, &[]), &[]);
    assert_mend(&server(NEW, CREATEROLE), create(superuser, &[]), &["ALTER ROLE me SUPERUSER"]);
    for (attribute, mend) in [
        (replication, "ALTER ROLE me REPLICATION"),
        (bypassrls, "ALTER ROLE me BYPASSRLS"),
        (createdb, "ALTER ROLE me CREATEDB"),
    ] {
        assert_mend(&server(NEW, CREATEROLE), create(attribute, &[]), &[mend]);
        assert_mend(&server(NEW, CREATEROLE | attribute), create(attribute, &[]), &[]);
        let mut catalog = server(NEW, CREATEROLE);
        join(&mut catalog, "me", admin_of("alice"));
        assert_mend(&catalog, patch("alice", attribute, NONE), &[mend]);
        // What is too much is taken by hand.
        let without = mend.replace("me ", "alice NO");
        assert_mend(&catalog, patch("alice", NONE, attribute), &[&without]);
    }
    assert_mend(&server(OLD, CREATEROLE), patch("alice", bypassrls, NONE), &["ALTER ROLE alice BYPASSRLS"]);
}

#[test]
fn a_superuser_is_out_of_reach_and_before_16_a_role_with_replication_but_for_its_settings() {
    for version in [OLD, NEW] {
        let mut catalog = server(version, CREATEROLE);
        add(&mut catalog, "root", Attributes::SUPERUSER, &[]);
        join(&mut catalog, "me", admin_of("root"));
        for change in [limit("root"), patch("root", NONE, Attributes::SUPERUSER)] {
            assert_mend(&catalog, change, &["ALTER ROLE root NOSUPERUSER"]);
        }
        // It is to stay one: then only a superuser can keep it.
        let steps = [step(limit("root"))];
        let reasons = denied(&steps, &catalog, &catalog.roles);
        assert_eq!(mends(&reasons["root"]), ["ALTER ROLE me SUPERUSER"]);
    }
    let mut catalog = server(OLD, CREATEROLE);
    add(&mut catalog, "alice", Attributes::REPLICATION, &[]);
    assert_mend(&catalog, patch("alice", NONE, Attributes::REPLICATION), &["ALTER ROLE alice NOREPLICATION"]);
    let comment = Some("c".to_owned());
    assert_mend(&catalog, Change::AlterRole(RolePatch { name: "alice".into(), comment, ..RolePatch::default() }), &[]);
    assert_mend(&catalog, setting("work_mem"), &[]);
    catalog.server.version = NEW;
    join(&mut catalog, "me", admin_of("alice"));
    assert_mend(&catalog, limit("alice"), &[]);
}

#[test]
fn membership_is_given_by_admins_and_before_16_by_createrole() {
    assert_mend(&server(OLD, CREATEROLE), create(Attributes::USER, &["group"]), &[]);
    assert_mend(&server(OLD, NONE), grant_role("group"), &["GRANT \"group\" TO me WITH ADMIN OPTION"]);
    let mend = "GRANT \"group\" TO me WITH ADMIN TRUE, INHERIT FALSE, SET FALSE";
    assert_mend(&server(NEW, CREATEROLE), create(Attributes::USER, &["group"]), &[mend]);
    assert_mend(&server(NEW, CREATEROLE), grant_role("group"), &[mend]);
    for version in [OLD, NEW] {
        let mut catalog = server(version, NONE);
        join(&mut catalog, "me", admin_of("group"));
        assert_mend(&catalog, grant_role("group"), &[]);
        // Of a superuser only by one.
        join(&mut catalog, "me", admin_of("postgres"));
        let mend = mended(&catalog, &[grant_role("postgres")]).unwrap();
        assert!(mend[0].starts_with("GRANT postgres TO alice"), "{mend:?}");
    }
}

#[test]
fn since_16_a_membership_is_revoked_by_who_has_the_privileges_of_its_grantor() {
    let change = || revoke_role("group", "app");
    assert_mend(&server(OLD, CREATEROLE), change(), &[]);
    let mut catalog = server(NEW, CREATEROLE);
    join(&mut catalog, "me", admin_of("group"));
    assert_mend(&catalog, change(), &["REVOKE \"group\" FROM alice GRANTED BY app"]);
    assert_mend(&catalog, revoke_role("group", "me"), &[]);
    join(&mut catalog, "me", Membership { inherit: false, ..member_of("app") });
    assert!(mended(&catalog, &[change()]).is_some(), "SET ROLE is not enough");
    join(&mut catalog, "me", member_of("app"));
    assert_mend(&catalog, change(), &[]);
}

#[test]
fn privileges_on_a_database_are_granted_by_its_owner_or_with_a_grant_option() {
    let both = Privileges::CONNECT | Privileges::CREATE;
    for version in [OLD, NEW] {
        let mut catalog = server(version, CREATEROLE);
        assert_mend(&catalog, grant(both), &["GRANT CREATE, CONNECT ON DATABASE shop TO me WITH GRANT OPTION"]);
        let held = Grant { grantable: Privileges::CONNECT, ..on_shop(both) };
        catalog.roles.get_mut("group").unwrap().grants.push(held);
        assert_mend(&catalog, grant(Privileges::CONNECT), &["GRANT CONNECT ON DATABASE shop TO me WITH GRANT OPTION"]);
        join(&mut catalog, "me", member_of("group"));
        assert_mend(&catalog, grant(Privileges::CONNECT), &[]);
        assert_mend(&catalog, grant(both), &["GRANT CREATE ON DATABASE shop TO me WITH GRANT OPTION"]);
        join(&mut catalog, "me", member_of("app"));
        assert_mend(&catalog, grant(both), &[]);
        catalog.databases.get_mut("shop").unwrap().owner = None;
        assert_mend(&catalog, grant(both), &[]);
    }
}

#[test]
fn privileges_on_a_database_are_revoked_in_the_name_of_who_granted_them() {
    let connect = Privileges::CONNECT;
    for (version, of_owner, of_other) in [
        (OLD, "GRANT app TO me", "GRANT \"group\" TO me"),
        (NEW, "GRANT app TO me WITH INHERIT TRUE", "GRANT \"group\" TO me WITH SET TRUE"),
    ] {
        let mut catalog = server(version, CREATEROLE);
        assert_mend(&catalog, revoke(connect), &[of_owner]);
        let grantors = BTreeMap::from([("group".to_owned(), connect)]);
        catalog.foreign_grantors.insert(("alice".into(), "shop".into()), grantors);
        assert_mend(&catalog, revoke(connect), &[of_other]);
        assert_mend(&catalog, revoke(connect | Privileges::CREATE), &[of_other, of_owner]);
        // SET ROLE is enough for what somebody else has granted.
        join(&mut catalog, "me", Membership { inherit: false, ..member_of("group") });
        assert_mend(&catalog, revoke(connect), &[]);
        join(&mut catalog, "me", member_of("app"));
        assert_mend(&catalog, revoke(connect | Privileges::CREATE), &[]);
    }
    let mut catalog = server(OLD, CREATEROLE);
    catalog.databases.get_mut("shop").unwrap().owner = Some("postgres".into());
    assert_mend(&catalog, revoke(connect), &["REVOKE CONNECT ON DATABASE shop FROM alice"]);
    // Who logged in as somebody else goes by what that one may become.
    catalog.server.session_user = "unseen".into();
    let grantors = BTreeMap::from([("group".to_owned(), connect)]);
    catalog.foreign_grantors.insert(("alice".into(), "shop".into()), grantors);
    assert_mend(&catalog, revoke(connect), &[]);
}

#[test]
fn a_parameter_of_superusers_is_set_by_them_or_by_who_was_allowed_to() {
    for (version, mend) in
        [(140_000, "ALTER ROLE alice SET log_statement TO 'on'"), (OLD, "GRANT SET ON PARAMETER log_statement TO me")]
    {
        let mut catalog = server(version, CREATEROLE);
        catalog.closed_parameters.insert("log_statement".into());
        assert_mend(&catalog, setting("log_statement"), &[mend]);
        assert_mend(&catalog, setting("work_mem"), &[]);
        assert_mend(&catalog, setting("app.tenant"), &[]);
    }
}

#[test]
fn objects_inside_of_databases_are_left_to_the_server_but_not_the_defaults_of_others() {
    let mut catalog = server(NEW, CREATEROLE);
    catalog.objects.insert("shop".into(), Objects::default());
    let inside = |on: Object| Change::GrantPrivilege {
        role: Some("alice".into()),
        grant: Grant { database: Some("shop".into()), on, ..on_shop(Privileges::SELECT) },
    };
    assert_mend(&catalog, inside(Object::Table { schema: "s".into(), name: "t".into() }), &[]);
    let later = || inside(Object::FutureTables { owner: "app".into(), schema: None });
    assert_mend(&catalog, later(), &["GRANT app TO me WITH INHERIT TRUE"]);
    join(&mut catalog, "me", member_of("app"));
    assert_mend(&catalog, later(), &[]);
}

#[test]
fn where_a_provider_has_changed_the_rules_the_server_has_the_word() {
    let mut catalog = server(OLD, CREATEROLE);
    catalog.closed_parameters.insert("log_statement".into());
    add(&mut catalog, "rds_superuser", Attributes::GROUP, &[]);
    assert_mend(&catalog, create(Attributes::REPLICATION, &[]), &[]);
    assert_mend(&catalog, setting("log_statement"), &[]);
    catalog.server.version = NEW;
    assert!(mended(&catalog, &[limit("alice")]).is_some());
}

#[test]
fn a_removal_ends_half_way_without_the_privileges_of_both_sides() {
    let steps = [step(Change::DropRole { name: "alice".into(), reassign_to: None })];
    let told = |catalog: &Catalog, owned: u64, sessions: u64, receiver: &str| {
        let dependencies = BTreeMap::from([("shop".to_owned(), owned)]);
        let removal = Removal { reassign_to: receiver.into(), dependencies, sessions, ..Removal::default() };
        let reasons = unfinished(&BTreeMap::from([("alice".to_owned(), removal)]), &steps, catalog);
        let reasons = reasons.get("alice").cloned().unwrap_or_default();
        mends(&reasons).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut catalog = server(OLD, CREATEROLE);
    assert!(told(&catalog, 0, 0, "app").is_empty());
    assert_eq!(told(&catalog, 1, 0, "me"), ["GRANT alice TO me"]);
    assert_eq!(told(&catalog, 0, 1, "me"), ["GRANT pg_signal_backend TO me"]);
    join(&mut catalog, "me", member_of("alice"));
    assert!(told(&catalog, 1, 1, "me").is_empty());
    assert_eq!(told(&catalog, 1, 1, "app"), ["GRANT app TO me"]);
    let mut without_inherit = server(OLD, CREATEROLE);
    without_inherit.roles.get_mut("me").unwrap().attributes -= Attributes::INHERIT;
    assert_eq!(told(&without_inherit, 1, 0, "me"), ["GRANT alice TO me", "ALTER ROLE me INHERIT"]);
    assert!(told(&server(NEW, Attributes::SUPERUSER), 1, 1, "app").is_empty());
}
