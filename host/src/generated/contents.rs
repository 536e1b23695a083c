//! What the Secret of a generated password holds: the keys that applications expect, each written so that whoever reads
//! it (libpq, a JDBC driver, `.pgpass`) arrives at the same names and the same password.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::Data;
use crate::secret::Password;

/// Every key that is ours. `jdbc-uri` and `pgpass` are left out where there is no way to write them.
pub const KEYS: [&str; 8] = ["username", "password", "host", "port", "dbname", "uri", "jdbc-uri", "pgpass"];

/// Characters of a password, at least: 32 of 57 letters make 186 bits.
pub const LENGTH: usize = 32;
/// Letters and digits that nobody takes for another one, and that stand for themselves in a URI, a shell and YAML.
pub const ALPHABET: &[u8; 57] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The server, as the controller knows it, and as applications reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Which server it is: DB_HOST:DB_PORT.
    pub server: String,
    /// APP_DB_HOST, or DB_HOST.
    pub host: String,
    /// APP_DB_PORT, or DB_PORT.
    pub port: u16,
    /// DB_NAME, for users without a database of their own.
    pub database: String,
}

/// Everything that it holds.
pub fn of(role: &str, password: &Password, database: &str, place: &Address) -> Data {
    let Address { host, port, .. } = place;
    let text = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
    let bytes = |text: Zeroizing<String>| Zeroizing::new(text.as_bytes().to_vec());
    let mut data = Data::from([
        ("username".to_owned(), text(role)),
        (super::PASSWORD_KEY.to_owned(), text(password.reveal())),
        ("host".to_owned(), text(host)),
        ("port".to_owned(), text(&port.to_string())),
        ("dbname".to_owned(), text(database)),
        ("uri".to_owned(), bytes(uri(role, password.reveal(), host, *port, database))),
    ]);
    // A driver in Java knows no sockets, and a line of `.pgpass` ends with its line.
    if !is_socket(host) {
        data.insert("jdbc-uri".to_owned(), bytes(jdbc_uri(role, password.reveal(), host, *port, database)));
    }
    if ![role, password.reveal(), database].iter().any(|part| part.contains(['\n', '\r'])) {
        data.insert("pgpass".to_owned(), bytes(pgpass(role, password.reveal(), host, *port, database)));
    }
    data
}

/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>. A socket's directory stands
/// encoded where a host would, an IPv6 address in brackets.
fn uri(role: &str, password: &str, host: &str, port: u16, database: &str) -> Zeroizing<String> {
    let mut uri = room(role, password, host, database);
    uri.push_str("postgresql://");
    encode(role, &mut uri);
    uri.push(':');
    encode(password, &mut uri);
    uri.push('@');
    address(host, &mut uri);
    let _ = write!(uri, ":{port}/");
    encode(database, &mut uri);
    uri
}

/// <https://jdbc.postgresql.org/documentation/use/#connecting-to-the-database>.
fn jdbc_uri(role: &str, password: &str, host: &str, port: u16, database: &str) -> Zeroizing<String> {
    let mut uri = room(role, password, host, database);
    uri.push_str("jdbc:postgresql://");
    address(host, &mut uri);
    let _ = write!(uri, ":{port}/");
    encode(database, &mut uri);
    uri.push_str("?user=");
    encode(role, &mut uri);
    uri.push_str("&password=");
    encode(password, &mut uri);
    uri
}

/// <https://www.postgresql.org/docs/current/libpq-pgpass.html>: colons and backslashes are escaped.
fn pgpass(role: &str, password: &str, host: &str, port: u16, database: &str) -> Zeroizing<String> {
    let mut line = room(role, password, host, database);
    let mut field = |text: &str, end: char| {
        for letter in text.chars() {
            if matches!(letter, ':' | '\\') {
                line.push('\\');
            }
            line.push(letter);
        }
        line.push(end);
    };
    field(host, ':');
    field(&port.to_string(), ':');
    field(database, ':');
    field(role, ':');
    field(password, '\n');
    line
}

/// With room for everything at once, no half-grown text is left behind unwiped.
fn room(role: &str, password: &str, host: &str, database: &str) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(64 + 3 * (role.len() + password.len() + host.len() + database.len())))
}

fn is_socket(host: &str) -> bool {
    host.starts_with(['/', '@'])
}

fn address(host: &str, into: &mut String) {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        let _ = write!(into, "[{host}]");
    } else {
        encode(host, into);
    }
}

/// All but the unreserved characters of RFC 3986.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_postgres::config::Host;

    use super::*;

    fn place(host: &str) -> Address {
        Address { server: "db:5432".to_owned(), host: host.to_owned(), port: 6432, database: "postgres".to_owned() }
    }

    fn written(data: &Data, key: &str) -> String {
        String::from_utf8(data[key].to_vec()).unwrap()
    }

    /// A line of `.pgpass`, as libpq takes it apart.
    fn fields(line: &str) -> Vec<String> {
        let (mut fields, mut letters) = (vec![String::new()], line.trim_end_matches('\n').chars());
        while let Some(letter) = letters.next() {
            match letter {
                ':' => fields.push(String::new()),
                '\\' => fields.last_mut().unwrap().extend(letters.next()),
                letter => fields.last_mut().unwrap().push(letter),
            }
        }
        fields
    }

    #[test]
    fn it_holds_what_applications_expect() {
        let data = of("app", &Password::new("s3cret".to_owned()), "shop", &place("db.example.com"));
        let keys: Vec<&str> = data.keys().map(String::as_str).collect();
        assert_eq!(keys, ["dbname", "host", "jdbc-uri", "password", "pgpass", "port", "uri", "username"]);
        assert_eq!(written(&data, "uri"), "postgresql://app:s3cret@db.example.com:6432/shop");
        assert_eq!(written(&data, "jdbc-uri"), "jdbc:postgresql://db.example.com:6432/shop?user=app&password=s3cret");
        assert_eq!(written(&data, "pgpass"), "db.example.com:6432:shop:app:s3cret\n");
        assert_eq!(written(&data, "port"), "6432");
    }

    #[test]
    fn addresses_stand_in_brackets_and_sockets_encoded() {
        let uri = |host: &str| {
            let data = of("app", &Password::new("x".to_owned()), "shop", &place(host));
            (written(&data, "uri"), data.contains_key("jdbc-uri"))
        };
        assert_eq!(uri("::1"), ("postgresql://app:x@[::1]:6432/shop".to_owned(), true));
        assert_eq!(uri("/run/pg"), ("postgresql://app:x@%2Frun%2Fpg:6432/shop".to_owned(), false));
    }

    #[test]
    fn a_name_with_a_line_feed_has_no_line_in_a_file() {
        let data = of("a\nb", &Password::new("x".to_owned()), "shop", &place("db"));
        assert!(!data.contains_key("pgpass") && written(&data, "uri").contains("a%0Ab"));
    }

    #[test]
    fn no_letter_of_the_alphabet_is_taken_for_another_or_means_anything() {
        assert!(ALPHABET.iter().all(|letter| letter.is_ascii_alphanumeric() && !b"0O1lI".contains(letter)));
        assert_eq!(ALPHABET.iter().collect::<std::collections::BTreeSet<_>>().len(), ALPHABET.len());
    }

    proptest! {
        #[test]
        fn whoever_reads_it_arrives_at_the_same_names(
            role in "[^\0]{1,20}",
            password in "[^\0]{1,20}",
            database in "[^\0]{1,20}",
            host in prop_oneof!["[a-z]([a-z0-9.-]{0,20}[a-z0-9])?", Just("2001:db8::7".to_owned()), "/[ -~]{0,20}"],
        ) {
            let data = of(&role, &Password::new(password.clone()), &database, &place(&host));
            let config: tokio_postgres::Config = written(&data, "uri").parse().unwrap();
            prop_assert_eq!(config.get_user(), Some(role.as_str()));
            prop_assert_eq!(config.get_password(), Some(password.as_bytes()));
            prop_assert_eq!(config.get_dbname(), Some(database.as_str()));
            prop_assert_eq!(config.get_ports(), [6432]);
            let [found] = config.get_hosts() else { panic!("one host") };
            match found {
                Host::Tcp(found) => prop_assert_eq!(found, &host),
                Host::Unix(found) => prop_assert_eq!(found.to_str(), Some(host.as_str())),
            }
            if let Some(line) = data.get("pgpass") {
                let line = String::from_utf8(line.to_vec()).unwrap();
                prop_assert_eq!(fields(&line), [host.as_str(), "6432", &database, &role, &password]);
            }
        }
    }
}
