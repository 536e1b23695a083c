//! Reads roles, memberships and ACLs for `access`: flat queries by OID in one transaction, joined in memory. Only what every
//! role may see is read: no password, and nothing that takes a privilege.

use tokio::try_join;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::snapshot::{self, rows};
use crate::access::explain::DefaultPrivilege;
use crate::access::graph::Edge;
use crate::access::{AclItem, Kind, Object, Oid, Role, Roles, privilege};
use crate::model::Privileges;
use crate::sql::quote::identifier;

/// What a session sees of the server.
#[derive(Debug, Clone)]
pub struct Here {
    /// Every role and membership, the owner's of the database left out.
    pub roles: Roles,
    /// The database.
    pub database: String,
    /// Its owner.
    pub owner: Oid,
    /// The server's clock, in Unix seconds.
    pub now: i64,
}

/// Begins the transaction: from here on everything is as of one moment.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn begin(client: &Client) -> Result<(), Error> {
    client.batch_execute(snapshot::BEGIN).await
}

/// Roles and memberships.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn here(client: &Client) -> Result<Here, Error> {
    let session = client.query_typed(include_str!("queries/access/session.sql"), &[]).await?;
    let row = session.first();
    let (owner, database, now, version) = match row {
        Some(row) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get::<_, i32>(3)?.unsigned_abs()),
        None => (0, String::new(), 0, 0),
    };
    let memberships = if version >= 160_000 {
        include_str!("queries/memberships.sql")
    } else {
        include_str!("queries/memberships_before_16.sql")
    };
    let (roles, edges) = try_join!(
        rows(client, include_str!("queries/roles_without_verifiers.sql"), &[], read_role),
        rows(client, memberships, &[], read_edge),
    )?;
    Ok(Here { roles: Roles::new(version, roles, edges), database, owner, now })
}

fn read_role(row: &Row) -> Result<(Oid, Role), Error> {
    let (oid, role, ..) = snapshot::read_role(row, false)?;
    Ok((
        oid,
        Role {
            name: role.name,
            attributes: role.attributes,
            connection_limit: role.connection_limit.unwrap_or(crate::model::Limit::Unlimited),
            valid_until: role.valid_until.unwrap_or(crate::model::Expiry::Never),
        },
    ))
}

fn read_edge(row: &Row) -> Result<Edge, Error> {
    Ok(Edge {
        role: row.try_get(0)?,
        member: row.try_get(1)?,
        admin: row.try_get(3)?,
        inherit: row.try_get(4)?,
        set: row.try_get(5)?,
    })
}

/// Which objects to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    /// Only in this schema.
    pub schema: Option<&'a str>,
    /// Only of this name (of a column: on this table).
    pub name: Option<&'a str>,
    /// Only what these hold; 0 is PUBLIC. The objects are read nevertheless, but for columns.
    pub grantees: Option<&'a [Oid]>,
}

/// Objects of a kind with their ACLs, by schema and name; tables and sequences come together.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn objects(client: &Client, kind: Kind, which: Which<'_>) -> Result<Vec<Object>, Error> {
    let sql = match kind {
        Kind::Table | Kind::Sequence => include_str!("queries/access/relations.sql"),
        Kind::Column => include_str!("queries/access/columns.sql"),
        Kind::Routine => include_str!("queries/access/routines.sql"),
        Kind::Type => include_str!("queries/access/types.sql"),
        Kind::Schema => include_str!("queries/access/schemas.sql"),
        Kind::Database => include_str!("queries/access/databases.sql"),
        Kind::Language => include_str!("queries/access/languages.sql"),
        Kind::ForeignServer => include_str!("queries/access/foreign_servers.sql"),
        Kind::ForeignDataWrapper => include_str!("queries/access/foreign_data_wrappers.sql"),
        Kind::LargeObject => include_str!("queries/access/large_objects.sql"),
        Kind::Parameter => include_str!("queries/access/parameters.sql"),
        Kind::Tablespace => include_str!("queries/access/tablespaces.sql"),
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&which.schema, Type::TEXT), (&which.name, Type::TEXT), (&which.grantees, Type::OID_ARRAY)];
    let mut found = rows(client, sql, &parameters, read_object).await?;
    found.sort_by(|(a, _), (b, _)| key(a).cmp(&key(b)));
    let mut objects: Vec<Object> = Vec::new();
    for (object, item) in found {
        match objects.last_mut().filter(|last| key(last) == key(&object)) {
            Some(last) => last.acl.extend(item),
            None => objects.push(Object { acl: item.into_iter().collect(), ..object }),
        }
    }
    Ok(objects)
}

/// What tells an object from every other.
fn key(object: &Object) -> (Kind, Option<&str>, &str, Option<&str>) {
    (object.kind, object.schema.as_deref(), &object.name, object.part.as_deref())
}

fn read_object(row: &Row) -> Result<(Object, Option<AclItem>), Error> {
    let word: &str = row.try_get(0)?;
    let object = Object {
        kind: Kind::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or(Kind::Table),
        schema: row.try_get(1)?,
        name: row.try_get(2)?,
        part: row.try_get(3)?,
        owner: row.try_get(4)?,
        guarded: row.try_get(5)?,
        limited: row.try_get(6)?,
        acl: Vec::new(),
    };
    let Some(grantee) = row.try_get::<_, Option<Oid>>(7)? else { return Ok((object, None)) };
    let item = AclItem {
        grantee: Some(grantee).filter(|grantee| *grantee != 0),
        grantor: row.try_get(8)?,
        // One that this version does not know is none that anybody can ask for.
        privilege: privilege(row.try_get(9)?).unwrap_or(Privileges::empty()),
        grantable: row.try_get(10)?,
    };
    Ok((object, Some(item)))
}

/// The columns of a table.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn column_names(client: &Client, table: &Object) -> Result<Vec<String>, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&table.schema, Type::TEXT), (&table.name, Type::TEXT)];
    rows(client, include_str!("queries/access/column_names.sql"), &parameters, |row| row.try_get(0)).await
}

/// The types of a routine's arguments as PostgreSQL writes them, for those that somebody wrote: `int` is `integer`.
/// `None`: there is no such routine.
///
/// # Errors
/// Where the connection is gone.
pub async fn arguments(
    client: &Client,
    schema: Option<&str>,
    name: &str,
    written: &str,
) -> Result<Option<String>, Error> {
    let schema = schema.map(|schema| identifier(schema) + ".").unwrap_or_default();
    let signature = format!("{schema}{}({written})", identifier(name));
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&signature, Type::TEXT)];
    client.batch_execute("SAVEPOINT arguments").await?;
    let found = rows(client, include_str!("queries/access/signature.sql"), &parameters, |row| row.try_get(0)).await;
    match found {
        Ok(found) => Ok(found.into_iter().next()),
        // Before 16, a type or schema that does not exist is an error rather than nothing; so is what is no type at all.
        Err(error) if error.as_db_error().is_some() => {
            client.batch_execute("ROLLBACK TO SAVEPOINT arguments").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Default privileges for these roles; 0 is PUBLIC.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn default_privileges(client: &Client, grantees: &[Oid]) -> Result<Vec<DefaultPrivilege>, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&grantees, Type::OID_ARRAY)];
    rows(client, include_str!("queries/access/default_privileges.sql"), &parameters, |row| {
        Ok(DefaultPrivilege {
            objects: match row.try_get::<_, &str>(0)? {
                "r" => "tables",
                "S" => "sequences",
                "f" => "routines",
                "T" => "types",
                "n" => "schemas",
                "L" => "large objects",
                _ => "objects",
            },
            schema: row.try_get(1)?,
            owner: row.try_get(2)?,
            grantee: Some(row.try_get::<_, Oid>(3)?).filter(|grantee| *grantee != 0),
            privilege: privilege(row.try_get(4)?).unwrap_or(Privileges::empty()),
            grantable: row.try_get(5)?,
        })
    })
    .await
}
