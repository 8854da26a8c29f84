//! The links of a shard to its neighbours: what waits to go there, with the publishers that are held while too much does, and
//! what came from there and waits for the next turn. Owned by a shard.

use std::collections::VecDeque;

use super::origin::Origin;
use crate::carrier::{LinkItem, Outgoing, Owed, give_up};
use crate::ids::{Neighbour, ShardId};
use crate::limits::CARRIER_WAITING_BYTES_MAX;

/// The link to one neighbour.
#[derive(Default)]
struct Link {
    outgoing: Outgoing<LinkItem, Origin>,
    /// Batches that wait to go to a carrier, and their bytes.
    batches: (usize, usize),
    /// Items from there that wait for the next turn.
    arrived: VecDeque<LinkItem>,
    /// The last batch has come from there.
    ended: bool,
    /// On the first shard: the messages that the far end of this carrier has not confirmed, once it has said so.
    owed: Option<Owed>,
}

/// All links of a shard, by neighbour; the one to itself stays empty.
pub struct Links {
    me: ShardId,
    /// The number of shards: the neighbours behind them are carriers.
    shards: u16,
    links: Vec<Link>,
}

impl Links {
    pub(super) fn new(me: ShardId, shards: usize, carriers: usize) -> Self {
        let links = (0..shards + carriers).map(|_| Link::default()).collect();
        Links { me, shards: u16::try_from(shards).expect("shards are counted in 16 bits"), links }
    }

    fn to(&mut self, neighbour: Neighbour) -> &mut Link {
        &mut self.links[usize::from(neighbour.0)]
    }

    /// The neighbours of this shard: those with which it exchanges interest and batches.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = Neighbour> + use<> {
        let me = Neighbour::from(self.me);
        let neighbours = u16::try_from(self.links.len()).expect("neighbours are counted in 16 bits");
        (0..neighbours).map(Neighbour).filter(move |neighbour| *neighbour != me)
    }

    /// The number of neighbours, this shard counted among them.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// This value for each neighbour, by neighbour, and for this shard among them.
    pub(super) fn of_each(&self, value: bool) -> Box<[bool]> {
        vec![value; self.links.len()].into()
    }

    /// The shard that a neighbour is, for what only shards say.
    pub(super) fn shard(&self, neighbour: Neighbour) -> ShardId {
        assert!(neighbour.0 < self.shards, "a carrier says this to nobody");
        ShardId(neighbour.0)
    }

    /// The carriers among the neighbours.
    pub(super) fn carriers(&self) -> impl Iterator<Item = Neighbour> + use<> {
        let shards = self.shards;
        self.neighbours().filter(move |neighbour| neighbour.0 >= shards)
    }

    /// The shard whose links these are.
    pub fn me(&self) -> ShardId {
        self.me
    }

    /// The number of shards, this one included. The neighbours behind them are carriers.
    pub fn shards(&self) -> usize {
        usize::from(self.shards)
    }

    /// The other shards: those that share the registry.
    pub(super) fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.me;
        (0..self.shards).map(ShardId).filter(move |shard| *shard != me)
    }

    /// The items that wait to go to a neighbour.
    #[inline]
    pub(super) fn outgoing(&mut self, to: Neighbour) -> &mut Outgoing<LinkItem, Origin> {
        &mut self.to(to).outgoing
    }

    /// Adds an item for a neighbour. `true`: it is the only one, so the link is to be looked after.
    #[inline]
    pub(super) fn push(&mut self, to: Neighbour, item: LinkItem) -> bool {
        if self.is_carrier(to) {
            self.count(to, &item, 1);
        }
        self.to(to).outgoing.push(item)
    }

    /// Takes the next item for a neighbour's link.
    pub fn next(&mut self, to: impl Into<Neighbour>) -> Option<LinkItem> {
        let to = to.into();
        let item = self.to(to).outgoing.next()?;
        if self.is_carrier(to) {
            self.count(to, &item, -1);
        }
        Some(item)
    }

    /// The link had no room for the item that [`Links::next`] gave: it stays first.
    pub fn put_back(&mut self, to: impl Into<Neighbour>, item: LinkItem) {
        let to = to.into();
        if self.is_carrier(to) {
            self.count(to, &item, 1);
        }
        self.outgoing(to).put_back(item);
    }

    /// True if that neighbour is a carrier. No publisher waits for one: batches that it does not take are given up.
    #[inline]
    pub(super) fn is_carrier(&self, neighbour: Neighbour) -> bool {
        neighbour.0 >= self.shards
    }

    /// Counts a batch that waits for a carrier, or does so no longer.
    fn count(&mut self, carrier: Neighbour, item: &LinkItem, by: isize) {
        if let LinkItem::Batch { batch, .. } = item {
            let link = self.to(carrier);
            let (batches, bytes) = &mut link.batches;
            *batches = batches.checked_add_signed(by).expect("it was counted");
            let size = batch.bytes.len().cast_signed();
            *bytes = bytes.checked_add_signed(by * size).expect("it was counted");
            link.outgoing.excuse(link.batches.0);
        }
    }

    /// Gives up the oldest batches for a carrier if too much waits for it. Returns the number of messages.
    pub(super) fn bound(&mut self, carrier: Neighbour) -> u64 {
        let link = self.to(carrier);
        if link.batches.1 <= CARRIER_WAITING_BYTES_MAX {
            return 0;
        }
        let items = link.outgoing.items_mut();
        let messages = give_up(items);
        let batches = items.iter().filter(|item| matches!(item, LinkItem::Batch { .. })).count();
        link.batches = (batches, items.iter().map(LinkItem::batch_bytes).sum());
        link.outgoing.excuse(batches);
        messages
    }

    /// True if nothing waits to go to any neighbour.
    pub(super) fn is_idle(&self) -> bool {
        self.links.iter().all(|link| link.outgoing.is_empty())
    }

    /// True if too much waits for some neighbour: nothing more should be made that can be made later.
    pub(super) fn is_backed_up(&self) -> bool {
        self.links.iter().any(|link| link.outgoing.is_backed_up())
    }

    /// The publishers that full links hold.
    pub(super) fn holds(&self) -> impl Iterator<Item = &Origin> {
        self.links.iter().flat_map(|link| link.outgoing.held())
    }

    /// True if items of that neighbour's link wait for the next turn: until [`super::Shard::go_on_with_link`] has done them,
    /// no more are to be taken.
    pub fn is_behind(&self, from: impl Into<Neighbour>) -> bool {
        let from = from.into();
        !self.links[usize::from(from.0)].arrived.is_empty()
    }

    /// Keeps an item from a neighbour for the next turn, behind those that wait.
    pub(super) fn keep(&mut self, from: Neighbour, item: LinkItem) {
        self.to(from).arrived.push_back(item);
    }

    /// Keeps the rest of an item from a neighbour for the next turn, before those that wait.
    pub(super) fn keep_first(&mut self, from: Neighbour, item: LinkItem) {
        self.to(from).arrived.push_front(item);
    }

    /// Takes the next item from that neighbour that waits.
    pub(super) fn next_kept(&mut self, from: Neighbour) -> Option<LinkItem> {
        self.to(from).arrived.pop_front()
    }

    /// The last batch has come from that neighbour.
    pub(super) fn end(&mut self, from: Neighbour) {
        self.to(from).ended = true;
    }

    /// True if no neighbour sends batches any more.
    pub(super) fn have_ended(&self) -> bool {
        self.neighbours().all(|neighbour| self.links[usize::from(neighbour.0)].ended)
    }

    /// Notes what the far end of a carrier has not confirmed.
    pub(super) fn owes(&mut self, carrier: Neighbour, owed: Owed) {
        self.to(carrier).owed = Some(owed);
    }

    fn carrier_links(&self) -> &[Link] {
        &self.links[usize::from(self.shards)..]
    }

    /// True if no carrier has messages left for its far end. The first shard waits for that, and no other is told.
    pub fn carriers_are_done(&self) -> bool {
        let is_done = |link: &Link| link.owed.is_some_and(|owed| owed.bytes == 0);
        self.me != ShardId(0) || self.carrier_links().iter().all(is_done)
    }

    /// The messages that the far ends of all carriers have not confirmed, as far as the carriers have said so.
    pub fn owed(&self) -> Owed {
        let said = self.carrier_links().iter().filter_map(|link| link.owed);
        said.fold(Owed::default(), |sum, owed| Owed {
            messages: sum.messages + owed.messages,
            bytes: sum.bytes + owed.bytes,
        })
    }

    /// Bytes and messages of batches that wait for neighbours, or came from them and wait for their turn.
    pub fn depth(&self) -> (u64, u64) {
        let items = self.links.iter().flat_map(|link| link.outgoing.iter().chain(&link.arrived));
        items.fold((0, 0), |(bytes, messages), item| match item {
            LinkItem::Batch { batch, .. } => (bytes + batch.bytes.len() as u64, messages + batch.messages()),
            _ => (bytes, messages),
        })
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
        assert_eq!(rig.shards[0].links().depth(), (0, 0));
        rig.say(0, publisher, &[message("a", 1), message("a", 2)]);
        let (bytes, messages) = rig.shards[0].links().depth();
        assert!(bytes > 0 && messages == 2, "{messages} in {bytes}");
        rig.travel();
        assert_eq!(rig.shards[0].links().depth(), (0, 0));
        assert_eq!(rig.shards[1].links().depth(), (0, 0));
    }
}
