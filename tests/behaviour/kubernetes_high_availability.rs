//! Several replicas, one of which acts: whatever happens to it, another takes over, and nothing is
//! ever done twice, or by two, or by one that does not know that its time is over. The ledger is the
//! witness: it has who did what, and from when to when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rolewright_tests::kubernetes::{Kubeconfig, Namespace, Secrets, ServiceAccount, least_rights};
use rolewright_tests::source::CONFIGMAP;
use rolewright_tests::{ApiServer, Cluster, Controller, Proxy, Rolewright, Signal, eventually};

const SOON: Duration = Duration::from_secs(20);

/// How long a silent leader keeps the Lease in most of these tests.
const LEASE: Duration = Duration::from_secs(3);

/// Sessions of controllers that wait for a lock: the one that keeps instances apart, or a test's.
const WAITING_FOR_EACH_OTHER: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
const WAITING_FOR_THE_TEST: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND NOT granted";

/// Users without passwords and the roles of each, with somebody who keeps these roles in being.
fn spec(users: &[(&str, &[&str])]) -> String {
    let entry = |(name, roles): &(&str, &[&str])| {
        format!("  - username: {name}\n    roles: [{}]\n    password: none\n", roles.join(", "))
    };
    let keeper: (&str, &[&str]) = ("keeper", &["reader", "writer", "auditor", "past", "present"]);
    "users:\n".to_owned() + &users.iter().chain([&keeper]).map(entry).collect::<String>()
}

fn account<'a>(namespace: &'a Namespace<'a>) -> ServiceAccount<'a> {
    namespace.service_account(&least_rights(Secrets::Named(&[])))
}

/// One of several, by name.
fn replica<'a>(
    cluster: &'a Cluster,
    namespace: &'a Namespace<'a>,
    kubeconfig: &Kubeconfig,
    pod: &str,
) -> Rolewright<'a> {
    Rolewright::in_cluster(cluster, namespace, kubeconfig)
        .env("POD_NAME", pod)
        .env("SYNC_INTERVAL", "1")
        .env("LEASE_DURATION", &LEASE.as_secs().to_string())
}

fn leads(controller: &Controller<'_>) -> bool {
    controller.metric("postgres_controller_leader") == 1.0
}

fn wait_until_it_leads(controller: &Controller<'_>) {
    eventually("it to lead", SOON, || leads(controller).then_some(()));
}

/// A standby that knows the source and who leads.
fn wait_until_it_stands_by(controller: &Controller<'_>) {
    eventually(&format!("it to stand by:\n{}", controller.printed()), SOON, || {
        (controller.get("/readyz").status == 200 && !leads(controller)).then_some(())
    });
}

fn wait_for_roles(cluster: &Cluster, user: &str, roles: &[&str]) {
    eventually(&format!("{user} to be in {roles:?}"), SOON, || (cluster.memberships(user) == roles).then_some(()));
}

fn wait_for_count(cluster: &Cluster, what: &str, query: &str, at_least: usize) {
    let count = || cluster.try_sql("postgres", query).ok()?.first()?.first()?.parse::<usize>().ok();
    eventually(what, SOON, || count().filter(|count| *count >= at_least));
}

/// What the ledger proves: no cycle began before the one before it had finished, and no role was
/// created twice. Gives who acted, each once for as long as it did.
fn terms(cluster: &Cluster) -> Vec<String> {
    let overlaps = cluster.column(
        "SELECT format('%s of %s began at %s, before %s', id, instance, at, before) FROM
             (SELECT *, lag(finished) OVER (ORDER BY id) AS before FROM rolewright.history) AS h
         WHERE at < before OR finished < at",
    );
    assert!(overlaps.is_empty(), "{overlaps:#?}");
    let twice = cluster.column(
        "SELECT step->>'role' FROM rolewright.history, jsonb_array_elements(steps) AS step
         WHERE step->>'action' = 'create-role' GROUP BY 1 HAVING count(*) > 1",
    );
    assert!(twice.is_empty(), "created twice: {twice:?}");
    let mut terms = cluster.column("SELECT split_part(instance, '_', 1) FROM rolewright.history ORDER BY id");
    terms.dedup();
    terms
}

fn rows_of(instance: &str) -> String {
    format!("SELECT count(*) FROM rolewright.history WHERE instance LIKE '{instance}\\_%'")
}

/// Ends what runs beside a test, also when that fails.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Until it is over: one user more each time, and somebody who gives herself what is not hers. Gives
/// how many users it came to.
fn keep_changing(cluster: &Cluster, namespace: &Namespace<'_>, over: &AtomicBool) -> usize {
    let mut names: Vec<String> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        names.push(format!("user{}", names.len()));
        let users: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["reader"] as &[&str])).collect();
        namespace.configmap(&spec(&users));
        // Both write the same row now and then, and one of them loses.
        let _ = cluster.try_sql("postgres", "ALTER ROLE user0 CREATEDB");
        std::thread::sleep(Duration::from_millis(50));
    }
    names.len()
}

#[test]
fn a_leader_killed_under_load_is_followed_within_the_lease_time_and_nothing_is_done_twice() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    namespace.configmap(&spec(&[("user0", &[])]));
    let (one, other) =
        (replica(&cluster, &namespace, &account, "one"), replica(&cluster, &namespace, &account, "other"));
    let first = one.run();
    wait_until_it_leads(&first);
    let second = other.run();
    wait_until_it_stands_by(&second);

    let over = AtomicBool::new(false);
    let users = std::thread::scope(|scope| {
        let load = scope.spawn(|| keep_changing(&cluster, &namespace, &over));
        let end = EndOf(&over);
        wait_for_count(&cluster, "ten cycles of the first", &rows_of("one"), 10);
        first.signal(Signal::KILL);
        let killed = Instant::now();
        wait_for_count(&cluster, "the other to act", &rows_of("other"), 1);
        let took = killed.elapsed();
        println!("a killed leader was followed after {} ms, with a Lease of {LEASE:?}", took.as_millis());
        assert!(took < LEASE * 3, "{took:?}");
        wait_for_count(&cluster, "ten cycles of the other", &rows_of("other"), 10);
        drop(end);
        load.join().unwrap()
    });
    assert_eq!(first.finish().status, None, "it was killed");

    let in_reader =
        "SELECT count(*) FROM pg_auth_members WHERE roleid = 'reader'::regrole AND member::regrole::text LIKE 'user%'";
    wait_for_count(&cluster, "every user", in_reader, users);
    eventually("the last drift to be repaired", SOON, || {
        (cluster.attribute("user0", "rolcreatedb") == "f").then_some(())
    });
    assert_eq!(terms(&cluster), ["one", "other"]);
    println!(
        "{users} users, {} cycles that changed something",
        cluster.value("SELECT count(*) FROM rolewright.history")
    );
    second.terminate().succeeds();
}

#[test]
fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    let long = |pod: &str| replica(&cluster, &namespace, &account, pod).env("LEASE_DURATION", "15");
    let (one, other) = (long("one"), long("other"));
    let first = one.run();
    wait_for_roles(&cluster, "alice", &["reader"]);
    let second = other.run();
    wait_until_it_stands_by(&second);

    let told = Instant::now();
    first.terminate().succeeds().says("gave up the Lease");
    wait_until_it_leads(&second);
    let took = told.elapsed();
    println!("a leader that was told to stop was followed after {} ms, with a Lease of 15 s", took.as_millis());
    assert!(took < Duration::from_secs(6), "{took:?}");
    cluster.sql("ALTER ROLE alice CREATEDB");
    eventually("the other to repair", SOON, || (cluster.attribute("alice", "rolcreatedb") == "f").then_some(()));
    assert_eq!(terms(&cluster), ["one", "other"]);
    second.terminate().succeeds();
}

#[test]
fn a_standby_changes_nothing_and_is_ready() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    let patient = |pod: &str| replica(&cluster, &namespace, &account, pod).env("LEASE_DURATION", "20");
    let (one, other) = (patient("one"), patient("other"));
    let first = one.run();
    wait_for_roles(&cluster, "alice", &["reader"]);
    let second = other.run();
    wait_until_it_stands_by(&second);
    assert!(leads(&first));
    assert_eq!(first.get("/readyz").status, 200);
    assert_eq!(second.get("/livez").status, 200);

    // Nobody is there to act but the standby, for whom there is something to do.
    first.kill();
    cluster.sql("ALTER ROLE alice CREATEDB");
    namespace.configmap(&spec(&[("alice", &["writer"])]));
    let before = cluster.fingerprint();
    let intervals = Duration::from_millis(2_500);
    std::thread::sleep(intervals);
    assert_eq!(cluster.fingerprint(), before, "a standby changed something");
    assert_eq!(terms(&cluster), ["one"]);
    assert_eq!(second.get("/readyz").status, 200);
    assert!(!leads(&second));

    // It was awake.
    namespace.admin().delete(&lease_path(&namespace)).succeeds();
    wait_for_roles(&cluster, "alice", &["writer"]);
    assert_eq!(cluster.attribute("alice", "rolcreatedb"), "f");
    second.terminate().succeeds();
}

fn lease_path(namespace: &Namespace<'_>) -> String {
    namespace.path("apis/coordination.k8s.io/v1", "leases", CONFIGMAP)
}

#[test]
fn a_leader_that_wakes_up_after_another_took_over_carries_out_nothing_of_the_past() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    let (one, other) =
        (replica(&cluster, &namespace, &account, "one"), replica(&cluster, &namespace, &account, "other"));
    let (mut leader, mut standby) = (one.run(), other.run());
    wait_for_roles(&cluster, "alice", &["reader"]);
    if leads(&standby) {
        std::mem::swap(&mut leader, &mut standby);
    }
    wait_until_it_stands_by(&standby);
    for role in ["writer", "auditor", "reader"] {
        leader.signal(Signal::STOP);
        namespace.configmap(&spec(&[("alice", &[role])]));
        wait_for_roles(&cluster, "alice", &[role]);
        standby.wait_for_metric("postgres_controller_synced", 1.0);
        let (left, acted) = (cluster.fingerprint(), terms(&cluster));
        leader.signal(Signal::CONT);
        // Both its Lease and its knowledge of the ConfigMap are old, and its next cycle is due.
        wait_until_it_stands_by(&leader);
        assert_eq!(cluster.fingerprint(), left, "the old leader changed something");
        assert_eq!(terms(&cluster), acted);
        assert!(leads(&standby));
        std::mem::swap(&mut leader, &mut standby);
    }
    cluster.sql("ALTER ROLE alice CREATEDB");
    eventually("the leader to repair", SOON, || (cluster.attribute("alice", "rolcreatedb") == "f").then_some(()));
    assert_eq!(terms(&cluster).len(), 4, "{:?}", terms(&cluster));
    leader.terminate().succeeds();
    standby.terminate().succeeds();
}

/// A leader is stopped in the middle of its transaction, and what it wanted is no longer wanted.
fn stopped_in_the_middle(then: impl FnOnce(&Cluster, postgres::Transaction<'_>, &Controller<'_>)) {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    let (one, other) =
        (replica(&cluster, &namespace, &account, "one"), replica(&cluster, &namespace, &account, "other"));
    let first = one.run();
    wait_for_roles(&cluster, "alice", &["reader"]);
    let second = other.run();
    wait_until_it_stands_by(&second);

    let mut session = cluster.client("postgres");
    let mut lock = session.transaction().unwrap();
    lock.batch_execute("LOCK TABLE pg_auth_members IN SHARE MODE").unwrap();
    namespace.configmap(&spec(&[("alice", &["past"])]));
    wait_for_count(&cluster, "the leader to be in the middle", WAITING_FOR_THE_TEST, 1);
    first.signal(Signal::STOP);
    namespace.configmap(&spec(&[("alice", &["present"])]));
    wait_for_count(&cluster, "the other to wait for it", WAITING_FOR_EACH_OTHER, 1);
    then(&cluster, lock, &first);
    wait_for_roles(&cluster, "alice", &["present"]);
    first.signal(Signal::CONT);
    wait_until_it_stands_by(&first);

    second.wait_for_cycles(2);
    assert_eq!(cluster.memberships("alice"), ["present"]);
    assert_eq!(terms(&cluster), ["one", "other"]);
    first.terminate().succeeds();
    second.terminate().succeeds();
}

#[test]
fn a_leader_stopped_in_the_middle_whose_session_ends_has_changed_nothing() {
    stopped_in_the_middle(|cluster, lock, _| {
        cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'relation' AND NOT granted");
        lock.rollback().unwrap();
    });
}

#[test]
fn a_leader_stopped_in_the_middle_is_waited_for_and_its_work_is_undone_or_overtaken() {
    stopped_in_the_middle(|cluster, lock, first| {
        lock.rollback().unwrap();
        // What it had sent is carried out; there is nobody to commit it, and so nobody else may act.
        eventually("its session to wait for it", SOON, || {
            let idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
            (cluster.value(idle) == "1").then_some(())
        });
        assert_eq!(cluster.value(WAITING_FOR_EACH_OTHER), "1");
        assert_eq!(cluster.memberships("alice"), ["reader"]);
        first.signal(Signal::CONT);
    });
}

#[test]
fn a_leader_cut_off_from_the_api_server_acts_until_another_takes_over_and_not_after() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    let way = Proxy::to(ApiServer::shared().port());
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    let one = replica(&cluster, &namespace, &account, "one")
        .env("KUBECONFIG", &account.by_port(way.port()).display().to_string());
    let other = replica(&cluster, &namespace, &account, "other");
    let first = one.run();
    wait_for_roles(&cluster, "alice", &["reader"]);

    // As long as there is nobody else, it repairs from what it knows.
    way.cut();
    first.wait_for("goes on as the leader until another takes over");
    cluster.sql("ALTER ROLE alice CREATEDB");
    eventually("it to repair", SOON, || (cluster.attribute("alice", "rolcreatedb") == "f").then_some(()));
    let second = other.run();
    wait_until_it_leads(&second);
    namespace.configmap(&spec(&[("alice", &["writer"])]));
    wait_for_roles(&cluster, "alice", &["writer"]);
    first.wait_for("has taken over");
    eventually("the one that is cut off to know", SOON, || (!leads(&first)).then_some(()));
    // Once it knows, it tries no more.
    let told = first.printed().matches("has taken over").count();
    assert_eq!(told, 1, "{}", first.printed());
    cluster.sql("ALTER ROLE alice CREATEDB");
    eventually("the other to repair", SOON, || (cluster.attribute("alice", "rolcreatedb") == "f").then_some(()));
    assert_eq!(cluster.memberships("alice"), ["writer"]);
    assert_eq!(terms(&cluster), ["one", "other"]);
    assert!(leads(&second));

    way.mend();
    wait_until_it_stands_by(&first);
    first.terminate().succeeds();
    second.terminate().succeeds();
}

#[test]
fn an_instance_cut_off_while_it_takes_office_does_not_take_it_from_its_successor() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    let (way, database) = (Proxy::to(ApiServer::shared().port()), Proxy::to(cluster.port));
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    // Somebody leads, and is gone.
    let zero = replica(&cluster, &namespace, &account, "zero");
    let predecessor = zero.run();
    wait_for_roles(&cluster, "alice", &["reader"]);
    let one = replica(&cluster, &namespace, &account, "one")
        .env("KUBECONFIG", &account.by_port(way.port()).display().to_string())
        .env("DB_PORT", &database.port().to_string());
    let first = one.run();
    wait_until_it_stands_by(&first);
    database.cut();
    namespace.configmap(&spec(&[("alice", &["past"])]));
    predecessor.kill();
    cluster.sql("REVOKE past FROM alice");
    wait_until_it_leads(&first);
    way.cut();

    let other = replica(&cluster, &namespace, &account, "other");
    let second = other.run();
    wait_until_it_leads(&second);
    namespace.configmap(&spec(&[("alice", &["present"])]));
    wait_for_roles(&cluster, "alice", &["present"]);
    let acted = terms(&cluster);
    assert_eq!(acted.last().unwrap(), "other");

    database.mend();
    first.wait_for("has taken over");
    assert_eq!(cluster.memberships("alice"), ["present"]);
    assert_eq!(terms(&cluster), acted);
    assert!(leads(&second) && !leads(&first));
    way.mend();
    wait_until_it_stands_by(&first);
    assert!(!second.printed().contains("has taken over"), "{}", second.printed());
    first.terminate().succeeds();
    second.terminate().succeeds();
}

#[test]
fn of_two_that_start_at_once_with_nothing_there_exactly_one_acts() {
    for _ in 0..3 {
        let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
        let account = account(&namespace);
        let names: Vec<String> = (0..50).map(|number| format!("user{number}")).collect();
        let users: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["reader"] as &[&str])).collect();
        namespace.configmap(&spec(&users));
        let (one, other) =
            (replica(&cluster, &namespace, &account, "one"), replica(&cluster, &namespace, &account, "other"));
        let (mut leader, mut standby) = (one.run(), other.run());
        eventually("one to lead", SOON, || (leads(&leader) || leads(&standby)).then_some(()));
        if leads(&standby) {
            std::mem::swap(&mut leader, &mut standby);
        }
        leader.wait_for_metric("postgres_controller_synced", 1.0);
        wait_until_it_stands_by(&standby);
        leader.wait_for_cycles(2);
        assert!(leads(&leader) && !leads(&standby));
        assert_eq!(standby.metric("postgres_controller_reconciliations_total"), 0.0);
        assert_eq!(cluster.value("SELECT count(*) FROM rolewright.history"), "1");
        assert_eq!(terms(&cluster).len(), 1);
        assert_eq!(namespace.lease().unwrap().transitions, 0);
        leader.terminate().succeeds();
        standby.terminate().succeeds();
    }
}

#[test]
fn a_lease_deleted_by_hand_is_made_anew_and_one_leads() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = account(&namespace);
    namespace.configmap(&spec(&[("alice", &["reader"])]));
    let (one, other) =
        (replica(&cluster, &namespace, &account, "one"), replica(&cluster, &namespace, &account, "other"));
    let (first, second) = (one.run(), other.run());
    wait_for_roles(&cluster, "alice", &["reader"]);
    for role in ["writer", "auditor", "reader", "writer"] {
        namespace.admin().delete(&lease_path(&namespace)).succeeds();
        namespace.configmap(&spec(&[("alice", &[role])]));
        wait_for_roles(&cluster, "alice", &[role]);
        let holder = eventually("the Lease", SOON, || namespace.lease().map(|lease| lease.holder));
        let (leader, standby) = if holder.starts_with("one_") { (&first, &second) } else { (&second, &first) };
        wait_until_it_leads(leader);
        wait_until_it_stands_by(standby);
        assert!(leads(leader));
    }
    // And where nobody is left to remember the Lease, the ledger remembers more terms than a new one has.
    first.kill();
    second.kill();
    namespace.admin().delete(&lease_path(&namespace)).succeeds();
    namespace.configmap(&spec(&[("alice", &["auditor"])]));
    let last = replica(&cluster, &namespace, &account, "last");
    let third = last.run();
    wait_for_roles(&cluster, "alice", &["auditor"]);
    assert_eq!(terms(&cluster).last().unwrap(), "last");
    third.terminate().succeeds();
}
