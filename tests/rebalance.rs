//! Sessions leave a shard whose core something else has, and no others do: with real sockets, and a real neighbour.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod watchdog;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast_executors::pause;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, geteuid};
use raw_client::{RawClient, Said, message};

/// Subscribers on both shards.
const SUBSCRIBERS: usize = 24;

/// Messages for those that do not read, 12 MiB.
const BACKLOG: u64 = 192;

/// Time limit of the moves, if the other core is not as busy as this one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two messages of each publisher.
const PACE: Duration = Duration::from_millis(10);

/// A process that never sleeps, at a higher priority, on one core. Ended with the test.
struct Neighbour(Child);

impl Neighbour {
    fn start(core: usize) -> Option<Self> {
        let mut command = Command::new("nice");
        command.args(["-n", "-10", "taskset", "-c", &core.to_string(), "sh", "-c", "while :; do :; done"]);
        command.stdin(Stdio::null()).spawn().ok().map(Neighbour)
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two cores that this process may use.
fn two_cores() -> Option<[usize; 2]> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let mut cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true));
    Some([cores.next()?, cores.next()?])
}

/// A broker with a shard on each of two cores.
fn start(cores: [usize; 2], args: &[&str]) -> BrokerProcess {
    let set = format!("{},{}", cores[0], cores[1]);
    // Subscribers say nothing until the end, which may be far where something else has both cores.
    let fixed = ["--cores", &set, "--shards", "2", "--heartbeat", "600s"];
    BrokerProcess::start(Transport::Tcp, &[&fixed[..], args].concat())
}

/// The next message of each of two publishers, and so many before.
struct Stream {
    publishers: [RawClient; 2],
    said: u64,
}

const TOPICS: [&str; 2] = ["a", "b"];

impl Stream {
    /// Two publishers, of which one is on each shard.
    fn begin(broker: &BrokerProcess) -> Self {
        let publishers = [(); 2].map(|()| RawClient::connect(broker.address()).open());
        Stream { publishers, said: 0 }
    }

    fn go_on(&mut self) {
        self.said += 1;
        for (publisher, topic) in self.publishers.iter_mut().zip(TOPICS) {
            publisher.send(&message(topic, b"payload", self.said));
        }
        pause(PACE);
    }

    /// Every subscriber has every message, once and in order.
    fn check(&self, subscribers: &mut [RawClient]) {
        for subscriber in subscribers {
            let mut heard = [0; 2];
            while heard != [self.said; 2] {
                match subscriber.next() {
                    Said::Message { topic, sequence, .. } => {
                        let at =
                            TOPICS.iter().position(|name| name.as_bytes() == topic).expect("one of them");
                        assert_eq!(sequence, heard[at] + 1, "on {}", TOPICS[at]);
                        heard[at] = sequence;
                    }
                    Said::Ping(_) => {}
                    other => panic!("{other:?} in the middle of a stream"),
                }
            }
        }
    }
}

/// Subscribers that do not read, one on each shard, with more waiting for them than the kernel takes.
fn stall(broker: &BrokerProcess, stream: &mut Stream) -> [RawClient; 2] {
    let stalled = [(); 2].map(|()| {
        let mut client = RawClient::connect_narrow(broker.address(), 16 << 10).open();
        client.subscribe("backlog");
        client
    });
    let payload = vec![7; 64 << 10];
    for number in 1..=BACKLOG {
        stream.publishers[0].send(&message("backlog", &payload, number));
    }
    broker.until(|page| page.sum("corecast_messages_in_total") == BACKLOG);
    stalled
}

/// Subscribers to both topics, on both shards.
fn subscribe(broker: &BrokerProcess) -> Vec<RawClient> {
    let subscriber = |_| {
        let mut client = RawClient::connect(broker.address()).open();
        TOPICS.iter().for_each(|topic| client.subscribe(topic));
        client
    };
    (0..SUBSCRIBERS).map(subscriber).collect()
}

#[test]
fn sessions_leave_a_core_that_a_neighbour_has_and_no_message_is_lost_or_doubled() {
    let _watchdog = watchdog::watch("rebalance, a neighbour");
    let Some(cores) = two_cores().filter(|_| geteuid().is_root()) else {
        return eprintln!("skipped: this needs two cores, and root for a neighbour at nice -10");
    };
    let broker = start(cores, &[]);
    let mut subscribers = subscribe(&broker);
    let mut stream = Stream::begin(&broker);
    let mut stalled = stall(&broker, &mut stream);
    let on_one = (SUBSCRIBERS as u64 + 4) / 2;
    let Some(neighbour) = Neighbour::start(cores[1]) else {
        return eprintln!("skipped: this needs nice and taskset");
    };
    let began = Instant::now();
    while broker.page().sum("corecast_sessions_moved_total") < on_one {
        for _ in 0..20 {
            stream.go_on();
        }
        if began.elapsed() > PATIENCE {
            stream.check(&mut subscribers);
            return eprintln!("skipped: something else has the other core as well");
        }
    }
    drop(neighbour);
    for _ in 0..20 {
        stream.go_on();
    }
    stream.check(&mut subscribers);
    for client in &mut stalled {
        for number in 1..=BACKLOG {
            let said = client.next();
            let is_next = matches!(&said, Said::Message { sequence, .. } if *sequence == number);
            assert!(is_next, "{said:?} in the place of {number}");
        }
    }
    let page = broker.page();
    assert_eq!(page.sum("corecast_sessions"), SUBSCRIBERS as u64 + 4, "nobody was lost on the way");
    assert!(broker.log().contains("its sessions move to other shards"), "{}", broker.log());
    // They are as good as any: they subscribe, and leave.
    subscribers[0].subscribe("another.topic");
    drop((subscribers, stalled));
    broker.until(|page| page.sum("corecast_sessions") == 2);
}

#[test]
fn with_the_option_off_no_session_moves() {
    let _watchdog = watchdog::watch("rebalance, off");
    let Some(cores) = two_cores().filter(|_| geteuid().is_root()) else {
        return eprintln!("skipped: this needs two cores, and root for a neighbour at nice -10");
    };
    let broker = start(cores, &["--rebalance", "off"]);
    let mut subscribers = subscribe(&broker);
    let mut stream = Stream::begin(&broker);
    let _neighbour = Neighbour::start(cores[1]);
    for _ in 0..300 {
        stream.go_on();
    }
    stream.check(&mut subscribers);
    let page = broker.page();
    assert_eq!((page.sum("corecast_sessions_moved_total"), page.sum("corecast_starved")), (0, 0));
}

#[test]
fn without_a_neighbour_no_session_moves() {
    let _watchdog = watchdog::watch("rebalance, nobody");
    let Some(cores) = two_cores() else {
        return eprintln!("skipped: this needs two cores");
    };
    let broker = start(cores, &[]);
    let mut subscribers = subscribe(&broker);
    let mut stream = Stream::begin(&broker);
    for _ in 0..300 {
        stream.go_on();
    }
    stream.check(&mut subscribers);
    let moved = broker.page().sum("corecast_sessions_moved_total");
    // On a machine that is busy with something else, that is a neighbour, and the log says so.
    assert!(moved == 0 || broker.log().contains("something else has this shard's core"), "{moved} moved");
}
