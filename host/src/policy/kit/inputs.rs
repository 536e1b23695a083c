//! Inputs that nobody writes by hand: every value that the contract allows, names as hostile as
//! PostgreSQL takes them, many users, and random worlds that are the same in every run. What a policy
//! must do with them is the business of `check`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::case::{Case, CaseError};
use super::server;
use crate::model::{
    Attributes, Credential, Database, Expiry, Grant, Limit, Membership, Mode, Object, Privileges, Role, Schema,
    SecretState, Setting, Spec, Standing,
};
use crate::plan::{Cause, Change, Risk, RolePatch, Step};

/// Names that PostgreSQL takes and programs stumble over.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a b",
        "a\"b",
        "a'b",
        "a\\b",
        "a`b",
        "a\nb",
        "a\tb",
        "a;b--",
        "$$",
        "%s",
        "{}",
        "a/b",
        "a~b",
        "..",
        "*",
        "0",
        "-1",
        "null",
        "true",
        "NULL",
        "Alice",
        "alice",
        "ALICE",
        "größe",
        "名前",
        "Ω",
        "🐘",
        "👩‍👩‍👧",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}evil",
        "zero\u{200b}width",
        "\u{feff}bom",
        " ",
        "\u{1b}[2J",
        "select",
        "user",
        "PUBLIC",
    ]
    .map(str::to_owned)
    .into();
    names.extend(["x".repeat(63), "é".repeat(31), "🐘".repeat(15), "a.".repeat(31)]);
    names
}

/// Many users, as a small, a middle and a large company have them, each a member of two of a hundred
/// groups, with a team and a kind for its labels. Every tenth is missing on the server, every tenth is there with something that is not
/// declared, and some were removed.
///
/// # Errors
///
/// None that a number could be the cause of.
pub(super) fn many(count: usize) -> Result<Case, CaseError> {
    const GROUPS: usize = 100;
    let name = format!("{count} users");
    let mut case = Case::of_parts(&name, "users: []", Some(server::many(count, GROUPS)))?;
    // One is read, and the others are made like it: no ConfigMap holds a hundred thousand.
    let text = "users: [{username: user, database: shop, roles: [group, pg_monitor]}]";
    let mut like = Case::of_texts(&name, text, "")?.spec.roles;
    let (Some(user), Some(group)) = (like.remove("user"), like.remove("group")) else { return Ok(case) };
    for number in 0..count {
        let (name, group_name) = (format!("user-{number:06}"), format!("group_{:02}", number % GROUPS));
        let mut role = Role { name: name.clone(), path: format!("/users/{number}"), ..user.clone() };
        role.memberships
            .iter_mut()
            .filter(|edge| edge.role == "group")
            .for_each(|edge| edge.role.clone_from(&group_name));
        if let Some(credential) = &mut role.credential {
            credential.secret = format!("user-{name}-secret");
            credential.strength = Some(4);
            credential.changed_at = Some(case.context.now - 30 * 86_400);
        }
        role.labels.insert("team".to_owned(), format!("team_{:02}", number % GROUPS));
        role.labels.insert("kind".to_owned(), if number % 4 == 0 { "service" } else { "human" }.to_owned());
        if number < GROUPS {
            let path = format!("{}/roles/0", role.path);
            case.spec.roles.insert(group_name.clone(), Role { name: group_name, path, ..group.clone() });
        }
        if case.catalog.roles.contains_key(&name) {
            case.in_sync.insert(name.clone(), true);
        }
        case.spec.roles.insert(name, role);
    }
    Ok(case)
}

/// Nothing declared, nothing there but what every server has.
pub(super) fn empty() -> Result<Case, CaseError> {
    Case::of_texts("nothing at all", "users: []\n", "")
}

/// The same users in two orders. Each has a group of its own, since a group is declared where it is
/// first named.
pub(super) fn two_orders() -> Result<(Case, Case), CaseError> {
    let count = 40;
    let users = |order: &[usize]| {
        order.iter().fold(String::from("users:"), |mut text, number| {
            let _ = write!(
                text,
                "\n  - {{username: user-{number:02}, database: shop, roles: [team_{number:02}, pg_monitor]}}"
            );
            text
        })
    };
    let forward: Vec<usize> = (0..count).collect();
    // Coprime, so that every number comes once.
    let shuffled: Vec<usize> = (0..count).map(|number| (number * 17 + 5) % count).collect();
    let catalog =
        "databases: [shop]\nroles:\n  - {name: user-07, login: true, createdb: true}\n  - {name: gone, login: true}\n";
    Ok((
        Case::of_texts("users in one order", &users(&forward), catalog)?,
        Case::of_texts("users in another order", &users(&shuffled), catalog)?,
    ))
}

/// A random world, the same for the same number.
pub(super) fn world(number: u64) -> Result<Case, CaseError> {
    let mut random = StdRng::seed_from_u64(number);
    let names = ["anna", "berta", "carl", "dora", "emil"];
    let groups = ["reader", "writer", "ops"];
    let mut users = String::from("users:");
    let mut declared = 0;
    for (index, name) in names.iter().enumerate() {
        if !random.random_bool(0.7) {
            continue;
        }
        declared += 1;
        let mut roles: Vec<&str> = groups.iter().copied().filter(|_| random.random_bool(0.4)).collect();
        // Only earlier ones, so that there is no circle.
        roles.extend(names[..index].iter().copied().filter(|_| random.random_bool(0.15)));
        let _ = write!(users, "\n  - username: {name}\n    roles: [{}]", roles.join(", "));
        match random.random_range(0..4) {
            0 => users.push_str("\n    database: shop"),
            1 => users.push_str("\n    databases: [shop, stock]\n    privileges: [CREATE]"),
            _ => {}
        }
        if random.random_bool(0.3) {
            users.push_str("\n    password: none");
        }
    }
    let mut catalog = String::from("databases: [shop, stock]\nroles:\n");
    let mut there: Vec<&str> = Vec::new();
    for (group, name) in groups.iter().map(|name| (true, *name)).chain(names.iter().map(|name| (false, *name))) {
        if !random.random_bool(0.7) {
            continue;
        }
        let mut members = Vec::new();
        for role in &there {
            if random.random_bool(0.35) {
                members.push(format!("{{role: {role}, admin: {}}}", random.random_bool(0.3)));
            }
        }
        let members = members.join(", ");
        let connect = if random.random_bool(0.5) { "shop" } else { "" };
        let _ = writeln!(
            catalog,
            "  - {{name: {name}, login: {}, createdb: {}, managed: {}, has_password: {}, connection_limit: {}, \
             member_of: [{members}], connect: [{connect}]}}",
            !group && random.random_bool(0.9),
            random.random_bool(0.2),
            random.random_bool(0.8),
            !group && random.random_bool(0.7),
            if random.random_bool(0.2) { 3 } else { -1 },
        );
        there.push(name);
    }
    let users = if declared == 0 { "users: []".to_owned() } else { users + "\n" };
    Case::of_texts(&format!("random world {number}"), &users, &catalog)
}

/// A spec and a server of these roles, on both sides the same.
fn case_of(name: &str, roles: Vec<Role>) -> Result<Case, CaseError> {
    let mut case = Case::of_texts(name, "users: []\n", "")?;
    for mut role in roles {
        role.memberships.sort();
        role.grants.sort();
        role.settings.sort();
        let mut found = Role { credential: None, labels: BTreeMap::new(), path: String::new(), ..role.clone() };
        found.connection_limit = found.connection_limit.or(Some(Limit::Unlimited));
        found.valid_until = found.valid_until.or(Some(Expiry::Never));
        found.memberships.iter_mut().for_each(|edge| edge.grantor = Some("postgres".to_owned()));
        case.catalog.oids.insert(role.name.clone(), 20_000 + case.catalog.oids.len() as u32);
        case.catalog.roles.insert(role.name.clone(), found);
        case.spec.roles.insert(role.name.clone(), role);
    }
    Ok(case)
}

fn user(number: usize, name: &str) -> Role {
    let mut role = Role::new(name, Mode::Authoritative, Attributes::USER);
    role.path = format!("/users/{number}");
    role.has_password = Some(false);
    role
}

/// Roles, databases, Secrets, labels and comments of hostile names.
pub(super) fn hostile_names() -> Result<Case, CaseError> {
    let names = names();
    let roles = names.iter().enumerate().map(|(number, name)| {
        let mut role = user(number, name);
        let next = &names[(number + 1) % names.len()];
        // Towards later names only: no circle.
        if number + 1 < names.len() {
            role.memberships.push(Membership::plain(next));
        }
        role.grants.push(grant(Object::Database(next.clone()), Privileges::CONNECT));
        role.comment = Some(name.clone());
        role.labels.insert(name.clone(), next.clone());
        role.credential = Some(credential(next, SecretState::Present, None));
        role.has_password = Some(true);
        role
    });
    let mut case = case_of("hostile names", roles.collect())?;
    for name in names {
        case.context.labels.insert(name.clone(), name.clone());
        let database = database(&name);
        case.catalog.databases.insert(name, database);
    }
    Ok(case)
}

/// Every set of attributes.
pub(super) fn attributes() -> Result<Case, CaseError> {
    let roles = (0..128_u8).map(|bits| {
        let mut role = user(usize::from(bits), &format!("role_{bits:03}"));
        role.attributes = Attributes::from_bits_truncate(bits);
        role
    });
    case_of("every set of attributes", roles.collect())
}

/// A privilege on every kind of object, each privilege at least once.
pub(super) fn objects() -> Result<Case, CaseError> {
    let text = |word: &str| word.to_owned();
    let (schema, owner) = (|| text("app"), || text("owner"));
    let within = || Some(text("app"));
    let all = vec![
        Object::Database(text("shop")),
        Object::Parameter(text("work_mem")),
        Object::Tablespace(text("fast")),
        Object::Schema(schema()),
        Object::Table { schema: schema(), name: text("orders") },
        Object::Column { schema: schema(), table: text("orders"), column: text("price") },
        Object::Sequence { schema: schema(), name: text("orders_id_seq") },
        Object::Routine { schema: schema(), name: text("total"), arguments: text("a integer, VARIADIC b text[]") },
        Object::Type { schema: schema(), name: text("currency") },
        Object::Language(text("plpgsql")),
        Object::ForeignDataWrapper(text("postgres_fdw")),
        Object::ForeignServer(text("other")),
        Object::LargeObject(u32::MAX),
        Object::AllTables(schema()),
        Object::AllSequences(schema()),
        Object::AllRoutines(schema()),
        Object::AllTypes(schema()),
        Object::FutureTables { owner: owner(), schema: None },
        Object::FutureTables { owner: owner(), schema: within() },
        Object::FutureSequences { owner: owner(), schema: within() },
        Object::FutureRoutines { owner: owner(), schema: None },
        Object::FutureTypes { owner: owner(), schema: within() },
        Object::FutureSchemas { owner: owner(), schema: None },
    ];
    let flags: Vec<Privileges> = Privileges::all().iter().collect();
    let roles = all.into_iter().enumerate().map(|(number, object)| {
        let mut role = user(number, &format!("holder_{number:02}"));
        let one = flags[number % flags.len()];
        role.grants.push(Grant { database: Some(text("shop")), grantable: one, ..grant(object.clone(), one) });
        role.grants.push(Grant { database: None, grantable: Privileges::empty(), ..grant(object, Privileges::all()) });
        role
    });
    let mut case = case_of("every kind of object", roles.collect())?;
    case.spec.databases.insert(text("shop"), database("shop"));
    case.spec.scripts.push(text("nightly"));
    case.catalog.databases.insert(text("shop"), database("shop"));
    Ok(case)
}

/// Every case of every other type, at its ends.
pub(super) fn values() -> Result<Case, CaseError> {
    let mut roles = Vec::new();
    let mut add = |change: &dyn Fn(&mut Role)| {
        let mut role = user(roles.len(), &format!("role_{:02}", roles.len()));
        change(&mut role);
        roles.push(role);
    };
    for limit in [None, Some(Limit::Unlimited), Some(Limit::AtMost(0)), Some(Limit::AtMost(u32::MAX))] {
        add(&|role| role.connection_limit = limit);
    }
    let moments = [i64::MIN, -1, 0, 1_767_225_600, 253_402_300_799, i64::MAX];
    add(&|role| role.valid_until = Some(Expiry::Never));
    for moment in moments {
        add(&|role| role.valid_until = Some(Expiry::At(moment)));
        add(&|role| role.memberships.push(Membership { until: Some(moment), ..Membership::plain("role_00") }));
    }
    for mode in [Mode::Authoritative, Mode::Additive, Mode::Present, Mode::Observe] {
        add(&|role| role.mode = mode);
    }
    for state in [SecretState::Present, SecretState::Missing, SecretState::Empty, SecretState::Unreadable] {
        for strength in [None, Some(0), Some(4), Some(u8::MAX)] {
            add(&|role| {
                role.credential = Some(credential("user-secret", state, strength));
                role.has_password = Some(true);
            });
        }
    }
    for has_password in [None, Some(false)] {
        add(&|role| role.has_password = has_password);
    }
    for (admin, inherit, set) in
        [(true, false, false), (false, true, false), (false, false, true), (false, false, false)]
    {
        add(&|role| role.memberships.push(Membership { admin, inherit, set, ..Membership::plain("role_00") }));
    }
    add(&|role| {
        role.settings = vec![
            Setting { database: None, name: "search_path".to_owned(), value: "\"$user\", public".to_owned() },
            Setting { database: Some("shop".to_owned()), name: "work_mem".to_owned(), value: String::new() },
        ];
    });
    add(&|role| role.comment = Some(String::new()));
    add(&|role| role.comment = Some("long ".repeat(10_000)));
    let mut case = case_of("every value at its ends", roles)?;
    for (number, standing) in [Standing::Managed, Standing::Protected, Standing::Foreign].into_iter().enumerate() {
        let role = Role { standing, has_password: None, ..user(0, &format!("found_{number}")) };
        case.catalog.roles.insert(role.name.clone(), Role { path: String::new(), ..role });
    }
    case.context.now = i64::MAX;
    case.context.server_version = u32::MAX;
    Ok(case)
}

/// Pointers with all that RFC 6901 escapes, none at all, and a circle of memberships, which another
/// policy's transform could have made.
pub(super) fn pointers() -> Result<Case, CaseError> {
    let mut roles: Vec<Role> = (0..6).map(|number| user(number, &format!("role_{number}"))).collect();
    for (role, path) in roles.iter_mut().zip(["", "/users/0/a~1b~0c", "/users/4294967295", "/", "/ü/🐘/ ", "/users/0"])
    {
        role.path = path.to_owned();
    }
    for (member, of) in [(0, 1), (1, 2), (2, 0), (3, 3)] {
        let name = roles[of].name.clone();
        roles[member].memberships.push(Membership::plain(name));
    }
    roles[4].memberships.push(Membership::plain("nowhere_declared"));
    case_of("odd pointers, and memberships in a circle", roles)
}

/// A step for every case of `change`.
pub(super) fn steps() -> Vec<Step> {
    let role = || Role { credential: Some(credential("s", SecretState::Present, Some(3))), ..user(0, "alice") };
    let edge = || Membership { grantor: Some("postgres".to_owned()), ..Membership::plain("reader") };
    let (name, text) = (|| "alice".to_owned(), |word: &str| word.to_owned());
    let connect = || grant(Object::Database(text("shop")), Privileges::CONNECT);
    let setting = || Setting { database: None, name: text("work_mem"), value: text("64MB") };
    let patch = RolePatch {
        name: name(),
        set: Attributes::SUPERUSER | Attributes::LOGIN,
        clear: Attributes::INHERIT,
        connection_limit: Some(Limit::AtMost(1)),
        valid_until: Some(Expiry::At(0)),
        comment: Some(String::new()),
    };
    let changes = vec![
        Change::CreateRole(role()),
        Change::AlterRole(patch),
        Change::AlterRole(RolePatch { name: name(), ..RolePatch::default() }),
        Change::RenameRole { from: name(), to: text("alicia") },
        Change::SetPassword(name()),
        Change::ClearPassword(name()),
        Change::GrantRole { member: name(), membership: Membership::plain("reader") },
        Change::RevokeRole { member: name(), membership: edge() },
        Change::GrantPrivilege { role: Some(name()), grant: connect() },
        Change::GrantPrivilege { role: None, grant: connect() },
        Change::RevokePrivilege { role: Some(name()), grant: connect() },
        Change::SetSetting { role: name(), setting: setting() },
        Change::ResetSetting { role: name(), setting: setting() },
        Change::DropRole { name: name(), reassign_to: None },
        Change::DropRole { name: name(), reassign_to: Some(text("postgres")) },
        Change::CreateDatabase(database("shop")),
        Change::AlterDatabase(database("shop")),
        Change::RunScript(text("nightly")),
    ];
    let risks = [Risk::Safe, Risk::Disruptive, Risk::Destructive];
    let step = |(number, change): (usize, Change)| Step {
        change,
        risk: risks[number % risks.len()],
        reason: text("a reason"),
        path: if number % 2 == 0 { "/users/0".to_owned() } else { String::new() },
        cause: Cause::Spec,
        by: "standard".to_owned(),
    };
    changes.into_iter().enumerate().map(step).collect()
}

fn grant(on: Object, privileges: Privileges) -> Grant {
    Grant { database: None, on, privileges, grantable: Privileges::empty() }
}

fn credential(secret: &str, state: SecretState, strength: Option<u8>) -> Credential {
    Credential {
        secret: secret.to_owned(),
        key: "password".to_owned(),
        state,
        version: "1".to_owned(),
        strength,
        in_sync: None,
        changed_at: strength.map(|_| 0),
        labels: BTreeMap::from([("team".to_owned(), secret.to_owned())]),
    }
}

fn database(name: &str) -> Database {
    Database {
        name: name.to_owned(),
        owner: Some("postgres".to_owned()),
        connection_limit: Some(Limit::Unlimited),
        comment: Some(name.to_owned()),
        schemas: vec![Schema { name: name.to_owned(), owner: None, path: String::new() }],
        labels: BTreeMap::new(),
        path: String::new(),
    }
}

/// The roles of a spec as a planner is given them: complete.
pub(super) fn completed(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    for role in spec.roles.values_mut() {
        role.connection_limit = role.connection_limit.or(Some(Limit::Unlimited));
        role.valid_until = role.valid_until.or(Some(Expiry::Never));
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_among_the_steps() {
        let actions: std::collections::BTreeSet<&str> = steps().iter().map(|step| step.change.action()).collect();
        assert_eq!(actions.len(), 15, "{actions:?}");
    }

    #[test]
    fn every_name_is_one_that_postgresql_takes() {
        assert!(names().iter().all(|name| !name.is_empty() && name.len() <= 63 && !name.contains('\0')));
    }

    #[test]
    fn many_users_are_as_if_they_had_been_read() {
        let users = (0..2).fold(String::from("users:"), |text, number| {
            text + &format!(
                "\n  - {{username: user-{number:06}, database: shop, roles: [group_{number:02}, pg_monitor], \
                 labels: {{team: team_{number:02}, kind: {}}}}}",
                if number == 0 { "service" } else { "human" }
            )
        });
        let mut many = many(2).unwrap().spec;
        for user in many.roles.values_mut() {
            // What stands in no such text: the Secrets.
            if let Some(credential) = &mut user.credential {
                (credential.strength, credential.changed_at) = (None, None);
            }
        }
        assert_eq!(many, Case::of_texts("two", &users, "").unwrap().spec);
    }

    #[test]
    fn worlds_are_the_same_in_every_run_and_differ_from_each_other() {
        let roles = |number| world(number).unwrap().spec.roles;
        assert_eq!(roles(1), roles(1));
        assert!((0..20).map(roles).collect::<Vec<_>>().windows(2).any(|pair| pair[0] != pair[1]));
    }
}
