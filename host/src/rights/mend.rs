//! Statements that give the controller the right it lacks, no more than that where it can be said; for people.

use super::held::Held;
use crate::model::{Attributes, Privileges};
use crate::plan::Change;
use crate::sql::quote::identifier_for_people as name;
use crate::sql::statement::{Renderer, Style};

/// `ALTER ROLE controller CREATEROLE`: an attribute of its own.
pub(super) fn own(held: &Held<'_>, attribute: Attributes) -> String {
    self::attribute(&held.own.name, attribute, true)
}

/// `ALTER ROLE role NOSUPERUSER`, or `… SUPERUSER`.
pub(super) fn attribute(role: &str, attribute: Attributes, on: bool) -> String {
    let words: Vec<String> = attribute.keywords().map(|word| format!("{}{word}", if on { "" } else { "NO" })).collect();
    format!("ALTER ROLE {} {}", name(role), words.join(" "))
}

/// ADMIN on a role. What it may otherwise do with the role stays as it is.
pub(super) fn admin(held: &Held<'_>, role: &str) -> String {
    let options = if !held.is_since_16() {
        "ADMIN OPTION"
    } else if held.is_direct_member_of(role) {
        "ADMIN TRUE"
    } else {
        "ADMIN TRUE, INHERIT FALSE, SET FALSE"
    };
    format!("GRANT {} TO {} WITH {options}", name(role), name(&held.own.name))
}

/// The privileges of a role, without having to SET ROLE.
pub(super) fn privileges_of(held: &Held<'_>, role: &str) -> Vec<String> {
    let grant = format!("GRANT {} TO {}", name(role), name(&held.own.name));
    if held.is_since_16() {
        return vec![format!("{grant} WITH INHERIT TRUE")];
    }
    let mut statements = vec![grant];
    if !held.has(Attributes::INHERIT) {
        statements.push(own(held, Attributes::INHERIT));
    }
    statements
}

/// SET ROLE.
pub(super) fn becoming(held: &Held<'_>, role: &str) -> String {
    let grant = format!("GRANT {} TO {}", name(role), name(&held.catalog.server.session_user));
    if held.is_since_16() { format!("{grant} WITH SET TRUE") } else { grant }
}

/// The right to pass privileges on a database on.
pub(super) fn grant_option(held: &Held<'_>, database: &str, privileges: Privileges) -> String {
    let words: Vec<&str> = privileges.keywords().collect();
    format!("GRANT {} ON DATABASE {} TO {} WITH GRANT OPTION", words.join(", "), name(database), name(&held.own.name))
}

/// The right to set a parameter, if there is such a thing.
pub(super) fn parameter(held: &Held<'_>, parameter: &str) -> String {
    if held.catalog.server.version < 150_000 {
        return own(held, Attributes::SUPERUSER);
    }
    let parts: Vec<String> = parameter.split('.').map(name).collect();
    format!("GRANT SET ON PARAMETER {} TO {}", parts.join("."), name(&held.own.name))
}

/// The step itself, done by hand. Not for those that set a password.
pub(super) fn by_hand(held: &Held<'_>, change: &Change) -> Vec<String> {
    let renderer = Renderer { catalog: held.catalog, reassign_owned_to: "", style: Style::People };
    renderer.change(change).iter().map(|statement| statement.text(|_, _| ())).collect()
}
