//! `DB_SSLMODE` means what libpq means by it.

use std::fs;

use rolewright_tests::tls::Certificates;
use rolewright_tests::{Cluster, Manifests, Options, Output, Rolewright};

/// Plans over TCP to this host name with this mode, and an authority to trust.
fn plan(cluster: &Cluster, host: &str, mode: &str, authority: Option<&str>) -> Output {
    let manifests = Manifests::new();
    manifests.users("users: []\n");
    let mut rolewright =
        Rolewright::new(cluster, &manifests).env("DB_HOST", host).env("DB_SSLMODE", mode).env("MAX_RETRIES", "0");
    if let Some(pem) = authority {
        let path = rolewright.directory().join("root.pem");
        fs::write(&path, pem).unwrap();
        rolewright = rolewright.env("DB_SSLROOTCERT", path.to_str().unwrap());
    }
    let output = rolewright.plan();
    assert!(!(output.stdout.clone() + &output.stderr).is_empty(), "it says nothing at all");
    output
}

#[test]
fn a_server_that_insists_on_tls_is_reached_with_every_mode_but_disable() {
    let certificates = Certificates::for_names(&["localhost"]);
    let cluster = Options::default().tls(&certificates).hba("hostssl all all all scram-sha-256").start();
    for mode in ["allow", "prefer", "require"] {
        plan(&cluster, "127.0.0.1", mode, None).succeeds();
    }
    plan(&cluster, "127.0.0.1", "disable", None).exits_with(1);
}

#[test]
fn a_server_without_tls_is_reached_with_the_weak_modes_only() {
    let cluster = Cluster::start();
    for mode in ["disable", "allow", "prefer"] {
        plan(&cluster, "127.0.0.1", mode, None).succeeds();
    }
    let other = Certificates::for_names(&["localhost"]);
    plan(&cluster, "127.0.0.1", "require", None).exits_with(1).mentions("TLS");
    plan(&cluster, "localhost", "verify-full", Some(&other.authority)).exits_with(1).mentions("TLS");
}

#[test]
fn a_server_that_refuses_tls_is_reached_with_prefer() {
    let certificates = Certificates::for_names(&["localhost"]);
    let cluster = Options::default().tls(&certificates).hba("hostnossl all all all scram-sha-256").start();
    plan(&cluster, "127.0.0.1", "prefer", None).succeeds();
    plan(&cluster, "127.0.0.1", "require", None).exits_with(1);
}

#[test]
fn verification_wants_the_right_authority_and_verify_full_the_right_name_too() {
    let certificates = Certificates::for_names(&["localhost"]);
    let stranger = Certificates::for_names(&["localhost"]);
    let cluster = Options::default().tls(&certificates).start();
    let right = Some(certificates.authority.as_str());
    let wrong = Some(stranger.authority.as_str());

    plan(&cluster, "localhost", "verify-full", right).succeeds();
    plan(&cluster, "127.0.0.1", "verify-ca", right).succeeds();
    plan(&cluster, "127.0.0.1", "verify-full", right).exits_with(1).mentions("certificate");
    for mode in ["require", "verify-ca", "verify-full"] {
        plan(&cluster, "localhost", mode, wrong).exits_with(1).mentions("certificate");
    }
}

#[test]
fn the_socket_of_a_server_on_the_same_machine_may_be_named_as_the_host() {
    let cluster = Cluster::start();
    let directory = cluster.data().parent().unwrap().to_owned();
    plan(&cluster, directory.to_str().unwrap(), "prefer", None).succeeds();
}
