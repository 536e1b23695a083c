//! Powers that nobody comes to unless the operator has allowed them by name: by an attribute, by a membership however
//! long the way, or by a password.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, privileges};
use crate::catalog::Catalog;
use crate::model::{Attributes, Role, Standing};
use crate::plan::replay::{Outcome, Roles};

/// Attributes that nobody gets unless they are allowed by name.
const STRONG_ATTRIBUTES: Attributes =
    Attributes::SUPERUSER.union(Attributes::REPLICATION).union(Attributes::BYPASSRLS).union(Attributes::CREATEROLE);

/// Predefined roles whose members can leave the database: they run programs, read and write files
/// as the server does, or act in the name of others.
/// <https://www.postgresql.org/docs/current/predefined-roles.html>
const STRONG_ROLES: [&str; 4] =
    ["pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "pg_create_subscription"];

/// Rule 3. A role's power is its own strong attributes and those of every role that it can become,
/// and the strong predefined roles among them.
pub(super) fn raised(
    before: &BTreeMap<String, Role>,
    after: &Roles<'_>,
    in_scope: &BTreeSet<String>,
    allowed: &BTreeSet<String>,
    violations: &mut Vec<Violation>,
) {
    let allowed: BTreeSet<String> = allowed.iter().map(|power| power.to_lowercase()).collect();
    let (mut had, mut has) = (Reach::new(before), Reach::new(after));
    for (name, role) in after {
        let found = before.get(name);
        if found.is_some_and(|found| found.attributes == role.attributes && found.memberships == role.memberships) {
            // Whoever is above has changed if this one's power has, and is named instead.
            continue;
        }
        // Whoever is taken over brings nothing along. A stranger who merely loses a role that goes is not.
        let taken_over = in_scope.contains(name) && found.is_some_and(|found| found.standing == Standing::Foreign);
        let old = if taken_over { BTreeSet::new() } else { had.of(name) };
        for power in has.of(name).difference(&old) {
            if allowed.contains(&power.to_lowercase()) {
                continue;
            }
            let through = role.memberships.iter().find(|edge| has.of(&edge.role).contains(power));
            let through = through.map(|edge| format!(" through {:?}", edge.role)).unwrap_or_default();
            violations.push(Violation {
                rule: "power-raised",
                message: format!(
                    "{name:?} would come to {power}{through}, which is not in ALLOWED_POWERS; add it there if that is \
                     what you want"
                ),
            });
        }
    }
}

/// Rule 3, too: whoever knows a role's password has its power. So no Secret sets the password of one that is strong,
/// also if it was there before and keeps what it has.
pub(super) fn of_passwords(
    catalog: &Catalog,
    outcome: &Outcome<'_>,
    allowed: &BTreeSet<String>,
    violations: &mut Vec<Violation>,
) {
    let mut reach = Reach::new(&outcome.roles);
    for name in outcome.passwords_set.iter().filter(|name| catalog.roles.contains_key(*name)) {
        for power in beyond(name, &mut reach, catalog, allowed) {
            violations.push(Violation {
                rule: "power-raised",
                message: format!(
                    "{name:?} has {power}, which is not in ALLOWED_POWERS, and would get the password of a Secret; add it \
                     there if whoever writes that Secret may have this power"
                ),
            });
        }
    }
}

/// Powers that a role has now, and that are not allowed: no plan sets its password.
pub fn not_allowed(name: &str, catalog: &Catalog, allowed: &BTreeSet<String>) -> Vec<&'static str> {
    beyond(name, &mut Reach::new(&catalog.roles), catalog, allowed)
}

fn beyond<R: Borrow<Role>>(
    name: &str,
    reach: &mut Reach<'_, R>,
    catalog: &Catalog,
    allowed: &BTreeSet<String>,
) -> Vec<&'static str> {
    let held = reach.of(name).into_iter().chain(privileges::reached(name, catalog).into_keys());
    held.filter(|power| !allowed.iter().any(|word| word.eq_ignore_ascii_case(power))).collect()
}

/// What roles can reach through memberships, each computed once.
struct Reach<'a, R> {
    roles: &'a BTreeMap<String, R>,
    known: BTreeMap<&'a str, BTreeSet<&'static str>>,
}

impl<'a, R: Borrow<Role>> Reach<'a, R> {
    fn new(roles: &'a BTreeMap<String, R>) -> Self {
        Reach { roles, known: BTreeMap::new() }
    }

    /// The strong powers of a role. Walks the memberships without recursion, so that neither a
    /// long chain nor a cycle can do harm.
    fn of(&mut self, name: &str) -> BTreeSet<&'static str> {
        let roles = self.roles;
        let Some((name, _)) = roles.get_key_value(name) else { return BTreeSet::new() };
        if let Some(known) = self.known.get(name.as_str()) {
            return known.clone();
        }
        let mut powers: BTreeSet<&'static str> = BTreeSet::new();
        let mut seen: BTreeSet<&str> = BTreeSet::from([name.as_str()]);
        let mut next: Vec<&'a str> = vec![name];
        while let Some(current) = next.pop() {
            if let Some(known) = self.known.get(current) {
                powers.extend(known.iter().copied());
                continue;
            }
            if let Some(strong) = STRONG_ROLES.iter().find(|strong| **strong == current) {
                powers.insert(*strong);
            }
            let Some(role) = roles.get(current).map(Borrow::borrow) else { continue };
            powers.extend((role.attributes & STRONG_ATTRIBUTES).keywords());
            // An edge without any option is there, and of no use.
            for edge in role.memberships.iter().filter(|edge| edge.admin || edge.inherit || edge.set) {
                if seen.insert(&edge.role) {
                    next.push(&edge.role);
                }
            }
        }
        self.known.insert(name, powers.clone());
        powers
    }
}
