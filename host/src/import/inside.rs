//! What a role holds inside of databases, as entries of `grants`.
//!
//! `all` is written exactly where default privileges say the same for whoever makes objects in the schema, since that is
//! what a wish for all comes to; everything else is named one by one. Whether that is a complete account of what the
//! role holds is then asked of those who read it, `resolve::wishes`. If it is not, the role gets no `grants` in that
//! database: one that has some there has no others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Note, Value, who};
use crate::catalog::{Catalog, Held};
use crate::model::{Grant, Object, ObjectKind, Privileges, Role};
use crate::parameter;
use crate::resolve::wishes;
use crate::spec::{self, Listed, Scope};

/// Privileges on one object, and the part of them WITH GRANT OPTION.
type Extent = (Privileges, Privileges);

/// Routines by the types of their arguments alone, of those that are written differently.
type ByTypes<'a> = BTreeMap<&'a Object, &'a Object>;

/// Objects as they are written, and what is read from that.
type Named<T> = Vec<(T, Object)>;

/// More of them nobody reads on one line.
const MOST_NAMED: usize = 3;

/// The entries for all databases that were looked into.
pub(super) fn grants(role: &Role, catalog: &Catalog, notes: &mut Vec<Note>) -> Vec<Value> {
    let mut entries = Vec::new();
    for (database, objects) in &catalog.objects {
        let Some(held) =
            objects.held.get(&role.name).filter(|held| held.values().any(|held| !held.privileges.is_empty()))
        else {
            continue;
        };
        let by_types = objects.signatures.iter().map(|(types, whole)| (whole, types)).collect();
        let pieces = pieces(role, held, catalog, &by_types, database);
        let declared =
            Role { grants: pieces.iter().flat_map(|piece| piece.grants(database)).collect(), ..role.clone() };
        let unsaid = wishes::unsaid(&declared, catalog, objects, database);
        if unsaid.is_empty() {
            entries.extend(pieces.iter().map(|piece| piece.entry(Some(database))));
        } else {
            let what = format!("grants of {} in database {database:?}", who(role));
            notes.push(Note { what, why: told(&unsaid) });
        }
    }
    entries
}

fn told(unsaid: &BTreeSet<String>) -> String {
    let mut named: Vec<&str> = unsaid.iter().take(MOST_NAMED).map(String::as_str).collect();
    let more = format!("{} more", unsaid.len().saturating_sub(MOST_NAMED));
    if unsaid.len() > MOST_NAMED {
        named.push(&more);
    }
    format!(
        "what it holds on {} cannot be declared; default privileges can only be those of `all`: in one schema, the same \
         for whoever makes objects there, and on each that is there",
        named.join(", ")
    )
}

/// One entry of `grants`.
struct Piece {
    /// `None`: what lies in no schema.
    schema: Option<String>,
    on: Target,
    privileges: Privileges,
    option: bool,
}

enum Target {
    Schema,
    All(ObjectKind),
    /// The key, the objects as they are written there, and what is read from that.
    Some(&'static str, Named<Value>),
    /// Columns of one table.
    Columns(String, Named<String>),
    /// A built-in profile, and what it stands for.
    Profile(String, Vec<(Object, Privileges)>),
}

impl Piece {
    fn grants(&self, database: &str) -> Vec<Grant> {
        let grantable = |privileges| if self.option { privileges } else { Privileges::empty() };
        let grant = |on: Object, privileges: Privileges| Grant {
            database: Some(database.to_owned()),
            on,
            privileges,
            grantable: grantable(privileges),
        };
        let schema = self.schema.clone().unwrap_or_default();
        match &self.on {
            Target::Schema => vec![grant(Object::Schema(schema), self.privileges)],
            Target::All(kind) => vec![grant(kind.all(&schema), self.privileges)],
            Target::Columns(_, columns) => columns.iter().map(|(_, on)| grant(on.clone(), self.privileges)).collect(),
            Target::Some(_, objects) => objects.iter().map(|(_, on)| grant(on.clone(), self.privileges)).collect(),
            Target::Profile(_, parts) => parts.iter().map(|(on, privileges)| grant(on.clone(), *privileges)).collect(),
        }
    }

    fn entry(&self, database: Option<&str>) -> Value {
        let pair = |key: &str, value: Value| (key.to_owned(), value);
        let mut pairs: Vec<_> = database.map(|database| pair("database", Value::text(database))).into_iter().collect();
        pairs.extend(self.schema.as_ref().map(|schema| pair("schema", Value::text(schema))));
        match &self.on {
            Target::Schema => {}
            Target::All(kind) => pairs.push(pair(kind.word(), Value::text("all"))),
            Target::Some(key, objects) => {
                pairs.push(pair(key, Value::List(objects.iter().map(|(written, _)| written.clone()).collect())));
            }
            Target::Columns(table, columns) => {
                pairs.push(pair("tables", Value::texts([table.as_str()])));
                pairs.push(pair(spec::COLUMNS, Value::texts(columns.iter().map(|(written, _)| written.as_str()))));
            }
            Target::Profile(name, _) => pairs.push(pair("profile", Value::text(name))),
        }
        if !matches!(self.on, Target::Profile(..)) {
            pairs.push(pair("privileges", Value::texts(self.privileges.keywords())));
        }
        if self.option {
            pairs.push(pair("grant_option", Value::flag(true)));
        }
        Value::Map(pairs)
    }
}

/// What is held in a database, schema by schema.
fn pieces(
    role: &Role,
    held: &BTreeMap<Object, Held>,
    catalog: &Catalog,
    by_types: &ByTypes<'_>,
    database: &str,
) -> Vec<Piece> {
    let Some(objects) = catalog.objects.get(database) else { return Vec::new() };
    let schemas: BTreeSet<&str> = held.keys().filter_map(Object::schema).collect();
    let mut pieces = Vec::new();
    for schema in schemas {
        let extent = |object: &Object| -> Extent { objects.held(&role.name, object) };
        let own = extent(&Object::Schema(schema.to_owned()));
        let makers = wishes::makers_for(&role.name, schema, catalog, objects, database);
        let mut all: BTreeMap<ObjectKind, Extent> = BTreeMap::new();
        for kind in ObjectKind::ALL {
            let later: BTreeSet<Extent> = makers.iter().map(|maker| extent(&kind.future(maker, schema))).collect();
            // Where they differ, no wish for all comes to the same.
            if let (Some(later), 1) = (later.first(), later.len())
                && !later.0.is_empty()
            {
                all.insert(kind, *later);
            }
        }
        pieces.extend(whole_schema(schema, own, &all));
        for kind in ObjectKind::ALL {
            let all = all.get(&kind).copied().unwrap_or_default();
            // The row of a table is a type, and none of those that are all of them.
            for (is_member, all) in [(true, all), (false, Extent::default())] {
                let single = held.iter().filter(|(object, _)| {
                    object.kind() == Some(kind)
                        && object.schema() == Some(schema)
                        && object.future_owner().is_none()
                        && objects.is_member(object) == is_member
                });
                pieces.extend(one_by_one(Some(schema), kind.word(), all, single, by_types));
            }
        }
        pieces.extend(on_columns(schema, held));
    }
    for listed in Listed::ALL.into_iter().filter(|listed| listed.scope() == Scope::Database) {
        pieces.extend(of_kind(None, listed, held, by_types));
    }
    pieces
}

/// The schema itself, and what is held on all of a kind in it.
fn whole_schema(schema: &str, own: Extent, all: &BTreeMap<ObjectKind, Extent>) -> Vec<Piece> {
    let piece = |on, privileges, option| Piece { schema: Some(schema.to_owned()), on, privileges, option };
    let has_option = all.values().chain([&own]).any(|(_, grantable)| !grantable.is_empty());
    let privileges: BTreeMap<ObjectKind, Privileges> = all.iter().map(|(kind, extent)| (*kind, extent.0)).collect();
    if let Some(profile) = spec::built_in_profile(own.0, &privileges).filter(|_| !has_option) {
        let parts = privileges.iter().map(|(kind, privileges)| (kind.all(schema), *privileges));
        let parts = std::iter::once((Object::Schema(schema.to_owned()), own.0)).chain(parts).collect();
        return vec![piece(Target::Profile(profile, parts), Privileges::empty(), false)];
    }
    let mut pieces = Vec::new();
    for (privileges, option) in [(own.0 - own.1, false), (own.1, true)] {
        pieces.push(piece(Target::Schema, privileges, option));
    }
    for (kind, extent) in all {
        for (privileges, option) in [(extent.0 - extent.1, false), (extent.1, true)] {
            pieces.push(piece(Target::All(*kind), privileges, option));
        }
    }
    pieces.retain(|piece| !piece.privileges.is_empty());
    pieces
}

/// What is held on single objects beyond what is held on all; those with the same privileges in one entry.
fn one_by_one<'a>(
    schema: Option<&str>,
    key: &'static str,
    all: Extent,
    single: impl Iterator<Item = (&'a Object, &'a Held)>,
    by_types: &ByTypes<'_>,
) -> Vec<Piece> {
    let mut together: BTreeMap<(Privileges, bool), Named<Value>> = BTreeMap::new();
    for (object, held) in single {
        for (privileges, option) in apart(held, all) {
            // One that cannot be written is missed when the account is checked.
            if let Some(written) = written(object, by_types).filter(|_| !privileges.is_empty()) {
                together.entry((privileges, option)).or_default().push(written);
            }
        }
    }
    together
        .into_iter()
        .map(|((privileges, option), named)| Piece {
            schema: schema.map(str::to_owned),
            on: Target::Some(key, named),
            privileges,
            option,
        })
        .collect()
}

/// What is held without grant option, and what is held with it, beyond what is held on all.
fn apart(held: &Held, all: Extent) -> [(Privileges, bool); 2] {
    // An option that is not held on all has to be said with its privilege.
    let with_option = (held.grantable & held.privileges) - all.1;
    let without = held.privileges - all.0 - held.grantable;
    [(without, false), (with_option, true)]
}

/// What is held on objects of another kind, in this schema if they lie in any.
fn of_kind(schema: Option<&str>, listed: Listed, held: &BTreeMap<Object, Held>, by_types: &ByTypes<'_>) -> Vec<Piece> {
    let single = held.iter().filter(|(object, _)| Listed::of(object) == Some(listed) && object.schema() == schema);
    one_by_one(schema, listed.key(), Extent::default(), single, by_types)
}

/// What is held on columns: table by table, those with the same privileges in one entry.
fn on_columns(schema: &str, held: &BTreeMap<Object, Held>) -> Vec<Piece> {
    let mut together: BTreeMap<(&str, Privileges, bool), Named<String>> = BTreeMap::new();
    for (object, held) in held.iter().filter(|(object, _)| object.schema() == Some(schema)) {
        let Object::Column { table, column, .. } = object else { continue };
        for (privileges, option) in apart(held, Extent::default()) {
            if !privileges.is_empty() {
                together.entry((table, privileges, option)).or_default().push((column.clone(), object.clone()));
            }
        }
    }
    let piece = |((table, privileges, option), columns): ((&str, Privileges, bool), _)| Piece {
        schema: Some(schema.to_owned()),
        on: Target::Columns(table.to_owned(), columns),
        privileges,
        option,
    };
    together.into_iter().map(piece).collect()
}

/// What is held on parameters and tablespaces, as entries. `None`: one of the names cannot be written.
pub(super) fn shared(role: &Role, catalog: &Catalog) -> Option<Vec<Value>> {
    let Some(held) = catalog.shared.held.get(&role.name) else { return Some(Vec::new()) };
    let by_types = ByTypes::new();
    let mut entries = Vec::new();
    for listed in Listed::ALL.into_iter().filter(|listed| listed.scope() == Scope::Server) {
        for piece in of_kind(None, listed, held, &by_types) {
            let Target::Some(_, objects) = &piece.on else { continue };
            let is_writable = |on: &Object| match on {
                Object::Parameter(name) => parameter::name_problem(name).is_none(),
                _ => true,
            };
            if !objects.iter().all(|(_, on)| is_writable(on)) {
                return None;
            }
            entries.push(piece.entry(None));
        }
    }
    Some(entries)
}

/// An object as users.yaml names it, and what is read from that. Routines by the types of their arguments alone, if
/// that says which.
fn written(object: &Object, by_types: &ByTypes<'_>) -> Option<(Value, Object)> {
    match object {
        Object::Table { name, .. }
        | Object::Sequence { name, .. }
        | Object::Type { name, .. }
        | Object::Language(name)
        | Object::ForeignDataWrapper(name)
        | Object::ForeignServer(name)
        | Object::Parameter(name)
        | Object::Tablespace(name) => Some((Value::text(name), object.clone())),
        Object::LargeObject(oid) => Some((Value::Plain(oid.to_string()), object.clone())),
        Object::Routine { schema, .. } => {
            by_types.get(object).copied().into_iter().chain([object]).find_map(|object| {
                let Object::Routine { name, arguments, .. } = object else { return None };
                let text = format!("{name}({arguments})");
                spec::routine(&text, schema).filter(|read| read == object).map(|read| (Value::Text(text), read))
            })
        }
        _ => None,
    }
}
