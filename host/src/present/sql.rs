//! A plan as a script for psql. It runs as it stands, in one transaction as far as PostgreSQL allows;
//! passwords are left to whoever runs it, as a comment.
//!
//! What goes in a name's place may hold anything: comments are kept on their line, and hazards
//! inside quotes are written as escapes that mean the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::describe::locks_out;
use super::{View, script};
use crate::model::Severity;
use crate::plan::{Change, Step};
use crate::printable::{is_hazard, line};
use crate::sql::quote::{identifier_for_people, literal};
use crate::sql::statement::{Statement, Style};

/// The script.
pub fn render(view: &View<'_>) -> String {
    let mut text = format!("-- Rolewright's plan for {}\n", line(view.target));
    if view.plan.is_empty() {
        let _ = writeln!(text, "-- {}", view.summary());
        write_findings(&mut text, view);
        return text;
    }
    let _ = writeln!(text, "-- {}\n-- {}", line(&view.plan.digest), view.summary());
    write_findings(&mut text, view);
    if let Some(refused) = view.refused {
        // What may not run is not put into anybody's hands either.
        for reason in refused.lines() {
            let _ = writeln!(text, "-- Refused: {}", line(reason));
        }
        return text;
    }
    if let Some(held) = view.held {
        let _ = writeln!(text, "-- Held, and to be approved by a person: {}", line(held));
    }
    text.push_str("\\set ON_ERROR_STOP on\n");
    let removals = removals(view);
    // Inside of databases, what is taken comes before the rest and what is given after it.
    let databases: BTreeSet<&str> = view.plan.steps.iter().filter_map(|step| step.change.database()).collect();
    let new: BTreeSet<&str> = view.plan.databases_created().collect();
    let takes = |change: &Change| {
        // Before a database is there, nothing can be taken away in it.
        let is_new = change.database().is_some_and(|name| new.contains(name));
        matches!(change, Change::RevokePrivilege { .. }) && !is_new
    };
    let makes = |change: &Change| matches!(change, Change::CreateDatabase(_));
    for statement in script(view, makes) {
        write_statement(&mut text, view, &statement);
    }
    let mut current = view.database;
    let renames = script(view, |change| matches!(change, Change::RenameRole { .. }));
    write_inside(&mut text, view, &mut current, view.database, &renames);
    for database in &databases {
        let taken = script(view, |change| change.database() == Some(database) && takes(change));
        write_inside(&mut text, view, &mut current, database, &taken);
    }
    let main = script(view, |change| {
        let is_apart = makes(change) || matches!(change, Change::RenameRole { .. } | Change::RunScript(_));
        change.database().is_none() && !is_apart
    });
    if !main.is_empty() || !removals.is_empty() {
        go_to(&mut text, &mut current, view.database);
        text.push_str("\nBEGIN;\n");
        for statement in &main {
            write_statement(&mut text, view, statement);
        }
        for removal in &removals {
            let _ = writeln!(text, "{};", removal.nologin);
        }
        text.push_str("COMMIT;\n");
        write_locked_out(&mut text, view);
    }
    for database in &databases {
        let given = script(view, |change| change.database() == Some(database) && !takes(change));
        write_inside(&mut text, view, &mut current, database, &given);
    }
    if !removals.is_empty() {
        go_to(&mut text, &mut current, view.database);
    }
    write_removals(&mut text, view, &removals);
    for script in view.plan.scripts().filter_map(|name| view.script(name)) {
        go_to(&mut text, &mut current, &script.database);
        script::write(&mut text, script);
    }
    text
}

/// What is not in the script, and what would mend that.
fn write_findings(text: &mut String, view: &View<'_>) {
    for finding in view.findings.iter().filter(|finding| finding.severity >= Severity::Warning) {
        let _ = writeln!(text, "-- {} at {}: {}", finding.severity, line(&finding.place()), line(&finding.message));
        if let Some(help) = &finding.help {
            let _ = writeln!(text, "--   {}", line(help));
        }
    }
}

/// The statements of some of the steps, with the positions of these in the plan.
fn script(view: &View<'_>, wanted: impl Fn(&Change) -> bool) -> Vec<Statement> {
    let chosen = view.plan.steps.iter().enumerate().filter(|(_, step)| wanted(&step.change));
    let (positions, steps): (Vec<usize>, Vec<Step>) = chosen.map(|(index, step)| (index, step.clone())).unzip();
    let mut statements = view.renderer(Style::People).script(&steps);
    for statement in &mut statements {
        for step in &mut statement.steps {
            *step = positions.get(*step).copied().unwrap_or(*step);
        }
    }
    statements
}

fn write_inside<'a>(
    text: &mut String,
    view: &View<'_>,
    current: &mut &'a str,
    database: &'a str,
    statements: &[Statement],
) {
    if statements.is_empty() {
        return;
    }
    go_to(text, current, database);
    text.push_str("\nBEGIN;\n");
    for statement in statements {
        write_statement(text, view, statement);
    }
    text.push_str("COMMIT;\n");
}

fn go_to<'a>(text: &mut String, current: &mut &'a str, database: &'a str) {
    if *current != database {
        let _ = writeln!(text, "\n{}", connect(database));
        *current = database;
    }
}

/// A statement that sets passwords is valid without them: a new role begins without one, and a
/// statement that does nothing else is left out.
fn write_statement(text: &mut String, view: &View<'_>, statement: &Statement) {
    for role in statement.passwords() {
        let shown = visible(&identifier_for_people(role));
        let _ = writeln!(
            text,
            "-- password of {}: {}; set it with \\password {}",
            line(role),
            view.secret_of(role).trim_matches(['<', '>']),
            line(&shown)
        );
    }
    let steps = || statement.steps.iter().filter_map(|index| view.plan.steps.get(*index));
    if steps().any(|step| matches!(step.change, Change::SetPassword(_))) {
        return;
    }
    let _ = writeln!(text, "{};", visible(&statement.text(|_, sql| sql.push_str("NULL"))));
}

/// The statements of one removal.
struct Removal<'a> {
    name: &'a str,
    nologin: String,
    /// To be run in each database where something depends on the role.
    release: Vec<String>,
    drop: String,
}

fn removals<'a>(view: &View<'a>) -> Vec<Removal<'a>> {
    let mut removals = Vec::new();
    for step in &view.plan.steps {
        let Change::DropRole { name, .. } = &step.change else { continue };
        let mut statements: Vec<String> = view
            .renderer(Style::People)
            .change(&step.change)
            .iter()
            .map(|statement| visible(&statement.text(|_, _| ())))
            .collect();
        // NOLOGIN first, DROP ROLE last, and between them what is done in each database.
        let (Some(drop), false) = (statements.pop(), statements.is_empty()) else { continue };
        let nologin = statements.remove(0);
        removals.push(Removal { name, nologin, release: statements, drop });
    }
    removals
}

/// End the sessions of those who are disabled.
fn write_locked_out(text: &mut String, view: &View<'_>) {
    let patches = view.plan.steps.iter().filter_map(|step| match &step.change {
        Change::AlterRole(patch) if locks_out(view, patch) => Some(patch),
        _ => None,
    });
    for (index, patch) in patches.enumerate() {
        if index == 0 {
            text.push_str("\n-- Who is disabled can no longer log in; now their sessions end.\n");
        }
        write_end_of_sessions(text, &patch.name);
    }
}

fn write_end_of_sessions(text: &mut String, role: &str) {
    let _ = writeln!(
        text,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {};",
        visible(literal(role).trim_start())
    );
}

/// End the sessions, visit each database where something depends on the roles, drop them.
fn write_removals(text: &mut String, view: &View<'_>, removals: &[Removal<'_>]) {
    if removals.is_empty() {
        return;
    }
    text.push_str("\n-- What is removed can no longer log in; now its sessions end.\n");
    for removal in removals {
        write_end_of_sessions(text, removal.name);
    }
    let mut by_database: BTreeMap<&str, Vec<&Removal<'_>>> = BTreeMap::new();
    for removal in removals {
        let databases = view.plan.removals.get(removal.name).map(|known| &known.dependencies);
        let databases: BTreeSet<&str> =
            databases.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
        // What belongs to the whole server, and to this database, is released before the drop.
        for database in databases.into_iter().filter(|name| !name.is_empty() && *name != view.database) {
            by_database.entry(database).or_default().push(removal);
        }
    }
    let visited = !by_database.is_empty();
    for (database, removals) in by_database {
        let _ = writeln!(text, "\n{}\nBEGIN;", connect(database));
        for removal in removals {
            for statement in &removal.release {
                let _ = writeln!(text, "{statement};");
            }
        }
        text.push_str("COMMIT;\n");
    }
    text.push('\n');
    if visited {
        let _ = writeln!(text, "{}", connect(view.database));
    }
    text.push_str("BEGIN;\n");
    for removal in removals {
        for statement in removal.release.iter().chain([&removal.drop]) {
            let _ = writeln!(text, "{statement};");
        }
    }
    text.push_str("COMMIT;\n");
}

/// psql reads a database name with `=` in it, or one that begins like a URI, as a connection string.
/// A name that is not plain therefore goes as one: quoted once for libpq and twice for psql, which
/// first reads the escapes between single quotes and then takes double quotes off the outcome.
fn connect(database: &str) -> String {
    if identifier_for_people(database) == database {
        return format!("\\connect {database}");
    }
    let inner = database.replace('\\', "\\\\").replace('\'', "\\'");
    let mut quoted = String::new();
    for letter in format!("\"dbname='{}'\"", inner.replace('"', "\"\"")).chars() {
        match letter {
            '\\' | '\'' => quoted.extend(['\\', letter]),
            hazard if is_hazard(hazard) => {
                for byte in hazard.encode_utf8(&mut [0; 4]).bytes() {
                    // Octal: psql would take a hexadecimal digit that follows as part of a \x escape.
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            plain => quoted.push(plain),
        }
    }
    format!("\\connect -reuse-previous=on '{quoted}'")
}

/// SQL in which hazards inside quotes are escapes that mean the same: `U&"…"` for identifiers and
/// `E'…'` for literals.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS-UESCAPE>
pub(crate) fn visible(sql: &str) -> String {
    if !sql.contains(is_hazard) {
        return sql.to_owned();
    }
    let mut text = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some(start) = rest.find(['"', '\'']) {
        let quote = if rest[start..].starts_with('"') { '"' } else { '\'' };
        let escaped = quote == '\'' && rest[..start].ends_with('E');
        let end = end_of_quoted(&rest[start..], quote, escaped);
        let token = &rest[start..start + end];
        text.push_str(&rest[..start]);
        if !token.contains(is_hazard) {
            text.push_str(token);
        } else if quote == '"' {
            text.push_str("U&");
            for letter in token.chars() {
                match (letter, u32::from(letter)) {
                    ('\\', _) => text.push_str("\\\\"),
                    (hazard, code) if is_hazard(hazard) && code > 0xffff => {
                        let _ = write!(text, "\\+{code:06x}");
                    }
                    (hazard, code) if is_hazard(hazard) => {
                        let _ = write!(text, "\\{code:04x}");
                    }
                    (plain, _) => text.push(plain),
                }
            }
        } else {
            if !escaped {
                // Joined to a word before it, the E would be part of the word.
                text.push_str(if text.ends_with(|last: char| last.is_alphanumeric()) { " E" } else { "E" });
            }
            for letter in token.chars() {
                match (letter, u32::from(letter)) {
                    (hazard, code) if is_hazard(hazard) && code > 0xffff => {
                        let _ = write!(text, "\\U{code:08x}");
                    }
                    (hazard, code) if is_hazard(hazard) => {
                        let _ = write!(text, "\\u{code:04x}");
                    }
                    (plain, _) => text.push(plain),
                }
            }
        }
        rest = &rest[start + end..];
    }
    text.push_str(rest);
    text
}

/// Length in bytes of a quoted token, both quotes included.
fn end_of_quoted(token: &str, quote: char, escaped: bool) -> usize {
    let mut letters = token.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if escaped && letter == '\\' {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    token.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    #[test]
    fn a_plan_is_a_script_for_psql() {
        let fixture = fixture::rich();
        insta::assert_snapshot!("plan_sql", render(&fixture.view()));
    }

    #[test]
    fn every_line_is_sql_a_comment_or_a_known_command() {
        let fixture = fixture::rich();
        let script = render(&fixture.view());
        assert!(!script.replace('\n', "").contains(is_hazard));
        for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with("-- ")) {
            let command = line.starts_with("\\set ON_ERROR_STOP") || line.starts_with("\\connect ");
            assert!(command || line.ends_with(';'), "{line}");
        }
    }

    #[test]
    fn nothing_to_do_runs_nothing() {
        let fixture = fixture::empty();
        assert!(render(&fixture.view()).lines().all(|line| line.starts_with("-- ")));
    }

    #[test]
    fn hazards_in_quotes_become_escapes_and_the_rest_stays() {
        assert_eq!(visible("DROP ROLE \"a\"\"\n\\b\""), r#"DROP ROLE U&"a""\000a\\b""#);
        assert_eq!(visible("COMMENT ON ROLE a IS 'it''s\u{202e}'"), r"COMMENT ON ROLE a IS E'it''s\u202e'");
        assert_eq!(visible("IS  E'a\\\\b\\'\n' \"x\u{9b}\""), "IS  E'a\\\\b\\'\\u000a' U&\"x\\009b\"");
        assert_eq!(visible("\"plain\" 'x'"), "\"plain\" 'x'");
    }

    #[test]
    fn a_database_name_cannot_pass_for_a_connection_string() {
        assert_eq!(connect("app"), "\\connect app");
        assert_eq!(connect("host=evil"), r#"\connect -reuse-previous=on '"dbname=\'host=evil\'"'"#);
        assert_eq!(connect("it's\n\\x"), r#"\connect -reuse-previous=on '"dbname=\'it\\\'s\012\\\\x\'"'"#);
    }
}
