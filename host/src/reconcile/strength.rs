//! How easily a password is guessed, so that policies may judge it without ever seeing it. Estimated
//! once for each writing of a Secret, and remembered in memory only.

use std::collections::HashMap;

use crate::model::{Role, SecretState, Spec};
use crate::secret::{Password, SecretRef, Secrets};

/// Characters that are looked at: more only take time (which grows with the square of the length), and
/// a password is no weaker for what follows.
const LOOKED_AT: usize = 32;

/// For each Secret, its version and the estimate.
pub(super) type Strengths = HashMap<SecretRef, (String, u8)>;

/// Writes the strength of each password into its credential, and forgets what is no longer wanted.
pub(super) fn estimate_all(spec: &mut Spec, secrets: &Secrets, known: &mut Strengths) {
    let mut estimated = Strengths::new();
    for role in spec.roles.values_mut() {
        let words: Vec<String> = [role.name.clone()].into_iter().chain(role.databases().map(str::to_owned)).collect();
        let Role { credential: Some(credential), .. } = role else { continue };
        if credential.state != SecretState::Present {
            continue;
        }
        let reference = SecretRef { name: credential.secret.clone(), key: credential.key.clone() };
        let Some(secret) = secrets.get(&reference) else { continue };
        let strength = match known.get(&reference) {
            Some((version, strength)) if *version == secret.version => Some(*strength),
            _ => secret.password.as_ref().map(|password| estimate(password, &words)),
        };
        credential.strength = strength;
        if let Some(strength) = strength {
            estimated.insert(reference, (secret.version.clone(), strength));
        }
    }
    *known = estimated;
}

/// From 0 (guessed at once) to 4 (strong). `words` are known to whoever guesses.
fn estimate(password: &Password, words: &[String]) -> u8 {
    let text = password.reveal();
    let end = text.char_indices().nth(LOOKED_AT).map_or(text.len(), |(end, _)| end);
    let words: Vec<&str> =
        words.iter().map(String::as_str).chain(["postgres", "postgresql", "database", "rolewright"]).collect();
    zxcvbn::zxcvbn(&text[..end], &words).score().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::secret::Secret;

    fn strength(password: &str) -> u8 {
        estimate(&Password::new(password.to_owned()), &["alice".to_owned(), "orders".to_owned()])
    }

    #[test]
    fn what_anybody_would_try_is_weak_and_what_nobody_knows_is_strong() {
        for weak in ["", "password", "alice", "alice1", "orders2024", "postgres", "qwertz123"] {
            assert!(strength(weak) <= 1, "{weak}: {}", strength(weak));
        }
        for strong in ["fK9#mQ2$vL7pX4wZ", "correct horse battery staple", &"größe".repeat(1_000)[..20]] {
            assert!(strength(strong) >= 3, "{strong}: {}", strength(strong));
        }
    }

    #[test]
    fn a_long_password_is_looked_at_in_part_between_characters() {
        assert_eq!(strength(&"ä".repeat(10_000)), strength(&"ä".repeat(LOOKED_AT)));
    }

    #[test]
    fn an_estimate_is_kept_for_one_writing_of_a_secret_and_no_longer_than_it_is_wanted() {
        let document = crate::spec::Document::plain("users.yaml", "users: [{username: alice}]\n");
        let mut spec = crate::spec::parse(&document).unwrap().spec;
        let reference = SecretRef { name: "user-alice-secret".to_owned(), key: "password".to_owned() };
        let mut known = Strengths::new();
        let mut estimated = |version: &str, password: &str, known: &mut Strengths| {
            let secret = Secret {
                state: SecretState::Present,
                version: version.to_owned(),
                changed_at: None,
                labels: BTreeMap::new(),
                password: Some(Password::new(password.to_owned())),
                problem: None,
                held: None,
            };
            let credential = spec.roles.get_mut("alice").unwrap().credential.as_mut().unwrap();
            credential.state = SecretState::Present;
            estimate_all(&mut spec, &Secrets::from([(reference.clone(), secret)]), known);
            spec.roles["alice"].credential.as_ref().unwrap().strength
        };
        assert_eq!(estimated("1", "fK9#mQ2$vL7pX4wZ", &mut known), Some(4));
        // The same version: not looked at again.
        assert_eq!(estimated("1", "password", &mut known), Some(4));
        assert_eq!(estimated("2", "password", &mut known), Some(0));
        estimate_all(&mut Spec::default(), &Secrets::new(), &mut known);
        assert!(known.is_empty());
    }
}
