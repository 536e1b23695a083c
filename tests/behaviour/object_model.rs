//! Random grants inside of a database, declared and made by hand: the server's own functions tell what comes of them.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use rolewright_tests::{Manifests, Rolewright};

use super::object_privileges::{held, shop};

/// What can be declared and what can be done by hand, in the same words.
const TABLES: [&str; 3] = ["items", "orders", "totals"];
const WORDS: [&str; 3] = ["SELECT", "INSERT", "DELETE"];

/// Grants of one role on tables of `sales`: for all of them or (`Some`) for one, a word, and whether
/// with grant option.
type Random = Vec<(Option<usize>, usize, bool)>;

fn random(most: usize) -> impl Strategy<Value = Random> {
    let table = prop::option::weighted(0.6, 0..TABLES.len());
    prop::collection::vec((table, 0..WORDS.len(), prop::bool::weighted(0.3)), 0..most)
}

/// Random grants are declared for two roles and made by hand for both; after one cycle the server's own
/// functions tell exactly what is declared, and a second cycle has nothing to do.
#[test]
fn whatever_was_granted_by_hand_each_role_holds_what_it_declares() {
    let (cluster, manifests) = (shop(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests);
    cluster.sql("CREATE ROLE one");
    cluster.sql("CREATE ROLE two");
    let strategy = (prop::collection::vec(random(5), 2), prop::collection::vec(random(6), 2));
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let outcome = runner.run(&strategy, |(declared, by_hand)| {
        let mut document = "users: []\nroles:\n".to_owned();
        for (role, grants) in ["one", "two"].into_iter().zip(&declared) {
            // USAGE, so that each role always has something there and is looked at.
            document.push_str(&format!(
                "  - name: {role}\n    grants:\n      - {{database: shop, schema: sales, privileges: [USAGE]}}\n"
            ));
            for (table, word, option) in grants {
                let tables = table.map_or("all".to_owned(), |table| format!("[{}]", TABLES[table]));
                document.push_str(&format!(
                    "      - {{database: shop, schema: sales, tables: {tables}, privileges: [{}], grant_option: {option}}}\n",
                    WORDS[*word]
                ));
            }
        }
        manifests.users(&document);
        for (role, grants) in ["one", "two"].into_iter().zip(&by_hand) {
            cluster.sql_in("shop", &format!("REVOKE ALL ON ALL TABLES IN SCHEMA sales FROM {role}"));
            for (table, word, option) in grants {
                let tables = table.map_or("ALL TABLES IN SCHEMA sales".to_owned(), |table| format!("sales.{}", TABLES[table]));
                let option = if *option { " WITH GRANT OPTION" } else { "" };
                cluster.sql_in("shop", &format!("GRANT {} ON {tables} TO {role}{option}", WORDS[*word]));
            }
        }
        rolewright.apply().succeeds();
        for (role, grants) in ["one", "two"].into_iter().zip(&declared) {
            let mut expected = vec!["schema sales: USAGE".to_owned()];
            for (index, table) in TABLES.iter().enumerate() {
                let about = |word: usize| grants.iter().filter(move |it| it.1 == word && it.0.is_none_or(|table| table == index));
                let words: Vec<String> = (0..WORDS.len())
                    .filter(|word| about(*word).next().is_some())
                    .map(|word| format!("{}{}", WORDS[word], if about(word).any(|it| it.2) { "*" } else { "" }))
                    .collect();
                if !words.is_empty() {
                    expected.push(format!("table sales.{table}: {}", words.join(" ")));
                }
            }
            prop_assert_eq!(held(&cluster, role), expected, "{} in\n{}\nby hand: {:?}", role, document, by_hand);
        }
        rolewright.plan_json().is_empty();
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
