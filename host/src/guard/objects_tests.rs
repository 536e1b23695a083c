//! A hostile planner inside of databases: what nobody has found or declared is refused, and who would
//! be left with nothing waits for a person.

use std::collections::BTreeMap;

use super::trial::{bounds, plan, rules};
use super::*;
use crate::catalog::{Held, Objects, Schema};
use crate::model::{Database, Grant, Mode, Object, ObjectKind, Privileges, Role, Spec};
use crate::resolve::{self, Records, wishes};

fn orders() -> Object {
    Object::Table { schema: "sales".into(), name: "orders".into() }
}

fn id() -> Object {
    Object::Column { schema: "sales".into(), table: "orders".into(), column: "id".into() }
}

fn grant(on: Object, privileges: Privileges) -> Grant {
    Grant { database: Some("shop".into()), on, privileges, grantable: Privileges::empty() }
}

fn role(name: &str) -> Role {
    let mut role = Role::new(name, Mode::Authoritative, Attributes::GROUP);
    role.connection_limit = Some(Limit::Unlimited);
    role.valid_until = Some(Expiry::Never);
    role.has_password = Some(false);
    role
}

/// Role `reader` holds SELECT on sales.orders in database shop, and declares these grants there.
fn world(declared: Vec<Grant>) -> (Catalog, Resolved) {
    world_with(&[orders()], declared)
}

/// The same for SELECT on these objects, by its owner.
fn world_with(held: &[Object], declared: Vec<Grant>) -> (Catalog, Resolved) {
    let mut catalog = Catalog::default();
    catalog.server.version = 180_000;
    catalog.server.superuser = true;
    for (number, name) in ["postgres", "app", "reader"].into_iter().enumerate() {
        catalog.roles.insert(name.into(), role(name));
        catalog.oids.insert(name.into(), number as u32 + 10);
    }
    let database = Database { owner: Some("app".into()), ..Database::new("shop") };
    catalog.databases.insert("shop".into(), database);
    let mut objects = Objects::default();
    objects.schemas.insert("sales".into(), Schema { owner: "app".into(), creators: BTreeSet::new() });
    objects.members.insert((ObjectKind::Table, "sales".into()), [(orders(), "app".to_owned())].into());
    objects.others.insert(id(), "app".to_owned());
    let select = || Held { privileges: Privileges::SELECT, ..Held::default() };
    objects.held.insert("reader".into(), held.iter().map(|object| (object.clone(), select())).collect());
    catalog.objects.insert("shop".into(), objects);
    catalog.assign_standing(&BTreeSet::new(), &BTreeSet::new());
    let declares = Role { grants: declared, ..role("reader") };
    let mut spec = Spec { roles: [("reader".to_owned(), declares)].into(), ..Spec::default() };
    // Where nothing is declared any more, the ledger knows that something was.
    let record = resolve::Record {
        oid: catalog.oids.get("reader").copied(),
        kind: resolve::Kind::Group,
        origin: resolve::Origin::Created,
        secret_version: None,
        row_version: None,
        applied: Some(Role { grants: vec![grant(orders(), Privileges::SELECT)], ..role("reader") }),
        leaving_since: None,
    };
    let records = Records::from([("reader".to_owned(), record)]);
    wishes::complete(&mut spec, &mut catalog, &records);
    let resolved = resolve::resolve(&spec, &catalog, &records, &BTreeMap::new());
    (catalog, resolved)
}

fn judged(world: &(Catalog, Resolved), changes: Vec<Change>, deletions: usize) -> Judgement {
    judge(plan(changes), "evil", &world.1, &world.0, &Bounds { deletions, ..bounds() })
}

fn gives(role: &str, grant: Grant) -> Change {
    Change::GrantPrivilege { role: Some(role.into()), grant }
}

fn takes(grant: Grant) -> Change {
    Change::RevokePrivilege { role: Some("reader".into()), grant }
}

#[test]
fn what_nobody_has_found_never_becomes_sql() {
    let world = world(vec![grant(orders(), Privileges::SELECT)]);
    let routine = Object::Routine { schema: "sales".into(), name: "f".into(), arguments: ") TO x; DROP ROLE y".into() };
    let elsewhere = Object::Table { schema: "pg_catalog".into(), name: "pg_authid".into() };
    let future = Object::FutureTables { owner: "nobody".into(), schema: Some("sales".into()) };
    let card = Object::Column { schema: "sales".into(), table: "orders".into(), column: "card\") TO x; --".into() };
    let language = Object::Language("c".into());
    let all =
        [Object::AllTables("absent".into()), Object::Schema("absent".into()), Object::LargeObject(1), card, language];
    for on in [routine, elsewhere, future].into_iter().chain(all) {
        let privileges = on.known_privileges();
        let rules = rules(judged(&world, vec![gives("reader", grant(on, privileges))], 9));
        assert!(rules.contains(&"unknown-object"), "{rules:?}");
    }
    let mut closed = grant(orders(), Privileges::INSERT);
    closed.database = Some("closed".into());
    assert!(rules(judged(&world, vec![gives("reader", closed)], 9)).contains(&"unknown-object"));
}

#[test]
fn what_nobody_declared_is_given_to_nobody_and_what_is_declared_is_taken_from_nobody() {
    let world = world(vec![grant(orders(), Privileges::SELECT)]);
    assert_eq!(
        rules(judged(&world, vec![gives("reader", grant(orders(), Privileges::DELETE))], 9)),
        ["not-as-desired"]
    );
    let rules_of_less = rules(judged(&world, vec![takes(grant(orders(), Privileges::SELECT))], 9));
    assert_eq!(rules_of_less, ["vague-grant", "not-as-desired"]);
    assert!(
        rules(judged(&world, vec![gives("app", grant(orders(), Privileges::SELECT))], 9)).contains(&"out-of-scope")
    );
    let public = Change::GrantPrivilege { role: None, grant: grant(orders(), Privileges::SELECT) };
    assert!(rules(judged(&world, vec![public], 9)).contains(&"unsupported"));
    assert!(matches!(judged(&world, Vec::new(), 0), Judgement::Pass(_)));
}

#[test]
fn who_would_be_left_with_nothing_counts_as_a_removal() {
    let world = world(Vec::new());
    let all = || vec![takes(grant(orders(), Privileges::SELECT))];
    let Judgement::Held(held) = judged(&world, all(), 0) else { panic!("not held") };
    assert!(held.why.contains("1 role would lose all privileges inside of databases (reader)"), "{}", held.why);
    assert!(matches!(judged(&world, all(), 1), Judgement::Pass(_)));
}

#[test]
fn an_option_without_its_privilege_is_refused() {
    let world = world(vec![grant(orders(), Privileges::SELECT)]);
    let mut option = grant(orders(), Privileges::empty());
    option.grantable = Privileges::DELETE;
    assert!(rules(judged(&world, vec![gives("reader", option)], 9)).contains(&"vague-grant"));
    let mut on_a_database = Grant { database: None, ..grant(Object::Database("shop".into()), Privileges::empty()) };
    on_a_database.grantable = Privileges::CREATE;
    assert!(rules(judged(&world, vec![gives("reader", on_a_database)], 9)).contains(&"vague-grant"));
}

/// Replayed, each of these plans ends as desired. The server would be left with less: what is held on all objects is
/// granted only to those that lacked it when they were looked at, and a revocation on one object takes what is held on
/// all of them too.
#[test]
fn a_revocation_that_a_later_grant_would_make_good_is_refused() {
    let all = || grant(Object::AllTables("sales".into()), Privileges::SELECT);
    let on_all = world(vec![all()]);
    assert!(rules(judged(&on_all, vec![takes(all()), gives("reader", all())], 9)).contains(&"vague-grant"));
    let on_one = takes(grant(orders(), Privileges::SELECT));
    assert!(rules(judged(&on_all, vec![on_one], 9)).contains(&"vague-grant"));
    let single = world(vec![grant(orders(), Privileges::SELECT)]);
    let there_and_back =
        vec![takes(grant(orders(), Privileges::SELECT)), gives("reader", grant(orders(), Privileges::SELECT))];
    assert!(rules(judged(&single, there_and_back, 9)).contains(&"vague-grant"));
}

/// What a REVOKE on a table takes along from a column is not there any more, and has to be granted again if it is to stay.
#[test]
fn what_a_table_takes_along_from_its_columns_is_granted_again_or_not_at_all() {
    let select = |on| grant(on, Privileges::SELECT);
    let stays = world_with(&[orders(), id()], vec![select(id())]);
    assert_eq!(rules(judged(&stays, vec![takes(select(orders()))], 9)), ["not-as-desired"]);
    let good = vec![takes(select(orders())), gives("reader", select(id()))];
    assert!(matches!(judged(&stays, good, 9), Judgement::Pass(_)));
    let goes = world_with(&[orders(), id()], Vec::new());
    assert!(matches!(judged(&goes, vec![takes(select(orders()))], 9), Judgement::Pass(_)));
    assert!(rules(judged(&goes, vec![takes(select(orders())), takes(select(id()))], 9)).contains(&"vague-grant"));
    // Where nothing goes from the table, the column is as it was found.
    let both = world_with(&[orders(), id()], vec![select(orders())]);
    assert!(matches!(judged(&both, vec![takes(select(id()))], 9), Judgement::Pass(_)));
}

#[test]
fn parameters_and_tablespaces_are_those_that_there_are() {
    let (mut catalog, resolved) = world(vec![grant(orders(), Privileges::SELECT)]);
    catalog.server.version = 140_000;
    let world = (catalog, resolved);
    for (on, privileges) in [
        (Object::Parameter("work_mem".into()), Privileges::SET),
        (Object::Tablespace("absent".into()), Privileges::CREATE),
    ] {
        let grant = Grant { database: None, ..grant(on.clone(), privileges) };
        assert!(rules(judged(&world, vec![gives("reader", grant.clone())], 9)).contains(&"unknown-object"), "{on:?}");
        // Neither lies in a database.
        let inside = Grant { database: Some("shop".into()), ..grant };
        assert!(rules(judged(&world, vec![gives("reader", inside)], 9)).contains(&"impossible-step"), "{on:?}");
    }
}
