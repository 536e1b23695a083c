//! The directory source against real files, each test in a directory of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Directory, Source, SourceError};
use crate::model::SecretState;
use crate::secret::{Secret, SecretRef};
use crate::spec::{Document, parse};

const MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: users
  namespace: postgres
data:
  users.yaml: |
    # who may log in
    users:

      - username: alice
        roles: [a, a]
";

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn with(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rolewright-source-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let place = Place(std::env::temp_dir().join(name));
        fs::create_dir_all(&place.0).unwrap();
        files.iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn source(&self) -> Directory {
        Directory::new(&self.0, "postgres", "users")
    }

    /// A message with the directory taken out.
    fn plain(&self, text: impl ToString) -> String {
        text.to_string().replace(&format!("{}/", self.0.display()), "").replace(&self.0.display().to_string(), "DIR")
    }

    async fn document(&self) -> Document {
        self.source().document().await.unwrap().document
    }

    async fn refusal(&self) -> String {
        self.plain(self.source().document().await.unwrap_err())
    }

    async fn secret(&self, name: &str, key: &str) -> Secret {
        let wanted = SecretRef { name: name.to_owned(), key: key.to_owned() };
        let mut found = self.source().secrets(&BTreeSet::from([wanted.clone()])).await.unwrap();
        found.remove(&wanted).unwrap()
    }
}

fn secret(name: &str, fields: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n{fields}\n")
}

fn password(secret: &Secret) -> Option<&str> {
    secret.password.as_ref().map(|password| password.reveal())
}

#[tokio::test]
async fn a_block_scalar_is_located_exactly_in_its_manifest() {
    let place = Place::with(&[("users.yaml", &format!("# demo\n---\n{MAP}"))]);
    let document = place.document().await;
    assert_eq!((document.line_offset, document.column_offset, document.exact), (9, 4, true));

    let problems = parse(&document).unwrap_err();
    insta::assert_snapshot!(place.plain(&problems[0]), @r#"
    users.yaml:14:20: error[duplicate-role]: user "alice" names the role "a" twice; the first is at line 14, column 17
       |
    14 |         roles: [a, a]
       |                    ^
       = help: keep one of them
    "#);
}

#[tokio::test]
async fn every_kind_of_block_scalar_is_proved_and_anything_else_is_not_exact() {
    let offsets = |value: &str| {
        let text = format!("kind: ConfigMap\nmetadata: {{name: users}}\ndata:\n  other: x\n  users.yaml: {value}");
        async move {
            let document = Place::with(&[("m.yaml", &text)]).document().await;
            document.exact.then_some((document.line_offset, document.column_offset))
        }
    };
    assert_eq!(offsets("|\n    users: []\n").await, Some((5, 4)));
    assert_eq!(offsets("|-\n   users: []").await, Some((5, 3)));
    assert_eq!(offsets("|+ # kept\n    users: []\n\n\n").await, Some((5, 4)));
    assert_eq!(offsets("|4\n        users: []\n").await, Some((5, 6)), "the text itself is indented by two");
    assert_eq!(offsets("|\n\n    users:\n\n    - {}\n").await, Some((5, 4)), "blank lines in front and between");
    assert_eq!(offsets("|\r\n    users:\r\n    - {}\r\n").await, Some((5, 4)));
    assert_eq!(offsets(">\n    users:\n    []\n").await, None);
    assert_eq!(offsets("\"users: []\"\n").await, None);
    assert_eq!(offsets("\"\\\n    users: []\"\n").await, None);
}

#[tokio::test]
async fn a_folded_text_says_that_its_position_is_that_of_the_text() {
    let manifest = "kind: ConfigMap\nmetadata: {name: users}\ndata: {users.yaml: \"users:\\n- username: 1\\n\"}\n";
    let place = Place::with(&[("m.yml", manifest)]);
    let problems = parse(&place.document().await).unwrap_err();
    let shown = place.plain(&problems[0]);
    assert!(shown.starts_with("line 2, column 13 in users.yaml of m.yml: error[unquoted-name]"), "{shown}");
}

#[tokio::test]
async fn the_configmap_is_found_among_other_manifests() {
    let others = "apiVersion: example.com/v1\nkind: ConfigMap\nmetadata: {name: users}\n---\n---\nplain text\n---\n\
                  apiVersion: v1\nkind: ConfigMap\nmetadata: {name: users, namespace: elsewhere}\n---\n\
                  apiVersion: v1\nkind: Service\nmetadata: {name: users}\n";
    let place = Place::with(&[("a.yaml", others), ("b.yml", MAP), ("c.txt", "{"), (".d.yaml", "{")]);
    fs::create_dir(place.0.join("deeper.yaml")).unwrap();
    assert!(place.document().await.text.contains("alice"));
}

#[tokio::test]
async fn a_list_of_objects_is_read_like_the_objects() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n  metadata: {name: users}\n  data:\n    users.yaml: |\n      users: []\n";
    let document = Place::with(&[("a.yaml", list)]).document().await;
    assert_eq!((document.text.as_str(), document.line_offset, document.column_offset), ("users: []\n", 7, 6));
}

#[tokio::test]
async fn what_makes_the_source_doubtful_is_an_error_that_says_where() {
    let other = MAP.replace("name: users", "name: user");
    let place = Place::with(&[("a.yaml", &other), ("b.yaml", &MAP.replace("postgres", "prod"))]);
    insta::assert_snapshot!(place.refusal().await, @r#"no ConfigMap "users" for namespace "postgres" in directory DIR; found: postgres/user at a.yaml:1:1, prod/users at b.yaml:1:1; set CONFIGMAP_NAME and NAMESPACE to what is there"#);

    let place = Place::with(&[]);
    insta::assert_snapshot!(place.refusal().await, @r#"no ConfigMap "users" for namespace "postgres" in directory DIR; there is no ConfigMap at all; set CONFIGMAP_NAME and NAMESPACE to what is there"#);

    let place = Place::with(&[("a.yaml", MAP), ("b.yaml", &format!("---\n{MAP}"))]);
    insta::assert_snapshot!(place.refusal().await, @r#"ConfigMap "users" is there 2 times, at a.yaml:1:1 and b.yaml:2:1; keep one of them"#);

    let place = Place::with(&[("a.yaml", &MAP.replace("users.yaml", "user.yaml"))]);
    insta::assert_snapshot!(place.refusal().await, @r#"ConfigMap "users" at a.yaml:1:1 has no key `users.yaml`; it holds: user.yaml"#);

    let place = Place::with(&[("a.yaml", &MAP.replace("users.yaml: |", "users.yaml:"))]);
    insta::assert_snapshot!(place.refusal().await, @"a.yaml:9:5: `users.yaml` must be text, but is a mapping; write `users.yaml: |` and indent what follows");

    let place = Place::with(&[("a.yaml", MAP), ("z.yaml", "kind: Service\n bad: [\n")]);
    insta::assert_snapshot!(place.refusal().await, @"z.yaml:2:5: not valid YAML: mapping values are not allowed in this context");

    let place = Place::with(&[("a.yaml", MAP), ("z.yaml", &" ".repeat((1 << 20) + 1))]);
    insta::assert_snapshot!(place.refusal().await, @"z.yaml: the file is larger than 1 MiB (1048576 bytes); split it");

    let place = Place::with(&[("a.yaml", MAP)]);
    fs::write(place.0.join("z.yaml"), b"a: \xff").unwrap();
    insta::assert_snapshot!(place.refusal().await, @"z.yaml: the file is not UTF-8 text: byte 3 does not belong to any character");

    let place = Place::with(&[("a.yaml", MAP)]);
    std::os::unix::fs::symlink("nowhere", place.0.join("z.yaml")).unwrap();
    insta::assert_snapshot!(place.refusal().await, @"cannot read z.yaml: No such file or directory (os error 2); check that it exists and may be read");

    let gone = Directory::new("/nonexistent", "postgres", "users").document().await.unwrap_err();
    assert!(matches!(gone, SourceError::Io { .. }), "{gone}");
}

#[tokio::test]
async fn secrets_are_read_as_kubernetes_reads_them() {
    let secrets = [
        secret("data", "data: {password: aHVudGVyMg==}"),
        secret("spaced", "data:\n  password: |\n    aHVu\n    dGVyMg==\n"),
        secret("string", "stringData: {password: 'from stringData'}\ndata: {password: aHVudGVyMg==, other: YQ==}"),
        secret("newline", "data: {password: aHVudGVyMgo=}"),
        secret("other-namespace", "data: {password: aHVudGVyMg==}").replace("{name", "{namespace: prod, name"),
    ];
    let place = Place::with(&[("a.yaml", &secrets.join("---\n"))]);
    for (name, key, expected) in [
        ("data", "password", "hunter2"),
        ("spaced", "password", "hunter2"),
        ("string", "password", "from stringData"),
        ("string", "other", "a"),
        ("newline", "password", "hunter2\n"),
    ] {
        let found = place.secret(name, key).await;
        assert_eq!((found.state, password(&found)), (SecretState::Present, Some(expected)), "{name}");
        assert_eq!(found.problem, None);
    }
    for (name, key) in [("absent", "password"), ("data", "other"), ("other-namespace", "password")] {
        let found = place.secret(name, key).await;
        assert_eq!((found.state, password(&found)), (SecretState::Missing, None), "{name}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_secret_is_said_without_its_value() {
    let secrets = [
        secret("nobase64", "data: {password: hunter2!}"),
        secret("binary", "data: {password: /////w==}"),
        secret("nul", "stringData: {password: \"hunter2\\0\"}"),
        secret("number", "stringData: {password: 4711}"),
        secret("empty", "data: {password: ''}"),
        secret("nothing", "stringData: {password: }"),
        secret("twice", "stringData: {password: hunter2}"),
        secret("twice", "stringData: {password: hunter2}"),
    ];
    let place = Place::with(&[("a.yaml", &secrets.join("---\n"))]);
    let mut told = Vec::new();
    for name in ["nobase64", "binary", "nul", "number", "twice", "empty", "nothing", "absent"] {
        let found = place.secret(name, "password").await;
        assert_eq!(password(&found), None);
        assert!(!format!("{found:?}").contains("hunter2") && !format!("{found:?}").contains("4711"));
        told.push(format!("{:?}: {}", found.state, place.plain(found.problem.unwrap())));
    }
    insta::assert_snapshot!(told.join("\n"), @r#"
    Unreadable: Secret "nobase64" at a.yaml:1:1: key "password" is not valid base64
    Unreadable: Secret "binary" at a.yaml:6:1: key "password" is not UTF-8 text once decoded
    Unreadable: Secret "nul" at a.yaml:11:1: key "password" contains a NUL byte, which no password can
    Unreadable: Secret "number" at a.yaml:16:1: key "password" is a number, not text: write it in quotes
    Unreadable: Secret "twice" is there more than once: a.yaml:31:1 and a.yaml:36:1
    Empty: Secret "empty" at a.yaml:21:1: key "password" is empty
    Empty: Secret "nothing" at a.yaml:26:1: key "password" is empty
    Missing: there is no Secret "absent" for namespace "postgres" in directory DIR
    "#);
}

#[tokio::test]
async fn a_broken_secret_manifest_shows_nothing_of_what_it_holds() {
    for broken in [
        "stringData: {password: hunter2",
        "stringData:\n  password: 'hunter2",
        "a: hunter2\n\tb: hunter2",
        "a: !hunter2 hunter2",
    ] {
        let place = Place::with(&[("a.yaml", MAP), ("s.yaml", &secret("s", broken))]);
        let error = place.source().document().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert!(place.plain(error).starts_with("s.yaml:"));
    }
}

#[tokio::test]
async fn the_version_of_a_secret_moves_with_its_file_and_not_with_what_it_holds() {
    let place = Place::with(&[("a.yaml", &secret("s", "stringData: {password: hunter2}"))]);
    let first = place.secret("s", "password").await.version;
    assert_eq!(place.secret("s", "password").await.version, first);
    assert!(first.starts_with("a.yaml#0@"), "{first}");
    tokio::time::sleep(Duration::from_millis(20)).await;
    place.write("a.yaml", &secret("s", "stringData: {password: hunter2}"));
    assert_ne!(place.secret("s", "password").await.version, first);
}

#[tokio::test]
async fn a_secret_has_the_labels_of_its_manifest_and_the_age_of_its_file() {
    let labelled = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {team: data, rotated-by: vault, odd: 1}}\n\
                    stringData: {password: hunter2}\n";
    let place = Place::with(&[("s.yaml", labelled)]);
    let file = fs::File::options().write(true).open(place.0.join("s.yaml")).unwrap();
    let written = |at: SystemTime| file.set_modified(at).unwrap();

    written(UNIX_EPOCH + Duration::from_millis(1_790_000_000_999));
    let found = place.secret("s", "password").await;
    assert_eq!(found.changed_at, Some(1_790_000_000), "rounded down");
    let labels: Vec<_> = found.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("rotated-by", "vault"), ("team", "data")], "a number is no label, as in Kubernetes");

    written(UNIX_EPOCH - Duration::from_millis(1));
    assert_eq!(place.secret("s", "password").await.changed_at, Some(-1), "rounded down, also before 1970");
    let missing = place.secret("s", "other").await;
    assert_eq!((missing.state, missing.labels.len()), (SecretState::Missing, 2));
    let nowhere = place.secret("t", "password").await;
    assert_eq!((nowhere.changed_at, nowhere.labels.len()), (None, 0));
}

#[tokio::test]
async fn a_change_is_noticed_and_its_absence_is_not() {
    let place = Place::with(&[("a.yaml", MAP)]);
    let source = place.source();
    source.document().await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(1500), source.changed()).await;
    assert!(quiet.is_err(), "nothing changed");

    // A change that came before anyone waited counts too.
    place.write("b.yaml", "kind: Service\n");
    tokio::time::timeout(Duration::from_secs(5), source.changed()).await.unwrap();

    source.document().await.unwrap();
    fs::remove_file(place.0.join("a.yaml")).unwrap();
    tokio::time::timeout(Duration::from_secs(5), source.changed()).await.unwrap();
    source.document().await.unwrap_err();
    let quiet = tokio::time::timeout(Duration::from_millis(1500), source.changed()).await;
    assert!(quiet.is_err(), "an error is not read again and again");
}

#[tokio::test]
async fn a_mounted_configmap_is_followed_through_its_links() {
    let place = Place::with(&[]);
    for (version, name) in [("..v1", "alice"), ("..v2", "bob")] {
        fs::create_dir(place.0.join(version)).unwrap();
        place.write(&format!("{version}/users.yaml"), &MAP.replace("alice", name));
    }
    std::os::unix::fs::symlink("..v1", place.0.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/users.yaml", place.0.join("users.yaml")).unwrap();
    let source = place.source();
    assert!(source.document().await.unwrap().document.text.contains("alice"));

    std::os::unix::fs::symlink("..v2", place.0.join("..new")).unwrap();
    fs::rename(place.0.join("..new"), place.0.join("..data")).unwrap();
    tokio::time::timeout(Duration::from_secs(5), source.changed()).await.unwrap();
    assert!(source.document().await.unwrap().document.text.contains("bob"));
}

#[tokio::test]
async fn the_source_can_be_had_behind_a_pointer() {
    let place = Place::with(&[("a.yaml", MAP)]);
    let source: Box<dyn Source> = Box::new(place.source());
    assert_eq!(place.plain(source.describe()), "directory DIR");
    assert!(tokio::spawn(async move { source.document().await.is_ok() }).await.unwrap());
}

#[tokio::test]
async fn the_text_of_a_script_lies_in_the_configmap_or_beside_it() {
    let map = format!("{MAP}  inner.sql: SELECT 1\n  notes.txt: n\n");
    let place = Place::with(&[("a.yaml", &map), ("beside.sql", "SELECT 2"), ("other.sql", "\u{0}")]);
    let source = place.source();
    let declaration = source.document().await.unwrap();
    assert_eq!(declaration.files.into_iter().collect::<Vec<_>>(), [("inner.sql".to_owned(), "SELECT 1".to_owned())]);
    let wanted: BTreeSet<String> = ["beside.sql", "absent.sql"].map(str::to_owned).into();
    let found = source.files(&wanted).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("beside.sql".to_owned(), "SELECT 2".to_owned())]);

    let none = tokio::time::timeout(Duration::from_millis(300), source.changed()).await;
    assert!(none.is_err(), "nothing has changed");
    place.write("beside.sql", "SELECT 3");
    tokio::time::timeout(Duration::from_secs(5), source.changed()).await.unwrap();

    fs::write(place.0.join("beside.sql"), [0xff]).unwrap();
    let error = source.files(&wanted).await.unwrap_err().to_string();
    assert!(error.contains("beside.sql") && error.contains("byte 0"), "{error}");
}

#[tokio::test]
async fn a_script_that_cannot_be_looked_at_is_nothing_to_those_who_do_not_name_it() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::with(&[("a.yaml", MAP)]);
    std::os::unix::fs::symlink("nowhere", place.0.join("dangling.sql")).unwrap();
    std::os::unix::fs::symlink("loop.sql", place.0.join("loop.sql")).unwrap();
    fs::write(place.0.join(std::ffi::OsStr::from_bytes(b"\xff.sql")), "SELECT 1").unwrap();
    let source = place.source();
    source.document().await.unwrap();
    let files = async |name: &str| source.files(&BTreeSet::from([name.to_owned()])).await;
    assert!(files("dangling.sql").await.unwrap().is_empty());
    let error = files("loop.sql").await.unwrap_err().to_string();
    assert!(error.contains("loop.sql"), "{error}");
    // A manifest that cannot be looked at still is.
    fs::write(place.0.join(std::ffi::OsStr::from_bytes(b"\xff.yaml")), MAP).unwrap();
    assert!(source.document().await.is_err());
}
