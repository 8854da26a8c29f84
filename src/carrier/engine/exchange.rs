//! All that brokers tell one another beside messages and interest: lists of direct publishers, of topics to be counted, and the
//! counts. It lets each part do its own, and says to shards what follows. Owned by the engine's state.

use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::counting::Counting;
use super::registrations::{OtherRegistrations, OwnRegistrations};
use super::watching::Watching;
use super::word::{EngineWord, HeardRound, ListKind, ListPart};
use crate::carrier::near::Near;
use crate::ids::ShardId;
use crate::registry::RegistryChange;

/// The parts.
pub(super) struct Exchange {
    own_registrations: OwnRegistrations,
    other_registrations: OtherRegistrations,
    watching: Watching,
    counting: Counting,
}

impl Exchange {
    /// Nothing of so many shards.
    pub(super) fn new(shards: usize) -> Self {
        Exchange {
            own_registrations: OwnRegistrations::default(),
            other_registrations: OtherRegistrations::default(),
            watching: Watching::default(),
            counting: Counting::new(shards),
        }
    }

    /// The registry of this broker has changed, which gives leases of this length.
    pub(super) fn on_registry(&mut self, change: &RegistryChange, lease: Duration) {
        self.own_registrations.on_change(change, lease);
    }

    /// A shard asks for the count of a topic, unless that `stays` here.
    pub(super) fn on_watch(
        &mut self,
        (shard, watch): (ShardId, u64),
        (topic, stays): (Bytes, bool),
        near: &mut Near,
    ) {
        let known = self.watching.watch((shard, watch), topic, stays);
        near.say(shard, known);
    }

    /// It does so no longer.
    pub(super) fn on_unwatch(&mut self, asker: (ShardId, u64)) {
        self.watching.unwatch(asker);
    }

    /// A shard has counted.
    pub(super) fn on_count(&mut self, shard: ShardId, counted: (u64, u32), near: &Near) {
        self.counting.on_count(shard, counted, near.changes());
    }

    /// Notes which other brokers are there.
    pub(super) fn meet(&mut self, here: &[u64], near: &mut Near) {
        self.own_registrations.list().meet(here);
        for (shard, count) in self.watching.meet(here) {
            near.say(shard, count);
        }
    }

    /// A beat has passed; `is_here` tells the brokers that are there.
    pub(super) fn beat(&mut self, now: MonotonicNs, is_here: impl Fn(u64) -> bool, near: &mut Near) {
        self.watching.beat();
        self.counting.beat();
        self.own_registrations.list().beat();
        for item in self.other_registrations.beat(now, is_here) {
            near.say_to_registry(item);
        }
    }

    /// Forgets a broker. Its registrations end with their leases.
    pub(super) fn drop_broker(&mut self, start: u64, near: &mut Near) {
        for item in self.counting.drop_broker(start) {
            near.say_to_all(&item);
        }
    }

    /// The next word, and the broker that it is for. `seen` gives the number of changes of the interest here that a broker has
    /// answered; there are `changes` so far.
    pub(super) fn next_word(&mut self, changes: u64, seen: impl Fn(u64) -> u64) -> Option<(u64, EngineWord)> {
        if let Some(counts) = self.counting.next_word(changes, seen) {
            return Some(counts);
        }
        if let Some((start, heard)) = self.other_registrations.next_heard() {
            return Some((start, EngineWord::Heard(heard)));
        }
        if let Some((start, part)) = self.watching.next_part() {
            return Some((start, EngineWord::List { kind: ListKind::Topics, part }));
        }
        let (start, part) = self.own_registrations.list().next_part()?;
        Some((start, EngineWord::List { kind: ListKind::Publishers, part }))
    }

    /// Takes a part of a list of another broker, which may be on the same host. `None`: no broker says that.
    pub(super) fn on_list(
        &mut self,
        (start, is_near): (u64, bool),
        (kind, part): (ListKind, ListPart),
        near: &mut Near,
    ) -> Option<()> {
        match kind {
            ListKind::Topics => {
                for item in self.counting.on_watch(start, (part, near.changes())) {
                    near.say_to_all(&item);
                }
            }
            ListKind::Publishers => {
                for item in self.other_registrations.on_part(start, part, is_near)? {
                    near.say_to_registry(item);
                }
            }
        }
        Some(())
    }

    /// A broker says what it has heard of the direct publishers here.
    pub(super) fn on_heard(&mut self, start: u64, HeardRound { round, heard }: HeardRound) {
        self.own_registrations.list().on_heard(start, (round, heard));
    }

    /// A broker says counts: see [`Watching::on_counts`].
    pub(super) fn on_counts(
        &mut self,
        start: u64,
        answer: (u64, u64, u64),
        counts: Vec<(u64, u32)>,
        near: &mut Near,
    ) {
        for (shard, count) in self.watching.on_counts(start, answer, counts) {
            near.say(shard, count);
        }
    }

    /// Direct publishers that are registered at another broker.
    pub(super) fn publishers_of(&self, start: u64) -> usize {
        self.other_registrations.count_of(start)
    }
}
