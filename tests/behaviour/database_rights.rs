//! Privileges on single databases, beside those on all databases of a role: with and without CONNECT, with and without grant
//! option, exactly as declared, whoever changes them. What is held is asked of `has_database_privilege`, or tried.

use rolewright_tests::{Cluster, Manifests, Rolewright};

use super::import::imported;

/// A name that YAML, SQL and a shell would each read otherwise.
const HOSTILE: &str = "it's \"odd\"; [x]: {b}";

/// Two databases on which PUBLIC has nothing, so that whoever has something was given it.
fn markets() -> Cluster {
    let cluster = Cluster::start();
    for name in ["shop", HOSTILE] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        cluster.sql(&format!("CREATE DATABASE {quoted}"));
        cluster.sql(&format!("REVOKE ALL ON DATABASE {quoted} FROM PUBLIC"));
    }
    cluster
}

/// `shop: CREATE TEMPORARY*`, with a star for the grant option; databases on which nothing is held are left out.
fn held(cluster: &Cluster, role: &str) -> Vec<String> {
    let words = ["CONNECT", "CREATE", "TEMPORARY"].map(|word| {
        format!(
            "CASE WHEN has_database_privilege('{role}', oid, '{word} WITH GRANT OPTION') THEN ' {word}*'
                  WHEN has_database_privilege('{role}', oid, '{word}') THEN ' {word}' END"
        )
    });
    let sql = format!(
        "SELECT line FROM (SELECT datname || ':' || concat({}) AS line FROM pg_database
          WHERE datname NOT IN ('postgres', 'template0', 'template1')) AS all_of_them
          WHERE line !~ ':$' ORDER BY line COLLATE \"C\" DESC",
        words.join(", ")
    );
    cluster.column(&sql)
}

fn users() -> String {
    let odd = serde_json::to_string(HOSTILE).unwrap();
    format!(
        "users:
  - username: alice
    database: shop
    privileges: [TEMPORARY]
    grants:
      - {{database: {odd}, privileges: [temp]}}
      - {{database: shop, privileges: [CREATE], grant_option: true}}
roles:
  - name: maker
    grants:
      - {{database: {odd}, privileges: [CREATE, CONNECT]}}
      - {{database: {odd}, privileges: [CONNECT], grant_option: true}}
"
    )
}

fn as_declared(cluster: &Cluster) {
    assert_eq!(held(cluster, "alice"), ["shop: CONNECT CREATE* TEMPORARY", &format!("{HOSTILE}: TEMPORARY")]);
    assert_eq!(held(cluster, "maker"), [format!("{HOSTILE}: CONNECT* CREATE")]);
}

#[test]
fn a_role_has_on_each_database_what_its_list_and_its_grants_say_and_nothing_else() {
    let (cluster, manifests) = (markets(), Manifests::new());
    manifests.users(&users()).secret("alice", "database-rights-1");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("with grant option");
    rolewright.command(&["plan", "--rehearse"]).succeeds().mentions("accepted");
    rolewright.apply().succeeds();
    as_declared(&cluster);
    rolewright.plan_json().is_empty();
    // The one database lets her in, the other does not: no CONNECT came along.
    let mut alice = cluster.login("alice", "database-rights-1", "shop");
    alice
        .simple_query("CREATE SCHEMA hers; CREATE TEMPORARY TABLE t (); GRANT CREATE ON DATABASE shop TO maker")
        .unwrap();
    cluster.refuses_login("alice", "database-rights-1", HOSTILE, "42501");
    // What she passed on is gone in the next cycle, in her name, and she keeps what she has.
    assert!(held(&cluster, "maker").contains(&"shop: CREATE".to_owned()));
    rolewright.plan().succeeds().mentions("(drift)").mentions("maker");
    rolewright.apply().succeeds();
    as_declared(&cluster);

    // Narrower: the option goes alone, then the privilege, then all of it.
    let narrower = users().replace("[CREATE], grant_option: true", "[CREATE]");
    manifests.users(&narrower);
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "alice")[0], "shop: CONNECT CREATE TEMPORARY");
    manifests.users(&narrower.replace("      - {database: shop, privileges: [CREATE]}\n", ""));
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "alice"), ["shop: CONNECT TEMPORARY", &format!("{HOSTILE}: TEMPORARY")]);
    rolewright.plan_json().is_empty();
    manifests.users("users:\n  - username: alice\nroles:\n  - name: maker\n");
    rolewright.env("MAX_DELETIONS", "100%").apply().succeeds();
    assert_eq!((held(&cluster, "alice"), held(&cluster, "maker")), (vec![], vec![]));
}

#[test]
fn whoever_changes_it_by_hand_it_comes_back() {
    let (cluster, manifests) = (markets(), Manifests::new());
    manifests.users(&users()).secret("alice", "database-rights-2");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("CREATE ROLE delegate; GRANT ALL ON DATABASE shop TO delegate WITH GRANT OPTION");
    let odd = "\"it's \"\"odd\"\"; [x]: {b}\"";
    for by_hand in [
        "REVOKE CREATE ON DATABASE shop FROM alice".to_owned(),
        "REVOKE GRANT OPTION FOR CREATE ON DATABASE shop FROM alice".to_owned(),
        "GRANT TEMPORARY ON DATABASE shop TO alice WITH GRANT OPTION".to_owned(),
        format!("GRANT CONNECT ON DATABASE {odd} TO alice"),
        format!("REVOKE TEMPORARY ON DATABASE {odd} FROM alice"),
        format!("REVOKE GRANT OPTION FOR CONNECT ON DATABASE {odd} FROM maker"),
        "GRANT CONNECT ON DATABASE postgres TO maker".to_owned(),
        "SET ROLE delegate; GRANT CREATE, TEMPORARY ON DATABASE shop TO maker".to_owned(),
        "SET ROLE delegate; GRANT CONNECT ON DATABASE shop TO maker, alice WITH GRANT OPTION".to_owned(),
    ] {
        cluster.sql(&by_hand);
        let plan = rolewright.plan_json();
        assert!(!plan.steps().is_empty(), "unseen: {by_hand}");
        assert_eq!(plan.causes(), ["drift"], "{by_hand}");
        rolewright.apply().succeeds();
        as_declared(&cluster);
        rolewright.plan_json().is_empty();
    }
    let left = "SELECT 1 FROM pg_database, aclexplode(datacl)
                 WHERE grantor = 'delegate'::regrole AND (is_grantable OR grantee = 'maker'::regrole)";
    assert!(cluster.sql(left).is_empty());
}

#[test]
fn it_reads_back_from_a_server_and_who_can_tells_the_same() {
    let (cluster, manifests) = (markets(), Manifests::new());
    manifests.users(&users()).secret("alice", "database-rights-3");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    rolewright.command(&["who-can", "CREATE ON DATABASE shop"]).succeeds().mentions("alice");
    let elsewhere = Manifests::new();
    elsewhere.secret("alice", "database-rights-3");
    let output = imported(&cluster, &elsewhere);
    output.says("database: shop").says("privileges: [CREATE], grant_option: true");
    assert!(!output.stderr.contains("warning: not imported"), "{}", output.stderr);
    let again = Rolewright::new(&cluster, &elsewhere);
    again.plan_json().is_empty();
    again.apply().succeeds();
    as_declared(&cluster);
}

#[test]
fn what_cannot_be_granted_on_a_database_says_what_can() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users("users: []\nroles:\n  - {name: r, grants: [{database: postgres, privileges: [USAGE]}]}\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().exits_with(1).says("not a privilege on a database as a whole").says("TEMPORARY");
    manifests.users("users: []\nroles:\n  - {name: r, grants: [{database: nowhere, privileges: [CREATE]}]}\n");
    rolewright.plan().says("there is no database \"nowhere\"");
}
