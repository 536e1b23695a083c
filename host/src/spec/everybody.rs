//! `public` of a schema: what everybody may on it, and, written as a mapping, on all of a kind that lies in it.

use super::parse::Reader;
use super::yaml::{Kind, Node};
use crate::model::{Grant, Object, ObjectKind, Privileges};

/// The keys of the mapping, each with what it is about.
pub(super) fn keys(schema: &str) -> Vec<(&'static str, Object)> {
    let own = ("schema", Object::Schema(schema.to_owned()));
    std::iter::once(own).chain(ObjectKind::ALL.map(|kind| (kind.word(), kind.all(schema)))).collect()
}

impl Reader {
    /// What PUBLIC holds there: a grant for each thing that something is said of, be it nothing.
    pub(super) fn public_in_schema(
        &mut self,
        node: &Node,
        path: &str,
        who: &str,
        database: &str,
        schema: &str,
    ) -> Vec<Grant> {
        let Some(value) = node.get("public") else { return Vec::new() };
        let path = format!("{path}/public");
        let of = format!("`public` of {who}");
        let keys = keys(schema);
        let entries = match &value.kind {
            Kind::Mapping(entries) => entries,
            // What everybody may on the schema itself.
            _ => {
                let on = Object::Schema(schema.to_owned());
                return vec![self.of_everybody(value, &path, "a schema", &of, Some(database), on)];
            }
        };
        let known: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
        self.unknown_keys(entries, &path, &of, &known);
        let mut grants = Vec::new();
        for (key, on) in keys {
            let Some(value) = value.get(key) else { continue };
            let what = if key == "schema" { "a schema" } else { key };
            let of = format!("`{key}` in {of}");
            grants.push(self.of_everybody(value, &format!("{path}/{key}"), what, &of, Some(database), on));
        }
        grants
    }

    /// A list of privileges, which may be empty.
    pub(super) fn of_everybody(
        &mut self,
        value: &Node,
        path: &str,
        kind: &str,
        of: &str,
        database: Option<&str>,
        on: Object,
    ) -> Grant {
        let privileges = match &value.kind {
            Kind::Sequence(items) if items.is_empty() => Privileges::empty(),
            Kind::Sequence(_) => self.words_of_privileges(value, path, kind, on.known_privileges()),
            _ => {
                let words: Vec<&str> = on.known_privileges().keywords().collect();
                let example = words.first().copied().unwrap_or_default();
                let wanted = format!("a list of what everybody may, such as `[{example}]`, or `[]` for nothing");
                self.wrong_type(value, path, of, &wanted);
                Privileges::empty()
            }
        };
        Grant { database: database.map(str::to_owned), on, privileges, grantable: Privileges::empty() }
    }
}
