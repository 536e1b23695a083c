//! GRANT and REVOKE on objects. What is wished for all objects of a schema becomes a statement on
//! those that lack it (or on all of them, if all do): PostgreSQL writes a row for each object that a
//! statement names, whether anything changes or not.

use std::collections::BTreeSet;

use super::statement::{Renderer, Statement};
use crate::model::{Grant, Object, ObjectKind, PUBLIC, Privileges};

/// Objects in one statement: keeps it well below a megabyte.
const OBJECTS_PER_STATEMENT: usize = 500;

/// Where a statement applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `ON …`.
    On(String),
    /// `(column) ON TABLE …`: the column stands with each privilege.
    Column(String, String),
    /// `ALTER DEFAULT PRIVILEGES …`, and the objects.
    Default(String, &'static str),
}

impl Renderer<'_> {
    /// Where a grant to this role applies. Empty: on nothing, since there is nothing yet.
    pub(super) fn places_to_grant(&self, role: &str, grant: &Grant) -> Vec<Place> {
        let lacks = |object: &Object| {
            let Some(objects) = grant.database.as_ref().and_then(|name| self.catalog.objects.get(name)) else {
                return true;
            };
            let (held, grantable) = objects.held(role, object);
            // A grant option too many is taken away together with the privilege, by a step before this.
            let surplus = (grantable & grant.privileges) - grant.grantable;
            !held.contains(grant.privileges) || !grantable.contains(grant.grantable) || !surplus.is_empty()
        };
        self.places(role, grant, lacks)
    }

    /// Where a revocation from this role applies.
    fn places_to_revoke(&self, role: &str, grant: &Grant) -> Vec<Place> {
        let holds = |object: &Object| {
            let objects = grant.database.as_ref().and_then(|name| self.catalog.objects.get(name));
            objects.is_none_or(|objects| objects.held(role, object).0.intersects(grant.privileges | grant.grantable))
        };
        self.places(role, grant, holds)
    }

    fn places(&self, role: &str, grant: &Grant, wanted: impl Fn(&Object) -> bool) -> Vec<Place> {
        if let Some(owner) = grant.on.future_owner() {
            let schema = grant.on.schema().map(|schema| format!(" IN SCHEMA {}", self.name(schema)));
            let prefix =
                format!("ALTER DEFAULT PRIVILEGES FOR ROLE {}{}", self.name(owner), schema.unwrap_or_default());
            let objects = match &grant.on {
                Object::FutureTables { .. } => "TABLES",
                Object::FutureSequences { .. } => "SEQUENCES",
                Object::FutureRoutines { .. } => "ROUTINES",
                Object::FutureTypes { .. } => "TYPES",
                _ => "SCHEMAS",
            };
            return vec![Place::Default(prefix, objects)];
        }
        let (Some(kind), Some(schema), true) = (grant.on.kind(), grant.on.schema(), grant.on.is_all()) else {
            return self.object(&grant.on).into_iter().collect();
        };
        let members = grant.database.as_ref().and_then(|name| self.catalog.objects.get(name));
        let members: Vec<(&Object, &String)> =
            members.into_iter().flat_map(|objects| objects.members(kind, schema)).collect();
        let chosen: Vec<&Object> = members
            .iter()
            // What the owner holds is no grant, and must not be taken from it.
            .filter(|(object, owner)| *owner != role && wanted(object))
            .map(|(object, _)| *object)
            .collect();
        // Of types, GRANT knows no ALL … IN SCHEMA.
        if kind != ObjectKind::Type && !chosen.is_empty() && chosen.len() == members.len() {
            let all = kind.word().to_uppercase();
            return vec![Place::On(format!("ALL {all} IN SCHEMA {}", self.name(schema)))];
        }
        let listed = |objects: &[&Object]| {
            let names: Vec<String> = objects.iter().map(|object| self.qualified(object)).collect();
            Place::On(format!("{} {}", keyword(kind), names.join(", ")))
        };
        chosen.chunks(OBJECTS_PER_STATEMENT).map(listed).collect()
    }

    /// PUBLIC is a keyword; in quotes it means the same, and looks like a role.
    fn grantees(&self, roles: &[&str]) -> String {
        let name = |role: &&str| if *role == PUBLIC { "PUBLIC".to_owned() } else { self.name(role) };
        roles.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// GRANT to roles that have the same places.
    pub(super) fn grant_privilege(&self, grant: &Grant, places: &[Place], roles: &[&str]) -> Vec<Statement> {
        let to = self.grantees(roles);
        let plain = grant.privileges - grant.grantable;
        let mut statements = Vec::new();
        for place in places {
            if !plain.is_empty() {
                statements.push(Statement::new(sentence(place, "GRANT", plain, &format!("TO {to}"))));
            }
            if !grant.grantable.is_empty() {
                let whom = format!("TO {to} WITH GRANT OPTION");
                statements.push(Statement::new(sentence(place, "GRANT", grant.grantable, &whom)));
            }
        }
        statements
    }

    /// REVOKE on an object only undoes what its own grantor gave, and knows no GRANTED BY for
    /// others: what somebody else granted is revoked in their name.
    pub(super) fn revoke_privilege(&self, role: &str, grant: &Grant) -> Vec<Statement> {
        let places = self.places_to_revoke(role, grant);
        let mut statements: Vec<Statement> =
            self.revoke_privilege_as_owner(grant, &places, &[role]).into_iter().map(Statement::new).collect();
        for object in self.elements(role, grant) {
            let grantors = self.catalog.foreign_grants(role, grant.database.as_deref(), &object);
            for (grantor, held) in grantors.into_iter().flatten() {
                let part = Grant {
                    on: object.clone(),
                    database: grant.database.clone(),
                    privileges: grant.privileges & *held,
                    grantable: grant.grantable & *held,
                };
                let place: Vec<Place> = self.object(&object).into_iter().collect();
                let revokes = self.revoke_privilege_as_owner(&part, &place, &[role]);
                if !revokes.is_empty() {
                    statements.push(Statement::new(format!("SET LOCAL ROLE {}", self.name(grantor))));
                    statements.extend(revokes.into_iter().map(Statement::new));
                    statements.push(Statement::new("RESET ROLE"));
                }
            }
        }
        statements
    }

    /// The places of a revocation that others can share, since nobody but the owner granted any of it.
    pub(super) fn shared_places_to_revoke(&self, role: &str, grant: &Grant) -> Option<Vec<Place>> {
        let database = grant.database.as_deref();
        let foreign = |object: &Object| {
            self.catalog.foreign_grants(role, database, object).is_some_and(|grantors| !grantors.is_empty())
        };
        if self.elements(role, grant).iter().any(foreign) {
            return None;
        }
        Some(self.places_to_revoke(role, grant))
    }

    pub(super) fn revoke_privilege_as_owner(&self, grant: &Grant, places: &[Place], roles: &[&str]) -> Vec<String> {
        let from = format!("FROM {}", self.grantees(roles));
        let option_only = grant.grantable - grant.privileges;
        let mut statements = Vec::new();
        for place in places {
            if !grant.privileges.is_empty() {
                statements.push(sentence(place, "REVOKE", grant.privileges, &from));
            }
            if !option_only.is_empty() {
                statements.push(sentence(place, "REVOKE GRANT OPTION FOR", option_only, &from));
            }
        }
        statements
    }

    /// The single objects that a grant is about, of those on which the role holds anything.
    fn elements(&self, role: &str, grant: &Grant) -> BTreeSet<Object> {
        let (Some(kind), Some(schema), true) = (grant.on.kind(), grant.on.schema(), grant.on.is_all()) else {
            return BTreeSet::from([grant.on.clone()]);
        };
        let Some(objects) = grant.database.as_ref().and_then(|name| self.catalog.objects.get(name)) else {
            return BTreeSet::new();
        };
        let held = objects.held.get(role).into_iter().flat_map(|held| held.keys());
        held.filter(|object| {
            object.kind() == Some(kind) && object.schema() == Some(schema) && objects.is_member(object)
        })
        .cloned()
        .collect()
    }

    fn object(&self, object: &Object) -> Option<Place> {
        let on = match object {
            Object::Database(name) => format!("DATABASE {}", self.name(name)),
            Object::Parameter(name) => format!("PARAMETER {}", self.parameter(name)),
            Object::Tablespace(name) => format!("TABLESPACE {}", self.name(name)),
            Object::Schema(name) => format!("SCHEMA {}", self.name(name)),
            Object::Table { .. } | Object::Sequence { .. } | Object::Routine { .. } | Object::Type { .. } => {
                format!("{} {}", object.kind().map(keyword)?, self.qualified(object))
            }
            Object::Column { column, .. } => {
                let table = format!("TABLE {}", self.qualified(&object.table_of()?));
                return Some(Place::Column(self.name(column), table));
            }
            Object::Language(name) => format!("LANGUAGE {}", self.name(name)),
            Object::ForeignDataWrapper(name) => format!("FOREIGN DATA WRAPPER {}", self.name(name)),
            Object::ForeignServer(name) => format!("FOREIGN SERVER {}", self.name(name)),
            Object::LargeObject(oid) => format!("LARGE OBJECT {oid}"),
            // All objects, and those that are yet to be made, are not one.
            _ => return None,
        };
        Some(Place::On(on))
    }

    /// The arguments of a routine are the server's own text: the guard lets through only what was found.
    fn qualified(&self, object: &Object) -> String {
        match object {
            Object::Table { schema, name } | Object::Sequence { schema, name } | Object::Type { schema, name } => {
                format!("{}.{}", self.name(schema), self.name(name))
            }
            Object::Routine { schema, name, arguments } => {
                format!("{}.{}({arguments})", self.name(schema), self.name(name))
            }
            _ => String::new(),
        }
    }
}

/// TABLE means views and the like as well.
fn keyword(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "TABLE",
        ObjectKind::Sequence => "SEQUENCE",
        ObjectKind::Routine => "ROUTINE",
        ObjectKind::Type => "TYPE",
    }
}

fn sentence(place: &Place, verb: &str, privileges: Privileges, whom: &str) -> String {
    let words = words(privileges);
    match place {
        Place::On(object) => format!("{verb} {words} ON {object} {whom}"),
        Place::Column(column, table) => {
            let words: Vec<String> = privileges.keywords().map(|word| format!("{word} ({column})")).collect();
            format!("{verb} {} ON {table} {whom}", words.join(", "))
        }
        Place::Default(prefix, objects) => format!("{prefix} {verb} {words} ON {objects} {whom}"),
    }
}

fn words(privileges: Privileges) -> String {
    privileges.keywords().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Held, Objects, Schema};
    use crate::plan::Change;
    use crate::sql::statement::Style;

    fn table(name: &str) -> Object {
        Object::Table { schema: "s".into(), name: name.into() }
    }

    /// Tables a, b and c of schema s; c belongs to r. On a, r holds SELECT, which `delegate` granted.
    fn catalog() -> Catalog {
        let mut objects = Objects::default();
        objects.schemas.insert("s".into(), Schema { owner: "o".into(), creators: BTreeSet::new() });
        let members = [("a", "o"), ("b", "o"), ("c", "r")].map(|(name, owner)| (table(name), owner.to_owned()));
        objects.members.insert((ObjectKind::Table, "s".into()), members.into());
        let foreign = [("delegate".to_owned(), Privileges::SELECT)].into();
        let held = Held { privileges: Privileges::SELECT, grantable: Privileges::empty(), foreign };
        objects.held.insert("r".into(), [(table("a"), held)].into());
        Catalog { objects: [("d".to_owned(), objects)].into(), ..Catalog::default() }
    }

    fn sql(role: &str, on: Object, privileges: Privileges, grantable: Privileges, gives: bool) -> Vec<String> {
        let catalog = catalog();
        let renderer = Renderer { catalog: &catalog, reassign_owned_to: "", style: Style::People };
        let (role, grant) = (Some(role.to_owned()), Grant { database: Some("d".into()), on, privileges, grantable });
        let change =
            if gives { Change::GrantPrivilege { role, grant } } else { Change::RevokePrivilege { role, grant } };
        renderer.change(&change).iter().map(|statement| statement.text(|_, _| ())).collect()
    }

    const NONE: Privileges = Privileges::empty();

    #[test]
    fn a_wish_for_all_names_those_that_lack_it_and_all_if_all_do() {
        let all = || Object::AllTables("s".into());
        assert_eq!(sql("r", all(), Privileges::SELECT, NONE, true), ["GRANT SELECT ON TABLE s.b TO r"]);
        assert_eq!(sql("r", all(), Privileges::INSERT, NONE, true), ["GRANT INSERT ON TABLE s.a, s.b TO r"]);
        assert_eq!(
            sql("other", all(), Privileges::SELECT, NONE, true),
            ["GRANT SELECT ON ALL TABLES IN SCHEMA s TO other"]
        );
        assert!(sql("r", Object::AllSequences("s".into()), Privileges::USAGE, NONE, true).is_empty());
    }

    #[test]
    fn what_somebody_else_granted_is_revoked_in_their_name() {
        assert_eq!(
            sql("r", table("a"), Privileges::SELECT, NONE, false),
            [
                "REVOKE SELECT ON TABLE s.a FROM r",
                "SET LOCAL ROLE delegate",
                "REVOKE SELECT ON TABLE s.a FROM r",
                "RESET ROLE",
            ]
        );
    }

    #[test]
    fn each_kind_of_object_has_its_words_and_a_column_stands_with_each_privilege() {
        let text = str::to_owned;
        let column = Object::Column { schema: text("s"), table: text("a b"), column: text("x\"y") };
        let both = Privileges::SELECT | Privileges::UPDATE;
        assert_eq!(
            sql("r", column.clone(), both, Privileges::UPDATE, true),
            [
                r#"GRANT SELECT ("x""y") ON TABLE s."a b" TO r"#,
                r#"GRANT UPDATE ("x""y") ON TABLE s."a b" TO r WITH GRANT OPTION"#
            ]
        );
        assert_eq!(
            sql("r", column, NONE, both, false),
            [r#"REVOKE GRANT OPTION FOR SELECT ("x""y"), UPDATE ("x""y") ON TABLE s."a b" FROM r"#]
        );
        for (on, privilege, statement) in [
            (Object::Type { schema: text("s"), name: text("T") }, Privileges::USAGE, r#"USAGE ON TYPE s."T""#),
            (Object::Language(text("pl x")), Privileges::USAGE, r#"USAGE ON LANGUAGE "pl x""#),
            (Object::ForeignDataWrapper(text("f")), Privileges::USAGE, "USAGE ON FOREIGN DATA WRAPPER f"),
            (Object::ForeignServer(text("f")), Privileges::USAGE, "USAGE ON FOREIGN SERVER f"),
            (Object::LargeObject(7), Privileges::SELECT, "SELECT ON LARGE OBJECT 7"),
            (Object::Parameter(text("app.x")), Privileges::ALTER_SYSTEM, "ALTER SYSTEM ON PARAMETER app.x"),
            (Object::Tablespace(text("fast")), Privileges::CREATE, "CREATE ON TABLESPACE fast"),
        ] {
            assert_eq!(sql("r", on.clone(), privilege, NONE, true), [format!("GRANT {statement} TO r")]);
            assert_eq!(sql("r", on, privilege, NONE, false), [format!("REVOKE {statement} FROM r")]);
        }
    }

    #[test]
    fn what_is_made_later_is_default_privileges_and_an_option_goes_alone() {
        let future = Object::FutureTables { owner: "o".into(), schema: Some("s".into()) };
        assert_eq!(
            sql("r", future, Privileges::SELECT, Privileges::SELECT, true),
            ["ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT SELECT ON TABLES TO r WITH GRANT OPTION"]
        );
        let everywhere = Object::FutureTypes { owner: "o".into(), schema: None };
        assert_eq!(
            sql("r", everywhere, Privileges::USAGE, NONE, false),
            ["ALTER DEFAULT PRIVILEGES FOR ROLE o REVOKE USAGE ON TYPES FROM r"]
        );
        assert_eq!(
            sql("r", Object::Schema("s".into()), NONE, Privileges::USAGE, false),
            ["REVOKE GRANT OPTION FOR USAGE ON SCHEMA s FROM r"]
        );
    }
}
