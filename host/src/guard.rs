//! The last word before SQL: what must hold for *any* plan, whoever made it. Pure code over what
//! is declared, what is there, and the plan. A [`GuardedPlan`] can be made nowhere else, and
//! nothing else can be applied.
//!
//! 1. it is no longer than its task can make it, and every name in it is one PostgreSQL takes;
//! 2. it touches only roles in scope, and never a protected one; it runs only scripts that were offered, each once;
//! 3. it raises nobody's power without an explicit allowance;
//! 4. it renames what is declared to be renamed, before everything else, and nobody else;
//! 5. replayed over the catalog it ends exactly at the desired state;
//! 6. it takes access from no more users, and drops no more declared group roles, than allowed: beyond
//!    that it is held until approved.

mod databases;
pub mod parts;
pub mod powers;
pub mod privileges;
mod renames;
pub mod row_security;
mod scripts;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::model::{Attributes, Expiry, Grant, LEDGER_SCHEMA, Limit, PUBLIC, Privileges, Role, TableSecurity};
use crate::plan::replay::{self, Roles};
use crate::plan::{Change, Plan, Step};
use crate::resolve::Resolved;

/// How many violations are listed; a module that gets everything wrong needs no longer list.
const LISTED: usize = 20;

/// Bounds that the operator sets.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How many users may lose access, and declared group roles go, in one plan.
    pub deletions: usize,
    /// Names of attributes and predefined roles that a plan may give, in upper or lower case.
    pub allowed_powers: BTreeSet<String>,
    /// Who receives what removed roles owned.
    pub reassign_owned_to: String,
    /// How many users the spec declares, after all transforms.
    pub users_declared: usize,
    /// And how many group roles; those that are only named do not count.
    pub roles_declared: usize,
    /// The digest of the plan that the operator approved.
    pub approved: Option<String>,
}

/// A plan that the guard let through.
#[derive(Debug, Clone)]
pub struct GuardedPlan(Arc<Plan>);

impl GuardedPlan {
    /// A plan without steps needs no judge; what steps it may have are left out.
    pub fn empty(plan: Arc<Plan>) -> GuardedPlan {
        if plan.is_empty() { GuardedPlan(plan) } else { GuardedPlan(Arc::default()) }
    }

    /// A plan that nobody judged, to try what becomes of one.
    #[cfg(test)]
    pub(crate) fn unjudged(plan: Arc<Plan>) -> GuardedPlan {
        GuardedPlan(plan)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.0
    }
}

/// What the guard says of a plan.
#[derive(Debug)]
pub enum Judgement {
    /// It may run.
    Pass(GuardedPlan),
    /// It is sound, and takes so much away that a person has to approve it.
    Held(Held),
    /// It must not run.
    Refused(Refusal),
}

/// Why a sound plan waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it would take away, and from how many.
    pub why: String,
    /// The digest to approve.
    pub digest: String,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the plan is held: {}. If that is what you want, approve exactly this plan: rolewright apply --approve {}",
            self.why, self.digest
        )
    }
}

/// Why a plan must not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The module that made the plan.
    pub by: String,
    /// What is wrong, one sentence each; at most twenty.
    pub violations: Vec<Violation>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guard refuses the plan of policy {:?}; nothing was changed:", self.by)?;
        for violation in &self.violations {
            write!(f, "\n  {violation}")?;
        }
        if self.more > 0 {
            write!(f, "\n  and {} more", self.more)?;
        }
        Ok(())
    }
}

/// One way in which a plan breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Kebab-case name of the rule.
    pub rule: &'static str,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.rule, self.message)
    }
}

/// How many steps a plan for these roles can need at most. A planner gets this budget too, so
/// that a million steps are not even carried over.
pub fn most_steps(resolved: &Resolved, catalog: &Catalog) -> usize {
    let parts = |role: &Role| 4 + role.memberships.len() + role.grants.len() + role.settings.len();
    let wanted: usize = resolved.desired.values().map(parts).sum();
    let found: usize = catalog.roles.values().map(parts).sum();
    let schemas: usize = resolved.databases.values().map(|database| 2 + database.schemas.len()).sum();
    let policies = |table: &TableSecurity| table.policies.as_ref().map_or(0, BTreeMap::len);
    let declared: usize = resolved.row_security.values().map(|table| 3 + policies(table)).sum();
    let tables = catalog.objects.values().flat_map(|objects| objects.secured.values());
    let secured = declared + tables.map(|table| table.policies.len()).sum::<usize>();
    1_000 + 2 * (wanted + found + schemas + secured + resolved.scripts.len())
}

/// Judges a plan made by the module `by`.
pub fn judge(plan: Arc<Plan>, by: &str, resolved: &Resolved, catalog: &Catalog, bounds: &Bounds) -> Judgement {
    let mut violations = Vec::new();
    let most = most_steps(resolved, catalog);
    if plan.steps.len() > most {
        violations.push(Violation {
            rule: "too-many-steps",
            message: format!("the plan has {} steps; {most} is the most that this spec can need", plan.steps.len()),
        });
        return refuse(by, violations);
    }
    let renames = renames::check(&plan.steps, resolved, catalog, &mut violations);
    let rest = plan.steps.get(renames..).unwrap_or_default();
    for (index, step) in plan.steps.iter().enumerate().skip(renames) {
        scope(index, step, resolved, catalog, bounds, &mut violations);
    }
    match replay::replay(&catalog.roles, rest) {
        Err(mut impossible) => {
            impossible.number += renames;
            violations.push(Violation { rule: "impossible-step", message: impossible.to_string() });
        }
        Ok(outcome) => {
            powers::of_passwords(catalog, &outcome, &bounds.allowed_powers, &mut violations);
            powers::raised(&catalog.roles, &outcome.roles, &resolved.in_scope, &bounds.allowed_powers, &mut violations);
            let options = catalog.server.has_membership_options();
            for difference in replay::differences(&outcome, &resolved.desired, &resolved.removable, options) {
                violations.push(Violation {
                    rule: "not-as-desired",
                    message: format!("after the plan, role {:?} {}", difference.role, difference.what),
                });
            }
            untouched(catalog, &outcome.roles, resolved, &mut violations);
            databases::differences(&plan.steps, &resolved.databases, catalog, &mut violations);
            row_security::differences(&plan.steps, resolved, catalog, &mut violations);
        }
    }
    if !violations.is_empty() {
        return refuse(by, violations);
    }
    match held(&plan, resolved, catalog, bounds) {
        Some(why) if bounds.approved.as_deref() != Some(plan.digest.as_str()) => {
            let why = match &bounds.approved {
                Some(_) => format!("{why}; the digest that was approved is that of another plan"),
                None => why,
            };
            Judgement::Held(Held { why, digest: plan.digest.clone() })
        }
        None if bounds.approved.as_ref().is_some_and(|approved| *approved != plan.digest) => Judgement::Held(Held {
            why: "the digest that was approved is that of another plan".into(),
            digest: plan.digest.clone(),
        }),
        _ => Judgement::Pass(GuardedPlan(plan)),
    }
}

fn refuse(by: &str, mut violations: Vec<Violation>) -> Judgement {
    let more = violations.len().saturating_sub(LISTED);
    violations.truncate(LISTED);
    Judgement::Refused(Refusal { by: by.to_owned(), violations, more })
}

/// Rules 1 and 2, step by step.
fn scope(
    index: usize,
    step: &Step,
    resolved: &Resolved,
    catalog: &Catalog,
    bounds: &Bounds,
    violations: &mut Vec<Violation>,
) {
    let mut violate = |rule, message: String| {
        violations
            .push(Violation { rule, message: format!("step {} ({}): {message}", index + 1, step.change.action()) });
    };
    if matches!(step.change, Change::CreateDatabase(_) | Change::AlterDatabase(_)) {
        databases::check(&step.change, &resolved.databases, catalog, violate);
        return;
    }
    if let Change::SecureTable { table, how } = &step.change {
        row_security::check(table, how, resolved, &bounds.allowed_powers, violate);
        return;
    }
    if let Some(script) = step.change.script() {
        scripts::check(script, resolved, violate);
        return;
    }
    let Some(role) = step.change.role() else {
        violate("unsupported", "this version of Rolewright does not carry it out".into());
        return;
    };
    for name in names(&step.change) {
        if let Some(why) = invalid_name(name) {
            violate("invalid-name", format!("the name {name:?} {why}"));
        }
    }
    if catalog.is_protected(role) {
        violate("protected-role", format!("{role:?} is protected"));
        return;
    }
    settings::check(&step.change, catalog, &bounds.allowed_powers, &resolved.second_logins, &mut violate);
    privileges::check(&step.change, catalog, &bounds.allowed_powers, &mut violate);
    match &step.change {
        Change::DropRole { name, reassign_to } => {
            if !resolved.removable.contains(name) {
                violate("out-of-scope", format!("{name:?} is not a managed role that has gone from the spec"));
            }
            let receiver = &bounds.reassign_owned_to;
            if !catalog.roles.contains_key(receiver) || resolved.removable.contains(receiver) {
                // Handed to itself or to nobody, what it owns would go with it.
                violate(
                    "no-receiver",
                    format!(
                        "what {name:?} owns cannot go to {receiver:?}, which does not exist or is removed itself; set REASSIGN_OWNED_TO to a role that stays"
                    ),
                );
            }
            if let Some(receiver) = reassign_to
                && *receiver != bounds.reassign_owned_to
            {
                violate(
                    "foreign-receiver",
                    format!("what {name:?} owns goes to {:?}, not to {receiver:?}", bounds.reassign_owned_to),
                );
            }
        }
        Change::RenameRole { from, to } => {
            violate("undeclared-rename", format!("nobody declared that {from:?} be renamed to {to:?} now"));
        }
        _ if !resolved.in_scope.contains(role) => {
            violate("out-of-scope", format!("{role:?} is not declared, or is left as it is this time"));
        }
        // Each edge has a grantor on 16 and later: without its name, REVOKE takes only our own away.
        Change::RevokeRole { membership, .. }
            if catalog.server.has_membership_options() && membership.grantor.is_none() =>
        {
            violate("vague-edge", format!("the grantor of the membership in {:?} is not named", membership.role));
        }
        Change::GrantRole { membership, .. } if membership.grantor.is_some() => {
            violate("vague-edge", format!("nobody but the controller can grant {:?}", membership.role));
        }
        Change::CreateRole(made) if !has_single_edges(made) => {
            violate(
                "vague-edge",
                format!("{role:?} would be made with several memberships in one role, or with a grantor"),
            );
        }
        Change::CreateRole(made)
            if made.credential != resolved.desired.get(role).and_then(|wanted| wanted.credential.clone()) =>
        {
            violate(
                "foreign-credential",
                format!("{role:?} would get its password from a place that it was not given"),
            );
        }
        Change::GrantPrivilege { role, grant } | Change::RevokePrivilege { role, grant }
            if !catalog.knows(role.as_deref(), grant) =>
        {
            violate("unknown-object", format!("nobody has found {}", grant.on.in_words()));
        }
        Change::GrantPrivilege { grant, .. } if grant.on.schema() == Some(LEDGER_SCHEMA) => {
            violate("ledger", "nobody is granted anything on what Rolewright goes by itself".into());
        }
        Change::GrantPrivilege { grant, .. }
            if grant.privileges.is_empty()
                || !grant.privileges.contains(grant.grantable)
                || !grant.on.known_privileges().contains(grant.privileges) =>
        {
            // An option without its privilege is nothing to the replay, and both to the server.
            violate("vague-grant", format!("what would be granted on {} is not clear", grant.on.in_words()));
        }
        Change::RevokePrivilege { role: Some(role), grant }
            if grant.database.is_some() && !takes_surplus(role, grant, resolved, catalog) =>
        {
            violate("vague-grant", format!("more would be revoked on {} than is held too much", grant.on.in_words()));
        }
        Change::SetPassword(_) if resolved.desired.get(role).is_none_or(|wanted| wanted.credential.is_none()) => {
            violate("foreign-credential", format!("no Secret is declared for {role:?}"));
        }
        _ => {}
    }
}

/// Whether a revocation inside of a database takes only what is held on that very object, and nothing that is to
/// stay. What is held on all objects of a schema is written down once: a revocation on one of them, or one that is to
/// be made good by a later grant, would take more from the server than from its model.
fn takes_surplus(role: &str, grant: &Grant, resolved: &Resolved, catalog: &Catalog) -> bool {
    let on = |role: Option<&Role>| {
        let grants = role.into_iter().flat_map(|role| &role.grants);
        grants
            .filter(|held| held.database == grant.database && held.on == grant.on)
            .fold((Privileges::empty(), Privileges::empty()), |(privileges, grantable), held| {
                (privileges | held.privileges, grantable | held.grantable)
            })
    };
    let (held, due) = (on(catalog.roles.get(role)), on(resolved.desired.get(role)));
    let option_only = grant.grantable - grant.privileges;
    held.0.contains(grant.privileges)
        && held.1.contains(option_only)
        && !due.0.intersects(grant.privileges)
        && !due.1.intersects(option_only)
}

/// Whether each role is named once, and by nobody in particular.
fn has_single_edges(role: &Role) -> bool {
    let mut seen = BTreeSet::new();
    role.memberships.iter().all(|edge| edge.grantor.is_none() && seen.insert(&edge.role))
}

/// Every name that a change brings into an SQL statement.
fn names(change: &Change) -> Vec<&str> {
    let mut names: Vec<&str> = change.role().into_iter().collect();
    match change {
        Change::CreateRole(role) => names.extend(role.memberships.iter().map(|edge| edge.role.as_str())),
        Change::RenameRole { from, .. } => names.push(from),
        Change::GrantRole { membership, .. } | Change::RevokeRole { membership, .. } => {
            names.push(&membership.role);
            names.extend(membership.grantor.as_deref());
        }
        Change::DropRole { reassign_to, .. } => names.extend(reassign_to.as_deref()),
        _ => {}
    }
    names
}

fn invalid_name(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > 63 {
        Some("is longer than 63 bytes")
    } else if name.contains('\0') {
        Some("holds a NUL byte")
    } else {
        None
    }
}

/// Rule 5, the other half: roles that the spec does not speak of are as before.
fn untouched(catalog: &Catalog, after: &Roles<'_>, resolved: &Resolved, violations: &mut Vec<Violation>) {
    for name in after.keys() {
        if !catalog.roles.contains_key(name) && !resolved.desired.contains_key(name) {
            violations.push(Violation {
                rule: "not-as-desired",
                message: format!("the plan creates {name:?}, which nobody declared"),
            });
        }
    }
    for name in catalog.roles.keys() {
        if !after.contains_key(name) && !resolved.removable.contains(name) {
            violations.push(Violation {
                rule: "not-as-desired",
                message: format!("the plan removes {name:?}, which is to stay"),
            });
        }
    }
}

/// Rule 6: why a person has to look at the plan first, if so.
fn held(plan: &Plan, resolved: &Resolved, catalog: &Catalog, bounds: &Bounds) -> Option<String> {
    let mut losing: BTreeSet<&str> = BTreeSet::new();
    let mut going: BTreeSet<&str> = BTreeSet::new();
    let mut emptied: BTreeSet<&str> = BTreeSet::new();
    for step in &plan.steps {
        // What PUBLIC loses, the spec says in so many words.
        let Some(name) = step.change.role().filter(|name| *name != PUBLIC) else { continue };
        if matches!(step.change, Change::DropRole { .. }) && resolved.removable_groups.contains(name) {
            going.insert(name);
        }
        let Some(found) = catalog.roles.get(name) else { continue };
        if matches!(step.change, Change::RevokePrivilege { .. })
            && resolved.desired.get(name).is_some_and(|wanted| holds_inside(found) && !holds_inside(wanted))
        {
            emptied.insert(name);
        }
        // To drop whom nobody lets in any more cannot be undone either, and a clock or a setting that is wrong would do
        // it to many at once.
        let was_user = matches!(step.change, Change::DropRole { .. }) && resolved.removable_users.contains(name);
        if !found.is_user() && !was_user {
            continue;
        }
        let loses = match &step.change {
            Change::DropRole { .. } => true,
            Change::AlterRole(patch) => {
                patch.clear.contains(Attributes::LOGIN)
                    || patch.connection_limit == Some(Limit::AtMost(0))
                    || matches!(patch.valid_until, Some(Expiry::At(_)))
            }
            // Who had a database to connect to, or a role to use, and has none any more.
            Change::RevokePrivilege { .. } => {
                found.databases().next().is_some()
                    && resolved.desired.get(name).is_some_and(|wanted| wanted.databases().next().is_none())
            }
            Change::RevokeRole { .. } => resolved.desired.get(name).is_some_and(|wanted| wanted.memberships.is_empty()),
            _ => false,
        };
        if loses {
            losing.insert(name);
        }
    }
    if losing.is_empty() && going.is_empty() && emptied.is_empty() {
        return None;
    }
    // One that was made a group role by hand is there only once.
    losing.retain(|name| !going.contains(name));
    emptied.retain(|name| !losing.contains(name) && !going.contains(name));
    let all: Vec<&str> = losing.iter().chain(&going).chain(&emptied).copied().collect();
    let some = all.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let list = format!("{some}{}", if all.len() > 5 { ", …" } else { "" });
    let lose = (!losing.is_empty()).then(|| format!("{} would lose access", count(losing.len(), "user")));
    let go = (!going.is_empty()).then(|| format!("{} would be dropped", count(going.len(), "group role")));
    let empty = (!emptied.is_empty())
        .then(|| format!("{} would lose all privileges inside of databases", count(emptied.len(), "role")));
    let what = format!("{} ({list})", [lose, go, empty].into_iter().flatten().collect::<Vec<_>>().join(" and "));
    if bounds.users_declared == 0 && !losing.is_empty() {
        return Some(format!("the spec declares no users at all, and {what}"));
    }
    if bounds.roles_declared == 0 && !going.is_empty() {
        return Some(format!("the spec declares no group roles any more, and {what}"));
    }
    (all.len() > bounds.deletions).then(|| format!("{what}, and MAX_DELETIONS allows {} in one plan", bounds.deletions))
}

fn holds_inside(role: &Role) -> bool {
    role.grants.iter().any(|grant| grant.database.is_some() && !grant.privileges.is_empty())
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod databases_tests;
#[cfg(test)]
mod objects_tests;
#[cfg(test)]
mod row_security_tests;
#[cfg(test)]
mod scripts_tests;
#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
#[cfg(test)]
mod trial;
