//! Owns what a run of a peer looks like in the record, made of what was sent and what arrived.

use super::job::Sent;
use super::name::PeerName;
use super::plan::Contest;
use super::session::sessions_of;
use crate::experiment::outcome::Outcome;
use crate::experiment::watch::Ending;
use crate::measure::process::Usage;
use crate::record::{BrokerRecord, RunRecord, thousandths};
use crate::results::Deliveries;
use crate::swarm::schedule::missed;
use corecast_executors::MonotonicNs;

/// The label of a run.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// The peer.
    pub name: PeerName,
    /// In which round.
    pub round: u32,
    /// The kind of its subscribers.
    pub clients: &'a str,
    /// Set for the flood.
    pub flood: bool,
    /// Bytes of memory for each idle subscriber.
    pub rss_per_subscriber_bytes: Option<f64>,
}

/// The record and the raw measurements of a run.
pub fn outcome_of(
    label: &Label<'_>,
    plan: &Contest,
    (sent, usage): (Sent, Option<(Usage, Usage)>),
    deliveries: Deliveries,
    incomplete: Option<String>,
) -> Outcome {
    let delivered = deliveries.totals.delivered;
    let cpu = usage.and_then(|(before, after)| {
        let cpu_ns = after.cpu.0.saturating_sub(before.cpu.0) as f64;
        (delivered > 0).then(|| thousandths(cpu_ns / delivered as f64))
    });
    let rate_missed = missed(sent.sent.saturating_sub(sent.late), sent.intended);
    let flood = "flood: its latencies are those of a saturated system".to_owned();
    let mut record = RunRecord {
        mode: if label.name.system.is_direct() { "direct" } else { "proxy" }.to_owned(),
        transport: plan.transport_of(label.name).to_string(),
        sessions: sessions_of(label.name, plan).to_string(),
        subscribers: plan.run.subscribers as u64,
        publishers: 1,
        size_bytes: plan.run.size_bytes as u64,
        rate_hz: (!label.flood).then_some(plan.rate_hz()),
        messages_sent: sent.sent,
        broker: BrokerRecord { cpu_ns_per_delivery: cpu, rss_bytes: usage.map(|(_, after)| after.rss_bytes) },
        peer: Some(label.name.to_string()),
        round: Some(label.round),
        clients: Some(label.clients.to_owned()),
        cpu_ns_per_delivery: cpu,
        rss_per_subscriber_bytes: label.rss_per_subscriber_bytes.map(thousandths),
        incomplete: incomplete.clone(),
        notes: label.flood.then_some(flood).into_iter().chain(rate_missed.clone()).collect(),
        ..RunRecord::default()
    };
    let raw = deliveries.describe(MonotonicNs(sent.started_ns), &mut record);
    let ending = incomplete.map_or(Ending::Complete, Ending::Failed);
    Outcome { ending, rate_missed, ..Outcome::complete(record, raw) }
}
