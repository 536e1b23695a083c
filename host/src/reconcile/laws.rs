//! The law of every plan, for random specs and catalogs: replayed over what is, it gives what must
//! be; and where nothing differs, it is empty. Proved on the shipped policy as it ships, in its
//! sandbox, with the guard as judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::catalog::Catalog;
use crate::guard::{self, Bounds, GuardedPlan, Judgement};
use crate::model::{
    Attributes, Credential, Database, Expiry, Grant, Limit, Membership, Mode, Object, Privileges, Role, SecretState,
    Setting, Spec, Standing,
};
use crate::plan::{Cause, Change, Plan, assemble, replay};
use crate::policy::{Chain, Context, Limits, Runtime};
use crate::resolve::{self, Kind, Origin, Record, Records, Resolved};

static STANDARD: &[u8] = include_bytes!(env!("ROLEWRIGHT_STANDARD_POLICY"));

fn chain() -> &'static Chain {
    static CHAIN: OnceLock<Chain> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let runtime = Runtime::new(Limits::default(), None).unwrap().with_builtin("standard", STANDARD);
        Chain::load(&runtime, None).unwrap()
    })
}

pub(super) const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
const DATABASES: [&str; 2] = ["shop", "reports"];
const GRANTORS: [&str; 2] = ["postgres", "somebody"];

fn attributes() -> impl Strategy<Value = Attributes> {
    // No powers: the guard would rightly refuse to keep quiet about them.
    subsequence(vec![Attributes::LOGIN, Attributes::CREATEDB, Attributes::INHERIT], 0..=3)
        .prop_map(|flags| flags.into_iter().fold(Attributes::empty(), |all, flag| all | flag))
}

fn privileges() -> impl Strategy<Value = Privileges> {
    subsequence(vec![Privileges::CONNECT, Privileges::CREATE, Privileges::TEMPORARY], 1..=3)
        .prop_map(|flags| flags.into_iter().fold(Privileges::empty(), |all, flag| all | flag))
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    subsequence(DATABASES.to_vec(), 0..=2).prop_flat_map(|databases| {
        let each = databases.into_iter().map(|database| {
            (privileges(), privileges()).prop_map(move |(privileges, grantable)| Grant {
                database: None,
                on: Object::Database(database.to_owned()),
                privileges,
                grantable: privileges & grantable,
            })
        });
        each.collect::<Vec<_>>()
    })
}

/// Each at most once in one place, as the server keeps them and as people write them.
fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let places: Vec<(Option<&str>, bool)> = [None, Some("shop"), Some("reports")]
        .into_iter()
        .flat_map(|database| [(database, true), (database, false)])
        .collect();
    subsequence(places, 0..=3).prop_flat_map(|places| {
        let each = places.into_iter().map(|(database, is_list)| {
            let (names, values) = if is_list {
                (["search_path", "Search_Path"], ["a, b", "A,\"b\"", "\"user\""])
            } else {
                (["TimeZone", "timezone"], ["UTC", "Europe/Berlin", ""])
            };
            (prop::sample::select(names.to_vec()), prop::sample::select(values.to_vec())).prop_map(
                move |(name, value)| Setting {
                    database: database.map(str::to_owned),
                    name: name.to_owned(),
                    value: value.to_owned(),
                },
            )
        });
        each.collect::<Vec<_>>()
    })
}

/// Of each of the names.
fn settings_of_each() -> impl Strategy<Value = Vec<Option<Vec<Setting>>>> {
    prop::collection::vec(prop::option::of(settings()), NAMES.len())
}

/// Edges lead to roles with a lower number only, so that there is no circle.
fn found_memberships(number: usize) -> impl Strategy<Value = Vec<Membership>> {
    let edges: Vec<(usize, usize)> =
        (0..number).flat_map(|role| (0..GRANTORS.len()).map(move |grantor| (role, grantor))).collect();
    let most = edges.len();
    subsequence(edges, 0..=most).prop_flat_map(|edges| {
        let each = edges.into_iter().map(|(role, grantor)| {
            (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |(admin, inherit, set)| Membership {
                role: NAMES[role].to_owned(),
                admin,
                inherit,
                set,
                until: None,
                grantor: Some(GRANTORS[grantor].to_owned()),
            })
        });
        each.collect::<Vec<_>>()
    })
}

fn found(number: usize) -> impl Strategy<Value = Role> {
    (attributes(), found_memberships(number), grants(), prop::option::of(1..9_u32), any::<bool>()).prop_map(
        move |(attributes, memberships, grants, limit, has_password)| Role {
            memberships,
            grants,
            connection_limit: Some(limit.map_or(Limit::Unlimited, Limit::AtMost)),
            valid_until: Some(if has_password { Expiry::Never } else { Expiry::At(1_800_000_000) }),
            has_password: Some(has_password),
            standing: Standing::Foreign,
            ..Role::new(NAMES[number], Mode::Authoritative, attributes)
        },
    )
}

fn declared(number: usize) -> impl Strategy<Value = Role> {
    let groups: Vec<usize> = (0..number).collect();
    let most = groups.len();
    let flags = subsequence(vec![Attributes::CREATEDB, Attributes::INHERIT], 0..=2);
    let options = prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), most);
    let word = prop::sample::select(vec!["named", "user", "user", "role"]);
    (subsequence(groups, 0..=most), options, grants(), prop::option::of(any::<bool>()), word, flags).prop_map(
        move |(groups, options, grants, secret, word, flags)| {
            if word == "named" {
                return Role::new(NAMES[number], Mode::Present, Attributes::GROUP);
            }
            let login = if word == "user" { Attributes::LOGIN } else { Attributes::empty() };
            let attributes = flags.into_iter().fold(login, |all, flag| all | flag);
            let membership = |(group, (admin, inherit, set)): (usize, (bool, bool, bool))| Membership {
                admin,
                inherit,
                // One without any option is refused where it is read.
                set: set || !(admin || inherit),
                ..Membership::plain(NAMES[group])
            };
            let memberships = groups.into_iter().zip(options).map(membership).collect();
            if word == "role" {
                return Role { memberships, grants, ..Role::new(NAMES[number], Mode::Authoritative, attributes) };
            }
            let credential = secret.map(|present| Credential {
                state: if present { SecretState::Present } else { SecretState::Missing },
                version: "1".into(),
                ..Credential::new("s", "password")
            });
            Role {
                memberships,
                grants,
                has_password: Some(credential.is_some()),
                credential,
                connection_limit: Some(Limit::Unlimited),
                valid_until: Some(Expiry::Never),
                ..Role::new(NAMES[number], Mode::Authoritative, attributes)
            }
        },
    )
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) spec: Spec,
    pub(crate) catalog: Catalog,
    pub(crate) records: Records,
    pub(crate) in_sync: BTreeMap<String, bool>,
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let each = |make: fn(usize) -> BoxedStrategy<Role>| {
        (0..NAMES.len()).map(|number| prop::option::of(make(number))).collect::<Vec<_>>()
    };
    (
        each(|number| declared(number).boxed()),
        each(|number| found(number).boxed()),
        subsequence(NAMES.to_vec(), 0..=NAMES.len()),
        subsequence(NAMES.to_vec(), 0..=NAMES.len()),
        prop::sample::select(vec![150_018_u32, 160_014, 180_004]),
        prop::option::of(0..NAMES.len()),
        [settings_of_each(), settings_of_each(), settings_of_each()],
    )
        .prop_map(|(declared, found, recorded, in_sync, version, owner, [set, held, applied])| {
            let mut spec = Spec::default();
            for (role, set) in declared.into_iter().zip(set) {
                let Some(mut role) = role else { continue };
                if let Some(set) = set.filter(|_| role.mode != Mode::Present) {
                    role.settings = set;
                    spec.exact_settings.insert(role.name.clone());
                }
                for edge in &role.memberships {
                    // Who is named is in the spec, as the parser has it.
                    let named = Role::new(&edge.role, Mode::Present, Attributes::GROUP);
                    spec.roles.entry(edge.role.clone()).or_insert(named);
                }
                spec.roles.insert(role.name.clone(), role);
            }
            let mut catalog = Catalog::default();
            catalog.server.version = version;
            catalog.server.bootstrap_superuser = "postgres".into();
            let postgres = Role::new("postgres", Mode::Authoritative, Attributes::all());
            catalog.roles.insert("postgres".into(), postgres);
            let present: BTreeSet<String> = found.iter().flatten().map(|role| role.name.clone()).collect();
            for (number, role) in found.into_iter().enumerate() {
                let Some(mut role) = role else { continue };
                role.memberships.retain(|edge| present.contains(&edge.role));
                if version < 160_000 {
                    // One edge for each pair, and no options but ADMIN.
                    role.memberships.dedup_by(|a, b| a.role == b.role);
                }
                role.memberships.sort();
                role.settings = held[number].clone().unwrap_or_default();
                role.settings.sort();
                role.grants.retain(|grant| grant.on != Object::Database("shop".into()) || owner != Some(number));
                catalog.oids.insert(role.name.clone(), number as u32 + 100);
                catalog.roles.insert(role.name.clone(), role);
            }
            for name in DATABASES {
                let owner = (name == "shop").then_some(owner).flatten().map(|number| NAMES[number].to_owned());
                let database = Database { owner: owner.filter(|name| present.contains(name)), ..Database::new(name) };
                catalog.databases.insert(name.into(), database);
            }
            let records = recorded
                .iter()
                .enumerate()
                .map(|(number, name)| {
                    let kind = if number % 2 == 0 { Kind::User } else { Kind::Group };
                    let oid = catalog.oids.get(*name).copied();
                    let origin = Origin::Created;
                    let settings = applied[number].clone();
                    let applied = settings
                        .map(|settings| Role { settings, ..Role::new(*name, Mode::Authoritative, Attributes::USER) });
                    let record = Record {
                        oid,
                        kind,
                        origin,
                        secret_version: None,
                        row_version: None,
                        applied,
                        leaving_since: None,
                    };
                    ((*name).to_owned(), record)
                })
                .collect();
            let managed = resolve::managed(&records, &catalog);
            catalog.assign_standing(&BTreeSet::new(), &managed);
            // Only a password that is there can be the right one.
            let has_password =
                |name: &&str| catalog.roles.get(*name).is_some_and(|role| role.has_password == Some(true));
            let in_sync = in_sync.into_iter().filter(has_password).map(|name| (name.to_owned(), true)).collect();
            World { spec, catalog, records, in_sync }
        })
}

pub(crate) fn plan(resolved: &Resolved, catalog: &Catalog) -> Plan {
    let context = Context { server_version: catalog.server.version, ..Context::default() };
    let desired = resolved.clone().lend();
    let planned = chain().plan(&context, &desired, &catalog.roles, &catalog.databases).unwrap();
    Plan { steps: assemble(planned.proposals, &planned.by, |_| Cause::Spec), ..Plan::default() }
}

pub(super) fn bounds() -> Bounds {
    Bounds {
        deletions: usize::MAX,
        allowed_powers: BTreeSet::new(),
        reassign_owned_to: "postgres".into(),
        roles_declared: 1,
        users_declared: 1,
        approved: None,
    }
}

/// What each role can come by through its memberships, itself included.
type Reach = BTreeMap<String, BTreeSet<String>>;

fn reach(roles: &BTreeMap<String, Role>) -> Reach {
    roles.keys().map(|name| (name.clone(), reach_of(name, roles))).collect()
}

fn reach_of(name: &str, roles: &BTreeMap<String, Role>) -> BTreeSet<String> {
    let (mut held, mut seen, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![name]);
    while let Some(name) = next.pop() {
        let Some(role) = roles.get(name).filter(|_| seen.insert(name)) else { continue };
        held.insert(format!("role {name}"));
        held.extend(role.attributes.keywords().map(|keyword| format!("{keyword} of {name}")));
        for grant in &role.grants {
            held.extend(grant.privileges.iter().map(|privilege| format!("{privilege:?} on {:?}", grant.on)));
        }
        next.extend(role.memberships.iter().map(|edge| edge.role.as_str()));
    }
    held
}

pub(super) fn owned(outcome: replay::Outcome<'_>) -> BTreeMap<String, Role> {
    outcome.roles.into_iter().map(|(name, role)| (name, role.into_owned())).collect()
}

pub(super) fn sorted(mut roles: BTreeMap<String, Role>) -> BTreeMap<String, Role> {
    for role in roles.values_mut() {
        role.memberships.sort();
        role.settings.sort();
        role.grants.sort();
    }
    roles
}

/// What the server and the ledger hold after a plan, and which passwords are in force.
pub(super) fn settled(catalog: &Catalog, records: &Records, plan: &Plan) -> (Catalog, Records, BTreeMap<String, bool>) {
    // What the server holds afterwards: every password in force, a grantor for every edge.
    let outcome = replay::replay(&catalog.roles, &plan.steps).unwrap();
    let roles = outcome.roles.into_iter().map(|(name, role)| (name, role.into_owned())).collect();
    let mut after = Catalog { roles, ..catalog.clone() };
    let mut in_sync = BTreeMap::new();
    for (number, role) in after.roles.values_mut().enumerate() {
        for edge in &mut role.memberships {
            edge.grantor.get_or_insert_with(|| "postgres".into());
        }
        role.memberships.sort();
        role.settings.sort();
        role.grants.sort();
        after.oids.entry(role.name.clone()).or_insert(900 + number as u32);
        in_sync.insert(role.name.clone(), true);
    }
    let records: Records = records
        .iter()
        .filter(|(name, _)| after.roles.contains_key(*name))
        .map(|(name, record)| (name.clone(), Record { oid: after.oids.get(name).copied(), ..record.clone() }))
        .collect();
    let managed = resolve::managed(&records, &after);
    after.assign_standing(&BTreeSet::new(), &managed);
    (after, records, in_sync)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn replayed_over_what_is_a_plan_gives_what_must_be(world in world()) {
        let World { spec, catalog, records, in_sync } = &world;
        let resolved = resolve::resolve(spec, catalog, records, in_sync);
        let plan = plan(&resolved, catalog);
        let outcome = replay::replay(&catalog.roles, &plan.steps).unwrap();
        let options = catalog.server.has_membership_options();
        let differences = replay::differences(&outcome, &resolved.desired, &resolved.removable, options);
        prop_assert!(differences.is_empty(), "{differences:#?}\n{:#?}", plan.steps);
        let judged = guard::judge(plan.into(), "standard", &resolved, catalog, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");
    }

    #[test]
    fn whoever_is_left_out_stays_as_it_is_and_the_others_have_a_plan(
        world in world(),
        left_out in subsequence(NAMES.to_vec(), 0..=NAMES.len()),
    ) {
        let World { spec, catalog, records, in_sync } = &world;
        let left_out: BTreeSet<String> = left_out.into_iter().map(str::to_owned).collect();
        let resolved = resolve::resolve_with((&left_out, &left_out), resolve::Grace::default(), spec, catalog, records, in_sync);
        let plan = plan(&resolved, catalog);
        let touched: Vec<&str> = plan.steps.iter().filter_map(|step| step.change.role()).collect();
        prop_assert!(touched.iter().all(|role| !left_out.contains(*role)), "{touched:?} without {left_out:?}");
        let outcome = owned(replay::replay(&catalog.roles, &plan.steps).unwrap());
        for name in left_out.iter().filter(|name| spec.roles.contains_key(*name) || records.contains_key(*name)) {
            // A user that goes takes the memberships in it along, whosesoever.
            let found = catalog.roles.get(name).cloned().map(|mut role| {
                role.memberships.retain(|edge| !resolved.removable.contains(&edge.role));
                role
            });
            prop_assert_eq!(outcome.get(name), found.as_ref());
        }
        let judged = guard::judge(plan.into(), "standard", &resolved, catalog, &bounds());
        prop_assert!(matches!(judged, Judgement::Pass(_)), "{judged:#?}");
    }

    #[test]
    fn in_parts_a_plan_ends_the_same_and_nobody_holds_more_on_the_way_than_before_or_after(
        world in world(),
        room in 0..6_usize,
    ) {
        let World { spec, catalog, records, in_sync } = &world;
        let resolved = resolve::resolve(spec, catalog, records, in_sync);
        let mut plan = plan(&resolved, catalog);
        // What runs in parts is the beginning of a removal; its end comes after all of them.
        plan.steps.retain(|step| !matches!(step.change, Change::DropRole { .. }));
        let guarded = GuardedPlan::unjudged(plan.clone().into());
        let parts = guarded.parts(catalog, room);
        let whole = owned(replay::replay(&catalog.roles, &plan.steps).unwrap());
        let (before, after) = (reach(&catalog.roles), reach(&whole));
        let mut roles = catalog.roles.clone();
        for part in &parts {
            roles = owned(replay::replay(&roles, part.steps()).unwrap());
            for (role, held) in reach(&roles) {
                let fits = |bound: &Reach| bound.get(&role).is_some_and(|bound| held.is_subset(bound));
                prop_assert!(fits(&before) || fits(&after), "{role} holds {held:?} on the way\n{parts:#?}");
            }
        }
        prop_assert_eq!(sorted(roles), sorted(whole));
        let positions: BTreeSet<usize> = parts.iter().flat_map(|part| part.positions()).collect();
        prop_assert_eq!(positions, (0..plan.steps.len()).collect::<BTreeSet<_>>());
    }

    #[test]
    fn where_nothing_differs_there_is_nothing_to_do(world in world()) {
        let World { spec, catalog, records, in_sync } = &world;
        let resolved = resolve::resolve(spec, catalog, records, in_sync);
        let first = plan(&resolved, catalog);
        let (after, records, in_sync) = settled(catalog, records, &first);
        let again = plan(&resolve::resolve(spec, &after, &records, &in_sync), &after);
        prop_assert!(again.steps.is_empty(), "{:#?}", again.steps);
    }
}
