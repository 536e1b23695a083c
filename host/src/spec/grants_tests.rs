//! `grants` and `profiles`, good and bad.

use super::{Diagnostic, Document, Parsed, parse};
use crate::model::{Object, Privileges};

fn good(text: &str) -> Parsed {
    parse(&Document::plain("users.yaml", text)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// Each grant in a line: where, on what, what, and what with grant option.
fn grants(text: &str) -> Vec<String> {
    let role = &good(text).spec.roles["r"];
    let words = |privileges: Privileges| privileges.keywords().collect::<Vec<_>>().join("+");
    role.grants
        .iter()
        .map(|grant| {
            let database = grant.database.as_deref().unwrap_or("-");
            format!("{database} {}: {} / {}", grant.on.in_words(), words(grant.privileges), words(grant.grantable))
        })
        .collect()
}

fn role(grants: &str) -> String {
    format!("users: []\nroles:\n- name: r\n  grants:\n{grants}")
}

#[test]
fn a_profile_is_what_it_says_in_one_schema() {
    assert_eq!(
        grants(&role("  - {database: shop, schema: sales, profile: read_only}\n")),
        [
            "shop schema \"sales\": USAGE / ",
            "shop all tables of schema \"sales\": SELECT / ",
            "shop all sequences of schema \"sales\": SELECT / ",
        ]
    );
    let own = "profiles:\n  ours: {tables: [select], routines: [EXECUTE]}\n";
    assert_eq!(
        grants(&format!("{own}{}", role("  - {database: d, schema: s, profile: ours, grant_option: true}\n"))),
        ["d all tables of schema \"s\": SELECT / SELECT", "d all routines of schema \"s\": EXECUTE / EXECUTE"]
    );
}

#[test]
fn entries_about_one_object_add_up() {
    assert_eq!(
        grants(&role(
            "  - {database: d, schema: s, tables: [a, b], privileges: [SELECT]}\n  - {database: d, schema: s, tables: [b], privileges: [INSERT], grant_option: true}\n"
        )),
        ["d table \"s\".\"a\": SELECT / ", "d table \"s\".\"b\": SELECT+INSERT / INSERT"]
    );
}

#[test]
fn what_names_a_database_and_nothing_in_it_is_about_the_database_and_adds_up_with_the_list() {
    let entries =
        "  - {database: d, privileges: [temp], grant_option: true}\n  - {database: d, privileges: [CREATE]}\n";
    assert_eq!(grants(&role(entries)), ["- database \"d\": CREATE+TEMPORARY / TEMPORARY"]);
    let user = "users:\n- username: r\n  databases: [d, e]\n  privileges: [CREATE]\n  grants:\n";
    assert_eq!(
        grants(&format!("{user}{entries}  - {{database: e, privileges: [CONNECT], grant_option: true}}\n")),
        ["- database \"d\": CREATE+CONNECT+TEMPORARY / TEMPORARY", "- database \"e\": CREATE+CONNECT / CONNECT"]
    );
}

#[test]
fn other_kinds_are_named_in_a_schema_in_a_database_or_nowhere() {
    assert_eq!(
        grants(&role(
            "  - {database: d, schema: s, tables: [a, b], columns: [x], privileges: [select, REFERENCES]}
  - {database: d, schema: s, types: [money_eur], privileges: [USAGE], grant_option: true}
  - {database: d, languages: [plpgsql], privileges: [USAGE]}
  - {database: d, foreign_data_wrappers: [postgres_fdw], privileges: [USAGE]}
  - {database: d, foreign_servers: [warehouse], privileges: [USAGE]}
  - {database: d, large_objects: [16401, 4294967295], privileges: [SELECT, UPDATE]}
  - {parameters: [Log_Statement, app.tenant], privileges: [set, alter system]}
  - {tablespaces: [fast], privileges: [CREATE]}
"
        )),
        [
            "- parameter \"app.tenant\": SET+ALTER SYSTEM / ",
            "- parameter \"log_statement\": SET+ALTER SYSTEM / ",
            "- tablespace \"fast\": CREATE / ",
            "d column \"x\" of table \"s\".\"a\": SELECT+REFERENCES / ",
            "d column \"x\" of table \"s\".\"b\": SELECT+REFERENCES / ",
            "d type \"s\".\"money_eur\": USAGE / USAGE",
            "d language \"plpgsql\": USAGE / ",
            "d foreign-data wrapper \"postgres_fdw\": USAGE / ",
            "d foreign server \"warehouse\": USAGE / ",
            "d large object 16401: SELECT+UPDATE / ",
            "d large object 4294967295: SELECT+UPDATE / ",
        ]
    );
}

#[test]
fn a_routine_is_told_by_the_types_of_its_arguments() {
    let parsed = good(&role(
        "  - {database: d, schema: s, routines: ['refund(integer,text)', 'now()'], privileges: [execute]}\n",
    ));
    let on: Vec<&Object> = parsed.spec.roles["r"].grants.iter().map(|grant| &grant.on).collect();
    let routine = |name: &str, arguments: &str| Object::Routine {
        schema: "s".into(),
        name: name.into(),
        arguments: arguments.into(),
    };
    assert_eq!(on, [&routine("now", ""), &routine("refund", "integer, text")]);
}

#[test]
fn privileges_on_databases_and_inside_of_them_go_together() {
    let text =
        "users:\n- username: r\n  database: shop\n  grants: [{database: shop, schema: s, privileges: [USAGE]}]\n";
    assert_eq!(grants(text), ["- database \"shop\": CONNECT / ", "shop schema \"s\": USAGE / "]);
}

#[test]
fn what_is_wrong_with_grants_and_profiles_says_what_to_write() {
    let entries = [
        "{schema: s, profile: read_only}",
        "{database: d, profile: read_only}",
        "{database: d, schema: s}",
        "{database: d, schema: s, profile: readonly}",
        "{database: d, schema: s, profile: read_only, tables: all}",
        "{database: d, schema: s, profile: read_only, privileges: [USAGE]}",
        "{database: d, schema: s, tables: all, sequences: all, privileges: [SELECT]}",
        "{database: d, schema: s, tables: some, privileges: [SELECT]}",
        "{database: d, schema: s, tables: [], privileges: [SELECT]}",
        "{database: d, schema: s, tables: all, privileges: [EXECUTE, SELECT, select]}",
        "{database: d, schema: s, privileges: []}",
        "{database: d, schema: pg_catalog, profile: read_only}",
        "{database: d, schema: s, routines: [refund], privileges: [EXECUTE]}",
        "{database: d, schema: s, table: orders, privileges: [SELECT]}",
        "{database: d, schema: s, tables: [orders], columns: [id], privileges: [DELETE]}",
        "{database: d, schema: s, tables: all, columns: [id], privileges: [SELECT]}",
        "{database: d, schema: s, columns: [id], privileges: [SELECT]}",
        "{database: d, schema: s, tables: [orders], columns: [], privileges: [SELECT]}",
        "{database: d, schema: s, types: [], privileges: [USAGE]}",
        "{database: d, types: [money], privileges: [USAGE]}",
        "{database: d, schema: s, languages: [plpgsql], privileges: [USAGE]}",
        "{languages: [plpgsql], privileges: [USAGE]}",
        "{database: d, foreign_servers: [w], privileges: [SELECT]}",
        "{database: d, large_objects: [photo, 0], privileges: [SELECT]}",
        "{database: d, parameters: [work_mem], privileges: [SET]}",
        "{parameters: [work mem], privileges: [SET, ALTER]}",
        "{schema: s, tablespaces: [fast], privileges: [CREATE]}",
        "sales",
    ];
    let list: String = entries.iter().map(|entry| format!("  - {entry}\n")).collect();
    let text = format!("{}profiles:\n  read_write: {{}}\n  mine: {{tables: SELECT, views: [SELECT]}}\n", role(&list));
    let problems: Vec<Diagnostic> = parse(&Document::plain("users.yaml", &text)).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("grants_and_profiles", shown.join("\n\n"));
}
