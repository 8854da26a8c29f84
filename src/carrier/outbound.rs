//! Messages on their way to the far end of a joint: a queue with a policy, and behind it the parcels that were sent and are
//! not confirmed. Owned by a joint.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::link_item::Owed;
use crate::fanout::{
    Batch, Chunk, Cutter, EgressQueue, Encoding, Fanout, Offer, OverflowPolicy, QueueBounds, Target, Turn,
};
use crate::ids::GroupId;
use crate::limits::{PARCEL_BYTES_MAX, PARCELS_AHEAD_BYTES_MAX, TOPIC_BYTES_MAX};
use crate::topic::Filter;
use crate::wire::{Features, Frame, splitter};

/// The far end, as the router knows it.
const FAR: Target = Target::Group(GroupId(0));

/// The outcome of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Offered {
    /// Messages that were dropped for want of room, of this batch or before it.
    pub(super) dropped: u64,
    /// Messages of a ZeroMQ publisher on a topic that no native frame may have: empty, or too long. They do not cross.
    pub(super) unroutable: u64,
    /// True if the queue is over its bounds: hold the publisher.
    pub(super) is_over: bool,
}

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
    /// The encoding that the far end reads.
    encoding: Encoding,
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
            encoding: Encoding::Native,
            policy,
            bounds,
            flown: VecDeque::new(),
            flown_bytes: 0,
            left: 0,
            number: 0,
        }
    }

    /// Writes as a far end that offers these features reads. Nothing waits for one that has restarted.
    pub(super) fn greet(&mut self, features: Features) {
        self.encoding = Encoding::native(features);
    }

    /// Adds a filter of the far end, or removes it. `false`: that is no change.
    pub(super) fn want(&mut self, filter: &Filter, wanted: bool) -> bool {
        if wanted { self.fanout.file(filter, FAR) } else { self.fanout.unfile(filter, FAR) }
    }

    /// Queues the messages of a batch that the far end wants. While it is away nobody is held for it: then the oldest are
    /// dropped in place of `block`.
    pub(super) fn offer(&mut self, batch: &Batch, is_away: bool) -> Offered {
        let policy = match self.policy {
            OverflowPolicy::Block if is_away => OverflowPolicy::DropOldest,
            policy => policy,
        };
        let messages = batch.spans.messages();
        // Batches are short, and no executor's reactor waits for this turn.
        let mut turn = Turn::new(usize::MAX);
        let deliveries = self.fanout.route((&batch.bytes, messages), false, &mut turn, None);
        let mut cutter = Cutter::new(&batch.bytes, messages, &deliveries);
        let mut chunks = self.fanout.memory_of_chunks();
        let mut offered = Offered::default();
        for to in &deliveries.groups {
            cutter.cut(to, self.encoding, &mut chunks);
            for chunk in &chunks {
                // Native publishers name only topics that can be routed.
                if messages.are_native() || splitter::frames(&chunk.bytes).all(has_topic) {
                    self.queue_chunk(chunk, policy, &mut offered);
                    continue;
                }
                chunk.for_each_single(|single, _| {
                    if splitter::frames(&single.bytes).all(has_topic) {
                        self.queue_chunk(&Rc::new(single), policy, &mut offered);
                    } else {
                        offered.unroutable += 1;
                    }
                });
            }
        }
        self.fanout.recycle_chunks(chunks);
        self.fanout.recycle(deliveries);
        offered
    }

    fn queue_chunk(&mut self, chunk: &Rc<Chunk>, policy: OverflowPolicy, offered: &mut Offered) {
        match self.queue.offer(chunk, policy, self.bounds) {
            Offer::Queued => {}
            Offer::QueuedOver => offered.is_over = true,
            Offer::Dropped(messages) => offered.dropped += messages,
            Offer::Full => unreachable!("a joint never has the policy `disconnect`"),
        }
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

    /// The messages that wait or are not confirmed.
    pub(super) fn owed(&self) -> Owed {
        let flown: u64 = self.flown.iter().map(|flown| flown.messages).sum();
        Owed { messages: self.queue.frames() as u64 + flown, bytes: self.held_bytes() as u64 }
    }

    /// Memory of the messages that wait or are not confirmed, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.queue.bytes() + self.flown_bytes
    }
}

/// True if a frame can be routed by its topic.
fn has_topic((_, frame): (Bytes, Frame<'_>)) -> bool {
    frame.message_topic().is_some_and(|topic| (1..=TOPIC_BYTES_MAX).contains(&topic.len()))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::fanout::{Author, Spans};
    use crate::zmtp::{self, Decoder, Found};

    /// Messages of a ZeroMQ publisher, each of a topic and a payload.
    fn zmtp_batch(topics: &[&[u8]]) -> Batch {
        let mut bytes = BytesMut::new();
        topics.iter().for_each(|topic| zmtp::put_message(&mut bytes, topic, [&b"payload"[..]].into_iter()));
        let (mut decoder, mut at, mut spans) = (Decoder::new(1 << 20), 0, Vec::new());
        while at < bytes.len() {
            let Ok(Found::Message(span)) = decoder.next(&bytes[at..]) else {
                unreachable!("there are messages alone")
            };
            spans.push(span.moved(at));
            at += span.end();
        }
        let author = Author { publisher: 1, first_sequence: 1, received_at_ns: 0 };
        Batch { bytes: bytes.freeze(), spans: Spans::Zmtp(spans.into(), author) }
    }

    #[test]
    fn zeromq_messages_cross_as_native_frames_unless_their_topic_cannot() {
        let mut outbound = Outbound::new(OverflowPolicy::DropOldest, QueueBounds::default());
        assert!(outbound.want(&Filter::prefix(b"").expect("a short prefix"), true));
        let long = vec![b'x'; TOPIC_BYTES_MAX + 1];
        let offered = outbound.offer(&zmtp_batch(&[b"a", b"", b"b", &long, b"c"]), false);
        assert_eq!(offered, Offered { unroutable: 2, ..Offered::default() });
        assert_eq!(outbound.offer(&zmtp_batch(&[b"d", b"e"]), false), Offered::default());
        let (_, bytes) = outbound.next().expect("something waits");
        let frames = splitter::frames(&bytes).map(|(_, frame)| match frame {
            Frame::Message { topic, sequence, .. } => (topic[0], sequence),
            other => unreachable!("{other:?}"),
        });
        let crossed: Vec<_> = frames.collect();
        assert_eq!(crossed, [(b'a', 1), (b'b', 3), (b'c', 5), (b'd', 1), (b'e', 2)]);
    }

    #[test]
    fn no_more_leaves_than_the_far_end_is_to_confirm() {
        let room = QueueBounds { bytes_max: 4 * PARCELS_AHEAD_BYTES_MAX, frames_max: usize::MAX };
        let mut outbound = Outbound::new(OverflowPolicy::DropOldest, room);
        outbound.want(&Filter::prefix(b"").expect("a short prefix"), true);
        for _ in 0..2_000 {
            outbound.offer(&zmtp_batch(&[&[b'x'; TOPIC_BYTES_MAX]]), false);
        }
        let mut last = 0;
        let mut ahead = 0;
        while let Some((number, bytes)) = outbound.next() {
            assert_eq!(number, last + 1);
            assert!(bytes.len() <= PARCEL_BYTES_MAX);
            (last, ahead) = (number, ahead + bytes.len());
        }
        assert!((PARCELS_AHEAD_BYTES_MAX..PARCELS_AHEAD_BYTES_MAX + PARCEL_BYTES_MAX).contains(&ahead));
        assert_eq!(outbound.had(last + 1), None);
        assert!(outbound.had(last).is_some_and(|messages| messages > 900));
        assert!(outbound.next().is_some());
    }
}
