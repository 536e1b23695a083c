//! Declared row-level security: which tables are to be looked at for it, which of them can have it this time, and whether
//! the expressions of their policies are those that are declared.
//!
//! PostgreSQL keeps a tree of an expression and prints that in its own words, so that a text cannot be compared with what
//! is there. But whoever has set an expression can see how it is printed then. The ledger keeps digests of both: as long
//! as neither moves, the policy is as declared.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, FoundTable, Question};
use crate::model::{Finding, Mode, PUBLIC, Severity, Spec, TableName, TableSecurity};
use crate::plan::row_security::differences;

/// The expressions of a policy as they were declared, and as the server printed them once they were set: two digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Digest of what was declared.
    pub declared: String,
    /// Digest of what the server made of it.
    pub printed: String,
}

/// What the ledger knows of policies, by table and name.
pub type Expressions = BTreeMap<(TableName, String), Printed>;

/// Adds what is to be looked at.
pub fn ask(spec: &Spec, questions: &mut BTreeMap<String, Question>) {
    for table in spec.row_security.keys() {
        let question = questions.entry(table.database.clone()).or_default();
        question.secured.insert((table.schema.clone(), table.name.clone()));
    }
}

/// A table as it was found.
pub fn found<'a>(catalog: &'a Catalog, table: &TableName) -> Option<&'a FoundTable> {
    catalog.objects.get(&table.database)?.secured.get(&(table.schema.clone(), table.name.clone()))
}

/// Says in the catalog which policies are as they were declared when they were last set, and takes out of the spec what
/// cannot be done this time, with the reasons. `is_allowed`: whether the operator lets users.yaml speak of it. Returns also
/// the tables at which nobody is to be let until that is so.
///
/// What is not allowed is left out here, table by table, and not only refused by the guard: else whoever owns a table could
/// have every plan refused, his own removal included, by changing what needed no step before.
pub fn complete(
    spec: &mut Spec,
    catalog: &mut Catalog,
    known: &Expressions,
    is_allowed: bool,
) -> (Vec<Finding>, BTreeSet<TableName>) {
    for ((table, policy), printed) in known {
        let tables = catalog.objects.get_mut(&table.database).map(|objects| &mut objects.secured);
        let found = tables.and_then(|tables| tables.get_mut(&(table.schema.clone(), table.name.clone())));
        if let Some(found) = found.and_then(|found| found.policies.get_mut(policy))
            && found.printed == printed.printed
        {
            found.declared = Some(printed.declared.clone());
        }
    }
    let (mut findings, mut unsecured) = (Vec::new(), BTreeSet::new());
    let is_observed = spec.mode == Mode::Observe;
    spec.row_security.retain(|table, wanted| {
        let mut obstacle = obstacle(table, wanted, catalog);
        if obstacle.is_none() && !is_observed && !is_allowed {
            obstacle = found(catalog, table).and_then(|found| forbidden(table, found, wanted));
            unsecured.extend(obstacle.is_some().then(|| table.clone()));
        }
        let stays = obstacle.is_none();
        findings.extend(obstacle);
        if is_observed && stays {
            findings.extend(found(catalog, table).and_then(|found| observed(table, found, wanted)));
        }
        stays && !is_observed
    });
    (findings, unsecured)
}

/// Why nothing can be done with a table.
fn obstacle(table: &TableName, wanted: &TableSecurity, catalog: &Catalog) -> Option<Finding> {
    let tell = |severity, code, why: String| {
        let message = format!("the row-level security of {table} is left as it is: {why}");
        Finding::new(severity, code, &wanted.path, message)
    };
    if let Some(why) = catalog.closed.get(&table.database) {
        return Some(
            tell(Severity::Error, "database-closed", format!("its database cannot be looked into: {why}"))
                .help("let the controller connect to it, or take `row_security` out of users.yaml"),
        );
    }
    let Some(found) = found(catalog, table) else {
        return Some(
            tell(Severity::Warning, "table-missing", "there is no such table".to_owned())
                .help("as soon as there is one, it is done; or correct the name"),
        );
    };
    if let Some(instead) = found.instead {
        return Some(tell(Severity::Error, "not-a-table", format!("it is {instead}, which can have none")).help(
            "declare it for the tables behind it; a view reads these as its owner unless it is `security_invoker`",
        ));
    }
    if !catalog.acts_as(&found.owner) {
        let (me, owner) = (&catalog.server.current_user, &found.owner);
        return Some(
            tell(
                Severity::Error,
                "missing-right",
                format!("it belongs to {owner:?}, and {me:?} does not have the privileges of that role"),
            )
            .help(format!(
                "GRANT {} TO {} with INHERIT, as a superuser or as somebody with ADMIN on it, or take the table out",
                crate::sql::quote::identifier_for_people(owner),
                crate::sql::quote::identifier_for_people(me)
            )),
        );
    }
    None
}

/// What the operator would have to allow.
fn forbidden(table: &TableName, found: &FoundTable, wanted: &TableSecurity) -> Option<Finding> {
    let steps = differences(found, wanted);
    let (how, path) = steps.first()?;
    let policy = how.policy().map(|policy| format!(" {policy:?}")).unwrap_or_default();
    let message = format!(
        "the row-level security of {table} is left as it is, and nobody is granted anything on it: to bring it about \
         ({}{policy}) takes ROW_SECURITY in ALLOWED_POWERS",
        how.action()
    );
    Some(Finding::new(Severity::Error, "power-missing", path, message).help(
        "let the operator add it if whoever writes users.yaml may say which rows there are, in SQL that runs as whoever \
         asks for them; or take the table out",
    ))
}

/// What differs where nothing is changed. Whether an expression that Rolewright never set is as declared, nobody knows.
fn observed(table: &TableName, found: &FoundTable, wanted: &TableSecurity) -> Option<Finding> {
    let mut found = found.clone();
    for (name, policy) in wanted.policies.iter().flatten() {
        if let Some(found) = found.policies.get_mut(name).filter(|found| found.declared.is_none()) {
            found.declared = Some(policy.digest());
        }
    }
    let steps = differences(&found, wanted);
    let words = steps.iter().map(|(how, _)| match how.policy() {
        Some(policy) => format!("{} {policy:?}", how.action()),
        None => how.action().to_owned(),
    });
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| {
        let message =
            format!("the row-level security of {table} is only observed, and not as declared: {}", words.join(", "));
        Finding::new(Severity::Warning, "observed", &wanted.path, message)
            .help("nothing is changed under `mode: observe`; the others bring it about")
    })
}

/// What is desired. Whom a policy names and who will not be there is left out of it, and a policy that is for nobody else
/// with them: that is all that the declared policies mean to those who are there, so that no table has to stay open, and
/// nobody to wait, for somebody who is missing.
pub(super) fn desired(
    spec: &Spec,
    will_be: impl Fn(&str) -> bool,
    findings: &mut Vec<Finding>,
) -> BTreeMap<TableName, TableSecurity> {
    let mut desired = spec.row_security.clone();
    for (table, wanted) in &mut desired {
        let Some(policies) = &mut wanted.policies else { continue };
        policies.retain(|name, policy| {
            let path = &policy.path;
            policy.roles.retain(|role| {
                let stays = role == PUBLIC || will_be(role);
                if !stays {
                    let message =
                        format!("policy {name:?} on {table} is not for {role:?} yet, which is not there this time");
                    findings.push(
                        Finding::new(Severity::Error, "role-missing", path, message)
                            .help("see what stands against that role, or create it if it is external"),
                    );
                }
                stays
            });
            !policy.roles.is_empty()
        });
    }
    desired
}

#[cfg(test)]
#[path = "row_security_tests.rs"]
mod tests;
