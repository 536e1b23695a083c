//! From what a server holds to the users.yaml that declares it: the way back from `spec` and `resolve`. Pure: who reads
//! the server, and where the text goes, is the business of `cli`.
//!
//! ```text
//! catalog ──┬─► access (the server) ─────┐
//!           └─► inside (its databases) ──┴─► entries ──► text
//!                        └─► notes: what users.yaml cannot say
//! ```
//!
//! The first plan of what is written here has nothing to do. So where users.yaml cannot say all that a role holds, it
//! says less rather than something else: what is silence to a plan (settings, and grants in a database) is left out of
//! the entry; for anything else the role itself is not declared, and stays as it is.

mod access;
mod inside;
mod on_databases;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::catalog::Catalog;
use crate::model::{Role, Standing};
use crate::printable;
use crate::secret::SecretRef;
use crate::spec::secret_name_problem;

/// Where a password is looked for if nothing else is said.
const SECRET_KEY: &str = "password";

/// What was found, in the words of users.yaml.
#[derive(Debug, Clone)]
pub struct Imported {
    /// In the order of their names.
    entries: Vec<Entry>,
    /// Roles of whom nobody can see whether they have a password.
    unseen: usize,
}

/// One role.
#[derive(Debug, Clone)]
struct Entry {
    name: String,
    is_user: bool,
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
pub fn import(catalog: &Catalog) -> Imported {
    let roles: Vec<&Role> = catalog.roles.values().filter(|role| role.standing != Standing::Protected).collect();
    let mut taken: BTreeSet<String> = roles.iter().filter_map(|role| default_secret(&role.name)).collect();
    let mut unseen = 0;
    let mut entries = Vec::with_capacity(roles.len());
    for role in roles {
        let has_password = role.is_user() && role.has_password != Some(false);
        unseen += usize::from(role.is_user() && role.has_password.is_none());
        let secret = has_password.then(|| secret_of(role, catalog, &mut taken));
        entries.push(entry(role, catalog, secret));
    }
    Imported { entries, unseen }
}

fn entry(role: &Role, catalog: &Catalog, secret: Option<SecretRef>) -> Entry {
    let who = who(role);
    let reasons = access::unsayable(role, catalog);
    let (name, is_user) = (role.name.clone(), role.is_user());
    if !reasons.is_empty() {
        let notes = reasons.into_iter().map(|why| Note { what: who.clone(), why }).collect();
        return Entry { name, is_user, keys: None, notes, secret: None };
    }
    let mut notes = Vec::new();
    let mut keys = access::keys(role, catalog);
    let mut grants = on_databases::grants(role);
    grants.extend(inside::grants(role, catalog, &mut notes));
    match inside::shared(role, catalog) {
        Some(shared) => grants.extend(shared),
        None => notes.push(Note {
            what: format!("privileges of {who} on parameters and tablespaces"),
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
        None if is_user => keys.push(("password", Value::text("none"))),
        None => {}
    }
    keys.extend(access::attributes(role));
    keys.extend(access::settings(role, &mut notes));
    Entry { name, is_user, keys: Some(keys), notes, secret }
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
        text::users_yaml(&self.entries)
    }

    /// The same in a ConfigMap.
    pub fn configmap(&self, name: &str, namespace: Option<&str>) -> String {
        text::configmap(&self.users_yaml(), name, namespace)
    }

    /// What users.yaml cannot say, one line each.
    pub fn warnings(&self) -> Vec<String> {
        self.entries.iter().flat_map(|entry| &entry.notes).map(Note::in_words).collect()
    }

    /// The Secrets that have to be created.
    pub fn secrets(&self) -> Vec<Wanted<'_>> {
        let entries = self.entries.iter();
        entries.filter_map(|entry| Some(Wanted { user: &entry.name, secret: entry.secret.as_ref()? })).collect()
    }

    /// How many users are taken to have a password, since nobody could see whether they have.
    pub fn unseen_passwords(&self) -> usize {
        self.unseen
    }

    /// How many users and group roles are declared.
    pub fn counts(&self) -> (usize, usize) {
        let declared = self.entries.iter().filter(|entry| entry.keys.is_some());
        let (users, roles): (Vec<&Entry>, Vec<&Entry>) = declared.partition(|entry| entry.is_user);
        (users.len(), roles.len())
    }
}
