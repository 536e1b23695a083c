//! `rolewright plan`: shows what would be changed, and changes nothing.

use anyhow::bail;

use super::args::{Format as PlanFormat, PlanArgs};
use super::setup::{self, Manner, Parts};
use super::{FAILED, PENDING, access, code_of, print};
use crate::model::Severity;
use crate::postgres::rehearse::Rehearsal;
use crate::present::access::explanation;
use crate::present::{View, json, markdown, sql, text};
use crate::reconcile::{Look, Planned, Verdict};
use crate::spec::Diagnostic;
use crate::telemetry::logs::{Format, Stream};

pub(super) async fn plan(arguments: PlanArgs) -> anyhow::Result<u8> {
    if arguments.explain.is_some() && !matches!(arguments.format, PlanFormat::Text | PlanFormat::Json) {
        bail!("--explain is told as text or JSON only: a script or a comment of a part of the plan would mislead");
    }
    let manner = Manner { format: Format::Text, stream: Stream::Stderr, dry_run: true, following: false };
    let Parts { controller, config, .. } = setup::controller(arguments.options.clone(), manner).await?;
    // What is explained has to have been read.
    let look = if arguments.rehearse || arguments.explain.is_some() { Look::Full } else { Look::UnlessConverged };
    let planned = controller.reconciler.plan(look, None).await?;
    let rehearsal = if arguments.rehearse { controller.reconciler.rehearse(&planned).await? } else { None };

    let (target, rehearsed) = (config.target(), rehearsal.as_ref().map(Rehearsal::to_string));
    let modules: Vec<String> = controller.reconciler.modules().into_iter().map(|module| module.name).collect();
    let (held, refused) = match &planned.verdict {
        Verdict::Pass(_) => (None, None),
        Verdict::Held(held) => (Some(held.why.as_str()), None),
        Verdict::Paused => (None, Some(planned.verdict.to_string())),
        verdict => (None, Some(verdict.to_string())),
    };
    let view = View {
        plan: &planned.plan,
        catalog: &planned.observation.catalog,
        counts: planned.counts(),
        findings: &planned.findings,
        declared: &planned.observation.parsed,
        desired: &planned.resolved.desired,
        reassign_owned_to: &config.reassign_owned_to,
        namespace: &config.namespace,
        target: &target.to_string(),
        database: &target.database,
        held,
        refused: refused.as_deref(),
        rehearsed: rehearsed.as_deref(),
        touches: &planned.touches,
        modules: &modules,
    };
    if let Some(role) = &arguments.explain {
        let cut = planned.plan.about(role, &view.catalog.roles, view.desired);
        // What was said about other users is told with the whole plan; what stops it, here too.
        let errors: Vec<Diagnostic> =
            planned.findings.iter().filter(|finding| finding.severity == Severity::Error).cloned().collect();
        let counts = cut.counts(&cut.users(view.catalog));
        let view = View { plan: &cut, counts, findings: &errors, ..view };
        let explained = access::explained_beside(&target, role, &view).await?;
        print(&match arguments.format {
            PlanFormat::Json => explanation::beside_json(&json::render(&view), explained.as_ref()),
            _ => explanation::beside_text(&text::render(&view, arguments.color.wanted()), role, explained.as_ref()),
        })?;
        return Ok(code(&planned, &arguments, rehearsal.as_ref()));
    }
    print(&match arguments.format {
        PlanFormat::Text => text::render(&view, arguments.color.wanted()),
        PlanFormat::Json => json::render(&view),
        PlanFormat::Sql => sql::render(&view),
        PlanFormat::Markdown => markdown::render(&view),
    })?;

    Ok(code(&planned, &arguments, rehearsal.as_ref()))
}

/// What the whole plan comes to, whatever was shown of it.
fn code(planned: &Planned, arguments: &PlanArgs, rehearsal: Option<&Rehearsal>) -> u8 {
    match code_of(&planned.verdict) {
        0 if rehearsal.is_some_and(|rehearsal| !rehearsal.failed.is_empty()) => FAILED,
        0 if arguments.exit_code && !planned.plan.is_empty() => PENDING,
        code => code,
    }
}
