//! Sessions of ZeroMQ sockets: what their machine says is to be done, and the subscriptions that publishers among
//! them are told, so that they filter at the source.

use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;

use super::encoding::{Author, Encoding, Messages};
use super::liveness::Liveness;
use super::outbox::Origin;
use super::publish::Audience;
use super::session::{Phase, Session};
use super::shard::Shard;
use crate::error::ErrorCode;
use crate::ids::{SessionId, SubscriberId};
use crate::limits::{
    CONTROL_BYTES_MAX, HANDSHAKE_DEADLINE, HEARTBEATS_MISSED_MAX, SESSIONS_PER_SHARD_MAX,
    ZMTP_UPSTREAM_BYTES_MAX,
};
use crate::topic::Filter;
use crate::zmtp::machine::Read;
use crate::zmtp::{Machine, MessageSpan, Output, Role, Sides, Step, command};

/// A ZeroMQ session sees one subscriber, however many sockets are behind it.
const SUBSCRIBER: SubscriberId = SubscriberId(0);

/// What a session of a ZeroMQ socket has beside what all have.
#[derive(Debug)]
pub(super) struct ZmtpPeer {
    /// `None` while it reads.
    machine: Option<Machine>,
    role: Option<Role>,
    /// Who it is to native subscribers.
    publisher: u64,
    next_sequence: u64,
    /// Whether it still lives.
    pub(super) liveness: Liveness,
}

impl ZmtpPeer {
    fn knows_commands(&self) -> bool {
        self.machine.as_ref().is_some_and(Machine::knows_commands)
    }
}

impl Shard {
    /// A ZeroMQ socket has connected. `None`: this shard is full or stopping, drop it.
    pub fn on_open_zmtp(&mut self, sides: Sides) -> Option<SessionId> {
        if self.draining || self.sessions.len() >= SESSIONS_PER_SHARD_MAX {
            return None;
        }
        let (policy, now) = (self.config.overflow, self.now);
        let machine = Machine::new(sides, self.config.frame_bytes_max);
        let publisher = self.config.epoch.rotate_left(32) ^ u64::from(self.id.0) << 48;
        let id = self.sessions.insert(|generation| {
            let mut session = Session::new(generation, policy, now, now + HANDSHAKE_DEADLINE);
            session.be_zmtp(ZmtpPeer {
                machine: Some(machine),
                role: None,
                publisher: mixed(publisher ^ u64::from(generation)),
                next_sequence: 1,
                liveness: Liveness::new(now),
            });
            session
        });
        self.counters.accepts += 1;
        self.counters.sessions += 1;
        self.queue(id, Machine::begin(), 0);
        Some(id)
    }

    /// The machine of a session that is still listened to, to read with; it comes back with [`Shard::on_zmtp`].
    pub(crate) fn take_machine(&mut self, id: SessionId) -> Option<Machine> {
        let session = self.sessions.get_mut(id).filter(|session| session.is_listening())?;
        session.zmtp.as_mut()?.machine.take()
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
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.heard = self.now;
        if let Some(peer) = &mut session.zmtp {
            peer.machine = Some(machine);
        }
        self.counters.bytes_in += bytes.len() as u64;
        self.counters.frames_in += out.spans.len() as u64;
        for step in out.steps.drain(..) {
            match step {
                Step::Messages(range) => self.on_messages(id, bytes, &out.spans[range], now_unix_ns),
                Step::Message(bytes, span) => self.on_messages(id, &bytes, &[span], now_unix_ns),
                step => self.on_step(id, step),
            }
        }
        if let Some(error) = &read.error {
            self.close(id, error.code, &error.text);
        }
    }

    fn on_step(&mut self, id: SessionId, step: Step) {
        match step {
            Step::Greeted => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.phase = Phase::Hello;
                }
            }
            Step::Open(role) => self.on_zmtp_ready(id, role),
            Step::Send(bytes) => {
                self.answer_zmtp(id, bytes, 1);
                let waits = self.sessions.get(id).map_or(0, |session| session.egress.answer_bytes());
                if waits > CONTROL_BYTES_MAX + self.upstream.bytes {
                    self.close(id, ErrorCode::SlowSubscriber, "too many answers wait to be read");
                }
            }
            Step::Subscribe(prefix) => self.on_prefix(id, &prefix, true),
            Step::Cancel(prefix) => self.on_prefix(id, &prefix, false),
            Step::Beat(tenths) => {
                if let Some(peer) = self.zmtp_peer(id) {
                    let time = (tenths > 0).then(|| Duration::from_millis(u64::from(tenths) * 100));
                    peer.liveness.beat(time);
                }
            }
            Step::Alive => {
                if let Some(peer) = self.zmtp_peer(id) {
                    peer.liveness.answered();
                }
            }
            Step::Messages(_) | Step::Message(..) => debug_assert!(false, "they are published"),
        }
    }

    fn zmtp_peer(&mut self, id: SessionId) -> Option<&mut ZmtpPeer> {
        self.sessions.get_mut(id)?.zmtp.as_deref_mut()
    }

    fn on_messages(&mut self, id: SessionId, bytes: &Bytes, spans: &[MessageSpan], received_at_ns: u64) {
        if !self.may_publish(id) {
            return;
        }
        let Some(peer) = self.zmtp_peer(id) else { return };
        let author = Author { publisher: peer.publisher, first_sequence: peer.next_sequence, received_at_ns };
        peer.next_sequence += spans.len() as u64;
        self.publish(bytes, Messages::Zmtp(spans, author), Origin::Here(id), Audience::All);
    }

    fn on_zmtp_ready(&mut self, id: SessionId, role: Role) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.phase = Phase::Open;
        session.deadline = None;
        let Some(peer) = &mut session.zmtp else { return };
        peer.role = Some(role);
        if role == Role::Publisher {
            let commands = peer.knows_commands();
            self.upstream.publishers.push(id);
            let (all, frames) = self.upstream.all(commands);
            self.tell_prefixes(id, all, frames);
        }
    }

    /// A session's prefixes are a set, as those of one pipe are to libzmq's XPUB. Sockets count for themselves: libzmq
    /// sends each of two subscriptions on, but of two cancels only the last.
    fn on_prefix(&mut self, id: SessionId, prefix: &[u8], wanted: bool) {
        if self.phase(id) != Some(Phase::Open) {
            return;
        }
        match Filter::prefix(prefix) {
            Ok(filter) if wanted => {
                if self.subscribe(id, filter.clone(), SUBSCRIBER) {
                    self.relay_subscription(id, &filter, true);
                }
            }
            Ok(filter) => {
                self.unsubscribe(id, &filter, SUBSCRIBER);
                self.relay_subscription(id, &filter, false);
            }
            Err(error) => self.close(id, ErrorCode::BadFilter, &error.to_string()),
        }
    }

    /// Somebody here or on another shard has this filter now, or has it no longer: publishers are told, first on and
    /// last off.
    pub(super) fn tell_upstream(&mut self, filter: &Filter, wanted: bool) {
        if !self.config.zmtp_publishers {
            return;
        }
        let prefix = upstream_prefix(filter);
        if !self.upstream.change(prefix, wanted) || self.upstream.publishers.is_empty() {
            return;
        }
        let frames =
            [false, true].map(|commands| Bytes::from(command::subscription(wanted, prefix, commands)));
        for id in self.upstream.publishers.clone() {
            let Some(session) = self.sessions.get(id) else { continue };
            let commands = session.zmtp.as_ref().is_some_and(|peer| peer.knows_commands());
            if session.egress.answer_bytes() > 2 * self.upstream.bytes + ZMTP_UPSTREAM_BYTES_MAX {
                self.close(id, ErrorCode::SlowSubscriber, "too many subscriptions wait to be read");
                continue;
            }
            self.tell_prefixes(id, frames[usize::from(commands)].clone(), 1);
        }
    }

    /// Tells a publisher so many subscriptions. Its application takes them, at its own pace.
    fn tell_prefixes(&mut self, id: SessionId, subscriptions: Bytes, frames: u32) {
        if let Some(peer) = self.zmtp_peer(id).filter(|_| frames > 0) {
            peer.liveness.fed();
        }
        self.answer_zmtp(id, subscriptions, frames);
    }

    /// What tells a session's peer why it ends.
    pub(super) fn zmtp_farewell(&self, id: SessionId, text: &str) -> Vec<u8> {
        let peer = self.sessions.get(id).and_then(|session| session.zmtp.as_ref());
        peer.and_then(|peer| peer.machine.as_ref()).map_or_else(Vec::new, |machine| machine.farewell(text))
    }

    /// Answers a session, if it is still listened to, with so many commands or messages.
    fn answer_zmtp(&mut self, id: SessionId, bytes: impl Into<Bytes>, frames: u32) {
        if self.sessions.get(id).is_some_and(Session::is_listening) {
            self.queue(id, bytes, frames);
        }
    }

    /// An open session: asks a silent peer whether it lives, if it can answer; gives up one that must have read the
    /// question and does not, and one that does not end what it has begun.
    pub(super) fn check_zmtp_deadlines(&mut self, id: SessionId) {
        let (now, heartbeat) = (self.now, self.config.heartbeat);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(peer) = &mut session.zmtp else { return };
        let commands = peer.knows_commands();
        let silent = now.saturating_since(session.heard);
        if session.held_by > 0 {
            // It is not read: its silence is not its fault. Nor are its heartbeats answered: without a word from here
            // it would give this end up, in a time that only it knows. If something is under way, it hears that.
            if commands && peer.liveness.beats() && session.egress.is_empty() {
                self.ask_zmtp(id);
            }
            return;
        }
        if session.deadline.is_some_and(|deadline| deadline <= now) {
            return self.close(id, ErrorCode::FrameTimeout, "a message was begun and not finished");
        }
        if peer.liveness.is_over(now, silent, heartbeat * (HEARTBEATS_MISSED_MAX - 1)) {
            let text = "nothing was heard for too long, heartbeats neither";
            return self.close(id, ErrorCode::IdleTimeout, text);
        }
        if commands && peer.liveness.is_due(silent, heartbeat) {
            self.ask_zmtp(id);
        }
    }

    /// Asks a peer whether it lives, ahead of what waits for it.
    fn ask_zmtp(&mut self, id: SessionId) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(peer) = &mut session.zmtp else { return };
        peer.liveness.asked(now, session.egress.has_begun(), !session.egress.is_empty());
        session.egress.push_ahead(Bytes::from(command::ping()), 1);
        self.queue(id, Bytes::new(), 0);
    }
}

impl Session {
    fn be_zmtp(&mut self, peer: ZmtpPeer) {
        self.encoding = Encoding::Zmtp;
        self.egress = super::egress::EgressQueue::of(Encoding::Zmtp);
        self.zmtp = Some(Box::new(peer));
    }
}

/// What a publisher that knows only prefixes is asked for, so that all that the filter matches comes.
fn upstream_prefix(filter: &Filter) -> &[u8] {
    let bytes = filter.as_bytes();
    match filter {
        Filter::Pattern(_) => {
            let wildcard = bytes.iter().position(|b| matches!(b, b'*' | b'>'));
            &bytes[..wildcard.unwrap_or(bytes.len())]
        }
        Filter::Exact(_) | Filter::Prefix(_) => bytes,
    }
}

/// Spreads the bits of a number, so that publishers of one start do not look alike (splitmix64's finalizer).
fn mixed(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// What ZeroMQ publishers are asked for: the prefixes that any shard has subscribers for.
#[derive(Default, Debug)]
pub(super) struct Upstream {
    /// How many filters of how many shards lead to each.
    wanted: AHashMap<Bytes, u32>,
    /// ZeroMQ publishers of this shard.
    pub(super) publishers: Vec<SessionId>,
    /// What all of them are as messages or commands, in bytes, about.
    pub(super) bytes: usize,
    /// All of them as messages and as commands: made when a publisher comes, shared by those that come with it.
    all: [Option<Bytes>; 2],
}

/// What a subscription has around its prefix, at the most.
const AROUND_PREFIX_BYTES: usize = 19;

impl Upstream {
    /// One filter more or fewer leads to this prefix. `true`: it is the first, or was the last.
    fn change(&mut self, prefix: &[u8], wanted: bool) -> bool {
        let changed = if wanted {
            match self.wanted.get_mut(prefix) {
                Some(filters) => {
                    *filters += 1;
                    false
                }
                None => {
                    self.wanted.insert(Bytes::copy_from_slice(prefix), 1);
                    self.bytes += prefix.len() + AROUND_PREFIX_BYTES;
                    true
                }
            }
        } else {
            let Some(filters) = self.wanted.get_mut(prefix) else { return false };
            *filters -= 1;
            let last = *filters == 0;
            if last {
                self.wanted.remove(prefix);
                self.bytes -= prefix.len() + AROUND_PREFIX_BYTES;
            }
            last
        };
        if changed {
            self.all = [None, None];
        }
        changed
    }

    /// All of them, and how many they are.
    fn all(&mut self, commands: bool) -> (Bytes, u32) {
        let wanted = &self.wanted;
        let made = self.all[usize::from(commands)].get_or_insert_with(|| {
            let each = wanted.keys().flat_map(|prefix| command::subscription(true, prefix, commands));
            Bytes::from(each.collect::<Vec<u8>>())
        });
        (made.clone(), u32::try_from(wanted.len()).expect("each has its bytes"))
    }
}
