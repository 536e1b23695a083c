//! Whether the controller is alive and ready, as its loop tells. Alive: the loop still turns;
//! a restart would help if not. Ready: the last cycle could do its work; a restart would not help.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many intervals may pass without a sign of life.
const INTERVALS: u32 = 10;

/// And never less than this: a cycle that sets many passwords or waits between retries is not
/// stuck.
const AT_LEAST: Duration = Duration::from_secs(5 * 60);

/// What the loop last told.
#[derive(Debug)]
pub struct Health {
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_sign: Instant,
    readiness: Result<(), String>,
}

impl Health {
    /// Alive and not yet ready. `interval` is the time between two cycles.
    pub fn new(interval: Duration) -> Self {
        let readiness = Err("the first cycle has not finished yet".to_owned());
        Health {
            patience: (interval * INTERVALS).max(AT_LEAST),
            state: Mutex::new(State { last_sign: Instant::now(), readiness }),
        }
    }

    /// A sign of life: call it when the loop turns, and between the stages of a long cycle.
    pub fn tick(&self) {
        self.state().last_sign = Instant::now();
    }

    /// The last cycle reached the database and had a policy chain to ask.
    pub fn is_ready(&self) {
        self.state().readiness = Ok(());
    }

    /// The last cycle could not do its work. The reason is shown to whoever asks: no secrets in it.
    pub fn is_not_ready(&self, why: impl Into<String>) {
        self.state().readiness = Err(why.into());
    }

    /// What `/livez` says.
    ///
    /// # Errors
    /// For how long there was no sign of life.
    pub fn alive(&self) -> Result<(), String> {
        self.alive_at(Instant::now())
    }

    fn alive_at(&self, now: Instant) -> Result<(), String> {
        let silent = now.saturating_duration_since(self.state().last_sign);
        if silent <= self.patience {
            return Ok(());
        }
        Err(format!(
            "the controller's loop has shown no sign of life for {} s, longer than the {} s that a cycle may take",
            silent.as_secs(),
            self.patience.as_secs()
        ))
    }

    /// What `/readyz` says.
    ///
    /// # Errors
    /// Why the last cycle could not do its work.
    pub fn ready(&self) -> Result<(), String> {
        self.state().readiness.clone()
    }

    /// Each field is written in one go, so a panic elsewhere leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_no_longer_turns_is_dead() {
        let health = Health::new(Duration::from_secs(60));
        let now = Instant::now();
        assert_eq!(health.alive_at(now + Duration::from_secs(599)), Ok(()));
        let why = health.alive_at(now + Duration::from_secs(700)).unwrap_err();
        assert!(why.contains("no sign of life") && why.contains("600 s"), "{why}");
    }

    #[test]
    fn a_short_interval_does_not_kill_a_long_cycle() {
        let health = Health::new(Duration::from_secs(1));
        assert_eq!(health.alive_at(Instant::now() + Duration::from_secs(299)), Ok(()));
        assert!(health.alive_at(Instant::now() + Duration::from_secs(301)).is_err());
    }

    #[test]
    fn readiness_follows_the_last_cycle() {
        let health = Health::new(Duration::from_secs(1));
        assert!(health.ready().is_err());
        health.is_ready();
        assert_eq!(health.ready(), Ok(()));
        health.is_not_ready("the database cannot be reached");
        assert_eq!(health.ready(), Err("the database cannot be reached".to_owned()));
    }
}
