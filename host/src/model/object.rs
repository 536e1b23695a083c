//! What objects have in common: the kinds of which a schema holds many, and where an object lies.

use super::{Object, Privileges};

/// Objects of which a schema holds many, and more later: they can be spoken of all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Tables, views, materialized views and foreign tables.
    Table,
    /// Sequences.
    Sequence,
    /// Functions, procedures and aggregates.
    Routine,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 3] = [ObjectKind::Table, ObjectKind::Sequence, ObjectKind::Routine];

    /// Every object of this kind in a schema, those that come later included.
    pub fn all(self, schema: &str) -> Object {
        let schema = schema.to_owned();
        match self {
            ObjectKind::Table => Object::AllTables(schema),
            ObjectKind::Sequence => Object::AllSequences(schema),
            ObjectKind::Routine => Object::AllRoutines(schema),
        }
    }

    /// What `owner` will make of this kind in a schema: its default privileges.
    pub fn future(self, owner: &str, schema: &str) -> Object {
        let (owner, schema) = (owner.to_owned(), Some(schema.to_owned()));
        match self {
            ObjectKind::Table => Object::FutureTables { owner, schema },
            ObjectKind::Sequence => Object::FutureSequences { owner, schema },
            ObjectKind::Routine => Object::FutureRoutines { owner, schema },
        }
    }

    /// The privileges that there are on one: <https://www.postgresql.org/docs/current/ddl-priv.html>.
    pub fn privileges(self) -> Privileges {
        match self {
            ObjectKind::Table => {
                Privileges::SELECT
                    | Privileges::INSERT
                    | Privileges::UPDATE
                    | Privileges::DELETE
                    | Privileges::TRUNCATE
                    | Privileges::REFERENCES
                    | Privileges::TRIGGER
                    | Privileges::MAINTAIN
            }
            ObjectKind::Sequence => Privileges::USAGE | Privileges::SELECT | Privileges::UPDATE,
            ObjectKind::Routine => Privileges::EXECUTE,
        }
    }

    /// `tables`, `sequences`, `routines`.
    pub fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "tables",
            ObjectKind::Sequence => "sequences",
            ObjectKind::Routine => "routines",
        }
    }
}

impl Object {
    /// For one object, and for all of a kind in a schema: which kind that is.
    pub fn kind(&self) -> Option<ObjectKind> {
        match self {
            Object::Table { .. } | Object::AllTables(_) | Object::FutureTables { .. } => Some(ObjectKind::Table),
            Object::Sequence { .. } | Object::AllSequences(_) | Object::FutureSequences { .. } => {
                Some(ObjectKind::Sequence)
            }
            Object::Routine { .. } | Object::AllRoutines(_) | Object::FutureRoutines { .. } => {
                Some(ObjectKind::Routine)
            }
            _ => None,
        }
    }

    /// The schema that it is, or that it lies in.
    pub fn schema(&self) -> Option<&str> {
        match self {
            Object::Schema(schema)
            | Object::AllTables(schema)
            | Object::AllSequences(schema)
            | Object::AllRoutines(schema)
            | Object::Table { schema, .. }
            | Object::Column { schema, .. }
            | Object::Sequence { schema, .. }
            | Object::Routine { schema, .. }
            | Object::Type { schema, .. } => Some(schema),
            Object::FutureTables { schema, .. }
            | Object::FutureSequences { schema, .. }
            | Object::FutureRoutines { schema, .. }
            | Object::FutureTypes { schema, .. } => schema.as_deref(),
            _ => None,
        }
    }

    /// Whether it stands for every object of a kind in a schema.
    pub fn is_all(&self) -> bool {
        matches!(self, Object::AllTables(_) | Object::AllSequences(_) | Object::AllRoutines(_))
    }

    /// For objects that are yet to be made: who will make them.
    pub fn future_owner(&self) -> Option<&str> {
        match self {
            Object::FutureTables { owner, .. }
            | Object::FutureSequences { owner, .. }
            | Object::FutureRoutines { owner, .. }
            | Object::FutureTypes { owner, .. }
            | Object::FutureSchemas { owner, .. } => Some(owner),
            _ => None,
        }
    }

    /// The privileges that this version grants and revokes on it; none: it is not managed.
    pub fn known_privileges(&self) -> Privileges {
        let types_or_schemas = match self {
            Object::FutureSchemas { .. } | Object::Schema(_) => Privileges::USAGE | Privileges::CREATE,
            Object::FutureTypes { .. } => Privileges::USAGE,
            Object::Database(_) => Privileges::CONNECT | Privileges::CREATE | Privileges::TEMPORARY,
            _ => Privileges::empty(),
        };
        self.kind().map_or(types_or_schemas, ObjectKind::privileges)
    }

    /// For messages: `table "sales"."orders"`.
    pub fn in_words(&self) -> String {
        let dotted = |kind: &str, schema: &str, name: &str| format!("{kind} {schema:?}.{name:?}");
        let all = |kind: ObjectKind, schema: &str| format!("all {} of schema {schema:?}", kind.word());
        match (self, self.future_owner()) {
            (Object::Database(name), _) => format!("database {name:?}"),
            (Object::Schema(name), _) => format!("schema {name:?}"),
            (Object::Table { schema, name }, _) => dotted("table", schema, name),
            (Object::Sequence { schema, name }, _) => dotted("sequence", schema, name),
            (Object::Routine { schema, name, arguments }, _) => {
                format!("{}({arguments})", dotted("routine", schema, name))
            }
            (Object::AllTables(schema) | Object::AllSequences(schema) | Object::AllRoutines(schema), _) => {
                all(self.kind().unwrap_or(ObjectKind::Table), schema)
            }
            (_, Some(owner)) => {
                let kind = self.kind().map_or("objects", ObjectKind::word);
                let place = self.schema().map(|schema| format!(" in schema {schema:?}")).unwrap_or_default();
                format!("future {kind} of {owner:?}{place}")
            }
            (other, None) => format!("{other:?}"),
        }
    }
}
