//! `mode` and `external` of users.yaml: what is read, and what is said of what cannot be meant.

use crate::model::Mode;
use crate::spec::{Diagnostic, Document, Parsed, parse};

fn read(text: &str) -> Result<Parsed, Vec<Diagnostic>> {
    parse(&Document::plain("users.yaml", text.to_owned()))
}

fn good(text: &str) -> Parsed {
    read(text).unwrap_or_else(|problems| panic!("{text}: {}", problems[0]))
}

fn problems(text: &str) -> Vec<(String, String)> {
    let problems = read(text).err().into_iter().flatten();
    problems.map(|problem| (problem.code.to_string(), problem.help.unwrap_or_default())).collect()
}

#[test]
fn the_mode_of_an_entry_wins_over_that_of_the_file() {
    let entries = "users: [{username: alice}, {username: bob, mode: authoritative}]\n\
                   roles: [{name: reader, mode: observe}, {name: writer}]\n";
    let modes = |top: &str| {
        let parsed = good(&format!("{top}\n{entries}"));
        (parsed.spec.mode, ["alice", "bob", "reader", "writer"].map(|name| parsed.spec.roles[name].mode))
    };
    let (authoritative, additive, observe) = (Mode::Authoritative, Mode::Additive, Mode::Observe);
    assert_eq!(modes(""), (authoritative, [authoritative, authoritative, observe, authoritative]));
    assert_eq!(modes("mode: additive"), (additive, [additive, authoritative, observe, additive]));
    assert_eq!(modes("mode: adopt"), (Mode::Adopt, [Mode::Adopt, authoritative, observe, Mode::Adopt]));
    assert_eq!(modes("mode: observe"), (observe, [observe, authoritative, observe, observe]));
}

#[test]
fn who_is_only_observed_has_no_role_made_for_it_and_an_external_one_nobody_has() {
    let parsed = good(
        "external: [dba_team, lone]\n\
         users: [{username: alice, mode: observe, roles: [seen, shared, dba_team]}, {username: bob, roles: [shared, dba_team]}]\n\
         databases: [{name: shop, owner: dba_team}]\n",
    );
    let roles: Vec<&str> = parsed.spec.roles.keys().map(String::as_str).collect();
    assert_eq!(roles, ["alice", "bob", "shared"]);
    assert_eq!(parsed.spec.spared, ["seen".to_owned()].into());
    assert_eq!(parsed.spec.external, ["dba_team".to_owned(), "lone".to_owned()].into());
    let observed = good("mode: observe\nusers: []\ndatabases: [{name: shop, owner: shop_owner}]\n");
    assert!(observed.spec.roles.is_empty() && observed.spec.spared.contains("shop_owner"));
}

#[test]
fn what_is_no_mode_is_told_with_the_one_that_was_meant() {
    let found = problems("mode: aditive\nusers: [{username: alice, mode: strict}, {username: bob, mode: true}]\n");
    let codes: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["unknown-mode", "unknown-mode", "wrong-type"]);
    let known = "The modes are `authoritative`, `additive`, `adopt` and `observe`";
    assert_eq!(found[0].1, format!("did you mean `additive`? {known}"));
    assert_eq!(found[1].1, known.replace("The", "the"));
}

#[test]
fn what_is_external_is_a_list_of_names_and_not_declared() {
    let codes = |text: &str| problems(text).into_iter().map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(codes("users: [{username: alice}]\nexternal: [alice]\n"), ["external-role"]);
    assert_eq!(codes("users: []\nroles: [{name: a}]\nexternal: [b, a, b]\n"), ["external-role", "duplicate-role"]);
    assert_eq!(codes("users: []\nexternal: dba_team\n"), ["wrong-type"]);
    assert_eq!(codes("users: []\nexternal: [public]\n"), ["reserved-name"]);
    assert_eq!(codes("users: []\nexternal: [5]\n"), ["unquoted-name"]);
}
