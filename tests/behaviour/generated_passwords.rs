//! Passwords that nobody has to invent: made by the controller, written into the Secret that applications read, and
//! rotated. Here with a directory of manifests; `kubernetes_generated.rs` has the same with an API server.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postgres::NoTls;
use rolewright_tests::{Cluster, Manifests, Output, Rolewright, eventually, leaks};
use serde_json::Value;

use super::crash::{kill_at, kill_this_at};

const APP: &str = "users:\n  - {username: app, database: shop, generate: true}\n";
const ROTATED: &str = "users:\n  - {username: app, database: shop, generate: {rotate_every: 1h}}\n";
const SECRET: &str = "user-app-secret";
pub(super) const GENERATED_AT: &str = "rolewright.dev/generated-at";

/// A Secret that was written by the controller. Whatever is printed from now on is searched for it.
pub(super) struct Generated(pub(super) Value);

impl Generated {
    pub(super) fn new(secret: Value) -> Generated {
        let generated = Generated(secret);
        for key in ["password", "uri", "jdbc-uri", "pgpass"] {
            if let Some(value) = generated.keys().get(key) {
                leaks::register_password(value);
            }
        }
        generated
    }

    pub(super) fn keys(&self) -> BTreeMap<String, String> {
        let data = self.0["data"].as_object().expect("a Secret has data");
        let text = |value: &Value| String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
        data.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    pub(super) fn value(&self, key: &str) -> String {
        self.keys().remove(key).unwrap_or_else(|| panic!("no key {key}"))
    }

    pub(super) fn password(&self) -> String {
        self.value("password")
    }

    pub(super) fn annotation(&self, key: &str) -> &str {
        self.0["metadata"]["annotations"][key].as_str().unwrap_or_default()
    }

    /// Logs in as an application would, with nothing but the URI.
    pub(super) fn login(&self) -> (String, String) {
        let mut client = postgres::Client::connect(&self.value("uri"), NoTls).expect("the URI works");
        let row = client.query_one("SELECT current_user::text, current_database()::text", &[]).unwrap();
        (row.get(0), row.get(1))
    }
}

pub(super) fn path(manifests: &Manifests, name: &str) -> PathBuf {
    manifests.path().join(format!("{name}.generated.yaml"))
}

pub(super) fn generated(manifests: &Manifests, name: &str) -> Generated {
    let text = fs::read_to_string(path(manifests, name)).expect("the Secret was written");
    Generated::new(serde_saphyr::from_str(&text).expect("it is YAML"))
}

/// What was printed before its password was known here.
fn told_nothing(output: &Output) {
    leaks::assert_none("what was printed", &(output.stdout.clone() + &output.stderr));
}

pub(super) fn edit(manifests: &Manifests, name: &str, alter: impl FnOnce(&mut Value)) {
    let mut secret = generated(manifests, name).0;
    alter(&mut secret);
    manifests.file(&format!("{name}.generated.yaml"), secret.to_string());
}

fn set(secret: &mut Value, key: &str, value: &str) {
    secret["data"][key] = STANDARD.encode(value).into();
}

/// The time so many seconds from now.
pub(super) fn moment(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let (days, rest) = ((now + seconds).div_euclid(86_400), (now + seconds).rem_euclid(86_400));
    // https://howardhinnant.github.io/date_algorithms.html#civil_from_days
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * from_march + 2) / 5 + 1, (from_march + 2) % 12 + 1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

pub(super) fn backdate(manifests: &Manifests, seconds: i64) {
    edit(manifests, SECRET, |secret| secret["metadata"]["annotations"][GENERATED_AT] = moment(-seconds).into());
}

fn files(manifests: &Manifests) -> Vec<String> {
    let names = fs::read_dir(manifests.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(super) fn shop() -> (Cluster, Manifests) {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE DATABASE shop");
    manifests.users(APP);
    (cluster, manifests)
}

#[test]
fn what_the_secret_says_is_how_an_application_logs_in() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests).env("LOG_LEVEL", "trace");
    let output = rolewright.apply();
    output.succeeds().mentions("generated").mentions(SECRET);
    let secret = generated(&manifests, SECRET);
    told_nothing(&output);
    rolewright.check_what_it_left();
    assert_eq!(secret.login(), ("app".to_owned(), "shop".to_owned()));
    let keys = secret.keys();
    assert!(cluster.psql_login(&keys["username"], &keys["password"], &keys["dbname"]), "as libpq reads the keys");
    assert_eq!((keys["host"].as_str(), keys["port"].clone()), ("127.0.0.1", cluster.port.to_string()));
    assert_eq!(keys["password"].len(), 32);
    assert_eq!(keys["pgpass"], format!("127.0.0.1:{}:shop:app:{}\n", cluster.port, keys["password"]));
    assert!(keys["jdbc-uri"].starts_with("jdbc:postgresql://127.0.0.1:"));
    assert_eq!(secret.0["metadata"]["labels"]["app.kubernetes.io/managed-by"], "rolewright");
    let mode = fs::metadata(path(&manifests, SECRET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");

    let (verifier, before) = (cluster.attribute("app", "rolpassword"), secret.0);
    let plan = rolewright.plan_json();
    assert!(plan.is_empty().findings().is_empty(), "{:#}", plan.0);
    rolewright.apply().succeeds();
    assert_eq!(generated(&manifests, SECRET).0, before);
    assert_eq!(cluster.attribute("app", "rolpassword"), verifier);
    assert_eq!(files(&manifests), ["configmap.yaml", "user-app-secret.generated.yaml"]);
}

#[test]
fn whatever_only_looks_writes_nothing() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests);
    let first = rolewright.plan_json();
    assert_eq!(first.digest(), rolewright.plan_json().digest(), "or nobody could approve it");
    assert!(first.findings().iter().any(|finding| finding["code"] == "generated-password"), "{:#}", first.0);
    for arguments in [&["plan"][..], &["plan", "--rehearse"], &["plan", "--format", "sql"], &["apply", "--dry-run"]] {
        rolewright.command(arguments).succeeds();
    }
    rolewright.plan().succeeds().mentions("a password is generated for \"app\"").mentions(SECRET);
    assert_eq!(files(&manifests), ["configmap.yaml"]);
    assert!(!cluster.has_role("app"));
}

#[test]
fn a_plan_that_waits_or_is_refused_leaves_no_secret_behind() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "0");
    manifests.users("users: [{username: gone, password: none}]\n");
    rolewright.apply().succeeds();
    manifests.users(APP);
    let held = rolewright.command(&["plan", "--format", "json"]);
    let digest = held.exits_with(3).json()["digest"].as_str().expect("a plan has a digest").to_owned();
    rolewright.apply().exits_with(3);
    assert_eq!(files(&manifests), ["configmap.yaml"]);
    rolewright.command(&["apply", "--approve", &digest]).succeeds();
    assert!(!cluster.has_role("gone"));
    generated(&manifests, SECRET).login();

    manifests.users(&format!("{APP}  - {{username: root, generate: true, superuser: true}}\n"));
    rolewright.apply().exits_with(3).mentions("SUPERUSER");
    assert_eq!(files(&manifests), ["configmap.yaml", "user-app-secret.generated.yaml"]);
}

#[test]
fn a_secret_of_others_is_never_overwritten() {
    let (cluster, manifests) = shop();
    manifests.users(&format!("{APP}  - {{username: other, generate: true}}\n"));
    manifests.secret("app", "generated-foreign-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(1).mentions("was not written by Rolewright").mentions("delete it");
    assert!(!cluster.has_role("app"));
    assert_eq!(generated(&manifests, "user-other-secret").login().0, "other", "the others are served");
    assert_eq!(files(&manifests), ["configmap.yaml", "user-app-secret.yaml", "user-other-secret.generated.yaml"]);
    // What the error says helps.
    manifests.remove_secret("app");
    rolewright.apply().succeeds();
    generated(&manifests, SECRET).login();

    // Nor one that was written for somebody else, or for another server.
    manifests.users("users:\n  - {username: mallory, generate: true, secret: {name: user-other-secret}}\n");
    let before = generated(&manifests, "user-other-secret").0;
    let rolewright = rolewright.env("MAX_DELETIONS", "100%");
    rolewright.apply().exits_with(1).mentions("holds the password of \"other\"");
    assert!(!cluster.has_role("mallory"));
    let elsewhere = Cluster::start();
    elsewhere.sql("CREATE DATABASE shop");
    manifests.users(APP);
    let port = cluster.port.to_string();
    Rolewright::new(&elsewhere, &manifests).apply().exits_with(1).mentions(&format!("\"127.0.0.1:{port}\""));
    assert_eq!(generated(&manifests, "user-other-secret").0, before);
}

#[test]
fn where_nothing_can_be_written_it_is_told_and_the_others_are_served() {
    let (cluster, manifests) = shop();
    // No file has a name of more than 255 bytes, whoever asks for it.
    let long = "s".repeat(250);
    manifests.users(&format!(
        "users:\n  - {{username: app, generate: true, secret: {{name: {long}}}}}\n  - {{username: taken, generate: true}}\n  \
         - {{username: other, generate: true}}\n"
    ));
    manifests.file("user-taken-secret.generated.yaml", "kind: Other\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    let output = rolewright.apply();
    output.exits_with(1).mentions("cannot be written").mentions("is there already, with something else");
    assert!(!cluster.has_role("app") && !cluster.has_role("taken"));
    assert_eq!(generated(&manifests, "user-other-secret").login().0, "other");
    assert_eq!(fs::read_to_string(path(&manifests, "user-taken-secret")).unwrap(), "kind: Other\n");

    // A rotation that cannot be written takes nobody's login away.
    manifests.users(ROTATED);
    rolewright.apply().succeeds();
    let secret = generated(&manifests, SECRET);
    backdate(&manifests, 4_000);
    fs::rename(path(&manifests, SECRET), manifests.path().join("elsewhere.yaml")).unwrap();
    rolewright.apply().exits_with(1).mentions("is due for rotation, and stays").mentions("with nothing else in it");
    secret.login();
}

#[test]
fn a_password_is_rotated_when_it_is_old_enough_and_only_then() {
    let (cluster, manifests) = shop();
    manifests.users(ROTATED);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds().mentions("next rotation");
    let first = generated(&manifests, SECRET);
    backdate(&manifests, 3_000);
    assert!(rolewright.plan_json().is_empty().findings().iter().all(|it| it["code"] != "password-unwritten"));
    rolewright.apply().succeeds();
    assert_eq!(generated(&manifests, SECRET).password(), first.password());

    backdate(&manifests, 3_601);
    let plan = rolewright.plan_json();
    assert_eq!(plan.actions(), ["set-password app"]);
    assert_eq!(plan.digest(), rolewright.plan_json().digest());
    rolewright.command(&["plan", "--rehearse"]).succeeds();
    assert_eq!(generated(&manifests, SECRET).password(), first.password(), "a plan writes nothing");
    let output = rolewright.apply();
    output.succeeds().mentions("is rotated").mentions("next rotation");
    let second = generated(&manifests, SECRET);
    told_nothing(&output);
    assert_ne!(second.password(), first.password());
    assert!(second.annotation(GENERATED_AT) >= moment(-60).as_str(), "{}", second.annotation(GENERATED_AT));
    second.login();
    cluster.refuses_login("app", &first.password(), "shop", "28P01");
    rolewright.plan_json().is_empty();

    // A clock that went back: it begins to count anew, and no password changes.
    edit(&manifests, SECRET, |secret| {
        secret["metadata"]["annotations"][GENERATED_AT] = "2999-01-01T00:00:00Z".into();
    });
    for _ in 0..3 {
        rolewright.apply().succeeds();
    }
    let third = generated(&manifests, SECRET);
    assert_eq!(third.password(), second.password());
    assert!(third.annotation(GENERATED_AT) < "2999");
}

#[test]
fn the_controller_wakes_up_for_a_rotation_and_then_it_is_quiet() {
    let (cluster, manifests) = shop();
    manifests.users(ROTATED);
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    eventually("a Secret", Duration::from_secs(60), || path(&manifests, SECRET).exists().then_some(()));
    controller.wait_for_metric("postgres_controller_synced", 1.0);
    let first = generated(&manifests, SECRET);
    backdate(&manifests, 3_600 - 8);
    let second = eventually("a rotation", Duration::from_secs(60), || {
        let secret = generated(&manifests, SECRET);
        (secret.password() != first.password()).then_some(secret)
    });
    eventually("the new password", Duration::from_secs(30), || {
        cluster.try_login("app", &second.password(), "shop").is_ok().then_some(())
    });
    controller.wait_for("is rotated");
    // What it wrote itself is looked at once more, and that is all.
    std::thread::sleep(Duration::from_secs(4));
    let cycles = || controller.metric("postgres_controller_reconciliations_total");
    let before = cycles();
    assert!(before <= 7.0, "{before} cycles");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(cycles(), before, "there is a loop");
    assert_eq!(generated(&manifests, SECRET).0, second.0);
    told_nothing(&controller.terminate());
}

#[test]
fn killed_between_secret_and_server_it_goes_on_with_the_password_that_is_written() {
    let (cluster, manifests) = shop();
    manifests.users(ROTATED);
    let rolewright = Rolewright::new(&cluster, &manifests);
    kill_at(&rolewright, &cluster, "postgres", "pg_authid");
    let first = generated(&manifests, SECRET);
    assert!(!cluster.has_role("app"), "the Secret comes first");
    rolewright.apply().succeeds();
    assert_eq!(generated(&manifests, SECRET).password(), first.password());
    first.login();

    backdate(&manifests, 4_000);
    kill_at(&rolewright, &cluster, "postgres", "pg_authid");
    let second = generated(&manifests, SECRET);
    assert_ne!(second.password(), first.password());
    cluster.login("app", &first.password(), "shop");
    rolewright.apply().succeeds();
    assert_eq!(generated(&manifests, SECRET).password(), second.password());
    second.login();
    rolewright.plan_json().is_empty();
}

#[test]
fn what_was_edited_is_repaired_and_a_password_by_hand_is_used() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    leaks::register_password("generated-by-hand-1");
    edit(&manifests, SECRET, |secret| {
        set(secret, "password", "generated-by-hand-1");
        set(secret, "host", "elsewhere.example.com");
        set(secret, "mine", "stays");
        secret["data"].as_object_mut().unwrap().remove("port");
    });
    rolewright.apply().succeeds().mentions("written anew");
    let second = generated(&manifests, SECRET);
    second.login();
    let (mut keys, mut before) = (second.keys(), first.keys());
    assert_eq!(keys.remove("mine").as_deref(), Some("stays"));
    assert_eq!(keys.remove("password").as_deref(), Some("generated-by-hand-1"));
    assert_eq!((&keys["host"], &keys["port"]), (&before["host"], &before["port"]));
    before.retain(|key, _| keys.contains_key(key));
    assert_eq!(keys.len(), before.len());
    rolewright.plan_json().is_empty();

    // Another address for applications, and another database.
    manifests.users("users:\n  - {username: app, databases: [postgres, shop], generate: true}\n");
    let rolewright = rolewright.env("APP_DB_HOST", "db.example.com").env("APP_DB_PORT", "6432");
    rolewright.plan().succeeds().mentions("written anew");
    assert_eq!(generated(&manifests, SECRET).0, second.0);
    rolewright.apply().succeeds();
    let third = generated(&manifests, SECRET);
    assert_eq!(third.value("uri"), "postgresql://app:generated-by-hand-1@db.example.com:6432/postgres");
    // An empty password is none.
    edit(&manifests, SECRET, |secret| set(secret, "password", ""));
    rolewright.apply().succeeds();
    let fourth = generated(&manifests, SECRET);
    assert_eq!(fourth.password().len(), 32);
    cluster.login("app", &fourth.password(), "shop");
}

#[test]
fn any_name_makes_a_uri_that_works() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let (user, database) = ("a:b@c/d?e#f g\"'\\%41 ü", "x%2F:@ \"y'\\/?#&= ö");
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    cluster.sql(&format!("CREATE DATABASE {}", quoted(database)));
    manifests.users_exactly(&format!(
        "users: [{{username: {}, database: {}, generate: true, secret: {{name: hostile}}}}]",
        serde_json::json!(user),
        serde_json::json!(database)
    ));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let secret = generated(&manifests, "hostile");
    assert_eq!(secret.login(), (user.to_owned(), database.to_owned()));
    assert_eq!((secret.value("username").as_str(), secret.value("dbname").as_str()), (user, database));
    rolewright.plan_json().is_empty();
}

#[test]
fn a_controller_that_sees_no_password_does_not_set_one_twice() {
    let (cluster, manifests) = shop();
    leaks::register_password("generated-controller");
    cluster.sql(
        "CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'generated-controller';
         GRANT CREATE ON DATABASE postgres TO controller; ALTER DATABASE shop OWNER TO controller",
    );
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "generated-controller");
    rolewright.apply().succeeds();
    let (secret, verifier) = (generated(&manifests, SECRET), cluster.attribute("app", "rolpassword"));
    secret.login();
    rolewright.plan_json().is_empty();
    rolewright.apply().succeeds();
    assert_eq!(cluster.attribute("app", "rolpassword"), verifier);
}

#[test]
fn the_secret_outlives_its_user_and_serves_whoever_comes_back() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    let secret = generated(&manifests, SECRET);
    manifests.users("users: [{username: other, password: none}]\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("app"));
    assert_eq!(generated(&manifests, SECRET).0, secret.0);
    manifests.users(APP);
    rolewright.apply().succeeds();
    assert_eq!(secret.login(), ("app".to_owned(), "shop".to_owned()));
}

#[test]
fn a_new_password_is_in_force_though_the_rest_of_the_user_is_refused() {
    let (cluster, manifests) = shop();
    manifests.users(ROTATED);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    backdate(&manifests, 4_000);
    let settings = "settings: {work_mem: nonsense}";
    manifests.users(&ROTATED.replace("database: shop", &format!("database: shop, {settings}")));
    rolewright.apply().exits_with(1).mentions("work_mem");
    let second = generated(&manifests, SECRET);
    assert_ne!(second.password(), first.password());
    second.login();
    cluster.refuses_login("app", &first.password(), "shop", "28P01");
    // Nobody has to mend that before the next one.
    backdate(&manifests, 4_000);
    rolewright.apply().exits_with(1).mentions("work_mem");
    generated(&manifests, SECRET).login();

    // Not so if a power is to go and stays: whoever writes the Secret would get at it.
    manifests.users(ROTATED);
    rolewright.apply().succeeds();
    cluster.sql("ALTER ROLE app SUPERUSER");
    backdate(&manifests, 4_000);
    let (verifier, third) = (cluster.attribute("app", "rolpassword"), generated(&manifests, SECRET));
    manifests.users(&ROTATED.replace("database: shop", &format!("database: shop, {settings}")));
    rolewright.apply().exits_with(1).mentions("work_mem");
    assert_ne!(generated(&manifests, SECRET).password(), third.password());
    assert_eq!(cluster.attribute("app", "rolpassword"), verifier);
}

#[test]
fn neither_a_rotation_nor_a_secret_that_is_written_takes_an_approval_away() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "0");
    manifests.users(&format!("{ROTATED}  - {{username: gone, password: none}}\n"));
    rolewright.apply().succeeds();
    manifests.users(&format!("{ROTATED}  - {{username: other, generate: true}}\n"));
    let held = || {
        let plan = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
        let actions: Vec<String> =
            plan["steps"].as_array().unwrap().iter().map(|step| step["action"].to_string()).collect();
        (plan["digest"].as_str().expect("a plan has a digest").to_owned(), actions)
    };
    let (digest, before) = held();
    backdate(&manifests, 4_000);
    let (again, now) = held();
    assert!(now.len() > before.len(), "no rotation: {now:?}");
    assert_eq!(again, digest);
    let old = generated(&manifests, SECRET);
    let approve = ["apply", "--approve", digest.as_str()];
    kill_this_at(&rolewright, &approve, &cluster, "postgres", "pg_authid");
    let (app, other) = (generated(&manifests, SECRET), generated(&manifests, "user-other-secret"));
    assert_ne!(app.password(), old.password());
    assert_eq!(held(), (digest.clone(), now), "the passwords are written, and not in force");
    rolewright.command(&approve).succeeds();
    app.login();
    other.login();
    assert!(!cluster.has_role("gone"));
}

#[test]
fn what_is_left_of_an_approved_plan_runs_though_a_secret_cannot_be_written() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests).env("MAX_DELETIONS", "0");
    manifests.users(&format!("{ROTATED}  - {{username: gone, password: none}}\n"));
    rolewright.apply().succeeds();
    manifests.users(&format!("{ROTATED}  - {{username: taken, generate: true}}\n"));
    manifests.file("user-taken-secret.generated.yaml", "kind: Other\n");
    backdate(&manifests, 4_000);
    let first = generated(&manifests, SECRET);
    let held = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    rolewright.command(&["apply", "--approve", "sha256:another"]).exits_with(3);
    assert_eq!(generated(&manifests, SECRET).0, first.0, "it was not approved");
    let output = rolewright.command(&["apply", "--approve", held["digest"].as_str().unwrap()]);
    output.exits_with(1).mentions("is there already, with something else");
    assert!(!cluster.has_role("gone") && !cluster.has_role("taken"));
    let second = generated(&manifests, SECRET);
    assert_ne!(second.password(), first.password());
    second.login();
}

#[test]
fn a_rotation_that_the_guard_forbids_is_that_users_trouble_alone() {
    let (cluster, manifests) = shop();
    let boss = "users:\n  - {username: boss, superuser: true, generate: {rotate_every: 1h}}\n";
    manifests.users(boss);
    let allowed = Rolewright::new(&cluster, &manifests).env("ALLOWED_POWERS", "SUPERUSER");
    allowed.apply().succeeds();
    let old = moment(-4_000);
    edit(&manifests, "user-boss-secret", |secret| secret["metadata"]["annotations"][GENERATED_AT] = old.into());
    let first = generated(&manifests, "user-boss-secret");
    manifests.users(&format!("{boss}  - {{username: other, password: none}}\n"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().mentions("is due for rotation, and stays").mentions("SUPERUSER, which is not in ALLOWED_POWERS");
    rolewright.apply().exits_with(1).mentions("is due for rotation, and stays");
    assert!(cluster.has_role("other"), "the others are served");
    assert_eq!(generated(&manifests, "user-boss-secret").0, first.0);
    first.login();
    // What the error says helps.
    allowed.apply().succeeds();
    let second = generated(&manifests, "user-boss-secret");
    assert_ne!(second.password(), first.password());
    second.login();
}

#[test]
fn whoever_is_renamed_keeps_a_secret_that_is_named_and_gets_another_one_else() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    let renamed = |from: &str, to: &str, secret: &str| {
        manifests.users(&format!(
            "users: [{{username: {to}, renamed_from: {from}, database: shop, generate: true{secret}}}]"
        ));
        rolewright.apply().succeeds();
    };
    renamed("app", "shop", &format!(", secret: {{name: {SECRET}}}"));
    let second = generated(&manifests, SECRET);
    assert_eq!((second.login().0.as_str(), second.password()), ("shop", first.password()));
    renamed("shop", "api", "");
    let third = generated(&manifests, "user-api-secret");
    assert_ne!(third.password(), first.password());
    assert_eq!(third.login().0, "api");
    assert_eq!(generated(&manifests, SECRET).0, second.0, "it stays, and is no longer good");
    cluster.refuses_login("api", &first.password(), "shop", "28P01");
}

#[test]
fn a_rename_that_waits_leaves_the_secret_as_it_is() {
    let (cluster, manifests) = shop();
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let first = generated(&manifests, SECRET);
    manifests.users(&format!(
        "users: [{{username: api, renamed_from: app, databases: [shop, nowhere], generate: true, secret: {{name: {SECRET}}}}}]"
    ));
    rolewright.apply().exits_with(1).says("nowhere");
    assert_eq!(generated(&manifests, SECRET).0, first.0);
    assert_eq!(first.login().0, "app");
}
