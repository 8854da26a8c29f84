//! The part of the engine that has to do with stores of history.

use bytes::Bytes;

use super::super::EngineOrder;
use super::super::loading::{Ended, Loaded, Loading};
use super::super::store_ask::{StoreAnswer, StoreFacts};
use super::super::stores::Settled;
use super::super::upkeep::Upkeep;
use super::super::view::EngineState;
use super::Engine;
use crate::carrier::link_item::LinkItem;
use crate::limits::ENGINE_PEER_KEPT;
use crate::topic::Filter;

impl Engine {
    /// Takes a payload from a store.
    pub fn on_stored(&mut self, payload: Bytes, facts: StoreFacts) {
        let own = (self.config.start, self.config.frame_bytes_max);
        let at = (self.now, &mut self.near);
        let peers = &self.peers;
        let is_here = |start| peers.get(start).is_some_and(|peer| peer.is_here);
        if let Some(loading) = &mut self.loading
            && loading.take(payload, facts, own, at, is_here).is_none()
        {
            self.junk += 1;
        }
        self.go_on();
    }

    /// Notes the answer to `EngineOrder::Store`.
    pub fn on_store_answer(&mut self, number: u64, is_stored: bool) {
        self.departures.on_store_answer(number, is_stored, self.now);
        if !is_stored && self.loading.is_none() {
            self.upkeep.on_refused();
        }
        self.go_on();
    }

    /// Notes the answer to `EngineOrder::Ask`.
    pub fn on_ask_answer(&mut self, number: u64, answer: Result<StoreAnswer, String>) {
        if Upkeep::has_asked(number) {
            self.upkeep.on_answer(number, answer, self.now);
        } else if let Some(loading) = &mut self.loading {
            loading.on_answer(number, answer, self.now);
        }
        self.go_on();
    }

    /// Takes the next order that has to do with stores, if there is one now.
    pub(super) fn next_store_order(&mut self) -> Option<EngineOrder> {
        let loads = |loading: &mut Box<Loading>| loading.next_order(self.now);
        let order = self.loading.as_mut().filter(|_| !self.near.is_backed_up()).and_then(loads);
        let (stored, _) = self.departures.store_numbers();
        order
            .or_else(|| self.upkeep.next_order(stored, self.now))
            .or_else(|| self.departures.next_store(self.now))
    }

    /// Time goes on: who does not answer is asked again.
    pub(super) fn look_after_stores(&mut self) {
        self.loading.iter_mut().for_each(|loading| loading.on_tick(self.now));
        self.upkeep.on_tick(self.now);
    }

    /// True once the history that was stored is here, or is given up.
    pub fn has_loaded(&self) -> bool {
        self.loading.is_none()
    }

    /// True if all of it is here.
    pub fn has_all_history(&self) -> bool {
        matches!(self.loaded, Some((Loaded::Whole, _)))
    }

    /// Takes the way loading went wrong last, as a sentence.
    pub fn take_load_trouble(&mut self) -> Option<String> {
        self.loading.as_mut().and_then(|loading| loading.take_trouble())
    }

    /// Takes the way the stores could not be made again, as a sentence.
    pub fn take_store_trouble(&mut self) -> Option<String> {
        self.upkeep.take_trouble()
    }

    /// Begins to give up what is stored of the topics that this filter matches, and was said here before, or has come to the stores from
    /// other brokers. [`Engine::take_cleared`] has the outcome.
    ///
    /// # Errors
    /// The reason why not, as a sentence.
    pub fn clear_stored(&mut self, filter: &Filter) -> Result<(), String> {
        if self.state == EngineState::Away {
            return Err("the engine is away".to_owned());
        }
        if self.loading.is_some() {
            return Err("it is still being loaded: try again when the broker is ready".to_owned());
        }
        let (_, behind) = self.departures.store_numbers();
        self.upkeep.clear(filter, behind, self.now)
    }

    /// Takes the outcome of that, once: `Err` has the reason why it is not done, as a sentence.
    pub fn take_cleared(&mut self) -> Option<Result<(), String>> {
        self.upkeep.take_cleared()
    }

    /// Ends loading when all is here: what has come live meanwhile follows.
    pub(super) fn load(&mut self) {
        let Some(loading) = &mut self.loading else { return self.forget_strangers() };
        let Some(ended) = loading.end(self.now, &mut self.near) else { return };
        let Ended { outcome, kept, left, received } = ended;
        self.loaded = Some((outcome, loading.loaded()));
        self.loading = None;
        // What was stored may have come before the same messages came live, and before its broker was known here.
        self.arrivals.adopt(kept, received);
        self.strangers_until = Some(self.now + ENGINE_PEER_KEPT);
        for landing in left {
            let seen = self.peers.get(landing.start).map_or(0, |peer| peer.seen);
            let (interest, known) = (&self.interest, (seen, self.near.confirmed()));
            self.arrivals.take(landing, |topic| interest.footing(topic, known));
        }
    }

    /// Forgets, in time, the brokers that were known by what is stored alone: they are gone.
    fn forget_strangers(&mut self) {
        if self.strangers_until.is_some_and(|until| until <= self.now) {
            self.strangers_until = None;
            let peers = &self.peers;
            self.arrivals.retain_origins(|start| peers.get(start).is_some());
        }
    }

    /// Lets publishers go on that have waited for what they said to be stored.
    pub(super) fn tell_settled(&mut self) {
        for Settled { shard, publisher, is_stored } in self.departures.take_settled() {
            match is_stored {
                true => self.near.hold((shard, publisher), false),
                false => self.near.say(shard, LinkItem::Unstored { publisher }),
            }
        }
    }
}
