//! Batches that a carrier took for too long, and the notices in their place. Pure; owned by nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::link_item::LinkItem;
use crate::fanout::{Batch, Messages, REASON_PUBLISHER, Routable, Spans};
use crate::limits::{CARRIER_GIVEN_UP_TOPICS_MAX, CARRIER_WAITING_BYTES_MAX};
use crate::wire::{Frame, encode, split};

/// Messages that were given up, by topic.
#[derive(Default)]
struct Missed<'a> {
    by_topic: BTreeMap<&'a [u8], (u64, bool)>,
    /// Some are of further topics.
    has_others: bool,
}

impl<'a> Missed<'a> {
    fn add(&mut self, topic: &'a [u8], messages: u64, is_unknown: bool) {
        if !self.by_topic.contains_key(topic) && self.by_topic.len() >= CARRIER_GIVEN_UP_TOPICS_MAX {
            self.has_others = true;
            return;
        }
        let missed = self.by_topic.entry(topic).or_default();
        missed.0 = missed.0.saturating_add(messages);
        missed.1 |= is_unknown;
    }

    fn add_batch(&mut self, batch: &'a Batch) {
        match batch.spans.messages() {
            Messages::Native(spans) => {
                for span in spans {
                    match span.frame(&batch.bytes) {
                        Frame::Gap { topic, missed, .. } => self.add(topic, missed, missed == 0),
                        frame => {
                            let topic = frame.routed_topic().unwrap_or_default();
                            self.add(topic, frame.messages().into(), false);
                        }
                    }
                }
            }
            Messages::Zmtp(spans, _) => {
                for span in spans {
                    if let Ok((topic, messages)) = span.topic(&batch.bytes) {
                        self.add(topic, messages.into(), false);
                    }
                }
            }
        }
    }

    /// The notices, as a batch.
    fn notices(&self) -> Batch {
        let mut bytes = Vec::new();
        for (topic, (messages, is_unknown)) in &self.by_topic {
            let known = Some(*messages).filter(|messages| *messages > 0);
            for missed in known.into_iter().chain(is_unknown.then_some(0)) {
                encode(&Frame::Gap { topic, missed, reason: REASON_PUBLISHER }, &mut bytes);
            }
        }
        let (bytes, mut spans) = (Bytes::from(bytes), Vec::new());
        let split = split(&bytes, bytes.len(), &mut spans);
        assert!(split.error.is_none(), "they were just written");
        Batch { bytes, spans: Spans::Native(spans.into()) }
    }
}

/// Gives up the oldest batches among items that wait for a carrier, until half of [`CARRIER_WAITING_BYTES_MAX`] waits. Notices
/// stand in their place: what is missing is told at the far end. Returns the number of messages.
pub(crate) fn give_up(items: &mut VecDeque<LinkItem>) -> u64 {
    let mut waiting: usize = items.iter().map(LinkItem::batch_bytes).sum();
    let (mut given_up, mut kept) = (Vec::new(), VecDeque::with_capacity(items.len()));
    for item in items.drain(..) {
        match item {
            LinkItem::Batch { batch, publisher } if waiting > CARRIER_WAITING_BYTES_MAX / 2 => {
                waiting -= batch.bytes.len();
                given_up.push((batch, publisher));
            }
            item => kept.push_back(item),
        }
    }
    let mut missed = Missed::default();
    let mut messages = 0;
    for (batch, _) in &given_up {
        missed.add_batch(batch);
        messages += batch.messages();
    }
    if let Some((_, publisher)) = given_up.last() {
        kept.push_front(LinkItem::Batch { batch: Arc::new(missed.notices()), publisher: *publisher });
    }
    if missed.has_others && !kept.iter().any(|item| matches!(item, LinkItem::Doubted)) {
        kept.push_front(LinkItem::Doubted);
    }
    *items = kept;
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::wire::splitter;

    const PUBLISHER: SessionId = SessionId { slot: 3, generation: 1 };

    fn batch(frames: &[Frame<'_>]) -> LinkItem {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        let (bytes, mut spans) = (Bytes::from(bytes), Vec::new());
        split(&bytes, bytes.len(), &mut spans);
        let batch = Arc::new(Batch { bytes, spans: Spans::Native(spans.into()) });
        LinkItem::Batch { batch, publisher: PUBLISHER }
    }

    fn long(topic: &[u8], sequence: u64) -> LinkItem {
        let payload = &vec![7; CARRIER_WAITING_BYTES_MAX / 8];
        batch(&[Frame::Message { topic, payload, publisher: 1, sequence, sent_at_ns: 0 }])
    }

    fn gaps(item: &LinkItem) -> Vec<(String, u64)> {
        let LinkItem::Batch { batch, publisher: PUBLISHER } = item else { panic!("{item:?}") };
        let gap = |(_, frame)| match frame {
            Frame::Gap { topic, missed, .. } => (String::from_utf8_lossy(topic).into_owned(), missed),
            other => panic!("{other:?}"),
        };
        splitter::frames(&batch.bytes).map(gap).collect()
    }

    #[test]
    fn the_oldest_are_given_up_and_notices_stand_in_their_place() {
        let mut items: VecDeque<LinkItem> =
            (1..=10).map(|n| long(if n % 2 == 0 { b"a" } else { b"b" }, n)).collect();
        items.insert(1, LinkItem::Fence { seq: 1, kept_at: 0 });
        assert_eq!(give_up(&mut items), 7);
        assert_eq!(gaps(&items[0]), [("a".into(), 3), ("b".into(), 4)]);
        assert!(matches!(items[1], LinkItem::Fence { seq: 1, .. }));
        assert_eq!(items.len(), 2 + 3);
        // The notices are given up themselves, and say the same.
        items.extend((11..=20).map(|n| long(b"c", n)));
        items.push_front(batch(&[Frame::Gap { topic: b"d", missed: 0, reason: 2 }]));
        assert_eq!(give_up(&mut items), 10);
        let told: Vec<_> = ["a", "b", "c", "d"].map(String::from).into_iter().zip([5, 5, 7, 0]).collect();
        assert_eq!(gaps(&items[0]), told);
    }

    #[test]
    fn beyond_so_many_topics_it_is_told_that_there_are_others() {
        let topics: Vec<String> = (0..=CARRIER_GIVEN_UP_TOPICS_MAX).map(|n| n.to_string()).collect();
        let frames: Vec<Frame<'_>> =
            topics.iter().map(|topic| Frame::Gap { topic: topic.as_bytes(), missed: 2, reason: 2 }).collect();
        let mut items = VecDeque::from([batch(&frames)]);
        items.extend((0..9).map(|n| long(b"0", n)));
        give_up(&mut items);
        assert!(matches!(items[0], LinkItem::Doubted));
        assert_eq!(gaps(&items[1]).len(), CARRIER_GIVEN_UP_TOPICS_MAX);
        items.extend((0..9).map(|n| long(b"x", n)));
        give_up(&mut items);
        let doubted = items.iter().filter(|item| matches!(item, LinkItem::Doubted)).count();
        assert_eq!((doubted, gaps(&items[0]).len()), (1, CARRIER_GIVEN_UP_TOPICS_MAX));
    }
}
