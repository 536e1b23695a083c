//! One run of cargo inside another, kept apart from it: its own target directory, profile and flags, and none of the
//! environment that the outer cargo, or the person, meant for the outer build.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{Error, TARGET};

/// A guest is loaded often and computes little: small before fast. There is no `[profile.guest]` in any Cargo.toml, so a
/// package from elsewhere is built in the same way.
const PROFILE: [&str; 7] = [
    r#"profile.guest.inherits="release""#,
    r#"profile.guest.opt-level="s""#,
    "profile.guest.lto=true",
    "profile.guest.codegen-units=1",
    r#"profile.guest.panic="abort""#,
    "profile.guest.strip=true",
    "profile.guest.debug=false",
];

/// A compiled core module.
pub(crate) struct Module {
    /// Name of its package.
    pub(crate) package: String,
    /// Version of its package.
    pub(crate) version: String,
    /// Where cargo left it; another build may replace it.
    pub(crate) path: PathBuf,
    /// The module.
    pub(crate) code: Vec<u8>,
}

/// Compiles the library of a package, with everything that cargo makes in `directory`.
pub(crate) fn compile(package: &Path, compiler: &Path, directory: &Path) -> Result<Module, Error> {
    fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
    // Held until the module is read: its file name says nothing of the workspace that it comes from.
    let lock_path = directory.join("lock");
    let lock = File::create(&lock_path).map_err(Error::file("create", &lock_path))?;
    lock.lock().map_err(Error::file("lock", &lock_path))?;
    let workspace = run(cargo(package).args(["locate-project", "--workspace", "--message-format", "plain"]), package)?;
    forget_other_libraries(compiler, directory)?;
    forget_other_workspaces(&workspace.stdout, directory)?;

    let mut command = cargo(package);
    // `rustc --crate-type`, not `build`: a package that is also an ordinary library would not be optimised as a whole.
    command.args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", "guest", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]).arg("--target-dir").arg(directory);
    command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
    command.env("RUSTC", compiler).env("CARGO_ENCODED_RUSTFLAGS", shorten_paths().join("\u{1f}"));
    let built = run(&mut command, package)?;
    let (name, version, path) =
        module_of(&built.stdout, package).ok_or_else(|| Error::NoModule { package: package.into() })?;
    let code = fs::read(&path).map_err(Error::file("read", &path))?;
    Ok(Module { package: name, version, path, code })
}

/// Cargo knows a compiler by its version, and does not notice that guest-policies/toolchain.sh has made its standard
/// library anew: what was compiled against the old one would no longer fit. Whatever it left is removed then.
fn forget_other_libraries(compiler: &Path, directory: &Path) -> Result<(), Error> {
    let sysroot = compiler.parent().and_then(Path::parent).map(|sysroot| sysroot.join("stamp"));
    let made =
        sysroot.and_then(|stamp| Some((fs::read_to_string(&stamp).ok()?, fs::metadata(&stamp).ok()?.modified().ok()?)));
    let library = format!("{} {made:?}", compiler.display());
    let stamp = directory.join("library");
    if fs::read_to_string(&stamp).is_ok_and(|last| last == library) {
        return Ok(());
    }
    let compiled = directory.join(TARGET);
    if compiled.exists() {
        fs::remove_dir_all(&compiled).map_err(Error::file("remove", &compiled))?;
    }
    fs::write(&stamp, library).map_err(Error::file("write", &stamp))
}

/// Cargo names a module after its crate alone. Two clones that share a directory would each take the other's module for
/// their own and up to date, so what another workspace left is removed; crates that both use stay.
fn forget_other_workspaces(workspace: &[u8], directory: &Path) -> Result<(), Error> {
    let stamp = directory.join("workspace");
    if fs::read(&stamp).is_ok_and(|last| last == workspace) {
        return Ok(());
    }
    let modules = directory.join(TARGET).join("guest/deps");
    for file in fs::read_dir(&modules).into_iter().flatten().flatten() {
        let path = file.path();
        if path.extension() == Some(OsStr::new("wasm")) {
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
    }
    fs::write(&stamp, workspace).map_err(Error::file("write", &stamp))
}

/// The cargo that runs us, else the one on the PATH, with what is left of the environment.
fn cargo(package: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(package).stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if is_for_the_outer_build(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Where to find crates, whether to go online, and how many jobs may run is the person's choice for every build.
/// Compilers, wrappers, flags, profiles and directories are meant for one.
fn is_for_the_outer_build(name: &str) -> bool {
    const FOR_EVERY_BUILD: [&str; 9] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_BUILD_JOBS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTRY_",
        "CARGO_REGISTRIES_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    let ours = FOR_EVERY_BUILD.iter().any(|kept| name.starts_with(kept));
    name == "CARGO" || name.starts_with("RUSTC") || name == "RUSTFLAGS" || (name.starts_with("CARGO_") && !ours)
}

/// Panic messages name the file of the crate that they come from. Cargo gives the compiler relative paths inside a
/// workspace, and absolute ones for crates of a registry.
fn shorten_paths() -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let mut registries: Vec<PathBuf> = home
        .and_then(|home| fs::read_dir(home.join("registry/src")).ok())
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    registries.sort();
    registries.iter().map(|registry| format!("--remap-path-prefix={}=registry", registry.display())).collect()
}

fn run(command: &mut Command, package: &Path) -> Result<Output, Error> {
    let output = command.output().map_err(|source| Error::Start {
        program: command.get_program().into(),
        package: package.to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Compile { package: package.into(), output: String::from_utf8_lossy(&output.stderr).into_owned() })
}

/// The package's name and the module, from the messages that cargo prints as JSON, one a line.
fn module_of(messages: &[u8], package: &Path) -> Option<(String, String, PathBuf)> {
    let manifest = package.join("Cargo.toml");
    let artifact = messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .find(|message| {
            message["reason"] == "compiler-artifact"
                && message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest)
                && message["target"]["crate_types"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == "cdylib"))
        })?;
    let path =
        artifact["filenames"].as_array()?.iter().filter_map(Value::as_str).find(|name| name.ends_with(".wasm"))?;
    // A package ID ends in `#name@version`, or `#version` where the directory has the package's name.
    let id = artifact["package_id"].as_str()?;
    let (before, fragment) = id.rsplit_once('#')?;
    let (name, version) = match fragment.split_once('@') {
        Some(both) => both,
        None => (before.rsplit('/').next()?, fragment),
    };
    Some((name.to_owned(), version.to_owned(), path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_builds_compiler_and_flags_are_left_out() {
        for name in ["RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO"] {
            assert!(is_for_the_outer_build(name), "{name}");
        }
    }

    #[test]
    fn where_crates_come_from_is_kept() {
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "PATH", "HOME"] {
            assert!(!is_for_the_outer_build(name), "{name}");
        }
    }

    #[test]
    fn the_module_is_found_among_cargos_messages() {
        let artifact = |dir: &str, id: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/{dir}/Cargo.toml","package_id":"{id}","target":{{"crate_types":["cdylib"]}},"filenames":["/t/{file}"]}}"#
            )
        };
        let messages = [
            "not JSON".to_owned(),
            artifact("sdk", "path+file:///w/sdk#rolewright-policy@0.1.0", "sdk.wasm"),
            artifact("std", "path+file:///w/std#rolewright-standard@0.1.0", "standard.wasm"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ]
        .join("\n");
        let found = module_of(messages.as_bytes(), Path::new("/w/std"));
        assert_eq!(found, Some(("rolewright-standard".to_owned(), "0.1.0".to_owned(), "/t/standard.wasm".into())));
        assert_eq!(module_of(messages.as_bytes(), Path::new("/w/other")), None);
        let short = artifact("naming", "path+file:///w/naming#0.1.0", "naming.wasm");
        let found = module_of(short.as_bytes(), Path::new("/w/naming"));
        assert_eq!(found, Some(("naming".to_owned(), "0.1.0".to_owned(), "/t/naming.wasm".into())));
    }
}
