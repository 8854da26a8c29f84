//! A session's logic, without I/O: what was asked and not answered, what must be in force at the broker, what is
//! unsent, and what of it comes back after a lost connection. Only the session's pumps and its users touch it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use ahash::AHashSet;
use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::announcement::Announcement;
use super::config::ClientConfig;
use super::message::GapReason;
use super::out::OutBuffer;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::fanout::OverflowPolicy;
use crate::ids::{PublisherId, RequestId, SubscriberId};
use crate::limits::{
    ACK_PERIOD, FRAME_BYTES_MAX_DEFAULT, HEARTBEAT_DEFAULT, HEARTBEATS_MISSED_MAX, UNACKED_TOPICS_MAX,
};
use crate::registry::{Mode, ModeRules, Registration, lines_to_endpoints, lines_to_filters};
use crate::topic::Filter;
use crate::wire::Frame;

/// How far the session has come.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Not connected, or not welcomed yet.
    Opening,
    /// Welcomed.
    Open,
    /// It will not be tried again. Kept as text and kind, for everybody who asks.
    Failed(ErrorKind, String),
}

/// What the broker said in its welcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) frame_bytes_max: usize,
    pub(super) heartbeat: Duration,
    pub(super) overflow: OverflowPolicy,
}

/// A subscriber of this session.
struct Subscribed {
    filters: Vec<Filter>,
    /// Watches of direct publishers.
    watches: Vec<RequestId>,
    /// Subscriptions and watches not yet in force.
    outstanding: usize,
    /// All were in force once: what is missed from now on is told.
    was_in_force: bool,
    back: Back,
}

/// What a subscriber is to be told of a connection that was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Back {
    /// Nothing.
    Told,
    /// A gap before its next event, and when all its subscriptions are in force again.
    Untold,
    /// An event came, and the gap before it; what its other subscriptions miss until they are in force is not told.
    InPart,
}

/// What an unanswered request was for.
enum Asked {
    Subscribe(SubscriberId),
    /// Somebody waits for it: set when it is done, or when the connection is lost.
    Flush(Rc<Cell<Option<Flushed>>>),
    /// The session's own, for its set of unacknowledged topics.
    Ack,
    /// The announcement's: a registration or a renewal.
    Announce,
}

/// How a flush ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flushed {
    Done,
    Lost,
}

/// What the broker says of direct publishers.
pub(super) enum News {
    Up(Registration),
    Down(PublisherId, u64),
}

struct Watched {
    topic: Bytes,
    count: Option<u32>,
}

pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) terms: Terms,
    pub(super) out: OutBuffer,
    /// Publishes that wait for the session to open.
    held: Vec<u8>,
    /// The last error frame of the broker.
    pub(super) refusal: Option<(ErrorCode, String)>,
    /// How often a connection was lost with messages not known to be taken.
    pub(super) losses: u64,
    subscribers: BTreeMap<SubscriberId, Subscribed>,
    /// How many of them have something to be told of a lost connection: mostly none, so that events need one look.
    untold: usize,
    /// Subscribers whose subscriptions are in force again, to be told of the gap now.
    returned: Vec<SubscriberId>,
    watches: BTreeMap<RequestId, Watched>,
    /// Which topics go direct, by the broker's word.
    pub(super) modes: Rc<ModeRules>,
    /// Who this direct publisher is, by its own word.
    pub(super) identity: Option<PublisherId>,
    /// What this client's own direct publisher has to say to the broker.
    pub(super) announcement: Option<Announcement>,
    /// Of direct publishers, not yet acted on.
    news: Vec<News>,
    asked: BTreeMap<RequestId, Asked>,
    next_request: u32,
    next_subscriber: u32,
    /// Topics published since the last acknowledgement that was asked for, and before it.
    unacked: AHashSet<Bytes>,
    unacked_before: AHashSet<Bytes>,
    ack_asked: bool,
    last_ack: MonotonicNs,
    pub(super) last_heard: MonotonicNs,
    /// Since when it is open, by the clock of the last tick.
    open_since: Option<MonotonicNs>,
    last_said: MonotonicNs,
}

impl State {
    pub(super) fn new(now: MonotonicNs) -> Self {
        State {
            phase: Phase::Opening,
            terms: Terms {
                frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
                heartbeat: HEARTBEAT_DEFAULT,
                overflow: OverflowPolicy::default(),
            },
            out: OutBuffer::default(),
            held: Vec::new(),
            refusal: None,
            losses: 0,
            subscribers: BTreeMap::new(),
            untold: 0,
            returned: Vec::new(),
            watches: BTreeMap::new(),
            modes: Rc::default(),
            identity: None,
            announcement: None,
            news: Vec::new(),
            asked: BTreeMap::new(),
            next_request: 1,
            next_subscriber: 1,
            unacked: AHashSet::new(),
            unacked_before: AHashSet::new(),
            ack_asked: false,
            last_ack: now,
            last_heard: now,
            open_since: None,
            last_said: now,
        }
    }

    /// `Err` once the session has failed for good.
    pub(super) fn alive(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Failed(kind, text) => Err(Error::new(*kind, text.clone())),
            _ => Ok(()),
        }
    }

    /// Since when it is open.
    pub(super) fn open_since(&self) -> Option<MonotonicNs> {
        self.open_since.filter(|_| self.is_open())
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Bytes that wait to be sent, now or when the session opens.
    pub(super) fn backlog(&self) -> usize {
        self.out.unsent().len() + self.held.len()
    }

    /// A connection stands: what to say first.
    pub(super) fn on_connected(&mut self, config: &ClientConfig, now: MonotonicNs) {
        self.refusal = None;
        self.identity = None;
        self.modes = Rc::default();
        self.last_heard = now;
        self.last_said = now;
        self.out.push_greeting();
        let overflow = config.overflow.map_or(0, OverflowPolicy::to_wire);
        self.out.push(&Frame::Hello { name: &config.name, overflow });
    }

    /// The broker's welcome: asks again for all that must be in force, then goes on with what was held.
    fn on_welcome(&mut self, terms: Terms) {
        self.terms = terms;
        self.phase = Phase::Open;
        self.open_since = Some(self.last_heard);
        let modes = Rc::clone(&self.modes);
        let proxied = |s: &Subscribed| s.filters.iter().any(|filter| modes.may_have(Mode::Proxy, filter));
        for subscribed in self.subscribers.values_mut().filter(|s| s.was_in_force && proxied(s)) {
            subscribed.back = Back::Untold;
        }
        self.untold = self.subscribers.values().filter(|s| s.back != Back::Told).count();
        for id in self.subscribers.keys().copied().collect::<Vec<_>>() {
            self.ask_subscriptions(id);
        }
        for (request, watched) in &mut self.watches {
            watched.count = None;
            self.out.push(&Frame::WatchSubscribers { topic: &watched.topic, request: request.0 });
        }
        if let Some(announcement) = &mut self.announcement {
            announcement.on_lease_lost();
        }
        self.announce();
        let lost = self.unacked.iter().chain(&self.unacked_before);
        for topic in lost {
            self.out.push(&Frame::Gap { topic, missed: 0, reason: GapReason::WIRE_PUBLISHER });
        }
        self.unacked_before.clear();
        self.unacked.clear();
        let held = mem::take(&mut self.held);
        for (_, frame) in crate::wire::splitter::frames(&Bytes::copy_from_slice(&held)) {
            if let Frame::Message { topic, .. } | Frame::Parts { topic, .. } = frame {
                self.unacked.insert(Bytes::copy_from_slice(topic));
            }
        }
        self.out.push_frames(&held);
    }

    /// The connection is gone. Flushes under way are lost; everything else is asked again after the next welcome.
    pub(super) fn on_disconnected(&mut self) {
        let mut kept = self.out.take_unsent_publishes();
        kept.append(&mut self.held);
        self.held = kept;
        self.ack_asked = false;
        if !self.unacked.is_empty() || !self.unacked_before.is_empty() {
            self.losses += 1;
        }
        for (_, asked) in mem::take(&mut self.asked) {
            if let Asked::Flush(flushed) = asked {
                flushed.set(Some(Flushed::Lost));
            }
        }
        if !matches!(self.phase, Phase::Failed(..)) {
            self.phase = Phase::Opening;
        }
    }

    /// It is not tried again.
    pub(super) fn fail(&mut self, error: &Error) {
        self.phase = Phase::Failed(error.kind(), error.to_string());
    }

    /// A frame that is meant for this end.
    pub(super) fn on_control(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Welcome { frame_bytes_max, heartbeat_ms, overflow, .. } => self.on_welcome(Terms {
                frame_bytes_max: frame_bytes_max as usize,
                heartbeat: Duration::from_millis(u64::from(heartbeat_ms)),
                overflow: OverflowPolicy::from_wire(overflow).unwrap_or_default(),
            }),
            Frame::Done { request } => self.on_done(RequestId(request)),
            Frame::Error { text, code, request: 0 } => {
                self.refusal = Some((ErrorCode::from_number(code), text.to_owned()));
            }
            Frame::Error { text, code, request } => {
                self.on_request_refused(RequestId(request), ErrorCode::from_number(code), text);
            }
            Frame::SubscriberCount { request, count } => {
                if let Some(watched) = self.watches.get_mut(&RequestId(request)) {
                    watched.count = Some(count);
                }
            }
            Frame::Ping { token } => self.out.push(&Frame::Pong { token }),
            other => self.on_registry_frame(other),
        }
    }

    fn on_registry_frame(&mut self, frame: Frame<'_>) {
        match frame {
            // Rules that cannot be read are those of a later version: to this one all is proxied.
            Frame::Modes { rules } => self.modes = Rc::new(ModeRules::from_text(rules).unwrap_or_default()),
            Frame::Identity { publisher } => self.identity = Some(PublisherId(publisher)),
            Frame::Registered { request, lease_ms } => {
                self.asked.remove(&RequestId(request));
                if let Some(announcement) = &mut self.announcement {
                    announcement.on_registered(request, Duration::from_millis(u64::from(lease_ms)));
                }
            }
            Frame::PublisherUp { endpoints, topics, publisher, epoch, .. } => {
                let read = (lines_to_endpoints(endpoints), lines_to_filters(topics));
                if let (Some(endpoints), Some(topics)) = read {
                    let publisher = PublisherId(publisher);
                    self.news.push(News::Up(Registration { publisher, epoch, endpoints, topics }));
                }
            }
            Frame::PublisherDown { publisher, epoch, .. } => {
                self.news.push(News::Down(PublisherId(publisher), epoch));
            }
            _ => {}
        }
    }

    /// What is to be acted on now.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        mem::take(&mut self.news)
    }

    fn on_request_refused(&mut self, request: RequestId, code: ErrorCode, text: &str) {
        if let Some(Asked::Announce) = self.asked.remove(&request)
            && let Some(announcement) = &mut self.announcement
        {
            announcement.on_refused(code, text);
            self.announce();
        }
    }

    /// Says what the announcement has to say now.
    pub(super) fn announce(&mut self) {
        if !self.is_open() {
            return;
        }
        let Some(mut announcement) = self.announcement.take() else { return };
        if announcement.wants_to_register() {
            let request = self.next_request(Asked::Announce).0;
            announcement.register(request, &mut self.out);
        }
        self.announcement = Some(announcement);
    }

    /// Whether some subscriber is still to be told of a lost connection.
    pub(super) fn has_untold(&self) -> bool {
        self.untold > 0
    }

    /// Whether this subscriber is to be told of a gap before the event that has come for it.
    pub(super) fn tell_before_event(&mut self, id: SubscriberId) -> bool {
        match self.subscribers.get_mut(&id) {
            Some(subscribed) if subscribed.back == Back::Untold => {
                subscribed.back = Back::InPart;
                true
            }
            _ => false,
        }
    }

    /// A subscriber whose subscriptions are all in force again, and who is to be told of the gap now.
    pub(super) fn pop_returned(&mut self) -> Option<SubscriberId> {
        self.returned.pop()
    }

    fn on_done(&mut self, request: RequestId) {
        match self.asked.remove(&request) {
            Some(Asked::Subscribe(id)) => {
                if let Some(subscribed) = self.subscribers.get_mut(&id) {
                    subscribed.outstanding = subscribed.outstanding.saturating_sub(1);
                    if subscribed.outstanding == 0 {
                        subscribed.was_in_force = true;
                        if mem::replace(&mut subscribed.back, Back::Told) != Back::Told {
                            self.untold -= 1;
                            self.returned.push(id);
                        }
                    }
                }
            }
            Some(Asked::Flush(flushed)) => flushed.set(Some(Flushed::Done)),
            Some(Asked::Ack) => {
                self.ack_asked = false;
                self.unacked_before.clear();
            }
            Some(Asked::Announce) | None => {}
        }
    }

    fn next_request(&mut self, asked: Asked) -> RequestId {
        let id = RequestId(self.next_request);
        // 0 means the session itself in an error frame; a number comes again after four billion.
        self.next_request = self.next_request.wrapping_add(1).max(1);
        self.asked.insert(id, asked);
        id
    }

    pub(super) fn subscribe(&mut self, filters: &[Filter]) -> SubscriberId {
        let id = SubscriberId(self.next_subscriber);
        self.next_subscriber = self.next_subscriber.wrapping_add(1);
        self.subscribe_as(id, filters);
        id
    }

    /// Subscribes under an id that another session of this client has given.
    pub(super) fn subscribe_as(&mut self, id: SubscriberId, filters: &[Filter]) {
        let subscribed = Subscribed {
            filters: filters.to_vec(),
            watches: Vec::new(),
            outstanding: filters.len(),
            was_in_force: false,
            back: Back::Told,
        };
        self.subscribers.insert(id, subscribed);
        if self.is_open() {
            self.ask_subscriptions(id);
        }
    }

    /// Whether this subscriber is one of this session.
    pub(super) fn has_subscriber(&self, id: SubscriberId) -> bool {
        self.subscribers.contains_key(&id)
    }

    /// Every subscriber with its filters.
    pub(super) fn subscribers(&self) -> impl Iterator<Item = (SubscriberId, &[Filter])> {
        self.subscribers.iter().map(|(id, subscribed)| (*id, &subscribed.filters[..]))
    }

    fn ask_subscriptions(&mut self, id: SubscriberId) {
        let Some(subscribed) = self.subscribers.get_mut(&id) else { return };
        let filters = subscribed.filters.clone();
        subscribed.outstanding = filters.len();
        for filter in &filters {
            let request = self.next_request(Asked::Subscribe(id)).0;
            let kind = filter.wire_kind();
            self.out.push(&Frame::Subscribe { filter: filter.as_bytes(), request, subscriber: id.0, kind });
        }
        self.ask_publishers(id, &filters);
    }

    /// Asks to hear of the direct publishers of these filters.
    fn ask_publishers(&mut self, id: SubscriberId, filters: &[Filter]) {
        let modes = Rc::clone(&self.modes);
        let mut watches = Vec::new();
        for filter in filters.iter().filter(|filter| modes.may_have(Mode::Direct, filter)) {
            let request = self.next_request(Asked::Subscribe(id));
            let kind = filter.wire_kind();
            self.out.push(&Frame::WatchPublishers { filter: filter.as_bytes(), request: request.0, kind });
            watches.push(request);
        }
        if let Some(subscribed) = self.subscribers.get_mut(&id) {
            subscribed.outstanding += watches.len();
            subscribed.watches = watches;
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriberId) {
        let Some(subscribed) = self.subscribers.remove(&id) else { return };
        self.untold -= usize::from(subscribed.back != Back::Told);
        if !self.is_open() {
            return;
        }
        for watch in &subscribed.watches {
            self.out.push(&Frame::UnwatchPublishers { request: watch.0 });
        }
        for filter in &subscribed.filters {
            let kind = filter.wire_kind();
            self.out.push(&Frame::Unsubscribe {
                filter: filter.as_bytes(),
                request: 0,
                subscriber: id.0,
                kind,
            });
        }
    }

    /// Whether all of a subscriber's filters are in force on every shard.
    pub(super) fn is_in_force(&self, id: SubscriberId) -> bool {
        self.is_open() && self.subscribers.get(&id).is_some_and(|s| s.outstanding == 0)
    }

    pub(super) fn watch(&mut self, topic: Bytes) -> RequestId {
        let request = self.next_request(Asked::Ack);
        // Counts come unasked from now on: nothing is answered with `Done`.
        self.asked.remove(&request);
        if self.is_open() {
            self.out.push(&Frame::WatchSubscribers { topic: &topic, request: request.0 });
        }
        self.watches.insert(request, Watched { topic, count: None });
        request
    }

    pub(super) fn watched(&self, request: RequestId) -> Option<u32> {
        self.watches.get(&request)?.count
    }

    pub(super) fn unwatch(&mut self, request: RequestId) {
        if self.watches.remove(&request).is_some() && self.is_open() {
            self.out.push(&Frame::UnwatchSubscribers { request: request.0 });
        }
    }

    /// Queues a message; the caller has seen that there is room and that it is not too long.
    pub(super) fn publish(&mut self, frame: &Frame<'_>, topic: &Bytes) {
        if self.is_open() {
            if !self.unacked.contains(topic) {
                self.unacked.insert(topic.clone());
            }
            self.out.push(frame);
        } else {
            crate::wire::encode(frame, &mut self.held);
        }
    }

    /// Asks the broker to say when it has taken all before this. `None`: not open now.
    pub(super) fn flush(&mut self) -> Option<Rc<Cell<Option<Flushed>>>> {
        if !self.is_open() {
            return None;
        }
        let flushed = Rc::new(Cell::new(None));
        let request = self.next_request(Asked::Flush(Rc::clone(&flushed))).0;
        self.out.push(&Frame::Flush { request });
        Some(flushed)
    }

    /// A tick: heartbeats and acknowledgements. `true`: the broker was silent for too long, give it up.
    pub(super) fn on_tick(&mut self, now: MonotonicNs, reading: bool) -> bool {
        if !self.is_open() {
            return false;
        }
        let full = self.unacked.len() >= UNACKED_TOPICS_MAX;
        let due = now.saturating_since(self.last_ack) >= ACK_PERIOD || full;
        if due && !self.ack_asked && !self.unacked.is_empty() {
            self.last_ack = now;
            self.ack_asked = true;
            self.unacked_before = mem::take(&mut self.unacked);
            let request = self.next_request(Asked::Ack).0;
            self.out.push(&Frame::Flush { request });
        }
        if let Some(mut announcement) = self.announcement.take() {
            if announcement.wants_to_renew(now) {
                let request = self.next_request(Asked::Announce).0;
                announcement.renew(now, request, &mut self.out);
            }
            self.announcement = Some(announcement);
        }
        if !self.out.unsent().is_empty() {
            self.last_said = now;
        }
        if now.saturating_since(self.last_said) >= self.terms.heartbeat {
            self.last_said = now;
            self.out.push(&Frame::Ping { token: now.0 });
        }
        if !reading {
            self.last_heard = now;
        }
        now.saturating_since(self.last_heard) > self.terms.heartbeat * HEARTBEATS_MISSED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::splitter;

    const WELCOME: Frame<'static> =
        Frame::Welcome { session: 1, epoch: 1, frame_bytes_max: 1 << 20, heartbeat_ms: 15_000, overflow: 1 };

    /// A state that has said hello and was welcomed.
    fn open(mut state: State) -> State {
        state.on_connected(&ClientConfig::new(crate::Endpoint::default()), MonotonicNs(1));
        state.out.sent(state.out.unsent().len());
        state.on_control(WELCOME);
        state
    }

    /// The requests that are unsent, which leave with this.
    fn requests(state: &mut State) -> Vec<u32> {
        let unsent = Bytes::copy_from_slice(state.out.unsent());
        state.out.sent(unsent.len());
        let requests = splitter::frames(&unsent).filter_map(|(_, frame)| match frame {
            Frame::Subscribe { request, .. } => Some(request),
            _ => None,
        });
        requests.collect()
    }

    #[test]
    fn a_lost_connection_is_told_when_all_is_in_force_again_and_before_what_comes_earlier() {
        let filters = ["a", "b"].map(|text| Filter::parse(text).expect(text));
        let mut state = open(State::new(MonotonicNs(1)));
        let id = state.subscribe(&filters);
        for request in requests(&mut state) {
            state.on_control(Frame::Done { request });
        }
        assert!(state.is_in_force(id) && !state.has_untold());
        assert_eq!(state.pop_returned(), None, "it was never away");

        state.on_disconnected();
        let mut state = open(state);
        let late = state.subscribe(&filters[..1]);
        assert!(state.tell_before_event(id) && !state.tell_before_event(id));
        assert!(!state.tell_before_event(late), "it misses nothing that it was promised");
        let requests = requests(&mut state);
        assert_eq!(requests.len(), 3);
        state.on_control(Frame::Done { request: requests[0] });
        assert_eq!(state.pop_returned(), None, "the other subscription may still miss messages");
        state.on_control(Frame::Done { request: requests[1] });
        assert_eq!((state.pop_returned(), state.pop_returned()), (Some(id), None));
        state.on_control(Frame::Done { request: requests[2] });
        assert_eq!(state.pop_returned(), None);
        assert!(!state.has_untold() && state.is_in_force(late));
    }
}
