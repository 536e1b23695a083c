//! `rolewright policy new`: a project that builds at once.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use super::super::args::NewArgs;
use super::super::print;
use super::template;

/// Bytes that the name of a policy may have.
const MAX_NAME: usize = 63;

pub(super) fn new(arguments: &NewArgs) -> anyhow::Result<u8> {
    let name = &arguments.name;
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let begins_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    anyhow::ensure!(
        begins_well && name.split('-').all(is_word) && name.len() <= MAX_NAME,
        "{name:?} can't be the name of a policy: take lower-case words and digits joined by hyphens, such as \
         `team-naming`, of at most {MAX_NAME} bytes"
    );
    let templates = template::all()?;
    let known = templates.iter().map(|template| template.language.as_str()).collect::<Vec<_>>().join(", ");
    let template = templates
        .iter()
        .find(|template| template.language == arguments.lang)
        .with_context(|| format!("there is no template for {:?}; there are {known}", arguments.lang))?;
    let directory = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let empty = match fs::read_dir(&directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("{} can't be looked into", directory.display())),
    };
    anyhow::ensure!(
        empty,
        "{} is there already, and not empty: nothing is overwritten. Take another name, or --dir DIR",
        directory.display()
    );
    let files = template.files(name)?;
    for (path, bytes) in &files {
        let path = directory.join(path);
        let parent = path.parent().unwrap_or(&directory);
        fs::create_dir_all(parent).with_context(|| format!("{} can't be made", parent.display()))?;
        fs::write(&path, bytes).with_context(|| format!("{} can't be written", path.display()))?;
    }
    let shown = directory.display();
    print(&format!(
        "{shown}: {} files. Next:\n\n  cd {shown}\n  rolewright policy build\n  rolewright policy test .\n  \
         rolewright policy check dist/{name}.wasm\n\nREADME.md says where the rule is, and how to take it into use.\n",
        files.len()
    ))?;
    Ok(0)
}
