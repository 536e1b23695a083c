//! Reads the row-level security of tables.

use std::collections::{BTreeMap, BTreeSet};

use tokio::try_join;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::objects::Names;
use super::snapshot::rows;
use crate::catalog::{Catalog, FoundPolicy, FoundTable};
use crate::model::row_security::digest_of;
use crate::model::{PUBLIC, PolicyCommand};

/// Tables by schema and name.
type Tables = BTreeMap<(String, String), FoundTable>;

/// The tables of this database that are asked for, within the caller's transaction.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn read(client: &Client, catalog: &Catalog, asked: &BTreeSet<(String, String)>) -> Result<Tables, Error> {
    read_with(client, &Names::of(catalog), asked).await
}

/// Every table of this database that has any, by schema and name. Only an import asks.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn secured(client: &Client) -> Result<BTreeSet<(String, String)>, Error> {
    let sql = include_str!("queries/objects/secured.sql");
    let found = rows(client, sql, &[], |row| Ok((row.try_get(0)?, row.try_get(1)?))).await?;
    Ok(found.into_iter().collect())
}

pub(super) async fn read_with(
    client: &Client,
    names: &Names<'_>,
    asked: &BTreeSet<(String, String)>,
) -> Result<Tables, Error> {
    if asked.is_empty() {
        return Ok(Tables::new());
    }
    let schemas: Vec<&str> = asked.iter().map(|(schema, _)| schema.as_str()).collect();
    let tables: Vec<&str> = asked.iter().map(|(_, table)| table.as_str()).collect();
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&schemas, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)];
    let (tables, policies) = try_join!(
        rows(client, include_str!("queries/objects/row_security.sql"), &asked, |row| table(names, row)),
        rows(client, include_str!("queries/objects/policies.sql"), &asked, |row| policy(names, row)),
    )?;
    let mut tables: Tables = tables.into_iter().collect();
    for (key, name, policy) in policies {
        if let Some(table) = tables.get_mut(&key) {
            table.policies.insert(name, policy);
        }
    }
    Ok(tables)
}

fn table(names: &Names<'_>, row: &Row) -> Result<((String, String), FoundTable), Error> {
    let instead = match row.try_get(3)? {
        "r" | "p" => None,
        "v" => Some("a view"),
        "m" => Some("a materialized view"),
        "f" => Some("a foreign table"),
        "S" => Some("a sequence"),
        "c" => Some("a composite type"),
        _ => Some("no table"),
    };
    let table = FoundTable {
        owner: names.name(row.try_get(2)?),
        instead,
        enabled: row.try_get(4)?,
        forced: row.try_get(5)?,
        policies: BTreeMap::new(),
    };
    Ok(((row.try_get(0)?, row.try_get(1)?), table))
}

fn policy(names: &Names<'_>, row: &Row) -> Result<((String, String), String, FoundPolicy), Error> {
    let roles: Vec<u32> = row.try_get(5)?;
    let (using, check): (Option<&str>, Option<&str>) = (row.try_get(6)?, row.try_get(7)?);
    let policy = FoundPolicy {
        // One that this version does not know is none that it could have made.
        command: PolicyCommand::from_letter(row.try_get(3)?).unwrap_or(PolicyCommand::All),
        permissive: row.try_get(4)?,
        roles: roles.into_iter().map(|oid| if oid == 0 { PUBLIC.to_owned() } else { names.name(oid) }).collect(),
        has: (using.is_some(), check.is_some()),
        printed: digest_of(using, check),
        declared: None,
    };
    Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?, policy))
}
