//! What the annotations of the ConfigMap ask of the controller: to let a held plan run, to pause, to
//! look at everything now. They say nothing of what is declared.

/// Lets the held plan with this digest run.
pub const APPROVE: &str = "rolewright.dev/approve";
/// `"true"`: nothing is applied.
pub const PAUSED: &str = "rolewright.dev/paused";
/// A new value has everything read and compared at once.
pub const SYNC_NOW: &str = "rolewright.dev/sync-now";

/// What the annotations ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// Digest of the plan that may run although it is held.
    pub approve: Option<String>,
    /// Whether nothing may be applied.
    pub paused: bool,
    /// Whatever was written to ask for a full cycle.
    pub sync_now: Option<String>,
}

impl Directives {
    /// Reads the annotations. Whoever writes `paused` wants a pause: only a clear no is none.
    pub(super) fn read<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Directives {
        let text = |key| annotation(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        Directives {
            approve: text(APPROVE),
            paused: text(PAUSED)
                .is_some_and(|word| !["false", "no", "off", "0"].contains(&&*word.to_ascii_lowercase())),
            sync_now: text(SYNC_NOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &[(&str, &str)]) -> Directives {
        Directives::read(|key| annotations.iter().find(|(found, _)| *found == key).map(|(_, value)| *value))
    }

    #[test]
    fn without_annotations_nothing_is_asked_for() {
        assert_eq!(read(&[]), Directives::default());
        assert_eq!(read(&[(APPROVE, " "), (PAUSED, ""), (SYNC_NOW, "")]), Directives::default());
    }

    #[test]
    fn only_a_clear_no_is_no_pause() {
        for word in ["true", "True", "yes", "1", "until monday"] {
            assert!(read(&[(PAUSED, word)]).paused, "{word}");
        }
        for word in ["false", "False", "no", "0", "off"] {
            assert!(!read(&[(PAUSED, word)]).paused, "{word}");
        }
    }

    #[test]
    fn a_digest_is_taken_without_the_space_around_it() {
        assert_eq!(read(&[(APPROVE, "sha256:ab\n")]).approve.as_deref(), Some("sha256:ab"));
    }
}
