//! The registry as tests query it: the publishers of a topic, and the fate of each. It goes on when the broker is back.

use std::time::Duration;

use corecast::{DownReason, Filter, Listed, PublisherChange, PublisherId, RegistryView};
use corecast_executors::pause;

use super::PATIENCE;
use super::broker_process::BrokerProcess;

/// Between two lists.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Book {
    /// Asked for lists.
    lists: RegistryView,
    /// Asked for changes, from the begin.
    changes: RegistryView,
}

impl Book {
    pub(crate) fn of(broker: &BrokerProcess) -> Self {
        let view = || RegistryView::with_config(super::own_sessions(broker)).expect("a view");
        Book { lists: view(), changes: view() }
    }

    /// Waits until somebody has this topic, in this epoch or a later one.
    pub(crate) fn until_listed_again(&mut self, topic: &str, epoch: u64) -> Listed {
        let topic = Filter::parse(topic).expect("a topic");
        loop {
            let mut list = self.lists.list(PATIENCE).expect("the broker is back").into_iter();
            if let Some(listed) = list.find(|l| l.topics.contains(&topic) && l.epoch >= epoch) {
                return listed;
            }
            pause(LOOK_PAUSE);
        }
    }

    /// Waits until somebody has this topic.
    pub(crate) fn until_listed(&mut self, topic: &str) -> Listed {
        self.until_listed_again(topic, 1)
    }

    /// Waits until this publisher is gone, and gives its last epoch and why.
    pub(crate) fn until_down(&mut self, who: PublisherId) -> (u64, DownReason) {
        loop {
            if let PublisherChange::Down { publisher, epoch, reason } = self.next_change()
                && publisher == who
            {
                return (epoch, reason);
            }
        }
    }

    /// Waits until this publisher has come, or has come again, since the last change that was seen here.
    pub(crate) fn until_up(&mut self, who: PublisherId) -> Listed {
        loop {
            if let PublisherChange::Up(listed) = self.next_change()
                && listed.publisher == who
            {
                return listed;
            }
        }
    }

    fn next_change(&mut self) -> PublisherChange {
        let change = self.changes.next_change_timeout(PATIENCE).expect("the session stands");
        change.expect("something changes")
    }
}
