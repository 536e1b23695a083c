//! SCRAM-SHA-256 verifiers: making one from a password, and telling whether a stored one fits. The
//! password is prepared exactly as PostgreSQL's server and libpq prepare it, since whoever logs in
//! must arrive at the same bytes. Nothing here talks to a server or prints a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::secret::Password;
use crate::sql::quote;

/// PostgreSQL's default for `scram_iterations`, and what its servers before 16 always use.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// A stored verifier that asks for more iterations than this is not recomputed: whoever may set
/// his own password could otherwise keep this process busy for minutes.
const MOST_ITERATIONS: u32 = 1_000_000;

/// Bytes of salt, as PostgreSQL's `SCRAM_DEFAULT_SALT_LEN`.
const SALT_LENGTH: usize = 16;

const PREFIX: &str = "SCRAM-SHA-256$";

/// Why a text cannot be anyone's password. There is no upper limit on its length: the verifier is
/// of one size, and PostgreSQL dropped its own limit of 1,024 bytes in version 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// PostgreSQL would answer with a notice and remove the password.
    #[error("the password is empty; PostgreSQL takes that for no password at all, so put one into the Secret")]
    Empty,
    /// No client could send it.
    #[error("the password holds a NUL byte, which no client can send; put another one into the Secret")]
    Nul,
    /// The operating system gives no random numbers for the salt.
    #[error("this system gives no random numbers for the salt of a password")]
    NoRandomness,
}

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`: what PostgreSQL stores in place of a
/// password. As secret as the password is (it can be attacked offline); wiped when dropped.
#[derive(Clone)]
pub struct Verifier(Zeroizing<String>);

impl Verifier {
    /// As a quoted SQL literal, for `PASSWORD …`.
    pub fn as_sql_literal(&self) -> Zeroizing<String> {
        Zeroizing::new(quote::literal(&self.0))
    }

    /// The text itself, for a statement's parameter.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// Is the stored verifier that of this password?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Yes.
    Same,
    /// No, or it is none that should stay: MD5 (broken, and gone from PostgreSQL after 18) whether or
    /// not it fits, an unknown format, or one that asks for absurdly many iterations. To be replaced.
    Different,
    /// The text can be no password (see [`PasswordError`]), so there is nothing to compare.
    Unknown,
}

/// Makes a verifier with a fresh random salt.
///
/// # Errors
///
/// If the text can be no password, or the system has no random numbers.
pub fn verifier(password: &Password, iterations: NonZeroU32) -> Result<Verifier, PasswordError> {
    let mut salt = [0; SALT_LENGTH];
    SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::NoRandomness)?;
    verifier_with_salt(password, iterations, &salt)
}

fn verifier_with_salt(password: &Password, iterations: NonZeroU32, salt: &[u8]) -> Result<Verifier, PasswordError> {
    let text = acceptable(password)?;
    let keys = Keys::derive(&prepare(text), salt, iterations);
    Ok(Verifier(Zeroizing::new(format!(
        "{PREFIX}{iterations}:{}${}:{}",
        BASE64.encode(salt),
        BASE64.encode(keys.stored.as_ref()),
        BASE64.encode(keys.server.as_ref())
    ))))
}

/// Compares a password with what `pg_authid.rolpassword` holds by deriving the keys again with the
/// stored salt and iterations.
pub fn matches(password: &Password, stored: &str) -> Check {
    let Ok(text) = acceptable(password) else {
        return Check::Unknown;
    };
    let Some(stored) = Stored::parse(stored) else {
        return Check::Different;
    };
    if stored.iterations.get() > MOST_ITERATIONS {
        return Check::Different;
    }
    let keys = Keys::derive(&prepare(text), &stored.salt, stored.iterations);
    let same =
        same_bytes(keys.stored.as_ref(), &stored.stored_key) & same_bytes(keys.server.as_ref(), &stored.server_key);
    if same { Check::Same } else { Check::Different }
}

/// A verifier for each name, computed on all processors. Blocks for about a millisecond per
/// password and processor: not for an async thread.
pub fn verifiers(passwords: Vec<(String, Password)>) -> BTreeMap<String, Result<Verifier, PasswordError>> {
    on_all_processors(&passwords, |(name, password)| (name.clone(), verifier(password, ITERATIONS)))
}

/// [`matches`] for each `(name, password, stored verifier)`, computed on all processors. Blocks like
/// [`verifiers`].
pub fn check_all(items: Vec<(String, Password, Zeroizing<String>)>) -> BTreeMap<String, Check> {
    on_all_processors(&items, |(name, password, stored)| (name.clone(), matches(password, stored)))
}

fn on_all_processors<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> (String, T) + Sync) -> BTreeMap<String, T> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..processors.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (name, result) = work(item);
                    // A poisoned lock means that another thread panicked; the scope passes that on.
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, result);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn acceptable(password: &Password) -> Result<&str, PasswordError> {
    match password.reveal() {
        "" => Err(PasswordError::Empty),
        text if text.contains('\0') => Err(PasswordError::Nul),
        text => Ok(text),
    }
}

/// SASLprep (RFC 4013) as PostgreSQL does it (`pg_saslprep`, `src/common/saslprep.c`): the prepared
/// text, or, where it holds what SASLprep prohibits, the text as it is.
///
/// `stringprep::saslprep` follows the RFC, which looks for prohibited characters after the
/// normalization; PostgreSQL looks before it. So `x` followed by U+1F100 (unassigned in Unicode 3.2,
/// normalized to "0.") or by U+0340 (prohibited, normalized to U+0300) must stay as it is here.
fn prepare(text: &str) -> Zeroizing<String> {
    let raw = || Zeroizing::new(text.to_owned());
    if text.is_ascii() {
        return raw();
    }
    let mapped: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .map(|letter| if tables::non_ascii_space_character(letter) { ' ' } else { letter })
            .filter(|letter| !tables::commonly_mapped_to_nothing(*letter))
            .collect(),
    );
    let refused = mapped.is_empty() || mapped.chars().any(is_prohibited) || is_prohibited_bidirectional(&mapped);
    if refused { raw() } else { Zeroizing::new(mapped.nfkc().collect()) }
}

/// RFC 4013, 2.3 (tables C.1.2 to C.9 of RFC 3454) and 2.5 (table A.1).
fn is_prohibited(letter: char) -> bool {
    tables::non_ascii_space_character(letter)
        || tables::ascii_control_character(letter)
        || tables::non_ascii_control_character(letter)
        || tables::private_use(letter)
        || tables::non_character_code_point(letter)
        || tables::inappropriate_for_plain_text(letter)
        || tables::inappropriate_for_canonical_representation(letter)
        || tables::change_display_properties_or_deprecated(letter)
        || tables::tagging_character(letter)
        || tables::unassigned_code_point(letter)
}

/// RFC 3454, 6: right-to-left text holds no left-to-right letter, and begins and ends with a
/// right-to-left one.
fn is_prohibited_bidirectional(text: &str) -> bool {
    text.contains(tables::bidi_r_or_al)
        && (text.contains(is_left_to_right)
            || !text.starts_with(tables::bidi_r_or_al)
            || !text.ends_with(tables::bidi_r_or_al))
}

/// Table D.2 of RFC 3454, which is that of Unicode 3.2. `stringprep` asks a newer Unicode, where some
/// letters have changed sides: these, found by comparing every one with what a server makes of it.
fn is_left_to_right(letter: char) -> bool {
    match letter {
        '\u{cbf}' | '\u{cc6}' | '\u{1734}' | '\u{2132}' | '\u{2800}'..='\u{28ff}' | '\u{302e}' | '\u{302f}' => false,
        '\u{17b4}' | '\u{17b5}' | '\u{1885}' | '\u{1886}' => true,
        // The mathematical nabla and partial differential, in five styles.
        '\u{1d6c1}' | '\u{1d6db}' | '\u{1d6fb}' | '\u{1d715}' | '\u{1d735}' | '\u{1d74f}' | '\u{1d76f}'
        | '\u{1d789}' | '\u{1d7a9}' | '\u{1d7c3}' => true,
        _ => tables::bidi_l(letter),
    }
}

/// What RFC 5802 derives from a password, as far as a server stores it.
struct Keys {
    stored: digest::Digest,
    server: hmac::Tag,
}

impl Keys {
    fn derive(prepared: &str, salt: &[u8], iterations: NonZeroU32) -> Keys {
        let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut *salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &*salted);
        let client = hmac::sign(&salted, b"Client Key");
        Keys { stored: digest::digest(&digest::SHA256, client.as_ref()), server: hmac::sign(&salted, b"Server Key") }
    }
}

/// A stored SCRAM verifier, taken apart.
struct Stored {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Stored {
    /// The same form that PostgreSQL's `parse_scram_secret` accepts.
    fn parse(text: &str) -> Option<Stored> {
        let (parameters, keys) = text.strip_prefix(PREFIX)?.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| {
            let key = BASE64.decode(text).ok()?;
            (key.len() == digest::SHA256_OUTPUT_LEN).then_some(key)
        };
        Some(Stored {
            iterations: iterations.parse().ok()?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }
}

/// Takes as long for a difference in the first byte as for one in the last.
fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |difference, (l, r)| difference | (l ^ r)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    /// Made by PostgreSQL 15.18 with `ALTER ROLE … PASSWORD …`: password, salt, StoredKey, ServerKey.
    const FROM_POSTGRESQL: [(&str, &str, &str, &str); 9] = [
        (
            "correct horse",
            "XjWa8uZMhiYLY5bDKVdJJg==",
            "3WarPCr/W7CpOE12+djSHV8h1hokWheXIwEmJ7wOWx4=",
            "XuBvg/s8VpsqJQ2+WYY7Y+tNZVHk2sTdhjMA2j1ypcA=",
        ),
        // A soft hyphen is dropped.
        (
            "I\u{ad}X",
            "guGqM6uYIHyouRhIobiMFA==",
            "FwPwI9LwnzqaTJ2BNBXcTNcxql+umqkhGWwi0J5pWh0=",
            "QeTk41etIgc7y+AN8G/0yyUp2bwb/MnqLQiggHuay+k=",
        ),
        // A no-break space is a space.
        (
            "a\u{a0}b",
            "FSV0MY9c6QzpFZvbLnOUCQ==",
            "lw3blLXjwppeYSCFuGWCjeUUwph8cmFAEg52IKHMbcE=",
            "8FAhN7fawpMcdUWtpQl/h+qr1JkAFGQvbdMbtMl9N5c=",
        ),
        // A ligature is its letters.
        (
            "\u{fb01}ancee",
            "lJnYzGDRp/UDI23d9dslQQ==",
            "0gQ59MbZoeySIkAlVP7g5u1KJAwTxDiud2h/MPW9UUo=",
            "t098R4KVcJHwUk9fa5L2Ugmf0STlNRvlqolhBqHlZH4=",
        ),
        // Unassigned in Unicode 3.2: stays, though its normal form "0." is harmless.
        (
            "x\u{1f100}",
            "EgsxBrnjrfwZ0W902WjrmQ==",
            "yUNRwXfuaGcpUxNw3arrHLSgNq01NIWDRlquh9kgOnY=",
            "JaepAWJxi3bU82qE/8U653uAf+6v+DCock9PDGs3zC8=",
        ),
        // Deprecated: stays, though its normal form is allowed.
        (
            "x\u{340}",
            "webDQAydB19hW89CRAZ7CQ==",
            "EjEL2B7wJ1lxTjvAHvrBoi+llc0N7k3q3l3VG+wPvv8=",
            "XdmyxxFD+jIa6HbSOM0U/CP2KFbe5fCctZ8RCToZAoY=",
        ),
        // Nothing but a soft hyphen: nothing would be left, so it stays.
        (
            "\u{ad}",
            "+sIYyLzPDq9BiLki4oxdbg==",
            "v/AakdgV5F5XNhtaTlJaO+P+lPnshzdpKSna2vAqiNg=",
            "/+21QbmXCaLRrTX6gCvDcNh7hl/Km7iSMCoBYw1cMQk=",
        ),
        // Right-to-left with a digit last: stays.
        (
            "\u{627}1",
            "vscj7oJzBrIQLgaR4j7EGg==",
            "LU6JITjr7q7VHRBtBdgxpJ9R+amD5g6wUDjG1PI2lLo=",
            "axU0xDOMKzYkQyhXYYmxQEKdBcaBKHRX935se/9lGAA=",
        ),
        // A control character: stays.
        (
            "\u{7}\u{a0}",
            "0FqF31FLZIg2GP5UICYcWw==",
            "smj6svWch8eHMgJYWl8sKUZY4oIttCBE/BPt2+XAQEA=",
            "FCihSBg+WHhE6a2kZCKVwA9WDeGEO5fsDX7T/kR5o2s=",
        ),
    ];

    fn as_stored((_, salt, stored_key, server_key): (&str, &str, &str, &str)) -> String {
        format!("SCRAM-SHA-256$4096:{salt}${stored_key}:{server_key}")
    }

    #[test]
    fn a_verifier_made_by_postgresql_fits_its_password_and_no_other() {
        for made in FROM_POSTGRESQL {
            let (text, stored) = (made.0, as_stored(made));
            assert_eq!(matches(&password(text), &stored), Check::Same, "{text:?}");
            assert_eq!(matches(&password(&format!("{text}x")), &stored), Check::Different, "{text:?}");
        }
    }

    #[test]
    fn the_same_salt_gives_the_very_text_that_postgresql_stores() {
        for made in FROM_POSTGRESQL {
            let salt = BASE64.decode(made.1).unwrap();
            let verifier = verifier_with_salt(&password(made.0), ITERATIONS, &salt).unwrap();
            assert_eq!(verifier.reveal(), as_stored(made), "{:?}", made.0);
        }
    }

    /// The examples of RFC 4013, section 3; the last two are refused there and stay as they are.
    #[test]
    fn saslprep_does_what_its_rfc_shows() {
        for (text, prepared) in [
            ("I\u{ad}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u{aa}", "a"),
            ("\u{2168}", "IX"),
            ("\u{7}", "\u{7}"),
            ("\u{627}\u{31}", "\u{627}\u{31}"),
        ] {
            assert_eq!(*prepare(text), prepared);
        }
    }

    #[test]
    fn letters_have_the_direction_that_they_had_in_unicode_3_2() {
        // Braille was neutral and may stand between Hebrew letters; U+17B5 was a left-to-right letter.
        assert_eq!(*prepare("\u{fb20}\u{2801}\u{fb20}"), "\u{5e2}\u{2801}\u{5e2}");
        assert_eq!(*prepare("\u{fb20}\u{17b5}\u{fb20}"), "\u{fb20}\u{17b5}\u{fb20}");
    }

    #[test]
    fn each_part_of_a_verifier_counts() {
        let (text, stored) = (FROM_POSTGRESQL[0].0, as_stored(FROM_POSTGRESQL[0]));
        for (right, wrong) in [("$4096:", "$4095:"), (":XjWa", ":YjWa"), ("$3War", "$4War"), (":XuBv", ":YuBv")] {
            assert!(stored.contains(right), "{right}");
            assert_eq!(matches(&password(text), &stored.replace(right, wrong)), Check::Different, "{right}");
        }
    }

    #[test]
    fn md5_is_replaced_even_where_the_password_is_right() {
        // As PostgreSQL stores "correct horse" for a role named fix.
        assert_eq!(matches(&password("correct horse"), "md5e32158d84344123750c938660a8a2bc5"), Check::Different);
    }

    #[test]
    fn what_is_no_verifier_fits_no_password() {
        for stored in ["", "x", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096:AA==$AA==:AA==", "SCRAM-SHA-256$0:AA==$"] {
            assert_eq!(matches(&password("x"), stored), Check::Different, "{stored}");
        }
    }

    #[test]
    fn a_verifier_with_two_billion_iterations_costs_no_time() {
        let stored = as_stored(FROM_POSTGRESQL[0]).replace("$4096:", "$2000000000:");
        let begun = std::time::Instant::now();
        assert_eq!(matches(&password("correct horse"), &stored), Check::Different);
        assert!(begun.elapsed().as_secs() < 5);
    }

    #[test]
    fn what_can_be_no_password_is_refused_and_compared_with_nothing() {
        for (text, error) in [("", PasswordError::Empty), ("a\0b", PasswordError::Nul)] {
            assert_eq!(verifier(&password(text), ONE).unwrap_err(), error);
            assert_eq!(matches(&password(text), &as_stored(FROM_POSTGRESQL[0])), Check::Unknown);
        }
    }

    #[test]
    fn two_verifiers_of_one_password_differ_in_their_salt() {
        let password = password("correct horse");
        assert_ne!(verifier(&password, ONE).unwrap().reveal(), verifier(&password, ONE).unwrap().reveal());
    }

    #[test]
    fn a_verifier_does_not_print_itself() {
        assert_eq!(format!("{:?}", verifier(&password("correct horse"), ONE).unwrap()), "Verifier(…)");
    }

    #[test]
    fn a_verifier_is_a_plain_sql_literal() {
        let verifier = verifier(&password(r"it's \"), ONE).unwrap();
        assert_eq!(*verifier.as_sql_literal(), format!("'{}'", verifier.reveal()));
    }

    #[test]
    fn many_passwords_come_back_under_their_names() {
        let names: Vec<String> = (0..9).map(|n| format!("user{n}")).collect();
        let made = verifiers(names.iter().map(|name| (name.clone(), password(name))).collect());
        assert_eq!(made.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        let questions = made.iter().map(|(name, verifier)| {
            let owner = if name == "user3" { "somebody else" } else { name };
            (name.clone(), password(owner), Zeroizing::new(verifier.as_ref().unwrap().reveal().to_owned()))
        });
        for (name, check) in check_all(questions.collect()) {
            assert_eq!(check, if name == "user3" { Check::Different } else { Check::Same }, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_verifier_fits_its_password_only(
            text in "[^\0]{1,40}",
            other in "[^\0]{1,40}",
            iterations in 1_u32..9,
        ) {
            let made = verifier(&password(&text), NonZeroU32::new(iterations).unwrap()).unwrap();
            prop_assert_eq!(matches(&password(&text), made.reveal()), Check::Same);
            let expected = if prepare(&text) == prepare(&other) { Check::Same } else { Check::Different };
            prop_assert_eq!(matches(&password(&other), made.reveal()), expected);
        }

        #[test]
        fn any_stored_text_can_be_compared(stored in "(SCRAM-SHA-256\\$)?[0-9]{0,3}:?[A-Za-z0-9+/=:$]{0,80}") {
            matches(&password("x"), &stored);
        }
    }
}
