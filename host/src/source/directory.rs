//! A directory of manifests as a source: the files that `kubectl apply -f DIR` would take. Finds
//! the ConfigMap and the Secrets, and notices when a file changes. What is in a manifest is known
//! in `manifest`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use zeroize::{Zeroize, Zeroizing};

use super::manifest::{Manifest, Object};
use super::value::absent;
use super::{Declaration, SCRIPT_SUFFIX, Source, SourceError};
use crate::model::SecretState;
use crate::secret::{NewSecret, Secret, SecretRef, Secrets};
use crate::spec::yaml::MAX_BYTES;

/// How often [`Source::changed`] looks.
const POLL: Duration = Duration::from_secs(1);
/// How often a directory that changes under the reader's eyes is read anew, and how long it is
/// given to settle in between.
const ATTEMPTS: u32 = 5;
const SETTLE: Duration = Duration::from_millis(100);

/// A directory of `*.yaml` and `*.yml` files, and of `*.sql` files that they name, not searched any deeper. Symbolic links are followed,
/// as mounted ConfigMaps need it; names that begin with a dot are left out.
#[derive(Debug, Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) path: PathBuf,
    pub(super) namespace: String,
    configmap: String,
    /// The files that the last document was read from, until the Secrets are asked for.
    kept: Mutex<Option<Reading>>,
    /// What the directory looked like at the last reading of each kind.
    seen: Mutex<Seen>,
    /// Whether what another process has left half written was looked for.
    pub(super) swept: Once,
}

#[derive(Debug, Default)]
struct Seen {
    document: Option<Fingerprint>,
    secrets: Option<Fingerprint>,
}

/// Every file by name; `None` where the directory itself cannot be read.
type Fingerprint = Option<BTreeMap<String, Stamp>>;

/// Files, and what the directory looked like when they were read.
type Reading = (BTreeMap<String, Stamp>, Vec<File>);

/// What changes when a file is written or replaced. The change time tells a file that was put back
/// with an old modification time (`cp -p`); the inode one that was moved into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: i128,
    changed: i128,
    size: u64,
    inode: u64,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
            inode: metadata.ino(),
        }
    }
}

/// A file as read.
struct File {
    name: String,
    stamp: Stamp,
    manifest: Manifest,
}

/// Without what may be secret in it.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Directory {
    /// A source for the ConfigMap of this name, and for the Secrets, in this namespace. A manifest
    /// without a namespace belongs to it. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>, namespace: impl Into<String>, configmap: impl Into<String>) -> Self {
        let inner = Inner {
            path: path.into(),
            namespace: namespace.into(),
            configmap: configmap.into(),
            kept: Mutex::default(),
            seen: Mutex::default(),
            swept: Once::new(),
        };
        Directory { inner: Arc::new(inner) }
    }

    /// Runs what blocks off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|_| Err(SourceError::Interrupted { origin: self.describe() }))
    }
}

impl Source for Directory {
    fn describe(&self) -> String {
        self.inner.origin()
    }

    fn document(&self) -> BoxFuture<'_, Result<Declaration, SourceError>> {
        Box::pin(self.blocking(Inner::document))
    }

    fn secrets<'a>(&'a self, wanted: &'a BTreeSet<SecretRef>) -> BoxFuture<'a, Result<Secrets, SourceError>> {
        let wanted = wanted.clone();
        Box::pin(self.blocking(move |inner| inner.secrets(&wanted)))
    }

    fn write(&self, secret: NewSecret) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            let written = self.blocking(move |inner| Ok(inner.write(&secret))).await;
            written.unwrap_or_else(|error| Err(error.to_string()))
        })
    }

    fn may_write(&self, secret: NewSecret) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let answer = self.blocking(move |inner| Ok(inner.may_write(&secret))).await;
            answer.unwrap_or_else(|error| Err(error.to_string()))
        })
    }

    fn files<'a>(
        &'a self,
        wanted: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Result<BTreeMap<String, String>, SourceError>> {
        let wanted = wanted.clone();
        Box::pin(self.blocking(move |inner| inner.files(&wanted)))
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut at_first: Option<Fingerprint> = None;
            loop {
                let now = self.blocking(|inner| Ok(inner.fingerprint().ok())).await.ok().flatten();
                let start = at_first.get_or_insert_with(|| now.clone());
                if self.inner.seen().differs(&now, start) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        })
    }
}

impl Seen {
    fn differs(&self, now: &Fingerprint, start: &Fingerprint) -> bool {
        match (&self.document, &self.secrets) {
            (None, None) => now != start,
            (document, secrets) => [document, secrets].into_iter().flatten().any(|seen| seen != now),
        }
    }
}

impl Inner {
    pub(super) fn origin(&self) -> String {
        format!("directory {}", self.path.display())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn document(&self) -> Result<Declaration, SourceError> {
        // Also after an error: what was wrong is not looked at again until it changes.
        let (result, fingerprint) = self.read();
        self.seen().document = Some(fingerprint.clone());
        let files = result?;
        let document = self.users(&files);
        if let (Ok(_), Some(stamps)) = (&document, fingerprint) {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamps, files));
        }
        document
    }

    /// The one ConfigMap among the files.
    fn users(&self, files: &[File]) -> Result<Declaration, SourceError> {
        let objects: Vec<Vec<Object<'_>>> = files.iter().map(|file| file.manifest.objects()).collect();
        let maps = || objects.iter().flatten().filter(|object| object.kind == "ConfigMap");
        let matching: Vec<&Object<'_>> =
            maps().filter(|map| map.name == self.configmap && map.is_in(&self.namespace)).collect();
        match matching.as_slice() {
            [map] => map.declaration(),
            [] => {
                let found = maps().map(|map| match map.namespace {
                    Some(namespace) => format!("{namespace}/{} at {}", map.name, map.place()),
                    None => format!("{} at {}", map.name, map.place()),
                });
                Err(SourceError::NoConfigMap {
                    origin: self.origin(),
                    name: self.configmap.clone(),
                    namespace: self.namespace.clone(),
                    found: found.collect(),
                })
            }
            several => Err(SourceError::SeveralConfigMaps {
                name: self.configmap.clone(),
                places: several.iter().map(|map| map.place()).collect(),
            }),
        }
    }

    fn secrets(&self, wanted: &BTreeSet<SecretRef>) -> Result<Secrets, SourceError> {
        // What the document was read from serves for the Secrets too, if nothing has moved since.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if wanted.is_empty() {
            return Ok(Secrets::new());
        }
        let kept = kept.filter(|(stamps, _)| self.fingerprint().is_ok_and(|now| now == *stamps));
        let (result, fingerprint) = match kept {
            Some((stamps, files)) => (Ok(files), Some(stamps)),
            None => self.read(),
        };
        self.seen().secrets = Some(fingerprint);
        let files = result?;
        let objects: Vec<Vec<Object<'_>>> = files.iter().map(|file| file.manifest.objects()).collect();
        let mut by_name: BTreeMap<&str, Vec<(&File, &Object<'_>)>> = BTreeMap::new();
        for (file, objects) in files.iter().zip(&objects) {
            for object in objects.iter().filter(|it| it.kind == "Secret" && it.is_in(&self.namespace)) {
                by_name.entry(object.name).or_default().push((file, object));
            }
        }
        let found = wanted.iter().map(|wanted| {
            let secret = match by_name.get(wanted.name.as_str()).map(Vec::as_slice) {
                Some([(file, object)]) => Secret {
                    changed_at: i64::try_from(file.stamp.modified.div_euclid(1_000_000_000)).ok(),
                    labels: object.labels(),
                    held: object.held().map(Arc::new),
                    ..object.secret(&wanted.key, version(file, object))
                },
                None | Some([]) => absent(
                    SecretState::Missing,
                    format!(
                        "there is no Secret {:?} for namespace {:?} in {}",
                        wanted.name,
                        self.namespace,
                        self.origin()
                    ),
                ),
                Some(several) => {
                    let places: Vec<String> = several.iter().map(|(_, object)| object.place()).collect();
                    let message = format!("Secret {:?} is there more than once: {}", wanted.name, places.join(" and "));
                    absent(SecretState::Unreadable, message)
                }
            };
            (wanted.clone(), secret)
        });
        Ok(found.collect())
    }

    /// Reads every file, again and again until nothing changed meanwhile; the fingerprint is that
    /// of what was read.
    fn read(&self) -> (Result<Vec<File>, SourceError>, Fingerprint) {
        let mut vanished = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(SETTLE);
            }
            let before = match self.fingerprint() {
                Ok(before) => before,
                // A link to nothing, or a file that went between listing and looking.
                Err((path, error)) if error.kind() == ErrorKind::NotFound && path != self.path => {
                    vanished = Some((path, error));
                    continue;
                }
                Err((path, cause)) => return (Err(io_error(&path, cause)), None),
            };
            let manifests = before.iter().filter(|(name, _)| !name.ends_with(SCRIPT_SUFFIX));
            let files: Result<Vec<File>, SourceError> =
                manifests.map(|(name, stamp)| self.read_file(name, *stamp)).collect();
            if self.fingerprint().is_ok_and(|after| after == before) {
                return (files, Some(before));
            }
            vanished = None;
        }
        let error = match vanished {
            Some((path, cause)) => io_error(&path, cause),
            None => SourceError::Unstable { origin: self.origin() },
        };
        (Err(error), self.fingerprint().ok())
    }

    fn fingerprint(&self) -> Result<BTreeMap<String, Stamp>, (PathBuf, io::Error)> {
        let here = |error| (self.path.clone(), error);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(here)? {
            let entry = entry.map_err(here)?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let is_known = [".yaml", ".yml", SCRIPT_SUFFIX].iter().any(|suffix| shown.ends_with(suffix));
            if shown.starts_with('.') || !is_known {
                continue;
            }
            let path = entry.path();
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // A script that nobody names is no part of the source; `files` tells of one that is named.
                Err(_) if shown.ends_with(SCRIPT_SUFFIX) => continue,
                Err(error) => return Err((path, error)),
            };
            if shown.ends_with(SCRIPT_SUFFIX) && name.to_str().is_none() {
                continue;
            }
            if metadata.is_file() {
                let Some(name) = name.to_str() else {
                    return Err((path, io::Error::new(ErrorKind::InvalidData, "its name is not UTF-8 text")));
                };
                files.insert(name.to_owned(), Stamp::new(&metadata));
            }
        }
        Ok(files)
    }

    /// The version of the first object of a file, and what is in that file.
    pub(super) fn one(&self, name: &str) -> Result<(String, Manifest), SourceError> {
        let path = self.path.join(name);
        let stamp = Stamp::new(&fs::metadata(&path).map_err(|cause| io_error(&path, cause))?);
        let file = self.read_file(name, stamp)?;
        Ok((version_of(name, 0, stamp), file.manifest))
    }

    /// Texts of scripts beside the manifests. A change of one that is not named makes another cycle, too, and is
    /// nothing to it.
    fn files(&self, wanted: &BTreeSet<String>) -> Result<BTreeMap<String, String>, SourceError> {
        let mut files = BTreeMap::new();
        for name in wanted {
            let path = self.path.join(name);
            let stamp = || match fs::metadata(&path) {
                Ok(metadata) => Ok(metadata.is_file().then(|| Stamp::new(&metadata))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(cause) => Err(io_error(&path, cause)),
            };
            let mut attempts = 0;
            while let Some(before) = stamp()? {
                let text = self.read_text(&path, before)?;
                if stamp()? == Some(before) {
                    files.insert(name.clone(), text);
                    break;
                }
                attempts += 1;
                if attempts == ATTEMPTS {
                    return Err(SourceError::Unstable { origin: path.display().to_string() });
                }
                std::thread::sleep(SETTLE);
            }
        }
        Ok(files)
    }

    fn read_file(&self, name: &str, stamp: Stamp) -> Result<File, SourceError> {
        let path = self.path.join(name);
        let text = Zeroizing::new(self.read_text(&path, stamp)?);
        let manifest = Manifest::read(path.display().to_string(), text)?;
        Ok(File { name: name.to_owned(), stamp, manifest })
    }

    /// The text of a file, which may hold Secrets.
    fn read_text(&self, path: &Path, stamp: Stamp) -> Result<String, SourceError> {
        let shown = path.display().to_string();
        let malformed = |message: String| SourceError::Malformed { place: shown.clone(), message };
        let file = fs::File::open(path).map_err(|cause| io_error(path, cause))?;
        // With room for everything at once, no half-grown buffer is left behind unwiped.
        let size = usize::try_from(stamp.size).unwrap_or(MAX_BYTES).min(MAX_BYTES);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size + 64));
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|cause| io_error(path, cause))?;
        if bytes.len() > MAX_BYTES {
            return Err(malformed(format!("the file is larger than 1 MiB ({MAX_BYTES} bytes); split it")));
        }
        String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            error.into_bytes().zeroize();
            malformed(format!("the file is not UTF-8 text: byte {at} does not belong to any character"))
        })
    }
}

fn io_error(path: &Path, cause: io::Error) -> SourceError {
    SourceError::Io { what: path.display().to_string(), cause }
}

/// Changes whenever the file is written, and is derived from nothing in it. A `resourceVersion` in
/// the manifest says nothing here: who edits an exported manifest leaves it as it is.
fn version(file: &File, object: &Object<'_>) -> String {
    version_of(&file.name, object.index, file.stamp)
}

fn version_of(file: &str, index: usize, stamp: Stamp) -> String {
    format!("{file}#{index}@{}.{}", stamp.modified, stamp.changed)
}
