//! One entry of `users` or of `roles`: its keys, their types, and the names in it. What concerns
//! several of them at once is judged in `parse`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::attributes::{Attributes, FLAGS};
use super::generate::SECOND_LOGIN;
use super::names::{is_reserved, list, name_problem, secret_key_problem, secret_name_problem};
use super::parse::{DeclaredUser, Reader};
use super::yaml::{Kind, Node, Problem};
use crate::catalog::is_predefined;
use crate::generated::Generate;
use crate::model::{Grant, Mode, Privileges, Setting};
use crate::secret::SecretRef;

/// What a user and a group role have in common, but for [`FLAGS`].
const ACCESS_KEYS: [&str; 9] =
    ["renamed_from", "database", "databases", "roles", "privileges", "grants", "settings", "database_settings", "mode"];
const USER_KEYS: [&str; 8] =
    ["disabled", "secret", "password", "generate", "labels", "valid_until", "connection_limit", "comment"];
/// A role that cannot log in has no password, and so nothing that ends with one.
const ROLE_KEYS: [&str; 2] = ["labels", "comment"];
const MEMBERSHIP_KEYS: [&str; 5] = ["role", "admin", "inherit", "set", "until"];
const SECRET_KEYS: [&str; 2] = ["name", "key"];
/// What a privilege on a database may be called.
pub(super) const PRIVILEGES: [(&str, Privileges); 4] = [
    ("CONNECT", Privileges::CONNECT),
    ("CREATE", Privileges::CREATE),
    ("TEMPORARY", Privileges::TEMPORARY),
    ("TEMP", Privileges::TEMPORARY),
];

/// Which list of users.yaml something is declared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Who may log in.
    Users,
    /// Who may not: group roles.
    Roles,
}

impl List {
    pub(super) fn key(self) -> &'static str {
        match self {
            List::Users => "users",
            List::Roles => "roles",
        }
    }

    pub(super) fn keys(self) -> Vec<&'static str> {
        let own: &[&str] = if self == List::Users { &USER_KEYS } else { &ROLE_KEYS };
        [&[self.words().1], &ACCESS_KEYS[..], own, &FLAGS.map(|(key, _)| key)].concat()
    }

    /// What an entry is called, and the key with its name.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            List::Users => ("user", "username"),
            List::Roles => ("role", "name"),
        }
    }
}

/// A membership as written.
pub(super) struct Edge {
    pub(super) role: String,
    /// Its index in the file.
    pub(super) index: usize,
    pub(super) at: Range<usize>,
    pub(super) admin: bool,
    /// As the member's INHERIT has it, if nothing is said.
    pub(super) inherit: Option<bool>,
    pub(super) set: bool,
    /// Unix seconds at which it ends.
    pub(super) until: Option<i64>,
}

/// A user or a group role as read; good if no problem was reported.
pub(super) struct User<'a> {
    pub(super) list: List,
    pub(super) index: usize,
    /// Of which user it is the second login, if it is one: then it stands in that one's entry.
    pub(super) second_of: Option<String>,
    pub(super) name: String,
    pub(super) name_at: Range<usize>,
    /// What it was called before.
    pub(super) renamed_from: Option<(String, Range<usize>)>,
    /// Whether it must not log in for now.
    pub(super) disabled: bool,
    pub(super) databases: Vec<String>,
    pub(super) roles: Vec<Edge>,
    /// Beyond CONNECT, on each database.
    pub(super) privileges: Privileges,
    pub(super) written_privileges: Option<&'a Node>,
    /// Inside of databases.
    pub(super) grants: Vec<Grant>,
    /// `None`: `password: none`.
    pub(super) secret: Option<SecretAt>,
    /// Whether, and how, its password is made.
    pub(super) generate: Option<Generate>,
    pub(super) attributes: Attributes,
    /// `None`: nothing is said of them.
    pub(super) settings: Option<Vec<Setting>>,
    /// The file's, if it has none of its own.
    pub(super) mode: Mode,
}

/// Where a user's password comes from, and where that is said.
pub(super) struct SecretAt {
    pub(super) reference: SecretRef,
    pub(super) at: Range<usize>,
}

impl User<'_> {
    /// JSON pointer to the entry, or to something in it.
    pub(super) fn path(&self, rest: &str) -> String {
        let rest = if self.second_of.is_some() { SECOND_LOGIN } else { rest };
        format!("/{}/{}{rest}", self.list.key(), self.index)
    }

    /// `user "alice"`.
    pub(super) fn who(&self) -> String {
        format!("{} {:?}", self.list.words().0, self.name)
    }

    pub(super) fn declared(self) -> DeclaredUser {
        DeclaredUser {
            username: self.name,
            databases: self.databases,
            roles: self.roles.into_iter().map(|edge| edge.role).collect(),
            privileges: self.written_privileges.map_or(Value::Null, |node| match &node.kind {
                Kind::Sequence(items) => items.iter().filter_map(Node::text).map(Value::from).collect(),
                _ => Value::Null,
            }),
            mode: self.mode,
            order: self.index,
        }
    }
}

/// A name in a list, with its place.
struct Named {
    name: String,
    index: usize,
    at: Range<usize>,
}

impl Reader {
    /// Reads one entry of a list. Without a usable name there is none; everything else that is wrong
    /// is reported and left out.
    pub(super) fn user<'a>(&mut self, node: &'a Node, list: List, index: usize) -> Option<User<'a>> {
        let path = format!("/{}/{index}", list.key());
        let (word, name_key) = list.words();
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(node, &path, &format!("a {word}"), &format!("a mapping with the key `{name_key}`"));
            return None;
        };
        let name = self.own_name(node, list, &path);
        let who = name.as_ref().map_or_else(|| format!("this {word}"), |(name, _)| format!("{word} {name:?}"));
        self.unknown_keys(entries, &path, &who, &list.keys());

        let renamed_from = self.renamed_from(node, &path, &who, name.as_ref().map(|(name, _)| name.as_str()));
        // What a role has no key for is refused above.
        let disabled = list == List::Users && self.flag(node, "disabled", &path, &who).unwrap_or(false);
        let databases = self.databases(node, &path, &who);
        let roles = self.roles(node, &path, &who, name.as_ref().map(|(name, _)| name.as_str()));
        let privileges = self.privileges(node, &path, &who, databases.is_empty());
        let grants = self.grants(node, &path, &who);
        let attributes = self.attributes(node, &path, &who);
        let settings = self.settings(node, &path, &who);
        let mode = node.get("mode").and_then(|node| self.mode_word(node, &format!("{path}/mode"), &who));
        // What a role has no key for is refused, and hidden like all that may be a password.
        let secret = if list == List::Users { self.credential(node, &path, &who, name.as_ref()) } else { None };
        let mut generate = if list == List::Users { self.generate(node, &path, &who, secret.as_ref()) } else { None };
        let (name, name_at) = name?;
        if let Some(generate) = &mut generate {
            generate.database = databases.first().map(|database| database.name.clone());
        }
        Some(User {
            list,
            index,
            second_of: None,
            name,
            name_at,
            renamed_from,
            disabled,
            databases: databases.into_iter().map(|database| database.name).collect(),
            roles,
            privileges,
            written_privileges: node.get("privileges"),
            grants,
            secret,
            generate,
            attributes,
            settings,
            mode: mode.unwrap_or(self.mode),
        })
    }

    fn own_name(&mut self, entry: &Node, list: List, path: &str) -> Option<(String, Range<usize>)> {
        let (word, key) = list.words();
        let Some(node) = entry.get(key) else {
            let at = entry.start..entry.start;
            self.report(Problem::new(at, "missing-key", path.to_owned(), format!("a {word} without `{key}`")));
            return None;
        };
        let path = format!("{path}/{key}");
        let name = self.name(node, &path, if list == List::Users { key } else { "role name" })?;
        if is_predefined(&name) || is_reserved(&name) {
            let message = format!("no {word} can be called {name:?}: PostgreSQL keeps this name to itself");
            let help = "names that begin with `pg_`, `public` and `none` are reserved";
            self.report(Problem::new(node.range(), "reserved-name", path, message).help(help));
        }
        Some((name, node.range()))
    }

    /// What it was called before it had the name that it is declared with.
    fn renamed_from(
        &mut self,
        entry: &Node,
        path: &str,
        who: &str,
        own_name: Option<&str>,
    ) -> Option<(String, Range<usize>)> {
        let node = entry.get("renamed_from")?;
        let path = format!("{path}/renamed_from");
        let name = self.name(node, &path, "role name")?;
        let problem = if is_predefined(&name) || is_reserved(&name) {
            let message = format!("{who} cannot have been {name:?}: PostgreSQL keeps this name to itself");
            Some(("reserved-name", message, "names that begin with `pg_`, `public` and `none` are reserved"))
        } else if Some(name.as_str()) == own_name {
            let message = format!("{who} is renamed to the name that it has");
            Some(("renamed-to-itself", message, "leave `renamed_from` out, or write the name from before"))
        } else {
            None
        };
        if let Some((code, message, help)) = problem {
            self.report(Problem::new(node.range(), code, path, message).help(help));
            return None;
        }
        Some((name, node.range()))
    }

    /// A name of a role or database.
    pub(super) fn name(&mut self, node: &Node, path: &str, what: &str) -> Option<String> {
        let name = self.words(node, path, what)?;
        if let Some((code, message)) = name_problem(name) {
            self.report(Problem::new(node.range(), code, path.to_owned(), format!("{what} {message}")));
            return None;
        }
        Some(name.to_owned())
    }

    /// Text, and not something that YAML reads as a number, a boolean or null.
    pub(super) fn words<'a>(&mut self, node: &'a Node, path: &str, what: &str) -> Option<&'a str> {
        match &node.kind {
            Kind::Text(text) => Some(text),
            Kind::Number(_) | Kind::Bool(_) | Kind::Null => {
                let message = format!("{what} must be text, but YAML reads {} here", node.what());
                let help = "write it in quotes if it is meant as a name, such as \"123\"";
                self.report(Problem::new(node.range(), "unquoted-name", path.to_owned(), message).help(help));
                None
            }
            _ => {
                self.wrong_type(node, path, what, "text");
                None
            }
        }
    }

    fn databases(&mut self, user: &Node, path: &str, who: &str) -> Vec<Named> {
        if let (Some(_), Some(several)) = (user.get("database"), user.get("databases")) {
            let message = format!("{who} has both `database` and `databases`");
            let problem = Problem::new(several.range(), "database-and-databases", format!("{path}/databases"), message);
            self.report(problem.help("put all of them into `databases`"));
        }
        let mut databases = Vec::new();
        if let Some(node) = user.get("database") {
            if matches!(node.kind, Kind::Sequence(_)) {
                let message = "`database` names one database; a list belongs into `databases`";
                self.report(Problem::new(node.range(), "wrong-type", format!("{path}/database"), message));
            } else if let Some(name) = self.name(node, &format!("{path}/database"), "database name") {
                databases.push(Named { name, index: 0, at: node.range() });
            }
        }
        if let Some(node) = user.get("databases") {
            databases.extend(self.name_list(node, &format!("{path}/databases"), who, "database"));
        }
        databases
    }

    fn roles(&mut self, user: &Node, path: &str, who: &str, own_name: Option<&str>) -> Vec<Edge> {
        let Some(node) = user.get("roles") else { return Vec::new() };
        let path = format!("{path}/roles");
        let mut edges = Vec::new();
        let mut options = BTreeMap::new();
        for named in self.name_list(node, &path, who, "role") {
            let path = format!("{path}/{}", named.index);
            if is_reserved(&named.name) {
                let message = format!("{:?} is not a role that anyone can be a member of", named.name);
                let problem = Problem::new(named.at.clone(), "reserved-name", path, message);
                self.report(if named.name == "public" {
                    problem.help("every role has what PUBLIC has; leave it out")
                } else {
                    problem.help("write `roles: []` for no roles")
                });
            } else if Some(named.name.as_str()) == own_name {
                let message = format!("{who} is listed as a member of itself");
                self.report(Problem::new(named.at.clone(), "self-membership", path, message).help("leave it out"));
            }
            options.insert(named.index, edges.len());
            let Named { name: role, index, at } = named;
            edges.push(Edge { role, index, at, admin: false, inherit: None, set: true, until: None });
        }
        // Mostly there are no options, and a list of names is read as such.
        if let Kind::Sequence(items) = &node.kind {
            for (index, item) in items.iter().enumerate() {
                let (Kind::Mapping(entries), Some(at)) = (&item.kind, options.get(&index)) else { continue };
                let path = format!("{path}/{index}");
                let edge: &mut Edge = &mut edges[*at];
                let of = format!("the membership of {who} in {:?}", edge.role);
                self.unknown_keys(entries, &path, &of, &MEMBERSHIP_KEYS);
                edge.admin = self.flag(item, "admin", &path, &of).unwrap_or(false);
                edge.inherit = self.flag(item, "inherit", &path, &of);
                edge.set = self.flag(item, "set", &path, &of).unwrap_or(true);
                edge.until =
                    item.get("until").and_then(|node| self.moment(node, &format!("{path}/until"), "until", &of));
                if !edge.admin && edge.inherit == Some(false) && !edge.set {
                    let message = format!("{of} has neither admin nor inherit nor set, and so would be of no use");
                    self.report(
                        Problem::new(item.range(), "useless-membership", path, message)
                            .help("leave it out, or switch one of them on"),
                    );
                }
            }
        }
        edges
    }

    /// The names in a list, without those that are no names and those that stand there twice.
    fn name_list(&mut self, node: &Node, path: &str, who: &str, what: &'static str) -> Vec<Named> {
        let Kind::Sequence(items) = &node.kind else {
            let message = format!("`{what}s` of {who} must be a list, but is {}", node.what());
            let problem = Problem::new(node.range(), "wrong-type", path.to_owned(), message);
            self.report(problem.help(format!("write `{what}s: [a, b]`, or `{what}s: []` for none")));
            return Vec::new();
        };
        let mut names: Vec<Named> = Vec::with_capacity(items.len());
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Some(name) = self.listed_name(item, &path, what) else { continue };
            if let Some(first) = seen.get(&name) {
                let code = if what == "role" { "duplicate-role" } else { "duplicate-database" };
                let message = format!("{who} names the {what} {name:?} twice");
                self.report(Problem::new(item.range(), code, path, message).help("keep one of them").first(*first));
                continue;
            }
            seen.insert(name.clone(), item.start);
            names.push(Named { name, index, at: item.range() });
        }
        names
    }

    /// A role may be named with the options of the membership in it.
    fn listed_name(&mut self, item: &Node, path: &str, what: &'static str) -> Option<String> {
        if what == "role" && matches!(item.kind, Kind::Mapping(_)) {
            let Some(role) = item.get("role") else {
                let message = "a membership without `role`";
                let problem = Problem::new(item.start..item.start, "missing-key", path.to_owned(), message);
                self.report(problem.help("write the name alone, or {role: …, admin: true}"));
                return None;
            };
            return self.name(role, &format!("{path}/role"), "role name");
        }
        self.name(item, path, &format!("{what} name"))
    }

    fn privileges(&mut self, user: &Node, path: &str, who: &str, no_database: bool) -> Privileges {
        let mut privileges = Privileges::empty();
        let Some(node) = user.get("privileges") else { return privileges };
        let path = format!("{path}/privileges");
        let items = match &node.kind {
            Kind::Null => return privileges,
            Kind::Sequence(items) => items,
            _ => {
                self.wrong_type(node, &path, &format!("`privileges` of {who}"), "null or a list");
                return privileges;
            }
        };
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Some(word) = self.words(item, &path, "a privilege") else { continue };
            let Some((_, privilege)) = PRIVILEGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) else {
                let known: Vec<&str> = PRIVILEGES.iter().map(|(known, _)| *known).collect();
                let message = format!("{word:?} is not a privilege on a database");
                let help = format!("on a database there are {}", list(&known));
                self.report(Problem::new(item.range(), "unknown-privilege", path, message).help(help));
                continue;
            };
            if privileges.contains(*privilege) {
                let message = format!("{who} has the privilege {word:?} twice");
                self.report(Problem::new(item.range(), "duplicate-privilege", path, message).help("keep one of them"));
            }
            privileges |= *privilege;
        }
        if no_database && !items.is_empty() && user.get("database").is_none() {
            let message = format!("{who} has `privileges`, but no database that they apply to");
            let problem = Problem::new(node.range(), "privileges-without-database", path, message);
            self.report(problem.help("name it with `database` or `databases`"));
        }
        privileges
    }

    /// Where the password comes from; `None` for `password: none`, and where it is not known.
    fn credential(
        &mut self,
        user: &Node,
        path: &str,
        who: &str,
        name: Option<&(String, Range<usize>)>,
    ) -> Option<SecretAt> {
        if let Some(password) = user.get("password") {
            // Hidden whatever it is: only `none` is known to be no password.
            if matches!(password.kind, Kind::Null) {
                let what = format!("`password` of {who}");
                self.wrong_type(password, &format!("{path}/password"), &what, "the word `none`, or left out");
                return None;
            }
            if password.text() != Some("none") {
                self.hidden.push(password.range());
                let message = format!("{who} has a password in users.yaml; it does not belong there");
                let help = "remove it, change it wherever it is in use, and put the new one into a Secret; \
                            `password: none` declares a user without one";
                let problem = Problem::new(password.range(), "inline-password", format!("{path}/password"), message);
                self.report(problem.help(help));
                return None;
            }
            if let Some(secret) = user.get("secret") {
                let message = format!("{who} has a `secret` and `password: none` as well");
                let problem = Problem::new(secret.range(), "password-and-secret", format!("{path}/secret"), message);
                self.report(problem.help("keep one of them"));
            }
            return None;
        }
        let Some(node) = user.get("secret") else { return self.default_secret(name?, path, who) };

        let path = format!("{path}/secret");
        let of = format!("`secret` of {who}");
        let Kind::Mapping(entries) = &node.kind else {
            self.hidden.push(node.range());
            self.wrong_type(node, &path, &of, "a mapping such as `{name: my-secret, key: password}`");
            return None;
        };
        self.unknown_keys(entries, &path, &of, &SECRET_KEYS);
        let secret = match node.get("name") {
            Some(name) => self.words(name, &format!("{path}/name"), "the name of a Secret").map(|text| (text, name)),
            None => {
                let message = format!("{of} has no `name`");
                self.report(Problem::new(node.start..node.start, "missing-key", path.clone(), message));
                None
            }
        };
        if let Some((text, name)) = secret
            && let Some(why) = secret_name_problem(text)
        {
            let message = format!("{text:?} cannot be the name of a Secret: {why}");
            self.report(Problem::new(name.range(), "invalid-secret-name", format!("{path}/name"), message));
        }
        let key = match node.get("key") {
            Some(key) => {
                let text = self.words(key, &format!("{path}/key"), "the key in a Secret")?;
                if let Some(why) = secret_key_problem(text) {
                    let message = format!("{text:?} cannot be a key of a Secret: {why}");
                    self.report(Problem::new(key.range(), "invalid-secret-key", format!("{path}/key"), message));
                }
                text
            }
            None => "password",
        };
        let reference = SecretRef { name: secret?.0.to_owned(), key: key.to_owned() };
        Some(SecretAt { reference, at: node.range() })
    }

    fn default_secret(&mut self, (name, at): &(String, Range<usize>), path: &str, who: &str) -> Option<SecretAt> {
        let secret = format!("user-{name}-secret");
        if let Some(why) = secret_name_problem(&secret) {
            let message = format!("no Secret can be called {secret:?}, where the password of {who} would be: {why}");
            // Never mapped to another name: `a_b` and `a-b` would share a password.
            let help = "say where it is, with `secret: {name: …, key: password}`";
            let problem = Problem::new(at.clone(), "invalid-secret-name", format!("{path}/username"), message);
            self.report(problem.help(help));
            return None;
        }
        Some(SecretAt { reference: SecretRef { name: secret, key: "password".to_owned() }, at: at.clone() })
    }
}
