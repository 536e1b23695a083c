//! What roles are to hold inside of databases, and what they hold, in one form: so that for a plan
//! both are lists of grants like any other.
//!
//! ```text
//! declared grants ──┐   a wish for all tables of a schema stays one grant,
//! objects found ────┼─► and what its owners will make later becomes default privileges
//! records ──────────┘
//! ```
//!
//! A role has in each database what it declares there, and nothing else; in a database where it
//! declares nothing, and did not when it was last left, nobody looks.
//!
//! For every kind of object in a schema, the two sides are written down like this:
//!
//! - *wished for all*: one grant. It is found where every object has it: no more and no less of the
//!   grant option.
//! - *wished for one*: a grant on that object, but for what is wished for all.
//! - *found and not wished*: a grant on each object; or one on all, if every object has it.
//!
//! What a role owns is left out on both sides: an owner holds everything. And what is found on a column is left out where
//! it will go together with what is found too much on its table: see [`columns`]. Of a role from which nothing is taken,
//! what is found on one object counts as wished for it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Records, columns, everybody, is_same};
use crate::catalog::{Catalog, Objects, Question, is_predefined};
use crate::model::{Finding, Grant, Object, ObjectKind, PUBLIC, Privileges, Role, Severity, Spec};

/// Privileges on one object, and the part of them WITH GRANT OPTION.
type Extent = (Privileges, Privileges);

/// What to look at, by database: where a role declares something, or did when it was last left.
pub fn questions(spec: &Spec, catalog: &Catalog, records: &Records) -> BTreeMap<String, Question> {
    let mut questions: BTreeMap<String, Question> = BTreeMap::new();
    for role in spec.roles.values() {
        for grant in grants_of(role, catalog, records) {
            let Some(database) = &grant.database else { continue };
            questions.entry(database.clone()).or_default().add(&role.name, &grant.on);
        }
    }
    questions
}

/// Those it declares, and those it was last left with, if it is still the same role.
pub(super) fn grants_of<'a>(
    role: &'a Role,
    catalog: &Catalog,
    records: &'a Records,
) -> impl Iterator<Item = &'a Grant> {
    let record = records.get(&role.name).filter(|record| is_same(&role.name, record, catalog));
    let applied = record.and_then(|record| record.applied.as_ref());
    role.grants.iter().chain(applied.into_iter().flat_map(|role| &role.grants))
}

/// Brings both sides into that form: the grants of the spec's roles, and those of the catalog's.
pub fn complete(spec: &mut Spec, catalog: &mut Catalog, records: &Records) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in spec.roles.values_mut() {
        let databases: BTreeSet<String> =
            grants_of(role, catalog, records).filter_map(|grant| grant.database.clone()).collect();
        for database in databases {
            let Some(objects) = catalog.objects.get(&database) else {
                // Who declares something there is skipped, and told so; who did once should hear of it too.
                let declares = role.grants.iter().any(|grant| grant.database.as_ref() == Some(&database));
                if let Some(why) = catalog.closed.get(&database).filter(|_| !declares) {
                    let message = format!(
                        "what {:?} may hold in database {database:?} stays: it cannot be looked into: {why}",
                        role.name
                    );
                    let finding = Finding::new(Severity::Warning, "database-closed", &role.path, message);
                    findings.push(finding.help("let the controller connect to it, or revoke there by hand"));
                }
                continue;
            };
            let place = Place { catalog, objects, database: &database };
            let wishes = Wishes::of(role, &place, &mut findings);
            let found = wishes.as_found(role, &place);
            if role.name == PUBLIC {
                let all = wishes.all.iter().map(|((kind, schema), extent)| (*kind, schema.as_str(), extent.0));
                findings.extend(everybody::later(role, (&database, objects), all, |schema| place.makers(schema)));
            }
            // That PUBLIC is to hold nothing somewhere is worth remembering: elsewhere nobody looks.
            let is_nothing = |grant: &Grant| role.name == PUBLIC && grant.privileges.is_empty();
            role.grants.retain(|grant| grant.database.as_ref() != Some(&database) || is_nothing(grant));
            role.grants.extend(wishes.desired(&database));
            role.grants.sort();
            if let Some(actual) = catalog.roles.get_mut(&role.name) {
                actual.grants.extend(found);
                actual.grants.sort();
            }
        }
    }
    findings
}

/// What a role holds in a database, in the form that the declared role gives it. For whoever looks
/// again after a plan.
pub fn found_again(completed: &Role, catalog: &Catalog, objects: &Objects, database: &str) -> Vec<Grant> {
    let place = Place { catalog, objects, database };
    Wishes::of(completed, &place, &mut Vec::new()).as_found(completed, &place)
}

/// What a role holds in a database and its grants do not say, or they say and it does not hold; with the names of
/// objects that they are about and that are not there. Empty where the grants are a complete account of it.
pub fn unsaid(role: &Role, catalog: &Catalog, objects: &Objects, database: &str) -> BTreeSet<String> {
    let place = Place { catalog, objects, database };
    let mut findings = Vec::new();
    let wishes = Wishes::of(role, &place, &mut findings);
    let said: BTreeSet<Grant> = wishes.desired(database).into_iter().collect();
    let found: BTreeSet<Grant> = wishes.as_found(role, &place).into_iter().collect();
    let missing = findings.into_iter().filter(|finding| finding.severity == Severity::Warning);
    let differ = said.symmetric_difference(&found).map(|grant| grant.on.in_words());
    differ.chain(missing.map(|finding| finding.message)).collect()
}

/// Who else than this role makes objects in a schema, as far as the controller may speak for them: those whose default
/// privileges are set with a wish for all.
pub fn makers_for<'a>(
    role: &str,
    schema: &str,
    catalog: &'a Catalog,
    objects: &'a Objects,
    database: &'a str,
) -> BTreeSet<&'a str> {
    let place = Place { catalog, objects, database };
    let mut makers = place.makers(schema);
    makers.retain(|maker| *maker != role && catalog.acts_as(maker));
    makers
}

/// One database, and who is who there.
struct Place<'a> {
    catalog: &'a Catalog,
    objects: &'a Objects,
    database: &'a str,
}

impl<'a> Place<'a> {
    /// Who makes objects in a schema, as far as one can tell: its owner, whoever was granted CREATE,
    /// and whoever owns something there.
    fn makers(&self, schema: &str) -> BTreeSet<&'a str> {
        let mut makers = BTreeSet::new();
        if let Some(found) = self.objects.schemas.get(schema) {
            makers.insert(found.owner.as_str());
            makers.extend(found.creators.iter().map(String::as_str));
        }
        for kind in ObjectKind::ALL {
            makers.extend(self.objects.members(kind, schema).map(|(_, owner)| owner.as_str()));
        }
        // The schema "public" belongs to whoever owns the database.
        if makers.remove("pg_database_owner") {
            makers.extend(self.catalog.owner_of(self.database));
        }
        makers.retain(|maker| !is_predefined(maker) && self.catalog.will_have(maker));
        makers
    }

    /// Whether a role needs no grant on an object.
    fn owns(&self, role: &str, object: &Object) -> bool {
        self.objects.owner(object) == Some(role)
    }
}

/// What one role is to hold in one database.
#[derive(Debug, Default)]
struct Wishes {
    all: BTreeMap<(ObjectKind, String), Extent>,
    /// On one object each, on schemas, and on what is yet to be made.
    one: BTreeMap<Object, Extent>,
}

impl Wishes {
    fn of(role: &Role, place: &Place<'_>, findings: &mut Vec<Finding>) -> Wishes {
        let mut wishes = Wishes::default();
        let mut missing: BTreeSet<String> = BTreeSet::new();
        for grant in role.grants.iter().filter(|grant| grant.database.as_deref() == Some(place.database)) {
            let Some(on) = exists(&grant.on, place.objects) else {
                if !wishes.for_superusers(role, &grant.on, place, findings) {
                    missing.insert(grant.on.in_words());
                }
                continue;
            };
            if place.owns(&role.name, &on) || on.future_owner() == Some(role.name.as_str()) {
                continue;
            }
            let extent = match on.schema().zip(on.kind()).filter(|_| on.is_all()) {
                Some((schema, kind)) => wishes.all.entry((kind, schema.to_owned())).or_default(),
                None => wishes.one.entry(on).or_default(),
            };
            extent.0 |= grant.privileges | grant.grantable;
            extent.1 |= grant.grantable;
        }
        for object in missing {
            let message = format!(
                "{:?} is declared to hold privileges on {object}, which database {:?} does not have; it gets the others",
                role.name, place.database
            );
            findings.push(
                Finding::new(Severity::Warning, "object-missing", &role.path, message)
                    .help("create it, or correct its name; the next cycle looks again"),
            );
        }
        if role.mode.keeps() {
            wishes.keep(role, place);
        }
        wishes.all_wins(place);
        wishes.plan_ahead(role, place, findings);
        wishes.leave(role, place, findings);
        wishes
    }

    /// Whether it is a language that nobody can be granted anything on.
    fn for_superusers(&self, role: &Role, on: &Object, place: &Place<'_>, findings: &mut Vec<Finding>) -> bool {
        let Object::Language(name) = on else { return false };
        if !place.objects.untrusted_languages.contains(name) {
            return false;
        }
        let message = format!(
            "{:?} is declared to hold USAGE on {} in database {:?}, which is not trusted: only superusers use it, and \
             PostgreSQL grants nothing on it; the role gets the others",
            role.name,
            on.in_words(),
            place.database
        );
        let finding = Finding::new(Severity::Warning, "untrusted-language", &role.path, message);
        findings.push(
            finding.help("take it out of `grants`; let a superuser write the functions, and grant EXECUTE on them"),
        );
        true
    }

    /// What is found stays: as if it had been wished for, on each object by itself.
    fn keep(&mut self, role: &Role, place: &Place<'_>) {
        for (object, held) in place.objects.held.get(&role.name).into_iter().flatten() {
            if place.owns(&role.name, object) {
                continue;
            }
            let extent = self.one.entry(object.clone()).or_default();
            extent.0 |= held.privileges;
            extent.1 |= held.grantable;
        }
    }

    /// What is wished for all need not be said of one, but for a grant option beyond that.
    fn all_wins(&mut self, place: &Place<'_>) {
        for (object, (privileges, grantable)) in &mut self.one {
            let Some((schema, kind)) = object.schema().zip(object.kind()).filter(|_| place.objects.is_member(object))
            else {
                continue;
            };
            if let Some(all) = self.all.get(&(kind, schema.to_owned())) {
                let option_only = stray(*grantable, *all);
                *privileges = (*privileges - all.0) | option_only;
                *grantable = (*grantable - all.0) | option_only;
            }
        }
        self.one.retain(|_, (privileges, _)| !privileges.is_empty());
    }

    /// What is wished for all is wished for what comes later, too.
    fn plan_ahead(&mut self, role: &Role, place: &Place<'_>, findings: &mut Vec<Finding>) {
        let mut powerless: BTreeSet<(&str, &str)> = BTreeSet::new();
        for ((kind, schema), extent) in self.all.iter().filter(|(_, extent)| !extent.0.is_empty()) {
            for maker in place.makers(schema).into_iter().filter(|maker| *maker != role.name) {
                if !place.catalog.acts_as(maker) {
                    powerless.insert((maker, schema));
                    continue;
                }
                let later = self.one.entry(kind.future(maker, schema)).or_default();
                later.0 |= extent.0;
                later.1 |= extent.1;
            }
        }
        for (maker, schema) in powerless {
            let controller = &place.catalog.server.current_user;
            let message = format!(
                "what {maker:?} will make in schema {schema:?} of database {:?} gets the privileges of {:?} in the \
                 cycle after, not at once: {controller:?} may not set the default privileges of {maker:?}",
                place.database, role.name
            );
            findings.push(
                Finding::new(Severity::Info, "future-objects", &role.path, message)
                    .help(format!("make {controller:?} a member of {maker:?}")),
            );
        }
    }

    /// Default privileges of somebody whom the controller may not act for stay as they are.
    fn leave(&mut self, role: &Role, place: &Place<'_>, findings: &mut Vec<Finding>) {
        let mut surplus: BTreeSet<&str> = BTreeSet::new();
        for (object, held) in place.objects.held.get(&role.name).into_iter().flatten() {
            let Some(maker) = object.future_owner().filter(|maker| !place.catalog.acts_as(maker)) else { continue };
            let wished = object.schema().zip(object.kind());
            let wished = wished.and_then(|(schema, kind)| self.all.get(&(kind, schema.to_owned())));
            let is_wished = role.mode.keeps()
                || wished.is_some_and(|wish| wish.0.contains(held.privileges) && wish.1.contains(held.grantable));
            if !is_wished {
                surplus.insert(maker);
            }
            self.one.insert(object.clone(), (held.privileges, held.grantable));
        }
        for maker in surplus {
            let controller = &place.catalog.server.current_user;
            let message = format!(
                "the default privileges that {maker:?} gives {:?} in database {:?} stay as they are: {controller:?} may \
                 not change those of {maker:?}",
                role.name, place.database
            );
            findings.push(
                Finding::new(Severity::Warning, "future-objects", &role.path, message)
                    .help(format!("make {controller:?} a member of {maker:?}")),
            );
        }
    }

    /// The declared side.
    fn desired(&self, database: &str) -> Vec<Grant> {
        let all = self.all.iter().filter(|(_, extent)| !extent.0.is_empty());
        let all = all.map(|((kind, schema), extent)| grant(database, kind.all(schema), *extent));
        let one = self.one.iter().map(|(object, extent)| grant(database, object.clone(), *extent));
        all.chain(one).collect()
    }

    /// The other side: what the role holds, said in the same way.
    fn as_found(&self, role: &Role, place: &Place<'_>) -> Vec<Grant> {
        let mut rest: BTreeMap<Object, Extent> = BTreeMap::new();
        let mut schemas: BTreeSet<(ObjectKind, String)> = self.all.keys().cloned().collect();
        for (object, held) in place.objects.held.get(&role.name).into_iter().flatten() {
            let is_said =
                |grant: &Grant| grant.database.as_deref() == Some(place.database) && object.is_among(&grant.on);
            if role.name == PUBLIC && !role.grants.iter().any(is_said) {
                continue;
            }
            rest.insert(object.clone(), (held.privileges, held.grantable));
            if let (Some(kind), Some(schema), None) = (object.kind(), object.schema(), object.future_owner()) {
                schemas.insert((kind, schema.to_owned()));
            }
        }
        let mut found = Vec::new();
        for (kind, schema) in schemas {
            let wish = self.all.get(&(kind, schema.clone())).copied().unwrap_or_default();
            let others: Vec<&Object> = place
                .objects
                .members(kind, &schema)
                .filter(|(_, owner)| **owner != role.name)
                .map(|(object, _)| object)
                .collect();
            let on_all = fold(&others, &mut rest, wish, &self.one);
            if !on_all.0.is_empty() {
                found.push(grant(place.database, kind.all(&schema), on_all));
            }
        }
        found.extend(rest.into_iter().map(|(object, extent)| grant(place.database, object, extent)));
        if let Some(held) = place.objects.held.get(&role.name) {
            columns::taken_along(&mut found, held, || self.desired(place.database));
        }
        found.retain(|grant| !grant.privileges.is_empty());
        found
    }
}

/// The grant options on one object for privileges that are wished for all without.
fn stray(grantable: Privileges, all: Extent) -> Privileges {
    (grantable & all.0) - all.1
}

/// Takes out of what is held on each object what is held on all, or wished for all, and returns the
/// former.
fn fold(
    objects: &[&Object],
    held: &mut BTreeMap<Object, Extent>,
    wish: Extent,
    one: &BTreeMap<Object, Extent>,
) -> Extent {
    // On none, all that is wished is held.
    let mut everywhere = if objects.is_empty() { wish } else { (Privileges::all(), Privileges::all()) };
    let (mut surplus, mut named) = (Privileges::empty(), Privileges::empty());
    for object in objects {
        let has = held.get(*object).copied().unwrap_or_default();
        let due = one.get(*object).copied().unwrap_or_default();
        everywhere = (everywhere.0 & has.0, everywhere.1 & has.1);
        surplus |= stray(has.1, wish) - due.1;
        named |= due.0;
    }
    // As wished: on all, with the grant option exactly where it is wished.
    let as_wished = (everywhere.0 & wish.0) - (surplus | (wish.1 - everywhere.1));
    // Beyond it: one grant is worth it for several, and only where none of them is to keep it.
    let beyond = if objects.len() > 1 { everywhere.0 - wish.0 - named } else { Privileges::empty() };
    for object in objects {
        let Some((privileges, grantable)) = held.get_mut(*object) else { continue };
        let option_only = stray(*grantable, wish);
        *privileges = (*privileges - wish.0 - beyond) | option_only;
        *grantable = (*grantable - wish.0 - beyond) | option_only;
        if privileges.is_empty() {
            held.remove(*object);
        }
    }
    (as_wished | beyond, (as_wished & wish.1) | (beyond & everywhere.1))
}

fn grant(database: &str, on: Object, (privileges, grantable): Extent) -> Grant {
    Grant { database: Some(database.to_owned()), on, privileges, grantable: grantable & privileges }
}

/// The object as the server calls it, if it is there.
fn exists(object: &Object, objects: &Objects) -> Option<Object> {
    if object.schema().is_some_and(|schema| !objects.schemas.contains_key(schema)) {
        return None;
    }
    if matches!(object, Object::Schema(_)) || object.is_all() || object.future_owner().is_some() {
        return Some(object.clone());
    }
    if objects.owner(object).is_some() {
        return Some(object.clone());
    }
    objects.signatures.get(object).cloned()
}
