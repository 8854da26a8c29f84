//! The `corecast-bench` command: its arguments, its exit codes, its subcommands. Everything it does is in the
//! library; this only reads words and prints results.
//!
//! | file | owns |
//! |---|---|
//! | [`run`] | `corecast-bench run` |
//! | [`experiment`] | `corecast-bench experiment` |
//! | [`compare`] | `corecast-bench compare` |
//! | [`report`] | `corecast-bench report` |
//! | [`peers`] | `corecast-bench peers` |
//! | [`agent`] | `corecast-bench agent` |
//! | [`exit`] | exit codes |
//! | [`pages`] | completions and the man page |
//! | [`output`] | writing to stdout without fear of closed pipes and full disks |

pub mod agent;
pub mod compare;
pub mod exit;
pub mod experiment;
pub mod output;
pub mod pages;
pub mod peers;
pub mod report;
pub mod run;

use crate::process::{guard, neighbour};
use crate::swarm::raw::floor;
use clap::{CommandFactory, Parser, Subcommand};
use corecast::internals::cli::Variables;
use corecast::internals::telemetry::flush_log;
use exit::Exit;
use std::ffi::OsString;
use std::process::ExitCode;

/// Measures publish/subscribe fan-out: how long every message takes to every subscriber, and that none is lost.
#[derive(Parser, Debug)]
#[command(name = "corecast-bench", version, about, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 failed or interrupted, 2 wrong usage or a failed --assert, 3 the asked rate was not reached, \
27 timed out.";

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run publishers and a swarm of subscribers through a broker, and account for every message
    Run(Box<run::RunArgs>),
    /// Carry out an experiment: many runs, one question, a folder of results
    Experiment(Box<experiment::ExperimentArgs>),
    /// Write a report of results: a page, Markdown, and plots
    Report(report::ReportArgs),
    /// Set one result over another: a ratio for each figure, with its interval
    Compare(compare::CompareArgs),
    /// Compare with libzmq, nats-server, redis-server, mosquitto, Zenoh and a bare send loop, side by side
    Peers(Box<peers::PeersArgs>),
    /// Wait on a host for whoever runs experiments, and play their subscribers
    Agent(agent::AgentArgs),
    /// Print a completion script for a shell
    Completions(pages::CompletionsArgs),
    /// Print the man page, or write one for each subcommand into a folder
    Man(pages::ManArgs),
    /// Be the floor of a comparison with peers
    #[command(name = floor::SUBCOMMAND, hide = true)]
    Floor(floor::FloorArgs),
    /// Be the neighbour of a comparison with peers
    #[command(name = neighbour::SUBCOMMAND, hide = true)]
    Neighbour(neighbour::NeighbourArgs),
    /// Become PROGRAM, to be ended with process PARENT
    #[command(name = guard::SUBCOMMAND, hide = true)]
    Guard {
        /// The process that asks.
        parent: u32,
        /// The program to become.
        program: OsString,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// The variables of this command.
const VARIABLES: Variables = Variables { prefix: "CORECAST_BENCH", shared: &["log"], own: &[], alike: &[] };

/// The definition of the command, with its environment variables: for help, man pages and tests.
pub fn command() -> clap::Command {
    VARIABLES.name_all(Cli::command())
}

/// The whole command: reads the arguments, does what they ask, and turns an error into an exit code.
pub fn main() -> ExitCode {
    let (cli, sources) = match VARIABLES.parse::<Cli>() {
        Ok(parsed) => parsed,
        Err(refusal) => return refusal.report(),
    };
    let exit = cli.execute().unwrap_or_else(|error| {
        output::complain(&error);
        Exit::of(&error)
    });
    if exit == Exit::Usage && !sources.is_without_variables() {
        output::note(&sources.to_string());
    }
    flush_log();
    exit.into()
}

impl Cli {
    /// Does it.
    pub fn execute(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Run(args) => run::execute(&args),
            Command::Experiment(args) => experiment::execute(&args),
            Command::Report(args) => report::execute(&args),
            Command::Compare(args) => compare::execute(&args),
            Command::Agent(args) => agent::execute(&args),
            Command::Completions(args) => pages::completions(&args),
            Command::Man(args) => pages::man(&args),
            Command::Peers(args) => peers::execute(&args),
            Command::Floor(args) => floor::be_the_floor(&args).map(|()| Exit::Fine),
            Command::Neighbour(args) => neighbour::be_the_neighbour(&args).map(|()| Exit::Fine),
            Command::Guard { parent, program, args } => Err(guard::become_guarded(parent, &program, &args)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_own() {
        let command = command();
        let mut names = std::collections::BTreeSet::new();
        for name in ["run", "experiment", "peers", "report", "compare", "agent", "man"] {
            let options = command.find_subcommand(name).unwrap().get_opts();
            for argument in options.filter(|option| !["help", "version"].contains(&option.get_id().as_str()))
            {
                let variable = argument.get_env().unwrap().to_string_lossy().into_owned();
                assert!(
                    names.insert(variable.clone()) || variable == "CORECAST_BENCH_LOG",
                    "{variable} of {name}"
                );
            }
        }
        assert!(names.contains("CORECAST_BENCH_RUN_SUBSCRIBERS"), "{names:?}");
        let floor = command.find_subcommand(floor::SUBCOMMAND).unwrap();
        assert!(
            floor.get_arguments().all(|argument| argument.get_env().is_none()),
            "it is called by us alone"
        );
    }
}
