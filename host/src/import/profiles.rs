//! Shapes: what a role holds in a whole schema, and the profiles that give names to those that are met again. A name is
//! only another way to say the same: it is put in when everything else is settled.

use std::collections::{BTreeMap, BTreeSet};

use super::Value;
use super::inside::extent_in_words;
use crate::model::{Grant, Object, ObjectKind, Privileges};
use crate::spec;

/// Privileges on one object, and the part of them WITH GRANT OPTION.
pub(super) type Extent = (Privileges, Privileges);

/// Pairs of a key and its value, in one entry of `grants`.
type Pairs = Vec<(String, Value)>;

/// What reading and writing come to on a table.
const WRITE: Privileges =
    Privileges::SELECT.union(Privileges::INSERT).union(Privileges::UPDATE).union(Privileges::DELETE);

/// What is held on a schema, and on all that lies in it or will.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) schema: Extent,
    /// Nothing in it is empty.
    pub(super) all: BTreeMap<ObjectKind, Extent>,
}

impl Shape {
    pub(super) fn is_empty(&self) -> bool {
        self.schema.0.is_empty() && self.all.is_empty()
    }

    /// How many entries of `grants` it takes without a profile.
    fn parts(&self) -> usize {
        usize::from(!self.schema.0.is_empty()) + self.all.len()
    }

    fn has_option(&self) -> bool {
        self.all.values().chain([&self.schema]).any(|(_, grantable)| !grantable.is_empty())
    }

    fn privileges(&self) -> BTreeMap<ObjectKind, Privileges> {
        self.all.iter().map(|(kind, extent)| (*kind, extent.0)).collect()
    }

    /// What it comes to in one schema.
    pub(super) fn grants(&self, database: &str, schema: &str) -> Vec<Grant> {
        let all = self.all.iter().map(|(kind, extent)| (kind.all(schema), *extent));
        std::iter::once((Object::Schema(schema.to_owned()), self.schema))
            .chain(all)
            .filter(|(_, extent)| !extent.0.is_empty())
            .map(|(on, (privileges, grantable))| Grant {
                database: Some(database.to_owned()),
                on,
                privileges,
                grantable,
            })
            .collect()
    }

    /// What follows `database` and `schema`: one entry with the name of a profile, or one for each part.
    pub(super) fn lines(&self, profiles: &Profiles) -> Vec<Pairs> {
        if let Some(name) = profiles.names.get(self) {
            return vec![vec![("profile".to_owned(), Value::text(name))]];
        }
        let of_kind = |kind: &ObjectKind| Some((kind.word().to_owned(), Value::text("all")));
        let all = self.all.iter().map(|(kind, extent)| (of_kind(kind), *extent));
        std::iter::once((None, self.schema))
            .chain(all)
            .flat_map(|(on, (privileges, grantable))| {
                [(privileges - grantable, false), (grantable, true)].map(|(privileges, option)| {
                    (!privileges.is_empty())
                        .then(|| on.iter().cloned().chain(extent_in_words(privileges, option)).collect::<Pairs>())
                })
            })
            .flatten()
            .collect()
    }

    /// As an entry of `profiles`.
    fn entry(&self) -> Value {
        let all = self.all.iter().map(|(kind, extent)| (kind.word(), extent.0));
        let parts = std::iter::once(("schema", self.schema.0)).chain(all);
        let parts = parts.filter(|(_, privileges)| !privileges.is_empty());
        Value::Map(parts.map(|(key, privileges)| (key.to_owned(), Value::texts(privileges.keywords()))).collect())
    }

    /// What it lets one do, in a few words: `read_tables`, `create_write_tables_sequences`.
    fn in_words(&self) -> String {
        let mut words = Vec::new();
        if self.schema.0.contains(Privileges::CREATE) {
            words.push("create".to_owned());
        }
        for (kind, (privileges, _)) in &self.all {
            if *kind == ObjectKind::Table {
                words.push(on_tables(*privileges));
            }
            words.push(kind.word().to_owned());
        }
        words.join("_")
    }
}

fn on_tables(privileges: Privileges) -> String {
    // MAINTAIN is there from 17 on, and ALL did not always mean it.
    let everything = ObjectKind::Table.privileges() - Privileges::MAINTAIN;
    if privileges == Privileges::SELECT {
        "read".to_owned()
    } else if privileges == WRITE {
        "write".to_owned()
    } else if privileges.contains(everything) {
        "all".to_owned()
    } else {
        privileges.keywords().map(str::to_lowercase).collect::<Vec<_>>().join("_")
    }
}

/// The names of shapes.
#[derive(Debug, Clone, Default)]
pub(super) struct Profiles {
    names: BTreeMap<Shape, String>,
    /// Those that are not built in, with what they stand for; in the order of their names.
    declared: BTreeMap<String, Shape>,
}

impl Profiles {
    /// Names for those that are built in, and for those that are met twice and would take more than one entry each. A
    /// profile cannot say that one part of it is WITH GRANT OPTION and another is not.
    pub(super) fn of(shapes: Vec<&Shape>) -> Profiles {
        let mut met: BTreeMap<&Shape, usize> = BTreeMap::new();
        for shape in shapes.into_iter().filter(|shape| !shape.has_option()) {
            *met.entry(shape).or_default() += 1;
        }
        let mut profiles = Profiles::default();
        let built_in: BTreeSet<String> = spec::built_in_profiles().into_iter().collect();
        for (shape, times) in met {
            if let Some(name) = spec::built_in_profile(shape.schema.0, &shape.privileges()) {
                profiles.names.insert(shape.clone(), name);
            } else if times > 1 && shape.parts() > 1 {
                let words = shape.in_words();
                let mut name = words.clone();
                let mut attempt = 1;
                while built_in.contains(&name) || profiles.declared.contains_key(&name) {
                    attempt += 1;
                    name = format!("{words}_{attempt}");
                }
                profiles.names.insert(shape.clone(), name.clone());
                profiles.declared.insert(name, shape.clone());
            }
        }
        profiles
    }

    /// The section `profiles`.
    pub(super) fn entries(&self) -> Vec<(String, Value)> {
        self.declared.iter().map(|(name, shape)| (name.clone(), shape.entry())).collect()
    }
}
