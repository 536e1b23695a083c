//! What is deployed: the chart's Role is exactly the rights that the binary runs under, its settings
//! are settings that the binary knows, and a real API server accepts everything that is rendered.

use std::path::PathBuf;
use std::process::Command;

use rolewright_tests::kubernetes::{Secrets, least_rights};
use rolewright_tests::session::{helm, kubernetes_bin};
use rolewright_tests::source::users;
use rolewright_tests::{ApiServer, Cluster, Manifests, Rolewright};
use serde_json::Value;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The objects that the chart gives with these settings.
pub(super) fn rendered(settings: &[&str]) -> Vec<Value> {
    let mut command = Command::new(helm());
    command.args(["template", "rolewright", "deploy/chart", "--namespace", "postgres", "--kube-version", "1.32.0"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let output = command.current_dir(repository()).output().expect("helm runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("\n---\n")
        .filter_map(|document| serde_saphyr::from_str::<Value>(document).ok())
        .filter(Value::is_object)
        .collect()
}

pub(super) fn object<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("the chart renders no {kind}"))
}

/// Rules in an order of their own, so that they can be compared.
fn sorted(rules: &Value) -> Vec<String> {
    let mut sorted: Vec<String> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let list = |key: &str| {
                let mut words: Vec<&str> =
                    rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                words.sort_unstable();
                words.join(",")
            };
            format!("{}/{} [{}]: {}", list("apiGroups"), list("resources"), list("resourceNames"), list("verbs"))
        })
        .collect();
    sorted.sort();
    sorted
}

#[test]
fn the_binary_works_under_exactly_the_role_that_the_chart_renders() {
    let by_name = rendered(&["secrets.names={user-alice-secret,user-bob-secret}"]);
    let fleet = rendered(&["secrets.mode=namespace"]);
    let (by_name, fleet) = (&object(&by_name, "Role")["rules"], &object(&fleet, "Role")["rules"]);
    // These are the rights that every other test in a cluster runs under.
    assert_eq!(sorted(by_name), sorted(&least_rights(Secrets::Named(&["user-alice-secret", "user-bob-secret"]))));
    assert_eq!(sorted(fleet), sorted(&least_rights(Secrets::All)));

    for (rules, selector) in [(by_name, ""), (fleet, "*")] {
        let (cluster, namespace) = (Cluster::start(), ApiServer::shared().namespace());
        namespace.configmap(&users(&[("alice", &["reader"]), ("bob", &[])]));
        namespace.secret("alice", "kubernetes-deploy-1").secret("bob", "kubernetes-deploy-2");
        let account = namespace.service_account(rules);
        let rolewright = Rolewright::in_cluster(&cluster, &namespace, &account)
            .env("SYNC_INTERVAL", "1")
            .env("SECRET_SELECTOR", selector);
        let controller = rolewright.run();
        controller.wait_for_cycles(3);
        cluster.login("alice", "kubernetes-deploy-1", "postgres");
        namespace.wait_for_condition("Synced", "True");
        namespace.wait_for_event("Applied");
        assert!(namespace.lease().is_some());
        controller.terminate().succeeds();
        let refused: Vec<_> = namespace.calls().into_iter().filter(|call| call.status == 403).collect();
        assert!(refused.is_empty(), "{refused:#?}");
    }
}

#[test]
fn every_variable_of_the_deployment_is_a_setting_of_the_binary_with_a_value_that_it_takes() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let objects = rendered(&[
        "policies.configMap=chain",
        "policies.registrySecret=registry",
        "settings.protectedRoles={a b}",
        "secrets.mode=namespace",
        "database.applicationHost=db.example.com",
        "database.applicationPort=6432",
    ]);
    let container = &object(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], serde_json::json!(["run"]));
    let variables = container["env"].as_array().unwrap();
    assert!(variables.len() > 10, "{variables:?}");

    let help = Rolewright::new(&cluster, &manifests).command(&["run", "--help"]).stdout;
    let mut rolewright = Rolewright::new(&cluster, &manifests);
    for variable in variables {
        let name = variable["name"].as_str().unwrap();
        assert!(help.contains(&format!("<{name}>")), "{name} is no setting:\n{help}");
        // Where it leads is not there; whether it is understood is told before anything is looked for.
        let elsewhere =
            ["DB_HOST", "DB_PORT", "STATE_FILE", "CACHE_DIR", "HTTP_ADDR", "POLICIES", "REGISTRY_AUTH_FILE"]
                .contains(&name);
        if let Some(value) = variable["value"].as_str().filter(|_| !elsewhere) {
            rolewright = rolewright.env(name, value);
        }
    }
    manifests.users("users: []\n");
    let output = rolewright.env("DB_SSLMODE", "disable").command(&["plan"]);
    assert!(!output.stderr.contains("invalid value"), "{}", output.stderr);
}

#[test]
fn a_real_api_server_accepts_everything_that_is_rendered() {
    let server = ApiServer::start();
    let kubeconfig = server.admin_kubeconfig("default");
    let path = format!("{}:{}", kubernetes_bin().display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("deploy/tests/accepted.sh")
        .current_dir(repository())
        .env("KUBECONFIG", kubeconfig.path())
        .env("HELM", helm())
        .env("PATH", path)
        .output()
        .expect("the script runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{stdout}");
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("chart, a fleet"), "the chart itself was left out: {stdout}");
}

#[test]
fn the_manifests_beside_the_chart_are_what_it_renders() {
    let path = format!("{}:{}", kubernetes_bin().display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("deploy/manifests.sh")
        .arg("check")
        .current_dir(repository())
        .env("HELM", helm())
        .env("PATH", path)
        .output()
        .expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
