//! Shorthands to build and question the types of the contract. They add no meaning: whatever is made here can be written
//! out field by field.

use crate::{
    Attributes, Change, Context, Expiry, Finding, Grant, Info, Limit, Membership, Mode, Object, Privileges, Reviewed,
    Risk, Role, Severity, Spec, Standing, Step, Transformed, Verdict,
};

impl Info {
    /// `name` in kebab-case, a semantic version, and one sentence; no settings schema, and no clock.
    pub fn new(name: impl Into<String>, version: impl Into<String>, summary: impl Into<String>) -> Self {
        Info {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            settings_schema: None,
            clock_step_seconds: None,
        }
    }

    /// Adds a JSON Schema for the settings.
    #[must_use]
    pub fn settings_schema(mut self, schema: impl Into<String>) -> Self {
        self.settings_schema = Some(schema.into());
        self
    }

    /// Asks for the time of day, rounded down to this many seconds.
    #[must_use]
    pub fn clock_step_seconds(mut self, seconds: u32) -> Self {
        self.clock_step_seconds = Some(seconds);
        self
    }
}

impl Context {
    /// The context of a test: no clock, no labels, and a server of this version (`180004` is 18.4).
    pub fn new(server_version: u32) -> Self {
        Context {
            now: None,
            target: "localhost:5432/postgres".to_owned(),
            server_version,
            dry_run: false,
            reassign_owned_to: "postgres".to_owned(),
            labels: Vec::new(),
        }
    }
}

impl Finding {
    /// Blocks the plan. `code` is a stable kebab-case word, `path` a JSON pointer: mostly a role's own, sometimes with
    /// more behind it.
    pub fn error(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(Severity::Error, code, path, message)
    }

    /// Is shown, and blocks nothing.
    pub fn warning(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(Severity::Warning, code, path, message)
    }

    /// Is shown, and needs no action.
    pub fn info(code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding::new(Severity::Info, code, path, message)
    }

    fn new(severity: Severity, code: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { code: code.to_owned(), severity, path: path.into(), message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

#[allow(clippy::derivable_impls)] // The type is generated.
impl Default for Spec {
    fn default() -> Self {
        Spec { roles: Vec::new(), databases: Vec::new(), scripts: Vec::new() }
    }
}

impl Spec {
    /// The declared roles that may log in.
    pub fn users(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter().filter(|role| role.is_user())
    }
}

impl Role {
    /// A user as `CREATE ROLE name LOGIN` makes it, authoritative.
    pub fn user(name: impl Into<String>) -> Self {
        Role::new(name, Mode::Authoritative, Attributes::LOGIN | Attributes::INHERIT)
    }

    /// A group role as `CREATE ROLE name` makes it, which must only be present.
    pub fn group(name: impl Into<String>) -> Self {
        Role::new(name, Mode::Present, Attributes::INHERIT)
    }

    fn new(name: impl Into<String>, mode: Mode, attributes: Attributes) -> Self {
        Role {
            name: name.into(),
            mode,
            standing: Standing::Managed,
            attributes,
            connection_limit: None,
            valid_until: None,
            comment: None,
            memberships: Vec::new(),
            settings: Vec::new(),
            grants: Vec::new(),
            has_password: None,
            credential: None,
            labels: Vec::new(),
            path: String::new(),
        }
    }

    /// Makes it a member of these roles, in the plain way.
    #[must_use]
    pub fn member_of<const N: usize>(mut self, roles: [&str; N]) -> Self {
        self.memberships.extend(roles.map(Membership::plain));
        self
    }

    /// Sets where in users.yaml it is declared.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// A role that may log in is a user; the others are group roles.
    pub fn is_user(&self) -> bool {
        self.attributes.contains(Attributes::LOGIN)
    }
}

impl Membership {
    /// What `GRANT role TO member` gives: INHERIT and SET, no ADMIN.
    pub fn plain(role: impl Into<String>) -> Self {
        Membership { role: role.into(), admin: false, inherit: true, set: true, until: None, grantor: None }
    }
}

impl Grant {
    /// CONNECT on a database.
    pub fn connect(database: impl Into<String>) -> Self {
        Grant {
            database: None,
            on: Object::Database(database.into()),
            privileges: Privileges::CONNECT,
            grantable: Privileges::empty(),
        }
    }
}

impl Change {
    /// How bad the change is if it turns out to be a mistake. The host judges by the same rules and takes the higher of
    /// the two, so this is where a planner of your own may start.
    pub fn risk(&self) -> Risk {
        match self {
            Change::CreateRole(_)
            | Change::GrantRole(_)
            | Change::GrantPrivilege(_)
            | Change::SetSetting(_)
            | Change::CreateDatabase(_) => Risk::Safe,
            Change::AlterRole(patch) => {
                let takes_away = !(patch.clear - Attributes::INHERIT).is_empty()
                    || matches!(patch.connection_limit, Some(Limit::AtMost(_)))
                    || matches!(patch.valid_until, Some(Expiry::At(_)));
                if takes_away { Risk::Disruptive } else { Risk::Safe }
            }
            Change::RenameRole(_)
            | Change::SetPassword(_)
            | Change::ClearPassword(_)
            | Change::RevokeRole(_)
            | Change::RevokePrivilege(_)
            | Change::ResetSetting(_)
            | Change::AlterDatabase(_) => Risk::Disruptive,
            Change::DropRole(_) | Change::RunScript(_) => Risk::Destructive,
        }
    }
}

impl Step {
    /// A step with the risk that its change has. `path` is where the wish stands; empty for what is no longer declared.
    pub fn new(change: Change, reason: impl Into<String>, path: impl Into<String>) -> Self {
        Step { risk: change.risk(), change, reason: reason.into(), path: path.into() }
    }
}

impl Transformed {
    /// The spec stays as it was.
    pub fn unchanged() -> Self {
        Transformed { spec: None, findings: Vec::new() }
    }

    /// A new spec with nothing to say about it.
    pub fn quietly(spec: Spec) -> Self {
        Transformed { spec: Some(spec), findings: Vec::new() }
    }
}

impl Reviewed {
    /// The plan may run.
    pub fn allow() -> Self {
        Reviewed { verdict: Verdict::Allow, findings: Vec::new() }
    }

    /// The plan waits until somebody approves it, for these reasons.
    pub fn hold(findings: Vec<Finding>) -> Self {
        Reviewed { verdict: Verdict::Hold, findings }
    }

    /// The plan must not run, for these reasons.
    pub fn deny(findings: Vec<Finding>) -> Self {
        Reviewed { verdict: Verdict::Deny, findings }
    }
}
