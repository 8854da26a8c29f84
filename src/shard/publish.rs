//! HOT: a batch of frames to all that want it. Branches once a batch and a group; for each subscriber there is
//! one look-up and one push of a refcount.

use std::rc::Rc;

use bytes::Bytes;

use super::base::Base;
use super::losses::Losses;
use super::origin::Origin;
use super::outbox::Outbox;
use super::session_state::SessionState;
use crate::carrier::{Audience, LinkItem};
use crate::error::ErrorCode;
use crate::fanout::{BadRoute, Chunk, Cutter, Deliveries, Fanout, Group, Messages, Offer, OverflowPolicy};
use crate::ids::SessionId;
use crate::limits::TOPIC_BYTES_MAX;
use crate::telemetry::{DropReason, ShardCounters};
use crate::wire::Span;

/// Sends routable frames to every session here, and from a publisher of this shard to every neighbour, that wants
/// them. `origin` is held if somebody has no room. A publisher that breaks a rule is closed after what stood before
/// that is sent. Returns how many frames are done: those behind them wait for the next turn.
pub(super) fn publish(
    base: &mut Base,
    fanout: &mut Fanout,
    (bytes, messages): (&Bytes, Messages<'_>),
    origin: Origin,
) -> usize {
    let (mut deliveries, audience, has_quotas) = route(base, fanout, (bytes, messages), origin);
    let batch = (bytes, messages.first(deliveries.good));
    base.outbox.routed_messages += deliveries.messages as usize;
    if let Origin::Here(publisher) = origin {
        base.counters.messages_in += deliveries.messages;
        if let Some(session) = base.sessions.get_mut(publisher) {
            session.tally.messages_in += deliveries.messages;
        }
        if has_quotas {
            base.pay_for(publisher, deliveries.messages);
        }
        if audience.has_neighbours() {
            publish_to_neighbours(base, batch, &deliveries, publisher);
            if let Some(log) = &mut base.log {
                log.keep(base.clock.told(), batch, deliveries.stretches());
            }
        }
    }
    publish_here(base, fanout, batch, &deliveries, (origin, audience));
    let (good, bad) = (deliveries.good, deliveries.bad.take());
    fanout.recycle(deliveries);
    if let (Some(bad), Origin::Here(id)) = (bad, origin) {
        if let BadRoute::NotPermitted = bad
            && let Some(refused) = pass_over_refused(base, id, (bytes, messages), good)
        {
            return good + refused;
        }
        refuse(base, id, &bad);
        return messages.len();
    }
    good
}

/// Finds the deliveries; the last result is true if the publisher's user has quotas. The shard of a publisher asks whether it
/// may publish; the others take its word.
fn route(
    base: &mut Base,
    fanout: &mut Fanout,
    (bytes, messages): (&Bytes, Messages<'_>),
    origin: Origin,
) -> (Deliveries, Audience, bool) {
    let publisher = match origin {
        Origin::Here(id) => base.sessions.get(id),
        Origin::There(..) => None,
    };
    let permitted = publisher.and_then(|session| base.permissions.publishable(&session.identity).filters());
    let audience = publisher.map_or(Audience::Here, |session| session.kind.audience());
    let has_quotas = publisher.is_some_and(|session| session.share.is_some());
    let deliveries = fanout.route((bytes, messages), audience.has_neighbours(), &mut base.turn, permitted);
    (deliveries, audience, has_quotas)
}

/// Passes over the frames of the topic of this one, which their session may not publish, and tells it so. Returns their number;
/// `None` if the session does not go on after that.
fn pass_over_refused(
    base: &mut Base,
    id: SessionId,
    (bytes, messages): (&Bytes, Messages<'_>),
    first: usize,
) -> Option<usize> {
    let Messages::Native(spans) = messages else { return None };
    let frame = spans[first].frame(bytes);
    let topic = frame.routed_topic()?;
    let is_of_topic = |span: &&Span| span.frame(bytes).routed_topic() == Some(topic);
    let refused = spans[first..].iter().take_while(is_of_topic).count();
    base.counters.refusals += 1;
    base.turn.spend(1);
    base.may_go_on_refused(id, frame.publisher().unwrap_or(0), topic).then_some(refused)
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
    deliveries: &Deliveries,
    publisher: SessionId,
) {
    let origin = Origin::Here(publisher);
    for (neighbour, batch) in deliveries.to_neighbours(bytes, messages) {
        base.send_link(neighbour, LinkItem::Batch { batch, publisher });
        if base.links.is_carrier(neighbour) {
            let given_up = base.links.bound(neighbour);
            base.note_given_up(given_up);
        } else {
            base.hold_if_backed_up(neighbour, origin);
        }
    }
}

fn publish_here(
    base: &mut Base,
    fanout: &mut Fanout,
    (bytes, messages): (&Bytes, Messages<'_>),
    deliveries: &Deliveries,
    (origin, audience): (Origin, Audience),
) {
    let (mut cutter, mut chunks) = (Cutter::new(bytes, messages, deliveries), fanout.memory_of_chunks());
    let from = origin.neighbour(base.id);
    for to in &deliveries.groups {
        let group = fanout.groups().get(to.group);
        let Group { encoding, members, .. } = group;
        if !audience.has(*encoding) || !group.hears(from) {
            continue;
        }
        let untold = cutter.cut(to, *encoding, &mut chunks).saturating_mul(members.len() as u64);
        base.counters.gaps_untold = base.counters.gaps_untold.saturating_add(untold);
        publish_to_group(base, members, &chunks, origin);
    }
    fanout.recycle_chunks(chunks);
}

fn publish_to_group(base: &mut Base, members: &[SessionId], chunks: &[Rc<Chunk>], origin: Origin) {
    let bounds = base.config.bounds;
    let Outbox { queued_bytes, dirty, losses, .. } = &mut base.outbox;
    let mut short = Short { counters: &mut base.counters, losses, over: Vec::new(), full: Vec::new() };
    *queued_bytes += members.len() * chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
    for id in members {
        let session = base.sessions.get_mut(*id).expect("the members of a group are sessions");
        for (at, chunk) in chunks.iter().enumerate() {
            let offer = session.egress.offer(chunk, session.policy, bounds);
            if offer != Offer::Queued && !short.goes_on(*id, session, &offer, &chunks[at..]) {
                break;
            }
        }
        if !session.listed {
            session.listed = true;
            dirty.push_back(*id);
        }
    }
    let Short { over, full, .. } = short;
    for id in over {
        base.hold_for(id, origin);
    }
    for id in full {
        base.end(id, ErrorCode::SlowSubscriber, "the egress queue is full");
    }
}

/// Offers that were not simply queued, of a batch to one group.
struct Short<'a> {
    counters: &'a mut ShardCounters,
    losses: &'a mut Losses,
    /// Sessions over the bound of `block`.
    over: Vec<SessionId>,
    /// Sessions to end.
    full: Vec<SessionId>,
}

impl Short<'_> {
    /// Counts the offer of the first of these chunks. Returns false if the others are not to be offered.
    #[inline(never)]
    fn goes_on(
        &mut self,
        id: SessionId,
        session: &mut SessionState,
        offer: &Offer,
        chunks: &[Rc<Chunk>],
    ) -> bool {
        match *offer {
            Offer::Queued => {}
            Offer::QueuedOver => self.over.push(id),
            Offer::Dropped(messages) => {
                session.tally.drops += messages;
                self.count(drop_reason(session.policy), messages, id);
                if !chunks[0].encoding.can_tell_gaps() {
                    self.counters.gaps_untold += messages;
                }
            }
            Offer::Full => {
                let refused = chunks.iter().map(|chunk| u64::from(chunk.messages)).sum();
                session.tally.drops += refused;
                self.count(DropReason::Disconnect, refused, id);
                self.full.push(id);
                return false;
            }
        }
        true
    }

    fn count(&mut self, reason: DropReason, messages: u64, id: SessionId) {
        self.counters.drops[reason] += messages;
        self.losses.note(reason, messages, id);
    }
}

pub(super) fn drop_reason(policy: OverflowPolicy) -> DropReason {
    match policy {
        OverflowPolicy::DropOldest => DropReason::DropOldest,
        OverflowPolicy::DropNewest => DropReason::DropNewest,
        OverflowPolicy::Latest => DropReason::Latest,
        OverflowPolicy::Disconnect | OverflowPolicy::Block => DropReason::Disconnect,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;

    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::fanout::Batch;
    use crate::ids::ShardId;
    use crate::zmtp::put_message;

    fn subscriber(rig: &mut Rig, shard: usize, filter: &str) -> SessionId {
        let id = rig.open(shard, OverflowPolicy::DropOldest);
        rig.say(shard, id, &[subscribe(filter, 1)]);
        rig.travel();
        assert_eq!(rig.hears(shard, id), "!1");
        id
    }

    /// The number of parts in which leaves what waits for a session.
    fn parts(rig: &mut Rig, id: SessionId) -> usize {
        let mut parts = 0;
        let visit = rig.shards[0].flush(id, |slices| {
            parts = slices.len();
            Err::<Option<usize>, ()>(())
        });
        assert_eq!(visit, Err(()));
        parts
    }

    #[test]
    fn what_a_session_gets_of_a_read_leaves_in_one_part() {
        let mut rig = Rig::with_shards(1);
        let of_one = subscriber(&mut rig, 0, "a");
        let of_two = [subscriber(&mut rig, 0, "*.x"), subscriber(&mut rig, 0, "*.x")];
        let of_all = subscriber(&mut rig, 0, ">");
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let topics = ["a", "a", "b", "b.x", "a", "c.x", "b", "a", "b.x", "b"];
        let read: Vec<_> = (1..).zip(topics).map(|(n, topic)| message(topic, n)).collect();
        rig.say(0, publisher, &read);
        for id in [of_one, of_two[0], of_two[1], of_all] {
            assert_eq!(parts(&mut rig, id), 1);
        }
        assert_eq!(rig.hears(0, of_one), "a=1 a=2 a=5 a=8");
        assert_eq!(of_two.map(|id| rig.hears(0, id)), ["b.x=4 c.x=6 b.x=9"; 2]);
        assert_eq!(rig.hears(0, of_all), "a=1 a=2 b=3 b.x=4 a=5 c.x=6 b=7 a=8 b.x=9 b=10");
    }

    /// The batches that wait for a neighbour of the first shard.
    fn batches(rig: &mut Rig, to: u16) -> Vec<Arc<Batch>> {
        let items = std::iter::from_fn(|| rig.shards[0].links_mut().next(ShardId(to)));
        let batches = items.filter_map(|item| match item {
            LinkItem::Batch { batch, .. } => Some(batch),
            _ => None,
        });
        batches.collect()
    }

    #[test]
    fn a_neighbour_gets_the_messages_that_it_wants_alone() {
        let mut rig = Rig::with_shards(5);
        subscriber(&mut rig, 1, "a");
        subscriber(&mut rig, 2, ">");
        subscriber(&mut rig, 3, ">");
        subscriber(&mut rig, 4, "c");
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let read = ["a", "b", "b", "a"].map(|topic| message(topic, 1));
        rig.say(0, publisher, &read);
        let sent: Vec<_> = (1..5).map(|to| batches(&mut rig, to)).collect();
        let counts: Vec<_> = sent.iter().flatten().map(|batch| batch.spans.messages().len()).collect();
        assert_eq!(counts, [2, 4, 4], "nothing for the last");
        assert!(Arc::ptr_eq(&sent[1][0], &sent[2][0]), "those that want everything share it");
    }

    #[test]
    fn messages_of_a_zeromq_publisher_keep_their_numbers_at_a_neighbour() {
        let mut rig = Rig::with_shards(2);
        let far = subscriber(&mut rig, 1, "b");
        let publisher = rig.open_zmtp(b"PUB");
        let mut read = BytesMut::new();
        for topic in ["a", "b", "a", "a", "b"] {
            put_message(&mut read, topic.as_bytes(), std::iter::once(&b"payload"[..]));
        }
        rig.say_zmtp(publisher, &read);
        rig.travel();
        assert_eq!(rig.hears(1, far), "b=2 b=5");
    }
}
