//! What is made of cycles that went this way or that.

use super::super::Observation;
use super::*;
use crate::catalog::Catalog;
use crate::guard::{GuardedPlan, Held};
use crate::ledger::{self, Ledger};
use crate::model::{Attributes, Finding, Mode, Role, Spec};
use crate::plan::{Cause, Plan, Risk, Step};
use crate::postgres::apply::Failed;
use crate::postgres::explain::ServerError;
use crate::resolve::{Origin, Record, Resolved};
use crate::spec::{Document, parse};

const USERS: &str = "\
users:
  - username: bob
    roles: [analyst]
  - username: alice
";

/// Bob and Alice are declared, `gone` and `old_group` are recorded and go, and Alice and `analyst` are
/// changed.
fn planned(verdict: Verdict) -> Planned {
    let parsed = parse(&Document::plain("users.yaml", USERS)).unwrap();
    let record = |kind| Record {
        oid: None,
        kind,
        origin: Origin::Created,
        secret_version: None,
        row_version: None,
        applied: None,
        leaving_since: None,
    };
    let records = [("gone".to_owned(), record(Kind::User)), ("old_group".to_owned(), record(Kind::Group))];
    let drop = |name: &str| Change::DropRole { name: name.into(), reassign_to: None };
    let changes = [
        Change::SetPassword("alice".into()),
        Change::CreateRole(Role::new("analyst", Mode::Present, Attributes::GROUP)),
        drop("gone"),
        drop("old_group"),
    ];
    let steps = changes.into_iter().map(|change| Step {
        change,
        risk: Risk::Safe,
        cause: Cause::Spec,
        reason: String::new(),
        path: String::new(),
        by: "standard".into(),
    });
    let plan = Plan { digest: "sha256:plan".into(), steps: steps.collect(), ..Plan::default() };
    Planned {
        observation: Observation {
            parsed,
            spec: Spec::default(),
            secrets: BTreeMap::new(),
            generated: super::super::Generated::default(),
            catalog: Catalog::default(),
            in_sync: BTreeMap::new(),
            ledger: Ledger::Database { exists: true },
            renames: Vec::new(),
            unrenamed: Default::default(),
            state: ledger::State { records: records.into(), ..ledger::State::default() },
            inputs: String::new(),
            in_recovery: false,
            directives: Directives::default(),
            revision: None,
        },
        resolved: Resolved::default(),
        plan: plan.into(),
        by: "standard".into(),
        verdict,
        findings: Vec::new(),
        touches: Vec::new(),
        converged: false,
    }
}

fn pass() -> Verdict {
    Verdict::Pass(GuardedPlan::empty(std::sync::Arc::default()))
}

fn find(planned: &mut Planned, code: &str, path: &str, message: &str) {
    let finding = Finding::new(Severity::Error, code, path, message);
    planned.findings.push(planned.observation.parsed.locations.locate(&finding));
}

fn judged(report: &Report) -> Judged {
    match ended(report) {
        Ended::Planned(judged) => *judged,
        other => panic!("{other:?}"),
    }
}

fn failed(role: &str) -> Failed {
    let error = ServerError::without_effect(role, &["lacks it".into()], "controller");
    Failed { role: role.into(), steps: Vec::new(), error }
}

#[test]
fn after_a_plan_that_ran_everybody_is_synced() {
    let judged = judged(&Report::applied(planned(pass()), Vec::new(), 0));
    assert!(judged.acted && judged.findings.is_empty());
    assert_eq!(judged.users.len(), 2, "whoever is gone is not told of: {:?}", judged.users);
    assert!(judged.users.values().all(|state| *state == UserState::Synced));
}

#[test]
fn what_waits_is_told_of_each_user_that_the_plan_touches() {
    let held = Verdict::Held(Held { why: "too many".into(), digest: "sha256:plan".into() });
    let judged = judged(&Report::untouched(planned(held)));
    let waits = "the plan waits for approval".to_owned();
    assert_eq!(judged.users["bob"], UserState::Synced);
    assert_eq!(judged.users["alice"], UserState::Pending(waits.clone()));
    assert_eq!(judged.users["gone"], UserState::Removing(waits));
    assert!(!judged.users.contains_key("old_group"), "a group is no user");
}

#[test]
fn what_failed_is_told_of_users_and_of_group_roles() {
    let failed = vec![failed("alice"), failed("analyst"), failed("gone")];
    let judged = judged(&Report::applied(planned(pass()), failed, 0));
    assert!(matches!(&judged.users["alice"], UserState::Failed(why) if why.contains("lacks it")));
    assert!(matches!(&judged.users["gone"], UserState::Removing(why) if why.contains("lacks it")));
    assert_eq!(judged.findings.len(), 1);
    assert!(judged.findings[0].contains("analyst"), "{:?}", judged.findings);
}

#[test]
fn a_user_that_was_left_out_has_its_finding_and_the_rest_stands_alone() {
    let mut planned = planned(pass());
    planned.resolved.skipped = ["alice".to_owned(), "bob".to_owned()].into();
    find(
        &mut planned,
        "secret-missing",
        "/users/0",
        "\"bob\" is left as it is: no password in Secret \"user-bob-secret\"",
    );
    find(
        &mut planned,
        "database-missing",
        "/users/1/databases/0",
        "\"alice\" is left as it is: there is no database \"x\"",
    );
    find(&mut planned, "crowded", "", "something else");
    let judged = judged(&Report::applied(planned, Vec::new(), 0));
    assert_eq!(judged.users["bob"], UserState::SecretMissing("no password in Secret \"user-bob-secret\"".into()));
    assert_eq!(judged.users["alice"], UserState::Failed("there is no database \"x\"".into()));
    assert_eq!(judged.findings.len(), 1);
    assert!(judged.findings[0].ends_with(": something else"), "{:?}", judged.findings);
}

#[test]
fn errors_in_the_document_are_told_without_its_lines() {
    let errors = parse(&Document::plain("users.yaml", "users:\n  - username: alice\n    rolse: [x]\n")).unwrap_err();
    let told = message(&CycleError::Spec(errors));
    assert!(told.starts_with("1 error in users.yaml: users.yaml:3:5: "), "{told}");
    assert!(!told.contains('\n') && !told.contains('^') && !told.contains("[x]"), "{told}");
    let many: String = (0..9).map(|number| format!("  - username: a{number}\n    rolse: []\n")).collect();
    let errors = parse(&Document::plain("users.yaml", format!("users:\n{many}"))).unwrap_err();
    let told = message(&CycleError::Spec(errors));
    assert!(told.starts_with("9 errors in users.yaml: ") && told.ends_with("; and 4 more"), "{told}");
}

#[test]
fn who_should_go_and_is_kept_is_on_its_way_out_with_the_reason() {
    let mut planned = planned(pass());
    planned.plan = std::sync::Arc::default();
    planned.resolved.kept.insert("gone".into(), "it lacks a right".into());
    planned.resolved.kept.insert("old_group".into(), "it lacks a right".into());
    let judged = judged(&Report::applied(planned, Vec::new(), 0));
    assert_eq!(judged.users["gone"], UserState::Removing("it lacks a right".into()));
    assert!(!judged.users.contains_key("old_group"), "group roles have no state of their own");
}
