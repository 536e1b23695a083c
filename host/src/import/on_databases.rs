//! What a role holds on databases themselves: as `database` and `privileges` what is the same on all that it may connect to,
//! and as entries of `grants` the rest.

use std::collections::BTreeMap;

use super::{Key, Value};
use crate::model::{Object, Privileges, Role};

/// The privileges by database, and the part of them WITH GRANT OPTION.
fn held(role: &Role) -> BTreeMap<&str, (Privileges, Privileges)> {
    let mut held: BTreeMap<&str, (Privileges, Privileges)> = BTreeMap::new();
    for grant in &role.grants {
        if let (None, Object::Database(name)) = (&grant.database, &grant.on) {
            let on = held.entry(name).or_default();
            on.0 |= grant.privileges;
            on.1 |= grant.grantable;
        }
    }
    held.retain(|_, (privileges, _)| !privileges.is_empty());
    held
}

/// Where it may connect to, and what it may on each of these, CONNECT included.
fn alike(role: &Role) -> (Vec<&str>, Privileges) {
    let held = held(role);
    let connects = || held.iter().filter(|(_, (privileges, _))| privileges.contains(Privileges::CONNECT));
    let common = connects().fold(Privileges::all(), |common, (_, (privileges, grantable))| {
        common & ((*privileges - *grantable) | Privileges::CONNECT)
    });
    (connects().map(|(name, _)| *name).collect(), common)
}

/// `database` or `databases`.
pub(super) fn names(role: &Role) -> Option<Key> {
    match alike(role).0.as_slice() {
        [] => None,
        [database] => Some(("database", Value::text(*database))),
        databases => Some(("databases", Value::texts(databases.iter().copied()))),
    }
}

/// `privileges`, where there are any besides CONNECT.
pub(super) fn privileges(role: &Role) -> Option<Key> {
    let (databases, common) = alike(role);
    let beyond = common - Privileges::CONNECT;
    (!databases.is_empty() && !beyond.is_empty()).then(|| ("privileges", Value::texts(beyond.keywords())))
}

/// What is held on one database and not on the others, or with its grant option.
pub(super) fn grants(role: &Role) -> Vec<Value> {
    let common = alike(role).1;
    let mut entries = Vec::new();
    for (database, (privileges, grantable)) in held(role) {
        let said = if privileges.contains(Privileges::CONNECT) { common } else { Privileges::empty() };
        for (privileges, option) in [(privileges - grantable - said, false), (grantable & privileges, true)] {
            if privileges.is_empty() {
                continue;
            }
            let mut pairs = vec![
                ("database".to_owned(), Value::text(database)),
                ("privileges".to_owned(), Value::texts(privileges.keywords())),
            ];
            if option {
                pairs.push(("grant_option".to_owned(), Value::flag(true)));
            }
            entries.push(Value::Map(pairs));
        }
    }
    entries
}
