//! Generated passwords, in the course of a cycle. When Secrets are read, it is decided which of them are to be written,
//! and the plan is made as if they had been; `hand_out` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{CycleError, Observation, Planned, Reconciler, Verdict, observe};
use crate::generated::contents::{ALPHABET, LENGTH};
use crate::generated::{Decision, Due, For, Generate, Reason, decide, moment};
use crate::guard::powers;
use crate::model::{Finding, Mode, SecretState, Severity, Spec};
use crate::plan::Change;
use crate::secret::{Password, SecretRef, Secrets};

/// Why Secrets could not be written in this cycle.
pub(super) type Unwritten = BTreeMap<SecretRef, String>;

/// What is to be written, and what there is to say.
#[derive(Debug, Default)]
pub struct Generated {
    /// What users.yaml asks for, by role; for a second login the same as for the first.
    pub(super) wishes: BTreeMap<String, Generate>,
    /// By the role that gets the password.
    pub(super) due: BTreeMap<String, (SecretRef, Due)>,
    /// When the next password is to be replaced, in Unix seconds.
    pub(super) next: Option<i64>,
    findings: Vec<Finding>,
}

impl Generated {
    /// Whether a plan has to be made, whatever was seen to agree.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty() || !self.findings.is_empty()
    }

    /// Whether the role's password is made anew in each cycle, until the Secret names it.
    pub(super) fn is_switched_to(&self, role: &str) -> bool {
        self.due.get(role).is_some_and(|(_, due)| due.instead_of.is_some())
    }

    /// What is to be said of a plan with these steps.
    pub(super) fn findings<'a>(&self, changes: impl Iterator<Item = &'a Change>, spec: &Spec) -> Vec<Finding> {
        let set = with_new_passwords(changes);
        let told = self.due.iter().filter(|(role, (_, due))| !due.sets_password() || set.contains(role.as_str()));
        let said = told.filter_map(|(role, (reference, due))| {
            let path = &spec.roles.get(role)?.path;
            Some(Finding::new(Severity::Info, "generated-password", path, in_words(role, reference, due)))
        });
        said.chain(self.findings.iter().cloned()).collect()
    }
}

fn in_words(role: &str, reference: &SecretRef, due: &Due) -> String {
    let name = &reference.name;
    let what = match due.reason {
        Reason::New => format!("a password is generated for {role:?}, and written into Secret {name:?}"),
        Reason::Rotation(age) => format!(
            "the password of {:?} is {}, and is rotated: {}",
            due.instead_of.as_deref().unwrap_or(role),
            match age {
                0..7_200 => "1 hour old".to_owned(),
                7_200..172_800 => format!("{} hours old", age / 3_600),
                _ => format!("{} days old", age / 86_400),
            },
            match due.instead_of {
                Some(_) => format!(
                    "one for {role:?} is written into Secret {name:?}, and the one before can be used until the next rotation"
                ),
                None => format!("another one is written into Secret {name:?}"),
            }
        ),
        Reason::Gone => format!(
            "Secret {name:?} names a second login that is no longer declared: a password is generated for {role:?}, and \
             written into it"
        ),
        Reason::Repair => format!("Secret {name:?} is written anew with the same password for {role:?}"),
    };
    match due.next {
        Some(next) => format!("{what}; the next rotation is due at {}", moment(next)),
        None => what,
    }
}

/// Roles that get a password.
pub(super) fn with_new_passwords<'a>(changes: impl Iterator<Item = &'a Change>) -> BTreeSet<&'a str> {
    let set = changes.filter_map(|change| match change {
        Change::CreateRole(role) => Some(role.name.as_str()),
        Change::SetPassword(role) => Some(role.as_str()),
        _ => None,
    });
    set.collect()
}

impl Reconciler {
    /// Decides what is to be written, and puts it in the place of what was read.
    pub(super) fn foresee(&self, spec: &mut Spec, secrets: &mut Secrets) -> Result<Generated, CycleError> {
        let wishes = spec.generated.clone();
        let seconds = wishes.values().filter_map(|wish| Some((wish.alternate.clone()?, wish.clone())));
        let mut generated = Generated { wishes: seconds.chain(wishes.clone()).collect(), ..Generated::default() };
        let now = observe::now();
        for (role, wish) in &wishes {
            let Some(declared) = spec.roles.get(role) else { continue };
            let Some(credential) = &declared.credential else { continue };
            let reference = SecretRef { name: credential.secret.clone(), key: credential.key.clone() };
            let Some(found) = secrets.get_mut(&reference).filter(|_| declared.mode != Mode::Observe) else { continue };
            // What cannot be read may well be there.
            if found.state == SecretState::Unreadable && found.held.is_none() && found.version.is_empty() {
                continue;
            }
            let renamed_from = spec.renamed_from.get(role).map(String::as_str);
            let whose = For { role, renamed_from, wish, secret: &credential.secret };
            let due = match decide(whose, found, &self.settings.applications, now, make)? {
                Decision::Kept { login, next } => {
                    generated.next = generated.next.into_iter().chain(next).min();
                    now_for(spec, role, &login);
                    continue;
                }
                Decision::Foreign(why) => {
                    found.state = SecretState::Unreadable;
                    (found.password, found.problem) = (None, Some(why));
                    continue;
                }
                Decision::Due(due) => due,
            };
            let refused = self.unwritten().get(&reference).cloned();
            match (refused, due.reason) {
                (None, _) => {
                    generated.next = generated.next.into_iter().chain(due.next).min();
                    *found = due.foreseen(found);
                    now_for(spec, role, &due.login);
                    generated.due.insert(due.login.clone(), (reference, *due));
                }
                (Some(why), Reason::New | Reason::Gone) => {
                    found.state = SecretState::Missing;
                    (found.password, found.problem) = (None, Some(format!("its password cannot be generated: {why}")));
                }
                (Some(why), reason) => {
                    let message = match reason {
                        Reason::Rotation(_) => {
                            format!("the password of {role:?} is due for rotation, and stays: {why}")
                        }
                        _ => format!("what Secret {:?} says of {role:?} is out of date: {why}", reference.name),
                    };
                    let finding = Finding::new(Severity::Error, "password-unwritten", &declared.path, message);
                    generated
                        .findings
                        .push(finding.help("the user itself is kept as declared, with the password that it has"));
                    now_for(spec, role, due.instead_of.as_ref().unwrap_or(&due.login));
                }
            }
        }
        Ok(generated)
    }

    /// The guard sets no password of a role with a power that is not allowed, and so refuses the whole plan on the day that
    /// its rotation is due. Such a rotation is called off for the next plan that is made: that user's trouble is no one
    /// else's. So is one to a second login that is left as it is. The answer is where these passwords are.
    pub(super) fn withhold(&self, planned: &Planned) -> BTreeSet<SecretRef> {
        let mut withheld = BTreeSet::new();
        let Observation { generated, catalog, .. } = &planned.observation;
        let is_left = |login: &str, due: &Due| due.instead_of.is_some() && !planned.resolved.in_scope.contains(login);
        let decided = !planned.converged && !planned.verdict.is_blocked();
        for (login, (reference, due)) in generated.due.iter().filter(|_| decided) {
            if is_left(login, due) {
                let why = format!("{login:?}, whose turn it is, is left as it is, or was taken out by a policy");
                self.unwritten().insert(reference.clone(), why);
                withheld.insert(reference.clone());
            }
        }
        if !matches!(planned.verdict, Verdict::Refused(_)) {
            return withheld;
        }
        for (role, (reference, due)) in &generated.due {
            let powers = powers::not_allowed(role, catalog, &self.settings.allowed_powers);
            if powers.is_empty() || !matches!(due.reason, Reason::Rotation(_)) {
                continue;
            }
            let why = format!(
                "it has {}, which is not in ALLOWED_POWERS; add it there if whoever may read that Secret may have this \
                 power, or take it away from the user",
                powers.join(", ")
            );
            self.unwritten().insert(reference.clone(), why);
            withheld.insert(reference.clone());
        }
        withheld
    }

    pub(super) fn unwritten(&self) -> std::sync::MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Secret of a user is that of the login which it names, and of the other of the two nobody says anything: it keeps
/// the password that it has.
fn now_for(spec: &mut Spec, role: &str, login: &str) {
    if login == role || !spec.roles.contains_key(login) {
        return;
    }
    let credential = spec.roles.get_mut(role).and_then(|first| {
        first.has_password = None;
        first.credential.take()
    });
    if let Some(second) = spec.roles.get_mut(login) {
        (second.has_password, second.credential) = (Some(credential.is_some()), credential);
    }
}

/// A password that nobody can guess.
fn make() -> Result<Password, CycleError> {
    let random = SystemRandom::new();
    let mut text = Zeroizing::new(String::with_capacity(LENGTH));
    let mut bytes = Zeroizing::new([0; 2 * LENGTH]);
    // Every letter is as likely as every other: what is beyond the last whole alphabet is thrown away.
    let whole = 256 / ALPHABET.len() * ALPHABET.len();
    while text.len() < LENGTH {
        random.fill(bytes.as_mut()).map_err(|_| CycleError::NoRandomness)?;
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < whole);
        let letters = fair.map(|byte| char::from(ALPHABET[byte % ALPHABET.len()]));
        let missing = LENGTH - text.len();
        text.extend(letters.take(missing));
    }
    Ok(Password::new(std::mem::take(&mut *text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_strong_and_no_other_is_like_it() {
        let made: BTreeSet<String> = (0..200).map(|_| make().unwrap().reveal().to_owned()).collect();
        assert_eq!(made.len(), 200);
        assert!(made.iter().all(|text| text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))));
        let used: BTreeSet<u8> = made.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(used.len(), ALPHABET.len(), "every letter occurs");
    }
}
