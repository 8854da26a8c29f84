//! Owns the file form of an experiment: TOML whose keys are the names of the options of `corecast-bench experiment`. What
//! is wrong with it is said with the key, the line, and what there is instead.
//!
//! ```toml
//! experiment = "canonical"
//! subscribers = [1, 2, 512]
//! mode = "direct"
//! messages = 1000
//! assert = ["lost==0"]
//! ```

use super::figures::Asserted;
use super::settings::{SessionKinds, Settings, SlowShare, parse_time};
use crate::measure::payload::check_size;
use crate::swarm::schedule::{Amount, Rate};
use corecast_executors::CoreSet;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// An experiment as a file says it.
#[derive(Clone, Debug)]
pub struct FileExperiment {
    /// Its name.
    pub experiment: String,
    /// What it says about it.
    pub settings: Settings,
    /// What must hold of every run.
    pub assertions: Vec<Asserted>,
}

/// Why a file says no experiment.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has a key or a value that it must not have.
    #[error("{path}: {why}")]
    Wrong {
        /// Which.
        path: PathBuf,
        /// What is wrong, with the line.
        why: String,
    },
}

/// Reads a file.
pub fn read(path: &Path) -> Result<FileExperiment, FileError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    parse(&text).map_err(|why| FileError::Wrong { path: path.to_owned(), why })
}

fn parse(text: &str) -> Result<FileExperiment, String> {
    let keys: Keys = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    let amount = match (keys.duration, keys.messages) {
        (Some(_), Some(_)) => {
            return Err("`duration` and `messages` exclude each other: leave one of them out".to_owned());
        }
        (Some(Time(duration)), None) => Some(Amount::Duration(duration)),
        (None, messages) => messages.map(|Count(messages)| Amount::Messages(messages as u64)),
    };
    let numbers = |many: OneOrMany<Count>| many.0.into_iter().map(|Count(count)| count).collect();
    let settings = Settings {
        quick: keys.quick,
        modes: keys.mode.map(|Word(modes)| modes),
        subscribers: keys.subscribers.map(numbers),
        sizes_bytes: keys.size.map(|many| many.0.into_iter().map(|PayloadSize(bytes)| bytes).collect()),
        rate: keys.rate.map(|NumberOrWord(rate)| rate),
        amount,
        sessions: keys.sessions.map(|Word(sessions)| sessions),
        rounds: keys.rounds.map(|Count(rounds)| u32::try_from(rounds).unwrap_or(u32::MAX)),
        shards: keys.shards.map(numbers),
        publishers: keys.publishers.map(|Count(publishers)| publishers),
        transport: keys.transport.map(|Word(transport)| transport),
        cores: keys.cores.map(|NumberOrWord(cores)| cores),
        slow: keys.slow.map(|NumberOrWord(slow)| slow),
        slow_delay: keys.slow_delay.map(|Time(delay)| delay),
        timeout: keys.timeout.map(|Time(timeout)| timeout),
        hosts: keys.hosts,
    };
    let assertions =
        keys.assertions.map(|many| many.0.into_iter().map(|Word(assertion)| assertion).collect());
    Ok(FileExperiment { experiment: keys.experiment, settings, assertions: assertions.unwrap_or_default() })
}

/// The keys, in the order of the options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    experiment: String,
    #[serde(default)]
    quick: bool,
    mode: Option<Word<super::plan::Modes>>,
    subscribers: Option<OneOrMany<Count>>,
    size: Option<OneOrMany<PayloadSize>>,
    rate: Option<NumberOrWord<Rate>>,
    duration: Option<Time>,
    messages: Option<Count>,
    sessions: Option<Word<SessionKinds>>,
    rounds: Option<Count>,
    shards: Option<OneOrMany<Count>>,
    publishers: Option<Count>,
    transport: Option<Word<super::plan::Transport>>,
    cores: Option<NumberOrWord<CoreSet>>,
    slow: Option<NumberOrWord<SlowShare>>,
    slow_delay: Option<Time>,
    timeout: Option<Time>,
    hosts: Option<PathBuf>,
    #[serde(rename = "assert")]
    assertions: Option<OneOrMany<Word<Asserted>>>,
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

/// What is written as text, and read as its option is.
struct Word<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        word.parse().map(Word).map_err(D::Error::custom)
    }
}

/// What is a number or a word, and read as its option is.
struct NumberOrWord<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for NumberOrWord<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = from.deserialize_any(TextVisitor)?;
        text.parse().map(NumberOrWord).map_err(D::Error::custom)
    }
}

/// Seconds as a number, or a time with its unit.
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = from.deserialize_any(TextVisitor)?;
        parse_time(&text).map(Time).map_err(D::Error::custom)
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
    use crate::experiment::plan::Modes;
    use corecast::Mode;

    #[test]
    fn every_key_is_read_as_its_option() {
        let text = r#"
            experiment = "canonical"
            quick = true
            mode = "direct"
            subscribers = [1, 2]
            size = 64
            rate = 4
            messages = 10
            sessions = "both"
            rounds = 2
            shards = [1]
            publishers = 3
            transport = "uds"
            cores = "0"
            slow = "1%"
            slow-delay = "50ms"
            timeout = 2.5
            hosts = "hosts.toml"
            assert = ["lost == 0"]
        "#;
        let file = parse(text).unwrap();
        let settings = file.settings;
        assert_eq!((file.experiment.as_str(), file.assertions.len()), ("canonical", 1));
        assert_eq!((settings.quick, settings.modes), (true, Some(Modes::One(Mode::Direct))));
        assert_eq!((settings.subscribers, settings.sizes_bytes), (Some(vec![1, 2]), Some(vec![64])));
        assert_eq!((settings.rate, settings.amount), (Some(Rate::Hz(4.0)), Some(Amount::Messages(10))));
        assert_eq!(
            (settings.rounds, settings.shards, settings.publishers),
            (Some(2), Some(vec![1]), Some(3))
        );
        assert_eq!(settings.slow_delay, Some(Duration::from_millis(50)));
        assert_eq!(settings.timeout, Some(Duration::from_millis(2_500)));
        assert!(settings.sessions.is_some() && settings.cores.is_some() && settings.transport.is_some());
        assert_eq!(settings.hosts, Some(PathBuf::from("hosts.toml")));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_there_is_instead() {
        for (line, says) in [
            ("subscriber = 3", &["line 2", "subscriber", "`subscribers`"][..]),
            ("subscribers = 0", &["line 2", "0 is no count", "at least 1"]),
            ("subscribers = [1, -4]", &["line 2", "-4 is no count"]),
            ("subscribers = \"many\"", &["line 2", "many"]),
            ("subscribers = []", &["line 2", "leave the key out"]),
            ("size = 8", &["line 2", "it takes 40"]),
            ("rate = \"fast\"", &["line 2", "`flood`"]),
            ("rate = [1]", &["line 2", "a number or a text"]),
            ("mode = \"fast\"", &["line 2", "`proxy`, `direct` and `both`"]),
            ("mode = 3", &["line 2", "string"]),
            ("quick = 1", &["line 2", "boolean"]),
            ("assert = \"losts == 0\"", &["line 2", "deliveries_expected"]),
            ("rounds 3", &["line 2"]),
            ("duration = 1\nmessages = 2", &["leave one of them out"]),
        ] {
            let said = parse(&format!("experiment = \"idle\"\n{line}\n")).unwrap_err();
            for wanted in says {
                assert!(said.contains(wanted), "`{line}` says no `{wanted}`:\n{said}");
            }
        }
        assert!(parse("rounds = 1").unwrap_err().contains("missing field `experiment`"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/e.toml")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/e.toml"), "{error}");
    }
}
