//! Words of neighbours: those that come over links, and those that wait for them.

use super::origin::Origin;
use super::state::Shard;
use super::successors::Predecessor;
use crate::carrier::LinkItem;
use crate::fanout::{FILING_STEPS, Target};
use crate::ids::{Neighbour, ShardId};

impl Shard {
    /// A neighbour tells something. It is done now, or after what came before it and waits for the next turn.
    pub fn on_link(&mut self, from: impl Into<Neighbour>, item: LinkItem) {
        let from = from.into();
        if self.base.turn.is_over() || self.base.links.is_behind(from) {
            self.base.links.keep(from, item);
        } else {
            self.take_item(from, item);
        }
    }

    pub(super) fn take_item(&mut self, from: Neighbour, item: LinkItem) {
        self.on_item(from, item);
        self.settle();
    }

    fn on_item(&mut self, from: Neighbour, item: LinkItem) {
        match item {
            LinkItem::Batch { batch, publisher } => self.take_batch(from, &batch, publisher),
            LinkItem::Hold { publisher } => self.base.hold(Origin::Here(publisher)),
            LinkItem::Release { publisher } => self.base.release(&[Origin::Here(publisher)]),
            LinkItem::Interest { seq, filter, wanted } => {
                self.base.turn.spend(FILING_STEPS);
                if wanted {
                    self.fanout.router.insert(&filter, Target::Neighbour(from));
                } else {
                    self.fanout.router.remove(&filter, Target::Neighbour(from));
                }
                self.tell_upstream(&filter, wanted);
                self.tell_seen(from, seq);
            }
            LinkItem::Repeated { filter } => self.on_repeated(&filter),
            LinkItem::InterestSeen { seq } => {
                self.interest.acks.seen_by(from, seq);
                self.answer_done();
            }
            LinkItem::Watch { watch, topic } => {
                self.watches.add_asked(self.base.links.shard(from), watch, topic);
                self.count_watched();
            }
            LinkItem::Unwatch { watch } => self.watches.remove_asked(self.base.links.shard(from), watch),
            LinkItem::Count { watch, count } => {
                self.watches.counted(self.base.links.shard(from), watch, count);
                self.tell_watches();
            }
            LinkItem::Registry { session, ask } => {
                self.on_registry_ask(self.base.links.shard(from), session, ask);
            }
            LinkItem::Publisher { seq, change } => {
                self.on_registry_change(change);
                self.tell_publisher_seen(self.base.links.shard(from), seq);
            }
            LinkItem::PublisherSeen { seq } => self.on_publisher_seen(self.base.links.shard(from), seq),
            LinkItem::Answer { session, bytes } => self.on_registry_answer(session, bytes),
            LinkItem::ListPart { session, bytes, last } => self.on_list_part(session, bytes, last),
            LinkItem::Succeed { number, ticket, successor } => {
                let successor = (self.base.links.shard(from), successor);
                self.end_predecessor(Predecessor { number, ticket }, successor);
            }
            LinkItem::Fence { seq } => self.tell_seen(from, seq),
            LinkItem::Open { session } => self.welcome(session),
            LinkItem::LastBatch => {
                self.base.links.end(from);
                self.farewell_when_drained();
            }
        }
    }

    /// Takes the next item for a neighbour's link.
    pub fn link_next(&mut self, to: impl Into<Neighbour>) -> Option<LinkItem> {
        self.base.links.outgoing(to.into()).next()
    }

    /// Bytes and messages of batches that wait for neighbours, or came from them and wait for their turn.
    pub fn links_depth(&self) -> (u64, u64) {
        self.base.links.depth()
    }

    /// The link had no room for the item that [`Shard::link_next`] gave: it stays first.
    pub fn link_put_back(&mut self, to: impl Into<Neighbour>, item: LinkItem) {
        self.base.links.outgoing(to.into()).put_back(item);
    }

    /// Items have gone to a neighbour: publishers that waited for that may go on.
    pub fn on_link_room(&mut self, to: impl Into<Neighbour>) {
        self.withdraw();
        let holds = self.base.links.outgoing(to.into()).take_released();
        self.base.release(&holds);
    }

    /// That neighbour's changes of interest are known here up to this one. If the last that waits for it says so of
    /// an earlier one, it now says so of this.
    fn tell_seen(&mut self, to: Neighbour, change: u64) {
        match self.base.links.outgoing(to).last_mut() {
            Some(LinkItem::InterestSeen { seq }) => *seq = change,
            _ => self.base.send_link(to, LinkItem::InterestSeen { seq: change }),
        }
    }

    /// The registry's changes are known here up to this one, said in the same way.
    fn tell_publisher_seen(&mut self, to: ShardId, change: u64) {
        match self.base.links.outgoing(to.into()).last_mut() {
            Some(LinkItem::PublisherSeen { seq }) => *seq = change,
            _ => self.base.send_link(to, LinkItem::PublisherSeen { seq: change }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::{Rig, message, subscribe};
    use crate::fanout::OverflowPolicy;

    #[test]
    fn what_waits_for_another_shard_is_counted_until_it_has_gone() {
        let mut rig = Rig::with_shards(2);
        let subscriber = rig.open(1, OverflowPolicy::DropOldest);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(1, subscriber, &[subscribe("a", 1)]);
        rig.travel();
        assert_eq!(rig.shards[0].links_depth(), (0, 0));
        rig.say(0, publisher, &[message("a", 1), message("a", 2)]);
        let (bytes, messages) = rig.shards[0].links_depth();
        assert!(bytes > 0 && messages == 2, "{messages} in {bytes}");
        rig.travel();
        assert_eq!(rig.shards[0].links_depth(), (0, 0));
        assert_eq!(rig.shards[1].links_depth(), (0, 0));
    }
}
