//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Batch, Chunk, Picked};
use super::egress::Offer;
use super::outbox::{LinkItem, Origin};
use super::policy::OverflowPolicy;
use super::router::Route;
use super::shard::Shard;
use crate::error::ErrorCode;
use crate::ids::{GroupId, SessionId, ShardId};
use crate::limits::TOPIC_BYTES_MAX;
use crate::telemetry::DropReason;
use crate::wire::{Frame, Span};

/// Consecutive frames of one topic.
struct Run {
    route: Rc<Route>,
    picked: Picked,
}

/// What a look at a whole batch found.
#[derive(Default)]
struct Found {
    messages: u64,
    /// Which other shards want any of it.
    shards: Vec<ShardId>,
    /// How many frames are good: all, or those before one whose topic is of this length.
    good: usize,
    bad_topic_bytes: Option<usize>,
}

impl Shard {
    /// Sends routable frames to every session here, and from a publisher of this shard to every other shard,
    /// that wants them. `origin` is held if somebody has no room. A publisher that breaks a rule is closed after
    /// what stood before that is sent.
    pub(super) fn publish(&mut self, bytes: &Bytes, spans: &[Span], origin: Origin) {
        let found = self.pick(bytes, spans);
        if let Origin::Here(publisher) = origin {
            self.counters.messages_in += found.messages;
            if !found.shards.is_empty() {
                self.publish_to_shards(bytes, &spans[..found.good], &found.shards, publisher);
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        for group in touched.drain(..) {
            self.publish_to_group(bytes, group, origin);
        }
        // The scratch keeps its room for the next batch.
        self.touched = touched;
        if let (Some(topic_bytes), Origin::Here(id)) = (found.bad_topic_bytes, origin) {
            let text = format!("a topic has {topic_bytes} bytes; it must have 1 to {TOPIC_BYTES_MAX}");
            self.close(id, ErrorCode::BadTopic, &text);
        }
    }

    /// Notes in each group what of the batch it gets. Closes nobody: the groups must stay while they are noted.
    fn pick(&mut self, bytes: &Bytes, spans: &[Span]) -> Found {
        let mut found = Found::default();
        let mut last_topic: &[u8] = &[];
        let mut run: Option<Run> = None;
        for span in spans {
            let (topic, messages) = match span.frame(bytes) {
                Frame::Message { topic, .. } => (topic, 1),
                Frame::Gap { topic, .. } => (topic, 0),
                _ => continue,
            };
            if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
                found.bad_topic_bytes = Some(topic.len());
                break;
            }
            found.messages += u64::from(messages);
            found.good += 1;
            if let Some(Run { picked, .. }) = &mut run
                && picked.range.end == span.start()
                && topic == last_topic
            {
                picked.range.end = span.end();
                picked.frames += 1;
                picked.messages += messages;
                continue;
            }
            if let Some(done) = run.take() {
                self.pick_run(&done, &mut found.shards);
            }
            last_topic = topic;
            let picked = Picked { range: span.start()..span.end(), frames: 1, messages };
            run = Some(Run { route: self.router.route(topic), picked });
        }
        if let Some(done) = run {
            self.pick_run(&done, &mut found.shards);
        }
        found
    }

    fn pick_run(&mut self, run: &Run, shards: &mut Vec<ShardId>) {
        for shard in &run.route.shards {
            if !shards.contains(shard) {
                shards.push(*shard);
            }
        }
        for id in &run.route.groups {
            let picked = &mut self.groups.get_mut(*id).picked;
            if picked.is_empty() {
                self.touched.push(*id);
            }
            match picked.last_mut() {
                Some(last) if last.range.end == run.picked.range.start => {
                    last.range.end = run.picked.range.end;
                    last.frames += run.picked.frames;
                    last.messages += run.picked.messages;
                }
                _ => picked.push(run.picked.clone()),
            }
        }
    }

    fn publish_to_shards(&mut self, bytes: &Bytes, spans: &[Span], shards: &[ShardId], publisher: SessionId) {
        let batch = Arc::new(Batch { bytes: bytes.clone(), spans: spans.into() });
        let origin = Origin::Here(publisher);
        for shard in shards {
            self.send_link(*shard, LinkItem::Batch { batch: Arc::clone(&batch), publisher });
            self.hold_if_backed_up(*shard, origin);
        }
    }

    fn publish_to_group(&mut self, bytes: &Bytes, group: GroupId, origin: Origin) {
        let mut picked = std::mem::take(&mut self.groups.get_mut(group).picked);
        let chunks: Vec<Rc<Chunk>> =
            picked.drain(..).map(|picked| Rc::new(Chunk::cut(bytes, picked))).collect();
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
            for (at, chunk) in chunks.iter().enumerate() {
                match session.egress.offer(chunk, session.policy, bounds) {
                    Offer::Queued => {}
                    Offer::QueuedOver => over.push(*id),
                    Offer::Dropped(messages) => {
                        self.counters.drops[drop_reason(session.policy)] += messages;
                    }
                    Offer::Full => {
                        let refused = chunks[at..].iter().map(|chunk| u64::from(chunk.messages));
                        self.counters.drops[DropReason::Disconnect] += refused.sum::<u64>();
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
