//! Reads which databases are not like others. Only an import asks: whoever declares one knows what it is.

use tokio_postgres::{Client, Error};

use crate::import::Unusual;

/// Reads it.
///
/// # Errors
/// Whatever PostgreSQL says.
pub async fn read(client: &Client) -> Result<Unusual, Error> {
    let mut unusual = Unusual::default();
    for row in client.query_typed(include_str!("queries/unusual_databases.sql"), &[]).await? {
        let name: String = row.try_get(0)?;
        if row.try_get(1)? {
            unusual.templates.insert(name);
        } else {
            unusual.invalid.insert(name);
        }
    }
    Ok(unusual)
}
