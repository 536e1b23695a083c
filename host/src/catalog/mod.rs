//! What PostgreSQL holds: roles, memberships, database privileges, and how far the controller may
//! look. Plain data; reading it from a server is the business of `postgres::snapshot`.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

pub use objects::{FoundPolicy, FoundTable, Held, Objects, Question, Schema};

use crate::model::{Database, Grant, Object, Privileges, Role, Standing};
use crate::parameter;

/// What PostgreSQL held at one moment.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Every role of the server, predefined ones included.
    pub roles: BTreeMap<String, Role>,
    /// OID of each role: a name can be reused, an OID cannot.
    pub oids: BTreeMap<String, u32>,
    /// `xmin` of each role's `pg_authid` row, where it can be read: moves with every ALTER ROLE.
    pub row_versions: BTreeMap<String, String>,
    /// Every database of the server, with its owner.
    pub databases: BTreeMap<String, Database>,
    /// Database privileges granted by somebody other than the owner: REVOKE must run as them.
    /// Keyed by grantee and database.
    pub foreign_grantors: BTreeMap<(String, String), BTreeMap<String, Privileges>>,
    /// What PUBLIC holds, by database.
    pub public: BTreeMap<String, Privileges>,
    /// Databases that are declared and not there yet: what lies in them is what a new one holds.
    pub absent: BTreeSet<String>,
    /// Owners that are declared, and will be there before anything inside of a database is done.
    pub foreseen: BTreeSet<String>,
    /// Who is to own a database by the time that privileges on it are granted, where that is declared.
    pub future_owners: BTreeMap<String, String>,
    /// What lies in the databases that the spec grants something in; the others are not looked into.
    pub objects: BTreeMap<String, Objects>,
    /// Tablespaces, and parameters that anybody was granted something on: what every role holds on these.
    pub shared: Objects,
    /// Databases that could not be looked into, and why.
    pub closed: BTreeMap<String, String>,
    /// Parameters that the controller may not set, in lower case, as far as it can see them; empty for a superuser.
    pub closed_parameters: BTreeSet<String>,
    /// Roles that the operator protects, whether they exist or not.
    pub protected: BTreeSet<String>,
    /// What the controller is and may.
    pub server: Server,
    /// Digest of the row versions behind all this; it moves whenever any of it does.
    pub fingerprint: String,
}

/// The server, and what the controller's own role may do there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// As `server_version_num` prints it.
    pub version: u32,
    /// `host:port/database`.
    pub target: String,
    /// Distinguishes this database from another behind the same name.
    pub identity: String,
    /// The controller's own role.
    pub current_user: String,
    /// The role that the controller logged in as: the same, but for one that has a setting `role`.
    pub session_user: String,
    /// The role with OID 10, made by initdb.
    pub bootstrap_superuser: String,
    /// Whether the controller is a superuser.
    pub superuser: bool,
    /// Whether `pg_authid`, and so the stored verifiers, can be read.
    pub reads_verifiers: bool,
}

impl Server {
    /// PostgreSQL 16 and later keep one membership edge per grantor, with options.
    pub fn has_membership_options(&self) -> bool {
        self.version >= 160_000
    }

    /// PostgreSQL 15 and later have privileges on parameters.
    pub fn has_parameter_privileges(&self) -> bool {
        self.version >= 150_000
    }
}

impl Catalog {
    /// Marks whose each role is. Protected wins over managed.
    pub fn assign_standing(&mut self, protected: &BTreeSet<String>, managed: &BTreeSet<String>) {
        self.protected.clone_from(protected);
        for role in self.roles.values_mut() {
            role.standing = if protected.contains(&role.name)
                || is_predefined(&role.name)
                || role.name == self.server.current_user
                || role.name == self.server.bootstrap_superuser
            {
                Standing::Protected
            } else if managed.contains(&role.name) {
                Standing::Managed
            } else {
                Standing::Foreign
            };
        }
    }

    /// What a role holds on one object by grants of others than its owner, and by whose. They can only be
    /// revoked in their name.
    pub fn foreign_grants(
        &self,
        role: &str,
        database: Option<&str>,
        on: &Object,
    ) -> Option<&BTreeMap<String, Privileges>> {
        match (database, on) {
            (None, Object::Database(name)) => self.foreign_grantors.get(&(role.to_owned(), name.clone())),
            (None, on) => self.shared.held.get(role)?.get(on).map(|held| &held.foreign),
            (Some(database), on) => self.objects.get(database)?.held.get(role)?.get(on).map(|held| &held.foreign),
        }
    }

    /// Whether there is such a role, or will be before anything inside of a database is done.
    pub fn will_have(&self, role: &str) -> bool {
        self.roles.contains_key(role) || self.foreseen.contains(role)
    }

    /// Whether there is such a database, or will be.
    pub fn has_database(&self, name: &str) -> bool {
        self.databases.contains_key(name) || self.absent.contains(name)
    }

    /// Who owns a database, or will by the time that privileges on it are granted.
    pub fn owner_of(&self, database: &str) -> Option<&str> {
        let declared = self.future_owners.get(database).map(String::as_str);
        declared.or_else(|| self.databases.get(database)?.owner.as_deref())
    }

    /// Whether what a grant is on was found in its database: what else a name may hold never becomes SQL.
    pub fn knows(&self, role: Option<&str>, grant: &Grant) -> bool {
        match (&grant.database, &grant.on) {
            (None, Object::Database(_)) => true,
            // Whether there is such a parameter, the server says: those of extensions are there when they are loaded.
            (None, Object::Parameter(name)) => {
                self.server.has_parameter_privileges() && parameter::name_problem(name).is_none()
            }
            (None, Object::Tablespace(_)) => self.shared.owner(&grant.on).is_some(),
            (Some(database), on) => self.objects.get(database).is_some_and(|objects| {
                objects.knows(role, on) && on.future_owner().is_none_or(|owner| self.will_have(owner))
            }),
            _ => false,
        }
    }

    /// Whether the controller may do what this role may: set its default privileges, for instance. To be able to
    /// SET ROLE to it is not enough for that.
    pub fn acts_as(&self, role: &str) -> bool {
        let server = &self.server;
        if server.superuser {
            return true;
        }
        let inherited = |name: &str| {
            let edges = self.roles.get(name).into_iter().flat_map(|role| &role.memberships);
            edges.filter(|edge| edge.inherit).map(|edge| edge.role.as_str()).collect::<Vec<_>>()
        };
        reach(&server.current_user, inherited).contains(role)
    }

    /// Whether the role is protected; a name that the server does not know is judged by its form.
    pub fn is_protected(&self, name: &str) -> bool {
        match self.roles.get(name) {
            Some(role) => role.standing == Standing::Protected,
            None => is_predefined(name) || self.protected.contains(name),
        }
    }
}

/// All that `next` leads to from here, in any number of steps; itself included.
pub(crate) fn reach<'a>(from: &'a str, next: impl Fn(&'a str) -> Vec<&'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        open.extend(next(name).into_iter().filter(|name| seen.insert(name)));
    }
    seen
}

/// `pg_*` names belong to PostgreSQL: no role may be created, altered or dropped under one.
pub fn is_predefined(name: &str) -> bool {
    name.starts_with("pg_")
}
