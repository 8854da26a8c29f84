//! `corecast config`: config files of brokers and clients.
//!
//! | file | owns |
//! |---|---|
//! | `check` | all that is wrong with a file, before a broker has to say it |
//! | `show` | what is in force, and where each value came from |

mod check;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

pub(super) use self::check::check_file;
use super::broker_options::BrokerOptions;
use super::client_args::ClientArgs;
use super::config_file::{CLIENT, ConfigFile, grammar};
use super::log_options::LogOptions;
use super::output::{Format, print};
use super::settings::Settings;
use super::{Exit, Failure, Sources};
use crate::config::file::sample;

const EXAMPLES: &str = "\
Examples:
  corecast config default > broker.toml        # every option, with its documentation; none is set
  corecast config check broker.toml            # all that is wrong, each with its line
  corecast config show --config broker.toml    # what is in force, and where each value comes from
  corecast config show-client                  # the same for pub, sub and other clients
  corecast broker --config broker.toml

broker.toml, with the names of the options:
    listen = [\"tcp://127.0.0.1:6680\", \"uds:///run/corecast.sock\"]
    egress-bytes = \"32MiB\"
    shards = 2
    rebalance = false

~/.config/corecast/client.toml, for pub, sub, ping, latency and registry:
    [client]
    broker = \"tls://broker.example.org:6680\"
    token-file = \"desk.token\"

A value is written as in TOML, or as the text that the command line takes. A relative path begins at the folder of the file. The \
environment and the command line take precedence over the file.

check exits with 1 if the file cannot be read, and with 2 if something in it, or in a file that it names, is wrong.";

/// Check a config file, or print one that has every option.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    Check(CheckArgs),
    Show(Box<ShowArgs>),
    ShowClient(Box<ShowClientArgs>),
    /// Print a config file that has every option, with its documentation and its default, and sets none.
    Default,
}

/// Check a config file, and the files that it names, as a broker does before it starts.
#[derive(Args, Debug)]
struct CheckArgs {
    /// Config file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Output format: text, or json for an object. What is wrong is an error in both.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Print what is in force for a broker with these options, and where each value came from.
#[derive(Args, Debug)]
struct ShowArgs {
    #[command(flatten)]
    options: BrokerOptions,

    #[command(flatten)]
    form: ShowForm,
}

/// Print what is in force for pub, sub, ping, latency and registry, and where each value came from.
#[derive(Args, Debug)]
struct ShowClientArgs {
    #[command(flatten)]
    options: ClientArgs,

    #[command(flatten)]
    form: ShowForm,
}

#[derive(Args, Debug)]
struct ShowForm {
    /// Output format: text for a config file that says the same, or json with one object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl ConfigArgs {
    /// Reads the config file of the command that is shown.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub(super) fn read_file(
        &mut self,
        logs: &mut Settings<LogOptions>,
        sources: &mut Sources,
    ) -> Result<(), Failure> {
        match &mut self.command {
            ConfigCommand::Show(args) => args.options.read_file(logs, sources),
            ConfigCommand::ShowClient(args) => args.options.read_file(sources),
            ConfigCommand::Check(_) | ConfigCommand::Default => Ok(()),
        }
    }
}

/// The first lines of a file that has every option.
const HEAD: &str = "Config file of corecast, in TOML.
Each option is behind a single #, with its default: remove the # to set it. The environment and the command line take \
precedence. `corecast config check FILE` says what is wrong with it.";

pub(super) fn run(args: ConfigArgs, logs: Settings<LogOptions>, sources: &Sources) -> Result<Exit, Failure> {
    let grammar = grammar();
    let section = |table| grammar.section(table).expect("the grammar has what this command has");
    match args.command {
        ConfigCommand::Check(CheckArgs { file, output }) => {
            let file = ConfigFile::read(&file)?;
            check_file(&file)?;
            let count = file.values().len();
            let words = || format!("{}: {count} option{}\n", file.shown(), if count == 1 { "" } else { "s" });
            output.print(words, &json!({ "file": file.shown(), "options": count }))?;
        }
        ConfigCommand::Show(args) => {
            let values = args.options.in_force(&logs);
            print(show::shown(section(None), &values, sources, args.form.output))?;
        }
        ConfigCommand::ShowClient(args) => {
            let values = args.options.in_force();
            print(show::shown(section(Some(CLIENT)), &values, sources, args.form.output))?;
        }
        ConfigCommand::Default => print(sample(&grammar, HEAD))?,
    }
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::read_config;

    #[test]
    fn the_file_with_every_option_is_well_as_it_stands_and_with_every_option_set() {
        let text = sample(&grammar(), HEAD);
        let read = |text: &str| read_config(text.as_bytes(), &grammar(), Path::new("/")).expect(text);
        assert_eq!(read(&text).len(), 0, "none is set");
        let set: String =
            text.lines().map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect();
        let values = read(&set);
        for section in &grammar().sections {
            for key in &section.keys {
                let is_unset = key.may_be_unset();
                let texts = values.get(section.table, key.key).map(|entry| &entry.texts);
                assert_eq!(texts.is_none(), is_unset, "{}", key.key);
                let is_switch = key.default.is_empty() && texts.is_some_and(|texts| *texts == ["false"]);
                assert!(
                    is_switch || texts.is_none_or(|texts| *texts == key.default),
                    "{}: {texts:?}",
                    key.key
                );
            }
        }
        assert!(values.len() > 15);
    }
}
