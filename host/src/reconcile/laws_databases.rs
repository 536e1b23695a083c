//! The law of databases and schemas, for random ones: a plan leads from what is there to what is declared, whoever owned
//! what and whatever PUBLIC might do; it touches nothing that is not declared; and then there is nothing left to do. What
//! the server makes of each step is told by a model of its own.

use std::collections::{BTreeMap, BTreeSet};

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::laws::{bounds, plan};
use crate::catalog::{Catalog, Held, Objects, Schema};
use crate::guard::{self, Judgement};
use crate::model::{
    self, Attributes, Database, Expiry, Grant, Limit, Mode, Object, ObjectKind, PUBLIC, Privileges, Role, Spec,
};
use crate::plan::{Change, Plan};
use crate::resolve::{self, Records, Resolved, databases, wishes};

const DATABASES: [&str; 3] = ["shop", "stock", "new"];
const SCHEMAS: [&str; 2] = ["sales", "fresh"];
const ON_DATABASES: [Privileges; 3] = [Privileges::CONNECT, Privileges::TEMPORARY, Privileges::CREATE];
const ON_SCHEMAS: [Privileges; 2] = [Privileges::USAGE, Privileges::CREATE];

fn some_of(known: &[Privileges]) -> impl Strategy<Value = Privileges> + use<> {
    subsequence(known.to_vec(), 0..=known.len())
        .prop_map(|some| some.into_iter().fold(Privileges::empty(), |all, one| all | one))
}

fn owner() -> impl Strategy<Value = Option<String>> {
    option::of(select(vec!["app", "other", "coming"]).prop_map(str::to_owned))
}

fn limit() -> impl Strategy<Value = Option<Limit>> {
    option::of(prop_oneof![Just(Limit::Unlimited), Just(Limit::AtMost(3))])
}

/// What PUBLIC may on a schema, and on all of each kind in it, where that is said.
type InSchema = (Option<Privileges>, Vec<Option<Privileges>>);

/// Something about a database: as declared, with what PUBLIC may on it and on its schemas where that is said.
type Said = (Database, Option<Privileges>, Vec<InSchema>);

/// Two that PUBLIC may hold on each kind, if there are two.
fn of_kind(kind: ObjectKind) -> Vec<Privileges> {
    kind.privileges().iter().take(2).collect()
}

fn in_schema() -> impl Strategy<Value = InSchema> {
    let kinds = ObjectKind::ALL.map(|kind| option::of(some_of(&of_kind(kind))).boxed());
    (option::of(some_of(&ON_SCHEMAS)), kinds.to_vec())
}

/// What lies in `sales` of each database that is there.
fn members() -> Vec<(Object, ObjectKind)> {
    let schema = || "sales".to_owned();
    let table = |name: &str| (Object::Table { schema: schema(), name: name.into() }, ObjectKind::Table);
    let routine = |name: &str| {
        (Object::Routine { schema: schema(), name: name.into(), arguments: String::new() }, ObjectKind::Routine)
    };
    let of_type = |name: &str| (Object::Type { schema: schema(), name: name.into() }, ObjectKind::Type);
    vec![table("t"), table("u"), routine("f"), routine("g"), of_type("k")]
}

/// What PUBLIC may hold something on there, besides the schema.
fn holdable() -> Vec<Object> {
    let column = Object::Column { schema: "sales".into(), table: "t".into(), column: "x".into() };
    let later = ObjectKind::ALL.map(|kind| kind.future("other", "sales"));
    members().into_iter().map(|(object, _)| object).chain([column]).chain(later).collect()
}

fn held_by_everybody() -> impl Strategy<Value = BTreeMap<Object, Privileges>> {
    let each = holdable().into_iter().map(|object| {
        let known = object.kind().map_or(vec![Privileges::SELECT], of_kind);
        (Just(object), some_of(&known)).boxed()
    });
    each.collect::<Vec<_>>().prop_map(|held| held.into_iter().filter(|(_, it)| !it.is_empty()).collect())
}

fn declared(name: &'static str) -> impl Strategy<Value = Said> {
    let schemas = subsequence(SCHEMAS.to_vec(), 0..=SCHEMAS.len());
    let schemas = schemas.prop_flat_map(|names| {
        let schema = |name: &'static str| (Just(name), owner(), in_schema());
        names.into_iter().map(schema).collect::<Vec<_>>()
    });
    let comment = option::of(select(vec!["", "c"]).prop_map(str::to_owned));
    (owner(), limit(), comment, schemas, option::of(some_of(&ON_DATABASES))).prop_map(
        move |(owner, connection_limit, comment, schemas, public)| {
            let publics = schemas.iter().map(|(_, _, public)| public.clone()).collect();
            let schemas = schemas.into_iter().map(|(name, owner, _)| model::Schema {
                name: name.into(),
                owner,
                path: String::new(),
            });
            (database(name, owner, connection_limit, comment, schemas.collect()), public, publics)
        },
    )
}

fn database(
    name: &str,
    owner: Option<String>,
    connection_limit: Option<Limit>,
    comment: Option<String>,
    schemas: Vec<model::Schema>,
) -> Database {
    let mut schemas = schemas;
    schemas.sort_by(|a, b| a.name.cmp(&b.name));
    let (labels, path) = (BTreeMap::new(), String::new());
    Database { name: name.into(), owner, connection_limit, comment, schemas, labels, path }
}

#[derive(Debug, Clone)]
struct World {
    spec: Spec,
    catalog: Catalog,
}

fn role(name: &str, mode: Mode) -> Role {
    Role {
        has_password: Some(false),
        connection_limit: Some(Limit::Unlimited),
        valid_until: Some(Expiry::Never),
        ..Role::new(name, mode, Attributes::GROUP)
    }
}

fn world() -> impl Strategy<Value = World> {
    let said = subsequence(DATABASES.to_vec(), 0..=3)
        .prop_flat_map(|names| names.into_iter().map(declared).collect::<Vec<_>>());
    let found = (select(vec!["app", "other", "postgres"]), some_of(&ON_DATABASES), some_of(&ON_DATABASES));
    let inside = (select(vec!["app", "other"]), some_of(&ON_SCHEMAS), some_of(&ON_SCHEMAS), held_by_everybody());
    // A role that declares privileges on databases and schemas beside all that.
    let grants = prop::collection::vec((select(DATABASES.to_vec()), any::<bool>()), 0..3);
    (said, prop::collection::vec(found, 2), prop::collection::vec(inside, 2), grants).prop_map(
        |(said, found, inside, grants)| {
            let mut catalog = Catalog::default();
            catalog.server.version = 180_000;
            catalog.server.superuser = true;
            catalog.server.current_user = "postgres".into();
            catalog.server.bootstrap_superuser = "postgres".into();
            for (number, name) in ["postgres", "app", "other"].into_iter().enumerate() {
                catalog.roles.insert(name.into(), role(name, Mode::Authoritative));
                catalog.oids.insert(name.into(), number as u32 + 10);
            }
            for ((name, (owner, public, held)), (schema_owner, on_schema, held_inside, everybodys)) in
                DATABASES.into_iter().zip(found).zip(inside)
            {
                let there = database(name, Some(owner.into()), Some(Limit::Unlimited), None, Vec::new());
                catalog.databases.insert(name.into(), there);
                catalog.public.insert(name.into(), public);
                let mut objects = Objects::default();
                let creators = BTreeSet::new();
                objects.schemas.insert("sales".into(), Schema { owner: schema_owner.into(), creators });
                let on = |privileges| {
                    BTreeMap::from([(Object::Schema("sales".into()), Held { privileges, ..Held::default() })])
                };
                let mut of_public = on(on_schema);
                let everybodys = everybodys.into_iter();
                of_public.extend(everybodys.map(|(on, privileges)| (on, Held { privileges, ..Held::default() })));
                objects.held.insert(PUBLIC.into(), of_public);
                for (object, kind) in members() {
                    objects.members.entry((kind, "sales".into())).or_default().insert(object, "other".into());
                }
                for column in holdable().into_iter().filter(|it| it.table_of().is_some()) {
                    objects.others.insert(column, "other".into());
                }
                if schema_owner != "app" && !held_inside.is_empty() {
                    objects.held.insert("app".into(), on(held_inside));
                }
                catalog.objects.insert(name.into(), objects);
                if owner != "app" && !held.is_empty() {
                    let on = Object::Database(name.into());
                    let grant = Grant { database: None, on, privileges: held, grantable: Privileges::empty() };
                    catalog.roles.get_mut("app").unwrap().grants.push(grant);
                }
            }
            catalog.roles.get_mut("app").unwrap().grants.sort();

            let mut spec = Spec::default();
            let mut app = role("app", Mode::Authoritative);
            for (name, inside) in grants {
                let (known, there) = (catalog.databases.contains_key(name), said.iter().any(|it| it.0.name == name));
                if !known && !there {
                    continue;
                }
                let grantable = Privileges::empty();
                app.grants.push(if inside {
                    let (database, on) = (Some(name.to_owned()), Object::Schema("sales".into()));
                    Grant { database, on, privileges: Privileges::USAGE, grantable }
                } else {
                    let on = Object::Database(name.into());
                    Grant { database: None, on, privileges: Privileges::CONNECT, grantable }
                });
            }
            app.grants.sort();
            app.grants.dedup();
            spec.roles.insert("app".into(), app);
            for (database, public, publics) in said {
                let mut say = |database: Option<&str>, on, privileges| {
                    let database = database.map(str::to_owned);
                    spec.public.push(Grant { database, on, privileges, grantable: Privileges::empty() });
                };
                if let Some(privileges) = public {
                    say(None, Object::Database(database.name.clone()), privileges);
                }
                for (schema, (public, kinds)) in database.schemas.iter().zip(publics) {
                    if let Some(privileges) = public {
                        say(Some(&database.name), Object::Schema(schema.name.clone()), privileges);
                    }
                    for (kind, privileges) in ObjectKind::ALL.into_iter().zip(kinds) {
                        privileges.into_iter().for_each(|it| say(Some(&database.name), kind.all(&schema.name), it));
                    }
                }
                let owners = database.schemas.iter().filter_map(|it| it.owner.clone()).chain(database.owner.clone());
                for owner in owners {
                    spec.roles.entry(owner.clone()).or_insert_with(|| role(&owner, Mode::Present));
                }
                spec.databases.insert(database.name.clone(), database);
            }
            catalog.assign_standing(&BTreeSet::new(), &BTreeSet::new());
            World { spec, catalog }
        },
    )
}

/// What the cycle does with it: the plan, what it is to lead to, and the catalog that both were made with.
fn decided(world: &World) -> (Plan, Resolved, Catalog) {
    let World { mut spec, mut catalog } = world.clone();
    let mut questions = wishes::questions(&spec, &catalog, &Records::new());
    databases::ask(&spec, &mut questions);
    // Nobody looks where nothing is asked.
    catalog.objects.retain(|name, _| questions.contains_key(name));
    databases::foresee(&mut spec, &mut catalog, &questions);
    wishes::complete(&mut spec, &mut catalog, &Records::new());
    let resolved = resolve::resolve(&spec, &catalog, &Records::new(), &BTreeMap::new());
    let plan = plan(&resolved, &catalog);
    (plan, resolved, catalog)
}

/// A server, read independently: owners, and what each grantee holds by its own entry in an ACL.
fn carry_out(catalog: &mut Catalog, change: &Change) {
    match change {
        Change::CreateRole(made) => {
            catalog.roles.insert(made.name.clone(), Role { grants: Vec::new(), ..made.clone() });
            catalog.oids.insert(made.name.clone(), 90 + catalog.oids.len() as u32);
        }
        Change::CreateDatabase(made) => {
            let there = database(&made.name, Some("postgres".into()), Some(Limit::Unlimited), None, Vec::new());
            catalog.databases.insert(made.name.clone(), there);
            catalog.public.insert(made.name.clone(), Privileges::CONNECT | Privileges::TEMPORARY);
            let mut objects = Objects::default();
            let public = Schema { owner: "pg_database_owner".into(), ..Schema::default() };
            objects.schemas.insert("public".into(), public);
            let held = Held { privileges: Privileges::USAGE, ..Held::default() };
            objects.held.insert(PUBLIC.into(), BTreeMap::from([(Object::Schema("public".into()), held)]));
            catalog.objects.insert(made.name.clone(), objects);
        }
        Change::AlterDatabase(patch) => {
            let there = catalog.databases.get_mut(&patch.name).unwrap();
            if let Some(owner) = &patch.owner {
                // aclnewowner(): what the new owner was granted becomes a part of what it has as the owner.
                let role = catalog.roles.get_mut(owner).unwrap();
                role.grants.retain(|grant| grant.on != Object::Database(patch.name.clone()));
                there.owner = Some(owner.clone());
            }
            there.connection_limit = patch.connection_limit.or(there.connection_limit);
            if let Some(comment) = &patch.comment {
                there.comment = (!comment.is_empty()).then(|| comment.clone());
            }
            let inside = catalog.objects.get_mut(&patch.name).unwrap();
            for schema in &patch.schemas {
                let owner = schema.owner.clone().unwrap_or("postgres".into());
                if let Some(held) = inside.held.get_mut(&owner) {
                    held.remove(&Object::Schema(schema.name.clone()));
                }
                inside.schemas.entry(schema.name.clone()).or_default().owner = owner;
            }
        }
        Change::GrantPrivilege { role: Some(role), grant } | Change::RevokePrivilege { role: Some(role), grant } => {
            let gives = matches!(change, Change::GrantPrivilege { .. });
            let alter =
                |held: &mut Privileges| *held = if gives { *held | grant.privileges } else { *held - grant.privileges };
            match (&grant.database, &grant.on) {
                (None, Object::Database(name)) if role == PUBLIC => alter(catalog.public.get_mut(name).unwrap()),
                (None, on) => {
                    let grants = &mut catalog.roles.get_mut(role).unwrap().grants;
                    match grants.iter_mut().find(|held| held.on == *on) {
                        Some(held) => alter(&mut held.privileges),
                        None => grants.push(grant.clone()),
                    }
                    grants.retain(|held| !held.privileges.is_empty());
                    grants.sort();
                }
                // As GRANT and REVOKE see it: all that are there, and columns with their tables.
                (Some(name), _) => super::laws_inside::carry_out(catalog.objects.get_mut(name).unwrap(), change),
            }
        }
        other => panic!("nobody asked for {other:?}"),
    }
}

fn public_on(catalog: &Catalog, grant: &Grant) -> Privileges {
    match (&grant.database, &grant.on) {
        (None, Object::Database(name)) => catalog.public.get(name).copied().unwrap_or_default(),
        (Some(name), on) => catalog.objects[name].held(PUBLIC, on).0,
        _ => Privileges::empty(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn databases_come_to_be_as_declared_and_nothing_else_moves(world in world()) {
        let (plan, resolved, seen) = decided(&world);
        let judged = guard::judge(plan.clone().into(), "standard", &resolved, &seen, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}\n{:#?}", plan.steps);

        let mut after = world.catalog.clone();
        plan.steps.iter().for_each(|step| carry_out(&mut after, &step.change));
        let World { spec, catalog: before } = &world;
        for wanted in spec.databases.values() {
            let made = &after.databases[&wanted.name];
            prop_assert!(wanted.owner.is_none() || made.owner == wanted.owner, "{:?}", wanted.name);
            prop_assert!(wanted.connection_limit.is_none() || made.connection_limit == wanted.connection_limit);
            let comment = made.comment.as_deref().unwrap_or("");
            prop_assert!(wanted.comment.as_deref().is_none_or(|wanted| wanted == comment));
            for schema in &wanted.schemas {
                let found = &after.objects[&wanted.name].schemas[&schema.name];
                prop_assert!(schema.owner.as_deref().is_none_or(|owner| owner == found.owner), "{:?}", schema.name);
            }
        }
        for said in spec.public.iter().filter(|said| !said.on.is_all()) {
            prop_assert_eq!(public_on(&after, said), said.privileges, "{:?}", said.on);
        }
        // On each object of a kind that is spoken of, and on what will be made, as said; on its columns nothing; else as before.
        for (name, found) in &before.objects {
            for on in holdable() {
                let kind = on.kind().unwrap_or(ObjectKind::Table);
                let said = spec.public.iter().find(|it| it.database.as_ref() == Some(name) && it.on == kind.all("sales"));
                let due = match said {
                    Some(_) if on.table_of().is_some() => Privileges::empty(),
                    Some(said) => said.privileges,
                    None => found.held(PUBLIC, &on).0,
                };
                prop_assert_eq!(after.objects[name].held(PUBLIC, &on).0, due, "{:?}\n{:#?}", on, plan.steps);
            }
        }
        // What nobody speaks of is as before.
        for (name, found) in &before.databases {
            let declared = spec.databases.get(name);
            let made = &after.databases[name];
            if declared.is_none_or(|it| it.owner.is_none()) {
                prop_assert_eq!(&made.owner, &found.owner);
            }
            if !spec.public.iter().any(|said| said.on == Object::Database(name.clone())) {
                prop_assert_eq!(after.public[name], before.public[name]);
            }
        }
        // The role that declares something, too, holds that and nothing else on databases, but what it owns.
        let owned = |on: &Object| matches!(on, Object::Database(name) if after.databases[name].owner.as_deref() == Some("app"));
        let held: BTreeSet<Grant> = after.roles["app"].grants.iter().cloned().collect();
        let due = spec.roles["app"].grants.iter().filter(|it| it.database.is_none() && !owned(&it.on));
        prop_assert_eq!(held, due.cloned().collect::<BTreeSet<Grant>>());

        let again = decided(&World { spec: spec.clone(), catalog: after }).0;
        prop_assert!(again.steps.is_empty(), "{:#?}\nafter\n{:#?}", again.steps, plan.steps);
    }
}
