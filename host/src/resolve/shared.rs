//! Parameters and tablespaces, which belong to the whole server and to no database: a role that is declared to hold
//! something on any of them, or was when it was last left, holds exactly what it declares. Of the others nobody says
//! anything, and what they hold is not looked at.

use std::collections::BTreeSet;

use super::{Records, wishes};
use crate::catalog::Catalog;
use crate::model::{Finding, Grant, Object, Privileges, Severity, Spec};
use crate::parameter;

/// Adds to both sides what belongs to the server, in the server's own words.
pub fn complete(spec: &mut Spec, catalog: &mut Catalog, records: &Records) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in spec.roles.values_mut() {
        if !wishes::grants_of(role, catalog, records).any(|grant| grant.on.is_shared()) {
            continue;
        }
        let mut missing: BTreeSet<String> = BTreeSet::new();
        for grant in &mut role.grants {
            if let Object::Parameter(name) = &mut grant.on {
                *name = stored(name, catalog.server.version);
            }
        }
        role.grants.retain(|grant| {
            let is_there = !matches!(grant.on, Object::Tablespace(_)) || catalog.shared.owner(&grant.on).is_some();
            if !is_there {
                missing.insert(grant.on.in_words());
            }
            is_there
        });
        role.grants.sort();
        for object in missing {
            let message = format!(
                "{:?} is declared to hold privileges on {object}, which this server does not have; it gets the others",
                role.name
            );
            findings.push(
                Finding::new(Severity::Warning, "object-missing", &role.path, message)
                    .help("create it, or correct its name; the next cycle looks again"),
            );
        }
        let found = held(&role.name, catalog);
        if let Some(actual) = catalog.roles.get_mut(&role.name) {
            actual.grants.extend(found);
            actual.grants.sort();
        }
    }
    findings
}

/// What a role holds on parameters and tablespaces.
pub fn held(role: &str, catalog: &Catalog) -> Vec<Grant> {
    let held = catalog.shared.held.get(role).into_iter().flatten();
    held.map(|(on, held)| Grant {
        database: None,
        on: on.clone(),
        privileges: held.privileges,
        grantable: held.grantable & held.privileges,
    })
    .filter(|grant| grant.privileges != Privileges::empty())
    .collect()
}

/// The name of a parameter as its privileges are kept under: in lower case, and that of today.
fn stored(name: &str, version: u32) -> String {
    let lower = name.to_ascii_lowercase();
    // The only one that is of old to some versions and of today to others.
    if lower == "force_parallel_mode" && version < 160_000 { lower } else { parameter::key(&lower) }
}
