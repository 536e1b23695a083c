//! `rolewright run`: the controller.

use std::sync::Arc;

use super::args::RunArgs;
use super::setup::{self, Manner, Parts};
use crate::kubernetes::lease::Election;
use crate::kubernetes::status::ClusterReporter;
use crate::reconcile::About;
use crate::serve;
use crate::source::directives::APPROVE;
use crate::telemetry::logs::{Format, Stream};

pub(super) async fn run(arguments: RunArgs) -> anyhow::Result<u8> {
    let manner = Manner { format: Format::Json, stream: Stream::Stdout, dry_run: false, following: true };
    let instance = instance(arguments.pod_name);
    let Parts { mut controller, config, connection } = setup::controller(arguments.options, manner).await?;
    if let Some(address) = config.http_addr {
        let shutdown = controller.shutdown.clone();
        let health = controller.health.clone();
        serve::serve(address, health, controller.metrics.clone(), async move { shutdown.wait().await }).await?;
    }
    if let Some(connection) = connection {
        let (namespace, configmap) = (config.namespace.clone(), config.configmap_name.clone());
        controller.about = About {
            instance: instance.clone(),
            source: format!("ConfigMap {namespace}/{configmap}"),
            approve_hint: Some(format!("kubectl annotate configmap -n {namespace} {configmap} --overwrite {APPROVE}=")),
            interval: config.sync_interval,
        };
        let errors = connection.errors.clone();
        let reporter =
            ClusterReporter::new(connection.client.clone(), &namespace, &configmap, &instance, move |operation| {
                errors.count(operation)
            });
        controller.reporter = Some(Arc::new(reporter));
        if arguments.leader_election {
            if !config.dry_run {
                controller.reconciler = controller.reconciler.one_of_several(&instance);
            }
            let errors = connection.errors.clone();
            let election = Election::start(
                connection.client.clone(),
                namespace,
                configmap,
                instance,
                arguments.lease_duration,
                move || errors.count("lease"),
            );
            controller.election = Some(election);
        }
    }
    controller.run(config.sync_interval).await;
    Ok(0)
}

/// A name that no other process has, and that tells people which Pod it is.
fn instance(pod: Option<String>) -> String {
    let host = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let name = pod.or_else(host).unwrap_or_else(|| "rolewright".to_owned());
    format!("{name}_{:08x}", rand::random::<u32>())
}
