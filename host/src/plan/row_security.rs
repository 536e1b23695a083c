//! Row-level security as steps: what leads from a table as found to what is declared of it. These are the host's own
//! steps, as there is nothing to decide: no module can ask for them, and none can keep one back but by refusing the plan.

use std::collections::BTreeMap;

use super::change::{Cause, Change, Step};
use crate::catalog::{FoundPolicy, FoundTable};
use crate::model::{Object, RowPolicy, TableName, TableSecurity};

/// What is done to a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Securing {
    /// `ENABLE ROW LEVEL SECURITY`.
    Enable,
    /// `DISABLE ROW LEVEL SECURITY`.
    Disable,
    /// `FORCE ROW LEVEL SECURITY`.
    Force,
    /// `NO FORCE ROW LEVEL SECURITY`.
    NoForce,
    /// `CREATE POLICY`.
    CreatePolicy(RowPolicy),
    /// `ALTER POLICY`: roles and expressions.
    AlterPolicy(RowPolicy),
    /// `DROP POLICY` and `CREATE POLICY`: what ALTER POLICY cannot change.
    ReplacePolicy(RowPolicy),
    /// `DROP POLICY`.
    DropPolicy(String),
}

impl Securing {
    /// Kebab-case name of the action.
    pub fn action(&self) -> &'static str {
        match self {
            Securing::Enable => "enable-row-security",
            Securing::Disable => "disable-row-security",
            Securing::Force => "force-row-security",
            Securing::NoForce => "no-force-row-security",
            Securing::CreatePolicy(_) => "create-policy",
            Securing::AlterPolicy(_) => "alter-policy",
            Securing::ReplacePolicy(_) => "replace-policy",
            Securing::DropPolicy(_) => "drop-policy",
        }
    }

    /// The policy that it is about.
    pub fn policy(&self) -> Option<&str> {
        match self {
            Securing::CreatePolicy(policy) | Securing::AlterPolicy(policy) | Securing::ReplacePolicy(policy) => {
                Some(&policy.name)
            }
            Securing::DropPolicy(name) => Some(name),
            _ => None,
        }
    }

    /// The policy that there is afterwards.
    pub fn made(&self) -> Option<&RowPolicy> {
        match self {
            Securing::CreatePolicy(policy) | Securing::AlterPolicy(policy) | Securing::ReplacePolicy(policy) => {
                Some(policy)
            }
            _ => None,
        }
    }

    /// Where it stands among the steps of its table.
    pub(super) fn turn(&self) -> u8 {
        match self {
            Securing::DropPolicy(_) => 0,
            Securing::AlterPolicy(_) | Securing::ReplacePolicy(_) | Securing::CreatePolicy(_) => 1,
            Securing::Force | Securing::NoForce => 2,
            Securing::Enable | Securing::Disable => 3,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Securing::Enable | Securing::Force => "declared, and off",
            Securing::Disable | Securing::NoForce => "declared to be off",
            Securing::CreatePolicy(_) => "declared, absent from the table",
            Securing::AlterPolicy(_) | Securing::ReplacePolicy(_) => "not as declared",
            Securing::DropPolicy(_) => "not declared",
        }
    }
}

/// What has to be done to a table, and where that is declared.
pub fn differences(found: &FoundTable, wanted: &TableSecurity) -> Vec<(Securing, String)> {
    let mut steps = Vec::new();
    if let Some(policies) = &wanted.policies {
        let others = found.policies.keys().filter(|name| !policies.contains_key(*name));
        steps.extend(others.map(|name| (Securing::DropPolicy(name.clone()), wanted.path.clone())));
        for (name, policy) in policies {
            let how = match found.policies.get(name) {
                None => Securing::CreatePolicy(policy.clone()),
                Some(there) if is_as_declared(there, policy) => continue,
                Some(there) if can_alter(there, policy) => Securing::AlterPolicy(policy.clone()),
                Some(_) => Securing::ReplacePolicy(policy.clone()),
            };
            steps.push((how, policy.path.clone()));
        }
    }
    match wanted.forced {
        Some(true) if !found.forced => steps.push((Securing::Force, wanted.path.clone())),
        Some(false) if found.forced => steps.push((Securing::NoForce, wanted.path.clone())),
        _ => {}
    }
    if wanted.enabled != found.enabled {
        let how = if wanted.enabled { Securing::Enable } else { Securing::Disable };
        steps.push((how, wanted.path.clone()));
    }
    steps
}

fn is_as_declared(found: &FoundPolicy, wanted: &RowPolicy) -> bool {
    found.command == wanted.command
        && found.permissive == wanted.permissive
        && found.roles == wanted.roles
        && found.has == (wanted.using.is_some(), wanted.check.is_some())
        && found.declared.as_deref() == Some(wanted.digest().as_str())
}

fn can_alter(found: &FoundPolicy, wanted: &RowPolicy) -> bool {
    let takes = |has: bool, wanted: &Option<String>| has && wanted.is_none();
    found.command == wanted.command
        && found.permissive == wanted.permissive
        && !takes(found.has.0, &wanted.using)
        && !takes(found.has.1, &wanted.check)
}

/// The steps for all tables; which place each of them has among others is for `order` to say.
pub fn steps<'a>(
    tables: impl Iterator<Item = (&'a TableName, &'a FoundTable, &'a TableSecurity)>,
    cause: Cause,
    by: &str,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (table, found, wanted) in tables {
        for (how, path) in differences(found, wanted) {
            // The contract has no word for what is done: reviewers read it here.
            let policy = how.policy().map(|policy| format!(" {policy:?}")).unwrap_or_default();
            let (action, why) = (how.action(), how.reason());
            let reason = format!("{action}{policy} on {:?}.{:?}: {why}", table.schema, table.name);
            let change = Change::SecureTable { table: table.clone(), how };
            steps.push(Step { risk: change.risk(), change, reason, path, cause, by: by.to_owned() });
        }
    }
    steps
}

/// Whether a change lets somebody at a table.
pub fn gives_access(change: &Change, table: &TableName) -> bool {
    let Change::GrantPrivilege { grant, .. } = change else { return false };
    grant.database.as_ref() == Some(&table.database)
        && match &grant.on {
            Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                (schema, name) == (&table.schema, &table.name)
            }
            Object::AllTables(schema) => *schema == table.schema,
            _ => false,
        }
}

/// What a step makes of a table; why it cannot work, else.
pub fn replay(found: &mut FoundTable, how: &Securing) -> Result<(), &'static str> {
    let switch = |is: &mut bool, to: bool, why: &'static str| {
        let was = std::mem::replace(is, to);
        if was == to { Err(why) } else { Ok(()) }
    };
    let made = |policy: &RowPolicy| FoundPolicy {
        command: policy.command,
        permissive: policy.permissive,
        roles: policy.roles.clone(),
        has: (policy.using.is_some(), policy.check.is_some()),
        printed: String::new(),
        declared: Some(policy.digest()),
    };
    match how {
        Securing::Enable => switch(&mut found.enabled, true, "it is on already"),
        Securing::Disable => switch(&mut found.enabled, false, "it is off already"),
        Securing::Force => switch(&mut found.forced, true, "it is forced already"),
        Securing::NoForce => switch(&mut found.forced, false, "it is not forced"),
        Securing::CreatePolicy(policy) => match found.policies.insert(policy.name.clone(), made(policy)) {
            None => Ok(()),
            Some(_) => Err("there is such a policy already"),
        },
        Securing::AlterPolicy(policy) => match found.policies.get_mut(&policy.name) {
            Some(there) if can_alter(there, policy) => {
                *there = made(policy);
                Ok(())
            }
            Some(_) => Err("that cannot be altered"),
            None => Err("there is no such policy"),
        },
        Securing::ReplacePolicy(policy) => match found.policies.insert(policy.name.clone(), made(policy)) {
            Some(_) => Ok(()),
            None => Err("there is no such policy"),
        },
        Securing::DropPolicy(name) => found.policies.remove(name).map(drop).ok_or("there is no such policy"),
    }
}

/// The tables of a plan as they are before it, by name, and as they are after it.
pub fn after<'a>(
    before: impl Fn(&TableName) -> Option<&'a FoundTable>,
    steps: &'a [Step],
) -> Result<BTreeMap<&'a TableName, FoundTable>, String> {
    let mut tables: BTreeMap<&TableName, FoundTable> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        let Change::SecureTable { table, how } = &step.change else { continue };
        let found = match tables.entry(table) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(empty) => match before(table) {
                Some(found) => empty.insert(found.clone()),
                None => return Err(format!("step {} ({}): there is no {table}", index + 1, how.action())),
            },
        };
        replay(found, how).map_err(|why| format!("step {} ({}) on {table}: {why}", index + 1, how.action()))?;
    }
    Ok(tables)
}
