//! Flags of the commands that tell who can do what.

use clap::{Args, ValueEnum};

use crate::config::{ServerOptions, values};

/// `rolewright who-can`.
#[derive(Debug, Clone, Args)]
#[command(after_help = WHO_CAN_HELP, override_usage = "rolewright who-can PRIVILEGE ON [KIND] OBJECT [OPTIONS]")]
pub struct WhoCanArgs {
    /// What is asked, as GRANT says it: SELECT ON sales.orders
    #[arg(required = true, value_name = "PRIVILEGE ON OBJECT", num_args = 1..)]
    pub words: Vec<String>,
    /// Database that the object lies in
    #[arg(long, value_name = "NAME", value_parser = values::role_name)]
    pub database: Option<String>,
    /// text, json, dot or mermaid
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: GraphFormat,
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
}

const WHO_CAN_HELP: &str = "\
Kinds: TABLE (also left out), SEQUENCE, FUNCTION, PROCEDURE, SCHEMA, DATABASE, TYPE, LANGUAGE,
FOREIGN SERVER, FOREIGN DATA WRAPPER, LARGE OBJECT, PARAMETER, TABLESPACE.
A column: UPDATE ON 'sales.orders(total)'. Identifiers are those of SQL: single quotes keep the
double ones from the shell.
Each option with a name in capitals is also the environment variable of that name; the flag wins.";

/// `rolewright explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLAIN_HELP)]
pub struct ExplainArgs {
    /// The role, as it is: no quotes, no folding
    #[arg(value_name = "ROLE", value_parser = values::role_name)]
    pub role: String,
    /// Also what it holds inside of this database; repeatable
    #[arg(long = "database", value_name = "NAME", value_parser = values::role_name)]
    pub databases: Vec<String>,
    /// text, json, dot or mermaid
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: GraphFormat,
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
}

const EXPLAIN_HELP: &str = "\
Each option with a name in capitals is also the environment variable of that name; the flag wins.";

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}
