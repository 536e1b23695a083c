//! Builds one policy: `cargo run -p rolewright-guest-build -- PACKAGE_DIRECTORY OUTPUT_DIRECTORY` prints where the
//! component is.

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [package, out] = arguments.as_slice() else {
        eprintln!("usage: rolewright-guest-build PACKAGE_DIRECTORY OUTPUT_DIRECTORY");
        return ExitCode::FAILURE;
    };
    match rolewright_guest_build::build(Path::new(package), Path::new(out)) {
        Ok(component) => {
            println!("{}", component.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
