//! Policy modules from a registry: what is taken is exactly what the chain names, whoever the
//! registry is, and a module that was taken once is there without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use rolewright_tests::registry::{PASSWORD, Reply, Scripted, Wishes, digest, docker_config, manifest};
use rolewright_tests::source::users;
use rolewright_tests::tls::Certificates;
use rolewright_tests::{Cluster, Manifests, Output, Registry, Rolewright, guests, leaks};
use serde_json::json;

const WASM: &str = "application/wasm";

/// The built-in policy, as a file.
fn standard() -> PathBuf {
    guests::build("guest-policies/standard")
}

/// An empty server, and a user to make.
struct World {
    cluster: Cluster,
    manifests: Manifests,
}

impl World {
    fn new() -> World {
        let (cluster, manifests) = (Cluster::start(), Manifests::new());
        manifests.users(&users(&[("alice", &[])])).secret("alice", "registry-tests-alice");
        World { cluster, manifests }
    }

    /// An installation with a cache of its own.
    fn rolewright(&self) -> Rolewright<'_> {
        let rolewright = Rolewright::new(&self.cluster, &self.manifests).env("REGISTRY_TIMEOUT", "20");
        let cache = rolewright.directory().join("cache");
        rolewright.env("CACHE_DIR", cache.to_str().unwrap()).env("MAX_RETRIES", "0")
    }

    /// Plans with a chain of this one module, which must fail.
    fn refuses(&self, what: &str, module: &str) -> Output {
        let output = self.rolewright().policies(&chain(module)).plan();
        assert_eq!(output.status, Some(1), "{what}\n{}{}", output.stdout, output.stderr);
        output.says("from-registry");
        output
    }
}

fn chain(module: &str) -> String {
    json!({ "policies": [{ "name": "from-registry", "module": module }] }).to_string()
}

/// Pushes a file, and gives the reference to put into a chain.
fn push(rolewright: &Rolewright<'_>, file: &Path, reference: &str) -> String {
    let output = rolewright.command(&["policy", "push", file.to_str().unwrap(), reference]);
    output.succeeds();
    output.stdout.trim().to_owned()
}

/// A registry that holds this one artifact, whatever it is asked for.
fn holding(manifest: serde_json::Value, blob: Vec<u8>) -> (Scripted, String) {
    let manifest = manifest.to_string().into_bytes();
    let name = format!("policies/one@{}", digest(&manifest));
    let server = Scripted::start(move |_, request| {
        let body = if request.path.contains("/manifests/") { manifest.clone() } else { blob.clone() };
        Some(Reply::ok(body))
    });
    let reference = server.reference(&name);
    (server, reference)
}

#[test]
fn a_module_that_is_pushed_comes_back_the_same_and_runs_in_a_chain() {
    let (world, registry) = (World::new(), Registry::start());
    let rolewright = world.rolewright();
    let pinned = push(&rolewright, &standard(), &registry.reference("team/standard:1.0"));
    assert!(pinned.starts_with(&registry.reference("team/standard:1.0@sha256:")), "{pinned}");
    // The same module has the same digest, with a tag or without.
    let again = push(&rolewright, &standard(), &registry.reference("team/standard"));
    assert_eq!(again.split_once('@').unwrap().1, pinned.split_once('@').unwrap().1);

    let copy = rolewright.directory().join("copy.wasm");
    for reference in [&*again, &registry.reference("team/standard:1.0")] {
        let pulled = rolewright.command(&["policy", "pull", reference, "--output", copy.to_str().unwrap()]);
        pulled.succeeds();
        assert!(pulled.stdout.trim().ends_with(again.split_once('@').unwrap().1), "{}", pulled.stdout);
        assert!(fs::read(&copy).unwrap() == fs::read(standard()).unwrap(), "other bytes came back");
    }

    rolewright.policies(&chain(&again)).apply().succeeds();
    assert!(world.cluster.has_role("alice"));
}

#[test]
fn a_tag_is_taken_only_where_the_chain_says_that_it_may_move() {
    let (world, registry) = (World::new(), Registry::start());
    let pinned = push(&world.rolewright(), &standard(), &registry.reference("standard:latest"));
    let tagged = registry.reference("standard:latest");
    world.refuses("a tag", &tagged).says("allowMutableTags");
    let allowed = json!({ "policies": [{ "name": "from-registry", "module": tagged, "allowMutableTags": true }] });
    let output = world.rolewright().policies(&allowed.to_string()).apply();
    // What the tag meant this time is told.
    output.succeeds().says(pinned.split_once('@').unwrap().1);
    assert!(world.cluster.has_role("alice"));
}

#[test]
fn a_module_that_was_taken_once_needs_no_registry() {
    let (world, registry) = (World::new(), Registry::start());
    let pinned = push(&world.rolewright(), &standard(), &registry.reference("standard"));
    let rolewright = world.rolewright().policies(&chain(&pinned));
    rolewright.plan().succeeds();
    drop(registry);
    rolewright.apply().succeeds();
    assert!(world.cluster.has_role("alice"));

    // What lies on disk is believed no more than what comes over a wire.
    let kept: Vec<PathBuf> = files(&rolewright.directory().join("cache/modules"));
    assert_eq!(kept.len(), 2, "a manifest and a module: {kept:?}");
    for file in &kept {
        fs::write(file, fs::read(file).unwrap().iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    }
    let output = rolewright.plan();
    output.exits_with(1).says("cannot be reached");
    assert!(output.stderr.contains("damaged"), "{}", output.stderr);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn bytes_that_are_not_what_their_digest_says_are_never_used() {
    let (world, registry) = (World::new(), Registry::start());
    let pinned = push(&world.rolewright(), &standard(), &registry.reference("standard"));
    let bytes = fs::read(standard()).unwrap();
    let mut others = bytes.clone();
    *others.last_mut().unwrap() ^= 1;
    registry.tamper(&digest(&bytes), &others);
    let output = world.refuses("a layer that was exchanged", &pinned);
    output.says(&digest(&bytes)).says("exchanged");

    let wrong = registry.reference(&format!("standard@sha256:{}", "0".repeat(64)));
    world.refuses("a manifest that nobody pushed", &wrong).says("no such manifest");

    // A registry that lies about the manifest itself.
    let manifest = manifest(&[(WASM, &bytes)]);
    let (server, _) = holding(manifest, bytes);
    let output = world.refuses("another manifest", &server.reference(&format!("one@sha256:{}", "0".repeat(64))));
    output.says("exchanged").says("manifest");
}

#[test]
fn who_may_pull_is_decided_by_the_registry_and_passwords_stay_where_they_are() {
    let (world, registry) = (World::new(), Wishes::default().passwords().start());
    let host = format!("localhost:{}", registry.port());
    let reference = registry.reference("standard:1");
    let file = standard();
    let rolewright = world.rolewright();
    let try_push =
        |rolewright: &Rolewright<'_>| rolewright.command(&["policy", "push", file.to_str().unwrap(), &reference]);
    try_push(&rolewright).exits_with(1).says("REGISTRY_AUTH_FILE");

    let wrong = docker_config(rolewright.directory(), &host, "registry-wrong-otter");
    let rolewright = rolewright.env("REGISTRY_AUTH_FILE", wrong.to_str().unwrap());
    try_push(&rolewright).exits_with(1).says("not accepted");
    let elsewhere = docker_config(rolewright.directory(), "registry.example", PASSWORD);
    let rolewright = rolewright.env("REGISTRY_AUTH_FILE", elsewhere.to_str().unwrap());
    try_push(&rolewright).exits_with(1).says("no entry");
    let right = docker_config(rolewright.directory(), &host, PASSWORD);
    let rolewright = rolewright.env("REGISTRY_AUTH_FILE", right.to_str().unwrap()).env("LOG_LEVEL", "trace");
    let pinned = push(&rolewright, &file, &reference);

    world.refuses("without a password", &pinned).says("REGISTRY_AUTH_FILE");
    rolewright.policies(&chain(&pinned)).apply().succeeds();
    assert!(world.cluster.has_role("alice"));
}

#[test]
fn a_token_is_bought_with_the_password_and_goes_nowhere_else() {
    const TOKEN: &str = "registry-granite-token";
    leaks::register_token(TOKEN);
    let (world, bytes) = (World::new(), fs::read(standard()).unwrap());
    let manifest = manifest(&[(WASM, &bytes)]).to_string().into_bytes();
    let pinned = format!("team/standard@{}", digest(&manifest));
    // Blobs lie in a store of objects, which sees no credentials.
    let store = Scripted::start(move |_, request| {
        Some(if request.authorization.is_some() { Reply::status(400) } else { Reply::ok(bytes.clone()) })
    });
    let stored = format!("Location: http://localhost:{}/x?signed=1", store.port());
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("robot:{PASSWORD}"));
    let server = Scripted::start(move |port, request| {
        let authorization = request.authorization.as_deref().unwrap_or_default();
        if request.path.starts_with("/token?") {
            let wanted = request.path.contains("scope=repository%3Ateam%2Fstandard%3Apull")
                && request.path.contains("service=tests");
            let right = authorization == format!("Basic {basic}") && wanted;
            return Some(if right { Reply::ok(json!({ "token": TOKEN }).to_string()) } else { Reply::status(401) });
        }
        if authorization != format!("Bearer {TOKEN}") {
            let challenge = format!(
                "WWW-Authenticate: Bearer realm=\"http://localhost:{port}/token\",service=\"tests\",\
                 scope=\"repository:team/standard:pull\""
            );
            return Some(Reply::status(401).header(challenge));
        }
        Some(if request.path.contains("/manifests/") {
            Reply::ok(manifest.clone())
        } else {
            Reply::status(307).header(stored.clone())
        })
    });
    let pinned = server.reference(&pinned);
    world.refuses("without a password", &pinned).says("REGISTRY_AUTH_FILE");
    let rolewright = world.rolewright().env("LOG_LEVEL", "trace");
    let config = docker_config(rolewright.directory(), &format!("localhost:{}", server.port()), PASSWORD);
    rolewright.env("REGISTRY_AUTH_FILE", config.to_str().unwrap()).policies(&chain(&pinned)).apply().succeeds();
    assert!(world.cluster.has_role("alice"));
}

#[test]
fn a_registry_is_spoken_to_over_tls_and_its_certificate_is_checked() {
    let certificates = Certificates::for_names(&["localhost"]);
    let (world, registry) = (World::new(), Wishes::default().tls(&certificates).start());
    let rolewright = world.rolewright().env("REGISTRY_PLAIN_HTTP", "off");
    let authority = rolewright.directory().join("ca.pem");
    fs::write(&authority, &certificates.authority).unwrap();
    let (file, reference) = (standard(), registry.reference("standard"));
    let arguments = ["policy", "push", file.to_str().unwrap(), &reference];
    rolewright.command(&arguments).exits_with(1).says("REGISTRY_CA_FILE");
    let rolewright = rolewright.env("REGISTRY_CA_FILE", authority.to_str().unwrap());
    let pinned = push(&rolewright, &file, &reference);
    rolewright.policies(&chain(&pinned)).apply().succeeds();

    // Nobody is talked out of TLS: not by the registry, and not by where it sends us.
    let plain = Registry::start();
    let rolewright = world.rolewright().env("REGISTRY_PLAIN_HTTP", "off");
    let reference = plain.reference("standard");
    rolewright
        .command(&["policy", "push", file.to_str().unwrap(), &reference])
        .exits_with(1)
        .says("REGISTRY_PLAIN_HTTP");
    let server = Scripted::start(|_, _| Some(Reply::status(307).header("Location: http://registry.invalid/x")));
    let output = world.refuses("sent on to plain HTTP", &server.reference(&format!("one@sha256:{}", "0".repeat(64))));
    output.says("registry.invalid").says("without TLS");
}

#[test]
fn an_artifact_with_other_than_one_module_is_explained() {
    let world = World::new();
    let bytes = fs::read(standard()).unwrap();
    for (what, layers, words) in [
        ("two modules", vec![(WASM, &*bytes), (WASM, b"other".as_slice())], "2 of its layers"),
        ("none", vec![("text/plain", b"hello".as_slice())], "text/plain"),
        ("no layers", vec![], "none"),
    ] {
        let (server, reference) = holding(manifest(&layers), bytes.clone());
        world.refuses(what, &reference).says(words);
        drop(server);
    }
    let (_server, reference) = holding(json!({ "manifests": [{}] }), Vec::new());
    world.refuses("an index", &reference).says("index");
    let (_server, reference) = holding(manifest(&[(WASM, b"\0asm no module")]), b"\0asm no module".to_vec());
    world.refuses("no WebAssembly", &reference);
}

#[test]
fn a_registry_that_gives_too_much_is_not_listened_to() {
    let world = World::new();
    let mut announced = manifest(&[(WASM, b"small")]);
    announced["layers"][0]["size"] = json!(1_u64 << 40);
    let (_server, reference) = holding(announced, b"small".to_vec());
    world.refuses("a layer of a terabyte", &reference).says("1099511627776");

    let (_server, reference) = holding(manifest(&[(WASM, b"small")]), vec![0; 1 << 20]);
    world.refuses("more than the manifest says", &reference).says("5 bytes are the limit");

    // It does not say how much it is, and does not end.
    let server = Scripted::start(|_, _| {
        let mut body = b"1000000\r\n".to_vec();
        body.resize(8 << 20, b' ');
        Some(Reply::ok(body).header("Transfer-Encoding: chunked"))
    });
    let reference = server.reference(&format!("one@sha256:{}", "0".repeat(64)));
    world.refuses("a manifest without end", &reference).says("are the limit");
}

#[test]
fn a_registry_that_hangs_or_is_away_is_given_up() {
    let world = World::new();
    let server = Scripted::start(|_, _| None);
    let module = chain(&server.reference(&format!("one@sha256:{}", "0".repeat(64))));
    let output = world.rolewright().env("REGISTRY_TIMEOUT", "1").policies(&module).plan();
    output.exits_with(1).says("within 1 s").says("REGISTRY_TIMEOUT");

    let port = rolewright_tests::session::free_port();
    let away = format!("oci://localhost:{port}/one@sha256:{}", "0".repeat(64));
    world.refuses("nobody there", &away).says("cannot be reached");
    let server = Scripted::start(|_, _| {
        Some(Reply { status: 429, headers: Vec::new(), body: br#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.to_vec() })
    });
    let reference = server.reference(&format!("one@sha256:{}", "0".repeat(64)));
    world.refuses("too busy", &reference).says("429").says("TOOMANYREQUESTS");
}

/// A key pair, and signatures with it, made by openssl: cosign's are of the same form.
struct Signer {
    directory: PathBuf,
}

impl Signer {
    fn new(directory: &Path, name: &str) -> Signer {
        let directory = directory.join(name);
        fs::create_dir(&directory).unwrap();
        let signer = Signer { directory };
        signer.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
        signer.openssl(&["ec", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
        signer
    }

    fn key(&self) -> PathBuf {
        self.directory.join("key.pub")
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.directory).output();
        let output = output.expect("openssl is installed (on Debian: apt-get install openssl)");
        assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What is signed, and the manifest that carries the signature.
    fn sign(&self, manifest_digest: &str) -> (Vec<u8>, serde_json::Value) {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": "localhost/one" },
                "image": { "docker-manifest-digest": manifest_digest },
                "type": "cosign container image signature",
            },
            "optional": null,
        })
        .to_string()
        .into_bytes();
        fs::write(self.directory.join("payload"), &payload).unwrap();
        self.openssl(&["dgst", "-sha256", "-sign", "key.pem", "-out", "signature", "payload"]);
        let signature = fs::read(self.directory.join("signature")).unwrap();
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        let mut carrier = manifest(&[("application/vnd.dev.cosign.simplesigning.v1+json", &payload)]);
        carrier["layers"][0]["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        (payload, carrier)
    }
}

#[test]
fn a_module_of_a_chain_with_public_keys_must_be_signed_by_one_of_them() {
    let world = World::new();
    let rolewright = world.rolewright();
    let (ours, theirs) = (Signer::new(rolewright.directory(), "ours"), Signer::new(rolewright.directory(), "theirs"));
    let bytes = fs::read(standard()).unwrap();
    let artifact = manifest(&[(WASM, &bytes)]).to_string().into_bytes();
    let pinned = format!("one@{}", digest(&artifact));
    // A registry with this artifact, and beside it a signature by somebody, over something.
    let signed = |signature: Option<(Vec<u8>, serde_json::Value)>| {
        let (artifact, bytes) = (artifact.clone(), bytes.clone());
        Scripted::start(move |_, request| {
            let tag = format!("/manifests/{}.sig", digest(&artifact).replace(':', "-"));
            Some(match &signature {
                Some((_, carrier)) if request.path.ends_with(&tag) => Reply::ok(carrier.to_string()),
                None if request.path.ends_with(&tag) => Reply::status(404),
                Some((payload, _)) if request.path.ends_with(&digest(payload)) => Reply::ok(payload.clone()),
                _ if request.path.contains("/manifests/") => Reply::ok(artifact.clone()),
                _ => Reply::ok(bytes.clone()),
            })
        })
    };
    let with_keys = |server: &Scripted, keys: &[PathBuf]| {
        json!({ "policies": [{ "name": "from-registry", "module": server.reference(&pinned), "publicKeys": keys }] })
            .to_string()
    };

    for (what, signature, words) in [
        ("no signature", None, "no signatures"),
        ("a signature of somebody else", Some(theirs.sign(&digest(&artifact))), "other keys"),
        ("a signature of something else", Some(ours.sign(&digest(b"something else"))), "another artifact"),
    ] {
        let server = signed(signature);
        let output = world.rolewright().policies(&with_keys(&server, &[ours.key()])).plan();
        assert_eq!(output.status, Some(1), "{what}\n{}", output.stderr);
        output.says("from-registry").says("publicKeys").says(words);
    }

    let server = signed(Some(ours.sign(&digest(&artifact))));
    let rolewright = rolewright.policies(&with_keys(&server, &[theirs.key(), ours.key()]));
    rolewright.plan().succeeds();
    // Its signature is kept like the module itself, and asked for each time.
    drop(server);
    rolewright.apply().succeeds();
    assert!(world.cluster.has_role("alice"));
    let server = Scripted::start(|_, _| Some(Reply::status(404)));
    rolewright.policies(&with_keys(&server, &[theirs.key()])).plan().exits_with(1);
}

#[test]
fn a_file_that_is_no_policy_is_not_pushed() {
    let (world, registry) = (World::new(), Registry::start());
    let rolewright = world.rolewright();
    let file = rolewright.directory().join("garbage.wasm");
    fs::write(&file, b"garbage").unwrap();
    let arguments = ["policy", "push", file.to_str().unwrap(), &registry.reference("garbage")];
    rolewright.command(&arguments).exits_with(1).says("not pushed");
    let reference = format!("{}@sha256:{}", registry.reference("a"), "0".repeat(64));
    let output = rolewright.command(&["policy", "push", standard().to_str().unwrap(), &reference]);
    output.exits_with(1).says("leave @sha256");
}

#[test]
fn a_registry_that_hangs_takes_little_of_a_controllers_time_and_none_of_the_chain_in_force() {
    let world = World::new();
    let server = Scripted::start(|_, _| None);
    let standard = json!({ "policies": [{ "name": "standard", "module": "builtin:standard" }] }).to_string();
    let rolewright = world.rolewright().env("REGISTRY_TIMEOUT", "2").env("SYNC_INTERVAL", "1").policies(&standard);
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    let module = server.reference(&format!("one@sha256:{}", "0".repeat(64)));
    fs::write(rolewright.directory().join("policies.yaml"), chain(&module)).unwrap();
    controller.wait_for("the one before stays in force");
    controller.wait_for("it is asked for again in");
    // Drift is repaired by the chain before.
    world.cluster.sql("ALTER ROLE alice NOLOGIN");
    rolewright_tests::eventually("alice to be let in again", std::time::Duration::from_secs(30), || {
        (world.cluster.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'alice'") == "t").then_some(())
    });
    assert_eq!(controller.get("/livez").status, 200);
    controller.terminate().succeeds();
}
