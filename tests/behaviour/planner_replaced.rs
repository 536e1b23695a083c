//! The planner is a policy like the others: another one takes its place by configuration alone.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, guests};

#[test]
fn another_planner_plans_and_is_named_in_each_step_and_what_it_plans_is_applied() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["reader"])]));
    manifests.secret("alice", "planner-alice").secret("bob", "planner-bob");
    let module = guests::build("tests/guests/planner");
    let chain = format!(
        "policies:\n  - name: ours\n    module: {}\n    sha256: {}\n",
        module.display(),
        guests::sha256(&module)
    );
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain);

    let plan = rolewright.plan_json();
    assert!(!plan.steps().is_empty());
    for step in plan.steps() {
        assert_eq!(step["by"], "ours");
        assert_ne!(step["risk"], "safe", "a module may raise a risk");
    }
    rolewright.apply().succeeds();

    assert_eq!(cluster.memberships("alice"), ["reader", "writer"]);
    cluster.login("bob", "planner-bob", "postgres");
    rolewright.plan_json().is_empty();
}

#[test]
fn without_a_chain_the_built_in_policy_plans() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader"])])).secret("alice", "planner-alice");
    for step in Rolewright::new(&cluster, &manifests).plan_json().steps() {
        assert_eq!(step["by"], "standard");
    }
}

#[test]
fn both_planners_come_to_the_same_steps_in_the_same_order() {
    let cluster = Cluster::start();
    let manifests = Manifests::new();
    manifests.users(&users(&[("alice", &["reader", "writer"]), ("bob", &["reader"])]));
    manifests.secret("alice", "planner-alice").secret("bob", "planner-bob");
    let module = guests::build("tests/guests/planner");
    let chain = format!("policies: [{{name: ours, module: {}}}]\n", module.display());
    let sql = |rolewright: Rolewright| {
        rolewright.plan_json().steps().iter().map(|step| step["sql"].clone()).collect::<Vec<_>>()
    };

    let ours = sql(Rolewright::new(&cluster, &manifests).policies(&chain));
    let standard = sql(Rolewright::new(&cluster, &manifests));

    assert_eq!(ours, standard, "the host orders the steps");
}
