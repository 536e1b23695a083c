//! `grants` of a user or a role: what it may do with a database and inside of it, and `profiles`, which give a
//! name to what is often granted together.

use std::collections::BTreeMap;

use super::names::{list, name_problem, nearest};
use super::parse::Reader;
use super::targets::{COLUMNS, Listed, Scope, Target};
use super::yaml::{self, Entry, Kind, Node, Problem};
use crate::model::{Grant, Object, ObjectKind, Privileges};

const GRANT_KEYS: [&str; 16] = [
    "database",
    "schema",
    "tables",
    COLUMNS,
    "sequences",
    "routines",
    "types",
    "languages",
    "foreign_data_wrappers",
    "foreign_servers",
    "large_objects",
    "parameters",
    "tablespaces",
    "privileges",
    "profile",
    "grant_option",
];
/// GRANT has two words for it.
pub(super) const TEMP: &str = "TEMP";
const TEMPORARY: &str = "TEMPORARY";
const PROFILE_KEYS: [&str; 5] = ["schema", "tables", "sequences", "routines", "types"];

/// Privileges in one schema: on itself, and on all that lies in it or will.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    schema: Privileges,
    all: BTreeMap<ObjectKind, Privileges>,
}

/// The profiles that need not be declared.
fn built_in() -> BTreeMap<String, Profile> {
    let read = Privileges::SELECT;
    let write = read | Privileges::INSERT | Privileges::UPDATE | Privileges::DELETE;
    let profile = |tables, sequences, routines: Privileges| Profile {
        schema: Privileges::USAGE,
        all: [(ObjectKind::Table, tables), (ObjectKind::Sequence, sequences), (ObjectKind::Routine, routines)]
            .into_iter()
            .filter(|(_, privileges)| !privileges.is_empty())
            .collect(),
    };
    BTreeMap::from([
        ("read_only".to_owned(), profile(read, read, Privileges::empty())),
        ("read_write".to_owned(), profile(write, ObjectKind::Sequence.privileges(), Privileges::EXECUTE)),
    ])
}

/// Profiles by name: those of the document, and those that need not be declared.
#[derive(Debug)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

impl Default for Profiles {
    fn default() -> Self {
        Profiles(built_in())
    }
}

impl Reader {
    /// Reads `profiles`, before the grants that use them.
    pub(super) fn profiles(&mut self, node: &Node) -> Profiles {
        let mut profiles = Profiles::default();
        let Kind::Mapping(entries) = &node.kind else {
            self.hidden.push(node.range());
            self.wrong_type(node, "/profiles", "`profiles`", "a mapping from names to privileges, or left out");
            return profiles;
        };
        for Entry { key, value } in entries {
            let path = format!("/profiles/{}", yaml::escape(&key.text));
            let of = format!("the profile {:?}", key.text);
            if profiles.0.contains_key(&key.text) {
                let message = format!("{of} is built in");
                let problem = Problem::new(key.start..key.end, "duplicate-profile", path, message);
                self.report(problem.help("choose another name"));
                continue;
            }
            let Kind::Mapping(kinds) = &value.kind else {
                self.hidden.push(value.range());
                self.wrong_type(value, &path, &of, "a mapping such as `{schema: [USAGE], tables: [SELECT]}`");
                continue;
            };
            self.unknown_keys(kinds, &path, &of, &PROFILE_KEYS);
            let mut profile = Profile::default();
            if let Some(node) = value.get("schema") {
                profile.schema = self.words_of_privileges(node, &format!("{path}/schema"), "a schema", on_schema());
            }
            for kind in ObjectKind::ALL {
                if let Some(node) = value.get(kind.word()) {
                    let path = format!("{path}/{}", kind.word());
                    let privileges = self.words_of_privileges(node, &path, kind.word(), kind.privileges());
                    profile.all.insert(kind, privileges);
                }
            }
            profiles.0.insert(key.text.clone(), profile);
        }
        profiles
    }

    /// Reads `grants`; several entries about one object add up.
    pub(super) fn grants(&mut self, entry: &Node, path: &str, who: &str) -> Vec<Grant> {
        let Some(node) = entry.get("grants") else { return Vec::new() };
        let path = format!("{path}/grants");
        let Kind::Sequence(items) = &node.kind else {
            self.wrong_type(
                node,
                &path,
                &format!("`grants` of {who}"),
                "a list of entries such as `{database: shop, schema: sales, profile: read_only}`",
            );
            return Vec::new();
        };
        let mut grants = Vec::new();
        for (index, item) in items.iter().enumerate() {
            grants.extend(self.grant(item, &format!("{path}/{index}"), who));
        }
        added_up(grants)
    }

    fn grant(&mut self, node: &Node, path: &str, who: &str) -> Vec<Grant> {
        let of = format!("a grant of {who}");
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(node, path, &of, "a mapping with `database`, `schema`, and `profile` or `privileges`");
            return Vec::new();
        };
        self.unknown_keys(entries, path, &of, &GRANT_KEYS);
        let listed = self.kind_listed(node, path, &of);
        // Without a schema and without objects, `privileges` are those on the database itself.
        let in_schema = ["schema", "profile", COLUMNS].into_iter().any(|key| node.get(key).is_some());
        let on_database = listed.is_none() && !in_schema && node.get("privileges").is_some();
        let scope = match listed {
            Some((listed, _)) => listed.scope(),
            None if on_database => Scope::Database,
            None => Scope::Schema,
        };
        let database = self.place(node, "database", path, &of, listed.map(|it| it.0), scope != Scope::Server);
        let schema = self.place(node, "schema", path, &of, listed.map(|it| it.0), scope == Scope::Schema);
        if let (Some(schema), Some(at)) = (&schema, node.get("schema"))
            && (schema.starts_with("pg_") || schema == "information_schema")
        {
            let message = format!("the schema {schema:?} is PostgreSQL's own, and is not managed");
            let help = "grant a predefined role such as pg_read_all_stats instead, under `roles`";
            self.report(Problem::new(at.range(), "system-schema", format!("{path}/schema"), message).help(help));
        }
        if let (Some(schema), Some(at)) = (&schema, node.get("schema")) {
            self.not_the_ledger(schema, at.range(), &format!("{path}/schema"));
        }
        let target = if on_database {
            Target::Database
        } else {
            self.target(node, listed, path, &of, schema.as_deref().unwrap_or_default())
        };
        let grant_option = self.flag(node, "grant_option", path, &of).unwrap_or(false);
        let place = |on: Object, privileges: Privileges| Grant {
            database: database.clone(),
            on,
            privileges,
            grantable: if grant_option { privileges } else { Privileges::empty() },
        };
        let schema = schema.clone().unwrap_or_default();
        let grants = match (node.get("privileges"), node.get("profile")) {
            (Some(_), Some(profile)) => {
                let message = format!("{of} has both `privileges` and `profile`");
                let problem =
                    Problem::new(profile.range(), "privileges-and-profile", format!("{path}/profile"), message);
                self.report(problem.help("make two entries of it"));
                return Vec::new();
            }
            (None, None) => {
                let message = format!("{of} names no privileges");
                let problem = Problem::new(node.start..node.start, "missing-key", path.to_owned(), message);
                self.report(problem.help("add `profile: read_only`, or `privileges: [SELECT]`"));
                return Vec::new();
            }
            (None, Some(node)) => {
                if !matches!(target, Target::Schema) {
                    let message = format!("a profile speaks for the whole schema; {of} names some objects of it");
                    let problem =
                        Problem::new(node.range(), "profile-with-objects", format!("{path}/profile"), message);
                    self.report(problem.help("leave them out, or write `privileges` instead of `profile`"));
                    return Vec::new();
                }
                let Some(profile) = self.profile(node, &format!("{path}/profile")) else { return Vec::new() };
                let all = profile.all.iter().map(|(kind, privileges)| place(kind.all(&schema), *privileges));
                let own = place(Object::Schema(schema.clone()), profile.schema);
                std::iter::once(own).chain(all).filter(|grant| !grant.privileges.is_empty()).collect()
            }
            (Some(node), None) => {
                let path = format!("{path}/privileges");
                match target {
                    Target::Database => {
                        let known = Object::Database(String::new()).known_privileges();
                        let privileges = self.words_of_privileges(node, &path, "a database as a whole", known);
                        let on = database.clone().map(Object::Database);
                        on.map(|on| Grant { database: None, ..place(on, privileges) }).into_iter().collect()
                    }
                    Target::Schema => {
                        let privileges = self.words_of_privileges(node, &path, "a schema", on_schema());
                        vec![place(Object::Schema(schema), privileges)]
                    }
                    Target::All(kind) => {
                        let privileges = self.words_of_privileges(node, &path, kind.word(), kind.privileges());
                        vec![place(kind.all(&schema), privileges)]
                    }
                    Target::Some(word, known, objects) => {
                        let privileges = self.words_of_privileges(node, &path, &word.replace('_', " "), known);
                        objects.into_iter().map(|object| place(object, privileges)).collect()
                    }
                }
            }
        };
        if database.is_some() || scope == Scope::Server { grants } else { Vec::new() }
    }

    /// `database` or `schema`, where it belongs.
    fn place(
        &mut self,
        node: &Node,
        key: &str,
        path: &str,
        of: &str,
        listed: Option<Listed>,
        belongs: bool,
    ) -> Option<String> {
        let example = listed.unwrap_or(Listed::Of(ObjectKind::Table)).example();
        match (node.get(key), belongs) {
            (Some(value), true) => self.name(value, &format!("{path}/{key}"), &format!("{key} name")),
            (None, true) => {
                let message = format!("{of} without `{key}`");
                let problem = Problem::new(node.start..node.start, "missing-key", path.to_owned(), message);
                self.report(problem.help(format!("write {example}")));
                None
            }
            (Some(value), false) => {
                let what = listed.map_or("objects", Listed::key).replace('_', " ");
                let message = format!("{of} names a {key}, but {what} lie in none");
                let problem = Problem::new(value.range(), "misplaced-key", format!("{path}/{key}"), message);
                self.report(problem.help(format!("leave `{key}` out: write {example}")));
                None
            }
            (None, false) => None,
        }
    }

    fn profile(&mut self, node: &Node, path: &str) -> Option<Profile> {
        let name = self.words(node, path, "the name of a profile")?;
        if let Some(profile) = self.known_profiles.0.get(name) {
            return Some(profile.clone());
        }
        let known: Vec<&str> = self.known_profiles.0.keys().map(String::as_str).collect();
        let help = match nearest(name, &known) {
            Some(meant) => format!("did you mean `{meant}`? The known profiles are {}", list(&known)),
            None => format!("the known profiles are {}; others are declared under `profiles`", list(&known)),
        };
        let message = format!("there is no profile {name:?}");
        self.report(Problem::new(node.range(), "unknown-profile", path.to_owned(), message).help(help));
        None
    }

    /// A list of privileges by their keywords, in upper or lower case.
    pub(super) fn words_of_privileges(&mut self, node: &Node, path: &str, on: &str, known: Privileges) -> Privileges {
        let mut privileges = Privileges::empty();
        let Kind::Sequence(items) = &node.kind else {
            self.wrong_type(node, path, &format!("the privileges on {on}"), "a list such as `[SELECT]`");
            return privileges;
        };
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let Some(word) = self.words(item, &path, "a privilege") else { continue };
            let keyword = word.to_ascii_uppercase();
            let meant = Privileges::from_keyword(if keyword == TEMP { TEMPORARY } else { &keyword });
            let meant = meant.filter(|meant| known.contains(*meant));
            let Some(privilege) = meant else {
                let words: Vec<&str> = known.keywords().collect();
                let message = format!("{word:?} is not a privilege on {on}");
                let verb = if words.len() == 1 { "is" } else { "are" };
                let help = format!("on {on} there {verb} {}", list(&words));
                self.report(Problem::new(item.range(), "unknown-privilege", path, message).help(help));
                continue;
            };
            if privileges.contains(privilege) {
                let message = format!("the privilege {word:?} stands here twice");
                self.report(Problem::new(item.range(), "duplicate-privilege", path, message).help("keep one of them"));
            }
            privileges |= privilege;
        }
        if items.is_empty() {
            let message = format!("no privileges on {on}");
            let problem = Problem::new(node.range(), "no-privileges", path.to_owned(), message);
            self.report(problem.help("leave the entry out, or name some"));
        }
        privileges
    }
}

/// The routine that is written so: `refund(integer, text)`.
pub(crate) fn routine(text: &str, schema: &str) -> Option<Object> {
    let (name, arguments) = text.trim().strip_suffix(')')?.split_once('(')?;
    let name = name.trim();
    if name_problem(name).is_some() {
        return None;
    }
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    Some(Object::Routine { schema: schema.to_owned(), name: name.to_owned(), arguments: arguments.join(", ") })
}

/// The built-in profile that gives exactly this, if there is one.
pub(crate) fn built_in_profile(schema: Privileges, all: &BTreeMap<ObjectKind, Privileges>) -> Option<String> {
    built_in().into_iter().find(|(_, profile)| profile.schema == schema && profile.all == *all).map(|(name, _)| name)
}

/// Their names.
pub(crate) fn built_in_profiles() -> Vec<String> {
    built_in().into_keys().collect()
}

fn on_schema() -> Privileges {
    Object::Schema(String::new()).known_privileges()
}

/// One grant for each object.
pub(super) fn added_up(grants: impl IntoIterator<Item = Grant>) -> Vec<Grant> {
    let mut sum: BTreeMap<(Option<String>, Object), (Privileges, Privileges)> = BTreeMap::new();
    for grant in grants {
        let extent = sum.entry((grant.database, grant.on)).or_default();
        extent.0 |= grant.privileges;
        extent.1 |= grant.grantable;
    }
    let grant = |((database, on), (privileges, grantable))| Grant { database, on, privileges, grantable };
    sum.into_iter().map(grant).collect()
}
