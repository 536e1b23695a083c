//! Generated passwords, in the course of a cycle. When Secrets are read, it is decided which of them are to be written,
//! and the plan is made as if they had been. They are written when the plan may run, right before it does: what a person
//! or the guard holds back leaves no Secret behind, and a crash in between leaves one that the next cycle reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use futures_util::stream::{self, StreamExt as _};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{CycleError, Observation, Planned, Reconciler, Verdict, observe};
use crate::generated::contents::{ALPHABET, LENGTH};
use crate::generated::{Decision, Due, For, Generate, Reason, decide, moment};
use crate::guard::powers;
use crate::model::{Finding, Mode, SecretState, Severity, Spec};
use crate::plan::Change;
use crate::secret::{Password, SecretRef, Secrets};
use crate::spec::Parsed;

/// How many Secrets are written at a time.
const AT_ONCE: usize = 16;

/// Why Secrets could not be written in this cycle.
pub(super) type Unwritten = BTreeMap<SecretRef, String>;

/// What is to be written, and what there is to say.
#[derive(Debug, Default)]
pub struct Generated {
    /// What users.yaml asks for, by role.
    pub(super) wishes: BTreeMap<String, Generate>,
    /// By role.
    due: BTreeMap<String, (SecretRef, Due)>,
    /// When the next password is to be replaced, in Unix seconds.
    pub(super) next: Option<i64>,
    findings: Vec<Finding>,
}

impl Generated {
    /// Whether a plan has to be made, whatever was seen to agree.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty() || !self.findings.is_empty()
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
            "the password of {role:?} is {}, and is rotated: another one is written into Secret {name:?}",
            match age {
                0..172_800 => format!("{} hours old", age / 3_600),
                _ => format!("{} days old", age / 86_400),
            }
        ),
        Reason::Repair => format!("Secret {name:?} is written anew with the same password for {role:?}"),
    };
    match due.next {
        Some(next) => format!("{what}; the next rotation is due at {}", moment(next)),
        None => what,
    }
}

/// Roles that get a password.
fn with_new_passwords<'a>(changes: impl Iterator<Item = &'a Change>) -> BTreeSet<&'a str> {
    let set = changes.filter_map(|change| match change {
        Change::CreateRole(role) => Some(role.name.as_str()),
        Change::SetPassword(role) => Some(role.as_str()),
        _ => None,
    });
    set.collect()
}

impl Reconciler {
    /// Decides what is to be written, and puts it in the place of what was read.
    pub(super) fn foresee(&self, parsed: &Parsed, secrets: &mut Secrets) -> Result<Generated, CycleError> {
        let mut generated = Generated { wishes: parsed.spec.generated.clone(), ..Generated::default() };
        let now = observe::now();
        for (role, wish) in &parsed.spec.generated {
            let Some(declared) = parsed.spec.roles.get(role) else { continue };
            let Some(credential) = &declared.credential else { continue };
            let reference = SecretRef { name: credential.secret.clone(), key: credential.key.clone() };
            let Some(found) = secrets.get_mut(&reference).filter(|_| declared.mode != Mode::Observe) else { continue };
            // What cannot be read may well be there.
            if found.state == SecretState::Unreadable && found.held.is_none() && found.version.is_empty() {
                continue;
            }
            let renamed_from = parsed.spec.renamed_from.get(role).map(String::as_str);
            let whose = For { role, renamed_from, wish, secret: &credential.secret };
            let due = match decide(whose, found, &self.settings.applications, now, make)? {
                Decision::Kept(next) => {
                    generated.next = generated.next.into_iter().chain(next).min();
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
                    generated.due.insert(role.clone(), (reference, *due));
                }
                (Some(why), Reason::New) => {
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
                }
            }
        }
        Ok(generated)
    }

    /// The guard sets no password of a role with a power that is not allowed, and so refuses the whole plan on the day that
    /// its rotation is due. Such a rotation is called off for the next plan that is made: that user's trouble is no one
    /// else's. The answer is where these passwords are.
    pub(super) fn withhold(&self, planned: &Planned) -> BTreeSet<SecretRef> {
        let mut withheld = BTreeSet::new();
        if !matches!(planned.verdict, Verdict::Refused(_)) {
            return withheld;
        }
        let Observation { generated, catalog, .. } = &planned.observation;
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

    /// Writes what a plan that will run needs. `false`: not everything could be, and the plan has to be made anew.
    pub(super) async fn hand_out(&self, planned: &mut Planned) -> Result<bool, CycleError> {
        let may_run = matches!(planned.verdict, Verdict::Pass(_)) && !planned.observation.directives.paused;
        if !may_run || planned.converged || planned.observation.generated.due.is_empty() {
            return Ok(true);
        }
        self.may_act(planned)?;
        let client = self.pool.get().await?;
        self.check_claim(&client, &planned.observation.ledger).await?;
        drop(client);
        let due = std::mem::take(&mut planned.observation.generated.due);
        let set = with_new_passwords(planned.plan.steps.iter().map(|step| &step.change));
        // A user that is left as it is has no step, and no Secret is written for it.
        let is_wanted = |role: &String, due: &Due| {
            planned.resolved.in_scope.contains(role) && (!due.sets_password() || set.contains(role.as_str()))
        };
        let wanted: Vec<_> = due.into_iter().filter(|(role, (_, due))| is_wanted(role, due)).collect();
        let write = |(role, (reference, due)): (String, (SecretRef, Due))| async move {
            let written = self.source.write(due.into_secret(&reference.name)).await;
            (role, reference, written)
        };
        let answers: Vec<_> = stream::iter(wanted.into_iter().map(write)).buffer_unordered(AT_ONCE).collect().await;
        let mut all = true;
        for (role, reference, written) in answers {
            match written {
                Ok(version) => {
                    tracing::info!(role, "Secret {:?} is written", reference.name);
                    let desired = planned.resolved.desired.get_mut(&role);
                    if let Some(credential) = desired.and_then(|role| role.credential.as_mut()) {
                        credential.version.clone_from(&version);
                    }
                    if let Some(found) = planned.observation.secrets.get_mut(&reference) {
                        found.version = version;
                    }
                }
                Err(why) => {
                    self.unwritten().insert(reference, why);
                    all = false;
                }
            }
        }
        Ok(all)
    }

    pub(super) fn unwritten(&self) -> std::sync::MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
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
