//! What the other tests rely on: servers start, are private, and go away, whatever happens.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use rolewright_tests::cluster::{SUPERUSER_PASSWORD, Stop};
use rolewright_tests::tls::Certificates;
use rolewright_tests::{Cluster, Options, leaks, session};

#[test]
fn a_cluster_answers_over_its_socket_and_over_tcp() {
    let cluster = Cluster::start();
    assert_eq!(cluster.value("SELECT 40 + 2"), "42");
    let mut client = cluster.login("postgres", SUPERUSER_PASSWORD, "postgres");
    assert_eq!(client.query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
    cluster.refuses_login("postgres", "not the password", "postgres", "28P01");
}

#[test]
fn a_cluster_is_of_the_version_asked_for() {
    let cluster = Cluster::start();
    let version: u32 = cluster.value("SHOW server_version_num").parse().unwrap();
    assert_eq!(version / 10_000, session::postgres_major());
}

#[test]
fn two_clusters_at_once_know_nothing_of_each_other() {
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(Cluster::start);
        let other = scope.spawn(Cluster::start);
        (one.join().unwrap(), other.join().unwrap())
    });
    one.sql("CREATE ROLE only_here");
    assert!(one.has_role("only_here"));
    assert!(!other.has_role("only_here"));
    assert_ne!(one.port, other.port);
}

#[test]
fn a_cluster_is_gone_after_a_panic() {
    let seen = Mutex::new(None);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let cluster = Cluster::start();
        *seen.lock().unwrap() = Some((cluster.port, cluster.data()));
        panic!("as a failed test would");
    }));
    assert!(panicked.is_err());
    let (port, data) = seen.into_inner().unwrap().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!data.exists());
}

#[test]
fn a_cluster_keeps_its_port_and_its_data_when_it_is_stopped_and_started_again() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE still_here");
    for how in [Stop::Fast, Stop::Immediate] {
        cluster.sql("CHECKPOINT");
        cluster.stop(how);
        assert!(!cluster.is_up());
        cluster.restart();
        assert!(cluster.has_role("still_here"));
    }
}

#[test]
fn a_cluster_takes_settings_and_rules_and_certificates() {
    let certificates = Certificates::for_names(&["localhost"]);
    let cluster = Options::default()
        .setting("work_mem", "5MB")
        .hba("hostssl all all all scram-sha-256")
        .tls(&certificates)
        .start();
    assert_eq!(cluster.value("SHOW work_mem"), "5MB");
    assert_eq!(cluster.value("SHOW ssl"), "on");
    cluster.refuses_login("postgres", SUPERUSER_PASSWORD, "postgres", "28000");
}

#[test]
fn reading_writes_nothing_and_each_write_moves_the_fingerprint_and_the_log() {
    let cluster = Cluster::start();
    cluster.sql("CREATE ROLE a; CREATE ROLE b LOGIN");
    cluster.fingerprint();
    cluster.settle();
    let (log, fingerprint) = (cluster.wal_position(), cluster.fingerprint());
    cluster.roles();
    assert_eq!(cluster.wal_position(), log);
    for write in [
        "ALTER ROLE a NOLOGIN",
        "GRANT a TO b",
        "COMMENT ON ROLE a IS 'x'",
        "ALTER ROLE a SET work_mem = '1MB'",
        "GRANT CONNECT ON DATABASE postgres TO b",
    ] {
        let before = cluster.fingerprint();
        cluster.sql(write);
        assert_ne!(cluster.fingerprint(), before, "{write} went unseen");
    }
    assert_ne!(cluster.fingerprint(), fingerprint);
    assert_ne!(cluster.wal_position(), log);
}

#[test]
fn psql_runs_a_script_and_says_when_it_fails() {
    let cluster = Cluster::start();
    assert!(cluster.psql("postgres", "CREATE ROLE by_script;").status.success());
    assert!(cluster.has_role("by_script"));
    assert!(!cluster.psql("postgres", "CREATE ROLE by_script;").status.success());
}

#[test]
fn a_secret_in_an_output_is_found_in_every_form() {
    let password = "harness-marble-otter";
    leaks::register_password(password);
    leaks::register_verifier(
        "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$c3RvcmVkLWtleS1zdG9yZWQta2V5LTAwMDA=:c2VydmVyLWtleS1zZXJ2ZXIta2V5LTAwMDA=",
    );
    let ways = [
        format!("{{\"message\": \"password is {password}\"}}"),
        "aGFybmVzcy1tYXJibGUtb3R0ZXI=".to_owned(),
        "SCRAM-SHA-256$4096:x$y:z".to_owned(),
        "PASSWORD 'md5a3556571e93b0d20722ba62be61e8c2d'".to_owned(),
        "stored key c3RvcmVkLWtleS1zdG9yZWQta2V5LTAwMDA=".to_owned(),
    ];
    for text in &ways {
        assert!(leaks::find(text).is_some(), "not found: {text}");
    }
    assert_eq!(leaks::find("ALTER ROLE alice PASSWORD <from secret postgres/user-alice-secret#password>"), None);
}
