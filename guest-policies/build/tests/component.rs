//! What a built policy looks like from outside, on the two that are built most: the one that ships and the one to copy.

#![allow(clippy::unwrap_used)] // Clippy knows test functions, but not those that they share.

use std::path::{Path, PathBuf};

use wit_component::DecodedWasm;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn build(package: &str) -> Vec<u8> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    let path =
        rolewright_guest_build::build(&repository().join(package), &out).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(path).unwrap()
}

/// The interfaces that a component imports, and those that it exports.
fn interfaces(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).unwrap() else {
        panic!("not a component");
    };
    let world = &resolve.worlds[world];
    let names = |items: Vec<_>| {
        let mut names: Vec<String> = items.into_iter().map(|key| resolve.name_world_key(key)).collect();
        names.sort();
        names
    };
    (names(world.imports.keys().collect()), names(world.exports.keys().collect()))
}

fn named(interfaces: &[&str]) -> Vec<String> {
    interfaces.iter().map(|name| format!("rolewright:policy/{name}@0.1.0")).collect()
}

#[test]
fn the_standard_policy_exports_its_stages_and_imports_only_types_and_log() {
    let (imports, exports) = interfaces(&build("guest-policies/standard"));
    assert_eq!(imports, named(&["changes", "log", "types"]));
    assert_eq!(exports, named(&["configure", "describe", "plan", "validate"]));
}

#[test]
fn a_policy_that_only_validates_exports_no_other_stage() {
    let (imports, exports) = interfaces(&build("examples/policies/naming-rust"));
    assert_eq!(imports, named(&["log", "types"]));
    assert_eq!(exports, named(&["configure", "describe", "validate"]));
}

#[test]
fn no_path_of_this_checkout_is_left_in_a_component() {
    let component = build("guest-policies/standard");
    let root = repository();
    let root = root.to_str().unwrap().as_bytes();
    assert!(!component.windows(root.len()).any(|window| window == root));
}

#[test]
fn a_package_that_is_no_policy_is_refused_with_the_line_that_it_lacks() {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-policy");
    std::fs::create_dir_all(package.join("src")).unwrap();
    std::fs::write(
        package.join("Cargo.toml"),
        "[package]\nname = \"no-policy\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n",
    )
    .unwrap();
    std::fs::write(package.join("src/lib.rs"), "#[unsafe(no_mangle)]\npub extern \"C\" fn nothing() {}\n").unwrap();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    let error = rolewright_guest_build::build(&package, &out).unwrap_err().to_string();
    assert!(error.contains("rolewright_policy::export!"), "{error}");
    std::fs::write(package.join("src/lib.rs"), "fn nothing() -> u8 { }\n").unwrap();
    let error = rolewright_guest_build::build(&package, &out).unwrap_err().to_string();
    assert!(error.contains("mismatched types"), "{error}");
}
