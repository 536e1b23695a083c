//! No secret comes out, anywhere: every password that a test makes is registered here, every
//! verifier that a server stores is learnt, and whatever the binary prints, writes or serves is
//! searched for all of them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;

/// Secret texts, each with what it is, which is all that a failure prints.
static SECRETS: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());

/// Shorter texts turn up by chance.
const SHORTEST: usize = 8;

fn register(text: &str, what: &'static str) {
    if text.len() >= SHORTEST {
        SECRETS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(text.to_owned(), what);
    }
}

/// A password, which must not come out as it is nor as a Secret's `data` has it.
pub fn register_password(password: &str) {
    register(password, "a password");
    register(&base64::engine::general_purpose::STANDARD.encode(password), "a password in base64");
}

/// A token, for a Kubernetes API server.
pub fn register_token(token: &str) {
    register(token, "a token");
}

/// A verifier as `pg_authid` stores it: neither the whole nor salt, stored key and server key.
pub fn register_verifier(verifier: &str) {
    register(verifier, "a verifier");
    for part in verifier.split(['$', ':']).filter(|part| part.len() >= 20) {
        register(part, "a part of a verifier");
    }
}

/// What leaked into a text, if anything did: what it is, never itself.
pub fn find(text: &str) -> Option<&'static str> {
    if text.contains("SCRAM-SHA-256$") {
        return Some("something like a SCRAM verifier");
    }
    if has_md5_verifier(text) {
        return Some("something like an md5 verifier");
    }
    let secrets = SECRETS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    secrets.iter().find(|(secret, _)| text.contains(secret.as_str())).map(|(_, what)| *what)
}

/// Fails when a secret is in the text that came out at `place`. The text itself is not shown.
pub fn assert_none(place: &str, text: &str) {
    if let Some(what) = find(text) {
        // Not a second panic while the first is on its way.
        assert!(std::thread::panicking(), "{what} came out in {place}");
    }
}

/// `md5` and 32 hexadecimal digits, the form of a verifier before SCRAM.
fn has_md5_verifier(text: &str) -> bool {
    text.match_indices("md5").any(|(start, _)| {
        let digits = text.as_bytes()[start + 3..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        digits >= 32
    })
}
