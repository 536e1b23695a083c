//! The difference between roles and databases as desired and as found, as steps. Only what differs becomes a step, so a
//! server that is as desired needs none. Every script that may run is ordered: the host knows which are due.
//!
//! Both sides are walked at once, in the order of their names. A role that needs nothing costs two comparisons of lists,
//! and maps are only made for the few that differ.

use std::collections::BTreeMap;

use rolewright_policy::{
    Attributes, Catalog, Change, Database, Edge, Grant, Membership, Object, Privileges, Removal, Role, RoleGrant,
    RolePatch, RoleSetting, Schema, SecretState, Setting, Spec, Standing, Step,
};

/// From this version on, the server keeps INHERIT and SET for each membership, and one edge for each grantor.
const MEMBERSHIP_OPTIONS: u32 = 160_000;

/// The steps that lead from `actual` to `desired` on a server of this version (`180004` is 18.4).
pub fn plan_steps(desired: Spec, actual: Catalog, server_version: u32) -> Vec<Step> {
    let options = server_version >= MEMBERSHIP_OPTIONS;
    let mut steps = Vec::new();
    databases(&mut steps, desired.databases, actual.databases);
    let mut found = by_name(actual.roles).into_iter().peekable();
    let gone = |steps: &mut Vec<Step>, role: Role| {
        if role.standing == Standing::Managed {
            let change = Change::DropRole(Removal { name: role.name, reassign_to: None });
            steps.push(Step::new(change, "no longer declared", ""));
        }
    };
    for wanted in by_name(desired.roles) {
        while let Some(role) = found.next_if(|role| role.name < wanted.name) {
            gone(&mut steps, role);
        }
        match found.next_if(|role| role.name == wanted.name) {
            None => create(&mut steps, wanted),
            Some(role) => {
                attributes(&mut steps, &wanted, &role);
                password(&mut steps, &wanted, &role);
                memberships(&mut steps, &wanted, &role, options);
                grants(&mut steps, &wanted, &role);
                settings(&mut steps, &wanted, &role);
            }
        }
    }
    found.for_each(|role| gone(&mut steps, role));
    let run = |name: String| Step::new(Change::RunScript(name), "declared and allowed", "");
    steps.extend(desired.scripts.into_iter().map(run));
    steps
}

/// The host hands roles over in the order of their names; then this costs one look at each.
fn by_name(mut roles: Vec<Role>) -> Vec<Role> {
    if !roles.is_sorted_by(|a, b| a.name <= b.name) {
        roles.sort_by(|a, b| a.name.cmp(&b.name));
    }
    roles
}

/// Databases and schemas that are declared; what is declared no more stays, since nothing here drops what people keep
/// their data in.
fn databases(steps: &mut Vec<Step>, desired: Vec<Database>, actual: Vec<Database>) {
    let found: BTreeMap<&str, &Database> = actual.iter().map(|database| (database.name.as_str(), database)).collect();
    for wanted in desired {
        let path = wanted.path.clone();
        let Some(found) = found.get(wanted.name.as_str()) else {
            steps.push(Step::new(Change::CreateDatabase(wanted), "declared, absent from the server", path));
            continue;
        };
        let differs = |schema: &Schema| {
            let there = found.schemas.iter().find(|there| there.name == schema.name);
            there.is_none_or(|there| schema.owner.is_some() && schema.owner != there.owner)
        };
        let patch = Database {
            owner: wanted.owner.filter(|owner| found.owner.as_ref() != Some(owner)),
            connection_limit: wanted.connection_limit.filter(|limit| found.connection_limit != Some(*limit)),
            comment: wanted.comment.filter(|text| found.comment.as_deref().unwrap_or("") != text.as_str()),
            schemas: wanted.schemas.into_iter().filter(differs).collect(),
            ..wanted
        };
        let changes = patch.owner.is_some()
            || patch.connection_limit.is_some()
            || patch.comment.is_some()
            || !patch.schemas.is_empty();
        if changes {
            steps.push(Step::new(Change::AlterDatabase(patch), "not as declared", path));
        }
    }
}

/// The role with everything that belongs to it. Its grants and settings are steps of their own.
fn create(steps: &mut Vec<Step>, mut wanted: Role) {
    let (name, path) = (wanted.name.clone(), wanted.path.clone());
    let held = std::mem::take(&mut wanted.grants);
    let set = std::mem::take(&mut wanted.settings);
    steps.push(Step::new(Change::CreateRole(wanted), "declared, absent from the server", path.as_str()));
    for grant in held.into_iter().filter(|grant| !grant.privileges.is_empty()) {
        let reason = format!("declared on {}", describe(&grant.on));
        let change = Change::GrantPrivilege(RoleGrant { role: Some(name.clone()), grant });
        steps.push(Step::new(change, reason, path.as_str()));
    }
    for setting in set {
        let change = Change::SetSetting(RoleSetting { role: name.clone(), setting });
        steps.push(Step::new(change, "declared", path.as_str()));
    }
}

fn attributes(steps: &mut Vec<Step>, wanted: &Role, found: &Role) {
    let patch = RolePatch {
        name: wanted.name.clone(),
        set: wanted.attributes - found.attributes,
        clear: found.attributes - wanted.attributes,
        connection_limit: wanted.connection_limit.filter(|limit| found.connection_limit != Some(*limit)),
        valid_until: wanted.valid_until.filter(|expiry| found.valid_until != Some(*expiry)),
        // No comment and an empty one are the same to PostgreSQL.
        comment: wanted.comment.clone().filter(|text| found.comment.as_deref().unwrap_or("") != text.as_str()),
    };
    let mut differs = Vec::new();
    if patch.set != Attributes::empty() || patch.clear != Attributes::empty() {
        differs.push("attributes");
    }
    if patch.connection_limit.is_some() {
        differs.push("connection limit");
    }
    if patch.valid_until.is_some() {
        differs.push("expiry");
    }
    if patch.comment.is_some() {
        differs.push("comment");
    }
    if let Some((last, before)) = differs.split_last() {
        let list = if before.is_empty() { (*last).to_owned() } else { format!("{} and {last}", before.join(", ")) };
        let verb = if before.is_empty() && *last != "attributes" { "differs" } else { "differ" };
        steps.push(Step::new(Change::AlterRole(patch), format!("{list} {verb}"), wanted.path.as_str()));
    }
}

fn password(steps: &mut Vec<Step>, wanted: &Role, found: &Role) {
    match &wanted.credential {
        Some(credential) if credential.state == SecretState::Present => {
            if credential.in_sync != Some(true) {
                let change = Change::SetPassword(wanted.name.clone());
                steps.push(Step::new(
                    change,
                    "the server does not hold the password of the Secret",
                    wanted.path.as_str(),
                ));
            }
        }
        // A Secret that is missing must never erase a password: only `password: none` does.
        _ => {
            if wanted.has_password == Some(false) && found.has_password == Some(true) {
                let change = Change::ClearPassword(wanted.name.clone());
                steps.push(Step::new(change, "declared without a password", wanted.path.as_str()));
            }
        }
    }
}

/// ADMIN, INHERIT and SET: of one edge, or of all edges to one role together.
type Options = (bool, bool, bool);

/// Before PostgreSQL 16 only ADMIN is kept with a membership.
fn options_of(edge: &Membership, options: bool) -> Options {
    (edge.admin, options && edge.inherit, options && edge.set)
}

fn beyond(edge: Options, wish: Options) -> bool {
    (edge.0 && !wish.0) || (edge.1 && !wish.1) || (edge.2 && !wish.2)
}

fn union(a: Options, b: Options) -> Options {
    (a.0 || b.0, a.1 || b.1, a.2 || b.2)
}

fn memberships(steps: &mut Vec<Step>, wanted: &Role, found: &Role, options: bool) {
    let same = |(wish, edge): (&Membership, &Membership)| {
        wish.role == edge.role && options_of(wish, options) == options_of(edge, options)
    };
    if wanted.memberships.len() == found.memberships.len()
        && wanted.memberships.iter().zip(&found.memberships).all(same)
    {
        return;
    }
    // What is wished for each role, and what remains of it on the server once surplus edges are gone.
    let mut wishes: BTreeMap<&str, (Membership, Option<Options>)> = BTreeMap::new();
    for edge in &wanted.memberships {
        let (wish, _) =
            wishes.entry(&edge.role).or_insert_with(|| (Membership { grantor: None, ..edge.clone() }, None));
        wish.admin |= edge.admin;
        wish.inherit |= edge.inherit;
        wish.set |= edge.set;
    }
    let mut step = |change: fn(Edge) -> Change, membership: Membership, reason: String| {
        let edge = Edge { member: wanted.name.clone(), membership };
        steps.push(Step::new(change(edge), reason, wanted.path.as_str()));
    };
    let mut partly: BTreeMap<&str, ()> = BTreeMap::new();
    for edge in &found.memberships {
        match wishes.get_mut(edge.role.as_str()) {
            None => step(Change::RevokeRole, edge.clone(), format!("not declared to be a member of {}", edge.role)),
            Some((wish, _)) if beyond(options_of(edge, options), options_of(wish, options)) => {
                partly.insert(&edge.role, ());
                step(Change::RevokeRole, edge.clone(), format!("a member of {} with other options", edge.role));
            }
            Some((_, remaining)) => {
                let flags = options_of(edge, options);
                *remaining = Some(remaining.map_or(flags, |others| union(others, flags)));
            }
        }
    }
    for (role, (wish, remaining)) in wishes {
        let reason = match remaining {
            Some(held) if held == options_of(&wish, options) => continue,
            None if !partly.contains_key(role) => format!("not a member of {role} yet"),
            _ => format!("a member of {role} with other options"),
        };
        step(Change::GrantRole, wish, reason);
    }
}

/// What is held on each object: privileges, and the part of them that may be granted on.
type Held<'a> = BTreeMap<(Option<&'a str>, &'a Object), (Privileges, Privileges)>;

fn held(grants: &[Grant]) -> Held<'_> {
    let mut held: Held<'_> = BTreeMap::new();
    for grant in grants.iter().filter(|grant| !grant.privileges.is_empty()) {
        let (privileges, grantable) =
            held.entry((grant.database.as_deref(), &grant.on)).or_insert((Privileges::empty(), Privileges::empty()));
        *privileges |= grant.privileges;
        *grantable |= grant.grantable;
    }
    held
}

fn grants(steps: &mut Vec<Step>, wanted: &Role, found: &Role) {
    if wanted.grants == found.grants {
        return;
    }
    let nothing = (Privileges::empty(), Privileges::empty());
    let wishes = held(&wanted.grants);
    let mut surplus = held(&found.grants);
    let mut step = |change: fn(RoleGrant) -> Change, on: (Option<&str>, &Object), privileges, grantable, why: &str| {
        let grant = Grant { database: on.0.map(str::to_owned), on: on.1.clone(), privileges, grantable };
        let reason = format!("{why} {}", describe(on.1));
        let change = change(RoleGrant { role: Some(wanted.name.clone()), grant });
        steps.push(Step::new(change, reason, wanted.path.as_str()));
    };
    for (on, (wish, wish_grantable)) in wishes {
        let (has, has_grantable) = surplus.get(&on).copied().unwrap_or(nothing);
        surplus.insert(on, (has - wish, has_grantable - wish_grantable));
        let grantable = wish_grantable - has_grantable;
        let privileges = (wish - has) | grantable;
        if !privileges.is_empty() {
            step(Change::GrantPrivilege, on, privileges, grantable, "declared on");
        }
    }
    for (on, (privileges, grantable)) in surplus {
        // What is revoked wholly loses its grant option with it.
        let only_option = grantable - privileges;
        if !(privileges | only_option).is_empty() {
            step(Change::RevokePrivilege, on, privileges, only_option, "not declared on");
        }
    }
}

fn describe(object: &Object) -> String {
    match object {
        Object::Database(name) => format!("database {name}"),
        Object::Parameter(name) => format!("parameter {name}"),
        Object::Tablespace(name) => format!("tablespace {name}"),
        Object::Schema(name) => format!("schema {name}"),
        Object::Table(table) => format!("table {}.{}", table.schema, table.name),
        Object::Column(column) => format!("column {}.{}.{}", column.schema, column.table, column.column),
        Object::Sequence(sequence) => format!("sequence {}.{}", sequence.schema, sequence.name),
        Object::Routine(routine) => format!("routine {}.{}({})", routine.schema, routine.name, routine.arguments),
        Object::Type(kind) => format!("type {}.{}", kind.schema, kind.name),
        Object::Language(name) => format!("language {name}"),
        Object::ForeignDataWrapper(name) => format!("foreign-data wrapper {name}"),
        Object::ForeignServer(name) => format!("foreign server {name}"),
        Object::LargeObject(oid) => format!("large object {oid}"),
        Object::AllTables(schema) => format!("all tables of schema {schema}"),
        Object::AllSequences(schema) => format!("all sequences of schema {schema}"),
        Object::AllRoutines(schema) => format!("all routines of schema {schema}"),
        Object::AllTypes(schema) => format!("all types of schema {schema}"),
        Object::FutureTables(objects) => format!("future tables of {}", objects.owner),
        Object::FutureSequences(objects) => format!("future sequences of {}", objects.owner),
        Object::FutureRoutines(objects) => format!("future routines of {}", objects.owner),
        Object::FutureTypes(objects) => format!("future types of {}", objects.owner),
        Object::FutureSchemas(objects) => format!("future schemas of {}", objects.owner),
    }
}

fn settings(steps: &mut Vec<Step>, wanted: &Role, found: &Role) {
    if wanted.settings == found.settings {
        return;
    }
    let mut step = |change: fn(RoleSetting) -> Change, setting: &Setting, reason: String| {
        let setting = RoleSetting { role: wanted.name.clone(), setting: setting.clone() };
        steps.push(Step::new(change(setting), reason, wanted.path.as_str()));
    };
    let same_name = |a: &Setting, b: &Setting| a.name == b.name && a.database == b.database;
    for setting in wanted.settings.iter().filter(|setting| !found.settings.contains(setting)) {
        step(Change::SetSetting, setting, format!("{} is declared with another value", setting.name));
    }
    for setting in &found.settings {
        if !wanted.settings.iter().any(|wish| same_name(wish, setting)) {
            step(Change::ResetSetting, setting, format!("{} is not declared", setting.name));
        }
    }
}
