//! Owns the deliveries of a run, summed over everybody who counted some of them, and their part of its record.

use super::Raw;
use crate::measure::latency::Latencies;
use crate::measure::oracle::Totals;
use crate::measure::samples::Samples;
use crate::measure::spread::Spread;
use crate::measure::tally::Tally;
use crate::record::{RunRecord, thousandths};
use corecast_executors::MonotonicNs;

/// The deliveries of a run.
#[derive(Debug)]
pub struct Deliveries {
    /// Their account.
    pub totals: Totals,
    /// Times to every subscriber.
    pub latencies: Latencies,
    /// Times to the first and to the last subscriber.
    pub spread: Spread,
    /// Time of the last one.
    pub last_arrival: Option<MonotonicNs>,
    /// Every delivery by itself, where that was asked for.
    pub samples: Option<Samples>,
}

impl Deliveries {
    /// No deliveries yet, of so many publishers.
    pub fn new(publishers: usize) -> Self {
        Deliveries {
            totals: Totals::default(),
            latencies: Latencies::new(),
            spread: Spread::new(publishers),
            last_arrival: None,
            samples: None,
        }
    }

    /// The deliveries in these tallies of a run with so many publishers; `sent` has the messages of each flow.
    pub fn of<'a>(publishers: usize, tallies: impl IntoIterator<Item = &'a Tally>, sent: &[u64]) -> Self {
        let mut deliveries = Deliveries::new(publishers);
        let mut subscribers = 0;
        for tally in tallies {
            if let Some(kept) = tally.samples() {
                deliveries.samples.get_or_insert_default().append(kept, subscribers);
            }
            subscribers += tally.oracle().subscribers() as u32;
            deliveries.totals += tally.totals(sent);
            deliveries.latencies.merge(tally.latencies());
            deliveries.spread.merge(tally.spread());
            deliveries.last_arrival = deliveries.last_arrival.max(tally.last_arrival());
        }
        deliveries
    }

    /// Fills in their part of the record of a run that began at `started`, and returns the measurements that it sums
    /// up.
    pub fn describe(self, started: MonotonicNs, record: &mut RunRecord) -> Raw {
        let Deliveries { totals, latencies, spread, last_arrival, samples } = self;
        let duration_s = last_arrival.map_or(0.0, |last| last.saturating_since(started).as_secs_f64());
        let (first, last) = spread.distributions();
        record.duration_s = (duration_s * 1e6).round() / 1e6;
        record.deliveries_expected = totals.expected;
        record.deliveries = totals.delivered;
        record.gaps_reported = totals.gaps_reported;
        record.lost = totals.lost;
        record.duplicated = totals.duplicated;
        record.reordered = totals.reordered;
        record.corrupted = totals.corrupted;
        record.latency_us = latencies.summary();
        record.first_subscriber_us = first.summary();
        record.last_subscriber_us = last.summary();
        if duration_s > 0.0 {
            record.deliveries_per_s = thousandths(totals.delivered as f64 / duration_s);
        }
        Raw { latency: latencies, first_subscriber: first, last_subscriber: last, samples }
    }
}
