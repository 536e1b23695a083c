//! Every evil that a host must withstand, one case each. What makes a plan wrong is added to a right one, so that
//! nothing but the addition can be what the host refuses.

use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use rolewright_policy::{
    Attributes, Catalog, Change, Edge, Expiry, Finding, Grant, Membership, Mode, Object, Removal, Risk, Role,
    RoleGrant, RolePatch, Spec, Standing, Step, log,
};
use serde::Deserialize;

/// What to do wrong. The first group works in every stage; the second goes wrong on some specs only; the third is about
/// plans, and in other stages does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evil {
    /// Never returns.
    Loop,
    /// Calls itself until the stack ends.
    Recurse,
    /// Asks for memory, and uses it, until there is none.
    EatMemory,
    /// Runs into `unreachable`.
    Trap,
    /// Panics, with something to say.
    Panic,
    /// Takes a good deal of memory first, and then traps.
    AllocThenTrap,
    /// Logs many long lines, with terminal escapes, line breaks, and what looks like another module's line; then behaves.
    GarbageLog,
    /// Answers with a string of 32 MiB.
    HugeStrings,
    /// Answers `err`, with terminal escapes and line breaks, and claims to be the host.
    WrongError,
    /// Findings whose code is no word and whose path leads nowhere; then steps in the same manner.
    BadPaths,
    /// A million findings, or a million steps.
    MillionSteps,
    /// Text that is no UTF-8.
    InvalidUtf8,
    /// Another answer each time, as far as it can: from what earlier calls left behind, from where things lie in memory,
    /// and from what lies in memory that nobody wrote to.
    Moody,

    /// Traps where nothing is declared.
    TrapOnNothing,
    /// Traps on a name with quotes.
    TrapOnQuotes,
    /// Traps on a role that may do everything.
    TrapOnPowers,
    /// Traps on a privilege on a foreign server.
    TrapOnObject,
    /// Traps on a password that has never been valid.
    TrapOnExpiry,
    /// Traps on a pointer with escapes.
    TrapOnPointer,
    /// Compares every role with every other.
    Quadratic,
    /// Finds fault with whoever is first in the file.
    FirstInFile,
    /// Finds fault with a user that is not in the file.
    LostPath,

    /// Drops the role `postgres`.
    DropPostgres,
    /// Drops the first role that is somebody else's.
    DropForeign,
    /// Drops the first role that is declared.
    DropDeclared,
    /// Makes the first declared user a superuser, and calls that safe.
    GrantSuperuser,
    /// Creates a superuser of its own.
    CreateSuperuser,
    /// Makes the first declared user a member of `pg_execute_server_program`.
    GrantServerProgram,
    /// Names roles that do not exist.
    Dangling,
    /// Creates a role that nobody declared.
    CreateAndForget,
    /// Gives the first declared user CONNECT on a database that nobody declared.
    GrantExtra,
    /// Leaves out everything that is to be done.
    DoNothing,
    /// Does every step twice.
    Twice,
    /// Sets a password on a role that is not declared.
    StealPassword,
    /// Hands what a removed role owned to somebody other than the configured role.
    Reassign,
    /// Runs a script that does not exist.
    RunScript,
    /// Reasons with terminal escapes and line breaks, on steps that are right.
    GarbageReasons,
    /// Calls every step safe.
    PlayDown,
}

const GARBAGE: &str =
    "\u{1b}[2J\u{1b}[31m\n{\"level\":\"INFO\",\"module\":\"guard\",\"message\":\"plan approved\"}\r\u{202e}";

impl Evil {
    /// What it answers as a validator.
    pub fn findings(self, spec: &Spec) -> Result<Vec<Finding>, String> {
        self.act()?;
        self.stumble(spec);
        Ok(match self {
            Evil::HugeStrings => vec![Finding::warning("huge", "", "x".repeat(32 << 20))],
            Evil::BadPaths => vec![
                Finding::error("No Word\n", "/users/4294967296/~2/\u{0}", GARBAGE),
                Finding::warning("", "no/leading/slash", ""),
            ],
            Evil::InvalidUtf8 => vec![Finding::warning("not-utf-8", "", not_utf8())],
            Evil::Moody => vec![Finding::info("mood", "", mood())],
            Evil::MillionSteps => (0..1_000_000).map(|n| Finding::info("many", "", n.to_string())).collect(),
            Evil::FirstInFile => {
                let first = spec.roles.iter().filter(|role| role.path == "/users/0");
                first.map(|role| Finding::info("first", &role.path, "somebody has to be the first")).collect()
            }
            Evil::LostPath if !spec.roles.is_empty() => vec![Finding::info("lost", "/users/99999", "who is that?")],
            _ => rolewright_standard::findings(spec),
        })
    }

    /// What only some inputs bring about.
    fn stumble(self, spec: &Spec) {
        let mut roles = spec.roles.iter();
        let trips = match self {
            Evil::TrapOnNothing => spec.roles.is_empty(),
            Evil::TrapOnQuotes => roles.any(|role| role.name.contains('"')),
            Evil::TrapOnPowers => roles.any(|role| role.attributes == Attributes::all()),
            Evil::TrapOnObject => {
                roles.any(|role| role.grants.iter().any(|grant| matches!(grant.on, Object::ForeignServer(_))))
            }
            Evil::TrapOnExpiry => roles.any(|role| role.valid_until == Some(Expiry::At(i64::MIN))),
            Evil::TrapOnPointer => roles.any(|role| role.path.contains("~1")),
            Evil::Quadratic => {
                let same = |role: &Role| spec.roles.iter().filter(|other| black_box(&other.name) == &role.name).count();
                roles.map(same).sum::<usize>() > spec.roles.len()
            }
            _ => false,
        };
        if trips {
            trap();
        }
    }

    /// What it makes of the right steps.
    pub fn steps(self, mut steps: Vec<Step>, desired: &Spec, actual: &Catalog) -> Result<Vec<Step>, String> {
        self.act()?;
        let declared = || desired.roles.first().map_or_else(|| "postgres".to_owned(), |role| role.name.clone());
        let user = || desired.users().next().map_or_else(declared, |role| role.name.clone());
        let mut add = |change: Change| steps.push(Step { risk: Risk::Safe, ..Step::new(change, "trust me", "") });
        let drop = |name: String| Change::DropRole(Removal { name, reassign_to: None });
        match self {
            Evil::DropPostgres => add(drop("postgres".to_owned())),
            Evil::DropForeign => {
                let foreign = actual.roles.iter().find(|role| role.standing == Standing::Foreign);
                add(drop(foreign.map(|role| role.name.clone()).ok_or("there is no foreign role to drop")?));
            }
            Evil::DropDeclared => add(drop(declared())),
            Evil::GrantSuperuser => add(Change::AlterRole(RolePatch {
                name: user(),
                set: Attributes::SUPERUSER,
                clear: Attributes::empty(),
                connection_limit: None,
                valid_until: None,
                comment: None,
            })),
            Evil::CreateSuperuser => {
                let attributes = Attributes::LOGIN | Attributes::SUPERUSER;
                add(Change::CreateRole(Role { attributes, ..Role::user("mallory") }));
            }
            Evil::GrantServerProgram => add(Change::GrantRole(Edge {
                member: user(),
                membership: Membership::plain("pg_execute_server_program"),
            })),
            Evil::Dangling => {
                let membership = Membership::plain("nobody_has_this_name");
                add(Change::GrantRole(Edge { member: user(), membership: membership.clone() }));
                add(Change::RevokeRole(Edge { member: "nor_this".to_owned(), membership }));
            }
            Evil::CreateAndForget => {
                add(Change::CreateRole(Role { mode: Mode::Authoritative, ..Role::group("forgotten") }));
            }
            Evil::GrantExtra => {
                add(Change::GrantPrivilege(RoleGrant { role: Some(user()), grant: Grant::connect("template1") }))
            }
            Evil::StealPassword => {
                let other = actual.roles.iter().find(|role| role.standing != Standing::Managed);
                add(Change::SetPassword(other.map_or_else(|| "postgres".to_owned(), |role| role.name.clone())));
            }
            Evil::Reassign => {
                for step in &mut steps {
                    if let Change::DropRole(removal) = &mut step.change {
                        removal.reassign_to = Some(user());
                    }
                }
            }
            Evil::RunScript => add(Change::RunScript("../../etc/passwd".to_owned())),
            Evil::HugeStrings => steps.push(Step::new(drop(declared()), "x".repeat(32 << 20), "")),
            Evil::MillionSteps => {
                steps.extend((0..1_000_000).map(|_| Step::new(Change::ClearPassword(String::new()), "", "")));
            }
            Evil::BadPaths => {
                for step in &mut steps {
                    step.path = "/users/4294967296/~2/\u{0}".to_owned();
                }
            }
            Evil::InvalidUtf8 => steps.push(Step::new(drop(declared()), not_utf8(), "")),
            Evil::Moody => {
                let mood = mood();
                for step in &mut steps {
                    step.reason.clone_from(&mood);
                }
            }
            Evil::GarbageReasons => {
                for step in &mut steps {
                    step.reason = GARBAGE.to_owned();
                }
            }
            Evil::PlayDown => {
                for step in &mut steps {
                    step.risk = Risk::Safe;
                }
            }
            Evil::DoNothing => steps.clear(),
            Evil::Twice => steps.extend(steps.clone()),
            Evil::Loop
            | Evil::Recurse
            | Evil::EatMemory
            | Evil::Trap
            | Evil::Panic
            | Evil::AllocThenTrap
            | Evil::GarbageLog
            | Evil::WrongError
            | Evil::TrapOnNothing
            | Evil::TrapOnQuotes
            | Evil::TrapOnPowers
            | Evil::TrapOnObject
            | Evil::TrapOnExpiry
            | Evil::TrapOnPointer
            | Evil::Quadratic
            | Evil::FirstInFile
            | Evil::LostPath => {}
        }
        Ok(steps)
    }

    /// What is the same in every stage.
    fn act(self) -> Result<(), String> {
        match self {
            Evil::Loop => loop {
                black_box(self);
            },
            Evil::Recurse => {
                log::debug(format!("{}", recurse(1)));
            }
            Evil::EatMemory => {
                let mut eaten: Vec<Vec<u8>> = Vec::new();
                loop {
                    eaten.push(black_box(vec![1; 1 << 20]));
                }
            }
            Evil::Trap => trap(),
            Evil::Panic => panic!("the list of lists is no list"),
            Evil::AllocThenTrap => {
                black_box(vec![1_u8; 16 << 20]);
                trap();
            }
            Evil::GarbageLog => {
                for _ in 0..10_000 {
                    log::error(format!("{GARBAGE}{}", "€".repeat(1_000)));
                }
            }
            Evil::WrongError => return Err(format!("{GARBAGE}host: everything is in order{GARBAGE}")),
            _ => {}
        }
        Ok(())
    }
}

/// A string that no Rust program may make.
#[allow(unsafe_code)]
fn not_utf8() -> String {
    // SAFETY: none. It is handed to the host and looked at by nobody here; that is what the test is about.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, b'x', 0xc0, 0x80]) }
}

/// All that a module without a clock and without random numbers has that might differ from call to call.
#[allow(unsafe_code)]
fn mood() -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    let hash = RandomState::new().hash_one("mood");
    let fresh: Vec<u8> = Vec::with_capacity(1 << 20);
    // SAFETY: the bytes are inside what was allocated, and every value is a byte; that nobody wrote them is the point.
    let left = (0..1 << 20).step_by(4096).fold(0_u64, |sum, at| {
        sum.rotate_left(5) ^ u64::from(unsafe { core::ptr::read_volatile(fresh.as_ptr().add(at)) })
    });
    format!("call {calls}, {hash:x}, {:p}, {left:x}", fresh.as_ptr())
}

/// Takes a frame each time, which no optimisation may make a loop of.
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if frame[0] == 0 { 0 } else { recurse(depth + 1) + black_box(frame)[63] }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("trapped on request");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn steps(evil: Evil) -> Vec<Step> {
        let desired = Spec { roles: vec![Role::user("alice")], ..Spec::default() };
        let actual = Catalog { roles: Vec::new(), databases: Vec::new() };
        let right = rolewright_standard::plan_steps(desired.clone(), actual.clone(), 180_000);
        evil.steps(right, &desired, &actual).unwrap()
    }

    #[test]
    fn evils_are_asked_for_by_name() {
        let settings: Settings = serde_json::from_str(r#"{"do": "drop-postgres", "stage": "plan"}"#).unwrap();
        assert_eq!(settings.evil, Some(Evil::DropPostgres));
        assert!(serde_json::from_str::<Settings>(r#"{"do": "good"}"#).is_err());
    }

    #[test]
    fn an_evil_step_comes_on_top_of_the_right_ones() {
        let steps = steps(Evil::GrantSuperuser);
        assert!(matches!(&steps[0].change, Change::CreateRole(role) if role.name == "alice"));
        assert!(matches!(&steps[1].change, Change::AlterRole(patch) if patch.set == Attributes::SUPERUSER));
        assert_eq!(steps[1].risk, Risk::Safe);
    }
}
