//! A path in words that can be read aloud.

use super::{enumerated, listed};
use crate::access::path::{Path, Source, Step};
use crate::printable::name;

/// So many columns are named.
const COLUMNS: usize = 10;

/// The whole: `through reader: granted to reader by app; but USAGE on schema sales is missing`.
pub(super) fn whole(path: &Path) -> String {
    let mut text = match way(path) {
        Some(way) => format!("{way}: {}", source(path)),
        None => source(path),
    };
    if !path.columns.is_empty() {
        let columns: Vec<String> = path.columns.iter().map(|column| name(column).into_owned()).collect();
        let noun = if columns.len() == 1 { "column" } else { "columns" };
        text.push_str(&format!(", on {noun} {}", listed(&columns, COLUMNS)));
    }
    text + &missing(path)
}

/// What it takes besides, if anything is missing.
pub(super) fn missing(path: &Path) -> String {
    if path.missing.is_empty() {
        return String::new();
    }
    let are = if path.missing.len() == 1 { "is" } else { "are" };
    let missing: Vec<String> = path.missing.iter().map(|what| crate::printable::line(what).into_owned()).collect();
    format!("; but {} {are} missing", enumerated(&missing))
}

/// From role to role.
pub(super) fn way(path: &Path) -> Option<String> {
    let steps = &path.steps;
    if let Some(granted) = steps.iter().rposition(|step| matches!(step.by, "admin" | "createrole")) {
        // The last one is what it needs; how it comes to be able to grant it stands before.
        let first = steps.iter().position(|step| matches!(step.by, "admin" | "createrole")).unwrap_or(granted);
        let right = if steps[first].by == "admin" { "ADMIN OPTION" } else { "CREATEROLE" };
        let mut text = format!("after granting itself {}, by {right}", name(&steps[first].role));
        if let Some(holder) = steps[..first].last() {
            text.push_str(&format!(" of {} ({})", name(&holder.role), acting(&steps[..first])));
        }
        let rest = &steps[first + 1..];
        if !rest.is_empty() {
            text.push_str(&format!(", and from there {}", chain(rest)));
        }
        return Some(text);
    }
    (!steps.is_empty()).then(|| acting(steps))
}

/// By membership alone.
fn acting(steps: &[Step]) -> String {
    let Some(last) = steps.iter().rposition(|step| step.by == "set") else {
        return format!("through {}", chain(steps));
    };
    let mut text = format!("after SET ROLE {}", name(&steps[last].role));
    if last > 0 {
        text.push_str(&format!(" (by {})", chain(&steps[..last])));
    }
    if let rest @ [_, ..] = &steps[last + 1..] {
        text.push_str(&format!(", through {}", chain(rest)));
    }
    text
}

fn chain(steps: &[Step]) -> String {
    steps.iter().map(|step| name(&step.role).into_owned()).collect::<Vec<_>>().join(", ")
}

/// Why the last role holds it.
pub(super) fn source(path: &Path) -> String {
    let holder = path.holder.as_deref().map(name).unwrap_or_default();
    let itself = path.steps.is_empty();
    let by = match path.granted_by.as_slice() {
        [] => String::new(),
        grantors => {
            let grantors: Vec<String> = grantors.iter().map(|grantor| name(grantor).into_owned()).collect();
            format!(" by {}", enumerated(&grantors))
        }
    };
    let option = if path.grantable { " WITH GRANT OPTION" } else { "" };
    match path.source {
        Source::Superuser if itself => "superuser".to_owned(),
        Source::Superuser => format!("{holder} is a superuser"),
        Source::Owner if itself => "owner".to_owned(),
        Source::Owner => format!("{holder} is the owner"),
        Source::OwnerWithout if itself => "owner, without this privilege, but able to grant it to itself".to_owned(),
        Source::OwnerWithout => format!("{holder} is the owner, without this privilege, but able to grant it"),
        Source::Public => format!("granted to PUBLIC{by}"),
        Source::Predefined if itself => "predefined, for every object".to_owned(),
        Source::Predefined => format!("{holder} holds it on every object"),
        Source::Grant if itself => format!("granted{by}{option}"),
        Source::Grant => format!("granted to {holder}{by}{option}"),
    }
}
