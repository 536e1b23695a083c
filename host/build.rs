//! Compiles the built-in policy from `guest-policies/standard`, so that it ships inside the binary
//! and is never committed as one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guests = root.join("guest-policies");
    let standard = guests.join("standard");
    rolewright_guest_build::rerun_if_changed([root.join("wit"), guests.join("sdk"), standard.clone()]);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    match rolewright_guest_build::build(&standard, &out) {
        Ok(component) => {
            println!("cargo:rustc-env=ROLEWRIGHT_STANDARD_POLICY={}", component.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the built-in policy could not be built: {error}");
            ExitCode::FAILURE
        }
    }
}
