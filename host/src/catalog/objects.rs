//! What lies in one database, as far as the spec is about it: schemas, what they hold, and the
//! privileges of the roles that are looked at. Or, in the same form, what belongs to the whole server.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Object, ObjectKind, PolicyCommand, Privileges};

/// What to look at in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Roles whose privileges are of interest, whether they exist or not.
    pub roles: BTreeSet<String>,
    /// Schemas whose objects are of interest.
    pub schemas: BTreeSet<String>,
    /// Columns, types and large objects that are asked for by name: of these, there may be more than anybody wants to read.
    pub named: BTreeSet<Object>,
    /// Tables whose row-level security is of interest, by schema and name.
    pub secured: BTreeSet<(String, String)>,
}

impl Question {
    /// Adds what there is to know for a role that holds something on an object, or is to.
    pub fn add(&mut self, role: &str, on: &Object) {
        self.roles.insert(role.to_owned());
        match on {
            Object::Column { .. } | Object::LargeObject(_) => {
                self.named.insert(on.clone());
            }
            // The row of a table is a type that can be named, and is none of those that a schema holds.
            Object::Type { schema, .. } => {
                self.named.insert(on.clone());
                self.schemas.insert(schema.clone());
            }
            _ => self.schemas.extend(on.schema().map(str::to_owned)),
        }
    }
}

/// A schema as found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Who owns it.
    pub owner: String,
    /// Who else was granted CREATE on it.
    pub creators: BTreeSet<String>,
}

/// The row-level security of a table, or of whatever else has that name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundTable {
    /// Who owns it.
    pub owner: String,
    /// What it is instead, if it can have none.
    pub instead: Option<&'static str>,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether it is on for its owner, too.
    pub forced: bool,
    /// By name.
    pub policies: BTreeMap<String, FoundPolicy>,
}

/// A policy as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPolicy {
    /// What it is for.
    pub command: PolicyCommand,
    /// Whether it lets rows through, or keeps them back.
    pub permissive: bool,
    /// Whom it is for.
    pub roles: BTreeSet<String>,
    /// Whether it has USING and WITH CHECK: ALTER POLICY takes neither away.
    pub has: (bool, bool),
    /// Digest of both as the server prints them.
    pub printed: String,
    /// Digest of what was declared when they came to be printed like this; `None`: nobody knows.
    pub declared: Option<String>,
}

/// What one role holds on one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// By grants; what it may do as the owner is no grant.
    pub privileges: Privileges,
    /// The part of it WITH GRANT OPTION.
    pub grantable: Privileges,
    /// What somebody else than the owner granted.
    pub foreign: BTreeMap<String, Privileges>,
}

/// One database; or, of the whole server, parameters and tablespaces.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Every schema but PostgreSQL's own.
    pub schemas: BTreeMap<String, Schema>,
    /// The objects of the schemas that the spec speaks of, with their owners.
    pub members: BTreeMap<(ObjectKind, String), BTreeMap<Object, String>>,
    /// Objects of other kinds, with their owners: those that were asked for by name or that a role holds something on, and
    /// all of the kinds of which there are few.
    pub others: BTreeMap<Object, String>,
    /// Languages that only superusers may use: the server grants nothing on them.
    pub untrusted_languages: BTreeSet<String>,
    /// Routines by the types of their arguments alone, where that is written differently.
    pub signatures: BTreeMap<Object, Object>,
    /// Whose later objects of a kind give nothing to PUBLIC, by that owner's default privileges for all schemas.
    pub closed_later: BTreeSet<(ObjectKind, String)>,
    /// What the roles that are looked at hold, default privileges included.
    pub held: BTreeMap<String, BTreeMap<Object, Held>>,
    /// Tables whose row-level security was asked for, by schema and name.
    pub secured: BTreeMap<(String, String), FoundTable>,
    /// Digest of the row versions behind all this; it moves whenever any of it does.
    pub fingerprint: String,
}

impl Objects {
    /// Adds one privilege that a role was found to hold; `foreign_grantor`: who gave it, if not the owner.
    pub fn hold(
        &mut self,
        role: String,
        on: Object,
        privilege: Privileges,
        is_grantable: bool,
        foreign_grantor: Option<String>,
    ) {
        let held = self.held.entry(role).or_default().entry(on).or_default();
        held.privileges |= privilege;
        if is_grantable {
            held.grantable |= privilege;
        }
        if let Some(grantor) = foreign_grantor {
            *held.foreign.entry(grantor).or_default() |= privilege;
        }
    }

    /// The objects of a kind in a schema, with their owners.
    pub fn members(&self, kind: ObjectKind, schema: &str) -> impl Iterator<Item = (&Object, &String)> {
        self.members.get(&(kind, schema.to_owned())).into_iter().flatten()
    }

    /// Whether an object is one of those that all of its kind in its schema stand for: the row of a table is none of the
    /// types.
    pub fn is_member(&self, object: &Object) -> bool {
        let place = object.kind().zip(object.schema()).map(|(kind, schema)| (kind, schema.to_owned()));
        place.and_then(|place| self.members.get(&place)).is_some_and(|members| members.contains_key(object))
    }

    /// Who owns an object.
    pub fn owner(&self, object: &Object) -> Option<&str> {
        if let Object::Schema(schema) = object {
            return self.schemas.get(schema).map(|schema| schema.owner.as_str());
        }
        let members =
            object.kind().zip(object.schema()).and_then(|(kind, schema)| self.members.get(&(kind, schema.to_owned())));
        let owner = members.and_then(|members| members.get(object)).or_else(|| self.others.get(object));
        owner.map(String::as_str)
    }

    /// What a role holds on an object.
    pub fn held(&self, role: &str, object: &Object) -> (Privileges, Privileges) {
        let held = self.held.get(role).and_then(|held| held.get(object));
        held.map_or_else(Default::default, |held| (held.privileges, held.grantable))
    }

    /// Whether an object was found: among those of its schema, or since the role holds something on it.
    pub(super) fn knows(&self, role: Option<&str>, object: &Object) -> bool {
        let in_schema = object.schema().is_none_or(|schema| self.schemas.contains_key(schema));
        let found = || {
            self.owner(object).is_some()
                || role.and_then(|role| self.held.get(role)).is_some_and(|held| held.contains_key(object))
        };
        in_schema && (object.is_all() || object.future_owner().is_some() || found())
    }
}
