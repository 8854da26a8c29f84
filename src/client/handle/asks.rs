//! Everything that crosses from a thread to the client executor: what it asks there, and the ends that it is given.

use bytes::Bytes;
use corecast_executors::{Inbox, Link, link};

use super::offer::Claim;
use super::question::{Line, LineEnd, Question, line};
use crate::client::config::ClientConfig;
use crate::client::deadline::Deadline;
use crate::client::listed::{Listed, PublisherChange};
use crate::client::message::Event;
use crate::error::Error;
use crate::ids::PublisherId;
use crate::limits::PUBLISH_ITEMS_MAX;
use crate::topic::{Filter, Topic};

/// A thread asks the executor for something that is served.
pub(super) enum Command {
    Publisher {
        config: ClientConfig,
        ends: PublisherTaskEnds,
        /// For the longest frame body that is taken, in bytes, when its session is open. `None`: its handle is in use
        /// before that.
        question: Option<Question<usize>>,
    },
    Subscriber {
        config: ClientConfig,
        filters: Vec<Filter>,
        question: Question<SubscriberEnds>,
    },
    Registry {
        config: ClientConfig,
        question: Question<RegistryEnds>,
    },
}

/// A thread asks for a list.
pub(super) struct ListAsk {
    pub(super) deadline: Deadline,
    /// With how many lists were given.
    pub(super) question: Question<(u64, Vec<Listed>)>,
}

/// The thread's ends of a view of the registry.
pub(super) struct RegistryEnds {
    pub(super) asks: Link<ListAsk>,
    /// With how many lists were given before.
    pub(super) changes: Inbox<(u64, Vec<PublisherChange>)>,
    pub(super) line: Line,
}

/// An item of a thread for its publisher; taken in order.
pub(super) enum PublishItem {
    Publish {
        topic: Topic,
        payload: Bytes,
        /// Lets its publisher withdraw it; `None`: it stands.
        claim: Option<Claim>,
    },
    /// All that was published before this has been taken over: it waits here no more.
    Taken {
        reply: Link<()>,
    },
    Wait {
        topic: Topic,
        n: usize,
        deadline: Deadline,
        question: Question<usize>,
    },
    Flush {
        deadline: Deadline,
        question: Question<()>,
    },
    Close {
        deadline: Deadline,
        question: Question<()>,
    },
}

impl PublishItem {
    /// A message whose publisher may withdraw it.
    pub(super) fn may_be_withdrawn(&mut self, by: Claim) {
        if let PublishItem::Publish { claim, .. } = self {
            *claim = Some(by);
        }
    }

    /// Bytes of its payload.
    pub(super) fn payload_bytes(&self) -> usize {
        match self {
            PublishItem::Publish { payload, .. } => payload.len(),
            _ => 0,
        }
    }
}

/// The thread's ends of a publisher.
#[derive(Debug)]
pub(super) struct PublisherEnds {
    pub(super) items: Link<PublishItem>,
    /// Says, for as long as it is so, that the broker has been away for longer than a publish waits.
    pub(super) away: Inbox<Error>,
    pub(super) line: Line,
}

/// The ends of the task that serves a publisher.
pub(super) struct PublisherTaskEnds {
    pub(super) id: PublisherId,
    pub(super) items: Inbox<PublishItem>,
    pub(super) complaints: Link<Error>,
    pub(super) line: LineEnd,
}

/// Both ends of a publisher with this number, on the executor that takes these commands.
pub(super) fn publisher_ends(
    id: PublisherId,
    commands: &Link<Command>,
) -> (PublisherEnds, PublisherTaskEnds) {
    let (items_link, items) = commands.beside(PUBLISH_ITEMS_MAX);
    let (complaints, away) = link(1);
    let (line, line_end) = line("publisher");
    (
        PublisherEnds { items: items_link, away, line },
        PublisherTaskEnds { id, items, complaints, line: line_end },
    )
}

/// The thread's ends of a subscriber.
pub(super) struct SubscriberEnds {
    pub(super) events: Inbox<Vec<Event>>,
    pub(super) line: Line,
}
