//! Owns the values of options, as text on a command line and as TOML in a file.

use crate::measure::payload::{Head, SIZE_BYTES_MIN, check_size};
use corecast::Reactor;
use corecast::internals::limits::FRAME_BYTES_MAX_LIMIT;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use toml::Value;

/// Reads a time such as `50ms`, `2s` or `0.5` (seconds).
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit_s) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.trim().parse().ok().map(|number: f64| number * unit_s);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| format!("`{text}` is no time: write `50ms`, `2s` or seconds above 0"))
}

/// Reads the bytes of a payload.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let size: usize =
        text.parse().map_err(|_| format!("`{text}` is no size: write bytes, at least {SIZE_BYTES_MIN}"))?;
    check_size(size, Head::Plain).map_err(|error| error.to_string())?;
    if size > FRAME_BYTES_MAX_LIMIT {
        return Err(format!("no broker takes more than {FRAME_BYTES_MAX_LIMIT} bytes"));
    }
    Ok(size)
}

/// Reads the reactor of our own clients. A figure is of one of them, so it has to be said which.
pub fn parse_reactor(text: &str) -> Result<Reactor, String> {
    match text.parse() {
        Ok(reactor @ (Reactor::IoUring | Reactor::Epoll)) => Ok(reactor),
        _ => Err(format!("`{text}` is no reactor to measure: write `io_uring` or `epoll`")),
    }
}

/// Reads a whole number above 0.
pub fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("`{text}` is no count: write a whole number above 0"))
}

/// Reads a word, as its option does.
pub(super) fn word<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// Reads a word, or a list of words.
pub(super) fn words<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let word = |value: Value| match value {
        Value::String(word) => word.parse().map_err(D::Error::custom),
        value => Err(not_a("text", &value)),
    };
    one_or_many(from)?.into_iter().map(word).collect()
}

/// Reads a number or a word, as its option does.
pub(super) fn number_or_word<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    text(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// Reads a time: seconds, or a text with a unit.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parse_time(&text(from)?).map(Some).map_err(D::Error::custom)
}

/// Reads a reactor.
pub(super) fn reactor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Reactor>, D::Error> {
    parse_reactor(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

/// Reads a whole number above 0.
pub(super) fn count<'de, D: Deserializer<'de>, T: TryFrom<usize>>(from: D) -> Result<Option<T>, D::Error> {
    let count = count_of(&Value::deserialize(from)?)?;
    T::try_from(count).map(Some).map_err(|_| D::Error::custom(format!("{count} is too many")))
}

/// Reads a count, or a list of counts.
pub(super) fn counts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<usize>>, D::Error> {
    one_or_many(from)?.iter().map(count_of).collect::<Result<_, _>>().map(Some)
}

/// Reads the size of a payload, or a list of sizes.
pub(super) fn sizes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<usize>>, D::Error> {
    let sizes = counts(from)?;
    for size_bytes in sizes.iter().flatten() {
        check_size(*size_bytes, Head::Plain).map_err(D::Error::custom)?;
    }
    Ok(sizes)
}

/// A whole number above 0.
fn count_of<E: Error>(value: &Value) -> Result<usize, E> {
    let number = value.as_integer().ok_or_else(|| not_a("whole number", value))?;
    let count = usize::try_from(number).ok().filter(|count| *count > 0);
    count.ok_or_else(|| E::custom(format!("{number} is no count: it must be at least 1")))
}

fn not_a<E: Error>(expected: &str, value: &Value) -> E {
    E::custom(format!("expected a {expected}, found: {}", value.type_str()))
}

/// A number or a text, as text.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        value => Err(not_a("number or a text", &value)),
    }
}

/// One value, or a list of at least one.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    match Value::deserialize(from)? {
        Value::Array(many) if many.is_empty() => Err(D::Error::custom("an empty list: leave the key out")),
        Value::Array(many) => Ok(many),
        one => Ok(vec![one]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_time("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!(parse_time("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["", "0", "ms", "-1s", "5m", "1e400"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reactor_is_one_of_two() {
        assert_eq!(parse_reactor("epoll"), Ok(Reactor::Epoll));
        assert_eq!(parse_reactor("io_uring"), Ok(Reactor::IoUring));
        for wrong in ["auto", "", "kqueue"] {
            assert!(parse_reactor(wrong).unwrap_err().contains("`io_uring` or `epoll`"), "{wrong}");
        }
    }
}
