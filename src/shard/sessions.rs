//! The table of a shard's sessions: slots with generations, so that a late event of an ended session finds
//! nobody rather than the next one in its slot.

use slab::Slab;

use super::rest::Rest;
use super::session::Session;
use crate::ids::SessionId;

#[derive(Default)]
pub(super) struct Sessions {
    slots: Slab<Session>,
    next_generation: u32,
}

impl Sessions {
    /// Files a session that `make` builds for its generation.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> Session) -> SessionId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let slot = self.slots.insert(make(generation));
        SessionId { slot: u32::try_from(slot).expect("SESSIONS_PER_SHARD_MAX fits"), generation }
    }

    #[inline]
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.slots.get(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)
    }

    /// The work of a session that waits for its next turn, if there is any.
    pub(super) fn rest_of(&mut self, id: SessionId) -> Option<&mut Rest> {
        self.get_mut(id)?.rest.as_deref_mut()
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.get(id)?;
        Some(self.slots.remove(id.slot as usize))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Slots ever used at the same time: what a sweep goes through.
    pub(super) fn slots(&self) -> usize {
        self.slots.capacity()
    }

    /// Who is in that slot.
    pub(super) fn in_slot(&self, slot: usize) -> Option<SessionId> {
        let session = self.slots.get(slot)?;
        Some(SessionId { slot: u32::try_from(slot).ok()?, generation: session.generation })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.slots.iter().map(|(slot, session)| {
            let slot = u32::try_from(slot).expect("SESSIONS_PER_SHARD_MAX fits");
            (SessionId { slot, generation: session.generation }, session)
        })
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.slots.iter().filter_map(|(slot, _)| self.in_slot(slot)).collect()
    }
}
