//! What may run, what is left of what a planner says, and that all of it has an end: a second plan runs nothing.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::laws::{self, World, bounds, settled};
use super::*;
use crate::guard::{self, GuardedPlan, Judgement};
use crate::model::Attributes;
use crate::model::{Grant, Object, Privileges, Role};
use crate::plan::{Cause, Change, Risk};
use crate::policy::{Document, Limits, Runtime};
use crate::resolve;

static STANDARD: &[u8] = include_bytes!(env!("ROLEWRIGHT_STANDARD_POLICY"));

/// A chain whose planner allows these.
fn chain(allowed: &[String]) -> Result<Chain, String> {
    let entries = serde_json::json!([{ "name": "ours", "module": "builtin:standard", "allowScripts": allowed }]);
    chain_of(&entries, &[STANDARD])
}

fn chain_of(entries: &serde_json::Value, modules: &[&'static [u8]]) -> Result<Chain, String> {
    let text = serde_json::json!({ "policies": entries }).to_string();
    let runtime = Runtime::new(Limits::default(), None).unwrap();
    let document = Document::parse(Path::new("p.yaml"), &text, Some(Path::new(""))).map_err(|it| it.to_string())?;
    let modules = modules.iter().map(|module| (*module).into()).collect();
    Chain::assemble(&runtime, &document, modules).map_err(|error| error.to_string())
}

fn script(name: &str, run: Run, order: usize) -> Script {
    Script {
        name: name.into(),
        database: "shop".into(),
        run,
        file: None,
        text: format!("SELECT '{name}'"),
        order,
        path: format!("/scripts/{order}"),
    }
}

fn scripts(all: impl IntoIterator<Item = Script>) -> Scripts {
    all.into_iter().map(|script| (script.name.clone(), script)).collect()
}

fn ran(scripts: &Scripts, names: &[&str]) -> Records {
    names.iter().map(|name| ((*name).to_owned(), Ran::default().with(&scripts[*name].digest()))).collect()
}

fn step(change: Change) -> Step {
    let (path, by) = (String::new(), "ours".to_owned());
    Step { change, risk: Risk::Safe, reason: String::new(), path, cause: Cause::Spec, by }
}

fn run(name: &str) -> Step {
    step(Change::RunScript(name.into()))
}

fn create(name: &str) -> Step {
    step(Change::CreateRole(Role::new(name, Mode::Present, Attributes::GROUP)))
}

fn names(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.change.script().or(step.change.role()).unwrap_or_default()).collect()
}

#[test]
fn only_what_the_chain_allows_and_has_not_run_is_offered() {
    let all = scripts([
        script("any_text", Run::Once, 0),
        script("pinned", Run::Once, 1),
        script("other_text", Run::Once, 2),
        script("unknown", Run::Once, 3),
        script("done", Run::Once, 4),
        script("done_again", Run::OnChange, 5),
        script("unknown_done", Run::Once, 6),
    ]);
    let pinned = format!("pinned@{}", all["pinned"].digest());
    let stale = format!("other_text@{}", all["any_text"].digest());
    let allowed = ["any_text".to_owned(), pinned, stale, "done".into(), "done_again".into()];
    let chain = chain(&allowed).unwrap();
    let records = ran(&all, &["done", "done_again", "unknown_done"]);
    let mut spec = Spec::default();
    let findings = offer(&mut spec, &all, &records, &chain);
    assert_eq!(spec.scripts, ["any_text", "done_again", "pinned"]);
    let told: Vec<_> = findings.iter().map(|it| (it.code.as_str(), it.severity, it.path.as_str())).collect();
    let warning = |path| ("script-not-allowed", Severity::Warning, path);
    assert_eq!(told, [warning("/scripts/2"), warning("/scripts/3")]);
    let help = findings[0].help.clone().unwrap();
    assert!(help.contains(&format!("allowScripts: [\"other_text@{}\"]", all["other_text"].digest())), "{help}");
    assert!(help.contains("policy `ours`"), "{help}");

    let mut observed = Spec { mode: Mode::Observe, ..Spec::default() };
    let findings = offer(&mut observed, &all, &records, &chain);
    assert!(observed.scripts.is_empty());
    assert!(findings.iter().all(|it| it.code == "script-observed" && it.severity == Severity::Info), "{findings:?}");
}

#[test]
fn the_built_in_chain_allows_nothing_and_another_chain_is_another_digest() {
    let runtime = Runtime::new(Limits::default(), None).unwrap().with_builtin("standard", STANDARD);
    let built_in = Chain::load(&runtime, None).unwrap();
    let all = scripts([script("audit", Run::Once, 0)]);
    assert!(!built_in.allows_script("audit", &all["audit"].digest()));
    let digests = [vec![], vec!["audit".to_owned()], vec![format!("audit@{}", all["audit"].digest())]]
        .map(|allowed| chain(&allowed).unwrap().digest().to_owned());
    assert_eq!(BTreeSet::from(digests.clone()).len(), 3, "{digests:?}");
}

#[test]
fn scripts_come_last_in_the_order_of_the_file() {
    let all = scripts([script("b", Run::Once, 0), script("a", Run::Once, 1), script("c", Run::OnChange, 2)]);
    let mut steps = vec![run("a"), run("c"), create("x"), run("b"), run("nobody"), create("y")];
    settle(&mut steps, &all, &Records::new());
    assert_eq!(names(&steps), ["x", "y", "nobody", "b", "a", "c"]);
    assert_eq!(steps[3].path, "/scripts/0");
}

#[test]
fn what_follows_a_change_runs_only_after_one() {
    let all = scripts([script("views", Run::OnChange, 0), script("once", Run::Once, 1)]);
    let records = ran(&all, &["views"]);
    let settled = |mut steps: Vec<Step>, records: &Records| {
        settle(&mut steps, &all, records);
        names(&steps).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(settled(vec![run("views")], &records).is_empty());
    assert_eq!(settled(vec![run("views")], &Records::new()), ["views"], "it has never run");
    assert_eq!(settled(vec![run("views"), create("x")], &records), ["x", "views"]);
    assert_eq!(settled(vec![run("views"), run("once")], &records), ["views", "once"]);
    assert!(settled(Vec::new(), &records).is_empty());
}

#[test]
fn what_has_run_once_is_never_due_again_whatever_ran_since() {
    let text = |run, text: &str| Script { text: text.into(), ..script("a", run, 0) };
    for (run, again) in [(Run::Once, false), (Run::OnChange, true)] {
        let (one, two) = (text(run, "SELECT 1"), text(run, "SELECT 2"));
        let ran = Ran::default().with(&one.digest()).with(&two.digest());
        let records = Records::from([("a".to_owned(), ran)]);
        assert!(!is_due(&two, &records));
        assert_eq!(is_due(&one, &records), again, "{run:?}");
    }
    // Who may write users.yaml and no chain cannot make one out of the other.
    let pinned = format!("a@{}", text(Run::Once, "SELECT 1").digest());
    let chain = chain(&[pinned]).unwrap();
    assert!(chain.allows_script("a", &text(Run::Once, "SELECT 1").digest()));
    assert!(!chain.allows_script("a", &text(Run::OnChange, "SELECT 1").digest()));
}

#[test]
fn what_was_done_before_a_failure_is_a_change() {
    let inside = |database: &str| Grant {
        database: Some(database.into()),
        on: Object::Schema("s".into()),
        privileges: Privileges::USAGE,
        grantable: Privileges::empty(),
    };
    let grant =
        |role: &str, database| step(Change::GrantPrivilege { role: Some(role.into()), grant: inside(database) });
    let revoke =
        |role: &str, database| step(Change::RevokePrivilege { role: Some(role.into()), grant: inside(database) });
    let steps = vec![
        create("x"),
        grant("x", "b"),
        grant("x", "c"),
        revoke("x", "a"),
        revoke("x", "b"),
        create("y"),
        run("views"),
    ];
    let plan = GuardedPlan::unjudged(Arc::new(Plan { steps, ..Plan::default() }));
    let error = || crate::postgres::explain::ServerError::without_database("x", "b");
    let undone = |steps: &[usize]| {
        let failed = Failed { role: "x".into(), steps: steps.to_vec(), error: error() };
        left_undone(&plan, &[failed]).into_iter().collect::<Vec<_>>()
    };
    assert!(left_undone(&plan, &[]).is_empty());
    assert_eq!(undone(&[2]), [2], "it was created, and given something in another database");
    assert_eq!(undone(&[1]), [1, 2]);
    assert_eq!(undone(&[0]), [0, 1, 2], "what was taken away before is gone");
    assert_eq!(undone(&[3]), [1, 2, 3, 4], "on the server it goes on");
    assert_eq!(undone(&[]), [0, 1, 2, 3, 4]);
}

#[derive(Debug, Clone)]
struct Declared {
    scripts: Scripts,
    allowed: BTreeSet<String>,
    records: Records,
}

fn declared() -> impl Strategy<Value = Declared> {
    let one = (any::<bool>(), any::<bool>(), 0..3_u8);
    prop::collection::vec(one, 0..4).prop_map(|all| {
        let mut declared = Declared { scripts: Scripts::new(), allowed: BTreeSet::new(), records: Records::new() };
        for (order, (again, allowed, record)) in all.into_iter().enumerate() {
            // Names in another order than the file's.
            let name = format!("s{}", 9 - order);
            let script = script(&name, if again { Run::OnChange } else { Run::Once }, order);
            match record {
                0 => None,
                1 => declared.records.insert(name.clone(), Ran::default().with("sha256:of another text")),
                _ => declared.records.insert(name.clone(), Ran::default().with(&script.digest())),
            };
            if allowed {
                declared.allowed.insert(name.clone());
            }
            declared.scripts.insert(name, script);
        }
        declared
    })
}

/// The plan of one cycle, in a world with scripts.
fn cycle(world: &World, declared: &Declared) -> (resolve::Resolved, Plan) {
    let World { spec, catalog, records, in_sync } = world;
    let may_run = |script: &&Script| {
        declared.allowed.contains(&script.name) && (script.run == Run::OnChange || is_due(script, &declared.records))
    };
    let scripts = declared.scripts.values().filter(may_run).map(|script| script.name.clone()).collect();
    let spec = Spec { scripts, ..spec.clone() };
    let resolved = resolve::resolve(&spec, catalog, records, in_sync);
    let mut plan = laws::plan(&resolved, catalog);
    settle(&mut plan.steps, &declared.scripts, &declared.records);
    (resolved, plan)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// By the shipped planner, under the guard: nothing runs that is not allowed, what is due runs once, what follows
    /// changes runs if there are any; and the next plan is empty.
    #[test]
    fn every_script_runs_when_it_is_due_and_then_there_is_nothing_to_do(world in laws::world(), declared in declared()) {
        let (resolved, plan) = cycle(&world, &declared);
        let others = plan.steps.iter().take_while(|step| step.change.script().is_none()).count();
        let run: Vec<&Script> = plan.scripts().map(|name| &declared.scripts[name]).collect();
        prop_assert_eq!(others + run.len(), plan.steps.len(), "scripts come last");
        let due = |script: &&Script| {
            declared.allowed.contains(&script.name) && is_due(script, &declared.records)
        };
        let has_changes = others > 0 || declared.scripts.values().any(|script| due(&script));
        let mut expected: Vec<&Script> = declared.scripts.values().filter(|script| {
            due(script) || (has_changes && script.run == Run::OnChange && declared.allowed.contains(&script.name))
        }).collect();
        expected.sort_by_key(|script| script.order);
        prop_assert_eq!(&run, &expected);
        let judged = guard::judge(plan.clone().into(), "standard", &resolved, &world.catalog, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");

        // A transaction for each, and none of them in another's.
        let guarded = GuardedPlan::unjudged(Arc::new(plan.clone()));
        prop_assert_eq!(guarded.scripts().steps().len(), run.len());
        let parts = guarded.parts(&world.catalog, 3);
        prop_assert!(parts.iter().flat_map(|part| part.steps()).all(|step| step.change.script().is_none()));

        let mut after = declared.clone();
        after.records.extend(run.iter().map(|script| (script.name.clone(), Ran::default().with(&script.digest()))));
        let (catalog, records, in_sync) = settled(&world.catalog, &world.records, &plan);
        let (_, again) = cycle(&World { spec: world.spec.clone(), catalog, records, in_sync }, &after);
        prop_assert!(again.steps.is_empty(), "{:#?}", again.steps);

        // Another text is due again, and that is all.
        if let Some(script) = after.scripts.values_mut().next() {
            script.text.push_str("; SELECT 2");
            let changed = script.name.clone();
            let is_allowed = after.allowed.contains(&changed);
            let (catalog, records, in_sync) = settled(&world.catalog, &world.records, &plan);
            let (_, again) = cycle(&World { spec: world.spec.clone(), catalog, records, in_sync }, &after);
            prop_assert_eq!(again.scripts().any(|name| name == changed), is_allowed);
            prop_assert!(again.steps.iter().all(|step| step.change.script().is_some()));
        }
    }
}
