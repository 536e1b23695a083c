//! `rolewright apply`: one cycle.

use super::args::ApplyArgs;
use super::setup::{self, Manner};
use super::{FAILED, code_of};
use crate::reconcile::Look;
use crate::telemetry::logs::{Format, Stream};

pub(super) async fn apply(arguments: ApplyArgs) -> anyhow::Result<u8> {
    let manner = Manner { format: Format::Text, stream: Stream::Stderr, dry_run: false, following: false };
    let controller = setup::controller(arguments.options, manner).await?.controller;
    let look = if arguments.full || arguments.approve.is_some() { Look::Full } else { Look::UnlessConverged };
    let cycle = controller.cycle(look, arguments.approve.as_deref()).await;
    // The log has told everything already.
    Ok(match &cycle.result {
        Err(_) => FAILED,
        Ok(report) => match code_of(&report.planned.verdict) {
            0 if cycle.summary.errors > 0 => FAILED,
            code => code,
        },
    })
}
