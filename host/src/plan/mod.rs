//! A plan: ordered steps from what is to what should be, with everything that a person or the
//! guard needs to judge it. No SQL is run here and no module is called.
//!
//! ```text
//! proposals ──► order ──► cause, risk ──► Plan ──► digest
//!  (policy)                                │
//!                                          ├──► replay (guard)
//!                                          └──► present (text, json, sql, markdown)
//! ```

pub mod cause;
pub mod change;
pub mod order;
pub mod replay;
pub mod row_security;

use std::collections::{BTreeMap, BTreeSet};

pub use change::{Cause, Change, Proposal, Risk, RolePatch, Step, Touch};
pub use row_security::Securing;
use serde::Serialize;

use crate::catalog::Catalog;
use crate::model::{Attributes, Database, PUBLIC, Role, Schema};

/// What becomes of the belongings of a role that goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Removal {
    /// Who receives what the role owns.
    pub reassign_to: String,
    /// Number of objects that depend on the role (owned, or with privileges for it), by database;
    /// the key is empty for objects of the whole server.
    pub dependencies: BTreeMap<String, u64>,
    /// How many of them it owns, by database and kind, such as `relation`: these go to the receiver.
    pub owned: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// How many row-level-security policies are for it, by database: they are for the others only after that, and one that
    /// is for nobody else goes with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, u64>,
    /// Databases with something that depends on it and that cannot be entered, and why: it cannot be dropped.
    pub closed: BTreeMap<String, String>,
    /// Sessions that it has open now and that will be ended.
    pub sessions: u64,
}

/// Ordered steps, and what else is known about them.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Binds spec, catalog, chain, settings and server: an approval fits one plan only.
    pub digest: String,
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// For each role that is dropped.
    pub removals: BTreeMap<String, Removal>,
    /// Roles without LOGIN that are users all the same.
    pub disabled: BTreeSet<String>,
}

/// How many of each; the last line of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Steps in all.
    pub steps: usize,
    /// Roles with LOGIN that are created.
    pub users_created: usize,
    /// Roles with LOGIN that are changed in any way.
    pub users_updated: usize,
    /// Roles with LOGIN that are dropped.
    pub users_deleted: usize,
    /// Roles without LOGIN that are created.
    pub roles_created: usize,
    /// Roles without LOGIN that are changed in any way.
    pub roles_updated: usize,
    /// Roles without LOGIN that are dropped.
    pub roles_deleted: usize,
    /// Databases that are created.
    pub databases_created: usize,
    /// Databases that are changed in any way, or a schema in them, or what PUBLIC may there.
    pub databases_updated: usize,
    /// Scripts that are run.
    #[serde(skip_serializing_if = "is_none")]
    pub scripts_run: usize,
    /// Steps whose cause is drift.
    pub drift: usize,
}

/// Most plans run no script.
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Names of the databases that it makes.
    pub fn databases_created(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.change {
            Change::CreateDatabase(database) => Some(database.name.as_str()),
            _ => None,
        })
    }

    /// Names of the scripts that it runs, in their order.
    pub fn scripts(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| step.change.script())
    }

    /// Counts roles, not steps: a user with three changes is one user updated. `users` names every
    /// role that is a user on either side.
    pub fn counts(&self, users: &BTreeSet<&str>) -> Counts {
        let mut counts = Counts { steps: self.steps.len(), ..Counts::default() };
        let mut created = BTreeSet::new();
        let mut dropped = BTreeSet::new();
        let mut touched = BTreeSet::new();
        let (mut made, mut altered) = (BTreeSet::new(), BTreeSet::new());
        for step in &self.steps {
            if step.cause == Cause::Drift {
                counts.drift += 1;
            }
            counts.scripts_run += usize::from(step.change.script().is_some());
            match &step.change {
                Change::CreateDatabase(database) => made.insert(database.name.as_str()),
                change => change.own_database().is_some_and(|name| altered.insert(name)),
            };
            let Some(role) = step.change.role().filter(|role| *role != PUBLIC) else { continue };
            match &step.change {
                Change::CreateRole(_) => created.insert(role),
                Change::DropRole { .. } => dropped.insert(role),
                _ => touched.insert(role),
            };
        }
        for role in &created {
            if users.contains(role) { counts.users_created += 1 } else { counts.roles_created += 1 }
        }
        for role in &dropped {
            if users.contains(role) { counts.users_deleted += 1 } else { counts.roles_deleted += 1 }
        }
        for role in touched.difference(&created).filter(|role| !dropped.contains(*role)) {
            if users.contains(role) { counts.users_updated += 1 } else { counts.roles_updated += 1 }
        }
        counts.databases_created = made.len();
        counts.databases_updated = altered.difference(&made).count();
        counts
    }

    /// The steps about a role and the roles that it is a member of, directly or not, before or after the plan. The digest
    /// stays that of the whole: nothing less can be approved.
    #[must_use]
    pub fn about(&self, role: &str, before: &BTreeMap<String, Role>, after: &BTreeMap<String, Role>) -> Plan {
        let mut about = BTreeSet::from([role]);
        let mut next = vec![role];
        while let Some(member) = next.pop() {
            let sides = [before, after].into_iter().filter_map(|roles| roles.get(member));
            let groups = sides.flat_map(|role| &role.memberships).map(|edge| edge.role.as_str());
            next.extend(groups.filter(|group| about.insert(group)));
        }
        let is_about = |step: &&Step| step.change.role().is_some_and(|role| about.contains(role));
        Plan { steps: self.steps.iter().filter(is_about).cloned().collect(), ..self.clone() }
    }

    /// Roles with LOGIN on either side of the plan, and users that are disabled: what the summary calls users.
    pub fn users<'a>(&'a self, catalog: &'a Catalog) -> BTreeSet<&'a str> {
        let created = self.steps.iter().filter_map(|step| match &step.change {
            Change::CreateRole(role) if role.is_user() => Some(role.name.as_str()),
            Change::AlterRole(patch) if patch.set.contains(Attributes::LOGIN) => Some(patch.name.as_str()),
            _ => None,
        });
        let found = self.steps.iter().filter_map(|step| {
            let role = catalog.roles.get(step.change.role()?)?;
            role.is_user().then_some(role.name.as_str())
        });
        let disabled = self.steps.iter().filter_map(|step| step.change.role());
        let disabled = disabled.filter(|role| self.disabled.contains(*role));
        created.chain(found).chain(disabled).collect()
    }
}

/// Turns proposals into the steps of a plan: ordered, with the host's risk where it is higher, and
/// with the cause that the ledger tells.
pub fn assemble(proposals: Vec<Proposal>, by: &str, cause: impl Fn(&Change) -> Cause) -> Vec<Step> {
    let mut steps = Vec::new();
    for proposal in proposals {
        // What is said of a database that is only just made takes nothing from anybody.
        let is_new = matches!(proposal.change, Change::CreateDatabase(_));
        steps.extend(taken_apart(proposal).into_iter().map(|proposal| Step {
            risk: if is_new { proposal.risk } else { proposal.risk.max(proposal.change.risk()) },
            cause: cause(&proposal.change),
            change: proposal.change,
            reason: proposal.reason,
            path: proposal.path,
            by: by.to_owned(),
        }));
    }
    order::sort(&mut steps);
    steps
}

/// A database is made in no transaction, what concerns it as a whole is changed in that of the plan, and schemas in one
/// inside of it: so each of them is a step of its own.
fn taken_apart(proposal: Proposal) -> Vec<Proposal> {
    let (Change::CreateDatabase(database) | Change::AlterDatabase(database)) = &proposal.change else {
        return vec![proposal];
    };
    let of = |change: Change, path: &str| Proposal { change, path: path.to_owned(), ..proposal.clone() };
    let named = || Database::new(database.name.clone());
    let mut parts = Vec::new();
    if matches!(proposal.change, Change::CreateDatabase(_)) {
        parts.push(of(Change::CreateDatabase(named()), &proposal.path));
    }
    let whole = Database {
        owner: database.owner.clone(),
        connection_limit: database.connection_limit,
        comment: database.comment.clone(),
        ..named()
    };
    if whole != named() {
        parts.push(of(Change::AlterDatabase(whole), &proposal.path));
    }
    for schema in &database.schemas {
        let path = schema.path.clone();
        let alone = Database { schemas: vec![Schema { path: String::new(), ..schema.clone() }], ..named() };
        parts.push(of(Change::AlterDatabase(alone), if path.is_empty() { &proposal.path } else { &path }));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_planner_says_of_a_database_is_taken_apart_by_where_it_runs() {
        let owned = |name: &str| Schema { name: name.into(), owner: Some("app".into()), path: format!("/s/{name}") };
        let declared = Database {
            owner: Some("app".into()),
            comment: Some("c".into()),
            schemas: vec![owned("a"), owned("b")],
            ..Database::new("shop")
        };
        let of = |change: Change| {
            let proposal = Proposal { change, risk: Risk::Safe, reason: String::new(), path: "/d".into() };
            let steps = assemble(vec![proposal], "standard", |_| Cause::Spec);
            let told = |step: &Step| {
                format!("{} {:?} {} {}", step.change.action(), step.change.database(), step.path, step.risk)
            };
            steps.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(
            of(Change::CreateDatabase(declared.clone())),
            [
                "create-database None /d safe",
                "alter-database None /d safe",
                "alter-database Some(\"shop\") /s/a safe",
                "alter-database Some(\"shop\") /s/b safe",
            ]
        );
        // What was there before had another owner, who loses it.
        assert_eq!(
            of(Change::AlterDatabase(declared)),
            [
                "alter-database None /d disruptive",
                "alter-database Some(\"shop\") /s/a disruptive",
                "alter-database Some(\"shop\") /s/b disruptive",
            ]
        );
    }
}
