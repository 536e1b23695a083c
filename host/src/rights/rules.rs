//! PostgreSQL's rules, one for each change: `user.c` for roles and memberships (14 and 15 are one, 16 to 18 another),
//! `aclchk.c` for privileges, `guc.c` for settings, `signalfuncs.c` for sessions.
//! <https://www.postgresql.org/docs/current/role-attributes.html>,
//! <https://www.postgresql.org/docs/15/role-attributes.html>.

use std::collections::BTreeMap;

use super::held::{Gain, Held};
use super::{Reason, mend};
use crate::catalog::is_predefined;
use crate::model::{Attributes, Grant, Membership, Object, Privileges, Role, Setting};
use crate::parameter;
use crate::plan::{Change, Removal, RolePatch};

/// What everybody needs who is to make roles, or to change them.
const LACKS_CREATEROLE: &str = "lacks CREATEROLE";

/// Why the controller cannot make a change; empty: it can, or the server has to tell.
pub(super) fn of(change: &Change, held: &Held<'_>, desired: &BTreeMap<String, Role>) -> Vec<Reason> {
    match change {
        Change::CreateRole(role) => create(role, held),
        Change::AlterRole(patch) => alter(patch, held, desired),
        Change::SetPassword(role) | Change::ClearPassword(role) => touch(role, Touch::Options, held, desired),
        Change::DropRole { name, .. } => touch(name, Touch::Options, held, desired),
        Change::SetSetting { role, setting } | Change::ResetSetting { role, setting } => {
            let mut reasons = touch(role, Touch::Settings, held, desired);
            reasons.extend(set(role, setting, change, held));
            reasons
        }
        Change::GrantRole { membership, .. } => {
            membership_of(&membership.role, held, || mend::by_hand(held, change)).into_iter().collect()
        }
        Change::RevokeRole { membership, .. } => revoke_role(membership, change, held),
        Change::GrantPrivilege { role: Some(_), grant } => grant_privilege(grant, held),
        Change::RevokePrivilege { role: Some(role), grant } => revoke_privilege(role, grant, change, held),
        // Renames and databases are judged ahead of all steps; what is about no role otherwise, the server has to tell. The
        // others never come through the guard.
        Change::RenameRole { .. }
        | Change::GrantPrivilege { role: None, .. }
        | Change::RevokePrivilege { role: None, .. }
        | Change::CreateDatabase(_)
        | Change::AlterDatabase(_)
        | Change::SecureTable { .. }
        | Change::RunScript(_) => Vec::new(),
    }
}

/// Whether a step can be done, or nobody knows, that would add to somebody's rights.
pub(super) fn is_open(gain: &Gain<'_>, held: &Held<'_>) -> bool {
    match gain {
        Gain::Membership(_, edge) => membership_of(&edge.role, held, Vec::new).is_none(),
        Gain::Option(_, grant) => grant_privilege(grant, held).is_empty(),
    }
}

/// What stands against the end of a removal: sessions, and what is owned. Neither keeps the role from being locked out.
pub(super) fn of_removal(role: &str, removal: &Removal, held: &Held<'_>) -> Vec<Reason> {
    let me = &held.own.name;
    let mut reasons = Vec::new();
    let acts = held.acts_as(role);
    if removal.sessions > 0 && !acts && !held.acts_as("pg_signal_backend") {
        let why = format!("{me:?} may not end its sessions without being a member of pg_signal_backend");
        reasons.push(Reason { why, mend: mend::privileges_of(held, "pg_signal_backend") });
    }
    let owns = removal.dependencies.values().any(|count| *count > 0);
    let sides = [(role, "what it owns and holds"), (removal.reassign_to.as_str(), "what it owns")];
    for (side, what) in sides.into_iter().filter(|(side, _)| owns && !held.acts_as(side)) {
        let verb = if side == role { "hand over" } else { "give to this role" };
        let why = format!("{me:?} may not {verb} {what} without the privileges of {side:?}");
        reasons.push(Reason { why, mend: mend::privileges_of(held, side) });
    }
    reasons
}

fn create(role: &Role, held: &Held<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !held.has(Attributes::CREATEROLE) {
        let why = format!("{:?} may not create roles: it {LACKS_CREATEROLE}", held.own.name);
        reasons.push(Reason { why, mend: vec![mend::own(held, Attributes::CREATEROLE)] });
    }
    reasons.extend(powers(None, role.attributes, Attributes::empty(), held));
    let superuser = || vec![mend::own(held, Attributes::SUPERUSER)];
    reasons.extend(role.memberships.iter().filter_map(|edge| membership_of(&edge.role, held, superuser)));
    reasons
}

fn alter(patch: &RolePatch, held: &Held<'_>, desired: &BTreeMap<String, Role>) -> Vec<Reason> {
    let attributes = patch.set | patch.clear;
    let only_comment = attributes.is_empty() && patch.connection_limit.is_none() && patch.valid_until.is_none();
    let mut reasons = touch(&patch.name, if only_comment { Touch::Comment } else { Touch::Options }, held, desired);
    // A role that is out of reach for what it is has been told of already.
    let found = held.role(&patch.name).map_or(Attributes::empty(), |found| found.attributes);
    let untouchable =
        if held.is_since_16() { Attributes::SUPERUSER } else { Attributes::SUPERUSER | Attributes::REPLICATION };
    reasons.extend(powers(Some(&patch.name), patch.set, patch.clear - (found & untouchable), held));
    reasons
}

/// Attributes that one has to have, or to be a superuser, in order to give or to take them. `role`: if it is there.
fn powers(role: Option<&str>, set: Attributes, clear: Attributes, held: &Held<'_>) -> Vec<Reason> {
    if held.is_provided {
        return Vec::new();
    }
    let attributes = set | clear;
    let me = &held.own.name;
    let of_superusers = if held.is_since_16() {
        Attributes::SUPERUSER
    } else {
        Attributes::SUPERUSER | Attributes::REPLICATION | Attributes::BYPASSRLS
    };
    let of_those_who_have_it = if held.is_since_16() {
        Attributes::CREATEDB | Attributes::REPLICATION | Attributes::BYPASSRLS
    } else {
        Attributes::empty()
    };
    let mut reasons = Vec::new();
    for attribute in (attributes & (of_superusers | of_those_who_have_it)).iter() {
        let word = attribute.keywords().collect::<Vec<_>>().join(", ");
        // By hand where that makes nobody more powerful, and keeps the role within reach.
        let by_hand = clear.contains(attribute) || (attribute == Attributes::BYPASSRLS && !held.is_since_16());
        let by_hand = role.filter(|_| by_hand).map(|role| mend::attribute(role, attribute, set.contains(attribute)));
        let (why, own) = if of_superusers.contains(attribute) {
            (format!("only a superuser may give or take {word}, and {me:?} is none"), Attributes::SUPERUSER)
        } else if held.has(attribute) {
            continue;
        } else {
            (format!("{me:?} may not give or take {word} without having it"), attribute)
        };
        reasons.push(Reason { why, mend: vec![by_hand.unwrap_or_else(|| mend::own(held, own))] });
    }
    reasons
}

/// What is done to a role that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// ALTER ROLE … RENAME TO.
    Name,
    /// ALTER ROLE with options, a password among them.
    Options,
    /// ALTER ROLE … SET.
    Settings,
    /// COMMENT.
    Comment,
}

pub(super) fn touch(name: &str, how: Touch, held: &Held<'_>, desired: &BTreeMap<String, Role>) -> Vec<Reason> {
    // One that the plan makes is one's own.
    let Some(found) = held.role(name) else { return Vec::new() };
    let me = &held.own.name;
    let mut reasons = Vec::new();
    let mut out_of_reach = |attribute: Attributes, why: String| {
        let is_to_stay = desired.get(name).is_some_and(|wanted| wanted.attributes.contains(attribute));
        let mend =
            if is_to_stay { mend::own(held, Attributes::SUPERUSER) } else { mend::attribute(name, attribute, false) };
        reasons.push(Reason { why, mend: vec![mend] });
    };
    if found.attributes.contains(Attributes::SUPERUSER) {
        let why = format!("it is a superuser, which only a superuser may change, and {me:?} is none");
        out_of_reach(Attributes::SUPERUSER, why);
    } else if found.attributes.contains(Attributes::REPLICATION)
        && how == Touch::Options
        && !held.is_since_16()
        && !held.is_provided
    {
        let why = "it has REPLICATION, and before PostgreSQL 16 only a superuser may change such a role".to_owned();
        out_of_reach(Attributes::REPLICATION, why);
    }
    if !held.has(Attributes::CREATEROLE) {
        let why = format!("{me:?} may not change roles: it {LACKS_CREATEROLE}");
        reasons.push(Reason { why, mend: vec![mend::own(held, Attributes::CREATEROLE)] });
    }
    if held.is_since_16() && !held.is_admin_of(name) {
        let why = format!("{me:?} may not change it: since PostgreSQL 16 that takes ADMIN OPTION on the role");
        reasons.push(Reason { why, mend: vec![mend::admin(held, name)] });
    }
    reasons
}

/// Who may grant or revoke membership in a role.
fn membership_of(role: &str, held: &Held<'_>, of_superuser: impl FnOnce() -> Vec<String>) -> Option<Reason> {
    // One that the plan makes is one's own.
    let found = held.role(role)?;
    let me = &held.own.name;
    if found.attributes.contains(Attributes::SUPERUSER) {
        let why = format!("only a superuser may grant or revoke {role:?}, which is one, and {me:?} is none");
        return Some(Reason { why, mend: of_superuser() });
    }
    if held.is_admin_of(role) || (held.is_provided && is_predefined(role)) {
        return None;
    }
    if held.is_since_16() {
        let why = format!("{me:?} may not grant or revoke {role:?} without ADMIN OPTION on it");
        return Some(Reason { why, mend: vec![mend::admin(held, role)] });
    }
    (!held.has(Attributes::CREATEROLE)).then(|| {
        let why =
            format!("{me:?} may not grant or revoke {role:?}: it has no ADMIN OPTION on it and {LACKS_CREATEROLE}");
        Reason { why, mend: vec![mend::admin(held, role)] }
    })
}

fn revoke_role(membership: &Membership, change: &Change, held: &Held<'_>) -> Vec<Reason> {
    let by_hand = || mend::by_hand(held, change);
    let foreign = membership.grantor.as_deref().filter(|grantor| held.is_since_16() && !held.acts_as(grantor));
    if let Some(grantor) = foreign.filter(|grantor| held.role(grantor).is_some()) {
        let why = format!(
            "{:?} may not revoke {:?}, since {grantor:?} has granted it, whose privileges it does not have",
            held.own.name, membership.role
        );
        return vec![Reason { why, mend: by_hand() }];
    }
    membership_of(&membership.role, held, by_hand).into_iter().collect()
}

fn grant_privilege(grant: &Grant, held: &Held<'_>) -> Vec<Reason> {
    let me = &held.own.name;
    match &grant.on {
        Object::Database(database) => {
            let wanted = grant.privileges | grant.grantable;
            let lacking = wanted - held.can_grant(database, wanted);
            if lacking.is_empty() {
                return Vec::new();
            }
            let words: Vec<&str> = lacking.keywords().collect();
            let why = format!(
                "{me:?} may not grant {} on database {database:?}: it neither has the privileges of its owner nor a \
                 grant option",
                words.join(", ")
            );
            vec![Reason { why, mend: vec![mend::grant_option(held, database, lacking)] }]
        }
        on => defaults(on, held),
    }
}

fn revoke_privilege(role: &str, grant: &Grant, change: &Change, held: &Held<'_>) -> Vec<Reason> {
    if grant.on.future_owner().is_some() {
        return defaults(&grant.on, held);
    }
    if grant.on.is_all() {
        return Vec::new();
    }
    let me = &held.own.name;
    let on = grant.on.in_words();
    let revoked = grant.privileges | grant.grantable;
    let mut by_others = Privileges::empty();
    let mut reasons = Vec::new();
    let foreign = held.catalog.foreign_grants(role, grant.database.as_deref(), &grant.on);
    for (grantor, privileges) in foreign.into_iter().flatten() {
        by_others |= *privileges;
        if privileges.intersects(revoked) && held.role(grantor).is_some() && !held.can_become(grantor) {
            let why = format!("{me:?} may not revoke what {grantor:?} has granted on {on}: it cannot SET ROLE to it");
            reasons.push(Reason { why, mend: vec![mend::becoming(held, grantor)] });
        }
    }
    let Object::Database(database) = &grant.on else { return reasons };
    let owner = held.catalog.databases.get(database).and_then(|database| database.owner.as_deref());
    if let Some(owner) = owner.filter(|owner| !(revoked - by_others).is_empty() && !held.acts_as(owner)) {
        let is_superuser = held.role(owner).is_some_and(|role| role.attributes.contains(Attributes::SUPERUSER));
        let mend = if is_superuser { mend::by_hand(held, change) } else { mend::privileges_of(held, owner) };
        let why = format!("{me:?} may not revoke what {owner:?}, the owner of {on}, has granted");
        reasons.push(Reason { why, mend });
    }
    reasons
}

/// Default privileges are set by those who have the privileges of the role that makes the objects; before 16, by its
/// members.
fn defaults(on: &Object, held: &Held<'_>) -> Vec<Reason> {
    let Some(maker) = on.future_owner() else { return Vec::new() };
    let may = if held.is_since_16() { held.acts_as(maker) } else { held.is_member_of(maker) };
    if may {
        return Vec::new();
    }
    let why = format!("{:?} may not set the default privileges of {maker:?}", held.own.name);
    vec![Reason { why, mend: mend::privileges_of(held, maker) }]
}

fn set(role: &str, setting: &Setting, change: &Change, held: &Held<'_>) -> Option<Reason> {
    let name = parameter::key(&setting.name);
    if held.is_provided || !held.catalog.closed_parameters.contains(&name) {
        return None;
    }
    let why = format!("only a superuser may set this parameter, {name}, or somebody whom one has allowed to");
    // Before 15 nobody can be given that right; for a role that is there, a superuser can do it.
    let by_hand = held.catalog.server.version < 150_000 && held.role(role).is_some();
    let mend = if by_hand { mend::by_hand(held, change) } else { vec![mend::parameter(held, &name)] };
    Some(Reason { why, mend })
}
