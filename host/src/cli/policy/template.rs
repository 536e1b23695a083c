//! What a new project is made of: a template for each language, the packages that it takes along, and
//! the contract. All of it ships inside the binary, so that a project fits the host that made it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::Context as _;
use serde::Deserialize;

use crate::policy::WIT_VERSION;

/// Every file by its path in the repository.
static SOURCES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
/// Where the templates are, one directory for each language.
const TEMPLATES: &str = "guest-policies/templates/";
/// What a template says about itself; no part of a project.
const DESCRIPTION: &str = "template.yaml";

/// A language to write policies in.
#[derive(Debug)]
pub(super) struct Template {
    /// As on the command line.
    pub(super) language: String,
    description: Description,
}

#[derive(Debug, Deserialize)]
struct Description {
    /// Directories of the repository, and where they go in the project.
    #[serde(default)]
    vendored: BTreeMap<String, String>,
    /// Commands that build the project; none: this program does it by itself.
    #[serde(default)]
    build: Vec<String>,
    #[serde(default)]
    needs: Vec<Need>,
}

/// A command that must be there.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Need {
    pub(super) command: String,
    #[serde(rename = "for")]
    pub(super) purpose: String,
    pub(super) get: String,
}

/// Files of a project, by their path in it.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Every language that there is a template for.
pub(super) fn all() -> anyhow::Result<Vec<Template>> {
    let mut languages: Vec<Template> = Vec::new();
    for (path, text) in SOURCES {
        let Some((language, DESCRIPTION)) = path.strip_prefix(TEMPLATES).and_then(|rest| rest.split_once('/')) else {
            continue;
        };
        let text = std::str::from_utf8(text).with_context(|| format!("{path} is no text"))?;
        let description = serde_saphyr::from_str(text).with_context(|| format!("in {path}"))?;
        languages.push(Template { language: language.to_owned(), description });
    }
    Ok(languages)
}

impl Template {
    /// Commands that build a project of this name.
    pub(super) fn build(&self, name: &str) -> Vec<String> {
        self.description.build.iter().map(|command| filled_in(command, name)).collect()
    }

    pub(super) fn needs(&self) -> &[Need] {
        &self.description.needs
    }

    /// Whether a directory holds a project in this language.
    pub(super) fn fits(&self, directory: &Path) -> bool {
        directory.join(self.marker()).is_file()
    }

    /// The file that every project in this language has, and no other.
    pub(super) fn marker(&self) -> &'static str {
        match self.language.as_str() {
            "rust" => "Cargo.toml",
            "js" => "package.json",
            "go" => "go.mod",
            _ => "pyproject.toml",
        }
    }

    /// Everything that a new project of this name consists of.
    pub(super) fn files(&self, name: &str) -> anyhow::Result<Files> {
        let mut files = Files::new();
        let own = format!("{TEMPLATES}{}/", self.language);
        for (path, bytes) in below(&own).filter(|(path, _)| *path != DESCRIPTION) {
            let text = std::str::from_utf8(bytes);
            let bytes = text.map_or_else(|_| bytes.to_vec(), |text| filled_in(text, name).into_bytes());
            files.insert(filled_in(path, name), bytes);
        }
        files.extend(below("wit/").map(|(path, bytes)| (format!("wit/{path}"), bytes.to_vec())));
        for (from, to) in &self.description.vendored {
            let before = files.len();
            let from = format!("{}/", from.trim_end_matches('/'));
            files.extend(below(&from).map(|(path, bytes)| (format!("{to}/{path}"), bytes.to_vec())));
            anyhow::ensure!(files.len() > before, "the template {} takes along {from}, which is empty", self.language);
        }
        let inside = |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        anyhow::ensure!(files.keys().all(|path| inside(path)), "a file of the template lies outside of the project");
        Ok(files)
    }
}

fn below(prefix: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    SOURCES.iter().filter_map(move |(path, bytes)| Some((path.strip_prefix(prefix)?, *bytes)))
}

fn filled_in(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{snake}}", &name.replace('-', "_")).replace("{{wit_version}}", WIT_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_template_is_complete_and_nothing_is_left_to_be_filled_in() {
        let templates = all().unwrap();
        assert!(templates.iter().any(|template| template.language == "rust"));
        for template in templates {
            let files = template.files("my-policy").unwrap();
            for needed in [template.marker(), "README.md", "wit/worlds.wit"] {
                assert!(files.contains_key(needed), "{}: no {needed}", template.language);
            }
            assert!(files.keys().any(|path| path.starts_with("fixtures/")), "{}: no fixture", template.language);
            let own = files.iter().filter(|(path, _)| !path.starts_with("vendor"));
            for (path, bytes) in own {
                let text = String::from_utf8_lossy(bytes);
                assert!(!text.contains("{{name}}") && !path.contains("{{"), "{}: {path}", template.language);
            }
        }
    }
}
