//! From what a server holds to the users.yaml that declares it: the way back from `spec` and `resolve`. Pure: who reads
//! the server, and where the text goes, is the business of `cli`.
//!
//! ```text
//! catalog ──┬─► access (the server) ───────────────────┐
//!           ├─► inside (what is held) ──► profiles ────┼─► entries ──► text
//!           └─► databases (whose they are) ────────────┘
//!                        └─► notes: what users.yaml cannot say
//! ```
//!
//! The first plan of what is written here has nothing to do. So where users.yaml cannot say all that a role holds, it
//! says less rather than something else: what is silence to a plan (settings, and grants in a database) is left out of
//! the entry; for anything else the role itself is not declared, and stays as it is.

mod access;
mod databases;
#[cfg(test)]
mod databases_tests;
mod everybody;
mod inside;
mod on_databases;
mod profiles;
#[cfg(test)]
mod profiles_tests;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;

use crate::catalog::{Catalog, is_predefined};
use crate::model::{Role, Standing};
use crate::printable;
use crate::secret::SecretRef;
use crate::spec::secret_name_problem;

pub use databases::Unusual;
use inside::{Account, Signatures};
use profiles::Profiles;

/// Where a password is looked for if nothing else is said.
const SECRET_KEY: &str = "password";

/// What was found, in the words of users.yaml.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// Roles that log in, and the others; each in the order of their names.
    users: Vec<Entry>,
    roles: Vec<Entry>,
    databases: databases::Section,
    profiles: Vec<(String, Value)>,
    /// Owners that are not declared.
    external: Vec<String>,
    /// Roles that are left out, but PostgreSQL's own.
    protected: Vec<String>,
    /// Roles of whom nobody can see whether they have a password.
    unseen: usize,
}

/// A role or a database.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    /// What is declared of it; `None`: it is not.
    keys: Option<Vec<Key>>,
    notes: Vec<Note>,
    /// Where its password has to be.
    secret: Option<SecretRef>,
}

/// A key with its value.
type Key = (&'static str, Value);

/// What a key can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// A name, or another text.
    Text(String),
    /// A number or a boolean.
    Plain(String),
    List(Vec<Value>),
    /// A list with a line for each item.
    Lines(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    fn flag(flag: bool) -> Value {
        Value::Plain(flag.to_string())
    }

    fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
        Value::List(texts.into_iter().map(Value::text).collect())
    }
}

/// Something that users.yaml cannot say, and that therefore stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    /// `role "team"`, `settings of user "alice"`.
    what: String,
    /// Why, and what to do.
    why: String,
}

impl Note {
    /// On one line, safe to show.
    fn in_words(&self) -> String {
        printable::line(&format!("not imported: {}: {}", self.what, self.why)).into_owned()
    }
}

/// A Secret that has to be there before its user is managed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Whose password.
    pub user: &'a str,
    /// Where it has to be.
    pub secret: &'a SecretRef,
}

/// Writes down every role that is not protected: those that log in as users, the others as group roles; and of the
/// databases in `catalog.objects` also what they hold inside. The catalog's standings have been assigned.
///
/// Databases, too, if it is known which of them are `unusual`; with the schemas of those in `catalog.objects`.
pub fn import(catalog: &Catalog, unusual: Option<&Unusual>) -> Imported {
    imported(catalog, unusual, Profiles::of)
}

fn imported<'c>(
    catalog: &'c Catalog,
    unusual: Option<&Unusual>,
    profiles: fn(Vec<&profiles::Shape>) -> Profiles,
) -> Imported {
    let mut imported = Imported::default();
    let (protected, roles): (Vec<&Role>, Vec<&Role>) =
        catalog.roles.values().partition(|role| role.standing == Standing::Protected);
    imported.protected =
        protected.iter().filter(|role| !is_predefined(&role.name)).map(|role| role.name.clone()).collect();
    // First what everybody holds, since shapes get names when they are known.
    let signatures = inside::signatures(catalog);
    let accounts: Vec<Found<'c>> = roles.iter().map(|role| Found::of(role, catalog, &signatures)).collect();
    let shapes = accounts.iter().filter_map(|found| found.account.as_ref()).flat_map(Account::shapes);
    let profiles = profiles(shapes.collect());
    let mut taken: BTreeSet<String> = roles.iter().filter_map(|role| default_secret(&role.name)).collect();
    for (role, found) in roles.into_iter().zip(accounts) {
        let has_password = role.is_user() && role.has_password != Some(false);
        imported.unseen += usize::from(role.is_user() && role.has_password.is_none());
        let secret = has_password.then(|| secret_of(role, catalog, &mut taken));
        let entry = entry(role, catalog, secret, found, &profiles);
        if role.is_user() { imported.users.push(entry) } else { imported.roles.push(entry) }
    }
    imported.profiles = profiles.entries();
    if let Some(unusual) = unusual {
        imported.databases = databases::section(catalog, unusual);
        let declared: BTreeSet<&String> =
            imported.of_roles().filter(|entry| entry.keys.is_some()).map(|entry| &entry.name).collect();
        let external = imported.databases.owners.iter().filter(|owner| !declared.contains(owner));
        imported.external = external.cloned().collect();
    }
    imported
}

/// What there is to say of a role, before shapes have names.
struct Found<'a> {
    /// `None`: it cannot be declared.
    account: Option<Account<'a>>,
    notes: Vec<Note>,
}

impl<'a> Found<'a> {
    fn of(role: &Role, catalog: &'a Catalog, signatures: &Signatures<'_>) -> Found<'a> {
        let reasons = access::unsayable(role, catalog);
        if !reasons.is_empty() {
            let notes = reasons.into_iter().map(|why| Note { what: who(role), why }).collect();
            return Found { account: None, notes };
        }
        let mut notes = Vec::new();
        Found { account: Some(inside::account(role, catalog, signatures, &mut notes)), notes }
    }
}

fn entry(role: &Role, catalog: &Catalog, secret: Option<SecretRef>, found: Found<'_>, profiles: &Profiles) -> Entry {
    let name = role.name.clone();
    let Found { account, mut notes } = found;
    let Some(account) = account else { return Entry { name, keys: None, notes, secret: None } };
    let mut keys = access::keys(role, catalog);
    let mut grants = on_databases::grants(role);
    grants.extend(account.entries(profiles));
    match inside::shared(role, catalog) {
        Some(shared) => grants.extend(shared),
        None => notes.push(Note {
            what: format!("privileges of {} on parameters and tablespaces", who(role)),
            why: "one of the parameters has a name that cannot be declared; revoke that privilege".to_owned(),
        }),
    }
    if !grants.is_empty() {
        keys.push(("grants", Value::Lines(grants)));
    }
    match &secret {
        Some(secret) if default_secret(&role.name).as_ref() != Some(&secret.name) => {
            let pair = |key: &str, value: &str| (key.to_owned(), Value::text(value));
            keys.push(("secret", Value::Map(vec![pair("name", &secret.name), pair("key", &secret.key)])));
        }
        Some(_) => {}
        None if role.is_user() => keys.push(("password", Value::text("none"))),
        None => {}
    }
    keys.extend(access::attributes(role));
    keys.extend(access::settings(role, &mut notes));
    Entry { name, keys: Some(keys), notes, secret }
}

/// `user "alice"`.
fn who(role: &Role) -> String {
    format!("{} {:?}", if role.is_user() { "user" } else { "role" }, role.name)
}

fn default_secret(user: &str) -> Option<String> {
    Some(format!("user-{user}-secret")).filter(|name| secret_name_problem(name).is_none())
}

/// The usual Secret; for a name that Kubernetes would refuse, one by the role's number, which nobody else has.
fn secret_of(role: &Role, catalog: &Catalog, taken: &mut BTreeSet<String>) -> SecretRef {
    let name = default_secret(&role.name).unwrap_or_else(|| {
        let oid = catalog.oids.get(&role.name).copied().unwrap_or_default();
        let mut name = format!("user-{oid}-secret");
        // There may be a user that is called like the number of another.
        let mut attempt = 1;
        while !taken.insert(name.clone()) {
            attempt += 1;
            name = format!("user-{oid}-secret-{attempt}");
        }
        name
    });
    SecretRef { name, key: SECRET_KEY.to_owned() }
}

impl Imported {
    /// The users.yaml.
    pub fn users_yaml(&self) -> String {
        text::users_yaml(self)
    }

    /// The same in a ConfigMap.
    pub fn configmap(&self, name: &str, namespace: Option<&str>) -> String {
        text::configmap(&self.users_yaml(), name, namespace)
    }

    fn of_roles(&self) -> impl Iterator<Item = &Entry> {
        self.users.iter().chain(&self.roles)
    }

    /// What users.yaml cannot say, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let entries = self.of_roles().chain(&self.databases.entries);
        entries.flat_map(|entry| &entry.notes).map(Note::in_words).collect()
    }

    /// The Secrets that have to be created.
    pub fn secrets(&self) -> Vec<Wanted<'_>> {
        let users = self.users.iter();
        users.filter_map(|entry| Some(Wanted { user: &entry.name, secret: entry.secret.as_ref()? })).collect()
    }

    /// How many users are taken to have a password, since nobody could see whether they have.
    pub fn unseen_passwords(&self) -> usize {
        self.unseen
    }

    /// How many users, group roles and databases are declared.
    pub fn counts(&self) -> [usize; 3] {
        [&self.users, &self.roles, &self.databases.entries]
            .map(|entries| entries.iter().filter(|entry| entry.keys.is_some()).count())
    }
}
