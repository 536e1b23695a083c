//! Privileges inside of databases, where the controller may not do everything: what it needs, what it says of the rest,
//! and that nothing is forgotten or taken for done.

use rolewright_tests::{Manifests, Rolewright};

use super::object_privileges::{READER, READS, held, shop};

#[test]
fn a_controller_that_acts_for_the_owner_needs_no_more() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'inside-controller'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("GRANT app TO controller");
    manifests.users(READER.split("    databases: [shop]\n").collect::<Vec<_>>().join("").as_str());
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "inside-controller");
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "reader"), READS);
    rolewright.plan_json().is_empty();
    cluster.sql_in("shop", "SET ROLE app; CREATE TABLE sales.later (id int)");
    assert!(held(&cluster, "reader").contains(&"table sales.later: SELECT".to_owned()));
}

#[test]
fn default_privileges_of_somebody_whom_the_controller_cannot_act_for_stay_and_stop_nobody() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE ROLE etl");
    cluster.sql("CREATE ROLE reader");
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'inside-controller'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("GRANT app TO controller");
    cluster.sql("GRANT reader TO controller WITH ADMIN OPTION");
    cluster.sql_in(
        "shop",
        "GRANT USAGE, CREATE ON SCHEMA sales TO etl;
         ALTER DEFAULT PRIVILEGES FOR ROLE etl IN SCHEMA sales GRANT SELECT ON TABLES TO reader;
         ALTER DEFAULT PRIVILEGES FOR ROLE etl IN SCHEMA sales GRANT DELETE ON TABLES TO reader;
         GRANT DELETE ON sales.items TO reader",
    );
    manifests.users("users: []\nroles:\n  - name: reader\n    grants:\n      - {database: shop, schema: sales, profile: read_only}\n");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "inside-controller");
    rolewright.apply().succeeds().mentions("default privileges that \"etl\" gives");
    assert_eq!(held(&cluster, "reader"), READS);
    rolewright.plan_json().is_empty();
    let defaults = "SELECT count(*) FROM pg_default_acl WHERE defaclrole = 'etl'::regrole";
    assert_eq!(cluster.sql_in("shop", defaults), [["1"]]);
}

#[test]
fn what_was_given_in_one_database_is_taken_back_although_it_failed_in_another() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE DATABASE stock OWNER app");
    cluster.sql_in("stock", "CREATE SCHEMA s; CREATE TABLE s.t ()");
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'inside-controller'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql("GRANT app TO controller");
    let declared = "users: []\nroles:\n  - name: reader\n    grants:\n      - {database: shop, schema: sales, tables: [orders], privileges: [SELECT]}\n      - {database: stock, schema: s, tables: [t], privileges: [SELECT]}\n";
    manifests.users(declared);
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "inside-controller");
    rolewright.apply().exits_with(1).mentions("reader");
    assert_eq!(held(&cluster, "reader"), ["table sales.orders: SELECT"]);
    manifests.users(declared.split("    grants:").next().unwrap());
    rolewright.apply().succeeds();
    assert!(held(&cluster, "reader").is_empty());
}

#[test]
fn what_the_controller_has_no_right_to_is_said_and_not_taken_for_done() {
    let (cluster, manifests) = (shop(), Manifests::new());
    cluster.sql("CREATE ROLE controller LOGIN CREATEROLE PASSWORD 'inside-controller'");
    cluster.sql("GRANT CREATE ON DATABASE postgres TO controller");
    cluster.sql_in(
        "shop",
        "GRANT USAGE ON SCHEMA sales TO controller; GRANT SELECT ON sales.orders TO controller WITH GRANT OPTION",
    );
    manifests.users("users: []\nroles:\n  - name: reader\n    grants:\n      - {database: shop, schema: sales, tables: [orders, items], privileges: [SELECT]}\n  - name: other\n");
    let rolewright = Rolewright::new(&cluster, &manifests).connect_as("controller", "inside-controller");
    rolewright.apply().exits_with(1).mentions("reader").mentions("items");
    assert!(cluster.has_role("other"));
    // Each time again, as long as it is so.
    rolewright.apply().exits_with(1).mentions("reader");
    cluster.sql_in("shop", "GRANT SELECT ON sales.items TO controller WITH GRANT OPTION");
    rolewright.apply().succeeds();
    assert_eq!(held(&cluster, "reader"), ["table sales.items: SELECT", "table sales.orders: SELECT"]);
    rolewright.plan_json().is_empty();
}

#[test]
fn what_cannot_be_taken_back_yet_is_not_forgotten() {
    let (cluster, manifests) = (shop(), Manifests::new());
    let declared = "users: []\nroles:\n  - name: reader\n    grants:\n      - {database: shop, schema: sales, tables: [items], privileges: [SELECT]}\n";
    manifests.users(declared);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    cluster.sql("CREATE ROLE delegate");
    cluster.sql_in(
        "shop",
        "GRANT USAGE ON SCHEMA sales TO delegate; GRANT SELECT ON sales.items TO delegate WITH GRANT OPTION;
         SET ROLE delegate; GRANT SELECT ON sales.items TO reader; RESET ROLE; REVOKE USAGE ON SCHEMA sales FROM delegate",
    );
    // PostgreSQL lets nobody revoke in the name of who may not even look into the schema.
    manifests.users(declared.split("    grants:").next().unwrap());
    for _ in 0..2 {
        rolewright.apply().exits_with(1).mentions("reader");
        assert_eq!(held(&cluster, "reader"), ["table sales.items: SELECT"]);
    }
    cluster.sql_in("shop", "GRANT USAGE ON SCHEMA sales TO delegate");
    rolewright.apply().succeeds();
    assert!(held(&cluster, "reader").is_empty());
    rolewright.plan_json().is_empty();
}
