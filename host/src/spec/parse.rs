//! From the text of users.yaml to the spec: the document as a whole, and what concerns several
//! users at once. All problems are collected, not just the first; one user is read in `user`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::databases::Databases;
use super::diagnostics::Diagnostic;
use super::grants::{Profiles, added_up};
use super::locations::{Document, Locations};
use super::modes::External;
use super::names::{list, nearest};
use super::scripts::Scripts;
use super::user::{Edge, List, User};
use super::yaml::{self, Entry, Kind, Node, Problem};
use crate::catalog::is_predefined;
use crate::model::{Attributes, Credential, Grant, Membership, Mode, Object, Privileges, Role, Spec};
use crate::secret::SecretRef;

/// More problems than anyone reads; the rest is counted.
const MAX_PROBLEMS: usize = 1_000;

const TOP_KEYS: [&str; 7] = ["users", "roles", "databases", "profiles", "mode", "external", "scripts"];

/// What a good users.yaml says.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Declared users and group roles, and the group roles that they name. Each credential is still `Missing`: the
    /// source knows better.
    pub spec: Spec,
    /// The users as they were written, by name.
    pub users: BTreeMap<String, DeclaredUser>,
    /// Scripts with their texts, which no policy sees.
    pub scripts: Scripts,
    /// Where everything stands.
    pub locations: Locations,
}

/// A user as written: in the order of the file, for those who show or record it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredUser {
    /// Its name.
    pub username: String,
    /// From `database` or `databases`, in the order of the file.
    pub databases: Vec<String>,
    /// In the order of the file.
    pub roles: Vec<String>,
    /// As written: null, or a list of text.
    pub privileges: Value,
    /// How much of it is spoken for.
    pub mode: Mode,
    /// Position in `users`, from 0.
    pub order: usize,
}

impl Parsed {
    /// Every place that a password is wanted from.
    pub fn secrets(&self) -> BTreeSet<SecretRef> {
        let credentials = self.spec.roles.values().filter_map(|role| role.credential.as_ref());
        credentials.map(|it| SecretRef { name: it.secret.clone(), key: it.key.clone() }).collect()
    }

    /// The users in the order of the file.
    pub fn in_order(&self) -> Vec<&DeclaredUser> {
        let mut users: Vec<&DeclaredUser> = self.users.values().collect();
        users.sort_by_key(|user| user.order);
        users
    }
}

/// Reads users.yaml.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file. Nothing of a document with an error
/// may be used: what is missing from it would be removed from the server.
pub fn parse(document: &Document) -> Result<Parsed, Vec<Diagnostic>> {
    let mut locations = Locations::new(document.clone());
    let mut stream = match yaml::read(&document.text) {
        Ok(stream) => stream,
        Err(problems) => {
            if may_hold_a_password(&document.text) {
                locations.hide_all();
            }
            return Err(explain(&locations, problems));
        }
    };
    let mut reader = Reader {
        problems: Vec::new(),
        hidden: std::mem::take(&mut stream.comments),
        known_profiles: Profiles::default(),
        databases: Databases::default(),
        mode: Mode::default(),
        external: External::new(),
        scripts: Scripts::new(),
    };
    let declared = reader.document(&stream.documents);
    reader.across(&declared);

    locations.hide(std::mem::take(&mut reader.hidden));
    if !reader.problems.is_empty() {
        return Err(explain(&locations, reader.problems));
    }
    let scripts = std::mem::take(&mut reader.scripts);
    let spec = spec(&declared, reader);
    let users = declared.into_iter().filter(|it| it.list == List::Users);
    let users = users.map(|user| (user.name.clone(), user.declared())).collect();
    drop(stream);
    Ok(Parsed { spec, users, scripts, locations })
}

/// A text that is not YAML cannot be shown in part: nobody knows where a value ends.
fn may_hold_a_password(text: &str) -> bool {
    let text = text.to_lowercase().replace("password: none", "");
    ["pass", "pwd", "secret", "token", "credential", "#"].iter().any(|word| text.contains(word))
}

fn explain(locations: &Locations, mut problems: Vec<Problem>) -> Vec<Diagnostic> {
    problems.sort_by(|a, b| (a.start, a.code, &a.message).cmp(&(b.start, b.code, &b.message)));
    let rest = problems.len().saturating_sub(MAX_PROBLEMS);
    if rest > 0 {
        problems.truncate(MAX_PROBLEMS);
        if let Some(last) = problems.last().cloned() {
            let message = format!("{rest} further problems are not shown");
            problems.push(Problem::new(last.start..last.end, "too-many-problems", String::new(), message));
        }
    }
    problems.into_iter().map(|problem| locations.explain(problem)).collect()
}

/// Collects problems, and what must not be shown, while the tree is read.
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    pub(super) hidden: Vec<Range<usize>>,
    pub(super) known_profiles: Profiles,
    pub(super) databases: Databases,
    pub(super) mode: Mode,
    pub(super) external: External,
    pub(super) scripts: Scripts,
}

impl Reader {
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn document<'a>(&mut self, documents: &'a [Node]) -> Vec<User<'a>> {
        const NEVER: &str = "an empty spec is never read as \"delete everyone\"; write `users: []` if you mean that";
        let [top, others @ ..] = documents else {
            self.report(Problem::new(0..0, "empty-spec", String::new(), "users.yaml is empty").help(NEVER));
            return Vec::new();
        };
        if let Some(second) = others.first() {
            let message = "users.yaml holds more than one YAML document";
            let problem = Problem::new(second.range(), "several-documents", String::new(), message);
            self.report(problem.help("put all users into one list, and remove the `---` between"));
            return Vec::new();
        }
        let entries = match &top.kind {
            Kind::Mapping(entries) => entries,
            Kind::Null => {
                self.report(Problem::new(top.range(), "empty-spec", String::new(), "users.yaml is empty").help(NEVER));
                return Vec::new();
            }
            _ => {
                // It is anyone's guess what a text in place of the document holds.
                self.hidden.push(top.range());
                self.wrong_type(top, "", "users.yaml", "a mapping with the key `users`");
                return Vec::new();
            }
        };
        self.unknown_keys(entries, "", "users.yaml", &TOP_KEYS);
        let Some(users) = top.get("users") else {
            let problem = Problem::new(top.start..top.start, "missing-users", String::new(), "there is no key `users`");
            self.report(problem.help(NEVER));
            return Vec::new();
        };
        if let Some(mode) = top.get("mode") {
            // What is wrong with it is reported; then the default does for the rest of the reading.
            self.mode = self.mode_word(mode, "/mode", "users.yaml").unwrap_or_default();
        }
        if let Some(external) = top.get("external") {
            self.external = self.external_roles(external);
        }
        if let Some(profiles) = top.get("profiles") {
            self.known_profiles = self.profiles(profiles);
        }
        if let Some(databases) = top.get("databases") {
            self.databases = self.declared_databases(databases);
        }
        if let Some(scripts) = top.get("scripts") {
            self.scripts = self.declared_scripts(scripts);
        }
        let mut declared: Vec<User<'a>> = match &users.kind {
            Kind::Sequence(items) => self.entries(items, List::Users),
            Kind::Null => {
                let problem = Problem::new(users.range(), "empty-spec", "/users".to_owned(), "`users` is null");
                self.report(problem.help(NEVER));
                Vec::new()
            }
            _ => {
                self.hidden.push(users.range());
                self.wrong_type(users, "/users", "`users`", "a list of users");
                Vec::new()
            }
        };
        match top.get("roles").map(|roles| (roles, &roles.kind)) {
            None => {}
            Some((_, Kind::Sequence(items))) => declared.extend(self.entries(items, List::Roles)),
            Some((roles, _)) => {
                self.hidden.push(roles.range());
                self.wrong_type(roles, "/roles", "`roles`", "a list of group roles, or left out");
            }
        }
        declared
    }

    fn entries<'a>(&mut self, items: &'a [Node], list: List) -> Vec<User<'a>> {
        let mut users = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let Some(user) = self.user(item, list, index) else { continue };
            let second = self.second_login(&user, item);
            users.push(user);
            users.extend(second);
        }
        users
    }

    /// What no user can know alone: names and Secrets taken twice, and circles of memberships.
    fn across(&mut self, users: &[User<'_>]) {
        let mut names: BTreeMap<&str, &User<'_>> = BTreeMap::new();
        let mut secrets: BTreeMap<&SecretRef, &User<'_>> = BTreeMap::new();
        for user in users {
            if let Some(first) = names.get(user.name.as_str()) {
                let message = match (first.list, user.list) {
                    (List::Users, List::Roles) => format!("{:?} is declared as a user already", user.name),
                    _ => format!("{} is declared twice", user.who()),
                };
                let path = user.path(&format!("/{}", user.list.words().1));
                let code = if user.list == List::Users { "duplicate-user" } else { "duplicate-role" };
                let problem = Problem::new(user.name_at.clone(), code, path, message);
                self.report(problem.help("keep one of them").first(first.name_at.start));
                continue;
            }
            self.not_external(user);
            names.insert(&user.name, user);
            let Some(secret) = &user.secret else { continue };
            if let Some(first) = secrets.get(&secret.reference) {
                let message = format!(
                    "users {:?} and {:?} would share one password: key {:?} of Secret {:?}",
                    first.name, user.name, secret.reference.key, secret.reference.name
                );
                let first_at = first.secret.as_ref().map_or(first.name_at.start, |secret| secret.at.start);
                let problem = Problem::new(secret.at.clone(), "shared-secret", user.path("/secret"), message);
                self.report(problem.help("give each user its own `secret: {name, key}`").first(first_at));
                continue;
            }
            secrets.insert(&secret.reference, user);
        }
        self.generated_secrets(users);
        self.second_logins(users);
        self.renames(users, &names);
        self.circles(&names);
    }

    /// A role is renamed from one name, and nobody else goes by it: who then is who would be a guess.
    fn renames(&mut self, users: &[User<'_>], names: &BTreeMap<&str, &User<'_>>) {
        let mut olds: BTreeMap<&str, (&User<'_>, usize)> = BTreeMap::new();
        for user in users {
            let Some((old, at)) = &user.renamed_from else { continue };
            let path = user.path("/renamed_from");
            if let Some((first, first_at)) = olds.get(old.as_str()) {
                let message = format!("{} and {} are both renamed from {old:?}", first.who(), user.who());
                let problem = Problem::new(at.clone(), "renamed-twice", path, message);
                self.report(problem.help("one role gets one name: keep one of them").first(*first_at));
                continue;
            }
            olds.insert(old, (user, at.start));
            if self.external.contains_key(old.as_str()) {
                let message = format!("{} is renamed from {old:?}, which is external", user.who());
                let problem = Problem::new(at.clone(), "renamed-from-external", path.clone(), message);
                self.report(problem.help("what is external is nobody's to change: take it out of one of the two"));
            }
            if let Some(other) = names.get(old.as_str()) {
                let message = format!("{} is renamed from {old:?}, which is declared itself", user.who());
                let help = "take that entry out; where names are swapped or passed on, rename to a name that is free \
                            first, and go on from there when that is done";
                let problem = Problem::new(at.clone(), "renamed-from-declared", path, message).help(help);
                self.report(problem.first(other.name_at.start));
            }
        }
        if olds.is_empty() {
            return;
        }
        for user in users {
            for edge in &user.roles {
                let Some((renamed, _)) = olds.get(edge.role.as_str()) else { continue };
                if names.contains_key(edge.role.as_str()) {
                    continue;
                }
                let message =
                    format!("{} is a member of {:?}, which is renamed to {:?}", user.who(), edge.role, renamed.name);
                let path = user.path(&format!("/roles/{}", edge.index));
                let problem = Problem::new(edge.at.clone(), "renamed-from-named", path, message);
                self.report(problem.help(format!("write {:?} here", renamed.name)));
            }
        }
    }

    /// PostgreSQL refuses memberships that lead back to where they began. A role that is only named has
    /// none, so only what is declared can form a circle. Iterative: a chain can be long.
    fn circles(&mut self, users: &BTreeMap<&str, &User<'_>>) {
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for start in users.keys() {
            let mut trail: Vec<(&str, usize)> = vec![(start, 0)];
            let mut on_trail: BTreeSet<&str> = BTreeSet::from([*start]);
            while let Some((name, next)) = trail.last_mut() {
                let user = users.get(name).filter(|_| !done.contains(name));
                let Some(edge) = user.and_then(|user| user.roles.get(*next)) else {
                    done.insert(name);
                    on_trail.remove(name);
                    trail.pop();
                    continue;
                };
                *next += 1;
                let (member, role) = (*name, edge.role.as_str());
                if role == member {
                    // Already reported with the user itself.
                } else if on_trail.contains(role) {
                    let message =
                        format!("{member:?} is a member of {role:?}, which is in turn a member of {member:?}");
                    if let Some(user) = users.get(member) {
                        let path = user.path(&format!("/roles/{}", edge.index));
                        let help = "PostgreSQL allows no circle of memberships; break it at one place";
                        self.report(Problem::new(edge.at.clone(), "membership-circle", path, message).help(help));
                    }
                } else if users.contains_key(role) && !done.contains(role) {
                    on_trail.insert(role);
                    trail.push((role, 0));
                }
            }
        }
    }

    pub(super) fn unknown_keys(&mut self, entries: &[Entry], path: &str, of: &str, known: &[&str]) {
        for Entry { key, value } in entries.iter().filter(|entry| !known.contains(&entry.key.text.as_str())) {
            // It may be a misspelt `password`.
            self.hidden.push(value.range());
            let help = match nearest(&key.text, known) {
                Some(meant) => format!("did you mean `{meant}`? The known keys are {}", list(known)),
                None if known.len() == 1 => format!("the only known key is {}", list(known)),
                None => format!("the known keys are {}", list(known)),
            };
            let path = format!("{path}/{}", yaml::escape(&key.text));
            let message = format!("{of} has an unknown key {:?}", key.text);
            self.report(Problem::new(key.start..key.end, "unknown-key", path, message).help(help));
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, but is {}", node.what());
        self.report(Problem::new(node.range(), "wrong-type", path.to_owned(), message));
    }
}

/// The spec of what has been found good.
fn spec(declared: &[User<'_>], reader: Reader) -> Spec {
    let Reader { databases, mode, external, .. } = reader;
    let external: BTreeSet<String> = external.into_keys().collect();
    let mut spec = Spec {
        databases: databases.declared,
        public: databases.public,
        row_security: databases.row_security,
        mode,
        external,
        ..Spec::default()
    };
    for user in declared {
        spec.roles.insert(user.name.clone(), role(user));
        if user.settings.is_some() {
            spec.exact_settings.insert(user.name.clone());
        }
        if let Some((old, _)) = &user.renamed_from {
            spec.renamed_from.insert(user.name.clone(), old.clone());
        }
        if user.disabled {
            spec.disabled.insert(user.name.clone());
        }
        if let Some(generate) = &user.generate {
            spec.generated.insert(user.name.clone(), generate.clone());
        }
    }
    // Whoever is only observed has nothing made for it.
    let edges = declared.iter().flat_map(|user| {
        let path = |edge: &Edge| user.path(&format!("/roles/{}", edge.index));
        user.roles.iter().map(move |edge| (edge.role.clone(), path(edge), user.mode))
    });
    let owners = databases.owners.into_iter().map(|(owner, path)| (owner, path, mode));
    for (name, path, mode) in edges.chain(owners) {
        // Predefined roles are PostgreSQL's own: one can be a member of them, no more.
        if is_predefined(&name) || spec.external.contains(&name) || spec.roles.contains_key(&name) {
            continue;
        }
        if mode == Mode::Observe {
            spec.spared.insert(name);
        } else {
            spec.roles.insert(name.clone(), named(&name, path));
        }
    }
    let roles = &spec.roles;
    spec.spared.retain(|name| !roles.contains_key(name));
    spec
}

/// A role that others name and nobody declares.
fn named(name: &str, path: String) -> Role {
    Role { path, ..Role::new(name, Mode::Present, Attributes::GROUP) }
}

fn role(user: &User<'_>) -> Role {
    let usual = if user.list == List::Users { Attributes::USER } else { Attributes::GROUP };
    let mut attributes = (usual | user.attributes.on) - user.attributes.off;
    if user.disabled {
        attributes -= Attributes::LOGIN;
    }
    let mut role = Role::new(&user.name, user.mode, attributes);
    role.connection_limit = user.attributes.connection_limit;
    role.valid_until = user.attributes.valid_until;
    role.comment.clone_from(&user.attributes.comment);
    role.labels.clone_from(&user.attributes.labels);
    role.memberships = user.roles.iter().map(|edge| membership(edge, attributes)).collect();
    role.memberships.sort();
    role.settings = user.settings.clone().unwrap_or_default();
    let databases = user.databases.iter().map(|name| grant(name, user.privileges));
    role.grants = added_up(databases.chain(user.grants.iter().cloned()));
    // Of a role that cannot log in nobody says whether it has a password, and it does not matter.
    // Nor of a second login, before it is known which of the two the Secret names.
    let is_told = user.list == List::Users && user.second_of.is_none();
    role.has_password = is_told.then_some(user.secret.is_some());
    role.credential =
        user.secret.as_ref().map(|secret| Credential::new(secret.reference.name.clone(), secret.reference.key.clone()));
    role.path = user.path("");
    role
}

fn membership(edge: &Edge, member: Attributes) -> Membership {
    let inherit = edge.inherit.unwrap_or(member.contains(Attributes::INHERIT));
    Membership { admin: edge.admin, inherit, set: edge.set, until: edge.until, ..Membership::plain(&edge.role) }
}

fn grant(database: &str, privileges: Privileges) -> Grant {
    let on = Object::Database(database.to_owned());
    Grant { database: None, on, privileges: Privileges::CONNECT | privileges, grantable: Privileges::empty() }
}
