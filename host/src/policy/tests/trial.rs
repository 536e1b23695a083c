//! Modules on trial, and modules that are asked again: what does not count, and what is not asked.

use super::*;

/// A chain of one module on trial and a planner.
fn on_trial(module: &Fixture) -> Result<Chain, String> {
    let directory = Directory::new();
    directory.write("trial.wasm", module.component());
    directory.write("planner.wasm", planner().component());
    let text =
        "policies:\n  - {name: trial, module: trial.wasm, mode: warn}\n  - {name: planner, module: planner.wasm}\n";
    let document = directory.write("policies.yaml", text);
    Chain::load(&runtime(), Some(&document)).map_err(|error| directory.hide(error))
}

#[test]
fn a_module_on_trial_that_fails_is_a_warning_and_the_others_are_asked() {
    for world in ["validator", "reviewer"] {
        let broken = Fixture { world, validate: "(unreachable)", review: "(unreachable)", ..Fixture::new("trial") };
        let chain = on_trial(&broken).unwrap();
        let findings = if world == "validator" {
            chain.validate(&Context::default(), &Spec::default()).unwrap()
        } else {
            let reviewed = chain.review(&Context::default(), &BTreeMap::new(), &BTreeMap::new(), &[]).unwrap();
            assert_eq!(reviewed.verdict, Verdict::Allow);
            reviewed.findings
        };
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.code.as_str(), finding.severity), ("policy-failed", crate::model::Severity::Warning));
        assert_eq!(finding.policy.as_deref(), Some("trial"));
        assert!(finding.message.contains("trial") && finding.message.contains("unreachable"), "{}", finding.message);
    }
}

#[test]
fn a_module_that_plans_or_transforms_cannot_be_on_trial() {
    for world in ["planner", "transformer"] {
        let error = on_trial(&Fixture { world, ..Fixture::new("trial") }).err().unwrap();
        assert!(error.contains("mode: warn") && error.contains("policies.yaml:2:"), "{error}");
    }
}

#[test]
fn the_same_question_is_not_put_to_a_module_twice() {
    let recorder = Arc::new(Recorder::default());
    let runtime = runtime().with_observer(Arc::clone(&recorder) as Arc<dyn Observer>);
    let fixture = Fixture { world: "full", transform: ECHO, clock_step: 60, ..planner() };
    let chain = load_with(&runtime, &[("all", fixture.component())]).unwrap();
    let calls = || recorder.calls.lock().unwrap().iter().filter(|call| Stage::CHAIN.contains(&call.1)).count();
    let ask = |now: i64, name: &str| {
        let context = Context { now, ..Context::default() };
        let spec = spec([Role::new(name, Mode::Authoritative, Attributes::USER)]);
        chain.validate(&context, &spec).unwrap();
        chain.transform(&context, spec.clone()).unwrap();
        chain.plan(&context, &spec, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        chain.review(&context, &BTreeMap::new(), &BTreeMap::new(), &[]).unwrap();
        calls()
    };
    assert_eq!(ask(0, "alice"), 4);
    // Within the same minute, which is all that the module sees of the time.
    assert_eq!(ask(59, "alice"), 4);
    assert_eq!(ask(60, "alice"), 8);
    // Reviewed without the spec: nothing new.
    assert_eq!(ask(60, "bob"), 11);
}

#[test]
fn only_the_planner_may_allow_scripts() {
    let chain = |validator: &str, planner_entry: &str| {
        let directory = Directory::new();
        directory.write("v.wasm", Fixture::new("validator").component());
        directory.write("p.wasm", planner().component());
        let text = format!(
            "policies:\n  - {{name: v, module: v.wasm{validator}}}\n  - {{name: p, module: p.wasm{planner_entry}}}\n"
        );
        let document = directory.write("policies.yaml", text);
        Chain::load(&runtime(), Some(&document)).map_err(|error| directory.hide(error))
    };
    let allowed = chain("", ", allowScripts: [audit]").unwrap();
    assert!(allowed.allows_script("audit", "sha256:") && !allowed.allows_script("other", "sha256:"));
    assert_eq!(allowed.planner(), "p");
    let error = chain(", allowScripts: [audit]", "").unwrap_err();
    assert!(error.contains("policies.yaml:2:") && error.contains("write it at the planner"), "{error}");
}
