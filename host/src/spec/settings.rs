//! What a user or a group role says of configuration parameters: `settings` everywhere, and
//! `database_settings` in single databases. Whether a parameter exists and takes a value, only the
//! server knows; whether a role may be given it, `guard` decides.

use std::collections::BTreeMap;

use super::parse::Reader;
use super::yaml::{self, Entry, Kind, Node, Problem};
use crate::model::Setting;
use crate::parameter;

/// Keys of the entry itself that somebody may have indented too far; what they hold is not shown.
const NOT_HERE: [&str; 2] = ["password", "secret"];

impl Reader {
    /// In the order of the model. `None` where neither key is there: then nobody says anything.
    pub(super) fn settings(&mut self, entry: &Node, path: &str, who: &str) -> Option<Vec<Setting>> {
        let (everywhere, single) = (entry.get("settings"), entry.get("database_settings"));
        if everywhere.is_none() && single.is_none() {
            return None;
        }
        let mut settings = Vec::new();
        if let Some(node) = everywhere {
            self.parameters(node, &format!("{path}/settings"), &format!("`settings` of {who}"), None, &mut settings);
        }
        if let Some(node) = single {
            self.database_settings(node, &format!("{path}/database_settings"), who, &mut settings);
        }
        if settings.len() > parameter::MOST
            && let Some(node) = single.or(everywhere)
        {
            let message = format!("{who} has {} settings; {} is the most", settings.len(), parameter::MOST);
            let at = node.start..node.start;
            self.report(Problem::new(at, "too-many-settings", path.to_owned(), message));
        }
        settings.sort();
        Some(settings)
    }

    fn database_settings(&mut self, node: &Node, path: &str, who: &str, settings: &mut Vec<Setting>) {
        let of = format!("`database_settings` of {who}");
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(node, path, &of, "a mapping such as `{shop: {work_mem: 64MB}}`, or `{}` for none");
            return;
        };
        for Entry { key, value } in entries {
            let path = format!("{path}/{}", yaml::escape(&key.text));
            // A key is a name, however YAML would read it elsewhere.
            let name = Node { kind: Kind::Text(key.text.clone()), start: key.start, end: key.end };
            let Some(database) = self.name(&name, &path, "database name") else { continue };
            let of = format!("{of}, database {database:?},");
            self.parameters(value, &path, &of, Some(&database), settings);
        }
    }

    fn parameters(&mut self, node: &Node, path: &str, of: &str, database: Option<&str>, settings: &mut Vec<Setting>) {
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(node, path, of, "a mapping such as `{work_mem: 64MB}`, or `{}` for none");
            return;
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for Entry { key, value } in entries {
            let path = format!("{path}/{}", yaml::escape(&key.text));
            let at = key.start..key.end;
            if NOT_HERE.contains(&key.text.as_str()) {
                self.hidden.push(value.range());
                let message = format!("{of} has `{}`, which is no parameter of PostgreSQL", key.text);
                let help = "it belongs to the entry itself, beside `settings`, and a password into a Secret";
                self.report(Problem::new(at, "invalid-setting", path, message).help(help));
                continue;
            }
            if let Some(why) = parameter::name_problem(&key.text) {
                let message = format!("{of} names the parameter {:?}, which {why}", key.text);
                self.report(Problem::new(at, "invalid-setting", path, message));
                continue;
            }
            if let Some(first) = seen.insert(parameter::key(&key.text), key.start) {
                let message = format!("{of} sets the parameter {:?} twice", key.text);
                let help = "keep one of them; capitals make no difference";
                self.report(Problem::new(at, "duplicate-setting", path, message).help(help).first(first));
                continue;
            }
            let name = parameter::canonical_name(&key.text);
            if let Some(value) = self.value(value, &path, &name, &format!("{name:?} in {of}")) {
                settings.push(Setting { database: database.map(str::to_owned), name, value });
            }
        }
    }

    /// The value as the server will store it.
    fn value(&mut self, node: &Node, path: &str, name: &str, what: &str) -> Option<String> {
        let value = match &node.kind {
            Kind::Text(text) | Kind::Number(text) => text.clone(),
            Kind::Bool(value) => value.to_string(),
            Kind::Sequence(items) => return self.listed(items, node, path, name, what),
            Kind::Null => {
                let message = format!("{what} must be a value, but is null");
                let help = "leave the parameter out, and the server's own default holds; an empty text is written \"\"";
                self.report(Problem::new(node.range(), "wrong-type", path.to_owned(), message).help(help));
                return None;
            }
            Kind::Mapping(_) => {
                self.wrong_type(node, path, what, "text, a number, true, false, or a list of text");
                return None;
            }
        };
        if let Some(why) = parameter::problem(name, &value) {
            self.report(Problem::new(node.range(), "invalid-setting", path.to_owned(), format!("{what} {why}")));
            return None;
        }
        Some(parameter::canonical_value(name, &value))
    }

    /// A list of names, each as it is; of a parameter that is another kind of list, its parts.
    fn listed(&mut self, items: &[Node], list: &Node, path: &str, name: &str, what: &str) -> Option<String> {
        let mut names = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}/{index}");
            let text = self.words(item, &path, &format!("each part of {what}"))?;
            if text.contains('\0') {
                let message = format!("{what} holds a NUL character, which PostgreSQL does not store");
                self.report(Problem::new(item.range(), "invalid-setting", path, message));
                return None;
            }
            names.push(text.to_owned());
        }
        if parameter::is_list(name) {
            return Some(parameter::list(&names));
        }
        if names.is_empty() {
            let message = format!("{what} is an empty list, which only a list of names such as `search_path` can be");
            self.report(Problem::new(list.range(), "invalid-setting", path.to_owned(), message));
            return None;
        }
        Some(names.join(", "))
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
