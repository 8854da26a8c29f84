//! HOT: the bytes that wait for a session, to whoever sends it: the broker's pump to the kernel, a simulation to its own.

use std::convert::Infallible;
use std::io::IoSlice;

use super::base::Base;
use super::session_state::Phase;
use super::state::Shard;
use crate::ids::SessionId;
use crate::limits::SEALING_ROOM_BYTES;

/// The end of a visit to a session's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visit {
    /// Nothing is left, or nobody.
    Done,
    /// The visit's share of bytes is used up.
    Again,
    /// No more is taken for now.
    Full,
}

impl Shard {
    /// Gives `send` what waits for a session, in parts, until nothing is left, the visit's share of bytes is used up, or it takes
    /// less than it is given. `send` says how many bytes it took; `None`: it has no room.
    ///
    /// # Errors
    /// Those of `send`; what it was given last still waits then.
    #[inline]
    pub fn flush<E>(
        &mut self,
        id: SessionId,
        mut send: impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<Visit, E> {
        let mut visited = 0;
        loop {
            let Some(session) = self.base.sessions.get_mut(id) else { return Ok(Visit::Done) };
            if session.egress.is_empty() {
                self.base.on_flushed(id);
                if !self.base.untold.is_empty() {
                    self.settle();
                }
                return Ok(Visit::Done);
            }
            if visited >= session.kind.bytes_per_visit() {
                return Ok(Visit::Again);
            }
            let (given, taken) = self.base.send_next(id, &mut send)?;
            let Some(taken) = taken else {
                self.base.stall(id);
                return Ok(Visit::Full);
            };
            let is_flushed = self.base.on_sent(id, taken);
            if !self.base.untold.is_empty() {
                self.settle();
            }
            if is_flushed {
                return Ok(Visit::Done);
            }
            if taken < given {
                self.base.stall(id);
                return Ok(Visit::Full);
            }
            visited += taken;
        }
    }
}

/// All that waits for a session goes to `take`, which has room for it.
pub fn flush_all(shard: &mut Shard, id: SessionId, mut take: impl FnMut(&[u8])) {
    let mut send = |parts: &[IoSlice<'_>]| {
        parts.iter().for_each(|part| take(part));
        Ok::<_, Infallible>(Some(parts.iter().map(|part| part.len()).sum()))
    };
    while shard.flush(id, &mut send) == Ok(Visit::Again) {}
}

impl Base {
    /// The kernel has no room for a session. It is stalled from the first such time on, until nothing waits for it.
    fn stall(&mut self, id: SessionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.egress.is_stalled() {
            session.stalled_at = now;
        }
        session.egress.stall();
    }

    /// Gives `send` what leaves next of a session's queue, in boxes if its connection is encrypted. Returns how many bytes of the
    /// queue were tried, and how many of them it took.
    #[inline]
    fn send_next<E>(
        &mut self,
        id: SessionId,
        send: &mut impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        let Some(session) = self.sessions.get_mut(id) else { return Ok((0, Some(0))) };
        let Some(machine) = session.kind.sealing() else { return session.egress.send_next(send) };
        let mut tried = 0;
        let sealed = |parts: &[IoSlice<'_>]| {
            let (bytes, taken) = machine.send_sealed(parts, &mut self.sealing_room, &mut *send)?;
            tried = bytes;
            Ok(taken)
        };
        let (_, taken) = session.egress.send_next(sealed)?;
        if self.sealing_room.capacity() > SEALING_ROOM_BYTES {
            self.sealing_room = Vec::new();
        }
        Ok((tried, taken))
    }

    /// The kernel took so many bytes of a session's egress. Returns true if a flush has nothing left to do: then it has run.
    fn on_sent(&mut self, id: SessionId, bytes: usize) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return true };
        let sent = session.egress.sent(bytes);
        if std::mem::take(&mut session.awaits_room) {
            self.untold.has_room(id);
        }
        if sent.messages > 0
            && let Some(peer) = session.kind.zmtp_mut()
        {
            peer.liveness.fed();
        }
        let mut holds = Vec::new();
        if !session.holds.is_empty() && session.egress.has_room(self.config.bounds) {
            holds = std::mem::take(&mut session.holds);
        }
        // What is rarer is left to `on_flushed`: a farewell, and what is to be told as soon as there is room.
        let is_flushed = session.egress.is_empty()
            && session.phase == Phase::Open
            && !session.kind.is_zmtp()
            && self.untold.is_empty();
        session.listed &= !is_flushed;
        session.tally.bytes_out += bytes as u64;
        session.tally.messages_out += sent.messages;
        session.tally.gaps_told += sent.gaps;
        self.counters.bytes_out += bytes as u64;
        self.count_sent(sent);
        self.release(&holds);
        is_flushed
    }

    /// A flush of this session has run: with nothing left it may be listed as dirty again, and if its farewell
    /// was all it waited for, it is shut. With something left a flush waits for the kernel. A ZeroMQ publisher may have to be
    /// told what has changed since it was told.
    fn on_flushed(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if !session.egress.is_empty() {
            return;
        }
        session.listed = false;
        if session.phase == Phase::Closing {
            session.phase = Phase::Shut;
            self.outbox.shut.push(id);
        } else if session.kind.is_zmtp() {
            self.untold.has_room(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::fanout::OverflowPolicy;
    use crate::limits::{EGRESS_ITEM_BYTES, FLUSH_BYTES_PER_VISIT, SEND_SLICES_MAX};

    /// A shard with a session for which these many messages wait, each a batch of its own; and their bytes.
    fn waiting(messages: u64) -> (Rig, SessionId, usize) {
        let mut rig = Rig::with_shards(1);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe("a", 1)]);
        assert_eq!(rig.hears(0, subscriber), "!1");
        (1..=messages).for_each(|sequence| rig.say(0, publisher, &[message("a", sequence)]));
        let bytes = waiting_bytes(&mut rig, subscriber);
        (rig, subscriber, bytes)
    }

    /// Bytes that will leave.
    fn waiting_bytes(rig: &mut Rig, id: SessionId) -> usize {
        let egress = rig.shards[0].sessions().egress(id).unwrap();
        egress.bytes() - egress.frames() * EGRESS_ITEM_BYTES
    }

    fn all(parts: &[IoSlice<'_>]) -> usize {
        parts.iter().map(|part| part.len()).sum()
    }

    #[test]
    fn one_that_waits_and_more_than_one_send_takes_leave_whole() {
        for messages in [1, 2, 63, 64, 65, 200] {
            let (mut rig, id, bytes) = waiting(messages);
            let (mut sends, mut taken) = (0, 0);
            let visit = rig.shards[0].flush(id, |parts| {
                sends += 1;
                taken += all(parts);
                Ok::<_, ()>(Some(all(parts)))
            });
            assert_eq!((visit, taken), (Ok(Visit::Done), bytes), "{messages} messages");
            assert_eq!(sends, messages.div_ceil(SEND_SLICES_MAX as u64));
            assert_eq!(rig.shards[0].flush(id, |_| Err(())), Ok(Visit::Done), "nothing is given any more");
        }
    }

    #[test]
    fn who_takes_a_part_is_given_the_rest_later_and_nothing_twice() {
        let (mut rig, id, bytes) = waiting(3);
        let (mut taken, mut visits) = (Vec::new(), 0);
        loop {
            visits += 1;
            let visit = rig.shards[0].flush(id, |parts| {
                // A byte at a time, the first of what is given.
                taken.push(parts[0][0]);
                Ok::<_, ()>(Some(1))
            });
            if visit == Ok(Visit::Done) {
                break;
            }
            assert_eq!(visit, Ok(Visit::Full));
        }
        assert_eq!((taken.len(), visits), (bytes, bytes));
        let (mut whole, id, _) = waiting(3);
        let mut wanted = Vec::new();
        flush_all(&mut whole.shards[0], id, |part| wanted.extend_from_slice(part));
        assert_eq!(taken, wanted);
    }

    #[test]
    fn who_has_no_room_or_fails_loses_nothing() {
        let (mut rig, id, bytes) = waiting(2);
        assert_eq!(rig.shards[0].flush(id, |_| Ok::<_, ()>(None)), Ok(Visit::Full));
        assert_eq!(rig.shards[0].flush(id, |_| Err("broken")), Err("broken"));
        assert_eq!(waiting_bytes(&mut rig, id), bytes);
        assert_eq!(rig.hears(0, id), "a=1 a=2");
    }

    #[test]
    fn a_visit_ends_with_its_share_of_bytes() {
        let (mut rig, id, bytes) = waiting(2 * FLUSH_BYTES_PER_VISIT as u64 / 32);
        assert!(bytes > 2 * FLUSH_BYTES_PER_VISIT);
        let mut taken = 0;
        let visit = rig.shards[0].flush(id, |parts| {
            taken += all(parts);
            Ok::<_, ()>(Some(all(parts)))
        });
        assert_eq!(visit, Ok(Visit::Again));
        assert!((FLUSH_BYTES_PER_VISIT..2 * FLUSH_BYTES_PER_VISIT).contains(&taken), "{taken} bytes");
    }
}
