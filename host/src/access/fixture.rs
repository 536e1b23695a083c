//! Small servers for tests.

use super::graph::Edge;
use super::{AclItem, Kind, Object, Oid, Role, Roles};
use crate::model::{Attributes, Expiry, Limit, Privileges};

pub(super) fn role(name: &str, attributes: Attributes) -> Role {
    Role { name: name.to_owned(), attributes, connection_limit: Limit::Unlimited, valid_until: Expiry::Never }
}

/// Of `member`, in `role`, with some of `i`nherit, `s`et and `a`dmin.
pub(super) fn edge(member: Oid, role: Oid, options: &str) -> Edge {
    let has = |letter| options.contains(letter);
    Edge { role, member, admin: has('a'), inherit: has('i'), set: has('s') }
}

/// An object whose owner holds everything on it.
pub(super) fn object(kind: Kind, schema: Option<&str>, name: &str, owner: Oid) -> Object {
    let all = kind.privileges(180_000);
    Object {
        kind,
        schema: schema.map(str::to_owned),
        name: name.to_owned(),
        part: None,
        owner,
        guarded: false,
        limited: false,
        acl: all.iter().map(|privilege| granted(owner, owner, privilege)).collect(),
    }
}

pub(super) fn granted(grantee: Oid, grantor: Oid, privilege: Privileges) -> AclItem {
    AclItem { grantee: Some(grantee).filter(|oid| *oid != 0), grantor, privilege, grantable: false }
}

/// Roles by number, with the edges between them.
pub(super) fn roles(version: u32, roles: &[(Oid, &str, Attributes)], edges: &[Edge]) -> Roles {
    let roles = roles.iter().map(|(oid, name, attributes)| (*oid, role(name, *attributes)));
    Roles::new(version, roles, edges.iter().copied())
}
