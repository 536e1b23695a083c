//! `generate`, a user's password that the host makes: what is asked for, and what does not go together with it.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::names::is_reserved;
use super::parse::Reader;
use super::user::{Edge, SecretAt, User};
use super::yaml::{Kind, Node, Problem};
use crate::catalog::is_predefined;
use crate::generated::{Generate, PASSWORD_KEY};
use crate::model::{self, Mode, Privileges, Setting};
use crate::parameter;

pub(super) const GENERATE_KEYS: [&str; 2] = ["rotate_every", "alternate"];
/// Where the second login of a user stands, in its entry.
pub(super) const SECOND_LOGIN: &str = "/generate/alternate";
/// Parameters that make whoever logs in act as somebody else.
const ACTS_AS: [&str; 2] = ["role", "session_authorization"];

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Less is not what applications live through, and more is as good as never.
const SHORTEST: i64 = HOUR;
const LONGEST: i64 = 3_650 * DAY;

/// The same as a pattern of the JSON Schema, but for the bounds.
pub(super) const PERIOD: &str = "^[1-9][0-9]{0,4}[hd]$";

/// Seconds that a text such as `30d` or `12h` stands for.
fn period(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        'h' => HOUR,
        'd' => DAY,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let count = digits.parse::<i64>().ok().filter(|_| plain && !digits.starts_with('0'))?;
    Some(count * unit).filter(|seconds| (SHORTEST..=LONGEST).contains(seconds))
}

impl Reader {
    /// Whether a user's password is to be made; `secret` is where it will be.
    pub(super) fn generate(
        &mut self,
        user: &Node,
        path: &str,
        who: &str,
        secret: Option<&SecretAt>,
    ) -> Option<Generate> {
        let node = user.get("generate")?;
        let path = format!("{path}/generate");
        let of = format!("`generate` of {who}");
        let (mut rotate_every, mut alternate) = (None, None);
        match &node.kind {
            Kind::Bool(false) => return None,
            Kind::Bool(true) => {}
            Kind::Mapping(entries) => {
                self.unknown_keys(entries, &path, &of, &GENERATE_KEYS);
                if let Some(every) = node.get("rotate_every") {
                    rotate_every = Some(self.rotate_every(every, &format!("{path}/rotate_every"), who)?);
                }
                if let Some(name) = node.get("alternate") {
                    alternate = Some(self.alternate(name, &format!("{path}/alternate"), who)?);
                }
            }
            _ => {
                // It may be a password in the wrong place.
                self.hidden.push(node.range());
                self.wrong_type(node, &path, &of, "true, or a mapping such as `{rotate_every: 30d}`");
                return None;
            }
        }
        if user.get("password").is_some() {
            let message = format!("{who} has `generate` and `password` as well");
            let problem = Problem::new(node.range(), "password-and-generate", path, message);
            self.report(problem.help("keep one of them: `password: none` is a login without a password"));
            return None;
        }
        if let Some(secret) = secret.filter(|secret| secret.reference.key != PASSWORD_KEY) {
            let message =
                format!("{who} has a generated password, which is not under the key {:?}", secret.reference.key);
            let problem = Problem::new(secret.at.clone(), "generated-secret-key", path, message);
            self.report(problem.help("leave `key` out: a generated password is under the key `password`"));
            return None;
        }
        if alternate.is_some() && rotate_every.is_none() {
            let message = format!("{who} has a second login, and no time after which it takes its turn");
            let problem = Problem::new(node.range(), "alternate-without-rotation", path, message);
            self.report(problem.help("write how old a password becomes, such as `rotate_every: 30d`"));
            return None;
        }
        Some(Generate { rotate_every, alternate, database: None })
    }

    /// The name of a user's second login.
    fn alternate(&mut self, node: &Node, path: &str, who: &str) -> Option<String> {
        let name = self.name(node, path, "alternate")?;
        if is_predefined(&name) || is_reserved(&name) {
            let message =
                format!("no second login of {who} can be called {name:?}: PostgreSQL keeps this name to itself");
            let help = "names that begin with `pg_`, `public` and `none` are reserved";
            self.report(Problem::new(node.range(), "reserved-name", path.to_owned(), message).help(help));
            return None;
        }
        Some(name)
    }

    /// A user's second login, as a user of its own: a member of the first, as whom it acts from the moment it logs in. So
    /// whatever it does is done by the first, with that one's privileges, and what it makes is that one's.
    pub(super) fn second_login<'a>(&mut self, first: &User<'a>, entry: &Node) -> Option<User<'a>> {
        let name = first.generate.as_ref()?.alternate.clone()?;
        let at = entry.get("generate")?.get("alternate")?.range();
        if name == first.name {
            let message = format!("{} is named as its own second login", first.who());
            let problem = Problem::new(at, "alternate-itself", first.path(SECOND_LOGIN), message);
            self.report(problem.help("give the second login a name of its own"));
            return None;
        }
        if first.mode == Mode::Adopt {
            let message = format!("{} is only adopted, and has a second login, which is made", first.who());
            let help = "leave `alternate` out, or declare `mode: additive`";
            let problem = Problem::new(at, "alternate-and-adopt", first.path(SECOND_LOGIN), message);
            self.report(problem.help(help));
            return None;
        }
        let mut settings = first.settings.clone().unwrap_or_default();
        if let Some(other) = settings.iter().find(|it| ACTS_AS.contains(&parameter::key(&it.name).as_str())) {
            let message = format!("{} has a second login, and the setting {:?} as well", first.who(), other.name);
            let help = "keep one of them: a second login acts as the first, and nobody acts as two";
            self.report(Problem::new(at, "alternate-and-role", first.path(SECOND_LOGIN), message).help(help));
            return None;
        }
        if first.attributes.on.contains(model::Attributes::REPLICATION) {
            let message = format!("{} has REPLICATION and a second login, which would not have it", first.who());
            let help = "keep one of them: REPLICATION is asked of whoever logs in, whatever role it acts as";
            self.report(Problem::new(at, "alternate-and-replication", first.path(SECOND_LOGIN), message).help(help));
            return None;
        }
        settings.push(Setting { database: None, name: "role".to_owned(), value: first.name.clone() });
        settings.sort();
        let on_first = Edge {
            role: first.name.clone(),
            index: 0,
            at: at.clone(),
            admin: false,
            inherit: Some(true),
            set: true,
            until: None,
        };
        Some(User {
            list: first.list,
            index: first.index,
            second_of: Some(first.name.clone()),
            name,
            name_at: at,
            renamed_from: None,
            disabled: first.disabled,
            databases: Vec::new(),
            roles: vec![on_first],
            privileges: Privileges::empty(),
            written_privileges: None,
            grants: Vec::new(),
            secret: None,
            generate: None,
            attributes: Attributes {
                on: model::Attributes::empty(),
                off: model::Attributes::empty(),
                ..first.attributes.clone()
            },
            settings: Some(settings),
            mode: first.mode,
        })
    }

    /// A second login is nobody for itself: what it may do is what the first may.
    pub(super) fn second_logins(&mut self, users: &[User<'_>]) {
        let seconds = users.iter().filter_map(|user| Some((user.name.as_str(), (user, user.second_of.as_deref()?))));
        let seconds: BTreeMap<&str, (&User<'_>, &str)> = seconds.collect();
        for user in users.iter().filter(|_| !seconds.is_empty()) {
            for edge in &user.roles {
                let Some((second, first)) = seconds.get(edge.role.as_str()) else { continue };
                let message = format!(
                    "{} is to be a member of {:?}, which is the second login of {first:?}",
                    user.who(),
                    edge.role
                );
                let path = user.path(&format!("/roles/{}", edge.index));
                let problem = Problem::new(edge.at.clone(), "alternate-named", path, message);
                self.report(problem.help(format!("name {first:?} instead")).first(second.name_at.start));
            }
        }
    }

    fn rotate_every(&mut self, node: &Node, path: &str, who: &str) -> Option<i64> {
        let seconds = node.text().and_then(period);
        if seconds.is_none() {
            self.hidden.push(node.range());
            let message = format!("`rotate_every` of {who} must be days or hours, from 1h to 3650d");
            let problem = Problem::new(node.range(), "invalid-period", path.to_owned(), message);
            self.report(problem.help("write `rotate_every: 30d`, or `12h`"));
        }
        seconds
    }

    /// A Secret that is written for one user holds nobody else's password, under whatever key.
    pub(super) fn generated_secrets(&mut self, users: &[User<'_>]) {
        let secret = |user: &&User<'_>| user.generate.is_some() && user.secret.is_some();
        let mut generated: BTreeMap<&str, &User<'_>> = BTreeMap::new();
        for user in users.iter().filter(secret) {
            if let Some(secret) = &user.secret {
                generated.entry(&secret.reference.name).or_insert(user);
            }
        }
        for user in users {
            let Some(secret) = user.secret.as_ref().filter(|secret| secret.reference.key != PASSWORD_KEY) else {
                // The same key twice is told already.
                continue;
            };
            let Some(first) = generated.get(secret.reference.name.as_str()) else { continue };
            let message = format!(
                "{} takes its password from Secret {:?}, which is written for {}",
                user.who(),
                secret.reference.name,
                first.who()
            );
            let problem = Problem::new(secret.at.clone(), "shared-secret", user.path("/secret"), message);
            self.report(problem.help("give each user its own `secret: {name, key}`").first(first.name_at.start));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Membership;
    use crate::spec::{Document, parse};

    fn codes(users: &str) -> Vec<String> {
        match parse(&Document::plain("users.yaml", format!("users:\n{users}\n"))) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.code).collect(),
        }
    }

    #[test]
    fn a_period_is_days_or_hours_within_bounds() {
        for (text, seconds) in [("1h", 3_600), ("30d", 2_592_000), ("3650d", LONGEST), ("87600h", LONGEST)] {
            assert_eq!(period(text), Some(seconds), "{text}");
        }
        for text in ["", "d", "30", "0d", "00h", "01d", "59m", "30 d", "+1d", "-1d", "3651d", "99999999d", "1.5d", "3ä"]
        {
            assert_eq!(period(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_read_with_the_first_database_of_the_file() {
        let text = "users:\n  - {username: a, databases: [z, b], generate: {rotate_every: 30d}}\n  \
                    - {username: b, generate: true}\n  - {username: c, generate: false}\n";
        let spec = parse(&Document::plain("users.yaml", text)).unwrap().spec;
        let wish = Generate { rotate_every: Some(30 * DAY), alternate: None, database: Some("z".to_owned()) };
        assert_eq!(spec.generated, [("a".to_owned(), wish), ("b".to_owned(), Generate::default())].into());
        assert_eq!(spec.roles["b"].credential.as_ref().unwrap().secret, "user-b-secret");
    }

    #[test]
    fn what_does_not_go_together_is_told() {
        for (user, code) in [
            ("  - {username: a, generate: true, password: none}", "password-and-generate"),
            ("  - {username: a, generate: true, secret: {name: x, key: pass}}", "generated-secret-key"),
            ("  - {username: a, generate: yes please}", "wrong-type"),
            ("  - {username: a, generate: null}", "wrong-type"),
            ("  - {username: a, generate: {rotate_every: 10m}}", "invalid-period"),
            ("  - {username: a, generate: {rotate_every: 30}}", "invalid-period"),
            ("  - {username: a, generate: {rotate: 30d}}", "unknown-key"),
            ("  - {username: a, generate: {alternate: b}}", "alternate-without-rotation"),
            ("  - {username: a, generate: {rotate_every: 1d, alternate: 7}}", "unquoted-name"),
            ("  - {username: a, generate: {rotate_every: 1d, alternate: pg_b}}", "reserved-name"),
            ("  - {username: a, generate: {rotate_every: 1d, alternate: a}}", "alternate-itself"),
            ("  - {username: a, generate: {rotate_every: 1d, alternate: b}}\n  - {username: b}", "duplicate-user"),
            ("  - {username: b}\n  - {username: a, generate: {rotate_every: 1d, alternate: b}}", "duplicate-user"),
            (
                "  - {username: a, generate: {rotate_every: 1d, alternate: b}}\n  \
                 - {username: c, generate: {rotate_every: 1d, alternate: b}}",
                "duplicate-user",
            ),
            (
                "  - {username: a, generate: {rotate_every: 1d, alternate: b}}\n  - {username: c, roles: [b]}",
                "alternate-named",
            ),
            (
                "  - {username: a, generate: {rotate_every: 1d, alternate: b}}\n  - {username: c, renamed_from: b}",
                "renamed-from-declared",
            ),
            (
                "  - {username: a, generate: {rotate_every: 1d, alternate: b}, settings: {ROLE: c}}",
                "alternate-and-role",
            ),
            (
                "  - {username: a, generate: {rotate_every: 1d, alternate: b}, database_settings: {x: {role: c}}}",
                "alternate-and-role",
            ),
            ("  - {username: a, generate: {rotate_every: 1d, alternate: b}, mode: adopt}", "alternate-and-adopt"),
            (
                "  - {username: a, generate: {rotate_every: 1d, alternate: b}, replication: true}",
                "alternate-and-replication",
            ),
            ("  - {username: a, generate: true}\n  - {username: b, secret: {name: user-a-secret}}", "shared-secret"),
            (
                "  - {username: a, generate: true}\n  - {username: b, secret: {name: user-a-secret, key: uri}}",
                "shared-secret",
            ),
        ] {
            assert_eq!(codes(user), [code], "{user}");
        }
    }

    #[test]
    fn a_second_login_is_a_member_of_the_first_and_acts_as_it() {
        let text = "users:\n  - {username: a, databases: [z], generate: {rotate_every: 30d, alternate: b}, \
                    settings: {work_mem: 1MB}, connection_limit: 3, createdb: true, disabled: true}\n";
        let spec = parse(&Document::plain("users.yaml", text)).unwrap().spec;
        assert_eq!(spec.generated.keys().collect::<Vec<_>>(), ["a"]);
        let (first, second) = (&spec.roles["a"], &spec.roles["b"]);
        assert!(first.credential.is_some() && first.has_password == Some(true));
        assert!(second.credential.is_none() && second.has_password.is_none() && second.grants.is_empty());
        assert_eq!(second.memberships, [Membership::plain("a")]);
        let settings: Vec<_> = second.settings.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
        assert_eq!(settings, ["role=a", "work_mem=1MB"]);
        assert_eq!(second.connection_limit, first.connection_limit);
        assert_eq!(second.attributes, model::Attributes::USER - model::Attributes::LOGIN);
        assert!(["a", "b"].iter().all(|name| spec.disabled.contains(*name)));
        assert_eq!(second.path, "/users/0/generate/alternate");
    }

    #[test]
    fn a_password_in_its_place_is_not_repeated() {
        let text = "users:\n  - {username: a, generate: hunter2}\n";
        let problems = parse(&Document::plain("users.yaml", text)).unwrap_err();
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
}
