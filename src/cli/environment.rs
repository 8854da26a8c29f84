//! Owns which environment variable stands for which option, for both commands of this project: one name, one option of
//! one command. Reads the arguments, and says where a value came from that was wrong.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::printable::{printable, printable_lines};

/// How the variables of one command are named: `PREFIX_SUBCOMMAND_OPTION`, or `PREFIX_OPTION` for the few options that
/// mean the same to every subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Variables {
    /// The first part of every name.
    pub prefix: &'static str,
    /// The long names of the options that all subcommands share.
    pub shared: &'static [&'static str],
}

/// The options that got their values from the environment, and from which variables.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct FromVariables(Vec<FromVariable>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct FromVariable {
    long: String,
    variable: String,
}

impl Variables {
    /// The variable of an option; `subcommand` is none for options of the command itself. An option that begins with
    /// the name of its subcommand does not repeat it: `pub --pub-listen` is `CORECAST_PUB_LISTEN`.
    pub fn variable(&self, subcommand: Option<&str>, long: &str) -> String {
        let own = subcommand.filter(|_| !self.shared.contains(&long));
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
            if is_read(OsStr::new(&variable)) { arg.env(variable) } else { arg }
        };
        let command = command.mut_args(|arg| named(None, arg));
        command.mut_subcommands(|subcommand| {
            if subcommand.is_hide_set() {
                return subcommand;
            }
            let name = subcommand.get_name().to_owned();
            subcommand.mut_args(|arg| named(Some(&name), arg))
        })
    }

    /// Reads the arguments of this process. A variable that is empty counts as unset.
    ///
    /// # Errors
    /// What is to be printed: wrong usage, or the help that was asked for.
    pub fn parse<C: CommandFactory + FromArgMatches>(&self) -> Result<(C, FromVariables), Refusal> {
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
            let is_to_blame = |one: &FromVariable| {
                let others = |variable: &OsStr| is_read(variable) && variable != OsStr::new(&one.variable);
                parse(&others).err().is_none_or(|without| !is_the_same(&without, &error))
            };
            let is_error = error.use_stderr();
            let command = C::command();
            let set = self.variables(&command).filter(|one| is_set(OsStr::new(&one.variable)));
            let mut blamed: Vec<FromVariable> = set.filter(|one| is_error && is_to_blame(one)).collect();
            // A shared option stands once for each subcommand.
            blamed.sort_by(|one, other| one.variable.cmp(&other.variable));
            blamed.dedup();
            Refusal { error, blamed: FromVariables(blamed) }
        })
    }

    /// Every option that has a variable.
    fn variables<'a>(&'a self, command: &'a Command) -> impl Iterator<Item = FromVariable> + 'a {
        let visible = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set());
        let all = std::iter::once((None, command)).chain(visible.map(|one| (Some(one.get_name()), one)));
        all.flat_map(move |(name, command)| {
            let longs = command.get_arguments().filter_map(Arg::get_long);
            longs.map(move |long| FromVariable { long: long.to_owned(), variable: self.variable(name, long) })
        })
    }

    fn sources(&self, command: &Command, matches: &ArgMatches) -> FromVariables {
        let mut from = Vec::new();
        let mut collect = |command: &Command, matches: &ArgMatches, subcommand: Option<&str>| {
            for arg in command.get_arguments() {
                let source = matches.try_contains_id(arg.get_id().as_str()).ok();
                let source = source.and_then(|_| matches.value_source(arg.get_id().as_str()));
                if let (Some(ValueSource::EnvVariable), Some(long)) = (source, arg.get_long()) {
                    let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
                    let variable = variable.unwrap_or_else(|| self.variable(subcommand, long));
                    from.push(FromVariable { long: long.to_owned(), variable });
                }
            }
        };
        collect(command, matches, None);
        if let Some((name, matches)) = matches.subcommand()
            && let Some(command) = command.find_subcommand(name)
        {
            collect(command, matches, Some(name));
        }
        from.sort_by(|one, other| one.variable.cmp(&other.variable));
        from.dedup();
        FromVariables(from)
    }
}

/// Whether two errors complain of the same.
fn is_the_same(one: &clap::Error, other: &clap::Error) -> bool {
    // The usage shows every option that is set, also those that are well.
    let complaint = |error: &'_ clap::Error| -> Vec<(ContextKind, ContextValue)> {
        let context = error.context().filter(|(kind, _)| *kind != ContextKind::Usage);
        context.map(|(kind, value)| (kind, value.clone())).collect()
    };
    one.kind() == other.kind() && complaint(one) == complaint(other)
}

impl FromVariables {
    /// Those whose options a text mentions.
    #[must_use]
    pub fn mentioned_in(&self, text: &str) -> Self {
        let mentioned = |long: &str| {
            let ends =
                |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
            text.split("--").skip(1).any(|word| word.strip_prefix(long).is_some_and(ends))
        };
        FromVariables(self.0.iter().filter(|one| mentioned(&one.long)).cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `--count is set by the environment variable CORECAST_SUB_COUNT`, and so on for each.
impl fmt::Display for FromVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, FromVariable { long, variable }) in self.0.iter().enumerate() {
            let before = if at > 0 { ", " } else { "" };
            write!(f, "{before}--{long} is set by the environment variable {variable}")?;
        }
        Ok(())
    }
}

/// Why there is nothing to be done: wrong usage, or help was all that was wanted.
#[derive(Debug)]
pub struct Refusal {
    error: clap::Error,
    blamed: FromVariables,
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
            let _ = writeln!(io::stderr(), "hint: {}", printable(&self.blamed.to_string()));
        }
        if matches!(self.error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            return ExitCode::SUCCESS;
        }
        ExitCode::from(super::Exit::Usage as u8)
    }

    /// A value that is quoted in the error stays one line, and does nothing to a terminal.
    fn quote_plainly(&mut self) {
        let odd = |value: &ContextValue| match value {
            ContextValue::String(text) if !printable(text).is_plain() => Some(printable(text).to_string()),
            _ => None,
        };
        let odd: Vec<(ContextKind, String)> =
            self.error.context().filter_map(|(kind, value)| Some((kind, odd(value)?))).collect();
        for (kind, text) in odd {
            self.error.insert(kind, ContextValue::String(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Variables = Variables { prefix: "CORECAST", shared: &["broker"] };

    #[test]
    fn a_name_says_which_command_it_is_for() {
        assert_eq!(NAMES.variable(Some("sub"), "count"), "CORECAST_SUB_COUNT");
        assert_eq!(NAMES.variable(Some("pub"), "wait-subscribers"), "CORECAST_PUB_WAIT_SUBSCRIBERS");
        assert_eq!(NAMES.variable(Some("pub"), "pub-listen"), "CORECAST_PUB_LISTEN");
        assert_eq!(NAMES.variable(Some("pub"), "broker"), "CORECAST_BROKER");
        assert_eq!(NAMES.variable(None, "log-level"), "CORECAST_LOG_LEVEL");
    }

    #[test]
    fn a_text_mentions_whole_options() {
        let one = |long: &str| FromVariable { long: long.into(), variable: format!("X_{long}") };
        let from = FromVariables(vec![one("egress-bytes"), one("egress"), one("cores")]);
        let mentioned = from.mentioned_in("--egress-bytes 5 is too little for (--cores)");
        assert_eq!(mentioned, FromVariables(vec![one("egress-bytes"), one("cores")]));
        assert_eq!(
            mentioned.to_string(),
            "--egress-bytes is set by the environment variable X_egress-bytes, \
             --cores is set by the environment variable X_cores"
        );
        assert!(from.mentioned_in("no option").is_empty());
    }
}
