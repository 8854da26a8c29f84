//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Batch, Chunk};
use super::egress::Offer;
use super::encoding::{BadRoute, Encoding, Messages, Routable};
use super::outbox::{LinkItem, Origin};
use super::policy::OverflowPolicy;
use super::router::Route;
use super::shard::Shard;
use super::translate::translate;
use crate::error::ErrorCode;
use crate::ids::{GroupId, SessionId, ShardId};
use crate::limits::{LINK_ITEMS_PER_TURN, TOPIC_BYTES_MAX};
use crate::telemetry::DropReason;

/// Consecutive messages of one topic.
struct Run {
    route: Rc<Route>,
    /// Which, counted in the batch.
    messages: Range<usize>,
}

impl Shard {
    /// Sends messages to every session here, and from a publisher of this shard to every other shard, that wants
    /// them. `origin` is held if somebody has no room.
    pub(super) fn publish(&mut self, bytes: &Bytes, messages: Messages<'_>, origin: Origin) {
        let mut shards: Vec<ShardId> = Vec::new();
        let picked = match messages {
            Messages::Native(spans) => self.pick(bytes, spans, origin, &mut shards),
            Messages::Zmtp(spans, _) => self.pick(bytes, spans, origin, &mut shards),
        };
        let Some(count) = picked else { return };
        if let Origin::Here(publisher) = origin {
            self.counters.messages_in += count;
            if !shards.is_empty() {
                self.publish_to_shards(bytes, messages, &shards, publisher);
            }
        }
        // What came in the other encoding is translated once, for all groups that want any of it.
        let mut translated: Option<Batch> = None;
        for group in std::mem::take(&mut self.touched) {
            if self.groups.get(group).encoding == messages.encoding() {
                self.publish_to_group(bytes, messages, group, origin);
            } else {
                let batch = translated.get_or_insert_with(|| translate(bytes, messages));
                self.publish_to_group(&batch.bytes, batch.spans.messages(), group, origin);
            }
        }
    }

    /// Notes in each group what of the batch it gets, and which shards want any of it. `None`: the publisher
    /// broke a rule and is being closed; what stood before that is picked.
    fn pick<S: Routable>(
        &mut self,
        bytes: &Bytes,
        spans: &[S],
        origin: Origin,
        shards: &mut Vec<ShardId>,
    ) -> Option<u64> {
        let mut last_topic: &[u8] = &[];
        let mut run: Option<Run> = None;
        let mut messages = 0;
        for (at, span) in spans.iter().enumerate() {
            let topic = match span.topic(bytes) {
                Ok(topic) => topic,
                Err(bad) => {
                    self.refuse(origin, &bad);
                    break;
                }
            };
            messages += 1;
            if let Some(run) = &mut run
                && topic == last_topic
            {
                debug_assert_eq!(spans[at - 1].end(), span.start(), "a batch has no holes");
                run.messages.end = at + 1;
                continue;
            }
            if let Some(done) = run.take() {
                self.pick_run(&done, shards);
            }
            last_topic = topic;
            run = Some(Run { route: self.router.route(topic), messages: at..at + 1 });
        }
        if let Some(done) = run {
            self.pick_run(&done, shards);
        }
        (messages > 0).then_some(messages)
    }

    fn pick_run(&mut self, run: &Run, shards: &mut Vec<ShardId>) {
        for shard in &run.route.shards {
            if !shards.contains(shard) {
                shards.push(*shard);
            }
        }
        for id in &run.route.groups {
            let picked = &mut self.groups.get_mut(*id).picked;
            match picked.last_mut() {
                Some(range) if range.end == run.messages.start => range.end = run.messages.end,
                Some(_) => picked.push(run.messages.clone()),
                None => {
                    picked.push(run.messages.clone());
                    self.touched.push(*id);
                }
            }
        }
    }

    fn refuse(&mut self, origin: Origin, bad: &BadRoute) {
        let Origin::Here(id) = origin else { return };
        match bad {
            BadRoute::Topic(topic_bytes) => {
                let text = format!("a topic has {topic_bytes} bytes; it must have 1 to {TOPIC_BYTES_MAX}");
                self.close(id, ErrorCode::BadTopic, &text);
            }
            BadRoute::Parts => self.close(id, ErrorCode::Malformed, "the parts of a message are not whole"),
        }
    }

    fn publish_to_shards(
        &mut self,
        bytes: &Bytes,
        messages: Messages<'_>,
        shards: &[ShardId],
        publisher: SessionId,
    ) {
        let batch = Arc::new(Batch { bytes: bytes.clone(), spans: messages.to_spans() });
        let origin = Origin::Here(publisher);
        for shard in shards {
            self.send_link(*shard, LinkItem::Batch { batch: Arc::clone(&batch), publisher });
            let peer = &mut self.peers[usize::from(shard.0)];
            if peer.pending.len() > LINK_ITEMS_PER_TURN && !peer.holds.contains(&origin) {
                peer.holds.push(origin);
                self.hold(origin);
            }
        }
    }

    fn publish_to_group(&mut self, bytes: &Bytes, messages: Messages<'_>, group: GroupId, origin: Origin) {
        let encoding = messages.encoding();
        let mut picked = std::mem::take(&mut self.groups.get_mut(group).picked);
        let chunks: Vec<Rc<Chunk>> = picked
            .drain(..)
            .filter_map(|range| {
                let (range, frames) = match messages {
                    Messages::Native(spans) => extent(&spans[range]),
                    Messages::Zmtp(spans, _) => extent(&spans[range]),
                };
                (frames > 0).then(|| Rc::new(Chunk::cut(bytes, range, frames, encoding)))
            })
            .collect();
        // The scratch keeps its room for the next batch.
        self.groups.get_mut(group).picked = picked;
        let mut full: Vec<SessionId> = Vec::new();
        let mut over: Vec<SessionId> = Vec::new();
        let bounds = self.config.bounds;
        for id in &self.groups.get(group).members {
            let Some(session) = self.sessions.get_mut(*id) else {
                debug_assert!(false, "members are sessions");
                continue;
            };
            for chunk in &chunks {
                match session.egress.offer(chunk, session.policy, bounds) {
                    Offer::Queued => {}
                    Offer::QueuedOver => over.push(*id),
                    Offer::Dropped(messages) => {
                        self.counters.drops[drop_reason(session.policy)] += messages;
                        if encoding == Encoding::Zmtp {
                            self.counters.gaps_untold += messages;
                        }
                    }
                    Offer::Full => {
                        full.push(*id);
                        break;
                    }
                }
            }
            if !session.listed {
                session.listed = true;
                self.outbox.dirty.push_back(*id);
            }
        }
        for id in over {
            self.hold_for(id, origin);
        }
        for id in full {
            self.close(id, ErrorCode::SlowSubscriber, "the egress queue is full");
        }
    }
}

/// Where these messages stand, and how many they are. A gap notice has no bytes in an encoding that has none for it.
fn extent<S: Routable>(spans: &[S]) -> (Range<usize>, u32) {
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return (0..0, 0) };
    let frames = spans.iter().filter(|span| span.end() > span.start()).count();
    (first.start()..last.end(), u32::try_from(frames).expect("a batch has few messages"))
}

fn drop_reason(policy: OverflowPolicy) -> DropReason {
    match policy {
        OverflowPolicy::DropOldest => DropReason::DropOldest,
        OverflowPolicy::DropNewest => DropReason::DropNewest,
        OverflowPolicy::Latest => DropReason::Latest,
        OverflowPolicy::Disconnect | OverflowPolicy::Block => DropReason::Disconnect,
    }
}
