//! Spec change or drift? What the ledger last applied is held against each change: if the role was
//! already applied as the change would make it, the server moved away, and the change repairs
//! drift. Otherwise the spec moved.

use std::collections::BTreeMap;

use super::change::{Cause, Change, RolePatch};
use crate::model::{Expiry, Limit, Role};

/// What was last applied to a role: the role, and the version of its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The role as the last plan left it.
    pub role: Role,
    /// The version of the Secret whose password was set.
    pub secret_version: Option<String>,
}

/// The cause of a change, given what was last applied and, for passwords, the version of the
/// Secret as it is now.
pub fn of(change: &Change, applied: &BTreeMap<String, Applied>, secret_version: Option<&str>) -> Cause {
    let Some(last) = change.role().and_then(|name| applied.get(name)) else { return Cause::Spec };
    let role = &last.role;
    let drift = match change {
        Change::CreateRole(_) => true,
        Change::AlterRole(patch) => alter_is_drift(patch, role),
        Change::SetPassword(_) => last.secret_version.is_some() && last.secret_version.as_deref() == secret_version,
        Change::ClearPassword(_) => role.has_password == Some(false),
        Change::GrantRole { membership, .. } => role.memberships.iter().any(|edge| edge.role == membership.role),
        Change::RevokeRole { membership, .. } => {
            // An edge that changes its options is revoked and granted anew.
            !role.memberships.iter().any(|edge| edge.role == membership.role && edge.admin == membership.admin)
        }
        Change::GrantPrivilege { grant, .. } => role.grants.iter().any(|held| {
            held.database == grant.database && held.on == grant.on && held.privileges.contains(grant.privileges)
        }),
        Change::RevokePrivilege { grant, .. } => !role.grants.iter().any(|held| {
            held.database == grant.database && held.on == grant.on && held.privileges.intersects(grant.privileges)
        }),
        Change::SetSetting { setting, .. } => role.settings.contains(setting),
        Change::ResetSetting { setting, .. } => {
            !role.settings.iter().any(|held| held.database == setting.database && held.name == setting.name)
        }
        _ => false,
    };
    if drift { Cause::Drift } else { Cause::Spec }
}

/// One field that was applied as the patch wants it is enough: somebody moved it.
fn alter_is_drift(patch: &RolePatch, role: &Role) -> bool {
    let limit = role.connection_limit.unwrap_or(Limit::Unlimited);
    let expiry = role.valid_until.unwrap_or(Expiry::Never);
    (!patch.set.is_empty() && role.attributes.contains(patch.set))
        || (!patch.clear.is_empty() && !role.attributes.intersects(patch.clear))
        || patch.connection_limit.is_some_and(|wanted| wanted == limit)
        || patch.valid_until.is_some_and(|wanted| wanted == expiry)
}
