//! Owns which environment variable stands for which option, for both commands of this project: one name, one option of
//! one command. Reads the arguments, and tells where each value came from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::sources::{Source, Sources};
use crate::printable::{printable, printable_lines};

/// The names of a command's variables: `PREFIX_SUBCOMMAND_OPTION`, or `PREFIX_OPTION` for the few options that
/// mean the same to every subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Variables {
    /// The first part of every name.
    pub prefix: &'static str,
    /// The long names of the options that all subcommands share.
    pub shared: &'static [&'static str],
    /// Subcommands with an option of such a name that means something else.
    pub own: &'static [(&'static str, &'static str)],
    /// Subcommands of subcommands whose options are those of another subcommand, which is named last.
    pub alike: &'static [(&'static str, &'static str, &'static str)],
}

/// Placeholders of values that begin with a number, and may have a unit behind it.
const QUANTITIES: &[&str] = &["BYTES", "SECS", "HZ"];

impl Variables {
    /// The variable of an option; `subcommand` is none for options of the command itself. An option that begins with
    /// the name of its subcommand does not repeat it: `pub --pub-listen` is `CORECAST_PUB_LISTEN`.
    pub fn variable(&self, subcommand: Option<&str>, long: &str) -> String {
        let is_own = |name: &str| !self.shared.contains(&long) || self.own.contains(&(name, long));
        let own = subcommand.filter(|name| is_own(name));
        let option = own.and_then(|own| long.strip_prefix(own)?.strip_prefix('-')).unwrap_or(long);
        let parts = std::iter::once(self.prefix).chain(own).chain([option]);
        parts.collect::<Vec<_>>().join("_").replace('-', "_").to_uppercase()
    }

    /// The definition with a variable for every option, as help and man pages show it. Hidden subcommands have none:
    /// only this program calls them.
    pub fn name_all(&self, command: Command) -> Command {
        self.name_some(command, |_| true)
    }

    fn name_some(&self, command: Command, is_read: impl Fn(&OsStr) -> bool) -> Command {
        let named = |subcommand: Option<&str>, arg: Arg| {
            let Some(variable) = arg.get_long().map(|long| self.variable(subcommand, long)) else {
                return arg;
            };
            let arg = match arg.get_action() {
                ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
                _ => arg,
            };
            // A value such as -5 is refused for what it is, and not as an option that does not exist.
            let is_quantity = arg
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| QUANTITIES.contains(&name.as_str())));
            let arg = match arg.get_action() {
                ArgAction::Set | ArgAction::Append => {
                    arg.allow_negative_numbers(true).allow_hyphen_values(is_quantity)
                }
                _ => arg,
            };
            if is_read(OsStr::new(&variable)) { arg.env(variable) } else { arg }
        };
        let command = command.mut_args(|arg| named(None, arg));
        command.mut_subcommands(|subcommand| {
            if subcommand.is_hide_set() {
                return subcommand;
            }
            let name = subcommand.get_name().to_owned();
            let subcommand = subcommand.mut_args(|arg| named(Some(&name), arg));
            subcommand.mut_subcommands(|inner| match self.alike(&name, inner.get_name()) {
                Some(other) => inner.mut_args(|arg| named(Some(other), arg)),
                None => inner,
            })
        })
    }

    /// The subcommand whose variables are those of `inner`, a subcommand of `name`.
    fn alike(&self, name: &str, inner: &str) -> Option<&'static str> {
        let alike = self.alike.iter().find(|(of, one, _)| (*of, *one) == (name, inner));
        alike.map(|(_, _, other)| *other)
    }

    /// Reads the arguments of this process. A variable that is empty counts as unset.
    ///
    /// # Errors
    /// The text to print: wrong usage, or the help that was asked for.
    pub fn parse<C: CommandFactory + FromArgMatches>(&self) -> Result<(C, Sources), Refusal> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let is_set = |variable: &OsStr| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
        // One that is unset is named all the same: help says so.
        let is_read = |variable: &OsStr| is_set(variable) || std::env::var_os(variable).is_none();
        let parse = |is_read: &dyn Fn(&OsStr) -> bool| {
            let mut command = self.name_some(C::command(), is_read);
            let matches = command.try_get_matches_from_mut(&arguments)?;
            let from = self.sources(&command, &matches);
            C::from_arg_matches(&matches)
                .map(|parsed| (parsed, from))
                .map_err(|error| error.format(&mut command))
        };
        parse(&is_read).map_err(|error| {
            // A variable is to blame if all is well without it, or something else is wrong.
            let is_to_blame = |blamed: &str| {
                let others = |variable: &OsStr| is_read(variable) && variable != OsStr::new(blamed);
                parse(&others).err().is_none_or(|without| !is_the_same(&without, &error))
            };
            let is_error = error.use_stderr();
            let command = C::command();
            let set = self.variables(&command).into_iter();
            let set = set.filter(|(variable, _)| is_error && is_set(OsStr::new(variable)));
            let blamed = set.filter(|(variable, _)| is_to_blame(variable)).collect();
            Refusal { error, blamed }
        })
    }

    /// Every variable with its option, in the order of the alphabet. A shared option stands there once.
    fn variables(&self, command: &Command) -> BTreeMap<String, String> {
        let visible = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
        let all = std::iter::once((None, command)).chain(visible.map(|one| (Some(one.get_name()), one)));
        let variables = all.flat_map(|(name, command)| {
            let longs = command.get_arguments().filter_map(Arg::get_long);
            let own = longs.map(move |long| (self.variable(name, long), long.to_owned()));
            let inner = command.get_subcommands().filter_map(move |inner| {
                let other = self.alike(name?, inner.get_name())?;
                Some((other, inner))
            });
            let inner = inner.flat_map(move |(other, inner)| {
                let longs = inner.get_arguments().filter_map(Arg::get_long);
                longs.map(move |long| (self.variable(Some(other), long), long.to_owned()))
            });
            own.chain(inner)
        });
        variables.collect()
    }

    /// The source of every value of a command and of its subcommand.
    fn sources(&self, command: &Command, matches: &ArgMatches) -> Sources {
        let mut sources = Sources::default();
        let mut collect = |command: &Command, matches: &ArgMatches, subcommand: Option<&str>| {
            for arg in command.get_arguments() {
                let id = arg.get_id().as_str();
                let Some(long) = arg.get_long() else { continue };
                let source = matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id));
                let source = match source {
                    Some(ValueSource::CommandLine) => Source::CommandLine,
                    Some(ValueSource::EnvVariable) => Source::Environment(self.variable(subcommand, long)),
                    _ => Source::Default,
                };
                sources.put(id, long, source);
            }
        };
        collect(command, matches, None);
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            collect(command, matches, Some(name));
            if let Some((inner, matches)) = matches.subcommand()
                && let Some(command) = command.find_subcommand(inner)
                && let Some(other) = self.alike(name, inner)
            {
                collect(command, matches, Some(other));
            }
        }
        sources
    }
}

/// True if two errors complain of the same.
fn is_the_same(one: &clap::Error, other: &clap::Error) -> bool {
    // The usage shows every option that is set, also those that are well.
    let complaint = |error: &'_ clap::Error| -> Vec<(ContextKind, ContextValue)> {
        let context = error.context().filter(|(kind, _)| *kind != ContextKind::Usage);
        context.map(|(kind, value)| (kind, value.clone())).collect()
    };
    one.kind() == other.kind() && complaint(one) == complaint(other)
}

/// A command line that leaves nothing to be done: wrong usage, or a call for help.
#[derive(Debug)]
pub struct Refusal {
    error: clap::Error,
    /// The variables that are to blame, with their options.
    blamed: Vec<(String, String)>,
}

impl Refusal {
    /// Prints it where it belongs. Where that fails, the exit code still tells.
    pub fn report(mut self) -> ExitCode {
        self.quote_plainly();
        let text = self.error.render().to_string();
        let is_plain = text.lines().all(|line| printable(line).is_plain());
        let _ = match is_plain {
            // In colours, where they are wanted.
            true => self.error.print(),
            false => writeln!(io::stderr(), "{}", printable_lines(text.trim_end())),
        };
        if !self.blamed.is_empty() {
            let blamed = self
                .blamed
                .iter()
                .map(|(variable, long)| format!("--{long} is set by the environment variable {variable}"));
            let _ = writeln!(io::stderr(), "hint: {}", printable(&blamed.collect::<Vec<_>>().join(", ")));
        }
        if matches!(self.error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return ExitCode::SUCCESS;
        }
        ExitCode::from(super::Exit::Usage as u8)
    }

    /// A value that is quoted in the error stays one line, does nothing to a terminal, and shows no password.
    fn quote_plainly(&mut self) {
        let odd = |value: &ContextValue| {
            let ContextValue::String(text) = value else { return None };
            let quoted = printable(&without_login(text)).to_string();
            (quoted != *text).then_some(quoted)
        };
        let odd: Vec<(ContextKind, String)> =
            self.error.context().filter_map(|(kind, value)| Some((kind, odd(value)?))).collect();
        for (kind, text) in odd {
            self.error.insert(kind, ContextValue::String(text));
        }
    }
}

/// The text of an endpoint without the user and password that somebody has put into it.
fn without_login(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://***@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_endpoint_is_not_shown() {
        for (text, shown) in [
            ("tcp://u:secret@host:1", "tcp://***@host:1"),
            ("nats://u:se@cret@host:1", "nats://***@host:1"),
            ("tcp://host:1", "tcp://host:1"),
            ("a@b", "a@b"),
        ] {
            assert_eq!(without_login(text), shown);
        }
    }

    const NAMES: Variables = Variables {
        prefix: "CORECAST",
        shared: &["broker", "config"],
        own: &[("broker", "config")],
        alike: &[],
    };

    #[test]
    fn a_name_says_which_command_it_is_for() {
        assert_eq!(NAMES.variable(Some("sub"), "count"), "CORECAST_SUB_COUNT");
        assert_eq!(NAMES.variable(Some("pub"), "wait-subscribers"), "CORECAST_PUB_WAIT_SUBSCRIBERS");
        assert_eq!(NAMES.variable(Some("pub"), "pub-listen"), "CORECAST_PUB_LISTEN");
        assert_eq!(NAMES.variable(Some("pub"), "broker"), "CORECAST_BROKER");
        assert_eq!(NAMES.variable(None, "log-level"), "CORECAST_LOG_LEVEL");
        assert_eq!(NAMES.variable(Some("sub"), "config"), "CORECAST_CONFIG");
        assert_eq!(NAMES.variable(Some("broker"), "config"), "CORECAST_BROKER_CONFIG");
    }
}
