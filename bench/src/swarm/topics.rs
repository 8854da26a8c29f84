//! Owns the names that a run publishes under: `bench.RUN.PUBLISHER`. A topic of its own for each publisher, so that
//! a gap notice, which names a topic, says whose messages are missed.

use crate::measure::payload::{PublisherIndex, RunId};
use corecast::{Filter, Topic};

/// The names of one run.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
    publishers: usize,
}

impl Topics {
    /// The names of this run.
    pub fn new(run: RunId, publishers: usize) -> Self {
        Topics { prefix: format!("bench.{:016x}.", run.0), publishers }
    }

    /// The topic of this publisher.
    pub fn of(&self, publisher: PublisherIndex) -> Topic {
        Topic::new(self.name(publisher)).expect("letters, digits and dots are a topic")
    }

    /// The filter of every subscriber: the one topic if there is one publisher, a pattern else.
    pub fn filter(&self) -> Filter {
        let text = match self.publishers {
            1 => self.name(PublisherIndex(0)),
            _ => format!("{}*", self.prefix),
        };
        Filter::parse(&text).expect("a topic of this run and a pattern over them are filters")
    }

    /// Whose topic this is, if it is of this run.
    pub fn publisher_of(&self, topic: &[u8]) -> Option<PublisherIndex> {
        let index = topic.strip_prefix(self.prefix.as_bytes())?;
        let index: u32 = std::str::from_utf8(index).ok()?.parse().ok()?;
        ((index as usize) < self.publishers).then_some(PublisherIndex(index))
    }

    fn name(&self, publisher: PublisherIndex) -> String {
        format!("{}{}", self.prefix, publisher.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_says_whose_it_is() {
        let topics = Topics::new(RunId(0xabc), 3);
        for index in 0..3 {
            let topic = topics.of(PublisherIndex(index));
            assert_eq!(topics.publisher_of(topic.as_bytes()), Some(PublisherIndex(index)));
            assert!(topics.filter().matches(topic.as_bytes()));
        }
        assert_eq!(topics.publisher_of(b"bench.0000000000000abc.3"), None);
        assert_eq!(topics.publisher_of(b"bench.0000000000000abd.0"), None);
        assert_eq!(topics.publisher_of(b"bench"), None);
    }

    #[test]
    fn one_publisher_is_asked_for_by_name() {
        let topics = Topics::new(RunId(1), 1);
        assert_eq!(topics.filter().as_bytes(), topics.of(PublisherIndex(0)).as_bytes());
    }
}
