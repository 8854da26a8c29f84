//! One end of a joint between two brokers, without I/O: a carrier whose far end is the joint's other end. A pump moves the
//! parcels; time is an input.
//!
//! Messages cross once, in order, and never back: shards pass on only messages of their own publishers. Parcels that are not
//! confirmed when a connection is lost are sent again on the next. Messages that find no room meanwhile are dropped by the
//! policy, and reported as a gap at their place in the stream. Messages for a far end that has restarted are counted as lost.
//! An end whose broker stops takes no more messages, and says what is not confirmed of its own, for which that broker waits.

use std::collections::VecDeque;

use ahash::AHashMap;
use corecast_executors::MonotonicNs;

use super::back_off::BackOff;
use super::inbound::Inbound;
use super::late::Late;
use super::link_item::LinkItem;
use super::near::{Near, Word};
use super::outbound::Outbound;
use super::parcel::Parcel;
use crate::error::ErrorCode;
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::ids::{SessionId, ShardId};
use crate::limits::{RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN};
use crate::topic::Filter;
use crate::wire::{Features, WireError};

/// The settings of one end.
#[derive(Clone, Debug)]
pub struct JointConfig {
    /// Shards of its broker.
    pub shards: usize,
    /// A number that is new with each start of this end; not 0.
    pub origin: u64,
    /// The policy of the queue to the far end when that does not keep up. `block` holds publishers only while the far end is there;
    /// `disconnect` is not for joints, which would only come back.
    pub overflow: OverflowPolicy,
    /// The bounds of the queue to the far end.
    pub bounds: QueueBounds,
    /// Longest frame body taken from the far end, in bytes.
    pub frame_bytes_max: usize,
    /// The features that this end offers: frames of these it takes.
    pub features: Features,
}

/// The state of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Connection {
    Away,
    /// It stands; the far end has not said hello.
    New,
    Greeted,
}

/// Messages, as one end has seen them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Crossed {
    /// Confirmed by the far end.
    pub sent: u64,
    /// Handed on to shards here.
    pub received: u64,
    /// Dropped for want of room in the queue; gap notices report them to the far end.
    pub dropped: u64,
    /// Kept back, since a ZeroMQ topic was empty or too long for a native frame.
    pub unroutable: u64,
    /// Dropped because the far end has restarted; it may have received some of them before.
    pub lost: u64,
    /// Reported missing by the far end, on topics that it does not name.
    pub untold: u64,
}

/// One end of a joint.
pub struct Joint {
    config: JointConfig,
    near: Near,
    inbound: Inbound,
    outbound: Outbound,
    connection: Connection,
    /// Connections so far.
    connections: u64,
    /// The filters of the far end, each with the number of the connection on which it was last sent.
    far_wants: AHashMap<Filter, u64>,
    /// The `origin` of the far end that was met last; 0 for none.
    met: u64,
    /// Publishers held until the queue has room.
    held: Vec<(ShardId, SessionId)>,
    /// Parcels that go before frames, in order.
    words: VecDeque<Parcel>,
    /// Changes of interest that go behind them.
    late: Late<Filter>,
    /// Changes of interest that the last `Fence` on this connection covers.
    fenced: u64,
    back_off: BackOff,
    crossed: Crossed,
}

impl Joint {
    /// An end whose shards have no sessions yet, and whose first connection may be tried at once.
    ///
    /// # Panics
    /// The policy `disconnect`.
    pub fn new(config: JointConfig, now: MonotonicNs) -> Self {
        assert_ne!(config.overflow, OverflowPolicy::Disconnect, "a joint would only come back");
        Joint {
            near: Near::new(config.shards),
            inbound: Inbound::default(),
            outbound: Outbound::new(config.overflow, config.bounds),
            connection: Connection::Away,
            connections: 0,
            far_wants: AHashMap::new(),
            met: 0,
            held: Vec::new(),
            words: VecDeque::new(),
            late: Late::default(),
            fenced: 0,
            back_off: BackOff::new(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX, now),
            crossed: Crossed::default(),
            config,
        }
    }

    /// Takes an item from a shard's link.
    pub fn on_link(&mut self, from: ShardId, item: LinkItem) {
        let is_away = self.connection == Connection::Away;
        match self.near.on_link(from, item) {
            // A new connection begins with all filters.
            Some(Word::Interest { filter, wanted }) if !is_away => {
                self.late.add(&filter, wanted, Filter::clone);
            }
            Some(Word::Batch { batch, publisher }) => {
                let offered = self.outbound.offer(&batch, is_away);
                self.crossed.dropped += offered.dropped;
                self.crossed.unroutable += offered.unroutable;
                if offered.is_over && !self.held.contains(&(from, publisher)) {
                    self.held.push((from, publisher));
                    self.near.hold((from, publisher), true);
                }
            }
            // Nothing is stored at the far end, and nobody was promised that it would be.
            Some(Word::AwaitStored { publisher, .. }) => self.near.hold((from, publisher), false),
            // A joint has no words for counts, nor for direct publishers.
            Some(Word::Watch { watch, .. }) => self.near.say(from, LinkItem::Count { watch, count: 0 }),
            Some(
                Word::Doubted
                | Word::Interest { .. }
                | Word::Unwatch { .. }
                | Word::Count { .. }
                | Word::Registry { .. },
            )
            | None => {}
        }
        if is_away {
            self.near.far_saw(self.near.changes());
        }
        self.go_on();
        self.tell_owed();
    }

    /// Begins a connection to the far end.
    pub fn on_connected(&mut self) {
        self.connection = Connection::New;
        self.connections += 1;
        self.words.clear();
        let (origin, met, had) = (self.config.origin, self.met, self.inbound.had());
        self.words.push_back(Parcel::Hello { origin, met, had, features: self.config.features });
        for filter in self.near.restate() {
            self.words.push_back(Parcel::Interest { filter: filter.clone(), wanted: true });
        }
        self.words.push_back(Parcel::Restated);
        self.fenced = 0;
        self.outbound.rewind();
    }

    /// Notes that the connection is lost, or could not be made. Returns the time of the next attempt.
    pub fn on_lost(&mut self, now: MonotonicNs) -> MonotonicNs {
        self.connection = Connection::Away;
        self.words.clear();
        self.late = Late::default();
        // Nobody here waits for a far end that is away.
        self.near.far_saw(self.near.changes());
        self.near.forget_fences();
        self.inbound.forget_waiting();
        self.let_go();
        self.back_off.failed(now)
    }

    /// True if the far end is away and it is time to connect to it.
    pub fn wants_connection(&self, now: MonotonicNs) -> bool {
        self.connection == Connection::Away && self.back_off.is_due(now)
    }

    /// Takes the parcel that goes next to the far end, if there is one.
    pub fn next_parcel(&mut self) -> Option<Parcel> {
        if self.connection == Connection::Away {
            return None;
        }
        if self.words.is_empty() {
            let late = self.late.take();
            self.words.extend(late.map(|(filter, wanted)| Parcel::Interest { filter, wanted }));
            let changes = self.near.changes();
            if changes > self.fenced {
                self.fenced = changes;
                self.words.push_back(Parcel::Fence { seq: changes });
            }
        }
        if let Some(word) = self.words.pop_front() {
            return Some(word);
        }
        if self.connection != Connection::Greeted {
            return None;
        }
        let (number, bytes) = self.outbound.next()?;
        if self.outbound.has_room() {
            self.let_go();
        }
        Some(Parcel::Frames { number, bytes })
    }

    /// Takes a parcel of the far end.
    ///
    /// # Errors
    /// A parcel that no end of a joint sends: close the connection.
    pub fn on_parcel(&mut self, parcel: Parcel) -> Result<(), WireError> {
        let taken = self.take(parcel);
        self.tell_owed();
        taken
    }

    fn take(&mut self, parcel: Parcel) -> Result<(), WireError> {
        let unexpected = |text: &str| Err(WireError::new(ErrorCode::Unexpected, text));
        match (self.connection, parcel) {
            (Connection::New, Parcel::Hello { origin, met, had, features }) => {
                return self.greet((origin, met, had), features);
            }
            (Connection::Away | Connection::New, _) => return unexpected("a parcel before the hello"),
            (Connection::Greeted, Parcel::Hello { .. }) => return unexpected("a second hello"),
            (Connection::Greeted, Parcel::Interest { filter, wanted }) => self.far_wants(filter, wanted),
            (Connection::Greeted, Parcel::Restated) => self.forget_unsaid(),
            (Connection::Greeted, Parcel::Fence { seq }) => self.near.far_fence(seq),
            (Connection::Greeted, Parcel::Seen { seq }) => {
                if seq > self.near.changes() {
                    return unexpected("an answer to what was not asked");
                }
                self.near.far_saw(seq);
            }
            (Connection::Greeted, Parcel::Had { number }) => match self.outbound.had(number) {
                Some(messages) => self.crossed.sent += messages,
                None => return unexpected("a confirmation of what has not left"),
            },
            (Connection::Greeted, Parcel::Frames { number, bytes }) => {
                let taken = (self.config.frame_bytes_max, self.config.features);
                let untold = self.inbound.take(number, bytes, taken)?;
                self.crossed.untold = self.crossed.untold.saturating_add(untold);
            }
        }
        self.go_on();
        Ok(())
    }

    /// Hands waiting batches to the shards as far as they have room, and answers fences that are in force.
    fn go_on(&mut self) {
        let mut has_some = false;
        while !self.near.is_backed_up()
            && let Some(batch) = self.inbound.next()
        {
            self.crossed.received += self.near.deliver(batch);
            has_some = true;
        }
        if self.connection != Connection::Greeted {
            return;
        }
        if has_some {
            self.confirm();
        }
        if let Some(seq) = self.near.next_fence() {
            self.words.push_back(Parcel::Seen { seq });
        }
    }

    /// Once the broker stops, tells it what is not confirmed.
    fn tell_owed(&mut self) {
        if self.near.has_ended() {
            self.near.tell_owed(self.outbound.owed());
        }
    }

    fn greet(&mut self, (origin, met, had): (u64, u64, u64), features: Features) -> Result<(), WireError> {
        self.connection = Connection::Greeted;
        self.back_off.succeeded();
        self.crossed.lost += self.inbound.greet(origin == self.met);
        self.met = origin;
        if met == self.config.origin {
            let confirmed = self.outbound.had(had);
            let unexpected = || WireError::new(ErrorCode::Unexpected, "more was had than has left");
            self.crossed.sent += confirmed.ok_or_else(unexpected)?;
        } else {
            self.crossed.lost += self.outbound.abandon();
        }
        self.outbound.greet(features);
        Ok(())
    }

    fn far_wants(&mut self, filter: Filter, wanted: bool) {
        if self.outbound.want(&filter, wanted) {
            self.near.far_wants(&filter, wanted);
        }
        if wanted {
            self.far_wants.insert(filter, self.connections);
        } else {
            self.far_wants.remove(&filter);
        }
    }

    /// Withdraws the filters that were not sent on this connection.
    fn forget_unsaid(&mut self) {
        let connections = self.connections;
        let unsaid = self.far_wants.extract_if(|_, said| *said != connections);
        for (filter, _) in unsaid {
            self.outbound.want(&filter, false);
            self.near.far_wants(&filter, false);
        }
    }

    fn confirm(&mut self) {
        match self.words.back_mut() {
            Some(Parcel::Had { number }) => *number = self.inbound.had(),
            _ => self.words.push_back(Parcel::Had { number: self.inbound.had() }),
        }
    }

    /// Releases the publishers that the full queue held.
    fn let_go(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.near.hold(held, false);
        }
    }

    /// Takes the shards whose links have something to take.
    pub fn take_links(&mut self) -> Vec<ShardId> {
        self.near.take_links()
    }

    /// Takes the next item for a shard's link.
    pub fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.near.link_next(to)
    }

    /// Notes that items have gone to a shard, so that waiting batches may go on.
    pub fn on_link_room(&mut self) {
        self.go_on();
    }

    /// The link had no room for the item that [`Joint::link_next`] gave: it stays first.
    pub fn link_put_back(&mut self, to: ShardId, item: LinkItem) {
        self.near.link_put_back(to, item);
    }

    /// True if nothing waits for any shard.
    pub fn is_idle(&self) -> bool {
        self.near.is_idle()
    }

    /// Memory of the messages that wait for the far end or for its confirmation, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.outbound.held_bytes()
    }

    /// The counts of messages that have crossed, and of those that have not.
    pub fn crossed(&self) -> Crossed {
        self.crossed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_BYTES_MAX_DEFAULT;

    fn joint() -> Joint {
        let config = JointConfig {
            shards: 1,
            origin: 1,
            overflow: OverflowPolicy::default(),
            bounds: QueueBounds::default(),
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            features: Features::OURS,
        };
        Joint::new(config, MonotonicNs(1))
    }

    const HELLO: Parcel = Parcel::Hello { origin: 2, met: 0, had: 0, features: Features::OURS };

    #[test]
    fn an_end_that_breaks_the_rules_is_given_up() {
        let before_hello = [
            Parcel::Restated,
            Parcel::Frames { number: 1, bytes: bytes::Bytes::new() },
            Parcel::Hello { origin: 2, met: 1, had: 1, features: Features::OURS },
        ];
        for bad in before_hello {
            let mut joint = joint();
            joint.on_connected();
            assert!(joint.on_parcel(bad.clone()).is_err(), "{bad:?}");
        }
        let after_hello = [
            HELLO,
            Parcel::Had { number: 1 },
            Parcel::Seen { seq: 2 },
            Parcel::Frames { number: 2, bytes: bytes::Bytes::new() },
        ];
        for bad in after_hello {
            let mut joint = joint();
            joint.on_connected();
            assert_eq!(joint.on_parcel(HELLO), Ok(()));
            assert!(joint.on_parcel(bad.clone()).is_err(), "{bad:?}");
        }
        assert!(joint().on_parcel(HELLO).is_err(), "there is no connection");
    }

    #[test]
    fn tries_are_spread_until_the_far_end_says_hello() {
        let mut joint = joint();
        let start = MonotonicNs(1);
        assert!(joint.wants_connection(start));
        joint.on_connected();
        assert!(!joint.wants_connection(start));
        assert_eq!(joint.on_lost(start), start + RECONNECT_PAUSE_MIN);
        joint.on_connected();
        assert_eq!(joint.on_lost(start), start + 2 * RECONNECT_PAUSE_MIN, "a connection alone is no success");
        assert!(!joint.wants_connection(start + RECONNECT_PAUSE_MIN));
        joint.on_connected();
        assert_eq!(joint.on_parcel(HELLO), Ok(()));
        assert_eq!(joint.on_lost(start), start + RECONNECT_PAUSE_MIN);
    }
}
