//! Owns the names of a workload's topics and of the filters that ask for them: `bench.RUN.TOPIC` in a run,
//! `bench.peers.TOPIC` in a comparison, and `bench.RUN.GROUP.TOPIC` where filters match groups. All numbers have as many
//! digits, so that no name is the beginning of another: ZeroMQ's filters are beginnings.

use crate::measure::payload::RunId;
use crate::measure::workload::{TopicFilters, Workload};
use corecast::{Filter, Topic};

/// The names of one workload.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
    separator: char,
    workload: Workload,
}

/// A filter, before it is written as a protocol has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FilterName {
    /// The topic of this name.
    Topic(String),
    /// All topics with one more level behind this one, which ends with a separator.
    Below(String),
}

impl Topics {
    /// The names of this run.
    pub fn new(run: RunId, workload: Workload) -> Self {
        Topics { prefix: format!("bench.{:016x}.", run.0), separator: '.', workload }
    }

    /// The names in a comparison, whose connections outlast runs. `separator` stands between levels where filters match
    /// some of them.
    pub fn of_peers(workload: Workload, separator: char) -> Self {
        let separator = if is_exact(&workload) { '.' } else { separator };
        Topics { prefix: format!("bench{separator}peers{separator}"), separator, workload }
    }

    /// The workload.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The name of a topic.
    pub fn name(&self, topic: u32) -> String {
        let digits = digits(self.workload.topics());
        let mut name = self.prefix.clone();
        if let Some(shared) = self.workload.shared.filter(|shared| shared.filters != TopicFilters::Exact) {
            name = self.group(shared.group_of(topic as usize), shared.groups());
        }
        name.push_str(&format!("{topic:0digits$}"));
        name
    }

    /// The names of all topics.
    pub fn names(&self) -> impl Iterator<Item = String> {
        (0..self.workload.topics()).map(|topic| self.name(topic as u32))
    }

    /// The names of all topics, for our library.
    pub fn topics(&self) -> impl Iterator<Item = Topic> {
        self.names().map(|name| Topic::new(name).expect("letters, digits and dots are a topic"))
    }

    fn group(&self, group: usize, groups: usize) -> String {
        let digits = digits(groups);
        format!("{}{group:0digits$}{}", self.prefix, self.separator)
    }

    /// The filters of a subscriber. Where each publisher has a topic of its own, it is the one topic if there is one
    /// publisher, and a wildcard else.
    pub fn filter_names(&self, subscriber: usize) -> Vec<FilterName> {
        let Some(shared) = self.workload.shared else {
            return match self.workload.publishers {
                1 => vec![FilterName::Topic(self.name(0))],
                _ => vec![FilterName::Below(self.prefix.clone())],
            };
        };
        let groups = shared.groups_of(subscriber).into_iter();
        let filter = |group: usize| match shared.filters {
            TopicFilters::Exact => FilterName::Topic(self.name(group as u32)),
            TopicFilters::Wildcard(_) => FilterName::Below(self.group(group, shared.groups())),
        };
        groups.map(filter).collect()
    }

    /// The filters of a subscriber, for our library.
    pub fn filters(&self, subscriber: usize) -> Vec<Filter> {
        let parse = |name: FilterName| {
            let text = name.written("*");
            Filter::parse(&text).expect("a topic and a wildcard over its siblings are filters")
        };
        self.filter_names(subscriber).into_iter().map(parse).collect()
    }

    /// The topic of this name, if it is one of these.
    pub fn topic_of(&self, name: &[u8]) -> Option<u32> {
        let number = name.rsplit(|byte| *byte == self.separator as u8).next()?;
        let topic: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        ((topic as usize) < self.workload.topics() && self.name(topic).as_bytes() == name).then_some(topic)
    }
}

impl FilterName {
    /// The text of the filter, where `any` stands for any one level.
    pub fn written(&self, any: &str) -> String {
        match self {
            FilterName::Topic(name) => name.clone(),
            FilterName::Below(prefix) => format!("{prefix}{any}"),
        }
    }
}

/// True if every filter is the name of a topic.
fn is_exact(workload: &Workload) -> bool {
    match workload.shared {
        None => workload.publishers == 1,
        Some(shared) => shared.filters == TopicFilters::Exact,
    }
}

/// The digits of the largest number below `count`.
fn digits(count: usize) -> usize {
    count.saturating_sub(1).checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::workload::SharedTopics;
    use crate::measure::workload::tests::shared;

    fn workloads() -> [Workload; 5] {
        let wildcard = |topics, each| {
            let exact = shared(2, topics, 3);
            let filters = TopicFilters::Wildcard(each);
            let shared = exact.shared.map(|shared| SharedTopics { filters, ..shared });
            Workload { shared, ..exact }
        };
        [Workload::own(1), Workload::own(12), shared(2, 101, 7), wildcard(101, 7), wildcard(10, 1)]
    }

    #[test]
    fn filters_match_what_is_wanted_and_nothing_else() {
        for workload in workloads() {
            let topics = Topics::new(RunId(0xabc), workload);
            let names: Vec<String> = topics.names().collect();
            for subscriber in 0..9 {
                let wanted = workload.wanted_by(subscriber);
                let filters = topics.filters(subscriber);
                let prefixes: Vec<String> =
                    topics.filter_names(subscriber).iter().map(|name| name.written("")).collect();
                for (topic, name) in names.iter().enumerate() {
                    let is_wanted = wanted.contains(&(topic as u32));
                    let matched = filters.iter().filter(|filter| filter.matches(name.as_bytes())).count();
                    assert_eq!(matched, usize::from(is_wanted), "{name} and {filters:?}");
                    let begun = prefixes.iter().filter(|prefix| name.starts_with(*prefix)).count();
                    assert_eq!(begun, usize::from(is_wanted), "as ZeroMQ matches: {name} and {prefixes:?}");
                }
            }
        }
    }

    #[test]
    fn a_name_says_which_topic_it_is() {
        for workload in workloads() {
            for topics in [Topics::new(RunId(0xabc), workload), Topics::of_peers(workload, '/')] {
                for (topic, name) in topics.names().enumerate() {
                    assert_eq!(topics.topic_of(name.as_bytes()), Some(topic as u32), "{name}");
                    assert_eq!(name.len(), topics.name(0).len());
                }
                for stranger in ["bench.0000000000000abd.0", "bench", "", "bench.peers.999", "0"] {
                    assert_eq!(topics.topic_of(stranger.as_bytes()), None, "{stranger}");
                }
            }
        }
    }

    #[test]
    fn names_are_as_they_are_said_to_be() {
        let [one, own, exact, groups, _] = workloads().map(|workload| Topics::of_peers(workload, '/'));
        assert_eq!((one.name(0), own.name(3)), ("bench.peers.0".into(), "bench/peers/03".into()));
        assert_eq!(
            (exact.name(3), groups.name(100)),
            ("bench.peers.003".into(), "bench/peers/14/100".into())
        );
        assert_eq!(own.filter_names(0)[0].written("+"), "bench/peers/+");
        assert!(groups.filter_names(0)[0].written("+").ends_with("/+"));
    }
}
