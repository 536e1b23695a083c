//! What a role holds inside of databases, as entries of `grants`.
//!
//! `all` is written exactly where default privileges say the same for whoever makes objects in the schema, since that is
//! what a wish for all comes to; everything else is named one by one. Whether that is a complete account of what the
//! role holds is then asked of those who read it, `resolve::wishes`. If it is not, the role gets no `grants` in that
//! database: one that has some there has no others.

use std::collections::{BTreeMap, BTreeSet};

use super::profiles::{Extent, Profiles, Shape};
use super::{Note, Value, who};
use crate::catalog::{Catalog, Held, Objects};
use crate::model::{Grant, LEDGER_SCHEMA, Object, ObjectKind, Privileges, Role};
use crate::parameter;
use crate::resolve::wishes;
use crate::spec::{self, Listed, Scope};

/// Routines by the types of their arguments alone, of those that are written differently.
type ByTypes<'a> = BTreeMap<&'a Object, &'a Object>;

/// The same by database: put together once, and not for each role.
pub(super) type Signatures<'a> = BTreeMap<&'a str, ByTypes<'a>>;

/// Those of the databases that were looked into.
pub(super) fn signatures(catalog: &Catalog) -> Signatures<'_> {
    catalog.objects.iter().map(|(name, objects)| (name.as_str(), by_types(objects))).collect()
}

/// Objects as they are written, and what is read from that.
type Named<T> = Vec<(T, Object)>;

/// More of them nobody reads on one line.
const MOST_NAMED: usize = 3;

fn by_types(objects: &Objects) -> ByTypes<'_> {
    objects.signatures.iter().map(|(types, whole)| (whole, types)).collect()
}

/// What a role holds, database by database, where that can be said.
pub(super) struct Account<'a>(Vec<(&'a str, Vec<Piece>)>);

/// For all databases that were looked into.
pub(super) fn account<'a>(
    role: &Role,
    catalog: &'a Catalog,
    signatures: &Signatures<'_>,
    notes: &mut Vec<Note>,
) -> Account<'a> {
    let (mut account, none) = (Vec::new(), ByTypes::new());
    for (database, objects) in &catalog.objects {
        let Some(held) =
            objects.held.get(&role.name).filter(|held| held.values().any(|held| !held.privileges.is_empty()))
        else {
            continue;
        };
        let by_types = signatures.get(database.as_str()).unwrap_or(&none);
        let pieces = pieces(role, held, catalog, by_types, database);
        let declared =
            Role { grants: pieces.iter().flat_map(|piece| piece.grants(database)).collect(), ..role.clone() };
        let unsaid = wishes::unsaid(&declared, catalog, objects, database);
        if unsaid.is_empty() {
            account.push((database.as_str(), pieces));
        } else {
            let what = format!("grants of {} in database {database:?}", who(role));
            let on_ledger = held.keys().any(|object| object.schema() == Some(LEDGER_SCHEMA));
            notes.push(Note { what, why: told(&unsaid, on_ledger) });
        }
    }
    Account(account)
}

impl Account<'_> {
    /// The entries of `grants`.
    pub(super) fn entries(&self, profiles: &Profiles) -> Vec<Value> {
        let pieces = self.0.iter().flat_map(|(database, pieces)| pieces.iter().map(move |piece| (database, piece)));
        pieces.flat_map(|(database, piece)| piece.entries(Some(database), profiles)).collect()
    }

    /// What is held in each whole schema.
    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.0.iter().flat_map(|(_, pieces)| pieces).filter_map(|piece| match &piece.on {
            Target::Whole(shape) => Some(shape),
            _ => None,
        })
    }
}

fn told(unsaid: &BTreeSet<String>, on_ledger: bool) -> String {
    let why = if on_ledger {
        "nothing in the schema of Rolewright's ledger can; revoke that, or grant it to a role that is not declared"
    } else {
        "default privileges can only be those of `all`: in one schema, the same for whoever makes objects there, and on \
         each that is there"
    };
    format!("what it holds on {} cannot be declared; {why}", listed(unsaid))
}

/// The first of them, and how many more there are.
pub(super) fn listed<'a>(all: impl IntoIterator<Item = &'a String>) -> String {
    let mut all = all.into_iter();
    let mut named: Vec<&str> = all.by_ref().take(MOST_NAMED).map(String::as_str).collect();
    let more = all.count();
    let in_words = format!("{more} more");
    if more > 0 {
        named.push(&in_words);
    }
    named.join(", ")
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
    /// The schema itself, and all of a kind in it. Its privileges are those of the shape.
    Whole(Shape),
    /// The key, the objects as they are written there, and what is read from that.
    Some(&'static str, Named<Value>),
    /// Columns of one table.
    Columns(String, Named<String>),
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
            Target::Whole(shape) => shape.grants(database, &schema),
            Target::Columns(_, columns) => columns.iter().map(|(_, on)| grant(on.clone(), self.privileges)).collect(),
            Target::Some(_, objects) => objects.iter().map(|(_, on)| grant(on.clone(), self.privileges)).collect(),
        }
    }

    fn entries(&self, database: Option<&str>, profiles: &Profiles) -> Vec<Value> {
        let pair = |key: &str, value: Value| (key.to_owned(), value);
        let mut place: Vec<_> = database.map(|database| pair("database", Value::text(database))).into_iter().collect();
        place.extend(self.schema.as_ref().map(|schema| pair("schema", Value::text(schema))));
        let pairs = match &self.on {
            Target::Whole(shape) => {
                let lines = shape.lines(profiles).into_iter();
                return lines.map(|pairs| Value::Map(place.iter().cloned().chain(pairs).collect())).collect();
            }
            Target::Some(key, objects) => {
                vec![pair(key, Value::List(objects.iter().map(|(written, _)| written.clone()).collect()))]
            }
            Target::Columns(table, columns) => vec![
                pair("tables", Value::texts([table.as_str()])),
                pair(spec::COLUMNS, Value::texts(columns.iter().map(|(written, _)| written.as_str()))),
            ],
        };
        place.extend(pairs);
        place.extend(extent_in_words(self.privileges, self.option));
        vec![Value::Map(place)]
    }
}

/// `privileges`, and `grant_option` where it is needed.
pub(super) fn extent_in_words(privileges: Privileges, option: bool) -> Vec<(String, Value)> {
    let mut pairs = vec![("privileges".to_owned(), Value::texts(privileges.keywords()))];
    if option {
        pairs.push(("grant_option".to_owned(), Value::flag(true)));
    }
    pairs
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
    // Once, not for each schema: a role may hold something on ten thousand tables in a hundred of them.
    let mut by_schema: BTreeMap<Option<&str>, Vec<(&Object, &Held)>> = BTreeMap::new();
    for (object, held) in held {
        by_schema.entry(object.schema()).or_default().push((object, held));
    }
    let in_none = by_schema.remove(&None).unwrap_or_default();
    let mut pieces = Vec::new();
    // Nobody can be declared to hold anything on the ledger; that it is missed is found when the account is checked.
    for (schema, held) in by_schema.iter().filter_map(|(schema, held)| Some(((*schema)?, held))) {
        if schema == LEDGER_SCHEMA {
            continue;
        }
        let extent = |object: &Object| -> Extent { objects.held(&role.name, object) };
        let mut shape = Shape { schema: extent(&Object::Schema(schema.to_owned())), all: BTreeMap::new() };
        let makers = wishes::makers_for(&role.name, schema, catalog, objects, database);
        for kind in ObjectKind::ALL {
            let later: BTreeSet<Extent> = makers.iter().map(|maker| extent(&kind.future(maker, schema))).collect();
            // Where they differ, no wish for all comes to the same.
            if let (Some(later), 1) = (later.first(), later.len())
                && !later.0.is_empty()
            {
                shape.all.insert(kind, *later);
            }
        }
        let all = ObjectKind::ALL.map(|kind| shape.all.get(&kind).copied().unwrap_or_default());
        if !shape.is_empty() {
            let (privileges, option) = (Privileges::empty(), false);
            pieces.push(Piece { schema: Some(schema.to_owned()), on: Target::Whole(shape), privileges, option });
        }
        for (kind, all) in ObjectKind::ALL.into_iter().zip(all) {
            // The row of a table is a type, and none of those that are all of them.
            for (is_member, all) in [(true, all), (false, Extent::default())] {
                let single = held.iter().copied().filter(|(on, _)| {
                    on.kind() == Some(kind) && on.future_owner().is_none() && objects.is_member(on) == is_member
                });
                pieces.extend(one_by_one(Some(schema), kind.word(), all, single, by_types));
            }
        }
        pieces.extend(on_columns(schema, held));
    }
    for listed in Listed::ALL.into_iter().filter(|listed| listed.scope() == Scope::Database) {
        pieces.extend(of_kind(None, listed, &in_none, by_types));
    }
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
            if let Some(written) = (!privileges.is_empty()).then(|| written(object, by_types)).flatten() {
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

/// What is held on objects of another kind.
fn of_kind(schema: Option<&str>, listed: Listed, held: &[(&Object, &Held)], by_types: &ByTypes<'_>) -> Vec<Piece> {
    let single = held.iter().copied().filter(|(object, _)| Listed::of(object) == Some(listed));
    one_by_one(schema, listed.key(), Extent::default(), single, by_types)
}

/// What is held on columns: table by table, those with the same privileges in one entry.
fn on_columns(schema: &str, held: &[(&Object, &Held)]) -> Vec<Piece> {
    let mut together: BTreeMap<(&str, Privileges, bool), Named<String>> = BTreeMap::new();
    for (object, held) in held.iter().copied() {
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
    let (by_types, no_profiles) = (ByTypes::new(), Profiles::default());
    let held: Vec<(&Object, &Held)> = held.iter().collect();
    let mut entries = Vec::new();
    for listed in Listed::ALL.into_iter().filter(|listed| listed.scope() == Scope::Server) {
        for piece in of_kind(None, listed, &held, &by_types) {
            let Target::Some(_, objects) = &piece.on else { continue };
            let is_writable = |on: &Object| match on {
                Object::Parameter(name) => parameter::name_problem(name).is_none(),
                _ => true,
            };
            if !objects.iter().all(|(_, on)| is_writable(on)) {
                return None;
            }
            entries.extend(piece.entries(None, &no_profiles));
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
