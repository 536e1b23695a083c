//! Compiles a policy that is written in Rust to a WebAssembly component: from a build script, a test, or (the binary of
//! this crate) a shell. It knows nothing of what a policy does; the contract travels inside the compiled code.
//!
//! ```text
//! package ──► cargo rustc --target wasm32-unknown-unknown ──► core module ──► wit-component ──► name.wasm
//! ```
//!
//! The same source gives the same bytes, wherever it lies and whatever the person's own flags are: the profile is set
//! here, names are stripped, and the paths of crates are shortened.

mod cargo;
mod compiler;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wasm_encoder::{ComponentSection as _, CustomSection};

/// What policies are compiled for. No WASI: a policy imports nothing but `log`.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Why a policy could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No compiler has a standard library for the target.
    #[error(
        "no Rust compiler with a standard library for {TARGET} was found (asked: {asked}), so {package} cannot be \
         compiled. Run guest-policies/toolchain.sh, which installs or builds one, and set ROLEWRIGHT_GUEST_RUSTC as it \
         says"
    )]
    NoCompiler {
        /// The package that was to be built.
        package: PathBuf,
        /// The compilers that were asked.
        asked: String,
    },
    /// Cargo could not be started.
    #[error("cannot run {program} to build {package}: {source}")]
    Start {
        /// The cargo that was to be run.
        program: PathBuf,
        /// The package that was to be built.
        package: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Cargo or the compiler refused.
    #[error("building {package} for {TARGET} failed. Cargo said:\n{output}")]
    Compile {
        /// The package that was to be built.
        package: PathBuf,
        /// What cargo wrote to standard error.
        output: String,
    },
    /// Cargo succeeded and named no module.
    #[error("building {package} gave no WebAssembly module. Has the package a library?")]
    NoModule {
        /// The package that was built.
        package: PathBuf,
    },
    /// The module is no policy.
    #[error("{module} cannot be made a component: {why}. Does the crate call rolewright_policy::export! ?")]
    Component {
        /// The core module.
        module: PathBuf,
        /// What wit-component said, with its causes.
        why: String,
    },
    /// A file or directory.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::File { action, path: path.to_owned(), source }
    }
}

/// Builds the package in `package_dir` and writes the component to `<name>.wasm` in `out_dir`, where `<name>` is the
/// name of the package. Returns the path of the component.
///
/// Works from a build script, while cargo holds the lock of its target directory: what is compiled goes to a directory
/// `guests` of its own beside it, which all callers share. A component that would not change is left as it is, so whoever
/// includes it is not rebuilt.
///
/// # Errors
///
/// When there is no compiler for the target, when the package does not compile, and when what comes out is no policy.
pub fn build(package_dir: &Path, out_dir: &Path) -> Result<PathBuf, Error> {
    build_in(package_dir, &Places { out: out_dir.to_owned(), work: guests_directory(out_dir) })
}

/// Where a build leaves what it makes.
#[derive(Debug, Clone)]
pub struct Places {
    /// The component.
    pub out: PathBuf,
    /// What cargo compiles on the way.
    pub work: PathBuf,
}

/// The same as [`build`], in places of the caller's choice.
///
/// # Errors
///
/// As [`build`].
pub fn build_in(package_dir: &Path, places: &Places) -> Result<PathBuf, Error> {
    let package = package_dir.canonicalize().map_err(Error::file("find the package", package_dir))?;
    let compiler = compiler::find(&package)?;
    let Places { out, work } = places;
    fs::create_dir_all(out).map_err(Error::file("create", out))?;
    // Cargo runs in the package.
    let work = std::path::absolute(work).map_err(Error::file("find", work))?;
    let module = cargo::compile(&package, &compiler, &work)?;
    let mut component =
        componentize(&module.code).map_err(|why| Error::Component { module: module.path.clone(), why })?;
    carry_version(&module.version, &mut component);
    let path = out.join(format!("{}.wasm", module.package));
    write(&path, &component)?;
    Ok(path)
}

/// Prints, for cargo, the paths that a build script depends on: those of the guests that it builds, and of what those
/// are made from. A directory stands for everything in it.
pub fn rerun_if_changed<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) {
    for path in paths {
        println!("cargo:rerun-if-changed={}", path.as_ref().display());
    }
}

/// Where cargo puts what it compiles: beside the profile directories of the target directory that we were compiled into
/// or that `out_dir` lies in, or else in `out_dir` itself.
fn guests_directory(out_dir: &Path) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target =
        program.ancestors().skip(1).chain(out_dir.ancestors()).find(|directory| is_target_directory(directory));
    target.unwrap_or(out_dir).join("guests")
}

/// Cargo marks a target directory that it created with a note for backup programs, and leaves in each, created or found,
/// what it knows of the compiler.
fn is_target_directory(directory: &Path) -> bool {
    ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|file| directory.join(file).is_file())
}

/// Turns a core module into a component, by the description of its world that the SDK's macros left in it.
fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let words = |error| format!("{error:#}");
    // Without a description any module makes a component: one with no exports.
    if let (None, _) = wit_component::metadata::decode(module).map_err(words)? {
        return Err("it does not say which interfaces it exports".to_owned());
    }
    wit_component::ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(words)
}

/// Adds the version where registries and `wasm-tools metadata` look for it: who only has the file can tell it, too.
fn carry_version(version: &str, component: &mut Vec<u8>) {
    CustomSection { name: "version".into(), data: version.as_bytes().into() }.append_to_component(component);
}

/// Writes a file in one step, so that nobody reads half of it, and only if it changes.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&aside, bytes).map_err(Error::file("write", &aside))?;
    fs::rename(&aside, path).map_err(Error::file("write", path))
}
