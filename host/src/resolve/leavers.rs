//! What becomes of recorded roles that are no longer declared: most go, and some stay, with a finding that says why.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Records, Resolved, is_same};
use crate::catalog::Catalog;
use crate::model::{Finding, Role, Severity, Spec};

/// What becomes of recorded roles that are no longer declared.
pub(super) fn leave(
    left_out: &BTreeSet<String>,
    spec: &Spec,
    catalog: &Catalog,
    records: &Records,
    resolved: &mut Resolved,
) {
    let mut going = BTreeSet::new();
    for (name, record) in records.iter().filter(|(name, _)| !spec.roles.contains_key(*name)) {
        let warn = |message: String| {
            Finding::new(Severity::Warning, "role-released", "", message)
                .help("drop it by hand if it should go; Rolewright does not touch it any more")
        };
        if !catalog.roles.contains_key(name) {
            resolved.released.insert(name.clone());
        } else if catalog.is_protected(name) {
            resolved.released.insert(name.clone());
            let message = format!("{name:?} is no longer declared, and protected: it stays");
            resolved.findings.push(warn(message));
        } else if !is_same(name, record, catalog) {
            resolved.released.insert(name.clone());
            let message = format!("{name:?} is no longer declared, and somebody has made it anew since: it stays");
            resolved.findings.push(warn(message));
        } else if left_out.contains(name) {
            resolved.skipped.insert(name.clone());
            resolved.desired.extend(catalog.roles.get(name).map(|found| (name.clone(), found.clone())));
        } else {
            going.insert(name.clone());
        }
    }
    for (name, members) in in_use(&going, catalog, records, resolved) {
        going.remove(&name);
        let message =
            format!("{name:?} is named by no user any more, and stays: it has other members ({})", members.join(", "));
        resolved.findings.push(
            Finding::new(Severity::Warning, "role-in-use", "", message)
                .help("revoke these memberships, and the role goes in the next cycle"),
        );
        if let Some(found) = catalog.roles.get(&name) {
            resolved.desired.insert(name, found.clone());
        }
    }
    let was_declared = |name: &&String| records.get(*name).is_some_and(|it| it.kind == Kind::Group && it.is_declared());
    resolved.removable_groups = going.iter().filter(was_declared).cloned().collect();
    resolved.removable = going;
}

/// Group roles that others have come to use: they stay as long as somebody is a member who is not
/// about to leave, and so do the groups that these are members of.
fn in_use(
    going: &BTreeSet<String>,
    catalog: &Catalog,
    records: &Records,
    resolved: &Resolved,
) -> BTreeMap<String, Vec<String>> {
    let is_group = |name: &str| records.get(name).is_some_and(|record| record.kind == Kind::Group);
    let mut staying: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !going.iter().any(|name| is_group(name)) {
        return staying;
    }
    // What is declared names none of the roles that go, so whoever is in scope leaves them.
    let mut members: Vec<&Role> = catalog
        .roles
        .values()
        .filter(|role| {
            // The controller is a member of what it made, by itself.
            let is_controller = role.name == catalog.server.current_user;
            !resolved.in_scope.contains(&role.name) && !going.contains(&role.name) && !is_controller
        })
        .collect();
    while !members.is_empty() {
        let mut next = BTreeSet::new();
        for member in members {
            for edge in &member.memberships {
                if !going.contains(&edge.role) || !is_group(&edge.role) {
                    continue;
                }
                if !staying.contains_key(&edge.role) {
                    next.insert(edge.role.clone());
                }
                let names = staying.entry(edge.role.clone()).or_default();
                if !names.contains(&member.name) {
                    names.push(member.name.clone());
                }
            }
        }
        members = next.iter().filter_map(|name| catalog.roles.get(name)).collect();
    }
    staying
}
