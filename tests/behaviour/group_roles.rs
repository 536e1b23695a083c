//! Group roles that are declared: attributes, memberships with their options, privileges and comments are exactly as
//! the spec says, whoever changes them; and what a server cannot do is said before anything is done.

use rolewright_tests::{Cluster, Manifests, Rolewright};

/// What is known of a role, asked for in another way than Rolewright does: attributes, comment, and each membership
/// with its options as the server has them.
fn found(cluster: &Cluster, role: &str) -> String {
    let attributes = cluster.value(&format!(
        "SELECT concat_ws(' ', CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN rolsuper THEN 'SUPERUSER' END,
                CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
                CASE WHEN rolinherit THEN 'INHERIT' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
                CASE WHEN rolbypassrls THEN 'BYPASSRLS' END, '-', shobj_description(oid, 'pg_authid'))
         FROM pg_roles WHERE rolname = '{role}'"
    ));
    let options = if has_options(cluster) {
        "CASE WHEN inherit_option THEN 'i' END, CASE WHEN set_option THEN 's' END"
    } else {
        "''"
    };
    let memberships = cluster.column(&format!(
        "SELECT concat_ws('', roleid::regrole, ':', CASE WHEN admin_option THEN 'a' END, {options})
         FROM pg_auth_members WHERE member = '{role}'::regrole ORDER BY 1"
    ));
    format!("{attributes} [{}]", memberships.join(", "))
}

fn has_options(cluster: &Cluster) -> bool {
    cluster.value("SELECT current_setting('server_version_num')").parse::<u32>().unwrap() >= 160_000
}

const ROLES: &str = "users:
  - username: alice
    password: none
    roles: [analyst]
roles:
  - name: analyst
    comment: reads what is sold
    createdb: true
    databases: [postgres]
    privileges: [TEMP]
    roles: [pg_read_all_stats, {role: seller, admin: true}]
  - name: seller
    inherit: false
";

#[test]
fn a_declared_role_is_as_declared_and_is_repaired_both_ways() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests.users(ROLES);
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds();
    rolewright.apply().succeeds();
    let options = if has_options(&cluster) { "is" } else { "" };
    let analyst = format!("CREATEDB INHERIT - reads what is sold [pg_read_all_stats:{options}, seller:a{options}]");
    assert_eq!((found(&cluster, "analyst"), found(&cluster, "seller")), (analyst, "- []".to_owned()));
    assert_eq!(
        cluster.column("SELECT has_database_privilege('analyst', 'postgres', 'TEMP') AND has_database_privilege('analyst', 'postgres', 'CONNECT')"),
        ["t"]
    );
    rolewright.plan_json().is_empty();

    let (analyst, seller) = (found(&cluster, "analyst"), found(&cluster, "seller"));
    cluster.sql("CREATE ROLE stranger");
    for (by_hand, steps) in [
        ("ALTER ROLE analyst NOCREATEDB", "alter-role analyst"),
        ("ALTER ROLE analyst CREATEROLE NOINHERIT LOGIN", "alter-role analyst"),
        ("ALTER ROLE seller INHERIT", "alter-role seller"),
        ("COMMENT ON ROLE analyst IS NULL", "alter-role analyst"),
        ("GRANT stranger TO analyst", "revoke-role analyst"),
        ("GRANT CREATE ON DATABASE postgres TO analyst", "revoke-privilege analyst"),
        ("REVOKE TEMP ON DATABASE postgres FROM analyst", "grant-privilege analyst"),
        ("REVOKE pg_read_all_stats FROM analyst", "grant-role analyst"),
        ("REVOKE ADMIN OPTION FOR seller FROM analyst", "grant-role analyst"),
    ] {
        cluster.sql(by_hand);
        let plan = rolewright.plan_json();
        assert!(plan.actions().iter().any(|action| action == steps), "{by_hand}: {:?}", plan.actions());
        assert_eq!(plan.causes(), ["drift"], "{by_hand}");
        rolewright.apply().succeeds();
        assert_eq!(
            (found(&cluster, "analyst"), found(&cluster, "seller")),
            (analyst.clone(), seller.clone()),
            "{by_hand}"
        );
        rolewright.plan_json().is_empty();
    }
}

#[test]
fn a_role_that_is_there_is_taken_over_and_one_that_is_no_longer_declared_goes() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    cluster.sql("CREATE ROLE analyst CREATEDB; CREATE ROLE writer; GRANT writer TO analyst; CREATE ROLE stranger");
    manifests.users("users: []\nroles: [{name: analyst}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.plan().succeeds().mentions("takes it over");
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "analyst"), "INHERIT - []");

    // Only named by a user, it is a plain role, and what it may do is nobody's business.
    manifests.users("users: [{username: bob, password: none, roles: [analyst]}]\n");
    rolewright.apply().succeeds();
    cluster.sql("GRANT writer TO analyst");
    rolewright.plan_json().is_empty();
    manifests.users("users: [{username: bob, password: none}]\n");
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("analyst") && cluster.has_role("stranger") && cluster.has_role("writer"));
}

/// Nothing is done, and why; the digest by which it may be.
fn held(rolewright: &Rolewright<'_>, why: &str) -> String {
    let document = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    assert!(document["held"].as_str().is_some_and(|held| held.contains(why)), "{document}");
    rolewright.apply().exits_with(3);
    document["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_list_of_roles_that_is_lost_drops_none_of_them() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let users: String = (0..30).map(|number| format!("  - {{username: user{number}, password: none}}\n")).collect();
    manifests.users(&format!("users:\n{users}roles: [{{name: analyst}}, {{name: seller}}, {{name: clerk}}]\n"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    let before = cluster.fingerprint();
    // A fifth of 33 is more than these three: it is held because it is all of them.
    manifests.users(&format!("users:\n{users}"));
    held(&rolewright, "declares no group roles any more");
    assert_eq!(cluster.fingerprint(), before);
    // One of several is within the budget.
    manifests.users(&format!("users:\n{users}roles: [{{name: analyst}}, {{name: seller}}]\n"));
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("clerk") && cluster.has_role("analyst"));
    // Who is named by a user from now on goes with it, as always.
    manifests.users(&format!("users:\n{users}  - {{username: bob, password: none, roles: [analyst, seller]}}\n"));
    rolewright.apply().succeeds();
    manifests.users(&format!("users:\n{users}"));
    rolewright.apply().succeeds();
    assert!(!cluster.has_role("bob") && !cluster.has_role("analyst"));
}

#[test]
fn options_of_memberships_are_exact_where_the_server_has_them_and_refused_where_it_has_not() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let users = |edge: &str| {
        format!("users: [{{username: alice, password: none, roles: [{edge}]}}]\nroles: [{{name: analyst}}]\n")
    };
    manifests.users(&users("{role: analyst, inherit: false}"));
    let rolewright = Rolewright::new(&cluster, &manifests);
    if !has_options(&cluster) {
        let refused = rolewright.apply();
        refused.exits_with(1).mentions("asks for no INHERIT").mentions("has no such option");
        assert!(!cluster.has_role("alice"));
        return;
    }
    for (edge, options) in [
        ("{role: analyst, inherit: false}", "s"),
        ("{role: analyst, set: false}", "i"),
        ("{role: analyst, admin: true, inherit: false, set: false}", "a"),
        ("{role: analyst}", "is"),
        ("analyst", "is"),
    ] {
        manifests.users(&users(edge));
        rolewright.apply().succeeds();
        assert_eq!(found(&cluster, "alice"), format!("LOGIN INHERIT - [analyst:{options}]"), "{edge}");
        rolewright.plan_json().is_empty();
    }
    cluster.sql("GRANT analyst TO alice WITH ADMIN TRUE, INHERIT FALSE");
    assert_eq!(rolewright.plan_json().causes(), ["drift"]);
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "alice"), "LOGIN INHERIT - [analyst:is]");
}

#[test]
fn power_is_declared_twice_in_the_spec_and_by_the_operator() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    manifests
        .users("users: [{username: dba, password: none, roles: [keys]}]\nroles: [{name: keys, createrole: true}]\n");
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().exits_with(3).mentions("CREATEROLE").mentions("ALLOWED_POWERS");
    assert!(!cluster.has_role("keys"));
    let rolewright = rolewright.env("ALLOWED_POWERS", "createrole");
    rolewright.apply().succeeds();
    assert_eq!(found(&cluster, "keys"), "CREATEROLE INHERIT - []");
    rolewright.plan_json().is_empty();
}

#[test]
fn a_role_of_a_hostile_name_is_a_role_like_any_other() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let names = ["Sales\"; DROP ROLE x; --", "a b", "ünï 🐘", "select"];
    let roles: Vec<String> =
        names.iter().map(|name| format!("{{name: {name:?}, roles: [\"o'ther\"], comment: \"it's\"}}")).collect();
    manifests.users(&format!("users: []\nroles: [{}, {{name: \"o'ther\"}}]\n", roles.join(", ")));
    let rolewright = Rolewright::new(&cluster, &manifests);
    rolewright.apply().succeeds();
    for name in names {
        assert!(cluster.has_role(name), "{name}");
    }
    assert_eq!(cluster.value("SELECT count(*) FROM pg_auth_members WHERE roleid = '\"o''ther\"'::regrole"), "4");
    rolewright.plan_json().is_empty();
    manifests.users("users: []\n");
    let digest = held(&rolewright, "5 group roles would be dropped");
    rolewright.command(&["apply", "--approve", &digest]).succeeds();
    assert!(names.iter().all(|name| !cluster.has_role(name)));
}
