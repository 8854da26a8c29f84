//! The oracle: a subscriber that keeps the position of each publisher. Every missing message must have been reported
//! before the message after it; nothing comes twice, and nothing out of order. Its publishers have one topic each, so
//! that their sequence numbers have no holes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use corecast::{ClientConfig, Event, Filter, Gap, PublisherId, Subscriber};

use super::{PATIENCE, SHORT};

pub(crate) struct Follower {
    subscriber: Subscriber,
    /// The last message of each.
    last: HashMap<PublisherId, u64>,
    /// Messages received from each.
    received: HashMap<PublisherId, u64>,
    /// Publishers with possibly missing messages: a gap was reported, and no message of theirs has come since.
    may_have_missed: HashSet<PublisherId>,
    /// A publisher that is new here may have begun before.
    is_late: bool,
    pub(crate) gaps: Vec<Gap>,
}

impl Follower {
    /// A follower of publishers that begin later: it gets all of their messages.
    pub(crate) fn from_the_start(config: ClientConfig, filter: &str) -> Self {
        Self::subscribe(config, filter, false)
    }

    /// A follower of publishers of which some have begun.
    pub(crate) fn late(config: ClientConfig, filter: &str) -> Self {
        Self::subscribe(config, filter, true)
    }

    fn subscribe(config: ClientConfig, filter: &str, is_late: bool) -> Self {
        let filters = [Filter::parse(filter).expect("a filter")];
        Follower {
            subscriber: Subscriber::with_config(config, &filters).expect("a subscriber"),
            last: HashMap::new(),
            received: HashMap::new(),
            may_have_missed: HashSet::new(),
            is_late,
            gaps: Vec::new(),
        }
    }

    /// Takes the next event, and gives whether one came in time.
    fn step(&mut self, patience: Duration) -> bool {
        match self.subscriber.recv_timeout(patience).expect("the session stands") {
            None | Some(Event::CaughtUp) => return false,
            Some(Event::Gap(gap)) => {
                self.gaps.push(gap);
                self.may_have_missed.extend(self.last.keys());
                self.is_late = true;
            }
            Some(Event::Message(message)) => self.take(message.publisher, message.sequence),
        }
        true
    }

    fn take(&mut self, publisher: PublisherId, sequence: u64) {
        let may_jump = self.may_have_missed.remove(&publisher);
        *self.received.entry(publisher).or_default() += 1;
        match self.last.insert(publisher, sequence) {
            Some(last) if may_jump => assert!(sequence > last, "{sequence} after {last}, of {publisher}"),
            Some(last) => assert_eq!(sequence, last + 1, "of {publisher}: a loss that is not told"),
            None => assert!(self.is_late || sequence == 1, "{publisher} begins with {sequence} here"),
        }
    }

    /// Reads until so many more messages of a publisher have come.
    pub(crate) fn read_more(&mut self, publisher: PublisherId, messages: u64) {
        let wanted = self.received(publisher) + messages;
        while self.received(publisher) < wanted {
            assert!(self.step(PATIENCE), "{wanted} of {publisher} do not come: {:?}", self.received);
        }
    }

    /// Reads until the message of this number has come.
    pub(crate) fn read_until(&mut self, publisher: PublisherId, sequence: u64) {
        while self.last.get(&publisher).is_none_or(|last| *last < sequence) {
            assert!(self.step(PATIENCE), "{sequence} of {publisher} does not come: {:?}", self.last);
        }
    }

    /// Reads until this many gaps have been reported in all.
    pub(crate) fn read_until_told(&mut self, gaps: usize) {
        while self.gaps.len() < gaps {
            assert!(self.step(PATIENCE), "no gap is told");
        }
    }

    /// Reads what there is, until nothing has come for a while.
    pub(crate) fn read_all(&mut self) {
        while self.step(SHORT) {}
    }

    fn received(&self, publisher: PublisherId) -> u64 {
        self.received.get(&publisher).copied().unwrap_or(0)
    }
}
