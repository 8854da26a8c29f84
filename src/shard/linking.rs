//! What shards tell each other: what waits for a link, what comes over one, and who is held while too much waits.

use super::origin::Origin;
use super::outbox::LinkItem;
use super::state::Shard;
use super::successors::Predecessor;
use crate::fanout::{FILING_STEPS, Target};
use crate::ids::ShardId;

impl Shard {
    /// Another shard tells something. It is done now, or after what came before it and waits for the next turn.
    pub fn on_link(&mut self, from: ShardId, item: LinkItem) {
        if self.base.turn.is_over() || self.base.links.is_behind(from) {
            self.base.links.keep(from, item);
        } else {
            self.take_item(from, item);
        }
    }

    pub(super) fn take_item(&mut self, from: ShardId, item: LinkItem) {
        self.on_item(from, item);
        self.settle();
    }

    fn on_item(&mut self, from: ShardId, item: LinkItem) {
        match item {
            LinkItem::Batch { batch, publisher } => self.take_batch(from, &batch, publisher),
            LinkItem::Hold { publisher } => self.base.hold(Origin::Here(publisher)),
            LinkItem::Release { publisher } => self.base.release(&[Origin::Here(publisher)]),
            LinkItem::Interest { seq, filter, wanted } => {
                self.base.turn.spend(FILING_STEPS);
                if wanted {
                    self.fanout.router.insert(&filter, Target::Shard(from));
                } else {
                    self.fanout.router.remove(&filter, Target::Shard(from));
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
                self.watches.add_asked(from, watch, topic);
                self.count_watched();
            }
            LinkItem::Unwatch { watch } => self.watches.remove_asked(from, watch),
            LinkItem::Count { watch, count } => {
                self.watches.counted(from, watch, count);
                self.tell_watches();
            }
            LinkItem::Registry { session, ask } => self.on_registry_ask(from, session, ask),
            LinkItem::Publisher { seq, change } => {
                self.on_registry_change(change);
                self.tell_publisher_seen(from, seq);
            }
            LinkItem::PublisherSeen { seq } => self.on_publisher_seen(from, seq),
            LinkItem::Answer { session, bytes } => self.on_registry_answer(session, bytes),
            LinkItem::ListPart { session, bytes, last } => self.on_list_part(session, bytes, last),
            LinkItem::Succeed { number, ticket, successor } => {
                self.end_predecessor(Predecessor { number, ticket }, (from, successor));
            }
            LinkItem::Fence { seq } => self.tell_seen(from, seq),
            LinkItem::Open { session } => self.welcome(session),
            LinkItem::LastBatch => {
                self.base.links.end(from);
                self.farewell_when_drained();
            }
        }
    }

    /// The next item for another shard's link.
    pub fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.base.links.next(to)
    }

    /// Bytes and messages of batches that wait for other shards, or came from them and wait for their turn.
    pub fn links_depth(&self) -> (u64, u64) {
        self.base.links.depth()
    }

    /// The link had no room for the item that [`Shard::link_next`] gave: it stays first.
    pub fn link_put_back(&mut self, to: ShardId, item: LinkItem) {
        self.base.links.put_back(to, item);
    }

    /// Items have gone to another shard: publishers that waited for that may go on.
    pub fn on_link_room(&mut self, to: ShardId) {
        self.withdraw();
        let holds = self.base.links.take_holds_if_room(to);
        self.base.release(&holds);
    }

    /// That shard's changes of interest are known here up to this one. If the last that waits for it says so of
    /// an earlier one, it now says so of this.
    fn tell_seen(&mut self, to: ShardId, change: u64) {
        match self.base.links.last_mut(to) {
            Some(LinkItem::InterestSeen { seq }) => *seq = change,
            _ => self.base.send_link(to, LinkItem::InterestSeen { seq: change }),
        }
    }

    /// The same of the registry's changes.
    fn tell_publisher_seen(&mut self, to: ShardId, change: u64) {
        match self.base.links.last_mut(to) {
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
