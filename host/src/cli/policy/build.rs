//! `rolewright policy build`: from a project to dist/NAME.wasm, and a look whether that is a policy.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::super::args::BuildArgs;
use super::super::{FAILED, print};
use super::check;
use super::project::{self, DIST};
use super::template::{self, Need, Template};
use crate::policy::kit::{self, Depth, Given};
use crate::printable;

pub(super) fn build(arguments: &BuildArgs) -> anyhow::Result<u8> {
    let directory = &arguments.dir;
    let templates = template::all()?;
    let Some(template) = templates.iter().find(|template| template.fits(directory)) else {
        let known: Vec<String> = templates.iter().map(|it| format!("{} ({})", it.language, it.marker())).collect();
        anyhow::bail!(
            "{} is no project of a policy: there is no file that tells its language, which would be one of {}. Start one \
             with `rolewright policy new NAME --lang LANGUAGE`",
            directory.display(),
            known.join(", ")
        );
    };
    let missing: Vec<&Need> = template.needs().iter().filter(|need| !is_there(&need.command)).collect();
    if !missing.is_empty() {
        let words = missing.iter().map(|need| format!("\n  {}, {}: {}", need.command, need.purpose, need.get));
        anyhow::bail!("to build a policy in {} here, this is missing:{}", template.language, words.collect::<String>());
    }
    let module = if template.language == "rust" { rust(directory)? } else { commands(template, directory)? };
    let size = fs::metadata(&module).with_context(|| format!("{} can't be read", module.display()))?.len();
    print(&format!("{}: {size} bytes\n", module.display()))?;

    let runtime = super::runtime()?;
    let checks = kit::check(&runtime, &super::standard(&runtime)?, &module, &Given::default(), Depth::Contract)?;
    print(&check::text(&checks))?;
    Ok(if check::failures(&checks) > 0 { FAILED } else { 0 })
}

/// Whether a program of this name is on the PATH.
fn is_there(command: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(command).is_file())
}

/// A core module by cargo, and the component from it.
fn rust(directory: &Path) -> anyhow::Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| directory.join("target"), PathBuf::from);
    let places = rolewright_guest_build::Places { out: directory.join(DIST), work: target.join("policy") };
    match rolewright_guest_build::build_in(directory, &places) {
        Ok(module) => Ok(module),
        Err(rolewright_guest_build::Error::NoCompiler { asked, .. }) => anyhow::bail!(
            "no Rust compiler here can build for {} (asked: {asked}). Get the library for it with `rustup target add {}`, \
             or name a compiler that has it in ROLEWRIGHT_GUEST_RUSTC",
            rolewright_guest_build::TARGET,
            rolewright_guest_build::TARGET
        ),
        Err(error) => Err(error.into()),
    }
}

/// The commands of the template, one after the other, in the project.
fn commands(template: &Template, directory: &Path) -> anyhow::Result<PathBuf> {
    let name = project::name(directory, template.marker())?;
    let dist = directory.join(DIST);
    fs::create_dir_all(&dist).with_context(|| format!("{} can't be made", dist.display()))?;
    for command in template.build(&name) {
        print(&format!("$ {}\n", printable::line(&command)))?;
        let status = Command::new("sh")
            .args(["-c", &command])
            .current_dir(directory)
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("`{command}` can't be run"))?;
        anyhow::ensure!(status.success(), "`{command}` failed ({status}); what it said stands above");
    }
    Ok(dist.join(format!("{name}.wasm")))
}
