//! The moves of a shard's sessions, as its pumps see them.

use std::time::Duration;

use super::moves::Parting;
use super::session_state::Transit;
use super::state::{Shard, take_out};
use crate::ids::{SessionId, ShardId};

/// A shard, to move its sessions to others.
pub struct Moving<'a>(&'a mut Shard);

impl<'a> Moving<'a> {
    /// Borrows a shard for that.
    pub fn of(shard: &'a mut Shard) -> Self {
        Moving(shard)
    }

    /// Takes a reading: in this time the shard's thread `ran` for so long, and `waited` for its core. While its core is
    /// somebody else's, its sessions move away.
    pub fn read(&mut self, time: Duration, ran: Duration, waited: Duration) {
        self.0.balance.read(&mut self.0.base, time, (ran, waited));
    }

    /// True if a shard does not get its core and another one has room, as far as this one knows: new sessions are better
    /// placed there.
    pub fn is_avoided(&self, shard: ShardId) -> bool {
        self.0.balance.is_avoided(shard)
    }

    /// Binds a session to this shard: its connection cannot go to another executor.
    pub fn bind(&mut self, id: SessionId) {
        if let Some(session) = self.0.base.sessions.get_mut(id) {
            session.is_bound = true;
        }
    }

    /// Begins to move some sessions to another shard, whatever the strain. Returns how many.
    pub fn begin(&mut self, to: ShardId) -> usize {
        let Shard { base, moves, .. } = &mut *self.0;
        if base.draining || !moves.may_begin() { 0 } else { moves.begin(base, to, |_| true) }
    }

    /// The next step of a session's pump, when it has been called.
    pub fn departure(&self, id: SessionId) -> Parting {
        self.0.moves.departure(&self.0.base, id)
    }

    /// Lets a session leave that can. Its connection is to follow: returns the shard, and its place there. `None`: it cannot.
    pub fn leave(&mut self, id: SessionId) -> Option<(ShardId, SessionId)> {
        let Shard { base, moves, succession, balance, .. } = &mut *self.0;
        let is_guest = base.sessions.get(id).is_some_and(|session| session.first_number.is_some());
        let (to, place, number) = moves.leave(base, id)?;
        if is_guest {
            balance.count_guest(number, false);
        }
        if number.shard() == base.id {
            succession.on_moved(number, Some((to, place)));
        }
        self.0.settle();
        take_out(self.0, id);
        self.0.base.farewell_when_drained();
        self.0.settle();
        Some((to, place))
    }

    /// True if a session that comes has arrived, and waits for its connection.
    pub fn has_arrived(&self, place: SessionId) -> bool {
        self.0.base.sessions.get(place).is_some_and(|session| session.transit == Transit::Unconnected)
    }

    /// The connection of a session that has arrived is here, or stays: no task waits to send what waits for the session, so
    /// that is sent.
    pub fn connect(&mut self, place: SessionId) {
        if let Some(session) = self.0.base.sessions.get_mut(place) {
            if session.transit == Transit::Unconnected {
                session.transit = Transit::Here;
            }
            session.listed = false;
            self.0.base.queue(place, Vec::new(), 0);
        }
    }
}
