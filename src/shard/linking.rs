//! What shards tell each other: what waits for a link, what comes over one, and who is held while too much waits.

use super::origin::Origin;
use super::outbox::LinkItem;
use super::state::Shard;
use super::successors::Predecessor;
use crate::fanout::{FILING_STEPS, Target};
use crate::ids::ShardId;
use crate::limits::LINK_ITEMS_PER_TURN;

impl Shard {
    /// Another shard tells something. It is done now, or after what came before it and waits for the next turn.
    pub fn on_link(&mut self, from: ShardId, item: LinkItem) {
        if self.turn.is_over() || self.is_behind_link(from) {
            self.peers[usize::from(from.0)].arrived.push_back(item);
        } else {
            self.take_item(from, item);
        }
    }

    pub(super) fn take_item(&mut self, from: ShardId, item: LinkItem) {
        match item {
            LinkItem::Batch { batch, publisher } => self.take_batch(from, &batch, publisher),
            LinkItem::Hold { publisher } => self.hold(Origin::Here(publisher)),
            LinkItem::Release { publisher } => self.release(&[Origin::Here(publisher)]),
            LinkItem::Interest { seq, filter, wanted } => {
                self.turn.spend(FILING_STEPS);
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
                self.peers[usize::from(from.0)].ended = true;
                self.farewell_when_drained();
            }
        }
    }

    /// The next item for another shard's link.
    pub fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.peers[usize::from(to.0)].pending.pop_front()
    }

    /// Bytes and messages of batches that wait for other shards, or came from them and wait for their turn.
    pub fn links_depth(&self) -> (u64, u64) {
        let items = self.peers.iter().flat_map(|peer| peer.pending.iter().chain(&peer.arrived));
        items.fold((0, 0), |(bytes, messages), item| match item {
            LinkItem::Batch { batch, .. } => {
                (bytes + batch.bytes.len() as u64, messages + batch.spans.messages().len() as u64)
            }
            _ => (bytes, messages),
        })
    }

    /// The link had no room for the item that [`Shard::link_next`] gave: it stays first.
    pub fn link_put_back(&mut self, to: ShardId, item: LinkItem) {
        self.peers[usize::from(to.0)].pending.push_front(item);
    }

    /// Items have gone to another shard: publishers that waited for that may go on.
    pub fn on_link_room(&mut self, to: ShardId) {
        self.withdraw();
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.holds.is_empty() || peer.pending.len() > LINK_ITEMS_PER_TURN / 2 {
            return;
        }
        let holds = std::mem::take(&mut peer.holds);
        self.release(&holds);
    }

    pub(super) fn send_link(&mut self, to: ShardId, item: LinkItem) {
        debug_assert_ne!(to, self.id);
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.pending.is_empty() {
            self.outbox.links.push(to);
        }
        peer.pending.push_back(item);
    }

    pub(super) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.id;
        let shards = u16::try_from(self.config.shards).expect("shards are counted in 16 bits");
        (0..shards).map(ShardId).filter(move |shard| *shard != me)
    }

    /// That shard's changes of interest are known here up to this one. If the last that waits for it says so of
    /// an earlier one, it now says so of this.
    fn tell_seen(&mut self, to: ShardId, change: u64) {
        match self.peers[usize::from(to.0)].pending.back_mut() {
            Some(LinkItem::InterestSeen { seq }) => *seq = change,
            _ => self.send_link(to, LinkItem::InterestSeen { seq: change }),
        }
    }

    /// The same of the registry's changes.
    fn tell_publisher_seen(&mut self, to: ShardId, change: u64) {
        match self.peers[usize::from(to.0)].pending.back_mut() {
            Some(LinkItem::PublisherSeen { seq }) => *seq = change,
            _ => self.send_link(to, LinkItem::PublisherSeen { seq: change }),
        }
    }

    /// `origin` waits while too much waits for that shard.
    pub(super) fn hold_if_backed_up(&mut self, to: ShardId, origin: Origin) {
        let peer = &mut self.peers[usize::from(to.0)];
        if peer.is_backed_up() && !peer.holds.contains(&origin) {
            peer.holds.push(origin);
            self.hold(origin);
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
