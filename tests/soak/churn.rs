//! Clients that come and go, a thread for each kind. Their topics are not those of the stream.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast::internals::wire::Frame;
use corecast::{ClientConfig, Filter, OverflowPolicy, Publisher, Sessions, Subscriber, Topic};
use corecast_executors::{pause, spawn_plain};

use super::broker_process::{BrokerProcess, corecast};
use super::gate::Gate;
use super::raw_client::RawClient;
use super::watchdog::LIMIT;
use super::zmtp_peer::ZmtpPeer;

/// Connections that one round of a kind makes, or so: a round should end soon after the gate closes.
const ROUND: usize = 20;

/// The most that one round of a subscriber receives.
const EVENTS: usize = 50;

/// Where the broker is.
#[derive(Clone, Debug)]
struct Broker {
    config: ClientConfig,
    address: SocketAddr,
    endpoint: String,
    door: PathBuf,
}

/// The number of kinds.
pub(crate) const KINDS_COUNT: usize = KINDS.len();

/// One round of a kind: when it returns, all of its connections are closed.
type Round = fn(&Broker);

/// Every kind, by name.
const KINDS: [(&str, Round); 8] = [
    ("subscribers", subscribers),
    ("publishers", publishers),
    ("strangers", strangers),
    ("unfinished", unfinished),
    ("resets", resets),
    ("stalled", stalled),
    ("zeromq", zeromq),
    ("killed", killed),
];

#[derive(Debug)]
pub(crate) struct Churn {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Churn {
    /// Starts every kind, behind this gate.
    pub(crate) fn start(process: &BrokerProcess, door: &Path, gate: &Arc<Gate>) -> Self {
        let broker = Broker {
            config: process.client().sessions(Sessions::PerSubscriber),
            address: process.address(),
            endpoint: process.endpoint().to_owned(),
            door: door.to_owned(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let threads = KINDS.map(|(name, round)| {
            let (broker, gate) = (broker.clone(), Arc::clone(gate));
            let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
            let run = move || {
                while !stop.load(Ordering::Acquire) {
                    gate.pass();
                    round(&broker);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            };
            spawn_plain(name, run).expect("a thread")
        });
        Churn { stop, rounds, threads: threads.into() }
    }

    /// Rounds of all kinds so far.
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Fails if a kind has given up: one that has panicked would never wait at the gate again.
    pub(crate) fn assert_alive(&self) {
        assert!(!self.threads.iter().any(JoinHandle::is_finished), "a client was not served as it should be");
    }

    /// Fails if one of them was not served as it should be.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().expect("whoever comes and goes is served");
        }
    }
}

pub(crate) fn pause_until(then: Instant) {
    pause(then.saturating_duration_since(Instant::now()));
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("a filter")
}

/// Subscribers of the library, which hear the stream and leave while it flows.
fn subscribers(broker: &Broker) {
    for policy in [OverflowPolicy::DropOldest, OverflowPolicy::Latest] {
        let config = broker.config.clone().overflow(Some(policy));
        let filters = [filter("soak.0.*"), filter("soak.*.1"), filter("churn.>")];
        let mut subscriber = Subscriber::with_config(config, &filters).expect("the broker answers");
        for _ in 0..EVENTS {
            subscriber.recv_timeout(LIMIT).expect("the session stands").expect("the stream flows");
        }
    }
}

/// Publishers of the library, which wait for a subscriber of theirs and flush.
fn publishers(broker: &Broker) {
    let topic = Topic::new("churn.published").expect("a topic");
    let filters = [filter("churn.published")];
    let mut subscriber = Subscriber::with_config(broker.config.clone(), &filters).expect("a subscriber");
    let mut publisher = Publisher::with_config(broker.config.clone()).expect("a publisher");
    publisher.wait_for_subscribers(&topic, 1, LIMIT).expect("it is there");
    for _ in 0..EVENTS {
        publisher.publish(&topic, b"churn").expect("the session stands");
    }
    publisher.flush(LIMIT).expect("all is taken");
    for _ in 0..EVENTS {
        subscriber.recv_timeout(LIMIT).expect("the session stands").expect("it was published");
    }
    publisher.close().expect("all was taken");
}

/// Peers that speak another protocol, or none.
fn strangers(broker: &Broker) {
    for _ in 0..ROUND {
        let mut web = RawClient::connect(broker.address);
        // The broker may have had enough before the last byte.
        let _ = web.try_send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        drop(web);
        drop(RawClient::connect(broker.address));
    }
}

/// Frames that never become whole, and sessions that say no farewell.
fn unfinished(broker: &Broker) {
    for _ in 0..ROUND / 4 {
        let mut client = RawClient::connect(broker.address).open();
        let begun = corecast::internals::wire::encode_to_vec(&Frame::Message {
            topic: b"churn.unfinished",
            payload: &[b'x'; 60_000],
            publisher: 1,
            sequence: 1,
            sent_at_ns: 0,
        });
        client.send_bytes(&begun[..begun.len() - 1]);
        drop(client);
    }
}

/// Many filters, then a reset while the stream flows.
fn resets(broker: &Broker) {
    for _ in 0..ROUND / 4 {
        let mut client = RawClient::connect(broker.address).open();
        for number in 0..100 {
            let name = format!("soak.{number}.>");
            client.send(&Frame::Subscribe {
                filter: name.as_bytes(),
                request: number,
                subscriber: number,
                kind: 1,
            });
        }
        client.reset();
    }
}

/// A subscriber that hears everything, reads nothing and asks all the time whether the broker lives.
fn stalled(broker: &Broker) {
    let mut client = RawClient::connect_narrow(broker.address, 16 << 10).open();
    client.send(&Frame::Subscribe { filter: b"soak.>", request: 1, subscriber: 1, kind: 1 });
    for token in 0..50 {
        if client.try_send_bytes(&corecast::internals::wire::encode_to_vec(&Frame::Ping { token })).is_err() {
            break;
        }
        pause(Duration::from_millis(10));
    }
    client.reset();
}

/// ZeroMQ sockets: subscribers with many prefixes, a publisher, and one that leaves in the middle of a message.
fn zeromq(broker: &Broker) {
    let mut subscriber = ZmtpPeer::open(&broker.door, "SUB");
    for number in 0..100 {
        subscriber.subscribe(format!("churn.{number}").as_bytes());
    }
    subscriber.subscribe(b"soak.1.");
    for _ in 0..EVENTS {
        assert_eq!(subscriber.message().len(), 2);
    }
    let mut publisher = ZmtpPeer::open(&broker.door, "PUB");
    for _ in 0..EVENTS {
        publisher.publish(&[b"churn.zeromq", b"payload"]);
    }
    publisher.send(&super::zmtp_peer::message(&[b"churn.zeromq", b"cut off"])[..10]);
}

/// Commands of users, one of them ended by kill -9.
fn killed(broker: &Broker) {
    let mut sub = corecast()
        .args(["sub", "soak.>", "-o", "json", "--broker", &broker.endpoint])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command can be started");
    let mut line = String::new();
    let stdout = sub.stdout.take().expect("it is piped");
    assert!(BufReader::new(stdout).read_line(&mut line).expect("text") > 0, "the stream flows");
    sub.kill().expect("it is ours");
    sub.wait().expect("a child can be waited for");
    let published = corecast()
        .args(["pub", "churn.command", "hi", "--broker", &broker.endpoint])
        .stderr(Stdio::null())
        .status()
        .expect("the command can be started");
    assert!(published.success(), "{published}");
}
