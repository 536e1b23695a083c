//! The policies that ship: each answers in every case of its fixtures as written down, and keeps the contract; and the
//! chains that people copy plan on a real server, with each policy refusing what it is there to refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rolewright_tests::session::repository;
use rolewright_tests::{Cluster, Manifests, Rolewright, guests, leaks};

const SHIPPED: [&str; 10] = [
    "blast-radius",
    "change-window",
    "credential-age",
    "expiry",
    "naming",
    "ownership",
    "password-strength",
    "privilege-ceiling",
    "role-catalog",
    "standard",
];

fn module(policy: &str) -> PathBuf {
    guests::build(&format!("guest-policies/{policy}"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our paths are text")
}

#[test]
fn each_answers_as_its_fixtures_say_and_keeps_the_contract() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests);
    for policy in SHIPPED {
        let module = module(policy);
        let directory = repository().join("guest-policies").join(policy);
        let cases = fs::read_dir(directory.join("fixtures")).unwrap().count();
        assert!(cases >= 2, "{policy} has {cases} cases");
        let arguments = ["policy", "test", text(&directory), "--module", text(&module)];
        let output = rolewright.command(&arguments);
        output.succeeds().mentions(&format!("{cases} as expected"));
        let output = rolewright.command(&["policy", "check", text(&module)]);
        output.succeeds().mentions(" 0 failed");
        // What an operator is promised in the README is what the schema and the type know.
        let readme = fs::read_to_string(directory.join("README.md")).unwrap();
        assert!(readme.contains(&format!("builtin:{policy}")), "{policy}");
    }
}

#[test]
fn a_case_that_is_not_answered_as_written_fails() {
    let (cluster, manifests) = (Cluster::start(), Manifests::new());
    let rolewright = Rolewright::new(&cluster, &manifests);
    let case = rolewright.directory().join("fixtures/bad");
    fs::create_dir_all(&case).unwrap();
    let source = repository().join("guest-policies/ownership/fixtures/bad");
    for file in ["users.yaml", "settings.yaml", "expected.yaml"] {
        fs::copy(source.join(file), case.join(file)).unwrap();
    }
    let module = module("ownership");
    let directory = rolewright.directory().to_owned();
    let test = || rolewright.command(&["policy", "test", text(&directory), "--module", text(&module)]);
    test().succeeds();
    let users = fs::read_to_string(case.join("users.yaml")).unwrap();
    fs::write(case.join("users.yaml"), users.replace("ticket: soon", "ticket: OPS-1")).unwrap();
    test().exits_with(1).mentions("label-value");
}

/// A chain of `examples/chains`, with its manifests in a directory of their own.
struct Example {
    cluster: Cluster,
    manifests: Manifests,
    chain: String,
    users: String,
}

impl Example {
    fn new(name: &str) -> Example {
        let directory = repository().join("examples/chains").join(name);
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let (chain, users, secrets) = (read("policies.yaml"), read("users.yaml"), read("secrets.yaml"));
        for line in secrets.lines().filter_map(|line| line.trim().strip_prefix("password: ")) {
            leaks::register_password(line);
        }
        let manifests = Manifests::new();
        manifests.file("users.yaml", &users).file("secrets.yaml", &secrets);
        Example { cluster: Cluster::start(), manifests, chain, users }
    }

    fn rolewright(&self) -> Rolewright<'_> {
        Rolewright::new(&self.cluster, &self.manifests).policies(&self.chain)
    }

    /// With this in the place of that, the policy refuses the spec with this code.
    fn refuses(&self, policy: &str, code: &str, that: &str, this: &str) {
        assert!(self.users.contains(that), "{that:?} is not in users.yaml");
        self.manifests.file("users.yaml", self.users.replacen(that, this, 1));
        let output = self.rolewright().plan();
        output.exits_with(3);
        assert!(output.stdout.contains(&format!("error[{code}]")), "{policy} {code}\n{}", output.stdout);
        assert!(output.stdout.contains(&format!("policy: {policy}")), "{policy} {code}\n{}", output.stdout);
        self.manifests.file("users.yaml", &self.users);
    }
}

#[test]
fn the_chain_of_a_regulated_company_lets_good_in_and_keeps_each_mistake_out() {
    let example = Example::new("regulated");
    let output = example.rolewright().plan();
    output.succeeds();
    assert!(output.stdout.contains("maker: valid until 20"), "{}", output.stdout);
    assert!(output.stdout.contains("(policy expiry)") && !output.stdout.contains("ledger: valid"), "{}", output.stdout);
    example.rolewright().apply().succeeds();
    assert_eq!(
        example.cluster.value("SELECT count(*)::text FROM pg_roles WHERE rolvaliduntil < now() + '90 days'"),
        "2"
    );
    example.rolewright().plan_json().is_empty();

    example.refuses("ownership", "missing-label", "{team: core, kind: service}", "{kind: service}");
    example.refuses("role-catalog", "unknown-role", "[ledger_reader]", "[ledger_reader, superheroes]");
    example.refuses("role-catalog", "role-not-for-member", "payment_maker]", "payment_approver]");
    example.refuses("privilege-ceiling", "beyond-ceiling", "[ledger_reader]", "[pg_write_server_files]");
    example.refuses(
        "password-strength",
        "no-password",
        "username: ledger\n",
        "username: ledger\n        password: none\n",
    );

    // Old passwords: nobody has touched the file for long.
    let secrets = fs::File::options().append(true).open(example.manifests.path().join("secrets.yaml")).unwrap();
    secrets.set_modified(SystemTime::now() - Duration::from_secs(91 * 86_400)).unwrap();
    example.refuses(
        "credential-age",
        "password-too-old",
        "username: ledger\n",
        "username: ledger\n        comment: x\n",
    );
    secrets.set_modified(SystemTime::now()).unwrap();

    // Outside of the hours what cannot be undone waits, and nothing else does; an emergency has a key.
    let frozen = example.chain.replace(
        "from-risk: destructive",
        r#"from-risk: destructive
      freezes: [{from: "2000-01-01", to: "9999-12-31", reason: always}]"#,
    );
    let rolewright = || Rolewright::new(&example.cluster, &example.manifests).policies(&frozen);
    let without = example.users.find("      - username: ledger").unwrap();
    example.manifests.file("users.yaml", &example.users[..without]);
    let output = rolewright().env("MAX_DELETIONS", "1").apply();
    output.exits_with(3).mentions("change-window").mentions("always");
    assert!(example.cluster.has_role("ledger"));
    rolewright().env("MAX_DELETIONS", "1").env("TARGET_LABELS", "emergency=INC-7").apply().succeeds();
    assert!(!example.cluster.has_role("ledger"));
    example.manifests.file("users.yaml", &example.users);
    rolewright().apply().succeeds();
    assert!(example.cluster.has_role("ledger"));
}

#[test]
fn weak_passwords_are_refused_by_their_estimate_and_told_of_where_that_is_all() {
    let example = Example::new("homelab");
    example.manifests.remove("secrets.yaml").secret("nextcloud", "nextcloud1");
    let output = example.rolewright().plan();
    output.succeeds();
    assert!(output.stdout.contains("warning[weak-password]"), "{}", output.stdout);
    let enforced = example.chain.replace("    mode: warn\n", "");
    let output = Rolewright::new(&example.cluster, &example.manifests).policies(&enforced).plan();
    output.exits_with(3);
    assert!(output.stdout.contains("error[weak-password]"), "{}", output.stdout);
}

#[test]
fn the_chain_of_a_startup_keeps_names_and_holds_what_touches_too_many() {
    let example = Example::new("startup");
    example.rolewright().apply().succeeds();
    example.refuses("naming", "name-pattern", "username: dev_ann", "username: ann");
    example.refuses("privilege-ceiling", "beyond-ceiling", "pg_read_all_settings", "pg_read_all_data");
    // Everybody loses something: held, and not run before somebody approves it.
    let both =
        example.users.replace("roles: [shop]", "roles: []").replace("roles: [pg_read_all_settings]", "roles: []");
    example.manifests.file("users.yaml", both);
    let held = example.chain.replace("{at-least: 2}", "{at-least: 1}");
    let rolewright = Rolewright::new(&example.cluster, &example.manifests).policies(&held);
    rolewright.apply().exits_with(3).mentions("blast-radius");
    let plan = rolewright.command(&["plan", "--format", "json"]).exits_with(3).json();
    let digest = plan["digest"].as_str().unwrap();
    rolewright.command(&["apply", "--approve", digest]).succeeds();
}
