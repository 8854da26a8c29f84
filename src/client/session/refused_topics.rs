//! Topics that the broker has refused to take from publishers of a session, for a while.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::PublisherId;
use crate::limits::{REFUSED_TOPIC_PAUSE, REFUSED_TOPICS_MAX};

/// All of a session: mostly none.
#[derive(Default)]
pub(in crate::client) struct RefusedTopics {
    /// The oldest first.
    topics: VecDeque<RefusedTopic>,
    /// Refusals that nobody who watches the connection has been told of.
    news: Vec<(PublisherId, Bytes, Error)>,
}

struct RefusedTopic {
    publisher: PublisherId,
    topic: Bytes,
    until: MonotonicNs,
    text: String,
    /// A flush has told of it.
    is_told: bool,
}

impl RefusedTopics {
    /// The broker has refused a topic.
    pub(super) fn add(&mut self, publisher: PublisherId, topic: &[u8], text: String, now: MonotonicNs) {
        self.topics.retain(|there| there.publisher != publisher || there.topic != topic);
        if self.topics.len() >= REFUSED_TOPICS_MAX {
            self.topics.pop_front();
        }
        let (topic, until) = (Bytes::copy_from_slice(topic), now + REFUSED_TOPIC_PAUSE);
        let refused = RefusedTopic { publisher, topic, until, text, is_told: false };
        if self.news.len() < REFUSED_TOPICS_MAX {
            self.news.push((publisher, refused.topic.clone(), refused.error()));
        }
        self.topics.push_back(refused);
    }

    /// Takes the refusals since the last call, for those that watch the connection.
    pub(super) fn take_news(&mut self) -> Vec<(PublisherId, Bytes, Error)> {
        mem::take(&mut self.news)
    }

    /// Says whether a publisher may try a topic, as far as is known.
    ///
    /// # Errors
    /// `Refused`: it was refused lately.
    #[inline]
    pub(in crate::client) fn check(
        &mut self,
        publisher: PublisherId,
        topic: &[u8],
        now: impl FnOnce() -> MonotonicNs,
    ) -> Result<(), Error> {
        if self.topics.is_empty() {
            return Ok(());
        }
        let now = now();
        self.topics.retain(|there| now < there.until || !there.is_told);
        let there = self.topics.iter_mut().find(|there| there.publisher == publisher && there.topic == topic);
        match there {
            Some(refused) if now < refused.until => {
                refused.is_told = false;
                Err(refused.error())
            }
            _ => Ok(()),
        }
    }

    /// An error for a flush: a topic of this publisher that was refused since the last one.
    pub(in crate::client) fn tell(&mut self, publisher: PublisherId) -> Result<(), Error> {
        let mut told = Ok(());
        for refused in self.topics.iter_mut().filter(|there| there.publisher == publisher && !there.is_told) {
            refused.is_told = true;
            told = Err(refused.error());
        }
        told
    }
}

impl RefusedTopic {
    fn error(&self) -> Error {
        let code = ErrorCode::NotPermitted;
        Error::new(ErrorKind::Refused(code), format!("the broker refused: {} ({code})", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_topic_is_an_error_for_its_publisher_for_a_while() {
        let (start, mut refused) = (MonotonicNs(1), RefusedTopics::default());
        let [one, other] = [PublisherId(1), PublisherId(2)];
        refused.add(one, b"a", "you may not".to_owned(), start);
        assert!(refused.check(one, b"a", || start).is_err());
        assert!(refused.check(one, b"b", || start).is_ok() && refused.check(other, b"a", || start).is_ok());
        assert!(refused.tell(other).is_ok() && refused.tell(one).is_err() && refused.tell(one).is_ok());
        assert!(refused.check(one, b"a", || start).is_err());
        assert!(refused.tell(one).is_err(), "another message was kept back");
        assert!(refused.check(one, b"a", || start + REFUSED_TOPIC_PAUSE).is_ok(), "it may be allowed by now");
    }

    #[test]
    fn many_refused_topics_are_not_all_remembered() {
        let mut refused = RefusedTopics::default();
        for n in 0..10 * REFUSED_TOPICS_MAX {
            refused.add(PublisherId(1), n.to_string().as_bytes(), String::new(), MonotonicNs(1));
        }
        assert_eq!(refused.topics.len(), REFUSED_TOPICS_MAX);
    }
}
