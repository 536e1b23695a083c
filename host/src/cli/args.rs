//! The command line: subcommands, their flags, and how the environment joins in. What a command
//! does is written in a file of its own; the settings that they share live in `config`.

mod access;
mod policy;

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Command as Parser, CommandFactory, FromArgMatches, Subcommand, ValueEnum};

pub use self::access::{ExplainArgs, GraphFormat, WhoCanArgs};
pub use self::policy::{
    AnswerFormat, BenchArgs, BuildArgs, CheckArgs, NewArgs, PolicyArgs, PolicyCommand, RunArgs as PolicyRunArgs,
    TestArgs, TextFormat,
};
pub use super::registry::{PullArgs, PushArgs};
use crate::config::{Environment, Names, Options, Place, ServerOptions, values};

/// What was asked for.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "rolewright", version, max_term_width = 110, disable_help_subcommand = true)]
#[command(about = "Keeps the users, roles and privileges of PostgreSQL as a ConfigMap says.")]
pub struct Cli {
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show what would be changed, and change nothing
    Plan(Box<PlanArgs>),
    /// Carry out one cycle
    Apply(Box<ApplyArgs>),
    /// Be the controller: a cycle now, every SYNC_INTERVAL, and when the source changes
    Run(Box<RunArgs>),
    /// Print a users.yaml of what a server holds
    Import(Box<ImportArgs>),
    /// Say which roles hold a privilege on an object, and through what
    WhoCan(Box<WhoCanArgs>),
    /// Say what a role can do, and through what
    Explain(Box<ExplainArgs>),
    /// Say how the controller in the cluster stands
    Status(StatusArgs),
    /// Write, build, test and look at policies
    Policy(PolicyArgs),
    /// Print the JSON Schema of users.yaml, for editors
    Schema,
    /// Print a completion script for a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// `rolewright plan`.
#[derive(Debug, Clone, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct PlanArgs {
    /// text, json, sql or markdown
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: Format,
    /// Exit with 2 when changes are pending
    #[arg(long)]
    pub exit_code: bool,
    /// Also run the plan in PostgreSQL and roll it back
    #[arg(long)]
    pub rehearse: bool,
    /// Only the steps about this role and those it is a member of; then what it can do now
    #[arg(long, value_name = "ROLE", value_parser = values::role_name)]
    pub explain: Option<String>,
    /// Colours in text: auto, always or never
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
    /// Shared settings.
    #[command(flatten)]
    pub options: Options,
}

/// `rolewright apply`.
#[derive(Debug, Clone, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct ApplyArgs {
    /// Let the plan with this digest run although it is held
    #[arg(long, value_name = "DIGEST")]
    pub approve: Option<String>,
    /// Read and compare everything, even if nothing seems to have changed
    #[arg(long)]
    pub full: bool,
    /// Shared settings.
    #[command(flatten)]
    pub options: Options,
}

/// `rolewright run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = ENVIRONMENT)]
pub struct RunArgs {
    /// Whether one of several acts
    #[arg(long, env = "LEADER_ELECTION", value_name = "LEADER_ELECTION", default_value = "true")]
    #[arg(value_parser = values::flag, action = clap::ArgAction::Set, help_heading = "High availability")]
    pub leader_election: bool,
    /// Seconds a silent leader leads
    #[arg(hide_short_help = true)]
    #[arg(long, env = "LEASE_DURATION", value_name = "LEASE_DURATION", default_value = "15")]
    #[arg(value_parser = values::duration, help_heading = "High availability")]
    pub lease_duration: Duration,
    /// Name of this instance [default: the host's]
    #[arg(hide_short_help = true)]
    #[arg(long, env = "POD_NAME", value_name = "POD_NAME", help_heading = "High availability")]
    pub pod_name: Option<String>,
    /// Shared settings.
    #[command(flatten)]
    pub options: Options,
}

/// `rolewright import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = IMPORT_HELP)]
pub struct ImportArgs {
    /// Also what is held inside of this database; repeatable
    #[arg(long = "database", value_name = "NAME", value_parser = values::role_name)]
    pub databases: Vec<String>,
    /// The same for each, but templates and `postgres`
    #[arg(long)]
    pub all_databases: bool,
    /// Declare no databases and schemas, only roles
    #[arg(long)]
    pub no_databases: bool,
    /// Wrap it into a ConfigMap of this name
    #[arg(long, value_name = "NAME", value_parser = values::dns_subdomain)]
    pub configmap: Option<String>,
    /// Namespace of that ConfigMap
    #[arg(long, value_name = "NAME", value_parser = values::dns_label, requires = "configmap")]
    pub namespace: Option<String>,
    /// Roles to leave out, separated by commas
    #[arg(long, env = "PROTECTED_ROLES", value_name = "PROTECTED_ROLES")]
    pub protected_roles: Option<Names>,
    /// Which server.
    #[command(flatten)]
    pub server: ServerOptions,
}

const IMPORT_HELP: &str = "\
The users.yaml goes to standard output; what it cannot say, and which Secrets are wanted, to standard error.
Each option with a name in capitals is also the environment variable of that name; the flag wins.";

/// `rolewright status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = STATUS_HELP)]
pub struct StatusArgs {
    /// List every user, not only those that are not as declared
    #[arg(long)]
    pub users: bool,
    /// text or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: StatusFormat,
    /// It is the source already.
    #[arg(long, hide = true)]
    pub kubernetes: bool,
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
}

/// How a status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

const STATUS_HELP: &str = "\
Exit codes: 0, PostgreSQL is as declared; 1, it is not, or nobody can tell; 3, a plan waits for approval.
Each option with a name in capitals is also the environment variable of that name; the flag wins.";

const ENVIRONMENT: &str = "\
Each option with a name in capitals is also the environment variable of that name; the flag wins.";

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// For psql.
    Sql,
    /// For a comment on a pull request.
    Markdown,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour what goes to standard output.
    pub fn wanted(self) -> bool {
        use std::io::IsTerminal as _;
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()
            }
        }
    }
}

/// Reads a command line; `arguments` begins with the name of the program.
///
/// # Errors
/// What clap has to say: usage errors (`use_stderr()` is true; exit with 1), and `--help` and
/// `--version` (exit with 0). Print it with `print()`.
pub fn parse(arguments: &[OsString], environment: Environment<'_>) -> Result<Cli, clap::Error> {
    let parser = with_environment(Cli::command(), environment);
    let matches = parser.try_get_matches_from(arguments).map_err(|error| match error.kind() {
        // Help shows the defaults and never what the environment holds.
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            command().try_get_matches_from(arguments).err().unwrap_or(error)
        }
        _ => error,
    })?;
    Cli::from_arg_matches(&matches)
}

/// The whole command line, for help and completions.
pub fn command() -> Parser {
    map_arguments(Cli::command(), &|argument| argument.hide_env(true))
}

/// Puts what the environment holds in the place of the defaults, empty variables left out. clap
/// would read the process's environment by itself, and take an empty variable for a value.
fn with_environment(parser: Parser, environment: Environment<'_>) -> Parser {
    map_arguments(parser, &|argument| {
        let value = argument.get_env().and_then(|name| environment(name.to_str()?));
        let argument = argument.env(None::<&'static str>);
        match value {
            Some(value) if !value.is_empty() => argument.default_value(value).hide_default_value(true),
            _ => argument,
        }
    })
}

fn map_arguments(parser: Parser, change: &dyn Fn(clap::Arg) -> clap::Arg) -> Parser {
    parser.mut_args(change).mut_subcommands(|inner| map_arguments(inner, change))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, MaxDeletions};
    use crate::postgres::SslMode;

    fn read(arguments: &str, variables: &[(&str, &str)]) -> Result<Cli, String> {
        let arguments: Vec<OsString> = arguments.split_whitespace().map(OsString::from).collect();
        parse(&arguments, &|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
            .map_err(|error| error.to_string())
    }

    fn options(arguments: &str, variables: &[(&str, &str)]) -> Result<Options, String> {
        match read(&format!("rolewright run {arguments}"), variables)?.command {
            Command::Run(run) => Ok(run.options),
            other => panic!("{other:?}"),
        }
    }

    fn config(arguments: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let nothing = |_: &str| None;
        options(&format!("--source . {arguments}"), variables)?.config(&nothing).map_err(|error| error.to_string())
    }

    #[test]
    fn the_parser_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let config = config("", &[]).unwrap();
        let target = config.target();
        assert_eq!(target.to_string(), "acid-minimal-cluster.default.svc.cluster.local:5432/postgres");
        assert_eq!((target.user.as_str(), target.password.reveal()), ("postgres", "postgres"));
        assert_eq!(target.sslmode, SslMode::Prefer);
        assert_eq!((config.namespace.as_str(), config.configmap_name.as_str()), ("postgres", "postgres-users-config"));
        assert_eq!((config.pool_min, config.pool_max, config.max_retries), (1, 5, 5));
        assert_eq!((config.sync_interval, config.lock_timeout), (Duration::from_secs(30), Duration::from_secs(10)));
        assert_eq!(config.max_deletions, MaxDeletions::Share(200_000));
        assert_eq!(config.reassign_owned_to, "postgres");
        assert_eq!(config.http_addr.unwrap().to_string(), "0.0.0.0:9090");
        assert_eq!(config.retry_backoff_base, 2.0);
        assert!(!config.dry_run);
        assert_eq!(config.removal_grace, Duration::ZERO);
    }

    #[test]
    fn a_grace_may_last_longer_than_an_interval() {
        let grace = |text: &str| config("", &[("REMOVAL_GRACE", text)]).map(|config| config.removal_grace.as_secs());
        assert_eq!([grace("0"), grace("90"), grace("12h"), grace("14d")], [Ok(0), Ok(90), Ok(43_200), Ok(1_209_600)]);
        for wrong in ["-1", "1w", "4000d", "500ms", "d"] {
            assert!(grace(wrong).unwrap_err().contains("14d"), "{wrong}");
        }
    }

    #[test]
    fn a_flag_wins_over_its_variable_and_an_empty_variable_is_none() {
        let variables =
            [("DB_PORT", "6000"), ("DB_HOST", "a"), ("DB_NAME", ""), ("DRY_RUN", "yes"), ("SOURCE_DIR", "x")];
        let found = options("--db-host b", &variables).unwrap();
        let server = &found.server;
        assert_eq!((server.db_host.as_str(), server.db_port, server.db_name.as_str()), ("b", 6000, "postgres"));
        assert!(found.dry_run);
        assert_eq!(found.source_dir, Some(PathBuf::from("x")));
        assert!(!options("--dry-run=false", &variables).unwrap().dry_run);
        assert!(options("--dry-run", &[]).unwrap().dry_run);
    }

    #[test]
    fn an_invalid_variable_is_named_with_what_is_allowed() {
        for (name, value, allowed) in [
            ("DB_PORT", "banana", "1 to 65535"),
            ("DB_SSLMODE", "sometimes", "verify-full"),
            ("SYNC_INTERVAL", "0", "30s"),
            ("MAX_DELETIONS", "200%", "0% to 100%"),
            ("DRY_RUN", "maybe", "true or false"),
            ("RETRY_BACKOFF_BASE", "NaN", "at least 1"),
            ("HTTP_ADDR", "nowhere", "0.0.0.0:9090"),
            ("LOG_LEVEL", "loud", "debug"),
            ("LOG_FORMAT", "xml", "json"),
            ("NAMESPACE", "Under_Score", "a-z"),
            ("ALLOWED_POWERS", "root", "BYPASSRLS"),
            ("DB_POOL_MAX_CONN", "many", "connections"),
            ("MAX_RETRIES", "-1", "0 to 100"),
        ] {
            let error = options("", &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value) && error.contains(allowed), "{error}");
        }
    }

    #[test]
    fn no_error_and_no_help_shows_the_password() {
        let variables = [("DB_PASS", "s3cret"), ("DB_PORT", "x")];
        assert!(!options("", &variables).unwrap_err().contains("s3cret"));
        assert!(!options("--help", &variables[..1]).unwrap_err().contains("s3cret"));
        assert!(!format!("{:?}", options("", &variables[..1]).unwrap()).contains("s3cret"));
    }

    #[test]
    fn help_names_each_variable_with_its_default_and_fits_a_screen() {
        // As wide as in a pipe, whatever terminal the test runs in.
        let mut command = command().term_width(100);
        command.build();
        let run = command.find_subcommand_mut("run").unwrap();
        let (help, all) = (run.render_help().to_string(), run.render_long_help().to_string());
        for wanted in ["DB_PORT", "5432", "MAX_DELETIONS", "20%", "SOURCE_DIR", "HTTP_ADDR", "0.0.0.0:9090"] {
            assert!(help.contains(wanted) && all.contains(wanted), "{wanted} is not in\n{help}");
        }
        // What hardly anybody sets is in the long help only.
        for rare in ["DB_POOL_MAX_CONN", "RETRY_BACKOFF_BASE", "LEASE_DURATION", "REGISTRY_TIMEOUT"] {
            assert!(!help.contains(rare) && all.contains(rare), "{rare}\n{all}");
        }
        assert!(help.lines().count() <= 50, "{} lines\n{help}", help.lines().count());
        assert!(!options("--help", &[("DB_PORT", "6000")]).unwrap_err().contains("6000"));
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        assert!(config("--db-pool-min-conn 9", &[]).unwrap_err().contains("DB_POOL_MIN_CONN is 9"));
        assert!(config("--db-pool-max-conn 0 --db-pool-min-conn 0", &[]).is_err());
        let error = options("", &[]).unwrap().config(&|_| None).unwrap_err().to_string();
        assert!(error.contains("--source") && error.contains("SOURCE_DIR"), "{error}");
        let error = options("--source /nowhere/at/all", &[]).unwrap().config(&|_| None).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn removed_users_belongings_go_to_the_controllers_role_unless_said_otherwise() {
        assert_eq!(config("--db-user ops", &[]).unwrap().reassign_owned_to, "ops");
        assert_eq!(config("--db-user ops", &[("REASSIGN_OWNED_TO", "vault")]).unwrap().reassign_owned_to, "vault");
    }

    #[test]
    fn protected_roles_are_a_list() {
        let config = config("", &[("PROTECTED_ROLES", "a, b,"), ("ALLOWED_POWERS", "createrole")]).unwrap();
        assert_eq!(config.protected_roles.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config.allowed_powers.into_iter().collect::<Vec<_>>(), ["CREATEROLE"]);
    }

    #[test]
    fn a_plan_has_its_own_flags() {
        let Ok(Cli { command: Command::Plan(plan) }) = read("rolewright plan --format json --exit-code", &[]) else {
            panic!("not a plan");
        };
        assert_eq!((plan.format, plan.exit_code, plan.rehearse, plan.color), (Format::Json, true, false, Color::Auto));
        assert!(read("rolewright plan --format xml", &[]).unwrap_err().contains("markdown"));
        assert!(read("rolewright", &[]).unwrap_err().contains("apply"));
    }
}
