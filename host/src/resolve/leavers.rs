//! What becomes of recorded roles that are no longer declared: most go, and some stay, with a finding that says why.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Origin, Record, Records, Resolved, is_same};
use crate::catalog::Catalog;
use crate::model::{Finding, Mode, Role, Severity, Spec};

/// What becomes of recorded roles that are no longer declared.
pub(super) fn leave(spec: &Spec, catalog: &Catalog, records: &Records, resolved: &mut Resolved) {
    let mut going = BTreeSet::new();
    // What only observed roles name is none of anybody's business, and stays recorded.
    let gone = |name: &String| !spec.roles.contains_key(name) && !spec.spared.contains(name);
    for (name, record) in records.iter().filter(|(name, _)| gone(name)) {
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
        } else if let Some(why) = why_it_stays(spec, name, record) {
            resolved.released.insert(name.clone());
            let message = format!("{name:?} {why}: Rolewright lets go of it, and it stays as it is");
            resolved.findings.push(Finding::new(Severity::Info, "role-released", "", message));
        } else {
            going.insert(name.clone());
        }
    }
    let stay = records.keys().filter(|name| resolved.released.contains(*name) || spec.spared.contains(*name));
    for found in stay.filter_map(|name| catalog.roles.get(name)) {
        resolved.desired.insert(found.name.clone(), found.clone());
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

/// Whoever is declared last as one from which nothing is taken is not dropped either, but for what Rolewright made
/// itself; `None`: it goes.
fn why_it_stays(spec: &Spec, name: &str, record: &Record) -> Option<&'static str> {
    if spec.external.contains(name) {
        return Some("is external from now on");
    }
    match (record.applied.as_ref().map(|role| role.mode), record.origin) {
        (Some(Mode::Observe), _) => Some("is no longer declared, and was only observed"),
        (Some(Mode::Adopt), _) => Some("is no longer declared, and was adopted"),
        (Some(Mode::Additive), Origin::Adopted) => Some("is no longer declared, and was there before it was"),
        _ => None,
    }
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
