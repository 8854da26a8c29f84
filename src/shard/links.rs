//! The links to the other shards, as this one deals with them: what waits to go there, what came from there and waits for
//! the next turn, and which publishers are held while too much waits. Owned by a shard.

use std::collections::VecDeque;

use super::origin::Origin;
use super::outbox::LinkItem;
use crate::ids::ShardId;
use crate::limits::LINK_ITEMS_PER_TURN;

/// The link to one other shard.
#[derive(Default)]
struct Link {
    /// Items that wait to go there.
    pending: VecDeque<LinkItem>,
    /// Items from there that wait for the next turn.
    arrived: VecDeque<LinkItem>,
    /// Publishers held because too much waits.
    holds: Vec<Origin>,
    /// The last batch has come from there.
    ended: bool,
}

impl Link {
    fn is_backed_up(&self) -> bool {
        self.pending.len() > LINK_ITEMS_PER_TURN
    }
}

/// All links of a shard, by shard; the one to itself stays empty.
pub(super) struct Links {
    me: ShardId,
    links: Vec<Link>,
}

impl Links {
    pub(super) fn new(me: ShardId, shards: usize) -> Self {
        Links { me, links: (0..shards).map(|_| Link::default()).collect() }
    }

    fn to(&mut self, shard: ShardId) -> &mut Link {
        &mut self.links[usize::from(shard.0)]
    }

    /// The other shards.
    pub(super) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.me;
        let shards = u16::try_from(self.links.len()).expect("shards are counted in 16 bits");
        (0..shards).map(ShardId).filter(move |shard| *shard != me)
    }

    /// Adds an item to those that wait to go to another shard. `true`: it is the only one.
    pub(super) fn push(&mut self, to: ShardId, item: LinkItem) -> bool {
        debug_assert_ne!(to, self.me);
        let pending = &mut self.to(to).pending;
        pending.push_back(item);
        pending.len() == 1
    }

    /// The item that would go last to another shard, to be made to say more.
    pub(super) fn last_mut(&mut self, to: ShardId) -> Option<&mut LinkItem> {
        self.to(to).pending.back_mut()
    }

    /// Takes the next item for another shard's link.
    pub(super) fn next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.to(to).pending.pop_front()
    }

    /// The link had no room for the item that [`Links::next`] gave: it stays first.
    pub(super) fn put_back(&mut self, to: ShardId, item: LinkItem) {
        self.to(to).pending.push_front(item);
    }

    /// True if nothing waits to go to any shard.
    pub(super) fn is_idle(&self) -> bool {
        self.links.iter().all(|link| link.pending.is_empty())
    }

    /// True if too much waits for some shard: nothing more should be made that can be made later.
    pub(super) fn is_backed_up(&self) -> bool {
        self.links.iter().any(Link::is_backed_up)
    }

    /// Holds a publisher while too much waits for that shard. `true`: it is to be held once more.
    pub(super) fn hold_if_backed_up(&mut self, to: ShardId, origin: Origin) -> bool {
        let link = self.to(to);
        let holds = link.is_backed_up() && !link.holds.contains(&origin);
        if holds {
            link.holds.push(origin);
        }
        holds
    }

    /// Takes the publishers that waited for a link's room, if it has room again.
    pub(super) fn take_holds_if_room(&mut self, to: ShardId) -> Vec<Origin> {
        let link = self.to(to);
        if link.pending.len() > LINK_ITEMS_PER_TURN / 2 {
            return Vec::new();
        }
        std::mem::take(&mut link.holds)
    }

    /// The publishers that full links hold.
    pub(super) fn holds(&self) -> impl Iterator<Item = &Origin> {
        self.links.iter().flat_map(|link| &link.holds)
    }

    /// True if items from that shard wait for the next turn.
    pub(super) fn is_behind(&self, from: ShardId) -> bool {
        !self.links[usize::from(from.0)].arrived.is_empty()
    }

    /// Keeps an item from another shard for the next turn, behind those that wait.
    pub(super) fn keep(&mut self, from: ShardId, item: LinkItem) {
        self.to(from).arrived.push_back(item);
    }

    /// Keeps the rest of an item from another shard for the next turn, before those that wait.
    pub(super) fn keep_first(&mut self, from: ShardId, item: LinkItem) {
        self.to(from).arrived.push_front(item);
    }

    /// Takes the next item from that shard that waits.
    pub(super) fn next_kept(&mut self, from: ShardId) -> Option<LinkItem> {
        self.to(from).arrived.pop_front()
    }

    /// The last batch has come from that shard.
    pub(super) fn end(&mut self, from: ShardId) {
        self.to(from).ended = true;
    }

    /// True if no other shard sends batches any more.
    pub(super) fn have_ended(&self) -> bool {
        self.others().all(|shard| self.links[usize::from(shard.0)].ended)
    }

    /// Bytes and messages of batches that wait for other shards, or came from them and wait for their turn.
    pub(super) fn depth(&self) -> (u64, u64) {
        let items = self.links.iter().flat_map(|link| link.pending.iter().chain(&link.arrived));
        items.fold((0, 0), |(bytes, messages), item| match item {
            LinkItem::Batch { batch, .. } => {
                (bytes + batch.bytes.len() as u64, messages + batch.spans.messages().len() as u64)
            }
            _ => (bytes, messages),
        })
    }
}
