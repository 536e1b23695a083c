//! `generate`, a user's password that the host makes: what is asked for, and what does not go together with it.

use std::collections::BTreeMap;

use super::parse::Reader;
use super::user::{SecretAt, User};
use super::yaml::{Kind, Node, Problem};
use crate::generated::{Generate, PASSWORD_KEY};

pub(super) const GENERATE_KEYS: [&str; 1] = ["rotate_every"];

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
        let rotate_every = match &node.kind {
            Kind::Bool(false) => return None,
            Kind::Bool(true) => None,
            Kind::Mapping(entries) => {
                self.unknown_keys(entries, &path, &of, &GENERATE_KEYS);
                match node.get("rotate_every") {
                    Some(every) => Some(self.rotate_every(every, &format!("{path}/rotate_every"), who)?),
                    None => None,
                }
            }
            _ => {
                // It may be a password in the wrong place.
                self.hidden.push(node.range());
                self.wrong_type(node, &path, &of, "true, or a mapping such as `{rotate_every: 30d}`");
                return None;
            }
        };
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
        Some(Generate { rotate_every, database: None })
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
        let wish = Generate { rotate_every: Some(30 * DAY), database: Some("z".to_owned()) };
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
    fn a_password_in_its_place_is_not_repeated() {
        let text = "users:\n  - {username: a, generate: hunter2}\n";
        let problems = parse(&Document::plain("users.yaml", text)).unwrap_err();
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
}
