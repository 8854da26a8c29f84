//! The demand of a shard's sessions: which filters they have, told first on and last off to those who have messages for
//! them. Owned by a shard.

use super::base::Base;
use super::config::ShardConfig;
use super::interest::Interest;
use super::relays::Relays;
use super::upstream::Upstream;
use crate::carrier::LinkItem;
use crate::fanout::Encoding;
use crate::ids::{GroupId, ShardId};
use crate::topic::Filter;

/// The owners of who has been told which filter.
pub(super) struct Demand {
    /// Neighbours: other shards, and carriers.
    pub(super) interest: Interest,
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

    /// A group of sessions that are written to in this encoding has a filter.
    pub(super) fn file(&mut self, base: &mut Base, filter: &Filter, (group, encoding): (GroupId, Encoding)) {
        if encoding.needs_relays() {
            self.relays.file(filter, group);
        }
        if let Some(seq) = self.interest.add(filter) {
            self.tell(base, filter, (seq, true));
        }
    }

    /// A group has a filter no longer.
    pub(super) fn unfile(&mut self, base: &mut Base, filter: &Filter, group: GroupId) {
        self.relays.unfile(filter, group);
        if let Some(seq) = self.interest.remove(filter) {
            self.tell(base, filter, (seq, false));
        }
    }

    fn tell(&mut self, base: &mut Base, filter: &Filter, (seq, wanted): (u64, bool)) {
        for neighbour in base.links.neighbours() {
            base.send_link(neighbour, LinkItem::Interest { seq, filter: filter.clone(), wanted });
        }
        self.upstream.tell(base, filter, wanted);
    }
}
