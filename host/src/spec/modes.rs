//! `mode`, of the file and of single entries, and `external`: how much of what is there the file speaks for.

use std::collections::BTreeMap;
use std::ops::Range;

use super::names::{is_reserved, list, nearest};
use super::parse::Reader;
use super::user::User;
use super::yaml::{Kind, Node, Problem};
use crate::model::Mode;

/// The words for modes.
pub(super) const MODES: [&str; 4] = [Mode::WORDS[0].0, Mode::WORDS[1].0, Mode::WORDS[2].0, Mode::WORDS[3].0];

/// The roles of `external`, each with its place.
pub(super) type External = BTreeMap<String, Range<usize>>;

impl Reader {
    /// A mode; `None` where it is no word for one.
    pub(super) fn mode_word(&mut self, node: &Node, path: &str, who: &str) -> Option<Mode> {
        let Kind::Text(word) = &node.kind else {
            self.wrong_type(node, path, &format!("`mode` of {who}"), &format!("one of {}", list(&MODES)));
            return None;
        };
        let known = Mode::WORDS.iter().find(|(known, _)| known == word);
        if known.is_none() {
            let message = format!("`mode` of {who} is {word:?}, which is no mode");
            let help = match nearest(word, &MODES) {
                Some(meant) => format!("did you mean `{meant}`? The modes are {}", list(&MODES)),
                None => format!("the modes are {}", list(&MODES)),
            };
            self.report(Problem::new(node.range(), "unknown-mode", path.to_owned(), message).help(help));
        }
        known.map(|(_, mode)| *mode)
    }

    /// Reads the list of roles that may be named and are not managed.
    pub(super) fn external_roles(&mut self, node: &Node) -> External {
        let mut external = External::new();
        let Kind::Sequence(items) = &node.kind else {
            self.hidden.push(node.range());
            self.wrong_type(node, "/external", "`external`", "a list of names of roles, or left out");
            return external;
        };
        for (index, item) in items.iter().enumerate() {
            let path = format!("/external/{index}");
            let Some(name) = self.name(item, &path, "role name") else { continue };
            if is_reserved(&name) {
                let message = format!("{name:?} is no role, and so no external one");
                self.report(Problem::new(item.range(), "reserved-name", path, message).help("leave it out"));
                continue;
            }
            if let Some(first) = external.get(&name) {
                let message = format!("`external` names the role {name:?} twice");
                let problem = Problem::new(item.range(), "duplicate-role", path, message);
                self.report(problem.help("keep one of them").first(first.start));
                continue;
            }
            external.insert(name, item.range());
        }
        external
    }

    /// Nobody's and ours at once is a contradiction.
    pub(super) fn not_external(&mut self, user: &User<'_>) {
        let Some(at) = self.external.get(&user.name) else { return };
        let message = format!("{} is declared, and named under `external` as not managed", user.who());
        let path = user.path(&format!("/{}", user.list.words().1));
        let help = "take it out of one of the two; `mode: observe` looks at a role and changes nothing";
        let problem = Problem::new(user.name_at.clone(), "external-role", path, message).help(help);
        self.report(problem.first(at.start));
    }
}
