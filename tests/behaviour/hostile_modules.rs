//! Policy modules that misbehave in every way there is: the cycle stops with an error that names the
//! module and its digest, the server stays as it is, and the process lives.

use std::fs;

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Output, Rolewright, guests};
use serde_json::json;

const HOSTILE: &str = "tests/guests/hostile";
const TRANSFORMER: &str = "tests/guests/transformer";

/// A chain of one module, which does one evil in one stage.
fn hostile(evil: &str, stage: &str) -> String {
    let module = guests::build(HOSTILE);
    json!({ "policies": [{
        "name": "evil-one",
        "module": module,
        "sha256": guests::sha256(&module),
        "settings": { "do": evil, "stage": stage },
    }] })
    .to_string()
}

/// The transformer with these settings in front of the built-in policy.
fn transformer(settings: serde_json::Value) -> String {
    let module = guests::build(TRANSFORMER);
    json!({ "policies": [
        { "name": "evil-one", "module": module, "sha256": guests::sha256(&module), "settings": settings },
        { "name": "standard", "module": "builtin:standard" },
    ] })
    .to_string()
}

/// A server on which the built-in policy has made alice and bob, and a spec that moved on.
struct World {
    cluster: Cluster,
    manifests: Manifests,
}

impl World {
    fn new() -> World {
        let cluster = Cluster::start();
        cluster.sql("CREATE ROLE stranger LOGIN");
        let manifests = Manifests::new();
        manifests.users(&users(&[("alice", &["reader"]), ("bob", &["reader"])]));
        manifests.secret("alice", "hostile-modules-alice").secret("bob", "hostile-modules-bob");
        Rolewright::new(&cluster, &manifests).apply().succeeds();
        manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["reader"])]));
        World { cluster, manifests }
    }

    /// Applies with the chain, which must fail and change nothing.
    fn withstands(&self, what: &str, chain: &str) -> Output {
        let before = self.cluster.fingerprint();
        let rolewright = Rolewright::new(&self.cluster, &self.manifests).policies(chain);
        let start = std::time::Instant::now();
        let output = rolewright.apply();
        assert!(matches!(output.status, Some(1 | 3)), "{what}: {:?}\n{}", output.status, output.stderr);
        assert!(start.elapsed().as_secs() < 30, "{what} took {:?}", start.elapsed());
        assert_eq!(self.cluster.fingerprint(), before, "{what}: something was changed");
        assert!(self.cluster.has_role("postgres"));
        output.says("evil-one");
        output
    }
}

#[test]
fn a_module_that_fails_stops_the_cycle_and_is_named_with_its_digest() {
    let world = World::new();
    let digest = guests::sha256(&guests::build(HOSTILE));
    let why = [
        ("loop", "fuel"),
        ("recurse", ""),
        ("eat-memory", "memory"),
        ("trap", "unreachable"),
        ("alloc-then-trap", "unreachable"),
        ("huge-strings", ""),
        ("million-steps", ""),
        ("wrong-error", ""),
    ];
    for stage in ["validate", "plan"] {
        for (evil, why) in why {
            let output = world.withstands(&format!("{evil} in {stage}"), &hostile(evil, stage));
            output.says(&digest[..12]).mentions(stage).mentions(why);
            assert_eq!(output.status, Some(1), "{evil} in {stage}: a module that fails is an error\n{}", output.stderr);
        }
    }
}

#[test]
fn a_module_that_fails_when_its_settings_are_checked_is_not_taken_into_use() {
    let world = World::new();
    for evil in ["loop", "eat-memory", "trap"] {
        world.withstands(evil, &hostile(evil, "configure"));
    }
}

#[test]
fn a_plan_that_does_what_it_must_not_is_refused_by_the_guard() {
    let world = World::new();
    for evil in [
        "drop-postgres",
        "drop-foreign",
        "drop-declared",
        "grant-superuser",
        "create-superuser",
        "grant-server-program",
        "dangling",
        "create-and-forget",
        "grant-extra",
        "do-nothing",
        "steal-password",
        "run-script",
    ] {
        world.withstands(evil, &hostile(evil, "plan")).exits_with(3);
    }
}

#[test]
fn a_plan_that_gives_what_a_removed_role_owned_to_somebody_else_is_refused() {
    let world = World::new();
    world.manifests.users(&users(&[("bob", &["reader"])]));
    let rolewright = Rolewright::new(&world.cluster, &world.manifests)
        .env("MAX_DELETIONS", "100%")
        .policies(&hostile("reassign", "plan"));
    rolewright.apply().exits_with(3);
    assert!(world.cluster.has_role("alice"));
}

#[test]
fn a_module_cannot_play_down_a_risk() {
    let world = World::new();
    world.manifests.users(&users(&[("bob", &["reader"])]));
    let rolewright = Rolewright::new(&world.cluster, &world.manifests)
        .env("MAX_DELETIONS", "100%")
        .policies(&hostile("play-down", "plan"));
    assert_eq!(rolewright.plan_json().step("drop-role", "alice")["risk"], "destructive");
}

#[test]
fn what_a_module_says_reaches_the_screen_without_its_control_characters() {
    let world = World::new();
    for evil in ["garbage-log", "garbage-reasons", "bad-paths", "wrong-error"] {
        for stage in ["validate", "plan"] {
            let rolewright = Rolewright::new(&world.cluster, &world.manifests).policies(&hostile(evil, stage));
            let output = rolewright.plan();
            for forbidden in ['\u{1b}', '\u{202e}', '\r'] {
                let printed = output.stdout.contains(forbidden) || output.stderr.contains(forbidden);
                assert!(!printed, "{evil} in {stage} prints {forbidden:?}");
            }
            assert!(output.stderr.len() < 1 << 20, "{evil} in {stage}: the log is flooded");
        }
    }
}

#[test]
fn a_transformer_may_not_redirect_a_secret_nor_disown_a_role_nor_move_on_for_ever() {
    let world = World::new();
    for settings in [
        json!({ "redirect": { "user": "alice", "secret": "user-bob-secret" } }),
        json!({ "disown": "alice" }),
        json!({ "restless": true }),
    ] {
        world.withstands(&settings.to_string(), &transformer(settings));
    }
}

#[test]
fn an_honest_transformer_changes_the_spec_and_the_plan_follows() {
    let world = World::new();
    world.cluster.sql("CREATE ROLE everybody");
    let rolewright =
        Rolewright::new(&world.cluster, &world.manifests).policies(&transformer(json!({ "member-of": "everybody" })));
    rolewright.apply().succeeds();
    assert_eq!(world.cluster.memberships("alice"), ["everybody", "reader", "writer"]);
    assert_eq!(world.cluster.memberships("bob"), ["everybody", "reader"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn a_controller_with_a_hostile_module_stays_alive_says_so_and_changes_nothing() {
    let world = World::new();
    let before = world.cluster.fingerprint();
    for evil in ["loop", "eat-memory", "trap", "drop-postgres"] {
        let rolewright = Rolewright::new(&world.cluster, &world.manifests)
            .env("SYNC_INTERVAL", "1")
            .policies(&hostile(evil, "plan"));
        let controller = rolewright.run();
        controller.wait_for_metric("postgres_controller_errors_total", 2.0);
        controller.wait_for("evil-one");
        assert!(controller.is_alive(), "{evil}");
        assert_eq!(controller.get("/livez").status, 200, "{evil}");
        if evil != "drop-postgres" {
            assert_eq!(controller.get("/readyz").status, 503, "{evil}: no cycle has come to its end");
        }
        assert_eq!(world.cluster.fingerprint(), before, "{evil}");
        controller.terminate().succeeds();
    }
}

#[test]
fn a_module_with_another_digest_than_the_chain_says_is_not_loaded() {
    let world = World::new();
    let module = guests::build(HOSTILE);
    let wrong = "0".repeat(64);
    let chain = json!({ "policies": [{ "name": "evil-one", "module": module, "sha256": wrong }] }).to_string();
    world.withstands("another digest", &chain).says(&guests::sha256(&module)).mentions("sha256");
}

#[test]
fn a_module_that_is_not_there_or_is_no_component_is_explained() {
    let world = World::new();
    let one = |module: &str| json!({ "policies": [{ "name": "evil-one", "module": module }] }).to_string();
    world.withstands("no such file", &one("/nonexistent/policy.wasm")).says("/nonexistent/policy.wasm");
    world.withstands("no such built-in policy", &one("builtin:nonsense")).says("nonsense");

    let garbage = world.manifests.path().join("garbage.wasm");
    for bytes in [b"".as_slice(), b"garbage", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"] {
        fs::write(&garbage, bytes).unwrap();
        world.withstands("garbage", &one(garbage.to_str().unwrap()));
    }
}

#[test]
fn a_chain_document_with_a_mistake_is_refused_with_its_place() {
    let world = World::new();
    let before = world.cluster.fingerprint();
    for (what, chain) in [
        ("an unknown key", "policies:\n  - name: standard\n    modul: builtin:standard\n"),
        ("no YAML", "policies: [\n"),
        (
            "two planners",
            "policies:\n  - {name: a, module: 'builtin:standard'}\n  - {name: b, module: 'builtin:standard'}\n",
        ),
        (
            "the same name twice",
            "policies:\n  - {name: a, module: 'builtin:standard'}\n  - {name: a, module: 'builtin:standard'}\n",
        ),
        ("an empty chain", "policies: []\n"),
        ("nothing", ""),
    ] {
        let output = Rolewright::new(&world.cluster, &world.manifests).policies(chain).apply();
        assert_eq!(output.status, Some(1), "{what}\n{}", output.stderr);
        output.says("policies.yaml");
        assert_eq!(world.cluster.fingerprint(), before, "{what}");
    }
}
