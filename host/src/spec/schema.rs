//! The JSON Schema of users.yaml: what an editor completes, and marks as wrong while it is written.
//! Built from the same lists of words that the parser goes by. What only the whole document can tell
//! (a name that is taken, a circle of memberships, a profile that is not declared) the parser says.

use serde_json::{Map, Value, json};

use super::attributes::FLAGS;
use super::everybody;
use super::generate::PERIOD;
use super::grants::{TEMP, built_in_profiles};
use super::modes::MODES;
use super::names::MAX_NAME;
use super::scripts::{MAX_SCRIPTS, SCRIPT_KEYS};
use super::targets::{COLUMNS, Listed, Scope, on_column};
use super::user::{List, PRIVILEGES};
use crate::generated::PASSWORD_KEY;
use crate::model::{Object, ObjectKind, PolicyCommand, Privileges, Run};

/// The schema, in the words of draft 2020-12: <https://json-schema.org/draft/2020-12>.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "users.yaml",
        "description": "Users, group roles and privileges that Rolewright keeps in PostgreSQL.",
        "type": "object",
        "required": ["users"],
        "additionalProperties": false,
        "properties": {
            "users": {
                "description": "Roles that may log in. An empty list is a wish; a missing one is a mistake.",
                "type": "array",
                "items": entry(List::Users),
            },
            "roles": {
                "description": "Group roles, as exact as users.",
                "type": "array",
                "items": entry(List::Roles),
            },
            "databases": {
                "description": "Databases that are made where they are absent; none is ever dropped.",
                "type": "array",
                "items": database(),
            },
            "mode": described(mode(), "Of every role that has none of its own, and of what PUBLIC holds."),
            "external": described(names(), "Roles that may be named, and are not made, changed or dropped."),
            "profiles": {
                "description": "Names for what is often granted together in one schema.",
                "type": "object",
                "additionalProperties": profile(),
            },
            "scripts": {
                "description": "Custom SQL by name: run where the operator's policy chain allows it, and a planner orders it.",
                "type": "array",
                "maxItems": MAX_SCRIPTS,
                "items": script(),
            },
        },
    })
}

/// Its text, as it ships.
pub fn text() -> String {
    // A tree of text and numbers: nothing in it can fail.
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn entry(list: List) -> Value {
    let (word, name_key) = list.words();
    let mut properties = Map::new();
    for key in list.keys() {
        properties.insert(key.to_owned(), property(key));
    }
    let mut entry = json!({
        "description": format!("A {word}."),
        "type": "object",
        "required": [name_key],
        "additionalProperties": false,
        "properties": properties,
        "not": { "required": ["database", "databases"] },
    });
    if list == List::Users {
        let key = json!({ "properties": { "key": { "const": PASSWORD_KEY } } });
        let wanted = json!({ "anyOf": [{ "const": true }, { "type": "object" }] });
        entry["dependentSchemas"] = json!({ "secret": { "not": { "required": ["password"] } } });
        entry["if"] = json!({ "required": ["generate"], "properties": { "generate": wanted } });
        entry["then"] = json!({ "not": { "required": ["password"] }, "properties": { "secret": key } });
    }
    entry
}

fn described(mut schema: Value, text: &str) -> Value {
    schema["description"] = text.into();
    schema
}

fn database() -> Value {
    let owner = || described(name(), "A role; made, without LOGIN, where it is absent. Left out: it stays as it is.");
    let public = |on: Object| {
        let list = json!({ "type": "array", "items": word_of(&words_for(on.known_privileges())) });
        described(list, "What everybody may; [] for nothing. Left out: it stays as it is.")
    };
    let by_kind = everybody::keys("").into_iter().map(|(key, on)| (key.to_owned(), public(on)));
    let by_kind = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": by_kind.collect::<Map<String, Value>>(),
    });
    let in_schema = described(
        json!({ "anyOf": [public(Object::Schema(String::new())), by_kind] }),
        "What everybody may on the schema; or, as a mapping, on it and on all of each kind that lies in it.",
    );
    let schema = json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": { "name": name(), "owner": owner(), "public": in_schema },
    });
    json!({
        "description": "A database.",
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": name(),
            "owner": owner(),
            "public": public(Object::Database(String::new())),
            "connection_limit": property("connection_limit"),
            "comment": property("comment"),
            "labels": property("labels"),
            "schemas": described(json!({ "type": "array", "items": schema }), "Made where they are absent, too."),
            "row_security": described(json!({ "type": "array", "items": row_security() }), "Row-level security, table by table."),
        },
    })
}

fn script() -> Value {
    let runs: Vec<&str> = Run::WORDS.iter().map(|(word, _)| *word).collect();
    let property = |key: &str| match key {
        "name" => {
            described(json!({ "type": "string", "pattern": "^[a-z][a-z0-9_-]*$", "maxLength": MAX_NAME }), "Its name.")
        }
        "database" => described(name(), "Where it runs."),
        "sql" => described(json!({ "type": "string", "minLength": 1 }), "Its text."),
        "file" => described(
            json!({ "type": "string", "pattern": "^[-_a-zA-Z0-9][-._a-zA-Z0-9]*\\.sql$", "maxLength": 253 }),
            "Where its text is: another key of the ConfigMap, or a file beside it.",
        ),
        _ => described(
            json!({ "enum": runs, "default": runs[0] }),
            "once: when its text changes; on_change: after every plan that changes something, too.",
        ),
    };
    let properties: Map<String, Value> = SCRIPT_KEYS.iter().map(|key| ((*key).to_owned(), property(key))).collect();
    json!({
        "type": "object",
        "required": ["name", "database"],
        "additionalProperties": false,
        "properties": properties,
        "oneOf": [{ "required": ["sql"] }, { "required": ["file"] }],
    })
}

/// What stands under a key of a user or a role.
fn property(key: &str) -> Value {
    match key {
        "username" | "name" => described(name(), "Any name that PostgreSQL accepts."),
        "renamed_from" => described(name(), "What it was called before: a role of that name gets this one."),
        "disabled" => described(
            json!({ "type": "boolean", "default": false }),
            "No login for now, and no sessions; it keeps everything else.",
        ),
        "database" => described(name(), "The one database that it may connect to."),
        "databases" => described(names(), "The databases that it may connect to."),
        "roles" => described(
            json!({ "type": "array", "uniqueItems": true, "items": { "anyOf": [name(), membership()] } }),
            "What it is a member of: exactly these.",
        ),
        "privileges" => {
            let known: Vec<&str> = PRIVILEGES.iter().map(|(word, _)| *word).collect();
            let list = json!({ "type": "array", "items": word_of(&known) });
            described(json!({ "anyOf": [{ "type": "null" }, list] }), "On each of its databases, besides CONNECT.")
        }
        "grants" => described(
            json!({ "type": "array", "items": grant() }),
            "What it may do inside of databases, and with parameters and tablespaces.",
        ),
        "settings" => described(settings(), "As ALTER ROLE … SET; these and no others."),
        "database_settings" => described(
            json!({ "type": "object", "additionalProperties": settings() }),
            "As ALTER ROLE … IN DATABASE … SET, by database.",
        ),
        "secret" => described(
            json!({
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": {
                    "name": { "type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253 },
                    "key": { "type": "string", "pattern": "^[-._a-zA-Z0-9]+$", "maxLength": 253, "default": "password" },
                },
            }),
            "Where its password is. Left out: Secret user-<username>-secret, key password.",
        ),
        "password" => described(json!({ "const": "none" }), "A login without a password. Passwords stand in Secrets."),
        "generate" => {
            described(generate(), "Its password is made, and written into its Secret, under the key password.")
        }
        "labels" => described(
            json!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 63 } }),
            "For policies; PostgreSQL does not see them.",
        ),
        "valid_until" => described(
            json!({ "anyOf": [{ "const": "never" }, moment()] }),
            "When its password stops working: never, a date, or a time such as 2027-01-31T18:00:00Z.",
        ),
        "connection_limit" => described(
            json!({ "anyOf": [{ "const": "unlimited" }, { "type": "integer", "minimum": 0, "maximum": i32::MAX }] }),
            "Sessions at once.",
        ),
        "mode" => described(mode(), "How much of the role is spoken for. Left out: the file's."),
        "comment" => described(json!({ "type": "string" }), "COMMENT ON ROLE. Left out: it stays as it is."),
        flag if FLAGS.iter().any(|(known, _)| *known == flag) => {
            let keyword = flag.to_uppercase();
            described(json!({ "type": "boolean", "default": flag == "inherit" }), &format!("The attribute {keyword}."))
        }
        _ => json!({}),
    }
}

fn generate() -> Value {
    let period = described(
        json!({ "type": "string", "pattern": PERIOD }),
        "How old the password becomes, from 1h to 3650d: another one takes its place then. Left out: it stays.",
    );
    let alternate = described(
        name(),
        "A second login that acts as the user. The Secret names the one, and after a rotation the other: the password \
         before can be used until the next.",
    );
    let mapping = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "rotate_every": period, "alternate": alternate },
        "dependentRequired": { "alternate": ["rotate_every"] },
    });
    json!({ "anyOf": [{ "type": "boolean" }, mapping] })
}

fn mode() -> Value {
    json!({ "enum": MODES, "default": MODES[0] })
}

/// A date, or a time with its offset from UTC.
fn moment() -> Value {
    json!({ "type": "string", "pattern": "^\\s*\\d{4}-\\d{2}-\\d{2}([Tt ].+)?\\s*$" })
}

/// PostgreSQL counts 63 bytes, JSON Schema letters: a name of others than ASCII may still be too long.
fn name() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_NAME })
}

fn row_security() -> Value {
    let flag = |text: &str| described(json!({ "type": "boolean" }), text);
    let expression = |text: &str| described(json!({ "type": ["string", "boolean"], "minLength": 1 }), text);
    let commands = PolicyCommand::WORDS.map(|(word, _, _)| word);
    let policy = json!({
        "type": "object",
        "required": ["name"],
        "anyOf": [{ "required": ["using"] }, { "required": ["check"] }],
        "additionalProperties": false,
        "properties": {
            "name": name(),
            "command": described(word_of(&commands), "What it is for; ALL if left out."),
            "permissive": flag("One permissive policy has to let a row through, and every restrictive one. True if left out."),
            "to": described(
                json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": name() }),
                "Roles; public for everybody, as if left out.",
            ),
            "using": expression("SQL: which rows there are."),
            "check": expression("SQL: which rows may be written. Left out: as `using`."),
        },
    });
    json!({
        "type": "object",
        "required": ["schema", "table"],
        "additionalProperties": false,
        "properties": {
            "schema": name(),
            "table": name(),
            "enabled": flag("True if left out."),
            "forced": flag("For the owner of the table, too. Left out: it stays as it is."),
            "policies": described(
                json!({ "type": "array", "items": policy }),
                "These and no others; [] for none. Left out: they stay as they are.",
            ),
        },
    })
}

fn names() -> Value {
    json!({ "type": "array", "uniqueItems": true, "items": name() })
}

fn membership() -> Value {
    json!({
        "type": "object",
        "required": ["role"],
        "additionalProperties": false,
        "properties": {
            "role": name(),
            "admin": { "type": "boolean", "default": false },
            "inherit": { "type": "boolean" },
            "set": { "type": "boolean", "default": true },
            "until": moment(),
        },
    })
}

fn settings() -> Value {
    let one = json!({ "type": ["string", "number", "boolean"] });
    let value = json!({ "anyOf": [one, { "type": "array", "items": { "type": ["string", "number", "boolean"] } }] });
    json!({ "type": "object", "additionalProperties": value })
}

/// A privilege: offered in capitals, accepted in any.
fn word_of(known: &[&str]) -> Value {
    let any_case = |word: &str| {
        let letters = word.chars().map(|letter| match letter.is_ascii_alphabetic() {
            true => format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase()),
            false => letter.to_string(),
        });
        letters.collect::<String>()
    };
    let pattern: Vec<String> = known.iter().map(|word| any_case(word)).collect();
    json!({ "anyOf": [{ "enum": known }, { "type": "string", "pattern": format!("^({})$", pattern.join("|")) }] })
}

fn privileges(known: Privileges) -> Value {
    json!({ "type": "array", "minItems": 1, "items": word_of(&words_for(known)) })
}

fn words_for(known: Privileges) -> Vec<&'static str> {
    known.keywords().chain(known.contains(Privileges::TEMPORARY).then_some(TEMP)).collect()
}

fn on_schema() -> Privileges {
    Object::Schema(String::new()).known_privileges()
}

fn profile() -> Value {
    let mut properties = Map::from_iter([("schema".to_owned(), privileges(on_schema()))]);
    for kind in ObjectKind::ALL {
        properties.insert(kind.word().to_owned(), privileges(kind.privileges()));
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// One of: a profile, the schema itself, the database itself, or some objects: in a schema, in a database, or of the server.
fn grant() -> Value {
    let shape = |scope: Scope, required: &[&str], more: Vec<(&str, Value)>| {
        let place: &[&str] = match scope {
            Scope::Schema => &["database", "schema"],
            Scope::Database => &["database"],
            Scope::Server => &[],
        };
        let mut properties: Map<String, Value> = place.iter().map(|key| ((*key).to_owned(), name())).collect();
        properties.insert("grant_option".to_owned(), json!({ "type": "boolean", "default": false }));
        properties.extend(more.into_iter().map(|(key, schema)| (key.to_owned(), schema)));
        let required: Vec<&str> = place.iter().chain(required).copied().collect();
        json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
    };
    let profile = json!({ "type": "string", "examples": built_in_profiles() });
    let on_database = Object::Database(String::new()).known_privileges();
    let mut shapes = vec![
        shape(Scope::Schema, &["profile"], vec![("profile", profile)]),
        shape(Scope::Schema, &["privileges"], vec![("privileges", privileges(on_schema()))]),
        shape(Scope::Database, &["privileges"], vec![("privileges", privileges(on_database))]),
    ];
    for listed in Listed::ALL {
        let item = match listed {
            Listed::Of(ObjectKind::Routine) => json!({ "type": "string", "pattern": "\\(.*\\)\\s*$" }),
            Listed::LargeObjects => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
            Listed::Parameters => {
                json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_$]*(\\.[A-Za-z_][A-Za-z0-9_$]*)*$" })
            }
            _ => name(),
        };
        let some = json!({ "type": "array", "minItems": 1, "items": item });
        let objects =
            if matches!(listed, Listed::Of(_)) { json!({ "anyOf": [{ "const": "all" }, some] }) } else { some };
        let more = vec![(listed.key(), objects), ("privileges", privileges(listed.privileges()))];
        shapes.push(shape(listed.scope(), &[listed.key(), "privileges"], more));
    }
    let some_names = || json!({ "type": "array", "minItems": 1, "items": name() });
    let more = vec![("tables", some_names()), (COLUMNS, some_names()), ("privileges", privileges(on_column()))];
    shapes.push(shape(Scope::Schema, &["tables", COLUMNS, "privileges"], more));
    json!({ "anyOf": shapes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_the_parser_knows_is_described() {
        for list in [List::Users, List::Roles] {
            for key in list.keys() {
                assert!(property(key).get("description").is_some(), "{key}");
            }
        }
    }

    /// The schema is held to the same cases in tests/settings/users.rs.
    #[test]
    fn the_parser_judges_the_cases_as_the_schema_does() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/settings/users-cases.yaml");
        let cases: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let judge = |case: &Value| crate::spec::parse(&crate::spec::Document::plain("users.yaml", case.to_string()));
        for case in cases["good"].as_array().unwrap() {
            judge(case).unwrap_or_else(|problems| panic!("{case}\n{problems:#?}"));
        }
        for case in cases["bad"].as_array().unwrap() {
            assert!(judge(case).is_err(), "the parser takes {case}");
        }
    }

    #[test]
    fn the_schema_that_ships_is_this_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/users.schema.json");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, text()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text(),
            "BLESS=1 cargo test -p rolewright schema rewrites it"
        );
    }
}
