//! Settings: from the JSON text that crosses the boundary to the policy's own type. What a setting means is the
//! policy's business.

use serde::Deserialize;
use serde::de::DeserializeOwned;

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
        let message = "the settings of this policy are a list, and should be a mapping of names to values";
        return Err(Finding::error("invalid-settings", "", message));
    }
    match serde_json::from_str::<Option<S>>(text) {
        Ok(settings) => Ok(settings.unwrap_or_default()),
        Err(error) => {
            Err(Finding::error("invalid-settings", "", format!("the settings of this policy cannot be read: {error}")))
        }
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_policy_without_settings_accepts_none() {
        assert_eq!(parse::<NoSettings>("null"), Ok(NoSettings {}));
        assert_eq!(parse::<NoSettings>("{}"), Ok(NoSettings {}));
        assert!(parse::<NoSettings>(r#"{"depth": 3}"#).is_err());
    }
}
