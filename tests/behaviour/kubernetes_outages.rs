//! What API servers do: they are away, slow, forget, and rotate tokens. Drift is repaired from the last
//! good spec meanwhile, the log says so once, and afterwards changes are followed again by themselves.
//! Each test has a server of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rolewright_tests::kubernetes::{Namespace, Secrets, ServiceAccount, least_rights};
use rolewright_tests::source::users;
use rolewright_tests::{ApiServer, Cluster, Controller, Proxy, Rolewright, eventually};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// For what comes back by itself with pauses in between.
const BEFORE_LONG: Duration = Duration::from_secs(30);

const IS_AWAY: &str = "until that works, what was last known of";
const IS_BACK: &str = "is being watched again";
const LEASE_IS_BACK: &str = "the Lease can be read and written again";

fn account<'a>(namespace: &'a Namespace<'a>) -> ServiceAccount<'a> {
    namespace.service_account(&rules())
}

fn rules() -> Value {
    least_rights(Secrets::Named(&["user-alice-secret"]))
}

fn replica<'a>(cluster: &'a Cluster, namespace: &'a Namespace<'a>, account: &ServiceAccount<'_>) -> Rolewright<'a> {
    Rolewright::in_cluster(cluster, namespace, account).env("SYNC_INTERVAL", "1").env("LEASE_DURATION", "3")
}

/// How long it takes until the condition holds.
fn time_until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    eventually(what, patience, || condition().then_some(()));
    start.elapsed()
}

fn wait_for_role(cluster: &Cluster, role: &str) -> Duration {
    time_until(&format!("alice to be in {role}"), BEFORE_LONG, || cluster.memberships("alice") == [role])
}

/// Somebody gives herself what is not hers, and it is taken away.
fn drift_is_repaired(cluster: &Cluster) {
    cluster.sql("ALTER ROLE alice CREATEDB");
    eventually("drift to be repaired", SOON, || (cluster.attribute("alice", "rolcreatedb") == "f").then_some(()));
}

fn synced(controller: &Controller<'_>) {
    controller.wait_for_metric("postgres_controller_synced", 1.0);
}

fn times(controller: &Controller<'_>, text: &str) -> usize {
    controller.log().iter().filter(|line| line["message"].as_str().is_some_and(|said| said.contains(text))).count()
}

/// Warnings and errors about the API server, each with how often it came.
fn complaints(controller: &Controller<'_>) -> BTreeMap<String, usize> {
    let mut complaints = BTreeMap::new();
    for line in controller.log() {
        let message = line["message"].as_str().unwrap_or_default().to_owned();
        // A cycle that repairs drift warns of it: that is no complaint about the API server.
        if ["WARN", "ERROR"].contains(&line["level"].as_str().unwrap_or_default())
            && !message.contains("changed outside")
        {
            *complaints.entry(message).or_default() += 1;
        }
    }
    complaints
}

#[test]
fn without_an_api_server_drift_is_repaired_and_when_it_is_back_changes_are_followed() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let account = account(&namespace);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-1a");
    let rolewright = replica(&cluster, &namespace, &account);
    let controller = rolewright.run();
    wait_for_role(&cluster, "reader");
    synced(&controller);

    // It is in the middle of a plan as the server goes.
    let mut session = cluster.client("postgres");
    let mut lock = session.transaction().unwrap();
    lock.batch_execute("LOCK TABLE pg_auth_members IN SHARE MODE").unwrap();
    namespace.configmap(&users(&[("alice", &["writer"])]));
    eventually("the controller to be in the middle", SOON, || {
        let waiting = cluster.value("SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted");
        (waiting != "0").then_some(())
    });
    server.stop_api();
    lock.rollback().unwrap();
    wait_for_role(&cluster, "writer");
    let away = Instant::now();
    controller.wait_for(IS_AWAY);
    while away.elapsed() < Duration::from_secs(8) {
        drift_is_repaired(&cluster);
    }
    cluster.login("alice", "kubernetes-outages-1a", "postgres");
    assert_eq!(controller.get("/livez").status, 200);
    assert_eq!(controller.get("/readyz").status, 200, "a pod is not taken out for what it cannot help");
    let during = complaints(&controller);

    server.start_api();
    println!("the API server was away for {:?}", away.elapsed());
    namespace.configmap(&users(&[("alice", &["auditor"])])).secret("alice", "kubernetes-outages-1b");
    let took = wait_for_role(&cluster, "auditor");
    println!("a change after that was applied after {} ms", took.as_millis());
    let took = time_until("the password", BEFORE_LONG, || {
        cluster.try_login("alice", "kubernetes-outages-1b", "postgres").is_ok()
    });
    println!("a Secret {} ms later", took.as_millis());
    controller.wait_for(IS_BACK);
    controller.wait_for(LEASE_IS_BACK);

    println!("{during:#?}");
    assert_eq!(times(&controller, IS_AWAY), 1);
    assert_eq!(times(&controller, IS_BACK), 1);
    assert_eq!(times(&controller, LEASE_IS_BACK), 1);
    assert!(during.values().sum::<usize>() <= 6, "a storm: {during:#?}");
    assert!(controller.metric("postgres_controller_kubernetes_errors_total") > 0.0);
    controller.terminate().succeeds();
}

#[test]
fn while_etcd_hangs_drift_is_repaired_and_afterwards_one_leads_and_follows_changes() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let account = account(&namespace);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-2");
    let (one, other) = (replica(&cluster, &namespace, &account), replica(&cluster, &namespace, &account));
    let (first, second) = (one.run(), other.run());
    wait_for_role(&cluster, "reader");

    server.pause_etcd();
    // Longer than a Lease lasts.
    let slow = Instant::now();
    while slow.elapsed() < Duration::from_secs(6) {
        drift_is_repaired(&cluster);
    }
    server.resume_etcd();
    namespace.configmap(&users(&[("alice", &["writer"])]));
    let took = wait_for_role(&cluster, "writer");
    println!("after etcd hung for {:?}, a change was applied after {} ms", slow.elapsed(), took.as_millis());
    let leader = |controller: &Controller<'_>| controller.metric("postgres_controller_leader");
    eventually("one of them to lead", SOON, || (leader(&first) + leader(&second) == 1.0).then_some(()));
    drift_is_repaired(&cluster);
    let overlaps = cluster.value(
        "SELECT count(*) FROM (SELECT at, lag(finished) OVER (ORDER BY id) AS before FROM rolewright.history) AS h
         WHERE at < before",
    );
    assert_eq!(overlaps, "0");
    for controller in [first, second] {
        let complaints = complaints(&controller);
        println!("{complaints:#?}");
        assert!(complaints.values().sum::<usize>() <= 8, "a storm: {complaints:#?}");
        controller.terminate().succeeds();
    }
}

#[test]
fn a_watch_that_has_expired_is_begun_anew() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let account = account(&namespace);
    let way = Proxy::to(server.port());
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-3a");
    let rolewright = replica(&cluster, &namespace, &account)
        .env("KUBECONFIG", &account.by_port(way.port()).display().to_string())
        .env("SYNC_INTERVAL", "3600")
        .env("LOG_LEVEL", "debug");
    let controller = rolewright.run();
    wait_for_role(&cluster, "reader");
    synced(&controller);

    // What it knows is of a revision that is forgotten, and others have come since.
    for round in 0..3 {
        namespace.secret("stranger", &format!("kubernetes-outages-3-{round}"));
    }
    // It hears nothing until the server is there again and knows who may do what: whoever asks in its
    // first moments is refused, which is another matter (`a_server_that_knows_no_rules_yet_…`).
    way.cut();
    server.expire_watches();
    let client = account.client();
    let watched = ["configmaps/postgres-users-config", "secrets/user-alice-secret"];
    eventually("the server to know its rules", SOON, || {
        let allowed = |object: &&str| {
            let (resource, name) = object.split_once('/').unwrap();
            let path = namespace.path("api/v1", resource, "");
            let path = format!("{}?fieldSelector=metadata.name%3D{name}", path.trim_end_matches('/'));
            client.try_send("GET", &path, "", "").is_ok_and(|answer| answer.status == 200)
        };
        watched.iter().all(allowed).then_some(())
    });
    let refused = refused_watches(&namespace);
    way.mend();
    // Both watches are told 410 Gone.
    eventually("both watches to have expired", SOON, || {
        (times(&controller, "the watch has expired") >= 2).then_some(())
    });
    assert_eq!(refused_watches(&namespace), refused, "they were refused, and not expired");
    namespace.configmap(&users(&[("alice", &["writer"])]));
    let took = wait_for_role(&cluster, "writer");
    println!("after watches had expired, a change was applied after {} ms", took.as_millis());
    namespace.secret("alice", "kubernetes-outages-3b");
    eventually("the password", SOON, || cluster.try_login("alice", "kubernetes-outages-3b", "postgres").ok());
    controller.terminate().succeeds();
}

#[test]
fn a_server_that_knows_no_rules_yet_is_asked_again() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let account = account(&namespace);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-6a");
    let rolewright = replica(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    wait_for_role(&cluster, "reader");

    // As in its first moments, before it has read who may do what. Watches that have begun go on.
    account.set_rules(&json!([]));
    let before = refused_watches(&namespace);
    server.stop_api();
    server.start_api();
    eventually("both watches to be refused", SOON, || (refused_watches(&namespace) >= before + 2).then_some(()));
    account.set_rules(&rules());
    namespace.configmap(&users(&[("alice", &["writer"])])).secret("alice", "kubernetes-outages-6b");
    let took = wait_for_role(&cluster, "writer");
    println!("a server that had refused everything was followed again after {} ms", took.as_millis());
    eventually("the password", SOON, || cluster.try_login("alice", "kubernetes-outages-6b", "postgres").ok());
    // Not only once: it watches.
    controller.wait_for(IS_BACK);
    namespace.configmap(&users(&[("alice", &["auditor"])]));
    wait_for_role(&cluster, "auditor");
    assert_eq!(times(&controller, "changes are seen only every SYNC_INTERVAL"), 0);
    controller.terminate().succeeds();
}

fn refused_watches(namespace: &Namespace<'_>) -> usize {
    namespace.calls().iter().filter(|call| call.verb == "watch" && call.status == 403).count()
}

#[test]
fn a_token_that_is_rotated_is_read_anew() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let account = account(&namespace);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-4a");
    let rolewright = replica(&cluster, &namespace, &account);
    let controller = rolewright.run();
    wait_for_role(&cluster, "reader");

    account.revoke_tokens();
    let revoked = Instant::now();
    controller.wait_for("did not accept the token");
    account.rotate_token();
    drift_is_repaired(&cluster);
    // The watches go on as they began; so that they have to show the new one, too, they are cut.
    server.stop_api();
    server.start_api();
    namespace.configmap(&users(&[("alice", &["writer"])])).secret("alice", "kubernetes-outages-4b");
    drift_is_repaired(&cluster);
    time_until("the change", Duration::from_secs(120), || cluster.memberships("alice") == ["writer"]);
    eventually("the password", SOON, || cluster.try_login("alice", "kubernetes-outages-4b", "postgres").ok());
    controller.wait_for(LEASE_IS_BACK);
    println!("after its token was revoked, it had the new one after {:?}", revoked.elapsed());
    let complaints = complaints(&controller);
    println!("{complaints:#?}");
    assert!(complaints.values().sum::<usize>() <= 8, "a storm: {complaints:#?}");
    controller.terminate().succeeds();
}

#[test]
fn started_without_an_api_server_it_waits_and_changes_nothing() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let account = account(&namespace);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-5");
    let rolewright = replica(&cluster, &namespace, &account);
    rolewright.apply().succeeds();
    cluster.sql("ALTER ROLE alice CREATEDB");
    let before = cluster.fingerprint();

    server.stop_api();
    let controller = rolewright.run();
    controller.wait_for("the API server cannot be reached");
    // As long as a first answer is waited for, and its next try.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(controller.get("/readyz").status, 503);
        assert_eq!(controller.get("/livez").status, 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(cluster.fingerprint(), before, "it knew nothing, and changed something");

    server.start_api();
    let took = time_until("the drift to be repaired", BEFORE_LONG, || cluster.attribute("alice", "rolcreatedb") == "f");
    println!("with the API server there, it acted after {} ms", took.as_millis());
    synced(&controller);
    assert_eq!(controller.get("/readyz").status, 200);
    let complaints = complaints(&controller);
    println!("{complaints:#?}");
    assert!(complaints.values().sum::<usize>() <= 8, "a storm: {complaints:#?}");
    controller.terminate().succeeds();
}

#[test]
fn a_configmap_that_was_deleted_is_not_remembered_when_the_server_goes_away() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let mut polling = rules();
    for rule in polling.as_array_mut().unwrap() {
        rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "watch");
    }
    let account = namespace.service_account(&polling);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-7a");
    let rolewright = replica(&cluster, &namespace, &account);
    let controller = rolewright.run();
    wait_for_role(&cluster, "reader");

    namespace.delete_configmap();
    controller.wait_for("not found in namespace");
    cluster.sql("DROP OWNED BY alice; DROP ROLE alice");
    server.stop_api();
    controller.wait_for("cannot be reached");
    controller.wait_for_cycles(2);

    assert!(!cluster.has_role("alice"), "the spec of before was applied");
    controller.terminate().succeeds();
}

#[test]
fn the_right_to_watch_that_is_given_later_is_used() {
    let (server, cluster) = (ApiServer::start(), Cluster::start());
    let namespace = server.namespace();
    let mut polling = rules();
    for rule in polling.as_array_mut().unwrap() {
        rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "watch");
    }
    let account = namespace.service_account(&polling);
    namespace.configmap(&users(&[("alice", &["reader"])])).secret("alice", "kubernetes-outages-8a");
    let rolewright = replica(&cluster, &namespace, &account);
    let controller = rolewright.run();
    controller.wait_for("changes are seen only every SYNC_INTERVAL");
    let errors = || {
        let name = "postgres_controller_kubernetes_errors_total";
        controller.get("/metrics").metric(name, Some("operation=\"watch\"")).unwrap()
    };
    controller.wait_for_cycles(2);
    let before = errors();
    let refused = refused_watches(&namespace);

    // It asks again now and then, and does not complain again.
    eventually("it to try again", Duration::from_secs(60), || (refused_watches(&namespace) > refused).then_some(()));
    assert_eq!(errors(), before, "what was to be expected is counted as an error");
    account.set_rules(&rules());
    eventually("both watches", Duration::from_secs(60), || {
        let watches = namespace.calls().into_iter().filter(|call| call.verb == "watch" && call.status == 200);
        let resources: std::collections::BTreeSet<String> = watches.map(|call| call.resource).collect();
        (resources.contains("configmaps") && resources.contains("secrets")).then_some(())
    });
    controller.wait_for_cycles(2);
    let listed = || {
        let calls = namespace.calls().into_iter();
        calls.filter(|call| call.verb == "list" && ["configmaps", "secrets"].contains(&&*call.resource)).count()
    };
    let before = listed();
    controller.wait_for_cycles(4);
    assert_eq!(listed(), before, "it still asks in each cycle");
    namespace.configmap(&users(&[("alice", &["writer"])])).secret("alice", "kubernetes-outages-8b");
    wait_for_role(&cluster, "writer");
    assert_eq!(times(&controller, "changes are seen only every SYNC_INTERVAL"), 1);
    controller.terminate().succeeds();
}
