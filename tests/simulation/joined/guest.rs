//! Owns a client of one of the brokers, and what it has heard.

use std::collections::BTreeMap;

use corecast::internals::ids::SessionId;
use corecast::internals::wire::run::{RunBytes, RunMessage};
use corecast::internals::wire::{Features, Frame, Reader};
use corecast::{ErrorCode, OverflowPolicy};

use crate::client::{Arrived, Client, Incoming};

/// The kind of start with all that is kept.
const START_ALL: u8 = 2;

/// The messages of one topic, as one guest has heard them. They are numbered from 1, by the one publisher of the topic.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Heard {
    /// The number of the last one.
    pub(super) last: u64,
    /// Those that came.
    pub(super) messages: u64,
    /// Missed ones that were told, and are not seen to be missing yet.
    pub(super) told: u64,
    /// All that were told.
    pub(super) told_ever: u64,
    /// Gaps of unknown size that were told.
    pub(super) unknown: u64,
}

/// A client and its connection.
pub(super) struct Guest {
    pub(super) shard: usize,
    pub(super) session: SessionId,
    /// Its session has left its shard and is on its way to this one.
    pub(super) moves: bool,
    pub(super) reader: Reader,
    pub(super) client: Client,
    pub(super) heard: BTreeMap<String, Heard>,
    /// Requests that were answered.
    pub(super) done: Vec<u32>,
    /// By request: the subscribers that were counted last.
    pub(super) counts: BTreeMap<u32, u32>,
    /// It comes and goes with its subscriptions, so that holes are none of the brokers' faults.
    pub(super) is_fickle: bool,
    /// The queue to the other broker has the policy `latest`, which may tell of a hole before its place.
    pub(super) is_told_early: bool,
}

impl Guest {
    pub(super) fn new(shard: usize, session: SessionId, policy: OverflowPolicy) -> Guest {
        // Peers of version 1 stand beside those that take runs.
        let features = if session.slot.is_multiple_of(2) { Features::OURS } else { Features::NONE };
        let mut client = Client::offering(features);
        client.greet(policy.to_wire());
        Guest {
            shard,
            session,
            moves: false,
            reader: Reader::default(),
            client,
            heard: BTreeMap::new(),
            done: Vec::new(),
            counts: BTreeMap::new(),
            is_fickle: false,
            is_told_early: false,
        }
    }

    /// Asks for a filter, or takes that back. Returns the number of the request.
    pub(super) fn ask(&mut self, filter: &str, wanted: bool) -> u32 {
        let request = self.client.next_request();
        let (filter, subscriber, kind) = (filter.as_bytes(), 1, 1);
        self.client.say(&if wanted {
            Frame::Subscribe { filter, request, subscriber, kind }
        } else {
            Frame::Unsubscribe { filter, request, subscriber, kind }
        });
        request
    }

    /// Asks for the number of subscribers of a topic, now and whenever it changes. Returns the number of the request.
    pub(super) fn watch(&mut self, topic: &str) -> u32 {
        let request = self.client.next_request();
        self.client.say(&Frame::WatchSubscribers { topic: topic.as_bytes(), request });
        request
    }

    /// Starts with all history of a filter. Returns the number of its request.
    pub(super) fn start(&mut self, filter: &str) -> u32 {
        let request = self.client.next_request();
        self.client.say(&Frame::Start { value: 0, request, subscriptions: 1, kind: START_ALL });
        self.ask(filter, true)
    }

    /// Asks for the confirmation of all that was published. Returns the number of the request.
    pub(super) fn flush(&mut self) -> u32 {
        let request = self.client.next_request();
        self.client.say(&Frame::Flush { request });
        request
    }

    /// Publishes the message of this number.
    pub(super) fn publish(&mut self, topic: &str, number: u64, payload: &[u8]) {
        let topic = topic.as_bytes();
        self.client.say(&Frame::Message { topic, payload, publisher: 1, sequence: number, sent_at_ns: 0 });
    }

    /// Publishes messages from this number on in one frame, each with this payload.
    pub(super) fn publish_run(&mut self, topic: &str, first: u64, (count, payload): (u64, &[u8])) {
        let mut run = RunBytes::default();
        (0..count).for_each(|_| run.push(RunMessage { payload, after_ns: 0 }));
        let (topic, messages) = (topic.as_bytes(), run.messages());
        self.client.say(&Frame::Run { topic, messages, publisher: 1, sequence: first, sent_at_ns: 0 });
    }

    /// Reads up to so many bytes of what was sent.
    pub(super) fn read(&mut self, bytes: usize) {
        let frames = self.client.read(bytes).expect("whole frames");
        for frame in frames {
            match frame {
                Incoming::Message(message) => self.hear(&message),
                Incoming::Gap { topic, missed, .. } => {
                    let heard = self.heard.entry(String::from_utf8(topic).expect("a name")).or_default();
                    heard.told += missed;
                    heard.told_ever += missed;
                    heard.unknown += u64::from(missed == 0);
                }
                Incoming::Done(request) => self.done.push(request),
                Incoming::Count { request, count } => _ = self.counts.insert(request, count),
                Incoming::Welcome(_) | Incoming::Error { request: 0, code: ErrorCode::ShuttingDown } => {}
                other => unreachable!("nobody asked for {other:?}"),
            }
        }
    }

    fn hear(&mut self, message: &Arrived) {
        let topic = String::from_utf8(message.topic.clone()).expect("a name");
        let number = message.sequence;
        let heard = self.heard.entry(topic.clone()).or_default();
        assert!(number > heard.last, "{topic}: {number} after {}: twice, or out of order", heard.last);
        let missing = number - heard.last - 1;
        if !self.is_fickle && heard.unknown == 0 {
            let is_told = if self.is_told_early { missing <= heard.told } else { missing == heard.told };
            assert!(is_told, "{topic}: {missing} missing before {number}, {} told", heard.told);
            heard.told -= missing;
        }
        heard.last = number;
        heard.messages += 1;
    }
}
