//! Roles and changes in words: one fact a line, so that a difference is a line as well.

use crate::model::{Credential, Limit, Mode, Role, SecretState, Setting};
use crate::plan::Change;
use crate::present::describe;
use crate::printable::name;

/// All that is said of a role, but for its name.
pub(super) fn role(role: &Role) -> Vec<String> {
    let mut lines = vec![
        match role.mode {
            Mode::Authoritative => "authoritative",
            Mode::Additive => "additive",
            Mode::Adopt => "additive, never made",
            Mode::Present => "must be present",
            Mode::Observe => "observed only",
        }
        .to_owned(),
        describe::attributes(role.attributes),
    ];
    match role.connection_limit {
        None => {}
        Some(Limit::Unlimited) => lines.push("no connection limit".to_owned()),
        Some(Limit::AtMost(most)) => lines.push(format!("connection limit {most}")),
    }
    lines.extend(role.valid_until.map(describe::valid_until));
    lines.extend(role.comment.as_deref().map(|comment| format!("comment {}", name(comment))));
    match (&role.credential, role.has_password) {
        (Some(credential), _) => lines.push(password(credential)),
        (None, Some(false)) => lines.push("no password".to_owned()),
        (None, _) => {}
    }
    lines.extend(role.memberships.iter().map(describe::member_of));
    lines.extend(role.grants.iter().map(|grant| {
        let option = if grant.grantable.is_empty() { "" } else { ", WITH GRANT OPTION" };
        format!("{}{option}", describe::privilege(Some(""), grant, grant.privileges))
    }));
    lines.extend(role.settings.iter().map(setting));
    lines.extend(role.labels.iter().map(|(key, value)| format!("label {} = {}", name(key), name(value))));
    lines
}

/// A change: what is done to whom, and what belongs to it.
pub(super) fn change(change: &Change) -> (String, Vec<String>) {
    let action = change.action();
    let subject = change.role().map(|role| format!("{action} {}", name(role)));
    let title = subject.unwrap_or_else(|| action.to_owned());
    let details = match change {
        Change::CreateRole(made) => role(made).into_iter().skip(1).collect(),
        Change::AlterRole(patch) => {
            describe::alter(patch).into_iter().map(|(mark, text)| format!("{} {text}", mark.symbol())).collect()
        }
        Change::RenameRole { to, .. } => vec![format!("to {}", name(to))],
        Change::SetPassword(_) | Change::ClearPassword(_) => Vec::new(),
        Change::GrantRole { membership, .. } => vec![describe::member_of(membership)],
        Change::RevokeRole { membership, .. } => {
            let by = membership.grantor.as_deref().map(|by| format!(", granted by {}", name(by))).unwrap_or_default();
            vec![format!("{}{by}", describe::member_of(membership))]
        }
        Change::GrantPrivilege { role, grant } | Change::RevokePrivilege { role, grant } => {
            let option = if grant.grantable.is_empty() { "" } else { ", WITH GRANT OPTION" };
            let all = grant.privileges | grant.grantable;
            vec![format!("{}{option}", describe::privilege(role.as_deref(), grant, all))]
        }
        Change::SetSetting { setting: it, .. } | Change::ResetSetting { setting: it, .. } => vec![setting(it)],
        Change::DropRole { reassign_to, .. } => {
            reassign_to.iter().map(|to| format!("what it owns goes to {}", name(to))).collect()
        }
        Change::CreateDatabase(database) | Change::AlterDatabase(database) => {
            vec![describe::database_words(database)]
        }
        Change::SecureTable { table, how } => {
            let (mark, text) = describe::secure_table(table, how);
            vec![format!("{} {text}", mark.symbol())]
        }
        Change::RunScript(script) => vec![name(script).into_owned()],
    };
    (title, details)
}

fn password(credential: &Credential) -> String {
    let state = match credential.state {
        SecretState::Present => "",
        SecretState::Missing => ", which is missing",
        SecretState::Empty => ", which is empty",
        SecretState::Unreadable => ", which can't be read",
    };
    format!("password from Secret {}#{}{state}", name(&credential.secret), name(&credential.key))
}

fn setting(setting: &Setting) -> String {
    format!("set {} = {}{}", name(&setting.name), name(&setting.value), describe::inside(&setting.database))
}
