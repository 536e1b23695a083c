//! A few sessions with one target, shared out one at a time. What a borrower leaves behind in a
//! session (locks, settings, an open transaction) is cleared as soon as it comes back, not when the
//! next one takes it: an advisory lock in an idle session would shut out every other instance. (The
//! pool libraries clear late and know no minimum; what is left of them is a semaphore and a list.)

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_postgres::Client;

use super::connect::{self, ConnectError, Failure, Session, SessionLimits};
use super::target::Target;

/// How long a session beyond the minimum may stay unused.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the unused ones are looked at.
const IDLE_CHECK: Duration = Duration::from_secs(15);

/// A session that takes longer to be cleared is in the middle of something, and is given up.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(5);

/// Clears a session in one round trip, as `DISCARD ALL` would, but for two things. It keeps the
/// prepared statements by which the client knows the server's types. And it ends a transaction that
/// was left open, without a warning in the server's log where there is none: `BEGIN` fails in a
/// failed transaction (so that the session is given up) and does nothing in a healthy one.
const CLEAR: &str = "BEGIN; ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; \
                     UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; ";

/// Sessions with one target. Clones share them; they are closed with the last clone.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    target: Target,
    limits: SessionLimits,
    min: usize,
    max: usize,
    /// One for each session that may be taken or be opened.
    permits: Arc<Semaphore>,
    /// The one used last is at the end and goes out first, so that those beyond need grow old.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    session: Session,
    since: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("target", &self.0.target.to_string()).field("open", &self.open()).finish()
    }
}

impl Pool {
    /// A pool without any session yet: they are opened as they are asked for, up to `max` (at least
    /// 1). Idle ones beyond `min` are closed after a minute. Must be called within a tokio runtime.
    pub fn new(target: Target, min: usize, max: usize) -> Pool {
        Pool::with_limits(target, min, max, SessionLimits::default())
    }

    /// The same, with limits of the caller's choice in every session.
    pub fn with_limits(target: Target, min: usize, max: usize, limits: SessionLimits) -> Pool {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(max));
        let shared = Arc::new(Shared { target, limits, min, max, permits, idle: Mutex::new(Vec::new()) });
        let weak = Arc::downgrade(&shared);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE_CHECK).await;
                match weak.upgrade() {
                    Some(shared) if !shared.permits.is_closed() => shared.close_idle(IDLE_TIMEOUT),
                    _ => return,
                }
            }
        });
        Pool(shared)
    }

    /// A session, for as long as the value lives. Waits while all of them are taken.
    ///
    /// # Errors
    ///
    /// If none can be opened, or the pool is closed.
    pub async fn get(&self) -> Result<PooledClient, ConnectError> {
        let shared = &self.0;
        let permit = Arc::clone(&shared.permits)
            .acquire_owned()
            .await
            .map_err(|_| ConnectError::new(&shared.target, Failure::Closed))?;
        let session = match shared.take_idle() {
            Some(session) => session,
            None => connect::open(&shared.target, &shared.limits).await?,
        };
        Ok(PooledClient { lent: Some(Lent { session, permit, shared: Arc::clone(shared) }) })
    }

    /// Where the sessions lead.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// What its sessions impose on themselves.
    pub fn limits(&self) -> SessionLimits {
        self.0.limits
    }

    /// How many sessions are open now: lent, being opened or cleared, and idle.
    pub fn open(&self) -> usize {
        let idle = self.0.idle().len();
        self.0.max.saturating_sub(self.0.permits.available_permits()) + idle
    }

    /// How many sessions are lent now.
    pub fn busy(&self) -> usize {
        self.0.max.saturating_sub(self.0.permits.available_permits())
    }

    /// How many sessions wait to be lent.
    pub fn idle(&self) -> usize {
        self.0.idle().len()
    }

    /// Closes the idle sessions now and the others as they come back, and gives out no more.
    pub fn close(&self) {
        self.0.permits.close();
        self.0.idle().clear();
    }
}

impl Shared {
    /// The lock is held for a few instructions that cannot panic half-way.
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = self.idle();
        while let Some(Idle { session, .. }) = idle.pop() {
            if !session.client.is_closed() {
                return Some(session);
            }
        }
        None
    }

    fn give_back(&self, session: Session) {
        let mut idle = self.idle();
        // Asked under the lock, so that no session slips in behind `close`.
        if !self.permits.is_closed() {
            idle.push(Idle { session, since: Instant::now() });
        }
    }

    /// Drops the broken ones, and of the others those unused for so long, oldest first, down to `min`.
    fn close_idle(&self, timeout: Duration) {
        let lent = self.max.saturating_sub(self.permits.available_permits());
        let mut idle = self.idle();
        idle.retain(|idle| !idle.session.client.is_closed());
        let surplus = (lent + idle.len()).saturating_sub(self.min).min(idle.len());
        let old = idle.iter().take(surplus).take_while(|idle| idle.since.elapsed() >= timeout).count();
        idle.drain(..old);
    }
}

/// A session that goes back to the pool when dropped.
pub struct PooledClient {
    /// There until dropped; only then can it be moved out.
    lent: Option<Lent>,
}

struct Lent {
    session: Session,
    permit: OwnedSemaphorePermit,
    shared: Arc<Shared>,
}

impl fmt::Debug for PooledClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PooledClient")
    }
}

impl Lent {
    /// Clears the session and lays it back, or gives it up. The permit stays taken meanwhile, so that
    /// there are never more sessions than `max`.
    async fn come_back(self) {
        let Lent { session, permit, shared } = self;
        let clear = format!("{CLEAR}{}", shared.limits.settings());
        match tokio::time::timeout(CLEAR_TIMEOUT, session.client.batch_execute(&clear)).await {
            Ok(Ok(())) => shared.give_back(session),
            // The server rolls back and lets go of every lock when the socket closes.
            Ok(Err(_)) | Err(_) => session.task.abort(),
        }
        drop(permit);
    }
}

impl Deref for PooledClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        match &self.lent {
            Some(lent) => &lent.session.client,
            None => unreachable!("a session is taken out only when it is dropped"),
        }
    }
}

impl DerefMut for PooledClient {
    fn deref_mut(&mut self) -> &mut Client {
        match &mut self.lent {
            Some(lent) => &mut lent.session.client,
            None => unreachable!("a session is taken out only when it is dropped"),
        }
    }
}

impl Drop for PooledClient {
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        if lent.session.client.is_closed() || lent.shared.permits.is_closed() {
            return;
        }
        // Outside a runtime the process is ending, and the session ends with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(lent.come_back());
        }
    }
}
