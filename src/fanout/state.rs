//! HOT: the router and the egress groups of a shard, and the way of a batch through them. What goes to whom is returned as
//! [`Deliveries`]; nothing of it stays here but memory for the next batch. Owned by a shard.

use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::batch::{Chunk, Picked};
use super::deliveries::{Deliveries, STRETCHES_KEPT, ToGroup};
use super::encoding::{BadRoute, Encoding, Messages, Routable};
use super::groups::{Group, Groups, Join};
use super::router::{Route, Router, Target};
use super::selection::Selection;
use super::turn::Turn;
use crate::ids::{GroupId, Neighbour, SessionId};
use crate::topic::{Filter, FilterSet};

/// Chunks of a delivery for which there is room from batch to batch.
const CHUNKS_KEPT: usize = 64;

/// The router and the groups of one shard.
#[derive(Default)]
pub(crate) struct Fanout {
    router: Router,
    groups: Groups,
    /// By group: the batch that last went there, and the place of the group among its deliveries.
    places: Vec<(u64, u32)>,
    /// Counts batches, from 1.
    batch: u64,
    /// Memory of the last batch, for the next.
    spare: Deliveries,
    spare_selections: Vec<Selection>,
    spare_chunks: Vec<Rc<Chunk>>,
}

impl Fanout {
    /// Adds a filter that leads to `target`; `false` if it was there.
    pub(crate) fn file(&mut self, filter: &Filter, target: Target) -> bool {
        self.router.insert(filter, target)
    }

    /// Takes a filter of `target` away; `false` if it was not there.
    pub(crate) fn unfile(&mut self, filter: &Filter, target: Target) -> bool {
        self.router.remove(filter, target)
    }

    /// True if a filter has an arrangement of wildcards that would be one too many.
    pub(crate) fn is_too_wide(&self, filter: &Filter) -> bool {
        self.router.is_too_wide(filter)
    }

    /// The filters here that match a topic.
    pub(crate) fn filters_of(&self, topic: &[u8]) -> Vec<Filter> {
        self.router.filters_of(topic)
    }

    /// The route of a topic, and the work of finding it.
    pub(crate) fn route_of(&mut self, topic: &[u8]) -> (Rc<Route>, usize) {
        self.router.route(topic)
    }

    /// Cached topics from this place on; see [`Router::topic_counts`].
    pub(crate) fn topic_counts(&self, from: u64) -> impl Iterator<Item = (&Bytes, u64)> {
        self.router.topic_counts(from)
    }

    /// The route of a topic, if a message has asked for it lately.
    pub(crate) fn cached_route(&self, topic: &[u8]) -> Option<&Route> {
        self.router.cached_route(topic)
    }

    /// The places of the cached topics.
    pub(crate) fn topic_places(&self) -> Range<u64> {
        self.router.topic_places()
    }

    /// Forgets routes that no message has asked for lately; see [`Router::forget_unused`].
    pub(crate) fn forget_unused(&mut self, ticks: usize) -> usize {
        self.router.forget_unused(ticks)
    }

    /// The groups, to look at.
    #[inline]
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Finds or makes the group of this encoding and exactly these filters; see [`Groups::join`].
    pub(crate) fn join(&mut self, encoding: Encoding, filters: Vec<Filter>) -> Join {
        self.groups.join(encoding, filters)
    }

    /// Makes a group for one session alone, whose filters it does not keep.
    pub(crate) fn make_private(&mut self, encoding: Encoding) -> GroupId {
        self.groups.make_private(encoding)
    }

    /// Makes a group for a session that moves; see [`Groups::make_moving`].
    pub(crate) fn make_moving(&mut self, encoding: Encoding, hears: Box<[bool]>) -> GroupId {
        self.groups.make_moving(encoding, hears)
    }

    /// Changes what the group of a session that moves gets; see [`Groups::set_hears`].
    pub(crate) fn set_hears(&mut self, group: GroupId, from: Neighbour, hears: bool) {
        self.groups.set_hears(group, from, hears);
    }

    /// Changes the group of one member by one filter, in place; see [`Groups::change`].
    pub(crate) fn change(&mut self, group: GroupId, filter: &Filter, wanted: bool) -> bool {
        self.groups.change(group, filter, wanted)
    }

    /// Adds a member to a group and returns its place.
    pub(crate) fn add_member(&mut self, group: GroupId, session: SessionId) -> usize {
        self.groups.add_member(group, session)
    }

    /// Removes the member of a group at `place`. Returns the session that has that place now, if any has.
    pub(crate) fn remove_member(&mut self, group: GroupId, place: usize) -> Option<SessionId> {
        self.groups.remove_member(group, place)
    }

    /// Takes a group without members away, and returns it so that its filters are taken away as well.
    pub(crate) fn remove_if_empty(&mut self, group: GroupId) -> Option<Group> {
        self.groups.remove_if_empty(group)
    }

    /// Finds who gets which messages of a batch, neighbours among them or not, in whole stretches of one topic, until `turn` is
    /// over. Only messages of topics that `permitted` matches may travel, or all of them.
    pub(crate) fn route(
        &mut self,
        (bytes, messages): (&Bytes, Messages<'_>),
        to_neighbours: bool,
        turn: &mut Turn,
        permitted: Option<&FilterSet>,
    ) -> Deliveries {
        match messages {
            Messages::Native(spans) => self.route_spans((bytes, spans), to_neighbours, turn, permitted),
            Messages::Zmtp(spans, _) => self.route_spans((bytes, spans), to_neighbours, turn, permitted),
        }
    }

    fn route_spans<S: Routable>(
        &mut self,
        (bytes, spans): (&Bytes, &[S]),
        to_neighbours: bool,
        turn: &mut Turn,
        permitted: Option<&FilterSet>,
    ) -> Deliveries {
        let mut found = std::mem::take(&mut self.spare);
        self.batch += 1;
        let mut rest = spans.iter();
        let mut next = rest.next().map(|span| (span, span.topic(bytes)));
        while let Some((span, topic)) = next {
            let (topic, messages) = match topic {
                Ok(routable) => routable,
                Err(bad) => {
                    found.bad = Some(bad);
                    break;
                }
            };
            if found.good > 0 && turn.is_over() {
                break;
            }
            let known = match permitted {
                None => Some(self.router.route(topic)),
                Some(permitted) => self.router.permitted_route(topic, permitted),
            };
            let Some((route, work)) = known else {
                found.bad = Some(BadRoute::NotPermitted);
                break;
            };
            turn.spend(work);
            let first = u32::try_from(found.good).expect("a batch has few frames");
            let mut picked = Picked { range: span.start()..span.end(), first, frames: 1, messages };
            let mut most = messages;
            next = loop {
                let Some(span) = rest.next() else { break None };
                match span.topic(bytes) {
                    Ok((same, messages)) if picked.range.end == span.start() && same == topic => {
                        picked.range.end = span.end();
                        picked.frames += 1;
                        picked.messages += messages;
                        most = most.max(messages);
                    }
                    other => break Some((span, other)),
                }
            };
            let (bytes, messages) = (picked.range.len(), picked.messages);
            let number = found.add(picked, most);
            match (&route.groups[..], found.groups.last_mut()) {
                // With few topics it is the last one again.
                ([group], Some(last)) if last.group == *group => last.add(number, bytes),
                (groups, _) => self.deliver(groups, (number, bytes), &mut found),
            }
            if to_neighbours {
                // Once for each message: where its publisher is.
                route.count(messages);
                found.add_neighbours(&route.neighbours, number);
            }
        }
        found
    }

    /// These groups get a stretch of so many bytes: there is one delivery to each, however many of its topics match. By a
    /// call: a loop within that over the messages has too few registers.
    #[inline(never)]
    fn deliver(&mut self, groups: &[GroupId], (number, bytes): (u32, usize), found: &mut Deliveries) {
        for group in groups {
            let place = match self.places.get(group.0 as usize) {
                Some((batch, place)) if *batch == self.batch => *place,
                _ => self.begin_delivery(*group, found),
            };
            found.groups[place as usize].add(number, bytes);
        }
    }

    /// Makes the delivery to a group of the batch that is being routed, and returns its place.
    #[inline(never)]
    fn begin_delivery(&mut self, group: GroupId, found: &mut Deliveries) -> u32 {
        let index = group.0 as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, (0, 0));
        }
        let place = u32::try_from(found.groups.len()).expect("groups are counted in 32 bits");
        self.places[index] = (self.batch, place);
        let stretches = self.spare_selections.pop().unwrap_or_default();
        found.groups.push(ToGroup { group, stretches, bytes: 0 });
        place
    }

    /// Memory for the chunks of a delivery.
    pub(crate) fn memory_of_chunks(&mut self) -> Vec<Rc<Chunk>> {
        std::mem::take(&mut self.spare_chunks)
    }

    /// Takes the memory of chunks that are delivered.
    pub(crate) fn recycle_chunks(&mut self, mut chunks: Vec<Rc<Chunk>>) {
        chunks.clear();
        chunks.shrink_to(CHUNKS_KEPT);
        self.spare_chunks = chunks;
    }

    /// Takes the memory of deliveries that are done.
    pub(crate) fn recycle(&mut self, mut done: Deliveries) {
        for ToGroup { mut stretches, .. } in done.groups.drain(..) {
            // Room for the usual batch; a thousand groups are not to keep it for the longest.
            stretches.clear(STRETCHES_KEPT);
            if self.spare_selections.len() < self.groups.len() {
                self.spare_selections.push(stretches);
            }
        }
        done.clear();
        self.spare = done;
    }
}

#[cfg(test)]
mod tests {
    use super::super::deliveries::Cutter;
    use super::*;
    use crate::wire::{Frame, encode, split};

    /// A run of two messages, as its body has them.
    const TWO: &[u8] = b"\x02\0\0\0\x01\0\0\0\0\0\0\0a\x01\0\0\0\x01\0\0\0b";

    #[test]
    fn a_run_anywhere_in_a_stretch_is_found() {
        let message = Frame::Message { topic: b"t", payload: b"p", publisher: 1, sequence: 1, sent_at_ns: 0 };
        let run = Frame::Run { topic: b"t", messages: TWO, publisher: 1, sequence: 2, sent_at_ns: 0 };
        let gap = Frame::Gap { topic: b"t", missed: 7, reason: 1 };
        for (frames, single) in [
            (&[&message, &run][..], 3),
            (&[&run, &message], 3),
            (&[&gap, &run, &gap], 4),
            (&[&message, &message], 2),
        ] {
            let (mut bytes, mut spans) = (Vec::new(), Vec::new());
            frames.iter().for_each(|frame| encode(frame, &mut bytes));
            let bytes = Bytes::from(bytes);
            assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
            let mut fanout = Fanout::default();
            let topic = Filter::parse("t").unwrap();
            let group = fanout.make_private(Encoding::Native);
            fanout.file(&topic, Target::Group(group));
            let messages = Messages::Native(&spans);
            let deliveries = fanout.route((&bytes, messages), false, &mut Turn::new(usize::MAX), None);
            let mut chunks = Vec::new();
            Cutter::new(&bytes, messages, &deliveries).cut(
                &deliveries.groups[0],
                Encoding::Native,
                &mut chunks,
            );
            let left: u32 = chunks.iter().map(|chunk| chunk.frames).sum();
            assert_eq!(left, single, "who cannot read runs gets each message by itself");
        }
    }
}
