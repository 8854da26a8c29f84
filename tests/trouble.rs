//! Trouble for a broker and its clients: killed, started again, stopped, out of descriptors, cut off within a frame.
//! Messages arrive whole, missing ones are reported, and others do not notice.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod ended;
mod healthy_pair;
mod raw_client;
mod watchdog;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::internals::wire::{Frame, encode_to_vec};
use corecast::{
    ClientConfig, ErrorCode, ErrorKind, Event, Filter, Gap, GapReason, Publisher, Sessions, Subscriber, Topic,
};
use corecast_executors::{SAME_REQUEST, pause, spawn_plain};
use ended::Ended;
use healthy_pair::HealthyPair;
use nix::sys::signal::Signal;
use raw_client::{RawClient, Said, message};

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// In which clients must be back after a broker has been started again.
const BACK_WITHIN: Duration = Duration::from_secs(2);

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

fn subscriber(config: ClientConfig, filter: &str) -> Subscriber {
    Subscriber::with_config(config, &[Filter::parse(filter).expect("a filter")]).expect("a subscriber")
}

fn own_sessions(broker: &BrokerProcess) -> ClientConfig {
    broker.client().sessions(Sessions::PerSubscriber)
}

fn next(subscriber: &mut Subscriber) -> Event {
    subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more")
}

/// Publishes numbers until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(config: ClientConfig, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, topic) = (Arc::clone(&stop), topic(name));
        let mut publisher = Publisher::with_config(config).expect("a publisher");
        let run = move || {
            while !told.load(Ordering::Relaxed) {
                for _ in 0..50 {
                    publisher.publish(&topic, &[b'x'; 500]).expect("a lost broker is no error");
                }
                pause(Duration::from_millis(1));
            }
        };
        Load { stop, thread: spawn_plain("load", run).expect("a thread") }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
    }
}

/// Reads until the gap of a reconnect, and then a message; gives when the gap came. Sequences grow all the time.
fn until_back(subscriber: &mut Subscriber, last: &mut u64) -> Instant {
    let mut told = None;
    loop {
        match next(subscriber) {
            Event::Message(message) => {
                assert!(message.sequence > *last, "{} after {last}", message.sequence);
                assert!(
                    told.is_some() || message.sequence == *last + 1 || *last == 0,
                    "a loss that is not told"
                );
                *last = message.sequence;
                if let Some(told) = told {
                    return told;
                }
            }
            Event::Gap(Gap { topic: None, missed: None, reason: GapReason::Reconnect }) => {
                assert_eq!(told.replace(Instant::now()), None, "one loss is told once");
            }
            // The publisher's own notice, that it does not know what of its last messages was taken.
            Event::Gap(Gap { missed: None, reason: GapReason::Publisher, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The sequence of the next message. One loss is one gap: it is not reported again when all shards know of it.
fn next_message(subscriber: &mut Subscriber) -> u64 {
    match next(subscriber) {
        Event::Message(message) => message.sequence,
        other => panic!("{other:?} before the trouble"),
    }
}

fn killed_under_load_and_started_again(transport: Transport) {
    let mut broker = BrokerProcess::start(transport, &["--shards", "2"]);
    let mut subscribers: Vec<(Subscriber, u64)> = (0..4)
        .map(|i| if i < 2 { broker.client() } else { own_sessions(&broker) })
        .map(|config| (subscriber(config, "load.*"), 0))
        .collect();
    let load = Load::start(own_sessions(&broker), "load.x");
    for round in 0..5 {
        for (subscriber, last) in &mut subscribers {
            *last = next_message(subscriber);
        }
        broker.kill();
        broker.start_again();
        let serves = Instant::now();
        std::thread::scope(|threads| {
            for (subscriber, last) in &mut subscribers {
                threads.spawn(move || {
                    let back = until_back(subscriber, last).saturating_duration_since(serves);
                    assert!(back <= BACK_WITHIN, "back after {back:?} in round {round}");
                });
            }
        });
    }
    load.stop();
}

#[test]
fn a_broker_killed_under_load_and_started_again_has_its_clients_back_tcp() {
    let _watchdog = watchdog::watch("a_broker_killed_under_load_and_started_again_has_its_clients_back_tcp");
    killed_under_load_and_started_again(Transport::Tcp);
}

#[test]
fn a_broker_killed_under_load_and_started_again_has_its_clients_back_uds() {
    let _watchdog = watchdog::watch("a_broker_killed_under_load_and_started_again_has_its_clients_back_uds");
    // The socket file of the one that was killed is in the way, and nobody's.
    killed_under_load_and_started_again(Transport::Uds);
}

#[test]
fn a_publisher_learns_that_it_may_have_lost_messages_and_goes_on() {
    let _watchdog = watchdog::watch("a_publisher_learns_that_it_may_have_lost_messages_and_goes_on");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let t = topic("t");
    publisher.publish(&t, b"1").expect("it is taken");
    publisher.flush(PATIENCE).expect("all is taken");
    broker.freeze();
    publisher.publish(&t, b"2").expect("it is queued");
    let error = publisher.flush(Duration::from_millis(100)).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    broker.kill();
    // Published while nobody is there, and held until somebody is.
    for number in 3..=1000_u64 {
        assert_eq!(publisher.publish(&t, b"later").expect("it is queued"), number);
    }
    broker.start_again();
    let mut late = subscriber(own_sessions(&broker), "t");
    let error = publisher.flush(PATIENCE).expect_err("2 may be lost");
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    publisher.publish(&t, b"last").expect("it is taken");
    publisher.flush(PATIENCE).expect("the loss was told, once");
    loop {
        if let Event::Message(message) = next(&mut late)
            && message.payload == b"last"[..]
        {
            break;
        }
    }
    publisher.close().expect("all is taken");
}

/// Runs a broker that cannot start, and gives what it says.
fn cannot_start(endpoint: &str) -> Output {
    corecast().args(["broker", "--listen", endpoint]).output().expect("the command can be started")
}

#[test]
fn a_taken_address_is_an_error_that_names_it() {
    let _watchdog = watchdog::watch("a_taken_address_is_an_error_that_names_it");
    for transport in [Transport::Tcp, Transport::Uds] {
        let broker = BrokerProcess::start(transport, &["--shards", "1"]);
        let Output { status, stdout, stderr } = cannot_start(broker.endpoint());
        let said = String::from_utf8(stderr).expect("text");
        assert_eq!((status.code(), stdout), (Some(1), Vec::new()), "{said}");
        assert!(said.contains("error: ") && said.contains(broker.endpoint()), "{said}");
        // The first has not noticed, and has its socket file still.
        HealthyPair::start(&broker.client()).assert_well();
    }
}

#[test]
fn a_file_that_is_no_socket_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").expect("a file");
    let Output { status, stderr, .. } = cannot_start(&format!("uds://{}", path.display()));
    assert_eq!(status.code(), Some(1), "{}", String::from_utf8_lossy(&stderr));
    assert_eq!(std::fs::read(&path).expect("it is there"), b"data");
}

#[test]
fn a_publisher_cut_off_in_a_frame_delivers_what_was_whole_and_nothing_else() {
    let _watchdog =
        watchdog::watch("a_publisher_cut_off_in_a_frame_delivers_what_was_whole_and_nothing_else");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut subscriber = subscriber(broker.client(), "t");
    for length in [1, 1000, 300_000] {
        let payload = vec![b'x'; length];
        for (round, reset) in [false, true, false, true].into_iter().enumerate() {
            let mut publisher = RawClient::connect(broker.address()).open();
            let whole = encode_to_vec(&message("t", &payload, 1));
            let second = encode_to_vec(&message("t", &payload, 2));
            let half = &second[..(second.len() - 1) >> round];
            publisher.send_bytes(&[&whole[..], half].concat());
            let Event::Message(message) = next(&mut subscriber) else { panic!("a gap") };
            assert_eq!((message.sequence, message.payload.len()), (1, length));
            // A reset may destroy what was sent before and not read yet, so it comes when that is known to be.
            if reset {
                publisher.reset();
            }
        }
    }
    // Whatever else there was would have come before this.
    broker.until(|page| page.sum("corecast_sessions") == 1);
    let mut last = RawClient::connect(broker.address()).open();
    last.send(&message("t", b"last", 9));
    let Event::Message(message) = next(&mut subscriber) else { panic!("a gap") };
    assert_eq!(message.sequence, 9);
}

#[test]
fn a_publisher_process_killed_under_load_leaves_whole_messages() {
    let _watchdog = watchdog::watch("a_publisher_process_killed_under_load_leaves_whole_messages");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--overflow", "block"]);
    let mut subscriber = subscriber(broker.client(), "t");
    let command = corecast()
        .args(["pub", "t", "--count", "100000000", "--size", "5000", "--broker", broker.endpoint()])
        .stderr(Stdio::null())
        .spawn();
    let mut publisher = Some(Ended(command.expect("the command can be started")));
    let mut last = 0;
    while let Some(event) = match &publisher {
        Some(_) => Some(next(&mut subscriber)),
        None => subscriber.recv_timeout(Duration::from_millis(500)).expect("the session stands"),
    } {
        let Event::Message(message) = event else { panic!("a gap, under block") };
        assert_eq!(message.sequence, last + 1);
        last = message.sequence;
        assert_eq!(message.payload, format!("{last:05000}").as_bytes());
        if last == 5000 {
            publisher = None;
        }
    }
    assert!(last >= 5000);
}

#[test]
fn a_subscriber_process_killed_under_load_is_nobody_elses_affair() {
    let _watchdog = watchdog::watch("a_subscriber_process_killed_under_load_is_nobody_elses_affair");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let healthy = HealthyPair::start(&broker.client());
    let load = Load::start(own_sessions(&broker), "load.x");
    for _ in 0..5 {
        let command = corecast()
            .args(["sub", "load.*", "healthy.>", "--broker", broker.endpoint()])
            .stdout(Stdio::null())
            .spawn();
        let subscriber = Ended(command.expect("the command can be started"));
        let before =
            broker.until(|page| page.sum("corecast_subscriptions") == 3).sum("corecast_deliveries_total");
        broker.until(|page| page.sum("corecast_deliveries_total") > before + 1000);
        drop(subscriber);
        broker.until(|page| page.sum("corecast_subscriptions") == 1);
    }
    load.stop();
    healthy.assert_well();
}

#[test]
fn out_of_descriptors_the_broker_serves_whom_it_has_and_the_others_when_there_is_room() {
    let _watchdog =
        watchdog::watch("out_of_descriptors_the_broker_serves_whom_it_has_and_the_others_when_there_is_room");
    let limited = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let broker = BrokerProcess::start_under(&limited, Transport::Tcp, &["--shards", "2"]);
    let healthy = HealthyPair::start(&broker.client());
    // The kernel takes these connections; the broker cannot accept them all.
    let mut clients: Vec<RawClient> = (0..100).map(|_| RawClient::connect(broker.address())).collect();
    for client in &mut clients {
        client.send_bytes(&corecast::internals::wire::greeting::ours());
        client.send(&Frame::Hello { name: "raw", overflow: 0, previous: 0, ticket: 0 });
    }
    let (mut served, mut waiting) = (Vec::new(), Vec::new());
    for client in clients {
        // They are accepted in order: after the first that waits, all wait.
        let patience = Duration::from_millis(if waiting.is_empty() { 2000 } else { 1 });
        if client.is_answered_within(patience) { &mut served } else { &mut waiting }.push(client);
    }
    assert!(!served.is_empty() && !waiting.is_empty(), "{} are served, {} wait", served.len(), waiting.len());
    drop(served);
    for mut client in waiting {
        client.take_greeting();
        assert!(matches!(client.next(), Said::Welcome { .. }));
        // It leaves here, and makes room for another.
    }
    let page = broker.until(|page| page.sum("corecast_sessions") <= 2);
    assert!(page.sum("corecast_accept_errors_total") > 0);
    healthy.assert_well();
}

/// A reader of a narrow socket, and what it has to read: so many messages that wait in the broker.
fn slow_reader(broker: &BrokerProcess, messages: u64) -> RawClient {
    let mut reader = RawClient::connect_narrow(broker.address(), 16 << 10).open();
    reader.subscribe("t");
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    for _ in 0..messages {
        publisher.publish(topic("t"), &[b'x'; 30_000]).expect("it is taken");
    }
    publisher.flush(PATIENCE).expect("all is taken");
    reader
}

/// Reads all of it, slowly, and the farewell.
fn assert_drained(mut reader: RawClient, messages: u64) {
    for sequence in 1..=messages {
        match reader.next() {
            Said::Message { sequence: there, .. } => assert_eq!(there, sequence),
            other => panic!("message {sequence}, not {other:?}"),
        }
        if sequence.is_multiple_of(20) {
            pause(Duration::from_millis(20));
        }
    }
    let (code, text) = reader.refused();
    assert_eq!(code, ErrorCode::ShuttingDown, "{text}");
}

#[test]
fn a_broker_that_is_asked_to_stop_drains() {
    const MESSAGES: u64 = 500;
    let _watchdog = watchdog::watch("a_broker_that_is_asked_to_stop_drains");
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("second.sock");
    let second = format!("uds://{}", socket.display());
    let args = ["--shards", "2", "--listen", &second, "--drain-timeout", "30"];
    // Under nohup a broker inherits that hangups are ignored, and ignores them.
    let hangups_count = ["env", "--default-signal=HUP"];
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGXCPU] {
        let mut broker = BrokerProcess::start_under(&hangups_count, Transport::Tcp, &args);
        let reader = slow_reader(&broker, MESSAGES);
        let silent = RawClient::connect(broker.address());
        let other = RawClient::connect(broker.address()).open();
        assert!(socket.exists());
        broker.signal(signal);
        assert_eq!(silent.refused().0, ErrorCode::ShuttingDown);
        assert_eq!(other.refused().0, ErrorCode::ShuttingDown);
        assert_drained(reader, MESSAGES);
        assert_eq!(broker.wait().code(), Some(0));
        assert!(!socket.exists());
    }
}

#[test]
fn health_says_that_a_broker_drains() {
    const MESSAGES: u64 = 500;
    let _watchdog = watchdog::watch("health_says_that_a_broker_drains");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--drain-timeout", "1h"]);
    let reader = slow_reader(&broker, MESSAGES);
    assert_eq!(broker.get("/health").1, "ok\n");
    broker.signal(Signal::SIGTERM);
    loop {
        match broker.get("/health") {
            (_, ok) if ok == "ok\n" => pause(Duration::from_millis(10)),
            (head, text) => {
                assert!(head.starts_with("HTTP/1.1 200 "), "it lives: {head}");
                assert_eq!(text, "draining\n");
                let (head, text) = broker.get("/readyz");
                assert!(head.starts_with("HTTP/1.1 503 "), "it takes nobody: {head}");
                assert_eq!(text, "draining\n");
                break;
            }
        }
    }
    assert_drained(reader, MESSAGES);
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_drain_that_runs_out_of_time_says_what_is_lost() {
    let _watchdog = watchdog::watch("a_drain_that_runs_out_of_time_says_what_is_lost");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--drain-timeout", "500ms"]);
    let reader = slow_reader(&broker, 500);
    let start = Instant::now();
    assert_eq!(broker.stop().code(), Some(27));
    assert!(start.elapsed() >= Duration::from_millis(400));
    let log = broker.log();
    let warning =
        log.lines().find(|line| line.contains("the drain timeout is over")).expect("a line about it");
    assert!(warning.contains("WARN") && warning.contains("sessions=1 messages="), "{warning}");
    let error = log.lines().find(|line| line.starts_with("error: ")).expect("why it failed");
    assert!(error.contains("1 sessions were cut off"), "{error}");
    drop(reader);
}

#[test]
fn who_has_all_and_stays_costs_a_drain_its_time_and_no_error() {
    let _watchdog = watchdog::watch("who_has_all_and_stays_costs_a_drain_its_time_and_no_error");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--drain-timeout", "500ms"]);
    let silent = RawClient::connect(broker.address()).open();
    assert_eq!(broker.stop().code(), Some(0));
    drop(silent);
}

#[test]
fn a_second_signal_ends_a_drain_with_exit_code_1() {
    let _watchdog = watchdog::watch("a_second_signal_ends_a_drain_with_exit_code_1");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--drain-timeout", "1h"]);
    let reader = slow_reader(&broker, 500);
    let watcher = RawClient::connect(broker.address()).open();
    broker.signal(Signal::SIGTERM);
    assert_eq!(watcher.refused().0, ErrorCode::ShuttingDown);
    pause(SAME_REQUEST);
    broker.signal(Signal::SIGTERM);
    let status = broker.wait();
    assert_eq!((status.code(), status.signal()), (Some(1), None));
    drop(reader);
}

#[test]
fn the_next_broker_takes_the_socket_of_one_that_drains_and_keeps_it() {
    let _watchdog = watchdog::watch("the_next_broker_takes_the_socket_of_one_that_drains_and_keeps_it");
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("shared.sock");
    let shared = format!("uds://{}", socket.display());
    let args = ["--shards", "2", "--listen", &shared, "--drain-timeout", "30"];
    let mut old = BrokerProcess::start(Transport::Tcp, &args);
    let reader = slow_reader(&old, 500);
    let watcher = RawClient::connect(old.address()).open();
    old.signal(Signal::SIGTERM);
    assert_eq!(watcher.refused().0, ErrorCode::ShuttingDown);
    let new = BrokerProcess::start(Transport::Tcp, &args);
    assert_drained(reader, 500);
    assert_eq!(old.wait().code(), Some(0));
    let config = ClientConfig::new(shared.parse().expect("an endpoint"));
    HealthyPair::start(&config).assert_well();
    drop(new);
}

#[test]
fn what_was_flushed_before_the_end_arrives() {
    let _watchdog = watchdog::watch("what_was_flushed_before_the_end_arrives");
    for round in 0..8_u64 {
        let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "3", "--overflow", "block"]);
        let mut subscriber = subscriber(own_sessions(&broker), "t");
        let flushed = Arc::new(AtomicU64::new(0));
        let publishers: Vec<_> = (0..2).map(|_| flushing(&broker, &flushed)).collect();
        while flushed.load(Ordering::Relaxed) < 20 + 30 * round {
            pause(Duration::from_micros(100));
        }
        assert_eq!(broker.stop().code(), Some(0));
        let mut last = std::collections::HashMap::new();
        // The subscriber connects again and again; what came before the end is in its queue.
        while let Some(event) = subscriber.recv_timeout(Duration::from_millis(200)).expect("it tries again") {
            if let Event::Message(message) = event {
                last.insert(message.publisher, message.sequence);
            }
        }
        for publisher in publishers {
            let (id, flushed) = publisher.join().expect("no panic");
            let there = last.get(&id).copied().unwrap_or(0);
            assert!(there >= flushed, "{flushed} were flushed, {there} have come, in round {round}");
        }
    }
}

/// Publishes and flushes one message after another until that fails. Returns the publisher and the flushed messages.
fn flushing(
    broker: &BrokerProcess,
    all: &Arc<AtomicU64>,
) -> std::thread::JoinHandle<(corecast::PublisherId, u64)> {
    let mut publisher = Publisher::with_config(own_sessions(broker)).expect("a publisher");
    let (t, all) = (topic("t"), Arc::clone(all));
    let run = move || {
        let mut flushed = 0;
        loop {
            let published = publisher.publish(&t, &[b'x'; 100]).expect("it is queued");
            if publisher.flush(Duration::from_secs(1)).is_err() {
                return (publisher.id(), flushed);
            }
            flushed = published;
            all.fetch_add(1, Ordering::Relaxed);
        }
    };
    spawn_plain("flushing", run).expect("a thread")
}

#[test]
fn a_client_tries_every_address_of_its_broker() {
    let _watchdog = watchdog::watch("a_client_tries_every_address_of_its_broker");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let localhost = format!("tcp://localhost:{}", broker.address().port());
    // Where localhost is ::1 first, nobody listens there.
    let mut publisher = Publisher::connect(&localhost).expect("one of them answers");
    publisher.publish(topic("t"), b"").expect("it is taken");
    publisher.close().expect("all is taken");
}

#[test]
fn a_client_gives_up_a_broker_that_is_not_there_or_says_nothing() {
    let _watchdog = watchdog::watch("a_client_gives_up_a_broker_that_is_not_there_or_says_nothing");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let ports = [silent.local_addr(), closed.local_addr()].map(|at| at.expect("a port").port());
    drop(closed);
    for port in ports {
        let endpoint = format!("tcp://127.0.0.1:{port}");
        let connect_timeout = Duration::from_millis(300);
        let config =
            ClientConfig::new(endpoint.parse().expect("an endpoint")).connect_timeout(connect_timeout);
        let start = Instant::now();
        let error = Publisher::with_config(config).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains(&endpoint), "{error}");
        // By a clock of 10 ms.
        assert!(start.elapsed() + Duration::from_millis(20) >= connect_timeout);
        assert!(start.elapsed() < Duration::from_secs(4), "the handshake's 5 s are not waited for");
    }
}
