//! Sessions of ZeroMQ sockets: what their machine says is to be done, and when they are given up.

use std::time::Duration;

use bytes::Bytes;

use super::session::Phase;
use super::state::Shard;
use crate::auth::Action;
use crate::fanout::REASON_PUBLISHER;
use crate::fanout::{Author, Messages};
use crate::ids::{SessionId, SubscriberId};
use crate::limits::{CONTROL_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::topic::Filter;
use crate::wire::{Frame, encode_to_vec, split};
use crate::zmtp::machine::Read;
use crate::zmtp::{Machine, MessageSpan, Output, Role, Step, command};

/// The one subscriber of a ZeroMQ session, however many sockets are behind it.
const SUBSCRIBER: SubscriberId = SubscriberId(0);

impl Shard {
    /// The machine of a session that is still listened to, to read with; it comes back with [`Shard::on_zmtp`].
    pub(crate) fn take_machine(&mut self, id: SessionId) -> Option<Machine> {
        let session = self.base.sessions.get_mut(id).filter(|session| session.is_listening())?;
        session.kind.zmtp_mut()?.machine.take()
    }

    /// Bytes came. `bytes` are those that the machine has used up, `received` how many came in this turn.
    pub(crate) fn on_zmtp(
        &mut self,
        id: SessionId,
        machine: Machine,
        bytes: &Bytes,
        (read, out): (&Read, &mut Output),
        now_unix_ns: u64,
    ) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        session.heard = self.base.clock.now();
        if let Some(peer) = session.kind.zmtp_mut() {
            peer.machine = Some(machine);
        }
        self.base.turn.begin();
        self.base.counters.bytes_in += bytes.len() as u64;
        self.base.counters.frames_in += out.spans.len() as u64;
        for step in out.steps.drain(..) {
            match step {
                Step::Messages(range) => self.on_messages(id, bytes, &out.spans[range], now_unix_ns),
                Step::Message(bytes, span) => self.on_messages(id, &bytes, &[span], now_unix_ns),
                step => self.on_step_in_turn(id, step),
            }
            self.settle();
        }
        if let Some(error) = &read.error {
            self.end_with(id, error);
        }
        self.base.hold_for_news(id);
    }

    /// Does what a ZeroMQ peer has said that is no message. What is work waits for the session's next turn once this one
    /// is over, and nothing that is answered overtakes it.
    fn on_step_in_turn(&mut self, id: SessionId, step: Step) {
        let waits = match step {
            Step::Subscribe(_) | Step::Cancel(_) => self.base.turn.is_over() || self.is_behind(id),
            Step::Send(_) => self.is_behind(id),
            _ => false,
        };
        if !waits {
            self.on_step(id, step);
        } else if let Some(rest) = self.rest_of(id) {
            rest.postponed.push(&step);
        }
    }

    pub(super) fn on_step(&mut self, id: SessionId, step: Step) {
        match step {
            Step::Greeted => {
                if let Some(session) = self.base.sessions.get_mut(id) {
                    session.phase = Phase::Hello;
                }
            }
            Step::Open(role) => self.on_zmtp_ready(id, role),
            Step::Send(bytes) => {
                // A peer that asks and reads nothing is not answered for ever, and misses nothing.
                let waits = self.base.sessions.get(id).map_or(0, |session| session.egress.answer_bytes());
                if waits <= CONTROL_BYTES_MAX + self.upstream.bytes() {
                    self.base.answer_zmtp(id, bytes, 1);
                }
            }
            Step::Subscribe(prefix) => self.on_prefix(id, &prefix, true),
            Step::Cancel(prefix) => self.on_prefix(id, &prefix, false),
            Step::Beat(tenths) => {
                if let Some(peer) = self.base.zmtp_peer(id) {
                    let time = (tenths > 0).then(|| Duration::from_millis(u64::from(tenths) * 100));
                    peer.liveness.beat(time);
                }
            }
            Step::Alive => {
                if let Some(peer) = self.base.zmtp_peer(id) {
                    peer.liveness.answered();
                }
            }
            Step::TooLong(topic, message_bytes) => self.on_too_long(id, &topic, message_bytes),
            Step::Messages(_) | Step::Message(..) => unreachable!("messages are published"),
        }
    }

    fn on_messages(&mut self, id: SessionId, bytes: &Bytes, spans: &[MessageSpan], received_at_ns: u64) {
        if !self.may_publish(id) {
            return;
        }
        let Some(peer) = self.base.zmtp_peer(id) else { return };
        let author = Author { publisher: peer.publisher, first_sequence: peer.next_sequence, received_at_ns };
        peer.next_sequence += spans.len() as u64;
        self.take_in_turn(id, bytes, Messages::Zmtp(spans, author));
    }

    /// A publisher's message is too long: it is passed over, and those who would have had it are told.
    fn on_too_long(&mut self, id: SessionId, topic: &[u8], message_bytes: usize) {
        if !self.may_publish(id) {
            return;
        }
        let Some(peer) = self.base.zmtp_peer(id) else { return };
        peer.next_sequence += 1;
        self.base.counters.messages_too_long += 1;
        self.base.outbox.too_long.push((id, message_bytes));
        if topic.is_empty() {
            // No notice can say of which topic.
            self.base.counters.gaps_untold += 1;
            return;
        }
        let gap = encode_to_vec(&Frame::Gap { topic, missed: 1, reason: REASON_PUBLISHER });
        let (gap, mut spans) = (Bytes::from(gap), Vec::new());
        let found = split(&gap, usize::MAX, &mut spans);
        debug_assert!(found.error.is_none(), "own frames are whole");
        self.take_in_turn(id, &gap, Messages::Native(&spans));
    }

    fn on_zmtp_ready(&mut self, id: SessionId, role: Role) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        session.phase = Phase::Open;
        session.deadline = None;
        let Some(peer) = session.kind.zmtp_mut() else { return };
        peer.role = Some(role);
        if role == Role::Publisher {
            let commands = peer.knows_commands();
            self.greet_upstream(id, commands);
        }
    }

    /// A session's prefixes are a set, as those of one pipe are to libzmq's XPUB. Sockets count for themselves: libzmq
    /// sends each of two subscriptions on, but of two cancels only the last.
    fn on_prefix(&mut self, id: SessionId, prefix: &[u8], wanted: bool) {
        if self.phase(id) != Some(Phase::Open) {
            return;
        }
        let (filter, subscriber) = filter_of(prefix);
        if !wanted {
            self.unsubscribe(id, &filter, subscriber);
            if !self.base.sessions.get(id).is_some_and(|session| session.subscriptions.contains(&filter)) {
                self.relay_subscription(id, &filter, false);
            }
        } else if self.base.may(id, Action::Subscribe(&filter))
            && self.subscribe_and_tell(id, &filter, subscriber)
        {
            self.relay_subscription(id, &filter, true);
        }
    }

    /// Asks a peer whether it lives, ahead of what waits for it.
    pub(super) fn ask_zmtp(&mut self, id: SessionId) {
        let now = self.base.clock.now();
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        let Some(peer) = session.kind.zmtp_mut() else { return };
        peer.liveness.asked(now, session.egress.has_begun(), !session.egress.is_empty());
        session.egress.push_ahead(Bytes::from(command::ping()), 1);
        self.base.queue(id, Bytes::new(), 0);
    }
}

/// The filter of a prefix, and who asks for it. Messages are routed by the first `TOPIC_BYTES_MAX` bytes, so that a
/// longer prefix gets all that begin with these, of which a SUB socket takes what it has asked for. Two that differ
/// only behind them end apart: each is a subscriber of its own.
fn filter_of(prefix: &[u8]) -> (Filter, SubscriberId) {
    let (known, rest) = prefix.split_at(prefix.len().min(TOPIC_BYTES_MAX));
    let filter = Filter::prefix(known).expect("it was cut to what a filter may have");
    if rest.is_empty() {
        return (filter, SUBSCRIBER);
    }
    let number = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(rest) >> 32;
    (filter, SubscriberId(u32::try_from(number).expect("32 bits are left").max(1)))
}
