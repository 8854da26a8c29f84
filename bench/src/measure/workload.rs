//! Owns the topics of a run, without their names: how many there are, which of them each message is for, and which of
//! them each subscriber wants. All of it is derived from numbers by a fixed generator. So publishers, subscribers, the
//! floor and the account agree without a word, and every run, peer and build has the same.

use super::payload::{Head, PublisherIndex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Topics that a wildcard matches, unless told otherwise.
const TOPICS_PER_WILDCARD: usize = 4;
/// Flows, for each of which there is a count: half a gigabyte of them.
const FLOWS_MAX: usize = 64 << 20;
/// Flows that subscribers want, each counted for each subscriber: their account takes about 60 bytes each, 1 GB.
const STREAMS_MAX: usize = 16 << 20;

/// The topics of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// Number of publishers.
    pub publishers: usize,
    /// The topics that they share; `None`: each has one of its own, and every subscriber wants all of them.
    pub shared: Option<SharedTopics>,
}

/// Topics that every publisher of a run sends on, and of which each subscriber wants some.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SharedTopics {
    /// Number of topics.
    pub topics: usize,
    /// Number of filters of each subscriber.
    pub per_subscriber: usize,
    /// The kind of these filters.
    pub filters: TopicFilters,
    /// The distribution of messages over the topics.
    pub spread: TopicSpread,
}

/// The kind of filters by which subscribers ask for topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum TopicFilters {
    /// Names of topics.
    #[default]
    Exact,
    /// Wildcards over groups of so many topics each; the last group may have fewer.
    Wildcard(usize),
}

/// The distribution of messages over topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum TopicSpread {
    /// Each topic has the same share.
    #[default]
    Uniform,
    /// The topic at place n has a share in proportion to 1/n.
    Zipf,
    /// One topic after the other, shared out among the publishers: so it is found out whether all can be heard.
    InTurn,
}

/// Topics that make no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WorkloadError {
    /// A number is nought.
    #[error("{0} must be at least 1")]
    Nothing(&'static str),
    /// A subscriber is to have more filters than there are different ones.
    #[error(
        "a subscriber cannot have {asked} different filters: {topics} topics make {most}; ask for fewer with --topics-per-subscriber, or for more with --topics"
    )]
    TooMany {
        /// Filters that were asked for.
        asked: usize,
        /// Topics.
        topics: usize,
        /// Different filters that there are.
        most: usize,
    },
    /// There are more counts than memory should be taken for.
    #[error("{product} are {count}, and at most {most} can be accounted for: ask for fewer of any of them")]
    TooLarge {
        /// The things whose numbers are multiplied.
        product: &'static str,
        /// Their product.
        count: usize,
        /// The greatest that is possible.
        most: usize,
    },
}

impl FromStr for TopicFilters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let topics = match text.split_once(':') {
            None if text == "exact" => return Ok(TopicFilters::Exact),
            None if text == "wildcard" => Some(TOPICS_PER_WILDCARD),
            Some(("wildcard", topics)) => topics.parse().ok().filter(|topics| *topics > 0),
            _ => None,
        };
        topics.map(TopicFilters::Wildcard).ok_or_else(|| {
            format!(
                "`{text}` is no kind of filters: there are `exact`, `wildcard` ({TOPICS_PER_WILDCARD} topics each) and `wildcard:N`"
            )
        })
    }
}

impl fmt::Display for TopicFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicFilters::Exact => f.write_str("exact"),
            TopicFilters::Wildcard(topics) => write!(f, "wildcard:{topics}"),
        }
    }
}

impl FromStr for TopicSpread {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => Ok(TopicSpread::Uniform),
            "zipf" => Ok(TopicSpread::Zipf),
            text => Err(format!("`{text}` is no spread of messages: there are `uniform` and `zipf`")),
        }
    }
}

impl fmt::Display for TopicSpread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TopicSpread::Uniform => "uniform",
            TopicSpread::Zipf => "zipf",
            TopicSpread::InTurn => "in turn",
        })
    }
}

impl fmt::Display for SharedTopics {
    /// `20 of 100 topics`, `5 times wildcard:4 of 100 topics, zipf`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.per_subscriber)?;
        if self.filters != TopicFilters::Exact {
            write!(f, " times {}", self.filters)?;
        }
        write!(f, " of {} topics", self.topics)?;
        match self.spread {
            TopicSpread::Uniform => Ok(()),
            spread => write!(f, ", {spread}"),
        }
    }
}

impl SharedTopics {
    /// Refuses topics that make no sense with so many publishers and subscribers.
    pub fn check(&self, publishers: usize, subscribers: usize) -> Result<(), WorkloadError> {
        let (topics, asked, most) = (self.topics, self.per_subscriber, self.groups());
        for (what, count) in
            [("the number of topics", topics), ("the number of topics per subscriber", asked)]
        {
            if count == 0 {
                return Err(WorkloadError::Nothing(what));
            }
        }
        if asked > most {
            return Err(WorkloadError::TooMany { asked, topics, most });
        }
        let flows = topics.saturating_mul(publishers);
        let wanted = asked.saturating_mul(self.topics_per_group()).min(topics);
        let streams = wanted.saturating_mul(publishers).saturating_mul(subscribers);
        let counts = [
            ("topics times publishers", flows, FLOWS_MAX),
            ("topics of each subscriber times publishers times subscribers", streams, STREAMS_MAX),
        ];
        match counts.into_iter().find(|(_, count, most)| count > most) {
            Some((product, count, most)) => Err(WorkloadError::TooLarge { product, count, most }),
            None => Ok(()),
        }
    }

    /// Number of different filters: groups of topics, of one topic each where filters are exact.
    pub fn groups(&self) -> usize {
        self.topics.div_ceil(self.topics_per_group())
    }

    fn topics_per_group(&self) -> usize {
        match self.filters {
            TopicFilters::Exact => 1,
            TopicFilters::Wildcard(topics) => topics,
        }
    }

    /// The group of a topic.
    pub fn group_of(&self, topic: usize) -> usize {
        topic / self.topics_per_group()
    }

    /// The groups that a subscriber wants, rising: each choice of so many is equally likely.
    pub fn groups_of(&self, subscriber: usize) -> BTreeSet<usize> {
        // Floyd's sample: one draw for each that is wanted, however many there are.
        let groups = self.groups();
        let mut wanted = BTreeSet::new();
        for last in groups - self.per_subscriber..groups {
            let drawn = below(random(SUBSCRIBERS, subscriber as u64, last as u64), last + 1);
            if !wanted.insert(drawn) {
                wanted.insert(last);
            }
        }
        wanted
    }

    /// The topics of a group.
    pub fn topics_of(&self, group: usize) -> Range<usize> {
        let each = self.topics_per_group();
        group * each..((group + 1) * each).min(self.topics)
    }
}

impl Workload {
    /// A topic of its own for each of so many publishers.
    pub fn own(publishers: usize) -> Self {
        Workload { publishers, shared: None }
    }

    /// The same, with each topic in turn.
    #[must_use]
    pub fn in_turn(self) -> Self {
        let shared = self.shared.map(|shared| SharedTopics { spread: TopicSpread::InTurn, ..shared });
        Workload { shared, ..self }
    }

    /// Number of topics.
    pub fn topics(&self) -> usize {
        self.shared.map_or(self.publishers, |shared| shared.topics)
    }

    /// Number of publishers of a topic.
    pub fn publishers_of_topic(&self) -> usize {
        if self.shared.is_some() { self.publishers } else { 1 }
    }

    /// The part of all topics that a subscriber wants.
    pub fn part_wanted(&self) -> f64 {
        self.shared.map_or(1.0, |shared| shared.per_subscriber as f64 / shared.groups() as f64)
    }

    /// The topics that a subscriber wants, rising.
    pub fn wanted_by(&self, subscriber: usize) -> Vec<u32> {
        let narrow = |topic: usize| u32::try_from(topic).expect("the number of topics is bounded");
        match self.shared {
            None => (0..self.publishers).map(narrow).collect(),
            Some(shared) => {
                let groups = shared.groups_of(subscriber).into_iter();
                groups.flat_map(|group| shared.topics_of(group)).map(narrow).collect()
            }
        }
    }

    /// Number of flows. A flow is the messages of one publisher on one topic, numbered from 0.
    pub fn flows(&self) -> usize {
        self.topics() * self.publishers_of_topic()
    }

    /// The flow of a topic's publisher. `place` is the publisher's among those of the topic.
    pub fn flow(&self, topic: u32, place: usize) -> usize {
        topic as usize * self.publishers_of_topic() + place
    }

    /// The topic and the publisher of a flow.
    pub fn parts_of(&self, flow: usize) -> (u32, PublisherIndex) {
        let topic = flow / self.publishers_of_topic();
        let publisher = if self.shared.is_some() { flow % self.publishers } else { topic };
        (topic as u32, PublisherIndex(publisher as u32))
    }

    /// Messages of each flow, when each publisher has sent so many.
    pub fn sent_on(&self, sent: &[u64]) -> Vec<u64> {
        let Some(_) = self.shared else { return sent.to_vec() };
        let choice = TopicChoice::new(self);
        let mut flows = vec![0; self.flows()];
        for (publisher, sent) in sent.iter().enumerate() {
            for sequence in 0..*sent {
                let topic = choice.topic(PublisherIndex(publisher as u32), sequence);
                flows[self.flow(topic, publisher)] += 1;
            }
        }
        flows
    }

    /// The head of its payloads.
    pub fn head(&self) -> Head {
        if self.shared.is_some() { Head::Topic } else { Head::Plain }
    }
}

/// The choice of a topic for each message.
#[derive(Clone, Debug)]
pub struct TopicChoice {
    workload: Workload,
    /// Bounds of the topics' shares of all numbers, if these are not the same; rising.
    bounds: Vec<u64>,
}

impl TopicChoice {
    /// The choice in this workload.
    pub fn new(workload: &Workload) -> Self {
        let bounds = match workload.shared {
            Some(SharedTopics { spread: TopicSpread::Zipf, topics, .. }) => zipf_bounds(topics),
            _ => Vec::new(),
        };
        TopicChoice { workload: *workload, bounds }
    }

    /// The topic of a publisher's message.
    pub fn topic(&self, publisher: PublisherIndex, sequence: u64) -> u32 {
        let Some(shared) = self.workload.shared else { return publisher.0 };
        let drawn = || random(MESSAGES, publisher.0.into(), sequence);
        let topic = match shared.spread {
            TopicSpread::Uniform => below(drawn(), shared.topics),
            TopicSpread::Zipf => {
                let drawn = drawn();
                self.bounds.partition_point(|bound| *bound <= drawn)
            }
            TopicSpread::InTurn => {
                let place = sequence as usize * self.workload.publishers + publisher.0 as usize;
                place % shared.topics
            }
        };
        topic as u32
    }

    /// Messages of each publisher in which each topic comes once, in turn.
    pub fn turn(&self) -> u64 {
        let shared = self.workload.shared.map_or(1, |shared| shared.topics);
        shared.div_ceil(self.workload.publishers) as u64
    }
}

/// The ends of the shares of all but the last topic, in parts of 2^64.
fn zipf_bounds(topics: usize) -> Vec<u64> {
    let share = |topic: usize| 1.0 / (topic + 1) as f64;
    let all: f64 = (0..topics).map(share).sum();
    let mut sum = 0.0;
    let ends = (0..topics - 1).map(|topic| {
        sum += share(topic);
        (sum / all * 2f64.powi(64)) as u64
    });
    ends.collect()
}

/// Streams of random numbers: of messages, of subscribers.
const MESSAGES: u64 = 0x6d65_7373_6167_6573;
const SUBSCRIBERS: u64 = 0x7375_6273_6372_6962;

/// The random number at a place of a row of a stream: splitmix64.
fn random(stream: u64, row: u64, place: u64) -> u64 {
    let mixed = |mut number: u64| {
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    };
    let step = |start: u64, steps: u64| start.wrapping_add(steps.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed(step(mixed(step(stream, row)), place))
}

/// A random number below a bound, from one of 64 bits.
fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A workload of so many topics, of which each subscriber wants some by name.
    pub(crate) fn shared(publishers: usize, topics: usize, per_subscriber: usize) -> Workload {
        let shared = SharedTopics {
            topics,
            per_subscriber,
            filters: TopicFilters::Exact,
            spread: TopicSpread::Uniform,
        };
        Workload { publishers, shared: Some(shared) }
    }

    fn with(workload: Workload, change: impl FnOnce(&mut SharedTopics)) -> Workload {
        let mut shared = workload.shared.unwrap();
        change(&mut shared);
        Workload { shared: Some(shared), ..workload }
    }

    #[test]
    fn subscribers_want_as_many_different_topics_as_they_should_and_all_are_wanted() {
        let workload = shared(1, 100, 20);
        let mut wanted = vec![0; 100];
        for subscriber in 0..256 {
            let topics = workload.wanted_by(subscriber);
            assert!(topics.is_sorted_by(|one, other| one < other) && topics.len() == 20, "{topics:?}");
            topics.into_iter().for_each(|topic| wanted[topic as usize] += 1);
        }
        // 51 each in the mean, with a deviation of 6.
        assert!(wanted.iter().all(|count| (20..85).contains(count)), "{wanted:?}");
        assert_ne!(workload.wanted_by(0), workload.wanted_by(1));
        assert_eq!(shared(1, 7, 7).wanted_by(3), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(Workload::own(3).wanted_by(9), [0, 1, 2]);
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        // Figures of different builds are compared.
        let workload = shared(2, 1_000, 5);
        assert_eq!(workload.wanted_by(7), [259, 507, 661, 674, 698]);
        let choice = TopicChoice::new(&workload);
        let topics: Vec<u32> = (0..5).map(|sequence| choice.topic(PublisherIndex(1), sequence)).collect();
        assert_eq!(topics, [278, 152, 216, 737, 190]);
    }

    #[test]
    fn a_wildcard_stands_for_a_group() {
        let workload = with(shared(1, 10, 2), |shared| shared.filters = TopicFilters::Wildcard(4));
        let topics = workload.shared.unwrap();
        assert_eq!((topics.groups(), topics.topics_of(2), topics.group_of(9)), (3, 8..10, 2));
        for subscriber in 0..20 {
            let groups = topics.groups_of(subscriber);
            assert_eq!(groups.len(), 2);
            let wanted = workload.wanted_by(subscriber);
            assert!((0..10).all(|topic| {
                groups.contains(&topics.group_of(topic)) == wanted.contains(&(topic as u32))
            }));
        }
    }

    #[test]
    fn messages_are_spread_as_asked() {
        let counts =
            |spread| with(shared(2, 10, 1), |shared| shared.spread = spread).sent_on(&[30_000, 30_000]);
        let uniform = counts(TopicSpread::Uniform);
        assert!(uniform.iter().all(|count| (2_800..3_200).contains(count)), "{uniform:?}");
        let zipf = counts(TopicSpread::Zipf);
        let all: f64 = (1..=10).map(|place| 1.0 / f64::from(place)).sum();
        for (flow, count) in zipf.iter().enumerate() {
            let wanted = 30_000.0 / all / (flow / 2 + 1) as f64;
            assert!((*count as f64 / wanted - 1.0).abs() < 0.1, "flow {flow}: {count}, not {wanted}");
        }
        assert_ne!(uniform[0], uniform[1], "publishers have sequences of their own");
        assert_eq!(uniform.iter().sum::<u64>(), 60_000);
    }

    #[test]
    fn in_turn_each_topic_comes_once() {
        for publishers in [1, 3, 16] {
            let workload = shared(publishers, 10, 1).in_turn();
            let turn = TopicChoice::new(&workload).turn();
            let sent = workload.sent_on(&vec![turn; publishers]);
            let of_topic = |topic: usize| sent[topic * publishers..][..publishers].iter().sum::<u64>();
            assert!((0..10).all(|topic| of_topic(topic) >= 1), "{publishers}: {sent:?}");
            assert!(sent.iter().sum::<u64>() < 10 + publishers as u64);
        }
        assert_eq!(TopicChoice::new(&Workload::own(4)).turn(), 1);
    }

    #[test]
    fn flows_are_numbered_by_topic_and_publisher() {
        let workload = shared(3, 5, 1);
        assert_eq!((workload.flows(), workload.flow(4, 2)), (15, 14));
        assert_eq!(workload.parts_of(14), (4, PublisherIndex(2)));
        let own = Workload::own(3);
        assert_eq!((own.flows(), own.flow(2, 0), own.parts_of(2)), (3, 2, (2, PublisherIndex(2))));
        assert_eq!(own.sent_on(&[5, 6, 7]), [5, 6, 7]);
    }

    #[test]
    fn topics_that_make_no_sense_are_refused_with_a_remedy() {
        let said = |topics, per_subscriber, publishers| {
            let workload = shared(publishers, topics, per_subscriber);
            workload.shared.unwrap().check(publishers, 512).unwrap_err().to_string()
        };
        assert!(said(0, 1, 1).contains("number of topics must be at least 1"));
        assert!(said(5, 0, 1).contains("per subscriber must be at least 1"));
        let error = said(10, 11, 1);
        assert!(error.contains("11 different filters: 10 topics make 10; ask for fewer"), "{error}");
        assert!(said(1 << 20, 1, 1 << 10).starts_with("topics times publishers are 1073741824, and at most"));
        assert!(said(1 << 16, 1 << 15, 2).starts_with("topics of each subscriber times publishers"));
        assert_eq!(shared(4, 10, 10).shared.unwrap().check(4, 512), Ok(()));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["exact", "wildcard:7"] {
            assert_eq!(word.parse::<TopicFilters>().unwrap().to_string(), word);
        }
        assert_eq!("wildcard".parse(), Ok(TopicFilters::Wildcard(4)));
        for word in ["uniform", "zipf"] {
            assert_eq!(word.parse::<TopicSpread>().unwrap().to_string(), word);
        }
        for wrong in ["", "wild", "wildcard:", "wildcard:0", "exact:2"] {
            assert!(wrong.parse::<TopicFilters>().unwrap_err().contains("`wildcard:N`"), "{wrong}");
        }
        assert!("in turn".parse::<TopicSpread>().unwrap_err().contains("`zipf`"));
    }
}
