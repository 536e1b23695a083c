//! The one thing that is written into a directory of manifests: the Secret of a generated password, in a file of its own.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::directory::Inner;
use crate::report::yaml::scalar;
use crate::secret::NewSecret;

/// What the name of such a file ends with, behind the name of the Secret.
const SUFFIX: &str = ".generated.yaml";

impl Inner {
    /// Writes it, if nothing has changed since what it replaces was read; says which version it has.
    pub(super) fn write(&self, secret: &NewSecret) -> Result<String, String> {
        // The name of a Secret is one of DNS: it leads nowhere else, and begins with no dot.
        let name = format!("{}{SUFFIX}", secret.name);
        let path = self.path.join(&name);
        let mut others = Vec::new();
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
                let held = manifest.only().and_then(|object| object.held()).ok_or_else(alone)?;
                others.extend(held.data.into_iter().filter(|(key, _)| !secret.data.contains_key(key)));
            }
        }
        let text = self.manifest(secret, others.iter().map(|(key, value)| (key, value)));
        replace(&path, text.as_bytes()).map_err(|why| {
            format!(
                "Secret {:?} cannot be written to {}: {why}; let this process write into {}, or take `generate` out",
                secret.name,
                path.display(),
                self.origin()
            )
        })?;
        self.one(&name).map(|(version, _)| version).map_err(|error| error.to_string())
    }

    fn manifest<'a>(
        &self,
        secret: &'a NewSecret,
        others: impl Iterator<Item = (&'a String, &'a Zeroizing<Vec<u8>>)>,
    ) -> Zeroizing<String> {
        let data: Vec<(&String, &Zeroizing<Vec<u8>>)> = secret.data.iter().chain(others).collect();
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
        for (key, texts) in [("labels", &secret.labels), ("annotations", &secret.annotations)] {
            let _ = writeln!(text, "  {key}:");
            for (key, value) in texts {
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

/// Whoever reads it sees the old file or the new one. What it is made in begins with a dot, and so is no manifest.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let temporary = directory.join(format!(".rolewright-{:016x}.tmp", rand::random::<u64>()));
    let attempt = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

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
        fs::write(&path, format!("{text}  mine: \"c3RheXM=\"\n")).unwrap();
        let refused = directory.write(new("second", Some(&version))).await.unwrap_err();
        assert!(refused.contains("has changed since it was read"), "{refused}");
        let again = read(&directory).await;
        let version = directory.write(new("second", Some(&again.version))).await.unwrap();
        let found = read(&directory).await;
        assert_eq!((found.version.as_str(), found.password.as_ref().unwrap().reveal()), (version.as_str(), "second"));
        assert_eq!(found.held.unwrap().data["mine"].as_slice(), b"stays");
        assert_eq!(fs::read_dir(&place.0).unwrap().count(), 1, "nothing else is left behind");
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
