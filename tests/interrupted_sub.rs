//! An interrupted `corecast sub` while messages flow: its last line is whole.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::io::Read as _;

use broker_process::{BrokerProcess, Transport};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use running::{Running, at, start, subscribed, text};

fn signal(running: &Running, signal: Signal) {
    let pid = i32::try_from(running.0.id()).expect("Linux has no longer pids");
    kill(Pid::from_raw(pid), signal).expect("it runs");
}

#[test]
fn the_last_line_is_whole() {
    let _watchdog = watchdog::watch("the_last_line_is_whole");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let _flood = start(&mut at(&broker, &["pub", "t", "--count", "100000000", "--size", "999"]));
    for asked in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM] {
        let mut sub = start(&mut at(&broker, &["sub", "t"]));
        let mut stdout = sub.stdout();
        let mut read = vec![0; 3 << 20];
        stdout.read_exact(&mut read).expect("messages flow");
        signal(&sub, asked);
        stdout.read_to_end(&mut read).expect("it ends");
        assert!(read.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() == 1000), "half a line");
        let status = sub.0.wait().expect("it is ours");
        assert_eq!(status.code(), Some(0), "{asked}");
    }
}

#[test]
fn it_ends_though_nothing_comes_or_nobody_reads() {
    let _watchdog = watchdog::watch("it_ends_though_nothing_comes_or_nobody_reads");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let idle = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--count", "3"]));
    signal(&idle, Signal::SIGTERM);
    let output = idle.output();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("interrupted, after 0 of 3 messages"), "{}", text(&output.stderr));

    let unread = subscribed(&broker, 1, &mut at(&broker, &["sub", "t"]));
    let _flood = start(&mut at(&broker, &["pub", "t", "--count", "100000000", "--size", "999"]));
    broker.until(|page| page.sum("corecast_drops_total") > 0);
    signal(&unread, Signal::SIGTERM);
    // The watchdog is the measure: with the pipe full it is not to wait for a reader.
    let output = ended(unread);
    assert_eq!(output.0, Some(1));
    assert!(output.1.contains("output that nobody has read is lost"), "{}", output.1);
}

/// Waits for the end of a command whose stdout nobody reads; returns its exit code and its stderr.
fn ended(mut running: Running) -> (Option<i32>, String) {
    let mut said = String::new();
    running.0.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    (running.0.wait().expect("it is ours").code(), said)
}

#[test]
fn its_time_ends_it_though_nobody_reads() {
    let _watchdog = watchdog::watch("its_time_ends_it_though_nobody_reads");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    for format in ["text", "json"] {
        let unread = subscribed(&broker, 1, &mut at(&broker, &["sub", "t", "--timeout", "4s", "-o", format]));
        let _flood = start(&mut at(&broker, &["pub", "t", "--count", "100000000", "--size", "999"]));
        let (code, said) = ended(unread);
        assert_eq!(code, Some(27), "{said}");
        assert!(said.contains("output that nobody has read is lost"), "{said}");
    }
}
