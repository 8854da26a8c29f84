//! The arguments of a command, made from the options of a configuration.

use std::collections::BTreeMap;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::sources::{Source, Sources};
use super::{Exit, Failure};
use crate::config::file::FileValues;
use crate::config::{Arity, ConfigOption, Configuration};
use crate::{ClientConfig, Token};

/// A configuration that the command line and the environment set. Its arguments are called like its fields, by which
/// errors of the library name them.
#[derive(Clone, Debug)]
pub(super) struct Settings<C>(pub(super) C);

/// The variable with a token: never an argument, which everybody on the host could read.
pub(super) const TOKEN_VARIABLE: &str = "CORECAST_TOKEN";

impl Settings<ClientConfig> {
    /// The configuration of a client that logs in: with the token of the environment, if no file is named.
    ///
    /// # Errors
    /// The variable has something else than a token.
    pub(super) fn with_token(self) -> Result<ClientConfig, Failure> {
        let mut config = self.0;
        if config.token.is_none() {
            config.token = Token::from_env(TOKEN_VARIABLE)?;
        }
        Ok(config)
    }
}

impl<C: Configuration> Settings<C> {
    /// Notes the value of each option.
    pub(super) fn note_in(&self, values: &mut InForce) {
        values.0.extend(C::OPTIONS.iter().map(|option| (option.key, (option.text)(&self.0))));
    }

    /// Sets each option that the file sets and nothing stronger does, and notes that it comes from there.
    ///
    /// # Errors
    /// A value that is wrong; those of a file that was read are not.
    pub(super) fn fill(&mut self, file: &FromFile<'_>, sources: &mut Sources) -> Result<(), Failure> {
        for option in C::OPTIONS {
            let Some(entry) = file.values.get(file.table, option.key) else { continue };
            let source = Source::File { path: file.path.to_owned(), line: entry.place.line };
            let whole = GOES_WITH.iter().find(|(part, _)| *part == option.field).map(|(_, whole)| *whole);
            if *sources.of(option.field) >= source || whole.is_some_and(|whole| *sources.of(whole) > source) {
                continue;
            }
            let texts: Vec<&str> = entry.texts.iter().map(String::as_str).collect();
            (option.set)(&mut self.0, &texts).map_err(|why| {
                Failure::new(Exit::Usage, why).at(format!("{}:{}: `{}`", file.path, entry.place, option.key))
            })?;
            sources.put(option.field, option.key, source);
        }
        Ok(())
    }
}

/// Fields that go with another one: a file does not add its key to the certificate of somebody else.
const GOES_WITH: &[(&str, &str)] = &[("tls_key", "tls_cert"), ("key", "cert")];

/// The values of options as texts, by their keys.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct InForce(BTreeMap<&'static str, Vec<String>>);

impl InForce {
    /// Takes the value of one option from others.
    pub(super) fn copy(&mut self, key: &'static str, from: &InForce) {
        self.0.insert(key, from.get(key).to_vec());
    }

    /// None where an option is unset.
    pub(super) fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The same with the value of one option.
    #[cfg(test)]
    pub(super) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.0.insert(key, vec![value.to_owned()]);
        self
    }
}

/// A part of a config file, for the options that it sets.
pub(super) struct FromFile<'a> {
    pub(super) path: &'a str,
    pub(super) table: Option<&'static str>,
    pub(super) values: &'a FileValues,
}

impl<C: Configuration> Args for Settings<C> {
    fn augment_args(command: Command) -> Command {
        C::OPTIONS.iter().fold(command, |command, option| command.arg(argument(option)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Options with a short name, by their fields.
const SHORT: &[(&str, char)] = &[("broker", 'b')];

fn argument<C: Configuration>(option: &'static ConfigOption<C>) -> Arg {
    let argument = Arg::new(option.field).long(option.key).help(option.help);
    let argument = match SHORT.iter().find(|(field, _)| *field == option.field) {
        Some((_, short)) => argument.short(*short),
        None => argument,
    };
    let check = move |text: &str| option.check(text).map(|()| text.to_owned());
    let of_value = |argument: Arg| {
        argument
            .value_name(option.value)
            .value_parser(ValueParser::new(check))
            .default_values(option.default_text())
    };
    match option.arity {
        Arity::Switch => argument.action(ArgAction::SetTrue),
        Arity::One => of_value(argument.action(ArgAction::Set)),
        Arity::List => of_value(argument.action(ArgAction::Append).value_delimiter(',')),
        Arity::Repeated => of_value(argument.action(ArgAction::Append)),
    }
}

impl<C: Configuration> FromArgMatches for Settings<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut settings = Settings(C::default());
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for option in C::OPTIONS {
            let texts: Vec<&str> = match option.arity {
                Arity::Switch if matches.get_flag(option.field) => vec!["true"],
                Arity::Switch => Vec::new(),
                _ => matches
                    .get_many::<String>(option.field)
                    .into_iter()
                    .flatten()
                    .map(String::as_str)
                    .collect(),
            };
            if !texts.is_empty() {
                (option.set)(&mut self.0, &texts).map_err(|why| {
                    Error::raw(clap::error::ErrorKind::ValueValidation, format!("--{}: {why}\n", option.key))
                })?;
            }
        }
        Ok(())
    }
}
