//! `databases:` of users.yaml: what is read, and what is said of what cannot be meant.

use crate::model::{Grant, Limit, Mode, Object, Privileges};
use crate::spec::{Diagnostic, Document, Parsed, parse};

fn read(databases: &str) -> Result<Parsed, Vec<Diagnostic>> {
    parse(&Document::plain("users.yaml", format!("users: []\ndatabases: {databases}\n")))
}

fn good(databases: &str) -> Parsed {
    read(databases).unwrap_or_else(|problems| panic!("{databases}: {}", problems[0]))
}

fn codes(databases: &str) -> Vec<String> {
    read(databases).err().into_iter().flatten().map(|problem| problem.code.to_string()).collect()
}

#[test]
fn a_database_is_read_with_its_schemas() {
    let parsed = good(
        "[{name: shop, owner: shop_owner, comment: c, connection_limit: 5, labels: {team: a}, public: [connect], \
         schemas: [{name: sales, owner: sales_owner, public: []}, {name: audit}]}, {name: plain}]",
    );
    let shop = &parsed.spec.databases["shop"];
    assert_eq!(shop.owner.as_deref(), Some("shop_owner"));
    assert_eq!((shop.connection_limit, shop.comment.as_deref()), (Some(Limit::AtMost(5)), Some("c")));
    assert_eq!(shop.labels["team"], "a");
    let schemas: Vec<_> =
        shop.schemas.iter().map(|it| (it.name.as_str(), it.owner.as_deref(), it.path.as_str())).collect();
    assert_eq!(
        schemas,
        [("audit", None, "/databases/0/schemas/1"), ("sales", Some("sales_owner"), "/databases/0/schemas/0")]
    );
    let plain = &parsed.spec.databases["plain"];
    assert!(plain.owner.is_none() && plain.connection_limit.is_none() && plain.comment.is_none());
    let grant = |database: Option<&str>, on, privileges| Grant {
        database: database.map(str::to_owned),
        on,
        privileges,
        grantable: Privileges::empty(),
    };
    assert_eq!(
        parsed.spec.public,
        [
            grant(None, Object::Database("shop".into()), Privileges::CONNECT),
            grant(Some("shop"), Object::Schema("sales".into()), Privileges::empty()),
        ]
    );
    // Owners that nobody declares are made like roles that are only named.
    for owner in ["shop_owner", "sales_owner"] {
        let role = &parsed.spec.roles[owner];
        assert!(role.mode == Mode::Present && !role.is_user());
    }
    assert_eq!(parsed.spec.roles["sales_owner"].path, "/databases/0/schemas/0/owner");
}

#[test]
fn of_a_schema_it_can_be_said_kind_by_kind_what_everybody_may() {
    let parsed = good(
        "[{name: shop, schemas: [{name: s, public: {schema: [usage], routines: [], types: [USAGE]}}, {name: z, public: {}}]}]",
    );
    let said: Vec<(&Object, Privileges)> =
        parsed.spec.public.iter().map(|grant| (&grant.on, grant.privileges)).collect();
    assert_eq!(
        said,
        [
            (&Object::Schema("s".into()), Privileges::USAGE),
            (&Object::AllRoutines("s".into()), Privileges::empty()),
            (&Object::AllTypes("s".into()), Privileges::USAGE),
        ]
    );
    assert!(parsed.spec.public.iter().all(|grant| grant.database.as_deref() == Some("shop")));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (text, code) in [
        ("{shop: {}}", "wrong-type"),
        ("[shop]", "wrong-type"),
        ("[{owner: a}]", "missing-key"),
        ("[{name: shop, onwer: a}]", "unknown-key"),
        ("[{name: template1}]", "system-database"),
        ("[{name: a}, {name: a}]", "duplicate-database"),
        ("[{name: a, owner: public}]", "reserved-name"),
        ("[{name: a, public: nothing}]", "wrong-type"),
        ("[{name: a, public: [USAGE]}]", "unknown-privilege"),
        ("[{name: a, connection_limit: -1}]", "invalid-limit"),
        ("[{name: a, schemas: {b: c}}]", "wrong-type"),
        ("[{name: a, schemas: [b]}]", "wrong-type"),
        ("[{name: a, schemas: [{name: pg_x}]}]", "system-schema"),
        ("[{name: a, schemas: [{name: rolewright}]}]", "system-schema"),
        ("[{name: a, schemas: [{name: b}, {name: b}]}]", "duplicate-schema"),
        ("[{name: a, schemas: [{name: b, public: [CONNECT]}]}]", "unknown-privilege"),
        ("[{name: a, schemas: [{name: b, public: nothing}]}]", "wrong-type"),
        ("[{name: a, schemas: [{name: b, public: {routine: []}}]}]", "unknown-key"),
        ("[{name: a, schemas: [{name: b, public: {routines: none}}]}]", "wrong-type"),
        ("[{name: a, schemas: [{name: b, public: {routines: [USAGE]}}]}]", "unknown-privilege"),
        ("[{name: a, public: {routines: []}}]", "wrong-type"),
    ] {
        assert_eq!(codes(text), [code], "{text}");
    }
}
