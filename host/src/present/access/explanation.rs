//! `explain`, answered: what a role is, what it is a member of, and what it can do where.

use std::fmt::Write as _;

use super::drawing::{Drawing, Node};
use super::{listed, phrase};
use crate::access::explain::{Explanation, Holding, Later, MemberOf};
use crate::access::path::{Path, Source};
use crate::model::Expiry;
use crate::present::describe;
use crate::printable::{line, name};
use crate::sql::quote::element;

/// So many objects are named.
const OBJECTS: usize = 8;
/// So many exceptions from "all" are named; else those that are not exceptions are.
const EXCEPTIONS: usize = 5;

/// For people.
pub fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    let kind = if explanation.login { "user" } else { "group role" };
    let _ = writeln!(text, "{kind} {}: {}", name(&explanation.role), about(explanation));
    section(&mut text, "Member of", explanation.member_of.iter().map(member_of));
    let everywhere = explanation.everywhere.iter().map(|it| with_path(it.what.to_owned(), &it.path));
    section(&mut text, "Everywhere", everywhere);
    section(&mut text, "Databases", explanation.databases.iter().map(holding));
    for inside in &explanation.inside {
        let closed = if inside.connect { "" } else { ", where it may not CONNECT" };
        let title = format!("In database {}{closed}", name(&inside.database));
        let lines = inside.holdings.iter().map(holding).chain(inside.later.iter().map(later));
        section_or(&mut text, &title, lines, "nothing");
    }
    text
}

fn about(explanation: &Explanation) -> String {
    let mut about: Vec<String> = Vec::new();
    about.push(if explanation.login { "can log in".to_owned() } else { "cannot log in".to_owned() });
    about.extend(explanation.attributes.iter().map(|word| (*word).to_owned()));
    if let Some(end) = explanation.valid_until.filter(|_| explanation.login) {
        let end = describe::valid_until(Expiry::At(end));
        about.push(if explanation.password_expired { format!("{end}, which is past") } else { end });
    }
    match explanation.connection_limit {
        None => {}
        Some(1) => about.push("at most 1 session".to_owned()),
        Some(sessions) => about.push(format!("at most {sessions} sessions")),
    }
    about.join("; ")
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    section_or(text, title, lines, "");
}

/// Nothing at all, if there is nothing to say and no word for it.
fn section_or(text: &mut String, title: &str, lines: impl Iterator<Item = String>, nothing: &str) {
    let mut lines: Vec<String> = lines.collect();
    if lines.is_empty() && !nothing.is_empty() {
        lines.push(nothing.to_owned());
    }
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn member_of(member_of: &MemberOf) -> String {
    let mut text = name(&member_of.role).into_owned();
    if !member_of.direct {
        let between = member_of.steps.iter().take(member_of.steps.len().saturating_sub(1));
        let between: Vec<String> = between.map(|step| name(&step.role).into_owned()).collect();
        text.push_str(&if between.is_empty() {
            " (not directly)".to_owned()
        } else {
            format!(" (by {})", between.join(", "))
        });
    }
    text.push_str(match (member_of.inherit, member_of.set) {
        (true, true) => ": holds what it holds, and may SET ROLE to it",
        (true, false) => ": holds what it holds, and may not SET ROLE to it",
        (false, true) => ": has to SET ROLE to it",
        (false, false) if !member_of.steps.is_empty() => ": holds what it holds after SET ROLE to another",
        (false, false) => ": neither holds what it holds nor may SET ROLE to it",
    });
    if member_of.admin {
        text.push_str("; may grant it, also to itself (ADMIN OPTION)");
    }
    text
}

fn with_path(what: String, path: &Path) -> String {
    let option = if path.grantable { " WITH GRANT OPTION" } else { "" };
    let why = match (phrase::way(path), path.holder.is_none()) {
        (Some(way), _) => format!(": {way}"),
        (None, true) => ": as PUBLIC".to_owned(),
        (None, false) => String::new(),
    };
    format!("{what}{option}{why}{}", phrase::missing(path))
}

fn holding(holding: &Holding) -> String {
    let owner = holding.path.source == Source::Owner;
    let what = match (owner, holding.privileges.as_slice()) {
        (true, []) => format!("owns {}, without any privilege of its own on it", objects(holding)),
        (true, _) if owns_all(holding) => format!("owns {}", objects(holding)),
        (true, privileges) => format!("owns, with {}, {}", privileges.join(", "), objects(holding)),
        (false, privileges) => format!("{} on {}", privileges.join(", "), objects(holding)),
    };
    let mut text = with_path(what, &holding.path);
    // So that "owns" is not read as the role's own.
    if owner && let Some(owner) = holding.path.holder.as_deref().filter(|_| !holding.path.steps.is_empty()) {
        text.push_str(&format!(" ({} is the owner)", name(owner)));
    }
    text
}

/// Whether it owns them and has taken no privilege from itself.
fn owns_all(holding: &Holding) -> bool {
    holding.path.source == Source::Owner && holding.privileges.len() >= holding.kind.privileges(0).keywords().count()
}

/// `all 31 tables of sales`, `29 of 31 tables of sales (not a, b)`, `table sales.orders`.
fn objects(holding: &Holding) -> String {
    let (count, word) = (holding.on.len(), holding.kind.word());
    let place = holding.schema.as_deref().map(|schema| format!(" of {}", line(&element(schema))));
    let place = place.unwrap_or_default();
    let noun = if count == 1 { word.to_owned() } else { plural(word) };
    // Few have names that everybody knows.
    if holding.of > 1 && count == holding.of && holding.schema.is_some() {
        return format!("all {count} {noun}{place}");
    }
    if count > EXCEPTIONS && (1..=EXCEPTIONS).contains(&holding.except.len()) && holding.schema.is_some() {
        return format!("{count} of {} {noun}{place} (not {})", holding.of, holding.except.join(", "));
    }
    let names = listed(&holding.on, OBJECTS);
    if count > OBJECTS { format!("{count} {noun}{place} ({names})") } else { format!("{noun} {names}{place}") }
}

fn plural(word: &str) -> String {
    format!("{word}s")
}

fn later(later: &Later) -> String {
    let place = later.schema.as_deref().map(|schema| format!(" in schema {}", name(schema))).unwrap_or_default();
    let maker = name(&later.made_by);
    with_path(
        format!("{} on {} that {maker} will make{place}", later.privileges.join(", "), later.objects),
        &later.path,
    )
}

/// For scripts.
pub fn json(explanation: &Explanation) -> String {
    super::json(explanation)
}

/// Behind a part of a plan. Without an explanation, the role is yet to be made.
pub fn beside_text(plan: &str, role: &str, explanation: Option<&Explanation>) -> String {
    let role = name(role);
    let now = match explanation {
        Some(explanation) => text(explanation),
        None => format!("{role} is yet to be made\n"),
    };
    format!("Steps about {role} and the roles that it is a member of:\n\n{plan}\nAs it is now:\n\n{now}")
}

/// A part of a plan and the explanation in one document.
pub fn beside_json(plan: &str, explanation: Option<&Explanation>) -> String {
    #[derive(serde::Serialize)]
    struct Both<'a> {
        plan: serde_json::Value,
        explanation: Option<&'a Explanation>,
    }
    // It is what `json` wrote.
    super::json(&Both { plan: serde_json::from_str(plan).unwrap_or_default(), explanation })
}

/// The role, what it is a member of, and what all of these hold.
pub fn drawing(explanation: &Explanation) -> Drawing {
    let mut drawing = Drawing::default();
    drawing.role(&explanation.role, explanation.login);
    let mut draw = |path: &Path, held: &str, on: String| {
        drawing.path(&explanation.role, explanation.login, path, held, Node::Object(on));
    };
    for everywhere in &explanation.everywhere {
        draw(&everywhere.path, "everywhere", everywhere.what.to_owned());
    }
    let held = |holding: &Holding| match holding.privileges.as_slice() {
        [] => "owner".to_owned(),
        _ if owns_all(holding) => "owner".to_owned(),
        privileges => privileges.join(", "),
    };
    for holding in &explanation.databases {
        draw(&holding.path, &held(holding), objects(holding));
    }
    for inside in &explanation.inside {
        let place = format!(" in database {}", name(&inside.database));
        for holding in &inside.holdings {
            draw(&holding.path, &held(holding), objects(holding) + &place);
        }
        for later in &inside.later {
            let on = format!("{} that {} will make{place}", later.objects, name(&later.made_by));
            draw(&later.path, &later.privileges.join(", "), on);
        }
    }
    for member_of in explanation.member_of.iter().filter(|it| !it.steps.is_empty()) {
        drawing.steps(&explanation.role, &member_of.steps);
    }
    drawing
}
