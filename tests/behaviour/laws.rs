//! The law of every plan, on a live server: for random specs, and a server on which somebody has
//! done random things since, one apply leaves nothing to do and changes no stranger.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rolewright_tests::{Cluster, Manifests, Rolewright};

const USERS: [&str; 4] = ["ada", "ben", "cleo", "dan"];
const GROUPS: [&str; 3] = ["readers", "writers", "it's \"odd\""];
const DATABASES: [&str; 2] = ["shop", "reports"];

/// What somebody may have done by hand. Some of it fails where a role is absent: that is fine too.
fn mischief() -> impl Strategy<Value = String> {
    let user = prop::sample::select(USERS.to_vec());
    let role = prop::sample::select(vec!["ada", "dan", "readers", "writers", "\"it's \"\"odd\"\"\"", "stranger"]);
    let database = prop::sample::select(DATABASES.to_vec());
    let attribute = prop::sample::select(vec![
        "CREATEDB",
        "NOLOGIN",
        "LOGIN",
        "NOINHERIT",
        "CONNECTION LIMIT 3",
        "VALID UNTIL '2030-01-01'",
        "PASSWORD NULL",
        "BYPASSRLS",
        "PASSWORD 'changed-by-hand'",
    ]);
    prop_oneof![
        (user.clone(), attribute.clone()).prop_map(|(user, attribute)| format!("ALTER ROLE {user} {attribute}")),
        (role.clone(), attribute).prop_map(|(role, attribute)| format!("ALTER ROLE {role} {attribute}")),
        (role.clone(), user.clone()).prop_map(|(role, user)| format!("GRANT {role} TO {user}")),
        (role.clone(), user.clone()).prop_map(|(role, user)| format!("GRANT {role} TO {user} WITH ADMIN OPTION")),
        (role.clone(), user.clone()).prop_map(|(role, user)| format!("REVOKE {role} FROM {user}")),
        (database.clone(), user.clone()).prop_map(|(on, user)| format!("GRANT ALL ON DATABASE {on} TO {user}")),
        (database, user.clone()).prop_map(|(on, user)| format!("REVOKE ALL ON DATABASE {on} FROM {user}")),
        user.clone().prop_map(|user| format!("DROP OWNED BY {user}; DROP ROLE {user}")),
        user.prop_map(|user| format!("CREATE ROLE {user}")),
        role.prop_map(|role| format!("GRANT {role} TO stranger")),
    ]
}

/// For each user: whether it is declared, its groups, its databases, and whether it has a password.
fn spec() -> impl Strategy<Value = String> {
    let user = |name: &'static str| {
        let groups = prop::sample::subsequence(GROUPS.to_vec(), 0..=3);
        let databases = prop::sample::subsequence(DATABASES.to_vec(), 0..=2);
        (prop::bool::weighted(0.8), groups, databases, any::<bool>()).prop_map(
            move |(declared, groups, databases, password)| {
                if !declared {
                    return String::new();
                }
                let groups: Vec<String> =
                    groups.iter().map(|group| format!("'{}'", group.replace('\'', "''"))).collect();
                let password = if password { "" } else { "    password: none\n" };
                let databases = match databases.len() {
                    0 => String::new(),
                    _ => format!("    databases: [{}]\n    privileges: [TEMPORARY]\n", databases.join(", ")),
                };
                format!("  - username: {name}\n    roles: [{}]\n{databases}{password}", groups.join(", "))
            },
        )
    };
    USERS.map(user).prop_map(|users| format!("users:\n  - username: always\n    password: none\n{}", users.concat()))
}

#[test]
fn after_one_apply_there_is_nothing_to_do_whatever_was_done_by_hand() {
    let cluster = Cluster::start();
    for database in DATABASES {
        cluster.sql(&format!("CREATE DATABASE {database}"));
    }
    cluster.sql("CREATE ROLE stranger LOGIN CREATEDB");
    let manifests = Manifests::new();
    for user in USERS {
        manifests.secret(user, &format!("law-abiding-{user}"));
    }
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    let mut runner =
        TestRunner::new(Config { cases: 24, max_shrink_iters: 40, failure_persistence: None, ..Config::default() });
    let cases = (spec(), prop::collection::vec(mischief(), 0..8));
    let result = runner.run(&cases, |(spec, mischief)| {
        manifests.users(&spec);
        for statement in &mischief {
            let _ = cluster.try_sql("postgres", statement);
        }
        let stranger =
            "SELECT rolcanlogin, rolcreatedb, rolconnlimit, rolpassword FROM pg_authid WHERE rolname = 'stranger'";
        let before = cluster.sql(stranger);
        rolewright.apply().succeeds();
        rolewright.command(&["plan", "--rehearse", "--exit-code"]).succeeds();
        prop_assert_eq!(cluster.sql(stranger), before);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
