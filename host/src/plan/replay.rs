//! What a plan would make of the catalog, computed on a model of it. The guard compares the
//! outcome with the desired state; property tests and a live server check the model itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, RolePatch, Step};
use crate::model::{
    Attributes, Database, Expiry, Grant, Limit, Membership, Object, Privileges, Role, SecretState, Setting,
};
use crate::parameter;

/// Roles after a replay, and whose password was set or cleared on the way.
#[derive(Debug, Clone, Default)]
pub struct Outcome<'a> {
    /// Every role after the steps; borrowed where no step touched it.
    pub roles: Roles<'a>,
    /// Roles that got their password from a Secret.
    pub passwords_set: BTreeSet<String>,
    /// Scripts that were run.
    pub scripts_run: BTreeSet<String>,
}

/// Roles by name, most of them as found.
pub type Roles<'a> = BTreeMap<String, Cow<'a, Role>>;

/// Why a step cannot be replayed: the server would refuse it, or it would do nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {number} ({action}) cannot work: {why}")]
pub struct Impossible {
    /// Position in the plan, counted from 1.
    pub number: usize,
    /// Kebab-case name of the change.
    pub action: &'static str,
    /// What stands against it.
    pub why: String,
}

/// Applies the steps, in their order, to a copy of the roles found.
pub fn replay<'a>(actual: &'a BTreeMap<String, Role>, steps: &[Step]) -> Result<Outcome<'a>, Impossible> {
    let roles = actual.iter().map(|(name, role)| (name.clone(), Cow::Borrowed(role))).collect();
    let mut outcome = Outcome { roles, passwords_set: BTreeSet::new(), scripts_run: BTreeSet::new() };
    for (index, step) in steps.iter().enumerate() {
        apply(&mut outcome, &step.change).map_err(|why| Impossible {
            number: index + 1,
            action: step.change.action(),
            why,
        })?;
    }
    Ok(outcome)
}

fn apply(outcome: &mut Outcome<'_>, change: &Change) -> Result<(), String> {
    let roles = &mut outcome.roles;
    match change {
        Change::CreateRole(role) => {
            if roles.contains_key(&role.name) {
                return Err(format!("the role {:?} exists already", role.name));
            }
            for edge in &role.memberships {
                require(roles, &edge.role)?;
            }
            if role.credential.as_ref().is_some_and(|found| found.state == SecretState::Present) {
                outcome.passwords_set.insert(role.name.clone());
            }
            // Grants and settings are steps of their own; what is left open gets the server's default.
            let created = Role {
                grants: Vec::new(),
                settings: Vec::new(),
                connection_limit: role.connection_limit.or(Some(Limit::Unlimited)),
                valid_until: role.valid_until.or(Some(Expiry::Never)),
                ..role.clone()
            };
            roles.insert(role.name.clone(), Cow::Owned(created));
        }
        Change::AlterRole(patch) => alter(role_mut(roles, &patch.name)?, patch),
        Change::RenameRole { from, to } => {
            if roles.contains_key(to) {
                return Err(format!("the role {to:?} exists already"));
            }
            let mut role = roles.remove(from).ok_or_else(|| absent(from))?;
            role.to_mut().name.clone_from(to);
            roles.insert(to.clone(), role);
            for other in members_of(roles, from) {
                for edge in other.memberships.iter_mut().filter(|edge| edge.role == *from) {
                    edge.role.clone_from(to);
                }
            }
        }
        Change::SetPassword(name) => {
            role_mut(roles, name)?.has_password = Some(true);
            outcome.passwords_set.insert(name.clone());
        }
        Change::ClearPassword(name) => role_mut(roles, name)?.has_password = Some(false),
        Change::GrantRole { member, membership } => {
            require(roles, &membership.role)?;
            if *member == membership.role {
                return Err(format!("the role {member:?} cannot be a member of itself"));
            }
            let edges = &mut role_mut(roles, member)?.memberships;
            edges.retain(|edge| edge.role != membership.role || edge.grantor != membership.grantor);
            edges.push(membership.clone());
        }
        Change::RevokeRole { member, membership } => {
            let edges = &mut role_mut(roles, member)?.memberships;
            let before = edges.len();
            edges.retain(|edge| {
                edge.role != membership.role || (membership.grantor.is_some() && edge.grantor != membership.grantor)
            });
            if edges.len() == before {
                return Err(format!("{member:?} is not a member of {:?} by that grantor", membership.role));
            }
        }
        Change::GrantPrivilege { role, grant } => {
            let role = grantee(role.as_deref(), grant)?;
            let grants = &mut role_mut(roles, role)?.grants;
            match grants.iter_mut().find(|held| held.database == grant.database && held.on == grant.on) {
                Some(held) => {
                    held.privileges |= grant.privileges;
                    held.grantable |= grant.grantable;
                }
                None => grants.push(grant.clone()),
            }
        }
        Change::RevokePrivilege { role, grant } => {
            let role = grantee(role.as_deref(), grant)?;
            let grants = &mut role_mut(roles, role)?.grants;
            let Some(held) = grants.iter_mut().find(|held| held.database == grant.database && held.on == grant.on)
            else {
                return Err(format!("{role:?} holds nothing on {:?}", grant.on));
            };
            held.privileges -= grant.privileges;
            held.grantable -= grant.privileges | grant.grantable;
            grants.retain(|held| !held.privileges.is_empty());
        }
        Change::DropRole { name, .. } => {
            roles.remove(name).ok_or_else(|| absent(name))?;
            // The server drops the edges to a role together with it.
            for other in members_of(roles, name) {
                other.memberships.retain(|edge| edge.role != *name);
            }
        }
        Change::SetSetting { role, setting } => {
            let settings = &mut role_mut(roles, role)?.settings;
            settings.retain(|held| !parameter::same_place(held, setting));
            settings.push(setting.clone());
        }
        Change::ResetSetting { role, setting } => {
            let settings = &mut role_mut(roles, role)?.settings;
            let before = settings.len();
            settings.retain(|held| held.database != setting.database || held.name != setting.name);
            if settings.len() == before {
                return Err(format!("{role:?} has no setting {:?} there", setting.name));
            }
        }
        // Databases and tables have no part in what roles are; the guard compares them by themselves.
        Change::CreateDatabase(_) | Change::AlterDatabase(_) | Change::SecureTable { .. } => {}
        // What it does is not known; that it has been run is.
        Change::RunScript(name) => {
            if !outcome.scripts_run.insert(name.clone()) {
                return Err(format!("the script {name:?} is run already"));
            }
        }
    }
    Ok(())
}

fn alter(role: &mut Role, patch: &RolePatch) {
    role.attributes = (role.attributes | patch.set) - patch.clear;
    if let Some(limit) = patch.connection_limit {
        role.connection_limit = Some(limit);
    }
    if let Some(expiry) = patch.valid_until {
        role.valid_until = Some(expiry);
    }
    if let Some(comment) = &patch.comment {
        role.comment = (!comment.is_empty()).then(|| comment.clone());
    }
}

fn role_mut<'a>(roles: &'a mut Roles<'_>, name: &str) -> Result<&'a mut Role, String> {
    roles.get_mut(name).map(Cow::to_mut).ok_or_else(|| absent(name))
}

fn members_of<'a>(roles: &'a mut Roles<'_>, name: &str) -> impl Iterator<Item = &'a mut Role> {
    let is_member = move |role: &Cow<'_, Role>| role.memberships.iter().any(|edge| edge.role == name);
    roles.values_mut().filter(move |role| is_member(role)).map(Cow::to_mut)
}

fn require(roles: &Roles<'_>, name: &str) -> Result<(), String> {
    if roles.contains_key(name) { Ok(()) } else { Err(absent(name)) }
}

/// Privileges of roles are carried out, those of PUBLIC are not; and not on every object.
fn grantee<'a>(role: Option<&'a str>, grant: &Grant) -> Result<&'a str, String> {
    let role = role.ok_or("PUBLIC is not managed")?;
    if grant.on.known_privileges().is_empty() || grant.on.is_of_server() != grant.database.is_none() {
        return Err(format!("this version of Rolewright does not carry out privileges on {:?}", grant.on));
    }
    Ok(role)
}

fn absent(name: &str) -> String {
    format!("there is no role {name:?}")
}

/// One way in which a replayed role is not as desired.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The role.
    pub role: String,
    /// What differs, for people.
    pub what: String,
}

/// Compares an outcome with the desired roles. `in_scope` names the roles that a plan may remove;
/// `options` tells whether the server keeps INHERIT and SET per membership.
pub fn differences(
    outcome: &Outcome<'_>,
    desired: &BTreeMap<String, Role>,
    in_scope: &BTreeSet<String>,
    options: bool,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differ = |role: &str, what: String| found.push(Difference { role: role.to_owned(), what });
    for (name, wanted) in desired {
        let Some(made) = outcome.roles.get(name) else {
            differ(name, "is missing".to_owned());
            continue;
        };
        // With a role that goes, the server drops the memberships in it.
        let mut wanted = Cow::Borrowed(wanted);
        let stays = |edge: &Membership| desired.contains_key(&edge.role) || !in_scope.contains(&edge.role);
        if !wanted.memberships.iter().all(stays) {
            wanted.to_mut().memberships.retain(stays);
        }
        for what in compare(made, &wanted, options) {
            differ(name, what);
        }
        if let Some(credential) = &wanted.credential
            && credential.state == SecretState::Present
        {
            match (credential.in_sync, outcome.passwords_set.contains(name)) {
                (Some(true), true) => differ(name, "gets a password that it already has".to_owned()),
                (Some(false) | None, false) => differ(name, "does not get the password of its Secret".to_owned()),
                _ => {}
            }
        } else if outcome.passwords_set.contains(name) {
            differ(name, "gets a password that the spec does not give it".to_owned());
        }
    }
    for name in in_scope {
        if !desired.contains_key(name) && outcome.roles.contains_key(name) {
            differ(name, "is no longer declared, and stays".to_owned());
        }
    }
    found
}

/// How two roles differ in what PostgreSQL keeps. Empty where they are alike.
pub fn compare(made: &Role, wanted: &Role, options: bool) -> Vec<String> {
    let mut found = Vec::new();
    if made.attributes != wanted.attributes {
        found.push(format!(
            "has the attributes [{}] instead of [{}]",
            words(made.attributes),
            words(wanted.attributes)
        ));
    }
    if wanted.connection_limit.is_some() && made.connection_limit != wanted.connection_limit {
        found.push("has another connection limit".to_owned());
    }
    if wanted.valid_until.is_some() && made.valid_until != wanted.valid_until {
        found.push("has another VALID UNTIL".to_owned());
    }
    if made.comment.as_deref().unwrap_or("") != wanted.comment.as_deref().unwrap_or("") {
        found.push("has another comment".to_owned());
    }
    if wanted.has_password == Some(false) && made.has_password == Some(true) {
        found.push("has a password, and should have none".to_owned());
    }
    if wanted.has_password == Some(true) && made.has_password == Some(false) {
        found.push("has no password, and should have one".to_owned());
    }
    let (held, due) = (memberships(&made.memberships, options), memberships(&wanted.memberships, options));
    for role in held.keys().filter(|role| !due.contains_key(*role)) {
        found.push(format!("is a member of {role:?}, and should not be"));
    }
    for (role, flags) in &due {
        match held.get(role) {
            None => found.push(format!("is not a member of {role:?}")),
            Some(other) if other != flags => found.push(format!("is a member of {role:?} with other options")),
            Some(_) => {}
        }
    }
    let (held, due) = (grants(&made.grants), grants(&wanted.grants));
    for (on, privileges) in &held {
        if due.get(on) != Some(privileges) {
            found.push(format!("holds other privileges than wished on {}", describe(*on)));
        }
    }
    for on in due.keys().filter(|on| !held.contains_key(*on)) {
        found.push(format!("does not hold its privileges on {}", describe(*on)));
    }
    // A server of another version may quote the names in a list otherwise than we do.
    let meant = |settings: &[Setting]| settings.iter().map(parameter::meaning).collect::<BTreeSet<_>>();
    if made.settings != wanted.settings && meant(&made.settings) != meant(&wanted.settings) {
        found.push("has other settings".to_owned());
    }
    found
}

/// How a database differs from what is declared of it, its schemas included. What is not declared may be anything.
pub fn compare_databases(made: &Database, wanted: &Database) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |differs: bool, what: String| found.extend(differs.then_some(what));
    let text = |comment: &Option<String>| comment.clone().unwrap_or_default();
    differ(wanted.owner.is_some() && made.owner != wanted.owner, "has another owner".to_owned());
    let limit = wanted.connection_limit;
    differ(limit.is_some() && made.connection_limit != limit, "has another connection limit".to_owned());
    differ(wanted.comment.is_some() && text(&made.comment) != text(&wanted.comment), "has another comment".to_owned());
    for schema in &wanted.schemas {
        let there = made.schemas.iter().find(|there| there.name == schema.name);
        differ(there.is_none(), format!("has no schema {:?}", schema.name));
        let is_other = there.is_some_and(|there| schema.owner.is_some() && there.owner != schema.owner);
        differ(is_other, format!("has a schema {:?} of another owner", schema.name));
    }
    found
}

/// The options that a member has on each role over all grantors: ADMIN, INHERIT, SET.
pub fn memberships(edges: &[Membership], options: bool) -> BTreeMap<&str, (bool, bool, bool)> {
    let mut effective: BTreeMap<&str, (bool, bool, bool)> = BTreeMap::new();
    for edge in edges {
        let flags = effective.entry(&edge.role).or_default();
        flags.0 |= edge.admin;
        flags.1 |= options && edge.inherit;
        flags.2 |= options && edge.set;
    }
    effective
}

type Held<'a> = BTreeMap<(Option<&'a str>, &'a Object), (Privileges, Privileges)>;

fn grants(grants: &[Grant]) -> Held<'_> {
    let mut effective: Held<'_> = BTreeMap::new();
    for grant in grants.iter().filter(|grant| !grant.privileges.is_empty()) {
        let held = effective.entry((grant.database.as_deref(), &grant.on)).or_default();
        held.0 |= grant.privileges;
        held.1 |= grant.grantable;
    }
    effective
}

fn describe((database, object): (Option<&str>, &Object)) -> String {
    let place = database.map(|database| format!(" in database {database:?}")).unwrap_or_default();
    format!("{}{place}", object.in_words())
}

fn words(attributes: Attributes) -> String {
    attributes.keywords().collect::<Vec<_>>().join(" ")
}
