//! The demand for messages on a shard: the filters that are wanted, each for any number of reasons, told first on and last
//! off to those that have messages for them. Owned by a shard.

use std::collections::BTreeMap;

use super::base::Base;
use super::config::ShardConfig;
use super::interest::Interest;
use super::relays::Relays;
use super::upstream::Upstream;
use crate::carrier::{Acks, LinkItem};
use crate::ids::{Neighbour, ShardId};
use crate::topic::Filter;

/// Those that are told of a filter, first on and last off.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// All neighbours, and ZeroMQ publishers of this shard: something here wants what the filter matches.
    Everybody,
    /// ZeroMQ publishers of this shard: a neighbour wants it, and has told the other neighbours itself.
    Publishers,
}

/// The owners of what has been told to whom.
pub(super) struct Demand {
    /// Neighbours: other shards, and carriers.
    interest: Interest,
    /// ZeroMQ publishers of this shard.
    pub(super) upstream: Upstream,
    /// Direct publishers, for ZeroMQ subscribers of this shard.
    pub(super) relays: Relays,
}

impl Demand {
    pub(super) fn new(me: ShardId, config: &ShardConfig) -> Self {
        Demand {
            interest: Interest::new(me, config.shards + config.carriers),
            upstream: Upstream::default(),
            relays: Relays::new(config),
        }
    }

    /// Counts one reason more to want what this filter matches.
    pub(super) fn add(&mut self, base: &mut Base, filter: &Filter, told: Told) {
        match told {
            Told::Everybody => {
                if let Some(seq) = self.interest.add(filter) {
                    self.tell(base, filter, (seq, true));
                }
            }
            Told::Publishers => self.upstream.tell(base, filter, true),
        }
    }

    /// Counts one reason fewer. Those are told that were told of that reason.
    pub(super) fn remove(&mut self, base: &mut Base, filter: &Filter, told: Told) {
        match told {
            Told::Everybody => {
                if let Some(seq) = self.interest.remove(filter) {
                    self.tell(base, filter, (seq, false));
                }
            }
            Told::Publishers => self.upstream.tell(base, filter, false),
        }
    }

    fn tell(&mut self, base: &mut Base, filter: &Filter, (seq, wanted): (u64, bool)) {
        for neighbour in base.links.neighbours() {
            base.send_link(neighbour, LinkItem::Interest { seq, filter: filter.clone(), wanted });
        }
        self.upstream.tell(base, filter, wanted);
    }

    /// Asks all neighbours to say when all that was sent to them before has arrived. They answer as they do a change.
    pub(super) fn ask_for_arrival(&mut self, base: &mut Base) {
        let seq = self.interest.next_question();
        let kept_at = base.kept_at();
        for neighbour in base.links.neighbours() {
            base.send_link(neighbour, LinkItem::Fence { seq, kept_at });
        }
    }

    /// A neighbour knows all that it was told up to this change.
    pub(super) fn seen_by(&mut self, neighbour: Neighbour, seq: u64) {
        self.interest.seen_by(neighbour, seq);
    }

    /// The changes so far, and how far each neighbour knows of them.
    pub(super) fn changes(&self) -> &Acks {
        self.interest.changes()
    }

    /// The number of reasons here to want each filter, for simulations and tests.
    pub(super) fn wanted(&self) -> BTreeMap<&Filter, u32> {
        self.interest.wanted()
    }
}
