//! Compiles the policies that ship from `guest-policies/`, so that they are inside the binary and
//! never committed as modules; and lists the files that `rolewright policy new` writes, so that
//! they ship too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is made by tools, and no part of a source.
const MADE: [&str; 7] = ["target", "node_modules", "__pycache__", "dist", "build", ".venv", "Cargo.lock"];

/// The policies that a chain calls `builtin:NAME`, by their directories.
const POLICIES: [&str; 10] = [
    "blast-radius",
    "change-window",
    "credential-age",
    "expiry",
    "naming",
    "ownership",
    "password-strength",
    "privilege-ceiling",
    "role-catalog",
    "standard",
];

fn main() -> ExitCode {
    // Cargo runs this in the package's directory. Not `env!`: cargo takes a build script that another clone compiled
    // into the same target directory for this one's.
    let root = PathBuf::from("..");
    let guests = root.join("guest-policies");
    rolewright_guest_build::rerun_if_changed([root.join("wit"), guests.join("sdk")]);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let mut policies = Vec::new();
    for name in POLICIES {
        let package = guests.join(name);
        rolewright_guest_build::rerun_if_changed(
            ["Cargo.toml", "src", "settings.schema.json"]
                .map(|it| package.join(it))
                .into_iter()
                .filter(|it| it.exists()),
        );
        match rolewright_guest_build::build(&package, &out) {
            Ok(component) => policies.push((name, component)),
            Err(error) => {
                eprintln!("the built-in policy {name} could not be built: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if let Err(error) = builtins(&policies, &out.join("builtins.rs")) {
        eprintln!("the built-in policies could not be listed: {error}");
        return ExitCode::FAILURE;
    }
    match sources(&root).and_then(|files| list(&files, &out.join("sources.rs"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the files for new policies could not be listed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An expression for `include!`: each policy's name and component. The one that every chain without a document
/// consists of is named by a variable as well.
fn builtins(policies: &[(&str, PathBuf)], out: &Path) -> io::Result<()> {
    let mut text = String::from("&[\n");
    for (name, component) in policies {
        let component = component.display().to_string();
        // Writing to a String does not fail.
        let _ = writeln!(text, "({name:?}, include_bytes!({component:?})),");
        if *name == "standard" {
            println!("cargo:rustc-env=ROLEWRIGHT_STANDARD_POLICY={component}");
        }
    }
    text.push_str("]\n");
    fs::write(out, text)
}

/// The contract, the templates, and the packages that templates take into a project; by their path
/// in the repository.
fn sources(root: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    collect(&root.join("wit"), "wit", &mut files)?;
    let guests = root.join("guest-policies");
    for entry in fs::read_dir(&guests)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == "templates" || name == "sdk" || name.starts_with("sdk-") {
            collect(&guests.join(&name), &format!("guest-policies/{name}"), &mut files)?;
        }
    }
    rolewright_guest_build::rerun_if_changed([guests.join("templates")]);
    rolewright_guest_build::rerun_if_changed(files.values());
    Ok(files)
}

fn collect(directory: &Path, name: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if MADE.contains(&file.as_str()) {
            continue;
        }
        let name = format!("{name}/{file}");
        // Behind a link, too: a package has its own copy of the contract in a project.
        if path.is_dir() {
            collect(&path, &name, files)?;
        } else {
            files.insert(name, path.canonicalize()?);
        }
    }
    Ok(())
}

fn list(files: &BTreeMap<String, PathBuf>, out: &Path) -> io::Result<()> {
    let mut text = String::from("&[\n");
    for (name, path) in files {
        // Writing to a String does not fail.
        let _ = writeln!(text, "({name:?}, include_bytes!({:?})),", path.display().to_string());
    }
    text.push_str("]\n");
    fs::write(out, text)
}
