//! Manifests as `kubectl apply -f` takes them: from the text of a file to the ConfigMaps and
//! Secrets in it. Nothing is read from a disk here, and no error shows what a file holds.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Declaration, Directives, POLICIES_KEY, SCRIPT_SUFFIX, SourceError, USERS_KEY, value};
use crate::generated::{ANNOTATIONS, MANAGED_BY};
use crate::model::SecretState;
use crate::secret::{Held, Secret};
use crate::spec::Document;
use crate::spec::locations::Lines;
use crate::spec::yaml::{self, Entry, Kind, Node};

/// The ConfigMaps and Secrets of one file. Its texts are wiped when it goes.
pub(super) struct Manifest {
    file: String,
    text: Zeroizing<String>,
    lines: Lines,
    documents: Vec<Node>,
}

/// A ConfigMap or Secret in a file.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    manifest: &'a Manifest,
    node: &'a Node,
    /// Among the objects of the file, from 0.
    pub(super) index: usize,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: Option<&'a str>,
}

impl Drop for Manifest {
    fn drop(&mut self) {
        self.documents.iter_mut().for_each(Node::wipe);
    }
}

impl Manifest {
    /// Reads a file's text.
    ///
    /// # Errors
    /// If any of it is not valid YAML: a file that is half understood may hide what is declared.
    pub(super) fn read(file: String, text: Zeroizing<String>) -> Result<Self, SourceError> {
        let lines = Lines::new(&text);
        match yaml::read(&text) {
            Ok(stream) => Ok(Manifest { file, text, lines, documents: stream.documents }),
            Err(problems) => {
                let Some(problem) = problems.into_iter().next() else {
                    return Err(SourceError::Malformed { place: file, message: "not valid YAML".to_owned() });
                };
                let position = lines.position(&text, problem.start);
                let message = match problem.help {
                    Some(help) => format!("{}; {help}", problem.message),
                    None => problem.message,
                };
                Err(SourceError::Malformed { place: format!("{file}:{}:{}", position.line, position.column), message })
            }
        }
    }

    /// Every ConfigMap and Secret with a name, those inside of a `List` included.
    pub(super) fn objects(&self) -> Vec<Object<'_>> {
        let mut objects = Vec::new();
        for document in &self.documents {
            self.collect(document, &mut objects);
        }
        objects
    }

    /// The one object, if there is nothing else in the file.
    pub(super) fn only(&self) -> Option<Object<'_>> {
        let mut objects = self.objects();
        objects.pop().filter(|_| objects.is_empty() && self.documents.len() == 1)
    }

    fn collect<'a>(&'a self, node: &'a Node, objects: &mut Vec<Object<'a>>) {
        // Other API groups have kinds of the same name; they are not meant.
        if node.get("apiVersion").and_then(Node::text).is_some_and(|version| version != "v1") {
            return;
        }
        match node.get("kind").and_then(Node::text) {
            Some("List" | "ConfigMapList" | "SecretList") => {
                if let Some(Kind::Sequence(items)) = node.get("items").map(|items| &items.kind) {
                    items.iter().for_each(|item| self.collect(item, objects));
                }
            }
            Some(kind @ ("ConfigMap" | "Secret")) => {
                let metadata = node.get("metadata");
                let field = |key| metadata.and_then(|metadata| metadata.get(key)).and_then(Node::text);
                if let Some(name) = field("name") {
                    let index = objects.len();
                    objects.push(Object { manifest: self, node, index, kind, name, namespace: field("namespace") });
                }
            }
            _ => {}
        }
    }

    fn place(&self, offset: usize) -> String {
        let position = self.lines.position(&self.text, offset);
        format!("{}:{}:{}", self.file, position.line, position.column)
    }
}

impl Object<'_> {
    /// `file:line:column`.
    pub(super) fn place(&self) -> String {
        self.manifest.place(self.node.start)
    }

    /// Whether it lies in this namespace, or in none and so in whichever it is applied to.
    pub(super) fn is_in(&self, namespace: &str) -> bool {
        self.namespace.is_none_or(|own| own == namespace)
    }

    /// What this ConfigMap declares.
    pub(super) fn declaration(&self) -> Result<Declaration, SourceError> {
        let annotations = self.node.get("metadata").and_then(|metadata| metadata.get("annotations"));
        let annotation = |key: &str| annotations.and_then(|annotations| annotations.get(key)).and_then(Node::text);
        Ok(Declaration {
            document: self.users()?,
            policies: self
                .text(POLICIES_KEY)?
                .map(|text| Document::plain(format!("{}#{POLICIES_KEY}", self.manifest.file), text)),
            files: self.files(),
            modules: self.modules()?,
            directives: Directives::read(annotation),
            revision: None,
        })
    }

    /// The text of another key of `data`.
    fn text(&self, key: &str) -> Result<Option<String>, SourceError> {
        let Some(node) = self.node.get("data").and_then(|data| data.get(key)) else { return Ok(None) };
        let Some(text) = node.text() else {
            let message =
                format!("`{key}` must be text, but is {}; write `{key}: |` and indent what follows", node.what());
            return Err(SourceError::Malformed { place: self.manifest.place(node.start), message });
        };
        Ok(Some(text.to_owned()))
    }

    /// The texts of scripts; a key that holds something else is missed by whoever names it.
    fn files(&self) -> BTreeMap<String, String> {
        let Some(Kind::Mapping(entries)) = self.node.get("data").map(|data| &data.kind) else {
            return BTreeMap::new();
        };
        let scripts = entries.iter().filter(|entry| entry.key.text.ends_with(SCRIPT_SUFFIX));
        scripts.filter_map(|Entry { key, value }| Some((key.text.clone(), value.text()?.to_owned()))).collect()
    }

    /// What `binaryData` holds.
    fn modules(&self) -> Result<BTreeMap<String, Vec<u8>>, SourceError> {
        let Some(Kind::Mapping(entries)) = self.node.get("binaryData").map(|data| &data.kind) else {
            return Ok(BTreeMap::new());
        };
        let decoded = entries.iter().map(|Entry { key, value }| {
            let text: Option<String> =
                value.text().map(|text| text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect());
            match text.and_then(|text| STANDARD.decode(text).ok()) {
                Some(bytes) => Ok((key.text.clone(), bytes)),
                None => Err(SourceError::Malformed {
                    place: self.manifest.place(value.start),
                    message: format!("`{}` in binaryData is not base64 text", key.text),
                }),
            }
        });
        decoded.collect()
    }

    /// The text of `users.yaml`, and where it sits in the file.
    fn users(&self) -> Result<Document, SourceError> {
        let missing =
            |keys: Vec<String>| SourceError::NoUsers { name: self.name.to_owned(), place: self.place(), keys };
        let entries = match self.node.get("data").map(|data| &data.kind) {
            Some(Kind::Mapping(entries)) => entries.as_slice(),
            _ => &[],
        };
        let keys = || entries.iter().map(|entry| entry.key.text.clone()).collect();
        let entry = entries.iter().find(|entry| entry.key.text == USERS_KEY).ok_or_else(|| missing(keys()))?;
        let Some(text) = entry.value.text() else {
            let message = format!(
                "`{USERS_KEY}` must be text, but is {}; write `{USERS_KEY}: |` and indent what follows",
                entry.value.what()
            );
            return Err(SourceError::Malformed { place: self.manifest.place(entry.value.start), message });
        };
        let (line_offset, column_offset, exact) = match block_offsets(&self.manifest.text, &self.manifest.lines, entry)
        {
            Some((line, column)) => (line, column, true),
            None => (0, 0, false),
        };
        Ok(Document { file: self.manifest.file.clone(), text: text.to_owned(), line_offset, column_offset, exact })
    }

    /// The labels of the object; what is no text is no label.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.metadata("labels").collect()
    }

    /// Its annotations, as far as they are texts.
    pub(super) fn annotations(&self) -> impl Iterator<Item = (String, String)> {
        self.metadata("annotations")
    }

    fn metadata(&self, key: &str) -> impl Iterator<Item = (String, String)> {
        let texts = self.node.get("metadata").and_then(|metadata| metadata.get(key));
        let entries = match texts.map(|texts| &texts.kind) {
            Some(Kind::Mapping(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter_map(|Entry { key, value }| Some((key.text.clone(), value.text()?.to_owned())))
    }

    /// All that this Secret holds, if it is one that Rolewright has written.
    pub(super) fn held(&self) -> Option<Held> {
        self.metadata("labels").any(|(key, value)| (key.as_str(), value.as_str()) == MANAGED_BY).then_some(())?;
        let annotations = self.annotations().filter(|(key, _)| key.starts_with(ANNOTATIONS)).collect();
        let mut data = BTreeMap::new();
        for field in ["data", "stringData"] {
            let Some(Kind::Mapping(entries)) = self.node.get(field).map(|field| &field.kind) else { continue };
            for Entry { key, value } in entries {
                // What cannot be read is not as it should be, and so as good as absent.
                let Some(text) = value.text() else { continue };
                let bytes = if field == "data" { decode(text).ok() } else { Some(Zeroizing::new(text.to_owned())) };
                let bytes = bytes.map(|text| Zeroizing::new(text.as_bytes().to_vec()));
                data.extend(bytes.map(|bytes| (key.text.clone(), bytes)));
            }
        }
        Some(Held { annotations, data })
    }

    /// What a Secret holds under a key. As in Kubernetes, `stringData` wins over `data`. Every
    /// character counts: a line feed at the end is part of the password.
    pub(super) fn secret(&self, key: &str, version: String) -> Secret {
        let field = |name: &str| self.node.get(name).and_then(|data| data.get(key));
        let found = match (field("stringData"), field("data")) {
            (Some(node), _) => match &node.kind {
                Kind::Text(text) => Ok(Some(Zeroizing::new(text.clone()))),
                Kind::Null => Ok(None),
                _ => Err(format!("key {key:?} is {}, not text: write it in quotes", node.what())),
            },
            (None, Some(node)) => match &node.kind {
                Kind::Text(text) => decode(text).map(Some).map_err(|why| format!("key {key:?} {why}")),
                Kind::Null => Ok(None),
                // `data: {password: 12345678}` is base64 that YAML takes for a number.
                _ => Err(format!("key {key:?} is {}, not base64 text: write it in quotes", node.what())),
            },
            (None, None) => {
                let problem = format!("Secret {:?} at {} has no key {key:?}", self.name, self.place());
                return Secret { version, ..value::absent(SecretState::Missing, problem) };
            }
        };
        let shown = format!("Secret {:?} at {}", self.name, self.place());
        value::secret(&shown, key, version, found)
    }
}

/// Decodes base64, white space within it aside. The error says nothing of the value.
fn decode(text: &str) -> Result<Zeroizing<String>, &'static str> {
    let compact = Zeroizing::new(text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect::<String>());
    let bytes = STANDARD.decode(compact.as_bytes()).map_err(|_| "is not valid base64")?;
    value::text(bytes)
}

/// How many lines of the file stand in front of the text of a block scalar, and how many
/// characters in front of each of its lines. It is proved line by line, not assumed: `None` for
/// any text that is not in the file as it is.
fn block_offsets(file: &str, lines: &Lines, entry: &Entry) -> Option<(usize, usize)> {
    let text = entry.value.text()?;
    // Behind the key follows the header (`|`, `|-`, `|2`), alone on its line.
    let header = lines.position(file, entry.key.start).line;
    let source = || file.lines().skip(header);
    let (first, line) = text.lines().zip(source()).find(|(own, _)| !own.trim().is_empty())?;
    let indent = line.strip_suffix(first)?;
    if indent.is_empty() || indent.contains(|letter| letter != ' ') {
        return None;
    }
    let mut source = source();
    for own in text.lines() {
        let line = source.next()?;
        let fits = match line.strip_prefix(indent) {
            Some(rest) => rest == own,
            None => own.is_empty() && line.trim_start_matches(' ').is_empty(),
        };
        if !fits {
            return None;
        }
    }
    Some((header, indent.len()))
}
