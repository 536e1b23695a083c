//! `rolewright plan`: shows what would be changed, and changes nothing.

use super::args::{Format as PlanFormat, PlanArgs};
use super::setup::{self, Manner, Parts};
use super::{FAILED, PENDING, code_of, print};
use crate::postgres::rehearse::Rehearsal;
use crate::present::{View, json, markdown, sql, text};
use crate::reconcile::{Look, Verdict};
use crate::telemetry::logs::{Format, Stream};

pub(super) async fn plan(arguments: PlanArgs) -> anyhow::Result<u8> {
    let manner = Manner { format: Format::Text, stream: Stream::Stderr, dry_run: true, following: false };
    let Parts { controller, config, .. } = setup::controller(arguments.options, manner).await?;
    let look = if arguments.rehearse { Look::Full } else { Look::UnlessConverged };
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
    print(&match arguments.format {
        PlanFormat::Text => text::render(&view, arguments.color.wanted()),
        PlanFormat::Json => json::render(&view),
        PlanFormat::Sql => sql::render(&view),
        PlanFormat::Markdown => markdown::render(&view),
    })?;

    Ok(match code_of(&planned.verdict) {
        0 if rehearsal.is_some_and(|rehearsal| !rehearsal.failed.is_empty()) => FAILED,
        0 if arguments.exit_code && !planned.plan.is_empty() => PENDING,
        code => code,
    })
}
