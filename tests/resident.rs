//! Resident memory stays level, whatever comes and goes: connections, sockets that do not take a message at once, the
//! objects of the client library.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
#[path = "../executors/tests/child/mod.rs"]
mod child;
mod watchdog;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use broker_process::{BrokerProcess, Transport, rss_bytes_of};
use corecast::{Event, Publisher, Subscriber};

/// Tolerated growth of memory during a measurement.
const GROWTH_BYTES_MAX: u64 = 768 << 10;

const PATIENCE: Duration = Duration::from_secs(30);

/// Does `one` until tables and pools have their size, then `times` again, and says by how much `rss` has grown.
fn growth(times: usize, rss: impl Fn() -> u64, mut one: impl FnMut()) -> u64 {
    (0..times / 2).for_each(|_| one());
    let before = rss();
    (0..times).for_each(|_| one());
    rss().saturating_sub(before)
}

/// 327 bytes of each were lost once.
#[test]
fn connections_that_come_and_go_leave_nothing() {
    const CONNECTIONS: usize = 10_000;
    let _watchdog = watchdog::watch("connections_that_come_and_go_leave_nothing");
    // On Unix sockets: no port waits for its time to be over.
    let broker = BrokerProcess::start(Transport::Uds, &["--shards", "2"]);
    let path = broker.endpoint().strip_prefix("uds://").unwrap();
    let mut connected = 0;
    let rss = || broker.rss_bytes();
    let grown = growth(CONNECTIONS, rss, || {
        drop(UnixStream::connect(path).unwrap());
        connected += 1;
        if connected % 1_000 == 0 {
            broker.until(|page| {
                page.sum("corecast_accepts_total") == connected && page.sum("corecast_sessions") == 0
            });
        }
    });
    assert!(grown <= GROWTH_BYTES_MAX, "{CONNECTIONS} connections left {grown} bytes behind");
}

/// 200 bytes of each were lost once, and as many in the client whose publisher has to wait.
#[test]
fn sockets_that_do_not_take_a_message_at_once_leave_nothing() {
    const TEST: &str = "sockets_that_do_not_take_a_message_at_once_leave_nothing";
    if !child::is_child_of(TEST) {
        return child::run_to_success(TEST);
    }
    const MESSAGES: usize = 8_000;
    let _watchdog = watchdog::watch(TEST);
    let broker = BrokerProcess::start(Transport::Uds, &["--shards", "2"]);
    let mut subscriber = Subscriber::with_config(broker.client(), &["t".parse().unwrap()]).unwrap();
    let mut publisher = Publisher::with_config(broker.client()).unwrap();
    let topic = corecast::Topic::new("t").unwrap();
    // More than the kernel takes at a time: the rest waits until it has been read.
    let payload = vec![b'x'; 300 << 10];
    let rss = || broker.rss_bytes() + rss_bytes_of(std::process::id());
    let grown = growth(MESSAGES, rss, || {
        publisher.publish(&topic, &payload).unwrap();
        let event = subscriber.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
    });
    assert!(grown <= GROWTH_BYTES_MAX, "{MESSAGES} messages left {grown} bytes behind");
}

/// 64 bytes of each were lost once.
#[test]
fn objects_of_the_client_library_leave_nothing() {
    const TEST: &str = "objects_of_the_client_library_leave_nothing";
    if !child::is_child_of(TEST) {
        return child::run_to_success(TEST);
    }
    const OBJECTS: usize = 10_000;
    let _watchdog = watchdog::watch(TEST);
    let broker = BrokerProcess::start(Transport::Uds, &["--shards", "2"]);
    // It keeps the session that they share.
    let _stays = Publisher::with_config(broker.client()).unwrap();
    let filters = ["t".parse().unwrap()];
    let rss = || broker.rss_bytes() + rss_bytes_of(std::process::id());
    let grown = growth(OBJECTS, rss, || {
        drop(Publisher::with_config(broker.client()).unwrap());
        drop(Subscriber::with_config(broker.client(), &filters).unwrap());
    });
    assert!(grown <= GROWTH_BYTES_MAX, "{OBJECTS} publishers and subscribers left {grown} bytes behind");
}
