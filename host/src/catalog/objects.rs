//! What lies in one database, as far as the spec is about it: schemas, what they hold, and the
//! privileges of the roles that are looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Object, ObjectKind, Privileges};

/// What to look at in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Roles whose privileges are of interest, whether they exist or not.
    pub roles: BTreeSet<String>,
    /// Schemas whose objects are of interest.
    pub schemas: BTreeSet<String>,
}

/// A schema as found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Who owns it.
    pub owner: String,
    /// Who else was granted CREATE on it.
    pub creators: BTreeSet<String>,
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

/// One database.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Every schema but PostgreSQL's own.
    pub schemas: BTreeMap<String, Schema>,
    /// The objects of the schemas that the spec speaks of, with their owners.
    pub members: BTreeMap<(ObjectKind, String), BTreeMap<Object, String>>,
    /// Routines by the types of their arguments alone, where that is written differently.
    pub signatures: BTreeMap<Object, Object>,
    /// What the roles that are looked at hold, default privileges included.
    pub held: BTreeMap<String, BTreeMap<Object, Held>>,
    /// Digest of the row versions behind all this; it moves whenever any of it does.
    pub fingerprint: String,
}

impl Objects {
    /// The objects of a kind in a schema, with their owners.
    pub fn members(&self, kind: ObjectKind, schema: &str) -> impl Iterator<Item = (&Object, &String)> {
        self.members.get(&(kind, schema.to_owned())).into_iter().flatten()
    }

    /// Who owns an object.
    pub fn owner(&self, object: &Object) -> Option<&str> {
        if let Object::Schema(schema) = object {
            return self.schemas.get(schema).map(|schema| schema.owner.as_str());
        }
        let members = self.members.get(&(object.kind()?, object.schema()?.to_owned()))?;
        members.get(object).map(String::as_str)
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
