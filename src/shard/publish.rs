//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::base::Base;
use super::origin::Origin;
use crate::auth::{Action, Verdict};
use crate::carrier::{Audience, LinkItem};
use crate::error::ErrorCode;
use crate::fanout::{
    BadRoute, Batch, Chunk, Cutter, Deliveries, Fanout, Messages, Offer, OverflowPolicy, ToGroup,
};
use crate::ids::{Neighbour, SessionId};
use crate::limits::TOPIC_BYTES_MAX;
use crate::telemetry::DropReason;

/// Sends routable frames to every session here, and from a publisher of this shard to every neighbour, that wants
/// them. `origin` is held if somebody has no room. A publisher that breaks a rule is closed after what stood before
/// that is sent. Returns how many frames are done: those behind them wait for the next turn.
pub(super) fn publish(
    base: &mut Base,
    fanout: &mut Fanout,
    (bytes, messages): (&Bytes, Messages<'_>),
    origin: Origin,
) -> usize {
    let (mut deliveries, audience) = route(base, fanout, (bytes, messages), origin);
    let good = messages.first(deliveries.good);
    if let Origin::Here(publisher) = origin {
        base.counters.messages_in += deliveries.messages;
        if audience.has_neighbours() && !deliveries.neighbours.is_empty() {
            publish_to_neighbours(base, (bytes, good), &deliveries.neighbours, publisher);
        }
    }
    let mut cutter = Cutter::new(bytes, good, deliveries.runs);
    for ToGroup { group, picked } in &mut deliveries.groups {
        let encoding = fanout.groups().get(*group).encoding;
        if !audience.has(encoding) {
            continue;
        }
        let (chunks, untold) = cutter.cut(picked, encoding);
        if untold > 0 {
            let members = fanout.groups().get(*group).members.len() as u64;
            let untold = untold.saturating_mul(members);
            base.counters.gaps_untold = base.counters.gaps_untold.saturating_add(untold);
        }
        publish_to_group(base, &fanout.groups().get(*group).members, &chunks, origin);
    }
    let (good, bad) = (deliveries.good, deliveries.bad.take());
    fanout.recycle(deliveries);
    if let (Some(bad), Origin::Here(id)) = (bad, origin) {
        refuse(base, id, &bad);
        return messages.len();
    }
    good
}

/// Finds the deliveries. The shard of a publisher asks whether it may publish; the others take its word.
fn route(
    base: &mut Base,
    fanout: &mut Fanout,
    (bytes, messages): (&Bytes, Messages<'_>),
    origin: Origin,
) -> (Deliveries, Audience) {
    let publisher = match origin {
        Origin::Here(id) => base.sessions.get(id),
        Origin::There(..) => None,
    };
    let permissions = &base.config.permissions;
    let may = |topic: &[u8]| match publisher {
        Some(session) => permissions.permit(&session.identity, Action::Publish(topic)) == Verdict::Allowed,
        None => true,
    };
    let audience = publisher.map_or(Audience::Here, |session| session.kind.audience());
    (fanout.route(bytes, messages, &mut base.turn, may), audience)
}

fn refuse(base: &mut Base, id: SessionId, bad: &BadRoute) {
    match bad {
        BadRoute::Topic(topic_bytes) => {
            let text = format!("a topic has {topic_bytes} bytes; it must have 1 to {TOPIC_BYTES_MAX}");
            base.end(id, ErrorCode::BadTopic, &text);
        }
        BadRoute::NotPermitted => {
            base.end(id, ErrorCode::NotPermitted, "you may not publish messages of this topic");
        }
        BadRoute::Parts => base.end(id, ErrorCode::Malformed, "the parts of a message are not whole"),
    }
}

fn publish_to_neighbours(
    base: &mut Base,
    (bytes, messages): (&Bytes, Messages<'_>),
    neighbours: &[Neighbour],
    publisher: SessionId,
) {
    let batch = Arc::new(Batch { bytes: bytes.clone(), spans: messages.to_spans() });
    let origin = Origin::Here(publisher);
    for neighbour in neighbours {
        base.send_link(*neighbour, LinkItem::Batch { batch: Arc::clone(&batch), publisher });
        base.hold_if_backed_up(*neighbour, origin);
    }
}

fn publish_to_group(base: &mut Base, members: &[SessionId], chunks: &[Rc<Chunk>], origin: Origin) {
    let mut full: Vec<SessionId> = Vec::new();
    let mut over: Vec<SessionId> = Vec::new();
    let bounds = base.config.bounds;
    for id in members {
        let session = base.sessions.get_mut(*id).expect("the members of a group are sessions");
        let mut chunks = chunks.iter();
        while let Some(chunk) = chunks.next() {
            match session.egress.offer(chunk, session.policy, bounds) {
                Offer::Queued => {}
                Offer::QueuedOver => over.push(*id),
                Offer::Dropped(messages) => {
                    base.counters.drops[drop_reason(session.policy)] += messages;
                    base.outbox.losses.note(drop_reason(session.policy), messages, *id);
                    if !chunk.encoding.can_tell_gaps() {
                        base.counters.gaps_untold += messages;
                    }
                }
                Offer::Full => {
                    let behind = chunks.map(|chunk| u64::from(chunk.messages)).sum::<u64>();
                    let refused = u64::from(chunk.messages) + behind;
                    base.counters.drops[DropReason::Disconnect] += refused;
                    base.outbox.losses.note(DropReason::Disconnect, refused, *id);
                    full.push(*id);
                    break;
                }
            }
        }
        if !session.listed {
            session.listed = true;
            base.outbox.dirty.push_back(*id);
        }
    }
    for id in over {
        base.hold_for(id, origin);
    }
    for id in full {
        base.end(id, ErrorCode::SlowSubscriber, "the egress queue is full");
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
