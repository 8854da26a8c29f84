//! Upgrades: one broker that is started again at a socket that stays, signals that come at once, and a new version that does not
//! start.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, AsRawFd as _};

use corecast::{Brokers, ClientConfig, Sessions};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;

use super::broker_process::{BrokerProcess, Transport, corecast};
use super::numbers::{Crowd, Listener, Numbers, report};
use super::{client_of, drain, start, subscribers, watchdog};

/// A socket that a service manager keeps, and the broker that it starts at it.
struct Kept {
    broker: BrokerProcess,
    client: ClientConfig,
    _socket: TcpListener,
}

impl Kept {
    fn start(args: &[&str]) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
        // Other shells take descriptors of one digit alone.
        let runner = format!("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&{}", socket.as_raw_fd());
        let endpoint = format!("tcp://{}", socket.local_addr().expect("it has one"));
        let all = [&["--listen", &endpoint, "--shards", "2"], args].concat();
        let broker = BrokerProcess::start_under(&["bash", "-c", &runner], Transport::Tcp, &all);
        let brokers: Brokers = endpoint.parse().expect("an endpoint");
        let client = ClientConfig::default().broker(brokers).sessions(Sessions::PerSubscriber);
        Kept { broker, client, _socket: socket }
    }

    /// Subscribers, and numbers that are published without a pause, while the broker is stopped in order and started again so often.
    fn restarted(&mut self, config: &ClientConfig, times: u32) -> (u64, Vec<Listener>) {
        let listeners: Vec<Listener> = (0..subscribers()).map(|_| Listener::new(config.clone())).collect();
        let count = listeners.len() as u64;
        let crowd = Crowd::start_all(listeners);
        let numbers = Numbers::start(self.client.clone());
        for _ in 0..times {
            self.broker.until(|page| page.sum("corecast_deliveries_total") >= 100 * count);
            assert_eq!(self.broker.stop().code(), Some(0), "{}", self.broker.log());
            self.broker.start_again();
        }
        self.broker.until(|page| page.sum("corecast_deliveries_total") >= 100 * count);
        let sent = numbers.stop();
        (sent, crowd.into_iter().flat_map(|crowd| crowd.end(sent)).collect())
    }
}

#[test]
fn nothing_is_lost_or_told_when_a_broker_with_history_is_started_again() {
    let _watchdog = watchdog::watch("nothing_is_lost_or_told_when_a_broker_with_history_is_started_again");
    let mut kept = Kept::start(&["--keep", "n=5m"]);
    let config = kept.client.clone().resume(true);
    let (sent, listeners) = kept.restarted(&config, 2);
    report("one broker with history, started again twice", sent, &listeners);
    for listener in &listeners {
        assert_eq!((listener.told, listener.all_gaps), (0, 0), "no gap, and nothing lost");
    }
}

#[test]
fn what_is_lost_is_told_when_a_broker_without_history_is_started_again() {
    let _watchdog = watchdog::watch("what_is_lost_is_told_when_a_broker_without_history_is_started_again");
    let mut kept = Kept::start(&[]);
    // They ask for what the broker does not have.
    let config = kept.client.clone().resume(true);
    let (sent, listeners) = kept.restarted(&config, 1);
    report("one broker without history, started again", sent, &listeners);
    assert!(listeners.iter().all(|listener| listener.all_gaps > 0), "each of them may have missed something");
}

#[test]
fn a_broker_that_is_killed_is_a_gap_though_the_next_one_has_history() {
    let _watchdog = watchdog::watch("a_broker_that_is_killed_is_a_gap_though_the_next_one_has_history");
    let mut kept = Kept::start(&["--keep", "n=5m"]);
    let mut listener = Listener::new(kept.client.clone().resume(true));
    let numbers = Numbers::start(kept.client.clone());
    listener.until(100);
    kept.broker.kill();
    kept.broker.start_again();
    let now = listener.last;
    listener.until(now + 100);
    listener.until(numbers.stop_after_a_kill());
    assert!(listener.all_gaps > 0, "nobody knows what it had taken and not delivered");
}

#[test]
fn a_stop_a_drain_and_a_reload_at_once_are_a_stop_in_order() {
    let _watchdog = watchdog::watch("a_stop_a_drain_and_a_reload_at_once_are_a_stop_in_order");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("broker.toml");
    fs::write(&file, "log-level = \"debug\"\n").expect("written");
    let file = file.display().to_string();
    let orders = [
        [Signal::SIGTERM, Signal::SIGUSR2, Signal::SIGHUP],
        [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGTERM],
        [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGUSR2],
        [Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGHUP],
    ];
    for order in orders {
        let args = ["--shards", "1", "--config", &file, "--drain-spread", "60s"];
        let mut a = start(&args);
        let b = start(&["--shards", "1"]);
        let config = client_of(&[&a, &b]);
        let mut listener = Listener::new(config.clone());
        let numbers = Numbers::start(config);
        listener.until(20);
        for _ in 0..20 {
            order.iter().filter(|signal| **signal != Signal::SIGTERM).for_each(|signal| a.signal(*signal));
        }
        order.iter().for_each(|signal| a.signal(*signal));
        assert_eq!(a.wait().code(), Some(0), "{order:?}: {}", a.log());
        assert!(!a.log().contains("asked again to stop"), "{order:?}: {}", a.log());
        b.until(|page| page.sum("corecast_subscriptions") == 1);
        let now = listener.last;
        listener.until(now + 20);
        listener.until(numbers.stop());
    }
}

#[test]
fn a_new_version_that_does_not_start_leaves_clients_where_they_are() {
    let _watchdog = watchdog::watch("a_new_version_that_does_not_start_leaves_clients_where_they_are");
    let mut a = start(&["--shards", "1"]);
    let b = start(&["--shards", "1"]);
    let config = client_of(&[&a, &b]);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config);
    listener.until(20);
    // At the address of one that serves: before it ends.
    refused_at(&a, &[], "listens there");
    refused_at(&a, &["--keep", "n=often"], "--keep");
    let now = listener.last;
    listener.until(now + 220);
    assert_eq!(listener.all_gaps, 0, "nobody has noticed");
    // Behind a drain: the other one goes on.
    drain(&a, b.endpoint(), "0");
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    b.until(|page| page.sum("corecast_sessions") == 2);
    let gaps = listener.all_gaps;
    listener.until(listener.last + 20);
    for _ in 0..3 {
        refused_at(&a, &["--keep", "n=often"], "--keep");
    }
    let now = listener.last;
    listener.until(now + 100);
    assert_eq!(b.page().sum("corecast_sessions"), 2);
    assert!(listener.all_gaps <= gaps + 1, "none but that of the drain");
    listener.until(numbers.stop());
}

/// Another version at the address of a broker, with these options: it does not start, and says why.
fn refused_at(broker: &BrokerProcess, args: &[&str], why: &str) {
    let mut command = corecast();
    command.args(["broker", "--shards", "1", "--listen", broker.endpoint()]).args(args);
    let output = command.output().expect("the command runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(why), "{said}");
}
