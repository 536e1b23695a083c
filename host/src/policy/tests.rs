//! What a chain does with modules of every kind, from the harmless to the hostile: each test loads
//! fixtures as an operator would, from files that a chain document names.

mod cache;
mod trial;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::fixture::{ECHO, Fixture, component_text};
use super::*;
use crate::model::{Attributes, Credential, Expiry, Membership, Mode, Role, SecretState, Spec};

/// A directory of its own, removed at the end.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("rolewright-policy-{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A chain document, and a file for each module.
    fn chain(&self, modules: &[(&str, Vec<u8>)]) -> PathBuf {
        let mut document = "policies:\n".to_owned();
        for (name, bytes) in modules {
            self.write(&format!("{name}.wasm"), bytes);
            document += &format!("  - {{name: {name}, module: {name}.wasm}}\n");
        }
        self.write("policies.yaml", document)
    }

    /// A message without the directory's name, which differs each time.
    fn hide(&self, message: impl ToString) -> String {
        message.to_string().replace(self.0.to_str().unwrap(), "DIR")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<(String, Stage, u64, &'static str)>>,
    lines: Mutex<Vec<(LogLevel, String)>>,
    refused: Mutex<Vec<(String, Stage)>>,
}

impl Observer for Recorder {
    fn call(&self, called: &Called<'_>) {
        assert!(called.seconds >= 0.0);
        self.calls.lock().unwrap().push((called.module.to_owned(), called.stage, called.fuel, called.outcome));
    }

    fn refused(&self, module: &str, stage: Stage) {
        self.refused.lock().unwrap().push((module.to_owned(), stage));
    }

    fn log(&self, _module: &str, level: LogLevel, message: &str) {
        self.lines.lock().unwrap().push((level, message.to_owned()));
    }
}

fn runtime() -> Runtime {
    Runtime::new(Limits::default(), None).unwrap()
}

fn load_with(runtime: &Runtime, modules: &[(&str, Vec<u8>)]) -> Result<Chain, String> {
    let directory = Directory::new();
    let document = directory.chain(modules);
    Chain::load(runtime, Some(&document)).map_err(|error| directory.hide(error))
}

fn load(modules: &[(&str, Vec<u8>)]) -> Result<Chain, String> {
    load_with(&runtime(), modules)
}

fn planner() -> Fixture {
    Fixture::new("planner")
}

fn plan_with(limits: Limits, fixture: &Fixture) -> Result<Planned, PolicyError> {
    let chain = load_with(&Runtime::new(limits, None).unwrap(), &[("bad", fixture.component())]).unwrap();
    chain.plan(&Context::default(), &Spec::default(), &BTreeMap::new(), &BTreeMap::new())
}

/// What the planner's failure is, with the default limits.
fn failure(plan: &'static str, more: &'static str) -> Failure {
    let error = plan_with(Limits::default(), &Fixture { plan, more, ..planner() }).unwrap_err();
    assert_eq!((error.module.as_str(), &*error.version, error.stage), ("bad", "1.2.3", Stage::Plan));
    assert_eq!(error.sha256.len(), 12);
    error.kind
}

fn spec(roles: impl IntoIterator<Item = Role>) -> Spec {
    Spec { roles: roles.into_iter().map(|role| (role.name.clone(), role)).collect(), ..Spec::default() }
}

// ---- Limits ----------------------------------------------------------------------------------

#[test]
fn a_module_that_loops_runs_out_of_fuel() {
    let limits = Limits { fuel: 50_000_000, ..Limits::default() };
    let error = plan_with(limits, &Fixture { plan: "(loop (br 0)) (unreachable)", ..planner() }).unwrap_err();
    assert_eq!(error.kind, Failure::OutOfFuel { budget: 50_000_000 });
}

#[test]
fn a_module_that_fuel_does_not_stop_is_stopped_at_its_deadline() {
    let deadline = Duration::from_millis(200);
    let limits = Limits { fuel: u64::MAX, deadline, ..Limits::default() };
    let start = Instant::now();
    let error = plan_with(limits, &Fixture { plan: "(loop (br 0)) (unreachable)", ..planner() }).unwrap_err();
    assert_eq!(error.kind, Failure::Timeout { deadline });
    assert!(start.elapsed() >= deadline);
}

#[test]
fn a_module_that_eats_memory_is_stopped_at_its_limit() {
    let hog = "(loop (drop (memory.grow (i32.const 16))) (br 0)) (unreachable)";
    assert_eq!(failure(hog, ""), Failure::OutOfMemory { limit: 64 << 20 });
}

#[test]
fn a_module_that_starts_with_too_much_memory_never_starts() {
    let greedy = Fixture { more: "(memory $more 1100)", ..planner() };
    let error = load(&[("greedy", greedy.component())]).err().unwrap();
    assert!(error.contains("failed in describe: it asked for more than 64 MiB of memory"), "{error}");
}

#[test]
fn a_module_that_traps_is_told_from_one_that_overflows_its_stack() {
    let Failure::Trap { reason, last_words } = failure("(unreachable)", "") else { panic!("not a trap") };
    assert!(reason.contains("panicked"), "{reason}");
    assert_eq!(last_words, None);
    let deep = "(func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (local.get 0))))";
    let Failure::Trap { reason, .. } = failure("(call $deep (local.get $p))", deep) else { panic!("not a trap") };
    assert!(reason.contains("too deep"), "{reason}");
    let Failure::Trap { reason, .. } = failure("(i32.div_u (i32.const 1) (i32.const 0))", "") else {
        panic!("not a trap")
    };
    assert!(reason.contains("divide by zero"), "{reason}");
}

#[test]
fn the_last_words_of_a_module_that_crashes_are_kept() {
    let says = "(call $emit (i32.const 3) (i32.const 4096) (i32.const 9)) (unreachable)";
    let Failure::Trap { last_words, .. } = failure(says, r#"(data (i32.const 4096) "I\n\1b[2Jdie")"#) else {
        panic!("not a trap")
    };
    assert_eq!(last_words.as_deref(), Some("I \\u{1b}[2Jdie"));
}

#[test]
fn a_million_steps_are_too_many() {
    // A list of 1,000 steps is fine, however empty; one more is not.
    let list = |count: u32| format!(r#"(data (i32.const 4096) "{}")"#, super::fixture::words(&[0, 1 << 16, count]));
    let steps = |count| {
        let more = Box::leak(list(count).into_boxed_str());
        let plan = "(drop (memory.grow (i32.const 200))) (call $fill) (i32.const 4096)";
        // Each step is `set-password("")`: the case's number at 0, the rest 0; 208 bytes.
        let fill = format!(
            "(func $fill (local $at i32) (local.set $at (i32.const 65536)) (loop (i32.store8 (local.get $at) (i32.const 3)) \
             (local.set $at (i32.add (local.get $at) (i32.const 208))) \
             (br_if 0 (i32.lt_u (local.get $at) (i32.const {}))))) {more}",
            65_536 + 208 * 1_001
        );
        plan_with(Limits::default(), &Fixture { plan, more: Box::leak(fill.into_boxed_str()), ..planner() })
    };
    assert_eq!(steps(1_000).unwrap().proposals.len(), 1_000);
    assert_eq!(steps(1_001).unwrap_err().kind, Failure::TooMuchOutput { what: "steps", limit: 1_000 });
}

#[test]
fn output_is_limited_in_bytes_before_the_host_copies_it() {
    // `err` of a string as long as memory, which a module can point to without owning it twice.
    let text = "(drop (memory.grow (i32.const 300))) (i32.store8 (i32.const 512) (i32.const 1)) \
                (i32.store (i32.const 520) (i32.const 18000000)) (i32.const 512)";
    assert_eq!(failure(text, ""), Failure::TooMuchOutput { what: "bytes", limit: 16 << 20 });
}

#[test]
fn a_log_line_that_is_too_long_counts_as_output() {
    let says = "(drop (memory.grow (i32.const 300))) \
                (call $emit (i32.const 0) (i32.const 0) (i32.const 18000000)) (unreachable)";
    assert_eq!(failure(says, ""), Failure::TooMuchOutput { what: "bytes", limit: 16 << 20 });
}

#[test]
fn what_cannot_be_read_is_bad_output_and_not_too_much() {
    let not_utf8 = "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store (i32.const 516) (i32.const 4096)) \
                    (i32.store (i32.const 520) (i32.const 1)) (i32.const 512)";
    assert!(matches!(failure(not_utf8, r#"(data (i32.const 4096) "\ff")"#), Failure::BadOutput(_)));
    let out_of_bounds =
        "(i32.store (i32.const 516) (i32.const -8)) (i32.store (i32.const 520) (i32.const 1)) (i32.const 512)";
    assert!(matches!(failure(out_of_bounds, ""), Failure::BadOutput(_)));
    let no_such_case = "(i32.store8 (i32.const 512) (i32.const 7)) (i32.const 512)";
    assert!(matches!(failure(no_such_case, ""), Failure::BadOutput(_)));
}

#[test]
fn a_module_that_refuses_is_quoted() {
    let refuses = "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store (i32.const 516) (i32.const 4096)) \
                   (i32.store (i32.const 520) (i32.const 7)) (i32.const 512)";
    assert_eq!(failure(refuses, r#"(data (i32.const 4096) "no\nway!")"#), Failure::Refused("no way!".to_owned()));
}

#[test]
fn a_failed_call_leaves_nothing_behind_for_the_next() {
    // Crashes if it is the second call of the same instance.
    let once = "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) \
                (if (i32.gt_u (global.get $calls) (i32.const 1)) (then (unreachable))) (i32.const 512)";
    let fixture = Fixture { plan: once, more: "(global $calls (mut i32) (i32.const 0))", ..planner() };
    let chain = load(&[("once", fixture.component())]).unwrap();
    for _ in 0..3 {
        let planned = chain.plan(&Context::default(), &Spec::default(), &BTreeMap::new(), &BTreeMap::new());
        assert_eq!(planned.unwrap(), Planned { proposals: Vec::new(), by: "once".to_owned() });
    }
}

#[test]
fn log_lines_are_counted_and_calls_observed() {
    let recorder = Arc::new(Recorder::default());
    let runtime = runtime().with_observer(recorder.clone());
    let chatty = "(local $n i32) (loop (call $emit (i32.const 1) (i32.const 4096) (i32.const 2000)) \
                  (local.set $n (i32.add (local.get $n) (i32.const 1))) \
                  (br_if 0 (i32.lt_u (local.get $n) (i32.const 500)))) (i32.const 512)";
    let more = r#"(data (i32.const 4096) "hello") (func $x (call $y)) (func $y (call $x))"#;
    let chain = load_with(&runtime, &[("chatty", Fixture { plan: chatty, more, ..planner() }.component())]).unwrap();
    chain.plan(&Context::default(), &Spec::default(), &BTreeMap::new(), &BTreeMap::new()).unwrap();

    let lines = recorder.lines.lock().unwrap();
    assert_eq!(lines.len(), 101);
    assert!(lines[..100].iter().all(|(level, line)| *level == LogLevel::Info && line.starts_with("hello\\u{0}")));
    assert!(lines.iter().all(|(_, line)| line.len() <= 1_024));
    assert_eq!(lines[100].0, LogLevel::Warn);
    assert!(lines[100].1.contains("logs too much"));
    let calls = recorder.calls.lock().unwrap();
    let stages: Vec<_> = calls.iter().map(|(module, stage, _, outcome)| (module.as_str(), *stage, *outcome)).collect();
    assert_eq!(
        stages,
        [("chatty", Stage::Describe, "ok"), ("chatty", Stage::ValidateSettings, "ok"), ("chatty", Stage::Plan, "ok")]
    );
    assert!(calls[2].2 > 500, "fuel is counted");
}

// ---- Chains ----------------------------------------------------------------------------------

#[test]
fn a_chain_is_loaded_whole_and_knows_its_modules() {
    let naming = Fixture { clock_step: 60, ..Fixture::new("transformer") };
    let modules = [("naming", naming.component()), ("planning", Fixture { clock_step: 5, ..planner() }.component())];
    let chain = load(&modules).unwrap();
    let known: Vec<_> = chain.modules().map(|module| (module.name.as_str(), module.stages.clone())).collect();
    assert_eq!(known, [("naming", vec![Stage::Transform]), ("planning", vec![Stage::Plan])]);
    assert_eq!(chain.clock_step(), Some(5));
    assert!(!chain.reviews());
    assert_eq!(chain.digest(), load(&modules).unwrap().digest());
    let mut turned = modules.clone();
    turned.reverse();
    assert_ne!(chain.digest(), load(&turned).unwrap().digest());
}

#[test]
fn settings_are_part_of_the_digest() {
    let directory = Directory::new();
    directory.write("a.wasm", planner().component());
    let digest = |settings: &str| {
        let text = format!("policies:\n  - name: a\n    module: a.wasm\n    settings: {settings}\n");
        Chain::load(&runtime(), Some(&directory.write("p.yaml", text))).unwrap().digest().to_owned()
    };
    assert_eq!(digest("{x: 1, y: 2}"), digest("{y: 2, x: 1}"));
    assert_ne!(digest("{x: 1}"), digest("{x: 2}"));
}

#[test]
fn without_a_document_the_built_in_policy_is_the_chain() {
    let standard: &'static [u8] = planner().component().leak();
    let chain = Chain::load(&runtime().with_builtin("standard", standard), None).unwrap();
    assert_eq!(chain.modules().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["standard"]);
    let error = Chain::load(&runtime(), None).err().unwrap().to_string();
    assert!(error.contains("no policy named `standard` is built in; there is none"), "{error}");
}

#[test]
fn what_keeps_a_chain_from_being_used_is_said_with_its_place_and_a_way_out() {
    let wasi = component_text(
        r#"(component
             (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string)))))))"#,
    );
    let log =
        component_text(r#"(component (import "rolewright:policy/log@0.1.0" (instance (export "erase" (func)))))"#);
    let later =
        component_text(r#"(component (import "rolewright:policy/log@0.2.0" (instance (export "emit" (func)))))"#);
    let wrong = component_text(
        r#"(component
             (core module $m (func (export "f")))
             (core instance $i (instantiate $m))
             (func $f (canon lift (core func $i "f")))
             (instance $describe (export "describe" (func $f)))
             (instance $configure (export "validate-settings" (func $f)))
             (instance $plan (export "plan" (func $f)))
             (export "rolewright:policy/describe@0.1.0" (instance $describe))
             (export "rolewright:policy/configure@0.1.0" (instance $configure))
             (export "rolewright:policy/plan@0.1.0" (instance $plan)))"#,
    );
    let cases = [
        ("a core module", vec![("a", planner().core_module())]),
        ("text", vec![("a", b"(component)".to_vec())]),
        ("an empty file", vec![("a", Vec::new())]),
        ("an ELF file", vec![("a", b"\x7fELF something".to_vec())]),
        ("half a component", vec![("a", planner().component()[..500].to_vec())]),
        ("WASI", vec![("a", wasi)]),
        ("another function of log", vec![("a", log)]),
        ("another version of log", vec![("a", later)]),
        ("an empty component", vec![("a", component_text("(component)"))]),
        ("other types", vec![("a", wrong)]),
        ("a bad version", vec![("a", Fixture { version: "one", ..planner() }.component())]),
        ("a bad name", vec![("a", Fixture { name: "My Policy", ..planner() }.component())]),
        ("settings refused", vec![("a", Fixture { settings_error: "no-such-key", ..planner() }.component())]),
        ("a crash in describe", vec![("a", Fixture { describe: "(unreachable)", ..planner() }.component())]),
        ("no planner", vec![("a", Fixture::new("validator").component())]),
        ("two planners", vec![("a", planner().component()), ("b", Fixture::new("full").component())]),
    ];
    let mut said = String::new();
    for (case, modules) in cases {
        let error = load(&modules).err().unwrap_or_else(|| panic!("{case} is accepted"));
        // Digests change with the tools that build the fixtures.
        let error = error
            .split(", sha256 ")
            .enumerate()
            .map(|(at, part)| if at == 0 { part.to_owned() } else { format!(", sha256 …{}", &part[12..]) });
        said += &format!("{case}:\n    {}\n", error.collect::<String>());
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_component_whose_bytes_are_not_the_pinned_ones_is_refused() {
    let directory = Directory::new();
    let bytes = planner().component();
    directory.write("a.wasm", &bytes);
    let document = |digest: &str| {
        let text = format!("policies:\n  - {{name: a, module: a.wasm, sha256: \"{digest}\"}}\n");
        directory.write("policies.yaml", text)
    };
    let right = super::load::sha256(&bytes);
    assert!(Chain::load(&runtime(), Some(&document(&right))).is_ok());
    let wrong = "0".repeat(64);
    let error = directory.hide(Chain::load(&runtime(), Some(&document(&wrong))).err().unwrap());
    assert_eq!(
        error,
        format!(
            "DIR/policies.yaml:2:12: policy `a` (a.wasm): its sha256 is {right}, not {wrong} as the chain document \
             says; if the new module is meant, put its digest there, else restore the module"
        )
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let directory = Directory::new();
    let document = directory.write("policies.yaml", "policies: [{name: a, module: gone.wasm}]");
    let error = directory.hide(Chain::load(&runtime(), Some(&document)).err().unwrap());
    assert!(error.contains("policy `a` (gone.wasm): DIR/gone.wasm can't be read: No such file"), "{error}");
    let error = directory.hide(Chain::load(&runtime(), Some(&directory.0.join("none.yaml"))).err().unwrap());
    assert!(error.starts_with("the policy chain DIR/none.yaml can't be read: No such file"), "{error}");
}

// ---- Stages ----------------------------------------------------------------------------------

fn alice() -> Role {
    let mut alice = Role::new("alice", Mode::Authoritative, Attributes::USER);
    alice.path = "/users/0".to_owned();
    alice.valid_until = Some(Expiry::At(1_800_000_000));
    alice.comment = Some("Alice".to_owned());
    alice.memberships =
        vec![Membership::plain("analyst"), Membership { until: Some(7), ..Membership::plain("read_only") }];
    alice.labels = BTreeMap::from([("team".to_owned(), "data".to_owned())]);
    alice.has_password = Some(true);
    alice.credential = Some(Credential {
        secret: "user-alice-secret".to_owned(),
        key: "password".to_owned(),
        state: SecretState::Present,
        version: "41".to_owned(),
        changed_at: Some(1_795_000_000),
        labels: BTreeMap::from([("rotated-by".to_owned(), "vault".to_owned())]),
        strength: Some(3),
        in_sync: Some(false),
    });
    alice
}

#[test]
fn a_spec_survives_the_way_there_and_back() {
    let before = every_kind_of_thing();
    let chain = load(&[("echo", Fixture::new("transformer").component()), ("plan", planner().component())]).unwrap();
    let after = chain.transform(&Context::default(), before.clone()).unwrap();
    assert_eq!(after, Transformed { spec: before, findings: Vec::new(), touches: Vec::new() });
}

#[test]
fn ten_thousand_users_fit_into_the_limits_of_every_stage() {
    let user = |number: u32| {
        let mut user = alice();
        user.name = format!("user_{number:05}");
        user
    };
    let many = spec((0..10_000).map(user));
    let chain = load(&[("all", Fixture::new("full").component())]).unwrap();
    let context = Context::default();
    assert!(chain.plan(&context, &many, &many.roles, &many.databases).is_ok());
    assert!(chain.validate(&context, &many).is_ok());
    let after = chain.transform(&context, many.clone()).unwrap();
    assert_eq!(after.spec, many);
}

#[test]
fn a_transform_that_touches_what_is_the_hosts_is_stopped() {
    // The standing of the first role: 9 bytes into the list of roles, whose address is first in the spec.
    let body = "(i32.store8 offset=9 (i32.load offset=56 (local.get $p)) (i32.const 2)) ";
    let transform = Box::leak(format!("{body}{ECHO}").into_boxed_str());
    let fixture = Fixture { transform, ..Fixture::new("transformer") };
    let chain = load(&[("usurper", fixture.component()), ("plan", planner().component())]).unwrap();
    let error = chain.transform(&Context::default(), spec([alice()])).unwrap_err();
    assert_eq!(error.stage, Stage::Transform);
    assert!(matches!(&error.kind, Failure::BadOutput(what) if what.contains("standing of `alice`")), "{error}");
}

#[test]
fn what_a_transform_changes_is_attributed_to_it() {
    // The mode of the first role becomes `additive`.
    let body = "(i32.store8 offset=8 (i32.load offset=56 (local.get $p)) (i32.const 1)) ";
    let transform = Box::leak(format!("{body}{ECHO}").into_boxed_str());
    let gentle = Fixture { transform, ..Fixture::new("transformer") };
    let echo = Fixture::new("transformer");
    let modules = [("echo", echo.component()), ("gentle", gentle.component()), ("plan", planner().component())];
    let result = load(&modules).unwrap().transform(&Context::default(), spec([alice()])).unwrap();
    assert_eq!(result.spec.roles["alice"].mode, Mode::Additive);
    let touches: Vec<_> = result.touches.iter().map(|touch| (touch.role.as_str(), touch.policy.as_str())).collect();
    assert_eq!(touches, [("alice", "gentle")]);
}

#[test]
fn a_module_sees_the_time_only_as_exactly_as_it_asked() {
    // Refuses with as many characters as the seconds that it sees; 99 if it sees none.
    let tell = "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store (i32.const 516) (i32.const 4096)) (i32.store (i32.const 520) \
                (select (i32.load offset=8 (local.get $p)) (i32.const 99) (i32.load8_u (local.get $p)))) (i32.const 512)";
    let letters: &'static str = Box::leak(format!(r#"(data (i32.const 4096) "{}")"#, "x".repeat(99)).into_boxed_str());
    let seen = |clock_step| {
        let fixture = Fixture { clock_step, plan: tell, more: letters, ..planner() };
        let context = Context { now: 59, ..Context::default() };
        let chain = load(&[("clock", fixture.component())]).unwrap();
        let planned = chain.plan(&context, &Spec::default(), &BTreeMap::new(), &BTreeMap::new());
        match planned.unwrap_err().kind {
            Failure::Refused(text) => text.len(),
            other => panic!("{other}"),
        }
    };
    assert_eq!((seen(0), seen(1), seen(25)), (99, 59, 50));
}

#[test]
fn of_several_reviewers_the_strictest_counts() {
    // `ok` of an outcome whose first byte is the verdict.
    let reviewer = |name: &'static str, verdict: &'static str| {
        let review = match verdict {
            "allow" => "(i32.const 512)",
            "hold" => "(i32.store8 (i32.const 516) (i32.const 1)) (i32.const 512)",
            _ => "(i32.store8 (i32.const 516) (i32.const 2)) (i32.const 512)",
        };
        (name, Fixture { review, ..Fixture::new("reviewer") }.component())
    };
    let ask = |reviewers: &[(&'static str, Vec<u8>)]| {
        let mut modules = reviewers.to_vec();
        modules.push(("plan", planner().component()));
        let chain = load(&modules).unwrap();
        let reviewed = chain.review(&Context::default(), &BTreeMap::new(), &BTreeMap::new(), &[]).unwrap();
        (reviewed.verdict, reviewed.by)
    };
    assert_eq!(ask(&[]), (Verdict::Allow, Vec::new()));
    assert_eq!(ask(&[reviewer("a", "allow")]), (Verdict::Allow, Vec::new()));
    let (a, b, c) = (reviewer("a", "hold"), reviewer("b", "allow"), reviewer("c", "hold"));
    assert_eq!(ask(&[a.clone(), b, c]), (Verdict::Hold, vec!["a".to_owned(), "c".to_owned()]));
    assert_eq!(ask(&[a, reviewer("d", "deny")]), (Verdict::Deny, vec!["d".to_owned()]));
}

// ---- Inspection ------------------------------------------------------------------------------

#[test]
fn inspection_tells_all_about_a_module() {
    let directory = Directory::new();
    let bytes = Fixture { clock_step: 60, ..Fixture::new("full") }.component();
    let inspection = inspect(&runtime(), &directory.write("full.wasm", &bytes)).unwrap();
    assert_eq!(inspection.size, bytes.len() as u64);
    assert_eq!(inspection.sha256, super::load::sha256(&bytes));
    assert_eq!(inspection.imports, ["rolewright:policy/log@0.1.0"]);
    assert_eq!(inspection.wit_version.as_deref(), Some("0.1.0"));
    assert_eq!(inspection.stages, Stage::CHAIN);
    assert!(inspection.problem.is_none());
    let description = inspection.description.unwrap();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("fixture", "1.2.3"));
    assert_eq!(description.clock_step, Some(60));
}

#[test]
fn inspection_goes_as_far_as_the_module_lets_it() {
    let directory = Directory::new();
    let looping = Fixture { describe: "(loop (br 0))", ..planner() }.component();
    let inspection = inspect(&runtime(), &directory.write("looping.wasm", looping)).unwrap();
    assert_eq!(inspection.stages, [Stage::Plan]);
    assert!(inspection.description.is_none());
    let Some(LoadError::Call(error)) = inspection.problem else { panic!("{:?}", inspection.problem) };
    assert_eq!(error.kind, Failure::OutOfFuel { budget: 200_000_000 });

    let inspection = inspect(&runtime(), &directory.write("core.wasm", planner().core_module())).unwrap();
    assert!(matches!(inspection.problem, Some(LoadError::NotAComponent(NotAComponent::CoreModule))));
    assert!(inspect(&runtime(), &directory.0.join("none.wasm")).is_err());
}

/// A spec that uses every case of every type.
fn every_kind_of_thing() -> Spec {
    use crate::model::*;
    let name = |text: &str| text.to_owned();
    let mut other = Role::new("other \"; DROP ROLE postgres; --", Mode::Observe, Attributes::all());
    other.connection_limit = Some(Limit::AtMost(3));
    other.valid_until = Some(Expiry::Never);
    other.has_password = Some(false);
    other.settings = vec![
        Setting { database: None, name: name("search_path"), value: name("a, \"b\"") },
        Setting { database: Some(name("app")), name: name("work_mem"), value: name("4MB") },
    ];
    let (schema, some, owner) = (name("s"), Some(name("s")), name("o"));
    let mut objects = vec![
        Object::Database(name("app")),
        Object::Parameter(name("p")),
        Object::Tablespace(name("t")),
        Object::Schema(name("s")),
        Object::Table { schema: schema.clone(), name: name("t") },
        Object::Column { schema: schema.clone(), table: name("t"), column: name("c") },
        Object::Sequence { schema: schema.clone(), name: name("q") },
        Object::Routine { schema: schema.clone(), name: name("r"), arguments: name("integer, text") },
        Object::Type { schema, name: name("y") },
        Object::Language(name("plpgsql")),
        Object::ForeignDataWrapper(name("w")),
        Object::ForeignServer(name("f")),
        Object::LargeObject(4_000_000_000),
        Object::AllTables(name("s")),
        Object::AllSequences(name("s")),
        Object::AllRoutines(name("s")),
        Object::AllTypes(name("s")),
        Object::FutureTables { owner: owner.clone(), schema: some.clone() },
        Object::FutureSequences { owner: owner.clone(), schema: None },
        Object::FutureRoutines { owner: owner.clone(), schema: some.clone() },
        Object::FutureTypes { owner: owner.clone(), schema: None },
        Object::FutureSchemas { owner, schema: None },
    ];
    objects.sort();
    let grant =
        |on| Grant { database: Some(name("app")), on, privileges: Privileges::all(), grantable: Privileges::USAGE };
    other.grants = objects.into_iter().map(grant).collect();
    let mut monitor = Role::new("pg_monitor", Mode::Present, Attributes::empty());
    monitor.standing = Standing::Protected;
    let mut foreign = Role::new("größe", Mode::Additive, Attributes::GROUP);
    foreign.standing = Standing::Foreign;
    let database = |name: &str, limit, schemas: &[&str]| Database {
        name: name.to_owned(),
        owner: Some("alice".to_owned()),
        connection_limit: limit,
        comment: None,
        schemas: schemas
            .iter()
            .map(|schema| Schema { name: (*schema).to_owned(), owner: None, path: format!("/databases/{schema}") })
            .collect(),
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
        path: "/databases/0".to_owned(),
    };
    let mut spec = spec([alice(), other, monitor, foreign]);
    spec.databases.insert(name("app"), database("app", Some(Limit::Unlimited), &["a", "b"]));
    spec.databases.insert(name("web"), database("web", None, &["c"]));
    spec.scripts = vec![name("one"), name("two")];
    spec
}
