//! Modules on disk by the digest of what they are, so that a restart works while the registry is
//! away. Unlike compiled code they need no trust: what is read is compared with its digest.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::reference::Digest;
use super::signature::Signature;

/// A directory of manifests, modules and signatures.
#[derive(Debug, Clone)]
pub(super) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(super) fn new(cache: &Path) -> Store {
        Store { directory: cache.join("modules") }
    }

    /// What has this digest, if it is here and whole.
    pub(super) fn get(&self, digest: &Digest, limit: u64) -> Option<Vec<u8>> {
        let path = self.path(digest, "");
        let bytes = read(&path, limit)?;
        if Digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        tracing::warn!(file = %path.display(), "a kept policy module is damaged: it is removed, and fetched anew");
        // If it stays, it is found damaged again.
        let _ = fs::remove_file(&path);
        None
    }

    pub(super) fn put(&self, digest: &Digest, bytes: &[u8]) {
        self.write(&self.path(digest, ""), bytes);
    }

    /// The signatures that were found for a manifest. Each proves itself, or does not.
    pub(super) fn signatures(&self, digest: &Digest) -> Vec<Signature> {
        let bytes = read(&self.path(digest, ".signatures.json"), 1 << 20).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    pub(super) fn put_signatures(&self, digest: &Digest, signatures: &[Signature]) {
        if let Ok(bytes) = serde_json::to_vec(signatures) {
            self.write(&self.path(digest, ".signatures.json"), &bytes);
        }
    }

    fn path(&self, digest: &Digest, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}{suffix}", digest.hex()))
    }

    /// A module that cannot be kept is fetched again next time.
    fn write(&self, path: &Path, bytes: &[u8]) {
        if let Err(error) = self.try_write(path, bytes) {
            tracing::warn!(file = %path.display(), "a policy module cannot be kept: {error}; a restart needs the registry");
        }
    }

    fn try_write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let temporary = self.directory.join(format!(".{:016x}.tmp", rand::random::<u64>()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // The first error says what happened.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    // One more than may be there shows that there is more, which then has another digest.
    file.take(limit + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
