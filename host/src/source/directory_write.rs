//! The one thing that is written into a directory of manifests: the Secret of a generated password, in a file of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::directory::Inner;
use super::manifest::Object;
use crate::generated::contents::KEYS;
use crate::generated::{ANNOTATIONS, Data};
use crate::report::yaml::scalar;
use crate::secret::NewSecret;

/// What the name of such a file ends with, behind the name of the Secret.
const SUFFIX: &str = ".generated.yaml";

/// What others have put into a Secret of ours, which stays when it is replaced.
#[derive(Default)]
struct Others {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    data: Data,
}

impl Others {
    /// `None`: it is not ours. A key of ours that is no longer written would go on with an old password.
    fn in_there(object: &Object<'_>) -> Option<Others> {
        let mut data = object.held()?.data;
        data.retain(|key, _| !KEYS.contains(&key.as_str()));
        let annotations = object.annotations().filter(|(key, _)| !key.starts_with(ANNOTATIONS)).collect();
        Some(Others { labels: object.labels(), annotations, data })
    }
}

impl Inner {
    /// Writes it, if nothing has changed since what it replaces was read; says which version it has.
    pub(super) fn write(&self, secret: &NewSecret) -> Result<String, String> {
        let (name, others) = self.place(secret)?;
        let text = self.manifest(secret, &others);
        self.swept.call_once(|| sweep(&self.path));
        let path = self.path.join(&name);
        replace(&path, text.as_bytes()).map_err(|why| self.unwritten(secret, &path, &why))?;
        self.one(&name).map(|(version, _)| version).map_err(|error| error.to_string())
    }

    /// Whether it could be written now, as far as that shows without doing it: what is to be replaced is the same, and a
    /// file can be made beside it.
    pub(super) fn may_write(&self, secret: &NewSecret) -> Result<(), String> {
        let (name, _) = self.place(secret)?;
        let path = self.path.join(&name);
        let attempt = temporary(&path).and_then(|(temporary, _)| fs::remove_file(temporary));
        attempt.map_err(|why| self.unwritten(secret, &path, &why))
    }

    fn unwritten(&self, secret: &NewSecret, path: &Path, why: &io::Error) -> String {
        format!(
            "Secret {:?} cannot be written to {}: {why}; let this process write into {}, or take `generate` out",
            secret.name,
            path.display(),
            self.origin()
        )
    }

    /// The name of its file, and what is to stay of what is in there.
    fn place(&self, secret: &NewSecret) -> Result<(String, Others), String> {
        // The name of a Secret is one of DNS: it leads nowhere else, and begins with no dot.
        let name = format!("{}{SUFFIX}", secret.name);
        let path = self.path.join(&name);
        let mut others = Others::default();
        match &secret.over {
            None if path.symlink_metadata().is_ok() => {
                return Err(format!(
                    "{} would be written with Secret {:?} and is there already, with something else: move it away",
                    path.display(),
                    secret.name
                ));
            }
            None => {}
            Some(over) => {
                let alone = || {
                    format!(
                        "Secret {:?} is to be written anew, and only a file {name:?} with nothing else in it is ever \
                         replaced: move it there, or delete it",
                        secret.name
                    )
                };
                if !over.starts_with(&format!("{name}#")) {
                    return Err(alone());
                }
                let (version, manifest) = self.one(&name).map_err(|error| error.to_string())?;
                if version != *over {
                    return Err(format!(
                        "Secret {:?} has changed since it was read; the next cycle looks again",
                        secret.name
                    ));
                }
                others = manifest.only().and_then(|object| Others::in_there(&object)).ok_or_else(alone)?;
            }
        }
        Ok((name, others))
    }

    fn manifest(&self, secret: &NewSecret, others: &Others) -> Zeroizing<String> {
        let data: BTreeMap<&String, &Zeroizing<Vec<u8>>> = others.data.iter().chain(&secret.data).collect();
        let size: usize = data.iter().map(|(key, value)| key.len() + 2 * value.len() + 16).sum();
        let mut text = Zeroizing::new(String::with_capacity(size + 4_096));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# Written by Rolewright, which replaces it when the password is rotated.\napiVersion: v1\nkind: Secret\n\
             metadata:\n  name: {}\n  namespace: {}\n",
            scalar(&secret.name),
            scalar(&self.namespace)
        );
        for (key, ours, theirs) in
            [("labels", &secret.labels, &others.labels), ("annotations", &secret.annotations, &others.annotations)]
        {
            let _ = writeln!(text, "  {key}:");
            for (key, value) in theirs.iter().chain(ours).collect::<BTreeMap<_, _>>() {
                let _ = writeln!(text, "    {}: {}", scalar(key), scalar(value));
            }
        }
        text.push_str("data:\n");
        for (key, value) in data {
            let encoded = Zeroizing::new(STANDARD.encode(value.as_slice()));
            let _ = writeln!(text, "  {}: \"{}\"", scalar(key), encoded.as_str());
        }
        text
    }
}

/// What the name of a file that is being written begins and ends with: with a dot, and so it is no manifest.
const TEMPORARY: (&str, &str) = (".rolewright-", ".tmp");

/// Removes what a process that was killed while it wrote has left: a password is in it.
fn sweep(directory: &Path) {
    let is_left = |name: &str| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_left)) {
        if let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(%error, "{} is left of a write that was cut off, and may hold a password: remove it", entry.path().display());
        }
    }
}

/// Whoever reads it sees the old file or the new one.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match replace_once(path, content) {
        // Another process has swept.
        Err(error) if error.kind() == ErrorKind::NotFound => replace_once(path, content),
        done => done,
    }
}

fn replace_once(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let (temporary, mut file) = temporary(path)?;
    let mut attempt = || -> io::Result<()> {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // A password that is in force must not be lost with the machine's power.
        fs::File::open(directory)?.sync_all()
    };
    attempt().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// A new file beside another one, for its owner alone.
fn temporary(beside: &Path) -> io::Result<(PathBuf, fs::File)> {
    let (begin, end) = TEMPORARY;
    let path = beside.with_file_name(format!("{begin}{:016x}{end}", rand::random::<u64>()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::generated::MANAGED_BY;
    use crate::secret::{Secret, SecretRef};
    use crate::source::{Directory, Source as _};

    struct Place(PathBuf);

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn place() -> Place {
        let path = std::env::temp_dir().join(format!("rolewright-write-{:016x}", rand::random::<u64>()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn new(password: &str, over: Option<&str>) -> NewSecret {
        let bytes = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        NewSecret {
            name: "app".to_owned(),
            labels: BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())]),
            annotations: BTreeMap::from([("rolewright.dev/role".to_owned(), "a: \"b\" #\n{c}\u{7f} ü".to_owned())]),
            data: BTreeMap::from([("password".to_owned(), bytes(password)), ("host".to_owned(), bytes("db"))]),
            over: over.map(str::to_owned),
        }
    }

    async fn read(directory: &Directory) -> Secret {
        let wanted = SecretRef { name: "app".to_owned(), key: "password".to_owned() };
        directory.secrets(&BTreeSet::from([wanted.clone()])).await.unwrap().remove(&wanted).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_again_with_whatever_was_put_into_it() {
        let place = place();
        let directory = Directory::new(&place.0, "postgres", "users");
        let version = directory.write(new("first", None)).await.unwrap();
        let found = read(&directory).await;
        assert_eq!((found.version.as_str(), found.password.as_ref().unwrap().reveal()), (version.as_str(), "first"));
        assert_eq!(found.held.as_ref().unwrap().annotations, new("", None).annotations);

        let path = place.0.join("app.generated.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("  labels:\n", "  labels:\n    team: \"payments\"\n");
        let text =
            text.replace("  annotations:\n", "  annotations:\n    note: \"theirs\"\n    rolewright.dev/old: \"\"\n");
        // A key of ours that is written no more, as the password in it is old.
        fs::write(&path, format!("{text}  mine: \"c3RheXM=\"\n  pgpass: \"b2xk\"\n")).unwrap();
        let refused = directory.write(new("second", Some(&version))).await.unwrap_err();
        assert!(refused.contains("has changed since it was read"), "{refused}");
        let again = read(&directory).await;
        let version = directory.write(new("second", Some(&again.version))).await.unwrap();
        let found = read(&directory).await;
        assert_eq!((found.version.as_str(), found.password.as_ref().unwrap().reveal()), (version.as_str(), "second"));
        let data = &found.held.as_ref().unwrap().data;
        assert_eq!(data["mine"].as_slice(), b"stays");
        assert!(!data.contains_key("pgpass"));
        assert_eq!((found.labels.len(), found.labels["team"].as_str()), (2, "payments"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("note: \"theirs\"") || text.contains("note: theirs"), "annotations of others stay");
        assert!(!text.contains("rolewright.dev/old"));
        assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1, "nothing else is left behind");
    }

    #[tokio::test]
    async fn what_a_killed_process_has_left_is_removed_and_nothing_else_is() {
        let place = place();
        fs::write(place.0.join(".rolewright-0123456789abcdef.tmp"), "data: {password: c2VjcmV0}").unwrap();
        fs::write(place.0.join(".mine.tmp"), "").unwrap();
        let directory = Directory::new(&place.0, "postgres", "users");
        directory.write(new("first", None)).await.unwrap();
        let mut left: Vec<_> = fs::read_dir(&place.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".mine.tmp", "app.generated.yaml"]);
    }

    #[tokio::test]
    async fn nothing_but_a_file_of_its_own_is_replaced() {
        let place = place();
        let directory = Directory::new(&place.0, "postgres", "users");
        directory.write(new("first", None)).await.unwrap();
        let (path, moved) = (place.0.join("app.generated.yaml"), place.0.join("all.yaml"));
        fs::rename(&path, &moved).unwrap();
        let found = read(&directory).await;
        let refused = directory.write(new("second", Some(&found.version))).await.unwrap_err();
        assert!(refused.contains("\"app.generated.yaml\" with nothing else in it"), "{refused}");
        let text = fs::read_to_string(&moved).unwrap();
        fs::rename(&moved, &path).unwrap();
        fs::write(&path, format!("{text}---\nkind: Other\n")).unwrap();
        let found = read(&directory).await;
        let refused = directory.write(new("second", Some(&found.version))).await.unwrap_err();
        assert!(refused.contains("with nothing else in it"), "{refused}");
        assert_eq!(read(&directory).await.password.unwrap().reveal(), "first");
        let refused = directory.write(new("second", None)).await.unwrap_err();
        assert!(refused.contains("is there already"), "{refused}");
    }

    #[tokio::test]
    async fn where_nothing_can_be_written_it_says_what_to_do_and_not_what_it_was() {
        // Not even root makes a file there.
        let directory = Directory::new("/proc/self/task", "postgres", "users");
        let refused = directory.write(new("never-to-be-told", None)).await.unwrap_err();
        assert!(refused.contains("cannot be written") && refused.contains("take `generate` out"), "{refused}");
        assert!(!refused.contains("never-to-be-told"));
    }
}
