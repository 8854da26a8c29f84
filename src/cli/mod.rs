//! The `corecast` command: arguments as typed, then resolved, then run. One file per subcommand; help, man page
//! and completions come from the definitions here. `main.rs` is the only caller.
//!
//! | file | owns |
//! |---|---|
//! | `systemd` | the state of the broker, for the service manager |
//! | `broker`, `publish`, `subscribe`, `ping`, `latency`, `registry`, `peers`, `reload`, `sessions`, `history`, `top`, `kick`, `drain`, `doctor`, `completions`, `man` | a subcommand each |
//! | `broker_options` | from the options of a broker to one that can be started |
//! | `doctor_engine`, `doctor_files` | what `doctor` says of an engine, and of files of a broker |
//! | `live_config`, `live_files` | what a running broker reads again: its options, and files |
//! | `settings`, `sources`, `environment` | options as arguments; where the value of each came from; the names of variables |
//! | `config_file`, `config_command` | the file that sets options, too; the subcommand for it |
//! | `log_options`, `serving` | the options of logs, and those of a broker that only the command has |
//! | `exit`, `output`, `interrupt` | the end of a command; what it writes; the signals that end it |
//! | `event_writer`, `message_format`, `message_out` | what `sub` prints: events; a message in a form that is asked for; bytes of publishers |
//! | `received`, `seconds` | the sums over what `sub` has received; a tick each second |
//! | `payloads`, `template`, `pace`, `progress` | what `pub` sends; payloads with fields; when it sends; how far it is |
//! | `probe`, `round_trips` | the arguments that `ping` and `latency` share, and the times that they measure |
//! | `core_dumps` | core dumps of commands that hold secrets |
//! | `http_address`, `utc` | forms of an address and of a time |
//! | `new_file` | files that are written, and never over others |
//! | `http_client`, `operator_args` | requests to the HTTP server of a running broker, and to its API |
//! | `table`, `amounts`, `session_cells` | rows and figures as they are printed for people |

mod amounts;
mod broker;
mod broker_options;
mod certificate;
mod client_args;
mod completions;
mod config_command;
mod config_file;
mod core_dumps;
mod curve_keygen;
mod doctor;
mod doctor_engine;
mod doctor_files;
mod drain;
mod environment;
mod event_writer;
mod exit;
mod history;
mod http_address;
mod http_client;
mod interrupt;
mod kick;
mod latency;
mod live_config;
mod live_files;
mod log_options;
mod man;
mod message_format;
mod message_out;
mod new_file;
mod operator_args;
mod output;
mod pace;
mod payloads;
mod peers;
mod ping;
mod probe;
mod progress;
mod publish;
mod received;
mod refusal;
mod registry;
mod reload;
mod round_trips;
mod seconds;
mod serving;
mod session_cells;
mod sessions;
mod settings;
mod sources;
mod subscribe;
mod systemd;
mod table;
mod template;
mod top;
mod user;
mod utc;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use corecast_executors::ignore_file_size_signal;

use self::log_options::LogOptions;
use self::settings::Settings;

pub use completions::completion_script;
pub use environment::{Refusal, Variables};
pub use exit::{Exit, Failure};
pub use man::man_page;
pub use sources::{Source, Sources};
pub use utc::Utc;

pub use crate::config::Size;
use crate::telemetry::{flush_log, install_logs, say};

const EXAMPLES: &str = "\
Examples:
  corecast broker                                  # listens on tcp://127.0.0.1:6680
  corecast sub 'prices.>'                          # in another terminal
  corecast pub prices.eur.usd 1.0842               # in a third
  corecast ping                                    # is the broker there, and how far away?
  seq 1 1000000 | corecast pub numbers --lines - --wait-subscribers 1

Every option can also be set by an environment variable named after its command: `sub --count` is CORECAST_SUB_COUNT. \
CORECAST_BROKER, CORECAST_TOKEN_FILE, CORECAST_METRICS, CORECAST_HTTP_TOKEN_FILE, CORECAST_LOG_LEVEL and CORECAST_LOG_FORMAT \
apply to all commands that have these options. CORECAST_TOKEN is a token itself, for those that log in at their broker without a file. An empty variable counts as unset, \
and the command line takes precedence. `corecast broker --config` reads options from a file, and other commands from \
client.toml, which the environment overrides: see `corecast config --help`.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 rate not reached, 27 timed out.
A closed pipe ends a command quietly, with 0.";

/// Thread-per-core publish/subscribe: a slow consumer costs only itself, and every drop is reported.
#[derive(Parser, Debug)]
#[command(
    name = "corecast",
    version,
    after_help = EXAMPLES,
    propagate_version = true,
    mut_arg("log_level", |arg| arg.global(true).help_heading("Logs")),
    mut_arg("log_format", |arg| arg.global(true).help_heading("Logs"))
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    logs: Settings<LogOptions>,
}

#[derive(Subcommand, Debug)]
enum Command {
    Broker(Box<broker::BrokerArgs>),
    Pub(Box<publish::PubArgs>),
    Sub(Box<subscribe::SubArgs>),
    Ping(ping::PingArgs),
    Latency(Box<latency::LatencyArgs>),
    Registry(registry::RegistryArgs),
    Peers(peers::PeersArgs),
    User(user::UserArgs),
    Reload(reload::ReloadArgs),
    Config(config_command::ConfigArgs),
    Sessions(sessions::SessionsArgs),
    History(history::HistoryArgs),
    Top(top::TopArgs),
    Kick(kick::KickArgs),
    Drain(drain::DrainArgs),
    Cert(certificate::CertArgs),
    CurveKeygen(curve_keygen::CurveKeygenArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Meanings of the exit codes, for man pages.
const EXIT_STATUS: &[(u8, &str)] = &[
    (0, "Success; also when the reader of the output has gone."),
    (1, "Failure."),
    (2, "Wrong usage."),
    (3, "Success, but below the requested rate."),
    (27, "Timed out."),
];

/// The variables of this command.
const VARIABLES: Variables = Variables {
    prefix: "CORECAST",
    shared: &[
        "broker",
        "token-file",
        "http-token-file",
        "metrics",
        "ca",
        "pin",
        "cert",
        "key",
        "config",
        "log-level",
        "log-format",
    ],
    own: &[("broker", "config"), ("broker", "metrics"), ("doctor", "config"), ("doctor", "metrics")],
    alike: &[
        ("config", "show", "broker"),
        ("config", "show-client", "sub"),
        ("history", "list", "history"),
        ("history", "clear", "history"),
    ],
};

/// The definition of the command, with its environment variables: for help, man pages and tests.
pub fn command() -> clap::Command {
    VARIABLES.name_all(Cli::command())
}

/// The whole command: reads the arguments, does what they ask, and prints the one error.
pub fn main() -> ExitCode {
    let (cli, mut sources) = match VARIABLES.parse::<Cli>() {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal.report(),
    };
    match cli.run(&mut sources) {
        Ok(exit) => {
            flush_log();
            exit.into()
        }
        Err(failure) => {
            let failure = failure.name_source(&sources);
            // Where nobody reads stderr, the exit code still tells.
            say(&failure.to_string());
            failure.exit().into()
        }
    }
}

impl Cli {
    /// Takes up what a config file says, if the command has one.
    fn read_config_file(&mut self, sources: &mut Sources) -> Result<(), Failure> {
        match &mut self.command {
            Command::Broker(args) => args.options.read_file(&mut self.logs, sources),
            Command::Pub(args) => args.client.read_file(sources),
            Command::Sub(args) => args.client.read_file(sources),
            Command::Ping(args) => args.probe.client.read_file(sources),
            Command::Latency(args) => args.probe.client.read_file(sources),
            Command::Registry(args) => args.client.read_file(sources),
            Command::Config(args) => args.read_file(&mut self.logs, sources),
            _ => Ok(()),
        }
    }

    /// Does what was asked. Values that come from a config file are noted in `sources`.
    ///
    /// # Errors
    /// The text to print, and the exit code.
    pub fn run(mut self, sources: &mut Sources) -> Result<Exit, Failure> {
        self.read_config_file(sources)?;
        let logs = self.logs.clone();
        let LogOptions { log_level, log_format } = self.logs.0;
        let level = match (&log_level, &self.command) {
            (Some(level), _) => level,
            (None, Command::Broker(_)) => broker::LOG_LEVEL,
            (None, _) => "warn",
        };
        install_logs(level, log_format).map_err(|e| Failure::from(e).of_field("log_level"))?;
        // A file that may not grow is an error of the write.
        ignore_file_size_signal()
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot set up signals: {e}")))?;
        match self.command {
            Command::Broker(args) => broker::run(*args, &logs),
            Command::Pub(args) => publish::run(*args),
            Command::Sub(args) => subscribe::run(*args),
            Command::Ping(args) => ping::run(args),
            Command::Latency(args) => latency::run(*args),
            Command::Registry(args) => registry::run(args),
            Command::Peers(args) => peers::run(args),
            Command::User(args) => user::run(args),
            Command::Reload(args) => reload::run(args),
            Command::Config(args) => config_command::run(args, logs, sources),
            Command::Sessions(args) => sessions::run(args),
            Command::History(args) => history::run(args),
            Command::Top(args) => top::run(args),
            Command::Kick(args) => kick::run(args),
            Command::Drain(args) => drain::run(args),
            Command::Cert(args) => certificate::run(args),
            Command::CurveKeygen(args) => curve_keygen::run(args),
            Command::Doctor(args) => doctor::run(args),
            Command::Completions(args) => completions::run(args),
            Command::Man(args) => man::run(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_a_variable_of_its_own() {
        let mut whole = command();
        whole.build();
        let mut names = std::collections::BTreeMap::new();
        for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
            let is_ours = |arg: &&clap::Arg| !matches!(arg.get_id().as_str(), "help" | "version");
            for arg in command.get_arguments().filter(is_ours) {
                let Some(long) = arg.get_long() else { continue };
                let variable = arg.get_env().map(|env| env.to_string_lossy().into_owned());
                let variable = variable.unwrap_or_else(|| panic!("{} --{long} has none", command.get_name()));
                let is_shared = VARIABLES.shared.contains(&long);
                if let Some(other) = names.insert(variable.clone(), command.get_name().to_owned()) {
                    assert!(is_shared, "{variable} is of {other} and of {}", command.get_name());
                }
            }
        }
        assert!(
            names.contains_key("CORECAST_SUB_COUNT") && names.contains_key("CORECAST_BROKER"),
            "{names:?}"
        );
    }

    #[test]
    fn one_variable_leads_every_command_of_an_operator_to_its_broker() {
        let whole = command();
        let variable = |path: &[&str], long: &str| {
            let command = path.iter().try_fold(&whole, |command, name| command.find_subcommand(name));
            let arg =
                command.and_then(|command| command.get_arguments().find(|arg| arg.get_long() == Some(long)));
            let variable = arg.and_then(|arg| arg.get_env()).map(|name| name.to_string_lossy().into_owned());
            variable.unwrap_or_else(|| panic!("{path:?} --{long} has none"))
        };
        for path in [
            &["sessions"][..],
            &["top"],
            &["kick"],
            &["drain"],
            &["reload"],
            &["peers"],
            &["history", "list"],
            &["history", "clear"],
        ] {
            assert_eq!(variable(path, "metrics"), "CORECAST_METRICS");
            assert_eq!(variable(path, "http-token-file"), "CORECAST_HTTP_TOKEN_FILE");
        }
        // A broker listens there, and a host is checked without one.
        assert_eq!(variable(&["broker"], "metrics"), "CORECAST_BROKER_METRICS");
        assert_eq!(variable(&["doctor"], "metrics"), "CORECAST_DOCTOR_METRICS");
        assert_eq!(variable(&["history", "list"], "limit"), "CORECAST_HISTORY_LIMIT");
    }

    #[test]
    fn every_subcommand_has_help_with_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example") && help.contains("corecast "), "{}: {help}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
