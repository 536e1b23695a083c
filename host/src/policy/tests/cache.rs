//! Compiled modules are kept, found again, and never taken from where others may write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::policy::cache::Found;

/// The one compiled module in the directory.
fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

fn found(directory: &Path, bytes: &[u8]) -> Found {
    let runtime = Runtime::new(Limits::default(), Some(directory.to_owned())).unwrap();
    let cache = runtime.cache.as_ref().expect("the directory can be used");
    cache.component(&runtime.engine, bytes, &crate::policy::load::sha256(bytes)).unwrap().1
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_module_is_compiled_once_and_then_taken_from_the_cache() {
    let directory = Directory::new();
    let cache = directory.0.join("a/b");
    let bytes = planner().component();
    assert_eq!(found(&cache, &bytes), Found::Miss);
    assert_eq!(found(&cache, &bytes), Found::Hit);
    assert_eq!(fs::metadata(only_file(&cache)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(found(&cache, &Fixture::new("full").component()), Found::Miss);
}

#[test]
fn a_chain_works_alike_with_a_cache() {
    let directory = Directory::new();
    let runtime = Runtime::new(Limits::default(), Some(directory.0.join("cache"))).unwrap();
    let modules = [("a", planner().component())];
    for _ in 0..2 {
        let chain = load_with(&runtime, &modules).unwrap();
        assert!(chain.plan(&Context::default(), &Spec::default(), &BTreeMap::new(), &BTreeMap::new()).is_ok());
    }
}

#[test]
fn compiled_code_that_others_may_have_written_is_never_run() {
    let directory = Directory::new();
    let cache = directory.0.join("cache");
    let bytes = planner().component();
    found(&cache, &bytes);
    let file = only_file(&cache);
    let unused = |part: &str| match found(&cache, &bytes) {
        Found::Unused(Some(reason)) => assert!(reason.contains(part), "{reason}"),
        other => panic!("{part}: {other:?}"),
    };

    mode(&file, 0o620);
    unused("others may write to it (mode 620)");
    mode(&file, 0o600);
    assert_eq!(found(&cache, &bytes), Found::Hit);

    let code = fs::read(&file).unwrap();
    fs::write(&file, &code[..code.len() / 2]).unwrap();
    unused("is not used");
    fs::write(&file, b"no code at all").unwrap();
    unused("is not used");

    fs::rename(&file, directory.0.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(directory.0.join("elsewhere"), &file).unwrap();
    unused("no regular file");
}

#[test]
fn a_cache_directory_that_others_may_write_to_is_not_used() {
    let directory = Directory::new();
    let open = |path: PathBuf| Runtime::new(Limits::default(), Some(path)).unwrap().has_cache();
    let shared = directory.0.join("shared");
    fs::create_dir(&shared).unwrap();
    mode(&shared, 0o770);
    assert!(!open(shared.clone()));
    mode(&shared, 0o755);
    assert!(open(shared));
    assert!(!open(directory.write("file", "")));
}
