//! Results as experiments leave them, made up: plausible, and the same each time. For what reads results; nothing
//! here says anything about corecast.
#![allow(dead_code, reason = "each test program uses what it needs")]

use corecast_bench::measure::environment::{Environment, Limits};
use corecast_bench::record::SkippedRecord;
use corecast_bench::record::{BrokerRecord, ExecutorsRecord, HostRecord, Record, RunRecord, ShardRecord};
use corecast_bench::results::{Kind, Raw, Results, ResultsFolder};
use std::path::Path;

/// The parameters of a made-up run.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) mode: &'static str,
    pub(crate) sessions: &'static str,
    pub(crate) subscribers: u64,
    pub(crate) size_bytes: u64,
    pub(crate) rate_hz: Option<f64>,
    /// Median of the least latency, and what each subscriber more adds, in nanoseconds.
    pub(crate) base_ns: f64,
    pub(crate) step_ns: f64,
}

pub(crate) const COUNTS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

pub(crate) fn made(mode: &'static str, subscribers: u64) -> Made {
    let (base_ns, step_ns) = if mode == "direct" { (150_000.0, 9_000.0) } else { (240_000.0, 7_000.0) };
    Made {
        mode,
        sessions: "per-subscriber",
        subscribers,
        size_bytes: 64,
        rate_hz: Some(4.0),
        base_ns,
        step_ns,
    }
}

/// A machine that nobody has.
pub(crate) fn environment() -> Environment {
    Environment {
        cpu_model: Some("Example CPU <4 GHz> & more".into()),
        cpus_online: Some(4),
        cpus_allowed: Some("0,1,2,3".into()),
        physical_cores: Some(2),
        memory_bytes: Some(16 << 30),
        kernel: Some("6.18.0-example".into()),
        governor: Some("performance".into()),
        limits: Limits { nofile_soft: Some(1024), nofile_hard: Some(20_000), ..Limits::default() },
        version: "0.1.0".into(),
        git_commit: "0123abc".into(),
        build: "release".into(),
        command_line: ["/usr/bin/corecast-bench", "experiment", "canonical", "--out", "a b"]
            .map(str::to_owned)
            .into(),
        clock: "CLOCK_MONOTONIC, one machine".into(),
    }
}

/// Deliveries and the record that sums them up.
pub(crate) fn run(of: &Made, seed: u64) -> (RunRecord, Raw) {
    const MESSAGES: u64 = 60;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut raw = Raw::default();
    for _ in 0..MESSAGES {
        // What hits a whole message, such as a late wake-up, and a tail now and then.
        let pause = of.base_ns * (0.8 + 0.6 * random.f64()) * if random.u32(0..50) == 0 { 6.0 } else { 1.0 };
        let (mut first, mut last) = (u64::MAX, 0);
        for place in 0..of.subscribers {
            let ns = (pause + of.step_ns * (place as f64 + random.f64() * 4.0)) as u64;
            raw.latency.record_ns(ns);
            (first, last) = (first.min(ns), last.max(ns));
        }
        raw.first_subscriber.record_ns(first);
        raw.last_subscriber.record_ns(last);
    }
    let deliveries = MESSAGES * of.subscribers;
    let duration_s = of.rate_hz.map_or(0.01, |rate_hz| MESSAGES as f64 / rate_hz);
    let cpu = 4_000.0 + 30_000.0 / of.subscribers as f64;
    let shard = |sessions, share: u64| ShardRecord { sessions, deliveries: deliveries * share / 100 };
    let record = RunRecord {
        mode: of.mode.into(),
        transport: "tcp".into(),
        sessions: of.sessions.into(),
        subscribers: of.subscribers,
        publishers: 1,
        size_bytes: of.size_bytes,
        rate_hz: of.rate_hz,
        duration_s,
        messages_sent: MESSAGES,
        deliveries_expected: deliveries,
        deliveries,
        latency_us: raw.latency.summary(),
        first_subscriber_us: raw.first_subscriber.summary(),
        last_subscriber_us: raw.last_subscriber.summary(),
        deliveries_per_s: deliveries as f64 / duration_s,
        broker: BrokerRecord { cpu_ns_per_delivery: Some(cpu), rss_bytes: Some(20_000_000) },
        publisher_executors: ExecutorsRecord { cpu_ns_per_delivery: Some(cpu * 0.8) },
        rss_per_subscriber_bytes: (of.subscribers >= 64).then_some(5_300.0),
        shards: vec![shard(of.subscribers.div_ceil(2), 52), shard(of.subscribers / 2, 48)],
        ..RunRecord::default()
    };
    (record, raw)
}

fn folder(path: &Path, kind: Kind, name: &str, question: &str, planned: u64) -> ResultsFolder {
    let mut results = Results::new(kind, name, question, environment());
    results.started_at = "2026-11-25T03:00:00Z".into();
    results.runs_planned = planned;
    ResultsFolder::create(path, results).unwrap()
}

/// A record as `run --json` writes it.
pub(crate) fn record(path: &Path) -> Record {
    let runs = ["proxy", "direct"].map(|mode| run(&made(mode, 8), 8).0);
    let record = Record::new(environment(), runs.into());
    std::fs::write(path, serde_json::to_vec(&record).unwrap()).unwrap();
    record
}

/// Two counts in both modes, that many rounds, all of it that much slower.
pub(crate) fn small(path: &Path, rounds: u32, slower: f64) -> Results {
    let question = "How long does it take?";
    let mut folder = folder(path, Kind::Experiment, "canonical", question, u64::from(rounds) * 4);
    for round in 1..=rounds {
        for subscribers in [8, 64] {
            for mode in ["proxy", "direct"] {
                let mut made = made(mode, subscribers);
                made.base_ns *= slower;
                made.step_ns *= slower;
                let (mut record, raw) = run(&made, u64::from(round));
                record.round = (rounds > 1).then_some(round);
                folder.add(record, &raw).unwrap();
            }
        }
    }
    folder.finish(None).unwrap()
}

/// `canonical`: both modes, 1 to 512 subscribers, both kinds of sessions.
pub(crate) fn canonical(path: &Path) -> Results {
    let question = "How long does a message take to every one of 1 to 512 subscribers, in both modes?";
    let mut folder = folder(path, Kind::Experiment, "canonical", question, 40);
    for sessions in ["per-subscriber", "per-executor"] {
        for subscribers in COUNTS {
            for mode in ["proxy", "direct"] {
                let mut made = Made { sessions, ..made(mode, subscribers) };
                if sessions == "per-executor" {
                    made.step_ns /= 12.0;
                }
                let (record, raw) = run(&made, subscribers);
                folder.add(record, &raw).unwrap();
            }
        }
    }
    folder.finish(None).unwrap()
}

/// `crossover`: four payloads.
pub(crate) fn crossover(path: &Path) -> Results {
    let question = "At how many subscribers does which mode reach the last one first?";
    let mut folder = folder(path, Kind::Experiment, "crossover", question, 40);
    for (size_bytes, factor) in [(64, 1.0), (1024, 1.1), (16_384, 2.0), (262_144, 9.0)] {
        for subscribers in [1, 8, 64, 256, 512] {
            for mode in ["proxy", "direct"] {
                let mut made = Made { size_bytes, ..made(mode, subscribers) };
                made.base_ns *= if mode == "proxy" { factor * 1.2 } else { factor };
                made.step_ns *= factor;
                let (record, raw) = run(&made, size_bytes + subscribers);
                folder.add(record, &raw).unwrap();
            }
        }
    }
    folder.finish(None).unwrap()
}

/// `peers`: three rounds, flood and a rate.
pub(crate) fn peers(path: &Path) -> Results {
    let question = "What does the same fan-out take through others?";
    let mut folder = folder(path, Kind::Peers, "peers", question, 54);
    let why = "mosquitto2 is not there: scripts/peers.sh install".to_owned();
    folder.skip(&[SkippedRecord { peer: "mosquitto2".into(), round: None, why }]);
    let others = [
        ("libzmq", 1.4),
        ("nats", 1.6),
        ("redis", 1.5),
        ("redis-8.2", 1.3),
        ("mosquitto", 20.0),
        ("zenoh-1.10", 2.0),
        ("floor-tcp", 0.6),
    ];
    for round in 1..=3u32 {
        for rate_hz in [None, Some(20.0)] {
            let ours = [("proxy", None, 1.0), ("direct", None, 0.8)];
            let theirs = others.map(|(peer, factor)| ("proxy", Some(peer), factor));
            for (mode, peer, factor) in ours.into_iter().chain(theirs) {
                let mut made = Made { rate_hz, ..made(mode, 512) };
                made.base_ns *= factor;
                made.step_ns *= factor;
                let (mut record, raw) = run(&made, u64::from(round));
                record.peer = peer.map(str::to_owned);
                record.peer_version = (peer == Some("redis-8.2")).then(|| "8.2.1".to_owned());
                let clients = if peer == Some("zenoh-1.10") { "zenoh" } else { "raw" };
                record.clients = Some(clients.into());
                record.round = Some(round);
                record.shards.clear();
                record.cpu_ns_per_delivery = Some(900.0 * factor * (1.0 + f64::from(round) / 20.0));
                if rate_hz.is_none() {
                    record.deliveries_per_s = 30e6 / factor * (1.0 + f64::from(round) / 15.0);
                }
                folder.add(record, &raw).unwrap();
            }
        }
    }
    folder.finish(None).unwrap()
}

/// `isolation`: 5 of 512 slow.
pub(crate) fn isolation(path: &Path) -> Results {
    let question = "What do slow subscribers cost the healthy ones?";
    let mut folder = folder(path, Kind::Experiment, "isolation", question, 6);
    for mode in ["proxy", "direct"] {
        for (slow, delay_ms) in [(None, 0.0), (Some(5), 0.0), (Some(5), 50.0)] {
            let mut made = Made { rate_hz: Some(20.0), ..made(mode, 512) };
            made.base_ns *= if slow.is_some() { 1.1 } else { 1.0 };
            let (mut record, raw) = run(&made, 7);
            record.slow_subscribers = slow;
            if slow.is_some() {
                record.extra.insert("slow_delay_ms".into(), delay_ms);
            }
            folder.add(record, &raw).unwrap();
        }
    }
    folder.finish(None).unwrap()
}

/// `flood`: two payloads held back, and a search for the rate of the small one.
pub(crate) fn flood(path: &Path) -> Results {
    let question = "Which rate is delivered whole?";
    let mut folder = folder(path, Kind::Experiment, "flood", question, 17);
    for subscribers in [1, 64, 512] {
        for (size_bytes, per_s) in [(64, 9e6), (16_384, 2e5)] {
            for mode in ["proxy", "direct"] {
                let made = Made { size_bytes, rate_hz: None, ..made(mode, subscribers) };
                let (mut record, raw) = run(&made, subscribers);
                record.overflow = Some("block".into());
                record.deliveries_per_s = per_s * (1.0 - 1.0 / (subscribers as f64 + 1.0));
                folder.add(record, &raw).unwrap();
            }
        }
        for (rate_hz, whole) in
            [(4_000.0, 1.0), (9_000.0, 0.0)].into_iter().take(if subscribers == 1 { 1 } else { 2 })
        {
            let (mut record, raw) = run(&Made { rate_hz: Some(rate_hz), ..made("proxy", subscribers) }, 3);
            record.overflow = Some("drop-oldest".into());
            record.deliveries_per_s = rate_hz * subscribers as f64;
            record.extra.insert("whole".into(), whole);
            folder.add(record, &raw).unwrap();
        }
    }
    folder.finish(None).unwrap()
}

/// `scaling`: two numbers of shards.
pub(crate) fn scaling(path: &Path) -> Results {
    let question = "What do a delivery and a subscriber cost?";
    let mut folder = folder(path, Kind::Experiment, "scaling", question, 6);
    for shards in [1, 2] {
        for subscribers in [512, 1024, 2048] {
            let (mut record, raw) = run(&made("proxy", subscribers), subscribers);
            record.shards.truncate(shards);
            record.cpu_ns_per_delivery = Some(shards as f64 * 10_000.0 / (subscribers as f64 / 512.0));
            record.extra.insert("cpu_user_ns_per_delivery".into(), 700.0);
            record.extra.insert("cpu_system_ns_per_delivery".into(), 6_300.0);
            record.extra.insert("syscalls_per_delivery".into(), 1.25);
            folder.add(record, &raw).unwrap();
        }
    }
    folder.finish(None).unwrap()
}

/// `idle`: three ways, two rounds.
pub(crate) fn idle(path: &Path) -> Results {
    let question = "What does it cost not to sleep?";
    let mut folder = folder(path, Kind::Experiment, "idle", question, 12);
    for round in 1..=2u32 {
        for subscribers in [1, 16] {
            for (idle, factor, cores) in [("park", 1.0, 0.02), ("spin:100", 0.6, 0.3), ("busy", 0.5, 1.0)] {
                let mut made = Made { rate_hz: Some(100.0), ..made("proxy", subscribers) };
                made.base_ns *= factor;
                let (mut record, raw) = run(&made, u64::from(round));
                record.idle = Some(idle.into());
                record.round = Some(round);
                record.extra.insert("cpu_cores".into(), cores);
                folder.add(record, &raw).unwrap();
            }
        }
    }
    folder.finish(None).unwrap()
}

/// `canonical` over hosts, broken off: clocks that differ by 300 microseconds, a run unfinished, messages lost.
pub(crate) fn broken_off(path: &Path) -> Results {
    let question = "How long does a message take over hosts?";
    let mut folder = folder(path, Kind::Experiment, "canonical", question, 8);
    for subscribers in [1, 16, 512] {
        let (mut record, raw) = run(&made("proxy", subscribers), subscribers);
        record.clock_error_us = Some(300.0);
        record.hosts.push(HostRecord {
            name: "worker1".into(),
            subscribers,
            clock_offset_us: -1_200.0,
            clock_error_us: Some(300.0),
            environment: Environment { kernel: Some("5.15.0-worker".into()), ..environment() },
        });
        if subscribers == 512 {
            record.incomplete = Some("interrupted".into());
            record.lost = 3;
        }
        folder.add(record, &raw).unwrap();
    }
    folder.finish(Some("interrupted".into())).unwrap()
}
