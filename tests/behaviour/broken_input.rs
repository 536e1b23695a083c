//! What cannot be understood changes nothing and deletes nobody, and the complaint says where it is
//! wrong: file, line and column.

use std::fs;

use rolewright_tests::source::{CONFIGMAP_FILE, place, user, users};
use rolewright_tests::{Cluster, Manifests, Output, Rolewright};

/// A server with ten managed users, and what tells whether any of it was touched.
struct World {
    cluster: Cluster,
    manifests: Manifests,
}

impl World {
    fn new() -> World {
        let world = World { cluster: Cluster::start(), manifests: Manifests::new() };
        let mut text = String::from("users:\n");
        for number in 0..10 {
            let name = format!("user{number}");
            text.push_str(&user(&name, &["staff"]));
            world.manifests.secret(&name, &format!("broken-input-{number}"));
        }
        world.manifests.users(&text);
        world
    }

    /// Applies the good input, then what `break_it` makes of it, which must fail and change nothing.
    fn refuses(&self, rolewright: &Rolewright, what: &str, break_it: impl FnOnce(&Manifests)) -> Output {
        let before = self.cluster.fingerprint();
        assert!(before.iter().any(|row| row.contains("user9")), "the good input was applied");
        break_it(&self.manifests);
        let output = rolewright.apply();
        assert_eq!(output.status, Some(1), "{what}\n{}{}", output.stdout, output.stderr);
        assert_eq!(self.cluster.fingerprint(), before, "{what}: something was changed");
        output
    }
}

/// What is wrong, the users.yaml, and the line and column there, from 1, that the complaint must
/// point to; 0 where more than one place is as good.
const WRONG: &[(&str, &str, (usize, usize))] = &[
    ("no YAML: a tab for indentation", "users:\n\t- username: eve\n", (2, 0)),
    ("no YAML: an open bracket", "users:\n  - username: eve\n    roles: [a, b\n", (0, 0)),
    ("no YAML: an open quote", "users:\n  - username: \"eve\n", (0, 0)),
    ("cut off in the middle of a key", "users:\n  - username: eve\n    rol", (3, 5)),
    ("an unknown key of the document", "users: []\nuser: []\n", (2, 1)),
    ("an unknown key of a user", "users:\n  - username: eve\n    paswword: none\n", (3, 5)),
    ("a key twice", "users:\n  - username: eve\n    username: mallory\n", (3, 5)),
    ("the users twice", "users: []\nusers: []\n", (2, 1)),
    ("a user twice", "users:\n  - username: eve\n  - username: bob\n  - username: eve\n", (4, 15)),
    ("no username", "users:\n  - roles: [a]\n", (2, 5)),
    ("an empty username", "users:\n  - username: ''\n", (2, 15)),
    ("a username that is null", "users:\n  - username:\n", (2, 0)),
    ("a username that is a number", "users:\n  - username: 12\n", (2, 15)),
    ("a username that is a list", "users:\n  - username: [eve]\n", (2, 15)),
    ("users that are a map", "users:\n  eve: {}\n", (2, 3)),
    ("users that are a text", "users: eve\n", (1, 8)),
    ("users that are null", "users:\n", (1, 0)),
    ("users that are null in words", "users: null\n", (1, 8)),
    ("a user that is a text", "users:\n  - eve\n", (2, 5)),
    ("a user that is null", "users:\n  -\n", (2, 0)),
    ("roles that are a text", "users:\n  - username: eve\n    roles: admin\n", (3, 12)),
    ("a role that is a map", "users:\n  - username: eve\n    roles: [{a: b}]\n", (3, 13)),
    ("an empty role", "users:\n  - username: eve\n    roles: ['']\n", (3, 13)),
    ("a role twice", "users:\n  - username: eve\n    roles: [a, a]\n", (3, 16)),
    ("a user in a role of the same name", "users:\n  - username: eve\n    roles: [eve]\n", (3, 13)),
    ("an empty database", "users:\n  - username: eve\n    database: ''\n", (3, 15)),
    ("database and databases", "users:\n  - username: eve\n    database: a\n    databases: [b]\n", (4, 0)),
    ("a password in clear", "users:\n  - username: eve\n    password: broken-input-in-clear\n", (3, 15)),
    ("a secret without a name", "users:\n  - username: eve\n    secret: {key: password}\n", (3, 13)),
    ("a secret with too much in it", "users:\n  - username: eve\n    secret: {name: a, key: b, value: c}\n", (3, 0)),
    ("an unknown anchor", "users:\n  - username: *nobody\n", (2, 15)),
    ("a NUL byte", "users:\n  - username: \"e\\0ve\"\n", (2, 15)),
    ("two documents", "users: []\n---\nusers: []\n", (0, 0)),
    ("a list", "- username: eve\n", (1, 1)),
    ("a text", "nothing\n", (1, 1)),
];

#[test]
fn each_mistake_is_refused_with_file_line_and_column_and_nothing_is_changed() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    rolewright_tests::leaks::register_password("broken-input-in-clear");
    for (what, text, (line, column)) in WRONG {
        let output = world.refuses(&rolewright, what, |manifests| {
            manifests.users(text);
        });
        let said = output.stdout.clone() + &output.stderr;
        match (line, column) {
            (0, _) => assert!(has_place(&said), "{what}: no line and column:\n{said}"),
            (_, 0) => {
                let line = place(*line, 1).rsplit_once(':').unwrap().0.to_owned() + ":";
                assert!(said.contains(&line), "{what}: not in {line}\n{said}");
            }
            _ => assert!(said.contains(&place(*line, *column)), "{what}: not at {}:\n{said}", place(*line, *column)),
        }
    }
}

/// `configmap.yaml:LINE:COLUMN` somewhere in the text.
fn has_place(text: &str) -> bool {
    text.split(&format!("{CONFIGMAP_FILE}:")).skip(1).any(|rest| {
        let mut numbers = rest.splitn(3, |letter: char| !letter.is_ascii_digit());
        let mut is_number = || numbers.next().is_some_and(|number| !number.is_empty());
        is_number() && is_number()
    })
}

#[test]
fn a_plan_refuses_the_same_mistakes() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests);
    world.manifests.users("users:\n  - username: eve\n    paswword: none\n");
    for format in ["text", "json", "sql", "markdown"] {
        rolewright.command(&["plan", "--format", format]).exits_with(1).says(&place(3, 5));
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let world = World::new();
    world.manifests.users("users:\n  - username: eve\n    paswword: none\n  - username: ''\n");
    let output = Rolewright::new(&world.cluster, &world.manifests).apply();
    output.exits_with(1).says(&place(3, 5)).says(&place(4, 15));
}

#[test]
fn an_empty_or_missing_or_half_written_source_deletes_nobody() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests).env("MAX_DELETIONS", "100%");
    rolewright.apply().succeeds();
    let manifest = fs::read_to_string(world.manifests.path().join(CONFIGMAP_FILE)).unwrap();
    let metadata = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: postgres-users-config\n  namespace: postgres\n";

    world.refuses(&rolewright, "an empty users.yaml", |manifests| {
        manifests.users_exactly("");
    });
    world.refuses(&rolewright, "only white space", |manifests| {
        manifests.users_exactly(" \n\n  \n");
    });
    world.refuses(&rolewright, "only a comment", |manifests| {
        manifests.users_exactly("# users:\n#  - username: user0\n");
    });
    world.refuses(&rolewright, "an empty document", |manifests| {
        manifests.users_exactly("{}");
    });
    world.refuses(&rolewright, "a ConfigMap without data", |manifests| {
        manifests.file(CONFIGMAP_FILE, metadata);
    });
    world.refuses(&rolewright, "a ConfigMap without the key", |manifests| {
        manifests.file(CONFIGMAP_FILE, format!("{metadata}data:\n  user.yaml: |\n    users: []\n"));
    });
    world.refuses(&rolewright, "another ConfigMap's name", |manifests| {
        manifests.file(CONFIGMAP_FILE, manifest.replace("postgres-users-config", "postgres-users-config-2"));
    });
    world.refuses(&rolewright, "another namespace", |manifests| {
        manifests.file(CONFIGMAP_FILE, manifest.replace("namespace: postgres", "namespace: elsewhere"));
    });
    world.refuses(&rolewright, "an empty file", |manifests| {
        manifests.file(CONFIGMAP_FILE, "");
    });
    world.refuses(&rolewright, "no UTF-8", |manifests| {
        manifests.file(CONFIGMAP_FILE, [manifest.as_bytes(), b"\xff\xfe"].concat());
    });
    world.refuses(&rolewright, "the same ConfigMap twice", |manifests| {
        manifests.file(CONFIGMAP_FILE, format!("{manifest}---\n{manifest}"));
    });
    world.refuses(&rolewright, "no ConfigMap", |manifests| {
        manifests.file(CONFIGMAP_FILE, "").remove(CONFIGMAP_FILE);
    });
    // The Secrets are still there; now everything goes.
    world.refuses(&rolewright, "an empty directory", |manifests| {
        for file in fs::read_dir(manifests.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    });
    world.refuses(&rolewright, "no directory", |manifests| {
        fs::remove_dir(manifests.path()).unwrap();
    });
}

#[test]
fn a_file_cut_off_at_any_line_deletes_no_more_than_the_budget() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests);
    rolewright.apply().succeeds();
    let before = world.cluster.roles();
    let manifest = fs::read_to_string(world.manifests.path().join(CONFIGMAP_FILE)).unwrap();
    let lines: Vec<&str> = manifest.lines().collect();
    // Up to seven of the ten users left: more than a fifth would go.
    let last = lines.iter().position(|line| line.contains("user7")).unwrap();
    for end in 0..last {
        world.manifests.file(CONFIGMAP_FILE, lines[..end].join("\n"));
        let output = rolewright.apply();
        assert!(
            matches!(output.status, Some(1 | 3)),
            "cut off after line {end}: {:?}\n{}",
            output.status,
            output.stderr
        );
        assert_eq!(world.cluster.roles(), before, "cut off after line {end}");
    }
}

#[test]
fn a_manifest_that_is_no_yaml_is_named_with_the_place() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests);
    rolewright.apply().succeeds();
    let output = world.refuses(&rolewright, "a broken manifest", |manifests| {
        manifests.file("another.yaml", "apiVersion: v1\nkind: [ConfigMap\nmetadata: {}\n");
    });
    output.says("another.yaml:");
}

#[test]
fn a_users_yaml_over_one_mebibyte_is_refused() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests);
    rolewright.apply().succeeds();
    let output = world.refuses(&rolewright, "too much", |manifests| {
        let mut text = users(&[("eve", &[])]);
        text.push_str(&format!("# {}\n", "x".repeat(1 << 20)));
        manifests.users(&text);
    });
    output.mentions("1 MiB");
}

#[test]
fn anchors_that_explode_are_refused_at_once() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests);
    rolewright.apply().succeeds();
    let mut bomb =
        String::from("users:\n  - username: eve\n    roles: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..=9 {
        let alias = format!("*a{}", level - 1);
        let aliases = [alias.as_str(); 9].join(", ");
        bomb.push_str(&format!("  - username: eve{level}\n    roles: &a{level} [{aliases}]\n"));
    }
    let start = std::time::Instant::now();
    world.refuses(&rolewright, "a billion laughs", |manifests| {
        manifests.users(&bomb);
    });
    assert!(start.elapsed().as_secs() < 10, "it took {:?}", start.elapsed());

    world.refuses(&rolewright, "nested without end", |manifests| {
        manifests.users_exactly(&format!("users: {}{}", "[".repeat(200_000), "]".repeat(200_000)));
    });
}

#[test]
fn a_controller_keeps_running_on_broken_input_and_goes_on_when_it_is_mended() {
    let world = World::new();
    let rolewright = Rolewright::new(&world.cluster, &world.manifests).env("SYNC_INTERVAL", "1");
    let good = fs::read_to_string(world.manifests.path().join(CONFIGMAP_FILE)).unwrap();
    let controller = rolewright.run();
    controller.wait_for_cycles(1);
    let before = world.cluster.roles();

    world.manifests.users("users:\n  - username: [\n");
    controller.wait_for_metric("postgres_controller_errors_total", 1.0);
    assert!(controller.is_alive());
    assert_eq!(controller.get("/livez").status, 200);
    assert_eq!(world.cluster.roles(), before);

    world.manifests.file(CONFIGMAP_FILE, good.replace("roles: [staff]", "roles: [staff, board]"));
    controller.wait_for_cycles(2);
    assert_eq!(world.cluster.memberships("user0"), ["board", "staff"]);
    controller.terminate().succeeds();
}
