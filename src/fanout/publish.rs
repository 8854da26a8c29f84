//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Batch, Chunk};
use super::egress::Offer;
use super::outbox::{LinkItem, Origin};
use super::policy::OverflowPolicy;
use super::router::Route;
use super::shard::Shard;
use crate::error::ErrorCode;
use crate::ids::{GroupId, SessionId, ShardId};
use crate::limits::{LINK_ITEMS_PER_TURN, TOPIC_BYTES_MAX};
use crate::telemetry::DropReason;
use crate::wire::{Frame, Span};

/// Consecutive frames of one topic.
struct Run {
    route: Rc<Route>,
    start: usize,
    end: usize,
    frames: u32,
}

impl Shard {
    /// Sends routable frames to every session here, and from a publisher of this shard to every other shard,
    /// that wants them. `origin` is held if somebody has no room.
    pub(super) fn publish(&mut self, bytes: &Bytes, spans: &[Span], origin: Origin) {
        let mut shards: Vec<ShardId> = Vec::new();
        let Some(messages) = self.pick(bytes, spans, origin, &mut shards) else { return };
        if let Origin::Here(publisher) = origin {
            self.counters.messages_in += messages;
            if !shards.is_empty() {
                self.publish_to_shards(bytes, spans, &shards, publisher);
            }
        }
        for group in std::mem::take(&mut self.touched) {
            self.publish_to_group(bytes, group, origin);
        }
    }

    /// Notes in each group what of the batch it gets, and which shards want any of it. `None`: the publisher
    /// broke a rule and is being closed; what stood before that is picked.
    fn pick(
        &mut self,
        bytes: &Bytes,
        spans: &[Span],
        origin: Origin,
        shards: &mut Vec<ShardId>,
    ) -> Option<u64> {
        let mut last_topic: &[u8] = &[];
        let mut run: Option<Run> = None;
        let mut messages = 0;
        for span in spans {
            let (Frame::Message { topic, .. } | Frame::Gap { topic, .. }) = span.frame(bytes) else {
                continue;
            };
            if let Some(run) = &mut run
                && run.end == span.start()
                && topic == last_topic
            {
                run.end = span.end();
                run.frames += 1;
                messages += 1;
                continue;
            }
            if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
                self.refuse_topic(origin, topic.len());
                break;
            }
            if let Some(done) = run.take() {
                self.pick_run(&done, shards);
            }
            last_topic = topic;
            let route = self.router.route(topic);
            run = Some(Run { route, start: span.start(), end: span.end(), frames: 1 });
            messages += 1;
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
                Some((range, frames)) if range.end == run.start => {
                    range.end = run.end;
                    *frames += run.frames;
                }
                Some(_) => picked.push((run.start..run.end, run.frames)),
                None => {
                    picked.push((run.start..run.end, run.frames));
                    self.touched.push(*id);
                }
            }
        }
    }

    fn refuse_topic(&mut self, origin: Origin, topic_bytes: usize) {
        if let Origin::Here(id) = origin {
            let text = format!("a topic has {topic_bytes} bytes; it must have 1 to {TOPIC_BYTES_MAX}");
            self.close(id, ErrorCode::BadTopic, &text);
        }
    }

    fn publish_to_shards(&mut self, bytes: &Bytes, spans: &[Span], shards: &[ShardId], publisher: SessionId) {
        let batch = Arc::new(Batch { bytes: bytes.clone(), spans: spans.into() });
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

    fn publish_to_group(&mut self, bytes: &Bytes, group: GroupId, origin: Origin) {
        let mut picked = std::mem::take(&mut self.groups.get_mut(group).picked);
        let chunks: Vec<Rc<Chunk>> =
            picked.drain(..).map(|(range, frames)| Rc::new(Chunk::cut(bytes, range, frames))).collect();
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

fn drop_reason(policy: OverflowPolicy) -> DropReason {
    match policy {
        OverflowPolicy::DropOldest => DropReason::DropOldest,
        OverflowPolicy::DropNewest => DropReason::DropNewest,
        OverflowPolicy::Latest => DropReason::Latest,
        OverflowPolicy::Disconnect | OverflowPolicy::Block => DropReason::Disconnect,
    }
}
