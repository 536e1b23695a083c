//! What the tests in a cluster rely on: the API server is a real one, rules mean what they say there,
//! and what Rolewright's Role is built on holds: which right a request takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rolewright_tests::kubernetes::{ApiClient, Namespace, Secrets, ServiceAccount, least_rights, with_one_right_less};
use rolewright_tests::source::CONFIGMAP;
use rolewright_tests::{ApiServer, Response, eventually};
use serde_json::{Value, json};

const CORE: &str = "api/v1";
const LEASES: &str = "apis/coordination.k8s.io/v1";
const EVENTS: &str = "apis/events.k8s.io/v1";

fn configmap(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "key": value } })
}

fn lease(name: &str, holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": name },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15 },
    })
}

fn rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> Value {
    json!([{ "apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs }])
}

/// Asserts that RBAC refuses, for want of this verb.
fn refused_for_want_of(answer: &Response, verb: &str) {
    answer.has_status(403);
    let message = answer.json()["message"].to_string();
    assert!(message.contains(&format!("cannot {verb} resource")), "{message}");
}

fn list_by_name(account: &ServiceAccount<'_>, namespace: &Namespace<'_>, name: &str, more: &str) -> Response {
    let path = namespace.path(CORE, "secrets", "");
    account.client().get(&format!("{path}?fieldSelector=metadata.name%3D{name}{more}"))
}

#[test]
fn an_api_server_knows_its_version_its_administrator_and_nobody_else() {
    let server = ApiServer::shared();
    let version = server.admin().get("/version").json();
    assert_eq!(version["major"], "1", "{version}");
    server.admin().get("/api/v1/namespaces").has_status(200);
    server.admin().with_token("not the token").get("/api/v1/namespaces").has_status(401);
    let stranger = rolewright_tests::tls::Certificates::for_names(&["127.0.0.1"]);
    let client = ApiClient::new(&server.url(), &stranger.authority, "");
    assert!(client.try_send("GET", "/version", "", "").is_err(), "a stranger's authority was trusted");
}

#[test]
fn a_service_account_may_do_what_its_role_says_and_nothing_else() {
    let namespace = ApiServer::shared().namespace();
    let other = ApiServer::shared().namespace();
    for place in [&namespace, &other] {
        place.secret("alice", "kubernetes-harness-alice").secret("bob", "kubernetes-harness-bob");
    }
    let account = namespace.service_account(&rule("", "secrets", &["user-alice-secret"], &["get"]));
    let client = account.client();
    client.get(&namespace.path(CORE, "secrets", "user-alice-secret")).has_status(200);
    refused_for_want_of(&client.get(&namespace.path(CORE, "secrets", "user-bob-secret")), "get");
    refused_for_want_of(&client.get(&namespace.path(CORE, "secrets", "")), "list");
    refused_for_want_of(&client.get(&other.path(CORE, "secrets", "user-alice-secret")), "get");
    refused_for_want_of(&client.delete(&namespace.path(CORE, "secrets", "user-alice-secret")), "delete");
}

#[test]
fn rules_are_in_force_as_soon_as_they_are_set() {
    let namespace = ApiServer::shared().namespace();
    namespace.configmap("users: []\n");
    let account = namespace.service_account(&json!([]));
    let path = namespace.path(CORE, "configmaps", CONFIGMAP);
    for _ in 0..3 {
        refused_for_want_of(&account.client().get(&path), "get");
        account.set_rules(&rule("", "configmaps", &[CONFIGMAP], &["get"]));
        account.client().get(&path).has_status(200);
        account.set_rules(&json!([]));
    }
}

#[test]
fn server_side_apply_creates_the_configmap_that_resource_names_allow_and_no_other() {
    creates_by_apply("", CORE, "configmaps", configmap);
}

#[test]
fn server_side_apply_creates_the_lease_that_resource_names_allow_and_no_other() {
    creates_by_apply("coordination.k8s.io", LEASES, "leases", lease);
}

fn creates_by_apply(group: &str, api: &str, resource: &str, object: impl Fn(&str, &str) -> Value) {
    let namespace = ApiServer::shared().namespace();
    let path = |name: &str| namespace.path(api, resource, name);
    let account = namespace.service_account(&rule(group, resource, &["mine"], &["create", "patch"]));
    let client = account.client();

    client.apply(&path("mine"), &object("mine", "first")).has_status(201);
    client.apply(&path("mine"), &object("mine", "second")).has_status(200);
    refused_for_want_of(&client.apply(&path("other"), &object("other", "first")), "patch");
    refused_for_want_of(&client.get(&path("mine")), "get");
    // A POST names no object where RBAC looks, in the URL.
    refused_for_want_of(&client.create(&path(""), &object("mine", "third")), "create");

    // Creating by PATCH takes both verbs; changing takes `patch` alone.
    account.set_rules(&rule(group, resource, &["mine"], &["patch"]));
    client.apply(&path("mine"), &object("mine", "third")).has_status(200);
    namespace.admin().delete(&path("mine")).has_status(200);
    refused_for_want_of(&client.apply(&path("mine"), &object("mine", "first")), "create");
    account.set_rules(&rule(group, resource, &["mine"], &["create"]));
    refused_for_want_of(&client.apply(&path("mine"), &object("mine", "first")), "patch");
}

#[test]
fn server_side_apply_with_a_resource_version_lets_one_of_two_win() {
    let namespace = ApiServer::shared().namespace();
    let account =
        namespace.service_account(&rule("coordination.k8s.io", "leases", &["mine"], &["get", "create", "patch"]));
    let path = namespace.path(LEASES, "leases", "mine");
    let with_version = |holder: &str, version: &Value| {
        let mut object = lease("mine", holder);
        object["metadata"]["resourceVersion"] = version.clone();
        account.client().apply(&path, &object)
    };
    // A version does not keep an apply from creating what is not there. But it does from changing what
    // somebody else has just created: any version that cannot be is "create, or a conflict".
    let first = with_version("one", &json!("1"));
    let first = first.has_status(201).json();
    with_version("two", &json!("1")).has_status(409);
    // Of two that saw the same version one wins.
    let version = &first["metadata"]["resourceVersion"];
    with_version("two", version).has_status(200);
    with_version("three", version).has_status(409);
    assert_eq!(account.client().get(&path).json()["spec"]["holderIdentity"], "two");
    // A uid keeps an apply from creating anew what was deleted, and from changing its successor.
    namespace.admin().delete(&path).has_status(200);
    let mut object = lease("mine", "two");
    object["metadata"]["uid"] = first["metadata"]["uid"].clone();
    account.client().apply(&path, &object).has_status(409);
    account.client().apply(&path, &lease("mine", "two")).has_status(201);
    account.client().apply(&path, &object).has_status(422);
    // Without one, the last wins.
    account.client().apply(&path, &lease("mine", "three")).has_status(200);
    with_version("four", &json!("0")).has_status(422);
}

#[test]
fn of_many_that_create_at_once_with_a_version_that_cannot_be_one_wins() {
    let namespace = ApiServer::shared().namespace();
    let path = namespace.path(LEASES, "leases", "mine");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let (namespace, path) = (&namespace, &path);
        let writers: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn(move || {
                    let mut object = lease("mine", &number.to_string());
                    object["metadata"]["resourceVersion"] = json!("1");
                    namespace.admin().apply(path, &object).status
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[test]
fn list_and_watch_of_one_name_take_rights_on_that_name_only() {
    let namespace = ApiServer::shared().namespace();
    namespace.secret("alice", "kubernetes-harness-alice").secret("bob", "kubernetes-harness-bob");
    let account = namespace.service_account(&rule("", "secrets", &["user-alice-secret"], &["list", "watch"]));
    let watch = "&watch=true&timeoutSeconds=1";

    let list = list_by_name(&account, &namespace, "user-alice-secret", "");
    let items = list.has_status(200).json()["items"].as_array().unwrap().len();
    assert_eq!(items, 1);
    let events = list_by_name(&account, &namespace, "user-alice-secret", watch);
    assert!(events.has_status(200).body.contains("ADDED"), "{}", events.body);
    let streamed = "&watch=true&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true\
                    &resourceVersionMatch=NotOlderThan";
    let events = list_by_name(&account, &namespace, "user-alice-secret", streamed);
    assert!(events.has_status(200).body.contains("k8s.io/initial-events-end"), "{}", events.body);

    refused_for_want_of(&list_by_name(&account, &namespace, "user-bob-secret", ""), "list");
    refused_for_want_of(&list_by_name(&account, &namespace, "user-bob-secret", watch), "watch");
    let all = namespace.path(CORE, "secrets", "");
    refused_for_want_of(&account.client().get(&all), "list");
    refused_for_want_of(&account.client().get(&format!("{all}?watch=true&timeoutSeconds=1")), "watch");
    refused_for_want_of(&account.client().get(&namespace.path(CORE, "secrets", "user-alice-secret")), "get");
    // One that is not there is an empty list, which a right on its name allows.
    account.set_rules(&rule("", "secrets", &["user-carol-secret"], &["list", "watch"]));
    assert_eq!(list_by_name(&account, &namespace, "user-carol-secret", "").json()["items"], json!([]));
    // `list` without `watch` is refused when it watches.
    account.set_rules(&rule("", "secrets", &["user-alice-secret"], &["list"]));
    list_by_name(&account, &namespace, "user-alice-secret", "").has_status(200);
    refused_for_want_of(&list_by_name(&account, &namespace, "user-alice-secret", watch), "watch");
    // `watch` without `list` will do for a list that is streamed.
    account.set_rules(&rule("", "secrets", &["user-alice-secret"], &["watch"]));
    list_by_name(&account, &namespace, "user-alice-secret", streamed).has_status(200);
}

#[test]
fn the_least_rights_allow_each_request_that_the_controller_makes() {
    let namespace = ApiServer::shared().namespace();
    namespace.configmap("users: []\n").secret("alice", "kubernetes-harness-alice");
    let status = format!("{CONFIGMAP}-status");
    let event = |path: &str, reason: &str| {
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": path },
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "rolewright.dev/controller",
            "reportingInstance": "harness",
            "type": "Normal",
            "reason": reason,
            "action": "Reconcile",
            "note": "Nothing happened.",
            "regarding": {
                "apiVersion": "v1", "kind": "ConfigMap", "name": CONFIGMAP, "namespace": namespace.name()
            },
        })
    };
    for secrets in [Secrets::Named(&["user-alice-secret"]), Secrets::All] {
        let rules = least_rights(secrets);
        let account = namespace.service_account(&rules);
        let client = account.client();
        let by_name = format!("?fieldSelector=metadata.name%3D{CONFIGMAP}");
        let configmaps = namespace.path(CORE, "configmaps", "");
        client.get(&(configmaps.clone() + &by_name)).has_status(200);
        client.get(&(configmaps + &by_name + "&watch=true&timeoutSeconds=1")).has_status(200);
        list_by_name(&account, &namespace, "user-alice-secret", "").has_status(200);
        client.apply(&namespace.path(CORE, "configmaps", &status), &configmap(&status, "v")).succeeds();
        client.apply(&namespace.path(LEASES, "leases", CONFIGMAP), &lease(CONFIGMAP, "me")).succeeds();
        client.create(&namespace.path(EVENTS, "events", ""), &event(account.name(), "Tried")).has_status(201);
        let series = json!({ "series": { "count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z" } });
        client.merge(&namespace.path(EVENTS, "events", account.name()), &series).has_status(200);
        // It may not write what it is told, nor read what it need not.
        client.apply(&namespace.path(CORE, "configmaps", CONFIGMAP), &configmap(CONFIGMAP, "v")).has_status(403);
        client.get(&namespace.path(CORE, "secrets", "user-alice-secret")).has_status(403);
        let verbs: usize = rules.as_array().unwrap().iter().map(|rule| rule["verbs"].as_array().unwrap().len()).sum();
        assert_eq!(with_one_right_less(&rules).len(), verbs);
    }
    let mut counts: Vec<u64> = namespace.events().iter().map(|event| event.count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [2, 2]);
    assert_eq!(namespace.events()[0].regarding, format!("ConfigMap/{CONFIGMAP}"));
    assert_eq!(namespace.lease().unwrap().holder, "me");
}

#[test]
fn a_token_is_rotated_and_revoked() {
    let namespace = ApiServer::shared().namespace();
    namespace.configmap("users: []\n");
    let account = namespace.service_account(&rule("", "configmaps", &[CONFIGMAP], &["get"]));
    let get = ["get", "configmap", CONFIGMAP];
    account.kubectl(&get).succeeds();
    let before = std::fs::read_to_string(account.token_file()).unwrap();
    account.rotate_token();
    assert_ne!(std::fs::read_to_string(account.token_file()).unwrap(), before);
    account.kubectl(&get).succeeds();
    account.revoke_tokens();
    let start = Instant::now();
    eventually("the token to be refused", Duration::from_secs(20), || {
        (account.client().get(&namespace.path(CORE, "configmaps", CONFIGMAP)).status == 401).then_some(())
    });
    println!("a revoked token was refused after {:?}", start.elapsed());
    account.kubectl(&get).exits_with(1);
    account.rotate_token();
    account.kubectl(&get).succeeds();
}

#[test]
fn kubectl_sees_what_the_harness_writes() {
    let namespace = ApiServer::shared().namespace();
    namespace.configmap("users: []\n").annotate("rolewright.dev/paused", "true");
    namespace
        .kubectl(&["get", "configmap", CONFIGMAP, "-o", "yaml"])
        .succeeds()
        .says("rolewright.dev/paused: \"true\"");
    // A new text does not touch the annotation, nor does taking it away the text.
    namespace.configmap("users: [] # again\n");
    namespace.kubectl(&["get", "configmap", CONFIGMAP, "-o", "yaml"]).says("again").says("rolewright.dev/paused");
    namespace.remove_annotation("rolewright.dev/paused");
    let object = namespace.read(&namespace.path(CORE, "configmaps", CONFIGMAP)).unwrap();
    assert_eq!(object["metadata"]["annotations"], Value::Null);
    namespace.delete_configmap();
    namespace.kubectl(&["get", "configmap", CONFIGMAP]).exits_with(1).says("NotFound");
}

#[test]
fn a_binary_or_immutable_configmap_takes_the_place_of_an_ordinary_one() {
    let namespace = ApiServer::shared().namespace();
    namespace.configmap("users: []\n");
    namespace.configmap_with(&json!({ "binaryData": { "users.yaml": "dXNlcnM6IFtdCg==" }, "immutable": true }));
    let object = namespace.read(&namespace.path(CORE, "configmaps", CONFIGMAP)).unwrap();
    assert_eq!(object["data"], Value::Null);
    assert_eq!(object["immutable"], json!(true));
}

#[test]
fn reports_are_taken_apart_and_searched_for_secrets() {
    let namespace = ApiServer::shared().namespace();
    assert!(namespace.status().is_none());
    assert!(namespace.lease().is_none());
    namespace.secret("alice", "kubernetes-harness-heather");
    let name = format!("{CONFIGMAP}-status");
    let write = |summary: &str| {
        let mut object = configmap(&name, "");
        object["data"] = json!({
            "summary": summary,
            "conditions": "- {type: Ready, status: \"True\", reason: Fine, message: All is well.}\n",
            "observed": "resourceVersion: \"7\"\nusers: 3\n",
            "users": "alice: Synced\nbob: 'SecretMissing: none'\n",
        });
        namespace.admin().apply(&namespace.path(CORE, "configmaps", &name), &object).succeeds();
    };
    write("All is well.");
    let status = namespace.status().unwrap();
    assert_eq!(status.summary(), "All is well.");
    assert_eq!(namespace.wait_for_condition("Ready", "True").reason, "Fine");
    assert_eq!(status.observed()["users"], json!(3));
    assert_eq!(status.users()["bob"], "SecretMissing: none");

    write("The password is kubernetes-harness-heather.");
    assert!(catch_unwind(AssertUnwindSafe(|| namespace.status())).is_err(), "a password in the status went unseen");
    assert!(catch_unwind(AssertUnwindSafe(|| namespace.check_for_leaks())).is_err());
}

#[test]
fn the_calls_of_a_service_account_are_counted() {
    let namespace = ApiServer::shared().namespace();
    namespace.secret("alice", "kubernetes-harness-alice");
    let account = namespace.service_account(&least_rights(Secrets::Named(&["user-alice-secret"])));
    assert_eq!(namespace.calls(), []);
    list_by_name(&account, &namespace, "user-alice-secret", "");
    list_by_name(&account, &namespace, "user-alice-secret", "&watch=true&timeoutSeconds=1");
    account.client().get(&namespace.path(CORE, "secrets", "user-alice-secret"));
    let calls = namespace.calls();
    let seen: Vec<(&str, &str, &str, u64)> = calls
        .iter()
        .map(|call| (call.verb.as_str(), call.resource.as_str(), call.name.as_str(), call.status))
        .collect();
    let name = "user-alice-secret";
    assert_eq!(seen, [("list", "secrets", name, 200), ("watch", "secrets", name, 200), ("get", "secrets", name, 403)]);
    let metric = ApiServer::shared().metrics().metric("apiserver_request_total", Some("resource=\"secrets\""));
    assert!(metric.unwrap() >= 3.0);
}

#[test]
fn a_fleet_of_secrets_is_written_and_changed() {
    let namespace = ApiServer::shared().namespace();
    let users: Vec<String> = (0..200).map(|number| format!("user{number}")).collect();
    namespace.fleet_of_secrets(&users).change_fleet_of_secrets(&users, 2);
    let list = namespace.admin().get(&namespace.path(CORE, "secrets", "")).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 200);
    let out = Namespace::fleet_password("user7");
    assert!(rolewright_tests::leaks::find(&format!("password {out}")).is_some());
    let data = list["items"][7]["data"]["password"].as_str().unwrap();
    assert!(rolewright_tests::leaks::find(data).is_some(), "base64 of a fleet's password went unseen");
}

#[test]
fn a_server_keeps_its_data_when_it_is_stopped_and_started_again() {
    let server = ApiServer::start();
    let namespace = server.namespace();
    namespace.configmap("users: []\n");
    let path = namespace.path(CORE, "configmaps", CONFIGMAP);
    let account = namespace.service_account(&rule("", "configmaps", &[CONFIGMAP], &["get", "list", "watch"]));
    let old = account.client().get(&path).json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();

    server.stop_api();
    assert!(!server.answers());
    assert!(server.admin().try_send("GET", "/readyz", "", "").is_err());
    namespace.check_for_leaks(); // waits for nobody
    server.start_api();
    account.client().get(&path).has_status(200);

    server.stop_api();
    server.stop_etcd();
    server.start_etcd();
    server.start_api();
    account.client().get(&path).has_status(200);

    // A watch that goes on from long ago is told so.
    namespace.configmap("users: [] # 2\n").configmap("users: [] # 3\n");
    server.expire_watches();
    let by_name = format!("?fieldSelector=metadata.name%3D{CONFIGMAP}&watch=true&timeoutSeconds=2");
    let collection = namespace.path(CORE, "configmaps", "") + &by_name;
    let events = account.client().get(&format!("{collection}&resourceVersion={old}")).body;
    assert!(events.contains("\"code\":410"), "{events}");
}

#[test]
fn a_paused_etcd_or_server_answers_late() {
    let server = ApiServer::start();
    let namespace = server.namespace();
    let write = || {
        let start = Instant::now();
        namespace.configmap("users: []\n");
        start.elapsed()
    };
    assert!(write() < Duration::from_secs(1));
    type Act = fn(&ApiServer);
    let etcd: (Act, Act) = (ApiServer::pause_etcd, ApiServer::resume_etcd);
    let api: (Act, Act) = (ApiServer::pause_api, ApiServer::resume_api);
    for (pause, resume) in [etcd, api] {
        pause(&server);
        let took = std::thread::scope(|scope| {
            let write = scope.spawn(write);
            std::thread::sleep(Duration::from_millis(1500));
            assert!(!write.is_finished());
            resume(&server);
            write.join().unwrap()
        });
        assert!(took >= Duration::from_secs(1), "it took {took:?}");
    }
}

#[test]
fn an_api_server_is_gone_after_a_panic() {
    let seen = Mutex::new(None);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let server = ApiServer::start();
        *seen.lock().unwrap() = Some((server.url(), server.authority().to_owned()));
        server.pause_etcd();
        panic!("as a failed test would");
    }));
    assert!(panicked.is_err());
    let (url, authority) = seen.into_inner().unwrap().unwrap();
    assert!(ApiClient::new(&url, &authority, "").try_send("GET", "/readyz", "", "").is_err());
}
