//! The lines of a dry run, as the Python ancestor of this controller wrote them: scripts and eyes
//! know them. What is written in Python's notation is quoted as Python quotes.

use std::collections::{BTreeMap, BTreeSet};

use super::describe;
use crate::catalog::Catalog;
use crate::model::{Grant, Object, Privileges};
use crate::plan::{Change, Plan, RolePatch};
use crate::printable::{is_hazard, line};
use crate::spec::Parsed;

/// One line for each change, in the order of the plan; memberships of one user that are granted or
/// revoked together are one line.
pub fn lines(plan: &Plan, catalog: &Catalog, parsed: &Parsed) -> Vec<String> {
    let users = plan.users(catalog);
    let kind = |role: &str| if users.contains(role) { "user" } else { "role" };
    let mut edges: BTreeMap<(bool, &str), BTreeSet<&str>> = BTreeMap::new();
    for step in &plan.steps {
        match &step.change {
            Change::GrantRole { member, membership } => {
                edges.entry((true, member)).or_default().insert(&membership.role);
            }
            Change::RevokeRole { member, membership } => {
                edges.entry((false, member)).or_default().insert(&membership.role);
            }
            _ => {}
        }
    }
    let mut lines = Vec::new();
    for step in &plan.steps {
        let said = match &step.change {
            Change::CreateRole(role) if role.is_user() => {
                let written = parsed.users.get(&role.name).map(|user| user.roles.as_slice()).unwrap_or_default();
                let of: BTreeSet<&str> = role.memberships.iter().map(|edge| edge.role.as_str()).collect();
                let mut roles: Vec<&str> = Vec::new();
                // As written, then what a policy has added.
                for name in
                    written.iter().map(String::as_str).filter(|name| of.contains(name)).chain(of.iter().copied())
                {
                    if !roles.contains(&name) {
                        roles.push(name);
                    }
                }
                format!("create user: {} with roles {}", line(&role.name), python('[', roles, ']'))
            }
            Change::CreateRole(role) if role.memberships.is_empty() => format!("create role: {}", line(&role.name)),
            Change::CreateRole(role) => {
                let of = role.memberships.iter().map(|edge| edge.role.as_str());
                format!("create role: {} with roles {}", line(&role.name), python('[', of, ']'))
            }
            Change::AlterRole(patch) => {
                format!("alter {} {}: {}", kind(&patch.name), line(&patch.name), altered(patch))
            }
            Change::RenameRole { from, to } => format!("rename {} {} to {}", kind(to), line(from), line(to)),
            Change::SetPassword(role) => format!("update password of {}: {}", kind(role), line(role)),
            Change::ClearPassword(role) => format!("remove password of {}: {}", kind(role), line(role)),
            Change::GrantRole { member, .. } => match edges.remove(&(true, member.as_str())) {
                Some(roles) => format!("grant roles to {}: {}", line(member), python('{', roles, '}')),
                None => continue,
            },
            Change::RevokeRole { member, .. } => match edges.remove(&(false, member.as_str())) {
                Some(roles) => format!("revoke roles from {}: {}", line(member), python('{', roles, '}')),
                None => continue,
            },
            Change::GrantPrivilege { role, grant } => {
                let to = role.as_deref().map_or("PUBLIC".into(), line);
                format!("grant {} to {to}", privileges(grant, grant.privileges | grant.grantable))
            }
            Change::RevokePrivilege { role, grant } => {
                let from = role.as_deref().map_or("PUBLIC".into(), line);
                if grant.privileges.is_empty() {
                    format!("revoke grant option for {} from {from}", privileges(grant, grant.grantable))
                } else {
                    format!("revoke {} from {from}", privileges(grant, grant.privileges))
                }
            }
            Change::SetSetting { role, setting } => {
                format!("set {} of {} {} to {}", line(&setting.name), kind(role), line(role), repr(&setting.value))
            }
            Change::ResetSetting { role, setting } => {
                format!("reset {} of {} {}", line(&setting.name), kind(role), line(role))
            }
            Change::DropRole { name, .. } => format!("delete {}: {}", kind(name), line(name)),
            Change::CreateDatabase(database) => format!("create database: {}", line(&database.name)),
            Change::AlterDatabase(database) => format!("alter database: {}", line(&database.name)),
            Change::SecureTable { table, how } => {
                let (mark, what) = describe::secure_table(table, how);
                format!("change row-level security in database {}: {} {what}", line(&table.database), mark.symbol())
            }
            Change::RunScript(script) => format!("run script: {}", line(script)),
        };
        lines.push(format!("[DRY-RUN] Would {said}"));
    }
    lines
}

fn altered(patch: &RolePatch) -> String {
    let words: Vec<String> =
        describe::alter(patch).into_iter().map(|(mark, text)| format!("{} {text}", mark.symbol())).collect();
    words.join(", ")
}

/// `CONNECT on database myapp`.
fn privileges(grant: &Grant, privileges: Privileges) -> String {
    let words: Vec<&str> = privileges.keywords().collect();
    let on = match &grant.on {
        Object::Database(name) => format!("database {}", line(name)),
        other => format!("{}{}", describe::object(other), describe::inside(&grant.database)),
    };
    format!("{} on {on}", words.join(", "))
}

fn python<'a>(open: char, names: impl IntoIterator<Item = &'a str>, close: char) -> String {
    let names: Vec<String> = names.into_iter().map(repr).collect();
    format!("{open}{}{close}", names.join(", "))
}

/// Python's `repr` of a text: <https://docs.python.org/3/library/functions.html#repr>.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\\' => shown.push_str("\\\\"),
            letter if letter == quote => shown.extend(['\\', letter]),
            hazard if is_hazard(hazard) => shown.push_str(&match u32::from(hazard) {
                code @ 0..=0xff => format!("\\x{code:02x}"),
                code @ 0x100..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
            plain => shown.push(plain),
        }
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    #[test]
    fn the_lines_are_those_of_the_ancestor() {
        let fixture = fixture::rich();
        let lines = lines(&fixture.plan, &fixture.catalog, &fixture.parsed);
        for wanted in [
            "[DRY-RUN] Would create role: analyst",
            "[DRY-RUN] Would create user: alice with roles ['read_only', 'analyst']",
            "[DRY-RUN] Would grant roles to bob: {'developer'}",
            "[DRY-RUN] Would revoke roles from bob: {'old'}",
            "[DRY-RUN] Would update password of user: bob",
            "[DRY-RUN] Would alter user bob: - CREATEDB",
            "[DRY-RUN] Would grant CONNECT on database myapp to alice",
            "[DRY-RUN] Would delete user: carol",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in\n{}", lines.join("\n"));
        }
        assert!(lines.iter().all(|line| !line.contains(is_hazard)), "{lines:?}");
    }

    #[test]
    fn names_are_quoted_as_python_does() {
        assert_eq!(repr("it's"), "\"it's\"");
        assert_eq!(repr("a'b\"c\\"), r#"'a\'b"c\\'"#);
        assert_eq!(repr("\u{1b}\u{202e}\u{e0001}\n"), r"'\x1b\u202e\U000e0001\n'");
    }
}
