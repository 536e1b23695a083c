//! Events about the ConfigMap, for those who look with `kubectl describe` and `kubectl events`. What is
//! worth one is decided in `report`.
//!
//! The recorder of `kube_runtime` is not used, since it takes two Events for one when they differ only
//! in what they say: of two plans that were held within six minutes, the second would not be seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::report::{Kind, Notice};

/// Who reports, in every Event.
const CONTROLLER: &str = "rolewright.dev/controller";

/// The same within this time continues a series, as client-go does it.
const SERIES: Duration = Duration::from_secs(6 * 60);

/// Bytes of `reportingInstance` and of a name at most.
const MAX_INSTANCE: usize = 128;
const MAX_NAME: usize = 253;

/// What makes two Events one series: the `uid` they are about, and all that they say.
type Same = (Option<String>, Kind, &'static str, String);

/// An Event that was written, how often, and when last.
#[derive(Debug, Clone)]
struct Written {
    name: String,
    count: i32,
    last: Timestamp,
}

/// Writes Events about one ConfigMap.
pub(super) struct Events {
    api: Api<Event>,
    namespace: String,
    configmap: String,
    instance: String,
    written: Mutex<BTreeMap<Same, Written>>,
}

impl Events {
    /// Events about this ConfigMap, written by the process of this identity.
    pub(super) fn new(client: kube::Client, namespace: &str, configmap: &str, identity: &str) -> Events {
        Events {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            configmap: configmap.to_owned(),
            instance: end_of(identity, MAX_INSTANCE).to_owned(),
            written: Mutex::default(),
        }
    }

    /// Writes one; `uid` is that of the ConfigMap, or the last that it had.
    pub(super) async fn write(&self, notice: &Notice, uid: Option<&str>, now: Timestamp) -> Result<(), kube::Error> {
        let key = (uid.map(str::to_owned), notice.kind, notice.reason, notice.message.clone());
        if let Some(before) = self.recent(&key, now) {
            let count = before.count.saturating_add(1);
            let series = EventSeries { count, last_observed_time: MicroTime(now) };
            let patch = json!({ "series": series });
            match self.api.patch(&before.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => {
                    self.remember(key, Written { count, last: now, ..before });
                    return Ok(());
                }
                // It has expired, or somebody deleted it.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let event = self.event(notice, uid, now);
        let name = event.metadata.name.clone().unwrap_or_default();
        match self.api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // An answer was lost, and the Event is there.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
        self.remember(key, Written { name, count: 1, last: now });
        Ok(())
    }

    fn recent(&self, key: &Same, now: Timestamp) -> Option<Written> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, event| now.duration_since(event.last).unsigned_abs() < SERIES);
        written.get(key).cloned()
    }

    fn remember(&self, key: Same, event: Written) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(key, event);
    }

    fn event(&self, notice: &Notice, uid: Option<&str>, now: Timestamp) -> Event {
        // As client-go names them: unlike each other as long as the clock moves.
        let suffix = format!(".{:x}", now.as_nanosecond());
        let name = start_of(&self.configmap, MAX_NAME - suffix.len()).to_owned() + &suffix;
        Event {
            metadata: ObjectMeta { name: Some(name), namespace: Some(self.namespace.clone()), ..ObjectMeta::default() },
            event_time: Some(MicroTime(now)),
            type_: Some(
                match notice.kind {
                    Kind::Normal => "Normal",
                    Kind::Warning => "Warning",
                }
                .to_owned(),
            ),
            reason: Some(notice.reason.to_owned()),
            note: Some(notice.message.clone()),
            action: Some("Reconcile".to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("ConfigMap".to_owned()),
                name: Some(self.configmap.clone()),
                namespace: Some(self.namespace.clone()),
                uid: uid.map(str::to_owned),
                ..ObjectReference::default()
            }),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

/// The last so many bytes: what tells two pods apart is at the end.
fn end_of(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn start_of(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end_matches(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_what_makes_it_one_of_its_kind() {
        assert_eq!(end_of("pod_01234567", 9), "_01234567");
        assert_eq!(start_of("postgres-users", 9), "postgres");
        assert_eq!(start_of("a", 9), "a");
    }
}
