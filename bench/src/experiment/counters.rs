//! Owns reading what each shard of a broker did from the page that it serves for Prometheus.

use crate::record::ShardRecord;
use corecast_executors::pause;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Timeout of the page: it takes a millisecond; the rest is for a busy machine.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);
/// The page is less than this, for a thousand shards too; more is not read.
const PAGE_BYTES_MAX: u64 = 16 << 20;
/// Shards export ten times a second: after two of these and some more, everything is on the page.
const EXPORTED_WITHIN: Duration = Duration::from_millis(250);
/// Interval between two looks at the page.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Messages that the kernel took, one for each session.
const DELIVERIES: &str = "corecast_deliveries_total";
/// Messages not delivered, by reason.
const DROPS: &str = "corecast_drops_total";
/// Subscriptions in force now: each subscriber of a run has one, on its own session or on a shared one.
const SUBSCRIPTIONS: &str = "corecast_subscriptions";
/// Sessions that have gone from shard to shard.
const MOVED: &str = "corecast_sessions_moved_total";

/// The figures on the page.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counters {
    /// The work of each shard, in their order; empty if there is no page.
    pub shards: Vec<ShardRecord>,
    /// Messages that were not delivered, for whatever reason.
    pub drops: u64,
    /// Sessions that have moved to another shard; absent if there is no page, or an earlier build's.
    pub sessions_moved: Option<u64>,
}

impl Counters {
    /// Reads the counters at these addresses once all shards together have made so many deliveries, or after as long as a
    /// page may lag behind. The shards of the second broker come behind those of the first.
    pub fn read_after(addresses: &[SocketAddr], deliveries: u64) -> Self {
        let deadline = Instant::now() + EXPORTED_WITHIN;
        loop {
            let mut counters = Counters::default();
            for page in addresses.iter().filter_map(|address| page(*address).ok()) {
                counters.take(&page);
            }
            let made: u64 = counters.shards.iter().map(|shard| shard.deliveries).sum();
            if made >= deliveries || Instant::now() >= deadline {
                return counters;
            }
            pause(LOOK_EVERY);
        }
    }

    /// Takes in a page; its shards come behind those of the pages before.
    fn take(&mut self, page: &str) {
        let before = self.shards.len();
        for line in page.lines() {
            let Some((name, rest)) = line.split_once('{') else { continue };
            let Some((shard, value)) = shard_and_value(rest) else { continue };
            match name {
                DROPS => self.drops += value as u64,
                MOVED => *self.sessions_moved.get_or_insert(0) += value as u64,
                DELIVERIES => self.shard(before + shard).deliveries += value as u64,
                SUBSCRIPTIONS => self.shard(before + shard).sessions += value as u64,
                _ => {}
            }
        }
    }

    fn shard(&mut self, shard: usize) -> &mut ShardRecord {
        if self.shards.len() <= shard {
            self.shards.resize(shard + 1, ShardRecord::default());
        }
        &mut self.shards[shard]
    }
}

fn page(address: SocketAddr) -> io::Result<String> {
    let mut peer = TcpStream::connect_timeout(&address, PAGE_TIMEOUT)?;
    peer.set_read_timeout(Some(PAGE_TIMEOUT))?;
    peer.set_write_timeout(Some(PAGE_TIMEOUT))?;
    peer.write_all(b"GET /metrics HTTP/1.1\r\nHost: corecast\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    peer.take(PAGE_BYTES_MAX).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other("no page of metrics")),
    }
}

/// Reads the rest of a line after the name: `shard="3",reason="x"} 17`.
fn shard_and_value(rest: &str) -> Option<(usize, f64)> {
    let (labels, value) = rest.rsplit_once("} ")?;
    let shard = labels.split(',').find_map(|label| label.strip_prefix("shard=\"")?.strip_suffix('"'))?;
    // Below the most shards that a broker has: a number of nonsense must not fill the memory.
    let shard = shard.parse().ok().filter(|shard| *shard < corecast::internals::limits::SHARDS_MAX)?;
    Some((shard, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_has_its_own_lines() {
        let page = "# HELP corecast_deliveries_total x\n\
                    corecast_deliveries_total{shard=\"1\"} 30\n\
                    corecast_deliveries_total{shard=\"0\"} 12\n\
                    corecast_subscriptions{shard=\"1\"} 3\n\
                    corecast_drops_total{reason=\"latest\",shard=\"9\"} 4\n\
                    corecast_sessions_moved_total{shard=\"0\"} 2\n\
                    corecast_sessions_moved_total{shard=\"1\"} 3\n\
                    corecast_deliveries_total{shard=\"99999999\"} 1\n\
                    nonsense{shard=\"1\"\n";
        let shards =
            vec![ShardRecord { sessions: 0, deliveries: 12 }, ShardRecord { sessions: 3, deliveries: 30 }];
        let mut counters = Counters::default();
        counters.take(page);
        assert_eq!(counters, Counters { shards: shards.clone(), drops: 4, sessions_moved: Some(5) });
        counters.take(page);
        assert_eq!(counters, Counters { shards: shards.repeat(2), drops: 8, sessions_moved: Some(10) });
    }

    #[test]
    fn nobody_there_is_nothing_known() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(Counters::read_after(&[nobody], 1), Counters::default());
    }
}
