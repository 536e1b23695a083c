//! Two logins that take turns (`generate: {rotate_every, alternate}`): the Secret names one of them, and after a rotation
//! the other, whose password is in force by then. So no login fails, neither with what the Secret says nor with what it
//! said before. `kubernetes_generated.rs` has the same with an API server.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postgres::NoTls;
use rolewright_tests::snapshot::identifier;
use rolewright_tests::{Cluster, Manifests, Rolewright, eventually, leaks};
use serde_json::json;

use super::crash::{held_up_at, kill_at};
use super::generated_passwords::{GENERATED_AT, Generated, backdate, edit, generated, moment, path, shop};

const SECRET: &str = "user-app-secret";
const LOGIN: &str = "rolewright.dev/login";

/// The user `app` with its second login `app_b`, and more keys of it.
fn app(manifests: &Manifests, more: &str) {
    let generate = "generate: {rotate_every: 1h, alternate: app_b}";
    manifests.users(&format!("users:\n  - {{username: app, database: shop, {generate}{more}}}\n"));
}

fn two() -> (Cluster, Manifests) {
    let (cluster, manifests) = shop();
    app(&manifests, "");
    (cluster, manifests)
}

/// Lets the password grow old, and rotates it.
fn rotate(rolewright: &Rolewright<'_>, manifests: &Manifests) -> Generated {
    backdate(manifests, 4_000);
    rolewright.apply().succeeds();
    generated(manifests, SECRET)
}

/// Who logs in with what the Secret says, and as whom it acts.
fn who(secret: &Generated) -> (String, String) {
    let mut client = postgres::Client::connect(&secret.value("uri"), NoTls).expect("the URI works");
    let row = client.query_one("SELECT session_user::text, current_user::text", &[]).unwrap();
    (row.get(0), row.get(1))
}

fn pair(login: &str, role: &str) -> (String, String) {
    (login.to_owned(), role.to_owned())
}

#[test]
fn they_take_turns_and_the_one_before_can_be_used_until_the_next_rotation() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    assert_eq!(who(&first), pair("app", "app"));
    assert_eq!(first.annotation(LOGIN), "app");
    assert_eq!(cluster.value("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'app_b'"), "t");
    assert_eq!(rolewright.plan_json().is_empty().findings(), [json!(null); 0], "nobody has anything to say");

    backdate(&manifests, 4_000);
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["set-password app_b"]);
    assert_eq!(plan.digest(), rolewright.plan_json().digest(), "or nobody could approve it");
    rolewright.command(&["plan", "--rehearse"]).succeeds();
    assert_eq!(generated(&manifests, SECRET).password(), first.password(), "a plan writes nothing");
    let output = rolewright.apply();
    output.succeeds().mentions("the one before can be used until the next rotation");
    let second = generated(&manifests, SECRET);
    leaks::assert_none("what was printed", &(output.stdout.clone() + &output.stderr));
    assert_eq!(who(&second), pair("app_b", "app"));
    assert_eq!((second.annotation(LOGIN), second.value("username").as_str()), ("app_b", "app_b"));
    first.login();
    rolewright.plan_json().is_empty();

    // What the one makes is the other's: whoever logs in acts as the user.
    let mut client = postgres::Client::connect(&second.value("uri"), NoTls).unwrap();
    client.batch_execute("SELECT set_config('search_path', 'public', false)").unwrap();
    cluster.sql_in("shop", "GRANT CREATE ON SCHEMA public TO PUBLIC");
    client.batch_execute("CREATE TABLE made (id int)").unwrap();
    let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'made'";
    assert_eq!(cluster.sql_in("shop", owner), [["app"]]);
    // A pool that hands a connection on.
    client.batch_execute("DISCARD ALL").unwrap();
    assert_eq!(client.query_one("SELECT current_user::text", &[]).unwrap().get::<_, String>(0), "app");

    let third = rotate(&rolewright, &manifests);
    assert_eq!(who(&third), pair("app", "app"));
    assert_ne!(third.password(), first.password());
    cluster.refuses_login("app", &first.password(), "shop", "28P01");
    second.login();
    let verifiers = || ["app", "app_b"].map(|login| cluster.attribute(login, "rolpassword"));
    let before = verifiers();
    for _ in 0..2 {
        rolewright.plan_json().is_empty();
        rolewright.apply().succeeds();
    }
    assert_eq!(verifiers(), before);
    assert_eq!(generated(&manifests, SECRET).0, third.0);
}

#[test]
fn at_every_moment_the_secret_and_the_one_before_log_in() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let (over, file) = (AtomicBool::new(false), path(&manifests, SECRET));
    let logins = std::thread::scope(|scope| {
        let application = scope.spawn(|| {
            let mut logins = std::collections::BTreeMap::new();
            while !over.load(Ordering::Relaxed) {
                // Rewritten here to make it old, and by the controller, which replaces it as a whole.
                let Ok(secret) = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()) else { continue };
                let secret = Generated::new(secret);
                *logins.entry(secret.login().0 + &who(&secret).0).or_insert(0) += 1;
            }
            logins
        });
        let mut before = generated(&manifests, SECRET);
        for _ in 0..6 {
            let now = rotate(&rolewright, &manifests);
            before.login();
            before = now;
        }
        over.store(true, Ordering::Relaxed);
        application.join().expect("every login succeeded")
    });
    let both: Vec<&String> = logins.keys().collect();
    assert_eq!(both, ["appapp", "appapp_b"], "{logins:?}");
}

#[test]
fn where_the_secret_cannot_be_written_it_goes_on_being_right() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    // Nothing is in force: the server was away in the middle of it.
    backdate(&manifests, 4_000);
    kill_at(&rolewright, &cluster, "postgres", "pg_authid");
    assert_eq!(generated(&manifests, SECRET).password(), first.password(), "the server comes first");
    assert_eq!(who(&first), pair("app", "app"));

    // That it cannot be written is known before anything is done.
    let (file, moved) = (path(&manifests, SECRET), manifests.path().join("elsewhere.yaml"));
    let no_password = "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'app_b'";
    fs::rename(&file, &moved).unwrap();
    for _ in 0..2 {
        let output = rolewright.apply();
        output.exits_with(1).mentions("is due for rotation, and stays").mentions("with nothing else in it");
        assert_eq!(cluster.value(no_password), "t");
    }
    assert_eq!(who(&first), pair("app", "app"));
    fs::rename(&moved, &file).unwrap();

    // Or only when the password is in force, and that is all.
    let place = ("postgres", "pg_authid");
    let output = held_up_at(&rolewright, &cluster, place, || fs::rename(&file, &moved).unwrap());
    output
        .exits_with(1)
        .mentions("names the other login as before")
        .mentions("the next cycle looks at the Secret again");
    assert_eq!(who(&first), pair("app", "app"));
    assert_eq!(cluster.value(no_password), "f");
    let unused = cluster.attribute("app_b", "rolpassword");
    fs::rename(&moved, &file).unwrap();
    rolewright.apply().succeeds();
    assert_ne!(cluster.attribute("app_b", "rolpassword"), unused, "nobody knows what that one was");
    assert_eq!(who(&generated(&manifests, SECRET)), pair("app_b", "app"));
    first.login();
    rolewright.plan_json().is_empty();
}

#[test]
fn a_plan_that_waits_or_is_refused_rotates_nothing() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "0");
    let users = |more: &str| {
        let generate = "generate: {rotate_every: 1h, alternate: app_b}";
        manifests.users(&format!("users:\n  - {{username: app, database: shop, {generate}}}\n{more}"));
    };
    users("  - {username: gone, password: none}\n");
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    users("");
    let before = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    backdate(&manifests, 4_000);
    let held = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    assert_eq!(held["digest"], before["digest"], "a rotation that falls due takes no approval away");
    rolewright.apply().exits_with(3);
    assert_eq!(generated(&manifests, SECRET).password(), first.password());
    assert_eq!(cluster.value("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'app_b'"), "t");
    rolewright.command(&["apply", "--approve", held["digest"].as_str().unwrap()]).succeeds();
    assert_eq!(who(&generated(&manifests, SECRET)), pair("app_b", "app"));
    first.login();
}

#[test]
fn the_second_login_comes_and_goes() {
    let (cluster, manifests) = shop();
    manifests.users("users:\n  - {username: app, database: shop, generate: {rotate_every: 1h}}\n");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "2");
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    app(&manifests, "");
    rolewright.apply().succeeds();
    assert!(cluster.has_role("app_b"));
    assert_eq!(generated(&manifests, SECRET).password(), first.password());
    let second = rotate(&rolewright, &manifests);
    assert_eq!(who(&second), pair("app_b", "app"));

    // Another name for it, while the Secret names the one before.
    manifests.users("users:\n  - {username: app, database: shop, generate: {rotate_every: 1h, alternate: app_c}}\n");
    rolewright.plan().succeeds().mentions("names a second login that is no longer declared");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("app_b") && cluster.has_role("app_c"));
    assert_eq!(who(&generated(&manifests, SECRET)), pair("app", "app"));
    assert_eq!(who(&rotate(&rolewright, &manifests)), pair("app_c", "app"));

    // None, and then nobody at all.
    manifests.users("users:\n  - {username: app, database: shop, generate: {rotate_every: 1h}}\n");
    rolewright.apply().succeeds();
    let last = generated(&manifests, SECRET);
    assert_eq!((who(&last), last.annotation(LOGIN)), (pair("app", "app"), ""));
    assert!(!cluster.has_role("app_c"));
    rolewright.plan_json().is_empty();
    app(&manifests, "");
    rolewright.apply().succeeds();
    manifests.users("users: [{username: other, password: none}]\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("app") && !cluster.has_role("app_b"));
}

#[test]
fn what_is_declared_of_the_user_holds_for_both() {
    let (cluster, manifests) = two();
    app(&manifests, ", connection_limit: 7, valid_until: 2099-01-01, settings: {work_mem: 3MB}, createdb: true");
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "2");
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    let second = rotate(&rolewright, &manifests);
    for login in ["app", "app_b"] {
        assert_eq!(cluster.attribute(login, "rolconnlimit"), "7", "{login}");
        assert!(cluster.attribute(login, "rolvaliduntil").starts_with("20"), "{login}");
    }
    let mut client = postgres::Client::connect(&second.value("uri"), NoTls).unwrap();
    let row = client.query_one("SELECT current_setting('work_mem')", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "3MB");
    client.batch_execute("CREATE DATABASE by_the_second").expect("it acts as one that may");
    assert_eq!(cluster.attribute("app_b", "rolcreatedb"), "f", "and has nothing of its own");
    drop(client);

    // Drift, of what makes it act as the user too.
    cluster.sql("ALTER ROLE app_b RESET role; REVOKE app FROM app_b; ALTER ROLE app_b CONNECTION LIMIT 9");
    rolewright.apply().succeeds();
    assert_eq!(who(&second), pair("app_b", "app"));
    app(&manifests, ", disabled: true");
    rolewright.apply().succeeds();
    cluster.refuses_login("app", &first.password(), "shop", "28000");
    cluster.refuses_login("app_b", &second.password(), "shop", "28000");
    app(&manifests, "");
    rolewright.apply().succeeds();
    second.login();
}

#[test]
fn a_user_that_is_renamed_keeps_its_second_login() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let second = rotate(&rolewright, &manifests);
    let generate = format!("generate: {{rotate_every: 1h, alternate: app_b}}, secret: {{name: {SECRET}}}");
    manifests.users(&format!("users:\n  - {{username: api, renamed_from: app, database: shop, {generate}}}\n"));
    rolewright.apply().succeeds();
    let after = generated(&manifests, SECRET);
    assert_eq!(after.password(), second.password());
    assert_eq!(who(&after), pair("app_b", "api"));
    rolewright.plan_json().is_empty();
    assert_eq!(who(&rotate(&rolewright, &manifests)), pair("api", "api"));
}

#[test]
fn any_names_will_do() {
    let (cluster, manifests) = shop();
    let (first, second) = ("it's \"A\\\" = $1; --", "Zweite:@/%41 ü, b");
    manifests.users_exactly(
        &json!({ "users": [{ "username": first, "database": "shop", "secret": { "name": SECRET },
            "generate": { "rotate_every": "1h", "alternate": second } }] })
        .to_string(),
    );
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    assert_eq!(who(&rotate(&rolewright, &manifests)), pair(second, first));
    rolewright.plan_json().is_empty();
    cluster.sql(&format!("ALTER ROLE {} SET role = {}", identifier(second), "none"));
    rolewright.apply().succeeds();
    assert_eq!(who(&generated(&manifests, SECRET)), pair(second, first));
}

#[test]
fn a_controller_without_a_superusers_rights_rotates_as_quietly() {
    let (cluster, manifests) = two();
    let rolewright = managed(&cluster, &manifests);
    rolewright.apply().succeeds();
    rolewright.plan_json().is_empty();
    let first = generated(&manifests, SECRET);
    for login in ["app_b", "app"] {
        let secret = rotate(&rolewright, &manifests);
        assert_eq!(who(&secret), pair(login, "app"));
        rolewright.plan_json().is_empty();
        let verifier = cluster.attribute(login, "rolpassword");
        rolewright.apply().succeeds();
        assert_eq!(cluster.attribute(login, "rolpassword"), verifier);
    }
    cluster.refuses_login("app", &first.password(), "shop", "28P01");
}

#[test]
fn a_password_that_came_into_no_secret_is_forgotten_where_nobody_can_compare() {
    let (cluster, manifests) = two();
    let rolewright = managed(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    backdate(&manifests, 4_000);
    let (file, moved) = (path(&manifests, SECRET), manifests.path().join("elsewhere.yaml"));
    let output = held_up_at(&rolewright, &cluster, ("postgres", "pg_authid"), || fs::rename(&file, &moved).unwrap());
    output.exits_with(1).mentions("names the other login as before");
    fs::rename(&moved, &file).unwrap();
    let verifier = cluster.attribute("app", "rolpassword");
    rolewright.apply().succeeds();
    assert_eq!(who(&generated(&manifests, SECRET)), pair("app_b", "app"));
    assert_eq!(cluster.attribute("app", "rolpassword"), verifier, "that one was never lost");
    first.login();
    rolewright.plan_json().is_empty();
}

#[test]
fn nobody_else_is_given_a_setting_that_acts_as_another() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    manifests.users(
        "users:\n  - {username: app, database: shop, generate: {rotate_every: 1h, alternate: app_b}}\n  \
         - {username: other, password: none, roles: [app], settings: {role: app}}\n",
    );
    rolewright.apply().exits_with(3).mentions("\"other\" would be given the setting role");
    edit(&manifests, SECRET, |secret| secret["metadata"]["annotations"][LOGIN] = "other".into());
    edit(&manifests, SECRET, |secret| secret["metadata"]["annotations"][GENERATED_AT] = moment(0).into());
    app(&manifests, "");
    // Whoever writes the Secret cannot make it that of anybody else.
    rolewright.apply().succeeds();
    assert_eq!(who(&generated(&manifests, SECRET)), pair("app", "app"));
}

/// As a managed service has it: passwords are not to be read.
fn managed<'a>(cluster: &'a Cluster, manifests: &Manifests) -> Rolewright<'a> {
    leaks::register_password("alternating-controller");
    cluster.sql(
        "CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'alternating-controller';
         GRANT CREATE ON DATABASE postgres TO controller; ALTER DATABASE shop OWNER TO controller",
    );
    Rolewright::new(cluster, manifests).connect_as("controller", "alternating-controller")
}

#[test]
fn of_two_at_once_one_rotates_and_the_other_sees_it() {
    let (cluster, manifests) = two();
    let rolewright = managed(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    for turn in ["app_b", "app", "app_b"] {
        backdate(&manifests, 4_000);
        // Both have read the Secret from before when the lock is let go.
        let mut holder = cluster.client("postgres");
        holder.batch_execute("BEGIN; LOCK TABLE pg_authid IN SHARE MODE").unwrap();
        let both = [rolewright.start(&["apply"]), rolewright.start(&["apply"])];
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                       AND application_name <> 'test' AND wait_event_type = 'Lock'";
        eventually("both to wait", Duration::from_secs(30), || (cluster.value(waiting) == "2").then_some(()));
        holder.batch_execute("ROLLBACK").unwrap();
        for apply in both {
            apply.finish().succeeds();
        }
        assert_eq!(who(&generated(&manifests, SECRET)), pair(turn, "app"));
    }
    assert_ne!(generated(&manifests, SECRET).password(), first.password());
    rolewright.plan_json().is_empty();
}

#[test]
fn what_else_fails_of_the_second_login_keeps_no_rotation_from_its_end() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    app(&manifests, ", settings: {work_mem: nonsense}");
    backdate(&manifests, 4_000);
    rolewright.apply().exits_with(1).mentions("work_mem");
    let second = generated(&manifests, SECRET);
    assert_eq!(who(&second), pair("app_b", "app"));
    first.login();
    rolewright.apply().exits_with(1).mentions("work_mem");
    assert_eq!(generated(&manifests, SECRET).0, second.0);
    second.login();

    // But not before it acts as the user.
    rotate_back(&rolewright, &manifests);
    let third = generated(&manifests, SECRET);
    assert_eq!(third.value("username"), "app");
    cluster.sql("REVOKE app FROM app_b");
    backdate(&manifests, 4_000);
    rolewright.apply().exits_with(1).mentions("work_mem");
    assert_eq!(generated(&manifests, SECRET).value("username"), "app");
    third.login();
}

fn rotate_back(rolewright: &Rolewright<'_>, manifests: &Manifests) {
    backdate(manifests, 4_000);
    rolewright.apply().exits_with(1);
}

#[test]
fn a_login_that_was_there_before_is_of_no_use_to_whoever_knows_its_password() {
    let (cluster, manifests) = shop();
    leaks::register_password("alternating-known");
    cluster.sql("CREATE ROLE app_b LOGIN PASSWORD 'alternating-known'");
    app(&manifests, "");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.refuses_login("app_b", "alternating-known", "shop", "28P01");
    rolewright.plan_json().is_empty();
    assert_eq!(who(&rotate(&rolewright, &manifests)), pair("app_b", "app"));

    // Nor is one that was a user of its own.
    manifests.secret("old", "alternating-old");
    manifests.users("users: [{username: app, database: shop, generate: true}, {username: old, database: shop}]\n");
    let rolewright = rolewright.env("MAX_DELETIONS", "2");
    rolewright.apply().succeeds();
    cluster.login("old", "alternating-old", "shop");
    manifests.users("users:\n  - {username: app, database: shop, generate: {rotate_every: 1h, alternate: old}}\n");
    rolewright.apply().succeeds();
    cluster.refuses_login("old", "alternating-old", "shop", "28P01");
    let now = generated(&manifests, SECRET);
    assert_eq!(who(&rotate(&rolewright, &manifests)), pair("old", "app"));
    now.login();
}

#[test]
fn the_second_login_is_left_as_it_is_with_the_user_and_keeps_the_turn() {
    let (cluster, manifests) = two();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let second = rotate(&rolewright, &manifests);
    assert_eq!(who(&second), pair("app_b", "app"));
    // Somebody has made a role of the new name: nobody knows which of the two is meant.
    cluster.sql("CREATE ROLE api LOGIN");
    let generate = format!("generate: {{rotate_every: 1h, alternate: app_b}}, secret: {{name: {SECRET}}}");
    manifests.users(&format!("users:\n  - {{username: api, renamed_from: app, database: shop, {generate}}}\n"));
    let before = cluster.roles();
    rolewright.apply().exits_with(1).mentions("both are there");
    assert_eq!(cluster.roles(), before);
    assert_eq!(generated(&manifests, SECRET).0, second.0);
    assert_eq!(who(&second), pair("app_b", "app"));
    cluster.sql("DROP ROLE api");
    rolewright.apply().succeeds();
    assert_eq!(who(&generated(&manifests, SECRET)), pair("app_b", "api"));

    // A Secret that cannot be read this time, and can be the next, changes nothing.
    app(&manifests, "");
    let file = path(&manifests, SECRET);
    manifests.users(&format!("users:\n  - {{username: api, database: shop, {generate}}}\n"));
    rolewright.apply().succeeds();
    let (text, verifier) = (fs::read_to_string(&file).unwrap(), cluster.attribute("app_b", "rolpassword"));
    edit(&manifests, SECRET, |secret| secret["metadata"]["annotations"]["rolewright.dev/server"] = "other:1".into());
    rolewright.apply().exits_with(1).mentions("other:1");
    manifests.file(&format!("{SECRET}.generated.yaml"), &text);
    rolewright.apply().succeeds();
    assert_eq!(cluster.attribute("app_b", "rolpassword"), verifier);
}
