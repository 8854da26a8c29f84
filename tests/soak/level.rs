//! Descriptors and resident memory of the broker and of this process, at each rest.

use std::fmt;

/// The first rests are of a process that still fills its pools and caches.
const WARM_UP_RESTS: usize = 4;

/// Growth that is none, as a share of the memory there was: the allocator's arenas move by so much.
const GROWTH_MAX: f64 = 0.10;

/// The same in KiB, for a process that is small: the standing subscribers' queues fill and empty by 2 MiB each.
const GROWTH_KIB_MAX: u64 = 8 << 10;

#[derive(Clone, Copy, Debug)]
struct Level {
    descriptors: usize,
    resident_kib: u64,
}

impl Level {
    fn of(pid: &str) -> Self {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux counts it");
        let resident_kib = line.trim().trim_end_matches(" kB").parse().expect("a number");
        Level { descriptors, resident_kib }
    }
}

/// The observations at each rest.
#[derive(Default, Debug)]
pub(crate) struct Levels {
    broker: Vec<Level>,
    own: Vec<Level>,
}

impl Levels {
    pub(crate) fn note(&mut self, broker: u32) {
        self.broker.push(Level::of(&broker.to_string()));
        self.own.push(Level::of("self"));
    }

    /// Fails if either process held more at the last rests than when it had warmed up.
    pub(crate) fn assert_level(&self) {
        for (name, levels) in [("the broker", &self.broker), ("the clients' process", &self.own)] {
            let warm = &levels[WARM_UP_RESTS..];
            let (early, late) = warm.split_at(warm.len() / 2);
            let most = |levels: &[Level], of: fn(&Level) -> u64| levels.iter().map(of).max().expect("rests");
            let least = |levels: &[Level], of: fn(&Level) -> u64| levels.iter().map(of).min().expect("rests");
            let descriptors = |level: &Level| level.descriptors as u64;
            let resident = |level: &Level| level.resident_kib;
            assert!(
                least(late, descriptors) <= most(early, descriptors),
                "{name} holds ever more descriptors: {levels:?}"
            );
            let there = most(early, resident);
            let allowed = there + GROWTH_KIB_MAX.max((there as f64 * GROWTH_MAX) as u64);
            assert!(least(late, resident) <= allowed, "{name} holds ever more memory: {levels:?}");
        }
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(broker), Some(own)) = (self.broker.last(), self.own.last()) else { return Ok(()) };
        write!(
            f,
            "broker {} descriptors, {} KiB; clients {} descriptors, {} KiB",
            broker.descriptors, broker.resident_kib, own.descriptors, own.resident_kib
        )
    }
}
