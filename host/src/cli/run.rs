//! `rolewright run`: the controller.

use super::args::RunArgs;
use super::setup::{self, Manner};
use crate::serve;
use crate::telemetry::logs::{Format, Stream};

pub(super) async fn run(arguments: RunArgs) -> anyhow::Result<u8> {
    let manner = Manner { format: Format::Json, stream: Stream::Stdout, dry_run: false };
    let (controller, config) = setup::controller(arguments.options, manner)?;
    if let Some(address) = config.http_addr {
        let shutdown = controller.shutdown.clone();
        let health = controller.health.clone();
        serve::serve(address, health, controller.metrics.clone(), async move { shutdown.wait().await }).await?;
    }
    controller.run(config.sync_interval).await;
    Ok(0)
}
