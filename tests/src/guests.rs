//! Policy modules made for tests, built from source when the first test asks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest as _, Sha256};

use crate::session;

/// The component built from a package below the repository, such as `tests/guests/hostile`.
pub fn build(package: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    // The lock is held while building: everybody else who needs a guest waits.
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(path) = built.get(package) {
        return path.clone();
    }
    let directory = session::repository().join(package);
    let out = session::directory().join("guests");
    std::fs::create_dir_all(&out).expect("our directory is writable");
    let component = rolewright_guest_build::build(&directory, &out)
        .unwrap_or_else(|error| panic!("{} does not build: {error}", directory.display()));
    built.insert(package.to_owned(), component.clone());
    component
}

/// The sha256 of a file, in hexadecimal digits, as a chain pins it.
pub fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
