//! A module that was built against an earlier contract still does its work. Each lies in `tests/guests/` with the WIT of
//! its time, and is never changed; why, is told in docs/decisions/contract.md.

use rolewright_tests::source::users;
use rolewright_tests::{Cluster, Manifests, Rolewright, guests};
use serde_json::json;

#[test]
fn a_module_of_contract_0_1_0_takes_part_in_every_stage() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(&users(&[("alice", &["reader"]), ("bob", &[])]));
    manifests.secret("alice", "old-modules-alice").secret("bob", "old-modules-bob");
    let module = guests::build("tests/guests/contract-0.1.0");
    let chain = json!({ "policies": [{ "name": "old", "module": module }] }).to_string();
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&chain);

    let plan = rolewright.command(&["plan"]);
    plan.succeeds();
    for words in ["alice with user-alice-secret, after true", "bob with user-bob-secret", "steps", "not there yet"] {
        assert!(plan.stdout.contains(words), "{words} is not in\n{}", plan.stdout);
    }
    plan.says("validating as of contract 0.1.0");
    rolewright.apply().succeeds();
    cluster.login("alice", "old-modules-alice", "postgres");
    assert_eq!(cluster.memberships("alice"), ["reader"]);
    assert_eq!(cluster.value("SELECT shobj_description('bob'::regrole, 'pg_authid')"), "kept as of contract 0.1.0");
    rolewright.plan_json().is_empty();

    let refusing = json!({ "policies": [{ "name": "old", "module": module, "settings": "refuse" }] }).to_string();
    let rolewright = Rolewright::new(&cluster, &manifests).policies(&refusing);
    rolewright.plan().exits_with(1).says("refused at /refuse");
}
