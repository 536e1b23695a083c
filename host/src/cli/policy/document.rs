//! What a policy answered, as a document: the text of `expected.yaml`, and what `policy run` prints.
//! It tells every word of the answer and nothing that differs from one run to the next.

use std::collections::BTreeMap;

use serde::Serialize;

use super::words;
use crate::guard::Refusal;
use crate::model::{Finding, Role, Spec};
use crate::plan::{Risk, Step};
use crate::policy::kit::{Answers, Called};
use crate::policy::{Reviewed, Transformed};
use crate::printable;

/// One block for each stage.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    validate: Option<Block<Findings>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<Block<Transform>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    validate_after_transform: Option<Block<Findings>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Findings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Block<Plan>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<Block<Review>>,
}

/// What a stage said, or why it could not.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Block<T> {
    Answer(T),
    Failed { failed: String },
}

#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<OneFinding>,
}

#[derive(Debug, Serialize)]
struct OneFinding {
    code: String,
    severity: String,
    path: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Serialize)]
struct Transform {
    changes: Vec<RoleChange>,
    findings: Vec<OneFinding>,
}

/// What became of one role.
#[derive(Debug, Serialize)]
struct RoleChange {
    role: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    was: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    now: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Plan {
    steps: Vec<OneStep>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused_by_guard: Vec<String>,
}

#[derive(Debug, Serialize)]
struct OneStep {
    step: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
    risk: String,
    reason: String,
    path: String,
}

#[derive(Debug, Serialize)]
struct Review {
    verdict: String,
    findings: Vec<OneFinding>,
}

pub(super) fn document(answers: &Answers, declared: &Spec) -> Document {
    let host = answers.host.iter().map(finding).collect::<Vec<_>>();
    Document {
        validate: answers.validate.as_ref().map(findings),
        transform: answers.transform.as_ref().map(|called| block(called, |said| transform(said, declared))),
        validate_after_transform: answers.validate_again.as_ref().map(findings),
        host: (!host.is_empty()).then_some(Findings { findings: host }),
        plan: answers.plan.as_ref().map(|called| block(called, |steps| plan(steps, answers.refusal.as_ref()))),
        review: answers.review.as_ref().map(|called| block(called, review)),
    }
}

impl Document {
    pub(super) fn yaml(&self) -> anyhow::Result<String> {
        // Each thing on a line of its own, however long: that is what a diff is read by.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
        Ok(serde_saphyr::to_string_with_options(self, options)?)
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(printable::json(serde_json::to_string_pretty(self)?) + "\n")
    }
}

fn block<T, U>(called: &Called<T>, answer: impl FnOnce(&T) -> U) -> Block<U> {
    match &called.answer {
        Ok(said) => Block::Answer(answer(said)),
        Err(error) => Block::Failed { failed: error.kind.to_string() },
    }
}

fn findings(called: &Called<Vec<Finding>>) -> Block<Findings> {
    block(called, |findings| Findings { findings: findings.iter().map(finding).collect() })
}

fn finding(finding: &Finding) -> OneFinding {
    let line = |text: &str| printable::line(text).into_owned();
    OneFinding {
        code: finding.code.clone(),
        severity: finding.severity.to_string(),
        path: line(&finding.path),
        message: line(&finding.message),
        help: finding.help.as_deref().map(line),
    }
}

fn transform(said: &Transformed, declared: &Spec) -> Transform {
    let names: BTreeMap<&String, ()> =
        declared.roles.keys().chain(said.spec.roles.keys()).map(|name| (name, ())).collect();
    let changes = names.into_keys().filter_map(|name| {
        let (before, after) = (declared.roles.get(name), said.spec.roles.get(name));
        (before != after).then(|| {
            let lines = |role: Option<&Role>| role.map(words::role).unwrap_or_default();
            let (was, now) = (lines(before), lines(after));
            let only = |own: &[String], other: &[String]| {
                own.iter().filter(|line| !other.contains(line)).cloned().collect::<Vec<_>>()
            };
            RoleChange { role: printable::line(name).into_owned(), was: only(&was, &now), now: only(&now, &was) }
        })
    });
    Transform { changes: changes.collect(), findings: said.findings.iter().map(finding).collect() }
}

fn plan(steps: &[Step], refusal: Option<&Refusal>) -> Plan {
    let mut refused: Vec<String> = refusal
        .map(|refusal| refusal.violations.iter().map(|it| printable::line(&it.to_string()).into_owned()).collect())
        .unwrap_or_default();
    if let Some(more) = refusal.map(|refusal| refusal.more).filter(|more| *more > 0) {
        refused.push(format!("and {more} more"));
    }
    Plan { steps: steps.iter().map(step).collect(), refused_by_guard: refused }
}

fn step(step: &Step) -> OneStep {
    let (title, details) = words::change(&step.change);
    OneStep {
        step: title,
        details,
        risk: risk(step.risk).to_owned(),
        reason: printable::line(&step.reason).into_owned(),
        path: printable::line(&step.path).into_owned(),
    }
}

fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Safe => "safe",
        Risk::Disruptive => "disruptive",
        Risk::Destructive => "destructive",
    }
}

fn review(said: &Reviewed) -> Review {
    Review { verdict: said.verdict.to_string(), findings: said.findings.iter().map(finding).collect() }
}
