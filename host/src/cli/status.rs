//! `rolewright status`: how the running controller stands, as it wrote that into the cluster.

use time::OffsetDateTime;

use super::args::{StatusArgs, StatusFormat};
use super::{FAILED, REFUSED, print};
use crate::config::ClusterOptions;
use crate::kubernetes::{self, ErrorCount};
use crate::present::status::{self, Standing, View};

pub(super) async fn status(arguments: StatusArgs) -> anyhow::Result<u8> {
    let place = arguments.place;
    let cluster = ClusterOptions { kubeconfig: place.kubeconfig, context: place.kube_context, secret_selector: None };
    let connection = kubernetes::connect(&cluster, ErrorCount::new(|_| {})).await?;
    let (found, lead) = tokio::try_join!(
        kubernetes::status::read(&connection.client, &place.namespace, &place.configmap_name),
        kubernetes::lease::read(&connection.client, &place.namespace, &place.configmap_name),
    )
    .map_err(anyhow::Error::msg)?;
    let source = format!("ConfigMap {}/{}", place.namespace, place.configmap_name);
    let view = View {
        status: found.as_ref(),
        lead: lead.as_ref(),
        now: OffsetDateTime::now_utc(),
        source: &source,
        all_users: arguments.users,
    };
    print(&match arguments.format {
        StatusFormat::Text => status::text(&view),
        StatusFormat::Json => status::json(&view),
    })?;
    Ok(match view.standing() {
        Standing::Synced => 0,
        Standing::Held => REFUSED,
        Standing::NotSynced => FAILED,
    })
}
