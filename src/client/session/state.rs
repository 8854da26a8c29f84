//! A session's logic, without I/O: what was asked and not answered, what must be in force at the broker, what is
//! unsent, and what of it comes back after a lost connection. Only the session's pumps and its users touch it.

use std::cell::Cell;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::announcement::Announcement;
use super::credentials::Credentials;
use super::hearing::Hearing;
use super::leaving::Leaving;
use super::naming::{Departure, Naming};
use super::out::{OutBuffer, messages_in};
use super::paused::PausedStream;
use super::promise::Promise;
use super::refused_topics::RefusedTopics;
use super::registry_feed::{ListSlot, RegistryFeed};
use super::requests::{Asked, Flushed, Requests};
use super::subscriber_counts::SubscriberCounts;
use super::subscribers::{Asking, Subscribers};
use super::tickets::{ToldTickets, rules_of};
use super::unacked::Unacked;
use super::uncovered::Uncovered;
use crate::auth::Secret;
use crate::client::config::ClientConfig;
use crate::client::message::GapReason;
use crate::error::{Error, ErrorCode};
use crate::fanout::OverflowPolicy;
use crate::ids::{PublisherId, RequestId, SubscriberId};
use crate::limits::{FRAME_BYTES_MAX_DEFAULT, FRAME_BYTES_MAX_LIMIT, HEARTBEAT_DEFAULT, WELCOME_BYTES_MAX};
use crate::printable::printable;
use crate::registry::{ModeRules, Registration, lines_to_endpoints, lines_to_filters};
use crate::topic::Filter;
use crate::wire::{Features, Frame};

/// The phase of a client's session.
#[derive(Clone, Debug)]
pub(in crate::client) enum ClientPhase {
    /// Not connected, or not welcomed yet.
    Opening,
    /// Welcomed.
    Open,
    /// It will not be tried again. Kept for everybody who asks.
    Failed(Rc<Error>),
}

/// The terms of the broker's welcome.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Terms {
    pub(in crate::client) frame_bytes_max: usize,
    pub(in crate::client) heartbeat: Duration,
    pub(in crate::client) overflow: OverflowPolicy,
}

pub(in crate::client) struct State {
    pub(super) phase: ClientPhase,
    pub(in crate::client) terms: Terms,
    pub(in crate::client) out: OutBuffer,
    /// The features that the peer has offered on this connection.
    features: Features,
    credentials: Credentials,
    /// Publishes that wait for the session to open.
    held: Vec<u8>,
    /// The last error frame of the broker.
    pub(super) refusal: Option<(ErrorCode, String)>,
    /// The number of connections lost with messages not known to be taken.
    pub(in crate::client) losses: u64,
    pub(super) subscribers: Subscribers,
    uncovered: Uncovered,
    /// The counts of subscribers that publishers wait for.
    counts: SubscriberCounts,
    /// Which topics go direct, by the broker's last word: also while it is away.
    pub(in crate::client) modes: Rc<ModeRules>,
    /// The same, of a broker that has not welcomed us yet.
    next_modes: ModeRules,
    /// The direct publishers that it names.
    pub(in crate::client) naming: Naming,
    pub(in crate::client) tickets: ToldTickets,
    /// The number that this direct publisher gives as its own.
    pub(in crate::client) identity: Option<PublisherId>,
    /// The publisher that it must be. Nothing is asked of any other.
    wanted: Option<PublisherId>,
    /// Somebody else has welcomed us.
    pub(super) is_imposter: bool,
    /// The bound that the peer has overstepped: nothing that it says since is done.
    pub(super) overstep: Option<String>,
    /// The registration of this client's own direct publisher.
    pub(in crate::client) announcement: Option<Announcement>,
    /// Topics that publishers may not publish.
    pub(in crate::client) refused_topics: RefusedTopics,
    requests: Requests,
    unacked: Unacked,
    /// The number and the ticket of the session that was open last.
    previous: (u64, u64),
    hearing: Hearing,
    leaving: Leaving,
    open_since: Option<MonotonicNs>,
}

impl State {
    pub(in crate::client) fn new(now: MonotonicNs) -> Self {
        State {
            phase: ClientPhase::Opening,
            terms: Terms {
                frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
                heartbeat: HEARTBEAT_DEFAULT,
                overflow: OverflowPolicy::default(),
            },
            out: OutBuffer::default(),
            features: Features::NONE,
            credentials: Credentials::default(),
            held: Vec::new(),
            refusal: None,
            losses: 0,
            subscribers: Subscribers::default(),
            uncovered: Uncovered::default(),
            counts: SubscriberCounts::default(),
            modes: Rc::default(),
            next_modes: ModeRules::default(),
            naming: Naming::default(),
            tickets: ToldTickets::default(),
            identity: None,
            wanted: None,
            is_imposter: false,
            overstep: None,
            announcement: None,
            refused_topics: RefusedTopics::default(),
            requests: Requests::default(),
            unacked: Unacked::new(now),
            previous: (0, 0),
            hearing: Hearing::new(now),
            leaving: Leaving::default(),
            open_since: None,
        }
    }

    /// `Err` once the session has failed for good.
    pub(in crate::client) fn alive(&self) -> Result<(), Error> {
        match &self.phase {
            ClientPhase::Failed(error) => Err(error.repeated()),
            _ => Ok(()),
        }
    }

    /// Since when it is open.
    pub(super) fn open_since(&self) -> Option<MonotonicNs> {
        self.open_since.filter(|_| self.is_served())
    }

    pub(in crate::client) fn is_open(&self) -> bool {
        matches!(self.phase, ClientPhase::Open)
    }

    /// True while the broker serves it: it is open, or leaves.
    pub(super) fn is_served(&self) -> bool {
        self.is_open() || self.leaving.is_begun()
    }

    /// Longest body of a frame that is taken from the peer now: nobody has asked for more than a welcome before that.
    pub(super) fn frame_bytes_max_of_peer(&self) -> usize {
        if !self.is_served() {
            return WELCOME_BYTES_MAX;
        }
        self.terms.frame_bytes_max.clamp(WELCOME_BYTES_MAX, FRAME_BYTES_MAX_LIMIT)
    }

    /// Bytes that wait to be sent, now or when the session opens.
    pub(super) fn backlog(&self) -> usize {
        self.out.unsent_bytes() + self.held.len()
    }

    /// Messages that have not left.
    pub(super) fn unsent_messages(&mut self) -> usize {
        messages_in(self.out.unsent_frames()) + messages_in(&self.held)
    }

    /// Something has come.
    pub(super) fn on_received(&mut self, now: MonotonicNs) {
        self.hearing.on_received(now);
    }

    /// The time from which the silence of the peer counts.
    pub(super) fn last_heard(&self) -> MonotonicNs {
        self.hearing.last_heard()
    }

    /// A connection stands: what to say first.
    pub(super) fn on_connected(&mut self, config: &ClientConfig, login: Option<Secret>, now: MonotonicNs) {
        self.refusal = None;
        self.features = Features::NONE;
        self.identity = None;
        self.is_imposter = false;
        self.overstep = None;
        self.naming.on_connected();
        self.tickets.on_connected();
        self.leaving.begin_anew();
        self.next_modes = ModeRules::default();
        self.hearing.on_connected(now);
        self.out.push_greeting();
        if !self.credentials.on_connected(login) {
            self.out.push(&config.hello(self.previous));
        }
    }

    /// The peer has greeted, and offers these features.
    pub(super) fn on_greeted(&mut self, config: &ClientConfig, features: Features) {
        self.features = features;
        if let Err(why) = self.subscribers.on_greeted(config, features) {
            self.overstep = Some(why);
            return;
        }
        match self.credentials.show(features, &mut self.out) {
            Ok(true) => self.out.push(&config.hello(self.previous)),
            Ok(false) => {}
            Err(why) => self.overstep = Some(why),
        }
    }

    /// The broker's welcome: asks again for all that must be in force, then goes on with what was held.
    fn on_welcome(&mut self, terms: Terms, epoch: u64) {
        self.terms = terms;
        self.phase = ClientPhase::Open;
        if self.features.has(Features::RUNS) {
            self.out.gather_runs(terms.frame_bytes_max);
        }
        let now = self.hearing.last_heard();
        self.open_since = Some(now);
        self.tickets.on_welcome(epoch);
        if self.features.has(Features::TICKETS) {
            self.credentials.show_ticket(&mut self.out);
        }
        let (modes, before) = (mem::take(&mut self.next_modes), Rc::clone(&self.modes));
        if *self.modes != modes {
            self.modes = Rc::new(modes);
        }
        self.uncovered.clear();
        let may_miss = !self.leaving.on_welcome(epoch);
        let (subscribers, mut asking) = self.asking();
        subscribers.ask_again(&before, &mut asking, now, may_miss);
        self.counts.ask_again(&mut self.out);
        if let Some(announcement) = &mut self.announcement {
            announcement.on_lease_lost();
        }
        self.announce();
        self.watch_registry();
        for topic in self.unacked.tell() {
            self.out.push(&Frame::Gap { topic, missed: 0, reason: GapReason::WIRE_PUBLISHER });
        }
        let held = mem::take(&mut self.held);
        let held = Bytes::from(held);
        for (_, frame) in crate::wire::splitter::frames(&held) {
            if let Some(topic) = frame.message_topic() {
                self.unacked.add(&Bytes::copy_from_slice(topic));
            }
        }
        self.out.push_publishes(&held);
    }

    /// The connection is gone. Flushes under way are lost; everything else is asked again after the next welcome.
    pub(super) fn on_disconnected(&mut self) {
        let mut kept = self.out.take_unsent_publishes();
        kept.append(&mut self.held);
        self.held = kept;
        if self.leaving.is_confirmed() {
            self.unacked.on_all_taken();
        }
        if self.unacked.on_disconnected() {
            self.losses += 1;
        }
        self.requests.on_disconnected();
        self.leaving.begin_anew();
        self.subscribers.on_disconnected(self.hearing.received_at());
        if !matches!(self.phase, ClientPhase::Failed(..)) {
            self.phase = ClientPhase::Opening;
        }
    }

    /// The subscribers, and the means to ask for what they want.
    fn asking(&mut self) -> (&mut Subscribers, Asking<'_>) {
        let State { subscribers, out, requests, modes, .. } = self;
        (subscribers, Asking { out, requests, modes })
    }

    /// A new subscriber.
    pub(in crate::client) fn subscribe(&mut self, filters: &[Filter], now: MonotonicNs) -> SubscriberId {
        let id = self.subscribers.next_id();
        self.subscribe_as(id, &filters.into(), Promise::new(now));
        id
    }

    /// Subscribes under an id that another session of this client has given.
    pub(super) fn subscribe_as(&mut self, id: SubscriberId, filters: &Rc<[Filter]>, promise: Promise) {
        let is_open = self.is_open();
        let (subscribers, asking) = self.asking();
        subscribers.add(id, filters, promise, is_open.then_some(asking));
    }

    /// Goes on with the stream of that publisher where another connection has ended.
    pub(super) fn resume(&mut self, publisher: PublisherId, previous: (u64, u64), lost_by: GapReason) {
        self.wanted = Some(publisher);
        self.previous = previous;
        self.subscribers.resume(lost_by);
    }

    /// There is a ticket, or another, to the direct publisher that is wanted.
    pub(super) fn set_ticket(&mut self, ticket: &Rc<[u8]>) {
        let Some(publisher) = self.wanted else { return };
        let shows = self.is_open() && self.features.has(Features::TICKETS);
        self.credentials.set_ticket(publisher, Rc::clone(ticket), shows.then_some(&mut self.out));
    }

    /// As [`Subscribers::release`].
    pub(super) fn release(&mut self, id: SubscriberId) {
        let is_open = self.is_open();
        self.subscribers.release(id, is_open);
    }

    /// As [`Subscribers::mark`].
    pub(super) fn mark(&mut self, id: SubscriberId) {
        if self.is_open() {
            let (subscribers, asking) = self.asking();
            subscribers.mark(id, asking);
        }
    }

    /// The part of it that its next connection goes on with.
    pub(super) fn paused(&self) -> PausedStream {
        let subscribers = self.subscribers.promises();
        PausedStream { subscribers, previous: self.previous, lost_by: self.subscribers.gap_reason() }
    }

    /// A subscriber leaves.
    pub(super) fn unsubscribe(&mut self, id: SubscriberId) {
        self.uncovered.forget(id);
        let is_open = self.is_open();
        let (subscribers, asking) = self.asking();
        subscribers.remove(id, is_open.then_some(asking));
    }

    /// True if all of a subscriber's filters are in force on every shard, or will be at the end of the history that has begun.
    pub(in crate::client) fn is_in_force(&self, id: SubscriberId) -> bool {
        self.is_open() && self.subscribers.has_begun(id)
    }

    /// As [`Subscribers::promise`].
    pub(super) fn promise(&mut self, id: SubscriberId) {
        let is_open = self.is_open();
        self.subscribers.promise(id, is_open);
    }

    /// As [`Subscribers::promise_overdue`].
    pub(super) fn promise_overdue(&mut self, now: MonotonicNs, after: Duration) -> Option<MonotonicNs> {
        let is_open = self.is_open();
        self.subscribers.promise_overdue(now, after, is_open)
    }

    /// It is not tried again.
    pub(super) fn fail(&mut self, error: &Error) {
        self.phase = ClientPhase::Failed(Rc::new(error.repeated()));
    }

    /// A frame that is meant for this end.
    pub(super) fn on_control(&mut self, frame: Frame<'_>) {
        match frame {
            _ if self.overstep.is_some() => {}
            Frame::Welcome { .. } if self.is_served() => {
                self.overstep = Some("welcomed a session that is open".to_owned());
            }
            Frame::Welcome { .. } if self.wanted.is_some() && self.identity != self.wanted => {
                self.is_imposter = true;
            }
            Frame::Welcome { session, epoch, ticket, frame_bytes_max, heartbeat_ms, overflow } => {
                self.previous = (session, ticket);
                self.subscribers.on_broker(epoch, self.features);
                let terms = Terms {
                    frame_bytes_max: frame_bytes_max as usize,
                    heartbeat: Duration::from_millis(u64::from(heartbeat_ms)),
                    overflow: OverflowPolicy::from_wire(overflow).unwrap_or_default(),
                };
                self.on_welcome(terms, epoch);
                if self.naming.on_welcome(epoch) {
                    self.subscribers.on_stranger_gone();
                }
            }
            Frame::Done { request } => self.on_done(RequestId(request)),
            Frame::Error { text, code, request: 0 } => {
                self.refusal = Some((ErrorCode::from_number(code), printable(text).to_string()));
            }
            Frame::Error { text, code, request } => {
                self.on_request_refused(RequestId(request), ErrorCode::from_number(code), text);
            }
            Frame::SubscriberCount { request, count } => {
                self.counts.on_count(RequestId(request), count);
            }
            Frame::Unsubscribe { filter, subscriber, kind, .. } => {
                self.on_ended((kind, filter), SubscriberId(subscriber));
            }
            Frame::PublishRefused { topic, text, publisher, .. } => {
                let (publisher, text) = (PublisherId(publisher), printable(text).to_string());
                self.refused_topics.add(publisher, topic, text, self.hearing.last_heard());
            }
            Frame::Ping { token } => self.out.push(&Frame::Pong { token }),
            Frame::Pong { token } => {
                self.subscribers.on_pong(MonotonicNs(token), self.hearing.received_at());
            }
            drain @ Frame::Drain { .. } => self.on_drain(drain),
            other => self.on_registry_frame(other),
        }
    }

    fn on_registry_frame(&mut self, frame: Frame<'_>) {
        match frame {
            // Rules that cannot be read are those of a later version: to this one all is proxied.
            Frame::Modes { rules } => {
                let rules = ModeRules::from_text(rules);
                self.naming.on_rules(!rules.as_ref().is_ok_and(ModeRules::is_all_proxy));
                self.next_modes = rules.unwrap_or_default();
            }
            Frame::Identity { publisher } => self.identity = Some(PublisherId(publisher)),
            Frame::Registered { request, lease_ms } => {
                self.requests.take(RequestId(request));
                if let Some(announcement) = &mut self.announcement {
                    announcement.on_registered(request, Duration::from_millis(u64::from(lease_ms)));
                }
            }
            Frame::PublisherUp { endpoints, topics, publisher, epoch, lease_left_ms } => {
                let read = (lines_to_endpoints(endpoints), lines_to_filters(topics));
                let (Some(endpoints), Some(topics)) = read else { return };
                let registration =
                    Registration { publisher: PublisherId(publisher), epoch, endpoints, topics };
                let lease_left = (lease_left_ms > 0).then(|| Duration::from_millis(lease_left_ms.into()));
                if let Err(why) = self.naming.on_up(registration, lease_left) {
                    self.overstep = Some(format!("named a publisher that it may not: {why}"));
                }
            }
            Frame::Ticket { ticket, publisher } => {
                let given = self.tickets.on_given(PublisherId(publisher), ticket);
                given.unwrap_or_else(|why| self.overstep = Some(why));
            }
            Frame::TicketRules { key, epoch, now_ms } => {
                let rules = rules_of(key, epoch, now_ms, self.hearing.received_at());
                if let Some(rules) = rules {
                    self.tickets.on_rules(rules, self.is_open());
                }
            }
            Frame::PublisherDown { publisher, epoch, reason } => {
                self.tickets.forget(PublisherId(publisher));
                match self.naming.on_down(PublisherId(publisher), epoch, reason) {
                    Departure::Known => {}
                    Departure::Stranger => self.subscribers.on_stranger_gone(),
                    Departure::Forgotten(ago) => self.on_leavers_forgotten(ago),
                }
            }
            _ => {}
        }
    }

    /// The broker says that publishers may have come and gone of which it cannot tell, the last of them so long ago. A
    /// heartbeat is allowed for the word of them that was under way when the connection was lost.
    fn on_leavers_forgotten(&mut self, ago: Duration) {
        let away_at_most = ago.saturating_sub(self.terms.heartbeat);
        self.subscribers.on_leavers_forgotten(self.hearing.received_at(), away_at_most);
    }

    /// Says what the announcement has to say now.
    pub(in crate::client) fn announce(&mut self) {
        if !self.is_open() {
            return;
        }
        let Some(mut announcement) = self.announcement.take() else { return };
        if announcement.wants_to_register() {
            let request = self.requests.next(Asked::Announce).0;
            announcement.register(request, &mut self.out);
        }
        self.announcement = Some(announcement);
    }

    fn on_done(&mut self, request: RequestId) {
        match self.requests.take(request) {
            Some(Asked::Subscribe(id, at)) => {
                at.into_iter().for_each(|at| self.uncovered.cover((id, at)));
                self.subscribers.on_subscribed(id);
            }
            Some(Asked::Start(id)) => self.subscribers.on_history(id),
            Some(Asked::Flush(flushed)) => flushed.set(Some(Flushed::Done)),
            Some(Asked::Ack) => self.unacked.on_ack(),
            Some(Asked::Registry) => self.naming.feed().into_iter().for_each(RegistryFeed::on_watched),
            Some(Asked::List(slot)) => *slot.borrow_mut() = Some(self.naming.on_listed()),
            Some(Asked::Announce) | None => {}
        }
    }

    /// Watches the number of a topic's subscribers.
    pub(in crate::client) fn watch(&mut self, topic: Bytes) -> RequestId {
        // Counts come unasked from now on: nothing is answered with `Done`.
        let request = self.requests.next_id();
        let is_open = self.is_open();
        self.counts.add(request, topic, is_open.then_some(&mut self.out));
        request
    }

    /// The number of subscribers, once it has come.
    pub(in crate::client) fn watched(&self, request: RequestId) -> Option<u32> {
        self.counts.get(request)
    }

    /// Ends a watch.
    pub(in crate::client) fn unwatch(&mut self, request: RequestId) {
        let is_open = self.is_open();
        self.counts.remove(request, is_open.then_some(&mut self.out));
    }

    /// The session has just opened: asks for everybody, and for each change from then on.
    fn watch_registry(&mut self) {
        let Some(feed) = self.naming.feed() else { return };
        feed.on_open();
        let all = Filter::parse(">").expect("`>` is a filter");
        let request = self.requests.next(Asked::Registry).0;
        let kind = all.wire_kind();
        self.out.push(&Frame::WatchPublishers { filter: all.as_bytes(), request, kind });
    }

    /// Asks for everybody who is registered. `None`: not open now.
    pub(in crate::client) fn list_publishers(&mut self) -> Option<ListSlot> {
        if !self.is_open() {
            return None;
        }
        let slot = ListSlot::default();
        let request = self.requests.next(Asked::List(Rc::clone(&slot))).0;
        self.out.push(&Frame::ListPublishers { request });
        Some(slot)
    }

    /// Queues a message; the caller has seen that there is room and that it is not too long.
    pub(in crate::client) fn publish(&mut self, frame: &Frame<'_>, topic: &Bytes) {
        if self.is_open() {
            // A message that joins others comes after no acknowledgement that was asked for after them.
            if !self.out.publish(frame) {
                self.unacked.add(topic);
            }
        } else {
            crate::wire::encode(frame, &mut self.held);
        }
    }

    /// Asks the broker to say when it has taken all before this. `None`: not open now.
    pub(in crate::client) fn flush(&mut self) -> Option<Rc<Cell<Option<Flushed>>>> {
        if !self.is_open() {
            return None;
        }
        let flushed = Rc::new(Cell::new(None));
        let request = self.requests.next(Asked::Flush(Rc::clone(&flushed))).0;
        self.out.push(&Frame::Flush { request });
        Some(flushed)
    }

    /// A tick: heartbeats and acknowledgements. `true`: the broker was silent for too long, give it up.
    pub(in crate::client) fn on_tick(&mut self, now: MonotonicNs, reading: bool) -> bool {
        if !self.is_served() {
            self.hearing.on_idle_tick(now);
            return false;
        }
        if self.is_open() {
            self.ask_on_tick(now);
        }
        let heartbeat = self.terms.heartbeat;
        if self.hearing.wants_ping(now, !self.out.is_empty(), heartbeat) {
            self.out.push(&Frame::Ping { token: now.0 });
        }
        let is_silent = self.hearing.is_too_silent(now, reading, heartbeat);
        if is_silent {
            self.naming.on_cut_off();
        }
        is_silent
    }

    /// Asks for acknowledgements, and announces what is due.
    fn ask_on_tick(&mut self, now: MonotonicNs) {
        if self.unacked.wants_ack(now) {
            let request = self.requests.next(Asked::Ack).0;
            self.out.push(&Frame::Flush { request });
        }
        if self.announcement.as_mut().is_some_and(|announcement| announcement.tries_again(now)) {
            self.announce();
        }
        if let Some(mut announcement) = self.announcement.take() {
            if announcement.wants_to_renew(now) {
                let request = self.requests.next(Asked::Announce).0;
                announcement.renew(now, request, &mut self.out);
            }
            self.announcement = Some(announcement);
        }
    }
}

mod departing;
mod refusals;
#[cfg(test)]
mod tests;
