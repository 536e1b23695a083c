//! Generated passwords: what users.yaml asks for, what the Secret is to hold, and whether one has to be written. A
//! password is made, and a Secret written, elsewhere (`reconcile/generated.rs`, `source`); here it is only decided.
//!
//! ```text
//! wish ───┐
//! Secret ─┼──► Kept (and until when) │ Due (what is to be written, and why) │ Foreign (why it is left alone)
//! clock ──┘
//! ```

pub mod contents;

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use self::contents::Address;
use crate::model::SecretState;
use crate::secret::{Held, NewSecret, Password, Secret};

/// The label, and its value, that every Secret of ours carries.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "rolewright");
/// What our annotations begin with.
pub const ANNOTATIONS: &str = "rolewright.dev/";
/// The server that the password is for: DB_HOST:DB_PORT.
pub const SERVER: &str = "rolewright.dev/server";
/// The role that it is for.
pub const ROLE: &str = "rolewright.dev/role";
/// Which of the two logins the password is for, where there are two.
pub const LOGIN: &str = "rolewright.dev/login";
/// When the password was made.
pub const GENERATED_AT: &str = "rolewright.dev/generated-at";
/// When it will be replaced: for people, nobody reads it.
pub const NEXT_ROTATION: &str = "rolewright.dev/next-rotation";
/// The only key that a generated password can be under.
pub const PASSWORD_KEY: &str = "password";

/// The versions that credentials have whose Secrets are still to be written. They are no version of a written one, and
/// always the same, so that a plan has the same digest until it runs.
const NEW: &str = "generated";
const ROTATED: &str = "rotated";

/// A time that lies further ahead than clocks of one system differ is a mistake.
const CLOCKS_DIFFER: i64 = 24 * 60 * 60;

/// What users.yaml asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Generate {
    /// Seconds after which the password is replaced; `None`: it never is.
    pub rotate_every: Option<i64>,
    /// A second login that acts as the user. The Secret names one of the two, and at a rotation the other; the one before
    /// keeps its password until the next.
    pub alternate: Option<String>,
    /// The database that the Secret names; `None`: the controller's.
    pub database: Option<String>,
}

/// Values of a Secret by key.
pub type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Why a Secret is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is none, or none with a password in it.
    New,
    /// The password was made this many seconds ago.
    Rotation(i64),
    /// It names a second login that is declared no more.
    Gone,
    /// The password stays; something else in it is not as it should be.
    Repair,
}

/// A Secret that is to be written, as a whole.
#[derive(Clone)]
pub struct Due {
    /// Why.
    pub reason: Reason,
    /// The role that it names, and whose password it holds: the user, or its second login.
    pub login: String,
    /// The other of the two, which it has named until now. Its password stays in force, and so the new one comes into force
    /// first, and then into the Secret: at every moment the Secret holds one that the server takes.
    pub instead_of: Option<String>,
    /// The password in it.
    pub password: Password,
    /// What it is to hold. What others have put into it beside that stays.
    pub data: Data,
    /// Its annotations, as far as they are ours.
    pub annotations: BTreeMap<String, String>,
    /// The version of the one that it replaces; `None`: there must be none.
    pub over: Option<String>,
    /// When the password will be replaced, in Unix seconds.
    pub next: Option<i64>,
}

/// Without what is secret in it.
impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Due");
        shown.field("reason", &self.reason).field("login", &self.login).field("next", &self.next);
        shown.finish_non_exhaustive()
    }
}

/// What becomes of the Secret of a generated password.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It stays as it is.
    Kept {
        /// The role that it names.
        login: String,
        /// When its password will be replaced, in Unix seconds.
        next: Option<i64>,
    },
    /// It is to be written.
    Due(Box<Due>),
    /// It is not ours to write: why, and what to do.
    Foreign(String),
}

/// Who a password is for.
#[derive(Debug, Clone, Copy)]
pub struct For<'a> {
    /// The role.
    pub role: &'a str,
    /// What it was called before, if users.yaml says so.
    pub renamed_from: Option<&'a str>,
    /// What users.yaml asks for.
    pub wish: &'a Generate,
    /// Name of the Secret.
    pub secret: &'a str,
}

/// Decides about one Secret, as it was found. `now` in Unix seconds; `make` makes a password.
pub fn decide<E>(
    whose: For<'_>,
    found: &Secret,
    place: &Address,
    now: i64,
    make: impl FnOnce() -> Result<Password, E>,
) -> Result<Decision, E> {
    let held = match ours(whose, found, place) {
        Ok(held) => held,
        Err(why) => return Ok(Decision::Foreign(why)),
    };
    let login = held.map_or(Some(whose.role), |held| whose.login(held));
    let made_at = held.and_then(|held| made_at(held, now));
    let age = made_at.map(|made_at| now - made_at);
    let rotate_every = whose.wish.rotate_every;
    let is_old = age.zip(rotate_every).is_some_and(|(age, every)| age >= every);
    let (reason, login, password, made_at) = match (&found.password, login) {
        (None, login) => (Reason::New, login.unwrap_or(whose.role), make()?, now),
        (Some(_), None) => (Reason::Gone, whose.role, make()?, now),
        (Some(_), Some(login)) if is_old => {
            (Reason::Rotation(age.unwrap_or_default()), whose.after(login), make()?, now)
        }
        // Of a time that cannot be right nothing follows but that it is put right.
        (Some(password), Some(login)) => (Reason::Repair, login, password.clone(), made_at.unwrap_or(now)),
    };
    let before = whose.after(login);
    let instead_of = (matches!(reason, Reason::Rotation(_)) && before != login).then(|| before.to_owned());
    let login = login.to_owned();
    let next = rotate_every.map(|every| made_at.saturating_add(every));
    let database = whose.wish.database.as_deref().unwrap_or(&place.database);
    let data = contents::of(&login, &password, database, place);
    let mut annotations = BTreeMap::from([
        (SERVER.to_owned(), place.server.clone()),
        (ROLE.to_owned(), whose.role.to_owned()),
        (GENERATED_AT.to_owned(), moment(made_at)),
    ]);
    annotations.extend(next.map(|next| (NEXT_ROTATION.to_owned(), moment(next))));
    annotations.extend(whose.wish.alternate.as_ref().map(|_| (LOGIN.to_owned(), login.clone())));
    if let Some(held) = held.filter(|_| reason == Reason::Repair) {
        let same_data = data.iter().all(|(key, value)| held.data.get(key) == Some(value));
        let said = [SERVER, ROLE, LOGIN, GENERATED_AT, NEXT_ROTATION];
        if same_data && said.iter().all(|key| held.annotations.get(*key) == annotations.get(*key)) {
            return Ok(Decision::Kept { login, next });
        }
    }
    let over = held.map(|_| found.version.clone());
    Ok(Decision::Due(Box::new(Due { reason, login, instead_of, password, data, annotations, over, next })))
}

impl<'a> For<'a> {
    /// Which of its logins a Secret of ours names; `None`: one that it has no more.
    fn login(&self, held: &Held) -> Option<&'a str> {
        let alternate = self.wish.alternate.as_deref();
        match held.annotations.get(LOGIN).map(String::as_str) {
            None => Some(self.role),
            Some(name) if name == self.role || self.renamed_from == Some(name) => Some(self.role),
            Some(name) => alternate.filter(|alternate| *alternate == name),
        }
    }

    /// Whose turn it is after one of its logins.
    fn after(&self, login: &str) -> &'a str {
        self.wish.alternate.as_deref().filter(|alternate| *alternate != login).unwrap_or(self.role)
    }
}

/// What is held by the one that we have written; `None`: there is no Secret of that name.
fn ours<'a>(whose: For<'_>, found: &'a Secret, place: &Address) -> Result<Option<&'a Held>, String> {
    let name = whose.secret;
    let Some(held) = found.held.as_deref() else {
        let is_absent = found.state == SecretState::Missing && found.version.is_empty();
        return if is_absent {
            Ok(None)
        } else {
            Err(format!(
                "Secret {name:?} was not written by Rolewright, which overwrites no Secret of others: delete it, and one \
                 with a generated password takes its place; or take `generate` out, and what it holds is used"
            ))
        };
    };
    let said = |key: &str| held.annotations.get(key).map(String::as_str).unwrap_or_default();
    if said(SERVER) != place.server {
        return Err(format!(
            "Secret {name:?} holds the password for the server {:?}, and this one is {:?}: name another Secret; or, if that \
             is the same server, set its annotation {SERVER} to {:?}",
            said(SERVER),
            place.server,
            place.server
        ));
    }
    if ![Some(whose.role), whose.renamed_from].contains(&Some(said(ROLE))) {
        return Err(format!(
            "Secret {name:?} holds the password of {:?}: name another Secret, or delete this one if nobody uses it",
            said(ROLE)
        ));
    }
    Ok(Some(held))
}

/// When the password was made; `None` where that is not said, or cannot be.
fn made_at(held: &Held, now: i64) -> Option<i64> {
    let text = held.annotations.get(GENERATED_AT)?;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
    (at <= now.saturating_add(CLOCKS_DIFFER)).then_some(at)
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned())])
}

/// A time as people read it.
pub fn moment(seconds: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|moment| moment.format(&Rfc3339).ok());
    moment.unwrap_or_else(|| "the end of time".to_owned())
}

impl Due {
    /// The Secret as it will be, for a plan that is made before it is written. `found` is what is there now.
    pub fn foreseen(&self, found: &Secret) -> Secret {
        let version = match self.reason {
            Reason::New => NEW.to_owned(),
            Reason::Rotation(_) | Reason::Gone => format!("{ROTATED} {}", found.version),
            Reason::Repair => return found.clone(),
        };
        let labels = match found.labels.is_empty() {
            true => labels(),
            false => found.labels.clone(),
        };
        Secret {
            state: SecretState::Present,
            version,
            changed_at: None,
            labels,
            password: Some(self.password.clone()),
            problem: None,
            held: None,
        }
    }

    /// The Secret to be written under this name.
    pub fn into_secret(self, name: &str) -> NewSecret {
        NewSecret {
            name: name.to_owned(),
            labels: labels(),
            annotations: self.annotations,
            data: self.data,
            over: self.over,
        }
    }

    /// Whether the role gets another password with it.
    pub fn sets_password(&self) -> bool {
        self.reason != Reason::Repair
    }
}

#[cfg(test)]
mod tests;
