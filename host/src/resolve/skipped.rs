//! Roles that are left as they are this time, since something that they need is missing: each with a finding.

use std::collections::BTreeSet;

use super::modes::EXTERNAL_HELP;
use crate::catalog::{Catalog, is_predefined};
use crate::model::{
    Attributes, Finding, Grant, Membership, Mode, Object, Privileges, Role, SecretState, Severity, Spec,
};

/// Roles that are left out by somebody else's decision, users that cannot be made as declared, and those that would be
/// members of one of them.
pub(super) fn skipped(
    left_out: &BTreeSet<String>,
    spec: &Spec,
    catalog: &Catalog,
    findings: &mut Vec<Finding>,
) -> BTreeSet<String> {
    let mut skipped: BTreeSet<String> =
        left_out.iter().filter(|name| spec.roles.contains_key(*name)).cloned().collect();
    for role in spec.roles.values().filter(|role| role.mode != Mode::Present) {
        let before = findings.len();
        if role.mode == Mode::Adopt && !catalog.roles.contains_key(&role.name) {
            let message = format!("{:?} is left as it is: it is to be adopted, and is not there", role.name);
            findings.push(
                Finding::new(Severity::Error, "role-absent", &role.path, message)
                    .help("create it, correct its name, or declare `mode: additive`: then it is made"),
            );
        }
        if let Some(credential) = &role.credential
            && credential.state != SecretState::Present
        {
            findings.push(no_password(role, spec.generated.contains_key(&role.name)));
        }
        let granted = role.grants.iter().filter_map(|grant| match &grant.on {
            Object::Database(name) => Some(name),
            _ => grant.database.as_ref(),
        });
        let named: BTreeSet<_> = granted.chain(role.settings.iter().filter_map(|it| it.database.as_ref())).collect();
        for database in named.into_iter().filter(|name| !catalog.has_database(name)) {
            let message = format!("{:?} is left as it is: there is no database {database:?} on this server", role.name);
            findings.push(
                Finding::new(Severity::Error, "database-missing", &role.path, message)
                    .help("declare it under `databases`, or correct its name; names are case-sensitive"),
            );
        }
        let inside = role.grants.iter().filter_map(|grant| grant.database.as_ref()).collect::<BTreeSet<_>>();
        for (database, why) in inside.into_iter().filter_map(|name| catalog.closed.get_key_value(name)) {
            let message =
                format!("{:?} is left as it is: database {database:?} cannot be looked into: {why}", role.name);
            findings.push(
                Finding::new(Severity::Error, "database-closed", &role.path, message)
                    .help("let the controller connect to it, or take its grants in that database out of users.yaml"),
            );
        }
        let maintains = |grant: &Grant| (grant.privileges | grant.grantable).contains(Privileges::MAINTAIN);
        if catalog.server.version < 170_000 && role.grants.iter().any(maintains) {
            let version = catalog.server.version / 10_000;
            let message =
                format!("{:?} is left as it is: PostgreSQL {version} does not know the privilege MAINTAIN", role.name);
            findings.push(
                Finding::new(Severity::Error, "privilege-unknown", &role.path, message)
                    .help("leave MAINTAIN out, or move to PostgreSQL 17 or later"),
            );
        }
        let on_parameter = |grant: &&Grant| matches!(grant.on, Object::Parameter(_));
        if let Some(grant) =
            role.grants.iter().find(on_parameter).filter(|_| !catalog.server.has_parameter_privileges())
        {
            let version = catalog.server.version / 10_000;
            let message = format!(
                "{:?} is left as it is: PostgreSQL {version} has no privileges on parameters, such as {}",
                role.name,
                grant.on.in_words()
            );
            findings.push(
                Finding::new(Severity::Error, "privilege-unknown", &role.path, message)
                    .help("leave `parameters` out of its grants, or move to PostgreSQL 15 or later"),
            );
        }
        for edge in &role.memberships {
            if is_predefined(&edge.role) && !catalog.roles.contains_key(&edge.role) {
                let message = format!(
                    "{:?} is left as it is: this server, PostgreSQL {}, has no predefined role {:?}",
                    role.name,
                    catalog.server.version / 10_000,
                    edge.role
                );
                findings.push(
                    Finding::new(Severity::Error, "role-missing", &role.path, message)
                        .help("take it out of `roles`, or move to a PostgreSQL version that has it"),
                );
            }
        }
        for edge in role.memberships.iter().filter(|edge| spec.external.contains(&edge.role)) {
            if !catalog.roles.contains_key(&edge.role) {
                let message = format!(
                    "{:?} is left as it is: it is to be a member of {:?}, which is external, and not there",
                    role.name, edge.role
                );
                let finding = Finding::new(Severity::Error, "external-missing", &role.path, message);
                findings.push(finding.help(EXTERNAL_HELP));
            }
        }
        if !catalog.server.has_membership_options() {
            findings.extend(role.memberships.iter().filter_map(|edge| unknown_options(role, edge, catalog)));
        }
        if role.mode == Mode::Observe {
            // Nothing was to be done with it, so nothing failed.
            for finding in &mut findings[before..] {
                finding.severity = Severity::Warning;
            }
        } else if findings.len() > before {
            skipped.insert(role.name.clone());
        }
    }
    // Who needs a role that will not be there cannot be made either.
    let is_observed = |name: &str| spec.roles.get(name).is_some_and(|role| role.mode == Mode::Observe);
    loop {
        let mut more = Vec::new();
        let due = |role: &&Role| role.mode != Mode::Observe && !skipped.contains(&role.name);
        for role in spec.roles.values().filter(due) {
            let is_left = |name: &str| skipped.contains(name) || is_observed(name);
            let missing =
                role.memberships.iter().find(|edge| is_left(&edge.role) && !catalog.roles.contains_key(&edge.role));
            if let Some(edge) = missing {
                let message = format!(
                    "{:?} is left as it is: it is to be a member of {:?}, which {}",
                    role.name,
                    edge.role,
                    if is_observed(&edge.role) { "is only observed, and not there" } else { "cannot be created" },
                );
                findings.push(Finding::new(Severity::Error, "role-missing", &role.path, message));
                more.push(role.name.clone());
            }
        }
        if more.is_empty() {
            return skipped;
        }
        skipped.extend(more);
    }
}

/// Before PostgreSQL 16, whether a member inherits is its own INHERIT for all its roles, and whoever is a
/// member may SET ROLE.
fn unknown_options(role: &Role, edge: &Membership, catalog: &Catalog) -> Option<Finding> {
    let asks = if !edge.set {
        "no SET"
    } else if edge.inherit && !role.attributes.contains(Attributes::INHERIT) {
        "INHERIT, which the member itself has not"
    } else if !edge.inherit && role.attributes.contains(Attributes::INHERIT) {
        "no INHERIT, which the member itself has"
    } else {
        return None;
    };
    let (name, version) = (&role.name, catalog.server.version / 10_000);
    let message = format!(
        "{name:?} is left as it is: its membership in {:?} asks for {asks}; PostgreSQL {version} has no such option",
        edge.role
    );
    Some(
        Finding::new(Severity::Error, "membership-options", &role.path, message)
            .help("leave `inherit` and `set` out of the membership, or move to PostgreSQL 16 or later"),
    )
}

fn no_password(role: &Role, generated: bool) -> Finding {
    let (secret, key, state) = match &role.credential {
        Some(credential) => (credential.secret.as_str(), credential.key.as_str(), credential.state),
        None => ("", "", SecretState::Missing),
    };
    let (code, what) = match state {
        SecretState::Missing | SecretState::Present => {
            ("secret-missing", "there is no such Secret, or no such key in it")
        }
        SecretState::Empty => ("secret-empty", "it is empty"),
        SecretState::Unreadable => ("secret-unreadable", "it cannot be read as a password"),
    };
    let message = format!("{:?} is left as it is: no password in Secret {secret:?}, key {key:?}: {what}", role.name);
    Finding::new(Severity::Error, code, &role.path, message).help(if generated {
        "docs/operations.md says under \"Generated passwords\" what it takes to write that Secret; without `generate`, \
         the password is the one that you put into it"
    } else {
        "create the Secret, name another with `secret: {name: …, key: …}`, or declare `password: none` for a \
         login without one"
    })
}
