//! An interrupted `corecast pub`, while it waits for its input, or sends: its messages are taken, and it leaves in
//! order.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::{Event, Filter, Subscriber};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use running::{Running, at, start, text};

const PATIENCE: Duration = Duration::from_secs(60);

fn signal(running: &Running, signal: Signal) {
    let pid = i32::try_from(running.0.id()).expect("Linux has no longer pids");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

fn subscriber(broker: &BrokerProcess) -> Subscriber {
    Subscriber::with_config(broker.client(), &[Filter::parse("t").expect("a filter")]).expect("a subscriber")
}

fn next(subscriber: &mut Subscriber) -> Event {
    subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more")
}

fn assert_interrupted(publisher: Running, words: &str) {
    let output = publisher.output();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn it_leaves_in_order_while_its_input_or_the_next_message_is_waited_for() {
    let _watchdog = watchdog::watch("it_leaves_in_order_while_its_input_or_the_next_message_is_waited_for");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let mut subscriber = subscriber(&broker);
    // Nothing is left of a publisher before that could be taken for the next one.
    let until_alone = || _ = broker.until(|page| page.sum("corecast_sessions") == 1);
    let mut piped = start(at(&broker, &["pub", "t", "--lines", "-"]).stdin(Stdio::piped()));
    let mut input = piped.0.stdin.take().expect("it is piped");
    input.write_all(b"one\nhalf").expect("it reads");
    assert!(matches!(next(&mut subscriber), Event::Message(message) if message.payload == b"one"[..]));
    signal(&piped, Signal::SIGINT);
    assert_interrupted(piped, "interrupted, after 1 messages");

    // Nobody writes to it.
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).expect("a named pipe");
    until_alone();
    let unwritten = start(&mut at(&broker, &["pub", "t", "--lines", &fifo.display().to_string()]));
    broker.until(|page| page.sum("corecast_sessions") == 2);
    signal(&unwritten, Signal::SIGINT);
    assert_interrupted(unwritten, "interrupted, after 0 messages");
    let written = start(&mut at(&broker, &["pub", "t", "--lines", &fifo.display().to_string()]));
    std::fs::write(&fifo, "piped\n").expect("it reads");
    assert!(matches!(next(&mut subscriber), Event::Message(message) if message.payload == b"piped"[..]));
    assert_eq!(written.output().status.code(), Some(0));

    let slow = start(&mut at(&broker, &["pub", "t", "--count", "9", "--rate", "0.001"]));
    assert!(matches!(next(&mut subscriber), Event::Message(message) if message.sequence == 1));
    signal(&slow, Signal::SIGTERM);
    assert_interrupted(slow, "interrupted, after 1 messages");

    until_alone();
    let waits = start(&mut at(&broker, &["pub", "t", "hi", "--wait-subscribers", "9"]));
    broker.until(|page| page.sum("corecast_sessions") == 2);
    signal(&waits, Signal::SIGINT);
    assert_interrupted(waits, "interrupted, after 0 messages");
}

#[test]
fn what_it_has_sent_in_a_flood_arrives() {
    let _watchdog = watchdog::watch("what_it_has_sent_in_a_flood_arrives");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--overflow", "block"]);
    let mut subscriber = subscriber(&broker);
    let flood = start(&mut at(&broker, &["pub", "t", "--count", "100000000", "--size", "999"]));
    next(&mut subscriber);
    signal(&flood, Signal::SIGINT);
    let mut last = 1;
    let mut read = std::thread::scope(|threads| {
        let ended = threads.spawn(|| flood.output());
        while !ended.is_finished() {
            last =
                subscriber.recv_timeout(Duration::from_millis(50)).expect("it stands").map_or(last, sequence);
        }
        ended.join().expect("no panic")
    });
    while let Some(event) = subscriber.recv_timeout(Duration::from_millis(500)).expect("it stands") {
        last = sequence(event);
    }
    let said = text(&std::mem::take(&mut read.stderr)).to_owned();
    assert_eq!(read.status.code(), Some(1), "{said}");
    // The last may have been taken in the moment in which it was given up: it counts.
    assert!(said.contains(&format!("interrupted, after {last} messages")), "{last}: {said}");
}

fn sequence(event: Event) -> u64 {
    match event {
        Event::Message(message) => message.sequence,
        other => panic!("{other:?}"),
    }
}
