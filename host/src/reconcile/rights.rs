//! What the controller has no right to, before anything is tried: the roles in question are left as they are, and who
//! can help is told how.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::model::{Finding, Grant, Object, PUBLIC, Severity, Spec};
use crate::plan::{Plan, Step};
use crate::present;
use crate::resolve::Resolved;
use crate::rights::{self, Denied, Reason, Reasons};

/// The code of what is said of a role that is left out for want of a right.
pub(super) const MISSING_RIGHT: &str = "missing-right";

/// Roles that are left as they are for want of a right; and those among them of which not even a membership that has
/// ended can be taken.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    reasons: Reasons,
    pub(super) roles: BTreeSet<String>,
    pub(super) wholly: BTreeSet<String>,
}

impl LeftOut {
    /// Those that cannot get the name that they are declared under.
    pub(super) fn unrenamed(reasons: &Reasons) -> LeftOut {
        let roles: BTreeSet<String> = reasons.keys().cloned().collect();
        LeftOut { reasons: reasons.clone(), wholly: roles.clone(), roles }
    }

    /// Whether the plan has steps that the controller has no right to. Those roles are left out then, and the plan has to
    /// be made anew.
    pub(super) fn grows(&mut self, steps: &[Step], catalog: &Catalog, resolved: &Resolved) -> bool {
        let may_change = |role: &str| resolved.in_scope.contains(role) || resolved.removable.contains(role);
        let denied = rights::denied(steps, catalog, &resolved.desired);
        // PUBLIC is none of the roles that can be left out: the server says what it has against that.
        let denied: Reasons =
            denied.into_iter().filter(|(role, _)| may_change(role) && role.as_str() != PUBLIC).collect();
        let mut grows = false;
        for (role, reasons) in denied {
            grows |= self.roles.insert(role.clone()) || self.wholly.insert(role.clone());
            self.reasons.entry(role).or_insert(reasons);
        }
        grows
    }

    /// What to say of them, the ones that are no longer declared included.
    pub(super) fn tell(&self, spec: &Spec, resolved: &mut Resolved) {
        for (role, reasons) in &self.reasons {
            let (because, mut help) = (sentence(reasons), help(reasons));
            let (path, message) = match spec.roles.get(role) {
                Some(declared) => {
                    help.push_str("; or take it out of users.yaml");
                    (declared.path.as_str(), format!("{role:?} is left as it is: {because}"))
                }
                None => {
                    resolved.kept.insert(role.clone(), format!("{because} ({help})"));
                    ("", format!("{role:?} is no longer declared, and stays as it is: {because}"))
                }
            };
            let finding = Finding::new(Severity::Error, MISSING_RIGHT, path, message);
            resolved.findings.push(finding.help(help));
        }
    }
}

/// Takes out of the spec what cannot be done about databases, and says so: then nobody waits for it in vain, and whoever
/// needs a database that is not made is left as it is.
pub(super) fn set_databases_aside(spec: &mut Spec, catalog: &Catalog) -> Vec<Finding> {
    let denied = rights::databases(spec, catalog);
    let mut findings = Vec::new();
    for (name, denied) in denied {
        let Some(declared) = spec.databases.get_mut(&name) else { continue };
        let path = declared.path.clone();
        let (message, reason) = match denied {
            Denied::Creation(reason) => {
                spec.databases.remove(&name);
                let is_there = |grant: &Grant| {
                    grant.database.as_ref() != Some(&name) && grant.on != Object::Database(name.clone())
                };
                spec.public.retain(is_there);
                spec.row_security.retain(|table, _| table.database != name);
                (format!("database {name:?} is not made: {}", reason.why), reason)
            }
            Denied::Change(reason) => {
                (declared.owner, declared.connection_limit, declared.comment) = (None, None, None);
                (
                    format!("database {name:?} keeps its owner, its connection limit and its comment: {}", reason.why),
                    reason,
                )
            }
            Denied::Owner(reason) => {
                declared.owner = None;
                (format!("database {name:?} is not given to its owner: {}", reason.why), reason)
            }
        };
        let finding = Finding::new(Severity::Error, MISSING_RIGHT, &path, message);
        findings.push(finding.help(format!("{}; or take it out of users.yaml", help(&[reason]))));
    }
    findings
}

/// What to say of removals that will end half-way.
pub(super) fn unfinished(plan: &Plan, catalog: &Catalog) -> Vec<Finding> {
    let reasons: BTreeMap<_, _> = rights::unfinished(&plan.removals, &plan.steps, catalog);
    let finding = |(role, reasons): (&String, &Vec<Reason>)| {
        let message = format!("{role:?} will be kept from logging in, and stay: {}", sentence(reasons));
        Finding::new(Severity::Warning, "removal-unfinished", "", message).help(help(reasons))
    };
    reasons.iter().map(finding).collect()
}

fn sentence(reasons: &[Reason]) -> String {
    reasons.iter().map(|reason| reason.why.as_str()).collect::<Vec<_>>().join("; ")
}

fn help(reasons: &[Reason]) -> String {
    let statements: Vec<String> = rights::mends(reasons).into_iter().map(present::sql::visible).collect();
    format!("as a superuser, run: {}", statements.join("; "))
}
