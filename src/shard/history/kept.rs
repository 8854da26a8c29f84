//! The logs of a shard: that of its own publishers, and on the first shard those of what carriers bring. They are a part of its base.

use corecast_executors::MonotonicNs;

use super::log::Log;
use crate::fanout::Batch;
use crate::ids::Neighbour;
use crate::shard::base::Base;

impl Base {
    /// All that this shard keeps: what its own publishers say, and on the first shard what carriers bring.
    pub(in crate::shard) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.log.as_deref().into_iter().chain(&self.far_logs)
    }

    /// The log of what comes from there, if it is here.
    pub(super) fn kept_of(&self, of: Neighbour) -> Option<&Log> {
        match usize::from(of.0).checked_sub(self.links.shards()) {
            None => self.log.as_deref().filter(|_| of == self.id.into()),
            Some(carrier) => self.far_logs.get(carrier),
        }
    }

    /// The time of what was kept here last; 0: nothing is.
    pub(in crate::shard) fn kept_at(&self) -> u64 {
        self.logs().map(Log::time).max().unwrap_or(0)
    }

    /// Another shard has kept messages at that time; 0: it keeps none. Whatever they lead to is later.
    pub(in crate::shard) fn on_time_of_other(&mut self, at: u64) {
        if at > 0 {
            self.log
                .as_deref_mut()
                .into_iter()
                .chain(&mut self.far_logs)
                .for_each(|log| log.on_time_of_other(at));
        }
    }

    /// Keeps what a carrier brings, which was said at that time, or just now.
    pub(in crate::shard) fn keep_far(
        &mut self,
        from: Neighbour,
        batch: &Batch,
        said_at: Option<MonotonicNs>,
    ) {
        let now = self.clock.told();
        // 0 is no time.
        let at = MonotonicNs(said_at.map_or(now, |at| at.min(now)).0.max(1));
        let carrier = usize::from(from.0).checked_sub(self.links.shards());
        if let Some(log) = carrier.and_then(|carrier| self.far_logs.get_mut(carrier)) {
            let stretches = log.keep_batch(at, batch);
            self.turn.spend(stretches);
        }
    }

    /// Gives up history that is too old, and counts the rest.
    pub(in crate::shard) fn keep_in_bounds(&mut self, now: MonotonicNs) {
        let Base { log: Some(log), far_logs, counters, .. } = self else { return };
        (counters.history_bytes, counters.history_messages, counters.history_given_up) = (0, 0, 0);
        for log in std::iter::once(&mut **log).chain(far_logs) {
            log.on_tick(now);
            counters.history_bytes += log.bytes() as u64;
            counters.history_messages += log.messages();
            counters.history_given_up += log.given_up();
        }
    }
}
