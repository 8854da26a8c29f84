//! What waits for one session, behind what the kernel has taken, and what gives way when that is too much.
//! Offered to by the shard, emptied by the flush pump; both only through here.

mod latest;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use ahash::AHashMap;
use bytes::Bytes;

use super::batch::Chunk;
use super::encoding::Encoding;
use super::gaps::GapTally;
use super::policy::{OverflowPolicy, QueueBounds};
use crate::limits::{LOW_WATER_DIVISOR, SEND_SLICES_MAX};

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
    /// Frames that may not.
    Answer(Box<Chunk>),
    /// What was dropped here.
    Gap(Box<GapTally>),
}

impl Item {
    /// What is sent of it: for a gap, once its notices are written, which is never where it cannot be told.
    fn chunk(&self) -> Option<&Chunk> {
        match self {
            Item::Data(chunk) => Some(chunk),
            Item::Answer(chunk) => Some(chunk),
            Item::Gap(tally) => tally.notices(),
        }
    }
}

/// The frames that wait for one session. Bounds count the frames that may be dropped; sharing is not counted,
/// so 512 queues full of the same frames hold them once. A queue in which no such frame waits takes any batch,
/// so that one that is over the bounds by itself can be delivered at all.
#[derive(Default, Debug)]
pub struct EgressQueue {
    items: VecDeque<Item>,
    /// Bytes of the front item that the kernel has taken. An item that has begun to leave is not changed.
    front_sent: usize,
    bytes: usize,
    frames: usize,
    answer_bytes: usize,
    /// How many of the items are gaps.
    gaps: usize,
    /// `drop-newest` only: it has dropped, and there is no room yet.
    is_dropping: bool,
    /// `latest` only: where each topic's newest message waits. Positions count from the first item ever.
    newest: Option<Box<AHashMap<Bytes, u64>>>,
    /// How many items have left at the front, so that positions in `newest` stay true.
    popped: u64,
    /// Of the session. Only a native one can be told of gaps.
    encoding: Encoding,
}

/// What the kernel took, in what was whole with it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Notices of what was dropped here.
    pub gaps: u64,
    /// Frames of any kind, these among them.
    pub frames: u64,
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
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Whether it has drained so far that it may fill again: publishers that it held go on, and `drop-newest` keeps
    /// messages again.
    pub fn has_room(&self, bounds: QueueBounds) -> bool {
        self.frames == 0
            || (self.bytes <= bounds.bytes_max / LOW_WATER_DIVISOR
                && self.frames <= bounds.frames_max / LOW_WATER_DIVISOR)
    }

    /// Queues frames that a route leads here.
    #[inline]
    pub fn offer(&mut self, chunk: &Rc<Chunk>, policy: OverflowPolicy, bounds: QueueBounds) -> Offer {
        let fits = self.frames == 0
            || (self.bytes + chunk.bytes.len() <= bounds.bytes_max
                && self.frames + chunk.frames as usize <= bounds.frames_max);
        match policy {
            OverflowPolicy::Latest if !self.items.is_empty() => self.offer_latest(chunk, bounds),
            // A small batch that would fit behind the large one that did not would break the past that is kept,
            // and a gap for each of them would cost more than they do.
            OverflowPolicy::DropNewest if self.is_dropping && !self.has_room(bounds) => {
                self.drop_newest(chunk)
            }
            _ if fits => {
                self.is_dropping = false;
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

    /// Queues an answer of so many frames. It is not dropped; the shard closes who lets too many wait.
    pub fn push_answer(&mut self, encoded: Bytes, frames: u32) {
        self.answer_bytes += encoded.len();
        self.items.push_back(Item::Answer(Box::new(Chunk::opaque(encoded, frames))));
    }

    /// Forgets what waits but answers and what has begun to leave, and gives the number of messages in it.
    pub fn clear(&mut self) -> u64 {
        let begun = self.begun();
        let mut dropped = 0;
        for item in self.items.split_off(begun) {
            match item {
                Item::Data(chunk) => {
                    self.uncount(&chunk);
                    dropped += u64::from(chunk.messages);
                }
                Item::Gap(_) => self.gaps -= 1,
                Item::Answer(_) => self.items.push_back(item),
            }
        }
        self.newest = None;
        dropped
    }

    /// The connection is gone: what of the front item had left whole, and how many messages had not.
    pub fn abandon(&mut self) -> (Sent, u64) {
        let mut dropped = self.clear();
        let mut sent = Sent::default();
        let front = self.items.front().filter(|item| !matches!(item, Item::Answer(_)));
        let mut left = self.front_sent;
        if let Some(chunk) = front.and_then(Item::chunk) {
            chunk.for_each(|piece| {
                let is_whole = piece.range.len() <= left;
                left = left.saturating_sub(piece.range.len());
                sent.frames += u64::from(is_whole);
                if piece.is_message {
                    sent.messages += u64::from(is_whole);
                    dropped += u64::from(!is_whole);
                } else if matches!(front, Some(Item::Gap(_))) {
                    sent.gaps += u64::from(is_whole);
                }
            });
        }
        *self = EgressQueue::of(self.encoding);
        (sent, dropped)
    }

    /// Gives `send` what leaves next: how many bytes that is, and how many of them it took, which is not yet noted.
    /// With nothing to give it is not asked.
    ///
    /// # Errors
    /// Those of `send`.
    #[inline]
    pub fn send_next<E>(
        &mut self,
        send: impl FnOnce(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        // At low rates one thing waits nearly always, and room for many is a kilobyte to clear.
        if self.items.len() == 1 {
            self.send_slices(&mut [IoSlice::new(&[])], send)
        } else {
            self.send_slices(&mut [IoSlice::new(&[]); SEND_SLICES_MAX], send)
        }
    }

    #[inline]
    fn send_slices<'a, E>(
        &'a mut self,
        slices: &mut [IoSlice<'a>],
        send: impl FnOnce(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        let (filled, bytes) = self.slices(slices);
        let taken = if filled == 0 { Some(0) } else { send(&slices[..filled])? };
        Ok((bytes, taken))
    }

    /// Fills `slices` with what leaves next and gives how many it filled and their bytes.
    fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> (usize, usize) {
        if self.gaps > 0 {
            self.write_notices(slices.len());
        }
        let (mut filled, mut bytes) = (0, 0);
        for (slot, chunk) in slices.iter_mut().zip(self.items.iter().filter_map(Item::chunk)) {
            let from = if filled == 0 { self.front_sent } else { 0 };
            *slot = IoSlice::new(&chunk.bytes[from..]);
            bytes += chunk.bytes.len() - from;
            filled += 1;
        }
        (filled, bytes)
    }

    /// So many bytes were taken of what [`EgressQueue::send_next`] gave.
    pub fn sent(&mut self, mut bytes: usize) -> Sent {
        let mut sent = Sent::default();
        while bytes > 0 {
            let Some(front) = self.items.front() else {
                debug_assert!(false, "more was sent than was given");
                return sent;
            };
            let Some(chunk) = front.chunk() else {
                self.pop_front();
                continue;
            };
            let left = chunk.bytes.len() - self.front_sent;
            if bytes < left {
                self.front_sent += bytes;
                return sent;
            }
            bytes -= left;
            self.front_sent = 0;
            sent.frames += u64::from(chunk.frames);
            sent.messages += u64::from(chunk.messages);
            if let Item::Gap(tally) = &self.items[0] {
                sent.gaps += u64::from(tally.notices().map_or(0, |chunk| chunk.frames));
            }
            self.pop_front();
        }
        if self.gaps > 0 {
            self.pop_untold();
        }
        if self.items.is_empty() {
            self.give_back();
        }
        sent
    }

    /// Writes the notices of the gaps among so many items, or lets those in front go that cannot be told.
    fn write_notices(&mut self, items: usize) {
        if self.encoding != Encoding::Native {
            return self.pop_untold();
        }
        for item in self.items.iter_mut().take(items) {
            if let Item::Gap(tally) = item {
                tally.write_notices();
            }
        }
    }

    /// Of gaps that cannot be told nothing is sent, so nothing would ever take them from the front.
    fn pop_untold(&mut self) {
        while self.encoding != Encoding::Native && matches!(self.items.front(), Some(Item::Gap(_))) {
            self.pop_front();
        }
    }

    fn push(&mut self, chunk: &Rc<Chunk>) {
        self.bytes += chunk.bytes.len();
        self.frames += chunk.frames as usize;
        self.items.push_back(Item::Data(Rc::clone(chunk)));
    }

    fn uncount(&mut self, chunk: &Chunk) {
        self.bytes -= chunk.bytes.len();
        self.frames -= chunk.frames as usize;
    }

    fn pop_front(&mut self) {
        self.popped += 1;
        match self.items.pop_front() {
            Some(Item::Data(chunk)) => self.uncount(&chunk),
            Some(Item::Answer(chunk)) => self.answer_bytes -= chunk.bytes.len(),
            Some(Item::Gap(_)) => self.gaps -= 1,
            None => {}
        }
    }

    /// A queue that was long and is empty keeps no memory.
    fn give_back(&mut self) {
        self.newest = None;
        if self.items.capacity() > KEEP_ITEMS {
            self.items = VecDeque::new();
        }
    }

    /// How many items, at the front, have begun to leave.
    fn begun(&self) -> usize {
        usize::from(self.front_sent > 0)
    }

    /// Whether the queue is over its bounds, and where the oldest item stands that may give way: neither one that
    /// has begun to leave nor the one that came last.
    fn excess(&self, bounds: QueueBounds) -> Option<usize> {
        if self.bytes <= bounds.bytes_max && self.frames <= bounds.frames_max {
            return None;
        }
        let begun = self.begun();
        let found = self.items.iter().skip(begun).position(|item| matches!(item, Item::Data(_)))?;
        Some(begun + found).filter(|at| at + 1 < self.items.len())
    }

    fn drop_oldest(&mut self, bounds: QueueBounds) -> Offer {
        let mut dropped = 0;
        while let Some(at) = self.excess(bounds) {
            dropped += self.drop_at(at);
        }
        if dropped == 0 { Offer::Queued } else { Offer::Dropped(dropped) }
    }

    /// Makes the data item at `at` (part of) the gap before it, and counts its messages.
    fn drop_at(&mut self, at: usize) -> u64 {
        let joins = at > self.begun() && matches!(self.items[at - 1], Item::Gap(_));
        if !joins {
            return self.drop_in_place(at);
        }
        let Some(Item::Data(chunk)) = self.items.remove(at) else { return 0 };
        self.uncount(&chunk);
        if let Item::Gap(tally) = &mut self.items[at - 1] {
            tally.add_chunk(&chunk);
        }
        u64::from(chunk.messages)
    }

    /// Makes the data item at `at` a gap, and counts its messages. Moves nobody, so that positions stay true.
    fn drop_in_place(&mut self, at: usize) -> u64 {
        let mut tally = Box::<GapTally>::default();
        let Item::Data(chunk) = &self.items[at] else { return 0 };
        let chunk = Rc::clone(chunk);
        tally.add_chunk(&chunk);
        self.uncount(&chunk);
        self.items[at] = Item::Gap(tally);
        self.gaps += 1;
        u64::from(chunk.messages)
    }

    fn drop_newest(&mut self, chunk: &Chunk) -> Offer {
        // A gap at the back has not begun to leave: nothing else would wait, and this would have been queued.
        self.is_dropping = true;
        if !matches!(self.items.back(), Some(Item::Gap(_))) {
            self.items.push_back(Item::Gap(Box::default()));
            self.gaps += 1;
        }
        if let Some(Item::Gap(tally)) = self.items.back_mut() {
            tally.add_chunk(chunk);
        }
        Offer::Dropped(u64::from(chunk.messages))
    }

    /// Counts again what waits.
    pub(super) fn audit(&self) {
        let (mut bytes, mut frames, mut answer_bytes, mut gaps) = (0, 0, 0, 0);
        for item in &self.items {
            match item {
                Item::Data(chunk) => {
                    bytes += chunk.bytes.len();
                    frames += chunk.frames as usize;
                }
                Item::Answer(chunk) => answer_bytes += chunk.bytes.len(),
                Item::Gap(_) => gaps += 1,
            }
        }
        let counted = (self.bytes, self.frames, self.answer_bytes, self.gaps);
        assert_eq!(counted, (bytes, frames, answer_bytes, gaps), "bytes, frames, bytes of answers, gaps");
        let front = self.items.front().and_then(Item::chunk).map_or(1, |chunk| chunk.bytes.len());
        assert!(self.front_sent < front, "what has left whole is gone");
    }
}

/// Items an empty queue may keep room for: 64 of 16 bytes, so that a busy session does not allocate each turn.
const KEEP_ITEMS: usize = 64;
