//! Owns the settings of an experiment: each option once, with its flag, its key in a file, and its help. An option that
//! is not set is the experiment's own to choose.

use super::one_or_both::OneOrBoth;
use super::topic_args::TopicArgs;
use super::values::{self, parse_count, parse_reactor, parse_size, parse_time};
use crate::process::engine::Engine;
use crate::process::transport::Transport;
use crate::swarm::schedule::{Amount, Rate};
use clap::Args;
use corecast::{Mode, Reactor, Sessions};
use corecast_executors::CoreSet;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Settings of an experiment.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Instead of what the experiment chooses")]
pub struct Settings {
    /// Run the version that takes about a minute
    #[arg(long, help_heading = None::<&str>)]
    pub quick: bool,
    /// proxy, direct or both
    #[arg(id = "mode", long = "mode", value_name = "MODE")]
    #[serde(rename = "mode", deserialize_with = "values::word")]
    pub modes: Option<OneOrBoth<Mode>>,
    /// Counts of subscribers
    #[arg(long, value_name = "N[,N…]", value_delimiter = ',', value_parser = parse_count)]
    #[serde(deserialize_with = "values::counts")]
    pub subscribers: Option<Vec<usize>>,
    /// Payloads, in bytes
    #[arg(id = "size", long = "size", value_name = "BYTES[,BYTES…]", value_delimiter = ',', value_parser = parse_size)]
    #[serde(rename = "size", deserialize_with = "values::sizes")]
    pub sizes_bytes: Option<Vec<usize>>,
    /// Messages a second of each publisher, or `flood`
    #[arg(long, value_name = "HZ|flood")]
    #[serde(deserialize_with = "values::number_or_word")]
    pub rate: Option<Rate>,
    /// Time that each publisher sends, in each run
    #[arg(long, value_name = "SECS", value_parser = parse_time, conflicts_with = "messages")]
    #[serde(deserialize_with = "values::time")]
    pub duration: Option<Duration>,
    /// Messages that each publisher sends, in each run
    #[arg(long, value_name = "N")]
    #[serde(deserialize_with = "values::count")]
    pub messages: Option<u64>,
    /// A session for each subscriber, for each executor, or one after the other: per-subscriber, per-executor, both
    #[arg(long)]
    #[serde(deserialize_with = "values::word")]
    pub sessions: Option<OneOrBoth<Sessions>>,
    /// Reactor that our own clients wait with: io_uring, epoll
    #[arg(long, value_name = "NAME", value_parser = parse_reactor)]
    #[serde(deserialize_with = "values::reactor")]
    pub reactor: Option<Reactor>,
    /// Number of times that all of it is done
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(deserialize_with = "values::count")]
    pub rounds: Option<u32>,
    /// Counts of shards that fan out (scaling)
    #[arg(long, value_name = "N[,N…]", value_delimiter = ',', value_parser = parse_count)]
    #[serde(deserialize_with = "values::counts")]
    pub shards: Option<Vec<usize>>,
    /// Number of publishers
    #[arg(long, value_name = "N", value_parser = parse_count)]
    #[serde(deserialize_with = "values::count")]
    pub publishers: Option<usize>,
    /// Topics that publishers share.
    #[command(flatten)]
    #[serde(skip)]
    pub shared: TopicArgs,
    /// Transport between clients and the broker: tcp, tls, uds
    #[arg(long)]
    #[serde(deserialize_with = "values::word")]
    pub transport: Option<Transport>,
    /// Cores of the swarm's executors: all, physical, 0-3,8, numa:0
    #[arg(long, value_name = "SET")]
    #[serde(deserialize_with = "values::number_or_word")]
    pub cores: Option<CoreSet>,
    /// Subscribers that are slow on purpose, and not measured: a number, or a share such as 1%
    #[arg(long, value_name = "N|SHARE")]
    #[serde(deserialize_with = "values::number_or_word")]
    pub slow: Option<SlowShare>,
    /// Time that a slow one takes for each message, such as 50ms; without it, it reads nothing
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    #[serde(deserialize_with = "values::time")]
    pub slow_delay: Option<Duration>,
    /// Time without any progress after which a run is given up
    #[arg(long, value_name = "SECS", value_parser = parse_time)]
    #[serde(deserialize_with = "values::time")]
    pub timeout: Option<Duration>,
    /// Join the broker by an engine (nats, nats-2.15, or the URL of one that runs) with a second one, at which every other
    /// executor's subscribers are, or with the brokers that --hosts names
    #[arg(long, value_name = "NAME|URL")]
    #[serde(deserialize_with = "values::word")]
    pub engine: Option<Engine>,
    /// Play the subscribers on the hosts that this file names, through their agents (corecast-bench agent --help)
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// A key of files beside the settings: the experiment's name.
    #[arg(skip)]
    pub experiment: IgnoredAny,
    /// A key of files beside the settings: conditions.
    #[arg(skip)]
    #[serde(rename = "assert")]
    pub assertions: IgnoredAny,
    /// Keys of files that [`Settings::shared`] has.
    #[arg(skip)]
    pub topics: IgnoredAny,
    /// Another.
    #[arg(skip)]
    pub topics_per_subscriber: IgnoredAny,
    /// Another.
    #[arg(skip)]
    pub topic_spread: IgnoredAny,
    /// Another.
    #[arg(skip)]
    pub topic_filters: IgnoredAny,
}

impl Settings {
    /// These settings, and where they set nothing, those of `other`.
    #[must_use]
    pub fn or(self, other: Settings) -> Settings {
        let (duration, messages) = match self.amount() {
            Some(_) => (self.duration, self.messages),
            None => (other.duration, other.messages),
        };
        Settings {
            quick: self.quick || other.quick,
            modes: self.modes.or(other.modes),
            subscribers: self.subscribers.or(other.subscribers),
            sizes_bytes: self.sizes_bytes.or(other.sizes_bytes),
            rate: self.rate.or(other.rate),
            duration,
            messages,
            sessions: self.sessions.or(other.sessions),
            reactor: self.reactor.or(other.reactor),
            rounds: self.rounds.or(other.rounds),
            shards: self.shards.or(other.shards),
            publishers: self.publishers.or(other.publishers),
            shared: if self.shared.topics.is_some() { self.shared } else { other.shared },
            transport: self.transport.or(other.transport),
            cores: self.cores.or(other.cores),
            slow: self.slow.or(other.slow),
            slow_delay: self.slow_delay.or(other.slow_delay),
            timeout: self.timeout.or(other.timeout),
            engine: self.engine.or(other.engine),
            hosts: self.hosts.or(other.hosts),
            ..Settings::default()
        }
    }

    /// The amount that each publisher sends, if it is set.
    pub fn amount(&self) -> Option<Amount> {
        self.duration.map(Amount::Duration).or(self.messages.map(Amount::Messages))
    }

    /// The first option among these, which have spaces between them, that something was said about.
    pub fn said_among(&self, names: &'static str) -> Option<&'static str> {
        let said = |name: &str| match name {
            "mode" => self.modes.is_some(),
            "subscribers" => self.subscribers.is_some(),
            "publishers" => self.publishers.is_some(),
            "cores" => self.cores.is_some(),
            "size" => self.sizes_bytes.is_some(),
            "rate" => self.rate.is_some(),
            "sessions" => self.sessions.is_some(),
            "reactor" => self.reactor.is_some(),
            "shards" => self.shards.is_some(),
            "slow" => self.slow.is_some(),
            "engine" => self.engine.is_some(),
            "topics" => self.shared.topics.is_some(),
            _ => false,
        };
        names.split(' ').find(|name| said(name))
    }
}

/// The number of subscribers that are slow on purpose.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SlowShare {
    /// A percentage, but at least one.
    Percent(f64),
    /// A number.
    Count(usize),
}

impl SlowShare {
    /// The number out of this many subscribers.
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
}
