//! Manifests: which layer of an artifact is the module, and what we write when we push one. The
//! layout is that of the Wasm working group of the CNCF
//! (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>); what other tools push
//! is read as well, as long as there is one module in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reference::Digest;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const WASM: &str = "application/wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// `application/wasm`, and what older tools of Solo and Kubewarden write.
const WASM_LAYERS: [&str; 2] = [WASM, "application/vnd.wasm.content.layer.v1+wasm"];
const TITLE: &str = "org.opencontainers.image.title";

/// All that may come back under the name of a manifest, so that an index is told from nothing.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// A blob, as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

/// What is told about a module beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name: what the file is called where somebody fetches it with another tool.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
}

/// The blobs of an artifact, and the manifest that holds them together.
pub(super) struct Artifact {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
}

/// The same module gives the same bytes, so that its digest can be known without a registry. The
/// layout wants a time; it is the one that stands for "none".
pub(super) fn artifact(module: &[u8], about: &About) -> serde_json::Result<Artifact> {
    let layer = Digest::of(module).to_string();
    let config = serde_json::to_vec(&serde_json::json!({
        "created": "1970-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": { "exports": about.exports, "imports": about.imports },
    }))?;
    let annotated = |pairs: &[(&str, &str)]| {
        let said = pairs.iter().filter(|(_, value)| !value.is_empty());
        said.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: Descriptor {
            media_type: WASM_CONFIG.to_owned(),
            digest: Digest::of(&config).to_string(),
            size: config.len() as u64,
            annotations: BTreeMap::new(),
        },
        layers: vec![Descriptor {
            media_type: WASM.to_owned(),
            digest: layer,
            size: module.len() as u64,
            annotations: annotated(&[(TITLE, &format!("{}.wasm", about.name))]),
        }],
        annotations: annotated(&[
            (TITLE, &about.name),
            ("org.opencontainers.image.version", &about.version),
            ("org.opencontainers.image.description", &about.summary),
        ]),
    })?;
    Ok(Artifact { config, manifest })
}

/// The layers of a manifest.
pub(super) fn layers(manifest: &[u8]) -> Result<Vec<Descriptor>, String> {
    let kind: Kind = serde_json::from_slice(manifest).map_err(|_| "its manifest is no JSON object".to_owned())?;
    if !kind.manifests.is_empty() {
        return Err("it is an index of several artifacts: name the digest of the one that is meant".to_owned());
    }
    let manifest: Manifest = serde_json::from_slice(manifest)
        .map_err(|error| format!("its manifest is not of the form that OCI artifacts have ({error})"))?;
    Ok(manifest.layers)
}

/// The one layer that is a module.
pub(super) fn module(manifest: &[u8]) -> Result<(Descriptor, Digest), String> {
    let layers = layers(manifest)?;
    let is_module = |layer: &&Descriptor| WASM_LAYERS.contains(&layer.media_type.as_str());
    let mut modules: Vec<&Descriptor> = layers.iter().filter(is_module).collect();
    // `oras push REF FILE` gives files a type of layers of images, and their names.
    if let ([], [only]) = (modules.as_slice(), layers.as_slice())
        && only.annotations.get(TITLE).is_some_and(|title| title.ends_with(".wasm"))
        && !only.media_type.ends_with("gzip")
        && !only.media_type.ends_with("zstd")
    {
        modules.push(only);
    }
    match modules.as_slice() {
        [module] => Ok(((*module).clone(), module.digest.parse()?)),
        [] => {
            let types: Vec<&str> = layers.iter().map(|layer| layer.media_type.as_str()).take(5).collect();
            let found = if types.is_empty() { "none".to_owned() } else { types.join(", ") };
            Err(format!(
                "none of its layers has the type {WASM} (the types are: {found}); push one with `rolewright policy push`"
            ))
        }
        several => Err(format!(
            "{} of its layers have the type {WASM}, and nothing says which is meant: push each by itself",
            several.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(media_type: &str, title: &str) -> serde_json::Value {
        let digest = Digest::of(title.as_bytes()).to_string();
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": 1, "annotations": { TITLE: title } })
    }

    fn found(layers: &[serde_json::Value]) -> Result<String, String> {
        let config = layer("application/vnd.oci.empty.v1+json", "");
        let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
        module(manifest.to_string().as_bytes()).map(|(descriptor, _)| descriptor.annotations[TITLE].clone())
    }

    #[test]
    fn what_is_pushed_can_be_read_and_is_the_same_each_time() {
        let about = About {
            name: "naming".to_owned(),
            version: "1.2.3".to_owned(),
            summary: "Names are names.".to_owned(),
            exports: vec!["rolewright:policy/validate@0.1.0".to_owned()],
            imports: Vec::new(),
        };
        let one = artifact(b"module", &about).unwrap();
        assert_eq!(one.manifest, artifact(b"module", &about).unwrap().manifest);
        let (descriptor, digest) = module(&one.manifest).unwrap();
        assert_eq!((descriptor.size, digest), (6, Digest::of(b"module")));
        let pretty = |bytes: &[u8]| {
            serde_json::to_string_pretty(&serde_json::from_slice::<serde_json::Value>(bytes).unwrap()).unwrap()
        };
        insta::assert_snapshot!(format!("{}\n{}", pretty(&one.manifest), pretty(&one.config)));
    }

    #[test]
    fn one_module_is_found_whoever_pushed_it() {
        let readme = layer("text/markdown", "README.md");
        assert_eq!(found(&[layer(WASM, "a.wasm"), readme.clone()]).unwrap(), "a.wasm");
        assert_eq!(found(&[layer(WASM_LAYERS[1], "policy.wasm")]).unwrap(), "policy.wasm");
        assert_eq!(found(&[layer("application/vnd.oci.image.layer.v1.tar", "a.wasm")]).unwrap(), "a.wasm");
    }

    #[test]
    fn anything_else_is_explained() {
        let image = layer("application/vnd.oci.image.layer.v1.tar+gzip", "a.wasm");
        let mut said = vec![
            found(&[]).unwrap_err(),
            found(&[image]).unwrap_err(),
            found(&[layer(WASM, "a.wasm"), layer(WASM, "b.wasm")]).unwrap_err(),
        ];
        for manifest in ["", "[]", "{}", r#"{"manifests": [{}]}"#] {
            said.push(module(manifest.as_bytes()).unwrap_err());
        }
        insta::assert_snapshot!(said.join("\n"));
    }
}
