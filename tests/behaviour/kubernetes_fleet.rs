//! A fleet: 10,000 users with 10,000 Secrets, by one list-and-watch, in the memory that the chart gives.

use std::time::{Duration, Instant};

use rolewright_tests::kubernetes::{Namespace, Secrets, least_rights};
use rolewright_tests::{ApiServer, Cluster, Controller, Rolewright, eventually, leaks};

const USERS: usize = 10_000;

/// On two slow processors; the verifiers of 10,000 passwords alone take the better part of it.
const PATIENCE: Duration = Duration::from_secs(200);

/// What an API server takes for one object.
const LARGEST_OBJECT: usize = 1024 * 1024;

/// The limit in the chart's values.
const MEMORY_MIB: u64 = 512;

fn peak_memory_mib(controller: &Controller<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", controller.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn calls_for_secrets(namespace: &Namespace<'_>) -> Vec<String> {
    let calls = namespace.calls().into_iter().filter(|call| call.resource == "secrets");
    calls.map(|call| call.verb).collect()
}

#[test]
fn ten_thousand_users_with_ten_thousand_secrets_take_one_list_and_one_watch() {
    let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
    let account = namespace.service_account(&least_rights(Secrets::All));
    let names: Vec<String> = (0..USERS).map(|number| format!("u{number:05}")).collect();
    let entries: String = names.iter().map(|name| format!("- {{username: {name}, roles: [r]}}\n")).collect();
    let spec = format!("users:\n{entries}");
    println!("users.yaml has {} KiB", spec.len() / 1024);
    assert!(spec.len() < LARGEST_OBJECT);
    let start = Instant::now();
    namespace.fleet_of_secrets(&names).configmap(&spec);
    println!("{USERS} Secrets were written in {:.1} s", start.elapsed().as_secs_f64());

    let rolewright =
        Rolewright::in_cluster(&cluster, &namespace, &account).env("SYNC_INTERVAL", "3600").env("SECRET_SELECTOR", "*");
    let start = Instant::now();
    let controller = rolewright.run();
    eventually("the fleet to converge", PATIENCE, || {
        assert!(controller.is_alive(), "it ended by itself:\n{}", controller.printed());
        (controller.metric("postgres_controller_synced") == 1.0).then_some(())
    });
    println!("they converged after {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(
        cluster.value("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM%' AND rolname LIKE 'u0%'"),
        "10000"
    );
    let last = &names[USERS - 1];
    cluster.login(last, &Namespace::fleet_password(last), "postgres");
    assert_eq!(cluster.memberships(last), ["r"]);
    let converging = calls_for_secrets(&namespace);

    // One of them.
    let changed = &names[USERS / 2];
    let start = Instant::now();
    namespace.change_fleet_of_secrets(std::slice::from_ref(changed), 1);
    let password = format!("{}-1", Namespace::fleet_password(changed));
    eventually("the new password", PATIENCE, || cluster.try_login(changed, &password, "postgres").ok());
    println!("one changed Secret was applied after {} ms", start.elapsed().as_millis());
    // And one user more than a Secret.
    let start = Instant::now();
    namespace.configmap(&format!("{spec}- {{username: late, roles: [r], password: none}}\n"));
    eventually("the new user", PATIENCE, || cluster.has_role("late").then_some(()));
    println!("one more user was applied after {} ms", start.elapsed().as_millis());

    let memory = peak_memory_mib(&controller);
    println!("the most memory that it took: {memory} MiB");
    assert!(memory < MEMORY_MIB, "{memory} MiB, and the chart gives {MEMORY_MIB}");
    let calls = calls_for_secrets(&namespace);
    let count = |verb: &str| calls.iter().filter(|call| *call == verb).count();
    println!(
        "calls for Secrets: {} lists, {} watches, {} others",
        count("list"),
        count("watch"),
        calls.len() - count("list") - count("watch")
    );
    assert_eq!(count("list") + count("watch"), calls.len(), "{calls:?}");
    assert!((1..60).contains(&calls.len()), "{} calls", calls.len());
    let watches = count("watch");
    assert!(
        count("list") == converging.iter().filter(|call| *call == "list").count() && watches <= 2,
        "it listed anew"
    );
    println!("calls in all: {}", namespace.calls().len());
    if let Some(status) = namespace.status() {
        let size: usize = status.data.iter().map(|(key, value)| key.len() + value.len()).sum();
        println!("the status ConfigMap has {} KiB", size / 1024);
        assert!(size < LARGEST_OBJECT, "{size} bytes");
    }
    controller.get("/metrics");
    leaks::assert_none("the ledger", &rolewright.ledger());
    // To look for each of 10,000 verifiers in each of 10,000 lines takes minutes; that they look like
    // verifiers and like passwords of the fleet has just been looked for.
    cluster.stop(rolewright_tests::cluster::Stop::Immediate);
    controller.terminate().succeeds();
}
