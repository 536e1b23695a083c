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
    /// Types and domains that stand for themselves: no arrays, no multiranges, no rows of tables.
    Type,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [ObjectKind; 4] = [ObjectKind::Table, ObjectKind::Sequence, ObjectKind::Routine, ObjectKind::Type];

    /// Every object of this kind in a schema, those that come later included.
    pub fn all(self, schema: &str) -> Object {
        let schema = schema.to_owned();
        match self {
            ObjectKind::Table => Object::AllTables(schema),
            ObjectKind::Sequence => Object::AllSequences(schema),
            ObjectKind::Routine => Object::AllRoutines(schema),
            ObjectKind::Type => Object::AllTypes(schema),
        }
    }

    /// What `owner` will make of this kind in a schema: its default privileges.
    pub fn future(self, owner: &str, schema: &str) -> Object {
        let (owner, schema) = (owner.to_owned(), Some(schema.to_owned()));
        match self {
            ObjectKind::Table => Object::FutureTables { owner, schema },
            ObjectKind::Sequence => Object::FutureSequences { owner, schema },
            ObjectKind::Routine => Object::FutureRoutines { owner, schema },
            ObjectKind::Type => Object::FutureTypes { owner, schema },
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
            ObjectKind::Type => Privileges::USAGE,
        }
    }

    /// What PostgreSQL gives everybody on a new one, if nobody has said anything else.
    pub fn of_everybody(self) -> Privileges {
        match self {
            ObjectKind::Table | ObjectKind::Sequence => Privileges::empty(),
            ObjectKind::Routine | ObjectKind::Type => self.privileges(),
        }
    }

    /// `tables`, `sequences`, `routines`, `types`.
    pub fn word(self) -> &'static str {
        match self {
            ObjectKind::Table => "tables",
            ObjectKind::Sequence => "sequences",
            ObjectKind::Routine => "routines",
            ObjectKind::Type => "types",
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
            Object::Type { .. } | Object::AllTypes(_) | Object::FutureTypes { .. } => Some(ObjectKind::Type),
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
            | Object::AllTypes(schema)
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
        matches!(self, Object::AllTables(_) | Object::AllSequences(_) | Object::AllRoutines(_) | Object::AllTypes(_))
    }

    /// Whether it is that object, or one of those that it stands for: those of a kind in a schema, their columns, and what is
    /// made there later.
    pub fn is_among(&self, those: &Object) -> bool {
        let table = self.table_of();
        let one = table.as_ref().unwrap_or(self);
        self == those || (those.is_all() && one.kind() == those.kind() && one.schema() == those.schema())
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

    /// Whether it belongs to the whole server, and to no database.
    pub fn is_of_server(&self) -> bool {
        matches!(self, Object::Database(_)) || self.is_shared()
    }

    /// Of these, those whose privileges are declared under `grants`.
    pub fn is_shared(&self) -> bool {
        matches!(self, Object::Parameter(_) | Object::Tablespace(_))
    }

    /// For a column: the table that it is one of.
    pub fn table_of(&self) -> Option<Object> {
        match self {
            Object::Column { schema, table, .. } => Some(Object::Table { schema: schema.clone(), name: table.clone() }),
            _ => None,
        }
    }

    /// The privileges that there are on it.
    pub fn known_privileges(&self) -> Privileges {
        match self {
            Object::FutureSchemas { .. } | Object::Schema(_) => Privileges::USAGE | Privileges::CREATE,
            Object::Database(_) => Privileges::CONNECT | Privileges::CREATE | Privileges::TEMPORARY,
            Object::Column { .. } => {
                Privileges::SELECT | Privileges::INSERT | Privileges::UPDATE | Privileges::REFERENCES
            }
            Object::Language(_) | Object::ForeignDataWrapper(_) | Object::ForeignServer(_) => Privileges::USAGE,
            Object::LargeObject(_) => Privileges::SELECT | Privileges::UPDATE,
            Object::Parameter(_) => Privileges::SET | Privileges::ALTER_SYSTEM,
            Object::Tablespace(_) => Privileges::CREATE,
            _ => self.kind().map_or(Privileges::empty(), ObjectKind::privileges),
        }
    }

    /// For messages: `table "sales"."orders"`.
    pub fn in_words(&self) -> String {
        let dotted = |kind: &str, schema: &str, name: &str| format!("{kind} {schema:?}.{name:?}");
        let all = |kind: ObjectKind, schema: &str| format!("all {} of schema {schema:?}", kind.word());
        match (self, self.future_owner()) {
            (Object::Database(name), _) => format!("database {name:?}"),
            (Object::Parameter(name), _) => format!("parameter {name:?}"),
            (Object::Tablespace(name), _) => format!("tablespace {name:?}"),
            (Object::Language(name), _) => format!("language {name:?}"),
            (Object::ForeignDataWrapper(name), _) => format!("foreign-data wrapper {name:?}"),
            (Object::ForeignServer(name), _) => format!("foreign server {name:?}"),
            (Object::LargeObject(oid), _) => format!("large object {oid}"),
            (Object::Type { schema, name }, _) => dotted("type", schema, name),
            (Object::Column { schema, table, column }, _) => {
                format!("column {column:?} of {}", dotted("table", schema, table))
            }
            (Object::Schema(name), _) => format!("schema {name:?}"),
            (Object::Table { schema, name }, _) => dotted("table", schema, name),
            (Object::Sequence { schema, name }, _) => dotted("sequence", schema, name),
            (Object::Routine { schema, name, arguments }, _) => {
                format!("{}({arguments})", dotted("routine", schema, name))
            }
            (
                Object::AllTables(schema)
                | Object::AllSequences(schema)
                | Object::AllRoutines(schema)
                | Object::AllTypes(schema),
                _,
            ) => all(self.kind().unwrap_or(ObjectKind::Table), schema),
            (_, Some(owner)) => {
                let kind = self.kind().map_or("objects", ObjectKind::word);
                let place = self.schema().map(|schema| format!(" in schema {schema:?}")).unwrap_or_default();
                format!("future {kind} of {owner:?}{place}")
            }
            (other, None) => format!("{other:?}"),
        }
    }
}
