//! The law of profiles, for random servers: with them, a file means exactly what it means without; each that is declared
//! is used; and whatever has a name is called by it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::profiles::{Extent, Profiles, Shape};
use super::tests::{declared, first_plan, import, untouched};
use super::{Unusual, imported};
use crate::catalog::{Catalog, Held, Objects, Schema};
use crate::model::{Attributes, Database, Expiry, Limit, Mode, Object, ObjectKind, Privileges, Role};

const ROLES: [&str; 4] = ["a", "b", "c", "d"];
const DATABASES: [&str; 2] = ["shop", "x: \"y\""];
const SCHEMAS: [&str; 2] = ["s", "z"];

const NOTHING: Extent = (Privileges::empty(), Privileges::empty());
const READ: Extent = (Privileges::SELECT, Privileges::empty());
const USE: Extent = (Privileges::USAGE, Privileges::empty());

fn shape(schema: Extent, parts: &[(ObjectKind, Extent)]) -> Shape {
    Shape { schema, all: parts.iter().copied().collect() }
}

/// With the name that each must have where it is met twice; the first two are built in, the others have to be declared.
/// Those without a name are never worth one.
fn shapes() -> Vec<(Shape, Option<&'static str>)> {
    use ObjectKind::{Routine, Sequence, Table};
    let write =
        (Privileges::SELECT | Privileges::INSERT | Privileges::UPDATE | Privileges::DELETE, Privileges::empty());
    let all_on_sequences = (Privileges::USAGE | Privileges::SELECT | Privileges::UPDATE, Privileges::empty());
    let execute = (Privileges::EXECUTE, Privileges::empty());
    let create = (Privileges::USAGE | Privileges::CREATE, Privileges::empty());
    let all = (Table.privileges(), Privileges::empty());
    vec![
        (shape(USE, &[(Table, READ), (Sequence, READ)]), Some("read_only")),
        (shape(USE, &[(Table, write), (Sequence, all_on_sequences), (Routine, execute)]), Some("read_write")),
        (shape(USE, &[(Table, READ)]), Some("read_tables")),
        (shape(USE, &[(Table, write), (Sequence, READ)]), Some("write_tables_sequences")),
        (shape(create, &[(Table, all), (Routine, execute)]), Some("create_all_tables_routines")),
        (
            shape(create, &[(Table, (Privileges::SELECT | Privileges::INSERT, NOTHING.0))]),
            Some("create_select_insert_tables"),
        ),
        (shape(USE, &[]), None),
        (shape(NOTHING, &[(Table, READ)]), None),
        (shape(USE, &[(Table, (Privileges::SELECT, Privileges::SELECT))]), None),
        (shape(NOTHING, &[]), None),
    ]
}

/// What keeps a role from holding something on all.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    /// One table lacks what the others have: then the account of that database cannot be given.
    OneTable,
    /// Nobody gives it on later ones: then the tables are listed.
    NotLater,
}

/// One role in one schema: which shape, and what is wrong with it.
type Cell = (Index, Option<Flaw>);

fn cells() -> impl Strategy<Value = Vec<Cell>> {
    let flaw = prop_oneof![8 => Just(None), 1 => Just(Some(Flaw::OneTable)), 1 => Just(Some(Flaw::NotLater))];
    prop::collection::vec((any::<Index>(), flaw), ROLES.len() * DATABASES.len() * SCHEMAS.len())
}

/// Where each cell lies.
fn places() -> Vec<(&'static str, &'static str, &'static str)> {
    let in_databases = |role| DATABASES.into_iter().map(move |database| (role, database));
    let in_schemas = |(role, database)| SCHEMAS.into_iter().map(move |schema| (role, database, schema));
    ROLES.into_iter().flat_map(in_databases).flat_map(in_schemas).collect()
}

fn role(name: &str) -> Role {
    let mut role = Role::new(name, Mode::Authoritative, Attributes::GROUP);
    role.connection_limit = Some(Limit::Unlimited);
    role.valid_until = Some(Expiry::Never);
    role
}

fn members(kind: ObjectKind, schema: &str) -> Vec<Object> {
    let schema = schema.to_owned();
    match kind {
        ObjectKind::Table => {
            ["t", "u"].map(|name| Object::Table { schema: schema.clone(), name: name.into() }).to_vec()
        }
        ObjectKind::Sequence => vec![Object::Sequence { schema, name: "q".into() }],
        // In none is there a routine: what is held on all of them is held on those to come.
        _ => Vec::new(),
    }
}

fn server(cells: &[Cell]) -> Catalog {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.server.superuser = true;
    catalog.server.current_user = "postgres".into();
    catalog.server.bootstrap_superuser = "postgres".into();
    for name in ROLES.into_iter().chain(["owner", "postgres"]) {
        catalog.roles.insert(name.into(), role(name));
    }
    for name in DATABASES {
        let database = Database { owner: Some("owner".into()), ..Database::new(name) };
        catalog.databases.insert(name.into(), database);
        let mut inside = Objects::default();
        for schema in SCHEMAS {
            inside.schemas.insert(schema.into(), Schema { owner: "owner".into(), ..Schema::default() });
            for kind in ObjectKind::ALL {
                let members = members(kind, schema).into_iter().map(|object| (object, "owner".to_owned()));
                inside.members.insert((kind, schema.into()), members.collect());
            }
        }
        catalog.objects.insert(name.into(), inside);
    }
    let shapes = shapes();
    for ((role, database, schema), (which, flaw)) in places().into_iter().zip(cells) {
        let (shape, _) = &shapes[which.index(shapes.len())];
        let held = catalog.objects.get_mut(database).unwrap().held.entry(role.into()).or_default();
        let mut hold = |on: Object, (privileges, grantable): Extent| {
            if !privileges.is_empty() {
                held.insert(on, Held { privileges, grantable, ..Held::default() });
            }
        };
        hold(Object::Schema(schema.into()), shape.schema);
        for (kind, extent) in &shape.all {
            let is_flawed = |such| *kind == ObjectKind::Table && *flaw == Some(such);
            members(*kind, schema)
                .into_iter()
                .skip(usize::from(is_flawed(Flaw::OneTable)))
                .for_each(|it| hold(it, *extent));
            if !is_flawed(Flaw::NotLater) {
                hold(kind.future("owner", schema), *extent);
            }
        }
    }
    untouched(catalog)
}

/// The lines of one role.
fn lines_of<'a>(text: &'a str, role: &str) -> Vec<&'a str> {
    let begin = format!("  - name: {role}");
    let mut lines = text.lines().skip_while(|line| *line != begin).skip(1);
    lines.by_ref().take_while(|line| line.starts_with("    ")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_profile_is_another_word_for_the_same(cells in cells()) {
        let catalog = server(&cells);
        let folded = import(&catalog);
        let text = folded.users_yaml();
        let (plan, warnings) = first_plan(&folded, &catalog);
        prop_assert!(plan.steps.is_empty(), "{text}\n{:#?}", plan.steps);
        prop_assert_eq!(warnings, Vec::<String>::new());
        let unfolded = imported(&catalog, Some(&Unusual::default()), |_| Profiles::default());
        prop_assert!(!unfolded.users_yaml().contains("profile"));
        prop_assert_eq!(declared(&folded), declared(&unfolded), "{}", text);
        prop_assert_eq!(folded.warnings(), unfolded.warnings());
        prop_assert_eq!(&text, &import(&catalog).users_yaml(), "the same server, other bytes");

        // Which shapes there are, by a count of its own.
        let shapes = shapes();
        let all: Vec<_> = places().into_iter().zip(&cells).map(|(place, (which, flaw))| {
            let (mut shape, _) = shapes[which.index(shapes.len())].clone();
            let on_tables = shape.all.contains_key(&ObjectKind::Table);
            if *flaw == Some(Flaw::NotLater) {
                shape.all.remove(&ObjectKind::Table);
            }
            (place, shape, on_tables && *flaw == Some(Flaw::OneTable))
        }).collect();
        let lost: BTreeSet<(&str, &str)> = all.iter().filter(|it| it.2).map(|it| (it.0.0, it.0.1)).collect();
        let said = all.iter().filter(|((role, database, _), _, _)| !lost.contains(&(*role, *database)));
        let mut count: BTreeMap<&Shape, usize> = BTreeMap::new();
        said.clone().for_each(|(_, shape, _)| *count.entry(shape).or_default() += 1);
        for ((role, database, schema), shape, _) in said {
            let known = shapes.iter().find(|(known, _)| known == shape).and_then(|(_, name)| *name);
            let is_built_in = ["read_only", "read_write"].map(Some).contains(&known);
            let lines = lines_of(&text, role);
            let database = if *database == "shop" { "shop".to_owned() } else { format!("{database:?}") };
            let place = format!("      - {{database: {database}, schema: {schema}, ");
            let here: Vec<&&str> = lines.iter().filter(|line| line.starts_with(&place)).collect();
            match known.filter(|_| is_built_in || count[shape] > 1) {
                Some(name) => {
                    let line = format!("{place}profile: {name}}}");
                    prop_assert!(here.len() == 1 && *here[0] == line, "{line}\n{text}");
                }
                // What is left of one without its tables may be another that is met twice.
                None if shapes.iter().any(|(known, _)| known == shape) => {
                    prop_assert!(here.iter().all(|line| !line.contains("profile:")), "{}", text);
                }
                None => {}
            }
        }
        for (name, _) in &folded.profiles {
            prop_assert!(text.matches(&format!("profile: {name}}}")).count() > 1, "{}", text);
        }
    }

    #[test]
    fn whatever_the_shapes_their_names_are_their_own(
        found in prop::collection::vec((any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>()), 1..40),
        twice in select(vec![1, 2]),
    ) {
        let some = |bits: u16, of: Privileges| (Privileges::from_bits_truncate(bits) & of, Privileges::empty());
        let found: BTreeSet<Shape> = found.into_iter().map(|(schema, tables, sequences, routines)| {
            let kinds = ObjectKind::ALL.into_iter().zip([tables, sequences, routines]);
            let all = kinds.map(|(kind, bits)| (kind, some(bits, kind.privileges()))).filter(|(_, it)| !it.0.is_empty());
            Shape { schema: some(schema, Privileges::USAGE | Privileges::CREATE), all: all.collect() }
        }).filter(|shape| !shape.is_empty()).collect();
        let profiles = Profiles::of(found.iter().chain(found.iter().filter(|_| twice == 2)).collect());
        let entries = profiles.entries();
        let names: BTreeSet<&String> = entries.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names.len(), entries.len());
        prop_assert!(twice == 2 || entries.is_empty());
        for (name, _) in &entries {
            prop_assert!(name != "read_only" && name != "read_write");
            prop_assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit()));
        }
    }
}
