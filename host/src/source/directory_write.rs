//! The one thing that is written into a directory of manifests: the Secret of a generated password, in a file of its own.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::directory::{File, Inner, version};
use super::manifest::Object;
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
        let files = self.read().0.map_err(|error| error.to_string())?;
        let mut others = Vec::new();
        match (self.found(&files, &secret.name).as_slice(), &secret.over) {
            ([], None) => {
                if path.symlink_metadata().is_ok() {
                    return Err(format!(
                        "{} would be written with Secret {:?} and is there already, with something else: move it away",
                        path.display(),
                        secret.name
                    ));
                }
            }
            ([(file, object)], Some(over)) if version(file, object) == *over => {
                if file.name != name || file.manifest.objects().len() > 1 {
                    return Err(format!(
                        "Secret {:?} at {} is to be written anew, and only a file {name:?} of its own is ever replaced: move \
                         it there, or delete it",
                        secret.name,
                        object.place()
                    ));
                }
                if let Some(held) = object.held() {
                    others.extend(held.data.into_iter().filter(|(key, _)| !secret.data.contains_key(key)));
                }
            }
            _ => {
                return Err(format!(
                    "Secret {:?} has changed since it was read; the next cycle looks again",
                    secret.name
                ));
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
        let files = self.read().0.map_err(|error| error.to_string())?;
        match self.found(&files, &secret.name).as_slice() {
            [(file, object)] => Ok(version(file, object)),
            _ => Err(format!("Secret {:?} was written, and is not there any more", secret.name)),
        }
    }

    fn found<'a>(&self, files: &'a [File], name: &str) -> Vec<(&'a File, Object<'a>)> {
        let objects =
            files.iter().flat_map(|file| file.manifest.objects().into_iter().map(move |object| (file, object)));
        let is_meant =
            |object: &Object<'_>| object.kind == "Secret" && object.name == name && object.is_in(&self.namespace);
        objects.filter(|(_, object)| is_meant(object)).collect()
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
