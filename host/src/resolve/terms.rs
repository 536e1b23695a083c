//! Memberships that end by themselves. PostgreSQL knows no such thing: an edge whose time has come is
//! taken out of the spec, and so out of what must be.

use super::Resolved;
use crate::catalog::Catalog;
use crate::model::{Finding, Severity, Spec};

/// What became of memberships with an end.
#[derive(Debug, Default)]
pub struct Terms {
    /// When the next one will end, in Unix seconds.
    pub next: Option<i64>,
    /// Those that have: the member, and the role.
    pub ended: Vec<(String, String)>,
    /// What to say of these.
    pub findings: Vec<Finding>,
}

/// Takes out the memberships that have ended by now (Unix seconds).
pub fn in_force(spec: &mut Spec, now: i64) -> Terms {
    let mut terms = Terms::default();
    for role in spec.roles.values_mut() {
        let (name, path) = (&role.name, &role.path);
        role.memberships.retain(|edge| {
            let Some(until) = edge.until.filter(|until| *until <= now) else { return true };
            let message = format!("the membership of {name:?} in {:?} ended {}", edge.role, since(now - until));
            terms.ended.push((name.clone(), edge.role.clone()));
            terms.findings.push(
                Finding::new(Severity::Info, "membership-ended", path, message)
                    .help("take it out of users.yaml, or give it a later `until`"),
            );
            false
        });
    }
    terms.next = next(spec, now);
    terms
}

/// What has ended is taken also from roles that are otherwise left as they are, or keep what they have.
pub fn enforce(ended: &[(String, String)], spec: &Spec, catalog: &Catalog, resolved: &mut Resolved) {
    for (member, role) in ended {
        let declared = spec.roles.get(member).is_some_and(|it| it.memberships.iter().any(|edge| edge.role == *role));
        let is_left = declared || resolved.observed.contains(member);
        let Some(desired) = resolved.desired.get_mut(member).filter(|_| !is_left) else { continue };
        let before = desired.memberships.len();
        desired.memberships.retain(|edge| edge.role != *role);
        if desired.memberships.len() < before && !catalog.is_protected(member) {
            resolved.in_scope.insert(member.clone());
        }
    }
}

/// When the next membership will end.
pub fn next(spec: &Spec, now: i64) -> Option<i64> {
    ends(spec).filter(|until| *until > now).min()
}

/// How many have ended by now: what was seen to agree before one of them ended may not agree after it.
pub fn ended(spec: &Spec, now: i64) -> usize {
    ends(spec).filter(|until| *until <= now).count()
}

fn ends(spec: &Spec) -> impl Iterator<Item = i64> {
    spec.roles.values().flat_map(|role| &role.memberships).filter_map(|edge| edge.until)
}

fn since(seconds: i64) -> String {
    match seconds {
        0..120 => "just now".to_owned(),
        120..7_200 => format!("{} minutes ago", seconds / 60),
        7_200..172_800 => format!("{} hours ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Membership, Mode, Role};

    fn spec(ends: &[Option<i64>]) -> Spec {
        let mut role = Role::new("alice", Mode::Authoritative, Attributes::USER);
        let edge = |(number, until): (usize, &Option<i64>)| Membership {
            until: *until,
            ..Membership::plain(format!("group{number}"))
        };
        role.memberships = ends.iter().enumerate().map(edge).collect();
        Spec { roles: [("alice".to_owned(), role)].into(), ..Spec::default() }
    }

    #[test]
    fn a_membership_is_in_force_until_the_very_second_at_which_it_ends() {
        let ends = [None, Some(100), Some(101), Some(150)];
        let mut at_100 = spec(&ends);
        let terms = in_force(&mut at_100, 100);
        let left: Vec<&str> = at_100.roles["alice"].memberships.iter().map(|edge| edge.role.as_str()).collect();
        assert_eq!((left, terms.next), (vec!["group0", "group2", "group3"], Some(101)));
        assert_eq!(terms.ended, [("alice".to_owned(), "group1".to_owned())]);
        assert_eq!((ended(&spec(&ends), 99), ended(&spec(&ends), 150)), (0, 3));
        assert_eq!(in_force(&mut spec(&ends), 150).next, None);
    }
}
