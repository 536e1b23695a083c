//! Compiled modules on disk, so that a start costs milliseconds instead of seconds. Machine code
//! read from here runs in the host, so the directory and each file must be this user's alone;
//! where they are not, the cache is left unused and a log line says why.

use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

/// Whether a module's code came from the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It did.
    Hit,
    /// It was compiled, and is in the cache now.
    Miss,
    /// It was compiled, and is not in the cache, for this reason; `None` where there is no cache.
    Unused(Option<String>),
}

/// A directory of compiled modules.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    /// The user that this process makes files as.
    owner: u32,
    /// Two engines that agree on this can run each other's code.
    compatibility: u64,
}

impl Cache {
    /// Opens the directory, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// Why the directory can't be used, as the end of a sentence.
    pub(super) fn open(directory: &Path, engine: &Engine) -> Result<Cache, String> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| format!("it can't be made: {error}"))?;
        // An absolute path without symbolic links: a change of either can't lead elsewhere later.
        let directory = directory.canonicalize().map_err(|error| format!("it can't be found: {error}"))?;
        let owner = own_user(&directory).map_err(|error| format!("no file can be written there: {error}"))?;
        let metadata = fs::metadata(&directory).map_err(|error| format!("it can't be looked at: {error}"))?;
        ours_alone(&metadata, owner)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Cache { directory, owner, compatibility: hasher.finish() })
    }

    /// The compiled module, from the cache or made now and put there. `sha256` is that of `bytes`.
    ///
    /// # Errors
    ///
    /// Only those of compiling: whatever is wrong with the cache is a reason to go without it.
    pub(super) fn component(
        &self,
        engine: &Engine,
        bytes: &[u8],
        sha256: &str,
    ) -> wasmtime::Result<(Component, Found)> {
        let path = self.directory.join(format!("{sha256}-{:016x}.cwasm", self.compatibility));
        let unused = match self.read(engine, &path) {
            Ok(Some(component)) => return Ok((component, Found::Hit)),
            Ok(None) => None,
            Err(reason) => Some(reason),
        };
        let component = Component::from_binary(engine, bytes)?;
        if unused.is_some() {
            return Ok((component, Found::Unused(unused)));
        }
        let code = component.serialize()?;
        match self.write(&path, &code) {
            Ok(()) => Ok((component, Found::Miss)),
            Err(error) => {
                let reason = format!("{} can't be written: {error}", path.display());
                Ok((component, Found::Unused(Some(reason))))
            }
        }
    }

    /// The compiled module of this path; `None` if there is none.
    #[allow(unsafe_code)]
    fn read(&self, engine: &Engine, path: &Path) -> Result<Option<Component>, String> {
        let refuse = |reason: String| format!("{} is not used: {reason}; remove it", path.display());
        // Of the link itself, if it is one: a link may point to a file of anybody.
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(error.to_string())),
        };
        if !metadata.is_file() {
            return Err(refuse("it is no regular file".to_owned()));
        }
        let directory = fs::metadata(&self.directory).map_err(|error| refuse(error.to_string()))?;
        ours_alone(&directory, self.owner).map_err(refuse)?;
        // Once more, of what was really opened, and its bytes rather than a mapping of it: what is
        // checked is what runs, whatever happens to the path or the file from here on.
        let mut code = Vec::new();
        let opened = File::open(path).and_then(|mut file| {
            file.read_to_end(&mut code)?;
            file.metadata()
        });
        ours_alone(&opened.map_err(|error| refuse(error.to_string()))?, self.owner).map_err(refuse)?;
        // SAFETY: `deserialize` wants bytes that `Component::serialize` made. The file that they were
        // read from belongs to this process's user, and nobody else may write to it or to its
        // directory (checked above). So it was put there by this user, who could as well replace
        // this program; and of what this program puts there, `write` is the only author: it writes
        // what `serialize` gave, under the module's sha256 and the engine's compatibility hash, and
        // makes the file visible by a rename when it is complete. wasmtime checks its version and
        // settings in the header once more, and answers with an error where they differ.
        let component = unsafe { Component::deserialize(engine, &code) };
        component.map(Some).map_err(|error| refuse(format!("{error:#}")))
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        let (mut file, temporary) = new_file(&self.directory)?;
        let written = file.write_all(code).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // The first error says what happened; a file left behind is never read.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// The user that files are made as. The standard library does not tell; a file does.
fn own_user(directory: &Path) -> io::Result<u32> {
    let (file, path) = new_file(directory)?;
    let owner = file.metadata().map(|metadata| metadata.uid());
    fs::remove_file(path)?;
    owner
}

fn new_file(directory: &Path) -> io::Result<(File, PathBuf)> {
    // Random, since a process number is not unique where several containers share the directory.
    let path = directory.join(format!(".{:016x}.tmp", rand::random::<u64>()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((file, path))
}

fn ours_alone(metadata: &Metadata, owner: u32) -> Result<(), String> {
    if metadata.uid() != owner {
        return Err(format!("it belongs to user {}, not to user {owner} who runs this", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!("others may write to it (mode {:03o})", metadata.mode() & 0o777));
    }
    Ok(())
}
