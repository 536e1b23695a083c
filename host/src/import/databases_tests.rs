//! The law of databases that are imported, for random ones: the first plan has nothing to do, and the file says all there
//! is to say of them, so that whatever is changed by hand is found.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::tests::{HOSTILE, declared, first_plan, untouched};
use super::{Unusual, import};
use crate::catalog::{Catalog, Held, Objects, Schema};
use crate::model::{Attributes, Database, Expiry, Grant, LEDGER_SCHEMA, Limit, Mode, Object, PUBLIC, Privileges, Role};

/// The last three are users that databases have, too.
const DATABASES: [&str; 6] = ["postgres", "template1", "halves", "shop", "stock", HOSTILE[0]];
const SCHEMAS: [&str; 4] = ["sales", "public", LEDGER_SCHEMA, HOSTILE[3]];
/// One that is declared, one that cannot be, one that is protected, and PostgreSQL's own.
const OWNERS: [&str; 4] = ["app", "team", "postgres", "pg_database_owner"];
const ON_DATABASES: [Privileges; 3] = [Privileges::CONNECT, Privileges::TEMPORARY, Privileges::CREATE];
const ON_SCHEMAS: [Privileges; 2] = [Privileges::USAGE, Privileges::CREATE];

fn some_of(known: &[Privileges]) -> impl Strategy<Value = Privileges> + use<> {
    subsequence(known.to_vec(), 0..=known.len())
        .prop_map(|some| some.into_iter().fold(Privileges::empty(), |all, one| all | one))
}

/// What is seen of a database from within: nothing, that it is closed, or its schemas.
#[derive(Debug, Clone)]
enum Inside {
    Unseen,
    Closed,
    Seen(Box<Objects>),
}

fn inside() -> impl Strategy<Value = Inside> {
    let schema = |name: &'static str| (Just(name), select(OWNERS.to_vec()), some_of(&ON_SCHEMAS), some_of(&ON_SCHEMAS));
    let schemas = subsequence(SCHEMAS.to_vec(), 0..=SCHEMAS.len())
        .prop_flat_map(move |names| names.into_iter().map(schema).collect::<Vec<_>>());
    let seen = schemas.prop_map(|schemas| {
        let mut inside = Objects::default();
        for (name, owner, public, reader) in schemas {
            inside.schemas.insert(name.into(), Schema { owner: owner.into(), ..Schema::default() });
            for (role, privileges) in [(PUBLIC, public), ("reader", reader)] {
                // What is held on the ledger is a matter of its own: see below.
                if !privileges.is_empty() && (role == PUBLIC || name != LEDGER_SCHEMA) {
                    let held = Held { privileges, ..Held::default() };
                    inside.held.entry(role.into()).or_default().insert(Object::Schema(name.into()), held);
                }
            }
        }
        inside
    });
    prop_oneof![1 => Just(Inside::Unseen), 1 => Just(Inside::Closed), 4 => seen.prop_map(|objects| Inside::Seen(Box::new(objects)))]
}

fn role(name: &str, attributes: Attributes) -> Role {
    let mut role = Role::new(name, Mode::Authoritative, attributes);
    role.connection_limit = Some(Limit::Unlimited);
    role.valid_until = Some(Expiry::Never);
    role.has_password = Some(false);
    role
}

fn server() -> impl Strategy<Value = Catalog> {
    let limit = prop_oneof![Just(Limit::Unlimited), Just(Limit::AtMost(0)), Just(Limit::AtMost(3))];
    let comment = select(vec![None, Some(""), Some("it's: #1\n- b")]);
    // Of two databases that PUBLIC holds nothing on, one is not in the list at all.
    let public = prop::option::of(some_of(&ON_DATABASES));
    let database = (select(OWNERS[..3].to_vec()), limit, comment, public, inside());
    (prop::collection::vec(database, DATABASES.len()), select(vec![140_000_u32, 180_000])).prop_map(
        |(databases, version)| {
            let mut catalog = Catalog::default();
            catalog.server.version = version;
            catalog.server.superuser = true;
            catalog.server.current_user = "postgres".into();
            catalog.server.bootstrap_superuser = "postgres".into();
            let team = Role { connection_limit: Some(Limit::AtMost(3)), ..role("team", Attributes::GROUP) };
            let others = ["pg_database_owner", "app", "reader"].map(|name| role(name, Attributes::GROUP));
            let all = others.into_iter().chain([team, role("postgres", Attributes::all())]);
            for (number, role) in all.enumerate() {
                catalog.oids.insert(role.name.clone(), number as u32 + 10);
                catalog.roles.insert(role.name.clone(), role);
            }
            for (name, (owner, limit, comment, public, inside)) in DATABASES.into_iter().zip(databases) {
                let database = Database {
                    owner: Some(owner.into()),
                    connection_limit: Some(limit),
                    comment: comment.map(str::to_owned),
                    ..Database::new(name)
                };
                catalog.databases.insert(name.into(), database);
                catalog.public.extend(public.map(|public| (name.to_owned(), public)));
                match inside {
                    Inside::Unseen => {}
                    Inside::Closed => drop(catalog.closed.insert(name.into(), "no way in".into())),
                    Inside::Seen(objects) => drop(catalog.objects.insert(name.into(), *objects)),
                }
            }
            untouched(catalog)
        },
    )
}

fn unusual() -> Unusual {
    Unusual { templates: BTreeSet::from(["template1".into()]), invalid: BTreeSet::from(["halves".into()]) }
}

/// The databases that a file has to speak of.
fn expected(catalog: &Catalog) -> BTreeSet<&str> {
    let all = DATABASES.into_iter().filter(|name| !["template1", "halves"].contains(name));
    all.filter(|name| *name != "postgres" || catalog.objects.contains_key("postgres")).collect()
}

/// Something that somebody does by hand.
#[derive(Debug, Clone)]
enum ByHand {
    Owner,
    Public(Privileges),
    SchemaOwner,
    SchemaPublic(Privileges),
    DropSchema,
}

fn by_hand() -> impl Strategy<Value = ByHand> {
    prop_oneof![
        Just(ByHand::Owner),
        select(ON_DATABASES.to_vec()).prop_map(ByHand::Public),
        Just(ByHand::SchemaOwner),
        select(ON_SCHEMAS.to_vec()).prop_map(ByHand::SchemaPublic),
        Just(ByHand::DropSchema),
    ]
}

/// Does it to this database, and to one of its schemas that is declared; whether there is one.
fn do_by_hand(what: &ByHand, name: &str, catalog: &mut Catalog) -> bool {
    match what {
        ByHand::Owner => {
            let database = catalog.databases.get_mut(name).unwrap();
            let other = if database.owner.as_deref() == Some("app") { "reader" } else { "app" };
            database.owner = Some(other.into());
            true
        }
        ByHand::Public(privilege) => {
            *catalog.public.entry(name.into()).or_default() ^= *privilege;
            true
        }
        ByHand::SchemaOwner | ByHand::SchemaPublic(_) | ByHand::DropSchema => {
            let Some(inside) = catalog.objects.get_mut(name) else { return false };
            let Some(schema) = inside.schemas.keys().find(|name| *name != LEDGER_SCHEMA).cloned() else { return false };
            match what {
                ByHand::SchemaOwner => inside.schemas.get_mut(&schema).unwrap().owner = "reader".into(),
                ByHand::SchemaPublic(privilege) => {
                    let held = inside.held.entry(PUBLIC.into()).or_default();
                    held.entry(Object::Schema(schema)).or_default().privileges ^= *privilege;
                }
                _ => {
                    inside.schemas.remove(&schema);
                    inside.held.values_mut().for_each(|held| drop(held.remove(&Object::Schema(schema.clone()))));
                }
            }
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_said_of_databases_is_so_and_is_all_there_is_to_say(
        catalog in server(), what in by_hand(), which in any::<prop::sample::Index>(),
    ) {
        let imported = import(&catalog, Some(&unusual()));
        let text = imported.users_yaml();
        let (plan, warnings) = first_plan(&imported, &catalog);
        prop_assert!(plan.steps.is_empty(), "{text}\n{:#?}", plan.steps);
        prop_assert_eq!(warnings, Vec::<String>::new(), "{}", text);

        let spec = declared(&imported);
        let names: BTreeSet<&str> = spec.databases.keys().map(String::as_str).collect();
        prop_assert_eq!(&names, &expected(&catalog), "{}", text);
        let mut public: Vec<Grant> = Vec::new();
        let mut owners: BTreeSet<&str> = BTreeSet::new();
        for name in &names {
            let (found, said) = (&catalog.databases[*name], &spec.databases[*name]);
            prop_assert_eq!(&found.owner, &said.owner);
            prop_assert_eq!(said.connection_limit.unwrap_or(Limit::Unlimited), found.connection_limit.unwrap());
            prop_assert_eq!(said.comment.as_deref().unwrap_or(""), found.comment.as_deref().unwrap_or(""));
            let mut held = |database: Option<&str>, on, privileges| {
                let database = database.map(str::to_owned);
                public.push(Grant { database, on, privileges, grantable: Privileges::empty() });
            };
            let on = Object::Database((*name).to_owned());
            held(None, on, catalog.public.get(*name).copied().unwrap_or_default());
            let schemas: BTreeMap<&str, &str> = catalog.objects.get(*name).into_iter().flat_map(|it| &it.schemas)
                .map(|(name, schema)| (name.as_str(), schema.owner.as_str()))
                .filter(|(name, _)| *name != LEDGER_SCHEMA).collect();
            for schema in schemas.keys() {
                let on = Object::Schema((*schema).to_owned());
                held(Some(name), on.clone(), catalog.objects[*name].held(PUBLIC, &on).0);
            }
            owners.extend(found.owner.as_deref().into_iter().chain(schemas.values().copied()));
            let said = said.schemas.iter().map(|schema| (schema.name.as_str(), schema.owner.as_deref().unwrap()));
            prop_assert_eq!(said.collect::<BTreeMap<_, _>>(), schemas, "{}", text);
        }
        let mut said = spec.public.clone();
        said.sort();
        public.sort();
        prop_assert_eq!(said, public, "{}", text);
        // Who cannot be declared is named as nobody's to change; PostgreSQL's own need no word.
        let external: BTreeSet<&str> = spec.external.iter().map(String::as_str).collect();
        let undeclared: BTreeSet<&str> = ["team", "postgres"].into_iter().filter(|it| owners.contains(it)).collect();
        prop_assert_eq!(external, undeclared, "{}", text);
        // What is closed is told, at its place and beside it.
        for name in catalog.closed.keys().filter(|name| names.contains(name.as_str())) {
            let told = format!("schemas of database {name:?}");
            prop_assert!(imported.warnings().iter().any(|line| line.contains(&told)), "{:?}", imported.warnings());
        }
        prop_assert!(text.lines().all(|line| !line.trim_start().starts_with('#') || !line.contains('\t')));

        let mut changed = catalog.clone();
        let names: Vec<&str> = names.into_iter().collect();
        if !names.is_empty() && do_by_hand(&what, names[which.index(names.len())], &mut changed) {
            prop_assert!(!first_plan(&imported, &changed).0.steps.is_empty(), "{what:?} is not found\n{text}");
        }

        // Without that section, nothing is said of any database.
        let without = import(&catalog, None);
        let spec = declared(&without);
        prop_assert!(spec.databases.is_empty() && spec.public.is_empty() && spec.external.is_empty());
        prop_assert!(first_plan(&without, &catalog).0.steps.is_empty());
        prop_assert!(first_plan(&without, &changed).0.steps.iter().all(|step| step.change.role().is_none_or(|it| it != PUBLIC)));
    }
}

#[test]
fn who_holds_something_on_the_ledger_keeps_it_and_it_is_told() {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.server.superuser = true;
    catalog.roles.insert("reader".into(), role("reader", Attributes::GROUP));
    catalog.databases.insert("shop".into(), Database::new("shop"));
    let mut inside = Objects::default();
    for schema in ["sales", LEDGER_SCHEMA] {
        inside.schemas.insert(schema.into(), Schema { owner: "postgres".into(), ..Schema::default() });
        let held = Held { privileges: Privileges::USAGE, ..Held::default() };
        inside.held.entry("reader".into()).or_default().insert(Object::Schema(schema.into()), held);
    }
    catalog.objects.insert("shop".into(), inside);
    let catalog = untouched(catalog);
    let imported = import(&catalog, Some(&Unusual::default()));
    assert!(!imported.users_yaml().contains("grants:"), "{}", imported.users_yaml());
    let warnings = imported.warnings().join("\n");
    assert!(warnings.contains("schema \"rolewright\"") && warnings.contains("ledger"), "{warnings}");
    assert!(imported.users_yaml().contains("as Rolewright's own"), "{}", imported.users_yaml());
    assert!(first_plan(&imported, &catalog).0.steps.is_empty());
}
