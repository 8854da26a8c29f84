//! The decision to move sessions: from a shard that does not get its core to one that has room, and back when the core has
//! been free for long. Owned by a shard.

use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::base::Base;
use super::moves::Moves;
use super::run_delay::RunDelay;
use crate::carrier::{MoveItem, ShardItem, Strain};
use crate::ids::{SessionNumber, ShardId};
use crate::limits::{RETURN_AFTER, RETURN_AFTER_MAX, STARVED_FOR};

/// The strain of one shard, as it has said.
#[derive(Clone, Default)]
struct Known {
    strain: Strain,
    /// The time of the last change.
    since: MonotonicNs,
    /// The number of times that it has been starved, since it last had room for [`RETURN_AFTER_MAX`].
    starved: u32,
    /// The sessions here that came there first.
    guests: u32,
}

/// The strain of all shards.
#[derive(Default)]
pub(super) struct Balance {
    run_delay: RunDelay,
    /// By shard, this one among them.
    shards: Vec<Known>,
    /// The shard that got sessions last.
    last: usize,
}

impl Balance {
    /// Nothing is known of so many shards yet, and each has room.
    pub(super) fn among(shards: usize) -> Self {
        Balance { shards: vec![Known::default(); shards], ..Balance::default() }
    }

    fn known(&mut self, shard: ShardId) -> &mut Known {
        &mut self.shards[usize::from(shard.0)]
    }

    /// Takes a reading of this shard's run delay, and tells the other shards if its strain has changed.
    pub(super) fn read(&mut self, base: &mut Base, time: Duration, (ran, waited): (Duration, Duration)) {
        let Some(strain) = self.run_delay.read(time, ran, waited) else { return };
        base.counters.starved = u64::from(strain == Strain::Starved);
        self.note(base.id, strain, base.clock.now());
        for shard in base.links.others() {
            base.send_shard(shard, ShardItem::Move(MoveItem::Strain(strain)));
        }
    }

    /// A shard says what its strain is now.
    pub(super) fn note(&mut self, shard: ShardId, strain: Strain, now: MonotonicNs) {
        let known = self.known(shard);
        if known.strain == Strain::Free && now.saturating_since(known.since) >= RETURN_AFTER_MAX {
            known.starved = 0;
        }
        (known.strain, known.since) = (strain, now);
        known.starved += u32::from(strain == Strain::Starved);
    }

    /// True if a shard is starved and another one has room, where new sessions are better placed.
    pub(super) fn is_avoided(&self, shard: ShardId) -> bool {
        self.shards[usize::from(shard.0)].strain == Strain::Starved
            && self.shards.iter().any(|known| known.strain == Strain::Free)
    }

    /// A session of this number has come here from another shard (`came`), or one that had come has left.
    pub(super) fn count_guest(&mut self, number: SessionNumber, came: bool) {
        let guests = &mut self.known(number.shard()).guests;
        *guests = if came { *guests + 1 } else { *guests - 1 };
    }

    /// Begins to move sessions, if any should.
    pub(super) fn on_tick(&mut self, base: &mut Base, moves: &mut Moves) {
        if !base.config.moves || base.draining || !moves.may_begin() {
            return;
        }
        let now = base.clock.now();
        let own = self.known(base.id);
        if own.strain == Strain::Starved {
            if now.saturating_since(own.since) >= STARVED_FOR
                && let Some(to) = self.next_free()
            {
                moves.begin(base, to, |_| true);
            }
            return;
        }
        let is_quiet = |known: &Known| {
            let time = (RETURN_AFTER * (1 << known.starved.min(10)) / 2).min(RETURN_AFTER_MAX);
            known.strain == Strain::Free && now.saturating_since(known.since) >= time
        };
        for (shard, known) in (0..).map(ShardId).zip(&self.shards) {
            let returns = known.guests > 0 && known.starved > 0 && is_quiet(known) && shard != base.id;
            let is_first_there = |number: SessionNumber| number.shard() == shard;
            if returns
                && moves.begin(base, shard, |session| session.first_number.is_some_and(is_first_there)) > 0
            {
                return;
            }
        }
    }

    /// The next shard in turn that has room.
    fn next_free(&mut self) -> Option<ShardId> {
        let shards = self.shards.len();
        let in_turn = (1..=shards).map(|step| (self.last + step) % shards);
        let free = in_turn.into_iter().find(|shard| self.shards[*shard].strain == Strain::Free)?;
        self.last = free;
        Some(ShardId(u16::try_from(free).expect("shards are counted in 16 bits")))
    }
}

#[cfg(test)]
mod tests;
