//! What the controller is and holds, with what the plan itself could add to it. PostgreSQL asks in
//! three ways (`roles_is_member_of` in its `acl.c`): by all memberships, by those that are inherited, by those that
//! allow SET ROLE.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, reach};
use crate::model::{Attributes, Grant, Membership, Object, Privileges, Role};
use crate::plan::{Change, Step};

/// Roles that providers make on servers whose rules for attributes, parameters and predefined roles they have changed:
/// some let their administrators do what is a superuser's elsewhere.
const PROVIDERS: [&str; 8] = [
    "rds_superuser",
    "cloudsqlsuperuser",
    "alloydbsuperuser",
    "azure_pg_admin",
    "supabase_admin",
    "neon_superuser",
    "doadmin",
    "avnadmin",
];

/// The controller's rights.
pub(super) struct Held<'a> {
    pub(super) catalog: &'a Catalog,
    /// The controller's own role.
    pub(super) own: &'a Role,
    /// Whether the rules may be others than PostgreSQL's.
    pub(super) is_provided: bool,
    /// Whose privileges it has.
    acts_as: BTreeSet<&'a str>,
    /// What it is a member of, in whatever way.
    member_of: BTreeSet<&'a str>,
    /// Whom it can SET ROLE to; `None` if that is not known.
    becomes: Option<BTreeSet<&'a str>>,
    /// What it, or any role that it is a member of, has ADMIN on.
    admin_of: BTreeSet<&'a str>,
    /// What the plan grants with the right to pass it on, and to whom.
    options: Vec<(&'a str, &'a Grant)>,
}

/// What a step of a plan may add to somebody's rights.
#[derive(Clone, Copy)]
pub(super) enum Gain<'a> {
    /// A membership of this role.
    Membership(&'a str, &'a Membership),
    /// A privilege on a database with the right to pass it on, for this role.
    Option(&'a str, &'a Grant),
}

/// Everything that the steps may add, be it possible or not.
pub(super) fn gains(steps: &[Step]) -> Vec<Gain<'_>> {
    let mut gains = Vec::new();
    for step in steps {
        match &step.change {
            Change::CreateRole(role) => {
                gains.extend(role.memberships.iter().map(|edge| Gain::Membership(&role.name, edge)));
            }
            Change::GrantRole { member, membership } => gains.push(Gain::Membership(member, membership)),
            Change::GrantPrivilege { role: Some(role), grant } if !grant.grantable.is_empty() => {
                gains.push(Gain::Option(role, grant));
            }
            _ => {}
        }
    }
    gains
}

impl<'a> Held<'a> {
    /// With what these steps make, and with these gains. `None`: it may do everything, or nobody knows what.
    pub(super) fn new(catalog: &'a Catalog, steps: &'a [Step], gained: &[Gain<'a>]) -> Option<Held<'a>> {
        let server = &catalog.server;
        let own = catalog.roles.get(&server.current_user)?;
        if server.superuser || own.attributes.contains(Attributes::SUPERUSER) {
            return None;
        }
        let edges = Edges::new(catalog, steps, gained);
        let all = |name| edges.of(name, |_| true);
        let inherited = |name| edges.of(name, |edge| edge.inherit);
        let set = |name| edges.of(name, |edge| edge.set);
        let member_of = with_database_owner(reach(&own.name, all), catalog);
        let session = catalog.roles.get(&server.session_user);
        let becomes = session
            .filter(|session| !session.attributes.contains(Attributes::SUPERUSER))
            .map(|session| with_database_owner(reach(&session.name, set), catalog));
        let admin_of = member_of.iter().flat_map(|name| edges.of(name, |edge| edge.admin)).collect();
        let options = gained.iter().filter_map(|gain| match gain {
            Gain::Option(role, grant) => Some((*role, *grant)),
            Gain::Membership(..) => None,
        });
        Some(Held {
            catalog,
            own,
            is_provided: PROVIDERS.iter().any(|name| catalog.roles.contains_key(*name)),
            acts_as: with_database_owner(reach(&own.name, inherited), catalog),
            member_of,
            becomes,
            admin_of,
            options: options.collect(),
        })
    }

    /// 16 changed what CREATEROLE is.
    pub(super) fn is_since_16(&self) -> bool {
        self.catalog.server.has_membership_options()
    }

    pub(super) fn has(&self, attribute: Attributes) -> bool {
        self.own.attributes.contains(attribute)
    }

    /// `has_privs_of_role`.
    pub(super) fn acts_as(&self, role: &str) -> bool {
        self.acts_as.contains(role)
    }

    /// `is_member_of_role`.
    pub(super) fn is_member_of(&self, role: &str) -> bool {
        self.member_of.contains(role)
    }

    /// `member_can_set_role`, as far as that is known.
    pub(super) fn can_become(&self, role: &str) -> bool {
        self.becomes.as_ref().is_none_or(|roles| roles.contains(role))
    }

    /// `is_admin_of_role`. Until version 14 a role was the admin of itself.
    pub(super) fn is_admin_of(&self, role: &str) -> bool {
        self.admin_of.contains(role) || role == self.own.name
    }

    /// Which of these privileges on a database it can grant, as its owner or with a grant option.
    pub(super) fn can_grant(&self, database: &str, privileges: Privileges) -> Privileges {
        let owner = self.catalog.databases.get(database).and_then(|database| database.owner.as_deref());
        if owner.is_none_or(|owner| self.acts_as(owner)) {
            return privileges;
        }
        let roles = self.acts_as.iter().filter_map(|name| self.catalog.roles.get(*name));
        let found = roles.flat_map(|role| &role.grants);
        let gained = self.options.iter().filter(|(role, _)| self.acts_as(role)).map(|(_, grant)| *grant);
        let here = |grant: &&Grant| matches!(&grant.on, Object::Database(name) if name == database);
        let options = found.chain(gained).filter(here).map(|grant| grant.grantable);
        options.fold(Privileges::empty(), |all, some| all | some) & privileges
    }

    /// Whether the controller is a direct member, so that a new GRANT may change the options of an old one.
    pub(super) fn is_direct_member_of(&self, role: &str) -> bool {
        self.own.memberships.iter().any(|edge| edge.role == role)
    }

    /// A role of the server.
    pub(super) fn role(&self, name: &str) -> Option<&'a Role> {
        self.catalog.roles.get(name)
    }
}

/// Whoever owns a database is a member of this role there.
fn with_database_owner<'a>(mut roles: BTreeSet<&'a str>, catalog: &Catalog) -> BTreeSet<&'a str> {
    if catalog.databases.values().any(|it| it.owner.as_deref().is_none_or(|owner| roles.contains(owner))) {
        roles.insert("pg_database_owner");
    }
    roles
}

/// Memberships, and those that the plan may add.
struct Edges<'a> {
    roles: &'a BTreeMap<String, Role>,
    added: BTreeMap<&'a str, Vec<Edge<'a>>>,
}

#[derive(Clone, Copy)]
struct Edge<'a> {
    role: &'a str,
    admin: bool,
    inherit: bool,
    set: bool,
}

impl<'a> Edges<'a> {
    fn new(catalog: &'a Catalog, steps: &'a [Step], gained: &[Gain<'a>]) -> Edges<'a> {
        let mut added: BTreeMap<&str, Vec<Edge<'_>>> = BTreeMap::new();
        for gain in gained {
            if let Gain::Membership(member, edge) = gain {
                let edge = Edge { role: &edge.role, admin: edge.admin, inherit: true, set: true };
                added.entry(member).or_default().push(edge);
            }
        }
        // Since 16 who creates a role is its admin, and more with `createrole_self_grant`.
        if catalog.server.has_membership_options() {
            let created = steps.iter().filter_map(|step| match &step.change {
                Change::CreateRole(role) => Some(Edge { role: &role.name, admin: true, inherit: true, set: true }),
                _ => None,
            });
            added.entry(&catalog.server.current_user).or_default().extend(created);
        }
        Edges { roles: &catalog.roles, added }
    }

    fn of(&self, member: &'a str, wanted: impl Fn(&Edge<'a>) -> bool) -> Vec<&'a str> {
        let found = self.roles.get(member).into_iter().flat_map(|role| &role.memberships);
        let found =
            found.map(|edge| Edge { role: &edge.role, admin: edge.admin, inherit: edge.inherit, set: edge.set });
        let added = self.added.get(member).into_iter().flatten().copied();
        found.chain(added).filter(|edge| wanted(edge)).map(|edge| edge.role).collect()
    }
}
