//! How much a single call of a module may use: fuel, time, memory, log lines and output. Each limit
//! is a base plus a share for every entry of the input, so that a large server is not a reason to
//! fail, and a small one no reason to wait.

use std::collections::BTreeMap;
use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::model::{Database, Role, Spec};
use crate::plan::{Change, Step};

/// Tables hold references to functions, and a language runtime needs some ten thousand of them.
const MAX_TABLE_ELEMENTS: usize = 200_000;
/// A component made by componentize-py has more than thirty core instances.
const MAX_INSTANCES: usize = 200;
const MAX_TABLES: usize = 100;
const MAX_MEMORIES: usize = 20;

/// The budget of a call. An *entry* is a role, a membership, a grant, a setting, a database, a
/// schema or a step of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// WebAssembly instructions, roughly. The same input always uses the same amount, so this is
    /// the budget proper; the deadline is only there for what fuel does not count.
    pub fuel: u64,
    /// More fuel for each entry. A planner in Rust uses some 2,000, one in JavaScript or Python 20
    /// times that.
    pub fuel_per_entry: u64,
    /// Wall-clock time, measured in steps of [`super::TICK`]. A thousand million units of fuel take up
    /// to a second, so that fuel runs out first unless the machine is overloaded.
    pub deadline: Duration,
    /// More time for each entry.
    pub deadline_per_entry: Duration,
    /// Bytes in all linear memories of the module together.
    pub memory: usize,
    /// More memory for each entry. A role is handed over in 176 bytes and its names, and a
    /// membership in 48; a JavaScript engine makes an object of a few kilobytes from either.
    pub memory_per_entry: usize,
    /// No module gets more memory than this, however large the input is.
    pub memory_ceiling: usize,
    /// Bytes that a module may hand over to the host in one go: its result, or one log line.
    pub output: usize,
    /// More output for each entry: a transform returns the whole spec.
    pub output_per_entry: usize,
    /// Steps of a plan, and findings of a stage.
    pub items: usize,
    /// More items for each entry. A membership that differs is one revoked and one granted.
    pub items_per_entry: usize,
    /// Log lines of one call; the rest is dropped, and one more line says so.
    pub log_lines: usize,
    /// Bytes of a log line; the rest is cut off.
    pub log_line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            fuel: 1_000_000_000,
            fuel_per_entry: 100_000,
            deadline: Duration::from_secs(5),
            deadline_per_entry: Duration::from_micros(500),
            memory: 64 << 20,
            memory_per_entry: 4 << 10,
            memory_ceiling: 1 << 30,
            output: 16 << 20,
            output_per_entry: 2 << 10,
            items: 1_000,
            items_per_entry: 4,
            log_lines: 100,
            log_line: 1_024,
        }
    }
}

impl Limits {
    /// For a look at a module that nobody has decided to trust yet: little is enough to say a name.
    pub fn inspection() -> Self {
        Limits { fuel: 200_000_000, deadline: Duration::from_secs(2), output: 1 << 20, ..Limits::default() }
    }

    pub(super) fn budget(&self, entries: usize) -> Budget {
        let share = u32::try_from(entries).unwrap_or(u32::MAX);
        Budget {
            fuel: self.fuel.saturating_add(self.fuel_per_entry.saturating_mul(share.into())),
            deadline: self.deadline.saturating_add(self.deadline_per_entry.saturating_mul(share)),
            memory: self
                .memory
                .saturating_add(self.memory_per_entry.saturating_mul(entries))
                .min(self.memory_ceiling.max(self.memory)),
            output: self.output.saturating_add(self.output_per_entry.saturating_mul(entries)),
            items: self.items.saturating_add(self.items_per_entry.saturating_mul(entries)),
        }
    }
}

/// The limits of one call, for its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) fuel: u64,
    pub(super) deadline: Duration,
    pub(super) memory: usize,
    pub(super) output: usize,
    pub(super) items: usize,
}

/// Number of entries of some roles.
pub(super) fn entries_of_roles<'a>(roles: impl IntoIterator<Item = &'a Role>) -> usize {
    roles.into_iter().map(|role| 1 + role.memberships.len() + role.grants.len() + role.settings.len()).sum()
}

/// Number of entries of a plan: a role that is to be made is handed over whole.
pub(super) fn entries_of_steps(steps: &[Step]) -> usize {
    let new_roles = steps.iter().filter_map(|step| match &step.change {
        Change::CreateRole(role) => Some(role),
        _ => None,
    });
    steps.len() + entries_of_roles(new_roles)
}

/// Number of entries of some databases.
pub(super) fn entries_of_databases(databases: &BTreeMap<String, Database>) -> usize {
    databases.values().map(|database| 1 + database.schemas.len()).sum()
}

/// Number of entries of a spec.
pub(super) fn entries_of_spec(spec: &Spec) -> usize {
    entries_of_roles(spec.roles.values()) + entries_of_databases(&spec.databases) + spec.scripts.len()
}

/// Watches the growth of a module's memories and tables. `wasmtime::StoreLimits` limits each
/// memory by itself and leaves no trace; this one limits their sum, and remembers that it said no.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    elements: usize,
    denied: bool,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Memory { limit, used: 0, elements: 0, denied: false }
    }

    /// Bytes in all linear memories together. They never shrink, so it is the most that was used.
    pub(super) fn peak(&self) -> usize {
        self.used
    }

    /// Whether the module asked for more than it may have.
    pub(super) fn denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.denied = true;
            // An error ends the call here. Were the module merely told that there is no memory, it
            // would go on in ways that its author never tried.
            return Err(wasmtime::Error::msg("memory limit reached"));
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > MAX_TABLE_ELEMENTS {
            self.denied = true;
            return Err(wasmtime::Error::msg("table limit reached"));
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_grows_with_the_input_and_memory_stops_at_the_ceiling() {
        let limits = Limits::default();
        let (none, many) = (limits.budget(0), limits.budget(10_000));
        assert_eq!(none.fuel, 1_000_000_000);
        assert_eq!(many.fuel, 2_000_000_000);
        assert_eq!(many.deadline, Duration::from_secs(10));
        assert_eq!(many.memory, (64 << 20) + 10_000 * 4_096);
        assert_eq!(limits.budget(usize::MAX).memory, 1 << 30);
    }

    #[test]
    fn the_memory_limit_holds_for_all_memories_together() {
        let mut memory = Memory::new(100);
        assert!(memory.memory_growing(0, 60, None).is_ok());
        assert!(memory.memory_growing(0, 40, None).is_ok());
        assert!(!memory.denied());
        assert!(memory.memory_growing(60, 61, None).is_err());
        assert!(memory.denied());
    }
}
