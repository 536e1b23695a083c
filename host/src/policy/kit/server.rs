//! The server of a case: `catalog.yaml` as an author writes it, with what every server has besides
//! and what the ledger would know of its roles. Nothing is read here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::case::{CaseError, moment, wrong};
use crate::catalog::{Catalog, Server};
use crate::model::{Attributes, Database, Expiry, Grant, Limit, Membership, Mode, Object, Privileges, Role, Standing};
use crate::policy::Context;
use crate::resolve::{self, Kind, Origin, Record, Records};

/// The bootstrap superuser of every server of a case; the controller connects as it.
pub(super) const OWNER: &str = "postgres";
/// Databases that every server has.
const DATABASES: [&str; 3] = ["postgres", "template0", "template1"];

/// The predefined roles, with the version that brought them.
/// <https://www.postgresql.org/docs/current/predefined-roles.html>
const PREDEFINED: [(&str, u32); 16] = [
    ("pg_checkpoint", 150_000),
    ("pg_create_subscription", 160_000),
    ("pg_database_owner", 140_000),
    ("pg_execute_server_program", 110_000),
    ("pg_maintain", 170_000),
    ("pg_monitor", 100_000),
    ("pg_read_all_data", 140_000),
    ("pg_read_all_settings", 100_000),
    ("pg_read_all_stats", 100_000),
    ("pg_read_server_files", 110_000),
    ("pg_signal_autovacuum_worker", 180_000),
    ("pg_signal_backend", 90_600),
    ("pg_stat_scan_tables", 100_000),
    ("pg_use_reserved_connections", 160_000),
    ("pg_write_all_data", 140_000),
    ("pg_write_server_files", 110_000),
];

/// What `pg_monitor` is a member of.
const MONITOR: [&str; 3] = ["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"];

/// The text of `catalog.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    roles: Vec<RawRole>,
    databases: Option<Vec<RawDatabase>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRole {
    name: Spanned<String>,
    #[serde(default)]
    login: bool,
    #[serde(default)]
    superuser: bool,
    #[serde(default)]
    createdb: bool,
    #[serde(default)]
    createrole: bool,
    #[serde(default = "yes")]
    inherit: bool,
    #[serde(default)]
    replication: bool,
    #[serde(default)]
    bypassrls: bool,
    #[serde(default = "yes")]
    managed: bool,
    connection_limit: Option<i64>,
    valid_until: Option<Spanned<String>>,
    comment: Option<String>,
    #[serde(default)]
    member_of: Vec<RawMembership>,
    #[serde(default)]
    connect: Vec<String>,
    has_password: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawMembership {
    Plain(String),
    Full(RawEdge),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEdge {
    role: String,
    #[serde(default)]
    admin: bool,
    #[serde(default = "yes")]
    inherit: bool,
    #[serde(default = "yes")]
    set: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawDatabase {
    Name(String),
    Full(RawOwned),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOwned {
    name: String,
    owner: Option<String>,
}

impl RawRole {
    /// One that may log in, and is ours.
    fn user(name: String, groups: Vec<String>, connect: Vec<String>) -> RawRole {
        RawRole {
            name: Spanned::new(name, Location::UNKNOWN, Location::UNKNOWN),
            login: true,
            superuser: false,
            createdb: false,
            createrole: false,
            inherit: true,
            replication: false,
            bypassrls: false,
            managed: true,
            connection_limit: None,
            valid_until: None,
            comment: None,
            member_of: groups.into_iter().map(RawMembership::Plain).collect(),
            connect,
            has_password: None,
        }
    }
}

/// A server with many roles: made, for there are limits to what is read from a text.
pub(super) fn many(count: usize, groups: usize) -> Raw {
    let group = |number: usize| RawRole { login: false, ..RawRole::user(format!("group_{number:02}"), vec![], vec![]) };
    let users = (0..count).filter(|number| number % 10 != 3).map(|number| {
        let member_of = vec![format!("group_{:02}", number % groups), "pg_monitor".to_owned()];
        let user = RawRole::user(format!("user-{number:06}"), member_of, vec!["shop".to_owned()]);
        RawRole { createdb: number % 10 == 7, ..user }
    });
    let gone = (0..count.div_ceil(100)).map(|number| RawRole::user(format!("gone_{number:06}"), vec![], vec![]));
    let roles = (0..count.min(groups)).map(group).chain(users).chain(gone).collect();
    Raw { roles, databases: Some(vec![RawDatabase::Name("shop".to_owned())]) }
}

fn yes() -> bool {
    true
}

/// The catalog, and the ledger's records of what is managed in it. Without a list of databases, those
/// in `wanted` exist.
pub(super) fn catalog(
    path: &Path,
    raw: Option<Raw>,
    wanted: BTreeSet<String>,
    context: &Context,
) -> Result<(Catalog, Records), CaseError> {
    let raw = raw.unwrap_or(Raw { roles: Vec::new(), databases: None });
    let mut catalog = bare(context);
    let mut records = Records::new();
    for raw in raw.roles {
        let (location, managed) = (raw.name.referenced, raw.managed);
        let role = role(path, raw)?;
        if !managed || role.name.starts_with("pg_") || role.name == OWNER {
            records.remove(&role.name);
        } else {
            records.insert(role.name.clone(), record(&role));
        }
        // What every server has may be described anew; whatever else is there once.
        let replaced = catalog.roles.insert(role.name.clone(), role.clone());
        if replaced.is_some_and(|old| old.standing != Standing::Protected) {
            return Err(wrong(path, location, format!("the role {:?} is there twice; keep one", role.name)));
        }
    }
    let declared = raw.databases.unwrap_or_else(|| wanted.into_iter().map(RawDatabase::Name).collect());
    for database in declared {
        let (name, owner) = match database {
            RawDatabase::Name(name) => (name, None),
            RawDatabase::Full(full) => (full.name, full.owner),
        };
        add_database(&mut catalog, name, owner.unwrap_or_else(|| OWNER.to_owned()));
    }
    // As on a server: names stand for rows, and rows have numbers.
    catalog.oids = catalog.roles.keys().zip(16_384..).map(|(name, oid)| (name.clone(), oid)).collect();
    for (name, record) in &mut records {
        record.oid = catalog.oids.get(name).copied();
    }
    let managed = resolve::managed(&records, &catalog);
    catalog.assign_standing(&BTreeSet::new(), &managed);
    Ok((catalog, records))
}

/// A server as initdb leaves it.
fn bare(context: &Context) -> Catalog {
    let server = Server {
        version: context.server_version,
        target: context.target.clone(),
        identity: context.target.clone(),
        current_user: OWNER.to_owned(),
        session_user: OWNER.to_owned(),
        bootstrap_superuser: OWNER.to_owned(),
        superuser: true,
        reads_verifiers: true,
    };
    let mut catalog = Catalog { server, ..Catalog::default() };
    let all = Attributes::all();
    let mut owner = found(OWNER, all);
    owner.has_password = Some(true);
    let predefined = PREDEFINED.iter().filter(|(_, since)| *since <= context.server_version).map(|(name, _)| {
        let mut role = found(name, Attributes::GROUP);
        if *name == "pg_monitor" {
            role.memberships = MONITOR.iter().map(|name| edge((*name).to_owned())).collect();
        }
        role
    });
    for role in predefined.chain([owner]) {
        let role = Role { standing: Standing::Protected, ..role };
        catalog.roles.insert(role.name.clone(), role);
    }
    for name in DATABASES {
        add_database(&mut catalog, name.to_owned(), OWNER.to_owned());
    }
    catalog
}

/// A role as the catalog shows it: nothing is left open.
fn found(name: &str, attributes: Attributes) -> Role {
    Role {
        standing: Standing::Foreign,
        connection_limit: Some(Limit::Unlimited),
        valid_until: Some(Expiry::Never),
        has_password: Some(false),
        ..Role::new(name, Mode::Authoritative, attributes)
    }
}

fn edge(role: String) -> Membership {
    Membership { grantor: Some(OWNER.to_owned()), ..Membership::plain(role) }
}

fn role(path: &Path, raw: RawRole) -> Result<Role, CaseError> {
    let flags = [
        (raw.login, Attributes::LOGIN),
        (raw.superuser, Attributes::SUPERUSER),
        (raw.createdb, Attributes::CREATEDB),
        (raw.createrole, Attributes::CREATEROLE),
        (raw.inherit, Attributes::INHERIT),
        (raw.replication, Attributes::REPLICATION),
        (raw.bypassrls, Attributes::BYPASSRLS),
    ];
    let attributes = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
    let mut role = found(&raw.name.value, attributes);
    role.connection_limit = match raw.connection_limit {
        None | Some(-1) => Some(Limit::Unlimited),
        Some(limit) => Some(Limit::AtMost(u32::try_from(limit).map_err(|_| {
            let message = format!("{limit} is no connection limit; write a number of sessions, or -1 for none");
            wrong(path, raw.name.referenced, message)
        })?)),
    };
    role.valid_until = Some(match &raw.valid_until {
        Some(text) if text.value != "never" && text.value != "infinity" => Expiry::At(moment(path, text)?),
        _ => Expiry::Never,
    });
    role.comment = raw.comment;
    role.has_password = Some(raw.has_password.unwrap_or(raw.login));
    role.memberships = raw.member_of.into_iter().map(membership).collect();
    role.memberships.sort();
    role.grants = raw
        .connect
        .into_iter()
        .map(|name| Grant {
            database: None,
            on: Object::Database(name),
            privileges: Privileges::CONNECT,
            grantable: Privileges::empty(),
        })
        .collect();
    role.grants.sort();
    Ok(role)
}

fn membership(raw: RawMembership) -> Membership {
    match raw {
        RawMembership::Plain(role) => edge(role),
        RawMembership::Full(raw) => {
            Membership { admin: raw.admin, inherit: raw.inherit, set: raw.set, ..edge(raw.role) }
        }
    }
}

fn record(role: &Role) -> Record {
    Record {
        oid: None,
        kind: if role.is_user() { Kind::User } else { Kind::Group },
        origin: Origin::Created,
        secret_version: None,
        row_version: None,
        applied: None,
        leaving_since: None,
    }
}

fn add_database(catalog: &mut Catalog, name: String, owner: String) {
    let database = Database {
        name: name.clone(),
        owner: Some(owner),
        connection_limit: Some(Limit::Unlimited),
        comment: None,
        schemas: Vec::new(),
        labels: BTreeMap::new(),
        path: String::new(),
    };
    catalog.databases.insert(name, database);
}
