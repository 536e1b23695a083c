//! A way with names instead of numbers, and what it ends in: what people and scripts are told.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{How, Manner, Oid, Roles, Way};

/// Whether somebody can, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Can {
    /// As it is.
    Now,
    /// As another role that it may become.
    AfterSetRole,
    /// Once it has granted it, or a membership, to itself.
    AfterGrant,
    /// On some columns only.
    SomeColumns,
}

impl From<Manner> for Can {
    fn from(manner: Manner) -> Can {
        match manner {
            Manner::Now => Can::Now,
            Manner::SetRole => Can::AfterSetRole,
            Manner::Grant => Can::AfterGrant,
        }
    }
}

/// Why the role at the end of a way holds a privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// No privilege is checked for it.
    Superuser,
    /// It owns the object.
    Owner,
    /// It was granted to it.
    Grant,
    /// It was granted to everybody.
    Public,
    /// It is a predefined role that holds it on every object, such as `pg_read_all_data`.
    Predefined,
    /// It owns the object and revoked its own privilege, which it can grant again.
    OwnerWithout,
}

/// The next role on a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Step {
    /// What gives it: `inherit`, `set`, `admin` or `createrole`.
    pub by: &'static str,
    /// The role.
    pub role: String,
}

/// One way in which a role holds a privilege.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Path {
    /// What it takes.
    pub can: Can,
    /// From role to role; empty: the role itself, or PUBLIC.
    pub steps: Vec<Step>,
    /// What to SET ROLE to first.
    pub set_role: Option<String>,
    /// Why the last role holds it.
    pub source: Source,
    /// The last role; `None`: PUBLIC.
    pub holder: Option<String>,
    /// Who granted it.
    pub granted_by: Vec<String>,
    /// WITH GRANT OPTION.
    pub grantable: bool,
    /// Only on these columns; empty: on all of it.
    pub columns: Vec<String>,
    /// What else it takes to use it that way, and is not there.
    pub missing: Vec<String>,
}

/// Who holds something, and why: where ways end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// `None`: everybody.
    pub(super) role: Option<Oid>,
    pub(super) source: Source,
    pub(super) grantors: BTreeSet<Oid>,
    pub(super) grantable: bool,
    pub(super) columns: BTreeSet<String>,
}

impl Holder {
    pub(super) fn new(role: Option<Oid>, source: Source) -> Holder {
        Holder { role, source, grantors: BTreeSet::new(), grantable: false, columns: BTreeSet::new() }
    }

    /// Whether members have it without further ado.
    pub(super) fn is_inherited(&self) -> bool {
        self.source != Source::Superuser
    }

    /// The path from a role that is `way` from here.
    pub(super) fn path(&self, roles: &Roles, way: &Way) -> Path {
        let steps = way.hops.iter().map(|hop| {
            let by = match hop.how {
                How::Inherit => "inherit",
                How::Set => "set",
                How::Admin => "admin",
                How::CreateRole => "createrole",
            };
            Step { by, role: roles.name(hop.to) }
        });
        Path {
            can: match (Can::from(way.manner), self.source) {
                (_, Source::OwnerWithout) => Can::AfterGrant,
                (can, _) => can,
            },
            steps: steps.collect(),
            // One that has to be granted first says what to do itself.
            set_role: way.set_role().filter(|_| way.manner == Manner::SetRole).map(|(role, _)| roles.name(role)),
            source: self.source,
            holder: self.role.map(|role| roles.name(role)),
            granted_by: self.grantors.iter().map(|grantor| roles.name(*grantor)).collect(),
            grantable: self.grantable,
            columns: self.columns.iter().cloned().collect(),
            missing: Vec::new(),
        }
    }
}
