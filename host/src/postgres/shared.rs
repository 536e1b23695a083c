//! Reads what roles hold on what belongs to the whole server and is no database: tablespaces, and parameters where the
//! server has privileges on them.

use tokio::try_join;
use tokio_postgres::{Client, Error, Row};

use super::objects::Names;
use super::snapshot::rows;
use crate::catalog::{Catalog, Objects, Server};
use crate::model::{Object, Privileges};

/// One privilege of a role, or that there is such an object.
pub(super) struct Found {
    on: Object,
    owner: u32,
    /// Grantee, grantor, privilege, and whether with grant option.
    held: Option<(u32, u32, Privileges, bool)>,
}

/// All of it. There is little of it, and whom the spec speaks of is not known yet.
pub(super) async fn read(client: &Client, server: &Server) -> Result<Vec<Found>, Error> {
    let tablespaces = rows(client, include_str!("queries/tablespaces.sql"), &[], Found::read);
    if !server.has_parameter_privileges() {
        return tablespaces.await;
    }
    let parameters = rows(client, include_str!("queries/parameters.sql"), &[], Found::read);
    let (mut found, parameters) = try_join!(tablespaces, parameters)?;
    found.extend(parameters);
    Ok(found)
}

impl Found {
    fn read(row: &Row) -> Result<Found, Error> {
        let name: String = row.try_get(1)?;
        let on =
            if row.try_get::<_, &str>(0)? == "parameter" { Object::Parameter(name) } else { Object::Tablespace(name) };
        let held = match row.try_get::<_, Option<u32>>(3)? {
            Some(grantee) => {
                let privilege = Privileges::from_keyword(row.try_get(5)?).unwrap_or_default();
                Some((grantee, row.try_get(4)?, privilege, row.try_get(6)?))
            }
            None => None,
        };
        Ok(Found { on, owner: row.try_get(2)?, held })
    }
}

/// The same by the names of the roles.
pub(super) fn objects(found: Vec<Found>, catalog: &Catalog) -> Objects {
    let names = Names::of(catalog);
    let mut objects = Objects::default();
    for Found { on, owner, held } in found {
        if let Some((grantee, grantor, privilege, is_grantable)) = held {
            let foreign_grantor = (grantor != owner).then(|| names.name(grantor));
            objects.hold(names.name(grantee), on.clone(), privilege, is_grantable, foreign_grantor);
        }
        objects.others.insert(on, names.name(owner));
    }
    objects
}
