//! The directory of manifests: what `kubectl apply -f` takes is taken here, and nothing else is
//! stumbled over.

use std::time::Duration;

use rolewright_tests::source::{CONFIGMAP_FILE, users};
use rolewright_tests::{Cluster, Manifests, Rolewright, eventually, leaks};

#[test]
fn several_documents_in_a_file_and_both_endings_and_other_kinds_are_fine() {
    leaks::register_password("source-alice-1");
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.file(
        "all.yml",
        "# what belongs together
apiVersion: v1
kind: Namespace
metadata:
  name: postgres
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: postgres-users-config
  namespace: postgres
  labels: {app: rolewright}
data:
  another.yaml: |
    nothing: of interest
  users.yaml: |
    users:
      - username: alice
        roles: [reader]
---
---
apiVersion: v1
kind: Secret
metadata:
  name: user-alice-secret
  namespace: postgres
type: Opaque
stringData:
  password: source-alice-1
...
",
    );
    manifests.file("README.md", "kind: [no yaml at all").file("notes.txt", "\t- x: [");

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    cluster.login("alice", "source-alice-1", "postgres");
}

#[test]
fn a_namespace_may_be_left_out_and_what_belongs_to_another_is_not_taken() {
    leaks::register_password("source-alice-2");
    leaks::register_password("source-elsewhere");
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    let secret = |namespace: &str, password: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: user-alice-secret\n{namespace}stringData:\n  password: {password}\n"
        )
    };
    manifests.users("users:\n  - username: alice\n");
    manifests.file("a-elsewhere.yaml", secret("  namespace: elsewhere\n", "source-elsewhere"));
    Rolewright::new(&cluster, &manifests).apply().exits_with(1).mentions("user-alice-secret");

    manifests.file("b-here.yaml", secret("", "source-alice-2"));
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    cluster.login("alice", "source-alice-2", "postgres");
}

#[test]
fn another_name_and_another_namespace_may_be_configured() {
    leaks::register_password("source-alice-3");
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.file(
        "team.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: team, namespace: data}\ndata:\n  users.yaml: |\n    users: [{username: alice}]\n",
    );
    manifests.file(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: user-alice-secret, namespace: data}\nstringData: {password: source-alice-3}\n",
    );
    Rolewright::new(&cluster, &manifests).env("NAMESPACE", "data").env("CONFIGMAP_NAME", "team").apply().succeeds();
    cluster.login("alice", "source-alice-3", "postgres");
}

#[test]
fn anchors_and_comments_and_flow_style_are_yaml_too() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.secret("alice", "source-alice-4").secret("bob", "source-bob-4");
    manifests.users(
        "# the team
users:
  - username: alice   # first
    roles: &common [reader, \"writer\"]
  - {username: bob, roles: *common}
",
    );
    Rolewright::new(&cluster, &manifests).apply().succeeds();
    assert_eq!(cluster.memberships("bob"), ["reader", "writer"]);
}

#[test]
fn a_controller_acts_when_the_source_changes_without_waiting_for_its_interval() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "source-alice-5");
    let rolewright = Rolewright::new(&cluster, &manifests).env("SYNC_INTERVAL", "3600");
    let controller = rolewright.run();
    controller.wait_for_cycles(1);

    manifests.users(&users(&[("alice", &["reader", "writer"])]));
    eventually("the change to be applied", Duration::from_secs(20), || {
        (cluster.memberships("alice").len() == 2).then_some(())
    });
    manifests.secret("alice", "source-alice-6");
    eventually("the new password to be applied", Duration::from_secs(20), || {
        cluster.try_login("alice", "source-alice-6", "postgres").ok()
    });
    controller.terminate().succeeds();
}

#[test]
fn a_directory_mounted_from_a_volume_with_its_links_is_read_once() {
    use std::os::unix::fs::symlink;
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &[])])).secret("alice", "source-alice-7");
    // As the kubelet does it: the files lie in a directory with a date, reached over two links.
    let directory = manifests.path();
    std::fs::create_dir(directory.join("..2026_01_01")).unwrap();
    for name in [CONFIGMAP_FILE, "user-alice-secret.yaml"] {
        std::fs::rename(directory.join(name), directory.join("..2026_01_01").join(name)).unwrap();
        symlink(format!("..data/{name}"), directory.join(name)).unwrap();
    }
    symlink("..2026_01_01", directory.join("..data")).unwrap();

    Rolewright::new(&cluster, &manifests).apply().succeeds();

    cluster.login("alice", "source-alice-7", "postgres");
}
