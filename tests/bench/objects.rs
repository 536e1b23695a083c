//! Many objects: 10,000 tables in 100 schemas of one database, 2,000 users, and 50 group roles that read
//! two schemas each.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use rolewright_tests::{Cluster, session};

use crate::{Row, cluster, compare, psql, rolewright, run};

const SCHEMAS: usize = 100;
const TABLES: usize = 100;
const USERS: usize = 2_000;
const GROUPS: usize = 50;

/// The catalog as it lies there, without a join.
const CATALOG: &str = "SELECT * FROM pg_authid; SELECT * FROM pg_auth_members; SELECT * FROM pg_namespace; \
     SELECT oid, relname, relnamespace, relkind, relowner, relacl FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S'); \
     SELECT * FROM pg_default_acl";

pub(super) fn rows() -> Vec<Row> {
    let server = shop();
    let source = manifests();
    run(rolewright(&server, &source, &["apply"], &[]));
    let floor = || psql(&server, &["-d", "shop", "-c", CATALOG]);
    let (tables, what) = (SCHEMAS * TABLES, "psql -c`: the catalog of both, table by table");
    vec![
        compare(
            &format!("`plan`, nothing to do, {tables} tables, {USERS} users"),
            &format!("`{what}"),
            &floor,
            &|settings| rolewright(&server, &source, &["plan"], settings),
        ),
        compare(
            &format!(
                "the same with `--rehearse`: reads and compares everything, {GROUPS} roles of which read 2 schemas each"
            ),
            "the same",
            &floor,
            &|settings| rolewright(&server, &source, &["plan", "--rehearse"], settings),
        ),
        compare("`import --all-databases` of the same server", "the same", &floor, &|settings| {
            rolewright(&server, &source, &["import", "--all-databases"], settings)
        }),
    ]
}

fn shop() -> Cluster {
    let server = cluster();
    server.sql("CREATE ROLE app");
    server.sql("CREATE DATABASE shop OWNER app");
    for schema in 0..SCHEMAS {
        // A transaction for each schema: locks of that many tables would not fit into one.
        let mut script = format!("SET ROLE app; CREATE SCHEMA s{schema:02};");
        for table in 0..TABLES {
            let _ = write!(script, "CREATE TABLE s{schema:02}.t{table:02} (id int);");
        }
        server.sql_in("shop", &script);
    }
    server
}

fn manifests() -> PathBuf {
    let directory = session::new_directory("manifests");
    let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: postgres-users-config\ndata:\n  users.yaml: |\n    users:\n".to_owned();
    for user in 0..USERS {
        let group = user % GROUPS;
        let _ = write!(text, "    - username: user{user:05}\n      password: none\n      roles: [group{group:02}]\n");
    }
    text.push_str("    roles:\n");
    for group in 0..GROUPS {
        let _ = write!(text, "    - name: group{group:02}\n      grants:\n");
        for schema in [group, group + GROUPS] {
            let _ = writeln!(text, "      - {{database: shop, schema: s{schema:02}, profile: read_only}}");
        }
    }
    fs::write(directory.join("users.yaml"), text).unwrap();
    directory
}
