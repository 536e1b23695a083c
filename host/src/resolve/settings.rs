//! What the settings of a role must be. Whoever declares some, be it none, has exactly these. Of the others
//! nobody says anything, and what is there stays, but for what was declared when the role was last applied.

use super::Record;
use crate::model::{Mode, Role, Setting};
use crate::parameter;

/// The settings of a role, and of them those that are declared.
pub(super) struct Settings {
    /// As they must be, sorted.
    pub(super) desired: Vec<Setting>,
    /// `None`: nobody says anything, or not of a role that is only named.
    pub(super) declared: Option<Vec<Setting>>,
}

/// `recorded` is what the ledger knows of the role found; `is_exact` whether users.yaml speaks of settings.
pub(super) fn complete(declared: &Role, found: Option<&Role>, recorded: Option<&Record>, is_exact: bool) -> Settings {
    let set = spelled(declared, found);
    let is_exact = declared.mode != Mode::Present && (is_exact || !set.is_empty());
    let mut desired: Vec<Setting> = match found {
        // A role that is only named is made with what it is named with, and then left alone.
        None => set.clone(),
        Some(found) if declared.mode.keeps() => beside(&set, found),
        Some(found) if !is_exact => {
            let ours =
                || recorded.and_then(|record| record.applied.as_ref()).into_iter().flat_map(|role| &role.settings);
            let is_free = |held: &&Setting| !ours().any(|it| parameter::same_place(it, held));
            found.settings.iter().filter(is_free).cloned().collect()
        }
        Some(_) => set.clone(),
    };
    desired.sort();
    Settings { desired, declared: is_exact.then_some(set) }
}

/// The declared settings, and of those found what they leave alone.
fn beside(set: &[Setting], found: &Role) -> Vec<Setting> {
    let is_free = |held: &&Setting| !set.iter().any(|it| parameter::same_place(it, held));
    set.iter().chain(found.settings.iter().filter(is_free)).cloned().collect()
}

/// The declared settings as the server stores them: in its own words, where it has them already.
fn spelled(declared: &Role, found: Option<&Role>) -> Vec<Setting> {
    let found = found.map_or(&[][..], |found| &found.settings);
    let spelled = |wish: &Setting| {
        let name = parameter::canonical_name(&wish.name);
        let value = parameter::canonical_value(&name, &wish.value);
        let wish = Setting { database: wish.database.clone(), name, value };
        let there = || found.iter().filter(|held| parameter::same_place(held, &wish));
        // What an application made up can be there in capitals, and without.
        match there().find(|held| held.name == wish.name).or_else(|| there().next()) {
            Some(held) if parameter::same(held, &wish) => held.clone(),
            Some(held) => Setting { name: held.name.clone(), ..wish },
            None => wish,
        }
    };
    let mut settings: Vec<Setting> = declared.settings.iter().map(spelled).collect();
    settings.sort();
    settings
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Origin};
    use super::*;
    use crate::model::Attributes;

    fn setting(text: &str) -> Setting {
        let (name, value) = text.split_once('=').unwrap();
        Setting { database: None, name: name.to_owned(), value: value.to_owned() }
    }

    fn role(mode: Mode, settings: &[&str]) -> Role {
        let settings = settings.iter().map(|text| setting(text)).collect();
        Role { settings, ..Role::new("alice", mode, Attributes::USER) }
    }

    fn record(settings: &[&str]) -> Record {
        let applied = Some(role(Mode::Authoritative, settings));
        let (kind, origin) = (Kind::User, Origin::Created);
        Record { oid: None, kind, origin, secret_version: None, row_version: None, applied, leaving_since: None }
    }

    fn completed(declared: &Role, found: &[&str], recorded: &[&str], is_exact: bool) -> Vec<String> {
        let found = role(Mode::Authoritative, found);
        let settings = complete(declared, Some(&found), Some(&record(recorded)), is_exact).desired;
        settings.iter().map(|it| format!("{}={}", it.name, it.value)).collect()
    }

    const HELD: [&str; 2] = ["jit=off", "work_mem=1MB"];

    #[test]
    fn where_nothing_is_declared_nothing_but_what_was_declared_goes() {
        let silent = role(Mode::Authoritative, &[]);
        assert_eq!(completed(&silent, &HELD, &[], false), HELD);
        assert_eq!(completed(&silent, &HELD, &["jit=on"], false), ["work_mem=1MB"]);
        assert_eq!(completed(&silent, &HELD, &[], true), [""; 0]);
        let new = complete(&silent, None, None, false);
        assert_eq!((new.desired, new.declared), (vec![], None));
    }

    #[test]
    fn where_some_are_declared_there_are_no_others() {
        let declared = role(Mode::Authoritative, &["work_mem=2MB", "DATESTYLE=ISO"]);
        assert_eq!(completed(&declared, &HELD, &[], false), ["DateStyle=ISO", "work_mem=2MB"]);
        let added = role(Mode::Additive, &["work_mem=2MB"]);
        assert_eq!(completed(&added, &HELD, &[], false), ["jit=off", "work_mem=2MB"]);
        let found = role(Mode::Authoritative, &HELD);
        assert_eq!(complete(&added, Some(&found), None, false).declared, Some(vec![setting("work_mem=2MB")]));
    }

    #[test]
    fn what_means_the_same_is_what_the_server_has() {
        let declared = role(Mode::Authoritative, &["search_path=json_table, A", "app.x=1", "force_parallel_mode=on"]);
        let held = ["App.X=1", "debug_parallel_query=on", r#"search_path="json_table", a"#];
        assert_eq!(completed(&declared, &held, &[], false), held);
    }

    #[test]
    fn a_role_that_is_only_named_keeps_what_it_has() {
        let named = role(Mode::Present, &["work_mem=2MB"]);
        assert_eq!(completed(&named, &HELD, &[], false), HELD);
        let new = complete(&named, None, None, false);
        assert_eq!((new.desired, new.declared), (vec![setting("work_mem=2MB")], None));
    }
}
