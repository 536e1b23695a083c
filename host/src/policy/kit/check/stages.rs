//! What a module answers: never with a crash, always the same, and within its budget; and what the
//! law of each stage asks of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::super::engine::Runtime;
use super::super::super::error::{ChainError, Failure};
use super::super::answers::{refusal, standard_plan};
use super::super::case::{Case, CaseError};
use super::super::inputs;
use super::super::subject::{Called, Cost, Subject};
use super::{CheckError, Given, Outcome, Suite, failed, passed};
use crate::model::{Finding, Role, Spec};
use crate::plan::{self, Cause, Proposal, Step};
use crate::policy::{Chain, PolicyError, Reviewed, Stage, Transformed};

/// Makes a case that an author may not have thought of.
type Input = fn() -> Result<Case, CaseError>;

/// How often a module is asked the same.
const TIMES: usize = 10;
/// How many random worlds are planned.
const WORLDS: u64 = 40;
/// How many of the same complaints are told.
const TOLD: usize = 3;
/// What a chain must cope with.
const HUGE: usize = 10_000;

pub(super) fn stages(
    runtime: &Runtime,
    standard: &Chain,
    file: &Path,
    given: &Given,
    suite: &mut Suite,
) -> Result<(), CheckError> {
    let what = "it accepts the settings that it is given here";
    let subject = match Subject::load(runtime, file, &given.settings, given.wasi) {
        Ok(subject) => subject,
        Err(error) => {
            let help = match error {
                ChainError::Settings { .. } => "give it settings that it accepts: --settings FILE",
                _ => "see what fails above",
            };
            suite.add("settings", what, failed(error.to_string(), help));
            return Ok(());
        }
    };
    suite.add("settings", what, passed(""));
    let probe = Probe { subject, standard };
    let inputs: [(&str, &str, Input); 6] = [
        ("empty-input", "nothing declared and an empty server are no reason to fail", inputs::empty),
        ("hostile-names", "it copes with every name that PostgreSQL takes", inputs::hostile_names),
        ("every-attribute", "it copes with every set of attributes", inputs::attributes),
        ("every-object", "it copes with privileges on every kind of object", inputs::objects),
        ("every-value", "it copes with every value at its ends", inputs::values),
        ("odd-pointers", "it copes with odd pointers, and memberships in a circle", inputs::pointers),
    ];
    for (id, what, input) in inputs {
        suite.add(id, what, probe.copes(&input()?)?);
    }
    suite.add("every-change", "it copes with a plan of every change there is", probe.every_change()?);
    suite.add("within-budget", "10,000 users are within its budget", probe.within_budget()?);
    suite.add("deterministic", "asked ten times the same, it answers the same at the same cost", probe.steady()?);
    suite.add("file-order", "it does not matter in which order users.yaml lists its users", probe.file_order()?);
    suite.add("finding-paths", "its findings point to where they are about", probe.finding_paths()?);
    suite.add("idempotent", "transformed again, its result stays as it is", probe.idempotent()?);
    suite.add("nothing-to-do", "where nothing differs, its plan is empty", probe.nothing_to_do()?);
    suite.add("replay", "replayed over the server, its plan gives what is desired", probe.replay()?);
    Ok(())
}

struct Probe<'a> {
    subject: Subject,
    standard: &'a Chain,
}

/// What a module answers to one input, stage by stage.
#[derive(Debug, Default)]
struct Heard {
    validate: Option<Called<Vec<Finding>>>,
    transform: Option<Called<Transformed>>,
    plan: Option<Called<Vec<Proposal>>>,
    review: Option<Called<Reviewed>>,
}

impl Heard {
    fn each(&self) -> Vec<(Stage, Option<&PolicyError>, Cost)> {
        let mut all = Vec::new();
        macro_rules! add {
            ($stage:expr, $called:expr) => {
                all.extend($called.as_ref().map(|called| ($stage, called.answer.as_ref().err(), called.cost)));
            };
        }
        add!(Stage::Validate, self.validate);
        add!(Stage::Transform, self.transform);
        add!(Stage::Plan, self.plan);
        add!(Stage::Review, self.review);
        all
    }

    fn failures(&self) -> Vec<(Stage, &Failure)> {
        self.each().into_iter().filter_map(|(stage, error, _)| Some((stage, &error?.kind))).collect()
    }

    /// Whether two answers are the same, fuel included.
    fn differs(&self, other: &Heard) -> Option<Stage> {
        macro_rules! differ {
            ($stage:expr, $field:ident) => {
                if let (Some(a), Some(b)) = (&self.$field, &other.$field)
                    && (a.answer != b.answer || a.cost.fuel != b.cost.fuel)
                {
                    return Some($stage);
                }
            };
        }
        differ!(Stage::Validate, validate);
        differ!(Stage::Transform, transform);
        differ!(Stage::Plan, plan);
        differ!(Stage::Review, review);
        None
    }
}

impl Probe<'_> {
    /// Every stage, with these steps for a reviewer.
    fn ask(&self, case: &Case, desired: &Spec, steps: &[Step]) -> Heard {
        let (subject, context, catalog) = (&self.subject, &case.context, &case.catalog);
        Heard {
            validate: subject.has(Stage::Validate).then(|| subject.validate(context, &case.spec)),
            transform: subject.has(Stage::Transform).then(|| subject.transform_once(context, &case.spec)),
            plan: subject.has(Stage::Plan).then(|| subject.plan(context, desired, &catalog.roles, &catalog.databases)),
            review: subject
                .has(Stage::Review)
                .then(|| subject.review(context, &catalog.roles, &catalog.databases, steps)),
        }
    }

    /// The same with what the host makes of the case.
    fn ask_as_in_a_cycle(&self, case: &Case) -> Result<Heard, CheckError> {
        let desired = case.resolve(&case.spec).lend();
        let steps = if self.subject.has(Stage::Review) {
            standard_plan(self.standard, case, &desired).map_err(CheckError::Standard)?
        } else {
            Vec::new()
        };
        Ok(self.ask(case, &desired, &steps))
    }

    fn copes(&self, case: &Case) -> Result<Outcome, CheckError> {
        // What the host would refuse before a planner sees it is planned all the same: a later version
        // may carry it out.
        let heard = self.ask(case, &inputs::completed(&case.spec), &inputs::steps());
        Ok(match heard.failures().as_slice() {
            [] => passed(""),
            failures => failed(
                told(failures.iter().map(|(stage, failure)| format!("{stage}: {failure}"))),
                "find out with `rolewright policy run`; whatever the contract allows is answered, with a finding if need be",
            ),
        })
    }

    fn every_change(&self) -> Result<Outcome, CheckError> {
        if !self.subject.has(Stage::Review) {
            return Ok(not_exported(Stage::Review));
        }
        let case = inputs::many(3)?;
        let catalog = &case.catalog;
        let mut wrong = Vec::new();
        for step in inputs::steps() {
            let action = step.change.action();
            let called = self.subject.review(&case.context, &catalog.roles, &catalog.databases, &[step]);
            wrong.extend(called.answer.err().map(|error| format!("{action}: {}", error.kind)));
        }
        Ok(if wrong.is_empty() {
            passed("")
        } else {
            failed(told(wrong.into_iter()), "a reviewer has an answer to every case of `change`, if only `allow`")
        })
    }

    fn within_budget(&self) -> Result<Outcome, CheckError> {
        let case = inputs::many(HUGE)?;
        let heard = self.ask_as_in_a_cycle(&case)?;
        Ok(match heard.failures().as_slice() {
            [] => {
                let words = heard.each().into_iter().map(|(stage, _, cost)| {
                    format!("{stage} {:.0} M fuel, {} MiB", cost.fuel as f64 / 1e6, cost.memory >> 20)
                });
                passed(words.collect::<Vec<_>>().join("; "))
            }
            failures => failed(
                told(failures.iter().map(|(stage, failure)| format!("{stage}: {failure}"))),
                "see how it grows with `rolewright policy bench`; look for a search inside of a loop",
            ),
        })
    }

    fn steady(&self) -> Result<Outcome, CheckError> {
        for case in [inputs::many(20)?, inputs::world(1)?] {
            let first = self.ask_as_in_a_cycle(&case)?;
            for time in 2..=TIMES {
                if let Some(stage) = first.differs(&self.ask_as_in_a_cycle(&case)?) {
                    return Ok(failed(
                        format!("{stage}, {}: answer {time} is not the first", case.name),
                        "a policy knows its input and nothing else: no clock, no random numbers, no order of a hash table",
                    ));
                }
            }
        }
        Ok(passed(""))
    }

    fn file_order(&self) -> Result<Outcome, CheckError> {
        let (one, other) = inputs::two_orders()?;
        let (a, b) = (self.ask_as_in_a_cycle(&one)?, self.ask_as_in_a_cycle(&other)?);
        let (a, b) = (blind(a, &one.spec), blind(b, &other.spec));
        let differ = a.iter().find(|(stage, answer)| b.get(*stage) != Some(answer));
        Ok(match differ {
            None => passed(""),
            Some((stage, answer)) => {
                let other = b.get(stage).cloned().unwrap_or_default();
                let one = answer.iter().find(|line| !other.contains(line));
                let line = one.or_else(|| other.iter().find(|line| !answer.contains(line)));
                failed(
                    format!("{stage}: only in one of two orders: {}", line.map(String::as_str).unwrap_or_default()),
                    "roles come sorted by name; take nothing from the numbers in `path`, which are places in a file",
                )
            }
        })
    }

    fn finding_paths(&self) -> Result<Outcome, CheckError> {
        let mut wrong = Vec::new();
        let mut seen = 0;
        for case in [inputs::many(30)?, inputs::hostile_names()?, inputs::values()?] {
            let heard = self.ask(&case, &inputs::completed(&case.spec), &inputs::steps());
            let mut findings = Vec::new();
            findings.extend(heard.validate.and_then(|called| called.answer.ok()).into_iter().flatten());
            findings.extend(
                heard.transform.and_then(|called| called.answer.ok()).into_iter().flat_map(|said| said.findings),
            );
            for finding in findings {
                seen += 1;
                let path = finding.path.as_str();
                let roles = case.spec.roles.values().map(|role| role.path.as_str());
                let below = |from: &str| {
                    !from.is_empty()
                        && path.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                if !path.is_empty() && path != "/users" && !roles.into_iter().any(below) {
                    wrong.push(format!("{}: {path:?} leads to nothing that is declared", finding.code));
                }
            }
        }
        Ok(match (wrong.is_empty(), seen) {
            (true, 0) => Outcome::Skipped("it had nothing to find".to_owned()),
            (true, _) => passed(format!("{seen} findings")),
            (false, _) => failed(
                told(wrong.into_iter()),
                "begin with the `path` of the role that it is about, and add to it if need be; an empty path is the whole file",
            ),
        })
    }

    fn idempotent(&self) -> Result<Outcome, CheckError> {
        if !self.subject.has(Stage::Transform) {
            return Ok(not_exported(Stage::Transform));
        }
        let mut wrong = Vec::new();
        let mut changed = 0;
        for case in
            [inputs::many(50)?, inputs::hostile_names()?, inputs::attributes()?, inputs::values()?, inputs::world(2)?]
        {
            let first = self.subject.transform_once(&case.context, &case.spec).answer;
            let again = match &first {
                Ok(first) => {
                    changed += usize::from(first.spec != case.spec);
                    self.subject.transform_once(&case.context, &first.spec).answer.map(|again| again.spec == first.spec)
                }
                Err(error) => Err(error.clone()),
            };
            match again {
                Ok(true) => {}
                Ok(false) => wrong.push(format!("{}: its own result is changed again", case.name)),
                Err(error) => wrong.push(format!("{}: {}", case.name, error.kind)),
            }
        }
        Ok(match (wrong.is_empty(), changed) {
            (true, 0) => passed("it changed none of the inputs"),
            (true, _) => passed(""),
            (false, _) => failed(
                told(wrong.into_iter()),
                "look first whether what is to be added is there already; what moves on for ever would change PostgreSQL in \
                 every cycle",
            ),
        })
    }

    fn nothing_to_do(&self) -> Result<Outcome, CheckError> {
        if !self.subject.has(Stage::Plan) {
            return Ok(not_exported(Stage::Plan));
        }
        let mut wrong = Vec::new();
        for case in [inputs::many(50)?, inputs::hostile_names()?, inputs::attributes()?, inputs::world(3)?] {
            let same = Spec { roles: case.catalog.roles.clone(), ..Spec::default() };
            let catalog = &case.catalog;
            match self.subject.plan(&case.context, &same, &catalog.roles, &catalog.databases).answer {
                Ok(steps) if steps.is_empty() => {}
                Ok(steps) => {
                    let step = steps
                        .first()
                        .map(|step| format!("{} {}", step.change.action(), step.change.role().unwrap_or("")));
                    wrong.push(format!("{}: {} steps, such as {}", case.name, steps.len(), step.unwrap_or_default()));
                }
                Err(error) => wrong.push(format!("{}: {}", case.name, error.kind)),
            }
        }
        Ok(if wrong.is_empty() {
            passed("")
        } else {
            failed(told(wrong.into_iter()), "compare field by field; whatever is as desired needs no step")
        })
    }

    fn replay(&self) -> Result<Outcome, CheckError> {
        if !self.subject.has(Stage::Plan) {
            return Ok(not_exported(Stage::Plan));
        }
        let mut wrong = Vec::new();
        let mut steps_in_all = 0;
        for number in 0..WORLDS {
            let case = inputs::world(number)?;
            let mut resolved = case.resolve(&case.spec);
            if resolved.blocked {
                continue;
            }
            let desired = Spec { roles: std::mem::take(&mut resolved.desired), ..Spec::default() };
            let catalog = &case.catalog;
            let answer = self.subject.plan(&case.context, &desired, &catalog.roles, &catalog.databases).answer;
            resolved.desired = desired.roles;
            match answer {
                Ok(proposals) => {
                    let steps = plan::assemble(proposals, "subject", |_| Cause::Spec);
                    steps_in_all += steps.len();
                    if let Some(refusal) = refusal(&case, &case.spec, &resolved, &steps) {
                        let first = refusal.violations.first().map(ToString::to_string).unwrap_or_default();
                        wrong.push(format!("{}: {first}", case.name));
                    }
                }
                Err(error) => wrong.push(format!("{}: {}", case.name, error.kind)),
            }
        }
        Ok(if wrong.is_empty() {
            passed(format!("{steps_in_all} steps in {WORLDS} worlds"))
        } else {
            failed(
                told(wrong.into_iter()),
                "the guard refuses such a plan: every difference between `desired` and `actual` is one step, and nothing else is",
            )
        })
    }
}

fn not_exported(stage: Stage) -> Outcome {
    Outcome::Skipped(format!("it does not {stage}"))
}

/// The first few of many, and how many more there are.
fn told(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    let more = lines.len().saturating_sub(TOLD);
    let mut told = lines.into_iter().take(TOLD).collect::<Vec<_>>();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join("\n")
}

/// Answers without places in the file: the user's name in the place of its number, and sorted.
fn blind(heard: Heard, spec: &Spec) -> BTreeMap<&'static str, Vec<String>> {
    let users: BTreeMap<&str, &str> = spec
        .roles
        .values()
        .filter(|role| role.path.matches('/').count() == 2)
        .map(|role| (role.path.as_str(), role.name.as_str()))
        .collect();
    let place = |path: &str| {
        let end = path.match_indices('/').nth(2).map_or(path.len(), |(at, _)| at);
        users.get(&path[..end]).map_or_else(|| path.to_owned(), |name| format!("{name}{}", &path[end..]))
    };
    let finding = |finding: Finding| {
        let path = place(&finding.path);
        format!("{}[{}] {path}: {} {:?}", finding.severity, finding.code, finding.message, finding.help)
    };
    let role = |role: &Role| format!("{:?}", Role { path: place(&role.path), ..role.clone() });
    let failure = |error: PolicyError| vec![error.kind.to_string()];
    let mut all: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    if let Some(called) = heard.validate {
        let lines = called.answer.map(|findings| findings.into_iter().map(finding).collect());
        all.insert(Stage::Validate.as_str(), lines.unwrap_or_else(failure));
    }
    if let Some(called) = heard.transform {
        let lines = called.answer.map(|said| {
            let roles = said.spec.roles.values().map(role);
            roles.chain(said.findings.into_iter().map(finding)).collect()
        });
        all.insert(Stage::Transform.as_str(), lines.unwrap_or_else(failure));
    }
    if let Some(called) = heard.plan {
        let lines = called.answer.map(|steps| {
            let step = |step: Proposal| {
                let change = match &step.change {
                    crate::plan::Change::CreateRole(made) => role(made),
                    change => format!("{change:?}"),
                };
                format!("{} {change} {} {} {}", step.change.action(), step.risk, step.reason, place(&step.path))
            };
            steps.into_iter().map(step).collect()
        });
        all.insert(Stage::Plan.as_str(), lines.unwrap_or_else(failure));
    }
    if let Some(called) = heard.review {
        let lines = called.answer.map(|said| {
            let verdict = std::iter::once(said.verdict.to_string());
            verdict.chain(said.findings.into_iter().map(finding)).collect()
        });
        all.insert(Stage::Review.as_str(), lines.unwrap_or_else(failure));
    }
    all.values_mut().for_each(|lines| lines.sort());
    all
}
