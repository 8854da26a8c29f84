//! The memory of a broker for sessions over TLS that are idle.

use corecast::{ClientConfig, Filter, Sessions, Subscriber};

use super::broker_process::{BrokerProcess, Transport};
use super::watchdog::watch;

/// Sessions beside each other.
const SESSIONS: u64 = 1_000;

/// The most that each may take.
const SESSION_BYTES_MAX: u64 = 24 << 10;

fn open(config: &ClientConfig, sessions: u64) -> Vec<Subscriber> {
    let filters = [Filter::parse("t").expect("a filter")];
    (0..sessions).map(|_| Subscriber::with_config(config.clone(), &filters).expect("it serves")).collect()
}

#[test]
fn an_idle_session_over_tls_takes_little_memory() {
    let _watchdog = watch("an_idle_session_over_tls_takes_little_memory");
    let broker = BrokerProcess::start(Transport::Tls, &["--shards", "1"]);
    let config = broker.client().sessions(Sessions::PerSubscriber);
    // Caches and tables have grown by then.
    let first = open(&config, 50);
    let before = broker.rss_bytes();
    let others = open(&config, SESSIONS);
    let bytes = broker.rss_bytes().saturating_sub(before) / SESSIONS;
    assert!(bytes <= SESSION_BYTES_MAX, "{bytes} bytes for each session");
    drop((first, others));
}
