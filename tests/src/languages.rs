//! Policies in other languages than Rust: their pinned tools, and the examples that are built with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::session::repository;

/// The PATH with the pinned toolchain of a language in front, installed if it is not there.
pub fn path_with(language: &str) -> String {
    let output = Command::new("bash")
        .arg(repository().join("guest-policies/languages.sh"))
        .arg(language)
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
    let directories = String::from_utf8_lossy(&output.stdout);
    let directories = directories.lines().last().unwrap_or_default();
    format!("{directories}:{}", std::env::var("PATH").unwrap_or_default())
}

/// Runs a command with a language's tools.
pub fn runs(language: &str, directory: &Path, command: &[&str]) {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(directory)
        .env("PATH", path_with(language))
        .env("PYTHONPATH", repository().join("guest-policies/sdk-py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{language}, {}: {command:?}: {said}", directory.display());
}

/// Builds the rule of examples/policies in the way that its README tells. `language` is js, python or go.
pub fn example(language: &str) -> PathBuf {
    let command: &[&str] = if language == "js" { &["npm", "run", "build"] } else { &["sh", "build.sh"] };
    let directory = repository().join(format!("examples/policies/naming-{language}"));
    runs(language, &directory, command);
    directory.join(format!("dist/naming-{language}.wasm"))
}
