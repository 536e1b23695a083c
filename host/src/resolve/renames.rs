//! Roles that get another name. Which are due is decided before anything else: from then on, a cycle sees the server as
//! it will be after the renames, so that whatever else differs is planned and judged under the new names.
//!
//! A rename is due where the old role is there and the new one is not. Where neither is, the role is made; where
//! only the new one is, it was renamed before; where both are, nobody can tell which is meant.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Records, Resolved, is_same, skipped};
use crate::catalog::{Catalog, Objects};
use crate::model::{Finding, Mode, Object, Role, Severity, Spec};

/// `ALTER ROLE from RENAME TO to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The name that it has.
    pub from: String,
    /// The name that it gets.
    pub to: String,
}

/// The renames that are due, in the order of the new names. A role that is left as it is this time, for want of a
/// Secret for instance, keeps its name as well; so does a protected one. `left_out`: those that are left as they are
/// whatever is declared; `is_unmade`: databases that are declared, and will not be there all the same.
pub fn due(
    spec: &Spec,
    catalog: &Catalog,
    left_out: &BTreeSet<String>,
    is_unmade: impl Fn(&str) -> bool,
) -> Vec<Rename> {
    if spec.renamed_from.is_empty() {
        return Vec::new();
    }
    let declared =
        |name: &String| spec.roles.get(name).is_some_and(|role| !matches!(role.mode, Mode::Present | Mode::Observe));
    let is_due = |(to, from): &(&String, &String)| {
        catalog.roles.contains_key(*from)
            && !catalog.roles.contains_key(*to)
            && !catalog.is_protected(from)
            && !catalog.is_protected(to)
            && !spec.roles.contains_key(*from)
            && !spec.external.contains(*from)
            && declared(to)
    };
    let rename = |(to, from): (&String, &String)| Rename { from: from.clone(), to: to.clone() };
    let mut due: Vec<Rename> = spec.renamed_from.iter().filter(is_due).map(rename).collect();
    if due.is_empty() {
        return due;
    }
    // What is left as it is, is to be judged of the server as it will be: with the new names, and with the databases
    // that are declared.
    let mut after = catalog.clone();
    let absent = spec.databases.keys().filter(|name| !catalog.databases.contains_key(*name) && !is_unmade(name));
    after.absent.extend(absent.cloned());
    carry_out(&due, &mut after);
    let left = skipped::skipped(left_out, spec, &after, &mut Vec::new());
    due.retain(|rename| !left.contains(&rename.to));
    due
}

/// New names by old ones, or the other way round.
struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    fn new(renames: &'a [Rename]) -> Names<'a> {
        Names(renames.iter().map(|rename| (rename.from.as_str(), rename.to.as_str())).collect())
    }

    fn old(renames: &'a [Rename]) -> Names<'a> {
        Names(renames.iter().map(|rename| (rename.to.as_str(), rename.from.as_str())).collect())
    }

    fn set(&self, name: &mut String) {
        if let Some(other) = self.0.get(name.as_str()) {
            (*other).clone_into(name);
        }
    }

    fn keys<T>(&self, map: &mut BTreeMap<String, T>) {
        // All are taken out first: the name that one gets may be the one that another had.
        let moved: Vec<(&str, T)> = self.0.iter().filter_map(|(from, to)| Some((*to, map.remove(*from)?))).collect();
        map.extend(moved.into_iter().map(|(to, value)| (to.to_owned(), value)));
    }

    fn role(&self, role: &mut Role) {
        self.set(&mut role.name);
        for edge in &mut role.memberships {
            self.set(&mut edge.role);
            edge.grantor.iter_mut().for_each(|grantor| self.set(grantor));
        }
        role.memberships.sort();
        for grant in &mut role.grants {
            self.object(&mut grant.on);
        }
        role.grants.sort();
    }

    fn object(&self, object: &mut Object) {
        match object {
            Object::FutureTables { owner, .. }
            | Object::FutureSequences { owner, .. }
            | Object::FutureRoutines { owner, .. }
            | Object::FutureTypes { owner, .. }
            | Object::FutureSchemas { owner, .. } => self.set(owner),
            _ => {}
        }
    }
}

/// The catalog as it will be after the renames.
pub fn carry_out(renames: &[Rename], catalog: &mut Catalog) {
    if renames.is_empty() {
        return;
    }
    let names = Names::new(renames);
    names.keys(&mut catalog.roles);
    catalog.roles.values_mut().for_each(|role| names.role(role));
    names.keys(&mut catalog.oids);
    names.keys(&mut catalog.row_versions);
    for database in catalog.databases.values_mut() {
        database.owner.iter_mut().for_each(|owner| names.set(owner));
    }
    names.keys(&mut catalog.shared.held);
    catalog.shared.others.values_mut().for_each(|owner| names.set(owner));
    let held = catalog.shared.held.values_mut().flat_map(|held| held.values_mut());
    held.for_each(|held| names.keys(&mut held.foreign));
    let grantors = std::mem::take(&mut catalog.foreign_grantors);
    let renamed = grantors.into_iter().map(|((mut grantee, database), mut by)| {
        names.set(&mut grantee);
        names.keys(&mut by);
        ((grantee, database), by)
    });
    catalog.foreign_grantors = renamed.collect();
}

/// The records as they will be: a record belongs to a role, not to a name.
pub fn carry_over(renames: &[Rename], records: &mut Records) {
    if renames.is_empty() {
        return;
    }
    let names = Names::new(renames);
    names.keys(records);
    records.values_mut().filter_map(|record| record.applied.as_mut()).for_each(|role| names.role(role));
}

/// The roles as they are before the renames: for whoever judges a plan that the renames are part of.
pub fn before<'a>(renames: &[Rename], roles: &'a BTreeMap<String, Role>) -> Cow<'a, BTreeMap<String, Role>> {
    if renames.is_empty() {
        return Cow::Borrowed(roles);
    }
    let names = Names::old(renames);
    let mut roles = roles.clone();
    names.keys(&mut roles);
    roles.values_mut().for_each(|role| names.role(role));
    Cow::Owned(roles)
}

/// What these roles are called on the server, which is to be asked before the renames.
pub fn as_called(renames: &[Rename], roles: &BTreeSet<String>) -> BTreeSet<String> {
    let names = Names::old(renames);
    let mut called: Vec<String> = roles.iter().cloned().collect();
    called.iter_mut().for_each(|name| names.set(name));
    called.into_iter().collect()
}

/// What was answered, under the names that the roles get.
pub fn as_answered(renames: &[Rename], objects: &mut Objects) {
    Names::new(renames).keys(&mut objects.held);
}

/// What keeps a rename from being due although the old role is there. Its role then is left as it is, and so is the
/// old one: `kept`, by the names of those that nobody may remove.
pub(super) fn stuck(spec: &Spec, catalog: &Catalog, records: &Records, resolved: &mut Resolved) -> BTreeSet<String> {
    let mut kept = BTreeSet::new();
    for (to, from) in &spec.renamed_from {
        let Some(path) = spec.roles.get(to).map(|role| format!("{}/renamed_from", role.path)) else { continue };
        if catalog.is_protected(from) {
            resolved.blocked = true;
            let message = format!("{to:?} is renamed from {from:?}, which is a protected role");
            resolved.findings.push(
                Finding::new(Severity::Error, "protected-role", path, message)
                    .help("take `renamed_from` out; a protected role keeps its name"),
            );
            continue;
        }
        if !catalog.roles.contains_key(from) {
            continue;
        }
        let ours = |name: &String| records.get(name).is_some_and(|record| is_same(name, record, catalog));
        if !catalog.roles.contains_key(to) {
            // It waits for whatever its new role lacks, of which there is a finding.
            kept.insert(from.clone());
        } else if ours(to) && !ours(from) {
            let message = format!(
                "{to:?} is there, and so is a role {from:?} that is nobody's here: {to:?} is not renamed from it, and \
                 {from:?} is not touched"
            );
            resolved.findings.push(
                Finding::new(Severity::Info, "renamed-before", path, message)
                    .help("take `renamed_from` out: it has done its work"),
            );
        } else {
            kept.insert(from.clone());
            resolved.skipped.insert(to.clone());
            let message = format!(
                "{to:?} is left as it is: it is renamed from {from:?}, and both are there; {from:?} is left as it is, \
                 too"
            );
            resolved.findings.push(Finding::new(Severity::Error, "renamed-both-there", path, message).help(format!(
                "take `renamed_from` out if {to:?} is right and {from:?} may go; or drop {to:?} by hand, if \
                     {from:?} is to become it"
            )));
        }
    }
    kept
}

#[cfg(test)]
#[path = "renames_tests.rs"]
mod tests;
