//! What annotations of the ConfigMap ask for: a held plan runs once it is approved, and no other one
//! does; a pause is a pause; `sync-now` looks at everything.

use std::time::Duration;

use rolewright_tests::cluster::Stop;
use rolewright_tests::kubernetes::{Namespace, Secrets, least_rights};
use rolewright_tests::source::users;
use rolewright_tests::{ApiServer, Cluster, Controller, Options, Rolewright, eventually};

const SOON: Duration = Duration::from_secs(20);
const APPROVE: &str = "rolewright.dev/approve";
const PAUSED: &str = "rolewright.dev/paused";
const SYNC_NOW: &str = "rolewright.dev/sync-now";
const FIVE: [&str; 5] = ["ada", "ben", "cleo", "dan", "eve"];

fn declare(namespace: &Namespace<'_>, names: &[&str], roles: &[&str]) {
    for name in names {
        namespace.secret(name, &format!("kubernetes-approval-{name}"));
    }
    let entries: Vec<(&str, &[&str])> = names.iter().map(|name| (*name, roles)).collect();
    namespace.configmap(&users(&entries));
}

/// Five users on the server, and a controller that acts on changes only.
fn five_users(namespace: &Namespace<'_>, test: impl FnOnce(&Cluster, &Rolewright<'_>, &Controller<'_>)) {
    let cluster = Cluster::start();
    let account = namespace.service_account(&least_rights(Secrets::All));
    declare(namespace, &FIVE, &["reader"]);
    let rolewright =
        Rolewright::in_cluster(&cluster, namespace, &account).env("SYNC_INTERVAL", "3600").env("SECRET_SELECTOR", "*");
    let controller = rolewright.run();
    controller.wait_for_metric("postgres_controller_synced", 1.0);
    test(&cluster, &rolewright, &controller);
    controller.terminate().succeeds();
}

/// The digest that the status names.
fn held_digest(namespace: &Namespace<'_>) -> String {
    let held = namespace.wait_for_condition("Held", "True");
    let digest = held.message.split(|letter: char| letter.is_whitespace() || "`'\"=,;)".contains(letter));
    let mut digests = digest.filter(|word| word.starts_with("sha256:"));
    digests.next().unwrap_or_else(|| panic!("no digest in: {}", held.message)).trim_end_matches('.').to_owned()
}

#[test]
fn a_held_plan_runs_after_it_is_approved_as_the_event_says() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, _, controller| {
        declare(&namespace, &FIVE[..2], &["reader"]);
        let event = namespace.wait_for_event("Held");
        assert_eq!(event.kind, "Warning");
        assert!(event.note.contains("3 users would lose access"), "{}", event.note);
        assert_eq!(controller.metric("postgres_controller_held"), 1.0);
        assert!(cluster.has_role("eve"));

        // Word for word what a person copies from the Event.
        let (_, command) = event.note.split_once("kubectl ").unwrap_or_else(|| panic!("no command in: {}", event.note));
        let command = command.lines().next().unwrap().trim_end_matches(['.', '`']);
        let words: Vec<&str> = command.split_whitespace().collect();
        namespace.kubectl(&words).succeeds();

        eventually("the removals", SOON, || (!cluster.has_role("eve") && !cluster.has_role("cleo")).then_some(()));
        assert!(cluster.has_role("ada") && cluster.has_role("ben"));
        namespace.wait_for_event("Approved");
        namespace.wait_for_condition("Held", "False");
        namespace.wait_for_condition("Synced", "True");
    });
}

#[test]
fn an_approval_with_another_digest_changes_nothing_and_is_told() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, _, _| {
        declare(&namespace, &FIVE[..2], &["reader"]);
        let digest = held_digest(&namespace);
        let wrong = format!("sha256:{}", "0".repeat(64));
        namespace.annotate(APPROVE, &wrong);
        let event = namespace.wait_for_event("ApprovalStale");
        assert!(event.note.contains(&wrong[..20]), "{}", event.note);
        assert!(FIVE.iter().all(|name| cluster.has_role(name)));

        namespace.annotate(APPROVE, &digest);
        eventually("the removals", SOON, || (!cluster.has_role("eve")).then_some(()));
    });
}

#[test]
fn an_approval_does_not_fit_the_plan_of_a_spec_that_has_changed_since() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, _, _| {
        declare(&namespace, &FIVE[..2], &["reader"]);
        let first = held_digest(&namespace);
        // Somebody takes out one more before the approval is written.
        declare(&namespace, &FIVE[..1], &["reader"]);
        let second = eventually("another plan to be held", SOON, || {
            Some(held_digest(&namespace)).filter(|digest| *digest != first)
        });
        namespace.annotate(APPROVE, &first);
        namespace.wait_for_event("ApprovalStale");
        assert!(FIVE.iter().all(|name| cluster.has_role(name)));
        namespace.annotate(APPROVE, &second);
        eventually("the removals", SOON, || (!cluster.has_role("ben")).then_some(()));
        assert!(cluster.has_role("ada"));
    });
}

#[test]
fn an_approval_that_was_used_may_stay_and_does_not_hold_what_comes_later() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, _, controller| {
        declare(&namespace, &FIVE[..2], &["reader"]);
        namespace.annotate(APPROVE, &held_digest(&namespace));
        eventually("the removals", SOON, || (!cluster.has_role("eve")).then_some(()));
        declare(&namespace, &FIVE[..2], &["writer"]);
        eventually("a harmless change", SOON, || (cluster.memberships("ada") == ["writer"]).then_some(()));
        // And the same removal on the same names another time is another plan.
        declare(&namespace, &FIVE, &["writer"]);
        eventually("all of them again", SOON, || cluster.has_role("eve").then_some(()));
        controller.wait_for_metric("postgres_controller_synced", 1.0);
        declare(&namespace, &FIVE[..2], &["reader"]);
        namespace.wait_for_condition("Held", "True");
        assert!(cluster.has_role("eve"));
    });
}

#[test]
fn an_approval_fits_one_server_and_one_set_of_settings() {
    let namespace = ApiServer::shared().namespace();
    let account = namespace.service_account(&least_rights(Secrets::All));
    let (one, other) = (Cluster::start(), Options::default().of_its_own().start());
    declare(&namespace, &FIVE, &["reader"]);
    let on = |cluster| Rolewright::in_cluster(cluster, &namespace, &account).env("SECRET_SELECTOR", "*");
    let (first, second) = (on(&one), on(&other));
    first.apply().succeeds();
    second.apply().succeeds();
    declare(&namespace, &FIVE[..2], &["reader"]);

    let digest_of = |rolewright: &Rolewright<'_>| {
        let output = rolewright.command(&["plan", "--format", "json"]);
        output.exits_with(3);
        output.json()["digest"].as_str().unwrap().to_owned()
    };
    let digest = digest_of(&first);
    assert_ne!(digest, digest_of(&second), "two servers have one digest");
    assert_ne!(digest, digest_of(&on(&one).env("MAX_DELETIONS", "1")), "another budget has the same digest");
    assert_ne!(digest, digest_of(&on(&one).env("PROTECTED_ROLES", "zoe")), "other settings have the same digest");
    assert_eq!(digest, digest_of(&first), "the same plan has another digest");

    namespace.annotate(APPROVE, &digest);
    second.apply().exits_with(3);
    assert!(other.has_role("eve"));
    first.apply().succeeds();
    assert!(!one.has_role("eve"));
}

#[test]
fn while_it_is_paused_nothing_is_changed_and_afterwards_everything_is_caught_up_with() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, rolewright, controller| {
        namespace.annotate(PAUSED, "true");
        namespace.wait_for_condition("Paused", "True");
        namespace.wait_for_event("Paused");
        declare(&namespace, &FIVE, &["writer"]);
        cluster.sql("ALTER ROLE ada CREATEDB");
        controller.wait_for("paused");
        controller.wait_for_metric("postgres_controller_paused", 1.0);
        rolewright.apply().exits_with(3).mentions("rolewright.dev/paused");
        rolewright.command(&["plan"]).exits_with(3).mentions("rolewright.dev/paused").mentions("writer");
        assert_eq!(cluster.memberships("ada"), ["reader"]);
        assert_eq!(cluster.attribute("ada", "rolcreatedb"), "t");

        namespace.remove_annotation(PAUSED);
        eventually("what was waiting", SOON, || (cluster.memberships("eve") == ["writer"]).then_some(()));
        assert_eq!(cluster.attribute("ada", "rolcreatedb"), "f");
        namespace.wait_for_condition("Paused", "False");
        namespace.wait_for_event("Resumed");
    });
}

#[test]
fn sync_now_reads_and_compares_everything_at_once() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, _, controller| {
        // Seen by nobody before: the interval is an hour, and nothing in the cluster has changed.
        cluster.sql("ALTER ROLE ada CREATEDB");
        let annotated = |key: &str, value: &str| {
            let name = "postgres_controller_reconciliations_total";
            let before = controller.metric(name);
            namespace.annotate(key, value);
            controller.wait_for_metric(name, before + 1.0);
        };
        let decided = || {
            let name = "postgres_controller_stage_duration_seconds_count";
            controller.get("/metrics").metric(name, Some("stage=\"decide\"")).unwrap_or(0.0)
        };
        annotated(SYNC_NOW, "1");
        eventually("the drift to be repaired", SOON, || (cluster.attribute("ada", "rolcreatedb") == "f").then_some(()));
        assert_eq!(namespace.wait_for_event("DriftRepaired").kind, "Warning");

        // Even where nothing has moved since.
        let before = decided();
        annotated(SYNC_NOW, "2");
        assert_eq!(decided(), before + 1.0);
        // The same wish is not fulfilled twice: another annotation wakes it, and it finds nothing to do.
        annotated("example.org/note", "x");
        assert_eq!(decided(), before + 1.0);
    });
}

#[test]
fn a_sync_now_whose_cycle_fails_still_stands() {
    let namespace = ApiServer::shared().namespace();
    five_users(&namespace, |cluster, _, controller| {
        let decided = || {
            let name = "postgres_controller_stage_duration_seconds_count";
            controller.get("/metrics").metric(name, Some("stage=\"decide\"")).unwrap_or(0.0)
        };
        let before = decided();
        cluster.stop(Stop::Fast);
        namespace.annotate(SYNC_NOW, "while it is away");
        namespace.wait_for_condition("Ready", "False");
        let told = namespace.status().unwrap().observed()["syncNow"].clone();
        assert!(told.is_null(), "{told} is told as done");
        assert_eq!(decided(), before);
        // A pause is told all the same.
        namespace.annotate(PAUSED, "true");
        controller.wait_for_metric("postgres_controller_paused", 1.0);
        namespace.remove_annotation(PAUSED);
        let paused = || controller.metric("postgres_controller_paused");
        eventually("the pause to be over", SOON, || (paused() == 0.0).then_some(()));

        cluster.restart();
        // Something else wakes it. Nothing has moved, so only the wish has everything compared.
        namespace.annotate("example.org/note", "x");
        namespace.wait_for_condition("Ready", "True");
        assert_eq!(decided(), before + 1.0);
        assert_eq!(namespace.status().unwrap().observed()["syncNow"], "while it is away");
    });
}
