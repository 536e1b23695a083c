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

mod columns;
pub mod databases;
mod everybody;
pub(crate) mod leavers;
pub mod modes;
pub mod renames;
pub mod row_security;
mod settings;
pub mod shared;
mod skipped;
pub mod terms;
pub mod wishes;

use std::collections::{BTreeMap, BTreeSet};

pub use leavers::{Grace, Leaving};

use crate::catalog::Catalog;
use crate::model::{
    Attributes, Database, Expiry, Finding, Grant, Limit, Mode, Object, PUBLIC, Role, Setting, Severity, Spec, Standing,
    TableName, TableSecurity,
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
    /// When it was disabled since it had gone from the spec, in Unix seconds.
    pub leaving_since: Option<i64>,
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
    /// Every database that is declared, with its declared schemas; what is `None` there stays as it is.
    pub databases: BTreeMap<String, Database>,
    /// Tables whose row-level security a plan has to leave as declared.
    pub row_security: BTreeMap<TableName, TableSecurity>,
    /// Tables that are not secured as declared, and will not be this time: nobody is to be let at them.
    pub unsecured: BTreeSet<TableName>,
    /// Names of the scripts that a plan may run.
    pub scripts: Vec<String>,
    /// Roles that a plan may create or change.
    pub in_scope: BTreeSet<String>,
    /// Roles that a plan must remove: recorded, there, and no longer declared.
    pub removable: BTreeSet<String>,
    /// Of these, the group roles that were declared: they count when many go at once.
    pub removable_groups: BTreeSet<String>,
    /// Recorded roles that are let go without being touched: dropped by somebody else, made anew
    /// under the same name, protected or external since, or declared last in a mode that drops nothing.
    pub released: BTreeSet<String>,
    /// Of these, users that cannot log in any more, as declared or since they left: to drop them counts all the same.
    pub removable_users: BTreeSet<String>,
    /// Users that have gone from the spec and are not dropped yet, with the end of their grace.
    pub leaving: BTreeMap<String, Leaving>,
    /// Users that must not log in for now, those that leave among them.
    pub disabled: BTreeSet<String>,
    /// Logins that are second ones, and of whom. The host's own, and not the planner's.
    pub second_logins: BTreeMap<String, String>,
    /// The renames that come before everything else. The host's own, and not the planner's.
    pub renames: Vec<renames::Rename>,
    /// Roles that are only looked at.
    pub observed: BTreeSet<String>,
    /// Roles that are left as they are this time, since something that they need is missing.
    pub skipped: BTreeSet<String>,
    /// Of these, the ones that are no longer declared and stay all the same; and why.
    pub kept: BTreeMap<String, String>,
    /// The settings of roles that are declared to have these and no others, be it none.
    pub settings: BTreeMap<String, Vec<Setting>>,
    /// What the operator should know.
    pub findings: Vec<Finding>,
    /// Whether a finding stands against the whole plan.
    pub blocked: bool,
}

impl Resolved {
    /// The desired state in the shape that a planner takes; to be given back.
    pub fn lend(&mut self) -> Spec {
        let (roles, databases) = (std::mem::take(&mut self.desired), std::mem::take(&mut self.databases));
        Spec { roles, databases, scripts: std::mem::take(&mut self.scripts), ..Spec::default() }
    }

    /// Takes it back.
    pub fn take_back(&mut self, desired: Spec) {
        (self.desired, self.databases, self.scripts) = (desired.roles, desired.databases, desired.scripts);
    }

    /// Whether a role stands for a user, be it one that must not log in, or for a group role. `None`: nobody speaks of it.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        let role = self.desired.get(name)?;
        let is_user = role.mode != Mode::Present && (role.is_user() || self.disabled.contains(name));
        Some(if is_user { Kind::User } else { Kind::Group })
    }
}

/// Names of the recorded roles that are still the ones recorded.
pub fn managed(records: &Records, catalog: &Catalog) -> BTreeSet<String> {
    records.iter().filter(|(name, record)| is_same(name, record, catalog)).map(|(name, _)| name.clone()).collect()
}

/// A name can be dropped and made anew by somebody else; an OID cannot.
pub(crate) fn is_same(name: &str, record: &Record, catalog: &Catalog) -> bool {
    catalog.oids.get(name).is_some_and(|oid| record.oid.is_none_or(|recorded| recorded == *oid))
}

/// Completes the spec. `in_sync` tells for each existing role with a credential whether the server
/// holds that password. The catalog's standings are those that `Catalog::assign_standing` gave.
pub fn resolve(spec: &Spec, catalog: &Catalog, records: &Records, in_sync: &BTreeMap<String, bool>) -> Resolved {
    resolve_with((&BTreeSet::new(), &BTreeSet::new()), Grace::default(), spec, catalog, records, in_sync)
}

/// The same, where users that have gone from the spec are disabled for a while before they are dropped, and with roles
/// that are left as they are whatever is declared. What to say of the latter is up to the caller. Not even what is due
/// at once, as a disabled login is, is taken from those that are left out wholly.
pub fn resolve_with(
    (left_out, wholly): (&BTreeSet<String>, &BTreeSet<String>),
    grace: Grace,
    spec: &Spec,
    catalog: &Catalog,
    records: &Records,
    in_sync: &BTreeMap<String, bool>,
) -> Resolved {
    let seconds = spec.generated.iter().filter_map(|(role, wish)| Some((wish.alternate.clone()?, role.clone())));
    let mut resolved =
        Resolved { scripts: spec.scripts.clone(), second_logins: seconds.collect(), ..Resolved::default() };
    unsupported(spec, &mut resolved);
    resolved.skipped = skipped::skipped(left_out, spec, catalog, &mut resolved.findings);
    let kept = renames::stuck(spec, catalog, records, &mut resolved);
    // Whoever acts as a user that is left as it is, is so too: who that is, is not settled.
    let with_the_first = resolved.second_logins.iter().filter(|(_, first)| resolved.skipped.contains(*first));
    let with_the_first: Vec<String> = with_the_first.map(|(second, _)| second.clone()).collect();
    resolved.skipped.extend(with_the_first);
    for declared in spec.roles.values() {
        let name = &declared.name;
        let found = catalog.roles.get(name);
        if declared.mode != Mode::Present && catalog.is_protected(name) {
            resolved.blocked = true;
            resolved.findings.push(protected(declared));
            continue;
        }
        let recorded = records.get(name).filter(|record| is_same(name, record, catalog));
        let is_exact = spec.exact_settings.contains(name);
        if declared.mode == Mode::Observe {
            resolved.observed.insert(name.clone());
            resolved.findings.extend(modes::observed(declared, found, recorded, is_exact, catalog, in_sync));
        }
        let is_left = resolved.skipped.contains(name) || spec.external.contains(name);
        if is_left || declared.mode == Mode::Observe {
            if let Some(found) = found {
                resolved.desired.insert(name.clone(), found.clone());
            }
            continue;
        }
        let mut role = match declared.mode {
            Mode::Authoritative => authoritative(declared, found, catalog, in_sync),
            Mode::Additive | Mode::Adopt => modes::additive(declared, found, catalog, in_sync),
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
        if declared.mode != Mode::Present && found.is_some() && recorded.is_none() && name != PUBLIC {
            resolved.findings.push(adopted(declared));
        }
        if declared.credential.is_none() && resolved.second_logins.get(name).is_some_and(|it| !was_second(recorded, it))
        {
            // Whoever knows the password of one that was there before would be the user from now on.
            role.has_password = Some(false);
        }
        let settings = settings::complete(declared, found, recorded, is_exact);
        role.settings = settings.desired;
        resolved.settings.extend(settings.declared.map(|declared| (name.clone(), declared)));
        resolved.in_scope.insert(name.clone());
        resolved.desired.insert(name.clone(), role);
    }
    disable(wholly, spec, catalog, &mut resolved);
    let will_be = |owner: &str| catalog.roles.contains_key(owner) || resolved.desired.contains_key(owner);
    let mut findings = Vec::new();
    resolved.databases = databases::desired(spec, catalog, will_be, &mut findings);
    resolved.row_security = row_security::desired(spec, will_be, &mut findings);
    resolved.findings.extend(findings);
    crowded(&mut resolved);
    leavers::leave(left_out, spec, catalog, records, &kept, grace, &mut resolved);
    resolved.findings.sort_by(|a, b| (&a.path, &a.code, &a.message).cmp(&(&b.path, &b.code, &b.message)));
    resolved
}

/// Whether a role was a second login already when it was last applied: then its password was made for that.
fn was_second(recorded: Option<&Record>, first: &str) -> bool {
    let acts_as_another =
        |setting: &Setting| setting.database.is_none() && crate::parameter::key(&setting.name) == "role";
    recorded.and_then(|record| record.applied.as_ref()).is_some_and(|applied| {
        applied.memberships.iter().any(|edge| edge.role == first) && applied.settings.iter().any(acts_as_another)
    })
}

/// Who is disabled is kept out, also if it is otherwise left as it is.
fn disable(wholly: &BTreeSet<String>, spec: &Spec, catalog: &Catalog, resolved: &mut Resolved) {
    for name in spec.disabled.difference(wholly) {
        let declared = spec.roles.get(name).filter(|role| role.mode != Mode::Observe);
        let (Some(declared), Some(role)) = (declared, resolved.desired.get_mut(name)) else { continue };
        // Also where it is otherwise left as it is, and whatever a policy made of it.
        if role.is_user() && !catalog.is_protected(name) {
            role.attributes -= Attributes::LOGIN;
            // What was found has no mode; what becomes of it once it is declared no more depends on that.
            role.mode = declared.mode;
            resolved.in_scope.insert(name.clone());
        }
        if !role.is_user() {
            resolved.disabled.insert(name.clone());
        }
    }
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
}

fn protected(role: &Role) -> Finding {
    let message = format!("{:?} is a protected role and cannot be managed", role.name);
    Finding::new(Severity::Error, "protected-role", &role.path, message).help(
        "take it out of users.yaml; protected are the bootstrap superuser, pg_* roles, the controller's own role, and \
         PROTECTED_ROLES",
    )
}

fn adopted(role: &Role) -> Finding {
    let what = match role.mode.keeps() {
        true => "gives it what is declared; what it has beyond that stays",
        false => "keeps it as declared",
    };
    let message = format!("{:?} exists already; Rolewright takes it over and {what}", role.name);
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
    // An owner holds everything on the database, or the tablespace, by being the owner.
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
        Object::Database(name) => catalog.owner_of(name) == Some(role),
        on => on.is_shared() && catalog.shared.owner(on) == Some(role),
    }
}

/// Whether this version carries it out; what lies in a database must say in which.
fn is_managed(grant: &Grant) -> bool {
    grant.on.is_of_server() == grant.database.is_none()
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

#[cfg(test)]
mod modes_tests;
#[cfg(test)]
mod tests;
