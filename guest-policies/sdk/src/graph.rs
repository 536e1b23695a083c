//! Who has which power, by whatever way: roles with their attributes and the edges between them, and what the steps of
//! a plan make of both. Which powers are forbidden, and to whom, is not decided here.

use std::collections::{BTreeMap, BTreeSet};

use rolewright_policy::{Attributes, Change, Membership, Role, Step};

/// Roles and memberships.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph<'a> {
    roles: BTreeMap<&'a str, Node<'a>>,
}

/// An edge is kept for each grantor, since a revocation takes away only one of them.
#[derive(Debug, Clone)]
struct Node<'a> {
    attributes: Attributes,
    member_of: Vec<(&'a str, Option<&'a str>)>,
}

/// Something that the ceiling may be about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Power<'a> {
    /// The role itself has it, or it can become a role that has it.
    Attribute(Attributes),
    /// Membership in this role.
    Role(&'a str),
}

impl Power<'_> {
    /// Whether these bring it by themselves. A power that nobody has so, nobody has at all.
    pub(crate) fn is_direct(self, attributes: Attributes, memberships: &[Membership]) -> bool {
        match self {
            Power::Attribute(flag) => attributes.contains(flag),
            Power::Role(role) => memberships.iter().any(|membership| membership.role == role),
        }
    }
}

/// A membership without any option is there, and of no use: the host's guard sees it the same way.
pub(crate) fn is_of_use(membership: &Membership) -> bool {
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
    pub(crate) fn new(roles: &'a [Role]) -> Self {
        Graph { roles: roles.iter().map(|role| (role.name.as_str(), Node::new(role))).collect() }
    }

    /// What is there after the steps.
    pub(crate) fn after(mut self, steps: &'a [Step]) -> Self {
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

    /// Who is a direct member of each role.
    pub(crate) fn members(&self) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (member, node) in &self.roles {
            for (role, _) in &node.member_of {
                members.entry(role).or_default().push(member);
            }
        }
        members
    }

    /// All who have this power. From those who have it themselves down to their members, each looked at once, so that
    /// neither a long chain nor a circle does harm.
    pub(crate) fn holders(&self, power: Power<'a>, members: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
        let mut open: Vec<&str> = match power {
            Power::Role(role) => vec![role],
            Power::Attribute(flag) => {
                let have = self.roles.iter().filter(|(_, node)| node.attributes.contains(flag));
                have.map(|(name, _)| *name).collect()
            }
        };
        let mut holders: BTreeSet<&str> = match power {
            Power::Role(_) => BTreeSet::new(),
            Power::Attribute(_) => open.iter().copied().collect(),
        };
        while let Some(role) = open.pop() {
            for member in members.get(role).into_iter().flatten() {
                if holders.insert(member) {
                    open.push(member);
                }
            }
        }
        holders
    }
}
