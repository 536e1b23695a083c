//! `who-can`: which roles hold a privilege on an object, each with the ways that lead there, and what else it would take to
//! use it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::path::{Can, Holder, Path, Source};
use super::{Kind, Manner, Object, Oid, Role, Roles, Way};
use crate::model::{Attributes, Limit, Privileges};
use crate::printable::name;

/// What a question is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The object; for a column, its table.
    pub object: Object,
    /// Only this column of it.
    pub column: Option<String>,
    /// What is held on single columns of it.
    pub columns: Vec<Object>,
    /// The schema that it lies in.
    pub schema: Option<Object>,
    /// The database that it lies in, or that it is.
    pub database: Option<Object>,
}

/// Who can.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// The keyword.
    pub privilege: String,
    /// On what.
    pub object: Described,
    /// What decides besides privileges.
    pub notes: Vec<String>,
    /// How many roles there are in all.
    pub roles_in_all: usize,
    /// Those that can, users (roles that can log in) before group roles, by name.
    pub roles: Vec<Answered>,
}

/// An object, by names.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    /// `table`, ….
    pub kind: Kind,
    /// The database that it lies in; `null` for what belongs to the whole server.
    pub database: Option<String>,
    /// The schema that it lies in.
    pub schema: Option<String>,
    /// Its name; of a column, that of its table.
    pub name: String,
    /// Of a routine the types of its arguments, of a column its name.
    pub part: Option<String>,
    /// Its owner.
    pub owner: String,
    /// All that in a phrase.
    #[serde(skip)]
    pub in_words: String,
}

/// One role that can.
#[derive(Debug, Clone, Serialize)]
pub struct Answered {
    /// Its name.
    pub role: String,
    /// Whether it can log in.
    pub login: bool,
    /// Whether its password has ceased to work (VALID UNTIL).
    pub password_expired: bool,
    /// What it takes at least.
    pub can: Can,
    /// Whether it can log in, get there and do it, in one way at least (a GRANT to itself before it included).
    pub usable: bool,
    /// The ways, the easiest first. One that takes a GRANT is told only where there is no other.
    pub paths: Vec<Path>,
}

/// Answers.
pub fn who_can(roles: &Roles, subject: &Subject, privilege: Privileges, now: i64) -> Answer {
    let privileges = Needed::of(roles, subject, privilege);
    let mut found: BTreeMap<Oid, Vec<Path>> = BTreeMap::new();
    for holder in all_holders(roles, subject, privilege) {
        for (role, way) in ways(roles, &holder) {
            let mut path = holder.path(roles, &way);
            // Who is not in yet cannot SET ROLE.
            if is_connect(&subject.object, privilege) && path.steps.iter().any(|step| step.by == "set") {
                continue;
            }
            path.missing = privileges.missing(roles, role, &way);
            found.entry(role).or_default().push(path);
        }
    }
    let mut answered: Vec<Answered> = found
        .into_iter()
        .filter_map(|(oid, paths)| Some(answered(roles.role(oid)?, paths, subject.column.is_some(), now)))
        .collect();
    answered.sort_by(|a, b| (!a.login, &a.role).cmp(&(!b.login, &b.role)));
    let database = subject.database.as_ref().filter(|_| !subject.object.kind.is_shared());
    let object = subject.asked();
    let in_words = match database {
        Some(database) => format!("{} in {}", object.in_words(), database.in_words()),
        None => object.in_words(),
    };
    let notes = [Some(&object), database].into_iter().flatten().filter_map(Object::caveat);
    Answer {
        privilege: privilege.keywords().collect(),
        notes: notes.collect(),
        roles_in_all: roles.iter().count(),
        roles: answered,
        object: Described {
            kind: object.kind,
            database: database.map(|database| database.name.clone()),
            schema: object.schema.clone(),
            owner: roles.name(object.owner),
            in_words,
            name: object.name,
            part: object.part,
        },
    }
}

impl Subject {
    /// The object that is asked about: the column rather than its table.
    fn asked(&self) -> Object {
        let mut object = self.object.clone();
        if let Some(column) = &self.column {
            object.kind = Kind::Column;
            object.part = Some(column.clone());
        }
        object
    }
}

fn answered(role: &Role, mut paths: Vec<Path>, of_column: bool, now: i64) -> Answered {
    let is_whole = |path: &Path| of_column || path.columns.is_empty();
    paths.sort_by(|a, b| {
        let key = |path: &Path| (!is_whole(path), path.can, path.missing.len(), path.steps.len(), path.source);
        key(a).cmp(&key(b)).then_with(|| a.cmp(b))
    });
    if role.is_superuser() {
        // Nothing else matters.
        paths.retain(|path| path.source == Source::Superuser && path.steps.is_empty());
    } else {
        let can_already = paths.iter().any(|path| is_whole(path) && path.can < Can::AfterGrant);
        let mut told = false;
        paths.retain(|path| path.can < Can::AfterGrant || (!can_already && !std::mem::replace(&mut told, true)));
    }
    let can = paths.first().filter(|path| is_whole(path)).map_or(Can::SomeColumns, |path| path.can);
    let login = role.attributes.contains(Attributes::LOGIN);
    Answered {
        role: role.name.clone(),
        login,
        password_expired: login && role.is_expired(now),
        can,
        usable: login && paths.iter().any(|path| is_whole(path) && path.missing.is_empty()),
        paths,
    }
}

/// The roles that are `way` from a holder. PUBLIC is nobody's member, and everybody's.
fn ways(roles: &Roles, holder: &Holder) -> Vec<(Oid, Way)> {
    match holder.role {
        Some(role) => roles.ways_to(role, holder.is_inherited()).into_map().into_iter().collect(),
        None => roles.iter().map(|(oid, _)| (oid, Way { manner: Manner::Now, hops: Vec::new() })).collect(),
    }
}

fn all_holders(roles: &Roles, subject: &Subject, privilege: Privileges) -> Vec<Holder> {
    let mut all = holders(roles, &subject.object, privilege);
    // By grantee: all the columns that it was granted, in one path.
    let mut on_columns: BTreeMap<Option<Oid>, Holder> = BTreeMap::new();
    let asked = |object: &&Object| subject.column.is_none() || object.part == subject.column;
    for object in subject.columns.iter().filter(asked) {
        for granted in granted(object, privilege) {
            let known = on_columns.entry(granted.role).or_insert_with(|| granted.clone());
            known.columns.extend(object.part.clone());
            known.grantors.extend(granted.grantors);
            known.grantable &= granted.grantable;
        }
    }
    // On a catalog nobody writes.
    if !is_guarded(&subject.object, privilege) {
        all.extend(on_columns.into_values());
    }
    all
}

/// `pg_class_aclmask_ext`: "Deny anyone permission to update a system catalog unless …".
fn is_guarded(object: &Object, privilege: Privileges) -> bool {
    let writes =
        Privileges::INSERT | Privileges::UPDATE | Privileges::DELETE | Privileges::TRUNCATE | Privileges::USAGE;
    object.guarded && writes.contains(privilege)
}

/// Where the ways to a privilege end.
pub(super) fn holders(roles: &Roles, object: &Object, privilege: Privileges) -> Vec<Holder> {
    let superusers = roles.iter().filter(|(_, role)| role.is_superuser());
    let mut all: Vec<Holder> = superusers.map(|(oid, _)| Holder::new(Some(oid), Source::Superuser)).collect();
    if is_guarded(object, privilege) {
        return all;
    }
    let granted = granted(object, privilege);
    // Owners have no privilege but by the ACL, where they can put it back at any time.
    if !granted.iter().any(|holder| holder.source == Source::Owner) {
        all.push(Holder::new(Some(object.owner), Source::OwnerWithout));
    }
    all.extend(granted);
    let everywhere = predefined(object.kind, privilege).iter().filter_map(|role| roles.named(role));
    all.extend(everywhere.map(|role| Holder::new(Some(role), Source::Predefined)));
    all
}

/// Who holds it by the ACL: one for each grantee, however many granted it.
fn granted(object: &Object, privilege: Privileges) -> Vec<Holder> {
    let mut by_grantee: BTreeMap<Option<Oid>, Holder> = BTreeMap::new();
    for item in object.acl.iter().filter(|item| item.privilege == privilege) {
        let source = match item.grantee {
            None => Source::Public,
            Some(role) if role == object.owner => Source::Owner,
            Some(_) => Source::Grant,
        };
        let holder = by_grantee.entry(item.grantee).or_insert_with(|| Holder::new(item.grantee, source));
        if source != Source::Owner {
            holder.grantors.insert(item.grantor);
            holder.grantable |= item.grantable;
        }
    }
    by_grantee.into_values().collect()
}

/// The predefined roles that hold it on every object of the kind:
/// <https://www.postgresql.org/docs/current/predefined-roles.html>.
pub(super) fn predefined(kind: Kind, privilege: Privileges) -> &'static [&'static str] {
    match kind {
        Kind::Schema if privilege == Privileges::USAGE => &["pg_read_all_data", "pg_write_all_data"],
        Kind::Table | Kind::Sequence if privilege == Privileges::SELECT => &["pg_read_all_data"],
        Kind::Table | Kind::Sequence
            if (Privileges::INSERT | Privileges::UPDATE | Privileges::DELETE).contains(privilege) =>
        {
            &["pg_write_all_data"]
        }
        Kind::Table if privilege == Privileges::MAINTAIN => &["pg_maintain"],
        _ => &[],
    }
}

/// Who holds a privilege as it is: what `has_table_privilege` and its like say.
pub fn who_holds(roles: &Roles, object: &Object, privilege: Privileges) -> BTreeSet<Oid> {
    let mut all = BTreeSet::new();
    for holder in holders(roles, object, privilege).iter().filter(|holder| holder.source != Source::OwnerWithout) {
        match holder.role {
            None => return roles.iter().map(|(oid, _)| oid).collect(),
            Some(role) if holder.is_inherited() => all.extend(roles.inheritors(role)),
            Some(role) => _ = all.insert(role),
        }
    }
    all
}

/// The one privilege that is looked at before there is a session.
pub(super) fn is_connect(object: &Object, privilege: Privileges) -> bool {
    object.kind == Kind::Database && privilege == Privileges::CONNECT
}

/// What it takes besides the privilege itself.
struct Needed<'a> {
    /// CONNECT is a matter of who logs in.
    connect: Option<(&'a Object, BTreeSet<Oid>)>,
    /// USAGE is a matter of who one is then.
    usage: Option<(&'a Object, BTreeSet<Oid>)>,
}

impl<'a> Needed<'a> {
    fn of(roles: &Roles, subject: &'a Subject, privilege: Privileges) -> Needed<'a> {
        let held = |object: &'a Object, privilege| (object, who_holds(roles, object, privilege));
        let is_connect = is_connect(&subject.object, privilege);
        Needed {
            connect: subject.database.as_ref().filter(|_| !is_connect).map(|it| held(it, Privileges::CONNECT)),
            usage: subject.schema.as_ref().map(|it| held(it, Privileges::USAGE)),
        }
    }

    fn missing(&self, roles: &Roles, role: Oid, way: &Way) -> Vec<String> {
        let mut missing = Vec::new();
        // Group roles have members for that.
        let logs_in = |role: &&Role| role.attributes.contains(Attributes::LOGIN);
        let user = roles.role(role).filter(logs_in);
        if let (Some(_), Some((database, holders))) = (user, &self.connect) {
            if !holders.contains(&role) {
                missing.push(format!("CONNECT on {}", database.in_words()));
            }
            if database.limited {
                missing.push(format!("connections to database {}", name(&database.name)));
            }
        }
        if let Some((schema, holders)) = &self.usage {
            let acting = match way.manner {
                Manner::SetRole => way.set_role().map_or(role, |(acting, _)| acting),
                _ => role,
            };
            // What it grants itself may well bring that along.
            let brought = way.manner == Manner::Grant && way.hops.iter().any(|hop| holders.contains(&hop.to));
            if !holders.contains(&acting) && !brought {
                missing.push(format!("USAGE on {}", schema.in_words()));
            }
        }
        if user.is_some_and(|it| it.connection_limit == Limit::AtMost(0) && !it.is_superuser()) {
            missing.push("a session (CONNECTION LIMIT 0)".to_owned());
        }
        missing
    }
}
