//! Direct publishers for ZeroMQ subscribers, who cannot be introduced to them: the shard connects to each publisher
//! that one of its own ZeroMQ sessions wants to hear, subscribes there as if it were they, and hands what comes to
//! them alone. Native subscribers hear the publisher themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::kind::Kind;
use super::outbox::Dial;
use super::session::{Phase, Session};
use super::state::Shard;
use crate::error::ErrorCode;
use crate::ids::{PublisherId, SessionId};
use crate::limits::RELAY_PAUSE;
use crate::registry::Registration;
use crate::topic::Filter;
use crate::wire::{Frame, encode, greeting};

/// What publishers see as its name.
const NAME: &str = "corecast broker, for its ZeroMQ subscribers";

/// Where a relay's connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// There is none; it is tried then.
    Waits(MonotonicNs),
    /// It is being made.
    Dialled,
    /// It is there.
    Connected(SessionId),
}

/// The way from one direct publisher to the ZeroMQ subscribers of this shard.
#[derive(Debug)]
struct Relay {
    registration: Arc<Registration>,
    stage: Stage,
    /// The registry knows of it no more: it ends with its connection.
    is_gone: bool,
}

/// All relays of a shard.
#[derive(Default, Debug)]
pub(super) struct Relays {
    relays: BTreeMap<PublisherId, Relay>,
}

impl Shard {
    /// A ZeroMQ session of this shard asks for a filter (`wanted`), or takes that back.
    pub(super) fn relay_subscription(&mut self, id: SessionId, filter: &Filter, wanted: bool) {
        let mut told = Vec::new();
        encode_subscription(id, filter, wanted, &mut told);
        let told = Bytes::from(told);
        let (publishers, work) = self.publishers.directory.overlapping(filter);
        self.turn.spend(work + publishers.len());
        for publisher in publishers {
            let Some(registration) = self.publishers.directory.get(publisher).cloned() else { continue };
            match self.relays.relays.get(&registration.publisher).map(|relay| relay.stage) {
                Some(Stage::Connected(relay)) => self.tell_relay(relay, told.clone(), 1),
                None if wanted => self.begin_relay(registration),
                _ => {}
            }
        }
    }

    /// A ZeroMQ session leaves, and with it all that it asked direct publishers for.
    pub(super) fn leave_relays(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id) else { return };
        if !session.kind.is_zmtp() || self.relays.relays.is_empty() {
            return;
        }
        let filters: Vec<Filter> = session.subscriptions.filters().cloned().collect();
        for filter in filters {
            self.relay_subscription(id, &filter, false);
        }
    }

    /// A direct publisher is there, or has changed.
    pub(super) fn relay_on_up(&mut self, registration: &Arc<Registration>) {
        if !self.config.zmtp_subscribers {
            return;
        }
        let Some(relay) = self.relays.relays.get_mut(&registration.publisher) else {
            if self.wants_relay(registration) {
                self.begin_relay(Arc::clone(registration));
            }
            return;
        };
        relay.is_gone = false;
        let old = std::mem::replace(&mut relay.registration, Arc::clone(registration));
        let Stage::Connected(session) = relay.stage else { return };
        if old.endpoints != registration.endpoints {
            return self.close(session, ErrorCode::ShuttingDown, "the publisher has moved");
        }
        // What it publishes more: a second subscription of the same changes nothing.
        let (subscriptions, frames) = self.relayed(registration);
        self.tell_relay(session, subscriptions, frames);
    }

    fn tell_relay(&mut self, id: SessionId, frames: Bytes, count: u32) {
        if self.sessions.get(id).is_some_and(Session::is_listening) {
            self.queue(id, frames, count);
        }
    }

    /// A direct publisher is not there any more, as far as the registry knows. A stream that flows goes on.
    pub(super) fn relay_on_down(&mut self, publisher: PublisherId) {
        let Some(relay) = self.relays.relays.get_mut(&publisher) else { return };
        relay.is_gone = true;
        if matches!(relay.stage, Stage::Waits(_)) {
            self.relays.relays.remove(&publisher);
        }
    }

    fn wants_relay(&self, registration: &Registration) -> bool {
        let zmtp = self.sessions.iter().filter(|(_, session)| session.kind.is_zmtp());
        zmtp.flat_map(|(_, session)| session.subscriptions.filters())
            .any(|filter| registration.overlaps(filter))
    }

    fn begin_relay(&mut self, registration: Arc<Registration>) {
        if self.draining || self.config.direct.is_some() {
            return;
        }
        let publisher = registration.publisher;
        let relay = Relay { registration, stage: Stage::Waits(self.now), is_gone: false };
        self.relays.relays.insert(publisher, relay);
        self.dial_relay(publisher);
    }

    fn dial_relay(&mut self, publisher: PublisherId) {
        let Some(relay) = self.relays.relays.get_mut(&publisher) else { return };
        relay.stage = Stage::Dialled;
        let endpoint = relay.registration.endpoints.first().cloned();
        self.outbox.dials.extend(endpoint.map(|endpoint| Dial { publisher, endpoint }));
    }

    /// A dialled connection to a direct publisher stands. `false`: nobody wants it any more.
    pub(super) fn relay_is_wanted(&mut self, publisher: PublisherId) -> bool {
        let Some(relay) = self.relays.relays.get(&publisher) else { return false };
        let registration = Arc::clone(&relay.registration);
        if self.draining || !self.wants_relay(&registration) {
            self.relays.relays.remove(&publisher);
            return false;
        }
        true
    }

    /// The session to a direct publisher is there: it begins as any client's.
    pub(super) fn greet_relayed(&mut self, id: SessionId, publisher: PublisherId) {
        let Some(relay) = self.relays.relays.get_mut(&publisher) else { return };
        relay.stage = Stage::Connected(id);
        let registration = Arc::clone(&relay.registration);
        let mut hello = greeting::ours().to_vec();
        encode(&Frame::Hello { name: NAME, overflow: 0, previous: 0, ticket: 0 }, &mut hello);
        self.queue(id, hello, 1);
        let (subscriptions, frames) = self.relayed(&registration);
        self.queue(id, subscriptions, frames);
    }

    /// A direct publisher could not be connected to, or the connection has ended: it is tried again while it is
    /// known.
    pub fn on_dial_failed(&mut self, publisher: PublisherId) {
        let Some(relay) = self.relays.relays.get_mut(&publisher) else { return };
        relay.stage = Stage::Waits(self.now + RELAY_PAUSE);
        if relay.is_gone || self.draining {
            self.relays.relays.remove(&publisher);
        }
    }

    /// All subscriptions of this shard's ZeroMQ sessions that a publisher may have something for, as frames, and how
    /// many they are.
    fn relayed(&self, registration: &Registration) -> (Bytes, u32) {
        let (mut out, mut frames) = (Vec::new(), 0);
        for (id, session) in self.sessions.iter().filter(|(_, session)| session.kind.is_zmtp()) {
            for filter in session.subscriptions.filters().filter(|filter| registration.overlaps(filter)) {
                encode_subscription(id, filter, true, &mut out);
                frames += 1;
            }
        }
        (Bytes::from(out), frames)
    }

    /// On ticks: connections that are due.
    pub(super) fn redial_relays(&mut self) {
        if self.relays.relays.is_empty() {
            return;
        }
        let now = self.now;
        let due = self.relays.relays.iter().filter(|(_, r)| matches!(r.stage, Stage::Waits(at) if at <= now));
        let due: Vec<(PublisherId, Arc<Registration>)> =
            due.map(|(publisher, relay)| (*publisher, Arc::clone(&relay.registration))).collect();
        for (publisher, registration) in due {
            if self.wants_relay(&registration) {
                self.dial_relay(publisher);
            } else {
                self.relays.relays.remove(&publisher);
            }
        }
    }

    /// One frame of a direct publisher that is meant for this end.
    pub(super) fn on_relay_control(&mut self, id: SessionId, frame: Frame<'_>) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_listening()) else {
            return;
        };
        let Kind::Relay(peer) = &mut session.kind else { return };
        match frame {
            Frame::Identity { publisher } if publisher != peer.publisher.0 => {
                self.close(id, ErrorCode::Unexpected, "another publisher has taken its port");
            }
            Frame::Welcome { heartbeat_ms, .. } => {
                peer.heartbeat = Duration::from_millis(u64::from(heartbeat_ms.max(1)));
                session.phase = Phase::Open;
                session.deadline = None;
            }
            Frame::Ping { token } => self.answer(id, &Frame::Pong { token }),
            Frame::Error { code, text, request: 0 } => self.close(id, ErrorCode::from_number(code), text),
            _ => {}
        }
    }

    /// Says to a direct publisher that this end lives, or that nobody here wants to hear it any more.
    pub(super) fn ping_relayed(&mut self, id: SessionId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Kind::Relay(peer) = &mut session.kind else { return };
        peer.pinged = now;
        let relay = self.relays.relays.get(&peer.publisher).map(|relay| Arc::clone(&relay.registration));
        if relay.is_some_and(|registration| self.wants_relay(&registration)) {
            self.answer(id, &Frame::Ping { token: now.0 });
        } else {
            self.close(id, ErrorCode::ShuttingDown, "no ZeroMQ subscriber wants it any more");
        }
    }

    /// A session of this shard has ended: if it was one to a direct publisher, that is to be tried again.
    pub(super) fn relay_on_closed(&mut self, session: &Session) {
        if let Kind::Relay(peer) = &session.kind {
            self.on_dial_failed(peer.publisher);
        }
    }
}

/// What a ZeroMQ session asks a direct publisher for. Each counts there as the one subscriber that it is.
fn encode_subscription(id: SessionId, filter: &Filter, wanted: bool, out: &mut Vec<u8>) {
    let kind = filter.wire_kind();
    let (filter, subscriber, request) = (filter.as_bytes(), id.slot, 1);
    encode(
        &if wanted {
            Frame::Subscribe { filter, request, subscriber, kind }
        } else {
            Frame::Unsubscribe { filter, request, subscriber, kind }
        },
        out,
    );
}
