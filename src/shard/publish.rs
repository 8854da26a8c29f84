//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::outbox::{LinkItem, Origin};
use super::state::Shard;
use crate::error::ErrorCode;
use crate::fanout::Offer;
use crate::fanout::OverflowPolicy;
use crate::fanout::Route;
use crate::fanout::translate;
use crate::fanout::{BadRoute, Encoding, Messages, Routable};
use crate::fanout::{Batch, Chunk, Picked};
use crate::ids::{GroupId, SessionId, ShardId};
use crate::limits::TOPIC_BYTES_MAX;
use crate::telemetry::DropReason;
use crate::wire::Frame;

/// Whom messages are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Audience {
    /// Everybody who wants them.
    All,
    /// The ZeroMQ subscribers of this shard: the others hear the publisher themselves.
    ZmtpHere,
}

/// Pieces of a batch that a group keeps room for: 8 KiB.
const PICKED_KEPT: usize = 256;

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
    /// How many frames are good: all, those before a bad one, or those for which the turn had work left.
    good: usize,
    bad: Option<BadRoute>,
}

impl Found {
    fn add(&mut self, messages: u32) {
        self.messages += u64::from(messages);
        self.good += 1;
    }
}

impl Shard {
    /// Sends routable frames to every session here, and from a publisher of this shard to every other shard,
    /// that wants them. `origin` is held if somebody has no room. A publisher that breaks a rule is closed after
    /// what stood before that is sent. Gives how many frames are done: those behind them wait for the next turn.
    pub(super) fn publish(
        &mut self,
        bytes: &Bytes,
        messages: Messages<'_>,
        origin: Origin,
        audience: Audience,
    ) -> usize {
        let found = match messages {
            Messages::Native(spans) => self.pick(bytes, spans),
            Messages::Zmtp(spans, _) => self.pick(bytes, spans),
        };
        let all = messages.len();
        let good = messages.first(found.good);
        if let Origin::Here(publisher) = origin {
            self.counters.messages_in += found.messages;
            if !found.shards.is_empty() && audience == Audience::All {
                self.publish_to_shards(bytes, good, &found.shards, publisher);
            }
        }
        // What came in the other encoding is translated once, for all groups here that want any of it.
        let mut translated: Option<Batch> = None;
        let mut touched = std::mem::take(&mut self.touched);
        for group in touched.drain(..) {
            let mut picked = std::mem::take(&mut self.groups.get_mut(group).picked);
            if audience == Audience::ZmtpHere && self.groups.get(group).encoding == Encoding::Native {
                continue;
            }
            let chunks = if self.groups.get(group).encoding == good.encoding() {
                cut(bytes, &mut picked, good.encoding())
            } else {
                let members = self.groups.get(group).members.len() as u64;
                let untold = untold(bytes, good, &picked).saturating_mul(members);
                self.counters.gaps_untold = self.counters.gaps_untold.saturating_add(untold);
                let batch = translated.get_or_insert_with(|| translate(bytes, good));
                batch.spans.pick_same(&mut picked);
                cut(&batch.bytes, &mut picked, batch.spans.encoding())
            };
            // The scratch keeps room for the usual batch; a thousand groups are not to keep it for the longest.
            picked.shrink_to(PICKED_KEPT);
            self.groups.get_mut(group).picked = picked;
            self.publish_to_group(&chunks, group, origin);
        }
        // The scratch keeps its room for the next batch.
        self.touched = touched;
        if let (Some(bad), Origin::Here(id)) = (found.bad, origin) {
            self.refuse(id, &bad);
            return all;
        }
        found.good
    }

    /// Notes in each group what of the batch it gets. Closes nobody: the groups must stay while they are noted.
    fn pick<S: Routable>(&mut self, bytes: &Bytes, spans: &[S]) -> Found {
        let mut found = Found::default();
        let mut last_topic: &[u8] = &[];
        let mut run: Option<Run> = None;
        for span in spans {
            let (topic, messages) = match span.topic(bytes) {
                Ok(routable) => routable,
                Err(bad) => {
                    found.bad = Some(bad);
                    break;
                }
            };
            if let Some(Run { picked, .. }) = &mut run
                && picked.range.end == span.start()
                && topic == last_topic
            {
                picked.range.end = span.end();
                picked.frames += 1;
                picked.messages += messages;
                found.add(messages);
                continue;
            }
            if found.good > 0 && self.turn.is_over() {
                break;
            }
            if let Some(done) = run.take() {
                self.pick_run(&done, &mut found.shards);
            }
            last_topic = topic;
            let (route, work) = self.router.route(topic);
            self.turn.spend(work);
            let first = u32::try_from(found.good).expect("a batch has few frames");
            let picked = Picked { range: span.start()..span.end(), first, frames: 1, messages };
            run = Some(Run { route, picked });
            found.add(messages);
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

    fn refuse(&mut self, id: SessionId, bad: &BadRoute) {
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
            self.hold_if_backed_up(*shard, origin);
        }
    }

    fn publish_to_group(&mut self, chunks: &[Rc<Chunk>], group: GroupId, origin: Origin) {
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
                        self.losses.note(drop_reason(session.policy), messages, *id);
                        if chunk.encoding != Encoding::Native {
                            self.counters.gaps_untold += messages;
                        }
                    }
                    Offer::Full => {
                        let refused = chunks[at..].iter().map(|chunk| u64::from(chunk.messages));
                        let refused = refused.sum::<u64>();
                        self.counters.drops[DropReason::Disconnect] += refused;
                        self.losses.note(DropReason::Disconnect, refused, *id);
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

/// Messages that the notices among these tell to be missed: in the other encoding nothing says so.
fn untold(bytes: &Bytes, messages: Messages<'_>, picked: &[Picked]) -> u64 {
    let Messages::Native(spans) = messages else { return 0 };
    let with_notices = picked.iter().filter(|picked| picked.frames > picked.messages);
    let frames = with_notices
        .flat_map(|picked| &spans[picked.first as usize..(picked.first + picked.frames) as usize])
        .map(|span| span.frame(bytes));
    frames
        .map(|frame| if let Frame::Gap { missed, .. } = frame { missed } else { 0 })
        .fold(0, u64::saturating_add)
}

fn cut(bytes: &Bytes, picked: &mut Vec<Picked>, encoding: Encoding) -> Vec<Rc<Chunk>> {
    picked.drain(..).map(|picked| Rc::new(Chunk::cut(bytes, picked, encoding))).collect()
}

fn drop_reason(policy: OverflowPolicy) -> DropReason {
    match policy {
        OverflowPolicy::DropOldest => DropReason::DropOldest,
        OverflowPolicy::DropNewest => DropReason::DropNewest,
        OverflowPolicy::Latest => DropReason::Latest,
        OverflowPolicy::Disconnect | OverflowPolicy::Block => DropReason::Disconnect,
    }
}
