//! What is wrong, or probably wrong, with a spec that PostgreSQL would accept name by name. A normal spec has no finding
//! at all; each rule here is a mistake that somebody would otherwise notice much later.

use std::collections::BTreeMap;

use rolewright_policy::{Finding, Role, Spec};

/// Every finding about a spec, in the order of its roles, the cycles last.
pub fn findings(spec: &Spec) -> Vec<Finding> {
    let declared = Declared::new(&spec.roles);
    let twins = twins(&spec.roles);
    let mut found = Vec::new();
    for (at, role) in declared.roles.iter().enumerate() {
        found.extend(odd_name(role));
        if let Some(other) = twins.get(role.name.as_str()) {
            found.push(confusable(role, other));
        }
        for (edge, above) in role.memberships.iter().zip(declared.above(at)) {
            if *above == Some(at) {
                found.push(
                    Finding::error(
                        "member-of-itself",
                        &role.path,
                        format!("{:?} is declared to be a member of itself, which PostgreSQL refuses", role.name),
                    )
                    .help("take the name out of the role's own list of roles"),
                );
            } else if above.is_some_and(|above| declared.roles[above].is_user()) && !acts_as(role, &edge.role) {
                found.push(member_of_user(role, &edge.role));
            }
        }
        found.extend(weak_password(role));
    }
    found.extend(cycles(&declared));
    found
}

/// The roles in the order of their names, and the graph of their memberships.
struct Declared<'a> {
    roles: Vec<&'a Role>,
    /// For each membership of each role where the role is that it is in, if that is declared.
    edges: Vec<Option<usize>>,
    /// Where the edges of each role begin, and where those of the last one end.
    begins: Vec<usize>,
}

impl<'a> Declared<'a> {
    fn new(roles: &'a [Role]) -> Self {
        let mut roles: Vec<&Role> = roles.iter().collect();
        // The host hands them over in this order; then it costs one look at each.
        if !roles.is_sorted_by(|a, b| a.name < b.name) {
            roles.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let (mut edges, mut begins) = (Vec::new(), vec![0]);
        for role in &roles {
            edges.extend(
                role.memberships.iter().map(|edge| roles.binary_search_by(|role| role.name.cmp(&edge.role)).ok()),
            );
            begins.push(edges.len());
        }
        Declared { roles, edges, begins }
    }

    /// The edges of a role, in the order of its memberships.
    fn above(&self, at: usize) -> &[Option<usize>] {
        &self.edges[self.begins[at]..self.begins[at + 1]]
    }
}

/// The later of two roles whose names differ only by case, with the earlier one. Almost all names are in lower case, and
/// are only looked up for the few that are not.
fn twins(roles: &[Role]) -> BTreeMap<&str, &str> {
    let mut folded: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for role in roles.iter().filter(|role| !is_lower_case(&role.name)) {
        folded.entry(role.name.to_lowercase()).or_default().push(&role.name);
    }
    if folded.is_empty() {
        return BTreeMap::new();
    }
    for role in roles.iter().filter(|role| is_lower_case(&role.name)) {
        if let Some(names) = folded.get_mut(&role.name) {
            names.push(&role.name);
        }
    }
    let mut twins = BTreeMap::new();
    for names in folded.values_mut() {
        names.sort_unstable();
        twins.extend(names.windows(2).map(|pair| (pair[1], pair[0])));
    }
    twins
}

fn is_lower_case(name: &str) -> bool {
    if name.is_ascii() { !name.bytes().any(|byte| byte.is_ascii_uppercase()) } else { name.to_lowercase() == name }
}

/// Characters that nobody sees, and that make one name look like another.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn odd_name(role: &Role) -> Option<Finding> {
    // What is plain is most of what there is.
    if !role.name.is_empty() && role.name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let what = if role.name.chars().any(is_invisible) {
        "contains invisible characters"
    } else if role.name.trim() != role.name {
        "begins or ends with white space"
    } else {
        return None;
    };
    let finding = Finding::warning("odd-name", &role.path, format!("the name {} {what}", role.name.escape_debug()));
    Some(finding.help("check that the name was not copied from somewhere with more than was visible"))
}

fn confusable(role: &Role, other: &str) -> Finding {
    Finding::warning(
        "names-differ-by-case",
        &role.path,
        format!("{:?} and {other:?} differ only by case, and PostgreSQL keeps them as two roles", role.name),
    )
    .help("SQL without quotes folds names to lower case, so only the lower-case one would be found")
}

/// Whether a login is meant to be that user, as the second of two that take turns is.
fn acts_as(role: &Role, user: &str) -> bool {
    role.settings.iter().any(|it| it.database.is_none() && it.name == "role" && it.value == user)
}

fn member_of_user(role: &Role, user: &str) -> Finding {
    Finding::warning(
        "member-of-user",
        &role.path,
        format!(
            "{:?} is a member of {user:?}, which is a user: all that {user:?} owns and may do, it may too",
            role.name
        ),
    )
    .help("make a role without login for what the two share, and both its members")
}

fn weak_password(role: &Role) -> Option<Finding> {
    let credential = role.credential.as_ref()?;
    if credential.strength? > 1 {
        return None;
    }
    let finding = Finding::warning(
        "weak-password",
        &role.path,
        format!("the password of {:?} in Secret {:?} would be guessed soon", role.name, credential.secret),
    );
    Some(finding.help("put a longer, random password into the Secret"))
}

/// One finding for each cycle of two or more declared roles. A walk in depth, without recursion: a chain of roles may be
/// as long as the spec.
fn cycles(declared: &Declared<'_>) -> Vec<Finding> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        /// On the way from where the walk began.
        Here(usize),
        Done,
    }
    let roles = &declared.roles;
    let mut seen = vec![Seen::Never; roles.len()];
    let mut found = Vec::new();
    // The way from where it began to here, each role with the number of its edges that were looked at.
    let mut way: Vec<(usize, usize)> = Vec::new();
    for start in 0..roles.len() {
        if seen[start] == Seen::Never {
            seen[start] = Seen::Here(0);
            way.push((start, 0));
        }
        while let Some((at, edges)) = way.last_mut() {
            let at = *at;
            let Some(edge) = declared.above(at).get(*edges) else {
                way.pop();
                seen[at] = Seen::Done;
                continue;
            };
            *edges += 1;
            let Some(above) = edge.filter(|above| *above != at) else { continue };
            match seen[above] {
                Seen::Done => {}
                Seen::Here(position) => {
                    let names: Vec<&str> = way[position..].iter().map(|(at, _)| roles[*at].name.as_str()).collect();
                    found.push(cycle(roles[above], &names));
                }
                Seen::Never => {
                    seen[above] = Seen::Here(way.len());
                    way.push((above, 0));
                }
            }
        }
    }
    found
}

fn cycle(role: &Role, names: &[&str]) -> Finding {
    // A long cycle is told by its beginning.
    let mut told: Vec<String> = names.iter().take(8).map(|name| format!("{name:?}")).collect();
    if names.len() > told.len() {
        told.push("…".to_owned());
    }
    Finding::error(
        "membership-cycle",
        &role.path,
        format!(
            "{} is a member of itself by way of others, which PostgreSQL refuses: {} → {:?}",
            format_args!("{:?}", role.name),
            told.join(" → "),
            role.name
        ),
    )
    .help("take one of these memberships out")
}

#[cfg(test)]
mod tests {
    use rolewright_policy::{Credential, Grant, SecretState, Setting, Severity};

    use super::*;

    fn spec(roles: impl Into<Vec<Role>>) -> Spec {
        Spec { roles: roles.into(), ..Spec::default() }
    }

    fn codes(roles: impl Into<Vec<Role>>) -> Vec<String> {
        findings(&spec(roles)).into_iter().map(|finding| finding.code).collect()
    }

    fn credential(strength: Option<u8>) -> Option<Credential> {
        Some(Credential {
            secret: "user-alice-secret".to_owned(),
            key: "password".to_owned(),
            state: SecretState::Present,
            version: "1".to_owned(),
            changed_at: None,
            labels: Vec::new(),
            strength,
            in_sync: None,
        })
    }

    #[test]
    fn a_normal_spec_has_no_finding() {
        let mut alice = Role::user("alice").member_of(["analyst", "read_only"]).at("/users/0");
        alice.grants.push(Grant::connect("myapp"));
        alice.credential = credential(None);
        let mut batch = Role::user("Batch Job").member_of(["analyst"]).at("/users/1");
        batch.has_password = Some(false);
        let analyst = Role::group("analyst").member_of(["read_only", "pg_monitor"]);
        assert_eq!(codes([alice, batch, Role::user("Зоя"), analyst, Role::group("read_only")]), [""; 0]);
    }

    #[test]
    fn a_role_that_is_a_member_of_itself_is_an_error() {
        let found = findings(&spec([Role::user("alice").member_of(["alice"]).at("/users/3")]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].code.as_str(), found[0].severity), ("member-of-itself", Severity::Error));
        assert_eq!(found[0].path, "/users/3");
    }

    #[test]
    fn a_cycle_is_an_error_told_once_and_in_full() {
        let found = findings(&spec([
            Role::group("a").member_of(["b"]).at("/roles/0"),
            Role::group("b").member_of(["c", "elsewhere"]),
            Role::group("c").member_of(["a"]),
            Role::user("outside").member_of(["a"]),
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].code.as_str(), found[0].path.as_str()), ("membership-cycle", "/roles/0"));
        assert!(found[0].message.contains(r#""a" → "b" → "c" → "a""#), "{}", found[0].message);
    }

    #[test]
    fn two_ways_to_one_role_are_no_cycle() {
        assert_eq!(
            codes([
                Role::group("a").member_of(["b", "c"]),
                Role::group("b").member_of(["d"]),
                Role::group("c").member_of(["d"]),
                Role::group("d"),
            ]),
            [""; 0]
        );
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_roles_does_not_exhaust_the_stack() {
        let mut roles: Vec<Role> = (0..100_000).map(|n| Role::group(format!("{n:06}"))).collect();
        for n in 1..roles.len() {
            let above = roles[n].name.clone();
            roles[n - 1].memberships.push(rolewright_policy::Membership::plain(above));
        }
        assert_eq!(codes(roles), [""; 0]);
    }

    #[test]
    fn names_that_differ_only_by_case_are_a_warning() {
        assert_eq!(codes([Role::user("Alice"), Role::user("alice")]), ["names-differ-by-case"]);
    }

    #[test]
    fn a_name_with_more_than_is_visible_is_a_warning() {
        for name in ["alice ", "\u{a0}alice", "ali\u{200b}ce", "\u{202e}ecila", "ali\nce"] {
            assert_eq!(codes([Role::user(name)]), ["odd-name"], "{name:?}");
        }
    }

    #[test]
    fn a_member_of_a_user_is_a_warning() {
        let found = findings(&spec([Role::user("alice"), Role::user("bob").member_of(["alice"])]));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].code.as_str(), found[0].severity), ("member-of-user", Severity::Warning));
    }

    #[test]
    fn a_second_login_is_meant_to_be_a_member_of_its_user() {
        let mut second = Role::user("bob").member_of(["alice"]);
        second.settings = vec![Setting { database: None, name: "role".into(), value: "alice".into() }];
        assert_eq!(codes([Role::user("alice"), second.clone()]), [""; 0]);
        second.settings[0].value = "carol".into();
        assert_eq!(codes([Role::user("alice"), second]), ["member-of-user"]);
    }

    #[test]
    fn a_password_that_is_known_to_be_weak_is_a_warning() {
        let mut alice = Role::user("alice");
        alice.credential = credential(Some(1));
        assert_eq!(codes([alice.clone()]), ["weak-password"]);
        alice.credential = credential(Some(2));
        assert_eq!(codes([alice]), [""; 0]);
    }
}
