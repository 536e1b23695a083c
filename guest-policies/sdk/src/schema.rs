//! The JSON schema of a policy's settings, made from the type that reads them, so that the two cannot differ. It is made
//! in a test: what ships is its text, in a file of the crate, and nothing of what makes it.
//!
//! The feature `schema` is for the tests alone, and so is what is derived:
//!
//! ```toml
//! [dev-dependencies]
//! rolewright-policy = { path = "…", features = ["schema"] }
//! ```
//!
//! ```ignore
//! #[derive(Default, Deserialize)]
//! #[cfg_attr(test, derive(JsonSchema), schemars(crate = "rolewright_policy::schemars"))]
//! #[serde(deny_unknown_fields, default)]
//! pub struct Settings {
//!     /// A name must begin with one of these; none: with anything.
//!     pub prefixes: Vec<String>,
//! }
//!
//! // In `Policy::info`:
//! rolewright_policy::package_info!().settings_schema(include_str!("../settings.schema.json"))
//!
//! #[test]
//! fn the_schema_is_that_of_the_settings() {
//!     rolewright_policy::schema::assert_current::<Rule>();
//! }
//! ```
//!
//! What a field means is taken from its comment, and its default from the type's, if it can be serialized. A file that is
//! not there yet may begin empty; `BLESS=1 cargo test` writes it.

use std::path::PathBuf;
use std::{env, fs};

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::Policy;

/// Where the schema is kept, in the directory of the crate.
pub const FILE: &str = "settings.schema.json";

/// If this is in the environment, the file is written and not compared.
const BLESS: &str = "BLESS";

/// The schema of a policy's settings, as it is to stand in [`FILE`].
pub fn text<P: Policy>() -> String
where
    P::Settings: JsonSchema,
{
    // One document from top to bottom, for those who read it; Rust's names of types are nobody's business.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let generator = settings.with_transform(RecursiveTransform(in_plain_words)).into_generator();
    let mut schema = generator.into_root_schema_for::<P::Settings>();
    schema.insert("title".to_owned(), format!("Settings of the policy {}", P::info().name).into());
    // To write maps, lists and texts into a text does not fail.
    let mut text = serde_json::to_string_pretty(&Ordered(schema.as_value())).unwrap_or_default();
    text.push('\n');
    text
}

/// For a test: that [`FILE`] is what the type of the settings gives, and that the policy hands it out. With `BLESS=1` in
/// the environment the file is written instead.
///
/// # Panics
///
/// When one of the two is not so, with what to do about it; and when the file cannot be written.
#[track_caller]
pub fn assert_current<P: Policy>()
where
    P::Settings: JsonSchema,
{
    let text = text::<P>();
    let path = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(FILE);
    if env::var_os(BLESS).is_some() {
        let written = fs::write(&path, &text);
        assert!(written.is_ok(), "{} cannot be written: {written:?}", path.display());
        return;
    }
    let stale = difference(&fs::read_to_string(&path).unwrap_or_default(), &text);
    assert!(stale.is_none(), "{}{}", path.display(), stale.unwrap_or_default());
    assert!(
        P::info().settings_schema.as_deref() == Some(text.as_str()),
        "the policy does not hand out its schema: add .settings_schema(include_str!(\"../{FILE}\")) to its info"
    );
}

/// What is wrong with what was found, and what to do about it, after the name of the file.
fn difference(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let same = found.lines().zip(wanted.lines()).take_while(|(is, should)| is == should).count();
    let line = |text: &str| text.lines().nth(same).map_or("nothing more", str::trim).to_owned();
    Some(format!(
        " is not the schema of the settings, from line {} on:\n  is:        {}\n  should be: {}\nIf the settings are as \
         they should be, write the file anew: {BLESS}=1 cargo test",
        same + 1,
        line(found),
        line(wanted),
    ))
}

/// What Rust says and JSON does not: the names of its integers, which validators do not know and which their ranges tell
/// anyway, and the lines into which a comment is broken.
fn in_plain_words(schema: &mut Schema) {
    let is_integer = |format: &str| format.trim_start_matches('u').starts_with("int");
    if schema.get("format").and_then(Value::as_str).is_some_and(is_integer) {
        schema.remove("format");
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// JSON with what people look for first in front. Others follow by name, whether serde_json keeps an order or not: that
/// is decided by whatever else is compiled with us.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const FIRST: [&str; 4] = ["$schema", "title", "description", "type"];
        match self.0 {
            Value::Object(map) => {
                let mut entries: Vec<(&String, &Value)> = map.iter().collect();
                let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
                entries.sort_by_key(|(key, _)| (place(key), *key));
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{Info, NoSettings, Selector};

    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
    #[allow(dead_code)] // Only its shape is looked at.
    struct Settings {
        /// How many there may be
        /// at most.
        at_most: Option<u32>,
        /// Whom it concerns; none: everybody.
        users: Vec<Selector>,
    }

    struct Rule;

    impl Policy for Rule {
        type Settings = Settings;

        fn info() -> Info {
            Info::new("rule", "1.0.0", "A rule.")
        }
    }

    struct Unsettable;

    impl Policy for Unsettable {
        type Settings = NoSettings;

        fn info() -> Info {
            Info::new("unsettable", "1.0.0", "Has no settings.")
        }
    }

    const TEXT: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Settings of the policy rule",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "at-most": {
      "description": "How many there may be at most.",
      "type": [
        "integer",
        "null"
      ],
      "default": null,
      "minimum": 0
    },
    "users": {
      "description": "Whom it concerns; none: everybody.",
      "type": "array",
      "default": [],
      "items": {
        "description": "Names and labels. All that is given must fit; nothing given fits every role.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "labels": {
            "description": "Labels that the role must have; `*` in a value stands for any text.",
            "type": "object",
            "additionalProperties": {
              "type": "string"
            },
            "default": {}
          },
          "names": {
            "description": "Names, where `*` stands for any text; one of them must fit.",
            "type": "array",
            "default": [],
            "items": {
              "type": "string"
            }
          }
        }
      }
    }
  }
}
"#;

    #[test]
    fn a_schema_is_one_plain_document() {
        assert_eq!(text::<Rule>(), TEXT);
    }

    #[test]
    fn where_nothing_can_be_set_nothing_may_be() {
        let schema: Value = serde_json::from_str(&text::<Unsettable>()).unwrap();
        assert_eq!((&schema["additionalProperties"], &schema["properties"]), (&Value::Bool(false), &Value::Null));
    }

    #[test]
    fn a_file_that_is_not_current_is_told_with_its_first_wrong_line() {
        assert_eq!(difference(TEXT, TEXT), None);
        let told = difference(&TEXT.replace("\"minimum\": 0", "\"minimum\": 1"), TEXT).unwrap();
        assert!(told.contains("line 14 ") && told.contains("\"minimum\": 1\n  should be: \"minimum\": 0"), "{told}");
        let told = difference("", TEXT).unwrap();
        assert!(told.contains("line 1 ") && told.contains("nothing more") && told.contains("BLESS=1"), "{told}");
        assert!(difference(TEXT.trim_end(), TEXT).is_some());
    }
}
