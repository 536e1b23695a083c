//! Which compiler builds guests. Installing one is the business of `guest-policies/toolchain.sh`, which looks for it in
//! the same places.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, TARGET};

/// The first of these that has a standard library for the target: the one that `ROLEWRIGHT_GUEST_RUSTC` names, the one
/// that `toolchain.sh` built into the cache, and the ordinary one.
pub(crate) fn find(package: &Path) -> Result<PathBuf, Error> {
    let candidates = candidates(package);
    match candidates.iter().find(|candidate| has_target(candidate)) {
        Some(compiler) => Ok(compiler.clone()),
        None => {
            let asked: Vec<String> = candidates.iter().map(|candidate| candidate.display().to_string()).collect();
            Err(Error::NoCompiler { package: package.to_owned(), asked: asked.join(", ") })
        }
    }
}

fn candidates(package: &Path) -> Vec<PathBuf> {
    let mut candidates: Vec<PathBuf> = env::var_os("ROLEWRIGHT_GUEST_RUSTC").map(PathBuf::from).into_iter().collect();
    candidates.extend(cache(package).map(|cache| cache.join("wasm32/bin/rustc")));
    candidates.push(env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from));
    candidates
}

/// Where toolchain.sh leaves what it builds. Only for packages of this repository, found from where the package lies: a
/// program that is used elsewhere must not run what lies at the place where it was built.
fn cache(package: &Path) -> Option<PathBuf> {
    let root = package.ancestors().find(|directory| directory.join("guest-policies/toolchain.sh").is_file())?;
    // As in toolchain.sh: relative to the root, wherever the caller runs.
    Some(env::var_os("ROLEWRIGHT_CACHE").map_or_else(|| root.join("target/cache"), |cache| root.join(cache)))
}

/// `rustc --print` names the directory of a target even when it is empty, so look inside.
fn has_target(compiler: &Path) -> bool {
    let asked = Command::new(compiler)
        .args(["--print", "target-libdir", "--target", TARGET])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(answer) = asked else { return false };
    let Ok(directory) = String::from_utf8(answer.stdout) else { return false };
    let Ok(files) = fs::read_dir(directory.trim()) else { return false };
    answer.status.success()
        && files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_that_of_the_repository_that_the_package_lies_in() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        assert!(cache(&repository.join("guest-policies/standard")).is_some_and(|cache| cache.is_absolute()));
        assert_eq!(cache(&env::temp_dir()), None);
    }
}
