//! A policy's project on disk: which language it is written in, and where what is built of it lies.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where `policy build` puts the component.
pub(super) const DIST: &str = "dist";

/// The name of the package, as the file that tells its language gives it.
///
/// # Errors
///
/// If there is none.
pub(super) fn name(directory: &Path, marker: &str) -> anyhow::Result<String> {
    let file = directory.join(marker);
    let text = fs::read_to_string(&file).with_context(|| format!("{} can't be read", file.display()))?;
    let from_json = || serde_json::from_str::<serde_json::Value>(&text).ok()?.get("name")?.as_str().map(str::to_owned);
    // Of pyproject.toml and go.mod, one line is needed, and no parser for it.
    let from_lines = || {
        text.lines().find_map(|line| {
            let value = match line.trim().strip_prefix("name") {
                Some(rest) => rest.trim_start().strip_prefix('=')?,
                None => line.trim().strip_prefix("module ")?.rsplit('/').next()?,
            };
            let value = value.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        })
    };
    let name = from_json().or_else(from_lines);
    name.with_context(|| format!("{} gives the package no name", file.display()))
}

/// A source of the project that was written after its module was built.
pub(super) fn newer_source(module: &Path) -> Option<PathBuf> {
    const SOURCES: [&str; 7] = ["rs", "js", "py", "go", "wit", "json", "toml"];
    // What is fetched or made, and what only the kit reads.
    const OTHERS: [&str; 8] = [DIST, "fixtures", "target", "node_modules", "vendor", "build", ".venv", "__pycache__"];
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let built = changed(module)?;
    // The project is where its `dist` is.
    let mut open = vec![module.parent()?.parent()?.to_owned()];
    while let Some(directory) = open.pop() {
        for path in fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if OTHERS.contains(&&*name) || name.starts_with('.') || name.contains("lock") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| SOURCES.contains(&&*it.to_string_lossy()))
                && changed(&path)? > built
            {
                return Some(path);
            }
        }
    }
    None
}

/// The module to ask about the fixtures in a directory: the one that is given, or what was built of
/// the project that the directory is, or lies in.
///
/// # Errors
///
/// Where there is none, or more than one.
pub(super) fn module(directory: &Path, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let full = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let Some(dist) = full.ancestors().take(3).map(|above| above.join(DIST)).find(|dist| dist.is_dir()) else {
        anyhow::bail!(
            "nothing is built of {}: there is no directory {DIST} in it. Run `rolewright policy build {}`, or name the \
             module with --module FILE",
            directory.display(),
            directory.display()
        );
    };
    let mut modules: Vec<PathBuf> = fs::read_dir(&dist)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    modules.sort();
    match modules.as_slice() {
        [module] => Ok(module.clone()),
        [] => anyhow::bail!("there is no module in {}: run `rolewright policy build` first", dist.display()),
        several => anyhow::bail!(
            "there are {} modules in {}; name the one to ask with --module FILE",
            several.len(),
            dist.display()
        ),
    }
}
