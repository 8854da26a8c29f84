//! What waits for one session, behind what the kernel has taken, and what gives way when that is too much.
//! Offered to by the shard, emptied by the flush pump; both only through here.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;

use super::batch::Chunk;
use super::encoding::Encoding;
use super::gaps::GapTally;
use super::policy::{OverflowPolicy, QueueBounds};

/// What became of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// It waits.
    Queued,
    /// It waits, and the queue is now over its bound: hold the publisher (`block`).
    QueuedOver,
    /// So many messages were dropped, it or others, and a gap notice will tell.
    Dropped(u64),
    /// There is no room: close the session (`disconnect`). Nothing was queued.
    Full,
}

#[derive(Debug)]
enum Item {
    /// Frames that may be dropped.
    Data(Rc<Chunk>),
    /// Frames that may not: answers, and gap notices once they are written.
    Kept(Rc<Chunk>),
    /// What was dropped here.
    Gap(Box<GapTally>),
}

/// The frames that wait for one session. Bounds count the frames that may be dropped; sharing is not counted,
/// so 512 queues full of the same frames hold them once.
#[derive(Default, Debug)]
pub struct EgressQueue {
    items: VecDeque<Item>,
    /// Bytes of the front item that the kernel has taken.
    front_sent: usize,
    bytes: usize,
    frames: usize,
    kept_bytes: usize,
    /// `latest` only: where each topic's newest message waits. Positions count from the first item ever.
    newest: Option<Box<AHashMap<Bytes, u64>>>,
    /// How many items have left at the front, so that positions in `newest` stay true.
    popped: u64,
    /// Of the session; one that is not native cannot be told of gaps.
    encoding: Encoding,
}

/// What the kernel took, in what was whole with it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Messages.
    pub frames: u64,
    /// Gap notices and answers.
    pub kept: u64,
}

impl EgressQueue {
    /// The queue of a session of this encoding.
    pub fn of(encoding: Encoding) -> Self {
        EgressQueue { encoding, ..EgressQueue::default() }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that wait and count against the bound.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that wait and count against the bound.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Bytes of answers that wait.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Queues frames that a route leads here.
    #[inline]
    pub fn offer(&mut self, chunk: &Rc<Chunk>, policy: OverflowPolicy, bounds: QueueBounds) -> Offer {
        let fits = self.bytes + chunk.bytes.len() <= bounds.bytes_max
            && self.frames + chunk.frames as usize <= bounds.frames_max;
        match policy {
            OverflowPolicy::Latest if !self.items.is_empty() => self.offer_latest(chunk, bounds),
            _ if fits => {
                self.push(chunk);
                Offer::Queued
            }
            OverflowPolicy::Block => {
                self.push(chunk);
                Offer::QueuedOver
            }
            OverflowPolicy::Disconnect => Offer::Full,
            OverflowPolicy::DropNewest => self.drop_newest(chunk),
            OverflowPolicy::DropOldest | OverflowPolicy::Latest => {
                self.push(chunk);
                self.drop_oldest(bounds)
            }
        }
    }

    /// Queues an answer. It is not dropped; the shard closes who lets too many wait.
    pub fn push_answer(&mut self, encoded: impl Into<Bytes>) {
        let encoded = encoded.into();
        self.kept_bytes += encoded.len();
        self.items.push_back(Item::Kept(Rc::new(Chunk::opaque(encoded, 1))));
    }

    /// Forgets all that waits but what has begun to leave, and gives the number of messages that were in it.
    pub fn clear(&mut self) -> u64 {
        let begun = if self.front_sent > 0 { self.items.pop_front() } else { None };
        let mut dropped = 0;
        for item in self.items.drain(..) {
            if let Item::Data(chunk) = item {
                chunk.for_each_topic(|_, n| dropped += n.max(1));
            }
        }
        (self.bytes, self.frames, self.kept_bytes) = (0, 0, 0);
        self.newest = None;
        if let Some(item) = begun {
            match &item {
                Item::Data(chunk) => {
                    self.bytes = chunk.bytes.len();
                    self.frames = chunk.frames as usize;
                }
                Item::Kept(chunk) => self.kept_bytes = chunk.bytes.len(),
                Item::Gap(_) => {}
            }
            self.items.push_front(item);
        }
        dropped
    }

    /// Fills `slices` with what leaves next and gives how many it filled and their bytes.
    pub fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> (usize, usize) {
        self.write_gaps(slices.len());
        self.pop_empty();
        let (mut filled, mut bytes) = (0, 0);
        for item in &self.items {
            let (Item::Data(chunk) | Item::Kept(chunk)) = item else { break };
            if chunk.bytes.is_empty() {
                continue;
            }
            let Some(slot) = slices.get_mut(filled) else { break };
            let from = if filled == 0 { self.front_sent } else { 0 };
            *slot = IoSlice::new(&chunk.bytes[from..]);
            bytes += chunk.bytes.len() - from;
            filled += 1;
        }
        (filled, bytes)
    }

    /// Lets go what nothing is to be sent of: gaps that cannot be told.
    fn pop_empty(&mut self) {
        let is_empty = |item: &Item| matches!(item, Item::Kept(chunk) if chunk.bytes.is_empty());
        let mut popped = false;
        while self.items.front().is_some_and(is_empty) {
            self.pop_front();
            popped = true;
        }
        if popped && self.items.is_empty() {
            self.give_back();
        }
    }

    /// The kernel took so many bytes of what [`EgressQueue::slices`] gave.
    pub fn sent(&mut self, mut bytes: usize) -> Sent {
        let mut sent = Sent::default();
        while bytes > 0 {
            let Some(Item::Data(chunk) | Item::Kept(chunk)) = self.items.front() else {
                debug_assert!(false, "more was sent than was given");
                return sent;
            };
            let left = chunk.bytes.len() - self.front_sent;
            if bytes < left {
                self.front_sent += bytes;
                return sent;
            }
            bytes -= left;
            self.front_sent = 0;
            match self.pop_front() {
                Some(Item::Data(chunk)) => sent.frames += u64::from(chunk.frames),
                Some(Item::Kept(chunk)) => sent.kept += u64::from(chunk.frames),
                _ => {}
            }
        }
        if self.items.is_empty() {
            self.give_back();
        }
        sent
    }

    fn push(&mut self, chunk: &Rc<Chunk>) {
        self.bytes += chunk.bytes.len();
        self.frames += chunk.frames as usize;
        self.items.push_back(Item::Data(Rc::clone(chunk)));
    }

    fn pop_front(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.popped += 1;
        match &item {
            Item::Data(chunk) => {
                self.bytes -= chunk.bytes.len();
                self.frames -= chunk.frames as usize;
            }
            Item::Kept(chunk) => self.kept_bytes -= chunk.bytes.len(),
            Item::Gap(_) => {}
        }
        Some(item)
    }

    /// A queue that was long and is empty keeps no memory.
    fn give_back(&mut self) {
        self.newest = None;
        if self.items.capacity() > KEEP_ITEMS {
            self.items = VecDeque::new();
        }
    }

    /// Where the first item stands that may be dropped: not one that has begun to leave.
    fn first_droppable(&self) -> Option<usize> {
        let begun = usize::from(self.front_sent > 0);
        let found = self.items.iter().skip(begun).position(|item| matches!(item, Item::Data(_)))?;
        Some(begun + found)
    }

    fn drop_oldest(&mut self, bounds: QueueBounds) -> Offer {
        let mut dropped = 0;
        while self.bytes > bounds.bytes_max || self.frames > bounds.frames_max {
            let Some(at) = self.first_droppable() else { break };
            dropped += self.drop_at(at);
        }
        if dropped == 0 { Offer::Queued } else { Offer::Dropped(dropped) }
    }

    /// Turns the data item at `at` into (part of) the gap before it, and counts its messages.
    fn drop_at(&mut self, at: usize) -> u64 {
        let chunk = match self.items.get(at) {
            Some(Item::Data(chunk)) => Rc::clone(chunk),
            _ => return 0,
        };
        self.bytes -= chunk.bytes.len();
        self.frames -= chunk.frames as usize;
        let joins = at > 0 && matches!(self.items[at - 1], Item::Gap(_));
        if joins {
            self.items.remove(at);
        } else {
            self.items[at] = Item::Gap(Box::default());
        }
        let gap_at = if joins { at - 1 } else { at };
        match &mut self.items[gap_at] {
            Item::Gap(tally) => tally_chunk(tally, &chunk),
            _ => 0,
        }
    }

    fn drop_newest(&mut self, chunk: &Chunk) -> Offer {
        if !matches!(self.items.back(), Some(Item::Gap(_))) {
            self.items.push_back(Item::Gap(Box::default()));
        }
        match self.items.back_mut() {
            Some(Item::Gap(tally)) => Offer::Dropped(tally_chunk(tally, chunk)),
            _ => Offer::Dropped(0),
        }
    }

    /// One frame a topic: a newer message takes the place of the one that waits, with a gap of one before it.
    fn offer_latest(&mut self, chunk: &Rc<Chunk>, bounds: QueueBounds) -> Offer {
        let mut dropped = if self.newest.is_none() { self.begin_latest() } else { 0 };
        dropped += self.push_singles(chunk);
        self.compact_if_sparse();
        dropped += self.drop_oldest_latest(bounds);
        if dropped == 0 { Offer::Queued } else { Offer::Dropped(dropped) }
    }

    /// Takes what waits apart, frame by frame, as if each had been offered to a `latest` queue.
    fn begin_latest(&mut self) -> u64 {
        self.newest = Some(Box::default());
        let begun = usize::from(self.front_sent > 0);
        let mut dropped = 0;
        for item in self.items.split_off(begun) {
            match item {
                Item::Data(chunk) => {
                    self.bytes -= chunk.bytes.len();
                    self.frames -= chunk.frames as usize;
                    dropped += self.push_singles(&chunk);
                }
                other => self.items.push_back(other),
            }
        }
        dropped
    }

    fn push_singles(&mut self, chunk: &Chunk) -> u64 {
        let mut dropped = 0;
        chunk.for_each_message(|range, topic, _| {
            let position = self.popped + self.items.len() as u64;
            let newest = self.newest.get_or_insert_default();
            let older = newest.insert(Bytes::copy_from_slice(topic), position);
            if let Some(at) = older.and_then(|at| self.replaceable(at)) {
                dropped += self.drop_in_place(at);
            }
            self.push(&Rc::new(chunk.single(range)));
        });
        dropped
    }

    /// The index of the item at this position, if it still waits and has not begun to leave.
    fn replaceable(&self, position: u64) -> Option<usize> {
        let at = usize::try_from(position.checked_sub(self.popped)?).ok()?;
        let begun = at == 0 && self.front_sent > 0;
        (!begun && matches!(self.items.get(at), Some(Item::Data(_)))).then_some(at)
    }

    /// As [`EgressQueue::drop_at`], but moves nobody, so that positions stay true.
    fn drop_in_place(&mut self, at: usize) -> u64 {
        let gap = Item::Gap(Box::default());
        let Item::Data(chunk) = std::mem::replace(&mut self.items[at], gap) else { return 0 };
        self.bytes -= chunk.bytes.len();
        self.frames -= chunk.frames as usize;
        match &mut self.items[at] {
            Item::Gap(tally) => tally_chunk(tally, &chunk),
            _ => 0,
        }
    }

    fn drop_oldest_latest(&mut self, bounds: QueueBounds) -> u64 {
        let mut dropped = 0;
        while self.bytes > bounds.bytes_max || self.frames > bounds.frames_max {
            let Some(at) = self.first_droppable() else { break };
            dropped += self.drop_in_place(at);
        }
        dropped
    }

    /// Joins the gaps of `latest` when they are most of the queue, so that a stalled subscriber of one topic
    /// holds one message and one gap, not one gap a message.
    fn compact_if_sparse(&mut self) {
        if self.items.len() < COMPACT_ITEMS || self.items.len() < 4 * self.frames {
            return;
        }
        let begun = if self.front_sent > 0 { self.items.pop_front() } else { None };
        let mut kept: VecDeque<Item> = begun.into_iter().collect();
        let mut missed = GapTally::default();
        let mut any = false;
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Gap(tally) => {
                    missed.absorb(&tally);
                    any = true;
                }
                other => kept.push_back(other),
            }
        }
        if any {
            // What is missed is older than all that is kept of its topic.
            let front = usize::from(self.front_sent > 0);
            kept.insert(front, Item::Gap(Box::new(missed)));
        }
        self.items = kept;
        self.find_newest_again();
    }

    fn find_newest_again(&mut self) {
        let mut newest = AHashMap::new();
        for (at, item) in self.items.iter().enumerate() {
            let Item::Data(chunk) = item else { continue };
            chunk.for_each_topic(|topic, _| {
                newest.insert(Bytes::copy_from_slice(topic), self.popped + at as u64);
            });
        }
        self.newest = Some(Box::new(newest));
    }

    /// Writes the gaps among the first `items` items as frames: they are about to leave.
    fn write_gaps(&mut self, items: usize) {
        for item in self.items.iter_mut().take(items) {
            if let Item::Gap(tally) = item {
                let (encoded, frames) = match self.encoding {
                    Encoding::Native => tally.encode(),
                    Encoding::Zmtp => (Vec::new(), 0),
                };
                self.kept_bytes += encoded.len();
                *item = Item::Kept(Rc::new(Chunk::opaque(Bytes::from(encoded), frames)));
            }
        }
    }
}

/// Items an empty queue may keep room for: 64 of 16 bytes, so that a busy session does not allocate each turn.
const KEEP_ITEMS: usize = 64;

/// Items from which on a `latest` queue is looked at for gaps to join.
const COMPACT_ITEMS: usize = 64;

fn tally_chunk(tally: &mut GapTally, chunk: &Chunk) -> u64 {
    let mut messages = 0;
    chunk.for_each_topic(|topic, n| {
        tally.add(topic, n);
        messages += n;
    });
    messages
}
