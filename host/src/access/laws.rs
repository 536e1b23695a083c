//! Laws of the graph, over random graphs, against the plainest reading of PostgreSQL's rules: closures of relations.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{edge, roles};
use super::graph::Edge;
use super::{How, Manner, Oid, Roles, Way};
use crate::model::Attributes;

const COUNT: Oid = 6;

/// Edges lead from a smaller number to a larger, as PostgreSQL allows no loops.
fn edges() -> impl Strategy<Value = Vec<Edge>> {
    let one = (0..COUNT - 1, 1..COUNT, any::<[bool; 3]>()).prop_map(|(from, by, [inherit, set, admin])| {
        let to = from + 1 + by % (COUNT - 1 - from);
        Edge { role: to, member: from, admin, inherit, set }
    });
    vec(one, 0..9)
}

fn graph(edges: &[Edge]) -> Roles {
    let names = ["a", "b", "c", "d", "e", "f"];
    let list: Vec<(Oid, &str, Attributes)> =
        names.iter().zip(0..COUNT).map(|(name, oid)| (oid, *name, Attributes::INHERIT)).collect();
    roles(160_000, &list, edges)
}

/// Whether `from` gets to `to` over edges that have something.
fn closure(edges: &[Edge], from: Oid, to: Oid, has: fn(&Edge) -> bool) -> bool {
    let mut reached = BTreeSet::from([from]);
    for _ in 0..COUNT {
        for edge in edges.iter().filter(|edge| has(edge)) {
            if reached.contains(&edge.member) {
                reached.insert(edge.role);
            }
        }
    }
    reached.contains(&to)
}

fn inherits(edges: &[Edge], from: Oid, to: Oid) -> bool {
    closure(edges, from, to, |edge| edge.inherit)
}

fn acts(edges: &[Edge], from: Oid, to: Oid) -> bool {
    (0..COUNT).any(|role| closure(edges, from, role, |edge| edge.set) && inherits(edges, role, to))
}

/// What there is once a role has granted itself all that it can.
fn after_grants(edges: &[Edge], role: Oid) -> Vec<Edge> {
    let mut all = edges.to_vec();
    for _ in 0..COUNT {
        let own: Vec<Edge> = edges
            .iter()
            .filter(|it| it.admin && acts(&all, role, it.member))
            .map(|it| Edge { role: it.role, member: role, admin: false, inherit: true, set: true })
            .collect();
        all.extend(own);
    }
    all
}

/// Every hop is what an edge gives (the hop to what one grants oneself: what some member's edge gives).
fn is_walkable(edges: &[Edge], from: Oid, way: &Way) -> bool {
    let mut here = from;
    way.hops.iter().all(|hop| {
        let found = edges.iter().any(|edge| {
            let gives = match hop.how {
                How::Inherit => edge.inherit,
                How::Set => edge.set,
                How::Admin => edge.admin,
                How::CreateRole => false,
            };
            edge.member == here && edge.role == hop.to && gives
        });
        here = hop.to;
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ways_are_those_of_postgresql(edges in edges()) {
        let graph = graph(&edges);
        for holder in 0..COUNT {
            let ways = graph.ways_to(holder, true);
            let inheritors: BTreeSet<Oid> = graph.inheritors(holder).into_iter().collect();
            for from in 0..COUNT {
                let expected = if inherits(&edges, from, holder) {
                    Some(Manner::Now)
                } else if acts(&edges, from, holder) {
                    Some(Manner::SetRole)
                } else if acts(&after_grants(&edges, from), from, holder) {
                    Some(Manner::Grant)
                } else {
                    None
                };
                let way = ways.get(from);
                prop_assert_eq!(way.map(|way| way.manner), expected, "from {} to {}: {:?}", from, holder, edges);
                prop_assert_eq!(inheritors.contains(&from), expected == Some(Manner::Now));
                if let Some(way) = way {
                    prop_assert!(is_walkable(&edges, from, way), "from {}: {:?} {:?}", from, way, edges);
                    let end = way.hops.last().map_or(from, |hop| hop.to);
                    prop_assert_eq!(end, holder);
                }
                // Seen from the other end it is the same, but for what one would have to grant oneself.
                let reached = graph.reach(from);
                let seen = reached.get(&holder).map(|way| way.manner);
                prop_assert_eq!(seen, expected.filter(|manner| *manner < Manner::Grant), "{:?}", edges);
                if let Some(way) = reached.get(&holder) {
                    prop_assert!(is_walkable(&edges, from, way));
                }
            }
        }
    }

    #[test]
    fn what_a_superuser_is_goes_to_nobody_without_set_role(edges in edges()) {
        let graph = graph(&edges);
        for from in 0..COUNT - 1 {
            let manner = graph.ways_to(COUNT - 1, false).get(from).map(|way| way.manner);
            let sets = closure(&edges, from, COUNT - 1, |edge| edge.set);
            prop_assert_eq!(manner == Some(Manner::SetRole), sets);
            prop_assert!(manner != Some(Manner::Now));
        }
    }
}

#[test]
fn before_16_createrole_is_enough_and_no_superuser_is_granted() {
    let list = [
        (1, "creator", Attributes::CREATEROLE | Attributes::INHERIT),
        (2, "reader", Attributes::INHERIT),
        (3, "root", Attributes::SUPERUSER),
        (4, "heir", Attributes::INHERIT),
    ];
    let edges = [edge(4, 1, "is")];
    let before = roles(150_000, &list, &edges);
    let hops = |graph: &Roles, holder, from| graph.ways_to(holder, true).get(from).map(|way| way.hops.len());
    // The attribute itself is not inherited: whoever may SET ROLE to the creator is one hop farther.
    assert_eq!((hops(&before, 2, 1), hops(&before, 2, 4)), (Some(1), Some(2)));
    assert_eq!(hops(&before, 3, 1), None);
    let after = roles(160_000, &list, &edges);
    assert_eq!((hops(&after, 2, 1), hops(&after, 2, 4)), (None, None));
    // With ADMIN neither, where it is a superuser.
    let after = roles(160_000, &list, &[edge(1, 3, "a"), edge(1, 2, "a")]);
    assert_eq!((hops(&after, 2, 1), hops(&after, 3, 1)), (Some(1), None));
}

#[test]
fn the_owner_of_a_database_is_a_member_of_pg_database_owner_there() {
    let list = [(1, "app", Attributes::empty()), (2, "pg_database_owner", Attributes::INHERIT)];
    for (version, manner) in [(150_000, Manner::SetRole), (160_000, Manner::Now)] {
        let graph = roles(version, &list, &[]);
        assert!(graph.ways_to(2, true).get(1).is_none());
        let here = graph.in_database_of(1);
        assert_eq!(here.ways_to(2, true).get(1).map(|way| way.manner), Some(manner), "{version}");
    }
}
