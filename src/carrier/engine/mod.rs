//! An engine that joins any number of brokers into one topic space, without I/O: a carrier whose far end is all other brokers of
//! a cluster. A connection owns it, tells it of time and of what has come, and carries out its orders.
//!
//! Messages of publishers here that another broker wants cross once, in runs of frames as they came, each with its **position**
//! among those of this broker and topic. By these a broker sees what the engine has lost, brought twice or brought late: what is
//! missing is reported as a gap of exact size at its place in the stream, and nothing comes twice or out of order. The inbox of
//! shards is always drained, so no publisher ever waits for the engine: what finds no room on the way out is given up, oldest
//! first, and is missing at the other brokers; what finds none on the way in is missing here.
//!
//! | file | owns |
//! |---|---|
//! | `state`, `view` | the engine, as its connection sees it, and as people do |
//! | `subject` | subjects, by topic and filter |
//! | `head`, `crossing` | the head of each payload; messages of one topic behind it |
//! | `word` | words between brokers: hello, interest, answers, positions |
//! | `conversation` | words on their way out |
//! | `interest`, `wanted`, `cover` | what is wanted here, since when, and the subscriptions for it |
//! | `peers` | the other brokers, and what they want |
//! | `exchange` | all that brokers tell one another beside messages and interest, which is in the next three |
//! | `lists` | lists that brokers tell one another, and keep in step |
//! | `registrations` | direct publishers of this broker and of the others: such a list |
//! | `watching`, `counting` | counts of subscribers that shards ask of other brokers, by such a list, and these of the shards |
//! | `departures` | the way out: positions that were sent (`positions`), when they are told again (`probe`), what waits (`buffer`) |
//! | `stores`, `store_ask` | messages on their way into stores of history; what stores are asked |
//! | `making`, `upkeep`, `clearing` | stores that are made, as the broker starts and when one is missed; what is given up there |
//! | `loading`, `sorting` | history that comes back from there as the broker starts; its messages, until they are in order |
//! | `arrivals` | the way in: positions that were heard (`heard`), holes that wait for a look (`landings`) |
//!
//! Its connection is `broker/nats.rs`, with the feature `nats`; simulations have another.

mod arrivals;
mod buffer;
mod clearing;
mod conversation;
mod counting;
mod cover;
mod crossing;
mod departures;
mod exchange;
mod head;
mod heard;
mod interest;
mod landings;
mod lists;
mod loading;
mod making;
mod peers;
mod positions;
mod probe;
mod registrations;
mod sorting;
mod state;
mod store_ask;
mod stores;
mod subject;
mod upkeep;
mod view;
mod wanted;
mod watching;
mod word;

use std::time::Duration;

use bytes::Bytes;

pub use making::stores_of;
pub use state::Engine;
pub use store_ask::{StoreAnswer, StoreAsk, StoreBounds, StoreFacts};
pub use view::{EngineState, PeerView};

use crate::topic::Filter;

/// The settings of one broker.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Shards of the broker.
    pub shards: usize,
    /// A random number that is new with each start of the broker; not 0.
    pub start: u64,
    /// The name of the broker, for people.
    pub name: Box<str>,
    /// The cluster, by a name that [`EngineConfig::check_cluster`] accepts.
    pub cluster: Box<str>,
    /// Filters of the topics that may cross, both ways. None: all may.
    pub topics: Vec<Filter>,
    /// Filters of the topics of which history is kept here: they are wanted, whoever subscribes.
    pub keep: Vec<Filter>,
    /// Rules whose topics are stored at the engine, and loaded from there as the broker starts. None: nothing is.
    pub stores: Vec<StoredHistory>,
    /// Most bytes of messages that wait to leave; the oldest are given up.
    pub buffer_bytes_max: usize,
    /// Most filters of which the others are told: with more of them everything is wanted.
    pub filters_max: usize,
    /// Longest frame body taken from other brokers, in bytes.
    pub frame_bytes_max: usize,
}

impl EngineConfig {
    /// Checks the name of a cluster.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn check_cluster(cluster: &str) -> Result<(), String> {
        subject::Subjects::check_cluster(cluster)
    }
}

/// A rule of what is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredHistory {
    /// The topics.
    pub filter: Filter,
    /// The time for which they are stored.
    pub age: Duration,
    /// Most bytes of all of them.
    pub bytes: u64,
    /// Most payloads of each topic; `None`: as many as there is room for.
    pub of_each: Option<u64>,
    /// A flush of a publisher waits until what it has said is stored.
    pub is_confirmed: bool,
}

/// Something to do at the engine. Orders are carried out one after another, on one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EngineOrder {
    /// Subscribe to a subject.
    Subscribe {
        /// Names the subscription.
        number: u32,
        /// The subject, which may be a pattern.
        subject: String,
    },
    /// End a subscription, but take what has come on it.
    Unsubscribe {
        /// As in `Subscribe`.
        number: u32,
    },
    /// Publish a payload.
    Publish {
        /// The subject.
        subject: String,
        /// The payload.
        payload: Bytes,
    },
    /// Store a payload, under a subject of a store; the answer says if it is stored.
    Store {
        /// The answer carries it.
        number: u64,
        /// The subject.
        subject: String,
        /// The payload.
        payload: Bytes,
    },
    /// Ask something about a store.
    Ask {
        /// The answer carries it. Whoever asks has one question at a time; its two highest bits tell who that is.
        number: u64,
        /// The question.
        ask: Box<StoreAsk>,
    },
    /// Find out that all before it has reached the server, by something that only the server can answer.
    RoundTrip {
        /// The answer carries it.
        number: u64,
    },
}

/// Messages and words, as one broker has seen them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EngineCounts {
    /// Messages given to the connection.
    pub sent: u64,
    /// Messages taken from other brokers.
    pub received: u64,
    /// Messages of other brokers that did not come: gap notices report them to the subscribers here.
    pub missing: u64,
    /// Gaps of unknown size, perhaps of none, that were reported to the subscribers here.
    pub unknown_gaps: u64,
    /// Messages that were dropped, since they had come before, after they were reported missing, or before their subscription was
    /// in force.
    pub behind: u64,
    /// Messages that were dropped on their way in, since shards took nothing; they are reported missing.
    pub overrun: u64,
    /// Messages that were given up on their way out, for want of room in the buffer.
    pub given_up: u64,
    /// Messages longer than the engine takes.
    pub too_large: u64,
    /// Payloads that no broker of this version has made.
    pub junk: u64,
    /// Words that found no room, which brokers repeat.
    pub words_dropped: u64,
    /// Messages of publishers here that the stores of history have confirmed.
    pub stored: u64,
    /// Messages of publishers here that will not be stored.
    pub unstored: u64,
    /// Times that a store has refused a message, which is tried again.
    pub store_refused: u64,
    /// Messages that were loaded from the stores.
    pub loaded: u64,
}

/// Reads a payload as a broker does, and says whether one of this version may have made it: for tests with bad input.
pub fn read_engine_payload(mut payload: Bytes, frame_bytes_max: usize) -> bool {
    match head::PayloadHead::take(&mut payload) {
        Some(head::PayloadHead { kind: head::HeadKind::Words, .. }) => {
            word::EngineWord::read(&payload).is_some()
        }
        Some(head) => crossing::read(payload, head.count, frame_bytes_max).is_some(),
        None => false,
    }
}
