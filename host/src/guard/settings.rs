//! What a plan may do to the settings of a role: which parameters need an allowance, and what has to
//! hold of a name, a value and a database before they come into a statement.
//!
//! The settings of a role are in force from the moment it logs in, and are applied as if a superuser had
//! set them: who may not `SET session_replication_role` comes by it all the same if it is a setting of the
//! role. Parameters that every user may set for a session (`search_path`, `work_mem`) give nothing that
//! the user could not take, and those that shape what is logged or how much may be used are the
//! operator's business. `row_security` is none of either: switched off, it turns what would be filtered
//! into an error.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::Catalog;
use crate::model::Setting;
use crate::parameter;
use crate::plan::Change;

/// Parameters that no role is given unless they are allowed by name, in lower case.
pub const STRONG_PARAMETERS: [&str; 17] = [
    // Who logs in acts as another from the first statement on: what it makes belongs to that one, and what
    // it does is told of that one. It has to be a member, or a superuser; but it need not want to.
    "role",
    "session_authorization",
    // Code of the server's host that is loaded into each of the role's sessions, and where it is looked for.
    "session_preload_libraries",
    "local_preload_libraries",
    "shared_preload_libraries",
    "dynamic_library_path",
    "jit_provider",
    // Where the scripts of extensions are looked for: those of trusted ones run as a superuser.
    "extension_control_path",
    "extension_destdir",
    // Code in the parameter itself, run when the language is first used.
    "plperl.on_plperl_init",
    "plperl.on_plperlu_init",
    "pltcl.start_proc",
    "pltclu.start_proc",
    // What stands between a role and the data does not stand there any more: triggers and foreign keys,
    // event triggers, the privileges on large objects, the shape of the system catalogs.
    "session_replication_role",
    "event_triggers",
    "lo_compat_privileges",
    "allow_system_table_mods",
];

/// Tells `violate` which rules a step breaks, and how. `second_logins`: of which user each is one.
pub(super) fn check(
    change: &Change,
    catalog: &Catalog,
    allowed: &BTreeSet<String>,
    second_logins: &BTreeMap<String, String>,
    mut violate: impl FnMut(&'static str, String),
) {
    let (Change::SetSetting { role, setting } | Change::ResetSetting { role, setting }) = change else { return };
    let Setting { database, name, value } = setting;
    if let Some(database) = database.as_ref().filter(|name| !catalog.has_database(name)) {
        violate("unknown-database", format!("there is no database {database:?}"));
    }
    if matches!(change, Change::ResetSetting { .. }) {
        // Whether there is such a setting, the replay sees; taking one away gives nothing.
        return;
    }
    if let Some(why) = parameter::name_problem(name) {
        violate("invalid-name", format!("the name of the parameter {name:?} {why}"));
    }
    if let Some(why) = parameter::problem(name, value) {
        violate("invalid-value", format!("the value of {name:?} {why}"));
    }
    let key = parameter::key(name);
    // Whose second login users.yaml declares it to be: who logs in is that user, by its own wish.
    if key == "role" && database.is_none() && second_logins.get(role) == Some(value) {
        return;
    }
    if STRONG_PARAMETERS.contains(&key.as_str()) && !allowed.iter().any(|power| power.eq_ignore_ascii_case(&key)) {
        violate(
            "power-raised",
            format!(
                "{role:?} would be given the setting {key}, which lets a role run code, act as another or get round \
                 what protects data, and is not in ALLOWED_POWERS; add it there if that is what you want"
            ),
        );
    }
}
