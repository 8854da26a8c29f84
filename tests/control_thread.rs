//! The HTTP server on the control thread: every connection is bounded, nobody keeps others waiting, and the thread can
//! hang without delaying a message. `/health` fails if a shard stalls.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod ended;
mod one_thread;
mod watchdog;

use std::convert::Infallible;
use std::future::pending;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::internals::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, SHARD_SILENCE_MAX};
use corecast::{Broker, BrokerConfig, Endpoint, Event, Filter, Publisher, Sessions, Subscriber, Topic};
use corecast_executors::{RecvTimeout, link, pause};
use ended::Ended;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use one_thread::Held;
use watchdog::LIMIT;

/// Time for which the control thread is held.
const HOLD: Duration = Duration::from_secs(2);

fn connect(broker: &BrokerProcess) -> TcpStream {
    let peer = TcpStream::connect(broker.metrics()).expect("it serves HTTP");
    peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
    peer
}

/// All that is answered to these bytes.
fn exchange(broker: &BrokerProcess, request: &str) -> String {
    let mut peer = connect(broker);
    peer.write_all(request.as_bytes()).expect("room for a request");
    read_all(&mut peer)
}

fn read_all(peer: &mut impl std::io::Read) -> String {
    let mut answer = String::new();
    peer.read_to_string(&mut answer).expect("an answer, and its end");
    answer
}

fn get(broker: &BrokerProcess, path: &str) -> String {
    exchange(broker, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
}

#[test]
fn pages_have_types_lengths_and_heads() {
    let _watchdog = watchdog::watch("pages_have_types_lengths_and_heads");
    let broker = BrokerProcess::start(Transport::Uds, &["--shards", "2"]);
    // Shards register as they begin, a moment after the broker says that it serves.
    broker.until(|page| page.sum("corecast_ticks_total") > 0);
    let metrics = get(&broker, "/metrics?x=1");
    let (head, page) = metrics.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(page.contains("\ncorecast_sessions{shard=\"1\"} 0\n"), "{page}");
    assert!(page.contains("\n# TYPE corecast_log_lines_dropped_total counter\n"), "{page}");

    let accept =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let metrics = exchange(&broker, &format!("GET /metrics HTTP/1.1\r\nHost: test\r\n{accept}\r\n"));
    let (head, page) = metrics.split_once("\r\n\r\n").expect("a head and a body");
    let open = "\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(open), "{head}");
    assert!(page.contains("\ncorecast_sessions{shard=\"1\"} 0\n") && page.ends_with("\n# EOF\n"), "{page}");
    read_by_python(page);

    let health = get(&broker, "/health");
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nok\n"), "{health}");
    assert!(exchange(&broker, "GET /health HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nok\n"));
    let head = exchange(&broker, "HEAD /health HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

/// Has the reference parser of OpenMetrics read a page, in the virtual environment that `scripts/python-env.sh` makes.
fn read_by_python(page: &str) {
    let root = env!("CARGO_MANIFEST_DIR");
    let env = Command::new(format!("{root}/scripts/python-env.sh")).output().expect("the script is there");
    assert!(env.status.success(), "no Python: {}", String::from_utf8_lossy(&env.stderr));
    let python = String::from_utf8(env.stdout).expect("a path");
    let mut parser = Command::new(python.trim());
    parser.arg(format!("{root}/tests/python/open_metrics.py")).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut parser = parser.spawn().expect("it can be started");
    parser.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("it reads all");
    let done = parser.wait_with_output().expect("it is ours");
    assert!(done.status.success(), "{}\n{page}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn pages_at_a_socket_file_are_for_those_who_may_connect_to_it() {
    let _watchdog = watchdog::watch("pages_at_a_socket_file_are_for_those_who_may_connect_to_it");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("metrics");
    let mut command = corecast();
    command.args(["broker", "--listen", "tcp://127.0.0.1:0", "--shards", "1", "--socket-mode", "0600"]);
    command.arg("--metrics").arg(&path).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut broker = Ended(command.spawn().expect("the command can be started"));
    let stdout = broker.0.stdout.take().expect("it is piped");
    let mut ready = String::new();
    BufReader::new(stdout).read_line(&mut ready).expect("a line");
    assert!(ready.ends_with(&format!(" metrics=uds://{}\n", path.display())), "{ready}");
    let mode = std::fs::metadata(&path).expect("it listens there").mode();
    assert_eq!(mode & 0o777, 0o600, "it has the mode of all socket files");
    for (page, part) in [
        ("/health", "\r\n\r\nok\n"),
        ("/metrics", "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
    ] {
        let mut peer = UnixStream::connect(&path).expect("it serves HTTP");
        peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
        write!(peer, "GET {page} HTTP/1.1\r\nHost: test\r\n\r\n").expect("room for a request");
        let answer = read_all(&mut peer);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains(part), "{answer}");
    }
    let pid = Pid::from_raw(i32::try_from(broker.0.id()).expect("Linux has no longer pids"));
    kill(pid, Signal::SIGTERM).expect("it runs");
    assert_eq!(broker.0.wait().expect("it is ours").code(), Some(0));
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0, "it takes its file away");
}

#[test]
fn what_else_is_asked_is_refused() {
    let _watchdog = watchdog::watch("what_else_is_asked_is_refused");
    let broker = BrokerProcess::start(Transport::Uds, &[]);
    assert!(get(&broker, "/nothing").starts_with("HTTP/1.1 404 "));
    let post = exchange(&broker, "POST /metrics HTTP/1.1\r\nHost: test\r\ncontent-length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nallow: GET, HEAD\r\n"), "{post}");
    assert!(exchange(&broker, "\x16\x03\x01 TLS\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}", "x".repeat(HTTP_HEAD_BYTES_MAX));
    assert!(exchange(&broker, &long).starts_with("HTTP/1.1 431 "));
}

#[test]
fn a_scrape_passes_those_that_hold_connections() {
    let _watchdog = watchdog::watch("a_scrape_passes_those_that_hold_connections");
    let broker = BrokerProcess::start(Transport::Uds, &[]);
    let idle: Vec<_> = (0..11).map(|_| connect(&broker)).collect();
    assert!(get(&broker, "/metrics").starts_with("HTTP/1.1 200 "));
    assert!(!idle.iter().any(has_ended), "it was answered before them, not after");
    // More than there is room for, each with a request that never ends.
    let mut slow: Vec<_> = (0..2 * HTTP_CONNECTIONS_MAX).map(|_| connect(&broker)).collect();
    for peer in &mut slow {
        // The oldest may be gone by now.
        let _ = peer.write_all(b"GET /metrics HTTP/1.1\r\nHost: t");
    }
    assert!(get(&broker, "/metrics").starts_with("HTTP/1.1 200 "));
    // Those that gave way see the end; the others have their time.
    let ended = idle.iter().chain(&slow).filter(|peer| has_ended(peer)).count();
    assert!(ended >= idle.len() + HTTP_CONNECTIONS_MAX, "{ended}");
}

/// True if the server has ended a connection on which it never says anything.
fn has_ended(mut peer: &TcpStream) -> bool {
    peer.set_nonblocking(true).expect("a socket");
    !peer.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
}

#[test]
fn whoever_never_ends_a_request_is_cut_off() {
    let _watchdog = watchdog::watch("whoever_never_ends_a_request_is_cut_off");
    let broker = BrokerProcess::start(Transport::Uds, &[]);
    let mut idle = connect(&broker);
    let mut slow = connect(&broker);
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").expect("room for a line");
    let mut dripping = slow.try_clone().expect("the same socket");
    let drip = std::thread::scope(|scope| {
        let drip = scope.spawn(move || {
            let mut drops = 0u32;
            while dripping.write_all(b"x").is_ok() {
                drops += 1;
                pause(Duration::from_millis(100));
            }
            drops
        });
        // The answer to half a request may be an error or none; the end comes.
        let _ = slow.read_to_end(&mut Vec::new());
        let _ = idle.read_to_end(&mut Vec::new());
        drip.join().expect("no panic")
    });
    assert!(drip > 0);
}

/// Sends a message and waits for it.
struct RoundTrips {
    publisher: Publisher,
    subscriber: Subscriber,
    topic: Topic,
}

impl RoundTrips {
    fn start(broker: &BrokerProcess) -> Self {
        let config = broker.client().sessions(Sessions::PerSubscriber);
        let filters = [Filter::parse("trip").expect("a filter")];
        let subscriber = Subscriber::with_config(config.clone(), &filters).expect("a subscriber");
        let publisher = Publisher::with_config(config).expect("a publisher");
        RoundTrips { publisher, subscriber, topic: Topic::new("trip").expect("a topic") }
    }

    fn take_one(&mut self) -> Duration {
        let start = Instant::now();
        self.publisher.publish(&self.topic, &[b'x'; 500]).expect("the broker takes it");
        let event = self.subscriber.recv_timeout(LIMIT).expect("the session stands");
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
        start.elapsed()
    }
}

#[test]
fn a_thousand_slow_readers_keep_nobody_out_and_hold_no_message_up() {
    let _watchdog = watchdog::watch("a_thousand_slow_readers_keep_nobody_out_and_hold_no_message_up");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut trips = RoundTrips::start(&broker);
    trips.take_one();
    let open_files = || broker.until(|page| page.has("process_open_fds")).sum("process_open_fds");
    let before = open_files();
    let mut slow = Vec::new();
    let mut longest = Duration::ZERO;
    for number in 0..1_000 {
        let mut peer = connect(&broker);
        // Half of them never end their request, the others never read the answer.
        let end = if number % 2 == 0 { "" } else { "\r\n\r\n" };
        // Those that are there may push it out at once.
        let _ = write!(peer, "GET /metrics HTTP/1.1\r\nHost: t{end}");
        slow.push(peer);
        if number % 50 == 0 {
            longest = longest.max(trips.take_one());
            assert!(get(&broker, "/healthz").starts_with("HTTP/1.1 200 "), "after {number}");
        }
    }
    assert!(get(&broker, "/metrics").starts_with("HTTP/1.1 200 "));
    assert!(open_files() <= before + HTTP_CONNECTIONS_MAX as u64, "{before}, then {}", open_files());
    let ended = slow.iter().filter(|peer| has_ended(peer)).count();
    assert!(ended >= slow.len() - HTTP_CONNECTIONS_MAX, "{ended}");
    assert!(longest < HOLD, "{longest:?}");
}

#[test]
fn a_control_thread_that_hangs_delays_no_message() {
    let _watchdog = watchdog::watch("a_control_thread_that_hangs_delays_no_message");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut trips = RoundTrips::start(&broker);
    trips.take_one();
    let held = Held::hold(broker.pid(), "control");
    let mut waiting = connect(&broker);
    waiting.write_all(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n").expect("room for a request");
    let start = Instant::now();
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while start.elapsed() < HOLD {
        longest = longest.max(trips.take_one());
        count += 1;
    }
    waiting.set_nonblocking(true).expect("a socket");
    assert!(waiting.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock), "it was held");
    // A message that waited for the thread would have taken until now.
    assert!(count > 1 && longest < HOLD, "{count} messages, the slowest took {longest:?}");
    drop(held);
    waiting.set_nonblocking(false).expect("a socket");
    assert!(read_all(&mut waiting).ends_with("\r\n\r\nok\n"));
}

#[test]
fn every_broker_has_a_control_thread_which_ends_with_it() {
    let _watchdog = watchdog::watch("every_broker_has_a_control_thread_which_ends_with_it");
    let anywhere: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let broker = Broker::start(BrokerConfig::default().listen([anywhere]).shards(1)).expect("a broker");
    let (life, mut lives) = link::<Infallible>(1);
    let (name, mut names) = link(1);
    broker.control().spawn("test", async move {
        let _life = life;
        let _ = name.try_send(std::thread::current().name().map(str::to_owned));
        pending().await
    });
    assert_eq!(names.recv_blocking(), Some(Some("control".to_owned())));
    broker.stop(LIMIT).expect("a good end");
    assert_eq!(lives.recv_deadline(Instant::now()), Err(RecvTimeout::Closed), "the task has ended");
}

#[test]
fn health_fails_while_a_shard_does_not_turn() {
    let _watchdog = watchdog::watch("health_fails_while_a_shard_does_not_turn");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    assert!(get(&broker, "/health").starts_with("HTTP/1.1 200 "));
    // A thread that is held where it has a lock, as of the allocator, holds the others that need it: then once more.
    let (held, stalled) = (0..3)
        .find_map(|_| {
            let held = Held::hold(broker.pid(), "corecast-1");
            let stalled = until(&broker, |health| health.starts_with("HTTP/1.1 503 "));
            if !stalled.contains("shard 0 ") {
                return Some((held, stalled));
            }
            drop(held);
            until(&broker, |health| health.starts_with("HTTP/1.1 200 "));
            None
        })
        .expect("shard 0 turns while the other is held");
    assert!(stalled.contains("\r\n\r\nshard 1 has not turned for "), "{stalled}");
    // The page says so, too.
    assert!(get(&broker, "/metrics").starts_with("HTTP/1.1 200 "));
    drop(held);
    until(&broker, |health| health.starts_with("HTTP/1.1 200 "));
}

fn until(broker: &BrokerProcess, is_so: impl Fn(&str) -> bool) -> String {
    loop {
        let health = get(broker, "/health");
        if is_so(&health) {
            return health;
        }
        pause(SHARD_SILENCE_MAX / 100);
    }
}
