//! The table of a shard's sessions: slots with generations, so that a late event of an ended session finds
//! nobody rather than the next one in its slot.

use corecast_executors::MonotonicNs;
use slab::Slab;

use super::rest::Rest;
use super::session_state::{Phase, SessionState};
use crate::auth::Identity;
use crate::fanout::{Batch, EgressQueue, OverflowPolicy};
use crate::ids::{SessionId, SessionNumber, ShardId};
use crate::slack::give_back_slab;
use crate::topic::Filter;

/// The sessions of one shard.
#[derive(Default)]
pub struct SessionTable {
    slots: Slab<SessionState>,
    next_generation: u32,
}

impl SessionTable {
    /// Files a session that `make` builds for its generation.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> SessionState) -> SessionId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let slot = self.slots.insert(make(generation));
        SessionId { slot: u32::try_from(slot).expect("SESSIONS_PER_SHARD_MAX fits"), generation }
    }

    #[inline]
    pub(super) fn get(&self, id: SessionId) -> Option<&SessionState> {
        self.slots.get(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut SessionState> {
        self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    /// The work of a session that waits for its next turn, if there is any.
    pub(super) fn rest_of(&mut self, id: SessionId) -> Option<&mut Rest> {
        self.get_mut(id)?.rest.as_deref_mut()
    }

    /// Keeps input of a session that is listened to for its next turn, behind what waits.
    pub(super) fn keep(&mut self, id: SessionId, rest: Batch) {
        if let Some(waiting) = self.rest_to_fill(id) {
            waiting.batches.push_back(rest);
        }
    }

    /// The waiting input of a session, to add to it; `None` if it is not listened to any more.
    pub(super) fn rest_to_fill(&mut self, id: SessionId) -> Option<&mut Rest> {
        let session = self.get_mut(id).filter(|session| session.is_listening())?;
        Some(session.rest.get_or_insert_default())
    }

    /// The phase of a session; `None` if it has ended.
    pub fn phase(&self, id: SessionId) -> Option<Phase> {
        self.get(id).map(|session| session.phase)
    }

    /// True if this publisher is not to be read now.
    pub fn is_held(&self, publisher: SessionId) -> bool {
        self.get(publisher).is_some_and(|session| session.held_by > 0)
    }

    /// True if something of this session was read and waits for its next turn: until [`super::Shard::go_on`] has done it,
    /// nothing more is to be read.
    pub fn is_behind(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(|session| session.rest.is_some())
    }

    /// True if a session has this very filter.
    pub(super) fn is_subscribed(&self, id: SessionId, filter: &Filter) -> bool {
        self.get(id).is_some_and(|session| session.subscriptions.filters().contains(filter))
    }

    /// True if frames of this session are still taken.
    #[inline]
    pub(super) fn is_listening(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(SessionState::is_listening)
    }

    /// The peer of a session, while the session is there.
    pub fn identity_of(&self, id: SessionId) -> Option<&Identity> {
        self.get(id).map(|session| &session.identity)
    }

    /// The number of a session, by which its client and the log know it. `id` is, or was, its place on `shard`.
    pub fn number_of(&self, id: SessionId, shard: ShardId) -> SessionNumber {
        self.get(id).map_or_else(|| id.number(shard), |session| session.number(id, shard))
    }

    /// The name that the client of a session calls itself by, while the session is there.
    pub fn client_of(&self, id: SessionId) -> Option<&str> {
        self.get(id)?.client.as_deref()
    }

    /// The queue of what waits for a session, while the session is there.
    pub fn egress(&self, id: SessionId) -> Option<&EgressQueue> {
        self.get(id).map(|session| &session.egress)
    }

    /// The overflow policy of a session, and the time since which something waits for it, if its connection has no room.
    pub fn stall_of(&self, id: SessionId) -> Option<(OverflowPolicy, MonotonicNs)> {
        let session = self.get(id).filter(|session| session.egress.is_stalled())?;
        Some((session.policy, session.stalled_at))
    }

    /// Bytes of long frames that are not whole, of all sessions: adds them up.
    pub fn unfinished_bytes(&self) -> usize {
        self.iter().map(|(_, session)| session.begun.bytes).sum()
    }

    /// Bytes and frames that wait for all sessions: adds them up, so not for each message.
    pub fn egress_depth(&self) -> (u64, u64) {
        let queues = self.iter().map(|(_, session)| &session.egress);
        queues.fold((0, 0), |(b, f), q| (b + q.bytes() as u64, f + q.frames() as u64))
    }

    /// The number of watches that all sessions have asked for.
    pub(super) fn watches(&self) -> usize {
        self.iter().map(|(_, session)| session.watches as usize).sum()
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<SessionState> {
        self.get(id)?;
        let gone = self.slots.remove(id.slot as usize);
        give_back_slab(&mut self.slots);
        Some(gone)
    }

    /// True if nobody is here.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Slots ever used at the same time: what a sweep goes through.
    pub(super) fn slots(&self) -> usize {
        self.slots.capacity()
    }

    /// The session in that slot.
    pub(super) fn in_slot(&self, slot: usize) -> Option<SessionId> {
        let session = self.slots.get(slot)?;
        Some(SessionId { slot: u32::try_from(slot).ok()?, generation: session.generation })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &SessionState)> {
        self.slots.iter().map(|(slot, session)| {
            let slot = u32::try_from(slot).expect("SESSIONS_PER_SHARD_MAX fits");
            (SessionId { slot, generation: session.generation }, session)
        })
    }

    /// The sessions.
    pub fn ids(&self) -> Vec<SessionId> {
        self.slots.iter().filter_map(|(slot, _)| self.in_slot(slot)).collect()
    }
}
