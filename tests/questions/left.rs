//! Publishers that are dropped without being closed: their messages arrive, or a warning says how many may not.

use std::io::{self, Write};
use std::process::Command;
use std::time::Instant;

use corecast::Publisher;
use corecast_executors::{Link, link};

use super::*;

const MESSAGES: u64 = 1000;

/// The broker of [`publishes_and_ends`].
const BROKER: &str = "QUESTIONS_BROKER";

#[test]
#[ignore = "a process of its own, which the test below starts"]
fn publishes_and_ends() {
    let mut publisher = Publisher::connect(&std::env::var(BROKER).expect("a broker")).expect("a publisher");
    // Another handle keeps the session open: the process does not wait for that.
    let _other = Publisher::connect(&std::env::var(BROKER).expect("a broker")).expect("a publisher");
    for number in 1..=MESSAGES {
        publisher.publish(topic("t"), number.to_string().as_bytes()).expect("it is taken");
    }
    drop(publisher);
    std::process::exit(0);
}

#[test]
fn what_was_published_arrives_though_its_process_ends_at_once() {
    let _watchdog = watchdog::watch("what_was_published_arrives_though_its_process_ends_at_once");
    for mode in ["proxy", "direct"] {
        let broker = BrokerProcess::start(Transport::Tcp, &["--mode", mode]);
        let mut subscriber = subscriber(&broker, "t");
        for _ in 0..5 {
            let mut process = Command::new(std::env::current_exe().expect("this test"));
            process.args(["--ignored", "--exact", "left::publishes_and_ends"]).env(BROKER, broker.endpoint());
            let output = process.output().expect("it can be run");
            assert!(output.status.success(), "{mode}: {output:?}");
            for number in 1..=MESSAGES {
                assert_eq!(next(&mut subscriber), number.to_string().as_bytes(), "{mode}");
            }
        }
    }
}

/// Where the log of a test goes.
struct Log(Link<Vec<u8>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.try_send(line.to_vec()).map_err(|_| io::ErrorKind::StorageFull)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_arrive_is_counted_in_a_warning() {
    let _watchdog = watchdog::watch("what_cannot_arrive_is_counted_in_a_warning");
    let mut broker = BrokerProcess::start(Transport::Tcp, &[]);
    let mut publisher = Publisher::with_config(own_sessions(&broker)).expect("a publisher");
    publisher.publish(topic("t"), b"").expect("it is taken");
    publisher.flush(PATIENCE).expect("the broker is there");
    broker.kill();
    for _ in 0..7 {
        publisher.publish(topic("t"), b"").expect("there is room");
    }
    let (lines, mut log) = link(16);
    let start = Instant::now();
    let into = move || Log(lines.clone());
    let logged = tracing_subscriber::fmt().with_writer(into).with_ansi(false).finish();
    tracing::subscriber::with_default(logged, || drop(publisher));
    assert!(start.elapsed() < SOON);
    let line = String::from_utf8(log.try_recv().expect("a warning")).expect("text");
    assert!(line.contains("WARN") && line.contains("messages=7"), "{line}");
}

#[test]
fn nobody_waits_for_a_publisher_that_has_nothing_to_say() {
    let _watchdog = watchdog::watch("nobody_waits_for_a_publisher_that_has_nothing_to_say");
    let broker = BrokerProcess::start(Transport::Tcp, &[]);
    let silent = Publisher::with_config(own_sessions(&broker)).expect("a publisher");
    let mut closed = Publisher::with_config(own_sessions(&broker)).expect("a publisher");
    closed.publish(topic("t"), b"").expect("there is room");
    broker.freeze();
    closed.close_within(std::time::Duration::ZERO).expect_err("the broker does not run");
    let start = Instant::now();
    drop(silent);
    assert!(start.elapsed() < corecast::internals::limits::DROP_LINGER);
    broker.signal(nix::sys::signal::Signal::SIGCONT);
}
