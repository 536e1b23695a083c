//! Graphs of roles and objects in the languages of Graphviz and Mermaid. Nodes have numbers; names stand in labels only, where
//! nothing in them is syntax.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::access::path::{Path, Step};
use crate::printable::line;

/// What is drawn as a box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A role.
    Role(String),
    /// Everybody.
    Public,
    /// One object or several, in words.
    Object(String),
}

/// Nodes and the labelled edges between them, each once.
#[derive(Debug, Default)]
pub struct Drawing {
    /// With whether it can log in.
    nodes: BTreeMap<Node, bool>,
    edges: BTreeSet<(Node, Node, String)>,
}

impl Drawing {
    /// A role that may stand alone.
    pub fn role(&mut self, role: &str, login: bool) {
        *self.nodes.entry(Node::Role(role.to_owned())).or_default() |= login;
    }

    /// From a role along a path to what the last one holds.
    pub fn path(&mut self, role: &str, login: bool, path: &Path, held: &str, object: Node) {
        self.role(role, login);
        let mut here = self.steps(role, &path.steps);
        if path.holder.is_none() {
            here = self.edge(here, Node::Public, "everybody");
        }
        self.edge(here, object, held);
    }

    /// From a role to others.
    pub fn steps(&mut self, role: &str, steps: &[Step]) -> Node {
        let mut here = Node::Role(role.to_owned());
        for step in steps {
            let label = match step.by {
                "inherit" => "inherits",
                "set" => "SET ROLE",
                "admin" => "ADMIN OPTION",
                _ => "CREATEROLE",
            };
            here = self.edge(here, Node::Role(step.role.clone()), label);
        }
        here
    }

    fn edge(&mut self, from: Node, to: Node, label: &str) -> Node {
        self.nodes.entry(from.clone()).or_default();
        self.nodes.entry(to.clone()).or_default();
        self.edges.insert((from, to.clone(), label.to_owned()));
        to
    }

    fn numbers(&self) -> BTreeMap<&Node, usize> {
        self.nodes.keys().enumerate().map(|(number, node)| (node, number)).collect()
    }

    /// For Graphviz: <https://graphviz.org/doc/info/lang.html>.
    pub fn dot(&self) -> String {
        let numbers = self.numbers();
        let mut text = "digraph access {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
        for (node, login) in &self.nodes {
            let (label, shape) = match node {
                Node::Role(role) if *login => (role.as_str(), "box"),
                Node::Role(role) => (role.as_str(), "ellipse"),
                Node::Public => ("PUBLIC", "ellipse"),
                Node::Object(object) => (object.as_str(), "folder"),
            };
            let _ = writeln!(text, "  n{} [label={}, shape={shape}];", numbers[node], dot_string(label));
        }
        for (from, to, label) in &self.edges {
            let _ = writeln!(text, "  n{} -> n{} [label={}];", numbers[from], numbers[to], dot_string(label));
        }
        text.push_str("}\n");
        text
    }

    /// For Mermaid: <https://mermaid.js.org/syntax/flowchart.html>.
    pub fn mermaid(&self) -> String {
        let numbers = self.numbers();
        let mut text = "flowchart LR\n".to_owned();
        for (node, login) in &self.nodes {
            let (label, open, close) = match node {
                Node::Role(role) if *login => (role.as_str(), "[", "]"),
                Node::Role(role) => (role.as_str(), "([", "])"),
                Node::Public => ("PUBLIC", "([", "])"),
                Node::Object(object) => (object.as_str(), "[[", "]]"),
            };
            let _ = writeln!(text, "  n{}{open}{}{close}", numbers[node], mermaid_string(label));
        }
        for (from, to, label) in &self.edges {
            let _ = writeln!(text, "  n{} -->|{}| n{}", numbers[from], mermaid_string(label), numbers[to]);
        }
        text
    }
}

/// A quoted string, in which a backslash would begin an escape.
fn dot_string(label: &str) -> String {
    // An empty label would show the number; `&` begins an entity.
    let label = if label.is_empty() { " " } else { label };
    let shown = line(label).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;");
    format!("\"{shown}\"")
}

/// A quoted string, in which everything that is neither letter nor digit goes by its number: Mermaid knows `#59;`.
fn mermaid_string(label: &str) -> String {
    let mut text = String::from('"');
    for letter in line(label).chars() {
        match letter {
            plain if plain.is_alphanumeric() => text.push(plain),
            ' ' | '_' | '-' | '.' | ',' | '(' | ')' => text.push(letter),
            other => {
                let _ = write!(text, "#{};", u32::from(other));
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::path::{Can, Source};

    fn drawn(names: &[&str]) -> Drawing {
        let mut drawing = Drawing::default();
        for pair in names.windows(2) {
            let path = Path {
                can: Can::Now,
                steps: vec![Step { by: "inherit", role: pair[1].to_owned() }],
                set_role: None,
                source: Source::Grant,
                holder: Some(pair[1].to_owned()),
                granted_by: Vec::new(),
                grantable: false,
                columns: Vec::new(),
                missing: Vec::new(),
            };
            drawing.path(pair[0], true, &path, "SELECT", Node::Object(format!("table {}", pair[0])));
        }
        drawing
    }

    const HOSTILE: [&str; 7] =
        ["\"]; x -> y [label=\"", "back\\", "end", "`md`", "a&lt;b>#35;", "new\nline\u{202e}", "n0 --> n1 %%"];

    #[test]
    fn both_languages_read_well() {
        insta::assert_snapshot!("drawing_dot", drawn(&["alice", "reader", "\"Odd\" \\name"]).dot());
        insta::assert_snapshot!("drawing_mermaid", drawn(&["alice", "reader", "\"Odd\" \\name"]).mermaid());
    }

    #[test]
    fn nothing_in_a_name_is_syntax() {
        let drawing = drawn(&HOSTILE);
        for text in drawing.dot().lines().filter(|line| line.contains("label=")) {
            // What is left without the strings is what we wrote.
            let mut outside = String::new();
            let (mut inside, mut escaped) = (false, false);
            for letter in text.chars() {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' if inside => escaped = true,
                    '"' => inside = !inside,
                    letter if !inside => outside.push(letter),
                    _ => {}
                }
            }
            assert!(!inside, "{text}");
            let known = outside.starts_with("  n") && (outside.contains(", shape=") || outside.contains(" -> n"));
            assert!(known && outside.matches('[').count() == 1 && !outside.contains("x ->"), "{text}");
        }
        for text in drawing.mermaid().lines().skip(1) {
            let parts: Vec<&str> = text.split('"').collect();
            assert_eq!(parts.len(), 3, "{text}");
            assert!(parts[1].chars().all(|it| it.is_alphanumeric() || " _-.,()#;".contains(it)), "{text}");
            assert!(parts[0].trim_start().starts_with('n'), "{text}");
        }
        assert_eq!(drawing.dot().lines().count(), 5 + drawing.nodes.len() - 1 + drawing.edges.len());
    }
}
