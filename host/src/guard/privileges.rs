//! Privileges that give power beyond the data: which of them need an allowance, also when they come with a membership.
//!
//! With ALTER SYSTEM on almost any parameter a role gets hold of the server (`archive_command`, `ssl_key_file`), so all of
//! them need the one word. SET gives what the parameter gives: those that are strong as settings are strong here. USAGE on
//! a foreign-data wrapper lets a role make servers of its own, and so connect from the server's host to wherever it likes;
//! USAGE on a foreign server that somebody else made does not. On languages that are not trusted PostgreSQL itself grants
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::STRONG_PARAMETERS;
use crate::catalog::{Catalog, Held};
use crate::model::{Object, Privileges, Role};
use crate::parameter;
use crate::plan::Change;

/// The words for these powers in `ALLOWED_POWERS`; a parameter that may be SET goes by its own name.
pub const STRONG_PRIVILEGES: [&str; 2] = [ALTER_SYSTEM, FOREIGN_DATA_WRAPPER];

const ALTER_SYSTEM: &str = "ALTER_SYSTEM";
const FOREIGN_DATA_WRAPPER: &str = "FOREIGN_DATA_WRAPPER";

/// Tells `violate` which powers a step would give that are not allowed.
pub(super) fn check(
    change: &Change,
    catalog: &Catalog,
    allowed: &BTreeSet<String>,
    mut violate: impl FnMut(&'static str, String),
) {
    let is_allowed = |power: &str| allowed.iter().any(|word| word.eq_ignore_ascii_case(power));
    let mut raised = |role: &str, power: &str, why: String| {
        if !is_allowed(power) {
            violate(
                "power-raised",
                format!(
                    "{role:?} would come to {why}, and {power} is not in ALLOWED_POWERS; add it there if that is what you \
                     want"
                ),
            );
        }
    };
    match change {
        Change::GrantPrivilege { role: Some(role), grant } => {
            for power in powers(&grant.on, grant.privileges | grant.grantable) {
                let words: Vec<&str> = (grant.privileges | grant.grantable).keywords().collect();
                raised(role, power, format!("{} on {}", words.join(", "), grant.on.in_words()));
            }
        }
        Change::GrantRole { member, membership } => {
            let has = reached(member, catalog);
            for (power, through) in reached(&membership.role, catalog) {
                if has.contains_key(power) {
                    continue;
                }
                raised(member, power, format!("what {through:?} holds on a parameter or a foreign-data wrapper"));
            }
        }
        Change::CreateRole(Role { name, memberships, .. }) => {
            for (power, through) in memberships.iter().flat_map(|edge| reached(&edge.role, catalog)) {
                raised(name, power, format!("what {through:?} holds on a parameter or a foreign-data wrapper"));
            }
        }
        _ => {}
    }
}

/// The powers that lie in privileges on an object, by their words.
fn powers(on: &Object, privileges: Privileges) -> BTreeSet<&'static str> {
    let mut powers = BTreeSet::new();
    match on {
        Object::Parameter(name) => {
            if privileges.contains(Privileges::ALTER_SYSTEM) {
                powers.insert(ALTER_SYSTEM);
            }
            if privileges.contains(Privileges::SET) {
                let key = parameter::key(name);
                powers.extend(STRONG_PARAMETERS.into_iter().find(|strong| *strong == key));
            }
        }
        Object::ForeignDataWrapper(_) if privileges.contains(Privileges::USAGE) => {
            powers.insert(FOREIGN_DATA_WRAPPER);
        }
        _ => {}
    }
    powers
}

/// The powers that a role holds, and those of every role that it is a member of, as far as was looked; each with the name
/// of one that holds it.
pub(super) fn reached<'a>(role: &'a str, catalog: &'a Catalog) -> BTreeMap<&'static str, &'a str> {
    let mut reached = BTreeMap::new();
    let mut seen: BTreeSet<&str> = BTreeSet::from([role]);
    let mut next: Vec<&str> = vec![role];
    while let Some(name) = next.pop() {
        let places = std::iter::once(&catalog.shared).chain(catalog.objects.values());
        let held = places.filter_map(|place| place.held.get(name)).flatten();
        for power in held.flat_map(|(on, Held { privileges, .. })| powers(on, *privileges)) {
            reached.entry(power).or_insert(name);
        }
        let edges = catalog.roles.get(name).into_iter().flat_map(|role| &role.memberships);
        let edges = edges.filter(|edge| edge.admin || edge.inherit || edge.set).map(|edge| edge.role.as_str());
        next.extend(edges.filter(|role| seen.insert(role)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Grant, Membership, Mode};

    fn judged(change: &Change, allowed: &[&str]) -> Vec<String> {
        let mut catalog = Catalog::default();
        let mut team = Role::new("team", Mode::Authoritative, Attributes::GROUP);
        team.memberships = vec![Membership::plain("dba")];
        catalog.roles.insert("team".into(), team);
        catalog.roles.insert("dba".into(), Role::new("dba", Mode::Authoritative, Attributes::GROUP));
        let held = Held { privileges: Privileges::ALTER_SYSTEM, ..Held::default() };
        catalog.shared.held.insert("dba".into(), [(Object::Parameter("archive_command".into()), held)].into());
        let mut said = Vec::new();
        let allowed = allowed.iter().map(|word| (*word).to_owned()).collect();
        check(change, &catalog, &allowed, |rule, message| said.push(format!("{rule}: {message}")));
        said
    }

    fn grant(on: Object, privileges: Privileges) -> Change {
        let grant = Grant { database: None, on, privileges, grantable: Privileges::empty() };
        Change::GrantPrivilege { role: Some("mallory".into()), grant }
    }

    #[test]
    fn what_gets_hold_of_the_server_has_to_be_allowed_by_its_word() {
        let parameter = |name: &str| Object::Parameter(name.into());
        for (change, word) in [
            (grant(parameter("work_mem"), Privileges::ALTER_SYSTEM), "ALTER_SYSTEM"),
            (grant(parameter("session_replication_role"), Privileges::SET), "session_replication_role"),
            (grant(Object::ForeignDataWrapper("postgres_fdw".into()), Privileges::USAGE), "FOREIGN_DATA_WRAPPER"),
        ] {
            let said = judged(&change, &["SUPERUSER"]);
            assert!(said.len() == 1 && said[0].starts_with("power-raised: ") && said[0].contains(word), "{said:?}");
            assert_eq!(judged(&change, &[word]), [""; 0]);
        }
        for harmless in [
            grant(parameter("log_min_duration_statement"), Privileges::SET),
            grant(Object::ForeignServer("warehouse".into()), Privileges::USAGE),
            grant(Object::Tablespace("fast".into()), Privileges::CREATE),
        ] {
            assert_eq!(judged(&harmless, &[]), [""; 0]);
        }
    }

    #[test]
    fn a_membership_brings_along_what_those_above_hold() {
        let change = Change::GrantRole { member: "mallory".into(), membership: Membership::plain("team") };
        let mut made = Role::new("mallory", Mode::Authoritative, Attributes::USER);
        made.memberships = vec![Membership::plain("team")];
        for change in [change, Change::CreateRole(made)] {
            let said = judged(&change, &[]);
            assert!(said.len() == 1 && said[0].contains("\"dba\""), "{said:?}");
            assert_eq!(judged(&change, &["alter_system"]), [""; 0]);
        }
    }
}
