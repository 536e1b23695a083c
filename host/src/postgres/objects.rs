//! Reads what lies in one database, as far as the spec is about it: flat queries in one transaction,
//! joined in memory by OID, for the roles and schemas that are asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use tokio::try_join;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::snapshot::rows;
use super::{apply, row_security};
use crate::catalog::{Catalog, Objects, Question, Schema};
use crate::model::{Object, ObjectKind, PUBLIC, Privileges};

/// Reads it, as of one moment. The catalog tells what the roles are called.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn read(client: &Client, catalog: &Catalog, question: &Question) -> Result<Objects, Error> {
    apply::begin(client).await?;
    let objects = read_in_transaction(client, catalog, question).await;
    apply::roll_back(client).await;
    objects
}

/// The same within the caller's transaction: what it has changed so far shows.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn read_in_transaction(client: &Client, catalog: &Catalog, question: &Question) -> Result<Objects, Error> {
    let mut names = Names::of(catalog);
    if !catalog.foreseen.is_empty() {
        names.learn(client, catalog).await?;
    }
    let names = names;
    let roles: Vec<&str> = question.roles.iter().map(String::as_str).collect();
    let schemas: Vec<&str> = question.schemas.iter().map(String::as_str).collect();
    let named = Named::of(question);
    let asked = named.parameters();
    let roles: [(&(dyn ToSql + Sync), Type); 1] = [(&roles, Type::TEXT_ARRAY)];
    let everybody = question.roles.contains(PUBLIC);
    let of_everybody: [(&(dyn ToSql + Sync), Type); 2] = [(&schemas, Type::TEXT_ARRAY), (&everybody, Type::BOOL)];
    let schemas: [(&(dyn ToSql + Sync), Type); 1] = [(&schemas, Type::TEXT_ARRAY)];
    // Every session has pg_catalog for its search_path, so types of arguments are written with their schema.
    let (
        found,
        relations,
        routines,
        types,
        others,
        privileges,
        defaults,
        everybody,
        closed_later,
        secured,
        fingerprint,
    ) = try_join!(
        rows(client, include_str!("queries/objects/schemas.sql"), &[], |row| names.schema(row)),
        rows(client, include_str!("queries/objects/relations.sql"), &schemas, |row| names.relation(row)),
        rows(client, include_str!("queries/objects/routines.sql"), &schemas, |row| names.routine(row)),
        rows(client, include_str!("queries/objects/types.sql"), &schemas, |row| names.kind_of_type(row)),
        rows(client, include_str!("queries/objects/others.sql"), &asked, |row| names.other(row)),
        rows(client, include_str!("queries/objects/privileges.sql"), &roles, |row| names.privilege(row)),
        rows(client, include_str!("queries/objects/default_privileges.sql"), &roles, |row| names
            .default_privilege(row)),
        rows(client, include_str!("queries/objects/everybody.sql"), &of_everybody, |row| names.privilege(row)),
        rows(client, include_str!("queries/objects/closed_later.sql"), &[], |row| names.closed_later(row)),
        row_security::read_with(client, &names, &question.secured),
        fingerprint(client),
    )?;
    let mut objects = Objects { fingerprint, secured, ..Objects::default() };
    objects.schemas.extend(found);
    for (kind, schema, object, owner) in relations.into_iter().chain(types) {
        objects.members.entry((kind, schema)).or_default().insert(object, owner);
    }
    for (schema, object, types, owner) in routines {
        if types != object {
            objects.signatures.insert(types, object.clone());
        }
        objects.members.entry((ObjectKind::Routine, schema)).or_default().insert(object, owner);
    }
    for other in others.into_iter().flatten() {
        match other {
            Other::Granted(object, owner) => {
                objects.others.insert(object, owner);
            }
            Other::Untrusted(language) => {
                objects.untrusted_languages.insert(language);
            }
        }
    }
    objects.closed_later.extend(closed_later);
    for found in privileges.into_iter().chain(defaults).chain(everybody).flatten() {
        // A type that a role holds something on may be the row of a table, or lie in a schema that nobody asked for.
        let is_other = found.on.kind().is_none() || matches!(found.on, Object::Type { .. });
        if is_other && let Some(owner) = found.owner {
            objects.others.insert(found.on.clone(), owner);
        }
        objects.hold(found.grantee, found.on, found.privilege, found.is_grantable, found.foreign_grantor);
    }
    Ok(objects)
}

/// The digest of the row versions behind it: one small query.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn fingerprint(client: &Client) -> Result<String, Error> {
    let rows = client.query_typed(include_str!("queries/objects/fingerprint.sql"), &[]).await?;
    rows.first().map_or(Ok(String::new()), |row| row.try_get(0))
}

/// What is asked for by name, as arrays of the same length.
#[derive(Default)]
struct Named<'a> {
    types: [Vec<&'a str>; 2],
    columns: [Vec<&'a str>; 3],
    large_objects: Vec<u32>,
}

impl<'a> Named<'a> {
    fn of(question: &'a Question) -> Named<'a> {
        let mut named = Named::default();
        for object in &question.named {
            match object {
                Object::Type { schema, name } => {
                    named.types[0].push(schema);
                    named.types[1].push(name);
                }
                Object::Column { schema, table, column } => {
                    named.columns[0].push(schema);
                    named.columns[1].push(table);
                    named.columns[2].push(column);
                }
                Object::LargeObject(oid) => named.large_objects.push(*oid),
                _ => {}
            }
        }
        named
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 6] {
        let [schemas, types] = &self.types;
        let [of, tables, columns] = &self.columns;
        [
            (schemas, Type::TEXT_ARRAY),
            (types, Type::TEXT_ARRAY),
            (of, Type::TEXT_ARRAY),
            (tables, Type::TEXT_ARRAY),
            (columns, Type::TEXT_ARRAY),
            (&self.large_objects, Type::OID_ARRAY),
        ]
    }
}

/// Something else than a schema or what lies in one by the thousand.
enum Other {
    /// That privileges can be granted on, and its owner.
    Granted(Object, String),
    /// A language that is for superusers only.
    Untrusted(String),
}

/// Role names by OID.
pub(super) struct Names<'a> {
    by_oid: BTreeMap<u32, Cow<'a, str>>,
}

struct FoundPrivilege {
    on: Object,
    grantee: String,
    owner: Option<String>,
    foreign_grantor: Option<String>,
    privilege: Privileges,
    is_grantable: bool,
}

impl<'a> Names<'a> {
    pub(super) fn of(catalog: &'a Catalog) -> Names<'a> {
        Names { by_oid: catalog.oids.iter().map(|(name, oid)| (*oid, name.as_str().into())).collect() }
    }

    /// Owners that were foreseen may be there by now.
    async fn learn(&mut self, client: &Client, catalog: &Catalog) -> Result<(), Error> {
        let names: Vec<&str> = catalog.foreseen.iter().map(String::as_str).collect();
        let names: [(&(dyn ToSql + Sync), Type); 1] = [(&names, Type::TEXT_ARRAY)];
        let sql = "SELECT oid, rolname::text FROM pg_roles WHERE rolname = ANY ($1)";
        let found = rows(client, sql, &names, |row| Ok((row.try_get(0)?, row.try_get::<_, String>(1)?))).await?;
        self.by_oid.extend(found.into_iter().map(|(oid, name)| (oid, name.into())));
        Ok(())
    }

    /// One that was made since the catalog was read goes by its number: nobody declared it.
    pub(super) fn name(&self, oid: u32) -> String {
        self.by_oid.get(&oid).map_or_else(|| oid.to_string(), |name| name.clone().into_owned())
    }

    fn schema(&self, row: &Row) -> Result<(String, Schema), Error> {
        let creators: Vec<u32> = row.try_get(2)?;
        let owner = self.name(row.try_get(1)?);
        Ok((row.try_get(0)?, Schema { owner, creators: creators.into_iter().map(|oid| self.name(oid)).collect() }))
    }

    fn relation(&self, row: &Row) -> Result<(ObjectKind, String, Object, String), Error> {
        let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let owner = self.name(row.try_get(3)?);
        Ok(if row.try_get(2)? {
            (ObjectKind::Sequence, schema.clone(), Object::Sequence { schema, name }, owner)
        } else {
            (ObjectKind::Table, schema.clone(), Object::Table { schema, name }, owner)
        })
    }

    fn kind_of_type(&self, row: &Row) -> Result<(ObjectKind, String, Object, String), Error> {
        let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let object = Object::Type { schema: schema.clone(), name };
        Ok((ObjectKind::Type, schema, object, self.name(row.try_get(2)?)))
    }

    fn routine(&self, row: &Row) -> Result<(String, Object, Object, String), Error> {
        let (schema, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let of = |arguments| Object::Routine { schema: schema.clone(), name: name.clone(), arguments };
        let (object, types) = (of(row.try_get(2)?), of(row.try_get(3)?));
        Ok((schema, object, types, self.name(row.try_get(4)?)))
    }

    fn other(&self, row: &Row) -> Result<Option<Other>, Error> {
        let Some(object) = named(row)? else { return Ok(None) };
        Ok(Some(match object {
            Object::Language(name) if !row.try_get::<_, bool>(5)? => Other::Untrusted(name),
            object => Other::Granted(object, self.name(row.try_get(4)?)),
        }))
    }

    fn privilege(&self, row: &Row) -> Result<Option<FoundPrivilege>, Error> {
        let Some(on) = named(row)? else { return Ok(None) };
        let (grantor, owner): (u32, u32) = (row.try_get(5)?, row.try_get(6)?);
        Ok(Some(FoundPrivilege {
            on,
            grantee: row.try_get(4)?,
            owner: Some(self.name(owner)),
            foreign_grantor: (grantor != owner).then(|| self.name(grantor)),
            // One that this version does not know is none that it could have given.
            privilege: Privileges::from_keyword(row.try_get(7)?).unwrap_or_default(),
            is_grantable: row.try_get(8)?,
        }))
    }

    fn closed_later(&self, row: &Row) -> Result<(ObjectKind, String), Error> {
        let kind = if row.try_get::<_, &str>(0)? == "T" { ObjectKind::Type } else { ObjectKind::Routine };
        Ok((kind, self.name(row.try_get(1)?)))
    }

    fn default_privilege(&self, row: &Row) -> Result<Option<FoundPrivilege>, Error> {
        let (schema, owner): (Option<String>, String) = (row.try_get(1)?, self.name(row.try_get(2)?));
        let on = match row.try_get(0)? {
            "r" => Object::FutureTables { owner, schema },
            "S" => Object::FutureSequences { owner, schema },
            "f" => Object::FutureRoutines { owner, schema },
            "T" => Object::FutureTypes { owner, schema },
            "n" => Object::FutureSchemas { owner, schema },
            _ => return Ok(None),
        };
        Ok(Some(FoundPrivilege {
            on,
            grantee: row.try_get(3)?,
            owner: None,
            foreign_grantor: None,
            privilege: Privileges::from_keyword(row.try_get(4)?).unwrap_or_default(),
            is_grantable: row.try_get(5)?,
        }))
    }
}

/// The object that the first four columns of a row name: kind, schema, name, part.
fn named(row: &Row) -> Result<Option<Object>, Error> {
    let text = |column| row.try_get::<_, Option<String>>(column).map(Option::unwrap_or_default);
    let (schema, name, part) = (text(1)?, text(2)?, text(3)?);
    Ok(Some(match row.try_get(0)? {
        "schema" => Object::Schema(schema),
        "table" => Object::Table { schema, name },
        "sequence" => Object::Sequence { schema, name },
        "routine" => Object::Routine { schema, name, arguments: part },
        "column" => Object::Column { schema, table: name, column: part },
        "type" => Object::Type { schema, name },
        "language" => Object::Language(name),
        "foreign data wrapper" => Object::ForeignDataWrapper(name),
        "foreign server" => Object::ForeignServer(name),
        "large object" => match name.parse() {
            Ok(oid) => Object::LargeObject(oid),
            Err(_) => return Ok(None),
        },
        _ => return Ok(None),
    }))
}
