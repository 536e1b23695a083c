//! What is worth trying again, after how long, and how often. Which piece of work is repeated is the
//! caller's choice; it must be safe to repeat, as a transaction that was rolled back is.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use rand::Rng;
use tokio_postgres::error::{DbError, SqlState};

/// No pause is longer than this, in seconds.
const LONGEST_PAUSE: f64 = 60.0;

/// Will the same statement on a new connection, or a little later, probably succeed?
pub fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.as_db_error() {
        Some(answer) => is_transient_answer(answer),
        // No answer: the way to the server broke. What is left (a value that does not fit its
        // column, say) stays wrong.
        None => error.is_closed() || error.source().is_some_and(|cause| cause.is::<io::Error>()),
    }
}

fn is_transient_answer(answer: &DbError) -> bool {
    is_transient_state(answer.code())
        || is_concurrent_update(answer.code(), answer.routine().unwrap_or_default(), answer.message())
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn is_transient_state(state: &SqlState) -> bool {
    let code = state.code();
    // Connection exceptions (but for a broken protocol), and insufficient resources.
    (code.starts_with("08") && *state != SqlState::PROTOCOL_VIOLATION)
        || code.starts_with("53")
        || [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(state)
}

/// "tuple concurrently updated": somebody else changed the same role at the same moment. PostgreSQL
/// gives it no code of its own (XX000 is any internal error). The name of the C function is the same
/// in every language that the server speaks; the text is for servers behind something that leaves
/// the function out.
pub(super) fn is_concurrent_update(state: &SqlState, routine: &str, message: &str) -> bool {
    *state == SqlState::INTERNAL_ERROR
        && (["simple_heap_update", "simple_heap_delete"].contains(&routine)
            || message.starts_with("tuple concurrently "))
}

/// Exponential backoff with full jitter: two instances that collided do not collide again in step.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// `RETRY_BACKOFF_BASE`: the pause before retry n (from 0) is random, at most `base` to the
    /// power of n seconds, and never over a minute.
    pub base: f64,
    /// `MAX_RETRIES`: how often to try again after the first attempt.
    pub max_retries: u32,
}

impl Backoff {
    /// The pauses between the attempts, `max_retries` of them.
    pub fn pauses<R: Rng>(self, mut random: R) -> impl Iterator<Item = Duration> {
        (0..self.max_retries).map(move |retry| self.longest(retry).mul_f64(random.random::<f64>()))
    }

    fn longest(self, retry: u32) -> Duration {
        let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
        let seconds = self.base.powi(exponent);
        Duration::from_secs_f64(if seconds.is_nan() { LONGEST_PAUSE } else { seconds.clamp(0.0, LONGEST_PAUSE) })
    }
}

/// How a [`retry`] ended without success.
#[derive(Debug, thiserror::Error)]
pub enum RetryError<E: Error + 'static> {
    /// It failed for good, or once too often.
    #[error("{error}{}", if *attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() })]
    Failed {
        /// The last failure.
        #[source]
        error: E,
        /// How often it was tried.
        attempts: u32,
    },
    /// The shutdown came first.
    #[error("stopped by the shutdown before it was tried again; the last attempt failed: {0}")]
    Stopped(#[source] E),
}

impl<E: Error + 'static> RetryError<E> {
    /// The failure of the last attempt.
    pub fn into_inner(self) -> E {
        match self {
            RetryError::Failed { error, .. } | RetryError::Stopped(error) => error,
        }
    }
}

/// Runs `attempt` (with its number, from 1) until it succeeds, fails for good, or has been tried
/// `max_retries` times more. An attempt that has begun is never cut short; once `shutdown` resolves,
/// no further one begins, and a pause ends.
///
/// # Errors
///
/// The last failure, and whether the shutdown had a part in it.
pub async fn retry<T, E, Attempt>(
    pauses: impl Iterator<Item = Duration>,
    shutdown: impl Future<Output = ()>,
    is_transient: impl Fn(&E) -> bool,
    mut attempt: impl FnMut(u32) -> Attempt,
) -> Result<T, RetryError<E>>
where
    E: Error + 'static,
    Attempt: Future<Output = Result<T, E>>,
{
    let mut pauses = pauses;
    let mut shutdown = pin!(shutdown);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let error = match attempt(attempts).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !is_transient(&error) {
            return Err(RetryError::Failed { error, attempts });
        }
        let Some(pause) = pauses.next() else {
            return Err(RetryError::Failed { error, attempts });
        };
        tracing::warn!(%error, attempt = attempts, pause_ms = pause.as_millis() as u64, "a transient failure; trying again");
        tokio::select! {
            biased;
            () = &mut shutdown => return Err(RetryError::Stopped(error)),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use rand::RngCore;

    use super::*;

    /// A random source that always says the same.
    struct Always(u64);

    impl RngCore for Always {
        fn next_u32(&mut self) -> u32 {
            self.0 as u32
        }
        fn next_u64(&mut self) -> u64 {
            self.0
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0 as u8);
        }
    }

    #[derive(Debug, thiserror::Error, PartialEq)]
    #[error("failure {0}")]
    struct Failure(u32);

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let backoff = Backoff { base: 2.0, max_retries: 9 };
        let pauses: Vec<u64> =
            backoff.pauses(Always(u64::MAX)).map(|pause| (pause.as_secs_f64().round()) as u64).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn the_jitter_reaches_down_to_nothing() {
        let backoff = Backoff { base: 2.0, max_retries: 3 };
        assert!(backoff.pauses(Always(0)).all(|pause| pause.is_zero()));
    }

    #[test]
    fn an_absurd_base_gives_a_pause_all_the_same() {
        for base in [f64::NAN, f64::INFINITY, -3.0, 1e300] {
            let longest = Backoff { base, max_retries: 1 }.longest(3);
            assert!(longest <= Duration::from_secs(60), "{base}: {longest:?}");
        }
    }

    #[test]
    fn a_transient_failure_is_tried_again_until_it_succeeds() {
        let pauses = Backoff { base: 2.0, max_retries: 5 }.pauses(Always(0));
        let outcome = block_on(retry(
            pauses,
            std::future::pending(),
            |_| true,
            |n| async move { if n < 3 { Err(Failure(n)) } else { Ok(n) } },
        ));
        assert_eq!(outcome.unwrap(), 3);
    }

    #[test]
    fn it_gives_up_after_the_last_retry() {
        let tried = RefCell::new(0);
        let pauses = Backoff { base: 2.0, max_retries: 2 }.pauses(Always(0));
        let outcome: Result<(), _> = block_on(retry(
            pauses,
            std::future::pending(),
            |_| true,
            |n| {
                *tried.borrow_mut() += 1;
                async move { Err(Failure(n)) }
            },
        ));
        assert_eq!(outcome.unwrap_err().to_string(), "failure 3 (after 3 attempts)");
        assert_eq!(*tried.borrow(), 3);
    }

    #[test]
    fn a_permanent_failure_is_not_tried_again() {
        let pauses = Backoff { base: 2.0, max_retries: 5 }.pauses(Always(0));
        let outcome: Result<(), _> =
            block_on(retry(pauses, std::future::pending(), |_| false, |n| async move { Err(Failure(n)) }));
        assert_eq!(outcome.unwrap_err().into_inner(), Failure(1));
    }

    #[test]
    fn a_shutdown_ends_the_pause() {
        let pauses = std::iter::repeat(Duration::from_secs(3600));
        let outcome: Result<(), _> =
            block_on(retry(pauses, std::future::ready(()), |_| true, |n| async move { Err(Failure(n)) }));
        assert!(matches!(outcome, Err(RetryError::Stopped(Failure(1)))));
    }

    #[test]
    fn lost_connections_deadlocks_and_shutdowns_are_transient_and_denials_are_not() {
        for code in ["08006", "08001", "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300", "53100", "25P03"]
        {
            assert!(is_transient_state(&SqlState::from_code(code)), "{code}");
        }
        for code in ["42501", "2BP01", "28P01", "3D000", "XX000", "57014", "08P01", "25006"] {
            assert!(!is_transient_state(&SqlState::from_code(code)), "{code}");
        }
    }

    #[test]
    fn two_writers_of_one_role_are_recognised_in_any_language() {
        let internal = SqlState::INTERNAL_ERROR;
        assert!(is_concurrent_update(&internal, "simple_heap_update", "Tupel wurde gleichzeitig geändert"));
        assert!(is_concurrent_update(&internal, "", "tuple concurrently updated"));
        assert!(!is_concurrent_update(&internal, "heap_open", "cache lookup failed"));
        assert!(!is_concurrent_update(&SqlState::SYNTAX_ERROR, "simple_heap_update", ""));
    }
}
