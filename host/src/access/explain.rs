//! `explain`: what one role can do, and why. What lies in a schema is folded: the same privileges, held in the same way, on
//! many objects are told once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::path::{Holder, Path, Source, Step};
use super::{Kind, Manner, Object, Oid, Roles, Way, who};
use crate::model::{Attributes, Expiry, Limit, Privileges};
use crate::sql::quote::element;

/// What a grantee will hold on objects that are yet to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultPrivilege {
    /// `tables`, ….
    pub objects: &'static str,
    /// In this schema, or in all.
    pub schema: Option<String>,
    /// Made by this role.
    pub owner: Oid,
    /// Who will hold it; `None` is PUBLIC.
    pub grantee: Option<Oid>,
    /// A single privilege.
    pub privilege: Privileges,
    /// WITH GRANT OPTION.
    pub grantable: bool,
}

/// What was found in a database.
#[derive(Debug, Clone)]
pub struct Inside {
    /// The database.
    pub database: String,
    /// Its owner.
    pub owner: Oid,
    /// Schemas, relations, columns and routines; ACLs as far as the role gets at their grantees.
    pub objects: Vec<Object>,
    /// Default privileges, the same.
    pub defaults: Vec<DefaultPrivilege>,
}

/// What a role can do.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Its name.
    pub role: String,
    /// Whether it can log in.
    pub login: bool,
    /// SUPERUSER, CREATEDB, …: what it has besides LOGIN.
    pub attributes: Vec<&'static str>,
    /// Sessions at once; `null`: unlimited.
    pub connection_limit: Option<u32>,
    /// When its password stops working, in Unix seconds; `null`: never.
    pub valid_until: Option<i64>,
    /// Whether that is past.
    pub password_expired: bool,
    /// What it is a member of, directly or not.
    pub member_of: Vec<MemberOf>,
    /// What it holds on every object there is.
    pub everywhere: Vec<Everywhere>,
    /// What it holds on databases.
    pub databases: Vec<Holding>,
    /// What it holds in the databases that were looked into.
    pub inside: Vec<InDatabase>,
}

/// A role that it is a member of.
#[derive(Debug, Clone, Serialize)]
pub struct MemberOf {
    /// Its name.
    pub role: String,
    /// Whether there is an edge between the two.
    pub direct: bool,
    /// Whether what it holds is held at once.
    pub inherit: bool,
    /// Whether one may SET ROLE to it.
    pub set: bool,
    /// Whether it may be granted on, by a direct edge: also to oneself, with INHERIT and SET.
    pub admin: bool,
    /// How one gets there; empty where the membership gives nothing.
    pub steps: Vec<Step>,
}

/// Something that holds for all objects.
#[derive(Debug, Clone, Serialize)]
pub struct Everywhere {
    /// In a phrase.
    pub what: &'static str,
    /// Why.
    pub path: Path,
}

/// The same privileges on some objects of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holding {
    /// Why.
    pub path: Path,
    /// What the objects are.
    pub kind: Kind,
    /// The schema that they lie in.
    pub schema: Option<String>,
    /// Keywords; none: it owns them, and has revoked everything from itself.
    pub privileges: Vec<&'static str>,
    /// The objects, identifiers as in SQL.
    pub on: Vec<String>,
    /// How many of the kind there are in the schema; 0 for columns.
    pub of: usize,
    /// Those that are not among `on`, where they are fewer.
    pub except: Vec<String>,
}

/// What it holds in one database.
#[derive(Debug, Clone, Serialize)]
pub struct InDatabase {
    /// Its name.
    pub database: String,
    /// Whether it may connect there.
    pub connect: bool,
    /// What it holds.
    pub holdings: Vec<Holding>,
    /// What it will hold on what is made later.
    pub later: Vec<Later>,
}

/// Default privileges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Later {
    /// Why.
    pub path: Path,
    /// `tables`, ….
    pub objects: &'static str,
    /// Only in this schema.
    pub schema: Option<String>,
    /// Who will make them.
    pub made_by: String,
    /// Keywords.
    pub privileges: Vec<&'static str>,
}

/// Explains a role. `databases` are all of the server.
pub fn explain(roles: &Roles, role: Oid, databases: &[Object], inside: &[Inside], now: i64) -> Option<Explanation> {
    let found = roles.role(role)?;
    let reach = roles.reach(role);
    let attributes = found.attributes - Attributes::LOGIN - Attributes::INHERIT;
    Some(Explanation {
        role: found.name.clone(),
        login: found.attributes.contains(Attributes::LOGIN),
        attributes: attributes.keywords().collect(),
        connection_limit: match found.connection_limit {
            Limit::Unlimited => None,
            Limit::AtMost(sessions) => Some(sessions),
        },
        valid_until: match found.valid_until {
            Expiry::Never => None,
            Expiry::At(end) => Some(end),
        },
        password_expired: found.is_expired(now),
        member_of: member_of(roles, role, &reach),
        everywhere: everywhere(roles, role, &reach),
        databases: on_databases(roles, role, &reach, databases),
        inside: inside.iter().map(|inside| in_database(roles, role, databases, inside)).collect(),
    })
}

/// The grantees that matter for a role: all that it gets at, and PUBLIC (0).
pub fn grantees(roles: &Roles, role: Oid) -> Vec<Oid> {
    std::iter::once(0).chain(roles.reach(role).into_keys()).collect()
}

fn member_of(roles: &Roles, role: Oid, reach: &BTreeMap<Oid, Way>) -> Vec<MemberOf> {
    let settable = roles.settable(role);
    let mut all: Vec<MemberOf> = roles
        .member_of(role)
        .into_iter()
        .map(|group| {
            let edge = roles.memberships(role).iter().find(|edge| edge.role == group);
            let way = reach.get(&group);
            MemberOf {
                role: roles.name(group),
                direct: edge.is_some(),
                inherit: way.is_some_and(|way| way.manner == Manner::Now),
                set: settable.contains(&group),
                admin: edge.is_some_and(|edge| edge.admin),
                steps: way.map(|way| path(roles, Some(group), Source::Grant, way).steps).unwrap_or_default(),
            }
        })
        .collect();
    all.sort_by(|a, b| (!a.direct, &a.role).cmp(&(!b.direct, &b.role)));
    all
}

/// What superusers and some predefined roles hold, whatever the object.
const EVERYWHERE: [(&str, &str); 3] = [
    ("pg_read_all_data", "SELECT on every table, view and sequence, USAGE on every schema"),
    ("pg_write_all_data", "INSERT, UPDATE, DELETE on every table and view, USAGE on every schema"),
    ("pg_maintain", "MAINTAIN on every table"),
];

fn everywhere(roles: &Roles, role: Oid, reach: &BTreeMap<Oid, Way>) -> Vec<Everywhere> {
    let mut all = Vec::new();
    // What makes a superuser one is not inherited: only itself, and whoever may SET ROLE to it.
    for (oid, way) in roles.settable_ways(role) {
        if roles.role(oid).is_some_and(super::Role::is_superuser) {
            let path = path(roles, Some(oid), Source::Superuser, &way);
            all.push(Everywhere { what: "everything, since no privilege is checked for a superuser", path });
        }
    }
    for (name, what) in EVERYWHERE {
        let way = roles.named(name).and_then(|oid| Some((oid, reach.get(&oid)?)));
        if let Some((oid, way)) = way {
            all.push(Everywhere { what, path: path(roles, Some(oid), Source::Predefined, way) });
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

fn path(roles: &Roles, holder: Option<Oid>, source: Source, way: &Way) -> Path {
    Holder::new(holder, source).path(roles, way)
}

fn on_databases(roles: &Roles, role: Oid, reach: &BTreeMap<Oid, Way>, databases: &[Object]) -> Vec<Holding> {
    let owners = roles.named("pg_database_owner");
    let mut folded = Folded::default();
    for database in databases {
        // Who owns a database is known only there; that matters where something was granted to pg_database_owner.
        if owners.is_some() && database.acl.iter().any(|item| item.grantee == owners) {
            let here = roles.in_database_of(database.owner);
            folded.add(&here, &here.reach(role), database);
        } else {
            folded.add(roles, reach, database);
        }
    }
    folded.holdings()
}

fn in_database(roles: &Roles, role: Oid, databases: &[Object], inside: &Inside) -> InDatabase {
    let roles = &roles.in_database_of(inside.owner);
    let reach = roles.reach(role);
    let mut folded = Folded::default();
    for object in &inside.objects {
        folded.add(roles, &reach, object);
    }
    let mut holdings = folded.holdings();
    miss_usage(roles, role, &inside.objects, &mut holdings);
    let mut later: BTreeMap<(Path, &'static str, Option<String>, Oid), Privileges> = BTreeMap::new();
    for default in &inside.defaults {
        if let Some(mut path) = path_to(roles, &reach, default.grantee, Source::Grant) {
            path.grantable = default.grantable;
            let key = (path, default.objects, default.schema.clone(), default.owner);
            *later.entry(key).or_default() |= default.privilege;
        }
    }
    let database = databases.iter().find(|database| database.name == inside.database);
    InDatabase {
        database: inside.database.clone(),
        connect: database.is_some_and(|it| who::who_holds(roles, it, Privileges::CONNECT).contains(&role)),
        holdings,
        later: later
            .into_iter()
            .map(|((path, objects, schema, owner), privileges)| Later {
                path,
                objects,
                schema,
                made_by: roles.name(owner),
                privileges: privileges.keywords().collect(),
            })
            .collect(),
    }
}

/// Nothing in a schema is of use without USAGE on it: by whoever one is then.
fn miss_usage(roles: &Roles, role: Oid, objects: &[Object], holdings: &mut [Holding]) {
    let schemas = objects.iter().filter(|object| object.kind == Kind::Schema);
    let usage: BTreeMap<&str, BTreeSet<Oid>> =
        schemas.map(|schema| (schema.name.as_str(), who::who_holds(roles, schema, Privileges::USAGE))).collect();
    for holding in holdings {
        let Some(schema) = holding.schema.as_deref() else { continue };
        let acting = holding.path.set_role.as_deref().and_then(|name| roles.named(name)).unwrap_or(role);
        if !usage.get(schema).is_some_and(|holders| holders.contains(&acting)) {
            holding.path.missing.push(format!("USAGE on schema {}", element(schema)));
        }
    }
}

/// How the role gets at what a grantee holds, if it does.
fn path_to(roles: &Roles, reach: &BTreeMap<Oid, Way>, grantee: Option<Oid>, source: Source) -> Option<Path> {
    match grantee {
        Some(role) => reach.get(&role).map(|way| path(roles, grantee, source, way)),
        None => Some(path(roles, None, Source::Public, &Way { manner: Manner::Now, hops: Vec::new() })),
    }
}

/// Where objects lie: their kind and schema.
type Place = (Kind, Option<String>);

/// What is held, by how and where; then by privilege.
#[derive(Debug, Default)]
struct Folded {
    held: BTreeMap<(Path, Place), BTreeMap<Privileges, BTreeSet<String>>>,
    all: BTreeMap<Place, BTreeSet<String>>,
}

impl Folded {
    fn add(&mut self, roles: &Roles, reach: &BTreeMap<Oid, Way>, object: &Object) {
        let place = (object.kind, object.schema.clone());
        let name = short(object);
        if object.kind != Kind::Column {
            self.all.entry(place.clone()).or_default().insert(name.clone());
        }
        let mut hold = |path: Path, privilege: Privileges| {
            // Who is not in yet cannot SET ROLE.
            if who::is_connect(object, privilege) && path.set_role.is_some() {
                return;
            }
            self.held.entry((path, place.clone())).or_default().entry(privilege).or_default().insert(name.clone());
        };
        for item in &object.acl {
            let source = if item.grantee == Some(object.owner) { Source::Owner } else { Source::Grant };
            if let Some(mut path) = path_to(roles, reach, item.grantee, source) {
                path.grantable = item.grantable && source == Source::Grant;
                hold(path, item.privilege);
            }
        }
        let has_own = object.acl.iter().any(|item| item.grantee == Some(object.owner));
        if object.kind != Kind::Column
            && !has_own
            && let Some(path) = path_to(roles, reach, Some(object.owner), Source::Owner)
        {
            hold(path, Privileges::empty());
        }
    }

    fn holdings(self) -> Vec<Holding> {
        let mut holdings = Vec::new();
        for ((path, (kind, schema)), by_privilege) in self.held {
            let mut by_objects: BTreeMap<BTreeSet<String>, Privileges> = BTreeMap::new();
            for (privilege, objects) in by_privilege {
                *by_objects.entry(objects).or_default() |= privilege;
            }
            let none = BTreeSet::new();
            let all = self.all.get(&(kind, schema.clone())).unwrap_or(&none);
            for (on, privileges) in by_objects {
                let except: Vec<String> = all.difference(&on).cloned().collect();
                holdings.push(Holding {
                    path: path.clone(),
                    kind,
                    schema: schema.clone(),
                    privileges: privileges.keywords().collect(),
                    of: all.len(),
                    except: if except.len() < on.len() { except } else { Vec::new() },
                    on: on.into_iter().collect(),
                });
            }
        }
        holdings.sort_by(|a, b| {
            let key = |it: &Holding| (it.path.can, it.schema.clone(), it.kind, it.path.source == Source::Public);
            key(a).cmp(&key(b)).then_with(|| a.cmp(b))
        });
        holdings
    }
}

/// The name within its schema.
fn short(object: &Object) -> String {
    let name = element(&object.name);
    let text = match (object.kind, &object.part) {
        (Kind::Column, Some(column)) => format!("{name}({})", element(column)),
        (Kind::Routine, Some(arguments)) => format!("{name}({arguments})"),
        (Kind::Database, _) if object.limited => format!("{name} (which takes no connections)"),
        _ => name,
    };
    crate::printable::line(&text).into_owned()
}
