//! Owns the values of options, as text on a command line and as TOML in a file.

use crate::measure::payload::{SIZE_BYTES_MIN, check_size};
use corecast::internals::limits::FRAME_BYTES_MAX_LIMIT;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

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

/// Reads seconds above 0.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| !seconds.is_zero())
        .ok_or_else(|| format!("`{text}` is no time: write seconds above 0"))
}

/// Reads the bytes of a payload.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let size: usize =
        text.parse().map_err(|_| format!("`{text}` is no size: write bytes, at least {SIZE_BYTES_MIN}"))?;
    check_size(size).map_err(|error| error.to_string())?;
    if size > FRAME_BYTES_MAX_LIMIT {
        return Err(format!("no broker takes more than {FRAME_BYTES_MAX_LIMIT} bytes"));
    }
    Ok(size)
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
    Word::deserialize(from).map(|Word(value)| Some(value))
}

/// Reads a word, or a list of words.
pub(super) fn words<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let OneOrMany(many) = OneOrMany::deserialize(from)?;
    Ok(many.into_iter().map(|Word(value)| value).collect())
}

/// Reads a number or a word, as its option does.
pub(super) fn number_or_word<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    from.deserialize_any(TextVisitor)?.parse().map(Some).map_err(D::Error::custom)
}

/// Reads a time: seconds, or a text with a unit.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parse_time(&from.deserialize_any(TextVisitor)?).map(Some).map_err(D::Error::custom)
}

/// Reads a whole number above 0.
pub(super) fn count<'de, D: Deserializer<'de>, T: TryFrom<usize>>(from: D) -> Result<Option<T>, D::Error> {
    let Count(count) = Count::deserialize(from)?;
    T::try_from(count).map(Some).map_err(|_| D::Error::custom(format!("{count} is too many")))
}

/// Reads a count, or a list of counts.
pub(super) fn counts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<usize>>, D::Error> {
    let OneOrMany(many) = OneOrMany::deserialize(from)?;
    Ok(Some(many.into_iter().map(|Count(count)| count).collect()))
}

/// Reads the size of a payload, or a list of sizes.
pub(super) fn sizes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<usize>>, D::Error> {
    let OneOrMany(many) = OneOrMany::deserialize(from)?;
    Ok(Some(many.into_iter().map(|PayloadSize(bytes)| bytes).collect()))
}

/// A whole number above 0.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(from)?;
        let count = usize::try_from(number).ok().filter(|count| *count > 0);
        count
            .map(Count)
            .ok_or_else(|| D::Error::custom(format!("{number} is no count: it must be at least 1")))
    }
}

/// A payload, in bytes, that can be made.
struct PayloadSize(usize);

impl<'de> Deserialize<'de> for PayloadSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Count(bytes) = Count::deserialize(from)?;
        check_size(bytes).map_err(D::Error::custom)?;
        Ok(PayloadSize(bytes))
    }
}

/// Values that are written as text and read as their option is.
struct Word<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map(Word).map_err(D::Error::custom)
    }
}

/// A number or a text, as text.
struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// One, or a list of at least one.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ManyVisitor(PhantomData)).map(OneOrMany)
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a list of them such as [1, 2]")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<T>, E> {
        T::deserialize(serde::de::value::I64Deserializer::new(number)).map(|one| vec![one])
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut many = Vec::new();
        while let Some(one) = list.next_element()? {
            many.push(one);
        }
        if many.is_empty() { Err(A::Error::custom("an empty list: leave the key out")) } else { Ok(many) }
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
}
