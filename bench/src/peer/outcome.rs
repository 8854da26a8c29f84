//! Owns the fields of a run's record that say which peer it was of, and what that cost.

use super::name::PeerName;
use crate::experiment::cost::per;
use crate::measure::process::Usage;
use crate::record::{BrokerRecord, RunRecord, thousandths};

/// The label of a run.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// The peer.
    pub name: PeerName,
    /// Number of the round.
    pub round: u32,
    /// The kind of its subscribers.
    pub clients: &'static str,
    /// Bytes of memory for each idle subscriber.
    pub rss_per_subscriber_bytes: Option<f64>,
}

/// Labels the record of a run, which has its deliveries already; `usage` is that of the peer's process before and
/// after it.
pub(super) fn label(label: &Label, usage: Option<(Usage, Usage)>, record: &mut RunRecord) {
    let cpu = usage.and_then(|(before, after)| per(after.cpu.since(before.cpu).ns, record.deliveries));
    record.mode = if label.name.system.is_direct() { "direct" } else { "proxy" }.to_owned();
    record.peer = Some(label.name.to_string());
    record.round = Some(label.round);
    record.clients = Some(label.clients.to_string());
    record.broker =
        BrokerRecord { cpu_ns_per_delivery: cpu, rss_bytes: usage.map(|(_, after)| after.rss_bytes) };
    record.cpu_ns_per_delivery = cpu;
    record.rss_per_subscriber_bytes = label.rss_per_subscriber_bytes.map(thousandths);
}
