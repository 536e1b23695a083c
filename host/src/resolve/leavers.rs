//! What becomes of recorded roles that are no longer declared: most go, and some stay, with a finding that says why.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Kind, Origin, Record, Records, Resolved, is_same};
use crate::catalog::Catalog;
use crate::model::{Attributes, Finding, Mode, Role, Severity, Spec};

/// How long a user that has gone from the spec is only disabled, before it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grace {
    /// Unix seconds.
    pub now: i64,
    /// Zero: it is dropped at once.
    pub seconds: i64,
}

/// A user that has gone from the spec and is not dropped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// When it was disabled, in Unix seconds; now, if that is still to be done.
    pub since: i64,
    /// When it is to be dropped.
    pub until: i64,
}

impl Grace {
    /// `None`: it is over, or there is none.
    fn of(self, record: &Record) -> Option<Leaving> {
        // A moment that is still to come was written by a clock that was wrong.
        let since = record.leaving_since.filter(|since| *since <= self.now).unwrap_or(self.now);
        let until = since.saturating_add(self.seconds);
        (self.now < until).then_some(Leaving { since, until })
    }
}

/// A moment in UTC, as people write it.
pub(crate) fn moment(seconds: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| "the end of time".to_owned())
}

/// What becomes of recorded roles that are no longer declared, but for those that are kept as they are.
pub(super) fn leave(
    left_out: &BTreeSet<String>,
    spec: &Spec,
    catalog: &Catalog,
    records: &Records,
    kept: &BTreeSet<String>,
    grace: Grace,
    resolved: &mut Resolved,
) {
    let mut going = BTreeSet::new();
    for (name, found) in kept.iter().filter_map(|name| catalog.roles.get_key_value(name)) {
        resolved.desired.insert(name.clone(), found.clone());
    }
    // What only observed roles name is none of anybody's business, and stays recorded.
    let is_gone = |name: &String| !spec.roles.contains_key(name) && !kept.contains(name) && !spec.spared.contains(name);
    for (name, record) in records.iter().filter(|(name, _)| is_gone(name)) {
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
        } else if let Some(why) = why_it_stays(spec, name, record) {
            resolved.released.insert(name.clone());
            let message = format!("{name:?} {why}: Rolewright lets go of it, and it stays as it is");
            resolved.findings.push(Finding::new(Severity::Info, "role-released", "", message));
        } else if let Some(leaving) = grace.of(record).filter(|_| record.kind == Kind::User) {
            stay_for_now(name, record, leaving, catalog, resolved);
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
        let who = members.join(", ");
        resolved.findings.push(if members.iter().all(|member| resolved.leaving.contains_key(member)) {
            let message =
                format!("{name:?} is named by no user any more, and stays until its members are dropped ({who})");
            Finding::new(Severity::Info, "role-in-use", "", message)
        } else {
            let message = format!("{name:?} is named by no user any more, and stays: it has other members ({who})");
            Finding::new(Severity::Warning, "role-in-use", "", message)
                .help("revoke these memberships, and the role goes in the next cycle")
        });
        if let Some(found) = catalog.roles.get(&name) {
            resolved.desired.insert(name, found.clone());
        }
    }
    let was_declared = |name: &&String| records.get(*name).is_some_and(|it| it.kind == Kind::Group && it.is_declared());
    let was_disabled = |name: &&String| {
        let record = records.get(*name).filter(|record| record.kind == Kind::User);
        record.and_then(|record| record.applied.as_ref()).is_some_and(|applied| !applied.is_user())
    };
    resolved.removable_users = going.iter().filter(was_disabled).cloned().collect();
    resolved.removable_groups = going.iter().filter(was_declared).cloned().collect();
    resolved.removable = going;
}

/// A user that may come back: it keeps everything but its login.
fn stay_for_now(name: &str, record: &Record, leaving: Leaving, catalog: &Catalog, resolved: &mut Resolved) {
    let Some(found) = catalog.roles.get(name) else { return };
    let role = Role { mode: Mode::Authoritative, attributes: found.attributes - Attributes::LOGIN, ..found.clone() };
    resolved.desired.insert(name.to_owned(), role);
    resolved.in_scope.insert(name.to_owned());
    resolved.disabled.insert(name.to_owned());
    resolved.leaving.insert(name.to_owned(), leaving);
    let disabled = match record.leaving_since {
        Some(_) => format!("disabled since {}", moment(leaving.since)),
        None => "disabled now".to_owned(),
    };
    let message = format!("{name:?} has gone from users.yaml; {disabled}, dropped after {}", moment(leaving.until));
    resolved.findings.push(
        Finding::new(Severity::Info, "user-leaving", "", message)
            .help("put it back before then, and it is enabled again with everything it had"),
    );
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
            let may_come_back = resolved.leaving.contains_key(&role.name);
            (may_come_back || !resolved.in_scope.contains(&role.name)) && !going.contains(&role.name) && !is_controller
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
