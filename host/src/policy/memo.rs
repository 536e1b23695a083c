//! The last answers of a module, by a digest of what it was asked. A module has no clock, no state and
//! no random numbers, so an answer holds for as long as the question is the same.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

use siphasher::sip128::{Hasher128, SipHasher13};

/// 128 bits of a keyed hash (SipHash, with keys drawn when the process starts). Nobody outside of it
/// can find two questions with one key; and questions never leave the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, u64);

impl Key {
    pub(super) fn of(question: impl Hash) -> Key {
        static KEYS: LazyLock<(u64, u64)> =
            LazyLock::new(|| (RandomState::new().hash_one(0), RandomState::new().hash_one(1)));
        let mut hasher = SipHasher13::new_with_keys(KEYS.0, KEYS.1);
        question.hash(&mut hasher);
        let digest = hasher.finish128();
        Key(digest.h1, digest.h2)
    }
}

/// The answers to the last `N` different questions.
pub(super) struct Memo<T, const N: usize>(Mutex<Vec<(Key, T)>>);

impl<T, const N: usize> Default for Memo<T, N> {
    fn default() -> Self {
        Memo(Mutex::default())
    }
}

impl<T: Clone, const N: usize> Memo<T, N> {
    /// Leaves nothing to be recalled.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The answer to a question: as remembered, or asked for now. A failure is never remembered.
    pub(super) fn recall<E>(
        &self,
        key: Key,
        worth_it: impl FnOnce(&T) -> bool,
        ask: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let held = |entries: &mut Vec<(Key, T)>| {
            let at = entries.iter().position(|(known, _)| *known == key)?;
            let entry = entries.remove(at);
            let answer = entry.1.clone();
            entries.push(entry);
            Some(answer)
        };
        // Not held while the module runs: two who ask the same at once are both answered.
        if let Some(answer) = held(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(answer);
        }
        let answer = ask()?;
        if worth_it(&answer) {
            let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push((key, answer.clone()));
            let surplus = entries.len().saturating_sub(N);
            entries.drain(..surplus);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_same_question_is_asked_once_and_the_oldest_answer_goes() {
        let memo: Memo<u32, 2> = Memo::default();
        let asked = Cell::new(0);
        let ask = |question: u32| {
            let ask = || {
                asked.set(asked.get() + 1);
                Ok::<u32, ()>(question * 10)
            };
            assert_eq!(memo.recall(Key::of(question), |_| true, ask), Ok(question * 10));
            asked.get()
        };
        assert_eq!((ask(1), ask(2), ask(1)), (1, 2, 2));
        // 3 takes the place of 2, which was asked longer ago than 1.
        assert_eq!((ask(3), ask(1), ask(2)), (3, 3, 4));
    }

    #[test]
    fn a_failure_and_an_answer_that_is_too_large_are_not_remembered() {
        let memo: Memo<u32, 1> = Memo::default();
        let key = Key::of(1);
        assert_eq!(memo.recall(key, |_| true, || Err("no")), Err("no"));
        assert_eq!(memo.recall(key, |_| false, || Ok::<_, ()>(1)), Ok(1));
        assert_eq!(memo.recall(key, |_| true, || Ok::<_, ()>(2)), Ok(2));
        assert_eq!(memo.recall(key, |_| true, || Ok::<_, ()>(3)), Ok(2));
    }

    #[test]
    fn parts_of_a_question_are_kept_apart() {
        assert_eq!(Key::of(("a", "b")), Key::of(("a", "b")));
        assert_ne!(Key::of(("a", "b")), Key::of(("a", "c")));
        assert_ne!(Key::of(("ab", "")), Key::of(("a", "b")));
        assert_ne!(Key::of((1, Key::of("a"))), Key::of((2, Key::of("a"))));
    }
}
