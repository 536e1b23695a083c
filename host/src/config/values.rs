//! The types behind single settings and how their texts are read. Each error says what is allowed;
//! the name of the variable and the value given are added by the command line parser.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::guard::privileges::STRONG_PRIVILEGES;
use crate::guard::row_security::ROW_SECURITY;
use crate::guard::settings::STRONG_PARAMETERS;

/// How many users one plan may remove before a person has to approve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxDeletions {
    /// A share of the managed users, in millionths: 20% is 200,000.
    Share(u32),
    /// A number of users.
    Count(usize),
}

/// A whole, in the unit of [`MaxDeletions::Share`].
const WHOLE: u32 = 1_000_000;

impl MaxDeletions {
    /// How many of so many managed users may go. A share is rounded up, so that 20% of three users
    /// lets one go; 0 lets none go.
    pub fn allowed(self, managed: usize) -> usize {
        match self {
            MaxDeletions::Count(count) => count,
            MaxDeletions::Share(share) => {
                let exact = managed as u128 * u128::from(share);
                usize::try_from(exact.div_ceil(u128::from(WHOLE))).unwrap_or(usize::MAX)
            }
        }
    }
}

impl FromStr for MaxDeletions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const ALLOWED: &str = "expected a number of users, such as 3, or a share of them from 0% to 100%";
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(MaxDeletions::Count).map_err(|_| ALLOWED.to_owned());
        };
        let (whole, fraction) = percent.trim_end().split_once('.').unwrap_or((percent.trim_end(), ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || fraction.len() > 4 || !digits(whole) || !digits(fraction) {
            return Err(ALLOWED.to_owned());
        }
        let share: u32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| ALLOWED.to_owned())?;
        if share > WHOLE { Err(ALLOWED.to_owned()) } else { Ok(MaxDeletions::Share(share)) }
    }
}

impl fmt::Display for MaxDeletions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaxDeletions::Count(count) => write!(f, "{count}"),
            MaxDeletions::Share(share) => {
                let text = format!("{}.{:04}", share / 10_000, share % 10_000);
                write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

/// Where the HTTP server listens, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// No HTTP server.
    Off,
    /// At this address; port 0 takes any free one.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Listen::Off);
        }
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Listen::At(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))));
        }
        text.parse()
            .map(Listen::At)
            .map_err(|_| "expected address:port, such as 0.0.0.0:9090 or [::]:9090, or off".to_owned())
    }
}

/// The longest time that a setting may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (number, unit) =
        units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms))).unwrap_or((text, 1_000));
    number
        .trim_end()
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .map(Duration::from_millis)
        .filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| "expected seconds, such as 30, or a time such as 500ms, 30s or 5m, of at most 24h".to_owned())
}

/// Nothing, or longer than any pause between cycles.
pub(crate) fn grace(text: &str) -> Result<Duration, String> {
    const LONGEST_GRACE: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let (number, unit) = units.iter().find_map(|(unit, s)| Some((text.strip_suffix(unit)?, *s))).unwrap_or((text, 1));
    let count = number.trim_end().parse::<u64>().ok();
    let time = count.and_then(|count| count.checked_mul(unit)).map(Duration::from_secs);
    time.filter(|time| *time <= LONGEST_GRACE)
        .ok_or_else(|| "expected 0, or a time such as 30m, 12h or 14d, of at most 3650d".to_owned())
}

pub(crate) fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false (1, 0, yes and no do as well)".to_owned()),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        let mut allowed = "expected a port from 1 to 65535".to_owned();
        if text.starts_with("tcp://") {
            // https://kubernetes.io/docs/tutorials/services/connect-applications-service/
            allowed.push_str(
                "; Kubernetes sets this variable for a Service named \"db\": give the Pod enableServiceLinks: false",
            );
        }
        allowed
    })
}

pub(super) fn backoff(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|base: &f64| base.is_finite() && *base >= 1.0)
        .ok_or_else(|| "expected a number of at least 1, such as 2.0".to_owned())
}

pub(super) fn connections(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count <= 1_000)
        .ok_or_else(|| "expected a number of connections from 0 to 1000".to_owned())
}

pub(super) fn retries(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|count| *count <= 100).ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

/// A PostgreSQL identifier, which the server would cut at 63 bytes without a word.
pub(crate) fn role_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 63 || text.contains('\0') {
        return Err("expected a PostgreSQL name of 1 to 63 bytes".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn host(text: &str) -> Result<String, String> {
    if text.contains(|letter: char| letter.is_control() || letter.is_whitespace()) || text.contains("://") {
        return Err("expected a host name, an address, or the directory of a unix socket".to_owned());
    }
    Ok(text.to_owned())
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>.
pub(crate) fn dns_label(text: &str) -> Result<String, String> {
    if text.len() <= 63 && is_label(text) {
        return Ok(text.to_owned());
    }
    Err("expected a Kubernetes name: at most 63 of a-z, 0-9 and -, neither first nor last a -".to_owned())
}

/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>.
pub(crate) fn dns_subdomain(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err("expected a Kubernetes name: at most 253 of a-z, 0-9, - and ., each part without a - at its ends".to_owned())
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Which Secrets of the namespace are listed and watched at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSelector {
    /// All of them: `*`.
    All,
    /// Those with matching labels, as `kubectl get --selector` takes it.
    Labels(String),
}

impl FromStr for SecretSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "*" => Ok(SecretSelector::All),
            // What it means is the API server's business; what it can't be is told here.
            labels if !labels.is_empty() && !labels.contains(['*', '\n', '"']) => {
                Ok(SecretSelector::Labels(labels.to_owned()))
            }
            _ => Err("expected a label selector, such as app=postgres,team in (a,b), or * for every Secret of the \
                      namespace"
                .to_owned()),
        }
    }
}

/// Names separated by commas. One with a comma, a quote or a space at its ends stands in double
/// quotes, a quote in it doubled, as in SQL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(pub BTreeSet<String>);

impl FromStr for Names {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut names = BTreeSet::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, after) = match rest.strip_prefix('"') {
                Some(inside) => quoted(inside).ok_or("a name opens with a double quote that is not closed")?,
                None => {
                    let end = rest.find(',').unwrap_or(rest.len());
                    (rest[..end].trim_end().to_owned(), &rest[end..])
                }
            };
            // A comma too many is no name.
            if !name.is_empty() {
                names.insert(role_name(&name)?);
            }
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(next) => rest = next.trim_start(),
                None if rest.is_empty() => {}
                None => return Err("expected names separated by commas".to_owned()),
            }
        }
        Ok(Names(names))
    }
}

/// What stands before the closing quote, and what comes after it.
fn quoted(inside: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = inside.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '"' {
            name.push(letter);
        } else if letters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, &inside[at + 1..]));
        }
    }
    None
}

/// Labels such as `environment=production,tier=gold`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(pub BTreeMap<String, String>);

impl FromStr for Labels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut labels = BTreeMap::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
                format!("{word:?} is no label; expected a list such as environment=production,tier=gold")
            })?;
            if labels.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("the label {key:?} is given twice"));
            }
        }
        Ok(Labels(labels))
    }
}

/// Attributes that give power beyond one's own, as keywords of CREATE ROLE.
const POWERS: [&str; 4] = ["SUPERUSER", "REPLICATION", "BYPASSRLS", "CREATEROLE"];

/// Powers that a plan may give: keywords in upper case, predefined roles and parameters in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Powers(pub BTreeSet<String>);

impl FromStr for Powers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut powers = BTreeSet::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (upper, lower) = (word.to_ascii_uppercase(), word.to_ascii_lowercase());
            if POWERS.contains(&upper.as_str()) || STRONG_PRIVILEGES.contains(&upper.as_str()) || upper == ROW_SECURITY
            {
                powers.insert(upper);
            } else if lower.starts_with("pg_") || STRONG_PARAMETERS.contains(&lower.as_str()) {
                powers.insert(lower);
            } else {
                let (words, parameters) = (
                    [&POWERS[..], &STRONG_PRIVILEGES, &[ROW_SECURITY]].concat().join(", "),
                    STRONG_PARAMETERS.join(", "),
                );
                return Err(format!(
                    "{word:?} is no power; expected a list of {words}, predefined roles (pg_…) and parameters \
                     ({parameters})"
                ));
            }
        }
        Ok(Powers(powers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_deletions_is_rounded_up_and_exact() {
        let share = |text: &str| text.parse::<MaxDeletions>().unwrap();
        for (text, managed, allowed) in [
            ("20%", 0, 0),
            ("20%", 1, 1),
            ("20%", 5, 1),
            ("20%", 6, 2),
            ("0%", 1_000, 0),
            ("100%", 7, 7),
            ("12.5%", 8, 1),
            ("0.1%", 10_000, 10),
            ("3", 2, 3),
            ("0", 50, 0),
        ] {
            assert_eq!(share(text).allowed(managed), allowed, "{text} of {managed}");
            assert_eq!(share(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_share_is_refused() {
        for text in ["101%", "-1", "-5%", "%", "20 percent", "", "1e3%", "100.0001%", "0.00001%"] {
            assert!(text.parse::<MaxDeletions>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_in_seconds_unless_they_say_otherwise() {
        for (text, ms) in [("30", 30_000), ("30s", 30_000), ("5m", 300_000), ("250ms", 250), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["0", "-1", "soon", "25h", "99999999999999999999", "1.5"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_may_hold_commas_in_quotes() {
        let names: Names = r#" a, "b, ""c""" ,, d e "#.parse().unwrap();
        assert_eq!(names.0.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b, \"c\"", "d e"]);
        assert!("\"open".parse::<Names>().is_err());
        assert!("\"a\" b".parse::<Names>().is_err());
    }

    #[test]
    fn labels_are_pairs_and_each_key_is_given_once() {
        let labels: Labels = "environment=production, tier=,".parse().unwrap();
        let expected = [("environment", "production"), ("tier", "")];
        assert!(labels.0.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected));
        for (text, why) in [("production", "is no label"), ("=x", "is no label"), ("a=1,a=2", "given twice")] {
            assert!(text.parse::<Labels>().unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn powers_are_known_words_in_either_case() {
        let powers: Powers = "superuser, PG_Monitor, Role, plperl.on_plperl_init".parse().unwrap();
        let words: Vec<&str> = powers.0.iter().map(String::as_str).collect();
        assert_eq!(words, ["SUPERUSER", "pg_monitor", "plperl.on_plperl_init", "role"]);
        assert!("root".parse::<Powers>().unwrap_err().contains("BYPASSRLS"));
    }

    #[test]
    fn a_service_link_in_the_port_is_explained() {
        assert!(port("tcp://10.0.0.1:5432").unwrap_err().contains("enableServiceLinks"));
        assert!(port("0").is_err());
    }

    #[test]
    fn the_http_server_can_be_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!(":9090".parse(), Ok(Listen::At(([0, 0, 0, 0], 9090).into())));
        assert!("9090".parse::<Listen>().is_err());
    }
}
