//! The part of the engine that has to do with who is there: the first meeting of the other brokers, their return, and the answers that
//! subscribers wait for.

use super::super::view::EngineState;
use super::Engine;
use crate::limits::{ENGINE_RETURN_MAX, ENGINE_SETTLE};
use crate::topic::Filter;

impl Engine {
    /// Begins without knowing anybody: until it has met the others, they may want everything, and shards send it here without being
    /// told.
    pub(super) fn expect_others(&mut self) {
        if self.peers.expect_any() {
            self.departures.want(&Filter::everything(), true);
        }
    }

    /// Notes that the engine could not be connected to.
    pub fn on_unreachable(&mut self) {
        self.is_prompt &= self.has_met;
    }

    /// Lets messages leave once all brokers are back that were there before; and where the engine came late, once it is known which there
    /// are: they may have been without it as well.
    pub(super) fn settle(&mut self) {
        let Some(connected_at) = self.connected_at else { return };
        if !self.has_met {
            let soonest = connected_at + if self.is_prompt { ENGINE_SETTLE } else { ENGINE_RETURN_MAX };
            let is_late = self.now >= connected_at + ENGINE_RETURN_MAX;
            if self.now >= soonest && (is_late || self.peers.are_known()) {
                self.meet_first();
            }
        }
        let is_returning = self.peers.awaits_any() && self.now < connected_at + ENGINE_RETURN_MAX;
        let waits = is_returning || !self.has_met && !self.is_prompt;
        self.state = if waits { EngineState::Returning } else { EngineState::Connected };
    }

    /// From now on messages cross that somebody has asked for.
    fn meet_first(&mut self) {
        self.has_met = true;
        let everything = Filter::everything();
        self.near.far_wants(&everything, false);
        if self.peers.expect_none() {
            self.departures.want(&everything, false);
        } else {
            self.near.far_wants(&everything, true);
        }
    }

    /// Confirms subscriptions to shards. Nobody waits for an engine that is away, nor for brokers that are silent.
    pub(super) fn confirm(&mut self) {
        let all = self.near.changes();
        let known = match self.connected_at {
            None => all,
            // Who is there is not known yet.
            Some(connected_at) if self.now < connected_at + ENGINE_SETTLE => return,
            Some(_) => self.peers.confirmed().unwrap_or(all),
        };
        match &mut self.loading {
            None => self.near.far_saw(known),
            // Nobody begins to hear before it is here.
            Some(loading) if self.connected_at.is_some() && known >= all => loading.on_in_force(),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use corecast_executors::MonotonicNs;

    use super::super::super::{EngineConfig, StoredHistory};
    use super::*;
    use crate::carrier::link_item::LinkItem;
    use crate::fanout::{Batch, Spans};
    use crate::ids::{SessionId, ShardId};
    use crate::wire::{Frame, encode_to_vec, split};

    #[test]
    fn a_broker_that_never_found_its_engine_owes_what_is_to_be_stored_and_nothing_else() {
        let rule = StoredHistory {
            filter: Filter::parse("stored").unwrap(),
            age: Duration::from_secs(60),
            bytes: 1 << 20,
            of_each: None,
            is_confirmed: true,
        };
        let config = EngineConfig {
            shards: 1,
            start: 7,
            name: "a".into(),
            cluster: "c".into(),
            topics: Vec::new(),
            keep: Vec::new(),
            stores: vec![rule],
            buffer_bytes_max: 1 << 20,
            filters_max: 16,
            frame_bytes_max: 1 << 20,
        };
        let mut engine = Engine::new(config, MonotonicNs(1));
        for (topic, owed) in [(&b"other"[..], 0), (b"stored", 1), (b"other", 1)] {
            let frame = Frame::Message { topic, payload: b"", publisher: 1, sequence: 1, sent_at_ns: 0 };
            let bytes = Bytes::from(encode_to_vec(&frame));
            let mut spans = Vec::new();
            assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
            let batch = Arc::new(Batch { bytes, spans: Spans::Native(spans.into()) });
            let publisher = SessionId { slot: 1, generation: 1 };
            engine.on_link(ShardId(0), LinkItem::Batch { batch, publisher });
            assert_eq!(engine.owed().messages, owed);
            assert_eq!(engine.owed().bytes > 0, owed > 0);
        }
    }
}
