//! Changes as SQL statements.
//!
//! A password is never text here but a [`Piece::Password`] that names the role: who sends the
//! statement fills in the verifier, who prints it fills in where the password comes from.
//!
//! [`script`] joins what belongs together: ten thousand `GRANT CONNECT ON DATABASE` one by one
//! rewrite one ever longer ACL ten thousand times (76 s and 176 MiB of WAL were measured); one
//! statement with all names takes half a second.

use std::collections::BTreeMap;

use super::privilege::Place;
use super::quote::{identifier, identifier_for_people, literal};
use crate::catalog::Catalog;
use crate::model::{Attributes, Expiry, Grant, Limit, Membership, Role, SecretState, Setting};
use crate::parameter;
use crate::plan::{Change, RolePatch, Step};

/// Names in one grouped GRANT or REVOKE: keeps a statement well below a megabyte.
const NAMES_PER_STATEMENT: usize = 1_000;

/// Part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Plain SQL.
    Sql(String),
    /// `PASSWORD …` of the role named.
    Password(String),
    /// SQL that somebody else wrote, between parentheses.
    Expression(String),
}

/// One SQL statement, without a semicolon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// Its parts, to be joined as they are.
    pub pieces: Vec<Piece>,
    /// Positions in the plan of the steps that it carries out.
    pub steps: Vec<usize>,
}

impl Statement {
    /// A statement without a password, that carries out one step.
    pub fn plain(sql: String, step: usize) -> Self {
        Statement { pieces: vec![Piece::Sql(sql)], steps: vec![step] }
    }

    pub(super) fn new(sql: impl Into<String>) -> Self {
        Statement { pieces: vec![Piece::Sql(sql.into())], steps: Vec::new() }
    }

    /// Joins the pieces; `password` writes what follows the keyword PASSWORD.
    pub fn text(&self, mut password: impl FnMut(&str, &mut String)) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Sql(sql) | Piece::Expression(sql) => text.push_str(sql),
                Piece::Password(role) => password(role, &mut text),
            }
        }
        text
    }

    /// Roles whose password the statement sets.
    pub fn passwords(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Password(role) => Some(role.as_str()),
            Piece::Sql(_) | Piece::Expression(_) => None,
        })
    }

    /// Whether somebody else wrote a part of it: it is sent so that the server takes it for one statement or for none.
    pub fn has_expression(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Expression(_)))
    }
}

/// What removes one role, in the order in which it must run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalStatements {
    /// Keeps the role from logging in again.
    pub lock_out: String,
    /// In each database where it owns something, and on shared objects: hands that over.
    pub reassign: String,
    /// There too: takes away its privileges.
    pub drop_owned: String,
    /// Once nothing in any database depends on it.
    pub drop: String,
}

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Always quoted: what is sent.
    Exact,
    /// Plain names bare: what is printed. Means the same.
    People,
}

/// Renders changes for one server.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    /// The server's state and version decide about options and grantors.
    pub catalog: &'a Catalog,
    /// Who receives what a removed role owns.
    pub reassign_owned_to: &'a str,
    /// How names are written.
    pub style: Style,
}

impl Renderer<'_> {
    pub(super) fn name(&self, name: &str) -> String {
        match self.style {
            Style::Exact => identifier(name),
            Style::People => identifier_for_people(name),
        }
    }

    pub(super) fn names<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> String {
        names.into_iter().map(|name| self.name(name)).collect::<Vec<_>>().join(", ")
    }

    /// The statements of one change. A removal is given as its last three in one database; ending
    /// sessions and visiting the other databases is up to who runs it.
    pub fn change(&self, change: &Change) -> Vec<Statement> {
        match change {
            Change::CreateRole(role) => self.create_role(role),
            Change::AlterRole(patch) => self.alter_role(patch),
            Change::RenameRole { from, to } => {
                vec![Statement::new(format!("ALTER ROLE {} RENAME TO {}", self.name(from), self.name(to)))]
            }
            Change::SetPassword(role) => vec![Statement {
                pieces: vec![
                    Piece::Sql(format!("ALTER ROLE {} PASSWORD ", self.name(role))),
                    Piece::Password(role.clone()),
                ],
                steps: Vec::new(),
            }],
            Change::ClearPassword(role) => {
                vec![Statement::new(format!("ALTER ROLE {} PASSWORD NULL", self.name(role)))]
            }
            Change::GrantRole { member, membership } => {
                vec![Statement::new(self.grant_role(
                    &self.grant_options(member, membership),
                    &membership.role,
                    &[member],
                ))]
            }
            Change::RevokeRole { member, membership } => {
                vec![Statement::new(self.revoke_role(membership, &[member]))]
            }
            Change::GrantPrivilege { role: Some(role), grant } => {
                self.grant_privilege(grant, &self.places_to_grant(role, grant), &[role])
            }
            Change::RevokePrivilege { role: Some(role), grant } => self.revoke_privilege(role, grant),
            Change::DropRole { name, reassign_to } => {
                let removal = self.removal(name, reassign_to.as_deref());
                [removal.lock_out, removal.reassign, removal.drop_owned, removal.drop].map(Statement::new).into()
            }
            Change::SetSetting { role, setting } => {
                let value = setting_value(setting);
                vec![Statement::new(format!(
                    "{} SET {} TO {value}",
                    self.of(role, setting),
                    self.parameter(&setting.name)
                ))]
            }
            Change::ResetSetting { role, setting } => {
                vec![Statement::new(format!("{} RESET {}", self.of(role, setting), self.parameter(&setting.name)))]
            }
            Change::CreateDatabase(database) => self.create_database(database),
            Change::AlterDatabase(patch) => self.alter_database(patch),
            Change::SecureTable { table, how } => self.secure_table(table, how),
            // The guard lets none of these through: see `plan::replay`.
            Change::GrantPrivilege { role: None, .. }
            | Change::RevokePrivilege { role: None, .. }
            | Change::RunScript(_) => Vec::new(),
        }
    }

    /// The statements that remove a role, apart: they run in different databases and transactions.
    pub fn removal(&self, name: &str, reassign_to: Option<&str>) -> RemovalStatements {
        let receiver = self.name(reassign_to.unwrap_or(self.reassign_owned_to));
        let role = self.name(name);
        RemovalStatements {
            lock_out: format!("ALTER ROLE {role} NOLOGIN"),
            reassign: format!("REASSIGN OWNED BY {role} TO {receiver}"),
            drop_owned: format!("DROP OWNED BY {role}"),
            drop: format!("DROP ROLE {role}"),
        }
    }

    fn create_role(&self, role: &Role) -> Vec<Statement> {
        let mut sql = format!("CREATE ROLE {}", self.name(&role.name));
        for keyword in (role.attributes - Attributes::INHERIT).keywords() {
            sql.push(' ');
            sql.push_str(keyword);
        }
        if !role.attributes.contains(Attributes::INHERIT) {
            sql.push_str(" NOINHERIT");
        }
        if let Some(Limit::AtMost(limit)) = role.connection_limit {
            sql.push_str(&format!(" CONNECTION LIMIT {limit}"));
        }
        if let Some(Expiry::At(_)) = role.valid_until {
            sql.push_str(&valid_until(role.valid_until));
        }
        let (plain, special): (Vec<&Membership>, Vec<&Membership>) =
            role.memberships.iter().partition(|edge| self.is_plain(edge, role.attributes));
        if !plain.is_empty() {
            sql.push_str(" IN ROLE ");
            sql.push_str(&self.names(plain.iter().map(|edge| edge.role.as_str())));
        }
        let mut first = Statement::new(sql);
        if role.credential.as_ref().is_some_and(|found| found.state == SecretState::Present) {
            first.pieces.push(Piece::Sql(" PASSWORD ".to_owned()));
            first.pieces.push(Piece::Password(role.name.clone()));
        }
        let mut statements = vec![first];
        for edge in special {
            statements.push(Statement::new(self.grant_role(&self.options(edge), &edge.role, &[&role.name])));
        }
        if let Some(comment) = role.comment.as_deref().filter(|comment| !comment.is_empty()) {
            statements.push(self.comment(&role.name, comment));
        }
        statements
    }

    fn alter_role(&self, patch: &RolePatch) -> Vec<Statement> {
        let mut options = String::new();
        for keyword in patch.set.keywords() {
            options.push(' ');
            options.push_str(keyword);
        }
        for keyword in patch.clear.keywords() {
            options.push_str(" NO");
            options.push_str(keyword);
        }
        match patch.connection_limit {
            Some(Limit::Unlimited) => options.push_str(" CONNECTION LIMIT -1"),
            Some(Limit::AtMost(limit)) => options.push_str(&format!(" CONNECTION LIMIT {limit}")),
            None => {}
        }
        options.push_str(&valid_until(patch.valid_until));
        let mut statements = Vec::new();
        if !options.is_empty() {
            statements.push(Statement::new(format!("ALTER ROLE {}{options}", self.name(&patch.name))));
        }
        if let Some(comment) = &patch.comment {
            statements.push(self.comment(&patch.name, comment));
        }
        statements
    }

    /// `ALTER ROLE … [IN DATABASE …]`.
    fn of(&self, role: &str, setting: &Setting) -> String {
        let database = setting.database.as_deref().map(|name| format!(" IN DATABASE {}", self.name(name)));
        format!("ALTER ROLE {}{}", self.name(role), database.unwrap_or_default())
    }

    /// Each part of a name is an identifier of its own.
    pub(super) fn parameter(&self, name: &str) -> String {
        name.split('.').map(|part| self.name(part)).collect::<Vec<_>>().join(".")
    }

    fn comment(&self, role: &str, comment: &str) -> Statement {
        let text = if comment.is_empty() { "NULL".to_owned() } else { literal(comment) };
        Statement::new(format!("COMMENT ON ROLE {} IS {text}", self.name(role)))
    }

    /// Whether `GRANT role TO member` without options gives this edge on a fresh pair.
    fn is_plain(&self, edge: &Membership, member: Attributes) -> bool {
        !edge.admin
            && (!self.catalog.server.has_membership_options()
                || (edge.set && edge.inherit == member.contains(Attributes::INHERIT)))
    }

    /// Options of a GRANT for an edge. On 16 and later they are always spelled out: a bare GRANT leaves
    /// those of an edge that is there as they are, and takes INHERIT from an attribute that may change
    /// in the same plan.
    fn grant_options(&self, member: &str, edge: &Membership) -> String {
        let attributes = self.catalog.roles.get(member).map_or(Attributes::INHERIT, |role| role.attributes);
        if self.is_plain(edge, attributes) && !self.catalog.server.has_membership_options() {
            String::new()
        } else {
            self.options(edge)
        }
    }

    fn options(&self, edge: &Membership) -> String {
        if self.catalog.server.has_membership_options() {
            let word = |flag| if flag { "TRUE" } else { "FALSE" };
            format!(" WITH ADMIN {}, INHERIT {}, SET {}", word(edge.admin), word(edge.inherit), word(edge.set))
        } else if edge.admin {
            " WITH ADMIN OPTION".to_owned()
        } else {
            String::new()
        }
    }

    fn grant_role(&self, options: &str, role: &str, members: &[&str]) -> String {
        format!("GRANT {} TO {}{options}", self.name(role), self.names(members.iter().copied()))
    }

    /// On 16 and later a plain REVOKE only removes the edge that the controller itself granted.
    fn revoke_role(&self, membership: &Membership, members: &[&str]) -> String {
        let granted_by = match &membership.grantor {
            Some(grantor) if self.catalog.server.has_membership_options() => {
                format!(" GRANTED BY {}", self.name(grantor))
            }
            _ => String::new(),
        };
        format!("REVOKE {} FROM {}{granted_by}", self.name(&membership.role), self.names(members.iter().copied()))
    }

    /// The statements of many steps in order, with grants and revocations on one object, and
    /// memberships in one role, joined. Removals are left out: they are run apart.
    pub fn script(&self, steps: &[Step]) -> Vec<Statement> {
        let mut statements: Vec<Statement> = Vec::new();
        // New owners: what PUBLIC loses is revoked while the old one still speaks for it, and what an old owner is to
        // keep is granted once it is none.
        let mut owners: Vec<Statement> = Vec::new();
        // What can be joined, by the text that would be the same: where it stands and for whom.
        let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let group = match &step.change {
                Change::GrantRole { member, membership } => {
                    let options = self.grant_options(member, membership);
                    let key = format!("3 {}", self.grant_role(&options, &membership.role, &[""]));
                    Some((key, member.as_str(), Joined::GrantRole(options, &membership.role)))
                }
                Change::RevokeRole { member, membership } => {
                    let key = format!("2 {}", self.revoke_role(membership, &[""]));
                    Some((key, member.as_str(), Joined::RevokeRole(membership)))
                }
                Change::GrantPrivilege { role: Some(role), grant } => {
                    let places = self.places_to_grant(role, grant);
                    let key = format!("4 {places:?} {:?} {:?}", grant.privileges, grant.grantable);
                    Some((key, role.as_str(), Joined::GrantPrivilege(grant, places)))
                }
                // What somebody else granted is revoked in their name, one by one.
                Change::RevokePrivilege { role: Some(role), grant } => {
                    self.shared_places_to_revoke(role, grant).map(|places| {
                        let key = format!("1 {places:?} {:?} {:?}", grant.privileges, grant.grantable);
                        (key, role.as_str(), Joined::RevokePrivilege(grant, places))
                    })
                }
                Change::DropRole { .. } => continue,
                _ => None,
            };
            match group {
                Some((key, name, joined)) => {
                    let group = groups.entry(key.clone()).or_insert_with(|| {
                        order.push(key);
                        Group { joined, names: Vec::new() }
                    });
                    group.names.push((name, index));
                }
                None => {
                    let alters = matches!(step.change, Change::AlterDatabase(_) | Change::SecureTable { .. });
                    let list = if alters { &mut owners } else { &mut statements };
                    for mut statement in self.change(&step.change) {
                        statement.steps.push(index);
                        list.push(statement);
                    }
                }
            }
        }
        // Revocations before grants; the plan's order has the same phases, and everything else that is
        // not joined comes before them.
        order.sort_by_key(|key| key.as_bytes().first().copied());
        for key in order {
            let Some(group) = groups.remove(&key) else { continue };
            if matches!(group.joined, Joined::GrantRole(..) | Joined::GrantPrivilege(..)) {
                statements.append(&mut owners);
            }
            for chunk in group.names.chunks(NAMES_PER_STATEMENT) {
                let names: Vec<&str> = chunk.iter().map(|(name, _)| *name).collect();
                let rendered = match &group.joined {
                    Joined::GrantRole(options, role) => vec![Statement::new(self.grant_role(options, role, &names))],
                    Joined::RevokeRole(membership) => vec![Statement::new(self.revoke_role(membership, &names))],
                    Joined::GrantPrivilege(grant, places) => self.grant_privilege(grant, places, &names),
                    Joined::RevokePrivilege(grant, places) => {
                        self.revoke_privilege_as_owner(grant, places, &names).into_iter().map(Statement::new).collect()
                    }
                };
                for mut statement in rendered {
                    statement.steps.extend(chunk.iter().map(|(_, index)| *index));
                    statements.push(statement);
                }
            }
        }
        statements.append(&mut owners);
        statements
    }
}

/// Steps that become one statement.
struct Group<'a> {
    joined: Joined<'a>,
    names: Vec<(&'a str, usize)>,
}

enum Joined<'a> {
    GrantRole(String, &'a str),
    RevokeRole(&'a Membership),
    GrantPrivilege(&'a Grant, Vec<Place>),
    RevokePrivilege(&'a Grant, Vec<Place>),
}

/// ` VALID UNTIL '…'`, or nothing. NULL cannot be restored: `infinity` means the same.
fn valid_until(expiry: Option<Expiry>) -> String {
    match expiry {
        None => String::new(),
        Some(Expiry::Never) => " VALID UNTIL 'infinity'".to_owned(),
        Some(Expiry::At(i64::MIN)) => " VALID UNTIL '-infinity'".to_owned(),
        Some(Expiry::At(seconds)) => match time::OffsetDateTime::from_unix_timestamp(seconds) {
            Ok(moment) => format!(
                " VALID UNTIL '{:04}-{:02}-{:02} {:02}:{:02}:{:02}+00'",
                moment.year(),
                u8::from(moment.month()),
                moment.day(),
                moment.hour(),
                moment.minute(),
                moment.second()
            ),
            // Beyond the year 9999: as good as never for a password.
            Err(_) => " VALID UNTIL 'infinity'".to_owned(),
        },
    }
}

/// What follows TO. A list of names is one literal for each: in one for all, it would be one name.
fn setting_value(setting: &Setting) -> String {
    match parameter::elements(&setting.value) {
        Ok(names) if parameter::is_list(&setting.name) && !names.is_empty() => {
            names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
        }
        _ => literal(&setting.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_quoted_part_by_part_and_a_list_name_by_name() {
        let catalog = Catalog::default();
        let sql = |database: Option<&str>, name: &str, value: &str| {
            let renderer = Renderer { catalog: &catalog, reassign_owned_to: "", style: Style::Exact };
            let (database, name, value) = (database.map(str::to_owned), name.to_owned(), value.to_owned());
            let setting = Setting { database, name, value };
            let [set, reset] = [
                Change::SetSetting { role: "a\"b".into(), setting: setting.clone() },
                Change::ResetSetting { role: "a\"b".into(), setting },
            ]
            .map(|change| renderer.change(&change)[0].text(|_, _| {}));
            assert_eq!(set.split_once(" SET ").unwrap().0, reset.split_once(" RESET ").unwrap().0);
            set
        };
        assert_eq!(sql(None, "app.tenant", "it's; --"), r#"ALTER ROLE "a""b" SET "app"."tenant" TO 'it''s; --'"#);
        assert_eq!(
            sql(Some("my shop"), "search_path", r#""$user", a, "it's""#),
            r#"ALTER ROLE "a""b" IN DATABASE "my shop" SET "search_path" TO '$user', 'a', 'it''s'"#
        );
        assert_eq!(sql(None, "DateStyle", "ISO, DMY"), r#"ALTER ROLE "a""b" SET "DateStyle" TO 'ISO, DMY'"#);
        assert_eq!(sql(None, "search_path", ""), r#"ALTER ROLE "a""b" SET "search_path" TO ''"#);
    }
}
