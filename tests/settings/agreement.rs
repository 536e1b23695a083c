//! The schema of a policy's settings, which editors and CI go by, and the type, which the policy goes by, say the same:
//! of the settings in each README and each fixture, and of all that comes of them when one value is changed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed expectation is how a test fails

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use rolewright_policy::bindings::configure::exports::rolewright::policy::configure;
use rolewright_policy::guest::Exported;
use rolewright_policy::{Policy, Severity};
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn yaml(path: &Path, text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The settings of the chain's first policy in the README's example, and those of each fixture, with where they stand.
fn examples(directory: &Path) -> Vec<(PathBuf, Value)> {
    let readme = directory.join("README.md");
    // The template's has places for a name.
    let text = read(&readme).replace("{{name}}", "rule");
    let chain = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a chain in README.md");
    let settings = yaml(&readme, chain)["policies"][0]["settings"].take();
    let mut examples = vec![(readme, settings)];
    for case in fs::read_dir(directory.join("fixtures")).expect("fixtures") {
        let path = case.unwrap().path().join("settings.yaml");
        if path.is_file() {
            examples.push((path.clone(), yaml(&path, &read(&path))));
        }
    }
    assert!(examples.len() > 1, "{}: no fixture has settings", directory.display());
    examples
}

/// What comes of a value when one thing in it is another: a value that is replaced, a key that is missing or one too many.
fn variations(value: &Value) -> Vec<Value> {
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(101),
        json!(""),
        json!("x"),
        json!({}),
        json!([]),
    ];
    let mut variations: Vec<Value> = others.into();
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                variations.extend(variations_of(inner, |other| {
                    let mut map = map.clone();
                    map.insert(key.clone(), other);
                    map.into()
                }));
                let mut fewer = map.clone();
                fewer.remove(key);
                variations.push(fewer.into());
            }
            let mut more = map.clone();
            more.insert("not-a-setting".to_owned(), json!({}));
            variations.push(more.into());
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                variations.extend(variations_of(inner, |other| {
                    let mut items = items.clone();
                    items[index] = other;
                    items.into()
                }));
            }
            variations.push(items.iter().chain(items).cloned().collect());
            variations.push(json!([]));
        }
        _ => {}
    }
    variations
}

fn variations_of(inner: &Value, within: impl Fn(Value) -> Value) -> Vec<Value> {
    variations(inner).into_iter().map(within).collect()
}

/// Why the policy does not take these settings, asked as the host asks it: they cannot be read, or make no sense. `null`
/// stands for none at all, and is no matter of the schema.
fn refusal<P: Policy>(settings: &Value) -> (Option<String>, Option<String>) {
    let told = <Exported<P> as configure::Guest>::validate_settings(settings.to_string());
    let mut errors = told.into_iter().filter(|finding| finding.severity == Severity::Error);
    match errors.next() {
        Some(error) if error.code == "invalid-settings" => (Some(error.message), None),
        senseless => (None, senseless.map(|error| error.message)),
    }
}

fn schema_of<P: Policy>() -> Validator {
    let text = P::info().settings_schema.expect("a schema");
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn agree<P: Policy>(directory: &str) {
    let schema = schema_of::<P>();
    for (path, example) in examples(&repository().join(directory)) {
        let place = path.display();
        schema.validate(&example).unwrap_or_else(|error| panic!("{place}: {error}, at {}", error.instance_path()));
        assert_eq!(refusal::<P>(&example), (None, None), "{place}");
        for variation in variations(&example).into_iter().filter(|it| !it.is_null()) {
            let fits = schema.is_valid(&variation);
            let (unreadable, senseless) = refusal::<P>(&variation);
            // What the schema lets through can be read; whether it makes sense, a schema cannot say in every case.
            assert!(!fits || unreadable.is_none(), "{place}: the schema allows {variation}, but {unreadable:?}");
            let refused = unreadable.is_some() || senseless.is_some();
            assert!(fits || refused, "{place}: the schema refuses {variation}, and the policy takes it");
        }
    }
}

#[test]
fn the_example() {
    agree::<naming::Naming>("examples/policies/naming-rust");
}

/// One test for each policy that ships and has settings.
macro_rules! policies {
    ($($test:ident: $policy:ty, $directory:literal;)+) => {
        $(#[test]
        fn $test() {
            agree::<$policy>(concat!("guest-policies/", $directory));
        })+

        #[test]
        fn no_policy_with_settings_is_left_out() {
            let known = [$($directory),+];
            for entry in fs::read_dir(repository().join("guest-policies")).unwrap() {
                let path = entry.unwrap().path();
                let has_settings = path.join("settings.schema.json").is_file();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap();
                assert_eq!(has_settings, known.contains(&name), "{name}");
            }
        }
    };
}

policies! {
    blast_radius: rolewright_blast_radius::BlastRadius, "blast-radius";
    change_window: rolewright_change_window::ChangeWindow, "change-window";
    credential_age: rolewright_credential_age::CredentialAge, "credential-age";
    expiry: rolewright_expiry::ExpiryPolicy, "expiry";
    naming: rolewright_naming::Naming, "naming";
    ownership: rolewright_ownership::Ownership, "ownership";
    password_strength: rolewright_password_strength::PasswordStrength, "password-strength";
    privilege_ceiling: rolewright_privilege_ceiling::PrivilegeCeiling, "privilege-ceiling";
    role_catalog: rolewright_role_catalog::RoleCatalog, "role-catalog";
}

/// A new project has the schema as a text to be filled in, and its type is compiled where it is made.
#[test]
fn the_schema_of_the_template_fits_its_examples() {
    let directory = repository().join("guest-policies/templates/rust");
    let text = read(&directory.join("settings.schema.json"));
    assert!(text.contains("Settings of the policy {{name}}"));
    let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    for (path, example) in examples(&directory) {
        assert!(schema.is_valid(&example), "{}", path.display());
        assert!(variations(&example).iter().any(|variation| !schema.is_valid(variation)), "{}", path.display());
    }
}
