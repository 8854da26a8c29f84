//! The broker is killed under direct streams and started again: the streams lose nothing, and introductions go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast::PublisherId;
use corecast_executors::{pause, spawn_plain};

use super::book::Book;
use super::broker_process::{BrokerProcess, Transport};
use super::client_process::ClientProcess;
use super::follower::Follower;
use super::{DIRECT, PATIENCE, own_sessions, publisher, topic, watchdog};

/// In which everybody must be back after a broker has been started again.
const BACK_WITHIN: Duration = Duration::from_secs(2);

const ROUNDS: u64 = 3;

/// A publisher of this process, until it is stopped.
pub(crate) struct Load {
    pub(crate) id: PublisherId,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Load {
    /// A publisher that needs no broker.
    fn start(broker: &BrokerProcess, name: &str) -> Self {
        Self::start_with(broker, name, |flushed| flushed.expect("no broker is needed for that"))
    }

    /// A publisher that flushes each message, with this for what becomes of it.
    pub(crate) fn start_with(broker: &BrokerProcess, name: &str, flushed: fn(corecast::Result<()>)) -> Self {
        let (mut publisher, name) = (publisher(broker), topic(name));
        let (id, stop) = (publisher.id(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stop);
        let run = move || {
            let mut last = 0;
            while !told.load(Ordering::Relaxed) {
                last = publisher.publish(&name, &[b'x'; 100]).expect("a lost broker is no error");
                flushed(publisher.flush(PATIENCE));
                pause(Duration::from_millis(2));
            }
            publisher.close().expect("it ends in order");
            last
        };
        Load { id, stop, thread: spawn_plain("load", run).expect("a thread") }
    }

    /// Gives the number of its last message.
    pub(crate) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

fn killed_under_direct_streams(transport: Transport) {
    let mut broker = BrokerProcess::start(transport, DIRECT);
    let mut book = Book::of(&broker);
    let mut followers = [broker.client(), own_sessions(&broker)].map(|c| Follower::from_the_start(c, "t.*"));
    let _process = ClientProcess::publish(&broker, "t.process", &[]);
    let load = Load::start(&broker, "t.thread");
    let process = book.until_listed("t.process").publisher;
    let all_flows = |follower: &mut Follower| {
        follower.read_more(process, 50);
        follower.read_more(load.id, 50);
    };
    followers.iter_mut().for_each(all_flows);
    for round in 1..=ROUNDS {
        broker.kill();
        followers.iter_mut().for_each(all_flows);
        broker.start_again();
        let serves = Instant::now();
        // Each under a new epoch; the subscribers watch again.
        let epochs = ["t.process", "t.thread"].map(|name| book.until_listed_again(name, 1 + round).epoch);
        broker.until(|page| page.sum("corecast_subscriptions") == followers.len() as u64);
        let back = serves.elapsed();
        assert!(back <= BACK_WITHIN, "back after {back:?} in round {round}, {epochs:?}");

        let mut comer = Follower::late(own_sessions(&broker), "t.*");
        let (name, mut new) = (topic(&format!("t.{round}")), publisher(&broker));
        new.wait_for_subscribers(&name, 3, PATIENCE).expect("the old ones and the new one come");
        for _ in 0..20 {
            new.publish(&name, b"").expect("it is taken");
        }
        for follower in followers.iter_mut().chain([&mut comer]) {
            follower.read_until(new.id(), 20);
            all_flows(follower);
        }
        new.close().expect("it ends in order");
        assert_eq!(comer.gaps, []);
    }
    let id = load.id;
    let last = load.stop();
    for follower in &mut followers {
        follower.read_until(id, last);
        assert_eq!(follower.gaps, [], "nobody has missed anything");
    }
}

#[test]
fn streams_outlive_their_broker_and_everybody_finds_the_next_tcp() {
    let _watchdog = watchdog::watch("streams_outlive_their_broker_and_everybody_finds_the_next_tcp");
    killed_under_direct_streams(Transport::Tcp);
}

#[test]
fn streams_outlive_their_broker_and_everybody_finds_the_next_uds() {
    let _watchdog = watchdog::watch("streams_outlive_their_broker_and_everybody_finds_the_next_uds");
    killed_under_direct_streams(Transport::Uds);
}

/// A topic that begins while the broker is away: it is published, and a late subscriber gets a gap for its beginning.
#[test]
fn what_begins_while_the_broker_is_away_is_told_to_who_hears_of_it_later() {
    let _watchdog = watchdog::watch("what_begins_while_the_broker_is_away_is_told_to_who_hears_of_it_later");
    let mut broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut follower = Follower::from_the_start(own_sessions(&broker), "t");
    let mut publisher = publisher(&broker);
    broker.kill();
    let name = topic("t");
    for _ in 0..10 {
        publisher.publish(&name, b"").expect("a lost broker is no error");
    }
    broker.start_again();
    publisher.wait_for_subscribers(&name, 1, PATIENCE).expect("it comes");
    let last = publisher.publish(&name, b"").expect("it is taken");
    follower.read_until(publisher.id(), last);
    assert_eq!(follower.gaps.len(), 1, "{:?}", follower.gaps);
    publisher.close().expect("it ends in order");
}
