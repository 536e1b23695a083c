//! The two digests: of the inputs of a cycle, and of a plan. The same inputs give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::Settings;
use crate::catalog::Catalog;
use crate::generated::Generate;
use crate::model::{Role, Standing};
use crate::plan::{Change, Step};
use crate::secret::Secrets;
use crate::spec::Scripts;

/// Folds texts into a SHA-256; lengths keep "ab", "c" apart from "a", "bc".
#[derive(Default)]
struct Fold(Sha256);

impl Fold {
    fn text(&mut self, text: &str) -> &mut Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    fn finish(self) -> String {
        self.0.finalize().iter().fold("sha256:".to_owned(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Digest of all that a cycle starts from, apart from the catalog. Of a Secret, only its version: it
/// changes with its labels and with the time of its writing too. Of the time, what the policies asked for, and how many
/// memberships have ended.
pub(super) fn of_inputs(
    (text, scripts): (&str, &Scripts),
    secrets: &Secrets,
    chain: &str,
    settings: &Settings,
    time: (Option<i64>, usize),
) -> String {
    let mut fold = Fold::default();
    fold.text(env!("CARGO_PKG_VERSION")).text(text).text(chain);
    for script in scripts.values().filter(|script| script.file.is_some()) {
        fold.text(&script.name).text(&script.digest());
    }
    for (reference, secret) in secrets {
        fold.text(&reference.name).text(&reference.key).text(&secret.version).text(&format!("{:?}", secret.state));
    }
    let Settings { reassign_owned_to, max_deletions, removal_grace, protected_roles, allowed_powers, labels, .. } =
        settings;
    fold.text(&format!(
        "{removal_grace:?} {reassign_owned_to:?} {max_deletions:?} {protected_roles:?} {allowed_powers:?} {labels:?} {time:?}"
    ));
    fold.finish()
}

/// Digest of a plan: who approves it approves these steps, from this document and chain, on this
/// server, with these roles as they are, under these settings.
///
/// Generated passwords come and go beneath that. A Secret that is written moves no digest, and nor does a rotation that
/// falls due in the meantime: it gives nobody anything, and takes nothing but what its Secret already has. Where rotations
/// are all there is, they are what is approved.
pub(super) fn of_plan(
    steps: &[Step],
    (text, scripts): (&str, &Scripts),
    generated: &BTreeMap<String, Generate>,
    chain: &str,
    catalog: &Catalog,
    settings: &Settings,
) -> String {
    let mut fold = Fold::default();
    let Settings { reassign_owned_to, max_deletions, protected_roles, allowed_powers, .. } = settings;
    fold.text(text).text(chain).text(&catalog.server.identity).text(reassign_owned_to);
    fold.text(&format!("{max_deletions:?} {protected_roles:?} {allowed_powers:?}"));
    fold_steps(&mut fold, steps, scripts, generated, catalog);
    fold.finish()
}

/// A step as it is told apart from others, whether the Secret of a new user is written yet or not.
fn in_words(step: &Step, generated: &BTreeMap<String, Generate>) -> String {
    match &step.change {
        Change::CreateRole(role) if generated.contains_key(&role.name) => {
            let mut role = role.clone();
            let takes_turns = generated.get(&role.name).is_some_and(|wish| wish.alternate.is_some());
            if takes_turns {
                // Whose turn it is by then.
                (role.credential, role.has_password) = (None, None);
            }
            if let Some(credential) = &mut role.credential {
                (credential.version, credential.changed_at) = (String::new(), None);
            }
            format!("{:?} {:?}", Change::CreateRole(role), step.risk)
        }
        change => format!("{change:?} {:?}", step.risk),
    }
}

/// Whether there is no step that the other plan does not have.
pub(super) fn is_part_of(steps: &[Step], all: &[Step], generated: &BTreeMap<String, Generate>) -> bool {
    let all: BTreeSet<String> = all.iter().map(|step| in_words(step, generated)).collect();
    steps.iter().all(|step| all.contains(&in_words(step, generated)))
}

fn fold_steps(
    fold: &mut Fold,
    steps: &[Step],
    scripts: &Scripts,
    generated: &BTreeMap<String, Generate>,
    catalog: &Catalog,
) {
    let is_rotation = |step: &Step| match &step.change {
        // That of somebody who is only being taken over is in use elsewhere.
        Change::SetPassword(role) => {
            let is_ours = |role: &Role| role.standing == Standing::Managed;
            generated.contains_key(role) && catalog.roles.get(role).is_some_and(is_ours)
        }
        _ => false,
    };
    let nothing_else = steps.iter().all(is_rotation);
    for step in steps.iter().filter(|step| nothing_else || !is_rotation(step)) {
        fold.text(&in_words(step, generated));
        if let Some(script) = step.change.script().and_then(|name| scripts.get(name)) {
            fold.text(&script.digest());
        }
        if let Some(role) = step.change.role() {
            fold.text(&format!("{:?} {:?}", catalog.oids.get(role), catalog.roles.get(role)));
        }
        if let Change::GrantRole { membership, .. } | Change::RevokeRole { membership, .. } = &step.change {
            fold.text(&format!("{:?}", catalog.oids.get(&membership.role)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Credential, Mode};
    use crate::plan::{Cause, Risk};

    /// `app` is managed, `other` is being taken over; both have a password that is generated, and so will `new`.
    fn digest(changes: &[Change]) -> String {
        let mut catalog = Catalog::default();
        for (name, standing) in [("app", Standing::Managed), ("other", Standing::Foreign), ("hand", Standing::Managed)]
        {
            let role = Role { standing, ..Role::new(name, Mode::Authoritative, Attributes::USER) };
            catalog.roles.insert(name.to_owned(), role);
        }
        let two = Generate { alternate: Some("second".to_owned()), ..Generate::default() };
        let generated = ["app", "other", "new"].map(|name| (name.to_owned(), Generate::default()));
        let generated = generated.into_iter().chain([("first".to_owned(), two.clone()), ("second".to_owned(), two)]);
        let generated: BTreeMap<String, Generate> = generated.collect();
        let steps = changes.iter().cloned().map(|change| Step {
            change,
            risk: Risk::Safe,
            cause: Cause::Spec,
            reason: String::new(),
            path: String::new(),
            by: String::new(),
        });
        let mut fold = Fold::default();
        fold_steps(&mut fold, &steps.collect::<Vec<_>>(), &Scripts::default(), &generated, &catalog);
        fold.finish()
    }

    fn create(name: &str, version: &str) -> Change {
        let credential = Credential { version: version.into(), ..Credential::new("s", "password") };
        Change::CreateRole(Role {
            credential: Some(credential),
            ..Role::new(name, Mode::Authoritative, Attributes::USER)
        })
    }

    #[test]
    fn what_becomes_of_generated_passwords_is_no_other_plan() {
        let set = |name: &str| Change::SetPassword(name.into());
        let plan = digest(&[create("new", "generated")]);
        assert_eq!(digest(&[create("new", "7")]), plan, "its Secret is written");
        assert_eq!(digest(&[create("new", "7"), set("app")]), plan, "a rotation is due");
        for another in [
            &[create("new", "7"), set("other")][..],
            &[create("new", "7"), set("hand")],
            &[create("new", "7"), create("new2", "7")],
            &[set("app")],
        ] {
            assert_ne!(digest(another), plan, "{another:?}");
        }
        // Whose turn it is when they are made makes no other plan either.
        let bare = |name: &str| Change::CreateRole(Role::new(name, Mode::Authoritative, Attributes::USER));
        assert_eq!(digest(&[create("first", "7"), bare("second")]), digest(&[bare("first"), create("second", "8")]));
        // Where there is nothing else, a rotation is not the same as nothing; and who brings a Secret answers for it.
        assert_ne!(digest(&[set("app")]), digest(&[]));
        assert_ne!(digest(&[create("hand2", "7")]), digest(&[create("hand2", "8")]));
    }
}
