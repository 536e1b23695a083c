//! Spec change or drift? What the ledger last applied is held against each change: if the role was
//! already applied as the change would make it, the server moved away, and the change repairs
//! drift. Otherwise the spec moved.

use std::collections::BTreeMap;

use super::change::{Cause, Change, RolePatch};
use crate::model::{Expiry, Grant, Limit, Object, Privileges, Role};
use crate::parameter;

/// What was last applied to a role: the role, and the version of its Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied<'a> {
    /// The role as the last plan left it.
    pub role: &'a Role,
    /// The version of the Secret whose password was set.
    pub secret_version: Option<&'a str>,
}

/// The cause of a change, given what was last applied; for passwords, the version of the Secret as it is now; and the
/// role as it is declared now.
pub fn of(
    change: &Change,
    applied: &BTreeMap<&str, Applied<'_>>,
    secret_version: Option<&str>,
    declared: Option<&Role>,
) -> Cause {
    let Some(last) = change.role().and_then(|name| applied.get(name)) else { return Cause::Spec };
    let role = last.role;
    let drift = match change {
        Change::CreateRole(_) => true,
        Change::AlterRole(patch) => alter_is_drift(patch, role),
        Change::SetPassword(_) => last.secret_version.is_some() && last.secret_version == secret_version,
        Change::ClearPassword(_) => role.has_password == Some(false),
        Change::GrantRole { membership, .. } => role.memberships.iter().any(|edge| edge.role == membership.role),
        Change::RevokeRole { membership, .. } => {
            // An edge that changes its options is revoked and granted anew.
            !role.memberships.iter().any(|edge| edge.role == membership.role && edge.admin == membership.admin)
        }
        Change::GrantPrivilege { grant, .. } => {
            let was_given = role.grants.iter().any(|held| {
                held.database == grant.database && held.on == grant.on && held.privileges.contains(grant.privileges)
            });
            // What goes from a table takes along what is to stay on its columns.
            let table = grant.on.table_of();
            let was_taken_along = role.grants.iter().any(|held| {
                held.database == grant.database
                    && table.as_ref().is_some_and(|table| held.on == *table || concern_each_other(&held.on, table))
                    && is_given_up(held, grant.privileges, declared)
            });
            was_given && !was_taken_along
        }
        Change::RevokePrivilege { grant, .. } => !role.grants.iter().any(|held| {
            held.database == grant.database
                && (held.privileges.intersects(grant.privileges) || held.grantable.intersects(grant.grantable))
                && (held.on == grant.on
                    || (concern_each_other(&held.on, &grant.on) && !is_declared(held, grant.privileges, declared)))
        }),
        Change::SetSetting { setting, .. } => role.settings.iter().any(|held| parameter::same(held, setting)),
        Change::ResetSetting { setting, .. } => !role.settings.iter().any(|held| parameter::same_place(held, setting)),
        _ => false,
    };
    if drift { Cause::Drift } else { Cause::Spec }
}

/// Whether what was given before is still wished for.
fn is_declared(before: &Grant, privileges: Privileges, declared: Option<&Role>) -> bool {
    let mut grants = declared.into_iter().flat_map(|role| &role.grants);
    grants
        .any(|wish| wish.database == before.database && wish.on == before.on && wish.privileges.intersects(privileges))
}

/// Whether what was given before, or its grant option, is wished for no more.
fn is_given_up(before: &Grant, privileges: Privileges, declared: Option<&Role>) -> bool {
    let wishes = declared.into_iter().flat_map(|role| &role.grants);
    let wishes = wishes.filter(|wish| wish.database == before.database && wish.on == before.on);
    let (kept, options) = wishes.fold((Privileges::empty(), Privileges::empty()), |(kept, options), wish| {
        (kept | wish.privileges, options | wish.grantable)
    });
    (before.privileges & privileges).intersects(!kept) || (before.grantable & privileges).intersects(!options)
}

/// What was given on all objects of a schema may be taken away one by one, and the other way round.
fn concern_each_other(a: &Object, b: &Object) -> bool {
    let on_all = (a.is_all() || b.is_all()) && a.future_owner().is_none() && b.future_owner().is_none();
    on_all && a.kind() == b.kind() && a.schema() == b.schema()
}

/// One field that was applied as the patch wants it is enough: somebody moved it.
fn alter_is_drift(patch: &RolePatch, role: &Role) -> bool {
    let limit = role.connection_limit.unwrap_or(Limit::Unlimited);
    let expiry = role.valid_until.unwrap_or(Expiry::Never);
    (!patch.set.is_empty() && role.attributes.contains(patch.set))
        || (!patch.clear.is_empty() && !role.attributes.intersects(patch.clear))
        || patch.connection_limit.is_some_and(|wanted| wanted == limit)
        || patch.valid_until.is_some_and(|wanted| wanted == expiry)
        || patch.comment.as_deref().is_some_and(|wanted| wanted == role.comment.as_deref().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Membership, Mode};

    fn alice() -> Role {
        let mut role = Role::new("alice", Mode::Authoritative, Attributes::USER);
        role.memberships.push(Membership::plain("analyst"));
        role.has_password = Some(true);
        role
    }

    fn cause(change: &Change, secret_version: &str) -> Cause {
        let role = alice();
        let applied = BTreeMap::from([("alice", Applied { role: &role, secret_version: Some("1") })]);
        of(change, &applied, Some(secret_version), None)
    }

    fn grant(role: &str) -> Change {
        Change::GrantRole { member: "alice".into(), membership: Membership::plain(role) }
    }

    fn revoke(role: &str) -> Change {
        Change::RevokeRole { member: "alice".into(), membership: Membership::plain(role) }
    }

    #[test]
    fn what_was_applied_and_is_gone_is_drift_and_what_is_new_is_not() {
        assert_eq!(cause(&grant("analyst"), "1"), Cause::Drift);
        assert_eq!(cause(&grant("developer"), "1"), Cause::Spec);
        assert_eq!(cause(&revoke("developer"), "1"), Cause::Drift);
        assert_eq!(cause(&revoke("analyst"), "1"), Cause::Spec);
        assert_eq!(cause(&Change::CreateRole(alice()), "1"), Cause::Drift);
    }

    #[test]
    fn a_new_secret_is_a_change_of_the_spec_and_a_password_set_by_hand_is_drift() {
        let set = Change::SetPassword("alice".into());
        assert_eq!(cause(&set, "1"), Cause::Drift);
        assert_eq!(cause(&set, "2"), Cause::Spec);
    }

    #[test]
    fn an_attribute_that_somebody_set_is_drift() {
        let patch = RolePatch { name: "alice".into(), clear: Attributes::SUPERUSER, ..RolePatch::default() };
        assert_eq!(cause(&Change::AlterRole(patch), "1"), Cause::Drift);
        let patch = RolePatch { name: "alice".into(), set: Attributes::CREATEDB, ..RolePatch::default() };
        assert_eq!(cause(&Change::AlterRole(patch), "1"), Cause::Spec);
    }

    #[test]
    fn a_comment_that_somebody_changed_is_drift() {
        let patch = |comment: &str| {
            Change::AlterRole(RolePatch { name: "alice".into(), comment: Some(comment.into()), ..RolePatch::default() })
        };
        // It had none when it was last applied.
        assert_eq!(cause(&patch(""), "1"), Cause::Drift);
        assert_eq!(cause(&patch("on loan"), "1"), Cause::Spec);
    }

    #[test]
    fn a_setting_that_somebody_changed_or_added_is_drift() {
        let setting = |name: &str, value: &str| crate::model::Setting {
            database: None,
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let role = Role { settings: vec![setting("search_path", "a, \"b\"")], ..alice() };
        let applied = BTreeMap::from([("alice", Applied { role: &role, secret_version: None })]);
        let set = |name, value| Change::SetSetting { role: "alice".into(), setting: setting(name, value) };
        let reset = |name| Change::ResetSetting { role: "alice".into(), setting: setting(name, "") };
        assert_eq!(of(&set("search_path", "a, b"), &applied, None, None), Cause::Drift);
        assert_eq!(of(&set("search_path", "a"), &applied, None, None), Cause::Spec);
        assert_eq!(of(&reset("work_mem"), &applied, None, None), Cause::Drift);
        assert_eq!(of(&reset("search_path"), &applied, None, None), Cause::Spec);
    }

    #[test]
    fn a_privilege_beyond_what_was_applied_is_drift() {
        let grant = Grant {
            database: None,
            on: Object::Database("shop".into()),
            privileges: Privileges::CREATE,
            grantable: Privileges::empty(),
        };
        let role = Some("alice".to_owned());
        assert_eq!(cause(&Change::RevokePrivilege { role: role.clone(), grant: grant.clone() }, "1"), Cause::Drift);
        assert_eq!(cause(&Change::GrantPrivilege { role, grant }, "1"), Cause::Spec);
    }

    #[test]
    fn what_was_given_on_all_tables_and_is_taken_from_one_is_a_change_of_the_spec() {
        let grant =
            |on, privileges| Grant { database: Some("shop".into()), on, privileges, grantable: Privileges::empty() };
        let mut role = alice();
        role.grants.push(grant(Object::AllTables("sales".into()), Privileges::SELECT));
        let applied = BTreeMap::from([("alice", Applied { role: &role, secret_version: None })]);
        let revoke = |schema: &str, privileges| {
            let on = Object::Table { schema: schema.into(), name: "orders".into() };
            let change = Change::RevokePrivilege { role: Some("alice".into()), grant: grant(on, privileges) };
            of(&change, &applied, None, Some(&alice()))
        };
        assert_eq!(revoke("sales", Privileges::SELECT), Cause::Spec);
        assert_eq!(revoke("sales", Privileges::DELETE), Cause::Drift);
        assert_eq!(revoke("stock", Privileges::SELECT), Cause::Drift);
    }

    #[test]
    fn what_is_granted_again_on_a_column_since_its_table_took_it_along_is_a_change_of_the_spec_if_the_table_was_declared()
     {
        let grant =
            |on, grantable| Grant { database: Some("shop".into()), on, privileges: Privileges::SELECT, grantable };
        let (option, none) = (Privileges::SELECT, Privileges::empty());
        let table = Object::Table { schema: "sales".into(), name: "orders".into() };
        let column = Object::Column { schema: "sales".into(), table: "orders".into(), column: "id".into() };
        let cause = |before: Vec<Grant>, declared: Vec<Grant>| {
            let role = Role { grants: before, ..alice() };
            let applied = BTreeMap::from([("alice", Applied { role: &role, secret_version: None })]);
            let change = Change::GrantPrivilege { role: Some("alice".into()), grant: grant(column.clone(), option) };
            of(&change, &applied, None, Some(&Role { grants: declared, ..alice() }))
        };
        let on_column = || grant(column.clone(), option);
        let all = Object::AllTables("sales".into());
        assert_eq!(cause(vec![on_column()], vec![on_column()]), Cause::Drift);
        assert_eq!(cause(vec![on_column(), grant(table.clone(), none)], vec![on_column()]), Cause::Spec);
        assert_eq!(cause(vec![on_column(), grant(all, none)], vec![on_column()]), Cause::Spec);
        let (with, without) = (grant(table.clone(), option), grant(table, none));
        assert_eq!(cause(vec![on_column(), with.clone()], vec![on_column(), without.clone()]), Cause::Spec);
        assert_eq!(cause(vec![on_column(), with.clone()], vec![on_column(), with]), Cause::Drift);
    }

    #[test]
    fn whoever_was_never_managed_has_not_drifted() {
        assert_eq!(of(&grant("analyst"), &BTreeMap::new(), None, None), Cause::Spec);
    }
}
