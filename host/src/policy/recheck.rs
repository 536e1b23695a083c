//! What a transform may not do to a spec, whoever wrote it: break a name, touch what is known of a
//! password, say whose a role is, or hide where a wish comes from. Pure code over the spec before
//! and after; what it may do is the transform's own business, and recorded.

use std::collections::BTreeSet;

use super::convert::printable;
use crate::catalog::is_predefined;
use crate::model::{Finding, Mode, Object, PUBLIC, Role, Setting, Severity, Spec};
use crate::parameter;
use crate::plan::Touch;

/// Bytes of a name in PostgreSQL (NAMEDATALEN - 1).
const MAX_NAME: usize = 63;

/// What a transform did to a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Names of roles that it added, changed or took out.
    pub(super) touched: BTreeSet<String>,
    /// Roles that it took out: allowed, and never in silence.
    pub(super) removed: Vec<Finding>,
}

impl Difference {
    /// What became of each role; `before` is of no use to anybody afterwards.
    pub(super) fn touches(&self, policy: &str, mut before: Spec, after: &Spec) -> Vec<Touch> {
        let touch = |role: &String| Touch {
            role: role.clone(),
            policy: policy.to_owned(),
            before: before.roles.remove(role),
            after: after.roles.get(role).cloned(),
        };
        self.touched.iter().map(touch).collect()
    }
}

/// Compares the spec before and after a transform by `module`.
///
/// # Errors
///
/// What the transform did that it may not do.
pub(super) fn recheck(module: &str, before: &Spec, after: &Spec) -> Result<Difference, String> {
    let mut difference = Difference::default();
    for role in after.roles.values() {
        let earlier = before.roles.get(&role.name);
        // What it left alone is the host's own, and nobody's fault.
        if earlier != Some(role) {
            check_role(role, earlier)?;
            difference.touched.insert(role.name.clone());
        }
    }
    for role in before.roles.values().filter(|role| !after.roles.contains_key(&role.name)) {
        difference.touched.insert(role.name.clone());
        let message = format!("{} is declared, and the policy {module} takes it out of the spec", shown(&role.name));
        let mut finding = Finding::new(Severity::Warning, "removed-by-policy", &role.path, message)
            .help("a managed role that is not in the spec is dropped; change the policy's settings if it should stay");
        finding.policy = Some(module.to_owned());
        difference.removed.push(finding);
    }
    // Who owns a database may drop it.
    let names = before.databases.keys().chain(after.databases.keys());
    if let Some(name) = names.into_iter().find(|name| before.databases.get(*name) != after.databases.get(*name)) {
        return Err(format!("it changes the database {}, and databases are only declared", shown(name)));
    }
    match after.scripts.iter().find(|script| !before.scripts.contains(script)) {
        Some(script) => Err(format!("it adds the script {}, and scripts are only declared", shown(script))),
        None => Ok(difference),
    }
}

fn check_role(role: &Role, earlier: Option<&Role>) -> Result<(), String> {
    check_name("a role", &role.name)?;
    let name = shown(&role.name);
    match earlier {
        None if role.credential.is_some() => {
            return Err(format!("it gives {name} a credential, and only users.yaml names Secrets"));
        }
        Some(earlier) if role.credential != earlier.credential => {
            return Err(format!("it changes the credential of {name}, which is the host's word"));
        }
        Some(earlier) if role.standing != earlier.standing => {
            return Err(format!("it changes the standing of {name}, which only the host decides"));
        }
        None if role.standing != crate::model::Standing::Managed => {
            return Err(format!("it adds {name} as a role that is not managed"));
        }
        Some(earlier) if role.path != earlier.path => {
            return Err(format!("it changes the path of {name}, which says where users.yaml declares it"));
        }
        _ => {}
    }
    if (role.has_password == Some(true)) != role.credential.is_some() {
        return Err(format!("it says that {name} has a password, and names no Secret for it, or the reverse"));
    }
    if [PUBLIC, "none"].contains(&role.name.as_str()) {
        return Err(format!("it declares {name}, which PostgreSQL lets no role be called"));
    }
    let known = earlier.is_some_and(|earlier| earlier.mode == role.mode && earlier.is_user() == role.is_user());
    if is_predefined(&role.name) && !known && (role.is_user() || role.mode != Mode::Present) {
        return Err(format!("it declares {name}, and names that start with pg_ belong to PostgreSQL"));
    }
    for membership in &role.memberships {
        check_name("a role", &membership.role)?;
        membership.grantor.iter().try_for_each(|grantor| check_name("a grantor", grantor))?;
    }
    check_settings(&role.settings, &name)?;
    for grant in &role.grants {
        grant.database.iter().try_for_each(|database| check_name("a database", database))?;
        names(&grant.on).into_iter().try_for_each(|name| check_name("an object", name))?;
        if !grant.privileges.contains(grant.grantable) {
            return Err(format!("it lets {name} grant privileges that it does not hold"));
        }
    }
    role.comment.iter().try_for_each(|comment| check_text("a comment", comment))
}

/// As strict as with those of users.yaml.
fn check_settings(settings: &[Setting], of: &str) -> Result<(), String> {
    if settings.len() > parameter::MOST {
        return Err(format!("it gives {of} {} settings; {} is the most", settings.len(), parameter::MOST));
    }
    let mut seen = BTreeSet::new();
    for setting in settings {
        let parameter = shown(&setting.name);
        if let Some(why) = parameter::name_problem(&setting.name) {
            return Err(format!("it gives {of} a setting {parameter}, a name that {why}"));
        }
        if !seen.insert((setting.database.as_deref(), parameter::key(&setting.name))) {
            return Err(format!("it gives {of} the setting {parameter} twice"));
        }
        if let Some(why) = parameter::problem(&setting.name, &setting.value) {
            return Err(format!("it gives {of} a setting {parameter} with a value that {why}"));
        }
        setting.database.iter().try_for_each(|database| check_name("a database", database))?;
    }
    Ok(())
}

/// The names in an object; a routine's arguments are no name and may be long.
fn names(object: &Object) -> Vec<&str> {
    match object {
        Object::Database(name)
        | Object::Parameter(name)
        | Object::Tablespace(name)
        | Object::Schema(name)
        | Object::Language(name)
        | Object::ForeignDataWrapper(name)
        | Object::ForeignServer(name)
        | Object::AllTables(name)
        | Object::AllSequences(name)
        | Object::AllRoutines(name)
        | Object::AllTypes(name) => vec![name],
        Object::Table { schema, name }
        | Object::Sequence { schema, name }
        | Object::Routine { schema, name, .. }
        | Object::Type { schema, name } => vec![schema, name],
        Object::Column { schema, table, column } => vec![schema, table, column],
        Object::FutureTables { owner, schema }
        | Object::FutureSequences { owner, schema }
        | Object::FutureRoutines { owner, schema }
        | Object::FutureTypes { owner, schema }
        | Object::FutureSchemas { owner, schema } => std::iter::once(owner.as_str()).chain(schema.as_deref()).collect(),
        Object::LargeObject(_) => Vec::new(),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("it gives {what} an empty name"));
    }
    if name.len() > MAX_NAME {
        let bytes = name.len();
        return Err(format!("it names {what} {}, which has {bytes} bytes; PostgreSQL takes {MAX_NAME}", shown(name)));
    }
    check_text(what, name)
}

fn check_text(what: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') {
        return Err(format!("it gives {what} a NUL character, which PostgreSQL does not store"));
    }
    Ok(())
}

fn shown(name: &str) -> String {
    format!("`{}`", printable(name, 200))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attributes, Credential, Database, Membership, SecretState, Standing};

    fn before() -> Spec {
        let mut alice = Role::new("alice", Mode::Authoritative, Attributes::USER);
        alice.path = "/users/0".to_owned();
        alice.has_password = Some(true);
        alice.credential = Some(Credential {
            state: SecretState::Present,
            version: "1".to_owned(),
            in_sync: Some(true),
            ..Credential::new("user-alice-secret", "password")
        });
        alice.memberships = vec![Membership::plain("pg_monitor")];
        let monitor = Role::new("pg_monitor", Mode::Present, Attributes::GROUP);
        let roles = [alice, monitor].map(|role| (role.name.clone(), role));
        Spec { roles: roles.into(), ..Spec::default() }
    }

    fn after(change: impl FnOnce(&mut Spec)) -> Result<Difference, String> {
        let before = before();
        let mut after = before.clone();
        change(&mut after);
        recheck("naming", &before, &after)
    }

    fn alice(spec: &mut Spec) -> &mut Role {
        spec.roles.get_mut("alice").unwrap()
    }

    fn add(spec: &mut Spec, role: Role) {
        spec.roles.insert(role.name.clone(), role);
    }

    #[test]
    fn a_transform_may_leave_everything_as_it_is() {
        assert_eq!(after(|_| {}), Ok(Difference::default()));
    }

    #[test]
    fn what_a_transform_changes_and_adds_is_recorded() {
        let change = |spec: &mut Spec| {
            alice(spec).memberships.push(Membership::plain("staff"));
            add(spec, Role::new("staff", Mode::Present, Attributes::GROUP));
        };
        let mut changed = before();
        change(&mut changed);
        let touches = after(change).unwrap().touches("naming", before(), &changed);
        let [alice, staff] = touches.as_slice() else { panic!("{touches:?}") };
        assert_eq!((&alice.before, &alice.after), (&before().roles.remove("alice"), &changed.roles.remove("alice")));
        assert_eq!((&staff.before, &staff.after), (&None, &changed.roles.remove("staff")));
        assert_eq!((alice.policy.as_str(), staff.role.as_str()), ("naming", "staff"));
    }

    #[test]
    fn a_role_that_a_transform_takes_out_is_reported_where_it_was_declared() {
        let difference = after(|spec| drop(spec.roles.remove("alice"))).unwrap();
        assert!(difference.touched.iter().eq(["alice"]));
        let [finding] = difference.removed.as_slice() else { panic!("{difference:?}") };
        assert_eq!((finding.code.as_str(), finding.path.as_str()), ("removed-by-policy", "/users/0"));
        assert_eq!(finding.policy.as_deref(), Some("naming"));
    }

    #[test]
    fn what_only_the_host_knows_cannot_be_changed() {
        let refused = |change: fn(&mut Spec)| after(change).unwrap_err();
        assert!(refused(|spec| alice(spec).standing = Standing::Foreign).contains("standing of `alice`"));
        assert!(refused(|spec| alice(spec).path = "/users/1".to_owned()).contains("path of `alice`"));
        assert!(refused(|spec| alice(spec).credential = None).contains("credential of `alice`"));
        assert!(refused(|spec| alice(spec).has_password = Some(false)).contains("`alice` has a password"));
        assert!(
            refused(|spec| alice(spec).credential.as_mut().unwrap().secret = "root".to_owned())
                .contains("credential of `alice`")
        );
        let known =
            |change: fn(&mut Credential)| after(|spec| alice(spec).credential.iter_mut().for_each(change)).unwrap_err();
        assert!(known(|credential| credential.strength = Some(4)).contains("credential of `alice`"));
        assert!(known(|credential| credential.changed_at = Some(0)).contains("credential of `alice`"));
        assert!(
            known(|credential| drop(credential.labels.insert("team".to_owned(), "data".to_owned())))
                .contains("credential of `alice`")
        );
        assert!(
            refused(|spec| {
                let mut mallory = alice(spec).clone();
                mallory.name = "mallory".to_owned();
                add(spec, mallory);
            })
            .contains("gives `mallory` a credential")
        );
        assert!(refused(|spec| spec.scripts.push("boom".to_owned())).contains("script `boom`"));
    }

    #[test]
    fn databases_are_declared_by_nobody_else() {
        let mut before = before();
        before.databases.insert("shop".to_owned(), Database::new("shop"));
        let refused = |change: fn(&mut Spec)| {
            let mut after = before.clone();
            change(&mut after);
            recheck("naming", &before, &after).unwrap_err()
        };
        let owned = |spec: &mut Spec| spec.databases.get_mut("shop").unwrap().owner = Some("alice".to_owned());
        assert!(refused(owned).contains("`shop`"));
        assert!(refused(|spec| spec.databases.clear()).contains("`shop`"));
        let more = |spec: &mut Spec| drop(spec.databases.insert("more".to_owned(), Database::new("more")));
        assert!(refused(more).contains("`more`"));
        assert!(recheck("naming", &before, &before.clone()).is_ok());
    }

    #[test]
    fn names_that_postgresql_does_not_take_are_refused() {
        let named = |name: &str| after(|spec| add(spec, Role::new(name, Mode::Present, Attributes::GROUP)));
        assert!(named(&"ä".repeat(31)).is_ok());
        assert!(named(&"ä".repeat(32)).unwrap_err().contains("64 bytes"));
        assert!(named("").unwrap_err().contains("empty"));
        assert!(named("a\0b").unwrap_err().contains("NUL"));
        for reserved in ["public", "none"] {
            assert!(named(reserved).unwrap_err().contains("lets no role be called"));
        }
        let member_of = |name: &str| after(|spec| alice(spec).memberships.push(Membership::plain(name)));
        assert!(member_of("").unwrap_err().contains("empty"));
    }

    #[test]
    fn settings_are_looked_over_as_those_of_users_yaml_are() {
        let set = |name: &str, value: &str| Setting { database: None, name: name.to_owned(), value: value.to_owned() };
        let given = |settings: Vec<Setting>| after(|spec| alice(spec).settings = settings);
        assert!(given(vec![set("work_mem", "64MB"), set("search_path", "a, b"), set("app.x", "")]).is_ok());
        assert!(given(vec![set("work_mem; --", "1")]).unwrap_err().contains("letters"));
        assert!(given(vec![set("work_mem", "1"), set("WORK_MEM", "2")]).unwrap_err().contains("twice"));
        assert!(given(vec![set("search_path", "\"a")]).unwrap_err().contains("quote"));
        assert!(given(vec![set("work_mem", "\0")]).unwrap_err().contains("NUL"));
        let there = Setting { database: Some(String::new()), ..set("work_mem", "1") };
        assert!(given(vec![there]).unwrap_err().contains("empty"));
    }

    #[test]
    fn no_transform_makes_a_user_of_a_predefined_role() {
        let user = |name: &str| after(|spec| add(spec, Role::new(name, Mode::Authoritative, Attributes::USER)));
        assert!(user("pg_mine").unwrap_err().contains("belong to PostgreSQL"));
        assert!(user("pgbouncer").is_ok());
        let raised = after(|spec| spec.roles.get_mut("pg_monitor").unwrap().attributes = Attributes::USER);
        assert!(raised.unwrap_err().contains("`pg_monitor`"));
    }
}
