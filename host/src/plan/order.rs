//! The order in which steps run. Whatever order a module answers in, the same set of steps always
//! runs in the same order.
//!
//! 1. databases, then roles: group roles before their members (a role may be a member of another
//!    that is created too)
//! 2. renames, attributes, passwords
//! 3. what is taken away: settings, privileges, memberships. Before what is given, so that an
//!    edge that changes its options is first removed, then made anew
//! 4. owners of databases and schemas, and new schemas: what a former owner is to keep is granted after it; then the
//!    row-level security of tables: whoever is granted something there sees no row that is not his
//! 5. what is given: memberships, privileges, settings
//! 6. drops
//! 7. scripts: they meet everything else as it is to be

use std::collections::BTreeMap;

use super::change::{Change, Step};

/// Sorts steps into the order in which they run; stable and total.
pub fn sort(steps: &mut [Step]) {
    let depth = depths(steps);
    steps.sort_by(|a, b| key(a, &depth).cmp(&key(b, &depth)).then_with(|| tie(&a.change).cmp(&tie(&b.change))));
}

type Key<'a> = (u8, i64, &'a str);

fn key<'a>(step: &'a Step, depth: &BTreeMap<String, i64>) -> Key<'a> {
    let role = step.change.role().unwrap_or("");
    let depth_of = |name: &str| depth.get(name).copied().unwrap_or(0);
    match &step.change {
        Change::CreateDatabase(database) => (0, 0, &database.name),
        Change::CreateRole(made) => (1, depth_of(&made.name), role),
        Change::RenameRole { .. } => (2, 0, role),
        Change::AlterRole(_) => (3, 0, role),
        Change::SetPassword(_) | Change::ClearPassword(_) => (4, 0, role),
        Change::ResetSetting { .. } => (5, 0, role),
        Change::RevokePrivilege { .. } => (6, 0, role),
        Change::RevokeRole { .. } => (7, 0, role),
        Change::AlterDatabase(database) => (8, 0, &database.name),
        Change::SecureTable { table, .. } => (8, 1, &table.database),
        Change::GrantRole { .. } => (9, 0, role),
        Change::GrantPrivilege { .. } => (10, 0, role),
        Change::SetSetting { .. } => (11, 0, role),
        Change::DropRole { name, .. } => (12, 0, name),
        Change::RunScript(name) => (13, 0, name),
    }
}

/// Distinguishes steps of the same kind for the same role.
fn tie(change: &Change) -> String {
    match change {
        Change::GrantRole { membership, .. } | Change::RevokeRole { membership, .. } => {
            format!("{}\0{}", membership.role, membership.grantor.as_deref().unwrap_or(""))
        }
        Change::GrantPrivilege { grant, .. } | Change::RevokePrivilege { grant, .. } => {
            format!("{}\0{:?}", grant.database.as_deref().unwrap_or(""), grant.on)
        }
        Change::SetSetting { setting, .. } | Change::ResetSetting { setting, .. } => {
            format!("{}\0{}", setting.database.as_deref().unwrap_or(""), setting.name)
        }
        Change::SecureTable { table, how } => {
            format!("{}\0{}\0{}\0{}", table.schema, table.name, how.turn(), how.policy().unwrap_or_default())
        }
        Change::AlterDatabase(database) => database.schemas.iter().map(|schema| schema.name.as_str()).collect(),
        _ => String::new(),
    }
}

/// How many created roles stand above each created role. A cycle, which the guard refuses, only
/// stops the count.
fn depths(steps: &[Step]) -> BTreeMap<String, i64> {
    let created: BTreeMap<&str, Vec<&str>> = steps
        .iter()
        .filter_map(|step| match &step.change {
            Change::CreateRole(role) => {
                Some((role.name.as_str(), role.memberships.iter().map(|edge| edge.role.as_str()).collect()))
            }
            _ => None,
        })
        .collect();
    let mut depth: BTreeMap<String, i64> = BTreeMap::new();
    let mut level: Vec<&str> = created.keys().copied().collect();
    // A longest path visits each created role at most once, so this ends after that many rounds.
    for round in 0..=created.len() {
        let mut next = Vec::new();
        for name in level {
            depth.insert(name.to_owned(), round as i64);
            next.push(name);
        }
        let still: std::collections::BTreeSet<&str> = next.into_iter().collect();
        level = still
            .iter()
            .copied()
            .filter(|name| created.get(name).is_some_and(|above| above.iter().any(|role| still.contains(role))))
            .collect();
        if level.is_empty() || level.len() == still.len() {
            break;
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Membership, Mode, Role};
    use crate::plan::{Cause, Proposal, Risk, assemble};

    fn create(name: &str, of: &[&str]) -> Proposal {
        let mut role = Role::new(name, Mode::Authoritative, Attributes::GROUP);
        role.memberships = of.iter().map(|role| Membership::plain(*role)).collect();
        Proposal { change: Change::CreateRole(role), risk: Risk::Safe, reason: String::new(), path: String::new() }
    }

    fn drop(name: &str) -> Proposal {
        let change = Change::DropRole { name: name.into(), reassign_to: None };
        Proposal { change, risk: Risk::Safe, reason: String::new(), path: String::new() }
    }

    fn order(proposals: Vec<Proposal>) -> Vec<String> {
        assemble(proposals, "test", |_| Cause::Spec)
            .iter()
            .map(|step| format!("{} {}", step.change.action(), step.change.role().unwrap_or("")))
            .collect()
    }

    #[test]
    fn group_roles_are_created_before_their_members() {
        let steps = order(vec![create("a", &["b"]), create("b", &["c"]), create("c", &[]), create("d", &["existing"])]);
        assert_eq!(steps, ["create-role c", "create-role d", "create-role b", "create-role a"]);
    }

    #[test]
    fn drops_come_last() {
        assert_eq!(order(vec![drop("a"), create("z", &[])]), ["create-role z", "drop-role a"]);
    }

    #[test]
    fn a_cycle_does_not_hang() {
        assert_eq!(order(vec![create("a", &["b"]), create("b", &["a"])]).len(), 2);
    }
}
