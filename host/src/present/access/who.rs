//! `who-can`, answered: users before group roles, those that can only read some columns last.

use std::fmt::Write as _;

use super::drawing::{Drawing, Node};
use super::phrase;
use crate::access::path::{Can, Path, Source};
use crate::access::who::{Answer, Answered};
use crate::printable::{counted, line, name};

/// So many ways are told for each role.
const WAYS: usize = 3;

/// For people.
pub fn text(answer: &Answer) -> String {
    let (whole, parts): (Vec<&Answered>, Vec<&Answered>) =
        answer.roles.iter().partition(|role| role.can != Can::SomeColumns);
    let mut text =
        format!("{} on {}, owned by {}", answer.privilege, answer.object.in_words, name(&answer.object.owner));
    let usable = whole.iter().filter(|role| role.usable).count();
    let _ = writeln!(
        text,
        ": {} of {} can, {} of them by logging in",
        counted(whole.len(), "role"),
        answer.roles_in_all,
        usable
    );
    for note in &answer.notes {
        let _ = writeln!(text, "note: {}", line(note));
    }
    let (users, groups): (Vec<&Answered>, Vec<&Answered>) = whole.into_iter().partition(|role| role.login);
    section(&mut text, "Users", &users);
    // What everybody can, group roles can too; that is no news of each of them.
    let (public, groups): (Vec<&Answered>, Vec<&Answered>) =
        groups.into_iter().partition(|role| role.paths.iter().all(|path| path.source == Source::Public));
    section(&mut text, "Group roles, which cannot log in", &groups);
    if let Some(path) = public.first().and_then(|role| role.paths.first()) {
        let title = if groups.is_empty() { "Group roles, which cannot log in" } else { "" };
        let others = if groups.is_empty() { "" } else { "other " };
        let _ = write!(text, "{}", if title.is_empty() { String::new() } else { format!("\n{title}\n") });
        let _ = writeln!(text, "  {others}{}: {}", counted(public.len(), "role"), phrase::source(path));
    }
    section(&mut text, "On some columns only", &parts);
    text
}

fn section(text: &mut String, title: &str, roles: &[&Answered]) {
    if roles.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    // A name of 63 wide letters shall not push all others to the right.
    let width =
        roles.iter().map(|role| name(&role.role).chars().count()).filter(|width| *width <= 30).max().unwrap_or(0);
    for role in roles {
        let expired = if role.password_expired { "; its password has expired" } else { "" };
        let mut title = name(&role.role).into_owned();
        for (place, path) in role.paths.iter().take(WAYS).enumerate() {
            let expired = if place == 0 { expired } else { "" };
            let also = if place == 0 { "" } else { "also " };
            let _ = writeln!(text, "  {title:width$}  {also}{}{expired}", phrase::whole(path));
            title.clear();
        }
        if role.paths.len() > WAYS {
            let more = role.paths.len() - WAYS;
            let _ = writeln!(text, "  {title:width$}  and in {more} more ways (--format json tells all)");
        }
    }
}

/// For scripts.
pub fn json(answer: &Answer) -> String {
    super::json(answer)
}

/// The ways as a drawing.
pub fn drawing(answer: &Answer) -> Drawing {
    let mut drawing = Drawing::default();
    let object = Node::Object(answer.object.in_words.clone());
    for role in &answer.roles {
        for path in &role.paths {
            let held = match path.source {
                Source::Superuser => "superuser".to_owned(),
                Source::Owner => format!("{}, owner", answer.privilege),
                Source::OwnerWithout => "owner, may GRANT".to_owned(),
                Source::Predefined => format!("{}, predefined", answer.privilege),
                Source::Grant | Source::Public => format!("{}{}", answer.privilege, details(path)),
            };
            drawing.path(&role.role, role.login, path, &held, object.clone());
        }
    }
    drawing
}

fn details(path: &Path) -> String {
    let mut text = String::new();
    if !path.columns.is_empty() {
        let _ = write!(text, " ({})", path.columns.join(", "));
    }
    if path.grantable {
        text.push_str(" WITH GRANT OPTION");
    }
    text
}
