//! What modules are asked about: made ready to be handed over when the first module needs it, and then
//! shared by all that are asked. A large server has megabytes of it, and a chain has ten modules.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Deref;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::bindings::rolewright::policy::changes::StepParam;
use super::convert::{Lists, View};
use super::limits::{entries_of_databases, entries_of_roles, entries_of_spec, entries_of_steps};
use super::memo::Key;
use crate::model::{Database, Role, Spec};
use crate::plan::Step;

/// Modules that are called at once. Each may take all the memory that its limit allows, and a container has
/// only so much.
const MAX_AT_ONCE: usize = 2;
/// Below this size of a question a call takes less than a thread is worth.
const MIN_ENTRIES_OF_THREADS: usize = 1_000;

/// One question, for any number of modules; `V` is what goes out to them.
pub(super) struct Question<'q, V> {
    key: &'q (dyn Deref<Target = Key> + Sync),
    /// The size of the input.
    pub(super) entries: usize,
    view: &'q (dyn Deref<Target = V> + Sync),
}

impl<V> Question<'_, V> {
    /// Of all that is asked about; not of the context, which modules see differently.
    pub(super) fn key(&self) -> Key {
        **self.key
    }

    pub(super) fn view(&self) -> &V {
        self.view
    }
}

/// What a plan is made from, and what it is for.
#[derive(Clone, Copy, Hash)]
pub(super) struct Bridge<'a> {
    pub(super) desired: &'a Spec,
    pub(super) actual: &'a BTreeMap<String, Role>,
    pub(super) databases: &'a BTreeMap<String, Database>,
}

/// A plan, and the server that it is for.
#[derive(Clone, Copy, Hash)]
pub(super) struct Draft<'a> {
    pub(super) actual: &'a BTreeMap<String, Role>,
    pub(super) databases: &'a BTreeMap<String, Database>,
    pub(super) steps: &'a [Step],
}

/// For `validate` and `transform`.
pub(super) fn about_spec<R>(spec: &Spec, ask: impl FnOnce(&Question<'_, View<'_>>) -> R) -> R {
    let lists = LazyLock::new(|| Lists::of_roles(&spec.roles, &spec.databases));
    let view = LazyLock::new(|| lists.spec(spec));
    let key = LazyLock::new(|| Key::of(spec));
    ask(&Question { key: &key, entries: entries_of_spec(spec), view: &view })
}

/// For `plan`: what is wanted, and what was found.
pub(super) fn about_bridge<R>(bridge: Bridge<'_>, ask: impl FnOnce(&Question<'_, (View<'_>, View<'_>)>) -> R) -> R {
    let Bridge { desired, actual, databases } = bridge;
    let entries = entries_of_spec(desired) + entries_of_roles(actual.values()) + entries_of_databases(databases);
    let wanted = LazyLock::new(|| Lists::of_roles(&desired.roles, &desired.databases));
    let found = LazyLock::new(|| Lists::of_roles(actual, databases));
    let view = LazyLock::new(|| (wanted.spec(desired), found.catalog(actual, databases)));
    let key = LazyLock::new(|| Key::of(bridge));
    ask(&Question { key: &key, entries, view: &view })
}

/// For `review`: what was found, and the steps.
pub(super) fn about_draft<R>(
    draft: Draft<'_>,
    ask: impl FnOnce(&Question<'_, (View<'_>, Vec<StepParam<'_>>)>) -> R,
) -> R {
    let Draft { actual, databases, steps } = draft;
    let entries = entries_of_roles(actual.values()) + entries_of_databases(databases) + entries_of_steps(steps);
    let found = LazyLock::new(|| Lists::of_roles(actual, databases));
    let changes = LazyLock::new(|| Lists::of_steps(steps));
    let view = LazyLock::new(|| (found.catalog(actual, databases), changes.steps(steps)));
    let key = LazyLock::new(|| Key::of(draft));
    ask(&Question { key: &key, entries, view: &view })
}

/// The answers of all to a question of this size, in their order. They are asked at once where that is
/// faster.
pub(super) fn all<M: Sync, T: Send>(modules: &[M], entries: usize, ask: impl Fn(&M) -> T + Sync) -> Vec<T> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = modules.len().min(processors).min(MAX_AT_ONCE);
    if threads < 2 || entries < MIN_ENTRIES_OF_THREADS {
        return modules.iter().map(ask).collect();
    }
    let next = AtomicUsize::new(0);
    let span = tracing::Span::current();
    // Whoever is free takes the next module: they take different times.
    let work = || {
        let _here = span.enter();
        let mut answers = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(module) = modules.get(at) else { return answers };
            answers.push((at, ask(module)));
        }
    };
    let mut answers = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut answers = work();
        for other in others {
            // A panic here is one there.
            answers.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        answers
    });
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_those_who_were_asked_however_many_threads_there_are() {
        let modules: Vec<usize> = (0..100).collect();
        for entries in [0, MIN_ENTRIES_OF_THREADS] {
            assert_eq!(all(&modules, entries, |module| module * 2), (0..100).map(|at| at * 2).collect::<Vec<_>>());
        }
        assert_eq!(all(&[] as &[usize], MIN_ENTRIES_OF_THREADS, |module| *module), [0; 0]);
    }

    #[test]
    fn a_question_is_known_by_what_it_is_about() {
        let spec = |script: &str| Spec { scripts: vec![script.to_owned()], ..Spec::default() };
        let key = |spec: &Spec| about_spec(spec, |question| question.key());
        assert_eq!(key(&spec("a")), key(&spec("a")));
        assert_ne!(key(&spec("a")), key(&spec("b")));
        let roles = BTreeMap::new();
        let databases = BTreeMap::new();
        let plan = |desired: &Spec| {
            about_bridge(Bridge { desired, actual: &roles, databases: &databases }, |question| question.key())
        };
        assert_ne!(plan(&spec("a")), plan(&spec("b")));
    }
}
