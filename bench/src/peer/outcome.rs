//! Owns what a run of a peer looks like in the record, made of what was sent and what arrived.

use super::feed::Sent;
use super::name::PeerName;
use super::plan::Plan;
use super::session::{Ran, sessions_of};
use crate::measure::latency::Latencies;
use crate::measure::oracle::Totals;
use crate::measure::process::Usage;
use crate::measure::spread::Spread;
use crate::report::record::{BrokerRecord, RunRecord};
use crate::results::Raw;
use corecast_executors::MonotonicNs;

/// The part of the messages that must be sent in time for the rate to count as reached.
const IN_TIME_MIN: f64 = 0.99;

/// What was measured of the deliveries of a run, by whomever.
#[derive(Debug)]
pub struct Deliveries {
    /// The account.
    pub totals: Totals,
    /// Times to every subscriber.
    pub latencies: Latencies,
    /// Times to the first and the last.
    pub spread: Spread,
    /// When the last one arrived.
    pub last_arrival: Option<MonotonicNs>,
}

impl Deliveries {
    /// None yet.
    pub fn new() -> Self {
        Deliveries {
            totals: Totals::default(),
            latencies: Latencies::new(),
            spread: Spread::new(1),
            last_arrival: None,
        }
    }

    /// Those of our own subscribers.
    pub fn of(ran: &Ran) -> Self {
        let mut deliveries = Deliveries::new();
        for tally in &ran.tallies {
            deliveries.totals += tally.totals(&[ran.sent.sent]);
            deliveries.latencies.merge(tally.latencies());
            deliveries.spread.merge(tally.spread());
            deliveries.last_arrival = deliveries.last_arrival.max(tally.last_arrival());
        }
        deliveries
    }
}

impl Default for Deliveries {
    fn default() -> Self {
        Deliveries::new()
    }
}

/// What a run is called.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Who fanned out.
    pub name: PeerName,
    /// In which round.
    pub round: u32,
    /// Who the subscribers were.
    pub clients: &'a str,
    /// Whether it was the flood.
    pub flood: bool,
    /// Bytes of memory for each idle subscriber.
    pub rss_per_subscriber_bytes: Option<f64>,
}

/// The record and the raw measurements of a run.
pub fn record_of(
    label: &Label<'_>,
    plan: &Plan,
    (sent, usage): (Sent, Option<(Usage, Usage)>),
    deliveries: Deliveries,
    incomplete: Option<String>,
) -> (RunRecord, Raw) {
    let Deliveries { totals, latencies, spread, last_arrival } = deliveries;
    let started = MonotonicNs(sent.started_ns);
    let duration_s = last_arrival.map_or(0.0, |last| last.saturating_since(started).as_secs_f64());
    let (first, last) = spread.distributions();
    let cpu = usage.and_then(|(before, after)| {
        let cpu_ns = after.cpu.0.saturating_sub(before.cpu.0) as f64;
        (totals.delivered > 0).then(|| thousandths(cpu_ns / totals.delivered as f64))
    });
    let record = RunRecord {
        mode: if label.name.system.is_direct() { "direct" } else { "proxy" }.to_owned(),
        transport: label.name.transport(plan.transport).to_string(),
        sessions: sessions_of(label.name, plan).to_string(),
        subscribers: plan.subscribers as u64,
        publishers: 1,
        size_bytes: plan.size_bytes as u64,
        rate_hz: (!label.flood).then_some(plan.rate_hz),
        duration_s: thousandths(duration_s * 1000.0) / 1000.0,
        messages_sent: sent.sent,
        deliveries_expected: totals.expected,
        deliveries: totals.delivered,
        gaps_reported: totals.gaps_reported,
        lost: totals.lost,
        duplicated: totals.duplicated,
        reordered: totals.reordered,
        corrupted: totals.corrupted,
        latency_us: latencies.summary(),
        first_subscriber_us: first.summary(),
        last_subscriber_us: last.summary(),
        deliveries_per_s: if duration_s > 0.0 {
            thousandths(totals.delivered as f64 / duration_s)
        } else {
            0.0
        },
        broker: BrokerRecord { cpu_ns_per_delivery: cpu, rss_bytes: usage.map(|(_, after)| after.rss_bytes) },
        peer: Some(label.name.to_string()),
        round: Some(label.round),
        clients: Some(label.clients.to_owned()),
        cpu_ns_per_delivery: cpu,
        rss_per_subscriber_bytes: label.rss_per_subscriber_bytes.map(thousandths),
        incomplete,
        notes: notes(label, &sent, rate_reached(&sent)),
        ..RunRecord::default()
    };
    (record, Raw { latency: latencies, first_subscriber: first, last_subscriber: last, samples: None })
}

/// Whether the messages were sent when they should have been.
fn rate_reached(sent: &Sent) -> bool {
    sent.sent.saturating_sub(sent.late) as f64 >= sent.intended as f64 * IN_TIME_MIN
}

fn notes(label: &Label<'_>, sent: &Sent, rate_reached: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if label.flood {
        notes.push("flood: its latencies are those of a saturated system".to_owned());
    }
    if !rate_reached {
        let in_time = sent.sent.saturating_sub(sent.late) as f64 / sent.intended as f64 * 100.0;
        notes.push(format!("{RATE_MISSED}: {in_time:.1} % of the messages were sent in time"));
    }
    notes
}

/// How a note begins that says that the rate was not reached.
pub const RATE_MISSED: &str = "the asked rate was not reached";

/// With three decimals.
pub(super) fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
