//! What comes before everything else in a plan, and is known to be impossible before a planner is asked: renames, and
//! databases that are to be made or to be given to somebody.
//!
//! The rules: `RenameRole` in PostgreSQL's `user.c`, `createdb` and `AlterDatabaseOwner` in its `dbcommands.c`.

use std::collections::BTreeMap;

use super::rules::{self, Touch};
use super::{Reason, Reasons, held::Held, mend, most};
use crate::catalog::Catalog;
use crate::model::{Attributes, Database, Mode, Role, Spec};
use crate::plan::{Cause, Change, Risk, Step};

/// The renames that the controller has no right to, by the new names.
pub fn renames(spec: &Spec, catalog: &Catalog) -> Reasons {
    if spec.renamed_from.is_empty() {
        return Reasons::new();
    }
    // Nothing comes before a rename, so nothing can be gained before it.
    let Some(held) = Held::new(catalog, &[], &[]) else { return Reasons::new() };
    let is_due = |(to, from): &(&String, &String)| {
        catalog.roles.contains_key(*from) && !catalog.roles.contains_key(*to) && !catalog.is_protected(from)
    };
    let denied = spec.renamed_from.iter().filter(is_due).map(|(to, from)| {
        let wanted: BTreeMap<String, Role> =
            spec.roles.get(to).map(|role| (from.clone(), role.clone())).into_iter().collect();
        let mut reasons = rules::touch(from, Touch::Name, &held, &wanted);
        reasons
            .iter_mut()
            .for_each(|reason| reason.why = format!("it cannot be renamed from {from:?}: {}", reason.why));
        (to.clone(), reasons)
    });
    denied.filter(|(_, reasons)| !reasons.is_empty()).collect()
}

/// What the controller has no right to do about a declared database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// To make it.
    Creation(Reason),
    /// To change its owner, its connection limit or its comment.
    Change(Reason),
    /// To give it to its owner.
    Owner(Reason),
}

/// The databases that are declared and cannot be made, or cannot be made what they are declared to be; by name. What lies
/// in them is left to the server.
pub fn databases(spec: &Spec, catalog: &Catalog) -> BTreeMap<String, Denied> {
    let differs = |declared: &&Database| {
        let found = catalog.databases.get(&declared.name);
        found.is_none_or(|found| {
            declared.owner.as_ref().is_some_and(|_| declared.owner != found.owner)
                || declared.connection_limit.is_some_and(|_| declared.connection_limit != found.connection_limit)
                || declared
                    .comment
                    .as_ref()
                    .is_some_and(|comment| comment != found.comment.as_deref().unwrap_or_default())
        })
    };
    let due: Vec<&Database> = spec.databases.values().filter(differs).collect();
    if due.is_empty() || spec.mode == Mode::Observe {
        return BTreeMap::new();
    }
    let steps = gaining(spec, catalog);
    let Some(held) = most(catalog, &steps) else { return BTreeMap::new() };
    due.into_iter().filter_map(|declared| Some((declared.name.clone(), of_database(declared, &held)?))).collect()
}

/// Whatever a plan for this spec may add to the controller's rights, as steps.
fn gaining(spec: &Spec, catalog: &Catalog) -> Vec<Step> {
    let roles = spec.roles.values().filter(|role| role.mode != Mode::Observe);
    let changes = roles.flat_map(|role| match catalog.roles.contains_key(&role.name) {
        false => vec![Change::CreateRole(role.clone())],
        true => {
            let grant = |membership: &crate::model::Membership| Change::GrantRole {
                member: role.name.clone(),
                membership: membership.clone(),
            };
            role.memberships.iter().map(grant).collect()
        }
    });
    let step = |change: Change| {
        let (reason, path, by) = (String::new(), String::new(), String::new());
        Step { change, risk: Risk::Safe, reason, path, cause: Cause::Spec, by }
    };
    changes.map(step).collect()
}

fn of_database(declared: &Database, held: &Held<'_>) -> Option<Denied> {
    let (name, me) = (&declared.name, &held.own.name);
    let found = held.catalog.databases.get(name);
    let has_createdb = held.has(Attributes::CREATEDB) || held.is_provided;
    let lacks_createdb = |what: &str| Reason {
        why: format!("{me:?} may not {what} databases: it lacks CREATEDB"),
        mend: vec![mend::own(held, Attributes::CREATEDB)],
    };
    match found {
        None if !has_createdb => return Some(Denied::Creation(lacks_createdb("create"))),
        None => {}
        Some(found) => {
            let owner = found.owner.as_deref().filter(|owner| !held.acts_as(owner));
            if let Some(owner) = owner {
                let is_superuser = held.role(owner).is_some_and(|role| role.attributes.contains(Attributes::SUPERUSER));
                let mend = match is_superuser {
                    true => mend::by_hand(held, &Change::AlterDatabase(changed(declared, found))),
                    false => mend::privileges_of(held, owner),
                };
                let why = format!("{me:?} may not change it without the privileges of its owner, {owner:?}");
                return Some(Denied::Change(Reason { why, mend }));
            }
        }
    }
    let owner =
        declared.owner.as_ref().filter(|owner| found.is_none_or(|found| found.owner.as_ref() != Some(*owner)))?;
    if !has_createdb {
        return Some(Denied::Owner(lacks_createdb("hand over")));
    }
    // One that the plan makes is one's own; and whom another session's user can become is not known.
    held.role(owner)?;
    let may = match held.is_since_16() {
        true => held.can_become(owner) || held.catalog.server.session_user != held.catalog.server.current_user,
        false => held.is_member_of(owner),
    };
    let why = || format!("{me:?} may not give it to {owner:?}, to which it cannot SET ROLE");
    (!may).then(|| Denied::Owner(Reason { why: why(), mend: vec![mend::becoming(held, owner)] }))
}

/// What is declared of it and is not so.
fn changed(declared: &Database, found: &Database) -> Database {
    Database {
        owner: declared.owner.clone().filter(|owner| found.owner.as_ref() != Some(owner)),
        connection_limit: declared.connection_limit.filter(|limit| found.connection_limit.as_ref() != Some(limit)),
        comment: declared.comment.clone().filter(|comment| *comment != found.comment.clone().unwrap_or_default()),
        ..Database::new(&declared.name)
    }
}
