//! Owns what a run costs whoever fans out: CPU time, memory, and how these are put into its record. In proxy mode that
//! is the broker's process; in direct mode the publishers' executors, which are threads of this one.

use super::plan::Plan;
use crate::measure::process::{Cpu, Usage, cpu_of_own_threads};
use crate::record::{BrokerRecord, ExecutorsRecord, RunRecord, thousandths};
use crate::swarm::publishers;
use corecast::Mode;
use corecast::internals::client::DIRECT_POOL;
use std::time::{Duration, Instant};

/// Names in `extra`: user and system time of whoever fans out, per delivery, in nanoseconds.
pub const USER_NS: &str = "cpu_user_ns_per_delivery";
/// See [`USER_NS`].
pub const SYSTEM_NS: &str = "cpu_system_ns_per_delivery";
/// Cores that whoever fans out kept busy, from the start to the last arrival.
pub const CORES: &str = "cpu_cores";

/// CPU time below which user and system time are not told apart: clock ticks are 10 ms, and ten of them a rough
/// share.
const SPLIT_NS_MIN: u64 = 100_000_000;

/// Resources that had been used at a point in time.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The broker; `None` if it is not known which process that is.
    broker: Option<Usage>,
    publishers: Cpu,
    at: Instant,
}

impl Reading {
    /// Reads now; `broker` is the broker's usage.
    pub fn now(broker: Option<Usage>) -> Self {
        let named = |name: &str| name.starts_with(publishers::POOL) || name.starts_with(DIRECT_POOL);
        Reading { broker, publishers: cpu_of_own_threads(named), at: Instant::now() }
    }
}

/// Resources that a run used.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Resident memory of the broker before the first subscriber came.
    pub empty_rss_bytes: Option<u64>,
    /// The reading with everybody there, before the first message.
    pub before: Reading,
    /// The reading after the last one.
    pub after: Reading,
}

impl Cost {
    /// Writes it into the record of the run, which has its deliveries already.
    pub fn describe(&self, plan: &Plan, record: &mut RunRecord) {
        let delivered = record.deliveries;
        record.broker = BrokerRecord {
            cpu_ns_per_delivery: self.broker().and_then(|used| per(used.ns, delivered)),
            rss_bytes: self.after.broker.map(|usage| usage.rss_bytes),
        };
        record.publisher_executors =
            ExecutorsRecord { cpu_ns_per_delivery: per(self.publishers().ns, delivered) };
        let fan_out = match plan.mode {
            Mode::Proxy => self.broker(),
            Mode::Direct => Some(self.publishers()),
        };
        if let Some(used) = fan_out {
            record.cpu_ns_per_delivery = per(used.ns, delivered);
            let wall = self.after.at.saturating_duration_since(self.before.at).max(Duration::from_nanos(1));
            let is_split = used.user_ns + used.system_ns >= SPLIT_NS_MIN;
            let extra = [
                (USER_NS, per(used.user_ns, delivered).filter(|_| is_split)),
                (SYSTEM_NS, per(used.system_ns, delivered).filter(|_| is_split)),
                (CORES, Some(thousandths(used.ns as f64 / wall.as_nanos() as f64))),
            ];
            let known = extra.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?)));
            record.extra.extend(known);
        }
        record.rss_per_subscriber_bytes = self.rss_per_subscriber(plan);
    }

    /// Memory of the broker; direct publishers share a process, and its memory, with their subscribers.
    fn rss_per_subscriber(&self, plan: &Plan) -> Option<f64> {
        let (empty, idle) = (self.empty_rss_bytes?, self.before.broker?.rss_bytes);
        let more = idle.saturating_sub(empty) as f64;
        (plan.mode == Mode::Proxy).then(|| thousandths(more / plan.subscribers as f64))
    }

    fn broker(&self) -> Option<Cpu> {
        Some(self.after.broker?.cpu.since(self.before.broker?.cpu))
    }

    fn publishers(&self) -> Cpu {
        self.after.publishers.since(self.before.publishers)
    }
}

/// CPU time over deliveries, if there were any.
pub(crate) fn per(cpu_ns: u64, delivered: u64) -> Option<f64> {
    (delivered > 0).then(|| thousandths(cpu_ns as f64 / delivered as f64))
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;

    fn reading(at: Instant, ms: u64, rss_bytes: u64) -> Reading {
        let cpu = |ns: u64| Cpu { ns, user_ns: ns / 4, system_ns: ns / 4 * 3 };
        Reading {
            broker: Some(Usage { cpu: cpu(ms * 1_000_000), rss_bytes }),
            publishers: Cpu { ns: ms * 10_000, ..Cpu::default() },
            at,
        }
    }

    fn describe(mode: Mode) -> RunRecord {
        let plan = Plan { mode, subscribers: 100, ..sample_plan() };
        let mut record = RunRecord { deliveries: 1_000, ..RunRecord::default() };
        let start = Instant::now();
        let cost = Cost {
            empty_rss_bytes: Some(1_000_000),
            before: reading(start, 100, 1_500_000),
            after: reading(start + Duration::from_secs(2), 1_100, 1_700_000),
        };
        cost.describe(&plan, &mut record);
        record
    }

    #[test]
    fn through_the_broker_it_is_the_brokers_process_that_fans_out() {
        let record = describe(Mode::Proxy);
        assert_eq!(record.broker.cpu_ns_per_delivery, Some(1_000_000.0));
        assert_eq!(record.cpu_ns_per_delivery, Some(1_000_000.0));
        assert_eq!((record.extra[USER_NS], record.extra[SYSTEM_NS]), (250_000.0, 750_000.0));
        assert_eq!(record.extra[CORES], 0.5);
        assert_eq!(record.rss_per_subscriber_bytes, Some(5_000.0), "idle, not at the end");
    }

    #[test]
    fn directly_it_is_the_publishers() {
        let record = describe(Mode::Direct);
        assert_eq!(record.cpu_ns_per_delivery, Some(10_000.0));
        assert_eq!(record.cpu_ns_per_delivery, record.publisher_executors.cpu_ns_per_delivery);
        assert_eq!(record.rss_per_subscriber_bytes, None);
    }
}
