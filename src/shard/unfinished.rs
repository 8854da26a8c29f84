//! Frames that have begun and are not whole: how much memory they may hold together, and until when they must go on.
//! Owned by a shard.

use std::collections::VecDeque;

use corecast_executors::MonotonicNs;

use super::begun::Begun;
use super::session_state::{Phase, SessionState};
use super::session_table::SessionTable;
use crate::ids::SessionId;
use crate::limits::{FRAME_STALL_CROWDED, PARTIAL_BYTES_IN_SLAB, UNFINISHED_BYTES_MAX};
use crate::wire::Partial;

/// The share of memory that the long ones have together. A frame is let in for all that it may come to, so that those
/// which are in can end; others wait with what they have, at most a turn's read each.
#[derive(Default, Debug)]
pub(super) struct Unfinished {
    bytes: usize,
    reserved: usize,
    /// The number of frames that are let in.
    admitted: usize,
    /// Sessions that have more to read and are held, in order.
    waiting: VecDeque<SessionId>,
}

impl Unfinished {
    /// Notes after each turn that read from a session which frame has begun and is not whole, and whether any was
    /// completed. Returns the sessions that may go on with theirs.
    pub(super) fn note(
        &mut self,
        sessions: &mut SessionTable,
        now: MonotonicNs,
        (id, partial, completed): (SessionId, Partial, bool),
    ) -> Vec<SessionId> {
        let Some(session) = sessions.get_mut(id) else { return Vec::new() };
        session.heard = now;
        if session.phase != Phase::Open {
            return Vec::new();
        }
        let was_long = session.begun.is_long();
        if completed || session.deadline.is_none() {
            self.forget(&mut session.begun);
            session.begun = Begun::at(now);
        }
        if partial.received_bytes == 0 {
            session.deadline = None;
        } else {
            session.deadline = Some(session.begun.grow(now, partial));
            if partial.held_bytes > PARTIAL_BYTES_IN_SLAB {
                let (bytes, at_most) = (partial.held_bytes, partial.at_most_bytes);
                let grown = Begun { bytes, at_most, ..session.begun };
                self.change(&mut session.begun, grown);
            } else if was_long {
                // Its message is too long: the bytes that were held have been skipped.
                self.forget(&mut session.begun);
            }
        }
        if was_long && (completed || !session.begun.is_long()) {
            return self.let_in_others(sessions);
        }
        Vec::new()
    }

    /// A session has something to read and is to go on with its frame. `false`: it is a long one, for which there is no
    /// room now; the session waits.
    pub(super) fn may_go_on(&mut self, sessions: &mut SessionTable, id: SessionId) -> bool {
        let Some(session) = sessions.get_mut(id) else { return true };
        if !session.begun.is_long() || session.begun.admitted || session.held_by > 0 {
            return true;
        }
        let may = self.waiting.is_empty() && self.admit(&mut session.begun);
        if !may {
            self.waiting.push_back(id);
        }
        may
    }

    /// True if a session's long frame is at a stop while others wait for what it holds.
    pub(super) fn is_in_the_way(&self, session: &SessionState, now: MonotonicNs) -> bool {
        let is_stalled = || now.saturating_since(session.begun.stepped.0) >= FRAME_STALL_CROWDED;
        !self.waiting.is_empty() && session.begun.is_long() && session.held_by == 0 && is_stalled()
    }

    /// A session that is held does not go on. Returns those that may, with what was set aside for it.
    pub(super) fn suspend(&mut self, sessions: &mut SessionTable, id: SessionId) -> Vec<SessionId> {
        let Some(session) = sessions.get_mut(id).filter(|session| session.begun.admitted) else {
            return Vec::new();
        };
        let suspended = Begun { admitted: false, ..session.begun };
        self.change(&mut session.begun, suspended);
        self.let_in_others(sessions)
    }

    /// A session ends. Returns the sessions that are not held any longer, itself if it waited; `None`: it had begun no long
    /// frame.
    pub(super) fn forget_session(
        &mut self,
        sessions: &mut SessionTable,
        id: SessionId,
    ) -> Option<Vec<SessionId>> {
        let session = sessions.get_mut(id).filter(|session| session.begun.is_long())?;
        self.forget(&mut session.begun);
        let mut released = Vec::new();
        if let Some(at) = self.waiting.iter().position(|waiting| *waiting == id) {
            self.waiting.remove(at);
            released.push(id);
        }
        released.extend(self.let_in_others(sessions));
        Some(released)
    }

    /// There may be room for those that wait: lets them in, and returns them.
    fn let_in_others(&mut self, sessions: &mut SessionTable) -> Vec<SessionId> {
        let mut admitted = Vec::new();
        while let Some(next) = self.waiting.front().copied() {
            if let Some(session) = sessions.get_mut(next)
                && !self.admit(&mut session.begun)
            {
                break;
            }
            self.waiting.pop_front();
            admitted.push(next);
        }
        admitted
    }

    /// Counts again what is not finished.
    pub(super) fn audit(&self, sessions: &SessionTable) {
        let (mut bytes, mut reserved, mut admitted) = (0, 0, 0);
        for (_, session) in sessions.iter() {
            bytes += session.begun.bytes;
            reserved += session.begun.reserved();
            admitted += usize::from(session.begun.admitted);
        }
        let counted = (self.bytes, self.reserved, self.admitted);
        assert_eq!(counted, (bytes, reserved, admitted), "bytes here, set aside, frames let in");
        for id in &self.waiting {
            let held = sessions.get(*id).is_some_and(|session| session.held_by > 0);
            assert!(held, "{id} waits to go on, and is not held");
        }
    }

    /// Sets aside what a frame may come to, if there is room for it. One is let in even if it is longer than all the room.
    fn admit(&mut self, begun: &mut Begun) -> bool {
        let others = self.reserved - begun.reserved();
        if self.admitted > 0 && others + begun.at_most > UNFINISHED_BYTES_MAX {
            return false;
        }
        let admitted = Begun { admitted: true, ..*begun };
        self.change(begun, admitted);
        true
    }

    fn forget(&mut self, begun: &mut Begun) {
        let gone = Begun { bytes: 0, at_most: 0, admitted: false, ..*begun };
        self.change(begun, gone);
    }

    fn change(&mut self, begun: &mut Begun, to: Begun) {
        self.bytes = self.bytes - begun.bytes + to.bytes;
        self.reserved = self.reserved - begun.reserved() + to.reserved();
        self.admitted = self.admitted - usize::from(begun.admitted) + usize::from(to.admitted);
        *begun = to;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::origin::Origin;
    use super::super::rig::Rig;
    use super::*;
    use crate::fanout::OverflowPolicy;
    use crate::limits::{FRAME_STALL, FRAME_STEP_BYTES, READ_BYTES_PER_TURN};

    const LONG: usize = 4 << 20;
    const SECOND: Duration = Duration::from_secs(1);

    fn open(rig: &mut Rig, sessions: usize) -> Vec<SessionId> {
        (0..sessions).map(|_| rig.open(0, OverflowPolicy::DropOldest)).collect()
    }

    /// A session's socket has more of a long frame, to so many bytes (0: to its end): it reads, unless it is held.
    fn reads(rig: &mut Rig, id: SessionId, partial_bytes: usize) -> bool {
        let shard = &mut rig.shards[0];
        shard.on_readable(id);
        let goes_on = !shard.sessions().is_held(id);
        if goes_on {
            shard.on_partial(id, Partial::frame(partial_bytes, Some(LONG)), partial_bytes == 0);
        }
        shard.audit();
        goes_on
    }

    /// Sessions that have begun a long frame each, of which all but the end has come, or as much as they may send.
    fn nearly_whole(rig: &mut Rig, sessions: usize) -> Vec<SessionId> {
        let ids = open(rig, sessions);
        for id in &ids {
            assert!(reads(rig, *id, READ_BYTES_PER_TURN), "what one read brings is taken");
            reads(rig, *id, LONG - 10);
        }
        ids
    }

    #[test]
    fn all_together_hold_no_more_than_they_may_and_everybody_comes_to_an_end() {
        let mut rig = Rig::with_shards(1);
        let ids = open(&mut rig, 100);
        let (mut at, mut whole) = (vec![0; ids.len()], vec![false; ids.len()]);
        while whole.contains(&false) {
            let before = at.clone();
            for n in 0..ids.len() {
                if whole[n] || rig.shards[0].sessions().is_held(ids[n]) {
                    continue;
                }
                let next = at[n] + 8 * READ_BYTES_PER_TURN;
                if reads(&mut rig, ids[n], if next >= LONG { 0 } else { next }) {
                    (at[n], whole[n]) = (next, next >= LONG);
                }
                let most = UNFINISHED_BYTES_MAX + ids.len() * 8 * READ_BYTES_PER_TURN;
                assert!(rig.shards[0].sessions().unfinished_bytes() <= most);
            }
            assert_ne!(at, before, "somebody goes on");
        }
        assert_eq!(rig.shards[0].sessions().unfinished_bytes(), 0);
        assert!(ids.iter().all(|id| !rig.shards[0].sessions().is_held(*id)));
    }

    #[test]
    fn a_long_frame_that_does_not_grow_ends_its_session_soon() {
        let mut rig = Rig::with_shards(1);
        let stalled = nearly_whole(&mut rig, 3);
        let slow = open(&mut rig, 1)[0];
        for second in 1..=3 * FRAME_STALL.as_secs() as usize {
            // Slower than most, and never at a stop.
            assert!(reads(&mut rig, slow, PARTIAL_BYTES_IN_SLAB + FRAME_STEP_BYTES * second / 2));
            rig.wait(SECOND);
        }
        for id in stalled {
            assert_eq!(rig.hears(0, id), "frame_timeout");
        }
        assert_eq!(rig.hears(0, slow), "");
        assert!(
            rig.shards[0].sessions().unfinished_bytes() < LONG,
            "what was begun is not kept until the peer has left"
        );
    }

    #[test]
    fn who_stands_in_the_way_of_others_goes_sooner_and_who_waits_is_not_late() {
        let mut rig = Rig::with_shards(1);
        let stalled = nearly_whole(&mut rig, UNFINISHED_BYTES_MAX / LONG);
        rig.wait(2 * FRAME_STALL_CROWDED);
        for id in &stalled {
            assert_eq!(rig.hears(0, *id), "", "nobody waits");
        }
        let late = nearly_whole(&mut rig, 3);
        assert!(late.iter().all(|id| rig.shards[0].sessions().is_held(*id)));
        rig.wait(SECOND);
        let gone = stalled.iter().filter(|id| rig.hears(0, **id) == "frame_timeout").count();
        assert_eq!(gone, late.len(), "as many as had to");
        for id in late {
            assert!(!rig.shards[0].sessions().is_held(id));
            assert!(reads(&mut rig, id, LONG - 5) && reads(&mut rig, id, 0));
            assert_eq!(rig.hears(0, id), "");
        }
    }

    #[test]
    fn a_publisher_that_is_held_leaves_its_room_to_others() {
        let mut rig = Rig::with_shards(1);
        let held = nearly_whole(&mut rig, UNFINISHED_BYTES_MAX / LONG)[0];
        // Of its frame there is little.
        let little = Partial::frame(PARTIAL_BYTES_IN_SLAB + 1, Some(LONG));
        rig.shards[0].on_partial(held, little, true);
        rig.shards[0].on_readable(held);
        let late = nearly_whole(&mut rig, 1)[0];
        assert!(rig.shards[0].sessions().is_held(late));
        rig.shards[0].base.hold(Origin::Here(held));
        assert!(rig.shards[0].sessions().is_held(late), "what is here of it takes room");
        let _ = rig.shards[0].on_closed(held, None);
        assert!(!rig.shards[0].sessions().is_held(late));
        rig.audit();
    }
}
