//! What the black-box tests stand on: throwaway PostgreSQL servers, manifests as `kubectl apply`
//! takes them or a real Kubernetes API server, and the real binary with everything that it prints. No test lives here; they are in
//! `behaviour/`, one file for each behaviour.
//!
//! ```text
//!   Manifests (a directory)                      Cluster (initdb once, copied for each test)
//!        │ SOURCE_DIR                                 │ DB_HOST, DB_PORT        ▲
//!        ▼                                            ▼                         │ sql, try_login,
//!   Rolewright ── plan, apply ──► Output ──┐      rolewright binary ────────────┤ fingerprint
//!        └─────── run ──────► Controller ──┤                                    │
//!                                          ▼                                    │
//!                             leaks: no password and no verifier in whatever came out
//! ```
//!
//! A test writes manifests, runs a command and looks at the server:
//!
//! ```no_run
//! # use rolewright_tests::{Cluster, Manifests, Rolewright};
//! let cluster = Cluster::start();
//! let manifests = Manifests::new();
//! manifests.users("users:\n  - username: alice\n    roles: [analyst]\n").secret("alice", "correct horse");
//! Rolewright::new(&cluster, &manifests).apply().succeeds();
//! cluster.login("alice", "correct horse", "postgres");
//! ```
//!
//! In a cluster, [`kubernetes`] takes the place of the manifests.
//!
//! Whatever a test leaves behind (servers, directories) is removed when its values are dropped,
//! and at the latest when the test process ends, in whatever way it does: see [`session`].

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed expectation is how a test fails

pub mod cluster;
pub mod guests;
pub mod http;
pub mod kubernetes;
pub mod languages;
pub mod leaks;
pub mod proxy;
pub mod registry;
pub mod rolewright;
pub mod session;
pub mod snapshot;
pub mod source;
pub mod tls;

pub use cluster::{Cluster, Options};
pub use http::Response;
pub use kubernetes::ApiServer;
pub use proxy::Proxy;
pub use registry::Registry;
pub use rolewright::{Controller, Output, Rolewright, Signal};
pub use source::Manifests;

use std::time::{Duration, Instant};

/// Waits until `condition` gives something, looking every 20 ms.
///
/// # Panics
///
/// After `patience`, naming `what` was waited for.
pub fn eventually<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
