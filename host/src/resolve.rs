//! From what is declared to what must be: the declared spec made complete, in the same shape as
//! the catalog, so that "replayed over the catalog, the plan gives the desired state" is an
//! equation between two lists of roles.
//!
//! ```text
//! spec ─────┐
//! catalog ──┼──► desired roles, roles that may go, findings
//! records ──┘
//! ```
//!
//! Decides whose a role is and what becomes of it; decides nothing about steps. No I/O.

mod settings;
pub mod terms;
pub mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, is_predefined};
use crate::model::{
    Attributes, Expiry, Finding, Grant, Limit, Membership, Mode, Object, Privileges, Role, SecretState, Setting,
    Severity, Spec, Standing,
};

/// So many grantees of one database are worth a word.
const CROWD: usize = 1_000;

/// What a role was when it was last recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Declared under `users`.
    User,
    /// Named by a user.
    Group,
}

/// How a role came to be managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Made by Rolewright.
    Created,
    /// There before, and taken over.
    Adopted,
}

/// What the ledger knows of a managed role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The role's OID; `None` where it comes from a state file, which keeps only names.
    pub oid: Option<u32>,
    /// User or group role.
    pub kind: Kind,
    /// Created or adopted.
    pub origin: Origin,
    /// Version of the Secret whose password was last set or found to be in force.
    pub secret_version: Option<String>,
    /// `xmin` of the role's `pg_authid` row after that, where it can be read.
    pub row_version: Option<String>,
    /// The role as the last plan left it.
    pub applied: Option<Role>,
}

impl Record {
    /// Whether somebody asked for the role itself: a user, or a group role of the list `roles`. A group role
    /// that was only named by its members goes with them, and is missed by nobody else.
    pub fn is_declared(&self) -> bool {
        self.kind == Kind::User || self.applied.as_ref().is_some_and(|role| role.mode != Mode::Present)
    }
}

/// Managed roles by name.
pub type Records = BTreeMap<String, Record>;

/// The desired state, and what was decided on the way to it.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Every role that the spec speaks of, complete. One that is not ours to change is here as it
    /// was found.
    pub desired: BTreeMap<String, Role>,
    /// Roles that a plan may create or change.
    pub in_scope: BTreeSet<String>,
    /// Roles that a plan must remove: recorded, there, and no longer declared.
    pub removable: BTreeSet<String>,
    /// Of these, the group roles that were declared: they count when many go at once.
    pub removable_groups: BTreeSet<String>,
    /// Recorded roles that are let go without being touched: dropped by somebody else, made anew
    /// under the same name, or protected since.
    pub released: BTreeSet<String>,
    /// Users that are left as they are this time, since something that they need is missing.
    pub skipped: BTreeSet<String>,
    /// The settings of roles that are declared to have these and no others, be it none.
    pub settings: BTreeMap<String, Vec<Setting>>,
    /// What the operator should know.
    pub findings: Vec<Finding>,
    /// Whether a finding stands against the whole plan.
    pub blocked: bool,
}

/// Names of the recorded roles that are still the ones recorded.
pub fn managed(records: &Records, catalog: &Catalog) -> BTreeSet<String> {
    records.iter().filter(|(name, record)| is_same(name, record, catalog)).map(|(name, _)| name.clone()).collect()
}

/// A name can be dropped and made anew by somebody else; an OID cannot.
fn is_same(name: &str, record: &Record, catalog: &Catalog) -> bool {
    catalog.oids.get(name).is_some_and(|oid| record.oid.is_none_or(|recorded| recorded == *oid))
}

/// Completes the spec. `in_sync` tells for each existing role with a credential whether the server
/// holds that password. The catalog's standings are those that `Catalog::assign_standing` gave.
pub fn resolve(spec: &Spec, catalog: &Catalog, records: &Records, in_sync: &BTreeMap<String, bool>) -> Resolved {
    let mut resolved = Resolved::default();
    unsupported(spec, &mut resolved);
    resolved.skipped = skipped(spec, catalog, &mut resolved.findings);
    for declared in spec.roles.values() {
        let name = &declared.name;
        let found = catalog.roles.get(name);
        if declared.mode != Mode::Present && catalog.is_protected(name) {
            resolved.blocked = true;
            resolved.findings.push(protected(declared));
            continue;
        }
        if resolved.skipped.contains(name) || declared.mode == Mode::Observe {
            if let Some(found) = found {
                resolved.desired.insert(name.clone(), found.clone());
            }
            continue;
        }
        let recorded = records.get(name).filter(|record| is_same(name, record, catalog));
        let mut role = match declared.mode {
            Mode::Authoritative => {
                if found.is_some() && recorded.is_none() {
                    resolved.findings.push(adopted(declared));
                }
                authoritative(declared, found, catalog, in_sync)
            }
            Mode::Additive => additive(declared, found, catalog, in_sync),
            Mode::Present => match (found, recorded) {
                (None, _) => complete(declared.clone()),
                (Some(found), Some(record)) if found.standing == Standing::Managed => group(found, record.kind),
                (Some(found), _) => {
                    resolved.desired.insert(name.clone(), found.clone());
                    continue;
                }
            },
            Mode::Observe => continue,
        };
        let settings = settings::complete(declared, found, recorded, spec.exact_settings.contains(name));
        role.settings = settings.desired;
        resolved.settings.extend(settings.declared.map(|declared| (name.clone(), declared)));
        resolved.in_scope.insert(name.clone());
        resolved.desired.insert(name.clone(), role);
    }
    crowded(&mut resolved);
    leave(spec, catalog, records, &mut resolved);
    resolved.findings.sort_by(|a, b| (&a.path, &a.code, &a.message).cmp(&(&b.path, &b.code, &b.message)));
    resolved
}

/// What the contract can say and this version does not carry out; only a transform can have put it
/// there.
fn unsupported(spec: &Spec, resolved: &mut Resolved) {
    let mut refuse = |path: &str, what: &str| {
        resolved.blocked = true;
        resolved.findings.push(
            Finding::new(Severity::Error, "unsupported", path, format!("this version does not manage {what}"))
                .help("leave it out of what the transforming policies add"),
        );
    };
    for role in spec.roles.values() {
        if let Some(grant) = role.grants.iter().find(|grant| !is_managed(grant)) {
            let words: Vec<&str> = (grant.privileges | grant.grantable).keywords().collect();
            refuse(&role.path, &format!("{} on {}", words.join(", "), grant.on.in_words()));
        }
    }
    for database in spec.databases.values() {
        refuse(&database.path, "databases");
    }
    if !spec.scripts.is_empty() {
        refuse("", "scripts");
    }
}

/// Users that cannot be made as declared, and those that would be members of one of them.
fn skipped(spec: &Spec, catalog: &Catalog, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    let mut skipped = BTreeSet::new();
    for role in spec.roles.values().filter(|role| role.mode != Mode::Present) {
        let before = findings.len();
        if let Some(credential) = &role.credential
            && credential.state != SecretState::Present
        {
            findings.push(no_password(role));
        }
        let granted = role.grants.iter().filter_map(|grant| match &grant.on {
            Object::Database(name) => Some(name),
            _ => grant.database.as_ref(),
        });
        let named: BTreeSet<_> = granted.chain(role.settings.iter().filter_map(|it| it.database.as_ref())).collect();
        for database in named.into_iter().filter(|name| !catalog.databases.contains_key(*name)) {
            let message = format!("{:?} is left as it is: there is no database {database:?} on this server", role.name);
            findings.push(
                Finding::new(Severity::Error, "database-missing", &role.path, message)
                    .help("create the database first, or correct its name; names are case-sensitive"),
            );
        }
        let inside = role.grants.iter().filter_map(|grant| grant.database.as_ref()).collect::<BTreeSet<_>>();
        for (database, why) in inside.into_iter().filter_map(|name| catalog.closed.get_key_value(name)) {
            let message =
                format!("{:?} is left as it is: database {database:?} cannot be looked into: {why}", role.name);
            findings.push(
                Finding::new(Severity::Error, "database-closed", &role.path, message)
                    .help("let the controller connect to it, or take its grants in that database out of users.yaml"),
            );
        }
        let maintains = |grant: &Grant| (grant.privileges | grant.grantable).contains(Privileges::MAINTAIN);
        if catalog.server.version < 170_000 && role.grants.iter().any(maintains) {
            let version = catalog.server.version / 10_000;
            let message =
                format!("{:?} is left as it is: PostgreSQL {version} does not know the privilege MAINTAIN", role.name);
            findings.push(
                Finding::new(Severity::Error, "privilege-unknown", &role.path, message)
                    .help("leave MAINTAIN out, or move to PostgreSQL 17 or later"),
            );
        }
        for edge in &role.memberships {
            if is_predefined(&edge.role) && !catalog.roles.contains_key(&edge.role) {
                let message = format!(
                    "{:?} is left as it is: this server, PostgreSQL {}, has no predefined role {:?}",
                    role.name,
                    catalog.server.version / 10_000,
                    edge.role
                );
                findings.push(
                    Finding::new(Severity::Error, "role-missing", &role.path, message)
                        .help("take it out of `roles`, or move to a PostgreSQL version that has it"),
                );
            }
        }
        if !catalog.server.has_membership_options() {
            findings.extend(role.memberships.iter().filter_map(|edge| unknown_options(role, edge, catalog)));
        }
        if findings.len() > before {
            skipped.insert(role.name.clone());
        }
    }
    // Who needs a role that will not be there cannot be made either.
    loop {
        let mut more = Vec::new();
        for role in spec.roles.values().filter(|role| !skipped.contains(&role.name)) {
            let missing = role
                .memberships
                .iter()
                .find(|edge| skipped.contains(&edge.role) && !catalog.roles.contains_key(&edge.role));
            if let Some(edge) = missing {
                let message = format!(
                    "{:?} is left as it is: it is to be a member of {:?}, which cannot be created",
                    role.name, edge.role
                );
                findings.push(Finding::new(Severity::Error, "role-missing", &role.path, message));
                more.push(role.name.clone());
            }
        }
        if more.is_empty() {
            return skipped;
        }
        skipped.extend(more);
    }
}

/// Before PostgreSQL 16, whether a member inherits is its own INHERIT for all its roles, and whoever is a
/// member may SET ROLE.
fn unknown_options(role: &Role, edge: &Membership, catalog: &Catalog) -> Option<Finding> {
    let asks = if !edge.set {
        "no SET"
    } else if edge.inherit && !role.attributes.contains(Attributes::INHERIT) {
        "INHERIT, which the member itself has not"
    } else if !edge.inherit && role.attributes.contains(Attributes::INHERIT) {
        "no INHERIT, which the member itself has"
    } else {
        return None;
    };
    let (name, version) = (&role.name, catalog.server.version / 10_000);
    let message = format!(
        "{name:?} is left as it is: its membership in {:?} asks for {asks}; PostgreSQL {version} has no such option",
        edge.role
    );
    Some(
        Finding::new(Severity::Error, "membership-options", &role.path, message)
            .help("leave `inherit` and `set` out of the membership, or move to PostgreSQL 16 or later"),
    )
}

fn no_password(role: &Role) -> Finding {
    let (secret, key, state) = match &role.credential {
        Some(credential) => (credential.secret.as_str(), credential.key.as_str(), credential.state),
        None => ("", "", SecretState::Missing),
    };
    let (code, what) = match state {
        SecretState::Missing | SecretState::Present => {
            ("secret-missing", "there is no such Secret, or no such key in it")
        }
        SecretState::Empty => ("secret-empty", "it is empty"),
        SecretState::Unreadable => ("secret-unreadable", "it cannot be read as a password"),
    };
    let message = format!("{:?} is left as it is: no password in Secret {secret:?}, key {key:?}: {what}", role.name);
    Finding::new(Severity::Error, code, &role.path, message).help(
        "create the Secret, name another with `secret: {name: …, key: …}`, or declare `password: none` for a \
         login without one",
    )
}

fn protected(role: &Role) -> Finding {
    let message = format!("{:?} is a protected role and cannot be managed", role.name);
    Finding::new(Severity::Error, "protected-role", &role.path, message).help(
        "take it out of users.yaml; protected are the bootstrap superuser, pg_* roles, the controller's own role, and \
         PROTECTED_ROLES",
    )
}

fn adopted(role: &Role) -> Finding {
    let message = format!("{:?} exists already; Rolewright takes it over and keeps it as declared", role.name);
    Finding::new(Severity::Info, "role-adopted", &role.path, message)
}

/// Fills in what CREATE ROLE gives where nothing is said.
fn complete(mut role: Role) -> Role {
    role.standing = Standing::Managed;
    role.connection_limit = role.connection_limit.or(Some(Limit::Unlimited));
    role.valid_until = role.valid_until.or(Some(Expiry::Never));
    role
}

/// The role ends exactly as declared; only what the spec cannot say yet is kept.
fn authoritative(declared: &Role, found: Option<&Role>, catalog: &Catalog, in_sync: &BTreeMap<String, bool>) -> Role {
    let mut role = complete(declared.clone());
    // An owner holds everything on the database by being the owner.
    role.grants.retain(|grant| !owns(&role.name, &grant.on, catalog));
    // Nobody says whether a group role has a password: what is there stays, and CREATE ROLE gives none.
    role.has_password = role.has_password.or(found.map_or(Some(false), |found| found.has_password));
    if let Some(found) = found {
        role.comment = role.comment.or_else(|| found.comment.clone());
        if let Some(credential) = &mut role.credential {
            credential.in_sync = Some(in_sync.get(&role.name).copied().unwrap_or(false));
        }
    }
    role
}

/// What is declared is granted; what is there beyond it stays.
fn additive(declared: &Role, found: Option<&Role>, catalog: &Catalog, in_sync: &BTreeMap<String, bool>) -> Role {
    let mut role = authoritative(declared, found, catalog, in_sync);
    let Some(found) = found else { return role };
    role.attributes |= found.attributes;
    role.connection_limit = declared.connection_limit.or(found.connection_limit);
    role.valid_until = declared.valid_until.or(found.valid_until);
    role.memberships.extend(found.memberships.iter().cloned());
    role.memberships.sort();
    role.grants.extend(found.grants.iter().cloned());
    role.grants.sort();
    role
}

/// A group role of ours: it cannot log in. What it may do is not the business of those who name it;
/// what a former user held goes.
fn group(found: &Role, kind: Kind) -> Role {
    let mut role = Role { mode: Mode::Present, attributes: Attributes::GROUP, ..found.clone() };
    if kind == Kind::User {
        role.memberships.clear();
        role.grants.clear();
        role.has_password = Some(false);
    }
    role
}

fn owns(role: &str, object: &Object, catalog: &Catalog) -> bool {
    match object {
        Object::Database(name) => {
            catalog.databases.get(name).is_some_and(|database| database.owner.as_deref() == Some(role))
        }
        _ => false,
    }
}

/// Whether this version carries it out; what lies in a database must say in which.
fn is_managed(grant: &Grant) -> bool {
    matches!(grant.on, Object::Database(_)) == grant.database.is_none()
        && grant.on.known_privileges().contains(grant.privileges | grant.grantable)
}

/// An ACL is one value in one row: each grantee makes every change of it more expensive, and some day
/// the row is too big.
fn crowded(resolved: &mut Resolved) {
    let mut grantees: BTreeMap<&str, usize> = BTreeMap::new();
    for database in resolved.in_scope.iter().filter_map(|name| resolved.desired.get(name)).flat_map(Role::databases) {
        *grantees.entry(database).or_default() += 1;
    }
    for (database, count) in grantees.into_iter().filter(|(_, count)| *count > CROWD) {
        let message = format!("{count} users are granted privileges on database {database:?} one by one");
        resolved.findings.push(
            Finding::new(Severity::Info, "crowded-acl", "", message).help(
                "grant CONNECT to a group role, and name that under `roles`: the list of grantees is one row value",
            ),
        );
    }
}

/// What becomes of recorded roles that are no longer declared.
fn leave(spec: &Spec, catalog: &Catalog, records: &Records, resolved: &mut Resolved) {
    let mut going = BTreeSet::new();
    for (name, record) in records.iter().filter(|(name, _)| !spec.roles.contains_key(*name)) {
        let warn = |message: String| {
            Finding::new(Severity::Warning, "role-released", "", message)
                .help("drop it by hand if it should go; Rolewright does not touch it any more")
        };
        if !catalog.roles.contains_key(name) {
            resolved.released.insert(name.clone());
        } else if catalog.is_protected(name) {
            resolved.released.insert(name.clone());
            let message = format!("{name:?} is no longer declared, and protected: it stays");
            resolved.findings.push(warn(message));
        } else if !is_same(name, record, catalog) {
            resolved.released.insert(name.clone());
            let message = format!("{name:?} is no longer declared, and somebody has made it anew since: it stays");
            resolved.findings.push(warn(message));
        } else {
            going.insert(name.clone());
        }
    }
    for (name, members) in in_use(&going, catalog, records, resolved) {
        going.remove(&name);
        let message =
            format!("{name:?} is named by no user any more, and stays: it has other members ({})", members.join(", "));
        resolved.findings.push(
            Finding::new(Severity::Warning, "role-in-use", "", message)
                .help("revoke these memberships, and the role goes in the next cycle"),
        );
        if let Some(found) = catalog.roles.get(&name) {
            resolved.desired.insert(name, found.clone());
        }
    }
    let was_declared = |name: &&String| records.get(*name).is_some_and(|it| it.kind == Kind::Group && it.is_declared());
    resolved.removable_groups = going.iter().filter(was_declared).cloned().collect();
    resolved.removable = going;
}

/// Group roles that others have come to use: they stay as long as somebody is a member who is not
/// about to leave, and so do the groups that these are members of.
fn in_use(
    going: &BTreeSet<String>,
    catalog: &Catalog,
    records: &Records,
    resolved: &Resolved,
) -> BTreeMap<String, Vec<String>> {
    let is_group = |name: &str| records.get(name).is_some_and(|record| record.kind == Kind::Group);
    let mut staying: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !going.iter().any(|name| is_group(name)) {
        return staying;
    }
    // What is declared names none of the roles that go, so whoever is in scope leaves them.
    let mut members: Vec<&Role> = catalog
        .roles
        .values()
        .filter(|role| {
            // The controller is a member of what it made, by itself.
            let is_controller = role.name == catalog.server.current_user;
            !resolved.in_scope.contains(&role.name) && !going.contains(&role.name) && !is_controller
        })
        .collect();
    while !members.is_empty() {
        let mut next = BTreeSet::new();
        for member in members {
            for edge in &member.memberships {
                if !going.contains(&edge.role) || !is_group(&edge.role) {
                    continue;
                }
                if !staying.contains_key(&edge.role) {
                    next.insert(edge.role.clone());
                }
                let names = staying.entry(edge.role.clone()).or_default();
                if !names.contains(&member.name) {
                    names.push(member.name.clone());
                }
            }
        }
        members = next.iter().filter_map(|name| catalog.roles.get(name)).collect();
    }
    staying
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Credential, Database};

    fn catalog(roles: &[Role]) -> Catalog {
        let mut catalog = Catalog::default();
        catalog.server.version = 180_000;
        catalog.server.bootstrap_superuser = "postgres".into();
        for (number, role) in roles.iter().enumerate() {
            catalog.oids.insert(role.name.clone(), 100 + number as u32);
            catalog.roles.insert(role.name.clone(), role.clone());
        }
        catalog
    }

    fn spec(roles: &[Role]) -> Spec {
        Spec { roles: roles.iter().map(|role| (role.name.clone(), role.clone())).collect(), ..Spec::default() }
    }

    fn record(oid: u32, kind: Kind) -> Record {
        let origin = Origin::Created;
        Record { oid: Some(oid), kind, origin, secret_version: None, row_version: None, applied: None }
    }

    fn user(name: &str) -> Role {
        Role::new(name, Mode::Authoritative, Attributes::USER)
    }

    fn resolve_all(spec: &Spec, mut catalog: Catalog, records: &Records) -> Resolved {
        let managed = managed(records, &catalog);
        catalog.assign_standing(&BTreeSet::new(), &managed);
        resolve(spec, &catalog, records, &BTreeMap::new())
    }

    #[test]
    fn what_is_recorded_and_no_longer_declared_goes() {
        let records = Records::from([("alice".into(), record(100, Kind::User))]);
        let resolved = resolve_all(&spec(&[]), catalog(&[user("alice"), user("mallory")]), &records);
        assert_eq!(resolved.removable, BTreeSet::from(["alice".to_owned()]));
    }

    #[test]
    fn what_nobody_says_of_a_group_role_is_filled_in() {
        let declared = |name: &str| Role::new(name, Mode::Authoritative, Attributes::GROUP);
        let found = Role { has_password: Some(true), comment: Some("c".to_owned()), ..declared("there") };
        let resolved = resolve_all(&spec(&[declared("there"), declared("new")]), catalog(&[found]), &Records::new());
        let (there, new) = (&resolved.desired["there"], &resolved.desired["new"]);
        assert_eq!((there.has_password, there.comment.as_deref()), (Some(true), Some("c")));
        assert_eq!((new.has_password, new.connection_limit), (Some(false), Some(Limit::Unlimited)));
    }

    #[test]
    fn a_group_role_that_was_declared_is_told_from_one_that_was_only_named() {
        let record =
            |oid, mode| Record { applied: Some(Role::new("", mode, Attributes::GROUP)), ..record(oid, Kind::Group) };
        let records =
            Records::from([("a".into(), record(100, Mode::Authoritative)), ("b".into(), record(101, Mode::Present))]);
        let group = |name: &str| Role::new(name, Mode::Present, Attributes::GROUP);
        let resolved = resolve_all(&spec(&[]), catalog(&[group("a"), group("b")]), &records);
        assert_eq!(resolved.removable, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(resolved.removable_groups, BTreeSet::from(["a".to_owned()]));
    }

    #[test]
    fn a_role_made_anew_by_somebody_else_is_released() {
        let records = Records::from([("alice".into(), record(7, Kind::User))]);
        let resolved = resolve_all(&spec(&[]), catalog(&[user("alice")]), &records);
        assert!(resolved.removable.is_empty());
        assert!(resolved.released.contains("alice"));
        assert_eq!(resolved.findings[0].code, "role-released");
    }

    #[test]
    fn a_missing_secret_leaves_the_user_as_it_is() {
        let mut declared = user("alice");
        declared.memberships.push(Membership::plain("analyst"));
        declared.credential = Some(Credential {
            secret: "user-alice-secret".into(),
            key: "password".into(),
            state: SecretState::Missing,
            version: String::new(),
            changed_at: None,
            labels: BTreeMap::new(),
            strength: None,
            in_sync: None,
        });
        let analyst = Role::new("analyst", Mode::Present, Attributes::GROUP);
        let found = Role { has_password: Some(true), ..user("alice") };
        let resolved = resolve_all(&spec(&[declared, analyst]), catalog(std::slice::from_ref(&found)), &Records::new());
        assert_eq!(resolved.desired["alice"].memberships, found.memberships);
        assert!(!resolved.in_scope.contains("alice"));
        assert!(resolved.in_scope.contains("analyst"));
        assert_eq!(resolved.findings[0].code, "secret-missing");
        assert!(!resolved.blocked);
    }

    #[test]
    fn the_superuser_cannot_be_declared() {
        let resolved = resolve_all(&spec(&[user("postgres")]), catalog(&[user("postgres")]), &Records::new());
        assert!(resolved.blocked);
        assert_eq!(resolved.findings[0].code, "protected-role");
    }

    #[test]
    fn a_group_role_of_somebody_else_is_left_alone() {
        let found = Role::new("analyst", Mode::Present, Attributes::USER);
        let named = Role::new("analyst", Mode::Present, Attributes::GROUP);
        let resolved = resolve_all(&spec(&[named]), catalog(std::slice::from_ref(&found)), &Records::new());
        assert_eq!(resolved.desired["analyst"].attributes, Attributes::USER);
        assert!(resolved.in_scope.is_empty());
    }

    #[test]
    fn a_group_role_of_ours_may_not_log_in() {
        let found = Role::new("analyst", Mode::Present, Attributes::USER);
        let named = Role::new("analyst", Mode::Present, Attributes::GROUP);
        let records = Records::from([("analyst".into(), record(100, Kind::Group))]);
        let resolved = resolve_all(&spec(&[named]), catalog(&[found]), &records);
        assert_eq!(resolved.desired["analyst"].attributes, Attributes::GROUP);
    }

    #[test]
    fn a_group_role_that_others_use_stays() {
        let mut other = user("other");
        other.memberships.push(Membership { grantor: Some("postgres".into()), ..Membership::plain("analyst") });
        let analyst = Role::new("analyst", Mode::Present, Attributes::GROUP);
        let records = Records::from([("analyst".into(), record(100, Kind::Group))]);
        let resolved = resolve_all(&spec(&[]), catalog(&[analyst, other]), &records);
        assert!(resolved.removable.is_empty());
        assert_eq!(resolved.findings[0].code, "role-in-use");
    }

    #[test]
    fn an_owner_needs_no_grant_on_its_database() {
        let mut declared = user("alice");
        declared.grants.push(Grant {
            database: None,
            on: Object::Database("shop".into()),
            privileges: Privileges::CONNECT,
            grantable: Privileges::empty(),
        });
        let mut catalog = catalog(&[user("alice")]);
        catalog.databases.insert(
            "shop".into(),
            Database {
                name: "shop".into(),
                owner: Some("alice".into()),
                connection_limit: None,
                comment: None,
                schemas: Vec::new(),
                labels: BTreeMap::new(),
                path: String::new(),
            },
        );
        let resolved = resolve_all(&spec(&[declared]), catalog, &Records::new());
        assert!(resolved.desired["alice"].grants.is_empty());
    }
}
