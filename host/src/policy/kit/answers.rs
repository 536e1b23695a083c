//! What a policy answers in a case: each stage that it takes part in is asked what the cycle would
//! ask it, and the host adds what it has to say. How that reads is the business of the command line.

use std::sync::Arc;

use super::case::Case;
use super::subject::{Called, Subject};
use crate::guard::{self, Bounds, Judgement, Refusal};
use crate::model::{Finding, Severity, Spec};
use crate::plan::{self, Cause, Plan, Step};
use crate::policy::{Chain, Planned, PolicyError, Reviewed, Stage, Transformed};
use crate::resolve::Resolved;

/// All answers of one policy in one case; `None` where it does not take part.
#[derive(Debug)]
pub struct Answers {
    /// What it finds in the spec as declared.
    pub validate: Option<Called<Vec<Finding>>>,
    /// What it makes of the spec.
    pub transform: Option<Called<Transformed>>,
    /// What it finds after that, where it changed something.
    pub validate_again: Option<Called<Vec<Finding>>>,
    /// What the host says on the way from the spec to the desired state, where that matters to a
    /// stage below; information is left out.
    pub host: Vec<Finding>,
    /// The plan that it makes.
    pub plan: Option<Called<Vec<Step>>>,
    /// Why the guard would not let that plan run.
    pub refusal: Option<Refusal>,
    /// What it thinks of a plan: its own, or that of the built-in planner.
    pub review: Option<Called<Reviewed>>,
}

/// Asks the stages, or only one of them.
///
/// # Errors
///
/// Where the built-in planner fails; what the policy itself fails at is in the answers.
pub fn ask(subject: &Subject, standard: &Chain, case: &Case, only: Option<Stage>) -> Result<Answers, PolicyError> {
    let wanted = |stage: Stage| subject.has(stage) && only.is_none_or(|only| only == stage);
    let context = &case.context;
    let mut answers = Answers {
        validate: wanted(Stage::Validate).then(|| subject.validate(context, &case.spec)),
        transform: None,
        validate_again: None,
        host: Vec::new(),
        plan: None,
        refusal: None,
        review: None,
    };
    let mut spec = std::borrow::Cow::Borrowed(&case.spec);
    // The stages below see what it makes of the spec, whether that is shown or not.
    if subject.has(Stage::Transform) {
        let called = subject.transform(context, &case.spec);
        if let Ok(transformed) = &called.answer
            && transformed.spec != case.spec
        {
            answers.validate_again = wanted(Stage::Validate).then(|| subject.validate(context, &transformed.spec));
            spec = std::borrow::Cow::Owned(transformed.spec.clone());
        }
        answers.transform = wanted(Stage::Transform).then_some(called);
    }
    if !(wanted(Stage::Plan) || wanted(Stage::Review)) {
        return Ok(answers);
    }
    let mut resolved = case.resolve(&spec);
    answers.host = resolved.findings.iter().filter(|finding| finding.severity != Severity::Info).cloned().collect();
    if resolved.blocked {
        return Ok(answers);
    }
    let desired = resolved.lend();
    let steps = if subject.has(Stage::Plan) {
        let catalog = &case.catalog;
        let called = subject.plan(context, &desired, &catalog.roles, &catalog.databases);
        let called = called.map(|proposals| plan::assemble(proposals, &subject.info().name, |_| Cause::Spec));
        resolved.take_back(desired);
        let steps = called.answer.as_ref().ok().cloned();
        if wanted(Stage::Plan) {
            answers.refusal = steps.as_ref().and_then(|steps| refusal(case, &spec, &resolved, steps));
            answers.plan = Some(called);
        }
        steps
    } else {
        Some(standard_plan(standard, case, &desired)?)
    };
    if let Some(steps) = steps.filter(|_| wanted(Stage::Review)) {
        let catalog = &case.catalog;
        answers.review = Some(subject.review(context, &catalog.roles, &catalog.databases, &steps));
    }
    Ok(answers)
}

/// What the built-in planner makes of a case, ordered by the host.
pub(super) fn standard_plan(standard: &Chain, case: &Case, desired: &Spec) -> Result<Vec<Step>, PolicyError> {
    standard.plan(&case.context, desired, &case.catalog.roles, &case.catalog.databases).map(assemble)
}

/// Proposals in their order, with the host's risks.
pub(super) fn assemble(planned: Planned) -> Vec<Step> {
    plan::assemble(planned.proposals, &planned.by, |_| Cause::Spec)
}

/// What the guard has against a plan. How many users it may take away is the operator's to say, and
/// not asked here.
pub(super) fn refusal(case: &Case, spec: &Spec, resolved: &Resolved, steps: &[Step]) -> Option<Refusal> {
    let bounds = Bounds {
        deletions: usize::MAX,
        allowed_powers: std::collections::BTreeSet::new(),
        reassign_owned_to: case.context.reassign_owned_to.clone(),
        roles_declared: 1,
        users_declared: spec.roles.values().filter(|role| role.is_user()).count().max(1),
        approved: None,
    };
    let plan = Plan { steps: steps.to_vec(), ..Plan::default() };
    match guard::judge(Arc::new(plan), "subject", resolved, &case.catalog, &bounds) {
        Judgement::Refused(refusal) => Some(refusal),
        Judgement::Pass(_) | Judgement::Held(_) => None,
    }
}
