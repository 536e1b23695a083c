//! What PostgreSQL's refusals mean for the one who wrote users.yaml, and what to do next. Texts from
//! the server are cleaned of anything that looks like a password or a verifier before they are kept.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use super::retry;
use crate::model::TableName;

/// What stands in place of a secret.
const MARK: &str = "<redacted>";

/// What was tried, in words that hold no secret.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// A verb and its object, such as `create role` or `grant CONNECT on database myapp`.
    pub action: &'a str,
    /// The role that it was about.
    pub role: Option<&'a str>,
    /// As `server_version_num` prints it (180004 is 18.4); 0 if not known.
    pub server_version: u32,
}

impl fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Some(role) => write!(f, "{} (role {role})", self.action),
            None => f.write_str(self.action),
        }
    }
}

/// A failed statement, explained. Holds no secret and no SQL.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServerError {
    /// What was tried.
    pub attempted: String,
    /// PostgreSQL's code; `None` where no answer came.
    pub sqlstate: Option<String>,
    /// What the server said, or what became of the connection.
    pub message: String,
    /// The server's DETAIL.
    pub detail: Option<String>,
    /// The server's HINT.
    pub hint: Option<String>,
    /// Why it failed, in the user's words.
    pub explanation: String,
    /// What to do next.
    pub help: String,
    /// Whether it is worth trying again.
    pub transient: bool,
}

impl ServerError {
    /// For what the server accepted and did not do: it only warns about a GRANT or REVOKE that the
    /// controller's role has no right to.
    pub fn without_effect(role: &str, differences: &[String], controller: &str) -> ServerError {
        ServerError {
            attempted: format!("bring {role:?} to its declared state"),
            sqlstate: None,
            message: format!("every statement was accepted, and yet {role:?} {}", differences.join(", ")),
            detail: None,
            hint: None,
            explanation: format!(
                "PostgreSQL only warns where {controller:?} has no right to grant or revoke something"
            ),
            help: format!(
                "let {controller:?} own the database, or give it the privilege WITH GRANT OPTION or the role WITH ADMIN OPTION"
            ),
            transient: false,
        }
    }

    /// For a password that is in force, and could not be written into the Secret that was to name its login.
    pub fn without_secret(login: &str, secret: &str, why: &str) -> ServerError {
        ServerError {
            attempted: format!("write the password of {login:?} into Secret {secret:?}"),
            sqlstate: None,
            message: why.to_owned(),
            detail: None,
            hint: None,
            explanation:
                "the password is in force, and the Secret was not written: it names the other login as before, unless \
                          somebody else has written it just now"
                    .to_owned(),
            help: "the next cycle looks at the Secret again, and rotates the password if it still has to".to_owned(),
            transient: false,
        }
    }

    /// For what was to be done in a database that could not be made.
    pub fn without_database(role: &str, database: &str) -> ServerError {
        ServerError {
            attempted: format!("bring {role:?} to its declared state in database {database:?}"),
            sqlstate: None,
            message: format!("there is no database {database:?}: it could not be created"),
            detail: None,
            hint: None,
            explanation: format!("what {role:?} is to hold there can only be granted once it exists"),
            help: "see what is said of that database; the next cycle tries again".to_owned(),
            transient: false,
        }
    }

    /// For what is not granted on a table while its row-level security could not be brought about.
    pub fn without_row_security(role: &str, table: &TableName) -> ServerError {
        ServerError {
            attempted: format!("grant {role:?} what it is to hold on {table}"),
            sqlstate: None,
            message: "nothing was granted to it in this database".to_owned(),
            detail: None,
            hint: None,
            explanation: format!(
                "the row-level security of {table} is not as declared yet: {role:?} might see other rows than it should"
            ),
            help: "see what is said of that table; the next cycle tries again".to_owned(),
            transient: false,
        }
    }

    /// Explains a failure of the PostgreSQL client.
    pub fn new(error: &tokio_postgres::Error, attempt: &Attempt<'_>) -> ServerError {
        let transient = retry::is_transient(error);
        let Some(answer) = error.as_db_error() else {
            let mut message = error.to_string();
            if let Some(cause) = error.source() {
                message = format!("{message}: {cause}");
            }
            let (explanation, help) = explain_silence(transient);
            return ServerError {
                attempted: scrub(&attempt.to_string()),
                sqlstate: None,
                message: scrub(&message),
                detail: None,
                hint: None,
                explanation,
                help,
                transient,
            };
        };
        ServerError::from_answer(answer, attempt, transient)
    }

    fn from_answer(answer: &DbError, attempt: &Attempt<'_>, transient: bool) -> ServerError {
        let concurrent =
            retry::is_concurrent_update(answer.code(), answer.routine().unwrap_or_default(), answer.message());
        let setting = ["set-setting", "reset-setting"].contains(&attempt.action) && !concurrent;
        let about_setting =
            if setting { explain_setting(answer.code(), answer.message(), attempt.server_version) } else { None };
        let about_database =
            (attempt.action.starts_with("create-database") && answer.code().code() == "42501").then(|| {
                owned(
                    "the controller's own role may not create databases",
                    "as a superuser: ALTER ROLE controller CREATEDB; or create it by hand",
                )
            });
        let (explanation, help) = about_setting
            .or(about_database)
            .unwrap_or_else(|| explain(answer.code(), answer.message(), concurrent, attempt.server_version));
        ServerError {
            attempted: scrub(&attempt.to_string()),
            sqlstate: Some(answer.code().code().to_owned()),
            message: scrub(answer.message()),
            detail: answer.detail().map(scrub),
            hint: answer.hint().map(scrub),
            explanation,
            help,
            transient,
        }
    }
}

/// `cannot create role (role alice): why; PostgreSQL says "…" [42501]; what to do`.
impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.attempted, self.explanation)?;
        match &self.sqlstate {
            Some(code) => write!(f, "; PostgreSQL says \"{}\" [{code}]", self.message)?,
            None => write!(f, " ({})", self.message)?,
        }
        if let Some(detail) = &self.detail {
            write!(f, " ({})", detail.replace('\n', "; "))?;
        }
        write!(f, "; {}", self.help)
    }
}

impl Error for ServerError {}

fn explain_silence(transient: bool) -> (String, String) {
    if transient {
        (
            "the connection to the server was lost, and whatever was not committed is rolled back".to_owned(),
            "it is tried again on a new connection; if it goes on, look at the server's log and the network".to_owned(),
        )
    } else {
        (
            "the server's answer was not what was expected".to_owned(),
            "check that it is PostgreSQL 14 or later and that no proxy alters the answers; then report this as a bug"
                .to_owned(),
        )
    }
}

/// Why, and what to do, by SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
/// The message decides only where one code has two meanings; it may be in another language, and then
/// the more general explanation is given.
pub(super) fn explain(state: &SqlState, message: &str, concurrent: bool, server_version: u32) -> (String, String) {
    if concurrent {
        return owned(
            "somebody else changed the same role or object at the same moment",
            "it is tried again; if it goes on, find out who else manages roles on this server",
        );
    }
    match state.code() {
        "42501" => explain_denied(message, server_version),
        "2BP01" => owned(
            "objects or privileges, maybe in another database of the server, still depend on the role",
            "see which in the detail; reassign or drop them (REASSIGN OWNED, DROP OWNED in that database), or set \
             REASSIGN_OWNED_TO to a role that may own them",
        ),
        "42710" | "42P04" => owned(
            "something of that name exists already; it was probably made while the plan was being computed",
            "the next cycle reads the server again and adopts what it finds",
        ),
        "42704" => owned(
            "a role or object that the statement names does not exist (any more)",
            "check the spelling in users.yaml; if it was removed by hand, the next cycle makes it again",
        ),
        "3D000" => owned(
            "the database does not exist",
            "create it, or correct `database` in users.yaml (or DB_NAME, if it is the controller's own)",
        ),
        "3F000" => owned("the schema does not exist", "create it, or correct its name in users.yaml"),
        "42P01" | "42883" | "42703" => owned(
            "the table, column or function does not exist in that database",
            "create it first, or correct its name (and argument types) in users.yaml",
        ),
        "55006" => owned(
            "the object is in use by a session",
            "it is tried again in the next cycle; end the session with pg_terminate_backend if it cannot wait",
        ),
        "55P03" => owned(
            "another session held a lock for longer than the lock timeout",
            "it is tried again; pg_stat_activity and pg_blocking_pids() tell who holds it",
        ),
        "40001" | "40P01" => owned(
            "it collided with another transaction, and PostgreSQL chose to let that one win",
            "it is tried again; if it goes on, find out who else changes roles on this server",
        ),
        "57014" => owned(
            "the statement was cancelled, by an administrator or by a timeout",
            "run it again; look for statement_timeout on the controller's role and database",
        ),
        "57P01" | "57P02" | "57P03" => owned(
            "the server is shutting down, restarting or recovering",
            "it is tried again; if it goes on, look at the server's log",
        ),
        "57P04" => owned("the database was dropped meanwhile", "create it again, or take it out of users.yaml"),
        "25006" => owned(
            "the session may only read: the server is a standby, or default_transaction_read_only is on",
            "point DB_HOST at the primary; on a managed server that has run out of storage, give it more",
        ),
        "25P03" => owned(
            "the transaction was idle for too long and the server ended it",
            "it is tried again; raise idle_in_transaction_session_timeout if the machine is just slow",
        ),
        "53300" => owned(
            "the server, the database or the role has no connection left",
            "it is tried again; raise max_connections or the CONNECTION LIMIT, or lower DB_POOL_MAX_CONN",
        ),
        "53100" => owned("the server's disk is full", "free or add space; it is tried again"),
        "53200" => owned(
            "the server ran out of memory, or of room in its lock table",
            "raise max_locks_per_transaction (or memory), or make the change in smaller parts; it is tried again",
        ),
        "54000" | "54001" | "54011" | "54023" => explain_limit(message),
        "0LP01" => owned(
            "the membership or grant is not possible: it would make a role a member of itself, in a circle",
            "take one of the memberships out of users.yaml; the message names the two roles",
        ),
        "0P000" => owned(
            "the role cannot be granted or used like this",
            "check the name in users.yaml: it must be a role, no keyword such as PUBLIC or CURRENT_USER",
        ),
        "42939" | "42602" => owned(
            "the name is reserved or no valid name (roles beginning with pg_ belong to PostgreSQL)",
            "choose another name in users.yaml",
        ),
        "42622" => owned("the name is longer than 63 bytes", "choose a shorter one in users.yaml"),
        "22023" | "22P02" | "22007" | "22008" => owned(
            "the server does not accept a value",
            "correct it in users.yaml; the message names the parameter or the value",
        ),
        "42601" => owned(
            "the server does not understand the statement",
            "check that it is PostgreSQL 14 or later; then report this as a bug",
        ),
        "0A000" => owned(
            "this server (its version, or its provider) does not support it",
            "leave it out of users.yaml, or use a server that does",
        ),
        "28P01" => owned(
            "the server does not accept the password (a password past its VALID UNTIL counts as wrong)",
            "correct DB_PASS, or set the password anew as a superuser",
        ),
        "28000" => owned(
            "the server does not let this role in",
            "the message says why: pg_hba.conf must have a line for this user, database and address (with TLS or \
             without), and the role must exist and have LOGIN",
        ),
        code => match code.get(..2) {
            Some("08") => owned(
                "the connection to the server was lost or refused",
                "it is tried again on a new connection; if it goes on, look at the network and the server's log",
            ),
            Some("28") => owned("the server does not let this role in", "check DB_USER, DB_PASS and pg_hba.conf"),
            Some("53") => owned("the server is short of a resource", "it is tried again; the message says of what"),
            Some("54") => explain_limit(message),
            Some("58") => owned(
                "the server had trouble with its own files or operating system",
                "look at the server's log and its disks; users.yaml is not the cause",
            ),
            Some("XX") => owned(
                "the server ran into an internal error",
                "look at the server's log; if its data is sound, report it to the PostgreSQL project or the provider",
            ),
            _ => owned(
                "PostgreSQL refused it",
                "the message says why; if users.yaml cannot be the cause, report this as a bug",
            ),
        },
    }
}

fn explain_denied(message: &str, server_version: u32) -> (String, String) {
    let superuser = ["SUPERUSER", "superuser", "REPLICATION", "replication", "BYPASSRLS", "bypassrls"]
        .iter()
        .any(|word| message.contains(word));
    if superuser {
        return owned(
            "the controller's own role is not powerful enough for this attribute",
            "SUPERUSER, REPLICATION and BYPASSRLS can be given only by a superuser (on 16 and later the last two also \
             by a CREATEROLE role that has them itself); run as one, or take the attribute out of users.yaml",
        );
    }
    if ["database", "table", "schema", "sequence", "function", "relation"].iter().any(|kind| message.contains(kind)) {
        return owned(
            "the controller's own role may not do this on the object",
            "make it the object's owner or a member of that role, or give it the privilege WITH GRANT OPTION",
        );
    }
    if server_version >= 160_000 {
        owned(
            "the controller's own role may not do this to the role",
            "it needs CREATEROLE and, since PostgreSQL 16, ADMIN OPTION on each role that it alters, grants or drops; \
             as a superuser: ALTER ROLE controller CREATEROLE; GRANT role TO controller WITH ADMIN OPTION",
        )
    } else {
        owned(
            "the controller's own role may not do this",
            "it needs CREATEROLE (as a superuser: ALTER ROLE controller CREATEROLE), and for roles that are \
             superusers it must be one itself",
        )
    }
}

/// What a code means where a role was to be given a setting, if it means something else there.
fn explain_setting(state: &SqlState, message: &str, server_version: u32) -> Option<(String, String)> {
    Some(match state.code() {
        "42704" | "42602" => owned(
            "this server has no parameter of that name",
            "correct it in users.yaml, or take it out; not every version has every parameter, and the name of one that \
             an application or an extension made up needs a dot, such as app.tenant",
        ),
        "22023" | "22P02" => {
            owned("the parameter does not take this value", "correct it in users.yaml; the message names the parameter")
        }
        "55P02" => owned(
            "the parameter is one of the whole server, and no role can have its own",
            "take it out of users.yaml; set it in postgresql.conf, or with ALTER SYSTEM",
        ),
        // The words around it are translated, this one hardly.
        "42501" if message.to_lowercase().contains("param") => {
            let grant = if server_version >= 150_000 {
                "let one run: GRANT SET ON PARAMETER … TO the controller's role; or "
            } else {
                ""
            };
            let help = format!("{grant}run as a superuser, or take the parameter out of users.yaml");
            ("only a superuser may set this parameter, or somebody whom one has allowed to".to_owned(), help)
        }
        _ => return None,
    })
}

fn explain_limit(message: &str) -> (String, String) {
    if message.contains("row is too big") {
        return owned(
            "too many roles hold a privilege on this one object: PostgreSQL keeps them all in one row of 8 kB",
            "give the privilege to a group role, and make the users its members (`roles:` in users.yaml)",
        );
    }
    owned("a limit of PostgreSQL is exceeded", "ask for less at once; the message says of what")
}

fn owned(explanation: &str, help: &str) -> (String, String) {
    (explanation.to_owned(), help.to_owned())
}

/// The text without anything that could be a password or a verifier. Errs on the side of taking out
/// too much.
pub fn scrub(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &lower[at..];
        let secret = if rest.starts_with("scram-sha-256$") {
            Some((0, rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=:$-".contains(byte)).count()))
        } else if let Some(rest) = rest.strip_prefix("md5") {
            let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
            (digits >= 32).then_some((0, "md5".len() + digits))
        } else if let Some(rest) = rest.strip_prefix("password") {
            after_password(rest).map(|(lead, length)| ("password".len() + lead, length))
        } else {
            None
        };
        match secret {
            Some((keep, length)) => {
                clean.push_str(&text[at..at + keep]);
                clean.push_str(MARK);
                at += keep + length;
            }
            None => {
                clean.push(letter);
                at += letter.len_utf8();
            }
        }
    }
    clean
}

/// What follows the word PASSWORD: how far to the secret, and how long it is. A secret is a string in
/// quotes or dollars, or whatever comes after an equals sign.
fn after_password(rest: &str) -> Option<(usize, usize)> {
    let space = |text: &str| text.len() - text.trim_start().len();
    let mut lead = space(rest);
    let assigned = rest[lead..].starts_with('=');
    if assigned {
        lead += 1;
        lead += space(&rest[lead..]);
    }
    let value = &rest[lead..];
    for prefix in ["'", "e'", "n'", "b'", "x'", "u&'"] {
        if let Some(body) = value.strip_prefix(prefix) {
            return Some((lead, prefix.len() + quoted_length(body)));
        }
    }
    if let Some(tag_end) = value.strip_prefix('$').and_then(|body| body.find('$')) {
        let tag = &value[..tag_end + 2];
        let body = &value[tag.len()..];
        return Some((lead, tag.len() + body.find(tag).map_or(body.len(), |end| end + tag.len())));
    }
    let length = value.find(char::is_whitespace).unwrap_or(value.len());
    (assigned && length > 0).then_some((lead, length))
}

/// Bytes up to and including the closing quote; all of them if there is none. A backslash takes the
/// next byte along, as in `E'…'`; in a plain literal that may take out too much, never too little.
fn quoted_length(body: &str) -> usize {
    let bytes = body.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$U3RvcmVkS2V5+/=:U2VydmVyS2V5+/=";

    #[test]
    fn nothing_that_could_be_a_secret_stays_in_a_text() {
        let md5 = format!("md5{}", "0123456789abcdef".repeat(2));
        for (dirty, clean) in [
            (format!("invalid verifier {VERIFIER}, sorry").as_str(), "invalid verifier <redacted>, sorry"),
            (format!("is {md5}.").as_str(), "is <redacted>."),
            ("ALTER ROLE a PASSWORD 'hunter2' LOGIN", "ALTER ROLE a PASSWORD <redacted> LOGIN"),
            (r"Password  E'it\'s ''me''' x", "Password  <redacted> x"),
            ("ENCRYPTED PASSWORD 'unterminated", "ENCRYPTED PASSWORD <redacted>"),
            (r"PASSWORD 'ends in \", "PASSWORD <redacted>"),
            ("PASSWORD $q$a$$b$q$ x", "PASSWORD <redacted> x"),
            ("host=a password=hunter2 user=b", "host=a password=<redacted> user=b"),
            ("password = 'a b' é", "password = <redacted> é"),
            ("PASSWORD 'grüße' ü", "PASSWORD <redacted> ü"),
            (r"PASSWORD E'\ü", "PASSWORD <redacted>"),
        ] {
            assert_eq!(scrub(dirty), clean);
        }
    }

    #[test]
    fn a_harmless_text_stays_as_it_is() {
        for text in [
            r#"password authentication failed for user "alice""#,
            r#"role "md5user" does not exist"#,
            "Größe 8 kB, PASSWORD NULL",
            "",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_scrubbed(before in ".*", password in "[^']*", after in ".*") {
            let clean = scrub(&format!("{before} PASSWORD '{password}"));
            proptest::prop_assert!(clean.contains(MARK));
            scrub(&after);
        }
    }

    fn why(code: &str, message: &str, version: u32) -> String {
        let (explanation, help) = explain(&SqlState::from_code(code), message, false, version);
        format!("{explanation}; {help}")
    }

    #[test]
    fn a_missing_right_is_explained_by_the_servers_version() {
        assert!(why("42501", "permission denied to alter role", 160_004).contains("ADMIN OPTION on each role"));
        assert!(!why("42501", "permission denied to create role", 150_018).contains("ADMIN OPTION"));
        assert!(why("42501", "must be superuser to create superusers", 150_018).contains("only by a superuser"));
        assert!(why("42501", "permission denied for database myapp", 180_000).contains("WITH GRANT OPTION"));
    }

    #[test]
    fn a_setting_that_is_refused_is_explained_as_one() {
        let why = |code: &str, message: &str, version| {
            explain_setting(&SqlState::from_code(code), message, version).map(|(why, help)| format!("{why}; {help}"))
        };
        assert!(why("42704", "", 180_000).unwrap().contains("no parameter of that name"));
        assert!(why("22023", "", 180_000).unwrap().contains("does not take this value"));
        assert!(why("55P02", "", 180_000).unwrap().contains("whole server"));
        let denied = "permission denied to set parameter \"log_statement\"";
        assert!(why("42501", denied, 180_000).unwrap().contains("GRANT SET ON PARAMETER"));
        assert!(!why("42501", denied, 140_000).unwrap().contains("GRANT SET"));
        assert_eq!(why("42501", "permission denied to alter role", 180_000), None);
    }

    #[test]
    fn a_bloated_privilege_list_points_to_a_group_role() {
        assert!(why("54000", "row is too big: size 32760, maximum size 8160", 0).contains("group role"));
        assert!(!why("54001", "stack depth limit exceeded", 0).contains("group role"));
    }

    #[test]
    fn every_expected_refusal_has_its_own_explanation() {
        let general = why("P0001", "", 0);
        for code in [
            "2BP01", "42710", "42704", "3D000", "55006", "55P03", "40001", "40P01", "57014", "57P01", "25006", "53300",
            "53100", "53200", "54000", "0LP01", "22023", "42601", "0A000", "28P01", "28000", "08006", "58030", "XX000",
        ] {
            assert_ne!(why(code, "", 0), general, "{code}");
        }
    }

    #[test]
    fn two_writers_of_one_role_are_told_so() {
        let (explanation, _) = explain(&SqlState::INTERNAL_ERROR, "tuple concurrently updated", true, 0);
        assert!(explanation.contains("at the same moment"), "{explanation}");
    }

    #[test]
    fn an_error_says_what_was_tried_why_it_failed_and_what_to_do() {
        let error = ServerError {
            attempted: Attempt { action: "create role", role: Some("alice"), server_version: 0 }.to_string(),
            sqlstate: Some("42501".to_owned()),
            message: "permission denied to create role".to_owned(),
            detail: None,
            hint: None,
            explanation: "it may not".to_owned(),
            help: "let it".to_owned(),
            transient: false,
        };
        assert_eq!(
            error.to_string(),
            "cannot create role (role alice): it may not; PostgreSQL says \"permission denied to create role\" \
             [42501]; let it"
        );
    }
}
