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
