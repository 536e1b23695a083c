//! Black-box tests of the real binary on real PostgreSQL servers: one file for each behaviour, each
//! test a sentence. What they stand on is in `../src`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed expectation is how a test fails

mod broken_input;
mod commands;
mod crash;
mod database_away;
mod databases;
mod deletions_budget;
mod drift;
mod dry_run;
mod ending_memberships;
mod fallback;
mod group_roles;
mod harness;
mod hostile_modules;
mod hostile_names;
mod idempotence;
mod import;
mod kubernetes_approval;
mod kubernetes_deploy;
mod kubernetes_fleet;
mod kubernetes_harness;
mod kubernetes_high_availability;
mod kubernetes_outages;
mod kubernetes_source;
mod kubernetes_status;
mod languages;
mod laws;
mod ledger;
mod lifecycle;
mod lock_table;
mod logs;
mod metrics_and_health;
mod modes;
mod object_privileges;
mod old_modules;
mod outputs;
mod passwords;
mod permission_denied;
mod planner_replaced;
mod policy_chain;
mod policy_kit;
mod protected_roles;
mod registry;
mod rehearse;
mod secrets;
mod settings;
mod shipped_policies;
mod shutdown;
mod source_directory;
mod state_file;
mod tls;
mod two_instances;
mod user_fields;
