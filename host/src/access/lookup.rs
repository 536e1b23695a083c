//! Which of the objects on the server is meant, and whether the privilege is one of its kind.

use super::words::Named;
use super::{Kind, Object};
use crate::model::Privileges;
use crate::printable::name;
use crate::spec::nearest;

/// Why nothing can be answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is none.
    #[error(
        "there is no {what} in {place} (identifiers fold to lower case unless they are in double quotes); {}",
        meant(.nearest.as_deref())
    )]
    Unknown {
        /// Kind and name.
        what: String,
        /// Database or server.
        place: String,
        /// What was meant, perhaps.
        nearest: Option<String>,
    },
    /// There are several.
    #[error("{what} may be any of {}; say which", .candidates.join(", "))]
    Ambiguous {
        /// As named.
        what: String,
        /// What it may be.
        candidates: Vec<String>,
    },
    /// The object is of another kind.
    #[error("{found} is no {wanted}; leave the word out, or ask for the other one")]
    OtherKind {
        /// What was found.
        found: String,
        /// What it should have been.
        wanted: &'static str,
    },
    /// The object's kind has no such privilege.
    #[error("a {kind} has no privilege {privilege} on this server; it has {known}")]
    NoSuchPrivilege {
        /// The kind of object.
        kind: &'static str,
        /// What was asked.
        privilege: String,
        /// What there is.
        known: String,
    },
    /// There is no such kind of object on this version.
    #[error("PostgreSQL {major} has no privileges on a {kind}; they came with 15")]
    TooOld {
        /// The kind of object.
        kind: &'static str,
        /// The server's major version.
        major: u32,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| "correct the name".to_owned(), |nearest| format!("did you mean {nearest}?"))
}

/// The one that is meant. `found` are those of that name, `arguments` those that the server read from what was written,
/// `others` tells all names there are if it is none of them.
///
/// # Errors
/// Where it is none, or several.
pub fn choose(
    named: &Named,
    mut found: Vec<Object>,
    arguments: Option<&str>,
    place: &str,
    others: impl FnOnce() -> Vec<Object>,
) -> Result<Object, LookupError> {
    if named.schema.is_none() && found.iter().any(|object| !object.is_system()) {
        // Nobody means a view of the information schema who has a table of that name.
        found.retain(|object| !object.is_system());
    }
    if named.arguments.is_some() {
        found.retain(|object| object.part.as_deref() == arguments);
    }
    match <[Object; 1]>::try_from(found) {
        Ok([object]) => match named.kind {
            Some(Kind::Sequence) if object.kind != Kind::Sequence => {
                Err(LookupError::OtherKind { found: object.in_words(), wanted: "sequence" })
            }
            _ => Ok(object),
        },
        Err(found) if found.is_empty() => {
            let others: Vec<String> = others().iter().map(Object::qualified).collect();
            let known: Vec<&str> = others.iter().map(String::as_str).collect();
            Err(LookupError::Unknown {
                what: format!("{} {}", named.kind.map_or("table or sequence", Kind::word), named.in_words()),
                place: place.to_owned(),
                nearest: nearest(&named.in_words(), &known).map(str::to_owned),
            })
        }
        Err(found) => Err(LookupError::Ambiguous {
            what: named.in_words(),
            candidates: found.iter().map(Object::qualified).collect(),
        }),
    }
}

/// The column of a table, or an error that names those there are.
///
/// # Errors
/// If it has none of that name.
pub fn column(table: &Object, wanted: &str, columns: &[String]) -> Result<(), LookupError> {
    if columns.iter().any(|column| column == wanted) {
        return Ok(());
    }
    let known: Vec<&str> = columns.iter().map(String::as_str).collect();
    Err(LookupError::Unknown {
        what: format!("column {}", name(wanted)),
        place: table.in_words(),
        nearest: nearest(wanted, &known).map(|column| name(column).into_owned()),
    })
}

/// Whether that kind of object has the privilege.
///
/// # Errors
/// If it has not.
pub fn check(kind: Kind, privilege: Privileges, version: u32) -> Result<(), LookupError> {
    let known = kind.privileges(version);
    if known.is_empty() {
        return Err(LookupError::TooOld { kind: kind.word(), major: version / 10_000 });
    }
    if known.contains(privilege) {
        return Ok(());
    }
    let list = |privileges: Privileges| privileges.keywords().collect::<Vec<_>>().join(", ");
    Err(LookupError::NoSuchPrivilege { kind: kind.word(), privilege: list(privilege), known: list(known) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::fixture::object;
    use crate::access::words::parse;

    fn choose_from(text: &str, found: &[(Kind, &str, &str)], others: &[(Kind, &str, &str)]) -> Result<String, String> {
        let objects = |list: &[(Kind, &str, &str)]| -> Vec<Object> {
            list.iter().map(|(kind, schema, name)| object(*kind, Some(schema), name, 1)).collect()
        };
        let named = parse(text).unwrap().on;
        choose(&named, objects(found), None, "database shop", || objects(others))
            .map(|object| object.in_words())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_is_found_and_anything_else_is_told_with_what_to_do() {
        let orders = (Kind::Table, "sales", "orders");
        assert_eq!(choose_from("SELECT ON orders", &[orders], &[]).unwrap(), "table sales.orders");
        let system = (Kind::Table, "information_schema", "orders");
        assert_eq!(choose_from("SELECT ON orders", &[system, orders], &[]).unwrap(), "table sales.orders");
        let error = choose_from("SELECT ON orders", &[orders, (Kind::Table, "Old", "orders")], &[]).unwrap_err();
        assert_eq!(error, "orders may be any of sales.orders, \"Old\".orders; say which");
        let error = choose_from("SELECT ON sales.ordres", &[], &[orders]).unwrap_err();
        assert!(error.starts_with("there is no table or sequence sales.ordres in database shop ("), "{error}");
        assert!(error.ends_with("; did you mean sales.orders?"), "{error}");
        let error = choose_from("SELECT ON far.away", &[], &[orders]).unwrap_err();
        assert!(error.ends_with("double quotes); correct the name"), "{error}");
        let error = choose_from("SELECT ON SEQUENCE sales.orders", &[orders], &[]).unwrap_err();
        assert!(error.contains("table sales.orders is no sequence"), "{error}");
    }

    #[test]
    fn a_privilege_has_to_be_one_of_the_kind_and_of_the_version() {
        let error = check(Kind::Sequence, Privileges::DELETE, 150_000).unwrap_err().to_string();
        assert_eq!(error, "a sequence has no privilege DELETE on this server; it has SELECT, UPDATE, USAGE");
        assert!(check(Kind::Table, Privileges::MAINTAIN, 160_000).is_err());
        assert!(check(Kind::Table, Privileges::MAINTAIN, 170_000).is_ok());
        assert!(check(Kind::Parameter, Privileges::SET, 150_000).is_ok());
        let error = check(Kind::Parameter, Privileges::SET, 140_000).unwrap_err().to_string();
        assert_eq!(error, "PostgreSQL 14 has no privileges on a parameter; they came with 15");
    }
}
