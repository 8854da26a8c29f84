//! The words of ZeroMQ sockets to a shard, and its words to them.

use std::time::Duration;

use bytes::Bytes;

use super::base::Base;
use super::password_check::{LoginVerdict, PasswordCheck};
use super::session_state::{Phase, SessionState};
use crate::auth::{CurveKey, Proof};
use crate::error::ErrorCode;
use crate::fanout::{Author, REASON_PUBLISHER};
use crate::ids::{SessionId, SubscriberId};
use crate::limits::{CONTROL_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::topic::Filter;
use crate::wire::{Frame, Span, encode_to_vec, split};
use crate::zmtp::{PeerClaim, Role, Step, command};

/// The one subscriber of a ZeroMQ session, however many sockets are behind it.
const SUBSCRIBER: SubscriberId = SubscriberId(0);

/// The author of so many messages of a session. `None`: it may not publish now.
pub(super) fn author(base: &mut Base, id: SessionId, messages: usize, received_at_ns: u64) -> Option<Author> {
    if !base.may_publish(id) {
        return None;
    }
    let peer = base.zmtp_peer(id)?;
    let author = Author { publisher: peer.publisher, first_sequence: peer.next_sequence, received_at_ns };
    peer.next_sequence += messages as u64;
    Some(author)
}

/// A publisher's message is too long: it is passed over. Returns the notice for those who would have had it, if one can be
/// made.
pub(super) fn pass_over(
    base: &mut Base,
    id: SessionId,
    (topic, message_bytes): (&[u8], usize),
) -> Option<(Bytes, Vec<Span>)> {
    if !base.may_publish(id) {
        return None;
    }
    base.zmtp_peer(id)?.next_sequence += 1;
    base.counters.messages_too_long += 1;
    base.outbox.too_long.push((id, message_bytes));
    if topic.is_empty() {
        // No notice can say of which topic.
        base.counters.gaps_untold += 1;
        return None;
    }
    let gap = Bytes::from(encode_to_vec(&Frame::Gap { topic, missed: 1, reason: REASON_PUBLISHER }));
    let mut spans = Vec::new();
    let found = split(&gap, usize::MAX, &mut spans);
    assert!(found.error.is_none(), "own frames are whole");
    Some((gap, spans))
}

/// A peer has said which side it is. `false`: it is not let in, and is being closed.
pub(super) fn open(base: &mut Base, id: SessionId, role: Role) -> bool {
    let is_listening = base.sessions.get(id).is_some_and(SessionState::is_listening);
    if !is_listening || !base.admit(id) || !base.take_share(id) {
        return false;
    }
    let Some(session) = base.sessions.get_mut(id) else { return false };
    session.phase = Phase::Open;
    session.deadline = None;
    let Some(peer) = session.kind.zmtp_mut() else { return false };
    peer.role = Some(role);
    base.forget_stranger(id);
    true
}

/// Notes what a peer has said of itself.
pub(super) fn note(base: &mut Base, id: SessionId, step: &Step) {
    match step {
        Step::Greeted => {
            if let Some(session) = base.sessions.get_mut(id).filter(|session| session.is_listening()) {
                session.phase = Phase::Hello;
            }
        }
        Step::Claim(claim) => judge(base, id, claim),
        Step::Seal => seal(base, id),
        Step::Beat(tenths) => {
            if let Some(peer) = base.zmtp_peer(id) {
                let time = (*tenths > 0).then(|| Duration::from_millis(u64::from(*tenths) * 100));
                peer.liveness.beat(time);
            }
        }
        Step::Alive => {
            if let Some(peer) = base.zmtp_peer(id) {
                peer.liveness.answered();
            }
        }
        other => unreachable!("{other:?} is more than a note"),
    }
}

/// Judges what a peer claims to be. One that is not let in is closed.
fn judge(base: &mut Base, id: SessionId, claim: &PeerClaim) {
    match claim {
        PeerClaim::Nothing => _ = base.admit(id),
        PeerClaim::CurveKey(key) => base.log_in(id, &Proof::CurveKey(CurveKey(*key))),
        PeerClaim::Password(password) => {
            let Some(session) = base.sessions.get(id) else { return };
            let address = session.identity.address();
            let Some(place) = base.config.passwords_waiting.take(session.host()) else {
                base.counters.passwords_turned_away += 1;
                let text = "too many passwords of this host wait to be checked";
                return base.end(id, ErrorCode::TooManySessions, text);
            };
            let check = PasswordCheck::new(base.permissions.clone(), password, address, place);
            base.outbox.password = Some(Box::new(check));
        }
    }
}

/// Lets a peer with a password in, or ends its session. The rules may have changed while the password was checked.
pub(super) fn on_verdict(base: &mut Base, id: SessionId, verdict: LoginVerdict) {
    let Some(session) = base.sessions.get_mut(id).filter(|session| session.is_listening()) else { return };
    match verdict {
        Ok(identity) => session.identity = identity,
        Err((code, text)) => return base.end(id, code, &text),
    }
    if base.admit(id)
        && let Some(welcome) = base.zmtp_peer(id).and_then(|peer| peer.machine.admit())
    {
        base.answer_zmtp(id, welcome, 1);
    }
}

/// Begins to seal what is sent to a peer. It has read all that was not: it could not have answered otherwise.
fn seal(base: &mut Base, id: SessionId) {
    let Some(session) = base.sessions.get_mut(id).filter(|session| session.is_listening()) else { return };
    match session.kind.zmtp_mut() {
        Some(peer) if session.egress.is_empty() => peer.machine.seal(),
        _ => base.end(id, ErrorCode::Unexpected, "INITIATE came before WELCOME was read"),
    }
}

/// Answers a peer that has asked, unless it reads nothing: then it misses nothing.
pub(super) fn answer(base: &mut Base, id: SessionId, bytes: Vec<u8>, subscriptions_bytes: usize) {
    let waits = base.sessions.get(id).map_or(0, |session| session.egress.answer_bytes());
    if waits <= CONTROL_BYTES_MAX + subscriptions_bytes {
        base.answer_zmtp(id, bytes, 1);
    }
}

/// Asks a peer whether it lives, ahead of what waits for it.
pub(super) fn ask(base: &mut Base, id: SessionId) {
    let now = base.clock.now();
    let Some(session) = base.sessions.get_mut(id) else { return };
    let Some(peer) = session.kind.zmtp_mut() else { return };
    peer.liveness.asked(now, session.egress.has_begun(), !session.egress.is_empty());
    session.egress.push_ahead(Bytes::from(command::ping()), 1);
    base.queue(id, Bytes::new(), 0);
}

/// The filter of a prefix, and the subscriber that asks for it. Messages are routed by the first `TOPIC_BYTES_MAX` bytes, so that a
/// longer prefix gets all that begin with these, of which a SUB socket takes what it has asked for. Two that differ
/// only behind them end apart: each is a subscriber of its own.
pub(super) fn filter_of(prefix: &[u8]) -> (Filter, SubscriberId) {
    let (known, rest) = prefix.split_at(prefix.len().min(TOPIC_BYTES_MAX));
    let filter = Filter::prefix(known).expect("it was cut to what a filter may have");
    if rest.is_empty() {
        return (filter, SUBSCRIBER);
    }
    let number = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(rest) >> 32;
    (filter, SubscriberId(u32::try_from(number).expect("32 bits are left").max(1)))
}
