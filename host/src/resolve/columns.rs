//! What is held on columns beside what is held on their table. PostgreSQL keeps the two apart, and either one is enough;
//! but a REVOKE on a table is also one on each of its columns, of what the same grantor gave there. So what will go that
//! way counts as not held: where it is to stay, the plan grants it again; where it is to go, it needs no step.

use std::collections::BTreeMap;

use crate::catalog::Held;
use crate::model::{Grant, Object, Privileges};

/// Privileges that go, and grant options that go without their privilege.
type Loss = (Privileges, Privileges);

/// Takes out of what is found on columns what a plan for `desired` takes along from their tables. What the guard lets through
/// on a table is settled by both sides alone: all that is found there and not desired, and nothing else.
pub(super) fn taken_along(found: &mut [Grant], held: &BTreeMap<Object, Held>, desired: impl FnOnce() -> Vec<Grant>) {
    if !found.iter().any(|grant| matches!(grant.on, Object::Column { .. })) {
        return;
    }
    let desired = desired();
    let due: BTreeMap<&Object, &Grant> = desired.iter().map(|grant| (&grant.on, grant)).collect();
    let mut losses: BTreeMap<Object, Loss> = BTreeMap::new();
    for grant in found.iter().filter(|grant| matches!(grant.on, Object::Table { .. } | Object::AllTables(_))) {
        let (privileges, grantable) = due.get(&grant.on).map(|due| (due.privileges, due.grantable)).unwrap_or_default();
        let lost = grant.privileges - privileges;
        losses.insert(grant.on.clone(), (lost, (grant.grantable - grantable) - lost));
    }
    for column in found.iter_mut() {
        let (Some(table), Some(on_column)) = (column.on.table_of(), held.get(&column.on)) else { continue };
        let nothing = Held::default();
        let on_table = held.get(&table).unwrap_or(&nothing);
        let on_all = table.schema().map(|schema| Object::AllTables(schema.to_owned()));
        for place in [Some(&table), on_all.as_ref()].into_iter().flatten() {
            let Some((lost, option)) = losses.get(place).copied() else { continue };
            // A table on which nothing of it is held has no part in what is revoked on all of them.
            if place.is_all() && !on_table.privileges.intersects(lost | option) {
                continue;
            }
            let stays = given_by_others(on_column, on_table);
            column.privileges -= lost - stays;
            column.grantable -= (lost | option) - stays;
        }
    }
}

/// What was granted on the column by others than the owner who did not grant the same on the table, so that nothing is
/// revoked there in their name.
fn given_by_others(on_column: &Held, on_table: &Held) -> Privileges {
    on_column.foreign.iter().fold(Privileges::empty(), |stays, (grantor, privileges)| {
        stays | (*privileges - on_table.foreign.get(grantor).copied().unwrap_or_default())
    })
}
