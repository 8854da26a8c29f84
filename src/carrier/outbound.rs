//! Messages on their way to the far end of a joint: a queue with a policy, and behind it the parcels that were sent and are
//! not confirmed. Owned by a joint.

use std::collections::VecDeque;
use std::convert::Infallible;

use bytes::{Bytes, BytesMut};

use crate::fanout::{
    Batch, Cutter, EgressQueue, Encoding, Fanout, Offer, OverflowPolicy, QueueBounds, Target, ToGroup, Turn,
};
use crate::ids::GroupId;
use crate::limits::{PARCEL_BYTES_MAX, PARCELS_AHEAD_BYTES_MAX};
use crate::topic::Filter;

/// The far end, as the router knows it.
const FAR: Target = Target::Group(GroupId(0));

/// A parcel of frames that was cut from the queue.
struct Flown {
    number: u64,
    bytes: Bytes,
    messages: u64,
}

/// The way out.
pub(super) struct Outbound {
    fanout: Fanout,
    queue: EgressQueue,
    policy: OverflowPolicy,
    bounds: QueueBounds,
    /// Parcels that the far end has not confirmed, in order. They are sent again on the next connection.
    flown: VecDeque<Flown>,
    flown_bytes: usize,
    /// The number of them, from the first on, that were sent on this connection.
    left: usize,
    /// Parcels so far.
    number: u64,
}

impl Outbound {
    pub(super) fn new(policy: OverflowPolicy, bounds: QueueBounds) -> Self {
        Outbound {
            fanout: Fanout::default(),
            queue: EgressQueue::default(),
            policy,
            bounds,
            flown: VecDeque::new(),
            flown_bytes: 0,
            left: 0,
            number: 0,
        }
    }

    /// Adds a filter of the far end, or removes it. `false`: that is no change.
    pub(super) fn want(&mut self, filter: &Filter, wanted: bool) -> bool {
        if wanted { self.fanout.router.insert(filter, FAR) } else { self.fanout.router.remove(filter, FAR) }
    }

    /// Queues the messages of a batch that the far end wants. While it is away nobody is held for it: then the oldest are
    /// dropped in place of `block`. Returns the number of messages that were dropped, and whether the publisher is to be held.
    pub(super) fn offer(&mut self, batch: &Batch, is_away: bool) -> (u64, bool) {
        let policy = match self.policy {
            OverflowPolicy::Block if is_away => OverflowPolicy::DropOldest,
            policy => policy,
        };
        let messages = batch.spans.messages();
        // Batches are short, and no executor's reactor waits for this turn.
        let mut turn = Turn::new(usize::MAX);
        let mut deliveries = self.fanout.route(&batch.bytes, messages, &mut turn, |_| true);
        let mut cutter = Cutter::new(&batch.bytes, messages);
        let (mut dropped, mut is_over) = (0, false);
        for ToGroup { picked, .. } in &mut deliveries.groups {
            let (chunks, _) = cutter.cut(picked, Encoding::Native);
            for chunk in chunks {
                match self.queue.offer(&chunk, policy, self.bounds) {
                    Offer::Queued => {}
                    Offer::QueuedOver => is_over = true,
                    Offer::Dropped(messages) => dropped += messages,
                    Offer::Full => unreachable!("a joint never has the policy `disconnect`"),
                }
            }
        }
        self.fanout.recycle(deliveries);
        (dropped, is_over)
    }

    /// True if publishers that were held may go on.
    pub(super) fn has_room(&self) -> bool {
        self.queue.has_room(self.bounds)
    }

    /// Takes the next parcel to send, if the far end has confirmed enough of those before it.
    pub(super) fn next(&mut self) -> Option<(u64, Bytes)> {
        if self.left == self.flown.len() {
            self.cut_parcel()?;
        }
        let flown = &self.flown[self.left];
        self.left += 1;
        Some((flown.number, flown.bytes.clone()))
    }

    fn cut_parcel(&mut self) -> Option<()> {
        if self.queue.is_empty() || self.flown_bytes >= PARCELS_AHEAD_BYTES_MAX {
            return None;
        }
        let mut bytes = BytesMut::new();
        // Items are whole frames, and go whole: no frame is divided between two parcels.
        let taken = self.queue.send_next(|items| {
            for item in items {
                if !bytes.is_empty() && bytes.len() + item.len() > PARCEL_BYTES_MAX {
                    break;
                }
                bytes.extend_from_slice(item);
            }
            Ok::<_, Infallible>(Some(bytes.len()))
        });
        let Ok(_) = taken;
        let sent = self.queue.sent(bytes.len());
        self.number += 1;
        self.flown_bytes += bytes.len();
        let flown = Flown { number: self.number, bytes: bytes.freeze(), messages: sent.messages };
        self.flown.push_back(flown);
        Some(())
    }

    /// Notes that the far end has all parcels up to this one. Returns the number of messages that this confirms. `None`: no
    /// such parcel was made.
    pub(super) fn had(&mut self, number: u64) -> Option<u64> {
        if number > self.number {
            return None;
        }
        let mut messages = 0;
        while let Some(flown) = self.flown.front()
            && flown.number <= number
        {
            messages += flown.messages;
            self.flown_bytes -= flown.bytes.len();
            self.left = self.left.saturating_sub(1);
            self.flown.pop_front();
        }
        Some(messages)
    }

    /// Sends all that is not confirmed again, on a new connection.
    pub(super) fn rewind(&mut self) {
        self.left = 0;
    }

    /// Drops everything, for a far end that has restarted and knows nothing of it. Returns the number of messages.
    pub(super) fn abandon(&mut self) -> u64 {
        let flown: u64 = self.flown.drain(..).map(|flown| flown.messages).sum();
        (self.flown_bytes, self.left, self.number) = (0, 0, 0);
        flown + self.queue.abandon().1
    }

    /// Memory of the messages that wait or are not confirmed, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.queue.bytes() + self.flown_bytes
    }
}
