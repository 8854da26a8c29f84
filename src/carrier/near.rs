//! A carrier as the shards of its own broker see it: a neighbour behind the last of them, which speaks the same link items.
//! Owned by the carrier; it knows nothing of the far end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::acks::{Acks, Unconfirmed};
use super::counted::Counted;
use super::link_item::{LinkItem, Owed};
use super::outgoing::Outgoing;
use crate::fanout::{Batch, Fanout, Target, Turn};
use crate::ids::{Neighbour, SessionId, ShardId};
use crate::registry::RegistryChange;
use crate::topic::Filter;

/// The publisher of all that a carrier brings, as shards know it. They hold it as one.
const PUBLISHER: SessionId = SessionId { slot: 0, generation: 0 };

/// The shard that keeps the registry and the history of what the far end says, and waits, as its broker ends, for what the far
/// end has not confirmed.
const FIRST_SHARD: ShardId = ShardId(0);

/// News of a shard for the far end.
pub(super) enum Word {
    /// The first of the shards wants this filter, or the last has ceased to.
    Interest { filter: Filter, wanted: bool },
    /// Messages of a publisher of that shard.
    Batch { batch: Arc<Batch>, publisher: SessionId },
    /// It asks for the number of subscribers at the far end, and for each change of it.
    Watch { watch: u64, topic: Bytes },
    /// It does so no longer.
    Unwatch { watch: u64 },
    /// Messages were given up whose topics are not known.
    Doubted,
    /// A publisher of that shard waits until all that it has said is stored, perhaps some of it in another session.
    AwaitStored { publisher: SessionId, has_come_back: bool },
    /// A direct publisher was registered at this broker, or is no longer.
    Registry { change: RegistryChange, lease: Duration },
    /// It has so many subscribers of a topic that [`Near::say_to_all`] asked for.
    Count { watch: u64, count: u32 },
}

/// One shard.
#[derive(Default)]
struct Shore {
    outgoing: Outgoing<LinkItem, ()>,
    /// Its last cut, and its last mark, that were passed on.
    cut: u64,
    mark: u64,
    /// True if it stops: no batch comes from there any more, nor goes there.
    has_ended: bool,
}

/// The shards of a carrier's broker.
pub(super) struct Near {
    shards: Vec<Shore>,
    /// The shards that want what comes from the far end.
    fanout: Fanout,
    /// The number of shards that want each filter.
    wanted: Counted<Filter>,
    /// Changes of these filters so far, and the number of them that the far end knows.
    changes: u64,
    known: u64,
    /// Confirmations that shards wait for: due when the far end knows so many changes, to which shard, of which of its
    /// own changes.
    unanswered: VecDeque<(u64, ShardId, u64)>,
    /// Changes of the far end, and how far each shard has seen them.
    acks: Acks,
    /// Fences of the far end, answered when all shards know what came before.
    fences: Unconfirmed<u64>,
    /// Full queues of sessions that hold what comes from the far end.
    held_by: u32,
    /// Shards with items that wait for their link.
    links: Vec<ShardId>,
    /// The messages that the far end has not confirmed, as the first shard was last told.
    owed: Option<Owed>,
}

impl Near {
    /// The neighbour of so many shards.
    pub(super) fn new(shards: usize) -> Self {
        Near {
            shards: (0..shards).map(|_| Shore::default()).collect(),
            fanout: Fanout::default(),
            wanted: Counted::default(),
            changes: 0,
            known: 0,
            unanswered: VecDeque::new(),
            acks: Acks::new(shards),
            fences: Unconfirmed::default(),
            held_by: 0,
            links: Vec::new(),
            owed: None,
        }
    }

    fn shore(&mut self, shard: ShardId) -> &mut Shore {
        &mut self.shards[usize::from(shard.0)]
    }

    fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        let shards = u16::try_from(self.shards.len()).expect("shards are counted in 16 bits");
        (0..shards).map(ShardId)
    }

    fn send(&mut self, to: ShardId, item: LinkItem) {
        if self.shore(to).outgoing.push(item) {
            self.links.push(to);
        }
    }

    /// Takes an item from a shard's link. Returns what the far end must know of it.
    pub(super) fn on_link(&mut self, from: ShardId, item: LinkItem) -> Option<Word> {
        let word = self.take(from, item);
        self.answer();
        word
    }

    fn take(&mut self, from: ShardId, item: LinkItem) -> Option<Word> {
        match item {
            LinkItem::Batch { batch, publisher } => return Some(Word::Batch { batch, publisher }),
            LinkItem::Interest { seq, filter, wanted } => {
                let is_change = if wanted {
                    self.fanout.file(&filter, Target::Neighbour(from.into()));
                    self.wanted.add(&filter, Filter::clone)
                } else {
                    self.fanout.unfile(&filter, Target::Neighbour(from.into()));
                    self.wanted.remove(&filter)
                };
                self.changes += u64::from(is_change);
                self.unanswered.push_back((self.changes, from, seq));
                return is_change.then_some(Word::Interest { filter, wanted });
            }
            // All that came before it stands in the way out before all that comes behind it.
            LinkItem::Fence { seq, .. } => self.unanswered.push_back((self.changes, from, seq)),
            LinkItem::InterestSeen { seq } => self.acks.seen_by(from, seq),
            LinkItem::Watch { watch, topic } => return Some(Word::Watch { watch, topic }),
            LinkItem::Unwatch { watch } => return Some(Word::Unwatch { watch }),
            LinkItem::Count { watch, count } => return Some(Word::Count { watch, count }),
            LinkItem::Doubted => return Some(Word::Doubted),
            LinkItem::AwaitStored { publisher, has_come_back } => {
                return Some(Word::AwaitStored { publisher, has_come_back });
            }
            LinkItem::Registry { change, lease } => return Some(Word::Registry { change, lease }),
            LinkItem::Cut(cut) => {
                if rises(&mut self.shore(cut.from).cut, cut.number) {
                    self.say_to_all(&LinkItem::Cut(cut));
                }
            }
            LinkItem::Mark(mark) => {
                if rises(&mut self.shore(mark.shard).mark, mark.number) {
                    self.say_to_all(&LinkItem::Mark(mark));
                }
            }
            LinkItem::Hold { .. } => self.held_by += 1,
            LinkItem::Release { .. } => self.held_by -= 1,
            LinkItem::LastBatch => {
                self.shore(from).has_ended = true;
                self.send(from, LinkItem::LastBatch);
            }
            LinkItem::ToShard(_) => unreachable!("shards say this to shards only"),
            LinkItem::Owed(_) | LinkItem::Keep { .. } | LinkItem::Unstored { .. } => {
                unreachable!("carriers say this")
            }
        }
        None
    }

    /// Has the first shard keep what the far end says on these topics, whoever wants it. Returns true if that is news for the far end.
    pub(super) fn keep(&mut self, filter: &Filter) -> bool {
        let is_new = self.wanted.add(filter, Filter::clone);
        if is_new {
            self.fanout.file(filter, Target::Neighbour(self.keeper()));
            self.changes += 1;
        }
        is_new
    }

    /// Has the first shard keep messages that nobody is to hear now, which were said at that time, or just now.
    pub(super) fn keep_batch(&mut self, batch: Arc<Batch>, said_at: Option<MonotonicNs>) {
        self.send(FIRST_SHARD, LinkItem::Keep { batch, said_at });
    }

    /// A neighbour behind the shards, which stands for what is kept.
    fn keeper(&self) -> Neighbour {
        Neighbour(u16::try_from(self.shards.len()).expect("shards are counted in 16 bits"))
    }

    /// The number of changes so far that the far end must know.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The number of changes that were confirmed to shards.
    pub(super) fn confirmed(&self) -> u64 {
        self.known
    }

    /// Lists all filters for a new connection, and counts that as a change.
    pub(super) fn restate(&mut self) -> impl Iterator<Item = &Filter> {
        self.changes += 1;
        self.wanted.keys()
    }

    /// Notes that the far end knows so many changes, and confirms them to the shards that wait.
    pub(super) fn far_saw(&mut self, changes: u64) {
        self.known = self.known.max(changes);
        self.answer();
    }

    fn answer(&mut self) {
        let known = self.known;
        while let Some((change, shard, seq)) = self.unanswered.front().copied()
            && change <= known
        {
            self.unanswered.pop_front();
            match self.shore(shard).outgoing.last_mut() {
                Some(LinkItem::InterestSeen { seq: last }) => *last = seq,
                _ => self.send(shard, LinkItem::InterestSeen { seq }),
            }
        }
    }

    /// Tells every shard that the far end wants a filter, or no longer.
    pub(super) fn far_wants(&mut self, filter: &Filter, wanted: bool) {
        let seq = self.acks.next();
        for shard in self.all() {
            self.send(shard, LinkItem::Interest { seq, filter: filter.clone(), wanted });
        }
    }

    /// Notes a fence of the far end.
    pub(super) fn far_fence(&mut self, seq: u64) {
        self.fences.add(&self.acks, seq);
    }

    /// Takes the last of the fences that have come to be in force.
    pub(super) fn next_fence(&mut self) -> Option<u64> {
        std::iter::from_fn(|| self.fences.pop(&self.acks)).last()
    }

    /// Drops the fences: the far end is away, and waits for no answer.
    pub(super) fn forget_fences(&mut self) {
        self.fences.clear();
    }

    /// Hands messages of the far end to each shard that wants any of them, unless they should wait. Returns their number.
    pub(super) fn deliver(&mut self, batch: Batch) -> u64 {
        // Parcels are short, and no executor's reactor waits for this turn.
        let mut turn = Turn::new(usize::MAX);
        let (bytes, spans) = (&batch.bytes, batch.spans.messages());
        let deliveries = self.fanout.route((bytes, spans), true, &mut turn, None);
        let messages = deliveries.messages;
        for (neighbour, batch) in deliveries.to_neighbours(bytes, spans) {
            match neighbour == self.keeper() {
                true => self.keep_batch(batch, None),
                false => self.send(ShardId(neighbour.0), LinkItem::Batch { batch, publisher: PUBLISHER }),
            }
        }
        self.fanout.recycle(deliveries);
        messages
    }

    /// True if a shard wants messages of this topic.
    pub(super) fn wants(&mut self, topic: &[u8]) -> bool {
        !self.fanout.route_of(topic).0.neighbours.is_empty()
    }

    /// Time goes on by some ticks of a shard: routes that no message asks for are forgotten.
    pub(super) fn forget_unused_routes(&mut self, ticks: usize) {
        self.fanout.forget_unused(ticks);
    }

    /// True if batches of the far end should wait: a shard is behind or stops, or the queue of a session with `block` is full.
    pub(super) fn is_backed_up(&self) -> bool {
        self.held_by > 0 || self.shards.iter().any(|shore| shore.has_ended || shore.outgoing.is_backed_up())
    }

    /// True if all shards have sent their last batch.
    pub(super) fn has_ended(&self) -> bool {
        self.shards.iter().all(|shore| shore.has_ended)
    }

    /// Tells the first shard what the far end has not confirmed, if that is news: the end of the broker waits for it.
    pub(super) fn tell_owed(&mut self, owed: Owed) {
        if self.owed.replace(owed) == Some(owed) {
            return;
        }
        match self.shore(FIRST_SHARD).outgoing.last_mut() {
            Some(LinkItem::Owed(last)) => *last = owed,
            _ => self.send(FIRST_SHARD, LinkItem::Owed(owed)),
        }
    }

    /// Says something to a shard, behind all that was said before.
    pub(super) fn say(&mut self, to: ShardId, item: LinkItem) {
        self.send(to, item);
    }

    /// The same to all shards: what the far end says from now on is behind it.
    pub(super) fn say_to_all(&mut self, item: &LinkItem) {
        for shard in self.all() {
            self.send(shard, item.clone());
        }
    }

    /// The same to the shard that keeps the registry.
    pub(super) fn say_to_registry(&mut self, item: LinkItem) {
        self.send(FIRST_SHARD, item);
    }

    /// Holds a publisher of a shard, or lets it go on.
    pub(super) fn hold(&mut self, (shard, publisher): (ShardId, SessionId), holds: bool) {
        let item = if holds { LinkItem::Hold { publisher } } else { LinkItem::Release { publisher } };
        self.send(shard, item);
    }

    /// Takes the shards whose links have something to take.
    pub(super) fn take_links(&mut self) -> Vec<ShardId> {
        std::mem::take(&mut self.links)
    }

    /// Takes the next item for a shard's link.
    pub(super) fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.shore(to).outgoing.next()
    }

    /// The link had no room for the item that [`Near::link_next`] gave.
    pub(super) fn link_put_back(&mut self, to: ShardId, item: LinkItem) {
        self.shore(to).outgoing.put_back(item);
    }

    /// True if nothing waits for any shard.
    pub(super) fn is_idle(&self) -> bool {
        self.shards.iter().all(|shore| shore.outgoing.is_empty())
    }
}

/// Notes a number, if it is a higher one than all before.
fn rises(last: &mut u64, number: u64) -> bool {
    let is_higher = *last < number;
    *last = number.max(*last);
    is_higher
}
