//! Which objects an entry of `grants` is about: the keys that list some, where these lie, and what there is to be granted on
//! them. What is granted is the business of `grants`.

use super::grants::routine;
use super::parse::Reader;
use super::yaml::{Kind, Node, Problem};
use crate::model::{Object, ObjectKind, Privileges};
use crate::parameter;

/// What an entry is about.
pub(super) enum Target {
    /// The database itself.
    Database,
    /// The schema itself.
    Schema,
    All(ObjectKind),
    /// What they are called, and what there is to be granted on each.
    Some(&'static str, Privileges, Vec<Object>),
}

/// The keys that list objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Listed {
    Of(ObjectKind),
    Languages,
    ForeignDataWrappers,
    ForeignServers,
    LargeObjects,
    Parameters,
    Tablespaces,
}

/// Where objects lie, and so what has to be said to find one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In a schema of a database.
    Schema,
    /// In a database.
    Database,
    /// Nowhere: they belong to the whole server.
    Server,
}

/// Beside `tables`: which columns of them.
pub(crate) const COLUMNS: &str = "columns";

impl Listed {
    pub(crate) const ALL: [Listed; 10] = [
        Listed::Of(ObjectKind::Table),
        Listed::Of(ObjectKind::Sequence),
        Listed::Of(ObjectKind::Routine),
        Listed::Of(ObjectKind::Type),
        Listed::Languages,
        Listed::ForeignDataWrappers,
        Listed::ForeignServers,
        Listed::LargeObjects,
        Listed::Parameters,
        Listed::Tablespaces,
    ];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Listed::Of(kind) => kind.word(),
            Listed::Languages => "languages",
            Listed::ForeignDataWrappers => "foreign_data_wrappers",
            Listed::ForeignServers => "foreign_servers",
            Listed::LargeObjects => "large_objects",
            Listed::Parameters => "parameters",
            Listed::Tablespaces => "tablespaces",
        }
    }

    pub(crate) fn scope(self) -> Scope {
        match self {
            Listed::Of(_) => Scope::Schema,
            Listed::Languages | Listed::ForeignDataWrappers | Listed::ForeignServers | Listed::LargeObjects => {
                Scope::Database
            }
            Listed::Parameters | Listed::Tablespaces => Scope::Server,
        }
    }

    pub(crate) fn privileges(self) -> Privileges {
        match self {
            Listed::Of(kind) => kind.privileges(),
            _ => self.object("", "").map_or(Privileges::empty(), |object| object.known_privileges()),
        }
    }

    /// The key under which an object is listed; `None`: columns, and what is not one object.
    pub(crate) fn of(object: &Object) -> Option<Listed> {
        match object {
            Object::Table { .. } => Some(Listed::Of(ObjectKind::Table)),
            Object::Sequence { .. } => Some(Listed::Of(ObjectKind::Sequence)),
            Object::Routine { .. } => Some(Listed::Of(ObjectKind::Routine)),
            Object::Type { .. } => Some(Listed::Of(ObjectKind::Type)),
            Object::Language(_) => Some(Listed::Languages),
            Object::ForeignDataWrapper(_) => Some(Listed::ForeignDataWrappers),
            Object::ForeignServer(_) => Some(Listed::ForeignServers),
            Object::LargeObject(_) => Some(Listed::LargeObjects),
            Object::Parameter(_) => Some(Listed::Parameters),
            Object::Tablespace(_) => Some(Listed::Tablespaces),
            _ => None,
        }
    }

    /// The object of this name; large objects have none, and routines more than that.
    fn object(self, schema: &str, name: &str) -> Option<Object> {
        let (schema, name) = (schema.to_owned(), name.to_owned());
        Some(match self {
            Listed::Of(ObjectKind::Table) => Object::Table { schema, name },
            Listed::Of(ObjectKind::Sequence) => Object::Sequence { schema, name },
            Listed::Of(ObjectKind::Routine) => return None,
            Listed::Of(ObjectKind::Type) => Object::Type { schema, name },
            Listed::Languages => Object::Language(name),
            Listed::ForeignDataWrappers => Object::ForeignDataWrapper(name),
            Listed::ForeignServers => Object::ForeignServer(name),
            Listed::LargeObjects => Object::LargeObject(0),
            Listed::Parameters => Object::Parameter(name),
            Listed::Tablespaces => Object::Tablespace(name),
        })
    }

    /// What one of them is called in messages.
    fn what(self) -> &'static str {
        match self {
            Listed::Of(ObjectKind::Table) => "table name",
            Listed::Of(ObjectKind::Sequence) => "sequence name",
            Listed::Of(ObjectKind::Routine) => "a routine",
            Listed::Of(ObjectKind::Type) => "type name",
            Listed::Languages => "language name",
            Listed::ForeignDataWrappers => "name of a foreign-data wrapper",
            Listed::ForeignServers => "name of a foreign server",
            Listed::LargeObjects => "a large object",
            Listed::Parameters => "the name of a parameter",
            Listed::Tablespaces => "tablespace name",
        }
    }

    /// An entry to go by.
    pub(super) fn example(self) -> String {
        let key = self.key();
        match self.scope() {
            Scope::Schema if self == Listed::Of(ObjectKind::Type) => {
                format!("{{database: shop, schema: sales, {key}: […], privileges: [USAGE]}}")
            }
            Scope::Schema => "{database: shop, schema: sales, profile: read_only}".to_owned(),
            Scope::Database if self == Listed::LargeObjects => {
                format!("{{database: shop, {key}: [16401], privileges: [SELECT]}}")
            }
            Scope::Database => format!("{{database: shop, {key}: […], privileges: [USAGE]}}"),
            Scope::Server => {
                let words: Vec<&str> = self.privileges().keywords().collect();
                format!("{{{key}: […], privileges: [{}]}}", words.join(", "))
            }
        }
    }
}

impl Reader {
    /// Which kind of objects an entry lists; `None`: it is about a schema. A second kind is a mistake.
    pub(super) fn kind_listed<'n>(&mut self, node: &'n Node, path: &str, of: &str) -> Option<(Listed, &'n Node)> {
        let named: Vec<(Listed, &Node)> =
            Listed::ALL.into_iter().filter_map(|listed| Some((listed, node.get(listed.key())?))).collect();
        let (first, others) = named.split_first()?;
        if let Some((second, at)) = others.first() {
            let message = format!("{of} is about both {} and {}", first.0.key(), second.key());
            let problem = Problem::new(at.range(), "several-kinds", format!("{path}/{}", second.key()), message);
            self.report(problem.help("make an entry for each: they have different privileges"));
        }
        Some(*first)
    }

    /// Which objects an entry is about.
    pub(super) fn target(
        &mut self,
        node: &Node,
        listed: Option<(Listed, &Node)>,
        path: &str,
        of: &str,
        schema: &str,
    ) -> Target {
        let columns = node.get(COLUMNS);
        let Some((listed, value)) = listed else {
            self.need_tables(columns, path, of);
            return Target::Schema;
        };
        let (word, known) = (listed.key(), listed.privileges());
        let at = format!("{path}/{word}");
        let some = |objects| Target::Some(word, known, objects);
        if let (Listed::Of(kind), Some("all")) = (listed, value.text()) {
            self.need_tables(columns, path, of);
            return Target::All(kind);
        }
        if listed != Listed::Of(ObjectKind::Table) {
            self.need_tables(columns, path, of);
        }
        let wanted = if matches!(listed, Listed::Of(_)) { "`all`, or a list of names" } else { "a list of them" };
        let Some(items) = self.items(value, &at, of, word, wanted) else { return some(Vec::new()) };
        let items = items.iter().enumerate();
        let objects: Vec<Object> =
            items.filter_map(|(index, item)| self.object(item, &format!("{at}/{index}"), listed, schema)).collect();
        match columns.filter(|_| listed == Listed::Of(ObjectKind::Table)) {
            Some(columns) => self.columns(columns, &format!("{path}/{COLUMNS}"), of, &objects),
            None => some(objects),
        }
    }

    /// What a key lists: not nothing.
    fn items<'n>(&mut self, value: &'n Node, path: &str, of: &str, word: &str, wanted: &str) -> Option<&'n [Node]> {
        match &value.kind {
            Kind::Sequence(items) if items.is_empty() => {
                let message = format!("{of} names no {}", word.replace('_', " "));
                let all = if wanted.contains("all") { format!(", or write `{word}: all`") } else { String::new() };
                let help = format!("leave the entry out{all}");
                self.report(Problem::new(value.range(), "no-objects", path.to_owned(), message).help(help));
                None
            }
            Kind::Sequence(items) => Some(items),
            _ => {
                self.wrong_type(value, path, &format!("`{word}` of {of}"), wanted);
                None
            }
        }
    }

    fn need_tables(&mut self, columns: Option<&Node>, path: &str, of: &str) {
        let Some(columns) = columns else { return };
        let message = format!("{of} names columns, and no list of tables that they are in");
        let problem = Problem::new(columns.range(), "columns-without-tables", format!("{path}/{COLUMNS}"), message);
        self.report(problem.help("write `tables: [orders], columns: [id, total]`"));
    }

    /// These columns of each of the tables.
    fn columns(&mut self, node: &Node, path: &str, of: &str, tables: &[Object]) -> Target {
        let mut objects = Vec::new();
        let items = self.items(node, path, of, COLUMNS, "a list of names").unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let Some(column) = self.name(item, &format!("{path}/{index}"), "column name") else { continue };
            objects.extend(tables.iter().filter_map(|table| match table {
                Object::Table { schema, name } => {
                    Some(Object::Column { schema: schema.clone(), table: name.clone(), column: column.clone() })
                }
                _ => None,
            }));
        }
        Target::Some(COLUMNS, on_column(), objects)
    }

    fn object(&mut self, node: &Node, path: &str, listed: Listed, schema: &str) -> Option<Object> {
        match listed {
            Listed::Of(ObjectKind::Routine) => {
                let text = self.words(node, path, listed.what())?;
                let read = routine(text, schema);
                if read.is_none() {
                    let message = format!("{text:?} does not tell which routine is meant");
                    let help =
                        "write it with the types of its arguments, as psql's \\df prints them: `refund(integer, text)`";
                    self.report(Problem::new(node.range(), "invalid-routine", path.to_owned(), message).help(help));
                }
                read
            }
            Listed::LargeObjects => {
                let oid = match &node.kind {
                    Kind::Number(text) => text.parse().ok().filter(|oid| *oid != 0),
                    _ => None,
                };
                if oid.is_none() {
                    let message = "a large object must be a number, its OID".to_owned();
                    let help = "write it as psql's \\lo_list prints it, such as 16401";
                    self.report(Problem::new(node.range(), "invalid-oid", path.to_owned(), message).help(help));
                }
                oid.map(Object::LargeObject)
            }
            Listed::Parameters => {
                let name = self.words(node, path, listed.what())?;
                if let Some(why) = parameter::name_problem(name) {
                    let message = format!("the name of the parameter {name:?} {why}");
                    self.report(Problem::new(node.range(), "invalid-name", path.to_owned(), message));
                    return None;
                }
                // As the server keeps it.
                Some(Object::Parameter(name.to_ascii_lowercase()))
            }
            _ => listed.object(schema, &self.name(node, path, listed.what())?),
        }
    }
}

/// The privileges that there are on a column.
pub(super) fn on_column() -> Privileges {
    Object::Column { schema: String::new(), table: String::new(), column: String::new() }.known_privileges()
}
