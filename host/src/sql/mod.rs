//! The one place where identifiers and literals are quoted and typed changes become SQL. Pure
//! text: nothing here talks to a server, and no password or verifier is ever part of it.

mod database;
pub mod expression;
mod privilege;
pub mod quote;
mod row_security;
pub mod script;
pub mod statement;
