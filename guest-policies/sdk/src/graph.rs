//! Who has which role, by whatever way: roles with their attributes and the edges between them, and what the steps of a
//! plan make of both. For policies that look further than at one role.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Attributes, Change, Membership, Role, Step};

/// Roles and memberships.
///
/// ```
/// use rolewright_policy::{Role, graph::Graph};
///
/// let roles = [Role::user("alice").member_of(["lead"]), Role::group("lead").member_of(["payer"])];
/// let members = Graph::new(&roles).members();
/// assert!(members.of(["payer"]).contains("alice"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Graph<'a> {
    roles: BTreeMap<&'a str, Node<'a>>,
}

/// An edge is kept for each grantor, since a revocation takes away only one of them.
#[derive(Debug, Clone)]
struct Node<'a> {
    attributes: Attributes,
    member_of: Vec<(&'a str, Option<&'a str>)>,
}

/// A membership without any option is there, and of no use: the host's guard sees it the same way.
pub fn is_of_use(membership: &Membership) -> bool {
    membership.admin || membership.inherit || membership.set
}

impl<'a> Node<'a> {
    const EMPTY: Self = Node { attributes: Attributes::empty(), member_of: Vec::new() };

    fn new(role: &'a Role) -> Self {
        let mut node = Node { attributes: role.attributes, member_of: Vec::with_capacity(role.memberships.len()) };
        role.memberships.iter().for_each(|membership| node.join(membership));
        node
    }

    fn join(&mut self, membership: &'a Membership) {
        if is_of_use(membership) {
            self.member_of.push((&membership.role, membership.grantor.as_deref()));
        }
    }
}

impl<'a> Graph<'a> {
    /// Roles as declared, or as found.
    pub fn new(roles: &'a [Role]) -> Self {
        Graph { roles: roles.iter().map(|role| (role.name.as_str(), Node::new(role))).collect() }
    }

    /// What is there after the steps.
    pub fn after(mut self, steps: &'a [Step]) -> Self {
        for step in steps {
            match &step.change {
                Change::CreateRole(role) => {
                    self.roles.insert(&role.name, Node::new(role));
                }
                Change::AlterRole(patch) => {
                    let node = self.roles.entry(&patch.name).or_insert(Node::EMPTY);
                    node.attributes = (node.attributes | patch.set) - patch.clear;
                }
                Change::GrantRole(edge) => self.roles.entry(&edge.member).or_insert(Node::EMPTY).join(&edge.membership),
                Change::RevokeRole(edge) => {
                    let gone = (edge.membership.role.as_str(), edge.membership.grantor.as_deref());
                    self.roles.entry(&edge.member).or_insert(Node::EMPTY).member_of.retain(|edge| *edge != gone);
                }
                Change::RenameRole(rename) => {
                    if let Some(node) = self.roles.remove(rename.from.as_str()) {
                        self.roles.insert(&rename.to, node);
                    }
                    let edges = self.roles.values_mut().flat_map(|node| &mut node.member_of);
                    edges.filter(|(role, _)| *role == rename.from).for_each(|edge| edge.0 = &rename.to);
                }
                // Edges to it may stay: whoever had a power through it had it before.
                Change::DropRole(removal) => {
                    self.roles.remove(removal.name.as_str());
                }
                _ => {}
            }
        }
        self
    }

    /// Those who have this attribute themselves.
    pub fn with(&self, attribute: Attributes) -> impl Iterator<Item = &'a str> {
        self.roles.iter().filter(move |(_, node)| node.attributes.contains(attribute)).map(|(name, _)| *name)
    }

    /// Who is a member of which role.
    pub fn members(&self) -> Members<'a> {
        let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (member, node) in &self.roles {
            for (role, _) in &node.member_of {
                members.entry(role).or_default().push(member);
            }
        }
        Members { of: members }
    }
}

/// The members of every role.
#[derive(Debug, Clone, Default)]
pub struct Members<'a> {
    /// Direct ones.
    of: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Members<'a> {
    /// All who are a member of one of these roles, by whatever way. Each is looked at once, so that neither a long
    /// chain nor a circle does harm.
    pub fn of<'r>(&self, roles: impl IntoIterator<Item = &'r str>) -> BTreeSet<&'a str> {
        let direct = |role: &str| self.of.get(role).into_iter().flatten().copied();
        let mut open: Vec<&str> = roles.into_iter().flat_map(direct).collect();
        let mut all = BTreeSet::new();
        while let Some(member) = open.pop() {
            if all.insert(member) {
                open.extend(direct(member));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edge, Rename};

    fn names(members: BTreeSet<&str>) -> Vec<&str> {
        members.into_iter().collect()
    }

    #[test]
    fn members_of_members_are_members_and_a_circle_has_an_end() {
        let roles = [
            Role::user("alice").member_of(["lead"]),
            Role::group("lead").member_of(["payer"]),
            Role::group("one").member_of(["two"]),
            Role::group("two").member_of(["one"]),
        ];
        let members = Graph::new(&roles).members();
        assert_eq!(names(members.of(["payer"])), ["alice", "lead"]);
        assert_eq!(names(members.of(["one"])), ["one", "two"]);
        assert_eq!(names(members.of(["lead", "two"])), ["alice", "one", "two"]);
        assert!(members.of(["nobody"]).is_empty());
    }

    #[test]
    fn a_membership_without_any_option_is_none() {
        let mut alice = Role::user("alice").member_of(["payer"]);
        alice.memberships[0].inherit = false;
        alice.memberships[0].set = false;
        assert!(Graph::new(&[alice]).members().of(["payer"]).is_empty());
    }

    #[test]
    fn steps_change_who_has_what() {
        let roles = [Role::user("alice").member_of(["payer"]), Role::user("bob")];
        let edge = |member: &str, role: &str| Edge { member: member.to_owned(), membership: Membership::plain(role) };
        let rename = Rename { from: "payer".to_owned(), to: "payers".to_owned() };
        let steps = [
            Change::GrantRole(edge("bob", "payer")),
            Change::RenameRole(rename),
            Change::CreateRole(Role::user("carol").member_of(["payers"])),
            Change::RevokeRole(edge("alice", "payers")),
        ]
        .map(|change| Step::new(change, "because", ""));
        let graph = Graph::new(&roles);
        assert_eq!(names(graph.clone().after(&steps[..1]).members().of(["payer"])), ["alice", "bob"]);
        assert_eq!(names(graph.after(&steps).members().of(["payers"])), ["bob", "carol"]);
    }
}
