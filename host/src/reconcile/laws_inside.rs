//! The law of grants inside of databases, for random ones: a plan leads each role to what it declares
//! on every single object, and to nothing else; then there is nothing left to do. What becomes of
//! each object is told by a model of its own, which knows nothing of the form that a plan is made in. The same for what
//! belongs to the whole server.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::laws::{bounds, plan};
use crate::catalog::{Catalog, Held, Objects, Schema};
use crate::guard::{self, Judgement};
use crate::model::{Attributes, Database, Expiry, Grant, Limit, Mode, Object, ObjectKind, Privileges, Role, Spec};
use crate::plan::Change;
use crate::resolve::{self, Kind, Origin, Record, Records, shared, wishes};

pub(super) const DATABASE: &str = "shop";
const ROLES: [&str; 3] = ["a", "b", "new"];

fn objects() -> Vec<(Object, ObjectKind)> {
    let table = |schema: &str, name: &str| {
        (Object::Table { schema: schema.to_owned(), name: name.to_owned() }, ObjectKind::Table)
    };
    let sequence = Object::Sequence { schema: "s".to_owned(), name: "q".to_owned() };
    let of_type = |name: &str| (Object::Type { schema: "s".to_owned(), name: name.to_owned() }, ObjectKind::Type);
    vec![
        table("s", "t"),
        table("s", "u"),
        table("s", "v"),
        table("z", "t"),
        (sequence, ObjectKind::Sequence),
        of_type("d"),
        of_type("e"),
    ]
}

/// Of the kinds that nobody can speak of all at once; `k` is a type that is the row of a table. The columns are of tables that `objects` has, with their owners.
fn others() -> Vec<Object> {
    let column = |schema: &str, table: &str, column: &str| Object::Column {
        schema: schema.to_owned(),
        table: table.to_owned(),
        column: column.to_owned(),
    };
    vec![
        column("s", "t", "x"),
        column("s", "t", "y"),
        column("s", "u", "x"),
        column("z", "t", "x"),
        Object::Type { schema: "s".to_owned(), name: "k".to_owned() },
        Object::Language("plpgsql".to_owned()),
        Object::ForeignServer("w".to_owned()),
        Object::LargeObject(7),
    ]
}

fn privileges(object: &Object) -> BoxedStrategy<(Privileges, Privileges)> {
    let known = match object {
        Object::Schema(_) => vec![Privileges::USAGE, Privileges::CREATE],
        Object::Language(_) | Object::ForeignServer(_) => vec![Privileges::USAGE],
        object if object.kind() == Some(ObjectKind::Type) => vec![Privileges::USAGE],
        Object::LargeObject(_) => vec![Privileges::SELECT, Privileges::UPDATE],
        Object::Parameter(_) => vec![Privileges::SET],
        Object::Tablespace(_) => vec![Privileges::CREATE],
        object if object.kind() == Some(ObjectKind::Sequence) => vec![Privileges::USAGE, Privileges::SELECT],
        _ => vec![Privileges::SELECT, Privileges::INSERT],
    };
    let some = move |least| {
        let known = known.clone();
        subsequence(known.clone(), least..=known.len())
            .prop_map(|some| some.into_iter().fold(Privileges::empty(), |all, one| all | one))
    };
    (some(1), some(0)).prop_map(|(privileges, grantable)| (privileges, privileges & grantable)).boxed()
}

/// Something that can be declared; and, but for all objects of a schema, found.
fn on(with_all: bool) -> impl Strategy<Value = (Object, (Privileges, Privileges))> {
    let mut known: Vec<Object> = objects().into_iter().map(|(object, _)| object).chain(others()).collect();
    for schema in ["s", "z"] {
        known.push(Object::Schema(schema.to_owned()));
        for kind in [ObjectKind::Table, ObjectKind::Sequence, ObjectKind::Type] {
            known.push(if with_all { kind.all(schema) } else { kind.future("o", schema) });
        }
    }
    select(known).prop_flat_map(|object| (Just(object.clone()), privileges(&object)))
}

fn server_objects() -> Vec<Object> {
    let parameters = ["work_mem", "log_statement"].map(|name| Object::Parameter(name.to_owned()));
    parameters.into_iter().chain([Object::Tablespace("fast".to_owned())]).collect()
}

fn on_the_server() -> impl Strategy<Value = (Object, (Privileges, Privileges))> {
    select(server_objects()).prop_flat_map(|object| (Just(object.clone()), privileges(&object)))
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) spec: Spec,
    pub(crate) catalog: Catalog,
    pub(crate) records: Records,
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let declared = prop::collection::vec(prop::collection::vec(on(true), 0..7), ROLES.len());
    let found = prop::collection::vec(prop::collection::vec((on(false), any::<bool>()), 0..10), 2);
    let owners = prop::collection::vec(select(vec!["o", "o", "a"]), 7);
    (declared, found, owners, subsequence(ROLES.to_vec(), 0..=2)).prop_map(|(declared, found, owners, recorded)| {
        let mut catalog = Catalog::default();
        catalog.server.version = 180_000;
        catalog.server.superuser = true;
        catalog.server.current_user = "postgres".into();
        catalog.server.bootstrap_superuser = "postgres".into();
        for (number, name) in ["postgres", "o", "a", "b", "delegate"].into_iter().enumerate() {
            let mut role = Role::new(name, Mode::Authoritative, Attributes::GROUP);
            role.has_password = Some(false);
            role.connection_limit = Some(Limit::Unlimited);
            role.valid_until = Some(Expiry::Never);
            catalog.roles.insert(name.into(), role);
            catalog.oids.insert(name.into(), number as u32 + 10);
        }
        let database = Database { owner: Some("o".into()), ..Database::new(DATABASE) };
        catalog.databases.insert(DATABASE.into(), database);
        let mut inside = Objects::default();
        for schema in ["s", "z"] {
            inside.schemas.insert(schema.into(), Schema { owner: "o".into(), creators: BTreeSet::new() });
        }
        for ((object, kind), owner) in objects().into_iter().zip(owners) {
            let schema = object.schema().unwrap().to_owned();
            inside.members.entry((kind, schema)).or_default().insert(object, owner.into());
        }
        for other in others() {
            let table = other.table_of();
            let owner = table.as_ref().and_then(|table| inside.owner(table)).unwrap_or("o").to_owned();
            inside.others.insert(other, owner);
        }
        for (name, grants) in ["a", "b"].into_iter().zip(found) {
            for ((object, (privileges, grantable)), by_delegate) in grants {
                if inside.owner(&object) == Some(name) {
                    continue;
                }
                let is_future = object.future_owner().is_some();
                let held = inside.held.entry(name.into()).or_default().entry(object).or_default();
                // Each privilege has one grantor: who gave its grant option is clear then.
                let new = privileges - held.privileges;
                held.privileges |= new;
                held.grantable |= grantable & new;
                if by_delegate && !is_future && !new.is_empty() {
                    *held.foreign.entry("delegate".into()).or_default() |= new;
                }
            }
        }
        catalog.objects.insert(DATABASE.into(), inside);

        let mut spec = Spec::default();
        for (name, grants) in ROLES.into_iter().zip(declared) {
            let mut role = Role::new(name, Mode::Authoritative, Attributes::GROUP);
            role.grants = grants
                .into_iter()
                .map(|(on, (privileges, grantable))| Grant {
                    database: Some(DATABASE.into()),
                    on,
                    privileges,
                    grantable,
                })
                .collect();
            spec.roles.insert(name.into(), role);
        }
        // A role that was last left with something there is looked at, whatever it declares.
        let before = Grant {
            database: Some(DATABASE.into()),
            on: Object::Schema("s".into()),
            privileges: Privileges::USAGE,
            grantable: Privileges::empty(),
        };
        let record = |name: &str| Record {
            oid: catalog.oids.get(name).copied(),
            kind: Kind::Group,
            origin: Origin::Created,
            secret_version: None,
            row_version: None,
            applied: Some(Role { grants: vec![before.clone()], ..catalog.roles[name].clone() }),
            leaving_since: None,
        };
        let recorded = recorded.into_iter().filter(|name| catalog.roles.contains_key(*name));
        let records: Records = recorded.map(|name| (name.to_owned(), record(name))).collect();
        let managed = resolve::managed(&records, &catalog);
        catalog.assign_standing(&BTreeSet::new(), &managed);
        World { spec, catalog, records }
    })
}

/// What is held on each object after a change, by an independent reading of GRANT and REVOKE.
pub(super) fn carry_out(inside: &mut Objects, change: &Change) {
    let (role, grant, gives) = match change {
        Change::GrantPrivilege { role: Some(role), grant } => (role, grant, true),
        Change::RevokePrivilege { role: Some(role), grant } => (role, grant, false),
        _ => return,
    };
    let targets: Vec<Object> = if grant.on.is_all() {
        let (kind, schema) = (grant.on.kind().unwrap(), grant.on.schema().unwrap());
        inside.members(kind, schema).filter(|(_, owner)| *owner != role).map(|(object, _)| object.clone()).collect()
    } else {
        vec![grant.on.clone()]
    };
    let held = inside.held.entry(role.clone()).or_default();
    for object in targets {
        if !gives {
            on_its_columns(held, &object, grant);
        }
        let on: &mut Held = held.entry(object).or_default();
        if gives {
            on.privileges |= grant.privileges;
            on.grantable |= grant.grantable;
        } else {
            on.privileges -= grant.privileges;
            on.grantable -= grant.privileges | grant.grantable;
        }
    }
    held.retain(|_, held| !held.privileges.is_empty());
}

/// "If a role holds privileges on a table and on its columns, a REVOKE on the table revokes both": of what the same grantor
/// gave, and where something of it is held on the table, so that this is named at all.
fn on_its_columns(held: &mut BTreeMap<Object, Held>, table: &Object, grant: &Grant) {
    let Some(on_table) = held.get(table).cloned() else { return };
    if !on_table.privileges.intersects(grant.privileges | grant.grantable) {
        return;
    }
    let by = |held: &Held| held.foreign.get("delegate").copied().unwrap_or_default();
    for (_, on) in held.iter_mut().filter(|(object, _)| object.table_of().as_ref() == Some(table)) {
        let stays = by(on) - by(&on_table);
        on.privileges -= grant.privileges - stays;
        on.grantable -= (grant.privileges | grant.grantable) - stays;
    }
}

/// What a role declares on one object: what it says of it, and of all such objects.
pub(super) fn declared_on(role: &Role, object: &Object) -> (Privileges, Privileges) {
    let is_future = object.future_owner().is_some();
    let is_one_of_all = is_future || objects().iter().any(|(one, _)| one == object);
    let all = object.kind().zip(object.schema()).filter(|_| is_one_of_all).map(|(kind, schema)| kind.all(schema));
    role.grants
        .iter()
        .filter(|grant| (!is_future && grant.on == *object) || Some(&grant.on) == all.as_ref())
        .fold((Privileges::empty(), Privileges::empty()), |(privileges, grantable), grant| {
            (privileges | grant.privileges, grantable | grant.grantable)
        })
}

/// All that something can be held on, but for what stands for others.
pub(super) fn everything() -> Vec<Object> {
    let mut everything: Vec<Object> = objects().into_iter().map(|(object, _)| object).chain(others()).collect();
    for schema in ["s", "z"] {
        everything.push(Object::Schema(schema.into()));
        everything
            .extend([ObjectKind::Table, ObjectKind::Sequence, ObjectKind::Type].map(|kind| kind.future("o", schema)));
    }
    everything
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_role_comes_to_hold_what_it_declares_on_every_object_and_nothing_else(world in world()) {
        let World { spec: declared, catalog, records } = world;
        let (mut spec, mut seen) = (declared.clone(), catalog.clone());
        wishes::complete(&mut spec, &mut seen, &records);
        let resolved = resolve::resolve(&spec, &seen, &records, &BTreeMap::new());
        let plan = plan(&resolved, &seen);
        let judged = guard::judge(plan.clone().into(), "standard", &resolved, &seen, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");

        let mut after = catalog.clone();
        for step in &plan.steps {
            if let Change::CreateRole(role) = &step.change {
                after.roles.insert(role.name.clone(), Role { grants: Vec::new(), ..role.clone() });
                after.oids.insert(role.name.clone(), 99);
            }
            carry_out(after.objects.get_mut(DATABASE).unwrap(), &step.change);
        }
        let inside = &after.objects[DATABASE];
        let everything = everything();
        for role in declared.roles.values() {
            let watched = !role.grants.is_empty() || records.contains_key(&role.name);
            for object in everything.iter().filter(|object| watched && inside.owner(object) != Some(&role.name)) {
                // An option without its privilege is none.
                let (privileges, grantable) = inside.held(&role.name, object);
                prop_assert_eq!(
                    (privileges, grantable & privileges), declared_on(role, object), "{} on {:?}\n{:#?}",
                    role.name, object, plan.steps
                );
            }
        }

        let mut spec = declared;
        for name in spec.roles.keys() {
            let oid = after.oids.get(name).copied();
            prop_assert!(oid.is_some());
        }
        wishes::complete(&mut spec, &mut after, &records);
        let managed = resolve::managed(&records, &after);
        after.assign_standing(&BTreeSet::new(), &managed);
        let resolved = resolve::resolve(&spec, &after, &records, &BTreeMap::new());
        let again = super::laws::plan(&resolved, &after);
        prop_assert!(again.steps.is_empty(), "{:#?}", again.steps);
    }

    #[test]
    fn what_belongs_to_the_server_is_exact_for_those_who_declare_some_and_nobodys_business_for_others(
        declared in prop::collection::vec(on_the_server(), 0..4),
        found in prop::collection::vec(on_the_server(), 0..4),
        recorded in prop::option::of(any::<bool>()),
    ) {
        let mut catalog = Catalog::default();
        catalog.server.version = 180_000;
        catalog.server.superuser = true;
        for (number, name) in ["postgres", "a"].into_iter().enumerate() {
            let mut role = Role::new(name, Mode::Authoritative, Attributes::GROUP);
            role.has_password = Some(false);
            role.connection_limit = Some(Limit::Unlimited);
            role.valid_until = Some(Expiry::Never);
            catalog.roles.insert(name.into(), role);
            catalog.oids.insert(name.into(), number as u32 + 10);
        }
        catalog.shared.others.insert(Object::Tablespace("fast".into()), "postgres".into());
        for (on, (privileges, grantable)) in found {
            let on = catalog.shared.held.entry("a".into()).or_default().entry(on).or_default();
            on.privileges |= privileges;
            on.grantable |= grantable;
        }
        let grants: Vec<Grant> = declared
            .into_iter()
            .map(|(on, (privileges, grantable))| Grant { database: None, on, privileges, grantable })
            .collect();
        let role = Role { grants, ..catalog.roles["a"].clone() };
        let before = Grant {
            database: None,
            on: Object::Parameter("work_mem".into()),
            privileges: Privileges::SET,
            grantable: Privileges::empty(),
        };
        let records: Records = recorded
            .map(|with_some| Record {
                oid: catalog.oids.get("a").copied(),
                kind: Kind::Group,
                origin: Origin::Created,
                secret_version: None,
                row_version: None,
                leaving_since: None,
                applied: Some(Role {
                    grants: if with_some { vec![before] } else { Vec::new() },
                    ..catalog.roles["a"].clone()
                }),
            })
            .map(|record| ("a".to_owned(), record))
            .into_iter()
            .collect();
        let managed = resolve::managed(&records, &catalog);
        catalog.assign_standing(&BTreeSet::new(), &managed);
        let speaks = !role.grants.is_empty() || recorded == Some(true);
        let spec = Spec { roles: [("a".to_owned(), role.clone())].into(), ..Spec::default() };

        let (mut completed, mut seen) = (spec.clone(), catalog.clone());
        shared::complete(&mut completed, &mut seen, &records);
        let resolved = resolve::resolve(&completed, &seen, &records, &BTreeMap::new());
        let plan = plan(&resolved, &seen);
        let judged = guard::judge(plan.clone().into(), "standard", &resolved, &seen, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");
        prop_assert!(speaks || plan.steps.is_empty(), "{:#?}", plan.steps);
        let mut after = catalog.clone();
        for step in &plan.steps {
            carry_out(&mut after.shared, &step.change);
        }
        for on in server_objects().into_iter().filter(|_| speaks) {
            let (privileges, grantable) = after.shared.held("a", &on);
            prop_assert_eq!((privileges, grantable & privileges), declared_on(&role, &on), "{:#?}", plan.steps);
        }
        let mut completed = spec;
        shared::complete(&mut completed, &mut after, &records);
        let resolved = resolve::resolve(&completed, &after, &records, &BTreeMap::new());
        let again = super::laws::plan(&resolved, &after);
        prop_assert!(again.steps.is_empty(), "{:#?}", again.steps);
    }
}
