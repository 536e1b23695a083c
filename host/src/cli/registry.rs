//! `rolewright policy push` and `pull`: modules into a registry, and out of it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::print;
use crate::config::RegistryOptions;
use crate::policy::{Inspection, Limits, Runtime, inspect};
use crate::registry::{About, Demands, PublicKey, Reference, Registry};

/// `rolewright policy push`.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// A policy module
    pub file: PathBuf,
    /// Where to, such as oci://registry.example/team/naming:1.2
    #[arg(value_parser = Reference::target)]
    pub reference: Reference,
    /// Registries.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// `rolewright policy pull`.
#[derive(Debug, Clone, Args)]
pub struct PullArgs {
    /// Which, such as oci://registry.example/team/naming:1.2; a tag will do
    pub reference: Reference,
    /// File to write [default: the repository's last word and .wasm]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Key that must have signed it, PEM; repeatable
    #[arg(long, value_name = "FILE")]
    pub public_key: Vec<PathBuf>,
    /// Registries.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// Prints the reference that belongs into a chain, and nothing else.
pub(super) async fn push(arguments: PushArgs) -> anyhow::Result<u8> {
    let PushArgs { file, reference, registry } = arguments;
    if reference.digest().is_some() {
        bail!("{reference} has a digest, and the digest follows from the module: leave @sha256:… out");
    }
    let runtime = Runtime::new(Limits::inspection(), None)?;
    let inspection = inspect(&runtime, &file)?;
    if let Some(problem) = inspection.problem.as_ref().filter(|_| !inspection.wants_wasi()) {
        bail!("{} is not pushed, since no chain could use it: {problem}", file.display());
    }
    let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let digest = Registry::new(&registry, None)?.push(&reference, &bytes, &about(&inspection)).await?;
    print(&format!("{}\n", reference.pinned(digest)))?;
    Ok(0)
}

/// Prints the same.
pub(super) async fn pull(arguments: PullArgs) -> anyhow::Result<u8> {
    let PullArgs { reference, output, public_key, registry } = arguments;
    let public_keys = public_key.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>()?;
    let demands = Demands { allow_mutable_tags: true, public_keys: &public_keys };
    let fetched = Registry::new(&registry, None)?.fetch(&reference, demands).await?;
    let output = output.unwrap_or_else(|| {
        let name = reference.repository().rsplit('/').next().unwrap_or_default();
        PathBuf::from(format!("{name}.wasm"))
    });
    std::fs::write(&output, &fetched.bytes).with_context(|| format!("{} cannot be written", output.display()))?;
    print(&format!("{}\n", reference.pinned(fetched.digest)))?;
    Ok(0)
}

/// What the module says of itself.
fn about(inspection: &Inspection) -> About {
    let version = inspection.wit_version.as_deref().unwrap_or_default();
    let interfaces = ["describe", "configure"].into_iter().chain(inspection.stages.iter().map(|stage| stage.as_str()));
    let (name, summary, of_module) = match &inspection.description {
        Some(description) => (&*description.name, &*description.summary, &*description.version),
        None => ("policy", "", ""),
    };
    About {
        name: name.to_owned(),
        version: of_module.to_owned(),
        summary: summary.to_owned(),
        exports: interfaces.map(|interface| format!("rolewright:policy/{interface}@{version}")).collect(),
        imports: inspection.imports.clone(),
    }
}
