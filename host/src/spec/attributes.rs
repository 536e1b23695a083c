//! What a user or a group role may say of itself beyond name, access and password: labels, an end, a
//! limit of sessions, a comment, and the attributes of PostgreSQL. Each is optional, and absent means
//! what it always meant.

use std::collections::BTreeMap;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::parse::Reader;
use super::yaml::{self, Entry, Kind, Node, Problem};
use crate::model::{self, Expiry, Limit};

/// Bytes of a label's key and of its value, as Kubernetes has them.
const MAX_LABEL: usize = 63;
/// PostgreSQL counts sessions in 32 bits, with a sign.
const MAX_SESSIONS: u32 = i32::MAX as u32;

/// As read; good if no problem was reported.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) valid_until: Option<Expiry>,
    pub(super) connection_limit: Option<Limit>,
    pub(super) comment: Option<String>,
    /// Those that are switched on, and those that are switched off: INHERIT is on unless it is.
    pub(super) on: model::Attributes,
    pub(super) off: model::Attributes,
}

/// Attributes by their keys. LOGIN has none: whoever logs in is one of the `users`.
pub(crate) const FLAGS: [(&str, model::Attributes); 6] = [
    ("superuser", model::Attributes::SUPERUSER),
    ("createdb", model::Attributes::CREATEDB),
    ("createrole", model::Attributes::CREATEROLE),
    ("inherit", model::Attributes::INHERIT),
    ("replication", model::Attributes::REPLICATION),
    ("bypassrls", model::Attributes::BYPASSRLS),
];

impl Reader {
    pub(super) fn attributes(&mut self, user: &Node, path: &str, who: &str) -> Attributes {
        let (mut on, mut off) = (model::Attributes::empty(), model::Attributes::empty());
        for (key, flag) in FLAGS {
            match self.flag(user, key, path, who) {
                Some(true) => on |= flag,
                Some(false) => off |= flag,
                None => {}
            }
        }
        Attributes {
            on,
            off,
            labels: user
                .get("labels")
                .map(|node| self.labels(node, &format!("{path}/labels"), who))
                .unwrap_or_default(),
            valid_until: user
                .get("valid_until")
                .and_then(|node| self.valid_until(node, &format!("{path}/valid_until"), who)),
            connection_limit: user
                .get("connection_limit")
                .and_then(|node| self.connection_limit(node, &format!("{path}/connection_limit"), who)),
            comment: user.get("comment").and_then(|node| self.comment(node, &format!("{path}/comment"), who)),
        }
    }

    /// `true` or `false`; `None` where nothing is said, or something else.
    pub(super) fn flag(&mut self, node: &Node, key: &str, path: &str, who: &str) -> Option<bool> {
        let value = node.get(key)?;
        let said = value.boolean();
        if said.is_none() {
            self.wrong_type(value, &format!("{path}/{key}"), &format!("`{key}` of {who}"), "true or false");
        }
        said
    }

    pub(super) fn labels(&mut self, node: &Node, path: &str, who: &str) -> BTreeMap<String, String> {
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(node, path, &format!("`labels` of {who}"), "a mapping such as `{team: payments}`");
            return BTreeMap::new();
        };
        let mut labels = BTreeMap::new();
        for Entry { key, value } in entries {
            let path = format!("{path}/{}", yaml::escape(&key.text));
            let fits = |text: &str| text.len() <= MAX_LABEL && !text.chars().any(char::is_control);
            if key.text.is_empty() || !fits(&key.text) {
                let message =
                    format!("{:?} cannot be the key of a label: it needs 1 to 63 bytes on one line", key.text);
                self.report(Problem::new(key.start..key.end, "invalid-label", path, message));
                continue;
            }
            let Some(text) = self.words(value, &path, &format!("the label {:?}", key.text)) else { continue };
            if !fits(text) {
                let message =
                    format!("the label {:?} of {who} needs a value of at most 63 bytes on one line", key.text);
                self.report(Problem::new(value.range(), "invalid-label", path, message));
                continue;
            }
            labels.insert(key.text.clone(), text.to_owned());
        }
        labels
    }

    fn valid_until(&mut self, node: &Node, path: &str, who: &str) -> Option<Expiry> {
        if node.text().is_some_and(|text| text.trim() == "never") {
            return Some(Expiry::Never);
        }
        self.moment(node, path, "valid_until", who).map(Expiry::At)
    }

    /// A point in time, in Unix seconds; a date is the moment at which it begins in UTC.
    pub(super) fn moment(&mut self, node: &Node, path: &str, key: &str, who: &str) -> Option<i64> {
        // Only a password can be said never to end: a membership without `until` does not.
        let never = if key == "valid_until" { "`never`, " } else { "" };
        let text = match &node.kind {
            Kind::Text(text) => text.trim(),
            _ => {
                let wanted = format!("{never}a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z");
                self.wrong_type(node, path, &format!("`{key}` of {who}"), &wanted);
                return None;
            }
        };
        let date =
            Date::parse(text, format_description!("[year]-[month]-[day]")).map(|date| date.midnight().assume_utc());
        match date.or_else(|_| OffsetDateTime::parse(text, &Rfc3339)) {
            Ok(moment) => Some(moment.unix_timestamp()),
            Err(_) => {
                let message = format!("`{key}` of {who} is no point in time: {text:?}");
                let help = format!(
                    "write {never}a date such as 2027-01-31 (it ends as that day begins, in UTC), or a time such as \
                     2027-01-31T18:00:00Z"
                );
                self.report(Problem::new(node.range(), "invalid-time", path.to_owned(), message).help(help));
                None
            }
        }
    }

    pub(super) fn connection_limit(&mut self, node: &Node, path: &str, who: &str) -> Option<Limit> {
        if node.text() == Some("unlimited") {
            return Some(Limit::Unlimited);
        }
        let number = match &node.kind {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(most) if most <= MAX_SESSIONS => Some(Limit::AtMost(most)),
            _ => {
                let message = format!("`connection_limit` of {who} must be a number of sessions, or `unlimited`");
                let help = format!("0 to {MAX_SESSIONS}; 0 lets nobody in");
                self.report(Problem::new(node.range(), "invalid-limit", path.to_owned(), message).help(help));
                None
            }
        }
    }

    pub(super) fn comment(&mut self, node: &Node, path: &str, who: &str) -> Option<String> {
        let text = self.words(node, path, &format!("`comment` of {who}"))?;
        if text.contains('\0') {
            let message = format!("`comment` of {who} holds a NUL character, which PostgreSQL does not store");
            self.report(Problem::new(node.range(), "invalid-comment", path.to_owned(), message));
            return None;
        }
        Some(text.to_owned())
    }
}
