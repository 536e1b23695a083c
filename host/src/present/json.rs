//! A plan as JSON, for scripts. The same plan always gives the same bytes.

use serde::Serialize;

use super::{View, provenance, script};
use crate::model::Severity;
use crate::plan::{Change, Counts, Removal};
use crate::printable;

#[derive(Serialize)]
struct Document<'a> {
    digest: &'a str,
    target: &'a str,
    policies: &'a [String],
    summary: Counts,
    held: Option<&'a str>,
    refused: Option<&'a str>,
    rehearsed: Option<&'a str>,
    findings: Vec<Finding<'a>>,
    steps: Vec<Step<'a>>,
    changed_by_policies: Vec<Wish<'a>>,
}

#[derive(Serialize)]
struct Wish<'a> {
    role: &'a str,
    policy: &'a str,
    field: &'static str,
    before: String,
    after: String,
}

#[derive(Serialize)]
struct Finding<'a> {
    severity: Severity,
    code: &'a str,
    path: &'a str,
    message: &'a str,
    help: Option<&'a str>,
    file: &'a str,
    line: usize,
    column: usize,
    policy: Option<&'a str>,
}

#[derive(Serialize)]
struct Step<'a> {
    action: &'static str,
    role: Option<&'a str>,
    /// Where the statements have to be run; left out where any database will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a str>,
    cause: String,
    risk: String,
    sql: String,
    by: &'a str,
    reason: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    removal: Option<&'a Removal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<script::Shown<'a>>,
}

/// The plan as a JSON document that ends with a line break.
pub fn render(view: &View<'_>) -> String {
    let findings = view.findings.iter().map(|finding| Finding {
        severity: finding.severity,
        code: &finding.code,
        path: &finding.path,
        message: &finding.message,
        help: finding.help.as_deref(),
        file: &finding.file,
        line: finding.line,
        column: finding.column,
        policy: finding.policy.as_deref(),
    });
    let steps = view.plan.steps.iter().map(|step| Step {
        action: step.change.action(),
        role: step.change.role(),
        database: (step.change.database().or(step.change.own_database()))
            .or_else(|| view.script(step.change.script()?).map(|script| script.database.as_str())),
        cause: step.cause.to_string(),
        risk: step.risk.to_string(),
        sql: view.sql_of(&step.change),
        by: &step.by,
        reason: &step.reason,
        path: &step.path,
        removal: match &step.change {
            Change::DropRole { name, .. } => view.plan.removals.get(name),
            _ => None,
        },
        script: step.change.script().and_then(|name| view.script(name)).map(script::shown),
    });
    let wishes = provenance::wishes(view.touches).into_iter().map(|wish| {
        let provenance::Wish { role, policy, field, before, after } = wish;
        Wish { role, policy, field, before, after }
    });
    let document = Document {
        digest: &view.plan.digest,
        target: view.target,
        policies: view.modules,
        summary: view.counts,
        held: view.held,
        refused: view.refused,
        rehearsed: view.rehearsed,
        findings: findings.collect(),
        steps: steps.collect(),
        changed_by_policies: wishes.collect(),
    };
    // Plain data with text for keys: writing it cannot fail.
    let mut text = printable::json(serde_json::to_string_pretty(&document).unwrap_or_default());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::present::fixture;

    #[test]
    fn a_plan_as_json_has_everything_that_scripts_rely_on() {
        let fixture = fixture::rich();
        insta::assert_snapshot!("plan_json", render(&fixture.view()));
    }

    #[test]
    fn names_keep_their_value_and_paint_nothing() {
        let fixture = fixture::rich();
        let text = render(&fixture.view());
        assert!(!text.replace('\n', "").contains(printable::is_hazard));
        let document: Value = serde_json::from_str(&text).unwrap();
        let roles: Vec<&str> =
            document["steps"].as_array().unwrap().iter().filter_map(|step| step["role"].as_str()).collect();
        assert!(roles.contains(&fixture::HOSTILE), "{roles:?}");
    }

    #[test]
    fn the_same_plan_gives_the_same_bytes() {
        assert_eq!(render(&fixture::rich().view()), render(&fixture::rich().view()));
    }
}
