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
        ("recurse", "out of bounds"),
        ("eat-memory", "memory"),
        ("trap", "unreachable"),
        ("alloc-then-trap", "unreachable"),
        ("huge-strings", ""),
        ("million-steps", ""),
        ("invalid-utf8", "utf-8"),
        ("wrong-error", ""),
    ];
    for stage in ["validate", "transform", "plan", "review"] {
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
fn a_transformer_may_not_redirect_a_secret_nor_disown_a_role_nor_give_databases_away_nor_move_on_for_ever() {
    let world = World::new();
    for settings in [
        json!({ "redirect": { "user": "alice", "secret": "user-bob-secret" } }),
        json!({ "disown": "alice" }),
        json!({ "restless": true }),
    ] {
        world.withstands(&settings.to_string(), &transformer(settings));
    }
    let declared = users(&[("alice", &["reader", "writer"]), ("bob", &["reader"])]);
    world.manifests.users(&format!("{declared}databases: [{{name: shop, owner: reader}}]\n"));
    let output = world.withstands("a grab", &transformer(json!({ "grab": "stranger" })));
    output.mentions("the database `shop`");
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

/// A module of three, between an honest transformer and an honest validator.
fn between(evil: &str, stage: &str) -> String {
    json!({ "policies": [
        { "name": "first", "module": guests::build(TRANSFORMER), "settings": { "member-of": "everybody" } },
        { "name": "evil-one", "module": guests::build(HOSTILE), "settings": { "do": evil, "stage": stage } },
        { "name": "last", "module": guests::build("tests/guests/contract-0.1.0") },
    ] })
    .to_string()
}

#[test]
fn of_three_modules_the_one_that_fails_is_named_and_no_other() {
    let world = World::new();
    world.cluster.sql("CREATE ROLE everybody");
    // Two of them plan: what keeps the chain from being used is said of both.
    let two = world.withstands("two planners", &between("loop", "validate"));
    two.says("`evil-one`, `last`");
    for (evil, stage) in [
        ("loop", "validate"),
        ("eat-memory", "transform"),
        ("trap", "plan"),
        ("recurse", "review"),
        ("wrong-error", "validate"),
        ("invalid-utf8", "plan"),
        ("million-steps", "validate"),
    ] {
        let chain = json!({ "policies": [
            { "name": "first", "module": guests::build(TRANSFORMER), "settings": { "member-of": "everybody" } },
            { "name": "evil-one", "module": guests::build(HOSTILE), "settings": { "do": evil, "stage": stage } },
            { "name": "last", "module": guests::build("examples/policies/naming-rust") },
        ] });
        let output = world.withstands(&format!("{evil} in {stage}"), &chain.to_string());
        let errors = || output.stderr.lines().filter(|line| line.contains("policy `"));
        assert!(errors().count() > 0, "{evil} in {stage}\n{}", output.stderr);
        for line in errors() {
            assert!(line.contains("evil-one") && line.contains(stage), "{evil} in {stage}\n{line}");
            assert!(!line.contains("`first`") && !line.contains("`last`"), "{evil} in {stage}\n{line}");
        }
    }
}

#[test]
fn a_module_cannot_answer_differently_each_time_even_if_it_wants_to() {
    let world = World::new();
    for stage in ["validate", "plan"] {
        let rolewright = Rolewright::new(&world.cluster, &world.manifests).policies(&hostile("moody", stage));
        let first = rolewright.command(&["plan", "--format", "json"]);
        first.succeeds();
        // It sees a first call each time, also of those that are made in one cycle.
        assert!(first.stdout.contains("call 1, "), "{stage}: it says nothing\n{}", first.stdout);
        assert!(!first.stdout.contains("call 2, "), "{stage}\n{}", first.stdout);
        for _ in 0..3 {
            let again = rolewright.command(&["plan", "--format", "json"]);
            assert_eq!(again.stdout, first.stdout, "{stage}");
        }
    }
}

/// A component that was built against a contract of another version: the same module, other names.
fn of_version(version: &str) -> Vec<u8> {
    let mut module = fs::read(guests::build("tests/guests/contract-0.1.0")).unwrap();
    let (old, new) = (b"@0.1.0".as_slice(), format!("@{version}"));
    assert_eq!(old.len(), new.len(), "names are counted in bytes");
    let places: Vec<usize> = (0..module.len() - old.len()).filter(|&at| module[at..].starts_with(old)).collect();
    for at in places {
        module[at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    module
}

#[test]
fn a_file_that_is_no_module_of_this_contract_is_explained_and_nothing_hangs_on_it() {
    let world = World::new();
    let file = world.manifests.path().join("evil.wasm");
    let one = json!({ "policies": [{ "name": "evil-one", "module": file }] }).to_string();
    let refused = |what: &str, bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        world.withstands(what, &one)
    };
    refused("a core module", b"\0asm\x01\0\0\0").says("core WebAssembly module").says("wasm-tools component new");

    let honest = fs::read(guests::build(HOSTILE)).unwrap();
    for share in [10, 50, 90] {
        refused("a truncated file", &honest[..honest.len() * share / 100]).says("build it again");
    }
    refused("one byte short", &honest[..honest.len() - 1]).says("build it again");

    let wants_random = wat::parse_str(
        r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))))"#,
    );
    refused("a forbidden import", &wants_random.unwrap()).says("wasi:random/random@0.2.0").says("no WASI");
    let wants_secrets = wat::parse_str(
        r#"(component (import "rolewright:policy/secrets@0.1.0" (instance (export "read" (func (result string))))))"#,
    );
    refused("an import that only sounds right", &wants_secrets.unwrap()).says("rolewright:policy/secrets@0.1.0");

    let newer = refused("a later contract", &of_version("0.9.0"));
    newer.says("version 0.9.0").says("this host speaks 0.1.0").says("update Rolewright");
    let older = refused("an earlier contract", &of_version("0.0.9"));
    older.says("version 0.0.9").says("this host speaks 0.1.0").says("build the module again");

    // 100 MB that begin like a component, and 200 MB of nothing.
    let mut large = b"\0asm\x0d\0\x01\0".to_vec();
    large.resize(100 << 20, 0xff);
    refused("100 MB of garbage", &large).says("build it again");
    fs::File::create(&file).unwrap().set_len(200 << 20).unwrap();
    world.withstands("200 MB", &one).says("209715200 bytes");
}

#[test]
fn a_module_of_a_hundred_megabytes_that_is_one_is_taken() {
    let world = World::new();
    let mut module = fs::read(guests::build("guest-policies/standard")).unwrap();
    // A section that means nothing to anybody: id 0, its size as LEB128 in four bytes, and a name without letters.
    let size: u32 = 100 << 20;
    module.push(0);
    module.extend((0..4).map(|byte| (size >> (7 * byte)) as u8 & 0x7f | if byte < 3 { 0x80 } else { 0 }));
    module.resize(module.len() + size as usize, 0);
    let file = world.manifests.path().join("large.wasm");
    fs::write(&file, module).unwrap();
    let chain = json!({ "policies": [{ "name": "large", "module": file }] }).to_string();
    Rolewright::new(&world.cluster, &world.manifests).policies(&chain).apply().succeeds();
    assert_eq!(world.cluster.memberships("alice"), ["reader", "writer"]);
}

#[test]
fn a_module_that_calls_itself_what_it_is_not_is_known_by_its_name_in_the_chain() {
    let world = World::new();
    // A component whose `describe` lies; the name is told for people, and never instead of the chain's.
    let mut liar = fs::read(guests::build(HOSTILE)).unwrap();
    let (truth, lie) = (b"hostile6.6.6".as_slice(), b"rolewri6.6.6".as_slice());
    let places: Vec<usize> = (0..liar.len() - truth.len()).filter(|&at| liar[at..].starts_with(truth)).collect();
    assert!(!places.is_empty(), "the module says its name elsewhere");
    for at in places {
        liar[at..at + lie.len()].copy_from_slice(lie);
    }
    let file = world.manifests.path().join("liar.wasm");
    fs::write(&file, liar).unwrap();
    let settings = json!({ "do": "trap", "stage": "validate" });
    let chain = json!({ "policies": [{ "name": "evil-one", "module": file, "settings": settings }] }).to_string();
    world.withstands("a lie about its name", &chain).says("policy `evil-one`");
}

#[test]
fn a_module_that_is_made_to_exhaust_the_compiler_is_not_compiled() {
    let world = World::new();
    // One function of 2 MiB. Numbers are LEB128, as WebAssembly has them.
    let number = |mut number: usize| {
        let mut bytes = Vec::new();
        loop {
            let low = (number & 0x7f) as u8;
            number >>= 7;
            if number == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    };
    let section = |id: u8, content: &[u8]| [&[id][..], &number(content.len()), content].concat();
    let nops = vec![1; 2 << 20];
    let body = [&[0][..], &nops, &[0x0b]].concat();
    let code = [&[1][..], &number(body.len()), &body].concat();
    let module =
        [b"\0asm\x01\0\0\0".as_slice(), &section(1, b"\x01\x60\0\0"), &section(3, &[1, 0]), &section(10, &code)];
    let component = [b"\0asm\x0d\0\x01\0".as_slice(), &section(1, &module.concat())].concat();
    let file = world.manifests.path().join("bomb.wasm");
    fs::write(&file, component).unwrap();
    let chain = json!({ "policies": [{ "name": "evil-one", "module": file }] }).to_string();
    world.withstands("a function of 2 MiB", &chain).says("2097154 bytes").says("compiler");
}
