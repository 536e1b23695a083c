//! What is seen of a database and not written into its entry: what PUBLIC holds on what lies in the schemas, where that is
//! not what PostgreSQL gives it, and row-level security. Both stay as they are, and a note says so.

use super::Note;
use super::inside::listed;
use crate::catalog::Objects;
use crate::model::{LEDGER_SCHEMA, Object, ObjectKind, PUBLIC};

/// The notes for the entry of a database.
pub(super) fn notes(database: &str, inside: &Objects) -> Vec<Note> {
    let mut notes = Vec::new();
    let public = unlike_the_default(inside);
    if !public.is_empty() {
        notes.push(Note {
            what: format!("what PUBLIC may in database {database:?} on {}", listed(&public)),
            why: "it is more or less than PostgreSQL gives by itself, and stays so; for all of a kind in a schema, now and \
                  later, `public: {tables: […], sequences: […], routines: […], types: […]}` of that schema declares it"
                .to_owned(),
        });
    }
    let secured = inside.secured.keys().map(|(schema, name)| (schema.clone(), name.clone()));
    let secured: Vec<String> = secured.map(|(schema, name)| Object::Table { schema, name }.in_words()).collect();
    if !secured.is_empty() {
        notes.push(Note {
            what: format!("row-level security in database {database:?} of {}", listed(&secured)),
            why: "its expressions are not read back, and it stays as it is; to have it kept, declare it under \
                  `row_security` of the database"
                .to_owned(),
        });
    }
    notes
}

/// Everything that PUBLIC holds more or less on than on a new object of that kind; schemas are in the entry itself.
fn unlike_the_default(inside: &Objects) -> Vec<String> {
    let of_the_ledger = |object: &Object| object.schema() == Some(LEDGER_SCHEMA);
    let members = ObjectKind::ALL.into_iter().flat_map(|kind| {
        let schemas = inside.schemas.keys().filter(|schema| *schema != LEDGER_SCHEMA);
        let members = schemas.flat_map(move |schema| inside.members(kind, schema)).map(|(object, _)| object);
        members.filter(move |object| inside.held(PUBLIC, object).0 != kind.of_everybody())
    });
    let held = inside.held.get(PUBLIC).into_iter().flatten();
    let others = held.filter(|(object, held)| {
        let is_elsewhere = matches!(object, Object::Schema(_)) || inside.is_member(object) || of_the_ledger(object);
        !held.privileges.is_empty() && !is_elsewhere
    });
    members.chain(others.map(|(object, _)| object)).map(Object::in_words).collect()
}
