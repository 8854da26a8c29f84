//! The way in: crossings of other brokers, each taken once and in order, and every hole told at its place. Owned by the engine's
//! state.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::crossing;
use super::head::TopicPlace;
use super::heard::{Footing, HeardPositions, Missing, Standing};
use super::landings::{Landed, Landing, Landings};
use crate::carrier::near::Near;
use crate::fanout::Batch;
use crate::limits::{ENGINE_ITEM_BYTES, ENGINE_LANDED_BYTES_MAX};
use crate::slack::give_back_queue;

/// Messages, as the way in has seen them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct WayInCounts {
    /// Taken, to be handed on to shards.
    pub(super) received: u64,
    /// Seen to be missing, and told.
    pub(super) missing: u64,
    /// Holes of unknown size that were told.
    pub(super) unknown: u64,
    /// Dropped, since they came before, were told to be missing, or came before their subscription was in force.
    pub(super) behind: u64,
    /// Dropped, since shards take nothing; they are seen to be missing.
    pub(super) overrun: u64,
}

/// The way in.
#[derive(Default)]
pub(super) struct WayIn {
    heard: HeardPositions,
    landings: Landings,
    /// Batches that shards have not taken yet, in order.
    landed: VecDeque<Batch>,
    landed_bytes: usize,
    arrived: WayInCounts,
}

impl WayIn {
    /// Takes something on a topic that is wanted here. `footing` tells that of subscriptions with its broker.
    pub(super) fn take(&mut self, landing: Landing, footing: impl Fn(&[u8]) -> Footing) {
        if self.is_over() && matches!(landing.what, Landed::Messages(_)) {
            return self.overrun(&landing);
        }
        match self.judge(&landing, &footing) {
            Standing::Next => {
                let (start, topic) = (landing.start, landing.topic.clone());
                self.accept(landing, None, &footing);
                self.go_on_with((start, &topic), &footing);
            }
            Standing::Behind => self.drop_behind(&landing),
            // A position that is told before the answer is where to begin.
            Standing::First if matches!(landing.what, Landed::Word(_)) => {
                self.accept(landing, None, &footing)
            }
            Standing::Hole(_) | Standing::First | Standing::Early => {
                let (start, count) = (landing.start, landing.count);
                if !self.landings.hold(landing) {
                    self.arrived.behind += count;
                }
                if self.landings.is_full() {
                    let other = Footing::Confirmed;
                    self.on_looked(|one, topic| if one == start { footing(topic) } else { other });
                }
            }
        }
    }

    /// Drops something for want of room, as if it had been lost: whatever comes next shows it.
    pub(super) fn overrun(&mut self, landing: &Landing) {
        self.arrived.overrun += landing.count;
    }

    /// True if more waits for shards than should.
    fn is_over(&self) -> bool {
        self.landed_bytes > ENGINE_LANDED_BYTES_MAX
    }

    fn judge(&self, landing: &Landing, footing: &impl Fn(&[u8]) -> Footing) -> Standing {
        let Landing { start, topic, place, count, is_doubted, .. } = landing;
        if *is_doubted && self.heard.next_of(*start, topic).is_none() {
            return match footing(topic) {
                Footing::Open => Standing::Early,
                _ => Standing::Hole(Missing { messages: 0, perhaps_more: true }),
            };
        }
        self.heard.judge((*start, topic), (*place, *count), || footing(topic))
    }

    /// Takes what waits and comes next now.
    fn go_on_with(&mut self, (start, topic): (u64, &Bytes), footing: &impl Fn(&[u8]) -> Footing) {
        while !self.landings.is_empty()
            && let Some(place) = self.heard.next_of(start, topic)
            && let Some(landing) = self.landings.next_of(start, topic, place)
        {
            match self.judge(&landing, footing) {
                Standing::Next | Standing::First => self.accept(landing, None, footing),
                Standing::Hole(missing) => self.accept(landing, Some(missing), footing),
                Standing::Behind => self.drop_behind(&landing),
                Standing::Early => {
                    self.landings.hold(landing);
                    return;
                }
            }
        }
    }

    /// Begins a look at all channels, if something waits for it.
    pub(super) fn begin_look(&mut self) -> bool {
        self.landings.begin_look()
    }

    /// Notes that all channels were looked at: what is still missing is told.
    pub(super) fn on_looked(&mut self, footing: impl Fn(u64, &[u8]) -> Footing) {
        for landing in self.landings.on_looked() {
            let start = landing.start;
            let footing = |topic: &[u8]| footing(start, topic);
            match self.judge(&landing, &footing) {
                Standing::Next | Standing::First => self.accept(landing, None, &footing),
                Standing::Hole(missing) => self.accept(landing, Some(missing), &footing),
                Standing::Behind => self.drop_behind(&landing),
                // Its place is not noted: the answer says from where on the topic is whole.
                Standing::Early => self.arrived.behind += landing.count,
            }
        }
    }

    fn drop_behind(&mut self, landing: &Landing) {
        self.arrived.behind += landing.count;
        // The end of a count is news even if nothing is missing before it.
        if let Landed::Word(true) = landing.what
            && self.heard.next_of(landing.start, &landing.topic) == Some(landing.place)
        {
            self.heard.take((landing.start, &landing.topic), (landing.place, 0), (true, Footing::Open));
        }
    }

    fn accept(&mut self, landing: Landing, hole: Option<Missing>, footing: &impl Fn(&[u8]) -> Footing) {
        let Landing { start, topic, place, count, what, .. } = landing;
        // What is firm stays so.
        let is_firm = self.heard.is_firm(start, &topic);
        let footing = if is_firm { Footing::Answered } else { footing(&topic) };
        if hole.is_some() && self.is_over() {
            // It is told with the next word.
            return;
        }
        if let Some(missing) = hole {
            self.tell(&topic, missing);
        }
        match what {
            Landed::Messages(batches) => {
                self.heard.take((start, &topic), (place, count), (false, footing));
                self.arrived.received += count;
                batches.into_iter().for_each(|batch| self.land(batch));
            }
            Landed::Word(has_ended) => self.heard.take((start, &topic), (place, 0), (has_ended, footing)),
        }
    }

    fn tell(&mut self, topic: &[u8], missing: Missing) {
        // Notices of the empty topic have no form; its subscribers are ZeroMQ sockets, which read none.
        let has_notice = !topic.is_empty();
        if missing.perhaps_more {
            self.arrived.unknown += 1;
        }
        if missing.perhaps_more && has_notice {
            self.land(crossing::gap(topic, None));
        }
        if missing.messages > 0 {
            self.arrived.missing = self.arrived.missing.saturating_add(missing.messages);
        }
        if missing.messages > 0 && has_notice {
            self.land(crossing::gap(topic, Some(missing.messages)));
        }
    }

    /// A topic of a broker of which nothing is known begins at this place.
    pub(super) fn begin_at(&mut self, (start, topic): (u64, &Bytes), place: TopicPlace) {
        self.heard.begin_at((start, topic), place);
    }

    /// The place at which a topic of this broker goes on, if something of it has come.
    pub(super) fn next_of(&self, start: u64, topic: &[u8]) -> Option<TopicPlace> {
        self.heard.next_of(start, topic)
    }

    /// Goes on from what another way in has taken; so many of its messages have just come.
    pub(super) fn adopt(&mut self, other: WayIn, received: u64) {
        self.arrived.received += received;
        self.heard.adopt(other.heard);
    }

    /// Forgets all brokers but these.
    pub(super) fn retain_origins(&mut self, is_here: impl Fn(u64) -> bool) {
        self.heard.retain_origins(is_here);
    }

    /// Has all that was taken kept, which was said at that time: nobody hears it now.
    pub(super) fn keep(&mut self, near: &mut Near, said_at: MonotonicNs) {
        self.landed_bytes = 0;
        self.landed.drain(..).for_each(|batch| near.keep_batch(Arc::new(batch), Some(said_at)));
    }

    fn land(&mut self, batch: Batch) {
        self.landed_bytes += batch.bytes.len() + ENGINE_ITEM_BYTES;
        self.landed.push_back(batch);
    }

    /// Hands on what shards have room for.
    pub(super) fn go_on(&mut self, near: &mut Near) {
        while !self.landed.is_empty() && !near.is_backed_up() {
            let batch = self.landed.pop_front().expect("there is one");
            self.landed_bytes -= batch.bytes.len() + ENGINE_ITEM_BYTES;
            near.deliver(batch);
        }
        give_back_queue(&mut self.landed);
    }

    /// Notes that nobody here wants these topics any more.
    pub(super) fn loosen_where(&mut self, mut is_gone: impl FnMut(&[u8]) -> bool) {
        self.heard.loosen_where(&mut is_gone);
        self.arrived.behind += self.landings.forget_where(is_gone);
    }

    /// The same for one topic.
    pub(super) fn loosen(&mut self, topic: &[u8]) {
        self.heard.loosen(topic);
        self.arrived.behind += self.landings.forget_where(|one| one == topic);
    }

    /// Forgets a broker that has left.
    pub(super) fn drop_origin(&mut self, start: u64) {
        self.heard.drop_origin(start);
    }

    /// Notes that a broker has come back of which it is not known up to where its messages had come.
    pub(super) fn has_forgotten(&mut self, start: u64) {
        self.heard.has_forgotten(start);
    }

    /// Tells that something may be missing on all topics of a broker: it has forgotten what is wanted here.
    pub(super) fn doubt(&mut self, start: u64) {
        for topic in self.heard.drop_origin(start) {
            self.tell(&topic, Missing { messages: 0, perhaps_more: true });
        }
        self.heard.has_forgotten(start);
    }

    /// The number of topics of a broker that are heard.
    pub(super) fn topics_of(&self, start: u64) -> usize {
        self.heard.topics_of(start)
    }

    /// True if a topic of this broker is heard, and nothing of it is to be missed.
    pub(super) fn is_firm(&self, start: u64, topic: &[u8]) -> bool {
        self.heard.is_firm(start, topic)
    }

    /// Memory of what waits, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.landed_bytes + self.landings.held_bytes()
    }

    /// The counts.
    pub(super) fn arrived(&self) -> WayInCounts {
        self.arrived
    }
}
