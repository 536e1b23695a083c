//! The graph of roles and memberships, and the ways through it. An edge gives up to three things: what the role holds
//! (INHERIT), to become the role (SET), and to grant the role to anybody, oneself included (ADMIN).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Attributes, Expiry, Limit};

/// PostgreSQL's number of a role.
pub type Oid = u32;

/// `pg_database_owner`: its one member is the owner of the database that one is in.
const DATABASE_OWNER: &str = "pg_database_owner";

/// A role, as anybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// LOGIN, SUPERUSER, ….
    pub attributes: Attributes,
    /// How many sessions it may have.
    pub connection_limit: Limit,
    /// When its password stops working.
    pub valid_until: Expiry,
}

impl Role {
    /// Whether privileges are not checked for it.
    pub fn is_superuser(&self) -> bool {
        self.attributes.contains(Attributes::SUPERUSER)
    }

    /// Whether its password has ceased to work.
    pub fn is_expired(&self, now: i64) -> bool {
        matches!(self.valid_until, Expiry::At(end) if end < now)
    }
}

/// That a role is a member of another. Several grantors' edges between the same two count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Of which role.
    pub role: Oid,
    /// Which role is a member.
    pub member: Oid,
    /// ADMIN OPTION.
    pub admin: bool,
    /// INHERIT OPTION; before 16, the member's attribute.
    pub inherit: bool,
    /// SET OPTION; before 16, always.
    pub set: bool,
}

/// How one gets from a role to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// By holding what it holds.
    Inherit,
    /// By SET ROLE.
    Set,
    /// By granting it to oneself, having ADMIN OPTION on it.
    Admin,
    /// By granting it to oneself, having CREATEROLE (before 16).
    CreateRole,
}

/// One hop on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    /// Where it leads.
    pub to: Oid,
    /// How.
    pub how: How,
}

/// What has to be done before a privilege can be used; the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// Nothing.
    Now,
    /// SET ROLE.
    SetRole,
    /// A GRANT to oneself.
    Grant,
}

/// A way from a role to one that holds something; the hops start at the role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// What it takes.
    pub manner: Manner,
    /// Empty: the role itself.
    pub hops: Vec<Hop>,
}

impl Way {
    fn itself() -> Way {
        Way { manner: Manner::Now, hops: Vec::new() }
    }

    /// The role to SET ROLE to, and the hops of what it inherits from there. PostgreSQL takes several edges in one SET ROLE.
    pub fn set_role(&self) -> Option<(Oid, &[Hop])> {
        let last = self.hops.iter().rposition(|hop| hop.how == How::Set)?;
        Some((self.hops[last].to, &self.hops[last + 1..]))
    }
}

/// Every way to a role, the nearest first: by the role that it starts from.
#[derive(Debug, Default)]
pub struct Ways {
    by_role: BTreeMap<Oid, Way>,
    order: Vec<Oid>,
}

impl Ways {
    fn to(holder: Oid) -> Ways {
        Ways { by_role: BTreeMap::from([(holder, Way::itself())]), order: vec![holder] }
    }

    /// Notes a way, if there is none from this role yet.
    fn note(&mut self, from: Oid, way: impl FnOnce(&BTreeMap<Oid, Way>) -> Way) {
        if !self.by_role.contains_key(&from) {
            let way = way(&self.by_role);
            self.by_role.insert(from, way);
            self.order.push(from);
        }
    }

    /// The ways, with the roles that they start from.
    pub fn into_map(self) -> BTreeMap<Oid, Way> {
        self.by_role
    }

    /// The way that starts from a role.
    pub fn get(&self, from: Oid) -> Option<&Way> {
        self.by_role.get(&from)
    }
}

/// Roles and memberships of a server, as they are in one database.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    version: u32,
    roles: BTreeMap<Oid, Role>,
    by_name: BTreeMap<String, Oid>,
    /// Edges by member.
    up: BTreeMap<Oid, Vec<Edge>>,
    /// Edges by role.
    down: BTreeMap<Oid, Vec<Edge>>,
}

impl Roles {
    /// Puts the graph together. `version` is `server_version_num`.
    pub fn new(
        version: u32,
        roles: impl IntoIterator<Item = (Oid, Role)>,
        edges: impl IntoIterator<Item = Edge>,
    ) -> Roles {
        let mut graph = Roles { version, roles: roles.into_iter().collect(), ..Roles::default() };
        graph.by_name = graph.roles.iter().map(|(oid, role)| (role.name.clone(), *oid)).collect();
        let mut merged: BTreeMap<(Oid, Oid), Edge> = BTreeMap::new();
        for edge in edges {
            let known = merged.entry((edge.role, edge.member)).or_insert(edge);
            known.admin |= edge.admin;
            known.inherit |= edge.inherit;
            known.set |= edge.set;
        }
        for edge in merged.into_values() {
            graph.add(edge);
        }
        graph
    }

    /// The same in a database of this owner, which is a member of `pg_database_owner` there. Before 16, a NOINHERIT
    /// owner has to SET ROLE to it.
    #[must_use]
    pub fn in_database_of(&self, owner: Oid) -> Roles {
        let mut graph = self.clone();
        if let (Some(role), Some(member)) = (self.named(DATABASE_OWNER), self.role(owner)) {
            let inherit = self.version >= 160_000 || member.attributes.contains(Attributes::INHERIT);
            graph.add(Edge { role, member: owner, admin: false, inherit, set: true });
        }
        graph
    }

    fn add(&mut self, edge: Edge) {
        self.up.entry(edge.member).or_default().push(edge);
        self.down.entry(edge.role).or_default().push(edge);
    }

    /// `server_version_num`.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Every role.
    pub fn iter(&self) -> impl Iterator<Item = (Oid, &Role)> {
        self.roles.iter().map(|(oid, role)| (*oid, role))
    }

    /// A role by its number.
    pub fn role(&self, oid: Oid) -> Option<&Role> {
        self.roles.get(&oid)
    }

    /// The number of a role by its name.
    pub fn named(&self, name: &str) -> Option<Oid> {
        self.by_name.get(name).copied()
    }

    /// A name for people; one that was dropped in between goes by its number.
    pub fn name(&self, oid: Oid) -> String {
        self.role(oid).map_or_else(|| oid.to_string(), |role| role.name.clone())
    }

    /// What a role is a direct member of.
    pub fn memberships(&self, member: Oid) -> &[Edge] {
        self.up.get(&member).map_or(&[], Vec::as_slice)
    }

    fn is_superuser(&self, oid: Oid) -> bool {
        self.role(oid).is_some_and(Role::is_superuser)
    }

    /// From which roles one gets to `holder`, and how. What makes a superuser one is not inherited.
    pub fn ways_to(&self, holder: Oid, is_inherited: bool) -> Ways {
        let mut ways = self.ways_to_act_as(holder, is_inherited);
        self.add_grants_to_oneself(&mut ways);
        ways
    }

    /// Who holds whatever a role holds, itself included.
    pub fn inheritors(&self, holder: Oid) -> Vec<Oid> {
        let mut ways = Ways::to(holder);
        self.follow(&mut ways, How::Inherit, |edge| edge.inherit);
        ways.order
    }

    /// By membership alone: first whoever inherits, then whoever may SET ROLE to one of those. Whether one may is asked of
    /// the role that logged in, over edges that all have SET; so nobody inherits a SET.
    fn ways_to_act_as(&self, holder: Oid, is_inherited: bool) -> Ways {
        let mut ways = Ways::to(holder);
        if is_inherited {
            self.follow(&mut ways, How::Inherit, |edge| edge.inherit);
        }
        self.follow(&mut ways, How::Set, |edge| edge.set);
        ways
    }

    fn follow(&self, ways: &mut Ways, how: How, leads: impl Fn(&Edge) -> bool) {
        let mut next = 0;
        while let Some(&role) = ways.order.get(next) {
            next += 1;
            for edge in self.down.get(&role).into_iter().flatten().filter(|edge| leads(edge)) {
                ways.note(edge.member, |known| {
                    let onward = &known[&role];
                    let manner = if how == How::Set { Manner::SetRole } else { onward.manner };
                    Way { manner, hops: joined(&[Hop { to: role, how }], &onward.hops) }
                });
            }
        }
    }

    /// Whoever has ADMIN on a role that leads there can make itself a member: as itself, by what it inherits, or after SET
    /// ROLE. Only superusers grant what a superuser is.
    fn add_grants_to_oneself(&self, ways: &mut Ways) {
        let mut asked = BTreeSet::new();
        let mut next = 0;
        while let Some(&role) = ways.order.get(next) {
            next += 1;
            let is_grantable = !self.is_superuser(role) && self.role(role).is_some_and(|it| it.name != DATABASE_OWNER);
            if !is_grantable {
                continue;
            }
            for edge in self.down.get(&role).into_iter().flatten().filter(|edge| edge.admin) {
                if asked.insert(edge.member) {
                    self.add_granters(ways, edge.member, Hop { to: role, how: How::Admin }, true);
                }
            }
            // Before 16, CREATEROLE was enough, for any role that is no superuser.
            if self.version < 160_000 {
                let creators = self.iter().filter(|(_, role)| role.attributes.contains(Attributes::CREATEROLE));
                for (creator, _) in creators {
                    if asked.insert(creator) {
                        self.add_granters(ways, creator, Hop { to: role, how: How::CreateRole }, false);
                    }
                }
            }
        }
    }

    fn add_granters(&self, ways: &mut Ways, granter: Oid, hop: Hop, is_inherited: bool) {
        let acting = self.ways_to_act_as(granter, is_inherited);
        for from in &acting.order {
            ways.note(*from, |known| {
                let before = joined(&acting.by_role[from].hops, &[hop]);
                Way { manner: Manner::Grant, hops: joined(&before, &known[&hop.to].hops) }
            });
        }
    }

    /// Everything that a role gets to, by itself and by membership, and how: the mirror image of [`Roles::ways_to`].
    pub fn reach(&self, from: Oid) -> BTreeMap<Oid, Way> {
        let mut inherited = BTreeMap::from([(from, Way::itself())]);
        self.climb(&mut inherited, How::Inherit, Manner::Now, |edge| edge.inherit);
        let mut reached = inherited;
        // Nearest first, so that the shortest SET ROLE is told.
        let mut settable: Vec<(Oid, Way)> = self.settable_ways(from).into_iter().collect();
        settable.sort_by_key(|(_, way)| way.hops.len());
        for (role, way) in settable {
            let mut onward = BTreeMap::from([(role, way)]);
            self.climb(&mut onward, How::Inherit, Manner::SetRole, |edge| edge.inherit);
            for (role, way) in onward {
                reached.entry(role).or_insert(way);
            }
        }
        reached
    }

    /// The roles that one may SET ROLE to, and how; itself included.
    pub fn settable_ways(&self, from: Oid) -> BTreeMap<Oid, Way> {
        let mut ways = BTreeMap::from([(from, Way::itself())]);
        self.climb(&mut ways, How::Set, Manner::SetRole, |edge| edge.set);
        ways
    }

    /// The same without how.
    pub fn settable(&self, from: Oid) -> BTreeSet<Oid> {
        self.settable_ways(from).into_keys().collect()
    }

    fn climb(&self, ways: &mut BTreeMap<Oid, Way>, how: How, manner: Manner, leads: impl Fn(&Edge) -> bool) {
        let mut order: Vec<Oid> = ways.keys().copied().collect();
        let mut next = 0;
        while let Some(&member) = order.get(next) {
            next += 1;
            for edge in self.memberships(member).iter().filter(|edge| leads(edge)) {
                if !ways.contains_key(&edge.role) {
                    let hops = joined(&ways[&member].hops, &[Hop { to: edge.role, how }]);
                    ways.insert(edge.role, Way { manner, hops });
                    order.push(edge.role);
                }
            }
        }
    }

    /// Every role that this one is a member of, whatever the edges give.
    pub fn member_of(&self, from: Oid) -> BTreeSet<Oid> {
        let mut ways = BTreeMap::from([(from, Way::itself())]);
        self.climb(&mut ways, How::Inherit, Manner::Now, |_| true);
        ways.remove(&from);
        ways.into_keys().collect()
    }
}

fn joined(first: &[Hop], second: &[Hop]) -> Vec<Hop> {
    [first, second].concat()
}
