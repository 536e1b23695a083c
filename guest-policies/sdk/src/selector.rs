//! Which roles a rule is about: chosen by name or by label, in the settings of a policy. The same words in every
//! policy, so that an operator learns them once.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Finding, Role};

/// Names and labels. All that is given must fit; nothing given fits every role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Names, where `*` stands for any text; one of them must fit.
    pub names: Vec<String>,
    /// Labels that the role must have; `*` in a value stands for any text.
    pub labels: BTreeMap<String, String>,
}

impl Selector {
    /// Whether it chooses this role.
    pub fn fits(&self, role: &Role) -> bool {
        let named = self.names.is_empty() || self.names.iter().any(|pattern| matches(pattern, &role.name));
        named && self.labels.iter().all(|(key, pattern)| label(role, key).is_some_and(|value| matches(pattern, value)))
    }

    /// Whether it names nothing, and so fits everything: mostly a mistake where exceptions are meant.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.labels.is_empty()
    }

    /// A finding for each exception that fits everything, which would switch the rule off. `path` is where the list
    /// of exceptions stands in the settings.
    pub fn all_embracing(exceptions: &[Selector], path: &str) -> Vec<Finding> {
        let empty = exceptions.iter().enumerate().filter(|(_, selector)| selector.is_empty());
        let finding = |(index, _): (usize, &Selector)| {
            let message = "an exception that names neither names nor labels excepts everybody";
            Finding::error("empty-exception", format!("{path}/{index}"), message)
                .help("give it `names` or `labels`, or leave it out")
        };
        empty.map(finding).collect()
    }
}

/// The value of a label.
pub fn label<'a>(role: &'a Role, key: &str) -> Option<&'a str> {
    role.labels.iter().find(|label| label.key == key).map(|label| label.value.as_str())
}

/// Whether a text is what the pattern says, in which `*` stands for any text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves the most for what follows.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [("a*b*c", "abc"), ("*", ""), ("a*", "ab"), ("*b*", "abc"), ("a*ab", "aabab"), ("", "")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*b*c", "acb"), ("a", "ab"), ("a*a", "a"), ("", "a"), ("*ab*ab", "ab")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_role_is_chosen_by_name_and_labels_together() {
        let mut alice = Role::user("alice");
        alice.labels = vec![Label { key: "kind".to_owned(), value: "human".to_owned() }];
        let selector = |names: &[&str], kind: Option<&str>| Selector {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            labels: kind.map(|kind| ("kind".to_owned(), kind.to_owned())).into_iter().collect(),
        };
        assert!(Selector::default().fits(&alice));
        assert!(selector(&["bob", "al*"], Some("hu*")).fits(&alice));
        assert!(!selector(&["bob"], Some("human")).fits(&alice));
        assert!(!selector(&["alice"], Some("robot")).fits(&alice));
        assert!(!selector(&[], Some("human")).fits(&Role::user("bob")));
    }
}
