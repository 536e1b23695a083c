//! YAML as a tree in which every node knows the bytes that it came from, within limits that no
//! input can push: text size, depth, number of nodes, and what aliases may expand to. What the
//! tree means is not known here; users.yaml and the manifests around it are both read with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag, options};
use zeroize::Zeroize;

/// The largest text that is read: a ConfigMap or Secret cannot hold more
/// (<https://kubernetes.io/docs/concepts/configuration/configmap/>).
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting; users.yaml itself needs four levels.
const MAX_DEPTH: usize = 64;
/// The most nodes that one text may hold.
const MAX_NODES: usize = 500_000;
/// What anchored nodes and their aliases may add up to, in the measure of [`Node::cost`].
const MAX_COPIED: usize = 8 << 20;

/// A node, and the bytes of the text that it stands in.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a node is, by the core schema of YAML 1.2 (<https://yaml.org/spec/1.2.2/#103-core-schema>):
/// there `no`, `off` and `1_000` are text.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// An integer or a floating-point number, as it is written.
    Number(String),
    Text(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

/// A key, and the bytes of the text that it stands in.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What is wrong at which bytes, before it is known where the text itself stands.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) code: &'static str,
    /// JSON pointer.
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// Where the other one of two stands, for duplicates.
    pub(crate) first: Option<usize>,
}

impl Problem {
    pub(crate) fn new(at: Range<usize>, code: &'static str, path: String, message: impl Into<String>) -> Self {
        Problem { start: at.start, end: at.end, code, path, message: message.into(), help: None, first: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn first(mut self, first: usize) -> Self {
        self.first = Some(first);
        self
    }
}

/// The documents of a text, and where its comments are.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) documents: Vec<Node>,
    /// From behind each `#` to the end of its line.
    pub(crate) comments: Vec<Range<usize>>,
}

impl Node {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The value of a key, where this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Mapping(entries) => entries.iter().find(|entry| entry.key.text == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// What the node is, for a sentence such as "found a number".
    pub(crate) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// Overwrites every text in the tree, for trees that hold Secrets.
    pub(crate) fn wipe(&mut self) {
        match &mut self.kind {
            Kind::Text(text) | Kind::Number(text) => text.zeroize(),
            Kind::Sequence(items) => items.iter_mut().for_each(Node::wipe),
            Kind::Mapping(entries) => entries.iter_mut().for_each(|entry| entry.value.wipe()),
            Kind::Null | Kind::Bool(_) => {}
        }
    }

    /// About how many bytes a copy takes.
    fn cost(&self) -> usize {
        size_of::<Entry>()
            + match &self.kind {
                Kind::Text(text) | Kind::Number(text) => text.len(),
                Kind::Sequence(items) => items.iter().map(Node::cost).sum(),
                Kind::Mapping(entries) => entries.iter().map(|entry| entry.key.text.len() + entry.value.cost()).sum(),
                Kind::Null | Kind::Bool(_) => 0,
            }
    }

    fn height(&self) -> usize {
        match &self.kind {
            Kind::Sequence(items) => 1 + items.iter().map(Node::height).max().unwrap_or(0),
            Kind::Mapping(entries) => 1 + entries.iter().map(|entry| entry.value.height()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Reads every document of a text. On problems, those up to and including the first one that
/// makes reading on pointless.
pub(crate) fn read(text: &str) -> Result<Stream, Vec<Problem>> {
    if text.len() > MAX_BYTES {
        let message = format!("{} bytes of text: more than the {MAX_BYTES} that a ConfigMap can hold", text.len());
        return Err(vec![Problem::new(0..0, "too-large", String::new(), message)]);
    }
    // The parser would take a NUL for the end of the text, and so read half of it.
    let forbidden = |letter: char| letter.is_control() && !matches!(letter, '\t' | '\n' | '\r' | '\u{85}');
    if let Some((at, letter)) = text.char_indices().find(|(_, letter)| forbidden(*letter)) {
        let message = format!("control character U+{:04X}, which YAML does not allow", u32::from(letter));
        let problem = Problem::new(at..at + letter.len_utf8(), "control-character", String::new(), message)
            .help("remove it, or write it as an escape in double quotes");
        return Err(vec![problem]);
    }

    let options = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut builder = Builder::new(text);
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax(text, &error)),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return Err(builder.problems);
        }
    }
    if builder.problems.is_empty() { Ok(builder.stream) } else { Err(builder.problems) }
}

fn syntax(text: &str, error: &ScanError) -> Problem {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(at..at);
    }
    let problem = Problem::new(at..at, "yaml-syntax", String::new(), format!("not valid YAML: {}", error.info()));
    match error.kind() {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            problem.help("indent with spaces")
        }
        ErrorKind::UnknownAnchor => {
            problem.help("an alias `*name` needs an anchor `&name` before it; quote a text that starts with `*`")
        }
        ErrorKind::UnexpectedCharacter { .. } => problem.help("quote a text that starts with this character"),
        _ => problem,
    }
}

fn too_deep(at: Range<usize>) -> Problem {
    Problem::new(at, "too-deep", String::new(), format!("nested deeper than {MAX_DEPTH} levels"))
}

/// A collection that is not complete yet.
struct Frame {
    start: usize,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>, Option<Key>),
}

struct Builder<'a> {
    text: &'a str,
    stream: Stream,
    open: Vec<Frame>,
    /// Complete nodes with an anchor, by the parser's number for it.
    anchored: BTreeMap<usize, Node>,
    nodes: usize,
    copied: usize,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        Builder {
            text,
            stream: Stream::default(),
            open: Vec::new(),
            anchored: BTreeMap::new(),
            nodes: 0,
            copied: 0,
            problems: Vec::new(),
        }
    }

    /// Takes one event; an error means that going on makes no sense.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let at = self.range(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(&at)?;
                self.check_tag(tag.as_deref(), false, &at)?;
                let empty = at.is_empty() && style == ScalarStyle::Plain;
                if self.awaits_key() {
                    let text = if empty { String::new() } else { text.into_owned() };
                    return self.key(Key { text, start: at.start, end: at.end }, style);
                }
                let tag = tag.as_deref();
                let forced_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let kind = match style {
                    ScalarStyle::Plain if forced_text => Kind::Text(if empty { String::new() } else { text.into() }),
                    ScalarStyle::Plain => resolve(text),
                    _ => Kind::Text(text.into_owned()),
                };
                let node = Node { kind, start: at.start, end: at.end };
                self.complete(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), true, &at)?;
                self.begin(&at, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), true, &at)?;
                self.begin(&at, anchor, Content::Mapping(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.open.pop() else { return Ok(()) };
                let kind = match frame.content {
                    Content::Sequence(items) => Kind::Sequence(items),
                    Content::Mapping(entries, _) => {
                        self.refuse_duplicates(&entries);
                        Kind::Mapping(entries)
                    }
                };
                self.complete(Node { kind, start: frame.start, end: at.end.max(frame.start) }, frame.anchor)
            }
            Event::Alias(anchor) => {
                self.count(&at)?;
                if self.awaits_key() {
                    return Err(self.problem(at, "complex-key", "an alias as a key").help("write the key out"));
                }
                self.alias(anchor, at)
            }
            Event::Comment(..) => {
                self.stream.comments.push((at.start + 1).min(at.end)..at.end);
                Ok(())
            }
            // Anchor numbers are unique across documents, names are not: nothing carries over.
            Event::DocumentEnd => {
                self.anchored.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn alias(&mut self, anchor: usize, at: Range<usize>) -> Result<(), Problem> {
        let Some(node) = self.anchored.get(&anchor) else {
            return Err(self
                .problem(at, "alias-recursion", "an alias inside of what it stands for")
                .help("write it out"));
        };
        if self.open.len() + node.height() > MAX_DEPTH {
            return Err(too_deep(at));
        }
        let cost = node.cost();
        // What is wrong inside is shown where it is written; the node as a whole is here.
        let node = Node { start: at.start, end: at.end, ..node.clone() };
        self.charge(cost, &at)?;
        self.complete(node, 0)
    }

    fn begin(&mut self, at: &Range<usize>, anchor: usize, content: Content) -> Result<(), Problem> {
        self.count(at)?;
        if self.awaits_key() {
            let what = "a list or mapping as a key";
            return Err(self.problem(at.clone(), "complex-key", what).help("a key must be plain text"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at.clone()));
        }
        self.open.push(Frame { start: at.start, anchor, content });
        Ok(())
    }

    fn key(&mut self, key: Key, style: ScalarStyle) -> Result<(), Problem> {
        if key.text == "<<" && style == ScalarStyle::Plain {
            let problem = self.problem(key.start..key.end, "merge-key", "merge keys (`<<`) are not part of YAML 1.2");
            self.problems.push(problem.help("write the keys out"));
        }
        if let Some(Frame { content: Content::Mapping(_, pending), .. }) = self.open.last_mut() {
            *pending = Some(key);
        }
        Ok(())
    }

    fn complete(&mut self, mut node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.charge(node.cost(), &node.range())?;
            self.anchored.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|frame| &mut frame.content) {
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping(entries, pending)) => {
                if let Some(key) = pending.take() {
                    // A value that is not written stands nowhere: point at its key.
                    if matches!(node.kind, Kind::Null) && node.range().is_empty() {
                        (node.start, node.end) = (key.start, key.end);
                    }
                    entries.push(Entry { key, value: node });
                }
            }
            None => self.stream.documents.push(node),
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Mapping(_, None), .. }))
    }

    fn count(&mut self, at: &Range<usize>) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.problem(at.clone(), "too-many-nodes", format!("more than {MAX_NODES} YAML nodes")));
        }
        Ok(())
    }

    fn charge(&mut self, cost: usize, at: &Range<usize>) -> Result<(), Problem> {
        self.copied += cost;
        if self.copied > MAX_COPIED {
            let message = format!("anchors and aliases expand to more than {} MiB", MAX_COPIED >> 20);
            return Err(self.problem(at.clone(), "alias-expansion", message).help("write the values out"));
        }
        Ok(())
    }

    fn check_tag(&self, tag: Option<&Tag>, collection: bool, at: &Range<usize>) -> Result<(), Problem> {
        let Some(tag) = tag else { return Ok(()) };
        let fits = if collection {
            tag.is_yaml_core_schema_tag("seq") || tag.is_yaml_core_schema_tag("map")
        } else {
            tag.is_yaml_core_schema_tag("str")
        };
        if fits {
            return Ok(());
        }
        Err(self
            .problem(at.clone(), "unsupported-tag", "a YAML tag that has no meaning here")
            .help("remove the `!…` tag"))
    }

    fn refuse_duplicates(&mut self, entries: &[Entry]) {
        let mut order: Vec<&Key> = entries.iter().map(|entry| &entry.key).collect();
        order.sort_by(|a, b| a.text.cmp(&b.text).then(a.start.cmp(&b.start)));
        for group in order.chunk_by(|a, b| a.text == b.text) {
            for key in group.iter().skip(1) {
                let path = format!("{}/{}", self.path(), escape(&key.text));
                let message = format!("key {:?} stands twice in the same mapping", key.text);
                let problem = Problem::new(key.start..key.end, "duplicate-key", path, message)
                    .help("keep one of them")
                    .first(group[0].start);
                self.problems.push(problem);
            }
        }
    }

    fn problem(&self, at: Range<usize>, code: &'static str, message: impl Into<String>) -> Problem {
        Problem::new(at, code, self.path(), message)
    }

    /// JSON pointer to the node that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.open {
            match &frame.content {
                Content::Sequence(items) => path.push_str(&format!("/{}", items.len())),
                Content::Mapping(_, Some(key)) => path.push_str(&format!("/{}", escape(&key.text))),
                Content::Mapping(_, None) => {}
            }
        }
        path
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let clamp = |offset: Option<usize>| offset.unwrap_or(0).min(self.text.len());
        let start = clamp(span.start.byte_offset());
        start..clamp(span.end.byte_offset()).max(start)
    }
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { Cow::Owned(key.replace('~', "~0").replace('/', "~1")) } else { Cow::Borrowed(key) }
}

/// What a plain scalar without a tag is.
fn resolve(text: Cow<'_, str>) -> Kind {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        other if is_number(other) => Kind::Number(text.into_owned()),
        _ => Kind::Text(text.into_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let all = |digits: &str, is: fn(&char) -> bool| !digits.is_empty() && digits.chars().all(|digit| is(&digit));
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, char::is_ascii_hexdigit);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |digit| ('0'..='7').contains(digit));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let whole = |digits: &str| digits.chars().all(|digit| digit.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((before, after)) => whole(before) && whole(after) && !(before.is_empty() && after.is_empty()),
        None => all(mantissa, char::is_ascii_digit),
    };
    let exponent_fits =
        exponent.is_none_or(|digits| all(digits.strip_prefix(['-', '+']).unwrap_or(digits), char::is_ascii_digit));
    mantissa_fits && exponent_fits
}
