//! HOT: the router and the egress groups of a shard, and the way of a batch through them. What goes to whom is returned as
//! [`Deliveries`]; nothing of it stays here but memory for the next batch. Owned by a shard.

use std::rc::Rc;

use bytes::Bytes;

use super::batch::Picked;
use super::deliveries::{Deliveries, ToGroup};
use super::encoding::{BadRoute, Encoding, Messages, Routable};
use super::groups::{Group, Groups, Join};
use super::router::{Route, Router, Target};
use super::turn::Turn;
use crate::ids::{GroupId, SessionId};
use crate::topic::Filter;

/// Stretches of a batch for which a group's delivery keeps room: 4 KiB.
const STRETCHES_KEPT: usize = 1024;

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
    spare_stretches: Vec<Vec<u32>>,
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

    /// Finds who gets which messages of a batch, in whole stretches of one topic, until `turn` is over. `may` says whether the
    /// messages of a topic may travel at all; it is asked once for each stretch.
    pub(crate) fn route(
        &mut self,
        bytes: &Bytes,
        messages: Messages<'_>,
        turn: &mut Turn,
        may: impl FnMut(&[u8]) -> bool,
    ) -> Deliveries {
        match messages {
            Messages::Native(spans) => self.route_spans(bytes, spans, turn, may),
            Messages::Zmtp(spans, _) => self.route_spans(bytes, spans, turn, may),
        }
    }

    fn route_spans<S: Routable>(
        &mut self,
        bytes: &Bytes,
        spans: &[S],
        turn: &mut Turn,
        mut may: impl FnMut(&[u8]) -> bool,
    ) -> Deliveries {
        let mut found = std::mem::take(&mut self.spare);
        self.batch += 1;
        let mut last_topic: &[u8] = &[];
        let mut stretch: Option<(Rc<Route>, Picked)> = None;
        for span in spans {
            let (topic, messages) = match span.topic(bytes) {
                Ok(routable) => routable,
                Err(bad) => {
                    found.bad = Some(bad);
                    break;
                }
            };
            if let Some((_, picked)) = &mut stretch
                && picked.range.end == span.start()
                && topic == last_topic
            {
                picked.range.end = span.end();
                picked.frames += 1;
                picked.messages += messages;
                found.add(messages);
                continue;
            }
            if found.good > 0 && turn.is_over() {
                break;
            }
            if let Some((route, picked)) = stretch.take() {
                self.add_stretch(&route, picked, &mut found);
            }
            if !may(topic) {
                found.bad = Some(BadRoute::NotPermitted);
                break;
            }
            last_topic = topic;
            let (route, work) = self.router.route(topic);
            turn.spend(work);
            let first = u32::try_from(found.good).expect("a batch has few frames");
            let picked = Picked { range: span.start()..span.end(), first, frames: 1, messages };
            stretch = Some((route, picked));
            found.add(messages);
        }
        if let Some((route, picked)) = stretch {
            self.add_stretch(&route, picked, &mut found);
        }
        found
    }

    fn add_stretch(&mut self, route: &Route, picked: Picked, found: &mut Deliveries) {
        let number = found.next_stretch();
        for group in &route.groups {
            self.delivery_to(*group, found).add(number, &picked);
        }
        found.add_neighbours(&route.neighbours, number);
        found.add_stretch(picked);
    }

    /// The delivery to a group of the batch that is being routed: one for each group, however many of its topics match.
    #[inline]
    fn delivery_to<'a>(&mut self, group: GroupId, found: &'a mut Deliveries) -> &'a mut ToGroup {
        // With few topics it is the last one again.
        if let Some(last) = found.groups.len().checked_sub(1)
            && found.groups[last].group == group
        {
            return &mut found.groups[last];
        }
        let index = group.0 as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, (0, 0));
        }
        let (batch, place) = &mut self.places[index];
        if *batch != self.batch {
            *batch = self.batch;
            *place = u32::try_from(found.groups.len()).expect("groups are counted in 32 bits");
            found.groups.push(ToGroup::new(group, self.spare_stretches.pop().unwrap_or_default()));
        }
        &mut found.groups[*place as usize]
    }

    /// Takes the memory of deliveries that are done.
    pub(crate) fn recycle(&mut self, mut done: Deliveries) {
        for mut stretches in done.groups.drain(..).map(ToGroup::into_memory) {
            // Room for the usual batch; a thousand groups are not to keep it for the longest.
            stretches.shrink_to(STRETCHES_KEPT);
            if self.spare_stretches.len() < self.groups.len() {
                self.spare_stretches.push(stretches);
            }
        }
        done.clear();
        self.spare = done;
    }
}
