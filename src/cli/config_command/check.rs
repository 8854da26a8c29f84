//! Faults of the options of a file together, and of the files that it names.

use crate::cli::broker_options::BrokerOptions;
use crate::cli::config_file::{ConfigFile, grammar};
use crate::cli::{Exit, Failure};
use crate::config::file::TextPlace;
use crate::error::Error;

/// Checks what each value by itself leaves open.
///
/// # Errors
/// All that is wrong, each with the place of its value.
pub(crate) fn check_file(file: &ConfigFile) -> Result<(), Failure> {
    let mut lines: Vec<(Option<TextPlace>, String)> = Vec::new();
    let mut left = file.clone();
    while let Some(error) = refused(&left)? {
        let key = error.field().and_then(key_of);
        // A fault that goes with the value of another is told with that one; it may come only of its absence.
        let is_its_own = |key| match refused(&file.with_values(file.values().only(None, key))) {
            Ok(Some(alone)) => alone.to_string() == error.to_string(),
            _ => false,
        };
        if lines.is_empty() || key.is_some_and(is_its_own) {
            lines.push(line(file, key, &error.without_field().to_string()));
        }
        let Some(key) = key.filter(|key| left.values().get(None, key).is_some()) else { break };
        left = left.with_values(left.values().without(None, key));
    }
    if lines.is_empty() {
        return Ok(());
    }
    lines.sort();
    Err(Failure::of_many(Exit::Usage, lines.into_iter().map(|(_, line)| line).collect()))
}

/// Why a broker would not start with a file.
fn refused(file: &ConfigFile) -> Result<Option<Error>, Failure> {
    let options = BrokerOptions::of_file(file)?;
    let checked = options.prepare().and_then(|prepared| {
        prepared.read_files()?;
        prepared.check_exposure()
    });
    Ok(checked.err())
}

/// The option that sets a field of a broker.
fn key_of(field: &'static str) -> Option<&'static str> {
    let grammar = grammar();
    let brokers = grammar.section(None)?;
    brokers.keys.iter().find(|key| key.field == field).map(|key| key.key)
}

/// A fault as a line, with the place of the value where the file sets it.
fn line(file: &ConfigFile, key: Option<&'static str>, what: &str) -> (Option<TextPlace>, String) {
    let path = file.shown();
    let place = key.and_then(|key| file.values().get(None, key)).map(|entry| entry.place);
    let line = match (place, key) {
        (Some(place), Some(key)) => format!("{path}:{place}: `{key}`: {what}"),
        (None, Some(key)) => format!("{path}: the default of `{key}`: {what}"),
        (_, None) => format!("{path}: {what}"),
    };
    (place, line)
}
