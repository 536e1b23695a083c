//! The wish to stop: SIGTERM and SIGINT once mean "finish or roll back what is in hand, then stop",
//! twice "now". What has to be finished is decided by who waits here.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Whether to stop. Clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown::new()
    }
}

impl Shutdown {
    /// Not asked for yet, and deaf to signals.
    pub fn new() -> Self {
        Shutdown(Arc::new(watch::Sender::new(false)))
    }

    /// Listens for SIGTERM and SIGINT from now on. The second one ends the process at once, with the
    /// exit code that a shell gives to it: 128 and the signal's number.
    ///
    /// # Errors
    /// If the system does not let us listen.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Shutdown::new();
        let asked = shutdown.clone();
        let mut signals = Signals { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? };
        tokio::spawn(async move {
            let first = signals.next().await;
            tracing::info!(
                signal = first.name(),
                "stopping after the transaction in hand; a second signal stops at once"
            );
            asked.trigger();
            let second = signals.next().await;
            tracing::warn!(signal = second.name(), "stopping at once; PostgreSQL rolls back what was not committed");
            std::process::exit(second.exit_code());
        });
        Ok(shutdown)
    }

    /// Asks to stop.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether to stop.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is time to stop; at once if it is already. May be dropped and called again.
    pub async fn wait(&self) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.0.subscribe().wait_for(|triggered| *triggered).await;
    }
}

struct Signals {
    term: Signal,
    int: Signal,
}

#[derive(Clone, Copy)]
enum Received {
    Term,
    Int,
}

impl Received {
    fn name(self) -> &'static str {
        match self {
            Received::Term => "SIGTERM",
            Received::Int => "SIGINT",
        }
    }

    fn exit_code(self) -> i32 {
        match self {
            Received::Term => 128 + 15,
            Received::Int => 128 + 2,
        }
    }
}

impl Signals {
    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.term.recv() => Received::Term,
            _ = self.int.recv() => Received::Int,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn every_clone_hears_of_it_and_who_comes_late_too() {
        let shutdown = Shutdown::new();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), shutdown.wait()).await.is_err());
        assert!(!shutdown.is_triggered());
        shutdown.clone().trigger();
        early.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.is_triggered());
    }
}
