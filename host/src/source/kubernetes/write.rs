//! The one thing that is written here: the Secret of a generated password, by server-side apply. That names the object,
//! so that the rights to create and to patch it can be confined to names.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, Patch, PatchParams};
use tokio::time::Instant;
use zeroize::Zeroize as _;

use super::{Kubernetes, SecretScope, answered, secret_api};
use crate::kubernetes::words::{self, Access};
use crate::secret::NewSecret;

/// Owner of the fields of generated Secrets; the status has another.
const FIELD_MANAGER: &str = "rolewright-passwords";

/// How long a watch is waited for to tell of what was written: the next reading should know it.
const HEARD: Duration = Duration::from_secs(3);
const LISTENS_AGAIN: Duration = Duration::from_millis(20);

impl Kubernetes {
    /// Applies it, or, as a dry run, has the server say whether it would.
    pub(super) async fn apply_secret(&self, secret: NewSecret, dry_run: bool) -> Result<SecretObject, String> {
        let NewSecret { name, mut labels, annotations, data, over } = secret;
        labels.extend(self.selected_labels()?);
        let api = secret_api(&self.connection, &self.namespace);
        let access =
            |verb| Access { verb, group: "", resource: "secrets", name: Some(&name), namespace: &self.namespace };
        let failed = |verb, error: &kube::Error| {
            self.link.error("secret");
            words::explain(error, &access(verb))
        };
        let moved = || format!("Secret {name:?} has changed since it was read; the next cycle looks again");
        if over.is_none() {
            // One that is there without the labels of SECRET_SELECTOR was not found, and is not ours.
            let selection = ListParams::default().fields(&format!("metadata.name={name}"));
            let listed = answered(api.list(&selection)).await.map_err(|error| failed("list", &error))?;
            if !listed.items.is_empty() {
                return Err(match &self.scope {
                    SecretScope::Namespace { labels: Some(labels) } => format!(
                        "Secret {name:?} is there without the labels of SECRET_SELECTOR ({labels}), and is not \
                         overwritten: delete it, or give it these labels"
                    ),
                    _ => moved(),
                });
            }
        }
        let resource_version =
            over.as_deref().and_then(|version| version.rsplit_once('/')).map(|(_, it)| it.to_owned());
        let mut object = SecretObject {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels),
                annotations: Some(annotations),
                resource_version,
                ..ObjectMeta::default()
            },
            data: Some(data.iter().map(|(key, value)| (key.clone(), ByteString(value.to_vec()))).collect()),
            ..SecretObject::default()
        };
        // Without force, what somebody else has made in the meantime is a conflict. With the version that it replaces,
        // the fields may be somebody else's: they were read, and what they said is in it.
        let parameters = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER) };
        let parameters = if over.is_some() { parameters.force() } else { parameters };
        let answer = answered(api.patch(&name, &parameters, &Patch::Apply(&object))).await;
        object.data.iter_mut().flat_map(BTreeMap::values_mut).for_each(|value| value.0.zeroize());
        answer.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 409 || (over.is_some() && status.code == 404) => moved(),
            error => failed("patch", error),
        })
    }

    /// Waits until what was written has come back by the watch, if there is one: else the next reading would find the
    /// state from before, and write again.
    pub(super) async fn hear_of(&self, name: &str, version: &str) {
        let Some(follow) = self.state().following(name) else { return };
        let deadline = Instant::now() + HEARD;
        while follow.get(name).is_none_or(|kept| kept.version() != version) && Instant::now() < deadline {
            tokio::time::sleep(LISTENS_AGAIN).await;
        }
    }

    /// The labels that a Secret needs to be found, where SECRET_SELECTOR asks for some.
    fn selected_labels(&self) -> Result<BTreeMap<String, String>, String> {
        let SecretScope::Namespace { labels: Some(selector) } = &self.scope else { return Ok(BTreeMap::new()) };
        labels_of(selector).ok_or_else(|| {
            format!(
                "a generated Secret would not be found again: SECRET_SELECTOR ({selector}) is not a list of labels such as \
                 a=b,c=d; write it so, or leave `generate` out"
            )
        })
    }
}

/// The labels that a selector asks for, if it asks for nothing else.
fn labels_of(selector: &str) -> Option<BTreeMap<String, String>> {
    let label = |term: &str| {
        let (key, value) = term.split_once('=')?;
        let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
        (!key.is_empty() && !key.contains(['!', ' ', '(']) && !value.contains([' ', '(']))
            .then(|| (key.into(), value.into()))
    };
    selector.split(',').map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_labels_can_be_given_to_a_secret() {
        let labels = |selector: &str| labels_of(selector).map(|labels| labels.into_iter().collect::<Vec<_>>());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(labels("a=b"), Some(vec![pair("a", "b")]));
        assert_eq!(
            labels("rolewright.dev/user==true, team=x"),
            Some(vec![pair("rolewright.dev/user", "true"), pair("team", "x")])
        );
        for other in ["a", "!a", "a!=b", "a in (b,c)", "a=b,c", "a notin (b)"] {
            assert_eq!(labels(other), None, "{other}");
        }
    }
}
