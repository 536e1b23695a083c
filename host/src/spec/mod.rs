//! users.yaml: from its text to a [`Spec`](crate::model::Spec), with every complaint located.
//! Pure: where the text comes from is the business of `source`, what a policy thinks of it that
//! of `policy`.
//!
//! ```text
//! Document ──► yaml (tree with positions) ──► parse ──┬──► Parsed: spec, users, locations
//!                                                     └──► diagnostics: file:line:column
//! ```

mod attributes;
mod databases;
#[cfg(test)]
mod databases_tests;
pub mod diagnostics;
mod everybody;
mod generate;
mod grants;
#[cfg(test)]
mod grants_tests;
pub mod locations;
mod modes;
#[cfg(test)]
mod modes_tests;
mod names;
mod parse;
#[cfg(test)]
mod parse_laws;
#[cfg(test)]
mod parse_tests;
mod row_security;
#[cfg(test)]
mod row_security_tests;
pub mod schema;
mod scripts;
mod settings;
mod targets;
mod user;
pub(crate) mod yaml;
#[cfg(test)]
mod yaml_tests;

pub(crate) use attributes::FLAGS;
pub use diagnostics::Diagnostic;
pub(crate) use grants::{built_in_profile, built_in_profiles, routine};
pub use locations::{Document, Locations};
pub(crate) use names::{nearest, secret_name_problem};
pub use parse::{DeclaredUser, Parsed, parse};
pub use scripts::Scripts;
pub(crate) use targets::{COLUMNS, Listed, Scope};
