//! The ground that all parts of a shard stand on: its sessions and links, its clock and turn, and what it counts. A part
//! borrows it for each call; the parts themselves it does not know.

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::aftermath::Untold;
use super::clock::Clock;
use super::config::ShardConfig;
use super::failed_logins::FailedLogins;
use super::history::Log;
use super::kind::Kind;
use super::links::Links;
use super::origin::Origin;
use super::outbox::Outbox;
use super::session_state::{Phase, SessionState, Transit};
use super::session_table::SessionTable;
use super::slowed::Slowed;
use super::strangers::Strangers;
use super::tickets::Tickets;
use super::unfinished::Unfinished;
use super::zmtp_peer::ZmtpPeer;
use crate::auth::{Action, Permissions, Proof, Verdict};
use crate::carrier::{LinkItem, ShardItem};
use crate::error::ErrorCode;
use crate::fanout::{Sent, Turn};
use crate::ids::{Neighbour, RequestId, SessionId, ShardId};
use crate::limits::{CONTROL_BYTES_MAX, LINGER};
use crate::telemetry::{DropReason, ShardCounters};
use crate::topic::Filter;
use crate::wire::{Frame, WireError, encode_to_vec, splitter};
use crate::zmtp::Step;

/// The state that all parts of a shard share. Each field is an owner of its own.
pub(super) struct Base {
    pub(super) id: ShardId,
    pub(super) config: ShardConfig,
    /// The rules in force: at first those of the configuration.
    pub(super) permissions: Permissions,
    pub(super) clock: Clock,
    pub(super) turn: Turn,
    pub(super) sessions: SessionTable,
    pub(super) links: Links,
    /// Frames that are not whole.
    pub(super) unfinished: Unfinished,
    pub(super) strangers: Strangers,
    pub(super) failed_logins: FailedLogins,
    pub(super) outbox: Outbox,
    pub(super) counters: ShardCounters,
    pub(super) slowed: Slowed,
    /// The history of its publishers, if any is kept.
    pub(super) log: Option<Box<Log>>,
    /// The time at which this shard began to keep it.
    pub(super) began_at: MonotonicNs,
    /// On the first shard, if any is kept: the history of what each carrier brings.
    pub(super) far_logs: Vec<Log>,
    /// Stopping: nothing more is taken from publishers.
    pub(super) draining: bool,
    /// The tickets to direct publishers that its sessions are given.
    pub(super) tickets: Tickets,
    /// The news of this event for parts that had no hand in it.
    pub(super) untold: Untold,
    /// Room in which what leaves is sealed, for one session after the other.
    pub(super) sealing_room: Vec<u8>,
}

/// The logs of what carriers bring, which the first shard keeps.
fn far_logs(id: ShardId, config: &ShardConfig) -> Vec<Log> {
    let carriers = if id == ShardId(0) { config.carriers } else { 0 };
    (0..carriers).filter_map(|_| Log::new(&config.retention, config.logs())).collect()
}

impl Base {
    pub(super) fn new(id: ShardId, config: ShardConfig, now: MonotonicNs) -> Self {
        Base {
            id,
            clock: Clock::new(now),
            turn: Turn::new(config.turn_steps_max),
            sessions: SessionTable::default(),
            links: Links::new(id, config.shards, config.carriers),
            unfinished: Unfinished::default(),
            strangers: Strangers::default(),
            failed_logins: FailedLogins::default(),
            outbox: Outbox::default(),
            counters: ShardCounters::default(),
            slowed: Slowed::default(),
            log: Log::new(&config.retention, config.logs()).map(Box::new),
            began_at: now,
            far_logs: far_logs(id, &config),
            draining: false,
            untold: Untold::default(),
            sealing_room: Vec::new(),
            tickets: Tickets::new(&config),
            permissions: config.permissions.clone(),
            config,
        }
    }

    /// Ends a session with an error frame that says why: it leaves the fan-out now, and its connection when the
    /// farewell is flushed and the peer has closed, at the latest after [`LINGER`], or at the end of a drain.
    pub(super) fn end(&mut self, id: SessionId, code: ErrorCode, text: &str) {
        if code == ErrorCode::ShuttingDown {
            self.cut_history_short(id);
        }
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_listening()) else {
            return;
        };
        // One that was known before has lost a right, and has not failed to log in.
        if session.is_stranger && code == ErrorCode::Unauthenticated {
            self.counters.logins_failed += 1;
            self.failed_logins.note(session.host(), self.clock.now());
        }
        let (farewell, frames) = session.kind.farewell(code, text);
        // Whoever is owed messages has the whole drain for them; who never said hello would only hold it up.
        let has_drain = code == ErrorCode::ShuttingDown && session.phase == Phase::Open;
        session.phase = Phase::Closing;
        session.rest = None;
        session.closing = Some(code);
        session.deadline = (!has_drain).then(|| self.clock.now() + LINGER);
        if code != ErrorCode::ShuttingDown {
            let dropped = session.egress.clear();
            let slow = code == ErrorCode::SlowSubscriber;
            let reason = if slow { DropReason::Disconnect } else { DropReason::Draining };
            self.counters.drops[reason] += dropped;
            self.outbox.losses.note(reason, dropped, id);
        }
        self.depart(id);
        self.forget_unfinished(id);
        self.queue(id, farewell, frames);
    }

    /// Counts a session among the strangers from now on.
    pub(super) fn add_stranger(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.is_stranger = true;
        self.strangers.add(session.host(), id);
        self.counters.strangers = self.strangers.len() as u64;
    }

    /// Counts a session among the strangers no more: its peer is known now, or has gone.
    pub(super) fn forget_stranger(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_stranger) else { return };
        session.is_stranger = false;
        self.strangers.forget(session.host(), id);
        self.counters.strangers = self.strangers.len() as u64;
    }

    /// Takes a session out of the fan-out: it holds nobody any more, and every part forgets it before the next event.
    pub(super) fn depart(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let holds = std::mem::take(&mut session.holds);
        session.share = None;
        self.untold.departed(id);
        self.release(&holds);
    }

    /// A peer has shown who it is, before its hello. One that is not let in is told so, and its session ends.
    pub(super) fn log_in(&mut self, id: SessionId, proof: &Proof) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match self.permissions.identify(proof, session.identity.address()) {
            Ok(identity) => session.identity = identity,
            Err(refusal) => self.end(id, ErrorCode::Unauthenticated, &refusal.to_string()),
        }
    }

    /// Asks whether a session is let in as what its peer has shown to be. `false`: it is not, and is being closed.
    pub(super) fn admit(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        match self.permissions.identify_again(&session.identity, self.clock.told()) {
            Ok(identity) => session.identity = identity,
            Err(refusal) => {
                self.end(id, ErrorCode::Unauthenticated, &refusal.to_string());
                return false;
            }
        }
        true
    }

    /// Asks whether a session may take an action. `false`: it may not, and is being closed.
    pub(super) fn may(&mut self, id: SessionId, action: Action<'_>) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let verdict = self.permissions.permit(&session.identity, action);
        if verdict == Verdict::Refused {
            let allowed = self.permissions.allowed(&session.identity, action);
            self.end(id, ErrorCode::NotPermitted, &format!("you may not {action}; {allowed}"));
        }
        verdict == Verdict::Allowed
    }

    /// As [`Base::may`], for a request of this number: a client that goes on after refusals is told, and goes on.
    pub(super) fn may_request(&mut self, id: SessionId, request: RequestId, action: Action<'_>) -> bool {
        let Some(session) = self.sessions.get(id).filter(|session| session.kind.takes_refusals()) else {
            return self.may(id, action);
        };
        if self.permissions.permit(&session.identity, action) == Verdict::Allowed {
            return true;
        }
        let text = format!("you may not {action}; {}", self.permissions.allowed(&session.identity, action));
        let code = ErrorCode::NotPermitted.number();
        self.counters.refusals += 1;
        self.answer(id, &Frame::Error { text: &text, request: request.0, code });
        false
    }

    /// Messages of a topic were not taken from a session, since it may not publish them: its client is told. `false`: it
    /// does not go on after refusals, or not after so many, and is to be closed.
    pub(super) fn may_go_on_refused(&mut self, id: SessionId, publisher: u64, topic: &[u8]) -> bool {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.kind.takes_refusals()) else {
            return false;
        };
        if !session.strikes.add(now) {
            return false;
        }
        let action = Action::Publish(topic);
        let text = format!("you may not {action}; {}", self.permissions.allowed(&session.identity, action));
        let code = ErrorCode::NotPermitted.number();
        self.answer(id, &Frame::PublishRefused { topic, text: &text, publisher, code });
        true
    }

    /// True if routable frames of this session are taken now; if they may not come, or not yet, it is closed.
    pub(super) fn may_publish(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        match (&session.kind, session.phase) {
            (_, Phase::Closing | Phase::Shut) => false,
            (Kind::Native(_) | Kind::Zmtp(_), Phase::Open) if self.config.direct.is_some() => {
                self.end(id, ErrorCode::Unexpected, "a direct publisher takes no messages from others");
                false
            }
            (Kind::Native(_) | Kind::Zmtp(_), Phase::Greeting | Phase::Hello) => {
                self.end(id, ErrorCode::Unexpected, "a message came before the hello");
                false
            }
            _ => !self.draining,
        }
    }

    /// Ends a session with this error, behind what was read before it.
    pub(super) fn end_behind(&mut self, id: SessionId, error: &WireError) {
        match self.sessions.rest_of(id) {
            Some(rest) => rest.error = Some(error.clone()),
            None => self.end(id, error.code, &error.text),
        }
    }

    /// Keeps a step of a ZeroMQ session for its next turn, if it is work and this turn is over, or if steps before it wait.
    /// `false`: it is to be done now.
    pub(super) fn keep_step(&mut self, id: SessionId, step: &Step) -> bool {
        let waits = match step {
            Step::Subscribe(_) | Step::Cancel(_) => self.turn.is_over() || self.sessions.is_behind(id),
            Step::Send(_) => self.sessions.is_behind(id),
            _ => false,
        };
        if waits && let Some(rest) = self.sessions.rest_to_fill(id) {
            rest.postponed.push(step);
        }
        waits
    }

    /// Says farewell to all sessions of a shard that stops, when no neighbour sends batches any more: to those that are still
    /// to arrive once they have, since all that is for them comes before it.
    pub(super) fn farewell_when_drained(&mut self) {
        // One that leaves takes what waits for it along, and is told where it arrives.
        let leaves = |(_, session): (SessionId, &SessionState)| session.transit == Transit::Leaving;
        if !self.draining || !self.links.have_ended() || self.sessions.iter().any(leaves) {
            return;
        }
        for id in self.sessions.ids() {
            if self.sessions.get(id).is_some_and(|session| session.transit == Transit::Arriving) {
                continue;
            }
            let text = if self.config.direct.is_some() {
                "the publisher leaves"
            } else {
                "the broker is shutting down"
            };
            self.end(id, ErrorCode::ShuttingDown, text);
        }
    }

    /// The filter that a frame of a session names. `None`: it is none, and the session is being closed.
    pub(super) fn checked_filter(&mut self, id: SessionId, kind: u8, bytes: &[u8]) -> Option<Filter> {
        match Filter::from_wire(kind, bytes) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.end(id, ErrorCode::BadFilter, &error.to_string());
                None
            }
        }
    }

    /// Answers a session. Nothing comes after a farewell.
    pub(super) fn answer(&mut self, id: SessionId, frame: &Frame<'_>) {
        let Some(session) = self.sessions.get(id).filter(|session| session.is_listening()) else { return };
        assert!(!session.kind.is_zmtp(), "a ZeroMQ peer would not understand");
        self.queue(id, encode_to_vec(frame), 1);
    }

    /// Answers a session that takes a subscription back, behind all that routes have led to it, also while that waits for its
    /// history: nothing of the subscription follows the answer.
    pub(super) fn answer_behind(&mut self, id: SessionId, frame: &Frame<'_>) {
        match self.sessions.get_mut(id).filter(|session| session.is_listening()) {
            Some(session) if session.egress.is_parked() => {
                session.egress.park_answer(encode_to_vec(frame), 1)
            }
            _ => self.answer(id, frame),
        }
    }

    /// Answers a session with these whole frames.
    pub(super) fn answer_raw(&mut self, id: SessionId, bytes: impl Into<Bytes>) {
        if self.sessions.get(id).is_some_and(SessionState::is_listening) {
            let bytes = bytes.into();
            let frames = splitter::frames(&bytes).count();
            self.queue(id, bytes, u32::try_from(frames).expect("a frame has many bytes"));
        }
    }

    /// Answers a ZeroMQ session, if it is still listened to, with so many commands or messages.
    pub(super) fn answer_zmtp(&mut self, id: SessionId, bytes: impl Into<Bytes>, frames: u32) {
        if self.sessions.get(id).is_some_and(SessionState::is_listening) {
            self.queue(id, bytes, frames);
        }
    }

    /// Queues bytes of so many frames that are not dropped.
    pub(super) fn queue(&mut self, id: SessionId, bytes: impl Into<Bytes>, frames: u32) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let bytes = bytes.into();
        if !bytes.is_empty() {
            session.egress.push_answer(bytes, frames);
        }
        self.list(id);
    }

    /// A session has something to send: it is to be flushed.
    pub(super) fn list(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id).filter(|session| !session.listed) {
            session.listed = true;
            self.outbox.dirty.push_back(id);
        }
    }

    /// Closes a session that lets too many answers wait, since answers are not dropped.
    pub(super) fn close_if_answers_pile_up(&mut self, id: SessionId) -> bool {
        let too_many =
            self.sessions.get(id).is_some_and(|session| session.egress.answer_bytes() > CONTROL_BYTES_MAX);
        if too_many {
            self.end(id, ErrorCode::SlowSubscriber, "too many answers wait to be read");
        }
        too_many
    }

    pub(super) fn count_sent(&mut self, sent: Sent) {
        self.counters.frames_out += sent.frames;
        self.counters.deliveries += sent.messages;
        self.counters.gaps_told += sent.gaps;
    }

    /// The state that a ZeroMQ session has beside what all have.
    pub(super) fn zmtp_peer(&mut self, id: SessionId) -> Option<&mut ZmtpPeer> {
        self.sessions.get_mut(id)?.kind.zmtp_mut()
    }

    /// Tells a neighbour something.
    pub(super) fn send_link(&mut self, to: impl Into<Neighbour>, item: LinkItem) {
        let to = to.into();
        assert_ne!(to, self.id.into(), "a shard is no neighbour of its own");
        if self.links.push(to, item) {
            self.outbox.links.push(to);
        }
    }

    /// Tells another shard something that only shards have for one another.
    pub(super) fn send_shard(&mut self, to: ShardId, item: ShardItem) {
        self.send_link(to, LinkItem::ToShard(Box::new(item)));
    }

    /// Lets a request wait, or what came with it, while it is news for neighbours that take none for now.
    pub(super) fn hold_for_news(&mut self, id: SessionId) {
        for neighbour in self.links.neighbours() {
            self.hold_if_backed_up(neighbour, Origin::Here(id));
        }
    }

    /// That neighbour's changes of interest are known here up to this one. If the last that waits for it says so of
    /// an earlier one, it now says so of this.
    pub(super) fn tell_seen(&mut self, to: Neighbour, change: u64) {
        match self.links.outgoing(to).last_mut() {
            Some(LinkItem::InterestSeen { seq }) => *seq = change,
            _ => self.send_link(to, LinkItem::InterestSeen { seq: change }),
        }
    }

    /// The registry's changes are known here up to this one, said in the same way.
    pub(super) fn tell_publisher_seen(&mut self, to: ShardId, change: u64) {
        if let Some(LinkItem::ToShard(item)) = self.links.outgoing(to.into()).last_mut()
            && let ShardItem::PublisherSeen { seq } = &mut **item
        {
            *seq = change;
            return;
        }
        self.send_shard(to, ShardItem::PublisherSeen { seq: change });
    }
}
