//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::origin::Origin;
use super::state::Shard;
use crate::auth::{Action, Verdict};
use crate::carrier::{Audience, LinkItem};
use crate::error::ErrorCode;
use crate::fanout::{
    BadRoute, Batch, Chunk, Cutter, Deliveries, Encoding, Messages, Offer, OverflowPolicy, ToGroup,
};
use crate::ids::{GroupId, Neighbour, SessionId};
use crate::limits::TOPIC_BYTES_MAX;
use crate::telemetry::DropReason;

impl Shard {
    /// Sends routable frames to every session here, and from a publisher of this shard to every neighbour, that wants
    /// them. `origin` is held if somebody has no room. A publisher that breaks a rule is closed after what stood before
    /// that is sent. Gives how many frames are done: those behind them wait for the next turn.
    pub(super) fn publish(&mut self, bytes: &Bytes, messages: Messages<'_>, origin: Origin) -> usize {
        let (mut deliveries, audience) = self.route(bytes, messages, origin);
        let good = messages.first(deliveries.good);
        if let Origin::Here(publisher) = origin {
            self.base.counters.messages_in += deliveries.messages;
            if audience.has_neighbours() && !deliveries.neighbours.is_empty() {
                self.publish_to_neighbours(bytes, good, &deliveries.neighbours, publisher);
            }
        }
        let mut cutter = Cutter::new(bytes, good);
        for ToGroup { group, picked } in &mut deliveries.groups {
            let encoding = self.fanout.groups.get(*group).encoding;
            if !audience.has(encoding) {
                continue;
            }
            let (chunks, untold) = cutter.cut(picked, encoding);
            if untold > 0 {
                let members = self.fanout.groups.get(*group).members.len() as u64;
                let untold = untold.saturating_mul(members);
                self.base.counters.gaps_untold = self.base.counters.gaps_untold.saturating_add(untold);
            }
            self.publish_to_group(&chunks, *group, origin);
        }
        let (good, bad) = (deliveries.good, deliveries.bad.take());
        self.fanout.recycle(deliveries);
        if let (Some(bad), Origin::Here(id)) = (bad, origin) {
            self.refuse(id, &bad);
            self.settle();
            return messages.len();
        }
        self.settle();
        good
    }

    /// Finds who gets what. The shard of a publisher asks whether it may publish; the others take its word.
    fn route(&mut self, bytes: &Bytes, messages: Messages<'_>, origin: Origin) -> (Deliveries, Audience) {
        let publisher = match origin {
            Origin::Here(id) => self.base.sessions.get(id),
            Origin::There(..) => None,
        };
        let permissions = &self.base.config.permissions;
        let may = |topic: &[u8]| match publisher {
            Some(session) => {
                permissions.permit(&session.identity, Action::Publish(topic)) == Verdict::Allowed
            }
            None => true,
        };
        let audience = publisher.map_or(Audience::Here, |session| session.kind.audience());
        (self.fanout.route(bytes, messages, &mut self.base.turn, may), audience)
    }

    fn refuse(&mut self, id: SessionId, bad: &BadRoute) {
        match bad {
            BadRoute::Topic(topic_bytes) => {
                let text = format!("a topic has {topic_bytes} bytes; it must have 1 to {TOPIC_BYTES_MAX}");
                self.base.end(id, ErrorCode::BadTopic, &text);
            }
            BadRoute::NotPermitted => {
                self.base.end(id, ErrorCode::NotPermitted, "you may not publish messages of this topic");
            }
            BadRoute::Parts => {
                self.base.end(id, ErrorCode::Malformed, "the parts of a message are not whole")
            }
        }
    }

    fn publish_to_neighbours(
        &mut self,
        bytes: &Bytes,
        messages: Messages<'_>,
        neighbours: &[Neighbour],
        publisher: SessionId,
    ) {
        let batch = Arc::new(Batch { bytes: bytes.clone(), spans: messages.to_spans() });
        let origin = Origin::Here(publisher);
        for neighbour in neighbours {
            self.base.send_link(*neighbour, LinkItem::Batch { batch: Arc::clone(&batch), publisher });
            self.base.hold_if_backed_up(*neighbour, origin);
        }
    }

    fn publish_to_group(&mut self, chunks: &[Rc<Chunk>], group: GroupId, origin: Origin) {
        let mut full: Vec<SessionId> = Vec::new();
        let mut over: Vec<SessionId> = Vec::new();
        let bounds = self.base.config.bounds;
        for id in &self.fanout.groups.get(group).members {
            let session = self.base.sessions.get_mut(*id).expect("the members of a group are sessions");
            let mut chunks = chunks.iter();
            while let Some(chunk) = chunks.next() {
                match session.egress.offer(chunk, session.policy, bounds) {
                    Offer::Queued => {}
                    Offer::QueuedOver => over.push(*id),
                    Offer::Dropped(messages) => {
                        self.base.counters.drops[drop_reason(session.policy)] += messages;
                        self.base.losses.note(drop_reason(session.policy), messages, *id);
                        if chunk.encoding != Encoding::Native {
                            self.base.counters.gaps_untold += messages;
                        }
                    }
                    Offer::Full => {
                        let behind = chunks.map(|chunk| u64::from(chunk.messages)).sum::<u64>();
                        let refused = u64::from(chunk.messages) + behind;
                        self.base.counters.drops[DropReason::Disconnect] += refused;
                        self.base.losses.note(DropReason::Disconnect, refused, *id);
                        full.push(*id);
                        break;
                    }
                }
            }
            if !session.listed {
                session.listed = true;
                self.base.outbox.dirty.push_back(*id);
            }
        }
        for id in over {
            self.base.hold_for(id, origin);
        }
        for id in full {
            self.base.end(id, ErrorCode::SlowSubscriber, "the egress queue is full");
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
