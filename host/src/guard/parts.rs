//! A judged plan in parts, each for a transaction of its own, where one transaction would take more
//! locks than the server has room for. What a part contains is decided here; running it is the
//! business of `postgres::apply`, and recording it that of `reconcile::act`.
//!
//! PostgreSQL keeps a lock until the end of its transaction on every role that is created (from
//! version 16 on), dropped, commented on, given a setting, or named in the ACL of a database. Ordinary
//! plans are one part. In larger ones a role's steps stay together, and the parts come in an order in
//! which nobody ever holds more than he held before or will hold after:
//!
//! 1. what is taken from roles that have members,
//! 2. new roles that get members,
//! 3. roles without members, each as a whole,
//! 4. what is given to roles that have members.
//!
//! Inside of a database, the row-level security of tables comes before all of these: whoever is granted something on one
//! sees no row that is not meant for him.
//!
//! For until 2. begins, every role can reach a subset of what it could before the plan; and from then
//! on those without members have either their old memberships or their new ones, both in roles that
//! hold no more than what is in the old state and in the new one.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::GuardedPlan;
use crate::catalog::Catalog;
use crate::model::{Attributes, Membership, Object, Role, TableName};
use crate::plan::{Change, RolePatch, Step};

/// Steps of a judged plan that run in one transaction.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    steps: Cow<'a, [Step]>,
    /// Position in the plan of each step; `None`: the part is the plan.
    positions: Option<Vec<usize>>,
    /// `None`: not taken apart yet.
    units: Option<Vec<Unit>>,
}

/// What runs inside of one database: there, a transaction reaches nothing of the others.
#[derive(Debug, Clone)]
pub struct Inside {
    /// Revocations: before the rest of the plan, so that nobody holds old and new privileges at once.
    pub taken: Part<'static>,
    /// Grants: after it, when every role is there.
    pub given: Part<'static>,
}

/// What belongs together, for one role.
#[derive(Debug, Clone)]
struct Unit {
    steps: Vec<(usize, Step)>,
    locks: BTreeSet<Lock>,
}

/// Something that is locked until the transaction ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Role(String),
    Database(String),
    Table(TableName),
}

impl GuardedPlan {
    /// What concerns the whole server and comes after the renames, in as few parts as keep each within that many locks. One role's
    /// steps are never taken apart for that, however many locks they take.
    pub fn parts(&self, catalog: &Catalog, room: usize) -> Vec<Part<'_>> {
        self.after_renames().fitting(catalog, room)
    }

    /// The databases that it makes: the one thing that no transaction can hold.
    pub fn creations(&self) -> Part<'static> {
        self.picked(|change| matches!(change, Change::CreateDatabase(_)))
    }

    /// Its scripts, each of which has a transaction of its own after everything else.
    pub fn scripts(&self) -> Part<'static> {
        self.picked(|change| change.script().is_some())
    }

    /// The plan as one part, but for what runs inside of databases, what makes them, and scripts.
    pub fn on_the_server(&self) -> Part<'_> {
        let steps = &self.plan().steps;
        if steps.iter().all(|step| is_here(&step.change)) {
            return Part { steps: Cow::Borrowed(steps), positions: None, units: None };
        }
        self.picked(is_here)
    }

    /// What can be tried without leaving anything behind: not what needs a database that is yet to be made.
    pub fn on_the_server_today(&self) -> Part<'static> {
        let new: BTreeSet<&str> = self.plan().databases_created().collect();
        self.picked(|change| {
            let named = match change {
                Change::CreateDatabase(database) | Change::AlterDatabase(database) => Some(database.name.as_str()),
                Change::GrantPrivilege { grant, .. } | Change::RevokePrivilege { grant, .. } => match &grant.on {
                    Object::Database(name) => Some(name.as_str()),
                    _ => None,
                },
                Change::SetSetting { setting, .. } | Change::ResetSetting { setting, .. } => {
                    setting.database.as_deref()
                }
                _ => None,
            };
            is_here(change) && named.is_none_or(|name| !new.contains(name))
        })
    }

    /// The renames, with the passwords of those who are renamed: with a name, the server forgets what MD5 made of it.
    /// They come before everything else, as everything else goes by the new names.
    pub fn renames(&self) -> Part<'static> {
        let renamed = self.renamed();
        self.picked(|change| is_with_rename(change, &renamed))
    }

    /// What concerns the whole server and is no rename.
    pub fn after_renames(&self) -> Part<'_> {
        let renamed = self.renamed();
        if renamed.is_empty() {
            return self.on_the_server();
        }
        self.picked(|change| is_here(change) && !is_with_rename(change, &renamed))
    }

    fn renamed(&self) -> BTreeSet<&str> {
        let renames = self.plan().steps.iter().filter(|step| matches!(step.change, Change::RenameRole { .. }));
        renames.filter_map(|step| step.change.role()).collect()
    }

    /// What runs inside of databases, by their names.
    pub fn inside(&self) -> BTreeMap<&str, Inside> {
        let databases: BTreeSet<&str> = self.plan().steps.iter().filter_map(|step| step.change.database()).collect();
        let new: BTreeSet<&str> = self.plan().databases_created().collect();
        let inside = |database| {
            // Before a database is there, nothing can be taken away in it.
            let takes = |change: &Change| matches!(change, Change::RevokePrivilege { .. }) && !new.contains(database);
            Inside {
                taken: self.picked(|change| change.database() == Some(database) && takes(change)),
                given: self.picked(|change| change.database() == Some(database) && !takes(change)),
            }
        };
        databases.into_iter().map(|database| (database, inside(database))).collect()
    }

    /// The roles that are made and get something in this database, by their names alone, and all renames: a transaction
    /// there has to make them to rehearse it.
    pub fn creations_for(&self, database: &str) -> Part<'static> {
        let there = self.plan().steps.iter().filter(|step| step.change.database() == Some(database));
        let named = there.flat_map(|step| match &step.change {
            Change::AlterDatabase(database) => database.schemas.iter().filter_map(|it| it.owner.as_deref()).collect(),
            Change::SecureTable { how, .. } => {
                how.made().into_iter().flat_map(|policy| &policy.roles).map(String::as_str).collect()
            }
            Change::GrantPrivilege { role, grant } => {
                role.as_deref().into_iter().chain(grant.on.future_owner()).collect()
            }
            change => Vec::from_iter(change.role()),
        });
        let roles: BTreeSet<&str> = named.collect();
        self.made_by_name(|name| roles.contains(name))
    }

    /// All roles that are made, in the same way.
    pub fn role_creations(&self) -> Part<'static> {
        self.made_by_name(|_| true)
    }

    fn made_by_name(&self, wanted: impl Fn(&str) -> bool) -> Part<'static> {
        let mut part = self.picked(|change| match change {
            Change::CreateRole(role) => wanted(&role.name),
            Change::RenameRole { .. } => true,
            _ => false,
        });
        for step in part.steps.to_mut() {
            if let Change::CreateRole(role) = &mut step.change {
                *role = Role::new(role.name.clone(), role.mode, Attributes::GROUP);
            }
        }
        part
    }

    fn picked(&self, wanted: impl Fn(&Change) -> bool) -> Part<'static> {
        let steps = self.plan().steps.iter().enumerate().filter(|(_, step)| wanted(&step.change));
        let (positions, steps) = steps.map(|(index, step)| (index, step.clone())).unzip();
        Part { steps: Cow::Owned(steps), positions: Some(positions), units: None }
    }
}

impl Part<'_> {
    /// Its steps, in the order in which they run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where the step at this index of the part stands in the plan.
    pub fn position(&self, index: usize) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.get(index).copied(),
            None => (index < self.steps.len()).then_some(index),
        }
    }

    /// Where its steps stand in the plan.
    pub fn positions(&self) -> BTreeSet<usize> {
        (0..self.steps.len()).filter_map(|index| self.position(index)).collect()
    }

    /// The same without the steps of some roles and databases, as [`Change::subject`] calls them.
    #[must_use]
    pub fn without(&self, subjects: &BTreeSet<&str>) -> Part<'static> {
        let stays = |step: &Step| !subjects.contains(step.change.subject().as_ref());
        let (positions, steps) =
            self.indexed().filter(|(_, step)| stays(step)).map(|(index, step)| (index, step.clone())).unzip();
        Part { steps: Cow::Owned(steps), positions: Some(positions), units: None }
    }

    /// The same in as few parts as keep each within that many locks.
    pub fn fitting(self, catalog: &Catalog, room: usize) -> Vec<Self> {
        let all: BTreeSet<Lock> = self.steps().iter().flat_map(|step| locks(&step.change, catalog)).collect();
        if all.len() <= room { vec![self] } else { pack(units(self.indexed(), catalog), room) }
    }

    fn indexed(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.steps.iter().enumerate().map(|(index, step)| (self.position(index).unwrap_or(index), step))
    }

    /// The same in smaller parts; `None` where it is about one role only.
    pub fn halved(&self, catalog: &Catalog) -> Option<Vec<Part<'static>>> {
        let units = self.units.clone().unwrap_or_else(|| units(self.indexed(), catalog));
        let all: BTreeSet<&Lock> = units.iter().flat_map(|unit| &unit.locks).collect();
        let room = all.len() / 2;
        let parts = pack(units, room);
        (parts.len() > 1).then_some(parts)
    }
}

/// Whether a change goes into the transaction of what concerns the whole server.
fn is_here(change: &Change) -> bool {
    change.database().is_none() && !matches!(change, Change::CreateDatabase(_) | Change::RunScript(_))
}

/// Whether a change goes together with the renames of these roles.
fn is_with_rename(change: &Change, renamed: &BTreeSet<&str>) -> bool {
    match change {
        Change::RenameRole { .. } => true,
        Change::SetPassword(role) => renamed.contains(role.as_str()),
        _ => false,
    }
}

/// Fills one part after the other.
fn pack(units: Vec<Unit>, room: usize) -> Vec<Part<'static>> {
    let mut parts = Vec::new();
    let (mut current, mut held): (Vec<Unit>, BTreeSet<Lock>) = (Vec::new(), BTreeSet::new());
    for unit in units {
        let more = unit.locks.difference(&held).count();
        if !current.is_empty() && held.len() + more > room {
            parts.push(part(std::mem::take(&mut current)));
            held.clear();
        }
        held.extend(unit.locks.iter().cloned());
        current.push(unit);
    }
    if !current.is_empty() {
        parts.push(part(current));
    }
    parts
}

/// Within a transaction the plan's own order holds.
fn part(units: Vec<Unit>) -> Part<'static> {
    let mut steps: Vec<&(usize, Step)> = units.iter().flat_map(|unit| &unit.steps).collect();
    steps.sort_by_key(|(position, _)| *position);
    let positions = steps.iter().map(|(position, _)| *position).collect();
    let steps = steps.into_iter().map(|(_, step)| step.clone()).collect();
    Part { steps: Cow::Owned(steps), positions: Some(positions), units: Some(units) }
}

/// The plan by role, in the order that the head of this file tells of.
fn units<'a>(steps: impl Iterator<Item = (usize, &'a Step)>, catalog: &'a Catalog) -> Vec<Unit> {
    let steps: Vec<(usize, &Step)> = steps.collect();
    let with_members = with_members(&steps, catalog);
    let mut positions: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    let mut units: Vec<(u8, Unit)> = Vec::new();
    for (index, step) in steps {
        let role = match &step.change {
            // Tables of the same name go together. Nothing else is in their stage.
            Change::SecureTable { table, .. } => table.name.as_str(),
            change => change.role().unwrap_or(""),
        };
        let stages = if matches!(step.change, Change::SecureTable { .. }) {
            vec![(0, step.clone())]
        } else if matches!(step.change, Change::AlterDatabase(_)) {
            vec![(2, step.clone())]
        } else if !with_members.contains(role) {
            vec![(3, step.clone())]
        } else if !catalog.roles.contains_key(role) {
            vec![(2, step.clone())]
        } else {
            taken_and_given(step)
        };
        for (stage, step) in stages {
            let position = *positions.entry((stage, role)).or_insert_with(|| {
                units.push((stage, Unit { steps: Vec::new(), locks: BTreeSet::new() }));
                units.len() - 1
            });
            if let Some((_, unit)) = units.get_mut(position) {
                unit.locks.extend(locks(&step.change, catalog));
                unit.steps.push((index, step));
            }
        }
    }
    // Stable: created roles stay before their members.
    units.sort_by_key(|(stage, _)| *stage);
    units.into_iter().map(|(_, unit)| unit).collect()
}

/// Roles that have members, before the plan or after it, and those that a database will belong to.
fn with_members<'a>(steps: &[(usize, &'a Step)], catalog: &'a Catalog) -> BTreeSet<&'a str> {
    let found = catalog.roles.values().flat_map(|role| &role.memberships);
    let owners = steps.iter().filter_map(|(_, step)| match &step.change {
        Change::AlterDatabase(database) => database.owner.as_deref(),
        _ => None,
    });
    let made = steps.iter().flat_map(|(_, step)| match &step.change {
        Change::CreateRole(role) => role.memberships.as_slice(),
        Change::GrantRole { membership, .. } => std::slice::from_ref(membership),
        _ => &[],
    });
    found.chain(made).map(|edge: &Membership| edge.role.as_str()).chain(owners).collect()
}

/// A step for a role that is there and has members: what it takes, and what it gives.
fn taken_and_given(step: &Step) -> Vec<(u8, Step)> {
    match &step.change {
        Change::AlterRole(patch) if !patch.set.is_empty() => {
            let given = RolePatch { name: patch.name.clone(), set: patch.set, ..RolePatch::default() };
            let taken = RolePatch { set: Attributes::empty(), ..patch.clone() };
            let mut stages = Vec::new();
            if taken != (RolePatch { name: patch.name.clone(), ..RolePatch::default() }) {
                stages.push((1, Step { change: Change::AlterRole(taken), ..step.clone() }));
            }
            stages.push((4, Step { change: Change::AlterRole(given), ..step.clone() }));
            stages
        }
        Change::GrantRole { .. } | Change::GrantPrivilege { .. } | Change::SetSetting { .. } => vec![(4, step.clone())],
        _ => vec![(1, step.clone())],
    }
}

/// What a change locks until the end of its transaction, as `pg_locks` shows it.
fn locks(change: &Change, catalog: &Catalog) -> Vec<Lock> {
    // Since memberships have options, CREATE ROLE, and GRANT and REVOKE of roles, lock the role whose
    // members they write.
    let locks_members = catalog.server.has_membership_options();
    match change {
        Change::CreateRole(role) => {
            let mut locks = Vec::new();
            if locks_members {
                locks.push(Lock::Role(role.name.clone()));
                locks.extend(role.memberships.iter().map(|edge| Lock::Role(edge.role.clone())));
            } else if role.comment.as_deref().is_some_and(|comment| !comment.is_empty()) {
                locks.push(Lock::Role(role.name.clone()));
            }
            locks
        }
        Change::AlterRole(patch) if patch.comment.is_some() => vec![Lock::Role(patch.name.clone())],
        Change::GrantRole { membership, .. } | Change::RevokeRole { membership, .. } if locks_members => {
            vec![Lock::Role(membership.role.clone())]
        }
        Change::GrantPrivilege { role, grant } | Change::RevokePrivilege { role, grant } => {
            let database = match &grant.on {
                Object::Database(name) => Some(Lock::Database(name.clone())),
                _ => None,
            };
            role.clone().map(Lock::Role).into_iter().chain(database).collect()
        }
        Change::SetSetting { role, setting } | Change::ResetSetting { role, setting } => {
            let database = setting.database.clone().map(Lock::Database);
            std::iter::once(Lock::Role(role.clone())).chain(database).collect()
        }
        Change::SecureTable { table, .. } => vec![Lock::Table(table.clone())],
        // What begins a removal is an ALTER ROLE.
        _ => Vec::new(),
    }
}
