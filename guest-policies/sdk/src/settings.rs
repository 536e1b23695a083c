//! Settings: from the JSON text that crosses the boundary to the policy's own type. What a setting means is the
//! policy's business.

use std::cell::Cell;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::Value;

use crate::Finding;

/// For a policy without settings: accepts `null` and `{}`, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings; `null` and nothing at all are the default.
pub(crate) fn parse<S: DeserializeOwned + Default>(text: &str) -> Result<S, Finding> {
    if text.trim().is_empty() {
        return Ok(S::default());
    }
    // serde takes a list for the fields in their order, and one without any for the defaults.
    if text.trim_start().starts_with('[') {
        return Err(invalid("the settings of this policy are a list, and should be a mapping of names to values"));
    }
    match serde_json::from_str::<Option<S>>(text) {
        Ok(settings) => Ok(settings.unwrap_or_default()),
        Err(error) => Err(invalid(format!("the settings of this policy cannot be read: {error}"))),
    }
}

fn invalid(message: impl Into<String>) -> Finding {
    Finding::error("invalid-settings", "", message)
}

/// A list that stands where the type has fields of its own, in settings that could be read. What it means is not what it
/// seems: `[]` for the rules of a role would be all the defaults, which may be no rule at all. It costs as much as the
/// reading, so it is looked for once, when the settings are checked.
pub(crate) fn misplaced_list<S: DeserializeOwned>(text: &str) -> Option<Finding> {
    let value: Value = serde_json::from_str(text).ok()?;
    let found = Cell::new(None);
    // Whatever else is wrong was found before.
    let _ = S::deserialize(Strict { value: &value, found: &found });
    let list = found.get()?;
    Some(invalid(format!(
        "the settings of this policy have the list {list} where a mapping of names to values belongs"
    )))
}

/// Reads a value as serde_json does, but for lists where there should be a mapping: those it notes down.
#[derive(Clone, Copy)]
struct Strict<'de> {
    value: &'de Value,
    found: &'de Cell<Option<&'de Value>>,
}

impl<'de> Strict<'de> {
    fn inner(self, value: &'de Value) -> Self {
        Strict { value, ..self }
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Strict<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(|it| self.inner(it)))),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, value)| (key.as_str(), self.inner(value)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if self.value.is_array() {
            self.found.set(Some(self.value));
            return Err(Self::Error::custom("a list"));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.value.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Severity;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        depth: u32,
    }

    #[test]
    fn null_is_the_default() {
        assert_eq!(parse::<Settings>("null"), Ok(Settings { depth: 0 }));
        assert_eq!(parse::<Settings>(""), Ok(Settings { depth: 0 }));
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let finding = parse::<Settings>(r#"{"dept": 3}"#).unwrap_err();
        assert_eq!((finding.code.as_str(), finding.severity), ("invalid-settings", Severity::Error));
        assert!(finding.message.contains("`dept`"), "{}", finding.message);
    }

    #[test]
    fn a_list_is_no_settings() {
        for text in ["[]", " [3]"] {
            assert!(parse::<Settings>(text).unwrap_err().message.contains("a mapping"), "{text}");
        }
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Nested {
        roles: BTreeMap<String, Settings>,
        first: Option<Settings>,
        pairs: Vec<[String; 2]>,
    }

    #[test]
    fn a_list_is_no_mapping_inside_either() {
        for (text, list) in [
            (r#"{"roles": {"a": {"depth": 1}, "b": []}}"#, "the list []"),
            (r#"{"roles": {"a": [7]}}"#, "the list [7]"),
            (r#"{"first": []}"#, "the list []"),
        ] {
            let finding = misplaced_list::<Nested>(text).unwrap();
            assert_eq!(finding.code, "invalid-settings");
            assert!(finding.message.contains(list), "{text}: {}", finding.message);
        }
        let good = r#"{"roles": {"a": {"depth": 1}, "b": {}}, "first": null, "pairs": [["x", "y"]]}"#;
        for text in [good, "null", "{}", ""] {
            assert!(parse::<Nested>(text).is_ok(), "{text}");
            assert_eq!(misplaced_list::<Nested>(text), None, "{text}");
        }
    }

    #[test]
    fn a_policy_without_settings_accepts_none() {
        assert_eq!(parse::<NoSettings>("null"), Ok(NoSettings {}));
        assert_eq!(parse::<NoSettings>("{}"), Ok(NoSettings {}));
        assert!(parse::<NoSettings>(r#"{"depth": 3}"#).is_err());
    }
}
