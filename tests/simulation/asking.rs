//! The requests of well-behaved clients: subscriptions, flushes, counts, pings.

use std::time::Duration;

use corecast::internals::wire::Frame;
use corecast::{Filter, Start};

use crate::client::Incoming;
use crate::fault::Fault;
use crate::ledger::{Request, Watch};
use crate::oracle::PING_TOKEN;
use crate::plan::{FILTERS, TOPICS};
use crate::violation::Checked;
use crate::world::World;

/// A filter of [`FILTERS`].
pub(crate) fn filter(text: &str) -> Filter {
    match text.strip_prefix("prefix:") {
        Some(prefix) => Filter::prefix(prefix.as_bytes()).expect("a short prefix"),
        None => Filter::parse(text).expect("a filter"),
    }
}

/// A start, as the protocol has it.
fn wire_of(start: Start) -> (u8, u64) {
    match start {
        Start::Live => unreachable!("it is said by saying nothing"),
        Start::Last => (1, 0),
        Start::All => (2, 0),
        Start::Count(count) => (3, count),
        Start::Since(time) => (4, u64::try_from(time.as_nanos()).expect("it is short")),
    }
}

impl World {
    /// A client asks for something.
    pub(crate) fn ask(&mut self) -> Checked {
        let Some(client) = self.any_speaker() else { return Ok(()) };
        match self.rng.u8(0..10) {
            0..3 => self.subscribe(client),
            3..6 => self.unsubscribe(client),
            6..8 => return self.flush(client),
            8 => self.watch(client),
            _ => self.clients[client].say(&Frame::Ping { token: PING_TOKEN }),
        }
        Ok(())
    }

    /// A client asks for a filter, for one of its few subscribers.
    pub(crate) fn subscribe(&mut self, client: usize) {
        let filter = filter(FILTERS[self.rng.usize(..FILTERS.len())]);
        let request = self.clients[client].next_request();
        let subscriber = self.rng.u32(0..4);
        let book = &self.oracle.ledger.sessions[client];
        if book.subscribed.iter().any(|s| s.filter == filter && s.subscriber == subscriber) {
            return;
        }
        let kind = filter.wire_kind();
        self.clients[client].say(&Frame::Subscribe { filter: filter.as_bytes(), request, subscriber, kind });
        self.oracle.ledger.subscribe(client, request, (filter, subscriber), (None, false));
    }

    /// A client that has just come starts with history.
    pub(crate) fn start(&mut self, client: usize) {
        let starts = [Start::All, Start::Last, Start::Count(3), Start::Since(Duration::from_millis(50))];
        let start = starts[self.history_rng.usize(..starts.len())];
        let mut filters: Vec<&str> = FILTERS.to_vec();
        self.history_rng.shuffle(&mut filters);
        filters.truncate(self.history_rng.usize(1..4));
        let (kind, value) = wire_of(start);
        let (request, subscriptions) = (self.clients[client].next_request(), filters.len() as u32);
        self.clients[client].say(&Frame::Start { value, request, subscriptions, kind });
        self.oracle.ledger.sessions[client].requests.insert(request, Request::Start);
        for text in filters {
            let (filter, request) = (filter(text), self.clients[client].next_request());
            let (kind, subscriber) = (filter.wire_kind(), self.history_rng.u32(0..4));
            self.clients[client].say(&Frame::Subscribe {
                filter: filter.as_bytes(),
                request,
                subscriber,
                kind,
            });
            let from = (Some(start), self.plan.keeps_all);
            self.oracle.ledger.subscribe(client, request, (filter, subscriber), from);
        }
    }

    fn unsubscribe(&mut self, client: usize) {
        let book = &self.oracle.ledger.sessions[client];
        let standing: Vec<usize> =
            (0..book.subscribed.len()).filter(|at| book.subscribed[*at].stands()).collect();
        let Some(at) = self.rng.choice(standing) else { return };
        let (filter, subscriber) = (book.subscribed[at].filter.clone(), book.subscribed[at].subscriber);
        let (request, kind) = (self.clients[client].next_request(), filter.wire_kind());
        self.clients[client].say(&Frame::Unsubscribe {
            filter: filter.as_bytes(),
            request,
            subscriber,
            kind,
        });
        self.oracle.ledger.unsubscribe(client, request, at);
    }

    fn flush(&mut self, client: usize) -> Checked {
        let request = self.clients[client].next_request();
        self.clients[client].say(&Frame::Flush { request });
        let said = self.clients[client].said;
        self.oracle.ledger.sessions[client].requests.insert(request, Request::Flush(said));
        let untaken = !self.oracle.ledger.is_taken(client, said);
        if untaken && self.fault.strikes(Fault::AcknowledgeEarly) {
            return self.oracle.incoming(client, &Incoming::Done(request));
        }
        Ok(())
    }

    fn watch(&mut self, client: usize) {
        let watches = &mut self.oracle.ledger.sessions[client].watches;
        let standing = watches.iter_mut().find(|(_, watch)| !watch.has_ended);
        if let Some((request, watch)) = standing {
            // Now and then one that was never asked for: the one that was goes on.
            let is_known = self.rng.u8(0..4) > 0;
            watch.has_ended = is_known;
            let request = if is_known { *request } else { u32::MAX };
            self.clients[client].say(&Frame::UnwatchSubscribers { request });
            return;
        }
        let topic = self.rng.usize(..TOPICS.len());
        let request = self.clients[client].next_request();
        self.clients[client].say(&Frame::WatchSubscribers { topic: TOPICS[topic].as_bytes(), request });
        let watch = Watch { topic, told: None, has_ended: false };
        self.oracle.ledger.sessions[client].watches.insert(request, watch);
    }
}
