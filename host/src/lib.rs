//! Rolewright keeps the users, roles and privileges of PostgreSQL as a ConfigMap says.
//!
//! ```text
//! source ──► spec ──► policy ──► guard ──┬──► present   (plan, dry run)
//! postgres ─► catalog ──┘                ├──► rehearse  (run in PostgreSQL, roll back)
//!                                        └──► apply ──► ledger ──► telemetry
//! ```
//!
//! Data flows one way. The core (`model`, `parameter`, `secret`, `generated`, `spec`, `resolve`, `catalog`, `plan`, `sql`,
//! `guard`, `rights`, `import`, `access`) does no I/O and knows nothing of tokio, PostgreSQL's protocol or WebAssembly. Read
//! `reconcile` first.

pub mod access;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod generated;
pub mod guard;
pub mod import;
pub mod kubernetes;
pub mod ledger;
pub mod model;
pub mod parameter;
pub mod plan;
pub mod policy;
pub mod postgres;
pub mod present;
pub mod printable;
pub mod reconcile;
pub mod registry;
pub mod report;
pub mod resolve;
pub mod rights;
pub mod secret;
pub mod serve;
pub mod shutdown;
pub mod source;
pub mod spec;
pub mod sql;
pub mod telemetry;
