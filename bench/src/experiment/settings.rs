//! Owns what may be said about an experiment besides its name: by options, by a file, or not at all. What is not said
//! is the experiment's own to choose.

use super::plan::{Modes, Transport};
use crate::swarm::schedule::{Amount, Rate};
use corecast::Sessions;
use corecast_executors::CoreSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What was said.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The version that takes about a minute.
    pub quick: bool,
    /// `--mode`.
    pub modes: Option<Modes>,
    /// `--subscribers`.
    pub subscribers: Option<Vec<usize>>,
    /// `--size`: payloads, in bytes.
    pub sizes_bytes: Option<Vec<usize>>,
    /// `--rate`.
    pub rate: Option<Rate>,
    /// `--duration` or `--messages`.
    pub amount: Option<Amount>,
    /// `--sessions`.
    pub sessions: Option<SessionKinds>,
    /// `--rounds`.
    pub rounds: Option<u32>,
    /// `--shards`.
    pub shards: Option<Vec<usize>>,
    /// `--publishers`.
    pub publishers: Option<usize>,
    /// `--transport`.
    pub transport: Option<Transport>,
    /// `--cores`, of the swarm.
    pub cores: Option<CoreSet>,
    /// `--slow`.
    pub slow: Option<SlowShare>,
    /// `--slow-delay`.
    pub slow_delay: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--hosts`: the file that names the hosts that subscribers run on.
    pub hosts: Option<PathBuf>,
}

impl Settings {
    /// These, and where they say nothing, what `other` says.
    #[must_use]
    pub fn or(self, other: Settings) -> Settings {
        Settings {
            quick: self.quick || other.quick,
            modes: self.modes.or(other.modes),
            subscribers: self.subscribers.or(other.subscribers),
            sizes_bytes: self.sizes_bytes.or(other.sizes_bytes),
            rate: self.rate.or(other.rate),
            amount: self.amount.or(other.amount),
            sessions: self.sessions.or(other.sessions),
            rounds: self.rounds.or(other.rounds),
            shards: self.shards.or(other.shards),
            publishers: self.publishers.or(other.publishers),
            transport: self.transport.or(other.transport),
            cores: self.cores.or(other.cores),
            slow: self.slow.or(other.slow),
            slow_delay: self.slow_delay.or(other.slow_delay),
            timeout: self.timeout.or(other.timeout),
            hosts: self.hosts.or(other.hosts),
        }
    }

    /// The options among `names` that something was said about.
    pub fn said_among(&self, names: &[&'static str]) -> Option<&'static str> {
        let said = |name: &str| match name {
            "mode" => self.modes.is_some(),
            "subscribers" => self.subscribers.is_some(),
            "publishers" => self.publishers.is_some(),
            "cores" => self.cores.is_some(),
            "size" => self.sizes_bytes.is_some(),
            "rate" => self.rate.is_some(),
            "sessions" => self.sessions.is_some(),
            "shards" => self.shards.is_some(),
            "slow" => self.slow.is_some(),
            _ => false,
        };
        names.iter().copied().find(|name| said(name))
    }
}

/// The ways to share sessions of an experiment: one, or each in turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionKinds {
    /// This one.
    One(Sessions),
    /// Per subscriber, then per executor.
    Both,
}

impl SessionKinds {
    /// Each, in the order in which they are run.
    pub fn each(self) -> Vec<Sessions> {
        match self {
            SessionKinds::One(sessions) => vec![sessions],
            SessionKinds::Both => vec![Sessions::PerSubscriber, Sessions::PerExecutor],
        }
    }
}

impl FromStr for SessionKinds {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "both" => Ok(SessionKinds::Both),
            word => word.parse().map(SessionKinds::One).map_err(|_| {
                format!(
                    "`{word}` is no way to share sessions: write `per-subscriber`, `per-executor` or `both`"
                )
            }),
        }
    }
}

/// How many of the subscribers are slow on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SlowShare {
    /// So many in a hundred, but at least one.
    Percent(f64),
    /// So many.
    Count(usize),
}

impl SlowShare {
    /// How many that is of so many subscribers.
    pub fn of(self, subscribers: usize) -> usize {
        match self {
            SlowShare::Percent(percent) => ((subscribers as f64 * percent / 100.0).round() as usize).max(1),
            SlowShare::Count(count) => count,
        }
    }
}

impl FromStr for SlowShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.trim().parse().ok();
                percent.filter(|percent| *percent > 0.0 && *percent < 100.0).map(SlowShare::Percent)
            }
            None => text.parse().ok().filter(|count| *count > 0).map(SlowShare::Count),
        };
        share.ok_or_else(|| {
            format!("`{text}` is no share of slow subscribers: write how many, such as `5`, or `1%`")
        })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_options_say_counts_more_than_what_a_file_says() {
        let options = Settings { subscribers: Some(vec![3]), ..Settings::default() };
        let file =
            Settings { subscribers: Some(vec![9]), rounds: Some(2), quick: true, ..Settings::default() };
        let both = options.or(file);
        assert_eq!((both.subscribers, both.rounds, both.quick), (Some(vec![3]), Some(2), true));
    }

    #[test]
    fn a_share_of_slow_subscribers() {
        assert_eq!("1%".parse::<SlowShare>().unwrap().of(512), 5);
        assert_eq!("1%".parse::<SlowShare>().unwrap().of(8), 1);
        assert_eq!("7".parse::<SlowShare>().unwrap().of(512), 7);
        for wrong in ["", "0", "0%", "100%", "-1", "1.5", "x%"] {
            let error = wrong.parse::<SlowShare>().unwrap_err();
            assert!(error.contains("`1%`"), "{error}");
        }
    }

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
    fn both_ways_to_share_sessions() {
        assert_eq!("both".parse::<SessionKinds>().unwrap().each().len(), 2);
        assert!("all".parse::<SessionKinds>().unwrap_err().contains("`per-executor`"));
    }
}
