//! The queue of one session, behind the bytes that the kernel has taken, and the rule by which messages give way when it is
//! full. The shard fills it and the flush pump empties it; both only through here.

mod answer;
mod item;
mod latest;
mod packed;
mod parked;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

use bytes::Bytes;

use self::answer::Answer;
use self::item::Queued;
pub use self::item::Sent;
use self::latest::Latest;
pub(crate) use self::packed::Appended;
pub use self::packed::PackedEgress;
use super::batch::Chunk;
use super::encoding::Encoding;
use super::gaps::{GapTally, Notices};
use super::policy::{OverflowPolicy, QueueBounds};
use crate::limits::{LOW_WATER_DIVISOR, SEND_SLICES_MAX};

/// The result of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    /// It waits.
    Queued,
    /// It waits, and the queue is now over its bound: hold the publisher (`block`).
    QueuedOver,
    /// That many messages were dropped, it or others; a gap notice will tell.
    Dropped(u64),
    /// There is no room: close the session (`disconnect`). Nothing was queued.
    Full,
}

/// The frames that wait for one session. Bounds count the memory that the frames which may be dropped take, with
/// what is told in place of dropped ones; sharing is not counted, so 512 queues full of the same frames hold them
/// once. A queue in which no such frame waits takes any batch, so that one that is over the bounds by itself can be
/// delivered at all.
#[derive(Default, Debug)]
pub struct EgressQueue {
    items: VecDeque<Queued>,
    /// Bytes of the front item that the kernel has taken. An item that has begun to leave is not changed.
    front_sent: usize,
    bytes: usize,
    frames: usize,
    answer_bytes: usize,
    /// The number of gaps among the items.
    gaps: usize,
    /// The kernel has refused something that still waits: what comes now will wait as well.
    is_stalled: bool,
    /// `drop-newest` only: it has dropped, and there is no room yet.
    is_dropping: bool,
    /// `latest` only, while something waits.
    latest: Option<Box<Latest>>,
    /// The number of items that have left at the front, less those that were put there, so that positions stay true, which
    /// count from the first item ever.
    popped: u64,
    /// The session's encoding. Only a native session can be told of gaps.
    encoding: Encoding,
    /// Frames that routes lead here while history is sent, which comes before them. Then `is_dropping` is set, so that all that is
    /// offered comes by way of the policy.
    parked: Option<Box<EgressQueue>>,
}

impl EgressQueue {
    /// The queue of a session of this encoding.
    pub fn of(encoding: Encoding) -> Self {
        EgressQueue { encoding, ..EgressQueue::default() }
    }

    /// Chooses the encoding of the messages that are to come. None waits yet.
    pub(crate) fn write_in(&mut self, encoding: Encoding) {
        assert!(self.frames == 0 && self.gaps == 0, "nothing is offered before the greeting");
        self.encoding = encoding;
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of memory that count against the bound: of frames that may be dropped, and of gaps that are to be told.
    pub fn bytes(&self) -> usize {
        self.bytes + self.parked.as_ref().map_or(0, |parked| parked.bytes)
    }

    /// Frames that wait and count against the bound, one of several messages as so many.
    pub fn frames(&self) -> usize {
        self.frames + self.parked.as_ref().map_or(0, |parked| parked.frames)
    }

    /// Bytes of memory of the answers that wait.
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes + self.parked.as_ref().map_or(0, |parked| parked.answer_bytes)
    }

    /// True if the kernel had no room for something since it was last empty.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// The frames of messages that leave next.
    pub(crate) fn first_chunk(&self) -> Option<&Chunk> {
        self.items.iter().find_map(|item| match item {
            Queued::Data(chunk) => Some(&**chunk),
            Queued::Answer(_) | Queued::Gap(_) | Queued::Gone => None,
        })
    }

    /// True if it has drained so far that it may fill again: publishers that it held go on, and `drop-newest` keeps
    /// messages again.
    pub fn has_room(&self, bounds: QueueBounds) -> bool {
        self.parked.as_ref().is_none_or(|parked| parked.has_room(bounds))
            && (self.frames == 0
                || (self.bytes <= bounds.bytes_max / LOW_WATER_DIVISOR
                    && self.frames <= bounds.frames_max / LOW_WATER_DIVISOR))
    }

    /// Queues frames that a route leads here.
    #[inline]
    pub fn offer(&mut self, chunk: &Rc<Chunk>, policy: OverflowPolicy, bounds: QueueBounds) -> Offer {
        let fits = self.frames == 0
            || (self.bytes + chunk.held_bytes() <= bounds.bytes_max
                && self.frames + chunk.held_frames() <= bounds.frames_max);
        if fits && policy != OverflowPolicy::Latest && !self.is_dropping {
            self.push(chunk);
            return Offer::Queued;
        }
        self.offer_by_policy(chunk, fits, policy, bounds)
    }

    #[inline(never)]
    fn offer_by_policy(
        &mut self,
        chunk: &Rc<Chunk>,
        fits: bool,
        policy: OverflowPolicy,
        bounds: QueueBounds,
    ) -> Offer {
        if let Some(parked) = &mut self.parked {
            return parked.offer(chunk, policy, bounds);
        }
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
        let answer = Answer::new(encoded, frames);
        let begun = self.begun();
        if self.items.len() > begun
            && let Some(Queued::Answer(last)) = self.items.back_mut()
            && last.join(&answer)
        {
            self.answer_bytes += answer.bytes().len();
            return;
        }
        self.answer_bytes += answer.held_bytes();
        self.items.push_back(Queued::Answer(Box::new(answer)));
    }

    /// The kernel has no room: what has to wait now is not to keep more alive than it is. What leaves at once is never
    /// copied.
    pub(crate) fn stall(&mut self) {
        if std::mem::replace(&mut self.is_stalled, true) {
            return;
        }
        for item in &mut self.items {
            if let Queued::Data(chunk) = item {
                *chunk = chunk.to_wait();
            }
        }
    }

    /// Queues an answer of so many frames ahead of all that waits, behind what has begun to leave. Items are whole frames
    /// and whole messages, so it comes between two of them.
    pub fn push_ahead(&mut self, encoded: Bytes, frames: u32) {
        let answer = Answer::new(encoded, frames);
        self.answer_bytes += answer.held_bytes();
        self.make_place_ahead();
        self.items.insert(self.begun(), Queued::Answer(Box::new(answer)));
    }

    /// Forgets what waits but answers and what has begun to leave, and gives the number of messages in it.
    pub fn clear(&mut self) -> u64 {
        let begun = self.begun();
        let mut dropped = 0;
        for item in self.items.split_off(begun) {
            match item {
                Queued::Data(chunk) => {
                    self.uncount(&chunk);
                    dropped += u64::from(chunk.messages);
                }
                Queued::Gap(tally) => self.uncount_gap(&tally),
                Queued::Answer(_) => self.items.push_back(item),
                Queued::Gone => {}
            }
        }
        self.latest = None;
        dropped + self.clear_parked()
    }

    /// The connection is gone: what of the front item had left whole, and how many messages had not.
    pub fn abandon(&mut self) -> (Sent, u64) {
        let mut dropped = self.clear();
        let mut sent = Sent::default();
        let (front, is_gap) = match self.items.front() {
            Some(Queued::Data(chunk)) => (Some(Rc::clone(chunk)), false),
            Some(Queued::Gap(tally)) => {
                let opaque =
                    |notices: &Notices| Rc::new(Chunk::opaque(notices.bytes.clone(), notices.frames));
                (tally.notices().map(opaque), true)
            }
            _ => (None, false),
        };
        let mut left = self.front_sent;
        if let Some(chunk) = front {
            chunk.for_each(|piece| {
                let is_whole = piece.range.len() <= left;
                left = left.saturating_sub(piece.range.len());
                sent.frames += u64::from(is_whole);
                let messages = u64::from(piece.messages);
                if is_whole {
                    sent.messages += messages;
                    sent.gaps += u64::from(is_gap);
                } else {
                    dropped += messages;
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
        for (slot, item) in slices.iter_mut().zip(self.items.iter().filter_map(Queued::bytes)) {
            let from = if filled == 0 { self.front_sent } else { 0 };
            *slot = IoSlice::new(&item[from..]);
            bytes += item.len() - from;
            filled += 1;
        }
        (filled, bytes)
    }

    /// Notes that the kernel took that many of the bytes that [`EgressQueue::send_next`] gave.
    pub fn sent(&mut self, mut bytes: usize) -> Sent {
        let mut sent = Sent::default();
        while bytes > 0 {
            let front = self.items.front().expect("no more is sent than was given");
            let Some(item) = front.bytes() else {
                self.pop_front();
                continue;
            };
            let left = item.len() - self.front_sent;
            if bytes < left {
                self.front_sent += bytes;
                return sent;
            }
            bytes -= left;
            self.front_sent = 0;
            sent.add(front.sent());
            self.pop_front();
        }
        if self.gaps > 0 || self.latest.is_some() {
            self.pop_unsent();
        }
        if self.items.is_empty() {
            self.give_back();
        } else if self.items.capacity() > KEEP_ITEMS.max(4 * self.items.len()) {
            self.items.shrink_to(2 * self.items.len());
        }
        sent
    }

    /// Writes the notices of the gaps among so many items that leave, or lets those in front go that cannot be told.
    fn write_notices(&mut self, items: usize) {
        if !self.encoding.can_tell_gaps() {
            return self.pop_unsent();
        }
        for item in self.items.iter_mut().filter(|item| !matches!(item, Queued::Gone)).take(items) {
            if let Queued::Gap(tally) = item {
                let before = tally.held_bytes();
                tally.write_notices();
                self.bytes = self.bytes - before + tally.held_bytes();
            }
        }
    }

    /// Lets those in front go of which nothing is sent, so that nothing else would: empty places, and gaps that cannot
    /// be told.
    fn pop_unsent(&mut self) {
        if self.front_sent > 0 {
            return;
        }
        let tells_gaps = self.encoding.can_tell_gaps();
        while let Some(Queued::Gone | Queued::Gap(_)) = self.items.front() {
            if tells_gaps && matches!(self.items.front(), Some(Queued::Gap(_))) {
                return;
            }
            self.pop_front();
        }
    }

    fn push(&mut self, chunk: &Rc<Chunk>) {
        self.bytes += chunk.held_bytes();
        self.frames += chunk.held_frames();
        let chunk = if self.is_stalled { chunk.to_wait() } else { Rc::clone(chunk) };
        self.items.push_back(Queued::Data(chunk));
    }

    fn uncount(&mut self, chunk: &Chunk) {
        self.bytes -= chunk.held_bytes();
        self.frames -= chunk.held_frames();
    }

    fn uncount_gap(&mut self, tally: &GapTally) {
        self.bytes -= tally.held_bytes();
        self.gaps -= 1;
    }

    fn pop_front(&mut self) {
        self.popped += 1;
        match self.items.pop_front() {
            Some(Queued::Data(chunk)) => self.uncount(&chunk),
            Some(Queued::Answer(answer)) => self.answer_bytes -= answer.held_bytes(),
            Some(Queued::Gap(tally)) => self.uncount_gap(&tally),
            Some(Queued::Gone) | None => {}
        }
    }

    /// A queue that was long and is empty keeps no memory.
    fn give_back(&mut self) {
        self.latest = None;
        self.is_stalled = false;
        if self.items.capacity() > KEEP_ITEMS {
            self.items = VecDeque::new();
        }
    }

    /// True if something has begun to leave and is not whole.
    pub(crate) fn has_begun(&self) -> bool {
        self.front_sent > 0
    }

    /// The number of items at the front that have begun to leave.
    fn begun(&self) -> usize {
        usize::from(self.has_begun())
    }

    fn is_over(&self, bounds: QueueBounds) -> bool {
        self.bytes > bounds.bytes_max || self.frames > bounds.frames_max
    }

    fn drop_oldest(&mut self, bounds: QueueBounds) -> Offer {
        let mut dropped = 0;
        while self.is_over(bounds) {
            // Neither one that has begun to leave nor the one that came last.
            let begun = self.begun();
            let found = self.items.iter().skip(begun).position(|item| matches!(item, Queued::Data(_)));
            let Some(at) = found.map(|found| begun + found).filter(|at| at + 1 < self.items.len()) else {
                break;
            };
            dropped += self.drop_at(at);
        }
        if dropped == 0 { Offer::Queued } else { Offer::Dropped(dropped) }
    }

    /// Makes the data item at `at` (part of) a gap, and counts its messages.
    fn drop_at(&mut self, at: usize) -> u64 {
        match self.gap_before(at) {
            Some(gap) => {
                let Some(Queued::Data(chunk)) = self.items.remove(at) else { return 0 };
                self.uncount(&chunk);
                self.add_missed(gap, &chunk);
                if gap + 1 < at {
                    self.join_answers(at);
                }
                u64::from(chunk.messages)
            }
            None => {
                let Queued::Data(chunk) = std::mem::replace(&mut self.items[at], Queued::Gone) else {
                    return 0;
                };
                self.uncount(&chunk);
                self.begin_gap(at, &chunk);
                u64::from(chunk.messages)
            }
        }
    }

    /// The gap to which may be added what was missed before the item at `at`: it has not begun to leave, and only
    /// answers stand between, which are in no order with messages. So between two gaps there is a message, and a
    /// stalled subscriber that goes on asking piles up none.
    #[inline]
    fn gap_before(&self, at: usize) -> Option<usize> {
        let mut before = at;
        while before > self.begun() {
            before -= 1;
            match &self.items[before] {
                Queued::Gap(_) => return Some(before),
                Queued::Answer(_) | Queued::Gone => {}
                Queued::Data(_) => return None,
            }
        }
        None
    }

    /// Puts a gap in the place of the item at `at`, which is counted no more: these frames are missed.
    fn begin_gap(&mut self, at: usize, chunk: &Chunk) {
        let mut tally = Box::<GapTally>::default();
        tally.add_chunk(chunk);
        self.bytes += tally.held_bytes();
        self.gaps += 1;
        self.items[at] = Queued::Gap(tally);
    }

    /// These frames are missed at the gap at `at`.
    fn add_missed(&mut self, at: usize, chunk: &Chunk) {
        let Some(Queued::Gap(tally)) = self.items.get_mut(at) else { unreachable!("the gap still waits") };
        let before = tally.held_bytes();
        tally.add_chunk(chunk);
        self.bytes = self.bytes - before + tally.held_bytes();
    }

    /// Makes one of the answers at `at` and before it, if both are short: nothing stands between them any more.
    fn join_answers(&mut self, at: usize) {
        if !matches!(self.items.get(at), Some(Queued::Answer(_))) {
            return;
        }
        let Queued::Answer(next) = std::mem::replace(&mut self.items[at], Queued::Gone) else { return };
        if let Queued::Answer(last) = &mut self.items[at - 1]
            && last.join(&next)
        {
            self.answer_bytes -= next.held_bytes() - next.bytes().len();
            self.items.remove(at);
        } else {
            self.items[at] = Queued::Answer(next);
        }
    }

    fn drop_newest(&mut self, chunk: &Chunk) -> Offer {
        // A gap at the back has not begun to leave: nothing else would wait, and this would have been queued.
        self.is_dropping = true;
        match self.gap_before(self.items.len()) {
            Some(gap) => self.add_missed(gap, chunk),
            None => {
                self.items.push_back(Queued::Gone);
                self.begin_gap(self.items.len() - 1, chunk);
            }
        }
        Offer::Dropped(u64::from(chunk.messages))
    }

    /// Counts again what waits.
    pub(crate) fn audit(&self) {
        if let Some(parked) = &self.parked {
            assert!(self.is_dropping && parked.parked.is_none(), "what is offered is parked");
            parked.audit();
        }
        let (mut bytes, mut frames, mut answer_bytes, mut gaps, mut gone) = (0, 0, 0, 0, 0);
        for item in &self.items {
            match item {
                Queued::Data(chunk) => {
                    bytes += chunk.held_bytes();
                    frames += chunk.held_frames();
                }
                Queued::Answer(answer) => answer_bytes += answer.held_bytes(),
                Queued::Gap(tally) => {
                    bytes += tally.held_bytes();
                    gaps += 1;
                }
                Queued::Gone => gone += 1,
            }
        }
        let counted = (self.bytes, self.frames, self.answer_bytes, self.gaps);
        assert_eq!(counted, (bytes, frames, answer_bytes, gaps), "bytes, frames, bytes of answers, gaps");
        let front = self.items.front().and_then(Queued::bytes).map_or(1, <[u8]>::len);
        assert!(self.front_sent < front, "what has left whole is gone");
        let may_be_gone = if self.latest.is_some() { self.items.len().saturating_sub(1) } else { 0 };
        assert!(gone <= may_be_gone, "{gone} places without anything, of {}", self.items.len());
    }
}

/// Items an empty queue may keep room for: 64 of 16 bytes, so that a busy session does not allocate each turn.
const KEEP_ITEMS: usize = 64;
